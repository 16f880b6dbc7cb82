"""Estimates and the truth of their estimands meet where a method's assumptions hold, and part where they do not."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import ONE_VISIT, THREE_VISITS, WIDE, design, merged, online, score, usual
from helpers import Array, Z, run

from trialsim.analysis.estimates import Estimates
from trialsim.analysis.plan import analyse_block
from trialsim.design.parts import Design

N_REPLICATES = 160
Data = dict[str, Any]
ALWAYS = 1 - 1e-9
"""Everybody answers."""


def gaps(found: Estimates, analysis: str, *, contrast: str = "web - usual", measure: str = "") -> Array:
    """Estimate minus truth in every replicate that was fitted, at the last visit; the first measure unless named."""
    mine = [k for k, x in enumerate(found.labels) if (x.analysis, x.contrast) == (analysis, contrast)]
    last = found.labels[mine[-1]].visit
    place = next(k for k in mine if found.labels[k].visit == last and measure in (found.labels[k].measure, ""))
    sound = found.converged[:, place]
    assert sound.mean() > 0.95
    return np.asarray(found.estimate[sound, place] - found.truth[sound, place])


def unbiased(found: Estimates, analysis: str, **which: str) -> bool:
    """Whether the mean gap lies within Z Monte Carlo standard errors of 0."""
    gap = gaps(found, analysis, **which)
    return bool(abs(gap.mean()) <= Z * gap.std(ddof=1) / np.sqrt(len(gap)))


def world(analyses: Data, **parts: Any) -> Design:
    """Web modules of one day each against usual care, on a scale without bounds; outcomes fall by 2 for everybody."""
    effect = {"pain": {"by_visit": {"m3": -2.0}}}
    given = {
        "sample_size": 240,
        "outcomes": {"pain": score(**WIDE, sd=1.5, course={"m3": -2.0}, error_sd=0.5, change_sd=0.8)},
        "arms": {
            "web": online(sessions=6, pace={"days": 1}, arm={"effects": effect, "response_prob": {"m3": ALWAYS}}),
            "usual": usual(response_prob={"m3": ALWAYS}),
        },
        "visits": ONE_VISIT,
        "analyses": {name: {"outcome": "pain", **one} for name, one in analyses.items()},
    }
    return design(**merged(given, **parts))


@cache
def simulated(name: str) -> Estimates:
    return analyse_block(run(WORLDS[name](), n=N_REPLICATES, seed=7))


# --- stopping at random, or not ---------------------------------------------------------------------------------------

STOPPING = {
    "policy": {"kind": "linear", "covariates": ["baseline"]},
    "hypothetical": {"kind": "linear", "covariates": ["baseline"], "estimand": "hypothetical"},
    "protocol": {"kind": "ancova", "covariates": ["baseline"], "estimand": "per_protocol"},
    "three_sessions": {"kind": "ancova", "estimand": "per_protocol", "adherent": 3},
    "on_treatment": {"kind": "t_test", "estimand": "while_on_treatment"},
}
STOPS = {"arms": {"web": {"start_prob": 0.8, "stop_prob": 0.12}}}
MOTIVES = {
    "outcomes": {"pain": {"motivation": -1.0}},
    "adherence": {"motivation_on_start": 0.8, "motivation_on_stop": 0.8},
}


def stopping_at_random() -> Design:
    return world(STOPPING, **STOPS)


def stopping_by_motivation() -> Design:
    return world(STOPPING, **STOPS, **MOTIVES)


@pytest.mark.parametrize("analysis", STOPPING)
def test_where_stopping_is_at_random_every_estimand_is_met(analysis: str) -> None:
    assert unbiased(simulated("stopping at random"), analysis)


def test_estimands_differ_from_each_other() -> None:
    """Otherwise one truth would do for all."""
    found = simulated("stopping at random")
    places = [k for k, x in enumerate(found.labels) if x.contrast == "web - usual"]
    truths = dict(zip([found.labels[k].analysis for k in places], found.truth[:, places].mean(axis=0), strict=True))
    assert truths["hypothetical"] == pytest.approx(-2.0, abs=0.01)
    assert truths["hypothetical"] < truths["three_sessions"] < truths["policy"] - 0.3
    assert truths["protocol"] == pytest.approx(-2.0, abs=0.01)
    assert truths["policy"] < truths["on_treatment"] - 0.1 or truths["on_treatment"] < truths["policy"] - 0.1


@pytest.mark.parametrize("analysis", ["policy", "on_treatment"])
def test_what_does_not_select_participants_is_met_whatever_moves_them(analysis: str) -> None:
    assert unbiased(simulated("stopping by motivation"), analysis)


@pytest.mark.parametrize("analysis", ["hypothetical", "protocol", "three_sessions"])
def test_where_the_motivated_go_on_and_fare_better_selection_is_biased(analysis: str) -> None:
    found = simulated("stopping by motivation")
    assert not unbiased(found, analysis)
    assert gaps(found, analysis).mean() < 0  # in favour of treatment


# --- visits before and after stopping ---------------------------------------------------------------------------------


def stopping_between_visits() -> Design:
    """A session every six weeks, so that many stop after the first visit; whoever goes on has had all by the last."""
    effect = {"pain": {"by_visit": dict.fromkeys(THREE_VISITS, -2.0)}}
    imputed = {"kind": "imputation", "imputations": 4}
    analyses = {
        "mmrm": {"kind": "mmrm", "covariates": ["baseline"], "estimand": "hypothetical", "df": "satterthwaite"},
        "imputed": {"kind": "ancova", "covariates": ["baseline"], "estimand": "hypothetical", "missing": imputed},
        "chained": {
            "kind": "ancova", "covariates": ["baseline"], "estimand": "hypothetical",
            "missing": {**imputed, "model": "chained"},
        },
        "policy": {"kind": "linear", "covariates": ["baseline"]},
    }  # fmt: skip
    return design(
        sample_size=200,
        visits=THREE_VISITS,
        outcomes={"pain": score(**WIDE, course=dict.fromkeys(THREE_VISITS, -1.0))},
        arms={
            "web": online(
                sessions=8,
                pace={"days": 42},
                arm={"effects": effect, "stop_prob": 0.12, "response_prob": dict.fromkeys(THREE_VISITS, 0.9)},
            ),
            "usual": usual(response_prob=dict.fromkeys(THREE_VISITS, 0.9)),
        },
        analyses={name: {"outcome": "pain", **one} for name, one in analyses.items()},
    )


@pytest.mark.slow
@pytest.mark.parametrize("analysis", ["mmrm", "imputed", "chained", "policy"])
def test_hypothetical_course_from_what_came_before_stopping(analysis: str) -> None:
    found = simulated("stopping between visits")
    assert unbiased(found, analysis)


@pytest.mark.slow
def test_the_policy_is_not_the_hypothetical() -> None:
    """The check above fails where the truth is that of another estimand."""
    found = simulated("stopping between visits")
    truths = {
        name: np.array(
            [found.truth[:, k] for k, x in enumerate(found.labels) if x.analysis == name and " - " in x.contrast]
        )
        for name in ("policy", "mmrm")
    }
    gap = gaps(found, "policy") + (truths["policy"] - truths["mmrm"])[-1]
    assert abs(gap.mean()) > Z * gap.std(ddof=1) / np.sqrt(len(gap))


# --- composite --------------------------------------------------------------------------------------------------------


def composite(*, mcar: float) -> Design:
    """Responses on the ordinary scale; some stop, who are no responders."""
    analyses = {
        "composite": {"kind": "logistic", "estimand": "composite"},
        "policy": {"kind": "logistic"},
        "poisson": {"kind": "modified_poisson", "covariates": ["baseline"]},
        "on_treatment": {"kind": "t_test", "estimand": "while_on_treatment"},
    }
    return world(
        analyses,
        outcomes={"pain": {"low": 0.0, "high": 10.0, "mean": 6.0}},
        observation={"dials": {"mcar": mcar}},
        **STOPS,
    )


@pytest.mark.parametrize("analysis", ["composite", "policy"])
def test_composites_and_responses_are_met(analysis: str) -> None:
    assert unbiased(simulated("composite"), analysis, measure="risk difference")
    for arm in ("web", "usual"):
        assert unbiased(simulated("composite"), analysis, contrast=arm)


def test_answers_lost_at_random_bias_what_is_known_of_those_who_stopped() -> None:
    """They are known whether they answer or not, so they weigh too much among those known; plain responses do not."""
    found = simulated("composite, answers lost")
    assert unbiased(found, "policy", measure="risk difference")
    assert unbiased(found, "poisson", measure="risk difference")
    assert not unbiased(found, "composite", contrast="web")
    assert not unbiased(found, "on_treatment", contrast="web")
    assert gaps(found, "composite", contrast="web").mean() < 0


# --- compliers --------------------------------------------------------------------------------------------------------

COMPLIERS = {
    "two_stage": {"kind": "complier", "covariates": ["baseline"]},
    "ratio": {"kind": "complier", "method": "ratio"},
    "response": {"kind": "complier", "method": "ratio", "endpoint": "response"},
    "as_protocol": {"kind": "ancova", "covariates": ["baseline"], "estimand": "per_protocol", "adherent": 1},
    "policy": {"kind": "ancova", "covariates": ["baseline"]},
}
NARROW: Data = {"low": 0.0, "high": 10.0, "mean": 6.0}


def one_session() -> Design:
    """All of the effect comes with the one session; the motivated attend it and fare better in any case."""
    web = {"delivery": {"modules": ["all of it"]}, "start_prob": 0.6}
    outcomes = {"pain": {**NARROW, "motivation": -0.8}}
    return world(COMPLIERS, arms={"web": web}, outcomes=outcomes, adherence=MOTIVES["adherence"])


def partial_doses() -> Design:
    """Who attends fewer than all sessions does not count as a complier, but has a part of the effect."""
    analyses = {name: {**one, "adherent": 6} for name, one in COMPLIERS.items() if name != "policy"}
    web = {"start_prob": 0.9, "stop_prob": 0.15, "dose_scale": 1.0}
    return world(analyses, arms={"web": web}, outcomes={"pain": NARROW})


@pytest.mark.parametrize("analysis", ["two_stage", "ratio", "response"])
def test_complier_effects_are_met_where_the_arm_works_by_attendance_alone(analysis: str) -> None:
    assert unbiased(simulated("one session"), analysis)


def test_who_attended_against_everybody_is_not_the_complier_effect() -> None:
    found = simulated("one session")
    assert not unbiased(found, "as_protocol")
    assert unbiased(found, "policy")


@pytest.mark.parametrize("analysis", ["two_stage", "ratio", "response"])
def test_complier_effects_are_too_large_where_partial_doses_work(analysis: str) -> None:
    """The exclusion restriction is broken."""
    found = simulated("partial doses")
    assert not unbiased(found, analysis)
    gap = gaps(found, analysis).mean()
    assert gap > 0 if analysis == "response" else gap < 0


@pytest.mark.parametrize("analysis", ["two_stage", "ratio", "response"])
def test_standard_errors_of_complier_effects_are_right(analysis: str) -> None:
    """Root mean square of the standard errors against the standard deviation of the estimates."""
    found = simulated("one session")
    place = next(k for k, x in enumerate(found.labels) if (x.analysis, x.contrast) == (analysis, "web - usual"))
    empirical = found.estimate[:, place].std(ddof=1)
    model = np.sqrt((found.std_error[:, place] ** 2).mean())
    error = 1 / np.sqrt(2 * (N_REPLICATES - 1))
    assert abs(model / empirical - 1) < Z * error
    assert abs(model / 2 / empirical - 1) > Z * error  # a standard error half as large would be found out


# --- jump to reference ------------------------------------------------------------------------------------------------


def who_never_starts_is_like_usual_care() -> Design:
    """Non-starters have no effect and seldom answer: after stopping, the reference arm is what they are like."""
    x: Data = {"covariates": ["baseline"]}
    copies = {"imputations": 4, "covariates": ["baseline"]}
    analyses = {
        "jump": {"kind": "ancova", **x, "missing": {"kind": "reference", "reference": "usual", **copies}},
        "own_arm": {"kind": "ancova", **x, "missing": {"kind": "imputation", **copies}},
        "answered": {"kind": "linear", **x},
    }
    web = {"delivery": {"modules": ["all of it"]}, "start_prob": 0.6, "response_prob": {"m3": 0.4}}
    return world(analyses, arms={"web": web, "usual": {"response_prob": {"m3": 0.9}}}, observation={"attendance": 1.5})


@pytest.mark.slow
def test_jump_to_reference_is_right_where_those_who_stop_are_like_the_reference() -> None:
    found = simulated("never started")
    assert unbiased(found, "jump")
    for analysis in ("own_arm", "answered"):
        assert not unbiased(found, analysis)
        assert gaps(found, analysis).mean() < 0  # non-starters are taken for starters


WORLDS: dict[str, Any] = {
    "stopping at random": stopping_at_random,
    "stopping by motivation": stopping_by_motivation,
    "stopping between visits": stopping_between_visits,
    "composite": lambda: composite(mcar=0.0),
    "composite, answers lost": lambda: composite(mcar=0.4),
    "one session": one_session,
    "partial doses": partial_doses,
    "never started": who_never_starts_is_like_usual_care,
}
