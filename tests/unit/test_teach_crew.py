"""Who works on which question: pieces, turns, stale questions, limits in time, workers that are lost. No real workers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from designs import plain_data
from helpers import in_a_loop

from trialsim.design.parts import Design
from trialsim.errors import TrialsimError
from trialsim.experiments.processes import Serial, WorkerDied
from trialsim.teach import crew as crews
from trialsim.teach import explore, scenes
from trialsim.teach.crew import Crew, Limits, Result
from trialsim.teach.jobs import Ask, Job
from trialsim.teach.questions import Answer, Question, View, answered
from trialsim.teach.scenes import Done, Piece
from trialsim.teach.state import Refused, encoded

SECOND = 0.0002
"""What a replicate costs [s]."""


def question(name: str = "q", replicates: int = 500, **values: Any) -> Question:
    return Question("explore", name, tuple(values.items()), 1, replicates, "{}")


def counted(question: Question, parts: list[Any]) -> Answer:
    """An answer that says which replicates it has."""
    seen = [k for part in parts for k in part]
    assert seen == list(range(question.replicates))
    return Answer([{"kind": "numbers", "n": len(seen)}], ["told"])


def no_part(question: Question, first: int, n: int) -> Any:
    raise AssertionError("nobody is asked for a part in this process")


VIEW = View("counted", no_part, counted, lambda q: Design.model_validate(plain_data()), lambda q, f: f"trialsim {f}")


class Hand:
    """A worker that notes its pieces, and does them when and how it is told; `cost` by name of the view [s/replicate]."""

    def __init__(self, log: list[Piece], cost: dict[str, float] | None = None, *, pause: float = 0.0) -> None:
        self.log, self.cost, self.pause, self.ended = log, cost or {}, pause, False

    def submit(self, fn: Any, /, piece: Piece) -> Future[Done]:
        self.log.append(piece)
        future: Future[Done] = Future()
        self.settle(future, piece)
        return future

    def settle(self, future: Future[Done], piece: Piece) -> None:
        seconds = 0.03 + self.cost.get(piece.question.view, SECOND) * piece.n
        done = Done(list(range(piece.first, piece.first + piece.n)), seconds)
        asyncio.get_running_loop().call_later(self.pause, lambda: future.cancelled() or future.set_result(done))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.ended = True


def with_crew(
    body: Callable[[Crew], Coroutine[Any, Any, Any]], hands: Callable[[], Any], *, workers: int = 2, **limits: Any
) -> Any:
    """Run a test's body with a crew that is open."""

    async def run() -> Any:
        crew = Crew(workers, hands=hands, limits=Limits(**limits))
        crew.open()
        try:
            return await body(crew)
        finally:
            await crew.close()

    return in_a_loop(run)


# --- pieces -----------------------------------------------------------------------------------------------------------


def job(*spans: tuple[int, int]) -> Job:
    made = Job(scenes.work, question(replicates=0))
    loop = asyncio.new_event_loop()
    made.asks = [Ask(made, span, loop.create_future()) for span in spans]
    loop.close()
    return made


def taken(made: Job, *, size: float, workers: int = 2) -> list[tuple[int, int]]:
    """All pieces, each done before the next is taken."""
    pieces = []
    while made.has_work:
        piece = made.take(size=size, cost=1e-9, workers=workers)
        pieces.append((piece.first, piece.n))
        made.put(piece, Done([piece.first], 0.0))
    return pieces


def test_pieces_follow_one_another_without_gaps_and_are_of_whole_blocks() -> None:
    pieces = taken(job((0, 500)), size=100)
    assert [first for first, _ in pieces] == [sum(n for _, n in pieces[:k]) for k in range(len(pieces))]
    assert sum(n for _, n in pieces) == 500
    assert all(first % 16 == 0 for first, _ in pieces)
    assert max(n for _, n in pieces) <= 1.35 * 100 + 16
    assert min(n for _, n in pieces) >= 48  # no tail that is hardly worth a piece


def test_a_replicate_that_costs_much_is_a_piece_by_itself() -> None:
    assert taken(job((0, 5)), size=1.0) == [(k, 1) for k in range(5)]


def test_the_replicates_of_a_drag_are_the_first_of_the_answer_after_it() -> None:
    made = job((0, 120))
    before = taken(made, size=64)
    assert sum(n for _, n in before) == 120
    made.asks = [replace(made.asks[0], span=(0, 500))]
    after = taken(made, size=64)
    assert after[0][0] == 120
    assert made.parts((0, 500))[0] == 500


def test_an_answer_of_fewer_replicates_than_are_done_has_parts_that_fit() -> None:
    made = job((0, 500))
    taken(made, size=128)
    made.asks = [replace(made.asks[0], span=(0, 100))]
    assert not made.has((0, 100))
    taken(made, size=128)
    assert made.parts((0, 100))[0] == 100
    assert made.parts((0, 500))[0] == 500


def test_two_workers_share_a_small_question_evenly() -> None:
    made = job((0, 120))
    first, second = (made.take(size=200.0, cost=0.001, workers=2) for _ in range(2))
    assert {first.n, second.n} == {64, 56}
    assert not made.has_work
    made.put_back(first)
    assert made.has_work
    assert made.take(size=200.0, cost=0.001, workers=1).first == first.first


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_question_is_answered_from_all_its_replicates_in_order() -> None:
    log: list[Piece] = []
    result = with_crew(lambda crew: crew.ask(question(), VIEW, client="a"), lambda: Hand(log))
    assert result == Result(Answer([{"kind": "numbers", "n": 500}], ["told"]), 500)
    assert sum(piece.n for piece in log) == 500
    assert {piece.question.replicates for piece in log} == {0}


def test_equal_questions_are_worked_on_once_and_remembered() -> None:
    log: list[Piece] = []

    async def body(crew: Crew) -> None:
        many = await asyncio.gather(*(crew.ask(question(), VIEW, client=f"c{k}") for k in range(30)))
        assert {result.replicates for result in many} == {500}
        await crew.ask(question(), VIEW, client="late")

    with_crew(body, lambda: Hand(log, pause=0.001))
    assert sum(piece.n for piece in log) == 500


def test_a_view_that_makes_fewer_replicates_is_not_asked_for_more() -> None:
    log: list[Piece] = []
    result = with_crew(lambda crew: crew.ask(question(), replace(VIEW, most=48), client="a"), lambda: Hand(log))
    assert result.replicates == 48
    assert list(result.answer.says) == ["told"]


def test_pieces_take_about_as_long_as_they_may_whatever_a_replicate_costs() -> None:
    for cost in (0.0001, 0.002, 0.3):
        log: list[Piece] = []

        async def body(crew: Crew) -> None:
            for k in range(4):
                await crew.ask(question("slow", 80, k=k), VIEW, client="a")

        with_crew(body, lambda log=log, cost=cost: Hand(log, {"slow": cost}), budget=1e9, patience=60.0)
        longest = max(0.03 + cost * piece.n for piece in log[len(log) // 2 :])
        assert longest <= max(0.03 + cost, 0.03 + 16 * cost if cost < 0.006 else 0.0, 0.2)


# --- stale questions --------------------------------------------------------------------------------------------------


def test_a_newer_question_takes_the_place_of_an_older_one_which_is_told_so() -> None:
    log: list[Piece] = []

    async def body(crew: Crew) -> None:
        older = asyncio.create_task(crew.ask(question("old", 1000), VIEW, client="a", sequence=1))
        await asyncio.sleep(0.005)
        newer = await crew.ask(question("new", 64), VIEW, client="a", sequence=2)
        assert newer.replicates == 64
        with pytest.raises(Refused, match="superseded") as refused:
            await older
        assert refused.value.status == 409
        with pytest.raises(Refused, match="superseded"):
            await crew.ask(question("older", 64), VIEW, client="a", sequence=1)
        again = await crew.ask(question("new", 64), VIEW, client="a", sequence=2)  # tried again after a pause
        assert again.replicates == 64

    with_crew(body, lambda: Hand(log, pause=0.01))
    assert sum(piece.n for piece in log if piece.question.view == "old") < 1000  # what was not begun is not done


def test_what_was_answered_is_not_kept_for_every_client_that_ever_asked() -> None:
    kept = []

    async def body(crew: Crew) -> None:
        for k in range(12):
            await crew.ask(question(f"q{k}", 32), VIEW, client=f"c{k}")
            kept.append(weakref.ref(next(reversed(crew._jobs.values()))))
        gc.collect()
        assert sum(one() is not None for one in kept) <= 5

    with_crew(body, lambda: Hand([]), kept=4)


def test_clients_do_not_supersede_each_other() -> None:
    async def body(crew: Crew) -> None:
        asks = [crew.ask(question(f"q{k}", 64), VIEW, client=f"c{k}", sequence=9 - k) for k in range(5)]
        assert len(await asyncio.gather(*asks)) == 5

    with_crew(body, lambda: Hand([], pause=0.001))


def test_a_question_that_nobody_waits_for_any_more_is_left() -> None:
    log: list[Piece] = []

    async def body(crew: Crew) -> None:
        asking = asyncio.create_task(crew.ask(question("long", 1000), VIEW, client="a"))
        await asyncio.sleep(0.03)
        asking.cancel()
        await asyncio.sleep(0.03)
        begun = len(log)
        await asyncio.sleep(0.05)
        assert len(log) == begun

    with_crew(body, lambda: Hand(log, pause=0.01), workers=1)


# --- fairness ---------------------------------------------------------------------------------------------------------


def test_questions_that_had_little_work_go_first_and_slow_ones_have_every_fourth_piece() -> None:
    log: list[Piece] = []
    cost = {"slow": 0.01, "slow too": 0.01}

    async def body(crew: Crew) -> None:
        for k in range(3):  # what these cost is learned
            await crew.ask(question("slow", 32, k=k), VIEW, client="teacher")
        slow = [asyncio.create_task(crew.ask(question(name, 1000), VIEW, client=name)) for name in cost]
        while not all(sum(0.1 for p in log if p.question.view == name) > 1.5 for name in cost):
            await asyncio.sleep(0.001)
        begun = len(log)
        await asyncio.gather(*(crew.ask(question("quick", 240, k=k), VIEW, client=f"c{k}") for k in range(12)))
        meanwhile = [piece.question.view for piece in log[begun:]]
        quick = meanwhile.count("quick")
        assert quick / len(meanwhile) > 0.6
        assert meanwhile.count("slow") > 0
        assert meanwhile.count("slow too") > 0
        assert abs(meanwhile.count("slow") - meanwhile.count("slow too")) <= 2
        for task in slow:
            task.cancel()

    with_crew(body, lambda: Hand(log, cost, pause=0.001), workers=1, budget=1e9)


def test_too_many_questions_at_once_are_refused_with_a_time_to_come_back() -> None:
    async def body(crew: Crew) -> None:
        asks = [asyncio.create_task(crew.ask(question(f"q{k}"), VIEW, client=f"c{k}")) for k in range(12)]
        found = await asyncio.gather(*asks, return_exceptions=True)
        refused = [one for one in found if isinstance(one, Refused)]
        assert [one.status for one in refused] == [503] * 4
        assert refused[0].headers == {"Retry-After": "2"}
        assert sum(isinstance(one, Result) for one in found) == 8
        await crew.ask(question("q11"), VIEW, client="c11")

    with_crew(body, lambda: Hand([], pause=0.002), waiting=8)


# --- time -------------------------------------------------------------------------------------------------------------


def test_work_beyond_the_budget_is_not_done_and_the_answer_says_on_how_many_it_rests() -> None:
    log: list[Piece] = []

    async def body(crew: Crew) -> None:
        result = await crew.ask(question("slow", 1000), VIEW, client="a")
        assert 32 <= result.replicates < 1000
        assert f"from {result.replicates:,} simulated trials instead of 1,000" in result.answer.says[-1]
        again = await crew.ask(question("slow", 1000), VIEW, client="b")
        assert again == result  # the same question has the same numbers

    with_crew(body, lambda: Hand(log, {"slow": 0.01}, pause=0.0005), budget=1.0)
    assert sum(piece.n for piece in log) * 0.01 < 2.0


def test_who_has_waited_long_enough_has_what_there_is_or_a_clear_refusal() -> None:
    async def body(crew: Crew) -> None:
        some = await crew.ask(question("some", 1000), VIEW, client="a")
        assert 32 <= some.replicates < 1000

    with_crew(body, lambda: Hand([], {"some": 0.005}, pause=0.03), patience=0.8, workers=1)

    async def nothing(crew: Crew) -> None:
        with pytest.raises(Refused, match="takes too long to simulate here") as refused:
            await crew.ask(question("none", 1000), VIEW, client="a")
        assert refused.value.status == 503

    with_crew(nothing, lambda: Hand([], pause=5.0), patience=0.05)


# --- workers that are lost --------------------------------------------------------------------------------------------


class Dying(Hand):
    """A worker that dies of its first pieces, and then works; `deaths` are those still to come."""

    deaths = 0

    def settle(self, future: Future[Done], piece: Piece) -> None:
        if type(self).deaths > 0:
            type(self).deaths -= 1
            future.set_exception(WorkerDied("its worker process ended with SIGKILL"))
        else:
            super().settle(future, piece)


def test_a_piece_whose_worker_died_is_done_again_once() -> None:
    Dying.deaths = 1
    result = with_crew(lambda crew: crew.ask(question(), VIEW, client="a"), lambda: Dying([]))
    assert result.replicates == 500
    Dying.deaths = 2

    async def body(crew: Crew) -> None:
        with pytest.raises(Refused, match="A worker ended while it worked on this, twice") as refused:
            await crew.ask(question(), VIEW, client="a")
        assert refused.value.status == 500
        assert (await crew.ask(question(), VIEW, client="a")).replicates == 500  # later it may be tried again

    with_crew(body, lambda: Dying([]), workers=1)


def test_a_worker_that_hangs_is_ended_and_replaced() -> None:
    made: list[Hand] = []

    def hands() -> Hand:
        made.append(Hand([], pause=0.0 if made else 60.0))
        return made[-1]

    result = with_crew(lambda crew: crew.ask(question(), VIEW, client="a"), hands, workers=1, hang=0.05)
    assert result.replicates == 500
    assert [hand.ended for hand in made] == [True, True]


class Raising(Hand):
    error: Exception

    def settle(self, future: Future[Done], piece: Piece) -> None:
        if piece.question.view == "bad":
            future.set_exception(self.error)
        else:
            super().settle(future, piece)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ZeroDivisionError("secret folder"), 500, "Something went wrong"),
        (TrialsimError("so it cannot be."), 422, "so"),
    ],
)
def test_a_piece_that_raises_is_told_to_who_asked_and_to_nobody_else(
    error: Exception, status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    Raising.error = error

    async def body(crew: Crew) -> None:
        bad, good = await asyncio.gather(
            crew.ask(question("bad"), VIEW, client="a"), crew.ask(question("good"), VIEW, client="b"),
            return_exceptions=True,
        )  # fmt: skip
        assert isinstance(bad, Refused)
        assert bad.status == status
        assert bad.error.startswith(said)
        assert "secret" not in bad.error
        assert isinstance(good, Result)

    with_crew(body, lambda: Raising([]))
    assert ("secret" in caplog.text) == (status == 500)


def test_an_answer_that_cannot_be_put_together_is_in_the_log_and_not_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def fragile(question: Question, parts: list[Any]) -> Answer:
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("secret")
        return counted(question, parts)

    async def body(crew: Crew) -> None:
        with pytest.raises(Refused) as refused:
            await crew.ask(question(), replace(VIEW, answer=fragile), client="a")
        assert (refused.value.status, refused.value.error) == (500, crews.BROKEN)
        assert (await crew.ask(question(), replace(VIEW, answer=fragile), client="a")).replicates == 500

    with_crew(body, lambda: Hand([]))
    assert "secret" in caplog.text


def test_who_waits_when_the_page_is_closed_is_told() -> None:
    async def body(crew: Crew) -> asyncio.Task[Result]:
        asking = asyncio.create_task(crew.ask(question(), VIEW, client="a"))
        await asyncio.sleep(0.01)
        await crew.close()
        with pytest.raises(Refused, match="being closed"):
            await asking
        return asking

    with_crew(body, lambda: Hand([], pause=1.0))


# --- real views and workers -------------------------------------------------------------------------------------------


def test_one_trial_is_replayed_by_a_worker_and_kept() -> None:
    log: list[Piece] = []

    async def body(crew: Crew) -> None:
        first, second = [await crew.once(scenes.replay, question(), 7, client="a") for _ in range(2)]
        assert first == second == [7]

    with_crew(body, lambda: Hand(log))
    assert [(piece.first, piece.n) for piece in log] == [(7, 1)]


def test_the_numbers_do_not_depend_on_the_crew() -> None:
    scene = explore.scene_of(Design.model_validate(plain_data(sample_size=30)))
    asked = scene.question("explore", replicates=40)
    alone = answered(explore.VIEW, asked)
    results = [
        with_crew(lambda crew: crew.ask(asked, explore.VIEW, client="a"), Serial, workers=workers, piece=piece)
        for workers, piece in ((1, 10.0), (3, 0.031))
    ]
    assert [encoded(list(result.answer.panels)) for result in results] == [encoded(list(alone.panels))] * 2
