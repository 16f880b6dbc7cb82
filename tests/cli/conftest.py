"""The command line as a test sees it: called in this process, or as a real process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from outside import Shell, Terminal, write_design

from trialsim.cli.main import cli

PROGRAM = Path(sys.executable).with_name("trialsim")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def terminal() -> Terminal:
    """Call `trialsim` with these arguments in this process; whatever is raised but an exit is the test's failure."""

    def call(*args: object) -> Result:
        return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False)

    return call


@pytest.fixture(scope="session")
def shell() -> Shell:
    """Run `trialsim` as a process of its own."""

    def call(*args: object, **how: Any) -> subprocess.CompletedProcess[str]:
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **how}
        return subprocess.run([PROGRAM, *map(str, args)], text=True, check=False, **how)

    return call


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The design file of a small trial."""
    return write_design(tmp_path_factory.mktemp("designs") / "small_trial.yaml")


@pytest.fixture(scope="session")
def one_trial(small: Path, terminal: Terminal, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Results folder and printed text of one replicate of the small trial."""
    return _ran(terminal, tmp_path_factory, small, "--seed", 5)


@pytest.fixture(scope="session")
def forty_trials(small: Path, terminal: Terminal, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Results folder and printed text of forty replicates of the small trial."""
    return _ran(terminal, tmp_path_factory, small, "--seed", 5, "--replicates", 40)


def _ran(terminal: Terminal, folders: pytest.TempPathFactory, *args: object) -> tuple[Path, str]:
    folder = folders.mktemp("run") / "results"
    result = terminal("run", *args, "--out", folder)
    assert (result.exit_code, result.stderr) == (0, "")
    return folder, result.stdout
