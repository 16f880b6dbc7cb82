"""Who works on which question: workers share all questions in small pieces, and nobody waits for one that is slow.

A client has one question: a newer one takes its place, and one that is older is not begun. Questions that have had
little work go first, in the order in which they came; of those that have had their turn (the slow ones) every fourth
piece is taken, one question after the other. Equal questions are worked on once. What is done of a question is kept, so
that the answer after a drag begins with the replicates of the drag.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.processes import Processes, Serial, WorkerDied
from trialsim.teach.jobs import Ask, Function, Job, Span
from trialsim.teach.questions import Answer, Question, View
from trialsim.teach.scenes import Done, Piece, work
from trialsim.teach.state import Refused
from trialsim.world.streams import BLOCK

log = logging.getLogger("trialsim.teach")

T = TypeVar("T")
SUPERSEDED = "superseded"
OVERHEAD = 0.04
"""Work on a piece that does not depend on its size [s]."""
MOST_AT_FIRST = 700
"""Participants of a piece as long as nothing is known, in hundreds."""
TOO_SLOW = "This takes too long to simulate here. Try fewer participants."
DIED = "A worker ended while it worked on this, twice. Try other values."
BROKEN = "Something went wrong in the simulation. It is in the log of the server."


Hands = Processes | Serial
"""One worker: an executor that does one thing at a time."""


def one_process() -> Hands:
    """A worker process."""
    return Processes(1)


@dataclass(frozen=True)
class Limits:
    """What is given to questions."""

    piece: float = 0.15
    """Work that a worker is given at once [s]."""
    turn: float = 1.0
    """Work after which a question is a slow one [s]."""
    budget: float = 12.0
    """Work on one question; then it is answered with what there is [s]."""
    patience: float = 30.0
    """From asking to the answer; the same then [s]."""
    hang: float = 60.0
    """A worker that has not finished a piece by then is replaced [s]."""
    waiting: int = 64
    """Questions under way at once."""
    least: int = 32
    """Replicates that an answer rests on at least, unless fewer were asked for."""
    kept: int = 32
    """Questions, and answers, that are kept."""
    clients: int = 2000
    """Clients whose last question is remembered."""


@dataclass(frozen=True)
class Result:
    """An answer, and the replicates that it rests on."""

    answer: Answer
    replicates: int


class Recent(OrderedDict[Any, T]):
    """The last things that were used."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def use(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is there, or a new one; it is the last to go."""
        if key not in self:
            self[key] = make()
        self.move_to_end(key)
        while len(self) > self.most:
            self.popitem(last=False)
        return self[key]


class Crew:
    """Workers and the questions under way, all in one event loop: `open` it there and `close` it."""

    def __init__(
        self,
        workers: int,
        *,
        hands: Callable[[], Hands] = one_process,
        limits: Limits | None = None,
        first: Piece | None = None,
    ) -> None:
        """`first` is what each worker does to begin with, so that it is warm."""
        self.workers, self.limits, self._make, self._first = workers, limits or Limits(), hands, first
        self._jobs: Recent[Job] = Recent(self.limits.kept)
        self._answers: Recent[asyncio.Future[Answer]] = Recent(self.limits.kept)
        self._clients: Recent[_Client] = Recent(self.limits.clients)
        self._queue: list[Job] = []
        self._cost: dict[Hashable, float] = {}
        self._round = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._more = asyncio.Condition()

    # --- life ---

    def open(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._serve()) for _ in range(self.workers)]

    async def close(self) -> None:
        """End the workers and tell everybody who waits."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        for job in list(self._queue):
            job.end(Refused(503, "The page is being closed."))

    # --- asking ---

    async def ask(self, question: Question, view: View, *, client: str = "", sequence: int = 0) -> Result:
        """The answer to a question. Refused where the client has a newer one, or there is too much to do."""
        bare, wanted = replace(question, replicates=0), min(question.replicates, view.most)
        job = await self._settled(work, bare, (0, wanted), client=client, sequence=sequence)
        n, parts = job.parts((0, wanted))
        if n < min(self.limits.least, wanted):
            raise Refused(503, TOO_SLOW, headers={"Retry-After": "5"})
        own = replace(question, replicates=n)
        answer = await self._answer(own, view, parts)
        if n < wanted:
            answer = replace(answer, says=[*answer.says, _fewer(n, wanted)])
        return Result(answer, n)

    async def _answer(self, question: Question, view: View, parts: list[Any]) -> Answer:
        """Put together once, for all who ask the same."""

        def make() -> asyncio.Future[Answer]:
            return asyncio.ensure_future(asyncio.to_thread(view.answer, question, parts))

        try:
            return await asyncio.shield(self._answers.use(question, make))
        except Exception:  # whatever a view raises concerns those who asked for it, and the log
            self._answers.pop(question, None)
            log.exception("an answer could not be put together")
            raise Refused(500, BROKEN) from None

    async def once(self, function: Function, question: Question, replicate: int, *, client: str = "") -> Any:
        """What a worker makes of one replicate."""
        span, bare = (replicate, replicate + 1), replace(question, replicates=0)
        job = await self._settled(function, bare, span, client=client and f"{client} {function.__name__}")
        n, parts = job.parts(span)
        if not n:
            raise Refused(503, TOO_SLOW, headers={"Retry-After": "5"})
        return parts[0]

    def options_of(self, question: Question) -> tuple[str, ...]:
        """What the command needs besides, as far as the answer is known."""
        answer = self._answers.get(question)
        known = answer is not None and answer.done() and not answer.cancelled() and answer.exception() is None
        return tuple(answer.result().options) if answer is not None and known else ()

    async def _settled(
        self, function: Function, question: Question, span: Span, *, client: str, sequence: int = 0
    ) -> Job:
        """The job, when the span is done or there will be no more of it."""
        known = self._clients.use(client, _Client) if client else _Client()
        known.advance(sequence)
        job = self._jobs.use((function, question), lambda: Job(function, question))
        if job.has(span):
            return job
        if job not in self._queue and len(self._queue) >= self.limits.waiting:
            raise Refused(503, "Too many questions at once. Try again in a moment.", headers={"Retry-After": "2"})
        ask = known.ask = Ask(job, span, asyncio.get_running_loop().create_future())
        job.asks.append(ask)
        try:
            await self._announce(job)
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if job.is_over else self.limits.patience):
                    await ask.settled
            return job
        finally:
            self._leave(ask)
            if known.ask is ask:
                known.ask = None  # else who has gone long ago would keep what is done in memory

    async def _announce(self, job: Job) -> None:
        if job not in self._queue:
            self._queue.append(job)
        async with self._more:
            self._more.notify_all()

    def _leave(self, ask: Ask) -> None:
        """Somebody waits no more; a job that nobody waits for is left, what is done of it stays."""
        ask.job.asks.remove(ask)
        if not ask.job.asks and ask.job in self._queue:
            self._queue.remove(ask.job)

    # --- working ---

    async def _serve(self) -> None:
        """One worker, as long as the page is served."""
        hands = self._make()
        try:
            await self._warm_up(hands)
            while True:
                job, piece = await self._taken()
                hands = await self._do(hands, job, piece)
        finally:
            await asyncio.to_thread(hands.shutdown, cancel_futures=True)

    async def _warm_up(self, hands: Hands) -> None:
        """Have everything imported and the design's own values worked out before somebody waits for it."""
        if self._first is not None:
            with suppress(Exception):  # it will be told when it is asked
                await asyncio.wrap_future(hands.submit(work, self._first))

    async def _taken(self) -> tuple[Job, Piece]:
        """The next piece of work, as soon as there is one."""
        async with self._more:
            await self._more.wait_for(lambda: any(job.has_work for job in self._queue))
            job = self._next()
        size = self._pace_of(job)
        return job, job.take(size=size, cost=self.limits.piece / size, workers=self.workers)

    def _next(self) -> Job:
        """Whose turn it is."""
        able = [job for job in self._queue if job.has_work]
        slow = [job for job in able if job.spent >= self.limits.turn]
        fresh = [job for job in able if job.spent < self.limits.turn]
        self._round += 1
        if fresh and (not slow or self._round % 4):
            return fresh[0]
        self._queue.remove(slow[0])
        self._queue.append(slow[0])
        return slow[0]

    async def _do(self, hands: Hands, job: Job, piece: Piece) -> Hands:
        """Have a piece done; returns the worker, or a new one where it did not come back."""
        try:
            future = asyncio.wrap_future(hands.submit(job.function, piece))
            async with asyncio.timeout(self.limits.hang):  # wait_for may lose a cancellation
                done: Done = await future
        except (WorkerDied, TimeoutError) as error:
            log.warning("a worker was lost: %s", error or f"no answer within {self.limits.hang:.0f} s")
            self._lost(job, piece)
            return hands if isinstance(error, WorkerDied) else await self._replaced(hands)
        except Exception as error:  # noqa: BLE001 - it concerns those who asked for it, and the log
            self._failed(job, piece, _told(error))
        else:
            self._came(job, piece, done)
        return hands

    def _came(self, job: Job, piece: Piece, done: Done) -> None:
        self._learn(job, piece.n, done.seconds)
        job.put(piece, done)
        if job.spent > self.limits.budget:
            job.wind_up()

    def _lost(self, job: Job, piece: Piece) -> None:
        """Once more, and no more than that."""
        job.put_back(piece)
        job.deaths[piece.first] = job.deaths.get(piece.first, 0) + 1
        if job.deaths[piece.first] > 1:
            self._forget(job, Refused(500, DIED))
        elif job.is_stopped:
            job.wind_up()

    def _failed(self, job: Job, piece: Piece, error: Refused) -> None:
        job.put_back(piece)
        self._forget(job, error)

    def _forget(self, job: Job, error: Refused) -> None:
        self._jobs.pop((job.function, job.question), None)
        job.end(error)

    async def _replaced(self, hands: Hands) -> Hands:
        await asyncio.to_thread(hands.shutdown, cancel_futures=True)
        return self._make()

    # --- how many replicates a worker does in the time of a piece ---

    def _pace_of(self, job: Job) -> float:
        """As learned from questions of this kind; a block, of very large trials less, as long as nothing is known."""
        cost = self._cost.get(_kind(job))
        if cost is None:
            return max(1.0, min(BLOCK, MOST_AT_FIRST / _size(job)))
        return max(1.0, (self.limits.piece - OVERHEAD) / (cost * _size(job)))

    def _learn(self, job: Job, n: int, seconds: float) -> None:
        """What a replicate costs beside the piece itself, half from before and half from now; from small pieces, where
        that is hard to tell apart, only if it is more than was thought."""
        cost = max(seconds - OVERHEAD, 0.1 * seconds) / n / _size(job)
        before = self._cost.get(_kind(job), cost)
        if n > self._pace_of(job) / 2 or cost > before:
            self._cost[_kind(job)] = (before + min(cost, 4 * before)) / 2


def _kind(job: Job) -> Hashable:
    return job.function, job.question.scene, job.question.view


def _size(job: Job) -> float:
    """Participants, to which the work is in proportion, in hundreds; 1 where they cannot be moved."""
    n = job.question.value.get("n", 100)
    return n / 100 if isinstance(n, int | float) else 1.0


def _told(error: Exception) -> Refused:
    """What a piece raised, for those who asked: what a design cannot do, in its own words; all else is in the log."""
    if isinstance(error, TrialsimError) and not isinstance(error, ResultsError):
        return Refused(422, str(error), "values")
    log.error("a piece of work raised", exc_info=error)
    return Refused(500, BROKEN)


def _fewer(n: int, asked: int) -> str:
    return (
        f"Worked out from {n:,} simulated trials instead of {asked:,}, because more would have taken too long: bands "
        "and errors are those of the smaller number."
    )


@dataclass
class _Client:
    """A browser's page: its newest question."""

    sequence: int = -1
    ask: Ask | None = None

    def advance(self, sequence: int) -> None:
        """Take a question; the one before is superseded, and so is this one if it is older."""
        if sequence < self.sequence:
            raise Refused(409, SUPERSEDED)
        self.sequence = sequence
        if self.ask is not None:
            self.ask.settle(Refused(409, SUPERSEDED))
