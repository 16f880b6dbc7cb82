"""Counts and times of recruitment against Poisson theory; each check must fail in a deliberately wrong world."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import Data, design, usual
from helpers import Z, agrees, run
from numpy.typing import NDArray
from scipy import stats

from trialsim.block import EngineName
from trialsim.records import table
from trialsim.world.formulas import MONTH_DAYS

ALPHA, BETA, MONTHS = 1.2, 0.6, 12
YEAR_RATE = ALPHA / BETA * MONTHS * MONTH_DAYS / 365
"""People per month of 30.4375 days so that a year of 365 days counts as 12 months exactly."""
ONE_ARM: Data = {"usual": usual()}


def contacts(n: int, *, sample_size: int = 420, engine: EngineName = "vector", **recruitment: Any) -> NDArray[np.int64]:
    """People contacted by one site in a year, one number per replicate."""
    rate = recruitment.pop("rate", YEAR_RATE)
    sites = {"north": {"rate_per_month": rate, **recruitment.pop("site", {})}}
    plan = design(
        recruitment={"sites": sites, **recruitment}, sample_size=sample_size, max_enrolment_days=365, arms=ONE_ARM
    )
    counts = run(plan, n=n, engine=engine).histories.n_participants.astype(np.int64)
    assert counts.max() < sample_size, "enrolment must not stop at the sample size here"
    return counts


def mean_and_variance_agree(counts: NDArray[np.int64], law: Any) -> tuple[bool, bool]:
    """Whether a sample's mean and variance are those of a scipy distribution."""
    n = len(counts)
    mean, variance, _, excess = (float(moment) for moment in law.stats(moments="mvsk"))
    se_of_variance = variance * np.sqrt((excess + 2) / n)
    return agrees(counts.mean(), mean, np.sqrt(variance / n)), agrees(counts.var(ddof=1), variance, se_of_variance)


def test_a_site_s_contacts_are_poisson() -> None:
    law = stats.poisson(24)
    assert mean_and_variance_agree(contacts(800, sample_size=80), law) == (True, True)
    assert mean_and_variance_agree(contacts(800, sample_size=80, rate=1.2 * YEAR_RATE), law)[0] is False


@pytest.mark.slow
def test_contacts_of_sites_that_differ_are_poisson_gamma(engine: EngineName) -> None:
    """Oracle E4: alpha 1.2, beta 0.6, 12 months: mean 24, variance 504; site_cv is alpha^-1/2."""
    law = stats.nbinom(ALPHA, BETA / (BETA + MONTHS))
    assert [float(m) for m in law.stats()] == pytest.approx([24, 504])
    right = contacts(1_600, site_cv=ALPHA**-0.5, engine=engine)
    assert mean_and_variance_agree(right, law) == (True, True)
    none = float((right == 0).mean())
    assert agrees(none, law.pmf(0), np.sqrt(law.pmf(0) * (1 - law.pmf(0)) / 1_600))
    assert mean_and_variance_agree(contacts(1_600, site_cv=ALPHA**-0.5, rate=1.2 * YEAR_RATE), law)[0] is False
    assert mean_and_variance_agree(contacts(1_600, site_cv=0.0), law)[1] is False


def test_months_that_differ_add_their_variance_month_by_month() -> None:
    """Variance = mean + cv^2 x the sum of squared monthly means."""
    days = np.bincount((np.arange(365) / MONTH_DAYS).astype(int))
    monthly = YEAR_RATE * days / MONTH_DAYS
    cv, n = 0.8, 1_600
    variance = 24 + cv**2 * np.square(monthly).sum()

    def agree(counts: NDArray[np.int64]) -> bool:
        spread = np.std((counts - counts.mean()) ** 2) / np.sqrt(n)
        return agrees(counts.mean(), 24, np.sqrt(variance / n)) and agrees(counts.var(ddof=1), variance, spread)

    assert agree(contacts(n, sample_size=150, month_cv=cv))
    assert not agree(contacts(n, sample_size=150, month_cv=0.0))
    assert not agree(contacts(n, sample_size=150, site_cv=cv))


def test_a_site_that_grows_has_reached_half_its_rate_half_way() -> None:
    """Ramp over a year: the expected count of the year is half of the full one."""
    ramp = {"ramp_months": 365 / MONTH_DAYS}
    half = contacts(800, sample_size=80, rate=2 * YEAR_RATE, site=ramp)
    assert agrees(half.mean(), 24, np.sqrt(24 / 800))
    assert not agrees(contacts(800, sample_size=120, rate=2 * YEAR_RATE).mean(), 24, np.sqrt(24 / 800))


def closing_days(rate: float, n: int) -> NDArray[np.int64]:
    plan = design(sample_size=60, recruitment={"sites": {"north": {"rate_per_month": rate}}}, arms=ONE_ARM)
    return run(plan, n=n).histories.closing_day.astype(np.int64)


def test_the_last_participant_comes_when_waiting_for_that_many_takes() -> None:
    """A sum of 60 exponential gaps; whole days are half a day early on average."""
    rate, n = 30.0 / MONTH_DAYS, 1_000
    se = np.sqrt(60) / rate / np.sqrt(n)
    assert agrees(closing_days(30.0, n).mean(), 60 / rate - 0.5, se)
    assert not agrees(closing_days(36.0, n).mean(), 60 / rate - 0.5, se)


# --- the funnel -----------------------------------------------------------------------------------------------------

FUNNEL: Data = {
    "reached": {"prob": 0.6, "losses": {"wrong number": 3.0, "no answer": 1.0}},
    "willing": {"prob": 0.7, "losses": {"declined": 1.0, "too busy": 1.0}},
    "eligible": {"criteria": {"too young": {"excluded_prob": 0.2}, "other": {"excluded_prob": 0.1}}},
    "consented": {"prob": 0.8, "losses": {"declined": 2.0, "moved": 1.0}},
}
SHARES = {
    ("reached", "wrong number"): 0.4 * 0.75,
    ("reached", "no answer"): 0.4 * 0.25,
    ("willing", "declined"): 0.6 * 0.3 * 0.5,
    ("willing", "too busy"): 0.6 * 0.3 * 0.5,
    ("eligible", "too young"): 0.42 * 0.2,
    ("eligible", "other"): 0.42 * 0.8 * 0.1,
    ("consented", "declined"): 0.42 * 0.72 * 0.2 * 2 / 3,
    ("consented", "moved"): 0.42 * 0.72 * 0.2 / 3,
    ("consented", "passed"): 0.42 * 0.72 * 0.8,
}
N_FUNNELS = 600
CONTACTS = 200.0


@cache
def funnel_counts(change: str) -> NDArray[np.int64]:
    """Counts of each of SHARES' entries, (entries, replicates); `change` names what is different in this world."""
    steps = {name: dict(step) for name, step in FUNNEL.items()}
    if change == "everybody is followed":
        steps["reached"]["criteria"] = {"never": {"excluded_prob": 0.0}}
    if change == "more are reached":
        steps["reached"]["prob"] = 0.66
    if change == "reasons exchanged":
        steps["reached"]["losses"] = {"wrong number": 1.0, "no answer": 3.0}
    if change == "later reasons exchanged":
        steps["consented"]["losses"] = {"declined": 1.0, "moved": 2.0}
    sites = {"north": {"rate_per_month": CONTACTS / 100 * MONTH_DAYS}}
    plan = design(funnel=steps, recruitment={"sites": sites}, sample_size=150, max_enrolment_days=100, arms=ONE_ARM)
    rows = table(run(plan, n=N_FUNNELS), "funnel").to_pandas()
    counts = rows.groupby(["step", "reason", "replicate"], observed=True)["n"].sum()
    return np.array([counts[step, reason].to_numpy() for step, reason in SHARES])


def funnel_agrees(counts: NDArray[np.int64]) -> bool:
    """Independent Poisson counts with the design's shares: means, variances and correlations."""
    mean = CONTACTS * np.array(list(SHARES.values()))
    means = agrees(counts.mean(axis=1), mean, np.sqrt(mean / N_FUNNELS))
    variances = agrees(counts.var(axis=1, ddof=1), mean, np.sqrt((mean + 2 * mean**2) / N_FUNNELS))
    apart = np.corrcoef(counts)[~np.eye(len(mean), dtype=bool)]
    return means and variances and agrees(apart, 0, 1 / np.sqrt(N_FUNNELS))


@pytest.mark.parametrize("change", ["as designed", "everybody is followed"])
def test_losses_at_every_step_are_a_thinned_poisson_process(change: str) -> None:
    """Also where people are only counted because nobody looks at them: the funnel is as if all were followed."""
    assert funnel_agrees(funnel_counts(change))


@pytest.mark.parametrize("change", ["more are reached", "reasons exchanged", "later reasons exchanged"])
def test_the_check_of_losses_notices_a_wrong_funnel(change: str) -> None:
    assert not funnel_agrees(funnel_counts(change))


SLOW: Data = {
    "reached": {
        "prob": 0.6,
        "losses": {"wrong number": 3.0, "no answer": 1.0},
        "delay": {"days": 5, "mean_extra": 20.0},
    },
    "willing": {"prob": 0.7, "losses": {"declined": 1.0, "too busy": 1.0}, "delay": {"days": 3, "mean_extra": 15.0}},
    "eligible": {"criteria": {"too young": {"excluded_prob": 0.2}}},
}


@cache
def slow_funnel(change: str) -> NDArray[np.int64]:
    """Every row of a funnel whose steps take long compared with enrolment, (rows, replicates)."""
    steps = {name: dict(step) for name, step in SLOW.items()}
    if change == "everybody is followed":
        steps["reached"]["criteria"] = {"never": {"excluded_prob": 0.0}}
    if change == "losses are faster":
        steps["willing"]["delay"] = {"days": 3, "mean_extra": 8.0}
    sites = {"north": {"rate_per_month": CONTACTS / 100 * MONTH_DAYS, "ramp_months": 2.0}}
    plan = design(funnel=steps, recruitment={"sites": sites}, sample_size=150, max_enrolment_days=100, arms=ONE_ARM)
    rows = table(run(plan, n=N_FUNNELS), "funnel").to_pandas()
    counts = rows[rows["reason"] != "never"].groupby(["step", "reason", "replicate"], observed=True)["n"].sum()
    return np.array([counts[key].to_numpy() for key in sorted({key[:2] for key in counts.index})])


def same_means(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    error = np.sqrt((one.var(axis=1, ddof=1) + other.var(axis=1, ddof=1)) / N_FUNNELS)
    return agrees(one.mean(axis=1), other.mean(axis=1), np.maximum(error, 1e-9))


def test_people_who_are_only_counted_take_as_long_as_people_who_are_followed() -> None:
    """Passed, lost by reason and still in process at closing, whether or not anybody looks at the person."""
    counted = slow_funnel("as designed")
    assert same_means(counted, slow_funnel("everybody is followed"))
    assert not same_means(counted, slow_funnel("losses are faster"))


def test_a_pool_is_divided_among_the_reasons_like_people_without_a_pool() -> None:
    """200 people, all contacted: binomial counts."""
    sites = {"north": {"rate_per_month": 2_000.0, "pool": 200}}
    plan = design(funnel=FUNNEL, recruitment={"sites": sites}, sample_size=150, max_enrolment_days=100, arms=ONE_ARM)
    rows = table(run(plan, n=400), "funnel").to_pandas()
    counts = rows.groupby(["step", "reason", "replicate"], observed=True)["n"].sum()
    assert (counts["contacted", "passed"] == 200).all()
    prob = np.array(list(SHARES.values()))
    mean = np.array([counts[step, reason].mean() for step, reason in SHARES])
    se = np.sqrt(200 * prob * (1 - prob) / 400)
    assert agrees(mean, 200 * prob, se)
    assert not agrees(mean, 200 * np.roll(prob, 1), se)


def pool_contacts(rate: float, n: int) -> NDArray[np.int64]:
    """People contacted, of a pool of 100, in 100 days; a fifth is reached."""
    sites = {"north": {"rate_per_month": rate * MONTH_DAYS, "pool": 100}}
    funnel = {"reached": {"prob": 0.2}, "seen": {"criteria": {"other": {"excluded_prob": 0.5}}}}
    plan = design(funnel=funnel, recruitment={"sites": sites}, sample_size=60, max_enrolment_days=100, arms=ONE_ARM)
    rows = table(run(plan, n=n), "funnel").to_pandas()
    return np.asarray(rows[rows["step"] == "contacted"]["n"], dtype=np.int64)


@pytest.mark.slow
def test_a_pool_is_exhausted_as_often_as_that_many_people_would_have_been_contacted() -> None:
    """Contacts are min(Poisson(100), 100)."""
    n, k = 4_000, np.arange(300)
    law = stats.poisson.pmf(k, 100)
    cut = np.minimum(k, 100)
    mean, second = float(law @ cut), float(law @ cut**2)
    full = float(stats.poisson.sf(99, 100))

    def agree(counts: NDArray[np.int64]) -> bool:
        means = agrees(counts.mean(), mean, np.sqrt((second - mean**2) / n))
        return means and agrees((counts == 100).mean(), full, np.sqrt(full * (1 - full) / n))

    assert agree(pool_contacts(1.0, n))
    assert not agree(pool_contacts(1.02, n))


def test_tolerances_come_from_theory_and_are_narrow() -> None:
    """A guard against checks that cannot fail: the tolerance of the mean count is a few per cent."""
    assert Z * np.sqrt(24 / 800) < 0.05 * 24
    assert Z * np.sqrt(504 / 1_600) < 0.12 * 24
