"""Does the search's 95 % interval hold the truth 95 % of the time, at the cost that theory allows?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from helpers import agrees, se_of_mean, se_of_share

from trialsim.experiments.closed_forms import means_power, means_size, risk_ratio_power, risk_ratio_size, risks_power
from trialsim.experiments.closed_forms import size_for as solve
from trialsim.experiments.search import Answer, Scale, find

R = 150


@dataclass(frozen=True)
class Case:
    """A curve, where it crosses, and how it is searched."""

    power: Callable[[float], float]
    truth: float
    target: float
    start: float
    low: float = 4
    high: float | None = None
    integer: bool = True
    increasing: bool = True
    scale: Scale = "sqrt"


def t_test(n: float, d: float) -> float:
    return means_power(d, 1, n, n)


def two_risks(n: float) -> float:
    """15 against 22.5 %, 80 % of those randomized seen."""
    return risks_power(0.15, 0.225, 0.8 * n, 0.8 * n, pooled=True)


def two_risks_ratio(n: float) -> float:
    return risk_ratio_power(0.15, 0.225, 0.8 * n, 0.8 * n)


def lost(share: float) -> float:
    return means_power(0.5, 1, 80 * (1 - share), 80 * (1 - share))


CASES = {
    "t-test-64": Case(partial(t_test, d=0.5), 63.76561, 0.8, 20),
    "t-test-235": Case(partial(t_test, d=0.3), 234.46274, 0.9, 100),
    "two-risks": Case(two_risks, solve(two_risks, 0.9, low=5), 0.9, 400),
    "risk-ratio": Case(two_risks_ratio, risk_ratio_size(0.15, 0.225, 0.9) / 0.8, 0.9, 1_000),
    "lost-to-follow-up": Case(lost, 1 - 63.76561 / 80, 0.8, 0.3, 0.0, 0.7, False, False, "linear"),
}


def search(case: Case, seed: int, *, factor: float = 1.0, **changes: Any) -> Answer:
    """In a world where numbers count `factor` times as much as the truth says."""
    rng = np.random.default_rng([7, seed])
    return find(
        lambda x, first, n: (int(rng.binomial(n, case.power(x * factor))), n),
        target=case.target,
        low=case.low,
        high=case.high,
        start=case.start,
        integer=case.integer,
        increasing=case.increasing,
        scale=case.scale,
        **{"max_replicates": 20_000, "mcse": 0.01, **changes},
    )


@cache
def searches(name: str, factor: float = 1.0) -> list[Answer]:
    return [search(CASES[name], seed, factor=factor) for seed in range(R)]


def coverage(name: str, answers: list[Answer]) -> float:
    return float(np.mean([a.ci_low <= CASES[name].truth <= a.ci_high for a in answers]))


@pytest.mark.parametrize("name", CASES)
def test_the_interval_holds_the_truth(name: str) -> None:
    assert {a.stopped for a in searches(name)} == {"mcse reached"}
    assert agrees(coverage(name, searches(name)), 0.95, se_of_share(0.95, R))


@pytest.mark.parametrize("name", ["t-test-64"])
def test_in_a_world_that_is_ten_per_cent_different_it_does_not(name: str) -> None:
    assert not agrees(coverage(name, searches(name, 0.9)), 0.95, se_of_share(0.95, R))


@pytest.mark.parametrize("name", CASES)
def test_power_at_the_crossing_is_the_target(name: str) -> None:
    case = CASES[name]
    power = np.array([case.power(a.x_hat) for a in searches(name)])
    assert agrees(power.mean(), case.target, se_of_mean(power))
    # the error told is the error made; a standard deviation of R values has relative error 1 / sqrt(2 R)
    told = math.sqrt(np.mean([a.power_at.mcse**2 for a in searches(name)]))
    assert abs(power.std(ddof=1) / told - 1) < 4.5 / math.sqrt(2 * R)
    wrong = np.array([case.power(a.x_hat) for a in searches("t-test-64", 0.9)]) if name == "t-test-64" else power + 0.02
    assert not agrees(wrong.mean(), case.target, se_of_mean(wrong))


@pytest.mark.parametrize("name", CASES)
def test_the_cost_is_near_the_least_possible(name: str) -> None:
    case = CASES[name]
    least = case.target * (1 - case.target) / 0.01**2
    cost = np.array([a.n_replicates for a in searches(name)])
    assert cost.mean() < 1.3 * least + 6 * 64 + 2 * 256
    assert cost.max() < 2 * least + 1_000


@pytest.mark.parametrize(
    ("name", "size"), [("t-test-64", means_size(0.5, 1, 0.8)), ("t-test-235", means_size(0.3, 1, 0.9))], ids=str
)
def test_the_published_sizes_at_full_precision(name: str, size: float) -> None:
    """64 and 235 per arm, within the interval; at most 6,000 replicates for 90 % power."""
    for seed in range(5):
        answer = search(CASES[name], 1_000 + seed, mcse=0.005)
        assert answer.ci_low - 4 < size < answer.ci_high + 4  # five intervals of 95 %
        assert abs(CASES[name].power(answer.x_hat) - CASES[name].target) < 4.5 * 0.005
        assert answer.n_replicates < (6_000 if name == "t-test-235" else 8_500)
