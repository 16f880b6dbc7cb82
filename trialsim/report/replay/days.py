"""A day in sentences: a few people one by one, many people together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby

import numpy as np

from trialsim.report.layout import listed, number
from trialsim.report.replay.story import FUNNEL, Row, step_of
from trialsim.report.replay.words import Words, dated, spoken

MANY = 3
"""From so many alike on, people are told together."""
NAMED = 12
"""So many are named by number; the others are counted."""

Key = Callable[[Row], Hashable]
Together = Callable[[Sequence[Row]], str]


class Days:
    """Sentences of days; what every row says is in `words`."""

    def __init__(self, words: Words) -> None:
        self.words, self.world = words, words.world
        by_site: Key = lambda row: row.site  # noqa: E731
        by_arm: Key = lambda row: row.arm  # noqa: E731
        by_visit: Key = lambda row: row.detail  # noqa: E731
        self.together: dict[str, tuple[Key, Together]] = {
            "cluster opened": (by_site, self._opened),
            "contacted": (by_site, lambda rows: f"{self._site(rows)} contacts {len(rows)} people"),
            "randomized": (lambda row: 0, self._randomized),
            "withdrew": (lambda row: 0, lambda rows: self._mixed(rows, "withdraw from the study")),
            "died": (lambda row: 0, lambda rows: self._mixed(rows, "die")),
            "stopped waiting": (by_arm, lambda rows: self._of_arm(rows, f"give up waiting for {self._place(rows)}")),
            "declined": (by_arm, lambda rows: self._of_arm(rows, "do not start treatment")),
            "asked for treatment": (by_arm, lambda rows: self._of_arm(rows, f"ask for {self._place(rows)}")),
            "called": (by_arm, lambda rows: self._of_arm(rows, "are called, for they have stalled")),
            "coach assigned": (by_arm, self._assigned),
            "group formed": (lambda row: (row.arm, row.detail), self._formed),
            "missed appointment": (self._meeting, self._missed),
            "session": (self._meeting, self._attended),
            "discontinued": (by_arm, lambda rows: self._of_arm(rows, "stop treatment and stay in the study")),
            "completed": (by_arm, lambda rows: self._of_arm(rows, "complete treatment")),
            "window opened": (by_visit, lambda rows: self._mixed(rows, f"are sent {self._questionnaire(rows)}")),
            "answered": (by_visit, self._answered),
            "reminded": (by_visit, lambda rows: self._mixed(rows, f"are reminded of {self._questionnaire(rows)}")),
            "window closed": (by_visit, self._closed),
            "outcome event": (by_visit, lambda rows: self._mixed(rows, f"have the event '{self._event(rows)}'")),
            "record read": (by_visit, self._read),
        }

    def sentences(self, rows: Iterable[Row]) -> list[str]:
        """What is said of one day, in the order of the day. Every row is in exactly one sentence."""
        said: list[str] = []
        for kind, group in groupby(rows, key=lambda row: "funnel" if row.kind in FUNNEL else row.kind):
            of_kind = list(group)
            said += self._funnel(of_kind) if kind == "funnel" else self._of_kind(kind, of_kind)
        return said

    def _of_kind(self, kind: str, rows: list[Row]) -> list[str]:
        if kind not in self.together:
            return [self.words.sentence(row) for row in rows]
        key, together = self.together[kind]
        alike: dict[Hashable, list[Row]] = {}
        for row in rows:
            alike.setdefault(key(row), []).append(row)
        said: list[str] = []
        for members in alike.values():
            many = len(members) >= MANY
            said += [together(members)] if many else [self.words.sentence(row) for row in members]
        return said

    # --- parts of sentences ---

    def _site(self, rows: Sequence[Row]) -> str:
        return self.world.sites[rows[0].site]

    def _arm(self, rows: Sequence[Row]) -> str:
        return self.world.arms[rows[0].arm]

    def _place(self, rows: Sequence[Row]) -> str:
        return self.words.place(rows[0].arm)

    def _questionnaire(self, rows: Sequence[Row]) -> str:
        return self.words.questionnaire(rows[0])

    def _event(self, rows: Sequence[Row]) -> str:
        return spoken(self.world.outcomes[rows[0].detail])

    def _names(self, names: Sequence[str]) -> str:
        """Names, or the first of them and how many more there are."""
        if len(names) <= NAMED + 1:
            return listed(names)
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"

    def _numbers(self, rows: Sequence[Row]) -> str:
        return self._names([str(row.participant) for row in rows])

    def _of_arm(self, rows: Sequence[Row], do: str) -> str:
        return f"{self._arm(rows)}: {len(rows)} participants {do}: {self._numbers(rows)}"

    def _mixed(self, rows: Sequence[Row], do: str) -> str:
        return f"{len(rows)} participants {do}: {self._numbers(rows)}"

    # --- enrolment ---

    def _opened(self, rows: Sequence[Row]) -> str:
        given = [row for row in rows if row.arm >= 0]
        names = [self.world.cluster_names[row.number] for row in rows]
        arms = [f"{self.world.cluster_names[row.number]} ({self.world.arms[row.arm]})" for row in given]
        return f"{self._site(rows)}: {len(rows)} clusters open: {listed(arms or names)}"

    def _funnel(self, rows: Sequence[Row]) -> list[str]:
        """Everybody's steps of the day in one go; people of a site with the same steps together."""
        persons: dict[tuple[int, int], list[Row]] = {}
        for row in rows:
            persons.setdefault((row.site, row.number), []).append(row)
        alike: dict[Hashable, list[list[Row]]] = {}
        for steps in persons.values():
            alike.setdefault((steps[0].site, *((row.kind, step_of(row)) for row in steps)), []).append(steps)
        said: list[str] = []
        for people in alike.values():
            told = [self._together(people)] if len(people) >= MANY else map(self._steps, people)
            said += told
        return said

    def _steps(self, steps: Sequence[Row]) -> str:
        """'person 8 of north passes screened and eligible', '... passes screened and is lost at eligible (...)'."""
        return f"{self.words.who(steps[0])} {' and '.join([*self._passes(steps, 'passes'), *self._is_lost([steps])])}"

    def _together(self, people: Sequence[Sequence[Row]]) -> str:
        did = " and ".join([*self._passes(people[0], "pass"), *self._is_lost(people)])
        return f"{self._site(people[0])}: {len(people)} people {did}"

    def _passes(self, steps: Sequence[Row], verb: str) -> list[str]:
        names = [f"'{self.world.steps[step_of(row)]}'" for row in steps if row.kind == "passed"]
        return [f"{verb} {listed(names)}"] if names else []

    def _is_lost(self, people: Sequence[Sequence[Row]]) -> list[str]:
        """Where and why people alike are lost, if they are."""
        lost = [steps[-1] for steps in people if steps[-1].kind == "lost"]
        if not lost:
            return []
        step = step_of(lost[0])
        reasons = Counter(self.world.reasons[step][row.detail % 1000] for row in lost)
        why = [reason if len(people) == 1 else f"{n} {reason}" for reason, n in reasons.most_common()]
        return [f"{'is' if len(people) == 1 else 'are'} lost at '{self.world.steps[step]}' ({', '.join(why)})"]

    def _randomized(self, rows: Sequence[Row]) -> str:
        verb = "randomized" if self.words.randomizes else "enrolled"
        arms: dict[int, list[Row]] = {}
        for row in rows:
            arms.setdefault(row.arm, []).append(row)
        each = [f"{len(of)} to {self.world.arms[arm]} ({self._numbers(of)})" for arm, of in sorted(arms.items())]
        return f"{len(rows)} people are {verb}: {listed(each)}"

    # --- treatment ---

    def _assigned(self, rows: Sequence[Row]) -> str:
        pairs = [f"{row.participant} (coach {row.detail})" for row in rows]
        return f"{self._arm(rows)}: {len(rows)} participants are given a coach: {self._names(pairs)}"

    def _formed(self, rows: Sequence[Row]) -> str:
        delivery = self.words.story.delivery(rows[0].arm)
        first = self.words.story.date(rows[0].day + delivery.lead_days)
        what = f"group {rows[0].detail} is made up of {len(rows)} participants ({self._numbers(rows)})"
        return f"{self._arm(rows)}: {what}; first session on {dated(first)}"

    def _meeting(self, row: Row) -> Hashable:
        """Members of one group have one session; people with coaches are told by arm."""
        group = int(self.words.story.of("group")[row.participant])
        return (row.arm, group, row.detail) if group >= 0 else (row.arm,)

    def _attended(self, rows: Sequence[Row]) -> str:
        group = int(self.words.story.of("group")[rows[0].participant])
        modules = self.words.story.delivery(rows[0].arm).modules
        if group >= 0:
            which = f"session {rows[0].detail + 1} of {len(modules)}, {modules[rows[0].detail]}"
            return f"{self._arm(rows)}: {len(rows)} members of group {group} attend {which}: {self._numbers(rows)}"
        coached = self.world.coached(rows[0].arm)
        pairs = [f"{row.participant} ({row.detail + 1})" for row in rows]
        do = "attend a session with their coach" if coached else "do a module"
        noun = "session" if coached else "module"
        return f"{self._arm(rows)}: {len(rows)} participants {do} (number of the {noun}): {self._names(pairs)}"

    def _missed(self, rows: Sequence[Row]) -> str:
        group = int(self.words.story.of("group")[rows[0].participant])
        if group >= 0:
            numbers = self._numbers(rows)
            return (
                f"{self._arm(rows)}: {len(rows)} members of group {group} miss session {rows[0].detail + 1}: {numbers}"
            )
        return self._of_arm(rows, "miss an appointment")

    # --- visits ---

    def _answered(self, rows: Sequence[Row]) -> str:
        told = self._means(rows, self.words.answered)
        return f"{self._mixed(rows, f'answer {self._questionnaire(rows)}')}{f' ({told})' if told else ''}"

    def _closed(self, rows: Sequence[Row]) -> str:
        return self._mixed(rows, f"have not answered {self._questionnaire(rows)}, which closes")

    def _read(self, rows: Sequence[Row]) -> str:
        told = self._means(rows, self.words.read)
        visit = self.words.visits[rows[0].detail]
        what = f"{len(rows)} participants have their health records read ({visit})"
        return f"{what}: {self._numbers(rows)}{f' ({told})' if told else ''}"

    def _means(self, rows: Sequence[Row], names: Sequence[str]) -> str:
        """Means of the first outcome that has any, and at baseline, over those who are told."""
        name = next((name for name in names if self.words.is_measured(name)), None)
        if name is None:
            return ""
        people, observed = [row.participant for row in rows], self.words.story.observed
        now = float(np.mean(observed.value[name][0, people, rows[0].detail]))
        before = float(np.mean(observed.baseline[name][0, people]))
        return f"mean {spoken(name)} {number(now, 2)}, was {number(before, 2)}"
