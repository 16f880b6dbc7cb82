"""Mixed model for repeated measures (MMRM): a mean per arm and visit, and correlated residuals, by REML.

    y_iv = cell[a(i), v] + x_i'beta + e_iv,    (e_i1 ... e_iV) ~ N(0, Sigma),

with beta shared by visits or one per visit, and one Sigma for all arms. No random effects: Sigma carries the
correlation of a participant's visits. A participant contributes the visits observed, so estimates are valid if
data are missing at random. Participants are independent: shared clusters are not accounted for.

How it is fast. Given Sigma all that matters are sums of products of (arm, covariates, outcomes) over the
participants with the same visits observed, at most 2^V - 1 patterns. After one pass over the data likelihood,
score and information are made of small matrices. With K = arms + covariates regressors z_i, the design of
participant i is z_i' (x) I_V, so X'WX is a sum over patterns of (sum of z_i z_i') (x) (inverse of Sigma there).
The likelihood, its maximum, adjusted covariance and degrees of freedom are in `mmrm_inference.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_args

import numpy as np

from trialsim.analysis.fits import Bools, Data, FitError, Floats, Ints, Means
from trialsim.analysis.mmrm_inference import Reml, Sums, adjusted_cov, contrast_df, global_df, maxima, phi_slope

Covariance = Literal["unstructured", "compound_symmetry"]
Df = Literal["kenward_roger", "satterthwaite", "residual"]

# As in cells.py: relative standard deviation of a constant, and least scaled eigenvalue of covariates given cells.
CONSTANT = 1e-10
COLLINEAR = 1e-10
# A variance that is this part of the square of the outcome is rounding.
NO_VARIANCE = 1e-24
# A difference of sums of squares that is this part of them is not rounding.
MANY_DIGITS = 1e-8
# Squares of numbers between these have all their digits.
SMALLEST, LARGEST = 1e-145, 1e145
# A pattern of observed visits is a number of as many bits.
MOST_VISITS = 50


@dataclass(frozen=True, eq=False)
class MmrmFit:
    """The fit: `coef` holds the adjusted means, arm by arm, then coefficients per unit of each covariate.

    `log_likelihood` is the restricted one, -1/2 [(n - p) log 2 pi + sum of log|Sigma_i| + log|X'WX| + r'Wr],
    with X in the units of the covariates and a coefficient per arm and visit.
    """

    coef: Floats  # (p,), p = A * V + C, or A * V + C * V covariate by covariate
    cov_coef: Floats  # (p, p), not adjusted
    sigma: Floats  # (V, V)
    log_likelihood: float
    n_observations: int


def mmrm(
    data: Data,
    *,
    covariance: Covariance = "unstructured",
    df: Df = "kenward_roger",
    covariates_by_visit: bool = False,
) -> Means:
    """Adjusted means by MMRM: of each arm and visit, at the mean covariates of who has at least one observation.

    (R's emmeans takes the mean over observations, so its means differ where visits are missing. Differences between
    arms do not.)

    `df` is "kenward_roger" (Kenward & Roger 1997, doi:10.2307/2533558: covariance adjusted for the estimation of
    Sigma, degrees of freedom from the expected information, theta linear in Sigma; SAS `ddfm=kr`, pbkrtest, and
    method "Kenward-Roger" with vcov "Kenward-Roger-Linear" of R mmrm), "satterthwaite" (unadjusted covariance,
    observed information; R mmrm, lmerTest) or "residual" (unadjusted; observations - coefficients). With one
    visit all three are the analysis of covariance. "compound_symmetry" has one variance and one correlation,
    which may be negative.

    `global_df` is the denominator by which lmerTest and R mmrm test differences to arm 0 with Satterthwaite's
    method (Fai & Cornelius 1996, doi:10.1080/00949659608811740), here with the information `df` asks for. The
    factor lambda by which Kenward and Roger multiply F is not applied. It is 1 for two arms.

    `cov` covers the covariances between visits too. FitError where the model cannot be fitted: a cell without
    observations, two visits never observed in one participant (unstructured), too few participants, no
    variation, collinear covariates, a singular Sigma, no convergence. ValueError for weights, for
    more than 50 visits and for an option that does not exist.
    """
    found = mmrm_of_many([data], covariance=covariance, df=df, covariates_by_visit=covariates_by_visit)[0]
    if isinstance(found, FitError):
        raise found
    return found


def mmrm_of_many(
    many: Sequence[Data | FitError],
    *,
    covariance: Covariance = "unstructured",
    df: Df = "kenward_roger",
    covariates_by_visit: bool = False,
) -> list[Means | FitError]:
    """`mmrm` of several replicates, with the same bits; at once it is faster. A FitError stays what it is."""
    if df not in get_args(Df):
        raise ValueError(f"unknown degrees of freedom: {df}")
    found: list[Means | FitError] = []
    with np.errstate(all="ignore"):
        for fit in _fits(many, covariance, covariates_by_visit):
            try:
                found.append(fit if isinstance(fit, FitError) else _means(*fit, df))
            except FitError as fault:
                found.append(fault)
    return found


def fit_mmrm(data: Data, *, covariance: Covariance = "unstructured", covariates_by_visit: bool = False) -> MmrmFit:
    """The fit behind `mmrm`: all coefficients, Sigma and the restricted likelihood. FitError as there."""
    with np.errstate(all="ignore"):
        fit = _fits([data], covariance, covariates_by_visit)[0]
    if isinstance(fit, FitError):
        raise fit
    model, sums, at = fit
    n_cells = model.n_arms * len(model.y)
    unit = np.ones(len(at.beta))
    unit[n_cells:] = np.repeat(model.x_scale, (len(unit) - n_cells) // max(len(model.x_scale), 1))
    coef = sums.scale * (sums.beta0 + at.beta) / unit
    coef[:n_cells] += np.tile(model.y_centre, model.n_arms)
    n_obs = int(sums.n_pairs.trace())
    n_free = n_obs - len(unit)
    constant = n_free * (math.log(2 * math.pi) + 2 * math.log(sums.scale)) + 2 * float(np.log(unit).sum())
    return MmrmFit(
        coef=coef,
        cov_coef=sums.scale**2 * at.phi / np.outer(unit, unit),
        sigma=sums.scale**2 * at.sigma,
        log_likelihood=-(at.deviance + constant) / 2,
        n_observations=n_obs,
    )


def _fits(
    many: Sequence[Data | FitError], covariance: Covariance, by_visit: bool
) -> list[tuple[_Model, Sums, Reml] | FitError]:
    """Model, sums and maximum of every replicate, or why there is none."""
    found: list[Any] = []
    for data in many:
        try:
            found.append(data if isinstance(data, FitError) else _prepared(data, covariance, by_visit))
        except FitError as fault:
            found.append(fault)
    places = [place for place, one in enumerate(found) if not isinstance(one, FitError)]
    for place, at in zip(places, maxima([found[place][1] for place in places]), strict=True):
        model, sums = found[place]
        try:
            found[place] = at if isinstance(at, FitError) else (model, sums, at)
            if isinstance(at, Reml):
                _check_variation(model, at.sigma.diagonal() * (sums.scale / model.y_scale) ** 2)
        except FitError as fault:
            found[place] = fault
    return found


def _prepared(data: Data, covariance: Covariance, by_visit: bool) -> tuple[_Model, Sums]:
    model = _model(data, covariance, by_visit)
    return model, _sums(model)


# ------------------------------------------------------------------------------------------ what there is to fit


@dataclass(frozen=True, eq=False)
class _Model:
    """The N with an observation, by pattern of observed visits, in units in which sums are safe; the model's shape."""

    y: Floats  # (V, N), around the visits' means, within -1 ... 1; 0 where not observed
    observed: Floats  # (V, N), 0 or 1
    z: Floats  # (K, N), arms as 0 and 1, then centred and scaled covariates
    seen: Floats  # (G, V), the patterns, 0 or 1
    ends: Ints  # (G,), where among the N each pattern ends
    n_arms: int
    n_cell: Ints  # (A, V)
    y_centre: Floats  # (V,)
    y_scale: float
    y_size: Floats  # (V,), largest size of an outcome, in the units of `y`
    x_scale: Floats  # (C,)
    to_full: Floats  # (K * V, p), from coefficients to those of every regressor at every visit
    basis: Floats  # (R, V, V): Sigma = sum of theta_r basis_r


def _model(data: Data, covariance: Covariance, by_visit: bool) -> _Model:
    if covariance not in get_args(Covariance):
        raise ValueError(f"unknown covariance: {covariance}")
    if data.weights is not None:
        raise ValueError("mmrm takes no weights")
    if data.y.shape[1] > MOST_VISITS:
        raise ValueError(f"mmrm takes at most {MOST_VISITS} visits")
    order, ends = _by_pattern(data.observed)
    y = np.ascontiguousarray(data.y.take(order, axis=0).T)
    there = ~np.isnan(y)
    observed = there.astype(np.float64)
    is_arm = (data.arm.take(order) == np.arange(data.n_arms)[:, None]).astype(np.float64)
    n_cell = np.rint(is_arm @ observed.T).astype(np.int64)
    _check_counts(n_cell, observed, data.covariates.shape[1], covariance, by_visit)
    with np.errstate(all="ignore"):
        y, y_centre, y_scale, y_size = _scaled_outcome(y, there, n_cell.sum(axis=0))
        x, x_scale = _scaled_covariates(np.ascontiguousarray(data.covariates.take(order, axis=0).T))
    n_visits = len(y)
    return _Model(
        y=y,
        observed=observed,
        z=np.concatenate([is_arm, x]),
        seen=observed[:, ends - 1].T,
        ends=ends,
        n_arms=data.n_arms,
        n_cell=n_cell,
        y_centre=y_centre,
        y_scale=y_scale,
        y_size=y_size,
        x_scale=x_scale,
        to_full=_to_full(data.n_arms, n_visits, len(x), by_visit),
        basis=_basis(n_visits, covariance),
    )


def _by_pattern(observed: Bools) -> tuple[Ints, Ints]:
    """Who has an observation, sorted by the pattern of observed visits, and where each pattern ends."""
    n_visits = observed.shape[1]
    code = observed @ (2.0 ** np.arange(n_visits))
    # Small numbers are sorted by their bytes, which is fast.
    code = code.astype(np.uint8 if n_visits <= 8 else np.uint16 if n_visits <= 16 else np.int64)
    order = np.argsort(code, kind="stable")
    order = order[np.count_nonzero(code == 0) :]
    code = code.take(order)
    return order, np.append(np.flatnonzero(code[1:] != code[:-1]) + 1, len(order))


def _check_counts(n_cell: Ints, observed: Floats, n_covariates: int, covariance: Covariance, by_visit: bool) -> None:
    n_arms, n_visits = n_cell.shape
    for arm, visit in np.argwhere(n_cell == 0):
        everywhere = n_visits > 1 and not n_cell[arm].any()
        raise FitError(f"no observations in arm {arm}" + ("" if everywhere else f" at visit {visit}"))
    if observed.shape[1] <= n_arms + n_covariates:
        raise FitError("fewer participants than parameters")
    for visit in np.flatnonzero(n_cell.sum(axis=0) <= n_arms + n_covariates * by_visit):
        raise FitError(f"too few observations at visit {visit}")
    if n_cell.sum() <= n_cell.size + n_covariates:
        raise FitError("more parameters than observations")
    together = observed @ observed.T
    for first, second in np.argwhere(together == 0):
        if covariance == "unstructured":
            raise FitError(f"visits {first} and {second} are never observed in the same participant")


def _scaled_outcome(y: Floats, observed: Bools, n_visit: Ints) -> tuple[Floats, Floats, float, Floats]:
    """The outcome (V, N) in [-1, 1], each visit's centre, the unit, and the size of outcomes there in that unit."""
    y = np.where(observed, y, 0.0)
    size = np.maximum(y.max(axis=1), -y.min(axis=1))
    if not np.isfinite(size).all():
        raise FitError("an observed outcome is not finite")
    centre = y.sum(axis=1) / n_visit
    y -= centre[:, None]
    y *= observed
    scale = float(np.abs(y).max())
    if not scale < LARGEST:
        raise FitError("an observed outcome is too large")
    if scale < SMALLEST:
        raise FitError("no variation in the outcome")
    y /= scale
    return y, centre, scale, size / scale


def _scaled_covariates(x: Floats) -> tuple[Floats, Floats]:
    """Covariates (C, N) with mean 0 and standard deviation 1, and the units."""
    if not np.isfinite(x).all():
        raise FitError("a covariate is not finite")
    centre = x.mean(axis=1)
    x = x - centre[:, None]
    size = np.maximum(x.max(axis=1), -x.min(axis=1))
    if not (size < LARGEST).all():
        raise FitError("a covariate is too large")
    if (size <= CONSTANT * np.abs(centre)).any() or (size < SMALLEST).any():
        raise FitError("covariates are collinear")
    x /= size[:, None]
    spread = np.sqrt((x**2).mean(axis=1))
    x /= spread[:, None]
    return x, size * spread


@cache
def _to_full(n_arms: int, n_visits: int, n_covariates: int, by_visit: bool) -> Floats:
    per_covariate = np.eye(n_visits) if by_visit else np.ones((n_visits, 1))
    covariates = np.kron(np.eye(n_covariates), per_covariate)
    n_cells = n_arms * n_visits
    full = np.zeros((n_cells + len(covariates), n_cells + covariates.shape[1]))
    full[:n_cells, :n_cells] = np.eye(n_cells)
    full[n_cells:, n_cells:] = covariates
    return full


@cache
def _basis(n_visits: int, covariance: Covariance) -> Floats:
    identity = np.eye(n_visits)
    if covariance == "compound_symmetry" and n_visits > 1:
        return np.stack([identity, 1 - identity])
    first, second = np.tril_indices(n_visits)
    basis = np.zeros((len(first), n_visits, n_visits))
    basis[np.arange(len(first)), first, second] = 1
    basis[np.arange(len(first)), second, first] = 1
    return basis


# ------------------------------------------------------------------------------------- sums over participants


def _sums(model: _Model) -> Sums:
    y, z, seen = model.y, model.z, model.seen
    pieces = [slice(start, end) for start, end in zip([0, *model.ends[:-1]], model.ends, strict=True)]
    n = np.diff(model.ends, prepend=0).astype(np.float64)
    sums = Sums(
        seen=seen,
        n=n,
        zz=np.stack([z[:, rows] @ z[:, rows].T for rows in pieces]),
        zy=np.stack([z[:, rows] @ y[:, rows].T for rows in pieces]),
        yy=np.zeros((len(n), seen.shape[1], seen.shape[1])),
        n_pairs=(seen.T * n) @ seen,
        beta0=np.zeros(model.to_full.shape[1]),
        scale=model.y_scale,
        n_arms=model.n_arms,
        to_full=model.to_full,
        basis=model.basis,
    )
    beta0 = _least_squares(sums, model)
    residual = (y - sums.by_visit(beta0).T @ z) * model.observed
    squares = np.square(residual).sum(axis=1)
    n_visit = sums.n_pairs.diagonal()
    within = _within_cells(model, sums.zy.sum(axis=0)[: model.n_arms])
    _check_variation(model, np.minimum(squares, within) / n_visit)
    unit = math.sqrt(squares.sum() / n_visit.sum())
    residual /= unit
    return replace(
        sums,
        zy=np.stack([z[:, rows] @ residual[:, rows].T for rows in pieces]),
        yy=np.stack([residual[:, rows] @ residual[:, rows].T for rows in pieces]),
        beta0=beta0 / unit,
        scale=model.y_scale * unit,
    )


def _within_cells(model: _Model, totals: Floats) -> Floats:
    """Sums of squares (V,) around the means of arms and visits, of which the totals (A, V) are given."""
    means = totals / model.n_cell
    whole = np.square(model.y).sum(axis=1)
    within = whole - (totals * means).sum(axis=0)
    if (within > MANY_DIGITS * (whole + model.y_size**2)).all():
        return np.asarray(within)
    return np.asarray(np.square((model.y - means.T @ model.z[: model.n_arms]) * model.observed).sum(axis=1))


def _check_variation(model: _Model, variance: Floats) -> None:
    """`variance` (V,) is in the units of `model.y`."""
    for visit in np.flatnonzero(~(variance > NO_VARIANCE * model.y_size**2)):
        raise FitError(f"no variation at visit {visit}")


def _least_squares(sums: Sums, model: _Model) -> Floats:
    gram = sums.gram(sums.seen[:, :, None] * np.eye(sums.seen.shape[1]))
    n_cells = model.n_arms * sums.seen.shape[1]
    cells, cross, own = gram.diagonal()[:n_cells], gram[:n_cells, n_cells:], gram[n_cells:, n_cells:]
    given_cells = own - cross.T @ (cross / cells[:, None])
    unit = np.sqrt(own.diagonal())
    scaled = np.nan_to_num(given_cells / np.outer(unit, unit))
    if np.linalg.eigvalsh(scaled).min(initial=1.0) < COLLINEAR:
        raise FitError("covariates are collinear")
    return np.linalg.solve(gram, sums.to_full.T @ sums.zy.sum(axis=0).reshape(-1))


# -------------------------------------------------------------------------------------------- the results


def _means(model: _Model, sums: Sums, at: Reml, df: Df) -> Means:
    n_arms, n_visits = model.n_cell.shape
    n_cells = n_arms * n_visits
    cov = at.phi
    if df == "residual":
        n_free = float(sums.n_pairs.trace() - len(at.beta))
        by_contrast, by_visit = np.full((n_arms, n_arms, n_visits), n_free), np.full(n_visits, n_free)
    else:
        info = at.expected if df == "kenward_roger" else at.observed
        cov_theta = np.asarray(np.linalg.inv(info))
        slope = phi_slope(at, n_cells)
        by_contrast = contrast_df(at.phi, slope, cov_theta, n_arms, n_visits)
        by_visit = global_df(at.phi, slope, cov_theta, n_arms, n_visits)
        if df == "kenward_roger":
            cov = adjusted_cov(sums, at, cov_theta)
    mean = model.y_centre + sums.scale * (sums.beta0 + at.beta)[:n_cells].reshape(n_arms, n_visits)
    cov = sums.scale**2 * cov[:n_cells, :n_cells]
    _check_result(mean, cov, by_contrast)
    return Means(
        link="identity",
        mean=mean,
        cov=cov,
        df=by_contrast,
        global_df=by_visit,
        n_cell=model.n_cell,
        n_used=model.y.shape[1],
        reason=("",) * n_visits,
    )


def _check_result(mean: Floats, cov: Floats, df: Floats) -> None:
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise FitError("the variance is not finite")
    if (cov.diagonal() < SMALLEST**2).any():
        raise FitError("the variance is too small for this computer")
    if not (np.isfinite(df) & (df > 0)).all():
        raise FitError("degrees of freedom are not finite")
