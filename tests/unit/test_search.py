"""The search for a sample size, where the curve is known: every way it can end, and what it may call."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from trialsim.experiments import search_curve
from trialsim.experiments.closed_forms import means_power
from trialsim.experiments.search import Answer, find

Curve = Callable[[float], float]


@dataclass
class World:
    """Replicates that succeed with a known chance; remembers what was asked."""

    power: Curve
    seed: int = 1
    calls: list[tuple[float, int, int]] = field(default_factory=list)

    def __call__(self, x: float, first: int, n: int) -> tuple[int, int]:
        self.calls.append((x, first, n))
        rng = np.random.default_rng([self.seed, first])
        return int(rng.binomial(n, self.power(x))), n


def t_test(n: float) -> float:
    return means_power(0.5, 1, max(n, 1.5), max(n, 1.5))


def search(power: Curve | World, **changes: Any) -> Answer:
    arguments: dict[str, Any] = {
        "target": 0.8,
        "low": 2,
        "high": 1_000,
        "integer": True,
        "max_replicates": 20_000,
        "mcse": 0.01,
    }
    return find(power if isinstance(power, World) else World(power), **{**arguments, **changes})


def agrees(answer: Answer, power: Curve, target: float = 0.8) -> bool:
    """Whether the power where the curve crosses is the target, within 4.5 standard errors."""
    return abs(power(answer.x_hat) - target) < 4.5 * answer.power_at.mcse


def same(a: Answer, b: Answer) -> bool:
    """Bit for bit."""
    parts = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)]
    return all(repr(x) == repr(y) for x, y in parts)


# --- what is found ----------------------------------------------------------------------------------------------------


def test_64_per_arm_for_half_a_standard_deviation() -> None:
    answer = search(t_test, start=20, mcse=0.005)
    assert answer.found
    assert answer.stopped == "mcse reached"
    assert agrees(answer, t_test)
    assert not agrees(answer, lambda n: t_test(0.85 * n))
    assert answer.ci_low < answer.x_hat < answer.ci_high
    assert answer.x == math.ceil(answer.x_hat)
    assert answer.power_at.mcse <= 0.0051
    assert abs(t_test(answer.x) - answer.power_at.value) < 4.5 * answer.power_at.mcse
    assert answer.n_replicates < 1.15 * 0.8 * 0.2 / 0.005**2


@pytest.mark.parametrize("start", [None, 2, 64, 1_000], ids=str)
@pytest.mark.parametrize("scale", ["sqrt", "log", "linear"])
def test_the_start_and_the_scale_do_not_matter(start: float | None, scale: Any) -> None:
    answer = search(t_test, start=start, scale=scale)
    assert answer.stopped == "mcse reached"
    assert agrees(answer, t_test)


def test_without_upper_limit() -> None:
    answer = search(t_test, high=None, low=2)
    assert answer.stopped == "mcse reached"
    assert agrees(answer, t_test)


def test_an_effect_is_no_whole_number() -> None:
    def power(d: float) -> float:
        return means_power(d, 1, 64, 64)

    answer = search(power, low=0, high=2, integer=False, scale="linear")
    assert answer.x == answer.x_hat
    assert agrees(answer, power)
    assert answer.power_at.value == pytest.approx(0.8)


def test_a_number_that_lowers_power_is_rounded_down() -> None:
    world = World(lambda lost: t_test(200 - lost))
    answer = search(world, low=0, high=198, increasing=False)
    assert answer.stopped == "mcse reached"
    assert answer.x == math.floor(answer.x_hat)
    assert agrees(answer, world.power)
    assert all(x == round(x) and 0 <= x <= 198 for x, _, _ in world.calls)


def test_few_clusters() -> None:
    """The answer is one of few whole numbers, and known by its neighbours."""
    answer = search(lambda k: {2: 0.3, 3: 0.55, 4: 0.72, 5: 0.88}.get(k, 0.96), low=2, high=30)
    assert answer.x == 5
    assert answer.stopped == "mcse reached"
    assert 4 < answer.x_hat <= 5


@pytest.mark.parametrize("start", [3, 37, 500])
def test_a_step_between_whole_numbers(start: float) -> None:
    answer = search(lambda x: float(x >= 37), start=start)
    assert (answer.x, answer.power_at.value, answer.stopped) == (37, 1.0, "mcse reached")
    assert answer.ci_low <= 36.1
    assert answer.ci_high == pytest.approx(37)
    assert answer.n_replicates < 4_000


def test_a_step_in_a_continuous_number_is_found_to_three_digits() -> None:
    answer = search(lambda x: float(x >= 0.3137), low=0, high=1, integer=False, scale="linear")
    assert answer.x == 0.314
    assert answer.ci_low <= 0.3137 <= answer.ci_high
    assert answer.n_replicates < 5_000


def test_a_curve_that_is_no_probit_curve() -> None:
    """Power saturates at 85 %: far points must not pull the crossing."""
    values = [
        search(World(lambda c: 0.85 * (1 - math.exp(-c / 4)), seed), low=1, high=60, start=4, scale="log", mcse=0.008)
        for seed in range(12)
    ]
    truth = -4 * math.log(1 - 0.8 / 0.85)
    power = [0.85 * (1 - math.exp(-answer.x_hat / 4)) - 0.8 for answer in values]
    assert abs(np.mean(power)) < 4.5 * 0.008 / math.sqrt(12)
    assert sum(a.ci_low <= truth <= a.ci_high for a in values) >= 9
    assert any(a.curve.x[-1] < a.points.x[-1] for a in values)  # the parabola is not drawn where it does not hold


def test_on_a_plateau_at_the_target_the_interval_is_wide() -> None:
    """Nothing tells 300 from 1,000 here, and the answer says so where the data show that no curve fits."""

    def power(x: float) -> float:
        return 0.8 * (1 - math.exp(-x / 50))

    answers = [search(World(power, seed), mcse=0.008) for seed in range(8)]
    found = [a for a in answers if a.found]
    assert len(found) >= 4
    assert all(abs(power(a.x) - 0.8) < 4.5 * 0.008 for a in found)
    assert sum(a.ci_high > 1.5 * a.ci_low for a in found) >= len(found) / 2
    assert all(a.stopped.startswith(("mcse", "not reachable")) for a in answers)


# --- how it ends without an answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["sqrt", "log"])
def test_an_asymptote_below_the_target(scale: Any) -> None:
    answer = search(lambda x: 0.62 * (1 - math.exp(-x / 50)), scale=scale)
    assert not answer.found
    assert answer.stopped.startswith("not reachable: even at the upper limit power is 0.6")
    assert abs(answer.power_at.value - 0.62) < 4.5 * answer.power_at.mcse
    assert math.isnan(answer.x_hat)
    assert math.isnan(answer.ci_low)


def test_a_curve_that_crosses_just_beyond_the_limit() -> None:
    answer = search(t_test, high=60)
    assert not answer.found
    assert answer.stopped.startswith("not reachable: even at the upper limit power is 0.7")
    assert abs(answer.power_at.value - t_test(60)) < 4.5 * answer.power_at.mcse


def test_the_words_give_power_and_interval() -> None:
    def words(level: float, *, increasing: bool = True) -> str:
        return search(lambda _: level, increasing=increasing, mcse=0.005).stopped

    assert words(0.0) == "not reachable: even at the upper limit power is 0.00 (0.00 to 0.01)"
    assert words(1.0) == "already above the target at the lower limit: power is 1.00 (0.99 to 1.00)"
    assert words(1.0, increasing=False) == "already above the target at the upper limit: power is 1.00 (0.99 to 1.00)"
    assert words(0.0, increasing=False) == "not reachable: even at the lower limit power is 0.00 (0.00 to 0.01)"


def test_a_spent_budget_promises_nothing_beyond_the_limit() -> None:
    answer = search(t_test, high=45, max_replicates=500)
    assert answer.stopped == "budget used"
    assert not answer.found
    assert answer.power_at.value < 0.8


@pytest.mark.parametrize("start", [0, 1, 40])
def test_whole_numbers_from_nothing(start: int) -> None:
    def power(x: float) -> float:
        return 0.05 + 0.9 * x / (x + 2.1)

    answer = search(power, low=0, high=40, start=start)
    assert answer.stopped == "mcse reached"
    assert agrees(answer, power)


def test_above_the_target_at_the_lower_limit() -> None:
    answer = search(t_test, low=100)
    assert answer.x == 100
    assert answer.stopped.startswith("already above the target at the lower limit")
    assert abs(answer.power_at.value - t_test(100)) < 4.5 * answer.power_at.mcse


def test_a_flat_curve() -> None:
    answer = search(lambda _: 0.8)
    assert not answer.found
    assert answer.stopped.startswith("flat: power is 0.8") or answer.stopped.startswith("flat: power is 0.7")
    assert " at 2 and 0." in answer.stopped
    assert answer.stopped.endswith(" at 1000")
    assert len(answer.curve.x) == 0


@pytest.mark.parametrize(("level", "words"), [(0.05, "not reachable"), (0.72, "not reachable"), (0.9, "already above")])
def test_a_flat_curve_off_the_target(level: float, words: str) -> None:
    answer = search(lambda _: level)
    assert answer.stopped.startswith(words)


def test_doubling_ends_at_a_million() -> None:
    world = World(lambda _: 0.05)
    answer = search(world, high=None)
    assert answer.stopped.startswith("not reachable")
    assert max(x for x, _, _ in world.calls) == 1e6


def test_a_curve_that_goes_the_other_way() -> None:
    answer = search(lambda x: 0.95 - 0.9 * x / 1_000)
    assert answer.stopped == "power falls as x grows: it goes the other way"
    assert not answer.found
    answer = search(lambda x: 0.05 + 0.9 * x / 1_000, increasing=False)
    assert answer.stopped == "power rises as x grows: it goes the other way"


@pytest.mark.parametrize(
    ("budget", "batch"), [(1, 1), (60, 1), (1, 256), (2, 256), (63, 256), (64, 256), (65, 256), (333, 16), (1_000, 256)]
)
def test_the_budget_is_kept(budget: int, batch: int) -> None:
    world = World(t_test)
    answer = search(world, max_replicates=budget, batch=batch)
    assert answer.stopped == "budget used"
    assert answer.n_replicates == budget == sum(n for _, _, n in world.calls)
    assert answer.found or math.isnan(answer.power_at.value) or answer.power_at.mcse > 0


def test_a_spent_budget_still_gives_the_best_guess() -> None:
    answer = search(t_test, max_replicates=1_000)
    assert answer.stopped == "budget used"
    assert agrees(answer, t_test)
    assert answer.power_at.mcse > 0.01


# --- what it calls, and says ------------------------------------------------------------------------------------------


def test_every_replicate_is_used_once() -> None:
    world = World(t_test)
    answer = search(world)
    firsts = np.array([first for _, first, _ in world.calls])
    sizes = np.array([n for _, _, n in world.calls])
    assert firsts.tolist() == [0, *np.cumsum(sizes)[:-1]]
    assert sizes.sum() == answer.n_replicates
    assert sizes.max() <= 256
    assert {x for x, _, _ in world.calls} == set(answer.points.x)


def test_the_same_trials_give_the_same_answer() -> None:
    assert same(search(World(t_test, 3)), search(World(t_test, 3)))
    assert not same(search(World(t_test, 3)), search(World(t_test, 4)))


def test_the_data_of_the_picture() -> None:
    answer = search(t_test)
    points, curve = answer.points, answer.curve
    assert np.all(np.diff(points.x) > 0)
    assert points.n_replicates.sum() == answer.n_replicates
    assert points.power == pytest.approx(points.successes / points.n_replicates)
    assert np.all(points.mcse > 0)
    assert np.all(np.diff(curve.x) > 0)
    assert np.all(np.diff(curve.fitted) > 0)
    assert np.all((curve.low < curve.fitted) & (curve.fitted < curve.high))
    assert np.interp(answer.x_hat, curve.x, curve.fitted) == pytest.approx(0.8, abs=0.002)


def test_the_curve_of_a_number_that_lowers_power() -> None:
    curve = search(lambda lost: t_test(200 - lost), low=0, high=198, increasing=False).curve
    assert np.all(np.diff(curve.x) > 0)
    assert np.all(np.diff(curve.fitted) < 0)


def test_progress_is_told_after_every_batch() -> None:
    world, told = World(t_test), []
    search(world, progress=lambda done, x, error: told.append((done, x, error)))
    assert [done for done, _, _ in told] == np.cumsum([n for _, _, n in world.calls]).tolist()
    assert math.isnan(told[0][1])
    assert told[-1][1] == pytest.approx(64, rel=0.1)
    assert told[-1][2] == pytest.approx(0.01, rel=0.2)


def test_replicates_without_a_result_do_not_count() -> None:
    def simulate(x: float, first: int, n: int) -> tuple[int, int]:
        ran = n - n // 4
        return int(np.random.default_rng(first).binomial(ran, t_test(x))), ran

    answer = find(simulate, target=0.8, low=2, high=1_000, integer=True, max_replicates=20_000, mcse=0.01)
    assert agrees(answer, t_test)
    assert answer.points.n_replicates.sum() == pytest.approx(0.75 * answer.n_replicates, rel=0.01)


@pytest.mark.parametrize("gives", [(math.nan, 64), (-1, 64), (65, 64), (0, 0)], ids=str)
def test_impossible_counts_are_refused(gives: Any) -> None:
    with pytest.raises(ValueError, match="simulate"):
        find(lambda x, first, n: gives, target=0.8, low=2, high=9, integer=True, max_replicates=100)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": 1.0}, "target"),
        ({"target": 0.0}, "target"),
        ({"mcse": 0.0}, "mcse"),
        ({"max_replicates": 0}, "max_replicates"),
        ({"batch": 0}, "batch"),
        ({"low": 10, "high": 10}, "low and high"),
        ({"low": -1.0}, "scale sqrt"),
        ({"low": 0, "scale": "log"}, "scale log"),
        ({"low": math.nan}, "low and high"),
        ({"high": math.inf}, "low and high"),
        ({"start": 1}, "start"),
        ({"start": 2_000}, "start"),
        ({"low": 2.2, "high": 2.8}, "whole number"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        search(t_test, **changes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    middle=st.floats(0.1, 2_000),
    steepness=st.floats(0.01, 50),
    bottom=st.floats(0, 0.5),
    top=st.floats(0.5, 1),
    target=st.floats(0.02, 0.98),
    integer=st.booleans(),
    increasing=st.booleans(),
    scale=st.sampled_from(["sqrt", "linear", "log"]),
    limits=st.sampled_from([(0.5, 50.0), (1.0, 1.9), (1.0, None), (3.0, 2_000.0)]),
    seed=st.integers(0, 99),
)
def test_any_monotone_curve_ends_within_its_budget(
    middle: float,
    steepness: float,
    bottom: float,
    top: float,
    target: float,
    integer: bool,
    increasing: bool,
    scale: Any,
    limits: tuple[float, float | None],
    seed: int,
) -> None:
    def power(x: float) -> float:
        z = steepness * math.log(x / middle)
        return bottom + (top - bottom) * float(stats.norm.cdf(z if increasing else -z))

    low, high = limits
    world = World(power, seed)
    answer = search(
        world,
        target=target,
        low=low,
        high=high,
        integer=integer,
        increasing=increasing,
        scale=scale,
        max_replicates=3_000,
        mcse=0.02,
    )
    assert answer.n_replicates <= 3_000
    assert all(low <= x <= (high or 1e6) for x, _, _ in world.calls)
    if answer.found:
        assert low <= answer.x <= (high or 1e6)
        assert 0 <= answer.power_at.value <= 1
    if math.isfinite(answer.x_hat):
        assert low <= answer.ci_low <= answer.ci_high <= (high or 1e6)


# --- the curve --------------------------------------------------------------------------------------------------------


def test_the_line_is_the_likeliest_probit_line() -> None:
    """Against statsmodels' binomial GLM with a probit link."""
    import statsmodels.api as sm

    u = np.sqrt([40.0, 55, 63, 70, 90])
    n = np.array([128.0, 256, 1_024, 256, 64])
    s = np.array([75.0, 190, 815, 215, 60])
    # points near the crossing, the origin, count most: the same weights as frequencies give the same line
    found = search_curve.fit(u, s, n, 0.8416)
    assert abs(found.crossing(0.8416) - found.origin) < 0.002
    kernel = np.exp(-0.5 * ((u - found.origin) * wide_slope(u, s, n)) ** 2)
    kernel /= kernel.max()
    model = sm.GLM(
        np.column_stack([s, n - s]) * kernel[:, None],
        np.column_stack([np.ones(5), u - found.origin]),
        family=sm.families.Binomial(sm.families.links.Probit()),
    ).fit(tol=1e-14, scale=1.0)
    assert not found.curved
    assert found.beta == pytest.approx(model.params, rel=1e-7)
    bread = model.cov_params()
    weight = kernel**2 * n * stats.norm.pdf(found.eta(u)[0]) ** 2
    weight /= stats.norm.cdf(found.eta(u)[0]) * stats.norm.sf(found.eta(u)[0])
    x = np.column_stack([np.ones(5), u - found.origin])
    assert found.cov == pytest.approx(bread @ (x.T * weight) @ x @ bread, rel=1e-6)


def wide_slope(u: np.ndarray[Any, Any], s: np.ndarray[Any, Any], n: np.ndarray[Any, Any]) -> float:
    import statsmodels.api as sm

    family = sm.families.Binomial(sm.families.links.Probit())
    return float(sm.GLM(np.column_stack([s, n - s]), sm.add_constant(u), family=family).fit(tol=1e-14).params[1])


def test_fieller_interval_holds_the_places_that_do_not_differ_from_the_target() -> None:
    u, n = np.array([1.0, 2.0, 3.0]), np.array([100.0, 100.0, 100.0])
    found = search_curve.fit(u, np.array([20.0, 55.0, 80.0]), n, 0.5)
    for end in found.interval(0.5, 1.96):
        eta, error = found.eta(end)
        assert abs(float(eta) - 0.5) == pytest.approx(1.96 * float(error), rel=1e-9)
    weak = search_curve.fit(u, np.array([50.0, 55.0, 54.0]), n, 0.5)
    assert weak.interval(0.5, 1.96) == (-math.inf, math.inf)


def test_curvature_is_seen() -> None:
    u = np.linspace(-1, 1, 9)
    n = np.full(9, 2_000.0)
    straight = n * stats.norm.cdf(0.3 + u)
    bent = n * stats.norm.cdf(0.3 + u - 0.6 * u**2)
    assert not search_curve.fit(u, np.round(straight), n, 0.3).curved
    found = search_curve.fit(u, np.round(bent), n, 0.3)
    assert found.curved
    assert found.crossing(0.3) == pytest.approx(0.0, abs=0.002)
    assert found.beta == pytest.approx([0.3, 1.0, -0.6], abs=0.01)


def test_separated_points_have_a_curve_and_an_honest_gap() -> None:
    u, n = np.array([1.0, 2.0, 5.0, 6.0]), np.full(4, 50.0)
    found = search_curve.fit(u, np.array([0.0, 0.0, 50.0, 50.0]), n, 0.84)
    assert 2 < found.crossing(0.84) < 5
    assert found.interval(0.84, 1.96) == (2.0, 5.0)
    for successes in (np.zeros(4), n, np.array([0.0, 0, 0, 50]), np.array([0.0, 20, 50, 50])):
        assert np.isfinite(search_curve.fit(u, successes, n, 0.84).beta).all()
