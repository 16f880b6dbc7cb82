"""Parquet files of participant-level tables, one file per table and block of replicates."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trialsim.block import Block
from trialsim.records import table, tables_of


def write_table(folder: Path, arrow: pa.Table, name: str) -> None:
    """One Parquet file, zstd, in a folder that is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(arrow, folder / f"{name}.parquet", compression="zstd")


def write_trials(folder: Path, block: Block) -> None:
    """All tables of a block's replicates, or nothing: <folder>/<table>/from-<first replicate>.parquet."""
    tables = {name: table(block, name) for name in tables_of(block.world)}
    for name, arrow in tables.items():
        write_table(folder / name, arrow, f"from-{block.first:07d}")
