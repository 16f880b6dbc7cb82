"""Small sweeps on disk for tests: a few designs, a few replicates, written as a sweep writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from designs import coached, score, usual
from designs import design as make_design

from trialsim.design.parts import Design
from trialsim.design.reader import digest
from trialsim.sweeps.store import Span, Store
from trialsim.sweeps.sweep import DesignPoint, Sweep
from trialsim.sweeps.work import Errand, Piece, work

MAIN = {"kind": "linear", "outcome": "pain"}
COSTS = {"coach_hour": 50.0, "assessment": 10.0}


def small_design(**changes: Any) -> Design:
    """Two arms, one visit, a linear analysis, something to pay for."""
    parts: dict[str, Any] = {
        "sample_size": 40,
        "arms": {"coach": coached(arm={"effects": {"pain": {"by_visit": {"m3": -1.0}}}}), "usual": usual()},
        "analyses": {"main": MAIN},
        "costs": COSTS,
        "outcomes": {"pain": score(change_sd=1.5)},
        "visits": {"m3": {"day": 91, "label": "3 months"}},
    }
    return make_design(**(parts | changes))


def point_of(number: int, design: Design, values: dict[str, Any], *, seed: int = 1) -> DesignPoint:
    """A design point."""
    return DesignPoint(number, values, design, digest(design), seed)


def sweep_of(points: Sequence[DesignPoint], *, replicates: int = 48, tables: tuple[str, ...] = ()) -> Sweep:
    """A sweep of these points."""
    shared = len({point.seed for point in points}) == 1
    return Sweep("small", tuple(points), replicates, None, 1, shared, tables, "name: small\n")


def sizes_and_rates(*, crn: bool = True, sizes: Sequence[int] = (40, 80)) -> list[DesignPoint]:
    """Sample sizes by recruitment rates: 40 and 80 people, 30 and 60 a month."""
    points = []
    for size in sizes:
        for rate in (30.0, 60.0):
            values = {"sample_size": size, "recruitment.sites.north.rate_per_month": rate}
            design = small_design(sample_size=size, recruitment={"sites": {"north": {"rate_per_month": rate}}})
            points.append(point_of(len(points), design, values, seed=1 if crn else 100 + len(points)))
    return points


def write_sweep(folder: Path, sweep: Sweep, *, done: Sequence[tuple[int, int]] | None = None) -> Store:
    """Run a sweep into a folder; `done` are the (point, block) that are finished (default: all)."""
    store = Store.create(folder, sweep, command="trialsim sweep small.yaml")
    for point in sweep.points:
        size = store.per_file(point.number)
        for block, first in enumerate(range(0, sweep.replicates, size)):
            if done is None or (point.number, block) in done:
                run_block(store, Span(point.number, block, first, min(first + size, sweep.replicates)))
    return store


def run_block(store: Store, span: Span) -> None:
    """Run one block of a sweep and write it."""
    piece = Piece(span, store.documents[span.point], store.seeds[span.point], store.facts(span))
    work(Errand(str(store.folder), store.tables, (piece,)))
