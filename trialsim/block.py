"""From a design to simulated trials: a block of replicates, end to end."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from trialsim.engines import vector
from trialsim.engines.events import derive_events
from trialsim.errors import EngineError
from trialsim.world.cohort import make_cohort
from trialsim.world.draws import Draws
from trialsim.world.formulas import Ints
from trialsim.world.histories import FollowUp, Histories, sort_events
from trialsim.world.letters import Fruitless, fruitless_contacts
from trialsim.world.observation import ObservedData, make_answers, observed_data
from trialsim.world.outcomes import Outcomes, make_outcomes
from trialsim.world.plans import Plan, make_plan
from trialsim.world.streams import BLOCK
from trialsim.world.world import World

if TYPE_CHECKING:
    from trialsim.design.parts import Design

EngineName = Literal["process", "vector"]
ENGINES: tuple[EngineName, ...] = ("process", "vector")

PARTICIPANTS_PER_BATCH = 37_000
"""Participants worked on at once: large enough to hide the cost of array calls, small enough for the cache."""


@dataclass(frozen=True)
class Block:
    """Simulated trials: replicates first, first + 1, ...; arrays as in the modules that made them."""

    world: World
    draws: Draws
    plan: Plan
    histories: Histories
    outcomes: Outcomes
    follow: FollowUp
    engine: EngineName
    logs: list[Ints] | None = field(repr=False)  # the process engine's own event logs

    @property
    def first(self) -> int:
        """Number of the first replicate."""
        return self.draws.first

    @property
    def n_replicates(self) -> int:
        """Number of replicates."""
        return self.draws.n_replicates

    @cached_property
    def observed(self) -> ObservedData:
        """What was recorded; all that analyses see."""
        return observed_data(self.plan, self.histories, self.outcomes, self.follow)

    @cached_property
    def fruitless(self) -> list[Fruitless]:
        """People lost before anybody looked at them, by site."""
        return fruitless_contacts(self.world, self.draws, self.plan.cohort.persons, self.histories.closing_day)

    def events(self, column: int) -> Ints:
        """Event list of one replicate: the process engine's own log, or derived from the histories."""
        return self.event_lists(np.array([column]))[0]

    def event_lists(self, columns: NDArray[np.intp]) -> tuple[Ints, NDArray[np.intp]]:
        """Event lists of some replicates, one after the other, and the length of each."""
        if self.logs is None:
            return derive_events(self.plan, self.histories, self.follow, columns)
        logs = [self.logs[column] for column in columns]
        return np.concatenate(logs), np.array([len(log) for log in logs])


def simulate_block(world: World, *, seed: int, first: int, n_replicates: int, engine: EngineName = "vector") -> Block:
    """Simulate replicates first ... first + n_replicates - 1.

    A replicate's numbers depend on design, seed and its own number only: not on the engine, nor on the company it is
    simulated in. Raises EngineError for an unknown engine.
    """
    if engine not in ENGINES:
        raise EngineError(f"there is no engine '{engine}'. Engines: {', '.join(ENGINES)}.")
    draws = Draws(seed, first, n_replicates)
    plan = make_plan(world, draws, make_cohort(world, draws))
    run = _process if engine == "process" else _vector
    histories, outcomes, follow, logs = run(plan, draws)
    return Block(world, draws, plan, histories, outcomes, follow, engine, logs)


def _vector(plan: Plan, draws: Draws) -> tuple[Histories, Outcomes, FollowUp, None]:
    histories = vector.deliver(plan)
    outcomes = make_outcomes(plan, draws, histories)
    answers = make_answers(plan, draws, histories, outcomes)
    return histories, outcomes, vector.follow_up(plan, histories, answers), None


def _process(plan: Plan, draws: Draws) -> tuple[Histories, Outcomes, FollowUp, list[Ints]]:
    from trialsim.engines import process

    histories, treated = process.deliver(plan)
    outcomes = make_outcomes(plan, draws, histories)
    answers = make_answers(plan, draws, histories, outcomes)
    follow, followed = process.follow_up(plan, histories, answers)
    logs = [sort_events(np.concatenate(acts)) for acts in zip(treated, followed, strict=True)]
    return histories, outcomes, follow, logs


def batches(design: Design, first: int, n_replicates: int) -> list[tuple[int, int]]:
    """Cut replicates into (first, number) batches of whole blocks, of about PARTICIPANTS_PER_BATCH participants."""
    blocks = min(64, max(1, PARTICIPANTS_PER_BATCH // (design.sample_size * BLOCK)))
    size = blocks * BLOCK
    starts = range(first - first % size, first + n_replicates, size)
    edges = [(max(start, first), min(start + size, first + n_replicates)) for start in starts]
    return [(low, high - low) for low, high in edges]
