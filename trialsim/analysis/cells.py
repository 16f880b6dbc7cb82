"""One regression model, fitted to a block of replicates at once.

The model of the RESOLVE trial: arm, visit and arm x visit (one coefficient per cell, that is per arm and
visit) and covariates of the participant whose coefficients are shared by all visits, estimated with
independence as working correlation and a variance that is robust to correlation within
participants or clusters of them,

    g(E[y_it]) = cell[a(i), t] + x_i'beta,    g = log ("poisson") or identity ("gaussian").

With g = log and y in {0, 1} this is modified Poisson regression (Zou 2004, doi:10.1093/aje/kwh090): the
exponential of cell[a, t] - cell[b, t] is a risk ratio. The variance is the sandwich of Liang and Zeger (1986,
doi:10.1093/biomet/73.1.13) without small-sample correction.

How it is fast. Given beta a cell's coefficient has a closed form, exp(cell) = events / sum of exp(x_i'beta),
so only beta is searched for, and all that needs are sums over the participants of a cell: small matrix
products, never a matrix of rows x coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from trialsim.analysis.cell_sums import (
    PIECE,
    ROOM,
    AnyInts,
    Bools,
    CellData,
    Family,
    First,
    Floats,
    Ints,
    Second,
    arrange,
    by_cell,
    by_visit,
    diagonal,
    first_moments,
    linear,
    meat,
    row_total,
    second_moments,
    third_moments,
    times,
    turned,
)

Reasons = npt.NDArray[np.object_]

MAX_ITERATIONS = 25
# In standard deviations of the covariate. The method cubes the error: a small step b after a step a leaves about
# b (b / a)^3, and a tiny one nothing, whatever came before. What is left is an error of the variances only.
SMALL_STEP, LEFT, TINY_STEP = 1e-3, 1e-11, 1e-6
# A standard deviation below this part of the mean is rounding, and the covariate a constant.
CONSTANT = 1e-10
# Least eigenvalue of the covariates' information given the cells, scaled by the diagonal without them.
COLLINEAR = 1e-10
CLEARLY = 100  # times as much is beyond doubt
# A cell without variation has a sum of squared scores of about 1e-28 times its sum of squares: rounding.
NO_VARIANCE = 1e-24
# Squares below this lose digits.
SMALLEST_SQUARE = 1e-290
# A variance that is this part of the sum of its terms' sizes is rounding (as many parameters as clusters).
CANCELLED = 1e-12

# Few enough to stay near the processor, enough to make the overhead of array calls small.
_ROWS_AT_ONCE = 24_000


@dataclass(frozen=True, eq=False)
class CellFit:
    """Estimates for R replicates, A arms, V visits and C covariates; P = A * V + C.

    A replicate that could not be fitted has `converged` False, a `reason`, and NaN in its floating-point
    arrays; the counts are always there. `cell` is on the scale of the link (log risk for "poisson", units of
    the outcome for "gaussian") and stands for a participant whose covariates are all 0. The last two say what
    to add to a cell for the mean over the analysed participants, all of them in that arm (standardisation).
    """

    family: Family
    cell: Floats  # (R, A, V)
    beta: Floats  # (R, C), per unit of the covariate
    cov: Floats  # (R, P, P), robust; cells first, arm by arm, then covariates
    converged: Bools  # (R,)
    reason: tuple[str, ...]  # R of them, "" where converged
    n_used: Ints  # (R,), participants with at least one observation
    n_clusters: Ints  # (R,), independent units among them
    n_cell: Ints  # (R, A, V), observations
    offset: Floats  # (R,), log of the mean of exp(x'beta), or the mean of x'beta
    offset_gradient: Floats  # (R, C), derivative of `offset` with respect to beta


def fit_cells(
    y: Floats | Bools,
    observed: Bools,
    arm: AnyInts,
    covariates: Floats,
    cluster: AnyInts,
    *,
    n_arms: int,
    family: Family,
    weights: Floats | None = None,
) -> CellFit:
    """Fit the model to every replicate of a block.

    `y` (R, N, V) is 0 or 1 for "poisson" (counts are accepted), and ignored where `observed` (R, N, V) is
    False. `arm` (R, N) holds 0 ... n_arms - 1, or -1 for a padding row without participant. `covariates`
    (R, N, C) are ignored for who was never observed; C may be 0. `cluster` (R, N) is -1 for a participant who
    is a cluster of their own, and k >= 0 for the members of shared cluster k (coach, site). `weights` (R, N, V),
    above 0 where observed, multiply what an observation adds to the estimating equations (inverse-probability
    weights; they are taken as known, and standardisation is over the participants as they are).

    A replicate that cannot be fitted says why in `reason` and leaves the others untouched: no observations or
    no events in a cell, no variance there (everybody has the event, or all are in one cluster), fewer than 2
    clusters, collinear covariates, numbers that are not finite, no convergence. ValueError only for arrays
    that contradict each other or the family.
    """
    _check(y, observed, arm, covariates, cluster, n_arms, family)
    if weights is not None and (weights.shape != y.shape or not (weights[observed] > 0).all()):
        raise ValueError("weights must have the shape of y and be above 0 where observed")
    n_parts = max(1, -(-len(y) // max(1, _ROWS_AT_ONCE // y.shape[1])))
    parts, room = [], ROOM
    # Overflow shows as a likelihood or a variance that is not finite, and is dealt with there.
    with np.errstate(all="ignore"):
        for part in range(n_parts):
            some = slice(len(y) * part // n_parts, len(y) * (part + 1) // n_parts)
            weight = None if weights is None else weights[some]
            data = arrange(y[some], observed[some], arm[some], covariates[some], cluster[some], n_arms, weight, room)
            parts.append(_fit(data, family))
    return _joined(parts)


def _check(
    y: Floats | Bools,
    observed: Bools,
    arm: AnyInts,
    covariates: Floats,
    cluster: AnyInts,
    n_arms: int,
    family: str,
) -> None:
    if family not in ("poisson", "gaussian"):
        raise ValueError(f"family must be 'poisson' or 'gaussian' (given: {family!r})")
    if y.ndim != 3 or observed.shape != y.shape or 0 in y.shape[1:]:
        raise ValueError("y and observed must have the same shape (R, N, V), with N and V at least 1")
    if not (arm.shape == cluster.shape == covariates.shape[:2] == y.shape[:2]) or covariates.ndim != 3:
        raise ValueError("arm and cluster must be (R, N) and covariates (R, N, C), with R and N of y")
    if n_arms < 1 or (arm.size and not -1 <= arm.min() <= arm.max() < n_arms):
        raise ValueError("arm must be -1 (padding) or 0 ... n_arms - 1")
    if family == "poisson" and y.dtype != np.bool_ and np.any((y < 0) & observed):
        raise ValueError("family 'poisson' needs outcomes that are not negative")


# -------------------------------------------------------------------------------------- the data, in pieces


# ------------------------------------------------------------------------------------- why a fit is refused


def _data_faults(data: CellData, family: Family) -> Reasons:
    reason = _no_faults(data)
    _mark_cells(reason, data.n_cell == 0, "no observations")
    _mark(reason, ~np.isfinite(data.sum_y).all(axis=(1, 2)), "an observed outcome is not finite")
    _mark(reason, ~np.isfinite(data.sum_y2).all(axis=(1, 2)), "an observed outcome is too large")
    _mark(reason, ~np.isfinite(data.centre).all(axis=1), "a covariate is not finite")
    if family == "poisson":
        _mark_cells(reason, data.sum_y == 0, "no events")
    _mark(reason, data.n_clusters < 2, "fewer than 2 clusters")
    return reason


def _covariate_faults(data: CellData, at: Second) -> Reasons:
    reason = _no_faults(data)
    _mark(reason, ~np.isfinite(at.info).all(axis=(1, 2)), "a covariate is too large")
    varies = (at.squares > (CONSTANT * data.centre) ** 2 * at.total).all(axis=1)
    _mark(reason, ~varies, "covariates are collinear")
    # An eigenvalue is not below 1 / the root of the inverse's sum of squares: few need to be looked at.
    roots = np.sqrt(at.squares)
    largest = np.square(at.inverse * roots[:, None] * roots[..., None]).sum(axis=(1, 2))
    for replicate in np.flatnonzero((reason == "") & ~(largest < (CLEARLY * COLLINEAR) ** -2)):
        scale = 1 / roots[replicate]
        least = np.linalg.eigvalsh(at.info[replicate] * scale * scale[:, None]).min(initial=1.0)
        if least < COLLINEAR:
            reason[replicate] = "covariates are collinear"
    return reason


def _variance_faults(data: CellData, bread: Floats, meat: Floats, cov: Floats) -> Reasons:
    reason = _no_faults(data)
    _mark(reason, ~np.isfinite(cov).all(axis=(1, 2)), "the variance is not finite")
    shape = data.sum_y2.shape
    n_cells = shape[1] * shape[2]
    squares = diagonal(meat)[:, :n_cells].reshape(shape)
    _mark_cells(reason, squares <= NO_VARIANCE * data.sum_y2 + SMALLEST_SQUARE, "zero variance")
    rounding = CANCELLED * ((np.abs(bread) @ np.abs(meat)) * np.abs(bread)).sum(axis=2)
    nothing = diagonal(cov) <= rounding
    _mark_cells(reason, nothing[:, :n_cells].reshape(shape), "zero variance")
    _mark(reason, nothing.any(axis=1), "zero variance of a covariate's coefficient")
    return reason


def _no_faults(data: CellData) -> Reasons:
    return np.full(len(data.n_used), "", dtype=np.object_)


def _mark(reason: Reasons, where: Bools | np.bool_, text: str) -> None:
    reason[where & (reason == "")] = text


def _mark_cells(reason: Reasons, where: Bools, text: str) -> None:
    """`where` is (R, A, V). No visit is named where it is all visits of an arm, of several."""
    for replicate in np.flatnonzero(where.any(axis=(1, 2)) & (reason == "")):
        arm, visit = np.argwhere(where[replicate])[0]
        everywhere = where[replicate, arm].all() and where.shape[2] > 1
        reason[replicate] = f"{text} in arm {arm}" + ("" if everywhere else f" at visit {visit}")


# ----------------------------------------------------------------------------------------- the coefficients


def _least_squares(data: CellData) -> tuple[Floats, Reasons, First, Second]:
    """Coefficients of the covariates, and what there is to sum, which here does not depend on them."""
    first = first_moments(data, np.zeros_like(data.centre), "gaussian")
    second = second_moments(data, first)
    cell = turned(by_cell((data.sum_y / data.weight)[..., None]))
    score = data.sum_xy - (cell @ first.sum_x)[:, 0]
    return times(second.inverse, score), _covariate_faults(data, second), first, second


def _maximum(data: CellData) -> tuple[Floats, Reasons, First, Second]:
    """Maximise the likelihood that is left when every cell is at its best for the given beta.

    A step that lowers the likelihood is halved. A replicate leaves when it has arrived, so how long the
    others take does not matter to it.
    """
    beta = np.zeros_like(data.centre)
    first = first_moments(data, beta, "poisson")
    second = second_moments(data, first)
    reason, best = _covariate_faults(data, second), _profile(data, beta, first)
    spread = np.sqrt(second.squares / second.total)
    step = _step(data, first, second, spread)
    rows, going, part = np.arange(len(beta)), reason == "", data
    for _ in range(MAX_ITERATIONS):
        if 2 * going.sum() <= len(rows):  # to leave out a few costs more than to go on with them
            rows, part, going = rows[going], part.take(going), going[going]
        if not rows.size:
            break
        trial = beta[rows] + step[rows]
        first = first_moments(part, trial, "poisson")
        loglik, before = _profile(part, trial, first), step[rows]
        better = going & (loglik >= best[rows] - 1e-10 * (1 + np.abs(best[rows])))
        following = _step(part, first, second_moments(part, first), spread[rows])
        beta[rows[better]], best[rows[better]] = trial[better], loglik[better]
        step[rows] = np.where(better[:, None], following, before / 2)
        arrived = better & _is_last(_size(following, spread[rows]), _size(before, spread[rows]))
        beta[rows[arrived]] += following[arrived]
        going = going & ~arrived
    reason[rows[going]] = f"did not converge in {MAX_ITERATIONS} iterations"
    first = first_moments(data, beta, "poisson")
    return beta, reason, first, second_moments(data, first)


def _step(data: CellData, at: First, second: Second, spread: Floats) -> Floats:
    """Newton's step and, where it is the smaller part, Chebyshev's correction, after which the error is cubed; a tiny
    step needs none.
    """
    step = _newton(data, at, second)
    size = _size(step, spread)
    if (size < TINY_STEP).all():
        return step
    more = times(second.inverse, third_moments(data, at, second, step)) / 2
    worth = (size >= TINY_STEP) & (_size(more, spread) < size / 2)
    return np.where(worth[:, None], step - more, step)


def _newton(data: CellData, at: First, second: Second) -> Floats:
    level = by_cell(at.level[..., None])
    return times(second.inverse, data.sum_xy - (turned(level) @ at.sum_x)[:, 0])


def _size(step: Floats, spread: Floats) -> Floats:
    return np.asarray((np.abs(step) * spread).max(axis=1, initial=0.0))


def _is_last(size: Floats, before: Floats) -> Bools:
    """Whether after a step of this size, which follows one of size `before`, nothing is left to do."""
    return np.asarray((size < SMALL_STEP) & (size * (size / before) ** 3 < LEFT) | (size < TINY_STEP))


def _profile(data: CellData, beta: Floats, at: First) -> Floats:
    """Log likelihood (R,) up to a constant."""
    return np.asarray((data.sum_xy * beta).sum(axis=1) - (data.sum_y * np.log(at.size)).sum(axis=(1, 2)))


# ----------------------------------------------------------------------------- the variance and the results


def _fit(data: CellData, family: Family) -> CellFit:
    reason = _data_faults(data, family)
    part = data.take(reason == "")
    beta, fault, first, second = _maximum(part) if family == "poisson" else _least_squares(part)
    estimates, more = _estimates(part, beta, family, first, second)
    fault[fault == ""] = more[fault == ""]
    reason[reason == ""] = fault
    values = {name: _placed(found[fault == ""], reason == "") for name, found in estimates.items()}
    return CellFit(
        family=family,
        converged=reason == "",
        reason=tuple(reason),
        n_used=data.n_used,
        n_clusters=data.n_clusters,
        n_cell=data.n_cell.astype(np.int64),
        **values,
    )


def _placed(found: Floats, where: Bools) -> Floats:
    out = np.full((len(where), *found.shape[1:]), np.nan)
    out[where] = found
    return out


def _estimates(
    data: CellData, beta: Floats, family: Family, first: First, second: Second
) -> tuple[dict[str, Floats], Reasons]:
    scores = data.room.of("products", (*data.y.shape[:3], data.y.shape[3] + beta.shape[1], PIECE))
    residuals = scores[:, :, :, : data.y.shape[3]]
    rest = np.zeros_like(beta)
    if family == "poisson":
        # What the last steps have left, some 1e-11 of it. A Newton step leaves the square of that.
        rest = _newton(data, first, second)
        cell, beta = np.log(first.level) - times(second.mean_x, rest).reshape(first.level.shape), beta + rest
        np.multiply(first.tilted, by_visit(first.level), out=residuals)
    else:
        cell = data.sum_y / data.weight - times(second.mean_x, beta).reshape(data.sum_y.shape)
        np.multiply(data.seen, by_visit(cell) + linear(data, beta), out=residuals)
    np.subtract(data.y, residuals, out=residuals)
    squares = meat(data, scores)
    bread = _bread(data, first, second)
    cov = _sandwich(bread, squares)
    shift = (data.centre * beta).sum(axis=1)
    # For the identity link the first of these sums is n_used, and its logarithm below becomes 0.
    sum_x = row_total(data.x[:, :, :, :1] * first.tilt, data.x)
    slope = sum_x[:, 1:] / sum_x[:, :1]
    return {
        "cell": cell - shift[:, None, None],
        "beta": beta,
        "cov": cov,
        "offset": shift + np.log(sum_x[:, 0] / data.n_used) + (slope * rest).sum(axis=1),
        "offset_gradient": data.centre + slope,
    }, _variance_faults(data, bread, squares, cov)


def _bread(data: CellData, first: First, second: Second) -> Floats:
    """Inverse information, its rows in the covariates' own origin, its columns still centred: (R, P, P)."""
    n_replicates, n_cells, n_covariates = second.mean_x.shape
    of_beta = second.inverse
    bread = np.zeros((n_replicates, n_cells + n_covariates, n_cells + n_covariates))
    bread[:, n_cells:, n_cells:] = of_beta
    bread[:, n_cells:, :n_cells] = -of_beta @ turned(second.mean_x)
    bread[:, :n_cells] = -(second.mean_x + data.centre[:, None]) @ bread[:, n_cells:]
    cells = np.arange(n_cells)
    bread[:, cells, cells] += 1 / (first.level * first.size).reshape(n_replicates, n_cells)
    return bread


def _sandwich(bread: Floats, meat: Floats) -> Floats:
    cov = bread @ meat @ turned(bread)
    return (cov + turned(cov)) / 2


def _joined(parts: list[CellFit]) -> CellFit:
    names = [field.name for field in fields(CellFit) if field.name not in ("family", "reason")]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    reason = tuple(text for part in parts for text in part.reason)
    return CellFit(family=parts[0].family, reason=reason, **arrays)
