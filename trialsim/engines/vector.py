"""The fast engine: NumPy on a block of replicates at once. Same trials as `process.py`, without its event loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group, Individual
from trialsim.engines.vector_groups import Rules, make_up
from trialsim.world import formulas
from trialsim.world.allocation import Given, count_strata, strata_or_nobody
from trialsim.world.choose import choose
from trialsim.world.cohort import Cohort
from trialsim.world.courses import Course
from trialsim.world.formulas import LONG, Bools, Ints
from trialsim.world.histories import NONE, FollowUp, Histories, Missing, Status
from trialsim.world.observation import Answers
from trialsim.world.periods import each_reminder
from trialsim.world.places import Places, Queue
from trialsim.world.plans import DIED, Plan
from trialsim.world.sequential import Sequential

NAME = "vector"

Indices = NDArray[np.intp]
"""Places in the (N, R) arrays, flat."""


def deliver(plan: Plan) -> Histories:
    """Enrol, randomize and treat: shape (N, R) for all replicates of the plan."""
    return _Block(plan).run()


@dataclass(frozen=True)
class _Treated:
    """Members of an arm who are treated, M of them, flat; where one waits, others have declined or waited in vain."""

    arm: int
    course: Course
    who: Indices  # (M,) place in the (N, R) arrays
    start: Ints  # (M,) day from which their course counts
    exit_day: Ints  # (M,) LONG: stays

    def take(self, values: NDArray[Any]) -> NDArray[Any]:
        """Their values of an (N, R) array."""
        return values.take(self.who)


class _Block:
    """The arrays of one block of replicates, filled step by step."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cohort = plan.cohort
        shape = plan.cohort.shape
        self.coach = np.full(shape, NONE, dtype=np.int16)
        self.group = np.full(shape, NONE, dtype=np.int16)
        self.asked = np.full(shape, NONE, dtype=np.int32)
        self.offered = np.full(shape, NONE, dtype=np.int32)
        self.released = np.full(shape, NONE, dtype=np.int32)
        self.n_sessions = np.zeros(shape, dtype=np.int8)
        self.status = np.full(shape, Status.NO_TREATMENT, dtype=np.int8)
        self.ended = np.full(shape, NONE, dtype=np.int32)
        self.treated: list[_Treated] = []

    def run(self) -> Histories:
        """Close enrolment, allocate, let people leave, treat arm by arm."""
        cohort, plan = self.cohort, self.plan
        self.randomized = np.where(cohort.valid, cohort.randomized_day, np.int32(NONE))
        n = cohort.valid.sum(axis=0, dtype=np.int32)
        closing = np.where(n == len(cohort.valid), self.randomized[-1], plan.world.last_day).astype(np.int32)
        self.closing = closing
        self.arm = _allocate(plan)
        self._leave()
        for arm, course in enumerate(plan.courses):
            if course is not None:
                self._treat(arm, course)
        return Histories(
            n_participants=n,
            closing_day=closing,
            site=np.where(cohort.valid, cohort.site, np.int16(NONE)),
            randomized_day=self.randomized,
            arm=self.arm,
            coach=self.coach,
            group=self.group,
            asked_day=self.asked,
            offered_day=self.offered,
            released_day=self.released,
            n_sessions=self.n_sessions,
            status=self.status,
            ended_day=self.ended,
            exit_day=self.exit_day,
            exit_kind=self.exit_kind,
            number=lambda: np.where(cohort.valid, cohort.persons.number.take(cohort.person), np.int32(NONE)),
            funnel=lambda: funnel(plan, n, closing),
            n_calls=self._n_calls,
            call_day=self._call_day,
            scheduled_day=self._scheduled_day,
            attended_day=self._attended_day,
        )

    def _leave(self) -> None:
        """Day and kind of leaving the study."""
        own = np.maximum(self.arm, 0) * np.intp(self.arm.size) + np.arange(self.arm.size).reshape(self.arm.shape)
        after = self.plan.exit_after.take(own)
        leaves = self.cohort.valid & (after < LONG)
        self.exit_day = np.where(leaves, self.randomized + after, np.int32(NONE))
        self.exit_kind = np.where(leaves, self.plan.exit_kind.take(own), np.int8(0))
        self.exit_or_never = np.where(leaves, self.exit_day, np.int32(LONG))

    def _treat(self, arm: int, course: Course) -> None:
        """All members of one arm; arrays of members are flat."""
        who = np.flatnonzero(self.arm == arm)
        start = self.randomized.take(who)
        if self.plan.world.waits(arm):
            who, start = self._wait(arm, course, who, start)
        treated = _Treated(arm, course, who, start, self.exit_or_never.take(who))
        self._settle(treated)
        last = np.full(self.arm.shape, NONE, dtype=np.int32)
        last.ravel()[who] = treated.exit_day - 1 - start
        self.n_sessions += course.sessions_by(last)
        self.treated.append(treated)

    def _settle(self, treated: _Treated) -> None:
        """How treatment ended for those who had a place (or modules); the others are settled by `_wait`."""
        course, had_place = treated.course, self.plan.world.waits(treated.arm)
        over = treated.start + treated.take(course.end)
        status = choose(treated.take(course.completed), _code(Status.COMPLETED), _code(Status.DISCONTINUED))
        if not had_place:
            status = choose(treated.take(course.patience) < 0, _code(Status.DECLINED), status)
        left = over >= treated.exit_day
        day = np.minimum(over, treated.exit_day)
        self.status.ravel()[treated.who] = choose(left, _code(Status.LEFT_STUDY), status)
        self.ended.ravel()[treated.who] = day
        if had_place:
            self.released.ravel()[treated.who] = day

    # --- coaches and groups ---

    def _wait(self, arm: int, course: Course, members: Indices, randomized: Ints) -> tuple[Indices, Ints]:
        """The list for places; returns those who got one, and the day of their first session."""
        delivery = self.plan.world.design.arms[self.plan.world.arms[arm]].delivery
        assert isinstance(delivery, Individual | Group)
        asks = randomized + np.int32(delivery.referral_days)
        exit_day, patience = self.exit_or_never.take(members), course.patience.take(members)
        deadline = np.minimum(asks + patience, exit_day - 1)
        joins = (patience >= 0) & (asks < exit_day)
        left = choose(deadline + 1 >= exit_day, _code(Status.LEFT_STUDY), _code(Status.STOPPED_WAITING))
        at_once = choose(asks < exit_day, _code(Status.DECLINED), _code(Status.LEFT_STUDY))
        self.status.ravel()[members] = choose(joins, left, at_once)
        self.ended.ravel()[members] = choose(joins, deadline + 1, np.minimum(asks, exit_day))
        self.asked.ravel()[members] = choose(joins, asks, NONE)
        waits = np.flatnonzero(deadline >= asks)
        line, asked, longest = members.take(waits), asks.take(waits), deadline.take(waits)
        if isinstance(delivery, Group):
            lists = self._lists(arm, members)
            all_asked = self._last_of_each(arm, lists, np.minimum(asks, exit_day))
            offered, coach, group = make_up(Rules.of(delivery), lists.take(waits), asked, longest, all_asked)
            self.group.ravel()[line] = group
        else:
            length = course.end.take(line) + np.int32(delivery.lead_days)
            queue = Queue(asked, longest, length, exit_day.take(waits))
            offered, coach = Places(self.plan.world, arm, self.arm.shape[1]).serve(line, queue)
        served = np.flatnonzero(offered < LONG)
        who, day = line.take(served), offered.take(served)
        self.offered.ravel()[who], self.coach.ravel()[who] = day, coach.take(served)
        return who, day + np.int32(delivery.lead_days)

    def _lists(self, arm: int, members: Indices) -> Indices:
        """Number of each member's list, replicate x lists + list: the arm's, or their site's."""
        replicate = members % self.arm.shape[1]
        n_lists = self.plan.world.design.n_lists(self.plan.world.arms[arm])
        return replicate if n_lists == 1 else replicate * n_lists + self.cohort.site.take(members)

    def _last_of_each(self, arm: int, lists: Indices, day: Ints) -> Ints:
        """Day for each list, (R, lists), on which enrolment has closed and the last member's own day is there."""
        last = np.repeat(self.closing[:, None], self.plan.world.design.n_lists(self.plan.world.arms[arm]), axis=1)
        np.maximum.at(last.reshape(-1), lists, day)
        return last

    # --- what only tables and event lists need ---

    def _attended_day(self) -> Ints:
        """Days of sessions held."""
        days = np.full((self.plan.world.max_sessions, *self.arm.shape), NONE, dtype=np.int32)
        for one in self.treated:
            n_sessions, attends = one.take(self.n_sessions), one.course.attends
            for k, held in enumerate(one.course.day):
                day = one.start + one.take(held)
                is_there = k < n_sessions if attends is None else one.take(attends[k]) & (day < one.exit_day)
                days[k].ravel()[one.who] = choose(is_there, day, NONE)
        return days

    def _scheduled_day(self) -> Ints:
        """Days of appointments made and of groups; a web module that is not opened was never due."""
        days = np.full((self.plan.world.max_sessions, *self.arm.shape), NONE, dtype=np.int32)
        for one in self.treated:
            n_sessions, end = one.take(self.n_sessions), one.take(one.course.end)
            for k, scheduled in enumerate(one.course.scheduled):
                due = one.take(scheduled)
                is_due = k < n_sessions
                if self.plan.world.waits(one.arm):
                    is_due = (due <= end) & (one.start + due < one.exit_day)
                days[k].ravel()[one.who] = choose(is_due, one.start + due, NONE)
        return days

    def _n_calls(self) -> Ints:
        """Calls to those who stalled, until they left the study."""
        n_calls = np.zeros(self.arm.shape, dtype=np.int32)
        for one in self.treated:
            last = np.full(self.arm.shape, NONE, dtype=np.int32)
            last.ravel()[one.who] = one.exit_day - 1 - one.start
            for stalls in one.course.stalls:
                n_calls.ravel()[stalls.who] += stalls.calls_by(last.take(stalls.who))
        return n_calls

    def _call_day(self) -> Ints:
        n_calls = max([0, *(len(one.course.calls) for one in self.treated if one.course.calls is not None)])
        days = np.full((n_calls, *self.arm.shape), NONE, dtype=np.int32)
        for one in self.treated:
            for c, calls in enumerate(one.course.calls if one.course.calls is not None else ()):
                called = one.take(calls)
                made = (called < LONG) & (one.start + called < one.exit_day)
                days[c].ravel()[one.who] = choose(made, one.start + called, NONE)
        return days


def _code(status: Status) -> np.int8:
    return np.int8(status)


def _allocate(plan: Plan) -> NDArray[np.int8]:
    """Everybody's arm, (N, R); NONE for rows without a participant."""
    assignment = plan.assignment
    if isinstance(assignment, Given):
        return assignment.arm
    if isinstance(assignment, Sequential):
        return _in_turn(assignment, plan.cohort.valid)
    return _from_lists(assignment.arms, plan.cohort)


def _in_turn(assignment: Sequential, valid: Bools) -> NDArray[np.int8]:
    """One participant after another, those of all replicates at once."""
    n, width = int(valid.sum(axis=0).max()), assignment.n_levels * valid.shape[1]
    place = assignment.level * valid.shape[1] + np.arange(valid.shape[1])  # (N, F, R) in a row of the counts
    counts = np.zeros((len(assignment.arm_of_part), width), dtype=np.int64)
    flat, part = counts.ravel(), np.zeros(valid.shape, dtype=np.intp)
    for i, own in enumerate(place[:n]):
        part[i] = assignment.draw(i, counts.take(own, axis=1))
        flat[part[i] * width + own] += 1  # no place twice: factors and replicates have places of their own
    return np.where(valid, assignment.arm_of_part.take(part), np.int8(NONE))


def _from_lists(lists: dict[int, NDArray[np.int8]], cohort: Cohort) -> NDArray[np.int8]:
    """The next arm of each participant's stratum, in order of randomization."""
    codes, nobody = strata_or_nobody(cohort)
    counts = count_strata(codes, nobody)
    # Rows without a participant are a stratum, too, whose list says that there is no arm.
    lists = lists | {nobody: np.full((counts[:, nobody].max(), len(counts)), NONE, dtype=np.int8)}
    lengths = [len(sequence) for sequence in lists.values()]
    stratum = np.repeat(list(lists), lengths)
    place = np.concatenate([np.arange(length) for length in lengths])
    # What each replicate takes of every list, stratum after stratum: the arms of its participants, sorted by stratum.
    given = np.concatenate(list(lists.values())).T[place < counts[:, stratum]]
    # Stable sorts of 8-bit (or 16-bit) numbers are radix sorts.
    by_stratum = np.argsort(codes.T.astype(np.min_scalar_type(nobody)), axis=1, kind="stable")
    arm = np.empty(by_stratum.shape, dtype=np.int8)
    np.put_along_axis(arm, by_stratum, given.reshape(arm.shape), axis=1)
    return np.ascontiguousarray(arm.T)


def funnel(plan: Plan, n_participants: Ints, closing: Ints) -> Ints:
    """Persons counted until enrolment closes: contacted, then for each step the passed and the lost by reason."""
    persons = plan.cohort.persons
    counts: list[NDArray[Any]] = [formulas.count(persons.step_day[0] <= closing)]
    last = len(plan.world.steps) - 1
    for step, reasons in enumerate(plan.world.reasons):
        by_closing = persons.step_day[step + 1] <= closing
        counts.append(formulas.count(by_closing & (persons.lost_step > step)) if step < last else n_participants)
        if step >= plan.world.n_lead and reasons:
            lost = by_closing & (persons.lost_step == step)
            counts += [formulas.count(lost & (persons.lost_reason == place)) for place in range(len(reasons))]
        else:
            counts += [np.zeros_like(n_participants) for _ in reasons]
    return np.stack(counts).astype(np.int32)


def follow_up(plan: Plan, histories: Histories, answers: Answers) -> FollowUp:
    """Questionnaires, reminders and answers of every participant; shape (V, N, R)."""
    visits = list(plan.world.design.visits.values())
    valid = plan.cohort.valid
    exit_day = np.where(histories.exit_day == NONE, np.int32(LONG), histories.exit_day)
    gone_code = np.where(histories.exit_kind == DIED, np.int8(Missing.DIED), np.int8(Missing.WITHDREW))
    shape = (len(visits), *valid.shape)
    due, observed = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.int32)
    missing, reminders = np.empty(shape, dtype=np.int8), np.zeros(shape, dtype=np.int8)
    for v, visit in enumerate(visits):
        scheduled = histories.randomized_day + visit.day
        answered = scheduled + visit.opens + answers.after_days[v]
        answers_it = valid & (answers.after_days[v] < LONG) & (answered < exit_day)
        due[v] = np.where(valid, scheduled, NONE)
        observed[v] = choose(answers_it, answered, NONE)
        not_answered = np.where(exit_day <= scheduled + visit.closes, gone_code, np.int8(Missing.NO_ANSWER))
        missing[v] = np.where(
            valid, choose(answers_it, np.int8(Missing.ANSWERED), not_answered), Missing.NOT_RANDOMIZED
        )
        stops = np.minimum(exit_day, choose(answers_it, answered, LONG))
        for reminder, meant in each_reminder(plan.world.reminders[v], visit.opens, scheduled, valid):
            reminders[v] += meant & (scheduled + reminder < stops)
    return FollowUp(due, observed, missing, reminders)
