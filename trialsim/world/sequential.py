"""Allocation in which the next arm depends on those before: minimization, biased coin, urn.

A ratio is made of as many equal parts, each treated like an arm, and nothing tells the parts apart but luck. So the
chance of an arm is its part of the ratio for every participant (Kuznetsova and Tymofyeyev 2012). Engines keep counts
of the parts given; what follows from counts is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trialsim.design.allocation import BiasedCoin, Minimization, Urn
from trialsim.world.cohort import Cohort
from trialsim.world.draws import Draws
from trialsim.world.formulas import Bools, Floats
from trialsim.world.streams import Stream
from trialsim.world.world import World

Counts = NDArray[np.int64]
Tickets = Callable[[Counts, Bools], Counts]
"""From counts (parts, factors, R), and whether luck favours the best parts (R,), to each part's tickets (parts, R)."""

ALL = slice(None)


@dataclass(frozen=True)
class Sequential:
    """What allocation in turn needs to know, and its luck; F factors, N participants, R replicates.

    Participants are counted by level: of each factor (minimization), or of the stratum as the only factor.
    """

    arm_of_part: NDArray[np.int8]  # (parts,)
    n_levels: int  # of all factors together
    level: NDArray[np.intp]  # (N, F, R) each participant's level of each factor, numbered through all factors
    tickets: Tickets
    favours: Bools  # (N, R) whether luck is with the best parts
    luck: Floats  # (N, R) which of the tickets is drawn, uniform

    def draw(self, i: int, counts: Counts, columns: slice = ALL) -> NDArray[np.intp]:
        """Part of the ratio given to participant i of some replicates, shape (R,).

        counts: participants before i given each part, at each of i's own levels, (parts, F, R).
        """
        up_to = self.tickets(counts, self.favours[i, columns]).cumsum(axis=0)
        drawn: NDArray[np.intp] = (up_to <= self.luck[i, columns] * up_to[-1]).sum(axis=0)
        return drawn


def sequential(world: World, draws: Draws, cohort: Cohort) -> Sequential:
    """The rule of a design whose allocation is minimization, a biased coin or an urn; one uniform per participant."""
    rule = world.design.allocation
    luck = draws.uniform(Stream.ALLOCATION_SIMPLE, len(cohort.valid))
    favours = np.ones(luck.shape, dtype=bool)
    if isinstance(rule, Urn):
        tickets: Tickets = partial(_balls, rule)
    elif isinstance(rule, BiasedCoin):
        (favours, luck), tickets = _split(luck, rule.coin_prob), partial(_favoured, _lead)
    else:
        assert isinstance(rule, Minimization)
        (favours, luck), tickets = _split(luck, rule.best_prob), partial(_favoured, partial(_imbalance, rule))
    n_levels, level = _levels(world, cohort)
    arm_of_part = np.repeat(np.arange(len(world.arms), dtype=np.int8), world.periods[0].ratio)
    return Sequential(arm_of_part, n_levels, level, tickets, favours, luck)


def _levels(world: World, cohort: Cohort) -> tuple[int, NDArray[np.intp]]:
    sizes = world.n_levels if world.design.allocation.kind == "minimization" else [len(world.strata)]
    levels = np.unravel_index(cohort.stratum.astype(np.intp), sizes)
    before = np.cumsum([0, *sizes])
    return int(before[-1]), np.stack([level + n for level, n in zip(levels, before, strict=False)], axis=1)


def _split(uniform: Floats, prob: float) -> tuple[Bools, Floats]:
    """Whether something of a chance happens, and where within its case the uniform lies: uniform again."""
    happens = uniform < prob
    rest = np.where(happens, uniform / prob, (uniform - prob) / max(1 - prob, 2**-53))
    return happens, np.minimum(rest, 1 - 2**-53)


def _favoured(score: Callable[[Counts], Counts], counts: Counts, favours: Bools) -> Counts:
    """One ticket for each part of lowest score, or for each of the others if luck is with them; for all if all tie."""
    scores = score(counts)
    has = (scores == scores.min(axis=0)) == favours
    has |= ~has.any(axis=0)
    return has.astype(np.int64)


def _lead(counts: Counts) -> Counts:
    """Efron 1971, doi:10.1093/biomet/58.3.403: how often each part has been given in the stratum."""
    return counts[:, 0]


def _imbalance(rule: Minimization, counts: Counts) -> Counts:
    """Total imbalance if the next were given each part: Pocock and Simon 1975, doi:10.2307/2529712; (parts, R).

    Of the variance only what differs between parts: a part given n times before adds 2mn to m sum n^2 - (sum n)^2, m
    the number of parts, and all else is the same whichever is given.
    """
    weights = np.array(rule.weights or [1] * len(rule.strata), dtype=np.int64)
    if rule.imbalance == "variance":
        return np.asarray(weights @ counts)
    one_more = np.eye(len(counts), dtype=np.int64)[:, :, None, None]
    after = counts + one_more  # (part given, parts, F, R)
    return np.asarray(weights @ (after.max(axis=1) - after.min(axis=1)))


def _balls(rule: Urn, counts: Counts, _: Bools) -> Counts:
    """Wei 1978 (J Am Stat Assoc 73): `balls` of each part, and `added` for each other part given in the stratum."""
    given = counts[:, 0]
    return rule.balls + rule.added * (given.sum(axis=0) - given)
