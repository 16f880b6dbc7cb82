"""Results on disk, of a sweep or of a single run, as tables, designs, estimates and performance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from trialsim import __version__
from trialsim.analysis.estimates import Estimates
from trialsim.design.cards import card, facts_table
from trialsim.design.parts import Design
from trialsim.design.reader import digest, read_design
from trialsim.design.shape import close_to
from trialsim.errors import ResultsError
from trialsim.experiments.measures import Measures
from trialsim.sweeps.folders import MANIFEST
from trialsim.sweeps.result_files import (
    Files,
    ResultFile,
    codes_of,
    ends_later,
    estimates_from,
    files_of_run,
    files_of_sweep,
    floats_of,
    n_of_block,
    read_rows,
    texts_of,
)
from trialsim.sweeps.store import Store
from trialsim.tables import SCHEMA_VERSION, SCHEMAS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.dataset as ds

Points = int | Iterable[int] | None
FIXED = ("design_point", "label", "design_digest", "seed", "replicates_per_file", "design")
"""Columns of the table of design points that are not axes."""


def open_results(folder: str | Path) -> Results:
    """Results of a sweep or of a single run. Only what is finished is seen.

    Raises ResultsError where there is no such folder, no results in it, or tables of another schema version.
    """
    place = Path(folder)
    manifest = _manifest(place)
    found = str(manifest.get("versions", {}).get("schema"))
    if found != SCHEMA_VERSION:
        wrote = manifest.get("versions", {}).get("trialsim", "unknown")
        raise ResultsError(
            f"{place}: its tables have schema version {found} (written by trialsim {wrote}); trialsim {__version__} "
            f"reads version {SCHEMA_VERSION}. Read it with the version that wrote it, or run it again."
        )
    return Results(place, manifest)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ResultsError(f"{folder}: {_what_is_there(folder)}") from None
    except (OSError, ValueError) as error:
        what = "is a file, not a results folder." if folder.is_file() else f"{MANIFEST} cannot be read ({error})."
        raise ResultsError(f"{folder}: {what}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("versions"), dict):
        raise ResultsError(f"{folder}: its {MANIFEST} is not one of trialsim's.")
    return manifest


def _what_is_there(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder."
    above = next((path for path in folder.absolute().parents[:3] if (path / MANIFEST).is_file()), None)
    hint = f" Did you mean {above}?" if above else ""
    return f"holds no results of trialsim (a results folder has a {MANIFEST}).{hint}"


class Results:
    """What a sweep or a single run left on disk. Files are read when they are asked for, point by point."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self._store = Store(folder, dict(manifest)) if "plan" in manifest else None

    # --- what there is ------------------------------------------------------------------------------------------------

    @cached_property
    def _files(self) -> Files:
        return files_of_run(self.folder) if self._store is None else files_of_sweep(self._store, self._done)

    @cached_property
    def _points(self) -> pa.Table:
        return _point_of_run(self) if self._store is None else self._store.point_rows

    @property
    def name(self) -> str:
        """Name of the sweep, or of the design."""
        return self.design().name if self._store is None else self._store.name

    @property
    def point_rows(self) -> pa.Table:
        """A row per design point: number, label, digest, seed, and what the axes set."""
        return self._points.select([n for n in self._points.column_names if n not in ("design", "replicates_per_file")])

    @cached_property
    def points(self) -> pd.DataFrame:
        """The same as a data frame."""
        return self.point_rows.to_pandas()

    @property
    def n_points(self) -> int:
        """Number of design points."""
        return len(self._points)

    @property
    def axes(self) -> tuple[str, ...]:
        """Dotted paths of what differs between design points."""
        return tuple(name for name in self._points.column_names if name not in FIXED)

    @cached_property
    def axis_values(self) -> list[dict[str, Any]]:
        """Of each design point: values by axis; None where it does not set one. Whole numbers are int."""
        rows = self._points.select(list(self.axes)).to_pylist() if self.axes else [{}] * self.n_points
        return [{name: _whole(value) for name, value in row.items()} for row in rows]

    @cached_property
    def labels(self) -> list[str]:
        """What distinguishes each design point, in words."""
        return [str(label) for label in self._points["label"].to_pylist()]

    @cached_property
    def seeds(self) -> list[str]:
        """Seed of each design point; those with the same one share their luck (common random numbers)."""
        return [str(seed) for seed in self._points["seed"].to_pylist()]

    @property
    def shared_luck(self) -> bool:
        """Whether design points share their luck (common random numbers)."""
        return len(set(self.seeds)) < self.n_points

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that there are."""
        return tuple(self._files)

    def n_replicates(self, point: int) -> int:
        """Finished replicates of a design point, failed ones too."""
        return self._counts[point][0]

    def n_failed(self, point: int) -> int:
        """How many of them failed."""
        return self._counts[point][1]

    @cached_property
    def _counts(self) -> list[tuple[int, int]]:
        if self._store is None:
            status = texts_of(self._read("replicates", [0], ["status"])["status"])
            return [(len(status), int((status == "failed").sum()))]
        counts = [(0, 0)] * self.n_points
        for (point, block), facts in self._done.items():
            n, failed = counts[point]
            counts[point] = (n + n_of_block(self._store, point, block, facts), failed + int(facts["failed"]))
        return counts

    @cached_property
    def _done(self) -> dict[tuple[int, int], dict[str, Any]]:
        assert self._store is not None  # asked of sweeps only
        return self._store.done()

    def design(self, point: int = 0) -> Design:
        """The design of a point."""
        (number,) = self._numbers(point)
        if self._store is None:
            return read_design(self.folder / "design.yaml")
        try:
            return self._store.design(number)
        except ValidationError as error:
            raise ResultsError(
                f"{self.folder}: the design of point {number} is none for trialsim {__version__} "
                f"({error.error_count()} mistakes). Read it with the version that wrote it."
            ) from None

    # --- tables -------------------------------------------------------------------------------------------------------

    def arrow(self, name: str, points: Points = None) -> pa.Table:
        """A table, of all design points or of some. ResultsError for a table or a point that is not there."""
        return self._read(name, self._numbers(points))

    def pandas(self, name: str, points: Points = None) -> pd.DataFrame:
        """The same as a data frame; names are categories."""
        return self.arrow(name, points).to_pandas()

    def dataset(self, name: str) -> ds.Dataset:
        """The same as a pyarrow dataset, which is read piece by piece: for tables larger than memory."""
        import pyarrow.dataset as ds

        files = self._of_table(name)
        last = [of_point[-1] for of_point in files.values() if of_point]
        schemas = [read_rows(file, name, ["replicate"])[1] for file in last]
        paths = [str(file.path) for of_point in files.values() for file in of_point]
        found = ds.dataset(paths, format="parquet", schema=pa.unify_schemas(schemas) if schemas else None)
        for point, of_point in files.items():  # only the last file of a point can have grown while its sweep was killed
            if of_point and (stop := of_point[-1].stop) is not None and ends_later(of_point[-1], stop):
                found = found.filter((ds.field("design_point") != point) | (ds.field("replicate") < stop))
        return found

    def _of_table(self, name: str) -> dict[int, list[ResultFile]]:
        if name not in self._files:
            raise ResultsError(f"{self.folder}: {self._no_table(name)}")
        return self._files[name]

    def _no_table(self, name: str) -> str:
        if not self.tables:
            return "no replicate is finished yet."
        close = close_to(name, self.tables)
        hint = f" Did you mean '{close}'?" if close else ""
        if name in SCHEMAS:
            how = "the sweep file asks" if self._store else "`trialsim run --keep-participants` asks"
            hint = f" Tables of participants are kept where {how} for them."
        return f"there is no table '{name}'. Tables: {', '.join(self.tables)}.{hint}"

    def _numbers(self, points: Points) -> list[int]:
        if points is None:
            return list(range(self.n_points))
        chosen = [int(points)] if isinstance(points, int | np.integer) else [int(point) for point in points]
        if wrong := [point for point in chosen if not 0 <= point < self.n_points]:
            there = f"points 0 to {self.n_points - 1}" if self.n_points > 1 else "one point, 0"
            raise ResultsError(f"{self.folder}: there is no design point {wrong[0]}; it has {there}.")
        return chosen

    def _read(self, name: str, points: Sequence[int], columns: list[str] | None = None) -> pa.Table:
        files = self._of_table(name)
        chosen = [file for point in points for file in files.get(point, [])]
        some = chosen or [file for of_point in files.values() for file in of_point][:1]
        parts = [read_rows(file, name, columns) for file in some]
        plain = [table.replace_schema_metadata(schema.metadata) for table, schema in parts]
        whole = pa.concat_tables(plain, promote_options="permissive").unify_dictionaries()
        return whole if chosen else whole.slice(0, 0)

    # --- one design point ---------------------------------------------------------------------------------------------

    def replicates_of(self, point: int) -> dict[str, NDArray[Any]]:
        """Number, size, days and cost of the replicates of a point that did not fail, (R,) each; NaN where null."""
        names = ["replicate", "n_randomized", "enrolment_days", "duration_days", "cost"]
        rows = self._read("replicates", self._numbers(point), ["status", *names])
        rows = rows.filter(pc.equal(rows["status"].cast(pa.string()), "ok"))
        return {name: rows[name].to_numpy() if name == "replicate" else floats_of(rows[name]) for name in names}

    def measures_of(self, point: int, names: Iterable[str] | None = None) -> Measures:
        """Measures of a point by name (all, or those asked for), of the replicates that did not fail, (R,) each.

        A name that the point has no measure of is left out.
        """
        rows = self._read("measures", self._numbers(point))
        if names is not None:
            rows = rows.filter(pc.is_in(rows["measure"].cast(pa.string()), pa.array(list(names), type=pa.string())))
        codes, known = codes_of(rows["measure"])
        counts = np.bincount(codes, minlength=len(known))
        ordered = floats_of(rows["value"])[np.argsort(codes, kind="stable")]
        parts = np.split(ordered, np.cumsum(counts)[:-1]) if known else []
        return {name: part for name, part in zip(known, parts, strict=True) if len(part)}

    @cached_property
    def measure_names(self) -> tuple[str, ...]:
        """Names of the measures of the first design point that has any."""
        first = [file for of_point in self._of_table("measures").values() for file in of_point][:1]
        return tuple(read_rows(first[0], "measures", ["measure"])[0]["measure"].unique().to_pylist()) if first else ()

    def estimates_of(self, point: int) -> Estimates:
        """Estimates of a point, as they were before they were written.

        ResultsError where there are none, because no analysis is planned or no replicate is finished.
        """
        if "estimates" not in self._files:
            raise ResultsError(
                f"{self.folder}: there are no estimates: no analysis is planned, or nothing is finished."
            )
        rows = self._read("estimates", self._numbers(point))
        if not len(rows):
            raise ResultsError(f"{self.folder}: there are no estimates of design point {point}.")
        return estimates_from(rows, f"{self.folder}, design point {point}")

    def performance(self, *, skip_failed: bool = False) -> pd.DataFrame:
        """A row per design point, label and statistic, with what the axes set and the Monte Carlo standard error.

        True values are those of the replicates' own participants, averaged; bias is a paired difference. ResultsError
        where replicates or fits failed, unless `skip_failed`.
        """
        from trialsim.sweeps.summary import summarise

        return summarise(self, skip_failed=skip_failed).frame()

    # --- in words -----------------------------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool | None:
        """Whether all replicates that are wanted are there; None where their number depends on what they show."""
        if self._store is None:
            return True
        plan = self._store.plan
        if plan.target_mcse is not None or plan.shard is not None:
            return None
        return all(n >= plan.replicates for n, _ in self._counts)

    def __repr__(self) -> str:
        facts = "; ".join(f"{what}: {said}" for what, said in self._facts())
        return f"<Results {facts}>"

    def _repr_html_(self) -> str:
        return card("results", self.name, [facts_table(self._facts())])

    def _facts(self) -> list[tuple[str, str]]:
        kind = "run" if self._store is None else "sweep"
        each = sorted({n for n, _ in self._counts})
        n = f"{each[0]:,}" if len(each) == 1 else f"{each[0]:,} to {each[-1]:,}"
        said = [(kind, self.name), ("folder", str(self.folder)), ("design points", f"{self.n_points:,}")]
        if self.axes:
            said.append(("axes", ", ".join(self.axes)))
        said.append(("replicates of each", n + self._state()))
        if failed := sum(count for _, count in self._counts):
            said.append(("failed replicates", f"{failed:,}"))
        if aside := self._store.set_aside() if self._store else []:
            said.append(("blocks set aside", f"{len(aside):,}"))
        return [*said, ("tables", ", ".join(self.tables) or "none yet")]

    def _state(self) -> str:
        if self._store is None or self.is_complete is not None:
            return "" if self.is_complete else " (not complete)"
        plan = self._store.plan
        part = f"shard {plan.shard[0]}/{plan.shard[1]} of " if plan.shard else ""
        goal = f"as many as a target MCSE of {plan.target_mcse:g} needs" if plan.target_mcse else f"{plan.replicates:,}"
        return f" ({part}{goal})"


def _point_of_run(results: Results) -> pa.Table:
    design = read_design(results.folder / "design.yaml")
    return pa.table(
        {
            "design_point": pa.array([0], type=pa.int32()),
            "label": [design.name],
            "design_digest": [digest(design)],
            "seed": [str(results.manifest["key"]["seed"])],
        }
    )


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
