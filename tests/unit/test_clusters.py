"""Clusters within sites: who belongs to which, when they open, and how they are randomized."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import Data, design, score, usual
from helpers import same

from trialsim.design.checks import CrossCheckError
from trialsim.world.cluster_allocation import _imbalance
from trialsim.world.clusters import Clusters, make_clusters
from trialsim.world.cohort import Cohort, make_cohort
from trialsim.world.draws import Draws
from trialsim.world.world import World

SITES: Data = {"north": {"rate_per_month": 40.0}, "south": {"rate_per_month": 10.0, "opens": 20}}


def clustered(
    *, ratio: Data | None = None, allocation: Data | None = None, funnel: Data | None = None, **keys: Any
) -> World:
    """A world with clusters; `allocation` says how they are randomized, other keywords belong to `clusters`."""
    ratio = ratio or {"a": 1, "b": 1}
    plan = design(
        recruitment={"sites": SITES},
        sample_size=150,
        funnel=funnel or {"enrolled": {}},
        outcomes={"pain": score(cluster_sd=0.5), "mood": score(cluster_sd=0.3)},
        arms={arm: usual() for arm in ratio},
        clusters={"per_site": {"north": 9, "south": 4}, **keys},
        allocation={"kind": "clusters", "ratio": ratio, **(allocation or {})},
    )
    return World(plan)


def cohort_of(world: World, *, n: int = 16, first: int = 0) -> Cohort:
    return make_cohort(world, Draws(3, first, n))


def clusters_of(world: World, *, n: int = 48) -> Clusters:
    clusters = make_clusters(world, Draws(3, 0, n))
    assert clusters is not None
    return clusters


def test_clusters_are_numbered_through_the_sites() -> None:
    world = clustered()
    assert world.cluster_names[:2] + world.cluster_names[8:10] == ["north-1", "north-2", "north-9", "south-1"]
    cohort = cohort_of(world)
    assert cohort.clusters is not None
    assert cohort.cluster is not None
    assert set(cohort.cluster[cohort.valid].tolist()) == set(range(13))
    assert (cohort.clusters.site[cohort.cluster] == cohort.site)[cohort.valid].all()
    assert World(design(recruitment={"sites": SITES}, clusters={"per_site": 2})).cluster_counts == [2, 2]


@pytest.mark.parametrize("recruitment", ["even", "random"])
def test_people_are_the_same_with_and_without_clusters(recruitment: str) -> None:
    parts: Data = {"recruitment": {"sites": SITES}, "outcomes": {"pain": score()}}
    keys: Data = {"per_site": 5, "size_cv": 0.8, "opening_days": 90, "recruitment": recruitment}
    without, with_clusters = (cohort_of(World(design(**parts, **more))) for more in ({}, {"clusters": keys}))
    assert without.cluster is without.clusters is None
    for name in ("person", "randomized_day", "baseline", "motivation"):
        assert same(getattr(without, name), getattr(with_clusters, name)), name


KEYS: list[Data] = [
    {"recruitment": "random", "size_cv": 0.9, "opening_days": 80},
    {"recruitment": "even", "size_cv": 0.9, "selection": {"a": {"prob": 0.5, "severity": 1.0}}},
    {"size_cv": 0.9, "allocation": {"method": "constrained", "balance": ["size", "site", "pain"]}},
    {"size_cv": 0.9, "allocation": {"method": "matched", "balance": ["mood"]}},
]


@pytest.mark.parametrize("keys", KEYS)
def test_a_replicate_is_the_same_alone_and_in_company(keys: Data) -> None:
    world = clustered(**keys)
    company, alone = cohort_of(world, n=40), cohort_of(world, n=1, first=21)
    assert company.clusters is not None
    assert alone.clusters is not None
    for name in ("weight", "opens", "arm"):
        assert same(getattr(company.clusters, name)[:, 21:22], getattr(alone.clusters, name)), name
    assert company.cluster is not None
    valid = alone.valid[:, 0]
    assert same(company.valid[:, 21:22], alone.valid)
    assert same(company.cluster[valid, 21:22], alone.cluster[valid])  # type: ignore[index]
    assert same(company.baseline[:, valid, 21:22], alone.baseline[:, valid])


def test_more_clusters_at_one_site_leave_the_others_alone() -> None:
    few, many = (
        clusters_of(clustered(per_site={"north": n, "south": 4}, size_cv=0.7, allocation={"method": "simple"}))
        for n in (9, 12)
    )
    for name in ("weight", "opens", "arm"):
        assert same(getattr(few, name)[9:], getattr(many, name)[12:]), name
    assert same(few.level[0][:9], many.level[0][:9])


# --- opening and sizes ------------------------------------------------------------------------------------------------


def test_clusters_open_evenly_in_random_order_and_have_nobody_before() -> None:
    cohort = cohort_of(clustered(opening_days=80), n=48)
    clusters, persons = cohort.clusters, cohort.persons
    assert clusters is not None
    assert persons.cluster is not None
    assert (np.sort(clusters.opens[:9], axis=0) == np.arange(9)[:, None] * 10).all()
    assert (np.sort(clusters.opens[9:], axis=0) == 20 + np.array([0, 26, 53, 80])[:, None]).all()
    assert len(set(clusters.opens[0].tolist())) == 9
    opens = np.take_along_axis(clusters.opens, persons.cluster.astype(np.intp), axis=0)
    assert (persons.step_day[0] >= opens).all()
    assert (persons.step_day[0] == opens).any()


def members(world: World, n: int) -> np.ndarray[Any, Any]:
    """Members of each cluster of the first site among its first n persons who pass all steps, (9, R)."""
    cohort = cohort_of(world, n=32)
    assert cohort.persons.cluster is not None
    passes = (cohort.persons.lost_step == len(world.steps)) & (cohort.persons.site == 0)[:, None]
    chosen = passes & (np.cumsum(passes, axis=0) <= n)
    return np.array([(chosen & (cohort.persons.cluster == c)).sum(axis=0) for c in range(9)])


def test_even_recruitment_keeps_to_expected_sizes_though_some_are_lost_by_chance() -> None:
    funnel = {"asked": {"prob": 0.5}, "seen": {"criteria": {"other": {"excluded_prob": 0.3}}}, "in": {"prob": 0.6}}
    for steps in (None, funnel):
        even, random = (clustered(size_cv=0.5, recruitment=r, funnel=steps) for r in ("even", "random"))
        expected = 90 * clusters_of(even, n=32).weight[:9]
        assert np.abs(members(even, 90) - expected).max() < 3
        assert np.abs(members(random, 90) - expected).max() > 5


# --- randomization ----------------------------------------------------------------------------------------------------


def arms(method: str, *, ratio: Data | None = None, n: int = 48, **keys: Any) -> np.ndarray[Any, Any]:
    clusters = clusters_of(clustered(ratio=ratio, size_cv=0.8, allocation={"method": method, **keys}), n=n)
    assert clusters.arm is not None
    return clusters.arm


def test_stratified_numbers_are_as_even_as_can_be_within_sites() -> None:
    one_to_one, two_to_one = arms("stratified"), arms("stratified", ratio={"a": 2, "b": 1})
    assert (abs((one_to_one[:9] == 0).sum(axis=0) - 4.5) == 0.5).all()
    assert ((one_to_one[9:] == 0).sum(axis=0) == 2).all()
    assert ((two_to_one[:9] == 0).sum(axis=0) == 6).all()
    assert (arms("simple")[9:] == 0).sum(axis=0).std() > 0.5


@pytest.mark.parametrize(("factor", "values"), [("size", "weight"), ("mood", "level")])
def test_matched_neighbours_have_different_arms(factor: str, values: str) -> None:
    world = clustered(size_cv=0.8, allocation={"method": "matched", "balance": [factor]})
    clusters = clusters_of(world)
    assert clusters.arm is not None
    by = clusters.weight if values == "weight" else clusters.level[1]
    for span in world.cluster_spans:
        order = by[span].argsort(axis=0)
        in_order = np.take_along_axis(clusters.arm[span], order, axis=0)
        pairs = in_order[: len(in_order) // 2 * 2].reshape(-1, 2, 48)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert 0.3 < pairs[:, 0].mean() < 0.7
    stratified = arms("stratified")[:8]
    assert not (stratified[0::2] == stratified[1::2]).any()  # neighbours by number, which says nothing about them


def test_a_further_factor_decides_among_equals() -> None:
    world = clustered(allocation={"method": "matched", "balance": ["size", "pain"]})  # all of one expected size
    clusters = clusters_of(world)
    assert clusters.arm is not None
    in_order = np.take_along_axis(clusters.arm[:9], clusters.level[0][:9].argsort(axis=0), axis=0)
    assert (in_order[0:8:2] != in_order[1:8:2]).all()


def imbalance(clusters: Clusters, values: np.ndarray[Any, Any]) -> float:
    """Mean squared difference between arms of a cluster mean, in units of the clusters' variance."""
    assert clusters.arm is not None
    means = [np.ma.masked_where(clusters.arm != arm, values).mean(axis=0) for arm in (0, 1)]
    return float(((means[0] - means[1]) ** 2 / values.var(axis=0)).mean())


def test_constrained_is_better_balanced_than_stratified_and_that_than_simple() -> None:
    factors = ["size", "site", "pain"]
    found = {}
    for method in ("simple", "stratified", "constrained"):
        more = {"balance": factors} if method == "constrained" else {}
        clusters = clusters_of(clustered(size_cv=0.8, allocation={"method": method, **more}), n=64)
        size = clusters.weight * np.array([40.0, 10.0])[clusters.site][:, None]
        by_site = np.broadcast_to((clusters.site == 0)[:, None] * 1.0, size.shape)
        found[method] = sum(imbalance(clusters, values) for values in (size, by_site, clusters.level[0]))
        if method == "constrained":
            assert clusters.arm is not None
            assert ((clusters.arm == 0).sum(axis=0) == 7).all()
    assert found["constrained"] < 0.5 * found["stratified"] < 0.5 * found["simple"]


def test_numbers_of_constrained_arms_keep_to_the_ratio() -> None:
    given = arms("constrained", ratio={"a": 3, "b": 1, "c": 1}, balance=["size"])
    assert [(given == arm).sum(axis=0).tolist()[0] for arm in range(3)] == [8, 3, 2]  # of 13: 7.8, 2.6, 2.6


def test_imbalance_by_hand() -> None:
    """Two factors, four clusters; the second is the same everywhere and says nothing."""
    factors = np.array([[1.0, 2.0, 3.0, 6.0], [5.0, 5.0, 5.0, 5.0]])
    candidates = np.array([[0, 0, 1, 1], [0, 1, 1, 0]], dtype=np.int8)
    found = _imbalance(candidates, factors) / 2**40
    np.testing.assert_allclose(found, [3.0**2 / 3.5, 1.0**2 / 3.5], rtol=1e-5)
    three = _imbalance(np.array([[0, 0, 1, 2]], dtype=np.int8), factors) / 2**40
    np.testing.assert_allclose(three, (1.5**2 + 4.5**2 + 3.0**2) / 3.5, rtol=1e-5)


def test_the_chosen_allocation_is_among_the_best() -> None:
    """With all accepted the choice is any candidate; with one in ten it is one of the best tenth of the same."""
    keys: Data = {"method": "constrained", "balance": ["size", "pain"], "candidates": 50}
    any_of, best = (clusters_of(clustered(size_cv=0.8, allocation=keys | {"accepted_share": s})) for s in (1, 0.1))
    assert imbalance(best, best.level[0]) < 0.3 * imbalance(any_of, any_of.level[0])


# --- selection by arm -------------------------------------------------------------------------------------------------


def test_nobody_is_selected_by_arm_unless_the_design_says_so() -> None:
    plain, none, half = (
        clustered(**keys)
        for keys in ({}, {"selection": {"a": {}}}, {"selection": {"a": {"prob": 0.5}, "b": {"prob": 0.0}}})
    )
    assert (plain.n_lead, none.n_lead) == (1, 0)  # the last step looks at persons now
    assert plain.reasons == [[]]
    assert none.reasons == [["selected by arm"]]
    assert (cohort_of(none).persons.lost_step == 1).all()
    cohort = cohort_of(half)
    assert cohort.clusters is not None
    assert cohort.clusters.arm is not None
    assert cohort.persons.cluster is not None
    recruited = cohort.persons.lost_step == 1
    arm = np.take_along_axis(cohort.clusters.arm, cohort.persons.cluster.astype(np.intp), axis=0)
    assert not recruited[arm == 1].any()
    assert 0.4 < recruited[arm == 0].mean() < 0.6
    assert (cohort.persons.lost_reason[~recruited] == 0).all()


def test_who_is_selected_depends_on_luck_of_its_own() -> None:
    """Selection with chance 1 leaves everybody as they are where all steps look at persons anyway."""
    funnel: Data = {"seen": {"criteria": {"mild": {"measure": "pain", "at_least": 5.0}}}, "in": {"prob": 0.7}}
    one, other = (cohort_of(clustered(funnel=funnel, **keys)) for keys in ({}, {"selection": {"a": {}}}))
    assert same(one.person, other.person)
    assert same(one.persons.lost_reason, other.persons.lost_reason)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        (
            {"recruitment": {"sites": SITES, "season": {"amplitude": 1.5}}},
            "recruitment.season.amplitude: an amplitude above 1 would make rates negative",
        ),
        (
            {
                "outcomes": {"pain": score(sd=0.0)},
                "clusters": {"per_site": 2, "selection": {"coach": {"severity": 1.0}}},
                "allocation": {"kind": "clusters", "ratio": {"coach": 1, "usual": 1}},
            },
            "clusters.selection: severity is counted in SDs of 'pain', whose sd and entry_sd are 0",
        ),
    ],
)
def test_refusals(parts: Data, rule: str) -> None:
    with pytest.raises((CrossCheckError, ValueError), match=rule):
        design(**parts)
