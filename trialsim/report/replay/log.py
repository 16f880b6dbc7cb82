"""What `trialsim replay` prints: a trial or one participant's way, day by day, as text or as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from trialsim.report.describe.phrases import confounded, entered
from trialsim.report.layout import bullet, heading, listed, paragraph, table
from trialsim.report.replay.days import Days
from trialsim.report.replay.person import Person
from trialsim.report.replay.selection import Asked, select
from trialsim.report.replay.story import Row, Story, story_of
from trialsim.report.replay.totals import Census, quiet, totals_text
from trialsim.report.replay.words import Words, dated
from trialsim.trial import TrialData
from trialsim.world.histories import NONE

NUMBERS = (
    "Participants, coaches and groups have the numbers of the tables, which begin with 0; sessions count from 1. Day 0"
    " is the trial's first day."
)
LETTERS = (
    "People who are lost before anybody looks at them are counted when enrolment closes, not simulated day by day, so"
    " they are not told here."
)
HIDDEN = (
    "Only the simulation knows what follows. No trial could, and no analysis sees it: what is not observed of this"
    " person, and what would have been under every arm, with the same luck."
)


@dataclass(frozen=True)
class _Line:
    """Something that stands between the days: totals or a milestone, at the end of a day."""

    day: int
    text: str


class Replay:
    """One trial, and what of it is told."""

    def __init__(self, trial: TrialData, asked: Asked) -> None:
        self.story: Story = story_of(trial)
        self.asked, self.selection = asked, select(self.story, asked)
        self.words = Words(self.story)
        self.census = Census(self.story)
        self.person = None if asked.participant is None else Person(self.words, asked.participant)

    # --- text ---

    def text(self) -> str:
        """Everything, as text."""
        parts = [*self._head(), *(self._of_person() if self.person else self._of_trial())]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _head(self) -> list[str]:
        design, trial = self.story.design, self.story.trial
        what = f"replicate {trial.replicate}, seed {trial.block.draws.seed}, {trial.block.engine} engine"
        about = [f"One simulated trial ({what}), day by day. Everything in it is made up.", NUMBERS]
        about += [] if self.person or self.story.contacts_are_known else [LETTERS]
        arms = [f"{name}: {arm.label}." for name, arm in design.arms.items() if arm.label]
        told = self._told()
        return [
            heading(design.title or design.name),
            paragraph(" ".join(about)),
            paragraph(" ".join(arms)),
            paragraph(confounded(design)),
            paragraph(told) if told else "",
        ]

    def _told(self) -> str:
        """What was left out, if anything was."""
        asked, chosen = self.asked, self.selection
        parts = [f"only {listed(chosen.kinds)}"] if chosen.kinds else []
        parts += [f"only site {asked.site}"] if asked.site else []
        parts += [f"only arm {asked.arm}, from randomization on"] if asked.arm else []
        if asked.first is not None or asked.last is not None:
            parts.append(f"only from {self._when(chosen.first)} to {self._when(chosen.last)}")
        part = (asked.site or asked.arm) and not chosen.kinds
        whole = "; totals and milestones are those of the whole trial" if part else ""
        return f"Told: {'; '.join(parts)}{whole}." if parts else ""

    def _when(self, day: int) -> str:
        return f"{dated(self.story.date(day))}, day {day:,}"

    def _of_trial(self) -> list[str]:
        said = Days(self.words)
        rows = self.selection.rows(self.story)
        days = {day: said.sentences(list(of_day)) for day, of_day in groupby(rows, key=lambda row: row.day)}
        if not days:
            return ["Nothing of what was asked for happens."]
        between: dict[int, list[str]] = {}
        for line in self._between():
            between.setdefault(line.day, []).append(line.text)
        return self._blocks(days, between)

    def _blocks(self, days: dict[int, list[str]], between: dict[int, list[str]]) -> list[str]:
        """One block of text for each day on which anything is told; quiet days are counted."""
        blocks: list[str] = []
        expected = self.selection.first
        for day in sorted({*days, *between}):
            skipped = day - expected
            head = f"{self._when(day)}"
            head += f"   {quiet(skipped)}" if skipped > 0 else ""
            lines = [*map(_item, days.get(day, [])), *between.get(day, [])]
            blocks.append("\n".join([head, *lines]))
            expected = day + 1
        return blocks

    def _between(self) -> Iterator[_Line]:
        """Milestones and monthly totals of the days that are told; nothing where only some kinds are."""
        if self.selection.kinds:
            return
        labels = dict(zip(self.story.world.visits, self.words.visits, strict=True))
        for milestone in self.milestones():
            yield _Line(milestone["day"], _hanging("**", f"Milestone: {milestone['text']}."))
        for totals in self._months():
            told = totals_text(totals, visits=labels, entered=entered(self.story.design))
            yield _Line(totals.day, _hanging("==", f"So far: {told}."))

    def _of_person(self) -> list[str]:
        assert self.person is not None
        rows = self.person.rows(self.selection)
        days = [
            "\n".join([self._when(day), *(_item(text) for _, text in of_day)])
            for day, of_day in groupby(rows, key=lambda pair: pair[0].day)
        ]
        parts = [heading(f"Participant {self.person.i}", "-"), *map(paragraph, self.person.who_text())]
        parts += [heading("Day by day", "-"), *(days or ["Nothing of what was asked for happens."])]
        parts += [heading("Questionnaires", "-"), self._questionnaires()]
        parts += [heading("What only the simulation knows", "-"), paragraph(HIDDEN)]
        parts += map(paragraph, self.person.hidden_text())
        for caption, head, cells in self.person.hidden_tables():
            parts.append(f"{caption}:\n{table(head, cells, 'l' + 'r' * (len(head) - 2) + 'l')}")
        return parts

    def _questionnaires(self) -> str:
        assert self.person is not None
        rows = []
        for v, visit in enumerate(self.person.visits()):
            answered = visit["observed_day"]
            day = "-" if answered is None else dated(self.story.date(answered))
            told = visit["reason_missing"] or self.words.values(self.person.i, v, self.words.answered)
            window = f"{dated(self.story.date(visit['opens_day']))} to {dated(self.story.date(visit['closes_day']))}"
            rows.append([self.words.visits[v], window, str(len(visit["reminder_days"])), day, told])
        return table(["visit", "window", "reminders", "answered", "values, or why not"], rows, "llrll")

    # --- data ---

    def data(self) -> dict[str, Any]:
        """The same as data; days are study days, numbers those of the tables."""
        trial, story = self.story.trial, self.story
        about = {
            "design": story.design.name,
            "seed": trial.block.draws.seed,
            "replicate": trial.replicate,
            "engine": trial.block.engine,
            "start_date": story.design.start_date.isoformat(),
            "first_day": story.first_day,
            "last_day": story.last_day,
            "participants": story.n_participants,
            "told": asdict(self.asked) | {"first": self.selection.first, "last": self.selection.last},
        }
        return about | (self._person_data() if self.person else self._trial_data())

    def _trial_data(self) -> dict[str, Any]:
        rows = [self._row(row, self.words.sentence(row)) for row in self.selection.rows(self.story)]
        totals = [asdict(totals) | self._date(totals.day) for totals in self._months()]
        return {"rows": rows, "milestones": self.milestones(), "totals": totals}

    def _person_data(self) -> dict[str, Any]:
        assert self.person is not None
        return {
            "participant": self.person.i,
            "who": self.person.who(),
            "rows": [self._row(row, text) for row, text in self.person.rows(self.selection)],
            "sessions": self.person.sessions(),
            "visits": self.person.visits(),
            "only_the_simulation_knows": self.person.hidden(),
        }

    def milestones(self) -> list[dict[str, Any]]:
        """Milestones of the days that are told."""
        return [asdict(one) | self._date(one.day) for one in self.census.milestones() if self._is_told(one.day)]

    def _months(self) -> list[Any]:
        return [self.census.totals(day) for day in self.census.month_ends() if self._is_told(day)]

    def _is_told(self, day: int) -> bool:
        return self.selection.first <= day <= self.selection.last

    def _date(self, day: int) -> dict[str, str]:
        return {"date": self.story.date(day).isoformat()}

    def _row(self, row: Row, text: str) -> dict[str, Any]:
        world = self.story.world
        of_cluster = row.kind == "cluster opened"
        return {
            "sequence": _number(row.sequence),
            "day": row.day,
            **self._date(row.day),
            "kind": row.kind,
            "site": None if row.site == NONE else world.sites[row.site],
            "screening_number": None if of_cluster else _number(row.number),
            "participant": _number(row.participant),
            "arm": None if row.arm == NONE else world.arms[row.arm],
            "text": text,
        }


def _number(value: int) -> int | None:
    return None if value == NONE else value


def _item(text: str) -> str:
    """An item below the line of its day."""
    return "\n".join(f"  {line}" for line in bullet(text, width=100).splitlines())


def _hanging(mark: str, text: str) -> str:
    """Lines that hang below their mark."""
    filled = paragraph(text, width=100, indent=5)
    return f"  {mark} {filled.lstrip()}"


def replay(trial: TrialData, asked: Asked | None = None) -> Replay:
    """What of a trial is told. Raises ReplayError where something is asked for that it does not have."""
    return Replay(trial, asked or Asked())
