"""Plain data as YAML 1.2 text that reads back the same, also where text looks like something else."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9_ ./()%+-]*[A-Za-z0-9_./()%+-])?")
# The last six mean true and false to readers of YAML 1.1.
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def yaml_text(data: dict[str, object]) -> str:
    """The text of nested dicts, lists (or tuples) and scalars; lists of scalars stand on one line."""
    return "".join(f"{line}\n" for line in _lines(data))


def _lines(value: object) -> Iterator[str]:
    """The lines of a block collection, not indented."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _entry(f"{scalar(str(key))}:", child)
    elif isinstance(value, list | tuple):
        for child in value:
            first, *rest = [_flow(child)] if _is_short(child) else _lines(child)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _entry(key: str, value: object) -> Iterator[str]:
    if _is_short(value):
        yield f"{key} {_flow(value)}"
        return
    yield key
    yield from (f"  {line}" for line in _lines(value))


def _is_short(value: object) -> bool:
    """Whether it goes on its key's line: scalars, lists of them, and what is empty."""
    if isinstance(value, list | tuple):
        return not any(isinstance(child, dict | list | tuple) for child in value)
    return not isinstance(value, dict) or not value


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(scalar, value))}]"
    return scalar(value)


def scalar(value: object) -> str:
    """One value, in quotes where it must be."""
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if is_plain else f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value.isoformat() if isinstance(value, dt.date) else repr(value)


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
