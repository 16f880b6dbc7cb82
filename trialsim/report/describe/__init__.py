"""A design in sentences and small tables, to be held against a protocol, and the true effects it implies."""

from __future__ import annotations

from collections.abc import Iterator

from trialsim.design.parts import Design
from trialsim.report.describe import allocation, arms, assessment, enrolment, implied, outcomes, people, plan
from trialsim.world.world import World

__all__ = ["describe", "implies", "stated"]


def describe(design: Design, *, n_replicates: int = 64, seed: int = 1) -> str:
    """The design in words; its last section is computed from `n_replicates` simulated replicates.

    Raises ValueError for fewer than 1 replicate or a negative seed.
    """
    world = World(design)
    computed = implies(world, n_replicates=n_replicates, seed=seed)
    return "\n\n".join([*stated(world), *computed])


def stated(world: World) -> list[str]:
    """What the design's file says, in pieces."""
    return [piece for section in _stated(world) for piece in section]


def implies(world: World, *, n_replicates: int = 64, seed: int = 1) -> list[str]:
    """What the design implies, in pieces; ValueError as for `describe`."""
    if n_replicates < 1 or seed < 0:
        raise ValueError("n_replicates must be 1 or more and seed 0 or more")
    return implied.implied(world, n_replicates=n_replicates, seed=seed)


def _stated(world: World) -> Iterator[list[str]]:
    """The sections that say what the design's file says."""
    design = world.design
    yield enrolment.title(design)
    yield enrolment.timeline(design)
    yield enrolment.recruitment(design)
    yield enrolment.funnel(design)
    yield people.participants(world)
    yield allocation.allocation(design)
    yield allocation.clusters(design)
    yield allocation.changes(design)
    yield arms.arms(world)
    yield outcomes.outcomes(design)
    yield assessment.visits(design)
    yield assessment.answers(world)
    yield plan.analyses(design)
    yield plan.decisions(design)
    yield plan.costs(design)
