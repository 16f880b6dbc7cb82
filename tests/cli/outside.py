"""What the command line leaves behind: printed text and files, taken apart for tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from click.testing import Result
from golden.small_trial import small_trial_data

Terminal = Callable[..., Result]
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


def write_design(path: Path, **changes: Any) -> Path:
    """A design file of the small trial with changes, key by key at every depth. JSON is YAML too."""
    path.write_text(json.dumps(small_trial_data(**changes), indent=1), encoding="utf-8")
    return path


# --- files ------------------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: name -> bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def everything_in(folder: Path) -> list[str]:
    """Names of all files and folders below a folder, hidden ones too."""
    walk = ((where, name) for where, folders, files in os.walk(folder) for name in (*folders, *files))
    return sorted(os.path.relpath(os.path.join(where, name), folder) for where, name in walk)


def data(folder: Path, name: str) -> pd.DataFrame:
    """One table of a results folder; of one that is cut into files, all of it."""
    return pq.read_table(place_of(folder, name)).to_pandas()


def measures_of(folder: Path) -> pd.DataFrame:
    """The table of measures with a column for each, a row per replicate."""
    wide = data(folder, "measures").pivot(index="replicate", columns="measure", values="value")
    return wide.rename_axis(columns=None).reset_index()


def place_of(folder: Path, name: str) -> Path:
    """The file or folder of one table."""
    file = folder / "data" / f"{name}.parquet"
    return file if file.is_file() else folder / "data" / name


# --- text -------------------------------------------------------------------------------------------------------------


def titles(text: str) -> list[str]:
    """Titles of the sections of a text, the underlined lines."""
    lines = text.splitlines()
    return [title for title, rule in pairwise(lines) if _is_title(title, rule)]


def section(text: str, title: str) -> str:
    """The text of one section, without its title."""
    lines = text.splitlines()
    starts = [k for k in range(len(lines) - 1) if _is_title(lines[k], lines[k + 1])]
    start = next(k for k in starts if lines[k] == title)
    end = next((k for k in starts if k > start), len(lines))
    return "\n".join(lines[start + 2 : end]).strip("\n")


def _is_title(title: str, rule: str) -> bool:
    return bool(title) and len(title) == len(rule) and rule.strip("=-") == ""


def cells(text: str, first: str, *, nth: int = 0) -> list[str]:
    """The other cells of the nth row of a printed table that starts with this text; cells are two spaces apart."""
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
    return [row[1:] for row in rows if row and row[0] == first][nth]
