"""Regressions of the outcome on arm and covariates, every visit apart, and standardised means of the arms.

Standardisation (g-computation): everybody who was observed at the visit is set to each arm in turn, and the
predictions are averaged, with the analysis weights where there are some. The covariance is by the delta method
and takes the covariates as fixed (Ge et al. 2011, doi:10.1177/009286151104500409), as `emmeans`, `margins` in
Stata and `avg_predictions` in R do. Counts are in `regressions_counts`.

A visit that cannot be fitted has a reason: an arm without observations, not more observations than coefficients,
collinear covariates, values that are not finite, no variance, and what each function adds to that.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from trialsim.analysis.fits import Data, FitError, Floats, Means
from trialsim.analysis.regressions_counts import counts
from trialsim.analysis.regressions_visits import (
    ROUNDING,
    SMALL_MEAN,
    SMALLEST_SQUARE,
    Place,
    Rows,
    VisitFit,
    bread,
    each_visit,
    n_clusters,
    sandwich,
    standardised_log,
    start_from_arms,
    variance_faults,
)

__all__ = ["ancova", "counts", "log_binomial", "logistic"]

# A leverage above this leaves a residual that is rounding.
FULL_LEVERAGE = 1 - 1e-8
# A fitted risk x (1 - risk) so small that it tells separation from slow convergence.
SMALL_INFORMATION = 1e-6


def ancova(data: Data, *, variance: Literal["model", "hc0", "hc3"] | None = None) -> Means:
    """Linear regression by (weighted) least squares; `mean` is in units of the outcome, link identity.

    `variance` "model": residual variance x inverse of the normal equations, t with n - p degrees of freedom (n
    observations, p coefficients); clusters are ignored. "hc0" is White's (1980, doi:10.2307/1912934) and "hc3"
    MacKinnon and White's (1985, doi:10.1016/0304-4076(85)90158-7) heteroscedasticity-robust variance, also with
    n - p. Where participants share clusters both become the clustered variance CR0 x G / (G - 1) x
    (n - 1) / (n - p) with G - 1 degrees of freedom (Cameron and Miller 2015, doi:10.3368/jhr.50.2.317; G counts
    who stands alone, too), which is too small for fewer than about 40 clusters.

    None means "model", and "hc3" with analysis weights. ValueError for "model" with analysis weights.
    """
    variance = variance or ("model" if data.weights is None else "hc3")
    if variance not in ("model", "hc0", "hc3"):
        raise ValueError(f"variance must be 'model', 'hc0' or 'hc3' (given: {variance!r})")
    _check_weights(data, variance)
    return each_visit(data, "identity", lambda rows: _least_squares(rows, variance))


def logistic(data: Data, *, variance: Literal["model", "robust"] | None = None) -> Means:
    """Logistic regression of y in {0, 1}; `mean` is the logit of the standardised risk, link logit.

    Risks, their differences and ratios and the marginal odds ratio follow from the means. `variance` "model":
    inverse of the information. "robust": sandwich without small-sample factor, clustered where participants
    share clusters (as `sandwich::sandwich` and `vcovCL(type = "HC0", cadjust = FALSE)`). Normal distribution.

    Reasons: an arm without events or with events only, and "separation": the likelihood has no maximum (Albert
    and Anderson 1984, doi:10.1093/biomet/71.1.1).

    None means "model", and "robust" with analysis weights. ValueError for "model" with analysis weights.
    """
    variance = variance or ("model" if data.weights is None else "robust")
    if variance not in ("model", "robust"):
        raise ValueError(f"variance must be 'model' or 'robust' (given: {variance!r})")
    _check_weights(data, variance)
    return each_visit(data, "logit", lambda rows: _logit_risks(rows, variance))


def log_binomial(data: Data) -> Means:
    """Binomial regression of y in {0, 1} with log link; `mean` is the log of the standardised risk, link log.

    Maximum likelihood (Wacholder 1986, doi:10.1093/oxfordjournals.aje.a114212) by Newton's method, whose steps
    are halved until all fitted risks are below 1. The variance is the inverse of the expected information (as
    `glm` in R; clusters are ignored), with analysis weights the sandwich (clustered where participants share
    clusters, no small-sample factor). Normal distribution. A prediction for the other arm may exceed 1.

    Reasons: an arm without events or with events only, "a fitted risk of 1" (the maximum is at the boundary),
    "separation" (there is none).
    """
    return each_visit(data, "log", _log_risks)


def _check_weights(data: Data, variance: str) -> None:
    if variance == "model" and data.weights is not None:
        raise ValueError("analysis weights need a robust variance")


# ------------------------------------------------------------------------------------------------ least squares


def _least_squares(rows: Rows, variance: str) -> VisitFit:
    n_arms, centre = rows.n_arms, float(rows.y.sum()) / len(rows.y)
    residual = rows.y - centre
    beta = np.zeros(len(rows.x))
    for _ in range(2):  # the second time takes away the rounding of the first
        step = rows.inverse @ (rows.x @ rows.weighted(residual))
        beta, residual = beta + step, residual - step @ rows.x
    squares = float(rows.weighted(residual) @ residual)
    if squares <= ROUNDING * float(rows.weighted(rows.y) @ rows.y) + SMALLEST_SQUARE:
        raise FitError(f"zero variance at visit {rows.visit}")
    mean, model = beta[:n_arms] + centre, squares / rows.n_spare * rows.inverse[:n_arms, :n_arms]
    if variance == "model":
        return VisitFit(mean, model, rows.n_spare, rows.n_spare)
    cov, df = _robust(rows, residual, variance)
    variance_faults(rows, cov[:n_arms, :n_arms], model)
    return VisitFit(mean, cov[:n_arms, :n_arms], df, df)


def _robust(rows: Rows, residual: Floats, variance: str) -> tuple[Floats, int]:
    if (rows.cluster >= 0).any():
        n, groups = len(rows.y), n_clusters(rows)
        cov = sandwich(rows, rows.inverse, rows.weighted(residual))
        return groups / (groups - 1) * (n - 1) / rows.n_spare * cov, groups - 1
    if variance == "hc3":
        leverage = rows.weighted(np.einsum("pn,pn->n", rows.inverse @ rows.x, rows.x))
        if leverage.max() > FULL_LEVERAGE:
            raise FitError(f"an observation has its own coefficient at visit {rows.visit}")
        residual = residual / (1 - leverage)
    return sandwich(rows, rows.inverse, rows.weighted(residual)), rows.n_spare


# --------------------------------------------------------------------------------------------- binary outcomes


def _arm_risks(rows: Rows) -> Floats:
    """Weighted proportions with the event, (A,), neither 0 nor 1."""
    if not ((rows.y == 0) | (rows.y == 1)).all():
        raise FitError(f"an outcome is neither 0 nor 1 at visit {rows.visit}")
    events, others = rows.arm_totals(rows.y), rows.arm_totals(1 - rows.y)
    rows.first_arm(events == 0, "no events")
    rows.first_arm(others == 0, "only events")
    return events / (events + others)


def _logit_risks(rows: Rows, variance: str) -> VisitFit:
    risk = _arm_risks(rows)
    sign = 2 * rows.y - 1

    def likelihood(eta: Floats) -> tuple[float, Floats, Floats]:
        odds = np.exp(-sign * eta)  # of the outcome that was not observed
        other = odds / (1 + odds)
        slope = rows.weighted(other)
        return -float(rows.weighted(np.log1p(odds)).sum()), sign * slope, slope / (1 + odds)

    end = start_from_arms(rows, np.log(risk / (1 - risk)), 0.0, likelihood)
    _, slope, information = likelihood(end.eta)
    if not end.arrived:
        raise FitError("separation" if information.min() < SMALL_INFORMATION else "no convergence")
    model = bread(rows, information)
    mean, gradient = _standardised_logit(rows, end.beta)
    cov = gradient @ model @ gradient.T
    if variance == "robust":
        robust = gradient @ sandwich(rows, model, slope) @ gradient.T
        variance_faults(rows, robust, cov)
        cov = robust
    return VisitFit(mean, cov)


def _standardised_logit(rows: Rows, beta: Floats) -> tuple[Floats, Floats]:
    """Logits of the standardised risks (A,), and their derivatives with respect to the coefficients (A, p)."""
    n_arms, n = rows.n_arms, len(rows.y)
    covariates = rows.x[n_arms:]
    risks = 1 / (1 + np.exp(-beta[:n_arms, None] - beta[n_arms:] @ covariates))
    steep = rows.weighted(risks * (1 - risks)) / n
    risk = rows.weighted(risks).sum(axis=1) / n
    gradient = np.concatenate([np.diag(steep.sum(axis=1)), steep @ covariates.T], axis=1)
    return np.log(risk / (1 - risk)), gradient / (risk * (1 - risk))[:, None]


def _log_risks(rows: Rows) -> VisitFit:
    level = np.log(_arm_risks(rows))

    def likelihood(eta: Floats) -> tuple[float, Floats, Floats]:
        if not eta.max() < 0:
            return -np.inf, eta, eta
        odds, other = np.exp(eta), -np.expm1(eta)
        odds = odds / other
        value = rows.weighted(np.where(rows.y == 1, eta, np.log(other))).sum()
        slope = np.where(rows.y == 1, 1.0, -odds)
        return float(value), rows.weighted(slope), rows.weighted((1 - rows.y) * odds / other)

    end = start_from_arms(rows, level, 0.0, likelihood)
    if not end.arrived:
        raise FitError(_why_not_below_1(end))
    odds = np.exp(end.eta) / -np.expm1(end.eta)
    model = bread(rows, rows.weighted(odds))
    mean, gradient = standardised_log(rows, end.beta)
    cov = gradient @ model @ gradient.T
    if rows.weight is not None:
        robust = gradient @ sandwich(rows, model, likelihood(end.eta)[1]) @ gradient.T
        variance_faults(rows, robust, cov)
        cov = robust
    return VisitFit(mean, cov)


def _why_not_below_1(end: Place) -> str:
    if not (end.eta + end.step).max() < 0:
        return "a fitted risk of 1"
    return "separation" if end.eta.min() < SMALL_MEAN else "no convergence"
