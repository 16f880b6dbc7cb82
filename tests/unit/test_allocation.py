"""Randomization lists as they are written before the trial starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import Data, design, usual
from helpers import run
from numpy.typing import NDArray

from trialsim.world.allocation import Assignment, Lists, make_assignment
from trialsim.world.cohort import make_cohort
from trialsim.world.draws import Draws
from trialsim.world.world import World

ARMS = {name: usual() for name in ("a", "b", "c")}


def assignment(allocation: Data, *, n: int = 48, n_replicates: int = 16, seed: int = 1, **parts: Any) -> Assignment:
    """What a trial of n participants goes by."""
    arms = {name: ARMS[name] for name in allocation["ratio"]}
    world = World(design(arms=arms, allocation=allocation, sample_size=n, **parts))
    draws = Draws(seed, 0, n_replicates)
    return make_assignment(world, draws, make_cohort(world, draws))


def lists(allocation: Data, **keys: Any) -> dict[int, NDArray[np.int8]]:
    """The lists of a trial of n participants."""
    made = assignment(allocation, **keys)
    assert isinstance(made, Lists)
    return made.arms


def blocks(ratio: Data, *sizes: int, strata: tuple[Any, ...] = ()) -> Data:
    return {"kind": "blocks", "ratio": ratio, "block_sizes": list(sizes), "strata": list(strata)}


@pytest.mark.parametrize(("ratio", "size"), [({"a": 1, "b": 1}, 4), ({"a": 2, "b": 1, "c": 3}, 6), ({"a": 5}, 5)])
def test_blocks_of_one_size_are_in_ratio_one_after_another(ratio: Data, size: int) -> None:
    (sequence,) = lists(blocks(ratio, size), n=10 * size).values()
    for arm, parts in enumerate(ratio.values()):
        per_block = (sequence == arm).reshape(10, size, -1).sum(axis=1)
        assert (per_block == size // sum(ratio.values()) * parts).all()


def test_every_complete_block_of_a_list_of_mixed_blocks_is_in_ratio() -> None:
    """Sizes are hidden, but each list must be cut into whole blocks of 2 or 6, each in ratio, in some way."""
    (sequence,) = lists(blocks({"a": 1, "b": 1}, 2, 6), n=120).values()
    for column in sequence.T:
        balance = np.concatenate([[0], np.cumsum(np.where(column == 0, 1, -1))])
        reachable = {0}
        for end in range(2, 121):
            if balance[end] == 0 and ({end - 2, end - 6} & reachable):
                reachable.add(end)
        assert max(reachable) >= 120 - 6


def test_block_sizes_are_chosen_with_equal_chance() -> None:
    """A block of 6 begins aaa or bbb with chance 1/10 each; a block of 2 never does: their mixture tells the share."""
    (sequence,) = lists(blocks({"a": 1, "b": 1}, 2, 6), n=6, n_replicates=4_000).values()
    triple = (sequence[:3] == sequence[0]).all(axis=0).mean()
    assert abs(triple - 0.5 * 0.1) < 4.5 * np.sqrt(0.05 * 0.95 / 4_000)


def test_all_orders_of_a_block_are_equally_likely() -> None:
    (sequence,) = lists(blocks({"a": 2, "b": 2}, 4), n=4, n_replicates=3_000).values()
    orders, counts = np.unique(sequence.T, axis=0, return_counts=True)
    assert len(orders) == 6
    assert (np.abs(counts - 500) < 4.5 * np.sqrt(3_000 * 1 / 6 * 5 / 6)).all()


def test_the_order_in_which_block_sizes_are_written_does_not_matter() -> None:
    ratio = {"a": 1, "b": 1}
    assert lists(blocks(ratio, 2, 6))[0].tolist() == lists(blocks(ratio, 6, 2))[0].tolist()


def test_a_longer_list_begins_with_the_same_arms() -> None:
    plan = blocks({"a": 1, "b": 1}, 2, 4, 6)
    (shorter,), (longer,) = lists(plan, n=30).values(), lists(plan, n=90).values()
    assert longer[:30].tolist() == shorter.tolist()


SITE = {"strata": ["site"]}
KINDS: list[Data] = [
    {"kind": "simple"},
    {"kind": "minimization", **SITE},
    {"kind": "biased_coin", **SITE},
    {"kind": "urn"},
    {"kind": "cohorts", "tendency": {"baseline": {"pain": 0.2}}},
]


@pytest.mark.parametrize("plan", KINDS, ids=lambda plan: plan["kind"])
def test_a_larger_trial_keeps_the_arms_of_its_first_participants(plan: Data) -> None:
    allocation = {**plan, "ratio": {"a": 1, "b": 2}}
    arms = {"a": usual(), "b": usual()}
    shorter, longer = (run(design(arms=arms, allocation=allocation, sample_size=n)).histories.arm for n in (30, 90))
    assert longer[:30].tolist() == shorter.tolist()
    assert set(np.unique(longer)) == {0, 1}


def test_each_stratum_has_a_list_of_its_own() -> None:
    people = {"female": {"kind": "binary", "prob": 0.5}}
    both = lists(blocks({"a": 1, "b": 1}, 4, strata=("female",)), n=200, covariates=people)
    assert list(both) == [0, 1]
    n = min(map(len, both.values()))
    same = (both[0][:n] == both[1][:n]).mean()
    assert abs(same - 0.5) < 4.5 * np.sqrt(0.25 / (n * 16 / 4)), "as alike as chance makes them"


def test_a_list_is_long_enough_for_its_stratum_in_every_replicate() -> None:
    people = {"rare": {"kind": "binary", "prob": 0.1}}
    factors = ("rare", "site", {"outcome": "pain", "at_least": 6.0})
    strata = blocks({"a": 1, "b": 1}, 2, strata=factors)
    block = run(design(arms={"a": usual(), "b": usual()}, covariates=people, allocation=strata))
    assert isinstance(block.plan.assignment, Lists)
    for code, sequence in block.plan.assignment.arms.items():
        counts = (block.plan.cohort.stratum == code).sum(axis=0)
        assert len(sequence) == counts.max()
        for column, n in enumerate(counts):
            mine = block.plan.cohort.stratum[:, column] == code
            assert block.histories.arm[mine, column].tolist() == sequence[:n, column].tolist()


def test_strata_by_a_baseline_value_are_cut_at_the_value_itself() -> None:
    """On a grid of 1/3 the value 6 2/3 belongs to 'at least 6.666666666666667' and not to 'at least 6.67'."""
    pain = {"pain": {"items": 3, "mean": 6.5, "sd": 1.0}}
    for limit, smallest in ((20 / 3, 20), (6.67, 21)):
        factor = {"outcome": "pain", "at_least": limit}
        arms = {"a": usual(), "b": usual()}
        block = run(design(outcomes=pain, arms=arms, allocation=blocks({"a": 1, "b": 1}, 2, strata=(factor,))))
        baseline, stratum = block.plan.cohort.baseline[0], block.plan.cohort.stratum
        assert (stratum == (baseline >= smallest)).all()
        assert (baseline == 20).any()


def test_no_participants_need_no_list() -> None:
    nobody = {"sites": {"north": {"rate_per_month": 0.0}}}
    assert lists(blocks({"a": 1, "b": 1}, 2), recruitment=nobody) == {}
