"""What a trial's database holds at the end of one day: what analyses would see then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.report.replay.story import Story
from trialsim.world.formulas import Bools, Ints
from trialsim.world.histories import NONE, FollowUp, Histories, Missing, Status
from trialsim.world.observation import ObservedData, observed_data
from trialsim.world.outcomes import Outcomes


def observed_by(story: Story, day: int, *, counts_sessions: bool = False) -> ObservedData:
    """Observed data of one trial, with nothing in them that happens after a day.

    Later participants are not there yet; whoever is in the study is followed up to this day, as if they left it on the
    next; an answer that has not come is missing. Who is still in treatment has not stopped it: in `all_sessions` they
    have all their sessions, but for analyses of numbers of sessions (`counts_sessions`) those attended so far.
    On the story's last day the data are those of the whole trial.
    """
    block = story.trial.block
    histories = _histories(block.histories, day)
    follow = _follow(block.follow, day)
    outcomes = _outcomes(story, day)
    so_far = _attended_by(block.histories, np.full_like(block.histories.arm, day, dtype=np.int32))
    if not counts_sessions:
        planned = np.array(block.world.session_counts, dtype=np.int8).take(block.histories.arm, mode="clip")
        so_far = np.where(_in_treatment(block.histories, day), planned, so_far)
    histories = replace(histories, n_sessions=so_far.astype(np.int8))
    return observed_data(block.plan, histories, outcomes, follow)


def first_visits(data: ObservedData, n: int) -> ObservedData:
    """The same data without all visits but the first n."""

    def cut(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {name: values[:, :, :n] for name, values in arrays.items()}

    missed = None if data.missed is None else data.missed[:, :, [*range(n), -1]]
    return replace(
        data, value=cut(data.value), responder=cut(data.responder), seen=cut(data.seen),
        observed=data.observed[:, :, :n], sessions=data.sessions[:, :, :n], missed=missed,
    )  # fmt: skip


def _histories(histories: Histories, day: int) -> Histories:
    here = (histories.arm != NONE) & (histories.randomized_day <= day)
    leaves = np.where(histories.exit_day == NONE, day + 1, np.minimum(histories.exit_day, day + 1))
    offered = here & (histories.offered_day != NONE) & (histories.offered_day <= day)
    return replace(
        histories,
        arm=np.where(here, histories.arm, NONE).astype(np.int8),
        exit_day=np.where(here, leaves, NONE).astype(np.int32),
        coach=np.where(offered, histories.coach, NONE).astype(np.int16),
        group=np.where(offered, histories.group, NONE).astype(np.int16),
    )


def _follow(follow: FollowUp, day: int) -> FollowUp:
    later = (follow.observed_day != NONE) & (follow.observed_day > day)
    return replace(follow, missing=np.where(later, np.int8(Missing.NO_ANSWER), follow.missing))


def _outcomes(story: Story, day: int) -> Outcomes:
    block = story.trial.block
    limits = np.minimum(block.follow.due_day, day)
    sessions = np.stack([_attended_by(block.histories, limit) for limit in limits]).astype(np.int8)
    missed = block.outcomes.realised_missed
    if missed is not None:
        ends = [*limits, np.full_like(limits[0], day)]
        missed = np.stack([_missed_by(story, end) for end in ends]).astype(np.int8)
    return replace(block.outcomes, realised_sessions=sessions, realised_missed=missed)


def _attended_by(histories: Histories, last: Ints) -> NDArray[np.int64]:
    """Sessions attended up to and including a day, (N, R)."""
    attended = histories.attended_day
    return np.asarray(((attended != NONE) & (attended <= last)).sum(axis=0))


def _missed_by(story: Story, last: Ints) -> NDArray[np.int64]:
    """Sessions of groups missed up to and including a day, (N, R)."""
    histories = story.trial.block.histories
    grouped = np.array([story.world.grouped(arm) for arm in range(len(story.world.arms))], dtype=bool)
    scheduled = histories.scheduled_day
    missed = (scheduled != NONE) & (scheduled <= last) & (histories.attended_day == NONE)
    return np.asarray((missed & grouped.take(histories.arm, mode="clip")).sum(axis=0))


def _in_treatment(histories: Histories, day: int) -> Bools:
    """Whose treatment is not over by the end of a day, (N, R)."""
    has_sessions = (histories.arm != NONE) & (histories.status != Status.NO_TREATMENT)
    return np.asarray(has_sessions & (histories.ended_day > day))
