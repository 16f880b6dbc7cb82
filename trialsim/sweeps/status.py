"""How far a sweep is, from its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trialsim.sweeps.board import Board
from trialsim.sweeps.store import Plan, Store


@dataclass(frozen=True)
class Status:
    """Of a sweep's folder: replicates done and wanted (as far as is known), failed ones, blocks set aside."""

    name: str
    folder: str
    plan: Plan
    n_points: int
    points_done: int
    done: int
    wanted: int
    n_failed: int
    set_aside: list[dict[str, Any]]
    largest_mcse: float
    worst_point: str
    n_bytes: int
    n_files: int
    running: bool


def status(store: Store) -> Status:
    """Raises ResultsError for a damaged or foreign file."""
    board = Board(store)
    done, wanted = board.totals()
    error, point = board.largest_mcse()
    files = [path for path in (store.folder / "data").rglob("*.parquet") if not path.name.startswith(".")]
    return Status(
        name=store.name,
        folder=str(store.folder),
        plan=store.plan,
        n_points=board.n_points,
        points_done=board.points_done(),
        done=done,
        wanted=wanted,
        n_failed=board.n_failed,
        set_aside=store.set_aside(),
        largest_mcse=error,
        worst_point=f"{point}: {store.labels[point]}" if point >= 0 else "",
        n_bytes=sum(path.stat().st_size for path in files),
        n_files=len(files),
        running=store.is_running(),
    )
