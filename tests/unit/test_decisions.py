"""Decisions on made-up estimates: procedures, direction, success in words, chances by hand; and on simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from math import log, nan, sqrt
from typing import Any

import numpy as np
import pytest
from designs import THREE_VISITS, Data, coached, design, online, score, usual
from helpers import Array
from pydantic import ValidationError

from trialsim.analysis import dunnett, graphical, multiplicity
from trialsim.analysis.estimates import (
    GLOBAL_TEST,
    HAZARD_RATIO,
    MEAN_CHANGE,
    MEAN_DIFFERENCE,
    RISK_DIFFERENCE,
    RISK_RATIO,
    Estimates,
    Label,
)
from trialsim.design.parts import Design
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import Decided, decide, family_wise_error, power_rows
from trialsim.experiments.runner import run

ALPHA = 0.05
ANALYSES: Data = {
    "main": {"kind": "linear", "outcome": "pain"},
    "response": {"kind": "modified_poisson", "outcome": "pain"},
    "close": {
        "kind": "linear",
        "outcome": "pain",
        "hypothesis": "non_inferiority",
        "margin": 1.0,
        "multiplicity": "none",
    },
    "alike": {"kind": "linear", "outcome": "pain", "hypothesis": "equivalence", "margin": 1.0, "multiplicity": "none"},
    "high": {"kind": "linear", "outcome": "pain", "better": "higher"},
    "late": {"kind": "linear", "outcome": "pain", "visits": ["m12"]},
    "time": {"kind": "cox", "outcome": "pain"},
    "backwards": {"kind": "linear", "outcome": "pain", "contrasts": [["usual", "coach"]]},
}


def deciding(decision: Data, **parts: Any) -> Design:
    """Three arms at three visits, and one decision `d`."""
    return design(
        visits={name: {"label": label, **THREE_VISITS[name]} for name, label in LABELS.items()},
        arms={"coach": coached(arm={"label": "Coaching"}), "web": online(), "usual": usual(label="Usual care")},
        analyses=ANALYSES,
        decisions={"d": {"analysis": "main", **decision}},
        **parts,
    )


LABELS = {"m3": "3 months", "m6": "6 months", "m12": "12 months"}


def at(contrast: str, visit: str = "m3", analysis: str = "main", measure: str = MEAN_DIFFERENCE) -> Label:
    return Label(analysis, contrast, visit, measure, "treatment policy")


def made_up(columns: dict[Label, Data]) -> Estimates:
    """Estimates with the columns given; what is not given is NaN (observations: 50)."""
    n = max(np.size(value) for column in columns.values() for value in column.values())

    def stack(name: str, default: float = nan) -> Array:
        filled = [np.broadcast_to(np.asarray(c.get(name, default), dtype=float), n) for c in columns.values()]
        return np.stack(filled, axis=1)

    names = (
        "estimate", "std_error", "df", "ci_low", "ci_high", "p_value", "significant",
        "truth", "truth_first", "truth_second",
    )  # fmt: skip
    converged = ~np.isnan(stack("p_value"))
    return Estimates(
        labels=tuple(columns),
        replicate=np.arange(n, dtype=np.int32),
        n_used=stack("n_used", 50).astype(np.int32),
        converged=converged,
        reason=np.where(converged, "", "singular").astype(object),
        **{name: stack(name) for name in names},
    )


def decided(decision: Data, columns: dict[Label, Data]) -> Decided:
    return decide(deciding(decision), "d", made_up(columns))


PAIRS = ("coach - web", "coach - usual", "web - usual")
"""Contrasts of the design, as an analysis without `contrasts` has them."""
RNG = np.random.default_rng(20_240)
P = RNG.beta(0.3, 1.5, size=(400, 3))
P[7, 1] = nan  # a fit that failed
GAIN = RNG.choice([-1.0, 1.0], size=P.shape)


def columns_of(p: Array, estimate: Array, **more: Any) -> dict[Label, Data]:
    """Three pairs of arms in the design's order."""
    return {at(pair): {"p_value": p[:, k], "estimate": estimate[:, k], **more} for k, pair in enumerate(PAIRS)}


# --- procedures -------------------------------------------------------------------------------------------------------

NAMES = ("first", "second", "third")
HYPOTHESES = dict(zip(NAMES, ("coach beats usual", "web beats usual", "coach beats web"), strict=True))
ORDER = [1, 2, 0]
"""Columns of PAIRS in the order of the hypotheses."""
WEIGHTS = {"third": 0.2, "first": 0.5, "second": 0.3}  # not in the order of the hypotheses
W = [0.5, 0.3, 0.2]
FAMILIES = [["second", "first"], ["third"]]
F = [[1, 0], [2]]
MOVES = {"second": {"third": 1.0}, "first": {"third": 0.25, "second": 0.75}}
M = np.array([[0, 0.75, 0.25], [0, 0, 1], [0, 0, 0]])
GATES = {"serial": "serial_gatekeeping", "parallel": "parallel_gatekeeping"}

PROCEDURES: list[tuple[Data, Callable[[Array], Array]]] = [
    ({"kind": "none"}, lambda p: p),
    ({"kind": "bonferroni"}, multiplicity.bonferroni),
    ({"kind": "holm"}, multiplicity.holm),
    ({"kind": "hochberg"}, multiplicity.hochberg),
    ({"kind": "hommel"}, multiplicity.hommel),
    ({"kind": "fixed_sequence"}, multiplicity.fixed_sequence),
    ({"kind": "weighted_bonferroni", "weights": WEIGHTS}, lambda p: multiplicity.bonferroni(p, W)),
    ({"kind": "weighted_holm", "weights": WEIGHTS}, lambda p: multiplicity.holm(p, W)),
    ({"kind": "fallback", "weights": WEIGHTS}, lambda p: multiplicity.fallback(p, W)),
    (
        {"kind": GATES["serial"], "families": FAMILIES, "procedure": "hochberg"},
        lambda p: multiplicity.gatekeeping(p, F, kind="serial", procedure="hochberg"),
    ),
    (
        {"kind": GATES["parallel"], "families": FAMILIES, "procedure": "holm", "truncation": [0.3, 1.0]},
        lambda p: multiplicity.gatekeeping(p, F, kind="parallel", procedure="holm", gamma=[0.3, 1.0]),
    ),
    (
        {"kind": GATES["parallel"], "families": FAMILIES},  # truncated Holm at one half, then Holm
        lambda p: multiplicity.gatekeeping(p, F, kind="parallel", procedure="holm", gamma=[0.5, 1.0]),
    ),
    (
        {"kind": GATES["parallel"], "families": FAMILIES, "procedure": "bonferroni"},
        lambda p: multiplicity.gatekeeping(p, F, kind="parallel", procedure="bonferroni", gamma=[0.0, 0.0]),
    ),
    ({"kind": "graphical", "weights": WEIGHTS, "transitions": MOVES}, lambda p: graphical.graphical(p, W, M)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("procedure", "adjust"), PROCEDURES, ids=lambda case: case["kind"] if isinstance(case, dict) else ""
)
def test_a_procedure_gets_the_hypotheses_in_their_order(procedure: Data, adjust: Callable[[Array], Array]) -> None:
    found = decided({"hypotheses": HYPOTHESES, "procedure": procedure}, columns_of(P, GAIN))
    adjusted = adjust(P[:, ORDER])
    np.testing.assert_array_equal(found.adjusted_p, adjusted)
    np.testing.assert_array_equal(found.rejected, np.where(np.isnan(adjusted), nan, adjusted < ALPHA))
    assert [h.name for h in found.hypotheses] == list(NAMES)
    assert 0 < np.nanmean(found.rejected) < 1


def test_the_level_of_the_decision_decides() -> None:
    found = decided({"hypotheses": HYPOTHESES, "procedure": {"kind": "holm"}, "alpha": 0.2}, columns_of(P, GAIN))
    expected = multiplicity.holm(P[:, ORDER])
    np.testing.assert_array_equal(found.rejected, np.where(np.isnan(expected), nan, expected < 0.2))


@pytest.mark.parametrize("kind", ["dunnett", "dunnett_step_down"])
@pytest.mark.parametrize("ratio", [False, True])
def test_dunnett_takes_statistics_sizes_and_the_fewest_degrees_of_freedom(kind: str, ratio: bool) -> None:
    sizes = {"coach": 80, "web": 35, "usual": 60}
    value = np.array([[-1.0, -0.3], [0.4, -1.2], [-0.8, -0.9]])
    error, df = np.array([[0.4, 0.3], [0.4, 0.5], [0.35, 0.4]]), np.array([[90.0, 80], [70, 95], [60, 60]])
    analysis = "response" if ratio else "main"
    measures = (RISK_RATIO, "adjusted percentage") if ratio else (MEAN_DIFFERENCE, MEAN_CHANGE)
    columns: dict[Label, Data] = {
        at(arm, analysis=analysis, measure=measures[1]): {"n_used": n, "p_value": [1.0] * 3} for arm, n in sizes.items()
    }
    for k, arm in enumerate(("coach", "web")):
        columns[at(f"{arm} - usual", analysis=analysis, measure=measures[0])] = {
            "estimate": np.exp(value[:, k]) if ratio else value[:, k],
            "std_error": error[:, k], "df": df[:, k], "p_value": [0.01] * 3,
        }  # fmt: skip
    hypotheses = {"w": "web beats usual", "c": "coach beats usual"}
    found = decided({"analysis": analysis, "hypotheses": hypotheses, "procedure": {"kind": kind}}, columns)
    function = dunnett.step_down if kind == "dunnett_step_down" else dunnett.single_step
    loading = np.tile([sqrt(35 / 95), sqrt(80 / 140)], (3, 1))
    expected = function((value / error)[:, ::-1], df.min(axis=1), loading)
    np.testing.assert_allclose(found.adjusted_p, expected, rtol=1e-12)


def test_lsd_asks_the_test_of_all_arms_of_the_same_visit_and_analysis() -> None:
    p, n = [0.01] * 4, {"estimate": [-1.0] * 4}
    columns = {
        at("coach - usual"): {"p_value": p, **n},
        at("all arms", measure=GLOBAL_TEST): {"p_value": [0.01, 0.2, 0.01, nan]},
        at("coach - usual", "m6"): {"p_value": p, **n},
        at("all arms", "m6", measure=GLOBAL_TEST): {"p_value": [0.2, 0.01, 0.049, 0.01]},
    }
    hypotheses = {"early": "coach beats usual at m3", "later": "coach beats usual at 6 months"}
    found = decided({"hypotheses": hypotheses, "procedure": {"kind": "lsd"}}, columns)
    np.testing.assert_array_equal(found.rejected, [[1, 0], [0, 1], [1, 1], [nan, 1]])
    assert np.isnan(found.adjusted_p).all()


@pytest.mark.parametrize(
    "rule", ["none", "lsd", "bonferroni", "holm", "hochberg", "hommel", "dunnett", "dunnett_step_down"]
)
def test_a_decision_at_one_visit_is_the_verdict_of_an_analysis_with_the_same_rule(rule: str) -> None:
    """The analysis plan declares pairs different by a code path of its own."""
    effects = {"coach": -0.9, "web": -0.5, "usual": 0.0}
    arms = {name: usual(effects={"pain": {"by_visit": {"m3": value}}}) for name, value in effects.items()}
    pairs = [["coach", "usual"], ["web", "usual"]]
    plan = {"kind": "ancova", "outcome": "pain", "multiplicity": rule, "contrasts": pairs, "covariates": ["baseline"]}
    d = design(
        sample_size=66,
        arms=arms,
        outcomes={"pain": score(change_sd=1.2)},
        analyses={"main": plan},
        decisions={"d": {"analysis": "main", "procedure": {"kind": rule}}},
    )
    experiment = run(d, replicates=48)
    estimates = experiment.estimates
    assert estimates is not None
    found = decide(d, "d", estimates)
    places = [estimates.labels.index(at(f"{a} - {b}")) for a, b in pairs]
    np.testing.assert_array_equal(found.rejected, estimates.significant[:, places])
    assert 0.1 < found.rejected.mean() < 0.9


# --- direction --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("analysis", "contrast", "measure", "estimates", "wins"),
    [
        ("main", "coach - usual", MEAN_DIFFERENCE, [-2.0, 2.0], [1, 0]),  # pain: lower is better
        ("high", "coach - usual", MEAN_DIFFERENCE, [-2.0, 2.0], [0, 1]),
        ("response", "coach - usual", RISK_RATIO, [0.5, 1.5], [0, 1]),  # response: above 1 is better
        ("time", "coach - usual", HAZARD_RATIO, [0.5, 1.5], [0, 1]),  # of a first response: sooner is better
        ("backwards", "usual - coach", MEAN_DIFFERENCE, [-2.0, 2.0], [0, 1]),  # the contrast the other way round
    ],
)
def test_to_beat_is_to_differ_in_the_favourable_direction(
    analysis: str, contrast: str, measure: str, estimates: list[float], wins: list[int]
) -> None:
    visit = "m12" if analysis == "time" else "m3"
    columns = {at(contrast, visit, analysis, measure): {"p_value": [0.001, 0.001], "estimate": estimates}}
    for words, favourable in (("coach beats usual", wins), ("usual beats coach", [1 - win for win in wins])):
        found = decided({"analysis": analysis, "hypotheses": {"h": words}}, columns)
        np.testing.assert_array_equal(found.rejected[:, 0], [1, 1])
        np.testing.assert_array_equal(found.favourable[:, 0], favourable)
        np.testing.assert_array_equal(found.success, favourable)


def test_a_difference_that_is_not_rejected_is_never_favourable() -> None:
    found = decided({"hypotheses": {"h": "coach beats usual"}}, {at("coach - usual"): {"p_value": [0.05, 0.0499], "estimate": [-2.0, -2.0]}})  # fmt: skip
    np.testing.assert_array_equal(found.favourable[:, 0], [0, 1])  # below the level, not at it


def test_a_rule_may_speak_of_the_other_arm() -> None:
    """`usual beats coach` holds where the hypothesis about both is rejected in favour of usual care."""
    columns = {at("coach - usual"): {"p_value": [0.001, 0.001, 0.4], "estimate": [-2.0, 2.0, 2.0]}}
    given = {"hypotheses": {"h": "coach beats usual"}}
    for success, expected in (
        ("usual care beats coaching", [0, 1, 0]),
        ("not (usual beats coach)", [1, 0, 1]),
        ("h", [1, 0, 0]),
    ):
        np.testing.assert_array_equal(decided({**given, "success": success}, columns).success, expected)


def test_a_hypothesis_that_says_just_that_comes_before_its_reverse() -> None:
    """Two hypotheses about the same arms, the second with nearly all of alpha: it alone is rejected."""
    columns = {at("coach - usual"): {"p_value": [0.04], "estimate": [2.0]}}
    given = {
        "hypotheses": {"good": "coach beats usual", "harm": "usual beats coach"},
        "procedure": {"kind": "weighted_bonferroni", "weights": {"good": 0.1, "harm": 0.9}},
    }
    found = decided({**given, "success": "usual beats coach"}, columns)
    np.testing.assert_array_equal(found.rejected, [[0, 1]])
    np.testing.assert_array_equal(found.success, [1])


# --- margins ----------------------------------------------------------------------------------------------------------


def test_non_inferiority_is_one_sided_at_half_the_level() -> None:
    """The analysis's p-values are one-sided; 0.02 and 0.03 lie on either side of 0.025. The sign does not matter."""
    columns = {at("coach - usual", analysis="close"): {"p_value": [0.02, 0.03, 0.7], "estimate": [0.3, -0.3, 2.0]}}
    found = decided({"analysis": "close", "hypotheses": {"h": "coach is not inferior to usual care"}}, columns)
    np.testing.assert_allclose(found.adjusted_p[:, 0], [0.04, 0.06, 1.0])
    np.testing.assert_array_equal(found.favourable[:, 0], [1, 0, 0])


def test_equivalence_has_no_direction() -> None:
    columns = {at("coach - usual", analysis="alike"): {"p_value": [0.02, 0.03], "estimate": [0.3, 0.3]}}
    given = {"analysis": "alike", "hypotheses": {"h": "coach is equivalent to usual"}}
    found = decided({**given, "success": "usual is equivalent to coach"}, columns)
    np.testing.assert_array_equal(found.success, [1, 0])


def test_the_other_arm_cannot_be_said_not_to_be_inferior() -> None:
    given = {"analysis": "close", "hypotheses": {"h": "coach is not inferior to usual"}}
    with pytest.raises(ValidationError, match="no hypothesis says 'usual is non-inferior to coach'"):
        deciding({**given, "success": "usual is not inferior to coach"})


def test_superiority_after_non_inferiority() -> None:
    """Different analyses of the same arms, in sequence at full alpha."""
    columns = {
        at("coach - usual", analysis="close"): {"p_value": [0.001, 0.2, 0.001], "estimate": [-1.0] * 3},
        at("coach - usual"): {"p_value": [0.01, 0.01, 0.3], "estimate": [-1.0] * 3},
    }
    hypotheses = {"keeps up": "coach is not inferior to usual in close", "beats": "coach beats usual"}
    hypotheses = {name.replace(" ", "_"): words for name, words in hypotheses.items()}
    found = decided({"hypotheses": hypotheses, "procedure": {"kind": "fixed_sequence"}}, columns)
    np.testing.assert_array_equal(found.favourable, [[1, 1], [0, 0], [1, 0]])


# --- visits and analyses ----------------------------------------------------------------------------------------------


def test_visits_and_analyses_that_the_words_leave_out() -> None:
    hypotheses = {
        "a": "coach beats usual",
        "b": "coach beats usual at 12 months",
        "c": "coach beats usual in response",
        "d": "coach beats usual in late",
        "e": "coach beats usual in time",
    }
    columns = {
        at("coach - usual", "m3"): {"p_value": [0.01], "estimate": -1.0},
        at("coach - usual", "m12"): {"p_value": [0.02], "estimate": -1.0},
        at("coach - usual", "m3", "response", RISK_RATIO): {"p_value": [0.03], "estimate": 2.0},
        at("coach - usual", "m3", "response", RISK_DIFFERENCE): {"p_value": [0.9], "estimate": 2.0},
        at("coach - usual", "m12", "late"): {"p_value": [0.04], "estimate": -1.0},
        at("coach - usual", "m12", "time", HAZARD_RATIO): {"p_value": [0.05], "estimate": 2.0},
    }
    found = decided({"hypotheses": hypotheses}, columns)
    np.testing.assert_array_equal(found.adjusted_p, [[0.01, 0.02, 0.03, 0.04, 0.05]])
    assert [h.visit for h in found.hypotheses] == ["m3", "m12", "m3", "m12", "m12"]


def test_the_visit_of_the_decision() -> None:
    found = deciding({"visit": "m6", "success": "coach beats usual and coach beats web at m6 in main"})
    assert decide(found, "d", made_up({at(pair, "m6"): {"p_value": [0.01], "estimate": -1.0} for pair in PAIRS})).success == [1]  # fmt: skip


def test_times_have_their_one_visit_whatever_the_visit_of_the_decision() -> None:
    hypotheses = {"a": "coach beats usual", "b": "coach beats usual in time"}
    columns = {
        at("coach - usual", "m6"): {"p_value": [0.01], "estimate": -1.0},
        at("coach - usual", "m12", "time", HAZARD_RATIO): {"p_value": [0.02], "estimate": 2.0},
    }
    found = decided({"visit": "m6", "hypotheses": hypotheses, "success": "b and coach beats usual in time"}, columns)
    assert [h.visit for h in found.hypotheses] == ["m6", "m12"]
    assert found.success == [1]


def test_success_speaks_of_the_analysis_it_names() -> None:
    """`in late` without a visit is the visit of `late`, not the first of the decision's own analysis."""
    columns = {
        at("coach - usual"): {"p_value": [0.9], "estimate": -1.0},
        at("coach - usual", "m12", "late"): {"p_value": [0.01], "estimate": -1.0},
    }
    hypotheses = {"a": "coach beats usual", "b": "coach beats usual in late"}
    assert decided({"hypotheses": hypotheses, "success": "coach beats usual in late"}, columns).success == [1]
    assert decided({"hypotheses": hypotheses, "success": "coach beats usual"}, columns).success == [0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("coach beats usual at m3 in time", "time does not report visit m3"),
        ("coach beats usual at m3 in late", "late does not report visit m3"),
        ("web beats usual in backwards", "backwards has no contrast of web and usual"),
        ("coach beats usual in close", "close tests non-inferiority, the words say something else"),
        ("coach beats web in alike", "alike tests equivalence, the words say something else"),
        ("usual is not inferior to coach in close", "the arms must stand in the order of the analysis's contrast"),
    ],
)
def test_hypotheses_without_a_test_are_refused_with_the_design(words: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        deciding({"hypotheses": {"h": words}})


def test_lsd_is_not_for_margins() -> None:
    given = {"analysis": "close", "hypotheses": {"h": "coach is not inferior to usual"}}
    with pytest.raises(ValidationError, match="lsd is made for tests of superiority"):
        deciding({**given, "procedure": {"kind": "lsd"}})


def test_estimates_of_another_plan_are_refused() -> None:
    with pytest.raises(ResultsError, match="no contrast of coach and usual at m3 in main"):
        decided({"hypotheses": {"h": "coach beats usual"}}, {at("web - usual"): {"p_value": [0.1], "estimate": [1.0]}})


# --- success and chances ----------------------------------------------------------------------------------------------

WIN, LOSE, HARM, FAILED = (0.001, -1.0), (0.5, -1.0), (0.001, 1.0), (nan, nan)


def replicates(*rows: tuple[tuple[float, float], ...]) -> dict[Label, Data]:
    """Replicates by what happened to coach - usual and web - usual."""
    table = np.array(rows)
    pairs = ("coach - usual", "web - usual")
    return {at(pair): {"p_value": table[:, k, 0], "estimate": table[:, k, 1]} for k, pair in enumerate(pairs)}


TWO = {"c": "coach beats usual", "w": "web beats usual"}
EIGHT = replicates(
    (WIN, WIN), (WIN, LOSE), (WIN, HARM), (LOSE, WIN), (LOSE, LOSE), (HARM, WIN), (WIN, WIN), (HARM, HARM)
)  # fmt: skip


def test_chances_of_a_worked_example() -> None:
    found = decided({"hypotheses": TWO, "success": "c and not (usual beats web)"}, EIGHT)
    rows = {(row.label.contrast, row.statistic): (row.value, row.mcse, row.n_replicates) for row in power_rows(found)}
    half = (4 / 8, sqrt(4 / 8 * 4 / 8 / 8), 8)
    assert rows == {
        ("coach - usual", "marginal power"): pytest.approx(half),
        ("web - usual", "marginal power"): pytest.approx(half),
        ("all hypotheses", "disjunctive power"): pytest.approx((6 / 8, sqrt(6 / 8 * 2 / 8 / 8), 8)),
        ("all hypotheses", "conjunctive power"): pytest.approx((2 / 8, sqrt(2 / 8 * 6 / 8 / 8), 8)),
        ("all hypotheses", "success"): pytest.approx((3 / 8, sqrt(3 / 8 * 5 / 8 / 8), 8)),
    }
    labels = [row.label for row in power_rows(found)]
    assert {(label.measure, label.estimand) for label in labels} == {("d", "decision")}
    assert labels[0] == Label("main", "coach - usual", "m3", "d", "decision")


def test_without_words_success_is_any_hypothesis_in_favour_of_its_first_arm() -> None:
    np.testing.assert_array_equal(decided({"hypotheses": TWO}, EIGHT).success, [1, 1, 1, 1, 0, 1, 1, 0])


@pytest.mark.parametrize(
    ("success", "expected"),
    [
        ("c or w", [1, 1, nan, nan, nan]),
        ("c and w", [nan, nan, 0, 0, nan]),
        ("not c", [0, nan, 1, nan, nan]),
        ("at least 1 of (c, w)", [1, 1, nan, nan, nan]),
        ("", [1, 1, nan, nan, nan]),
    ],
)
def test_what_is_not_known_may_not_matter(success: str, expected: list[float]) -> None:
    rows = replicates((WIN, FAILED), (FAILED, WIN), (LOSE, FAILED), (FAILED, LOSE), (FAILED, FAILED))
    found = decided({"hypotheses": TWO, "success": success}, rows)
    np.testing.assert_array_equal(found.success, expected)
    np.testing.assert_array_equal(found.favourable[0], [1, nan])


def test_failed_fits_are_refused_or_left_out_of_every_row() -> None:
    """Were replicates with one success and one failed fit kept for the rows in which they are known, chances would
    be too high: here 3/4 and not 1/2."""
    rows = replicates((WIN, LOSE), (LOSE, LOSE), (WIN, FAILED), (LOSE, FAILED))
    found = decided({"hypotheses": TWO}, rows)
    with pytest.raises(ResultsError, match=r"decision d: in 2 of 4 replicates a fit that it needs failed.*skip_failed"):
        power_rows(found)
    assert {(row.statistic, row.value, row.n_replicates) for row in power_rows(found, skip_failed=True)} == {
        ("marginal power", 0.5, 2),
        ("marginal power", 0.0, 2),
        ("disjunctive power", 0.5, 2),
        ("conjunctive power", 0.0, 2),
        ("success", 0.5, 2),
    }


# --- family-wise error ------------------------------------------------------------------------------------------------


def test_family_wise_error_counts_true_hypotheses_in_either_direction() -> None:
    found = decided({"hypotheses": TWO}, EIGHT)
    parts = (("coach", "usual"), ("web",))
    assert family_wise_error(found, parts) == pytest.approx((6 / 8, sqrt(6 / 8 * 2 / 8 / 8), 8))
    assert family_wise_error(found, (("coach", "web", "usual"),)) == pytest.approx((7 / 8, sqrt(7 / 64 / 8), 8))
    assert family_wise_error(found, (("coach", "web"), ("usual",))) is None  # no hypothesis is about these two


def test_non_inferiority_is_true_of_equal_arms() -> None:
    columns = {at("coach - usual", analysis="close"): {"p_value": [0.02], "estimate": [0.3]}}
    found = decided({"analysis": "close", "hypotheses": {"h": "coach is not inferior to usual"}}, columns)
    assert family_wise_error(found, (("coach", "web", "usual"),)) is None


def test_failed_fits_do_not_hide_in_the_family_wise_error() -> None:
    found = decided({"hypotheses": TWO}, replicates((WIN, LOSE), (LOSE, LOSE), (WIN, FAILED), (LOSE, FAILED)))
    all_equal = (("coach", "web", "usual"),)
    with pytest.raises(ResultsError, match="2 of 4 replicates"):
        family_wise_error(found, all_equal)
    assert family_wise_error(found, all_equal, skip_failed=True) == pytest.approx((0.5, sqrt(0.25 / 2), 2))
    assert family_wise_error(found, (("coach", "usual"), ("web",))) == pytest.approx((0.5, 0.25, 4))


def test_ratios_are_compared_on_the_log_scale() -> None:
    """A ratio of 1.02 with an error of 0.001 is 20 standard errors away, and one of 1 is none."""
    columns: dict[Label, Data] = {
        at(f"{arm} - usual", analysis="response", measure=RISK_RATIO): {
            "p_value": [1e-9], "estimate": [value], "std_error": [0.001], "df": [np.inf],
        }
        for arm, value in (("coach", 1.02), ("web", 1.0))
    }  # fmt: skip
    given = {"analysis": "response", "hypotheses": TWO, "procedure": {"kind": "dunnett"}}
    found = decided(given, columns)
    loading = np.full((1, 2), sqrt(0.5))
    expected = dunnett.single_step(np.array([[log(1.02) / 0.001, 0.0]]), np.array([np.inf]), loading)
    np.testing.assert_allclose(found.adjusted_p, expected)
    np.testing.assert_array_equal(found.favourable, [[1, 0]])
