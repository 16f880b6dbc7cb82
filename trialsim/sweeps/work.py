"""What a worker does: some blocks of replicates, each written to its files before the next is begun."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trialsim.block import Block, batches
from trialsim.design.parts import Design
from trialsim.experiments.precision import chances_of
from trialsim.experiments.result_tables import ALWAYS, result_tables
from trialsim.experiments.runner import Batch, Task, join_batches, run_batch, world_of
from trialsim.records import table
from trialsim.sweeps.store import Span, block_path
from trialsim.sweeps.whole_files import facts_of, parquet_bytes, write_whole
from trialsim.tables import DESIGN_POINT
from trialsim.world.world import World

Counts = list[list[int]]
"""For each chance of a design (see `chances_of`) how often it came true and in how many replicates that is known."""


@dataclass(frozen=True)
class Piece:
    """One block of a design point, or the rest of one. `design` is JSON; `facts` go into the files' metadata."""

    span: Span
    design: str
    seed: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class Errand:
    """What a worker is sent to do: pieces for about a second's work, written below `folder`."""

    folder: str
    tables: tuple[str, ...]
    pieces: tuple[Piece, ...]

    def __str__(self) -> str:
        return "; ".join(str(piece.span) for piece in self.pieces)


@dataclass(frozen=True)
class Done:
    """A piece that is on disk."""

    span: Span
    counts: Counts
    """Of the whole block, from its first replicate on."""
    n_failed: int
    """Also of the whole block."""
    seconds: float


def work(errand: Errand) -> list[Done]:
    """Run an errand. Raises OSError where its files cannot be written."""
    return [_run(Path(errand.folder), errand.tables, piece) for piece in errand.pieces]


def simulated(
    world: World, seed: int, point: int, kept: tuple[str, ...], first: int, n_replicates: int
) -> tuple[Batch, dict[str, pa.Table]]:
    """Replicates of a design point, and their tables: estimates, measures, replicates, and those of `kept`."""
    keeper, task = _Keeper(kept, point), Task(seed, "vector")
    parts = [
        run_batch(world, task, low, n, also=keeper if kept else None)
        for low, n in batches(world.design, first, n_replicates)
    ]
    whole = join_batches(parts)
    return whole, keeper.tables() | result_tables(whole, design_point=point)


def _run(folder: Path, kept: tuple[str, ...], piece: Piece) -> Done:
    world, span = world_of(piece.design), _to_run(folder, piece.span)
    whole, tables = simulated(world, piece.seed, span.point, kept, span.first, span.n)
    earlier = _earlier_facts(folder, span)
    counts = _add(earlier["counts"], _counts(world.design, whole))
    n_failed = earlier["failed"] + len(whole.failures)
    names = sorted({*earlier["tables"], *tables})
    facts = piece.facts | {"counts": counts, "failed": n_failed, "tables": names}
    for name in [*(name for name in tables if name != "replicates"), "replicates"]:  # the last one says: done
        path = block_path(folder, name, span.point, span.block)
        content = parquet_bytes(_after_earlier(path, span, tables[name]), facts, numbers_repeat=name not in ALWAYS)
        write_whole(path, content)
    return Done(piece.span, counts, n_failed, whole.seconds)


def _to_run(folder: Path, span: Span) -> Span:
    """The span; or its whole block, where a worker wrote it already and died before it could say so."""
    if span.is_rest and _earlier_facts(folder, span)["stop"] != span.first:
        return replace(span, first=span.first - span.offset, offset=0)
    return span


@dataclass
class _Keeper:
    """Collects the participant-level tables of each batch."""

    names: tuple[str, ...]
    point: int
    parts: list[dict[str, pa.Table]] = field(default_factory=list)

    def __call__(self, block: Block) -> None:
        self.parts.append({name: _with_point(table(block, name), self.point) for name in self.names})

    def tables(self) -> dict[str, pa.Table]:
        """All that was collected, one table each."""
        return {name: _joined([part[name] for part in self.parts]) for name in self.names if self.parts}


def _with_point(arrow: pa.Table, point: int) -> pa.Table:
    column = pa.field(
        DESIGN_POINT.name, pa.int32(), metadata={"meaning": DESIGN_POINT.meaning, "unit": DESIGN_POINT.unit}
    )
    return arrow.add_column(0, column, pa.array(np.full(len(arrow), point, dtype=np.int32)))


def _joined(parts: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks() if len(parts) > 1 else parts[0]


def _after_earlier(path: Path, span: Span, new: pa.Table) -> pa.Table:
    """The block's earlier replicates, if it has any, and the new ones: as if all had been run at once."""
    old = _earlier(path, span)
    if old is None:
        return new
    both = _joined([old.replace_schema_metadata(new.schema.metadata), new])
    if "measure" not in both.schema.names or "value" not in both.schema.names:
        return both
    codes = both["measure"].chunk(0).indices.to_numpy()  # measure after measure, as in result_tables
    return both.take(pa.array(np.argsort(codes, kind="stable"))).combine_chunks()


def _earlier(path: Path, span: Span) -> pa.Table | None:
    """What a block's file holds of replicates before the span (a killed process may have left later ones)."""
    if not span.is_rest or not path.exists():
        return None
    old = pq.ParquetFile(path).read()
    before = old["replicate"].to_numpy() < span.first
    return old.filter(pa.array(before)) if not before.all() else old


def _counts(design: Design, whole: Batch) -> Counts:
    if whole.estimates is None:
        return []
    hits = np.array(chances_of(design, whole.estimates)).reshape(-1, whole.estimates.n_replicates)
    return np.stack([np.nansum(hits, axis=1), (~np.isnan(hits)).sum(axis=1)], axis=1).astype(int).tolist()


def _earlier_facts(folder: Path, span: Span) -> dict[str, Any]:
    if not span.is_rest:
        return {"counts": [], "failed": 0, "tables": []}
    return facts_of(block_path(folder, "replicates", span.point, span.block))


def _add(first: Counts, second: Counts) -> Counts:
    """Sums; one of them may be empty where every replicate failed."""
    if not first or not second:
        return first or second
    return [[a + c, b + d] for (a, b), (c, d) in zip(first, second, strict=True)]
