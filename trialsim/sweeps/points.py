"""Rows become design points: every point's design is validated in full, and every fault told once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, ValidationError

from trialsim.design.faults import findings_of
from trialsim.design.overrides import placed
from trialsim.design.parts import Design
from trialsim.design.reader import File, digest, refusal
from trialsim.design.yamltree import Finding, Mark, Node, Path, plain, shown
from trialsim.sweeps.axes import SCENARIO, Row
from trialsim.sweeps.sweep import DesignPoint, Value

MAX_TOLD = 50
"""Faults told at once."""
MAX_LABEL = 120


@dataclass(frozen=True)
class Origin:
    """What the points of a sweep are made of, apart from their own values."""

    base: File
    always: Row
    """Values that all points have."""
    packs: dict[str, Row]
    """Values that points of a scenario have over those."""
    seed: int
    common_random_numbers: bool

    @cached_property
    def root(self) -> Node:
        """The base with what all points have, as far as it can be placed."""
        return _laid(self.base.root, self.always)[0]

    def layers(self, row: Row) -> tuple[Row, Row, Row]:
        """What is laid over the base for a point, the last winning."""
        pack = row.get(SCENARIO)
        values = {path: node for path, node in row.items() if path != SCENARIO}
        return self.always, self.packs[str(pack.content)] if pack else {}, values


def points_of(origin: Origin, rows: Iterator[Row], *, names: Sequence[str], at: Mark) -> tuple[DesignPoint, ...]:
    """The design points, numbered in the order of their rows.

    `names` are the sweep's sources in the order in which faults are told; equal points are told at the place `at`.
    Raises DesignError with the faults of every point, and for points that are the same design.
    """
    designs, told = _Designs(origin), _Told(origin.base)
    points: list[DesignPoint] = []
    for number, row in enumerate(rows):
        values = {path: plain(node) for path, node in row.items()}
        made = designs.of(row)
        if isinstance(made, Design):
            mark = digest(made)
            points.append(DesignPoint(number, values, made, mark, _seed(origin, mark)))
        else:
            told.add(made, label=_label(number, values), layers=origin.layers(row))
        told.n_points += 1
    findings = list(told.findings()) or list(_repeated(points, at))
    if findings:
        raise refusal(findings, [*names, *origin.base.names])
    return tuple(points)


def _laid(root: Node, values: Row) -> tuple[Node, list[Finding]]:
    """A design's data with values put at dotted paths, and a finding for each path that does not exist."""
    findings: list[Finding] = []
    for path, node in values.items():
        root, found = placed(root, path.split("."), node, model=Design)
        findings += found
    return root, findings


def _seed(origin: Origin, design_digest: str) -> int:
    """The sweep's, or one of the point's own: 63 bits that do not depend on other points."""
    if origin.common_random_numbers:
        return origin.seed
    text = f"{origin.seed}:{design_digest}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _label(number: int, values: dict[str, Value]) -> str:
    told = ", ".join(f"{path}={shown(value)}" for path, value in values.items())
    told = told if len(told) <= MAX_LABEL else f"{told[: MAX_LABEL - 3]}..."
    return f"point {number} ({told})" if told else f"point {number}"


def _repeated(points: list[DesignPoint], at: Mark) -> Iterator[Finding]:
    """One finding if points are the same design: they would be simulated twice."""
    first: dict[str, DesignPoint] = {}
    pairs = [(first.setdefault(point.digest, point), point) for point in points]
    pairs = [(one, other) for one, other in pairs if one is not other]
    if pairs:
        one, other = (_label(point.number, point.values) for point in pairs[0])
        more = f" {len(pairs):,} points repeat an earlier one." if len(pairs) > 1 else ""
        yield Finding(at, ("axes",), f"{one} and {other} are the same design", f"Drop one of the two.{more}")


class _Designs:
    """Makes designs of rows. What points have in common is validated once and held once."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.trunks: dict[str, tuple[Node, list[Finding]]] = {}
        self.parts = _Parts()

    def of(self, row: Row) -> Design | list[Finding]:
        """The design of a point, or what is wrong with it."""
        trunk, findings = self._trunk(row)
        root, more = _laid(trunk, self.origin.layers(row)[-1])
        findings = [*findings, *more]
        try:
            design = Design.model_validate(self.parts.data(root))
        except ValidationError as error:
            return [*findings, *findings_of(error, model=Design, root=root)]
        return findings or design

    def _trunk(self, row: Row) -> tuple[Node, list[Finding]]:
        """The data of all points of a scenario, before their own values."""
        name = str(row[SCENARIO].content) if SCENARIO in row else ""
        if name not in self.trunks:
            always, pack, _ = self.origin.layers(row)
            root, findings = _laid(self.origin.base.root, always)
            root, more = _laid(root, pack)
            self.trunks[name] = root, [*findings, *more]
            self.parts.learn(root)
        return self.trunks[name]


class _Parts:
    """Validated parts by the node they were made of: a point that leaves a part alone takes it over."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Node, BaseModel]] = {}  # holding the node keeps its id from being used again

    def learn(self, root: Node) -> None:
        """Remember the parts of a design, if it is valid by itself."""
        try:
            self._remember(root, Design.model_validate(self.data(root)))
        except ValidationError:
            return  # a point's own values may mend it

    def data(self, node: Node) -> Any:
        """The node's data, known parts in their place."""
        if id(node) in self.known:
            return self.known[id(node)][1]
        if isinstance(node.content, dict):
            return {key: self.data(child) for key, child in node.content.items()}
        if isinstance(node.content, list):
            return [self.data(child) for child in node.content]
        return node.content

    def _remember(self, node: Node, value: Any) -> None:
        if isinstance(value, BaseModel):
            self.known.setdefault(id(node), (node, value))
        if isinstance(node.content, dict):
            for key, child in node.content.items():
                self._remember(child, value[key] if isinstance(value, dict) else getattr(value, key))
        elif isinstance(node.content, list):
            for child, item in zip(node.content, value, strict=True):
                self._remember(child, item)


@dataclass
class _Told:
    """Faults of points, each with the number of points that have it and the first of them."""

    base: File
    n_points: int = 0
    faults: dict[tuple[Mark, Path, str], tuple[Finding, int, str]] = field(default_factory=dict)

    def add(self, findings: list[Finding], *, label: str, layers: Sequence[Row]) -> None:
        """Count the faults of one point."""
        for finding in {self._blamed(finding, layers): None for finding in findings}:
            key = (finding.mark, finding.path, finding.rule)
            first, n, where = self.faults.get(key, (finding, 0, label))
            self.faults[key] = first, n + 1, where

    def findings(self) -> Iterator[Finding]:
        """The faults, each with the points that have it."""
        for finding, n, label in list(self.faults.values())[:MAX_TOLD]:
            points = (
                f"In {n:,} of {self.n_points:,} points, first: {label}." if n < self.n_points else "In every point."
            )
            yield replace(finding, hint=f"{finding.hint} {points}".lstrip() if self.n_points > 1 else finding.hint)
        if len(self.faults) > MAX_TOLD:
            yield Finding(Mark("and"), (), f"{len(self.faults) - MAX_TOLD:,} more faults")

    @cached_property
    def own(self) -> set[Finding]:
        """What is wrong with the base by itself."""
        try:
            Design.model_validate(plain(self.base.root))
        except ValidationError as error:
            return set(findings_of(error, model=Design, root=self.base.root))
        return set()

    def _blamed(self, finding: Finding, layers: Sequence[Row]) -> Finding:
        """A value of the base that fits no longer is told at the sweep's value nearest to it in the design."""
        if finding.mark.source not in self.base.names or finding in self.own:
            return finding
        entries = [entry for layer in layers for entry in layer.items()]
        near = max(reversed(entries), key=lambda entry: _in_common(entry[0], finding.path), default=None)
        if near is None or not _in_common(near[0], finding.path):
            return finding
        hint = f"{finding.hint} It conflicts with '{near[0]}', given here; in the base: {finding.mark}.".lstrip()
        return replace(finding, mark=near[1].best_mark, hint=hint)


def _in_common(path: str, other: Path) -> int:
    """How many keys two paths share from the start."""
    pairs = zip(path.split("."), map(str, other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
