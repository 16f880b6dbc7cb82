"""Results on disk read back: the same tables, designs and estimates that were written, and one message for what is not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import differences
from sweep_folders import point_of, run_block, sizes_and_rates, small_design, sweep_of, write_sweep

import trialsim
from trialsim.errors import ResultsError
from trialsim.experiments import store as runs
from trialsim.experiments.performance import performance
from trialsim.experiments.runner import Experiment, run
from trialsim.sweeps.reading import Results, open_results
from trialsim.sweeps.store import Span, Store
from trialsim.sweeps.sweep import DesignPoint

REPLICATES = 20
POINTS = sizes_and_rates()
RATE = "recruitment.sites.north.rate_per_month"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "small"
    write_sweep(folder, sweep_of(POINTS, replicates=REPLICATES, tables=("participants",)))
    return folder


@pytest.fixture
def results(whole: Path) -> Results:
    return open_results(whole)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """To be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def direct(point: DesignPoint, n: int = REPLICATES) -> Experiment:
    return run(point.design, seed=point.seed, replicates=n)


def block(folder: Path, table: str, point: int = 1, number: int = 0) -> Path:
    return Store.open(folder).path(table, point, number)


# --- what there is ----------------------------------------------------------------------------------------------------


def test_the_package_opens_results(whole: Path) -> None:
    assert isinstance(trialsim.open_results(str(whole)), trialsim.Results)


def test_points_say_what_the_axes_set(results: Results) -> None:
    assert results.axes == ("sample_size", RATE)
    assert results.points["sample_size"].tolist() == [40, 40, 80, 80]
    assert results.points[RATE].tolist() == [30, 60, 30, 60]
    assert results.points["seed"].tolist() == ["1"] * 4
    assert "design" not in results.points
    assert [results.design(point.number) for point in POINTS] == [point.design for point in POINTS]


def test_an_axis_that_a_point_does_not_set_is_nothing(tmp_path: Path) -> None:
    points = [point_of(0, small_design(), {"scenario": "good"}), point_of(1, small_design(name="b"), {"other": True})]
    write_sweep(tmp_path / "s", sweep_of(points), done=[])
    found = open_results(tmp_path / "s")
    assert found.axis_values == [{"scenario": "good", "other": None}, {"scenario": None, "other": True}]


def test_it_says_what_it_holds(results: Results, whole: Path) -> None:
    assert repr(results) == (
        f"<Results sweep: small; folder: {whole}; design points: 4; axes: sample_size, {RATE}; "
        "replicates of each: 20; tables: estimates, measures, replicates, participants>"
    )
    assert re.search(r"<th[^>]*>design points</th><td[^>]*>4</td>", results._repr_html_())
    assert results.is_complete


def test_what_is_not_finished_is_said_and_left_out(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", sweep_of(POINTS), done=[(0, 0), (2, 0)])
    found = open_results(tmp_path / "s")
    shutil.copytree(block(tmp_path / "s", "estimates", 0).parent, block(tmp_path / "s", "estimates", 3).parent)
    assert "replicates of each: 0 to 48 (not complete)" in repr(found)
    assert found.arrow("estimates")["design_point"].unique().to_pylist() == [0, 2]
    assert found.arrow("estimates", 3).num_rows == 0
    assert found.arrow("estimates", 3).schema.equals(found.arrow("estimates", 0).schema)


def test_a_sweep_that_has_not_begun(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", sweep_of(POINTS), done=[])
    found = open_results(tmp_path / "s")
    assert "tables: none yet" in repr(found)
    with pytest.raises(ResultsError, match="no replicate is finished yet"):
        found.arrow("replicates")
    with pytest.raises(ResultsError, match="no replicate is finished yet"):
        found.performance()


# --- tables and estimates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.label)
def test_estimates_come_back_as_they_were(results: Results, point: DesignPoint) -> None:
    assert differences(results.estimates_of(point.number), direct(point).estimates) == []


def test_unknown_values_and_reasons_come_back(tmp_path: Path) -> None:
    responders = {"kind": "modified_poisson", "outcome": "pain"}
    design = small_design(sample_size=12, analyses={"responders": responders})
    write_sweep(tmp_path / "s", sweep_of([point_of(0, design, {})], replicates=40))
    kept, made = open_results(tmp_path / "s").estimates_of(0), run(design, replicates=40).estimates
    assert made is not None
    assert (~made.converged).sum() > 0  # else this test shows nothing
    assert differences(kept, made) == []


def test_measures_and_replicates_come_back(results: Results) -> None:
    made = direct(POINTS[2])
    found = results.measures_of(2)
    assert list(found) == list(made.measures)
    for name, values in made.measures.items():
        np.testing.assert_array_equal(found[name], values)
    assert list(results.measures_of(2, ["cost/total", "no/such"])) == ["cost/total"]
    rows = results.replicates_of(2)
    assert rows["replicate"].tolist() == list(range(REPLICATES))
    np.testing.assert_array_equal(rows["cost"], made.measures["cost/total"])
    np.testing.assert_array_equal(rows["duration_days"], made.measures["calendar/last_visit_day"] + 1)
    assert results.measure_names == tuple(made.measures)


def test_tables_of_some_points(results: Results) -> None:
    everything = results.pandas("participants")
    some = results.pandas("participants", [3, 0])
    assert some["design_point"].unique().tolist() == [3, 0]
    assert len(some) == REPLICATES * (40 + 80)
    assert len(everything) == REPLICATES * 240
    assert isinstance(some["arm"].dtype, pd.CategoricalDtype)
    assert b"trialsim" not in results.arrow("participants").schema.metadata


def test_a_dataset_has_the_same_rows_and_no_second_key(results: Results) -> None:
    found = results.dataset("estimates")
    assert "point" not in found.schema.names
    assert found.to_table().num_rows == results.arrow("estimates").num_rows
    assert found.schema.names == results.arrow("estimates").schema.names


def test_tables_with_different_columns_are_put_together(tmp_path: Path) -> None:
    older = small_design(covariates={"age": {"kind": "normal", "mean": 55.0, "sd": 10.0}})
    points = [point_of(0, older, {"x": 1.0}), point_of(1, small_design(), {"x": 2.0})]
    write_sweep(tmp_path / "s", sweep_of(points, replicates=4, tables=("participants",)))
    found = open_results(tmp_path / "s")
    for table in (found.arrow("participants"), found.dataset("participants").to_table()):
        assert table["age"].null_count == 4 * 40
        assert table.num_rows == 8 * 40


def test_rows_of_a_block_that_grew_while_it_was_killed_do_not_count(tmp_path: Path) -> None:
    store = write_sweep(tmp_path / "s", sweep_of(POINTS[:1], replicates=16))
    before = block(tmp_path / "s", "replicates", 0).read_bytes()
    was = open_results(tmp_path / "s").arrow("estimates")
    run_block(store, Span(0, 0, 16, 32, offset=16))
    block(tmp_path / "s", "replicates", 0).write_bytes(before)
    found = open_results(tmp_path / "s")
    assert pq.read_metadata(block(tmp_path / "s", "estimates", 0)).num_rows == 2 * was.num_rows
    assert found.arrow("estimates").equals(was)
    assert found.dataset("estimates").to_table().num_rows == was.num_rows
    assert differences(found.estimates_of(0), direct(POINTS[0], 16).estimates) == []
    assert {len(values) for values in found.measures_of(0).values()} == {16}


# --- performance ------------------------------------------------------------------------------------------------------


def test_performance_is_that_of_each_point_with_its_axes(results: Results) -> None:
    frame = results.performance()
    for point in POINTS:
        estimates = direct(point).estimates
        assert estimates is not None
        mine = frame[(frame["design_point"] == point.number) & (frame["analysis"] == "main")]
        assert set(mine["sample_size"]) == {point.values["sample_size"]}
        wanted = performance(estimates)
        assert mine["statistic"].tolist() == [row.statistic for row in wanted]
        np.testing.assert_array_equal(mine["value"], [row.value for row in wanted])
        np.testing.assert_array_equal(mine["mcse"], [row.mcse for row in wanted])


# --- single runs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def single(tmp_path: Path) -> Path:
    design = small_design(name="alone")
    key = runs.run_key(design, 5, 0, 12, "vector")
    with runs.new_folder(tmp_path / "run", key) as folder:
        runs.write_experiment(folder, run(design, seed=5, replicates=12, keep=folder / "data"), [])
        runs.write_manifest(folder, design, key, "trialsim run alone.yaml", 1.0)
    return tmp_path / "run"


def test_a_single_run_is_a_sweep_of_one_point(single: Path) -> None:
    found = open_results(single)
    made = run(small_design(name="alone"), seed=5, replicates=12)
    assert (found.name, found.n_points, found.axes, found.seeds) == ("alone", 1, (), ["5"])
    assert found.design() == small_design(name="alone")
    assert differences(found.estimates_of(0), made.estimates) == []
    assert found.pandas("participants")["replicate"].nunique() == 12
    assert found.dataset("participants").count_rows() == 12 * 40
    assert set(found.performance()["statistic"]) >= {"power", "bias", "coverage", "mean"}
    assert "run: alone" in repr(found)


def test_what_a_single_run_did_not_keep(single: Path) -> None:
    shutil.rmtree(single / "data/truth")
    with pytest.raises(ResultsError, match=r"no table 'truth'.*`trialsim run --keep-participants` asks"):
        open_results(single).arrow("truth")


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as refused:
        open_results(tmp_path / "nothing")
    assert str(refused.value) == f"{tmp_path / 'nothing'}: no such folder."


def test_another_folder_and_a_file(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no results of trialsim"):
        open_results(tmp_path)
    with pytest.raises(ResultsError, match=rf"Did you mean {whole}\?"):
        open_results(whole / "data" / "estimates")
    with pytest.raises(ResultsError, match="is a file, not a results folder"):
        open_results(whole / "sweep.yaml")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"versions": 3}'])
def test_a_manifest_that_is_none(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ResultsError, match=r"manifest\.json"):
        open_results(copy)


def test_another_schema_version(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["versions"]["schema"] = "0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match=r"schema version 0 \(written by trialsim .*Read it with the version"):
        open_results(copy)


def test_a_table_or_a_point_that_is_not_there(results: Results, whole: Path) -> None:
    with pytest.raises(ResultsError) as refused:
        results.arrow("estimate")
    assert str(refused.value) == (
        f"{whole}: there is no table 'estimate'. Tables: estimates, measures, replicates, participants. "
        "Did you mean 'estimates'?"
    )
    with pytest.raises(ResultsError, match="kept where the sweep file asks for them"):
        results.dataset("sessions")
    with pytest.raises(ResultsError, match="there is no design point 4; it has points 0 to 3"):
        results.pandas("estimates", [0, 4])
    with pytest.raises(ResultsError, match="no design point -1"):
        results.design(-1)


def test_a_truncated_file_is_named(copy: Path) -> None:
    path = block(copy, "estimates")
    path.write_bytes(path.read_bytes()[:-40])
    assert open_results(copy).arrow("estimates", 0).num_rows
    with pytest.raises(ResultsError, match=rf"{path}: damaged, or not a Parquet file .*trialsim resume"):
        open_results(copy).arrow("estimates")
    with pytest.raises(ResultsError, match=f"{path}: damaged"):
        open_results(copy).dataset("estimates")


def test_a_file_with_rotten_bytes_is_named(copy: Path) -> None:
    path = block(copy, "participants")
    data = bytearray(path.read_bytes())
    data[60:160] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(ResultsError, match=f"{path}: damaged"):
        open_results(copy).arrow("participants")


def test_a_foreign_file_is_named(copy: Path) -> None:
    path = block(copy, "estimates")
    pq.write_table(pa.table({"replicate": pa.array([1], type=pa.int32()), "x": [1.0]}), path)
    with pytest.raises(ResultsError, match=f"{path}: is no table 'estimates' of trialsim"):
        open_results(copy).arrow("estimates")


def test_a_file_of_another_place_is_named(copy: Path) -> None:
    path = block(copy, "estimates", 1)
    path.write_bytes(block(copy, "estimates", 0).read_bytes())
    with pytest.raises(ResultsError, match=f"{path}: belongs to another sweep or place"):
        open_results(copy).estimates_of(1)


def test_a_missing_file_is_named(copy: Path) -> None:
    block(copy, "estimates").unlink()
    with pytest.raises(ResultsError, match=rf"{block(copy, 'estimates')}: is missing"):
        open_results(copy).arrow("measures")


def test_no_analysis_is_planned(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", sweep_of([point_of(0, small_design(analyses={}), {})], replicates=4))
    found = open_results(tmp_path / "s")
    with pytest.raises(ResultsError, match="there are no estimates: no analysis is planned"):
        found.estimates_of(0)
    assert set(found.performance()["analysis"]) == {"trial"}
