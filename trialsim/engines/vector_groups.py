"""Delivery groups in the fast engine: who is taken into which group when, one replicate after another."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group
from trialsim.world.formulas import LONG, Ints
from trialsim.world.histories import NONE

Numbers = NDArray[np.int16]
Made = list[tuple[int, int, list[int]]]
"""Day, team and members (places in the list) of each group, in order."""


@dataclass(frozen=True)
class Rules:
    """When a group begins, in days."""

    size: int
    min_size: int
    patience: int  # the first in line has waited so long
    intake: int | None  # groups are made up on multiples of it only; None: on any day
    n_teams: int  # of one list
    busy: int  # from making up a group to the first day on which its team is free again

    @classmethod
    def of(cls, delivery: Group) -> Rules:
        """The rules of a delivery."""
        patience = LONG if delivery.start_after_days is None else delivery.start_after_days
        return cls(
            delivery.size, delivery.min_size, patience, delivery.intake_days, delivery.at_once, delivery.team_days
        )

    def begins(self, day: int, n_waiting: int, first_asked: int, least: int) -> bool:
        """Whether a group begins today with those who wait."""
        if n_waiting < max(least, 1):
            return False
        return self.intake is not None or n_waiting >= self.size or day - first_asked >= self.patience


def make_up(
    rules: Rules, line: NDArray[Any], asks: Ints, deadline: Ints, all_asked: Ints
) -> tuple[Ints, Numbers, Numbers]:
    """Groups of all replicates, from those who ask for a place, M of them, in order of participants.

    `line` (M,) is the number of their list, replicate x lists + list; `asks` and `deadline` (last day on which a place
    is taken) are (M,); from `all_asked`, (R, lists), on nobody else is expected on a list, and groups need one person
    only. Returns the day of making up (LONG: none), team and group, (M,). Lists have teams of their own; groups of a
    replicate are numbered by the day of making up, on one day by list.
    """
    day = np.full(len(asks), LONG, dtype=np.int32)
    team, group = np.full(len(asks), NONE, dtype=np.int16), np.full(len(asks), NONE, dtype=np.int16)
    by_line = np.argsort(line, kind="stable")
    edges = np.searchsorted(line.take(by_line), np.arange(all_asked.size + 1))
    n_lists = all_asked.shape[1]
    for r, lasts in enumerate(all_asked.tolist()):
        made: list[tuple[int, int, NDArray[np.intp]]] = []
        for own, last in enumerate(lasts):
            place = r * n_lists + own
            mine = by_line[edges[place] : edges[place + 1]]
            of_list = _one_list(rules, asks.take(mine).tolist(), deadline.take(mine).tolist(), last)
            made += [(when, own * rules.n_teams + by_whom, mine.take(members)) for when, by_whom, members in of_list]
        for g, (when, by_whom, taken) in enumerate(sorted(made, key=itemgetter(0))):
            day[taken], team[taken], group[taken] = when, by_whom, g
    return day, team, group


def _one_list(rules: Rules, asks: list[int], deadline: list[int], all_asked: int) -> Made:
    """Groups of one list of one replicate: from one day on which something may have changed to the next."""
    made: Made = []
    free = [0] * rules.n_teams  # first free day of each team
    waiting: list[int] = []
    n_come, day = 0, _at_intake(rules, asks[0]) if asks else None
    while day is not None:
        while n_come < len(asks) and asks[n_come] <= day:
            waiting.append(n_come)
            n_come += 1
        waiting = [i for i in waiting if deadline[i] >= day]
        least = 1 if day >= all_asked else rules.min_size
        while waiting and min(free) <= day and rules.begins(day, len(waiting), asks[waiting[0]], least):
            team = next(t for t, since in enumerate(free) if since <= day)
            made.append((day, team, waiting[: rules.size]))
            del waiting[: rules.size]
            free[team] = day + rules.busy
        day = _next_day(rules, day, asks[n_come : n_come + 1], [asks[i] for i in waiting[:1]], min(free), all_asked)
    return made


def _next_day(rules: Rules, day: int, comes: list[int], first: list[int], free: int, all_asked: int) -> int | None:
    """The next day on which a group may begin; None: there is none.

    `comes` and `first` hold the day of asking of who comes next and of who is first in line, if there are such.
    """
    changes = [*comes, *(asked + rules.patience for asked in first)]
    if first:
        changes += [free, all_asked]
    ahead = [change for change in changes if day < change < LONG]
    return _at_intake(rules, max(min(ahead), free)) if ahead else None


def _at_intake(rules: Rules, day: int) -> int:
    """The day itself, or the next intake."""
    return day if rules.intake is None else -(-day // rules.intake) * rules.intake
