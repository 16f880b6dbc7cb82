"""Run what is missing of a sweep, whoever does the work."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trialsim.errors import ResultsError
from trialsim.experiments.executors import Crew, Lost
from trialsim.sweeps.board import Board
from trialsim.sweeps.folders import unwritable
from trialsim.sweeps.store import Span, Store
from trialsim.sweeps.work import Done, Errand, Piece, work

SECONDS = 0.5
"""Work of one errand at least, where there is as much: it makes the cost of sending it negligible."""
ERRANDS_PER_WORKER = 4
"""No worker should be idle at the end because another was given too much at once."""


@dataclass(frozen=True)
class News:
    """How a sweep is going: replicates of this run and of all, the rate, and the least certain chance."""

    done: int
    wanted: int
    points_done: int
    n_points: int
    per_second: float
    seconds_left: float
    largest_mcse: float
    worst_point: int
    n_failed: int


@dataclass
class Ending:
    """How a sweep ended: replicates that failed, now or earlier, and blocks that were set aside."""

    n_failed: int = 0
    set_aside: list[tuple[Span, str]] = field(default_factory=list)
    n_new: int = 0
    busy_seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether everything wanted is there, and nothing failed."""
        return not self.n_failed and not self.set_aside


def drive(store: Store, crew: Crew, *, news: Callable[[News], None] | None = None) -> Ending:
    """Run every block that is wanted and not on disk. The store must be locked.

    Raises ResultsError where files cannot be written; what is finished stays.
    """
    board = Board(store)
    queue, ending = _Queue(store, board, crew.workers), Ending(n_failed=board.n_failed)
    clock = _Clock(board, news)
    try:
        for errand, found in crew.results(work, queue):
            if isinstance(found, Lost):
                if queue.give_up(errand):
                    ending.set_aside.append((errand.pieces[0].span, found.reason))
                    store.note_set_aside([_aside(span, reason) for span, reason in ending.set_aside])
                continue
            for done in found:
                _note(done, board, queue, ending)
            clock.tick(ending)
    except OSError as error:
        raise ResultsError(unwritable(store.folder, error)) from error
    store.note_set_aside([_aside(span, reason) for span, reason in ending.set_aside])
    clock.tick(ending, last=True)
    return ending


def _note(done: Done, board: Board, queue: _Queue, ending: Ending) -> None:
    board.note(done)
    queue.finished(done)
    ending.n_failed = board.n_failed
    ending.n_new += done.span.n
    ending.busy_seconds += done.seconds


def _aside(span: Span, reason: str) -> dict[str, object]:
    return {"design_point": span.point, "block": span.block, "first": span.first, "stop": span.stop, "reason": reason}


class _Queue(Iterator[Errand]):
    """Errands, made when asked for: several short blocks together, and more of a point once its target needs it."""

    def __init__(self, store: Store, board: Board, workers: int) -> None:
        self._store, self._board, self._workers = store, board, workers
        self._waiting = deque(board.missing())
        self._alone: deque[Span] = deque()  # of errands that killed their workers
        self._given_up: set[tuple[int, int]] = set()
        self._under_way: dict[int, int] = {}
        self._seconds_each: dict[int, float] = {}  # by design point, of one replicate
        self._last = 0.0

    def __next__(self) -> Errand:
        if self._alone:
            return self._errand([self._alone.popleft()])
        if not self._waiting:
            raise StopIteration
        spans: list[Span] = []
        seconds = 0.0
        most = max(1, len(self._waiting) // (ERRANDS_PER_WORKER * self._workers))
        while self._waiting and len(spans) < most and seconds < SECONDS:
            span = self._waiting.popleft()
            spans.append(span)
            # Without experience one block is enough: it may be long.
            seconds += span.n * self._seconds_each.get(span.point, self._last or SECONDS)
        return self._errand(spans)

    def _errand(self, spans: list[Span]) -> Errand:
        for span in spans:
            self._under_way[span.point] = self._under_way.get(span.point, 0) + 1
        return Errand(str(self._store.folder), self._store.tables, tuple(self._piece(span) for span in spans))

    def _piece(self, span: Span) -> Piece:
        store = self._store
        return Piece(span, store.documents[span.point], store.seeds[span.point], store.facts(span))

    def finished(self, done: Done) -> None:
        """A piece is on disk: remember how long it took, and look whether its point needs more."""
        self._last = self._seconds_each[done.span.point] = done.seconds / done.span.n
        self._ended(done.span.point)
        if self._board.plan.target_mcse is not None and not self._under_way[done.span.point]:
            known = {(span.point, span.block) for span in (*self._waiting, *self._alone)} | self._given_up
            more = self._board.missing_of(done.span.point)
            self._waiting.extend(span for span in more if (span.point, span.block) not in known)

    def give_up(self, errand: Errand) -> bool:
        """An errand killed its workers: each block of it is tried by itself, and one that was is given up (True)."""
        for piece in errand.pieces:
            self._ended(piece.span.point)
        if len(errand.pieces) == 1:
            self._given_up.add((errand.pieces[0].span.point, errand.pieces[0].span.block))
            return True
        self._alone.extend(piece.span for piece in errand.pieces)
        return False

    def _ended(self, point: int) -> None:
        self._under_way[point] -= 1


class _Clock:
    """Tells the news now and then."""

    def __init__(self, board: Board, news: Callable[[News], None] | None) -> None:
        self._board, self._news = board, news
        self._started = self._due = time.monotonic()

    def tick(self, ending: Ending, *, last: bool = False) -> None:
        """Tell them, unless that was done a moment ago. Counting may not take more than a twentieth of the time."""
        if self._news is None or (time.monotonic() < self._due and not last):
            return
        began = time.monotonic()
        self._news(self._now(ending))
        self._due = time.monotonic() + max(0.2, 20 * (time.monotonic() - began))

    def _now(self, ending: Ending) -> News:
        board = self._board
        done, wanted = board.totals()
        rate = ending.n_new / max(1e-9, time.monotonic() - self._started)
        error, point = board.largest_mcse()
        return News(
            done=done,
            wanted=wanted,
            points_done=board.points_done(),
            n_points=board.n_points,
            per_second=rate,
            seconds_left=(wanted - done) / rate if rate else float("nan"),
            largest_mcse=error,
            worst_point=point,
            n_failed=ending.n_failed,
        )
