"""Sweeps as they are run: rate, efficiency of two workers, share of other work, memory, bytes.

Time by the clock. What two independent processes reach side by side is the ceiling of what two workers can: on shared
cores it is well below twice the rate of one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import active_children

from benchmark_common import Effort, Spread, bytes_of, interleaved, lines, peak_mb, stored

from trialsim.experiments.executors import crew
from trialsim.experiments.processes import Processes
from trialsim.sweeps.drive import Ending, drive
from trialsim.sweeps.file import read_sweep
from trialsim.sweeps.sweep import Sweep
from trialsim.sweeps.work import Errand, work

AIM_EFFICIENCY, AIM_OUTSIDE, AIM_MEMORY = 0.9, 10.0, 600


def part_of(sweep: Sweep, points: slice, replicates: int) -> Sweep:
    """Some of its points, with so many replicates."""
    chosen = tuple(replace(point, number=number) for number, point in enumerate(sweep.points[points]))
    return replace(sweep, points=chosen, replicates=replicates)


# --- one, two, and two apart ------------------------------------------------------------------------------------------


def alone(sweep: Sweep) -> tuple[float, float, float]:
    """When it began and ended (by the clock that processes share), and its seconds of simulation and analysis."""
    with stored(sweep) as store:
        began = time.time()
        with crew("serial", 1) as hands:
            ending = drive(store, hands)
        return began, time.time(), ending.busy_seconds


def rate_alone(hands: Executor, parts: list[Sweep]) -> tuple[float, float]:
    """Replicates per second of sweeps in processes of their own, at the same time; and the share outside (%)."""
    running = [hands.submit(alone, part) for part in parts]
    spans = [future.result() for future in running]
    wall = max(end for _, end, _ in spans) - min(begin for begin, _, _ in spans)
    n = sum(len(part.points) * part.replicates for part in parts)
    return n / wall, 100 * (1 - sum(busy for *_, busy in spans) / sum(end - begin for begin, end, _ in spans))


@dataclass(frozen=True)
class Together:
    """A sweep with workers: seconds until they had started and done something (imports, first use), seconds of the
    sweep itself and of its simulation and analysis, what workers and files took."""

    n: int
    workers: int
    start: float
    wall: float
    busy: float
    worker_mb: float
    n_bytes: int
    n_files: int

    @property
    def rate(self) -> float:
        """Replicates per second, workers running."""
        return self.n / self.wall

    def outside(self, *, with_start: bool = False) -> float:
        """Share of the workers' time that was neither simulation, measures nor analysis [%]."""
        return 100 * (1 - self.busy / (self.workers * (self.wall + with_start * self.start)))


def together(sweep: Sweep, workers: int) -> Together:
    """A sweep as `trialsim sweep --workers` runs it."""
    with stored(sweep) as store:
        started = time.perf_counter()
        with crew("processes", workers) as hands:
            with stored(part_of(sweep, slice(0, workers), 16)) as other:
                drive(other, hands)
            ready = time.perf_counter()
            ending: Ending = drive(store, hands)
            wall = time.perf_counter() - ready
            memory = max(peak_mb(child.pid) for child in active_children())
        assert ending.whole, ending
        n_bytes, n_files = bytes_of(store.folder)
    return Together(ending.n_new, workers, ready - started, wall, ending.busy_seconds, memory, n_bytes, n_files)


def efficiency(sweep: Sweep, effort: Effort) -> None:
    """One process, two workers, two processes apart: interleaved."""
    half = len(sweep.points) // 2
    halves = [part_of(sweep, slice(0, half), sweep.replicates), part_of(sweep, slice(half, None), sweep.replicates)]
    outside: list[float] = []
    pairs: list[Together] = []

    def one(_: int) -> float:
        rate, share = rate_alone(hands, [sweep])
        outside.append(share)
        return rate

    def two(_: int) -> float:
        pairs.append(together(sweep, 2))
        return pairs[-1].rate

    with warm_processes(sweep) as hands:
        rates = interleaved(
            {"one": one, "two": two, "apart": lambda _: rate_alone(hands, halves)[0]}, rounds=effort.rounds
        )
    report_efficiency(rates, outside, pairs)


@contextmanager
def warm_processes(sweep: Sweep) -> Iterator[Executor]:
    """Two processes that have run something."""
    hands = Processes(2)
    try:
        rate_alone(hands, [part_of(sweep, slice(0, 2), 16)] * 2)
        yield hands
    finally:
        hands.shutdown(cancel_futures=True)


def report_efficiency(rates: dict[str, Spread], outside: list[float], pairs: list[Together]) -> None:
    """Rates, efficiency and its ceiling, share outside, start, memory, bytes."""
    last = pairs[-1]
    two, one, apart = (rates[name].values for name in ("two", "one", "apart"))
    reached = Spread(tuple(b / (2 * a) for a, b in zip(one, two, strict=True)))
    ceiling = Spread(tuple(b / (2 * a) for a, b in zip(one, apart, strict=True)))
    whole = Spread(tuple(pair.outside() for pair in pairs))
    with_start = Spread(tuple(pair.outside(with_start=True) for pair in pairs))
    lines(
        [
            ("replicates/s, one process", rates["one"].shown(), ""),
            ("replicates/s, two workers", rates["two"].shown(), ""),
            ("replicates/s, two processes apart", rates["apart"].shown(), ""),
            ("efficiency of two workers", reached.shown(".2f"), f"aim {AIM_EFFICIENCY:g}"),
            ("its ceiling: two processes apart", ceiling.shown(".2f"), ""),
            ("of the ceiling", Spread(tuple(b / a for a, b in zip(apart, two, strict=True))).shown(".2f"), ""),
            ("outside simulation and analysis, one process, %", Spread(tuple(outside)).shown(".1f"), ""),
            ("the same, two workers, %", whole.shown(".1f"), f"aim {AIM_OUTSIDE:g}"),
            ("the same with the start of workers, %", with_start.shown(".1f"), ""),
            ("start and first use of two workers, s", Spread(tuple(pair.start for pair in pairs)).shown(".2f"), ""),
            ("largest memory of a worker, MB", f"{max(p.worker_mb for p in pairs):.0f}", f"aim {AIM_MEMORY}"),
            ("bytes per replicate, files", f"{last.n_bytes / last.n:,.0f}, {last.n_files}", ""),
        ]
    )


def memory(sweep: Sweep, effort: Effort) -> None:
    """Largest memory of a worker by number of replicates and of points: it should be flat."""
    shapes = [(2, 8)] if effort.quick else [(10, 50), (10, 200), (10, 800), (100, 50), (100, 200), (1, 4_000)]
    print("\nLargest memory of a worker by the size of the sweep (two workers)")
    rows = [("design points x replicates", "MB", "bytes per replicate", "files", "replicates/s")]
    for points, replicates in shapes:
        found = together(part_of(sweep, slice(0, points), replicates), 2)
        rows.append(
            (
                f"{points} x {replicates}",
                f"{found.worker_mb:.0f}",
                f"{found.n_bytes / found.n:,.0f}",
                f"{found.n_files}",
                f"{found.rate:,.0f}",
            )
        )
    lines(rows)


def errands(kind: str, workers: int, n: int) -> float:
    """Seconds of sending an errand without work and getting its answer, many of them one after the other."""
    with crew(kind, workers) as hands:  # type: ignore[arg-type]
        nothing = Errand("", (), ())
        list(hands.results(work, [nothing] * workers))
        started = time.perf_counter()
        list(hands.results(work, [nothing] * n))
        return (time.perf_counter() - started) / n


def reading(source: str) -> tuple[Sweep, float]:
    """The sweep, and seconds of reading and checking each of its points."""
    started = time.perf_counter()
    sweep = read_sweep(source)
    return sweep, (time.perf_counter() - started) / len(sweep.points)


def sweep(effort: Effort) -> None:
    """configs/sweeps/benchmark.yaml."""
    full, each = reading("benchmark")
    small = part_of(full, slice(0, 4), 16) if effort.quick else full
    print(
        f"\nSweep of {len(small.points)} design points x {small.replicates} replicates, by the clock (range of rounds)"
    )
    efficiency(small, effort)
    memory(full, effort)
    n = 20 if effort.quick else 1_000
    print(f"\n  reading and checking a design point: {1000 * each:.1f} ms")
    print(f"  an errand without work: {1e6 * errands('processes', 2, n):.0f} us")
    if not effort.quick:
        with stored(full) as store:
            size = (store.folder / "design_points.parquet").stat().st_size
        print(f"  design_points.parquet: {size / len(full.points):,.0f} bytes a point")
        if _has_dask():
            print(f"  the same through Dask (a cluster of its own, two workers): {1e3 * errands('dask', 2, n):.2f} ms")


def _has_dask() -> bool:
    try:
        import distributed  # noqa: F401
    except ImportError:
        return False
    return True
