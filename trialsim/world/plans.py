"""What each participant would do under each arm, as whole days and counts: the engines' orders of the day.

All of it is fixed before an engine starts; an engine adds time, order and capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from trialsim.world import formulas
from trialsim.world.allocation import Assignment, Codes, make_assignment
from trialsim.world.cohort import Cohort
from trialsim.world.courses import Course, make_course
from trialsim.world.draws import Draws
from trialsim.world.formulas import LONG, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.world import World

STAYS, WITHDREW, DIED = 0, 1, 2


@dataclass(frozen=True)
class Plan:
    """Everything an engine is told: the cohort, how arms are assigned and the courses under each arm."""

    world: World
    cohort: Cohort
    assignment: Assignment
    courses: list[Course | None]  # by arm
    exit_after: Ints  # (n_arms, N, R) days from randomization to leaving the study; LONG: stays
    exit_kind: Codes  # (n_arms, N, R) STAYS, WITHDREW or DIED


def make_plan(world: World, draws: Draws, cohort: Cohort) -> Plan:
    """Decide what every participant would do under every arm, with the same luck under each."""
    exit_after, exit_kind = _exits(world, draws, cohort)
    margin = _start_inclination(world, draws, cohort)
    stop_luck = cache(partial(draws.uniform, Stream.STOP, len(cohort.valid)))
    courses = [make_course(world, draws, cohort, arm, margin, stop_luck) for arm in world.design.arms.values()]
    assignment = make_assignment(world, draws, cohort)
    return Plan(world, cohort, assignment, courses, exit_after, exit_kind)


def _exits(world: World, draws: Draws, cohort: Cohort) -> tuple[Ints, Codes]:
    """Days from randomization to leaving, and how; (n_arms, N, R)."""
    n, horizon, death_prob = len(cohort.valid), world.horizon, world.design.observation.death_prob
    probs = [arm.withdrawal_prob for arm in world.design.arms.values()]
    dying, leaving = draws.uniform(Stream.DEATH, n), draws.uniform(Stream.WITHDRAWAL, n)
    # Few leave. Whose luck is above the chance (by more than rounding) does not: no logarithms for them.
    few = np.flatnonzero((dying <= death_prob * (1 + 1e-9)) | (leaving <= max(probs) * (1 + 1e-9)))
    died = formulas.event_days(dying.take(few), death_prob, horizon)
    shape = (len(probs), *cohort.shape)
    after, kind = np.full(shape, LONG, dtype=np.int32), np.full(shape, STAYS, dtype=np.int8)
    for arm, prob in enumerate(probs):
        withdrew = formulas.event_days(leaving.take(few), prob, horizon)
        first = np.minimum(withdrew, died)
        after[arm].ravel()[few] = first
        kind[arm].ravel()[few] = np.where(first == LONG, STAYS, np.where(withdrew < died, WITHDREW, DIED))
    return after, kind


def _start_inclination(world: World, draws: Draws, cohort: Cohort) -> Floats:
    """Inclination to start, standard normal around the shifts by covariates [probit units], shape (N, R)."""
    adherence = world.design.adherence
    own = draws.normal(Stream.START, len(cohort.valid))
    inclination = formulas.correlated(cohort.motivation, own, adherence.motivation_on_start)
    return inclination + cohort.traits.shift(adherence.covariates)
