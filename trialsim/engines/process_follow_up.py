"""Act two of the reference engine: questionnaires, reminders and answers, participant by participant."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.engines.process_clock import Clock, Phase, Row, Wait, as_log
from trialsim.world.formulas import LONG, Ints
from trialsim.world.histories import NONE, FollowUp, Histories, Kind, Missing
from trialsim.world.observation import Answers
from trialsim.world.plans import DIED, Plan


def follow_up(plan: Plan, histories: Histories, answers: Answers) -> tuple[FollowUp, list[Ints]]:
    """Questionnaires, reminders and answers; one event log per replicate."""
    acts = [FollowUpAct(plan, histories, answers, column).run() for column in range(plan.cohort.shape[1])]
    names = [f.name for f in fields(FollowUp)]
    whole = {name: np.stack([act.book[name] for act in acts], axis=-1) for name in names}
    return FollowUp(**whole), [as_log(act.events) for act in acts]


class FollowUpAct:
    """Act two of one replicate: every participant in the study gets each questionnaire, with reminders."""

    def __init__(self, plan: Plan, histories: Histories, answers: Answers, column: int) -> None:
        self.visits, self.reminders = list(plan.world.design.visits.values()), plan.world.reminders
        self.clock, self.events = Clock(), list[Row]()
        self.n = int(histories.n_participants[column])
        self.site, self.number = histories.site[:, column].tolist(), histories.number[:, column].tolist()
        self.arm = histories.arm[:, column].tolist()
        self.randomized = histories.randomized_day[:, column].tolist()
        exit_day = histories.exit_day[:, column]
        self.exit_day = np.where(exit_day == NONE, LONG, exit_day).tolist()
        self.exit_kind = histories.exit_kind[:, column].tolist()
        self.after_days = answers.after_days[:, :, column].tolist()
        shape = (len(self.visits), plan.cohort.shape[0])
        self.book: dict[str, NDArray[Any]] = {
            "due_day": np.full(shape, NONE, dtype=np.int32),
            "observed_day": np.full(shape, NONE, dtype=np.int32),
            "missing": np.full(shape, Missing.NOT_RANDOMIZED, dtype=np.int8),
            "n_reminders": np.zeros(shape, dtype=np.int8),
        }

    def run(self) -> FollowUpAct:
        """Let follow-up happen."""
        for i in range(self.n):
            self.clock.env.process(self.participant(i))
        self.clock.env.run()
        return self

    def participant(self, i: int) -> Wait:
        """One visit after another, until the participant leaves the study."""
        for v, visit in enumerate(self.visits):
            due = self.randomized[i] + visit.day
            self.book["due_day"][v, i] = due
            yield from self.questionnaire(i, v, due)

    def questionnaire(self, i: int, v: int, due: int) -> Wait:
        """The window opens; reminders go out until there is an answer; the window closes."""
        visit = self.visits[v]
        opens = due + visit.opens
        answer_day = opens + self.after_days[v][i]
        answers = self.after_days[v][i] < LONG
        self.book["missing"][v, i] = Missing.DIED if self.exit_kind[i] == DIED else Missing.WITHDREW
        agenda = [(opens, Phase.OPEN)]
        reminders = [due + r for told in self.reminders[v] if told.starts <= opens < told.ends for r in told.days]
        agenda += [(day, Phase.REMIND) for day in reminders if not answers or day < answer_day]
        agenda += [(answer_day, Phase.ANSWER)] if answers else [(due + visit.closes, Phase.CLOSE)]
        for day, phase in agenda:
            if day >= self.exit_day[i]:
                return
            yield self.clock.until(day, phase)
            self.record(i, v, phase)

    def record(self, i: int, v: int, phase: Phase) -> None:
        """Write down what happens at one moment of a visit."""
        kinds = {
            Phase.OPEN: Kind.WINDOW_OPENED,
            Phase.REMIND: Kind.REMINDED,
            Phase.ANSWER: Kind.ANSWERED,
            Phase.CLOSE: Kind.WINDOW_CLOSED,
        }
        if phase == Phase.REMIND:
            self.book["n_reminders"][v, i] += 1
        elif phase == Phase.ANSWER:
            self.book["observed_day"][v, i], self.book["missing"][v, i] = self.clock.day, Missing.ANSWERED
        elif phase == Phase.CLOSE:
            self.book["missing"][v, i] = Missing.NO_ANSWER
        self.events.append((self.clock.day, kinds[phase], self.site[i], self.number[i], i, self.arm[i], v))
