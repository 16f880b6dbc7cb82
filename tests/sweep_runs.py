"""Sweeps as a user runs them, small: files for them, the command line, and what they leave behind as bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from designs import coached, plain_data, score, usual

from trialsim.cli.main import cli
from trialsim.sweeps import store

Data = dict[str, Any]
Bytes = dict[str, bytes]

PROGRAM = Path(__file__).parent / "sweeps" / "small_files.py"
"""trialsim as a process of its own, with PER_FILE replicates in a file."""
PER_FILE = 16
GRID: Data = {"sample_size": [30, 40], "arms.coach.start_prob": [0.7, 0.9]}
PARTICIPANTS = ["funnel", "participants", "sessions", "observations", "resources", "truth"]

AS_ROOT = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk, which takes root on Linux"
)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


# --- files ------------------------------------------------------------------------------------------------------------


def base(**changes: Any) -> Data:
    """Two arms, one visit, one analysis."""
    parts: Data = {
        "name": "base",
        "sample_size": 30,
        "arms": {"coach": coached(arm={"effects": {"pain": {"by_visit": {"m3": -1.0}}}}), "usual": usual()},
        "analyses": {"main": {"kind": "linear", "outcome": "pain"}},
        "outcomes": {"pain": score(change_sd=1.5)},
    }
    return plain_data(**(parts | changes))


def write_sweep_file(folder: Path, *, design: Data | None = None, **keys: Any) -> Path:
    """A sweep file and its base design. JSON is YAML too."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text(json.dumps(design or base(), indent=1))
    sweep = {"name": "tiny", "base": "base.yaml", "axes": [{"grid": GRID}], "replicates": 40, "seed": 7, **keys}
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(sweep, indent=1))
    return path


def small_files(monkeypatch: pytest.MonkeyPatch, *, participants: int = 1) -> None:
    """Let this process plan files of 16 replicates (or of as many participants)."""
    monkeypatch.setattr(store, "PARTICIPANTS_PER_FILE", {False: participants, True: participants})


# --- running ----------------------------------------------------------------------------------------------------------


def call(*args: object) -> Result:
    """Call `trialsim` in this process; whatever is raised but an exit is the test's failure."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False)


def run_whole(*args: object) -> Result:
    """The same, and nothing may be wrong."""
    result = call(*args)
    assert result.exit_code == 0, result.output
    return result


def refused(*args: object) -> str:
    """The message of a command that is refused: exit code 2, one message, no traceback."""
    result = call(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("trialsim: ")
    return " ".join(result.stderr.split())


def started(
    *args: object, command: tuple[object, ...] = (sys.executable, PROGRAM), **how: Any
) -> subprocess.Popen[str]:
    """`trialsim` as a process with small files, in a group of its own."""
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OPENBLAS_NUM_THREADS": "1"}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": {**os.environ, **as_root}, **how}
    words = [str(word) for word in (*command, *args)]
    return subprocess.Popen(words, text=True, start_new_session=True, **how)


def finished(process: subprocess.Popen[str], *, seconds: float = 120) -> tuple[int, str, str]:
    """Exit code, standard output and standard error, once it has ended."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Worker processes that it has started."""
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    return [pid for pid in pids if "spawn_main" in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended
        return ""


def nobody_left(process: subprocess.Popen[str]) -> bool:
    """Whether all of its group are gone, soon."""
    try:
        until(lambda: not _alive(process.pid), seconds=20)
    except TimeoutError:
        return False
    return True


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def until(true: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait for something. TimeoutError if it does not come."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def end(process: subprocess.Popen[str]) -> None:
    """Kill it, if it is still there, and bury it."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate()


# --- what is left behind ----------------------------------------------------------------------------------------------


def stored(folder: Path) -> Bytes:
    """Every file below data/, hidden ones too: name -> bytes."""
    paths = [path for path in (folder / "data").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def n_files(folder: Path) -> int:
    """Finished files below data/."""
    return sum(not path.name.startswith(".") for path in (folder / "data").rglob("*.parquet"))


def unfinished(folder: Path) -> list[str]:
    """Hidden files anywhere in the folder, but for the lock."""
    return sorted(path.name for path in folder.rglob(".*") if path.is_file() and path.name != ".lock")


def status(folder: Path) -> Data:
    """What `trialsim status --json` says."""
    found: Data = json.loads(run_whole("status", folder, "--json").stdout)
    return found
