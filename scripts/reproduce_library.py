#!/usr/bin/env python
"""Hold the library's scenarios against what was published, and renew the tables in docs/validation.md.

    python scripts/reproduce_library.py [--check] [--replicates 200] [--workers 2] [NAME ...]

Without names every scenario that has targets is simulated; with names only theirs are renewed. With --check nothing is
written; exit code 1 says that the page has other numbers.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from library_table import page_of
from pages import ROOT, as_part, kept, markdown, part_of, renewed

from trialsim.design.library import library_dir
from trialsim.design.reader import digest, read_design
from trialsim.errors import TrialsimError
from trialsim.experiments.targets import Finding, Held, Targets, compare, targets_of
from trialsim.report.catalogue import Entry, catalogue
from trialsim.report.comparison import SECTIONS, counts_text, finding_cells, library_row, miss_text, section_of
from trialsim.report.layout import bullet, paragraph, plural

PAGE = ROOT / "docs" / "validation.md"
SEED = 1
WIDTH = 118
ELSEWHERE = {"resolve": "does-the-resolve-scenario-look-like-resolve"}
"""Scenarios with a section of their own in the page, and its anchor."""
SUMMARY = ["scenario", "fitted", "predicted", "benchmarks", "worst miss"]


@dataclass(frozen=True)
class Told:
    """What the page says of a scenario: its row of the summary, and its tables."""

    row: str
    tables: str


# --- one scenario -----------------------------------------------------------------------------------------------------


def told(entry: Entry, targets: Targets, findings: Sequence[Finding], key: str) -> Told:
    """A comparison as the page tells it; `key` is the design's digest."""
    usual = Counter(f.n_replicates for f in findings).most_common(1)[0][0]
    held = [f for f in findings if f.target.held]
    shown = [f for f in findings if not f.target.held]
    missed = [bullet(miss_text(f), WIDTH) for f in held if not f.inside]
    parts = [
        f"{plural(usual, 'replicate')} unless a row says otherwise, seed {SEED}, design digest `{key}`.",
        paragraph(targets.note, WIDTH),
        *(_table(title, [f for f in held if section_of(f.target) == name], usual) for name, title in SECTIONS),
        "Outside their range:\n\n" + "\n".join(missed) if missed else "",
        _table("Shown, not held", shown, usual),
    ]
    return Told(_row(entry, findings), "\n\n".join(part for part in parts if part))


def _table(title: str, findings: Sequence[Finding], usual: int) -> str:
    if not findings:
        return ""
    rows = []
    for finding in findings:
        label, *cells, _, _, _ = finding_cells(finding)
        n, outside = finding.n_replicates, "**no**" if finding.target.held else "no"
        label += "" if n == usual else f" ({plural(n, 'replicate')})"
        rows.append([label, *cells, "yes" if finding.inside else outside])
    value = "published or derived" if findings[0].target.held else "value, for comparison only"
    head = ["", value, "range", "simulated ± Monte Carlo SE", "inside"]
    return f"*{title}*\n\n{markdown(head, rows, 'lrrrl')}"


def _row(entry: Entry, findings: Sequence[Finding]) -> str:
    _, *cells, _ = library_row(Held(entry.name, tuple(findings)))
    anchor = ELSEWHERE.get(entry.name, entry.name)
    return f"| {' | '.join([f'[{entry.name}](#{anchor})', *cells])} |"


# --- the page ---------------------------------------------------------------------------------------------------------


def with_tables(page: str, entries: Sequence[Entry], found: Mapping[str, Told]) -> str:
    """The page with what was found; scenarios that were not simulated now stay as they stand there.

    Raises ValueError if the page lacks a part.
    """
    all_told = {
        entry: one for entry in entries if (one := found.get(entry.name) or _as_it_stands(page, entry.name)) is not None
    }
    summary = [markdown(SUMMARY, [], "lrrrl"), *(one.row for one in all_told.values())]
    sections = [_section(entry, one) for entry, one in all_told.items() if entry.name not in ELSEWHERE]
    own = {entry.name: one.tables for entry, one in all_told.items() if entry.name in ELSEWHERE}
    return renewed(page, {"library": "\n\n".join(["\n".join(summary), *sections]), **own})


def _as_it_stands(page: str, name: str) -> Told | None:
    row, tables = re.search(rf"(?m)^\| \[{name}\].*$", page), part_of(page, name)
    return Told(row[0], tables) if row and tables else None


def _section(entry: Entry, one: Told) -> str:
    page = page_of(entry).removeprefix("docs/")
    return f"### {entry.name}\n\n[{entry.what}]({page})\n\n{as_part(entry.name, one.tables)}"


def simulated(entry: Entry, *, replicates: int, workers: int) -> Told:
    """Simulate a scenario and hold it against its targets; SystemExit if that is refused."""
    started = time.perf_counter()
    try:
        design, targets = read_design(entry.name), targets_of(entry.name)
        findings = compare(design, targets, replicates=replicates, seed=SEED, workers=workers)
    except TrialsimError as error:
        raise SystemExit(f"{entry.name}: {error}") from error
    held = [f for f in findings if f.target.held]
    print(f"{entry.name}: {counts_text(held)} ({time.perf_counter() - started:.0f} s)", flush=True)
    return told(entry, targets, findings, digest(design))


def with_targets() -> list[Entry]:
    """Scenarios that something is published for."""
    return [entry for entry in catalogue() if (library_dir() / "targets" / f"{entry.name}.yaml").is_file()]


def main(given: Sequence[str] | None = None) -> int:
    """Simulate, compare, renew."""
    entries = with_targets()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these scenarios")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(given)
    if unknown := set(options.names) - {entry.name for entry in entries}:
        parser.error(f"no targets for {', '.join(sorted(unknown))}")
    found = {
        entry.name: simulated(entry, replicates=options.replicates, workers=options.workers)
        for entry in entries
        if entry.name in options.names or not options.names
    }
    page = with_tables(PAGE.read_text("utf-8"), entries, found)
    fresh = kept(PAGE, page, check=options.check)
    print(f"{PAGE.name}: {'up to date' if fresh else 'stale'}")
    return int(not fresh)


if __name__ == "__main__":
    sys.exit(main())
