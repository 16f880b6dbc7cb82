"""What is measured of clusters: how many, how large, and how alike their members are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.world.clusters import Clusters
from trialsim.world.histories import Missing

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Named = Iterator[tuple[str, NDArray[Any]]]


def cluster_measures(block: Block) -> Named:
    """Numbers, sizes and intracluster correlations, each (R,); nothing where the design has no clusters."""
    cohort = block.plan.cohort
    if cohort.clusters is None or cohort.cluster is None:
        return
    cells = _Cells(cohort.clusters, cohort.cluster)
    yield "clusters/all", np.full(block.n_replicates, len(cohort.clusters.site))
    if cohort.clusters.arm is not None:
        for arm, name in enumerate(block.world.arms):
            yield f"clusters/{name}", (cohort.clusters.arm == arm).sum(axis=0)
    n = cells.sum(cohort.valid)
    yield "clusters/empty", (n == 0).sum(axis=0)
    yield from _sizes("clusters", n)
    for k, (name, outcome) in enumerate(block.world.design.outcomes.items()):
        baseline = cohort.baseline[k].astype(float) if outcome.has_baseline else None
        if baseline is not None:
            yield f"clusters/{name}/baseline_icc", cells.icc(baseline, cohort.valid, by_arm=False)
        for v, visit in enumerate(block.world.visits):
            seen = (block.follow.missing[v] == Missing.ANSWERED) & cohort.valid
            yield from _of_visit(block, cells, f"clusters/{name}/{visit}", k, v, seen, baseline)


def _of_visit(block: Block, cells: _Cells, path: str, k: int, v: int, seen: Bools, baseline: Floats | None) -> Named:
    arm, value = block.histories.arm, block.outcomes.realised[k, v].astype(float)
    yield from _sizes(path, cells.sum(seen))
    given_arm = _residuals(value, arm, seen)
    yield f"{path}/icc", cells.icc(given_arm, seen, by_arm=True)
    if baseline is not None:
        adjusted = _adjusted(given_arm, _residuals(baseline, arm, seen))
        yield f"{path}/adjusted_icc", cells.icc(adjusted, seen, by_arm=True, n_slopes=1)


def _sizes(path: str, n: Floats) -> Named:
    """Mean and coefficient of variation of the sizes (C, R) of clusters that have anybody."""
    some = n > 0
    n_some = some.sum(axis=0)
    mean = _ratio(n.sum(axis=0), n_some)
    squares = _total(np.where(some, n - mean, 0.0) ** 2)
    yield f"{path}/size_mean", mean
    yield f"{path}/size_cv", np.sqrt(_ratio(squares, n_some - 1)) / mean


class _Cells:
    """Sums over the members of each cluster in each replicate."""

    def __init__(self, clusters: Clusters, cluster: NDArray[np.int16]) -> None:
        self._arm = clusters.arm
        self.shape = (len(clusters.site), cluster.shape[1])
        self._cell = (cluster * np.intp(self.shape[1]) + np.arange(self.shape[1])).ravel()

    def sum(self, values: NDArray[Any]) -> Floats:
        """Sums of (N, R), in order of randomization, (C, R)."""
        weights = values.ravel().astype(float)
        sums = np.bincount(self._cell, weights=weights, minlength=self.shape[0] * self.shape[1])
        return np.asarray(sums.reshape(self.shape), dtype=float)

    def icc(self, values: Floats, seen: Bools, *, by_arm: bool, n_slopes: int = 0) -> Floats:
        """Intracluster correlation of values (N, R) of those who are seen, by analysis of variance, (R,).

        Between and within clusters, between within arms if these were given to clusters: (MSB - MSW) / (MSB +
        (n0 - 1) MSW), with n0 = (N - sum over arms of sum n^2 / N of the arm) / (clusters - arms). Donner and Klar
        2000, Design and Analysis of Cluster Randomization Trials in Health Research. `n_slopes`: coefficients that
        were estimated to make the values.
        """
        n, total = self.sum(seen), self.sum(np.where(seen, values, 0.0))
        mean = _ratio(total, n, nothing=0.0)
        own = np.take(mean.ravel(), self._cell).reshape(values.shape)
        within = _total(np.where(seen, values - own, 0.0) ** 2)
        n_clusters, n_all = (n > 0).sum(axis=0), n.sum(axis=0)
        between, lost, n_arms = np.zeros(len(n_all)), np.zeros(len(n_all)), np.zeros(len(n_all))
        for members in self._arms(by_arm):
            n_arm = (n * members).sum(axis=0)
            centre = _ratio(_total(total * members), n_arm, nothing=0.0)
            between += _total(n * members * (mean - centre) ** 2)
            lost += _ratio((n * n * members).sum(axis=0), n_arm, nothing=0.0)
            n_arms += n_arm > 0
        between = _ratio(between, n_clusters - n_arms)
        within = _ratio(within, n_all - n_clusters - n_slopes)
        n0 = _ratio(n_all - lost, n_clusters - n_arms)
        return _ratio(between - within, between + (n0 - 1) * within)

    def _arms(self, by_arm: bool) -> Iterator[Bools]:
        """The clusters that are compared with each other, (C, R) each."""
        if not by_arm or self._arm is None:
            yield np.ones(self.shape, dtype=bool)
            return
        for arm in range(int(self._arm.max()) + 1):
            yield self._arm == arm


def _residuals(values: Floats, arm: NDArray[np.int8], seen: Bools) -> Floats:
    """Values (N, R) less the mean of those who are seen in the participant's arm; 0 of all others."""
    residual = np.zeros(values.shape)
    for code in range(int(arm.max(initial=-1)) + 1):
        mine = seen & (arm == code)
        mean = _ratio(_total(np.where(mine, values, 0.0)), mine.sum(axis=0), nothing=0.0)
        residual += np.where(mine, values - mean, 0.0)
    return residual


def _adjusted(values: Floats, baseline: Floats) -> Floats:
    """Residuals of a regression of values on baseline, both less the means of arms."""
    return values - baseline * _ratio(_total(values * baseline), _total(baseline * baseline), nothing=0.0)


def _total(values: Floats) -> Floats:
    """Sum over the first axis, one after the other: the same bits however many columns there are."""
    return np.add.accumulate(values, axis=0)[-1]


def _ratio(top: NDArray[Any], bottom: NDArray[Any], *, nothing: float = np.nan) -> Floats:
    out = np.full(np.broadcast(top, bottom).shape, nothing)
    return np.divide(top, bottom, out=out, where=np.asarray(bottom) > 0)
