"""The folder of a sweep: its identity and plan, its design points, and the blocks of replicates that are done."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trialsim import __version__
from trialsim.design.parts import Design
from trialsim.errors import ResultsError
from trialsim.experiments.result_tables import ALWAYS
from trialsim.sweeps.folders import LOCK, MANIFEST, alone_in, refuse_inside_results, somebody_in, writing
from trialsim.sweeps.point_rows import points_table
from trialsim.sweeps.sweep import Sweep
from trialsim.sweeps.whole_files import HIDDEN, facts_of, parquet_bytes, remove_unfinished, write_json, write_whole
from trialsim.tables import SCHEMA_VERSION
from trialsim.world.streams import BLOCK

POINTS, SET_ASIDE = "design_points.parquet", "set_aside.json"
TEXT = "sweep.yaml"
PARTICIPANTS_PER_FILE = {False: 600_000, True: 100_000}
"""Participants simulated for one file, without and with participant-level tables: about a second of work."""
MOST_WITH_TARGET = 100_000
"""Replicates of a design point at most where only a target is given."""
MOST_PER_FILE = 64
"""Blocks of BLOCK replicates in one file at most."""


@dataclass(frozen=True)
class Plan:
    """How many replicates of each design point are wanted; `shard` is this folder's part of them, (3, 100)."""

    replicates: int
    target_mcse: float | None = None
    shard: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "replicates": self.replicates,
            "target_mcse": self.target_mcse,
            "shard": list(self.shard) if self.shard else None,
        }


@dataclass(frozen=True, order=True)
class Span:
    """Replicates first ... stop - 1 of a design point, which lie in one file, `offset` after its first."""

    point: int
    block: int
    first: int
    stop: int
    offset: int = 0

    @property
    def n(self) -> int:
        """Number of replicates."""
        return self.stop - self.first

    @property
    def is_rest(self) -> bool:
        """Whether earlier replicates of the block are on disk already."""
        return self.offset > 0

    def __str__(self) -> str:
        return f"design point {self.point}, replicates {self.first} to {self.stop - 1}"


def key_of(sweep: Sweep) -> dict[str, Any]:
    """What makes a sweep what it is: folders with the same key hold, or will hold, the same numbers."""
    points = hashlib.sha256()
    for point in sweep.points:
        points.update(f"{point.digest} {point.seed}\n".encode())
    return {
        "points": points.hexdigest()[:16],
        "n_points": len(sweep.points),
        "seed": str(sweep.seed),
        "common_random_numbers": sweep.common_random_numbers,
        "tables": [*ALWAYS, *sweep.tables],
        "model": __version__,
        "schema": SCHEMA_VERSION,
        "block": BLOCK,
    }


_WHAT = {
    "points": "design points",
    "n_points": "number of design points",
    "seed": "seed",
    "common_random_numbers": "common random numbers",
    "tables": "tables that are kept",
    "model": "version of trialsim",
    "schema": "version of the tables",
    "block": "replicates that share a generator",
}


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """In which respects two keys differ, in words."""
    return "; ".join(
        f"{words}: {old.get(name)} there, {new.get(name)} here"
        for name, words in _WHAT.items()
        if old.get(name) != new.get(name)
    )


def block_path(folder: Path, table: str, point: int, block: int) -> Path:
    """Where a table of a block lies in a sweep's folder."""
    return folder / "data" / table / f"point={point:05d}" / f"block-{block:05d}.parquet"


def replicates_per_file(design: Design, *, with_participants: bool) -> int:
    """Whole blocks; fixed by the design alone, so that files do not depend on who wrote them."""
    blocks = PARTICIPANTS_PER_FILE[with_participants] // (design.sample_size * BLOCK)
    return BLOCK * min(MOST_PER_FILE, max(1, blocks))


class Store:
    """A sweep's folder."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest

    @classmethod
    def create(cls, folder: Path, sweep: Sweep, *, command: str, shard: tuple[int, int] | None = None) -> Store:
        """A new folder for a sweep, or the one that is there if it holds the same sweep and wants no less of it.

        Raises ResultsError if the folder cannot be written to, or holds anything else.
        """
        key, plan = key_of(sweep), Plan(sweep.replicates, sweep.target_mcse, shard)
        per_file = [replicates_per_file(point.design, with_participants=bool(sweep.tables)) for point in sweep.points]
        points = parquet_bytes(points_table(sweep.points, per_file), {"key": key})
        if not may_begin(folder):
            store = cls._same(folder, key, plan)
            if not (folder / POINTS).exists():  # somebody moved a damaged one away
                with writing(folder):
                    write_whole(folder / POINTS, points)
            return store
        refuse_inside_results(folder)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        manifest = {
            "key": key,
            "plan": plan.as_json(),
            "name": sweep.name,
            "versions": versions(),
            "commands": [{"command": command, "started": now}],
        }
        with alone_in(folder):
            if may_begin(folder):  # nobody was faster
                return cls.begin(folder, manifest, {TEXT: sweep.text.encode(), POINTS: points})
        return cls._same(folder, key, plan)

    @classmethod
    def begin(cls, folder: Path, manifest: dict[str, Any], files: Mapping[str, bytes]) -> Store:
        """Write a folder; the manifest comes last, so that there is a whole sweep or none."""
        with writing(folder):
            for name, content in files.items():
                write_whole(folder / name, content)
            write_json(folder / MANIFEST, manifest)
        return cls(folder, manifest)

    @classmethod
    def _same(cls, folder: Path, key: dict[str, Any], plan: Plan) -> Store:
        try:
            store = cls.open(folder)
        except ResultsError:
            raise ResultsError(f"{folder}: there is something else already. Choose another --out.") from None
        if store.key != key:
            raise ResultsError(
                f"{folder}: holds another sweep ({differences(store.key, key)}). Choose another --out, or remove it."
            )
        old = store.plan
        if old.shard != plan.shard:
            raise ResultsError(f"{folder}: holds {_shard_words(old.shard)}, not {_shard_words(plan.shard)}.")
        if plan.replicates > old.replicates or (plan.target_mcse or 1.0) < (old.target_mcse or 1.0):
            more = f"--replicates {plan.replicates}"
            more += f" --target-mcse {plan.target_mcse:g}" if plan.target_mcse is not None else ""
            raise ResultsError(
                f"{folder}: holds this sweep, planned with less. Add to it with: trialsim grow {folder} {more}"
            )
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The sweep in a folder. Raises ResultsError if there is none."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
            if "plan" not in manifest:
                raise ResultsError(f"{folder}: holds a single run, not a sweep.")
            store = cls(folder, manifest)
            _ = store.plan, store.name, store.tables, store.manifest["commands"]
        except FileNotFoundError:
            what = "there is no sweep in it" if folder.is_dir() else "no such folder"
            raise ResultsError(f"{folder}: {what} (a sweep's folder has a {MANIFEST}).") from None
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise ResultsError(
                f"{folder / MANIFEST}: cannot be read, or is no manifest of a sweep ({error}). Nothing was changed."
            ) from None
        return store

    @property
    def key(self) -> dict[str, Any]:
        """See `key_of`."""
        return dict(self.manifest["key"])

    @property
    def plan(self) -> Plan:
        """What is wanted."""
        given = self.manifest["plan"]
        shard = given.get("shard")
        return Plan(given["replicates"], given.get("target_mcse"), (shard[0], shard[1]) if shard else None)

    @property
    def name(self) -> str:
        """The sweep's name."""
        return str(self.manifest["name"])

    @property
    def tables(self) -> tuple[str, ...]:
        """Participant-level tables that are kept."""
        return tuple(name for name in self.key["tables"] if name not in ALWAYS)

    def check_versions(self) -> None:
        """Refuse to add to what another version simulated: the numbers could not be mixed."""
        now = {"model": __version__, "schema": SCHEMA_VERSION, "block": BLOCK}
        if any(self.key.get(name) != value for name, value in now.items()):
            raise ResultsError(
                f"{self.folder}: was begun by another version ({differences(self.key, {**self.key, **now})}). "
                "Its numbers cannot be mixed with new ones: run the sweep anew, or with that version."
            )

    def replan(self, plan: Plan, *, command: str) -> None:
        """Note a command, and what is wanted from now on."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        commands = [*self.manifest["commands"], {"command": command, "started": now}]
        self.manifest = {**self.manifest, "plan": plan.as_json(), "commands": commands}
        with writing(self.folder):
            write_json(self.folder / MANIFEST, self.manifest)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile; unfinished files are removed before, and those of dead workers after."""
        with alone_in(self.folder):
            with writing(self.folder):
                remove_unfinished(self.folder)
            yield
            with writing(self.folder):
                remove_unfinished(self.folder)

    def is_running(self) -> bool:
        """Whether a process is at work in the folder."""
        return somebody_in(self.folder)

    # --- design points ------------------------------------------------------------------------------------------------

    @cached_property
    def point_rows(self) -> pa.Table:
        """The table of design points."""
        path = self.folder / POINTS
        try:
            if facts_of(path)["key"] == self.key:
                return pq.read_table(path)
            fault = "belongs to another sweep"
        except (ResultsError, KeyError):
            fault = "is damaged, or not written by a sweep of trialsim" if path.exists() else "is missing"
        raise ResultsError(
            f"{path}: {fault}. Nothing was changed. Move it away, and have it written again: "
            f"trialsim sweep FILE --out {self.folder}"
        )

    @cached_property
    def seeds(self) -> list[int]:
        """Seed of each design point."""
        return [int(seed) for seed in self.point_rows["seed"].to_pylist()]

    @cached_property
    def labels(self) -> list[str]:
        """What distinguishes each design point."""
        return [str(label) for label in self.point_rows["label"].to_pylist()]

    @cached_property
    def documents(self) -> list[str]:
        """Each design point's design, as JSON (which can be saved as a .yaml file and run)."""
        return [str(text) for text in self.point_rows["design"].to_pylist()]

    def design(self, point: int) -> Design:
        """The design of a point."""
        return Design.model_validate_json(self.documents[point])

    def per_file(self, point: int) -> int:
        """Replicates of a full file of a point."""
        return self._per_file[point]

    @cached_property
    def _per_file(self) -> list[int]:
        return [int(n) for n in self.point_rows["replicates_per_file"].to_pylist()]

    # --- blocks -------------------------------------------------------------------------------------------------------

    def path(self, table: str, point: int, block: int) -> Path:
        """Where a table of a block lies."""
        return block_path(self.folder, table, point, block)

    def done(self) -> dict[tuple[int, int], dict[str, Any]]:
        """For each (point, block) that was finished what its files say: `stop`, the replicate before which it ends,
        `counts` (see `trialsim.sweeps.work`) and `failed`, the number of its replicates that failed.

        Looks into every file of `replicates`. ResultsError for a file that is damaged or belongs elsewhere.
        """
        found = {}
        for path in sorted((self.folder / "data").glob("replicates/*/*")):
            if path.name.startswith("."):
                continue
            facts = facts_of(path)
            place = (int(facts.get("point", -1)), int(facts.get("block", -1)))
            if facts.get("key") != self.key or path != self.path("replicates", *place):
                raise ResultsError(
                    f"{path}: belongs to another sweep or place. Nothing was changed. Move it out of the folder."
                )
            found[place] = facts
        return found

    def is_whole(self, point: int, block: int, facts: dict[str, Any]) -> bool:
        """Whether all tables of a finished block are there. ResultsError if one is damaged or belongs elsewhere."""
        for path in (self.path(name, point, block) for name in facts["tables"] if name != "replicates"):
            if not path.exists():
                return False
            said = facts_of(path)
            if any(said.get(name) != facts[name] for name in ("key", "point", "block")) or said["stop"] < facts["stop"]:
                raise ResultsError(
                    f"{path}: belongs to another sweep or place. Nothing was changed. Move it out of the folder."
                )
        return True

    def facts(self, span: Span) -> dict[str, Any]:
        """What a block's files say of themselves."""
        return {"key": self.key, "point": span.point, "block": span.block, "stop": span.stop}

    # --- blocks that kill their worker --------------------------------------------------------------------------------

    def set_aside(self) -> list[dict[str, Any]]:
        """Blocks that could not be run, and why."""
        try:
            return list(json.loads((self.folder / SET_ASIDE).read_text("utf-8")))
        except FileNotFoundError:
            return []

    def note_set_aside(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep the list; none: no file."""
        if rows:
            write_json(self.folder / SET_ASIDE, list(rows))
        else:
            (self.folder / SET_ASIDE).unlink(missing_ok=True)


def _shard_words(shard: tuple[int, int] | None) -> str:
    return f"shard {shard[0]}/{shard[1]} of this sweep" if shard else "the whole sweep"


def may_begin(folder: Path) -> bool:
    """Whether a sweep may begin in a folder: it holds nothing, or what one left that was killed before its manifest."""
    with writing(folder):
        if not folder.exists():
            return True
        names = (
            {path.name for path in folder.iterdir() if not path.name.startswith(HIDDEN)} if folder.is_dir() else {""}
        )
    return not names or (LOCK in names and names <= {LOCK, TEXT, POINTS})


def default_folder(sweep: Sweep, shard: tuple[int, int] | None) -> Path:
    """results/<name>-<key>, the same whenever the sweep is run; a shard has a folder of its own in it."""
    folder = Path("results") / f"{sweep.name}-{key_of(sweep)['points'][:8]}"
    return folder / f"shard-{shard[0]}-of-{shard[1]}" if shard else folder


def grown(store: Store, replicates: int | None, target_mcse: float | None) -> Plan:
    """A store's plan with more replicates. ResultsError for fewer, or for a larger error than before."""
    old = store.plan
    if target_mcse is None:
        if replicates is not None and replicates < old.replicates:
            raise ResultsError(
                f"{store.folder}: has {old.replicates} replicates planned already (given: {replicates})."
            )
        return Plan(replicates or old.replicates, old.target_mcse, old.shard)
    if old.target_mcse is not None and target_mcse > old.target_mcse:
        raise ResultsError(
            f"{store.folder}: has a target of {old.target_mcse:g} already, and can only grow (given: {target_mcse:g})."
        )
    if old.target_mcse is None and old.shard is not None:
        raise ResultsError(f"{store.folder}: a shard of a sweep without target cannot get one. Merge the shards first.")
    most = replicates or (old.replicates if old.target_mcse is not None else MOST_WITH_TARGET)
    return Plan(most, target_mcse, old.shard)


def versions() -> dict[str, str]:
    """Versions of what makes the numbers and the files."""
    return {
        "trialsim": __version__,
        "schema": SCHEMA_VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }
