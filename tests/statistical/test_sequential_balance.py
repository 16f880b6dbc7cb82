"""Minimization, biased coin and urn: the ratio at every position, balance, and what theory says of the imbalance."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import Data, design, usual
from helpers import agrees, run, se_of_share
from numpy.typing import NDArray

from trialsim.block import Block

Arms = NDArray[np.int8]
Counts = NDArray[np.int64]
N, R = 60, 1_600
SITES: Data = {"sites": {name: {"rate_per_month": 20.0} for name in ("north", "south", "west")}}
FACTORS: list[Any] = ["site", "female", {"outcome": "pain", "at_least": 6.5}]


@cache
def allocated(kind: str, *, a: int = 1, b: int = 1, n: int = N, replicates: int = R, strata: bool = True) -> Block:
    """Trials at three sites, allocated by a rule with its usual settings."""
    more: Data = {} if kind == "simple" or not strata else {"strata": FACTORS}
    return with_allocation({"kind": kind, **more}, a=a, b=b, n=n, replicates=replicates)


def with_allocation(allocation: Data, *, a: int = 1, b: int = 1, n: int = N, replicates: int = R) -> Block:
    return run(
        design(
            sample_size=n,
            arms={"a": usual(), "b": usual()},
            recruitment=SITES,
            covariates={"female": {"kind": "binary", "prob": 0.7}},
            allocation={"ratio": {"a": a, "b": b}, **allocation},
        ),
        n=replicates,
    )


def in_ratio_at_every_position(arm: Arms, share: float) -> bool:
    """Whether, whoever is randomized as number i, arm a has its share of the ratio; over replicates."""
    return agrees((arm == 0).mean(axis=1), share, se_of_share(share, arm.shape[1]))


def naive_minimization(ratio: tuple[int, int], n: int, replicates: int) -> Arms:
    """A wrong world: the arm that brings counts divided by the ratio nearest together has chance 0.8."""
    luck = np.random.default_rng(1).random((n, replicates))
    parts, counts = np.array(ratio, dtype=float), np.zeros((2, replicates))
    arm = np.zeros((n, replicates), dtype=np.int8)
    for i in range(n):
        gaps = []
        for given in (0, 1):
            after = counts.copy()
            after[given] += 1
            gaps.append(abs(after[0] / parts[0] - after[1] / parts[1]))
        chance_of_a = np.where(gaps[0] < gaps[1], 0.8, np.where(gaps[0] > gaps[1], 0.2, parts[0] / parts.sum()))
        arm[i] = luck[i] >= chance_of_a
        counts[arm[i], np.arange(replicates)] += 1
    return arm


@pytest.mark.parametrize("kind", ["minimization", "biased_coin", "urn"])
def test_the_ratio_holds_at_every_position_of_the_sequence(kind: str) -> None:
    """Also where it is not 1:1, which minimization by counts over ratio fails: it foretells the first participants."""
    assert in_ratio_at_every_position(allocated(kind, a=2).histories.arm, 2 / 3)
    assert in_ratio_at_every_position(allocated(kind).histories.arm, 1 / 2)
    naive = naive_minimization((2, 1), N, R)
    assert abs((naive == 0).mean() - 2 / 3) < 0.02, "on average even the naive rule is in ratio"
    assert not in_ratio_at_every_position(naive, 2 / 3)


def gaps_within(block: Block) -> dict[str, NDArray[np.float64]]:
    """Variance over replicates of (number in a) - (number in b) within each level, per participant of the level."""
    cohort, sign = block.plan.cohort, np.where(block.histories.arm == 0, 1, -1)
    levels = {f"site {site}": cohort.site == site for site in range(3)}
    levels |= {"women": cohort.covariates["female"] == 1, "high": cohort.baseline[0] >= 65}
    return {
        name: np.square((sign * mine).sum(axis=0)) / np.maximum(mine.sum(axis=0), 1) for name, mine in levels.items()
    }


@pytest.mark.parametrize("imbalance", ["range", "variance"])
def test_minimization_balances_every_site_and_factor(imbalance: str) -> None:
    """By chance alone the mean is 1. Minimization leaves a fraction, within each site as much as over the factors."""
    plan = {"kind": "minimization", "strata": FACTORS, "imbalance": imbalance}
    for name, gaps in gaps_within(with_allocation(plan, n=120, replicates=320)).items():
        assert gaps.mean() < 0.35, name
    for name, gaps in gaps_within(allocated("simple", n=120, replicates=320)).items():
        assert agrees(gaps.mean(), 1, gaps.std(ddof=1) / np.sqrt(len(gaps))), name
    blind = gaps_within(with_allocation({**plan, "strata": ["female"]}, n=120, replicates=320))
    assert blind["women"].mean() < 0.35 < blind["site 0"].mean(), "what is not a factor is left to chance"


def test_minimization_leaves_to_chance_what_it_does_not_know() -> None:
    """Motivation differs between arms by chance alone: no more, no less."""
    block = allocated("minimization")
    sign = np.where(block.histories.arm == 0, 1, -1)
    gap = (sign * block.plan.cohort.motivation).sum(axis=0) / np.sqrt(N)
    assert agrees(gap.mean(), 0, 1 / np.sqrt(R))
    assert agrees(gap.var(ddof=1), 1, np.sqrt(2 / R))


def limiting_imbalance(p: float, most: int) -> NDArray[np.float64]:
    """P(|difference| = 0, 2, 4 ...) after many participants, an even number of them: Efron 1971, with r = p / (1 - p).

    (r - 1) / r for 0, and (r^2 - 1) / r^(2k + 1) for 2k.
    """
    r = p / (1 - p)
    return np.array([(r - 1) / r, *((r**2 - 1) / r ** (2 * k + 1) for k in range(1, most))])


def test_efron_s_coin_reaches_its_limiting_imbalance() -> None:
    replicates = 6_400
    coin = {"kind": "biased_coin", "coin_prob": 2 / 3}
    arm = with_allocation(coin, n=60, replicates=replicates).histories.arm
    difference = np.abs(np.where(arm == 0, 1, -1).sum(axis=0))
    found = np.array([(difference == 2 * k).mean() for k in range(4)])
    expected = limiting_imbalance(2 / 3, 4)
    assert expected[:3].tolist() == pytest.approx([1 / 2, 3 / 8, 3 / 32])
    assert agrees(found, expected, se_of_share(expected, replicates))
    assert not agrees(found, limiting_imbalance(0.62, 4), se_of_share(expected, replicates))


def urn_variance(balls: int, added: int, n: int) -> float:
    """Variance of the difference after n: the chance of a is (balls + added n_b) / (2 balls + added (n_a + n_b)).

    So E[D'^2 | D] = D^2 (1 - 2 added / (2 balls + added n)) + 1; for many participants it tends to n / 3 (Wei 1978).
    """
    variance = 0.0
    for before in range(n):
        variance = variance * (1 - 2 * added / (2 * balls + added * before)) + 1
    return variance


@pytest.mark.parametrize(("balls", "added"), [(1, 1), (20, 1)])
def test_the_urn_s_imbalance_varies_as_wei_found(balls: int, added: int) -> None:
    replicates, n = 3_200, 60
    arm = with_allocation({"kind": "urn", "balls": balls, "added": added}, n=n, replicates=replicates).histories.arm
    squares = np.square(np.where(arm == 0, 1, -1).sum(axis=0), dtype=float)
    error = squares.std(ddof=1) / np.sqrt(replicates)
    assert agrees(squares.mean(), urn_variance(balls, added, n), error)
    assert not agrees(squares.mean(), n, error), "a fair coin"
    assert urn_variance(balls, added, 100_000) == pytest.approx(100_000 / 3, rel=0.001)
