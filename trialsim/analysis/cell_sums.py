"""What the regression in `cells.py` needs of the data: participants in pieces, and sums over them.

Those who were observed are put arm by arm and cut into pieces of 128; matrix products run over pieces, and the
pieces are added in order. A replicate gives the same bits alone and in any block, with or without padding rows,
and with any number of BLAS threads.
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
Scalar = TypeVar("Scalar", bound=np.generic)

PIECE, CLUSTERS = 128, 16
"""Participants, and shared clusters, of a piece: an arm of a small trial fits into one."""


# --- the data, in pieces ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CellData:
    """R replicates x A arms x n pieces x some rows x 128 participants, and sums of them."""

    room: Room

    x: Floats  # (R, A, n, 1 + C, 128): 1, or 0 in an empty place, and the centred covariates
    seen: Floats  # (R, A, n, V, 128): 1, or the weight, where observed
    y: Floats  # (R, A, n, V, 128): 0 where not observed, otherwise multiplied by the weight
    member: Bools  # (R, A, n, 128): belongs to a shared cluster
    group: Ints  # (R, A, n, 128): shared clusters numbered from 0; only for members
    centre: Floats  # (R, C)
    n_used: Ints  # (R,)
    n_clusters: Ints  # (R,)
    n_cell: Floats  # (R, A, V)
    seen_x: Floats  # (R, A, V, 1 + C): weighted sums of x over the observations, so that the first is
    weight: Floats  # (R, A, V): sums of weights, as all below
    sum_y: Floats  # (R, A, V)
    sum_y2: Floats  # (R, A, V), of weighted values
    sum_xy: Floats  # (R, C)

    def take(self, keep: Bools) -> CellData:
        """Some of the replicates."""
        if keep.all():
            return self
        arrays = {field.name: getattr(self, field.name)[keep] for field in fields(self) if field.name != "room"}
        return CellData(room=self.room, **arrays)


class Room(threading.local):
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


ROOM = Room()


def arrange(
    y: Floats | Bools,
    observed: Bools,
    arm: AnyInts,
    covariates: Floats,
    cluster: AnyInts,
    n_arms: int,
    weights: Floats | None,
    room: Room,
) -> CellData:
    """Participants of a block in pieces by arm, and the sums of their data; arguments as in `fit_cells`."""
    rows, filled = _places(arm, observed, n_arms)
    n_used = filled.sum(axis=(1, 2, 3))
    count, values = _seen(observed, y, rows, filled, room)
    seen = count
    if weights is not None:
        seen = np.stack([_gathered(column, rows) for column in np.moveaxis(weights, 2, 0)], axis=3) * count
        values *= seen
    x, centre = _centred(covariates, rows, filled, n_used, room)
    member, group, n_clusters = _numbered(cluster, rows, filled, n_used)
    sums, seen_x = total(values @ turned(x)), total(seen @ turned(x))
    whole = y.dtype == np.bool_ and weights is None
    return CellData(
        room=room,
        x=x,
        seen=seen,
        y=values,
        member=member,
        group=group,
        centre=centre,
        n_used=n_used,
        n_clusters=n_clusters,
        n_cell=seen_x[..., 0] if weights is None else total(count @ turned(x[:, :, :, :1]))[..., 0],
        seen_x=seen_x,
        weight=seen_x[..., 0],
        sum_y=sums[..., 0],
        sum_y2=sums[..., 0] if whole else diagonal(total(values @ turned(values))),
        sum_xy=sums[..., 1:].sum(axis=(1, 2)),
    )


def _seen(observed: Bools, y: Floats | Bools, rows: Ints, filled: Bools, room: Room) -> tuple[Floats, Floats]:
    """What is observed (1 or 0) and the values there (0 elsewhere), (R, A, n, V, 128) each."""
    shape = (*rows.shape[:3], y.shape[2], PIECE)
    count, values = room.of("seen", shape), room.of("y", shape)
    for visit in range(y.shape[2]):
        made = _gathered(observed[:, :, visit], rows) & filled
        given: npt.NDArray[Any] = _gathered(y[:, :, visit], rows)
        count[:, :, :, visit] = made
        values[:, :, :, visit] = made & given if given.dtype == np.bool_ else np.where(made, given, 0.0)
    return count, values


def _places(arm: AnyInts, observed: Bools, n_arms: int) -> tuple[Ints, Bools]:
    """Which of the R * N rows sits in which place (R, A, n, 128), and which places are filled.

    Those with an observation, arm by arm, otherwise in their order. An empty place repeats the last row of its arm.
    """
    n_replicates, n_rows = arm.shape
    used = np.logical_or.reduce([observed[:, :, visit] for visit in range(observed.shape[2])])
    found = [np.flatnonzero(used & (arm == code)) for code in range(n_arms)]
    edges = np.stack([np.searchsorted(rows, n_rows * np.arange(n_replicates + 1)) for rows in found], axis=1)
    count = np.diff(edges, axis=0)
    start = edges[:-1] + np.cumsum([0, *(len(rows) for rows in found[:-1])])
    rank = np.arange(_n_pieces(int(count.max(initial=0))) * PIECE)
    place = start[..., None] + np.minimum(rank, np.maximum(count - 1, 0)[..., None])
    rows = np.concatenate([*found, [0]]).take(place, mode="clip")
    shape = (n_replicates, n_arms, len(rank) // PIECE, PIECE)
    return rows.reshape(shape), (rank < count[..., None]).reshape(shape)


def _n_pieces(n_rows: int) -> int:
    return max(1, -(-n_rows // PIECE))


def _gathered(column: npt.NDArray[Scalar], rows: Ints) -> npt.NDArray[Scalar]:
    """(R, N) -> (R, A, n, 128). Places are known to exist, and not to look whether they do is three times faster."""
    return column.reshape(-1).take(rows, out=np.empty(rows.shape, dtype=column.dtype), mode="clip")


def turned(matrices: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    return matrices.swapaxes(-1, -2)


def diagonal(matrices: Floats) -> Floats:
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def total(parts: Floats) -> Floats:
    """(R, A, n, K, L) -> (R, A, K, L), the pieces added in order: empty ones at the end change no bit."""
    one_number = parts.shape[3] * parts.shape[4] == 1  # there np.sum would add in pairs
    return np.add.accumulate(parts, axis=2)[:, :, -1] if one_number else parts.sum(axis=2)


def _centred(covariates: Floats, rows: Ints, filled: Bools, n_used: Ints, room: Room) -> tuple[Floats, Floats]:
    """`x` of the covariates (R, N, C), and the means that were taken off (R, C)."""
    n_covariates = covariates.shape[2]
    x, centre = room.of("x", (*rows.shape[:3], 1 + n_covariates, PIECE)), np.empty((len(rows), n_covariates))
    there = filled.astype(np.float64)
    x[:, :, :, 0] = there
    for place in range(n_covariates):
        values = _gathered(covariates[:, :, place], rows)
        pieces = (values[..., None, :] @ there[..., None])[..., 0, 0]
        centre[:, place] = np.add.accumulate(pieces, axis=2)[:, :, -1].sum(axis=1) / np.maximum(n_used, 1)
        np.subtract(values, centre[:, place, None, None, None], out=x[:, :, :, 1 + place])
    return x, centre


def _numbered(cluster: AnyInts, rows: Ints, filled: Bools, n_used: Ints) -> tuple[Bools, Ints, Ints]:
    """Who belongs to a shared cluster; their clusters, numbered in each replicate from 0 without gaps (both like
    `rows`); and the number of independent units (R,).
    """
    group: Ints = _gathered(cluster, rows).astype(np.int64, copy=False)
    member = (group >= 0) & filled
    place, n_members = np.flatnonzero(member), member.sum(axis=(1, 2, 3))
    code, width = group.reshape(-1).take(place, mode="clip"), 1 + int(group.max(initial=-1))
    key = code + np.repeat(np.arange(len(rows)) * width, n_members)
    present = np.zeros((len(rows), width), dtype=np.bool_)
    present.reshape(-1)[key] = True
    group.reshape(-1)[place] = (np.cumsum(present, axis=1) - 1).reshape(-1).take(key, mode="clip")
    return member, group, n_used - n_members + present.sum(axis=1)


# --- sums at some coefficients ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class First:
    """Weighted sums at some beta: all that likelihood and score are made of."""

    tilt: Floats  # (R, A, n, 1, 128): exp(x'beta), or 1
    tilted: Floats  # (R, A, n, V, 128): `seen` times `tilt`
    size: Floats  # (R, A, V): sum of exp(x'beta) over the observations of a cell, or their number
    level: Floats  # (R, A, V): exp(cell coefficient), or 1
    sum_x: Floats  # (R, A * V, C): sums of exp(x'beta) x over the observations of a cell


@dataclass(frozen=True, eq=False)
class Second:
    """What information and variance are made of besides."""

    mean_x: Floats  # (R, A * V, C): weighted means of the covariates
    total: Floats  # (R, 1): sum of the weights
    squares: Floats  # (R, C): weighted sums of squares of the covariates
    info: Floats  # (R, C, C): information about beta when the cells are estimated too
    inverse: Floats  # (R, C, C), NaN where there is none


def first_moments(data: CellData, beta: Floats, family: Family) -> First:
    """At `beta` (R, C); where that is 0 nothing is left to compute."""
    if family == "poisson" and beta.any():
        tilt = linear(data, beta)
        np.exp(tilt, out=tilt)
        tilted = np.multiply(data.seen, tilt, out=data.room.of("tilted", data.seen.shape))
        sums = total(tilted @ turned(data.x))
    else:
        tilt, tilted, sums = np.ones((1, 1, 1, 1, 1)), data.seen, data.seen_x
    size = sums[..., 0]
    level = data.sum_y / size if family == "poisson" else np.ones_like(size)
    return First(tilt, tilted, size, level, by_cell(sums[..., 1:]))


def second_moments(data: CellData, at: First) -> Second:
    weight = at.level[:, :, None, None] @ at.tilted
    x = data.x[:, :, :, 1:]
    weighted = np.multiply(x, weight, out=data.room.of("products", x.shape))
    gram = total(weighted @ turned(x)).sum(axis=1)
    mean_x = at.sum_x / by_cell(at.size[..., None])
    cells = by_cell((at.level * at.size)[..., None])
    info = gram - turned(mean_x) @ (cells * mean_x)
    return Second(mean_x, cells.sum(axis=1), diagonal(gram), info, inverse(info))


def third_moments(data: CellData, at: First, second: Second, step: Floats) -> Floats:
    """Third derivative of minus the log likelihood of beta, taken twice along `step` (R, C): (R, C).

    With z = x'step these are the cells' level times their sums of (z - mean z)^2 (x - mean x).
    """
    mean = times(second.mean_x, step).reshape(at.size.shape)
    squares = np.subtract(linear(data, step), by_visit(mean), out=data.room.of("products", data.seen.shape))
    np.multiply(squares, squares, out=squares)
    np.multiply(squares, at.tilted, out=squares)
    sums = at.level[..., None] * total(squares @ turned(data.x))
    around = by_cell(sums[..., 1:]) - second.mean_x * by_cell(sums[..., :1])
    return np.asarray(around.sum(axis=1))


def by_cell(sums: Floats) -> Floats:
    """(R, A, V, K) -> (R, A * V, K)."""
    return sums.reshape(len(sums), sums.shape[1] * sums.shape[2], sums.shape[3])


def linear(data: CellData, beta: Floats) -> Floats:
    """x'beta, (R, A, n, 1, 128)."""
    return beta[:, None, None, None] @ data.x[:, :, :, 1:]


def row_total(weights: Floats, rows: Floats) -> Floats:
    """Weighted sums over all participants: (R, A, n, 1, 128) and (R, A, n, K, 128) -> (R, K)."""
    sums: Floats = total(weights @ turned(rows))[:, :, 0].sum(axis=1)
    return sums


def inverse(matrices: Floats) -> Floats:
    """Inverses; NaN for a matrix that has none, for whose sake np.linalg.inv would refuse them all."""
    roots = np.sqrt(diagonal(matrices))
    scale = 1 / (roots[..., None] * roots[:, None])
    scaled = matrices * scale
    try:
        return np.linalg.inv(scaled) * scale
    except np.linalg.LinAlgError:
        determinant = np.linalg.det(scaled)
        sound = (np.isfinite(determinant) & (determinant != 0))[:, None, None]
        inverses = np.linalg.inv(np.where(sound, scaled, np.eye(matrices.shape[-1])))
        return np.where(sound, inverses * scale, np.nan)


def times(matrices: Floats, vectors: Floats) -> Floats:
    return (matrices @ vectors[..., None])[..., 0]


def by_visit(cell: Floats) -> Floats:
    """(R, A, V) -> (R, A, 1, V, 1), to go with (R, A, n, V, 128)."""
    return cell[:, :, None, :, None]


# --- sums over clusters -----------------------------------------------------------------------------------------------


def meat(data: CellData, scores: Floats) -> Floats:
    """Sum over clusters of the squares and products of their scores, (R, P, P).

    A participant has V + C scores: a residual per visit, which belongs to a cell of their arm, and covariates
    x sum of residuals. `scores` (R, A, n, V + C, 128) holds the first and is overwritten. The members of shared
    clusters are taken out, added up by cluster, and put in again.
    """
    n_visits = data.y.shape[3]
    residuals, covariates = scores[:, :, :, :n_visits], scores[:, :, :, n_visits:]
    np.multiply(data.x[:, :, :, 1:], np.ones((1, n_visits)) @ residuals, out=covariates)
    member = np.flatnonzero(data.member)
    if member.size:
        n_scores = scores.shape[3]
        places = member // PIECE * (n_scores * PIECE) + member % PIECE + np.arange(n_scores)[:, None] * PIECE
        shared = scores.reshape(-1).take(places, mode="clip")
        scores.reshape(-1)[places] = 0.0
    # Twice the same matrix would be sent to a routine for squares, which is slower for small ones.
    products = total(residuals @ turned(scores)), total(covariates @ turned(scores))
    meat = _by_coefficient(*products)
    if member.size:
        clusters = _cluster_scores(data, shared, member)
        meat += total(clusters @ turned(clusters))[:, 0]
    return meat


def _by_coefficient(visits: Floats, covariates: Floats) -> Floats:
    """Put products of scores, (R, A, V, V + C) and (R, A, C, V + C), in their coefficients' places, (R, P, P)."""
    n_replicates, n_arms, n_visits, _ = visits.shape
    n_cells, n_covariates = n_arms * n_visits, covariates.shape[2]
    out = np.zeros((n_replicates, n_cells + n_covariates, n_cells + n_covariates))
    for arm in range(n_arms):
        cells = slice(arm * n_visits, (arm + 1) * n_visits)
        out[:, cells, cells] = visits[:, arm, :, :n_visits]
        out[:, n_cells:, cells] = covariates[:, arm, :, :n_visits]
        out[:, n_cells:, n_cells:] += covariates[:, arm, :, n_visits:]
    out[:, :n_cells, n_cells:] = turned(out[:, n_cells:, :n_cells])
    return out


def _cluster_scores(data: CellData, scores: Floats, member: Ints) -> Floats:
    """Add up the scores (V + C, M) of the members of each cluster, (R, 1, n, P, 16)."""
    n_replicates, n_arms, n_pieces, _ = data.group.shape
    n_visits, group = data.y.shape[3], data.group.reshape(-1)[member]
    n_more = -(-int(group.max() + 1) // CLUSTERS)
    key = member // (n_pieces * PIECE) * (n_more * CLUSTERS) + group
    size = n_replicates * n_arms * n_more * CLUSTERS
    sums = np.stack([np.bincount(key, weights=score, minlength=size) for score in scores])
    by_arm = sums.reshape(-1, n_replicates, n_arms, n_more, CLUSTERS).transpose(1, 3, 2, 0, 4)
    cells = by_arm[:, :, :, :n_visits].reshape(n_replicates, n_more, n_arms * n_visits, CLUSTERS)
    covariates = by_arm[:, :, :, n_visits:].sum(axis=2)
    return np.ascontiguousarray(np.concatenate([cells, covariates], axis=2)[:, None])
