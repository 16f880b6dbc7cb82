"""The mixed model against lme4, lmerTest, pbkrtest and nlme, and against dense matrices written from the articles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t as t_distribution

from trialsim.analysis.fits import Data, FitError, Means
from trialsim.analysis.mixed import mixed

Array = NDArray[Any]

# R 4.2.2, lme4 1.1.31, lmerTest 3.1.3, pbkrtest 0.5.2, nlme 3.1.162. The data are those of `example` below.
R_CALL = """
suppressMessages({library(lmerTest); library(pbkrtest); library(nlme)}); options(digits = 14, width = 150)
noise <- function(k) {i <- 0:83; (i^3 * 31 + i^2 * k + 17 * k * i + k^2) %% 997 / 997 - 0.5}
i <- 0:83
d <- data.frame(arm = i %% 3, x1 = noise(5), x2 = as.numeric(noise(11) > 0.1))
d$site <- floor(9 * (noise(23) + 0.5)^1.5); d$coach <- ifelse(d$arm == 1, floor(6 * (noise(29) + 0.5)^0.7), -1)
effect <- c(0.6, -0.8, 0.1, 1.1, -0.5, -0.2, 0.9, -1.0, 0.3); nested <- as.numeric(d$arm == 1)
base <- 10 + 0.7 * d$arm + 0.8 * d$x1 - 0.5 * d$x2
d$ys <- base + effect[d$site + 1] + 4 * noise(37)
d$yc <- base + nested * (effect[d$coach + 2] + 2 * noise(41)) + (1 - nested) * 5 * noise(43)
d$yb <- base + 4 * noise(59)
d$nested <- nested; d$unit <- ifelse(d$coach >= 0, d$coach, 1000 + i); d$arm <- factor(d$arm)
d$z1 <- d$x1 - mean(d$x1); d$z2 <- d$x2 - mean(d$x2)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-13),
  check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore")
L <- rbind(c(1,0,0,0,0), c(0,1,0,0,0), c(0,0,1,0,0), c(-1,1,0,0,0), c(-1,0,1,0,0), c(0,1,-1,0,0))
row <- function(name, x) cat(name, paste(format(x, digits = 11), collapse = ", "), "\n")
show <- function(f) {
  row("mean", c(L %*% fixef(f))); row("se", sqrt(diag(L %*% as.matrix(vcov(f)) %*% t(L))))
  row("satterthwaite", sapply(1:6, function(k) contest1D(f, L[k, ])$df))
  row("F df", contestMD(f, L[4:5, ])$DenDF)
  A <- as.matrix(vcovAdj(f)); row("kr se", sqrt(diag(L %*% A %*% t(L))))
  row("kr df", sapply(1:6, function(k) Lb_ddf(L[k, ], vcov(f), vcovAdj(f))))
  row("kr F df", contestMD(f, L[4:5, ], ddf = "Kenward-Roger")$DenDF)
}
show(lmer(ys ~ 0 + arm + z1 + z2 + (1 | site), d, control = control))              # "site"
show(lmer(yc ~ 0 + arm + z1 + z2 + (0 + nested | unit), d, control = control))     # "coach"
show(lmer(yb ~ 0 + arm + z1 + z2 + (0 + nested | unit), d, control = control))     # "boundary", singular
f <- lme(yc ~ 0 + arm + z1 + z2, random = list(unit = pdDiag(~ 0 + nested)), weights = varIdent(form = ~ 1 | nested),
  data = d, method = "REML", control = lmeControl(opt = "optim", optimMethod = "BFGS", reltol = 1e-15, msTol = 1e-14,
  tolerance = 1e-14, maxIter = 500, msMaxIter = 500))
row("mean", c(L %*% fixef(f))); row("se", sqrt(diag(L %*% vcov(f) %*% t(L))))      # "heteroscedastic"
"""
# Means of arms 0, 1, 2 and differences 1 - 0, 2 - 0, 1 - 2.
CONTRASTS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 1, 0], [-1, 0, 1], [0, 1, -1]])
R_VALUES: dict[str, dict[str, list[float]]] = {
    "site": {
        "mean": [9.73550157056, 10.18707405342, 10.51512313907, 0.45157248286, 0.77962156851, -0.32804908566],
        "se": [0.30737699343, 0.31070899944, 0.30881874832, 0.29898675217, 0.30296796524, 0.30011590302],
        "satterthwaite": [17.526422278, 18.174663927, 17.838413031, 74.635060026, 74.439214094, 73.619060436],
        "F df": [74.21856494],
        "kr se": [0.30934706448, 0.31290999228, 0.31082428217, 0.30076845323, 0.30458931654, 0.30113159577],
        "kr df": [15.306110957, 15.893462820, 15.588600193, 73.874153422, 73.646615965, 72.696001992],
        "kr F df": [73.401337326],
    },
    "coach": {
        "mean": [9.4461403865, 10.5129924297, 11.5280627665, 1.0668520431, 2.0819223800, -1.0150703369],
        "se": [0.22893405036, 0.38710791291, 0.23136766491, 0.44886085166, 0.32831583779, 0.45256979428],
        "satterthwaite": [74.2892600103, 5.1400790552, 74.3329306492, 9.1987172954, 74.3410593440, 9.4873755620],
        "F df": [22.572719636],
        "kr se": [0.22894488138, 0.38839924879, 0.23140841781, 0.44997506080, 0.32838146073, 0.45371678232],
        "kr df": [74.0493968893, 4.8916420405, 74.0951443518, 8.7774251777, 74.1036599216, 9.0545781064],
        "kr F df": [15.680155415],
    },
    "boundary": {
        "mean": [9.66573145448, 10.59772252255, 11.34458442389, 0.93199106807, 1.67885296941, -0.74686190134],
        "se": [0.22342112183, 0.22298631962, 0.22573686949, 0.31447730098, 0.32031028607, 0.31940003527],
        "kr se": [0.22344571523, 0.22792192457, 0.22583181635, 0.31804455933, 0.32046182171, 0.32291984371],
        "kr df": [74.2612001573, 4.4623099536, 74.3723944600, 16.7258738254, 74.3920172604, 17.6425741931],
        "kr F df": [22.198946545],
    },
    "heteroscedastic": {
        "mean": [9.45120553345, 10.52807827762, 11.51479018591, 1.07687274416, 2.06358465245, -0.98671190829],
        "se": [0.26049888108, 0.35259638411, 0.26189180604, 0.43780007679, 0.37099644558, 0.44029520605],
    },
}
# Their optimisers leave about 1e-7 of a standard error.
TOLERANCE = 1e-6


def noise(k: int) -> Array:
    i = np.arange(84)
    return np.asarray((i**3 * 31 + i**2 * k + 17 * k * i + k**2) % 997 / 997 - 0.5)


def example(name: str) -> tuple[Data, dict[str, Any]]:
    """Data and options of a fit; 84 participants, unbalanced clusters."""
    arm, x = np.arange(84) % 3, np.stack([noise(5), (noise(11) > 0.1) * 1.0], axis=1)
    site = np.floor(9 * (noise(23) + 0.5) ** 1.5).astype(np.int64)
    coach = np.where(arm == 1, np.floor(6 * (noise(29) + 0.5) ** 0.7), -1).astype(np.int64)
    effect = np.array([0.6, -0.8, 0.1, 1.1, -0.5, -0.2, 0.9, -1.0, 0.3])
    base = 10 + 0.7 * arm + x @ [0.8, -0.5]
    y = {
        "site": base + effect[site] + 4 * noise(37),
        "coach": base + np.where(arm == 1, effect[coach + 1] + 2 * noise(41), 5 * noise(43)),
        "boundary": base + 4 * noise(59),
    }[name.replace("heteroscedastic", "coach")]
    options = {"nested_arms": None if name == "site" else (1,), "heteroscedastic": name == "heteroscedastic"}
    return Data(y[:, None], arm, x, site if name == "site" else coach, 3), options


def by_contrast(fit: Means) -> tuple[Array, Array, Array]:
    """Estimates, standard errors and degrees of freedom of `CONTRASTS` at the only visit."""
    assert fit.reason == ("",)
    df = fit.df[..., 0]
    error = np.sqrt(np.diag(CONTRASTS @ fit.cov @ CONTRASTS.T))
    return CONTRASTS @ fit.mean[:, 0], error, df[[0, 1, 2, 1, 2, 1], [0, 1, 2, 0, 0, 2]]


# ------------------------------------------------------------------------------------------------- other software


@pytest.mark.parametrize("name", R_VALUES)
def test_means_and_standard_errors_of_lme4_and_nlme(name: str) -> None:
    data, options = example(name)
    estimate, error, _ = by_contrast(mixed(data, **options))
    np.testing.assert_allclose(estimate, R_VALUES[name]["mean"], rtol=TOLERANCE)
    np.testing.assert_allclose(error, R_VALUES[name]["se"], rtol=TOLERANCE)


@pytest.mark.parametrize("name", ["site", "coach"])
def test_satterthwaite_of_lmertest(name: str) -> None:
    data, options = example(name)
    fit = mixed(data, **options, df="satterthwaite")
    np.testing.assert_allclose(by_contrast(fit)[2], R_VALUES[name]["satterthwaite"], rtol=TOLERANCE)
    np.testing.assert_allclose(fit.global_df, R_VALUES[name]["F df"], rtol=TOLERANCE)


@pytest.mark.parametrize("name", ["site", "coach", "boundary"])
def test_kenward_roger_of_pbkrtest(name: str) -> None:
    data, options = example(name)
    fit = mixed(data, **options, df="kenward_roger")
    _, error, df = by_contrast(fit)
    np.testing.assert_allclose(error, R_VALUES[name]["kr se"], rtol=TOLERANCE)
    np.testing.assert_allclose(df, R_VALUES[name]["kr df"], rtol=TOLERANCE)
    np.testing.assert_allclose(fit.global_df, R_VALUES[name]["kr F df"], rtol=TOLERANCE)


def test_boundary_is_least_squares_with_the_degrees_of_freedom_of_kenward_and_roger() -> None:
    """lmerTest says 79 here, N - p, even for a mean of 6 coaches."""
    data, options = example("boundary")
    _, _, df = by_contrast(mixed(data, **options, df="satterthwaite"))
    np.testing.assert_allclose(df, R_VALUES["boundary"]["kr df"], rtol=TOLERANCE)
    design = np.hstack([np.eye(3)[data.arm], data.covariates - data.covariates.mean(axis=0)])
    beta, rss, *_ = np.linalg.lstsq(design, data.y[:, 0])
    cov = rss[0] / 79 * np.linalg.inv(design.T @ design)[:3, :3]
    fit = mixed(data, **options)
    np.testing.assert_allclose(fit.mean[:, 0], beta[:3], rtol=1e-12)
    np.testing.assert_allclose(fit.cov, cov, rtol=1e-10)


# ----------------------------------------------------------------------------------------------- dense matrices


@dataclass
class Dense:
    """The model with N x N matrices: V = sum of variances x parts; means are the first 3 coefficients."""

    y: Array
    design: Array
    parts: list[Array]

    def projection(self, variances: Array) -> tuple[Array, Array, Array, float]:
        v = sum(s * g for s, g in zip(variances, self.parts, strict=True))
        inverse = np.linalg.inv(v)
        phi = np.linalg.inv(self.design.T @ inverse @ self.design)
        p = inverse - inverse @ self.design @ phi @ self.design.T @ inverse
        return inverse, phi, p, float(np.linalg.slogdet(v)[1] - np.linalg.slogdet(phi)[1] + self.y @ p @ self.y)

    def gradient(self, variances: Array) -> Array:
        p = self.projection(variances)[2]
        return np.array([np.trace(p @ g) - self.y @ p @ g @ p @ self.y for g in self.parts])

    def information(self, variances: Array) -> tuple[Array, Array]:
        """Observed and expected second derivatives of the deviance."""
        p, pairs = self.projection(variances)[2], [[(g, h) for h in self.parts] for g in self.parts]
        traces = np.array([[np.trace(p @ g @ p @ h) for g, h in row] for row in pairs])
        squares = np.array([[self.y @ p @ g @ p @ h @ p @ self.y for g, h in row] for row in pairs])
        return 2 * squares - traces, traces

    def estimate(self) -> Array:
        start = np.ones(len(self.parts))
        found: Array = minimize(
            lambda s: self.projection(s)[3],
            start,
            jac=self.gradient,
            method="L-BFGS-B",
            bounds=[(1e-3, 50)] * len(start),
        ).x
        for _ in range(6):
            found = found - np.linalg.solve(self.information(found)[0], self.gradient(found))
        return found

    def satterthwaite(self, variances: Array, contrast: Array) -> tuple[float, float]:
        """Variance of the contrast of coefficients, and its degrees of freedom."""
        inverse, phi, *_ = self.projection(variances)
        along = inverse @ self.design @ phi @ contrast
        slope = np.array([along @ g @ along for g in self.parts])
        variance = contrast @ phi @ contrast
        return variance, variance**2 / (slope @ np.linalg.inv(self.information(variances)[0]) @ slope)

    def kenward_roger(self, variances: Array, contrasts: Array) -> tuple[Array, float]:
        """Adjusted covariance and F denominator as in Kenward and Roger (1997), with numbers, not letters."""
        inverse, phi, *_ = self.projection(variances)
        x, w = self.design, 2 * np.linalg.inv(self.information(variances)[1])
        ps = [-x.T @ inverse @ g @ inverse @ x for g in self.parts]
        inner = np.zeros_like(phi)
        theta = contrasts.T @ np.linalg.inv(contrasts @ phi @ contrasts.T) @ contrasts
        a1 = a2 = 0.0
        for i, g in enumerate(self.parts):
            for j, h in enumerate(self.parts):
                q = x.T @ inverse @ g @ inverse @ h @ inverse @ x
                inner += w[i, j] * (q - ps[i] @ phi @ ps[j])
                turned = [theta @ phi @ ps[k] @ phi for k in (i, j)]
                a1 += w[i, j] * np.trace(turned[0]) * np.trace(turned[1])
                a2 += w[i, j] * np.trace(turned[0] @ turned[1])
        n = len(contrasts)
        b, g_ = (a1 + 6 * a2) / (2 * n), ((n + 1) * a1 - (n + 4) * a2) / ((n + 2) * a2)
        below = 3 * n + 2 * (1 - g_)
        c1, c2, c3 = g_ / below, (n - g_) / below, (n + 2 - g_) / below
        mean, spread = 1 / (1 - a2 / n), 2 / n * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
        return phi + 2 * phi @ inner @ phi, 4 + (n + 2) / (n * spread / (2 * mean**2) - 1)


def dense(data: Data, nested: tuple[int, ...], heteroscedastic: bool) -> Dense:
    inside = np.isin(data.arm, nested)
    member = inside & (data.cluster >= 0)
    together = (data.cluster[:, None] == data.cluster) & member[:, None] & member
    residual = [np.diag(inside * 1.0), np.diag(~inside * 1.0)] if heteroscedastic else [np.eye(len(inside))]
    design = np.hstack([np.eye(data.n_arms)[data.arm], data.covariates - data.covariates.mean(axis=0)])
    return Dense(data.y[:, 0], design, [together * 1.0, *residual])


DENSE_CASES = [("coach", (1,), True), ("site", (1, 2), True), ("site", (0, 2), False), ("site", (0, 1, 2), False)]


@pytest.mark.parametrize(("name", "nested", "heteroscedastic"), DENSE_CASES)
def test_dense_matrices_say_the_same(name: str, nested: tuple[int, ...], heteroscedastic: bool) -> None:
    data, _ = example(name)
    data = replace(data, cluster=np.where(np.arange(84) % 11 == 0, -1, data.cluster))
    model = dense(data, nested, heteroscedastic)
    variances = model.estimate()
    assert (variances > 0.01).all()
    options: dict[str, Any] = {"nested_arms": nested, "heteroscedastic": heteroscedastic}
    fit = mixed(data, **options)
    rows = np.hstack([CONTRASTS, np.zeros((6, 2))])
    expected = np.array([model.satterthwaite(variances, row) for row in rows])
    _, error, df = by_contrast(fit)
    np.testing.assert_allclose(error**2, expected[:, 0], rtol=1e-8)
    np.testing.assert_allclose(df, expected[:, 1], rtol=1e-8)
    adjusted, global_df = model.kenward_roger(variances, rows[3:5])
    fit = mixed(data, **options, df="kenward_roger")
    np.testing.assert_allclose(fit.cov, adjusted[:3, :3], rtol=1e-8)
    np.testing.assert_allclose(fit.global_df, global_df, rtol=1e-7)
    single = [model.kenward_roger(variances, row[None])[1] for row in rows]
    np.testing.assert_allclose(by_contrast(fit)[2], single, rtol=1e-6)


# ------------------------------------------------------------------------------------------- degrees of freedom


def test_between_within_counts() -> None:
    def df(name: str, **changes: Any) -> Array:
        data, options = example(name)
        return by_contrast(mixed(data, **(options | changes), df="between_within"))[2]

    assert df("coach").tolist() == [79, 5, 79, 5, 79, 5]
    assert df("heteroscedastic").tolist() == [52, 5, 52, 5, 52, 5]
    assert df("site").tolist() == [8, 8, 8, 71, 71, 71]
    assert df("site", nested_arms=(0, 1)).tolist() == [8, 8, 79, 71, 8, 8]


def test_clusters_nested_in_two_arms_count_less_one_for_each_arm() -> None:
    data, _ = example("coach")
    data = replace(data, cluster=np.where(data.arm == 2, 100 + np.arange(84) % 4, data.cluster))
    fit = mixed(data, nested_arms=(1, 2), df="between_within")
    assert by_contrast(fit)[2].tolist() == [79, 8, 8, 8, 8, 8]


def test_one_participant_with_a_coach_of_another_arm_does_not_make_arms_share_coaches() -> None:
    data, _ = example("coach")
    cluster = np.where(data.arm == 2, 100 + np.arange(84) % 4, data.cluster)
    cluster[np.flatnonzero(data.arm == 2)[0]] = 0
    fit = mixed(replace(data, cluster=cluster), nested_arms=(1, 2), df="between_within")
    assert by_contrast(fit)[2].tolist() == [79, 8, 8, 8, 8, 8]


def test_normal_is_infinite() -> None:
    data, options = example("coach")
    fit = mixed(data, **options, df="normal")
    assert np.isinf(fit.df).all()
    assert np.isinf(fit.global_df).all()


# ---------------------------------------------------------------------------------------------------- behaviour


METHODS: list[Literal["satterthwaite", "kenward_roger", "between_within", "normal"]] = [
    "satterthwaite",
    "kenward_roger",
    "between_within",
    "normal",
]


@pytest.mark.parametrize("method", METHODS)
def test_visits_stand_apart_and_a_failed_one_fails_alone(method: Any) -> None:
    data, options = example("coach")
    late = np.where(np.arange(84) % 7 == 3, np.nan, 2 * data.y[:, 0] + noise(61))
    nobody = np.where(data.arm == 2, np.nan, data.y[:, 0])
    three = replace(data, y=np.stack([data.y[:, 0], nobody, late], axis=1))
    fit = mixed(three, **options, df=method)
    assert fit.reason == ("", "no observations in arm 2 at visit 1", "")
    blocks = fit.cov.reshape(3, 3, 3, 3)
    seen = ~np.isnan(late)
    for visit, rows in ((0, np.ones(84, dtype=np.bool_)), (2, seen)):
        parts = (data.arm[rows], data.covariates[rows], data.cluster[rows], 3)
        alone = mixed(Data(three.y[rows][:, [visit]], *parts), **options, df=method)
        np.testing.assert_array_equal(fit.mean[:, visit], alone.mean[:, 0])
        np.testing.assert_array_equal(blocks[:, visit, :, visit], alone.cov)
        np.testing.assert_array_equal(fit.df[..., visit], alone.df[..., 0])
        np.testing.assert_array_equal(fit.n_cell[:, visit], alone.n_cell[:, 0])
    assert (blocks[:, 0, :, 2] == 0).all()
    assert np.isnan(blocks[:, 1]).all()
    assert np.isnan(fit.mean[:, 1]).all()
    assert np.isnan(fit.df[..., 1]).all()
    assert fit.n_used == 84


def test_units_and_labels_do_not_matter() -> None:
    data, options = example("coach")
    fit = mixed(data, **options)
    other = replace(
        data,
        y=1e4 + 1e6 * data.y,
        covariates=data.covariates * [1e-3, 300] + 200,
        cluster=np.where(data.cluster < 0, -1, 10**12 - 7 * data.cluster),
    )
    moved = mixed(other, **options)
    np.testing.assert_allclose(moved.mean, 1e4 + 1e6 * fit.mean, rtol=1e-9)
    np.testing.assert_allclose(moved.cov, 1e12 * fit.cov, rtol=1e-7)
    np.testing.assert_allclose(moved.df, fit.df, rtol=1e-7)


def test_the_order_of_participants_does_not_matter() -> None:
    data, options = example("heteroscedastic")
    order = np.argsort(noise(83))
    fit = mixed(data, **options)
    turned = mixed(Data(data.y[order], data.arm[order], data.covariates[order], data.cluster[order], 3), **options)
    np.testing.assert_allclose(turned.mean, fit.mean, rtol=1e-10)
    np.testing.assert_allclose(turned.cov, fit.cov, rtol=1e-8)


def without_clusters(data: Data) -> Data:
    return replace(data, cluster=np.full(84, -1))


def one_cluster(data: Data) -> Data:
    return replace(data, cluster=np.where(data.cluster >= 0, 4, -1))


def one_cluster_per_arm(data: Data) -> Data:
    return replace(data, cluster=data.arm)


def constant_in_clusters(data: Data) -> Data:
    return replace(data, y=data.cluster[:, None] * 1.5, cluster=np.arange(84) // 6, covariates=np.empty((84, 0)))


FAULTS = [
    (without_clusters, None, "fewer than 2 clusters at visit 0"),
    (one_cluster, (1,), "fewer than 2 clusters at visit 0"),
    (one_cluster_per_arm, None, "the variance between clusters cannot be estimated at visit 0"),
    (lambda d: replace(d, cluster=np.arange(84)), None, "too few observations within clusters at visit 0"),
    (lambda d: replace(d, y=d.arm[:, None] * 1.1), (1,), "zero variance at visit 0"),
    (lambda d: replace(d, y=d.y * 1e300), (1,), "an observed outcome is too large or too small at visit 0"),
    (lambda d: replace(d, y=np.where(d.y > 12.5, np.inf, d.y)), (1,), "an observed outcome is not finite at visit 0"),
    (lambda d: replace(d, covariates=(d.arm == 1)[:, None] * 1.0), (1,), "covariates are collinear"),
    (lambda d: replace(d, covariates=d.covariates * [1, 0] + 0.1), (1,), "covariates are collinear"),
    (lambda d: replace(d, covariates=d.covariates / [1, 0]), (1,), "a covariate is not finite"),
    (
        lambda d: replace(d, y=np.where(np.arange(84) < 5, d.y[:, 0], np.nan)[:, None]),
        (1,),
        "too few observations at visit 0",
    ),
]


@pytest.mark.parametrize(("change", "nested", "reason"), FAULTS)
def test_what_cannot_be_fitted_has_a_reason(change: Any, nested: tuple[int, ...] | None, reason: str) -> None:
    data, _ = example("coach")
    with np.errstate(all="ignore"):
        data = change(data)
    fit = mixed(data, nested_arms=nested)
    assert fit.reason == (reason,)
    assert np.isnan(fit.mean).all()
    assert np.isnan(fit.cov).all()
    assert fit.n_used == 0


def test_zero_variance_within_clusters() -> None:
    data, _ = example("site")
    data = replace(data, y=np.floor(data.cluster[:, None] * 1.7) ** 2, covariates=np.empty((84, 0)))
    assert mixed(data).reason == ("zero variance within clusters at visit 0",)


def test_weights_and_unknown_arms_are_refused() -> None:
    data, _ = example("coach")
    with pytest.raises(FitError, match="weights"):
        mixed(replace(data, weights=np.ones((84, 1))))
    with pytest.raises(ValueError, match="nested_arms"):
        mixed(data, nested_arms=(3,))


# --------------------------------------------------------------------------------------------------- type I error


N_BLOCKS, PER_BLOCK = 10, 100


def rejections(icc: float, *, coaches_known: bool) -> float:
    """How often a coached arm is said to differ at .05 where it does not: 12 coaches of 20. A visit is a replicate."""
    rng = np.random.default_rng([int(1000 * icc), coaches_known])
    arm = np.arange(720) % 3
    coach = np.where(arm == 1, np.arange(720) // 3 % 12, -1)
    label = coach if coaches_known else np.where(arm == 1, np.arange(720) // 60, -1)
    p_values = []
    for _ in range(N_BLOCKS):
        own, shared = rng.normal(size=(2, 720, PER_BLOCK)), rng.normal(size=(12, PER_BLOCK))[coach]
        y = np.sqrt(1 - icc) * own[0] + np.sqrt(icc) * np.where(arm[:, None] == 1, shared, own[1])
        fit = mixed(Data(y, arm, np.empty((720, 0)), label, 3), nested_arms=(1,))
        assert not any(fit.reason)
        blocks = np.einsum("avbv->vab", fit.cov.reshape(3, PER_BLOCK, 3, PER_BLOCK))
        error = np.sqrt(blocks[:, 1, 1] + blocks[:, 0, 0] - 2 * blocks[:, 1, 0])
        p_values.append(2 * t_distribution.sf(np.abs(fit.mean[1] - fit.mean[0]) / error, fit.df[1, 0]))
    return float(np.mean(np.concatenate(p_values) < 0.05))


TOO_FAR = 4.5 * np.sqrt(0.05 * 0.95 / (N_BLOCKS * PER_BLOCK))


@pytest.mark.parametrize("icc", [0.01, 0.05])
def test_type_i_error_with_12_coaches(icc: float) -> None:
    assert abs(rejections(icc, coaches_known=True) - 0.05) < TOO_FAR


def test_type_i_error_is_seen_to_be_wrong_where_coaches_are_mistaken() -> None:
    assert rejections(0.15, coaches_known=False) - 0.05 > TOO_FAR
