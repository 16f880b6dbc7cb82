"""Figures as files and as SVG to put on a page: the same figure gives the same bytes."""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trialsim.errors import TrialsimError
from trialsim.report.figures.style import FONTS, INK, Look, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
_STACK = ", ".join(f"'{name}'" if " " in name else name for name in FONTS)
_IDS = re.compile(r'(\bid="|href="#|url\(#)')

CSS = "\n".join(
    [
        f".trialsim-figure text {{ font-family: {_STACK}; }}",
        ".trialsim-figure { max-width: 100%; height: auto; }",
        "@media (prefers-color-scheme: dark) {",
        "  :root { " + " ".join(f"--figure-{name}: {value};" for name, value in INK[True].items()) + " }",
        "}",
        "@media print {",
        "  :root { " + " ".join(f"--figure-{name}: {value};" for name, value in INK[False].items()) + " }",
        "}",
    ]
)
"""Style for pages with figures by `svg`: its inks are variables, so that one figure serves light and dark."""


def svg(figure: Figure, *, prefix: str, title: str = "") -> str:
    """A figure as an SVG element to put into a page; `title` is its text alternative.

    Every id begins with the prefix, so that several can stand on one page. Inks are CSS variables (see `CSS`) that fall
    back to the figure's own; the background is left to the page.
    """
    look = look_of(figure)
    text = _svg_text(figure, look, transparent=True)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = _IDS.sub(lambda found: f"{found[1]}{prefix}-", text)
    for name, value in INK[look.dark].items():
        text = re.sub(rf"(: ?){value}\b", rf"\g<1>var(--figure-{name}, {value})", text)
    said = f' role="img" aria-label="{html.escape(title)}"' if title else ' role="img"'
    return text.replace("<svg ", f'<svg class="trialsim-figure"{said} ', 1).strip()


def save(figure: Figure, path: str | Path) -> None:
    """Write a PNG, SVG or PDF file (by the name's ending), whole or not at all. TrialsimError where that cannot be."""
    place = Path(path)
    kind = place.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise TrialsimError(f"{place}: a figure is written as {', '.join(FORMATS)}, which the name's ending says.")
    if place.is_dir():
        raise TrialsimError(f"{place}: this is a folder. Give a file name.")
    data = _bytes(figure, kind)
    draft = place.with_name(f".{place.name}.{os.getpid()}.draft")
    try:
        draft.write_bytes(data)
        os.replace(draft, place)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise TrialsimError(f"{place}: cannot be written ({(error.strerror or str(error)).lower()}).") from error


def look_of(figure: Figure) -> Look:
    """The look that a figure was drawn with."""
    look: Look = getattr(figure, "trialsim_look", Look())
    return look


def _bytes(figure: Figure, kind: str) -> bytes:
    look = look_of(figure)
    if kind == "svg":
        return _svg_text(figure, look, transparent=False).encode()
    metadata: dict[str, Any] = {"Software": None} if kind == "png" else {"CreationDate": None, "Producer": None}
    return _written(figure, look, kind, metadata, transparent=False)


def _svg_text(figure: Figure, look: Look, *, transparent: bool) -> str:
    metadata = {"Date": None, "Creator": None}
    text = _written(figure, look, "svg", metadata, transparent=transparent).decode()
    return text.replace(f"font-family: '{FONTS[0]}'", f"font-family: {_STACK}")


def _written(figure: Figure, look: Look, kind: str, metadata: dict[str, Any], *, transparent: bool) -> bytes:
    buffer = io.BytesIO()
    with settings(look):
        figure.savefig(buffer, format=kind, metadata=metadata, transparent=transparent)
    return buffer.getvalue()
