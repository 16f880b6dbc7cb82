"""What lessons say beside their answers: why an answer is right, what to try, what an instructor is told."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import Z
from scipy.stats import norm
from test_lesson_claims import (
    SEED,
    above,
    answered,
    below,
    cohorts,
    decided,
    difference,
    errs,
    forty,
    near,
    question,
    se_gap,
    simulated,
    trials,
    ways,
    width,
)

from trialsim.design.parts import Design
from trialsim.teach.lessons import lessons
from trialsim.teach.views import regression_to_the_mean as rtm
from trialsim.teach.views import too_few_coaches as queue
from trialsim.teach.views.forty_percent_better import FALLS
from trialsim.teach.views.samples import sample


def test_what_chooses_for_itself_may_look_harmful_and_its_intervals_do_not_warn() -> None:
    by_pain = cohorts({"severity": 0.4, "motivation": 0})["chosen", "plain"]
    assert above(by_pain["mean estimate"], 0)
    by_motivation = cohorts({"severity": 0, "motivation": 0.6})
    people, coin = (by_motivation[who, "adjusted"] for who in ("chosen", "randomized"))
    assert width(people)[0] == pytest.approx(width(coin)[0], rel=0.1)
    assert below(people["coverage"], 0.5)


def test_two_wrongs_cancel_and_adjusting_makes_it_wrong() -> None:
    found = cohorts({"severity": 0.2, "motivation": 0.6})
    assert abs(found["chosen", "plain"]["bias"][0]) < 0.1
    assert below(found["chosen", "adjusted"]["bias"], -0.3)


def falls_by_itself(design: Design) -> float:
    """docs/model.md, regression to the mean: h eta^2 / sqrt V."""
    pain = design.outcomes["pain"]
    criterion = design.funnel["eligible"].criteria["too little pain"]
    variance = pain.sd**2 + pain.entry_sd**2 + criterion.error_sd**2
    z = (criterion.at_least - pain.mean) / variance**0.5  # type: ignore[union-attr, operator]
    return float(norm.pdf(z) / norm.sf(z) * pain.entry_sd**2 / variance**0.5)


@pytest.mark.parametrize("threshold", [4.0, 6.0])
def test_the_fall_is_that_of_the_formula(threshold: float) -> None:
    values = {"threshold": threshold, "course": 0.0, "effect": 0.0}
    design = rtm.on_screen(question("regression_to_the_mean", "parts", values))
    fall = simulated("regression_to_the_mean", "parts", values, 64)["whole"].mean(rtm.USUAL)
    assert near(fall, -falls_by_itself(design))
    wrong = rtm.on_screen(question("regression_to_the_mean", "parts", {**values, "passing": 1.0}))
    assert not near(fall, -falls_by_itself(wrong))


def test_intervals_hold_the_truth_and_estimates_are_right_on_average_whatever_the_power() -> None:
    for n in (50, 100):
        result = trials({"n": n, "effect": -0.5}, 800)
        assert near(result["coverage"], 0.95)
        assert near(result["bias"], 0)


def test_no_link_of_motivation_and_pain_no_bias_and_a_link_makes_an_effect_of_nothing() -> None:
    found = ways({"effect": 0.0, "motivation": -0.6})
    assert all(below(found[name]["mean estimate"], 0) for name in ("per_protocol", "as_treated"))
    assert all(near(found[name]["mean estimate"], 0) for name in ("intention_to_treat", "complier"))


def test_mmrm_is_more_exact_than_complete_cases_and_does_less_harm() -> None:
    few, all_answers = (answered({"mcar": 40}, name) for name in ("complete_cases", "mmrm"))
    assert below(se_gap(few, all_answers))
    gap = difference(*(answered({"mnar": 1.5}, name).column("estimate") for name in ("complete_cases", "mmrm")))
    assert above(gap)


def test_where_pain_now_decides_no_fewer_answer() -> None:
    shares = [
        simulated("missing_data", "methods", values, 128)["trial"].values["observed/online/m6"]
        for values in ({}, {"mnar": 1.5})
    ]
    assert above(difference(*shares))


def test_the_stated_error_is_too_small_by_the_design_effect() -> None:
    """Variance of estimates over the one stated is 1 + (m - 1) ICC, within sampling error of the former."""
    n, m, icc = 400, 20, 0.05
    design = lessons()["clusters_and_coaches"].scene.views["clinics"].design(question("clusters_and_coaches", "clinics", {"icc": icc}))  # fmt: skip
    alone = design.model_copy(update={"analyses": {"people": design.analyses["people"]}})
    result = sample(alone, seed=SEED, first=0, n=n).result("people")
    ratio = (result["empirical SE"][0] / result["model SE"][0]) ** 2
    assert abs(ratio - (1 + (m - 1) * icc)) < Z * ratio * np.sqrt(2 / n)
    assert abs(ratio - 1) > Z * ratio * np.sqrt(2 / n)


def test_many_clinics_make_robust_errors_good_enough() -> None:
    assert near(errs({"icc": 0.05, "clinics": 40, "n": 480}, "robust"), 0.05)


def test_a_line_grows_without_end_below_the_needed_number_of_coaches() -> None:
    waits = {
        (k, n): simulated("too_few_coaches", "trial", {"coaches": k, "n": n}, 64)["trial"].values[queue.WAIT]
        for k in (2, 3)
        for n in (240, 480)
    }
    assert above(difference(waits[2, 240], waits[2, 480]), 30)
    assert below(difference(waits[3, 240], waits[3, 480]), 10)


def test_dunnett_finds_a_little_more_than_bonferroni() -> None:
    _, made = decided({"family": "usual", "therapist": -0.6, "web": -0.4})
    found = [made[name].favourable.mean() for name in ("bonferroni", "dunnett")]
    assert found[0] <= found[1] <= found[0] + 0.05


def test_regression_to_the_mean_is_the_largest_part_of_forty_percent() -> None:
    from trialsim.teach.views.forty_percent_better import POINTS

    samples = forty({}, "waterfall", 32)
    values = [one.values[POINTS] for one in samples.values()]
    parts = {
        name: difference(after, before)[0]
        for name, before, after in zip(list(samples)[1:], values, values[1:], strict=False)
    }
    assert min(parts, key=lambda name: parts[name]) == "regression to the mean"
    assert parts["regression to the mean"] < 0.5 * values[0].mean()


def test_the_series_is_that_of_the_library_with_pain_alone() -> None:
    """The numbers of docs/scenarios/cprp.md: other outcomes do not touch those of pain."""
    whole, pain = forty({}, "reported", 32)["series"], forty({}, "waterfall", 32)["whole"]
    assert np.array_equal(whole.values[FALLS["cprp"]], pain.values[FALLS["cprp"]])
