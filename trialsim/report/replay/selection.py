"""Which part of a trial is told: days, kinds of row, a site, an arm, a participant; checked against what there is."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from trialsim.report.layout import date_text
from trialsim.report.replay.story import KINDS, ReplayError, Row, Story

LINE = "in line"
"""Kind of the rows that follow one participant's place in line."""


@dataclass(frozen=True)
class Asked:
    """What somebody asked for, as given; None and empty: everything."""

    participant: int | None = None
    first: str | None = None  # a date or a study day
    last: str | None = None
    kinds: tuple[str, ...] = ()
    site: str | None = None
    arm: str | None = None


@dataclass(frozen=True)
class Selection:
    """The same, checked, as numbers."""

    first: int
    last: int
    kinds: tuple[str, ...] = ()
    site: int | None = None
    arm: int | None = None
    participant: int | None = None

    def rows(self, story: Story) -> list[Row]:
        """The story's rows that are asked for. Before randomization nobody has an arm."""
        who = self._person(story)
        return [row for row in story.rows if self.first <= row.day <= self.last and self._has(row, who)]

    def _has(self, row: Row, who: tuple[int, int] | None) -> bool:
        if self.kinds and row.kind not in self.kinds:
            return False
        if who is not None:
            return (row.site, row.number) == who and row.kind != "cluster opened"
        return self.site in (None, row.site) and self.arm in (None, row.arm)

    def _person(self, story: Story) -> tuple[int, int] | None:
        if self.participant is None:
            return None
        return int(story.of("site")[self.participant]), int(story.of("number")[self.participant])


def select(story: Story, asked: Asked) -> Selection:
    """Check what was asked for. Raises ReplayError with what there is."""
    first, last = _days(story, asked)
    return Selection(
        first=first,
        last=last,
        kinds=tuple(_kind(kind, asked) for kind in asked.kinds),
        site=_named("site", asked.site, story.world.sites),
        arm=_named("arm", asked.arm, story.world.arms),
        participant=_participant(story, asked.participant),
    )


def _participant(story: Story, number: int | None) -> int | None:
    if number is None or 0 <= number < story.n_participants:
        return number
    n, trial = story.n_participants, story.trial
    there_is = f"has participants 0 to {n - 1:,}" if n else "has no participants"
    which = f"replicate {trial.replicate} of {story.design.name} with seed {trial.block.draws.seed}"
    raise ReplayError(f"there is no participant {number}: {which} {there_is}.")


def _named(what: str, name: str | None, names: Sequence[str]) -> int | None:
    if name is None:
        return None
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, 1)
    shown = ", ".join(names[:12]) + (f" ... ({len(names)} in all)" if len(names) > 12 else "")
    raise ReplayError(
        f"there is no {what} '{name}'. {f'Did you mean {close[0]!r}? ' if close else ''}{what.title()}s: {shown}."
    )


def _kind(text: str, asked: Asked) -> str:
    kind = text.strip().lower().replace("_", " ").replace("-", " ")
    known = KINDS if asked.participant is None else (*KINDS, LINE)
    if kind in known:
        return kind
    close = difflib.get_close_matches(kind, known, 1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ReplayError(f"there is no kind '{text}'. {hint}Kinds: {', '.join(known)}.")


def _days(story: Story, asked: Asked) -> tuple[int, int]:
    first = story.first_day if asked.first is None else _day(story, "--from", asked.first)
    last = story.last_day if asked.last is None else _day(story, "--to", asked.last)
    if first > last:
        raise ReplayError(f"--from ({_both(story, first)}) comes after --to ({_both(story, last)}).")
    return first, last


def _day(story: Story, option: str, text: str) -> int:
    """A study day from a date or a number, within the trial."""
    try:
        day = int(text)
    except ValueError:
        day = _day_of_date(story, option, text)
    if story.first_day <= day <= story.last_day:
        return day
    there_is = f"{_both(story, story.first_day)} to {_both(story, story.last_day)}"
    raise ReplayError(f"{option} {text} is outside the trial, which goes from {there_is}.")


def _day_of_date(story: Story, option: str, text: str) -> int:
    try:
        return (dt.date.fromisoformat(text) - story.design.start_date).days
    except ValueError:
        last = f"{story.date(story.last_day)}"
        hint = f"such as {story.design.start_date} or 0 (the first), {last} or {story.last_day} (the last)"
        raise ReplayError(f"{option} must be a date (YYYY-MM-DD) or a study day (given: {text}), {hint}.") from None


def _both(story: Story, day: int) -> str:
    if not -100_000 < day < 100_000:
        return f"day {day}"
    return f"{date_text(story.date(day))} (day {day:,})"
