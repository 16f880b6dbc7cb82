"""Many replicates: batches, worker processes, progress; a replicate that fails becomes a row."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import Estimates, concatenate
from trialsim.analysis.plan import analyse_block
from trialsim.block import Block, EngineName, batches, simulate_block
from trialsim.design.parts import Design
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.executors import Crew, Lost, local_crew
from trialsim.experiments.measures import Measures, measure
from trialsim.experiments.trialfiles import write_trials
from trialsim.world.world import World

Progress = Callable[[int, int], None]
Also = Callable[[Block], None]


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

    def _repr_html_(self) -> str:
        from trialsim.experiments.cards import experiment_card

        return experiment_card(self)


@dataclass(frozen=True)
class Task:
    """How batches are run: what is the same for all of them."""

    seed: int
    engine: EngineName


@lru_cache(maxsize=8)
def world_of(document: str) -> World:
    """The world of a design given as JSON. Kept, so that a worker makes it once for many batches."""
    return World(Design.model_validate_json(document))


def run_batch(world: World, task: Task, first: int, n_replicates: int, also: Also | None = None) -> Batch:
    """Simulate, measure and analyse some replicates; those that raise are tried alone and become failures.

    `also` is called with the block when all else is done, and again with each replicate's own where one of them raises.
    """
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
        if also is not None:
            also(block)
    except (OSError, TrialsimError):  # nowhere to write to, an estimator that is not there: not this replicate's fault
        raise
    except Exception as error:  # noqa: BLE001 - whatever a replicate raises is a row of the results, not a crash
        if n_replicates == 1:
            failure = Failure(first, stage, f"{type(error).__name__}: {error}")
            return Batch(np.empty(0, dtype=np.int32), {}, None, [], time.perf_counter() - started, [failure])
        alone = join_batches([run_batch(world, task, one, 1, also) for one in range(first, first + n_replicates)])
        if not alone.failures:  # a fault of trialsim that nobody would see otherwise: only time is lost
            told = f"replicates {first} to {first + n_replicates - 1} raised in {stage} together but not alone"
            warnings.warn(f"{told} ({type(error).__name__}: {error}); results are whole", RuntimeWarning, stacklevel=2)
        return alone
    replicates = np.arange(first, first + n_replicates, dtype=np.int32)
    return Batch(replicates, measures, estimates, digests, time.perf_counter() - started)


def join_batches(parts: list[Batch]) -> Batch:
    """Batches as one, in the order given."""
    good = [part for part in parts if len(part.replicates)]
    estimates = [part.estimates for part in good if part.estimates is not None]
    return Batch(
        replicates=np.concatenate([np.empty(0, dtype=np.int32), *(part.replicates for part in good)]),
        measures=_joined([part.measures for part in good]) if good else {},
        estimates=concatenate(estimates) if estimates else None,
        digests=[digest for part in good for digest in part.digests],
        seconds=sum(part.seconds for part in parts),
        failures=[failure for part in parts for failure in part.failures],
    )


def _joined(parts: list[Measures]) -> Measures:
    """All measures at once: one by one takes longer."""
    names = list(parts[0])
    rows = np.concatenate([np.array([part[name] for name in names]) for part in parts], axis=1)
    return dict(zip(names, rows, strict=True))


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
    total)` is called after each batch. Raises ResultsError if replicates kill every worker that has them;
    KeyboardInterrupt goes through after the workers have been stopped.
    """
    n_batches = len(batches(design, first, replicates))
    with local_crew(min(workers, n_batches)) as hands:
        return run_with(
            hands, design, seed=seed, replicates=replicates, first=first, engine=engine, keep=keep, progress=progress
        )


def run_with(
    hands: Crew,
    design: Design,
    *,
    seed: int,
    replicates: int,
    first: int = 0,
    engine: EngineName = "vector",
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """The same with workers that are there already: for who runs many designs."""
    document, task = design.model_dump_json(), Task(seed, engine)
    pieces = [_Piece(document, task, low, n, keep) for low, n in batches(design, first, replicates)]
    finished: dict[int, Batch] = {}
    done = 0
    with closing(hands.results(_work, pieces)) as arriving:
        for piece, batch in arriving:
            if isinstance(batch, Lost):
                raise ResultsError(_lost(piece, batch.reason))
            finished[piece.first] = batch
            done += piece.n_replicates
            if progress is not None:
                progress(done, replicates)
    parts = [finished[piece.first] for piece in pieces]
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


@dataclass(frozen=True)
class _Piece:
    """A batch as it is sent to a worker."""

    document: str
    task: Task
    first: int
    n_replicates: int
    keep: Path | None


def _work(piece: _Piece) -> Batch:
    also = None if piece.keep is None else partial(write_trials, piece.keep)
    return run_batch(world_of(piece.document), piece.task, piece.first, piece.n_replicates, also)


def _lost(piece: _Piece, reason: str) -> str:
    last = piece.first + piece.n_replicates - 1
    return f"replicates {piece.first} to {last}: {reason} (perhaps out of memory). Try fewer --workers."
