"""Weights that let those who answered stand for all: 1 / the estimated probability of answering.

`response_weights` is the second step of the RESOLVE trial's analysis: one weight per participant, for at least one
follow-up. `inverse_probability_weights` gives every observation its own. Probabilities come from logistic regression,
fitted by maximum likelihood. An analysis takes the weights as known; its robust standard errors are then, as a rule,
somewhat too large (Robins, Rotnitzky & Zhao 1995, doi:10.1080/01621459.1995.10476493).

An arm in which all answered has probability 1 and no part in the fit, one in which nobody did has no weights: this is
the limit of the likelihood, not an approximation. Any other separation is a FitError.
"""

from __future__ import annotations

import numpy as np

from trialsim.analysis.fits import Bools, FitError, Floats, Ints

_ITERATIONS = 25
_SMALL_STEP = 1e-7  # in standard deviations of a column: Newton's method squares it: 1e-14 is left
_SEPARATED = "no convergence: responses are separated by the covariates, or nearly"
_CONSTANT = 1e-10
_COLLINEAR = 1e-10


def response_weights(
    responded: Bools,
    covariates: Floats,
    arm: Ints | None = None,
    *,
    n_arms: int = 0,
    by_arm: bool = False,
    stabilised: bool = True,
    trim: tuple[float, float] | None = None,
) -> Floats:
    """Non-response weights (N,), NaN for those who did not respond.

    Logistic regression of `responded` (N,) on `covariates` (N, K) and, unless None, `arm` (N,) of `n_arms`; with
    `by_arm` each arm has its own coefficients. `trim` pulls weights to two of their quantiles, (0.01, 0.99) for
    example. `stabilised` then scales them to a mean of 1 over the responders.

    FitError: nobody responded, covariates collinear or not finite, separation, no convergence.
    """
    if not responded.any():
        raise FitError("nobody responded")
    if arm is None:
        arm, n_arms = np.zeros(len(responded), dtype=np.int64), 1
    prob = _probabilities(responded, covariates, arm, n_arms=n_arms, by_arm=by_arm)
    weights = np.where(responded, 1 / np.where(responded, prob, 1.0), np.nan)
    if trim is not None:
        low, high = np.quantile(weights[responded], trim)
        weights = np.clip(weights, low, high)
    return weights / weights[responded].mean() if stabilised else weights


def inverse_probability_weights(
    observed: Bools,
    arm: Ints,
    covariates: Floats,
    y: Floats,
    *,
    n_arms: int,
    history: bool,
    by_arm: bool = False,
) -> Floats:
    """A weight for every observation, (N, V), NaN where `observed` (N, V) is False.

    The probability of being observed at a visit is a logistic regression on arm and `covariates` (N, C), over all
    participants; with `by_arm` each arm has its own coefficients. `history` adds the last earlier outcome of `y` (N, V)
    (the mean of the others for those who have none), and two indicators: no earlier observation, and missing at the
    visit before. An indicator is left out of a regression where it is constant, where it repeats the other, and where
    all or none of those with it, or without it, are observed at the visit: its coefficient would be infinite.

    The weight is 1 / probability. This is right if being observed depends, given all of these, not on the outcome
    itself (Lin, Scharfstein & Rosenheck 2004, doi:10.1111/j.1467-9868.2004.b5543.x), and if everybody might be
    observed. Those who dropped out will not: so if nobody ever came back after a missed visit and there is `history`,
    only those observed at the visit before enter the regression, and the probabilities of a participant's visits are
    multiplied (Robins, Rotnitzky & Zhao 1995, doi:10.1080/01621459.1995.10476493).

    FitError as in `response_weights`, with the visit.
    """
    if not np.isfinite(y[observed]).all():
        raise FitError("outcomes are not finite")
    dropout = history and not np.any(observed[:, 1:] & ~observed[:, :-1])
    weights = np.full(observed.shape, np.nan)
    before = np.ones(len(y))
    for visit in range(observed.shape[1]):
        risk = observed[:, visit - 1] if dropout and visit else np.ones(len(y), dtype=bool)
        last, marks = _history(observed[:, : visit if history else 0], y)
        x, seen = np.hstack([covariates, last]), observed[risk, visit]
        try:
            prob = _probabilities(seen, x[risk], arm[risk], marks[risk], n_arms=n_arms, by_arm=by_arm)
        except FitError as error:
            raise FitError(f"{error} at visit {visit}") from None
        rows = np.flatnonzero(risk)[seen]
        weights[rows, visit] = before[rows] / prob[seen]
        if dropout:
            before[rows] = weights[rows, visit]
    return weights


def _history(earlier: Bools, y: Floats) -> tuple[Floats, Bools]:
    """Last earlier outcome, (N, 1), and indicators, (N, 2); without any earlier observation no columns."""
    some = earlier.any(axis=1)
    if not some.any():
        return np.empty((len(y), 0)), np.empty((len(y), 0), dtype=bool)
    latest = earlier.shape[1] - 1 - np.argmax(earlier[:, ::-1], axis=1)
    last = y[np.arange(len(y)), latest]
    last[~some] = last[some].mean()
    return last[:, None], np.column_stack([~some, ~earlier[:, -1]])


def _estimable(marks: Bools, responded: Bools) -> Floats:
    kept: list[Bools] = []
    for mark in marks.T:
        groups = (responded[mark], responded[~mark])
        varied = all(0 < group.sum() < len(group) for group in groups)
        if varied and not any(np.array_equal(mark, other) for other in kept):
            kept.append(mark)
    return np.array(kept, dtype=np.float64).reshape(len(kept), len(responded)).T


def _probabilities(
    responded: Bools, covariates: Floats, arm: Ints, marks: Bools | None = None, *, n_arms: int, by_arm: bool
) -> Floats:
    """Of responding, (N,); `marks` (N, K) are used as far as they are estimable."""
    if not np.isfinite(covariates).all():
        raise FitError("covariates are not finite")
    size = np.bincount(arm, minlength=n_arms)
    count = np.bincount(arm, weights=responded, minlength=n_arms)
    prob = (count == size)[arm].astype(np.float64)
    mixed = np.flatnonzero((count > 0) & (count < size))
    together = [mixed] if mixed.size else []
    for arms in mixed[:, None] if by_arm else together:
        rows = np.flatnonzero(np.isin(arm, arms))
        x = (
            covariates[rows]
            if marks is None
            else np.hstack([covariates[rows], _estimable(marks[rows], responded[rows])])
        )
        levels = (arm[rows, None] == arms).astype(np.float64)
        try:
            x = np.hstack([levels, _standardised(x)])
            prob[rows] = _logistic_fit(x, responded[rows].astype(np.float64))[1]
        except FitError as error:
            raise FitError(f"{error} in arm {arms[0]}" if by_arm else str(error)) from None
    return prob


def _standardised(covariates: Floats) -> Floats:
    size = np.maximum(np.abs(covariates).max(axis=0, initial=0.0), np.finfo(np.float64).tiny)
    part = covariates / size
    mean, deviation = part.mean(axis=0), part.std(axis=0)
    if np.any(deviation <= _CONSTANT * np.abs(mean)):
        raise FitError("covariates are collinear")
    return (part - mean) / deviation


def _logistic_fit(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients (K,) and probabilities (N,) of the logistic regression of `y` (N,), 0 or 1, on `x` (N, K).

    Newton's method; a step that lowers the likelihood is halved. With separation steps do not become small, and
    information vanishes.
    """
    columns = np.ascontiguousarray(x.T)
    norm = np.linalg.norm(columns, axis=1)
    if np.linalg.eigvalsh(columns @ x / (norm[:, None] * norm))[0] < _COLLINEAR:
        raise FitError("covariates are collinear")
    beta, step, best = np.zeros(len(norm)), np.zeros(len(norm)), -np.inf
    for _ in range(_ITERATIONS):
        trial = beta + step
        prob, loglik = _expected(trial @ columns, y)
        if loglik < best - 1e-10 * (1 + abs(best)):
            step = step / 2
            continue
        beta, best = trial, loglik
        step = _newton_step(columns, y - prob, prob * (1 - prob))
        if np.abs(step).max() < _SMALL_STEP:
            beta = beta + step
            return beta, _expected(beta @ columns, y)[0]
    raise FitError(_SEPARATED)


def _expected(linear: Floats, y: Floats) -> tuple[Floats, float]:
    """Probabilities and log likelihood."""
    small = np.exp(-np.abs(linear))
    prob = np.where(linear > 0, 1.0, small) / (1 + small)
    return prob, float(y @ linear - np.maximum(linear, 0.0).sum() - np.log1p(small).sum())


def _newton_step(columns: Floats, residual: Floats, weight: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve((columns * weight) @ columns.T, columns @ residual))
    except np.linalg.LinAlgError:
        raise FitError(_SEPARATED) from None
