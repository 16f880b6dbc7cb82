"""Delivery groups: when and in which one somebody who was not on the list would have had a place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group
from trialsim.world.formulas import LONG, Bools, Ints
from trialsim.world.histories import NONE, Histories, Status

Numbers = NDArray[np.int16]


@dataclass(frozen=True)
class Line:
    """Those who would wait for the same groups: everybody, or everybody of one site."""

    arm: int
    delivery: Group
    own: int  # number of the line, from 0
    here: Bools  # (N, R) whose line it is
    members: Bools  # (N, R) of these, who is in the arm

    @property
    def first_team(self) -> int:
        """Number in the arm of the line's first team."""
        return self.own * self.delivery.at_once

    @classmethod
    def all_of(cls, arm: int, delivery: Group, histories: Histories) -> Iterator[Line]:
        """The lines of an arm, one after the other."""
        member = histories.arm == arm
        if not delivery.by_site:
            yield cls(arm, delivery, 0, np.ones_like(member), member)
            return
        for site in range(int(histories.site.max(initial=0)) + 1):
            here = histories.site == site
            yield cls(arm, delivery, site, here, member & here)


@dataclass(frozen=True)
class Made:
    """The groups of one line in order; below the last of each replicate a row that stands for none, (G + 1, R)."""

    day: Ints  # made up on; LONG for none
    number: Ints  # of the group in its arm; for none a number that no group has
    team: Numbers  # the line's first team for none
    last: Ints  # row of the member who was last in line; LONG for none
    full: Bools  # whether all places were taken; true for none

    @classmethod
    def of(cls, histories: Histories, line: Line) -> Made:
        """Read from what happened."""
        n_replicates = histories.arm.shape[1]
        served = np.flatnonzero(line.members & (histories.group != NONE))
        group, column = histories.group.take(served), served % n_replicates
        of_line = np.zeros((int(group.max(initial=NONE)) + 1, n_replicates), dtype=bool)
        of_line[group, column] = True
        order = of_line.cumsum(axis=0, dtype=np.int32) - 1  # place among the line's groups
        shape = (int(order.max(initial=NONE)) + 2, n_replicates)
        day, number, last = (np.full(shape, value, dtype=np.int32) for value in (LONG, 0, LONG))
        number[:] = np.where(histories.arm == line.arm, histories.group, NONE).max(axis=0, initial=NONE) + 1 + line.own
        team = np.full(shape, line.first_team, dtype=np.int16)
        place = order[group, column] * np.intp(n_replicates) + column
        for values, found in ((day, histories.offered_day), (number, histories.group), (team, histories.coach)):
            values.ravel()[place] = found.take(served)
        last.ravel()[place] = served // n_replicates  # ascending: the last one written stays
        size = np.bincount(place, minlength=day.size).reshape(shape)
        return cls(day, number, team, last, (size >= line.delivery.size) | (day == LONG))

    def joined_by(self, row: NDArray[np.intp], asks: Ints) -> NDArray[np.intp]:
        """Group of everybody, (N, R), at their own place in line: of the next member, or with a place left over."""
        n_groups = len(self.day)
        next_open = np.where(self.full, n_groups - 1, np.arange(n_groups)[:, None])
        next_open = np.minimum.accumulate(next_open[::-1], axis=0)[::-1]
        with_place = np.take_along_axis(next_open, _first(self.day, asks), axis=0)
        return np.minimum(_first(self.last, np.broadcast_to(row[:, None], asks.shape)), with_place)


def _first(ascending: Ints, values: NDArray[np.integer]) -> NDArray[np.intp]:
    """First row of each column (G, R) that is at least a value below LONG, for all values (N, R)."""
    column = np.arange(values.shape[1])
    span = 2 * LONG  # replicates lie side by side on one line
    found = np.searchsorted((ascending + span * column).T.ravel(), values + span * column)
    return np.asarray(found - len(ascending) * column)


class _Days:
    """Days on which a group would have begun with one person more, as groups were made up; (T, R) or of replicates."""

    def __init__(self, own: Line, histories: Histories, made: Made, asks: Ints) -> None:
        delivery, line = own.delivery, own.members & (histories.asked_day != NONE)
        served = line & (histories.offered_day != NONE)
        asked, left = histories.asked_day, np.where(served, histories.offered_day, histories.ended_day)
        free_again = made.day + np.int32(delivery.team_days)
        exit_day = np.where(histories.exit_day == NONE, LONG, histories.exit_day)
        last_asked = np.where(own.members, np.minimum(asks, exit_day), 0).max(axis=0, initial=0)
        all_asked = np.maximum(histories.closing_day, last_asked)
        quiet = max(int(all_asked.max()), int(np.where(made.day < LONG, free_again, 0).max()), int(asks.max(initial=0)))
        self.n_days = quiet + (delivery.intake_days or 1) + 1  # in the end all teams are free, and nobody else comes
        day = np.arange(self.n_days, dtype=np.int32)[:, None]
        waiting = self._present(asked, left, line)
        n_busy = self._present(made.day, free_again, made.day < LONG)
        may_begin = (n_busy < delivery.at_once) & (waiting + 1 >= np.where(day >= all_asked, 1, delivery.min_size))
        if delivery.intake_days is not None:
            begins = day % delivery.intake_days == 0
        else:
            begins = waiting + 1 >= delivery.size
            if delivery.start_after_days is not None:
                begins = begins | (self._present(asked + np.int32(delivery.start_after_days), left, line) > 0)
        self.possible, self.certain = _next(may_begin), _next(may_begin & begins)

    def _present(self, comes: Ints, leaves: Ints, who: Bools) -> Ints:
        """Number of those who have come and not left on each day, (T, R)."""
        row, column = np.nonzero(who & (comes < leaves))
        size = (self.n_days + 1, who.shape[1])
        count = np.zeros(size, dtype=np.int32)
        for days, step in ((comes, 1), (leaves, -1)):
            at = np.minimum(days[row, column], self.n_days) * np.intp(size[1]) + column
            count += step * np.bincount(at, minlength=count.size).reshape(size).astype(np.int32)
        return count.cumsum(axis=0, dtype=np.int32)[:-1]


def _next(flags: Bools) -> Ints:
    """For each day (T, R) the first from it on that is flagged; LONG: none."""
    days = np.where(flags, np.arange(len(flags), dtype=np.int32)[:, None], np.int32(LONG))
    return np.minimum.accumulate(days[::-1], axis=0)[::-1]


def would_join(arm: int, delivery: Group, histories: Histories, asks: Ints) -> tuple[Ints, Numbers, Numbers]:
    """Day of a place in a group (LONG: never), team and group of everybody, had they asked; (N, R) each.

    Members have what they had. Each other is put at their own place in line and taken off again: with them their group
    may begin earlier, on the day on which one person more is enough; somebody for whom there was no group has one of
    their own, of the first team.
    """
    asks = np.minimum(asks, np.where(histories.arm == NONE, 0, LONG)).astype(np.int32)  # rows without anybody
    offer = np.where(histories.group == NONE, np.int32(LONG), histories.offered_day)
    team, group = histories.coach, histories.group
    for line in Line.all_of(arm, delivery, histories):
        other = line.here & (histories.arm != arm)
        days, by_whom, joined = _in_line(line, histories, asks)
        offer, team, group = (
            np.where(other, days, offer),
            np.where(other, by_whom, team),
            np.where(other, joined, group),
        )
    return offer, team, group


def _in_line(line: Line, histories: Histories, asks: Ints) -> tuple[Ints, Numbers, Numbers]:
    """The same for people at their own place in one line; it means nothing for others."""
    delivery, made = line.delivery, Made.of(histories, line)
    days = _Days(line, histories, made, asks)
    group = made.joined_by(np.arange(len(asks)), asks)
    day_before = np.take_along_axis(made.day, np.maximum(group - 1, 0), axis=0)
    earliest = np.maximum(asks, np.where(group > 0, day_before, 0))
    offer = np.minimum(
        np.take_along_axis(made.day, group, axis=0), np.take_along_axis(days.certain, earliest.astype(np.intp), axis=0)
    )
    if delivery.intake_days is None and delivery.start_after_days is not None:
        patient = np.maximum(earliest, asks + np.int32(delivery.start_after_days))
        by_then = np.take_along_axis(days.possible, np.minimum(patient, days.n_days - 1).astype(np.intp), axis=0)
        offer = np.minimum(offer, np.maximum(patient, by_then))
    number = np.take_along_axis(made.number, group, axis=0).astype(np.int16)
    return offer, np.take_along_axis(made.team, group, axis=0), number


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
