"""Generalised estimating equations for repeated visits (Liang & Zeger 1986, doi:10.1093/biomet/73.1.13).

The mean model has one coefficient for every arm and visit (arm, visit and arm x visit, saturated) and covariates whose
coefficients are shared by all visits,

    g(E[y_it]) = cell[a(i), t] + x_i'beta,

and a working correlation R between the visits of one participant; a participant who misses visits uses the rows and
columns of R that were observed. With Pearson residuals e_it = (y_it - mu_it) / sd(mu_it), as in geepack (and in
statsmodels with ddof_scale=0), nothing is taken off the denominators for the parameters:

    scale        phi = sum of e_it**2 / number of observations
    exchangeable alpha = sum over pairs of visits of one participant, e_it e_is / (phi x number of pairs)
    unstructured alpha_ts = sum over participants seen at t and s, e_it e_is / (phi x number of them)

The variance is the sandwich, summed over participants or over shared clusters of them, with one of the corrections of
`gee_variance`. The working correlation never reaches beyond one participant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from trialsim.analysis import gee_variance
from trialsim.analysis.fits import Bools, Data, FitError, Floats, Ints, Link, Means
from trialsim.analysis.gee_variance import Rows, Units

Family = Literal["gaussian", "binomial", "poisson"]
Working = Literal["independence", "exchangeable", "unstructured"]
Correction = Literal["none", "df", "kauermann_carroll", "mancl_derouen", "fay_graubard"]

CANONICAL: dict[Family, Link] = {"gaussian": "identity", "binomial": "logit", "poisson": "log"}

MAX_ITERATIONS = 50
# Of the link's scale (identity: of the residual standard deviation), covariates in standard deviations.
SMALL_STEP = 1e-9
# Below this step, in the same units, residuals are good enough to estimate a correlation.
ROUGH_STEP = 0.1
HALVINGS = 12
# Standard deviation of a covariate below this part of its mean: a constant, up to rounding.
CONSTANT = 1e-10
# Least eigenvalue of the design's information, scaled to a diagonal of 1.
COLLINEAR = 1e-10
# Least eigenvalue of a correlation matrix.
POSITIVE = 1e-8


def gee(
    data: Data,
    *,
    family: Family,
    link: Link | None = None,
    working: Working,
    correction: Correction = "none",
) -> Means:
    """Fit the model to one replicate; means of the arms, standardised, on the scale of the link.

    `link` is the canonical one unless given. The mean of an arm at a visit is g of the mean prediction when every
    participant with an observation is set to that arm (for the identity link: the arm's mean at mean covariates), its
    covariance by the delta method with the covariates taken as fixed.

    `correction` and degrees of freedom, for G independent units (participants alone, and shared clusters) and p mean
    parameters:

    - "none": the sandwich itself, normal distribution. Too small with fewer than about 40 units in an arm;
    - "df": times G / (G - p). All participants who stand alone count in G: little help for 12 coaches among many;
    - "kauermann_carroll", "mancl_derouen", "fay_graubard" (bound 0.75; depends on the parametrisation, which is the one
      above with covariates centred at their means): see `gee_variance`.

    All but "none" use t with G - p degrees of freedom if nobody shares a cluster. Otherwise every contrast has its own,
    by Satterthwaite's method for the uncorrected or corrected sandwich (Fay & Graubard 2001,
    doi:10.1111/j.0006-341X.2001.01198.x; Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004): a contrast that
    rests on 12 coaches gets about 11, whatever the number of participants. The F test of all arms combines those of
    its components as Fai & Cornelius (1996, doi:10.1080/00949659608811740).

    `data.weights` (N, V) multiply the observations' contributions, with working independence only (ValueError).
    FitError if the model is not identified or does not converge; there are no reasons for single visits.
    """
    link = link or CANONICAL[family]
    if data.weights is not None and working != "independence":
        raise ValueError("weights need the working correlation 'independence'")
    with np.errstate(all="ignore"):  # what overflows is not finite, and refused
        d = _arrange(data, family, link)
        fit = _fit(d, family, link, working)
        mean, gradient = _standardised(d, fit, link)
        return _means(d, fit, link, correction, mean, gradient)


# -------------------------------------------------------------------------------------------------- the data


@dataclass(frozen=True, eq=False)
class _Data:
    """n participants with an observation, in the order of `units`; arithmetic runs along them."""

    y: Floats  # (V, n), 0 where not observed
    seen: Bools  # (V, n)
    weight: Floats | None  # (V, n), 0 where not observed
    arm: Ints  # (n,)
    in_arm: Floats  # (A, n): 1 in the participant's arm
    x: Floats  # (C, n): centred, in standard deviations
    pattern: Ints  # (n,), rows of `patterns`
    patterns: Bools  # (K, V)
    units: Units
    n_cell: Ints  # (A, V)

    @property
    def n_parameters(self) -> int:
        return self.n_cell.size + len(self.x)


def _arrange(data: Data, family: Family, link: Link) -> _Data:
    used = np.flatnonzero(data.observed.any(axis=1))
    order, units = gee_variance.arranged(data.cluster[used])
    rows = used[order]
    seen = np.ascontiguousarray(data.observed[rows].T)
    y = np.where(seen, data.y[rows].T, 0.0)
    in_arm = (data.arm[rows] == np.arange(data.n_arms)[:, None]).astype(np.float64)
    n_cell = np.rint(in_arm @ seen.T).astype(np.int64)
    refuse_cells(n_cell == 0, "no observations")
    if not np.isfinite(np.square(y).sum()):
        raise FitError("an observed outcome is not finite or too large")
    _refuse_outcomes(in_arm @ y.T, n_cell, y, family, link)
    _refuse_lonely(in_arm, seen, units)
    weight = None
    if data.weights is not None:
        weight = np.where(seen, data.weights[rows].T, 0.0)
        if not (np.isfinite(weight).all() and (weight > 0)[seen].all()):
            raise FitError("a weight is not positive")
    patterns, pattern = _patterns(seen)
    x = standardised_covariates(data.covariates[rows].T)
    return _Data(y, seen, weight, data.arm[rows], in_arm, x, pattern, patterns, units, n_cell)


def _patterns(seen: Bools) -> tuple[Bools, Ints]:
    """The patterns of visits (K, V) that occur, and every participant's number among them (n,)."""
    code = (1 << np.arange(len(seen))) @ seen
    _, first, pattern = np.unique(code, return_index=True, return_inverse=True)
    return seen.T[first], pattern


def standardised_covariates(raw: Floats) -> Floats:
    """Covariates (C, n), centred, in standard deviations. FitError for constants and what is not finite."""
    if not np.isfinite(raw).all():
        raise FitError("a covariate is not finite")
    centre = raw.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(raw - centre).mean(axis=1, keepdims=True))
    if not np.isfinite(spread).all():
        raise FitError("a covariate is too large")
    if not (spread > CONSTANT * np.abs(centre)).all() or not (spread > 0).all():
        raise FitError("covariates are collinear")
    return (raw - centre) / spread


def refuse_cells(where: Bools, text: str) -> None:
    """FitError with the first arm and visit of `where` (A, V); only the arm if it is so at all of several visits."""
    if where.any():
        arm, visit = np.argwhere(where)[0]
        everywhere = where.shape[1] > 1 and where[arm].all()
        raise FitError(f"{text} in arm {arm}" + ("" if everywhere else f" at visit {visit}"))


def _refuse_outcomes(total: Floats, n_cell: Ints, y: Floats, family: Family, link: Link) -> None:
    """Cells (A, V) whose coefficient would be infinite, and outcomes that the family does not know."""
    if family == "gaussian":
        outside = ~_in_range(total / n_cell, link)
        refuse_cells(outside, f"the mean is outside the range of the {link} link")
        return
    if (y < 0).any() or (family == "binomial" and (y > 1).any()):
        raise FitError("an outcome is negative" if family == "poisson" else "an outcome is not between 0 and 1")
    refuse_cells(total <= 0, "no events")
    if family == "binomial":
        refuse_cells(total >= n_cell, "no one without the event")
    refuse_cells(~_in_range(total / n_cell, link), f"the mean is outside the range of the {link} link")


def _in_range(mean: Floats, link: Link) -> Bools:
    above = mean > 0 if link != "identity" else np.isfinite(mean)
    return above & (mean < 1) if link == "logit" else above


def _refuse_lonely(in_arm: Floats, seen: Bools, units: Units) -> None:
    """A cell whose observations all come from one unit has no variance between units."""
    for visit, there in enumerate(seen):
        counts = (units.total((in_arm * there).T) > 0).sum(axis=0)
        for arm in np.flatnonzero(counts < 2):
            raise FitError(f"fewer than 2 clusters in arm {arm} at visit {visit}")


# ----------------------------------------------------------------------------------------- the coefficients


@dataclass(frozen=True, eq=False)
class _Point:
    """The means at some coefficients, (V, n) all, 0 where not observed."""

    mu: Floats
    slope: Floats  # d mu / d predictor over the standard deviation
    residual: Floats  # Pearson's


@dataclass(frozen=True, eq=False)
class _Fit:
    theta: Floats  # (p,): cells arm by arm, covariates
    at: _Point
    root: Floats  # (K, V, V): root @ root.T is the inverse of R for every pattern
    information: Floats  # (p, p)


def _fit(d: _Data, family: Family, link: Link, working: Working) -> _Fit:
    """Fisher scoring; the correlation is estimated anew before every step, once the coefficients are near.

    A step that leaves the range of the means is halved.
    """
    theta, at = _start(d, family, link)
    root, near = _roots(d, np.eye(len(d.y))), False
    _refuse_collinear(d)
    scale = 1.0
    for _ in range(MAX_ITERATIONS):
        if near and working != "independence":
            root = _roots(d, _correlation(d, at, working))
        information, score = _equations(d, at, root)
        step = _solved(information, score)
        if link == "identity":
            scale = np.sqrt(np.square(at.residual).sum() / d.n_cell.sum())
        size = float(np.abs(step).max())
        if near and size <= SMALL_STEP * scale + 1e-14 * np.abs(theta).max():
            _refuse_constant(d, at)
            return _Fit(theta, at, root, information)
        near = near or working == "independence" or size <= ROUGH_STEP * scale
        theta, at = _moved(d, theta, step, family, link)
    raise FitError("no convergence")


def _start(d: _Data, family: Family, link: Link) -> tuple[Floats, _Point]:
    cells = (d.in_arm @ d.y.T) / d.n_cell
    theta = np.concatenate([_link(cells, link).ravel(), np.zeros(len(d.x))])
    at = _point(d, theta, family, link)
    _refuse_constant(d, at)
    return theta, at


def _refuse_constant(d: _Data, at: _Point) -> None:
    residual_squares, squares = d.in_arm @ np.square(d.y - at.mu).T, d.in_arm @ np.square(d.y).T
    refuse_cells(gee_variance.is_constant(residual_squares, squares), "zero variance")


def _moved(d: _Data, theta: Floats, step: Floats, family: Family, link: Link) -> tuple[Floats, _Point]:
    for _ in range(HALVINGS):
        at = _point(d, theta + step, family, link)
        if np.isfinite(at.slope).all() and np.isfinite(at.residual).all():
            return theta + step, at
        step = step / 2
    raise FitError("no convergence")


def _point(d: _Data, theta: Floats, family: Family, link: Link) -> _Point:
    n_cells = d.n_cell.size
    predictor = theta[:n_cells].reshape(d.n_cell.shape).T[:, d.arm] + theta[n_cells:] @ d.x
    mu, slope = _inverse_link(predictor, link)
    if family != "gaussian":
        # The root of a negative variance is NaN: the means have left their range.
        spread = np.sqrt(mu * (1 - mu) if family == "binomial" else mu)
        slope, residual = slope / spread, (d.y - mu) / spread
    else:
        residual = d.y - mu
    return _Point(np.where(d.seen, mu, 0.0), np.where(d.seen, slope, 0.0), np.where(d.seen, residual, 0.0))


def _link(mean: Floats, link: Link) -> Floats:
    if link == "identity":
        return mean
    return np.log(mean) if link == "log" else np.log(mean) - np.log1p(-mean)


def _inverse_link(predictor: Floats, link: Link) -> tuple[Floats, Floats]:
    """Means and their derivatives with respect to the predictor."""
    if link == "identity":
        return predictor, np.ones_like(predictor)
    if link == "log":
        mean = np.exp(predictor)
        return mean, mean
    mean = expit(predictor)
    return mean, mean * (1 - mean)


def _correlation(d: _Data, at: _Point, working: Working) -> Floats:
    """R (V, V), by moments over the pairs of visits."""
    products = at.residual @ at.residual.T
    both = d.seen.astype(np.float64) @ d.seen.T
    scale = np.trace(products) / np.trace(both)
    apart = ~np.eye(len(both), dtype=np.bool_)
    pairs = both[apart].sum()
    if pairs == 0:
        return np.eye(len(both))
    if working == "exchangeable":
        found = np.where(apart, products[apart].sum() / (scale * pairs), 1.0)
    else:
        for one, other in np.argwhere(both == 0):
            raise FitError(f"nobody was observed both at visit {one} and at visit {other}")
        found = np.where(apart, products / (scale * both), 1.0)
    if not np.isfinite(found).all() or np.linalg.eigvalsh(found)[0] < POSITIVE:
        raise FitError("the working correlation is not positive definite")
    return found


def _roots(d: _Data, correlation: Floats) -> Floats:
    """For every pattern a root of the inverse of its part of R, 0 where not observed, (K, V, V)."""
    both = d.patterns[:, :, None] & d.patterns[:, None]
    parts = np.where(both, correlation, np.eye(len(correlation)))
    return np.where(both, np.linalg.inv(np.linalg.cholesky(parts)).swapaxes(1, 2), 0.0)


def _equations(d: _Data, at: _Point, root: Floats) -> tuple[Floats, Floats]:
    """Information (p, p) and score (p,), from sums over the participants of an arm."""
    n_visits, n_cells = len(d.y), d.n_cell.size
    if d.weight is not None:
        inverse = d.weight * np.eye(n_visits)[..., None]
    else:
        inverse = (root @ root.swapaxes(1, 2)).transpose(1, 2, 0)[:, :, d.pattern]
    blocks = inverse * at.slope[:, None] * at.slope
    residual = at.slope * (inverse * at.residual).sum(axis=1)
    across = blocks.sum(axis=1)
    by_cell = (d.in_arm[:, None] * across).reshape(n_cells, -1)
    information = np.zeros((d.n_parameters, d.n_parameters))
    cells = (blocks.reshape(n_visits**2, -1) @ d.in_arm.T).reshape(n_visits, n_visits, -1)
    for arm in range(len(d.in_arm)):
        own = slice(arm * n_visits, (arm + 1) * n_visits)
        information[own, own] = cells[..., arm]
    information[:n_cells, n_cells:] = by_cell @ d.x.T
    information[n_cells:, :n_cells] = information[:n_cells, n_cells:].T
    information[n_cells:, n_cells:] = (d.x * across.sum(axis=0)) @ d.x.T
    return information, np.concatenate([(d.in_arm @ residual.T).ravel(), d.x @ residual.sum(axis=0)])


def _solved(information: Floats, score: Floats) -> Floats:
    scale = 1 / np.sqrt(np.diagonal(information))
    try:
        step = scale * np.linalg.solve(information * scale * scale[:, None], score * scale)
    except np.linalg.LinAlgError:
        raise FitError("no convergence") from None
    if not np.isfinite(step).all():
        raise FitError("no convergence")
    return step


def _refuse_collinear(d: _Data) -> None:
    ones = d.seen.astype(np.float64)
    information, _ = _equations(d, _Point(ones, ones, ones), _roots(d, np.eye(len(ones))))
    scale = 1 / np.sqrt(np.diagonal(information))
    if np.linalg.eigvalsh(information * scale * scale[:, None])[0] < COLLINEAR:
        raise FitError("covariates are collinear")


# ------------------------------------------------------------------------------- the means and their variance


def _standardised(d: _Data, fit: _Fit, link: Link) -> tuple[Floats, Floats]:
    """Means (A, V) on the scale of the link, and their gradients (A, V, p)."""
    n_cells, shape = d.n_cell.size, d.n_cell.shape
    cells = fit.theta[:n_cells].reshape(shape)
    gradient = np.zeros((*shape, d.n_parameters))
    own = gradient.reshape(n_cells, -1)[:, :n_cells]
    if link == "identity":
        np.fill_diagonal(own, 1.0)
        return cells, gradient
    risk, slope = _inverse_link(cells[..., None] + fit.theta[n_cells:] @ d.x, link)
    mean = risk.mean(axis=2)
    steepness = 1 / (mean if link == "log" else mean * (1 - mean))
    np.fill_diagonal(own, slope.mean(axis=2) * steepness)
    gradient[..., n_cells:] = slope @ d.x.T / len(d.arm) * steepness[..., None]
    return _link(mean, link), gradient


def _means(d: _Data, fit: _Fit, link: Link, correction: Correction, mean: Floats, gradient: Floats) -> Means:
    g, p = d.units.count, d.n_parameters
    by_contrast = correction != "none" and len(d.units.starts) > 0
    if g - p < 1 and (correction == "df" or (correction != "none" and not by_contrast)):
        raise FitError(f"{g} clusters are too few for {p} parameters")
    rows = _rows(d, fit)
    found = gee_variance.sandwich(rows, "none" if correction == "df" else correction)
    gradient = rows.coordinates(gradient)
    cov = found.cov(gradient.reshape(mean.size, -1))
    if correction == "df":
        cov = cov * g / (g - p)
    if not (np.isfinite(cov).all() and np.isfinite(mean).all()):
        raise FitError("the variance is not finite")
    df = np.full((*mean.shape[:1], *mean.shape), np.inf if correction == "none" else float(g - p))
    global_df = df[0, 0].copy()
    lost = found.refuse(gradient, first_visit=0)
    for visit in range(mean.shape[1]) if by_contrast else ():
        df[..., visit], global_df[visit] = gee_variance.degrees_of_freedom(found, gradient[:, visit], visit)
    own = np.arange(len(df))
    df[own, own] = np.where(lost, np.nan, df[own, own])
    return Means(link, mean, cov, df, global_df, d.n_cell, len(d.arm), ("",) * mean.shape[1])


def _rows(d: _Data, fit: _Fit) -> Rows:
    """Design and residuals of all participants and visits, multiplied by the root of the working covariance."""
    n_visits, n = d.y.shape
    if d.weight is not None:
        root = np.sqrt(d.weight.T)[:, None] * np.eye(n_visits)
    else:
        root = fit.root.swapaxes(1, 2)[d.pattern]
    design = root * fit.at.slope.T[:, None]
    q = np.zeros((n, n_visits, d.n_parameters))
    for arm, members in enumerate(d.in_arm > 0):
        q[members, :, arm * n_visits : (arm + 1) * n_visits] = design[members]
    q[..., d.n_cell.size :] = design.sum(axis=2)[..., None] * d.x.T[:, None]
    residual = (root @ fit.at.residual.T[..., None])[..., 0]
    try:
        return Rows.whitened(q, residual, fit.information, d.units)
    except np.linalg.LinAlgError:
        raise FitError("the information is singular") from None
