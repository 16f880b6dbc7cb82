"""Delivery groups: which one would have taken somebody who was not on the list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group
from trialsim.world.formulas import LONG, Ints
from trialsim.world.histories import NONE, Histories, Status

Numbers = NDArray[np.int16]


def groups_made_up(arm: int, histories: Histories) -> tuple[Ints, Numbers]:
    """Day on which each group of an arm was made up and the team that leads it, (G + 1, R); LONG and NONE beyond."""
    n_replicates = histories.arm.shape[1]
    served = np.flatnonzero((histories.arm == arm) & (histories.group != NONE))
    group = histories.group.take(served)
    shape = (int(group.max(initial=NONE)) + 2, n_replicates)
    day, team = np.full(shape, LONG, dtype=np.int32), np.full(shape, NONE, dtype=np.int16)
    place = group * np.intp(n_replicates) + served % n_replicates
    day.ravel()[place], team.ravel()[place] = histories.offered_day.take(served), histories.coach.take(served)
    return day, team


def would_join(arm: int, histories: Histories, asks: Ints) -> tuple[Ints, Numbers, Numbers]:
    """Day of a place in a group (LONG: never), team and group of everybody, had they asked; (N, R) each.

    Members have what they had. Each other joins, as one more member, the first group made up on or after the day on
    which they would have asked.
    """
    day, team = groups_made_up(arm, histories)
    column = np.arange(asks.shape[1])
    span = 2 * LONG  # replicates lie side by side on one line of days
    line = (day + span * column).T.ravel()
    group = np.searchsorted(line, np.minimum(asks, LONG) + span * column) - len(day) * column
    at = group * np.intp(asks.shape[1]) + column
    offer, by_whom, joined = day.take(at), team.take(at), group.astype(np.int16)
    member = histories.arm == arm
    return (
        np.where(member, np.where(histories.group == NONE, np.int32(LONG), histories.offered_day), offer),
        np.where(member, histories.coach, by_whom),
        np.where(member, histories.group, joined),
    )


def sessions_held(arm: int, histories: Histories, delivery: Group) -> NDArray[np.int64]:
    """Sessions of an arm's groups that took place, (R,): those before all members had stopped or left."""
    served = np.flatnonzero((histories.arm == arm) & (histories.group != NONE))
    left = histories.status.take(served) == Status.LEFT_STUDY
    first = histories.offered_day.take(served) + np.int32(delivery.lead_days)
    group, column = histories.group.take(served), served % histories.arm.shape[1]
    last = np.full((int(group.max(initial=NONE)) + 1, histories.arm.shape[1]), NONE, dtype=np.int32)
    np.maximum.at(last, (group, column), histories.released_day.take(served) - left - first)
    days = [delivery.session_day(k) for k in range(len(delivery.modules))]
    return np.asarray(np.searchsorted(days, last, side="right").sum(axis=0))
