"""What each participant would do under each arm, as whole days and counts: the engines' orders of the day.

All of it is fixed before an engine starts; an engine adds time, order and capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual, SelfPaced
from trialsim.design.parts import Arm
from trialsim.design.values import Delay
from trialsim.world import formulas
from trialsim.world.allocation import Codes, randomization_lists
from trialsim.world.cohort import Cohort
from trialsim.world.draws import Draws
from trialsim.world.formulas import LONG, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.world import World

STAYS, WITHDREW, DIED = 0, 1, 2


@dataclass(frozen=True)
class Course:
    """Treatment of every participant, were they in one arm; S sessions, N participants, R replicates.

    Days count from the first appointment (coached arms) or from randomization (self-paced arms).
    """

    patience: Ints  # (N, R) longest wait before the start [days]; -1: will not start
    scheduled: Ints  # (S, N, R) day on which a session is first due; self-paced: LONG where it does not take place
    attended: Ints  # (S, N, R) day on which it takes place; LONG if it does not
    end: Ints  # (N, R) day on which the course is over: completed, or found to have stopped
    completed: NDArray[np.bool_]  # (N, R)
    calls: Ints | None  # (most calls, N, R) days of calls, LONG where none


@dataclass(frozen=True)
class Plan:
    """Everything an engine is told: the cohort, the randomization lists and the courses under each arm."""

    world: World
    cohort: Cohort
    lists: dict[int, Codes]
    courses: list[Course | None]  # by arm
    exit_after: Ints  # (n_arms, N, R) days from randomization to leaving the study; LONG: stays
    exit_kind: Codes  # (n_arms, N, R) STAYS, WITHDREW or DIED


def make_plan(world: World, draws: Draws, cohort: Cohort) -> Plan:
    """Decide what every participant would do under every arm, with the same luck under each."""
    exit_after, exit_kind = _exits(world, draws, cohort)
    margin = _start_inclination(world, draws, cohort)
    courses = [_course(world, draws, cohort, arm, margin) for arm in world.design.arms.values()]
    lists = randomization_lists(world, draws, cohort)
    return Plan(world, cohort, lists, courses, exit_after, exit_kind)


def _exits(world: World, draws: Draws, cohort: Cohort) -> tuple[Ints, Codes]:
    n = len(cohort.valid)
    horizon, arms = world.horizon, world.design.arms.values()
    died = formulas.event_days(draws.uniform(Stream.DEATH, n), world.design.observation.death_prob, horizon)
    luck = draws.uniform(Stream.WITHDRAWAL, n)
    withdrew = np.stack([formulas.event_days(luck, arm.withdrawal_prob, horizon) for arm in arms])
    kind = np.where(withdrew < died, WITHDREW, DIED)
    after = np.minimum(withdrew, died)
    return after, np.where(after == LONG, STAYS, kind).astype(np.int8)


def _start_inclination(world: World, draws: Draws, cohort: Cohort) -> Floats:
    """Inclination to start, standard normal around the shifts by covariates [probit units], shape (N, R)."""
    adherence = world.design.adherence
    own = draws.normal(Stream.START, len(cohort.valid))
    inclination = formulas.correlated(cohort.motivation, own, adherence.motivation_on_start)
    return inclination + cohort.traits.shift(adherence.covariates)


def _course(world: World, draws: Draws, cohort: Cohort, arm: Arm, inclination: Floats) -> Course | None:
    if arm.delivery.kind == "none":
        return None
    margin = inclination + formulas.probit(arm.start_prob)
    correlation = world.design.adherence.motivation_on_stop
    hazard = formulas.conditional_prob(arm.stop_prob, -cohort.motivation, correlation)
    if isinstance(arm.delivery, Individual):
        wait_effect = world.design.adherence.wait_effect
        return _coached(draws, arm.delivery, margin, hazard, wait_effect)
    return _self_paced(draws, arm.delivery, margin, hazard)


def _coached(draws: Draws, delivery: Individual, margin: Floats, hazard: Floats | float, wait_effect: float) -> Course:
    """Appointments one interval apart; a missed one is moved by one interval; too many missed, or stopping, end it."""
    shape, n_sessions = margin.shape, len(delivery.modules)
    scheduled = np.empty((n_sessions, *shape), dtype=np.int32)
    attended = np.empty_like(scheduled)
    day = np.zeros(shape, dtype=np.int32)
    end = np.full(shape, LONG, dtype=np.int32)
    going = np.ones(shape, dtype=bool)
    for k in range(n_sessions):
        if k > 0:
            stops = going & (draws.uniform(Stream.STOP, shape[0], k) < hazard)
            end[stops] = day[stops]
            going &= ~stops
        scheduled[k] = day
        if delivery.no_show_prob > 0:
            luck = draws.uniform(Stream.NO_SHOW, shape[0], k)
            missed = formulas.geometric_failures(luck, delivery.no_show_prob, delivery.max_reschedules + 1)
            gives_up = going & (missed > delivery.max_reschedules)
            day = day + delivery.interval_days * np.minimum(missed, delivery.max_reschedules)
            end[gives_up] = day[gives_up]
            going = going & ~gives_up
        attended[k] = np.where(going, day, LONG)
        last = day
        day = day + delivery.interval_days
    completed = going
    end[completed] = last[completed]
    patience = formulas.patience_days(margin, wait_effect, delivery.max_wait_days)
    return Course(patience, scheduled, attended, end, completed, None)


def _self_paced(draws: Draws, delivery: SelfPaced, margin: Floats, hazard: Floats | float) -> Course:
    """Modules at the person's own pace; whoever stalls is called, and each call may bring them back the day after."""
    shape, n_sessions = margin.shape, len(delivery.modules)
    attended = np.full((n_sessions, margin.size), LONG, dtype=np.int32)
    scheduled = np.full_like(attended, LONG)
    end = np.full(margin.size, delivery.access_days, dtype=np.int32)
    completed = np.zeros(margin.size, dtype=bool)
    phone = _Telephone(draws, delivery, shape)
    who, day = np.arange(margin.size), np.zeros(margin.size, dtype=np.int32)  # those still going, and their last day
    for k in range(n_sessions):
        due = day + _pause(draws, delivery.pace if k else delivery.first, k, shape[0], who)
        stalls = _flat(draws.uniform(Stream.STOP, shape[0], k) < hazard if k else margin < 0, who)
        then = due.copy()
        then[stalls] = phone.call(k, who[stalls], day[stalls])
        stops = then == LONG
        end[who[stops]] = np.minimum(
            day[stops] + delivery.call_after_days * (delivery.max_calls + 1), delivery.access_days
        )
        goes_on = then < delivery.access_days
        who, day = who[goes_on], then[goes_on]
        attended[k, who] = day
        scheduled[k, who] = np.minimum(due[goes_on], day)  # a call may bring somebody forward
    end[who], completed[who] = day, True
    patience = np.where(attended[0] < LONG, 0, -1).astype(np.int32)
    in_shape = (n_sessions, *shape)
    return Course(
        patience.reshape(shape),
        scheduled.reshape(in_shape),
        attended.reshape(in_shape),
        end.reshape(shape),
        completed.reshape(shape),
        phone.calls,
    )


def _flat(values: NDArray[Any], who: NDArray[np.intp]) -> NDArray[Any]:
    return np.asarray(values.ravel().take(who))


def _pause(draws: Draws, pause: Delay, k: int, n: int, who: NDArray[np.intp]) -> Ints | int:
    """Days until session k of those who go on by themselves."""
    luck = _flat(draws.uniform(Stream.PACE, n, k), who) if pause.mean_extra > 0 else None
    return formulas.delay_days(pause.days, pause.mean_extra, luck)


class _Telephone:
    """Calls to those who stall: some cannot be reached at all, each call to the others works with a chance."""

    def __init__(self, draws: Draws, delivery: SelfPaced, shape: tuple[int, int]) -> None:
        self.draws, self.delivery, self.n = draws, delivery, shape[0]
        n_calls = len(delivery.modules) * delivery.max_calls
        self.calls = np.full((n_calls, *shape), LONG, dtype=np.int32) if n_calls else None
        self.reachable: Floats | None = None
        if n_calls and delivery.reachable_prob < 1:
            self.reachable = draws.uniform(Stream.REACHABLE, shape[0])

    def call(self, k: int, who: NDArray[np.intp], day: Ints) -> Ints:
        """Day of session k for those who stalled after `day`: the day after the call that works; LONG if none does."""
        if self.calls is None:
            return np.full(len(who), LONG, dtype=np.int32)
        most = self.delivery.max_calls
        luck = _flat(self.draws.uniform(Stream.CALL, self.n, k), who)
        failures = formulas.geometric_failures(luck, 1 - self.delivery.call_success_prob, most)
        reached = np.ones(len(who), dtype=bool)
        if self.reachable is not None:
            reached = _flat(self.reachable, who) < self.delivery.reachable_prob
        tries = np.where(reached, np.minimum(failures + 1, most), 0)
        for attempt in range(most):
            called = day + self.delivery.call_after_days * (attempt + 1)
            made = (attempt < tries) & (called < self.delivery.access_days)
            self.calls[k * most + attempt].ravel()[who[made]] = called[made]
        back = day + self.delivery.call_after_days * tries + 1
        return np.where(reached & (failures < most), back, LONG).astype(np.int32)
