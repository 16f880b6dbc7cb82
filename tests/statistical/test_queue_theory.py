"""Waiting for coaches and groups against queueing theory, in both engines.

A coach with one place, daily appointments and a constant chance to stop is a server whose services are geometric: with
Poisson arrivals the arm is the queue M/M/c in whole days. The links from the engines to Erlang's formula are tested one
by one: (1) every wait of either engine is that of a recursion of a few lines, fed with the same arrivals and services;
(2) its mean agrees with the recursion's own, with luck of its own; (3) the recursion agrees with Erlang's formula
within what whole days do, and the more exactly the shorter a day is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import design, grouped
from helpers import Z, agrees, run, se_of_mean
from numpy.typing import NDArray

from trialsim.block import Block, EngineName
from trialsim.experiments.closed_forms import erlang_c
from trialsim.world.formulas import MONTH_DAYS

Array = NDArray[Any]

QUEUES = {"E1": (10.0, 4.0, 3), "E3, five": (4.0, 1.0, 5), "E3, six": (5.0, 1.0, 6)}
"""Arrivals and services of one server per unit of time, servers."""
STOP = 1 / 11
MEAN_DAYS = 12
"""A place is taken from the offer to the appointment at which one is found to have stopped: 1 / STOP + 1 days."""
WARM_UP = 300
"""Participants who find the list shorter than it is in the long run."""


def arrivals_per_day(queue: str, mean_days: float = MEAN_DAYS) -> float:
    arrivals, services, _ = QUEUES[queue]
    return arrivals / services / mean_days


def trials(queue: str, engine: EngineName, *, n: int, size: int) -> Block:
    """Trials of one arm whose coaches are the servers."""
    rate = arrivals_per_day(queue) * MONTH_DAYS
    plan = {"kind": "individual", "modules": [f"day {k}" for k in range(60)], "coaches": QUEUES[queue][2]}
    plan |= {"caseload": 1, "interval_days": 1, "referral_days": 0, "lead_days": 0, "max_wait_days": 20_000}
    trial = design(
        recruitment={"sites": {"only": {"rate_per_month": rate}}},
        sample_size=size,
        max_enrolment_days=20_000,
        arms={"coach": {"delivery": plan, "stop_prob": STOP}},
    )
    return run(trial, n=n, engine=engine)


def offers(asks: Array, length: Array, n_servers: int) -> Array:
    """First come, first served by equal servers (Kiefer and Wolfowitz 1955): days of offer, (N, R)."""
    free = np.zeros((n_servers, asks.shape[1]))
    found = np.empty_like(asks)
    for i, (ask, days) in enumerate(zip(asks, length, strict=True)):
        free.sort(axis=0)
        found[i] = np.maximum(free[0], ask)
        free[0] = found[i] + days
    return found


def whole_days(queue: str, *, n: int, size: int, mean_days: int = MEAN_DAYS, n_servers: int | None = None) -> Array:
    """Waits in the queue of whole days, with luck of its own, (N, R)."""
    rng = np.random.default_rng(17)
    asks = np.floor(rng.exponential(1 / arrivals_per_day(queue, mean_days), (size, n)).cumsum(axis=0))
    length = 1.0 + rng.geometric(1 / (mean_days - 1), (size, n))
    return offers(asks, length, n_servers or QUEUES[queue][2]) - asks


@cache
def engine_waits(queue: str) -> Array:
    h = trials(queue, "vector", n=64, size=1_500).histories
    return np.asarray(h.offered_day - h.asked_day)


@pytest.mark.parametrize("queue", QUEUES)
def test_every_wait_is_that_of_the_recursion(engine: EngineName, queue: str) -> None:
    block = trials(queue, engine, n=2, size=500)
    h, course = block.histories, block.plan.courses[0]
    assert course is not None
    n_servers = QUEUES[queue][2]
    found = offers(h.asked_day, course.end + 1, n_servers)
    assert np.array_equal(h.offered_day, found)
    assert not np.array_equal(h.offered_day, offers(h.asked_day, course.end + 1, n_servers + 1))


@pytest.mark.parametrize("queue", QUEUES)
def test_waits_of_many_trials_are_those_of_the_queue_of_whole_days(queue: str) -> None:
    mine = engine_waits(queue)[WARM_UP:]
    for measure in (lambda w: w.mean(axis=0), lambda w: (w > 0).mean(axis=0)):
        own, right = measure(mine), measure(whole_days(queue, n=500, size=1_500)[WARM_UP:])
        error = np.hypot(se_of_mean(own), se_of_mean(right))
        assert agrees(own.mean(), right.mean(), error)
        wrong = measure(whole_days(queue, n=500, size=1_500, n_servers=QUEUES[queue][2] + 1)[WARM_UP:])
        assert not agrees(own.mean(), wrong.mean(), error)


ALLOWED = {MEAN_DAYS: 0.16, 150: 0.03}
"""What whole days do to mean waits, as a share. With services of 12 days on average their coefficient of variation is
0.87 and not 1, which shortens waits by 12 %, (1 + 0.87^2) / 2 (Lee and Longton 1959); counting from the start of a day
moves each by less than a day. With 150 days both are about a percent."""


@pytest.mark.parametrize("mean_days", ALLOWED)
@pytest.mark.parametrize("queue", QUEUES)
def test_the_queue_of_whole_days_is_nearly_erlang_s(queue: str, mean_days: int) -> None:
    arrivals, services, servers = QUEUES[queue]
    _, wait = erlang_c(arrivals, services, servers)
    wait *= services * mean_days

    def is_near(n_servers: int) -> bool:
        waits = whole_days(queue, n=800, size=1_500, mean_days=mean_days, n_servers=n_servers)[2 * WARM_UP :]
        own = waits.mean(axis=0)
        return bool(abs(own.mean() - wait) <= ALLOWED[mean_days] * wait + Z * se_of_mean(own))

    assert is_near(servers)
    assert not is_near(servers + 1)
    assert not is_near(servers - 1)


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_group_takes_as_long_to_fill_as_poisson_arrivals_take_to_come(engine: EngineName) -> None:
    """With m places and Poisson arrivals at rate l a member waits (m - 1) / (2 l) on average over members."""
    places, per_day = 8, 0.7
    group = grouped(sessions=1, size=places, start_after_days=None, facilitators=1_000, max_wait_days=20_000)
    trial = design(
        recruitment={"sites": {"only": {"rate_per_month": per_day * MONTH_DAYS}}},
        sample_size=60 * places,
        max_enrolment_days=20_000,
        arms={"group": group},
    )
    h = run(trial, n=8, engine=engine).histories
    wait = (h.offered_day - h.asked_day).reshape(60, places, -1).mean(axis=1)
    assert (np.bincount(h.group.ravel()) == 8 * places).all()
    assert agrees(wait.mean(), (places - 1) / (2 * per_day), se_of_mean(wait))
    assert not agrees(wait.mean(), places / (2 * per_day), se_of_mean(wait))


# --- luck of sessions -------------------------------------------------------------------------------------------------


def test_components_are_attended_with_their_chance_and_never_unlearned() -> None:
    parts = {"rare": {"attend_prob": 0.2}, "some": {"attend_prob": 0.7, "sessions": [1, 3, 4]}}
    trial = design(arms={"group": grouped(sessions=5, size=6, components=parts)}, sample_size=500)
    block = run(trial, n=16)
    course = block.plan.courses[0]
    assert course is not None
    for name, prob in (("rare", 0.2), ("some", 0.7)):
        part, before = course.components[name], np.zeros((500, 16), dtype=np.int8)
        for n in range(1, len(part.sessions) + 1):
            times = part.attended(np.full((500, 16), n, dtype=np.int8))
            error = np.sqrt(n * prob * (1 - prob) / times.size)
            assert agrees(times.mean(), n * prob, error)
            assert not agrees(times.mean(), n * (prob + 0.05), error)
            assert agrees(times.var(), n * prob * (1 - prob), 2 * np.sqrt(2) * n * prob * (1 - prob) / times.size**0.5)
            assert np.isin(times - before, (0, 1)).all()
            before = times


def test_other_coaches_cover_with_their_chance_and_equally_often() -> None:
    arm = {"kind": "individual", "modules": ["a", "b", "c"], "coaches": 4, "cover_prob": 0.3, "caseload": 500}
    trial = design(arms={"coach": {"delivery": arm | {"sessions_per_week": 500}}}, sample_size=500)
    course = run(trial, n=16).plan.courses[0]
    assert course is not None
    assert course.led_by is not None
    n = course.led_by.size
    for after, prob in ((0, 0.7), (1, 0.1), (2, 0.1), (3, 0.1)):
        share = (course.led_by == after).mean()
        assert agrees(share, prob, np.sqrt(prob * (1 - prob) / n))
        assert not agrees(share, prob + 0.02, np.sqrt(prob * (1 - prob) / n))
    first, second = (course.led_by[k].ravel() > 0 for k in (0, 1))
    assert agrees(np.corrcoef(first, second)[0, 1], 0, 1 / np.sqrt(first.size))


def test_one_coach_alone_is_never_covered() -> None:
    arm = {"kind": "individual", "modules": ["a"], "coaches": 1, "cover_prob": 0.3}
    course = run(design(arms={"coach": {"delivery": arm}}, sample_size=5), n=1).plan.courses[0]
    assert course is not None
    assert course.led_by is None
