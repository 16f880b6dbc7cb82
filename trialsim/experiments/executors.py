"""One way to have work done by any executor: few tasks under way at once, results as they come, no task lost."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from trialsim import __version__
from trialsim.errors import ResultsError
from trialsim.experiments.processes import Processes, Serial, WorkerDied, termination_interrupts

Kind = Literal["serial", "processes", "dask", "mpi"]
T = TypeVar("T")
R = TypeVar("R")

TRIES = 3
"""Workers that a task may kill while it is alone, before it is given up."""
PATIENCE = 60
"""Time for a Dask scheduler to answer, and for its first worker to come [s]."""


@dataclass(frozen=True)
class Lost(Generic[T]):
    """What comes instead of a result: the task killed every worker that it was given to."""

    task: T
    reason: str


@dataclass
class _Job(Generic[T]):
    task: T
    alone: bool = False
    lonely_deaths: int = 0


class Crew:
    """An executor and what is known about it.

    `workers` says how many there are now. `death` is what a future raises when the worker that had its task died; after
    `tries` of them a task that was alone is lost, and `reason` says why.
    """

    def __init__(
        self,
        executor: Executor,
        workers: Callable[[], int],
        *,
        death: type[Exception] | tuple[()] = (),
        tries: int = 1,
        reason: Callable[[Any], str] = str,
    ) -> None:
        self._executor, self._workers = executor, workers
        self._death, self._tries, self._reason = death, tries, reason

    @property
    def workers(self) -> int:
        """Number of workers at this moment."""
        return self._workers()

    def results(
        self, function: Callable[[T], R], tasks: Iterable[T], *, ahead: int = 2
    ) -> Generator[tuple[T, R | Lost[T]], None, None]:
        """Each task with function(task), in the order in which they are finished; function and tasks are picklable.

        `ahead` tasks per worker are under way at once. The iterator of tasks is asked for more whenever there is room,
        and again after every result even if it had no more before, so it may grow. A task whose worker dies is done
        again while no other is under way (the crowd may have taken the memory), and is `Lost` when that kills `tries`
        workers. What the function raises goes through. Close the generator (contextlib.closing) to drop what is not
        begun.
        """
        asked = iter(tasks)
        suspects: deque[_Job[T]] = deque()
        under_way: dict[Future[R], _Job[T]] = {}
        try:
            while True:
                for job in self._next_jobs(asked, suspects, under_way, ahead):
                    under_way[self._executor.submit(_checked, __version__, function, job.task)] = job
                if not under_way:
                    return
                wait(under_way, return_when=FIRST_COMPLETED)
                future = next(one for one in under_way if one.done())
                job = under_way.pop(future)
                try:
                    result: R | Lost[T] = future.result()
                except self._death as error:
                    job.lonely_deaths += job.alone
                    if job.lonely_deaths < self._tries:
                        suspects.append(job)
                        continue
                    result = Lost(job.task, self._reason(error))
                except CancelledError as error:
                    raise ResultsError("the workers have gone (perhaps the scheduler of the cluster ended).") from error
                yield job.task, result
        finally:
            for future in under_way:
                future.cancel()

    def _next_jobs(
        self, asked: Iterator[T], suspects: deque[_Job[T]], under_way: dict[Future[R], _Job[T]], ahead: int
    ) -> Iterator[_Job[T]]:
        """What to submit now. A suspect waits until nothing else is under way, and nothing else is begun meanwhile."""
        if suspects or any(job.alone for job in under_way.values()):
            if not under_way:
                suspect = suspects.popleft()
                suspect.alone = True
                yield suspect
            return
        room = 1 if isinstance(self._executor, Serial) else ahead * self.workers
        while len(under_way) < room:
            try:
                yield _Job(next(asked))
            except StopIteration:
                return


def _checked(version: str, function: Callable[[T], R], task: T) -> R:
    """Where the work is done: refuse it if this trialsim is not the one that sent it."""
    if version != __version__:
        raise ResultsError(f"a worker has trialsim {__version__}, but was sent work by {version}. Install the same.")
    return function(task)


@contextmanager
def crew(kind: Kind, workers: int, *, address: str | None = None) -> Iterator[Crew]:
    """Workers of some kind, until the block is left; then what is still under way is dropped.

    serial
        This process.
    processes
        `workers` spawned processes.
    dask
        The scheduler at `address` (`dask://host:port`, `tcp://host:port`, or a path of its scheduler file), or without
        one `workers` processes of a cluster of its own on this machine.
    mpi
        The ranks other than 0 of `mpiexec`; `workers` means nothing. Those ranks work as long as rank 0 is in its
        block, and end where they enter theirs (SystemExit with code 0): only rank 0 goes on. So enter it before
        anything is printed or written. A rank that dies takes the whole job with it.

    SIGTERM is a KeyboardInterrupt meanwhile. ResultsError if there are no such workers here.
    """
    opened = {"serial": _serial, "processes": _processes, "dask": _dask, "mpi": _mpi}[kind]
    with opened(workers, address) as hands, termination_interrupts():
        yield hands


def local_crew(workers: int) -> AbstractContextManager[Crew]:
    """This process, or several beside it."""
    return crew("serial" if workers <= 1 else "processes", workers)


@contextmanager
def _serial(_: int, __: str | None) -> Iterator[Crew]:
    yield Crew(Serial(), lambda: 1)


@contextmanager
def _processes(workers: int, _: str | None) -> Iterator[Crew]:
    executor = Processes(workers)
    try:
        yield Crew(executor, lambda: workers, death=WorkerDied, tries=TRIES, reason=lambda e: f"{e}, {TRIES} times")
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _dask(workers: int, address: str | None) -> Iterator[Crew]:
    try:
        import distributed
    except ImportError:
        raise ResultsError("Dask is not installed. Try: pip install 'trialsim[cluster]'.") from None
    with ExitStack() as stack:
        client = _client(distributed, stack, workers, address)
        executor = client.get_executor(pure=False)  # else a task that is tried again gets its old answer
        try:
            yield Crew(
                executor,
                _threads_of(client),
                death=distributed.KilledWorker,  # raised when the scheduler has given the task to several workers
                reason=lambda killed: f"{killed.allowed_failures + 1} workers of the cluster died of it",
            )
        finally:
            executor.shutdown(wait=False)


def _client(distributed: Any, stack: ExitStack, workers: int, address: str | None) -> Any:
    """Connected to a scheduler that has a worker with this version. ResultsError otherwise."""
    where: dict[str, Any]
    if address is None:
        where = {"address": stack.enter_context(
            distributed.LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
                         silence_logs=logging.CRITICAL)
        )}  # fmt: skip
    elif "://" in address:
        where = {"address": address.replace("dask://", "tcp://", 1)}
    elif Path(address).is_file():
        where = {"scheduler_file": address}
    else:
        raise ResultsError(f"no scheduler file '{address}'. Give one, or an address such as dask://host:8786.")
    try:
        client = stack.enter_context(distributed.Client(**where, timeout=PATIENCE, set_as_default=False))
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ResultsError(f"no Dask scheduler with a worker at {address}: {str(error).rstrip('.')}.") from error
    try:
        client.run(_checked, __version__, _nothing, None)
    except ResultsError:
        raise
    except Exception as error:
        raise ResultsError(f"the workers at {address} cannot load trialsim {__version__}: {error}.") from error
    return client


def _nothing(_: None) -> None:
    """A task."""


def _threads_of(client: Any) -> Callable[[], int]:
    """How many tasks the workers take at once; asked again every five seconds, because workers come and go."""

    @lru_cache(maxsize=1)
    def count(_: int) -> int:
        return max(1, sum(client.nthreads().values()))

    return lambda: count(int(time.monotonic() / 5))


@contextmanager
def _mpi(_: int, __: str | None) -> Iterator[Crew]:
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except (ImportError, RuntimeError):  # the latter: no MPI library beside mpi4py
        raise ResultsError("MPI is not installed. Try: pip install 'trialsim[mpi]'.") from None
    workers = MPI.COMM_WORLD.Get_size() - 1
    if workers < 1:
        raise ResultsError("MPI needs a rank beside the first to do the work. Start with: mpiexec -n 3 trialsim ...")
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        leader: Any = executor
        if leader is not None:
            try:
                yield Crew(leader, lambda: workers)
            finally:
                leader.shutdown(cancel_futures=True)
            return
    raise SystemExit(0)
