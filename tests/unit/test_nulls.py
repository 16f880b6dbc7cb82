"""Worlds in which some arms do not differ: every partition, nothing else changed, and no true difference left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import THREE_VISITS, coached, design, online, score, usual
from helpers import differences, run, same

from trialsim.analysis.plan import analyse_block
from trialsim.design.parts import Design
from trialsim.experiments.nulls import equal_within, null_designs, partitions

BELL = {1: 1, 2: 2, 3: 5, 4: 15, 5: 52}
"""Numbers of partitions of so many things."""


# --- partitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", BELL)
def test_every_partition_once(n: int) -> None:
    arms = tuple("abcde"[:n])
    found = list(partitions(arms))
    assert all(sorted(arm for part in parts for arm in part) == list(arms) for parts in found)
    as_sets = {frozenset(frozenset(part) for part in parts) for parts in found}
    assert len(found) == len(as_sets) == BELL[n]
    assert [len(parts) for parts in found] == sorted(len(parts) for parts in found)  # all equal first


@pytest.mark.parametrize(("n", "nulls"), [(1, 0), (2, 1), (3, 4), (4, 14)])
def test_partial_nulls_are_all_partitions_but_the_finest(n: int, nulls: int) -> None:
    arms = {name: usual(effects={"pain": {"by_visit": {"m3": -0.1 * k}}}) for k, name in enumerate("abcd"[:n])}
    found = list(null_designs(design(arms=arms)))
    assert len(found) == nulls
    assert all(any(len(part) > 1 for part in parts) for parts, _ in found)


# --- worlds -----------------------------------------------------------------------------------------------------------


def effective(value: float, sd: float = 0.0) -> dict[str, Any]:
    return {"pain": {"by_visit": {"m3": value, "m6": value / 2, "m12": value / 3}, "sd": sd}}


def trial(**parts: Any) -> Design:
    """Four arms, two of them coached, with answering and withdrawal of their own; coaches do not differ."""
    quarters = dict.fromkeys(THREE_VISITS, 0.75)
    arms = {
        "long": coached(sessions=8, arm={"effects": effective(-1.5, 0.5), "stop_prob": 0.05, "withdrawal_prob": 0.1}),
        "short": coached(sessions=3, arm={"effects": effective(-0.8), "start_prob": 0.8, "response_prob": quarters}),
        "web": online(arm={"effects": effective(-0.5), "start_prob": 0.6, "dose_scale": 5.0}),
        "usual": usual(withdrawal_prob=0.05),
    }
    analyses = {
        "change": {"kind": "linear", "outcome": "pain", "multiplicity": "none"},
        "response": {"kind": "modified_poisson", "outcome": "pain", "multiplicity": "none"},
    }
    return design(arms=arms, visits=THREE_VISITS, outcomes={"pain": score()}, analyses=analyses, **parts)


def test_arms_without_any_effect_keep_all_but_the_effect() -> None:
    d = trial()
    null = equal_within(d, (("long", "usual"), ("short",), ("web",)))
    changed = [name for name in d.arms if null.arms[name] != d.arms[name]]
    assert changed == ["long"]
    assert differences(vars(d.arms["long"]), vars(null.arms["long"])) == ["effects"]
    assert null.arms["long"].effects == {}
    assert [f for f in type(d).model_fields if getattr(d, f) != getattr(null, f)] == ["arms"]


def test_effective_arms_become_like_the_first_of_them() -> None:
    d = trial()
    null = equal_within(d, (("long", "short", "web"), ("usual",)))
    kept = {"label", "response_prob", "withdrawal_prob", "cost_per_participant"}
    for name in ("short", "web"):
        for field in type(d.arms[name]).model_fields:
            origin = d.arms[name] if field in kept else d.arms["long"]
            assert getattr(null.arms[name], field) == getattr(origin, field), field
    assert (null.arms["long"], null.arms["usual"]) == (d.arms["long"], d.arms["usual"])


def test_two_classes_at_once() -> None:
    null = equal_within(trial(), (("long", "short"), ("web", "usual")))
    assert null.arms["short"].effects == null.arms["long"].effects == trial().arms["long"].effects
    assert null.arms["web"].effects == null.arms["usual"].effects == {}


def test_nearly_the_same_world_without_the_effect() -> None:
    """Everybody arrives, is randomized, attends and is lost as before, and arms that were left alone have the same
    outcomes; only participants of the arm that lost its effect have others."""
    d = trial()
    before, after = run(d, n=4), run(equal_within(d, (("long", "usual"), ("short",), ("web",))), n=4)
    assert differences(before.histories, after.histories) == []
    moved = (before.outcomes.potential != after.outcomes.potential).any(axis=(0, 2, 3, 4))
    assert moved.tolist() == [True, False, False, False]
    in_long = before.histories.arm == list(d.arms).index("long")
    other = before.outcomes.realised[..., ~in_long], after.outcomes.realised[..., ~in_long]
    assert same(*other)


@pytest.mark.parametrize(
    ("parts", "equal"),
    [
        ((("long", "short", "web", "usual"),), {"long", "short", "web", "usual"}),
        ((("short", "usual"), ("long",), ("web",)), {"short", "usual"}),
        ((("long",), ("short",), ("web", "usual")), {"web", "usual"}),
    ],
)
def test_equal_arms_have_no_true_difference_and_the_others_have(
    parts: tuple[tuple[str, ...], ...], equal: set[str]
) -> None:
    estimates = analyse_block(run(equal_within(trial(), parts), n=8, seed=4))
    for place, label in enumerate(estimates.labels):
        pair = label.contrast.split(" - ")
        if len(pair) == 2 and label.measure in ("mean difference", "risk difference", "risk ratio"):
            none = 1.0 if label.measure == "risk ratio" else 0.0
            truth = estimates.truth[:, place]
            truth = truth[~np.isnan(truth)]  # a ratio where nobody responds has none
            assert len(truth) >= 4
            assert (truth == none).all() == (set(pair) <= equal), label


def test_coaches_that_differ_leave_a_difference_of_their_luck() -> None:
    """The deliberately wrong world: levels of the coaches are drawn, so a replicate's own truth is not 0."""
    d = trial()
    levels = {"pain": d.outcomes["pain"].model_copy(update={"coach_sd": 0.8})}
    null = equal_within(d.model_copy(update={"outcomes": levels}), (("long", "short", "web", "usual"),))
    estimates = analyse_block(run(null, n=8))
    place = estimates.place(analysis="change", contrast="long - usual", visit="m3", measure="mean difference")
    assert np.all(estimates.truth[:, place] != 0)


def test_tapers_contamination_and_other_treatment_are_effects_too() -> None:
    """With a taper alone an arm has an effect; where nobody has one, none of them is left."""
    other = {"prob": 0.2, "effects": {"pain": {"by_visit": {"m3": -1.0}}}}
    tapering = coached(arm={"tapers": {"opioid": {"prob": 0.5, "days": 14}}})
    trial = design(
        covariates={"user": {"kind": "binary", "prob": 0.5}},
        outcomes={"pain": score(), "opioid": {"kind": "dose", "users": "user", "median": 40.0}},
        arms={
            "taper": tapering,
            "twin": coached(arm={"contamination": {"arm": "usual", "prob": 0.1}, "tapers": tapering["tapers"]}),
            "usual": usual(co_intervention=other, contamination={"arm": "taper", "prob": 0.1}),
        },
    )
    none, twins = (equal_within(trial, parts) for parts in ((("taper", "usual"),), (("taper", "twin"),)))
    for arm in ("taper", "usual"):
        one = none.arms[arm]
        assert (one.effects, one.tapers, one.contamination, one.co_intervention) == ({}, {}, None, None)
    assert twins.arms["twin"].tapers == trial.arms["taper"].tapers
    assert twins.arms["twin"].contamination is None
    assert twins.arms["usual"] == trial.arms["usual"]
