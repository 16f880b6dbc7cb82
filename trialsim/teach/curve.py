"""Power against the number of participants, from one simulation of the largest trial cut after its first n.

So the whole curve costs little more than its last point, and moves smoothly: all points share their luck. Where a trial
cannot be cut (`cut.can_be_cut`) every size is simulated by itself, with the same luck, and there are fewer points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import Estimates, concatenate, concatenate_labels
from trialsim.analysis.plan import analyse_block, estimate
from trialsim.block import Block, simulate_block
from trialsim.design.analysis_checks import FILLED_IN
from trialsim.design.parts import Design
from trialsim.experiments.decisions import decide
from trialsim.experiments.measures import Measures, measure
from trialsim.experiments.performance import proportion_with_error
from trialsim.teach.cut import can_be_cut, cut_block, cut_data
from trialsim.teach.primary import Idle, idle_of, lean, primary_of
from trialsim.world.observation import ObservedData
from trialsim.world.world import World

Floats = NDArray[np.float64]

FINE = (0.2, 0.4, 0.6, 0.8, 1.0, 1.25)
"""Sizes as parts of the design's own."""
SPARSE = (0.25, 0.5, 0.75, 1.0, 1.4)
"""The same where each size costs much: analyses that go replicate by replicate."""
COARSE = (0.4, 0.7, 1.0, 1.4)
"""The same where each size is simulated by itself."""
QUICK = ("linear", "modified_poisson")
"""Kinds of analysis that are worked out for all replicates at once, if nothing is put in place of missing values."""
MOST = 200_000
WITH_TRUTH = 128
"""Replicates in which true values are worked out: they hardly differ from one to the next."""
TRUTHS = ("truth", "truth_first", "truth_second")


@dataclass(frozen=True)
class Sized:
    """A design at the sizes of its curve."""

    design: Design
    sizes: tuple[int, ...]
    is_cut: bool

    @cached_property
    def world(self) -> World:
        """That of the largest size."""
        return World(self._of(max(self.sizes)))

    def _of(self, n: int) -> Design:
        return self.design.model_copy(update={"sample_size": n})

    def world_of(self, n: int) -> World:
        """The same at another size; what it has worked out is shared, for nothing in a world depends on its size."""
        if n == max(self.sizes):
            return self.world
        world = copy.copy(self.world)
        world.design = self._of(n)
        return world


def sized(design: Design, *, idle: Idle | None = None) -> Sized:
    """The design with what power needs alone, at the sizes of its curve. `idle` is what it does not need, if known."""
    own, is_cut = lean(design, idle or idle_of(design)), can_be_cut(design)
    parts = COARSE if not is_cut else FINE if all(map(_is_quick, own.analyses.values())) else SPARSE
    n, least = design.sample_size, 4 * len(design.arms)
    sizes = {min(max(round(part * n), least), MOST) for part in parts if part != 1.0}
    if primary_of(own).decision is None:
        sizes = set()
    return Sized(own, tuple(sorted(sizes | {n})), is_cut)


def _is_quick(analysis: Any) -> bool:
    return analysis.kind in QUICK and analysis.missing.kind not in FILLED_IN


@dataclass(frozen=True)
class Part:
    """What some replicates say. S sizes, L lines of power, R replicates.

    `hits` is 1 where a line's hypothesis is rejected in favour of its first arm (of the last line, if there are several
    hypotheses, where the trial succeeds), 0 where not, NaN where a fit failed; None where there is no decision.
    """

    hits: Floats | None  # (S, L, R)
    measures: Measures
    estimates: Estimates | None

    @property
    def n_replicates(self) -> int:
        """R."""
        return len(self.measures["randomized/all"])


def part_of(design: Sized, *, seed: int, first: int, n: int) -> Part:
    """Replicates first ... first + n - 1 of the curve; measures and estimates are those of the design's own size."""
    own = design.design.sample_size
    primary = primary_of(design.design)
    block = _simulated(design, max(design.sizes), seed, first, n) if design.is_cut else None
    block_of_own = _at(design, own, block, seed, first, n)
    estimates = _with_truth(design, block_of_own)
    if primary.decision is None:
        return Part(None, measure(block_of_own), estimates)
    of_sizes = [estimates if size == own else _estimated(design, size, block, seed, first, n) for size in design.sizes]
    return Part(_hits(design, primary.decision, of_sizes), measure(block_of_own), estimates)


def _simulated(design: Sized, size: int, seed: int, first: int, n: int) -> Block:
    return simulate_block(design.world_of(size), seed=seed, first=first, n_replicates=n)


def _at(design: Sized, size: int, block: Block | None, seed: int, first: int, n: int) -> Block:
    """The trial of a size, cut from a larger one if there is one."""
    if block is None or size == len(block.plan.cohort.valid):
        return block or _simulated(design, size, seed, first, n)
    return cut_block(block, design.world_of(size))


def _with_truth(design: Sized, block: Block) -> Estimates:
    """The analyses at the design's own size, with the truth in the first replicates beside."""
    if block.first >= WITH_TRUTH:
        return _analysed(block.world.design, block.observed, block)
    estimates = analyse_block(block)
    known = (estimates.replicate < WITH_TRUTH)[:, None]
    columns: dict[str, Any] = {name: np.where(known, getattr(estimates, name), np.nan) for name in TRUTHS}
    return replace(estimates, **columns)


def _estimated(design: Sized, size: int, block: Block | None, seed: int, first: int, n: int) -> Estimates:
    """The analyses at a size, without the truth beside."""
    small = design.world_of(size).design
    if block is not None:
        return _analysed(small, cut_data(block.observed, size), block)
    alone = _simulated(design, size, seed, first, n)
    return _analysed(small, alone.observed, alone)


def _analysed(design: Design, data: ObservedData, block: Block) -> Estimates:
    replicate = np.arange(block.first, block.first + block.n_replicates, dtype=np.int32)
    parts = [estimate(design, name, data, replicate, block.draws) for name in design.analyses]
    return concatenate_labels(parts, replicate)


def _hits(design: Sized, decision: str, of_sizes: list[Estimates]) -> Floats:
    """(S, L, R), of all sizes at once."""
    decided = decide(design.design, decision, concatenate(of_sizes))
    lines = decided.favourable.T
    if len(lines) > 1:
        lines = np.concatenate([lines, decided.success[None]])
    return lines.reshape(len(lines), len(of_sizes), -1).swapaxes(0, 1)


# --- put together -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """Power at one size: value, Monte Carlo error, 95 % band, and the replicates that it rests on."""

    n: int
    power: float
    mcse: float
    low: float
    high: float
    n_replicates: int


def points(design: Sized, hits: Floats) -> list[list[Point]]:
    """Of each line of power (S, L, R) its points, size by size.

    As `trialsim power --skip-failed` has it: replicates in which a fit that the decision needs failed are left out.
    """
    n_lines = hits.shape[1]
    n_hypotheses = n_lines - 1 if n_lines > 1 else n_lines
    known = np.logical_not(np.isnan(hits[:, :n_hypotheses]).any(axis=1))  # (S, R)
    kept = [hits[s][:, known[s]] for s in range(len(design.sizes))]
    return [[_point(n, own[line]) for n, own in zip(design.sizes, kept, strict=True)] for line in range(n_lines)]


def _point(size: int, hits: Floats) -> Point:
    power, mcse, n = proportion_with_error(hits)
    low, high = band(power, n)
    return Point(size, power, mcse, low, high, n)


Z = 1.959963984540054


def band(share: float, n: int) -> tuple[float, float]:
    """95 % limits of a share of n replicates (Wilson 1927, doi:10.1080/01621459.1927.10502953); NaN of none."""
    if not n:
        return math.nan, math.nan
    centre, spread = share + Z**2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = ((centre + side * spread) / (1 + Z**2 / n) for side in (-1, 1))
    return (0.0 if share == 0 else max(0.0, low)), (1.0 if share == 1 else min(1.0, high))


def joined_hits(parts: Sequence[Part]) -> Floats | None:
    """Of all replicates, (S, L, R)."""
    found = [part.hits for part in parts if part.hits is not None]
    return np.concatenate(found, axis=2) if found else None


def joined_measures(parts: Sequence[Part]) -> Measures:
    """Of all replicates; only what every part has."""
    names = [name for name in parts[0].measures if all(name in part.measures for part in parts)]
    return {name: np.concatenate([part.measures[name] for part in parts]) for name in names}


def only(measures: Measures, names: Iterator[str]) -> Measures:
    """Some of the measures, as far as they are there."""
    return {name: measures[name] for name in names if name in measures}
