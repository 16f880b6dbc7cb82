"""Whole trials that randomize clusters: both engines alike, tables and measures against recounts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from designs import Data, coached, design, score, usual
from helpers import agrees, engine_differences, run, se_of_mean

from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.experiments.measures import measure
from trialsim.records import table

ARMS: Data = {"coach": coached(coaches=3, arm={"stop_prob": 0.3}), "usual": usual()}
SELECTION: Data = {"coach": {"prob": 0.8, "severity": 0.5}, "usual": {"prob": 0.6}}
TRIALS: dict[str, tuple[Data, Data]] = {
    "simple": ({"method": "simple"}, {"size_cv": 0.8}),
    "stratified": ({"method": "stratified"}, {"recruitment": "even", "opening_days": 60}),
    "matched": ({"method": "matched", "balance": ["size"]}, {"size_cv": 0.8}),
    "constrained": ({"method": "constrained", "balance": ["size", "site", "pain"]}, {"selection": SELECTION}),
}


def trial(allocation: Data, clusters: Data, **parts: Any) -> Design:
    funnel = {"asked": {"prob": 0.5}, "eligible": {"criteria": {"mild": {"measure": "pain", "at_least": 4.0}}}}
    keys: Data = {
        "recruitment": {
            "sites": {s: {"rate_per_month": 60.0} for s in ("north", "south")},
            "season": {"amplitude": 0.4},
        },
        "funnel": {**funnel, "in": {"prob": 0.8, "delay": {"days": 0, "mean_extra": 5.0}}},
        "sample_size": 90,
        "outcomes": {"pain": score(cluster_sd=1.0)},
        "arms": ARMS,
        "clusters": {"per_site": {"north": 5, "south": 7}, **clusters},
        "allocation": {"kind": "clusters", "ratio": {"coach": 1, "usual": 1}, **allocation},
    }
    return design(**{**keys, **parts})


@pytest.mark.parametrize("name", TRIALS)
def test_both_engines_agree(name: str) -> None:
    plan = trial(*TRIALS[name])
    vector, process = (run(plan, n=4, first=13, engine=engine) for engine in ("vector", "process"))
    assert vector.histories.n_participants.min() > 50
    assert engine_differences(vector, process) == []
    for name_of_table in ("funnel", "participants", "clusters"):
        assert table(vector, name_of_table).equals(table(process, name_of_table))


def test_a_person_has_the_arm_of_the_cluster() -> None:
    block = run(trial(*TRIALS["constrained"]), n=8)
    cohort = block.plan.cohort
    assert cohort.clusters is not None
    assert cohort.clusters.arm is not None
    assert cohort.cluster is not None
    given = np.take_along_axis(cohort.clusters.arm, cohort.cluster, axis=0)
    assert (given == block.histories.arm)[cohort.valid].all()


def test_people_who_are_selected_by_arm_are_counted_in_the_funnel() -> None:
    found = measure(run(trial(*TRIALS["constrained"]), n=8))
    step = {key.split("/")[-1]: values for key, values in found.items() if key.startswith("funnel/in/")}
    lost = found["funnel/in/lost/selected by arm"]
    assert set(step) == {"passed", "in process", "not passed", "selected by arm"}
    assert 0.15 < (lost / (lost + step["passed"])).mean() < 0.45
    assert (step["passed"] == found["randomized/all"]).all()


# --- measures ---------------------------------------------------------------------------------------------------------


@cache
def block_of() -> Block:
    return run(trial(*TRIALS["matched"]), n=5)


def recounted(frame: pd.DataFrame, value: str, by: list[str]) -> float:
    """Intracluster correlation by analysis of variance, clusters compared within `by`, from one replicate's rows."""
    frame = frame.assign(cluster=frame["cluster"].astype(str))
    cluster = frame.groupby("cluster")[value]
    n, mean = cluster.transform("size"), cluster.transform("mean")
    everybody = frame.assign(all="all").groupby([*by, "all"], observed=True)[value]
    n_clusters, n_arms, total = frame["cluster"].nunique(), everybody.ngroups, len(frame)
    between = ((mean - everybody.transform("mean")) ** 2).sum() / (n_clusters - n_arms)
    within = ((frame[value] - mean) ** 2).sum() / (total - n_clusters - value.startswith("adjusted"))
    n0 = (total - (n / everybody.transform("size")).sum()) / (n_clusters - n_arms)
    return float((between - within) / (between + (n0 - 1) * within))


def test_measures_of_clusters_against_a_recount_from_the_tables() -> None:
    block = block_of()
    found = measure(block)
    tables = {name: table(block, name).to_pandas() for name in ("participants", "clusters", "observations")}
    answers = tables["observations"].merge(tables["participants"].drop(columns="arm"), on=["replicate", "participant"])
    for replicate in range(5):
        people, clusters, seen = (
            t[t["replicate"] == replicate] for t in (tables["participants"], tables["clusters"], answers)
        )
        seen = seen[seen["value"].notna()]
        sizes = clusters["n_participants"][clusters["n_participants"] > 0]
        y, x = (seen[c] - seen.groupby("arm", observed=True)[c].transform("mean") for c in ("value", "baseline_pain"))
        seen = seen.assign(adjusted=y - x * (x * y).sum() / (x * x).sum())
        of_visit = seen["cluster"].value_counts()[lambda n: n > 0]
        expected = {
            "clusters/all": 12,
            "clusters/coach": (clusters["arm"] == "coach").sum(),
            "clusters/empty": 12 - len(sizes),
            "clusters/size_mean": sizes.mean(),
            "clusters/size_cv": sizes.std() / sizes.mean(),
            "clusters/pain/baseline_icc": recounted(people, "baseline_pain", []),
            "clusters/pain/m3/size_mean": of_visit.mean(),
            "clusters/pain/m3/size_cv": of_visit.std() / of_visit.mean(),
            "clusters/pain/m3/icc": recounted(seen, "value", ["arm"]),
            "clusters/pain/m3/adjusted_icc": recounted(seen, "adjusted", ["arm"]),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][replicate], value, rtol=1e-9, err_msg=name)


def test_measures_are_the_same_alone_and_in_company() -> None:
    company, alone = measure(block_of()), measure(run(trial(*TRIALS["matched"]), n=1, first=3))
    for name, values in alone.items():
        np.testing.assert_array_equal(company[name][3:4], values, err_msg=name)


def test_trials_without_clusters_have_no_measures_of_them() -> None:
    assert not any(name.startswith("clusters/") for name in measure(run(design(), n=2)))


# --- the bias that recruitment by arm makes ---------------------------------------------------------------------------


@cache
def naive_contrasts(severity: float) -> np.ndarray[Any, Any]:
    """Difference between arms of the mean value at the visit, by replicate; no arm does anything, nearly all answer."""
    arms = {name: usual(response_prob={"m3": 0.95}) for name in ("coach", "usual")}
    selection = {"coach": {"prob": 0.5, "severity": severity}}
    plan = trial({"method": "stratified"}, {"per_site": 10, "selection": selection}, arms=arms, funnel={"in": {}})
    frame = table(run(plan, n=64), "observations").to_pandas()
    by_arm = frame.groupby(["replicate", "arm"], observed=True)["value"].mean().unstack()
    return np.asarray(by_arm["coach"] - by_arm["usual"])


def test_an_unadjusted_contrast_is_biased_by_selection_though_clusters_were_randomized() -> None:
    none, some = naive_contrasts(0.0), naive_contrasts(0.8)
    assert agrees(none.mean(), 0.0, se_of_mean(none))
    assert not agrees(some.mean(), 0.0, se_of_mean(some))
    assert some.mean() > 0.3
