"""Analyses in words: endpoint, model, estimand, missing data, hypotheses and multiplicity."""

from __future__ import annotations

from typing import Any

from trialsim.design.analysis_checks import endpoint_of, measures_of, pairs_of
from trialsim.design.parts import Design
from trialsim.report.layout import listed, number, percent

_ENDPOINTS = {
    "change": "change of {outcome} from baseline",
    "response": "response on {outcome}",
    "first_response": "time to the first visit with a response on {outcome}",
    "response_visits": "number of visits with a response on {outcome} among those answered",
    "sessions": "number of sessions attended",
}


def endpoint(design: Design, analysis: Any) -> str:
    """What is compared: 'change of pain severity from baseline'."""
    label = design.outcomes[analysis.outcome].label or analysis.outcome
    return _ENDPOINTS[endpoint_of(analysis)].format(outcome=label)


def model(design: Design, analysis: Any) -> str:
    """The model without its endpoint: 'modified Poisson regression (log link)'."""
    words = {
        "modified_poisson": lambda a: "modified Poisson regression (log link) on arm, visit and arm x visit",
        "linear": lambda a: "linear regression on arm, visit and arm x visit",
        "t_test": lambda a: f"two-sample t tests ({'pooled variance' if a.equal_variance else 'Welch'}) at each visit",
        "proportions": lambda a: f"comparison of proportions at each visit ({a.interval.capitalize()} intervals)",
        "chi_squared": lambda a: "chi-squared tests at each visit" + (" with Yates's correction" * a.correction),
        "ancova": lambda a: "analysis of covariance at each visit",
        "logistic": lambda a: "logistic regression with standardisation at each visit",
        "log_binomial": lambda a: "log-binomial regression at each visit",
        "gee": lambda a: f"estimating equations over all visits ({_link(a)}), {a.working} working correlation",
        "mmrm": lambda a: "mixed model for repeated measures (unstructured covariance, REML), " + _DF[a.df],
        "mixed": lambda a: _mixed(a),
        "cluster_robust": lambda a: (
            f"least squares at each visit, {a.correction} variance by {a.cluster}, "
            + "Satterthwaite degrees of freedom"
        ),
        "cluster_means": lambda a: f"t tests of {a.cluster} means at each visit",
        "log_rank": lambda a: "log-rank test",
        "cox": lambda a: f"proportional hazards regression (ties after {a.ties.capitalize()})",
        "rmst": lambda a: f"restricted mean time without a response up to day {number(_until(design, a))}",
        "counts": lambda a: f"{a.family.replace('_', ' ').replace('quasi ', 'quasi-')} regression (log link)",
        "complier": lambda a: _COMPLIER[a.method],
        "user": lambda a: f"the function {a.function}",
    }
    return words[analysis.kind](analysis)


_DF = {
    "kenward_roger": "Kenward-Roger variance and degrees of freedom",
    "satterthwaite": "Satterthwaite degrees of freedom",
    "residual": "residual degrees of freedom",
    "between_within": "between-within degrees of freedom",
    "normal": "normal distribution",
}
_COMPLIER = {
    "two_stage": "two-stage least squares with the arm as instrument for attendance, robust variance",
    "ratio": "difference in outcome divided by the difference in attendance, variance by the delta method",
}


def _link(analysis: Any) -> str:
    return "linear" if analysis.endpoint == "change" else "logistic"


def _until(design: Design, analysis: Any) -> float:
    return float(analysis.until_day or list(design.visits.values())[-1].day)


def _mixed(analysis: Any) -> str:
    nested = f" in {listed(list(analysis.nested_arms))}" if analysis.nested_arms else ""
    apart = ", residual variances of their own with and without" if analysis.heteroscedastic else ""
    return (
        f"linear mixed model at each visit with random intercepts of {analysis.cluster}es".replace("sitees", "sites")
        + f"{nested}{apart}, {_DF[analysis.df]}"
    )


def adjustment(analysis: Any) -> str:
    """'adjusted for ...' or 'without covariates'; empty where a model has none."""
    covariates = getattr(analysis, "covariates", None)
    if covariates is None:
        return ""
    names = {"baseline": f"baseline {analysis.outcome}"}
    return f"adjusted for {listed([names.get(c, c) for c in covariates])}" if covariates else "without covariates"


def variance(analysis: Any) -> str:
    """How the variance is made, where that is a choice."""
    if analysis.kind in ("modified_poisson", "linear", "gee"):
        units = {"person": "participants", "coach": "coaches (a participant without a coach stands alone)"}
        text = f"robust variance clustered on {units.get(analysis.cluster, 'sites')}"
        correction = getattr(analysis, "correction", "none")
        return text if correction == "none" else f"{text}, corrected ({correction.replace('_', ' ')})"
    given = getattr(analysis, "variance", None)
    return {"model": "model-based variance", None: ""}.get(given, f"robust variance ({given})")


def estimand(analysis: Any) -> str:
    """The estimand's strategy for stopping treatment, as a sentence."""
    if analysis.kind == "complier":
        return f"Estimand: the effect among those who attend {_enough(analysis)} by the visit if offered (compliers)."
    return _ESTIMANDS[analysis.estimand].format(enough=_enough(analysis))


_ESTIMANDS = {
    "treatment_policy": (
        "Estimand (treatment policy): had everybody randomized been assigned to the one arm rather than the other,"
        " whether they start and stop treatment or not, as if alive and in the study."
    ),
    "hypothetical": (
        "Estimand (hypothetical): had everybody randomized attended all sessions of the one arm rather than the other."
    ),
    "per_protocol": (
        "Estimand (per protocol, a principal stratum): the effect among those who would attend {enough} by the visit in"
        " every arm of the contrast that has sessions."
    ),
    "while_on_treatment": (
        "Estimand (while on treatment): the value at the last visit before stopping treatment; the baseline for those"
        " who stop before any visit."
    ),
    "composite": "Estimand (composite): a participant who has stopped treatment by the visit is no responder.",
}


def _enough(analysis: Any) -> str:
    if analysis.adherent is None:
        return "at least one session" if analysis.kind == "complier" else "all sessions"
    return f"at least {analysis.adherent} session{'s' if analysis.adherent > 1 else ''}"


def missing(analysis: Any) -> str:
    """What is done about missing values."""
    return _MISSING[analysis.missing.kind](analysis.missing)


def _covariates(names: tuple[str, ...]) -> str:
    return f" and {listed(list(names))}" if names else ""


def _imputation(m: Any) -> str:
    model = "multivariate normal" if m.model == "joint_normal" else "chained equations"
    text = f"{m.imputations} imputations under missing at random ({model}, {'by arm, ' if m.by_arm else ''}visits"
    return f"{text}{_covariates(m.covariates)}), combined by Rubin's rules{_delta(m)}"


def _delta(m: Any) -> str:
    given = [f"{number(value)} in {arm}" for arm, value in m.delta.items() if value]
    return f"; added to imputed values: {listed(given)}" if given else ""


_RULES = {
    "jump": "jump to reference",
    "copy_reference": "copy reference",
    "copy_increment": "copy increments in reference",
}
_MISSING = {
    "available": lambda m: "values that were observed",
    "complete_cases": lambda m: "only participants who answered every visit",
    "weights": lambda m: (
        "observed values weighted by the inverse of their chance of being observed (by arm"
        + _covariates((*m.covariates, *(["the value answered last"] * m.history)))
        + ")"
    ),
    "imputation": _imputation,
    "reference": lambda m: (
        f"{m.imputations} reference-based imputations ({_RULES[m.rule]}: {m.reference}) after"
        f" stopping treatment, combined by Rubin's rules{_delta(m)}"
    ),
    "pattern_mixture": lambda m: (
        "one imputation by a pattern-mixture regression (visit, missing pattern and arm"
        f"{_covariates(m.covariates)}), then weights for having any follow-up (arm{_covariates(m.response_covariates)})"
    ),
}

_MULTIPLICITY = {
    "bonferroni": "Bonferroni's correction over the comparisons at a visit",
    "holm": "Holm's procedure over the comparisons at a visit",
    "hochberg": "Hochberg's procedure over the comparisons at a visit",
    "hommel": "Hommel's procedure over the comparisons at a visit",
    "dunnett": "Dunnett's test over the comparisons at a visit",
    "dunnett_step_down": "Dunnett's step-down test over the comparisons at a visit",
}


def multiplicity(design: Design, analysis: Any) -> str:
    """How pairs are declared different, as a clause; empty with one comparison."""
    if len(design.arms) < 3 or len(pairs_of(design, analysis)) < 2:
        return ""
    if analysis.multiplicity == "lsd":
        return "a pair counts as different only when the test of all arms is significant too (Fisher)"
    return _MULTIPLICITY.get(analysis.multiplicity, "no adjustment for multiple comparisons")


def hypothesis(analysis: Any) -> str:
    """What is tested against which margin, as a sentence; empty for superiority."""
    if analysis.hypothesis == "superiority":
        return ""
    measure = analysis.margin_measure or measures_of(analysis)[0]
    name = analysis.hypothesis.replace("_", "-").replace("non-inferiority", "non-inferiority")
    margin = number(analysis.margin)
    return (
        f"Tested for {name} with the margin {margin} of the {measure}, one-sided level {percent(analysis.alpha / 2)}."
    )


def about(design: Design, analysis: Any) -> str:
    """An analysis in one paragraph, for summaries."""
    what = f"{endpoint(design, analysis)}: {model(design, analysis)}"
    details = [text for text in (adjustment(analysis), variance(analysis), missing(analysis)) if text]
    rule = multiplicity(design, analysis)
    parts = [f"{what}; {'; '.join(details)}.", f"{rule[0].upper()}{rule[1:]}." if rule else "", hypothesis(analysis)]
    if analysis.estimand != "treatment_policy" or analysis.kind == "complier":
        parts.append(estimand(analysis))
    text = " ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}"
