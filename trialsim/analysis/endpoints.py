"""What an analysis looks at: the observed data cut to its estimand, its endpoint, covariates and clusters.

Arrays have the replicate first: R replicates, N rows, V visits. A row without a participant has arm -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.analysis_checks import visits_of
from trialsim.design.outcomes import Outcome, Score
from trialsim.design.parts import Design
from trialsim.world.choose import choose
from trialsim.world.formulas import MONTH_DAYS
from trialsim.world.observation import ObservedData
from trialsim.world.outcomes import is_responder, least_response

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

TOLERANCE = 1e-9  # points; scores lie on a grid that is far coarser


@dataclass(frozen=True, eq=False)
class Cut:
    """Values of one outcome as an estimand sees them."""

    value: Floats  # (R, N, V) points, NaN where missing
    settled: Bools  # (R, N, V) the endpoint is known without a value: stopped, so no responder
    design: Design
    data: ObservedData

    @cached_property
    def stopped(self) -> Bools:
        """(R, N, V) had stopped treatment by then."""
        return stopped_by(self.design, self.data)


def cut(design: Design, analysis: Any, data: ObservedData) -> Cut:
    """Observed values of the analysis's outcome, cut to its estimand (ICH E9(R1))."""
    value = data.value[analysis.outcome]
    settled: Bools = np.broadcast_to(np.False_, value.shape)
    if analysis.estimand == "hypothetical":
        value = np.where(stopped_by(design, data), np.nan, value)
    elif analysis.estimand == "per_protocol":
        value = np.where(adherent(design, analysis, data), value, np.nan)
    elif analysis.estimand == "while_on_treatment":
        value = last_before(value, data.baseline[analysis.outcome], stopped_by(design, data))
    elif analysis.estimand == "composite":
        settled = stopped_by(design, data)
    if analysis.missing.kind == "complete_cases":
        whole = (~np.isnan(value) | settled).all(axis=2, keepdims=True)
        value, settled = np.where(whole, value, np.nan), settled & whole
    return Cut(value, settled, design, data)


def planned_sessions(design: Design, data: ObservedData) -> Ints:
    """Sessions planned for each participant, (R, N)."""
    counts = np.array([design.n_sessions(arm) for arm in design.arms], dtype=np.int64)
    return np.where(data.arm >= 0, counts[np.maximum(data.arm, 0)], 0)


def stopped_by(design: Design, data: ObservedData) -> Bools:
    """Whether participants have stopped treatment by each visit, (R, N, V)."""
    planned, in_the_end = planned_sessions(design, data)[:, :, None], data.all_sessions[:, :, None]
    if data.missed is None:
        return has_stopped(planned, data.sessions, in_the_end)
    return has_stopped(planned, data.sessions + data.missed[:, :, :-1], in_the_end + data.missed[:, :, -1:])


def has_stopped(planned: Any, by_visit: Any, in_the_end: Any) -> Bools:
    """The rule for observed and potential courses alike: unfinished, and no session of theirs after the visit.

    Sessions of theirs are those attended and those missed in a group by somebody who goes on.
    """
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


def response(outcome: Outcome, baseline: Floats, value: Floats) -> Bools:
    """Whether values (R, N, V) are responses, given baselines (R, N).

    Scores, which may lie off their grid because they were imputed, have moved by the required part, as `is_responder`
    has it for those on the grid.
    """
    if not isinstance(outcome, Score):
        steps = np.where(np.isnan(value), -1, value).astype(np.int16)
        return is_responder(outcome, np.zeros_like(steps), steps)
    limit = least_response(outcome, baseline)
    if outcome.better_is_higher:
        return np.asarray(value >= np.where(baseline > 0, limit - TOLERANCE, np.inf)[:, :, None])
    return np.asarray(value <= np.where(baseline > 0, limit + TOLERANCE, -np.inf)[:, :, None])


def endpoint_known(
    outcome: Outcome, endpoint: str, baseline: Floats, value: Floats, settled: Bools | None = None
) -> tuple[Floats | Bools, Bools]:
    """Change, value or response from values (R, N, V) and baselines (R, N), and where it is known; `settled` are no
    responders.
    """
    known = ~np.isnan(value)
    if endpoint == "value":
        return value, known
    if endpoint == "change":
        return value - baseline[:, :, None], known
    found = response(outcome, baseline, value)
    return (found, known) if settled is None else (found & ~settled, known | settled)


def endpoint_values(
    outcome: Outcome, endpoint: str, baseline: Floats, value: Floats, settled: Bools | None = None
) -> Floats:
    """The same as numbers with NaN where it is not known."""
    found, known = endpoint_known(outcome, endpoint, baseline, value, settled)
    return np.where(known, found, np.nan)


def times(design: Design, outcome: str, data: ObservedData) -> tuple[Floats, Bools]:
    """Days from randomization to the event, or to where knowledge ends; and which it is. (R, N) each.

    Of outcomes that are no events: to the first visit with a response, or to the last visit known. The time is 0 for
    those of whom nothing is known.
    """
    if design.outcomes[outcome].kind == "event":
        return data.event_time[outcome].astype(np.float64), data.event[outcome]
    days = np.array([float(visit.day) for visit in design.visits.values()])
    responds = data.responder[outcome]
    event = np.asarray(responds.any(axis=2))
    last = np.where(data.seen[outcome], days, 0.0).max(axis=2)
    return np.where(event, days[responds.argmax(axis=2)], last), event


def places_of(design: Design, analysis: Any) -> list[int]:
    """Numbers of the visits that an analysis looks at."""
    visits = list(design.visits)
    return [visits.index(visit) for visit in visits_of(design, analysis)]


def years_covered(design: Design, places: list[int]) -> Floats:
    """Years from the visit before (from randomization) to each of these visits."""
    due = np.array([0, *(visit.day for visit in design.visits.values())])
    return np.diff(due)[places] / (12 * MONTH_DAYS)


def counted(design: Design, analysis: Any, data: ObservedData) -> tuple[Floats, Floats]:
    """A count and what it is a count of, (R, N) each: years known, visits known, or 1 for sessions."""
    if analysis.endpoint == "sessions":
        return data.all_sessions.astype(float), np.ones(data.all_sessions.shape)
    places = places_of(design, analysis)
    seen = data.seen[analysis.outcome][:, :, places]
    if analysis.endpoint == "events":
        numbers = np.where(seen, data.value[analysis.outcome][:, :, places], 0.0)
        return numbers.sum(axis=2), (seen * years_covered(design, places)).sum(axis=2)
    responses = seen & data.responder[analysis.outcome][:, :, places]
    return responses.sum(axis=2).astype(float), seen.sum(axis=2).astype(float)


def covariate_matrix(design: Design, outcome: str, names: tuple[str, ...], data: ObservedData) -> Floats:
    """Covariates (R, N, C): the baseline value, indicators of all sites but the first, and others."""
    n_sites = len(design.recruitment.sites)
    matrix = np.empty((sum(n_sites - 1 if name == "site" else 1 for name in names), *data.arm.shape))
    place = 0
    for name in names:
        if name == "site":
            for site in range(1, n_sites):
                matrix[place] = data.site == site
                place += 1
        else:
            matrix[place] = data.baseline[outcome] if name == "baseline" else data.covariates[name]
            place += 1
    return np.moveaxis(matrix, 0, 2)  # covariates are looked at one after the other


def clusters(design: Design, analysis: Any, data: ObservedData) -> Ints:
    """-1 for participants who stand alone; coaches and groups are numbered through all arms."""
    cluster = getattr(analysis, "cluster", "person")
    if cluster == "person":
        return np.broadcast_to(np.int64(-1), data.arm.shape)
    if cluster == "site":
        return data.site.astype(np.int64)
    if cluster == "cluster":
        return data.cluster.astype(np.int64)
    if cluster == "group":
        return np.where(data.group >= 0, data.group * np.int64(len(design.arms)) + data.arm, np.int64(-1))
    staff = [len(design.coaches(arm)) for arm in design.arms]
    offset = np.concatenate([[0], np.cumsum(staff)[:-1]]).astype(np.int64)
    return choose(data.coach >= 0, offset.take(data.arm, mode="clip") + data.coach, np.int64(-1))
