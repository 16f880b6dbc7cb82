#!/usr/bin/env python
"""How fast are the engines? Everything is measured in one run, interleaved, and reported as medians and ratios.

    python scripts/benchmark.py [--quick]

Times depend on the machine and its other work; compare the ratios. One process, one linear-algebra thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import simpy

from trialsim.analysis.plan import analyse_block
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.records import table
from trialsim.simulate import Block, batches, simulate_block
from trialsim.world.world import World

TABLES = ("funnel", "participants", "sessions", "observations", "resources", "truth")


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def block_of(world: World, engine: str, first: int, n: int) -> Block:
    return simulate_block(world, seed=1, first=first, n_replicates=n, engine=engine)  # type: ignore[arg-type]


def with_tables(block: Block, *, events: bool) -> None:
    for name in (*TABLES, "events") if events else TABLES:
        table(block, name)


def bare_simpy(n_events: int) -> Callable[[], None]:
    """The floor of the process engine: as many timeouts as the trial has events, and nothing else."""

    def loop() -> None:
        env = simpy.Environment()

        def process() -> object:
            for _ in range(20):
                yield env.timeout(1)

        for _ in range(n_events // 20):
            env.process(process())
        env.run()

    return loop


def bare_draws(n_values: int) -> Callable[[], None]:
    """The floor of the vector engine: drawing as many uniforms and normals."""
    generator = np.random.Generator(np.random.PCG64(1))
    return lambda: (generator.random(n_values), generator.standard_normal(n_values)) and None


def measure(design: Design, rounds: int) -> dict[str, float]:
    """Median seconds per replicate of each kind of work; rounds interleave them."""
    world = World(design)
    n = batches(design, 0, 10_000)[0][1]
    seconds: dict[str, list[float]] = {}

    def note(name: str, work: Callable[[], object], replicates: int) -> None:
        seconds.setdefault(name, []).append(timed(work) / replicates)

    block_of(world, "vector", 0, n)
    n_events = len(block_of(world, "process", 0, 1).events(0))
    for r in range(rounds):
        blocks: list[Block] = []
        note("vector: data", lambda: blocks.append(block_of(world, "vector", r * n, n)), n)
        note("vector: analysis", lambda: analyse_block(blocks[-1]), n)
        note("vector: tables", lambda: with_tables(blocks[-1], events=False), n)
        note("vector: event list", lambda: table(blocks[-1], "events"), n)
        note("process: data", lambda: blocks.append(block_of(world, "process", r, 1)), 1)
        note("process: analysis", lambda: analyse_block(blocks[-1]), 1)
        note("process: tables and events", lambda: with_tables(blocks[-1], events=True), 1)
        note("bare SimPy loop, as many events", bare_simpy(n_events), 1)
        note("bare draws, 100 per participant", bare_draws(50 * design.sample_size), 1)
    return {name: statistics.median(values) for name, values in seconds.items()} | {"events": n_events}


def report(label: str, found: dict[str, float]) -> None:
    data, process = found["vector: data"], found["process: data"]
    tables, full = data + found["vector: tables"], process + found["process: tables and events"]
    analysed = data + found["vector: analysis"]
    print(f"\n{label}: {found['events']:.0f} events per replicate")
    for name, value in found.items():
        if name != "events":
            print(f"  {name:<34} {1000 * value:9.3f} ms per replicate {1 / value:10.1f} per second")
    print(f"  ratio vector : process, data only           {process / data:7.1f}")
    print(f"  ratio vector : process, with full tables    {full / tables:7.1f}")
    everything = full / (tables + found["vector: event list"])
    print(f"  ratio vector : process, event list too      {everything:7.1f}")
    print(f"  ratio vector : process, with analysis       {(process + found['process: analysis']) / analysed:7.1f}")
    print(f"  process engine : bare SimPy loop            {process / found['bare SimPy loop, as many events']:7.1f}")
    print(f"  vector, data and analysis                   {1 / analysed:7.1f} replicates per second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 2 if parser.parse_args().quick else 7
    print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, SimPy {simpy.__version__}; medians of {rounds} rounds")
    for n in (300, 2331):
        report(f"RESOLVE, N = {n}", measure(read_design("resolve", overrides=[f"sample_size={n}"]), rounds))


if __name__ == "__main__":
    main()
