"""What an engine returns: whole numbers, flags and codes, the same from either engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Codes = NDArray[np.int8]

NONE = -1
"""A day, coach or arm that does not exist."""


class Kind(IntEnum):
    """Kinds of event, in the order in which they happen within one day (the order of the day is this list)."""

    LOST = 0  # detail: step * 1000 + reason
    PASSED = 1  # detail: step
    RANDOMIZED = 2
    ENROLMENT_CLOSED = 3
    WITHDREW = 4
    DIED = 5
    STOPPED_WAITING = 6
    DECLINED = 7
    ASKED_FOR_TREATMENT = 8
    CALLED = 9
    COACH_ASSIGNED = 10  # detail: coach
    GROUP_FORMED = 11  # detail: group; once for each member
    MISSED_APPOINTMENT = 12  # detail: session
    SESSION = 13  # detail: session
    DISCONTINUED = 14  # detail: sessions attended
    COMPLETED = 15
    WINDOW_OPENED = 16  # detail: visit
    ANSWERED = 17  # detail: visit
    REMINDED = 18  # detail: visit; to those who have not answered by this day
    WINDOW_CLOSED = 19  # detail: visit; without an answer, by somebody in the study


class Status(IntEnum):
    """How treatment went."""

    NO_TREATMENT = 0  # the arm has no sessions
    DECLINED = 1
    STOPPED_WAITING = 2
    DISCONTINUED = 3
    COMPLETED = 4
    LEFT_STUDY = 5


class Missing(IntEnum):
    """Why a visit has no answer."""

    ANSWERED = 0
    NO_ANSWER = 1
    WITHDREW = 2
    DIED = 3
    NOT_RANDOMIZED = 4


EVENT_COLUMNS = ("day", "kind", "site", "person", "participant", "arm", "detail")


class Later:
    """A field of a dataclass that may be given as a function, called when somebody first asks for the value."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> Ints:
        if instance is None:
            raise AttributeError(self.name)  # tells `dataclass` that the field has no default
        value = instance.__dict__[self.name]
        if callable(value):
            value = instance.__dict__[self.name] = value()
        return value

    def __set__(self, instance: object, value: Ints | Callable[[], Ints]) -> None:
        instance.__dict__[self.name] = value


@dataclass(frozen=True)
class Histories:
    """Enrolment, allocation and treatment; N rows, R replicates, S sessions. Days are study days, NONE where none.

    What only tables and event lists need is made when it is asked for (`Later`).
    """

    n_participants: Ints  # (R,)
    closing_day: Ints  # (R,)
    site: NDArray[np.int16]  # (N, R)
    randomized_day: Ints  # (N, R)
    arm: Codes  # (N, R)
    coach: NDArray[np.int16]  # (N, R) coach within the arm; of a group, the team that leads it
    group: NDArray[np.int16]  # (N, R) delivery group within the arm, in order of making up
    asked_day: Ints  # (N, R) put on the list for a coach, or for a place in a group
    offered_day: Ints  # (N, R) given a coach, or their group made up
    released_day: Ints  # (N, R) last day on which the coach's place is taken, or in the group
    n_sessions: Codes  # (N, R)
    status: Codes  # (N, R) Status
    ended_day: Ints  # (N, R) day on which `status` was settled; NONE for NO_TREATMENT
    exit_day: Ints  # (N, R)
    exit_kind: Codes  # (N, R) 0 stays, 1 withdrew, 2 died
    number: Later = Later()  # (N, R) screening number within the site
    funnel: Later = (
        Later()
    )  # (n_entries, R) persons contacted; then per step: passed, and lost by reason; until closing
    n_calls: Later = Later()  # (N, R)
    call_day: Later = Later()  # (n_calls, N, R)
    scheduled_day: Later = Later()  # (S, N, R)
    attended_day: Later = Later()  # (S, N, R)

    def replicate(self, column: int) -> Histories:
        """One replicate alone, R = 1."""
        return Histories(**{f.name: getattr(self, f.name)[..., column : column + 1] for f in fields(self)})


@dataclass(frozen=True)
class FollowUp:
    """Questionnaires; V visits."""

    due_day: Ints  # (V, N, R)
    observed_day: Ints  # (V, N, R)
    missing: Codes  # (V, N, R) Missing
    n_reminders: Codes  # (V, N, R)

    def replicate(self, column: int) -> FollowUp:
        """One replicate alone, R = 1."""
        return FollowUp(**{f.name: getattr(self, f.name)[..., column : column + 1] for f in fields(self)})


def sort_events(rows: Ints) -> Ints:
    """Events in their one order: by day, by kind, then by the other columns; shape (n_events, 7)."""
    return rows[np.lexsort(rows.T[::-1])]
