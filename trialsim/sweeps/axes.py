"""Axes become rows: what each step of an axis sets, by dotted path, every value with its place in the file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trialsim.design.naming import named
from trialsim.design.yamltree import Finding, Node, plain, planted, printable
from trialsim.design.yamltree import Path as Keys
from trialsim.sweeps.csvtable import read_table
from trialsim.sweeps.parts import MAX_POINTS, Axis, Space, SweepFile
from trialsim.sweeps.spaces import latin, sobol, values_of

SCENARIO = "scenario"
"""Stands where a dotted path does, and names a pack."""

Row = dict[str, Node]
"""Values by dotted path."""


@dataclass
class Expansion:
    """The rows of every axis of a sweep file, the mistakes found on the way, and the tables read."""

    file: SweepFile
    root: Node
    """The sweep file's data."""
    base: Node
    """The base design's data, `set` included."""
    folder: Path
    """Where tables are looked for."""
    axes: list[list[Row]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.axes = [self._rows(index, axis) for index, axis in enumerate(self.file.axes)]
        self.findings += _set_twice(self.axes)
        self.findings += self._unknown_scenarios()
        if not self.findings:
            self.findings += self._unused_scenarios()
            self.findings += _too_many(map(len, self.axes), self._node("axes"), ("axes",))

    def points(self) -> Iterator[Row]:
        """Every combination of the axes' rows; of the last axis they change fastest."""
        for rows in itertools.product(*self.axes):
            yield {path: node for row in rows for path, node in row.items()}

    def _rows(self, index: int, axis: Axis) -> list[Row]:
        kind = axis.kinds[0]
        path: Keys = ("axes", index, kind)
        node = self._node(*path)
        if kind == "grid":
            return self._grid(node, path)
        if kind == "zip":
            lists = _lists(node)
            return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
        if kind == "list":
            return [_keys(item) for item in _items(node)]
        if kind == "table":
            return self._table(node, path)
        if kind == "scenarios":
            return [{SCENARIO: name} for name in self._packs(node)]
        return self._space(node, index, axis)

    def _node(self, *path: str | int) -> Node:
        *_, node = self.root.trail(path)
        return node

    def _grid(self, node: Node, path: Keys) -> list[Row]:
        lists = _lists(node)
        findings = _too_many(map(len, lists.values()), node, path)
        self.findings += findings
        return [] if findings else [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]

    def _packs(self, node: Node) -> list[Node]:
        if isinstance(node.content, list):
            return node.content
        return [planted(name, mark=node.mark) for name in self.file.scenarios]

    def _space(self, node: Node, index: int, axis: Axis) -> list[Row]:
        space, draw = (axis.lhs, latin) if axis.lhs else (axis.sobol, sobol)
        assert isinstance(space, Space)
        places = {path: place.key_mark for path, place in _keys(_keys(node)["ranges"]).items()}
        luck = draw(space.points, len(space.ranges), seed=self.file.seed, axis=index)
        columns = [
            [planted(value, mark=places[path]) for value in values_of(uniforms, bounds, path=path, base=self.base)]
            for uniforms, (path, bounds) in zip(luck.T, space.ranges.items(), strict=True)
        ]
        return [dict(zip(places, row, strict=True)) for row in zip(*columns, strict=True)]

    def _table(self, node: Node, path: Keys) -> list[Row]:
        file = self.folder / str(node.content)
        self.sources.append(printable(str(file)))
        rows, findings = read_table(file, named_at=Finding(node.mark, path, ""))
        self.findings += findings
        return rows

    def _scenarios(self) -> dict[str, Node]:
        """The scenarios that rows name, each where it is named first."""
        nodes = [row[SCENARIO] for rows in self.axes for row in rows if SCENARIO in row]
        return {str(plain(node)): node for node in reversed(nodes)}

    def _unknown_scenarios(self) -> Iterator[Finding]:
        for name, node in self._scenarios().items():
            for _, rule, hint in named((), name, self.file.scenarios, "scenario"):
                yield Finding(node.mark, (SCENARIO,), rule, hint)

    def _unused_scenarios(self) -> Iterator[Finding]:
        used = self._scenarios()
        for name in self.file.scenarios:
            if name not in used:
                mark = self._node("scenarios", name).key_mark
                hint = "Add '- scenarios: all' to axes, or drop the pack."
                yield Finding(mark, ("scenarios", name), "no axis names this scenario", hint)


def _keys(node: Node) -> Row:
    assert isinstance(node.content, dict)
    return node.content


def _items(node: Node) -> list[Node]:
    assert isinstance(node.content, list)
    return node.content


def _lists(node: Node) -> dict[str, list[Node]]:
    """The values of each path; the path's place is every value's key's."""
    return {
        path: [replace(item, key_mark=values.key_mark) for item in _items(values)]
        for path, values in _keys(node).items()
    }


def _too_many(lengths: Iterable[int], node: Node, path: Keys) -> list[Finding]:
    n = math.prod(lengths)
    if n <= MAX_POINTS:
        return []
    hint = "An lhs or sobol axis covers a box with fewer points."
    return [Finding(node.key_mark, path, f"these are {n:,} points, and a sweep has at most {MAX_POINTS:,}", hint)]


def _set_twice(axes: Sequence[Sequence[Row]]) -> Iterator[Finding]:
    """No path may stand in two axes: the second would undo the first."""
    first: dict[str, int] = {}
    for index, rows in enumerate(axes):
        mine = {path: node for row in reversed(rows) for path, node in row.items()}
        for path, node in mine.items():
            if first.setdefault(path, index) != index:
                hint = "Let both move together in one axis (zip, list or table), or drop one."
                rule = f"set by axes.{first[path]} already"
                yield Finding(node.key_mark, ("axes", index, path), rule, hint)
