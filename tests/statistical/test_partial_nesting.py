"""Power and level of trials that treat one arm in groups, simulated from the design on, against the closed form.

100 people in groups of 10 against 100 on their own: Moerbeek and Wong (2008), doi:10.1002/sim.3115, with Satterthwaite
degrees of freedom. Everybody starts and attends, everybody answers, nothing is bounded or rounded.
"""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
from designs import WIDE, Data, design, modules, usual
from helpers import Array, agrees, same, se_of_share

from trialsim.block import EngineName
from trialsim.design.parts import Design
from trialsim.experiments.closed_forms_cluster import partially_nested_power
from trialsim.experiments.runner import Experiment, run

ALL = 0.999999
"""Share answering; 1 is not allowed."""
REPLICATES = 2_000
N_GROUPS, SIZE, N_CONTROL = 10, 10, 100
VAR_GROUP, VAR_PERSON = 0.1, 0.9
EFFECT = -0.5


def trial(effect: float, var_group: float) -> Design:
    """One-to-one allocation of 200 people; those of the one arm meet in full groups of ten before the visit."""
    effects = {"pain": {"by_visit": {"m12": effect}}}
    delivery = {
        "kind": "group", "modules": modules(2), "size": SIZE, "start_after_days": None, "facilitators": 40,
    }  # fmt: skip
    shared: Data = {"dose": "assigned", "response_prob": {"m12": ALL}}
    analysis = {
        "kind": "mixed", "outcome": "pain", "endpoint": "value", "cluster": "group", "multiplicity": "none",
    }  # fmt: skip
    return design(
        sample_size=N_GROUPS * SIZE + N_CONTROL,
        recruitment={"sites": {"north": {"rate_per_month": 900.0}}},
        outcomes={"pain": {**WIDE, "sd": sqrt(VAR_PERSON), "group_sd": sqrt(var_group)}},
        visits={"m12": {"day": 365}},
        arms={"group": {"delivery": delivery, "effects": effects, **shared}, "usual": usual(**shared)},
        allocation={"kind": "blocks", "ratio": {"group": 1, "usual": 1}, "block_sizes": [2]},
        analyses={
            "nested": {**analysis, "nested_arms": ["group"], "heteroscedastic": True},
            "sandwich": {**analysis, "kind": "cluster_robust"},
            "ignored": {"kind": "t_test", "outcome": "pain", "endpoint": "value", "multiplicity": "none"},
        },
    )


@cache
def simulated(
    effect: float = EFFECT, var_group: float = VAR_GROUP, n: int = REPLICATES, engine: EngineName = "vector"
) -> Experiment:
    return run(trial(effect, var_group), replicates=n, engine=engine)


def column(experiment: Experiment, analysis: str, what: str) -> Array:
    found = experiment.estimates
    assert found is not None
    place = found.place(analysis=analysis, contrast="group - usual", visit="m12", measure="mean difference")
    assert place is not None
    assert found.converged[:, place].mean() > 0.99
    return np.asarray(getattr(found, what)[:, place])


def power(experiment: Experiment, analysis: str) -> float:
    return float((column(experiment, analysis, "p_value") < 0.05).mean())


def expected_power() -> float:
    """With the degrees of freedom of the two arms' variances together."""
    treated, control = (SIZE * VAR_GROUP + VAR_PERSON) / (N_GROUPS * SIZE), VAR_PERSON / N_CONTROL
    df = (treated + control) ** 2 / (treated**2 / (N_GROUPS - 1) + control**2 / (N_CONTROL - 1))
    return partially_nested_power(
        EFFECT, N_GROUPS, SIZE, N_CONTROL, var_clusters=VAR_GROUP, var_treated=VAR_PERSON, var_control=VAR_PERSON, df=df
    )  # fmt: skip


def test_groups_are_full() -> None:
    measures = simulated().measures
    assert (measures["groups/group/n_groups"] == N_GROUPS).all()
    assert (measures["groups/group/mean_size"] == SIZE).all()


def test_partially_nested_power() -> None:
    expected, error = expected_power(), se_of_share(expected_power(), REPLICATES)
    assert 0.7 < expected < 0.95
    assert agrees(power(simulated(), "nested"), expected, error)
    assert agrees(power(simulated(), "sandwich"), expected, error)
    assert not agrees(power(simulated(var_group=0.2), "nested"), expected, error)


def test_the_level_is_kept_unless_groups_are_ignored() -> None:
    null, error = simulated(effect=0.0), se_of_share(0.05, REPLICATES)
    assert agrees(power(null, "sandwich"), 0.05, error)
    assert agrees(power(null, "nested"), 0.05, error)
    assert not agrees(power(null, "ignored"), 0.05, error)


def test_the_process_engine_finds_the_same() -> None:
    vector, process = (simulated(n=3, engine=engine) for engine in ("vector", "process"))
    for analysis in ("nested", "sandwich"):
        assert same(column(vector, analysis, "p_value"), column(process, analysis, "p_value"))
