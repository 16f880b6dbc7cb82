"""The latent course of every outcome from visit to visit, without what any arm does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trialsim.design.outcomes import Outcome
from trialsim.world import formulas
from trialsim.world.clusters import cluster_normals
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats
from trialsim.world.plans import Plan
from trialsim.world.streams import Stream
from trialsim.world.traits import joint_normals
from trialsim.world.world import World


def latent_course(plan: Plan, draws: Draws) -> Iterator[tuple[list[Floats], list[Floats]]]:
    """Visit by visit, each outcome's level (N, R) without any effect of an arm, error included; and the error's luck.

    Lists are by outcome.
    """
    world = plan.world
    n, outcomes = len(plan.cohort.valid), world.design.outcomes
    change: list[Floats] = []
    recovery: list[Floats] = []
    steady = [_steady(plan, draws, k) for k in range(len(outcomes))]
    for name, visit in world.design.visits.items():
        change = _next(world, draws, Stream.CHANGE, n, name, change)
        if any(outcome.recovery for outcome in outcomes.values()):
            recovery = _next(world, draws, Stream.RECOVERY, n, name, recovery)
        error = joint_normals(world, [draws.normal(Stream.ERROR, n, k, name) for k in outcomes])
        levels = []
        for k, outcome in enumerate(outcomes.values()):
            level = outcome.error_sd * error[k]
            level += steady[k]
            level += outcome.course.get(name, 0.0)
            level += _residual(outcome, name, change[k], recovery[k] if recovery else None)
            if (shift := world.calendar_shifts[k]) is not None:
                level += shift.take(plan.cohort.randomized_day + visit.day, mode="clip")  # rows without anybody
            levels.append(level)
        yield levels, error


def _steady(plan: Plan, draws: Draws, k: int) -> Floats:
    """What is the same at every visit."""
    cohort, outcome = plan.cohort, plan.world.design.outcomes[plan.world.outcomes[k]]
    steady = cohort.stable[k] + outcome.motivation * cohort.motivation
    if outcome.cluster_change_sd and cohort.cluster is not None:
        change = cluster_normals(plan.world, draws, Stream.CLUSTER_CHANGE, plan.world.outcomes[k])
        steady += outcome.cluster_change_sd * change[cohort.cluster, np.arange(steady.shape[1])]
    return steady


def _next(world: World, draws: Draws, stream: Stream, n: int, visit: str, before: list[Floats]) -> list[Floats]:
    """Standard normals of each outcome at a visit, autocorrelated with those at the visit before."""
    fresh = joint_normals(world, [draws.normal(stream, n, name, visit) for name in world.outcomes])
    if not before:
        return fresh
    persistence = [outcome.persistence for outcome in world.design.outcomes.values()]
    return [formulas.correlated(b, f, p) for b, f, p in zip(before, fresh, persistence, strict=True)]


def _residual(outcome: Outcome, visit: str, change: Floats, recovery: Floats | None) -> Floats:
    """Two-component residual: own change, or (with the visit's share) a marked fall with a spread of its own."""
    if outcome.recovery is None or recovery is None:
        return outcome.change_sd * change
    recovers = (recovery < formulas.probit(outcome.recovery.prob[visit])).astype(float)  # once, not in each product
    residual = recovers * (outcome.recovery.sd - outcome.change_sd)
    residual += outcome.change_sd
    residual *= change
    recovers *= outcome.recovery.drop
    residual -= recovers
    return np.asarray(residual)
