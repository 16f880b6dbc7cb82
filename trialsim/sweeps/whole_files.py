"""Files of a sweep that are either whole or not there, and say what they belong to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from trialsim.errors import ResultsError

HIDDEN = ".tmp-"
"""Unfinished files begin with this; readers of Parquet folders pass over such names."""
META = b"trialsim"


def write_whole(path: Path, data: bytes) -> None:
    """A file that appears whole or not at all, whatever happens meanwhile. OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{HIDDEN}{path.name}.{uuid4().hex}")  # processes of two machines may share a number
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a renaming in the folder last through a power cut."""
    if os.name == "nt":  # Windows does not open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """JSON, whole or not at all."""
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def parquet_bytes(table: pa.Table, facts: Mapping[str, Any], *, numbers_repeat: bool = True) -> bytes:
    """A Parquet file's content, zstd; `facts` stand in its metadata under 'trialsim'.

    Where numbers hardly repeat, as estimates do not, dictionaries of them are wasted: only names have one.
    """
    metadata = {**(table.schema.metadata or {}), META: json.dumps(facts, sort_keys=True).encode()}
    names = [column.name for column in table.schema if pa.types.is_dictionary(column.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="zstd",
        use_dictionary=True if numbers_repeat else names,
        write_statistics=["design_point", "replicate"],  # rows are looked for by these
    )
    return sink.getvalue().to_pybytes()


def facts_of(path: Path) -> dict[str, Any]:
    """What a Parquet file of ours says of itself. ResultsError if it is damaged or of other origin."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(
            f"{path}: damaged, or not a Parquet file ({_first_line(error)}). Nothing was changed. Remove the file "
            "(its replicates will be simulated again, to the same numbers) and go on with: trialsim resume."
        ) from None
    try:
        return dict(json.loads(metadata[META]))
    except (KeyError, ValueError):
        raise ResultsError(
            f"{path}: not written by a sweep of trialsim. Nothing was changed. Move the file out of the folder."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


def remove_unfinished(folder: Path) -> None:
    """Unfinished files that a killed process left behind."""
    for path in folder.rglob(f"{HIDDEN}*"):
        path.unlink(missing_ok=True)
