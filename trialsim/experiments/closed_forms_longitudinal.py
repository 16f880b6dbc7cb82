"""Power in closed form of trials with repeated measurements: the mean at the last visit, or the slope.

All take the covariance of a participant's measurements as known; those who drop out do so at random and leave their
earlier measurements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trialsim.experiments.closed_forms import Floats, normal_size, t_power

# --- who is still there -----------------------------------------------------------------------------------------------


def weibull_retention(times: ArrayLike, dropout: float, shape: float) -> Floats:
    """Share still observed at each time, (1 - dropout)^((time / last time)^shape); shape below 1 means early losses.

    Galbraith and Marschner (2002), doi:10.1016/S0197-2456(02)00205-2.
    """
    times = np.asarray(times, dtype=float)
    return np.asarray((1 - dropout) ** ((times / times.max()) ** shape))


def expected_completers(retention: ArrayLike, n: float) -> Floats:
    """Expected number whose last visit is each visit, (V,), of `n` participants; retention (V,) starts with 1."""
    kept = np.append(np.asarray(retention, dtype=float), 0.0)
    return np.asarray(n * (kept[:-1] - kept[1:]))


def rounded_completers(retention: ArrayLike, n: int) -> Floats:
    """The same in whole participants: at each visit as many are left as `n` x retention rounds to.

    Halves go to the even number of those who leave, as R's round does.
    """
    left, counts = n, []
    for share in np.asarray(retention, dtype=float)[1:]:
        gone = round(left - float(share) * n)
        counts.append(gone)
        left -= gone
    return np.array([*counts, left], dtype=float)


# --- mean at the last visit -------------------------------------------------------------------------------------------


def mmrm_inflation(correlation: ArrayLike, retention: ArrayLike) -> float:
    """Variance of an arm's mean at the last visit, relative to nobody missing, under a model for repeated measures.

    `correlation` (V, V); `retention` (V,), share observed at each visit, starting with 1 and never rising. Equals
    element (V, V) of the inverse of the sum over patterns of their share x the inverse correlation of the visits
    observed. Lu, Luo and Chen (2008), formula 3, doi:10.2202/1557-4679.1098.
    """
    kept = np.asarray(retention, dtype=float)
    if kept[0] != 1 or kept[-1] <= 0 or np.any(np.diff(kept) > 0):
        raise ValueError("retention must start with 1, never rise and end above 0")
    information = _information(np.eye(len(kept)), np.asarray(correlation, dtype=float), expected_completers(kept, 1.0))
    return float(_inverse(information)[-1, -1])


def mmrm_size(
    inflation_a: float,
    inflation_b: float,
    variance: float,
    difference: float,
    power: float,
    *,
    ratio: float = 1.0,
    alpha: float = 0.05,
) -> float:
    """Participants in both arms together for the mean at the last visit, two-sided, normal approximation.

    `ratio` is arm a : arm b; `variance` that of one measurement. Lu, Luo and Chen (2008), formula 4.
    """
    n_a = normal_size((inflation_a + ratio * inflation_b) * variance, difference, power, alpha=alpha)
    return n_a * (1 + 1 / ratio)


def _information(design: Floats, covariance: Floats, counts: Floats) -> Floats:
    """Sum over last visits v of counts[v] x X'V^-1 X of the first v + 1 measurements. ValueError if V is singular."""
    total = np.zeros((design.shape[1], design.shape[1]))
    for v, count in enumerate(counts):
        if count > 0:
            some = slice(v + 1)
            total += count * design[some].T @ _inverse(covariance[some, some]) @ design[some]
    return total


def _inverse(matrix: Floats) -> Floats:
    """ValueError where rounding decides the result."""
    if np.linalg.cond(matrix) > 1e12:
        raise ValueError("the covariance is singular, or nobody is measured often enough")
    return np.asarray(np.linalg.inv(matrix))


# --- slopes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Linear mixed model of change: variances of a participant's intercept, slope and error, and between clusters.

    `correlation` is that of a participant's intercept and slope; `var_cluster_slope` the variance between clusters
    (therapists) of the slope.
    """

    var_intercept: float
    var_slope: float
    var_error: float
    correlation: float = 0.0
    var_cluster_slope: float = 0.0

    def covariance(self, times: ArrayLike) -> Floats:
        """Of a participant's measurements given the cluster, (V, V)."""
        z = _line(times)
        between = self.correlation * math.sqrt(self.var_intercept * self.var_slope)
        g = np.array([[self.var_intercept, between], [between, self.var_slope]])
        return np.asarray(z @ g @ z.T + self.var_error * np.eye(len(z)))


def standardised_growth(icc_baseline: float, var_ratio: float, *, icc_slope: float = 0.0) -> Growth:
    """The model in units of the standard deviation at baseline, without correlation and clusters at baseline.

    `icc_baseline` is intercept / (intercept + error) variance, `var_ratio` (all slope variance) / error variance,
    `icc_slope` the clusters' share of the slope variance. Magnusson (2018), R package powerlmm, vignette "technical".
    """
    error = 1 - icc_baseline
    slope = var_ratio * error
    return Growth(
        var_intercept=icc_baseline,
        var_slope=(1 - icc_slope) * slope,
        var_error=error,
        var_cluster_slope=icc_slope * slope,
    )


def exchangeable(variance: float, correlation: float, n_visits: int) -> Floats:
    """Covariance with equal variances and correlations, (V, V)."""
    return np.asarray(variance * ((1 - correlation) * np.eye(n_visits) + correlation))


def slope_variance(times: ArrayLike, covariance: ArrayLike, n: ArrayLike = 1.0) -> float:
    """Variance of an arm's slope by generalised least squares.

    `n` is the number of participants, all seen at every time, or their numbers by last visit, (V,). With exchangeable
    covariance and n = 1, sigma^2 (1 - rho) / sum (t - mean)^2. Diggle, Heagerty, Liang and Zeger (2002), Analysis of
    Longitudinal Data, section 2.4.
    """
    design, counts = _line(times), np.asarray(n, dtype=float)
    if counts.ndim == 0:
        counts = counts * np.eye(len(design))[-1]
    return float(_inverse(_information(design, np.asarray(covariance, dtype=float), counts))[1, 1])


def slope_difference_power(
    effect: float, times: ArrayLike, model: Growth, *, n: ArrayLike, alpha: float = 0.05
) -> float:
    """Power of the two-sided t test of a difference in slopes between two equal arms, without clusters.

    `effect` is the difference at the last time, the arms being equal at the first. `n` is the number of participants
    in each arm, all seen at every time, or their numbers by last visit, (V,); degrees of freedom are participants - 2.
    Magnusson (2018), R package powerlmm; Raudenbush and Liu (2001), doi:10.1037/1082-989X.6.4.387.
    """
    per_arm = slope_variance(times, model.covariance(times), n)
    df = 2 * float(np.sum(np.asarray(n))) - 2
    return t_power(_slope(effect, times) / math.sqrt(2 * per_arm), df, alpha=alpha)


def clustered_slope_power(
    effect: float, times: ArrayLike, model: Growth, *, n_clusters: float, size: float, alpha: float = 0.05
) -> float:
    """The same with `n_clusters` clusters of `size` participants in each arm, all seen at every time.

    An arm's slope has variance (participant's + size x var_cluster_slope) / (size x n_clusters); degrees of freedom
    are clusters - 2.
    """
    own = slope_variance(times, model.covariance(times))
    per_arm = (own + size * model.var_cluster_slope) / (size * n_clusters)
    return t_power(_slope(effect, times) / math.sqrt(2 * per_arm), 2 * n_clusters - 2, alpha=alpha)


def _line(times: ArrayLike) -> Floats:
    t = np.asarray(times, dtype=float)
    return np.column_stack([np.ones_like(t), t])


def _slope(effect: float, times: ArrayLike) -> float:
    t = np.asarray(times, dtype=float)
    return float(effect / (t[-1] - t[0]))
