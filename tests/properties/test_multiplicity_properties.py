"""What every procedure must do, whatever the p-values: order, monotony, unknowns, and the familywise error rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from trialsim.analysis import dunnett as dt
from trialsim.analysis import multiplicity as mt
from trialsim.analysis.graphical import graphical, rejected_sequence

Array = NDArray[Any]
NAN = float("nan")
FEW = settings().max_examples // 5
# Sums of products of numbers near 1: a few bits.
SLACK = 1 + 1e-12
LEAST = 1e-300  # numbers near this have few digits


def halves(n: int) -> list[list[int]]:
    return [list(range((n + 1) // 2)), *([list(range((n + 1) // 2, n))] if n > 1 else [])]


def parallel(p: Array, name: Any = "holm") -> Array:
    families = halves(p.shape[1])
    gamma = [0.6, 1.0][: len(families)] if name != "bonferroni" else [0.0] * len(families)
    return mt.gatekeeping(p, families, kind="parallel", procedure=name, gamma=gamma)


def serial(p: Array, name: Any = "holm") -> Array:
    return mt.gatekeeping(p, halves(p.shape[1]), kind="serial", procedure=name)


def ring(p: Array) -> Array:
    """Each hypothesis hands 0.7 to the next and 0.3 to the one before."""
    n = p.shape[1]
    moves = 0.7 * np.roll(np.eye(n), 1, axis=1) + 0.3 * np.roll(np.eye(n), -1, axis=1) if n > 1 else np.zeros((1, 1))
    return graphical(p, np.full(n, 1 / n), moves - np.diag(np.diag(moves)))


def weights(n: int) -> list[float]:
    return (np.arange(1, n + 1) / (n * (n + 1) / 2)).tolist()


PROCEDURES: dict[str, Callable[[Array], Array]] = {
    "bonferroni": mt.bonferroni,
    "weighted bonferroni": lambda p: mt.bonferroni(p, weights(p.shape[1])),
    "holm": mt.holm,
    "weighted holm": lambda p: mt.holm(p, weights(p.shape[1])),
    "hochberg": mt.hochberg,
    "hommel": mt.hommel,
    "fixed sequence": mt.fixed_sequence,
    "fallback": mt.fallback,
    "parallel holm": parallel,
    "parallel hochberg": lambda p: parallel(p, "hochberg"),
    "parallel hommel": lambda p: parallel(p, "hommel"),
    "parallel bonferroni": lambda p: parallel(p, "bonferroni"),
    "serial hommel": lambda p: serial(p, "hommel"),
    "serial holm": serial,
    "graphical": ring,
}
# What a NaN in the column does not touch.
ELEMENTWISE = ("bonferroni", "weighted bonferroni")
EARLIER_FREE = ("fixed sequence", "fallback")
FAMILIES = tuple(name for name in PROCEDURES if name.startswith(("parallel", "serial")))

one_p = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.05, 0.025, 1e-300, 5e-324]))


@st.composite
def p_values(draw: st.DrawFn) -> Array:
    n = draw(st.integers(1, 6))
    return np.array(draw(st.lists(st.lists(one_p, min_size=n, max_size=n), min_size=1, max_size=4)))


@pytest.mark.parametrize("name", PROCEDURES)
@settings(max_examples=FEW)
@given(p=p_values())
def test_adjusted_is_at_least_raw(name: str, p: Array) -> None:
    adjusted = PROCEDURES[name](p)
    assert np.all(adjusted * SLACK + LEAST >= p)
    assert np.all(adjusted <= 1)


@given(p=p_values())
def test_the_better_procedure_is_never_worse(p: Array) -> None:
    steps = [mt.hommel(p), mt.hochberg(p), mt.holm(p), mt.bonferroni(p)]
    for better, worse in pairwise(steps):
        assert np.all(better <= worse * SLACK + LEAST)
    assert np.all(mt.fallback(p) <= mt.bonferroni(p) * SLACK + LEAST)


@pytest.mark.parametrize("name", PROCEDURES)
@settings(max_examples=FEW)
@given(p=p_values(), data=st.data())
def test_smaller_p_values_never_hurt(name: str, p: Array, data: st.DataObject) -> None:
    smaller = p.copy()
    i = data.draw(st.integers(0, p.shape[1] - 1))
    smaller[:, i] *= data.draw(st.floats(0, 1))
    assert np.all(PROCEDURES[name](smaller) <= PROCEDURES[name](p) * SLACK + LEAST)


@pytest.mark.parametrize("name", ["bonferroni", "holm", "hochberg", "hommel"])
@given(p=p_values())
def test_order_of_p_is_kept_and_columns_do_not_matter(name: str, p: Array) -> None:
    adjusted = PROCEDURES[name](p)
    order = np.argsort(p, axis=1, kind="stable")
    assert np.all(np.diff(np.take_along_axis(adjusted, order, axis=1), axis=1) >= -1e-15)
    np.testing.assert_allclose(PROCEDURES[name](p[:, ::-1]), adjusted[:, ::-1], rtol=1e-12)


@pytest.mark.parametrize("name", PROCEDURES)
@settings(max_examples=FEW)
@given(p=p_values())
def test_replicates_do_not_meet(name: str, p: Array) -> None:
    """The same bits alone and in a block."""
    block = PROCEDURES[name](p)
    for row in range(len(p)):
        np.testing.assert_array_equal(PROCEDURES[name](p[row : row + 1])[0], block[row])


@pytest.mark.parametrize("name", PROCEDURES)
@settings(max_examples=FEW)
@given(p=p_values(), data=st.data())
def test_an_unknown_is_never_not_significant(name: str, p: Array, data: st.DataObject) -> None:
    """NaN where the p-value may matter; where there is a number, no value of the unknown could have changed it."""
    n, column = p.shape[1], data.draw(st.integers(0, p.shape[1] - 1))
    unknown = p.copy()
    unknown[0, column] = NAN
    adjusted = PROCEDURES[name](unknown)
    np.testing.assert_array_equal(adjusted[1:], PROCEDURES[name](p)[1:])
    expected = np.ones(n, dtype=bool)
    if name in ELEMENTWISE:
        expected = np.arange(n) == column
    elif name in EARLIER_FREE:
        expected = np.arange(n) >= column
    elif name in FAMILIES and column >= len(halves(n)[0]):
        expected[: len(halves(n)[0])] = False
    assert np.isnan(adjusted[0]).tolist() == expected.tolist()
    for value in (0.0, 0.01, 1.0):
        unknown[0, column] = value
        free = ~expected
        np.testing.assert_array_equal(PROCEDURES[name](unknown)[0, free], adjusted[0, free])


@given(p=p_values(), alpha=st.floats(0.001, 0.5))
def test_the_sequence_is_the_set(p: Array, alpha: float) -> None:
    n = p.shape[1]
    moves = (np.ones((n, n)) - np.eye(n)) / max(n - 1, 1)
    sequence = rejected_sequence(p[0], np.full(n, 1 / n), moves, alpha)
    assert len(set(sequence)) == len(sequence)
    assert sorted(sequence) == np.flatnonzero(graphical(p, np.full(n, 1 / n), moves)[0] < alpha).tolist()


def test_an_unknown_in_fishers_lsd() -> None:
    p = np.array([[0.01, NAN, 0.2]] * 3)
    found = mt.fisher_lsd(p, np.array([0.03, 0.07, NAN]), 0.05)
    np.testing.assert_array_equal(found, [[1, NAN, 0], [0, NAN, 0], [NAN] * 3])


def test_rejected() -> None:
    np.testing.assert_array_equal(mt.rejected(np.array([[0.049, 0.05, NAN]]), 0.05), [[1, 0, NAN]])


def test_none() -> None:
    p = np.array([[0.2, NAN]])
    np.testing.assert_array_equal(mt.none(p), p)


def test_without_weight_nothing_is_rejected() -> None:
    p = np.zeros((1, 2))
    for adjust in (mt.bonferroni, mt.holm, mt.fallback):
        assert adjust(p, [0, 1]).tolist() == [[1, 0]]  # type: ignore[operator]
        assert adjust(p, [0, 0]).tolist() == [[1, 1]]  # type: ignore[operator]
    assert graphical(p, [0, 1], np.zeros((2, 2))).tolist() == [[1, 0]]


def test_no_replicates() -> None:
    for procedure in PROCEDURES.values():
        assert procedure(np.empty((0, 3))).shape == (0, 3)
    assert dt.step_down(np.empty((0, 3)), 10, np.full(3, 0.5)).shape == (0, 3)


P = np.array([[0.1, 0.2]])
MOVES = [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mt.holm(np.array([[0.1, 1.2]])), "between 0 and 1"),
        (lambda: mt.holm(np.array([[0.1, -1e-9]])), "between 0 and 1"),
        (lambda: mt.holm(np.array([0.1, 0.2])), "replicates x hypotheses"),
        (lambda: mt.hommel(np.empty((3, 0))), "replicates x hypotheses"),
        (lambda: mt.bonferroni(P, [0.7, 0.4]), "add up to 1 or less"),
        (lambda: mt.bonferroni(P, [1.1, -0.1]), "at least 0"),
        (lambda: mt.fallback(P, [NAN, 0.1]), "at least 0"),
        (lambda: mt.fallback(P, [1]), "2 hypotheses need 2 weights"),
        (lambda: mt.fisher_lsd(P, np.array([0.1, 0.2]), 0.05), "2 global p-values for 1"),
        (lambda: mt.gatekeeping(P, [[0], [0]], kind="serial", procedure="holm"), "each of the 2 hypotheses once"),
        (lambda: mt.gatekeeping(P, [[0, 1], []], kind="serial", procedure="holm"), "none be empty"),
        (lambda: mt.gatekeeping(P, [[0], [1]], kind="serial", procedure="holm", gamma=[0, 1]), "gamma belongs to"),
        (lambda: mt.gatekeeping(P, [[0], [1]], kind="both", procedure="holm"), "'serial' or 'parallel'"),  # type: ignore[arg-type]
        (lambda: mt.gatekeeping(P, [[0], [1]], kind="parallel", procedure="holm"), "one gamma per family"),
        (lambda: mt.gatekeeping(P, [[0], [1]], kind="parallel", procedure="holm", gamma=[2, 1]), "between 0 and 1"),
        (lambda: mt.gatekeeping(P, [[0], [1]], kind="parallel", procedure="bonferroni", gamma=[0, 1]), "has gamma 0"),
        (lambda: mt.gatekeeping(P, [[0], [1]], kind="serial", procedure=["holm"]), "one procedure or 2"),
        (lambda: mt.gatekeeping(P, [[0], [1]], kind="serial", procedure="sidak"), "not 'sidak'"),  # type: ignore[arg-type]
        (lambda: graphical(P, [0.5, 0.6], MOVES), "weights must be"),
        (lambda: graphical(P, [0.5, -0.1], MOVES), "weights must be"),
        (lambda: graphical(P, [0.5, 0.5], [[0, 1.1], [1, 0]]), "transitions from hypothesis 1"),
        (lambda: graphical(P, [0.5, 0.5], [[0, 1], [-1, 0]]), "transitions from hypothesis 2"),
        (lambda: graphical(P, [0.5, 0.5], [[0.5, 0.5], [1, 0]]), "hypothesis 1 has a transition to itself"),
        (lambda: graphical(P, [0.5, 0.5], [[0, 1]]), "need 2 x 2 transitions, not 1 x 2"),
        (lambda: graphical(P, [0.5, 0.5], [[0, NAN], [1, 0]]), "finite"),
        (lambda: graphical(P, [1 / 3] * 3, np.zeros((3, 3))), "3 hypotheses for 2 p-values"),
        (lambda: rejected_sequence([0.1, NAN], [0.5, 0.5], MOVES, 0.05), "missing"),
        (lambda: dt.loadings(0, [10]), "at least one participant"),
        (lambda: dt.critical_value(0, 10, [10]), "df must be"),
        (lambda: dt.critical_value(10, 10, [10], alpha=1), "alpha must"),
        (lambda: dt.single_step(P, 10, np.array([0.5, 1.0])), "between -1 and 1"),
        (lambda: dt.single_step(P, 10, np.array([0.5, 0.5]), sided=3), "sided"),  # type: ignore[arg-type]
        (lambda: dt.single_step(P[0], 10, np.array([0.5, 0.5])), "replicates x treatments"),
        (lambda: dt.power((1, 2), np.array([0.5, 0.5]), kind="most"), "'any', 'all' or 'marginal'"),  # type: ignore[arg-type]
        (lambda: dt.loadings_from_covariance(np.ones(3)), "K x K"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- Dunnett ----------------------------------------------------------------------------------------------------------

statistic = st.one_of(st.floats(-40, 40), st.sampled_from([0.0, math.inf, -math.inf, 1e300]))


@settings(max_examples=FEW)
@given(
    t=st.lists(statistic, min_size=1, max_size=4),
    n=st.lists(st.integers(1, 500), min_size=5, max_size=5),
    df=st.sampled_from([0.5, 1.0, 3.0, 11.7, 100.0, 1e4, 1e9, math.inf]),
    sided=st.sampled_from([1, 2]),
)
def test_dunnett_lies_between_the_t_test_and_bonferroni(t: Any, n: list[int], df: float, sided: Any) -> None:
    found = np.array([t])
    loading = dt.loadings(n[4], n[: len(t)])
    single, step = (f(found, df, loading, sided=sided) for f in (dt.single_step, dt.step_down))
    raw = np.minimum(1, sided * stats.t.sf(np.abs(found) if sided == 2 else found, df))
    assert np.all(step <= single + 1e-15)
    assert np.all(step >= raw - 1e-11)
    assert np.all(single <= np.minimum(1, len(t) * raw) + 1e-11)


def test_dunnett_of_unknowns() -> None:
    t = np.array([[1.0, 2], [NAN, 2], [1, 2], [1, 2], [1, 2], [1, 2]])
    df = np.array([10, 10, NAN, 0, -1, 0.05])
    for function in (dt.single_step, dt.step_down):
        found = function(t, df, np.array([0.5, 0.6]))
        assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, True, True]
        assert not np.isnan(found[0]).any()
        assert np.isnan(function(t, 10, np.array([0.5, NAN]))).all()


def test_dunnett_replicates_do_not_meet() -> None:
    """The same bits alone and in a block, whatever df and loadings the others have."""
    rng = np.random.default_rng(5)
    t, df = 2 * rng.normal(size=(40, 3)), rng.choice([2.5, 30, 31.5, 400, math.inf], size=40)
    loading = dt.loadings(rng.integers(20, 40, 40), rng.integers(10, 90, (40, 3)))
    for function in (dt.single_step, dt.step_down):
        block = function(t, df, loading)
        for row in range(40):
            alone = function(t[row : row + 1], df[row : row + 1], loading[row : row + 1])
            np.testing.assert_array_equal(alone[0], block[row])


# --- familywise error -------------------------------------------------------------------------------------------------

R, ALPHA = 12_000, 0.05
Z = 4.5


def mcse(rate: float) -> float:
    return math.sqrt(rate * (1 - rate) / R)


def arm_means(effects: tuple[float, ...], seed: int = 11) -> Array:
    """Standardised means of arms (R, A), known variance."""
    return np.random.default_rng(seed).normal(size=(R, len(effects))) + effects


def many_to_one(effects: tuple[float, ...] = (0, 0, 0, 0, 0)) -> Array:
    """Statistics (R, 4) of four treatments against a control, correlated 0.5."""
    means = arm_means(effects)
    return (means[:, 1:] - means[:, :1]) / math.sqrt(2)


def two_sided(z: Array) -> Array:
    return 2 * stats.norm.sf(np.abs(z))


@pytest.mark.parametrize("name", PROCEDURES)
@pytest.mark.parametrize("effects", [(0, 0, 0, 0, 0), (0, 0, 3, 0, 3)], ids=["global null", "partial null"])
def test_familywise_error(name: str, effects: tuple[float, ...]) -> None:
    adjusted = PROCEDURES[name](two_sided(many_to_one(effects)))
    null = np.array(effects[1:]) == 0
    rate = np.mean((adjusted[:, null] < ALPHA).any(axis=1))
    assert rate <= ALPHA + Z * mcse(ALPHA)
    assert rate > 0.01


def test_without_adjustment_the_error_is_seen() -> None:
    """The wrong world: the simulation can fail."""
    p = two_sided(many_to_one())
    assert np.mean((mt.none(p) < ALPHA).any(axis=1)) > ALPHA + Z * mcse(ALPHA)
    # As for 2 hypotheses in place of 4.
    assert np.mean((mt.hommel(p) / 2 < ALPHA).any(axis=1)) > ALPHA + Z * mcse(ALPHA)


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("function", [dt.single_step, dt.step_down])
def test_dunnett_uses_alpha_exactly(function: Callable[..., Array], sided: Any) -> None:
    z = many_to_one()
    rate = np.mean((function(z, math.inf, dt.loadings(1, [1] * 4), sided=sided) < ALPHA).any(axis=1))
    assert abs(rate - ALPHA) < Z * mcse(ALPHA)
    wrong = np.mean((function(z, math.inf, np.full(4, 0.97), sided=sided) < ALPHA).any(axis=1))
    assert abs(wrong - ALPHA) > Z * mcse(ALPHA)


def test_dunnett_uses_alpha_exactly_with_few_participants() -> None:
    """t statistics with a common variance of 9 df, arms of unequal size."""
    n = np.array([4, 2, 3, 4])
    rng = np.random.default_rng(12)
    means, s = rng.normal(size=(R, 4)) / np.sqrt(n), np.sqrt(rng.chisquare(9, R) / 9)
    t = (means[:, 1:] - means[:, :1]) / np.sqrt(1 / n[1:] + 1 / n[0]) / s[:, None]
    loading = dt.loadings(4, [2, 3, 4])
    critical = dt.critical_value(9, 4, [2, 3, 4], alpha=ALPHA, sided=2)
    rate = np.mean((np.abs(t) > critical).any(axis=1))
    assert abs(rate - ALPHA) < Z * mcse(ALPHA)
    assert np.mean((np.abs(t) > dt.critical_value_for(loading, alpha=ALPHA)).any(axis=1)) > ALPHA + Z * mcse(ALPHA)
    part = dt.single_step(t[:2000], 9, loading)
    np.testing.assert_array_equal((part < ALPHA).any(axis=1), (np.abs(t[:2000]) > critical).any(axis=1))


def lsd(effects: tuple[float, ...]) -> float:
    """Familywise error of Fisher's LSD over all pairs of arms that are truly equal."""
    means = arm_means(effects)
    a, b = np.triu_indices(len(effects), 1)
    p = two_sided((means[:, a] - means[:, b]) / math.sqrt(2))
    between = np.sum((means - means.mean(axis=1, keepdims=True)) ** 2, axis=1)
    rejected = mt.fisher_lsd(p, stats.chi2.sf(between, len(effects) - 1), ALPHA)
    null = np.array(effects)[a] == np.array(effects)[b]
    return float((rejected[:, null] == 1).any(axis=1).mean())


def test_fishers_lsd_holds_for_three_arms_only() -> None:
    limit = ALPHA + Z * mcse(ALPHA)
    assert lsd((0, 0, 0)) <= limit
    assert lsd((0, 0, 9)) <= limit
    assert lsd((0, 0, 0, 0)) <= limit
    assert lsd((0, 0, 0, 9)) > limit
