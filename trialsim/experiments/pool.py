"""Successes of one question at many design values: worker processes that stay, whatever design comes next."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from trialsim.block import batches
from trialsim.design.parts import Design
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import decide
from trialsim.experiments.runner import Task, interrupts_later, run_batch
from trialsim.experiments.threads import one_thread_per_worker
from trialsim.world.world import World

AT_ONCE = 64
"""Replicates of one task: whole blocks."""
Piece = tuple[str, str, int, int, int]
"""Design as JSON, name of the decision, seed, first replicate and their number."""
Found = tuple[NDArray[np.float64], NDArray[np.float64]]
"""As in `Outcomes`."""


@dataclass(frozen=True)
class Outcomes:
    """Whether each replicate succeeded, (R,): 1, 0, or NaN where a fit failed; and how many were randomized."""

    success: NDArray[np.float64]
    n_randomized: NDArray[np.float64]


class Pool:
    """Runs replicates of designs and says whether a decision of theirs succeeds. A context manager."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        if self.workers > 1:
            one_thread_per_worker()
            self._executor = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_leave_interrupts
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def run(self, design: Design, decision: str, *, seed: int, first: int, replicates: int) -> Outcomes:
        """Replicates first ... of a design. The numbers do not depend on the workers.

        ResultsError if a replicate fails altogether or a worker process dies.
        """
        document = design.model_dump_json()
        cut = [piece for start, n in batches(design, first, replicates) for piece in _pieces(start, n, self.workers)]
        tasks = [(document, decision, seed, low, n) for low, n in cut]
        try:
            parts = list(self._started(tasks))
        except BrokenExecutor as error:
            raise ResultsError("a worker process died (perhaps out of memory). Try fewer --workers.") from error
        return Outcomes(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _started(self, tasks: list[Piece]) -> Iterable[Found]:
        if self._executor is None:
            return map(_work, tasks)
        with interrupts_later():  # workers start here
            return self._executor.map(_work, tasks)


def _pieces(first: int, n: int, workers: int) -> list[tuple[int, int]]:
    """A batch in pieces of whole blocks, so that all workers have something to do."""
    if workers == 1:
        return [(first, n)]
    starts = range(first - first % AT_ONCE, first + n, AT_ONCE)
    edges = [(max(start, first), min(start + AT_ONCE, first + n)) for start in starts]
    return [(low, high - low) for low, high in edges]


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=8)
def _world(document: str) -> World:
    return World(Design.model_validate_json(document))


def _work(piece: Piece) -> Found:
    document, decision, seed, first, n = piece
    world = _world(document)
    batch = run_batch(world, Task(seed, "vector"), first, n)
    if batch.failures:
        failure = batch.failures[0]
        raise ResultsError(f"replicate {failure.replicate} failed in {failure.stage}: {failure.error}.")
    assert batch.estimates is not None
    return decide(world.design, decision, batch.estimates).success, batch.measures["randomized/all"]
