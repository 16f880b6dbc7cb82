"""Every inconsistency between the parts of a design is found, at its place, beside all the others."""

from __future__ import annotations

from typing import Any

import pytest
from designs import Data, busy_data, merged
from pydantic import ValidationError

from trialsim.design.checks import CrossCheckError, cholesky
from trialsim.design.parts import Design


def problems(data: Data) -> list[tuple[str, str, str]]:
    """(dotted path, rule, hint) of everything that the cross-checks find."""
    try:
        Design.model_validate(data)
    except ValidationError as error:
        causes = [e["ctx"]["error"] for e in error.errors() if "ctx" in e and "error" in e["ctx"]]
        (cross,) = (cause for cause in causes if isinstance(cause, CrossCheckError))
        return [(".".join(map(str, path)), rule, hint) for path, rule, hint in cross.problems]
    return []


FLAT = {"m3": 0.0, "m6": 0.0, "m12": 0.0}
CASES: list[tuple[Data, str, str]] = [
    ({"funnel": {"consented": {"prob": 1.0}}}, "funnel.consented.losses", "reasons are given but nobody is lost"),
    (
        {"funnel": {"eligible": {"criteria": {"other": {"excluded_prob": None}}}}},
        "funnel.eligible.criteria.other",
        "give either excluded_prob or measure",
    ),
    (
        {"funnel": {"eligible": {"criteria": {"other": {"at_least": 3.0}}}}},
        "funnel.eligible.criteria.other",
        "at_least, at_most and error_sd need a measure",
    ),
    (
        {"funnel": {"eligible": {"criteria": {"too little pain": {"measure": "pian"}}}}},
        "funnel.eligible.criteria.too little pain.measure",
        "there is no outcome 'pian'",
    ),
    (
        {"funnel": {"eligible": {"criteria": {"too little pain": {"at_least": None}}}}},
        "funnel.eligible.criteria.too little pain",
        "a measure needs at_least or at_most",
    ),
    (
        {"funnel": {"eligible": {"criteria": {"too little pain": {"at_most": 3.0}}}}},
        "funnel.eligible.criteria.too little pain",
        "at_least is above at_most",
    ),
    (
        {"recruitment": {"sites": {"north": {"opens": "2023-12-31"}}}},
        "recruitment.sites.north.opens",
        "a site opens before start_date",
    ),
    (
        {"recruitment": {"pauses": [{"starts": 5, "ends": 5}]}},
        "recruitment.pauses.0.ends",
        "a pause must end after it starts",
    ),
    (
        {"recruitment": {"rate_changes": [{"starts": 5, "factor": 2.0, "sites": ["nort"]}]}},
        "recruitment.rate_changes.0.sites",
        "there is no site 'nort'",
    ),
    (
        {"recruitment": {"sites": {"north": {"rate_per_month": 9e9}}}},
        "recruitment.sites",
        "people would be screened",
    ),
    ({"covariates": {"site": {"kind": "binary", "prob": 0.5}}}, "covariates.site", "a name with a meaning of its own"),
    ({"covariates": {"age": {"low": 95.0, "high": 18.0}}}, "covariates.age.low", "low must be below high"),
    ({"covariates": {"age": {"low": 200.0, "high": 300.0}}}, "covariates.age", "the limits leave almost nobody"),
    ({"outcomes": {"pain": {"low": 10.0, "high": 0.0}}}, "outcomes.pain.low", "low must be below high"),
    ({"outcomes": {"pain": {"items": 1000, "high": 100.0}}}, "outcomes.pain.items", "more than 30000 steps"),
    ({"outcomes": {"pain": {"low": 0.05}}}, "outcomes.pain.low", "must lie on the grid"),
    ({"outcomes": {"pain": {"course": {**FLAT, "m9": 0.0}}}}, "outcomes.pain.course.m9", "there is no visit 'm9'"),
    ({"outcomes": {"pain": {"covariates": {"sex": 0.1}}}}, "outcomes.pain.covariates.sex", "there is no covariate"),
    (
        {"outcomes": {"pain": {"correlation": {"mood": 0.5}}}},
        "outcomes.pain.correlation.mood",
        "there is no outcome declared earlier 'mood'",
    ),
    ({"visits": {"m3": {"opens": -91}}}, "visits.m3.opens", "opens on or before the day of randomization"),
    ({"visits": {"m3": {"reminders": [60]}}}, "visits.m3.reminders.0", "a reminder lies outside the visit's window"),
    ({"visits": {"m3": {"reminders": [14, 7]}}}, "visits.m3.reminders", "must be in increasing order"),
    ({"visits": {"m6": {"day": 80}}}, "visits.m6.day", "visits must be in order of time"),
    ({"visits": {"m6": {"opens": -60}}}, "visits.m6", "the window overlaps the window of 'm3'"),
    ({"arms": {"usual": {"start_prob": 0.5}}}, "arms.usual", "need a delivery with sessions"),
    (
        {"arms": {"usual": {"effects": {"pian": {"by_visit": FLAT}}}}},
        "arms.usual.effects.pian",
        "there is no outcome 'pian'",
    ),
    (
        {"arms": {"usual": {"effects": {"pain": {"by_visit": {"m3": 0.0}}}}}},
        "arms.usual.effects.pain.by_visit",
        "no value for visit m6, m12",
    ),
    (
        {"arms": {"coach": {"delivery": {"coaches": [{"joins": "2023-06-01"}]}}}},
        "arms.coach.delivery.coaches.0.joins",
        "a coach joins before start_date",
    ),
    (
        {"arms": {"coach": {"delivery": {"coaches": [{"joins": 50, "leaves": 50}]}}}},
        "arms.coach.delivery.coaches.0.leaves",
        "a coach must leave after joining",
    ),
    ({"allocation": {"ratio": {"sham": 1}}}, "allocation.ratio.sham", "there is no arm 'sham'"),
    ({"allocation": {"block_sizes": [5]}}, "allocation.block_sizes.0", "block size 5 does not fit the ratio"),
    ({"allocation": {"block_sizes": []}}, "allocation.block_sizes", "permuted blocks need block_sizes"),
    ({"allocation": {"kind": "simple"}}, "allocation.kind", "simple allocation has neither block_sizes nor strata"),
    ({"allocation": {"strata": ["femal"]}}, "allocation.strata.0", "there is no site or yes/no covariate 'femal'"),
    ({"allocation": {"strata": ["female", "female"]}}, "allocation.strata", "a stratification factor is named twice"),
    (
        {"allocation": {"strata": [{"outcome": "pian", "at_least": 7.0}]}},
        "allocation.strata.0.outcome",
        "there is no outcome 'pian'",
    ),
    ({"adherence": {"covariates": {"sex": 0.1}}}, "adherence.covariates.sex", "there is no covariate 'sex'"),
    ({"observation": {"baseline": {"pian": 0.1}}}, "observation.baseline.pian", "there is no outcome 'pian'"),
    ({"observation": {"current_value": {"x": 0.1}}}, "observation.current_value.x", "there is no outcome 'x'"),
]


@pytest.mark.parametrize(("change", "path", "rule"), CASES, ids=[f"{path}: {rule}" for _, path, rule in CASES])
def test_a_design_that_contradicts_itself(change: Data, path: str, rule: str) -> None:
    found = problems(merged(busy_data(), **change))
    assert any(p == path and rule in r for p, r, _ in found), found


def test_the_unchanged_design_has_no_problems() -> None:
    assert problems(busy_data()) == []


def test_analyses_name_only_what_there_is() -> None:
    plan: Data = {
        "kind": "linear",
        "outcome": "pian",
        "covariates": ["basline", "female", "female"],
        "contrasts": [["coach", "ussual"], ["usual", "usual"]],
    }
    found = {p: (r, h) for p, r, h in problems(merged(busy_data(), analyses={"main": plan}))}
    assert found["analyses.main.outcome"] == ("there is no outcome 'pian'", "Did you mean 'pain'?")
    assert found["analyses.main.covariates.0"][1] == "Did you mean 'baseline'?"
    assert found["analyses.main.covariates"][0] == "a covariate is named twice"
    assert found["analyses.main.contrasts.0"] == ("there is no arm 'ussual'", "Did you mean 'usual'?")
    assert found["analyses.main.contrasts.1"][0] == "an arm cannot be compared with itself"


def test_all_problems_are_told_at_once() -> None:
    data = merged(busy_data(), allocation={"block_sizes": [5]}, visits={"m6": {"opens": -60}})
    assert {path for path, _, _ in problems(data)} == {"allocation.block_sizes.0", "visits.m6"}


def test_correlations_that_contradict_each_other() -> None:
    outcomes = busy_data()["outcomes"]
    third: Data = {**outcomes["mood"], "correlation": {"pain": -0.9, "mood": 0.9}}
    data = merged(busy_data(), outcomes={"mood": {"correlation": {"pain": 0.9}}, "sleep": third})
    assert ("outcomes", "the correlations between outcomes contradict each other") in {p[:2] for p in problems(data)}


def test_too_many_strata() -> None:
    names = [f"x{k}" for k in range(16)]
    many: dict[str, Any] = {name: {"kind": "binary", "prob": 0.5} for name in names}
    data = merged(busy_data(), covariates=many, allocation={"strata": names})
    assert ("allocation.strata", "65536 strata are more than 32000", "Use fewer factors.") in problems(data)


def test_cholesky_factor_by_hand() -> None:
    assert cholesky([[1.0, 0.6], [0.6, 1.0]]) == [[1.0, 0.0], [0.6, pytest.approx(0.8)]]
    assert cholesky([[1.0, 1.0], [1.0, 1.0]]) is None
