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

How it is reproducible. Those who were observed are sorted by arm and cut into pieces of 64; the products run
over pieces, and the pieces are added in order. A replicate gives the same bits alone and in any block, with
or without padding rows, and with any number of BLAS threads.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

Family = Literal["poisson", "gaussian"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
AnyInts = npt.NDArray[np.integer[Any]]
Reasons = npt.NDArray[np.object_]
Scalar = TypeVar("Scalar", bound=np.generic)

MAX_ITERATIONS = 25
# In standard deviations of the covariate. Newton's method squares the error: after such a step 1e-12 is left.
SMALL_STEP = 1e-7
# A standard deviation below this part of the mean is rounding, and the covariate a constant.
CONSTANT = 1e-10
# Least eigenvalue of the covariates' information given the cells, scaled by the diagonal without them.
COLLINEAR = 1e-10
# A cell without variation has a sum of squared scores of about 1e-28 times its sum of squares: rounding.
NO_VARIANCE = 1e-24
# Squares below this lose digits.
SMALLEST_SQUARE = 1e-290
# A variance that is this part of the sum of its terms' sizes is rounding (as many parameters as clusters).
CANCELLED = 1e-12

_PIECE = 64
# Few enough to stay near the processor, enough to make the overhead of array calls small.
_ROWS_AT_ONCE = 16_000


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
    parts, room = [], _ROOM
    # Overflow shows as a likelihood or a variance that is not finite, and is dealt with there.
    with np.errstate(all="ignore"):
        for part in range(n_parts):
            some = slice(len(y) * part // n_parts, len(y) * (part + 1) // n_parts)
            weight = None if weights is None else weights[some]
            data = _arrange(y[some], observed[some], arm[some], covariates[some], cluster[some], n_arms, weight, room)
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


@dataclass(frozen=True, eq=False)
class _Data:
    """R replicates x A arms x n pieces x some rows x 64 participants, and sums of them."""

    room: _Room

    x: Floats  # (R, A, n, 1 + C, 64): 1, or 0 in an empty place, and the centred covariates
    seen: Floats  # (R, A, n, V, 64): 1, or the weight, where observed
    y: Floats  # (R, A, n, V, 64): 0 where not observed, otherwise multiplied by the weight
    member: Bools  # (R, A, n, 64): belongs to a shared cluster
    group: Ints  # (R, A, n, 64): shared clusters numbered from 0; only for members
    centre: Floats  # (R, C)
    n_used: Ints  # (R,)
    n_clusters: Ints  # (R,)
    n_cell: Floats  # (R, A, V)
    seen_x: Floats  # (R, A, V, 1 + C): weighted sums of x over the observations, so that the first is
    weight: Floats  # (R, A, V): sums of weights, as all below
    sum_y: Floats  # (R, A, V)
    sum_y2: Floats  # (R, A, V), of weighted values
    sum_xy: Floats  # (R, C)

    def take(self, keep: Bools) -> _Data:
        if keep.all():
            return self
        arrays = {field.name: getattr(self, field.name)[keep] for field in fields(self) if field.name != "room"}
        return _Data(room=self.room, **arrays)


class _Room(threading.local):
    """Memory for large arrays, by name, used again by the next part of a block: to get new memory costs more than to
    fill it.
    """

    def __init__(self) -> None:
        self._memory: dict[str, Floats] = {}

    def of(self, name: str, shape: tuple[int, ...]) -> Floats:
        """An array of any content. Whoever asks for the name again takes it back."""
        size = math.prod(shape)
        if name not in self._memory or size > len(self._memory[name]):
            self._memory[name] = np.empty(size)
        return self._memory[name][:size].reshape(shape)


_ROOM = _Room()


def _arrange(
    y: Floats | Bools,
    observed: Bools,
    arm: AnyInts,
    covariates: Floats,
    cluster: AnyInts,
    n_arms: int,
    weights: Floats | None,
    room: _Room,
) -> _Data:
    rows, filled = _places(arm, observed, n_arms)
    n_used = filled.sum(axis=(1, 2, 3))
    count, values = _seen(observed, y, rows, filled, room)
    seen = count
    if weights is not None:
        seen = np.stack([_gathered(column, rows) for column in np.moveaxis(weights, 2, 0)], axis=3) * count
        values *= seen
    x, centre = _centred(covariates, rows, filled, n_used, room)
    member, group, n_clusters = _numbered(cluster, rows, filled, n_used)
    sums, seen_x = _total(values @ _turned(x)), _total(seen @ _turned(x))
    whole = y.dtype == np.bool_ and weights is None
    return _Data(
        room=room,
        x=x,
        seen=seen,
        y=values,
        member=member,
        group=group,
        centre=centre,
        n_used=n_used,
        n_clusters=n_clusters,
        n_cell=seen_x[..., 0] if weights is None else _total(count @ _turned(x[:, :, :, :1]))[..., 0],
        seen_x=seen_x,
        weight=seen_x[..., 0],
        sum_y=sums[..., 0],
        sum_y2=sums[..., 0] if whole else _diagonal(_total(values @ _turned(values))),
        sum_xy=sums[..., 1:].sum(axis=(1, 2)),
    )


def _seen(observed: Bools, y: Floats | Bools, rows: Ints, filled: Bools, room: _Room) -> tuple[Floats, Floats]:
    """What is observed (1 or 0) and the values there (0 elsewhere), (R, A, n, V, 64) each."""
    shape = (*rows.shape[:3], y.shape[2], _PIECE)
    count, values = room.of("seen", shape), room.of("y", shape)
    for visit in range(y.shape[2]):
        made = _gathered(observed[:, :, visit], rows) & filled
        given = _gathered(y[:, :, visit], rows)
        count[:, :, :, visit] = made
        values[:, :, :, visit] = np.where(made, given, 0.0)
    return count, values


def _places(arm: AnyInts, observed: Bools, n_arms: int) -> tuple[Ints, Bools]:
    """Which of the R * N rows sits in which place (R, A, n, 64), and which places are filled.

    Those with an observation, arm by arm, otherwise in their order. An empty place repeats a row of its arm.
    """
    n_replicates, n_rows = arm.shape
    used = np.logical_or.reduce([observed[:, :, visit] for visit in range(observed.shape[2])]) & (arm >= 0)
    # Of numbers this small a stable sort takes a pass per byte.
    key = np.where(used, arm, n_arms).astype(np.int8 if n_arms < 128 else np.int16)
    count = np.stack([(key == code).sum(axis=1) for code in range(n_arms)], axis=1)
    start = np.arange(n_replicates)[:, None] * n_rows
    order = np.argsort(key, axis=1, kind="stable") + start
    rank = np.arange(_n_pieces(int(count.max(initial=0))) * _PIECE)
    filled = rank < count[..., None]
    first = start + np.minimum(np.cumsum(count, axis=1) - count, n_rows - 1)
    rows = order.reshape(-1).take(first[..., None] + np.where(filled, rank, 0))
    shape = (n_replicates, n_arms, len(rank) // _PIECE, _PIECE)
    return rows.reshape(shape), filled.reshape(shape)


def _n_pieces(n_rows: int) -> int:
    return max(1, -(-n_rows // _PIECE))


def _gathered(column: npt.NDArray[Scalar], rows: Ints) -> npt.NDArray[Scalar]:
    """(R, N) -> (R, A, n, 64). Places are known to exist, and not to look whether they do is three times faster."""
    return column.reshape(-1).take(rows, out=np.empty(rows.shape, dtype=column.dtype), mode="clip")


def _turned(matrices: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    return matrices.swapaxes(-1, -2)


def _diagonal(matrices: Floats) -> Floats:
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def _total(parts: Floats) -> Floats:
    """(R, A, n, K, L) -> (R, A, K, L), the pieces added in order: empty ones at the end change no bit."""
    one_number = parts.shape[3] * parts.shape[4] == 1  # there np.sum would add in pairs
    return np.add.accumulate(parts, axis=2)[:, :, -1] if one_number else parts.sum(axis=2)


def _row_total(weights: Floats, rows: Floats) -> Floats:
    """Weighted sums over all participants: (R, A, n, 1, 64) and (R, A, n, K, 64) -> (R, K)."""
    sums: Floats = _total(weights @ _turned(rows))[:, :, 0].sum(axis=1)
    return sums


def _centred(covariates: Floats, rows: Ints, filled: Bools, n_used: Ints, room: _Room) -> tuple[Floats, Floats]:
    """`x` of the covariates (R, N, C), and the means that were taken off (R, C)."""
    x = room.of("x", (*rows.shape[:3], 1 + covariates.shape[2], _PIECE))
    x[:, :, :, 0] = filled
    for place in range(covariates.shape[2]):
        x[:, :, :, 1 + place] = _gathered(covariates[:, :, place], rows)
    centre = _row_total(x[:, :, :, :1], x[:, :, :, 1:]) / np.maximum(n_used, 1)[:, None]
    x[:, :, :, 1:] -= centre[:, None, None, :, None]
    return x, centre


def _numbered(cluster: AnyInts, rows: Ints, filled: Bools, n_used: Ints) -> tuple[Bools, Ints, Ints]:
    """Who belongs to a shared cluster; their clusters, numbered in each replicate from 0 without gaps (both like
    `rows`); and the number of independent units (R,).
    """
    group: Ints = _gathered(cluster, rows).astype(np.int64, copy=False)
    member = (group >= 0) & filled
    place = np.flatnonzero(member)
    row, code = place // math.prod(rows.shape[1:]), group.reshape(-1)[place]
    present = np.zeros((len(cluster), int(code.max(initial=-1)) + 1), dtype=np.bool_)
    present[row, code] = True
    group.reshape(-1)[place] = (np.cumsum(present, axis=1) - 1)[row, code]
    n_alone = n_used - np.bincount(row, minlength=len(cluster))
    return member, group, n_alone + present.sum(axis=1)


# ------------------------------------------------------------------------------------- why a fit is refused


def _data_faults(data: _Data, family: Family) -> Reasons:
    reason = _no_faults(data)
    _mark_cells(reason, data.n_cell == 0, "no observations")
    _mark(reason, ~np.isfinite(data.sum_y).all(axis=(1, 2)), "an observed outcome is not finite")
    _mark(reason, ~np.isfinite(data.sum_y2).all(axis=(1, 2)), "an observed outcome is too large")
    _mark(reason, ~np.isfinite(data.centre).all(axis=1), "a covariate is not finite")
    if family == "poisson":
        _mark_cells(reason, data.sum_y == 0, "no events")
    _mark(reason, data.n_clusters < 2, "fewer than 2 clusters")
    return reason


def _covariate_faults(data: _Data, at: _Second) -> Reasons:
    reason = _no_faults(data)
    _mark(reason, ~np.isfinite(at.info).all(axis=(1, 2)), "a covariate is too large")
    varies = (at.squares > (CONSTANT * data.centre) ** 2 * at.total).all(axis=1)
    sound = (varies & (reason == ""))[:, None]
    scale = 1 / np.sqrt(np.where(sound, at.squares, 1.0))
    scaled = np.where(sound[..., None], at.info * scale[:, None] * scale[..., None], np.eye(scale.shape[1]))
    least = np.linalg.eigvalsh(scaled).min(axis=1, initial=1.0)
    _mark(reason, ~varies | (least < COLLINEAR), "covariates are collinear")
    return reason


def _variance_faults(data: _Data, bread: Floats, meat: Floats, cov: Floats) -> Reasons:
    reason = _no_faults(data)
    _mark(reason, ~np.isfinite(cov).all(axis=(1, 2)), "the variance is not finite")
    shape = data.sum_y2.shape
    n_cells = shape[1] * shape[2]
    squares = _diagonal(meat)[:, :n_cells].reshape(shape)
    _mark_cells(reason, squares <= NO_VARIANCE * data.sum_y2 + SMALLEST_SQUARE, "zero variance")
    rounding = CANCELLED * ((np.abs(bread) @ np.abs(meat)) * np.abs(bread)).sum(axis=2)
    nothing = _diagonal(cov) <= rounding
    _mark_cells(reason, nothing[:, :n_cells].reshape(shape), "zero variance")
    _mark(reason, nothing.any(axis=1), "zero variance of a covariate's coefficient")
    return reason


def _no_faults(data: _Data) -> Reasons:
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


@dataclass(frozen=True, eq=False)
class _First:
    """Weighted sums at some beta: all that likelihood and score are made of."""

    tilt: Floats  # (R, A, n, 1, 64): exp(x'beta), or 1
    tilted: Floats  # (R, A, n, V, 64): `seen` times `tilt`
    size: Floats  # (R, A, V): sum of exp(x'beta) over the observations of a cell, or their number
    level: Floats  # (R, A, V): exp(cell coefficient), or 1
    sum_x: Floats  # (R, A * V, C): sums of exp(x'beta) x over the observations of a cell


@dataclass(frozen=True, eq=False)
class _Second:
    """What information and variance are made of besides."""

    mean_x: Floats  # (R, A * V, C): weighted means of the covariates
    total: Floats  # (R, 1): sum of the weights
    squares: Floats  # (R, C): weighted sums of squares of the covariates
    info: Floats  # (R, C, C): information about beta when the cells are estimated too


def _first_moments(data: _Data, beta: Floats, family: Family) -> _First:
    """At `beta` (R, C); where that is 0 nothing is left to compute."""
    if family == "poisson" and beta.any():
        tilt = _linear(data, beta)
        np.exp(tilt, out=tilt)
        tilted = np.multiply(data.seen, tilt, out=data.room.of("tilted", data.seen.shape))
        sums = _total(tilted @ _turned(data.x))
    else:
        tilt, tilted, sums = np.ones((1, 1, 1, 1, 1)), data.seen, data.seen_x
    size = sums[..., 0]
    level = data.sum_y / size if family == "poisson" else np.ones_like(size)
    return _First(tilt, tilted, size, level, _by_cell(sums[..., 1:]))


def _second_moments(data: _Data, at: _First) -> _Second:
    weight = at.level[:, :, None, None] @ at.tilted
    x = data.x[:, :, :, 1:]
    weighted = np.multiply(x, weight, out=data.room.of("products", x.shape))
    gram = _total(weighted @ _turned(x)).sum(axis=1)
    mean_x = at.sum_x / _by_cell(at.size[..., None])
    cells = _by_cell((at.level * at.size)[..., None])
    info = gram - _turned(mean_x) @ (cells * mean_x)
    return _Second(mean_x, cells.sum(axis=1), _diagonal(gram), info)


def _by_cell(sums: Floats) -> Floats:
    """(R, A, V, K) -> (R, A * V, K)."""
    return sums.reshape(len(sums), sums.shape[1] * sums.shape[2], sums.shape[3])


def _linear(data: _Data, beta: Floats) -> Floats:
    """x'beta, (R, A, n, 1, 64)."""
    return beta[:, None, None, None] @ data.x[:, :, :, 1:]


def _least_squares(data: _Data) -> tuple[Floats, Reasons]:
    first = _first_moments(data, np.zeros_like(data.centre), "gaussian")
    second = _second_moments(data, first)
    cell = _turned(_by_cell((data.sum_y / data.weight)[..., None]))
    score = data.sum_xy - (cell @ first.sum_x)[:, 0]
    return _times(_inverse(second.info), score), _covariate_faults(data, second)


def _newton(data: _Data) -> tuple[Floats, Reasons]:
    """Maximise the likelihood that is left when every cell is at its best for the given beta.

    A step that lowers the likelihood is halved. A replicate leaves when it has arrived, so how long the
    others take does not matter to it.
    """
    beta = np.zeros_like(data.centre)
    first = _first_moments(data, beta, "poisson")
    second = _second_moments(data, first)
    best, step = _profile(data, beta, first), _times(_inverse(second.info), _score(data, first))
    reason = _covariate_faults(data, second)
    spread = np.sqrt(second.squares / second.total)
    live, part = np.flatnonzero(reason == ""), data.take(reason == "")
    for _ in range(MAX_ITERATIONS):
        if not live.size:
            break
        trial = beta[live] + step[live]
        first = _first_moments(part, trial, "poisson")
        loglik = _profile(part, trial, first)
        better = loglik >= best[live] - 1e-10 * (1 + np.abs(best[live]))
        next_step = _times(_inverse(_second_moments(part, first).info), _score(part, first))
        beta[live[better]], best[live[better]] = trial[better], loglik[better]
        step[live] = np.where(better[:, None], next_step, step[live] / 2)
        arrived = better & (np.abs(step[live]) * spread[live] < SMALL_STEP).all(axis=1)
        beta[live[arrived]] += step[live[arrived]]
        live, part = live[~arrived], part.take(~arrived)
    reason[live] = f"did not converge in {MAX_ITERATIONS} iterations"
    return beta, reason


def _profile(data: _Data, beta: Floats, at: _First) -> Floats:
    """Log likelihood (R,) up to a constant."""
    return np.asarray((data.sum_xy * beta).sum(axis=1) - (data.sum_y * np.log(at.size)).sum(axis=(1, 2)))


def _score(data: _Data, at: _First) -> Floats:
    """Derivative of the log likelihood (R, C)."""
    level = _by_cell(at.level[..., None])
    return data.sum_xy - (_turned(level) @ at.sum_x)[:, 0]


def _inverse(matrices: Floats) -> Floats:
    """Inverses; NaN for a matrix that has none, for whose sake np.linalg.inv would refuse them all."""
    roots = np.sqrt(_diagonal(matrices))
    scale = 1 / (roots[..., None] * roots[:, None])
    scaled = matrices * scale
    try:
        return np.linalg.inv(scaled) * scale
    except np.linalg.LinAlgError:
        determinant = np.linalg.det(scaled)
        sound = (np.isfinite(determinant) & (determinant != 0))[:, None, None]
        inverses = np.linalg.inv(np.where(sound, scaled, np.eye(matrices.shape[-1])))
        return np.where(sound, inverses * scale, np.nan)


def _times(matrices: Floats, vectors: Floats) -> Floats:
    return (matrices @ vectors[..., None])[..., 0]


# ----------------------------------------------------------------------------- the variance and the results


def _fit(data: _Data, family: Family) -> CellFit:
    reason = _data_faults(data, family)
    part = data.take(reason == "")
    beta, fault = _newton(part) if family == "poisson" else _least_squares(part)
    reason[reason == ""] = fault
    part, beta = part.take(fault == ""), beta[fault == ""]
    estimates, fault = _estimates(part, beta, family)
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


def _estimates(data: _Data, beta: Floats, family: Family) -> tuple[dict[str, Floats], Reasons]:
    first = _first_moments(data, beta, family)
    second = _second_moments(data, first)
    scores = data.room.of("products", (*data.y.shape[:3], data.y.shape[3] + beta.shape[1], _PIECE))
    residuals = scores[:, :, :, : data.y.shape[3]]
    if family == "poisson":
        cell = np.log(first.level)
        np.multiply(first.tilted, _by_visit(first.level), out=residuals)
    else:
        cell = data.sum_y / data.weight - _times(second.mean_x, beta).reshape(data.sum_y.shape)
        np.multiply(data.seen, _by_visit(cell) + _linear(data, beta), out=residuals)
    np.subtract(data.y, residuals, out=residuals)
    meat = _meat(data, scores)
    bread = _bread(data, first, second)
    cov = _sandwich(bread, meat)
    shift = (data.centre * beta).sum(axis=1)
    # For the identity link the first of these sums is n_used, and its logarithm below becomes 0.
    sum_x = _row_total(data.x[:, :, :, :1] * first.tilt, data.x)
    return {
        "cell": cell - shift[:, None, None],
        "beta": beta,
        "cov": cov,
        "offset": shift + np.log(sum_x[:, 0] / data.n_used),
        "offset_gradient": data.centre + sum_x[:, 1:] / sum_x[:, :1],
    }, _variance_faults(data, bread, meat, cov)


def _by_visit(cell: Floats) -> Floats:
    """(R, A, V) -> (R, A, 1, V, 1), to go with (R, A, n, V, 64)."""
    return cell[:, :, None, :, None]


def _meat(data: _Data, scores: Floats) -> Floats:
    """Sum over clusters of the squares and products of their scores, (R, P, P).

    A participant has V + C scores: a residual per visit, which belongs to a cell of their arm, and covariates
    x sum of residuals. `scores` (R, A, n, V + C, 64) holds the first and is overwritten. The members of shared
    clusters are taken out, added up by cluster, and put in again.
    """
    n_visits = data.y.shape[3]
    residuals, covariates = scores[:, :, :, :n_visits], scores[:, :, :, n_visits:]
    np.multiply(data.x[:, :, :, 1:], np.ones((1, n_visits)) @ residuals, out=covariates)
    member = np.flatnonzero(data.member)
    if member.size:
        n_scores = scores.shape[3]
        places = member // _PIECE * (n_scores * _PIECE) + member % _PIECE + np.arange(n_scores)[:, None] * _PIECE
        shared = scores.reshape(-1).take(places)
        scores.reshape(-1)[places] = 0.0
    meat = _by_coefficient(_total(residuals @ _turned(residuals)), _total(covariates @ _turned(scores)))
    if member.size:
        clusters = _cluster_scores(data, shared, member)
        meat += _total(clusters @ _turned(clusters))[:, 0]
    return meat


def _by_coefficient(visits: Floats, covariates: Floats) -> Floats:
    """Put products of scores, (R, A, V, V) and (R, A, C, V + C), in their coefficients' places, (R, P, P)."""
    n_replicates, n_arms, n_visits, _ = visits.shape
    n_cells, n_covariates = n_arms * n_visits, covariates.shape[2]
    out = np.zeros((n_replicates, n_cells + n_covariates, n_cells + n_covariates))
    for arm in range(n_arms):
        cells = slice(arm * n_visits, (arm + 1) * n_visits)
        out[:, cells, cells] = visits[:, arm]
        out[:, n_cells:, cells] = covariates[:, arm, :, :n_visits]
        out[:, n_cells:, n_cells:] += covariates[:, arm, :, n_visits:]
    out[:, :n_cells, n_cells:] = _turned(out[:, n_cells:, :n_cells])
    return out


def _cluster_scores(data: _Data, scores: Floats, member: Ints) -> Floats:
    """Add up the scores (V + C, M) of the members of each cluster, (R, 1, n, P, 64)."""
    n_replicates, n_arms, n_pieces, _ = data.group.shape
    n_visits, group = data.y.shape[3], data.group.reshape(-1)[member]
    n_more = _n_pieces(int(group.max()) + 1)
    key = member // (n_pieces * _PIECE) * (n_more * _PIECE) + group
    size = n_replicates * n_arms * n_more * _PIECE
    keys = key + np.arange(len(scores))[:, None] * size
    sums = np.bincount(keys.reshape(-1), weights=scores.reshape(-1), minlength=len(scores) * size)
    by_arm = sums.reshape(-1, n_replicates, n_arms, n_more, _PIECE).transpose(1, 3, 2, 0, 4)
    cells = by_arm[:, :, :, :n_visits].reshape(n_replicates, n_more, n_arms * n_visits, _PIECE)
    covariates = by_arm[:, :, :, n_visits:].sum(axis=2)
    return np.ascontiguousarray(np.concatenate([cells, covariates], axis=2)[:, None])


def _bread(data: _Data, first: _First, second: _Second) -> Floats:
    """Inverse information, its rows in the covariates' own origin, its columns still centred: (R, P, P)."""
    n_replicates, n_cells, n_covariates = second.mean_x.shape
    of_beta = _inverse(second.info)
    bread = np.zeros((n_replicates, n_cells + n_covariates, n_cells + n_covariates))
    bread[:, n_cells:, n_cells:] = of_beta
    bread[:, n_cells:, :n_cells] = -of_beta @ _turned(second.mean_x)
    bread[:, :n_cells] = -(second.mean_x + data.centre[:, None]) @ bread[:, n_cells:]
    cells = np.arange(n_cells)
    bread[:, cells, cells] += 1 / (first.level * first.size).reshape(n_replicates, n_cells)
    return bread


def _sandwich(bread: Floats, meat: Floats) -> Floats:
    cov = bread @ meat @ _turned(bread)
    return (cov + _turned(cov)) / 2


def _joined(parts: list[CellFit]) -> CellFit:
    names = [field.name for field in fields(CellFit) if field.name not in ("family", "reason")]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    reason = tuple(text for part in parts for text in part.reason)
    return CellFit(family=parts[0].family, reason=reason, **arrays)
