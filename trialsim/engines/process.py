"""The reference engine: SimPy processes that read like the trial's protocol, with a full event log.

The clock (`process_clock.py`) counts ticks: study day x number of phases + phase, so that the order of things within a
day is data (`Phase`) and not an accident of the event queue. Act one enrols, randomizes and treats; act two
(`process_follow_up.py`) follows up. They are apart because whether somebody answers may depend on how they are, and
outcomes are computed, on arrays, between the acts. Lists of those who wait are kept in `process_desks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import fields
from itertools import count
from typing import Any

import numpy as np
import simpy

from trialsim.design.delivery import Group, Individual
from trialsim.engines.process_clock import Clock, Phase, Row, Wait, as_log
from trialsim.engines.process_desks import CoachDesk, Desk, GroupDesk
from trialsim.engines.process_follow_up import follow_up
from trialsim.world.allocation import Given
from trialsim.world.formulas import LONG, NEVER, Ints
from trialsim.world.histories import NONE, Histories, Kind, Status
from trialsim.world.plans import DIED, Plan
from trialsim.world.sequential import Sequential

__all__ = ["deliver", "follow_up"]

NAME = "process"


def deliver(plan: Plan) -> tuple[Histories, list[Ints]]:
    """Enrol, randomize and treat in every replicate of the plan; histories and one event log per replicate."""
    trials = [Trial(plan, column).run() for column in range(plan.cohort.shape[1])]
    parts = [trial.histories() for trial in trials]
    whole = {f.name: np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(Histories)}
    return Histories(**whole), [as_log(trial.events) for trial in trials]


def _office_rule(plan: Plan, column: int) -> Callable[[int], int]:
    """How the trial office finds the arm of the participant who is randomized next."""
    assignment = plan.assignment
    if isinstance(assignment, Given):
        arms: list[int] = assignment.arm[:, column].tolist()
        return arms.__getitem__
    if isinstance(assignment, Sequential):
        return Ledger(assignment, column).next_arm
    envelopes = {code: iter(arms[:, column].tolist()) for code, arms in assignment.arms.items()}
    stratum_of = plan.cohort.stratum[:, column].tolist()
    return lambda i: next(envelopes[stratum_of[i]])


class Ledger:
    """The trial office's counts of what was given before, where the next arm depends on them."""

    def __init__(self, assignment: Sequential, column: int) -> None:
        self.assignment, self.column = assignment, slice(column, column + 1)
        self.level_of = assignment.level[:, :, column].tolist()
        n_parts = len(assignment.arm_of_part)
        self.given: dict[int, list[int]] = {level: [0] * n_parts for level in range(assignment.n_levels)}

    def next_arm(self, i: int) -> int:
        """Draw a part of the ratio for participant i, and count it at each level that is theirs."""
        own = [self.given[level] for level in self.level_of[i]]
        counts = np.array(own, dtype=np.int64).T[:, :, None]
        part = int(self.assignment.draw(i, counts, self.column)[0])
        for at_level in own:
            at_level[part] += 1
        return int(self.assignment.arm_of_part[part])


class Trial:
    """One replicate: sites contact people, the trial office randomizes, coaches, groups and web modules treat."""

    def __init__(self, plan: Plan, column: int) -> None:
        self.plan, self.world, self.column = plan, plan.world, column
        self.clock = Clock()
        self.events: list[Row] = []
        self.closed = False
        self.ready: list[int] = []
        self._read_plan()
        self._open_books()

    def _read_plan(self) -> None:
        """This replicate's column of the plan, as plain lists (SimPy code reads single values)."""
        cohort, c = self.plan.cohort, self.column
        persons = cohort.persons
        self.site_of = persons.site.tolist()
        self.number_of = persons.number.tolist()
        self.step_day = persons.step_day[:, :, c].tolist()
        self.lost_step = persons.lost_step[:, c].tolist()
        self.lost_reason = persons.lost_reason[:, c].tolist()
        self.next_arm = _office_rule(self.plan, c)
        self.exit_after = self.plan.exit_after[:, :, c].tolist()
        self.exit_kind_of = self.plan.exit_kind[:, :, c].tolist()
        self.courses = [None if course is None else _Course(course, c) for course in self.plan.courses]

    def _open_books(self) -> None:
        """Empty histories."""
        size, world = self.world.design.sample_size, self.world
        n_calls = max([0, *(len(c.calls) for c in self.plan.courses if c is not None and c.calls is not None)])
        self.passed = [0] * len(world.steps)
        self.lost = [[0] * len(reasons) for reasons in world.reasons]
        self.n_contacted, self.n_participants, self.closing_day = 0, 0, world.last_day
        blank = (
            "site",
            "number",
            "randomized_day",
            "arm",
            "coach",
            "group",
            "asked_day",
            "offered_day",
            "released_day",
            "ended_day",
        )
        self.book: dict[str, list[int]] = {name: [NONE] * size for name in (*blank, "exit_day")}
        self.book |= {name: [0] * size for name in ("n_sessions", "status", "exit_kind")}
        self.sessions = {name: [[NONE] * size for _ in range(world.max_sessions)] for name in ("scheduled", "attended")}
        self.call_day = [[NONE] * size for _ in range(n_calls)]
        self.treatment: dict[int, simpy.Process] = {}
        self.desks = {arm: self._open_desks(arm) for arm in range(len(world.arms)) if world.waits(arm)}

    def _open_desks(self, arm: int) -> Sequence[Desk]:
        """The arm's desk, or one for each site."""
        delivery, numbers = self.world.design.arms[self.world.arms[arm]].delivery, count()
        if not isinstance(delivery, Group):
            return [CoachDesk(self.clock, self.world, arm)]
        lists = range(self.world.design.n_lists(self.world.arms[arm]))
        return [GroupDesk(self.clock, delivery, numbers, own * delivery.at_once) for own in lists]

    def desk(self, i: int) -> Desk:
        """Where the participant asks for a place."""
        desks = self.desks[self.book["arm"][i]]
        return desks[self.book["site"][i]] if len(desks) > 1 else desks[0]

    def run(self) -> Trial:
        """Let the trial happen."""
        env = self.clock.env
        for site in range(len(self.world.sites)):
            env.process(self.site(site))
        env.process(self.trial_office())
        if self.desks:
            env.process(self.give_places())
        env.run()
        return self

    # --- enrolment ---

    def site(self, site: int) -> Wait:
        """A site contacts people, one after another, until enrolment closes."""
        for person in [p for p, s in enumerate(self.site_of) if s == site]:
            contact_day = self.step_day[0][person]
            if contact_day == NEVER:
                return
            yield self.clock.until(contact_day, Phase.RECRUIT)
            if self.closed:
                return
            self.n_contacted += 1
            self.clock.env.process(self.funnel(person))

    def funnel(self, person: int) -> Wait:
        """Screening, eligibility, consent and so on, until the person is lost, ready, or enrolment closes."""
        last = len(self.world.steps) - 1
        for step in range(last + 1):
            yield self.clock.until(self.step_day[step + 1][person], Phase.RECRUIT)
            if self.closed:
                return
            if self.lost_step[person] == step:
                self.lost[step][self.lost_reason[person]] += 1
                self.log(Kind.LOST, person, detail=step * 1000 + self.lost_reason[person])
                return
            if step < last:
                self.passed[step] += 1
                self.log(Kind.PASSED, person, detail=step)
        self.ready.append(person)

    def trial_office(self) -> Wait:
        """Each day the office randomizes those who are ready, in screening order, until the sample size is reached."""
        for day in range(self.world.last_day + 1):
            yield self.clock.until(day, Phase.RANDOMIZE)
            for person in sorted(self.ready):
                self.randomize(person)
                if self.n_participants == self.world.design.sample_size:
                    self.close_enrolment()
                    return
            self.ready.clear()
        self.close_enrolment()

    def close_enrolment(self) -> None:
        """Nobody is contacted, screened or randomized any more."""
        self.closed, self.closing_day = True, self.clock.day
        self.log(Kind.ENROLMENT_CLOSED, NONE)

    def randomize(self, person: int) -> None:
        """Ask for the participant's arm, and start what it delivers."""
        i = self.n_participants
        arm = self.next_arm(i)
        self.n_participants += 1
        self.passed[-1] += 1
        self.book["site"][i], self.book["number"][i] = self.site_of[person], self.number_of[person]
        self.book["arm"][i] = arm
        self.book["randomized_day"][i] = self.clock.day
        self.tell(Kind.RANDOMIZED, i)
        if self.exit_after[arm][i] < LONG:
            self.clock.env.process(self.leave(i))
        if self.courses[arm] is not None:
            if arm in self.desks:
                self.desk(i).expected.add(i)
            treat = self.come if arm in self.desks else self.study_alone
            self.treatment[i] = self.clock.env.process(treat(i))

    def leave(self, i: int) -> Wait:
        """Withdraw from the study, or die; treatment stops."""
        arm = self.book["arm"][i]
        yield self.clock.until(self.clock.day + self.exit_after[arm][i], Phase.LEAVE)
        kind = self.exit_kind_of[arm][i]
        self.book["exit_day"][i], self.book["exit_kind"][i] = self.clock.day, kind
        self.tell(Kind.DIED if kind == DIED else Kind.WITHDREW, i)
        treatment = self.treatment.get(i)
        if treatment is not None and treatment.is_alive:
            treatment.interrupt("left the study")

    # --- sessions with a coach or in a group ---

    def give_places(self) -> Wait:
        """Each day, free places go to those who wait."""
        desks = [desk for of_arm in self.desks.values() for desk in of_arm]
        while not (self.closed and all(desk.is_done for desk in desks)):
            yield self.clock.until(self.clock.day, Phase.ASSIGN)
            for desk in desks:
                desk.assign(enrolment_closed=self.closed)
            yield self.clock.until(self.clock.day + 1, Phase.RECRUIT)

    def come(self, i: int) -> Wait:
        """Ask for a place, wait, attend sessions, give the place back."""
        arm = self.book["arm"][i]
        course, desk = self.courses[arm], self.desk(i)
        assert course is not None
        place = None
        try:
            place = yield from self.ask(i, course, desk)
            if place is None:
                return
            self.begin(i, *place)
            yield from self.meetings(i, course) if self.world.grouped(arm) else self.appointments(i, course)
        except simpy.Interrupt:
            self.settle(i, Status.LEFT_STUDY)
            if place is None:
                desk.strike(i)
        if place is not None:
            self.book["released_day"][i] = self.clock.day
            yield self.clock.until(self.clock.day, Phase.RELEASE)
            desk.release(place)

    def begin(self, i: int, coach: int, place: Any) -> None:
        """Somebody is given a coach, or put in a group with its team."""
        self.book["offered_day"][i], self.book["coach"][i] = self.clock.day, coach
        if not self.world.grouped(self.book["arm"][i]):
            self.tell(Kind.COACH_ASSIGNED, i, coach)
            return
        self.book["group"][i] = place
        self.tell(Kind.GROUP_FORMED, i, place)

    def ask(self, i: int, course: _Course, desk: Desk) -> Generator[simpy.Event, Any, Any]:
        """From randomization to the offer of a place; None for those who do not want one, or no longer."""
        delivery = self.delivery(i)
        yield self.clock.until(self.clock.day + delivery.referral_days, Phase.ASK)
        if course.patience[i] < 0:
            desk.strike(i)
            self.tell(Kind.DECLINED, i)
            self.settle(i, Status.DECLINED)
            return None
        self.book["asked_day"][i] = self.clock.day
        self.tell(Kind.ASKED_FOR_TREATMENT, i)
        offer = desk.join(i)
        yield offer | self.clock.until(self.clock.day + course.patience[i] + 1, Phase.GIVE_UP)
        if offer.triggered:
            return offer.value
        desk.strike(i)
        self.tell(Kind.STOPPED_WAITING, i)
        self.settle(i, Status.STOPPED_WAITING)
        return None

    def appointments(self, i: int, course: _Course) -> Wait:
        """Sessions one interval apart; a missed one is rescheduled; the end is completion or discontinuation."""
        delivery = self.delivery(i)
        assert isinstance(delivery, Individual)
        first = self.clock.day + delivery.lead_days
        for session in range(len(delivery.modules)):
            day = first + course.scheduled[session][i]
            attended, end = first + course.attended[session][i], first + course.end[i]
            while day <= end:
                yield self.clock.until(day, Phase.TREAT)
                if self.sessions["scheduled"][session][i] == NONE:
                    self.sessions["scheduled"][session][i] = day
                if day == attended:
                    self.hold(i, session)
                    break
                self.tell(Kind.MISSED_APPOINTMENT, i, session)
                day += delivery.interval_days
        self.finish(i, course)

    def meetings(self, i: int, course: _Course) -> Wait:
        """The group's sessions, some of them missed, until the programme is over or the participant stops."""
        first = self.clock.day + self.delivery(i).lead_days
        for session, days in enumerate(course.scheduled):
            if days[i] > course.end[i]:
                break
            yield self.clock.until(first + days[i], Phase.TREAT)
            self.sessions["scheduled"][session][i] = self.clock.day
            if course.attended[session][i] < LONG:
                self.hold(i, session)
            else:
                self.tell(Kind.MISSED_APPOINTMENT, i, session)
        self.finish(i, course)

    # --- web modules ---

    def study_alone(self, i: int) -> Wait:
        """Modules at one's own pace; calls to those who stall."""
        course = self.courses[self.book["arm"][i]]
        assert course is not None
        start = self.clock.day
        if course.calls:
            self.clock.env.process(self.telephone(i, course, start))
        try:
            for session in range(len(course.attended)):
                if course.attended[session][i] < LONG:
                    yield self.clock.until(start + course.attended[session][i], Phase.TREAT)
                    self.sessions["scheduled"][session][i] = start + course.scheduled[session][i]
                    self.hold(i, session)
            never_begun = course.patience[i] < 0
            yield self.clock.until(start + course.end[i], Phase.ASK if never_begun else Phase.TREAT)
            self.finish(i, course)
        except simpy.Interrupt:
            self.settle(i, Status.LEFT_STUDY)

    def telephone(self, i: int, course: _Course, start: int) -> Wait:
        """Calls to somebody who has stalled, until they leave the study."""
        for call, days in sorted(enumerate(course.calls), key=lambda entry: entry[1][i]):
            if days[i] == LONG:
                return
            yield self.clock.until(start + days[i], Phase.ASK)
            if self.book["exit_day"][i] != NONE:
                return
            self.call_day[call][i] = self.clock.day
            self.tell(Kind.CALLED, i, call)

    # --- the books ---

    def delivery(self, i: int) -> Individual | Group:
        """How the participant's arm is delivered (arms in which one waits for a place)."""
        delivery = self.world.design.arms[self.world.arms[self.book["arm"][i]]].delivery
        assert isinstance(delivery, Individual | Group)
        return delivery

    def hold(self, i: int, session: int) -> None:
        """A session takes place."""
        self.sessions["attended"][session][i] = self.clock.day
        self.book["n_sessions"][i] += 1
        self.tell(Kind.SESSION, i, session)

    def finish(self, i: int, course: _Course) -> None:
        """Treatment is over: completed, stopped, or (web modules) never begun."""
        if course.completed[i]:
            self.tell(Kind.COMPLETED, i)
            self.settle(i, Status.COMPLETED)
        elif course.patience[i] < 0:
            self.tell(Kind.DECLINED, i)
            self.settle(i, Status.DECLINED)
        else:
            self.tell(Kind.DISCONTINUED, i, self.book["n_sessions"][i])
            self.settle(i, Status.DISCONTINUED)

    def settle(self, i: int, status: Status) -> None:
        self.book["status"][i], self.book["ended_day"][i] = status, self.clock.day

    def tell(self, kind: Kind, i: int, detail: int = 0) -> None:
        """Log an event of a participant."""
        book = self.book
        self.events.append((self.clock.day, kind, book["site"][i], book["number"][i], i, book["arm"][i], detail))

    def log(self, kind: Kind, person: int, detail: int = 0) -> None:
        """Log an event before randomization, or (no person) of the trial as a whole."""
        site, number = (NONE, NONE) if person == NONE else (self.site_of[person], self.number_of[person])
        self.events.append((self.clock.day, kind, site, number, NONE, NONE, detail))

    def histories(self) -> Histories:
        """What happened, as arrays with one replicate."""
        entries = [self.n_contacted]
        for passed, lost in zip(self.passed, self.lost, strict=True):
            entries += [passed, *lost]
        codes = {
            "site": np.int16,
            "arm": np.int8,
            "n_sessions": np.int8,
            "status": np.int8,
            "exit_kind": np.int8,
            "coach": np.int16,
            "group": np.int16,
        }
        book = {name: np.array(v, dtype=codes.get(name, np.int32))[:, None] for name, v in self.book.items()}
        call_day = np.array(self.call_day, dtype=np.int32).reshape(len(self.call_day), len(self.book["arm"]), 1)
        return Histories(
            n_participants=np.array([self.n_participants], dtype=np.int32),
            closing_day=np.array([self.closing_day], dtype=np.int32),
            funnel=np.array(entries, dtype=np.int32)[:, None],
            scheduled_day=np.array(self.sessions["scheduled"], dtype=np.int32)[:, :, None],
            attended_day=np.array(self.sessions["attended"], dtype=np.int32)[:, :, None],
            call_day=call_day,
            n_calls=(call_day != NONE).sum(axis=0, dtype=np.int32),
            **book,
        )


class _Course:
    """One replicate of a course, as plain lists."""

    def __init__(self, course: Any, column: int) -> None:
        self.patience: list[int] = course.patience[:, column].tolist()
        self.scheduled: list[list[int]] = course.scheduled[:, :, column].tolist()
        self.attended: list[list[int]] = course.attended[:, :, column].tolist()
        self.end: list[int] = course.end[:, column].tolist()
        self.completed: list[bool] = course.completed[:, column].tolist()
        self.calls: list[list[int]] = [] if course.calls is None else course.calls[:, :, column].tolist()
