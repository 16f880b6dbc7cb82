"""Plain scalars of YAML 1.2: what one word of a design file means. `no` is text, 5e-2 a number, 017 is 17."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable

Scalar = str | int | float | bool | dt.date | None

LARGEST_INT = 2**63 - 1

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Refused(Exception):
    """A single value that cannot be read; holds the rule and a hint."""

    def __init__(self, rule: str, hint: str = "") -> None:
        self.rule, self.hint = rule, hint
        super().__init__(rule)


def text_of(text: str) -> str:
    """Text, if it can be written to a file again; else Refused is raised."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise Refused("the text holds half of a surrogate pair", "Write the character itself.")
    return text


def _int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise Refused("not a number in YAML 1.2", "Write plain digits, or put text in quotes.")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    value = int(text, base) if len(text) <= 100 else LARGEST_INT + 1
    if abs(value) > LARGEST_INT:
        raise Refused("the number is too large", f"The largest is {LARGEST_INT}.")
    return value


def _float(text: str) -> float:
    if _NOT_FINITE.fullmatch(text):
        raise Refused("must be a finite number")
    if not _FLOAT.fullmatch(text):
        raise Refused("not a number in YAML 1.2", "Write plain digits, or put text in quotes.")
    if not math.isfinite(float(text)):
        raise Refused("must be a finite number")
    return float(text)


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Refused("must be true or false")
    return text.lower() == "true"


def _null(text: str) -> None:
    if text.lower() not in ("", "~", "null"):
        raise Refused("the tag !!null is for an empty value")


def _date(text: str) -> dt.date:
    if not _DATE.fullmatch(text):
        raise Refused("must be a date (YYYY-MM-DD)", "Leave out the time of day.")
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Refused("there is no such date", "Dates are year-month-day: YYYY-MM-DD.") from None


SCALARS: dict[str, Callable[[str], Scalar]] = {
    "str": text_of,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "null": _null,
    "timestamp": _date,
    "merge": text_of,
    "value": text_of,
}
"""By YAML's tag: how to read the text. Each raises Refused."""


def is_number(text: str) -> bool:
    """Whether a plain word would be read as a number."""
    return bool(_INT.fullmatch(text) or _FLOAT.fullmatch(text))
