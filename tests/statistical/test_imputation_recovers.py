"""Multiple imputation where it must work (missing at random), and where it must not (missing not at random)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from trialsim.analysis.imputation import chained, joint_normal
from trialsim.analysis.rubin import pool

Array = NDArray[Any]
Z = 4.5
N, COPIES, REPLICATES, EFFECT = 100, 10, 500, 0.5
METHODS: dict[str, Callable[..., Array]] = {"joint_normal": joint_normal, "chained": chained}


class Dice:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape)

    def uniform(self, *shape: int) -> Array:
        return self.rng.random(shape)


@dataclass
class Results:
    """Of the arms' difference at the second visit, one per replicate."""

    complete_cases: Array
    estimate: Array
    std_error: Array
    df: Array
    within_only: Array  # standard error that forgets the variance between copies

    def covers(self, std_error: Array) -> Array:
        return np.abs(self.estimate - EFFECT) < t.ppf(0.975, self.df) * std_error


def trial(rng: np.random.Generator, depends_on: int) -> tuple[Array, Array, Array]:
    """Many miss visit 1: in arm 1 those with high, in arm 0 those with low outcome at visit `depends_on`.

    Of others, chosen first and by lot, visit 0 is missing: nobody's chance to miss visit 1 hangs on an unseen visit 0.
    """
    arm, x = np.arange(N) % 2, rng.normal(size=(N, 1))
    y = 0.7 * x + rng.normal(size=(N, 1)) + EFFECT * arm[:, None] + 0.7 * rng.normal(size=(N, 2))
    early = rng.random(N) < 0.15
    gone = ~early & (rng.random(N) < 1 / (1 + np.exp(0.2 - np.where(arm == 1, 1.5, -1.5) * y[:, depends_on])))
    y[gone, 1] = y[early, 0] = np.nan
    return y, arm, x


@cache
def results(method: str, depends_on: int, by_arm: bool) -> Results:
    rng, rows = np.random.default_rng(17), []
    for replicate in range(REPLICATES):
        y, arm, x = trial(rng, depends_on)
        seen = ~np.isnan(y[:, 1])
        design = np.column_stack([np.ones(N), arm, x])
        cases = np.linalg.lstsq(design[seen], y[seen, 1], rcond=None)[0][1]
        copies = METHODS[method](y, arm, x, n_arms=2, m=COPIES, by_arm=by_arm, luck=Dice(replicate))[..., 1].T
        inverse = np.linalg.inv(design.T @ design)
        coef = inverse @ design.T @ copies
        variance = ((copies - design @ coef) ** 2).sum(axis=0) / (N - 3) * inverse[1, 1]
        found = pool(coef[1][:, None], variance[:, None], N - 3)
        rows.append((cases, found.estimate[0], found.std_error[0], found.df[0], np.sqrt(variance.mean())))
    return Results(*np.array(rows).T)


def unbiased(estimates: Array) -> bool:
    return bool(abs(estimates.mean() - EFFECT) < Z * estimates.std(ddof=1) / np.sqrt(len(estimates)))


def has_95_percent(covered: Array) -> bool:
    return bool(abs(covered.mean() - 0.95) < Z * np.sqrt(0.95 * 0.05 / len(covered)))


@pytest.mark.parametrize(("method", "by_arm"), [("joint_normal", False), ("joint_normal", True), ("chained", False)])
def test_missing_at_random_is_made_good(method: str, by_arm: bool) -> None:
    at_random = results(method, 0, by_arm)
    assert not unbiased(at_random.complete_cases)
    assert unbiased(at_random.estimate)
    assert has_95_percent(at_random.covers(at_random.std_error))
    assert not has_95_percent(at_random.covers(at_random.within_only))


@pytest.mark.parametrize("method", METHODS)
def test_missing_not_at_random_is_not(method: str) -> None:
    assert not unbiased(results(method, 1, False).estimate)
