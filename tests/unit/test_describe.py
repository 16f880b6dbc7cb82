"""`trialsim describe`: what the design says is said, and what it implies is right and has its error."""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from golden import golden
from scipy import stats

from trialsim.block import simulate_block
from trialsim.design.parts import Design
from trialsim.records import funnel_counts
from trialsim.report import analysis_words as words
from trialsim.report.describe import describe, plan
from trialsim.report.describe.implied import pairs, reference_arm
from trialsim.report.describe.phrases import mean_delay
from trialsim.report.describe.sums import ratio, simulated_sums, spread, spread_between
from trialsim.trial import TrialData
from trialsim.world.world import World

Data = dict[str, Any]

SMALL: Data = {
    "name": "small",
    "title": "A small trial",
    "description": "Two ways to learn to live with pain, against usual care.",
    "source": "made up for tests",
    "start_date": "2024-02-05",
    "sample_size": 60,
    "max_enrolment_days": 500,
    "recruitment": {
        "sites": {
            "north": {"rate_per_month": 40.0, "ramp_months": 1.0},
            "south": {"rate_per_month": 40.0, "ramp_months": 1.0},
            "harbour": {"rate_per_month": 25.5, "opens": "2024-03-01", "pool": 900},
        },
        "rate_changes": [{"starts": 90, "factor": 1.5, "sites": ["north", "south"]}],
        "pauses": [{"starts": "2024-07-01", "ends": "2024-07-15"}],
        "site_cv": 0.2,
        "month_cv": 0.1,
    },
    "funnel": {
        "screened": {
            "prob": 0.5,
            "losses": {"declined": 3, "unreachable": 1},
            "delay": {"days": 7, "mean_extra": 14.0},
        },
        "eligible": {
            "criteria": {
                "pain too mild": {"measure": "pain", "error_sd": 1.0, "at_least": 4.0},
                "other": {"excluded_prob": 0.1},
            },
        },
        "consented": {"prob": 0.8, "delay": {"days": 1}},
    },
    "covariates": {
        "female": {"kind": "binary", "prob": 0.6, "label": "women"},
        "age": {"kind": "normal", "mean": 50.0, "sd": 12.0, "low": 18.0},
        "conditions": {"kind": "count", "mean": 1.5},
    },
    "outcomes": {
        "pain": {
            "label": "average pain",
            "items": 4,
            "mean": 5.5,
            "sd": 1.5,
            "entry_sd": 0.5,
            "error_sd": 0.4,
            "course": {"m3": -0.2, "m6": -0.3},
            "change_sd": 0.8,
            "recovery": {"prob": {"m3": 0.2, "m6": 0.25}, "drop": 2.0, "sd": 1.0},
            "covariates": {"female": 0.3, "age": -0.01},
            "motivation": -0.1,
            "coach_sd": 0.2,
        },
        "mood": {"mean": 4.0, "sd": 2.0, "course": {"m3": 0.0, "m6": 0.0}, "correlation": {"pain": 0.5}},
    },
    "visits": {
        "m3": {"day": 91, "opens": -7, "closes": 30, "reminders": [0, 14]},
        "m6": {"day": 183, "label": "primary"},
    },
    "arms": {
        "coach": {
            "label": "telephone coaching",
            "delivery": {
                "kind": "individual",
                "modules": ["goals", "pacing", "sleep"],
                "coaches": [{}, {}, {"caseload": 2, "joins": "2024-04-01", "leaves": "2025-01-01"}],
                "caseload": 4,
                "no_show_prob": 0.1,
            },
            "start_prob": 0.8,
            "stop_prob": 0.1,
            "effects": {"pain": {"by_visit": {"m3": -0.8, "m6": -0.6}, "sd": 0.5}},
            "response_prob": {"m3": 0.8, "m6": 0.75},
            "withdrawal_prob": 0.05,
            "cost_per_participant": 12.5,
        },
        "web": {
            "delivery": {
                "kind": "self_paced",
                "modules": ["goals", "pacing", "sleep"],
                "pace": {"days": 7, "mean_extra": 3.0},
                "access_days": 120,
                "max_calls": 2,
                "call_success_prob": 0.5,
            },
            "start_prob": 0.6,
            "stop_prob": 0.2,
            "dose": "assigned",
            "effects": {"mood": {"by_visit": {"m3": -0.5, "m6": -0.5}}},
            "response_prob": {"m3": 0.7, "m6": 0.7},
        },
        "usual": {"delivery": {"kind": "none"}, "response_prob": {"m3": 0.8, "m6": 0.8}},
    },
    "allocation": {
        "kind": "blocks",
        "ratio": {"coach": 2, "web": 1, "usual": 1},
        "block_sizes": [4, 8],
        "strata": ["site", "female", {"outcome": "pain", "at_least": 6.0}],
    },
    "adherence": {
        "motivation_on_start": 0.4,
        "motivation_on_stop": 0.3,
        "wait_effect": 0.1,
        "covariates": {"female": 0.2},
    },
    "observation": {
        "frailty": 0.5,
        "motivation_on_frailty": 0.4,
        "covariates": {"age": 0.01},
        "baseline": {"pain": -0.05},
        "attendance": 0.3,
        "current_value": {"pain": -0.1},
        "death_prob": 0.01,
    },
    "analyses": {
        "responders": {
            "kind": "modified_poisson",
            "outcome": "pain",
            "covariates": ["baseline", "site"],
            "cluster": "coach",
        },
        "change": {
            "kind": "linear",
            "outcome": "pain",
            "contrasts": [["coach", "usual"]],
            "multiplicity": "none",
            "alpha": 0.01,
        },
    },
    "costs": {"letter": 1.5, "coach_hour": 60.0, "currency": "EUR"},
}

MINIMAL: Data = {
    "name": "minimal",
    "start_date": "2024-02-29",
    "sample_size": 5,
    "max_enrolment_days": 40,
    "recruitment": {"sites": {"here": {"rate_per_month": 60.0}}},
    "funnel": {"enrolled": {}},
    "outcomes": {"pain": {"mean": 5.0, "sd": 1.0, "course": {"end": 0.0}}},
    "visits": {"end": {"day": 1, "closes": 0}},
    "arms": {"all": {"delivery": {"kind": "none"}, "response_prob": {"end": 0.5}}},
    "allocation": {"kind": "simple", "ratio": {"all": 1}},
}


def changed(base: Data, path: str = "", value: object = None) -> Design:
    """The design with one value replaced, at a dotted path."""
    data = copy.deepcopy(base)
    if path:
        *folders, last = path.split(".")
        place: Any = data
        for folder in folders:
            place = place[int(folder)] if isinstance(place, list) else place.setdefault(folder, {})
        place[int(last) if isinstance(place, list) else last] = value
    return Design.model_validate(data)


def flat(text: str) -> str:
    """The text in one line, to look for sentences whatever their line breaks."""
    return " ".join(text.split())


@cache
def small(n_replicates: int = 16, seed: int = 1) -> str:
    return describe(changed(SMALL), n_replicates=n_replicates, seed=seed)


def test_snapshot_of_a_small_design() -> None:
    assert small() + "\n" == golden("describe_small.txt", small() + "\n")


# --- what is stated -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("title", "Another trial", "Another trial ############# Two ways"),
        ("start_date", "2024-01-29", "Study day 0 is 29 January 2024."),
        ("sample_size", 59, "closes with the randomization of 59 participants"),
        ("max_enrolment_days", 400, "or at the end of 10 March 2025 (day 399), 13.1 months after the start"),
        ("recruitment.sites.north.rate_per_month", 50.0, "the 3 sites contact 115.5 people a month"),
        ("recruitment.sites.harbour.pool", 1200, "25.5 at once 1,200"),
        ("recruitment.sites.harbour.opens", 10, "harbour 15 February 2024 (day 10)"),
        ("recruitment.rate_changes.0.factor", 0.5, "the rate at north and south is multiplied by 0.5."),
        (
            "recruitment.pauses.0.starts",
            "2024-07-08",
            "at any site from 8 July 2024 (day 154) to 14 July 2024 (day 160).",
        ),
        (
            "recruitment.month_cv",
            0.0,
            "around these values from replicate to replicate (coefficient of variation 0.2), with",
        ),
        ("funnel.screened.prob", 0.123, "screened 12.3% 20.5 days (mean; 7 at least)"),
        ("funnel.screened.delay.mean_extra", 0.0, "screened 50% 7 days eligible"),
        ("funnel.screened.losses.declined", 1, "'screened' by chance: declined 50.0% and unreachable 50.0%."),
        ("funnel.eligible.criteria.other.excluded_prob", 0.25, "other: excludes 25% of people at random."),
        ("funnel.eligible.criteria.pain too mild.at_most", 9.0, "(SD 1), is below 4 or above 9."),
        (
            "funnel.eligible.criteria.pain too mild.error_sd",
            0.0,
            "measured at screening without error, is below 4.",
        ),
        ("covariates.female.prob", 0.55, "female yes/no, 55% yes women"),
        ("covariates.age.low", 50.0, "normal, mean 50, SD 12, cut below 50 (mean then 59.57)"),
        ("covariates.conditions.mean", 2.0, "conditions Poisson count, mean 2"),
        ("outcomes.pain.covariates.age", 0.05, "0.05 points higher per unit of age"),
        ("allocation.block_sizes", [8], "in the ratio 2:1:1, in permuted blocks of 8, within"),
        (
            "allocation.block_sizes",
            [4],
            "in permuted blocks of 4, within 12 strata: site (3) x female (no, yes) x pain",
        ),
        ("allocation.strata", [], "(each size with the same chance), not stratified."),
        ("arms.coach.delivery.coaches", 1, "1 coach with 4 places in all, with a caseload of 4 participants"),
        ("arms.coach.delivery.sessions_per_week", 3, "3 coaches with 8 places in all"),
        (
            "arms.coach.delivery.coaches.2.joins",
            "2024-05-01",
            "1 May 2024 (day 86) 31 December 2024 (day 330)",
        ),
        ("arms.coach.delivery.interval_days", 14, "(goals; pacing; sleep) of 50 minutes, 14 days apart."),
        ("arms.coach.delivery.referral_days", 0, "ask for a coach on the day of randomization."),
        (
            "arms.coach.delivery.no_show_prob",
            0.2,
            "is missed with a chance of 20%, which moves the session by 7 days",
        ),
        ("arms.coach.delivery.max_reschedules", 0, "is missed with a chance of 10%, which ends treatment."),
        ("arms.coach.delivery.max_wait_days", 60, "first come, first served, 60 days at most."),
        ("arms.coach.withdrawal_prob", 0.07, "7% withdraw from the study by day 183"),
        (
            "arms.coach.effects.pain.sd",
            0.0,
            "it changes pain by -0.8 points at m3 and -0.6 at m6. The effect grows",
        ),
        ("arms.web.effects.mood.by_visit.m6", -0.4, "It changes mood by -0.5 points at m3 and -0.4 at m6."),
        ("arms.web.delivery.max_calls", 0, "Nobody calls those who stall. 60% start by themselves"),
        (
            "arms.web.delivery.reachable_prob",
            0.8,
            "a call brings 50%, of the 80% who can be reached, to the next",
        ),
        (
            "arms.web.delivery.reachable_prob",
            0.5,
            "calls bring 37.5% of the others to the first module, so 75.0% start",
        ),
        ("arms.web.delivery.reachable_prob", 0.0, "After each module but the last 20% stop"),
        ("arms.web.delivery.access_days", 200, "open for 200 days after randomization"),
        ("arms.web.stop_prob", 0.0, "Nobody stops between modules of their own accord."),
        ("outcomes.pain.high", 100.0, "A score from 0 to 100: the mean of 4 whole-number items"),
        (
            "outcomes.pain.recovery.prob.m6",
            0.5,
            "In every arm 20% at m3 and 50% at m6 recover: they are 2 points lower",
        ),
        (
            "outcomes.pain.responder_change",
            0.5,
            "A responder's value is at least 50% below the value at baseline",
        ),
        (
            "outcomes.pain.motivation",
            1.0,
            "one SD more motivated than average is 1 point higher at follow-up.",
        ),
        ("outcomes.pain.course.m6", -0.2, "differs from the stable level by -0.2 points at every visit"),
        ("outcomes.mood.correlation.pain", 0.6, "Correlations between outcomes: mood and pain 0.6."),
        ("outcomes.mood.correlation", {}, "The outcomes are independent of each other"),
        ("visits.m6.reminders", [5], "m6 183 6.0 days 183 to 213 188 primary"),
        ("arms.usual.response_prob.m6", 0.9, "usual 80% 90%"),
        ("observation.current_value", {}, "so even given all that is recorded"),
        ("observation.death_prob", 0.0, "Nobody dies."),
        (
            "observation.answer_days",
            {"days": 3, "mean_extra": 0.0},
            "Whoever answers does so 3 days after the window opens",
        ),
        (
            "analyses.responders.cluster",
            "person",
            "adjusted for baseline pain and site, standardised to the participants analysed; independence working "
            "correlation, robust variance clustered on participants, normal distribution. Missing data: all answers",
        ),
        ("analyses.responders.covariates", ["age"], "x visit; adjusted for age, standardised to the participants"),
        ("analyses.change.alpha", 0.025, "Two-sided level 2.5%, 97.5% confidence intervals; no adjustment"),
        ("analyses.change.contrasts", [["web", "coach"]], "Compared: web with coach."),
        ("costs.letter", 2.25, "person contacted 2.25"),
    ],
)
def test_changing_a_number_changes_its_sentence(path: str, value: object, sentence: str) -> None:
    assert sentence not in flat(small()) or path == "analyses.responders.cluster"
    assert sentence in flat(describe(changed(SMALL, path, value), n_replicates=1))


def test_clusters_are_named() -> None:
    assert "clustered on coaches (a participant" in flat(small())
    other = changed(SMALL, "analyses.responders.cluster", "person")
    assert "clustered on coaches" not in flat(describe(other, n_replicates=1))


# --- analyses and decisions -----------------------------------------------------------------------------------------

STOPPED = "A participant has stopped by a visit if sessions are left and treatment goes on with none of them after it"
SAID: list[tuple[Data, list[str]]] = [
    (
        {"kind": "linear"},
        ["at each visit the difference in mean change from baseline in pain, had every participant been assigned"],
    ),
    ({"kind": "linear", "visits": ["m6"]}, ["Estimand (treatment policy): at m6 the difference in mean change"]),
    ({"kind": "t_test"}, ["Model: t tests (Welch) at each visit. Missing data: all answers are used"]),
    ({"kind": "t_test", "equal_variance": True}, ["Model: t tests (one variance for all arms) at each visit."]),
    (
        {"kind": "proportions", "interval": "newcombe"},
        [
            "at each visit the risk difference, risk ratio and odds ratio of being a responder on pain",
            "Model: unadjusted comparison of percentages at each visit by Wald tests, Newcombe's interval of the risk",
        ],
    ),
    ({"kind": "chi_squared", "correction": True}, ["Model: Pearson's chi-squared tests at each visit with Yates's"]),
    (
        {"kind": "ancova", "covariates": ["baseline", "age"]},
        ["analysis of covariance at each visit; adjusted for baseline pain and age; model-based variance (the same in"],
    ),
    ({"kind": "ancova", "variance": "hc3"}, ["without covariates; robust variance (HC3). Missing data"]),
    (
        {"kind": "logistic", "covariates": ["age"], "variance": "robust"},
        ["logistic regression at each visit; adjusted for age, standardised to the participants analysed; robust var"],
    ),
    ({"kind": "log_binomial"}, ["Model: log-binomial regression at each visit; without covariates. Missing"]),
    (
        {"kind": "gee", "endpoint": "response", "correction": "mancl_derouen", "cluster": "site"},
        [
            "the odds ratio, risk ratio and risk difference of being a responder on pain",
            "generalised estimating equations over all visits (logistic) on arm, visit and arm x visit; without cov",
            "exchangeable working correlation, robust variance clustered on sites, corrected after Mancl and DeRouen, t",
        ],
    ),
    (
        {"kind": "mmrm", "df": "satterthwaite", "covariates": ["age"], "covariates_by_visit": True},
        [
            "mixed model for repeated measures over all visits (unstructured covariance, REML, covariates with a",
            "adjusted for age; Satterthwaite degrees of freedom.",
        ],
    ),
    (
        {"kind": "mixed", "nested_arms": ["coach"], "heteroscedastic": True, "df": "between_within"},
        [
            "linear mixed model (REML) at each visit with random intercepts of coaches (a participant without a coach",
            "in arm coach only, residual variances of their own with and without one; without covariates; between-within",
        ],
    ),
    ({"kind": "mixed", "cluster": "site"}, ["with random intercepts of sites; without covariates; Satterthwaite deg"]),
    (
        {"kind": "cluster_robust"},
        ["CR2 variance clustered on coaches (a participant without a coach stands alone), Sat"],
    ),
    ({"kind": "cluster_robust", "correction": "CR0"}, ["CR0 variance clustered on coaches", "normal distribution."]),
    (
        {"kind": "cluster_means", "weights": "size", "pooled": True},
        ["t tests (one variance for all arms) at each visit of the means of coaches (a", "all counting by their size"],
    ),
    (
        {"kind": "log_rank"},
        [
            "Estimand (treatment policy): the hazard ratio of a first response on pain, had",
            "Model: log-rank test (hazard ratio by its one-step estimate). Missing data: participants are followed up to",
        ],
    ),
    ({"kind": "cox", "ties": "breslow"}, ["proportional hazards regression (equal times after Breslow); without cov"]),
    (
        {"kind": "rmst"},
        [
            "the difference and the ratio of the mean times without a response on pain, had",
            "area under the Kaplan-Meier curve up to day 183.",
        ],
    ),
    ({"kind": "rmst", "until_day": 100.0}, ["Kaplan-Meier curve up to day 100."]),
    (
        {"kind": "counts"},
        [
            "the ratio of the mean numbers of visits with a response on pain, had",
            "negative binomial regression (log link); without covariates. Missing data: participants who answered no",
        ],
    ),
    (
        {"kind": "complier", "adherent": 2, "covariates": ["age"]},
        [
            "Estimand (complier average causal effect): at each visit the difference in mean change from baseline in "
            "pain, among those who would attend at least 2 sessions by the visit if assigned to the first arm",
            "two-stage least squares at each visit, the arm being the instrument for attendance; adjusted for age; rob",
            "Compared: coach with usual and web with usual.",
            "no adjustment for multiple comparisons.",
        ],
    ),
    (
        {"kind": "complier", "method": "ratio", "endpoint": "response"},
        [
            "the risk difference of being a responder on pain, among those who would attend at least one session",
            "difference in outcome divided by the difference in attendance at each visit; variance by the delta method.",
        ],
    ),
    ({"kind": "user", "function": "mine:own"}, ["Model: the function mine:own. Missing data: left to the function."]),
    (
        {"kind": "user", "function": "mine:own", "covariates": ["baseline", "age"]},
        ["Model: the function mine:own; which is told the covariates baseline pain and age. Missing"],
    ),
    # estimands
    (
        {"kind": "linear", "estimand": "hypothetical"},
        [
            "assigned to the one arm rather than the other and attended all of its sessions, as if alive",
            f"Values from after stopping treatment are taken as missing. {STOPPED}",
        ],
    ),
    (
        {"kind": "linear", "estimand": "per_protocol"},
        [
            "Estimand (per protocol, a principal stratum): at each visit the difference in mean change from baseline in "
            "pain, among those who would attend all sessions by the visit under each arm of the contrast with sessions.",
            "Used are those who attended all sessions by the visit, and all in arms without sessions.",
        ],
    ),
    (
        {"kind": "linear", "estimand": "per_protocol", "adherent": 1},
        ["Used are those who attended at least 1 session (all, in an arm with fewer) by the visit, and all in arms"],
    ),
    (
        {"kind": "linear", "estimand": "while_on_treatment"},
        [
            "by the value at the last visit before stopping treatment (the baseline for those who stop before the first",
            f"or else the baseline, stands in for later ones. {STOPPED}",
            "Missing data: nothing else is filled in or left out.",
        ],
    ),
    (
        {"kind": "logistic", "estimand": "composite"},
        [f"by the visit being no responders. They count so whether they answered or not. {STOPPED}"],
    ),
    # missing data
    ({"kind": "linear", "missing": {"kind": "complete_cases"}}, ["Missing data: only participants who answered every"]),
    (
        {"kind": "linear", "missing": {"kind": "weights", "covariates": ["baseline", "age"]}},
        ["modelled chance (logistic regression on arm, baseline pain, age and the value answered last)."],
    ),
    (
        {"kind": "linear", "missing": {"kind": "weights", "covariates": [], "history": False}},
        ["modelled chance (logistic regression on arm)."],
    ),
    (
        {"kind": "linear", "missing": {"kind": "imputation"}},
        [
            "20 imputations under missing at random by a multivariate normal model of the visits within each arm, given "
            "baseline pain; analyses combined by Rubin's rules, degrees of freedom after Barnard and Rubin.",
        ],
    ),
    (
        {
            "kind": "mmrm",
            "missing": {
                "kind": "imputation",
                "model": "chained",
                "by_arm": False,
                "covariates": [],
                "imputations": 5,
                "delta": {"coach": 0.5, "web": 0.0},
            },
        },
        [
            "5 imputations under missing at random by chained equations with arm as a covariate; added to imputed "
            "values: 0.5 points in coach; analyses combined",
        ],
    ),
    (
        {"kind": "ancova", "missing": {"kind": "reference", "reference": "usual", "rule": "copy_increment"}},
        [
            "20 reference-based imputations of what is missing after stopping treatment (copy increment, the reference "
            "being usual), at random before, given the values answered and baseline pain; analyses combined",
        ],
    ),
    (
        {"kind": "linear", "missing": {"kind": "pattern_mixture", "covariates": ["age"]}},
        [
            "imputed once, by their mean in a regression on arm, visit, arm x visit, pattern of missing visits, pattern "
            "x arm, age; then those with any follow-up are weighted by the inverse of its modelled chance (logistic "
            "regression on arm and baseline pain); standard errors take imputed values for observed.",
        ],
    ),
    # hypotheses and multiplicity
    (
        {"kind": "linear", "hypothesis": "non_inferiority", "margin": 0.5, "multiplicity": "none"},
        [
            "95% confidence intervals; no adjustment for multiple comparisons. Tested for non-inferiority of the first "
            "arm: that the mean difference is below 0.5 points (lower is better; one-sided level 2.5%, which is to say "
            "that the whole 95% interval lies there).",
        ],
    ),
    (
        {
            "kind": "modified_poisson",
            "hypothesis": "non_inferiority",
            "margin": 1.25,
            "multiplicity": "holm",
            "alpha": 0.1,
        },
        ["that the risk ratio is above 0.8 (higher is better; one-sided level 5%)."],
    ),
    (
        {
            "kind": "logistic",
            "hypothesis": "equivalence",
            "margin": 8.0,
            "margin_measure": "risk difference",
            "multiplicity": "none",
        },
        [
            "Tested for equivalence: that the risk difference is between -8 and 8 percentage points (one-sided level 2.5%"
        ],
    ),
    (
        {"kind": "linear", "multiplicity": "dunnett", "contrasts": [["coach", "usual"], ["web", "usual"]]},
        [
            "Compared: coach with usual and web with usual.",
            "intervals; Dunnett's test over the comparisons at a visit.",
        ],
    ),
    ({"kind": "linear", "multiplicity": "hommel"}, ["intervals; Hommel's procedure over the comparisons at a visit."]),
    (
        {"kind": "linear", "contrasts": [["coach", "usual"]]},
        ["Compared: coach with usual.", "a pair counts as different only when the test of all arms is significant too"],
    ),
]


@pytest.mark.parametrize(("keys", "sentences"), SAID, ids=[str(keys) for keys, _ in SAID])
def test_an_analysis_is_said_in_words(keys: Data, sentences: list[str]) -> None:
    design = changed(SMALL, "analyses", {"main": {"outcome": "pain", **keys}})
    text = flat("\n".join(plan.analyses(design)))
    assert [sentence for sentence in sentences if sentence not in text] == [], text
    assert not re.search(r"\b(None|nan|inf)\b|_| \.|\(\)|,,|;;|;\.| ,", text)


@pytest.mark.parametrize(("keys", "sentences"), SAID, ids=[str(keys) for keys, _ in SAID])
def test_a_summary_says_the_same_of_an_analysis_by_its_label(keys: Data, sentences: list[str]) -> None:
    design = changed(SMALL, "analyses", {"main": {"outcome": "pain", **keys}})
    analysis, text = design.analyses["main"], words.about(design, design.analyses["main"])
    assert words.endpoint(design, analysis, "average pain").lower() in text.lower()
    for part in (words.model, words.multiplicity, words.missing, words.hypothesis):
        assert part(design, analysis).lower() in text.lower()
    for said in (words.adjustment, words.variance, words.cut):
        assert said(analysis) in text
    silent = analysis.estimand == "treatment_policy" and analysis.kind != "complier"
    assert ("Estimand" in text) is not silent


def test_a_count_of_sessions_is_known_of_everybody() -> None:
    """Only where every arm has sessions."""
    data = copy.deepcopy(SMALL)
    data["arms"].pop("usual")
    data["allocation"] = {"kind": "simple", "ratio": {"coach": 1, "web": 1}}
    data["analyses"] = {
        "main": {"kind": "counts", "outcome": "pain", "endpoint": "sessions", "family": "quasi_poisson"}
    }
    text = flat("\n".join(plan.analyses(Design.model_validate(data))))
    assert "the ratio of the mean numbers of sessions attended, had every participant" in text
    assert "Model: quasi-Poisson regression (log link); without covariates. Missing data: none, attendance is" in text
    assert "intervals. Costs" in f"{text} Costs"  # two arms and one number: nothing to adjust


def test_one_arm_has_nothing_to_compare() -> None:
    design = changed(MINIMAL, "analyses", {"main": {"kind": "linear", "outcome": "pain"}})
    text = flat("\n".join(plan.analyses(design)))
    assert "There is one arm, so nothing is compared. Two-sided level 5%, 95% confidence intervals." in text
    assert "multiple" not in text
    assert "Fisher" not in text


HYPOTHESES = {"h1": "coach beats usual", "h2": "web beats usual at m6 in change", "h3": "coach beats web"}
PROCEDURES: list[tuple[Data, str]] = [
    ({"kind": "none"}, "each hypothesis at the full level. Two-sided level 5%. Success"),
    ({"kind": "lsd"}, "only when the test of all arms is significant too (Fisher). Two-sided level 5%. Success"),
    ({"kind": "holm"}, "Procedure: Holm's procedure. Two-sided level 5% for all together. Success"),
    ({"kind": "fixed_sequence"}, "fixed sequence, in the order above until one is not rejected. Two-sided"),
    (
        {"kind": "weighted_holm", "weights": {"h1": 0.5, "h2": 0.25, "h3": 0.25}},
        "Holm's procedure with parts of the level (h1 0.5, h2 0.25, h3 0.25). Two-sided",
    ),
    (
        {"kind": "fallback", "weights": {"h1": 0.6, "h2": 0.4}},
        "fallback procedure in the order above with parts of the level (h1 0.6, h2 0.4). Two-sided",
    ),
    (
        {"kind": "graphical", "weights": {"h1": 1.0}, "transitions": {"h1": {"h2": 0.7, "h3": 0.3}, "h2": {"h3": 1.0}}},
        "graphical procedure with parts of the level to begin with (h1 1); what a rejected hypothesis had goes on: of "
        "h1, 0.7 to h2, 0.3 to h3; of h2, 1 to h3. Two-sided",
    ),
    (
        {"kind": "serial_gatekeeping", "families": [["h1", "h2"], ["h3"]], "procedure": "hochberg"},
        "serial gatekeeping, (h1, h2), then (h3), a family once all before are rejected; Hochberg's procedure within",
    ),
    (
        {"kind": "parallel_gatekeeping", "families": [["h1", "h2"], ["h3"]], "truncation": [0.5, 1.0]},
        "parallel gatekeeping, (h1, h2), then (h3), a family once any of the one before is rejected; Holm's procedure, "
        "truncation 0.5, 1. Two-sided",
    ),
]


@pytest.mark.parametrize(("procedure", "sentence"), PROCEDURES, ids=[given["kind"] for given, _ in PROCEDURES])
def test_a_decision_is_said_with_all_its_numbers(procedure: Data, sentence: str) -> None:
    analyses = {name: {"kind": "linear", "outcome": "pain"} for name in ("main", "change")}
    decision = {"analysis": "main", "hypotheses": HYPOTHESES, "procedure": procedure, "success": "h1 and not h3"}
    data = {**SMALL, "analyses": analyses, "decisions": {"primary": decision}}
    text = flat("\n".join(plan.decisions(Design.model_validate(data))))
    assert (
        "Hypotheses: h1, that coach beats usual at m3 in main; h2, that web beats usual at m6 in change; h3, that coach "
        "beats web at m3 in main. Procedure:"
    ) in text
    assert sentence in text
    assert text.endswith("Success: h1 and not h3.")


def test_a_decision_of_non_inferiority_is_one_sided() -> None:
    analysis = {
        "kind": "linear",
        "outcome": "pain",
        "hypothesis": "non_inferiority",
        "margin": 0.5,
        "multiplicity": "none",
    }
    data = {**SMALL, "analyses": {"main": analysis}, "decisions": {"primary": {"analysis": "main", "visit": "m6"}}}
    text = flat("\n".join(plan.decisions(Design.model_validate(data))))
    assert "coach_web, that coach is not inferior to web at m6 in main; coach_usual, that" in text
    assert "Two-sided level 5%; tests of non-inferiority and equivalence are one-sided, so 2.5%. Success: any" in text


def test_missingness_is_classified() -> None:
    assert "depends on the value itself: missing not at random" in flat(small())
    data = {
        **SMALL,
        "observation": {**SMALL["observation"], "current_value": {}, "motivation_on_frailty": 0.0},
    }
    assert "whether a value is missing does not depend on it: missing at random" in flat(
        describe(Design.model_validate(data), n_replicates=1)
    )


def test_probit_scale_is_translated() -> None:
    """Numbers from scipy.stats, by another route: P(start | motivation) of a bivariate normal."""
    text, z = flat(small()), stats.norm.ppf(0.8)
    more, less = (stats.norm.cdf((z + sign * 0.4) / np.sqrt(1 - 0.16)) for sign in (1, -1))
    assert f"({100 * more:.1f}% of those one SD more motivated than average, {100 * less:.1f}% of" in text
    women, men = stats.norm.cdf(z + 0.2 * 0.4), stats.norm.cdf(z - 0.2 * 0.6)
    assert f"{100 * women:.1f}% with female and {100 * men:.1f}% without" in text
    assert f"{100 * stats.norm.cdf(z - 0.4):.1f}% after 4 weeks" in text
    stops = stats.norm.cdf((stats.norm.ppf(0.1) - 0.3) / np.sqrt(1 - 0.09))
    assert f"but the last 10% stop ({100 * stops:.1f}% of those one SD more motivated" in text
    answers = stats.norm.cdf((z + 0.5**0.5) / np.sqrt(0.5))
    assert f"belongs to the person ({100 * answers:.1f}% of those one SD more inclined" in text


def test_calls_are_worked_out() -> None:
    text = flat(small())
    assert "calls bring 75.0% of the others to the first module, so 90.0% start in all" in text
    assert "calls bring 75.0% of them back, so 5.0% stop." in text


def test_dose_is_worked_out() -> None:
    doses = [-np.expm1(-n / 3) / -np.expm1(-1) for n in (1, 2)]
    wanted = f"{100 * doses[0]:.0f}% after 1 session, {100 * doses[1]:.0f}% after 2 sessions and 100% after all 3."
    assert wanted in flat(small())


def test_mean_of_a_delay_is_that_of_whole_days() -> None:
    delay = changed(SMALL).funnel["screened"].delay
    days = np.floor(-14 * np.log1p(-(np.arange(1_000_000) + 0.5) / 1_000_000)) + 7
    assert mean_delay(delay) == pytest.approx(days.mean(), abs=1e-3)
    assert mean_delay(delay.model_copy(update={"mean_extra": 1e-9})) == 7


def test_equal_sites_share_a_row_and_many_are_counted() -> None:
    assert "north and south 5 February 2024 (day 0) 40 1 month no limit" in flat(small())
    sites = {f"s{k}": {"rate_per_month": 10.0} for k in range(30)}
    assert "s0 ... s29 (30 sites)" in describe(changed(MINIMAL, "recruitment.sites", sites), n_replicates=1)


# --- what is implied ----------------------------------------------------------------------------------------


def test_ratio_is_a_ratio_of_means_with_its_error() -> None:
    total, count = np.array([3.0, 5.0, 4.0, 8.0]), np.full(4, 10.0)
    found = ratio(total, count)
    assert found.value == pytest.approx(0.5)
    assert found.mcse == pytest.approx(total.std(ddof=1) / 10 / 2)
    assert np.isnan(ratio(total, 0 * count).value)
    assert np.isnan(ratio(total[:1], count[:1]).mcse)


def test_errors_cover_the_truth() -> None:
    """A ratio of correlated sums: its error agrees with the spread over many repetitions."""
    luck = np.random.default_rng(1)
    count = luck.poisson(50, size=(4000, 20)).astype(float)
    total = luck.binomial(count.astype(int), 0.3).astype(float)
    found = [ratio(t, c) for t, c in zip(total, count, strict=True)]
    values, errors = (np.array([getattr(f, name) for f in found]) for name in ("value", "mcse"))
    assert errors.mean() == pytest.approx(values.std(), rel=0.05)


def test_spread_over_participants_and_between_replicates() -> None:
    values = np.random.default_rng(2).normal(60, 7, size=(30, 50))
    found = spread(values.sum(axis=1), np.square(values).sum(axis=1), np.full(30, 50.0))
    assert found.value == pytest.approx(values.std())
    assert found.mcse == pytest.approx(7 / np.sqrt(2 * 1500), rel=0.3)
    assert spread(np.ones(3), np.ones(3), np.ones(3)).value == 0
    assert spread_between(values[0]).value == pytest.approx(values[0].std(ddof=1))


def test_funnel_is_that_of_the_tables() -> None:
    world = World(changed(SMALL))
    sums = simulated_sums(world, 20, seed=3)
    for first, n in ((0, 16), (16, 4)):
        block = simulate_block(world, seed=3, first=first, n_replicates=n)
        for step, reason, people in funnel_counts(block):
            assert sums[f"funnel/{step}/{reason}"][first : first + n].tolist() == people.tolist()


def test_implied_numbers_are_those_of_the_trials() -> None:
    world = World(changed(SMALL))
    sums = simulated_sums(world, 4, seed=1)
    block = simulate_block(world, seed=1, first=0, n_replicates=4)

    for column in range(4):
        trial = TrialData(block, column)
        people, coach = trial.participants, trial.participants.query("arm == 'coach'")
        assert sums["baseline/pain"][column] == pytest.approx(people.baseline_pain.sum())
        assert sums["covariate/age/squares"][column] == pytest.approx((people.age**2).sum())
        assert sums["starters"][0][column] == (coach.n_sessions > 0).sum()
        assert sums["completers"][0][column] == (coach.treatment == "completed").sum()
        assert sums["waited"][0][column] == (coach.offered_day - coach.asked_day).sum()
        truth = trial.table("truth").to_pandas().query("arm == 'web' and visit == 'm6' and outcome == 'pain'")
        assert sums["responders/pain"][1, 1, column] == truth.responder.sum()
        change = truth.value.to_numpy() - people.baseline_pain.to_numpy()
        assert sums["change/pain"][1, 1, column] == pytest.approx(change.sum())


def test_true_effects_are_those_of_the_design() -> None:
    """Everybody has the full effect on a wide scale: the difference is the effect, to the last step."""
    data = copy.deepcopy(MINIMAL)
    data["outcomes"]["pain"] |= {"items": 10, "low": -100.0, "high": 100.0}
    data["arms"]["treated"] = {
        "delivery": {"kind": "none"},
        "effects": {"pain": {"by_visit": {"end": -1.5}}},
        "response_prob": {"end": 0.5},
    }
    data["allocation"]["ratio"] = {"all": 1, "treated": 1}
    text = describe(Design.model_validate(data), n_replicates=8)
    assert "end    treated - all             -1.50 ± 0" in text
    data["arms"]["treated"]["effects"]["pain"]["by_visit"]["end"] = -1.4
    assert "-1.40 ± 0" in describe(Design.model_validate(data), n_replicates=8)


def test_no_number_without_its_error() -> None:
    implied = small().split("What this design implies")[1].replace(" | ", "")
    rows = [line for line in implied.split("\n") if "±" in line and line[:1].isalpha()]
    assert len(rows) > 30
    for row in rows:
        cells = [cell for cell in re.split(r" {2,}", row) if re.fullmatch(r"-?[\d.,]+( ± [\d.,]+)?", cell)]
        bare = [cell for cell in cells if "±" not in cell]
        assert bare in ([], ["3"]), row  # 3: planned sessions


def test_replicates_and_seed_are_stated_and_matter() -> None:
    assert "simulating 16 replicates of this trial (seed 1)" in flat(small())
    assert "simulating 1 replicate of this trial (seed 2)" in flat(small(1, 2))
    assert "unknown (?) with one replicate" in flat(small(1, 2))
    implied = [small(16, seed).split("What this design implies")[1] for seed in (1, 4)]
    assert implied[0] != implied[1]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("", None, "Everybody is in the one arm, all."),
        ("recruitment.sites.here.rate_per_month", 0.0, "Nobody is randomized in any replicate"),
        ("sample_size", 79, "of 16) reach the sample size of 79"),
        ("sample_size", 500, "No replicate reaches the sample size of 500"),
        ("funnel.enrolled.prob", 0.0, "enrolled 0% 0 days"),
        ("outcomes.pain.low", 1.0, "A responder's value is at least 30% below the value at baseline."),
        ("outcomes.pain.responder_change", 0.0, "A responder's value is no higher than at baseline."),
    ],
)
def test_minimal_designs(path: str, value: object, sentence: str) -> None:
    text = describe(changed(MINIMAL, path, value), n_replicates=16)
    assert sentence in flat(text)
    assert not re.search(r"\b(None|nan|inf)\b", text)


def test_rare_treatments() -> None:
    """Certain chances, one session, one coach, no calls: no infinite probit values, singulars right."""
    data = copy.deepcopy(SMALL)
    data["arms"]["coach"] |= {"start_prob": 1.0, "stop_prob": 0.0}
    data["arms"]["coach"]["delivery"] |= {
        "modules": ["goals"],
        "coaches": 1,
        "no_show_prob": 0.0,
        "max_wait_days": 1,
    }
    data["arms"]["web"] |= {"start_prob": 0.0, "stop_prob": 1.0, "dose": "saturating"}
    text = flat(describe(Design.model_validate(data), n_replicates=2))
    assert "1 session (goals) of 50 minutes." in text
    assert "100% would start if a coach were there at once." in text
    assert "Those who attend the one session by the visit have the full effect, the others none." in text
    assert "0% start by themselves; calls bring 75.0%" in text
    assert "first served, 1 day at most" in text
    assert not re.search(r"\b(None|nan|inf|infinity)\b", text)


def test_reference_arm_and_pairs() -> None:
    design = changed(SMALL)
    assert reference_arm(design) == "usual"
    assert pairs(design, "pain") == [(0, 2), (1, 2), (0, 1)]
    assert pairs(design, "mood") == [(0, 2), (1, 2)]
    assert reference_arm(changed(SMALL, "analyses.change.contrasts", [["usual", "web"]])) == "web"
    assert reference_arm(changed(SMALL, "analyses", {})) == "usual"
    treated = {name: SMALL["arms"][name] for name in ("web", "coach")}
    data = {
        **SMALL,
        "arms": treated,
        "analyses": {},
        "allocation": {"kind": "simple", "ratio": {"web": 1, "coach": 1}},
    }
    assert reference_arm(Design.model_validate(data)) == "coach"


def test_lines_fit_a_terminal() -> None:
    assert max(map(len, small().split("\n"))) <= 100


def test_same_seed_same_text() -> None:
    assert describe(changed(SMALL), n_replicates=16) == small()


@pytest.mark.parametrize(("n_replicates", "seed"), [(0, 1), (4, -1)])
def test_impossible_requests_are_refused(n_replicates: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        describe(changed(SMALL), n_replicates=n_replicates, seed=seed)
