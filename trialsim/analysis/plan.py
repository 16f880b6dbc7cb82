"""The analysis plan of a design, carried out on what was observed; the truth is put beside it afterwards."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis import endpoints, user
from trialsim.analysis.cells import fit_cells
from trialsim.analysis.estimates import Estimates, concatenate_labels
from trialsim.analysis.fits import Data, FitError, Floats, TimesToEvent
from trialsim.analysis.inference import of_cells
from trialsim.analysis.missing import Completed, complete
from trialsim.analysis.models import (
    Fitted,
    Numbers,
    attempt,
    fit_compliers,
    fit_counts,
    fit_events,
    fit_means,
    fit_proportions,
    of_comparisons,
)
from trialsim.analysis.pooling import pooled
from trialsim.analysis.rows import rows_of
from trialsim.analysis.truth import Truth, value_of
from trialsim.block import Block
from trialsim.design.analysis_checks import EVENTS, endpoint_of, measures_of, pairs_of
from trialsim.design.outcomes import Score
from trialsim.design.parts import Design
from trialsim.world.draws import Draws
from trialsim.world.observation import ObservedData


def analyse_block(block: Block) -> Estimates:
    """All analyses of the plan on every replicate of a block, with the truth from the potential outcomes beside."""
    design = block.world.design
    replicate = np.arange(block.first, block.first + block.n_replicates, dtype=np.int32)
    parts = []
    for name, analysis in design.analyses.items():
        estimates = estimate(design, name, block.observed, replicate, block.draws)
        parts.append(_with_truth(estimates, Truth(block, analysis)))
    return concatenate_labels(parts, replicate)


def _with_truth(estimates: Estimates, truth: Truth) -> Estimates:
    shape = estimates.estimate.shape
    columns: dict[str, Any] = {name: np.full(shape, np.nan) for name in ("truth", "truth_first", "truth_second")}
    for place, label in enumerate(estimates.labels):
        means = truth.means(label)
        columns["truth"][:, place] = value_of(label.measure, means)
        for name, mean in zip(("truth_first", "truth_second"), means, strict=False):
            columns[name][:, place] = mean
    return replace(estimates, **columns)


def estimate(
    design: Design, name: str, data: ObservedData, replicate: NDArray[np.int32], draws: Draws | None = None
) -> Estimates:
    """One analysis of the plan on observed data of R replicates. `truth` is left NaN.

    `draws` are the luck of multiple imputation; ValueError where an analysis imputes and there are none.
    """
    analysis: Any = design.analyses[name]
    arms = list(design.arms)
    numbers = Numbers(
        analysis,
        tuple((arms.index(a), arms.index(b)) for a, b in pairs_of(design, analysis)),
        tuple(arms.index(arm) for arm in getattr(analysis, "nested_arms", ())) or None,
        getattr(analysis, "until_day", None) or float(list(design.visits.values())[-1].day),
    )
    fitted = _fit(design, name, numbers, data, draws)
    if analysis.kind != "user":  # a user's own words are left alone
        _put_names(design, fitted)
    return rows_of(design, name, numbers, fitted, replicate)


def _fit(design: Design, name: str, numbers: Numbers, data: ObservedData, draws: Draws | None) -> Fitted:
    kind = numbers.analysis.kind
    if kind in EVENTS:
        return _events(design, numbers, data)
    if kind == "counts":
        return _counts(design, numbers, data)
    if kind == "complier":
        return _compliers(design, numbers, data)
    if kind == "user":
        return _user(design, name, numbers, data)
    return _means(design, name, numbers, data, draws)


# --- means at visits --------------------------------------------------------------------------------------------------


def _means(design: Design, name: str, numbers: Numbers, data: ObservedData, draws: Draws | None) -> Fitted:
    analysis = numbers.analysis
    seen = endpoints.cut(design, analysis, data)
    done = complete(design, name, data, seen, draws)
    m = done.value.shape[1]
    baseline = data.baseline[analysis.outcome]
    found, known = _copies(
        [
            endpoints.endpoint_known(
                design.outcomes[analysis.outcome], endpoint_of(analysis), baseline, done.value[:, k], seen.settled
            )
            for k in range(m)
        ]
    )
    known[done.reason != ""] = False
    if analysis.kind in ("modified_poisson", "linear"):
        means = of_cells(_cells(design, analysis, data, found, known, done.weights))
        means.reason[np.repeat(done.reason != "", m)] = np.repeat(done.reason, m)[np.repeat(done.reason != "", m), None]
        return Fitted(pooled(means, m) if m > 1 else means)
    replicates = _replicates(design, analysis, data, np.where(known, found, np.nan), done)
    shape = {"n_arms": len(design.arms), "n_visits": len(design.visits)}
    means = fit_means(numbers, replicates, **shape)
    compared = []
    if analysis.kind in ("proportions", "chi_squared"):
        compared = fit_proportions(numbers, replicates, n_visits=shape["n_visits"])
    return Fitted(pooled(means, m) if m > 1 else means, compared)


def _copies(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pairs of arrays (R, N, V) of each copy as a pair of arrays (R, m, N, V)."""
    if len(pairs) == 1:
        return pairs[0][0][:, None], pairs[0][1][:, None]
    first, second = zip(*pairs, strict=True)
    return np.stack(first, axis=1), np.stack(second, axis=1)


def _cells(
    design: Design,
    analysis: Any,
    data: ObservedData,
    y: NDArray[Any],
    observed: NDArray[np.bool_],
    weights: Floats | None,
) -> Any:
    """All replicates and their copies at once."""
    n, m = y.shape[:2]

    def copies(values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values, m, axis=0) if m > 1 else values

    return fit_cells(
        y.reshape(n * m, *y.shape[2:]),
        observed.reshape(n * m, *y.shape[2:]),
        copies(data.arm),
        copies(endpoints.covariate_matrix(design, analysis.outcome, analysis.covariates, data)),
        copies(endpoints.clusters(design, analysis, data)),
        n_arms=len(design.arms),
        family="poisson" if analysis.kind == "modified_poisson" else "gaussian",
        weights=None if weights is None else copies(weights),
    )


def _replicates(design: Design, analysis: Any, data: ObservedData, y: Floats, done: Completed) -> list[Data | FitError]:
    """Each copy of each replicate as the data of a model: its participants only."""
    covariates = endpoints.covariate_matrix(design, analysis.outcome, getattr(analysis, "covariates", ()), data)
    cluster = endpoints.clusters(design, analysis, data)
    found: list[Data | FitError] = []
    for r in range(len(y)):
        rows = data.arm[r] >= 0
        common = {
            "arm": data.arm[r][rows].astype(np.int64),
            "covariates": np.ascontiguousarray(covariates[r][rows]),
            "cluster": cluster[r][rows],
            "n_arms": len(design.arms),
            "weights": None if done.weights is None else done.weights[r][rows],
        }
        for copy in y[r]:
            found.append(FitError(done.reason[r]) if done.reason[r] else Data(y=copy[rows], **common))
    return found


# --- other endpoints --------------------------------------------------------------------------------------------------


def _complete(design: Design, analysis: Any, data: ObservedData, y: Floats) -> list[Data | FitError]:
    plain = Completed(y[:, None], None, np.full(len(y), "", dtype=object))
    return _replicates(design, analysis, data, y[:, None], plain)


def _events(design: Design, numbers: Numbers, data: ObservedData) -> Fitted:
    analysis = numbers.analysis
    time, event = endpoints.times(design, analysis.outcome, data)
    covariates = endpoints.covariate_matrix(design, analysis.outcome, getattr(analysis, "covariates", ()), data)
    complete_cases = analysis.missing.kind == "complete_cases"
    whole = np.asarray(data.seen[analysis.outcome].all(axis=2) if complete_cases else time > 0)
    replicates: list[TimesToEvent | FitError] = []
    for r in range(len(time)):
        rows = (data.arm[r] >= 0) & whole[r]
        arm = data.arm[r][rows].astype(np.int64)
        x = np.ascontiguousarray(covariates[r][rows])
        replicates.append(TimesToEvent(time[r][rows], event[r][rows], arm, x, len(design.arms)))
    return fit_events(numbers, replicates, n_arms=len(design.arms))


def _counts(design: Design, numbers: Numbers, data: ObservedData) -> Fitted:
    analysis = numbers.analysis
    count, exposure = endpoints.counted(design, analysis, data)
    complete_cases = analysis.missing.kind == "complete_cases"
    seen = data.seen[analysis.outcome][:, :, endpoints.places_of(design, analysis)]
    kept = seen.all(axis=2) if complete_cases else exposure > 0
    replicates = _complete(design, analysis, data, np.where(kept, count, np.nan)[:, :, None])
    with_exposure = [
        (one, exposure[r][data.arm[r] >= 0][:, None]) for r, one in enumerate(replicates) if isinstance(one, Data)
    ]
    return fit_counts(numbers, with_exposure, n_arms=len(design.arms))


def _compliers(design: Design, numbers: Numbers, data: ObservedData) -> Fitted:
    analysis = numbers.analysis
    seen = endpoints.cut(design, analysis, data)
    outcome = design.outcomes[analysis.outcome]
    y = endpoints.endpoint_values(outcome, analysis.endpoint, data.baseline[analysis.outcome], seen.value)
    planned = endpoints.planned_sessions(design, data)[:, :, None]
    attended = ((planned > 0) & endpoints.adherent(design, analysis, data)).astype(float)
    replicates = [
        (one, attended[r][data.arm[r] >= 0])
        for r, one in enumerate(_complete(design, analysis, data, y))
        if isinstance(one, Data)
    ]
    measure = measures_of(analysis)[0]
    return fit_compliers(numbers, replicates, measure=measure, n_visits=len(design.visits))


def _user(design: Design, name: str, numbers: Numbers, data: ObservedData) -> Fitted:
    analysis = numbers.analysis
    function = user.load(analysis.function)
    outcome = design.outcomes[analysis.outcome]
    info = user.Info(
        analysis=name,
        outcome=analysis.outcome,
        covariates=analysis.covariates,
        arms=tuple(design.arms),
        visits=tuple(design.visits),
        contrasts=tuple(f"{a} - {b}" for a, b in pairs_of(design, analysis)),
        alpha=analysis.alpha,
        outcome_kind=outcome.kind,
        better=outcome.better if isinstance(outcome, Score) else "",
        responder_change=outcome.responder_change if isinstance(outcome, Score) else math.nan,
    )
    measure = measures_of(analysis)[0]

    def one(_: Numbers, r: int) -> list[Any]:
        return [user.call(function, user.observed_table(design, data, r), info, numbers.pairs, measure)]

    found = [attempt(one, numbers, r) for r in range(len(data.arm))]
    return Fitted(None, of_comparisons(numbers, found, len(design.visits)))


# --- reasons with names -----------------------------------------------------------------------------------------------


def _put_names(design: Design, fitted: Fitted) -> None:
    """Let the reasons name arms and visits instead of numbering them."""
    for found in [fitted.means, *fitted.compared]:
        if found is not None:
            for place in np.argwhere(found.reason != ""):
                found.reason[tuple(place)] = _named(design, found.reason[tuple(place)])


def _named(design: Design, reason: str) -> str:
    arms, visits = list(design.arms), list(design.visits)
    reason = re.sub(r"\barms (\d+) and (\d+)", lambda m: f"arms {arms[int(m[1])]} and {arms[int(m[2])]}", reason)
    reason = re.sub(r"\barm (\d+)", lambda match: f"arm {arms[int(match[1])]}", reason)
    return re.sub(r"\bvisit (\d+)", lambda match: f"visit {visits[int(match[1])]}", reason)
