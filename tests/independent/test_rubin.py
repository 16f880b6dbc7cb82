"""Rubin's rules against R's mice, and pooling of `Means` against pooling one contrast at a time.

R 4.2.2, mice 3.15.0:

    Q <- c(0.52, 0.61, 0.48, 0.70, 0.55); U <- c(0.040, 0.043, 0.039, 0.041, 0.045)
    for (n in c(60, Inf)) { p <- pool.scalar(Q, U, n = n, k = 4); cat(sprintf("%.12g", c(p$qbar, p$t, p$df, p$r, p$fmi))) }

(mitools::MIcombine 2.4 gives df 33.964 for n = 60: it leaves the factor 1 + 1/m out of lambda in nu_obs, which Barnard
and Rubin have.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trialsim.analysis.fits import Means
from trialsim.analysis.rubin import pool, pool_means

Q = np.array([0.52, 0.61, 0.48, 0.70, 0.55])
U = np.array([0.040, 0.043, 0.039, 0.041, 0.045])
MICE = {  # complete-data df: qbar, t, df, r, fmi
    56.0: (0.572, 0.050444, 33.2249923873, 0.212596153846, 0.220853954214),
    np.inf: (0.572, 0.050444, 130.13123683, 0.212596153846, 0.187712061839),
}


def test_pooled_numbers_are_those_of_mice() -> None:
    found = pool(np.column_stack([Q, Q]), np.column_stack([U, U]), np.array(list(MICE)))
    ours = np.column_stack(
        [found.estimate, found.std_error**2, found.df, found.relative_increase, found.fraction_missing]
    )
    np.testing.assert_allclose(ours, list(MICE.values()), rtol=2e-11)
    wrong = pool(np.column_stack([Q, Q]), np.column_stack([U, U * 1.001]), np.array(list(MICE)))
    assert not np.allclose(wrong.df, found.df, rtol=1e-6)


def test_without_variance_between_copies_the_df_are_the_observed_data_df() -> None:
    found = pool(np.full((3, 2), 1.5), np.full((3, 2), 0.04), np.array([20.0, np.inf]))
    np.testing.assert_allclose(found.std_error, 0.2)
    np.testing.assert_allclose(found.df, [20 * 21 / 23, np.inf])
    np.testing.assert_allclose(found.fraction_missing, [2 / (20 * 21 / 23 + 3), 0.0])
    np.testing.assert_array_equal(found.relative_increase, 0.0)


@pytest.mark.parametrize("variance", [0.0, -1.0, np.nan, np.inf])
def test_a_variance_that_is_none_gives_no_number(variance: float) -> None:
    variances = np.ones((3, 2))
    variances[1, 0] = variance
    found = pool(np.arange(6.0).reshape(3, 2), variances)
    for part in (found.estimate, found.std_error, found.df, found.fraction_missing, found.relative_increase):
        assert np.isnan(part[0])
        assert np.isfinite(part[1])


def test_one_copy_cannot_be_pooled() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        pool(np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="at least 2"):
        pool_means([a_fit(0)])


N_ARMS, N_VISITS = 3, 2


def a_fit(copy: int, **changes: Any) -> Means:
    rng = np.random.default_rng(copy)
    root = rng.normal(size=(N_ARMS * N_VISITS, 8)) / 10
    df = 40 + 5 * rng.random((N_ARMS, N_ARMS, N_VISITS))
    parts: dict[str, Any] = {
        "link": "identity",
        "mean": rng.normal(size=(N_ARMS, N_VISITS)) / 20,
        "cov": root @ root.T + 0.05 * np.eye(len(root)),
        "df": (df + df.swapaxes(0, 1)) / 2,
        "global_df": np.array([1000.0, 12.0]),
        "n_cell": np.full((N_ARMS, N_VISITS), 20),
        "n_used": 60,
        "reason": ("", ""),
    }
    return Means(**{**parts, **changes})


FITS = [a_fit(copy) for copy in range(5)]


def test_the_covariance_is_within_plus_between() -> None:
    pooled = pool_means(FITS)
    means = np.array([fit.mean.ravel() for fit in FITS])
    np.testing.assert_allclose(pooled.mean.ravel(), means.mean(axis=0), rtol=1e-14)
    expected = np.mean([fit.cov for fit in FITS], axis=0) + 1.2 * np.cov(means, rowvar=False)
    np.testing.assert_allclose(pooled.cov, expected, rtol=1e-12)
    assert (pooled.n_used, pooled.n_cell.tolist()) == (60, [[20, 20]] * 3)


@pytest.mark.parametrize("visit", range(N_VISITS))
@pytest.mark.parametrize(("a", "b"), [(0, 0), (2, 2), (0, 1), (2, 0), (1, 2)])
def test_each_contrast_has_the_df_it_has_alone(a: int, b: int, visit: int) -> None:
    weights = np.zeros((N_ARMS, N_VISITS))
    weights[a, visit] += 1
    weights[b, visit] -= float(a != b)
    w = weights.ravel()
    estimates = np.array([[w @ fit.mean.ravel()] for fit in FITS])
    variances = np.array([[w @ fit.cov @ w] for fit in FITS])
    alone = pool(estimates, variances, np.mean([fit.df[a, b, visit] for fit in FITS]))
    pooled = pool_means(FITS)
    np.testing.assert_allclose(pooled.df[a, b, visit], alone.df[0], rtol=1e-12)
    np.testing.assert_allclose(w @ pooled.cov @ w, alone.std_error[0] ** 2, rtol=1e-12)


def test_the_global_df_is_the_smallest_of_a_difference_or_the_fits_own() -> None:
    pooled = pool_means(FITS)
    assert pooled.global_df[0] == min(pooled.df[0, 1, 0], pooled.df[0, 2, 0], pooled.df[1, 2, 0])
    assert pooled.global_df[1] == 12
    endless = [replace(fit, df=np.full(fit.df.shape, np.inf), global_df=np.full(2, np.inf)) for fit in FITS]
    assert np.isfinite(pool_means(endless).df).all()
    assert (pool_means([endless[0]] * 3).df > 1e20).all()


def test_a_visit_that_failed_in_one_copy_fails() -> None:
    bad = a_fit(9, reason=("", "no convergence"))
    gone = np.array([False, True] * N_ARMS)
    bad.cov[gone] = bad.cov[:, gone] = np.nan
    bad.mean[:, 1] = bad.df[:, :, 1] = np.nan
    pooled = pool_means([*FITS[:2], bad, a_fit(10, reason=("", "later"))])
    assert pooled.reason == ("", "in imputation 3: no convergence")
    np.testing.assert_array_equal(np.isnan(pooled.cov), gone[:, None] | gone)
    np.testing.assert_array_equal(np.isnan(pooled.mean), [[False, True]] * N_ARMS)
    np.testing.assert_array_equal(np.isnan(pooled.df[..., 1]), True)
    np.testing.assert_array_equal(np.isnan(pooled.global_df), [False, True])
    assert np.isfinite(pooled.df[..., 0]).all()


def test_fits_of_different_models_are_refused() -> None:
    with pytest.raises(ValueError, match="same arms"):
        pool_means([FITS[0], replace(FITS[1], link="log")])
