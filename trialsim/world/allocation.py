"""Randomization lists: which arm comes next in each stratum, written before the trial starts."""

from __future__ import annotations

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
    """Permuted blocks of random size: a block's arms in the order of its uniforms, blocks one after another.

    All blocks of all strata and replicates that are needed are worked out together; M is their number.
    """
    sizes = np.array(sorted(world.design.allocation.block_sizes))
    width, n_replicates = int(sizes[-1]), draws.n_replicates
    size_luck, order_luck = _luck(world, draws, strata, -(-lengths // sizes[0]), width)
    all_sizes = sizes.take((size_luck * len(sizes)).astype(np.int64))  # (strata, blocks, R)
    all_starts = all_sizes.cumsum(axis=1) - all_sizes
    stratum, block, replicate = np.nonzero(all_starts < lengths[:, None, None])
    size, start = all_sizes[stratum, block, replicate], all_starts[stratum, block, replicate]
    places = np.arange(width)[:, None]
    outside = places >= size  # (width, M): smaller blocks do not use the last places
    first = (stratum * all_sizes.shape[1] + block) * width * n_replicates + replicate
    rank = _ranks(order_luck.ravel().take(first + places * n_replicates) + 2.0 * outside)
    # Lists are written one below the other, each with room for the end of its last block.
    offsets = np.concatenate([[0], np.cumsum(lengths + width)])
    lists = np.empty((offsets[-1], n_replicates), dtype=np.int8)
    inside = np.flatnonzero(~outside)
    row = offsets[stratum] + start + rank
    arms = np.repeat(_template(world, width), len(start))
    lists.ravel()[(row * n_replicates + replicate).take(inside)] = arms.take(inside)
    return {int(c): lists[o : o + n] for c, o, n in zip(strata, offsets, lengths, strict=False)}


def _luck(
    world: World, draws: Draws, strata: NDArray[np.intp], n_blocks: NDArray[np.int64], width: int
) -> tuple[Floats, Floats]:
    """Uniforms for the sizes of blocks (strata, most blocks, R), and for their orders (strata, most blocks, width, R).

    Of a stratum that needs fewer blocks than others the rest is not drawn.
    """
    shape = (len(strata), int(n_blocks.max()))
    sizes, orders = np.zeros((*shape, draws.n_replicates)), np.empty((*shape, width, draws.n_replicates))
    for place, (stratum, n) in enumerate(zip(strata.tolist(), n_blocks.tolist(), strict=True)):
        name = world.strata[stratum]
        draws.fill(sizes[place, :n], Stream.ALLOCATION_SIZE, name)
        draws.fill(orders[place, :n].reshape(n * width, -1), Stream.ALLOCATION_ORDER, name)
    return sizes, orders


def _ranks(values: Floats) -> NDArray[np.int16]:
    """Rank of each value in its column, 0 the smallest, equal ones in order; by comparing, as columns are short."""
    rank = np.zeros(values.shape, dtype=np.int16)
    for row in range(1, len(values)):
        larger = values[:row] > values[row]
        rank[:row] += larger
        rank[row] = row - larger.sum(axis=0, dtype=np.int16)
    return rank


def _template(world: World, width: int) -> Codes:
    """Arms of an ordered block, the ratio repeated: any multiple of its sum from the start is in ratio."""
    ratio = [world.design.allocation.ratio[arm] for arm in world.arms]
    once = np.repeat(np.arange(len(ratio), dtype=np.int8), ratio)
    return np.tile(once, width // len(once))
