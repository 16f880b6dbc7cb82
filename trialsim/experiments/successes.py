"""Whether replicates of any design succeed, by a decision of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.block import batches
from trialsim.design.parts import Design
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import decide
from trialsim.experiments.executors import Crew, Lost
from trialsim.experiments.runner import Task, run_batch, world_of

AT_ONCE = 64
"""Replicates of one piece of work where several workers share it: whole blocks."""


@dataclass(frozen=True)
class Successes:
    """Whether each replicate succeeded, (R,): 1, 0, or NaN where a fit failed; and how many were randomized."""

    success: NDArray[np.float64]
    n_randomized: NDArray[np.float64]


@dataclass(frozen=True)
class _Piece:
    """Some replicates of a design (as JSON) and the decision that judges them."""

    document: str
    decision: str
    seed: int
    first: int
    n_replicates: int


def successes(hands: Crew, design: Design, decision: str, *, seed: int, first: int, replicates: int) -> Successes:
    """Replicates first ... of a design, judged. The numbers do not depend on the crew.

    ResultsError if a replicate fails altogether or kills its workers.
    """
    document = design.model_dump_json()
    cut = [piece for start, n in batches(design, first, replicates) for piece in _pieces(start, n, hands.workers)]
    tasks = [_Piece(document, decision, seed, low, n) for low, n in cut]
    found: dict[int, Successes] = {}
    for piece, part in hands.results(_judged, tasks):
        if isinstance(part, Lost):
            raise ResultsError(f"{part.reason} (perhaps out of memory). Try fewer --workers.")
        found[piece.first] = part
    parts = [found[low] for low, _ in cut]
    return Successes(
        np.concatenate([part.success for part in parts]), np.concatenate([part.n_randomized for part in parts])
    )


def _pieces(first: int, n: int, workers: int) -> list[tuple[int, int]]:
    """A batch in pieces of whole blocks, so that all workers have something to do."""
    if workers == 1:
        return [(first, n)]
    starts = range(first - first % AT_ONCE, first + n, AT_ONCE)
    edges = [(max(start, first), min(start + AT_ONCE, first + n)) for start in starts]
    return [(low, high - low) for low, high in edges]


def _judged(piece: _Piece) -> Successes:
    world = world_of(piece.document)
    batch = run_batch(world, Task(piece.seed, "vector"), piece.first, piece.n_replicates)
    if batch.failures:
        failure = batch.failures[0]
        raise ResultsError(f"replicate {failure.replicate} failed in {failure.stage}: {failure.error}.")
    assert batch.estimates is not None
    return Successes(decide(world.design, piece.decision, batch.estimates).success, batch.measures["randomized/all"])
