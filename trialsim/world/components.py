"""Components of a programme in groups: how much of each everybody has had after so many sessions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group
from trialsim.world import formulas
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats
from trialsim.world.histories import NONE, Histories
from trialsim.world.streams import Stream

Codes = NDArray[np.int8]


@dataclass(frozen=True)
class ComponentCourse:
    """One component under one arm, of N participants in R replicates."""

    name: str
    sessions: tuple[int, ...]  # numbers, from 0, of the sessions at which it takes place
    prob: float
    weight: float
    draws: Draws
    n: int

    @cached_property
    def _luck(self) -> Floats:
        """One uniform for each participant, (N, R); the same under every arm with a component of this name."""
        return self.draws.uniform(Stream.COMPONENT, self.n, self.name)

    def attended(self, n_sessions: Codes) -> Codes:
        """Times it was attended by those who attended so many of its sessions, (N, R): a binomial quantile.

        The luck of a participant stays the same, so that the number never falls from one session to the next, nor
        grows by more than 1.
        """
        return formulas.binomial_of_few(self._luck, n_sessions, self.prob, len(self.sessions))

    def attended_in(self, histories: Histories) -> Codes:
        """Times it was attended in the end by everybody, (N, R), were it of their arm."""
        days = histories.attended_day
        n_sessions = np.zeros(histories.arm.shape, dtype=np.int8)
        for k in self.sessions:
            n_sessions += days[k] != NONE
        return self.attended(n_sessions)


def component_courses(draws: Draws, delivery: Group, n: int) -> dict[str, ComponentCourse]:
    """The components of a programme, by name; their luck is drawn when somebody asks for it."""
    every = range(1, len(delivery.modules) + 1)
    return {
        name: ComponentCourse(
            name, tuple(k - 1 for k in part.sessions or every), part.attend_prob, part.weight, draws, n
        )
        for name, part in delivery.components.items()
    }
