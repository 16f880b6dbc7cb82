"""Outcomes: every participant's value at every visit under every arm, with the same luck; then the realised one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.outcomes import Dose, Events, Ordinal, Outcome, Score
from trialsim.world import formulas
from trialsim.world.choose import of_arm
from trialsim.world.draws import Draws
from trialsim.world.effects import arm_effects
from trialsim.world.formulas import Bools, Floats, Ints
from trialsim.world.held import Held, what_is_held
from trialsim.world.histories import Histories
from trialsim.world.latent import latent_course
from trialsim.world.plans import Plan
from trialsim.world.states import Course, Once, course, state_luck
from trialsim.world.values import Steps


@dataclass(frozen=True)
class Outcomes:
    """Values in grid steps; K outcomes, A arms, V visits, N participants, R replicates."""

    potential: Steps  # (K, A, V, N, R) value under each arm, as if alive and in the study
    realised: Steps  # (K, V, N, R) value under the arm given
    sessions: NDArray[np.int8]  # (A, V, N, R) sessions attended by each visit's due day, under each arm
    realised_sessions: NDArray[np.int8]  # (V, N, R)
    all_sessions: NDArray[np.int8]  # (A, N, R) sessions attended in the end, under each arm
    missed: NDArray[np.int8] | None  # (A, V + 1, N, R) missed before stopping, by each visit and in the end; None: none
    realised_missed: NDArray[np.int8] | None  # (V + 1, N, R)
    full_dose: Steps | None  # (K, A, V, N, R) had everybody attended all sessions; None where no analysis asks
    event_day: dict[int, Ints]  # (A, N, R) by number of each outcome of kind event: days from randomization to it

    def realised_event_day(self, k: int, histories: Histories) -> Ints:
        """Days from randomization to the event under the arm given, (N, R); LONG if not by the last visit's due day."""
        return of_arm(self.event_day[k], histories.arm)


def make_outcomes(plan: Plan, draws: Draws, histories: Histories) -> Outcomes:
    """Potential outcomes from the courses each participant had, or would have had, under each arm."""
    world = plan.world
    held = [what_is_held(plan, histories, arm) for arm in range(len(world.arms))]
    sessions = np.stack([one.by_visit for one in held])
    potential = np.empty((len(world.outcomes), *sessions.shape), dtype=np.int16)
    full_dose = np.empty_like(potential) if world.asks_full_dose else None
    effects = arm_effects(plan, draws, held)
    luck = [state_luck(plan, draws, k) for k in range(len(world.outcomes))]
    courses = [[course(world, k, luck[k], arm) for k in range(len(luck))] for arm in effects]
    full_courses = [[course(world, k, luck[k], arm, full_dose=True) for k in range(len(luck))] for arm in effects]
    for v, (levels, error) in enumerate(latent_course(plan, draws)):
        for a, arm in enumerate(effects):
            share = arm.share(v)
            for k, level in enumerate(levels):
                potential[k, a, v] = courses[a][k].value(v, arm.level(level, k, v, share=share), error[k])
                if full_dose is not None:
                    full_dose[k, a, v] = full_courses[a][k].value(v, arm.level_at_full_dose(level, k, v), error[k])
    missed = _missed(held)
    return Outcomes(
        potential=potential,
        realised=np.stack([of_arm(values, histories.arm) for values in potential]),
        sessions=sessions,
        realised_sessions=of_arm(sessions, histories.arm),
        all_sessions=np.stack([one.in_the_end for one in held]),
        missed=missed,
        realised_missed=None if missed is None else of_arm(missed, histories.arm),
        full_dose=full_dose,
        event_day=_event_days(courses),
    )


def _missed(held: list[Held]) -> NDArray[np.int8] | None:
    """Sessions missed before stopping under each arm, (A, V + 1, N, R); None where no arm has such."""
    by_arm = [one.missed for one in held]
    some = next((missed for missed in by_arm if missed is not None), None)
    if some is None:
        return None
    return np.stack([np.zeros_like(some) if missed is None else missed for missed in by_arm])


def _event_days(courses: list[list[Course]]) -> dict[int, Ints]:
    """(A, N, R) by number of each outcome of kind event, from courses by arm and outcome that are over."""
    by_outcome = enumerate(zip(*courses, strict=True))
    days = {k: [one.day for one in by_arm if isinstance(one, Once)] for k, by_arm in by_outcome}
    return {k: np.stack(by_arm) for k, by_arm in days.items() if by_arm}


# --- endpoints --------------------------------------------------------------------------------------------------------


def is_responder(outcome: Outcome, baseline: Steps, value: Steps) -> Bools:
    """Whether a value (in grid steps) is a response by the rule of the outcome's kind.

    score: better than at baseline by the required fraction (nobody with a baseline of 0 or less); binary: yes; ordinal:
    at `responder_from` or higher; count: none; event: has happened; dose: 0.
    """
    if isinstance(outcome, Score):
        limit = responder_limits(outcome).take(baseline)
        return value >= limit if outcome.better_is_higher else value <= limit
    if isinstance(outcome, Ordinal):
        return value >= list(outcome.levels).index(outcome.responder_from)
    return value == 0 if isinstance(outcome, Events | Dose) else value > 0


def responder_limits(outcome: Score) -> Steps:
    """For each baseline on the grid, the value (both in grid steps) that is just a response; off the grid: none is."""
    value = grid_points(outcome)
    limit = (least_response(outcome, value) - outcome.low) * outcome.items
    if outcome.better_is_higher:
        nobody, limit = len(value), np.minimum(np.ceil(limit - 1e-9), len(value))
    else:
        nobody, limit = -1, np.maximum(np.floor(limit + 1e-9), -1)
    return np.where(value > 0, limit, nobody).astype(np.int16)


def least_response(outcome: Score, baseline: Floats) -> Floats:
    """The value that is just a response: the baseline moved by the required fraction of it [points]."""
    return baseline * (1 + outcome.responder_change if outcome.better_is_higher else 1 - outcome.responder_change)


def grid_points(outcome: Outcome) -> Floats:
    """All values of an outcome from the lowest to the highest, by number of grid steps [points]."""
    steps = np.arange(round((outcome.high - outcome.low) * outcome.items) + 1).astype(np.int16)
    return formulas.from_grid(steps, outcome.low, outcome.items)
