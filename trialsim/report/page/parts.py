"""What a report is made of: sections of pieces of text (`trialsim.report.pieces`), figures and statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Picture:
    """A figure: its SVG, what stands below it, and its text alternative."""

    kind: ClassVar[str] = "picture"
    name: str
    svg: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Listing:
    """Text to be copied as it is; folded away where `summary` says what it is."""

    kind: ClassVar[str] = "listing"
    text: str
    summary: str = ""


@dataclass(frozen=True)
class Item:
    """An item of a statement, and what is said of it: a paragraph each."""

    name: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """A checklist filled in; `groups` are its chapters, each with a name (may be empty) and its items."""

    kind: ClassVar[str] = "statement"
    title: str
    groups: tuple[tuple[str, tuple[Item, ...]], ...]


@dataclass(frozen=True)
class Answer:
    """The answer in a few sentences; `verdict` is its first, the others say what they are about (empty: nothing)."""

    kind: ClassVar[str] = "answer"
    verdict: str
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reference:
    """A source that readers can look up; a link in text, nothing is loaded from it."""

    kind: ClassVar[str] = "reference"
    text: str
    doi: str


Content = str | Picture | Listing | Statement | Answer | Reference


@dataclass(frozen=True)
class Section:
    """A numbered section; `name` is its anchor."""

    name: str
    title: str
    content: tuple[Content, ...]


@dataclass(frozen=True)
class Page:
    """A whole report. `about` says what it is of: name and value."""

    title: str
    kind: str
    about: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    notice: str = ""
    """What must be known before anything else; empty where there is nothing."""


def section(name: str, title: str, *content: Content | Sequence[Content]) -> Section:
    """A section; lists among its content are laid open, and what is empty is left out."""
    flat: list[Content] = []
    for one in content:
        flat += [one] if isinstance(one, str) or not isinstance(one, Sequence) else list(one)
    return Section(name, title, tuple(one for one in flat if not isinstance(one, str) or one.strip()))
