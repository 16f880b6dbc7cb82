"""Operating characteristics from estimates, each with its Monte Carlo standard error.

Formulas: Morris, White and Crowther 2019, doi:10.1002/sim.8086, table 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import COMPARISONS, GLOBAL_TEST, MEANS, RATIOS, Estimates, Label
from trialsim.analysis.truth import value_of
from trialsim.errors import ResultsError
from trialsim.records import coded

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Performance:
    """One number about one label: value, Monte Carlo standard error, replicates it rests on."""

    label: Label
    statistic: str
    value: float
    mcse: float
    n_replicates: int


def mean_with_error(values: Floats) -> tuple[float, float, int]:
    """Mean over replicates, its standard error (NaN for one replicate) and their number; NaN values do not count."""
    used = values[~np.isnan(values)]
    if not len(used):
        return float("nan"), float("nan"), 0
    error = float(used.std(ddof=1) / np.sqrt(len(used))) if len(used) > 1 else float("nan")
    return float(used.mean()), error, len(used)


def proportion_with_error(hits: Floats) -> tuple[float, float, int]:
    """Share of ones, sqrt(p (1 - p) / n), and n; NaN values do not count.

    Where all or none are hits the estimated error would be 0; the error at 1 / (n + 2) away is given instead.
    """
    used = hits[~np.isnan(hits)]
    n = len(used)
    if n == 0:
        return float("nan"), float("nan"), 0
    p = float(used.mean())
    inside = min(max(p, 1 / (n + 2)), 1 - 1 / (n + 2))
    return p, float(np.sqrt(inside * (1 - inside) / n)), n


def true_value(estimates: Estimates, place: int, truths: Truths | None = None) -> tuple[float, float]:
    """Superpopulation value of a label's estimand, and its Monte Carlo standard error (of the logarithm for ratios).

    Made of the arms' potential outcomes averaged over replicates: those of a large simulation for the truth alone,
    `truths`, where there is one with more participants, and otherwise the estimates' own.
    """
    label = estimates.labels[place]
    if truths is not None and label in truths.values:
        return truths.values[label]
    means = [mean_with_error(column[:, place])[0] for column in (estimates.truth_first, estimates.truth_second)]
    given = [np.array([mean]) for mean in means if not np.isnan(mean)]
    on_scale = _log if label.measure in RATIOS else np.asarray
    return float(value_of(label.measure, given)[0]), mean_with_error(on_scale(estimates.truth[:, place]))[1]


@dataclass(frozen=True)
class Truths:
    """True values from a large simulation: by label, value and Monte Carlo standard error."""

    values: dict[Label, tuple[float, float]]
    n_participants: int


def performance(estimates: Estimates, *, skip_failed: bool = False, truths: Truths | None = None) -> list[Performance]:
    """Every label's performance.

    Raises ResultsError where a fit failed, unless `skip_failed`: then the other replicates are summarised, and the
    share of failed fits is among the statistics either way.
    """
    failed = ~estimates.converged
    if failed.any() and not skip_failed:
        raise ResultsError(_failures(estimates))
    rows: list[Performance] = []
    for place, label in enumerate(estimates.labels):
        rows += _of_label(estimates, place, label, truths)
    return rows


def by_analysis(
    estimates: Estimates, *, skip_failed: bool = False, truths: Truths | None = None
) -> Iterator[tuple[str, list[Performance], str]]:
    """Each analysis by itself: its name, its performance, and why there is none (empty where there is).

    An analysis in which fits failed does not stand in the way of the others.
    """
    for name in dict.fromkeys(label.analysis for label in estimates.labels):
        try:
            yield name, performance(_part(estimates, name), skip_failed=skip_failed, truths=truths), ""
        except ResultsError as error:
            yield name, [], str(error)


def _part(estimates: Estimates, analysis: str) -> Estimates:
    mine = [place for place, label in enumerate(estimates.labels) if label.analysis == analysis]
    names = [f.name for f in fields(Estimates) if f.name not in ("labels", "replicate")]
    columns = {name: getattr(estimates, name)[:, mine] for name in names}
    return replace(estimates, labels=tuple(estimates.labels[place] for place in mine), **columns)


def _failures(estimates: Estimates) -> str:
    failed = ~estimates.converged
    reasons, counts = np.unique(estimates.reason[failed].astype(str), return_counts=True)
    common = reasons[np.argsort(-counts)][:3]
    n = int(failed.any(axis=1).sum())
    return (
        f"{n} of {estimates.n_replicates} replicates have a fit that failed ({'; '.join(common)}). "
        "They are not silently left out: summarise the others with --skip-failed (Python: skip_failed=True)."
    )


def _of_label(estimates: Estimates, place: int, label: Label, truths: Truths | None) -> list[Performance]:
    rows = [Performance(label, "failed fits", *proportion_with_error((~estimates.converged[:, place]).astype(float)))]
    significant = estimates.significant[:, place]
    if label.measure == GLOBAL_TEST or label.measure in COMPARISONS:
        rows.append(Performance(label, "power", *proportion_with_error(significant)))
    if label.measure in (*COMPARISONS, *MEANS):
        rows += _of_estimate(estimates, place, label, truths)
    return rows


def _of_estimate(estimates: Estimates, place: int, label: Label, truths: Truths | None) -> list[Performance]:
    """Bias, standard errors, mean squared error and coverage; of the logarithm for ratios."""
    log = label.measure in RATIOS
    truth, truth_error = true_value(estimates, place, truths)
    on_scale = _log if log else np.asarray
    values, own_truth = on_scale(estimates.estimate[:, place]), on_scale(estimates.truth[:, place])
    errors = estimates.std_error[:, place]
    mean, mean_error, n = mean_with_error(values)
    _, bias_error, _ = mean_with_error(values - own_truth)
    if truths is not None and label in truths.values:  # the own truth is no longer what the bias is against
        bias_error = float(np.hypot(mean_error, truth_error))
    back = np.exp if log else float
    factor = float(np.exp(mean)) if log else 1.0
    rows = [
        Performance(label, "mean estimate", float(back(mean)), mean_error * factor, n),
        Performance(label, "truth", truth, truth_error * (truth if log else 1.0), n),
        Performance(label, "bias", mean - float(on_scale(truth)), bias_error, n),
    ]
    if label.measure in MEANS:
        return rows
    rows += _precision(label, values, errors, n)
    if np.isnan(truth):  # a hazard ratio, say, has no value that its arms' potential outcomes could give
        return rows
    return [*rows, _squared_error(label, values, float(on_scale(truth))), _coverage(estimates, place, label, truth)]


def _squared_error(label: Label, values: Floats, truth: float) -> Performance:
    return Performance(label, "MSE", *mean_with_error((values - truth) ** 2))


TRIAL = {
    "randomized/all": "participants randomized",
    "calendar/enrolment_months": "months to enrol",
    "calendar/last_visit_day": "days to the last visit",
    "coaches/hours": "coach hours",
    "cost/total": "total cost",
}
"""What is counted of the trial as a whole, by the name of its measure."""


def trial_values(measures: Mapping[str, Floats]) -> dict[str, Floats]:
    """The same by what people read, (R,) each, of the measures that there are; coach hours are those of all arms."""
    hours = [values for name, values in measures.items() if name.startswith("coaches/") and name.endswith("/hours")]
    known = dict(measures) | ({"coaches/hours": sum(hours[1:], hours[0])} if hours else {})
    return {what: known[name] for name, what in TRIAL.items() if name in known}


def of_trial(measures: Mapping[str, Floats]) -> list[Performance]:
    """Expected size, duration, coach hours and cost of the trial."""
    return [
        Performance(Label("trial", "all arms", "", what, ""), "mean", *mean_with_error(values))
        for what, values in trial_values(measures).items()
    ]


def _log(values: Floats | float) -> Floats:
    """Logarithm; NaN where there is none (a true ratio of 0, say)."""
    x = np.asarray(values, dtype=float)
    return np.log(x, out=np.full(x.shape, np.nan), where=x > 0)


def _precision(label: Label, values: Floats, errors: Floats, n: int) -> list[Performance]:
    if n < 2:
        return []
    used = ~np.isnan(values)
    empirical = float(values[used].std(ddof=1))
    model = float(np.sqrt(np.mean(errors[used] ** 2)))
    spread = float(np.std(errors[used] ** 2, ddof=1))
    model_error = spread / (2 * model * np.sqrt(n)) if model > 0 else 0.0
    relative = model / empirical - 1 if empirical > 0 else float("nan")
    parts = (model_error / model if model > 0 else 0.0) ** 2 + 1 / (2 * (n - 1))
    return [
        Performance(label, "empirical SE", empirical, empirical / np.sqrt(2 * (n - 1)), n),
        Performance(label, "model SE", model, model_error, n),
        Performance(label, "relative error of SE", relative, (1 + relative) * np.sqrt(parts), n),
    ]


def _coverage(estimates: Estimates, place: int, label: Label, truth: float) -> Performance:
    low, high = estimates.ci_low[:, place], estimates.ci_high[:, place]
    inside = np.where(np.isnan(low), np.nan, (low <= truth) & (truth <= high))
    return Performance(label, "coverage", *proportion_with_error(inside))


def columns(rows: list[Performance], *, design_point: int = 0) -> dict[str, object]:
    """Columns of the `performance` table."""
    frame: dict[str, object] = {"design_point": np.full(len(rows), design_point, dtype=np.int32)}
    for name in ("analysis", "contrast", "visit", "measure", "estimand"):
        frame[name] = coded([getattr(row.label, name) for row in rows])
    frame["statistic"] = coded([row.statistic for row in rows])
    frame["value"] = np.array([row.value for row in rows])
    frame["mcse"] = np.array([row.mcse for row in rows])
    frame["n_replicates"] = np.array([row.n_replicates for row in rows], dtype=np.int32)
    return frame
