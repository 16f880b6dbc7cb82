"""Text that remembers what it is: what a terminal is shown can be shown as HTML too, from the same source.

A piece is the text itself, as a terminal has it, with the parts that it was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class Piece(str):
    """A block of text. `kind` says which of the classes below it is."""

    kind: ClassVar[str] = "line"


class Heading(Piece):
    """A heading of level 1 (title), 2 (section) or 3."""

    kind = "heading"
    words: str
    level: int

    def __new__(cls, text: str, *, words: str, level: int) -> Heading:
        piece = super().__new__(cls, text)
        piece.words, piece.level = words, level
        return piece


class Paragraph(Piece):
    """Sentences."""

    kind = "paragraph"
    words: str

    def __new__(cls, text: str, *, words: str) -> Paragraph:
        piece = super().__new__(cls, text)
        piece.words = words
        return piece


class Caption(Piece):
    """A line that says what the table below it shows."""

    kind = "caption"


class Bullets(Piece):
    """A list; `lead` is the sentence above it, if it has one."""

    kind = "bullets"
    items: tuple[str, ...]
    lead: str

    def __new__(cls, text: str, *, items: Sequence[str], lead: str) -> Bullets:
        piece = super().__new__(cls, text)
        piece.items, piece.lead = tuple(items), lead
        return piece


class Table(Piece):
    """Columns; `align` has l or r for each."""

    kind = "table"
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str

    def __new__(cls, text: str, *, header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> Table:
        piece = super().__new__(cls, text)
        piece.header, piece.rows, piece.align = tuple(header), tuple(map(tuple, rows)), align
        return piece


class Part(Piece):
    """Something named (an arm, an outcome, an analysis) and what is said of it."""

    kind = "part"
    name: str
    pieces: tuple[str, ...]

    def __new__(cls, text: str, *, name: str, pieces: Sequence[str]) -> Part:
        piece = super().__new__(cls, text)
        piece.name, piece.pieces = name, tuple(pieces)
        return piece
