"""Complier effects by hand and by statsmodels; what cannot be estimated has a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from helpers import Array
from statsmodels.sandbox.regression.gmm import IV2SLS

from trialsim.analysis.complier import complier_effect
from trialsim.analysis.fits import Comparison, Data

PAIRS = ((0, 2), (1, 2))
NAN = np.nan


def trial(n: int = 240, *, seed: int = 1, n_covariates: int = 2) -> tuple[Data, Array]:
    """Three arms, two of which offer something; two visits; some missing; attendance depends on a covariate."""
    luck = np.random.default_rng(seed)
    arm = luck.integers(0, 3, n)
    x = luck.normal(0, 1, (n, n_covariates))
    willing = luck.normal(0, 1, n) + (x[:, 0] if n_covariates else 0) > -0.5
    attended = np.repeat(((arm < 2) & willing)[:, None], 2, axis=1).astype(float)
    attended[:, 1] *= luck.uniform(size=n) > 0.2
    y = -1.0 * attended + luck.normal(0, 1 + attended) + willing[:, None]
    if n_covariates:
        y = y + x[:, :1]
    y[luck.uniform(size=y.shape) < 0.15] = NAN
    return Data(y, arm, x, np.full(n, -1), 3), attended


def effect(data: Data, attended: Array, *, two_stage: bool = True) -> Comparison:
    return complier_effect(data, attended, PAIRS, measure="mean difference", two_stage=two_stage)


@pytest.mark.parametrize("n_covariates", [0, 2])
def test_two_stages_are_statsmodels(n_covariates: int) -> None:
    """Coefficients of IV2SLS; White's variance of the second stage with the residuals of attendance itself."""
    data, attended = trial(n_covariates=n_covariates)
    found = effect(data, attended)
    for p, (a, b) in enumerate(PAIRS):
        for v in range(2):
            use = data.observed[:, v] & np.isin(data.arm, (a, b))
            y, d, z = data.y[use, v], attended[use, v], (data.arm[use] == a).astype(float)
            rest = sm.add_constant(data.covariates[use]) if n_covariates else np.ones((len(y), 1))
            regressors, instruments = np.column_stack([d, rest]), np.column_stack([z, rest])
            fit = IV2SLS(y, regressors, instruments).fit()
            first = sm.OLS(d, instruments).fit().fittedvalues
            second = sm.OLS(y, np.column_stack([first, rest])).fit()
            residual = y - regressors @ fit.params
            bread = second.normalized_cov_params
            scores = second.model.exog * residual[:, None]
            white = bread @ scores.T @ scores @ bread
            assert found.estimate[p, v] == pytest.approx(fit.params[0], rel=1e-9)
            assert found.std_error[p, v] == pytest.approx(np.sqrt(white[0, 0]), rel=1e-9)
            assert found.n_used is not None
            assert found.n_used[p, v] == use.sum()


def test_the_ratio_is_walds_with_the_delta_method() -> None:
    data, attended = trial()
    found = effect(data, attended, two_stage=False)
    for p, (a, b) in enumerate(PAIRS):
        for v in range(2):
            both = [np.array([data.y[use, v], attended[use, v]]) for use in (uses(data, arm, v) for arm in (a, b))]
            means = both[0].mean(axis=1) - both[1].mean(axis=1)
            cov = sum(np.cov(one) / one.shape[1] for one in both)
            slope = np.array([1 / means[1], -means[0] / means[1] ** 2])
            assert found.estimate[p, v] == pytest.approx(means[0] / means[1])
            assert found.std_error[p, v] == pytest.approx(np.sqrt(slope @ cov @ slope))


def uses(data: Data, arm: int, v: int) -> Array:
    return data.observed[:, v] & (data.arm == arm)


def test_without_covariates_both_methods_have_one_estimate() -> None:
    data, attended = trial(n_covariates=0)
    two, ratio = effect(data, attended), effect(data, attended, two_stage=False)
    np.testing.assert_allclose(two.estimate, ratio.estimate, rtol=1e-10)
    assert (two.std_error < ratio.std_error).all()  # divisors n and n - 1
    np.testing.assert_allclose(two.std_error, ratio.std_error, rtol=0.02)


def test_where_all_comply_it_is_the_difference_of_means() -> None:
    data, _ = trial(n_covariates=0)
    offered = np.repeat((data.arm < 2)[:, None], 2, axis=1).astype(float)
    found = effect(data, offered)
    for p, (a, b) in enumerate(PAIRS):
        for v in range(2):
            means = [data.y[uses(data, arm, v), v].mean() for arm in (a, b)]
            assert found.estimate[p, v] == pytest.approx(means[0] - means[1])


def changed(data: Data, **keys: Any) -> Data:
    return Data(**{**vars(data), **keys})


@pytest.mark.parametrize("two_stage", [True, False])
def test_what_cannot_be_estimated_has_a_reason(two_stage: bool) -> None:
    """And the other pair and visit are as before."""
    data, attended = trial()
    nobody = attended.copy()
    nobody[data.arm == 0, 1] = 0.0
    unseen = data.y.copy()
    unseen[data.arm == 2, 0] = NAN
    constant = np.where(np.isnan(data.y), NAN, 4.0)
    infinite = data.y.copy()
    infinite[np.flatnonzero(uses(data, 1, 1))[0], 1] = np.inf
    faults = {
        "attendance does not differ in arms 0 and 2 at visit 1": effect(data, nobody, two_stage=two_stage),
        "no observations in one arm in arms 1 and 2 at visit 0": effect(
            changed(data, y=unseen), attended, two_stage=two_stage
        ),
        "zero variance in arms 0 and 2 at visit 0": effect(changed(data, y=constant), attended, two_stage=two_stage),
        "a value that is not finite in arms 1 and 2 at visit 1": effect(
            changed(data, y=infinite), attended, two_stage=two_stage
        ),
    }
    sound = effect(data, attended, two_stage=two_stage)
    for text, found in faults.items():
        assert found.reason is not None
        assert text in set(found.reason.ravel())
        failed = found.reason != ""
        assert np.isnan(found.estimate[failed]).all()
        assert np.isnan(found.std_error[failed]).all()
        assert np.isnan(found.p_value[failed]).all()
        np.testing.assert_array_equal(found.estimate[~failed], sound.estimate[~failed])


def test_collinear_covariates_and_too_few_participants() -> None:
    data, attended = trial()
    same_twice = effect(changed(data, covariates=np.repeat(data.covariates[:, :1], 2, axis=1)), attended)
    assert same_twice.reason is not None
    assert all("covariates are collinear" in text for text in same_twice.reason.ravel())
    few = Data(data.y[:4], np.array([0, 2, 0, 2]), data.covariates[:4], data.cluster[:4], 3)
    found = effect(few, np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
    assert found.reason is not None
    assert "fewer participants than coefficients" in found.reason[0, 0]
    one_each = Data(data.y[:2] * 0 + 1.5, np.array([0, 2]), data.covariates[:2], data.cluster[:2], 3)
    ratio = effect(one_each, np.array([[1.0, 1.0], [0.0, 0.0]]), two_stage=False)
    assert ratio.reason is not None
    assert (ratio.reason != "").all()
