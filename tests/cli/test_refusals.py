"""What cannot be done is refused in one message that says where and why: exit code 2, nothing left behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from outside import Shell, Terminal, everything_in, files_of, write_design

COMMANDS_ON_A_DESIGN = ("run", "check", "verify", "compare", "describe")

MISTYPED = """\
name: typos
start_date: 2024-02-30
sample_size: "sixty"
max_enrolment_days: 400
recruitment:
  sites:
    north: {rate_per_moth: 30}
funnel:
  enrolled: {}
outcomes:
  pain: {items: 10, mean: 6, sd: 1.5, course: {m3: 0}}
visits:
  m3: {day: 91}
arms:
  coach:
    delivery: {kind: individual, modules: [one, two], coaches: 0}
    start_prob: 1.2
    response_prob: {m3: 0.8}
  usual:
    delivery: {kind: nothing}
    response_prob: {m3: 0.8}
allocation: {kind: blocks, ratio: {coach: 1, usual: 1}, block_sizes: [2]}
"""

TOLD = """\
trialsim: 6 mistakes in the design:
typos.yaml:2:13: start_date: there is no such date (given: 2024-02-30) Dates are year-month-day: YYYY-MM-DD.
typos.yaml:3:14: sample_size: must be a whole number (given: 'sixty')
typos.yaml:7:13: recruitment.sites.north.rate_per_moth: unknown key. Did you mean 'rate_per_month'?
typos.yaml:16:64: arms.coach.delivery.coaches: must be at least 1 (given: 0)
typos.yaml:17:17: arms.coach.start_prob: must be at most 1 (given: 1.2)
typos.yaml:20:22: arms.usual.delivery.kind: must be one of 'none', 'self_paced', 'individual', 'group' (given: 'nothing')
"""


# --- designs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS_ON_A_DESIGN)
def test_every_mistake_is_told_with_its_place(terminal: Terminal, here: Path, command: str) -> None:
    (here / "typos.yaml").write_text(MISTYPED)
    result = terminal(command, "typos.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", TOLD)
    assert everything_in(here) == ["typos.yaml"]


def test_mistakes_are_told_without_a_traceback_by_a_real_process(shell: Shell, here: Path) -> None:
    (here / "typos.yaml").write_text(MISTYPED)
    done = shell("run", "typos.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", TOLD)


@pytest.mark.parametrize(
    ("changes", "path", "rule"),
    [
        ({"arms": {"web": {"start_prob": 1.2}}}, "arms.web.start_prob", "must be at most 1 (given: 1.2)"),
        ({"funnel": {"reached": {"prob": -0.1}}}, "funnel.reached.prob", "must be at least 0 (given: -0.1)"),
        (
            {"allocation": {"block_sizes": [3, 4]}},
            "allocation.block_sizes.1",
            "block size 4 does not fit the ratio (given: 4) Use multiples of 3, the sum of the ratio's parts.",
        ),
        (
            {"visits": {"m12": {"day": 130}}},
            "visits.m12",
            "the window overlaps the window of 'm3'. 'm3' closes on day 136, 'm12' opens on day 123.",
        ),
        (
            {"arms": {"coach": {"delivery": {"coaches": 0}}}},
            "arms.coach.delivery.coaches",
            "must be at least 1 (given: 0)",
        ),
        ({"sample_size": 0}, "sample_size", "must be at least 1 (given: 0)"),
    ],
    ids=[
        "probability above 1",
        "probability below 0",
        "blocks that do not fit",
        "windows that overlap",
        "no coaches",
        "nobody",
    ],
)
def test_an_impossible_value_is_one_clear_message(
    terminal: Terminal, here: Path, changes: dict[str, Any], path: str, rule: str
) -> None:
    write_design(here / "mine.yaml", **changes)
    result = terminal("run", "mine.yaml")
    first, told = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert first == "trialsim: 1 mistake in the design:"
    place, rest = told.split(": ", 1)
    assert rest == f"{path}: {rule}"
    assert place.startswith("mine.yaml:")
    line = (here / "mine.yaml").read_text().splitlines()[int(place.split(":")[1]) - 1]
    last = path.split(".")[-1]
    assert last in line or (last.isdecimal() and line.strip() == "4")
    assert everything_in(here) == ["mine.yaml"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("arms.coch.start_prob=0.5", "arms.coch: no 'arms.coch'. Did you mean 'arms.coach'?"),
        (
            "arms.coach.start_prb=0.5",
            "arms.coach.start_prb: no 'arms.coach.start_prb'. Did you mean 'arms.coach.start_prob'?",
        ),
        ("arms.coach.start_prob=1.5", "arms.coach.start_prob: must be at most 1 (given: 1.5)"),
        ("sample_size", "must have the form a.b.c=VALUE (given: 'sample_size')"),
    ],
)
def test_a_wrong_override_is_refused(terminal: Terminal, small: Path, here: Path, change: str, told: str) -> None:
    result = terminal("run", small, "--set", change)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"trialsim: 1 mistake in the design:\n--set {change}: {told}\n"
    assert everything_in(here) == []


@pytest.mark.parametrize("command", COMMANDS_ON_A_DESIGN)
def test_a_file_that_does_not_exist(terminal: Terminal, small: Path, here: Path, command: str) -> None:
    write_design(here / "trial_one.yaml")
    result = terminal(command, "trial_on.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "trialsim: no file 'trial_on.yaml'. Did you mean 'trial_one.yaml'?\n"


def test_a_scenario_that_does_not_exist(terminal: Terminal, here: Path) -> None:
    result = terminal("run", "resolv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "trialsim: no scenario 'resolv' in the library. Did you mean 'resolve'?\n"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["run", "resolve", "--seed", "-1"], "Invalid value for '--seed': -1 is not in the range x>=0."),
        (["run", "resolve", "--replicates", "0"], "Invalid value for '--replicates'"),
        (["run", "resolve", "--workers", "0"], "Invalid value for '--workers'"),
        (["run", "resolve", "--engine", "fast"], "'fast' is not one of 'process', 'vector'."),
        (["run"], "Missing argument 'DESIGN'."),
        (["rn", "resolve"], "No such command 'rn'."),
    ],
)
def test_a_wrong_option_is_refused(terminal: Terminal, here: Path, args: list[str], told: str) -> None:
    result = terminal(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert everything_in(here) == []


# --- places for results -----------------------------------------------------------------------------------------------


@pytest.fixture
def no_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may run: the place is looked at first."""
    from trialsim.experiments import runner

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the trial was simulated, although its results have no place")

    monkeypatch.setattr(runner, "simulate_block", refuse)


@pytest.mark.usefixtures("no_simulation")
@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("occupied/results", "results cannot be written here (a file is in the way)"),
        ("occupied/results/deeper", "results cannot be written here (a file is in the way)"),
        ("occupied", "there is something else already"),
        pytest.param(
            "/proc/nowhere/results",
            "results cannot be written here (no such file or directory)",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"),
        ),
        ("x" * 300, "results cannot be written here (file name too long)"),
    ],
    ids=["below a file", "far below a file", "a file", "a read-only file system", "a name too long"],
)
def test_a_place_that_cannot_be_written_to(terminal: Terminal, small: Path, here: Path, out: str, why: str) -> None:
    (here / "occupied").write_text("not a folder")
    result = terminal("run", small, "--out", out)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"trialsim: {out}: {why}. Choose another --out.\n"
    assert files_of(here) == {"occupied": b"not a folder"}


@pytest.mark.usefixtures("no_simulation")
@pytest.mark.parametrize(
    "manifest",
    [None, "not JSON", "[1, 2]", '{"key": "text"}', '{"version": 1}'],
    ids=["no manifest", "no JSON", "a list", "another program's key", "another program's manifest"],
)
def test_a_folder_with_something_else_is_left_alone(
    terminal: Terminal, small: Path, here: Path, manifest: str | None
) -> None:
    folder = here / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("precious")
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    before = files_of(here)
    result = terminal("run", small, "--out", "thesis")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "trialsim: thesis: there is something else already. Choose another --out.\n"
    assert files_of(here) == before


@pytest.mark.parametrize(
    ("now", "is_same"),
    [
        (("--seed", 2), False),
        (("--replicates", 2), False),
        (("--first", 1), False),
        (("--engine", "vector"), False),
        (("--set", "sample_size=21"), False),
        ((), True),
    ],
    ids=["seed", "replicates", "first", "engine", "design", "the same"],
)
def test_an_earlier_run_is_not_overwritten_by_another(
    terminal: Terminal, small: Path, here: Path, now: tuple[Any, ...], is_same: bool
) -> None:
    usual = ("run", small, "--out", "kept", "--set", "sample_size=20")
    assert terminal(*usual).exit_code == 0
    before = files_of(here)
    result = terminal(*usual, *now)
    if is_same:
        assert result.exit_code == 0
        return
    design = json.loads(before["kept/manifest.json"])["key"]["design"]
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"trialsim: kept: holds results of another run (seed 1, replicates: 1, design {design}). "
        "Choose another --out, or remove it.\n"
    )
    assert files_of(here) == before


def test_an_empty_folder_takes_the_results(terminal: Terminal, small: Path, here: Path) -> None:
    (here / "empty").mkdir()
    assert terminal("run", small, "--out", "empty", "--set", "sample_size=20").exit_code == 0
    assert "empty/manifest.json" in files_of(here)
    assert [name for name in everything_in(here) if name.startswith(".")] == []


def test_a_disk_that_fills_up_is_told_and_leaves_nothing(
    terminal: Terminal, small: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trialsim.experiments import trialfiles

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trialfiles, "write_table", full)
    for replicates in (1, 20):
        result = terminal("run", small, "--replicates", replicates, "--keep-participants", "--out", "kept")
        assert (result.exit_code, result.stdout) == (2, "")
        told = result.stderr.splitlines()[-1]
        assert told == "trialsim: kept: writing the results failed (no space left on device). Nothing was kept."
        assert everything_in(here) == []
