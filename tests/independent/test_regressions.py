"""Regressions at every visit against R, statsmodels, and criteria that share no code with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, linprog, minimize
from statsmodels.tools.numdiff import approx_fprime_cs

from trialsim.analysis.fits import Data, Means
from trialsim.analysis.regressions import ancova, counts, log_binomial, logistic

Array = NDArray[Any]

# Everything that is frozen here was printed by this (R 4.2.2, MASS 7.3.58.2, sandwich 3.0.2).
R_SCRIPT = """
options(digits=15); suppressMessages({library(MASS); library(sandwich)})
i <- 0:71; arm <- i %% 3; f <- factor(arm); cl <- i %/% 6
x1 <- sin(1.7 * i) + 0.1 * cos(i); x2 <- as.numeric((i * 7) %% 5 == 0)
w <- 1 + 0.5 * sin(0.9 * i); t0 <- 0.5 + (i %% 4) / 2
u <- (i * 0.6180339887498949) %% 1
y <- 2 + 0.5 * arm + x1 - 0.4 * x2 + (1 + 0.3 * arm) * (u - 0.5) * 4
b <- as.numeric(u < plogis(-0.6 + 0.5 * arm + 0.6 * x1 - 0.3 * x2))
l <- as.numeric(u < 0.25 + 0.12 * arm + 0.12 * x1)
k <- floor(t0 * exp(0.2 + 0.3 * arm + 0.4 * x1) * (-log(1 - u))^1.6)
pt <- function(v) paste(format(as.vector(v), digits=15), collapse=", ")
show <- function(name, mean, cov, df=Inf)
  cat('    "', name, '": (', df, ',\\n        [', pt(mean), '],\\n        [', pt(cov[lower.tri(cov, TRUE)]), ']),\\n', sep='')
# --- least squares
X <- model.matrix(~ 0 + f + x1 + x2)
J <- function(wt) { m <- colSums(X * wt) / sum(wt); cbind(diag(3), rep(1, 3) %o% m[4:5]) }
ls <- function(name, m, V, df, wt) { L <- J(wt); show(name, L %*% coef(m), L %*% V %*% t(L), df) }
m <- lm(y ~ 0 + f + x1 + x2); one <- rep(1, 72)
ls("model", m, vcov(m), df.residual(m), one)
ls("hc0", m, vcovHC(m, "HC0"), df.residual(m), one); ls("hc3", m, vcovHC(m, "HC3"), df.residual(m), one)
ls("clustered", m, vcovCL(m, cl, type="HC1", cadjust=TRUE), 11, one)
mw <- lm(y ~ 0 + f + x1 + x2, weights=w)
ls("hc0w", mw, vcovHC(mw, "HC0"), df.residual(mw), w); ls("hc3w", mw, vcovHC(mw, "HC3"), df.residual(mw), w)
ls("clusteredw", mw, vcovCL(mw, cl, type="HC1", cadjust=TRUE), 11, w)
# --- standardisation, gradient by hand
std <- function(m, inv, dmu, g, dg, wt=one) {
  r <- sapply(0:2, function(a) { Z <- X; Z[, 1:3] <- 0; Z[, a + 1] <- 1; eta <- Z %*% coef(m)
    mu <- weighted.mean(inv(eta), wt); c(mu, colSums(Z * as.vector(dmu(eta)) * wt) / sum(wt)) })
  list(mean=g(r[1, ]), J=t(r[-1, ]) * dg(r[1, ])) }
go <- function(name, s, V, df=Inf) show(name, s$mean, s$J %*% V %*% t(s$J), df)
co <- glm.control(epsilon=1e-15, maxit=100)
# glm stops early where the deviance is flat, with the working weights of the step before: start again from there
again <- function(m) { for (r in 1:2) m <- update(m, start=coef(m)); m }
# IRLS of glm creeps when the link is not canonical: to the end by Newton's method, from where glm stopped
newton <- function(m, wt) { beta <- coef(m); for (r in 1:9) { mu <- as.vector(exp(X %*% beta))
  beta <- as.vector(beta + solve(t(X) %*% (X * wt * (1 - l) * mu / (1 - mu)^2), t(X) %*% (wt * (l - mu) / (1 - mu)))) }
  update(m, start=beta, control=glm.control(epsilon=1, maxit=1)) }
m <- again(glm(b ~ 0 + f + x1 + x2, family=binomial, control=co))
s <- std(m, plogis, dlogis, qlogis, function(p) 1 / (p * (1 - p)))
go("logistic", s, vcov(m))
go("logistic_robust", s, sandwich(m))
go("logistic_clustered", s, vcovCL(m, cl, type="HC0", cadjust=FALSE))
mw <- again(glm(b ~ 0 + f + x1 + x2, family=binomial, weights=w, control=co))
s <- std(mw, plogis, dlogis, qlogis, function(p) 1 / (p * (1 - p)), w)
go("logistic_weighted", s, sandwich(mw))
m <- newton(glm(l ~ 0 + f + x1 + x2, family=binomial("log"), start=c(-1, -1, -1, 0, 0), control=co), one)
s <- std(m, exp, exp, log, function(p) 1 / p)
go("log_binomial", s, vcov(m))
mw <- newton(glm(l ~ 0 + f + x1 + x2, family=binomial("log"), weights=w, start=c(-1, -1, -1, 0, 0), control=co), w)
s <- std(mw, exp, exp, log, function(p) 1 / p, w)
go("log_binomial_weighted", s, sandwich(mw))
m <- glm(k ~ 0 + f + x1 + x2 + offset(log(t0)), family=quasipoisson, control=co)
m <- again(m)
s <- std(m, exp, exp, log, function(p) 1 / p)
go("quasi_poisson", s, vcov(m), df.residual(m))
# glm.nb finds theta to eps^0.25: a few more rounds, each half to the end
polish <- function(m) { for (r in 1:20) { th <- theta.ml(k, fitted(m), eps=1e-13, limit=100)
  m <- glm(formula(m), family=negative.binomial(as.numeric(th)), start=coef(m), control=co) }; m }
m <- glm.nb(k ~ 0 + f + x1 + x2 + offset(log(t0)), control=glm.control(epsilon=1e-14, maxit=200)); m <- polish(m)
s <- std(m, exp, exp, log, function(p) 1 / p)
go("negative_binomial", s, summary(m, dispersion=1)$cov.scaled)
m <- again(glm(b ~ 0 + f + x1 + x2 + offset(log(t0)), family=poisson, control=co))
s <- std(m, exp, exp, log, function(p) 1 / p)
go("poisson_limit", s, vcov(m))
cat(R.version.string, sapply(c("MASS","sandwich"), function(p) as.character(packageVersion(p))), "\\n")
"""

# Degrees of freedom, means, and the lower triangle of their covariance.
FROM_R: dict[str, tuple[float, list[float], list[float]]] = {
    "model": (
        67,
        [2.04389182420760, 2.33915043105746, 2.77312459550610],
        [
            1.05764123019751e-01,
            -1.79992890007479e-04,
            -1.94833503686461e-04,
            1.05475729814856e-01,
            9.35597012078211e-05,
            1.05490570428535e-01,
        ],
    ),
    "hc0": (
        67,
        [2.04389182420760, 2.33915043105746, 2.77312459550610],
        [
            5.53845934152770e-02,
            -2.12510464208103e-04,
            -1.37571647937479e-04,
            8.56142463420443e-02,
            5.21810818809564e-05,
            1.53808748717616e-01,
        ],
    ),
    "hc3": (
        67,
        [2.04389182420760, 2.33915043105746, 2.77312459550610],
        [
            0.064523734762708868,
            -0.000399151136192031,
            -0.000230749882282983,
            0.099596085370293866,
            0.000143401245144522,
            0.178003264941482026,
        ],
    ),
    "clustered": (
        11,
        [2.04389182420760, 2.33915043105746, 2.77312459550610],
        [
            0.0686377044349178,
            -0.0506222339714299,
            -0.0240822437558691,
            0.1434545102274314,
            -0.0943707193060944,
            0.2230410706625670,
        ],
    ),
    "hc0w": (
        67,
        [2.11475686621375, 2.39914000125884, 3.02975551546236],
        [
            0.057935295707618344,
            -0.000154460912689010,
            -0.000662463528388926,
            0.086104212749075329,
            0.000545531838260692,
            0.175017777225500992,
        ],
    ),
    "hc3w": (
        67,
        [2.11475686621375, 2.39914000125884, 3.02975551546236],
        [
            0.068740266044393816,
            -0.000323312988981321,
            -0.001233259167631468,
            0.101095443058602311,
            0.001089581204475656,
            0.213387340419752575,
        ],
    ),
    "clusteredw": (
        11,
        [2.11475686621375, 2.39914000125884, 3.02975551546236],
        [
            0.0743904542184024,
            -0.0569480068573973,
            -0.0204401636110134,
            0.1433249218273139,
            -0.1064680589353075,
            0.2490573512698748,
        ],
    ),
    "logistic": (
        np.inf,
        [-0.840729130971060, 0.305620698555709, 0.481838968942649],
        [
            1.91847842799419e-01,
            5.37855539688218e-05,
            -2.70927224440828e-04,
            1.56439172253847e-01,
            1.41393693986358e-04,
            1.65589970342669e-01,
        ],
    ),
    "logistic_robust": (
        np.inf,
        [-0.840729130971060, 0.305620698555709, 0.481838968942649],
        [
            0.184627984151723712,
            -0.001017563820871817,
            -0.000241222189389874,
            0.144233551804817922,
            -0.000072088920524762,
            0.185302738044176546,
        ],
    ),
    "logistic_clustered": (
        np.inf,
        [-0.840729130971060, 0.305620698555709, 0.481838968942649],
        [
            0.208222663043903,
            -0.124884483374734,
            0.100635834536475,
            0.181088822154730,
            -0.152820693195374,
            0.281009660369589,
        ],
    ),
    "logistic_weighted": (
        np.inf,
        [-0.949315416244186, 0.300616386297834, 0.348648845845328],
        [
            0.210172465497145050,
            -0.000398432668992638,
            -0.001674627101797116,
            0.159474499379481188,
            -0.000183342653347466,
            0.212046670332983828,
        ],
    ),
    "log_binomial": (
        np.inf,
        [-1.378639394141484, -1.046637163275781, -0.745117157994963],
        [
            0.112834296358416089,
            -0.000826726140057783,
            0.004538917025789552,
            0.077634137163565667,
            -0.001597218036011134,
            0.036778209560439576,
        ],
    ),
    "log_binomial_weighted": (
        np.inf,
        [-1.394750586179738, -1.076336166008565, -0.852817914538799],
        [
            0.12461319819012140,
            -0.00189285652804107,
            0.00255389843117001,
            0.08309711940069307,
            -0.00274738734101106,
            0.06012213829311090,
        ],
    ),
    "quasi_poisson": (
        67,
        [0.652528851782404, 0.676639972563859, 0.877925693993208],
        [
            1.28279170045397e-01,
            3.11619057703238e-04,
            -2.67485689373292e-05,
            1.24409837285272e-01,
            1.75805175081770e-05,
            9.95446266380661e-02,
        ],
    ),
    "negative_binomial": (
        np.inf,
        [0.559769933292450, 0.520367795218272, 0.871747589658438],
        [
            0.14493923387624208,
            0.00217852111727519,
            0.00199127533828934,
            0.14272578510767295,
            0.00129289846587839,
            0.13544845269318229,
        ],
    ),
    "poisson_limit": (
        np.inf,
        [-1.405784540858925, -0.746633681796906, -0.692044506011033],
        [
            1.43523468277960e-01,
            -1.28554911155628e-04,
            -2.02643469623522e-05,
            7.22840380121606e-02,
            4.33065320634719e-05,
            6.66691514719658e-02,
        ],
    ),
}


def trial(y: Array, arm: Array, covariates: Array, weights: Array | None = None, cluster: Array | None = None) -> Data:
    n = len(arm)
    tables = [None if t is None else np.asarray(t, float).reshape(n, -1) for t in (y, weights)]
    assert tables[0] is not None
    alone = np.full(n, -1) if cluster is None else cluster
    return Data(tables[0], arm, covariates.reshape(n, -1), alone, int(arm.max()) + 1, tables[1])


def formula_fits() -> dict[str, Means]:
    i = np.arange(72)
    arm, cluster = i % 3, i // 6
    x1, x2 = np.sin(1.7 * i) + 0.1 * np.cos(i), np.where((i * 7) % 5 == 0, 1.0, 0.0)
    w, exposure = 1 + 0.5 * np.sin(0.9 * i), (0.5 + (i % 4) / 2)[:, None]
    u = (i * 0.6180339887498949) % 1
    y = 2 + 0.5 * arm + x1 - 0.4 * x2 + (1 + 0.3 * arm) * (u - 0.5) * 4
    b = u < 1 / (1 + np.exp(0.6 - 0.5 * arm - 0.6 * x1 + 0.3 * x2))
    low = u < 0.25 + 0.12 * arm + 0.12 * x1
    k = np.floor(exposure[:, 0] * np.exp(0.2 + 0.3 * arm + 0.4 * x1) * (-np.log(1 - u)) ** 1.6)

    def data(outcome: Array, weights: Array | None = None, clusters: Array | None = None) -> Data:
        return trial(outcome, arm, np.stack([x1, x2], axis=1), weights, clusters)

    return {
        "model": ancova(data(y)),
        "hc0": ancova(data(y), variance="hc0"),
        "hc3": ancova(data(y), variance="hc3"),
        "clustered": ancova(data(y, None, cluster), variance="hc3"),
        "hc0w": ancova(data(y, w), variance="hc0"),
        "hc3w": ancova(data(y, w)),
        "clusteredw": ancova(data(y, w, cluster)),
        "logistic": logistic(data(b)),
        "logistic_robust": logistic(data(b), variance="robust"),
        "logistic_clustered": logistic(data(b, None, cluster), variance="robust"),
        "logistic_weighted": logistic(data(b, w)),
        "log_binomial": log_binomial(data(low)),
        "log_binomial_weighted": log_binomial(data(low, w)),
        "quasi_poisson": counts(data(k), exposure, family="quasi_poisson"),
        "negative_binomial": counts(data(k), exposure, family="negative_binomial"),
        "poisson_limit": counts(data(b), exposure, family="negative_binomial"),
    }


def assert_cov(found: Array, expected: Array, digits: float) -> None:
    """Relative to the standard deviations: a covariance may be near 0."""
    error = np.sqrt(np.diagonal(expected))
    assert_allclose(found / np.outer(error, error), expected / np.outer(error, error), rtol=0, atol=digits)


@pytest.mark.parametrize("name", FROM_R)
def test_values_of_r(name: str) -> None:
    means = formula_fits()[name]
    df, mean, lower = FROM_R[name]
    cov = np.empty((3, 3))
    cov[np.triu_indices(3)] = lower
    cov[np.triu_indices(3)[::-1]] = lower
    assert means.reason == ("",)
    digits = 1e-11 if name == "negative_binomial" else 1e-12  # theta.ml stops there
    assert_allclose(means.mean[:, 0], mean, rtol=digits)
    assert_cov(means.cov, cov, digits)
    assert (means.df == df).all()
    assert means.global_df[0] == df
    linear = name.startswith(("model", "hc", "clustered"))
    assert means.link == ("identity" if linear else "logit" if name.startswith("logistic") else "log")


# --------------------------------------------------------------------------------- statsmodels, every visit apart


class Case:
    """A trial of three visits with missing outcomes, and its design matrix at each visit."""

    def __init__(self, seed: int, kind: str, n: int = 240, n_arms: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.arm = rng.permutation(np.arange(n) % n_arms)
        self.x = np.stack([50 + 10 * rng.normal(size=n), rng.random(n) < 0.4, rng.gamma(1.0, size=n)], axis=1)
        eta = (0.02 * (self.x[:, 0] - 50) + 0.3 * self.x[:, 1] + 0.2 * self.arm)[:, None] + np.zeros((n, 3))
        self.exposure = rng.uniform(0.5, 2.0, (n, 3))
        u = rng.random((n, 3))
        self.y = {
            "normal": lambda: eta + (1 + self.arm[:, None]) * rng.normal(size=(n, 3)),
            "binary": lambda: (u < 1 / (1 + np.exp(0.3 - eta))) * 1.0,
            "low": lambda: (u < np.exp(0.4 * eta - 1.6)) * 1.0,
            "counts": lambda: 1.0 * rng.poisson(self.exposure * np.exp(eta) * rng.gamma(1.5, 1 / 1.5, (n, 3))),
        }[kind]()
        self.y[rng.random((n, 3)) < 0.2] = np.nan
        self.weights = rng.uniform(0.3, 3.0, (n, 3))
        self.cluster = np.where(rng.random(n) < 0.7, rng.integers(0, 25, n) * 3, -1)
        self.n_arms = n_arms

    def data(self, *, weighted: bool = False, clustered: bool = False) -> Data:
        cluster = self.cluster if clustered else None
        return trial(self.y, self.arm, self.x, self.weights if weighted else None, cluster)

    def seen(self, visit: int) -> Array:
        return ~np.isnan(self.y[:, visit])

    def design(self, visit: int, arm: Array | None = None) -> Array:
        seen = self.seen(visit)
        return np.hstack([np.eye(self.n_arms)[(self.arm if arm is None else arm)[seen]], self.x[seen]])

    def labels(self, visit: int) -> Array:
        own = self.cluster < 0
        return np.unique(
            np.where(own, 10_000 + np.arange(len(own)), self.cluster)[self.seen(visit)], return_inverse=True
        )[1]

    def standardised(self, visit: int, beta: Array, cov: Array, weight: Array, link: str) -> tuple[Array, Array]:
        """Means and covariance with derivatives by complex steps, everybody set to each arm in turn."""
        everybody = [self.design(visit, np.full(len(self.arm), a)) for a in range(self.n_arms)]
        inverse = {"identity": lambda e: e, "log": np.exp, "logit": lambda e: 1 / (1 + np.exp(-e))}[link]
        scale = {"identity": lambda m: m, "log": np.log, "logit": lambda m: np.log(m / (1 - m))}[link]

        def means(b: Array) -> Array:
            return scale(np.array([(inverse(x @ b) * weight).sum() / weight.sum() for x in everybody]))

        jacobian = approx_fprime_cs(np.asarray(beta), means)
        return means(beta), jacobian @ cov @ jacobian.T


def assert_visit(means: Means, visit: int, mean: Array, cov: Array, digits: float) -> None:
    n_arms, n_visits = means.mean.shape
    assert means.reason[visit] == ""
    assert_allclose(means.mean[:, visit], mean, rtol=digits, atol=digits)
    assert_cov(means.cov.reshape(n_arms, n_visits, n_arms, n_visits)[:, visit, :, visit], cov, digits)


@pytest.mark.parametrize(
    ("variance", "weighted"),
    [("model", False), *[(v, w) for v in ("hc0", "hc3", "cluster") for w in (False, True)]],
)
def test_ancova_of_statsmodels(variance: Any, weighted: bool) -> None:
    case = Case(1, "normal")
    clustered = variance == "cluster"
    means = ancova(case.data(weighted=weighted, clustered=clustered), variance="hc0" if clustered else variance)
    for visit in range(3):
        seen = case.seen(visit)
        weight = case.weights[seen, visit] if weighted else np.ones(seen.sum())
        model = sm.WLS(case.y[seen, visit], case.design(visit), weights=weight)
        groups = {"groups": case.labels(visit), "use_correction": True}
        kind = {"model": "nonrobust", "hc0": "HC0", "hc3": "HC3", "cluster": "cluster"}[variance]
        fit = model.fit(cov_type=kind, cov_kwds=groups if clustered else None)
        expected = case.standardised(visit, fit.params, fit.cov_params(), weight, "identity")
        assert_visit(means, visit, *expected, 1e-10)
        df = len(np.unique(case.labels(visit))) - 1 if clustered else fit.df_resid
        assert (means.df[:, :, visit] == df).all()
        assert means.global_df[visit] == df


@pytest.mark.filterwarnings("ignore:cov_type not fully supported with var_weights")  # and so it is below
@pytest.mark.parametrize(
    ("variance", "weighted"),
    [("model", False), ("robust", False), ("robust", True), ("cluster", False), ("cluster", True)],
)
def test_logistic_of_statsmodels(variance: str, weighted: bool) -> None:
    case = Case(2, "binary")
    clustered = variance == "cluster"
    means = logistic(
        case.data(weighted=weighted, clustered=clustered), variance="model" if variance == "model" else "robust"
    )
    for visit in range(3):
        seen = case.seen(visit)
        weight = case.weights[seen, visit] if weighted else np.ones(seen.sum())
        model = sm.GLM(case.y[seen, visit], case.design(visit), family=sm.families.Binomial(), var_weights=weight)
        groups = {"groups": case.labels(visit), "use_correction": False}
        kind = {"model": "nonrobust", "robust": "HC0", "cluster": "cluster"}[variance]
        fit = model.fit(tol=1e-14, cov_type=kind, cov_kwds=groups if clustered else None)
        expected = case.standardised(visit, fit.params, fit.cov_params(), weight, "logit")
        assert_visit(means, visit, *expected, 1e-9)
    assert (means.df == np.inf).all()


def test_weighted_log_binomial_is_the_maximum_with_its_sandwich() -> None:
    """Score, information and sandwich written out, at the maximum that a general optimiser finds."""
    case = Case(6, "low")
    means = log_binomial(case.data(weighted=True))
    for visit in range(3):
        seen = case.seen(visit)
        expected = log_binomial_by_hand(case.y[seen, visit], case.design(visit), case.weights[seen, visit])
        assert_visit(means, visit, *case.standardised(visit, *expected, case.weights[seen, visit], "log"), 1e-7)


def log_binomial_by_hand(y: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    def minus(beta: Array) -> float:
        mu = np.exp(x @ beta)
        return -np.sum(weight * (y * np.log(mu) + (1 - y) * np.log1p(-mu))) if mu.max() < 1 else 1e10

    def score(beta: Array) -> Array:
        mu = np.exp(x @ beta)
        return x.T @ (weight * (y - mu) / (1 - mu))

    def information(beta: Array) -> Array:
        mu = np.exp(x @ beta)
        return (x.T * weight * (1 - y) * mu / (1 - mu) ** 2) @ x

    start = np.r_[np.full(3, np.log(y.mean())), np.zeros(x.shape[1] - 3)]
    beta = minimize(minus, start, method="Nelder-Mead", options={"maxfev": 4000, "fatol": 1e-10}).x
    for _ in range(6):
        beta = beta + np.linalg.solve(information(beta), score(beta))
    assert_allclose(score(beta), 0, atol=1e-8)
    mu = np.exp(x @ beta)
    bread = np.linalg.inv((x.T * weight * mu / (1 - mu)) @ x)
    scores = x * (weight * (y - mu) / (1 - mu))[:, None]
    return beta, bread @ scores.T @ scores @ bread


@pytest.mark.filterwarnings("ignore:The Log link function")
def test_log_binomial_of_statsmodels() -> None:
    case = Case(3, "low")
    means = log_binomial(case.data())
    for visit in range(3):
        seen = case.seen(visit)
        family = sm.families.Binomial(link=sm.families.links.Log())
        model = sm.GLM(case.y[seen, visit], case.design(visit), family=family)
        start = np.r_[np.full(3, -1.5), np.zeros(3)]
        fit = model.fit(start_params=start, tol=1e-15, tol_criterion="params", maxiter=500)
        expected = case.standardised(visit, fit.params, fit.cov_params(), np.ones(seen.sum()), "log")
        assert_visit(means, visit, *expected, 1e-8)


@pytest.mark.parametrize("with_exposure", [False, True])
def test_quasi_poisson_of_statsmodels(with_exposure: bool) -> None:
    case = Case(4, "counts")
    means = counts(case.data(), case.exposure if with_exposure else None, family="quasi_poisson")
    for visit in range(3):
        seen = case.seen(visit)
        exposure = case.exposure[seen, visit] if with_exposure else None
        model = sm.GLM(case.y[seen, visit], case.design(visit), family=sm.families.Poisson(), exposure=exposure)
        fit = model.fit(tol=1e-14, scale="X2")
        expected = case.standardised(visit, fit.params, fit.cov_params(), np.ones(seen.sum()), "log")
        assert_visit(means, visit, *expected, 1e-9)
        assert (means.df[:, :, visit] == fit.df_resid).all()


@pytest.mark.parametrize("seed", range(3))
def test_negative_binomial_of_statsmodels(seed: int) -> None:
    """The likelihood's maximum by another optimiser; the variance by a GLM with that dispersion."""
    case = Case(seed, "counts")
    means = counts(case.data(), case.exposure, family="negative_binomial")
    for visit in range(3):
        seen = case.seen(visit)
        y, exposure = case.y[seen, visit], case.exposure[seen, visit]
        x = case.design(visit) - np.r_[0, 0, 0, 50, 0, 0]
        full = sm.NegativeBinomial(y, x, exposure=exposure)
        full = full.fit(disp=0, method="newton", maxiter=200, tol=1e-14)
        family = sm.families.NegativeBinomial(alpha=full.params[-1])
        fit = sm.GLM(y, case.design(visit), family=family, exposure=exposure).fit(tol=1e-14)
        expected = case.standardised(visit, fit.params, fit.cov_params(), np.ones(seen.sum()), "log")
        assert_visit(means, visit, *expected, 1e-7)
    assert (means.df == np.inf).all()


def test_without_overdispersion_negative_binomial_is_poisson() -> None:
    i = np.arange(90)
    data = trial(1.0 + i % 2, i % 3, np.sin(i))
    means = counts(data, None, family="negative_binomial")
    x = np.hstack([np.eye(3)[i % 3], np.sin(i)[:, None]])
    fit = sm.GLM(data.y[:, 0], x, family=sm.families.Poisson()).fit(tol=1e-14)
    assert_allclose(
        means.mean[:, 0], np.log([np.exp(x @ fit.params - fit.params[i % 3] + b).mean() for b in fit.params[:3]])
    )
    quasi = counts(data, None, family="quasi_poisson")
    dispersion = ((data.y[:, 0] - fit.mu) ** 2 / fit.mu).sum() / 86
    assert_allclose(quasi.cov, means.cov * dispersion, rtol=1e-9)


@pytest.mark.parametrize("top", [9, 7, 30])
def test_dispersion_by_60_digits(top: int) -> None:
    """As little overdispersion as whole numbers allow, and a lot: the score of the dispersion is 0."""
    values, numbers = np.arange(7), np.array([137, 271, 271, 180, 90, 36, 15])
    y = np.repeat(values, numbers)
    while np.sum((y - y.mean()) ** 2 - y) <= 0:
        y = np.append(y, top)
    data = Data(y[:, None] * 1.0, np.zeros(len(y), int), np.empty((len(y), 0)), np.full(len(y), -1), 1)
    means = counts(data, None, family="negative_binomial")
    assert means.reason == ("",)
    mu = y.mean()
    assert_allclose(means.mean[0, 0], np.log(mu), rtol=1e-13)
    dispersion = len(y) * means.cov[0, 0] - 1 / mu
    assert_allclose(dispersion, dispersion_by_bisection(y), rtol=0, atol=1e-13)
    assert (1e-5 < dispersion < 1e-2) if top < 30 else (dispersion > 1e-2)


def dispersion_by_bisection(y: Array) -> float:
    with localcontext() as context:
        context.prec = 60
        numbers = [(Decimal(j), int(np.sum(y > j))) for j in range(int(y.max()))]
        n, total = len(y), Decimal(int(y.sum()))
        mu = total / n

        def score(d: Decimal) -> Decimal:
            size = 1 + d * mu
            return (
                sum(k * j / (1 + d * j) for j, k in numbers)
                + n * (size.ln() / d**2 - mu / (d * size))
                - total * mu / size
            )

        low, high = Decimal("1e-12"), Decimal(10)
        assert score(low) > 0 > score(high)
        for _ in range(120):
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > 0 else (low, middle)
        return float(low)


# ------------------------------------------------------------------- separation and boundary, by linear programs


def is_separated(y: Array, x: Array) -> bool:
    """Whether some direction is never wrong and somewhere right (Konis 2007): then the likelihood has no maximum."""
    signed = x * (2 * y - 1)[:, None]
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1), method="highs")
    return bool(-found.fun > 1e-7)


def test_separation_is_found_if_and_only_if_it_is_there() -> None:
    rng = np.random.default_rng(7)
    found = {True: 0, False: 0}
    for _ in range(250):
        n = int(rng.integers(12, 40))
        arm = np.arange(n) % 2
        covariates = np.stack([rng.normal(size=n), rng.random(n) < 0.2, rng.integers(0, 3, n)], axis=1)
        y = (rng.random(n) < 1 / (1 + np.exp(-covariates @ [1.5, 1.0, -0.5]))) * 1.0
        x = np.hstack([np.eye(2)[arm], covariates])
        reason = logistic(trial(y, arm, covariates)).reason[0]
        if "collinear" in reason:
            continue
        found[is_separated(y, x)] += 1
        by_arm = any(text in reason for text in ("no events", "only events"))
        assert (reason == "separation" or by_arm) == is_separated(y, x)
        assert reason in ("", "separation") or by_arm
    assert min(found.values()) > 40


def test_log_binomial_fails_if_and_only_if_the_maximum_is_at_the_boundary() -> None:
    """The maximum under x'beta <= 0 by a general optimiser: is a fitted risk 1 there?"""
    rng = np.random.default_rng(11)
    found = {"": 0, "a fitted risk of 1": 0}
    for _ in range(60):
        n = 60
        arm = np.arange(n) % 2
        covariates = rng.uniform(-1, 1, size=(n, 1))
        y = (rng.random(n) < np.minimum(1, np.exp(-0.9 + 0.7 * covariates[:, 0]))) * 1.0
        x = np.hstack([np.eye(2)[arm], covariates])
        reason = log_binomial(trial(y, arm, covariates)).reason[0]
        largest = risk_at_the_maximum(y, x)
        found[reason] += 1
        assert (largest > 1 - 1e-4) == (reason != ""), largest
    assert min(found.values()) > 10


def risk_at_the_maximum(y: Array, x: Array) -> float:
    def minus(beta: Array) -> float:
        eta = np.minimum(x @ beta, -1e-9)
        return -float(np.sum(np.where(y == 1, eta, np.log(-np.expm1(eta)))))

    def slope(beta: Array) -> Array:
        eta = np.minimum(x @ beta, -1e-9)
        return -x.T @ np.where(y == 1, 1.0, -np.exp(eta) / -np.expm1(eta))

    inside = LinearConstraint(x, -np.inf, -1e-9)
    start = np.array([-1.5, -1.5, 0.0])
    end = minimize(minus, start, jac=slope, constraints=inside, method="SLSQP", options={"ftol": 1e-13, "maxiter": 500})
    return float(np.exp(x @ end.x).max())


# ------------------------------------------------------------------------------------------------------ behaviour

MODELS: dict[str, tuple[str, Callable[[Data], Means]]] = {
    "ancova": ("normal", ancova),
    "ancova hc3": ("normal", lambda data: ancova(data, variance="hc3")),
    "logistic": ("binary", logistic),
    "logistic robust": ("binary", lambda data: logistic(data, variance="robust")),
    "log_binomial": ("low", log_binomial),
    "negative_binomial": ("counts", lambda data: counts(data, None, family="negative_binomial")),
    "quasi_poisson": ("counts", lambda data: counts(data, None, family="quasi_poisson")),
}


@pytest.mark.parametrize("name", MODELS)
def test_visits_are_apart_and_counted(name: str) -> None:
    kind, model = MODELS[name]
    case = Case(5, kind)
    data = case.data()
    data.y[case.arm == 1, 1] = np.nan
    means = model(data)
    assert means.reason == ("", "no observations in arm 1 at visit 1", "")
    cov = means.cov.reshape(3, 3, 3, 3)
    for visit in (0, 2):
        alone = model(replace(data, y=data.y[:, [visit]]))
        assert_allclose(cov[:, visit, :, visit], alone.cov, rtol=1e-9, atol=1e-14)
        assert_allclose(means.mean[:, visit], alone.mean[:, 0], rtol=1e-9)
    assert np.isnan(cov[:, 1, :, 1]).all()
    assert np.isnan([*means.mean[:, 1], means.global_df[1], *means.df[..., 1].ravel()]).all()
    assert (cov[:, 0, :, 2] == 0).all()
    assert (means.n_cell == [[np.sum(data.observed[case.arm == a, v]) for v in range(3)] for a in range(3)]).all()
    assert means.n_used == data.observed.any(axis=1).sum()
    again = model(data)
    assert again.cov.tobytes() == means.cov.tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_units_and_origins_of_covariates_do_not_matter(name: str) -> None:
    kind, model = MODELS[name]
    data = Case(8, kind).data()
    other = replace(
        data, covariates=data.covariates @ np.array([[1e-3, 0, 2], [0, 1e4, 0], [0, 1, -5]]) + [1e3, 5, -70]
    )
    assert model(data).reason == ("",) * 3
    assert_allclose(model(other).mean, model(data).mean, rtol=1e-8, atol=1e-9)
    assert_allclose(model(other).cov, model(data).cov, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["ancova", "logistic", "log_binomial"])
def test_only_ratios_of_weights_matter(name: str) -> None:
    kind, model = MODELS[name]
    data = Case(6, kind).data(weighted=True)
    assert data.weights is not None
    larger = model(replace(data, weights=data.weights * 1e7))
    assert_allclose(larger.mean, model(data).mean, rtol=1e-9)
    assert_allclose(larger.cov, model(data).cov, rtol=1e-8, atol=1e-14)
    equal = {"ancova": lambda d: ancova(d, variance="hc3"), "logistic": lambda d: logistic(d, variance="robust")}
    ones = replace(data, weights=np.full_like(data.weights, 2.0))
    if name in equal:
        assert_allclose(model(ones).cov, equal[name](replace(data, weights=None)).cov, rtol=1e-9, atol=1e-14)
    broken = data.weights.copy()
    broken[np.flatnonzero(data.observed[:, 1])[0], 1] = 0.0
    assert model(replace(data, weights=broken)).reason == ("", "a weight is not positive and finite at visit 1", "")


def test_clusters_of_one_are_hc1() -> None:
    data = Case(9, "normal").data()
    single = replace(data, cluster=np.arange(len(data.arm)))
    hc0, clustered = ancova(data, variance="hc0"), ancova(single, variance="hc0")
    for visit in range(3):
        n = data.observed[:, visit].sum()
        mine = np.arange(3) * 3 + visit
        assert_allclose(
            clustered.cov[np.ix_(mine, mine)], hc0.cov[np.ix_(mine, mine)] * n / (n - 6), rtol=1e-9, atol=1e-14
        )
        assert (clustered.df[..., visit] == n - 1).all()
    assert_allclose(ancova(single).cov, ancova(data).cov)  # "model" does not look at clusters


def test_what_is_refused() -> None:
    case = Case(1, "normal", n=30)
    weighted = case.data(weighted=True)
    for refused in (
        lambda: ancova(weighted, variance="model"),
        lambda: logistic(weighted, variance="model"),
        lambda: counts(weighted, None, family="quasi_poisson"),
    ):
        with pytest.raises(ValueError, match="weights"):
            refused()
    unknown: Any = "hc9"
    with pytest.raises(ValueError, match="hc9"):
        ancova(case.data(), variance=unknown)
    with pytest.raises(ValueError, match="hc9"):
        logistic(case.data(), variance=unknown)
    with pytest.raises(ValueError, match="hc9"):
        counts(case.data(), None, family=unknown)
    with pytest.raises(ValueError, match="exposure"):
        counts(case.data(), np.ones((30, 1)), family="quasi_poisson")


ARM = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
AGE = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3])
MIXED = np.array([0.0, 1, 0, 1, 1, 0, 0, 1, 1, 0])


@pytest.mark.parametrize(
    ("name", "y", "reason"),
    [
        ("ancova", np.full(10, 1.1), "zero variance at visit 0"),
        ("ancova", 1e6 + 2 * AGE + ARM, "zero variance at visit 0"),
        ("ancova", MIXED * 1e170, "an observed outcome is too large at visit 0"),
        ("ancova", np.where(AGE == 4, np.inf, MIXED), "an observed outcome is not finite at visit 0"),
        ("ancova", np.full(10, np.nan), "no observations at visit 0"),
        ("ancova", np.where(AGE == 5, 1.0, np.nan), "not more observations than coefficients at visit 0"),
        ("logistic", np.where(ARM == 1, 0.0, MIXED), "no events in arm 1 at visit 0"),
        ("logistic", np.where(ARM == 1, 1.0, MIXED), "only events in arm 1 at visit 0"),
        ("logistic", 1.0 * (AGE > 3), "separation"),
        ("logistic", MIXED / 2, "an outcome is neither 0 nor 1 at visit 0"),
        ("log_binomial", 1.0 * (AGE > 3), "a fitted risk of 1"),
        ("log_binomial", np.where(ARM == 1, 1.0, MIXED), "only events in arm 1 at visit 0"),
        ("quasi_poisson", np.where(ARM == 1, 0.0, MIXED), "no events in arm 1 at visit 0"),
        ("quasi_poisson", MIXED - 0.5, "a negative outcome at visit 0"),
        ("quasi_poisson", np.full(10, 2.0), "zero variance at visit 0"),
        ("negative_binomial", MIXED / 2, "an outcome is not a whole number up to 100000 at visit 0"),
    ],
)
def test_reasons(name: str, y: Array, reason: str) -> None:
    means = MODELS[name][1](trial(y, ARM, AGE))
    assert means.reason == (reason,)
    assert np.isnan(means.mean).all()
    assert np.isnan(means.cov).all()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("covariate", "reason"),
    [
        (np.full(10, 0.1), "covariates are collinear"),
        (ARM * 3.0 - 1, "covariates are collinear"),
        (AGE * np.nan, "a covariate is not finite"),
        (AGE * 1e200, "a covariate is too large"),
    ],
)
def test_faults_of_covariates(name: str, covariate: Array, reason: str) -> None:
    assert MODELS[name][1](trial(MIXED, ARM, covariate)).reason == (reason,)


def test_events_nowhere_at_a_level_of_a_covariate_are_separation() -> None:
    level = np.array([1.0, 0, 1, 0, 0, 1, 1, 0, 0, 0])
    for name in ("logistic", "log_binomial", "quasi_poisson", "negative_binomial"):
        y = np.where(level == 1, 0.0, [0, 1, 0, 1, 0, 0, 0, 1, 0, 1])
        assert MODELS[name][1](trial(y, ARM, level)).reason == ("separation",), name


def test_exposure_that_is_not_positive_is_a_reason_where_observed() -> None:
    data = Case(4, "counts").data()
    exposure = np.where(data.observed, 1.0, -1.0)
    exposure[np.flatnonzero(data.observed[:, 2])[0], 2] = 0.0
    means = counts(data, exposure, family="quasi_poisson")
    assert means.reason == ("", "", "an exposure is not positive and finite at visit 2")


def test_an_observation_with_its_own_coefficient_has_no_hc3() -> None:
    own = np.eye(10)[4]
    y = AGE + MIXED
    assert ancova(trial(y, ARM, own), variance="hc3").reason == ("an observation has its own coefficient at visit 0",)
    assert ancova(trial(y, ARM, own), variance="hc0").reason == ("",)


def test_an_arm_in_one_cluster_has_no_variance_between_clusters() -> None:
    clusters = np.where(ARM == 1, 5, np.arange(10))
    for model, y in ((lambda d: ancova(d, variance="hc0"), AGE), (lambda d: logistic(d, variance="robust"), MIXED)):
        means = model(trial(y, ARM, np.empty((10, 0)), cluster=clusters))
        assert means.reason == ("zero variance in arm 1 at visit 0",)
    together = trial(AGE, ARM, np.empty((10, 0)), cluster=np.zeros(10, dtype=int))
    assert ancova(together, variance="hc0").reason == ("fewer than 2 clusters at visit 0",)
