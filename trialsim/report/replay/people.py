"""Everybody as columns: participants from contact to their last answer, and those who were lost on the way in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trialsim.report.replay.story import Story
from trialsim.world.histories import NONE

Column = int | list[int]


def column(values: ArrayLike) -> Column:
    """Whole numbers as a list; as one number where all are the same."""
    array = np.asarray(values)
    if len(array) and (array == array[0]).all():
        return int(array[0])
    numbers: list[int] = array.tolist()
    return numbers


def people_data(story: Story, outcome: int) -> dict[str, Any]:
    """Columns of participants; `outcome` is the one of which potential values are given. See `replay_data`."""
    cohort, follow = story.trial.block.plan.cohort, ("observed_day", "missing", "n_reminders")
    n = story.n_participants
    person = cohort.person[:n, 0]
    names = (
        "site", "number", "randomized_day", "arm", "coach", "group", "asked_day", "offered_day", "released_day",
        "n_sessions", "status", "ended_day", "exit_day", "exit_kind",
    )  # fmt: skip
    columns: dict[str, Any] = {name: column(story.of(name)) for name in names}
    columns["cluster"] = None if cohort.cluster is None else column(cohort.cluster[:n, 0])
    columns["step_day"] = [column(days[person, 0]) for days in cohort.persons.step_day]
    columns |= {name: [column(of_visit) for of_visit in story.asked(name)] for name in follow}
    columns["recorded"] = [column(known.astype(int)) for known in story.from_records]
    return columns | _courses(story) | _values(story) | {"truth": _truth(story, outcome)}


def _courses(story: Story) -> dict[str, Any]:
    """Days from randomization of sessions (and -1 for those that were missed), of missed appointments and of calls."""
    start = story.of("randomized_day")
    attended, scheduled = story.of("attended_day"), story.of("scheduled_day")
    sessions = np.where(attended == NONE, NONE, attended - start)
    last = np.where(scheduled == NONE, 0, np.arange(1, len(scheduled) + 1)[:, None]).max(axis=0)
    calls = story.of("call_day") - start
    made = story.of("call_day") != NONE
    missed = _missed(story)
    return {
        "sessions": [sessions[: last[i], i].tolist() for i in range(len(start))],
        "calls": {str(i): sorted(calls[made[:, i], i].tolist()) for i in np.flatnonzero(made.any(axis=0)).tolist()},
        "missed": {str(i): days for i, days in missed.items()},
    }


def _missed(story: Story) -> dict[int, list[list[int]]]:
    """By participant the missed appointments: days from randomization and session."""
    start = story.of("randomized_day")
    found: dict[int, list[list[int]]] = {}
    for row in story.rows:
        if row.kind == "missed appointment":
            found.setdefault(row.participant, []).append([row.day - int(start[row.participant]), row.detail])
    return found


def _values(story: Story) -> dict[str, Any]:
    """Covariates; baseline and observed values in grid steps, -1 where nothing was observed."""
    cohort, outcomes, n = story.trial.block.plan.cohort, story.trial.block.outcomes, story.n_participants
    covariates = {name: np.round(values[:n, 0], 1) for name, values in cohort.covariates.items()}
    seen = [story.observed.seen[name][0, :n].T for name in story.world.outcomes]
    known = [np.where(seen[k], outcomes.realised[k, :, :n, 0], NONE) for k in range(len(seen))]
    return {
        "covariates": {name: _numbers(values) for name, values in covariates.items()},
        "baseline": [column(steps[:n, 0]) for steps in cohort.baseline],
        "value": [[column(of_visit) for of_visit in of_outcome] for of_outcome in known],
        "motivation": np.round(cohort.motivation[:n, 0], 2).tolist(),
    }


def _numbers(values: Any) -> list[float] | list[int]:
    whole = (values == np.round(values)).all()
    numbers: list[float] | list[int] = (values.astype(int) if whole else values).tolist()
    return numbers


def _truth(story: Story, outcome: int) -> dict[str, Any]:
    """Potential values of one outcome in grid steps, (A, V, N), and sessions under each arm, (A, N)."""
    outcomes, n = story.trial.block.outcomes, story.n_participants
    return {
        "outcome": outcome,
        "value": [[column(of_visit[:n, 0]) for of_visit in of_arm] for of_arm in outcomes.potential[outcome]],
        "sessions": [column(of_arm[:n, 0]) for of_arm in outcomes.all_sessions],
    }


def lost_data(story: Story) -> dict[str, Any]:
    """Persons who were contacted and looked at but not randomized, in order of contact, as columns.

    `step` and `reason` are -1, and `day` too, for those who were still in process when enrolment closed.
    """
    persons, closing = story.trial.block.plan.cohort.persons, story.closing_day
    entered = np.zeros(len(persons.site), dtype=bool)
    entered[story.trial.block.plan.cohort.person[: story.n_participants, 0]] = True
    who = np.flatnonzero((persons.step_day[0, :, 0] <= closing) & ~entered)
    who = who[np.argsort(persons.step_day[0, who, 0], kind="stable")]
    step = persons.lost_step[who, 0].astype(int)
    settled = step < len(story.world.steps)
    day = persons.step_day[np.where(settled, step + 1, 0), who, 0]
    gone = settled & (day <= closing)
    return {
        "site": column(persons.site[who]),
        "contact_day": column(persons.step_day[0, who, 0]),
        "day": column(np.where(gone, day, NONE)),
        "step": column(np.where(gone, step, NONE)),
        "reason": column(np.where(gone, persons.lost_reason[who, 0], NONE)),
        "n": len(who),
    }
