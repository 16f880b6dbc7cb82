"""How participants come to arms: lists written before the trial starts, arms known beforehand, or arms in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.allocation import Cohorts, SimpleAllocation, Tendency
from trialsim.world import formulas
from trialsim.world.cohort import Cohort
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats
from trialsim.world.histories import NONE
from trialsim.world.periods import Period
from trialsim.world.sequential import Sequential, sequential
from trialsim.world.streams import Stream
from trialsim.world.world import World

Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Lists:
    """Randomization lists: for each stratum code that occurs, the arms in the order in which they will be given.

    Lists, (length, R), are as long as the stratum's largest count in these replicates; a longer list begins with the
    same arms.
    """

    arms: dict[int, Codes]


@dataclass(frozen=True)
class Given:
    """Arms that do not depend on who came before."""

    arm: Codes  # (N, R); NONE for rows without a participant


Assignment = Lists | Given | Sequential


def make_assignment(world: World, draws: Draws, cohort: Cohort) -> Assignment:
    """What the trial office goes by when somebody is to be given an arm."""
    allocation = world.design.allocation
    if allocation.kind in ("minimization", "biased_coin", "urn"):
        return sequential(world, draws, cohort)
    if allocation.kind == "blocks":
        return randomization_lists(world, draws, cohort)
    if isinstance(allocation, SimpleAllocation):
        arm = _simple(world, draws, cohort)
    elif isinstance(allocation, Cohorts):
        arm = _by_choice(world, draws, cohort, allocation.tendency)
    else:
        arm = _of_clusters(cohort)
    return Given(np.where(cohort.valid, arm, np.int8(NONE)))


# --- arms known beforehand --------------------------------------------------------------------------------------------


def _simple(world: World, draws: Draws, cohort: Cohort) -> Codes:
    """By chance alone, in the ratio of the period."""
    uniform = draws.uniform(Stream.ALLOCATION_SIMPLE, len(cohort.valid))
    first, *later = world.periods
    arm = _past(uniform, _shares(first))
    for period in later:
        arm = np.where(cohort.randomized_day >= period.starts, _past(uniform, _shares(period)), arm)
    return arm


def _shares(period: Period) -> list[float]:
    """Cumulative shares of the arms in the ratio, without the last."""
    ratio = np.array(period.ratio, dtype=float)
    return [float(share) for share in np.cumsum(ratio / ratio.sum())[:-1]]


def _past(values: Floats, limits: list[float]) -> Codes:
    """How many limits each value has reached."""
    reached = np.zeros(values.shape, dtype=np.int8)
    for limit in limits:
        reached += values >= limit
    return reached


def _by_choice(world: World, draws: Draws, cohort: Cohort, tendency: Tendency) -> Codes:
    """Ordered probit model: cohorts in their order where who people are and luck reach the limits of the ratio."""
    inclination = draws.normal(Stream.COHORT_CHOICE, len(cohort.valid)) + cohort.traits.shift(tendency.covariates)
    for name, slope in tendency.baseline.items():
        outcome, steps = world.design.outcomes[name], cohort.baseline[world.outcomes.index(name)]
        inclination += slope * (formulas.from_grid(steps, outcome.low, outcome.items) - outcome.typical[0])
    if tendency.motivation:
        inclination += tendency.motivation * cohort.motivation
    return _past(inclination, [formulas.probit(share) for share in _shares(world.periods[0])])


def _of_clusters(cohort: Cohort) -> Codes:
    """Everybody has the arm of their cluster."""
    assert cohort.clusters is not None
    assert cohort.clusters.arm is not None
    assert cohort.cluster is not None
    return np.take_along_axis(cohort.clusters.arm, cohort.cluster, axis=0)


# --- permuted blocks --------------------------------------------------------------------------------------------------


def randomization_lists(world: World, draws: Draws, cohort: Cohort) -> Lists:
    """Permuted blocks within strata; each period has strata, and so lists, of its own."""
    most = count_strata(*strata_or_nobody(cohort)).max(axis=0)[:-1]
    per_period = math.prod(world.n_levels)
    lists: dict[int, Codes] = {}
    for period in np.unique(np.flatnonzero(most) // per_period).tolist():
        own = most[period * per_period :][:per_period]
        strata = np.flatnonzero(own)
        arms = _blocks(world, draws, period, strata, own[strata])
        lists |= {period * per_period + stratum: sequence for stratum, sequence in arms.items()}
    return Lists(lists)


def strata_or_nobody(cohort: Cohort) -> tuple[NDArray[np.int16], int]:
    """Stratum codes (N, R), and the code above them all that stands for a row without a participant."""
    nobody = int(cohort.stratum.max(initial=0)) + 1
    return np.where(cohort.valid, cohort.stratum, np.int16(nobody)), nobody


def count_strata(codes: NDArray[np.int16], nobody: int) -> NDArray[np.int64]:
    """Rows of each code in each replicate, (R, nobody + 1)."""
    n_replicates = codes.shape[1]
    flat = codes + (nobody + 1) * np.arange(n_replicates)
    return np.bincount(flat.ravel(), minlength=(nobody + 1) * n_replicates).reshape(n_replicates, nobody + 1)


def _blocks(
    world: World, draws: Draws, period: int, strata: NDArray[np.intp], lengths: NDArray[np.int64]
) -> dict[int, Codes]:
    """Permuted blocks of random size, one after another.

    All blocks of all strata and replicates that are needed are worked out together; M is their number.
    """
    sizes = np.array(sorted(world.periods[period].block_sizes))
    ratio = np.array(world.periods[period].ratio)
    width, n_replicates = int(sizes[-1]), draws.n_replicates
    luck = _luck(world, draws, period, strata, -(-lengths // sizes[0]), _uniforms_per_order(width) + 1)
    all_sizes = sizes.take((luck[:, :, 0] * len(sizes)).astype(np.intp))  # (strata, blocks, R)
    all_starts = all_sizes.cumsum(axis=1) - all_sizes
    needed = np.flatnonzero(all_starts < lengths[:, None, None])
    block, replicate = np.divmod(needed, n_replicates)
    size, own = all_sizes.take(needed), luck.shape[2] * n_replicates * block + replicate
    # Lists are written one below the other, each with room for the end of its last block.
    offsets = np.concatenate([[0], np.cumsum(lengths + width)])
    lists = np.empty((offsets[-1], n_replicates), dtype=np.int8)
    first = (offsets.take(block // luck.shape[1]) + all_starts.take(needed)) * n_replicates + replicate
    uniforms = [luck.ravel().take(own + n_replicates * (1 + j)) for j in range(luck.shape[2] - 1)]
    for place, arm in enumerate(_orders(ratio, uniforms, size, width)):
        inside = np.flatnonzero(place < size)
        lists.ravel()[first.take(inside) + place * n_replicates] = arm.take(inside)
    return {int(c): lists[o : o + n] for c, o, n in zip(strata, offsets, lengths, strict=False)}


def _uniforms_per_order(width: int) -> int:
    """Uniforms that the order of a block takes: one for as many places as leave it fine enough, 32 bits."""
    return -(-width // _places_per_uniform(width))


def _places_per_uniform(width: int) -> int:
    return max(1, int(32 / math.log2(width + 1)))


def _orders(ratio: NDArray[np.int64], uniforms: list[Floats], size: NDArray[np.int64], width: int) -> Iterator[Codes]:
    """Place by place the arm of each block, (M,): balls drawn from an urn. What is past a block's end means nothing.

    A uniform times the number of balls left is a ball and, behind the point, a uniform again.
    """
    up_to = np.cumsum(ratio)[:-1, None] * (size / ratio.sum())  # (arms - 1, M) balls left of these arms and all before
    luck = np.empty(0)
    for place in range(width):
        if place % _places_per_uniform(width) == 0:
            luck = uniforms.pop(0)
        drawn = luck * (size - place)
        ball = np.floor(drawn)
        luck = drawn - ball
        arm = np.zeros(len(size), dtype=np.int8)
        for left in up_to:
            is_before = ball < left
            arm += ~is_before
            left -= is_before
        yield arm


def _luck(
    world: World, draws: Draws, period: int, strata: NDArray[np.intp], n_blocks: NDArray[np.int64], per_block: int
) -> Floats:
    """Uniforms of each block, (strata, most blocks, per block, R): the first for its size, the others for its order.

    A site's strata share a generator, with blocks first, so that a longer list begins as a shorter one. Of a site that
    needs fewer blocks than others the rest is not drawn. Periods after the first have generators of their own.
    """
    luck = np.zeros((len(strata), int(n_blocks.max()), per_block, draws.n_replicates))
    sites, within = world.strata_by_site
    n_strata = int(within.max()) + 1
    names = world.sites if "site" in world.design.allocation.strata else [""]
    later = (period,) if period else ()
    for site in np.unique(sites[strata]).tolist():
        mine = np.flatnonzero(sites[strata] == site)
        n = int(n_blocks[mine].max())
        own = draws.uniform(Stream.ALLOCATION, n * n_strata * per_block, names[site], *later)
        luck[mine, :n] = own.reshape(n, n_strata, per_block, -1).transpose(1, 0, 2, 3)[within[strata[mine]]]
    return luck
