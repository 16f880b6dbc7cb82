"""Checks of analyses and decisions against the rest of a design."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from trialsim.design.naming import Path, Problem, named, unknown

if TYPE_CHECKING:
    from trialsim.design.parts import Design

BINARY = ("modified_poisson", "proportions", "chi_squared", "logistic", "log_binomial")
"""Kinds that analyse response."""
EVENTS = ("log_rank", "cox", "rmst")
"""Kinds that analyse the time to an event: an outcome that is one, or the first response."""
WEIGHTED = ("modified_poisson", "linear", "ancova", "logistic", "gee")
"""Kinds that can weight observations."""
IMPUTED = (
    "modified_poisson", "linear", "t_test", "ancova", "logistic", "log_binomial", "gee", "mmrm", "mixed",
    "cluster_robust", "cluster_means",
)  # fmt: skip
"""Kinds whose estimates can be combined over imputations."""
FILLED_IN = ("imputation", "reference", "pattern_mixture")
"""Ways with missing data that put normal values in their place, as only scores have."""

_MEASURES = {
    "modified_poisson": ("risk ratio", "risk difference"),
    "log_binomial": ("risk ratio", "risk difference"),
    "logistic": ("risk ratio", "risk difference", "odds ratio"),
    "proportions": ("risk difference", "risk ratio", "odds ratio"),
    "chi_squared": ("risk difference",),
    "log_rank": ("hazard ratio",),
    "cox": ("hazard ratio",),
    "rmst": ("mean time difference", "mean time ratio"),
    "counts": ("rate ratio",),
}


def endpoint_of(analysis: Any) -> str:
    """What an analysis compares: change, value, response, first_response, events, response_visits or sessions."""
    given: str | None = getattr(analysis, "endpoint", None)
    if given is not None:
        return given
    return "response" if analysis.kind in BINARY else "first_response" if analysis.kind in EVENTS else "change"


def measures_of(analysis: Any) -> tuple[str, ...]:
    """Measures by which an analysis compares two arms, the one that decides first."""
    if analysis.kind in _MEASURES:
        return _MEASURES[analysis.kind]
    if endpoint_of(analysis) != "response":
        return ("mean difference",)
    return ("odds ratio", "risk ratio", "risk difference") if analysis.kind == "gee" else ("risk difference",)


def has_one_result(analysis: Any) -> bool:
    """Whether all visits together have one result, as times and counts do."""
    return analysis.kind in EVENTS or analysis.kind == "counts"


def visits_of(design: Design, analysis: Any) -> list[str]:
    """Visits that an analysis looks at, in their order."""
    return [visit for visit in design.visits if not analysis.visits or visit in analysis.visits]


def pairs_of(design: Design, analysis: Any) -> list[tuple[str, str]]:
    """The contrasts of an analysis: those named, or every pair that makes sense."""
    arms = list(design.arms)
    pairs = list(analysis.contrasts) or [(a, b) for i, a in enumerate(arms) for b in arms[i + 1 :]]
    if analysis.kind == "complier" and not analysis.contrasts:
        return [(a, b) for a in arms for b in arms if design.n_sessions(a) and not design.n_sessions(b)]
    return pairs


def analyses(design: Design) -> Iterator[Problem]:
    """Problems of the analysis plan."""
    for name, analysis in design.analyses.items():
        path: Path = ("analyses", name)
        for check in (_names, _contrasts, _hypothesis, _estimand, _missing, _clusters, _special):
            yield from check(design, path, analysis)
        if analysis.outcome in design.outcomes:
            yield from _suits(path, analysis, design.outcomes[analysis.outcome])


def _names(design: Design, path: Path, analysis: Any) -> Iterator[Problem]:
    yield from named((*path, "outcome"), analysis.outcome, design.outcomes, "outcome")
    for index, visit in enumerate(analysis.visits):
        yield from named((*path, "visits", index), visit, design.visits, "visit")
    yield from _covariates(design, (*path, "covariates"), getattr(analysis, "covariates", ()))
    for field in ("covariates", "response_covariates"):
        yield from _covariates(design, (*path, "missing", field), getattr(analysis.missing, field, ()))
    yield from _twice((*path, "visits"), analysis.visits, "a visit")


def _covariates(design: Design, path: Path, given: tuple[str, ...]) -> Iterator[Problem]:
    known = ["baseline", "site", *design.covariates]
    for index, covariate in enumerate(given):
        yield from named((*path, index), covariate, known, "covariate")
    yield from _twice(path, given, "a covariate")


def _twice(path: Path, given: tuple[str, ...], what: str) -> Iterator[Problem]:
    if len(set(given)) < len(given):
        yield path, f"{what} is named twice", ""


def _contrasts(design: Design, path: Path, analysis: Any) -> Iterator[Problem]:
    for index, pair in enumerate(analysis.contrasts):
        for arm in pair:
            yield from named((*path, "contrasts", index), arm, design.arms, "arm")
        if pair[0] == pair[1]:
            yield (*path, "contrasts", index), "an arm cannot be compared with itself", ""
    yield from _twice((*path, "contrasts"), tuple(map(str, analysis.contrasts)), "a contrast")
    if analysis.multiplicity.startswith("dunnett") and len({b for _, b in pairs_of(design, analysis)}) > 1:
        hint = "Name contrasts such as [[coach, usual], [online, usual]]."
        yield (*path, "multiplicity"), "Dunnett's test needs contrasts with one common second arm", hint


def _hypothesis(_: Design, path: Path, analysis: Any) -> Iterator[Problem]:
    if (analysis.hypothesis == "superiority") == (analysis.margin is not None):
        yield (*path, "margin"), "a margin goes with non_inferiority or equivalence, and they with a margin", ""
    measures = measures_of(analysis)
    if analysis.margin_measure and analysis.margin_measure not in measures:
        yield (*path, "margin_measure"), f"{analysis.kind} has no measure '{analysis.margin_measure}'", _list(measures)
    measure = analysis.margin_measure or measures[0]
    if analysis.margin is not None and getattr(analysis, "interval", "wald") != "wald":
        yield (*path, "interval"), "a margin is judged by the Wald interval", "Set interval: wald."
    if analysis.margin is not None and measure.endswith("ratio") and analysis.margin <= 1:
        yield (*path, "margin"), f"the margin of a {measure} must be above 1", "For example 1.25."
    if analysis.hypothesis != "superiority" and analysis.multiplicity not in ("none", "bonferroni", "holm"):
        hint = "Use none, bonferroni or holm, or a decision."
        yield (*path, "multiplicity"), f"{analysis.multiplicity} is made for tests of superiority", hint


def _list(names: Iterable[str]) -> str:
    return f"It has: {', '.join(names)}."


def _estimand(design: Design, path: Path, analysis: Any) -> Iterator[Problem]:
    endpoint = endpoint_of(analysis)
    if analysis.estimand != "treatment_policy":
        if endpoint not in ("change", "value", "response") or analysis.kind == "complier":
            yield (*path, "estimand"), f"{analysis.kind} has the estimand treatment_policy only", ""
        if analysis.estimand == "composite" and endpoint != "response":
            yield (*path, "estimand"), "a composite needs an analysis of response", "Use logistic, for example."
    if analysis.adherent is None:
        return
    if analysis.estimand != "per_protocol" and analysis.kind != "complier":
        yield (*path, "adherent"), "adherent goes with the estimand per_protocol, or with complier", ""
    most = max(design.n_sessions(arm) for arm in design.arms)
    if analysis.adherent > most:
        yield (*path, "adherent"), f"no arm has {analysis.adherent} sessions (at most {most})", ""


def _missing(design: Design, path: Path, analysis: Any) -> Iterator[Problem]:
    kind, path = analysis.missing.kind, (*path, "missing")
    allowed = {
        "weights": WEIGHTED,
        "imputation": IMPUTED,
        "reference": IMPUTED,
        "pattern_mixture": ("modified_poisson", "linear"),
    }
    if kind in allowed and analysis.kind not in allowed[kind]:
        yield (
            path,
            f"{analysis.kind} does not go with missing data by {kind}",
            f"Goes with: {', '.join(allowed[kind])}.",
        )
    yield from _weights(path, analysis)
    if kind == "reference":
        yield from named((*path, "reference"), analysis.missing.reference, design.arms, "arm")
        if not any(design.n_sessions(arm) for arm in design.arms):
            yield path, "no arm has sessions to stop", "Use kind: imputation."
    if kind == "complete_cases" and (analysis.kind == "user" or endpoint_of(analysis) == "sessions"):
        yield path, f"complete_cases does nothing for {analysis.kind} here", "Leave missing out."
    if kind == "reference" and analysis.estimand == "hypothetical":
        rule = "imputing from a reference arm contradicts the estimand hypothetical (had everybody attended)"
        yield path, rule, "Use kind: imputation."
    if kind in ("reference", "imputation", "pattern_mixture") and analysis.estimand in (
        "per_protocol",
        "while_on_treatment",
    ):
        yield path, f"imputation does not go with the estimand {analysis.estimand}", ""
    yield from unknown((*path, "delta"), getattr(analysis.missing, "delta", {}), design.arms, "arm")


def _weights(path: Path, analysis: Any) -> Iterator[Problem]:
    if analysis.missing.kind not in ("weights", "pattern_mixture"):
        return
    if analysis.kind in ("ancova", "logistic") and analysis.variance == "model":
        yield path, "weights need a robust variance", "Set the analysis's variance to hc0 or robust."
    if analysis.kind == "gee" and analysis.working != "independence":
        yield path, "weights need the working correlation independence", ""


def _suits(path: Path, analysis: Any, outcome: Any) -> Iterator[Problem]:
    """Whether the outcome is of a kind that the analysis can take."""
    if not outcome.has_baseline:
        yield from _without_baseline(path, analysis)
    if endpoint_of(analysis) == "events" and outcome.kind != "count":
        hint = "Use endpoint: response_visits, or log_rank, cox or rmst for a time to an event."
        yield (*path, "endpoint"), f"{analysis.outcome} is no number of events but of kind {outcome.kind}", hint
    if analysis.missing.kind in FILLED_IN and not outcome.is_score:
        rule = f"{analysis.missing.kind} puts normal values in place of missing ones; {analysis.outcome} is no score"
        yield (*path, "missing"), rule, "Use kind: weights, available or complete_cases."


def _without_baseline(path: Path, analysis: Any) -> Iterator[Problem]:
    rule = f"{analysis.outcome} has no baseline value"
    if endpoint_of(analysis) == "change":
        yield (*path, "endpoint"), rule, "Use endpoint: response, or kind: log_rank, cox or rmst."
    if analysis.estimand == "while_on_treatment":
        yield (*path, "estimand"), rule, "It would stand for those who stop before the first visit."
    places: list[tuple[Any, Path]] = [(analysis, path), (analysis.missing, (*path, "missing"))]
    for part, where in places:
        for field in ("covariates", "response_covariates"):
            if "baseline" in getattr(part, field, ()):
                yield (*where, field), rule, f"Leave baseline out, as in {field}: []."


_WHERE = {"coach": "arm has coaches", "group": "arm is delivered in groups", "cluster": "clusters are randomized"}


def _clusters(design: Design, path: Path, analysis: Any) -> Iterator[Problem]:
    cluster = getattr(analysis, "cluster", "person")
    needs_some = analysis.kind in ("mixed", "cluster_robust", "cluster_means")
    there = {
        "coach": not needs_some or any(design.coaches(arm) for arm in design.arms),
        "group": any(arm.delivery.kind == "group" for arm in design.arms.values()),
        "cluster": design.clusters is not None,
    }
    if not there.get(cluster, True):
        yield (*path, "cluster"), f"no {_WHERE[cluster]}", "Use cluster: site."
    for index, arm in enumerate(getattr(analysis, "nested_arms", ())):
        yield from named((*path, "nested_arms", index), arm, design.arms, "arm")
    if getattr(analysis, "heteroscedastic", False) and cluster in ("site", "cluster") and not analysis.nested_arms:
        yield (*path, "heteroscedastic"), f"everybody has a {cluster}, so there is only one residual variance", ""


def _special(design: Design, path: Path, analysis: Any) -> Iterator[Problem]:
    if analysis.kind == "complier":
        for index, (first, second) in enumerate(analysis.contrasts):
            if first in design.arms and second in design.arms and (
                not design.n_sessions(first) or design.n_sessions(second)
            ):  # fmt: skip
                rule = "the first arm must have sessions to comply with, the second none"
                yield (*path, "contrasts", index), rule, ""
        if not pairs_of(design, analysis):
            yield path, "no arm has sessions to comply with, or none is without", ""
        if analysis.method == "ratio" and analysis.covariates:
            yield (*path, "covariates"), "the ratio estimator has no covariates", "Use method: two_stage."
    if analysis.kind in EVENTS and analysis.visits:
        yield (*path, "visits"), "a time to an event belongs to all visits together", "Leave visits out."
    if endpoint_of(analysis) == "sessions" and analysis.visits:
        yield (*path, "visits"), "sessions belong to no visit", "Leave visits out."
    if endpoint_of(analysis) == "sessions" and not all(design.n_sessions(arm) for arm in design.arms):
        hint = "Compare response_visits, or drop arms without sessions."
        yield (*path, "endpoint"), "an arm without sessions has none to count", hint


def dials(design: Design) -> Iterator[Problem]:
    """Problems of the missing-data dials."""
    given, path = design.observation.dials, ("observation", "dials")
    if given.outcome is not None:
        yield from named((*path, "outcome"), given.outcome, design.outcomes, "outcome")
    for index, arm in enumerate(given.arms):
        yield from named((*path, "arms", index), arm, design.arms, "arm")
