"""`trialsim replay` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from outside import Shell, Terminal


def test_a_trial_is_told_day_by_day(small: Path, terminal: Terminal) -> None:
    result = terminal("replay", small, "--seed", 5)
    assert result.exit_code == 0
    assert "One simulated trial (replicate 0, seed 5, process engine), day by day." in result.output
    assert "** Milestone: the first participant is randomized." in result.output
    last = result.output.rpartition("\n  == So far: ")[2]
    assert " randomized; 0 waiting" in last
    assert last.endswith(".\n")


def test_one_participants_way(small: Path, terminal: Terminal) -> None:
    result = terminal("replay", small, "--participant", 2, "--replicate", 3)
    assert result.exit_code == 0
    for heading in ("Participant 2", "Day by day", "Questionnaires", "What only the simulation knows"):
        assert f"\n{heading}\n" in result.output
    assert "replicate 3" in result.output


def test_data_instead_of_text(small: Path, terminal: Terminal) -> None:
    told = json.loads(terminal("replay", small, "--json", "--kind", "answered", "--to", 150).output)
    assert {row["kind"] for row in told["rows"]} == {"answered"}
    assert max(row["day"] for row in told["rows"]) <= 150
    one = json.loads(terminal("replay", small, "--json", "--participant", 0).output)
    assert one["participant"] == 0
    assert one["only_the_simulation_knows"]["never_seen_by_an_analysis"] is True


def test_the_engines_tell_the_same_and_a_changed_design_another_story(small: Path, terminal: Terminal) -> None:
    by_process, by_vector = (
        json.loads(terminal("replay", small, "--json", "--engine", e).output) for e in ("process", "vector")
    )
    assert by_process["rows"] == by_vector["rows"]
    changed = json.loads(terminal("replay", small, "--json", "--set", "sample_size=8").output)
    assert changed["participants"] == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--participant", "100000"), "there is no participant 100000: replicate 0 of "),
        (("--from", "2030-02-31"), "--from must be a date (YYYY-MM-DD) or a study day (given: 2030-02-31)"),
        (("--to", "-5000"), "is outside the trial, which goes from "),
        (("--from", "9", "--to", "3"), " comes after --to ("),
        (("--site", "nowhere"), "there is no site 'nowhere'"),
        (("--arm", "nothing"), "there is no arm 'nothing'"),
        (("--kind", "sessions"), "there is no kind 'sessions'. Did you mean 'session'?"),
        (("--participant", "-1"), "-1 is not in the range"),
        (("--participant", "1", "--arm", "x"), "--participant goes with neither --site nor --arm"),
        (("--set", "sample_size=0"), "must be at least 1"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(small: Path, terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    result = terminal("replay", small, *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_it_runs_as_a_process_of_its_own_without_noise(small: Path, shell: Shell) -> None:
    whole = shell("replay", small)
    assert (whole.returncode, whole.stderr) == (0, "")
