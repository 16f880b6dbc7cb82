"""Waiting lists worked out by hand: everyone arrives on schedule, treatment takes as long as it takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from designs import busy, coached, design
from helpers import run

from trialsim.block import Block, EngineName
from trialsim.design.parts import Design
from trialsim.world.histories import NONE, Status
from trialsim.world.places import would_be_offered

AT_ONCE = 30_000.0
"""People per month: the first comes on the opening day for certain, for all practical purposes."""


def on_schedule(days: list[int], coaching: dict[str, Any], **parts: Any) -> Design:
    """One person a site, on its opening day; one arm; three sessions a week apart: a place is taken for 15 days."""
    plan = {"coaches": 1, "caseload": 1, "referral_days": 0, "lead_days": 0, **coaching}
    return design(
        sample_size=len(days),
        recruitment={
            "sites": {f"site{k}": {"rate_per_month": AT_ONCE, "opens": day, "pool": 1} for k, day in enumerate(days)}
        },
        arms={"coach": coached(sessions=3, **plan, arm=parts.pop("arm", {}))},
        **parts,
    )


def waits(trial: Design, engine: EngineName) -> list[int]:
    """Days from asking to the offer, NONE where there was none."""
    h = run(trial, n=1, engine=engine).histories
    return [int(o - a) if o != NONE else NONE for a, o in zip(h.asked_day[:, 0], h.offered_day[:, 0], strict=True)]


EVERY_TEN = [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    ("days", "coaching", "expected"),
    [
        # D/D/1: a place is free again on the day after the last session, 15 days after the offer.
        (EVERY_TEN, {}, [0, 5, 10, 15, 20, 25]),
        ([0, 15, 30, 45], {}, [0, 0, 0, 0]),
        ([0, 14, 30, 45], {}, [0, 1, 0, 0]),
        # D/D/c: all at once, two places, then three.
        ([0] * 6, {"caseload": 2}, [0, 0, 15, 15, 30, 30]),
        ([0] * 6, {"coaches": 3}, [0, 0, 0, 15, 15, 15]),
        (EVERY_TEN, {"coaches": 2}, [0, 0, 0, 0, 0, 0]),
        # Two sessions a week leave two places, whatever the caseload.
        ([0] * 4, {"caseload": 9, "sessions_per_week": 2}, [0, 0, 15, 15]),
        # Appointments two weeks apart: 29 days a place, and two sessions a week serve four participants.
        ([0] * 3, {"interval_days": 14}, [0, 29, 58]),
        ([0] * 6, {"interval_days": 14, "caseload": 9, "sessions_per_week": 2}, [0, 0, 0, 0, 29, 29]),
        # The days before the first appointment are taken, too; those between randomization and asking are not.
        ([0] * 3, {"lead_days": 5}, [0, 20, 40]),
        ([0] * 3, {"referral_days": 9}, [0, 15, 30]),
        # A second coach joins on day 7; the first one leaves on day 12 and takes nobody more.
        ([0] * 4, {"coaches": [{}, {"joins": 7}]}, [0, 7, 15, 22]),
        ([0] * 4, {"coaches": [{"leaves": 12}, {"joins": 7}]}, [0, 7, 22, 37]),
        ([0, 3], {"coaches": [{"leaves": 3}]}, [0, NONE]),
    ],
)
def test_waits_are_those_of_the_calculation_by_hand(
    engine: EngineName, days: list[int], coaching: dict[str, Any], expected: list[int]
) -> None:
    assert waits(on_schedule(days, coaching), engine) == expected


def test_whoever_gives_up_makes_room_for_the_next(engine: EngineName) -> None:
    """The longest wait is 12 days: the third, who asks on day 10, would have a place on day 30 and leaves on day 23."""
    trial = on_schedule([0, 4, 10, 18], {"max_wait_days": 12})
    h = run(trial, n=1, engine=engine).histories
    assert h.offered_day[:, 0].tolist() == [0, 15, NONE, 30]
    assert h.status[:, 0].tolist() == [Status.COMPLETED, Status.COMPLETED, Status.STOPPED_WAITING, Status.COMPLETED]
    assert h.ended_day[:, 0].tolist() == [14, 29, 23, 44]


def test_the_longest_wait_still_counts_and_one_day_more_does_not(engine: EngineName) -> None:
    assert waits(on_schedule([0, 3], {"max_wait_days": 12}), engine) == [0, 12]
    assert waits(on_schedule([0, 2], {"max_wait_days": 12}), engine) == [0, NONE]


def test_whoever_is_certain_to_start_waits_for_nothing_if_no_wait_is_allowed(engine: EngineName) -> None:
    assert waits(on_schedule([0, 0, 20], {"max_wait_days": 0}), engine) == [0, NONE, 0]


def test_a_place_is_given_back_on_the_day_of_leaving_the_study_and_taken_on_the_day_after(engine: EngineName) -> None:
    """Most leave within weeks: an offer follows the exit before it by exactly one day."""
    trial = on_schedule([0] * 5, {}, arm={"withdrawal_prob": 0.9}, visits={"v": {"day": 40, "closes": 0}})
    h = run(trial, n=16, engine=engine).histories
    n_followed = 0
    for column in range(16):
        served = [i for i in range(5) if h.offered_day[i, column] != NONE]
        for before, after in pairwise(served):
            assert h.offered_day[after, column] == h.released_day[before, column] + 1
            n_followed += int(h.released_day[before, column] == h.exit_day[before, column])
    assert n_followed > 5


def as_an_outsider(block: Block, arm: int, i: int, column: int) -> tuple[int, int]:
    """What a member of a coached arm would be offered, and by whom, had neither they nor anybody after them joined."""
    before = block.histories.replicate(column)
    told = {name: getattr(before, name).copy() for name in ("arm", "coach", "offered_day", "released_day")}
    told["arm"][i:] = np.where(before.arm[i:] == NONE, NONE, (arm + 1) % len(block.world.arms))
    for name in ("coach", "offered_day", "released_day"):
        told[name][i:] = NONE
    asks = before.randomized_day + block.world.design.arms[block.world.arms[arm]].delivery.referral_days
    offer, coach = would_be_offered(block.world, arm, replace(before, **told), asks)
    return int(offer[i, 0]), int(coach[i, 0])


def test_what_others_would_have_been_offered_is_what_they_are_offered_as_members(engine: EngineName) -> None:
    """Would-be waits (the truth behind potential outcomes) are checked on those whose wait is known: the members."""
    block = run(busy(), n=2, engine=engine)
    h = block.histories
    served = [(i, c) for c in range(2) for i in np.flatnonzero((h.arm[:, c] == 0) & (h.offered_day[:, c] != NONE))]
    waited = [h.offered_day[i, c] > h.asked_day[i, c] for i, c in served]
    assert sum(waited) > 10
    for i, c in served:
        assert as_an_outsider(block, 0, i, c) == (h.offered_day[i, c], h.coach[i, c])


def test_sessions_are_on_the_days_of_the_calculation_by_hand(engine: EngineName) -> None:
    h = run(on_schedule([3, 10], {"referral_days": 2, "lead_days": 4}), n=1, engine=engine).histories
    assert h.attended_day[:, :, 0].T.tolist() == [[9, 16, 23], [28, 35, 42]]
    assert h.released_day[:, 0].tolist() == [23, 42]
