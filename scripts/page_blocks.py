"""The code blocks of a page, and the comments above them that say how each is run.

A comment stands on a line of its own right above the block; readers do not see it.

    <!-- run: --replicates 4 -->   is tried with these options where commands know them, with one worker, and with true
                                   values that rest on fewer people
    <!-- run: replicates=4 -->     the same for arguments of Python
    <!-- first: COMMAND -->        is run before the block
    <!-- file: NAME -->            the block is a file of this name for all others (from here on, where there are two)
    <!-- exit: 2 -->               the block must end with this exit code
    <!-- serves -->                the block is a server: it is started, must answer, and is stopped at the page's end
    <!-- output -->                the block is what the one before it printed; `output: lines 1-9` or
                                   `output: section TITLE; TITLE` is a part of that
    <!-- output of: COMMAND -->    the block is what this command prints, which readers do not see
    <!-- needs: nanoparquet -->    R packages without which the block is not run
    <!-- not run: WHY -->          is not run
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

FENCE = re.compile(r"(?ms)^(?P<marks>(?:<!-- [^\n]*? -->\n)*)```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$")
COMMENT = re.compile(r"<!-- (.*?) -->")
LEFT_OUT = "..."
"""Stands for lines of an output that are not shown."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: language, text, comments above it, and where it stands."""

    language: str
    text: str
    marks: tuple[str, ...] = ()
    line: int = 1
    span: tuple[int, int] = (0, 0)
    """Where the text begins and ends in the page."""

    def mark(self, name: str) -> str | None:
        """What a comment `NAME: ...` says; "" if it says nothing more, None if there is no such comment."""
        found = [re.fullmatch(rf"{name}(?::? (.*))?", mark) for mark in self.marks]
        return next((match[1] or "" for match in found if match), None)


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page in order."""
    return list(_blocks(page))


def _blocks(page: str) -> Iterator[Block]:
    for match in FENCE.finditer(page):
        yield Block(
            language=match["language"].strip(),
            text=match["text"],
            marks=tuple(COMMENT.findall(match["marks"])),
            line=page.count("\n", 0, match.start("language")) + 1,
            span=match.span("text"),
        )


# --- what of an output is shown ---------------------------------------------------------------------------------------


def shown(printed: str, what: str) -> str:
    """The part of a printed text that an `output` comment asks for; ValueError if there is no such part."""
    lines = [line.rstrip() for line in printed.splitlines()]
    if not what:
        return _ending(lines)
    kind, _, rest = what.partition(" ")
    if kind == "lines":
        return _ending(_with_gaps(lines, [_range(part, len(lines)) for part in rest.split(",")]))
    if kind == "section":
        return _ending(_with_gaps(lines, [_section(lines, title.strip()) for title in rest.split(";")]))
    raise ValueError(f"an output is shown whole, by `lines` or by `section` (given: {what})")


def _range(text: str, n: int) -> tuple[int, int]:
    first, _, last = text.strip().partition("-")
    begin, end = int(first) - 1, min(int(last), n) if last else n
    if not 0 <= begin < end:
        raise ValueError(f"there are no lines {text.strip()} of {n}")
    return begin, end


def _section(lines: list[str], title: str) -> tuple[int, int]:
    starts = [k for k, (above, rule) in enumerate(pairwise(lines)) if _is_title(above, rule)]
    found = [k for k in starts if lines[k] == title]
    if not found:
        raise ValueError(f"there is no section '{title}', but {', '.join(lines[k] for k in starts)}")
    end = next((k for k in starts if k > found[0]), len(lines))
    while not lines[end - 1]:
        end -= 1
    return found[0], end


def _is_title(title: str, rule: str) -> bool:
    return bool(title) and len(title) == len(rule) and set(rule) in ({"="}, {"-"})


def _with_gaps(lines: list[str], ranges: list[tuple[int, int]]) -> list[str]:
    """The lines of these ranges, with a sign for what is left out between and around them."""
    out: list[str] = []
    at = 0
    for begin, end in ranges:
        out += [LEFT_OUT] if any(lines[at:begin]) else lines[at:begin]
        out += lines[begin:end]
        at = end
    return [*out, *([LEFT_OUT] if any(lines[at:]) else [])]


def _ending(lines: list[str]) -> str:
    return "\n".join(lines).strip("\n") + "\n"


TIMES = re.compile(r"\b[\d.,]+( ?)(ms|s|min|h|seconds?|minutes?|replicates/s|per second|kB|MB)\b")


def without_times(text: str) -> str:
    """A printed text whose seconds are no longer told apart: they differ from run to run."""
    return TIMES.sub(r"#\1\2", text)


# --- a page with its outputs renewed ----------------------------------------------------------------------------------


def with_texts(page: str, texts: dict[Block, str]) -> str:
    """The page with other texts in some blocks."""
    for block in sorted(texts, key=lambda block: block.span, reverse=True):
        begin, end = block.span
        page = page[:begin] + texts[block] + page[end:]
    return page
