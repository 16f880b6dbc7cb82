"""t tests, analysis of variance, proportions and chi-squared tests against R, SciPy, statsmodels and printed values.

R 4.2.2, package stats. Everything that is frozen here was printed by

    options(digits=15)
    i <- 0:29; arm <- i %% 3; f <- factor(arm)
    y <- 5 + arm + (1 + arm) * sin(1.7 * i) + 0.01 * i
    r <- as.integer((i * 7) %% 10 < 3 + 2 * arm)
    t.test(y[arm == 2], y[arm == 0], var.equal=FALSE)            # and TRUE: stderr, parameter, p.value
    oneway.test(y ~ f, var.equal=TRUE); oneway.test(y ~ f)       # statistic, parameter, p.value
    two <- arm != 1; oneway.test(y[two] ~ factor(arm[two]))
    summary(lm(y ~ 0 + f))
    k <- arm %in% c(2, 0); chisq.test(table(arm[k], r[k]), correct=FALSE)    # and the other pairs, and TRUE
    chisq.test(table(arm, r))
    prop.test(c(6, 5), c(10, 10))
    k <- arm != 1; glm(r[k] ~ I(arm[k] == 2), family=binomial("identity"))   # and "log", "logit"; epsilon=1e-14
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.proportion import confint_proportions_2indep

from trialsim.analysis.fits import Data, Means
from trialsim.analysis.two_sample import arm_proportions, chi_squared, proportions, t_test

Array = NDArray[Any]
PAIRS = ((1, 0), (2, 0), (2, 1))


def trial(y: Array, arm: Array, n_arms: int | None = None, weights: Array | None = None) -> Data:
    table = np.asarray(y, float).reshape(len(arm), -1)
    n = len(arm)
    arms = int(arm.max()) + 1 if n_arms is None else n_arms
    return Data(table, np.asarray(arm), np.empty((n, 0)), np.full(n, -1), arms, weights)


def formula_trial(outcome: str) -> Data:
    i = np.arange(30)
    arm = i % 3
    y = 5 + arm + (1 + arm) * np.sin(1.7 * i) + 0.01 * i if outcome == "y" else (i * 7) % 10 < 3 + 2 * arm
    return trial(y, arm)


def random_trial(seed: int, n: int, n_arms: int = 3, n_visits: int = 3) -> Data:
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.arange(n) % n_arms)
    y = arm[:, None] * 0.5 + (1 + arm[:, None]) * rng.normal(size=(n, n_visits))
    return trial(np.where(rng.random(y.shape) < 0.8, y, np.nan), arm)


def two_groups(events: tuple[int, int], n: tuple[int, int]) -> Data:
    """Arm 0 first."""
    y = np.concatenate([np.arange(m) < e for e, m in zip(events, n, strict=True)])
    return trial(y, np.repeat([0, 1], n))


def difference(means: Means, a: int, b: int, visit: int) -> tuple[float, float, float]:
    """Estimate, standard error, and two-sided p-value by t."""
    n_arms, n_visits = means.mean.shape
    cov = means.cov.reshape(n_arms, n_visits, n_arms, n_visits)[:, visit, :, visit]
    error = np.sqrt(cov[a, a] + cov[b, b] - 2 * cov[a, b])
    estimate = means.mean[a, visit] - means.mean[b, visit]
    return estimate, error, 2 * stats.t.sf(abs(estimate / error), means.df[a, b, visit])


def global_f(means: Means, visit: int) -> tuple[float, float]:
    """Wald / (A - 1) and its p-value."""
    n_arms, n_visits = means.mean.shape
    cov = means.cov.reshape(n_arms, n_visits, n_arms, n_visits)[:, visit, :, visit]
    contrast = np.eye(n_arms)[1:] - np.eye(n_arms)[0]
    apart = contrast @ means.mean[:, visit]
    statistic = apart @ np.linalg.solve(contrast @ cov @ contrast.T, apart) / (n_arms - 1)
    return statistic, float(stats.f.sf(statistic, n_arms - 1, means.global_df[visit]))


# ------------------------------------------------------------------------------------------------------- t tests


def test_welch_of_r() -> None:
    means = t_test(formula_trial("y"), equal_variance=False)
    estimate, error, p_value = difference(means, 2, 0, 0)
    assert_allclose(estimate, 7.33620591746585315 - 5.08229972380059269, rtol=1e-13)
    assert_allclose(error, 0.72223560004475895, rtol=1e-13)
    assert_allclose(means.df[2, 0, 0], 11.22098966402114151, rtol=1e-13)
    assert_allclose(p_value, 0.00952236169586289, rtol=1e-12)
    assert_allclose(np.diagonal(means.df[..., 0]), 9.0)


def test_pooled_t_test_of_r_when_there_are_two_arms() -> None:
    data = formula_trial("y")
    two = trial(data.y[data.arm != 1], data.arm[data.arm != 1] // 2)
    means = t_test(two, equal_variance=True)
    _, error, p_value = difference(means, 1, 0, 0)
    assert_allclose([error, p_value], [0.72223560004475906, 0.00590515848902722], rtol=1e-12)
    assert means.df[1, 0, 0] == means.df[0, 0, 0] == means.global_df[0] == 18
    assert_allclose(global_f(means, 0), [9.73898934577392517, 0.00590515848902722], rtol=1e-12)


def test_pooled_over_all_arms_is_the_analysis_of_variance() -> None:
    means = t_test(formula_trial("y"), equal_variance=True)
    assert_allclose(global_f(means, 0), [5.1487921492584725, 0.0127561996965442], rtol=1e-12)
    assert_allclose(np.sqrt(np.diagonal(means.cov)), 0.497654706030243, rtol=1e-13)
    assert (means.df == 27).all()


def test_global_welch_is_exact_for_two_arms_and_near_for_three() -> None:
    data = formula_trial("y")
    two = t_test(trial(data.y[data.arm != 1], data.arm[data.arm != 1] // 2), equal_variance=False)
    assert_allclose(two.global_df, 11.22098966402114151, rtol=1e-12)
    assert_allclose(global_f(two, 0), [9.73898934577392517, 0.00952236169586289], rtol=1e-12)
    p_value = global_f(t_test(data, equal_variance=False), 0)[1]
    assert abs(p_value - 0.0144121327863153) < 0.002
    assert p_value > 0.0127561996965442  # nearer than with the denominator's degrees of freedom pooled


@pytest.mark.parametrize("equal_variance", [True, False])
def test_t_tests_of_scipy_at_every_visit(equal_variance: bool) -> None:
    data = random_trial(1, 90, n_arms=2)
    means = t_test(data, equal_variance=equal_variance)
    for visit in range(3):
        groups = [data.y[(data.arm == a) & data.observed[:, visit], visit] for a in (1, 0)]
        found = stats.ttest_ind(*groups, equal_var=equal_variance)
        estimate, error, p_value = difference(means, 1, 0, visit)
        assert_allclose([estimate / error, means.df[1, 0, visit]], [found.statistic, found.df], rtol=1e-12)
        assert_allclose(p_value, found.pvalue, rtol=1e-11)


@pytest.mark.parametrize("n_arms", [3, 4])
def test_analyses_of_variance_of_statsmodels(n_arms: int) -> None:
    """Welch's is near for more than two arms, which a chi-squared test would not be."""
    gaps, chi_squared_gaps = [], []
    for seed in range(30):
        data = random_trial(seed, 40, n_arms=n_arms)
        pooled, welch = t_test(data, equal_variance=True), t_test(data, equal_variance=False)
        for visit in range(3):
            groups = [data.y[(data.arm == a) & data.observed[:, visit], visit] for a in range(n_arms)]
            assert_allclose(global_f(pooled, visit), stats.f_oneway(*groups), rtol=1e-10)
            found = anova_oneway(groups, use_var="unequal", welch_correction=True).pvalue
            statistic, p_value = global_f(welch, visit)
            if found < 0.1:
                gaps.append(abs(p_value - found))
                chi_squared_gaps.append(abs(stats.chi2.sf(statistic * (n_arms - 1), n_arms - 1) - found))
    assert len(gaps) > 20
    assert 0 < max(gaps) < 0.01
    assert max(chi_squared_gaps) > 0.03


def test_counts_and_visits_apart() -> None:
    data = random_trial(3, 40)
    means = t_test(data, equal_variance=False)
    cov = means.cov.reshape(3, 3, 3, 3)
    for visit in range(3):
        alone = t_test(trial(data.y[:, visit], data.arm), equal_variance=False)
        assert_allclose(cov[:, visit, :, visit], alone.cov)
        for arm in range(3):
            assert means.n_cell[arm, visit] == np.sum(data.observed[data.arm == arm, visit])
    cov[:, range(3), :, range(3)] = 0
    assert (cov == 0).all()
    assert means.n_used == data.observed.any(axis=1).sum()


def test_reasons_of_t_tests() -> None:
    arm = np.array([0, 0, 0, 1, 1, 1])
    y = np.array(
        [
            [1, 2, 4, np.nan, np.nan, np.nan],
            [1, 2, 4, 3, np.nan, np.nan],
            [1, 2, 4, 1.1, 1.1, 1.1],
            [1.1] * 6,
            [1, 2, 4, 3, np.inf, 1],
            [np.nan] * 6,
            [1, 2, 4, 2, 2, 1e160],
            [1, 2, 4, 2, 2, 3],
        ]
    ).T
    welch = t_test(trial(y, arm), equal_variance=False)
    assert welch.reason == (
        "no observations in arm 1 at visit 0",
        "a single observation in arm 1 at visit 1",
        "zero variance in arm 1 at visit 2",
        "zero variance in arm 0 at visit 3",
        "an observed outcome is not finite at visit 4",
        "no observations at visit 5",
        "an observed outcome is too large at visit 6",
        "",
    )
    pooled = t_test(trial(y, arm), equal_variance=True)
    assert [visit for visit, reason in enumerate(pooled.reason) if not reason] == [1, 2, 7]
    assert pooled.reason[3] == "zero variance at visit 3"
    for means in (welch, pooled):
        cov = means.cov.reshape(2, 8, 2, 8)
        for visit, reason in enumerate(means.reason):
            numbers = (means.mean[:, visit], cov[:, visit, :, visit], means.df[..., visit], means.global_df[visit])
            for values in numbers:
                assert np.isnan(values).all() if reason else np.isfinite(values).all()


def test_saturated_pooled_t_test_has_a_reason() -> None:
    assert t_test(trial([1, 2], np.array([0, 1])), equal_variance=True).reason == ("zero variance at visit 0",)


# --------------------------------------------------------------------------------------------------- proportions


def test_proportions_of_r() -> None:
    """Wald's standard errors are those of saturated binomial regressions."""
    found = {one.measure: one for one in proportions(formula_trial("r"), PAIRS)}
    expected = {
        "risk difference": [0.4, 0.2049390153191921, 0.0509619369677634],
        "risk ratio": [0.847297860387203, 0.525538262121137, 0.106908046673403],
        "odds ratio": [1.6945957207744071, 0.9759000729483047, 0.0824853771157929],
    }
    assert list(found) == list(expected)
    for measure, values in expected.items():
        one = found[measure]
        # glm's working weights are those of the step before the last: 7 digits where the link is not canonical
        assert_allclose([one.estimate[1, 0], one.std_error[1, 0], one.p_value[1, 0]], values, rtol=1e-7)
        assert one.pairs == PAIRS
        assert (one.df == np.inf).all()
        assert one.n_used is not None
        assert (one.n_used == 20).all()
        assert one.reason is not None
        assert (one.reason == "").all()
    assert found["risk ratio"].ci_low is None
    assert_allclose(found["risk ratio"].std_error[1, 0], np.sqrt(1 / 7 + 1 / 3 - 2 / 10), rtol=1e-14)
    assert_allclose(found["odds ratio"].std_error[1, 0], np.sqrt(2 / 7 + 2 / 3), rtol=1e-14)


NEWCOMBE = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
]


@pytest.mark.parametrize(("first", "second", "low", "high"), NEWCOMBE)
def test_intervals_of_newcombe_1998_table_ii(first: Any, second: Any, low: float, high: float) -> None:
    data = two_groups((second[0], first[0]), (second[1], first[1]))
    one = proportions(data, ((1, 0),))[0]
    assert one.ci_low is not None
    assert one.ci_high is not None
    assert_allclose([one.ci_low[0, 0], one.ci_high[0, 0]], [low, high], atol=0.00005001)
    for alpha in (0.05, 0.1):
        one = proportions(data, ((1, 0),), alpha=alpha)[0]
        expected = confint_proportions_2indep(*first, *second, method="newcomb", alpha=alpha)
        assert_allclose([one.ci_low, one.ci_high], np.reshape(expected, (2, 1, 1)), rtol=1e-12)


def test_arms_without_or_with_only_events() -> None:
    data = trial([0, 0, 0, 1, 0, 1, 1, 1, 1], np.repeat([0, 1, 2], 3))
    difference, risk_ratio, odds_ratio = proportions(data, ((1, 0), (2, 1), (2, 0)))
    assert difference.reason is not None
    assert list(difference.reason[:, 0]) == ["", "", "zero variance at visit 0"]
    assert_allclose(difference.std_error[:2, 0], np.sqrt(2 / 27))
    for one in (risk_ratio, odds_ratio):
        assert one.reason is not None
        assert list(one.reason[:, 0]) == [
            "no events in arm 0 at visit 0", "only events in arm 2 at visit 0", "only events in arm 2 at visit 0",
        ]  # fmt: skip
        assert np.isnan([one.estimate, one.std_error, one.df, one.p_value]).all()
    failed = [difference.estimate, difference.std_error, difference.p_value, difference.ci_low, difference.ci_high]
    assert [np.isnan(values[2, 0]) for values in failed if values is not None] == [True] * 5


def test_reasons_of_proportions() -> None:
    arm = np.array([0, 0, 1, 1, 2, 2])
    y = np.array([[0, 1, np.nan, np.nan, 0, 1], [0, 1, 0, 2, 0, 1], [np.nan] * 6, [0, 1, 0, 1, 0, 1.0]]).T
    for one in [*proportions(trial(y, arm), PAIRS), chi_squared(trial(y, arm), PAIRS)]:
        assert one.reason is not None
        missing = "no observations in arm 1 at visit 0"
        assert list(one.reason[:, 0]) == [missing, "", missing]
        assert set(one.reason[:, 1]) == {"an outcome is neither 0 nor 1 at visit 1"}
        assert one.reason[0, 2] == "no observations in arm 1 at visit 2"
        assert (one.reason[:, 3] == "").all()
        for values in (one.estimate, one.std_error, one.p_value, one.df):
            assert (np.isnan(values) == (one.reason != "")).all()


def test_arm_proportions() -> None:
    means = arm_proportions(formula_trial("r"))
    assert means.link == "identity"
    assert_allclose(means.mean[:, 0], [0.3, 0.5, 0.7])
    assert_allclose(means.cov, np.diag([0.021, 0.025, 0.021]))
    assert (means.df == np.inf).all()
    broken = arm_proportions(trial([[0, 1, 2], [1, 1, 1], [0, 1, 0], [1, 0, 1]], np.array([0, 0, 1, 1])))
    assert broken.reason == ("", "zero variance in arm 0 at visit 1", "an outcome is neither 0 nor 1 at visit 2")


# --------------------------------------------------------------------------------------------- chi-squared tests


def test_chi_squared_of_r() -> None:
    data = formula_trial("r")
    one = chi_squared(data, PAIRS)
    assert_allclose(one.p_value[:, 0], [0.3613104285261788, 0.0736382701203028, 0.3613104285261788], rtol=1e-12)
    assert_allclose(one.estimate[:, 0], [0.2, 0.4, 0.2], rtol=1e-12)
    assert_allclose(one.std_error[1, 0], 0.2049390153191921, rtol=1e-12)
    assert one.global_statistic is not None
    assert one.global_p is not None
    assert_allclose([one.global_statistic[0], one.global_p[0]], [3.2, 0.201896517994655], rtol=1e-12)
    yates = chi_squared(data, PAIRS, correction=True)
    assert_allclose(yates.p_value[:, 0], [0.648076868139146, 0.179712494879, 0.648076868139146], rtol=1e-12)
    assert yates.global_p is not None
    assert_allclose(yates.global_p, one.global_p)  # three arms: without


def test_yates_takes_away_no_more_than_there_is() -> None:
    one = chi_squared(two_groups((5, 6), (10, 10)), ((1, 0),), correction=True)
    assert one.global_p is not None
    assert_allclose([one.p_value[0, 0], one.global_p[0]], 1.0)


@pytest.mark.parametrize("correction", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_chi_squared_of_scipy(seed: int, correction: bool) -> None:
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.arange(50) % 2)
    y = (rng.random((50, 2)) < 0.4).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    one = chi_squared(trial(y, arm), ((1, 0),), correction=correction)
    assert one.global_p is not None
    for visit in range(2):
        table = [[np.sum((y[:, visit] == k) & (arm == a)) for k in (0, 1)] for a in (0, 1)]
        found = stats.chi2_contingency(table, correction=correction)
        assert_allclose([one.p_value[0, visit], one.global_p[visit]], found.pvalue, rtol=1e-11)


def test_chi_squared_where_all_outcomes_of_an_arm_are_equal() -> None:
    """The test is fine, and the standard error of the difference is not."""
    one = chi_squared(two_groups((0, 10), (10, 10)), ((1, 0),))
    assert_allclose(one.p_value[0, 0], stats.chi2.sf(20, 1), rtol=1e-12)
    assert one.estimate[0, 0] == 1
    assert np.isnan(one.std_error[0, 0])
    nothing = chi_squared(two_groups((0, 0), (10, 10)), ((1, 0),))
    assert nothing.reason is not None
    assert nothing.reason[0, 0] == "all outcomes are equal at visit 0"
    assert np.isnan([nothing.p_value[0, 0], nothing.estimate[0, 0]]).all()
    assert nothing.global_p is not None
    assert np.isnan(nothing.global_p).all()


def test_weights_are_refused() -> None:
    data = trial([0, 1, 0, 1], np.array([0, 0, 1, 1]), weights=np.ones((4, 1)))
    with pytest.raises(ValueError, match="weighted"):
        t_test(data, equal_variance=True)
    with pytest.raises(ValueError, match="weighted"):
        arm_proportions(data)
    with pytest.raises(ValueError, match="weighted"):
        proportions(data, ((1, 0),))
    with pytest.raises(ValueError, match="weighted"):
        chi_squared(data, ((1, 0),))
