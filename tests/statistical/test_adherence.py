"""Starting, stopping, missing and leaving: marginal chances are the stated ones whatever moves them beneath."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import Data, coached, design, online
from helpers import agrees, run, se_of_mean, se_of_share
from numpy.typing import NDArray
from scipy import integrate, stats

from trialsim.block import Block
from trialsim.world.histories import NONE, Status

Floats = NDArray[np.float64]
N, R = 300, 32
PLENTY: Data = {"coaches": [{"caseload": 1_000, "sessions_per_week": 1_000}]}
"""A coach who is never full."""


def one_arm(arm: Data, **parts: Any) -> Block:
    """32 trials of 300 participants, all in one arm."""
    return run(design(sample_size=N, arms={"only": arm}, max_enrolment_days=2_000, **parts), n=R)


def correlations(**adherence: Any) -> Data:
    return {"adherence": adherence}


# --- starting -------------------------------------------------------------------------------------------------------


def starters(start_prob: float, correlation: float, delivery: str = "coach") -> tuple[NDArray[np.bool_], Floats]:
    """Who starts, and their latent motivation."""
    kind = coached(sessions=2, **PLENTY, arm={"start_prob": start_prob}) if delivery == "coach" else None
    arm = kind or online(sessions=2, arm={"start_prob": start_prob})
    block = one_arm(arm, **correlations(motivation_on_start=correlation))
    return (block.histories.status != Status.DECLINED).ravel(), block.plan.cohort.motivation.ravel()


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("delivery", ["coach", "web"])
def test_the_share_who_start_is_the_stated_one_whatever_motivation_has_to_do_with_it(
    correlation: float, delivery: str
) -> None:
    se = se_of_share(0.8, N * R)
    assert agrees(starters(0.8, correlation, delivery)[0].mean(), 0.8, se)
    assert not agrees(starters(0.77, correlation, delivery)[0].mean(), 0.8, se)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_starters_are_more_motivated_by_as_much_as_the_correlation_says(correlation: float) -> None:
    """E[motivation | start] = correlation x density at the threshold / share."""
    expected = correlation * stats.norm.pdf(stats.norm.ppf(0.8)) / 0.8
    starts, drive = starters(0.8, correlation)
    assert agrees(drive[starts].mean(), expected, se_of_mean(drive[starts]))
    other, wrong = starters(0.8, correlation + 0.2)
    assert not agrees(wrong[other].mean(), expected, se_of_mean(wrong[other]))


def test_a_covariate_moves_the_start_by_its_probit_shift() -> None:
    female = {"covariates": {"female": {"kind": "binary", "prob": 0.4}}}

    def shares(shift: float) -> Floats:
        arm = coached(sessions=1, **PLENTY, arm={"start_prob": 0.8})
        block = one_arm(arm, **female, **correlations(covariates={"female": shift}))
        starts, sex = block.histories.status != Status.DECLINED, block.plan.cohort.covariates["female"]
        return np.array([starts[sex == value].mean() for value in (0, 1)])

    expected = stats.norm.cdf(stats.norm.ppf(0.8) + 0.5 * (np.array([0, 1]) - 0.4))
    se = se_of_share(expected, N * R * np.array([0.6, 0.4]))
    assert agrees(shares(0.5), expected, se)
    assert not agrees(shares(0.2), expected, se)


def test_waiting_wears_the_inclination_to_start_away_at_the_stated_rate() -> None:
    """Everybody asks in the first days; the only coach comes on day 80."""
    staff = {"coaches": [{"caseload": 1_000, "sessions_per_week": 1_000, "joins": 80}]}
    crowd = {"recruitment": {"sites": {"north": {"rate_per_month": 30_000.0}}}}

    def share(wait_effect: float) -> tuple[float, Floats]:
        block = one_arm(
            coached(sessions=1, **staff, arm={"start_prob": 0.8}), **crowd, **correlations(wait_effect=wait_effect)
        )
        weeks = (80 - block.histories.randomized_day - 2) / 7
        return float((block.histories.offered_day == 80).mean()), weeks

    estimate, weeks = share(0.1)
    expected = float(stats.norm.cdf(stats.norm.ppf(0.8) - 0.1 * weeks).mean())
    assert 0.3 < expected < 0.5
    assert agrees(estimate, expected, se_of_share(expected, N * R))
    assert not agrees(share(0.08)[0], expected, se_of_share(expected, N * R))


# --- stopping -------------------------------------------------------------------------------------------------------


def sessions_held(stop_prob: float, correlation: float = 0.0, delivery: str = "coach") -> NDArray[np.int64]:
    """Number of people who attended 1, 2, 3, 4 sessions."""
    arm = {"stop_prob": stop_prob}
    kind = coached(sessions=4, **PLENTY, arm=arm) if delivery == "coach" else online(sessions=4, arm=arm)
    block = one_arm(kind, **correlations(motivation_on_stop=correlation))
    return np.bincount(block.histories.n_sessions.ravel(), minlength=5)[1:]


@pytest.mark.parametrize("delivery", ["coach", "web"])
def test_the_hazard_of_stopping_is_constant_where_people_are_alike(delivery: str) -> None:
    def hazards(counts: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
        at_risk = counts[::-1].cumsum()[::-1][:3]
        return counts[:3] / at_risk, at_risk

    estimate, at_risk = hazards(sessions_held(0.15, delivery=delivery))
    assert agrees(estimate, 0.15, se_of_share(0.15, at_risk))
    wrong, at_risk = hazards(sessions_held(0.18, delivery=delivery))
    assert not agrees(wrong, 0.15, se_of_share(0.15, at_risk))


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
def test_the_first_chance_of_stopping_is_the_stated_one_and_stayers_are_a_selection(correlation: float) -> None:
    """P(attends s) = E[(1 - h)^(s-1) h] with the personal hazard h = P(latent <= threshold | motivation)."""
    threshold, rest = stats.norm.ppf(0.15), np.sqrt(1 - correlation**2)

    def still_there(times: int) -> float:
        def integrand(drive: float) -> float:
            hazard = stats.norm.cdf((threshold - correlation * drive) / rest)
            return float((1 - hazard) ** times * stats.norm.pdf(drive))

        return integrate.quad(integrand, -8, 8)[0]

    reach = np.array([still_there(times) for times in range(4)])
    expected = np.append(-np.diff(reach), reach[3])
    assert expected[0] == pytest.approx(0.15)
    se = se_of_share(expected, N * R)
    assert agrees(sessions_held(0.15, correlation) / (N * R), expected, se)
    assert not agrees(sessions_held(0.15, abs(correlation - 0.4) + 0.1) / (N * R), expected, se)


@pytest.mark.parametrize("delivery", ["coach", "web"])
def test_those_who_stop_are_less_motivated_by_as_much_as_the_correlation_says(delivery: str) -> None:
    """E[motivation | stops after the first session] = -correlation x density at the threshold / chance."""

    def first_to_stop(correlation: float) -> Floats:
        arm = {"stop_prob": 0.15}
        kind = coached(sessions=4, **PLENTY, arm=arm) if delivery == "coach" else online(sessions=4, arm=arm)
        block = one_arm(kind, **correlations(motivation_on_stop=correlation))
        return block.plan.cohort.motivation[block.histories.n_sessions == 1]

    truth = -0.4 * stats.norm.pdf(stats.norm.ppf(0.15)) / 0.15
    right, wrong = first_to_stop(0.4), first_to_stop(0.2)
    assert agrees(right.mean(), truth, se_of_mean(right))
    assert not agrees(wrong.mean(), truth, se_of_mean(wrong))


# --- missed appointments --------------------------------------------------------------------------------------------


def appointments(no_show_prob: float) -> tuple[Floats, Floats]:
    """Shares of held sessions after 0, 1, 2 missed appointments; share of people lost at each session."""
    arm = coached(sessions=4, no_show_prob=no_show_prob, max_reschedules=2, **PLENTY)
    h = one_arm(arm).histories
    held = h.attended_day != NONE
    missed = ((h.attended_day - h.scheduled_day) // 7)[held]
    due = (h.scheduled_day != NONE).sum(axis=(1, 2))
    return np.bincount(missed, minlength=3) / missed.size, 1 - held.sum(axis=(1, 2)) / due


def test_missed_appointments_are_geometric_and_too_many_end_the_treatment() -> None:
    q = 0.3
    held = np.array([1, q, q**2]) * (1 - q) / (1 - q**3)
    n = N * R
    shares, lost = appointments(q)
    # The sessions of one person are independent of each other, so all sessions count; at least n were held.
    assert agrees(shares, held, se_of_share(held, 3 * n))
    assert agrees(lost, q**3, se_of_share(q**3, n * (1 - q**3) ** 4))
    wrong_shares, wrong_lost = appointments(0.35)
    assert not agrees(wrong_shares, held, se_of_share(held, 3 * n))
    assert not agrees(wrong_lost, q**3, se_of_share(q**3, n * (1 - q**3) ** 4))


# --- calls ----------------------------------------------------------------------------------------------------------


def called(success: float, reachable: float = 1.0) -> tuple[float, float, float]:
    """Everybody stalls before the second module: share brought back, mean number of calls, number of people."""
    arm = online(sessions=2, max_calls=3, call_success_prob=success, reachable_prob=reachable, arm={"stop_prob": 1.0})
    h = one_arm(arm).histories
    calls = (h.call_day != NONE).sum(axis=0)
    return float((h.n_sessions == 2).mean()), float(calls.mean()), float(calls.std())


def test_calls_bring_people_back_with_the_stated_chance_each() -> None:
    """Back: 1 - (1 - q)^3; calls until then: (1 - (1 - q)^3) / q."""
    q = 0.25
    back, calls, spread = called(q)
    truth = 1 - (1 - q) ** 3
    assert agrees(back, truth, se_of_share(truth, N * R))
    assert agrees(calls, truth / q, spread / np.sqrt(N * R))
    wrong_back, wrong_calls, _ = called(0.3)
    assert not agrees(wrong_back, truth, se_of_share(truth, N * R))
    assert not agrees(wrong_calls, truth / q, spread / np.sqrt(N * R))


def test_those_who_cannot_be_reached_are_never_brought_back() -> None:
    truth = 0.6 * (1 - 0.75**3)
    se = se_of_share(truth, N * R)
    assert agrees(called(0.25, reachable=0.6)[0], truth, se)
    assert not agrees(called(0.25)[0], truth, se)


# --- leaving the study ----------------------------------------------------------------------------------------------


def leaving(withdrawal_prob: float, death_prob: float, **parts: Any) -> Block:
    arm = {"delivery": {"kind": "none"}, "withdrawal_prob": withdrawal_prob}
    return one_arm(arm, visits={"m12": {"day": 365}}, observation={"death_prob": death_prob}, **parts)


def exits(withdrawal_prob: float, death_prob: float) -> Floats:
    """Shares: left by half time by withdrawing; withdrew; died."""
    h = leaving(withdrawal_prob, death_prob).histories
    after = h.exit_day - h.randomized_day
    return np.array(
        [((h.exit_kind == 1) & (after <= 182)).mean(), (h.exit_kind == 1).mean(), (h.exit_kind == 2).mean()]
    )


@pytest.mark.parametrize(("withdraw", "die"), [(0.2, 0.0), (0.0, 0.1), (0.2, 0.1)])
def test_people_leave_at_a_constant_rate_with_the_stated_chance_and_the_first_exit_counts(
    withdraw: float, die: float
) -> None:
    """Competing exponential times: P(first is k by t) = rate_k / total x (1 - exp(-total t))."""
    rates = -np.log1p(-np.array([withdraw, die]))
    gone = 1 - np.exp(-rates.sum() * np.array([182 / 365, 1]))
    expected = np.array([gone[0] * rates[0], gone[1] * rates[0], gone[1] * rates[1]]) / rates.sum()
    # On a day with both, the death counts: at most one day in 365 of the smaller rate.
    se = se_of_share(expected, N * R) + rates.prod() / 365
    assert agrees(exits(withdraw, die), expected, se)
    assert not agrees(exits(1.25 * withdraw, 1.25 * die), expected, se)


def test_the_chance_of_leaving_does_not_depend_on_when_in_the_trial_somebody_came() -> None:
    h = leaving(0.3, 0.0).histories
    left = (h.exit_kind == 1).mean(axis=1)
    halves = np.array([left[: N // 2].mean(), left[N // 2 :].mean()])
    assert agrees(halves, 0.3, se_of_share(0.3, N * R / 2))
    assert not agrees(halves, [0.26, 0.34], se_of_share(0.3, N * R / 2))
