"""Outcomes of every kind against the distributions that a design states; each check fails in a wrong world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from designs import OPIOIDS, WIDE, Data, coached, design, kinds, usual
from helpers import agrees, differences, run, se_of_mean, se_of_sd, se_of_share
from numpy.typing import NDArray
from scipy import integrate, stats

from trialsim.block import Block
from trialsim.world.effects import arm_effects
from trialsim.world.formulas import LONG
from trialsim.world.held import Held
from trialsim.world.histories import NONE

Array = NDArray[Any]
VISITS: Data = {"m3": {"day": 91}, "m12": {"day": 365}}
MONTH = 30.4375


def people(outcomes: Data, *, n: int = 32, arm: Data | None = None, **parts: Any) -> Block:
    """Trials of 250 participants in one arm."""
    arms = {"a": arm or usual()}
    told = {"covariates": OPIOIDS, "visits": VISITS, "max_enrolment_days": 2_000, **parts}
    return run(design(sample_size=250, outcomes=outcomes, arms=arms, **told), n=n)


def baseline(block: Block, k: int = 0) -> Array:
    return block.plan.cohort.baseline[k].ravel()


def at_visit(block: Block, v: int, k: int = 0) -> Array:
    return block.outcomes.potential[k, 0, v].ravel()


def share_agrees(flags: Array, truth: float) -> bool:
    return agrees(flags.mean(), truth, se_of_share(truth, flags.size))


# --- yes/no and ordered levels ----------------------------------------------------------------------------------------

PROBIT: Data = {"sd": 0.8, "entry_sd": 1.2, "error_sd": 0.6, "change_sd": 0.5}
TOTAL = np.sqrt(0.8**2 + 1.2**2 + 0.6**2)
LATER = np.sqrt(0.8**2 + 0.5**2 + 0.6**2)


def works(**keys: Any) -> Data:
    return {"kind": "binary", "prob": 0.3, **PROBIT, **keys}


def test_yes_has_its_share_at_baseline_and_the_probit_share_at_a_visit() -> None:
    effect = {"effects": {"works": {"by_visit": {"m3": 0.4, "m12": 0.0}}}}

    def found(**keys: Any) -> list[bool]:
        block = people({"works": works(course={"m3": 0.2, "m12": -0.5}, **keys)}, arm=usual(**effect))
        limit = TOTAL * stats.norm.isf(0.3)
        later = [stats.norm.sf((limit - shift) / LATER) for shift in (0.6, -0.5)]
        return [
            share_agrees(baseline(block), 0.3),
            *(share_agrees(at_visit(block, v), prob) for v, prob in enumerate(later)),
        ]

    assert found() == [True] * 3
    assert found(prob=0.34) == [False] * 3
    assert not all(found(change_sd=1.5))


def test_ordered_levels_have_their_shares() -> None:
    def found(**levels: float) -> list[bool]:
        told = {"kind": "ordinal", "levels": levels, "responder_from": "better", **PROBIT}
        values = baseline(people({"impression": told}))
        return [share_agrees(values == k, prob) for k, prob in enumerate((0.15, 0.25, 0.6))]

    assert found(worse=0.15, same=0.25, better=0.6) == [True] * 3
    assert found(worse=0.2, same=0.3, better=0.5) == [False] * 3


def test_two_yes_no_outcomes_have_the_stated_tetrachoric_correlation() -> None:
    """All parts of a person are joined by one correlation, so their sums are."""

    def both(correlation: float) -> Array:
        block = people({"works": works(), "drives": works(prob=0.5, correlation={"works": correlation})})
        return np.array([baseline(block) & baseline(block, 1), at_visit(block, 0) & at_visit(block, 0, 1)]).mean(axis=1)

    limits = np.array([[stats.norm.isf(0.3), 0.0], [TOTAL * stats.norm.isf(0.3) / LATER, 0.0]])
    truth = stats.multivariate_normal(cov=[[1, 0.6], [0.6, 1]]).cdf(-limits)
    se = se_of_share(truth, 8_000)
    assert agrees(both(0.6), truth, se)
    assert not any(agrees(one, true, error) for one, true, error in zip(both(0.4), truth, se, strict=True))


# --- counts -----------------------------------------------------------------------------------------------------------


def test_counts_are_poisson_lognormal_with_the_stated_mean() -> None:
    """Mean m and variance m + m^2 (exp(s^2) - 1), with s^2 the variance of the log rate between people."""

    def found(**keys: Any) -> list[bool]:
        told = {"kind": "count", "rate_per_year": 4.0, "sd": 0.5, "entry_sd": 0.4, "change_sd": 0.3, "most": 1_000}
        block = people({"er": {**told, "course": {"m3": 0.0, "m12": -0.4}, **keys}})
        means = (4.0, 4.0 * 91 / 365.25, 4.0 * (365 - 91) / 365.25 * np.exp(-0.4))
        logs = (0.5**2 + 0.4**2, *[0.5**2 + 0.3**2] * 2)
        checks = []
        for values, mean, log in zip(
            (baseline(block), at_visit(block, 0), at_visit(block, 1)), means, logs, strict=True
        ):
            squares = np.square(values - mean)
            checks += [
                agrees(values.mean(), mean, se_of_mean(values)),
                agrees(squares.mean(), mean + mean**2 * np.expm1(log), se_of_mean(squares)),
            ]
        return checks

    assert found() == [True] * 6
    assert not any(found(rate_per_year=4.6)[::2])
    assert not all(found(sd=0.9)[1::2])


def test_no_count_is_recorded_above_the_most() -> None:
    block = people({"er": {"kind": "count", "rate_per_year": 50.0, "most": 7}}, n=2)
    assert baseline(block).max() == 7
    assert (baseline(block) == 7).mean() > 0.99


# --- events -----------------------------------------------------------------------------------------------------------

HAZARD: Data = {"m3": 0.06, "m12": 0.02}
UP_TO = {45: 0.06 * 45 / MONTH, 91: 0.06 * 91 / MONTH, 365: 0.06 * 91 / MONTH + 0.02 * 274 / MONTH}
"""Cumulative hazards by some days."""


def event_days(block: Block, k: int = 0) -> Array:
    return block.outcomes.event_day[k][0].ravel()


def test_events_come_by_each_day_as_the_hazards_say() -> None:
    def found(hazard: Data) -> list[bool]:
        day = event_days(people({"work": {"kind": "event", "hazard": hazard}}))
        return [share_agrees(day <= by, -np.expm1(-used)) for by, used in UP_TO.items()]

    assert found(HAZARD) == [True] * 3
    assert found({"m3": 0.08, "m12": 0.02}) == [False] * 3
    assert found({"m3": 0.06, "m12": 0.03}) == [True, True, False]


def test_an_event_s_value_is_1_from_its_day_on() -> None:
    block = people({"work": {"kind": "event", "hazard": HAZARD, "sd": 1.0}}, n=2)
    day = event_days(block)
    for v, due in enumerate((91, 365)):
        assert np.array_equal(at_visit(block, v), day <= due)
    assert (day[day > 365] == LONG).all()
    assert day.min() >= 1
    assert not baseline(block).any()


def test_hazards_of_people_are_lognormal_and_effects_multiply_them() -> None:
    effect = {"effects": {"work": {"by_visit": {"m3": 0.7, "m12": 0.7}}}}

    def found(sd: float, arm: Data) -> bool:
        told = {"kind": "event", "hazard": HAZARD, "sd": sd, "course": {"m3": -0.2, "m12": -0.2}}
        day = event_days(people({"work": told}, arm=usual(**arm)))
        used = UP_TO[365] * np.exp(0.7 - 0.2)
        stays, _ = integrate.quad(lambda z: stats.norm.pdf(z) * np.exp(-used * np.exp(0.8 * z)), -8, 8)
        return share_agrees(day <= 365, 1 - stays)

    assert found(0.8, effect)
    assert not found(0.0, effect)
    assert not found(0.8, {})


def test_two_events_have_the_stated_correlation_of_their_luck() -> None:
    def both(correlation: float) -> float:
        told = {"kind": "event", "hazard": HAZARD}
        block = people({"work": told, "home": {**told, "correlation": {"work": correlation}}})
        return float(np.mean((event_days(block) <= 365) & (event_days(block, 1) <= 365)))

    limit = stats.norm.ppf(-np.expm1(-UP_TO[365]))
    truth = stats.multivariate_normal(cov=[[1, 0.6], [0.6, 1]]).cdf([limit, limit])
    assert agrees(both(0.6), truth, se_of_share(truth, 8_000))
    assert not agrees(both(0.3), truth, se_of_share(truth, 8_000))


@pytest.mark.parametrize("leaving", ["withdrawal", "death"])
def test_an_event_in_records_is_known_unless_leaving_comes_first(leaving: str) -> None:
    """Whole days: the event is known if its day comes before the day of leaving."""

    def known(prob: float) -> tuple[Array, Array, Array]:
        told = {"work": {"kind": "event", "hazard": HAZARD, "source": "record"}}
        withdraws, dies = (prob, 0.0) if leaving == "withdrawal" else (0.0, prob)
        block = people(told, arm=usual(withdrawal_prob=withdraws), observation={"death_prob": dies})
        h = block.histories
        left = np.where(h.exit_day == NONE, LONG, h.exit_day - h.randomized_day).T.ravel()
        return block.observed.event["work"].ravel(), block.observed.event_time["work"].ravel(), left

    days = np.arange(366)
    happened = -np.expm1(-np.interp(days, [0, 91, 365], [0, UP_TO[91], UP_TO[365]]))
    stays = 0.6 ** (days[1:] / 365)
    truth = float(np.sum(np.diff(happened) * stays))
    event, time, left = known(0.4)
    assert share_agrees(event, truth)
    assert not share_agrees(known(0.7)[0], truth)
    assert np.array_equal(time[~event], np.minimum(left, 365)[~event])
    assert (time[event] < left[event]).all()


def test_an_event_asked_about_is_told_at_the_next_visit_answered() -> None:
    """Recounted participant by participant from the tables."""
    arm = usual(withdrawal_prob=0.3, response_prob={"m3": 0.5, "m12": 0.6})
    told = {"kind": "event", "hazard": {"m3": 0.3, "m12": 0.1}}
    block = people({"work": told}, n=1, arm=arm, observation={"death_prob": 0.2})
    h, f, data = block.histories, block.follow, block.observed
    kinds_seen = set()
    for i in range(250):
        day = block.outcomes.event_day[0][0, i, 0]
        answered = [due for due, missing in zip((91, 365), f.missing[:, i, 0], strict=True) if missing == 0]
        left = LONG if h.exit_day[i, 0] == NONE else h.exit_day[i, 0] - h.randomized_day[i, 0]
        knows_until = max(answered, default=0)
        happened = day <= knows_until and day < left
        assert data.event["work"][0, i] == happened
        assert data.event_time["work"][0, i] == (day if happened else min(knows_until, left))
        kinds_seen.add((happened, len(answered), bool(day <= 365)))
    assert len(kinds_seen) >= 7


# --- doses ------------------------------------------------------------------------------------------------------------

STOP, RESUME = {"m3": 0.1, "m12": 0.05}, {"m3": 0.15, "m12": 0.08}
AT_ONCE: Data = {"referral_days": 0, "lead_days": 0, "coaches": [{"caseload": 1_000, "sessions_per_week": 1_000}]}


def opioids(**keys: Any) -> Data:
    return {"opioids": {"kind": "dose", "users": "uses_opioids", "median": 40.0, "sd": 0.5, **keys}}


def cumulative(hazard: Data, day: Array | float) -> Array:
    return np.interp(day, [0, 91, 365], np.cumsum([0, hazard["m3"] * 91 / MONTH, hazard["m12"] * 274 / MONTH]))


def test_users_have_the_stated_share_and_a_lognormal_dose() -> None:
    def found(**keys: Any) -> list[bool]:
        dose = baseline(people(opioids(entry_sd=0.3, **keys)))
        logs = np.log(dose[dose > 0])
        sd = np.sqrt(0.5**2 + 0.3**2)
        return [
            share_agrees(dose > 0, 0.5),
            agrees(logs.mean(), np.log(40), se_of_mean(logs)),
            agrees(logs.std(ddof=1), sd, se_of_sd(sd, logs.size)),
        ]

    assert found() == [True] * 3
    assert found(median=44.0) == [True, False, True]
    assert found(sd=0.6) == [True, True, False]


def test_a_dose_of_who_takes_it_is_at_least_1_and_at_most_the_most() -> None:
    block = people(opioids(sd=5.0, most=500), n=2)
    uses = block.plan.cohort.covariates["uses_opioids"].ravel() > 0
    assert set(baseline(block)[uses]) >= {1, 500}
    assert baseline(block)[uses].min() == 1
    assert baseline(block).max() == 500
    assert not baseline(block)[~uses].any()


def off(block: Block) -> list[Array]:
    """At each visit, who of the users does not take it."""
    uses = block.plan.cohort.covariates["uses_opioids"].ravel() > 0
    return [at_visit(block, v)[uses] == 0 for v in range(2)]


def test_users_stop_and_resume_as_the_hazards_say() -> None:
    def stopped_at(t: float, day: int) -> float:
        """Density of stopping at t and not resuming by the day."""
        density = STOP["m3" if t < 91 else "m12"] / MONTH * np.exp(-cumulative(STOP, t))
        return float(density * np.exp(cumulative(RESUME, t) - cumulative(RESUME, day)))

    truth = {day: integrate.quad(stopped_at, 0, day, args=(day,), points=[91])[0] for day in (91, 365)}

    def found(stop: Data, resume: Data) -> list[bool]:
        flags = off(people(opioids(stop_hazard=stop, resume_hazard=resume), n=64))
        return [share_agrees(one, truth[day]) for one, day in zip(flags, (91, 365), strict=True)]

    assert found(STOP, RESUME) == [True] * 2
    assert found({"m3": 0.13, "m12": 0.07}, RESUME) == [False] * 2
    assert not all(found(STOP, {"m3": 0.15, "m12": 0.02}))


def test_a_taper_succeeds_in_its_share_and_users_resume_after_it() -> None:
    def found(prob: float, resume: Data) -> list[bool]:
        arm = coached(**AT_ONCE, arm={"tapers": {"opioids": {"prob": prob, "days": 60}}})
        flags = off(people(opioids(resume_hazard=resume), n=64, arm=arm))
        stays = [float(np.exp(cumulative(RESUME, 60) - cumulative(RESUME, day))) for day in (91, 365)]
        return [share_agrees(one, 0.7 * share) for one, share in zip(flags, stays, strict=True)]

    assert found(0.7, RESUME) == [True] * 2
    assert found(0.8, RESUME) == [False] * 2
    assert found(0.7, {"m3": 0.15, "m12": 0.02}) == [True, False]


def test_a_taper_goes_with_the_share_of_the_dose_attended_and_ends_on_its_day() -> None:
    """All stop after the first of two sessions; the share of the dose is (1 - exp(-1/3)) / (1 - exp(-2/3))."""

    def found(days: int, **keys: Any) -> list[float]:
        arm = {"tapers": {"opioids": {"prob": 0.8, "days": days}}, "stop_prob": 1.0, **keys}
        return [float(one.mean()) for one in off(people(opioids(), arm=coached(sessions=2, **AT_ONCE, arm=arm)))]

    share = 0.8 * np.expm1(-1 / 3) / np.expm1(-2 / 3)
    early, late, never = found(91), found(92), found(0, start_prob=0.0)
    assert agrees(early, share, se_of_share(share, 4_000))
    assert not agrees(early, 0.8, se_of_share(0.8, 4_000))
    assert late[0] == 0
    assert late[1] == early[1]
    assert never == [0, 0]


# --- time of the year, and treatment from elsewhere -------------------------------------------------------------------


def test_drift_and_season_follow_the_calendar() -> None:
    """Least squares on the year since the start and on cosine and sine of the time of the year."""

    def found(drift: float, amplitude: float, peak: float) -> list[bool]:
        pain = {**WIDE, "sd": 1.0, "drift_per_year": drift, "season": {"amplitude": amplitude, "peak_month": peak}}
        sites = {"sites": {"north": {"rate_per_month": 8.0}}}  # nearly three years
        block = people({"pain": pain}, recruitment=sites, start_date="2023-01-01")
        checks = []
        for values, later in ((baseline(block), 0), (at_visit(block, 1), 365)):
            day = block.plan.cohort.randomized_day.ravel() + later
            angle = 2 * np.pi * day / 365.25
            x = np.stack([np.ones(day.size), day / 365.25, np.cos(angle), np.sin(angle)], axis=1)
            y = values / 15 - 1_000
            fit, *_ = np.linalg.lstsq(x, y, rcond=None)
            se = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * np.var(y - x @ fit))
            truth = (0.0, 0.5, 0.3 * np.cos(np.pi / 2), 0.3 * np.sin(np.pi / 2))  # highest on 1 April
            checks.append([agrees(*part) for part in zip(fit, truth, se, strict=True)])
        assert checks[0] == checks[1]
        return checks[0]

    assert found(0.5, 0.3, 4.0) == [True] * 4
    assert found(0.3, 0.3, 4.0)[1] is False
    assert found(0.5, 0.3, 6.0)[2:] == [False] * 2


def test_contamination_and_co_intervention_reach_their_shares() -> None:
    """Means and variances of what is added, outcomes having no spread of their own."""

    def found(prob: float, dose: float, other: float) -> list[bool]:
        effect = {"effects": {"pain": {"by_visit": {"m3": -2.0, "m12": -1.0}, "sd": 0.0}}}
        elsewhere = {
            "contamination": {"arm": "coach", "prob": prob, "dose": dose},
            "co_intervention": {"prob": other, "effects": {"pain": {"by_visit": {"m3": -0.4, "m12": -0.5}}}},
        }
        arms = {"coach": coached(arm=effect), "usual": usual(**elsewhere)}
        block = run(design(sample_size=250, visits=VISITS, outcomes={"pain": {**WIDE, "sd": 0.0}}, arms=arms), n=32)
        fall = 15_000 - block.outcomes.potential[0, 1, 0].ravel()  # in steps of 1/15
        shares = {15: 0.2 * 0.7, 6: 0.8 * 0.3, 21: 0.2 * 0.3}
        return [share_agrees(fall == steps, prob) for steps, prob in shares.items()]

    assert found(0.2, 0.5, 0.3) == [True] * 3
    assert not any(found(0.4, 0.5, 0.55))
    assert found(0.2, 0.25, 0.3) != [True] * 3


# --- what belongs to whom ---------------------------------------------------------------------------------------------


def test_arms_that_do_nothing_have_equal_outcomes_of_every_kind() -> None:
    stated = kinds(outcomes={"works": {"coach_sd": 0.0}})
    nothing: Data = {"effects": {}, "contamination": None, "co_intervention": None}
    arms = {name: arm.model_copy(update=nothing) for name, arm in stated.arms.items()}
    block = run(stated.model_copy(update={"arms": arms}), n=2)
    equal = [np.array_equal(*under_each) for under_each in block.outcomes.potential]
    assert equal == [True] * 6 + [False]  # the dose, which one arm tapers


def test_what_one_outcome_does_leaves_the_others_alone() -> None:
    block, other = (run(kinds(outcomes={"opioids": {"median": dose}}), n=2) for dose in (40.0, 80.0))
    assert np.array_equal(block.outcomes.potential[:6], other.outcomes.potential[:6])
    assert not np.array_equal(block.outcomes.potential[6], other.outcomes.potential[6])


def test_records_know_of_everybody_in_the_study_and_questionnaires_of_who_answers() -> None:
    block = run(kinds(arms={"coach": {"withdrawal_prob": 0.9}}), n=16)
    h, data = block.histories, block.observed
    assert (h.exit_day == block.follow.due_day).any()  # who leaves on the due day is not there any more
    stays = (h.exit_day == NONE) | (block.follow.due_day < h.exit_day)
    for name, outcome in block.world.design.outcomes.items():
        truth = stays.transpose(2, 1, 0) if outcome.source == "record" else data.observed
        assert np.array_equal(data.seen[name], truth), name
        assert np.array_equal(np.isnan(data.value[name]), ~truth), name
        assert not (data.responder[name] & ~truth).any()
    assert not stays.all()
    assert data.observed.mean() < 0.9


@pytest.mark.parametrize("sd", [0.7, 0.4])
def test_groups_move_those_of_their_members_who_have_attended(sd: float) -> None:
    block = run(design(sample_size=100, outcomes={"pain": {**WIDE, "sd": 0.0, "group_sd": sd}}), n=64)
    sessions = np.ones((1, 100, 64), dtype=np.int8)
    sessions[:, 50:] = 0
    group = np.repeat((np.arange(100) % 10 - 1).astype(np.int16)[:, None], 64, axis=1)
    held = [replace(Held(sessions, sessions[0]), group=group), Held(0 * sessions, 0 * sessions[0])]
    effects = arm_effects(block.plan, block.draws, held)
    added, nothing = (arm.level(np.zeros((100, 64)), 0, 0, share=1.0) for arm in effects)
    assert not nothing.any()
    assert not added[50:].any()
    assert not added[0:50:10].any()
    levels = added[1:10]
    assert np.array_equal(levels, added[11:20])
    assert agrees(levels.std(), 0.7, se_of_sd(0.7, levels.size)) == (sd == 0.7)


@pytest.mark.parametrize("sd", [0.7, 0.4])
def test_clusters_move_visits_alike_and_not_baseline(sd: float) -> None:
    """Values have no other spread; a site has five clusters."""
    pain = {**WIDE, "sd": 0.0, "cluster_change_sd": sd}
    block = run(design(visits=VISITS, outcomes={"pain": pain}, arms={"a": usual()}, clusters={"per_site": 5}), n=320)
    first, second = block.outcomes.potential[0, 0] / 15 - 1_000
    assert np.array_equal(first, second)
    assert (block.plan.cohort.baseline == 15_000).all()
    cluster = block.plan.cohort.cluster
    assert cluster is not None
    levels = [first[cluster[:, r] == c, r] for r in range(320) for c in range(5)]
    assert all(np.ptp(values) == 0 for values in levels if values.size)
    found = np.array([values[0] for values in levels if values.size])
    assert agrees(found.std(), 0.7, se_of_sd(0.7, found.size)) == (sd == 0.7)


def test_a_replicate_s_outcomes_of_every_kind_do_not_depend_on_its_company() -> None:
    alone, company = run(kinds(), n=1, first=3).outcomes, run(kinds(), n=16).outcomes
    assert differences(alone.event_day, {k: day[..., 3:4] for k, day in company.event_day.items()}) == []
    assert np.array_equal(alone.potential, company.potential[..., 3:4])
