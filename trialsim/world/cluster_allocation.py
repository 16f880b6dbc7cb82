"""Randomization of whole clusters, before anybody is recruited."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trialsim.design.allocation import ClusterAllocation
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats
from trialsim.world.streams import Stream
from trialsim.world.world import World

Codes = NDArray[np.int8]

STEPS_PER_SD = 2**20
"""Steps of one SD in which balance is counted: sums of whole numbers are exact, so equal balance is a tie."""


def cluster_arms(
    world: World, draws: Draws, site: NDArray[np.int16], weight: Floats, level: dict[int, Floats]
) -> Codes | None:
    """Arm of each cluster, (C, R); none where the design does not randomize clusters.

    `site` (C,), `weight` (C, R) expected share within the site, `level` (C, R) by number of the outcome.
    """
    plan = world.design.allocation
    if not isinstance(plan, ClusterAllocation):
        return None
    parts = np.repeat(np.arange(len(world.arms), dtype=np.int8), [plan.ratio[arm] for arm in world.arms])
    if plan.method == "simple":
        luck = np.concatenate(
            [
                draws.uniform(Stream.CLUSTER_ALLOCATION, n, name)
                for name, n in zip(world.sites, world.cluster_counts, strict=True)
            ]
        )
        return parts[(luck * len(parts)).astype(np.intp)]
    factors = [factor for name in plan.balance for factor in _factor(world, name, site, weight, level)]
    if plan.method == "constrained":
        return _constrained(draws, plan, parts, np.stack(factors))
    return np.concatenate(
        [
            _sets(draws, world.sites[index], parts, [factor[span] for factor in factors], span.stop - span.start)
            for index, span in enumerate(world.cluster_spans)
        ]
    )


def _factor(world: World, name: str, site: NDArray[np.int16], weight: Floats, level: dict[int, Floats]) -> list[Floats]:
    """What a factor of `balance` is of each cluster, (C, R); `site` is one yes/no for each site."""
    if name == "site":
        return [np.broadcast_to((site == index)[:, None] * 1.0, weight.shape) for index in range(len(world.sites))]
    if name == "size":
        return [weight * world.rates.sum(axis=1)[site][:, None]]
    return [level[world.outcomes.index(name)]]


def _sets(draws: Draws, site: str, parts: Codes, factors: list[Floats], n: int) -> Codes:
    """Arms of a site's clusters, (n, R), randomized within sets as large as the ratio's sum; the last may be cut.

    Sets are of clusters alike in the factors (the first decides, the next if that is equal); without any, as numbered.
    """
    n_sets = -(-n // len(parts))
    luck = draws.uniform(Stream.CLUSTER_ALLOCATION, n_sets * len(parts), site)
    order = luck.reshape(n_sets, len(parts), draws.n_replicates).argsort(axis=1, kind="stable")
    arms: Codes = parts[order].reshape(luck.shape)[:n]
    if not factors:
        return arms
    sorted_arms = np.empty_like(arms)
    np.put_along_axis(sorted_arms, np.lexsort(factors[::-1], axis=0), arms, axis=0)
    return sorted_arms


# --- covariate-constrained --------------------------------------------------------------------------------------------


def _constrained(draws: Draws, plan: ClusterAllocation, parts: Codes, factors: Floats) -> Codes:
    """One of the best balanced of many random allocations with fixed numbers, (C, R); `factors` (F, C, R).

    Raab and Butcher 2001, doi:10.1002/1097-0258(20010215)20:3<351::AID-SIM797>3.0.CO;2-C.
    """
    n_clusters, n_replicates = factors.shape[1:]
    numbers = _numbers(n_clusters, parts)
    n_best = math.ceil(plan.accepted_share * plan.candidates - 1e-9)
    arms = np.empty((n_clusters, n_replicates), dtype=np.int8)
    for replicate in range(n_replicates):
        luck = draws.luck(Stream.CLUSTER_ALLOCATION, replicate)
        chosen = int(luck.uniform(1)[0] * n_best)
        # The order of uniforms is a random permutation: dealt out in that order, arms keep their numbers.
        candidates = numbers[luck.uniform(plan.candidates, n_clusters).argsort(axis=1)]
        best = _imbalance(candidates, np.ascontiguousarray(factors[:, :, replicate])).argsort(kind="stable")
        arms[:, replicate] = candidates[best[chosen]]
    return arms


def _numbers(n: int, parts: Codes) -> Codes:
    """The arms of n clusters, (n,), in numbers as even as the ratio allows; of arms that could have one more, the
    first do."""
    quota = n * np.bincount(parts) / len(parts)
    counts = np.floor(quota + 1e-9).astype(np.intp)
    counts[np.argsort(counts - quota, kind="stable")[: n - counts.sum()]] += 1
    return np.repeat(np.arange(len(counts), dtype=np.int8), counts)


def _imbalance(candidates: Codes, factors: Floats) -> Floats:
    """Sum over factors (F, C) and pairs of arms of the squared difference of cluster means, in SDs; (candidates,)."""
    centred = factors - factors.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    steps = np.rint(STEPS_PER_SD * np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12))
    score = np.zeros(len(candidates))
    # Steps add up to about nothing, and arms that no cluster has cannot be compared.
    members = [candidates == arm for arm in np.unique(candidates[0])]
    means = [(steps @ mine.T.astype(float)) / mine[0].sum() for mine in members]
    for index, mean in enumerate(means):
        for other in means[:index]:
            for difference in mean - other:
                score += difference * difference
    return score
