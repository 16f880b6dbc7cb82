"""What can go wrong with disks, folders and people: one clear message each, exit code 2, and nothing lost."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sweep_runs import (
    AS_ROOT,
    LINUX,
    call,
    end,
    finished,
    refused,
    run_whole,
    small_files,
    started,
    status,
    stored,
    unfinished,
    until,
    write_sweep_file,
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sweep file of four designs with three files of each table."""
    small_files(monkeypatch)
    return write_sweep_file(tmp_path / "in")


@pytest.fixture
def out(file: Path, tmp_path: Path) -> Path:
    """The sweep, run."""
    run_whole("sweep", file, "--out", tmp_path / "out")
    return tmp_path / "out"


def everything(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, but for the lock."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"
    }


# --- disks ------------------------------------------------------------------------------------------------------------


def mounted(where: Path, options: str) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "trialsim", where], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed: {done.stderr.decode()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted(where, "size=200k")
    yield where
    subprocess.run(["umount", where], check=True)


@AS_ROOT
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk(file: Path, out: Path, disk: Path, workers: int) -> None:
    folder = disk / "out"
    for command in (("sweep", file, "--out", folder), ("resume", folder)):
        assert refused(*command, "--workers", workers) == (
            f"trialsim: {folder}: cannot be written to (no space left on device). What was finished is kept; "
            f"make room or choose another place, then: trialsim resume {folder}"
        )
    found, whole = stored(folder), stored(out)
    assert 0 < len([name for name in found if "/." not in name]) < len(whole)
    assert all(whole[name] == content for name, content in found.items() if "/." not in name)
    assert workers > 1 or unfinished(folder) == []
    mounted_again = subprocess.run(["mount", "-o", "remount,size=20m", disk], check=False)
    assert mounted_again.returncode == 0
    run_whole("resume", folder)
    assert stored(folder) == whole
    assert unfinished(folder) == []


@AS_ROOT
def test_a_disk_that_is_full_from_the_start(file: Path, out: Path, disk: Path) -> None:
    (disk / "else").write_bytes(b"x" * 196 * 1024)
    assert "cannot be written to (no space left on device)" in refused("sweep", file, "--out", disk / "out")
    assert set(everything(disk / "out")) <= {"sweep.yaml"}  # whole, or not there
    (disk / "else").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
    run_whole("sweep", file, "--out", disk / "out")
    assert stored(disk / "out") == stored(out)


@AS_ROOT
def test_a_read_only_disk(file: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
    folder = disk / "out"
    run_whole("sweep", file, "--set", "replicates=20", "--out", folder)
    before = everything(disk)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for command in (
        ("sweep", file, "--out", disk / "new"),
        ("resume", folder),
        ("grow", folder, "--replicates", 40),
        ("merge", folder, "--out", disk / "merged"),
    ):
        assert "cannot be written to (read-only file system)" in refused(*command)
    assert everything(disk) == before
    assert status(folder)["done"] == 80
    run_whole("merge", folder, "--out", file.parent / "merged")
    assert stored(file.parent / "merged") == stored(folder)


# --- files that are not what they should be ---------------------------------------------------------------------------

TABLES = ["replicates", "estimates", "measures"]


def place(folder: Path, table: str) -> Path:
    return folder / f"data/{table}/point=00001/block-00001.parquet"


@pytest.mark.parametrize("table", TABLES)
def test_a_truncated_file(out: Path, table: str) -> None:
    whole, path = stored(out), place(out, table)
    path.write_bytes(path.read_bytes()[:-40])
    before = everything(out)
    for command in (
        ("resume", out),
        ("status", out),
        ("grow", out, "--replicates", 40),
        ("merge", out, "--out", out / "x"),
    ):
        told = refused(*command)
        assert told.startswith(f"trialsim: {path}: damaged, or not a Parquet file")
        assert "Remove the file (its replicates will be simulated again, to the same numbers)" in told
        assert {name: old for name, old in everything(out).items() if name != "manifest.json"} == {
            name: old for name, old in before.items() if name != "manifest.json"
        }
    path.unlink()
    assert status(out)["done"] == 4 * 40 - 16
    run_whole("resume", out)
    assert stored(out) == whole


@pytest.mark.parametrize("table", TABLES)
def test_a_foreign_file(out: Path, table: str) -> None:
    whole, path = stored(out), place(out, table)
    pq.write_table(pa.table({"replicate": [1, 2]}), path)
    foreign = path.read_bytes()
    for command in (("resume", out), ("status", out)):
        assert refused(*command) == (
            f"trialsim: {path}: not written by a sweep of trialsim. Nothing was changed. Move the file out of the folder."
        )
    assert path.read_bytes() == foreign
    path.rename(out / "elsewhere.parquet")
    run_whole("resume", out)
    assert stored(out) == whole


@pytest.mark.parametrize("table", TABLES)
def test_a_file_of_another_sweep_or_place(file: Path, out: Path, tmp_path: Path, table: str) -> None:
    run_whole("sweep", file, "--set", "seed=8", "--out", tmp_path / "other")
    for stranger in (place(tmp_path / "other", table), out / f"data/{table}/point=00002/block-00001.parquet"):
        shutil.copy(stranger, place(out, table))
        assert refused("resume", out) == (
            f"trialsim: {place(out, table)}: belongs to another sweep or place. Nothing was changed. "
            "Move it out of the folder."
        )
        assert place(out, table).read_bytes() == stranger.read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"plan"',
        '{"plan": {}}',
        '{"plan": 3, "key": {}}',
        '{"key": {}, "plan": {"replicates": 3}}',
        "\x00",
    ],
)
def test_a_garbage_manifest(file: Path, out: Path, text: str) -> None:
    (out / "manifest.json").write_text(text)
    before = everything(out)
    for command in (
        ("resume", out),
        ("status", out),
        ("grow", out, "--replicates", 99),
        ("merge", out, "--out", out / "m"),
    ):
        assert str(out) in refused(*command)
    assert f"{out}: there is something else already" in refused("sweep", file, "--out", out)
    assert everything(out) == before


@pytest.mark.parametrize("name", ["damaged", "missing", "other"])
def test_design_points_that_are_not_the_sweeps(file: Path, out: Path, tmp_path: Path, name: str) -> None:
    path, whole = out / "design_points.parquet", stored(out)
    if name == "other":
        run_whole("sweep", file, "--set", "seed=8", "--out", tmp_path / "other")
        shutil.copy(tmp_path / "other/design_points.parquet", path)
    elif name == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:500])
    before = everything(out)
    for command in (("resume", out), ("status", out), ("merge", out, "--out", tmp_path / "merged")):
        told = refused(*command)
        assert told.startswith(f"trialsim: {path}: ")
        assert {"other": "belongs to another sweep", "damaged": "damaged", "missing": "is missing"}[name] in told
        assert "simulated again" not in told
    assert everything(out) == before
    if path.exists():
        path.rename(tmp_path / "moved")
    run_whole("sweep", file, "--out", out)
    assert stored(out) == whole


# --- folders ----------------------------------------------------------------------------------------------------------


def test_another_sweep_in_the_folder(file: Path, out: Path) -> None:
    before = everything(out)
    told = refused("sweep", file, "--set", "seed=8", "--out", out)
    assert told.startswith(f"trialsim: {out}: holds another sweep (")
    assert told.endswith("seed: 7 there, 8 here). Choose another --out, or remove it.")
    assert "design points" in refused("sweep", file, "--set", "set.max_enrolment_days=700", "--out", out)
    assert "tables that are kept" in refused("sweep", file, "--set", "keep=participants", "--out", out)
    assert "common random numbers" in refused("sweep", file, "--set", "common_random_numbers=false", "--out", out)
    assert refused("sweep", file, "--shard", "1/4", "--out", out).endswith(
        "holds the whole sweep, not shard 1/4 of this sweep."
    )
    assert everything(out) == before


def test_the_same_sweep_again_runs_nothing_and_more_of_it_is_for_grow(file: Path, out: Path) -> None:
    before = everything(out)
    assert "(0 new in" in run_whole("sweep", file, "--out", out).stdout
    assert refused("sweep", file, "--set", "replicates=99", "--out", out) == (
        f"trialsim: {out}: holds this sweep, planned with less. Add to it with: trialsim grow {out} --replicates 99"
    )
    assert everything(out) == before


@pytest.mark.parametrize("name", ["notes.txt", "sweep.yaml", ".git"])
def test_a_folder_with_something_else(file: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "occupied"
    folder.mkdir()
    (folder / name).write_text("mine")
    told = f"trialsim: {folder}: there is something else already. Choose another --out."
    assert refused("sweep", file, "--out", folder) == told
    for command in ("resume", "status"):
        assert "there is no sweep in it" in refused(command, folder)
    assert {path.name for path in folder.iterdir()} == {name}
    assert refused("sweep", file, "--out", folder / name) == told.replace(str(folder), str(folder / name))


def test_a_sweep_among_the_data_of_another(file: Path, out: Path) -> None:
    before = everything(out)
    inside = out / "data" / "more"
    assert refused("sweep", file, "--out", inside) == (
        f"trialsim: {inside}: lies among the data of {out}. Choose another --out."
    )
    assert everything(out) == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for command in (("resume",), ("status",), ("grow", "--replicates", 9)):
        assert "no such folder" in refused(command[0], tmp_path / "nowhere", *command[1:])
    assert not (tmp_path / "nowhere").exists()


def test_a_single_run_is_no_sweep(file: Path, tmp_path: Path) -> None:
    run_whole("run", file.parent / "base.yaml", "--replicates", 2, "--out", tmp_path / "run")
    for command in ("resume", "status"):
        assert "holds a single run, not a sweep" in refused(command, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "words"), [("model", "version of trialsim: 9.9 there"), ("schema", "version of the tables")]
)
def test_a_sweep_of_another_version(file: Path, out: Path, name: str, words: str) -> None:
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["key"][name] = "9.9"
    (out / "manifest.json").write_text(json.dumps(manifest))
    for command in (("resume", out), ("grow", out, "--replicates", 99)):
        told = refused(*command)
        assert "was begun by another version" in told
        assert words in told
        assert "Its numbers cannot be mixed with new ones" in told
    assert words in refused("sweep", file, "--out", out)


def test_growing_to_fewer(out: Path) -> None:
    before = everything(out)
    assert refused("grow", out, "--replicates", 39).endswith("has 40 replicates planned already (given: 39).")
    assert everything(out) == before
    assert call("grow", out).exit_code == 2


# --- two at once ------------------------------------------------------------------------------------------------------


@LINUX
def test_two_into_one_folder(file: Path, tmp_path: Path) -> None:
    folder, many = tmp_path / "out", ("--set", "replicates=100000")
    first = started("sweep", file, *many, "--out", folder)
    try:
        until(lambda: (folder / "data").exists())
        busy = f"trialsim: {folder}: another process is running this sweep. Wait for it, watch it with `trialsim status`, or stop it."
        assert refused("sweep", file, *many, "--out", folder) == busy
        assert refused("resume", folder) == busy
        assert refused("grow", folder, "--replicates", 200_000) == busy
        assert "holds another sweep" in refused("sweep", file, "--set", "seed=8", "--out", folder)
        assert "is being run" in refused("merge", folder, "--out", tmp_path / "merged")
        assert not (tmp_path / "merged").exists()
        assert status(folder)["running"]
        assert first.poll() is None
    finally:
        end(first)
    assert not status(folder)["running"]
    assert status(folder)["plan"]["replicates"] == 100_000


@LINUX
def test_two_different_ones_into_one_new_folder_at_the_same_moment(file: Path, tmp_path: Path) -> None:
    """One of them has it, whole; the other is told."""
    both = [started("sweep", file, "--set", f"seed={seed}", "--out", tmp_path / "out") for seed in (7, 8)]
    ends = [finished(process) for process in both]
    assert sorted(code for code, _, _ in ends) == [0, 2]
    loser = next(err for code, _, err in ends if code == 2)
    assert "holds another sweep" in loser or "another process is running this sweep" in loser
    winner = [code for code, _, _ in ends].index(0)
    run_whole("sweep", file, "--set", f"seed={(7, 8)[winner]}", "--out", tmp_path / "alone")
    assert stored(tmp_path / "out") == stored(tmp_path / "alone")
    assert status(tmp_path / "out")["done"] == 160
