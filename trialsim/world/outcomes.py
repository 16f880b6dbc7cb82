"""Outcomes: every participant's value at every visit under every arm, with the same luck; then the realised one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.outcomes import Dose, Events, Ordinal, Outcome, Score
from trialsim.design.parts import Arm
from trialsim.world import formulas
from trialsim.world.choose import of_arm
from trialsim.world.draws import Draws
from trialsim.world.formulas import Bools, Floats, Ints
from trialsim.world.held import Held, what_is_held
from trialsim.world.histories import Histories
from trialsim.world.plans import Plan
from trialsim.world.streams import Stream
from trialsim.world.traits import joint_normals
from trialsim.world.world import World

Steps = NDArray[np.int16]


@dataclass(frozen=True)
class Outcomes:
    """Values in grid steps; K outcomes, A arms, V visits, N participants, R replicates."""

    potential: Steps  # (K, A, V, N, R) value under each arm, as if alive and in the study
    realised: Steps  # (K, V, N, R) value under the arm given
    sessions: NDArray[np.int8]  # (A, V, N, R) sessions attended by each visit's due day, under each arm
    realised_sessions: NDArray[np.int8]  # (V, N, R)
    all_sessions: NDArray[np.int8]  # (A, N, R) sessions attended in the end, under each arm
    full_dose: Steps | None  # (K, A, V, N, R) had everybody attended all sessions; None where no analysis asks
    event_day: dict[int, Ints]  # (A, N, R) by number of each outcome of kind event: days from randomization to it


def make_outcomes(plan: Plan, draws: Draws, histories: Histories) -> Outcomes:
    """Potential outcomes from the courses each participant had, or would have had, under each arm."""
    world = plan.world
    n = len(plan.cohort.valid)
    held = [what_is_held(plan, histories, arm) for arm in range(len(world.arms))]
    sessions = np.stack([one.by_visit for one in held])
    potential = np.empty((len(world.outcomes), *sessions.shape), dtype=np.int16)
    full_dose = np.empty_like(potential) if world.asks_full_dose else None
    heterogeneity = joint_normals(world, [draws.normal(Stream.HETEROGENEITY, n, name) for name in world.outcomes])
    coaches = [_coach_levels(world, draws, a, one) for a, one in enumerate(held)]
    for v, levels in enumerate(_levels(plan, draws)):
        for a, arm in enumerate(world.design.arms.values()):
            share = _share(arm, sessions[a, v])
            for k, (name, outcome) in enumerate(world.design.outcomes.items()):
                full = _full_effect(arm, name, world.visits[v], heterogeneity[k])
                value = levels[k] + share * full
                if (coach := coaches[a][k]) is not None:
                    value += coach * (sessions[a, v] > 0)  # a coach who has been seen by then
                potential[k, a, v] = formulas.to_grid(value, outcome.low, outcome.high, outcome.items)
                if full_dose is not None:
                    value = levels[k] + full + (0.0 if coach is None else coach)
                    full_dose[k, a, v] = formulas.to_grid(value, outcome.low, outcome.high, outcome.items)
    return Outcomes(
        potential=potential,
        realised=np.stack([of_arm(values, histories.arm) for values in potential]),
        sessions=sessions,
        realised_sessions=of_arm(sessions, histories.arm),
        all_sessions=np.stack([one.in_the_end for one in held]),
        full_dose=full_dose,
        event_day={},
    )


# --- the latent course ------------------------------------------------------------------------------------------------


def _levels(plan: Plan, draws: Draws) -> Iterator[list[Floats]]:
    """Visit by visit, each outcome's level (N, R) without any effect of an arm, measurement error included."""
    world, cohort = plan.world, plan.cohort
    n, outcomes = len(cohort.valid), world.design.outcomes
    change: list[Floats] = []
    recovery: list[Floats] = []
    steady = [cohort.stable[k] + o.motivation * cohort.motivation for k, o in enumerate(outcomes.values())]
    for visit in world.visits:
        change = _next(world, draws, Stream.CHANGE, n, visit, change)
        if any(outcome.recovery for outcome in outcomes.values()):
            recovery = _next(world, draws, Stream.RECOVERY, n, visit, recovery)
        error = joint_normals(world, [draws.normal(Stream.ERROR, n, name, visit) for name in outcomes])
        levels = []
        for k, outcome in enumerate(outcomes.values()):
            level = outcome.error_sd * error[k]
            level += steady[k]
            level += outcome.course[visit]
            level += _residual(outcome, visit, change[k], recovery[k] if recovery else None)
            levels.append(level)
        yield levels


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


# --- effects ----------------------------------------------------------------------------------------------------------


def _share(arm: Arm, sessions: NDArray[np.int8]) -> Floats | float:
    """Share of the full dose after so many sessions."""
    if arm.dose == "assigned" or arm.delivery.kind == "none":
        return 1.0
    planned = len(arm.delivery.modules)
    return formulas.saturating_dose(np.arange(planned + 1), planned, arm.dose_scale).take(sessions)


def _full_effect(arm: Arm, outcome: str, visit: str, luck: Floats) -> Floats | float:
    """Effect of an arm by the visit, had all sessions been attended: mean + SD x own luck."""
    effect = arm.effects.get(outcome)
    if effect is None:
        return 0.0
    return effect.by_visit[visit] + effect.sd * luck if effect.sd > 0 else effect.by_visit[visit]


def _coach_levels(world: World, draws: Draws, arm: int, held: Held) -> list[Floats | None]:
    """What everybody's coach adds to each outcome; 0 without a coach."""
    n_coaches = len(world.design.coaches(world.arms[arm]))
    found: list[Floats | None] = []
    for name, outcome in world.design.outcomes.items():
        if held.coach is None or outcome.coach_sd == 0:
            found.append(None)
            continue
        level = outcome.coach_sd * draws.normal(Stream.COACH_LEVEL, n_coaches, world.arms[arm], name)
        found.append(held.staff_level(level))
    return found


# --- endpoints --------------------------------------------------------------------------------------------------------


def is_responder(outcome: Outcome, baseline: Steps, value: Steps) -> Bools:
    """Whether a value (in grid steps) is a response by the rule of the outcome's kind.

    score: lower than at baseline by the required fraction (nobody with a baseline of 0 or less); binary: yes; ordinal:
    at `responder_from` or higher; count: none; event: has happened; dose: 0.
    """
    if isinstance(outcome, Score):
        return value <= responder_limits(outcome).take(baseline)
    if isinstance(outcome, Ordinal):
        return value >= list(outcome.levels).index(outcome.responder_from)
    return value == 0 if isinstance(outcome, Events | Dose) else value > 0


def responder_limits(outcome: Score) -> Steps:
    """For each baseline on the grid, the highest value (both in grid steps) that counts as a response; -1: none does.

    That is the baseline minus the required fraction of its value.
    """
    value = grid_points(outcome)
    limit = np.floor((value * (1 - outcome.responder_fall) - outcome.low) * outcome.items + 1e-9)
    return np.where(value > 0, np.maximum(limit, -1), -1).astype(np.int16)


def grid_points(outcome: Outcome) -> Floats:
    """All values of an instrument from the lowest to the highest, by number of grid steps [points]."""
    steps = np.arange(round((outcome.high - outcome.low) * outcome.items) + 1).astype(np.int16)
    return formulas.from_grid(steps, outcome.low, outcome.items)
