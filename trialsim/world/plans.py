"""What each participant would do under each arm, as whole days and counts: the engines' orders of the day.

All of it is fixed before an engine starts; an engine adds time, order and capacity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual, SelfPaced
from trialsim.design.parts import Arm
from trialsim.design.values import Delay
from trialsim.world import formulas
from trialsim.world.allocation import Assignment, Codes, make_assignment
from trialsim.world.choose import choose
from trialsim.world.cohort import Cohort
from trialsim.world.draws import Draws
from trialsim.world.formulas import LONG, Bools, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.world import World

STAYS, WITHDREW, DIED = 0, 1, 2

SESSIONS_PER_UNIFORM = 8
"""Sessions on which one uniform of a participant decides: few enough that it does not run out of digits."""

StopLuck = Callable[[int], Floats]
"""Uniforms of so many sessions in a row, (N, R): where somebody stops. The same under every arm, so drawn once."""


@dataclass(frozen=True)
class Stalls:
    """Those who stall before one session of a self-paced course, M of them, and the calls that are made to them."""

    session: int
    who: NDArray[np.intp]  # (M,) place in the (N, R) arrays, flat
    due: Ints  # (M,) day on which they would have gone on
    day: Ints  # (M,) day of their last session, or 0
    n_calls: Ints  # (M,) calls, one every `every` days from `day` on
    every: int

    def calls_by(self, last: Ints) -> Ints:
        """Calls up to and including a day, (M,)."""
        return np.minimum(np.maximum(last - self.day, 0) // self.every, self.n_calls)


@dataclass(frozen=True)
class Course:
    """Treatment of every participant, were they in one arm; S sessions, N participants, R replicates.

    Days count from the first appointment (coached arms) or from randomization (self-paced arms). Sessions take place
    one after another: the first `n_held` of them do. Days never fall from one session to the next.
    """

    patience: Ints  # (N, R) longest wait before the start [days]; -1: will not start
    day: Ints  # (S, N, R) day on which a session takes place, if it does
    n_held: Codes  # (N, R) sessions that take place
    end: Ints  # (N, R) day on which the course is over: completed, or found to have stopped
    completed: NDArray[np.bool_]  # (N, R)
    interval: int | None = None  # from one appointment to the next [days]; none: self-paced
    most_calls: int = 0  # to somebody who stalls, each time
    stalls: tuple[Stalls, ...] = ()

    def sessions_by(self, last: Ints) -> Codes:
        """Sessions that take place up to and including a day, (N, R)."""
        count, by_then = np.zeros(self.n_held.shape, dtype=np.int8), np.empty(self.n_held.shape, dtype=bool)
        for day in self.day:
            count += np.less_equal(day, last, out=by_then).view(np.int8)  # flags as numbers: nothing to convert
        return np.minimum(count, self.n_held, out=count)

    @cached_property
    def scheduled(self) -> Ints:
        """Day on which each session is first due (if the course gets so far), (S, N, R)."""
        days = self.day.copy()
        if self.interval is not None:
            days[0], days[1:] = 0, self.day[:-1] + np.int32(self.interval)
        for stalls in self.stalls:
            mine = days[stalls.session].ravel()
            mine[stalls.who] = np.minimum(stalls.due, mine[stalls.who])  # a call may bring somebody forward
        return days

    @cached_property
    def attended(self) -> Ints:
        """Day on which each session takes place; LONG if it does not, (S, N, R)."""
        sessions = np.arange(len(self.day), dtype=np.int8)[:, None, None]
        return choose(sessions < self.n_held, self.day, LONG)

    @cached_property
    def calls(self) -> Ints | None:
        """Days of calls, LONG where none, (sessions x most calls, N, R)."""
        if not self.most_calls:
            return None
        days = np.full((len(self.day) * self.most_calls, *self.end.shape), LONG, dtype=np.int32)
        for stalls in self.stalls:
            for attempt in range(self.most_calls):
                made = attempt < stalls.n_calls
                called = stalls.day + stalls.every * (attempt + 1)
                days[stalls.session * self.most_calls + attempt].ravel()[stalls.who[made]] = called[made]
        return days


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
    courses = [_course(world, draws, cohort, arm, margin, stop_luck) for arm in world.design.arms.values()]
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


def _course(
    world: World, draws: Draws, cohort: Cohort, arm: Arm, inclination: Floats, stop_luck: StopLuck
) -> Course | None:
    if arm.delivery.kind == "none":
        return None
    margin = inclination + formulas.probit(arm.start_prob)
    correlation = world.design.adherence.motivation_on_stop
    hazard = formulas.conditional_prob(arm.stop_prob, -cohort.motivation, correlation)
    if isinstance(arm.delivery, Individual):
        patience = formulas.patience_days(margin, world.design.adherence.wait_effect, arm.delivery.max_wait_days)
        return _coached(draws, arm.delivery, patience, hazard, stop_luck)
    return _self_paced(draws, arm.delivery, margin, hazard, stop_luck)


def _coached(draws: Draws, delivery: Individual, patience: Ints, hazard: Floats | float, stop_luck: StopLuck) -> Course:
    """Appointments one interval apart; a missed one is moved by one interval; too many missed, or stopping, end it."""
    shape, n_sessions, interval = patience.shape, len(delivery.modules), np.int32(delivery.interval_days)
    held = np.empty((n_sessions, *shape), dtype=np.int32)
    day, end = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    going, n_held = np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.int8)
    appointments = _Appointments(draws, delivery, shape[0])
    stays, keep, late = np.empty(shape), 1 - hazard, np.empty(shape, dtype=np.int32)
    # `end` moves with `day` as long as the participant is going, and stays where they are found to have stopped.
    for k in range(n_sessions):
        if k % SESSIONS_PER_UNIFORM == 0:
            stays.fill(1.0)
        if k > 0:
            day += interval
            end += going * interval
            stays *= keep
            going &= stop_luck(k // SESSIONS_PER_UNIFORM) < stays
        if delivery.no_show_prob > 0:
            who, missed = appointments.miss(k, going)
            late.fill(0)
            late.ravel()[who] = np.minimum(missed, delivery.max_reschedules) * interval
            day += late
            end += late
            going.ravel()[who] = missed <= delivery.max_reschedules
        held[k] = day
        n_held += going
    return Course(patience, held, n_held, end, going, interval=delivery.interval_days)


class _Appointments:
    """Missed appointments of those who go on, from one uniform for several sessions.

    Whose luck is at least the chance of attending all first appointments so far misses one; from where it lies below
    that chance before, a uniform again, follow the appointments missed after it and the luck from then on.
    """

    def __init__(self, draws: Draws, delivery: Individual, n: int) -> None:
        self.draws, self.n = draws, n
        self.prob, self.most = delivery.no_show_prob, delivery.max_reschedules

    def miss(self, k: int, going: Bools) -> tuple[NDArray[np.intp], Ints]:
        """Who misses appointments before session k takes place, flat, and how many (`most` + 1: no more are made)."""
        if k % SESSIONS_PER_UNIFORM == 0:
            self.luck, self.attends = self.draws.uniform(Stream.NO_SHOW, self.n, k // SESSIONS_PER_UNIFORM), 1.0
        before, self.attends = self.attends, self.attends * (1 - self.prob)
        who = np.flatnonzero(going & (self.luck >= self.attends))
        own = (self.luck.take(who) - self.attends) / (before - self.attends)
        more = formulas.geometric_failures(own, self.prob, self.most)
        self.luck.ravel()[who] = self.attends * formulas.geometric_rest(own, self.prob, more)
        return who, more + 1


def _self_paced(
    draws: Draws, delivery: SelfPaced, margin: Floats, hazard: Floats | float, stop_luck: StopLuck
) -> Course:
    """Modules at the person's own pace; whoever stalls is called, and each call may bring them back the day after."""
    shape, n_sessions, access = margin.shape, len(delivery.modules), delivery.access_days
    held = np.empty((n_sessions, *shape), dtype=np.int32)
    end = np.full(shape, access, dtype=np.int32)
    going, n_held = np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.int8)
    phone, luck = _Telephone(draws, delivery, shape[0]), np.empty(shape)
    stays, before, keep = np.empty(shape), np.empty(shape), 1 - hazard  # chances to go on since the last stall
    day = np.zeros(shape, dtype=np.int32)  # of the last session; of those who have stopped, past the end of access
    for k in range(n_sessions):
        if k % SESSIONS_PER_UNIFORM == 0:
            luck[:] = stop_luck(k // SESSIONS_PER_UNIFORM)
            stays.fill(1.0)
        then = np.add(day, _pause(draws, delivery.pace if k else delivery.first, k, shape[0]), out=held[k])
        if k == 0:
            stalls = np.flatnonzero(margin < 0)
            own = phone.first(stalls)
        else:
            before, stays = stays, np.multiply(stays, keep, out=before)
            stalls = np.flatnonzero(going & (luck >= stays))
            least = stays.take(stalls)
            own = (luck.take(stalls) - least) / (before.take(stalls) - least)
        last = day.take(stalls)
        back, rest = phone.call(k, stalls, then.take(stalls), last, own)
        if k > 0:
            luck.ravel()[stalls], stays.ravel()[stalls] = rest, 1.0
        then.ravel()[stalls] = back
        lost = back == LONG
        found = last[lost] + delivery.call_after_days * (delivery.max_calls + 1)
        end.ravel()[stalls[lost]] = np.minimum(found, access)
        going = then < access
        n_held += going
        day = then
    patience = np.minimum(n_held, 1).astype(np.int32) - 1
    end = choose(going, day, end)
    return Course(patience, held, n_held, end, going, most_calls=delivery.max_calls, stalls=tuple(phone.stalls))


def _pause(draws: Draws, pause: Delay, k: int, n: int) -> Ints | int:
    """Days until session k of those who go on by themselves."""
    luck = draws.uniform(Stream.PACE, n, k) if pause.mean_extra > 0 else None
    return formulas.delay_days(pause.days, pause.mean_extra, luck)


class _Telephone:
    """Calls to those who stall: some cannot be reached at all, each call to the others works with a chance."""

    def __init__(self, draws: Draws, delivery: SelfPaced, n: int) -> None:
        self.delivery, self.stalls = delivery, list[Stalls]()
        self.luck = draws.uniform(Stream.CALL, n) if delivery.max_calls else None

    def first(self, who: NDArray[np.intp]) -> Floats:
        """Luck with the calls before the first session: what is left of the luck that says who can be reached."""
        if self.luck is None or self.delivery.reachable_prob == 0:
            return np.zeros(len(who))
        return np.minimum(self.luck.take(who) / self.delivery.reachable_prob, 1.0)

    def call(self, k: int, who: NDArray[np.intp], due: Ints, day: Ints, luck: Floats) -> tuple[Ints, Floats]:
        """Calls to those who stalled after `day`, with their luck, uniforms.

        Returns the day of session k, (M,): the day after the call that works, LONG if none does; and what is left of
        the luck of those who come back, uniforms again.
        """
        most, every = self.delivery.max_calls, self.delivery.call_after_days
        if self.luck is None:
            return np.full(len(who), LONG, dtype=np.int32), luck
        failures = formulas.geometric_failures(luck, 1 - self.delivery.call_success_prob, most)
        reached = self.luck.take(who) < self.delivery.reachable_prob
        tries = np.minimum(failures + 1, most) * reached
        while_open = (self.delivery.access_days - 1 - day) // every
        self.stalls.append(Stalls(k, who, due, day, np.minimum(tries, while_open), every))
        back = choose(reached & (failures < most), day + every * tries + 1, LONG)
        return back, formulas.geometric_rest(luck, 1 - self.delivery.call_success_prob, failures)
