"""Do both engines give the same trials? Participant by participant, session by session, event by event."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trialsim.block import Block, simulate_block
from trialsim.design.parts import Design
from trialsim.world.histories import Histories
from trialsim.world.world import World

PARTS = ("participants", "sessions", "observations", "events")

_OF_SESSIONS = ("scheduled_day", "attended_day")
_FIELDS = {
    "participants": [f.name for f in fields(Histories) if f.name not in _OF_SESSIONS],
    "sessions": list(_OF_SESSIONS),
}


@dataclass(frozen=True)
class Difference:
    """The first difference found in one part of one replicate."""

    replicate: int
    part: str
    detail: str


def verify_replicate(world: World, *, seed: int, replicate: int) -> list[Difference]:
    """Differences between the engines in one replicate, at most one per part; empty if they are the same trial."""
    process, vector = (
        simulate_block(world, seed=seed, first=replicate, n_replicates=1, engine=engine)
        for engine in ("process", "vector")
    )
    found = {part: _compare(process, vector, part) for part in PARTS}
    return [Difference(replicate, part, detail) for part, detail in found.items() if detail]


def _compare(process: Block, vector: Block, part: str) -> str:
    if part == "events":
        return _differ("event", process.events(0), vector.events(0))
    if part == "observations":
        named = [
            (f.name, getattr(process.follow, f.name), getattr(vector.follow, f.name)) for f in fields(process.follow)
        ]
        named.append(("value", process.outcomes.realised, vector.outcomes.realised))
    else:
        named = [(n, getattr(process.histories, n), getattr(vector.histories, n)) for n in _FIELDS[part]]
    return next((text for name, a, b in named if (text := _differ(name, a, b))), "")


def _differ(name: str, a: Any, b: Any) -> str:
    """First difference between two arrays, in words; empty if they are equal in shape, type and every value."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{name}: process has {a.dtype} {a.shape}, vector {b.dtype} {b.shape}"
    if np.array_equal(a, b):
        return ""
    place = tuple(int(x) for x in np.argwhere(a != b)[0])
    return f"{name}{list(place)}: process {a[place]}, vector {b[place]} (differing values: {int((a != b).sum())})"


def verify(design: Design, *, replicates: int, seed: int = 1) -> list[Difference]:
    """All differences between the engines over the first replicates of a design."""
    world = World(design)
    return [d for replicate in range(replicates) for d in verify_replicate(world, seed=seed, replicate=replicate)]
