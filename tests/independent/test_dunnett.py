"""Dunnett's test against the published table, mvtnorm, multcomp and Mediana."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from trialsim.analysis import dunnett as dt

Array = NDArray[Any]
INF = math.inf

# Oracles M1 - M3: alpha .05, equal arms. df, k, sided, as the oracle has it (qmvt of mvtnorm 1.1-3, whose answers are
# good to about 4e-4), and the root of mvtnorm's own exact tail, R 4.2.2:
#   cdf <- function(u, df, k) { r <- matrix(.5, k, k); diag(r) <- 1; pmvt / pmvnorm(lower = rep(-Inf, k), upper = u,
#     corr = r, df = df, algorithm = TVPACK(1e-14)) }; one-sided tail 1 - cdf(rep(c, k)), two-sided 1 - the sum over
#   signs s of prod(s) cdf(s c); uniroot(function(c) tail(c) - .05, c(1.5, 3.5), tol = 1e-13)
CRITICAL = [
    (10, 2, 1, 2.15094, 2.1506138268), (20, 2, 1, 2.02752, 2.0273183874), (30, 2, 1, 1.98919, 1.9890256934),
    (60, 2, 1, 1.95217, 1.9520470626), (120, 2, 1, 1.93415, 1.9340346553), (INF, 2, 1, 1.91640, 1.9163319447),
    (10, 2, 2, 2.5686, 2.568338876), (20, 2, 2, 2.3788, 2.3786899802), (30, 2, 2, 2.3209, 2.3207522451),
    (60, 2, 2, 2.2654, 2.2652669653), (120, 2, 2, 2.2385, 2.2384106317), (INF, 2, 2, 2.21218, 2.2121277466),
    (INF, 3, 1, 2.06211, 2.0620839329), (INF, 3, 2, 2.34891, 2.3489705903),
]  # fmt: skip
TABLE_1955 = {10: 2.15, 20: 2.03, 30: 1.99, 60: 1.95, 120: 1.93, INF: 1.92}

UNEQUAL = dt.loadings(20, [35, 12, 50])
# R 4.2.2, mvtnorm 1.1-3: l <- sqrt(n / (n + 20)); r <- outer(l, l); diag(r) <- 1
#   1 - pmvt(lower = rep(-Inf, k), upper = rep(c, k), corr = r, df = df, algorithm = TVPACK(abseps = 1e-14))
# df, c, n = (35, 12), n = (35, 12, 50); df Inf: pmvnorm
ONE_SIDED = [
    (1, 0.7, 0.44157277526444, 0.50336207427782),
    (1, 2.1, 0.21122844297041, 0.24587987241544),
    (1, 4.0, 0.11711965819001, 0.13687867517682),
    (3, 0.7, 0.39877907541739, 0.4619095649725),
    (3, 2.1, 0.10318158981618, 0.12649110324234),
    (3, 4.0, 0.023420765915764, 0.029250660558941),
    (8, 0.7, 0.38178659644882, 0.44554025619724),
    (8, 2.1, 0.05990007850127, 0.076532632464094),
    (8, 4.0, 0.0036188489016717, 0.0048350375316142),
    (15, 0.7, 0.37670171214369, 0.44065043818947),
    (15, 2.1, 0.047274669154432, 0.061493310542008),
    (15, 4.0, 0.0011034079708843, 0.0015269461689028),
    (60, 0.7, 0.37223580989704, 0.43635889254764),
    (60, 2.1, 0.036493784712549, 0.04839207719666),
    (60, 4.0, 0.00017357004760277, 0.00025025358993536),
    (INF, 0.7, 0.37072596383089, 0.4349086179001),
    (INF, 2.1, 0.0329440180488, 0.044012022783276),
    (INF, 4.0, 6.2902528196296e-05, 9.2096519395124e-05),
]
# set.seed(1); pmvt(lower = rep(-c, 3), upper = rep(c, 3), ..., algorithm = GenzBretz(maxpts = 5e7, abseps = 1e-8)):
# its error is 2e-8 or less
TWO_SIDED = [
    (5, 1.5, 0.378285301916), (5, 2.5, 0.11715060208), (15, 1.5, 0.325064820909),
    (15, 2.5, 0.0591978841267), (60, 1.5, 0.301626239565), (60, 2.5, 0.0387376457914),
]  # fmt: skip


@pytest.mark.parametrize(("df", "k", "sided", "oracle", "exact"), CRITICAL)
def test_critical_values(df: float, k: int, sided: Any, oracle: float, exact: float) -> None:
    found = dt.critical_value(df, 30, [30] * k, alpha=0.05, sided=sided)
    assert found == pytest.approx(exact, abs=1e-9)
    assert found == pytest.approx(oracle, abs=4e-4)


def test_the_table_of_1955() -> None:
    assert {df: round(dt.critical_value(df, 9, [9, 9], sided=1), 2) for df in TABLE_1955} == TABLE_1955


@pytest.mark.parametrize(("df", "c", "two", "three"), ONE_SIDED)
def test_one_sided_tails(df: float, c: float, two: float, three: float) -> None:
    found = [dt.tail_probability(c, df, loading, sided=1)[()] for loading in (UNEQUAL[:2], UNEQUAL)]
    np.testing.assert_allclose(found, (two, three), rtol=0, atol=2e-12)


@pytest.mark.parametrize(("df", "c", "expected"), TWO_SIDED)
def test_two_sided_tails(df: float, c: float, expected: float) -> None:
    np.testing.assert_allclose(dt.tail_probability(c, df, UNEQUAL, sided=2), expected, rtol=0, atol=2e-8)


def test_tails_of_four_treatments() -> None:
    """set.seed(2); pmvnorm, n = (35, 12, 50, 20) and control 20, GenzBretz as above."""
    found = dt.tail_probability(np.array([1.5, 2.5]), INF, dt.loadings(20, [35, 12, 50, 20]), sided=2)
    np.testing.assert_allclose(found, (0.353521337449, 0.0413204107493), rtol=0, atol=1e-8)


def test_loadings_of_either_sign() -> None:
    """l <- c(.9, -.3, .5), c = 1.7, TVPACK: pmvnorm, and pmvt with 7 df."""
    found = dt.tail_probability(1.7, np.array([INF, 7]), np.array([0.9, -0.3, 0.5]), sided=1)
    np.testing.assert_allclose(found, (0.1233189129851, 0.1732595873846), rtol=0, atol=1e-12)


@pytest.mark.parametrize("df", [0.5, 1, 2, 4, 7, 11, 14, 17, 23, 40, 200, 716, 1e5, INF])
@pytest.mark.parametrize("sided", [1, 2])
def test_one_treatment_is_a_t_test(df: float, sided: Any) -> None:
    """Whatever the loading; the quadrature over s stands alone here."""
    t = np.array([0.0, 0.3, 1, 2, 3.5, 6, 12])
    for loading in (0.0, 0.7, 0.97):
        found = dt.single_step(t[:, None], df, np.array([loading]), sided=sided)[:, 0]
        np.testing.assert_allclose(found, sided * stats.t.sf(t, df), rtol=1e-9, atol=2e-12)


def test_single_step_and_step_down_of_the_vignette() -> None:
    """Oracle M6: Mediana, whose own integration is Monte Carlo with a tolerance of 2e-5."""
    t = np.array([[2.3, 2.5, 1.9]]) / (9.5 * math.sqrt(2 / 180))
    loading = dt.loadings(180, [180] * 3)
    single, step = dt.single_step(t, 716, loading, sided=1), dt.step_down(t, 716, loading, sided=1)
    np.testing.assert_allclose(single[0], (0.02887019, 0.01722656, 0.07213393), rtol=0, atol=2e-5)
    np.testing.assert_allclose(step[0], (0.02043820, 0.01722544, 0.02909082), rtol=0, atol=2e-5)


def test_multcomp() -> None:
    """R 4.2.2, multcomp 1.4-22, its integration to about 1e-6 (maxpts 2e6).

    y <- c(10.1, 12.3, 9.8, 11.5, 13.0, 10.7,  13.9, 12.2, 15.1, 14.4,  11.2, 12.8, 10.9, 13.3, 12.6,  12.0, 14.9, 15.8)
    a <- factor(rep(c("c", "t1", "t2", "t3"), c(6, 4, 5, 3))); h <- glht(lm(y ~ a), mcp(a = "Dunnett"))
    set.seed(1); summary(h, test = adjusted("single-step", abseps = 1e-8, maxpts = 2e6)), then "free",
    then both with alternative = "greater"
    """
    t = np.array([[3.10193377220529, 1.14906869778418, 3.18562331048237]])
    cov = np.full((3, 3), 0.295619047619047)
    np.fill_diagonal(cov, [0.739047619047618, 0.650361904761904, 0.886857142857142])
    loading = dt.loadings_from_covariance(cov)
    np.testing.assert_allclose(loading, dt.loadings(6, [4, 5, 3]), rtol=1e-13)
    expected = {
        (dt.single_step, 2): (0.0212204284208, 0.5598179848922, 0.0180375674891),
        (dt.step_down, 2): (0.0180375857216, 0.2697809513443, 0.0180375857216),
        (dt.single_step, 1): (0.01062371645659, 0.29444140746199, 0.00902894947878),
        (dt.step_down, 1): (0.00902891293528, 0.13489047567215, 0.00902891293528),
    }
    for (function, sided), p in expected.items():
        np.testing.assert_allclose(function(t, 14, loading, sided=sided)[0], p, rtol=0, atol=1e-6)  # type: ignore[operator]


def test_mvtnorm_without_monte_carlo_error() -> None:
    """The same data; 1 - pmvt(upper = rep(t, 3), df = 14, algorithm = TVPACK(abseps = 1e-14)) is the one-sided p."""
    loading = dt.loadings(6, [4, 5, 3])
    t = np.array([[3.10193377220529, 1.14906869778418, 3.18562331048237]])
    pairs = dt.step_down(t, 14, loading, sided=1)[0]
    assert pairs[1] == pytest.approx(stats.t.sf(t[0, 1], 14), abs=1e-12)


# --- covariances ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [(0.5, 0.7), (0.9, -0.4, 0.3), (0.6, 0.0, 0.5, 0.2), (0.3,), (0.0, 0.0, 0.0)])
def test_loadings_come_back(factors: tuple[float, ...]) -> None:
    given = np.array(factors)
    rho = np.outer(given, given)
    np.fill_diagonal(rho, 1)
    scale = np.arange(1, len(given) + 1)
    found = dt.loadings_from_covariance(rho * np.outer(scale, scale))
    again = np.outer(found, found)
    np.fill_diagonal(again, 1)
    np.testing.assert_allclose(again, rho, atol=1e-14)


def test_correlations_that_are_no_products() -> None:
    rho = np.array([[1, 0.5, 0.2, 0.1], [0.5, 1, 0.3, 0.4], [0.2, 0.3, 1, 0.3], [0.1, 0.4, 0.3, 1]])
    with pytest.raises(ValueError, match="not products of one loading each"):
        dt.loadings_from_covariance(rho)
    triangle = np.array([[1, 0.9, 0.9], [0.9, 1, 0.6], [0.9, 0.6, 1]])  # needs a loading above 1
    with pytest.raises(ValueError, match="not products"):
        dt.loadings_from_covariance(triangle)
    nearly = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    nearly[0, 1] = nearly[1, 0] = 0.503
    with pytest.raises(ValueError, match="largest departure"):
        dt.loadings_from_covariance(nearly)
    assert dt.loadings_from_covariance(nearly, tolerance=0.01) == pytest.approx([0.7] * 4, abs=0.02)


def test_a_covariance_of_a_failed_fit_is_unknown() -> None:
    good = np.full((2, 2), 0.5) + 0.5 * np.eye(2)
    found = dt.loadings_from_covariance(np.stack([good, good * np.nan, np.zeros((2, 2))]))
    assert np.isnan(found).tolist() == [[False] * 2, [True] * 2, [True] * 2]


# --- power ------------------------------------------------------------------------------------------------------------

EFFECT = (2.5, 1.2, 0.3)
LOADING = dt.loadings(50, [40, 60, 50])


def test_power() -> None:
    """mvtnorm 1.1-3, mean = c(2.5, 1.2, .3), n = (40, 60, 50), control 50: 1 - pmvnorm(upper = rep(2.2, 3)),
    pmvnorm(lower = rep(1, 3)), both TVPACK(1e-14); 1 - pmvnorm(rep(-2.2, 3), rep(2.2, 3)), GenzBretz(abseps = 1e-9)."""
    assert dt.power(EFFECT, LOADING, critical=2.2, sided=1) == pytest.approx(0.638259919347, abs=1e-12)
    assert dt.power(EFFECT, LOADING, critical=1, sided=1, kind="all") == pytest.approx(0.201309982733, abs=1e-12)
    assert dt.power(EFFECT, LOADING, critical=2.2, sided=2) == pytest.approx(1 - 0.356067166392, abs=2e-9)
    marginal = stats.norm.sf(2.2 - np.array(EFFECT)) + stats.norm.cdf(-2.2 - np.array(EFFECT))
    np.testing.assert_allclose(dt.power(EFFECT, LOADING, critical=2.2, kind="marginal"), marginal, rtol=1e-12)


def test_power_of_several_effects_and_without_effect() -> None:
    many = dt.power([EFFECT, (0, 0, 0)], LOADING, alpha=0.05, sided=2)
    assert many.shape == (2,)
    assert many[1] == pytest.approx(0.05, abs=1e-10)
    assert many[0] == pytest.approx(dt.power(EFFECT, LOADING, critical=dt.critical_value(INF, 50, [40, 60, 50])))


def test_one_stage_of_mams() -> None:
    """Oracle M9 (MAMS, inst/tests2/testthat/test-mams.R): u = 2.062 and n = 79 per arm, the least with power .9.

    mvtnorm 1.1-3: pmvnorm(lower = c(2.062, 0, 0)) of (T1, T1 - T2, T1 - T3), GenzBretz(maxpts = 5e7, abseps = 1e-9).
    """
    assert dt.critical_value(INF, 79, [79] * 3, alpha=0.05, sided=1) == pytest.approx(2.062, abs=5e-4)

    def power(n: int) -> float:
        error = math.sqrt(2 / n)
        return dt.least_favourable_power(0.545 / error, 0.178 / error, 3, 2.062)

    assert power(79) == pytest.approx(0.903071463793, abs=1e-9)
    assert power(78) < 0.9 < power(79)


def test_least_favourable_power_of_unequal_arms() -> None:
    """By simulation: two participants in control for each one in a treatment."""
    n, k, effect, others, c = 200_000, 3, 2.8, 1.1, 2.1
    rng = np.random.default_rng(3)
    loading = math.sqrt(1 / 3)
    t = math.sqrt(2 / 3) * rng.normal(size=(n, k)) - loading * rng.normal(size=(n, 1)) + [effect, others, others]
    hits = (t[:, 0] > c) & (t.argmax(axis=1) == 0)
    expected = dt.least_favourable_power(effect, others, k, c, ratio=0.5)
    tolerance = 4.5 * math.sqrt(expected * (1 - expected) / n)
    assert abs(hits.mean() - expected) < tolerance
    assert abs(hits.mean() - dt.least_favourable_power(effect, others, k, c, ratio=2)) > tolerance
