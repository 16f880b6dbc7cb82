"""Cohorts that nobody randomized: shares, and the bias of comparing them as they are."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from designs import WIDE, Data, design, usual
from helpers import agrees, run, se_of_share
from numpy.typing import NDArray

from trialsim.block import Block

Floats = NDArray[np.float64]
N, R, SD = 200, 320, 2.0
EFFECT = -1.0
RATIO = {"a": 2, "b": 1, "c": 1}


@cache
def cohorts(slope: float = 0.0, *, motivation: float = 0.0, women: float = 0.0) -> Block:
    """Two cohorts that people enter by who they are; b lowers everybody's pain by 1 point."""
    tendency: Data = {"baseline": {"pain": slope}, "motivation": motivation, "covariates": {"female": women}}
    pain = {**WIDE, "mean": 3.0, "sd": SD, "change_sd": 1.0, "motivation": 1.0}
    lowers = {"pain": {"by_visit": {"m3": EFFECT}}}
    return run(
        design(
            sample_size=N,
            arms={"a": usual(), "b": usual(effects=lowers)},
            covariates={"female": {"kind": "binary", "prob": 0.3}},
            outcomes={"pain": pain},
            allocation={"kind": "cohorts", "ratio": {"a": 1, "b": 1}, "tendency": tendency},
        ),
        n=R,
    )


def contrast(block: Block, *adjusters: Floats) -> Floats:
    """Difference b - a of the visit's mean in each replicate, by least squares with the adjusters (N, R)."""
    value = block.outcomes.realised[0, 0] / 15.0 - 1000.0
    found = []
    for r in range(R):
        columns = [np.ones(N), block.histories.arm[:, r] == 1, *(x[:, r] for x in adjusters)]
        found.append(np.linalg.lstsq(np.column_stack(columns).astype(float), value[:, r], rcond=None)[0][1])
    return np.array(found)


def averages(differences: Floats, truth: float) -> bool:
    return agrees(differences.mean(), truth, differences.std(ddof=1) / np.sqrt(R))


def baseline(block: Block) -> Floats:
    return block.plan.cohort.baseline[0] / 15.0 - 1000.0


def gap_of_a_confounder(slope: float, sd: float, others: float = 1.0) -> float:
    """E[X | b] - E[X | a] for X normal with an SD, tendency slope X + a normal of variance `others`, cut at 0."""
    return float(2 * sd * np.sqrt(2 / np.pi) * slope * sd / np.sqrt((slope * sd) ** 2 + others))


def test_shares_are_as_in_the_ratio_where_nothing_moves_the_choice() -> None:
    arms = {name: usual() for name in RATIO}
    plan: Any = {"kind": "cohorts", "ratio": RATIO}
    arm = run(design(sample_size=N, arms=arms, allocation=plan), n=R).histories.arm
    found = np.array([(arm == k).mean() for k in range(3)])
    assert agrees(found, [0.5, 0.25, 0.25], se_of_share([0.5, 0.25, 0.25], N * R))
    assert not agrees(found, [1 / 3] * 3, se_of_share([1 / 3] * 3, N * R))


def test_confounding_biases_the_plain_contrast_by_what_follows_from_the_choice_and_adjusting_removes_it() -> None:
    """Baseline is the confounder, and measured without error. The truth is the same for everybody."""
    block = cohorts(0.4)
    steps = block.outcomes.potential[0, :, 0].astype(int)  # by arm
    assert (steps[1] - steps[0] == 15 * EFFECT).all()
    half = se_of_share(0.5, N * R)
    assert agrees((block.histories.arm == 0).mean(), 0.5, half), "shifts are around typical values"
    assert averages(contrast(block), EFFECT + gap_of_a_confounder(0.4, SD))
    assert not averages(contrast(block), EFFECT)
    assert averages(contrast(block, baseline(block)), EFFECT)
    alike = cohorts(0.0)
    assert averages(contrast(alike), EFFECT)
    assert not averages(contrast(alike), EFFECT + gap_of_a_confounder(0.4, SD))


def test_adjusting_for_baseline_does_not_remove_the_bias_by_what_nobody_sees() -> None:
    """Motivation moves choice and outcome."""
    block = cohorts(0.0, motivation=0.7)
    biased = EFFECT + gap_of_a_confounder(0.7, 1.0)
    assert averages(contrast(block), biased)
    assert averages(contrast(block, baseline(block)), biased)
    assert not averages(contrast(block, baseline(block)), EFFECT)
    assert averages(contrast(block, block.plan.cohort.motivation), EFFECT)


def test_a_large_shift_lets_a_yes_no_covariate_decide_alone() -> None:
    block = cohorts(women=1_000.0)
    assert ((block.histories.arm == 1) == (block.plan.cohort.covariates["female"] == 1)).all()
