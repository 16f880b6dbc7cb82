"""Shards and copies put together; what cannot belong together is refused before anything is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sweep_runs import call, refused, run_whole, small_files, status, stored, write_sweep_file


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_files(monkeypatch)
    return write_sweep_file(tmp_path / "in")


def run_shard(file: Path, k: int, of: int, *more: object) -> Path:
    folder = file.parent.parent / f"shard-{k}"
    run_whole("sweep", file, "--shard", f"{k}/{of}", "--out", folder, *more)
    return folder


@pytest.fixture
def whole(file: Path, tmp_path: Path) -> Path:
    run_whole("sweep", file, "--out", tmp_path / "whole")
    return tmp_path / "whole"


def test_shards_are_disjoint_and_nearly_equal(file: Path, whole: Path) -> None:
    shards = [stored(run_shard(file, k, 3)) for k in (1, 2, 3)]
    names = [name for shard in shards for name in shard]
    assert len(names) == len(set(names))
    assert set(names) == set(stored(whole))
    assert {len(shard) for shard in shards} == {len(names) // 3}


def test_a_shard_that_is_missing_is_run_by_resume(file: Path, tmp_path: Path, whole: Path) -> None:
    result = run_whole("merge", run_shard(file, 1, 3), run_shard(file, 3, 3), "--out", tmp_path / "merged")
    assert "Go on with: trialsim resume" in result.stdout
    run_whole("resume", tmp_path / "merged")
    assert stored(tmp_path / "merged") == stored(whole)


def test_shards_are_added_one_after_the_other(file: Path, tmp_path: Path, whole: Path) -> None:
    merged = tmp_path / "merged"
    for k in (2, 1, 3, 3):
        run_whole("merge", run_shard(file, k, 3), "--out", merged)
    assert stored(merged) == stored(whole)
    commands = [row["command"] for row in json.loads((merged / "manifest.json").read_text())["commands"]]
    assert len(commands) >= 4


def test_into_one_of_them(file: Path, whole: Path) -> None:
    first, second = run_shard(file, 1, 2), run_shard(file, 2, 2)
    run_whole("merge", first, second, "--out", first)
    assert stored(first) == stored(whole)
    assert status(first)["plan"]["shard"] is None


def test_of_copies_that_grew_apart_the_longer_blocks_are_taken(file: Path, tmp_path: Path, whole: Path) -> None:
    long, copy = tmp_path / "long", tmp_path / "copy"
    shutil.copytree(whole, copy)
    run_whole("grow", copy, "--replicates", 70)
    run_whole("sweep", file, "--set", "replicates=70", "--out", long)
    for order in ((whole, copy), (copy, whole)):
        merged = tmp_path / f"merged-{order[0].name}"
        run_whole("merge", *order, "--out", merged)
        assert stored(merged) == stored(long)
        assert status(merged)["plan"]["replicates"] == 70


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("seed=8", "seed: 7 there, 8 here"),
        ("set.max_enrolment_days=700", "design points"),
        ("keep=participants", "tables that are kept"),
        ("common_random_numbers=false", "common random numbers"),
    ],
)
def test_other_sweeps_are_refused(file: Path, tmp_path: Path, whole: Path, change: str, words: str) -> None:
    run_whole("sweep", file, "--set", change, "--out", tmp_path / "other")
    told = refused("merge", whole, tmp_path / "other", "--out", tmp_path / "merged")
    assert f"{tmp_path / 'other'}: holds another sweep than {whole}" in told
    assert words in told
    assert not (tmp_path / "merged").exists()
    before = stored(whole)
    assert "holds another sweep than" in refused("merge", tmp_path / "other", "--out", whole)
    assert stored(whole) == before


@pytest.mark.parametrize("table", ["estimates", "measures", "replicates"])
def test_bytes_that_disagree_are_refused(file: Path, tmp_path: Path, whole: Path, table: str) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    path = tmp_path / f"copy/data/{table}/point=00002/block-00001.parquet"
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    for there, out in (((whole, tmp_path / "copy"), tmp_path / "merged"), ((tmp_path / "copy",), whole)):
        told = refused("merge", *there, "--out", out)
        assert f"{path}: differs from {whole / path.relative_to(tmp_path / 'copy')}" in told
    assert not (tmp_path / "merged").exists()


def test_into_a_folder_with_something_else(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied/notes.txt").write_text("mine")
    assert "there is no sweep in it" in refused("merge", whole, "--out", tmp_path / "occupied")
    assert [path.name for path in (tmp_path / "occupied").iterdir()] == ["notes.txt"]
    assert "no such folder" in refused("merge", tmp_path / "nowhere", "--out", tmp_path / "merged")
    assert call("merge", "--out", tmp_path / "merged").exit_code == 2
