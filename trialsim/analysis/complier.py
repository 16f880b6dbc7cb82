"""Complier average causal effect: the arm is an instrument for having attended."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from trialsim.analysis.fits import Bools, Comparison, Data, FitError, Floats, Pairs, no_reasons

NO_VARIANCE = 1e-12
WORST_CONDITION = 1e10


def complier_effect(data: Data, attended: Floats, pairs: Pairs, *, measure: str, two_stage: bool) -> Comparison:
    """Effect among those who attend if offered, for each pair (offered, not offered) at each visit.

    `attended` (N, V) is 1 or 0. Two-stage least squares of y on attendance and the covariates, the arm being the
    instrument, with White's robust variance; without covariates this is Wald's ratio of the difference in y to the
    difference in attendance (Angrist, Imbens and Rubin 1996, doi:10.1080/01621459.1996.10476902), whose delta-method
    variance is that of the arms' means of y - effect x attendance. A pair in which attendance does not differ, or
    whose regressors are collinear, has a reason.
    """
    n_visits = data.y.shape[1]
    shape = (len(pairs), n_visits)
    found = {name: np.full(shape, np.nan) for name in ("estimate", "std_error")}
    reason, n_used = no_reasons(*shape), np.zeros(shape, dtype=np.int64)
    for p, (a, b) in enumerate(pairs):
        for v in range(n_visits):
            use = data.observed[:, v] & np.isin(data.arm, (a, b))
            n_used[p, v] = use.sum()
            try:
                estimate, variance = _effect(data, attended, use, v, a, two_stage)
                found["estimate"][p, v], found["std_error"][p, v] = estimate, np.sqrt(variance)
            except FitError as fault:
                reason[p, v] = f"{fault} in arms {a} and {b} at visit {v}"
    with np.errstate(invalid="ignore"):
        p_value = 2 * ndtr(-np.abs(found["estimate"] / found["std_error"]))
    df = np.where(reason == "", np.inf, np.nan)
    return Comparison(measure, pairs, **found, df=df, p_value=p_value, n_used=n_used, reason=reason)


def _effect(data: Data, attended: Floats, use: Bools, v: int, arm: int, two_stage: bool) -> tuple[float, float]:
    y, received = data.y[use, v], attended[use, v].astype(float)
    offered = (data.arm[use] == arm).astype(float)
    if not 0 < offered.sum() < len(y):
        raise FitError("no observations in one arm")
    if not (np.isfinite(y).all() and np.isfinite(data.covariates[use]).all()):
        raise FitError("a value that is not finite")
    if two_stage:
        return _two_stage(y, received, offered, data.covariates[use])
    return _ratio(y, received, offered)


def _two_stage(y: Floats, received: Floats, offered: Floats, covariates: Floats) -> tuple[float, float]:
    centred = covariates - covariates.mean(axis=0)
    common = np.column_stack([np.ones(len(y)), centred])
    regressors, instruments = np.column_stack([received, common]), np.column_stack([offered, common])
    if len(y) <= regressors.shape[1]:
        raise FitError("fewer participants than coefficients")
    _check(instruments, "covariates are collinear")
    first = instruments @ np.linalg.solve(instruments.T @ instruments, instruments.T @ regressors)
    _check(first, "attendance does not differ")
    bread = np.linalg.inv(first.T @ first)
    beta = bread @ (first.T @ y)
    residual = y - regressors @ beta
    scores = (first @ bread[:, 0]) * residual
    return float(beta[0]), _sound(float((scores**2).sum()), y)


def _check(matrix: Floats, reason: str) -> None:
    """FitError where the columns, scaled to one length, are collinear."""
    length = np.sqrt((matrix**2).sum(axis=0))
    if not (length > 0).all() or np.linalg.cond(matrix / length) > WORST_CONDITION:
        raise FitError(reason)


def _ratio(y: Floats, received: Floats, offered: Floats) -> tuple[float, float]:
    arms = offered == 1, offered == 0
    if min(arm.sum() for arm in arms) < 2:
        raise FitError("fewer than 2 observations in one arm")
    uptake = received[arms[0]].mean() - received[arms[1]].mean()
    if uptake == 0:
        raise FitError("attendance does not differ")
    effect = (y[arms[0]].mean() - y[arms[1]].mean()) / uptake
    rest = y - effect * received
    variance = sum(rest[arm].var(ddof=1) / arm.sum() for arm in arms) / uptake**2
    return float(effect), _sound(float(variance), y)


def _sound(variance: float, y: Floats) -> float:
    if not np.isfinite(variance) or variance <= NO_VARIANCE * float((y**2).mean()) / len(y):
        raise FitError("zero variance")
    return variance
