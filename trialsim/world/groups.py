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


def would_join(
    arm: int, histories: Histories, asks: Ints, *, teams_per_site: int | None = None
) -> tuple[Ints, Numbers, Numbers]:
    """Day of a place in a group (LONG: never), team and group of everybody, had they asked; (N, R) each.

    Members have what they had. Each other joins, as one more member, the first group (where sites have teams of their
    own, of their site) made up on or after the day on which they would have asked.
    """
    day, team = groups_made_up(arm, histories)
    offer = np.full(asks.shape, LONG, dtype=np.int32)
    by_whom, joined = np.full(asks.shape, NONE, dtype=np.int16), np.full(asks.shape, NONE, dtype=np.int16)
    site = np.zeros(asks.shape, dtype=np.int16) if teams_per_site is None else histories.site
    for own in range(int(site.max(initial=0)) + 1):
        theirs = day if teams_per_site is None else np.where(team // teams_per_site == own, day, np.int32(LONG))
        who = np.flatnonzero(site == own)
        column = who % asks.shape[1]
        group = _first_from(theirs, asks.take(who), column)
        at = group * np.intp(asks.shape[1]) + column
        offer.ravel()[who], by_whom.ravel()[who], joined.ravel()[who] = theirs.take(at), team.take(at), group
    member = histories.arm == arm
    return (
        np.where(member, np.where(histories.group == NONE, np.int32(LONG), histories.offered_day), offer),
        np.where(member, histories.coach, by_whom),
        np.where(member, histories.group, joined),
    )


def _first_from(day: Ints, asks: Ints, column: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number of the first group made up on or after a day, (M,), in the columns (M,) of `day` (G + 1, R)."""
    order = np.argsort(day, axis=0, kind="stable")
    in_order = np.take_along_axis(day, order, axis=0)
    span = 2 * LONG  # replicates lie side by side on one line of days
    line = (in_order + span * np.arange(day.shape[1])).T.ravel()
    place = np.searchsorted(line, np.minimum(asks, LONG) + span * column) - len(day) * column
    return np.asarray(order.take(place * np.intp(day.shape[1]) + column))


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
