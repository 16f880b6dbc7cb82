"""Clusters against theory: sizes, levels, recruitment by arm; seasons. Each check must fail in a wrong world."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from designs import WIDE, Data, design, score, usual
from helpers import agrees, se_of_mean, se_of_share
from numpy.typing import NDArray
from scipy import stats

from trialsim.experiments.cluster_measures import Cells, icc
from trialsim.world.clusters import Clusters, make_clusters
from trialsim.world.cohort import Cohort, make_cohort
from trialsim.world.draws import Draws
from trialsim.world.formulas import MONTH_DAYS
from trialsim.world.world import World

Floats = NDArray[np.float64]
ARMS: Data = {"a": usual(), "b": usual()}
BY_CLUSTER: Data = {"kind": "clusters", "ratio": {"a": 1, "b": 1}}


def clustered(
    *, outcome: Data | None = None, allocation: Data | None = None, n: int = 300, per_site: int = 20, **keys: Any
) -> World:
    """One site with clusters that are randomized; a wide scale with SD 2 of the stable level."""
    pain = score(**WIDE, sd=2.0, entry_sd=1.0, error_sd=0.5, change_sd=0.0, **(outcome or {}))
    return World(
        design(
            recruitment={"sites": {"north": {"rate_per_month": 200.0}}},
            sample_size=n,
            outcomes={"pain": pain},
            arms=ARMS,
            allocation=BY_CLUSTER | (allocation or {}),
            clusters={"per_site": per_site, **keys},
        )
    )


def cohort_of(world: World, n: int) -> tuple[Cohort, Clusters]:
    cohort = make_cohort(world, Draws(5, 0, n))
    assert cohort.clusters is not None
    return cohort, cohort.clusters


# --- sizes ------------------------------------------------------------------------------------------------------------


def shares(cv: float) -> Floats:
    clusters = make_clusters(clustered(size_cv=cv), Draws(5, 0, 400))
    assert clusters is not None
    return clusters.weight


def test_expected_shares_of_clusters_vary_as_gamma_shares_do() -> None:
    """Gamma variates over their sum are Dirichlet: (C times the share) has variance cv^2 (C - 1) / (C + cv^2)."""
    cv, n = 0.6, 20
    theory = cv**2 * (n - 1) / (n + cv**2)
    by_replicate = (n * shares(cv)).var(axis=0)  # about the known mean 1
    assert agrees(by_replicate.mean(), theory, se_of_mean(by_replicate))
    wrong = (n * shares(1.2 * cv)).var(axis=0)
    assert not agrees(wrong.mean(), theory, se_of_mean(wrong))


def squared_misses(recruitment: str) -> Floats:
    """Squared differences between the size of a cluster and what was expected, mean of each replicate."""
    cohort, clusters = cohort_of(clustered(size_cv=0.5, recruitment=recruitment), 200)
    assert cohort.cluster is not None
    sizes = np.array([(cohort.cluster == c).sum(axis=0) for c in range(20)])
    return np.asarray(
        ((sizes - 300 * clusters.weight) ** 2 / (300 * clusters.weight * (1 - clusters.weight))).mean(axis=0)
    )


def test_sizes_by_chance_are_multinomial_and_even_ones_much_nearer() -> None:
    random, even = squared_misses("random"), squared_misses("even")
    assert agrees(random.mean(), 1.0, se_of_mean(random))
    assert not agrees(even.mean(), 1.0, se_of_mean(even))
    assert even.mean() < 0.15


# --- levels -----------------------------------------------------------------------------------------------------------


def baseline_iccs(cluster_sd: float) -> Floats:
    world = clustered(outcome={"cluster_sd": cluster_sd}, size_cv=0.5, n=2_000, per_site=200)
    cohort, clusters = cohort_of(world, 60)
    assert cohort.cluster is not None
    cells = Cells(cohort.cluster, np.zeros(cohort.shape, dtype=np.int8), (1, len(clusters.site)))
    values = cells.sums(cells.sum(cohort.valid), cohort.baseline[0].astype(float) * cohort.valid)
    return icc(values, given_arm=False)


def test_the_intracluster_correlation_at_baseline_is_as_designed() -> None:
    """cluster_sd^2 over all variance of a baseline value: 0.7^2 / (0.7^2 + 2^2 + 1^2 + 0.5^2).

    There are many clusters, so that the bias of a ratio of mean squares, of order 1 / clusters, is far below the error.
    """
    theory = 0.7**2 / (0.7**2 + 4 + 1 + 0.25)
    found, wrong, none = (baseline_iccs(sd) for sd in (0.7, 0.9, 0.0))
    assert agrees(found.mean(), theory, se_of_mean(found))
    assert not agrees(wrong.mean(), theory, se_of_mean(wrong))
    assert agrees(none.mean(), 0.0, se_of_mean(none))


def test_the_anova_intracluster_correlation_by_hand() -> None:
    """Two arms of two clusters, unequal sizes, against sums of squares written out."""
    cluster = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3], dtype=np.int16)[:, None]
    y = np.array([1.0, 2.0, 4.0, 7.0, 8.0, 3.0, 5.0, 6.0, 9.0, 2.5])[:, None]
    arm = np.array([0, 0, 1, 1], dtype=np.int8)[cluster]
    cells = Cells(cluster, arm, (2, 4))
    values = cells.sums(cells.sum(np.ones(y.shape)), y)
    members = [y[cluster[:, 0] == c, 0] for c in range(4)]
    within = sum(((m - m.mean()) ** 2).sum() for m in members) / (10 - 4)
    halves = [np.concatenate(members[:2]), np.concatenate(members[2:])]
    between = sum(len(m) * (m.mean() - halves[c // 2].mean()) ** 2 for c, m in enumerate(members)) / (4 - 2)
    n0 = (10 - (9 + 4) / 5 - (16 + 1) / 5) / (4 - 2)
    expected = (between - within) / (between + (n0 - 1) * within)
    np.testing.assert_allclose(icc(values, given_arm=True, randomized=True), expected, rtol=1e-12)
    assert not np.isclose(icc(values, given_arm=True), expected)
    assert not np.isclose(icc(values, given_arm=False), expected)


def shares_of_a(ratio: Data) -> Floats:
    """Share of clusters in arm a, each by chance alone, by replicate."""
    clusters = make_clusters(clustered(allocation={"method": "simple", "ratio": ratio}), Draws(5, 0, 200))
    assert clusters is not None
    assert clusters.arm is not None
    return np.asarray((clusters.arm == 0).mean(axis=0))


def test_simple_randomization_of_clusters_keeps_the_ratio() -> None:
    error = se_of_share(0.75, 20 * 200)
    assert agrees(shares_of_a({"a": 3, "b": 1}).mean(), 0.75, error)
    assert agrees(shares_of_a({"a": 3, "b": 1}).var(), 0.75 * 0.25 / 20, 0.75 * 0.25 / 20 * np.sqrt(2 / 200))
    assert not agrees(shares_of_a({"a": 2, "b": 1}).mean(), 0.75, error)


# --- recruitment by arm -----------------------------------------------------------------------------------------------

PROB, SEVERITY = 0.5, 0.8


@cache
def recruited(severity: float) -> tuple[Floats, Floats, Floats]:
    """By replicate: share recruited in arm a; difference a - b of means at entry (SDs), and of the stable level."""
    selection = {"a": {"prob": PROB, "severity": severity}}
    cohort, clusters = cohort_of(clustered(per_site=40, n=400, selection=selection), 150)
    assert cohort.cluster is not None
    assert cohort.persons.cluster is not None
    assert clusters.arm is not None
    person_arm = np.take_along_axis(clusters.arm, cohort.persons.cluster.astype(np.intp), axis=0)
    share = np.ma.masked_where(person_arm != 0, cohort.persons.lost_step == 1).mean(axis=0)
    arm = np.take_along_axis(clusters.arm, cohort.cluster.astype(np.intp), axis=0)
    _, entry = cohort.traits.levels(0)
    z, stable = entry / np.sqrt(2.0**2 + 1.0**2), cohort.stable[0]

    def contrast(values: Floats) -> Floats:
        of_arm = [np.ma.masked_where(arm != k, values).mean(axis=0) for k in (0, 1)]
        return np.asarray(of_arm[0] - of_arm[1])

    return np.asarray(share), contrast(z), contrast(stable)


def selection_agrees(severity: float) -> tuple[bool, bool, bool]:
    """Share recruited Phi(t) with t = Phi^-1(prob) / sqrt(1 + s^2); their mean is s phi(t) / (sqrt(1 + s^2) Phi(t)),
    and 2 / sqrt(5) of that, times 2, is in the stable level, which stays when the passing state has gone."""
    root = np.sqrt(1 + SEVERITY**2)
    t = stats.norm.ppf(PROB) / root
    shift = SEVERITY * stats.norm.pdf(t) / (root * stats.norm.cdf(t))
    share, at_entry, stable = recruited(severity)
    return (
        agrees(share.mean(), stats.norm.cdf(t), se_of_mean(share)),
        agrees(at_entry.mean(), shift, se_of_mean(at_entry)),
        agrees(stable.mean(), shift * 2.0**2 / np.sqrt(5), se_of_mean(stable)),
    )


def test_recruiters_who_know_the_arm_make_arms_differ_though_clusters_are_randomized() -> None:
    assert selection_agrees(SEVERITY) == (True, True, True)
    assert selection_agrees(0.0)[1:] == (False, False)


def test_without_selection_by_severity_nothing_differs() -> None:
    _, at_entry, stable = recruited(0.0)
    assert agrees(at_entry.mean(), 0, se_of_mean(at_entry))
    assert agrees(stable.mean(), 0, se_of_mean(stable))


# --- seasons ----------------------------------------------------------------------------------------------------------


def contacts_by_month(amplitude: float) -> Floats:
    """People contacted in each month of 2025, whose first day is study day 366, all replicates together, (12,)."""
    season = {"amplitude": amplitude, "peak_month": 1.5} if amplitude else None
    recruitment = {"sites": {"north": {"rate_per_month": 60.0}}, "season": season}
    plan = design(recruitment=recruitment, sample_size=2_000, max_enrolment_days=731, arms={"usual": usual()})
    days = make_cohort(World(plan), Draws(5, 0, 60)).persons.step_day[0]
    first = np.array([plan.day_of(np.datetime64(f"2025-{month:02d}-01").item()) for month in range(1, 13)] + [731])
    return np.histogram(days, bins=first)[0].astype(float)


def test_contacts_follow_the_calendar_month() -> None:
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    wave = 1 + 0.5 * np.cos(2 * np.pi * np.arange(12) / 12)  # the middle of January is the peak
    expected = 60 * 60.0 / MONTH_DAYS * lengths * wave
    assert agrees(contacts_by_month(0.5), expected, np.sqrt(expected))
    assert not agrees(contacts_by_month(0.3), expected, np.sqrt(expected))
    assert not agrees(contacts_by_month(0.0), expected, np.sqrt(expected))
