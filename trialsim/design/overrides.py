"""`--set arms.coach.start_prob=0.8`: one value of a design replaced before the design is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from trialsim.design.shape import Kinds, close_to, default_of, descend, keys_of, narrowed
from trialsim.design.yamltree import Finding, Mark, Node, Path, dotted, planted, printable, read_value, shown

MAX_TEXT = 120


class _Refused(Exception):
    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.rule)


def mark_of(text: str) -> Mark:
    """The place that faults of an override are told with: its text."""
    return Mark(f"--set {printable(text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + '...')}")


def overridden(root: Node, text: str, *, model: type[BaseModel]) -> tuple[Node, list[Finding]]:
    """The data with the override `text` ("a.b.c=VALUE") applied, or as it was if that is not possible.

    VALUE is read as in a file. The path must exist in the data, or be a field that the model allows there.
    """
    mark = mark_of(text)
    where, equals, value = text.partition("=")
    parts = tuple(where.strip().split("."))
    if not equals or not all(parts):
        return root, [Finding(mark, (), "must have the form a.b.c=VALUE", given=shown(text))]
    read = read_value(value, mark=mark)
    if read.root is None:
        return root, [replace(finding, path=parts) for finding in read.findings]
    findings = [replace(finding, path=(*parts, *finding.path)) for finding in read.findings]
    root, refused = placed(root, parts, read.root, model=model)
    return root, [*findings, *refused]


def placed(root: Node, path: Sequence[str], value: Node, *, model: type[BaseModel]) -> tuple[Node, list[Finding]]:
    """The data with a value put at a path, or as it was if there is no such path; told at the place of its key."""
    try:
        return _placed(root, (model,), (), tuple(path), value), []
    except _Refused as refused:
        return root, [refused.finding]


def _placed(node: Node, kinds: Kinds, done: Path, rest: tuple[str, ...], value: Node) -> Node:
    """The node with the value put at the path `rest` below it."""
    if not rest:
        return value
    kinds = narrowed(kinds, node.content)
    name, path = rest[0], (*done, rest[0])
    if isinstance(node.content, list):
        index = _index(node.content, path, value.key_mark)
        child = _placed(node.content[index], descend(kinds, index), path, rest[1:], value)
        return replace(node, content=[*node.content[:index], child, *node.content[index + 1 :]])
    if not isinstance(node.content, dict):
        raise _Refused(Finding(value.key_mark, path, f"'{dotted(done)}' has no keys", "Set it as a whole."))
    if name not in node.content and name not in keys_of(kinds):
        raise _Refused(_no_such(path, [*node.content, *keys_of(kinds)], value.key_mark))
    old = node.content.get(name)
    if old is None or (old.content is None and len(rest) > 1):
        old = _blank(kinds, name, value.mark)
    child = _placed(old, descend(kinds, name), path, rest[1:], value)
    return replace(node, content={**node.content, name: child})


def _blank(kinds: Kinds, name: str, mark: Mark) -> Node:
    """What the model takes where the data says nothing: an override changes one value of that."""
    default: Any = default_of(kinds, name)
    return planted(default if isinstance(default, dict) else {}, mark=mark)


def _index(items: list[Node], path: Path, mark: Mark) -> int:
    name = str(path[-1])
    if name.isdecimal() and name.isascii() and len(name) < 7 and int(name) < len(items):
        return int(name)
    what = f"The list has items 0 to {len(items) - 1}." if items else "The list is empty."
    raise _Refused(Finding(mark, path, f"no '{dotted(path)}'", what))


def _no_such(path: Path, known: list[str], mark: Mark) -> Finding:
    known = list(dict.fromkeys(known))
    close = close_to(str(path[-1]), known)
    if close:
        hint = f"Did you mean '{dotted((*path[:-1], close))}'?"
    else:
        hint = f"Keys there: {', '.join(known)}." if known else ""
    return Finding(mark, path, f"no '{dotted(path)}'", hint)
