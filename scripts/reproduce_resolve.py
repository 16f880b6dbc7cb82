#!/usr/bin/env python
"""Hold the simulated RESOLVE trial against the published one and renew the tables in docs/validation.md.

python scripts/reproduce_resolve.py [--replicates 200] [--workers 2]
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from trialsim.design.reader import digest, read_design
from trialsim.experiments.targets import Finding, compare, targets_of
from trialsim.report.comparison import finding_cells

PAGE = Path(__file__).resolve().parents[1] / "docs" / "validation.md"


def held_table(findings: Sequence[Finding]) -> str:
    """Targets that the simulated mean is held against."""
    kinds = {True: "", False: ", OUTSIDE"}
    rows = [[*cells[:4], f.target.kind + kinds[f.inside]] for f, cells in _cells(findings, True)]
    return _markdown(["target", "published", "range", "simulated ± Monte Carlo SE", "kind"], rows)


def shown_table(findings: Sequence[Finding]) -> str:
    """Published values that are shown beside the simulated ones, not held."""
    rows = [[*cells[:4], "yes" if f.inside else "no"] for f, cells in _cells(findings, False)]
    return _markdown(["shown, not held", "published", "range", "simulated ± Monte Carlo SE", "inside"], rows)


def _cells(findings: Sequence[Finding], held: bool) -> list[tuple[Finding, list[str]]]:
    return [(f, finding_cells(f)) for f in findings if f.target.held == held]


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", "---:", "---:", "---:", "---"], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def renewed(page: str, tables: dict[str, str]) -> str:
    """The page with each `<!-- NAME: begin -->` ... `<!-- NAME: end -->` part replaced."""
    for name, text in tables.items():
        pattern = rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)"
        page, n = re.subn(pattern, lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL)
        if n != 1:
            raise SystemExit(f"docs/validation.md has no part '{name}'")
    return page


def main() -> None:
    """Simulate, compare, renew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    design = read_design("resolve")
    findings = compare(design, targets_of("resolve"), replicates=options.replicates, workers=options.workers)
    tables = {
        "held": held_table(findings),
        "shown": shown_table(findings),
        "digest": f"{options.replicates} replicates (5,000 for the planned power), seed 1, "
        f"design digest `{digest(design)}`",
    }
    PAGE.write_text(renewed(PAGE.read_text("utf-8"), tables), encoding="utf-8")
    inside = [f.inside for f in findings if f.target.held]
    print(f"{sum(inside)} of {len(inside)} targets inside their range; {PAGE.name} renewed")


if __name__ == "__main__":
    main()
