"""Coaches' places: who would be offered one when, first come, first served, in many replicates side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual
from trialsim.world.formulas import LONG, Bools, Ints
from trialsim.world.histories import NONE, Histories
from trialsim.world.world import World


@lru_cache(maxsize=64)
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


@dataclass(frozen=True)
class Queue:
    """Participants of all replicates who wait for a coach, in order of participants; M of them."""

    asks: Ints  # (M,) day of asking
    deadline: Ints  # (M,) last day on which an offer is taken
    length: Ints  # (M,) days from the offer to the end of treatment
    exit_day: Ints  # (M,) day of leaving the study; LONG: stays


class Places:
    """Coaches of one arm in every replicate: the first free day of each place, shape (places, R, coaches).

    First come, first served: they must be offered places in the order in which they ask.
    """

    def __init__(self, world: World, arm: int, n_replicates: int) -> None:
        places, joins, leaves = coach_calendar(world, arm)
        closed = np.arange(max(places))[:, None] >= np.array(places)
        first_free = np.where(closed, LONG, np.array(joins)).astype(np.int32)
        self.n_coaches = len(places)
        self.free = np.repeat(first_free[:, None, :], n_replicates, axis=1)
        self.by_coach = self.free.reshape(len(first_free), -1)  # the same places: (places, R x coaches)
        self.leaves = np.array(leaves, dtype=np.int32)
        self.all_stay = bool((self.leaves == LONG).all())

    def serve(self, participant: NDArray[np.intp], queue: Queue) -> tuple[Ints, NDArray[np.int16]]:
        """Each takes the first free place, with the coach who has most free; all replicates side by side.

        `participant` are places in the (N, R) arrays, flat and ascending. Returns days of offer (LONG where it would
        come after the deadline) and coaches, (M,) each.
        """
        n_replicates = self.free.shape[1]
        replicate = participant % n_replicates
        turn, n_turns = turns(replicate, n_replicates)
        at = turn * n_replicates + replicate
        lines = [np.full((n_turns, n_replicates), LONG - 1, dtype=np.int32) for _ in range(4)]
        for line, values in zip(lines, vars(queue).values(), strict=True):
            line.ravel()[at] = values  # turn by turn; after a replicate's last participant nothing matters
        asks, _, length, exit_day = lines
        back = np.minimum(asks + length, exit_day) + 1  # first free day of a place that is taken at once
        offers, coaches = asks.copy(), np.empty(asks.shape, dtype=np.intp)
        n_smooth = self._take_at_once(asks, back, coaches) if self.all_stay else 0
        for t in range(n_smooth, n_turns):
            offers[t], coaches[t] = self._queue(*(line[t] for line in lines))
        return offers.take(at), coaches.take(at).astype(np.int16)

    def _take_at_once(self, asks: Ints, back: Ints, coaches: NDArray[np.intp]) -> int:
        """Serve the turns before the first in which all places are taken in some replicate; returns how many.

        Arguments are (turns, R); writes the coaches of these turns. Until then whoever has come before has taken a
        place at once, so that the turn from which on a place is free again is known beforehand, if not whose it is.
        """
        n_turns, n_replicates = asks.shape
        columns = np.arange(self.by_coach.shape[1])
        # Takers have their replicate's first coach until it is known whose place they take (turns of nobody: for good).
        column = np.concatenate([np.tile(columns, len(self.free)), np.tile(columns[:: self.n_coaches], n_turns)])
        replicate = column // self.n_coaches
        turn = _first_turn(asks, np.concatenate([self.free.ravel(), back.ravel()]), replicate)
        n_smooth = _turns_without_waiting(asks, turn, replicate)
        taken = column[self.free.size :].reshape(asks.shape)  # filled turn by turn
        by_turn = np.argsort(turn.astype(np.min_scalar_type(n_turns)), kind="stable")
        edges = [0, *np.cumsum(np.bincount(turn, minlength=n_turns)).tolist()]
        first, n_free = columns[:: self.n_coaches], np.zeros(len(columns), dtype=np.intp)
        of_replicate = n_free.reshape(n_replicates, -1)
        for one, (start, end) in zip(taken[:n_smooth], pairwise(edges), strict=False):
            if end > start:
                n_free += np.bincount(column.take(by_turn[start:end]), minlength=len(columns))
            np.add(of_replicate.argmax(axis=1), first, out=one)
            n_free[one] -= 1
        coaches[:n_smooth] = taken[:n_smooth] - first
        if n_smooth < n_turns:
            self._take(taken[:n_smooth].ravel(), back[:n_smooth].ravel())
        return n_smooth

    def _take(self, column: NDArray[np.intp], back: Ints) -> None:
        """Put days of coming back in the places that are taken, each that of a column which had been free longest.

        As everybody comes back later than the place was free, the latest days of a column are those that stay.
        """
        n_places, n_columns = self.by_coach.shape
        column = np.concatenate([np.tile(np.arange(n_columns), n_places), column])
        day = np.concatenate([self.by_coach.ravel(), back])
        ends = np.cumsum(np.bincount(column, minlength=n_columns))
        self.by_coach[:] = day[np.lexsort((day, column))][ends - 1 - np.arange(n_places)[:, None]]

    def _queue(self, asks: Ints, deadline: Ints, length: Ints, exit_day: Ints) -> tuple[Ints, NDArray[np.intp]]:
        """One turn in which somebody may have to wait, (R,) each."""
        offer, n_free = self.first_free(self.free, asks)
        coach = n_free.argmax(axis=1)
        column = np.arange(len(asks)) * self.n_coaches + coach
        place = self.by_coach.take(column, axis=1).argmin(axis=0)
        takes = offer <= deadline
        back = np.minimum(offer + length, exit_day) + 1
        self.by_coach[place, column] = np.where(takes, back, self.by_coach[place, column])
        return np.where(takes, offer, np.int32(LONG)), coach

    def first_free(self, free: Ints, asks: Ints) -> tuple[Ints, NDArray[np.int16]]:
        """Day of the first free place from the day of asking on, and each coach's free places on that day.

        `free` is (places, M, coaches), `asks` (M,); returns (M,) and (M, coaches).
        """
        if self.all_stay:
            offer = np.maximum(free.min(axis=0).min(axis=1), asks)
            return offer, (free <= offer[:, None]).sum(axis=0, dtype=np.int16)
        day = np.maximum(free, asks[:, None])
        day[day >= self.leaves] = LONG
        offer = day.min(axis=0).min(axis=1)
        return offer, (day <= offer[:, None]).sum(axis=0, dtype=np.int16)


def turns(replicate: NDArray[np.intp], n_replicates: int) -> tuple[NDArray[np.intp], int]:
    """For each of a list, how many of the same replicate come before; and the most of any replicate."""
    by_replicate = np.argsort(replicate.astype(np.min_scalar_type(n_replicates)), kind="stable")
    counts = np.bincount(replicate, minlength=n_replicates)
    turn = np.empty(len(replicate), dtype=np.intp)
    turn[by_replicate] = np.arange(len(replicate)) - np.repeat(np.cumsum(counts) - counts, counts)
    return turn, int(counts.max())


def _first_turn(asks: Ints, day: Ints, replicate: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first turn of a replicate (the last is followed by a turn of nobody) on which it is a given day or later.

    `asks` is (turns, R), ascending; days and replicates are lists.
    """
    n_replicates = asks.shape[1]
    last = int(asks[asks < LONG - 1].max(initial=0)) + 1  # after a replicate's last participant: any day
    flat = (np.minimum(asks, last) + 1) * np.intp(n_replicates) + np.arange(n_replicates)
    asked = np.bincount(flat.ravel(), minlength=(last + 2) * n_replicates).reshape(-1, n_replicates).cumsum(axis=0)
    return asked.take(np.minimum(day, last) * np.intp(n_replicates) + replicate)


def _turns_without_waiting(asks: Ints, turn: NDArray[np.intp], replicate: NDArray[np.intp]) -> int:
    """Turns, `asks` (turns, R), before the first in which all places are taken in some replicate.

    `turn` and `replicate` say from when on which place is free, or free again.
    """
    n_turns, n_replicates = asks.shape
    come = np.bincount(turn * n_replicates + replicate, minlength=asks.size)[: asks.size].reshape(asks.shape)
    full = ((come.cumsum(axis=0) <= np.arange(n_turns)[:, None]) & (asks < LONG - 1)).any(axis=1)
    return int(full.argmax()) if full.any() else n_turns


def may_wait(world: World, arm: int, histories: Histories, asks: Ints) -> Bools:
    """Replicates, (R,), in which all open places are taken on a day on which somebody asks or, in another arm, would.

    Each replicate is judged by itself: its numbers must not depend on its company in the block.
    """
    places, joins, leaves = coach_calendar(world, arm)
    valid, n_replicates = histories.arm != NONE, asks.shape[1]
    served = np.flatnonzero((histories.arm == arm) & (histories.offered_day != NONE))
    n_days = int(max((asks * valid).max(initial=0), histories.released_day.max(initial=0))) + 2

    def on_day(days: Ints) -> NDArray[np.int64]:
        flat = days.take(served) * np.intp(n_replicates) + served % n_replicates
        return np.bincount(flat, minlength=n_days * n_replicates).reshape(n_days, n_replicates)

    taken = np.cumsum(on_day(histories.offered_day) - on_day(histories.released_day + 1), axis=0)
    days = np.arange(n_days)
    is_open = [(days >= join) & (days < leave) for join, leave in zip(joins, leaves, strict=True)]
    full = taken >= (np.array(places) @ np.array(is_open))[:, None]
    if not full.any():
        return np.zeros(n_replicates, dtype=bool)
    flat = (asks * valid) * np.intp(n_replicates) + np.arange(n_replicates)
    return np.asarray((full.take(flat) & valid).any(axis=0))


def would_be_offered(
    world: World, arm: int, histories: Histories, asks: Ints, *, replicates: Bools | None = None
) -> tuple[Ints, NDArray[np.int16]]:
    """Day of offer (LONG: never) and coach of every participant, had they asked for this arm's coaches; (N, R) each.

    Members have what they had. Each other participant is put at their place in the line and taken off again, so
    they meet the places that the members before them left. Only what it says of `replicates`, (R,), means something.
    """
    n_replicates, member = asks.shape[1], histories.arm == arm
    offer, coach = np.full(asks.shape, LONG, dtype=np.int32), np.full(asks.shape, NONE, dtype=np.int16)
    is_served = member & (histories.offered_day != NONE)
    served = np.flatnonzero(is_served)
    pool = Places(world, arm, n_replicates)
    states = _states(pool, served, histories)  # (places, turns x R, coaches)
    asked = (histories.arm != NONE) & ~member
    others = np.flatnonzero(asked if replicates is None else asked & replicates)
    before = np.cumsum(is_served, axis=0, dtype=np.int32)  # of others: members who were served before them
    state = before.take(others) * np.intp(n_replicates) + others % n_replicates
    for some in _pieces(len(others), 500_000 // states[:, 0].size + 1):
        days, n_free = pool.first_free(states.take(state[some], axis=1), asks.take(others[some]))
        offer.ravel()[others[some]], coach.ravel()[others[some]] = days, n_free.argmax(axis=1)
    offer.ravel()[served], coach.ravel()[served] = histories.offered_day.take(served), histories.coach.take(served)
    return offer, coach


def _states(pool: Places, served: NDArray[np.intp], histories: Histories) -> Ints:
    """First free days of all places before anybody and after the first, second, ... member served of each replicate."""
    n_replicates = pool.free.shape[1]
    replicate = served % n_replicates
    turn, n_turns = turns(replicate, n_replicates)
    order = np.argsort(turn, kind="stable")
    ends = np.cumsum(np.bincount(turn, minlength=n_turns))
    column = (replicate * pool.n_coaches + histories.coach.take(served)).take(order)
    back = histories.released_day.take(served).take(order) + 1
    states = np.empty((len(pool.free), n_turns + 1, *pool.free.shape[1:]), dtype=np.int32)
    states[:, 0] = pool.free
    for t, (first, end) in enumerate(pairwise([0, *ends.tolist()]), start=1):
        here = column[first:end]
        # A coach's places are alike: take the one that has been free longest.
        pool.by_coach[pool.by_coach.take(here, axis=1).argmin(axis=0), here] = back[first:end]
        states[:, t] = pool.free
    return states.reshape(len(states), -1, pool.n_coaches)


def _pieces(length: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover a length: what is worked on at once stays in the cache."""
    return [slice(first, first + size) for first in range(0, length, size)]
