"""True values by a large simulation: against the potential outcomes directly, where they are used, and what for."""

from __future__ import annotations

from collections.abc import Callable
from math import hypot, isnan, log, sqrt
from typing import Any

import numpy as np
import pytest
from designs import coached, design, score, usual
from helpers import Array, agrees
from helpers import run as simulated

from trialsim.analysis.estimates import GLOBAL_TEST, HAZARD_RATIO, ODDS_RATIO, RISK_RATIO, Estimates, Label
from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.experiments import superpopulation as module
from trialsim.experiments.performance import Performance, Truths, performance
from trialsim.experiments.runner import Experiment, run
from trialsim.experiments.superpopulation import FIRST, superpopulation, truths_for

SEED = 5
N_PARTICIPANTS = 3000
N_REPLICATES = 64
"""Whole blocks of 16 trials of 60 participants, at least 3000 participants."""


def trial(**parts: Any) -> Design:
    """A plain trial with one analysis of each sort of endpoint."""
    plan = {"outcome": "pain", "multiplicity": "none"}
    given = {
        "arms": {"coach": coached(arm={"effects": {"pain": {"by_visit": {"m3": -1.0}, "sd": 0.5}}}), "usual": usual()},
        "outcomes": {"pain": score(course={"m3": -1.0}, change_sd=1.2)},
        "analyses": {
            "change": {"kind": "linear", **plan},
            "response": {"kind": "modified_poisson", **plan},
            "odds": {"kind": "gee", "endpoint": "response", **plan, "visits": ["m3"]},
            "time": {"kind": "cox", **plan},
        },
        **parts,
    }
    return design(**given)


@pytest.fixture(scope="module")
def few() -> Experiment:
    return run(trial(), seed=SEED, replicates=40)


@pytest.fixture(scope="module")
def estimates(few: Experiment) -> Estimates:
    assert few.estimates is not None
    return few.estimates


@pytest.fixture(scope="module")
def truths(estimates: Estimates) -> Truths:
    return superpopulation(trial(), estimates, seed=SEED, n_participants=N_PARTICIPANTS)


@pytest.fixture(scope="module")
def world() -> Block:
    """The replicates that the truth rests on, simulated once more."""
    return simulated(trial(), n=N_REPLICATES, first=FIRST - FIRST % 1024, seed=SEED)


def of(truths: Truths, contrast: str, measure: str) -> tuple[float, float]:
    return next(v for label, v in truths.values.items() if (label.contrast, label.measure) == (contrast, measure))


def changes(block: Block, arm: str) -> Array:
    """Mean change of everybody under an arm by replicate, (R,) [points]."""
    a, items = block.world.arms.index(arm), block.world.design.outcomes["pain"].items
    steps = block.outcomes.potential[0, a, 0].astype(float) - block.plan.cohort.baseline[0]
    return np.nanmean(np.where(block.plan.cohort.valid, steps / items, np.nan), axis=0)


def responses(block: Block, arm: str) -> Array:
    """Percentage of everybody who falls by 30 % or more under an arm, by replicate, (R,)."""
    a, baseline = block.world.arms.index(arm), block.plan.cohort.baseline[0].astype(float)
    fell = baseline - block.outcomes.potential[0, a, 0] >= 0.3 * baseline - 1e-9
    return 100 * np.nanmean(np.where(block.plan.cohort.valid, fell & (baseline > 0), np.nan), axis=0)


# --- values -----------------------------------------------------------------------------------------------------------


def test_it_rests_on_whole_blocks_of_enough_participants(truths: Truths, world: Block) -> None:
    assert truths.n_participants == world.histories.n_participants.sum() >= N_PARTICIPANTS


def test_differences_against_the_potential_outcomes(truths: Truths, world: Block) -> None:
    for of_arm, measures in (
        (changes, ("adjusted mean change", "mean difference")),
        (responses, ("adjusted percentage", "risk difference")),
    ):
        coach, control = of_arm(world, "coach"), of_arm(world, "usual")
        for contrast, values in (("coach", coach), ("usual", control), ("coach - usual", coach - control)):
            value, error = of(truths, contrast, measures[" - " in contrast])
            assert value == pytest.approx(values.mean(), rel=1e-10)
            assert error == pytest.approx(values.std(ddof=1) / sqrt(N_REPLICATES), rel=1e-10)


def test_a_ratio_is_that_of_the_mean_risks_with_the_error_of_its_logarithm(truths: Truths, world: Block) -> None:
    coach, control = responses(world, "coach"), responses(world, "usual")
    value, error = of(truths, "coach - usual", RISK_RATIO)
    assert value == pytest.approx(coach.mean() / control.mean(), rel=1e-10)
    assert value != pytest.approx((coach / control).mean(), rel=1e-4)  # not the mean of the replicates' own ratios
    linear = coach / coach.mean() - control / control.mean()  # the logarithm's linear part
    expected = linear.std(ddof=1) / sqrt(N_REPLICATES)
    assert error == pytest.approx(jackknife(lambda rows: log(coach[rows].mean() / control[rows].mean())), rel=1e-8)
    assert 0.9 < error / expected < 1.1
    value, error = of(truths, "coach - usual", ODDS_RATIO)
    assert value == pytest.approx(odds(coach.mean()) / odds(control.mean()), rel=1e-10)
    assert error == pytest.approx(
        jackknife(lambda rows: log(odds(coach[rows].mean()) / odds(control[rows].mean()))), rel=1e-8
    )


def jackknife(value: Callable[[Array], float]) -> float:
    """Error of a value of some replicates, from leaving out each in turn."""
    without = [value(np.delete(np.arange(N_REPLICATES), r)) for r in range(N_REPLICATES)]
    return sqrt((N_REPLICATES - 1) / N_REPLICATES * sum((one - np.mean(without)) ** 2 for one in without))


def odds(percentage: float) -> float:
    return percentage / (100 - percentage)


def test_a_ratio_has_an_error_although_some_replicates_have_none() -> None:
    """In trials of four hardly anybody responds: of many, nobody."""
    rare = trial(sample_size=4, outcomes={"pain": score(mean=9.0)})
    some = run(rare, replicates=4).estimates
    assert some is not None
    assert nobody(rare).any()
    value, error = of(superpopulation(rare, some, n_participants=400), "coach - usual", RISK_RATIO)
    assert value > 0
    assert 0 < error < 2


def nobody(d: Design) -> Array:
    """Replicates in which nobody would respond without coaching."""
    return responses(simulated(d, n=112, first=FIRST - FIRST % 1024), "usual") == 0


def test_what_has_no_true_value_is_not_a_number(truths: Truths, estimates: Estimates) -> None:
    none = {label.measure for label, (value, _) in truths.values.items() if isnan(value)}
    assert none == {GLOBAL_TEST, HAZARD_RATIO}
    assert set(truths.values) == set(estimates.labels)


def test_other_luck_gives_the_same_value_within_the_errors(truths: Truths, estimates: Estimates) -> None:
    other = superpopulation(trial(), estimates, seed=SEED + 1, n_participants=N_PARTICIPANTS)
    stronger = {"coach": coached(arm={"effects": {"pain": {"by_visit": {"m3": -1.3}, "sd": 0.5}}}), "usual": usual()}
    wrong = superpopulation(trial(arms=stronger), estimates, seed=SEED + 1, n_participants=N_PARTICIPANTS)
    for measure in ("mean difference", "risk difference"):
        value, error = of(truths, "coach - usual", measure)
        again, its = of(other, "coach - usual", measure)
        assert value != again
        assert agrees(value, again, hypot(error, its))
        assert not agrees(value, of(wrong, "coach - usual", measure)[0], hypot(error, its))


# --- when it is used --------------------------------------------------------------------------------------------------


def test_few_participants_get_it_and_many_do_not(few: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    n = int(few.measures["randomized/all"].sum())
    monkeypatch.setattr(module, "ENOUGH", n)
    assert truths_for(few) is None
    monkeypatch.setattr(module, "ENOUGH", n + 1)
    found = truths_for(few)
    assert found is not None
    assert found.n_participants >= 200_000  # the default of `superpopulation` was taken when it was defined


def test_nothing_to_be_true_of() -> None:
    assert truths_for(run(trial(analyses={}), replicates=4)) is None


# --- what it is used for ----------------------------------------------------------------------------------------------


def rows_of(rows: list[Performance], label: Label) -> dict[str, Performance]:
    return {row.statistic: row for row in rows if row.label == label}


@pytest.mark.parametrize(("analysis", "measure"), [("change", "mean difference"), ("response", RISK_RATIO)])
def test_bias_and_coverage_are_against_it(estimates: Estimates, analysis: str, measure: str) -> None:
    """A truth made up, so that it cannot be mistaken for the replicates' own."""
    place = estimates.place(analysis=analysis, contrast="coach - usual", visit="m3", measure=measure)
    assert place is not None
    label, ratio = estimates.labels[place], measure == RISK_RATIO
    truth, truth_error = (1.4, 0.02) if ratio else (-0.7, 0.03)
    rows = rows_of(performance(estimates, truths=Truths({label: (truth, truth_error)}, 1)), label)
    values = np.log(estimates.estimate[:, place]) if ratio else estimates.estimate[:, place]
    own_error = values.std(ddof=1) / sqrt(len(values))
    on_scale = log(truth) if ratio else truth
    assert rows["truth"].value == truth
    assert rows["truth"].mcse == pytest.approx(truth_error * (truth if ratio else 1))
    assert rows["bias"].value == pytest.approx(values.mean() - on_scale)
    assert rows["bias"].mcse == pytest.approx(hypot(own_error, truth_error))
    inside = (estimates.ci_low[:, place] <= truth) & (truth <= estimates.ci_high[:, place])
    assert rows["coverage"].value == inside.mean()
    assert rows["MSE"].value == pytest.approx(((values - on_scale) ** 2).mean())


def test_without_it_bias_is_against_each_replicates_own_truth(estimates: Estimates) -> None:
    """Then the replicates' luck cancels, and the error is smaller than with two simulations."""
    place = estimates.place(analysis="change", contrast="coach - usual", visit="m3", measure="mean difference")
    assert place is not None
    gaps = estimates.estimate[:, place] - estimates.truth[:, place]
    rows = rows_of(performance(estimates), estimates.labels[place])
    assert rows["bias"].value == pytest.approx(gaps.mean())
    assert rows["bias"].mcse == pytest.approx(gaps.std(ddof=1) / sqrt(len(gaps)))
