"""The event list of a block, derived from its histories: row for row the process engine's log."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual
from trialsim.design.parts import Visit
from trialsim.world.formulas import Ints
from trialsim.world.histories import EVENT_COLUMNS, NONE, FollowUp, Histories, Kind, Missing, Status, sort_events
from trialsim.world.plans import DIED, WITHDREW, Plan


def derive_events(plan: Plan, histories: Histories, follow: FollowUp, column: int) -> Ints:
    """All events of one replicate in their one order, shape (n_events, 7); columns as in EVENT_COLUMNS."""
    book = _Book(plan, histories, follow, column)
    book.enrolment()
    book.leaving()
    book.treatment()
    book.follow_up()
    return sort_events(np.concatenate(book.rows))


class _Book:
    """Rows of one replicate, collected kind by kind."""

    def __init__(self, plan: Plan, histories: Histories, follow: FollowUp, column: int) -> None:
        self.plan, self.column = plan, column
        self.persons = plan.cohort.persons
        self.h, self.f = histories.replicate(column), follow.replicate(column)
        self.n = int(self.h.n_participants[0])
        self.site, self.number = self.h.site[: self.n, 0], self.h.number[: self.n, 0]
        self.arm = self.h.arm[: self.n, 0]
        self.status = self.h.status[: self.n, 0]
        self.ended = self.h.ended_day[: self.n, 0]
        self.rows: list[Ints] = [np.empty((0, len(EVENT_COLUMNS)), dtype=np.int32)]

    def add(self, kind: Kind, participants: Ints, day: Ints, detail: Ints | int = 0) -> None:
        """Events of participants."""
        self._rows(
            kind, day, self.site[participants], self.number[participants], participants, self.arm[participants], detail
        )

    def _rows(self, kind: Kind, *columns: NDArray[np.integer[Any]] | int) -> None:
        day, *rest = columns
        block = np.empty((len(np.atleast_1d(day)), len(EVENT_COLUMNS)), dtype=np.int32)
        for place, values in enumerate([day, int(kind), *rest]):
            block[:, place] = values
        self.rows.append(block)

    def enrolment(self) -> None:
        """Persons through the funnel until enrolment closes; randomizations; the closing."""
        persons, c, closing = self.persons, self.column, int(self.h.closing_day[0])
        lost_step, n_steps = persons.lost_step[:, c], len(self.plan.world.steps)
        for step in range(n_steps):
            day = persons.step_day[step + 1, :, c]
            passed = np.flatnonzero((day <= closing) & (lost_step > step)) if step < n_steps - 1 else np.empty(0, int)
            self._rows(Kind.PASSED, day[passed], persons.site[passed], persons.number[passed], NONE, NONE, step)
            lost = np.flatnonzero((day <= closing) & (lost_step == step))
            detail = step * 1000 + persons.lost_reason[lost, c].astype(np.int32)
            self._rows(Kind.LOST, day[lost], persons.site[lost], persons.number[lost], NONE, NONE, detail)
        everybody = np.arange(self.n, dtype=np.int32)
        self.add(Kind.RANDOMIZED, everybody, self.h.randomized_day[: self.n, 0])
        self._rows(Kind.ENROLMENT_CLOSED, closing, NONE, NONE, NONE, NONE, 0)

    def leaving(self) -> None:
        """Withdrawals and deaths."""
        for kind, code in ((Kind.WITHDREW, WITHDREW), (Kind.DIED, DIED)):
            who = np.flatnonzero(self.h.exit_kind[: self.n, 0] == code).astype(np.int32)
            self.add(kind, who, self.h.exit_day[who, 0])

    def treatment(self) -> None:
        """Coaches, calls, sessions and how treatment ended."""
        for kind, days, detail in (
            (Kind.ASKED_FOR_COACH, self.h.asked_day, None),
            (Kind.COACH_ASSIGNED, self.h.offered_day, self.h.coach),
        ):
            who = np.flatnonzero(days[: self.n, 0] != NONE).astype(np.int32)
            self.add(kind, who, days[who, 0], 0 if detail is None else detail[who, 0].astype(np.int32))
        for session, days in enumerate(self.h.attended_day):
            who = np.flatnonzero(days[: self.n, 0] != NONE).astype(np.int32)
            self.add(Kind.SESSION, who, days[who, 0], session)
        for call, days in enumerate(self.h.call_day):
            who = np.flatnonzero(days[: self.n, 0] != NONE).astype(np.int32)
            self.add(Kind.CALLED, who, days[who, 0], call)
        self._missed_appointments()
        self._ends()

    def _ends(self) -> None:
        for kind, status in (
            (Kind.DECLINED, Status.DECLINED),
            (Kind.STOPPED_WAITING, Status.STOPPED_WAITING),
            (Kind.DISCONTINUED, Status.DISCONTINUED),
            (Kind.COMPLETED, Status.COMPLETED),
        ):
            who = np.flatnonzero(self.status == status).astype(np.int32)
            detail = self.h.n_sessions[who, 0].astype(np.int32) if kind == Kind.DISCONTINUED else 0
            self.add(kind, who, self.ended[who], detail)

    def _missed_appointments(self) -> None:
        """Appointments from the scheduled day on, one interval apart, until attended, stopped or out of the study."""
        for arm, name in enumerate(self.plan.world.arms):
            delivery = self.plan.world.design.arms[name].delivery
            if not isinstance(delivery, Individual):
                continue
            left = self.status == Status.LEFT_STUDY
            last = np.where(left, self.ended - 1, self.ended)
            for session in range(len(delivery.modules)):
                first, held = self.h.scheduled_day[session, : self.n, 0], self.h.attended_day[session, : self.n, 0]
                for again in range(delivery.max_reschedules + 1):
                    day = first + again * delivery.interval_days
                    missed = (self.arm == arm) & (first != NONE) & (day <= last) & ((held == NONE) | (day < held))
                    who = np.flatnonzero(missed).astype(np.int32)
                    self.add(Kind.MISSED_APPOINTMENT, who, day[who], session)

    def follow_up(self) -> None:
        """Windows, reminders, answers."""
        exit_day = self.h.exit_day[: self.n, 0]
        for v, visit in enumerate(self.plan.world.design.visits.values()):
            due, observed = self.f.due_day[v, : self.n, 0], self.f.observed_day[v, : self.n, 0]
            for kind, offset, limit in self._moments(visit, v):
                day = due + offset
                happens = ((exit_day == NONE) | (day < exit_day)) & limit & ((observed == NONE) | (day < observed))
                if kind == Kind.WINDOW_OPENED:
                    happens = (exit_day == NONE) | (day < exit_day)
                who = np.flatnonzero(happens).astype(np.int32)
                self.add(kind, who, day[who], v)
            who = np.flatnonzero(observed != NONE).astype(np.int32)
            self.add(Kind.ANSWERED, who, observed[who], v)

    def _moments(self, visit: Visit, v: int) -> list[tuple[Kind, int, NDArray[np.bool_]]]:
        anyone = np.ones(self.n, dtype=bool)
        unanswered = self.f.missing[v, : self.n, 0] == Missing.NO_ANSWER
        reminders = [(Kind.REMINDED, r, anyone) for r in visit.reminders]
        opens = (Kind.WINDOW_OPENED, visit.opens, anyone)
        return [opens, *reminders, (Kind.WINDOW_CLOSED, visit.closes, unanswered)]
