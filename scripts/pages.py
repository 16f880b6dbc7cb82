"""Parts of a page that scripts renew: what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def part_of(page: str, name: str) -> str | None:
    """The text of a part; None if the page does not have it."""
    found = _pattern(name).search(page)
    return found[1] if found else None


def as_part(name: str, text: str) -> str:
    """A text between its markers."""
    return f"<!-- {name}: begin -->\n{text}\n<!-- {name}: end -->"


def renewed(page: str, parts: Mapping[str, str]) -> str:
    """The page with other text in the parts named; ValueError if it does not have exactly one of each."""
    for name, text in parts.items():
        before, *after = _pattern(name).split(page)
        if len(after) != 2:
            raise ValueError(f"the page must have one part '{name}'")
        page = f"{before}{as_part(name, text)}{after[1]}"
    return page


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name}: begin -->\n(.*?)\n<!-- {name}: end -->", flags=re.DOTALL)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A table; `align` has l or r for each column."""
    rule = ["---:" if side == "r" else "---" for side in align]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def kept(path: Path, page: str, *, check: bool) -> bool:
    """Write a page, or with `check` only look whether it stands there already; False if it does not."""
    if not check:
        path.write_text(page, "utf-8")
    return path.read_text("utf-8") == page
