"""Ctrl-C, a reader that goes away: one line at most, no traceback, nothing left behind. Real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from outside import Shell, Terminal, everything_in

from trialsim.experiments import runner

TRIALSIM = Path(sys.executable).with_name("trialsim")
INTERRUPTED = "\ntrialsim: interrupted; nothing was written.\n"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal on Unix")


class Working:
    """A long run in a process group of its own, as a terminal starts it."""

    def __init__(self, design: Path, folder: Path, *options: object) -> None:
        args = [TRIALSIM, "run", design, "--replicates", 1_000_000, "--out", folder / "kept", *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.folder = folder
        self.process = subprocess.Popen([*map(str, args)], text=True, start_new_session=True, **streams)  # type: ignore[call-overload]

    def wait_until_under_way(self) -> None:
        deadline = time.monotonic() + 30
        while not list(self.folder.glob(".kept.*.draft")):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def interrupt_group(self) -> tuple[int, str, str]:
        """What Ctrl-C does: a signal to the process and to all its workers."""
        os.killpg(self.process.pid, signal.SIGINT)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def nobody_left(group: int) -> bool:
    """Whether no process of the group is alive, soon."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("options", [(), ("--workers", 2)], ids=["alone", "while workers start"])
def test_ctrl_c_ends_a_run_with_one_line_and_leaves_nothing(
    small: Path, here: Path, options: tuple[object, ...]
) -> None:
    work = Working(small, here, *options)
    work.wait_until_under_way()
    time.sleep(0.2)
    assert work.interrupt_group() == (130, "", INTERRUPTED)
    assert everything_in(here) == []
    assert nobody_left(work.process.pid)


def test_ctrl_c_while_workers_write_tables_leaves_nothing(small: Path, here: Path) -> None:
    work = Working(small, here, "--workers", 2, "--keep-participants")
    work.wait_until_under_way()
    deadline = time.monotonic() + 30
    while not list(here.glob(".kept.*.draft/data/*/*.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert work.interrupt_group() == (130, "", INTERRUPTED)
    assert everything_in(here) == []
    assert nobody_left(work.process.pid)


def test_an_interruption_to_the_parent_alone_ends_its_workers(small: Path, here: Path) -> None:
    work = Working(small, here, "--workers", 2)
    work.wait_until_under_way()
    time.sleep(1.0)
    work.process.send_signal(signal.SIGINT)
    _, err = work.process.communicate(timeout=30)
    assert (work.process.returncode, err) == (130, INTERRUPTED)
    assert everything_in(here) == []
    assert nobody_left(work.process.pid)


def test_an_interruption_is_not_taken_for_a_failed_replicate(
    terminal: Terminal, small: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "measure", interrupted)
    for command in (("run", small, "--replicates", 5, "--out", "kept"), ("compare", "resolve", "--replicates", 2)):
        result = terminal(*command)
        assert (result.exit_code, result.stdout, result.stderr) == (130, "", INTERRUPTED)
    assert everything_in(here) == []


# --- pipes ------------------------------------------------------------------------------------------------------------


def test_head_gets_the_first_line_and_nobody_complains(small: Path, here: Path) -> None:
    line = f"'{TRIALSIM}' run '{small}' --out kept | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "A small trial of three arms\n", "")
    assert (here / "kept/manifest.json").is_file()


@pytest.mark.parametrize("name", ["list", "run"])
def test_a_reader_that_is_gone_is_nobodys_fault(shell: Shell, small: Path, here: Path, name: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = shell(name, *((small, "--out", "kept") if name == "run" else ()), stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert (here / "kept/summary.txt").is_file() == (name == "run")
