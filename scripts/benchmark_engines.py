"""How fast are the two engines, beside each other and beside what they cannot do without?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import simpy
from benchmark_common import Effort

from trialsim.analysis.plan import analyse_block
from trialsim.block import Block, batches, simulate_block
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.records import table
from trialsim.world.world import World

TABLES = ("funnel", "participants", "sessions", "observations", "resources", "truth")


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

    def draw() -> None:
        generator.random(n_values)
        generator.standard_normal(n_values)

    return draw


class Stopwatch:
    """Seconds per replicate of each kind of work, several rounds of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def note(self, name: str, work: Callable[[], Block | None], replicates: int) -> Block | None:
        """Do it, note how long it took, and give back what it made."""
        started = time.perf_counter()
        made = work()
        self.seconds.setdefault(name, []).append((time.perf_counter() - started) / replicates)
        return made

    def medians(self) -> dict[str, float]:
        """Median of each kind."""
        return {name: statistics.median(values) for name, values in self.seconds.items()}


def one_round(watch: Stopwatch, world: World, start: int, n: int, floors: dict[str, Callable[[], None]]) -> None:
    """All kinds of work once, one after the other, so that a slow moment of the machine hits all alike."""
    block = watch.note("vector: data", lambda: block_of(world, "vector", start, n), n)
    watch.note("vector: analysis", lambda: (analyse_block(block), None)[1], n)
    watch.note("vector: tables", lambda: with_tables(block, events=False), n)
    watch.note("vector: event list", lambda: (table(block, "events"), None)[1], n)
    single = watch.note("process: data", lambda: block_of(world, "process", start, 1), 1)
    watch.note("process: analysis", lambda: (analyse_block(single), None)[1], 1)
    watch.note("process: tables and events", lambda: with_tables(single, events=True), 1)
    for name, floor in floors.items():
        watch.note(name, floor, 1)


def measure(design: Design, rounds: int) -> dict[str, float]:
    """Median seconds per replicate of each kind of work, and the number of events."""
    world, watch = World(design), Stopwatch()
    n = min(128, batches(design, 0, 10_000)[0][1])
    with_tables(block_of(world, "vector", 0, n), events=True)  # first imports, first use
    n_events = len(block_of(world, "process", 0, 1).events(0))
    floors = {
        "bare SimPy loop, as many events": bare_simpy(n_events),
        "bare draws, 100 per participant": bare_draws(50 * design.sample_size),
    }
    for r in range(rounds):
        one_round(watch, world, r * n, n, floors)
    return watch.medians() | {"events": n_events}


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


def engines(effort: Effort) -> None:
    """Two sizes of RESOLVE by both engines."""
    for n in (effort.participants(300), effort.participants(2331)):
        report(f"RESOLVE, N = {n}", measure(read_design("resolve", overrides=[f"sample_size={n}"]), effort.rounds))
