"""What a sweep will cost, from a few replicates of a few of its design points."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.block import batches
from trialsim.experiments.precision import needed_of
from trialsim.experiments.result_tables import ALWAYS
from trialsim.sweeps.store import replicates_per_file
from trialsim.sweeps.sweep import DesignPoint, Sweep
from trialsim.sweeps.whole_files import parquet_bytes
from trialsim.sweeps.work import simulated
from trialsim.world.streams import BLOCK
from trialsim.world.world import World

TRIED = 5
"""Design points that are tried, from the smallest trial to the largest."""


@dataclass(frozen=True)
class Forecast:
    """Of a whole sweep: replicates (at most, where there is a target), seconds on one core, bytes and files."""

    replicates: int
    seconds: float
    n_bytes: float
    n_files: int
    tried: tuple[int, ...]
    """Numbers of the design points that were tried."""


def forecast(sweep: Sweep) -> Forecast:
    """Try some replicates, and go by sample size for the rest: time and bytes are nearly straight lines of it."""
    sizes = np.array([point.design.sample_size for point in sweep.points], dtype=float)
    order = np.argsort(sizes, kind="stable")
    tried = sorted({int(order[i]) for i in np.linspace(0, len(order) - 1, TRIED).round().astype(int)})
    tried.sort(key=lambda number: sizes[number])
    seconds, slopes, bases = zip(*(_trial(sweep, sweep.points[number]) for number in tried), strict=True)
    at = sizes[tried]
    per_file = np.array(
        [replicates_per_file(point.design, with_participants=bool(sweep.tables)) for point in sweep.points]
    )
    n = _most(sweep, per_file)
    files = np.ceil(n / per_file)
    n_tables = len(ALWAYS) + len(sweep.tables)
    return Forecast(
        replicates=int(n.sum()),
        seconds=float((n * np.interp(sizes, at, seconds)).sum()),
        n_bytes=float((n * np.interp(sizes, at, slopes) + files * np.interp(sizes, at, bases)).sum()),
        n_files=int(files.sum()) * n_tables,
        tried=tuple(tried),
    )


def _most(sweep: Sweep, per_file: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replicates of each point: with a target whole files with as many as the least certain chance would need."""
    if sweep.target_mcse is None:
        return np.full(len(per_file), sweep.replicates)
    need = needed_of([(1.0, 2)], sweep.target_mcse)
    return np.minimum(sweep.replicates, -(-need // per_file) * per_file)


def _trial(sweep: Sweep, point: DesignPoint) -> tuple[float, float, float]:
    """Seconds and bytes of a replicate, and bytes of the files of a block whatever it holds."""
    world = World(point.design)
    simulated(
        world, point.seed, point.number, sweep.tables, 0, 1
    )  # what is loaded and made at first use is not counted
    n = max(BLOCK, min(batches(point.design, 0, 10_000)[0][1], -(-sweep.replicates // BLOCK) * BLOCK))
    started = time.perf_counter()
    _, many = simulated(world, point.seed, point.number, sweep.tables, 0, n)
    seconds = (time.perf_counter() - started) / n
    _, few = simulated(world, point.seed, point.number, sweep.tables, 0, BLOCK // 2)
    sizes = [sum(len(parquet_bytes(table, {})) for table in tables.values()) for tables in (few, many)]
    slope = (sizes[1] - sizes[0]) / (n - BLOCK // 2)
    return seconds, slope, max(0.0, sizes[0] - slope * BLOCK / 2)
