"""Replicates that fail, blocks that kill their worker, workers that die before they can answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sweep_runs import base, call, run_whole, small_files, status, stored, write_sweep_file

from trialsim.block import Block
from trialsim.experiments import runner
from trialsim.experiments.executors import Lost
from trialsim.experiments.measures import Measures
from trialsim.sweeps.drive import Ending, drive
from trialsim.sweeps.file import read_sweep
from trialsim.sweeps.store import Store
from trialsim.sweeps.work import Done, Errand


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_files(monkeypatch)
    return write_sweep_file(tmp_path / "in")


# --- replicates -------------------------------------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, wrong: set[int]) -> None:
    """Let these replicates of the smaller trials raise when they are measured."""
    measure = runner.measure

    def sometimes(block: Block) -> Measures:
        mine = set(range(block.first, block.first + block.n_replicates))
        if block.world.design.sample_size == 30 and mine & wrong:
            raise ZeroDivisionError("a bad day")
        return measure(block)

    monkeypatch.setattr(runner, "measure", sometimes)


def test_a_replicate_that_fails_is_a_row_and_the_sweep_goes_on(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_whole("sweep", file, "--out", tmp_path / "sound")
    out = tmp_path / "out"
    failing(monkeypatch, {3, 17, 18})
    result = call("sweep", file, "--out", out)
    assert result.exit_code == 1
    assert "6 replicates FAILED: see `stage` and `error` in the table replicates." in result.stdout
    rows = pq.read_table(out / "data/replicates/point=00000").to_pandas()
    assert len(rows) == 40
    failed = rows[rows["status"] == "failed"]
    assert failed["replicate"].tolist() == [3, 17, 18]
    assert set(failed["stage"]) == {"measures"}
    assert set(failed["error"]) == {"ZeroDivisionError: a bad day"}
    estimates = pq.read_table(out / "data/estimates/point=00000").to_pandas()
    assert set(estimates["replicate"]) == set(range(40)) - {3, 17, 18}
    sound = stored(tmp_path / "sound")
    assert {name for name, content in stored(out).items() if content != sound[name]} == {
        f"data/{table}/point={point:05d}/block-{block:05d}.parquet"
        for table in ("estimates", "measures", "replicates") for point in (0, 1) for block in (0, 1)
    }  # fmt: skip
    assert status(out)["n_failed"] == 6
    again = call("resume", out)
    assert (again.exit_code, "6 replicates FAILED" in again.stdout) == (1, True)


def test_a_block_of_which_nothing_is_left_is_done_all_the_same(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, set(range(20)))
    assert call("sweep", file, "--set", "replicates=20", "--out", tmp_path / "grown").exit_code == 1
    assert call("grow", tmp_path / "grown", "--replicates", 40).exit_code == 1
    assert call("sweep", file, "--out", tmp_path / "at once").exit_code == 1
    assert stored(tmp_path / "grown") == stored(tmp_path / "at once")
    assert status(tmp_path / "grown")["n_failed"] == 2 * 20
    assert "(0 new in" in call("resume", tmp_path / "grown").stdout


# --- blocks -----------------------------------------------------------------------------------------------------------


class OddCrew:
    """One worker in this process. What `odd` says of an errand comes instead of doing it."""

    workers = 1

    def __init__(self, odd: Callable[[Callable[[Errand], Any], Errand], Any]) -> None:
        self.odd = odd

    def results(self, function: Callable[[Errand], Any], tasks: Iterable[Errand]) -> Iterator[tuple[Errand, Any]]:
        """As `Crew.results`."""
        asked = iter(tasks)
        while (errand := next(asked, None)) is not None:
            yield errand, self.odd(function, errand)


def driven(file: Path, folder: Path, odd: Callable[[Callable[[Errand], Any], Errand], Any], **plan: Any) -> Ending:
    store = Store.create(folder, read_sweep(file, overrides=[f"{k}={v}" for k, v in plan.items()]), command="test")
    with store.locked():
        return drive(store, OddCrew(odd))  # type: ignore[arg-type]


def test_the_draft_of_a_worker_that_died_does_not_stay(file: Path, tmp_path: Path) -> None:
    """The crew gave its work to another one, so that nothing else tells of the death."""
    folder = tmp_path / "out"

    def leaves_a_draft(function: Callable[[Errand], Any], errand: Errand) -> Any:
        (folder / "data" / ".tmp-block-00000.parquet.dead").parent.mkdir(exist_ok=True)
        (folder / "data" / ".tmp-block-00000.parquet.dead").write_bytes(b"PAR1")
        return function(errand)

    assert driven(file, folder, leaves_a_draft).whole
    assert not list(folder.rglob(".tmp-*"))


def test_only_the_block_that_kills_is_set_aside(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errands hold several blocks; a point with a target does not wait for it for ever."""
    monkeypatch.setattr("trialsim.sweeps.drive.SECONDS", 1e9)
    monkeypatch.setattr("trialsim.sweeps.drive.ERRANDS_PER_WORKER", 1)
    sizes = []

    def deadly(function: Callable[[Errand], Any], errand: Errand) -> Any:
        sizes.append(len(errand.pieces))
        killers = [piece for piece in errand.pieces if (piece.span.point, piece.span.block) == (2, 1)]
        return Lost(errand, "it died") if killers else function(errand)

    for plan in ({}, {"target_mcse": 0.2, "replicates": 40}):
        folder = tmp_path / f"out-{len(plan)}"
        ending = driven(file, folder, deadly, **plan)
        assert max(sizes) > 1
        assert [(str(span), reason) for span, reason in ending.set_aside] == [
            ("design point 2, replicates 16 to 31", "it died")
        ]
        assert not ending.whole
        found = status(folder)
        assert [(row["design_point"], row["block"], row["reason"]) for row in found["set_aside"]] == [(2, 1, "it died")]
        assert (found["done"], found["wanted"]) == (4 * 40 - 16, 4 * 40)
        run_whole("resume", folder)
        run_whole("sweep", file, "--out", tmp_path / f"whole-{len(plan)}")
        assert stored(folder) == stored(tmp_path / f"whole-{len(plan)}")
        assert not (folder / "set_aside.json").exists()


def test_a_worker_that_dies_before_it_answers(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are there already, also those of blocks that were filled up; done again they must stay the same."""
    failing(monkeypatch, {1, 18})

    def twice(function: Callable[[Errand], list[Done]], errand: Errand) -> list[Done]:
        function(errand)
        return function(errand)

    folder = tmp_path / "grown"
    driven(file, folder, twice, replicates=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "trialsim.sweeps.drive.Crew.results", lambda self, function, tasks: OddCrew(twice).results(function, tasks)
        )
        assert call("grow", folder, "--replicates", 40).exit_code == 1
    ending = driven(file, tmp_path / "at once", lambda function, errand: function(errand))
    assert ending.n_failed == status(folder)["n_failed"] == 4
    assert stored(folder) == stored(tmp_path / "at once")


ESTIMATORS = """
import os, signal

def mean(data, info):
    for contrast in info.contrasts:
        a, b = contrast.split(" - ")
        for visit in info.visits:
            x, y = (data.loc[data["arm"] == arm, f"{info.outcome}_{visit}"].dropna() for arm in (a, b))
            yield {"contrast": contrast, "visit": visit, "estimate": x.mean() - y.mean(), "std_error": 1.0}

def deadly(data, info):
    if len(data) == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return mean(data, info)
"""


def test_estimators_of_ones_own(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They work with workers; one that kills its worker sets its blocks aside, and resume tries them again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trialsim.experiments.executors.TRIES", 2)
    (tmp_path / "sweep_estimators.py").write_text(ESTIMATORS)
    mine = {"kind": "user", "outcome": "pain", "function": "sweep_estimators:mean"}
    axes = [{"grid": {"sample_size": [30, 40]}}]
    write_sweep_file(file.parent, design=base(analyses={"mine": mine}), axes=axes, replicates=16)
    run_whole("sweep", file, "--out", "out", "--workers", 2)
    run_whole("sweep", file, "--out", "alone")
    assert stored(tmp_path / "out") == stored(tmp_path / "alone")
    assert pq.read_table(tmp_path / "out/data/estimates")["converged"].to_pandas().all()

    write_sweep_file(file.parent, design=base(analyses={"mine": mine | {"function": "sweep_estimators:deadly"}}),
                     axes=axes, replicates=16)  # fmt: skip
    result = call("sweep", file, "--out", "deadly", "--workers", 2)
    line = "SET ASIDE: design point 1, replicates 0 to 15: its worker process ended with SIGKILL, 2 times"
    assert (result.exit_code, line in result.stdout) == (1, True)
    assert line in call("status", "deadly").stdout
    assert len(json.loads((tmp_path / "deadly/set_aside.json").read_text())) == 1
    assert len(stored(tmp_path / "deadly")) == 3
    (tmp_path / "sweep_estimators.py").write_text(ESTIMATORS.replace("== 40", "== 41"))
    run_whole("resume", "deadly", "--workers", 2)
    assert len(stored(tmp_path / "deadly")) == 6
    assert status(tmp_path / "deadly")["set_aside"] == []


def test_an_estimator_that_is_not_there_is_told_once(file: Path, tmp_path: Path) -> None:
    mine = {"kind": "user", "outcome": "pain", "function": "nowhere_at_all:mean"}
    write_sweep_file(file.parent, design=base(analyses={"mine": mine}))
    for workers in (1, 2):
        result = call("sweep", file, "--out", tmp_path / "out", "--workers", workers)
        assert result.exit_code == 2
        assert result.stderr.startswith("trialsim: estimator 'nowhere_at_all:mean' cannot be loaded")
        assert stored(tmp_path / "out") == {}
