"""Names that a design uses and others that it declares: problems where they do not meet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

Path = tuple[str | int, ...]
Problem = tuple[Path, str, str]
"""Where, the rule that is broken, a hint."""


def unknown(path: Path, names: Iterable[object], known: Iterable[str], what: str) -> Iterator[Problem]:
    """A problem for each name that is not known, at path + name."""
    known = list(known)
    for name in names:
        if str(name) not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(known) or 'none'}."
            yield (*path, str(name)), f"there is no {what} '{name}'", hint


def named(path: Path, name: str, known: Iterable[str], what: str) -> Iterator[Problem]:
    """The same for a name that is a value, at its own path."""
    for _, rule, hint in unknown((), [name], known, what):
        yield path, rule, hint


def complete(path: Path, given: Iterable[str], wanted: Iterable[str], what: str) -> Iterator[Problem]:
    """Problems for names that are not known, and one for those that are missing."""
    given, wanted = list(given), list(wanted)
    yield from unknown(path, given, wanted, what)
    missing = [name for name in wanted if name not in given]
    if missing:
        yield path, f"no value for {what} {', '.join(missing)}", "Every one needs a value."
