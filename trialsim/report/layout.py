"""Plain text for terminals: headings, tables, paragraphs, numbers. Pure functions; nothing is printed.

Blocks of text remember what they are made of (`pieces.py`), so that a report can show them as HTML.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import textwrap
from collections.abc import Sequence

from trialsim.report.pieces import Bullets, Caption, Heading, Paragraph, Part, Table
from trialsim.world.formulas import MONTH_DAYS

WIDTH = 88
GAP = "  "

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NUMERIC = re.compile(r"[-+<]?[\d.,]*%?(?: ± [\d.,?]+)?")
_LEVELS = {"#": 1, "=": 2, "-": 3}
_HISSING = ("s", "x", "z", "ch", "sh")


def heading(text: str, rule: str = "=") -> str:
    """A line of text and a line under it."""
    return Heading(f"{text}\n{rule * len(text)}", words=text, level=_LEVELS[rule])


def paragraph(text: str, width: int = WIDTH, indent: int = 0) -> str:
    """Text broken into lines of at most `width` characters, every line indented."""
    words, margin = " ".join(text.split()), " " * indent
    filled = textwrap.fill(
        words,
        width=width,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return Paragraph(filled, words=words)


def bullet(text: str, width: int = WIDTH) -> str:
    """One item of a list: a dash, and lines that hang below the text."""
    return "- " + paragraph(text, width, indent=2).lstrip()


def bullets(items: Sequence[str], lead: str = "") -> str:
    """A list, below a sentence that says of what."""
    above = [paragraph(lead)] if lead else []
    return Bullets("\n".join([*above, *map(bullet, items)]), items=items, lead=lead)


def caption(text: str) -> str:
    """A line above a table that says what it shows."""
    return Caption(text)


def part(title: str, told: Sequence[str]) -> str:
    """Something named, and what is said of it below, indented."""
    return Part("\n".join([title, *told]), name=title, pieces=told)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "", indent: int = 0) -> str:
    """Columns, a thin rule below their names; `align` has l or r for each (default: numbers go right)."""
    columns = list(zip(header, *rows, strict=True))
    align = align or "".join("r" if _all_numbers(column[1:]) else "l" for column in columns)
    if len(align) != len(columns):
        raise ValueError(f"align must have {len(columns)} letters (given: {align!r})")
    widths = [max(map(len, column)) for column in columns]
    lines = [" " * indent + _line(cells, widths, align) for cells in (header, ["-" * width for width in widths], *rows)]
    return Table("\n".join(lines), header=header, rows=rows, align=align)


def _line(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    padded = (
        cell.rjust(width) if side == "r" else cell.ljust(width)
        for cell, width, side in zip(cells, widths, align, strict=True)
    )
    return GAP.join(padded).rstrip()


def _all_numbers(cells: Sequence[str]) -> bool:
    return bool(cells) and all(_NUMERIC.fullmatch(cell) for cell in cells) and any(map(_has_digit, cells))


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def listed(items: Sequence[str], last: str = "and") -> str:
    """'a', 'a and b', 'a, b and c'; with items that hold commas of their own, 'a, b; and c'."""
    if len(items) < 2:
        return "".join(items)
    if any("," in item for item in items):
        return f"{'; '.join(items[:-1])}; {last} {items[-1]}"
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def plural(n: int, noun: str, many: str = "") -> str:
    """'1 coach', '2 coaches', '2,331 participants'; `many` for a plural that is not regular."""
    return f"{n:,} {noun if n == 1 else many or _many(noun)}"


def _many(noun: str) -> str:
    if noun.endswith(_HISSING):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def number(x: float, digits: int | None = None) -> str:
    """A number with thousands separated: to so many digits, or (without) as short as it was written.

    Negative zero is 0; what is not a number is '-'.
    """
    if math.isnan(x):
        return "-"
    if math.isinf(x):
        return "infinity" if x > 0 else "-infinity"
    text = f"{x:,.{10 if digits is None else digits}f}"
    if digits is None:
        text = text.rstrip("0").rstrip(".")
    return text[1:] if text.startswith("-") and not text.strip("-0.,") else text


def signed(x: float, digits: int | None = None) -> str:
    """The same with a plus before what is above 0."""
    text = number(x, digits)
    return f"+{text}" if x > 0 and text.strip("0.,") else text


def percent(x: float, digits: int | None = 1) -> str:
    """A share as a percentage; digits None: as short as it was written."""
    return "-" if math.isnan(x) else f"{number(100 * x, digits)}%"


def p_text(p: float) -> str:
    """A p value as journals print it."""
    return "<0.001" if p < 0.001 else number(p, 3)


def with_error(value: float, mcse: float, digits: int) -> str:
    """'26.9 ± 0.2', value ± Monte Carlo standard error; the error has at least one digit that is not 0.

    An error that too few replicates leave unknown is '?', a value that does not exist '-'.
    """
    if math.isnan(value):
        return "-"
    if math.isnan(mcse):
        return f"{number(value, digits)} ± ?"
    return f"{number(value, digits)} ± {_error(mcse, digits)}"


def _error(mcse: float, digits: int) -> str:
    if mcse <= 1e-12:
        return "0"
    return number(mcse, max(digits, -math.floor(math.log10(mcse))) if mcse < 0.5 * 10**-digits else digits)


def days_as_months(days: float, digits: int = 1) -> str:
    """'25.9 months', of 30.4375 days."""
    text = number(days / MONTH_DAYS, digits)
    return f"{text} {'month' if text == '1' else 'months'}"


def date_text(date: dt.date) -> str:
    """'4 January 2021', in every locale."""
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"
