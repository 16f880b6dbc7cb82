"""One participant's way: who they are, what happened to them, and what only a simulation knows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from trialsim.design.outcomes import TimeToEvent
from trialsim.report.layout import listed, number
from trialsim.report.replay.selection import LINE, Selection
from trialsim.report.replay.story import Row
from trialsim.report.replay.words import Words, dated, ordinal, spoken, value_text
from trialsim.world.formulas import LONG
from trialsim.world.histories import NONE, Missing

_REASONS = {Missing.NO_ANSWER: "no answer", Missing.WITHDREW: "withdrew", Missing.DIED: "died"}


class Person:
    """A participant of a story."""

    def __init__(self, words: Words, participant: int) -> None:
        self.words, self.story, self.i = words, words.story, participant
        self.design, self.world = words.design, words.world
        self.arm = int(self.story.of("arm")[participant])

    def _day(self, name: str) -> int:
        return int(self.story.of(name)[self.i])

    # --- who ---

    def who(self) -> dict[str, Any]:
        """Site, stratum, covariates, baseline and allocation, by name."""
        cohort, observed = self.story.trial.block.plan.cohort, self.story.observed
        stratum = self.world.strata[int(cohort.stratum[self.i, 0])]
        return {
            "site": self.world.sites[self._day("site")],
            "screening_number": self._day("number"),
            "cluster": None if cohort.cluster is None else self.world.cluster_names[int(cohort.cluster[self.i, 0])],
            "stratum": stratum or None,
            "covariates": {name: float(values[0, self.i]) for name, values in observed.covariates.items()},
            "baseline": {
                name: float(values[0, self.i])
                for name, values in observed.baseline.items()
                if self.design.outcomes[name].has_baseline
            },
            "arm": self.world.arms[self.arm],
            "randomized_day": self._day("randomized_day"),
        }

    def who_text(self) -> list[str]:
        """The same in sentences."""
        who = self.who()
        place = f"{who['site']} (cluster {who['cluster']})" if who["cluster"] else who["site"]
        said = [f"Person {who['screening_number']} of {place}, in order of contact."]
        covariates = [self._covariate(name, value) for name, value in who["covariates"].items()]
        said += [f"{_capital('; '.join(covariates))}."] if covariates else []
        outcomes = self.design.outcomes
        baseline = [f"{spoken(name)} {value_text(outcomes[name], value)}" for name, value in who["baseline"].items()]
        said += [f"At baseline: {listed(baseline)}."] if baseline else []
        day = dated(self.story.date(who["randomized_day"]))
        how = f"{self.words.enrolled(self.i)} {who['arm']} on {day} (day {who['randomized_day']:,})"
        stratum = f", in the stratum {who['stratum']}" if who["stratum"] else ""
        return [*said, f"{_capital(how)}{stratum}."]

    def _covariate(self, name: str, value: float) -> str:
        covariate = self.design.covariates[name]
        label = covariate.label or spoken(name)
        if covariate.kind == "binary":
            return f"{label}: {'yes' if value else 'no'}"
        return f"{label}: {number(value, 0 if covariate.kind == 'count' else 1)}"

    # --- the way ---

    def rows(self, selection: Selection) -> list[tuple[Row, str]]:
        """What happens to the participant, in order, and what is said of it."""
        told = [(row, self.words.says[row.kind](row)) for row in selection.rows(self.story)]
        if not selection.kinds or LINE in selection.kinds:
            told += [(row, text) for row, text in self._in_line() if selection.first <= row.day <= selection.last]
        return sorted(told, key=lambda pair: pair[0].day)

    def _in_line(self) -> Iterator[tuple[Row, str]]:
        """Days on which their place in line changes, after the day of asking."""
        asked = self._day("asked_day")
        if asked == NONE:
            return
        before, _ = self.story.in_line(self.i, asked)
        for day in range(asked + 1, int(self.story.left_line_day[self.i])):
            place, length = self.story.in_line(self.i, day)
            if place != before:
                row = Row(day, LINE, self._day("site"), self._day("number"), self.i, self.arm, place, NONE)
                yield row, f"moves up to {ordinal(place)} of {length} in line"
            before = place

    def visits(self) -> list[dict[str, Any]]:
        """Each visit: its window, reminders, answer or why not, and values; as in the table of observations."""
        return [self._visit(v, name) for v, name in enumerate(self.world.visits)]

    def _visit(self, v: int, name: str) -> dict[str, Any]:
        story, visit = self.story, self.design.visits[name]
        due, observed = (int(story.asked(field)[v, self.i]) for field in ("due_day", "observed_day"))
        missing = Missing(int(story.asked("missing")[v, self.i]))
        reminded = [row.day for row in self._reminders if row.detail == v]
        return {
            "visit": name,
            "opens_day": due + visit.opens,
            "due_day": due,
            "closes_day": due + visit.closes,
            "reminder_days": reminded,
            "observed_day": None if observed == NONE else observed,
            "reason_missing": _REASONS.get(missing),
            "values": {name: self._value(v, name) for name in self.design.outcomes},
        }

    @cached_property
    def _reminders(self) -> list[Row]:
        return [row for row in self.story.rows if row.participant == self.i and row.kind == "reminded"]

    def _value(self, v: int, name: str) -> float | None:
        value = float(self.story.observed.value[name][0, self.i, v])
        return None if np.isnan(value) else value

    def sessions(self) -> list[dict[str, Any]]:
        """Sessions that were due, as in the table of sessions; numbers from 0."""
        if not self.world.has_sessions(self.arm):
            return []
        modules = self.story.delivery(self.arm).modules
        scheduled, attended = self.story.of("scheduled_day")[:, self.i], self.story.of("attended_day")[:, self.i]
        return [
            {
                "session": k,
                "module": modules[k],
                "coach": self.story.leaders.get((self.i, k)),
                "scheduled_day": int(scheduled[k]),
                "attended_day": None if attended[k] == NONE else int(attended[k]),
            }
            for k in np.flatnonzero(scheduled != NONE).tolist()
        ]

    # --- what only a simulation knows ---

    def hidden(self) -> dict[str, Any]:
        """Latent motivation and levels, and what would have been under every arm, as in the table `truth`."""
        cohort, outcomes = self.story.trial.block.plan.cohort, self.story.trial.block.outcomes
        levels = {name: float(cohort.stable[k, self.i, 0]) for k, name in enumerate(self.world.outcomes)}
        arms = {arm: self._potential(a) for a, arm in enumerate(self.world.arms)}
        return {
            "never_seen_by_an_analysis": True,
            "motivation": float(cohort.motivation[self.i, 0]),
            "latent_level": levels,
            "sessions_in_the_end": {
                arm: int(outcomes.all_sessions[a, self.i, 0]) for a, arm in enumerate(self.world.arms)
            },
            "potential": arms,
        }

    def _potential(self, a: int) -> dict[str, Any]:
        """Values under one arm by outcome and visit; of events the day after randomization, null for never."""
        potential = self.story.trial.block.outcomes.potential
        found: dict[str, Any] = {}
        for k, (name, outcome) in enumerate(self.design.outcomes.items()):
            steps = potential[k, a, :, self.i, 0].tolist()
            values = [step / outcome.items + outcome.low for step in steps]
            found[name] = dict(zip(self.world.visits, values, strict=True))
            if isinstance(outcome, TimeToEvent):
                day = int(self.story.trial.block.outcomes.event_day[k][a, self.i, 0])
                found[name]["event_day"] = None if day >= LONG else day
        return found

    def hidden_text(self) -> list[str]:
        """Sentences about what no analysis sees."""
        hidden = self.hidden()
        motivation = hidden["motivation"]
        said = [f"Latent motivation: {number(motivation, 2)} SD (0 is average)."]
        would = [f"{arm} {n}" for arm, n in hidden["sessions_in_the_end"].items() if self.design.n_sessions(arm)]
        if would:
            said.append(f"Sessions that they would attend, were they in the arm: {listed(would)}.")
        return said

    def hidden_tables(self) -> Iterator[tuple[str, list[str], list[list[str]]]]:
        """Of each outcome a caption, a head and rows: what would have been at each visit under each arm."""
        hidden = self.hidden()["potential"]
        for name, outcome in self.design.outcomes.items():
            rows = [
                [
                    label,
                    *(value_text(outcome, hidden[arm][name][visit]) for arm in self.world.arms),
                    self._seen(v, name),
                ]
                for v, (visit, label) in enumerate(zip(self.world.visits, self.words.visits, strict=True))
            ]
            yield outcome.label or spoken(name), ["visit", *self.world.arms, "what was seen"], rows

    def _seen(self, v: int, name: str) -> str:
        value = self._value(v, name)
        if value is not None:
            return value_text(self.design.outcomes[name], value)
        missing = Missing(int(self.story.asked("missing")[v, self.i]))
        return f"nothing ({_REASONS.get(missing, 'not known')})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
