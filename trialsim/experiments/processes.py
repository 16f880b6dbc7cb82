"""Executors of `concurrent.futures` for this process and for processes beside it, and what signals mean meanwhile.

`Processes` is not the `ProcessPoolExecutor` of the standard library: there the death of one worker loses the work of
all, nobody knows which task killed it, and a worker that is killed while it sends a large answer hangs the pool.
"""

from __future__ import annotations

import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from os import _exit
from typing import Any, ParamSpec, TypeVar

from trialsim.errors import ResultsError
from trialsim.experiments.threads import one_thread_per_worker

P = ParamSpec("P")
T = TypeVar("T")

STARTS = 3
"""Workers that may end while they start, one after the other, before that is taken for a fault of the machine."""


class WorkerDied(BrokenExecutor):
    """The process that had this task, and no other task, ended. The message says with what."""


class Serial(Executor):
    """Work in this process, done by the time `submit` returns."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is for whoever asks for the result
            future.set_exception(error)
        return future


class Processes(Executor):
    """Spawned worker processes that stay, each with a thread here that hands it one task after the other.

    A worker that dies fails its task with WorkerDied and is replaced; the others do not notice. A future raises
    ResultsError if workers cannot be started. Workers do not see Ctrl-C and do not outlive this process.
    """

    def __init__(self, workers: int) -> None:
        one_thread_per_worker()
        self._context = get_context("spawn")
        self._threads = ThreadPoolExecutor(workers)
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._ended = False
        if hasattr(signal, "pthread_sigmask"):  # else the first worker's thread does it, and lets Ctrl-C in again
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call of a picklable function."""
        with interrupts_later():  # for the thread that may start here, and the worker that it will start
            return self._threads.submit(self._in_worker, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the work be finished; with `cancel_futures` end it at once, also what workers are doing."""
        if cancel_futures:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._kill()
        self._threads.shutdown(wait=wait)
        if wait:
            self._kill()

    def _in_worker(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        worker: _Worker | None = getattr(self._mine, "worker", None)
        if worker is None:
            worker = self._mine.worker = self._started()
        try:
            return worker.call(function, args, kwargs)
        except WorkerDied as error:
            self._mine.worker = None
            raise WorkerDied(f"its worker process ended with {self._buried(worker)}") from error

    def _started(self) -> _Worker:
        for _ in range(STARTS):
            with self._lock:
                if self._ended:
                    raise CancelledError
                worker = _Worker(self._context)
                self._workers.add(worker)
            if worker.is_ready():
                return worker
            how = self._buried(worker)
        raise ResultsError(
            f"worker processes cannot be started: {STARTS} ended with {how} while they started. In a script of your "
            "own, what runs trials must stand under `if __name__ == '__main__':`. Or try fewer workers."
        )

    def _buried(self, worker: _Worker) -> str:
        with self._lock:
            self._workers.discard(worker)
            return worker.end(patience=1.0)

    def _kill(self) -> None:
        with self._lock:
            self._ended = True
            for worker in self._workers:
                worker.end()


class _Worker:
    """A process and the pipe to it. Nobody else holds the pipe's other end, so it breaks when the process ends."""

    def __init__(self, context: Any) -> None:
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def is_ready(self) -> bool:
        """Wait until it is; False if it ends before."""
        try:
            return bool(self._pipe.recv())
        except (EOFError, OSError):
            return False

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Have a function called; raises what it raises, or WorkerDied."""
        message = pickle.dumps((function, args, kwargs))
        try:
            self._pipe.send_bytes(message)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise WorkerDied from error
        result, fault = pickle.loads(answer)
        if fault is not None:
            raise fault
        return result

    def end(self, *, patience: float = 0.0) -> str:
        """Kill it if it is still alive after some seconds; the signal's name or the exit code that it ended with."""
        self._process.join(patience)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(pipe: Connection) -> None:
    """In a worker: do what comes through the pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        pipe.send(True)
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(message: bytes) -> bytes:
    """Result and None, or None and the exception, pickled."""
    try:
        function, args, kwargs = pickle.loads(message)
        return pickle.dumps((function(*args, **kwargs), None))
    except Exception as error:  # noqa: BLE001 - it is raised again where the result is asked for
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return _pickled_fault(error)


def _pickled_fault(error: Exception) -> bytes:
    try:
        message = pickle.dumps((None, error))
        pickle.loads(message)
    except Exception:  # noqa: BLE001 - an exception of a kind that does not travel
        return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    return message


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        _exit(1)


# --- signals ----------------------------------------------------------------------------------------------------------


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Ctrl-C waits. Threads and processes started meanwhile never see it: a worker would die of it while importing."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def termination_interrupts() -> Iterator[None]:
    """SIGTERM (from `kill`, or a cluster whose time is up) is a KeyboardInterrupt, so that nothing is left behind."""
    unheard = threading.current_thread() is not threading.main_thread()
    if unheard or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
