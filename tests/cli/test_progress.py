"""Progress of long work: nothing for one item, a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from outside import Terminal

from trialsim.cli import progress
from trialsim.cli.progress import progress_on

LINE = r"\d+ of \d+ replicates, \d+\.\d per second, \d+ s left"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line after every batch."""
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)


@pytest.mark.usefixtures("eager")
def test_a_log_gets_plain_lines_on_standard_error(terminal: Terminal, small: Path, here: Path) -> None:
    for command in (("run", small, "--replicates", 500, "--out", "kept"), ("verify", small, "--replicates", 2)):
        result = terminal(*command)
        lines = result.stderr.splitlines()
        assert len(lines) >= 2
        assert [line for line in lines if not re.fullmatch(LINE, line)] == []
        n = command[3] if command[0] == "verify" else 500
        assert lines[-1].startswith(f"{n} of {n} replicates, ")
        assert lines[-1].endswith(" 0 s left")
        assert not re.search(LINE, result.stdout)


@pytest.mark.usefixtures("eager")
def test_one_replicate_shows_nothing(terminal: Terminal, small: Path, here: Path) -> None:
    assert terminal("run", small, "--out", "kept").stderr == ""
    assert terminal("verify", small, "--replicates", 1).stderr == ""


def test_a_short_run_shows_nothing(terminal: Terminal, small: Path, here: Path) -> None:
    assert progress.LINE_EVERY_SECONDS == 30
    assert terminal("run", small, "--replicates", 3, "--out", "kept").stderr == ""


@pytest.mark.usefixtures("eager")
def test_json_stays_json(terminal: Terminal, small: Path, here: Path) -> None:
    result = terminal("run", small, "--replicates", 3, "--json", "--out", "kept")
    assert result.stdout.startswith("{\n")
    assert result.stdout.endswith("\n}\n")
    assert result.stderr.startswith("3 of 3 replicates, ")


def test_a_line_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([100.0, 120.0, 140.0, 150.0, 180.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress_on(200, "replicates") as tell:
        for done in (20, 40, 50, 80):  # after 20, 40, 50 and 80 s; the second and the last are due
            tell(done, 200)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "40 of 200 replicates, 1.0 per second, 160 s left",
        "80 of 200 replicates, 1.0 per second, 120 s left",
    ]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("totals", [(200, 200), (200, 5000)], ids=["as announced", "more than announced"])
def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, totals: tuple[int, int]) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    announced, of = totals
    with progress_on(announced, "replicates") as tell:
        tell(of // 2, of)
        tell(of, of)
    last = screen.getvalue().rstrip("\n").split("\r")[-1]
    assert "replicates" in last
    assert f"{of}/{of}" in last
