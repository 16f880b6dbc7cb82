"""Courses of treatment: when everybody would attend which session under an arm, were there no waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group, Individual, SelfPaced
from trialsim.design.parts import Arm
from trialsim.design.values import Delay
from trialsim.world import formulas
from trialsim.world.choose import choose
from trialsim.world.cohort import Cohort
from trialsim.world.components import ComponentCourse, component_courses
from trialsim.world.draws import Draws
from trialsim.world.formulas import LONG, Bools, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.world import World

Codes = NDArray[np.int8]

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

    Days count from the first appointment (coached arms), from the group's first session (arms in groups) or from
    randomization (self-paced arms). Days never fall from one session to the next. The first `n_held` sessions come
    before the participant stops; all of them take place, but in groups only those of `attends`: what is missed there
    is not made up for.
    """

    patience: Ints  # (N, R) longest wait before the start [days]; -1: will not start
    day: Ints  # (S, N, R) day on which a session takes place, if it does
    n_held: Codes  # (N, R) sessions before stopping
    end: Ints  # (N, R) day on which the course is over: completed, or found to have stopped
    completed: NDArray[np.bool_]  # (N, R)
    interval: int | None = None  # from one appointment to the next [days]; none: self-paced
    most_calls: int = 0  # to somebody who stalls, each time
    stalls: tuple[Stalls, ...] = ()
    attends: Bools | None = None  # (S, N, R) sessions attended; none: the first `n_held`
    led_by: NDArray[np.int16] | None = None
    """Who leads each session: so many places after their own coach (`leader`); (S, N, R) or (S, 1, 1). None: always
    their own."""
    crew: int = 1
    """So many coaches in a row of the arm's list lead each other's sessions."""
    components: Mapping[str, ComponentCourse] = field(default_factory=dict)

    def sessions_by(self, last: Ints) -> Codes:
        """Sessions attended up to and including a day, (N, R)."""
        return self.reached_by(last) if self.attends is None else self.attended_of(range(len(self.day)), last)

    def reached_by(self, last: Ints) -> Codes:
        """Sessions attended, or missed in a group without having stopped, up to and including a day, (N, R)."""
        count, by_then = np.zeros(self.n_held.shape, dtype=np.int8), np.empty(self.n_held.shape, dtype=bool)
        for day in self.day:
            count += np.less_equal(day, last, out=by_then).view(np.int8)  # flags as numbers: nothing to convert
        return np.minimum(count, self.n_held, out=count)

    def attended_of(self, sessions: Iterable[int], last: Ints) -> Codes:
        """Some of the sessions: how many of them are attended up to and including a day, (N, R)."""
        count = np.zeros(self.n_held.shape, dtype=np.int8)
        for k in sessions:
            count += self.attended[k] <= last
        return count

    def leader(self, coach: NDArray[np.int16], after: NDArray[np.int16]) -> NDArray[np.int16]:
        """The coach so many places after another, round and round within the crew."""
        place = coach % self.crew
        return coach - place + (place + after) % self.crew

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
        """Day on which each session is attended; LONG if it is not, (S, N, R)."""
        if self.attends is not None:
            return choose(self.attends, self.day, np.int32(LONG))
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


def make_course(
    world: World, draws: Draws, cohort: Cohort, arm: Arm, inclination: Floats, stop_luck: StopLuck
) -> Course | None:
    if arm.delivery.kind == "none":
        return None
    margin = inclination + formulas.probit(arm.start_prob)
    correlation = world.design.adherence.motivation_on_stop
    hazard = formulas.conditional_prob(arm.stop_prob, -cohort.motivation, correlation)
    if isinstance(arm.delivery, SelfPaced):
        return _self_paced(draws, arm.delivery, margin, hazard, stop_luck)
    patience = formulas.patience_days(margin, world.design.adherence.wait_effect, arm.delivery.max_wait_days)
    if isinstance(arm.delivery, Group):
        return _in_group(draws, arm.delivery, patience, hazard, stop_luck)
    return _coached(draws, arm.delivery, patience, hazard, stop_luck)


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
    crew = delivery.coaches if isinstance(delivery.coaches, int) else len(delivery.coaches)
    led_by = _cover(draws, delivery, crew - 1, shape)
    return Course(patience, held, n_held, end, going, interval=delivery.interval_days, led_by=led_by, crew=crew)


def _cover(draws: Draws, delivery: Individual, n_others: int, shape: tuple[int, int]) -> NDArray[np.int16] | None:
    """Who stands in for the own coach at each session, uniform over the others; from one uniform a session."""
    if delivery.cover_prob == 0 or n_others == 0:
        return None
    led_by = np.empty((len(delivery.modules), *shape), dtype=np.int16)
    for k in range(len(led_by)):
        luck = draws.uniform(Stream.COVER, shape[0], k)
        other = np.minimum(np.floor(luck * (n_others / delivery.cover_prob)), n_others - 1)
        led_by[k] = (luck < delivery.cover_prob) * (1 + other)
    return led_by


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


def _in_group(draws: Draws, delivery: Group, patience: Ints, hazard: Floats | float, stop_luck: StopLuck) -> Course:
    """Sessions on the group's days, whoever misses one; who stops does so after a session, attended or not."""
    shape, n_sessions = patience.shape, len(delivery.modules)
    day = np.array([delivery.session_day(k) for k in range(n_sessions)], dtype=np.int32)
    attends = np.empty((n_sessions, *shape), dtype=bool)
    going, n_held = np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.int8)
    stays, keep = np.empty(shape), 1 - hazard
    for k in range(n_sessions):
        if k % SESSIONS_PER_UNIFORM == 0:
            stays.fill(1.0)
        if k > 0:
            stays *= keep
            going &= stop_luck(k // SESSIONS_PER_UNIFORM) < stays
        attends[k] = going
        if delivery.miss_prob > 0:
            attends[k] &= draws.uniform(Stream.MISSED_SESSION, shape[0], k) >= delivery.miss_prob
        n_held += going
    rotates = delivery.staffing == "rotating" and delivery.at_once > 1
    turns = (np.arange(n_sessions) % delivery.at_once).astype(np.int16)[:, None, None]
    return Course(
        patience,
        np.broadcast_to(day[:, None, None], attends.shape),
        n_held,
        day.take(n_held - 1),
        going,
        attends=attends,
        led_by=turns if rotates else None,
        crew=delivery.at_once,
        components=component_courses(draws, delivery, shape[0]),
    )


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
