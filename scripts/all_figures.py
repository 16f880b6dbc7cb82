"""Draw every figure of every scenario of the library in both sizes, and say where texts cover each other or leave.

    python scripts/all_figures.py FOLDER [SCENARIO ...]

For looking at them by hand; it takes some minutes. Exit code 1 if a figure is at fault.
"""

from __future__ import annotations

import sys
from pathlib import Path

from trialsim.design.library import library
from trialsim.report.figures import KINDS, alt, caption, draw, gather, save
from trialsim.report.figures.boxes import cut_off, overlapping, text_boxes

REPLICATES = (24, 1)


def main() -> None:
    """All of it."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    faults = [fault for name in sys.argv[2:] or library() for fault in of_scenario(name, folder)]
    print(*(faults or ["Every text stands free and inside."]), sep="\n")
    sys.exit(bool(faults))


def of_scenario(name: str, folder: Path) -> list[str]:
    """Faults of one scenario, with many replicates and with one."""
    faults = []
    for n in REPLICATES:
        material = gather(name, replicates=n)
        for kind, about in KINDS.items():
            if about.available(material) is not True:
                continue
            assert caption(material, kind)
            assert alt(material, kind)
            for size in ("page", "projector"):
                figure = draw(material, kind, size=size)
                save(figure, folder / f"{name}-{n}-{kind}-{size}.png")
                boxes = text_boxes(figure)
                found = [f"{one!r} covers {other!r}" for one, other in overlapping(boxes)]
                found += [f"{text!r} leaves the figure" for text in cut_off(boxes, figure)]
                faults += [f"{name}, {n} replicates, {kind}, {size}: {fault}" for fault in found]
    print(f"{name}: drawn", flush=True)
    return faults


if __name__ == "__main__":
    main()
