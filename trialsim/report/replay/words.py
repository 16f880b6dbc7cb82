"""What is said of one row: who, and what they do."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from trialsim.design.delivery import Group, Individual, SelfPaced
from trialsim.design.outcomes import Dose, Ordinal, Outcome, Score
from trialsim.report.describe.phrases import is_randomized
from trialsim.report.layout import MONTHS, listed, number, plural
from trialsim.report.replay.story import Row, Story
from trialsim.world.histories import NONE, Status

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SPAN = re.compile(r"(\d+) (day|week|month|year)s?")
_TIDY = 2  # digits of a value


def dated(date: dt.date) -> str:
    """'Mon 5 Jan 2026'."""
    return f"{WEEKDAYS[date.weekday()]} {date.day} {MONTHS[date.month - 1][:3]} {date.year}"


def ordinal(n: int) -> str:
    """'1st', '2nd', '3rd', '11th'."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"


def questionnaire(label: str) -> str:
    """'the 3-month questionnaire', 'the discharge questionnaire', "the questionnaire 'after treatment'"."""
    span = _SPAN.fullmatch(label)
    if span:
        return f"the {span[1]}-{span[2]} questionnaire"
    return f"the {label} questionnaire" if label.isalnum() else f"the questionnaire '{label}'"


def value_text(outcome: Outcome, value: float) -> str:
    """A value as people say it: '4.5', 'yes', 'better', 'has happened'; '?' where there is none."""
    if np.isnan(value):
        return "?"
    if isinstance(outcome, Ordinal):
        return list(outcome.levels)[round(value)]
    if outcome.kind == "event":
        return "has happened" if value > 0 else "has not happened"
    if outcome.kind == "binary":
        return "yes" if value > 0 else "no"
    return number(round(value, _TIDY))


def spoken(name: str) -> str:
    """A name as it is said: 'opioid dose'."""
    return name.replace("_", " ")


class Words:
    """Sentences about the rows of one story. Numbers are those of the tables; sessions are counted from 1."""

    def __init__(self, story: Story) -> None:
        self.story, self.design, self.world = story, story.design, story.world
        self.randomizes = is_randomized(story.design)
        self.visits = [visit.label or name for name, visit in story.design.visits.items()]
        self.says: dict[str, Callable[[Row], str]] = {
            "cluster opened": self._cluster_opened,
            "contacted": lambda _: "is contacted",
            "lost": self._lost,
            "passed": lambda row: f"passes the step '{self.world.steps[row.detail]}'",
            "randomized": self._randomized,
            "enrolment closed": lambda _: "enrolment closes",
            "withdrew": lambda row: f"withdraws from the study{self._with_treatment(row)}",
            "died": lambda row: f"dies{self._with_treatment(row)}",
            "stopped waiting": self._stopped_waiting,
            "declined": self._declined,
            "asked for treatment": self._asked,
            "called": lambda _: "is called, for there has been no module for a while",
            "coach assigned": self._assigned,
            "group formed": lambda row: f"is given a place in group {row.detail}{self._after_waiting(row)}",
            "missed appointment": lambda row: f"misses {self._appointment(row)}{self._session(row)}",
            "session": self._attends,
            "discontinued": self._stops,
            "completed": self._completes,
            "window opened": lambda row: f"is sent {self.questionnaire(row)}",
            "answered": self._answers,
            "reminded": lambda row: f"is reminded of {self.questionnaire(row)}",
            "window closed": lambda row: f"has not answered {self.questionnaire(row)}, which closes",
            "outcome event": lambda row: f"has the event '{spoken(self.world.outcomes[row.detail])}'",
            "record read": self._read,
        }

    def sentence(self, row: Row) -> str:
        """One row as a sentence without its date or full stop."""
        return f"{self.who(row)} {self.says[row.kind](row)}".strip()

    def who(self, row: Row) -> str:
        """'participant 17 (therapist)', 'person 12 of north'; of the trial as a whole nobody."""
        if row.kind == "randomized":
            return f"participant {row.participant}"
        if row.participant != NONE:
            return f"participant {row.participant} ({self.world.arms[row.arm]})"
        if row.kind == "cluster opened" or row.site == NONE:
            return ""
        return f"person {row.number} of {self.world.sites[row.site]}"

    def questionnaire(self, row: Row) -> str:
        """The questionnaire of a row's visit."""
        return questionnaire(self.visits[row.detail])

    # --- enrolment ---

    def _cluster_opened(self, row: Row) -> str:
        given = f", whose arm is {self.world.arms[row.arm]}" if row.arm != NONE else ""
        return f"cluster {self.world.cluster_names[row.number]} opens{given}"

    def _lost(self, row: Row) -> str:
        step, reason = divmod(row.detail, 1000)
        return f"is lost at the step '{self.world.steps[step]}': {self.world.reasons[step][reason]}"

    def _randomized(self, row: Row) -> str:
        came = f"person {row.number} of {self.world.sites[row.site]}"
        return f"is {self.enrolled(row.participant)} {self.world.arms[row.arm]} ({came})"

    def enrolled(self, i: int) -> str:
        """'randomized to'; or how else somebody comes to an arm."""
        if self.randomizes:
            return "randomized to"
        cluster = self.story.trial.block.plan.cohort.cluster
        if cluster is None:
            return "enrolled, not randomized, in"
        return f"enrolled in cluster {self.world.cluster_names[int(cluster[i, 0])]}, which belongs to"

    # --- treatment ---

    def _delivery(self, row: Row) -> Individual | Group | SelfPaced:
        delivery: Individual | Group | SelfPaced = self.story.delivery(row.arm)
        return delivery

    def place(self, arm: int) -> str:
        """What people of an arm wait for."""
        return "a place in a group" if self.world.grouped(arm) else "a coach"

    def _asked(self, row: Row) -> str:
        at, length = self.story.in_line(row.participant, row.day)
        line = f" and is {ordinal(at)} of {length} in line" if at else ""
        return f"asks for {self.place(row.arm)}{line}"

    def _after_waiting(self, row: Row) -> str:
        days = row.day - int(self.story.of("asked_day")[row.participant])
        return f" after {plural(days, 'day')} of waiting" if days else " at once"

    def _assigned(self, row: Row) -> str:
        return f"is given coach {row.detail}{self._after_waiting(row)}"

    def _stopped_waiting(self, row: Row) -> str:
        days = row.day - int(self.story.of("asked_day")[row.participant])
        return f"gives up waiting for {self.place(row.arm)} after {plural(days, 'day')}"

    def _declined(self, row: Row) -> str:
        return "does not start the modules" if self._alone(row) else "does not want to start treatment"

    def _alone(self, row: Row) -> bool:
        return isinstance(self._delivery(row), SelfPaced)

    def _session(self, row: Row) -> str:
        modules = self._delivery(row).modules
        noun = "module" if self._alone(row) else "session"
        return f"{noun} {row.detail + 1} of {len(modules)}, {modules[row.detail]}"

    def _appointment(self, row: Row) -> str:
        return "" if self.world.grouped(row.arm) else "an appointment for "

    def _attends(self, row: Row) -> str:
        leader = self.story.leaders.get((row.participant, row.detail))
        if self._alone(row):
            return f"does {self._session(row)}"
        if self.world.grouped(row.arm):
            group = int(self.story.of("group")[row.participant])
            return f"attends {self._session(row)}, with group {group}"
        return f"attends {self._session(row)}, with coach {leader}"

    def _stops(self, row: Row) -> str:
        planned = len(self._delivery(row).modules)
        noun = "module" if self._alone(row) else "session"
        why = self._missed_too_often(row)
        return f"stops treatment after {row.detail} of {plural(planned, noun)}{why} and stays in the study"

    def _missed_too_often(self, row: Row) -> str:
        """In brackets: one session was missed once more than may be."""
        delivery = self._delivery(row)
        if not isinstance(delivery, Individual) or row.detail >= len(delivery.modules):
            return ""
        first_due = int(self.story.of("scheduled_day")[row.detail, row.participant])
        times = (row.day - first_due) // delivery.interval_days + 1
        if first_due == NONE or times <= delivery.max_reschedules:
            return ""
        return f" (session {row.detail + 1} was missed {plural(times, 'time')})"

    def _with_treatment(self, row: Row) -> str:
        """What leaving the study ends besides: waiting, or treatment."""
        if int(self.story.of("status")[row.participant]) != Status.LEFT_STUDY:
            return ""
        if self.world.waits(row.arm) and int(self.story.of("offered_day")[row.participant]) == NONE:
            return f" while waiting for {self.place(row.arm)}"
        planned = len(self._delivery(row).modules)
        n = int(self.story.of("n_sessions")[row.participant])
        return f", which ends treatment after {n} of {plural(planned, 'module' if self._alone(row) else 'session')}"

    def _completes(self, row: Row) -> str:
        n, planned = int(self.story.of("n_sessions")[row.participant]), len(self._delivery(row).modules)
        return f"completes treatment: {n} of {plural(planned, 'module' if self._alone(row) else 'session')}"

    # --- visits ---

    def _answers(self, row: Row) -> str:
        visit = list(self.design.visits.values())[row.detail]
        opened = int(self.story.asked("due_day")[row.detail, row.participant]) + visit.opens
        when = f"day {row.day - opened + 1} of its {visit.closes - visit.opens + 1}"
        values = self.values(row.participant, row.detail, self.answered)
        return f"answers {self.questionnaire(row)} on {when}{': ' if values else ''}{values}"

    def _read(self, row: Row) -> str:
        values = self.values(row.participant, row.detail, self.read)
        return f"has their health records read ({self.visits[row.detail]}): {values}"

    @cached_property
    def answered(self) -> list[str]:
        """Outcomes that are known from questionnaires."""
        return [name for name, outcome in self.design.outcomes.items() if outcome.source == "questionnaire"]

    @cached_property
    def read(self) -> list[str]:
        """Outcomes that are known from health records."""
        return [name for name, outcome in self.design.outcomes.items() if outcome.source == "record"]

    def values(self, i: int, v: int, names: Sequence[str]) -> str:
        """'pain 4.5 (was 6.25) and interference 3 (was 5)' at one visit."""
        return listed([f"{spoken(name)} {self.value(i, v, name)}" for name in names])

    def value(self, i: int, v: int, name: str) -> str:
        """A value at a visit, and what it was at baseline where there is a baseline."""
        outcome, observed = self.design.outcomes[name], self.story.observed
        text = value_text(outcome, float(observed.value[name][0, i, v]))
        if not outcome.has_baseline:
            return text
        before = value_text(outcome, float(observed.baseline[name][0, i]))
        return f"{text} ({'in the year before baseline' if outcome.kind == 'count' else 'was'} {before})"

    def is_measured(self, name: str) -> bool:
        """Whether means of an outcome's values say something."""
        return isinstance(self.design.outcomes[name], Score | Dose)
