"""Randomization: arms in ratio, independent of everything known or unknown about people, balanced within strata."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import Data, coached, design, usual
from helpers import agrees, run, se_of_share
from numpy.typing import NDArray

from trialsim.block import Block

Floats = NDArray[np.float64]
N, R = 120, 320
ARMS: Data = {"a": usual(), "b": usual(), "c": usual()}
STRATA = ["site", "female", {"outcome": "pain", "at_least": 6.5}]
SIMPLE: Data = {"kind": "simple", "ratio": {"a": 2, "b": 1, "c": 1}}
BLOCKS: Data = {"kind": "blocks", "ratio": {"a": 2, "b": 1, "c": 1}, "block_sizes": [4, 8], "strata": STRATA}


@cache
def allocated(kind: str) -> Block:
    """320 trials of 120 participants at two sites."""
    sites = {"north": {"rate_per_month": 30.0}, "south": {"rate_per_month": 15.0}}
    return run(
        design(
            sample_size=N,
            arms=ARMS,
            recruitment={"sites": sites},
            covariates={"female": {"kind": "binary", "prob": 0.7}, "age": {"kind": "normal", "mean": 50.0, "sd": 9.0}},
            allocation=SIMPLE if kind == "simple" else BLOCKS,
        ),
        n=R,
    )


def known_and_unknown(block: Block) -> dict[str, Floats]:
    """What might differ between arms by chance alone, (N, R) each."""
    cohort = block.plan.cohort
    known = {"female": cohort.covariates["female"], "age": cohort.covariates["age"], "site": cohort.site.astype(float)}
    unknown = {
        "motivation": cohort.motivation,
        "stable": cohort.stable[0],
        "untreated": block.outcomes.potential[0, 2, 0],
    }
    return (
        known | {"baseline": cohort.baseline[0].astype(float)} | unknown | {"day": cohort.randomized_day.astype(float)}
    )


def broken(block: Block) -> NDArray[np.int8]:
    """A cheat: of each two successive participants, the one with the higher baseline is given the lower code."""
    arm, baseline = block.histories.arm.copy(), block.plan.cohort.baseline[0]
    first, second = arm[0::2].copy(), arm[1::2].copy()
    wrong_way = (baseline[0::2] < baseline[1::2]) == (first < second)
    arm[0::2], arm[1::2] = np.where(wrong_way, second, first), np.where(wrong_way, first, second)
    return arm


@pytest.mark.parametrize("kind", ["simple", "blocks"])
def test_arms_are_in_ratio(kind: str) -> None:
    share = np.array([np.mean(allocated(kind).histories.arm == arm) for arm in range(3)])
    se = se_of_share([0.5, 0.25, 0.25], N * R)
    assert agrees(share, [0.5, 0.25, 0.25], se)
    assert not agrees(share, [1 / 3, 1 / 3, 1 / 3], se)


def standardized_differences(arm: NDArray[np.int8], values: Floats) -> Floats:
    """Per replicate: mean in arm a minus mean in the others, over its standard error under randomization."""
    x = values - values.mean(axis=0)
    treated = arm == 0
    n_treated = treated.sum(axis=0)
    gap = np.where(treated, x, 0).sum(axis=0) / n_treated - np.where(treated, 0, x).sum(axis=0) / (N - n_treated)
    return gap / (x.std(axis=0, ddof=1) * np.sqrt(1 / n_treated + 1 / (N - n_treated)))


@pytest.mark.parametrize("kind", ["simple", "blocks"])
def test_arms_do_not_differ_in_anything_but_by_chance(kind: str) -> None:
    """Mean standardized difference over trials is 0, for what is known and for what nobody can know."""
    block = allocated(kind)
    for name, values in known_and_unknown(block).items():
        difference = standardized_differences(block.histories.arm, np.asarray(values, dtype=float))
        assert agrees(difference.mean(), 0, 1 / np.sqrt(R)), name
    baseline = known_and_unknown(block)["baseline"]
    assert not agrees(standardized_differences(broken(block), baseline).mean(), 0, 1 / np.sqrt(R))


def test_simple_allocation_varies_as_coins_do() -> None:
    """Differences have variance 1, the number in arm a is binomial, and successive arms are independent."""
    block = allocated("simple")
    arm = block.histories.arm
    n_a = (arm == 0).sum(axis=0)
    assert agrees(n_a.var(ddof=1), N / 4, N / 4 * np.sqrt(2 / R))
    difference = standardized_differences(arm, block.plan.cohort.stable[0])
    assert agrees(difference.var(ddof=1), 1, np.sqrt(2 / R))
    again = np.mean((arm[1:] == 0) & (arm[:-1] == 0))
    assert agrees(again, 0.25, se_of_share(0.25, N * R))
    blocked = allocated("blocks").histories.arm
    assert not agrees((blocked == 0).sum(axis=0).var(ddof=1), N / 4, N / 4 * np.sqrt(2 / R))


def test_blocks_within_strata_balance_what_they_stratify_by_and_leave_the_rest_to_chance() -> None:
    block = allocated("blocks")
    cohort, arm = block.plan.cohort, block.histories.arm
    for balanced in (cohort.covariates["female"], cohort.site.astype(float), (cohort.baseline[0] >= 65).astype(float)):
        assert standardized_differences(arm, balanced).var(ddof=1) < 0.5
    for free in (cohort.covariates["age"], cohort.motivation):
        assert agrees(standardized_differences(arm, free).var(ddof=1), 1, np.sqrt(2 / R))
    women = standardized_differences(
        allocated("simple").histories.arm, allocated("simple").plan.cohort.covariates["female"]
    )
    assert agrees(women.var(ddof=1), 1, np.sqrt(2 / R))


def test_the_next_arm_cannot_be_told_from_the_last_one_except_at_the_end_of_a_block() -> None:
    """One stratum, blocks of 2 and 4, 1:1. The second arm repeats the first only in a block of 4: 1/2 x 1/3."""
    allocation = {"kind": "blocks", "ratio": {"a": 1, "b": 1}, "block_sizes": [2, 4]}
    arms = {"a": usual(), "b": usual()}
    arm = run(design(sample_size=2, arms=arms, allocation=allocation), n=4_000).histories.arm
    repeated = float(np.mean(arm[0] == arm[1]))
    assert agrees(repeated, 1 / 6, se_of_share(1 / 6, 4_000))
    assert not agrees(repeated, 1 / 3, se_of_share(1 / 3, 4_000))


# --- potential outcomes ---------------------------------------------------------------------------------------------


def sessions_in_a_coached_arm(**coaching: Any) -> tuple[Floats, NDArray[np.bool_]]:
    """Sessions that everybody had, or would have had, in the coached arm; and who was in it; (N, R) each."""
    arms = {"coach": coached(sessions=4, **coaching, arm={"stop_prob": 0.1}), "usual": usual(), "more": usual()}
    block = run(design(sample_size=150, arms=arms), n=256)
    return block.outcomes.sessions[0, -1].astype(float), block.histories.arm == 0


def exchangeable(sessions: Floats, member: NDArray[np.bool_]) -> bool:
    """By randomization, people outside an arm would have fared in it like its members.

    What somebody would be offered does not depend on their own arm, only on the others', so weighting by the inverse
    chance of the arm has mean 0. The difference of the two means of one trial has not where places are scarce: an
    outsider meets all the members in the line, a member all but themselves.
    """
    gap = np.where(member, 3 * sessions, -1.5 * sessions).mean(axis=0)
    return agrees(gap.mean(), 0, gap.std(ddof=1) / np.sqrt(len(gap)))


def test_people_outside_a_coached_arm_would_have_attended_as_much_as_its_members() -> None:
    sessions, member = sessions_in_a_coached_arm(coaches=20)
    assert exchangeable(sessions, member)
    assert not exchangeable(np.where(member, 0.8 * sessions, sessions), member)


@pytest.mark.parametrize(
    "scarce",
    [
        {"coaches": 1, "caseload": 2, "max_wait_days": 30},
        {"coaches": [{"joins": 40}], "max_wait_days": 10},
        {"coaches": [{"leaves": 60}], "max_wait_days": 10},
    ],
    ids=["few places", "late coach", "coach leaves"],
)
def test_the_same_where_coaches_are_scarce(scarce: Data) -> None:
    sessions, member = sessions_in_a_coached_arm(**scarce)
    assert sessions.mean() < 0.9 * sessions_in_a_coached_arm(coaches=20)[0].mean()
    assert exchangeable(sessions, member)
    unlimited = sessions_in_a_coached_arm(coaches=20)[0]
    assert not exchangeable(np.where(member, sessions, unlimited), member), "as if others never had to wait"
