"""Files of results: which there are of each table, whether they are what they should be, and their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trialsim.analysis.estimates import Estimates, Label
from trialsim.errors import ResultsError
from trialsim.sweeps.store import Store
from trialsim.sweeps.whole_files import META
from trialsim.tables import SCHEMAS

_LABEL = ("analysis", "contrast", "visit", "measure", "estimand")


@dataclass(frozen=True)
class ResultFile:
    """A Parquet file; rows of replicates from `stop` on do not count (a killed process may have left some)."""

    path: Path
    stop: int | None = None
    facts: Mapping[str, Any] | None = None
    """What it must say of itself: sweep, design point and block."""


Files = dict[str, dict[int, list[ResultFile]]]
"""By table and design point, in order of replicate."""


def files_of_sweep(store: Store, done: Mapping[tuple[int, int], dict[str, Any]]) -> Files:
    """Files of the blocks that are finished."""
    files: Files = {}
    for name in store.key["tables"]:
        of_table: dict[int, list[ResultFile]] = {}
        for (point, block), facts in sorted(done.items(), key=lambda item: item[0]):
            path = store.path(name, point, block)
            if path.exists():
                said = {"key": store.key, "point": point, "block": block}
                of_table.setdefault(point, []).append(ResultFile(path, int(facts["stop"]), said))
        if of_table:
            _refuse_gap(store, name, of_table, done)
            files[name] = of_table
    return files


def _refuse_gap(
    store: Store, name: str, of_table: dict[int, list[ResultFile]], done: Mapping[tuple[int, int], dict[str, Any]]
) -> None:
    """ResultsError where a block has no file of a table though not all of its replicates failed."""
    there = {file.path for files in of_table.values() for file in files}
    for (point, block), facts in done.items():
        path = store.path(name, point, block)
        if path not in there and n_of_block(store, point, block, facts) > int(facts["failed"]):
            raise ResultsError(
                f"{path}: is missing. Remove this block's file in data/replicates too, then: "
                f"trialsim resume {store.folder}"
            )


def n_of_block(store: Store, point: int, block: int, facts: Mapping[str, Any]) -> int:
    return int(facts["stop"]) - block * store.per_file(point)


def files_of_run(folder: Path) -> Files:
    data = folder / "data"
    files: Files = {path.stem: {0: [ResultFile(path)]} for path in sorted(data.glob("[!._]*.parquet"))}
    for part in sorted(path for path in data.glob("[!._]*") if path.is_dir()):
        files[part.name] = {0: [ResultFile(path) for path in sorted(part.glob("from-*.parquet"))]}
    return {name: of_point for name, of_point in files.items() if of_point[0]}


# --- files and columns ------------------------------------------------------------------------------------------------


def read_rows(file: ResultFile, name: str, columns: list[str] | None) -> tuple[pa.Table, pa.Schema]:
    """Rows that count and, without the facts of this one file, its whole schema. ResultsError if it is not right."""
    try:
        with pq.ParquetFile(file.path) as parquet:
            schema = parquet.schema_arrow
            _refuse_foreign(file, name, schema)
            wanted = columns if columns is None or file.stop is None else list(dict.fromkeys([*columns, "replicate"]))
            rows = parquet.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:100]
        mend = " Remove it and this block's file in data/replicates, then go on with: trialsim resume."
        raise ResultsError(
            f"{file.path}: damaged, or not a Parquet file ({cause}).{mend if file.facts else ' Run it again.'}"
        ) from None
    if file.stop is not None and len(rows):
        rows = rows.filter(pc.less(rows["replicate"], file.stop))
    kept = {key: value for key, value in (schema.metadata or {}).items() if key != META}
    return rows if columns is None else rows.select(columns), schema.with_metadata(kept)


def _refuse_foreign(file: ResultFile, name: str, schema: pa.Schema) -> None:
    metadata = schema.metadata or {}
    said = json.loads(metadata.get(META, b"{}"))
    others = {column.name for column in SCHEMAS[name].columns} if name in SCHEMAS else set()
    lacks = (others & {"replicate", "status", "estimate", "value"}) - set(schema.names)
    if metadata.get(b"table", b"").decode() != name or lacks:
        raise ResultsError(f"{file.path}: is no table '{name}' of trialsim. Move it out of the folder.")
    if file.facts is not None and any(said.get(key) != value for key, value in file.facts.items()):
        raise ResultsError(f"{file.path}: belongs to another sweep or place. Move it out of the folder.")


def ends_later(file: ResultFile, stop: int) -> bool:
    said = json.loads((pq.read_metadata(file.path).metadata or {}).get(META, b"{}"))
    return int(said.get("stop", stop)) > stop


def estimates_from(rows: pa.Table, where: str) -> Estimates:
    """The inverse of `Estimates.columns`."""
    replicate = rows["replicate"].to_numpy()
    n_labels = int((replicate == replicate[0]).sum())
    shape = (len(rows) // n_labels, n_labels)
    labels = _labels(rows, shape, where)
    if not (replicate.reshape(shape) == replicate.reshape(shape)[:, :1]).all():
        raise ResultsError(f"{where}: rows of its estimates are missing, or in another order than they were written.")
    names = ("estimate", "std_error", "df", "ci_low", "ci_high", "p_value", "truth", "truth_first", "truth_second")
    numbers = {name: floats_of(rows[name]).reshape(shape) for name in names}
    return Estimates(
        labels=labels,
        replicate=replicate[::n_labels].astype(np.int32),
        significant=floats_of(rows["significant"]).reshape(shape),
        n_used=rows["n_used"].to_numpy().astype(np.int32).reshape(shape),
        converged=rows["converged"].to_numpy().reshape(shape),
        reason=texts_of(rows["reason"]).reshape(shape),
        **numbers,
    )


def _labels(rows: pa.Table, shape: tuple[int, int], where: str) -> tuple[Label, ...]:
    names = []
    for column in _LABEL:
        codes, known = codes_of(rows[column])
        if len(codes) != shape[0] * shape[1] or not (codes.reshape(shape) == codes[: shape[1]]).all():
            raise ResultsError(f"{where}: not every replicate has the same estimates.")
        names.append([known[code] for code in codes[: shape[1]]])
    return tuple(Label(*parts) for parts in zip(*names, strict=True))


def codes_of(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """Codes and names of a column of names."""
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no chunk, or several
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], type=column.type)
    return whole.indices.to_numpy(zero_copy_only=False).astype(np.int32), whole.dictionary.to_pylist()


def floats_of(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers, or 1 and 0 for true and false; NaN for null."""
    return column.cast(pa.float64()).to_numpy().astype(np.float64)


def texts_of(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return np.array(column.cast(pa.string()).fill_null("").to_pylist(), dtype=object)
