"""docs/reading-results.md: what it says to type into pandas, pyarrow, Polars, DuckDB and R gives the power of a sweep.

The page's blocks run as they stand, in a folder where `results/sweep` is a small sweep with an unfinished file in it,
and `results/sweep-csv` and `results/sweep-xpt` are its exports. The values to compare with are computed by NumPy from
the estimates as they were simulated, before they were written. (The page's Python is fenced as `py`, because it needs
this folder; blocks fenced as `python` run anywhere.)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from golden.small_trial import small_trial
from sweep_folders import point_of, sweep_of, write_sweep

from trialsim.analysis.plan import analyse_block
from trialsim.block import simulate_block
from trialsim.sweeps.export import export
from trialsim.sweeps.sweep import DesignPoint
from trialsim.tables import SCHEMAS
from trialsim.world.world import World

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reading-results.md").read_text("utf-8")
FENCE = re.compile(r"(?ms)^(?:<!-- needs (?P<needs>[^\n]*) -->\n\n?)?```(?P<language>py|r)\n(?P<text>.*?)^```$")
BLOCKS = [(m["language"], m["needs"] or "", m["text"]) for m in FENCE.finditer(PAGE)]
REPLICATES = 32

EXACT: dict[str, Any] = {} if int(pd.__version__.split(".")[0]) > 2 else {"float_precision": "round_trip"}
"""How pandas reads numbers to the last digit; from version 3 on it always does."""


def _points() -> list[DesignPoint]:
    points = []
    for size, effect in ((30, -0.1), (60, -0.5), (60, -1.5)):
        by_visit = {"m3": effect, "m12": effect}
        design = small_trial(sample_size=size, arms={"coach": {"effects": {"pain": {"by_visit": by_visit}}}})
        values = {"sample_size": size, "arms.coach.effects.pain.by_visit": by_visit}
        points.append(point_of(len(points), design, values))
    return points


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the page's blocks run."""
    here = tmp_path_factory.mktemp("reading")
    sweep = here / "results" / "sweep"
    write_sweep(sweep, sweep_of(_points(), replicates=REPLICATES, tables=("participants", "observations")))
    for form in ("csv", "xpt"):
        export(sweep, form=form, out=here / "results" / f"sweep-{form}", tell=lambda text: None)
    (sweep / "data" / "estimates" / "point=00001" / ".tmp-block-00001.parquet.4711").write_bytes(b"PAR1 unfinished")
    return here


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    """Power of 'coach - usual' at 12 months, of the linear model, by design point."""
    rows = []
    for point in _points():
        block = simulate_block(World(point.design), seed=point.seed, first=0, n_replicates=REPLICATES, engine="vector")
        estimates = analyse_block(block)
        place = estimates.place(analysis="change", contrast="coach - usual", visit="m12", measure="mean difference")
        hits = estimates.significant[:, place]
        known = hits[~np.isnan(hits)]
        power = known.mean()
        rows.append((point.number, power, np.sqrt(power * (1 - power) / len(known)), len(known)))
    frame = pd.DataFrame(rows, columns=["design_point", "power", "mcse", "n"])
    assert frame["power"].nunique() == 3  # points that are mixed up would be seen
    return frame


def agree(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same design points, power, Monte Carlo standard error and number of replicates."""
    ordered = found.sort_values("design_point").reset_index(drop=True)
    assert ordered["design_point"].tolist() == expected["design_point"].tolist()
    for name in ("power", "mcse", "n"):
        np.testing.assert_allclose(ordered[name].astype(float), expected[name], rtol=1e-9, err_msg=name)


def blocks(language: str, word: str = "") -> list[Any]:
    chosen = [(needs, text) for found, needs, text in BLOCKS if found == language and word in text]
    return [pytest.param(needs, text, id=f"{language}{k}") for k, (needs, text) in enumerate(chosen)]


def test_the_page_has_the_blocks_that_it_should() -> None:
    assert len(blocks("py", "power")) == 5
    assert len(blocks("r")) == 4
    for word in ("trialsim", "pandas", "pyarrow", "polars", "duckdb"):
        assert blocks("py", f"import {word}"), word
    for word in ("arrow::", "nanoparquet::", "read.csv", "foreign::"):
        assert blocks("r", word), word


@pytest.mark.parametrize(("needs", "text"), blocks("py", "power"))
def test_python(needs: str, text: str, place: Path, expected: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, Any] = {}
    exec(text, names)
    power = names["power"]
    agree(power if isinstance(power, pd.DataFrame) else power.to_pandas(), expected)


def test_the_meanings_in_the_metadata(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = [text for language, _, text in BLOCKS if language == "py" and "power" not in text]
    monkeypatch.chdir(place)
    exec(text, {})
    printed = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in printed] == [
        f"{column.name} {column.meaning} {column.unit}".rstrip() for column in SCHEMAS["estimates"].columns
    ]


# --- R ----------------------------------------------------------------------------------------------------------------


def r(code: str, folder: Path) -> str:
    """What R prints. A failure is the test's."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["Rscript", "--vanilla", "-e", code], cwd=folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def need_r(packages: str, folder: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("there is no R")
    wanted = [name for name in packages.split() if name != "base"]
    for name in wanted:
        if r(f"cat(nzchar(system.file(package = '{name}')))", folder) != "TRUE":
            pytest.skip(f"R has no package {name}")


@pytest.mark.parametrize(("needs", "text"), blocks("r"))
def test_r(needs: str, text: str, place: Path, expected: pd.DataFrame, tmp_path: Path) -> None:
    need_r(needs or "foreign", place)
    out = tmp_path / "power.csv"
    keep = f"write.csv(power[c('design_point', 'power', 'mcse', 'n')], '{out}', row.names = FALSE)"
    r(f"{text}\n{keep}", place)
    agree(pd.read_csv(out), expected)


def test_r_reads_the_exported_columns_as_they_are(place: Path) -> None:
    """True and false as logical, text as text, what an axis did not set as NA, numbers to the last digit."""
    need_r("base", place)
    printed = r(
        "e <- read.csv('results/sweep-csv/estimates.csv', na.strings = '')\n"
        "cat(class(e$significant), class(e$converged), class(e$analysis), class(e$df), any(is.infinite(e$df)), '\\n')\n"
        "cat(sprintf('%.17g', head(e$estimate, 20)), sep = '\\n')\n",
        place,
    ).splitlines()
    assert printed[0].split() == ["logical", "logical", "character", "numeric", "TRUE"]
    kept = pq.ParquetFile(next((place / "results/sweep/data/estimates/point=00000").glob("block*"))).read()
    found = [float("nan" if line == "NA" else line) for line in printed[1:]]
    np.testing.assert_array_equal(found, kept["estimate"].to_numpy()[:20])


def test_haven_reads_labels(place: Path) -> None:
    need_r("haven", place)
    printed = r("e <- haven::read_xpt('results/sweep-xpt/replicates.xpt'); cat(attr(e$RPLCT, 'label'), nrow(e))", place)
    assert printed == f"simulated trial, from 0 {3 * REPLICATES}"


# --- what some readers get wrong is not there ---------------------------------------------------------------------------


def encodings(path: Path) -> set[str]:
    """Physical types, encodings, compression of all columns of a file."""
    head = pq.read_metadata(path)
    columns = [head.row_group(g).column(c) for g in range(head.num_row_groups) for c in range(head.num_columns)]
    return {x for column in columns for x in (column.physical_type, column.compression, *column.encodings)}


PLAIN = {"INT32", "DOUBLE", "BOOLEAN", "BYTE_ARRAY", "ZSTD", "PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}


def test_files_use_what_every_reader_knows(place: Path) -> None:
    """nanoparquet reads DELTA_BINARY_PACKED and unsigned 64-bit numbers wrong, R has no whole numbers of 64 bits."""
    sweep = place / "results" / "sweep"
    paths = [*(sweep / "data").rglob("[!.]*.parquet"), sweep / "design_points.parquet"]
    assert len(paths) == 3 * 5 + 1
    for path in paths:
        assert encodings(path) <= PLAIN, path
        for column in pq.ParquetFile(path).schema_arrow:
            assert not pa.types.is_unsigned_integer(column.type), (path, column.name)


def test_a_troublesome_file_would_be_seen(tmp_path: Path) -> None:
    table = pa.table({"seed": pa.array([2**63], type=pa.uint64()), "day": pa.array([1], type=pa.int64())})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, column_encoding={"day": "DELTA_BINARY_PACKED"})
    assert {"INT64", "DELTA_BINARY_PACKED"} <= encodings(tmp_path / "a.parquet") - PLAIN


def test_a_sweep_and_its_export_have_the_same_rows(place: Path) -> None:
    sweep, csv = place / "results" / "sweep", place / "results" / "sweep-csv"
    points = pd.read_csv(csv / "design_points.csv")
    assert points["sample_size"].tolist() == [30, 60, 60]
    effects = points["arms.coach.effects.pain.by_visit"].tolist()
    assert effects == [f'{{"m3": {effect}, "m12": {effect}}}' for effect in (-0.1, -0.5, -1.5)]
    for name in ("estimates", "replicates", "measures", "participants", "observations"):
        files = sorted((sweep / "data" / name).glob("*/block-*.parquet"))
        kept = pa.concat_tables(pq.ParquetFile(path).read() for path in files).to_pandas()
        read = pd.read_csv(csv / f"{name}.csv", **EXACT, low_memory=False)
        assert len(read) == len(kept) > 0
        for column in kept.select_dtypes("number"):
            np.testing.assert_array_equal(read[column].astype(float), kept[column].astype(float), err_msg=column)


@pytest.mark.parametrize(("given", "replicate"), [(5, 5), (None, 0)])
def test_one_trial_of_a_sweep_as_adsl(place: Path, tmp_path: Path, given: int | None, replicate: int) -> None:
    export(place / "results" / "sweep", form="csv", out=tmp_path / "adam", adam=True, point=2, replicate=given)
    adsl = pd.read_csv(tmp_path / "adam" / "adsl.csv")
    files = sorted((place / "results/sweep/data/participants/point=00002").glob("block-*.parquet"))
    kept = pa.concat_tables(pq.ParquetFile(path).read() for path in files).to_pandas()
    mine = kept[kept["replicate"] == replicate]
    assert adsl["PAINBL"].tolist() == mine["baseline_pain"].tolist()
    assert len(mine) == 60
