"""MMRM: whatever the data, there is a finite answer or a reason, never a warning (warnings are errors) or a crash."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trialsim.analysis.fits import Data, FitError, Means
from trialsim.analysis.mmrm import fit_mmrm, mmrm

Array = NDArray[Any]
DF = ["kenward_roger", "satterthwaite", "residual"]


@st.composite
def outcomes(draw: st.DrawFn, arm: Array, n_visits: int, rng: np.random.Generator) -> Array:
    shape = (len(arm), n_visits)
    noise = rng.normal(size=shape)
    choices = {
        "random": noise,
        "correlated": noise[:, :1] + 0.1 * noise,
        "nearly the same": noise[:, :1] + 1e-5 * noise,
        "the same": np.repeat(noise[:, :1], n_visits, axis=1),
        "constant": np.full(shape, 1.1),
        "by arm": np.repeat(arm[:, None] * 1.1, n_visits, axis=1),
        "constant at a visit": np.where(np.arange(n_visits) == n_visits - 1, 0.1, noise),
        "binary": (noise > 1) * 1.0,
        "linear": noise[:, :1] * np.arange(1, n_visits + 1),
        "far from 0": 1e9 + noise,
        "rounding": 1e16 + noise,
        "huge": 1e160 * noise,
        "largest": 1e307 * noise,
        "tiny": 1e-160 * noise,
        "of other sizes": noise * 10.0 ** (6 * np.arange(n_visits)),
        "heavy tail": np.exp(6 * noise),
        "infinite": np.where(noise > 2, np.inf, noise),
    }
    return choices[draw(st.sampled_from(list(choices)))]


@st.composite
def a_covariate(draw: st.DrawFn, arm: Array, y: Array, before: list[Array], rng: np.random.Generator) -> Array:
    n = len(arm)
    choices = {
        "normal": rng.normal(size=n),
        "far from 0": 2000 + rng.normal(size=n),
        "binary": (rng.random(n) < 0.3).astype(float),
        "constant": np.full(n, 0.1),
        "zero": np.zeros(n),
        "arm": (arm == 0).astype(float),
        "outcome": np.nan_to_num(y[:, 0], posinf=0.0),
        "heavy tail": np.exp(4 * rng.normal(size=n)),
        "huge": 1e200 * rng.normal(size=n),
        "tiny": 1e-200 * rng.normal(size=n),
        "missing": np.full(n, np.nan),
        "one differs": (np.arange(n) == 0) * 1.0,
        "again": before[0] * -3 + 1 if before else np.ones(n),
        "nearly again": before[0] + 1e-7 * rng.normal(size=n) if before else np.ones(n),
    }
    return choices[draw(st.sampled_from(list(choices)))]


@st.composite
def replicates(draw: st.DrawFn) -> Data:
    n = draw(st.one_of(st.integers(9, 80), st.integers(0, 8)))
    n_arms, n_visits = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    arm = rng.integers(0, n_arms, n)
    if draw(st.integers(0, 7)) == 7:
        arm = np.where(arm == n_arms - 1, 0, arm)
    y = draw(outcomes(arm, n_visits, rng))
    covariates: list[Array] = []
    for _ in range(draw(st.integers(0, 2))):
        covariates.append(draw(a_covariate(arm, y, covariates, rng)))
    y = np.where(rng.random(y.shape) < draw(st.sampled_from([1.0, 0.9, 0.7, 0.4, 0.1, 0.0])), y, np.nan)
    if draw(st.booleans()):
        y[np.cumsum(np.isnan(y), axis=1) > 0] = np.nan
    x = np.stack(covariates, axis=1) if covariates else np.empty((n, 0))
    return Data(y, arm, x, np.full(n, -1), n_arms)


def outcome(data: Data, **options: Any) -> Means | str:
    try:
        return mmrm(data, **options)
    except FitError as error:
        return str(error)


def check(means: Means, data: Data) -> None:
    assert means.reason == ("",) * data.y.shape[1]
    assert np.isfinite(means.mean).all()
    assert np.isfinite(means.cov).all()
    assert (means.cov.diagonal() > 0).all()
    np.testing.assert_array_equal(means.cov, means.cov.T)
    unit = np.sqrt(means.cov.diagonal())
    assert np.linalg.eigvalsh(means.cov / unit / unit[:, None])[0] > -1e-12
    assert np.isfinite(means.df).all()
    assert (means.df > 0).all()
    np.testing.assert_allclose(means.df, means.df.swapaxes(0, 1), rtol=1e-8)
    if data.n_arms > 1:
        assert (means.global_df > 0).all()
    assert means.n_cell.sum() == data.observed.sum()
    assert (means.n_cell > 0).all()


@settings(max_examples=400, deadline=None)
@given(
    replicates(),
    st.sampled_from(DF),
    st.sampled_from(["unstructured", "compound_symmetry"]),
    st.sampled_from([False, True]),
)
def test_a_finite_answer_or_a_reason(data: Data, df: str, covariance: str, by_visit: bool) -> None:
    options = {"df": df, "covariance": covariance, "covariates_by_visit": by_visit}
    found = outcome(data, **options)
    again = outcome(data, **options)
    if isinstance(found, str):
        assert found == again
        assert found == found.lower()
        assert found
    else:
        assert isinstance(again, Means)
        np.testing.assert_array_equal(found.cov, again.cov)
        check(found, data)
        check_other_unit(data, found, options)


def check_other_unit(data: Data, found: Means, options: dict[str, Any]) -> None:
    """A number made of rounding errors would not follow the unit of the outcome."""
    if np.nanmax(np.abs(data.y)) > 1e100:
        return
    other = mmrm(replace(data, y=3 * data.y), **options)
    np.testing.assert_allclose(other.cov, 9 * found.cov, rtol=1e-4, atol=1e-6 * 9 * found.cov.diagonal().max())
    np.testing.assert_allclose(other.df, found.df, rtol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(DF), st.integers(1, 3), st.integers(1, 4))
def test_ordinary_data_are_fitted(seed: int, df: str, n_arms: int, n_visits: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(60, 1)) + rng.normal(size=(60, n_visits))
    y[rng.random(y.shape) < 0.1] = np.nan
    data = Data(y, np.arange(60) % n_arms, rng.normal(size=(60, 2)), np.full(60, -1), n_arms)
    check(mmrm(data, df=df), data)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------- each by its reason


def plain(n: int = 30, n_arms: int = 2, n_visits: int = 3, n_covariates: int = 2) -> Data:
    rng = np.random.default_rng(8)
    y = rng.normal(size=(n, 1)) + rng.normal(size=(n, n_visits))
    return Data(y, np.arange(n) % n_arms, rng.normal(size=(n, n_covariates)), np.full(n, -1), n_arms)


def set_y(where: Any, value: Any, data: Data | None = None) -> Data:
    data = data or plain()
    y = data.y.copy()
    y[where] = value
    return replace(data, y=y)


def set_x(column: Any) -> Data:
    data = plain()
    return replace(data, covariates=np.column_stack([data.covariates[:, 0], column]))


ODD = np.arange(30) % 2 == 1
FIRST = np.arange(30) < 15
X = plain().covariates[:, 0]
REASONS = {
    "no observations in arm 1": set_y(ODD, np.nan),
    "no observations in arm 1 at visit 2": set_y((ODD, 2), np.nan),
    "no observations in arm 0 at visit 0": set_y((slice(None), 0), np.nan),
    "no observations in arm 0": set_y(slice(None), np.nan),
    "too few observations at visit 1": set_y((slice(0, 28), 1), np.nan),
    "fewer participants than parameters": plain(n=4),
    "visits 0 and 2 are never observed in the same participant": set_y((~FIRST, 2), np.nan, set_y((FIRST, 0), np.nan)),
    "an observed outcome is not finite": set_y((3, 1), np.inf),
    "an observed outcome is too large": set_y((slice(2), 0), [1.7e308, -1.7e308]),
    "a covariate is not finite": set_x(np.where(ODD, X, np.nan)),
    "a covariate is too large": set_x(np.where(FIRST, 1.7e308, -1.7e308)),
    "covariates are collinear": set_x(2 * X - 3),
    "no variation in the outcome": set_y(slice(None), 2.0),
    "no variation at visit 1": set_y((slice(None), 1), 0.1),
    "residual covariance is singular": set_y((slice(None), 2), plain().y[:, 0] + plain().y[:, 1]),
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("df", DF)
def test_reason(reason: str, df: str) -> None:
    assert outcome(REASONS[reason], df=df) == reason


@pytest.mark.parametrize("column", [np.ones(30), np.full(30, 0.1), ODD * 1.0, X + 1e-9 * ODD, np.zeros(30)])
def test_collinear_covariates(column: Array) -> None:
    assert outcome(set_x(column)) == "covariates are collinear"
    assert outcome(set_x(column), covariates_by_visit=True) == "covariates are collinear"


def test_a_covariate_that_is_collinear_at_one_visit_only() -> None:
    data = set_y((slice(2, None, 2), 2), np.nan, set_x((np.arange(30) == 4) * 1.0))
    assert isinstance(outcome(data), Means)
    assert outcome(data, covariates_by_visit=True) == "covariates are collinear"


def test_a_constant_cell_is_no_failure() -> None:
    """The variance is that of both arms."""
    check(mmrm(set_y((ODD, 1), 5.0)), plain())


def test_an_unbounded_likelihood_is_a_singular_covariance() -> None:
    """Fewer participants with the last two visits than coefficients: some Sigma fits them without error."""
    data = set_y((slice(4, None), 3), np.nan, plain(n_visits=4))
    assert outcome(data) == "residual covariance is singular"


def test_participants_without_observations_count_for_nothing() -> None:
    data = set_y(slice(5), np.nan)
    covariates = data.covariates.copy()
    covariates[:5] = np.nan
    kept = Data(data.y[5:], data.arm[5:], data.covariates[5:], data.cluster[5:], 2)
    with_them, without = mmrm(replace(data, covariates=covariates)), mmrm(kept)
    assert with_them.n_used == without.n_used == 25
    np.testing.assert_array_equal(with_them.cov, without.cov)


def test_weights_too_many_visits_and_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown degrees of freedom: kr"):
        mmrm(plain(), df="kr")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown covariance: ar1"):
        fit_mmrm(plain(), covariance="ar1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no weights"):
        mmrm(replace(plain(), weights=np.ones((30, 3))))
    with pytest.raises(ValueError, match="at most 50 visits"):
        fit_mmrm(plain(n_visits=51))
