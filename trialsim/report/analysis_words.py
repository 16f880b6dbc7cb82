"""Analyses in words: endpoint, model, estimand, missing data, hypotheses and multiplicity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trialsim.analysis.hypotheses import better_is_higher
from trialsim.design.analysis_checks import EVENTS, endpoint_of, has_one_result, measures_of, pairs_of, visits_of
from trialsim.design.parts import Design
from trialsim.report.layout import listed, number, percent

Words = Callable[[Any], str]

_CLUSTERS = {"coach": "coaches", "group": "delivery groups", "site": "sites", "cluster": "randomized clusters"}
_MAY_LACK = ("coach", "group")


def _clusters(analysis: Any, without: str) -> str:
    """The clusters of an analysis, and what somebody without one does: 'sites', 'coaches (... stands alone)'."""
    named = _CLUSTERS[analysis.cluster]
    return f"{named} (a participant without a {analysis.cluster} {without})" if analysis.cluster in _MAY_LACK else named


def label(design: Design, analysis: Any) -> str:
    """What people call the outcome."""
    return design.outcomes[analysis.outcome].label or str(analysis.outcome)


def endpoint(design: Design, analysis: Any, outcome: str) -> str:
    """What is compared, of an outcome by its name or label: 'change from baseline in pain severity'."""
    what = "time" if _is_time_to(design, analysis) else endpoint_of(analysis)
    return _ENDPOINTS[what].format(outcome=outcome)


def _is_time_to(design: Design, analysis: Any) -> bool:
    """Whether a time to the outcome itself is analysed, not to the first response."""
    return analysis.kind in EVENTS and design.outcomes[analysis.outcome].kind == "event"


_ENDPOINTS = {
    "change": "change from baseline in {outcome}",
    "value": "{outcome}",
    "response": "response on {outcome}",
    "time": "time to {outcome}",
    "first_response": "time to the first visit with a response on {outcome}",
    "events": "number of {outcome} per year known",
    "response_visits": "number of visits with a response on {outcome} per visit answered",
    "sessions": "number of sessions attended",
}


# --- model ------------------------------------------------------------------------------------------------------------


def model(design: Design, analysis: Any) -> str:
    """The model without its endpoint: 'modified Poisson regression (log link) on arm, visit and arm x visit'."""
    if analysis.kind == "rmst":
        until = analysis.until_day or list(design.visits.values())[-1].day
        return f"area under the Kaplan-Meier curve up to day {number(float(until))}"
    return _MODELS[analysis.kind](analysis)


def _proportions(analysis: Any) -> str:
    text = "unadjusted comparison of percentages at each visit by Wald tests"
    return f"{text}, Newcombe's interval of the risk difference" if analysis.interval == "newcombe" else text


def _gee(analysis: Any) -> str:
    scale = "logistic" if analysis.endpoint == "response" else "linear"
    return f"generalised estimating equations over all visits ({scale}) on arm, visit and arm x visit"


def _mmrm(analysis: Any) -> str:
    by_visit = ", covariates with a coefficient for each visit" if analysis.covariates_by_visit else ""
    return f"mixed model for repeated measures over all visits (unstructured covariance, REML{by_visit})"


def _mixed(analysis: Any) -> str:
    clusters = _clusters(analysis, "has none")
    arms = list(analysis.nested_arms)
    nested = f" in {'arm' if len(arms) == 1 else 'arms'} {listed(arms)} only" if arms else ""
    apart = ", residual variances of their own with and without one" * analysis.heteroscedastic
    return f"linear mixed model (REML) at each visit with random intercepts of {clusters}{nested}{apart}"


def _cluster_means(analysis: Any) -> str:
    variance = "one variance for all arms" if analysis.pooled else "Welch"
    weights = "by their size" if analysis.weights == "size" else "equally"
    named = _clusters(analysis, "is a cluster of one")
    return f"t tests ({variance}) at each visit of the means of {named}, all counting {weights}"


def _counts(analysis: Any) -> str:
    family = {"negative_binomial": "negative binomial", "quasi_poisson": "quasi-Poisson"}[analysis.family]
    return f"{family} regression (log link)"


_COMPLIER = {
    "two_stage": "two-stage least squares at each visit, the arm being the instrument for attendance",
    "ratio": "difference in outcome divided by the difference in attendance at each visit",
}
_MODELS: dict[str, Words] = {
    "modified_poisson": lambda a: "modified Poisson regression (log link) on arm, visit and arm x visit",
    "linear": lambda a: "linear regression on arm, visit and arm x visit",
    "t_test": lambda a: f"t tests ({'one variance for all arms' if a.equal_variance else 'Welch'}) at each visit",
    "proportions": _proportions,
    "chi_squared": lambda a: "Pearson's chi-squared tests at each visit" + " with Yates's correction" * a.correction,
    "ancova": lambda a: "analysis of covariance at each visit",
    "logistic": lambda a: "logistic regression at each visit",
    "log_binomial": lambda a: "log-binomial regression at each visit",
    "gee": _gee,
    "mmrm": _mmrm,
    "mixed": _mixed,
    "cluster_robust": lambda a: "least squares at each visit",
    "cluster_means": _cluster_means,
    "log_rank": lambda a: "log-rank test (hazard ratio by its one-step estimate)",
    "cox": lambda a: f"proportional hazards regression (equal times after {a.ties.capitalize()})",
    "counts": _counts,
    "complier": lambda a: _COMPLIER[a.method],
    "user": lambda a: f"the function {a.function}",
}


def adjustment(analysis: Any) -> str:
    """'adjusted for ...' or 'without covariates'; empty where a model has none."""
    covariates = getattr(analysis, "covariates", None)
    if covariates is None or (analysis.kind == "complier" and analysis.method == "ratio"):
        return ""
    if not covariates:
        return "" if analysis.kind == "user" else "without covariates"
    if analysis.kind == "user":
        return f"which is told the covariates {listed(_named(analysis, covariates))}"
    text = f"adjusted for {listed(_named(analysis, covariates))}"
    return f"{text}, standardised to the participants analysed" if _bent(analysis) else text


def _bent(analysis: Any) -> bool:
    """Whether the link is not the identity, so that arms' means are averages of predictions."""
    kinds = ("modified_poisson", "logistic", "log_binomial", "counts")
    return analysis.kind in kinds or (analysis.kind == "gee" and analysis.endpoint == "response")


def _named(analysis: Any, covariates: tuple[str, ...]) -> list[str]:
    return [f"baseline {analysis.outcome}" if name == "baseline" else name for name in covariates]


def variance(analysis: Any) -> str:
    """Variance and distribution of the estimates, where a kind leaves a choice."""
    words = _VARIANCES.get(analysis.kind)
    return words(analysis) if words else ""


def _sandwich(analysis: Any) -> str:
    working = getattr(analysis, "working", "independence")
    units = "participants" if analysis.cluster == "person" else _clusters(analysis, "stands alone")
    text = f"{working} working correlation, robust variance clustered on {units}"
    return f"{text}, {_CORRECTIONS[getattr(analysis, 'correction', 'none')]}"


_CORRECTIONS = {
    "none": "normal distribution",
    "df": "corrected for the number of coefficients, t distribution",
    "kauermann_carroll": "corrected after Kauermann and Carroll, t distribution",
    "mancl_derouen": "corrected after Mancl and DeRouen, t distribution",
    "fay_graubard": "corrected after Fay and Graubard, t distribution",
}
_DF = {
    "kenward_roger": "Kenward-Roger variance and degrees of freedom",
    "satterthwaite": "Satterthwaite degrees of freedom",
    "residual": "residual degrees of freedom",
    "between_within": "between-within degrees of freedom",
    "normal": "normal distribution",
}
_ROBUST = {"hc0": "robust variance (HC0)", "hc3": "robust variance (HC3)", "robust": "robust variance"}


def _few_clusters(analysis: Any) -> str:
    df = "normal distribution" if analysis.correction == "CR0" else "Satterthwaite degrees of freedom"
    return f"{analysis.correction} variance clustered on {_clusters(analysis, 'stands alone')}, {df}"


_VARIANCES: dict[str, Words] = {
    "modified_poisson": _sandwich,
    "linear": _sandwich,
    "gee": _sandwich,
    "ancova": lambda a: _ROBUST.get(a.variance, "model-based variance (the same in all arms)"),
    "logistic": lambda a: _ROBUST.get(a.variance, "model-based variance"),
    "mmrm": lambda a: _DF[a.df],
    "mixed": lambda a: _DF[a.df],
    "cluster_robust": _few_clusters,
    "complier": lambda a: "robust variance" if a.method == "two_stage" else "variance by the delta method",
}


# --- estimand ---------------------------------------------------------------------------------------------------------


def estimand(design: Design, analysis: Any, outcome: str) -> str:
    """The estimand as a sentence: measure, endpoint, visits, and what stopping treatment means for it."""
    kind = "complier" if analysis.kind == "complier" else analysis.estimand
    strategy = _STRATEGIES[kind].format(enough=_enough(analysis))
    return f"Estimand ({_TITLES[kind]}): {_when(design, analysis)}{_measured(design, analysis, outcome)}, {strategy}."


_TITLES = {
    "treatment_policy": "treatment policy",
    "hypothetical": "hypothetical",
    "per_protocol": "per protocol, a principal stratum",
    "while_on_treatment": "while on treatment",
    "composite": "composite",
    "complier": "complier average causal effect",
}
_ASSIGNED = "had every participant been assigned to the one arm rather than the other"
_STRATEGIES = {
    "treatment_policy": f"{_ASSIGNED}, whether they start and stop treatment or not, as if alive and in the study",
    "hypothetical": f"{_ASSIGNED} and attended all of its sessions, as if alive and in the study",
    "per_protocol": "among those who would attend {enough} by the visit under each arm of the contrast with sessions",
    "while_on_treatment": (
        f"{_ASSIGNED}, by the value at the last visit before stopping treatment (the baseline for those who stop before"
        " the first visit)"
    ),
    "composite": f"{_ASSIGNED}, those who have stopped treatment by the visit being no responders",
    "complier": "among those who would attend {enough} by the visit if assigned to the first arm of the contrast",
}


def _measured(design: Design, analysis: Any, outcome: str) -> str:
    what, measures = endpoint_of(analysis), measures_of(analysis)
    if what in ("change", "value"):
        return f"the difference in mean {endpoint(design, analysis, outcome)}"
    without = outcome if _is_time_to(design, analysis) else f"a response on {outcome}"
    if analysis.kind == "rmst":
        return f"the difference and the ratio of the mean times without {without}"
    if analysis.kind == "counts":
        return f"the ratio of the mean numbers of {_COUNTED[what].format(outcome=outcome)}"
    said = listed(list(measures))
    if what == "first_response":
        return f"the {said} of {outcome if _is_time_to(design, analysis) else f'a first response on {outcome}'}"
    return f"the {said} of being a responder on {outcome}"


_COUNTED = {
    "events": "{outcome} per year",
    "response_visits": "visits with a response on {outcome}",
    "sessions": "sessions attended",
}


def _when(design: Design, analysis: Any) -> str:
    if has_one_result(analysis):
        return f"over {listed(visits_of(design, analysis))} " if analysis.visits else ""
    return f"at {listed(list(analysis.visits))} " if analysis.visits else "at each visit "


def _enough(analysis: Any) -> str:
    if analysis.adherent is None:
        return "at least one session" if analysis.kind == "complier" else "all sessions"
    return f"at least {analysis.adherent} session{'s' if analysis.adherent > 1 else ''}"


def cut(analysis: Any) -> str:
    """Which of the observed values an estimand leaves, as a sentence; empty where all count."""
    if analysis.kind in ("user", "complier"):
        return ""
    if analysis.estimand == "per_protocol":
        fewer = "" if analysis.adherent is None else " (all, in an arm with fewer)"
        return f"Used are those who attended {_enough(analysis)}{fewer} by the visit, and all in arms without sessions."
    return f"{_CUTS[analysis.estimand]} {_STOPPED}" if analysis.estimand in _CUTS else ""


_STOPPED = (
    "A participant has stopped by a visit if sessions are left and treatment goes on with none of them after it;"
    " whoever never starts has stopped from the beginning."
)
_CUTS = {
    "hypothetical": "Values from after stopping treatment are taken as missing.",
    "while_on_treatment": "The last value answered before stopping, or else the baseline, stands in for later ones.",
    "composite": "They count so whether they answered or not.",
}


# --- missing data -----------------------------------------------------------------------------------------------------


def missing(design: Design, analysis: Any) -> str:
    """What is done about missing values."""
    method = analysis.missing
    if analysis.kind == "user":
        return "left to the function"
    if endpoint_of(analysis) == "sessions":
        return "none, attendance is known of everybody"
    if method.kind != "available":
        return _MISSING[method.kind](analysis, method)
    if has_one_result(analysis):
        return _incomplete(design, analysis)
    return "nothing else is filled in or left out" if cut(analysis) else "all answers are used, nothing is filled in"


def _incomplete(design: Design, analysis: Any) -> str:
    """Who is left out of times and counts, and up to when the others are followed."""
    if design.outcomes[analysis.outcome].source == "record":
        until = "participants are followed in records for as long as they are in the study"
        return f"{until}, death and withdrawal censor" if analysis.kind in EVENTS else until
    if analysis.kind in EVENTS:
        return "participants are followed up to the last visit answered; those who answered none are left out"
    return "participants who answered no visit are left out"


def _by(analysis: Any, *names: str) -> str:
    return listed(_named(analysis, names))


def _weights(analysis: Any, method: Any) -> str:
    given = _by(analysis, "arm", *method.covariates, *(["the value answered last"] * method.history))
    own = ", each arm by itself" if method.by_arm else ""
    return f"answers are weighted by the inverse of their modelled chance (logistic regression on {given}{own})"


def _imputation(analysis: Any, method: Any) -> str:
    own = "within each arm" if method.by_arm else "with arm as a covariate"
    given = f", given {_by(analysis, *method.covariates)}" if method.covariates else ""
    how = "a multivariate normal model of the visits" if method.model == "joint_normal" else "chained equations"
    imputed = f"{method.imputations} imputations under missing at random by {how} {own}"
    return f"{imputed}{given}{_combined(method)}"


def _reference(analysis: Any, method: Any) -> str:
    given = f" and {_by(analysis, *method.covariates)}" if method.covariates else ""
    rule = method.rule.replace("_", " ").replace("jump", "jump to reference")
    return (
        f"{method.imputations} reference-based imputations of what is missing after stopping treatment ({rule}, the"
        f" reference being {method.reference}), at random before, given the values answered{given}"
        f"{_combined(method)}"
    )


def _combined(method: Any) -> str:
    shifts = [f"{number(value)} points in {arm}" for arm, value in method.delta.items() if value]
    delta = f"; added to imputed values: {listed(shifts)}" if shifts else ""
    return f"{delta}; analyses combined by Rubin's rules, degrees of freedom after Barnard and Rubin"


def _pattern_mixture(analysis: Any, method: Any) -> str:
    terms = ("arm, visit, arm x visit, pattern of missing visits, pattern x arm", *method.covariates)
    return (
        f"changes are imputed once, by their mean in a regression on {', '.join(_named(analysis, terms))}; then those"
        " with any follow-up are weighted by the inverse of its modelled chance (logistic regression on"
        f" {_by(analysis, 'arm', *method.response_covariates)}); standard errors take imputed values for observed"
    )


_MISSING: dict[str, Callable[[Any, Any], str]] = {
    "complete_cases": lambda *_: "only participants who answered every visit are used",
    "weights": _weights,
    "imputation": _imputation,
    "reference": _reference,
    "pattern_mixture": _pattern_mixture,
}


# --- hypotheses -------------------------------------------------------------------------------------------------------

_PROCEDURES = {
    "bonferroni": "Bonferroni's correction",
    "holm": "Holm's procedure",
    "hochberg": "Hochberg's procedure",
    "hommel": "Hommel's procedure",
    "dunnett": "Dunnett's test",
    "dunnett_step_down": "Dunnett's step-down test",
}


def multiplicity(design: Design, analysis: Any) -> str:
    """How pairs are declared different, as a clause; empty with one test."""
    n_pairs = len(pairs_of(design, analysis)) if len(design.arms) > 1 else 0
    if analysis.multiplicity == "lsd" and n_pairs and len(design.arms) > 2:
        return "a pair counts as different only when the test of all arms is significant too (Fisher)"
    if analysis.multiplicity in _PROCEDURES and n_pairs > 1:
        return f"{_PROCEDURES[analysis.multiplicity]} over the comparisons at a visit"
    n_visits = 1 if has_one_result(analysis) else len(visits_of(design, analysis))
    return "no adjustment for multiple comparisons" if n_pairs * n_visits > 1 else ""


_UNITS = {"risk difference": " percentage points", "mean time difference": " days"}
_UNITS_OF_MEANS = {
    "score": " points",
    "binary": " as a proportion",
    "ordinal": " levels",
    "count": " events",
    "event": " as a proportion",
    "dose": " dose units",
}


def _unit(design: Design, analysis: Any, measure: str) -> str:
    """Unit of a measure, with a space before it; empty for ratios."""
    return (
        _UNITS_OF_MEANS[design.outcomes[analysis.outcome].kind]
        if measure == "mean difference"
        else _UNITS.get(measure, "")
    )


def hypothesis(design: Design, analysis: Any) -> str:
    """What is tested against which margin, as a sentence; empty for superiority."""
    if analysis.hypothesis == "superiority":
        return ""
    measure, margin = analysis.margin_measure or measures_of(analysis)[0], analysis.margin
    ratio, unit = measure.endswith("ratio"), _unit(design, analysis, measure)
    low, high = (number(1 / margin, 4).rstrip("0") if ratio else number(-margin), number(margin))
    level = f"one-sided level {percent(analysis.alpha / 2, None)}"
    if analysis.multiplicity == "none":
        level += f", which is to say that the whole {percent(1 - analysis.alpha, None)} interval lies there"
    if analysis.hypothesis == "equivalence":
        return f"Tested for equivalence: that the {measure} is between {low} and {high}{unit} ({level})."
    up = better_is_higher(analysis, design.outcomes[analysis.outcome])
    side = f"{'above' if up else 'below'} {low if up else high}{unit} ({'higher' if up else 'lower'} is better"
    return f"Tested for non-inferiority of the first arm: that the {measure} is {side}; {level})."


def about(design: Design, analysis: Any) -> str:
    """An analysis in one paragraph, for summaries."""
    outcome = label(design, analysis)
    details = [model(design, analysis), adjustment(analysis), variance(analysis)]
    texts = [f"{endpoint(design, analysis, outcome)}: {'; '.join(text for text in details if text)}."]
    if analysis.estimand != "treatment_policy" or analysis.kind == "complier":
        texts += [estimand(design, analysis, outcome), cut(analysis)]
    rule = multiplicity(design, analysis)
    texts += [f"Missing data: {missing(design, analysis)}.", f"{rule[0].upper()}{rule[1:]}." if rule else ""]
    text = " ".join(text for text in [*texts, hypothesis(design, analysis)] if text)
    return f"{text[0].upper()}{text[1:]}"
