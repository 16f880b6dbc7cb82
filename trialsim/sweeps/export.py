"""Results for programs that do not read Parquet: CSV, SAS transport files, and one trial in CDISC's shape.

Every export has names.csv beside it: what each column was called, is called now, means, and has lost.
"""

from __future__ import annotations

import contextlib
import csv
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset

from trialsim.design.shape import close_to
from trialsim.errors import ResultsError
from trialsim.experiments.store import new_folder
from trialsim.sweeps.adam import adam_tables
from trialsim.sweeps.reading import Results, open_results
from trialsim.sweeps.xpt import label_of, load_pyreadstat, meaning, refuse_too_large, short_names, write_xpt
from trialsim.tables import SCHEMAS

Form = Literal["csv", "xpt"]
Tell = Callable[[str], None]

_TITLES = {"adsl": "Subject-Level Analysis Dataset", "adqs": "Questionnaires Analysis Dataset"}
_ADAM_NEEDS = ("participants", "observations")
POINTS, NAMES = "design_points", "names.csv"

_NO_READING_AHEAD: dict[str, Any] = {  # else memory grows with the number of files
    "batch_size": 8_192,
    "batch_readahead": 1,
    "fragment_readahead": 1,
    "use_threads": False,
    "fragment_scan_options": pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False),
}


def export(
    folder: Path | str,
    *,
    form: Form,
    out: Path | str,
    tables: Sequence[str] = (),
    adam: bool = False,
    point: int = 0,
    replicate: int | None = None,
    tell: Tell = warnings.warn,
) -> list[Path]:
    """Write tables of a sweep or a single run as one file each, and names.csv; the files written.

    Without `tables` all of them; with `adam` ADSL and ADQS of one replicate of a design point (None: its first), and
    only the tables that are named. CSV is streamed; SAS transport files are made in memory, one at a time. `tell`
    hears of every value that a SAS transport file cannot hold. All files appear or none. Raises ResultsError if there
    are no results, no such table or replicate, or `out` holds something.
    """
    results = open_results(folder)
    if form == "xpt":
        load_pyreadstat()
    _refuse_inside(Path(out), results.folder)
    parts = [_part(results, name) for name in _chosen(results, tables, adam)]
    if adam:
        parts += _adam(results, point=point, replicate=replicate)
    with new_folder(Path(out), {}) as draft, _reading(results.folder):
        rows = [row for part in parts for row in _WRITERS[form](draft, part)]
        _write_names(draft / NAMES, rows)
    for row in rows:
        if row["lost"]:
            tell(f"{row['table']}.{row['column']}: {row['lost']}")
    return [*(Path(out) / f"{part.name}.{form}" for part in parts), Path(out) / NAMES]


def _chosen(results: Results, tables: Sequence[str], adam: bool) -> list[str]:
    known = [POINTS, *results.tables]
    for name in tables:
        if name not in known:
            close = close_to(name, known)
            hint = f" Did you mean '{close}'?" if close else ""
            raise ResultsError(f"{results.folder}: there is no table '{name}'. Tables: {', '.join(known)}.{hint}")
    return list(dict.fromkeys(tables)) if tables or adam else known


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        reason = (str(error).splitlines() or [""])[0][:300]
        raise ResultsError(f"{folder}: a file of it is damaged ({reason}). Nothing was written.") from None


def _refuse_inside(out: Path, folder: Path) -> None:
    place, results = out.resolve(), folder.resolve()
    if place == results or place.is_relative_to(results / "data"):
        raise ResultsError(f"{out}: lies among the files of the results. Choose another --out.")


# --- what is read -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A table to be written: its columns, names as plain text, and its rows in batches."""

    name: str
    schema: pa.Schema
    n_rows: int
    batches: Callable[[], Iterator[pa.RecordBatch]] = field(repr=False)

    def table(self) -> pa.Table:
        """All rows."""
        return pa.Table.from_batches(self.batches(), schema=self.schema)


def _part(results: Results, name: str) -> _Part:
    if name == POINTS:
        return _of_table(name, results.point_rows)
    dataset = results.dataset(name)
    schema = _plain(dataset.schema)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in dataset.scanner(**_NO_READING_AHEAD).to_batches():
            yield _as(batch, schema)

    return _Part(name, schema, dataset.count_rows(), batches)


def _adam(results: Results, *, point: int, replicate: int | None) -> list[_Part]:
    """ADSL and ADQS of one trial."""
    if missing := [name for name in _ADAM_NEEDS if name not in results.tables]:
        raise ResultsError(
            f"{results.folder}: ADSL and ADQS are made of participants and observations, but {' and '.join(missing)} "
            "were not kept. Run the sweep with `keep: participants`, or one replicate with `trialsim run`."
        )
    design = results.design(point)
    chosen = _first_replicate(results, point) if replicate is None else replicate
    participants, observations = (_one_trial(results, name, point, chosen) for name in _ADAM_NEEDS)
    return [_of_table(name, made) for name, made in adam_tables(participants, observations, design).items()]


def _first_replicate(results: Results, point: int) -> int:
    finished = results.replicates_of(point)["replicate"]
    if not len(finished):
        raise ResultsError(f"{results.folder}: no replicate of design point {point} is finished.")
    return int(finished[0])


def _one_trial(results: Results, name: str, point: int, replicate: int) -> pa.Table:
    dataset = results.dataset(name)
    rows = pc.field("replicate") == replicate
    if "design_point" in dataset.schema.names:
        rows &= pc.field("design_point") == point
    found = dataset.to_table(filter=rows)
    if not len(found):
        raise ResultsError(f"{results.folder}: there is no replicate {replicate} of design point {point} in {name}.")
    return found


def _of_table(name: str, table: pa.Table) -> _Part:
    schema = _plain(table.schema)
    return _Part(name, schema, len(table), lambda: (_as(batch, schema) for batch in table.to_batches()))


def _plain(schema: pa.Schema) -> pa.Schema:
    """Names as plain text."""
    return pa.schema([x.with_type(pa.string()) if pa.types.is_dictionary(x.type) else x for x in schema])


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [column.cast(x.type) for column, x in zip(batch.columns, schema, strict=True)]
    return pa.record_batch(columns, schema=schema)


# --- what is written --------------------------------------------------------------------------------------------------

_COLUMNS = ("table", "column", "name", "label", "unit", "meaning", "lost")


def _csv(folder: Path, part: _Part) -> list[dict[str, str]]:
    """Numbers in full precision, null and not-a-number empty, true and false as R writes them."""
    schema = pa.schema([x.with_type(pa.string()) if pa.types.is_boolean(x.type) else x for x in part.schema])
    with pa.csv.CSVWriter(folder / f"{part.name}.csv", schema) as writer:
        for batch in part.batches():
            writer.write_batch(pa.record_batch([_in_csv(column) for column in batch.columns], schema=schema))
    return [_row(part, x, x.name, "") for x in part.schema]


def _in_csv(values: pa.Array) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return pc.if_else(values, "TRUE", "FALSE")
    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), None, values)
    return values


def _xpt(folder: Path, part: _Part) -> list[dict[str, str]]:
    refuse_too_large(part.name, n_rows=part.n_rows, n_columns=len(part.schema))
    lost = write_xpt(folder / f"{part.name}.xpt", part.table(), title=_TITLES.get(part.name, part.name))
    names = short_names(part.schema.names)
    return [_row(part, x, names[x.name], lost[x.name]) for x in part.schema]


_WRITERS = {"csv": _csv, "xpt": _xpt}


def _row(part: _Part, column: pa.Field, name: str, lost: str) -> dict[str, str]:
    """A row of names.csv."""
    known = {x.name: (x.meaning, x.unit) for x in SCHEMAS[part.name].columns} if part.name in SCHEMAS else {}
    text, unit = known.get(column.name, (meaning(column), meaning(column, "unit")))
    values = (part.name, column.name, name, label_of(text), unit, text, lost)
    return dict(zip(_COLUMNS, values, strict=True))


def _write_names(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
