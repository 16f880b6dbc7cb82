"""Response weights against statsmodels' logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from trialsim.analysis.fits import FitError
from trialsim.analysis.response_weights import inverse_probability_weights, response_weights

Array = NDArray[Any]
N = 240
RNG = np.random.default_rng(11)
ARM = np.arange(N) % 3
X = np.column_stack([50 + 10 * RNG.normal(size=N), RNG.random(N) < 0.4])
Y = (X[:, :1] - 50) / 10 + RNG.normal(size=(N, 3))
RESPONDED = RNG.random(N) < 1 / (1 + np.exp(-1 - 0.05 * (X[:, 0] - 50) - 0.4 * ARM))
OBSERVED = RNG.random((N, 3)) < 1 / (1 + np.exp(-1.5 + 0.4 * Y[:, :1]))
ARMS = np.eye(3)[ARM]


def probabilities(responded: Array, *columns: Array) -> Array:
    design = np.column_stack(columns)
    return np.asarray(sm.Logit(responded.astype(float), design).fit(disp=0, method="newton", tol=1e-14).predict())


def weights(responded: Array, prob: Array) -> Array:
    return np.where(responded, 1 / prob, np.nan)


def test_weights_are_those_of_logistic_regression() -> None:
    expected = weights(RESPONDED, probabilities(RESPONDED, ARMS, X))
    found = response_weights(RESPONDED, X, ARM, n_arms=3, stabilised=False)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    scaled = response_weights(RESPONDED, X, ARM, n_arms=3)
    np.testing.assert_allclose(scaled, expected / np.nanmean(expected), rtol=1e-10)
    no_arm = response_weights(RESPONDED, X, stabilised=False)
    np.testing.assert_allclose(no_arm, weights(RESPONDED, probabilities(RESPONDED, np.ones(N), X)), rtol=1e-10)
    assert not np.allclose(no_arm, found, rtol=1e-3, equal_nan=True)


def test_by_arm_every_coefficient_is_the_arms_own() -> None:
    crossed = (ARMS[:, :, None] * X[:, None]).reshape(N, -1)
    expected = weights(RESPONDED, probabilities(RESPONDED, ARMS, crossed))
    found = response_weights(RESPONDED, X, ARM, n_arms=3, by_arm=True, stabilised=False)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_trimmed_weights_stay_within_their_quantiles_and_have_mean_1() -> None:
    raw = response_weights(RESPONDED, X, ARM, n_arms=3, stabilised=False)
    low, high = np.nanquantile(raw, [0.05, 0.9])
    found = response_weights(RESPONDED, X, ARM, n_arms=3, trim=(0.05, 0.9))
    clipped = np.clip(raw, low, high)
    np.testing.assert_allclose(found, clipped / np.nanmean(clipped), rtol=1e-12)


def test_an_arm_in_which_all_or_none_respond_is_the_limit_of_the_likelihood() -> None:
    responded = np.where(ARM == 1, True, np.where(ARM == 2, False, RESPONDED))
    found = response_weights(responded, X, ARM, n_arms=3, stabilised=False)
    assert (found[ARM == 1] == 1).all()
    assert np.isnan(found[ARM == 2]).all()
    rest = ARM == 0
    alone = response_weights(RESPONDED[rest], X[rest], stabilised=False)
    np.testing.assert_allclose(found[rest], alone, rtol=1e-12)
    np.testing.assert_array_equal(response_weights(np.ones(N, dtype=bool), X, ARM, n_arms=3), 1.0)


def test_each_visit_has_a_model_of_its_own() -> None:
    found = inverse_probability_weights(OBSERVED, ARM, X, Y, n_arms=3, history=False)
    for visit, seen in enumerate(OBSERVED.T):
        expected = weights(seen, probabilities(seen, ARMS, X))
        np.testing.assert_allclose(found[:, visit], expected, rtol=1e-10)


def test_history_is_the_last_outcome_and_two_indicators() -> None:
    found = inverse_probability_weights(OBSERVED, ARM, X, np.where(OBSERVED, Y, np.nan), n_arms=3, history=True)
    np.testing.assert_allclose(found[:, 0], weights(OBSERVED[:, 0], probabilities(OBSERVED[:, 0], ARMS, X)), rtol=1e-10)
    first, second, third = OBSERVED.T
    last = np.where(first, Y[:, 0], Y[first, 0].mean())
    expected = weights(second, probabilities(second, ARMS, X, last, ~first))
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-10)
    last = np.where(second, Y[:, 1], Y[:, 0])
    none = ~first & ~second
    last[none] = last[~none].mean()
    expected = weights(third, probabilities(third, ARMS, X, last, none, ~second))
    np.testing.assert_allclose(found[:, 2], expected, rtol=1e-10)


def test_after_dropout_probabilities_are_multiplied() -> None:
    stays = np.logical_and.accumulate(OBSERVED, axis=1)
    found = inverse_probability_weights(stays, ARM, X, np.where(stays, Y, np.nan), n_arms=3, history=True)
    prob = probabilities(stays[:, 0], ARMS, X)
    np.testing.assert_allclose(found[:, 0], weights(stays[:, 0], prob), rtol=1e-10)
    for visit in (1, 2):
        risk = stays[:, visit - 1]
        prob[risk] *= probabilities(stays[risk, visit], ARMS[risk], X[risk], Y[risk, visit - 1])
        np.testing.assert_allclose(found[:, visit], weights(stays[:, visit], prob), rtol=1e-10)


def test_weighted_means_recover_what_dropout_hides() -> None:
    """100 replicates; the mean of the last visit is 0, and dropout depends on the visit before."""
    rng = np.random.default_rng(5)
    naive, weighted = np.empty(100), np.empty(100)
    for replicate in range(100):
        x = rng.normal(size=(400, 1))
        y = x + rng.normal(size=(400, 1)) + 0.5 * rng.normal(size=(400, 2))
        observed = np.column_stack([np.ones(400, bool), rng.random(400) < 1 / (1 + np.exp(-1 - y[:, 0]))])
        w = inverse_probability_weights(observed, np.zeros(400, int), x, y, n_arms=1, history=True)[:, 1]
        seen = observed[:, 1]
        naive[replicate], weighted[replicate] = y[seen, 1].mean(), np.average(y[seen, 1], weights=w[seen])
    assert abs(weighted.mean()) < 4.5 * weighted.std(ddof=1) / 10
    assert abs(naive.mean()) > 4.5 * naive.std(ddof=1) / 10


@pytest.mark.parametrize(
    ("responded", "covariates", "reason"),
    [
        (np.zeros(N, bool), X, "nobody responded"),
        (X[:, 0] > 50, X, "separated"),
        (RESPONDED, np.column_stack([X, X[:, 0] * 2 - 1]), "collinear"),
        (RESPONDED, np.column_stack([X, np.full(N, 0.1)]), "collinear"),
        (RESPONDED, np.column_stack([X, np.where(ARM == 0, np.inf, 0.0)]), "not finite"),
    ],
)
def test_what_cannot_be_fitted_says_why(responded: Array, covariates: Array, reason: str) -> None:
    with pytest.raises(FitError, match=reason):
        response_weights(responded, covariates, ARM, n_arms=3)


def test_a_failure_names_the_visit() -> None:
    observed = OBSERVED.copy()
    observed[:, 1] = X[:, 0] > 50
    with pytest.raises(FitError, match="at visit 1"):
        inverse_probability_weights(observed, ARM, X, Y, n_arms=3, history=False)
