"""Numbers fitted to targets: the truth is found again, errors mean what they say, and what is not known is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import design, score, usual

from trialsim.design.parts import Design
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments import calibration as module
from trialsim.experiments.calibration import STOPS, Calibration, Free, calibrate, read_free
from trialsim.experiments.runner import run
from trialsim.experiments.size import changed
from trialsim.experiments.targets import Target, Targets
from trialsim.report.calibration import calibration_json, calibration_text

COURSE, EFFECT = "outcomes.pain.course.m3", "arms.coach.effects.pain.by_visit.m3"
USUAL, ANSWERS = "arms.usual.effects.pain.by_visit.m3", "arms.coach.response_prob.m3"
TRUE = {COURSE: -0.6, EFFECT: -1.0, ANSWERS: 0.8}
FREE = (Free((COURSE,), -2.0, 2.0), Free((EFFECT,), -3.0, 1.0), Free((ANSWERS,), 0.3, 0.95))
MEASURES = {
    "outcome/pain/usual/m3/mean_change": 0.2,
    "outcome/pain/coach/m3/mean_change": 0.3,
    "observed/coach/m3": 5.0,
}


def toy(course: float = 0.0, effect: float = 0.0, answers: float = 0.5) -> Design:
    """Two arms, one visit; a replicate takes 0.1 ms."""
    arms = {
        "coach": usual(effects={"pain": {"by_visit": {"m3": effect}}}, response_prob={"m3": answers}),
        "usual": usual(effects={"pain": {"by_visit": {"m3": 0.0}}}),
    }
    plan = {"change": {"kind": "linear", "outcome": "pain", "multiplicity": "none"}}
    outcomes = {"pain": score(course={"m3": course}, change_sd=1.2)}
    return design(name="toy", sample_size=100, outcomes=outcomes, arms=arms, analyses=plan)


def target(measure: str, published: float, half: float, **keys: Any) -> Target:
    limits = {"published": published, "low": published - half, "high": published + half}
    return Target(**{"measure": measure, "label": measure, "source": "seen", "kind": "fitted", **limits, **keys})


@pytest.fixture(scope="module")
def published() -> dict[str, float]:
    """What the trial with the true numbers gives, on luck of its own."""
    measures = run(toy(*TRUE.values()), seed=77, replicates=2000).measures
    return {name: float(measures[name].mean()) for name in measures if name in MEASURES or "responders" in name}


@pytest.fixture(scope="module")
def targets(published: dict[str, float]) -> Targets:
    """Three to be fitted to; two predicted, one of which is no effect of randomization."""
    fitted = [target(name, published[name], half) for name, half in MEASURES.items()]
    others = [
        target(
            "outcome/pain/coach/m3/responders", published["outcome/pain/coach/m3/responders"], 8.0, kind="predicted"
        ),
        target("estimate/change/coach - usual/m3/mean difference", -4.0, 0.5, kind="predicted", benchmark=True),
        target("randomized/all", 100.0, 1.0, held=False),
    ]
    return Targets(design="toy", targets=(*fitted, *others))


@pytest.fixture(scope="module")
def found(targets: Targets) -> Calibration:
    return calibrate(toy(), targets, FREE, replicates=48, seed=3)


# --- the fit ----------------------------------------------------------------------------------------------------------


def misses(found: Calibration) -> list[float]:
    """Distance of each fitted number from the truth in Monte Carlo errors: the targets themselves are exact."""
    return [
        (number.value - true) / number.monte_carlo_error
        for number, true in zip(found.numbers, TRUE.values(), strict=True)
    ]


def test_true_numbers_are_found_again_within_their_errors(found: Calibration) -> None:
    assert [number.start for number in found.numbers] == [0.0, 0.0, 0.5]
    assert np.abs(misses(found)).max() < 4.5
    assert all(number.monte_carlo_error < 0.03 * number.free.range for number in found.numbers)
    assert not any(number.weak or number.limit for number in found.numbers)
    assert (found.weak_directions, found.correlated) == ((), ())


def test_targets_that_are_wrong_lead_elsewhere(targets: Targets) -> None:
    """The check above can fail: all published values moved by half a tolerance."""
    moved = [t.model_copy(update={"published": t.published + 0.5 * (t.high - t.published)}) for t in targets.targets]
    wrong = targets.model_copy(update={"targets": tuple(moved)})
    assert np.abs(misses(calibrate(toy(), wrong, FREE, replicates=48, seed=3))).max() > 4.5


def test_targets_are_met_and_only_the_fitted_ones_were_looked_at(found: Calibration) -> None:
    fitted = [one for one in found.targets if one.fitted]
    assert [one.after.target.measure for one in fitted] == list(MEASURES)
    assert not any(one.before.inside for one in fitted)
    assert all(abs(one.after.distance) < 0.02 for one in fitted)
    assert all(one.fresh.inside and one.fresh.value != one.after.value for one in fitted)
    predicted, benchmark = (one for one in found.targets if not one.fitted)
    assert predicted.fresh.inside
    assert benchmark.fresh.distance > 4
    assert found.left_out == ("randomized/all",)


def test_the_fitted_design_gives_what_is_reported(found: Calibration) -> None:
    measures = run(found.fitted_design, seed=4, replicates=48).measures
    for one in found.targets:
        if one.fresh.target.measure in measures:
            assert one.fresh.value == pytest.approx(measures[one.fresh.target.measure].mean())


def test_all_targets_can_be_fitted_to(targets: Targets) -> None:
    found = calibrate(toy(), targets, FREE, all_targets=True, replicates=16)
    assert all(one.fitted for one in found.targets)
    assert found.numbers[1].value < -1.5  # drawn to the benchmark


def test_a_number_says_which_targets_it_moves(found: Calibration) -> None:
    usual_change, coach_change, answers = MEASURES
    assert [number.moves for number in found.numbers] == [(usual_change, coach_change), (coach_change,), (answers,)]


def test_the_same_call_gives_the_same_numbers_with_any_number_of_workers(targets: Targets, found: Calibration) -> None:
    again = calibrate(toy(), targets, FREE, replicates=48, seed=3, workers=2)
    assert again == found


def test_no_more_tries_than_allowed(targets: Targets) -> None:
    seen: list[tuple[int, int]] = []
    found = calibrate(toy(), targets, FREE, replicates=16, most=14, progress=lambda done, of: seen.append((done, of)))
    assert found.tries <= 15
    assert found.stop == STOPS[0]
    assert seen == [(k + 1, 14) for k in range(found.tries)]


# --- errors mean what they say ----------------------------------------------------------------------------------------


def ratio(calibrations: list[Calibration], said: str) -> tuple[float, float]:
    """Spread of the fitted numbers by what is said of it, pooled, and how far from 1 that may be (4.5 errors).

    Two of the three numbers are correlated, so they count as two.
    """
    values, errors = (
        np.array([[getattr(n, name) for n in one.numbers] for one in calibrations]) for name in ("value", said)
    )
    found = values.std(axis=0, ddof=1) / errors.mean(axis=0)
    return float(np.sqrt((found**2).mean())), 4.5 / np.sqrt(2 * 2 * (len(calibrations) - 1))


def test_monte_carlo_errors_are_the_spread_over_seeds(targets: Targets) -> None:
    found, far = ratio(
        [calibrate(toy(), targets, FREE, replicates=16, seed=seed) for seed in range(20)], "monte_carlo_error"
    )
    assert abs(found - 1) < far
    assert 4 * found - 1 > far  # errors of single replicates would be seen


def test_published_errors_are_the_spread_over_published_values(targets: Targets) -> None:
    luck, many = np.random.default_rng(1), []
    for _ in range(30):
        moved = [
            target(t.measure, t.published + x / 1.96 * (t.high - t.published), t.high - t.published)
            for t, x in zip(targets.targets[:3], luck.normal(size=3), strict=True)
        ]
        many.append(calibrate(toy(), Targets(design="toy", targets=tuple(moved)), FREE, replicates=16))
    found, far = ratio(many, "published_error")
    assert abs(found - 1) < far
    assert 1.96 * found - 1 > far  # tolerances taken for standard errors would be seen


# --- what the targets leave open --------------------------------------------------------------------------------------


def test_two_numbers_that_do_the_same_are_told(targets: Targets) -> None:
    both = Free((EFFECT, USUAL), -3.0, 1.0)
    found = calibrate(toy(), targets, (FREE[0], both), replicates=16)
    assert found.weak_directions == ((COURSE, both.name),)
    assert all(number.weak for number in found.numbers)
    ((a, b, r),) = found.correlated
    assert {a, b} == {COURSE, both.name}
    assert r < -0.99
    fitted = {number.free.name: number.value for number in found.numbers}
    assert found.fitted_design.arms["usual"].effects["pain"].by_visit["m3"] == fitted[both.name]
    text = calibration_text(found)
    assert "can change together by over 50% of their ranges while the targets hardly notice." in " ".join(text.split())
    assert f"- {COURSE}: its standard error is over 50% of its range" in text


def test_a_number_that_no_target_sees_is_told(targets: Targets) -> None:
    unseen = Free(("arms.usual.response_prob.m3",), 0.6, 0.95)
    found = calibrate(toy(), targets, (*FREE, unseen), replicates=16)
    *others, number = found.numbers
    assert not any(one.weak for one in others)
    assert number.weak
    assert found.weak_directions == ((unseen.name,),)


def test_a_number_at_its_limit_is_told(targets: Targets) -> None:
    found = calibrate(toy(), targets, (Free((COURSE,), -0.3, 2.0), *FREE[2:]), replicates=16)
    assert [number.limit for number in found.numbers] == ["lower", ""]
    assert "(at its lower limit)" in calibration_text(found)


# --- what is printed --------------------------------------------------------------------------------------------------


def test_the_text_keeps_benchmarks_apart(found: Calibration) -> None:
    text = calibration_text(found)
    randomized, benchmarks = text.split("Uncontrolled benchmarks: not effects of randomization")
    assert "estimate/change" not in randomized
    assert "estimate/change" in benchmarks
    assert "Weakly identified" not in text
    assert "Fitted to: 3 targets, inside their range 0 before, 3 after, 3 on fresh luck (seed 4)." in " ".join(
        text.split()
    )


def test_the_data_have_what_the_text_has(found: Calibration) -> None:
    told = calibration_json(found)
    assert [number["fitted"] for number in told["numbers"]] == [number.value for number in found.numbers]
    assert [one["fitted_to"] for one in told["targets"]] == [True, True, True, False, False]
    assert told["targets"][4]["benchmark"] is True
    assert told["sum_of_squares"]["after"] < 0.01 < told["sum_of_squares"]["before"]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["x", "x=1", "x=1..", "x=a..b", "=0..1", "x,=0..1", "x=0..inf", "x=nan..1", "x=2..1", "x=1..1"]
)
def test_a_range_that_cannot_be_read(text: str) -> None:
    with pytest.raises(TrialsimError, match=r"^--free .*: (must have the form|the lower limit must be below)"):
        read_free(text)


def test_ranges_are_read() -> None:
    assert read_free("a.b=-1.5..-.5") == Free(("a.b",), -1.5, -0.5)
    assert read_free("a.b, c=0..1e-2") == Free(("a.b", "c"), 0.0, 0.01)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [(0.123456, 0, 1, "0.1235"), (-7.89123, -50, 50, "-7.89"), (1e-6, 0, 1e-5, "0.000001"), (60.0, 0, 1e6, "60")],
)
def test_values_are_written_to_the_digits_of_their_range(value: float, low: float, high: float, text: str) -> None:
    assert Free(("x",), low, high).text(value) == text


def test_a_value_is_not_rounded_out_of_its_range() -> None:
    assert Free(("x",), 0.123456, 1.2).text(0.12346) == "0.1235"
    assert Free(("x",), 0.123456, 1.2).text(0.1234561) == "0.1235"
    assert Free(("x",), 0.0, 0.12345678).text(0.12345678) == "0.12345678"
    assert Free(("x",), 0.12344, 1.2).text(0.12344) == "0.12344"


@pytest.mark.parametrize(
    ("free", "told"),
    [
        (Free(("outcomes.pain.course.m4",), 0.0, 1.0), "no 'outcomes.pain.course.m4' in the design"),
        (Free((COURSE,), 1.0, 2.0), "the search starts at the design's value, 0, which is outside 1..2"),
        (Free(("sample_size",), 10.0, 200.0), "a whole number cannot be fitted"),
        (Free((ANSWERS,), 0.1, 1.5), "is not possible: arms.coach.response_prob.m3 must be below 1"),
        (Free((COURSE, ANSWERS), -1.0, 1.0), "has to start at one value"),
        (Free((COURSE, COURSE), -1.0, 1.0), "given twice"),
    ],
)
def test_a_number_that_cannot_be_searched(free: Free, told: str, targets: Targets) -> None:
    with pytest.raises(TrialsimError, match=told):
        calibrate(toy(), targets, [free], replicates=2)


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (target("randomized/all", 100, 1, kind="predicted"), "there is nothing to fit to"),
        (target("randomized/all", 100, 1, held=False), "there is nothing to fit to"),
        (target("randomized/all", 100, 1, design="resolve"), "there is nothing to fit to"),
        (target("randomized/all", 100, 0), "its range has no width, .* Give it a tolerance"),
        (target("randomized/nobody", 100, 1), "the simulation has no measure 'randomized/nobody'"),
    ],
)
def test_targets_that_cannot_be_fitted_to(one: Target, told: str) -> None:
    with pytest.raises((TrialsimError, ResultsError), match=told):
        calibrate(toy(), Targets(design="toy", targets=(one,)), FREE[:1], replicates=2)


def test_a_target_without_a_value_is_told_with_the_numbers_tried() -> None:
    never = Targets(design="toy", targets=(target("calendar/first_in_day", 100, 1),))
    free = Free(("arms.coach.cost_per_participant",), 0.0, 30.0)
    with pytest.raises(TrialsimError, match=r"^with arms.*: target 'calendar/first_in_day' has no value"):
        calibrate(changed(toy(), {"recruitment.sites.north.rate_per_month": 1e-6}), never, [free], replicates=2)


def test_too_few_tries_are_refused(targets: Targets) -> None:
    with pytest.raises(TrialsimError, match=r"^--most 13: two rounds of derivatives alone take 14 tries\.$"):
        calibrate(toy(), targets, FREE, replicates=2, most=13)


def test_analyses_that_no_target_is_about_are_not_run(targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    analysed = []
    real = module.run_with

    def spied(hands: Any, design: Design, **how: Any) -> Any:
        analysed.append(len(design.analyses))
        return real(hands, design, **how)

    monkeypatch.setattr(module, "run_with", spied)
    calibrate(toy(), targets, FREE[:1], replicates=2)
    assert analysed[0] == analysed[-1] == 1
    assert set(analysed[1:-2]) == {0}
