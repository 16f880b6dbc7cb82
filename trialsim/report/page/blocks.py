"""Pieces of text and other content as the blocks of a template: levels of headings, captions of tables, numbers of
figures. Text stays text; the template escapes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from trialsim.report.page.parts import Content, Page, Picture
from trialsim.report.pieces import Bullets, Caption, Heading, Paragraph, Part, Table

Block = dict[str, Any]

WIDE = 4
"""Columns from which on a table may have to be scrolled."""
DENSE = 8
"""Columns from which on its type is smaller."""
SHORT = 14
"""Rows up to which a table is kept on one page when it is printed."""


def sections_of(page: Page) -> list[dict[str, Any]]:
    """Name, title and blocks of each section; figures are numbered through the page."""
    numbers = iter(range(1, 10_000))
    return [
        {"name": one.name, "title": one.title, "blocks": list(_Blocks(one.title, numbers).of(one.content))}
        for one in page.sections
    ]


def is_grouped(table: Table) -> bool:
    """Whether its first column says the visit, again and again: then the visit is a row above those that it is of."""
    visits = [row[0] for row in table.rows]
    return table.header[:1] == ("visit",) and len(set(visits)) < len(visits) and all(visits)


def _by_first(table: Table) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Rows by what stands in their first cell, without it."""
    return [(name, [row[1:] for row in rows]) for name, rows in groupby(table.rows, key=lambda row: row[0])]


class _Blocks:
    """Blocks of a section. Headings go from h3 on, without leaving a level out."""

    def __init__(self, title: str, numbers: Iterator[int]) -> None:
        self.title, self.numbers = title, numbers
        self.level = 2
        self.pending = ""

    def of(self, content: Iterable[Content]) -> Iterator[Block]:
        for one in content:
            if isinstance(one, Caption):
                self.pending = str(one)
                continue
            yield self._block(one)
            self.pending = ""

    def _block(self, one: Content) -> Block:
        if isinstance(one, Picture):
            return {
                "kind": "picture",
                "number": next(self.numbers),
                "name": one.name,
                "svg": one.svg,
                "caption": one.caption,
            }
        if not isinstance(one, str):
            return vars(one) | {"kind": one.kind}
        return self._text(one)

    def _text(self, one: str) -> Block:
        if isinstance(one, Heading):
            self.level = min(max(one.level + 1, 3), self.level + 1)
            self.title = one.words
            return {"kind": "heading", "level": self.level, "words": one.words}
        if isinstance(one, Table):
            return self._table(one)
        if isinstance(one, Part):
            return self._part(one)
        if isinstance(one, Bullets):
            return {"kind": "bullets", "items": one.items, "lead": one.lead}
        words = one.words if isinstance(one, Paragraph) else " ".join(one.split())
        return {"kind": "paragraph", "words": words}

    def _table(self, one: Table) -> Block:
        header, align, groups = one.header, one.align, [("", list(one.rows))]
        if is_grouped(one):
            header, align, groups = header[1:], align[1:], _by_first(one)
        n = len(header)
        return {
            "kind": "table", "header": header, "groups": groups, "align": align, "wide": n >= WIDE, "dense": n >= DENSE,
            "short": len(one.rows) <= SHORT, "caption": self.pending.rstrip(":") or self.title,
            "hidden": not self.pending,
        }  # fmt: skip

    def _part(self, one: Part) -> Block:
        inner = _Blocks(one.name, self.numbers)
        inner.level = self.level + 1
        return {"kind": "part", "name": one.name, "level": self.level + 1, "blocks": list(inner.of(one.pieces))}
