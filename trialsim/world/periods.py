"""Changes of the protocol as numbers: from which study day to which a ratio, or a visit's reminders, hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trialsim.world.formulas import LONG, Bools, Floats, Ints

if TYPE_CHECKING:
    from trialsim.design.parts import Design


@dataclass(frozen=True)
class Period:
    """A time in which participants are randomized in one ratio."""

    starts: int  # first study day
    label: str
    ratio: tuple[int, ...]  # parts of each arm, in order of the arms
    block_sizes: tuple[int, ...]  # of permuted blocks; empty: none


@dataclass(frozen=True)
class Reminding:
    """The reminders of a visit for windows that open from one study day to the day before another."""

    starts: int
    ends: int
    days: tuple[int, ...]  # relative to the due day


def allocation_periods(design: Design) -> list[Period]:
    """The first ratio, and one period more for each change of it."""
    sizes = design.allocation.block_sizes if design.allocation.kind == "blocks" else ()
    ratios = [(-LONG, "", design.allocation.ratio, sizes)]
    for change in design.changes:
        if change.ratio is not None:
            sizes = change.block_sizes or sizes
            starts = design.day_of(change.starts)
            ratios.append((starts, change.label or f"from day {starts}", change.ratio, sizes))
    return [Period(day, label, tuple(ratio[arm] for arm in design.arms), own) for day, label, ratio, own in ratios]


def period_of(periods: list[Period], day: Ints) -> NDArray[np.int16]:
    """Number of the period in which each study day lies."""
    number = np.zeros(day.shape, dtype=np.int16)
    for period in periods[1:]:
        number += day >= period.starts
    return number


def reminders(design: Design, visit: str) -> list[Reminding]:
    """What holds for a visit, one after another; a later change takes the place of an earlier one."""
    told = [(-LONG, design.visits[visit].reminders)]
    told += [(design.day_of(c.starts), c.reminders[visit]) for c in design.changes if visit in c.reminders]
    return [Reminding(day, until, days) for (day, days), (until, _) in pairwise([*told, (LONG, ())])]


def each_reminder(told: list[Reminding], opens: int, due: Ints, valid: Bools) -> Iterator[tuple[int, Bools]]:
    """Days of reminders relative to the due days, and for whom of `valid` they are meant.

    opens: the window's opening relative to the due day.
    """
    for reminding in told:
        meant = valid
        if len(told) > 1:
            meant = valid & (due + opens >= reminding.starts) & (due + opens < reminding.ends)
        for day in reminding.days:
            yield day, meant


def answering_shift(design: Design, opens: int, randomized_day: Ints) -> Floats | float:
    """Shift of the inclination to answer in windows that open `opens` days after randomization [probit units]."""
    shift: Floats | float = 0.0
    for change in design.changes:
        if change.answering:
            has_begun = randomized_day + opens >= design.day_of(change.starts)
            shift = shift + np.where(has_begun, change.answering, 0.0)
    return shift
