"""Each formula against a calculation of its own, and at the edges of what it may be given."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from trialsim.world import formulas
from trialsim.world.formulas import LONG, NEVER

LARGEST_UNIFORM = 1 - 2**-53
GRID = (np.arange(2_000) + 0.5) / 2_000
"""Midpoints of equal slices: the mean of a formula over it is an integral over luck."""
EDGES = np.array([0.0, 2**-53, 0.5, LARGEST_UNIFORM])


def smallest_k(cdf: np.ndarray, uniform: float) -> int:
    """Smallest k whose cumulative probability reaches u, by looking."""
    return int(np.flatnonzero(cdf >= uniform)[0])


# --- normal distribution --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prob", [0.001, 0.3, 0.5, 0.975])
def test_probit_undoes_the_normal_distribution_function(prob: float) -> None:
    assert 0.5 * math.erfc(-formulas.probit(prob) / math.sqrt(2)) == pytest.approx(prob, rel=1e-12)


def test_probit_of_certainty_is_infinite() -> None:
    assert formulas.probit(0.0) == -math.inf
    assert formulas.probit(1.0) == math.inf


LIMITS = [(None, None), (18.0, 95.0), (None, 50.0), (60.0, None), (80.0, 81.0), (18.0, 19.0)]


@pytest.mark.parametrize(("low", "high"), LIMITS)
def test_truncated_normal_and_its_mean_equal_the_textbook_distribution(low: float | None, high: float | None) -> None:
    a = -math.inf if low is None else (low - 58.8) / 14.3
    b = math.inf if high is None else (high - 58.8) / 14.3
    reference = stats.truncnorm(a, b, loc=58.8, scale=14.3)
    values = formulas.truncated_normal(GRID, 58.8, 14.3, low, high)
    assert values == pytest.approx(reference.ppf(GRID), rel=1e-9)
    assert formulas.truncated_mean(58.8, 14.3, low, high) == pytest.approx(reference.mean(), rel=1e-9)


@pytest.mark.parametrize(("low", "high"), LIMITS)
def test_truncated_normal_stays_finite_and_within_limits_for_extreme_luck(
    low: float | None, high: float | None
) -> None:
    values = formulas.truncated_normal(EDGES, 58.8, 14.3, low, high)
    assert np.isfinite(values).all()
    assert (values >= (-math.inf if low is None else low)).all()
    assert (values <= (math.inf if high is None else high)).all()


def test_a_covariate_without_spread_is_its_mean() -> None:
    assert formulas.truncated_normal(EDGES, 5.0, 0.0, 0.0, 10.0).tolist() == [5.0] * 4
    assert formulas.truncated_mean(5.0, 0.0, 0.0, 10.0) == 5.0


@pytest.mark.parametrize("correlation", [0.0, 0.4, -0.9])
def test_correlated_normals_have_variance_one_and_the_correlation(correlation: float) -> None:
    """On an orthogonal pair of unit vectors the moments are exact."""
    first, second = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])
    third = formulas.correlated(first, second, correlation)
    assert np.mean(third**2) == pytest.approx(1)
    assert np.mean(first * third) == pytest.approx(correlation)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("prob", [0.0, 0.036, 0.5, 0.9, 1.0])
def test_a_personal_chance_averages_to_the_stated_one(prob: float, correlation: float) -> None:
    def integrand(person: float) -> float:
        return float(formulas.conditional_prob(prob, np.array(person), correlation) * stats.norm.pdf(person))

    assert integrate.quad(integrand, -9, 9)[0] == pytest.approx(prob, abs=1e-9)


def test_a_personal_chance_is_that_of_a_correlated_latent_variable() -> None:
    """P(latent <= threshold | person) for (latent, -person) bivariate normal, by integrating the joint density."""
    person, prob, correlation = 0.7, 0.2, 0.5
    joint = stats.multivariate_normal(cov=[[1, -correlation], [-correlation, 1]])
    mass = integrate.quad(lambda x: joint.pdf([x, person]), -9, stats.norm.ppf(prob))[0]
    expected = mass / stats.norm.pdf(person)
    assert formulas.conditional_prob(prob, np.array(person), correlation) == pytest.approx(expected, rel=1e-8)


# --- times ----------------------------------------------------------------------------------------------------------


def test_delay_without_luck_is_its_shortest() -> None:
    assert formulas.delay_days(3, 0.0, None) == 3


@pytest.mark.parametrize("mean_extra", [0.5, 4.0, 60.0])
def test_delay_has_the_distribution_of_an_exponential_rounded_down(mean_extra: float) -> None:
    days = formulas.delay_days(2, mean_extra, GRID)
    for day in (2, 3, 5, 12, 70):
        longer = np.mean(days >= day)
        assert longer == pytest.approx(math.exp(-(day - 2) / mean_extra), abs=1 / len(GRID))


def test_delay_is_finite_for_extreme_luck() -> None:
    assert formulas.delay_days(0, 0.0001, EDGES).tolist() == [0, 0, 0, 0]
    longest = formulas.delay_days(5, 2_000.0, EDGES)
    assert longest[0] == 5
    assert longest[-1] == 5 + NEVER, "36.7 means are more days than there are"


@pytest.mark.parametrize("prob", [0.02, 0.5, 0.999])
def test_exit_has_constant_hazard_and_the_stated_chance_by_the_horizon(prob: float) -> None:
    days = formulas.event_days(GRID, prob, 365)
    for day in (1, 30, 180, 365):
        assert np.mean(days <= day) == pytest.approx(1 - (1 - prob) ** (day / 365), abs=1 / len(GRID))
    assert np.mean(days == LONG) == pytest.approx(1 - prob, abs=1 / len(GRID))


def test_exit_never_comes_on_the_day_of_randomization_and_not_after_the_horizon() -> None:
    assert formulas.event_days(EDGES, 0.5, 10).tolist() == [1, 1, LONG, LONG]
    assert formulas.event_days(np.array([0.4999999]), 0.5, 10).tolist() == [10]
    assert formulas.event_days(EDGES, 0.0, 10).tolist() == [LONG] * 4
    assert formulas.event_days(EDGES, LARGEST_UNIFORM, 10).tolist()[:2] == [1, 1]


@pytest.mark.parametrize("wait_effect", [0.05, 0.1, 3.0])
def test_patience_is_the_last_day_on_which_the_inclination_is_not_negative(wait_effect: float) -> None:
    margin = np.array([-1e-12, 0.0, 0.03, 0.5, 1.7])
    by_day = margin[:, None] - wait_effect * np.arange(400) / 7
    last = np.where(by_day >= 0, np.arange(400), -1).max(axis=1)
    assert formulas.patience_days(margin, wait_effect, 365).tolist() == np.minimum(last, 365).tolist()


def test_patience_has_its_limits() -> None:
    margin = np.array([-math.inf, -0.1, 0.0, 0.1, math.inf])
    assert formulas.patience_days(margin, 0.0, 365).tolist() == [-1, -1, 365, 365, 365]
    assert formulas.patience_days(margin, 0.1, 365).tolist() == [-1, -1, 0, 7, 365]
    assert formulas.patience_days(margin, 0.1, 0).tolist() == [-1, -1, 0, 0, 0]


# --- counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [1e-9, 0.05, 0.7, 3.0, 24.0, 400.0])
def test_poisson_inverse_is_the_smallest_count_whose_cumulative_probability_reaches_u(mean: float) -> None:
    ks = np.arange(int(mean + 12 * math.sqrt(mean) + 30))
    log_pmf = ks * math.log(mean) - mean - np.array([math.lgamma(k + 1) for k in ks])
    cdf = np.cumsum(np.exp(log_pmf))
    luck = GRID[::40]
    assert formulas.poisson_inverse(luck, mean).tolist() == [smallest_k(cdf, u) for u in luck]


def test_poisson_inverse_at_the_edges() -> None:
    assert formulas.poisson_inverse(EDGES, 0.0).tolist() == [0, 0, 0, 0]
    counts = formulas.poisson_inverse(EDGES, 3.0)
    assert counts[0] == 0
    assert 20 < counts[-1] < 60
    assert formulas.poisson_inverse(np.array([[0.5], [0.9]]), np.array([1.0, 50.0])).shape == (2, 2)
    assert formulas.poisson_inverse(np.array([0.5]), 1e6)[0] == pytest.approx(1e6, abs=1)


@pytest.mark.parametrize("prob", [0.001, 0.2, 0.7, 0.999])
@pytest.mark.parametrize("n", [1, 7, 200])
def test_binomial_inverse_is_the_smallest_count_whose_cumulative_probability_reaches_u(n: int, prob: float) -> None:
    cdf = np.cumsum([math.comb(n, k) * prob**k * (1 - prob) ** (n - k) for k in range(n + 1)])
    cdf[-1] = 1.0
    luck = GRID[::40]
    counts = formulas.binomial_inverse(luck, np.full(luck.shape, n, dtype=np.int32), prob)
    assert counts.tolist() == [smallest_k(cdf, u) for u in luck]


def test_binomial_inverse_at_the_edges() -> None:
    n = np.array([0, 5, 100, 1_000_000], dtype=np.int32)
    assert formulas.binomial_inverse(EDGES, n, 0.0).tolist() == [0, 0, 0, 0]
    assert formulas.binomial_inverse(EDGES, n, 1.0).tolist() == n.tolist()
    assert formulas.binomial_inverse(EDGES, n, 1 - 2**-53).tolist()[2:] == [100, 1_000_000], (
        "a share of 1 but for rounding"
    )
    inside = formulas.binomial_inverse(EDGES, n, 0.5)
    assert (inside >= 0).all()
    assert (inside <= n).all()


@pytest.mark.parametrize("prob", [0.1, 0.6])
def test_failures_before_the_first_success_are_geometric_up_to_the_most(prob: float) -> None:
    failures = formulas.geometric_failures(GRID, prob, 3)
    for k in (1, 2, 3):
        assert np.mean(failures >= k) == pytest.approx(prob**k, abs=1 / len(GRID))
    assert failures.max() == 3


def test_failures_where_failing_is_impossible_or_certain() -> None:
    assert formulas.geometric_failures(EDGES, 0.0, 3).tolist() == [0, 0, 0, 0]
    assert formulas.geometric_failures(EDGES, 1.0, 3).tolist() == [3, 3, 3, 3]
    assert formulas.geometric_failures(EDGES, 0.5, 0).tolist() == [0, 0, 0, 0]
    assert formulas.geometric_failures(EDGES, 0.9999, 5).tolist() == [0, 0, 5, 5]


# --- dose and scale -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.01, 3.0, 1e6])
def test_dose_grows_with_diminishing_returns_from_nothing_to_all(scale: float) -> None:
    dose = formulas.saturating_dose(np.arange(9), 8, scale)
    expected = [(1 - math.exp(-s / scale)) / (1 - math.exp(-8 / scale)) for s in range(9)]
    assert dose == pytest.approx(expected, rel=1e-6)
    assert dose[0] == 0
    assert dose[8] == 1
    assert (np.diff(dose, n=2) <= 1e-12).all()


def test_values_go_to_the_nearest_point_of_the_grid_and_stay_on_the_instrument() -> None:
    value = np.array([-3.0, 0.0, 0.04, 0.06, 4.6, 9.99, 12.0])
    steps = formulas.to_grid(value, 0.0, 10.0, 11)
    assert steps.dtype == np.int16
    assert steps.tolist() == [0, 0, 0, 1, 51, 110, 110]
    assert formulas.from_grid(steps, 0.0, 11)[-1] == 10.0
    assert value.tolist()[0] == -3.0, "the argument is not changed"


def test_a_grid_may_begin_anywhere() -> None:
    steps = formulas.to_grid(np.array([-60.0, -50.0, 0.0, 50.0]), -50.0, 50.0, 2)
    assert steps.tolist() == [0, 0, 100, 200]
    assert formulas.from_grid(steps, -50.0, 2).tolist() == [-50.0, -50.0, 0.0, 50.0]


# --- values of the kinds of outcome -----------------------------------------------------------------------------------

NORMALS = np.linspace(-7.3, 7.3, 41)


def test_a_standard_exponential_of_a_normal_has_the_same_probability() -> None:
    found = formulas.exponential_of_normal(NORMALS)
    assert -np.expm1(-found) == pytest.approx(stats.norm.cdf(NORMALS), rel=1e-9)
    assert np.exp(-found) == pytest.approx(stats.norm.sf(NORMALS), rel=1e-9)


def test_a_hazard_uses_up_an_exponential_by_whole_days() -> None:
    left = np.array([0.5, 0.0625, 3.5, 3.75, 0.0, 5.0])
    rate = np.array([0.125, 0.125, 0.125, 0.125, 0.0, 0.0])
    assert formulas.hazard_days(left, rate, 60, 90).tolist() == [65, 61, 89, LONG, LONG, LONG]
    assert formulas.hazard_days(np.array([1.0]), np.array([math.inf]), 0, 90).tolist() == [1]


def test_cumulative_hazards_are_undone_by_whole_days() -> None:
    times, sums = formulas.hazard_sums([0.1, 0.0, 0.3], [30, 60, 90])
    month = formulas.MONTH_DAYS
    assert sums == pytest.approx([0, 3 / month, 3 / month, 12 / month])
    used = np.array([0.0, 0.1 * 12.5 / month, (3 + 0.3 * 2.5) / month, 11.99 / month, 12 / month])
    assert formulas.cumulative_days(used, times, sums).tolist() == [1, 13, 63, 90, LONG]


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.8, 7.0, 250.0, 1e300])
def test_poisson_of_a_normal_is_the_textbook_quantile_up_to_the_most(mean: float) -> None:
    found = formulas.poisson_of_normal(NORMALS, np.full(NORMALS.shape, mean), 300)
    reference = stats.poisson.ppf(stats.norm.cdf(NORMALS), min(mean, 1e6)) if mean else np.zeros(NORMALS.shape)
    assert found == pytest.approx(np.minimum(reference, 300))
    assert formulas.poisson_of_normal(NORMALS, np.full(NORMALS.shape, mean), 1).max() == (mean > 0)


def test_thresholds_are_counted() -> None:
    assert formulas.threshold_number(np.array([-1.0, 0.0, 0.1, 5.0]), [0.0, 1.0]).tolist() == [0, 0, 1, 2]


def test_months_of_the_year_and_the_wave_through_them() -> None:
    dates = np.array(["2023-01-01", "2024-07-02", "2023-12-31", "2023-07-02"], dtype="datetime64[D]")
    months = formulas.month_of_year(dates)
    assert months == pytest.approx([1, 7, 13 - 12 / 365, 7], abs=0.02)
    assert formulas.wave(np.array([1.5, 7.5, 4.5]), 2.0, 1.5) == pytest.approx([2, -2, 0], abs=1e-12)
