"""The event lists of a block, derived from its histories: row for row the process engine's logs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group, Individual
from trialsim.world.formulas import Bools, Ints
from trialsim.world.histories import EVENT_COLUMNS, NONE, FollowUp, Histories, Kind, Missing, Status
from trialsim.world.periods import each_reminder
from trialsim.world.plans import DIED, WITHDREW, Plan

Keys = NDArray[np.int64]

DAY_BITS, KIND_BITS, ALL_BITS = 22, 5, 63
READ_AT_ONCE = 32_768  # few enough for the cache
DAY_ZERO = 2 ** (DAY_BITS - 1)
"""What is added to days: questionnaires may open before day 0."""


def derive_events(
    plan: Plan, histories: Histories, follow: FollowUp, columns: NDArray[np.intp]
) -> tuple[Ints, NDArray[np.intp]]:
    """Events of some replicates in their one order, one replicate after the other, and the number of each one's events.

    Rows have shape (n_events, 7), columns as in EVENT_COLUMNS.
    """
    layout = _Layout(plan, histories)
    size = layout.most_replicates
    parts = [
        _Book(plan, histories, follow, columns[first : first + size], layout).rows()
        for first in range(0, len(columns), size)
    ]
    rows, counts = zip(*parts, strict=True)
    return (rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)).T, np.concatenate(counts)


class _Layout:
    """An event as one whole number: replicate, day, kind, person + 1, detail, from the highest bits to the lowest.

    Such numbers sort into the one order of events at once, for persons are in order of site and number, and site,
    number, participant and arm follow from the person; they are read back from the sorted numbers.
    """

    def __init__(self, plan: Plan, histories: Histories) -> None:
        world = plan.world
        numbers = max(int(histories.coach.max()), int(histories.group.max())) + 1
        lengths = (world.max_sessions, len(world.visits), len(histories.call_day), numbers)
        self.detail_bits = max(1000 * len(world.steps), *lengths).bit_length()
        self.person_bits = len(plan.cohort.persons.site).bit_length()
        self.kind_at = self.detail_bits + self.person_bits
        self.day_at = self.kind_at + KIND_BITS
        self.replicate_at = self.day_at + DAY_BITS
        self.most_replicates = 2 ** max(0, ALL_BITS - self.replicate_at)


class _Book:
    """Events of some replicates (R columns), collected kind by kind."""

    def __init__(
        self, plan: Plan, histories: Histories, follow: FollowUp, columns: NDArray[np.intp], layout: _Layout
    ) -> None:
        self.plan, self.h, self.f, self.layout, self.columns = plan, histories, follow, layout, columns
        self.everyone = np.array_equal(columns, np.arange(len(histories.n_participants)))
        self.replicate = (np.arange(len(columns)) << layout.replicate_at) + (DAY_ZERO << layout.day_at)
        person = self.cut(plan.cohort.person) + np.int64(1)
        self.participant = ((person << layout.detail_bits) + self.replicate).ravel()
        self.valid = self.cut(plan.cohort.valid)
        self.arm, self.status, self.ended = (
            self.cut(v) for v in (histories.arm, histories.status, histories.ended_day)
        )
        self.keys: list[Keys] = []

    def cut(self, values: NDArray[Any]) -> NDArray[Any]:
        """The book's columns of an array (..., R)."""
        return values if self.everyone else values[..., self.columns]

    def add(self, kind: Kind, happens: Bools, day: Ints, detail: NDArray[np.integer[Any]] | int = 0) -> None:
        """Events of the participants (N, R) to whom it happens."""
        self._add(self.participant, kind, happens, day, detail)

    def _add(
        self, who: Keys, kind: Kind, happens: Bools, day: Ints, detail: NDArray[np.integer[Any]] | int = 0
    ) -> None:
        here = np.flatnonzero(happens)
        keys = day.ravel()[here].astype(np.int64)
        keys <<= self.layout.day_at
        keys += who[here]
        keys += int(kind) << self.layout.kind_at
        keys += detail if isinstance(detail, int) else detail.ravel()[here]
        self.keys.append(keys)

    def rows(self) -> tuple[Ints, NDArray[np.intp]]:
        """All events in order, shape (7, n_events), and their numbers by replicate."""
        self.enrolment()
        self.leaving()
        self.treatment()
        self.follow_up()
        keys = np.concatenate(self.keys)
        keys.sort()
        return self._read(keys)

    def _read(self, keys: Keys) -> tuple[Ints, NDArray[np.intp]]:
        rows = np.empty((len(EVENT_COLUMNS), len(keys)), dtype=np.int32)
        persons = self.plan.cohort.persons
        of_person = (np.append(NONE, persons.site), np.append(NONE, persons.number), *self._participants())
        for first in range(0, len(keys), READ_AT_ONCE):
            some = slice(first, first + READ_AT_ONCE)
            self._read_some(keys[some], rows[:, some], *of_person)
        limits = np.arange(len(self.columns) + 1) << self.layout.replicate_at
        return rows, np.diff(np.searchsorted(keys, limits))

    def _read_some(
        self, keys: Keys, rows: Ints, sites: Ints, numbers: Ints, participants: Ints, arms: NDArray[np.int8]
    ) -> None:
        layout = self.layout
        day, kind, site, number, participant, arm, detail = rows
        day[:] = (keys >> layout.day_at & 2**DAY_BITS - 1) - DAY_ZERO
        kind[:] = keys >> layout.kind_at & 2**KIND_BITS - 1
        detail[:] = keys & 2**layout.detail_bits - 1
        person = keys >> layout.detail_bits & 2**layout.person_bits - 1
        site[:], number[:] = sites[person], numbers[person]
        place = person * len(self.columns) + (keys >> layout.replicate_at)
        place *= kind > Kind.PASSED  # in the funnel nobody is a participant yet, and place 0 is nobody's
        participant[:], arm[:] = participants[place], arms[place]

    def _participants(self) -> tuple[Ints, NDArray[np.int8]]:
        """Participant and arm of (person + 1) x R + column, laid flat."""
        n = len(self.columns)
        participant = np.full((len(self.plan.cohort.persons.site) + 1) * n, NONE, dtype=np.int32)
        arm = np.full(participant.shape, NONE, dtype=np.int8)
        row, column = np.nonzero(self.valid)
        place = (self.cut(self.plan.cohort.person)[row, column] + np.int64(1)) * n + column
        participant[place], arm[place] = row, self.arm[row, column]
        return participant, arm

    def enrolment(self) -> None:
        """Persons through the funnel until enrolment closes; randomizations; the closing."""
        persons, closing = self.plan.cohort.persons, self.cut(self.h.closing_day)
        lost_step, lost_reason = self.cut(persons.lost_step), self.cut(persons.lost_reason)
        row = np.arange(1, len(lost_step) + 1)[:, None]
        person = ((row << self.layout.detail_bits) + self.replicate).ravel()
        n_steps = len(self.plan.world.steps)
        for step in range(n_steps):
            day = self.cut(persons.step_day[step + 1])
            by_closing = day <= closing
            if step < n_steps - 1:
                self._add(person, Kind.PASSED, by_closing & (lost_step > step), day, step)
            self._add(person, Kind.LOST, by_closing & (lost_step == step), day, lost_reason + np.int32(step * 1000))
        self.add(Kind.RANDOMIZED, self.valid, self.cut(self.h.randomized_day))
        self._add(self.replicate, Kind.ENROLMENT_CLOSED, np.ones(len(closing), dtype=bool), closing)

    def leaving(self) -> None:
        """Withdrawals and deaths."""
        day, why = self.cut(self.h.exit_day), self.cut(self.h.exit_kind)
        self.add(Kind.WITHDREW, why == WITHDREW, day)
        self.add(Kind.DIED, why == DIED, day)

    def treatment(self) -> None:
        """Coaches, groups, calls, sessions and how treatment ended."""
        asked, offered, group = self.cut(self.h.asked_day), self.cut(self.h.offered_day), self.cut(self.h.group)
        self.add(Kind.ASKED_FOR_TREATMENT, asked != NONE, asked)
        self.add(Kind.COACH_ASSIGNED, (offered != NONE) & (group == NONE), offered, self.cut(self.h.coach))
        self.add(Kind.GROUP_FORMED, group != NONE, offered, group)
        for kind, days in ((Kind.SESSION, self.h.attended_day), (Kind.CALLED, self.h.call_day)):
            for place, day in enumerate(self.cut(days)):
                self.add(kind, day != NONE, day, place)
        self._missed_appointments()
        self._ends()

    def _ends(self) -> None:
        self.add(Kind.DECLINED, self.status == Status.DECLINED, self.ended)
        self.add(Kind.STOPPED_WAITING, self.status == Status.STOPPED_WAITING, self.ended)
        self.add(Kind.DISCONTINUED, self.status == Status.DISCONTINUED, self.ended, self.cut(self.h.n_sessions))
        self.add(Kind.COMPLETED, self.status == Status.COMPLETED, self.ended)

    def _missed_appointments(self) -> None:
        """Appointments from the scheduled day on, one interval apart, until attended, stopped or out of the study."""
        last = self.ended - (self.status == Status.LEFT_STUDY)
        scheduled, attended = self.cut(self.h.scheduled_day), self.cut(self.h.attended_day)
        for arm, name in enumerate(self.plan.world.arms):
            delivery = self.plan.world.design.arms[name].delivery
            member = self.arm == arm
            if isinstance(delivery, Group):  # what is missed is not made up for
                for session, (day, held) in enumerate(zip(scheduled, attended, strict=True)):
                    self.add(Kind.MISSED_APPOINTMENT, member & (day != NONE) & (held == NONE), day, session)
            if not isinstance(delivery, Individual):
                continue
            for session in range(len(delivery.modules)):
                first, held = scheduled[session], attended[session]
                due = member & (first != NONE)
                for again in range(delivery.max_reschedules + 1):
                    day = first + again * delivery.interval_days
                    missed = due & (day <= last) & ((held == NONE) | (day < held))
                    self.add(Kind.MISSED_APPOINTMENT, missed, day, session)

    def follow_up(self) -> None:
        """Windows, reminders, answers."""
        exit_day, due_day = self.cut(self.h.exit_day), self.cut(self.f.due_day)
        observed_day, missing = self.cut(self.f.observed_day), self.cut(self.f.missing)
        for v, observed in enumerate(observed_day):
            due = due_day[v]
            for kind, offset, limit in self._moments(v, due, missing[v]):
                day = due + offset
                happens = limit & ((exit_day == NONE) | (day < exit_day))
                if kind != Kind.WINDOW_OPENED:
                    happens &= (observed == NONE) | (day < observed)
                self.add(kind, happens, day, v)
            self.add(Kind.ANSWERED, observed != NONE, observed, v)

    def _moments(self, v: int, due: Ints, missing: NDArray[np.int8]) -> list[tuple[Kind, int, Bools]]:
        world = self.plan.world
        visit = world.design.visits[world.visits[v]]
        moments = [(Kind.WINDOW_OPENED, visit.opens, self.valid)]
        told = each_reminder(world.reminders[v], visit.opens, due, self.valid)
        moments += [(Kind.REMINDED, day, meant) for day, meant in told]
        return [*moments, (Kind.WINDOW_CLOSED, visit.closes, missing == Missing.NO_ANSWER)]
