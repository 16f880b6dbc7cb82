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
    counts = _most_per_stratum(cohort)
    return {int(code): _blocks(world, draws, int(code), int(most)) for code, most in enumerate(counts) if most}


def _most_per_stratum(cohort: Cohort) -> NDArray[np.int64]:
    """Largest number of participants of each stratum in any replicate."""
    n_replicates = cohort.valid.shape[1]
    width = int(cohort.stratum.max(initial=0)) + 1
    flat = cohort.stratum.astype(np.int64) + width * np.arange(n_replicates)
    counts = np.bincount(flat[cohort.valid], minlength=width * n_replicates)
    return np.asarray(counts.reshape(n_replicates, width).max(axis=0))


def _simple(world: World, uniform: Floats) -> Codes:
    ratio = np.array([world.design.allocation.ratio[arm] for arm in world.arms], dtype=float)
    limits = np.cumsum(ratio / ratio.sum())[:-1]
    return np.searchsorted(limits, uniform, side="right").astype(np.int8)


def _blocks(world: World, draws: Draws, stratum: int, length: int) -> Codes:
    """Permuted blocks of random size: order the block's arms by uniforms (argsort), blocks one after another."""
    allocation = world.design.allocation
    sizes = np.array(sorted(allocation.block_sizes))
    n_blocks = -(-length // int(sizes[0]))
    width = int(sizes[-1])
    chosen = sizes[_choice(draws.uniform(Stream.ALLOCATION_SIZE, n_blocks, world.strata[stratum]), len(sizes))]
    luck = draws.uniform(Stream.ALLOCATION_ORDER, n_blocks * width, world.strata[stratum])
    luck = luck.reshape(n_blocks, width, -1).transpose(2, 0, 1).copy()  # (R, blocks, places)
    outside = np.arange(width) >= chosen.T[:, :, None]
    luck[outside] = 2.0
    arms = _template(world, width)[np.argsort(luck, axis=2, kind="stable")]
    lists = np.empty((length, luck.shape[0]), dtype=np.int8)
    for replicate in range(luck.shape[0]):
        lists[:, replicate] = arms[replicate][~outside[replicate]][:length]
    return lists


def _choice(uniform: Floats, n: int) -> NDArray[np.int64]:
    return (uniform * n).astype(np.int64)


def _template(world: World, width: int) -> Codes:
    """Arms of an ordered block, the ratio repeated: any multiple of its sum from the start is in ratio."""
    ratio = [world.design.allocation.ratio[arm] for arm in world.arms]
    once = np.repeat(np.arange(len(ratio), dtype=np.int8), ratio)
    return np.tile(once, width // len(once))
