"""How many replicates a second, with everything a user gets by default; and where the time goes.

"Everything" is what a worker of a sweep does: simulation, measures, digests, analysis with the truth beside, Parquet
tables that are written, synced and renamed, and the sweep's own bookkeeping. Processor time of one process.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from benchmark_common import (
    MMRM,
    Effort,
    Spread,
    bytes_of,
    interleaved,
    lines,
    processor_rate,
    resolve,
    run_here,
    stored,
    sweep_of,
    with_size,
)

from trialsim import block
from trialsim.design.library import library_dir
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.engines import process, vector
from trialsim.experiments import runner
from trialsim.sweeps import work
from trialsim.sweeps.file import read_sweep
from trialsim.sweeps.store import replicates_per_file
from trialsim.world.draws import Draws
from trialsim.world.world import World

# --- whole ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A design, how many of its replicates are run at a time (a file's worth), and the rate that is aimed at."""

    design: Design
    replicates: int
    aim: float


PLAIN = library_dir() / "sweeps" / "designs" / "plain_300.yaml"
"""Programmes as in RESOLVE, a short funnel, one outcome."""


def cases(effort: Effort) -> dict[str, Case]:
    """What the aims were set for."""
    large, small = effort.participants(2331), effort.participants(300)
    benchmark = read_sweep("benchmark")
    first = benchmark.points[0].design
    designs: list[tuple[str, Design, float]] = [
        (f"RESOLVE, N = {large}", resolve(large), 250),
        (f"RESOLVE, N = {large}, and MMRM", resolve(large, more={"mmrm": MMRM}), 100),
        (f"plain three-arm trial, N = {small}", with_size(read_design(PLAIN), small), 1500),
        (f"RESOLVE's whole funnel, N = {small}", resolve(small), 1500),
        (f"benchmark sweep, point 0, N = {small}", with_size(first, small), 1500),
    ]
    found = {
        name: Case(design, effort.replicates(replicates_per_file(design, with_participants=False)), aim)
        for name, design, aim in designs
    }
    short = effort.replicates(benchmark.replicates)
    found[f"  the same, {short} replicates a file"] = Case(with_size(first, small), short, 1500)
    return found


def rate_of(case: Case, seed: int) -> float:
    """Replicates per second of processor time of a sweep with one point."""
    with stored(sweep_of(case.design, replicates=case.replicates, seed=seed)) as store:
        return processor_rate(lambda: run_here(store), case.replicates)


def whole(effort: Effort) -> dict[str, Spread]:
    """Rates of all cases, interleaved, and beside the aims."""
    known = cases(effort)
    for case in known.values():  # what is loaded and made at first use is not counted
        rate_of(Case(case.design, 16, case.aim), seed=1_000)
    rates = interleaved({name: partial(rate_of, case) for name, case in known.items()}, effort.rounds)
    print("\nReplicates per second of processor time, one process; everything that a sweep does by default")
    rows = [("", "replicates/s (range of rounds)", "aim", "reached")]
    for name, case in known.items():
        rows.append((name, rates[name].shown(), f"{case.aim:g}", f"{rates[name].median / case.aim:.2f}"))
    lines(rows)
    return rates


# --- where ------------------------------------------------------------------------------------------------------------

STAGES: tuple[tuple[Any, str, str], ...] = (
    (block, "make_cohort", "cohort: persons, funnel, order"),
    (block, "make_plan", "plans: lists, courses"),
    (vector, "deliver", "engine, act one"),
    (process, "deliver", "engine, act one"),
    (block, "make_outcomes", "outcomes"),
    (block, "make_answers", "answers"),
    (vector, "follow_up", "engine, act two"),
    (process, "follow_up", "engine, act two"),
    (block, "observed_data", "observed data"),
    (runner, "measure", "measures"),
    (runner, "analyse_block", "analysis and truth"),
    (runner, "digest_of", "digests"),
    (work, "result_tables", "tables"),
    (work, "parquet_bytes", "Parquet"),
    (work, "write_whole", "writing"),
)
"""Module, function, and the stage that its time belongs to; time inside a named function counts for that one alone."""
DRAWING, REST = "drawing", "the rest"


class Stages:
    """Processor seconds of each stage, and how many numbers of each kind were drawn."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.drawn: Counter[str] = Counter()
        self._under_way = [REST]
        self._since = time.process_time()

    def timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The function, its time noted."""

        def measured(*given: Any, **options: Any) -> Any:
            self._turn(stage)
            try:
                return function(*given, **options)
            finally:
                self._turn(None)

        return measured

    def counted(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        """A method of Draws, its time and its numbers noted (once where one such method calls another)."""
        timed = self.timed(function, DRAWING)

        def measured(*given: Any, **options: Any) -> Any:
            if self._under_way[-1] == DRAWING:
                return function(*given, **options)
            made = timed(*given, **options)
            filled = given[1] if made is None else made
            self.drawn["normal" if options.get("normal") else kind] += getattr(filled, "size", 0)
            return made

        return measured

    def _turn(self, stage: str | None) -> None:
        """From now on it is another stage's time; None: the one before."""
        now = time.process_time()
        self.seconds[self._under_way[-1]] += now - self._since
        self._since = now
        if stage is None:
            self._under_way.pop()
        else:
            self._under_way.append(stage)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """All stages are timed meanwhile."""
        with ExitStack() as stack:
            for owner, name, stage in STAGES:
                stack.enter_context(patch.object(owner, name, self.timed(getattr(owner, name), stage)))
            for name in ("uniform", "normal", "gamma", "fill", "luck"):
                if hasattr(Draws, name):
                    kind = "uniform" if name == "fill" else name
                    stack.enter_context(patch.object(Draws, name, self.counted(getattr(Draws, name), kind)))
            self._since = time.process_time()
            yield
            self._turn(REST)


@dataclass(frozen=True)
class Found:
    """Where the time of a replicate went [s], what was drawn for it, and what it left on disk."""

    stages: Stages
    replicates: int
    rounds: Spread
    """Seconds of a replicate in each round."""
    n_bytes: int = 0

    @property
    def total(self) -> float:
        """Seconds of a replicate."""
        return sum(self.stages.seconds.values()) / self.replicates


def where_vector(design: Design, replicates: int, rounds: int) -> Found:
    """The whole of it, as a worker of a sweep."""
    stages, n_bytes, totals = Stages(), 0, list[float]()
    for number in range(rounds + 1):
        with stored(sweep_of(design, replicates=replicates if number else 16, seed=number)) as store:
            if number == 0:  # first use
                run_here(store)
                continue
            before = sum(stages.seconds.values())
            with stages.watching():
                run_here(store)
            totals.append((sum(stages.seconds.values()) - before) / replicates)
            n_bytes += bytes_of(store.folder)[0]
    return Found(stages, replicates * rounds, Spread(tuple(totals)), n_bytes)


def where_process(design: Design, replicates: int, rounds: int) -> Found:
    """Simulation, measures and analysis; the process engine is not for sweeps."""
    world, stages, totals = World(design), Stages(), list[float]()
    runner.run_batch(world, runner.Task(0, "process"), 0, 1)
    for number in range(rounds):
        before = sum(stages.seconds.values())
        with stages.watching():
            runner.run_batch(world, runner.Task(number, "process"), 0, replicates)
        totals.append((sum(stages.seconds.values()) - before) / replicates)
    return Found(stages, replicates * rounds, Spread(tuple(totals)))


def bare_draws(found: Found) -> float:
    """Processor seconds of drawing as many numbers as a replicate did, over and over into an array in the cache."""
    source, place = np.random.Generator(np.random.SFC64(1)), np.empty(8192)
    started = time.process_time()
    for kind, draw in (("uniform", source.random), ("normal", source.standard_normal), ("gamma", _gamma(source))):
        for _ in range(-(-found.stages.drawn[kind] // len(place))):
            draw(out=place)
    return (time.process_time() - started) / found.replicates


def _gamma(source: np.random.Generator) -> Callable[..., Any]:
    return lambda out: source.standard_gamma(5.0, out=out)


def bare_writing(found: Found, folder: Path) -> float:
    """Processor seconds of writing as many bytes as a replicate did, in one file, synced."""
    data = os.urandom(found.n_bytes)
    started = time.process_time()
    with (folder / "bytes").open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return (time.process_time() - started) / found.replicates


def report_where(title: str, found: Found) -> None:
    """Stages in the order of their work, and the floor."""
    print(f"\n{title}: {found.rounds.shown('.2f', 1000)} ms of processor time a replicate (range of rounds)")
    order = [DRAWING, *dict.fromkeys(stage for _, _, stage in STAGES), REST]
    rows = []
    for stage in order:
        seconds = found.stages.seconds[stage] / found.replicates
        if seconds:
            rows.append((stage, f"{1000 * seconds:.3f} ms", f"{seconds / found.total:.1%}"))
    lines(rows)
    numbers = ", ".join(f"{n / found.replicates:,.0f} {kind}s" for kind, n in found.stages.drawn.items() if n)
    floor = bare_draws(found)
    print(f"  floor: drawing {numbers}: {1000 * floor:.3f} ms; the whole is {found.total / floor:.0f} times that")


def where(effort: Effort) -> None:
    """Both engines at two sizes."""
    known = cases(effort)
    for name, case in known.items():
        if "whole funnel" in name:  # much like the benchmark sweep
            continue
        found = where_vector(case.design, case.replicates, effort.rounds)
        report_where(f"{name.strip()}, vector engine", found)
        with stored(sweep_of(case.design, replicates=1, seed=1)) as store:
            floor = bare_writing(found, store.folder)
        each = found.n_bytes / found.replicates
        print(
            f"  floor: writing {each:,.0f} bytes: {1000 * floor:.4f} ms; {1 / (bare_draws(found) + floor):,.0f}/s both"
        )
    for name in (next(iter(known)), next(name for name in known if "point 0" in name)):
        found = where_process(known[name].design, effort.replicates(16), effort.rounds)
        report_where(f"{name}, process engine", found)
