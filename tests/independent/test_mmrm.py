"""MMRM against R (nlme, pbkrtest, lmerTest, lme4), exact cases, and a second implementation with dense matrices.

R 4.2.2, nlme 3.1-162, lme4 1.1-31, pbkrtest 0.5.2, lmerTest 3.1-3, numDeriv 2016.8-1.1. The data frames hold a row
per observation: id, arm, visit (from 0), x1, x2 (minus their means over participants with an observation), y. R's
`gls` stops at about 5 digits, so its Sigma is polished by Newton's method; Kenward-Roger is pbkrtest's own code given
Sigma and its derivatives (pbkrtest fits only lmer, which has no unstructured Sigma), Satterthwaite is lmerTest's own
code given the coefficients' covariance, its numerical derivatives, and the numerical Hessian.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from trialsim.analysis.fits import Data, Floats, Means
from trialsim.analysis.mmrm import fit_mmrm, mmrm

R_CODE = r"""
library(nlme); library(pbkrtest); library(lmerTest); library(numDeriv)
STEP <- list(d = 0.005, r = 6)  # the default d = 0.1 is too wide near a singular Sigma
analyse <- function(file, formula) {
  d <- read.csv(file); d <- d[order(d$id, d$visit), ]
  d$cell <- factor(paste0("a", d$arm, "v", d$visit)); d$t <- d$visit + 1; V <- max(d$t); d$v <- factor(d$visit)
  X <- model.matrix(formula, d); n <- nrow(X); p <- ncol(X); y <- d$y
  g <- gls(update(formula, y ~ .), d, correlation = corSymm(form = ~ t | id), weights = varIdent(form = ~ 1 | t),
           method = "REML", control = glsControl(maxIter = 200, msMaxIter = 500, tolerance = 1e-10, msTol = 1e-12))
  full <- names(which(table(d$id) == V))[1]
  S0 <- getVarCov(g, individual = full); class(S0) <- "matrix"
  ij <- which(lower.tri(diag(V), diag = TRUE), arr.ind = TRUE)
  place <- function(th) { S <- matrix(0, V, V); S[ij] <- th; S[upper.tri(S)] <- t(S)[upper.tri(S)]; S }
  big <- function(S) { B <- matrix(0, n, n); for (k in split(seq_len(n), d$id)) B[k, k] <- S[d$t[k], d$t[k]]; B }
  at <- lapply(seq_len(nrow(ij)), function(k) { e <- numeric(nrow(ij)); e[k] <- 1; big(place(e)) })
  slope <- function(th) { Bi <- solve(big(place(th))); BX <- Bi %*% X; P <- Bi - BX %*% solve(crossprod(X, BX), t(BX))
    Py <- P %*% y; sapply(at, function(g) sum(P * g) - drop(crossprod(Py, g %*% Py))) }
  th <- S0[ij]
  for (k in 1:6) th <- th - solve(jacobian(slope, th, method.args = STEP), slope(th))
  H <- jacobian(slope, th, method.args = STEP); H <- (H + t(H)) / 2
  B <- big(place(th)); Bi <- solve(B); Phi <- solve(t(X) %*% Bi %*% X); beta <- drop(Phi %*% t(X) %*% Bi %*% y)
  G <- lapply(at, function(g) as(as(g, "sparseMatrix"), "CsparseMatrix"))
  Va <- pbkrtest:::vcovAdj_internal(Phi, list(Sigma = forceSymmetric(Matrix(B)), G = G, n.ggamma = length(th)), X)
  m <- new("lmerModLmerTest"); m@beta <- beta; m@vcov_beta <- Phi; m@vcov_varpar <- 2 * solve(H); m@sigma <- 1
  J <- jacobian(function(th) { Xs <- backsolve(chol(big(place(th))), X, transpose = TRUE); solve(crossprod(Xs)) }, th,
                method.args = STEP)
  m@Jac_list <- lapply(seq_along(th), function(k) matrix(J[, k], p))
  # then logLik(g), th, beta, sqrt(diag(Phi)), sqrt(diag(Va)), and for contrasts L: contest1D(m, L), contestMD(m, L),
  # sqrt(L Va L'), Lb_ddf(L, Phi, Va)
}
analyse("small.csv", ~ 0 + cell + x1 + x2)
analyse("small.csv", ~ 0 + cell + x1:v + x2:v)
analyse("larger.csv", ~ 0 + cell + x1 + x2)

d <- read.csv("larger.csv"); d$cell <- factor(paste0("a", d$arm, "v", d$visit)); d$id <- factor(d$id)
m <- lmerTest::lmer(y ~ 0 + cell + x1 + x2 + (1 | id), d,
                    control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e5)))
vcovAdj(m); contest1D(m, L); contest1D(m, L, ddf = "Kenward-Roger"); contestMD(m, L)
"""


def small() -> Data:
    """24 participants, 2 arms, 3 visits, 2 covariates; 6 patterns of missing visits."""
    i = np.arange(24)
    arm = i % 2
    x = np.stack([np.sin(1.7 * i), (i % 3 == 0) * 1.0], axis=1)
    own = 3 * np.sin(5.3 * i + 1)
    visits = [2 * np.cos(2.9 * i + 4 * v) + v * (1 + 0.7 * arm) + (1 + 0.3 * v) * own for v in range(3)]
    y = 10 + np.stack(visits, axis=1) + (2 * x[:, :1] - x[:, 1:])
    y[[3, 10, 17], 2] = np.nan
    y[[5, 12], 1] = np.nan
    y[8, 0] = np.nan
    y[[14, 19], 1:] = np.nan
    y[21, :2] = np.nan
    return Data(y, arm, x, np.full(24, -1), 2)


def larger() -> Data:
    """60 participants, 3 arms, 4 visits, 2 covariates; 20 % missing at random places, and one never observed."""
    rng = np.random.default_rng(20240517)
    arm, x = rng.integers(0, 3, 60), rng.normal(size=(60, 2))
    spread = np.array([1, 1.5, 0.8, 2])
    y = 5 + (rng.normal(size=(60, 1)) + rng.normal(size=(60, 4))) * spread
    y += 0.5 * arm[:, None] + x[:, :1] * [0.5, 1, 0, 1]
    y[rng.random((60, 4)) < 0.2] = np.nan
    y[7] = np.nan
    return Data(y, arm, x, np.full(60, -1), 3)


# Of differences: arm 1 or 2 minus arm 0 (or 2 minus 1), by visit: estimate, std error, df by Satterthwaite; std error,
# df by Kenward and Roger.
SMALL = {
    "log_likelihood": -131.616532139,
    "sigma": [
        [7.36669295107, 4.60685372873, 8.12511041995],
        [4.60685372873, 9.45907429215, 8.08246860235],
        [8.12511041995, 8.08246860235, 15.2586302666],
    ],
    "mean": [9.65198680621, 10.2303087683, 11.3143300185, 9.95749228246, 10.9906100683, 12.2467017973],
    "beta": [1.75244398007, -0.58919285234],
    "error": [0.800536880866, 0.941943723862, 1.1701309528, 0.801648098103, 0.971743444186, 1.1926715183],
    "error_kr": [0.805001147598, 0.952253113031, 1.17757951915, 0.804410202284, 0.986342004652, 1.2070293631],
    "differences": {
        (1, 0): [
            [0.305505476252, 1.13684702668, 21.1371528932, 1.14306362937, 19.8711386149],
            [0.760301300071, 1.35424301632, 18.4984936254, 1.371917636, 17.8561366226],
            [0.932371778777, 1.67089253177, 17.1058597775, 1.68709679555, 19.5363347089],
        ]
    },
    "df_of_mean": [[20.9305349439, 19.6606393162], [18.1183761906, 17.522970819], [16.4706500673, 18.8957737175]],
    "global_df": [21.1371528932, 18.4984936254, 17.1058597775],
    "cov_kr_0": [
        0.648026847634,
        0.384694201517,
        0.675481011502,
        -0.00574591980317,
        -0.00230685575599,
        0.000647864479854,
    ],
}
SMALL_BY_VISIT = {
    "log_likelihood": -125.292389597,
    "sigma": [
        [7.36567248175, 4.3155943056, 9.79082225686],
        [4.3155943056, 9.53394533604, 8.64405586064],
        [9.79082225686, 8.64405586064, 18.4740409952],
    ],
    "mean": [9.64982348453, 10.1448196607, 10.8359931146, 10.015156281, 10.9876005952, 11.8534645688],
    "beta": [1.9760560025, 1.84524596041, 4.04276777715, -0.339283470216, -0.152486765447, 0.967825476237],
    "error": [0.797162946322, 0.950775439799, 1.28316197881, 0.799010970008, 0.980023210009, 1.3020284949],
    "error_kr": [0.800878367803, 0.962839680642, 1.29288291027, 0.801246427738, 0.99637027617, 1.31763435537],
    "differences": {
        (1, 0): [
            [0.365332796447, 1.13409218847, 20.7771710552, 1.13942290182, 19.9187094435],
            [0.842780934451, 1.36616312351, 17.486876146, 1.3864818531, 16.9652376638],
            [1.01747145413, 1.81861281005, 16.0288620141, 1.8332264956, 18.9301005915],
        ]
    },
    "df_of_mean": [[20.5710741649, 19.7079667807], [17.1981736184, 16.6690020635], [15.9956271543, 18.8857854102]],
    "global_df": [20.7771710552, 17.486876146, 16.0288620141],
    "cov_kr_0": [
        0.641406160015,
        0.360871236708,
        0.816276793931,
        -0.00744127560997,
        -0.00252153948661,
        0.00369208253217,
    ],
}
LARGER = {
    "log_likelihood": -357.770329675,
    "sigma": [
        [1.90784844616, 1.95413518779, 0.729104612175, 1.6238213462],
        [1.95413518779, 5.15542888661, 1.18356762141, 3.27578900197],
        [0.729104612175, 1.18356762141, 1.27605842818, 0.721817865898],
        [1.6238213462, 3.27578900197, 0.721817865898, 7.73950675853],
    ],
    "mean": [
        *[5.2082431097, 5.29173990208, 5.05622741738, 5.19475609472, 5.19232633519, 3.56103583942],
        *[5.06069680484, 3.59863206801, 6.58883058897, 6.80216982822, 5.80229679346, 7.21679728353],
    ],
    "beta": [0.273860666725, -0.191119562706],
    "error": [
        *[0.345619808204, 0.598375034152, 0.301996060194, 0.731338785393, 0.341543129864, 0.50631561497],
        *[0.261375707622, 0.641418797943, 0.333503770475, 0.532927211603, 0.279175373475, 0.648262575758],
    ],
    "error_kr": [
        *[0.347317299221, 0.603613950719, 0.305270412391, 0.737295752281, 0.348286160999, 0.509034288255],
        *[0.264049110541, 0.64746957071, 0.337260077332, 0.536482908087, 0.282980459377, 0.651618740795],
    ],
    "differences": {
        (1, 0): [
            [-0.0159167745154, 0.486711383567, 45.0148915401, 0.49272182471, 48.8181421199],
            [-1.73070406266, 0.785065338639, 50.092034214, 0.790974985441, 52.4754938513],
            [0.00446938746197, 0.401081342241, 45.5913711189, 0.405530073498, 47.0534819075],
            [-1.59612402671, 0.973861632111, 51.8074048077, 0.982490549098, 50.6297904433],
        ],
        (2, 0): [
            [1.38058747927, 0.483466102436, 43.5068478342, 0.487681108852, 47.4138682229],
            [1.51042992614, 0.803793777325, 50.5016349668, 0.810393173797, 52.8017440355],
            [0.746069376081, 0.416066583518, 46.4016478306, 0.421715925139, 47.8689323575],
            [2.02204118881, 0.979071972293, 51.2731957943, 0.985999309599, 50.042649909],
        ],
        (2, 1): [
            [1.39650425378, 0.479719764341, 46.9316737433, 0.48751957518, 50.7222619824],
            [3.24113398879, 0.73606137273, 48.8884791307, 0.740666751685, 51.294389589],
            [0.741599988619, 0.383610028285, 45.3132086054, 0.388311787072, 46.8108579455],
            [3.61816521552, 0.912759832915, 51.3846225256, 0.919450797406, 50.1709855146],
        ],
    },
    "df_of_mean": [
        [41.9556819393, 45.8200148285],
        [51.0300533659, 53.2938442433],
        [45.894144383, 47.3493016762],
        [51.3654315138, 50.1855652532],
    ],
    "global_df": [45.0790858292, 49.7591091912, 45.7308123352, 51.4853239454],
    "cov_kr_0": [
        *[0.120629306338, 0.117566139507, 0.046586579234, 0.098673182826, -0.000421120132077, -0.00139223280729],
        *[
            -0.000968089415139,
            -0.00149164479009,
            -0.00172959891536,
            -0.0018353658126,
            -0.0016727543787,
            -0.0016743150039,
        ],
    ],
}
FROZEN = [(small, False, SMALL), (small, True, SMALL_BY_VISIT), (larger, False, LARGER)]
R = 1e-8  # the Hessian of R's Satterthwaite is numerical; everything else agrees to 1e-11


def difference_errors(means: Means, a: int, b: int) -> Floats:
    n_arms, n_visits = means.mean.shape
    cov = means.cov.reshape(n_arms, n_visits, n_arms, n_visits)
    own = np.einsum("avav->av", cov)
    return np.sqrt(own[a] + own[b] - 2 * np.einsum("vv->v", cov[a, :, b]))


@pytest.mark.parametrize(("make", "by_visit", "expected"), FROZEN)
def test_reml_as_nlme_gls(make: Any, by_visit: bool, expected: dict[str, Any]) -> None:
    fit = fit_mmrm(make(), covariates_by_visit=by_visit)
    assert fit.log_likelihood == pytest.approx(expected["log_likelihood"], rel=1e-11)
    np.testing.assert_allclose(fit.sigma, expected["sigma"], rtol=1e-10)
    np.testing.assert_allclose(fit.coef, expected["mean"] + expected["beta"], rtol=1e-10)
    n_cells = len(expected["mean"])
    np.testing.assert_allclose(np.sqrt(fit.cov_coef.diagonal())[:n_cells], expected["error"], rtol=1e-10)


@pytest.mark.parametrize(("make", "by_visit", "expected"), FROZEN)
def test_satterthwaite_as_lmertest(make: Any, by_visit: bool, expected: dict[str, Any]) -> None:
    means = mmrm(make(), df="satterthwaite", covariates_by_visit=by_visit)
    np.testing.assert_allclose(means.mean.ravel(), expected["mean"], rtol=1e-10)
    np.testing.assert_allclose(np.sqrt(means.cov.diagonal()), expected["error"], rtol=1e-10)
    np.testing.assert_allclose(means.df[0, 0], np.array(expected["df_of_mean"])[:, 0], rtol=R)
    np.testing.assert_allclose(means.global_df, expected["global_df"], rtol=R)
    for (a, b), values in expected["differences"].items():
        estimate, error, df = np.array(values).T[:3]
        np.testing.assert_allclose(means.mean[a] - means.mean[b], estimate, rtol=1e-9)
        np.testing.assert_allclose(difference_errors(means, a, b), error, rtol=1e-10)
        np.testing.assert_allclose(means.df[a, b], df, rtol=R)
        np.testing.assert_allclose(means.df[b, a], df, rtol=R)


@pytest.mark.parametrize(("make", "by_visit", "expected"), FROZEN)
def test_kenward_roger_as_pbkrtest(make: Any, by_visit: bool, expected: dict[str, Any]) -> None:
    means = mmrm(make(), covariates_by_visit=by_visit)
    np.testing.assert_allclose(means.mean.ravel(), expected["mean"], rtol=1e-10)
    np.testing.assert_allclose(np.sqrt(means.cov.diagonal()), expected["error_kr"], rtol=1e-10)
    np.testing.assert_allclose(means.cov[0], expected["cov_kr_0"], rtol=1e-8)
    np.testing.assert_allclose(means.df[0, 0], np.array(expected["df_of_mean"])[:, 1], rtol=1e-10)
    for (a, b), values in expected["differences"].items():
        _estimate, _error, _df, error, df = np.array(values).T
        np.testing.assert_allclose(difference_errors(means, a, b), error, rtol=1e-10)
        np.testing.assert_allclose(means.df[a, b], df, rtol=1e-10)
        if means.mean.shape[0] == 2:
            np.testing.assert_allclose(means.global_df, df, rtol=1e-10)


def test_three_arms_denominator_near_that_of_kenward_and_roger() -> None:
    """pbkrtest's Lb_ddf for both differences to arm 0. It multiplies F by lambda as well, so they are not the same."""
    kenward_roger = [48.9533301191, 52.138997601, 47.210835519, 50.2760935952]
    np.testing.assert_allclose(mmrm(larger()).global_df, kenward_roger, rtol=2e-3)


def test_compound_symmetry_as_lmer() -> None:
    """lmer(... + (1 | id)): all of it is lme4's, lmerTest's and pbkrtest's own, to the 8 digits of lme4's optimiser."""
    fit = fit_mmrm(larger(), covariance="compound_symmetry")
    assert fit.log_likelihood == pytest.approx(-385.493076282, rel=1e-11)
    assert fit.sigma[0, 1] == pytest.approx(1.66874809234, rel=1e-7)
    assert fit.sigma[2, 2] - fit.sigma[3, 1] == pytest.approx(2.39978949584, rel=1e-7)
    satterthwaite = mmrm(larger(), covariance="compound_symmetry", df="satterthwaite")
    kenward_roger = mmrm(larger(), covariance="compound_symmetry")
    by_visit = [
        [-0.0495280584828, 0.724239074995, 141.704353307, 0.724856125559, 143.717790356],
        [-1.60329467202, 0.717155651617, 138.257847671, 0.71779044509, 140.406672907],
        [0.0326726250887, 0.711390100715, 136.820941198, 0.71193360641, 139.023638986],
        [-1.63514376007, 0.713304522912, 137.217986871, 0.713883746493, 139.405950262],
    ]
    estimate, error, df, error_kr, df_kr = np.array(by_visit).T
    np.testing.assert_allclose(satterthwaite.mean[1] - satterthwaite.mean[0], estimate, rtol=1e-7)
    np.testing.assert_allclose(difference_errors(satterthwaite, 1, 0), error, rtol=1e-8)
    np.testing.assert_allclose(satterthwaite.df[1, 0], df, rtol=1e-7)
    np.testing.assert_allclose(
        satterthwaite.global_df, [140.185960543, 136.365903546, 137.505179408, 134.390918687], rtol=1e-7
    )
    np.testing.assert_allclose(difference_errors(kenward_roger, 1, 0), error_kr, rtol=1e-8)
    np.testing.assert_allclose(kenward_roger.df[1, 0], df_kr, rtol=1e-8)


# ------------------------------------------------------------------------------------------------- exact cases


def complete(n: int, n_arms: int, n_visits: int, n_covariates: int, seed: int = 1) -> Data:
    rng = np.random.default_rng(seed)
    arm, x = np.arange(n) % n_arms, rng.normal(size=(n, n_covariates))
    y = (
        rng.normal(size=(n, 1))
        + rng.normal(size=(n, n_visits)) * (1 + np.arange(n_visits))
        + x.sum(axis=1, keepdims=True)
    )
    return Data(y, arm, x, np.full(n, -1), n_arms)


@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite", "residual"])
@pytest.mark.parametrize("covariance", ["unstructured", "compound_symmetry"])
def test_one_visit_is_analysis_of_covariance(df: Any, covariance: Any) -> None:
    data = complete(31, 3, 1, 2)
    y = data.y.copy()
    y[[4, 9]] = np.nan
    means = mmrm(replace(data, y=y), df=df, covariance=covariance)
    used = ~np.isnan(y[:, 0])
    centred = data.covariates - data.covariates[used].mean(axis=0)
    design = np.column_stack([data.arm[:, None] == np.arange(3), centred])[used]
    ols = sm.OLS(y[used, 0], design).fit()
    np.testing.assert_allclose(means.mean[:, 0], ols.params[:3], rtol=1e-11)
    np.testing.assert_allclose(means.cov, ols.cov_params()[:3, :3], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(means.df, ols.df_resid, rtol=1e-10)
    np.testing.assert_allclose(means.global_df, ols.df_resid, rtol=1e-10)
    assert means.n_used == 29


@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite"])
def test_complete_data_are_a_t_test_at_each_visit(df: Any) -> None:
    data = complete(29, 2, 3, 0)
    means = mmrm(data, df=df)
    errors = difference_errors(means, 0, 1)
    for visit in range(3):
        first, second = (data.y[data.arm == arm, visit] for arm in (0, 1))
        test = stats.ttest_ind(first, second)
        t = (means.mean[0, visit] - means.mean[1, visit]) / errors[visit]
        assert t == pytest.approx(test.statistic, rel=1e-10)
        assert means.df[0, 1, visit] == pytest.approx(27, rel=1e-10)
        assert 2 * stats.t.sf(abs(t), means.df[0, 1, visit]) == pytest.approx(test.pvalue, rel=1e-9)


@pytest.mark.parametrize("df", ["kenward_roger", "satterthwaite"])
def test_complete_data_with_covariates_by_visit_are_analyses_of_covariance(df: Any) -> None:
    data = complete(40, 3, 4, 2)
    means = mmrm(data, df=df, covariates_by_visit=True)
    design = np.column_stack([data.arm[:, None] == np.arange(3), data.covariates - data.covariates.mean(axis=0)])
    cov = means.cov.reshape(3, 4, 3, 4)
    for visit in range(4):
        ols = sm.OLS(data.y[:, visit], design).fit()
        np.testing.assert_allclose(means.mean[:, visit], ols.params[:3], rtol=1e-10)
        np.testing.assert_allclose(cov[:, visit, :, visit], ols.cov_params()[:3, :3], rtol=1e-9)
    np.testing.assert_allclose(means.df, 35, rtol=1e-9)
    np.testing.assert_allclose(means.global_df, 35, rtol=1e-9)


def test_dropout_before_the_last_visit_has_a_closed_form() -> None:
    """One arm, two visits, the second sometimes missing: factored likelihood (Anderson 1957, doi:10.1080/01621459.1957.10501379).

    The mean at visit 1 is the regression of visit 1 on visit 0 among completers, at the mean of all at visit 0.
    Its slope, and so the mean, is the same for REML (Sigma is unstructured), and not the mean of completers.
    """
    y = complete(30, 1, 2, 0).y
    y[::4, 1] = np.nan
    means = mmrm(Data(y, np.zeros(30, int), np.empty((30, 0)), np.full(30, -1), 1))
    both = ~np.isnan(y[:, 1])
    slope = np.cov(y[both].T)[0, 1] / np.var(y[both, 0], ddof=1)
    expected = y[both, 1].mean() + slope * (y[:, 0].mean() - y[both, 0].mean())
    assert means.mean[0, 1] == pytest.approx(expected, rel=1e-10)
    assert means.mean[0, 1] != pytest.approx(y[both, 1].mean(), rel=1e-3)
    assert np.isnan(means.global_df).all()


# ---------------------------------------------------------------------------- a second implementation, dense


class Dense:
    """Textbook formulas with a row per observation. Derivatives by theta are numerical where that is possible."""

    def __init__(self, data: Data, by_visit: bool, compound: bool) -> None:
        seen = data.observed
        who, visit = np.nonzero(seen)
        x = data.covariates - data.covariates[seen.any(axis=1)].mean(axis=0)
        n_visits = seen.shape[1]
        cells = np.eye(data.n_arms * n_visits)[data.arm[who] * n_visits + visit]
        at_visit = np.eye(n_visits)[visit] if by_visit else np.ones((len(who), 1))
        more = [x[who, c, None] * at_visit for c in range(x.shape[1])]
        self.X, self.y = np.column_stack([cells, *more]), data.y[who, visit]
        same = who[:, None] == who
        pairs = [(v, w) for v in range(n_visits) for w in range(v + 1)]
        one = [((visit[:, None] == v) & (visit == w)) | ((visit[:, None] == w) & (visit == v)) for v, w in pairs]
        equal = visit[:, None] == visit
        shapes = [equal, ~equal] if compound else one
        self.G = [(same & shape).astype(float) for shape in shapes]
        self.places = [(0, 0), (1, 0)] if compound else pairs

    def theta(self, sigma: Floats) -> Floats:
        return np.array([sigma[place] for place in self.places])

    def phi(self, theta: Floats) -> Floats:
        omega = sum(t * g for t, g in zip(theta, self.G, strict=True))
        return np.linalg.inv(self.X.T @ np.linalg.solve(omega, self.X))

    def log_likelihood(self, theta: Floats) -> float:
        omega = sum(t * g for t, g in zip(theta, self.G, strict=True))
        information = self.X.T @ np.linalg.solve(omega, self.X)
        beta = np.linalg.solve(information, self.X.T @ np.linalg.solve(omega, self.y))
        residual = self.y - self.X @ beta
        logs = np.linalg.slogdet(omega)[1] + np.linalg.slogdet(information)[1]
        free = len(self.y) - len(beta)
        return float(-(free * np.log(2 * np.pi) + logs + residual @ np.linalg.solve(omega, residual)) / 2)

    def score(self, theta: Floats) -> Floats:
        inverse = np.linalg.inv(sum(t * g for t, g in zip(theta, self.G, strict=True)))
        project = inverse - inverse @ self.X @ self.phi(theta) @ self.X.T @ inverse
        along = project @ self.y
        return np.array([-(np.sum(project * g) - along @ g @ along) / 2 for g in self.G])

    def slope(self, function: Any, theta: Floats) -> Floats:
        """Central differences of 4th order."""
        steps = 2e-4 * np.abs(theta).max() * np.eye(len(theta))
        return np.array(
            [
                (8 * (function(theta + h) - function(theta - h)) - function(theta + 2 * h) + function(theta - 2 * h))
                / (12 * h.max())
                for h in steps
            ]
        )

    def expected(self, theta: Floats) -> Floats:
        inverse = np.linalg.inv(sum(t * g for t, g in zip(theta, self.G, strict=True)))
        project = inverse - inverse @ self.X @ self.phi(theta) @ self.X.T @ inverse
        return np.array([[np.trace(project @ g @ project @ h) / 2 for h in self.G] for g in self.G])

    def kenward_roger(self, theta: Floats) -> Floats:
        inverse, phi = np.linalg.inv(sum(t * g for t, g in zip(theta, self.G, strict=True))), self.phi(theta)
        w = np.linalg.inv(self.expected(theta))
        p = [-self.X.T @ inverse @ g @ inverse @ self.X for g in self.G]
        total = np.zeros_like(phi)
        for r, g in enumerate(self.G):
            for s, h in enumerate(self.G):
                q = self.X.T @ inverse @ g @ inverse @ h @ inverse @ self.X
                total += w[r, s] * (q - p[r] @ phi @ p[s])
        return phi + 2 * phi @ total @ phi


def cases() -> list[Any]:
    sizes = [(22, 1, 2, 1), (24, 2, 3, 2), (30, 3, 2, 0), (33, 3, 3, 1), (40, 2, 4, 2)]
    return [
        pytest.param(size, by_visit, covariance, id=f"{size}-{by_visit}-{covariance}")
        for size in sizes
        for by_visit, covariance in [(False, "unstructured"), (True, "unstructured"), (False, "compound_symmetry")]
    ]


@pytest.mark.parametrize(("size", "by_visit", "covariance"), cases())
def test_second_implementation(size: tuple[int, int, int, int], by_visit: bool, covariance: Any) -> None:
    data = complete(*size, seed=sum(size))
    y = data.y.copy()
    y[np.random.default_rng(5).random(y.shape) < 0.2] = np.nan
    data = replace(data, y=y)
    n_arms, n_visits = size[1], size[2]
    options: dict[str, Any] = {"covariates_by_visit": by_visit, "covariance": covariance}
    fit, dense = fit_mmrm(data, **options), Dense(data, by_visit, covariance == "compound_symmetry")
    theta = dense.theta(fit.sigma)
    assert fit.log_likelihood == pytest.approx(dense.log_likelihood(theta), rel=1e-11)
    np.testing.assert_allclose(dense.score(theta), 0, atol=1e-8 * np.sqrt(dense.expected(theta).diagonal().max()))
    np.testing.assert_allclose(dense.slope(dense.log_likelihood, theta), 0, atol=1e-6)
    phi, phi_slope = dense.phi(theta), dense.slope(dense.phi, theta)
    np.testing.assert_allclose(fit.cov_coef, phi, rtol=1e-8, atol=1e-12)
    # lmerTest's and R mmrm's is the observed information, pbkrtest's and SAS's the expected.
    hessian = -dense.slope(dense.score, theta)
    information = {"satterthwaite": (hessian + hessian.T) / 2, "kenward_roger": dense.expected(theta)}
    covariances = {"satterthwaite": phi, "kenward_roger": dense.kenward_roger(theta)}
    for df, info in information.items():
        means = mmrm(data, df=df, **options)  # type: ignore[arg-type]
        n_cells = n_arms * n_visits
        np.testing.assert_allclose(means.cov, covariances[df][:n_cells, :n_cells], rtol=1e-7, atol=1e-10)
        for a in range(n_arms):
            for b in range(n_arms):
                for v in range(n_visits):
                    contrast = np.zeros(len(phi))
                    contrast[a * n_visits + v] = 1
                    contrast[b * n_visits + v] -= a != b
                    d = contrast @ phi_slope @ contrast
                    expected = 2 * (contrast @ phi @ contrast) ** 2 / (d @ np.linalg.solve(info, d))
                    assert means.df[a, b, v] == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------------------------------------ invariances


def test_residual_degrees_of_freedom() -> None:
    means = mmrm(larger(), df="residual")
    np.testing.assert_array_equal(means.df, 193 - 14)
    np.testing.assert_array_equal(means.global_df, 193 - 14)
    np.testing.assert_allclose(np.sqrt(means.cov.diagonal()), LARGER["error"], rtol=1e-10)
    observed = larger().observed
    np.testing.assert_array_equal(means.n_cell, [observed[larger().arm == a].sum(axis=0) for a in range(3)])
    assert means.n_used == 59
    assert means.reason == ("",) * 4


def test_other_units_and_another_order() -> None:
    data, rng = larger(), np.random.default_rng(3)
    order = rng.permutation(60)
    other = Data(
        1e6 - 1e3 * data.y[order],
        (data.arm[order] + 1) % 3,
        data.covariates[order] @ [[100.0, 0.3], [0.0, 0.1]] + [5e3, -7.0],
        data.cluster,
        3,
    )
    means, turned = mmrm(data), mmrm(other)
    np.testing.assert_allclose(np.roll(turned.mean, -1, axis=0), 1e6 - 1e3 * means.mean, rtol=1e-11)
    np.testing.assert_allclose(np.roll(turned.cov, (-4, -4), axis=(0, 1)), 1e6 * means.cov, rtol=1e-7)
    np.testing.assert_allclose(np.roll(turned.df, (-1, -1), axis=(0, 1)), means.df, rtol=1e-7)


def test_same_bits_twice() -> None:
    first, second = mmrm(larger()), mmrm(larger())
    for name in ("mean", "cov", "df", "global_df"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_intervals_cover_at_the_nominal_rate() -> None:
    """8 participants, 2 arms, 2 visits, some without the last: 95 % intervals by Kenward and Roger in 500 trials.

    In the wrong world, with the normal quantile and the unadjusted error, coverage is outside the same tolerance.
    """
    rng, sound, naive = np.random.default_rng(11), [], []
    root = np.linalg.cholesky(0.6 + 0.4 * np.eye(2))
    for _ in range(500):
        y = rng.normal(size=(8, 2)) @ root.T
        y[[0, 5], 1] = np.nan
        data = Data(y, np.arange(8) % 2, np.empty((8, 0)), np.full(8, -1), 2)
        adjusted, plain = mmrm(data), mmrm(data, df="residual")
        off = np.abs(adjusted.mean[1] - adjusted.mean[0])[1]
        sound.append(off < stats.t.ppf(0.975, adjusted.df[0, 1, 1]) * difference_errors(adjusted, 0, 1)[1])
        naive.append(off < stats.norm.ppf(0.975) * difference_errors(plain, 0, 1)[1])
    tolerance = 4.5 * np.sqrt(0.95 * 0.05 / 500)
    assert abs(np.mean(sound) - 0.95) < tolerance
    assert abs(np.mean(naive) - 0.95) > tolerance
