"""Least squares with CR2 variances and cluster-level summaries against clubSandwich, sandwich, survey and R's t tests.

R 4.2.2, clubSandwich 0.5.8, sandwich 3.0.2, survey 4.1.1. `few.csv` holds what `trial()` makes; id is the cluster, or a
number of one's own.

    d <- read.csv("few.csv"); d$id <- ifelse(d$cluster >= 0, d$cluster, 1000 + seq_len(nrow(d))); d$a <- factor(d$arm)
    L <- cbind(rbind(diag(3), c(1,-1,0), c(1,0,-1), c(0,1,-1)), 0, 0)
    # e: the rows with y (= y0 or y1) observed, x1 and x2 less their means
    m <- lm(y ~ 0 + a + x1 + x2, e)
    linear_contrast(m, vcovCR(m, e$id, type = "CR2"), L, test = "Satterthwaite")    # and "CR0", "CR1"
    V <- vcovCL(m, e$id, type = "HC0", cadjust = FALSE); sqrt(diag(L %*% V %*% t(L)))  # = CR0; cadjust = TRUE: = CR1
    # means of cluster means; two-stage: e$y <- mean(e$y) + residuals(lm(y ~ x1 + x2, e)) first
    s <- aggregate(y ~ id + a, e, mean); tapply(s$y, s$a, mean)
    t.test(s$y[s$a == 0], s$y[s$a == 1]); anova(lm(y ~ a, s)); summary(lm(y ~ a, s))$sigma
    svymean(~y, svydesign(ids = ~id, weights = ~1, data = e[e$arm == k, ]))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from helpers import Z, se_of_share
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy import stats

from trialsim.analysis.few_clusters import cluster_means, cluster_robust
from trialsim.analysis.fits import Data, Means

Array = NDArray[Any]
PAIRS = [(0, 1), (0, 2), (1, 2)]
DIGITS = 1e-8  # R's results were printed with 10 digits


def trial() -> Data:
    i = np.arange(46)
    arm = np.repeat([0, 1, 2], [16, 18, 12])
    sites = np.where(arm == 2, 20 + i % 5 * (i % 5 > 1), -1)
    cluster = np.where(arm == 1, np.array([4, 9, 2, 7, 4, 4, 9])[i % 7], sites)
    cluster[[20, 40]] = -1
    x = np.column_stack([i * 5 % 11 / 4, i % 4 == 0])
    shift = 0.3 * arm + cluster % 7 / 4 + x @ [0.4, -1]
    y = np.column_stack([(i * i * 7 + 3 * i) % 23 / 5 + shift, (i**3 + i) % 19 / 4 + shift])
    y[i % 6 == 3, 1] = np.nan
    return Data(y, arm, x, cluster, 3)


def contrasts(means: Means, visit: int) -> tuple[Array, Array, Array]:
    """Estimates, standard errors and degrees of freedom of the means, and of the pairs."""
    c = np.vstack([np.eye(3), *[np.eye(3)[[a]] - np.eye(3)[[b]] for a, b in PAIRS]])
    cov = means.cov.reshape(3, -1, 3, means.mean.shape[1])[:, visit, :, visit]
    df = np.array([means.df[a, b, visit] for a, b in [(0, 0), (1, 1), (2, 2), *PAIRS]])
    return c @ means.mean[:, visit], np.sqrt(np.diag(c @ cov @ c.T)), df


# ----------------------------------------------------------------------------------------------- least squares

ESTIMATES = [
    [3.7614396353, 3.3368613526, 3.5502884573, 0.4245782827, 0.2111511780, -0.2134271047],
    [3.62269648695, 3.53486198891, 4.27820158359, 0.08783449804, -0.65550509664, -0.74333959468],
]
ERRORS = {
    "CR0": [
        [0.2819162598, 0.4663776322, 0.2790546261, 0.5424487383, 0.4000981439, 0.5369054512],
        [0.3300337487, 0.1742261734, 0.2032139718, 0.3706105517, 0.3918101742, 0.2722734346],
    ],
    "CR1": [
        [0.2874993020, 0.4756137294, 0.2845809967, 0.5531913404, 0.4080216486, 0.5475382745],
        [0.3374511636, 0.1781418572, 0.2077811481, 0.3789399187, 0.4006159967, 0.2783927028],
    ],
    "CR2": [
        [0.2998500161, 0.5953516278, 0.3416826656, 0.6641218471, 0.4589674448, 0.6796421749],
        [0.3541538856, 0.2100596740, 0.2322878571, 0.4090029510, 0.4280891560, 0.3179810267],
    ],
}
DF = {
    "CR1": [
        [14.750637999, 3.077145087, 3.487835626, 12.593850513, 10.435741357, 6.393058635],
        [11.770031763, 3.167219634, 3.679718779, 11.702999887, 10.400947332, 6.739500311],
    ],
    "CR2": [
        [14.747283700, 2.677478780, 3.303119404, 9.592113782, 8.861929580, 5.953550132],
        [11.768453643, 2.885198935, 3.549218113, 9.764170951, 9.228729951, 6.424533478],
    ],
}


@pytest.mark.parametrize("visit", [0, 1])
@pytest.mark.parametrize("correction", ["CR0", "CR1", "CR2"])
def test_least_squares_as_clubsandwich(correction: Literal["CR0", "CR1", "CR2"], visit: int) -> None:
    means = cluster_robust(trial(), correction=correction)
    estimate, error, df = contrasts(means, visit)
    assert_allclose(estimate, ESTIMATES[visit], rtol=DIGITS)
    assert_allclose(error, ERRORS[correction][visit], rtol=DIGITS)
    if correction == "CR0":
        assert np.isinf(df).all()
    else:
        assert_allclose(df, DF[correction][visit], rtol=DIGITS)
    assert means.n_cell[:, visit].tolist() == [[16, 18, 12], [13, 15, 10]][visit]
    assert means.reason == ("", "")


def dense_cr2(y: Array, design: Array, unit: Array, c: Array) -> tuple[float, float]:
    """CR2 variance of c'beta and its degrees of freedom with N x N matrices, from the definition."""
    bread = np.linalg.inv(design.T @ design)
    rest = np.eye(len(y)) - design @ bread @ design.T
    weights = np.zeros((len(y), len(set(unit))))
    for column, code in enumerate(sorted(set(unit))):
        own = unit == code
        values, axes = np.linalg.eigh(rest[np.ix_(own, own)])
        root = axes @ np.diag(np.where(values > 1e-12, np.maximum(values, 1e-12) ** -0.5, 0)) @ axes.T
        weights[own, column] = root @ design[own] @ bread @ c
    omega = weights.T @ rest @ rest @ weights
    return float(np.square(weights.T @ rest @ y).sum()), float(np.trace(omega) ** 2 / np.trace(omega @ omega))


@pytest.mark.parametrize("alone", [0.0, 0.5, 1.0])
def test_least_squares_as_dense_matrices(alone: float) -> None:
    rng = np.random.default_rng(5)
    n = 90
    arm = rng.integers(0, 3, n)
    cluster = np.where(rng.random(n) < alone, -1, rng.integers(0, 9, n))
    x = rng.normal(size=(n, 3)) + np.array([0, 2000, 5])
    x[:, 2] = np.arange(n) == 3  # leverage 1
    y = rng.normal(size=n) + np.r_[rng.normal(size=9), 0][cluster] + x[:, 0]
    means = cluster_robust(Data(y[:, None], arm, x, cluster, 3))
    design = np.hstack([arm[:, None] == np.arange(3), x - x.mean(axis=0)]).astype(float)
    unit = np.where(cluster < 0, 100 + np.arange(n), cluster)
    for a, b in PAIRS:
        c = np.eye(6)[a] - np.eye(6)[b]
        variance, df = dense_cr2(y, design, unit, c)
        own = np.eye(3)[a] - np.eye(3)[b]
        assert_allclose(own @ means.cov @ own, variance, rtol=1e-8)
        assert_allclose(means.df[a, b, 0], df, rtol=1e-8)
    assert_allclose(means.mean[:, 0], np.linalg.lstsq(design, y, rcond=None)[0][:3], rtol=1e-10)


def test_a_mean_of_equal_clusters_has_one_df_less_than_clusters() -> None:
    rng = np.random.default_rng(6)
    cluster = np.repeat(np.arange(24), 5)
    arm = cluster % 2
    means = cluster_robust(Data(rng.normal(size=(120, 1)), arm, np.empty((120, 0)), cluster, 2))
    assert_allclose(means.df[[0, 1], [0, 1], 0], 11)
    assert_allclose([means.df[0, 1, 0], means.global_df[0]], 22)


def test_f_test_of_all_arms_combines_its_components() -> None:
    means = cluster_robust(trial())
    low, high = contrasts(means, 0)[2][3:].min(), contrasts(means, 0)[2][3:].max()
    assert low < means.global_df[0] < 2 * high  # 5.95 ... 9.59


# --------------------------------------------------------------------------------------- cluster-level summaries

ARM_MEANS = {
    (0, False): [3.793750000, 2.861666667, 3.283333333],
    (0, True): [3.759898554, 3.087848063, 3.383019442],
    (1, False): [3.684615385, 3.053333333, 4.145000000],
    (1, True): [3.624027619, 3.300034202, 4.311036468],
}
WELCH = {
    (0, False): [(0.5136824097, 11.6852368367), (0.5058657664, 12.0956293618), (0.5228368133, 7.9932062044)],
    (0, True): [(0.4765762032, 8.9238670378), (0.3729309005, 15.0860112445), (0.4520695762, 6.7475551791)],
    (1, False): [(0.6169437514, 9.9642542426), (0.4857641553, 15.4218626692), (0.5497297316, 6.5087394237)],
    (1, True): [(0.4048021555, 15.6757837028), (0.4190183227, 15.0605550592), (0.3377170956, 7.9165257249)],
}
ANOVA = {  # F, its degrees of freedom, residual standard deviation
    (0, False): (1.19663906, 2, 23, 1.234231704),
    (0, True): (0.9346299148, 2, 23, 1.010974345),
    (1, False): (0.9882260169, 2, 20, 1.23624388),
    (1, True): (1.380332098, 2, 20, 0.9965275807),
}
SVYMEAN = {
    (0, False): [(3.7937500000, 0.3510067366), (3.2944444444, 0.5610169657), (3.570833333, 0.352961679)],
    (0, True): [(3.7598985543, 0.2844603947), (3.3386515288, 0.5287388171), (3.5496579677, 0.3134867043)],
    (1, False): [(3.6846153846, 0.3964742294), (3.5033333333, 0.3237353362), (4.2450000000, 0.3051239502)],
    (1, True): [(3.624027619, 0.335699496), (3.5347037264, 0.2005576759), (4.2767085057, 0.2333840308)],
}
CLUSTERS = [[16, 5, 5], [13, 5, 5]]


def summary_data(two_stage: bool) -> Data:
    data = trial()
    return data if two_stage else replace(data, covariates=np.empty((len(data.arm), 0)))


@pytest.mark.parametrize("two_stage", [False, True])
@pytest.mark.parametrize("visit", [0, 1])
class TestClusterMeans:
    def test_welch(self, visit: int, two_stage: bool) -> None:
        means = cluster_means(summary_data(two_stage))
        _, error, df = contrasts(means, visit)
        assert_allclose(means.mean[:, visit], ARM_MEANS[visit, two_stage], rtol=DIGITS)
        assert_allclose(np.column_stack([error, df])[3:], WELCH[visit, two_stage], rtol=DIGITS)
        assert_allclose(df[:3], np.array(CLUSTERS[visit]) - 1)

    def test_pooled(self, visit: int, two_stage: bool) -> None:
        means = cluster_means(summary_data(two_stage), pooled=True)
        _, error, df = contrasts(means, visit)
        f, df_arms, df_rest, sigma = ANOVA[visit, two_stage]
        assert_allclose(error[:3], sigma / np.sqrt(CLUSTERS[visit]), rtol=DIGITS)
        assert (df == df_rest).all()
        c = np.eye(3)[1:] - np.eye(3)[0]
        apart, cov = c @ means.mean[:, visit], c @ np.diag(error[:3] ** 2) @ c.T
        assert_allclose(apart @ np.linalg.solve(cov, apart) / df_arms, f, rtol=DIGITS)
        assert means.global_df[visit] == df_rest

    def test_weighted_by_size(self, visit: int, two_stage: bool) -> None:
        means = cluster_means(summary_data(two_stage), weights="size")
        estimate, error, _ = contrasts(means, visit)
        assert_allclose(np.column_stack([estimate, error])[:3], SVYMEAN[visit, two_stage], rtol=DIGITS)


def test_equal_sizes_need_no_weights() -> None:
    rng = np.random.default_rng(7)
    data = Data(rng.normal(size=(60, 1)), np.repeat([0, 1], 30), np.empty((60, 0)), np.arange(60) // 5, 2)
    for pooled in (False, True):
        one = cluster_means(data, pooled=pooled)
        other = cluster_means(data, weights="size", pooled=pooled)
        assert_allclose(one.mean, other.mean)
        assert_allclose(one.cov, other.cov)
    t = stats.ttest_ind(*data.y.reshape(2, 6, 5).mean(axis=2))
    p = 2 * stats.t.sf(abs(np.diff(one.mean[:, 0])[0]) / np.sqrt(np.trace(one.cov)), one.df[0, 1, 0])
    assert_allclose(p, t.pvalue)


# ------------------------------------------------------------------------------------------- one visit at a time


@pytest.mark.parametrize("model", [cluster_robust, cluster_means])
def test_a_visit_fails_alone(model: Any) -> None:
    data = trial()
    y = np.column_stack([data.y, data.y[:, 0], data.y[:, 0], np.where(data.arm == 2, 1.0, data.y[:, 0])])
    y[data.arm == 1, 2] = np.nan
    y[(data.arm == 1) & (data.cluster != 4), 3] = np.nan
    if model is cluster_means:
        data = replace(data, covariates=np.empty((46, 0)))
    means, whole = model(replace(data, y=y)), model(data)
    assert means.reason[:4] == (
        "",
        "",
        "no observations in arm 1 at visit 2",
        "fewer than 2 clusters in arm 1 at visit 3",
    )
    assert means.reason[4] == ("zero variance in arm 2 at visit 4" if model is cluster_means else "")
    assert np.isnan(means.mean[:, 2:4]).all()
    assert np.isnan(means.df[..., 2:4]).all()
    cov = means.cov.reshape(3, 5, 3, 5)
    assert np.isnan(cov[:, [2, 3], :, [2, 3]]).all()
    assert_allclose(cov[:, :2, :, :2], whole.cov.reshape(3, 2, 3, 2))
    assert_allclose(means.df[..., :2], whole.df)
    assert means.n_used == whole.n_used == 46


def test_refusals() -> None:
    data = trial()
    assert "more than one arm" in cluster_means(replace(data, cluster=np.arange(46) % 5)).reason[0]
    assert cluster_robust(replace(data, cluster=np.arange(46) % 5)).reason == ("", "")
    assert cluster_robust(replace(data, covariates=data.covariates[:, [0, 0]])).reason[0] == "covariates are collinear"
    for model in (cluster_robust, cluster_means):
        with pytest.raises(ValueError, match="weights"):
            model(replace(data, weights=np.ones((46, 2))))


def test_a_difference_that_rests_on_one_cluster_is_refused() -> None:
    """Arm 1 has two coaches, and a covariate tells them apart: least squares has nothing left to compare there."""
    rng = np.random.default_rng(8)
    arm = np.repeat([0, 1], [40, 10])
    cluster = np.where(arm == 1, np.arange(50) % 2, -1)
    x = (cluster == 1)[:, None].astype(float)
    data = Data(rng.normal(size=(50, 1)), arm, x, cluster, 2)
    assert cluster_robust(data).reason == ("the variance between arm 0 and arm 1 at visit 0 rests on one cluster",)
    assert cluster_robust(replace(data, covariates=x[:, :0])).reason == ("",)


def test_sites_as_clusters_and_as_covariates() -> None:
    """Differences within sites are as in clubSandwich; what sites differ by is gone from the means."""
    rng = np.random.default_rng(9)
    site = np.repeat(np.arange(6), [9, 14, 8, 11, 13, 7])
    arm, y = rng.integers(0, 2, 62), rng.normal(size=62)
    x = (site[:, None] == np.arange(1, 6)).astype(float)
    means = cluster_robust(Data(y[:, None], arm, x, site, 2))
    design = np.hstack([arm[:, None] == np.arange(2), x]).astype(float)
    variance, df = dense_cr2(y, design, site, np.array([1.0, -1, 0, 0, 0, 0, 0]))
    assert_allclose([1, -1] @ means.cov @ [1, -1], variance, rtol=1e-8)
    assert_allclose(means.df[0, 1, 0], df, rtol=1e-8)
    assert np.isnan(means.df[[0, 1], [0, 1], 0]).all()


# ------------------------------------------------------------------------------------------ errors of the first kind


def rejections(n_trials: int) -> tuple[float, float]:
    """Shares of trials without effect that CR2 with Satterthwaite's df, and CR0 with the normal distribution, reject.

    150 participants alone against 12 coaches with 2 to 13 participants each; intracluster correlation 0.2.
    """
    rng = np.random.default_rng(20240612)
    cluster = np.r_[np.full(150, -1), np.repeat(np.arange(12), np.arange(12) + 2)]
    arm, none = (cluster >= 0).astype(np.int64), np.empty((len(cluster), 0))
    c, found = np.array([1, -1]), np.empty((n_trials, 2))
    for row in found:
        shared = np.where(cluster >= 0, np.sqrt(0.2) * rng.normal(size=12)[cluster], 0)
        y = shared + np.where(cluster >= 0, np.sqrt(0.8), 1) * rng.normal(size=len(cluster))
        for place, correction in enumerate(("CR2", "CR0")):
            means = cluster_robust(Data(y[:, None], arm, none, cluster, 2), correction=correction)  # type: ignore[arg-type]
            t = c @ means.mean[:, 0] / np.sqrt(c @ means.cov @ c)
            row[place] = abs(t) > quantile(means.df[0, 1, 0])
    return float(found[:, 0].mean()), float(found[:, 1].mean())


def quantile(df: float) -> float:
    return float(stats.norm.ppf(0.975) if np.isinf(df) else stats.t.ppf(0.975, df))


def test_errors_of_the_first_kind_with_twelve_coaches() -> None:
    n_trials = 2000
    corrected, plain = rejections(n_trials)
    margin = Z * float(se_of_share(0.05, n_trials))
    assert abs(corrected - 0.05) < margin
    assert plain > 0.05 + margin
