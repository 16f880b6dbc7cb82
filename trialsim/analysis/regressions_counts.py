"""Regressions of counts on arm and covariates, every visit apart: negative binomial and quasi-Poisson."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from trialsim.analysis.fits import Data, FitError, Floats, Means
from trialsim.analysis.regressions_visits import (
    ROUNDING,
    SMALL_MEAN,
    Likelihood,
    Place,
    Rows,
    VisitFit,
    bread,
    climb,
    each_visit,
    standardised_log,
    start_from_arms,
)

MAX_CYCLES = 50
MAX_STEPS = 60
# Relative change of the dispersion from cycle to cycle, and of the steps that find it.
SMALL_CHANGE = 1e-10
LARGEST_DISPERSION = 1e8
LARGEST_COUNT = 100_000
# Below this dispersion x mean the differences below are taken from their series.
NEAR_POISSON = 1e-3


def counts(data: Data, exposure: Floats | None, *, family: Literal["negative_binomial", "quasi_poisson"]) -> Means:
    """Log-linear regression of counts y >= 0; `mean` is the log of the standardised rate, link log.

    `exposure` (N, V) is in the unit of the rates wanted (years for events per year), positive where observed; None
    means 1 for everybody. The standardised rate is the mean of exp(x'b), per unit of exposure, of the participants
    observed at the visit, each with the same weight.

    "negative_binomial": variance mu + dispersion x mu^2 (NB2; Lawless 1987, doi:10.2307/3314912), by maximum
    likelihood, and 0 dispersion (Poisson) where the likelihood falls from there. The variance is the inverse of the
    expected information at the estimated dispersion, and the distribution normal (as `MASS::glm.nb`). Whole
    numbers up to 100,000. "quasi_poisson": variance dispersion x mu, dispersion from Pearson's statistic over n - p,
    t with n - p degrees of freedom (as `glm(family = quasipoisson)`). Clusters are ignored.

    Reasons: an arm without events, negative outcomes or broken counts, an exposure that is not positive and finite,
    "separation" (events nowhere at some level of the covariates), no convergence. ValueError with analysis weights.
    """
    if family not in ("negative_binomial", "quasi_poisson"):
        raise ValueError(f"family must be 'negative_binomial' or 'quasi_poisson' (given: {family!r})")
    if data.weights is not None:
        raise ValueError("counts cannot be analysed with weights")
    if exposure is not None and exposure.shape != data.y.shape:
        raise ValueError("exposure must be (N, V), as y")
    fit = _negative_binomial if family == "negative_binomial" else _quasi_poisson
    return each_visit(data, "log", lambda rows: _checked(rows, exposure, fit))


Fit = Callable[[Rows, Floats], VisitFit]


def _checked(rows: Rows, exposure: Floats | None, fit: Fit) -> VisitFit:
    if rows.y.min() < 0:
        raise FitError(f"a negative outcome at visit {rows.visit}")
    rows.first_arm(rows.arm_totals(rows.y) == 0, "no events")
    if exposure is None:
        return fit(rows, np.zeros_like(rows.y))
    own = exposure[rows.participant, rows.visit]
    if not ((own > 0) & np.isfinite(own)).all():
        raise FitError(f"an exposure is not positive and finite at visit {rows.visit}")
    return fit(rows, np.log(own))


# ------------------------------------------------------------------------------------------- given a dispersion


def _poisson(rows: Rows, offset: Floats) -> Place:
    def likelihood(eta: Floats) -> tuple[float, Floats, Floats]:
        mu = np.exp(eta)
        return float(rows.y @ eta - mu.sum()), rows.y - mu, mu

    level = np.log(rows.arm_totals(rows.y) / rows.arm_totals(np.exp(offset)))
    return _arrived(start_from_arms(rows, level, offset, likelihood))


def _negative_binomial_likelihood(y: Floats, dispersion: float) -> Likelihood:
    """Concave in the linear predictor."""

    def likelihood(eta: Floats) -> tuple[float, Floats, Floats]:
        mu = np.exp(eta)
        size = 1 + dispersion * mu
        value = y @ eta - (y + 1 / dispersion) @ np.log1p(dispersion * mu)
        return float(value), (y - mu) / size, mu * (1 + dispersion * y) / size**2

    return likelihood


def _arrived(place: Place) -> Place:
    if not place.arrived:
        raise FitError("separation" if place.eta.min() < SMALL_MEAN else "no convergence")
    return place


def _rates(rows: Rows, beta: Floats, information: Floats, dispersion: float, df: float) -> VisitFit:
    mean, gradient = standardised_log(rows, beta)
    return VisitFit(mean, dispersion * (gradient @ bread(rows, information) @ gradient.T), df, df)


def _quasi_poisson(rows: Rows, offset: Floats) -> VisitFit:
    place = _poisson(rows, offset)
    mu = np.exp(place.eta)
    pearson = float(((rows.y - mu) ** 2 / mu).sum())
    if pearson <= ROUNDING * float((rows.y**2 / mu).sum()):
        raise FitError(f"zero variance at visit {rows.visit}")
    return _rates(rows, place.beta, mu, pearson / rows.n_spare, rows.n_spare)


# ----------------------------------------------------------------------------------------------- the dispersion


def _negative_binomial(rows: Rows, offset: Floats) -> VisitFit:
    """Coefficients and dispersion in turn: they are nearly independent, so few cycles are needed."""
    y = rows.y
    if y.max() > LARGEST_COUNT or (y != np.floor(y)).any():
        raise FitError(f"an outcome is not a whole number up to {LARGEST_COUNT} at visit {rows.visit}")
    above = np.cumsum(np.bincount(y.astype(np.int64))[:0:-1])[::-1].astype(np.float64)
    place, dispersion = _poisson(rows, offset), 0.0
    for _ in range(MAX_CYCLES):
        mu = np.exp(place.eta)
        before, dispersion = dispersion, _dispersion(y, mu, above, dispersion)
        if abs(dispersion - before) <= SMALL_CHANGE * dispersion:
            return _rates(rows, place.beta, mu / (1 + dispersion * mu), 1.0, np.inf)
        if dispersion == 0:
            place = _poisson(rows, offset)
        else:
            place = _arrived(climb(rows, place.beta, place.eta, _negative_binomial_likelihood(y, dispersion)))
    raise FitError("no convergence")


def _dispersion(y: Floats, mu: Floats, above: Floats, start: float) -> float:
    """The maximum of the likelihood at these means, by Newton's method within a bracket; 0 if it falls from 0.

    `above` (largest y,) is the number of observations above 0, 1, 2 ...: the logarithms of the gamma functions are
    sums over it, which lose no digits when the dispersion is small.
    """
    excess = float(((y - mu) ** 2 - y).sum())
    if not excess > 0:
        return 0.0
    low, high = 0.0, np.inf
    at = start or excess / float((mu**2).sum())
    for _ in range(MAX_STEPS):
        slope, bend = _slopes(y, mu, above, at)
        low, high = (at, high) if slope > 0 else (low, at)
        after = at - slope / bend if bend < 0 else np.inf
        if not low < after < high:
            after = 4 * at if high == np.inf else (low + high) / 2
        if abs(after - at) <= SMALL_CHANGE * at / 10:
            return float(after)
        if after > LARGEST_DISPERSION:
            break
        at = after
    raise FitError("no convergence of the dispersion")


def _slopes(y: Floats, mu: Floats, above: Floats, dispersion: float) -> tuple[float, float]:
    """First and second derivative of the log likelihood with respect to the dispersion.

    Of the log likelihood sum_j above_j log(1 + d j) - sum_i (y_i + 1 / d) log(1 + d mu_i) + ..., d the dispersion.
    """
    ratio = np.arange(len(above)) / (1 + dispersion * np.arange(len(above)))
    size = 1 + dispersion * mu
    level, fall = _log_terms(dispersion * mu)
    first = above @ ratio + (mu**2 * level - y * mu / size).sum()
    second = -(above @ ratio**2) + (mu**3 * fall + y * (mu / size) ** 2).sum()
    return float(first), float(second)


def _log_terms(t: Floats) -> tuple[Floats, Floats]:
    """g(t) = (log(1 + t) - t / (1 + t)) / t^2 and its derivative, without cancellation near 0."""
    series = 1 / 2 - t * (2 / 3 - t * (3 / 4 - t * (4 / 5 - t * 5 / 6)))
    slope = -2 / 3 + t * (3 / 2 - t * (12 / 5 - t * 10 / 3))
    small = t < NEAR_POISSON
    far = np.where(small, 1.0, t)
    level = np.where(small, series, (np.log1p(far) - far / (1 + far)) / far**2)
    return level, np.where(small, slope, (1 / (1 + far) ** 2 - 2 * level) / far)
