"""A sweep that was killed, at any moment, and resumed has the same data bytes as one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sweep_runs import (
    LINUX,
    call,
    end,
    finished,
    n_files,
    nobody_left,
    run_whole,
    small_files,
    started,
    status,
    stored,
    unfinished,
    until,
    workers_of,
    write_sweep_file,
)

from trialsim.sweeps import store, whole_files, work

# --- kills between any two steps of writing ---------------------------------------------------------------------------

Writer = Callable[[Path, bytes], None]
write_whole = whole_files.write_whole


class Killed(BaseException):
    """The process ends here: nothing is tidied up."""


def to_draft(path: Path, data: bytes) -> None:
    """As far as a process gets that is killed before it renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{whole_files.HIDDEN}{path.name}.killed").write_bytes(data)


def half_a_draft(path: Path, data: bytes) -> None:
    to_draft(path, data[: len(data) // 2])


class Dies:
    """Writes files until the kth, of which it does only `last`; then nothing more can be done."""

    def __init__(self, k: int, last: Writer, *, write: Writer = write_whole) -> None:
        self.left, self.last, self.write = k, last, write

    def __call__(self, path: Path, data: bytes) -> None:
        self.left -= 1
        if self.left <= 0:
            if self.left == 0:
                self.last(path, data)
            raise Killed
        self.write(path, data)


def writing_with(monkeypatch: pytest.MonkeyPatch, writer: Writer) -> None:
    for module in (whole_files, store, work):
        monkeypatch.setattr(module, "write_whole", writer)


def killed(writer: Dies, *args: object) -> bool:
    """Run a command until it is killed; False if it ended before."""
    with pytest.MonkeyPatch.context() as patch:
        writing_with(patch, writer)
        try:
            call(*args)
        except Killed:
            return True
    return False


def go_on(file: Path, folder: Path) -> int:
    """What a user does: resume, or start again if there is nothing to resume yet."""
    code = call("resume", folder).exit_code
    return code if code == 0 or (folder / "manifest.json").exists() else call("sweep", file, "--out", folder).exit_code


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two designs, each with two files of every table."""
    small_files(monkeypatch)
    return write_sweep_file(tmp_path / "in", axes=[{"grid": {"sample_size": [30, 40]}}], replicates=24)


N_WRITES = 3 + 2 * 2 * 3
"""Manifest, sweep file and design points; two designs, two blocks, three tables."""


@pytest.mark.parametrize("last", [half_a_draft, to_draft, write_whole], ids=["half", "not renamed", "renamed"])
def test_killed_at_every_file(tiny: Path, tmp_path: Path, last: Writer) -> None:
    run_whole("sweep", tiny, "--out", tmp_path / "whole")
    whole = stored(tmp_path / "whole")
    assert len(whole) == 12
    for k in range(1, N_WRITES + 1):
        folder = tmp_path / f"killed at {k}"
        assert killed(Dies(k, last), "sweep", tiny, "--out", folder)
        assert go_on(tiny, folder) == 0
        assert stored(folder) == whole, k
        assert unfinished(folder) == []
    assert not killed(Dies(N_WRITES + 1, last), "sweep", tiny, "--out", tmp_path / "not killed")


def test_killed_at_every_file_while_it_grows(tiny: Path, tmp_path: Path) -> None:
    """Half-filled files are filled up: now an old file and a new one of one block may lie side by side."""
    run_whole("sweep", tiny, "--set", "replicates=30", "--out", tmp_path / "whole")
    whole = stored(tmp_path / "whole")
    for k in range(1, 2 + 2 * 3):
        folder = tmp_path / f"killed at {k}"
        run_whole("sweep", tiny, "--out", folder)
        assert killed(Dies(k, write_whole), "grow", folder, "--replicates", 30) == (k <= 7)
        assert call("grow", folder, "--replicates", 30).exit_code == 0
        assert stored(folder) == whole, k


# --- this check can fail ----------------------------------------------------------------------------------------------


def half_in_place(path: Path, data: bytes) -> None:
    """A wrong store: it writes where it should rename to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[: len(data) // 2])


def test_a_store_that_writes_in_place_fails_the_check(tiny: Path, tmp_path: Path) -> None:
    assert killed(Dies(6, half_in_place), "sweep", tiny, "--out", tmp_path / "out")
    assert go_on(tiny, tmp_path / "out") == 2


class SignFirst:
    """Writes the table that says "this block is done" before the block's others, and is killed between them."""

    def __call__(self, path: Path, data: bytes) -> None:
        if "data" not in path.parts:
            write_whole(path, data)
        elif "replicates" in path.parts:
            write_whole(path, data)
            raise Killed


def test_a_store_that_says_done_too_early_fails_the_check(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless, as it does, it looks whether the other tables are there."""
    run_whole("sweep", tiny, "--out", tmp_path / "whole")
    for checked in (True, False):
        folder = tmp_path / f"checked {checked}"
        with pytest.MonkeyPatch.context() as patch:
            writing_with(patch, SignFirst())
            with pytest.raises(Killed):
                call("sweep", tiny, "--out", folder)
        if not checked:
            monkeypatch.setattr(store.Store, "is_whole", lambda *_: True)
        assert go_on(tiny, folder) == 0
        assert (stored(folder) == stored(tmp_path / "whole")) == checked


def test_a_changed_byte_is_seen(tiny: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run_whole("sweep", tiny, "--out", tmp_path / name)
    assert stored(tmp_path / "one") == stored(tmp_path / "two")
    path = sorted((tmp_path / "two/data").rglob("*.parquet"))[0]
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    assert stored(tmp_path / "one") != stored(tmp_path / "two")


# --- kills from outside -----------------------------------------------------------------------------------------------


def kill_one(process: subprocess.Popen[str], *, parent: bool) -> None:
    """SIGKILL to the command itself, or to one of its workers."""
    if parent:
        end(process)
        assert nobody_left(process)
        return
    until(lambda: workers_of(process) or process.poll() is not None)
    for pid in workers_of(process)[:1]:
        os.kill(pid, signal.SIGKILL)


def wait_for_files(process: subprocess.Popen[str], folder: Path, *, more_than: int) -> None:
    until(lambda: n_files(folder) > more_than or process.poll() is not None)
    assert process.poll() is None, process.communicate()


@LINUX
def test_killed_at_twelve_random_moments(tmp_path: Path) -> None:
    """Six times the command, six times a worker; once before it has done anything, the rest while files appear."""
    file = write_sweep_file(tmp_path / "in", replicates=128, keep=["participants"])
    luck = np.random.default_rng(4)
    whole, folder = tmp_path / "whole", tmp_path / "out"
    code, _, err = finished(started("sweep", file, "--out", whole))
    assert code == 0, err
    n = n_files(whole)
    moments = np.sort(luck.integers(0, int(0.9 * n), 11))
    process = started("sweep", file, "--out", folder, "--workers", 2)
    time.sleep(luck.uniform(0.3, 1.0))
    kill_one(process, parent=True)
    seen = []
    for moment, parent in zip(moments, [False, True] * 6, strict=False):
        if process.poll() is not None:
            begun = (folder / "manifest.json").exists()
            process = started(*(["resume", folder] if begun else ["sweep", file, "--out", folder]), "--workers", 2)
        wait_for_files(process, folder, more_than=moment)
        time.sleep(luck.uniform(0, 0.02))
        seen.append(n_files(folder))
        kill_one(process, parent=parent)
    assert seen[0] < n / 3
    assert n > seen[-1] > n / 2
    process = process if process.poll() is None else started("resume", folder, "--workers", 2)
    code, _, err = finished(process)
    assert code == 0, err
    assert nobody_left(process)
    assert unfinished(folder) == []
    assert stored(folder) == stored(whole)
    assert not status(folder)["running"]


@LINUX
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_stopped_gently(tmp_path: Path, how: signal.Signals) -> None:
    file, folder = write_sweep_file(tmp_path / "in", replicates=160), tmp_path / "out"
    process = started("sweep", file, "--out", folder, "--workers", 2)
    until(lambda: n_files(folder) > 6)
    process.send_signal(how)
    code, out, err = finished(process)
    told = f"trialsim: interrupted. What was finished is kept; go on with: trialsim resume {folder}"
    assert (code, out, err.strip()) == (130, "", told)
    assert nobody_left(process)
    assert 6 < n_files(folder) < 4 * 10 * 3
    assert call("resume", folder).exit_code == 0
    assert n_files(folder) == 4 * 10 * 3
    assert unfinished(folder) == []
