"""Imputation against R's mice and nlme, plain data augmentation, statsmodels and formulas written out.

R 4.2.2, mice 3.15.0, nlme 3.1-162. `SMALL` as small.csv (columns arm, x, y0, y1, y2), `LARGE` as gls.csv (columns id,
arm, x, visit, y, rows with y):

    stats <- function(e) with(e, c(mean(y0[arm==1])-mean(y0[arm==0]), mean(y1[arm==1])-mean(y1[arm==0]),
                                   mean(y2[arm==1])-mean(y2[arm==0]), var(y2), cor(y1,y2)))
    d <- read.csv("small.csv")
    imp <- mice(d, m=3000, method="norm", maxit=10, ridge=0, seed=1, printFlag=FALSE)
    s <- sapply(1:3000, function(k) stats(complete(imp, k))); rowMeans(s); apply(s, 1, var)
    w <- lapply(0:1, function(a) mice(subset(d, arm==a, select=-arm), m=3000, method="norm", maxit=10, ridge=0,
                                      seed=2+a, printFlag=FALSE))
    s <- sapply(1:3000, function(k) stats(rbind(cbind(arm=0, complete(w[[1]],k)), cbind(arm=1, complete(w[[2]],k)))))

    d <- read.csv("gls.csv"); d$v <- factor(d$visit)
    f <- gls(y ~ 0 + v + v:arm + v:x, d, correlation=corSymm(form=~visit+1|id), weights=varIdent(form=~1|v),
             method="REML", control=glsControl(tolerance=1e-10, msTol=1e-12, maxIter=500, msMaxIter=500))
    print(summary(f)$tTable[4:6, 1:2], digits=10)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from numpy.typing import NDArray
from pandas import DataFrame
from scipy.stats import norm

from trialsim.analysis import imputation
from trialsim.analysis.fits import FitError
from trialsim.analysis.imputation import Regressions, Standardised, chained, joint_normal
from trialsim.analysis.pattern_mixture import impute_change
from trialsim.analysis.reference_based import (
    Method,
    _impute_after,
    delta_adjusted,
    reference_based,
    tipping_point,
)
from trialsim.analysis.rubin import pool

Array = NDArray[Any]
Z = 4.5


class Dice:
    """Luck that notes what it was asked for."""

    def __init__(self, seed: int) -> None:
        self.rng, self.asked = np.random.default_rng(seed), list[tuple[int, ...]]()

    def normal(self, *shape: int) -> Array:
        self.asked.append(shape)
        return self.rng.standard_normal(shape)

    def uniform(self, *shape: int) -> Array:
        self.asked.append(shape)
        return self.rng.random(shape)


def small() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(20240)
    n = 60
    arm, x = np.arange(n) % 2, rng.normal(size=n).round(2)
    y = (0.5 * x + rng.normal(size=n))[:, None] + np.array([0, 0.3, 0.5]) * arm[:, None] + rng.normal(size=(n, 3)) * 0.8
    y = y.round(2)
    return np.where(rng.random((n, 3)) < np.array([0.15, 0.25, 0.35]), np.nan, y), arm, x[:, None]


def large() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(77)
    n = 300
    arm, x, u = np.arange(n) % 3 % 2, rng.normal(size=n).round(3), rng.normal(size=n)
    y = (0.6 * x + u)[:, None] + arm[:, None] * np.array([0.2, 0.4, 0.5])
    y = (y + rng.normal(size=(n, 3)) * np.array([0.6, 0.8, 1.0])).round(3)
    y[:, 1:][rng.random((n, 2)) < 1 / (1 + np.exp(1.2 - y[:, :2]))] = np.nan
    y[rng.random(n) < 0.1, 0] = np.nan
    return y, arm, x[:, None]


SMALL, LARGE = small(), large()
METHODS: dict[str, Callable[..., Array]] = {"joint_normal": joint_normal, "chained": chained}


def statistics(copies: Array, arm: Array) -> Array:
    """(m, 5)."""
    difference = copies[:, arm == 1].mean(axis=1) - copies[:, arm == 0].mean(axis=1)
    around = copies - copies.mean(axis=1, keepdims=True)
    squares = (around**2).sum(axis=1)
    correlation = (around[..., 1] * around[..., 2]).sum(axis=1) / np.sqrt(squares[:, 1] * squares[:, 2])
    return np.column_stack([difference, squares[:, 2] / (copies.shape[1] - 1), correlation])


def agree(mean: Array, var: Array, m: int, other_mean: Array, other_var: Array, other_m: int) -> bool:
    """Whether means and variances over m and over other_m draws are those of one distribution.

    The variance of a sample variance is taken as 4 (not 2) var^2 / m: the draws have longer tails than the normal.
    """
    means = np.abs(mean - other_mean) / np.sqrt(var / m + other_var / other_m)
    variances = np.abs(np.log(var / other_var)) / np.sqrt(4 / m + 4 / other_m)
    return bool((means < Z).all() and (variances < Z).all())


# ------------------------------------------------------------------------- the distribution of the copies

MICE = {  # by_arm: means of the statistics over 3000 copies, and variances
    False: ((0.889386, 1.158955, 0.880425, 2.799568, 0.681485), (0.024425, 0.038864, 0.066001, 0.158068, 0.005490)),
    True: ((0.852975, 1.155253, 0.985884, 2.821748, 0.680120), (0.026652, 0.044120, 0.046016, 0.124114, 0.003761)),
}


@pytest.mark.parametrize("by_arm", [False, True])
def test_chained_equations_are_those_of_mice(by_arm: bool) -> None:
    y, arm, x = SMALL
    found = statistics(chained(y, arm, x, n_arms=2, m=3000, by_arm=by_arm, luck=Dice(1)), arm)
    mean, var = found.mean(axis=0), found.var(axis=0, ddof=1)
    assert agree(mean, var, 3000, *map(np.array, MICE[by_arm]), 3000)
    assert not agree(mean, var, 3000, *map(np.array, MICE[not by_arm]), 3000)


def plain_augmentation(y: Array, x: Array, m: int, steps: int, rng: np.random.Generator) -> Array:
    """Schafer's data augmentation as in the book: impute everybody's missing values, draw from the inverse Wishart."""
    n, n_visits = y.shape
    missing = np.isnan(y)
    state = np.repeat(np.where(missing, np.nanmean(y, axis=0), y)[None], m, axis=0)
    inverse = np.linalg.inv(x.T @ x)
    root = np.linalg.cholesky(inverse)
    for _ in range(steps):
        coef = inverse @ x.T @ state
        rest = state - x @ coef
        scale = np.linalg.cholesky(np.linalg.inv(rest.swapaxes(1, 2) @ rest))
        wishart = rng.standard_normal((m, n - x.shape[1], n_visits)) @ scale.swapaxes(1, 2)
        cov = np.linalg.inv(wishart.swapaxes(1, 2) @ wishart)
        noise = rng.standard_normal((m, x.shape[1], n_visits))
        coef = coef + root @ noise @ np.linalg.cholesky(cov).swapaxes(1, 2)
        for pattern in np.unique(missing, axis=0):
            rows, gone, seen = (
                np.flatnonzero((missing == pattern).all(axis=1)),
                *map(np.flatnonzero, (pattern, ~pattern)),
            )
            mean, across = x[rows] @ coef, cov[:, gone[:, None], seen]
            weights = across @ np.linalg.inv(cov[:, seen[:, None], seen])
            spread = cov[:, gone[:, None], gone] - weights @ across.swapaxes(1, 2)
            noise = rng.standard_normal((m, len(rows), len(gone))) @ np.linalg.cholesky(spread).swapaxes(1, 2)
            around = y[rows[:, None], seen] - mean[..., seen]
            state[:, rows[:, None], gone] = mean[..., gone] + around @ weights.swapaxes(1, 2) + noise
    return state


@pytest.mark.parametrize("by_arm", [False, True])
def test_the_joint_posterior_is_that_of_plain_data_augmentation(by_arm: bool) -> None:
    y, arm, x = SMALL
    rng, m = np.random.default_rng(3), 600
    if by_arm:
        plain = np.empty((m, *y.shape))
        for a in (0, 1):
            own = arm == a
            plain[:, own] = plain_augmentation(y[own], np.column_stack([np.ones(own.sum()), x[own]]), m, 15, rng)
    else:
        plain = plain_augmentation(y, np.column_stack([arm == 0, arm == 1, x]).astype(float), m, 15, rng)
    expected = statistics(plain, arm)
    found = statistics(joint_normal(y, arm, x, n_arms=2, m=4000, by_arm=by_arm, luck=Dice(8)), arm)
    theirs = (expected.mean(axis=0), expected.var(axis=0), m)
    assert agree(found.mean(axis=0), found.var(axis=0), 4000, *theirs)
    other = statistics(joint_normal(y, arm, x, n_arms=2, m=4000, by_arm=not by_arm, luck=Dice(8)), arm)
    assert not agree(other.mean(axis=0), other.var(axis=0), 4000, *theirs)


def test_rotating_large_blocks_of_participants_changes_no_distribution() -> None:
    y, arm, x = LARGE
    model = imputation.standardised(y, arm, x, n_arms=2, by_arm=False)
    gaps = imputation._Gaps.of(model)
    assert (gaps.rest > 0).any()
    patterns, which = imputation.missing_patterns(~np.isnan(y))
    used = [np.flatnonzero((patterns[which] == seen.astype(bool)).all(axis=1)) for seen in gaps.seen]
    rows = np.zeros((1, len(used), max(map(len, used)), model.size))
    for number, those in enumerate(used):
        rows[0, number, : len(those)] = np.hstack([model.x, np.nan_to_num(model.z)])[those]
    raw = replace(gaps, rows=rows)
    cov = 0.5 * np.eye(3) + 0.5 + 0.3 * np.diag([1, 0, 1])
    at = Regressions(np.full((1, 1, 3, 3), 0.2), cov[None, None])
    m = 4000
    noise, rest = gaps.by_block(*(part[0] for part in gaps.luck(Dice(2), 1, m)))
    found = gaps.products(at, noise, rest)
    plain_noise = np.random.default_rng(4).standard_normal((m, *rows.shape[:3], 3))
    plain_noise *= np.array([np.arange(rows.shape[2]) < len(those) for those in used])[..., None]
    expected = raw.products(at, plain_noise, np.zeros_like(rest))
    free = expected.var(axis=0) > 1e-12
    np.testing.assert_array_equal(found.var(axis=0) > 1e-12, free)
    np.testing.assert_allclose(found[:, ~free], expected[:, ~free], rtol=1e-9, atol=1e-9)

    def moments(products: Array) -> tuple[Array, Array, int]:
        return products[:, free].mean(axis=0), products[:, free].var(axis=0), m

    assert agree(*moments(found), *moments(expected))
    assert not agree(*moments(gaps.products(at, noise, 0.9 * rest)), *moments(expected))


NLME = ((0.6123579346, 0.8200724960, 0.7609552082), (0.1538281848, 0.1932983187, 0.2081535579))


@pytest.mark.parametrize("method", METHODS)
def test_many_copies_give_the_estimates_of_a_mixed_model_for_repeated_measures(method: str) -> None:
    y, arm, x = LARGE
    m = 3000
    copies = METHODS[method](y, arm, x, n_arms=2, m=m, by_arm=False, luck=Dice(1))
    design = np.column_stack([np.ones(len(y)), arm, x])
    inverse = np.linalg.inv(design.T @ design)
    coef = inverse @ design.T @ copies
    variance = ((copies - design @ coef) ** 2).sum(axis=1) / (len(y) - 3) * inverse[1, 1]
    pooled = pool(coef[:, 1], variance)
    between = coef[:, 1].var(axis=0, ddof=1)
    # To m -> infinity the two differ by O(1/n) of a standard error.
    tolerance = Z * np.sqrt(between / m) + pooled.std_error / len(y)
    assert (np.abs(pooled.estimate - NLME[0]) < tolerance).all()
    np.testing.assert_allclose(pooled.std_error, NLME[1], rtol=0.02)
    complete = ~np.isnan(y).any(axis=1)
    alone = np.linalg.lstsq(design[complete], y[complete], rcond=None)[0][1]
    assert (np.abs(alone - NLME[0]) > tolerance).any()


def test_a_single_visit_is_the_bayesian_linear_regression_of_the_textbook() -> None:
    """Mean and variance over copies of a mean of imputed values, exactly (Gelman et al. 2013, section 14.2)."""
    y, arm, x = LARGE
    y = y[:, 2:]
    gone = np.isnan(y[:, 0])
    design = np.column_stack([arm == 0, arm == 1, x[:, 0]]).astype(float)
    coef, rss = np.linalg.lstsq(design[~gone], y[~gone, 0], rcond=None)[:2]
    df = (~gone).sum() - 3
    to = design[gone].mean(axis=0)
    spread = to @ np.linalg.inv(design[~gone].T @ design[~gone]) @ to + 1 / gone.sum()
    expected = (to @ coef, rss[0] / (df - 2) * spread)
    for method in METHODS.values():
        found = method(y, arm, x, n_arms=2, m=5000, by_arm=False, luck=Dice(6))[:, gone, 0].mean(axis=1)
        assert agree(found.mean(), found.var(), 5000, *expected, 10**9)
        assert not agree(found.mean(), 1.3 * found.var(), 5000, *expected, 10**9)


@pytest.mark.parametrize("method", METHODS)
def test_observed_values_stay_and_the_noise_is_the_participants_own(method: str) -> None:
    y, arm, x = LARGE
    copies = METHODS[method](y, arm, x, n_arms=2, m=2, by_arm=False, luck=Dice(1))
    seen = ~np.isnan(y)
    np.testing.assert_array_equal(copies[:, seen], np.repeat(y[seen][None], 2, axis=0))
    again = METHODS[method](y, arm, x, n_arms=2, m=2, by_arm=False, luck=Dice(1))
    np.testing.assert_array_equal(copies, again)
    moved = METHODS[method](1e6 + 1e3 * y, arm, 5 - 100 * x, n_arms=2, m=2, by_arm=False, luck=Dice(1))
    # Draws of coefficients depend on the sign of a covariate, the noise does not.
    assert np.corrcoef(moved[:, ~seen].ravel(), copies[:, ~seen].ravel())[0, 1] > 0.95
    same = METHODS[method](1e6 + 1e3 * y, arm, 5 + 100 * x, n_arms=2, m=2, by_arm=False, luck=Dice(1))
    np.testing.assert_allclose(same, 1e6 + 1e3 * copies, rtol=1e-9)


@pytest.mark.parametrize("by_arm", [False, True])
def test_what_luck_is_asked_for_depends_on_sizes_only(by_arm: bool) -> None:
    y, arm, x = LARGE
    other = np.where(np.random.default_rng(1).random(y.shape) < 0.1, np.nan, np.nan_to_num(y))
    monotone = np.where(np.cumsum(np.isnan(y[:, ::-1]), axis=1)[:, ::-1] > 2, np.nan, np.nan_to_num(y))
    monotone[::7, 1:] = np.nan
    for method in METHODS.values():
        asked = []
        for values in (y, other, monotone):
            dice = Dice(1)
            method(values, arm, x, n_arms=2, m=3, by_arm=by_arm, luck=dice)
            asked.append(dice.asked)
        assert asked[0] == asked[1] == asked[2]
        assert asked[0][0] == (3, *y.shape)


# ----------------------------------------------------------------------------------------- reference-based


@pytest.mark.parametrize("method", ["jump", "copy_reference", "copy_increment"])
@pytest.mark.parametrize("deviation", [0, 1, 2])
def test_each_participant_is_drawn_from_carpenters_joint_distribution(method: Method, deviation: int) -> None:
    """Means and covariance as in the paper's section 3, for one participant without luck; two arms of own covariance."""
    rng = np.random.default_rng(12)
    coef = rng.normal(size=(1, 2, 2, 3))  # (m, arms, regressors, visits)
    root = rng.normal(size=(1, 2, 3, 5))
    cov = root @ root.swapaxes(2, 3)
    x, scale = np.array([[1.0, 0.7]]), np.array([1.0, 2.0, 5.0])
    model = Standardised(np.full((1, 3), np.nan), x, np.array([1]), 2, np.zeros(3), scale)
    state = rng.normal(size=(1, 1, 3))
    before = state.copy()
    wanted = np.arange(3)[None] >= deviation
    if deviation == 1:
        wanted[0, 2] = False  # observed after deviation
    _impute_after(
        state,
        wanted,
        model,
        Regressions(coef, cov),
        np.zeros((1, 1, 3)),
        np.array([1]),
        np.array([deviation]),
        0,
        method,
    )
    own, ref = (x[0] @ coef[0, arm] * scale for arm in (1, 0))
    own_cov, ref_cov = (cov[0, arm] * scale[:, None] * scale for arm in (1, 0))
    pre, post = np.arange(deviation), np.arange(deviation, 3)
    mean, joint = own.copy(), ref_cov.copy()
    if method == "copy_reference":
        mean = ref
    else:
        step = own[deviation - 1] - ref[deviation - 1] if method == "copy_increment" and deviation else 0.0
        mean[post] = ref[post] + step
        slope = ref_cov[np.ix_(post, pre)] @ np.linalg.inv(ref_cov[np.ix_(pre, pre)])
        joint[np.ix_(pre, pre)] = own_cov[np.ix_(pre, pre)]
        joint[np.ix_(post, pre)] = slope @ own_cov[np.ix_(pre, pre)]
        joint[np.ix_(pre, post)] = joint[np.ix_(post, pre)].T
        difference = ref_cov[np.ix_(pre, pre)] - own_cov[np.ix_(pre, pre)]
        joint[np.ix_(post, post)] = ref_cov[np.ix_(post, post)] - slope @ difference @ slope.T
    gone, known = np.flatnonzero(wanted[0]), np.flatnonzero(~wanted[0])
    around = before[0, 0, known] * scale[known] - mean[known]
    expected = mean[gone] + joint[np.ix_(gone, known)] @ np.linalg.solve(joint[np.ix_(known, known)], around)
    np.testing.assert_allclose(state[0, 0, gone] * scale[gone], expected, rtol=1e-10)
    np.testing.assert_array_equal(state[0, 0, known], before[0, 0, known])


def with_deviation() -> tuple[Array, Array, Array, Array]:
    """Two visits; some drop out before the second, more in arm 1."""
    rng = np.random.default_rng(31)
    arm, x = np.arange(160) % 2, rng.normal(size=(160, 1))
    y = 10 + x + rng.normal(size=(160, 1)) + np.array([1.0, 3.0]) * arm[:, None] + 0.5 * rng.normal(size=(160, 2))
    deviation = np.where(rng.random(160) < np.where(arm == 1, 0.4, 0.2), 1, 2)
    return np.where(np.arange(2) >= deviation[:, None], np.nan, y), arm, x, deviation


@pytest.mark.parametrize("method", ["jump", "copy_reference", "copy_increment"])
def test_the_mean_of_those_who_deviate_is_the_closed_form(method: Method) -> None:
    """Monotone: posterior means are least squares estimates, and those of visit 0 and visit 1 are independent."""
    y, arm, x, deviation = with_deviation()
    m, gone = 2000, (deviation == 1) & (arm == 1)
    options: dict[str, Any] = {"n_arms": 2, "reference": 0, "deviation": deviation, "m": m}
    copies = reference_based(y, arm, x, method=method, luck=Dice(5), **options)
    found = copies[:, gone, 1].mean(axis=1)
    design, stays = np.column_stack([arm == 0, arm == 1, x[:, 0]]).astype(float), deviation == 2
    first = np.linalg.lstsq(design, y[:, 0], rcond=None)[0]
    second = np.linalg.lstsq(np.column_stack([design, y[:, 0]])[stays], y[stays, 1], rcond=None)[0]
    mean_x, mean_first = x[gone, 0].mean(), y[gone, 0].mean()
    own, ref = (first[a] + first[2] * mean_x for a in (1, 0))
    after = second[0] + second[2] * mean_x  # of the reference arm, given 0 at the first visit
    expected = {
        "jump": after + second[3] * (ref + mean_first - own),
        "copy_reference": after + second[3] * mean_first,
        "copy_increment": own - ref + after + second[3] * (ref + mean_first - own),
    }
    error = found.std(ddof=1) / np.sqrt(m)
    assert abs(found.mean() - expected.pop(method)) < Z * error
    assert all(abs(found.mean() - other) > Z * error for other in expected.values())
    at_random = reference_based(y, arm, x, method=method, luck=Dice(5), **(options | {"m": 3, "reference": 1}))
    own_arm = joint_normal(y, arm, x, n_arms=2, m=3, by_arm=False, luck=Dice(5))
    np.testing.assert_allclose(at_random[:, arm == 1], own_arm[:, arm == 1], rtol=1e-9)


def test_what_was_observed_after_deviation_is_kept_and_not_used_for_the_arm() -> None:
    y, arm, x, deviation = with_deviation()
    late = np.flatnonzero(deviation == 1)[::5]
    more = y.copy()
    more[late, 1] = 1000.0
    options: dict[str, Any] = {"n_arms": 2, "reference": 0, "method": "jump", "deviation": deviation, "m": 2}
    without, kept = (reference_based(values, arm, x, luck=Dice(5), **options) for values in (y, more))
    assert (kept[:, late, 1] == 1000).all()
    others = np.delete(np.arange(len(y)), late)
    np.testing.assert_array_equal(kept[:, others], without[:, others])


def test_interim_missing_values_are_imputed_at_random() -> None:
    y, arm, x = LARGE
    options: dict[str, Any] = {"n_arms": 2, "reference": 0, "deviation": np.full(len(y), 3), "m": 2}
    for common in (True, False):
        at_random = joint_normal(y, arm, x, n_arms=2, m=2, by_arm=not common, luck=Dice(3))
        for method in ("jump", "copy_reference", "copy_increment"):
            found = reference_based(y, arm, x, method=method, luck=Dice(3), common_covariance=common, **options)
            np.testing.assert_allclose(found, at_random, rtol=1e-12)


# ------------------------------------------------------------------------------------------ delta and tipping


def test_delta_is_added_to_imputed_values_only() -> None:
    y, arm, x = LARGE
    copies = joint_normal(y, arm, x, n_arms=2, m=2, by_arm=False, luck=Dice(3))
    shifted = delta_adjusted(copies, y, arm, np.array([0.0, 2.0])) - copies
    np.testing.assert_allclose(shifted, np.where(np.isnan(y) & (arm == 1)[:, None], 2.0, 0.0) + np.zeros((2, 1, 1)))
    by_visit = delta_adjusted(copies, y, arm, np.array([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]])) - copies
    assert set(by_visit[0, (arm == 0) & np.isnan(y[:, 2]), 2].round(12)) == {1.0}
    assert set(by_visit[0, (arm == 1) & np.isnan(y[:, 1]), 1].round(12)) == {2.0}


@pytest.mark.parametrize("sign", [1, -1])
def test_the_tipping_point_is_where_significance_is_lost(sign: int) -> None:
    def effect_at(delta: float) -> tuple[float, float]:
        estimate = sign * (3 - 0.5 * abs(delta))
        return estimate, float(2 * norm.sf(abs(estimate)))

    found = tipping_point(effect_at, furthest=sign * 10.0, tolerance=1e-9)
    assert found.outcome == "tips"
    assert found.delta == pytest.approx(sign * (3 - 1.959963984540054) / 0.5, abs=2e-9)
    assert found.p_value >= 0.05
    assert found.furthest == sign * 3.0
    near = tipping_point(effect_at, furthest=sign * 1.0)
    assert (near.outcome, near.furthest, np.isnan(near.delta)) == ("stays significant", sign * 1.0, True)
    never = tipping_point(lambda delta: (1.0, 0.3), furthest=1.0)
    assert (never.outcome, np.isnan(never.delta)) == ("never significant", True)
    # From significantly better to significantly worse within one step.
    leap = tipping_point(lambda delta: (1 - delta, 0.001), furthest=10.0, steps=1, tolerance=1e-6)
    assert leap.delta == pytest.approx(1, abs=2e-6)


def test_a_tipping_point_needs_numbers() -> None:
    with pytest.raises(FitError, match="at delta 1"):
        tipping_point(lambda delta: (1.0, 0.01 if delta < 1 else np.nan), furthest=10.0)
    with pytest.raises(ValueError, match="furthest"):
        tipping_point(lambda delta: (1.0, 0.01), furthest=0.0)


# ------------------------------------------------------------------------------------------ pattern mixture


def rows(change: Array, arm: Array, covariates: Array) -> DataFrame:
    seen = ~np.isnan(change)
    person, visit = np.nonzero(seen.any(axis=1)[:, None] & np.ones_like(seen))
    pattern = [f"p{seen[i].astype(int)}" for i in person]
    columns = {"y": change[person, visit], "arm": arm[person], "visit": visit, "pattern": pattern, "person": person}
    return DataFrame(columns | {f"x{k}": column[person] for k, column in enumerate(covariates.T)})


def test_predictions_are_those_of_independence_gee() -> None:
    y, arm, x = LARGE
    x = np.column_stack([x, 60 + np.arange(len(y)) % 11])
    found = impute_change(y, arm, n_arms=2, covariates=x)
    table = rows(y, arm, x)
    formula = "y ~ C(arm) * C(visit) + C(pattern) * C(arm) + x0 + x1"
    known = table.dropna()
    for fit in (
        smf.gee(formula, "person", known, cov_struct=sm.cov_struct.Independence()).fit(),
        smf.ols(formula, known).fit(),
    ):
        expected = np.where(table.y.isna(), fit.predict(table), table.y)
        np.testing.assert_allclose(found[table.person, table.visit], expected, rtol=1e-8)
    without = smf.ols("y ~ C(arm) * C(visit) + C(pattern) + x0 + x1", known).fit().predict(table)
    assert np.abs(without - found[table.person, table.visit])[table.y.isna()].max() > 0.05
    never = np.isnan(y).all(axis=1)
    assert never.any()
    assert np.isnan(found[never]).all()
    np.testing.assert_array_equal(found[~np.isnan(y)], y[~np.isnan(y)])


def test_collinear_covariates_change_no_prediction() -> None:
    y, arm, x = LARGE
    plain = impute_change(y, arm, n_arms=2, covariates=x)
    more = np.column_stack([x, 3 - 2 * x, np.ones(len(y)), arm, np.isnan(y).sum(axis=1)])
    np.testing.assert_allclose(impute_change(y, arm, n_arms=2, covariates=more), plain, rtol=1e-9)


def test_a_prediction_that_is_not_estimable_is_an_error() -> None:
    y, arm, x = LARGE
    empty = np.where((arm == 1)[:, None] & (np.arange(3) == 2), np.nan, y)
    with pytest.raises(FitError, match="no observations in arm 1 at visit 2"):
        impute_change(empty, arm, n_arms=2, covariates=x)
    apart = np.nan_to_num(y)
    apart[::2, 0] = apart[1::2, 1:] = np.nan
    with pytest.raises(FitError, match="visits of arm 0"):
        impute_change(apart, arm, n_arms=2, covariates=x)
    whole = np.where(np.isnan(y).any(axis=1, keepdims=True), np.nan, y)
    np.testing.assert_array_equal(impute_change(whole, arm, n_arms=2, covariates=x), whole)
