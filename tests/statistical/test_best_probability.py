"""The probabilities of `best` are calibrated: of all that is said to be true with probability p, a share p is true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import Z
from numpy.typing import NDArray
from scipy.stats import norm

from trialsim.sweeps.best import judge, posterior
from trialsim.sweeps.questions import Constraint, Measured, Quantity

Floats = NDArray[np.float64]
POWER, COST = Quantity("power", ""), Quantity("counted", "cost")
LIMIT = Constraint(POWER, ">=", 0.4)
SWEEPS, POINTS, REPLICATES, DRAWS = 600, 4, 40, 800
ONE_SEED = ["1"] * POINTS
OWN_SEEDS = [str(k) for k in range(POINTS)]


@dataclass(frozen=True)
class Sweep:
    """True chances and mean costs (P,) of a made-up sweep, and what its replicates show, (P, R)."""

    power: Floats
    cost: Floats
    hits: Floats
    costs: Floats


def sweeps(*, shared: bool, seed: int = 1) -> Iterator[Sweep]:
    """True values from the vague priors: Jeffreys' for power, much wider than the error for cost.

    A replicate that wins tends to be a dear one, and shared luck makes it so in every point; then costs that lie
    closer together can be told apart.
    """
    luck = np.random.default_rng(seed)
    for _ in range(SWEEPS):
        power = luck.beta(0.5, 0.5, POINTS)
        cost = luck.normal(0.0, 0.3 if shared else 1.5, POINTS)
        common = luck.standard_normal((2, 1 if shared else POINTS, REPLICATES))
        own = luck.standard_normal((2, POINTS, REPLICATES))
        latent = np.sqrt(0.95) * common[0] + np.sqrt(0.05) * own[0]
        spread = 0.5 * latent + np.sqrt(0.75) * (np.sqrt(0.98) * common[1] + np.sqrt(0.02) * own[1])
        yield Sweep(power, cost, (latent < norm.ppf(power)[:, None]).astype(float), cost[:, None] + spread)


@dataclass(frozen=True)
class Stated:
    """What was said of a sweep, and whether it is so."""

    probability: list[float]
    true: list[bool]


def surprise(stated: Stated) -> float:
    """Standard errors by which the share of true statements differs from what was said. Statements that are thought
    more likely false are turned round, so that too much certainty shows as a negative number."""
    p, true = np.array(stated.probability), np.array(stated.true)
    likely = p >= 0.5
    p, true = np.where(likely, p, 1 - p), np.where(likely, true, ~true)
    return float((true - p).sum() / np.sqrt((p * (1 - p)).sum()))


def statements(made: Iterator[Sweep], *, seeds: list[str], copies: int = 1) -> tuple[Stated, Stated]:
    """That points keep the limit (one of each sweep where their luck is shared: then statements are independent), and
    that the chosen one is the cheapest that does. `copies` counts every replicate that often."""
    holds, cheapest = Stated([], []), Stated([], [])
    numbers = [np.arange(REPLICATES * copies, dtype=np.int32)] * POINTS
    for number, sweep in enumerate(made):
        found = [
            (Measured.chance(np.tile(hits, copies)), Measured.mean(np.tile(costs, copies)))
            for hits, costs in zip(sweep.hits, sweep.costs, strict=True)
        ]
        draws = posterior(found, numbers, seeds, n_draws=DRAWS, seed=number)
        plain = np.zeros(POINTS, dtype=bool)
        verdict = judge(found, draws, [POWER, COST], [LIMIT], ("min", COST), preferred=plain)
        kept = sweep.power >= LIMIT.limit
        for place in range(POINTS) if seeds == OWN_SEEDS else [number % POINTS]:
            holds.probability.append(float(verdict.all_hold[place]))
            holds.true.append(bool(kept[place]))
        if (chosen := verdict.chosen) is not None:
            least = np.where(kept, sweep.cost, np.inf).min()
            cheapest.probability.append(verdict.chance_best)
            cheapest.true.append(bool(kept[chosen] and sweep.cost[chosen] <= least))
    return holds, cheapest


@pytest.mark.parametrize("shared", [True, False], ids=["shared luck", "luck of their own"])
def test_stated_probabilities_come_true(shared: bool) -> None:
    found = statements(sweeps(shared=shared), seeds=ONE_SEED if shared else OWN_SEEDS)
    assert [abs(surprise(stated)) < Z for stated in found] == [True, True]
    assert len(found[1].true) > SWEEPS / 2


def test_counting_replicates_nine_times_is_too_sure() -> None:
    """A wrong world: replicates are not independent."""
    holds, cheapest = statements(sweeps(shared=False), seeds=OWN_SEEDS, copies=9)
    assert surprise(holds) < -Z
    assert surprise(cheapest) < -Z


def test_shared_luck_taken_for_independent_is_not_sure_enough() -> None:
    """A wrong world: points are compared as if each had luck of its own."""
    _, cheapest = statements(sweeps(shared=True), seeds=OWN_SEEDS)
    assert surprise(cheapest) > Z
