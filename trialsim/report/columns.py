"""Columns of a table that has to fit a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trialsim.report.layout import WIDTH, number, table


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, its cells, and what is said of it below."""

    head: str
    cells: list[str]
    about: str = ""

    @property
    def width(self) -> int:
        """Characters."""
        return max(map(len, [self.head, *self.cells]))


def axis_columns(values: Sequence[dict[str, Any]], axes: Sequence[str]) -> list[Column]:
    """A column for each axis, with a short name."""
    short = short_names(axes)
    return [Column(short[axis], [_value(row[axis]) for row in values], axis) for axis in axes]


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """For each dotted path as many of its last parts as tell it from the others."""
    return {path: _shortest(path, [other for other in paths if other != path]) for path in paths}


def _shortest(path: str, others: Sequence[str]) -> str:
    parts = path.split(".")
    for n in range(1, len(parts)):
        end = ".".join(parts[-n:])
        if not any(f".{other}".endswith(f".{end}") for other in others):
            return end
    return path


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return number(value)


def fitting(
    lead: Sequence[Column], others: Sequence[Column], *, width: int = WIDTH
) -> tuple[list[Column], list[Column]]:
    """Columns that a terminal has room for, the first of `others` in any case; and those that it has not."""
    shown, left = list(lead), list[Column]()
    for place, column in enumerate(others):
        room = width - sum(one.width + 2 for one in shown)
        (shown if column.width <= room or place == 0 else left).append(column)
    return shown, left


def text_of(columns: Sequence[Column]) -> str:
    """The table."""
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return table([column.head for column in columns], rows)


def digits_of(values: Sequence[tuple[float, float]]) -> int:
    """Digits after the point that leave the usual error two that mean something, at most 4, for (value, error)."""
    errors = sorted(error for _, error in values if error > 0)
    if not errors:
        return 0 if all(float(value).is_integer() for value, _ in values) else 2
    return min(4, max(0, 1 - math.floor(math.log10(errors[len(errors) // 2]))))
