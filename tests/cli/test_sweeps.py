"""The commands of sweeps as a user sees them: what they print, when, and how they end."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from outside import everything_in
from sweep_runs import call, n_files, refused, run_whole, small_files, status, stored, write_sweep_file

from trialsim.cli import sweeps as commands
from trialsim.experiments.executors import Crew
from trialsim.report.sweep_tables import summary_json
from trialsim.sweeps import drive
from trialsim.sweeps.file import read_sweep
from trialsim.sweeps.forecast import forecast
from trialsim.sweeps.reading import open_results
from trialsim.sweeps.summary import summarise


@pytest.fixture
def file(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_files(monkeypatch)
    return write_sweep_file(here.parent / "in")


# --- sweep ------------------------------------------------------------------------------------------------------------


def test_a_sweep_says_what_it_did(file: Path, here: Path) -> None:
    result = run_whole("sweep", file, "--out", "out")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("tiny: 4 design points, 160 replicates (160 new in ")
    assert lines[0].endswith(" in 36 files.")
    assert lines[-2:] == ["Results: out", "Read them with: trialsim summarise out"]
    assert result.stderr == ""
    assert run_whole("summarise", "out").stdout.count("sample_size") >= 1


def test_without_out_it_has_a_folder_of_its_own(file: Path, here: Path) -> None:
    run_whole("sweep", file)
    run_whole("sweep", file)
    (folder,) = (here / "results").iterdir()
    assert folder.name.startswith("tiny-")
    run_whole("sweep", file, "--shard", "2/4")
    assert (folder / "shard-2-of-4/manifest.json").is_file()
    assert run_whole("status", folder / "shard-2-of-4").stdout.startswith("tiny (shard 2 of 4): complete. ")


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "a/b", "1/", "-1/4", "1/4/2", ""])
def test_shards_that_are_none(file: Path, here: Path, shard: str) -> None:
    result = call("sweep", file, "--shard", shard, "--out", "out")
    assert result.exit_code == 2
    assert "--shard" in result.stderr
    assert everything_in(here) == []


def test_wrong_values_are_found_for_every_point_before_anything_runs(
    file: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "drive", lambda *_, **__: pytest.fail("it ran"))
    for axes, words in (
        ([{"grid": {"sample_sise": [30, 40]}}], ["sample_sise"]),
        ([{"grid": {"sample_size": [30, -1, 40, 0]}}], ["-1", "0"]),
        ([{"list": [{}, {"arms.coach.start_prob": 1.5}, {"arms.web.start_prob": 0.5}]}], ["1.5", "arms.web"]),
    ):
        write_sweep_file(file.parent, axes=axes)
        for command in (
            ("sweep", file, "--out", "out"),
            ("sweep", file, "--dry-run"),
            ("slurm", file, "--shards", 3, "--out", "x"),
        ):
            told = refused(*command)
            assert all(word in told for word in words)
            assert "tiny.yaml:" in told
    assert everything_in(here) == []


def test_news_that_are_no_terminals(file: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One plain line now and then; none before the first is due."""
    monkeypatch.setattr(commands, "LINE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(drive, "SECONDS", 1e-9)
    err = run_whole("sweep", file, "--out", "out").stderr
    lines = err.splitlines()
    assert "\r" not in err
    assert "\x1b" not in err
    assert 2 <= len(lines) <= 12 + 1
    assert lines[-1].startswith("4 of 4 design points, 160 of 160 replicates, ")
    assert "largest MCSE 0." in lines[-1]
    done = [int(line.split(", ")[1].split()[0]) for line in lines]
    assert done == sorted(done)


# --- dry run ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_says_what_would_be(file: Path, here: Path) -> None:
    text = run_whole("sweep", file, "--dry-run", "--out", "out").stdout
    assert text.startswith("tiny: 4 design points, 40 replicates of each.\nSeed 7 for every point")
    rows = [line.split() for line in text.splitlines() if line.split() and line.split()[0] in "0123"]
    assert [row[1:3] for row in rows] == [["30", "0.7"], ["30", "0.9"], ["40", "0.7"], ["40", "0.9"]]
    assert "Expected: 160 replicates" in text
    assert "in 36 files." in text
    assert text.endswith("Nothing was run or written.\n")
    assert everything_in(here) == []


@pytest.mark.parametrize("keep", ["estimates", "participants"])
@pytest.mark.parametrize(("participants", "replicates"), [(1, 40), (4_000, 200)])
def test_bytes_are_foretold(
    here: Path, monkeypatch: pytest.MonkeyPatch, keep: str, participants: int, replicates: int
) -> None:
    """Within a factor of 1.5, with small files and with larger ones; the number of files exactly."""
    small_files(monkeypatch, participants=participants)
    file = write_sweep_file(here, keep=keep, replicates=replicates)
    told = forecast(read_sweep(file))
    run_whole("sweep", file, "--out", "out")
    written = sum(map(len, stored(here / "out").values()))
    assert 1 / 1.5 < told.n_bytes / written < 1.5
    assert told.n_files == n_files(here / "out")
    assert told.replicates == 4 * replicates
    assert told.seconds > 0


def test_with_a_target_no_more_is_run_than_was_foretold(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files, and not fewer replicates than a pilot."""
    small_files(monkeypatch, participants=30 * 16 * 20)  # files of 320 replicates, and of 240 with 40 participants
    file = write_sweep_file(here, target_mcse=0.05, replicates=1000)
    told = forecast(read_sweep(file))
    run_whole("sweep", file, "--out", "out")
    found = status(here / "out")
    assert told.replicates == found["done"] == 2 * 320 + 2 * 480
    assert told.n_files == n_files(here / "out")


# --- options that do not go together, names with spaces -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("sweep", "tiny.yaml", "--cluster", "tcp://127.0.0.1:1", "--executor", "mpi"), "not both"),
        (("export", "out", "--out", "csv", "--point", "0"), "--adam"),
        (("export", "out", "--out", "csv", "--replicate", "2"), "--adam"),
    ],
)
def test_options_that_contradict_each_other(here: Path, asked: tuple[str, ...], said: str) -> None:
    result = call(*asked)
    assert result.exit_code == 2
    assert said in result.stderr
    assert everything_in(here) == []


def test_commands_to_go_on_with_can_be_pasted(file: Path, here: Path) -> None:
    text = run_whole("sweep", file, "--out", "two words").stdout
    assert text.endswith("Read them with: trialsim summarise 'two words'\n")
    assert read_sweep(file).name in run_whole("summarise", "two words").stdout


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_of_half_a_sweep(file: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_whole("sweep", file, "--out", "out")
    assert whole.exit_code == 0
    text = run_whole("status", "out").stdout
    assert text.startswith("tiny: complete. 4 design points, 40 replicates of each.\n4 design points and 160 of 160 ")
    for path in (here / "out/data").glob("*/point=0000[23]"):
        shutil.rmtree(path)
    text = run_whole("status", "out").stdout
    assert text.startswith("tiny: not running. 4 design points")
    assert "2 design points and 80 of 160 replicates are done (50.0 %)" in text
    assert text.endswith("Go on with: trialsim resume out\n")
    found = status(here / "out")
    assert (found["done"], found["wanted"], found["points_done"], found["n_points"]) == (80, 160, 2, 4)
    assert found["plan"] == {"replicates": 40, "target_mcse": None, "shard": None}
    assert 0 < found["largest_mcse"] < 0.1
    assert found["n_bytes"] == sum(map(len, stored(here / "out").values()))
    shutil.rmtree(here / "out/data")
    assert status(here / "out")["largest_mcse"] is None


def test_an_interruption_in_this_process(file: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Crew.results

    def interrupted(self: Crew, *args: Any, **how: Any) -> Any:
        for n, found in enumerate(results(self, *args, **how)):
            if n == 2:
                raise KeyboardInterrupt
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(Crew, "results", interrupted)
        result = call("sweep", file, "--out", "out")
    told = "\ntrialsim: interrupted. What was finished is kept; go on with: trialsim resume out\n"
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", told)
    assert 0 < status(here / "out")["done"] < 160
    run_whole("resume", "out")
    run_whole("sweep", file, "--out", "whole")
    assert stored(here / "out") == stored(here / "whole")


# --- slurm ------------------------------------------------------------------------------------------------------------


def test_the_batch_script_is_bash_and_holds_what_was_asked(file: Path, here: Path) -> None:
    result = run_whole(
        "slurm", file, "--shards", 30, "--out", "scratch/out", "--workers", 4, "--time", "01:30:00", "--memory", "3G",
        "--partition", "short", "--account", "pain", "--setup", "module load python", "--set", "replicates=50",
    )  # fmt: skip
    assert subprocess.run(["bash", "-n"], input=result.stdout, text=True, check=False).returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "#!/bin/bash"
    for line in (
        "#SBATCH --job-name=trialsim-tiny", "#SBATCH --array=1-30", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=3G",
        "#SBATCH --time=01:30:00", "#SBATCH --partition=short", "#SBATCH --account=pain", "#SBATCH --requeue",
        "set -euo pipefail", "module load python",
    ):  # fmt: skip
        assert line in lines
    assert not any(line.startswith("#SBATCH") for line in lines[lines.index("set -euo pipefail") :])
    assert "OPENBLAS_NUM_THREADS=1" in result.stdout
    assert everything_in(here) == []


def test_the_batch_script_runs_a_shard(file: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Slurm: its last lines as bash runs them, with names that need quotes."""
    odd = file.parent / "my sweep $x.yaml"
    file.rename(odd)
    result = run_whole("slurm", odd, "--shards", 3, "--out", "my 'out'", "--script", "job.sh", "--set", "title=a b")
    assert "job.sh: written. Then: mkdir -p" in result.stdout
    (here / "trialsim").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (here / "trialsim").chmod(0o755)
    env = {"PATH": f"{here}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "2"}
    done = subprocess.run(["bash", "job.sh"], env=env, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[:4] == ["sweep", str(odd), "--set", "title=a b"]
    assert words[words.index("--out") + 1] == "my 'out'/shard-2"
    assert words[words.index("--shard") + 1] == "2/3"
    assert "exists already" in refused("slurm", odd, "--shards", 3, "--out", "x", "--script", "job.sh")


def test_settings_that_would_break_the_script(file: Path, here: Path) -> None:
    assert "single lines" in refused("slurm", file, "--shards", 3, "--out", "x", "--account", "a\nrm -rf /")
    assert "single lines" in refused("slurm", file, "--shards", 3, "--out", "x\ny")


# --- reading: every option reaches what it is for -----------------------------------------------------------------------


@pytest.fixture
def swept(file: Path, here: Path) -> str:
    run_whole("sweep", file, "--out", "out")
    return "out"


def test_summarise_as_csv_and_json_has_the_numbers_that_python_has(swept: str) -> None:
    results = open_results(swept)
    choices = {"by": [results.axes[0]], "statistics": ["power"]}
    asked = ("summarise", swept, "--by", results.axes[0], "--statistic", "power", "--skip-failed")
    expected = summarise(results, skip_failed=True, **choices).frame()
    assert len(expected)
    assert set(expected["statistic"]) == {"power"}
    frame = pd.read_csv(io.StringIO(run_whole(*asked, "--csv").stdout))
    assert frame["value"].tolist() == pytest.approx(expected["value"].tolist(), nan_ok=True)
    told = json.loads(run_whole(*asked, "--json").stdout)
    assert told == summary_json(results, skip_failed=True, **choices)
    assert "not both" in call(*asked, "--json", "--csv").stderr
    analysis, visit = str(expected["analysis"].iloc[0]), str(expected["visit"].iloc[0])
    part = pd.read_csv(io.StringIO(run_whole(*asked, "--csv", "--analysis", analysis, "--visit", visit).stdout))
    assert (set(part["analysis"]), set(part["visit"])) == ({analysis}, {visit})
    assert "no analysis is called 'nobody'" in refused("summarise", swept, "--analysis", "nobody")


def test_best_by_least_and_by_most(swept: str) -> None:
    asked = ("best", swept, "--where", "power >= 0", "--skip-failed", "--json")
    least, most = (json.loads(run_whole(*asked, way, "n").stdout) for way in ("--min", "--max"))
    sizes = [open_results(swept).design(point).sample_size for point in range(4)]
    assert [sizes[found["best"]] for found in (least, most)] == [min(sizes), max(sizes)]
    assert min(sizes) < max(sizes)
    assert "by --min or by --max" in call("best", swept, "--min", "n", "--max", "n").stderr
    nothing = json.loads(run_whole("best", swept, "--where", "power > 1", "--skip-failed", "--json").stdout)
    assert nothing["best"] is None


def test_export_of_one_table_as_csv_and_xpt(swept: str, here: Path) -> None:
    run_whole("export", swept, "--format", "csv", "--table", "replicates", "--out", "csv")
    assert sorted(path.name for path in (here / "csv").iterdir()) == ["names.csv", "replicates.csv"]
    assert len(pd.read_csv(here / "csv/replicates.csv")) == len(open_results(swept).pandas("replicates")) == 160
    pytest.importorskip("pyreadstat")
    run_whole("export", swept, "--format", "xpt", "--table", "replicates", "--out", "xpt")
    assert len(list((here / "xpt").glob("*.xpt"))) == 1
    assert "keep" in refused("export", swept, "--adam", "--out", "adam")
