"""Whatever the data: numbers or a FitError, no warnings (they are errors), no other exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trialsim.analysis.fits import FitError
from trialsim.analysis.imputation import chained, joint_normal
from trialsim.analysis.pattern_mixture import impute_change
from trialsim.analysis.reference_based import delta_adjusted, reference_based
from trialsim.analysis.response_weights import inverse_probability_weights, response_weights

Array = NDArray[Any]
M = 3


class Dice:
    """Luck with some of its rarest numbers."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape)

    def uniform(self, *shape: int) -> Array:
        draws = self.rng.random(shape)
        draws.reshape(-1)[:1] = self.rng.choice([0.0, 1.0, 0.5])
        return draws


def some_outcomes(kind: str, y: Array, arm: Array) -> Array:
    return {
        "usual": y,
        "constant": np.full_like(y, 0.1),
        "by arm": np.repeat(arm[:, None] * 1.5, y.shape[1], axis=1),
        "binary": (y > 1).astype(float),
        "again": np.repeat(y[:, :1], y.shape[1], axis=1),
        "nearly again": y[:, :1] + 1e-9 * y,
        "huge": 1e160 * y,
        "largest": 1e308 * np.sign(y),
        "tiny": 1e-200 * y,
        "far from 0": 1e9 + y,
        "infinite": np.where(y > 1.5, np.inf, y),
        "one outlier": y + 1e12 * (np.arange(y.size).reshape(y.shape) == 0),
    }[kind]


def a_covariate(kind: str, rng: np.random.Generator, arm: Array, y: Array) -> Array:
    n = len(arm)
    return {
        "usual": rng.normal(size=n),
        "rare": (rng.random(n) < 0.05).astype(float),
        "constant": np.full(n, 0.1),
        "zero": np.zeros(n),
        "arm": (arm == 0).astype(float),
        "outcome": y[:, 0],
        "heavy tail": np.exp(4 * rng.normal(size=n)),
        "huge": 1e200 * rng.normal(size=n),
        "tiny": 1e-200 * rng.normal(size=n),
        "missing": np.full(n, np.nan),
    }[kind]


OUTCOMES = [
    "usual",
    "constant",
    "by arm",
    "binary",
    "again",
    "nearly again",
    "huge",
    "largest",
    "tiny",
    "far from 0",
    "infinite",
    "one outlier",
]
COVARIATES = ["usual", "rare", "constant", "zero", "arm", "outcome", "heavy tail", "huge", "tiny", "missing"]
MISSING = ["none", "some", "much", "all", "monotone", "arm", "visit", "disjoint", "one left"]


def some_missing(kind: str, rng: np.random.Generator, shape: tuple[int, int], arm: Array) -> Array:
    visit = np.arange(shape[1])
    return {
        "none": np.zeros(shape, dtype=bool),
        "some": rng.random(shape) < 0.2,
        "much": rng.random(shape) < 0.7,
        "all": np.ones(shape, dtype=bool),
        "monotone": np.cumsum(rng.random(shape) < 0.15, axis=1) > 0,
        "arm": np.repeat((arm == 0)[:, None], shape[1], axis=1),
        "visit": np.repeat(visit[None] == 0, shape[0], axis=0),
        "disjoint": (np.arange(shape[0])[:, None] + visit) % shape[1] > 0,
        "one left": np.arange(shape[0])[:, None] + 0 * visit > 0,
    }[kind]


@st.composite
def replicates(draw: st.DrawFn) -> tuple[Array, Array, Array, int]:
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    n, n_arms, n_visits = (
        draw(st.sampled_from([1, 2, 5, 20, 80, 200])),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
    )
    arm = rng.integers(0, n_arms, size=n)
    y = rng.normal(size=(n, 1)) + rng.normal(size=(n, n_visits))
    kinds = draw(st.lists(st.sampled_from(COVARIATES), max_size=3))
    x = np.array([a_covariate(kind, rng, arm, y) for kind in kinds]).reshape(len(kinds), n).T
    gone = some_missing(draw(st.sampled_from(MISSING)), rng, y.shape, arm)
    return np.where(gone, np.nan, some_outcomes(draw(st.sampled_from(OUTCOMES)), y, arm)), arm, x, n_arms


def completes(copies: Array, y: Array) -> None:
    seen = ~np.isnan(y)
    assert copies.shape == (M, *y.shape)
    np.testing.assert_array_equal(copies[:, seen], np.repeat(y[seen][None], M, axis=0))
    if not seen.all():
        assert np.isfinite(copies).all()
        assert (copies[0][~seen] != copies[1][~seen]).all()


def attempt(make: Callable[[], Array]) -> Array | None:
    try:
        return make()
    except FitError:
        return None


@pytest.mark.parametrize("method", [joint_normal, chained])
@settings(max_examples=150)
@given(data=replicates(), by_arm=st.booleans(), seed=st.integers(0, 50))
def test_imputation(method: Any, data: tuple[Array, Array, Array, int], by_arm: bool, seed: int) -> None:
    y, arm, x, n_arms = data
    copies = attempt(lambda: method(y, arm, x, n_arms=n_arms, m=M, by_arm=by_arm, luck=Dice(seed)))
    if copies is not None:
        completes(copies, y)


@settings(max_examples=150)
@given(
    data=replicates(),
    method=st.sampled_from(["jump", "copy_reference", "copy_increment"]),
    common=st.booleans(),
    never=st.booleans(),
    seed=st.integers(0, 50),
)
def test_reference_based(
    data: tuple[Array, Array, Array, int], method: Any, common: bool, never: bool, seed: int
) -> None:
    y, arm, x, n_arms = data
    deviation = np.random.default_rng(seed).integers(0, y.shape[1] + 1, size=len(y))
    deviation = np.full_like(deviation, y.shape[1]) if never else np.maximum(deviation, y.shape[1] - 1)
    options: dict[str, Any] = {"n_arms": n_arms, "reference": 0, "method": method, "deviation": deviation}
    copies = attempt(lambda: reference_based(y, arm, x, m=M, luck=Dice(seed), common_covariance=common, **options))
    if copies is not None:
        completes(copies, y)
        completes(delta_adjusted(copies, y, arm, np.ones(n_arms)), y)


@settings(max_examples=300)
@given(data=replicates())
def test_pattern_mixture(data: tuple[Array, Array, Array, int]) -> None:
    y, arm, x, n_arms = data
    found = attempt(lambda: impute_change(y, arm, n_arms=n_arms, covariates=x))
    if found is not None:
        seen = ~np.isnan(y)
        np.testing.assert_array_equal(np.isfinite(found), np.repeat(seen.any(axis=1)[:, None], y.shape[1], axis=1))
        np.testing.assert_array_equal(found[seen], y[seen])


@settings(max_examples=300)
@given(data=replicates(), by_arm=st.booleans(), history=st.booleans(), trim=st.sampled_from([None, (0.01, 0.99)]))
def test_weights(data: tuple[Array, Array, Array, int], by_arm: bool, history: bool, trim: Any) -> None:
    y, arm, x, n_arms = data
    observed, responded = ~np.isnan(y), ~np.isnan(y).all(axis=1)
    found = attempt(lambda: response_weights(responded, x, arm, n_arms=n_arms, by_arm=by_arm, trim=trim))
    if found is not None:
        np.testing.assert_array_equal(np.isnan(found), ~responded)
        assert (found[responded] > 0).all()
        np.testing.assert_allclose(found[responded].mean(), 1)
    options: dict[str, Any] = {"n_arms": n_arms, "history": history, "by_arm": by_arm}
    found = attempt(lambda: inverse_probability_weights(observed, arm, x, y, **options))
    if found is not None:
        np.testing.assert_array_equal(np.isnan(found), ~observed)
        assert (found[observed] >= 1).all()
        assert np.isfinite(found[observed]).all()
