"""What the arms' means say about the arms: means, differences, ratios and tests, for a whole block.

Every function returns arrays with the replicate first. A visit that was not fitted has NaN everywhere, so that it can
be counted: nobody may read it as "not significant". Limits and p-values use t quantiles with the model's degrees of
freedom, which are infinite (normal quantiles) for large-sample methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, expit, fdtrc, ndtr, ndtri, stdtr, stdtrit

from trialsim.analysis.cells import CellFit
from trialsim.analysis.fits import FitError, Floats, Ints, Link, Means, Texts, no_reasons

# A contrast whose variance is this part of the variances it is made of has none; the rest is rounding.
NO_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class ArmMeans:
    """`Means` of R replicates, A arms, V visits; only covariances within a visit are kept."""

    link: Link
    mean: Floats  # (R, A, V), on the scale of the link
    cov: Floats  # (R, V, A, A)
    df: Floats  # (R, A, A, V)
    global_df: Floats  # (R, V)
    n_cell: Ints  # (R, A, V)
    reason: Texts  # (R, V)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Arrays of one shape, the replicate first; NaN where there is no estimate.

    `std_error` is on the scale of the estimate, except for a ratio, where it is that of log(estimate). A
    contrast that does not vary between clusters has an estimate, and NaN for all the rest.
    """

    estimate: Floats
    std_error: Floats
    df: Floats
    ci_low: Floats
    ci_high: Floats
    p_value: Floats


@dataclass(frozen=True, eq=False)
class WaldTest:
    """Chi-square statistics (R, V), their degrees of freedom, and p-values (R, V)."""

    statistic: Floats
    df: int
    p_value: Floats


# --- from fits to arms' means -----------------------------------------------------------------------------------------


def of_cells(fit: CellFit) -> ArmMeans:
    """Standardised means of the cell model: the mean prediction over the participants analysed, set to each arm."""
    n_replicates, n_arms, n_visits = fit.cell.shape
    n_cells, slope = n_arms * n_visits, fit.offset_gradient[:, None]
    mixed = slope @ fit.cov[:, n_cells:, :n_cells]
    offset = slope @ fit.cov[:, n_cells:, n_cells:] @ fit.offset_gradient[..., None]
    cov = fit.cov[:, :n_cells, :n_cells] + mixed + mixed.swapaxes(1, 2) + offset
    shape = (n_replicates, n_arms, n_visits, n_arms, n_visits)
    normal = np.where(fit.converged, np.inf, np.nan)
    return ArmMeans(
        link="log" if fit.family == "poisson" else "identity",
        mean=fit.cell + fit.offset[:, None, None],
        cov=np.einsum("ravbv->rvab", cov.reshape(shape)),
        df=np.broadcast_to(normal[:, None, None, None], (n_replicates, n_arms, n_arms, n_visits)),
        global_df=np.broadcast_to(normal[:, None], (n_replicates, n_visits)),
        n_cell=fit.n_cell,
        reason=np.repeat(np.array(fit.reason, dtype=object)[:, None], n_visits, axis=1),
    )


def stacked(fits: Sequence[Means | FitError], *, link: Link, n_arms: int, n_visits: int) -> ArmMeans:
    """Replicates fitted one by one, put together. A FitError is the reason of all its visits."""
    n = len(fits)
    found = ArmMeans(
        link=link,
        mean=np.full((n, n_arms, n_visits), np.nan),
        cov=np.full((n, n_visits, n_arms, n_arms), np.nan),
        df=np.full((n, n_arms, n_arms, n_visits), np.nan),
        global_df=np.full((n, n_visits), np.nan),
        n_cell=np.zeros((n, n_arms, n_visits), dtype=np.int64),
        reason=no_reasons(n, n_visits),
    )
    for r, fit in enumerate(fits):
        if isinstance(fit, FitError):
            found.reason[r] = str(fit)
            continue
        found.mean[r], found.df[r], found.global_df[r] = fit.mean, fit.df, fit.global_df
        found.cov[r] = np.einsum("avbv->vab", fit.cov.reshape(n_arms, n_visits, n_arms, n_visits))
        found.n_cell[r], found.reason[r] = fit.n_cell, fit.reason
    return found


# --- means and contrasts ----------------------------------------------------------------------------------------------


def arm_means(means: ArmMeans, *, alpha: float = 0.05) -> Estimate:
    """Means (risks, rates) of every arm at every visit on their own scale, (R, A, V).

    std_error by the delta method; limits are made on the scale of the link, so they are not symmetric unless that is
    the identity. No hypothesis belongs to a mean: p_value is NaN.
    """
    variance = np.einsum("rvaa->rav", means.cov)
    error = np.sqrt(np.where(variance > 0, variance, np.nan))
    df = np.einsum("raav->rav", means.df)
    reach = quantile(alpha, df) * error
    centre = _response(means)
    low, high = _inverse_link(means.link, means.mean - reach), _inverse_link(means.link, means.mean + reach)
    return Estimate(centre, np.abs(_slope(means)) * error, df, low, high, np.full_like(centre, np.nan))


def difference(means: ArmMeans, a: int, b: int, *, alpha: float = 0.05) -> Estimate:
    """Mean of arm a minus that of arm b at every visit, (R, V), on their own scale; std_error by the delta method."""
    response = _response(means)
    error, df = _contrast_error(means, a, b, _slope(means)), means.df[:, a, b]
    estimate = response[:, a] - response[:, b]
    reach = quantile(alpha, df) * error
    return Estimate(estimate, error, df, estimate - reach, estimate + reach, p_value(estimate, error, df))


def ratio(means: ArmMeans, a: int, b: int, *, alpha: float = 0.05) -> Estimate:
    """Mean of arm a divided by that of arm b at every visit, (R, V): a risk ratio, a rate ratio.

    std_error is that of log(estimate), from which limits and p_value are made. NaN where a mean is not positive.
    """
    response = _response(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(np.where(response > 0, response, np.nan))
        slope = _slope(means) / response
    return _of_logarithm(log[:, a] - log[:, b], _contrast_error(means, a, b, slope), means.df[:, a, b], alpha)


def odds_ratio(means: ArmMeans, a: int, b: int, *, alpha: float = 0.05) -> Estimate:
    """Odds of the (standardised, so marginal) risks of arm a divided by those of arm b, (R, V), as `ratio`."""
    risk = _response(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(risk / (1 - risk))
        slope = _slope(means) / (risk * (1 - risk))
    return _of_logarithm(log[:, a] - log[:, b], _contrast_error(means, a, b, slope), means.df[:, a, b], alpha)


def _of_logarithm(log_ratio: Floats, error: Floats, df: Floats, alpha: float) -> Estimate:
    reach = quantile(alpha, df) * error
    low, high = _exp(log_ratio - reach), _exp(log_ratio + reach)
    return Estimate(_exp(log_ratio), error, df, low, high, p_value(log_ratio, error, df))


def number_needed_to_treat(risk_difference: Estimate) -> Estimate:
    """1 / risk difference, and its limits (Altman 1998, doi:10.1136/bmj.317.7168.1309). Negative means harm.

    Where the limits of the difference include 0, those of its inverse go through infinity: from 1 / ci_high
    to infinity on the side of benefit, from minus infinity to 1 / ci_low on the side of harm. Only the first
    part is returned, with ci_high infinite, so a negative estimate then lies outside it. 1 / difference has
    no standard error (NaN); p_value is the difference's.
    """
    low, high = risk_difference.ci_low, risk_difference.ci_high
    includes_zero = (low <= 0) & (high >= 0)
    upper = np.where(includes_zero, np.inf, _inverted(low))
    estimate, nothing = _inverted(risk_difference.estimate), np.full_like(low, np.nan)
    return Estimate(estimate, nothing, nothing, _inverted(high), upper, risk_difference.p_value)


def global_test(means: ArmMeans) -> WaldTest:
    """Wald test that all arms are equal, at each visit, with A - 1 degrees of freedom.

    Where the model has denominator degrees of freedom the p-value is that of the F distribution with statistic /
    (A - 1). NaN if A is 1, and where the contrasts of the arms have a singular covariance (fewer than A clusters).
    """
    n_replicates, n_arms, n_visits = means.mean.shape
    statistic = np.full((n_replicates, n_visits), np.nan)
    if n_arms > 1:
        to_first = np.eye(n_arms)[1:] - np.eye(n_arms)[0]
        apart = np.moveaxis(means.mean[:, 1:] - means.mean[:, :1], 1, 2)
        own = np.diagonal(means.cov, axis1=2, axis2=3)
        floor = NO_VARIANCE * (own[..., 1:] + own[..., :1])
        statistic = _quadratic_form(apart, to_first @ means.cov @ to_first.T, floor)
    k = n_arms - 1
    finite = np.isfinite(means.global_df)
    by_f = fdtrc(max(k, 1), np.where(finite, means.global_df, 1.0), statistic / max(k, 1))
    large = np.where(np.isnan(means.global_df), np.nan, chdtrc(k, statistic))
    return WaldTest(statistic, k, np.where(finite, by_f, large))


def p_value(estimate: Floats, error: Floats, df: Floats) -> Floats:
    """Two-sided p-value of estimate / error with t distribution; normal where df is infinite."""
    return 2 * lower_tail(-np.abs(estimate / error), df)


def lower_tail(t: Floats, df: Floats) -> Floats:
    """Distribution function of t; normal where df is infinite."""
    finite = np.isfinite(df)
    if not finite.any():  # t is dear
        return np.where(np.isnan(df), np.nan, ndtr(t))
    return np.where(finite, stdtr(np.where(finite, df, 1.0), t), np.where(np.isnan(df), np.nan, ndtr(t)))


def quantile(alpha: float, df: Floats) -> Floats:
    """Two-sided quantile of t for level alpha; normal where df is infinite."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1 (given: {alpha})")
    finite = np.isfinite(df)
    if not finite.any():
        return np.where(np.isnan(df), np.nan, ndtri(1 - alpha / 2))
    by_t = stdtrit(np.where(finite, df, 1.0), 1 - alpha / 2)
    return np.where(finite, by_t, np.where(np.isnan(df), np.nan, ndtri(1 - alpha / 2)))


# --- scales -----------------------------------------------------------------------------------------------------------


def _inverse_link(link: Link, linear: Floats) -> Floats:
    if link == "log":
        return _exp(linear)
    return np.asarray(expit(linear)) if link == "logit" else linear


def _response(means: ArmMeans) -> Floats:
    return _inverse_link(means.link, means.mean)


def _slope(means: ArmMeans) -> Floats:
    """Derivative of the mean with respect to its link, (R, A, V)."""
    response = _response(means)
    if means.link == "log":
        return response
    return response * (1 - response) if means.link == "logit" else np.ones_like(response)


def _contrast_error(means: ArmMeans, a: int, b: int, slope: Floats) -> Floats:
    """Standard error (R, V) of slope x predictor of arm a minus that of arm b; NaN where nothing varies."""
    cov = means.cov
    own = slope[:, a] ** 2 * cov[..., a, a] + slope[:, b] ** 2 * cov[..., b, b]
    variance = own - 2 * slope[:, a] * slope[:, b] * cov[..., a, b]
    return np.sqrt(np.where(variance > NO_VARIANCE * own, variance, np.nan))


def _quadratic_form(vectors: Floats, matrices: Floats, floor: Floats) -> Floats:
    """v'M^-1 v for (..., K) and (..., K, K); NaN where M is singular or a variance is not above its floor."""
    squares = np.diagonal(matrices, axis1=-2, axis2=-1)
    sound = np.logical_and.reduce(squares > floor, axis=-1, keepdims=True)
    scale = 1 / np.sqrt(np.where(sound, squares, 1.0))
    scaled = matrices * scale[..., None] * scale[..., None, :]
    values, axes = np.linalg.eigh(np.where(sound[..., None], scaled, np.eye(squares.shape[-1])))
    sound = sound & (values[..., :1] > NO_VARIANCE)
    along = (axes.swapaxes(-1, -2) @ (vectors * scale)[..., None])[..., 0]
    form: Floats = np.where(sound, along**2 / np.where(sound, values, 1.0), np.nan).sum(axis=-1)
    return form


def _exp(values: Floats) -> Floats:
    """exp, infinite without a warning: the upper limit of a risk of which nearly nothing is known."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(values))


def _inverted(values: Floats) -> Floats:
    return np.divide(1.0, values, out=np.full_like(values, np.inf), where=values != 0)
