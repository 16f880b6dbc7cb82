"""Many replicates: batches, worker processes, progress; a replicate that fails becomes a row."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import Estimates, concatenate
from trialsim.analysis.plan import analyse_block
from trialsim.block import Block, EngineName, batches, simulate_block
from trialsim.design.parts import Design
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.measures import Measures, measure
from trialsim.experiments.threads import one_thread_per_worker
from trialsim.experiments.trialfiles import write_trials
from trialsim.world.world import World

Progress = Callable[[int, int], None]
Arriving = Generator[tuple[int, "Batch"], None, None]


@dataclass(frozen=True)
class Failure:
    """A replicate that could not be finished."""

    replicate: int
    stage: str
    error: str


@dataclass
class Batch:
    """Results of consecutive replicates, without participants."""

    replicates: NDArray[np.int32]
    measures: Measures
    estimates: Estimates | None
    digests: list[str]
    seconds: float
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Experiment:
    """Many replicates of one design, in order of replicate; failed ones are only in `failures`."""

    design: Design
    seed: int
    engine: EngineName
    replicates: NDArray[np.int32]
    measures: Measures
    estimates: Estimates | None
    digests: list[str]
    seconds: NDArray[np.float64]
    failures: list[Failure]


@dataclass(frozen=True)
class Task:
    """How batches are run: what is the same for all of them. `keep` is a folder for participant-level tables."""

    seed: int
    engine: EngineName
    keep: Path | None = None


def run_batch(world: World, task: Task, first: int, n_replicates: int) -> Batch:
    """Simulate, measure and analyse some replicates; those that raise are tried alone and become failures."""
    started = time.perf_counter()
    stage = "simulation"
    try:
        block = simulate_block(world, seed=task.seed, first=first, n_replicates=n_replicates, engine=task.engine)
        stage = "measures"
        measures = measure(block)
        stage = "analysis"
        estimates = analyse_block(block)
        digests = [digest_of(block, column) for column in range(n_replicates)]
        stage = "tables"
        if task.keep is not None:
            write_trials(task.keep, block)
    except (OSError, TrialsimError):  # nowhere to write to, an estimator that is not there: not this replicate's fault
        raise
    except Exception as error:  # noqa: BLE001 - whatever a replicate raises is a row of the results, not a crash
        if n_replicates == 1:
            failure = Failure(first, stage, f"{type(error).__name__}: {error}")
            return Batch(np.empty(0, dtype=np.int32), {}, None, [], time.perf_counter() - started, [failure])
        return join_batches([run_batch(world, task, one, 1) for one in range(first, first + n_replicates)])
    replicates = np.arange(first, first + n_replicates, dtype=np.int32)
    return Batch(replicates, measures, estimates, digests, time.perf_counter() - started)


def join_batches(parts: list[Batch]) -> Batch:
    """Batches as one, in the order given."""
    good = [part for part in parts if len(part.replicates)]
    estimates = [part.estimates for part in good if part.estimates is not None]
    names = list(good[0].measures) if good else []
    return Batch(
        replicates=np.concatenate([np.empty(0, dtype=np.int32), *(part.replicates for part in good)]),
        measures={name: np.concatenate([part.measures[name] for part in good]) for name in names},
        estimates=concatenate(estimates) if estimates else None,
        digests=[digest for part in good for digest in part.digests],
        seconds=sum(part.seconds for part in parts),
        failures=[failure for part in parts for failure in part.failures],
    )


def digest_of(block: Block, column: int) -> str:
    """sha256 of a replicate's histories and realised outcomes, first 16 hex digits."""
    h, f = block.histories, block.follow
    state = hashlib.sha256()
    for values in (h.randomized_day, h.arm, h.n_sessions, h.ended_day, f.observed_day, block.outcomes.realised):
        state.update(np.ascontiguousarray(values[..., column]).tobytes())
    return state.hexdigest()[:16]


def run(
    design: Design,
    *,
    seed: int = 1,
    replicates: int = 1,
    first: int = 0,
    engine: EngineName = "vector",
    workers: int = 1,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Run replicates first ... first + replicates - 1 of a design.

    The numbers do not depend on `workers`. `keep` is a folder that takes the participant-level tables. `progress(done,
    total)` is called after each batch. Raises ResultsError if a worker process dies; KeyboardInterrupt goes through
    after the workers have been stopped.
    """
    cut = batches(design, first, replicates)
    task, done = Task(seed, engine, keep), 0
    finished: dict[int, Batch] = {}
    with closing(_batches_done(design, task, cut, workers)) as arriving:
        for index, batch in arriving:
            finished[index] = batch
            done += cut[index][1]
            if progress is not None:
                progress(done, replicates)
    parts = [finished[index] for index in range(len(cut))]
    whole = join_batches(parts)
    return Experiment(
        design=design,
        seed=seed,
        engine=engine,
        replicates=whole.replicates,
        measures=whole.measures,
        estimates=whole.estimates,
        digests=whole.digests,
        seconds=np.concatenate([np.full(len(b.replicates), b.seconds / max(1, len(b.replicates))) for b in parts]),
        failures=whole.failures,
    )


def _batches_done(design: Design, task: Task, cut: list[tuple[int, int]], workers: int) -> Arriving:
    if workers <= 1 or len(cut) == 1:
        world = World(design)
        for index, (first, n) in enumerate(cut):
            yield index, run_batch(world, task, first, n)
        return
    yield from _in_workers(design, task, cut, min(workers, len(cut)))


def _in_workers(design: Design, task: Task, cut: list[tuple[int, int]], workers: int) -> Arriving:
    """Batches from spawned processes, as they finish; few are under way at once, so memory stays flat."""
    one_thread_per_worker()
    document = design.model_dump_json()
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare, initargs=(document, stop))
    waiting: dict[Future[Batch], int] = {}
    todo = iter(enumerate(cut))
    try:
        while True:
            for index, (first, n) in todo:
                with interrupts_later():
                    waiting[pool.submit(_work, task, first, n)] = index
                if len(waiting) >= 2 * workers:
                    break
            if not waiting:
                return
            ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                yield waiting.pop(future), future.result()
    except BrokenExecutor as error:
        raise ResultsError("a worker process died (perhaps out of memory). Try fewer --workers.") from error
    finally:
        stop.set()  # what is still in the queue is not begun (workers are not killed: they may hold the queue's lock)
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Ctrl-C waits. A worker started meanwhile never sees it: it would die of it while it is still importing."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _Desk:
    """What a worker keeps from batch to batch."""

    world: World
    stop: Event


_DESK: list[_Desk] = []


def _prepare(document: str, stop: Event) -> None:
    """In a worker: read the design once, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _DESK[:] = [_Desk(World(Design.model_validate_json(document)), stop)]


def _work(task: Task, first: int, n_replicates: int) -> Batch:
    (desk,) = _DESK
    return join_batches([]) if desk.stop.is_set() else run_batch(desk.world, task, first, n_replicates)
