"""Times to an event: log-rank test, Cox regression, restricted mean survival time, Kaplan-Meier curve.

Times are in days, and equal times are ties (exactly equal: round before, where hours do not count). Who is censored
at a time is still at risk at that time. All results have one visit, and normal quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import chdtrc, ndtr

from trialsim.analysis.fits import (
    Bools,
    Comparison,
    FitError,
    Floats,
    Ints,
    Means,
    Pairs,
    Texts,
    TimesToEvent,
    infinite_df,
    no_reasons,
)

MAX_ITERATIONS = 30
MAX_HALVINGS = 30
# In standard deviations of the linear predictor. Newton's method squares the error of the step that comes after.
SMALL_STEP = 1e-7
# Least eigenvalue of an information or covariance matrix whose diagonal is 1.
SINGULAR = 1e-10
# A standard deviation below this part of the largest value is rounding, and the covariate a constant.
CONSTANT = 1e-10


def kaplan_meier(time: Floats, event: Bools) -> tuple[Floats, Floats]:
    """Kaplan-Meier curve (1958, doi:10.1080/01621459.1958.10501452): step times [days] and survival from then on.

    The first step is (0, 1), the others are the distinct times with an event. FitError for times that are not finite
    and above 0.
    """
    _check_times(time)
    risk = _risk_table(time, event, np.zeros(len(time), dtype=np.int64), 1)
    deaths, at_risk = risk.deaths[:, 0], risk.at_risk[:, 0]
    return np.append(0.0, risk.time), np.append(1.0, np.cumprod(1 - deaths / at_risk))


def log_rank(data: TimesToEvent, pairs: Pairs) -> Comparison:
    """Log-rank test of every pair of arms (their participants alone) and of all arms; covariates are not used.

    With O - E the observed minus expected events of the first arm and V their hypergeometric variance, the statistic
    is (O - E)^2 / V with 1 degree of freedom (Mantel 1966; Peto and Peto 1972, doi:10.2307/2344317), and the log
    hazard ratio the one-step estimate (O - E) / V with standard error 1 / sqrt(V) (Yusuf et al. 1985,
    doi:10.1016/S0033-0620(85)80003-7), biased towards 0 for hazard ratios far from 1. An arm without events
    has an estimate; two arms without have a reason. The global test has A - 1 degrees of freedom, and is NaN where
    an arm is empty or never at risk when there is an event. FitError for times that are not finite and above 0.
    """
    _check_times(data.time)
    risk = _risk_table(data.time, data.event, data.arm, data.n_arms)
    size = np.bincount(data.arm, minlength=data.n_arms)
    estimate, std_error, reason = _nothing(len(pairs))
    for row, (a, b) in enumerate(pairs):
        excess, variance = _log_rank_sums(risk.deaths[:, [a, b]], risk.at_risk[:, [a, b]])
        reason[row, 0] = _log_rank_fault(a, b, size, float(variance[0, 0]))
        if not reason[row, 0]:
            estimate[row], std_error[row] = excess[0] / variance[0, 0], 1 / np.sqrt(variance[0, 0])
    excess, variance = _log_rank_sums(risk.deaths, risk.at_risk)
    statistic = _quadratic_form(excess[1:], variance[1:, 1:])
    return _comparison(pairs, estimate, std_error, reason, size, statistic, data.n_arms - 1)


def cox(data: TimesToEvent, pairs: Pairs, *, ties: Literal["efron", "breslow"] = "efron") -> Comparison:
    """Log hazard ratios of Cox's model (1972, doi:10.1111/j.2517-6161.1972.tb00899.x): all arms, and all covariates.

    Partial likelihood with the ties of Efron (1977, doi:10.1080/01621459.1977.10480613) or Breslow (1974,
    doi:10.2307/2529620), Newton's method, Wald tests. An arm without events has an infinite log hazard ratio: its
    pairs get a reason, the others what the likelihood tends to, which is the model without that arm, and the global
    test is NaN. Other likelihoods without a maximum are found by steps that do not get smaller, and are reasons too.
    FitError for times that are not finite and above 0.
    """
    _check_times(data.time)
    size = np.bincount(data.arm, minlength=data.n_arms)
    events = np.bincount(data.arm, weights=data.event, minlength=data.n_arms)
    estimate, std_error, reason = _nothing(len(pairs))
    statistic, fault = np.nan, ""
    kept = np.flatnonzero(events)
    try:
        effect, cov = _cox_effects(data, kept, ties)
        if len(kept) == data.n_arms:
            statistic = _quadratic_form(effect[1:], cov[1:, 1:])
    except FitError as error:
        fault = str(error)
    for row, (a, b) in enumerate(pairs):
        reason[row, 0] = next((_no_events(arm, size) for arm in (a, b) if not events[arm]), fault)
        if not reason[row, 0]:
            estimate[row] = effect[a] - effect[b]
            std_error[row] = np.sqrt(cov[a, a] + cov[b, b] - 2 * cov[a, b])
    return _comparison(pairs, estimate, std_error, reason, size, statistic, data.n_arms - 1)


def rmst(data: TimesToEvent, *, tau: float | None = None) -> Means:
    """Restricted mean survival time [days]: the area under every arm's Kaplan-Meier curve up to `tau` [days].

    Greenwood-type variance, sum over event times t <= tau of (area from t to tau)^2 d / (n (n - d)) (Royston and
    Parmar 2013, doi:10.1186/1471-2288-13-152; as survRM2 and survfit), covariates are not used. `tau` is by default
    the smallest of the arms' largest times, as in survRM2. After a last time that is an event survival is 0; after one
    that is censored it is unknown, and `tau` must not be later. Without events up to `tau` an arm has no variance,
    and that is a reason. FitError for times or a `tau` that are not finite and above 0.
    """
    _check_times(data.time)
    if tau is not None and not 0 < tau < np.inf:
        raise FitError("tau is not finite and above 0")
    size = np.bincount(data.arm, minlength=data.n_arms)
    mean, variance = np.full(data.n_arms, np.nan), np.full(data.n_arms, np.nan)
    try:
        end = _horizon(data, size) if tau is None else float(tau)
        for arm in range(data.n_arms):
            mine = data.arm == arm
            mean[arm], variance[arm] = _area(data.time[mine], data.event[mine], arm, end)
        reason = ""
    except FitError as fault:
        mean[:], variance[:], reason = np.nan, np.nan, str(fault)
    return Means(
        link="identity",
        mean=mean[:, None],
        cov=np.full((data.n_arms, data.n_arms), np.nan) if reason else np.diag(variance),
        n_cell=size[:, None],
        n_used=len(data.time),
        reason=(reason,),
        **infinite_df(data.n_arms, 1),
    )


# --------------------------------------------------------------------------------------------- what they share


@dataclass(frozen=True, eq=False)
class _RiskTable:
    """Arm by arm, at each of T distinct times with an event."""

    time: Floats  # (T,)
    deaths: Floats  # (T, A)
    at_risk: Floats  # (T, A)


def _risk_table(time: Floats, event: Bools, arm: Ints, n_arms: int) -> _RiskTable:
    moments = np.unique(time[event])
    n_moments = len(moments)
    # A participant is at risk at the first `last` moments.
    last = np.searchsorted(moments, time, side="right")
    shape = (n_moments + 1, n_arms)
    leaving = np.bincount(last * n_arms + arm, minlength=shape[0] * n_arms).reshape(shape)
    dying = np.bincount((last * n_arms + arm)[event], minlength=shape[0] * n_arms).reshape(shape)
    at_risk = leaving[::-1].cumsum(axis=0)[::-1]
    return _RiskTable(moments, dying[1:].astype(np.float64), at_risk[1:].astype(np.float64))


def _check_times(time: Floats) -> None:
    if not (np.isfinite(time) & (time > 0)).all():
        raise FitError("a time is not finite and above 0")


def _nothing(n_pairs: int) -> tuple[Floats, Floats, Texts]:
    return np.full((n_pairs, 1), np.nan), np.full((n_pairs, 1), np.nan), no_reasons(n_pairs, 1)


def _comparison(
    pairs: Pairs, estimate: Floats, std_error: Floats, reason: Texts, size: Ints, statistic: float, global_df: int
) -> Comparison:
    return Comparison(
        measure="hazard ratio",
        pairs=pairs,
        estimate=estimate,
        std_error=std_error,
        df=np.full_like(estimate, np.inf),
        p_value=np.asarray(2 * ndtr(-np.abs(estimate / std_error))),
        n_used=np.array([[size[a] + size[b]] for a, b in pairs], dtype=np.int64).reshape(-1, 1),
        reason=reason,
        global_statistic=np.array([statistic]),
        global_p=np.array([chdtrc(max(global_df, 1), statistic)]),
    )


def _no_events(arm: int, size: Ints) -> str:
    return f"no events in arm {arm}" if size[arm] else f"no participants in arm {arm}"


def _quadratic_form(vector: Floats, matrix: Floats) -> float:
    """v'M^-1 v; NaN where M is empty or singular."""
    squares = np.diagonal(matrix)
    if not len(squares) or not (np.isfinite(matrix).all() and (squares > 0).all()):
        return float("nan")
    scale = 1 / np.sqrt(squares)
    values, axes = np.linalg.eigh(matrix * scale[:, None] * scale)
    along = axes.T @ (vector * scale)
    return float((along**2 / values).sum()) if values[0] > SINGULAR else float("nan")


# ----------------------------------------------------------------------------------------------------- log-rank


def _log_rank_sums(deaths: Floats, at_risk: Floats) -> tuple[Floats, Floats]:
    """Observed minus expected events of every arm (A,), and their hypergeometric covariance (A, A)."""
    n, d = at_risk.sum(axis=1), deaths.sum(axis=1)
    share = at_risk / np.maximum(n, 1)[:, None]
    factor = d * (n - d) / np.maximum(n - 1, 1)
    weighted = share * factor[:, None]
    variance = np.diag(weighted.sum(axis=0)) - weighted.T @ share
    return deaths.sum(axis=0) - share.T @ d, variance


def _log_rank_fault(a: int, b: int, size: Ints, variance: float) -> str:
    for arm in (a, b):
        if not size[arm]:
            return _no_events(arm, size)
    # Every term of the variance that is not 0 is at least of the order of 1 / n.
    if not variance > SINGULAR / (size[a] + size[b]):
        return f"no events in arms {a} and {b} while both are at risk"
    return ""


# --------------------------------------------------------------------------------------------------- Cox's model


@dataclass(frozen=True, eq=False)
class _Risks:
    """Participants by decreasing time, and the events in the same order; p columns of x."""

    x: Floats  # (N, p)
    event_row: Ints  # (D,), rows of the participants with an event
    end: Ints  # (D,), the risk set of an event are the rows before this one
    group: Ints  # (D,), number of the event time
    fraction: Floats  # (D,), part of the tied events that is taken out of the risk set: 0, 1/d, 2/d ... in Efron's way
    first_event: Ints  # (N,), events before this place end after the participant's time


def _cox_effects(data: TimesToEvent, kept: Ints, ties: str) -> tuple[Floats, Floats]:
    """Log hazard ratios to the first kept arm (A,), and their covariance (A, A); 0 for arms that are not kept."""
    if ties not in ("efron", "breslow"):
        raise ValueError(f"ties must be 'efron' or 'breslow' (given: {ties!r})")
    if len(kept) < 2:
        raise FitError("events in fewer than 2 arms")
    rows = np.isin(data.arm, kept) if len(kept) < data.n_arms else slice(None)
    arm = data.arm[rows]
    x = np.hstack([arm[:, None] == kept[1:], data.covariates[rows]])
    with np.errstate(all="ignore"):
        x, scale = _standardised(x)
        risks = _risks(x, data.time[rows], data.event[rows], ties == "efron")
        beta, cov = _maximum(risks)
        cov = cov / scale[:, None] / scale
    n_effects = len(kept) - 1
    effect, effects_cov = np.zeros(data.n_arms), np.zeros((data.n_arms, data.n_arms))
    effect[kept[1:]] = (beta / scale)[:n_effects]
    effects_cov[np.ix_(kept[1:], kept[1:])] = cov[:n_effects, :n_effects]
    return effect, effects_cov


def _standardised(x: Floats) -> tuple[Floats, Floats]:
    if not np.isfinite(x).all():
        raise FitError("a covariate is not finite")
    largest = np.abs(x).max(axis=0)
    unit = x / np.where(largest > 0, largest, 1.0)
    unit -= unit.mean(axis=0)
    spread = np.sqrt((unit**2).mean(axis=0))
    if not (spread > CONSTANT).all():
        raise FitError("covariates are collinear")
    return unit / spread, largest * spread


def _risks(x: Floats, time: Floats, event: Bools, efron: bool) -> _Risks:
    # Events before censorings of the same time, so that tied events are neighbours.
    order = np.lexsort((~event, -time))
    time, event = time[order], event[order]
    rows = np.flatnonzero(event)
    of_events = time[rows]
    first = np.searchsorted(-of_events, -of_events, side="left")
    n_tied = np.searchsorted(-of_events, -of_events, side="right") - first
    new = np.append(True, of_events[1:] != of_events[:-1])
    return _Risks(
        x=x[order],
        event_row=rows,
        end=np.searchsorted(-time, -of_events, side="right"),
        group=np.cumsum(new) - 1,
        fraction=(np.arange(len(rows)) - first) / n_tied if efron else np.zeros(len(rows)),
        first_event=np.searchsorted(-of_events, -time, side="left"),
    )


def _maximum(risks: _Risks) -> tuple[Floats, Floats]:
    """Coefficients (p,) and their covariance (p, p)."""
    beta = np.zeros(risks.x.shape[1])
    loglik, score, info = _partial_likelihood(risks, beta)
    inverse = _inverse(info)
    if inverse is None:
        raise FitError("covariates are collinear")
    start, step = np.diagonal(info), inverse @ score
    for _ in range(MAX_ITERATIONS):
        beta, loglik, score, info = _halved(risks, beta, loglik, step)
        inverse = _inverse(info)
        # A coefficient on its way to infinity takes its information with it: what is left is rounding.
        if inverse is None or not (np.diagonal(info) > SINGULAR * start).all():
            break
        step = inverse @ score
        if np.abs(step).max() < SMALL_STEP:
            return beta + step, inverse
    raise FitError("no convergence")


def _halved(risks: _Risks, beta: Floats, loglik: float, step: Floats) -> tuple[Floats, float, Floats, Floats]:
    """Where the step, or a half of a half of it, leads: beta, log likelihood, score and information there."""
    for _ in range(MAX_HALVINGS):
        trial, score, info = _partial_likelihood(risks, beta + step)
        if trial >= loglik - 1e-10 * (1 + abs(loglik)):
            return beta + step, trial, score, info
        step = step / 2
    raise FitError("no convergence")


def _inverse(info: Floats) -> Floats | None:
    squares = np.diagonal(info)
    if not (np.isfinite(info).all() and (squares > 0).all()):
        return None
    scale = 1 / np.sqrt(squares)
    scaled = info * scale[:, None] * scale
    if np.linalg.eigvalsh(scaled)[0] < SINGULAR:
        return None
    return np.linalg.inv(scaled) * scale[:, None] * scale


def _partial_likelihood(risks: _Risks, beta: Floats) -> tuple[float, Floats, Floats]:
    """Log partial likelihood, its gradient (p,), and the observed information (p, p).

    Event k has the risk set's sums, less `fraction` of those of its tied events. The second moments of all risk
    sets together are a sum over participants, each with the cumulative hazard that they lived through.
    """
    x, tied = risks.x, risks.fraction.any()
    linear = x @ beta
    linear -= linear.max()
    weight = np.exp(linear)
    sums = np.cumsum(np.column_stack([weight, weight[:, None] * x]), axis=0)[risks.end - 1]
    if tied:
        own = np.column_stack([weight, weight[:, None] * x])[risks.event_row]
        n_groups = risks.group[-1] + 1
        by_time = np.stack([np.bincount(risks.group, column, n_groups) for column in own.T], axis=1)
        sums = sums - risks.fraction[:, None] * by_time[risks.group]
    mean = sums[:, 1:] / sums[:, :1]
    share = 1 / sums[:, 0]
    # Events with a time up to the participant's own stand at and after `first_event`.
    later = np.append(np.cumsum(share[::-1])[::-1], 0.0)
    hazard_row = later[risks.first_event]
    if tied:
        lost = np.bincount(risks.group, risks.fraction * share)[risks.group]
        hazard_row[risks.event_row] -= lost
    score = (x[risks.event_row] - mean).sum(axis=0)
    info = (x * (weight * hazard_row)[:, None]).T @ x - mean.T @ mean
    return float(linear[risks.event_row].sum() - np.log(sums[:, 0]).sum()), score, info


# ------------------------------------------------------------------------------- restricted mean survival time


def _horizon(data: TimesToEvent, size: Ints) -> float:
    if not size.all():
        raise FitError(f"no participants in arm {int(np.argmin(size))}")
    return float(min(data.time[data.arm == arm].max() for arm in range(data.n_arms)))


def _area(time: Floats, event: Bools, arm: int, tau: float) -> tuple[float, float]:
    """Area under one arm's curve from 0 to tau [days], and its variance."""
    if not len(time):
        raise FitError(f"no participants in arm {arm}")
    last = time.max()
    if last < tau and not event[time == last].any():
        raise FitError(f"follow-up in arm {arm} ends before tau")
    risk = _risk_table(time, event, np.zeros(len(time), dtype=np.int64), 1)
    until = risk.time <= tau
    d, n = risk.deaths[until, 0], risk.at_risk[until, 0]
    survival = np.cumprod(1 - d / n)
    width = np.diff(np.concatenate([[0.0], risk.time[until], [tau]]))
    pieces = np.append(1.0, survival) * (width / tau)
    after = pieces[::-1].cumsum()[::-1]
    # Where all die nothing comes after, and 0 times infinity stands for 0.
    variance = float((after[1:] ** 2 * d / (n * np.maximum(n - d, 0.5)))[n > d].sum())
    if not variance > SINGULAR * SINGULAR:
        raise FitError(f"no events in arm {arm} before tau" if not d.sum() else f"zero variance in arm {arm}")
    if not 0 < tau * tau * variance < np.inf:
        raise FitError("tau is too large or too small")
    return float(after[0]) * tau, tau * tau * variance
