"""Who answers questionnaires and when: marginal shares, persons' steadiness, shifts, missing not at random."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from designs import WIDE, Data, design, online, usual
from helpers import agrees, run, se_of_share
from numpy.typing import NDArray
from scipy import stats

from trialsim.block import Block
from trialsim.world import formulas
from trialsim.world.histories import NONE

Floats = NDArray[np.float64]
VISITS: Data = {
    "m3": {"day": 91, "closes": 60},
    "m6": {"day": 183, "closes": 60},
    "m12": {"day": 365, "closes": 60},
}
SHARES = {"m3": 0.82, "m6": 0.6, "m12": 0.75}
N, R = 300, 128


def asked(*, arm: Data | None = None, **parts: Any) -> Block:
    """128 trials of 300 participants, all in one arm without sessions unless told otherwise."""
    only = {"response_prob": SHARES, **(arm or usual())}
    return run(design(sample_size=N, arms={"only": only}, visits=VISITS, max_enrolment_days=2_000, **parts), n=R)


def answered(block: Block) -> NDArray[np.bool_]:
    """(visits, participants of all replicates)."""
    return (block.follow.observed_day != NONE).reshape(len(VISITS), -1)


@cache
def answers_with_frailty(frailty: float, motivation: float = 0.0) -> NDArray[np.bool_]:
    return answered(asked(observation={"frailty": frailty, "motivation_on_frailty": motivation}))


@pytest.mark.parametrize("motivation", [0.0, 0.7])
@pytest.mark.parametrize("frailty", [0.0, 0.5, 0.9])
def test_the_share_answering_is_the_stated_one_however_steady_people_are(frailty: float, motivation: float) -> None:
    truth = np.array(list(SHARES.values()))
    se = se_of_share(truth, N * R)
    estimate = answers_with_frailty(frailty, motivation).mean(axis=1)
    assert agrees(estimate, truth, se)
    assert not agrees(estimate, truth - 0.03, se)


def both(frailty: float) -> Floats:
    """Share answering at two visits, of successive pairs, by the bivariate normal with correlation `frailty`."""
    limits = stats.norm.ppf(list(SHARES.values()))
    joint = stats.multivariate_normal(cov=[[1, frailty], [frailty, 1]], allow_singular=True)
    return np.array([joint.cdf([a, b]) for a, b in pairwise(limits)])


@pytest.mark.parametrize(("frailty", "wrong"), [(0.0, 0.2), (0.3, 0.45), (0.7, 0.55), (0.95, 0.85)])
def test_the_tetrachoric_correlation_between_visits_is_the_frailty(frailty: float, wrong: float) -> None:
    """Frailty is the share of latent variance that belongs to the person, hence the latent correlation."""

    def together(f: float) -> Floats:
        flags = answers_with_frailty(f)
        return np.array([np.mean(a & b) for a, b in pairwise(flags)])

    se = se_of_share(both(frailty), N * R)
    assert agrees(together(frailty), both(frailty), se)
    assert not agrees(together(wrong), both(frailty), se)


def test_the_motivated_answer_more_where_motivation_is_part_of_the_person() -> None:
    """Correlation of motivation with answering: sqrt(frailty) x correlation x density / sqrt(p (1 - p))."""

    def correlation(on_frailty: float) -> float:
        block = asked(observation={"frailty": 0.5, "motivation_on_frailty": on_frailty})
        return float(np.corrcoef(block.plan.cohort.motivation.ravel(), answered(block)[0])[0, 1])

    truth = np.sqrt(0.5) * 0.6 * stats.norm.pdf(stats.norm.ppf(0.82)) / np.sqrt(0.82 * 0.18)
    se = 1 / np.sqrt(N * R)
    assert agrees(correlation(0.6), truth, se)
    assert not agrees(correlation(0.4), truth, se)


def test_a_covariate_and_the_baseline_value_shift_the_chance_to_answer_by_their_probits() -> None:
    """Predicted chance of each participant, averaged over thirds of the predictions."""
    told: Data = {
        "covariates": {"age": {"kind": "normal", "mean": 50.0, "sd": 10.0}},
        "outcomes": {"pain": {**WIDE, "sd": 2.0}},
    }

    def gap(slope: float) -> tuple[Floats, Floats]:
        block = asked(**told, observation={"frailty": 0.4, "covariates": {"age": slope}, "baseline": {"pain": -0.2}})
        age = block.plan.cohort.covariates["age"].ravel() - 50
        pain = formulas.from_grid(block.plan.cohort.baseline[0], -1000.0, 15).ravel()
        predicted = stats.norm.cdf(stats.norm.ppf(0.82) + 0.04 * age - 0.2 * pain)
        return observed_minus_predicted(answered(block)[0], predicted)

    difference, se = gap(0.04)
    assert agrees(difference, 0, se)
    difference, se = gap(0.03)
    assert not agrees(difference, 0, se)


def observed_minus_predicted(flags: NDArray[np.bool_], predicted: Floats) -> tuple[Floats, Floats]:
    """Difference of means in each third of the predictions, and its standard error."""
    thirds = np.array_split(np.argsort(predicted), 3)
    difference = np.array([flags[t].mean() - predicted[t].mean() for t in thirds])
    return difference, np.array([np.sqrt(np.mean(predicted[t] * (1 - predicted[t])) / len(t)) for t in thirds])


def test_answers_depend_on_the_value_itself_where_they_are_missing_not_at_random() -> None:
    def gap(slope: float) -> tuple[Floats, Floats]:
        block = asked(outcomes={"pain": {**WIDE, "sd": 2.0}}, observation={"current_value": {"pain": slope}})
        value = formulas.from_grid(block.outcomes.realised[0, 1], -1000.0, 15).ravel()
        return observed_minus_predicted(answered(block)[1], stats.norm.cdf(stats.norm.ppf(0.6) - 0.3 * value))

    difference, se = gap(-0.3)
    assert agrees(difference, 0, se)
    difference, se = gap(0.0)
    assert not agrees(difference, 0, se)


def test_attendance_shifts_answers_from_no_session_to_all() -> None:
    """The stated share is that of people who have attended nothing."""
    web = {**online(sessions=4, pace={"days": 2}, arm={"stop_prob": 0.3, "start_prob": 0.6}), "response_prob": SHARES}
    sessions = np.arange(5)
    expected = stats.norm.cdf(stats.norm.ppf(0.82) + 0.8 * sessions / 4)

    def shares(attendance: float) -> tuple[Floats, Floats]:
        block = asked(arm=web, observation={"attendance": attendance})
        held, flags = block.outcomes.realised_sessions[0].ravel(), answered(block)[0]
        n = np.array([np.sum(held == s) for s in sessions])
        return np.array([flags[held == s].mean() for s in sessions]), se_of_share(expected, n)

    estimate, se = shares(0.8)
    assert agrees(estimate, expected, se)
    estimate, se = shares(0.4)
    assert not agrees(estimate, expected, se)


def test_answers_come_after_exponential_delays_and_the_late_ones_on_the_last_day() -> None:
    """Whole days: P(later than d) = exp(-d / 20) for d up to 60; what would come later comes on day 60."""
    days = np.array([1, 10, 30, 60])
    expected = np.exp(-days / 20)

    def later(mean: float) -> tuple[Floats, int]:
        block = asked(observation={"answer_days": {"mean_extra": mean}})
        delay = (block.follow.observed_day - block.follow.due_day)[block.follow.observed_day != NONE]
        assert delay.max() == 60
        return np.array([(delay >= day).mean() for day in days]), delay.size

    estimate, n = later(20.0)
    assert agrees(estimate, expected, se_of_share(expected, n))
    assert not agrees(later(22.0)[0], expected, se_of_share(expected, n))


def test_withdrawal_takes_answers_away_in_proportion_to_the_time_in_the_study() -> None:
    """Answers on the due day, so the share is response x (still in the study): 1 - (1 - w)^(day / 365)."""
    at_once: Data = {"answer_days": {"days": 0, "mean_extra": 0.0}}
    days = np.array([91, 183, 365])
    truth = np.array(list(SHARES.values())) * (1 - 0.3) ** (days / 365)

    def shares(withdrawal_prob: float) -> Floats:
        return answered(asked(arm=usual(withdrawal_prob=withdrawal_prob), observation=at_once)).mean(axis=1)

    assert agrees(shares(0.3), truth, se_of_share(truth, N * R))
    assert not agrees(shares(0.35), truth, se_of_share(truth, N * R))
