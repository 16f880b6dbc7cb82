#!/usr/bin/env python
"""Renew the table of scenarios in README.md.

    python scripts/library_table.py [--check]

With --check nothing is written; exit code 1 says that the table is stale.
"""

from __future__ import annotations

import sys

from pages import ROOT, kept, markdown, renewed

from trialsim.report.catalogue import Entry, catalogue

README = ROOT / "README.md"


def page_of(entry: Entry) -> str:
    """The page that tells of a scenario; a variant may share that of the scenario it extends."""
    own = [f"docs/scenarios/{name}.md" for name in (entry.name, entry.extends)]
    return next(page for page in (*own, "docs/validation.md") if (ROOT / page).is_file())


def table() -> str:
    """A row for each scenario."""
    rows = [[f"[`{entry.name}`]({page_of(entry)})", entry.what, entry.design] for entry in catalogue()]
    return markdown(["scenario", "what it is", "design"], rows, "lll")


def with_table(readme: str) -> str:
    """The README with the table renewed."""
    return renewed(readme, {"scenarios": table()})


def main() -> int:
    """Renew the README, or say whether it is stale."""
    fresh = kept(README, with_table(README.read_text("utf-8")), check="--check" in sys.argv[1:])
    print("up to date" if fresh else "stale: run python scripts/library_table.py")
    return int(not fresh)


if __name__ == "__main__":
    sys.exit(main())
