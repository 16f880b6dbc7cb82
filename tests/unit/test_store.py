"""Results on disk: all or nothing, with where they came from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from golden.small_trial import small_trial

from trialsim.design.reader import digest, read_design
from trialsim.errors import ResultsError
from trialsim.experiments import store
from trialsim.experiments.performance import performance
from trialsim.experiments.runner import Experiment, run
from trialsim.tables import SCHEMAS

SMALL = small_trial(sample_size=40)
KEY = store.run_key(SMALL, 1, 0, 1, "process")


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return run(SMALL, replicates=5)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what makes a run what it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        (small_trial(sample_size=41), 1, 0, 1, "process"), (SMALL, 2, 0, 1, "process"), (SMALL, 1, 1, 1, "process"),
        (SMALL, 1, 0, 2, "process"), (SMALL, 1, 0, 1, "vector"),
    ],
    ids=["design", "seed", "first", "replicates", "engine"],
)  # fmt: skip
def test_whatever_makes_a_run_another_one_changes_its_digest(other: tuple[Any, ...]) -> None:
    assert store.run_digest(store.run_key(*other)) != store.run_digest(KEY)
    assert store.run_digest(store.run_key(SMALL, 1, 0, 1, "process")) == store.run_digest(KEY)


def test_a_digest_is_twelve_hex_digits_of_a_sha256() -> None:
    text = json.dumps(KEY, sort_keys=True).encode()
    assert store.run_digest(KEY) == hashlib.sha256(text).hexdigest()[:12]


def test_a_large_seed_survives_json() -> None:
    """JavaScript and R read whole numbers as floating point: 2^53 + 1 would become another seed."""
    key = store.run_key(SMALL, 2**53 + 1, 0, 1, "process")
    assert json.loads(json.dumps(key))["seed"] == "9007199254740993"


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_appears_when_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "results"
    with store.new_folder(target, KEY) as folder:
        assert folder.parent == target.parent
        assert folder.name.startswith(".results.")
        (folder / "data.txt").write_text("numbers")
        assert not target.exists()
    assert (target / "data.txt").read_text() == "numbers"
    assert names(target.parent) == ["results"]


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)], ids=lambda e: type(e).__name__
)
def test_a_folder_does_not_appear_when_something_goes_wrong(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), store.new_folder(tmp_path / "results", KEY) as folder:  # noqa: PT012
        (folder / "half.txt").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_what_was_there_stays_when_something_goes_wrong(tmp_path: Path) -> None:
    with store.new_folder(tmp_path / "results", KEY) as folder:
        store.write_manifest(folder, SMALL, KEY, "first", 1.0)
    with pytest.raises(ValueError, match="no"), store.new_folder(tmp_path / "results", KEY):
        raise ValueError("no")
    assert json.loads((tmp_path / "results/manifest.json").read_text())["command"] == "first"


def test_the_same_run_takes_its_own_place(tmp_path: Path) -> None:
    for command in ("first", "second"):
        with store.new_folder(tmp_path / "results", KEY) as folder:
            store.write_manifest(folder, SMALL, KEY, command, 1.0)
            (folder / f"{command}.txt").touch()
    assert names(tmp_path / "results") == ["design.yaml", "manifest.json", "second.txt"]
    assert names(tmp_path) == ["results"]


def test_another_run_is_refused_before_anything_happens(tmp_path: Path) -> None:
    with store.new_folder(tmp_path / "results", KEY) as folder:
        store.write_manifest(folder, SMALL, KEY, "first", 1.0)
    other = store.run_key(SMALL, 7, 0, 1, "process")
    with pytest.raises(ResultsError) as refused, store.new_folder(tmp_path / "results", other):
        raise AssertionError("the run was begun")
    assert str(refused.value) == (
        f"{tmp_path}/results: holds results of another run (seed 1, replicates: 1, design {digest(SMALL)}). "
        "Choose another --out, or remove it."
    )


def test_an_error_of_the_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as refused, store.new_folder(tmp_path / "results", KEY):
        raise OSError(28, "No space left on device")
    assert str(refused.value) == (
        f"{tmp_path}/results: writing the results failed (no space left on device). Nothing was kept."
    )
    assert names(tmp_path) == []


@pytest.fixture(params=[0o500, 0o000], ids=["may not be written to", "may not be entered"])
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that is closed to us. Permissions do not stop the superuser, who becomes nobody for a while."""
    if not hasattr(os, "geteuid"):
        pytest.skip("no such permissions here")
    folder, was_root = tmp_path / "locked", os.geteuid() == 0
    folder.mkdir()
    folder.chmod(request.param)
    if was_root:
        os.seteuid(65534)
    yield folder
    if was_root:
        os.seteuid(0)
    folder.chmod(0o700)


@pytest.mark.parametrize("place", ["results", "deep/results"])
def test_a_folder_without_permission_is_told(locked: Path, place: str) -> None:
    with pytest.raises(ResultsError) as refused, store.new_folder(locked / place, KEY):
        raise AssertionError("the run was begun")
    assert str(refused.value) == (
        f"{locked / place}: results cannot be written here (permission denied). Choose another --out."
    )


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(experiment: Experiment, tmp_path: Path) -> Path:
    assert experiment.estimates is not None
    store.write_experiment(tmp_path, experiment, performance(experiment.estimates, skip_failed=True))
    return tmp_path / "data"


def test_the_table_of_replicates(experiment: Experiment, written: Path) -> None:
    kept = pq.read_table(written / "replicates.parquet").to_pandas()
    measures = experiment.measures
    assert kept["replicate"].tolist() == [0, 1, 2, 3, 4]
    assert set(kept["status"]) == {"ok"}
    assert kept[["stage", "error"]].isna().all().all()
    assert kept["n_randomized"].tolist() == [40] * 5
    assert kept["enrolment_days"].tolist() == (measures["calendar/closing_day"] + 1).tolist()
    assert kept["duration_days"].tolist() == (measures["calendar/last_visit_day"] + 1).tolist()
    assert kept["cost"].tolist() == measures["cost/total"].tolist()
    assert kept["digest"].tolist() == experiment.digests
    assert set(kept["digest"].str.len()) == {16}


def test_the_table_of_estimates(experiment: Experiment, written: Path) -> None:
    kept = pq.read_table(written / "estimates.parquet").to_pandas()
    e = experiment.estimates
    assert e is not None
    labels = [(label.analysis, label.contrast, label.visit, label.measure, label.estimand) for label in e.labels]
    columns = ["analysis", "contrast", "visit", "measure", "estimand"]
    assert list(kept[columns].itertuples(index=False, name=None)) == labels * 5
    assert kept["replicate"].tolist() == np.repeat(np.arange(5), len(labels)).tolist()
    for name in ("estimate", "std_error", "ci_low", "ci_high", "p_value", "truth", "n_used", "converged"):
        np.testing.assert_array_equal(kept[name], getattr(e, name).ravel())
    significant = kept["significant"].map({True: 1.0, False: 0.0, None: np.nan}).astype(float)
    np.testing.assert_array_equal(significant, e.significant.ravel())
    assert kept["reason"].isna().equals(kept["converged"].astype(bool))


def test_the_table_of_measures(experiment: Experiment, written: Path) -> None:
    kept = pq.read_table(written / "measures.parquet").to_pandas()
    assert kept["measure"].unique().tolist() == list(experiment.measures)
    for name, values in experiment.measures.items():
        one = kept[kept["measure"] == name]
        assert one["replicate"].tolist() == experiment.replicates.tolist()
        np.testing.assert_array_equal(one["value"], values)


@pytest.mark.parametrize("name", ["estimates", "replicates", "measures", "performance"])
def test_keys_are_unique(written: Path, name: str) -> None:
    kept = pq.read_table(written / f"{name}.parquet").to_pandas()
    assert not kept.duplicated(list(SCHEMAS[name].key)).any()


def test_a_replicate_that_failed_and_one_without_participants(tmp_path: Path) -> None:
    from trialsim.experiments.runner import Failure

    empty = run(small_trial(funnel={"consented": {"prob": 0.0}}, max_enrolment_days=60), first=3, replicates=2)
    empty.failures.append(Failure(2, "analysis", "ValueError: no"))
    store.write_experiment(tmp_path, empty, [])
    kept = pq.read_table(tmp_path / "data/replicates.parquet").to_pandas().set_index("replicate")
    assert kept["status"].tolist() == ["failed", "ok", "ok"]
    assert kept.loc[2, ["stage", "error"]].tolist() == ["analysis", "ValueError: no"]
    assert kept.loc[2, ["n_randomized", "enrolment_days", "duration_days", "cost", "digest"]].isna().all()
    assert kept.loc[3, "n_randomized"] == 0
    assert kept.loc[3, "enrolment_days"] == 60
    assert pd.isna(kept.loc[3, "duration_days"])
    assert not (tmp_path / "data/performance.parquet").exists()


# --- manifest ---------------------------------------------------------------------------------------------------------


def test_the_manifest_lists_every_file_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/deep/file.bin").write_bytes(b"\x00\x01")
    store.write_manifest(tmp_path, SMALL, KEY, "trialsim run", 1.23456)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    design = (tmp_path / "design.yaml").read_bytes()
    assert manifest["files"] == {
        "data/deep/file.bin": hashlib.sha256(b"\x00\x01").hexdigest(),
        "design.yaml": hashlib.sha256(design).hexdigest(),
    }
    assert (manifest["key"], manifest["command"], manifest["seconds"]) == (KEY, "trialsim run", 1.235)
    assert pd.Timestamp(manifest["written"]).utcoffset() == pd.Timedelta(0)
    assert read_design(tmp_path / "design.yaml") == SMALL
