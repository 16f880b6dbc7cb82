"""What does a replicate of each scenario cost, stage by stage, and beside RESOLVE's?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from benchmark_common import Effort, lines, with_size

from trialsim.analysis.plan import analyse_block
from trialsim.block import batches, simulate_block
from trialsim.design.library import library as scenarios
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.experiments.measures import measure
from trialsim.world.world import World

STAGES = ("simulate", "measure", "analyse")
BESIDE = "resolve"
"""The scenario that the others' time per participant is told in."""

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Processor seconds, and what came out."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def one_batch(world: World, first: int, n: int) -> list[float]:
    """Processor seconds per replicate of each stage, by the vector engine."""
    simulating, block = timed(lambda: simulate_block(world, seed=1, first=first, n_replicates=n))
    measuring, _ = timed(lambda: measure(block))
    analysing, _ = timed(lambda: analyse_block(block))
    return [seconds / n for seconds in (simulating, measuring, analysing)]


def stage_seconds(designs: Iterable[Design], effort: Effort) -> list[list[float]]:
    """For each design the median over rounds of each stage's seconds per replicate.

    The designs take turns, so that a slow moment of the machine hits all alike; a batch is what a worker takes at once.
    """
    worlds = [World(design) for design in designs]
    sizes = [effort.replicates(batches(world.design, 0, 10_000)[0][1]) for world in worlds]
    for world in worlds:
        one_batch(world, 0, 2)  # first imports, first use
    found = [
        [one_batch(world, number * n, n) for world, n in zip(worlds, sizes, strict=True)]
        for number in range(effort.rounds)
    ]
    medians: list[list[float]] = np.median(found, axis=0).tolist()
    return medians


def report(designs: dict[str, Design], seconds: list[list[float]]) -> None:
    """A row for each scenario; the last column is its time per participant, RESOLVE's being 1."""
    whole = {name: sum(stages) for name, stages in zip(designs, seconds, strict=True)}
    each = {name: whole[name] / design.sample_size for name, design in designs.items()}
    rows = [["scenario", "N", *STAGES, "together", f"per participant, {BESIDE} = 1"]]
    for (name, design), stages in zip(designs.items(), seconds, strict=True):
        times = [f"{1000 * s:.2f}" for s in (*stages, whole[name])]
        rows.append([name, f"{design.sample_size:,}", *times, f"{each[name] / each[BESIDE]:.2f}"])
    print("\nThe library, milliseconds of processor time per replicate, vector engine")
    lines(rows)


def library(effort: Effort) -> None:
    """Every scenario."""
    designs = {name: read_design(name) for name in scenarios()}
    designs = {name: with_size(design, effort.participants(design.sample_size)) for name, design in designs.items()}
    report(designs, stage_seconds(designs.values(), effort))
