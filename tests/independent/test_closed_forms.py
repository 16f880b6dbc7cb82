"""Closed forms of power against published tables and other software. The row's name in oracles.md is the test's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import FTestAnovaPower, NormalIndPower, TTestIndPower

from trialsim.experiments import closed_forms as cf
from trialsim.experiments import closed_forms_cluster as cluster
from trialsim.experiments import closed_forms_longitudinal as long

WEEKS = np.arange(11.0)
HALF_YEARS = np.arange(0.0, 1.51, 0.25)

# --- two arms: R pwr 1.3.0, frozen in statsmodels 0.15.0 stats/tests/test_power.py ------------------------------------


@pytest.mark.parametrize(
    ("power", "published"),
    [
        # pwr.t.test(d=1, n=30, sig.level=0.05, type="two.sample", alternative="two.sided" / "greater")
        pytest.param(cf.means_power(1, 1, 30, 30), 0.967708258242517, id="S8-two-sided"),
        pytest.param(cf.means_power(1, 1, 30, 30, sides=1), 0.985459690251624, id="S8-greater"),
        # pwr.t2n.test(d=0.1, n1=20, n2=30, sig.level=0.05, alternative="two.sided" / "greater")
        pytest.param(cf.means_power(0.1, 1, 20, 30), 0.0633081832564667, id="S9-two-sided"),
        pytest.param(cf.means_power(0.1, 1, 20, 30, sides=1), 0.09623589080917805, id="S9-greater"),
        # pwr.norm.test(d=0.3, n=80 / 2): two samples of 80
        pytest.param(cf.means_z_power(0.3, 1, 80, 80), 0.475100870572638, id="S10"),
    ],
)
def test_two_means(power: float, published: float) -> None:
    assert power == pytest.approx(published, rel=1e-10)


def test_s11_analysis_of_variance() -> None:
    # pwr.anova.test(f=0.25, k=10, n=20, sig.level=0.1592): n = 200 in all
    assert cf.anova_power(0.25, 200, 10, alpha=0.1592) == pytest.approx(0.8408, abs=5e-5)
    assert cf.anova_power(0.25, 200, 10, alpha=0.1592) == pytest.approx(0.840811, abs=5e-7)
    assert cf.anova_power(0.25, 200, 10) == pytest.approx(0.6596, abs=5e-5)


@pytest.mark.parametrize(
    ("difference", "power", "published"),
    [
        # pwr.t.test(d=0.5, power=0.8), pwr.t.test(d=0.3, power=0.9)
        pytest.param(0.5, 0.8, 63.76561, id="S12-d0.5"),
        pytest.param(0.3, 0.9, 234.46274, id="S12-d0.3"),
    ],
)
def test_s12_size_of_a_t_test(difference: float, power: float, published: float) -> None:
    assert cf.means_size(difference, 1, power) == pytest.approx(published, abs=5e-6)
    assert cf.means_size(-difference, 1, power) == pytest.approx(published, abs=5e-6)


@pytest.mark.parametrize(
    ("power", "published"),
    [  # R 4.2.2, package stats; strict=TRUE counts both tails; its noncentral F has nine digits (pf's series of Poisson
        # weights, summed in R, gives our 0.7096895899812802)
        # power.t.test(n=20, delta=1, sd=1.5, strict=TRUE)$power
        pytest.param(cf.means_power(1, 1.5, 20, 20), 0.537786846675991, id="power.t.test"),
        # power.anova.test(groups=4, between.var=1, within.var=3, n=10)$power
        pytest.param(cf.anova_power(math.sqrt(0.75 / 3), 40, 4), 0.709689590177893, id="power.anova.test"),
        # power.prop.test(n=100, p1=.5, p2=.6, strict=TRUE)$power
        pytest.param(cf.risks_power(0.5, 0.6, 100, 100, pooled=True), 0.294466097027792, id="power.prop.test"),
        # power.prop.test(n=565, p1=.15, p2=.225)$power, one tail
        pytest.param(
            cf.risks_power(0.15, 0.225, 565, 565, pooled=True, alpha=0.025, sides=1),
            0.898952800697744,
            id="power.prop.test-one-tail",
        ),
    ],
)
def test_the_power_functions_of_r(power: float, published: float) -> None:
    assert power == pytest.approx(published, rel=1e-9)


def test_far_tails_of_the_noncentral_t_are_no_nan() -> None:
    shifts = np.arange(0.5, 60, 0.5)
    powers = [cf.t_power(shift, df) for df in (1, 5, 20, 58, 200, 1e4) for shift in (*shifts, *-shifts, 1e5)]
    assert np.isfinite(powers).all()
    assert min(powers) > 0.05
    assert max(powers) <= 1


@pytest.mark.parametrize("shift", [-3.0, -0.7, 0.0, 1e-9, 0.4, 2.5, 6.0, 40.0])
@pytest.mark.parametrize("df", [1.0, 3.5, 12, 58, 4_000])
@pytest.mark.parametrize("sides", [1, 2])
def test_noncentral_t_by_integrating_over_the_standard_deviation(shift: float, df: float, sides: cf.Sides) -> None:
    limit = stats.t.isf(0.05 / sides, df)
    p = (np.arange(20_000) + 0.5) / 20_000
    s = np.sqrt(stats.chi2.ppf(p, df) / df)
    power = np.mean(stats.norm.sf(limit * s - shift) + (sides == 2) * stats.norm.cdf(-limit * s - shift))
    assert cf.t_power(shift, df, sides=sides) == pytest.approx(power, abs=2e-6)


def test_statsmodels_agrees_with_unequal_arms_and_other_levels() -> None:
    ours = cf.means_power(0.4, 1, 50, 110, alpha=0.01)
    assert ours == pytest.approx(TTestIndPower().power(0.4, 50, 0.01, ratio=2.2), rel=1e-9)
    ours = cf.means_z_power(0.4, 1, 50, 110, alpha=0.01)
    assert ours == pytest.approx(NormalIndPower().power(0.4, 50, 0.01, ratio=2.2), rel=1e-9)
    assert cf.anova_power(0.3, 90, 3, alpha=0.01) == pytest.approx(FTestAnovaPower().power(0.3, 90, 0.01, 3), rel=1e-7)
    n = cf.means_size(0.4, 2, 0.85, ratio=2.0, alpha=0.01)
    assert n == pytest.approx(TTestIndPower().solve_power(0.2, None, 0.01, 0.85, ratio=2.0), rel=1e-7)


# --- two risks --------------------------------------------------------------------------------------------------------


def test_risks_of_the_planning_statement_of_resolve() -> None:
    # R 4.2.2: power.prop.test(p1=.15, p2=.225, power=.9, tol=1e-10)$n, one tail
    one_tail = partial(cf.risks_power, 0.15, 0.225, pooled=True, alpha=0.025, sides=1)
    assert cf.size_for(lambda n: one_tail(n, n), 0.9, low=5) == pytest.approx(567.07208615173, rel=1e-9)
    unpooled = (stats.norm.ppf(0.975) + stats.norm.ppf(0.9)) ** 2 * (0.15 * 0.85 + 0.225 * 0.775) / 0.075**2
    n = cf.size_for(lambda n: cf.risks_power(0.15, 0.225, n, n), 0.9, low=5)
    assert n == pytest.approx(unpooled, rel=1e-6)
    ratio = (stats.norm.ppf(0.975) + stats.norm.ppf(0.9)) ** 2 * (0.85 / 0.15 + 0.775 / 0.225) / math.log(1.5) ** 2
    assert cf.risk_ratio_size(0.15, 0.225, 0.9) == pytest.approx(ratio, rel=1e-6)
    assert cf.risk_ratio_size(0.225, 0.15, 0.9) == pytest.approx(ratio, rel=1e-6)
    # 777 per arm of which 80 % are seen: more than any of these needs
    assert cf.retention_inflation(ratio, 0.8) == pytest.approx(727.9, abs=0.1)


@pytest.mark.parametrize("pooled", [True, False, None], ids=["pooled", "own", "ratio"])
def test_risks_against_all_tables(pooled: bool | None) -> None:
    """Exact power of each test by summing over both arms' numbers of events: the normal formulas are within 1 %."""
    n, p = 400, (0.3, 0.4)
    a, b = np.arange(1, n)[:, None] / n, np.arange(1, n)[None, :] / n
    if pooled is None:
        z = np.log(b / a) / np.sqrt((1 - a) / (a * n) + (1 - b) / (b * n))
        ours = cf.risk_ratio_power(*p, n, n)
    else:
        m = (a + b) / 2
        z = (b - a) / np.sqrt(2 * m * (1 - m) / n if pooled else (a * (1 - a) + b * (1 - b)) / n)
        ours = cf.risks_power(*p, n, n, pooled=pooled)
    k = np.arange(1, n)
    weight = stats.binom.pmf(k, n, p[0])[:, None] * stats.binom.pmf(k, n, p[1])[None, :]
    assert ours == pytest.approx(float(weight[np.abs(z) > stats.norm.ppf(0.975)].sum()), abs=0.01)


# --- repeated measurements: mcdonohue/longpower@013692e4 and powerlmm -------------------------------------------------

# longpower, tests/testthat/tests.R: diggle.linear.power(d=0.5, t=c(0,2,5), sigma2=sigma2, R=rho,
#   alternative="one.sided", power=0.80)$n; table on page 29 of Diggle et al. (1994)
DIGGLE = {
    0.2: [312.38184, 624.76368, 937.14552],
    0.5: [195.23865, 390.47730, 585.71595],
    0.8: [78.09546, 156.19092, 234.28638],
}
PAGE_29 = {0.2: [313, 625, 938], 0.5: [196, 391, 586], 0.8: [79, 157, 235]}


@pytest.mark.parametrize("correlation", DIGGLE, ids=lambda c: f"L1-{c}")
def test_l1_linear_trend(correlation: float) -> None:
    sizes = []
    for variance in (100, 200, 300):
        slope = long.slope_variance([0, 2, 5], long.exchangeable(variance, correlation, 3))
        sizes.append(cf.normal_size(2 * slope, 0.5, 0.8, sides=1))
    assert sizes == pytest.approx(DIGGLE[correlation], abs=6e-6)
    assert [math.ceil(n) for n in sizes] == PAGE_29[correlation]


def test_l3_lmmpower() -> None:
    # longpower, tests/testthat/tests.R: lmmpower(delta=1.5, t=seq(0,1.5,0.25), sig2.i=55, sig2.s=24, sig2.e=10,
    #   cov.s.i=0.8*sqrt(55)*sqrt(24), power=0.80)$n[1]; the same with n=208 for $delta
    model = long.Growth(var_intercept=55, var_slope=24, var_error=10, correlation=0.8)
    variance = 2 * long.slope_variance(HALF_YEARS, model.covariance(HALF_YEARS))
    assert cf.normal_size(variance, 1.5, 0.8) == pytest.approx(207.310093300903, rel=1e-12)
    assert math.sqrt(cf.normal_size(variance, 1.0, 0.8) / 208) == pytest.approx(1.49751028943272, rel=1e-12)


# longpower, tests/testthat/tests.R: power.mmrm.ar1(rho=p1J^(1/(J-1)), ra=seq(1, 1-aJ, length=J), sigmaa=1, lambda=1,
#   times=1:J, delta=1, sig.level=0.05, power=0.80)$phi1; Lu, Luo & Chen (2008), Table 2
CORRELATIONS = (0, 0.1, 0.3, 0.5, 0.7, 0.9)
INFLATION = {
    (2, 0.1): [1.11111111111111, 1.11, 1.10111111111111, 1.08333333333333, 1.05666666666667, 1.02111111111111],
    (2, 0.2): [1.25, 1.2475, 1.2275, 1.1875, 1.1275, 1.0475],
    (2, 0.3): [1.42857142857143, 1.42428571428571, 1.39, 1.32142857142857, 1.21857142857143, 1.08142857142857],
    (2, 0.4): [1.66666666666667, 1.66, 1.60666666666667, 1.5, 1.34, 1.12666666666667],
    (4, 0.1): [1.11111111111111, 1.10050206679506, 1.08280448732802, 1.06283003239702, 1.03996686151349, 1.01408550239776],
    (4, 0.4): [1.66666666666667, 1.59010470647863, 1.47488822527398, 1.35405269950478, 1.221989488974, 1.07728040119987],
}  # fmt: skip


@pytest.mark.parametrize(("visits", "attrition"), INFLATION, ids=lambda value: f"L4-{value}")
def test_l4_inflation_under_a_model_for_repeated_measures(visits: int, attrition: float) -> None:
    ours = []
    for last in CORRELATIONS:
        rho = last ** (1 / (visits - 1))
        matrix = rho ** np.abs(np.subtract.outer(np.arange(visits), np.arange(visits)))
        ours.append(long.mmrm_inflation(matrix, np.linspace(1, 1 - attrition, visits)))
    assert ours == pytest.approx(INFLATION[visits, attrition], rel=1e-12)


# longpower, tests/testthat/tests.R, "Reproduce Table 1 from Lu, Luo, & Chen (2008)", column ztest
TABLE_1 = [
    (1, 1, 1, 168.11876898305),
    (1, 1, 2, 189.133615105931),
    (1, 2, math.sqrt(0.5), 244.966998329937),
    (1, 2, 0.5, 252.178153474575),
    (1, 2, 1, 252.178153474575),
    (1, 2, 2, 315.222691843219),
    (2, 2, 1, 336.2375379661),
    (2, 2, 2, 378.267230211862),
]


@pytest.mark.parametrize(("a", "b", "ratio", "total"), TABLE_1, ids=[f"L6-{k}" for k in range(8)])
def test_l6_size_under_a_model_for_repeated_measures(a: float, b: float, ratio: float, total: float) -> None:
    assert long.mmrm_size(a, b, 1.0, 0.5, 0.9, ratio=ratio) == pytest.approx(total, rel=1e-12)


# powerlmm, inst/doc/two-level.html: p1 <- study_parameters(n1=11, n2=30, icc_pre_subject=0.5, var_ratio=0.019,
#   cohend=-0.5); get_power_table(p1, n2=seq(10, 30, by=5), var_ratio=c(0.01, 0.02, 0.05)); digits of oracles.md L8
TWO_LEVEL = {
    0.01: [0.19168927, 0.35125795, 0.49575126],
    0.02: [0.14196723, 0.24823202, 0.35184744],
    0.05: [0.09453344, 0.14598735, 0.19819649],
}


@pytest.mark.parametrize("var_ratio", TWO_LEVEL, ids=lambda v: f"L8-{v}")
def test_l8_two_level_model(var_ratio: float) -> None:
    model = long.standardised_growth(0.5, var_ratio)
    ours = [long.slope_difference_power(-0.5, WEEKS, model, n=n) for n in (10, 20, 30)]
    assert ours == pytest.approx(TWO_LEVEL[var_ratio], abs=5e-9)


def test_l9_two_level_model_with_dropout() -> None:
    # powerlmm, inst/doc/two-level.html: p2 <- study_parameters(n1=11, n2=25, icc_pre_subject=0.5, var_ratio=0.019,
    #   cohend=-0.5); get_power(p2), and with dropout=dropout_weibull(proportion=0.3, rate=1/2): 31 % and 25 %
    model = long.standardised_growth(0.5, 0.019)
    kept = long.weibull_retention(WEEKS, 0.3, 0.5)
    assert long.slope_difference_power(-0.5, WEEKS, model, n=25) == pytest.approx(0.30950, abs=5e-6)
    # powerlmm's deterministic dropout: those who leave at each visit are rounded to whole people
    whole = long.rounded_completers(kept, 25)
    assert whole.tolist() == [3, 1, 0, 1, 1, 0, 0, 1, 0, 0, 18]
    assert long.slope_difference_power(-0.5, WEEKS, model, n=whole) == pytest.approx(0.24877, abs=5e-6)
    # with expected numbers instead it is .2479: 25 % as well
    expected = long.expected_completers(kept, 25)
    assert expected.sum() == pytest.approx(25)
    assert long.slope_difference_power(-0.5, WEEKS, model, n=expected) == pytest.approx(0.247897, abs=5e-7)


def test_c1_three_level_model() -> None:
    # powerlmm, inst/doc/three-level.html: get_power(study_parameters(n1=11, n2=10, n3=4, icc_pre_subject=0.5,
    #   icc_pre_cluster=0, icc_slope=0.05, var_ratio=0.02, effect_size=cohend(-0.8, "pretest_SD"))): df 6, power 58 %
    model = long.standardised_growth(0.5, 0.02, icc_slope=0.05)
    power = long.clustered_slope_power(-0.8, WEEKS, model, n_clusters=4, size=10)
    assert power == pytest.approx(0.58354862, abs=5e-9)


def test_slope_variance_by_the_regression_of_a_whole_arm() -> None:
    """Generalised least squares with everybody's rows written out, clusters and dropout included."""
    model = long.Growth(var_intercept=2.0, var_slope=0.3, var_error=1.5, correlation=-0.4, var_cluster_slope=0.2)
    times, n_clusters, size = np.array([0.0, 1.0, 3.0, 4.0]), 3, 5
    person = np.repeat(np.arange(n_clusters * size), 4)
    t = np.tile(times, n_clusters * size)
    same = person[:, None] == person[None, :]
    own = model.var_intercept + model.correlation * math.sqrt(0.6) * np.add.outer(t, t) + 0.3 * np.outer(t, t)
    v = same * own + 1.5 * np.eye(len(t)) + 0.2 * np.outer(t, t) * np.equal.outer(person // size, person // size)
    x = np.column_stack([np.ones_like(t), t])
    whole = np.linalg.inv(x.T @ np.linalg.solve(v, x))[1, 1]
    power = cf.t_power(1.2 / 4 / math.sqrt(2 * whole), 2 * n_clusters - 2)
    assert long.clustered_slope_power(1.2, times, model, n_clusters=3, size=5) == pytest.approx(power, rel=1e-10)

    seen = t < np.array([9, 9, 4, 4, 2])[person % 5]  # last visits: 2 of 5 see all, 2 three, 1 two
    v = (same * own + 1.5 * np.eye(len(t)))[np.ix_(seen, seen)]
    part = np.linalg.inv(x[seen].T @ np.linalg.solve(v, x[seen]))[1, 1]
    counts = n_clusters * np.array([0, 1, 2, 2])
    assert long.slope_variance(times, model.covariance(times), counts) == pytest.approx(part, rel=1e-10)


# --- clusters: cran/clusterPower@4cec74e6 -----------------------------------------------------------------------------

# clusterPower counts the nearer tail only, and solves with uniroot(tol = .Machine$double.eps^0.25 = 1.2e-4).
ONE_TAIL: dict[str, float | cf.Sides] = {"alpha": 0.025, "sides": 1}
UNIROOT = 1.3e-4


def clusters(power_at: Callable[[float], float]) -> float:
    return cf.size_for(power_at, 0.8, low=1.5)


def test_c5_means() -> None:
    # man/cpa.normal.Rd: cpa.normal(power=NA, nclusters=16, nsubjects=10, d=1, sigma_b_sq=.5, vart=5): 0.801766 (cut, not
    #   rounded: .8017669); cpa.normal(power=.8, nsubjects=10, d=1, ICC=.1, vart=5)
    def power(k: float) -> float:
        return cluster.cluster_means_power(1, math.sqrt(5), 0.1, k, 10, alpha=0.025, sides=1)

    assert math.floor(power(16) * 1e6) / 1e6 == 0.801766
    assert clusters(power) == pytest.approx(15.932783, abs=UNIROOT)


def test_c7_means() -> None:
    # tests/testthat/testthat.R: cpa.normal(alpha=.05, power=.8, d=.4804988, nsubjects=150, ICC=.05, vart=1,
    #   method="weighted"): 4.99995, the 5 of the NIH calculator; nclusters=5, nsubjects=NA: 150, PASS 11
    def power(k: float, m: float) -> float:
        return cluster.cluster_means_power(0.4804988, 1, 0.05, k, m)

    assert clusters(lambda k: power(k, 150)) == pytest.approx(4.99995, abs=UNIROOT)
    assert math.ceil(clusters(lambda m: power(5, m))) == 150


@pytest.mark.parametrize(
    ("power", "published"),
    [  # man/cpa.normal.Rd: nclusters=20, nsubjects=100, CV=.5, d=.2, ICC=.1, sigma_b_sq=.1
        pytest.param(
            cluster.cluster_means_power(
                0.2, 1, 0.1, 20, 100, effect=cluster.design_effect_weighted(100, 0.1, size_cv=0.5), alpha=0.025, sides=1
            ),
            0.4559881,
            id="cpa.normal-CV",
        ),
    ],
)
def test_clusters_of_unequal_size(power: float, published: float) -> None:
    assert power == pytest.approx(published, abs=5e-8)


def test_c9_three_arms_as_clusterpower_has_it() -> None:
    # man/cpa.ma.normal.Rd: cpa.ma.normal(narms=3, nclusters=5, vara=36, varc=9, vare=64): 20.787953
    # It tests at alpha / 2, and its noncentrality is the ratio of expected mean squares, 1 + k m vara / (vare + m varc).
    def theirs(m: float) -> float:
        return cf.f_power((64 + 9 * m + 5 * 36 * m) / (64 + 9 * m), 2, 12, alpha=0.025)

    assert cf.size_for(theirs, 0.8, low=2) == pytest.approx(20.787953, abs=UNIROOT)
    # An F test at alpha has noncentrality 2 k m vara / (vare + m varc), and reaches 80 % with 4 in a cluster.
    right = cf.size_for(lambda m: cluster.cluster_anova_power(36, 9, 64, 3, 5, m), 0.8, low=1)
    assert right == pytest.approx(3.2334, abs=5e-5)


@pytest.mark.parametrize("size", [2, 4, 21])
def test_c9_three_arms_by_simulation(size: int) -> None:
    """What the F test really does with means 74, 80, 86: the textbook's noncentrality, not clusterPower's."""
    rng, n = np.random.default_rng(9), 40_000
    means = rng.normal([[[74]], [[80]], [[86]]], math.sqrt(9 + 64 / size), (3, 5, n))
    f = 5 * means.mean(axis=1).var(axis=0, ddof=1) / means.var(axis=1, ddof=1).mean(axis=0)
    simulated = float(np.mean(f > stats.f.isf(0.05, 2, 12)))
    tolerance = 4.5 * math.sqrt(simulated * (1 - simulated) / n) + 1e-4
    assert abs(cluster.cluster_anova_power(36, 9, 64, 3, 5, size) - simulated) < tolerance
    theirs = cf.f_power((64 + 9 * size + 5 * 36 * size) / (64 + 9 * size), 2, 12, alpha=0.025)
    assert abs(theirs - simulated) > tolerance


def test_c11_risks() -> None:
    # man/cpa.binary.Rd: cpa.binary(power=.8, nsubjects=10, p1=.1, p2=.2, ICC=.1): 38.2667 (its text says "greater than 37",
    #   which is the answer with tdist=FALSE)
    def power(k: float, *, normal: bool) -> float:
        return cluster.cluster_risks_power(0.1, 0.2, 0.1, k, 10, normal=normal, alpha=0.025, sides=1)

    assert clusters(lambda k: power(k, normal=False)) == pytest.approx(38.2667, abs=UNIROOT + 5e-5)
    assert 37 < clusters(lambda k: power(k, normal=True)) < 38
    # tests/testthat/testthat.R: cpa.binary(nclusters=13, nsubjects=150, CV=0, p1=.1, p2=.2, ICC=.05, tdist=FALSE); PASS 11: .86
    pass_11 = cluster.cluster_risks_power(0.1, 0.2, 0.05, 13, 150, normal=True, alpha=0.025, sides=1)
    assert pass_11 == pytest.approx(0.8595398, abs=5e-8)


def test_partially_nested() -> None:
    # man/cpa.irgtt.normal.Rd: cpa.irgtt.normal(nclusters=10, nsubjects=10, d=.5, varu=.1, varei=.9, varr=1): 77.81084
    power = partial(
        cluster.partially_nested_power, 0.5, 10, 10, var_clusters=0.1, var_treated=0.9, var_control=1.0
    )  # fmt: skip
    n = cf.size_for(lambda n: power(n, alpha=0.025, sides=1), 0.8, low=2)
    assert n == pytest.approx(77.81084, abs=UNIROOT)
    assert power(78, df=9) < power(78) < cf.means_power(0.5, 1, 100, 78)


@pytest.mark.parametrize(
    ("variance", "published"),
    [  # simstudy, its tests of iccRE (oracles.md C12): iccRE(c(.05, .10), "binary"); iccRE(c(.05, .10), "normal", varWithin=100)
        pytest.param(cluster.logit_cluster_variance(0.05), 0.17315095, id="C12-binary-.05"),
        pytest.param(cluster.logit_cluster_variance(0.10), 0.36554090, id="C12-binary-.10"),
        pytest.param(cluster.normal_cluster_variance(0.05, 100), 5.2631579, id="C12-normal-.05"),
        pytest.param(cluster.normal_cluster_variance(0.10, 100), 11.1111111, id="C12-normal-.10"),
    ],
)
def test_c12_variance_between_clusters(variance: float, published: float) -> None:
    assert variance == pytest.approx(published, abs=6e-8)


# --- the engine's arithmetic ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "waits", "wait"),
    [
        # Benchmark model of Palmer and others (2017), quoted in queueing-tool issue 105
        pytest.param((10, 4, 3), 0.7022472, 0.3511236, id="E1-M/M/3"),
        # given as .5541132, but 128/231 = .5541126
        pytest.param((4, 1, 5), 128 / 231, 128 / 231, id="E3-M/M/5"),
        pytest.param((5, 1, 6), 0.5875165, 0.5875165, id="E3-M/M/6"),
    ],
)
def test_waiting(queue: tuple[float, float, int], waits: float, wait: float) -> None:
    assert cf.erlang_c(*queue) == pytest.approx((waits, wait), abs=5e-8)
    assert cf.erlang_c(*queue) == pytest.approx(by_balance_equations(*queue), rel=1e-9)


def by_balance_equations(arrivals: float, services: float, servers: int) -> tuple[float, float]:
    """Chance to wait and mean wait from the stationary distribution of the number in the system."""
    k = np.arange(1, 2_000)
    log_weight = np.concatenate([[0.0], np.cumsum(np.log(arrivals / (services * np.minimum(k, servers))))])
    share = np.exp(log_weight - log_weight.max())
    share /= share.sum()
    number = np.arange(len(share))
    waiting = float(share @ np.maximum(number - servers, 0))
    return float(share[number >= servers].sum()), waiting / arrivals  # Little's law


def test_e4_recruits_of_a_site() -> None:
    assert cf.site_count(1.2, 0.6, 12) == pytest.approx((24, 504))
    # the same as a negative binomial
    assert cf.site_count(1.2, 0.6, 12) == pytest.approx(stats.nbinom.stats(1.2, 0.6 / 12.6), rel=1e-12)


@pytest.mark.parametrize(
    ("prob", "n", "published"),
    [
        pytest.param(0.05, 1_000, 0.006892, id="E5-.05-1000"),
        pytest.param(0.05, 10_000, 0.002179, id="E5-.05-10000"),
        pytest.param(0.8, 1_000, 0.012649, id="E5-.8-1000"),
        pytest.param(0.9, 10_000, 0.003000, id="E5-.9-10000"),
    ],
)
def test_e5_monte_carlo_error(prob: float, n: int, published: float) -> None:
    assert float(cf.share_error(prob, n)) == pytest.approx(published, abs=5e-7)


def test_e6_gain_from_a_covariate() -> None:
    assert cf.ancova_factor([0.3, 0.5, 0.7]) == pytest.approx([0.91, 0.75, 0.51])


def test_e8_design_effect() -> None:
    assert cluster.design_effect(150, 0.05) == pytest.approx(8.45)
    # with sizes 5 and 15 the mean of 2 clusters' total has exactly this variance: sum n_i (1 + (n_i - 1) icc) / sum n_i
    sizes = np.array([5.0, 15.0])
    exact = float(sizes @ (1 + (sizes - 1) * 0.1) / sizes.sum())
    assert cluster.design_effect(10, 0.1, size_cv=0.5) == pytest.approx(exact)


# --- what they refuse -------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: cf.t_power(1, 0), "degrees of freedom"),
    (lambda: cf.t_power(math.nan, 10), "finite"),
    (lambda: cf.t_power(1, 10, alpha=0), "alpha"),
    (lambda: cf.z_power(1, alpha=1), "alpha"),
    (lambda: cf.f_power(-1, 2, 3), "F test"),
    (lambda: cf.means_size(0, 1, 0.8), "must not be 0"),
    (lambda: cf.means_size(-0.5, 1, 0.8, sides=1), "must not be 0"),
    (lambda: cf.risks_power(0, 0.2, 10, 10), "between 0 and 1"),
    (lambda: cf.risk_ratio_power(0.1, 1.0, 10, 10), "between 0 and 1"),
    (lambda: cf.retention_inflation(100, 0), "retention"),
    (lambda: cf.erlang_c(10, 2, 5), "arrivals"),
    (lambda: cf.size_for(lambda n: 0.6 * n / (n + 1), 0.8, low=1), "0.8 is not reached: it is 0.6 at 1e"),
    (lambda: cf.size_for(lambda n: n, 1.0, low=0), "target"),
    (lambda: long.mmrm_inflation(np.ones((2, 2)), [1, 0.8]), "singular"),
    (lambda: long.mmrm_inflation(np.eye(2), [1, 1.1]), "retention"),
    (lambda: long.mmrm_inflation(np.eye(2), [1, 0]), "retention"),
    (lambda: long.slope_variance([0, 1], np.eye(2), [5, 0]), "often enough"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_nonsense_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_the_smallest_size_may_do() -> None:
    assert cf.size_for(lambda n: 0.9, 0.8, low=3) == 3
    assert cf.t_power(3, math.inf) == cf.z_power(3)
