"""Work done by any executor: the same results, none lost when workers die, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from multiprocessing import active_children
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from trialsim.errors import ResultsError
from trialsim.experiments import executors, processes
from trialsim.experiments.executors import Kind, Lost, crew, local_crew

UNIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
LOCAL: list[Kind] = ["serial", "processes"]


# --- tasks ------------------------------------------------------------------------------------------------------------


def square(k: int) -> int:
    return k * k


def my_process(k: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def raises(k: int) -> int:
    if k == 3:
        raise ValueError("three is wrong")
    return k


class Stubborn(Exception):
    """Cannot be made from what it was pickled with."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raises_stubbornly(_: int) -> None:
    raise Stubborn(1, 2)


def cannot_be_sent(_: int) -> object:
    return lambda: None


def deadly(k: int, *, log: Path, fatal: tuple[int, ...]) -> int:
    """Task k, which says when it begins and ends; the fatal ones end their worker."""
    _say(log, f"begin {k}")
    if k in fatal:
        os._exit(9)
    time.sleep(0.2)
    _say(log, f"end {k}")
    return k


def _say(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")


def dies_while_it_answers(k: int) -> int:
    """Half of an answer, and the end; the first time."""
    if k == 3 and not (log := Path(os.environ["TRIED"])).exists():
        log.touch()

        def half(self: Connection, _: bytes) -> None:
            self._send(struct.pack("!i", 1_000_000))  # type: ignore[attr-defined]
            os._exit(9)

        Connection._send_bytes = half  # type: ignore[attr-defined]
    return k


def dies(*_: object) -> None:
    os._exit(9)


def modules_of_a_run(_: int) -> set[str]:
    import trialsim.experiments.runner
    import trialsim.experiments.successes  # noqa: F401

    return set(sys.modules)


def threads_asked_for(_: int) -> str | None:
    return os.environ.get("OPENBLAS_NUM_THREADS")


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOCAL)
def test_every_task_has_its_result(kind: Kind) -> None:
    with crew(kind, 2) as hands:
        assert sorted(hands.results(square, range(30))) == [(k, k * k) for k in range(30)]
        assert list(hands.results(square, [])) == []
    assert active_children() == []


def test_work_is_done_where_it_should_be() -> None:
    with local_crew(1) as hands:
        assert {pid for _, pid in hands.results(my_process, range(3))} == {os.getpid()}
    with local_crew(2) as hands:
        first = {pid for _, pid in hands.results(my_process, range(8))}
        again = {pid for _, pid in hands.results(my_process, range(8))}
    assert len(first) == 2
    assert first == again
    assert os.getpid() not in first


class Growing(Iterator[int]):
    """Tasks that come in twos, each two once the last are finished; counts those that were asked for."""

    def __init__(self, most: int) -> None:
        self.most, self.finished, self.asked = most, 0, 0

    def __next__(self) -> int:
        if self.asked >= min(self.most, self.finished + 2):
            raise StopIteration
        self.asked += 1
        return self.asked - 1


@pytest.mark.parametrize("kind", LOCAL)
def test_tasks_may_come_while_results_come(kind: Kind) -> None:
    tasks, found = Growing(9), []
    with crew(kind, 2) as hands:
        for task, _ in hands.results(square, tasks):
            tasks.finished += 1
            found.append(task)
    assert sorted(found) == list(range(9))


@pytest.mark.parametrize(("kind", "ahead", "most"), [("serial", 2, 1), ("processes", 1, 2), ("processes", 3, 6)])
def test_few_tasks_are_under_way_at_once(kind: Kind, ahead: int, most: int) -> None:
    tasks = Growing(1000)
    tasks.finished = 1000  # all are there from the start
    with crew(kind, 2) as hands, closing(hands.results(square, tasks, ahead=ahead)) as results:
        assert [tasks.asked - n for n, _ in zip(range(20), results, strict=False)] == [most] * 20


def test_work_that_nobody_waits_for_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with crew("processes", 2) as hands:
        with closing(hands.results(partial(deadly, log=log, fatal=()), range(100), ahead=10)) as results:
            next(results)
        assert sorted(hands.results(square, range(4))) == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert log.read_text().count("begin") < 20


@pytest.mark.parametrize("kind", LOCAL)
def test_what_a_task_raises_goes_through(kind: Kind) -> None:
    with pytest.raises(ValueError, match="three is wrong") as told, crew(kind, 2) as hands:
        list(hands.results(raises, range(10)))
    assert kind == "serial" or "in raises" in told.value.__notes__[0]
    assert active_children() == []


def test_what_cannot_travel_is_an_error_and_not_a_hang() -> None:
    with crew("processes", 1) as hands:
        with pytest.raises(RuntimeError, match="Stubborn: 1 and 2"):
            list(hands.results(raises_stubbornly, [1]))
        with pytest.raises(Exception, match="pickle"):
            list(hands.results(cannot_be_sent, [1]))
        with pytest.raises(Exception, match="pickle"):
            list(hands.results(lambda k: k, [1]))
        assert list(hands.results(square, [4])) == [(4, 16)]


def test_a_worker_with_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "__version__", "0.0.1")
    with pytest.raises(ResultsError, match=r"but was sent work by 0\.0\.1"), crew("processes", 1) as hands:
        list(hands.results(square, [1]))


def test_workers_are_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread each, and no pandas, which takes a second to load."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with crew("processes", 1) as hands:
        assert list(hands.results(threads_asked_for, [0])) == [(0, "1")]
        ((_, modules),) = hands.results(modules_of_a_run, [0])
    assert not isinstance(modules, Lost)
    assert "numpy" in modules
    assert "pandas" not in modules


# --- workers that die -------------------------------------------------------------------------------------------------


@UNIX
def test_a_worker_that_is_killed_loses_nothing() -> None:
    found, killed = {}, 0
    with crew("processes", 2) as hands:
        for task, pid in hands.results(my_process, range(16)):
            assert task not in found
            found[task] = pid
            if len(found) in (3, 9):
                assert isinstance(pid, int)
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert sorted(found) == list(range(16))
    assert killed == 2
    assert len(set(found.values())) >= 3


@UNIX
def test_a_worker_that_dies_while_it_answers_loses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIED", str(tmp_path / "tried"))
    with crew("processes", 2) as hands:
        assert sorted(hands.results(dies_while_it_answers, range(8))) == [(k, k) for k in range(8)]
    assert (tmp_path / "tried").exists()


def test_a_task_that_always_kills_its_worker_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with crew("processes", 2) as hands:
        found = dict(hands.results(partial(deadly, log=log, fatal=(4, 5)), range(12)))
    reason = "its worker process ended with exit code 9, 3 times"
    assert found == {k: Lost(k, reason) if k in (4, 5) else k for k in range(12)}
    lines = log.read_text().splitlines()
    for fatal in (4, 5):
        places = [place for place, line in enumerate(lines) if line == f"begin {fatal}"]
        assert len(places) == 4  # once in company, three times alone
        assert all(_nobody_else(lines[:place]) for place in places[1:])


def _nobody_else(before: list[str]) -> bool:
    """Whether every task begun before has ended, or is one of those that ended their worker."""
    begun = {line.split()[1] for line in before if line.startswith("begin")}
    ended = {line.split()[1] for line in before if line.startswith("end")}
    return begun - ended <= {"4", "5"}


def test_workers_that_cannot_start_are_an_error_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_serve", dies)
    with (
        pytest.raises(ResultsError, match="3 ended with exit code 9 while they started"),
        crew("processes", 2) as hands,
    ):
        list(hands.results(square, range(4)))
    assert active_children() == []


# --- a process of its own ---------------------------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, time
from trialsim.errors import TrialsimError
from trialsim.experiments.executors import crew

def where(k):
    return os.getpid()

def sleeps(k):
    print(os.getpid(), flush=True)
    time.sleep(100)

def squares(k):
    return k * k

def hears(k):
    time.sleep(0.05)
    return os.getpid(), signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())

def main(job, kind):
    with crew(kind, 2) as hands:
        if job == "sleep":
            list(hands.results(sleeps, range(8)))
        if job == "hear":
            workers = set(dict(hands.results(hears, range(16))).values())
            sys.exit(f"{len(workers)} workers, {sum(hears for _, hears in workers)} hear Ctrl-C")
        if job == "fail":
            list(hands.results(squares, range(4)))
            raise TrialsimError("no more")
        found = dict(hands.results(squares, range(50)))
        there = set(dict(hands.results(where, range(50))).values())
        print("sum", sum(found.values()), "workers", hands.workers, "elsewhere", os.getpid() not in there)

GUARD
    try:
        main(*sys.argv[1:])
    except TrialsimError as error:
        sys.exit(f"refused: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace("GUARD", "if __name__ == '__main__':"))
    return path


def called(*args: object) -> subprocess.CompletedProcess[str]:
    command = [str(arg) for arg in args]
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **as_root}
    )


@UNIX
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_nobody_is_left_when_the_leader_is_stopped(script: Path, how: signal.Signals) -> None:
    """In the middle of tasks that take long; workers do not even finish them."""
    command = [sys.executable, str(script), "sleep", "processes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    assert all(alive(pid) for pid in workers)
    process.send_signal(how)
    _, err = process.communicate(timeout=20)
    assert err.strip() == ("" if how is signal.SIGKILL else "interrupted")
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether there is such a process and it is not merely unburied."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(") ")[2][0] != "Z"


@UNIX
def test_ctrl_c_is_blocked_in_workers_from_birth(script: Path) -> None:
    """One that heard it while it imports would write a traceback."""
    assert called(sys.executable, script, "hear", "processes").stderr == "2 workers, 0 hear Ctrl-C\n"


def test_a_script_that_would_start_itself_again_is_told(tmp_path: Path) -> None:
    path = tmp_path / "unguarded.py"
    path.write_text(SCRIPT.replace("GUARD", "if True:"))
    done = called(sys.executable, path, "square", "processes")
    assert done.returncode == 1
    assert "must stand under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


# --- Dask -------------------------------------------------------------------------------------------------------------


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("distributed", "mpi4py"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ResultsError, match=r"pip install 'trialsim\[cluster\]'"), crew("dask", 1):
        pass
    with pytest.raises(ResultsError, match=r"pip install 'trialsim\[mpi\]'"), crew("mpi", 1):
        pass


@UNIX
@pytest.mark.slow
def test_dask_loses_nothing_when_a_worker_is_killed_and_names_a_task_that_kills(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    found: dict[int, int] = {}
    with crew("dask", 2) as hands:
        assert hands.workers == 2
        for task, pid in hands.results(my_process, range(16)):
            assert isinstance(pid, int)
            found[task] = pid
            if len(found) == 4:
                os.kill(pid, signal.SIGKILL)
        assert sorted(found) == list(range(16))
        assert os.getpid() not in found.values()
        rest = dict(hands.results(partial(deadly, log=tmp_path / "log", fatal=(2,)), range(6)))
        assert rest == {k: Lost(2, "4 workers of the cluster died of it") if k == 2 else k for k in range(6)}
        with pytest.raises(ValueError, match="three is wrong"):
            list(hands.results(raises, range(6)))


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nowhere.json", "no scheduler file 'nowhere.json'"),
        ("dask://127.0.0.1:1", r"no Dask scheduler with a worker at dask://127\.0\.0\.1:1: .*Timed out"),
        ("bad://127.0.0.1:1", "unknown address scheme 'bad'"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, address: str, told: str) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "PATIENCE", 0.5)
    with pytest.raises(ResultsError, match=told), crew("dask", 1, address=address):
        pass


# --- MPI --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mpiexec() -> list[str]:
    """The command that starts three ranks."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec")
    more = ["--oversubscribe"] if "Open MPI" in called(found, "--version").stdout else []
    return [found, *more, "-n", "3"]


def test_mpi_gives_the_same_and_only_its_first_rank_goes_on(mpiexec: list[str], script: Path) -> None:
    done = called(*mpiexec, sys.executable, script, "square", "mpi")
    assert (done.returncode, done.stdout) == (0, "sum 40425 workers 2 elsewhere True\n")


def test_an_error_on_the_first_rank_ends_all(mpiexec: list[str], script: Path) -> None:
    done = called(*mpiexec, sys.executable, script, "fail", "mpi")
    assert done.returncode == 1
    assert done.stderr.count("refused: no more") == 1


def test_mpi_needs_a_second_rank(mpiexec: list[str], script: Path) -> None:
    done = called(sys.executable, script, "square", "mpi")
    assert done.returncode == 1
    assert done.stderr.startswith("refused: MPI needs a rank beside the first")
