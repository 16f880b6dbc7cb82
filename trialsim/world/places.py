"""Coaches' places: who would be offered one when, first come, first served, in many replicates side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual
from trialsim.world.formulas import LONG, Bools, Ints
from trialsim.world.histories import NONE, Histories
from trialsim.world.world import World


def coach_calendar(world: World, arm: int) -> tuple[list[int], list[int], list[int]]:
    """Places, first day and day of leaving (LONG: stays) of each coach of an arm.

    Everyone in treatment holds one place: one session per interval, so opening hours bound the caseload.
    """
    design, name = world.design, world.arms[arm]
    delivery = design.arms[name].delivery
    assert isinstance(delivery, Individual)
    staff = design.coaches(name)
    places = [min(c.caseload or 1, max(1, (c.sessions_per_week or 1) * delivery.interval_days // 7)) for c in staff]
    joins = [design.day_of(c.joins) for c in staff]
    leaves = [LONG if c.leaves is None else design.day_of(c.leaves) for c in staff]
    return places, joins, leaves


class Places:
    """Coaches of one arm in every replicate: the first free day of each place, shape (places, R, coaches).

    First come, first served: they must be offered places in the order in which they ask.
    """

    def __init__(self, world: World, arm: int, n_replicates: int) -> None:
        places, joins, leaves = coach_calendar(world, arm)
        closed = np.arange(max(places))[:, None] >= np.array(places)
        first_free = np.where(closed, LONG, np.array(joins)).astype(np.int32)
        self.free = np.repeat(first_free[:, None, :], n_replicates, axis=1)
        self.leaves = np.array(leaves, dtype=np.int32)
        self.all_stay = bool((self.leaves == LONG).all())

    def serve(
        self, replicate: NDArray[np.intp], asks: Ints, deadline: Ints, length: Ints, exit_day: Ints
    ) -> tuple[Ints, NDArray[np.intp]]:
        """One participant of each replicate takes the first free place, with the coach who has most free.

        Returns days of offer (LONG where it would come after the deadline) and coaches.
        """
        free = self.free if len(replicate) == self.free.shape[1] else self.free[:, replicate]
        offer, n_free = self.first_free(free, asks)
        chosen = n_free.argmax(axis=1)
        place = free[:, np.arange(len(replicate)), chosen].argmin(axis=0)
        released = np.minimum(offer + length, exit_day)
        takes = offer <= deadline
        if takes.all():
            self.free[place, replicate, chosen] = released + 1
        else:
            self.free[place[takes], replicate[takes], chosen[takes]] = released[takes] + 1
            offer, chosen = np.where(takes, offer, LONG), np.where(takes, chosen, NONE)
        return offer, chosen

    def occupy(self, replicate: NDArray[np.intp], coach: NDArray[np.intp], released: Ints) -> None:
        """Take the place with these coaches that has been free longest, until the end of day `released`."""
        place = self.free[:, replicate, coach].argmin(axis=0)
        self.free[place, replicate, coach] = released + 1

    def first_free(self, free: Ints, asks: Ints) -> tuple[Ints, NDArray[np.int16]]:
        """Day of the first free place from the day of asking on, and each coach's free places on that day."""
        if self.all_stay:
            n_free = (free <= asks[:, None]).sum(axis=0, dtype=np.int16)
            if n_free.any(axis=1).all():
                return asks, n_free
        day = np.maximum(free, asks[:, None])
        day[day >= self.leaves] = LONG
        offer = day.min(axis=(0, 2))
        return offer, (day <= offer[:, None]).sum(axis=0, dtype=np.int16)


def may_wait(world: World, arm: int, histories: Histories, asks: Ints) -> Bools:
    """Replicates, (R,), in which all open places are taken on a day on which somebody asks or, in another arm, would.

    Each replicate is judged by itself: its numbers must not depend on its company in the block.
    """
    places, joins, leaves = coach_calendar(world, arm)
    valid = histories.arm != NONE
    served = (histories.arm == arm) & (histories.offered_day != NONE)
    column = np.broadcast_to(np.arange(valid.shape[1]), valid.shape)
    n_days = int(max(asks[valid].max(initial=0), histories.released_day.max())) + 2
    change = np.zeros((n_days, valid.shape[1]), dtype=np.int32)
    np.add.at(change, (histories.offered_day[served], column[served]), 1)
    np.add.at(change, (histories.released_day[served] + 1, column[served]), -1)
    days = np.arange(n_days)
    is_open = [(days >= join) & (days < leave) for join, leave in zip(joins, leaves, strict=True)]
    open_places = np.array(places) @ np.array(is_open)
    full = change.cumsum(axis=0) >= open_places[:, None]
    return np.asarray((full[np.where(valid, asks, 0), column] & valid).any(axis=0))


def would_be_offered(world: World, arm: int, histories: Histories, asks: Ints) -> tuple[Ints, NDArray[np.int16]]:
    """Day of offer (LONG: never) and coach of every participant, had they asked for this arm's coaches; (N, R) each.

    Members have what they had. Each other participant is put at their place in the line and taken off again, so
    they meet the places that the members before them left.
    """
    member = histories.arm == arm
    served = member & (histories.offered_day != NONE)
    offer, coach = np.full(asks.shape, LONG, dtype=np.int32), np.full(asks.shape, NONE, dtype=np.int16)
    pool = Places(world, arm, asks.shape[1])
    valid = histories.arm != NONE
    for i in range(len(asks)):
        day, n_free = pool.first_free(pool.free, asks[i])
        other = valid[i] & ~member[i]
        offer[i, other], coach[i, other] = day[other], n_free.argmax(axis=1)[other]
        here = np.flatnonzero(served[i])
        if len(here):
            pool.occupy(here, histories.coach[i, here].astype(np.intp), histories.released_day[i, here])
    offer[served], coach[served] = histories.offered_day[served], histories.coach[served]
    return offer, coach
