"""Questions of size and assurance: what they mean, what is refused and how, whatever the number that is searched."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest
from designs import ONE_VISIT, THREE_VISITS, Data, coached, design, score, usual
from helpers import se_of_mean
from pydantic import ValidationError
from scipy import stats

from trialsim.design.parts import Design
from trialsim.errors import TrialsimError
from trialsim.experiments import size
from trialsim.experiments.decisions import decide
from trialsim.experiments.executors import Crew, local_crew
from trialsim.experiments.runner import run
from trialsim.experiments.size import (
    MOST,
    OWN,
    QUESTION,
    Prior,
    Sizing,
    ask,
    assurance,
    changed,
    find_size,
    number_at,
    read_prior,
)
from trialsim.experiments.successes import Successes, successes

EFFECT = "arms.coach.effects.pain.by_visit.m3"
PLANS: Data = {
    "change": {"kind": "linear", "outcome": "pain", "multiplicity": "none"},
    "responders": {"kind": "modified_poisson", "outcome": "pain", "alpha": 0.02},
    "first": {"kind": "cox", "outcome": "pain", "multiplicity": "holm"},
    "close": {
        "kind": "linear", "outcome": "pain", "hypothesis": "non_inferiority", "margin": 1.0, "multiplicity": "none",
    },
    "later": {"kind": "linear", "outcome": "pain", "visits": ["m12"]},
}  # fmt: skip


def planned(**parts: Any) -> Design:
    """Two arms with labels, three visits, several analyses, two decisions."""
    labels = {"m3": "3 months", "m6": "6 months", "m12": "12 months"}
    given = {
        "visits": {name: {"label": label, **THREE_VISITS[name]} for name, label in labels.items()},
        "arms": {"coach": coached(arm={"label": "Health coaching"}), "usual": usual(label="Usual care")},
        "analyses": PLANS,
        "decisions": {
            "main": {"analysis": "responders", "hypotheses": {"h": "coach beats usual"}},
            "both": {
                "analysis": "change",
                "hypotheses": {"a": "coach beats usual at m3", "b": "coach beats usual in responders"},
                "procedure": {"kind": "holm"},
                "success": "a and b",
            },
        },
        **parts,
    }
    return design(**given)


def quick(effect: float = -1.0, **parts: Any) -> Design:
    """Two arms, one visit, one analysis."""
    coach = usual(effects={"pain": {"by_visit": {"m3": effect}}}, response_prob={"m3": 0.9})
    given = {
        "sample_size": 40,
        "visits": ONE_VISIT,
        "arms": {"coach": coach, "usual": usual()},
        "outcomes": {"pain": score(change_sd=1.2)},
        "analyses": {"change": PLANS["change"]},
        **parts,
    }
    return design(**given)


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "said", "analyses"),
    [
        ("coach vs usual", "coach beats usual at m3 in change", ["change"]),
        ("coach vs. usual at 12 months", "coach beats usual at m12 in change", ["change"]),
        ("Health Coaching versus Usual Care at m6", "coach beats usual at m6 in change", ["change"]),
        ("usual against coach in responders", "usual beats coach at m3 in responders", ["responders"]),
        ("coach beats usual at 6 months in responders", "coach beats usual at m6 in responders", ["responders"]),
        ("coach vs usual in later", "coach beats usual at m12 in later", ["later"]),
        ("coach vs usual in first", "coach beats usual at m12 in first", ["first"]),
        ("coach vs usual in close", "coach is not inferior to usual at m3 in close", ["close"]),
        ("main", "coach beats usual at m3 in responders", ["responders"]),
        (
            "both",
            "success if a and b, where a: coach beats usual at m3 in change; b: coach beats usual at m3 in responders",
            ["change", "responders"],
        ),
        (None, "coach beats usual at m3 in responders", ["responders"]),
    ],
)
def test_what_a_question_means(question: str | None, said: str, analyses: list[str]) -> None:
    from trialsim.experiments.size import _words

    asked = ask(planned(), question)
    assert list(asked.decisions) == [QUESTION]
    assert list(asked.analyses) == analyses
    assert _words(asked) == said


def test_without_a_decision_the_first_contrast_of_the_first_analysis_is_asked_about() -> None:
    decision = ask(planned(decisions={}), None).decisions[QUESTION]
    assert (decision.analysis, decision.hypotheses) == ("change", {"asked": "coach beats usual"})
    close = {"close": PLANS["close"]}
    assert ask(planned(decisions={}, analyses=close), None).decisions[QUESTION].hypotheses == {
        "asked": "coach is not inferior to usual"
    }


@pytest.mark.parametrize(
    ("analysis", "alpha", "procedure"),
    [("change", 0.05, "none"), ("responders", 0.02, "lsd"), ("first", 0.05, "none"), ("close", 0.05, "none")],
)
def test_a_question_has_level_and_protection_of_its_own_analysis(analysis: str, alpha: float, procedure: str) -> None:
    """`responders` has Fisher's protection by default; one hypothesis needs none of Holm's."""
    decision = ask(planned(), f"coach vs usual in {analysis}").decisions[QUESTION]
    assert (decision.alpha, decision.procedure.kind) == (alpha, procedure)


def test_a_question_is_answered_as_a_whole_run_would() -> None:
    d = planned(sample_size=50)
    whole, asked = run(d, replicates=32), ask(d, "both")
    assert whole.estimates is not None
    with local_crew(1) as hands:
        found = successes(hands, asked, QUESTION, seed=1, first=0, replicates=32)
    np.testing.assert_array_equal(found.success, decide(d, "both", whole.estimates).success)
    np.testing.assert_array_equal(found.n_randomized, whole.measures["randomized/all"])


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("coach vs web", r"no arm is called 'web'\n  coach beats web\n +\^\nKnown: 'coach', 'usual'"),
        ("coach vs usual at 9 months", r"no visit is called '9 months'.*\n.*\n.*\nDid you mean '6 months'"),
        ("coach vs usual in thrid", "no analysis is called 'thrid'"),
        ("mian", r"'mian' is not a statement(.|\n)*Or name a decision of the design: 'main', 'both'\.$"),
        ("coach vs usual and coach vs usual at m6", "a hypothesis is one statement"),
        ("coach vs coach", "cannot be compared with itself"),
        ("coach vs usual at m3 in later", r"question does not fit the design: .*later does not report visit m3"),
        ("coach beats usual in close", "close tests non-inferiority, the words say something else"),
    ],
)
def test_a_question_that_cannot_be_answered(question: str, told: str) -> None:
    with pytest.raises(TrialsimError, match=told) as refused:
        ask(planned(), question)
    assert "validation error" not in str(refused.value)


def test_a_plan_without_analyses_has_no_power() -> None:
    with pytest.raises(TrialsimError, match="'test' plans no analysis"):
        ask(planned(analyses={}, decisions={}), None)


def test_a_trial_of_one_arm_has_no_power() -> None:
    alone = quick(arms={"coach": usual()})
    for question in (None, "coach vs usual"):
        with pytest.raises(TrialsimError, match="analysis 'change' compares no arms"):
            ask(alone, question)
    with pytest.raises(ValidationError, match="change compares no arms, so there is no hypothesis"):
        quick(arms={"coach": usual()}, decisions={"d": {"analysis": "change"}})


# --- numbers of a design ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [("sample_size", 40), (EFFECT, -1.0), ("arms.coach.response_prob.m3", 0.9), ("recruitment.sites.north.rate_per_month", 30.0)],
)  # fmt: skip
def test_the_number_at_a_path(path: str, value: float) -> None:
    found = number_at(quick(), path)
    assert (found, type(found)) == (value, type(value))
    assert number_at(changed(quick(), {path: value / 2 if isinstance(value, float) else value + 1}), path) != value


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("sample_sise", r"no 'sample_sise' in the design \(at 'sample_sise'\)\. Did you mean 'sample_size'\?"),
        ("arms.coach.effects.pain.by_visit.m6", r"\(at 'm6'\)\. Keys there: m3\."),
        ("arms.coach.delivery.coaches", "'arms.coach.delivery.coaches' is not a number of the design. Make it one"),
        ("arms.coach.delivery.coaches.7", r"Keys there: 0, 1\."),
        ("allocation.ratio", "'allocation.ratio' is not a number of the design.$"),
        ("name", "'name' is not a number"),
        ("arms.usual.effects.pain", r"Keys there: none\."),
    ],
)
def test_what_is_no_number_cannot_be_searched(path: str, told: str) -> None:
    staffed = quick(arms={"coach": coached(coaches=[{"caseload": 3}, {"caseload": 4}], arm={"effects": {"pain": {"by_visit": {"m3": -1.0}}}}), "usual": usual()})  # fmt: skip
    with pytest.raises(TrialsimError, match=told):
        number_at(staffed, path)


def test_an_impossible_value_is_told_by_the_rule_it_breaks() -> None:
    with pytest.raises(TrialsimError) as refused:
        changed(quick(), {"arms.coach.response_prob.m3": 1.5})
    rule = "arms.coach.response_prob.m3 = 1.5 is not possible: arms.coach.response_prob.m3 must be below 1."
    assert str(refused.value) == rule


# --- the search -------------------------------------------------------------------------------------------------------


def search(d: Design, **how: Any) -> Sizing:
    return find_size(d, **{"power": 0.8, "mcse": 0.03, "max_replicates": 6000, **how})


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"path": EFFECT}, f"searching '{EFFECT}' needs --low and --high"),
        ({"path": EFFECT, "low": -1.0}, "needs --low and --high"),
        ({"path": EFFECT, "low": 0.5, "high": -1.0}, r"needs a number from 0\.5 up to a higher one \(given: -1\)"),
        ({"path": EFFECT, "low": nan, "high": 1.0}, "needs a number from nan"),
        ({"path": EFFECT, "low": -inf, "high": 1.0}, "needs a number from -inf"),
        ({"low": 50.2, "high": 50.9}, r"needs a whole number from 50\.2 up to a higher one \(given: 50\.9\)"),
        ({"low": 0.0}, "sample_size = 0 is not possible: sample_size must be at least 1"),
        ({"path": "arms.coach.response_prob.m3", "low": 0.5, "high": 1.0}, "must be below 1"),
        ({"path": "recruitment.sites", "low": 0.0, "high": 1.0}, "is not a number"),
    ],
)
def test_limits_that_make_no_sense_are_refused_before_anything_is_simulated(
    how: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was simulated")

    monkeypatch.setattr(size, "successes", refuse)
    with pytest.raises(TrialsimError, match=told):
        search(quick(), **how)


def test_fits_that_fail_stop_the_search() -> None:
    """With two participants in an arm some trials have nobody who answers in one."""
    d = quick(effect=-4.0, sample_size=6, arms={"coach": usual(effects={"pain": {"by_visit": {"m3": -4.0}}}), "usual": usual(response_prob={"m3": 0.3})})  # fmt: skip
    told = r"\d+ of \d+ replicates with sample_size = \d+ have a fit that failed, so power is not known there\. Raise"
    with pytest.raises(TrialsimError, match=told):
        search(d)


def test_a_stronger_effect_has_more_power_although_it_is_lower() -> None:
    """Power falls as the number grows, which a few replicates at the limits show."""
    found = search(quick(), path=EFFECT, low=-3.0, high=0.5, mcse=0.015)
    answer = found.answer
    assert answer.found
    assert -3.0 < answer.ci_low < answer.x < answer.ci_high < 0
    assert answer.points.power[0] > answer.points.power[-1]
    assert abs(answer.power_at.value - 0.8) < 1e-6
    at_answer = changed(ask(quick(), None), {EFFECT: answer.x})
    with local_crew(1) as hands:
        check = successes(hands, at_answer, QUESTION, seed=2, first=0, replicates=2000).success
    error = np.hypot(answer.power_at.mcse, se_of_mean(check))
    assert abs(check.mean() - 0.8) < 4.5 * error
    with local_crew(1) as hands:  # a wrong world: somewhat less of an effect
        wrong = successes(
            hands, changed(at_answer, {EFFECT: 0.75 * answer.x}), QUESTION, seed=2, first=0, replicates=2000
        )
    assert abs(wrong.success.mean() - 0.8) > 4.5 * error


def test_a_better_follow_up_has_more_power() -> None:
    arms = {"coach": usual(effects={"pain": {"by_visit": {"m3": -0.6}}}), "usual": usual(response_prob={"m3": 0.7})}
    d = quick(arms=arms, sample_size=120)
    found = search(d, power=0.6, path="arms.usual.response_prob.m3", low=0.3, high=0.99, mcse=0.02)
    assert found.answer.found
    assert 0.3 < found.answer.x < 0.99
    assert found.answer.points.power[0] < found.answer.points.power[-1]


def test_what_cannot_be_reached_is_said() -> None:
    found = search(quick(effect=-0.05), high=60)
    assert not found.answer.found
    assert found.answer.stopped.startswith("not reachable: even at the upper limit power is")
    assert (found.closest, found.randomized) == (60, 60)


def test_what_is_reached_everywhere_is_said() -> None:
    found = search(quick(effect=-3.0), low=40, high=400)
    assert found.answer.x == 40
    assert np.isnan(found.answer.x_hat)
    assert found.answer.stopped.startswith("already above the target at the lower limit")


def test_the_search_goes_to_the_largest_design_that_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = changed(quick(), {"sample_size": MOST})
    with pytest.raises(TrialsimError, match="sample_size must be at most 200000"):
        changed(largest, {"sample_size": MOST + 1})
    tried: list[int] = []

    def never(_: Crew, d: Design, *__: object, first: int, replicates: int, **___: object) -> Successes:
        tried.append(d.sample_size)
        return Successes(np.zeros(replicates), np.full(replicates, float(d.sample_size)))

    monkeypatch.setattr(size, "successes", never)
    found = search(quick())
    assert not found.answer.found
    assert max(tried) == found.closest == MOST


def test_a_range_that_is_enough_needs_no_look_at_large_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    genuine = size.successes

    def spy(hands: Crew, d: Design, *args: Any, **how: Any) -> Successes:
        tried.append(d.sample_size)
        return genuine(hands, d, *args, **how)

    monkeypatch.setattr(size, "successes", spy)
    assert search(quick(effect=-3.0), power=0.9, low=100).answer.x == 100
    assert max(tried) <= 200


def test_no_trial_is_planned_much_larger_than_enrolment_can_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """About 60 people come in 60 days, so that larger trials are the same trials and need not be planned larger."""
    closing = quick(effect=-0.05, max_enrolment_days=60)
    planned_for: list[int] = []
    genuine = size.successes

    def spy(hands: Crew, d: Design, *args: Any, **how: Any) -> Successes:
        planned_for.append(d.sample_size)
        found = genuine(hands, d, *args, **how)
        if len(planned_for) % 5 == 0:
            larger = genuine(hands, changed(d, {"sample_size": 20 * d.sample_size}), *args, **how)
            np.testing.assert_array_equal((larger.success, larger.n_randomized), (found.success, found.n_randomized))
        return found

    monkeypatch.setattr(size, "successes", spy)
    found = search(closing, mcse=0.03)
    assert found.answer.stopped.startswith("not reachable")
    assert found.closest == MOST
    assert 50 < found.randomized < 70
    assert 120 < max(planned_for) < 400


def test_trials_that_fill_the_room_after_all_are_judged_at_their_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_large(_: Crew, d: Design, *__: object, first: int, replicates: int, **___: object) -> Successes:
        come = np.where(np.arange(first, first + replicates) == 70, 500.0, 30.0)
        return Successes(np.zeros(replicates), np.minimum(come, d.sample_size))

    monkeypatch.setattr(size, "successes", one_large)
    with local_crew(1) as hands:
        trials = size._Trials(hands, quick(), "sample_size", True, 1)
        assert trials.outcomes(100, 0, 64).n_randomized.max() == 30
        assert trials.outcomes(1000, 64, 64).n_randomized.max() == 500


def test_workers_do_not_change_the_answer() -> None:
    one, two = search(quick()), search(quick(), workers=2)
    assert one.answer.found
    for name in ("x", "x_hat", "ci_low", "ci_high", "power_at", "n_replicates", "stopped"):
        assert getattr(one.answer, name) == getattr(two.answer, name), name
    for name in ("x", "n_replicates", "successes"):
        np.testing.assert_array_equal(getattr(one.answer.points, name), getattr(two.answer.points, name))
    assert one.randomized == two.randomized


def test_another_seed_gives_another_answer() -> None:
    assert search(quick()).answer.x_hat != search(quick(), seed=2).answer.x_hat


def test_enrolment_that_closes_early_shows_in_the_number_randomized() -> None:
    slow = {"sites": {"north": {"rate_per_month": 10.0}}}
    found = search(quick(-0.6, max_enrolment_days=300), power=0.5)
    assert found.randomized == found.answer.x
    early = search(quick(-0.6, max_enrolment_days=300, recruitment=slow), power=0.5, low=20, high=500)
    assert early.answer.found
    assert early.randomized < early.answer.x - 0.5


def test_progress_is_told_with_what_is_known() -> None:
    told: list[tuple[int, float, float]] = []
    found = search(quick(), progress=lambda *now: told.append(now))
    assert told[-1][0] <= found.answer.n_replicates
    assert [n for n, _, _ in told] == sorted(n for n, _, _ in told)
    assert np.isnan(told[0][1])
    assert np.isfinite(told[-1][1])


# --- priors -----------------------------------------------------------------------------------------------------------

U = np.array([0.01, 0.25, 0.5, 0.75, 0.99])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=normal(-0.5, 0.2)", stats.norm(-0.5, 0.2).ppf(U)),
        ("a.b=normal(1,0)", np.ones(5)),
        (" a.b = uniform( 2 , 6 ) ", 2 + 4 * U),
        ("a.b=triangular(1, 2, 5)", stats.triang(0.25, 1, 4).ppf(U)),
        ("a.b=triangular(1, 1, 5)", stats.triang(0, 1, 4).ppf(U)),
        ("a.b=triangular(1, 5, 5)", stats.triang(1, 1, 4).ppf(U)),
    ],
)
def test_quantiles_of_priors(text: str, expected: np.ndarray) -> None:
    prior = read_prior(text)
    assert prior.path == "a.b"
    np.testing.assert_allclose(prior.quantile(U), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "", "a.b", "a.b=", "a.b=0.5", "=normal(0, 1)", "a.b=normal", "a.b=normal()", "a.b=normal(1)",
        "a.b=normal(0, 1, 2)", "a.b=normal(0, -1)", "a.b=normal(0, nan)", "a.b=normal(0, inf)", "a.b=normal(0; 1)",
        "a.b=uniform(2, 1)", "a.b=uniform(1, 1)", "a.b=uniform(1)", "a.b=triangular(1, 2)",
        "a.b=triangular(1, 3, 2)", "a.b=triangular(1, 1, 1)", "a.b=cauchy(0, 1)", "a.b=normal(0, 1) extra",
    ],
)  # fmt: skip
def test_what_is_no_prior(text: str) -> None:
    with pytest.raises(TrialsimError, match=r"is not a prior.*Write PATH=normal\(mean, sd\)"):
        read_prior(text)


# --- assurance --------------------------------------------------------------------------------------------------------


def test_a_prior_without_spread_is_power() -> None:
    """The same replicates of the same design: not nearly equal but equal."""
    d = quick(effect=-0.8)
    found = assurance(d, [Prior(EFFECT, "normal", (-0.8, 0.0))], nodes=16, replicates=32)
    with local_crew(1) as hands:
        plain = successes(hands, ask(d, None), QUESTION, seed=1, first=0, replicates=16 * 32 + OWN * 32).success
    assert found.value == plain[: 16 * 32].mean()
    assert found.power == plain[16 * 32 :].mean()
    assert found.n_replicates == len(plain)
    by_node = plain[: 16 * 32].reshape(16, 32)
    np.testing.assert_array_equal(found.node_power, by_node.mean(axis=1))
    assert found.mcse == pytest.approx(np.sqrt(by_node.var(axis=1, ddof=1).mean() / (16 * 32)))
    assert found.power_mcse == pytest.approx(np.sqrt(found.power * (1 - found.power) / (OWN * 32)))


def test_values_of_the_prior_are_the_middles_of_equal_parts() -> None:
    found = assurance(quick(), [read_prior(f"{EFFECT}=uniform(-2, 0)")], nodes=4, replicates=2)
    np.testing.assert_allclose(found.nodes[:, 0], [-1.75, -1.25, -0.75, -0.25])


def test_two_priors_fill_the_square_evenly() -> None:
    priors = [read_prior(f"{EFFECT}=uniform(0, 1)"), read_prior("arms.coach.response_prob.m3=uniform(0.5, 0.9)")]
    found = assurance(quick(), priors, nodes=64, replicates=2)
    assert found.nodes.shape == (64, 2)
    counts, *_ = np.histogram2d(*found.nodes.T, bins=4, range=[[0, 1], [0.5, 0.9]])
    assert counts.min() >= 2  # of 4 on average; independent points would leave cells empty
    assert abs(np.corrcoef(found.nodes.T)[0, 1]) < 0.2


def test_whole_numbers_are_rounded() -> None:
    found = assurance(quick(), [read_prior("sample_size=uniform(30, 34)")], nodes=8, replicates=2)
    assert found.nodes[:, 0].tolist() == [30, 31, 31, 32, 32, 33, 33, 34]


def test_certain_success_has_an_error_all_the_same() -> None:
    found = assurance(quick(effect=-6.0), [read_prior(f"{EFFECT}=uniform(-6.1, -6)")], nodes=4, replicates=8)
    assert found.value == found.power == 1.0
    assert 0 < found.mcse < 0.1
    assert 0 < found.power_mcse < 0.1


@pytest.mark.parametrize(
    ("priors", "told"),
    [
        (["arms.coach.effects.pain.by_visit.m9=normal(0, 1)"], "no 'arms.coach.effects.pain.by_visit.m9'"),
        (["arms.coach.response_prob.m3=normal(0.9, 0.2)"], "is not possible: arms.coach.response_prob.m3 must be"),
        ([f"{EFFECT}=normal(0, 1)", f"{EFFECT}=uniform(0, 1)"], "has two priors"),
    ],
)
def test_priors_that_do_not_fit_the_design(priors: list[str], told: str) -> None:
    with pytest.raises(TrialsimError, match=told):
        assurance(quick(), [read_prior(text) for text in priors], nodes=8, replicates=2)


def test_fits_that_fail_are_told_with_the_values_of_the_prior() -> None:
    told = r"replicates with sample_size = \d+ have a fit that failed, .*Narrow the prior"
    with pytest.raises(TrialsimError, match=told):
        assurance(quick(), [read_prior("sample_size=uniform(2, 6)")], nodes=4, replicates=16)


def test_assurance_does_not_depend_on_workers() -> None:
    priors = [read_prior(f"{EFFECT}=normal(-1, 0.5)")]
    one, two = (assurance(quick(), priors, nodes=4, replicates=80, workers=n) for n in (1, 2))
    np.testing.assert_array_equal(one.node_power, two.node_power)
    assert (one.value, one.power) == (two.value, two.power)
