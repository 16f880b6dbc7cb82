"""Shards, or copies that grew apart, put together into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trialsim.errors import ResultsError
from trialsim.sweeps.board import Board
from trialsim.sweeps.whole_files import write_json, write_whole
from trialsim.sweeps.store import MANIFEST, POINTS, Plan, Store, writing, differences


def merge(folders: Sequence[Path], out: Path, *, command: str) -> Store:
    """All blocks of some folders of one sweep in `out`, a new folder or one of the same sweep.

    Where several hold a block the longest is taken. Raises ResultsError, before anything is written, where the sweeps
    differ (design points, seed, tables, version), where two folders disagree about a block, or where one is damaged.
    """
    stores = [Store.open(folder) for folder in folders]
    _refuse_different(stores)
    chosen = _chosen(stores)
    target = _target(stores, out, command)
    with target.locked(), writing(out):
        have = target.done()
        for place, (stop, store) in sorted(chosen.items(), key=lambda item: item[0]):
            if stop > have.get(place, {}).get("stop", 0):
                _copy(store, target, *place)
    return target


def _refuse_different(stores: Sequence[Store]) -> None:
    first = stores[0]
    for other in stores[1:]:
        if other.key != first.key:
            raise ResultsError(
                f"{other.folder}: holds another sweep than {first.folder} ({differences(first.key, other.key)}). "
                "Only parts of one sweep can be merged."
            )


def _chosen(stores: Sequence[Store]) -> dict[tuple[int, int], tuple[int, Store]]:
    """For each block where it stops and the folder that holds most of it; blocks of equal length must be equal."""
    best: dict[tuple[int, int], tuple[int, Store]] = {}
    for store in stores:
        for place, facts in store.done().items():
            stop, other = int(facts["stop"]), best.get(place)
            if other is not None and other[0] == stop:
                _refuse_unequal(store, other[1], *place)
            if other is None or stop > other[0]:
                best[place] = stop, store
    return best


def _refuse_unequal(store: Store, other: Store, point: int, block: int) -> None:
    for table in store.key["tables"]:
        mine, theirs = store.path(table, point, block), other.path(table, point, block)
        if mine.exists() != theirs.exists() or (mine.exists() and mine.read_bytes() != theirs.read_bytes()):
            raise ResultsError(
                f"{mine}: differs from {theirs}, and the same replicates should give the same bytes. Were they run "
                "with other versions of libraries? Nothing was written."
            )


def _target(stores: Sequence[Store], out: Path, command: str) -> Store:
    plans = [store.plan for store in stores]
    plan = Plan(max(plan.replicates for plan in plans), plans[0].target_mcse)
    if out.exists() and any(out.iterdir()):
        target = Store.open(out)
        _refuse_different([stores[0], target])
        target.replan(Plan(max(plan.replicates, target.plan.replicates), plan.target_mcse), command=command)
        return target
    source = stores[0]
    with writing(out):
        for name in ("sweep.yaml", POINTS):
            write_whole(out / name, (source.folder / name).read_bytes())
        manifest = {**source.manifest, "plan": plan.as_json()}
        manifest["commands"] = [row for store in stores for row in store.manifest["commands"]]
        write_json(out / MANIFEST, manifest)
    target = Store.open(out)
    target.replan(plan, command=command)
    return target


def _copy(source: Store, target: Store, point: int, block: int) -> None:
    for table in [*(name for name in source.key["tables"] if name != "replicates"), "replicates"]:
        path = source.path(table, point, block)
        if path.exists():
            write_whole(target.path(table, point, block), path.read_bytes())


def missing_after(store: Store) -> int:
    """Replicates that a merged folder still lacks."""
    done, wanted = Board(store).totals()
    return wanted - done
