"""One simulated trial as it is told: rows in order of time, and what its people had, had not and would have had."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group
from trialsim.design.outcomes import TimeToEvent
from trialsim.design.parts import Design
from trialsim.errors import TrialsimError
from trialsim.trial import TrialData, simulate
from trialsim.world.formulas import Bools, Ints
from trialsim.world.histories import NONE, FollowUp, Histories, Kind
from trialsim.world.observation import ObservedData
from trialsim.world.world import World

OPENED, CONTACTED, HAPPENED, READ = "cluster opened", "contacted", "outcome event", "record read"
"""Kinds of row that the event log does not have: nobody logs a contact or a look into records, but it is told."""
_BEFORE, _AFTER = {OPENED: -2, CONTACTED: -1}, {HAPPENED: len(Kind), READ: len(Kind) + 1}
KINDS = (*_BEFORE, *(kind.name.lower().replace("_", " ") for kind in Kind), *_AFTER)
"""Every kind of row, in the order of one day."""
FUNNEL = ("passed", "lost")
"""Kinds of row about the steps to randomization."""
_NAMES = {int(kind): kind.name.lower().replace("_", " ") for kind in Kind}
_ORDER = _BEFORE | {name: kind for kind, name in _NAMES.items()} | _AFTER


class ReplayError(TrialsimError):
    """A part of a trial was asked for that it does not have."""


class Row(NamedTuple):
    """One thing that happens. Numbers are those of the tables, -1 for none; `detail` means what the kind says."""

    day: int
    kind: str
    site: int
    number: int  # screening number within the site; of `cluster opened` the cluster
    participant: int
    arm: int
    detail: int
    sequence: int  # place in the event log; -1: not in it


@dataclass(frozen=True, eq=False)
class Story:
    """A trial that stands alone in its block (see `story_of`)."""

    trial: TrialData

    @property
    def design(self) -> Design:
        """The design."""
        return self.trial.design

    @property
    def world(self) -> World:
        """The design as numbers."""
        return self.trial.block.world

    @property
    def histories(self) -> Histories:
        """Arrays with one replicate."""
        return self.trial.block.histories

    @property
    def follow(self) -> FollowUp:
        """Arrays with one replicate."""
        return self.trial.block.follow

    @property
    def observed(self) -> ObservedData:
        """What a trial's database would hold."""
        return self.trial.block.observed

    @cached_property
    def n_participants(self) -> int:
        """Participants."""
        return int(self.histories.n_participants[0])

    def of(self, name: str) -> Ints:
        """One of the histories' arrays for this trial's participants: (N,), or (.., N)."""
        return np.asarray(getattr(self.histories, name))[..., : self.n_participants, 0]

    def asked(self, name: str) -> Ints:
        """One of the follow-up's arrays, (V, N)."""
        return np.asarray(getattr(self.follow, name))[:, : self.n_participants, 0]

    @cached_property
    def events(self) -> Ints:
        """The event log, (n_events, 7)."""
        return self.trial.block.events(0)

    @cached_property
    def last_day(self) -> int:
        """Last day on which anything happens [study day]."""
        stays = self.of("exit_day") == NONE
        due = self.asked("due_day")[:, stays].max(initial=0)
        treated = max(int(self.of(name).max(initial=0)) for name in ("released_day", "ended_day"))
        return int(max(self.events[:, 0].max(), due, treated))

    @cached_property
    def first_day(self) -> int:
        """First day of the story: study day 0, or the day on which a questionnaire opens before it."""
        return min(0, int(self.events[:, 0].min()))

    def date(self, day: int) -> dt.date:
        """Calendar date."""
        return self.design.date_of(day)

    def delivery(self, arm: int) -> Any:
        """How an arm is delivered."""
        return self.design.arms[self.world.arms[arm]].delivery

    # --- rows ---

    @cached_property
    def rows(self) -> list[Row]:
        """Everything that is told, in order: the event log, and what belongs beside it."""
        logged = [
            Row(day, _NAMES[kind], site, number, participant, arm, detail, place)
            for place, (day, kind, site, number, participant, arm, detail) in enumerate(self.events.tolist())
        ]
        beside = [*self._openings(), *self._contacts(), *self._happenings(), *self._readings()]
        return sorted([*logged, *beside], key=_place_in_time)

    def _openings(self) -> Iterator[Row]:
        clusters = self.trial.block.plan.cohort.clusters
        if clusters is None:
            return
        for cluster, site in enumerate(clusters.site.tolist()):
            arm = NONE if clusters.arm is None else int(clusters.arm[cluster, 0])
            if (day := int(clusters.opens[cluster, 0])) <= self.closing_day:
                yield Row(max(day, 0), OPENED, site, cluster, NONE, arm, NONE, NONE)

    @property
    def closing_day(self) -> int:
        """Day on which enrolment closes."""
        return int(self.histories.closing_day[0])

    @cached_property
    def contacts_are_known(self) -> bool:
        """Whether everybody who is contacted is a person; otherwise those lost in leading steps are only counted."""
        return self.world.lead_prob == 1

    def _contacts(self) -> Iterator[Row]:
        if not self.contacts_are_known:
            return
        persons = self.trial.block.plan.cohort.persons
        for person in np.flatnonzero(persons.step_day[0, :, 0] <= self.closing_day).tolist():
            site, number = int(persons.site[person]), int(persons.number[person])
            yield Row(int(persons.step_day[0, person, 0]), CONTACTED, site, number, NONE, NONE, NONE, NONE)

    def _happenings(self) -> Iterator[Row]:
        """Events (of outcomes that are one) that come to be known, on their days."""
        for k, (name, outcome) in enumerate(self.design.outcomes.items()):
            if isinstance(outcome, TimeToEvent):
                happened = self.observed.event[name][0, : self.n_participants]
                days = self.of("randomized_day") + self.observed.event_time[name][0, : self.n_participants]
                yield from (self._beside(int(days[i]), HAPPENED, i, k) for i in np.flatnonzero(happened).tolist())

    def _readings(self) -> Iterator[Row]:
        """Looks into health records, on the visits' due days."""
        for v, known in enumerate(self.from_records):
            due = self.asked("due_day")[v]
            yield from (self._beside(int(due[i]), READ, i, v) for i in np.flatnonzero(known).tolist())

    def _beside(self, day: int, kind: str, i: int, detail: int) -> Row:
        site, number, arm = (int(self.of(name)[i]) for name in ("site", "number", "arm"))
        return Row(day, kind, site, number, i, arm, detail, NONE)

    @cached_property
    def from_records(self) -> Bools:
        """Whose records are read at each visit, (V, N)."""
        read = [name for name, outcome in self.design.outcomes.items() if outcome.source == "record"]
        if not read:
            return np.zeros((len(self.world.visits), self.n_participants), dtype=bool)
        return np.asarray(self.observed.seen[read[0]][0, : self.n_participants].T)

    # --- who waits ---

    @cached_property
    def left_line_day(self) -> Ints:
        """First day on which somebody who had asked is no longer on the list at the day's end, (N,)."""
        offered = self.of("offered_day")
        return np.where(offered != NONE, offered, self.of("ended_day"))

    @cached_property
    def line(self) -> NDArray[np.int64]:
        """Number of the list on which each participant is, if on one, (N,)."""
        arm = self.of("arm").astype(np.int64)
        by_site = [isinstance(d := self.delivery(a), Group) and d.by_site for a in range(len(self.world.arms))]
        of_site = np.where(np.array(by_site, dtype=bool)[arm], self.of("site"), 0)
        return arm * len(self.world.sites) + of_site

    def in_line(self, i: int, day: int) -> tuple[int, int]:
        """Place of a participant in their line at a day's end, from 1, and its length; 0 if they are not in it."""
        asked, left = self.of("asked_day"), self.left_line_day
        waiting = (self.line == self.line[i]) & (asked != NONE) & (asked <= day) & (day < left)
        order = np.flatnonzero(waiting)
        order = order[np.argsort(asked[order], kind="stable")]
        at = np.flatnonzero(order == i)
        return (int(at[0]) + 1 if len(at) else 0), len(order)

    # --- who leads ---

    @cached_property
    def leaders(self) -> dict[tuple[int, int], int]:
        """Coach (or team) of each session that was due, by participant and session; not those without one."""
        sessions = self.trial.table("sessions").select(["participant", "session", "coach"]).to_pydict()
        rows = zip(sessions["participant"], sessions["session"], sessions["coach"], strict=True)
        return {(i, session): coach for i, session, coach in rows if coach is not None}


def _place_in_time(row: Row) -> tuple[int, int, int]:
    """Day and order of the day. Whoever passes a step and is lost at the next on one day is told so in this order."""
    if row.kind in FUNNEL:
        return row.day, _ORDER["lost"], step_of(row)
    return row.day, _ORDER[row.kind], 0


def step_of(row: Row) -> int:
    """Number of the funnel step that a row of kind `passed` or `lost` is about."""
    return row.detail // 1000 if row.kind == "lost" else row.detail


def story_of(trial: TrialData) -> Story:
    """The story of one trial; one that was simulated with others is simulated again alone, with the same numbers."""
    if trial.block.n_replicates > 1:
        engine, seed = trial.block.engine, trial.block.draws.seed
        trial = simulate(trial.design, seed=seed, replicate=trial.replicate, engine=engine)
    return Story(trial)
