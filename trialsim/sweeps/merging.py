"""Shards, or copies that grew apart, put together into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trialsim.errors import ResultsError
from trialsim.sweeps.folders import alone_in, writing
from trialsim.sweeps.store import POINTS, TEXT, Plan, Store, differences, may_begin
from trialsim.sweeps.whole_files import write_whole


def merge(folders: Sequence[Path], out: Path, *, command: str) -> Store:
    """All blocks of some folders of one sweep in `out`, a new folder or one of the same sweep.

    Where several hold a block the longest is taken. Raises ResultsError, before anything is written, where the sweeps
    differ (design points, seed, tables, version), where two folders disagree about a block, where one is damaged, and
    where one is being run.
    """
    there = None if may_begin(out) else Store.open(out)
    sources = [Store.open(folder) for folder in folders if there is None or folder.resolve() != out.resolve()]
    everyone = [there, *sources] if there is not None else sources
    _refuse_different(everyone)
    _refuse_running(sources)
    _ = [store.point_rows for store in everyone]  # refuses what is missing or damaged
    chosen = _chosen(everyone)
    target = there or _begun(sources, out)
    with target.locked():
        target.replan(_plan(everyone), command=command)
        with writing(out):
            for place, (_, store) in sorted(chosen.items(), key=lambda item: item[0]):
                if store is not there:
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


def _refuse_running(stores: Sequence[Store]) -> None:
    for store in stores:
        if store.is_running():
            raise ResultsError(f"{store.folder}: is being run. Merge it when that has ended. Nothing was written.")


def _chosen(stores: Sequence[Store]) -> dict[tuple[int, int], tuple[int, Store]]:
    """For each block where it stops and the folder that holds most of it; blocks of equal length must be equal."""
    best: dict[tuple[int, int], tuple[int, Store]] = {}
    for store in stores:
        for place, facts in store.done().items():
            if not store.is_whole(*place, facts):
                continue
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


def _plan(stores: Sequence[Store]) -> Plan:
    """The most that any of them wants."""
    plans = [store.plan for store in stores]
    targets = [plan.target_mcse for plan in plans if plan.target_mcse is not None]
    return Plan(max(plan.replicates for plan in plans), min(targets, default=None))


def _begun(sources: Sequence[Store], out: Path) -> Store:
    """A new folder of the same sweep, without blocks."""
    first = sources[0]
    manifest = {**first.manifest, "plan": _plan(sources).as_json()}
    manifest["commands"] = [row for store in sources for row in store.manifest["commands"]]
    files = {name: path.read_bytes() for name in (TEXT, POINTS) if (path := first.folder / name).exists()}
    with alone_in(out):
        return Store.begin(out, manifest, files)


def _copy(source: Store, target: Store, point: int, block: int) -> None:
    for table in [*(name for name in source.key["tables"] if name != "replicates"), "replicates"]:
        path = source.path(table, point, block)
        if path.exists():
            write_whole(target.path(table, point, block), path.read_bytes())
