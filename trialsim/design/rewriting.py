"""Numbers replaced in the text of a design file, each where it stands; all else, comments too, stays as it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trialsim.design.yamltree import LINE_BREAK, Node, printable, read_tree
from trialsim.errors import TrialsimError

_LINES = re.compile(f"({LINE_BREAK.pattern})")
_NUMBER = re.compile(r"[-+]?[0-9.][0-9.eE+-]*(?=[\s,\]}]|$)")
_CODE = re.compile(r"""(?:[^"'#]|"(?:\\.|[^"\\])*"|'[^']*'|(?<=\S)#)*""")
"""A line up to its comment: a # that follows no space is part of a word."""
_FITTED = "fitted"


@dataclass(frozen=True, slots=True)
class Change:
    """A number to put at a dotted path. Without `fitted_to` the line's comment stays."""

    path: str
    text: str
    fitted_to: str = ""


def rewritten(text: str, changes: Sequence[Change], *, source: Path) -> str:
    """The text with all changes made, and a comment `fitted to: ...` on the lines of those that were fitted.

    Such a comment takes the place of one that began with `fitted`; another one is kept behind it. TrialsimError where a
    path is not written in the text as a plain number.
    """
    root = read_tree(text.encode(), source=printable(str(source))).root
    by_line: dict[int, list[tuple[int, Change]]] = {}
    for change in changes:
        mark = _node(root, change.path, source).mark
        by_line.setdefault(mark.line, []).append((mark.column - 1, change))
    parts = _LINES.split(text)
    for line, here in by_line.items():
        parts[2 * (line - 1)] = _changed(parts[2 * (line - 1)], sorted(here, key=lambda one: -one[0]), source)
    return "".join(parts)


def _node(root: Node | None, path: str, source: Path) -> Node:
    node = root
    for part in path.split("."):
        if node is not None:
            node = node.child(int(part) if isinstance(node.content, list) and part.isdecimal() else part)
    if node is None:
        raise TrialsimError(
            f"'{path}' is not written in {source}: it is a default or comes from the file that this one extends. "
            f"Write it there first, or leave out --out."
        )
    return node


def _changed(line: str, changes: Sequence[tuple[int, Change]], source: Path) -> str:
    """One line with its changes, the last first."""
    code = _CODE.match(line)
    end = len(code[0]) if code and line[code.end() : code.end() + 1] == "#" else len(line)
    new, comment = line[:end], line[end:]
    for column, change in changes:
        found = _NUMBER.match(new, column)
        if found is None:
            raise TrialsimError(f"'{change.path}' is not written as a plain number in {source}: write it so first.")
        new = new[: found.start()] + change.text + new[found.end() :]
    fitted = [change for _, change in reversed(changes) if change.fitted_to]
    if fitted:
        comment = _comment(fitted, comment.lstrip("#").strip(), several="{" in new)
    return _joined(new, comment, end)


def _comment(fitted: Sequence[Change], old: str, *, several: bool) -> str:
    """The comment of a line; where it holds several numbers, those that were fitted are named by their keys."""
    names = [f"{change.path.rpartition('.')[2]}: " if several else "" for change in fitted]
    targets = "; ".join(f"{name}{change.fitted_to}" for name, change in zip(names, fitted, strict=True))
    return f"# fitted to: {targets}" + (f" (before: {old})" if old and not old.startswith(_FITTED) else "")


def _joined(code: str, comment: str, column: int) -> str:
    """Code and comment, which begins in its old column if there is room."""
    if not comment:
        return code
    code = code.rstrip()
    return f"{code.ljust(max(column, len(code) + 2))}{comment}"
