"""Which function fits which kind of analysis, and how single replicates become a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trialsim.analysis import complier, few_clusters, gee, mixed, mmrm, regressions, survival, two_sample
from trialsim.analysis.fits import (
    Comparison,
    Data,
    FitError,
    Floats,
    Ints,
    Link,
    Means,
    Pairs,
    Texts,
    TimesToEvent,
    no_reasons,
)
from trialsim.analysis.inference import ArmMeans, stacked
from trialsim.design.analysis_checks import measures_of


@dataclass(frozen=True, eq=False)
class Compared:
    """One measure of P pairs at V visits in R replicates; as `Comparison`, the replicate first."""

    measure: str
    estimate: Floats  # (R, P, V), as all below
    std_error: Floats
    df: Floats
    p_value: Floats
    ci_low: Floats  # NaN where it is estimate -+ quantile x std_error
    ci_high: Floats
    n_used: Ints
    reason: Texts
    global_statistic: Floats  # (R, V)
    global_p: Floats  # (R, V)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What an analysis found in R replicates: the arms' means, comparisons, or both."""

    means: ArmMeans | None
    compared: list[Compared] = field(default_factory=list)


@dataclass(frozen=True)
class Numbers:
    """An analysis with arms as numbers: what models need beside the data."""

    analysis: Any
    pairs: Pairs
    nested_arms: tuple[int, ...] | None = None
    until: float | None = None


MeansModel = Callable[[Numbers, Data], Means]

_MEANS: dict[str, MeansModel] = {
    "t_test": lambda n, d: two_sample.t_test(d, equal_variance=n.analysis.equal_variance),
    "proportions": lambda n, d: two_sample.arm_proportions(d),
    "chi_squared": lambda n, d: two_sample.arm_proportions(d),
    "ancova": lambda n, d: regressions.ancova(d, variance=n.analysis.variance),
    "logistic": lambda n, d: regressions.logistic(d, variance=n.analysis.variance),
    "log_binomial": lambda n, d: regressions.log_binomial(d),
    "gee": lambda n, d: gee.gee(
        d,
        family="binomial" if n.analysis.endpoint == "response" else "gaussian",
        working=n.analysis.working,
        correction=n.analysis.correction,
    ),
    "mixed": lambda n, d: mixed.mixed(
        d, nested_arms=n.nested_arms, heteroscedastic=n.analysis.heteroscedastic, df=n.analysis.df
    ),
    "cluster_robust": lambda n, d: few_clusters.cluster_robust(d, correction=n.analysis.correction),
    "cluster_means": lambda n, d: few_clusters.cluster_means(d, weights=n.analysis.weights, pooled=n.analysis.pooled),
}


_MEANS_OF_MANY: dict[str, Callable[[Numbers, Sequence[Data | FitError]], list[Means | FitError]]] = {
    "mmrm": lambda n, many: mmrm.mmrm_of_many(
        many, df=n.analysis.df, covariates_by_visit=n.analysis.covariates_by_visit
    ),
}


def link_of(analysis: Any) -> Link:
    """Scale on which a kind of analysis gives the arms' means."""
    if analysis.kind in ("modified_poisson", "log_binomial", "counts"):
        return "log"
    bent = analysis.kind == "logistic" or (analysis.kind == "gee" and analysis.endpoint == "response")
    return "logit" if bent else "identity"


def fit_means(numbers: Numbers, replicates: Sequence[Data | FitError], *, n_arms: int, n_visits: int) -> ArmMeans:
    """Arms' means of an analysis in each replicate. A FitError in the place of data stays what it is."""
    kind = numbers.analysis.kind
    if kind in _MEANS_OF_MANY:
        fits = _MEANS_OF_MANY[kind](numbers, replicates)
    else:
        fits = [attempt(_MEANS[kind], numbers, data) for data in replicates]
    return stacked(fits, link=link_of(numbers.analysis), n_arms=n_arms, n_visits=n_visits)


def fit_proportions(numbers: Numbers, replicates: Sequence[Data | FitError], *, n_visits: int) -> list[Compared]:
    """Unadjusted comparisons of shares of responders in each replicate."""
    kind, analysis = numbers.analysis.kind, numbers.analysis

    def compare(n: Numbers, data: Data) -> list[Comparison]:
        if kind == "chi_squared":
            return [two_sample.chi_squared(data, n.pairs, correction=analysis.correction)]
        found = two_sample.proportions(data, n.pairs, alpha=analysis.alpha)
        tested = two_sample.chi_squared(data, n.pairs)
        return [_with_global(one, tested, newcombe=analysis.interval == "newcombe") for one in found]

    return of_comparisons(numbers, [attempt(compare, numbers, data) for data in replicates], n_visits)


def _with_global(found: Comparison, tested: Comparison, *, newcombe: bool) -> Comparison:
    """A comparison with the chi-squared test of all arms, and with its own interval only if wanted."""
    given = {name: getattr(found, name) for name in Comparison.__dataclass_fields__}
    given |= {"global_statistic": tested.global_statistic, "global_p": tested.global_p}
    if not newcombe:
        given |= {"ci_low": None, "ci_high": None}
    return Comparison(**given)


def fit_events(numbers: Numbers, replicates: Sequence[TimesToEvent | FitError], *, n_arms: int) -> Fitted:
    """Times to an event in each replicate."""
    analysis = numbers.analysis
    if analysis.kind == "rmst":
        fits = [attempt(lambda n, d: survival.rmst(d, tau=n.until), numbers, data) for data in replicates]
        return Fitted(stacked(fits, link="identity", n_arms=n_arms, n_visits=1))

    def compare(n: Numbers, data: TimesToEvent) -> list[Comparison]:
        if analysis.kind == "log_rank":
            return [survival.log_rank(data, n.pairs)]
        return [survival.cox(data, n.pairs, ties=analysis.ties)]

    return Fitted(None, of_comparisons(numbers, [attempt(compare, numbers, data) for data in replicates], 1))


def fit_counts(numbers: Numbers, replicates: Sequence[tuple[Data, Floats] | FitError], *, n_arms: int) -> Fitted:
    """A count with its exposure in each replicate."""
    family = numbers.analysis.family
    fits = [attempt(lambda _, one: regressions.counts(*one, family=family), numbers, data) for data in replicates]
    return Fitted(stacked(fits, link="log", n_arms=n_arms, n_visits=1))


def fit_compliers(
    numbers: Numbers, replicates: Sequence[tuple[Data, Floats] | FitError], *, measure: str, n_visits: int
) -> Fitted:
    """Complier effects in each replicate; the second of each pair is who attended (N, V)."""
    two_stage = numbers.analysis.method == "two_stage"

    def compare(n: Numbers, one: tuple[Data, Floats]) -> list[Comparison]:
        return [complier.complier_effect(one[0], one[1], n.pairs, measure=measure, two_stage=two_stage)]

    return Fitted(None, of_comparisons(numbers, [attempt(compare, numbers, one) for one in replicates], n_visits))


def attempt(model: Callable[[Numbers, Any], Any], numbers: Numbers, data: Any) -> Any:
    """What a model says, or the FitError that stopped it."""
    if isinstance(data, FitError):
        return data
    try:
        return model(numbers, data)
    except FitError as fault:
        return fault


def of_comparisons(numbers: Numbers, fits: Sequence[list[Comparison] | FitError], n_visits: int) -> list[Compared]:
    """Replicates side by side, measure by measure."""
    names = measures_of(numbers.analysis)
    return [_one_measure(name, m, numbers, fits, n_visits) for m, name in enumerate(names)]


def _one_measure(
    name: str, place: int, numbers: Numbers, fits: Sequence[list[Comparison] | FitError], n_visits: int
) -> Compared:
    shape = (len(fits), len(numbers.pairs), n_visits)
    values = {key: np.full(shape, np.nan) for key in ("estimate", "std_error", "df", "p_value", "ci_low", "ci_high")}
    n_used, reason = np.zeros(shape, dtype=np.int64), no_reasons(*shape)
    overall = {key: np.full((shape[0], n_visits), np.nan) for key in ("global_statistic", "global_p")}
    for r, fit in enumerate(fits):
        if isinstance(fit, FitError):
            reason[r] = str(fit)
            continue
        found = fit[place]
        for key, target in (values | overall | {"n_used": n_used, "reason": reason}).items():
            given = getattr(found, key)
            if given is not None:
                target[r] = given
    return Compared(name, **values, **overall, n_used=n_used, reason=reason)
