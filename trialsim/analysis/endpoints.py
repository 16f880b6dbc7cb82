"""What an analysis looks at: the observed data cut to its estimand, its endpoint, covariates and clusters.

Arrays have the replicate first: R replicates, N rows, V visits. A row without a participant has arm -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.parts import Design, Outcome
from trialsim.world.observation import ObservedData

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

TOLERANCE = 1e-9  # points; scores lie on a grid that is far coarser


@dataclass(frozen=True, eq=False)
class Cut:
    """Values of one outcome as an estimand sees them."""

    value: Floats  # (R, N, V) points, NaN where missing
    stopped: Bools  # (R, N, V) had stopped treatment by then
    settled: Bools  # (R, N, V) the endpoint is known without a value: stopped, so no responder


def cut(design: Design, analysis: Any, data: ObservedData) -> Cut:
    """Observed values of the analysis's outcome, cut to its estimand (ICH E9(R1))."""
    value = data.value[analysis.outcome]
    stopped = stopped_by(design, data)
    settled = np.zeros_like(stopped)
    if analysis.estimand == "hypothetical":
        value = np.where(stopped, np.nan, value)
    elif analysis.estimand == "per_protocol":
        value = np.where(adherent(design, analysis, data), value, np.nan)
    elif analysis.estimand == "while_on_treatment":
        value = last_before(value, data.baseline[analysis.outcome], stopped)
    elif analysis.estimand == "composite":
        settled = stopped
    if analysis.missing.kind == "complete_cases":
        whole = (~np.isnan(value) | settled).all(axis=2, keepdims=True)
        value, settled = np.where(whole, value, np.nan), settled & whole
    return Cut(value, stopped, settled)


def planned_sessions(design: Design, data: ObservedData) -> Ints:
    """Sessions planned for each participant, (R, N)."""
    counts = np.array([design.n_sessions(arm) for arm in design.arms], dtype=np.int64)
    return np.where(data.arm >= 0, counts[np.maximum(data.arm, 0)], 0)


def stopped_by(design: Design, data: ObservedData) -> Bools:
    """Whether a participant will attend no further session after the visit though sessions are left."""
    return has_stopped(planned_sessions(design, data)[:, :, None], data.sessions, data.all_sessions[:, :, None])


def has_stopped(planned: Any, by_visit: Any, in_the_end: Any) -> Bools:
    """The rule for observed and potential courses alike: unfinished, and nothing attended after the visit."""
    return np.asarray((in_the_end < planned) & (by_visit == in_the_end))


def adherent(design: Design, analysis: Any, data: ObservedData) -> Bools:
    """Whether a participant has attended enough by the visit; everybody has in arms without sessions."""
    planned = planned_sessions(design, data)[:, :, None]
    return np.asarray(data.sessions >= np.minimum(needed_sessions(analysis, planned), planned))


def needed_sessions(analysis: Any, planned: Any) -> Any:
    """Sessions that make somebody adherent: those named; otherwise one for compliers, all for a protocol."""
    return analysis.adherent or (1 if analysis.kind == "complier" else planned)


def last_before(value: Floats, baseline: Floats, stopped: Bools) -> Floats:
    """Values while on treatment: after stopping, that of the last visit before, missing if nobody answered it.

    An earlier answer in its place would be the value of another time, so that even losses at random gave bias. The
    baseline stands before the first visit.
    """
    out, last = np.empty_like(value), baseline
    for v in range(value.shape[2]):
        last = np.where(stopped[:, :, v], last, value[:, :, v])
        out[:, :, v] = last
    return out


def response(outcome: Outcome, baseline: Floats, value: Floats) -> Floats:
    """1 where a value has fallen from the baseline by the required part, 0 where not, NaN where there is none."""
    responds = (value <= baseline * (1 - outcome.responder_fall) + TOLERANCE) & (baseline > 0)
    return np.where(np.isnan(value), np.nan, responds)


def endpoint_values(
    outcome: Outcome, endpoint: str, baseline: Floats, value: Floats, settled: Bools | None = None
) -> Floats:
    """Change or response from values (R, N, V) and baselines (R, N); `settled` are no responders."""
    if endpoint == "change":
        return np.asarray(value - baseline[:, :, None])
    found = response(outcome, baseline[:, :, None], value)
    return found if settled is None else np.where(settled, 0.0, found)


def first_response(design: Design, outcome: str, data: ObservedData) -> tuple[Floats, Bools]:
    """Days from randomization to the first answered visit with a response, or to the last answer; and which it is.

    (R, N) each. The time is 0 for who never answered: nothing is known of them.
    """
    days = np.array([float(visit.day) for visit in design.visits.values()])
    responds = data.responder[outcome]
    event = np.asarray(responds.any(axis=2))
    last = np.where(data.observed, days, 0.0).max(axis=2)
    return np.where(event, days[responds.argmax(axis=2)], last), event


def covariate_matrix(design: Design, outcome: str, names: tuple[str, ...], data: ObservedData) -> Floats:
    """Covariates (R, N, C): the baseline value, indicators of all sites but the first, and others."""
    columns: list[Floats] = []
    for name in names:
        if name == "baseline":
            columns.append(data.baseline[outcome])
        elif name == "site":
            columns += [(data.site == site).astype(float) for site in range(1, len(design.recruitment.sites))]
        else:
            columns.append(data.covariates[name])
    return np.stack(columns, axis=-1) if columns else np.empty((*data.arm.shape, 0))


def clusters(design: Design, analysis: Any, data: ObservedData) -> Ints:
    """-1 for participants who stand alone; coaches are numbered through all arms."""
    cluster = getattr(analysis, "cluster", "person")
    if cluster == "person":
        return np.full(data.arm.shape, -1, dtype=np.int64)
    if cluster == "site":
        return data.site.astype(np.int64)
    staff = [len(design.coaches(arm)) for arm in design.arms]
    offset = np.concatenate([[0], np.cumsum(staff)[:-1]]).astype(np.int64)
    return np.where(data.coach >= 0, offset[np.maximum(data.arm, 0)] + data.coach, -1)
