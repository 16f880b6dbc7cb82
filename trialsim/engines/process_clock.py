"""The clock and the log of the reference engine."""

from __future__ import annotations

from collections.abc import Generator
from enum import IntEnum
from typing import Any

import numpy as np
import simpy

from trialsim.world.formulas import Ints
from trialsim.world.histories import EVENT_COLUMNS, sort_events

Wait = Generator[simpy.Event, Any, None]
Row = tuple[int, int, int, int, int, int, int]


class Phase(IntEnum):
    """The order of one day."""

    RECRUIT = 0
    RANDOMIZE = 1
    LEAVE = 2
    GIVE_UP = 3
    ASK = 4
    ASSIGN = 5
    TREAT = 6
    RELEASE = 7
    OPEN = 8
    ANSWER = 9
    REMIND = 10
    CLOSE = 11


class Clock:
    """A SimPy environment whose time is read and set in days and phases."""

    def __init__(self) -> None:
        self.env = simpy.Environment()

    @property
    def day(self) -> int:
        """Today's study day."""
        return int(self.env.now) // len(Phase)

    def until(self, day: int, phase: Phase) -> simpy.Timeout:
        """An event at a phase of a day, now or later."""
        return self.env.timeout(day * len(Phase) + phase - self.env.now)


def as_log(events: list[Row]) -> Ints:
    """Events as an array in their one order, (n_events, 7)."""
    rows = np.array(events, dtype=np.int32).reshape(-1, len(EVENT_COLUMNS))
    return sort_events(rows)
