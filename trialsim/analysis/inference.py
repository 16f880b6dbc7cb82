"""What a fit of `cells` says about the arms: means, ratios, differences and tests, for a whole block.

Every function returns arrays with the replicate first. A replicate that was not fitted has NaN everywhere, so
that it can be counted: nobody may read it as "not significant". Limits and p-values use normal quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri

from trialsim.analysis.cells import CellFit, Floats

# A contrast whose variance is this part of the variances it is made of has none; the rest is rounding.
NO_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Estimate:
    """Arrays of one shape, the replicate first; NaN where there is no estimate.

    `std_error` is on the scale of the estimate, except for a ratio, where it is that of log(estimate). A
    contrast that does not vary between clusters has an estimate, and NaN for all the rest.
    """

    estimate: Floats
    std_error: Floats
    ci_low: Floats
    ci_high: Floats
    p_value: Floats


@dataclass(frozen=True, eq=False)
class WaldTest:
    """Chi-square statistics (R, V), their degrees of freedom, and p-values (R, V)."""

    statistic: Floats
    df: int
    p_value: Floats


def cell_means(fit: CellFit, *, alpha: float = 0.05) -> Estimate:
    """Adjusted means (risks for "poisson") of every arm at every visit, (R, A, V), by standardisation.

    The mean of the model's predictions over the analysed participants (those with at least one observation),
    with everybody set to that arm; std_error by the delta method, the covariates taken as fixed (as `margins`
    in Stata and `avg_predictions` in R do). Limits are made on the log scale for "poisson", so they are not
    symmetric, while std_error is on the scale of the mean. No hypothesis belongs to a mean: p_value is NaN.
    """
    linear, cov = _standardised(fit)
    variance = np.einsum("ravav->rav", cov)
    error = np.sqrt(np.where(variance > 0, variance, np.nan))
    reach = _quantile(alpha) * error
    means = _means(fit, linear)
    low, high = _means(fit, linear - reach), _means(fit, linear + reach)
    if fit.family == "poisson":
        error = means * error
    return Estimate(means, error, low, high, np.full_like(means, np.nan))


def ratio(fit: CellFit, a: int, b: int, *, alpha: float = 0.05) -> Estimate:
    """Risk ratio of arm a to arm b at every visit, (R, V).

    std_error is that of log(estimate), from which limits and p_value are made. ValueError for "gaussian".
    """
    if fit.family != "poisson":
        raise ValueError("a ratio needs a fit of family 'poisson'")
    linear, cov = _standardised(fit)
    log_ratio = linear[:, a] - linear[:, b]
    error = _contrast_error(cov, a, b, np.ones_like(linear))
    reach = _quantile(alpha) * error
    low, high = _exp(log_ratio - reach), _exp(log_ratio + reach)
    return Estimate(_exp(log_ratio), error, low, high, _p_value(log_ratio, error))


def difference(fit: CellFit, a: int, b: int, *, alpha: float = 0.05) -> Estimate:
    """Adjusted mean of arm a minus that of arm b at every visit, (R, V); the risk difference for "poisson".

    Both means are those of `cell_means`, and std_error is by the delta method.
    """
    linear, cov = _standardised(fit)
    means = _means(fit, linear)
    slope = means if fit.family == "poisson" else np.ones_like(means)
    estimate, error = means[:, a] - means[:, b], _contrast_error(cov, a, b, slope)
    reach = _quantile(alpha) * error
    return Estimate(estimate, error, estimate - reach, estimate + reach, _p_value(estimate, error))


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
    estimate = _inverted(risk_difference.estimate)
    return Estimate(estimate, np.full_like(estimate, np.nan), _inverted(high), upper, risk_difference.p_value)


def global_test(fit: CellFit) -> WaldTest:
    """Wald test that all arms are equal, at each visit, with A - 1 degrees of freedom.

    NaN if A is 1, and where the contrasts of the arms have a singular covariance (fewer than A clusters).
    """
    n_replicates, n_arms, n_visits = fit.cell.shape
    statistic = np.full((n_replicates, n_visits), np.nan)
    if n_arms > 1:
        linear, cov = _standardised(fit)
        by_visit = np.einsum("ravbv->rvab", cov)
        to_first = np.eye(n_arms)[1:] - np.eye(n_arms)[0]
        apart = np.moveaxis(linear[:, 1:] - linear[:, :1], 1, 2)
        own = np.diagonal(by_visit, axis1=2, axis2=3)
        floor = NO_VARIANCE * (own[..., 1:] + own[..., :1])
        statistic = _quadratic_form(apart, to_first @ by_visit @ to_first.T, floor)
    return WaldTest(statistic, n_arms - 1, np.asarray(chdtrc(n_arms - 1, statistic)))


def lsd(global_p: Floats, pair_p: Floats, *, alpha: float = 0.05) -> Floats:
    """Fisher's protected least significant difference: 1 where both p-values are below alpha, otherwise 0.

    NaN where either p-value is NaN: a failed fit is neither significant nor not.
    """
    significant = ((global_p < alpha) & (pair_p < alpha)).astype(np.float64)
    return np.where(np.isnan(global_p) | np.isnan(pair_p), np.nan, significant)


def _standardised(fit: CellFit) -> tuple[Floats, Floats]:
    """Linear predictors of the standardised means (R, A, V), and their covariance (R, A, V, A, V)."""
    n_replicates, n_arms, n_visits = fit.cell.shape
    n_cells, slope = n_arms * n_visits, fit.offset_gradient[:, None]
    mixed = slope @ fit.cov[:, n_cells:, :n_cells]
    offset = slope @ fit.cov[:, n_cells:, n_cells:] @ fit.offset_gradient[..., None]
    cov = fit.cov[:, :n_cells, :n_cells] + mixed + mixed.swapaxes(1, 2) + offset
    shape = (n_replicates, n_arms, n_visits, n_arms, n_visits)
    return fit.cell + fit.offset[:, None, None], cov.reshape(shape)


def _means(fit: CellFit, linear: Floats) -> Floats:
    return _exp(linear) if fit.family == "poisson" else linear


def _contrast_error(cov: Floats, a: int, b: int, slope: Floats) -> Floats:
    """Standard error (R, V) of slope x predictor of arm a minus that of arm b; NaN where nothing varies."""
    blocks = np.einsum("ravbv->rvab", cov)
    own = slope[:, a] ** 2 * blocks[..., a, a] + slope[:, b] ** 2 * blocks[..., b, b]
    variance = own - 2 * slope[:, a] * slope[:, b] * blocks[..., a, b]
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


def _quantile(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1 (given: {alpha})")
    return float(ndtri(1 - alpha / 2))


def _p_value(estimate: Floats, error: Floats) -> Floats:
    return np.asarray(2 * ndtr(-np.abs(estimate / error)))


def _inverted(values: Floats) -> Floats:
    return np.divide(1.0, values, out=np.full_like(values, np.inf), where=values != 0)
