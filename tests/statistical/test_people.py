"""Traits and outcomes of the simulated people against the distributions that the design states."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from designs import WIDE, Data, coached, design, modules, online, usual
from helpers import agrees, run, se_of_correlation, se_of_mean, se_of_sd, se_of_share
from numpy.typing import NDArray
from scipy import stats

from trialsim.block import Block
from trialsim.world import formulas

Floats = NDArray[np.float64]
VISITS: Data = {"m3": {"day": 91}, "m6": {"day": 183}, "m12": {"day": 365}}
ARM: Data = {"usual": usual()}


def people(n: int = 32, **parts: Any) -> Block:
    """32 trials of 250 participants."""
    parts = {"arms": ARM, "visits": VISITS, **parts}
    return run(design(sample_size=250, max_enrolment_days=2_000, **parts), n=n)


def points(block: Block, name: str = "pain", arm: int = 0) -> Floats:
    """Potential values under an arm, (visits, participants of all replicates)."""
    k = block.world.outcomes.index(name)
    outcome = block.world.design.outcomes[name]
    values = formulas.from_grid(block.outcomes.potential[k, arm], outcome.low, outcome.items)
    return values.reshape(len(values), -1)


def baseline(block: Block, name: str = "pain") -> Floats:
    k = block.world.outcomes.index(name)
    outcome = block.world.design.outcomes[name]
    return formulas.from_grid(block.plan.cohort.baseline[k], outcome.low, outcome.items).ravel()


# --- covariates -----------------------------------------------------------------------------------------------------


def covariates(**changes: float) -> dict[str, Floats]:
    numbers = {"prob": 0.7, "mean": 50.0, "sd": 20.0, "count": 2.0, **changes}
    told = {
        "female": {"kind": "binary", "prob": numbers["prob"]},
        "age": {"kind": "normal", "mean": numbers["mean"], "sd": numbers["sd"], "low": 18.0, "high": 70.0},
        "conditions": {"kind": "count", "mean": numbers["count"]},
    }
    return {name: values.ravel() for name, values in people(covariates=told).plan.cohort.covariates.items()}


def covariates_agree(values: dict[str, Floats]) -> list[bool]:
    """Share, truncated mean and SD, count's mean and variance."""
    n = values["age"].size
    age = stats.truncnorm((18 - 50) / 20, (70 - 50) / 20, loc=50, scale=20)
    spread = np.square(values["age"] - age.mean())
    counts = values["conditions"]
    return [
        agrees(values["female"].mean(), 0.7, se_of_share(0.7, n)),
        agrees(values["age"].mean(), age.mean(), age.std() / np.sqrt(n)),
        agrees(spread.mean(), age.var(), se_of_mean(spread)),
        agrees(counts.mean(), 2, np.sqrt(2 / n)),
        agrees(counts.var(ddof=1), 2, np.sqrt((2 + 2 * 2**2) / n)),
    ]


def test_covariates_have_their_stated_distributions() -> None:
    assert covariates_agree(covariates()) == [True] * 5


def test_the_check_of_covariates_notices_wrong_ones() -> None:
    assert covariates_agree(covariates(prob=0.74, mean=53.0, count=2.2)) == [False, False, True, False, False]
    assert covariates_agree(covariates(sd=14.0))[2] is False


def test_covariates_are_independent_of_each_other() -> None:
    correlations = np.corrcoef(np.array(list(covariates().values())))
    apart = correlations[~np.eye(3, dtype=bool)]
    assert agrees(apart, 0, 1 / np.sqrt(250 * 32))
    assert not agrees(apart + 0.1, 0, 1 / np.sqrt(250 * 32))


# --- levels and changes ---------------------------------------------------------------------------------------------

SPREAD: Data = {"sd": 1.5, "entry_sd": 0.6, "error_sd": 0.5, "change_sd": 0.8, "persistence": 0.6}


def scale(**keys: Any) -> Data:
    return {"pain": {**WIDE, **SPREAD, **keys}}


def variances(spread: Data) -> tuple[float, float, float]:
    """Variance at baseline and at follow-up, and what the two share, from the design's components."""
    stable, error = spread["sd"] ** 2, spread["error_sd"] ** 2
    return stable + spread["entry_sd"] ** 2 + error, stable + spread["change_sd"] ** 2 + error, stable


def spread_agrees(block: Block) -> list[bool]:
    """SDs at baseline and follow-up, baseline-follow-up correlation, correlation between visits."""
    before, after, shared = variances(SPREAD)
    first, later = baseline(block), points(block)
    n = first.size
    entry = shared / np.sqrt(before * after)
    lagged = [(shared + SPREAD["persistence"] ** lag * SPREAD["change_sd"] ** 2) / after for lag in (1, 2)]
    return [
        agrees(first.std(ddof=1), np.sqrt(before), se_of_sd(np.sqrt(before), n)),
        agrees(later.std(axis=1, ddof=1), np.sqrt(after), se_of_sd(np.sqrt(after), n)),
        all(agrees(np.corrcoef(first, visit)[0, 1], entry, se_of_correlation(entry, n)) for visit in later),
        all(
            agrees(np.corrcoef(later[a], later[b])[0, 1], lagged[b - a - 1], se_of_correlation(lagged[b - a - 1], n))
            for a, b in ((0, 1), (1, 2), (0, 2))
        ),
    ]


def test_spread_and_correlation_over_time_follow_from_the_stated_components() -> None:
    assert spread_agrees(people(outcomes=scale())) == [True] * 4


@pytest.mark.parametrize(
    ("wrong", "noticed"),
    [
        ({"entry_sd": 0.0}, [False, True, False, True]),
        ({"change_sd": 1.1}, [True, False, False, True]),
        ({"persistence": 0.0}, [True, True, True, False]),
        ({"sd": 1.7}, [False, False, False, False]),
    ],
)
def test_the_check_of_spread_notices_wrong_components(wrong: Data, noticed: list[bool]) -> None:
    found = spread_agrees(people(outcomes=scale(**wrong)))
    assert not any(a and not b for a, b in zip(found, noticed, strict=True))
    assert not all(found)


def test_levels_depend_on_covariates_around_their_means_only() -> None:
    """The link moves people apart, not the population's mean; the slope is the stated one."""
    told = {"conditions": {"kind": "count", "mean": 2.0}}

    def slope_and_mean(link: float) -> list[bool]:
        block = people(covariates=told, outcomes=scale(covariates={"conditions": link}))
        x, y = block.plan.cohort.covariates["conditions"].ravel(), baseline(block)
        fit = stats.linregress(x, y)
        mean = agrees(y.mean(), 0, y.std() / np.sqrt(y.size))
        return [agrees(fit.slope, 0.3, fit.stderr), mean]

    assert slope_and_mean(0.3) == [True, True]
    assert slope_and_mean(0.4) == [False, True]


def test_natural_course_and_motivation_move_follow_up_only() -> None:
    course = {"m3": -0.5, "m6": -0.8, "m12": -0.2}

    def moved(motivation: float) -> list[bool]:
        block = people(outcomes=scale(course=course, motivation=motivation))
        later, drive = points(block), block.plan.cohort.motivation.ravel()
        fits = [stats.linregress(drive, visit) for visit in later]
        means = agrees(later.mean(axis=1), list(course.values()), later.std(axis=1) / np.sqrt(drive.size))
        before = stats.linregress(drive, baseline(block))
        return [means, all(agrees(f.slope, -0.3, f.stderr) for f in fits), agrees(before.slope, 0, before.stderr)]

    assert moved(-0.3) == [True, True, True]
    assert moved(-0.15) == [True, False, True]


@pytest.mark.parametrize("part", ["site_sd", "coach_sd"])
def test_sites_and_coaches_differ_by_their_own_spread(part: str) -> None:
    """One site, one coach: variance between trials' means, beyond what 50 participants make of chance."""

    def spread(sd: float) -> tuple[float, float]:
        outcome = {**WIDE, "sd": 1.0, part: sd}
        arms = {"coach": coached(coaches=[{"caseload": 1_000, "sessions_per_week": 1_000}])}
        block = run(design(sample_size=50, outcomes={"pain": outcome}, arms=arms), n=640)
        means = formulas.from_grid(block.outcomes.realised[0, 0], -1000.0, 15).mean(axis=0)
        return float(means.std(ddof=1)), float(np.sqrt(0.7**2 + 1 / 50))

    estimate, truth = spread(0.7)
    assert agrees(estimate, truth, se_of_sd(truth, 640))
    assert not agrees(spread(0.9)[0], truth, se_of_sd(truth, 640))


# --- several outcomes -----------------------------------------------------------------------------------------------


def two_outcomes(correlation: float) -> Block:
    mood = {**WIDE, **SPREAD, "correlation": {"pain": correlation}}
    return people(outcomes={**scale(), "mood": mood})


def between_outcomes(block: Block) -> Floats:
    """Correlation of the two at baseline and at each visit."""
    before = np.corrcoef(baseline(block), baseline(block, "mood"))[0, 1]
    after = [np.corrcoef(a, b)[0, 1] for a, b in zip(points(block), points(block, "mood"), strict=True)]
    return np.array([before, *after])


def test_outcomes_have_the_stated_correlation_at_every_assessment() -> None:
    se = se_of_correlation(0.6, 250 * 32)
    assert agrees(between_outcomes(two_outcomes(0.6)), 0.6, se)
    assert not agrees(between_outcomes(two_outcomes(0.7)), 0.6, se)


def test_measurement_error_is_fresh_at_every_assessment_and_shared_between_outcomes_as_stated() -> None:
    """Nobody differs and nobody changes: all spread is error; correlated between outcomes, not between assessments."""

    def errors(sd: float, correlation: float) -> list[bool]:
        noise = {**WIDE, "sd": 0.0, "error_sd": sd}
        block = people(outcomes={"pain": noise, "mood": {**noise, "correlation": {"pain": correlation}}})
        values = np.vstack([np.vstack([baseline(block, name), points(block, name)]) for name in ("pain", "mood")])
        n, truth = values.shape[1], np.kron([[1, 0.6], [0.6, 1]], np.eye(4))
        off = ~np.eye(8, dtype=bool)
        found = np.corrcoef(values)[off]
        sds = agrees(values.std(axis=1, ddof=1), 0.5, se_of_sd(0.5, n))
        return [sds, agrees(found, truth[off], se_of_correlation(truth[off], n))]

    assert errors(0.5, 0.6) == [True, True]
    assert errors(0.55, 0.6) == [False, True]
    assert errors(0.5, 0.5) == [True, False]


# --- marked improvement ---------------------------------------------------------------------------------------------


def test_a_stated_share_recovers_and_mostly_stays_recovered() -> None:
    """Shares by visit; recovering at two visits is bivariate normal with the persistence as correlation."""
    prob = {"m3": 0.3, "m6": 0.35, "m12": 0.2}

    def recovered(persistence: float, factor: float) -> list[bool]:
        recovery = {"prob": {v: factor * p for v, p in prob.items()}, "drop": 2.0, "sd": 0.0}
        outcome = {**WIDE, "sd": 0.0, "recovery": recovery, "persistence": persistence}
        flags = points(people(outcomes={"pain": outcome})) < -1
        n = flags.shape[1]
        limits = stats.norm.ppf(list(prob.values()))
        both = [stats.multivariate_normal(cov=[[1, 0.7], [0.7, 1]]).cdf([a, b]) for a, b in pairwise(limits)]
        together = [np.mean(a & b) for a, b in pairwise(flags)]
        shares = agrees(flags.mean(axis=1), list(prob.values()), se_of_share(list(prob.values()), n))
        return [shares, agrees(together, both, se_of_share(both, n))]

    assert recovered(0.7, 1.0) == [True, True]
    assert recovered(0.5, 1.0) == [True, False]
    assert recovered(0.7, 1.1)[0] is False


# --- regression to the mean -----------------------------------------------------------------------------------------


def fall_from_baseline(entry_sd: float, *, limit: float = 1.0) -> tuple[float, float]:
    """Mean fall from baseline to three months without any treatment or course, and its standard error."""
    outcome = {**WIDE, "sd": 1.5, "error_sd": 0.5, "change_sd": 0.8, "entry_sd": entry_sd}
    rule = {"eligible": {"criteria": {"too little pain": {"measure": "pain", "error_sd": 1.0, "at_least": limit}}}}
    block = people(outcomes={"pain": outcome}, funnel=rule)
    assert block.plan.cohort.valid.all()
    fall = baseline(block) - points(block)[0]
    return float(fall.mean()), se_of_mean(fall)


def expected_fall(entry_sd: float) -> float:
    """E[passing state | screening value >= 1]: entry variance / screening SD x inverse Mills ratio."""
    screening_sd = np.sqrt(1.5**2 + entry_sd**2 + 1.0**2)
    limit = 1.0 / screening_sd
    return float(entry_sd**2 / screening_sd * stats.norm.pdf(limit) / stats.norm.sf(limit))


def test_regression_to_the_mean_arises_from_the_eligibility_rule() -> None:
    """Whoever is let in for a high value was, in part, passing through a bad spell: baseline falls by itself.

    The spell (entry_sd) is shared by screening and baseline and gone by the first visit. The screening measure's own
    error is not shared with baseline, so it selects people without making their baseline regress.
    """
    fall, se = fall_from_baseline(0.9)
    assert expected_fall(0.9) > 0.4
    assert agrees(fall, expected_fall(0.9), se)
    assert not agrees(fall_from_baseline(1.1)[0], expected_fall(0.9), se)


def test_without_a_passing_state_there_is_no_regression_to_the_mean() -> None:
    fall, se = fall_from_baseline(0.0)
    assert agrees(fall, 0, se)
    assert not agrees(fall_from_baseline(0.4)[0], 0, se)


def test_without_selection_there_is_no_regression_to_the_mean_either() -> None:
    fall, se = fall_from_baseline(0.9, limit=-900.0)
    assert agrees(fall, 0, se)


def test_selection_on_a_noisy_measure_lets_in_milder_people_than_it_seems() -> None:
    """Stable level of those let in: stable variance / screening SD x inverse Mills ratio."""

    def level(error_sd: float) -> tuple[float, float]:
        rule = {"eligible": {"criteria": {"mild": {"measure": "pain", "error_sd": error_sd, "at_least": 1.0}}}}
        values = people(outcomes={"pain": {**WIDE, "sd": 1.5}}, funnel=rule).plan.cohort.stable[0].ravel()
        return float(values.mean()), se_of_mean(values)

    screening_sd = np.sqrt(1.5**2 + 1)
    truth = 1.5**2 / screening_sd * stats.norm.pdf(1 / screening_sd) / stats.norm.sf(1 / screening_sd)
    estimate, se = level(1.0)
    assert agrees(estimate, truth, se)
    assert not agrees(level(0.5)[0], truth, se)


# --- effects --------------------------------------------------------------------------------------------------------


@cache
def treated(dose: str = "saturating", sd: float = 0.0, stop_prob: float = 0.2) -> Block:
    """Web modules twice a month that many leave early; effect -4, -3 and -2 points at full dose."""
    effect = {"pain": {"by_visit": {"m3": -4.0, "m6": -3.0, "m12": -2.0}, "sd": sd}}
    web = online(
        sessions=8,
        pace={"days": 20},
        arm={"stop_prob": stop_prob, "dose": dose, "dose_scale": 3.0, "effects": effect},
    )
    return people(arms={"web": web, "usual": usual()}, outcomes=scale(motivation=-0.2), n=16)


def test_the_effect_grows_with_the_sessions_attended_by_the_visit() -> None:
    """Every participant's own difference between the two worlds is dose(sessions) x effect, up to two roundings."""
    block = treated()
    difference = points(block, arm=0) - points(block, arm=1)
    sessions = block.outcomes.sessions[0].reshape(3, -1)
    assert set(np.unique(sessions[0])) == set(range(1, 6)), "by three months nobody has had more than five"
    dose = (1 - np.exp(-sessions / 3)) / (1 - np.exp(-8 / 3))
    expected = dose * np.array([[-4.0], [-3.0], [-2.0]])
    assert np.abs(difference - expected).max() <= 1 / 15 + 1e-9
    assert np.abs(difference - expected * 1.1).max() > 1 / 15


def test_people_who_attend_more_have_better_means_by_the_dose_response_curve() -> None:
    """Means of the realised outcome by sessions attended, against those of usual care: stopping is by chance alone."""
    block = treated()
    value = formulas.from_grid(block.outcomes.realised[0, 0], -1000.0, 15)
    arm, sessions = block.histories.arm, block.outcomes.realised_sessions[0]
    control = value[arm == 1]
    curve = [-4 * (1 - np.exp(-s / 3)) / (1 - np.exp(-8 / 3)) for s in range(9)]
    for s in (1, 2, 5):
        mine = value[(arm == 0) & (sessions == s)]
        se = np.hypot(se_of_mean(mine), se_of_mean(control))
        assert agrees(mine.mean() - control.mean(), curve[s], se)
        assert not agrees(mine.mean() - control.mean(), -4 * s / 8, se), "a straight line does not fit"


def test_an_assigned_effect_is_the_same_for_all_who_are_assigned() -> None:
    difference = points(treated(dose="assigned"), arm=0) - points(treated(dose="assigned"), arm=1)
    assert np.abs(difference - np.array([[-4.0], [-3.0], [-2.0]])).max() <= 1 / 15 + 1e-9


def test_people_differ_in_what_treatment_does_to_them() -> None:
    def spread(sd: float) -> tuple[Floats, Floats]:
        block = treated(sd=sd, stop_prob=0.0, dose="assigned")
        difference = points(block, arm=0) - points(block, arm=1)
        return difference.mean(axis=1), difference.std(axis=1, ddof=1)

    mean, sd = spread(0.9)
    n = 250 * 16
    assert agrees(mean, [-4, -3, -2], 0.9 / np.sqrt(n))
    truth = np.sqrt(0.9**2 + 2 / 12 / 15**2)
    assert agrees(sd, truth, se_of_sd(truth, n))
    assert not agrees(spread(1.1)[1], truth, se_of_sd(truth, n))


def test_modules_of_the_dose_response_are_those_of_the_arm() -> None:
    """Full dose means all sessions of this arm, be they one or eight."""
    effect = {"pain": {"by_visit": {"m3": -4.0, "m6": -4.0, "m12": -4.0}}}
    arms = {
        f"web{n}": {"delivery": {"kind": "self_paced", "modules": modules(n), "pace": {"days": 1}}, "effects": effect}
        for n in (1, 8)
    }
    block = people(arms={**arms, "usual": usual()}, outcomes=scale(), n=2)
    for arm in (0, 1):
        assert np.abs(points(block, arm=arm) - points(block, arm=2) + 4).max() <= 1 / 15 + 1e-9
