"""Randomization lists: which arm comes next in each stratum, written before the trial starts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trialsim.world.cohort import Cohort
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats
from trialsim.world.streams import Stream
from trialsim.world.world import World

Codes = NDArray[np.int8]


def randomization_lists(world: World, draws: Draws, cohort: Cohort) -> dict[int, Codes]:
    """For each stratum code that occurs, the arms in the order in which they will be given, shape (length, R).

    Lists are as long as the stratum's largest count in these replicates; a longer list begins with the same arms.
    """
    if world.design.allocation.kind == "simple":
        return {0: _simple(world, draws.uniform(Stream.ALLOCATION_SIMPLE, len(cohort.valid)))}
    most = count_strata(*strata_or_nobody(cohort)).max(axis=0)[:-1]
    strata = np.flatnonzero(most)
    return _blocks(world, draws, strata, most[strata]) if len(strata) else {}


def strata_or_nobody(cohort: Cohort) -> tuple[NDArray[np.int16], int]:
    """Stratum codes (N, R), and the code above them all that stands for a row without a participant."""
    nobody = int(cohort.stratum.max(initial=0)) + 1
    return np.where(cohort.valid, cohort.stratum, np.int16(nobody)), nobody


def count_strata(codes: NDArray[np.int16], nobody: int) -> NDArray[np.int64]:
    """Rows of each code in each replicate, (R, nobody + 1)."""
    n_replicates = codes.shape[1]
    flat = codes + (nobody + 1) * np.arange(n_replicates)
    return np.bincount(flat.ravel(), minlength=(nobody + 1) * n_replicates).reshape(n_replicates, nobody + 1)


def _simple(world: World, uniform: Floats) -> Codes:
    ratio = np.array([world.design.allocation.ratio[arm] for arm in world.arms], dtype=float)
    arm = np.zeros(uniform.shape, dtype=np.int8)
    for limit in np.cumsum(ratio / ratio.sum())[:-1]:
        arm += uniform >= limit
    return arm


def _blocks(world: World, draws: Draws, strata: NDArray[np.intp], lengths: NDArray[np.int64]) -> dict[int, Codes]:
    """Permuted blocks of random size, one after another.

    All blocks of all strata and replicates that are needed are worked out together; M is their number.
    """
    sizes = np.array(sorted(world.design.allocation.block_sizes))
    width, n_replicates = int(sizes[-1]), draws.n_replicates
    luck = _luck(world, draws, strata, -(-lengths // sizes[0]), _uniforms_per_order(width) + 1)
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
    for place, arm in enumerate(_orders(world, uniforms, size, width)):
        inside = np.flatnonzero(place < size)
        lists.ravel()[first.take(inside) + place * n_replicates] = arm.take(inside)
    return {int(c): lists[o : o + n] for c, o, n in zip(strata, offsets, lengths, strict=False)}


def _uniforms_per_order(width: int) -> int:
    """Uniforms that the order of a block takes: one for as many places as leave it fine enough, 32 bits."""
    return -(-width // _places_per_uniform(width))


def _places_per_uniform(width: int) -> int:
    return max(1, int(32 / math.log2(width + 1)))


def _orders(world: World, uniforms: list[Floats], size: NDArray[np.int64], width: int) -> Iterator[Codes]:
    """Place by place the arm of each block, (M,): balls drawn from an urn. What is past a block's end means nothing.

    A uniform times the number of balls left is a ball and, behind the point, a uniform again.
    """
    ratio = np.array([world.design.allocation.ratio[arm] for arm in world.arms])
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


def _luck(world: World, draws: Draws, strata: NDArray[np.intp], n_blocks: NDArray[np.int64], per_block: int) -> Floats:
    """Uniforms of each block, (strata, most blocks, per block, R): the first for its size, the others for its order.

    A site's strata share a generator, with blocks first, so that a longer list begins as a shorter one. Of a site that
    needs fewer blocks than others the rest is not drawn.
    """
    luck = np.zeros((len(strata), int(n_blocks.max()), per_block, draws.n_replicates))
    sites, within = world.strata_by_site
    n_strata = int(within.max()) + 1
    names = world.sites if "site" in world.design.allocation.strata else [""]
    for site in np.unique(sites[strata]).tolist():
        mine = np.flatnonzero(sites[strata] == site)
        n = int(n_blocks[mine].max())
        own = draws.uniform(Stream.ALLOCATION, n * n_strata * per_block, names[site])
        luck[mine, :n] = own.reshape(n, n_strata, per_block, -1).transpose(1, 0, 2, 3)[within[strata[mine]]]
    return luck
