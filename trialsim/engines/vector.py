"""The fast engine: NumPy on a block of replicates at once. Same trials as `process.py`, without its event loop."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual
from trialsim.world import formulas
from trialsim.world.allocation import count_strata, strata_or_nobody
from trialsim.world.formulas import LONG, Bools, Ints
from trialsim.world.histories import NONE, FollowUp, Histories, Missing, Status
from trialsim.world.observation import Answers
from trialsim.world.places import Places
from trialsim.world.plans import Course, Plan

NAME = "vector"


def deliver(plan: Plan) -> Histories:
    """Enrol, randomize and treat: shape (N, R) for all replicates of the plan."""
    return _Block(plan).run()


class _Block:
    """The arrays of one block of replicates, filled step by step."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cohort = plan.cohort
        shape = plan.cohort.shape
        n_calls = max([0, *(len(c.calls) for c in plan.courses if c is not None and c.calls is not None)])
        self.coach = np.full(shape, NONE, dtype=np.int16)
        self.asked = np.full(shape, NONE, dtype=np.int32)
        self.offered = np.full(shape, NONE, dtype=np.int32)
        self.released = np.full(shape, NONE, dtype=np.int32)
        self.scheduled = np.full((plan.world.max_sessions, *shape), NONE, dtype=np.int32)
        self.attended = np.full((plan.world.max_sessions, *shape), NONE, dtype=np.int32)
        self.n_sessions = np.zeros(shape, dtype=np.int8)
        self.calls = np.full((n_calls, *shape), NONE, dtype=np.int32)
        self.status = np.full(shape, Status.NO_TREATMENT, dtype=np.int8)
        self.ended = np.full(shape, NONE, dtype=np.int32)

    def run(self) -> Histories:
        """Close enrolment, allocate, let people leave, treat arm by arm."""
        cohort, plan = self.cohort, self.plan
        self.randomized = np.where(cohort.valid, cohort.randomized_day, NONE).astype(np.int32)
        n = cohort.valid.sum(axis=0, dtype=np.int32)
        closing = np.where(n == len(cohort.valid), self.randomized[-1], plan.world.last_day).astype(np.int32)
        self.arm = _allocate(plan)
        self._leave()
        for arm, course in enumerate(plan.courses):
            if course is not None:
                self._treat(arm, course)
        return Histories(
            n_participants=n,
            closing_day=closing,
            funnel=_funnel(plan, n, closing),
            site=np.where(cohort.valid, cohort.site, NONE).astype(np.int16),
            number=np.where(cohort.valid, cohort.persons.number[cohort.person], NONE).astype(np.int32),
            randomized_day=self.randomized,
            arm=self.arm,
            coach=self.coach,
            asked_day=self.asked,
            offered_day=self.offered,
            released_day=self.released,
            scheduled_day=self.scheduled,
            attended_day=self.attended,
            n_sessions=self.n_sessions,
            call_day=self.calls,
            status=self.status,
            ended_day=self.ended,
            exit_day=self.exit_day,
            exit_kind=self.exit_kind,
        )

    def _leave(self) -> None:
        """Day and kind of leaving the study."""
        arm = np.maximum(self.arm, 0)[None].astype(np.intp)
        after = np.take_along_axis(self.plan.exit_after, arm, axis=0)[0]
        leaves = self.cohort.valid & (after < LONG)
        self.exit_day = np.where(leaves, self.randomized + after, NONE).astype(np.int32)
        kind = np.take_along_axis(self.plan.exit_kind, arm, axis=0)[0]
        self.exit_kind = np.where(leaves, kind, 0).astype(np.int8)
        self.exit_or_never = np.where(leaves, self.exit_day, LONG)

    def _treat(self, arm: int, course: Course) -> None:
        """All members of one arm; arrays below hold members only, flat."""
        members = np.flatnonzero(self.arm == arm)
        if self.plan.world.coached(arm):
            start, going = self._wait(arm, course, members)
        else:
            start, going = self.randomized.ravel()[members], np.ones(len(members), dtype=bool)
        exit_day = self.exit_or_never.ravel()[members]
        self._attend(arm, course, members, start, going, exit_day)
        self._settle(arm, course, members, start, going, exit_day)
        if course.calls is not None:
            self._call(course.calls, members, start, exit_day)

    def _attend(
        self, arm: int, course: Course, members: NDArray[np.intp], start: Ints, going: Bools, exit_day: Ints
    ) -> None:
        """Sessions held, and (coached arms) appointments made: a web module that is not opened was never due."""
        end = course.end.ravel()[members]
        coached = self.plan.world.coached(arm)
        count = np.zeros(len(members), dtype=np.int8)
        for k in range(len(course.day)):
            due, held = course.scheduled[k].ravel()[members], course.attended[k].ravel()[members]
            takes_place = going & (held < LONG) & (start + held < exit_day)
            is_due = going & (due <= end) & (start + due < exit_day) if coached else takes_place
            self.scheduled[k].ravel()[members] = np.where(is_due, start + due, NONE)
            self.attended[k].ravel()[members] = np.where(takes_place, start + held, NONE)
            count += takes_place
        self.n_sessions.ravel()[members] = count

    def _settle(
        self, arm: int, course: Course, members: NDArray[np.intp], start: Ints, going: Bools, exit_day: Ints
    ) -> None:
        """How treatment ended for those who had a coach (or modules); the others are settled by `_wait`."""
        over = start + course.end.ravel()[members]
        done = course.completed.ravel()[members]
        status = np.where(done, Status.COMPLETED, Status.DISCONTINUED)
        if not self.plan.world.coached(arm):
            status = np.where(course.patience.ravel()[members] < 0, Status.DECLINED, status)
        left = over >= exit_day
        day = np.where(left, exit_day, over)
        self.status.ravel()[members[going]] = np.where(left, Status.LEFT_STUDY, status)[going]
        self.ended.ravel()[members[going]] = day[going]
        if self.plan.world.coached(arm):
            self.released.ravel()[members[going]] = day[going]

    def _call(self, calls: Ints, members: NDArray[np.intp], start: Ints, exit_day: Ints) -> None:
        for c in range(len(calls)):
            called = calls[c].ravel()[members]
            made = (called < LONG) & (start + called < exit_day)
            self.calls[c].ravel()[members] = np.where(made, start + called, NONE)

    def _wait(self, arm: int, course: Course, members: NDArray[np.intp]) -> tuple[Ints, Bools]:
        """The list for coaches; returns each member's first appointment and whether they got one."""
        delivery = self.plan.world.design.arms[self.plan.world.arms[arm]].delivery
        assert isinstance(delivery, Individual)
        asks = self.randomized.ravel()[members] + delivery.referral_days
        exit_day = self.exit_or_never.ravel()[members]
        patience = course.patience.ravel()[members]
        deadline = np.minimum(asks + patience, exit_day - 1)
        length = delivery.lead_days + course.end.ravel()[members]
        offered, coach = self._queue(arm, members, asks, deadline, length, exit_day)
        served = offered < LONG
        joins = (patience >= 0) & (asks < exit_day)
        self.asked.ravel()[members] = np.where(joins, asks, NONE)
        self.offered.ravel()[members] = np.where(served, offered, NONE)
        self.coach.ravel()[members] = np.where(served, coach, NONE)
        left = np.where(deadline + 1 >= exit_day, Status.LEFT_STUDY, Status.STOPPED_WAITING)
        status = np.where(joins, left, np.where(asks < exit_day, Status.DECLINED, Status.LEFT_STUDY))
        day = np.where(joins, deadline + 1, np.where(asks < exit_day, asks, exit_day))
        self.status.ravel()[members] = status
        self.ended.ravel()[members] = day
        return offered + delivery.lead_days, served

    def _queue(
        self, arm: int, members: NDArray[np.intp], asks: Ints, deadline: Ints, length: Ints, exit_day: Ints
    ) -> tuple[Ints, Ints]:
        """Days of offer (LONG if none) and coaches, first come first served, all replicates side by side."""
        n_replicates = self.arm.shape[1]
        waits = np.flatnonzero(deadline >= asks)
        turns, order = _turns(members[waits] % n_replicates, n_replicates)
        line = waits[order]
        pool = Places(self.plan.world, arm, n_replicates)
        columns: tuple[NDArray[Any], ...] = (members % n_replicates, asks, deadline, length, exit_day)
        queue = [values[line] for values in columns]
        offered = np.full(len(members), LONG, dtype=np.int32)
        coach = np.full(len(members), NONE, dtype=np.int32)
        offers = [pool.serve(*[values[first:last] for values in queue]) for first, last in pairwise(turns)]
        if offers:
            offered[line] = np.concatenate([offer for offer, _ in offers])
            coach[line] = np.concatenate([chosen for _, chosen in offers])
        return offered, coach


def _turns(replicate: NDArray[np.intp], n_replicates: int) -> tuple[list[int], NDArray[np.intp]]:
    """An order in which the first of every replicate come first, then the second ones, ...; and where each turn begins.

    Members are in order of participants; the stable sorts keep each replicate's order.
    """
    by_replicate = np.argsort(replicate.astype(np.int16), kind="stable")
    counts = np.bincount(replicate, minlength=n_replicates)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    turn = np.arange(len(replicate)) - np.repeat(starts, counts)
    order = by_replicate[np.argsort(turn, kind="stable")]
    sizes = np.bincount(turn) if len(turn) else np.empty(0, dtype=np.int64)
    return [0, *np.cumsum(sizes).tolist()], order


def _allocate(plan: Plan) -> NDArray[np.int8]:
    """The next arm of each participant's stratum, in order of randomization; NONE for rows without a participant."""
    codes, nobody = strata_or_nobody(plan.cohort)
    counts = count_strata(codes, nobody)
    # Rows without a participant are a stratum, too, whose list says that there is no arm.
    lists = plan.lists | {nobody: np.full((counts[:, nobody].max(), len(counts)), NONE, dtype=np.int8)}
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


def _funnel(plan: Plan, n_participants: Ints, closing: Ints) -> Ints:
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
    exit_day = np.where(histories.exit_day == NONE, LONG, histories.exit_day)
    shape = (len(visits), *valid.shape)
    due, observed = np.full(shape, NONE, dtype=np.int32), np.full(shape, NONE, dtype=np.int32)
    missing, reminders = np.zeros(shape, dtype=np.int8), np.zeros(shape, dtype=np.int8)
    for v, visit in enumerate(visits):
        scheduled = histories.randomized_day + visit.day
        answered = scheduled + visit.opens + answers.after_days[v]
        answers_it = valid & (answers.after_days[v] < LONG) & (answered < exit_day)
        due[v] = np.where(valid, scheduled, NONE)
        observed[v] = np.where(answers_it, answered, NONE)
        missing[v] = _why_missing(valid, answers_it, exit_day <= scheduled + visit.closes, histories.exit_kind)
        stops = np.minimum(exit_day, np.where(answers_it, answered, LONG))
        for reminder in visit.reminders:
            reminders[v] += valid & (scheduled + reminder < stops)
    return FollowUp(due, observed, missing, reminders)


def _why_missing(valid: Bools, answered: Bools, gone: Bools, exit_kind: NDArray[np.int8]) -> NDArray[np.int8]:
    gone_code = np.where(exit_kind == 2, Missing.DIED, Missing.WITHDREW)
    code = np.where(answered, Missing.ANSWERED, np.where(gone, gone_code, Missing.NO_ANSWER))
    return np.where(valid, code, Missing.NOT_RANDOMIZED).astype(np.int8)
