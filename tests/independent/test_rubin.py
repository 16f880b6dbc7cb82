"""Rubin's rules against R's mice, and pooling of `Means` against pooling one contrast at a time.

R 4.2.2, mice 3.15.0:

    Q <- c(0.52, 0.61, 0.48, 0.70, 0.55); U <- c(0.040, 0.043, 0.039, 0.041, 0.045)
    for (n in c(60, Inf)) { p <- pool.scalar(Q, U, n = n, k = 4); cat(sprintf("%.12g", c(p$qbar, p$t, p$df, p$r, p$fmi))) }

(mitools::MIcombine 2.4 gives df 33.964 for n = 60: it leaves the factor 1 + 1/m out of lambda in nu_obs, which Barnard
and Rubin have.)
"""

from __future__ import annotations

import numpy as np
import pytest

from trialsim.analysis.rubin import pool

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
