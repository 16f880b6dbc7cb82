"""What the regressions of every visit apart share: the rows of a visit, Newton's method, variances, `Means`.

One coefficient for every arm (no intercept) and for every covariate. Covariates are centred at the visit's
(weighted) mean, which changes neither fitted values nor standardised means, keeps the normal equations
well-conditioned, and makes an arm's coefficient its mean where the link is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trialsim.analysis.fits import Bools, Data, FitError, Floats, Ints, Link, Means

# A covariate's standard deviation below this part of its mean is rounding, and the covariate a constant.
CONSTANT = 1e-10
# Largest variance inflation factor. Its inverse bounds the least eigenvalue of the covariates' correlations.
INFLATION = 1e10
# A sum of squares (or variance) that is this part of what it is made of is rounding.
ROUNDING = 1e-20
CANCELLED = 1e-12
# Squares below this lose digits.
SMALLEST_SQUARE = 1e-290
# Relative to the linear predictor (at least 1). Newton's method squares the error: 1e-16 is left after such a step.
SMALL_STEP = 1e-8
# Under separation a predictor grows by about 1 per iteration: 25 of them leave weights that can be computed with.
MAX_ITERATIONS = 25
MAX_HALVINGS = 40
# Logarithm of a fitted mean so near to 0 that it tells separation from slow convergence.
SMALL_MEAN = -14.0
# A coefficient whose variance is so many times that of a least squares fit has run away.
RUN_AWAY = 1e10


@dataclass(frozen=True, eq=False)
class Rows:
    """The n observations of one visit, for p = A + C coefficients."""

    y: Floats  # (n,)
    x: Floats  # (p, n): indicators of the arms, then covariates less their (weighted) means
    weight: Floats | None  # (n,), mean 1
    participant: Ints  # (n,), rows of `data`
    inverse: Floats  # (p, p), of the (weighted) sums of squares and products of x
    data: Data
    visit: int

    @property
    def n_arms(self) -> int:
        return self.data.n_arms

    @property
    def cluster(self) -> Ints:
        """(n,), as in `Data`."""
        return self.data.cluster[self.participant]

    @property
    def n_spare(self) -> int:
        """n - p."""
        return self.x.shape[1] - self.x.shape[0]

    def weighted(self, values: Floats) -> Floats:
        return values if self.weight is None else values * self.weight

    def arm_totals(self, values: Floats) -> Floats:
        """Weighted sums over each arm, (A,)."""
        return self.x[: self.n_arms] @ self.weighted(values)

    def first_arm(self, where: Bools, text: str) -> None:
        """FitError that names the first arm where `where` (A,)."""
        if where.any():
            raise FitError(f"{text} in arm {where.argmax()} at visit {self.visit}")


@dataclass(frozen=True, eq=False)
class VisitFit:
    """Means of one visit on the scale of the link, with covariance and degrees of freedom."""

    mean: Floats  # (A,)
    cov: Floats  # (A, A)
    df: float | Floats = np.inf  # for all, or (A, A)
    global_df: float = np.inf


def each_visit(data: Data, link: Link, fit: Callable[[Rows], VisitFit]) -> Means:
    """Fit every visit apart. A `FitError` of `fit` becomes the reason of its visit."""
    # Overflow shows as a likelihood or a variance that is not finite, and is dealt with there.
    with np.errstate(all="ignore"):
        arms = np.arange(data.n_arms)[:, None]
        x = np.concatenate([data.arm == arms, data.covariates.T], axis=0, dtype=np.float64)
        return joined(data, link, [_attempt(fit, data, x, visit) for visit in range(data.y.shape[1])])


def _attempt(fit: Callable[[Rows], VisitFit], data: Data, x: Floats, visit: int) -> VisitFit | str:
    try:
        return fit(_rows(data, x, visit))
    except FitError as error:
        return str(error)


def _rows(data: Data, x: Floats, visit: int) -> Rows:
    participant = np.flatnonzero(~np.isnan(data.y[:, visit]))
    y, x = data.y[participant, visit], x.take(participant, axis=1)
    outcome_faults(y, visit)
    arm_faults(np.bincount(data.arm[participant], minlength=data.n_arms), visit)
    if x.shape[1] <= x.shape[0]:
        raise FitError(f"not more observations than coefficients at visit {visit}")
    weight = None if data.weights is None else _mean_1(data.weights[participant, visit], visit)
    inverse = _centre(x, weight, data.n_arms)
    return Rows(y, x, weight, participant, inverse, data, visit)


def outcome_faults(y: Floats, visit: int) -> None:
    if not len(y):
        raise FitError(f"no observations at visit {visit}")
    squares = float(y @ y)
    if not np.isfinite(squares):
        known = "too large" if np.isfinite(y).all() else "not finite"
        raise FitError(f"an observed outcome is {known} at visit {visit}")


def arm_faults(count: Ints | Floats, visit: int, needed: int = 1) -> None:
    """Too few observations in an arm; `count` is (A,)."""
    if count.min() < needed:
        text = "no observations" if count.min() == 0 else "a single observation"
        raise FitError(f"{text} in arm {count.argmin()} at visit {visit}")


def _mean_1(weight: Floats, visit: int) -> Floats:
    total = float(weight.sum())
    if not (np.isfinite(total) and weight.min() > 0):
        raise FitError(f"a weight is not positive and finite at visit {visit}")
    return weight * (len(weight) / total)


def _centre(x: Floats, weight: Floats | None, n_arms: int) -> Floats:
    """Centre the covariates of `x` in place, and return the inverse of the sums of squares and products."""
    n = x.shape[1]
    raw = x[n_arms:]
    mean = (raw.sum(axis=1) if weight is None else raw @ weight) / n
    raw -= mean[:, None]
    scaled = x if weight is None else x * np.sqrt(weight)
    gram = scaled @ scaled.T
    if not np.isfinite(gram).all():
        raise FitError("a covariate is too large" if np.isfinite(x).all() else "a covariate is not finite")
    squares = np.diagonal(gram)
    if (squares[n_arms:] <= n * (CONSTANT * mean) ** 2 + SMALLEST_SQUARE).any():
        raise FitError("covariates are collinear")
    root = 1 / np.sqrt(squares)
    scale = root[:, None] * root
    inverse = _inverted(gram * scale)
    inflation = np.diagonal(inverse)
    if not (np.abs(inflation) < INFLATION).all():
        raise FitError("covariates are collinear")
    return inverse * scale


def _inverted(matrix: Floats) -> Floats:
    """The inverse of a symmetric matrix, NaN if it has none."""
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)
    return (inverse + inverse.T) / 2


# ---------------------------------------------------------------------------------------- maximum likelihood

# Log likelihood at a linear predictor (-inf where there is none), its slope and its curvature there (minus the
# second derivative), observation by observation.
Likelihood = Callable[[Floats], tuple[float, Floats, Floats]]


@dataclass(frozen=True, eq=False)
class Place:
    """Where Newton's method has ended."""

    beta: Floats  # (p,)
    eta: Floats  # (n,), linear predictor
    step: Floats  # (n,), what a further step would add to it
    arrived: bool


def climb(rows: Rows, beta: Floats, eta: Floats, likelihood: Likelihood) -> Place:
    """Newton's method with step-halving, for a concave log likelihood, from `beta` where the predictor is `eta`.

    Arrival is judged by a full step, never by a halved one.
    """
    value, slope, curvature = likelihood(eta)
    move = np.full_like(eta, np.nan)
    for _ in range(MAX_ITERATIONS):
        step = _newton_step(rows.x, slope, curvature)
        move = step @ rows.x
        if (np.abs(move) <= SMALL_STEP * (1 + np.abs(eta))).all():
            return Place(beta + step, eta + move, move, True)
        for halving in range(MAX_HALVINGS):
            part = 0.5**halving
            trial, slope, curvature = likelihood(eta + part * move)
            if trial >= value - 1e-10 * (1 + abs(value)):
                break
        else:
            return Place(beta, eta, move, False)
        beta, eta, value = beta + part * step, eta + part * move, trial
    return Place(beta, eta, move, False)


def start_from_arms(rows: Rows, level: Floats, offset: Floats | float, likelihood: Likelihood) -> Place:
    """Climb from a predictor that is `level` (A,) in each arm, plus the offset."""
    beta = np.concatenate([level, np.zeros(len(rows.x) - rows.n_arms)])
    return climb(rows, beta, level @ rows.x[: rows.n_arms] + offset, likelihood)


def _newton_step(x: Floats, slope: Floats, curvature: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve((x * curvature) @ x.T, x @ slope), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full(len(x), np.nan)


def bread(rows: Rows, information: Floats) -> Floats:
    """Inverse of the information about the coefficients; `information` (n,) is that about the predictors.

    FitError where a coefficient has run away, whatever the likelihood said.
    """
    inverse = _inverted((rows.x * information) @ rows.x.T)
    inflation = np.diagonal(inverse) / np.diagonal(rows.inverse)
    if not ((inflation > 0) & (inflation < RUN_AWAY)).all():
        raise FitError("separation")
    return inverse


def standardised_log(rows: Rows, beta: Floats) -> tuple[Floats, Floats]:
    """Logarithms of the standardised means (A,), and their derivatives with respect to the coefficients (A, p)."""
    n_arms = rows.n_arms
    covariates = rows.x[n_arms:]
    size = rows.weighted(np.exp(beta[n_arms:] @ covariates))
    total = size.sum()
    shared = np.tile(covariates @ size / total, (n_arms, 1))
    return beta[:n_arms] + np.log(total / len(rows.y)), np.concatenate([np.eye(n_arms), shared], axis=1)


# ------------------------------------------------------------------------------------------------ the variance


def n_clusters(rows: Rows) -> int:
    """Independent units: shared clusters, and participants who stand alone."""
    cluster = rows.cluster
    shared = cluster[cluster >= 0]
    return len(cluster) - len(shared) + len(np.unique(shared))


def sandwich(rows: Rows, inverse: Floats, slope: Floats) -> Floats:
    """bread x meat x bread: heteroscedasticity-robust (White 1980, doi:10.2307/1912934), or robust to clusters
    where there are shared ones (Liang and Zeger 1986, doi:10.1093/biomet/73.1.13); no small-sample factor.

    `slope` (n,) is the weighted derivative of the log likelihood with respect to each predictor.
    """
    scores, cluster = rows.x * slope, rows.cluster
    shared = np.flatnonzero(cluster >= 0)
    if shared.size:
        code = np.unique(cluster[shared], return_inverse=True)[1]
        sums = np.stack([np.bincount(code, weights=row) for row in scores.take(shared, axis=1)])
        scores = np.concatenate([scores[:, cluster < 0], sums], axis=1)
    if scores.shape[1] < 2:
        raise FitError(f"fewer than 2 clusters at visit {rows.visit}")
    half = inverse @ scores
    return half @ half.T


def variance_faults(rows: Rows, cov: Floats, model: Floats) -> None:
    """FitError where a robust variance of an arm is nothing but rounding, beside that of the model."""
    small = np.diagonal(cov) <= CANCELLED * np.diagonal(model) + SMALLEST_SQUARE
    rows.first_arm(small, "zero variance")


# ------------------------------------------------------------------------------------------------- the results


def joined(data: Data, link: Link, fits: Sequence[VisitFit | str]) -> Means:
    """`Means` of visits that were fitted, or have a reason, apart."""
    n_arms, n_visits = data.n_arms, len(fits)
    observed = data.observed
    n_cell = [np.bincount(data.arm[observed[:, visit]], minlength=n_arms) for visit in range(n_visits)]
    mean, df = np.full((n_arms, n_visits), np.nan), np.full((n_arms, n_arms, n_visits), np.nan)
    cov, global_df = np.zeros((n_arms, n_visits, n_arms, n_visits)), np.full(n_visits, np.nan)
    reasons = []
    for visit, fit in enumerate(fits):
        reason = fit if isinstance(fit, str) else _faults(fit, visit)
        reasons.append(reason)
        if reason or isinstance(fit, str):
            cov[:, visit, :, visit] = np.nan
            continue
        mean[:, visit], df[..., visit], global_df[visit] = fit.mean, fit.df, fit.global_df
        cov[:, visit, :, visit] = (fit.cov + fit.cov.T) / 2
    return Means(
        link=link,
        mean=mean,
        cov=cov.reshape(n_arms * n_visits, n_arms * n_visits),
        df=df,
        global_df=global_df,
        n_cell=np.stack(n_cell, axis=1),
        n_used=int(np.logical_or.reduce([observed[:, visit] for visit in range(n_visits)]).sum()),
        reason=tuple(reasons),
    )


def _faults(fit: VisitFit, visit: int) -> str:
    """Why a fit is refused after all, "" if it is not."""
    if not (np.isfinite(fit.mean).all() and np.isfinite(fit.cov).all()):
        return f"the means or their variance are not finite at visit {visit}"
    variance = np.diagonal(fit.cov)
    if variance.min() <= SMALLEST_SQUARE:
        return f"zero variance in arm {variance.argmin()} at visit {visit}"
    total = variance[:, None] + variance
    apart = total - 2 * fit.cov <= CANCELLED * total
    if np.count_nonzero(apart) == len(variance):  # the diagonal
        return ""
    first, second = np.argwhere(np.triu(apart, 1))[0]
    return f"zero variance between arm {first} and arm {second} at visit {visit}"
