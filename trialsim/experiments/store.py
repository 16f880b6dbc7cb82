"""Results on disk: Parquet tables, the resolved design and a manifest, all or nothing."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trialsim import __version__
from trialsim.design.reader import digest, resolved_yaml
from trialsim.errors import ResultsError
from trialsim.experiments.performance import Performance
from trialsim.experiments.performance import columns as performance_columns
from trialsim.experiments.result_tables import result_tables
from trialsim.experiments.runner import Experiment
from trialsim.experiments.trialfiles import write_table
from trialsim.records import to_arrow
from trialsim.tables import SCHEMA_VERSION, SCHEMAS
from trialsim.world.streams import BLOCK


def run_digest(experiment_key: dict[str, Any]) -> str:
    """First 12 hex digits of the sha256 of what makes a run what it is."""
    return hashlib.sha256(json.dumps(experiment_key, sort_keys=True).encode()).hexdigest()[:12]


def run_key(design: Any, seed: int, first: int, replicates: int | str, engine: str) -> dict[str, Any]:
    """What makes a run what it is: the same key gives the same data. `replicates`: how many, or the target MCSE."""
    return {
        "design": digest(design),
        "seed": str(seed),
        "first": first,
        "replicates": replicates,
        "engine": engine,
        "model": __version__,
        "block": BLOCK,
    }


def default_folder(name: str, key: dict[str, Any]) -> Path:
    """results/<name>-<date>-<digest>, below the current folder."""
    return Path("results") / f"{name}-{dt.date.today().isoformat()}-{run_digest(key)}"


@contextlib.contextmanager
def new_folder(target: Path, key: dict[str, Any]) -> Iterator[Path]:
    """A hidden folder beside `target` to write into; it takes target's place when all went well, else it is removed.

    Raises ResultsError if the place cannot be written to, or holds something other than an earlier run with the same
    key. Checks this before anything runs.
    """
    draft = target.parent / f".{target.name}.{os.getpid()}.draft"
    try:
        _refuse_occupied(target, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
    except OSError as error:
        raise ResultsError(
            f"{target}: results cannot be written here ({_cause(error)}). Choose another --out."
        ) from error
    try:
        yield draft
        _take_place(draft, target)
    except OSError as error:
        raise ResultsError(f"{target}: writing the results failed ({_cause(error)}). Nothing was kept.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _cause(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file is in the way"
    return (error.strerror or str(error)).lower()


def _refuse_occupied(target: Path, key: dict[str, Any]) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        old = dict(json.loads((target / "manifest.json").read_text("utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ResultsError(f"{target}: there is something else already. Choose another --out.") from None
    if old != key:
        raise ResultsError(
            f"{target}: holds results of another run (seed {old.get('seed')}, replicates: {old.get('replicates')}, "
            f"design {old.get('design')}). Choose another --out, or remove it."
        )


def _take_place(draft: Path, target: Path) -> None:
    for path in sorted(draft.rglob("*")):
        if path.is_file():
            _sync(path)
    old = draft.with_suffix(".old")
    if target.exists():
        os.replace(target, old)
    os.replace(draft, target)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_experiment(folder: Path, experiment: Experiment, rows: Sequence[Performance]) -> None:
    """Estimates, measures, replicates and performance."""
    tables = result_tables(experiment)
    if rows:
        tables["performance"] = to_arrow(SCHEMAS["performance"], performance_columns(list(rows)))
    for name, arrow in tables.items():
        write_table(folder / "data", arrow, name)


def write_manifest(folder: Path, design: Any, key: dict[str, Any], command: str, seconds: float) -> None:
    """The resolved design and a manifest: where the results come from and what the files are."""
    (folder / "design.yaml").write_text(resolved_yaml(design), encoding="utf-8")
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "key": key,
        "command": command,
        "versions": {
            "trialsim": __version__,
            "schema": SCHEMA_VERSION,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pyarrow": pa.__version__,
        },
        "written": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
