"""Outcomes: every participant's value at every visit under every arm, with the same luck; then the realised one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual
from trialsim.design.parts import Arm, Outcome
from trialsim.world import formulas
from trialsim.world.draws import Draws
from trialsim.world.formulas import LONG, Bools, Floats, Ints
from trialsim.world.histories import NONE, Histories
from trialsim.world.places import may_wait, would_be_offered
from trialsim.world.plans import Course, Plan
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


def make_outcomes(plan: Plan, draws: Draws, histories: Histories) -> Outcomes:
    """Potential outcomes from the courses each participant had, or would have had, under each arm."""
    world = plan.world
    n = len(plan.cohort.valid)
    held = [_potential_course(plan, histories, arm) for arm in range(len(world.arms))]
    counts = np.stack([counts for counts, _ in held])
    sessions = np.ascontiguousarray(counts[:, :-1])
    bases = _bases(plan, draws)
    potential = np.empty((len(world.outcomes), *sessions.shape), dtype=np.int16)
    full_dose = np.empty_like(potential) if world.asks_full_dose else None
    luck = [draws.normal(Stream.HETEROGENEITY, n, name) for name in world.outcomes]
    heterogeneity = joint_normals(world, luck)
    for k, name in enumerate(world.outcomes):
        outcome = world.design.outcomes[name]
        for a, arm in enumerate(world.design.arms.values()):
            coach = _coach_levels(world, draws, a, name, held[a][1])
            for v, visit in enumerate(world.visits):
                value = bases[k][v] + _effect(arm, name, visit, sessions[a, v], heterogeneity[k])
                value += coach * (sessions[a, v] > 0)  # a coach who has been seen by then
                potential[k, a, v] = formulas.to_grid(value, outcome.low, outcome.high, outcome.items)
                if full_dose is not None:
                    value = bases[k][v] + _effect(arm, name, visit, world.session_counts[a], heterogeneity[k]) + coach
                    full_dose[k, a, v] = formulas.to_grid(value, outcome.low, outcome.high, outcome.items)
    given = np.maximum(histories.arm, 0).astype(np.intp)
    return Outcomes(
        potential=potential,
        realised=np.take_along_axis(potential, given[None, None, None], axis=1)[:, 0],
        sessions=sessions,
        realised_sessions=np.take_along_axis(sessions, given[None, None], axis=0)[0],
        all_sessions=np.ascontiguousarray(counts[:, -1]),
        full_dose=full_dose,
    )


# --- the latent course ------------------------------------------------------------------------------------------------


def _bases(plan: Plan, draws: Draws) -> list[list[Floats]]:
    """Level at each visit without any effect of an arm, measurement error included: [outcome][visit] (N, R)."""
    world, cohort = plan.world, plan.cohort
    n, names = len(cohort.valid), world.outcomes
    bases: list[list[Floats]] = [[] for _ in names]
    change: list[Floats] = []
    recovery: list[Floats] = []
    for visit in world.visits:
        change = _next(world, draws, Stream.CHANGE, n, visit, change)
        if any(o.recovery for o in world.design.outcomes.values()):
            recovery = _next(world, draws, Stream.RECOVERY, n, visit, recovery)
        error = joint_normals(world, [draws.normal(Stream.ERROR, n, name, visit) for name in names])
        for k, name in enumerate(names):
            outcome = world.design.outcomes[name]
            base = cohort.stable[k] + outcome.course[visit]
            base += _residual(outcome, visit, change[k], recovery[k] if recovery else None)
            base += outcome.error_sd * error[k]
            if outcome.motivation:
                base += outcome.motivation * cohort.motivation
            bases[k].append(base)
    return bases


def _next(world: World, draws: Draws, stream: Stream, n: int, visit: str, before: list[Floats]) -> list[Floats]:
    """Standard normals of each outcome at a visit, autocorrelated with those at the visit before."""
    fresh = joint_normals(world, [draws.normal(stream, n, name, visit) for name in world.outcomes])
    if not before:
        return fresh
    persistence = [outcome.persistence for outcome in world.design.outcomes.values()]
    return [formulas.correlated(b, f, p) for b, f, p in zip(before, fresh, persistence, strict=True)]


def _residual(outcome: Outcome, visit: str, change: Floats, recovery: Floats | None) -> Floats:
    """Two-component residual: own change, or (with the visit's share) a marked fall with a spread of its own."""
    residual = outcome.change_sd * change
    if outcome.recovery is None or recovery is None:
        return residual
    recovers = recovery < formulas.probit(outcome.recovery.prob[visit])
    return np.where(recovers, outcome.recovery.sd * change - outcome.recovery.drop, residual)


# --- effects ----------------------------------------------------------------------------------------------------------


def _effect(arm: Arm, outcome: str, visit: str, sessions: NDArray[np.int8] | int, luck: Floats) -> Floats | float:
    """Effect of an arm by the visit: share of the full dose x (mean + SD x own luck)."""
    effect = arm.effects.get(outcome)
    if effect is None:
        return 0.0
    full: Floats | float = effect.by_visit[visit]
    if effect.sd > 0:
        full = full + effect.sd * luck
    if arm.dose == "assigned" or arm.delivery.kind == "none":
        return full
    return formulas.saturating_dose(np.asarray(sessions), len(arm.delivery.modules), arm.dose_scale) * full


def _coach_levels(
    world: World, draws: Draws, arm: int, outcome: str, coach: NDArray[np.int16] | None
) -> Floats | float:
    sd = world.design.outcomes[outcome].coach_sd
    if coach is None or sd == 0:
        return 0.0
    staff = world.design.coaches(world.arms[arm])
    level = draws.normal(Stream.COACH_LEVEL, len(staff), world.arms[arm], outcome)
    by_person = np.take_along_axis(level, np.maximum(coach, 0).astype(np.intp), axis=0)
    return np.where(coach >= 0, sd * by_person, 0.0)


def _potential_course(plan: Plan, histories: Histories, arm: int) -> tuple[NDArray[np.int8], NDArray[np.int16] | None]:
    """Sessions by each visit's due day and at all (V + 1, N, R), and coach (N, R), of everybody in this arm."""
    world, cohort = plan.world, plan.cohort
    course = plan.courses[arm]
    shape = (len(world.visits) + 1, *cohort.shape)
    if course is None:
        return np.zeros(shape, dtype=np.int8), None
    exit_day = cohort.randomized_day + plan.exit_after[arm]
    start, coach = cohort.randomized_day, None
    if world.coached(arm):
        start, coach = _potential_start(plan, histories, arm, course, exit_day)
    count = np.zeros(shape, dtype=np.int8)
    # Sessions from the exit day on do not take place; those that never do (LONG) lie after every visit.
    visits = world.design.visits.values()
    until = [np.minimum(cohort.randomized_day + visit.day, exit_day - 1) for visit in visits]
    until.append(np.minimum(exit_day, LONG) - 1)
    for attended in course.attended:
        day = start + attended
        for v, last in enumerate(until):
            count[v] += day <= last
    return count, coach


def _potential_start(
    plan: Plan, histories: Histories, arm: int, course: Course, exit_day: Ints
) -> tuple[Ints, NDArray[np.int16]]:
    """First appointment (LONG if none) and coach of everybody, were they on the list of this arm.

    Members have what they had; the others what the list had in store for them. In a replicate where places are always
    free nobody waits, and the coach is the last one who was given somebody.
    """
    delivery = plan.world.design.arms[plan.world.arms[arm]].delivery
    assert isinstance(delivery, Individual)
    asks = plan.cohort.randomized_day + delivery.referral_days
    offer, coach = _at_once(arm, histories, asks)
    waits = may_wait(plan.world, arm, histories, asks)
    if waits.any():
        would_be, by_whom = would_be_offered(plan.world, arm, histories, asks, replicates=waits)
        offer, coach = np.where(waits, would_be, offer), np.where(waits, by_whom, coach)
    gets_one = offer <= np.minimum(asks + course.patience, exit_day - 1)
    start = np.where(gets_one, offer + delivery.lead_days, LONG)
    return start.astype(np.int32), np.where(gets_one, coach, NONE).astype(np.int16)


def _at_once(arm: int, histories: Histories, asks: Ints) -> tuple[Ints, NDArray[np.int16]]:
    """Offers where there is always a place."""
    served = (histories.arm == arm) & (histories.offered_day != NONE)
    last_served = np.maximum.accumulate(np.where(served, np.arange(len(asks))[:, None], 0), axis=0)
    coach = np.take_along_axis(histories.coach, last_served, axis=0)
    coach = np.where(np.logical_or.accumulate(served, axis=0), coach, 0)  # before the first: the first coach
    refused = (histories.arm == arm) & ~served
    return np.where(refused, LONG, asks).astype(np.int32), coach


# --- endpoints --------------------------------------------------------------------------------------------------------


def responder_limit(outcome: Outcome, baseline: Steps) -> Steps:
    """Highest value (in grid steps) that counts as a response: baseline minus the required fraction of its value."""
    value = formulas.from_grid(baseline, outcome.low, outcome.items)
    limit = (value * (1 - outcome.responder_fall) - outcome.low) * outcome.items
    return np.floor(limit + 1e-9).astype(np.int16)


def is_responder(outcome: Outcome, baseline: Steps, value: Steps) -> Bools:
    """Whether a value is lower than at baseline by the required fraction; nobody with a baseline of 0 or less is."""
    positive = formulas.from_grid(baseline, outcome.low, outcome.items) > 0
    return (value <= responder_limit(outcome, baseline)) & positive
