"""Minimization, biased coin and urn participant by participant, against the papers' rules in plain Python."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from designs import Data, design, usual
from helpers import run
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.world.sequential import Sequential

FACTORS: list[Any] = ["site", "female", {"outcome": "pain", "at_least": 6.5}]


def trial(allocation: Data, *, n: int = 60, **ratio: int) -> Block:
    """Two replicates at two sites; each arm by its part of the ratio."""
    return run(
        design(
            sample_size=n,
            arms={name: usual() for name in ratio},
            recruitment={"sites": {"north": {"rate_per_month": 30.0}, "south": {"rate_per_month": 60.0}}},
            covariates={"female": {"kind": "binary", "prob": 0.6}},
            allocation={"ratio": ratio, **allocation},
        ),
        n=2,
    )


def levels_of(block: Block, column: int) -> list[list[tuple[str, int]]]:
    """Each participant's own level of each of FACTORS, read from the cohort itself."""
    cohort = block.plan.cohort
    high = cohort.baseline[0] >= 65
    parts = (("site", cohort.site), ("female", cohort.covariates["female"]), ("high", high))
    return [[(name, int(values[i, column])) for name, values in parts] for i in range(len(cohort.site))]


def rule(block: Block) -> Sequential:
    """What the trial office went by."""
    assert isinstance(block.plan.assignment, Sequential)
    return block.plan.assignment


def imbalance_of(given: dict[Any, list[int]], own: list[Any], part: int, weights: list[int], measure: str) -> int:
    """Pocock and Simon's G if the next were given the part: weighted sum over factors of D at their own levels."""
    total = 0
    for level, weight in zip(own, weights, strict=True):
        counts = list(given[level])
        counts[part] += 1
        spread = len(counts) * sum(n * n for n in counts) - sum(counts) ** 2
        total += weight * (max(counts) - min(counts) if measure == "range" else spread)
    return total


@pytest.mark.parametrize("measure", ["range", "variance"])
@pytest.mark.parametrize("weights", [[1, 1, 1], [3, 1, 2]])
@pytest.mark.parametrize("ratio", [{"a": 1, "b": 1}, {"a": 2, "b": 1, "c": 1}], ids=str)
def test_minimization_gives_what_pocock_and_simon_s_rule_says(measure: str, weights: list[int], ratio: Data) -> None:
    plan = {"kind": "minimization", "strata": FACTORS, "weights": weights, "imbalance": measure, "best_prob": 0.7}
    block = trial(plan, **ratio)
    m, surprising = sum(ratio.values()), 0
    for column in range(2):
        given: dict[Any, list[int]] = {}
        for i, own in enumerate(levels_of(block, column)):
            for level in own:
                given.setdefault(level, [0] * m)
            totals = [imbalance_of(given, own, part, weights, measure) for part in range(m)]
            best = [part for part in range(m) if totals[part] == min(totals)]
            others = [part for part in range(m) if part not in best]
            pool = best if rule(block).favours[i, column] or not others else others
            part = pool[int(rule(block).luck[i, column] * len(pool))]
            assert block.histories.arm[i, column] == rule(block).arm_of_part[part]
            surprising += part in others
            for level in own:
                given[level][part] += 1
    assert surprising > 5


@pytest.mark.parametrize("strata", [[], FACTORS], ids=["one stratum", "strata"])
@pytest.mark.parametrize("kind", ["biased_coin", "urn"])
def test_coin_and_urn_work_within_each_stratum(kind: str, strata: list[Any]) -> None:
    block = trial({"kind": kind, "strata": strata} | ({"balls": 2, "added": 3} if kind == "urn" else {}), a=2, b=1)
    for column in range(2):
        given: dict[Any, list[int]] = {}
        for i, own in enumerate(levels_of(block, column)):
            counts = given.setdefault(tuple(own) if strata else (), [0, 0, 0])
            if kind == "urn":
                pool = [part for part in range(3) for _ in range(2 + 3 * (sum(counts) - counts[part]))]
            else:
                lags = [part for part in range(3) if counts[part] == min(counts)]
                others = [part for part in range(3) if part not in lags]
                pool = lags if rule(block).favours[i, column] or not others else others
            part = pool[int(rule(block).luck[i, column] * len(pool))]
            assert block.histories.arm[i, column] == rule(block).arm_of_part[part]
            counts[part] += 1


def shares(given: Block, counts: list[list[int]], n: int = 100_000) -> NDArray[np.float64]:
    """Chances of the parts at given counts, (factors, parts): over evenly spread luck."""
    even = (np.arange(n) + 0.5) / n
    favours = even < 0.8
    luck = np.where(favours, even / 0.8, (even - 0.8) / 0.2)
    one = replace(rule(given), favours=favours[None], luck=luck[None])
    part = one.draw(0, np.repeat(np.array(counts).T[:, :, None], n, axis=2))
    return np.bincount(part, minlength=len(counts[0])) / n


def test_the_best_parts_share_their_chance_and_the_others_the_rest() -> None:
    """Two factors, three arms, best_prob 0.8: worked out by hand."""
    block = trial({"kind": "minimization", "strata": FACTORS[:2]}, a=1, b=1, c=1)
    chances = partial(shares, block)
    # Ranges if the next were given a, b, c: 2 + 2, 0 + 0, 2 + 2.
    assert chances([[1, 0, 1], [1, 0, 1]]) == pytest.approx([0.1, 0.8, 0.1], abs=1e-3)
    # 2 + 2, 1 + 0, 1 + 2.
    assert chances([[1, 0, 0], [1, 0, 1]]) == pytest.approx([0.1, 0.8, 0.1], abs=1e-3)
    # All alike: equal chances. Two alike: they share.
    assert chances([[4, 4, 4], [2, 2, 2]]) == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert chances([[1, 0, 0], [1, 0, 0]]) == pytest.approx([0.2, 0.4, 0.4], abs=1e-3)


def test_with_best_prob_1_only_ties_are_luck() -> None:
    """1:1, one factor: of each two successive participants of a level one is in each arm."""
    block = trial({"kind": "minimization", "strata": ["female"], "best_prob": 1.0}, a=1, b=1)
    for column in range(2):
        for woman in (0, 1):
            arms = block.histories.arm[block.plan.cohort.covariates["female"][:, column] == woman, column]
            pairs = arms[: len(arms) // 2 * 2].reshape(-1, 2)
            assert (pairs.sum(axis=1) == 1).all()
            assert 0 < pairs[:, 0].mean() < 1


def test_rows_without_a_participant_have_no_arm() -> None:
    short = {"sites": {"north": {"rate_per_month": 1.0}}}
    plan = {"kind": "urn", "ratio": {"a": 1, "b": 1}}
    block = run(design(arms={"a": usual(), "b": usual()}, allocation=plan, recruitment=short, max_enrolment_days=300))
    assert ((block.histories.arm == -1) == ~block.plan.cohort.valid).all()
    assert not block.plan.cohort.valid.all()
