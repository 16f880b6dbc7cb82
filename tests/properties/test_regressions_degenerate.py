"""Whatever the data, a regression or two-sample test neither raises nor warns, and gives estimates or reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trialsim.analysis.fits import Comparison, Data, Means
from trialsim.analysis.regressions import ancova, counts, log_binomial, logistic
from trialsim.analysis.two_sample import arm_proportions, chi_squared, proportions, t_test

Array = NDArray[Any]
Model = Callable[[Data], Means]

WEIGHTED: dict[str, Model] = {
    "ancova": ancova,
    "ancova hc0": lambda data: ancova(data, variance="hc0"),
    "ancova hc3": lambda data: ancova(data, variance="hc3"),
    "logistic": logistic,
    "logistic robust": lambda data: logistic(data, variance="robust"),
    "log_binomial": log_binomial,
}
UNWEIGHTED: dict[str, Model] = {
    "negative_binomial": lambda data: counts(data, None, family="negative_binomial"),
    "quasi_poisson": lambda data: counts(data, np.abs(data.y) + 0.1, family="quasi_poisson"),
    "t_test": lambda data: t_test(data, equal_variance=True),
    "welch": lambda data: t_test(data, equal_variance=False),
    "arm_proportions": arm_proportions,
}
OUTCOMES = [
    "normal",
    "binary",
    "rare",
    "constant",
    "by arm",
    "counts",
    "huge",
    "tiny",
    "negative",
    "far from 0",
    "infinite",
]


@st.composite
def outcomes(draw: st.DrawFn, arm: Array, n_visits: int, rng: np.random.Generator) -> Array:
    shape = (len(arm), n_visits)
    kind = draw(st.sampled_from(OUTCOMES))
    y = {
        "normal": lambda: rng.normal(size=shape),
        "binary": lambda: (rng.random(shape) < draw(st.sampled_from([0.2, 0.5, 0.9]))) * 1.0,
        "rare": lambda: (rng.random(shape) < 0.05) * 1.0,
        "constant": lambda: np.full(shape, draw(st.sampled_from([0.0, 1.0, 1.1, 4.0]))),
        "by arm": lambda: np.repeat(arm[:, None] % 2.0, n_visits, axis=1),
        "counts": lambda: rng.negative_binomial(0.5, 0.1, shape) * 1.0,
        "huge": lambda: rng.random(shape) * 1e160,
        "tiny": lambda: rng.random(shape) * 1e-160,
        "negative": lambda: -np.ceil(3 * rng.random(shape)),
        "far from 0": lambda: 1e9 + rng.normal(size=shape),
        "infinite": lambda: np.where(rng.random(shape) < 0.02, np.inf, 1.0),
    }[kind]()
    y[rng.random(shape) >= draw(st.sampled_from([1.0, 0.9, 0.6, 0.2, 0.0]))] = np.nan
    return y


@st.composite
def a_covariate(draw: st.DrawFn, arm: Array, y: Array, before: list[Array], rng: np.random.Generator) -> Array:
    n = len(arm)
    choices = {
        "normal": rng.normal(size=n),
        "far from 0": 2000 + rng.normal(size=n),
        "binary": (rng.random(n) < 0.3) * 1.0,
        "constant": np.full(n, 0.1),
        "arm": (arm == 0) * 1.0,
        "outcome": y[:, 0],
        "seen outcome": np.nan_to_num(y[:, 0], posinf=2.0),
        "almost the outcome": np.nan_to_num(y[:, 0], posinf=2.0) + 1e-3 * rng.normal(size=n),
        "one person": np.arange(n) == n // 2,
        "heavy tail": np.exp(4 * rng.normal(size=n)),
        "huge": 1e200 * rng.normal(size=n),
        "tiny": 1e-200 * rng.normal(size=n),
        "again": before[0] * -3 + 1 if before else np.ones(n),
        "nearly again": before[0] + 1e-7 * rng.normal(size=n) if before else np.ones(n),
    }
    return choices[draw(st.sampled_from(list(choices)))]


@st.composite
def trials(draw: st.DrawFn) -> Data:
    n, n_arms, n_visits = draw(st.integers(1, 80)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    arm = rng.integers(0, n_arms, n)
    y = draw(outcomes(arm, n_visits, rng))
    columns: list[Array] = []
    for _ in range(draw(st.integers(0, 3))):
        columns.append(draw(a_covariate(arm, y, columns, rng)))
    n_clusters = draw(st.sampled_from([0, 1, 2, 6]))
    shared = (rng.random(n) < draw(st.sampled_from([0.5, 1.0]))) & (n_clusters > 0)
    weights = {
        "none": None,
        "some": rng.uniform(0.2, 5, y.shape),
        "far apart": np.exp(10 * rng.normal(size=y.shape)),
        "zero": np.round(rng.random(y.shape)),
        "broken": np.where(rng.random(y.shape) < 0.1, np.nan, 1.0),
    }[draw(st.sampled_from(["none", "none", "some", "far apart", "zero", "broken"]))]
    return Data(
        y=y,
        arm=arm,
        covariates=np.stack(columns, axis=1).astype(float) if columns else np.empty((n, 0)),
        cluster=np.where(shared, rng.integers(0, max(n_clusters, 1), n) * 5, -1),
        n_arms=n_arms,
        weights=weights,
    )


def check_means(means: Means, data: Data) -> None:
    n_arms, n_visits = data.n_arms, data.y.shape[1]
    cov = means.cov.reshape(n_arms, n_visits, n_arms, n_visits)
    for visit, reason in enumerate(means.reason):
        own = cov[:, visit, :, visit]
        numbers = (means.mean[:, visit], own)
        degrees = (means.df[..., visit], means.global_df[visit])
        if reason:
            assert all(np.isnan(values).all() for values in (*numbers, *degrees))
            continue
        assert all(np.isfinite(values).all() for values in numbers)
        assert all((values > 0).all() for values in degrees)
        assert (own == own.T).all()
        assert (np.diagonal(own) > 0).all()
        for a in range(n_arms):
            for b in range(a):
                assert own[a, a] + own[b, b] - 2 * own[a, b] > 1e-13 * (own[a, a] + own[b, b])
        assert (means.n_cell[:, visit] > 0).all()
    assert len(means.reason) == n_visits
    assert means.n_used == data.observed.any(axis=1).sum()


def check_alone(model: Model, means: Means, data: Data) -> None:
    """A visit says the same without the others."""
    n_visits = data.y.shape[1]
    last = n_visits - 1
    weights = None if data.weights is None else data.weights[:, [last]]
    alone = model(replace(data, y=data.y[:, [last]].copy(), weights=weights))
    assert alone.reason[0].replace("visit 0", f"visit {last}") == means.reason[last]
    np.testing.assert_allclose(alone.mean[:, 0], means.mean[:, last], rtol=1e-6, atol=1e-9)


def check_comparison(one: Comparison) -> None:
    assert one.reason is not None
    for values in (one.estimate, one.p_value, one.df):
        assert (np.isnan(values) == (one.reason != "")).all()
    assert not (one.std_error <= 0).any()
    assert not ((one.p_value < 0) | (one.p_value > 1)).any()
    if one.ci_low is not None and one.ci_high is not None:
        assert (np.isnan(one.ci_low) == (one.reason != "")).all()
        assert not (one.ci_low > one.estimate + 1e-12).any()
        assert not (one.ci_high < one.estimate - 1e-12).any()
    if one.global_p is not None:
        assert not ((one.global_p < 0) | (one.global_p > 1)).any()


@settings(max_examples=350, deadline=None)
@given(trials())
def test_degenerate_data_give_estimates_or_reasons(data: Data) -> None:
    for name, model in WEIGHTED.items():
        if not (name == "ancova" and data.weights is not None):
            check_means(model(data), data)
    plain = replace(data, weights=None)
    for model in UNWEIGHTED.values():
        check_means(model(plain), plain)
    pairs = tuple((a, b) for a in range(data.n_arms) for b in range(a))
    for one in [*proportions(plain, pairs), chi_squared(plain, pairs), chi_squared(plain, pairs, correction=True)]:
        assert one.estimate.shape == (len(pairs), data.y.shape[1])
        check_comparison(one)


@settings(max_examples=100, deadline=None)
@given(trials(), st.sampled_from(sorted(WEIGHTED)))
def test_visits_do_not_know_each_other(data: Data, name: str) -> None:
    check_alone(WEIGHTED[name], WEIGHTED[name](data), data)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_plain_trials_are_fitted(seed: int) -> None:
    """Not only failures."""
    rng = np.random.default_rng(seed)
    arm, x = np.arange(150) % 3, rng.normal(size=(150, 2))
    alone = np.full(150, -1)
    binary = Data((rng.random((150, 2)) < 0.3) * 1.0, arm, 0.1 * x, alone, 3)
    count = replace(binary, y=rng.negative_binomial(2, 0.4, (150, 2)) * 1.0)
    for name, model in (WEIGHTED | UNWEIGHTED).items():
        if name != "log_binomial":
            assert model(count if "arm" not in name and "logistic" not in name else binary).reason == ("", "")
    assert all(reason in ("", "a fitted risk of 1") for reason in log_binomial(binary).reason)
