"""Every inconsistency between the parts of a design is found, at its place, beside all the others."""

from __future__ import annotations

from typing import Any

import pytest
from designs import Data, busy_data, coached, grouped, merged, online, plain_data, score, usual
from pydantic import ValidationError

from trialsim.design.checks import CrossCheckError
from trialsim.design.outcome_checks import cholesky
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
        "there is no score 'pian'",
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
    ({"allocation": {"strata": ["femal"]}}, "allocation.strata.0", "there is no site or yes/no covariate 'femal'"),
    ({"allocation": {"strata": ["female", "female"]}}, "allocation.strata", "a stratification factor is named twice"),
    (
        {"allocation": {"strata": [{"outcome": "pian", "at_least": 7.0}]}},
        "allocation.strata.0.outcome",
        "there is no outcome with a baseline value 'pian'",
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


# --- analyses, one rule after the other -------------------------------------------------------------------------------

IMPUTED = {"kind": "imputation"}
BY_PATTERN = {"kind": "pattern_mixture"}
BY_REFERENCE = {"kind": "reference", "reference": "usual"}
WEIGHTED = {"kind": "weights"}
RULES: list[tuple[Data, str, str, str, Data]] = [
    # an analysis with a fault; where; the rule; the hint; keys that make it right
    ({"kind": "linear", "outcome": "pian"}, "outcome", "there is no outcome 'pian'", "Did you mean 'pain'?", {"outcome": "pain"}),
    ({"kind": "linear", "visits": ["m3", "m9"]}, "visits.1", "there is no visit 'm9'", "Known: m3, m6, m12.", {"visits": ["m3", "m6"]}),
    ({"kind": "linear", "visits": ["m3", "m3"]}, "visits", "a visit is named twice", "", {"visits": ["m3"]}),
    ({"kind": "mmrm", "covariates": ["agee"]}, "covariates.0", "there is no covariate 'agee'", "Did you mean 'age'?", {"covariates": ["age"]}),
    (
        {"kind": "linear", "missing": {**WEIGHTED, "covariates": ["baseline", "sex"]}},
        "missing.covariates.1", "there is no covariate 'sex'", "Known: baseline, site, female, age, conditions.",
        {"missing": {**WEIGHTED, "covariates": ["baseline", "site"]}},
    ),
    (
        {"kind": "linear", "missing": {**BY_PATTERN, "response_covariates": ["age", "age"]}},
        "missing.response_covariates", "a covariate is named twice", "",
        {"missing": {**BY_PATTERN, "response_covariates": ["age"]}},
    ),
    (
        {"kind": "ancova", "contrasts": [["coach", "ussual"]]},
        "contrasts.0", "there is no arm 'ussual'", "Did you mean 'usual'?", {"contrasts": [["coach", "usual"]]},
    ),
    (
        {"kind": "ancova", "contrasts": [["web", "web"]]},
        "contrasts.0", "an arm cannot be compared with itself", "", {"contrasts": [["web", "coach"]]},
    ),
    (
        {"kind": "ancova", "contrasts": [["coach", "usual"], ["coach", "usual"]]},
        "contrasts", "a contrast is named twice", "", {"contrasts": [["coach", "usual"], ["usual", "coach"]]},
    ),
    (
        {"kind": "ancova", "multiplicity": "dunnett"},
        "multiplicity", "Dunnett's test needs contrasts with one common second arm",
        "Name contrasts such as [[coach, usual], [online, usual]].", {"contrasts": [["coach", "usual"], ["web", "usual"]]},
    ),
    (
        {"kind": "ancova", "multiplicity": "dunnett_step_down", "contrasts": [["coach", "usual"], ["coach", "web"]]},
        "multiplicity", "Dunnett's test needs contrasts with one common second arm",
        "Name contrasts such as [[coach, usual], [online, usual]].", {"contrasts": [["web", "coach"], ["usual", "coach"]]},
    ),
    # hypotheses
    (
        {"kind": "linear", "margin": 0.5, "multiplicity": "none"},
        "margin", "a margin goes with non_inferiority or equivalence, and they with a margin", "",
        {"hypothesis": "equivalence"},
    ),
    (
        {"kind": "linear", "hypothesis": "non_inferiority", "multiplicity": "none"},
        "margin", "a margin goes with non_inferiority or equivalence, and they with a margin", "", {"margin": 0.5},
    ),
    (
        {"kind": "proportions", "margin_measure": "mean difference"},
        "margin_measure", "proportions has no measure 'mean difference'",
        "It has: risk difference, risk ratio, odds ratio.", {"margin_measure": "odds ratio"},
    ),
    (
        {"kind": "modified_poisson", "hypothesis": "equivalence", "margin": 1.0, "multiplicity": "none"},
        "margin", "the margin of a risk ratio must be above 1", "For example 1.25.", {"margin": 1.1},
    ),
    (
        {"kind": "logistic", "hypothesis": "equivalence", "margin": 0.1, "multiplicity": "none"},
        "margin", "the margin of a risk ratio must be above 1", "For example 1.25.",
        {"margin_measure": "risk difference"},
    ),
    *(
        (
            {"kind": "linear", "hypothesis": "equivalence", "margin": 0.5, "multiplicity": rule},
            "multiplicity", f"{rule} is made for tests of superiority", "Use none, bonferroni or holm, or a decision.",
            {"multiplicity": good},
        )
        for rule, good in (("lsd", "none"), ("hochberg", "holm"), ("hommel", "bonferroni"))
    ),
    # estimands
    *(
        (
            {"kind": kind, "estimand": "hypothetical"},
            "estimand", f"{kind} has the estimand treatment_policy only", "", {"estimand": "treatment_policy"},
        )
        for kind in ("log_rank", "cox", "rmst", "counts", "complier")
    ),
    (
        {"kind": "gee", "estimand": "composite"},
        "estimand", "a composite needs an analysis of response", "Use logistic, for example.", {"endpoint": "response"},
    ),
    (
        {"kind": "linear", "adherent": 4},
        "adherent", "adherent goes with the estimand per_protocol, or with complier", "", {"estimand": "per_protocol"},
    ),
    ({"kind": "complier", "adherent": 9}, "adherent", "no arm has 9 sessions (at most 8)", "", {"adherent": 8}),
    # missing data
    (
        {"kind": "mmrm", "missing": WEIGHTED},
        "missing", "mmrm does not go with missing data by weights", "Goes with: modified_poisson, linear, ancova, logistic, gee.",
        {"kind": "linear"},
    ),
    (
        {"kind": "cox", "missing": IMPUTED},
        "missing", "cox does not go with missing data by imputation", "Goes with: modified_poisson, linear, t_test, ancova, "
        "logistic, log_binomial, gee, mmrm, mixed, cluster_robust, cluster_means.", {"kind": "mmrm"},
    ),
    (
        {"kind": "chi_squared", "missing": BY_REFERENCE},
        "missing", "chi_squared does not go with missing data by reference", "Goes with: modified_poisson, linear, t_test, "
        "ancova, logistic, log_binomial, gee, mmrm, mixed, cluster_robust, cluster_means.", {"kind": "logistic"},
    ),
    (
        {"kind": "ancova", "missing": BY_PATTERN, "variance": "hc0"},
        "missing", "ancova does not go with missing data by pattern_mixture", "Goes with: modified_poisson, linear.",
        {"missing": WEIGHTED},
    ),
    *(
        (
            {"kind": kind, "missing": WEIGHTED},
            "missing", "weights need a robust variance", "Set the analysis's variance to hc0 or robust.", {"variance": good},
        )
        for kind, good in (("ancova", "hc3"), ("logistic", "robust"))
    ),
    (
        {"kind": "gee", "missing": WEIGHTED},
        "missing", "weights need the working correlation independence", "", {"working": "independence"},
    ),
    (
        {"kind": "mmrm", "missing": {**BY_REFERENCE, "reference": "sham"}},
        "missing.reference", "there is no arm 'sham'", "Known: coach, web, usual.", {"missing": BY_REFERENCE},
    ),
    *(
        (
            {"kind": "linear", "estimand": estimand, "missing": missing},
            "missing", f"imputation does not go with the estimand {estimand}", "", {"estimand": "treatment_policy"},
        )
        for estimand, missing in (("per_protocol", IMPUTED), ("while_on_treatment", BY_REFERENCE), ("per_protocol", BY_PATTERN))
    ),
    (
        {"kind": "mmrm", "missing": {**IMPUTED, "delta": {"coach": 0.5, "app": 0.5}}},
        "missing.delta.app", "there is no arm 'app'", "Known: coach, web, usual.",
        {"missing": {**IMPUTED, "delta": {"coach": 0.5, "web": 0.5}}},
    ),
    # clusters
    (
        {"kind": "mixed", "nested_arms": ["coch"]},
        "nested_arms.0", "there is no arm 'coch'", "Did you mean 'coach'?", {"nested_arms": ["coach"]},
    ),
    (
        {"kind": "mixed", "cluster": "site", "heteroscedastic": True},
        "heteroscedastic", "everybody has a site, so there is only one residual variance", "", {"nested_arms": ["coach"]},
    ),
    # compliers, times and counts
    (
        {"kind": "complier", "contrasts": [["usual", "coach"]]},
        "contrasts.0", "the first arm must have sessions to comply with, the second none", "",
        {"contrasts": [["coach", "usual"]]},
    ),
    (
        {"kind": "complier", "contrasts": [["coach", "web"]]},
        "contrasts.0", "the first arm must have sessions to comply with, the second none", "",
        {"contrasts": [["web", "usual"]]},
    ),
    (
        {"kind": "complier", "method": "ratio", "covariates": ["age"]},
        "covariates", "the ratio estimator has no covariates", "Use method: two_stage.", {"method": "two_stage"},
    ),
    *(
        (
            {"kind": kind, "visits": ["m12"]},
            "visits", "a time to an event belongs to all visits together", "Leave visits out.", {"visits": []},
        )
        for kind in ("log_rank", "cox", "rmst")
    ),
    (
        {"kind": "counts", "endpoint": "events"},
        "endpoint", "pain is no number of events but of kind score",
        "Use endpoint: response_visits, or log_rank, cox or rmst for a time to an event.",
        {"endpoint": "response_visits", "visits": ["m12"]},
    ),
    (
        {"kind": "counts", "endpoint": "sessions"},
        "endpoint", "an arm without sessions has none to count",
        "Compare response_visits, or drop arms without sessions.", {"endpoint": "response_visits"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("faulty", "path", "rule", "hint", "right"), RULES, ids=[f"{keys['kind']}: {rule}" for keys, _, rule, _, _ in RULES]
)
def test_a_rule_of_analyses_and_its_valid_neighbour(faulty: Data, path: str, rule: str, hint: str, right: Data) -> None:
    main: Data = {"outcome": "pain", **faulty}
    assert problems(merged(busy_data(), analyses={"main": main})) == [(f"analyses.main.{path}", rule, hint)]
    assert problems(merged(busy_data(), analyses={"main": {**main, **right}})) == []


WITHOUT_SESSIONS: Data = {"usual": usual(), "sham": usual()}
WITHOUT_COACHES: Data = {"web": online(), "usual": usual()}


@pytest.mark.parametrize(
    ("arms", "analysis", "path", "rule", "hint"),
    [
        (
            WITHOUT_SESSIONS, {"kind": "mmrm", "missing": BY_REFERENCE},
            "analyses.main.missing", "no arm has sessions to stop", "Use kind: imputation.",
        ),
        (
            WITHOUT_SESSIONS, {"kind": "complier"},
            "analyses.main", "no arm has sessions to comply with, or none is without", "",
        ),
        (
            {"web": online(), "coach": coached()}, {"kind": "complier"},
            "analyses.main", "no arm has sessions to comply with, or none is without", "",
        ),
        *(
            (WITHOUT_COACHES, {"kind": kind}, "analyses.main.cluster", "no arm has coaches", "Use cluster: site.")
            for kind in ("mixed", "cluster_robust", "cluster_means")
        ),
    ],
)  # fmt: skip
def test_a_rule_about_what_the_arms_have(arms: Data, analysis: Data, path: str, rule: str, hint: str) -> None:
    main = {"outcome": "pain", **analysis}
    assert problems(plain_data(arms=arms, analyses={"main": main})) == [(path, rule, hint)]
    assert problems(plain_data(arms={"coach": coached(), "usual": usual()}, analyses={"main": main})) == []


def test_sessions_are_counted_where_every_arm_has_some() -> None:
    counts = {"main": {"kind": "counts", "outcome": "pain", "endpoint": "sessions"}}
    assert problems(plain_data(arms={"web": online(), "coach": coached()}, analyses=counts)) == []


# --- outcomes of every kind, clusters and groups ----------------------------------------------------------------------

MONTHLY: Data = {"m3": 0.05}
KINDS_DATA: Data = {
    "outcomes": {
        "pain": score(),
        "work": {"kind": "binary", "prob": 0.4},
        "visits": {"kind": "count", "rate_per_year": 1.5},
        "back": {"kind": "event", "hazard": MONTHLY},
    },
    "covariates": {"age": {"kind": "normal", "mean": 50.0, "sd": 10.0}},
}
NO_BASELINE = "back has no baseline value"
LEAVE_OUT = "Leave baseline out, as in covariates: []."
OF_KINDS: list[tuple[Data, str, str, str, Data]] = [
    # an analysis with a fault; where; the rule; the hint; keys that make it right
    (
        {"kind": "linear", "outcome": "back"},
        "endpoint", NO_BASELINE, "Use endpoint: response, or kind: log_rank, cox or rmst.", {"endpoint": "response"},
    ),
    (
        {"kind": "linear", "outcome": "back"},
        "endpoint", NO_BASELINE, "Use endpoint: response, or kind: log_rank, cox or rmst.", {"endpoint": "value"},
    ),
    (
        {"kind": "logistic", "outcome": "back", "covariates": ["age", "baseline"]},
        "covariates", NO_BASELINE, LEAVE_OUT, {"covariates": ["age"]},
    ),
    (
        {"kind": "cox", "outcome": "back", "covariates": ["baseline"]},
        "covariates", NO_BASELINE, LEAVE_OUT, {"outcome": "work"},
    ),
    (
        {"kind": "modified_poisson", "outcome": "back", "missing": WEIGHTED},
        "missing.covariates", NO_BASELINE, LEAVE_OUT, {"missing": {**WEIGHTED, "covariates": []}},
    ),
    (
        {"kind": "logistic", "outcome": "back", "estimand": "while_on_treatment"},
        "estimand", NO_BASELINE, "It would stand for those who stop before the first visit.", {"estimand": "composite"},
    ),
    (
        {"kind": "counts", "outcome": "back", "endpoint": "events"},
        "endpoint", "back is no number of events but of kind event",
        "Use endpoint: response_visits, or log_rank, cox or rmst for a time to an event.", {"outcome": "visits"},
    ),
    *(
        (
            {"kind": "linear", "outcome": outcome, "missing": missing},
            "missing", f"{missing['kind']} puts normal values in place of missing ones; {outcome} is no score",
            "Use kind: weights, available or complete_cases.", {"outcome": "pain"},
        )
        for outcome, missing in (("work", IMPUTED), ("visits", BY_REFERENCE), ("work", BY_PATTERN))
    ),
    (
        {"kind": "counts", "outcome": "visits", "endpoint": "events", "margin": 0.9, "hypothesis": "equivalence"},
        "margin", "the margin of a rate ratio must be above 1", "For example 1.25.", {"margin": 1.2},
    ),
    (
        {"kind": "t_test", "outcome": "work", "endpoint": "response", "margin_measure": "mean difference"},
        "margin_measure", "t_test has no measure 'mean difference'", "It has: risk difference.",
        {"endpoint": "value"},
    ),
    (
        {"kind": "linear", "outcome": "work", "cluster": "cluster"},
        "cluster", "no clusters are randomized", "Use cluster: site.", {"cluster": "coach"},
    ),
    (
        {"kind": "gee", "outcome": "work", "cluster": "group"},
        "cluster", "no arm is delivered in groups", "Use cluster: site.", {"cluster": "site"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("faulty", "path", "rule", "hint", "right"),
    OF_KINDS,
    ids=[f"{keys['kind']}: {rule}" for keys, _, rule, _, _ in OF_KINDS],
)
def test_a_rule_about_kinds_of_outcomes(faulty: Data, path: str, rule: str, hint: str, right: Data) -> None:
    main = {"multiplicity": "none", **faulty}
    assert problems(plain_data(**KINDS_DATA, analyses={"main": main})) == [(f"analyses.main.{path}", rule, hint)]
    assert problems(plain_data(**KINDS_DATA, analyses={"main": {**main, **right}})) == []


def test_clusters_and_groups_are_there_where_the_design_has_them() -> None:
    delivery = {"kind": "group", "modules": ["a"], "size": 6, "facilitators": 1}
    plan = {
        f"{kind}_{cluster}": {"kind": kind, "outcome": "pain", "cluster": cluster}
        for kind in ("modified_poisson", "linear", "gee", "mixed", "cluster_robust", "cluster_means")
        for cluster in ("coach", "group", "site", "cluster")
    }
    whole = plain_data(
        arms={"group": {"delivery": delivery}, "usual": usual()}, clusters={"per_site": 8},
        allocation={"kind": "clusters", "ratio": {"group": 1, "usual": 1}}, analyses=plan,
    )  # fmt: skip
    assert problems(whole) == []


def test_an_unknown_arm_in_a_contrast_of_compliers_is_one_fault() -> None:
    main = {"kind": "complier", "outcome": "pain", "contrasts": [["coach", "ussual"]]}
    found = problems(merged(busy_data(), analyses={"main": main}))
    assert found == [("analyses.main.contrasts.0", "there is no arm 'ussual'", "Did you mean 'usual'?")]


@pytest.mark.parametrize(
    ("dials", "path", "rule", "hint"),
    [
        ({"outcome": "moood"}, "outcome", "there is no outcome 'moood'", "Did you mean 'mood'?"),
        ({"arms": ["coach", "webb"]}, "arms.1", "there is no arm 'webb'", "Did you mean 'web'?"),
    ],
)
def test_dials_name_only_what_there_is(dials: Data, path: str, rule: str, hint: str) -> None:
    assert problems(merged(busy_data(), observation={"dials": dials})) == [(f"observation.dials.{path}", rule, hint)]
    assert problems(merged(busy_data(), observation={"dials": {"outcome": "mood", "arms": ["coach", "web"]}})) == []


# --- decisions --------------------------------------------------------------------------------------------------------

PLAN: Data = {
    "main": {"kind": "linear", "outcome": "pain"},
    "late": {"kind": "ancova", "outcome": "pain", "visits": ["m12"], "contrasts": [["coach", "usual"], ["web", "usual"]]},
    "close": {
        "kind": "linear", "outcome": "pain", "hypothesis": "non_inferiority", "margin": 0.5, "multiplicity": "none",
        "contrasts": [["web", "coach"]],
    },
    "first": {"kind": "log_rank", "outcome": "pain"},
    "compliers": {"kind": "complier", "outcome": "pain"},
}  # fmt: skip
THREE = {"h1": "coach beats usual", "h2": "web beats usual", "h3": "coach beats web"}
NAMES = "Hypotheses: h1, h2, h3."


def decided(**keys: Any) -> list[tuple[str, str, str]]:
    """Problems of a decision of three hypotheses; paths below the decision."""
    decision = {"analysis": "main", "hypotheses": THREE, **keys}
    found = problems(merged(busy_data(), analyses=PLAN, decisions={"primary": decision}))
    assert all(path.startswith("decisions.primary.") for path, _, _ in found), found
    return [(path.removeprefix("decisions.primary."), rule, hint) for path, rule, hint in found]


def graph(weights: Data, transitions: Data) -> Data:
    return {"procedure": {"kind": "graphical", "weights": weights, "transitions": transitions}}


def gates(families: list[list[str]], **keys: Any) -> Data:
    return {"procedure": {"kind": "parallel_gatekeeping", "families": families, **keys}}


DUNNETT = "Dunnett's test needs hypotheses of superiority over one arm at one visit of one analysis"
ONE_FAMILY = "every hypothesis must be in exactly one family"
TRUNCATION = "parallel gatekeeping has one truncation for each family, serial none"
DECISION_RULES: list[tuple[Data, str, str, str, Data]] = [
    # a decision with a fault; where; the rule; the hint; keys that make it right
    ({"analysis": "mian"}, "analysis", "there is no analysis 'mian'", "Did you mean 'main'?", {"analysis": "main"}),
    ({"visit": "m9"}, "visit", "there is no visit 'm9'", "Known: m3, m6, m12.", {"visit": "m6"}),
    (
        {"hypotheses": {"h1": "coach beets usual"}},
        "hypotheses", "'coach beets usual' is not a statement", "In: coach beets usual. Write '<arm> beats <arm>', '<arm> is "
        "non-inferior to <arm>' or '<arm> is equivalent to <arm>'", {"hypotheses": {"h1": "coach beats usual"}},
    ),
    (
        {"hypotheses": {"h1": "coach beats usual and web beats usual"}},
        "hypotheses", "a hypothesis is one statement",
        "In: coach beats usual and web beats usual. Combine hypotheses in `success`.",
        {"success": "coach beats usual and web beats usual", "hypotheses": THREE},
    ),
    (
        {"hypotheses": {"h1": "coach beats web at m12 in late"}},
        "hypotheses.h1", "late has no contrast of coach and web", "Add it to its contrasts.",
        {"hypotheses": {"h1": "coach beats usual at m12 in late"}},
    ),
    (
        {"hypotheses": {"h1": "web beats coach in close"}},
        "hypotheses.h1", "close tests non-inferiority, the words say something else", "",
        {"hypotheses": {"h1": "web is non-inferior to coach in close"}},
    ),
    (
        {"hypotheses": {"h1": "coach is equivalent to usual"}},
        "hypotheses.h1", "main tests superiority, the words say something else", "",
        {"hypotheses": {"h1": "coach is superior to usual"}},
    ),
    (
        {"hypotheses": {"h1": "coach is not inferior to web in close"}},
        "hypotheses.h1", "the arms must stand in the order of the analysis's contrast", "",
        {"hypotheses": {"h1": "web is not inferior to coach in close"}},
    ),
    (
        {"hypotheses": {"h1": "usual beats coach at m3 in late"}},
        "hypotheses.h1", "late does not report visit m3", "It reports m12.",
        {"hypotheses": {"h1": "usual beats coach at m12 in late"}},
    ),
    (
        {"analysis": "first", "hypotheses": {"h1": "coach beats usual at m3"}},
        "hypotheses.h1", "first does not report visit m3", "It reports m12.",
        {"hypotheses": {"h1": "coach beats usual"}},
    ),
    (
        {"success": "h1 andd h2"}, "success", "'h1 andd h2' is not a statement",
        "In: h1 andd h2. Write '<arm> beats <arm>', '<arm> is non-inferior to <arm>' or '<arm> is equivalent to <arm>', or a "
        "hypothesis. Known: 'h1', 'h2', 'h3'.", {"success": "h1 and h2"},
    ),
    (
        {"success": "coach beats usual at m6"}, "success", "no hypothesis says 'coach beats usual at m6'",
        "Hypotheses: h1: coach - usual at m3 in main; h2: web - usual at m3 in main; h3: coach - web at m3 in main.",
        {"success": "usual beats coach at m3"},
    ),
    # procedures
    (
        {"procedure": {"kind": "fallback", "weights": {"h1": 0.5, "h5": 0.5}}},
        "procedure.weights.h5", "there is no hypothesis 'h5'", "Known: h1, h2, h3.",
        {"procedure": {"kind": "fallback", "weights": {"h1": 0.5, "h3": 0.5}}},
    ),
    (
        {"procedure": {"kind": "fallback", "weights": {"h1": 0.6, "h2": 0.5}}},
        "procedure.weights", "weights add up to more than 1", "",
        {"procedure": {"kind": "fallback", "weights": {"h1": 0.6, "h2": 0.4}}},
    ),
    *(
        (
            {"procedure": {"kind": kind, "weights": {"h1": 0.5, "h2": 0.5}}},
            "procedure.weights", "every hypothesis needs a weight", NAMES,
            {"procedure": {"kind": kind, "weights": {"h1": 0.5, "h2": 0.25, "h3": 0.25}}},
        )
        for kind in ("weighted_bonferroni", "weighted_holm")
    ),
    (
        graph({"h1": 1.0}, {"h4": {"h1": 1.0}}),
        "procedure.transitions.h4", "there is no hypothesis 'h4'", "Known: h1, h2, h3.",
        graph({"h1": 1.0}, {"h3": {"h1": 1.0}}),
    ),
    (
        graph({"h1": 1.0}, {"h1": {"h4": 1.0}}),
        "procedure.transitions.h1.h4", "there is no hypothesis 'h4'", "Known: h1, h2, h3.",
        graph({"h1": 1.0}, {"h1": {"h2": 1.0}}),
    ),
    (
        graph({"h1": 1.0}, {"h1": {"h2": 0.7, "h3": 0.7}}),
        "procedure.transitions.h1", "transitions from a hypothesis add up to more than 1", "",
        graph({"h1": 1.0}, {"h1": {"h2": 0.7, "h3": 0.3}}),
    ),
    (
        graph({"h1": 1.0}, {"h1": {"h1": 0.5}}),
        "procedure.transitions.h1", "alpha cannot move from a hypothesis to itself", "",
        graph({"h1": 1.0}, {"h1": {"h1": 0.0, "h2": 0.5}}),
    ),
    (gates([["h1"], ["h2"]]), "procedure.families", ONE_FAMILY, NAMES, gates([["h1"], ["h2", "h3"]])),
    (gates([["h1", "h2"], ["h2", "h3"]]), "procedure.families", ONE_FAMILY, NAMES, gates([["h1", "h2"], ["h3"]])),
    (
        gates([["h1", "h2"], ["h3"]], truncation=[0.5]), "procedure.truncation", TRUNCATION, "",
        gates([["h1", "h2"], ["h3"]], truncation=[0.5, 1.0]),
    ),
    (
        gates([["h1", "h2"], ["h3"]], kind="serial_gatekeeping", truncation=[0.5, 1.0]), "procedure.truncation", TRUNCATION, "",
        gates([["h1", "h2"], ["h3"]], kind="serial_gatekeeping"),
    ),
    (
        gates([["h1", "h2"], ["h3"]], procedure="bonferroni", truncation=[0.0, 1.0]),
        "procedure.truncation", "Bonferroni has truncation 0", "",
        gates([["h1", "h2"], ["h3"]], procedure="bonferroni", truncation=[0.0, 0.0]),
    ),
    (
        {"procedure": {"kind": "dunnett"}}, "procedure", DUNNETT, "",
        {"hypotheses": {"h1": "coach beats usual", "h2": "web beats usual"}},
    ),
    (
        {"procedure": {"kind": "dunnett_step_down"}, "hypotheses": {"h1": "coach beats usual", "h2": "web beats usual at m6"}},
        "procedure", DUNNETT, "", {"hypotheses": {"h1": "coach beats usual at m6", "h2": "web beats usual at m6"}},
    ),
    (
        {"procedure": {"kind": "dunnett"}, "hypotheses": {"h1": "web is non-inferior to coach in close"}},
        "procedure", DUNNETT, "", {"hypotheses": {"h1": "web beats coach"}},
    ),
    (
        {"procedure": {"kind": "lsd"}, "analysis": "compliers", "hypotheses": {}},
        "procedure", "lsd needs analyses with a test of all arms", "", {"analysis": "main"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("faulty", "path", "rule", "hint", "right"),
    DECISION_RULES,
    ids=[f"{p}: {rule}" for _, p, rule, _, _ in DECISION_RULES],
)
def test_a_rule_of_decisions_and_its_valid_neighbour(
    faulty: Data, path: str, rule: str, hint: str, right: Data
) -> None:
    assert decided(**faulty) == [(path, rule, hint)]
    assert decided(**{**faulty, **right}) == []


def test_an_unknown_member_of_a_family_is_named() -> None:
    found = decided(**gates([["h1", "h2"], ["h4"]]))
    assert ("procedure.families.h4", "there is no hypothesis 'h4'", "Known: h1, h2, h3.") in found
    assert {path for path, _, _ in found} == {"procedure.families.h4", "procedure.families"}


def test_a_decision_without_hypotheses_is_about_every_contrast_of_its_analysis() -> None:
    assert decided(hypotheses={}, success="coach_web or (coach_usual and web_usual)") == []
    told = decided(analysis="late", hypotheses={}, success="coach_web")
    assert [path for path, _, _ in told] == ["success"]
    assert told[0][2].endswith("or a hypothesis. Did you mean 'coach_usual'?")


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


def test_teams_of_all_sites_can_be_numbered() -> None:
    def parts(facilitators: int, *, by_site: bool) -> Data:
        group = grouped(facilitators=facilitators, by_site=by_site)
        sites = {f"site{k}": {"rate_per_month": 1.0} for k in range(40)}
        return plain_data(arms={"group": group, "usual": usual()}, recruitment={"sites": sites})

    rule, hint = "that makes more than 32,000 teams in all", "Use fewer facilitators."
    assert problems(parts(801, by_site=True)) == [("arms.group.delivery.by_site", rule, hint)]
    assert problems(parts(800, by_site=True)) == []
    assert problems(parts(801, by_site=False)) == []
