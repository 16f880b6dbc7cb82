"""Questions under way: which replicates are done, which are to be done next, and who waits for them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from trialsim.teach.questions import Question
from trialsim.teach.scenes import Done, Piece
from trialsim.world.streams import BLOCK

Function = Callable[[Piece], Done]
TAIL = 3 * BLOCK
"""Replicates that are not worth a piece of their own, for a piece costs something whatever its size."""
SLACK = 0.35
"""By how much a piece may be larger than it should be, if one more round is saved."""
Span = tuple[int, int]
"""First replicate, and the one after the last."""


@dataclass(eq=False)
class Ask:
    """One client's wait for replicates of a job; `settled` is done when they are there, or there will be no more."""

    job: Job
    span: Span
    settled: asyncio.Future[None]

    def settle(self, error: Exception | None = None) -> None:
        """Wake who waits, once."""
        if self.settled.done():
            return
        if error is None:
            self.settled.set_result(None)
        else:
            self.settled.set_exception(error)


@dataclass
class _Stretch:
    """Replicates that a worker has, or has finished."""

    n: int
    begun: float
    part: Any = None
    is_done: bool = False


@dataclass(eq=False)
class Job:
    """All that is done and asked of one question, however many replicates. `question.replicates` is 0."""

    function: Function
    question: Question
    asks: list[Ask] = field(default_factory=list)
    spent: float = 0.0
    """Processor time so far [s]."""
    deaths: dict[int, int] = field(default_factory=dict)
    """Workers lost at a piece, by its first replicate."""
    is_stopped: bool = False
    """Nothing more is worked on: it took too long."""
    _stretches: dict[int, dict[int, _Stretch]] = field(default_factory=dict)

    # --- what is done ---

    def _walk(self, span: Span) -> Iterator[tuple[int, int, _Stretch | None]]:
        """The span cut into stretches that somebody has, and gaps (None), in order."""
        at, end = span
        while at < end:
            n = max((n for n in self._stretches.get(at, ()) if at + n <= end), default=0)
            if n:
                yield at, n, self._stretches[at][n]
            else:
                starts = (start for start, own in self._stretches.items() if start > at and start + min(own) <= end)
                n = min(starts, default=end) - at
                yield at, n, None
            at += n

    def parts(self, span: Span) -> tuple[int, list[Any]]:
        """How many replicates are done from the span's first on without a gap, and their parts."""
        total, parts = 0, []
        for _, n, stretch in self._walk(span):
            if stretch is None or not stretch.is_done:
                break
            total += n
            parts.append(stretch.part)
        return total, parts

    def has(self, span: Span) -> bool:
        """Whether all of it is done."""
        return self.parts(span)[0] == span[1] - span[0]

    # --- what is to be done ---

    def _gaps(self) -> list[Span]:
        """Replicates asked for that nobody works on."""
        if self.is_stopped:
            return []
        found = {(at, n) for ask in self.asks for at, n, stretch in self._walk(ask.span) if stretch is None}
        return sorted(found)

    @property
    def is_over(self) -> bool:
        """Whether there will be no more."""
        return self.is_stopped and not self._under_way()

    @property
    def has_work(self) -> bool:
        """Whether a worker could go on with it."""
        return bool(self._gaps())

    def take(self, *, size: float, cost: float, workers: int) -> Piece:
        """The next piece: of about `size` replicates, in whole blocks, and so that all workers finish together.

        `cost` is what a replicate takes [s].
        """
        gaps, now = self._gaps(), time.monotonic()
        first, room = gaps[0]
        ahead = sum(max(0.0, one.n - (now - one.begun) / cost) for one in self._under_way())
        share = (sum(n for _, n in gaps) + ahead) / workers
        n = share / max(1, math.ceil(share / size - SLACK))  # in as many rounds as it takes
        n = max(1, int(n)) if size < BLOCK else -(-int(n + first % BLOCK) // BLOCK) * BLOCK - first % BLOCK
        n = room if room - n < TAIL and room <= size else min(max(n, 1), room)
        self._stretches.setdefault(first, {})[n] = _Stretch(n, now)
        return Piece(self.question, first, n)

    def _under_way(self) -> list[_Stretch]:
        return [one for own in self._stretches.values() for one in own.values() if not one.is_done]

    # --- what comes back ---

    def put(self, piece: Piece, done: Done) -> None:
        """A piece is done; who has all that was asked for is woken."""
        stretch = self._stretches[piece.first][piece.n]
        stretch.part, stretch.is_done = done.part, True
        self.spent += done.seconds
        for ask in self.asks:
            if self.has(ask.span):
                ask.settle()

    def put_back(self, piece: Piece) -> None:
        """Nobody works on a piece any more."""
        own = self._stretches[piece.first]
        del own[piece.n]
        if not own:
            del self._stretches[piece.first]

    def wind_up(self) -> None:
        """Begin nothing more; when what is under way has come back, everybody has what there is."""
        self.is_stopped = True
        if self.is_over:
            self.end()

    def end(self, error: Exception | None = None) -> None:
        """Everybody has what there is (or is told why not), and nothing more is begun."""
        self.is_stopped = True
        for ask in self.asks:
            ask.settle(error)
