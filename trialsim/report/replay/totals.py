"""How far a trial has come: totals at the ends of months, and milestones."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trialsim.experiments.measures import last_visit_day
from trialsim.report.describe.phrases import is_randomized
from trialsim.report.layout import listed, plural
from trialsim.report.replay.story import Story
from trialsim.world.formulas import Bools
from trialsim.world.histories import NONE, Missing
from trialsim.world.plans import DIED, WITHDREW


@dataclass(frozen=True)
class Totals:
    """Numbers of people at the end of one day."""

    day: int
    randomized: int
    target: int
    waiting: Mapping[str, int]  # by arm in which people wait
    in_treatment: Mapping[str, int]  # by arm with sessions
    answered: Mapping[str, int]  # by visit
    unanswered: Mapping[str, int]  # by visit: closed without an answer
    withdrew: int
    died: int


@dataclass(frozen=True)
class Milestone:
    """A day that people look forward to."""

    day: int
    name: str
    text: str


@dataclass(frozen=True)
class Census:
    """Counts on any day of a story."""

    story: Story

    def totals(self, day: int) -> Totals:
        """Numbers at the end of a day."""
        story, exits = self.story, self.story.of("exit_day")
        left = (exits != NONE) & (exits <= day)
        kind = story.of("exit_kind")
        return Totals(
            day=day,
            randomized=int((story.of("randomized_day") <= day).sum()),
            target=story.design.sample_size,
            waiting=self._by_arm(self.waiting(day), story.world.waits),
            in_treatment=self._by_arm(self.in_treatment(day), story.world.has_sessions),
            answered=self._by_visit(self.answered(day)),
            unanswered=self._by_visit(self.unanswered(day)),
            withdrew=int((left & (kind == WITHDREW)).sum()),
            died=int((left & (kind == DIED)).sum()),
        )

    def waiting(self, day: int) -> Bools:
        """Who is on a list at a day's end, (N,)."""
        asked = self.story.of("asked_day")
        return np.asarray((asked != NONE) & (asked <= day) & (day < self.story.left_line_day))

    def in_treatment(self, day: int) -> Bools:
        """Who has a place with a coach or in a group, or works through modules, at a day's end, (N,)."""
        story = self.story
        offered = story.of("offered_day")
        placed = (offered != NONE) & (offered <= day) & (day <= story.of("released_day"))
        alone = np.array([story.delivery(arm).kind == "self_paced" for arm in range(len(story.world.arms))], dtype=bool)
        at_work = (story.of("randomized_day") <= day) & (day < story.of("ended_day"))
        return np.asarray(np.where(alone[story.of("arm")], at_work, placed))

    def answered(self, day: int) -> Bools:
        """Who has answered each visit by a day, (V, N)."""
        observed = self.story.asked("observed_day")
        return np.asarray((observed != NONE) & (observed <= day))

    def unanswered(self, day: int) -> Bools:
        """Whose window has closed without an answer by a day, (V, N)."""
        closes = np.array([visit.closes for visit in self.story.design.visits.values()])[:, None]
        closed = self.story.asked("due_day") + closes <= day
        return np.asarray(closed & (self.story.asked("missing") == Missing.NO_ANSWER))

    def _by_arm(self, who: Bools, counts: Callable[[int], bool]) -> dict[str, int]:
        arms, mine = self.story.world.arms, self.story.of("arm")
        return {name: int((who & (mine == arm)).sum()) for arm, name in enumerate(arms) if counts(arm)}

    def _by_visit(self, who: Bools) -> dict[str, int]:
        return dict(zip(self.story.world.visits, who.sum(axis=1).tolist(), strict=True))

    def month_ends(self) -> Iterator[int]:
        """Last days of calendar months of the story, and its last day."""
        day = self.story.date(0)
        while True:
            following = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
            end = (following - self.story.design.start_date).days - 1
            if end >= self.story.last_day:
                yield self.story.last_day
                return
            yield end
            day = following

    def milestones(self) -> list[Milestone]:
        """First in, half in, last in, enrolment closed, last visit, last day; in order of time."""
        story = self.story
        verb = "randomized" if is_randomized(story.design) else "enrolled"
        days, target = story.of("randomized_day"), story.design.sample_size
        half = (target + 1) // 2
        found: list[tuple[int, str, str]] = []
        if len(days):
            found += [(int(days[0]), "first in", f"the first participant is {verb}")]
            found += [(int(days[-1]), "last in", f"the last participant is {verb}")]
        found.append(
            (story.closing_day, "enrolment closes", f"enrolment closes with {len(days):,} of {target:,} {verb}")
        )
        if len(days):
            last = int(last_visit_day(story.trial.block)[0])
            found += [(last, "last visit", "the last questionnaire is answered or given up")]
        if len(days) >= half:
            found.append((int(days[half - 1]), "half in", f"half of the {target:,} are {verb}"))
        found.append((story.last_day, "last day", "the last day, after which nothing happens"))
        return sorted(itertools.starmap(Milestone, found), key=lambda milestone: milestone.day)


def totals_text(totals: Totals, *, visits: Mapping[str, str], entered: str) -> str:
    """'45 of 300 randomized; 3 waiting; 21 in treatment (coach 12, online 9); questionnaires answered: 3 months 4'."""
    parts = [f"{totals.randomized:,} of {totals.target:,} {entered}"]
    parts += [_split("waiting", totals.waiting)] if totals.waiting else []
    parts += [_split("in treatment", totals.in_treatment)] if totals.in_treatment else []
    told = [f"{visits[visit]} {n:,}" for visit, n in totals.answered.items() if n]
    missed = sum(totals.unanswered.values())
    closed = f" ({missed:,} closed without an answer)" if missed else ""
    parts.append(f"questionnaires answered: {', '.join(told) or 'none'}{closed}")
    gone = [f"{n:,} {what}" for n, what in ((totals.withdrew, "withdrew"), (totals.died, "died")) if n]
    return "; ".join(parts + ([listed(gone)] if gone else []))


def _split(what: str, by_arm: Mapping[str, int]) -> str:
    total = sum(by_arm.values())
    each = ", ".join(f"{arm} {n:,}" for arm, n in by_arm.items())
    return f"{total:,} {what} ({each})" if total and len(by_arm) > 1 else f"{total:,} {what}"


def quiet(days: int) -> str:
    """'(3 quiet days)'."""
    return f"({plural(days, 'quiet day')})"
