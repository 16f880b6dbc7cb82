"""Designs full of ties and corners: both engines must give the same trial, event by event.

One builder of awkward designs is used twice: with a random chooser, which gives the most different designs, and with
Hypothesis as the chooser, which is slower to wander but shrinks what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, TypeVar

import numpy as np
import pytest
from designs import OPIOIDS, Data, every_kind, modules, plain_data
from helpers import differences, engine_differences, portrait, run
from hypothesis import event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.records import table
from trialsim.world.histories import NONE, Status
from trialsim.world.periods import period_of

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]
"""Chooses one of a sequence, each with equal chance; the simplest comes first."""


def delay(choose: Choose) -> Data:
    return {"days": choose([0, 0, 1, 7]), "mean_extra": choose([0.0, 0.0, 2.0, 10.0])}


def visits(choose: Choose) -> Data:
    """One to three visits whose windows may touch and may be one day wide; reminders like their edges."""
    schedule: Data = {}
    free_from = 1
    for v in range(choose([1, 2, 3])):
        opens, closes = choose([0, -1, -7]), choose([0, 1, 7, 30])
        day = free_from - opens + choose([0, 6, 13, 40])
        edges = [opens, 0, closes, *range(opens, closes + 1)]
        reminders = sorted({choose(edges) for _ in range(choose([0, 1, 2, 3]))})
        schedule[f"v{v}"] = {"day": day, "opens": opens, "closes": closes, "reminders": reminders}
        free_from = day + closes + 1
    return schedule


def site(choose: Choose) -> Data:
    return {
        "rate_per_month": choose([200.0, 90.0, 200.0, 30.0, 200.0, 3.0, 0.0]),
        "opens": choose([0, 0, 0, 0, 10, 10, 10, 5_000]),
        "ramp_months": choose([0.0, 0.0, 1.5]),
        "pool": choose([None, None, None, 60, 5, 1]),
    }


def recruitment(choose: Choose) -> Data:
    names = ["north", "south", "west"][: choose([1, 2, 3])]
    pauses = [{"starts": 5, "ends": 20}, {"starts": 0, "ends": 1, "sites": ["north"]}]
    changes = [{"starts": 40, "factor": 0.0, "sites": ["north"]}, {"starts": 30, "factor": 3.0}]
    return {
        "sites": {name: site(choose) for name in names},
        "pauses": pauses[: choose([0, 1, 2])],
        "rate_changes": changes[: choose([0, 1, 2])],
        "site_cv": choose([0.0, 0.0, 1.0]),
        "month_cv": choose([0.0, 0.0, 0.5]),
        "season": choose([None, None, {"amplitude": 1.0, "peak_month": 3.2}]),
    }


CRITERIA: list[Data] = [
    {},
    {"chance": {"excluded_prob": 0.4}},
    {"pain": {"measure": "pain", "error_sd": 1.0, "at_least": 5.0}, "chance": {"excluded_prob": 0.1}},
    {"pain": {"measure": "pain", "at_least": 4.0, "at_most": 7.0}},
]
HOPELESS: Data = {"everybody": {"excluded_prob": 1.0}}


def funnel(choose: Choose) -> Data:
    """One to three steps; sometimes nobody is looked at, sometimes nobody is eligible or willing."""
    steps: Data = {}
    looks = choose([False, True])
    for index in range(choose([1, 2, 3])):
        prob = choose([1.0, 0.5, 0.8] * 7 + [0.0])
        losses = choose([{}, {"moved": 1.0, "ill": 3.0}]) if prob < 1 else {}
        criteria = choose([*CRITERIA * 5, HOPELESS]) if looks else {}
        steps[f"step {index}"] = {"prob": prob, "losses": losses, "criteria": criteria, "delay": delay(choose)}
    return steps


def coaches(choose: Choose) -> int | list[Data]:
    if choose([True, False]):
        return int(choose([1, 2, 3]))
    staff = []
    for _ in range(choose([1, 2, 3])):
        joins, stays = choose([0, 0, 7, 40]), choose([None, None, 1, 14, 60])
        leaves = None if stays is None else joins + stays
        staff.append({"joins": joins, "leaves": leaves, "caseload": choose([None, 1, 2, 300])})
    return staff


def one_to_one(choose: Choose) -> Data:
    return {
        "kind": "individual",
        "modules": modules(choose([1, 2, 3, 4])),
        "coaches": coaches(choose),
        "caseload": choose([1, 2, 3]),
        "sessions_per_week": choose([20, 1, 2, 500]),
        "interval_days": choose([7, 1, 3, 14]),
        "referral_days": choose([0, 0, 2]),
        "lead_days": choose([0, 0, 5]),
        "no_show_prob": choose([0.0, 0.3, 0.8]),
        "max_reschedules": choose([0, 1, 2, 3]),
        "max_wait_days": choose([365, 0, 1, 7, 30]),
        "cover_prob": choose([0.0, 0.0, 0.4]),
    }


def in_groups(choose: Choose) -> Data:
    size, n = choose([3, 1, 2, 8]), choose([4, 1, 2, 10])
    parts = {"talk": {}, "exercise": {"sessions": [1], "attend_prob": 0.5}, "sleep": {"attend_prob": 0.0, "weight": 2}}
    return {
        "kind": "group",
        "modules": modules(n),
        "size": size,
        "min_size": min(size, choose([1, 2, 3])),
        "start_after_days": choose([28, 0, 7, None]),
        "intake_days": choose([None, None, 1, 7, 30]),
        "facilitators": choose([4, 2, 20]),
        "facilitators_per_group": choose([1, 2]),
        "rooms": choose([None, 1, 2]),
        "staffing": choose(["fixed", "rotating"]),
        "days_per_week": choose([1, 2, 5, 7]),
        "weeks_apart": choose([1, 2]),
        "referral_days": choose([0, 0, 2]),
        "lead_days": choose([0, 0, 5]),
        "miss_prob": choose([0.0, 0.3, 0.8]),
        "max_wait_days": choose([365, 0, 1, 7, 30]),
        "components": dict(list(parts.items())[: choose([0, 1, 3])]),
        "by_site": choose([False, False, True]),
    }


def web(choose: Choose) -> Data:
    return {
        "kind": "self_paced",
        "modules": modules(choose([1, 2, 3, 4])),
        "first": delay(choose),
        "pace": delay(choose),
        "access_days": choose([365, 1, 7, 30]),
        "call_after_days": choose([7, 1, 3]),
        "max_calls": choose([0, 1, 3]),
        "call_success_prob": choose([0.0, 1.0, 0.4]),
        "reachable_prob": choose([1.0, 1.0, 0.5, 0.0]),
    }


def arm(choose: Choose, visit_names: list[str], *, opioids: bool) -> Data:
    makers = {"individual": one_to_one, "self_paced": web, "group": in_groups}
    kind = choose(["none", "individual", "self_paced", "individual", "self_paced", "group", "group"])
    told: Data = {
        "response_prob": {name: choose([0.5, 0.02, 0.98]) for name in visit_names},
        "withdrawal_prob": choose([0.0, 0.0, 0.3, 0.95]),
    }
    if choose([False, True]):
        told["effects"] = {"pain": {"by_visit": dict.fromkeys(visit_names, -2.0), "sd": choose([0.0, 1.0])}}
    if kind == "none":
        return told | {"delivery": {"kind": "none"}}
    if opioids:
        told["tapers"] = {"opioids": {"prob": choose([0.5, 1.0, 0.0]), "days": choose([0, 7, 90])}}
    return told | {
        "delivery": makers[kind](choose),
        "start_prob": choose([1.0, 0.5, 0.9, 1.0, 0.0]),
        "stop_prob": choose([0.0, 0.3, 0.9, 1.0]),
        "dose": choose(["saturating", "assigned"]),
    }


def allocation(choose: Choose, arm_names: list[str]) -> Data:
    """Every kind; strata by site, a covariate and a baseline value."""
    kind = choose(["simple", "blocks", "blocks", "minimization", "biased_coin", "urn", "cohorts", "clusters"])
    told: Data = {"kind": kind, "ratio": {name: choose([1, 1, 2, 3]) for name in arm_names}}
    if kind == "simple":
        return told
    if kind == "cohorts":
        tendencies = [
            {},
            {"covariates": {"female": 99.0}},
            {"baseline": {"pain": -0.4, "mood": 0.2}, "motivation": 0.5},
        ]
        return told | {"tendency": choose(tendencies)}
    if kind == "clusters":
        method = choose(["stratified", "simple", "matched", "constrained"])
        factors = choose([["size"], ["pain", "size"]]) + (["site"] if method == "constrained" else [])
        return told | {"method": method, "balance": factors if method in ("matched", "constrained") else []}
    strata = ["site", "female", {"outcome": "pain", "at_least": 6.0}]
    told["strata"] = strata[choose([2, 0, 1] if kind == "minimization" else [3, 0, 1, 2]) :]
    total = sum(told["ratio"].values())
    more: dict[str, Data] = {
        "blocks": {"block_sizes": [choose([total, 2 * total, 3 * total]) for _ in range(choose([1, 2, 3]))]},
        "minimization": {
            "best_prob": choose([0.8, 1.0, 0.1]),
            "imbalance": choose(["range", "variance"]),
            "weights": choose([[], [3, 1, 2][: len(told["strata"])]]),
        },
        "biased_coin": {"coin_prob": choose([0.667, 0.99])},
        "urn": {"balls": choose([1, 5]), "added": choose([1, 20])},
    }
    return told | more[kind]


def clusters(choose: Choose, plan: Data) -> Data | None:
    """Clusters where they are randomized, and sometimes where they are not."""
    if plan["kind"] != "clusters" and choose([True, True, False]):
        return None
    told: Data = {
        "per_site": choose([1, 2, 3, 20]),
        "size_cv": choose([0.0, 0.5, 3.0]),
        "recruitment": choose(["random", "even"]),
        "opening_days": choose([0, 0, 30, 20_000]),
    }
    if plan["kind"] == "clusters" and choose([True, False]):
        told["selection"] = {choose(list(plan["ratio"])): {"prob": choose([0.6, 0.1, 0.0]), "severity": choose([0, 2])}}
    return told


def changes(choose: Choose, plan: Data, schedule: Data) -> list[Data]:
    """None, one or two changes of the protocol; reminders like the edges of their window, as in `visits`."""
    told: list[Data] = []
    for day in [[], [], [15], [0, 40]][choose([0, 1, 2, 3])]:
        change: Data = {"starts": day, "answering": choose([0.0, 1.0, -2.0])}
        if plan["kind"] in ("simple", "blocks") and choose([True, False]):
            change["ratio"] = {name: choose([1, 2]) for name in plan["ratio"]}
            total = sum(change["ratio"].values())
            change["block_sizes"] = [total, 2 * total] if plan["kind"] == "blocks" else []
        for name, visit in schedule.items():
            if choose([True, False]):
                edges = [visit["opens"], 0, visit["closes"]]
                change.setdefault("reminders", {})[name] = sorted({choose(edges) for _ in range(choose([0, 1, 2]))})
        told.append(change)
    return told


def awkward(choose: Choose) -> Design:
    """A small trial with awkward corners."""
    schedule = visits(choose)
    names = [f"arm{a}" for a in range(choose([2, 2, 2, 1, 3, 4, 10]))]
    plan = allocation(choose, names)
    within_sites = clusters(choose, plan)
    cluster_sd = 1.0 if within_sites else 0.0
    outcomes: Data = {
        "pain": {
            "items": 3,
            "mean": 5.5,
            "cluster_sd": cluster_sd,
            "cluster_change_sd": cluster_sd / 2,
            "sd": 2.0,
            "entry_sd": choose([0.0, 1.0]),
            "coach_sd": choose([0.0, 0.5]),
        },
        "mood": {"items": 1, "mean": 5.0, "sd": 2.0, "error_sd": 1.0, "correlation": {"pain": 0.5}},
    }
    if choose([False, True]):
        more = every_kind(*schedule)
        outcomes |= {name: more[name] for name in more if name != "pain"}
    return Design.model_validate(
        plain_data(
            sample_size=choose([12, 25, 40, 12, 25, 40, 2, 1]),
            max_enrolment_days=choose([200] * 6 + [60] * 4 + [2, 1]),
            recruitment=recruitment(choose),
            funnel=funnel(choose),
            covariates=OPIOIDS
            | {"female": {"kind": "binary", "prob": 0.6}, "age": {"kind": "normal", "mean": 50.0, "sd": 9.0}},
            visits=schedule,
            outcomes=outcomes,
            arms={name: arm(choose, list(schedule), opioids="opioids" in outcomes) for name in names},
            allocation=plan,
            clusters=within_sites,
            changes=changes(choose, plan, schedule),
            adherence={
                "motivation_on_start": choose([0.0, 0.6]),
                "motivation_on_stop": choose([0.0, 0.6]),
                "wait_effect": choose([0.0, 0.3, 5.0]),
                "covariates": choose([{}, {"female": 0.5}]),
            },
            observation={
                "frailty": choose([0.0, 0.9]),
                "attendance": choose([0.0, 1.5]),
                "current_value": choose([{}, {"mood": -0.3}]),
                "answer_days": delay(choose),
                "death_prob": choose([0.0, 0.0, 0.4]),
            },
        )
    )


@st.composite
def awkward_designs(draw: Any) -> Design:
    """The same with Hypothesis as the chooser."""
    return awkward(lambda options: draw(st.sampled_from(options)))


@pytest.mark.parametrize("chapter", range(8))
def test_both_engines_give_the_same_trial_on_random_awkward_designs(chapter: int) -> None:
    for page in range(20):
        chooser = Random(1_000 * chapter + page)
        design = awkward(chooser.choice)
        assert_engines_meet(design, seed=page, first=chooser.choice([0, 15]))


@pytest.mark.parametrize("chapter", range(4))
def test_a_replicate_of_a_random_awkward_design_does_not_depend_on_its_company(chapter: int) -> None:
    for page in range(15):
        design = awkward(Random(1_000 * chapter + 500 + page).choice)
        company = run(design, seed=page, n=16)
        for k in (0, 9):
            alone = run(design, seed=page, first=k, n=1)
            assert differences(portrait(alone), portrait(company, k)) == [], design.model_dump_json(
                exclude_defaults=True
            )


@settings(max_examples=50)
@given(design=awkward_designs(), seed=st.integers(0, 2**32 - 1))
def test_both_engines_give_the_same_trial_on_designs_made_by_hypothesis(design: Design, seed: int) -> None:
    note_corners(assert_engines_meet(design, seed=seed, first=0))


def test_the_random_designs_visit_the_corners_they_are_meant_for() -> None:
    seen: set[str] = set()
    for chapter in range(8):
        for page in range(0, 20, 2):
            block = run(awkward(Random(1_000 * chapter + page).choice), seed=page, n=2)
            seen.update(corners(block))
    ways = {f"treatment ended: {status.name}" for status in Status}
    assert seen >= ways | {
        "nobody randomized",
        "full sample",
        "enrolment ran out of time",
        "waited for a coach",
        "called",
        "waited for a group",
        "a second group",
        "groups of a second site",
        "randomized in two ratios",
        "reminders changed on the way",
    }
    kinds = {"simple", "blocks", "minimization", "biased_coin", "urn", "cohorts", "clusters"}
    assert seen >= {f"allocation: {kind}" for kind in kinds}


def assert_engines_meet(design: Design, *, seed: int, first: int) -> Block:
    """Histories, outcomes, follow-up and event lists are exactly equal; the funnel balances; doses are as attended."""
    vector, process = (run(design, seed=seed, first=first, n=2, engine=name) for name in ("vector", "process"))
    assert engine_differences(vector, process) == [], design.model_dump_json(exclude_defaults=True)
    assert_funnel_balances(vector)
    assert_doses_are_of_the_sessions_attended(vector)
    return vector


def assert_doses_are_of_the_sessions_attended(block: Block) -> None:
    """Under the arm given, sessions by a visit are worked out twice: for potential outcomes, and by the engine."""
    attended, due = block.histories.attended_day[None], block.follow.due_day[:, None]
    by_visit = ((attended != NONE) & (attended <= due)).sum(axis=1)
    valid = block.plan.cohort.valid
    assert (by_visit == block.outcomes.realised_sessions)[:, valid].all()


def assert_funnel_balances(block: Block) -> None:
    """At each site, those who passed a step are those who pass, are lost at, or have not reached the next one."""
    rows = table(block, "funnel").to_pandas()
    assert (rows["n"] >= 0).all()
    for _, entries in rows.groupby(["replicate", "site"], observed=True):
        per_step = entries.groupby("step", sort=False, observed=True)["n"].sum()
        passed = entries[entries["reason"] == "passed"].set_index("step")["n"]
        assert all(per_step[after] == passed[before] for before, after in pairwise(per_step.index))


def corners(block: Block) -> set[str]:
    """Which awkward things happened."""
    h, n = block.histories, block.histories.n_participants
    happened = {
        "nobody randomized": not h.n_participants.any(),
        "full sample": bool((h.n_participants == len(h.arm)).any()),
        "enrolment ran out of time": bool((h.n_participants < len(h.arm)).any()),
        "waited for a coach": bool(((h.offered_day > h.asked_day) & (h.group == NONE)).any()),
        "called": bool((h.call_day >= 0).any()),
        "waited for a group": bool(((h.offered_day > h.asked_day) & (h.group != NONE)).any()),
        "a second group": bool((h.group > 0).any()),
        "groups of a second site": _has_groups_of_a_second_site(block),
        "randomized in two ratios": any(np.ptp(_periods(block)[h.arm[:, c] >= 0, c]) for c in range(2) if n[c]),
        "reminders changed on the way": _has_changed_reminders(block),
        f"allocation: {block.world.design.allocation.kind}": True,
    }
    ended = {f"treatment ended: {Status(code).name}" for code in h.status[h.arm >= 0]}
    return ended | {name for name, flag in happened.items() if flag}


def _periods(block: Block) -> NDArray[np.int16]:
    """Number of the ratio in which each participant was randomized, (N, R)."""
    return period_of(block.world.periods, block.histories.randomized_day)


def _has_groups_of_a_second_site(block: Block) -> bool:
    h, deliveries = block.histories, [arm.delivery for arm in block.world.design.arms.values()]
    own_lists = [a for a, delivery in enumerate(deliveries) if getattr(delivery, "by_site", False)]
    return bool((np.isin(h.arm, own_lists) & (h.site > 0) & (h.group > 0)).any())


def _has_changed_reminders(block: Block) -> bool:
    """Whether some windows opened before and some after a visit's reminders changed."""
    visits = zip(block.world.design.visits.values(), block.world.reminders, block.follow.due_day, strict=True)
    opened = [(due[due != NONE] + visit.opens, told[1:]) for visit, told, due in visits]
    return any(0 < (days >= later.starts).mean() < 1 for days, told in opened for later in told if len(days))


def note_corners(block: Block) -> None:
    """For `pytest --hypothesis-show-statistics`."""
    for name in sorted(corners(block)):
        event(name)
