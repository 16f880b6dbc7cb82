"""Worlds in which some arms do not differ: the design with the same effect in each class of a partition of the arms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trialsim.design.parts import Design

Partition = tuple[tuple[str, ...], ...]


def partitions(arms: tuple[str, ...]) -> Iterator[Partition]:
    """All ways to divide the arms into classes, from all equal to all different."""
    found = sorted(_partitions(list(arms)), key=len)
    yield from (tuple(tuple(part) for part in parts) for parts in found)


def _partitions(arms: list[str]) -> list[list[list[str]]]:
    if not arms:
        return [[]]
    first, found = arms[0], []
    for rest in _partitions(arms[1:]):
        found.append([[first], *rest])
        found += [[*rest[:i], [first, *rest[i]], *rest[i + 1 :]] for i in range(len(rest))]
    return found


def null_designs(design: Design) -> Iterator[tuple[Partition, Design]]:
    """The design under every partial null hypothesis: each partition of the arms in which some arms are equal.

    Arms that are equal have no effect if one of them has none (usual care), and differ then in delivery, cost and
    answering only; coaches still differ from each other (their levels have mean 0). Otherwise all have delivery,
    adherence, dose and effects of the class's first arm; tapers, contamination and co-intervention count as effects.
    Answering and withdrawal stay each arm's own.
    """
    for parts in partitions(tuple(design.arms)):
        if all(len(part) == 1 for part in parts):
            continue
        yield parts, equal_within(design, parts)


def equal_within(design: Design, parts: Partition) -> Design:
    """The design with arms made equal within each class."""
    changed = dict(design.arms)
    for part in parts:
        if len(part) == 1:
            continue
        without = any(not _has_effect(design, arm) for arm in part)
        model = design.arms[part[0]]
        for arm in part:
            same = _NO_EFFECT if without else {name: getattr(model, name) for name in (*_OF_DELIVERY, *_NO_EFFECT)}
            changed[arm] = design.arms[arm].model_copy(update=same)
    return design.model_copy(update={"arms": changed})


_OF_DELIVERY = ("delivery", "start_prob", "stop_prob", "dose", "dose_scale")
_NO_EFFECT: dict[str, Any] = {"effects": {}, "tapers": {}, "contamination": None, "co_intervention": None}


def _has_effect(design: Design, arm: str) -> bool:
    own = design.arms[arm]
    return bool(own.tapers) or any(any(effect.by_visit.values()) for effect in own.effects.values())
