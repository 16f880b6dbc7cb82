"""The same sweep has the same data bytes whoever ran it, in whatever pieces."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sweep_runs import (
    LINUX,
    PROGRAM,
    Bytes,
    finished,
    n_files,
    run_whole,
    small_files,
    started,
    stored,
    unfinished,
    until,
    workers_of,
    write_sweep_file,
)

from trialsim.sweeps import drive


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    small_files(monkeypatch, participants=2_000 if "target" in request.node.name else 1)


KINDS = {
    "estimates": {},
    "participants": {"keep": ["participants"]},
    "own seeds": {"common_random_numbers": False},
    "target": {
        "axes": [{"list": [{}, {"arms.coach.effects.pain.by_visit.m3": -3.0}]}],
        "target_mcse": 0.025,
        "replicates": 600,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_workers_errands_shards_and_steps(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_sweep_file(tmp_path / "in", **KINDS[kind])
    run_whole("sweep", file, "--out", tmp_path / "serial")
    serial = stored(tmp_path / "serial")
    assert {name.split("/")[1] for name in serial} >= {"estimates", "measures", "replicates"}

    run_whole("sweep", file, "--out", tmp_path / "two", "--workers", 2)
    assert stored(tmp_path / "two") == serial

    monkeypatch.setattr(drive, "SECONDS", 1e-9)
    run_whole("sweep", file, "--out", tmp_path / "small errands")
    assert stored(tmp_path / "small errands") == serial
    monkeypatch.setattr(drive, "SECONDS", 1e9)
    monkeypatch.setattr(drive, "ERRANDS_PER_WORKER", 1)
    run_whole("sweep", file, "--out", tmp_path / "one errand")
    assert stored(tmp_path / "one errand") == serial

    shards = [tmp_path / f"shard-{k}" for k in range(1, 5)]
    for k, shard in enumerate(shards, start=1):
        run_whole("sweep", file, "--out", shard, "--shard", f"{k}/4")
        assert stored(shard).keys() < serial.keys()
    run_whole("merge", *shards, "--out", tmp_path / "merged")
    assert stored(tmp_path / "merged") == serial
    assert '"shard": null' in (tmp_path / "merged/manifest.json").read_text()


@pytest.mark.parametrize("kind", ["estimates", "participants", "own seeds"])
def test_grown_in_steps(kind: str, tmp_path: Path) -> None:
    file = write_sweep_file(tmp_path / "in", **KINDS[kind])
    run_whole("sweep", file, "--out", tmp_path / "at once")
    run_whole("sweep", file, "--set", "replicates=3", "--out", tmp_path / "grown")
    for more in (17, 30, 40):
        run_whole("grow", tmp_path / "grown", "--replicates", more, "--workers", 1 + more % 2)
    assert stored(tmp_path / "grown") == stored(tmp_path / "at once")


def test_grown_to_a_target(tmp_path: Path) -> None:
    file = write_sweep_file(tmp_path / "in", **KINDS["target"])
    run_whole("sweep", file, "--out", tmp_path / "at once")
    run_whole("sweep", file, "--set", "target_mcse=0.03", "--out", tmp_path / "grown")
    assert n_files(tmp_path / "grown") < n_files(tmp_path / "at once")
    run_whole("grow", tmp_path / "grown", "--target-mcse", 0.025)
    assert stored(tmp_path / "grown") == stored(tmp_path / "at once")


def test_a_target_gives_points_what_they_need(tmp_path: Path) -> None:
    """Replicates differ between points, lie under the most, and bring every error down to the target."""
    file = write_sweep_file(tmp_path / "in", **KINDS["target"])
    run_whole("sweep", file, "--out", tmp_path / "out")
    known = []
    for point in (0, 1):
        estimates = pq.read_table(tmp_path / f"out/data/estimates/point={point:05d}").to_pandas()
        known.append(estimates["replicate"].nunique())
        power = (
            estimates.dropna(subset="significant")
            .groupby("contrast", observed=True)["significant"]
            .mean()
            .astype(float)
        )
        assert len(power)
        assert ((power * (1 - power) / known[-1]) ** 0.5).max() <= 0.025
    assert 600 > known[0] > known[1]


def test_other_luck_gives_other_bytes(tmp_path: Path) -> None:
    """The comparison can fail."""
    file = write_sweep_file(tmp_path / "in")
    run_whole("sweep", file, "--out", tmp_path / "one")
    run_whole("sweep", file, "--set", "seed=8", "--out", tmp_path / "two")
    one, two = stored(tmp_path / "one"), stored(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(one[name] != two[name] for name in one)


@pytest.mark.parametrize("common", [True, False])
def test_a_replicate_is_the_one_of_a_single_run(tmp_path: Path, common: bool) -> None:
    """Of point 2, whose design and seed stand in the table of design points."""
    file = write_sweep_file(tmp_path / "in", common_random_numbers=common)
    run_whole("sweep", file, "--out", tmp_path / "out")
    points = pq.read_table(tmp_path / "out/design_points.parquet").to_pylist()
    assert (len({point["seed"] for point in points}) == 1) == common
    (tmp_path / "point.yaml").write_text(points[2]["design"])
    run_whole(
        "run", tmp_path / "point.yaml", "--seed", points[2]["seed"], "--replicates", 40, "--out", tmp_path / "run"
    )
    for name, key in (
        ("estimates", ["replicate"]),
        ("measures", ["measure", "replicate"]),
        ("replicates", ["replicate"]),
    ):
        tables = [
            pq.read_table(tmp_path / where) for where in (f"out/data/{name}/point=00002", f"run/data/{name}.parquet")
        ]
        sweep, run = (
            table.select([c for c in table.schema.names if c not in ("design_point", "point")]).to_pandas()
            for table in tables
        )
        by = [*key, *(["contrast"] if name == "estimates" else [])]
        sweep, run = (
            frame.astype({c: str for c in by if c != "replicate"}).sort_values(by, ignore_index=True)
            for frame in (sweep, run)
        )
        assert len(run) >= 40
        for column in run.columns:
            assert sweep[column].astype(object).where(sweep[column].notna(), None).tolist() == (
                run[column].astype(object).where(run[column].notna(), None).tolist()
            ), column


# --- clusters ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Path, Bytes]:
    """A sweep file, and what the sweep's data are."""
    file = write_sweep_file(tmp_path / "in", replicates=160)
    run_whole("sweep", file, "--out", tmp_path / "alone")
    return file, stored(tmp_path / "alone")


@LINUX
@pytest.mark.slow
def test_dask_with_a_worker_killed(alone: tuple[Path, Bytes], tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    file, whole = alone
    folder = tmp_path / "dask"
    process = started("sweep", file, "--out", folder, "--workers", 2, "--executor", "dask")
    until(lambda: n_files(folder) > len(whole) / 4 or process.poll() is not None)
    victims = workers_of(process)
    assert len(victims) == 2
    os.kill(victims[0], signal.SIGKILL)
    assert n_files(folder) < len(whole)
    code, _, err = finished(process)
    assert code == 0, err
    assert stored(folder) == whole
    assert unfinished(folder) == []


@LINUX
@pytest.mark.slow
def test_mpi_and_a_job_that_lost_a_rank(alone: tuple[Path, Bytes], tmp_path: Path) -> None:
    """Three ranks, two of which work. A rank that dies ends the job; another goes on."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    file, whole = alone
    folder = tmp_path / "mpi"
    command = (mpiexec, "--oversubscribe", "-n", 3, sys.executable, PROGRAM)
    process = started("sweep", file, "--out", folder, "--executor", "mpi", command=command)
    until(lambda: n_files(folder) > len(whole) / 4 or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    ranks = sorted(int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    assert len(ranks) == 3
    os.kill(ranks[2], signal.SIGKILL)
    code, _, _ = finished(process)
    assert code != 0
    assert 0 < n_files(folder) < len(whole)
    code, _, err = finished(started("resume", folder, "--executor", "mpi", command=command))
    assert code == 0, err
    assert stored(folder) == whole
    assert unfinished(folder) == []
