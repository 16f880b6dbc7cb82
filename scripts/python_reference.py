#!/usr/bin/env python
"""Renew the table of all names of `trialsim` in docs/python.md, from signatures and docstrings.

    python scripts/python_reference.py [--check]

With --check nothing is written; exit code 1 says that the page is stale.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from pages import ROOT, kept, markdown, renewed

import trialsim

PAGE = ROOT / "docs" / "python.md"


def called(name: str, thing: Any) -> str:
    """How a function is called, without types; a class by its name."""
    if inspect.isclass(thing):
        return name
    parameters = inspect.signature(thing).parameters.values()
    return f"{name}({', '.join(_arguments(parameters))})"


def _arguments(parameters: Any) -> Iterator[str]:
    named_only = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not named_only:
            named_only = True
            yield "\\*"
        default = parameter.default
        yield parameter.name if default is parameter.empty else f"{parameter.name}={_shown(default)}"


def _shown(default: Any) -> str:
    return getattr(default, "__name__", None) or repr(default)


def meaning(thing: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    doc = inspect.getdoc(thing) or ""
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")


def table() -> str:
    """A row for each name: functions first, then classes."""
    things = [(name, getattr(trialsim, name)) for name in trialsim.__all__ if not name.startswith("_")]
    ordered = sorted(things, key=lambda pair: (inspect.isclass(pair[1]), pair[0].lower()))
    rows = [[f"`{called(name, thing)}`".replace("\\*", "*"), meaning(thing)] for name, thing in ordered]
    return markdown(["name", "what it is"], rows, "ll")


def main() -> int:
    """Renew the page, or say whether it is stale."""
    page = renewed(PAGE.read_text("utf-8"), {"names": table()})
    fresh = kept(PAGE, page, check="--check" in sys.argv[1:])
    print("up to date" if fresh else "stale: run python scripts/python_reference.py")
    return int(not fresh)


if __name__ == "__main__":
    sys.exit(main())
