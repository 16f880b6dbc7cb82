"""What is measured of clusters: how many, how large, and how alike their members are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.world.observation import is_known

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Named = Iterator[tuple[str, NDArray[Any]]]


def cluster_measures(block: Block) -> Named:
    """Numbers, sizes and intracluster correlations, each (R,); nothing where the design has no clusters."""
    cohort = block.plan.cohort
    if cohort.clusters is None or cohort.cluster is None:
        return
    yield "clusters/all", np.full(block.n_replicates, len(cohort.clusters.site))
    randomized = cohort.clusters.arm is not None
    if cohort.clusters.arm is not None:
        for arm, name in enumerate(block.world.arms):
            yield f"clusters/{name}", (cohort.clusters.arm == arm).sum(axis=0)
    cells = Cells(cohort.cluster, block.histories.arm, (len(block.world.arms), len(cohort.clusters.site)))
    n = cells.sum(cohort.valid)
    yield "clusters/empty", (n.sum(axis=0) == 0).sum(axis=0)
    yield from _sizes("clusters", n)
    for k, (name, outcome) in enumerate(block.world.design.outcomes.items()):
        baseline = cohort.baseline[k].astype(float)
        if outcome.has_baseline:
            yield f"clusters/{name}/baseline_icc", icc(cells.sums(n, baseline * cohort.valid), given_arm=False)
        known = is_known(outcome, block.histories, block.follow)
        for v, visit in enumerate(block.world.visits):
            seen, path = known[v] & cohort.valid, f"clusters/{name}/{visit}"
            n_seen, value = cells.sum(seen), block.outcomes.realised[k, v] * seen.astype(float)
            values = cells.sums(n_seen, value)
            yield from _sizes(path, n_seen)
            yield f"{path}/icc", icc(values, given_arm=True, randomized=randomized)
            if outcome.has_baseline:
                adjusted = _adjusted(values, cells.sums(n_seen, baseline * seen), _total(value * baseline, 0))
                yield f"{path}/adjusted_icc", icc(adjusted, given_arm=True, randomized=randomized, n_slopes=1)


def _sizes(path: str, n: Floats) -> Named:
    """Mean and coefficient of variation of the sizes (A, C, R) of clusters that have anybody."""
    size = n.sum(axis=0)
    some = size > 0
    n_some = some.sum(axis=0)
    mean = _ratio(size.sum(axis=0), n_some)
    squares = _total(np.where(some, size - mean, 0.0) ** 2, 0)
    yield f"{path}/size_mean", mean
    yield f"{path}/size_cv", np.sqrt(_ratio(squares, n_some - 1)) / mean


@dataclass(frozen=True)
class Sums:
    """What analysis of variance needs of values; A arms, C clusters, R replicates."""

    n: Floats  # (A, C, R) participants with a value
    total: Floats  # (A, C, R) sum of their values
    squares: Floats  # (R,) sum of squares over all of them


class Cells:
    """Sums over the participants of each arm and cluster in each replicate."""

    def __init__(self, cluster: NDArray[np.int16], arm: NDArray[np.int8], shape: tuple[int, int]) -> None:
        self._shape = (*shape, cluster.shape[1])
        # Rows without a participant, whose arm is -1, add 0 to some cell.
        cell = np.maximum(arm, 0) * np.intp(shape[1]) + cluster
        self._cell = (cell * np.intp(cluster.shape[1]) + np.arange(cluster.shape[1])).ravel()

    def sum(self, values: NDArray[Any]) -> Floats:
        """Sums of (N, R), (A, C, R)."""
        size = self._shape[0] * self._shape[1] * self._shape[2]
        sums = np.bincount(self._cell, weights=values.ravel().astype(float, copy=False), minlength=size)
        return np.asarray(sums.reshape(self._shape), dtype=float)

    def sums(self, n: Floats, values: Floats) -> Sums:
        """Sums of values (N, R), 0 where there is none; `n` (A, C, R) participants have one."""
        return Sums(n, self.sum(values), _total(values * values, 0))


def icc(values: Sums, *, given_arm: bool, randomized: bool = False, n_slopes: int = 0) -> Floats:
    """Intracluster correlation by analysis of variance, of values or (`given_arm`) of their residuals given arm, (R,).

    Between and within clusters; between within arms where clusters were randomized: (MSB - MSW) / (MSB + (n0 - 1) MSW),
    n0 = (N - sum over arms of sum n^2 / N of the arm) / (clusters - arms). Donner and Klar 2000, Design and Analysis of
    Cluster Randomization Trials in Health Research. `n_slopes`: coefficients that were estimated to make the values.
    """
    n, total = values.n, values.total
    compared = n if randomized else n.sum(axis=0, keepdims=True)  # clusters with each other, (arms or 1, C, R)
    n_cluster, n_all = n.sum(axis=0), n.sum(axis=(0, 1))
    centre = _means(values) if given_arm else _ratio(_total(_total(total, 1), 0), n_all, nothing=0.0)[None]
    of_arm = centre * (2 * _total(total, 1) - n.sum(axis=1) * centre)
    residual = _total(total - n * centre[:, None], 0)
    between = _total(_ratio(residual * residual, n_cluster, nothing=0.0), 0)
    within = np.maximum(values.squares - _total(of_arm, 0) - between, 0.0)
    n_compared = compared.sum(axis=1)
    df = (n_cluster > 0).sum(axis=0) - (n_compared > 0).sum(axis=0)
    lost = _total(_ratio((compared * compared).sum(axis=1), n_compared, nothing=0.0), 0)
    between = _ratio(between, df)
    within = _ratio(within, n_all - (n_cluster > 0).sum(axis=0) - n_slopes)
    return _ratio(between - within, between + (_ratio(n_all - lost, df) - 1) * within)


def _means(values: Sums) -> Floats:
    """Mean of each arm, (A, R)."""
    return _ratio(_total(values.total, 1), values.n.sum(axis=1), nothing=0.0)


def _adjusted(values: Sums, baseline: Sums, products: Floats) -> Sums:
    """Values less a common slope times baseline, as regression on arm and baseline has it.

    `products` (R,): sum of value x baseline.
    """
    squared = _total(_means(baseline) * _total(baseline.total, 1), 0)
    crossed = _total(_means(baseline) * _total(values.total, 1), 0)
    slope = _ratio(products - crossed, baseline.squares - squared, nothing=0.0)
    squares = values.squares - slope * (2 * products - slope * baseline.squares)
    return Sums(values.n, values.total - slope * baseline.total, squares)


def _total(values: Floats, axis: int) -> Floats:
    """Sum over an axis, one after the other: the same bits however many columns there are."""
    return np.add.accumulate(values, axis=axis).take(-1, axis=axis)


def _ratio(top: NDArray[Any], bottom: NDArray[Any], *, nothing: float = np.nan) -> Floats:
    out = np.full(np.broadcast(top, bottom).shape, nothing)
    return np.divide(top, bottom, out=out, where=np.asarray(bottom) > 0)
