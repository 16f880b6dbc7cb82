"""Power, bias, standard errors and coverage by hand, with the Monte Carlo errors of Morris et al. 2019, table 6."""

from __future__ import annotations

from dataclasses import replace
from math import exp, isnan, log, nan, sqrt

import numpy as np
import pytest

from trialsim.analysis.estimates import (
    GLOBAL_TEST,
    HAZARD_RATIO,
    MEAN_CHANGE,
    MEAN_DIFFERENCE,
    NNT,
    ODDS_RATIO,
    PERCENTAGE,
    RISK_DIFFERENCE,
    RISK_RATIO,
    Estimates,
    Label,
)
from trialsim.errors import ResultsError
from trialsim.experiments.performance import (
    Performance,
    Truths,
    by_analysis,
    columns,
    mean_with_error,
    of_trial,
    performance,
    proportion_with_error,
    true_value,
)

Column = dict[str, list[float]]


def made_up(columns: dict[Label, Column], n: int, *, failed: tuple[int, ...] = ()) -> Estimates:
    """Estimates with the columns given; what is not given is NaN. The fits of `failed` replicates failed.

    The arms' true means stand beside a comparison as in the plan: those of the arms' own labels, if they are here.
    """
    columns = {label: _with_means(label, columns) for label in columns}

    def stack(name: str) -> np.ndarray:
        values = np.array([column.get(name, [nan] * n) for column in columns.values()], dtype=float).T
        if not name.startswith("truth"):
            values[list(failed)] = nan
        return values

    names = ("estimate", "std_error", "df", "ci_low", "ci_high", "p_value", "significant")
    names += ("truth", "truth_first", "truth_second")
    converged = np.ones((n, len(columns)), dtype=bool)
    converged[list(failed)] = False
    reason = np.full(converged.shape, "", dtype=object)
    reason[list(failed)] = "no events in arm 0"
    return Estimates(
        labels=tuple(columns),
        replicate=np.arange(n, dtype=np.int32),
        n_used=np.full(converged.shape, 50, dtype=np.int32),
        converged=converged,
        reason=reason,
        **{name: stack(name) for name in names},
    )


def _with_means(label: Label, columns: dict[Label, Column]) -> Column:
    arms = {other.contrast: column["truth"] for other, column in columns.items() if "truth" in column}
    means = [arms[arm] for arm in label.contrast.split(" - ") if arm in arms]
    return {**dict(zip(("truth_first", "truth_second"), means, strict=False)), **columns[label]}


def label(contrast: str, measure: str, analysis: str = "main") -> Label:
    return Label(analysis, contrast, "m3", measure, "treatment policy")


A, B = label("a", MEAN_CHANGE), label("b", MEAN_CHANGE)
DIFFERENCE, ALL = label("a - b", MEAN_DIFFERENCE), label("all arms", GLOBAL_TEST)


@pytest.fixture
def linear() -> Estimates:
    """Four replicates; the truth is -1 - (-3) = 2 in each."""
    return made_up(
        {
            A: {"estimate": [0.0, 0.0, 1.0, 3.0], "truth": [-1.0, -1.5, -0.5, -1.0]},
            B: {"estimate": [-1.0, -2.0, -2.0, -3.0], "truth": [-3.0, -3.5, -2.5, -3.0]},
            ALL: {"estimate": [1.0, 4.0, 9.0, 16.0], "significant": [0.0, 1.0, 1.0, 1.0]},
            DIFFERENCE: {
                "estimate": [1.0, 2.0, 3.0, 6.0],
                "std_error": [1.0, 1.0, 2.0, 2.0],
                "ci_low": [-1.0, 0.0, -1.0, 2.1],
                "ci_high": [3.0, 4.0, 7.0, 9.9],
                "significant": [0.0, 0.0, 0.0, 1.0],
                "truth": [2.0, 2.0, 2.0, 2.0],
            },
        },
        4,
    )


def found(rows: list[Performance], of: Label) -> dict[str, tuple[float, float, int]]:
    return {row.statistic: (row.value, row.mcse, row.n_replicates) for row in rows if row.label == of}


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_a_mean_difference_by_hand(linear: Estimates) -> None:
    """Estimates 1, 2, 3, 6: mean 3, sum of squares 14. Squared errors 1, 1, 4, 4: mean 2.5, variance 3.

    Squared distances from the truth 1, 0, 1, 16: mean 4.5.
    """
    spread = sqrt(14 / 3)
    rows = found(performance(linear), DIFFERENCE)
    assert rows == {
        "failed fits": pytest.approx((0, sqrt(1 / 6 * 5 / 6 / 4), 4)),
        "power": pytest.approx((0.25, sqrt(0.25 * 0.75 / 4), 4)),
        "mean estimate": pytest.approx((3.0, spread / 2, 4)),
        "truth": pytest.approx((2.0, 0.0, 4)),
        "bias": pytest.approx((1.0, spread / 2, 4)),
        "empirical SE": pytest.approx((spread, spread / sqrt(6), 4)),
        "model SE": pytest.approx((sqrt(2.5), sqrt(3 / (4 * 4 * 2.5)), 4)),
        "relative error of SE": pytest.approx(
            (
                sqrt(2.5) / spread - 1,
                sqrt(2.5) / spread * sqrt(3 / (4 * 4 * 2.5**2) + 1 / 6),
                4,
            )
        ),
        "MSE": pytest.approx((4.5, sqrt((3.5**2 + 4.5**2 + 3.5**2 + 11.5**2) / 3) / 2, 4)),
        "coverage": pytest.approx((0.75, sqrt(0.75 * 0.25 / 4), 4)),
    }


def test_arms_and_the_test_of_all_arms_by_hand(linear: Estimates) -> None:
    rows = performance(linear)
    arm = found(rows, A)
    assert list(arm) == ["failed fits", "mean estimate", "truth", "bias"]
    assert arm["mean estimate"] == pytest.approx((1.0, sqrt(6 / 3) / 2, 4))
    assert arm["truth"] == pytest.approx((-1.0, sqrt(0.5 / 3) / 2, 4))
    gaps = np.array([1.0, 1.5, 1.5, 4.0])  # estimate minus the replicate's own truth
    assert arm["bias"] == pytest.approx((2.0, gaps.std(ddof=1) / 2, 4))
    assert found(rows, ALL) == {
        "failed fits": pytest.approx((0, sqrt(1 / 6 * 5 / 6 / 4), 4)),
        "power": pytest.approx((0.75, sqrt(0.75 * 0.25 / 4), 4)),
    }


def test_a_risk_ratio_is_judged_on_the_log_scale() -> None:
    """Truth 40 / 20 = 2 from the arms, although the mean of the replicates' own ratios is not 2."""
    estimates = made_up(
        {
            label("a", PERCENTAGE): {"estimate": [40.0, 50.0, 30.0], "truth": [40.0, 44.0, 36.0]},
            label("b", PERCENTAGE): {"estimate": [10.0, 25.0, 30.0], "truth": [20.0, 22.0, 18.0]},
            label("a - b", RISK_RATIO): {
                "estimate": [4.0, 2.0, 1.0],
                "std_error": [0.3, 0.4, 0.5],
                "ci_low": [2.2, 0.9, 0.4],
                "ci_high": [7.2, 4.4, 2.6],
                "significant": [1.0, 0.0, 0.0],
                "truth": [2.0, 2.0, 2.0],
            },
            label("a - b", RISK_DIFFERENCE): {"estimate": [30.0, 25.0, 0.0], "truth": [20.0, 22.0, 18.0]},
        },
        3,
    )
    ratio = found(performance(estimates), label("a - b", RISK_RATIO))
    spread = log(2)  # logs 2 ln 2, ln 2, 0: mean ln 2, standard deviation ln 2
    assert ratio["mean estimate"] == pytest.approx((2.0, 2.0 * spread / sqrt(3), 3))
    assert ratio["truth"][0] == pytest.approx(2.0)
    assert ratio["bias"] == pytest.approx((0.0, spread / sqrt(3), 3), abs=1e-15)
    assert ratio["empirical SE"] == pytest.approx((spread, spread / 2, 3))
    assert ratio["model SE"][0] == pytest.approx(sqrt((0.09 + 0.16 + 0.25) / 3))
    assert ratio["MSE"][0] == pytest.approx(((2 * spread - spread) ** 2 + 0 + spread**2) / 3)
    assert ratio["coverage"][0] == pytest.approx(2 / 3)
    assert ratio["power"][0] == pytest.approx(1 / 3)
    difference = found(performance(estimates), label("a - b", RISK_DIFFERENCE))
    assert difference["truth"][0] == pytest.approx(20.0)
    assert difference["bias"][0] == pytest.approx(55 / 3 - 20)


def test_bias_of_a_ratio_that_is_wrong_everywhere() -> None:
    """Everybody's ratio is 3 where 2 is true: bias ln 1.5 without error."""
    columns = {
        label("a", PERCENTAGE): {"truth": [40.0] * 3},
        label("b", PERCENTAGE): {"truth": [20.0] * 3},
        label("a - b", RISK_RATIO): {"estimate": [3.0] * 3, "std_error": [0.1] * 3, "truth": [2.0] * 3},
    }
    rows = found(performance(made_up(columns, 3)), label("a - b", RISK_RATIO))
    assert rows["bias"] == pytest.approx((log(1.5), 0.0, 3), abs=1e-15)
    assert rows["mean estimate"] == pytest.approx((3.0, 0.0, 3), abs=1e-15)
    assert exp(rows["bias"][0]) * rows["truth"][0] == pytest.approx(3.0)


def test_the_true_value_is_that_of_the_superpopulation(linear: Estimates) -> None:
    """Arms' means are averaged over replicates, then compared."""
    assert true_value(linear, linear.labels.index(A)) == pytest.approx((-1.0, sqrt(0.5 / 3) / 2))
    assert true_value(linear, linear.labels.index(DIFFERENCE)) == pytest.approx((2.0, 0.0))
    assert isnan(true_value(linear, linear.labels.index(ALL))[0])


def test_the_true_ratio_is_that_of_the_means_and_not_the_mean_of_the_ratios() -> None:
    """40 / 20 = 2, where the replicates' own ratios 60 / 10 = 6 and 20 / 30 have the mean 3.3."""
    columns = {
        label("a", PERCENTAGE): {"truth": [60.0, 20.0]},
        label("b", PERCENTAGE): {"truth": [10.0, 30.0]},
        label("a - b", RISK_RATIO): {"truth": [6.0, 2 / 3]},
        label("a - b", ODDS_RATIO): {"truth": [13.5, 7 / 12]},
        label("a - b", RISK_DIFFERENCE): {"truth": [50.0, -10.0]},
    }
    estimates = made_up(columns, 2)
    assert true_value(estimates, 2) == pytest.approx((2.0, log(9) / 2))  # the standard error is that of the logarithm
    assert true_value(estimates, 3)[0] == pytest.approx((0.4 / 0.6) / (0.2 / 0.8))
    assert true_value(estimates, 4) == pytest.approx((20.0, 30.0))


def test_a_true_value_without_its_arms_is_none() -> None:
    """As where nobody responds in the second arm, or a label is about arms that no truth is known of."""
    nobody = made_up(
        {
            label("a", PERCENTAGE): {"truth": [5.0]},
            label("b", PERCENTAGE): {"truth": [0.0]},
            label("a - b", RISK_RATIO): {},
            label("a - b", RISK_DIFFERENCE): {},
            label("a - c", RISK_DIFFERENCE): {},
        },
        1,
    )
    assert isnan(true_value(nobody, 2)[0])
    assert true_value(nobody, 3)[0] == 5.0
    assert isnan(true_value(nobody, 4)[0])


def test_a_hazard_ratio_has_power_and_precision_but_no_truth() -> None:
    columns = {label("a - b", HAZARD_RATIO): {"estimate": [1.0, 2.0], "std_error": [0.1, 0.1], "significant": [0, 1]}}
    rows = found(performance(made_up(columns, 2)), label("a - b", HAZARD_RATIO))
    assert rows["power"][0] == 0.5
    assert rows["mean estimate"][0] == pytest.approx(sqrt(2))
    assert rows["empirical SE"][0] == pytest.approx(log(2) / sqrt(2))
    assert isnan(rows["truth"][0])
    assert isnan(rows["bias"][0])
    assert {"coverage", "MSE"} & set(rows) == set()


# --- truth from elsewhere ---------------------------------------------------------------------------------------------


def test_truths_of_a_larger_simulation_take_the_place_of_the_own(linear: Estimates) -> None:
    """Truth 2.5 with error 0.3 for the difference; the arms have none there and keep their own."""
    truths = Truths({DIFFERENCE: (2.5, 0.3)}, n_participants=10**6)
    rows = found(performance(linear, truths=truths), DIFFERENCE)
    spread = sqrt(14 / 3)
    assert rows["truth"] == pytest.approx((2.5, 0.3, 4))
    assert rows["bias"] == pytest.approx((0.5, sqrt(spread**2 / 4 + 0.3**2), 4))
    assert rows["MSE"][0] == pytest.approx((1.5**2 + 0.5**2 + 0.5**2 + 3.5**2) / 4)
    assert rows["coverage"][0] == pytest.approx(1.0)
    own = found(performance(linear), DIFFERENCE)
    unmoved = ("power", "mean estimate", "empirical SE", "model SE", "relative error of SE", "failed fits")
    assert {name: rows[name] for name in unmoved} == {name: own[name] for name in unmoved}
    assert found(performance(linear, truths=truths), A) == found(performance(linear), A)


def test_the_error_of_a_true_ratio_is_that_of_the_logarithm() -> None:
    ratio = label("a - b", RISK_RATIO)
    columns = {ratio: {"estimate": [2.0, 2.0], "std_error": [0.2, 0.2], "truth": [2.0, 2.0]}}
    rows = found(performance(made_up(columns, 2), truths=Truths({ratio: (1.6, 0.05)}, 10**6)), ratio)
    assert rows["truth"] == pytest.approx((1.6, 1.6 * 0.05, 2))
    assert rows["bias"] == pytest.approx((log(2.0 / 1.6), 0.05, 2))


def test_a_number_needed_to_treat_is_not_averaged() -> None:
    rows = performance(made_up({label("a - b", NNT): {"estimate": [5.0, -100.0]}}, 2))
    assert [row.statistic for row in rows] == ["failed fits"]


def test_the_trial_as_a_whole_has_expected_numbers() -> None:
    measures = {
        "randomized/all": np.array([60.0, 60.0]),
        "coaches/phone/hours": np.array([10.0, 20.0]),
        "coaches/group/hours": np.array([1.0, 3.0]),
        "cost/total": np.array([100.0, nan]),
        "cost/letters": np.array([1.0, 1.0]),
    }
    rows = {row.label.measure: (row.statistic, row.value, row.mcse, row.n_replicates) for row in of_trial(measures)}
    assert list(rows) == ["participants randomized", "coach hours", "total cost"]
    assert rows["participants randomized"] == ("mean", 60.0, 0.0, 2)
    assert rows["coach hours"] == ("mean", 17.0, pytest.approx(6.0), 2)
    assert rows["total cost"][1::2] == (100.0, 1)
    assert {row.label.analysis for row in of_trial(measures)} == {"trial"}


# --- failures ---------------------------------------------------------------------------------------------------------


def with_a_failed_fit() -> Estimates:
    columns = {
        A: {"estimate": [1.0, 2.0, 3.0], "truth": [2.0, 2.0, 2.0]},
        DIFFERENCE: {"estimate": [1.0, 2.0, 3.0], "std_error": [1.0, 1.0, 1.0], "significant": [1.0, 1.0, 0.0]},
    }
    return made_up(columns, 3, failed=(1,))


def test_failed_fits_are_refused_unless_told_otherwise() -> None:
    with pytest.raises(ResultsError) as refused:
        performance(with_a_failed_fit())
    assert str(refused.value) == (
        "1 of 3 replicates have a fit that failed (no events in arm 0). They are not silently left out: summarise the "
        "others with --skip-failed (Python: skip_failed=True)."
    )


def test_skipping_failed_fits_says_how_many_and_counts_the_others() -> None:
    rows = found(performance(with_a_failed_fit(), skip_failed=True), DIFFERENCE)
    assert rows["failed fits"] == pytest.approx((1 / 3, sqrt(1 / 3 * 2 / 3 / 3), 3))
    assert rows["power"] == pytest.approx((0.5, sqrt(0.25 / 2), 2))
    assert rows["mean estimate"] == pytest.approx((2.0, 1.0, 2))


def test_a_failed_fit_without_any_true_response_is_no_trouble() -> None:
    """Nobody would respond in arm a: the fit fails, the true ratio is 0 and its logarithm does not exist."""
    columns = {
        label("a", PERCENTAGE): {"estimate": [20.0, 20.0, 20.0], "truth": [30.0, 0.0, 30.0]},
        label("b", PERCENTAGE): {"estimate": [20.0, 10.0, 20.0], "truth": [10.0, 10.0, 10.0]},
        label("a - b", RISK_RATIO): {
            "estimate": [1.0, 2.0, 4.0], "std_error": [0.5, 0.5, 0.5], "truth": [3.0, 0.0, 3.0],
        },
    }  # fmt: skip
    estimates = made_up(columns, 3, failed=(1,))
    rows = found(performance(estimates, skip_failed=True), label("a - b", RISK_RATIO))
    assert rows["mean estimate"][0] == pytest.approx(2.0)
    assert rows["truth"][0] == pytest.approx(2.0)
    assert np.isfinite(rows["truth"][1])


def test_one_analysis_does_not_stand_in_the_way_of_another() -> None:
    other = replace(DIFFERENCE, analysis="other")
    columns = {DIFFERENCE: {"estimate": [1.0, 2.0, 3.0]}, other: {"estimate": [4.0, 5.0, 6.0]}}
    estimates = made_up(columns, 3)
    estimates.converged[1, 0] = False
    estimates.reason[1, 0] = "no events in arm 0"
    (main, of_main, why), (name, of_other, nothing) = by_analysis(estimates)
    assert (main, of_main, name, nothing) == ("main", [], "other", "")
    assert why.startswith("1 of 3 replicates have a fit that failed (no events in arm 0).")
    assert found(of_other, other)["mean estimate"][0] == pytest.approx(5.0)
    assert [why for _, _, why in by_analysis(estimates, skip_failed=True)] == ["", ""]
    with pytest.raises(ResultsError):
        performance(estimates)


# --- few replicates ---------------------------------------------------------------------------------------------------


def test_one_replicate_has_values_and_no_errors(linear: Estimates) -> None:
    alone = made_up(
        {
            A: {"estimate": [0.5], "truth": [-1.0]},
            B: {"estimate": [-1.0], "truth": [-3.0]},
            DIFFERENCE: {"estimate": [1.5], "std_error": [1.0], "ci_low": [-0.5], "ci_high": [3.5], "truth": [2.0]},
        },
        1,
    )
    rows = found(performance(alone), DIFFERENCE)
    assert rows["mean estimate"][0] == 1.5
    assert rows["bias"][0] == -0.5
    assert isnan(rows["mean estimate"][1])
    assert isnan(rows["bias"][1])
    assert rows["coverage"][0] == 1.0
    assert rows["MSE"][0] == 0.25
    assert {"empirical SE", "model SE", "relative error of SE"} & set(rows) == set()


def test_means_leave_out_what_does_not_exist() -> None:
    assert mean_with_error(np.array([1.0, nan, 3.0])) == pytest.approx((2.0, 1.0, 2))
    assert mean_with_error(np.array([nan, 7.0]))[0::2] == (7.0, 1)
    assert isnan(mean_with_error(np.array([nan, 7.0]))[1])
    value, error, n = mean_with_error(np.array([nan, nan]))
    assert isnan(value)
    assert isnan(error)
    assert n == 0


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([1.0, 0.0, 0.0, 0.0], (0.25, sqrt(0.25 * 0.75 / 4), 4)),
        ([1.0, nan, 0.0], (0.5, sqrt(0.25 / 2), 2)),
        ([0.0, 0.0, 0.0], (0.0, sqrt(0.2 * 0.8 / 3), 3)),
        ([1.0] * 8, (1.0, sqrt(0.9 * 0.1 / 8), 8)),
        ([1.0], (1.0, sqrt(1 / 3 * 2 / 3), 1)),
    ],
    ids=["some", "some do not exist", "none", "all", "one"],
)
def test_a_share_has_an_error_even_at_its_ends(hits: list[float], expected: tuple[float, float, int]) -> None:
    assert proportion_with_error(np.array(hits)) == pytest.approx(expected)


def test_a_share_of_nothing() -> None:
    value, error, n = proportion_with_error(np.array([nan]))
    assert (isnan(value), isnan(error), n) == (True, True, 0)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_every_number(linear: Estimates) -> None:
    rows = performance(linear)
    table = columns(rows, design_point=3)
    assert [len(table["value"]), len(table["mcse"])] == [len(rows), len(rows)]
    assert table["value"].tolist() == [row.value for row in rows]
    assert set(table["design_point"].tolist()) == {3}
    codes, names = table["statistic"]
    assert [names[code] for code in codes] == [row.statistic for row in rows]
    codes, names = table["estimand"]
    assert {names[code] for code in codes} == {"treatment policy"}
    keys = {(row.label, row.statistic) for row in rows}
    assert len(keys) == len(rows)
