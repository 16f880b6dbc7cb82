"""Change one thing: all that it should not touch stays exactly as it was."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from designs import Data, busy, busy_data, coached, design, kinds, merged, score, usual
from helpers import differences, members, run
from numpy.typing import NDArray

from trialsim.block import Block, EngineName
from trialsim.design.parts import Design
from trialsim.records import table
from trialsim.world.histories import NONE

N_REPLICATES = 3
HYPOTHETICAL: Data = {"main": {"kind": "linear", "outcome": "pain", "estimand": "hypothetical"}}
"""An analysis whose truth needs potential outcomes at full dose."""
WHOLE_TRIAL = ("n_participants", "closing_day", "funnel", "person")
"""Fields of histories that are about the whole trial, or number persons within one block."""


def simulated(trial: Design, engine: EngineName, n: int = N_REPLICATES) -> Block:
    return run(trial, n=n, engine=engine)


def rows(part: Any, first: int, skip: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """Arrays of the first so many participants."""
    given = {f.name: getattr(part, f.name) for f in fields(part) if f.name not in skip}
    given |= {f"event day {k}": day for k, day in given.pop("event_day", {}).items()}
    return {name: values[..., :first, :] for name, values in given.items() if values is not None}


def treatment(block: Block, first: int | None = None) -> dict[str, NDArray[Any]]:
    """Arrivals, arms, waiting, sessions, exits of the first participants (default: all), and where they come from."""
    n = first or len(block.histories.arm)
    cohort = block.plan.cohort
    number = np.where(cohort.valid, cohort.persons.number[cohort.person], NONE)[:n]
    site = np.where(cohort.valid, np.array(block.world.sites)[cohort.site], "")[:n]
    traits = {f"covariate {k}": v[:n] for k, v in cohort.covariates.items()}
    latent = {
        "stable": np.stack(cohort.stable)[:, :n],
        "baseline": cohort.baseline[:, :n],
        "motivation": cohort.motivation[:n],
    }
    return {"number": number, "site": site, **traits, **latent, **rows(block.histories, n, skip=WHOLE_TRIAL)}


def persons(block: Block, site: str) -> dict[str, NDArray[Any]]:
    """Everybody who passes the first step at a site, by screening number."""
    people = block.plan.cohort.persons
    mine = people.site == block.world.sites.index(site)
    told = {name: getattr(people, name)[..., mine, :] for name in ("step_day", "lost_step", "lost_reason")}
    luck = {
        f"{kind} {key}": values[mine]
        for kind in ("covariate_luck", "stable_luck", "entry_luck")
        for key, values in getattr(people.traits, kind).items()
    }
    assert len(luck) >= 3
    return told | luck


def common(left: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> list[str]:
    """Differences between two sites' persons, among the screening numbers that both have."""
    n = min(len(left["lost_step"]), len(right["lost_step"]))
    assert n > 20

    def cut(people: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {key: values[..., :n, :] for key, values in people.items()}

    return differences(cut(left), cut(right))


# --- who comes ------------------------------------------------------------------------------------------------------


def test_one_more_participant_leaves_all_before_as_they_were(engine: EngineName) -> None:
    shorter = simulated(busy(analyses=HYPOTHETICAL), engine)
    longer = simulated(busy(analyses=HYPOTHETICAL, sample_size=151), engine)
    assert shorter.outcomes.full_dose is not None
    assert (longer.histories.n_participants == 151).all()
    assert differences(treatment(shorter), treatment(longer, 150)) == []
    for part in ("follow", "outcomes"):
        assert differences(rows(getattr(shorter, part), 150), rows(getattr(longer, part), 150)) == []


def test_one_more_participant_leaves_outcomes_of_every_kind_as_they_were(engine: EngineName) -> None:
    shorter, longer = (simulated(kinds(sample_size=n, max_enrolment_days=900), engine) for n in (150, 151))
    assert (longer.histories.n_participants == 151).all()
    assert differences(rows(shorter.outcomes, 150), rows(longer.outcomes, 150)) == []


def test_more_time_for_enrolment_changes_nothing_in_a_trial_that_is_full_before(engine: EngineName) -> None:
    shorter, longer = simulated(busy(), engine), simulated(busy(max_enrolment_days=900), engine)
    assert differences(shorter.histories, longer.histories) == []


def test_an_analysis_that_asks_for_more_changes_no_trial(engine: EngineName) -> None:
    plain, asked = simulated(busy(), engine), simulated(busy(analyses=HYPOTHETICAL), engine)
    assert differences(treatment(plain), treatment(asked)) == []
    assert differences(plain.follow, asked.follow) == []
    assert differences(plain.observed, asked.observed) == []
    assert differences(plain.outcomes, asked.outcomes) == ["full_dose"]


def in_order(names: list[str]) -> Design:
    """The busy trial with its sites in another order, recruiting until time runs out."""
    data = busy_data()
    sites = data["recruitment"]["sites"]
    recruitment = {**data["recruitment"], "sites": {name: sites[name] for name in names}}
    return Design.model_validate({**data, "recruitment": recruitment, "sample_size": 600, "max_enrolment_days": 160})


def test_the_order_of_sites_in_the_file_does_not_change_whom_they_find(engine: EngineName) -> None:
    one = simulated(in_order(["north", "south", "west"]), engine)
    other = simulated(in_order(["west", "north", "south"]), engine)
    for site in ("north", "south", "west"):
        assert common(persons(one, site), persons(other, site)) == []
    funnels = [
        table(block, "funnel").to_pandas().set_index(["replicate", "site", "step", "reason"]) for block in (one, other)
    ]
    assert funnels[0].sort_index().equals(funnels[1].sort_index().reindex(funnels[0].sort_index().index))
    arrivals = [np.sort(block.histories.randomized_day, axis=0) for block in (one, other)]
    assert arrivals[0].tolist() == arrivals[1].tolist()


def test_a_new_site_does_not_change_whom_the_others_find(engine: EngineName) -> None:
    before = simulated(busy(), engine)
    after = simulated(busy(recruitment={"sites": {"east": {"rate_per_month": 30.0, "opens": 60}}}), engine)
    for site in ("north", "south", "west"):
        assert common(persons(before, site), persons(after, site)) == []
    assert (after.histories.closing_day < before.histories.closing_day).any()


def test_a_new_site_changes_nothing_before_it_opens_and_nothing_at_all_if_it_opens_too_late(engine: EngineName) -> None:
    before = simulated(busy(), engine)
    for opens, n in ((120, int((before.histories.randomized_day < 120).sum(axis=0).min())), (499, 150)):
        after = simulated(busy(recruitment={"sites": {"late": {"rate_per_month": 90.0, "opens": opens}}}), engine)
        assert n > 30
        assert differences(treatment(before, n), treatment(after, n)) == []


def test_a_new_site_leaves_the_lists_of_other_strata_as_they_were(engine: EngineName) -> None:
    """Here the site is not the first factor, so that one site more changes the number of every stratum."""
    strata = {"strata": ["female", "site"]}
    late = {"sites": {"late": {"rate_per_month": 90.0, "opens": 499}}}
    before = simulated(busy(allocation=strata), engine)
    after = simulated(busy(allocation=strata, recruitment=late), engine)
    assert differences(treatment(before), treatment(after)) == []


def test_faster_recruitment_finds_the_same_people_earlier(engine: EngineName) -> None:
    data = busy_data()["recruitment"]["sites"]
    faster = {name: {"rate_per_month": 1.2 * site["rate_per_month"]} for name, site in data.items()}
    slow, fast = simulated(busy(), engine), simulated(busy(recruitment={"sites": faster}), engine)
    for site in ("north", "west"):
        before, after = persons(slow, site), persons(fast, site)
        assert set(common(before, after)) == {"step_day"}
        n = min(len(before["lost_step"]), len(after["lost_step"]))
        assert (after["step_day"][:, :n] <= before["step_day"][:, :n]).all()
    assert (fast.histories.closing_day < slow.histories.closing_day).all()


def test_a_covariate_linked_to_nothing_changes_nothing_else(engine: EngineName) -> None:
    before = simulated(busy(), engine)
    after = simulated(busy(covariates={"left_handed": {"kind": "binary", "prob": 0.1}}), engine)
    assert differences(treatment(before), treatment(after)) == ["covariate left_handed"]
    for part in ("follow", "outcomes"):
        assert differences(getattr(before, part), getattr(after, part)) == []
    assert differences(before.histories, after.histories) == []


def test_a_stricter_criterion_lets_a_part_of_the_same_people_through(engine: EngineName) -> None:
    stricter = {"eligible": {"criteria": {"other": {"excluded_prob": 0.3}}}}
    before, after = simulated(busy(), engine), simulated(busy(funnel=stricter), engine)
    for site in ("north", "west"):
        one, other = persons(before, site), persons(after, site)
        assert set(common(one, other)) <= {"lost_step", "lost_reason"}
        n = min(len(one["lost_step"]), len(other["lost_step"]))
        assert (other["lost_step"][:n] <= one["lost_step"][:n]).all()


# --- what they are given --------------------------------------------------------------------------------------------


def without_effect() -> Design:
    nothing = {"by_visit": {"m3": 0.0, "m6": 0.0, "m12": 0.0}, "sd": 0.0}
    return busy(arms={"coach": {"effects": {"pain": nothing}}})


def test_an_arm_without_effect_changes_only_its_own_outcomes(engine: EngineName) -> None:
    real, null = simulated(busy(), engine), simulated(without_effect(), engine)
    assert differences(real.histories, null.histories) == []
    before, after = real.outcomes.potential, null.outcomes.potential
    assert before[:, 1:].tolist() == after[:, 1:].tolist(), "the other arms' outcomes"
    assert before[1].tolist() == after[1].tolist(), "the other outcome"
    assert before[0, 0].mean() < after[0, 0].mean()
    others = ~members(real, "coach")
    assert (real.follow.observed_day == null.follow.observed_day)[:, others].all()


def waiting(coaches: int) -> Design:
    """Long queues of patient people whom nothing takes off the list."""
    arms = {
        "coach": coached(coaches=coaches, caseload=2, no_show_prob=0.2, max_wait_days=20_000, arm={"stop_prob": 0.1})
    }
    return design(arms={**arms, "usual": usual()}, sample_size=80)


def test_one_more_coach_changes_no_arrival_and_no_arm_and_nobody_waits_longer(engine: EngineName) -> None:
    fewer, more = simulated(waiting(2), engine), simulated(waiting(3), engine)
    for name in ("randomized_day", "arm", "asked_day", "n_sessions", "exit_day"):
        assert getattr(fewer.histories, name).tolist() == getattr(more.histories, name).tolist()
    shorter = fewer.histories.offered_day - more.histories.offered_day
    assert (shorter >= 0).all()
    assert (shorter > 0).mean() > 0.2


def test_a_larger_caseload_makes_nobody_wait_longer(engine: EngineName) -> None:
    before = simulated(waiting(1), engine)
    after = simulated(Design.model_validate(merged(waiting(1).model_dump(), arms=larger_caseload())), engine)
    assert (after.histories.offered_day <= before.histories.offered_day).all()
    assert (after.histories.offered_day < before.histories.offered_day).any()


def larger_caseload() -> Data:
    return {"coach": {"delivery": {"caseload": 3}}}


def test_withdrawal_in_one_arm_is_nobody_else_s_business(engine: EngineName) -> None:
    before, after = simulated(busy(), engine), simulated(busy(arms={"web": {"withdrawal_prob": 0.5}}), engine)
    others = ~members(before, "web")
    left, right = treatment(before), treatment(after)
    for key in set(left) - {"stable", "baseline"}:
        assert (left[key][..., others] == right[key][..., others]).all(), key
    mine = members(before, "web")
    earlier = np.where(right["exit_day"] == NONE, 10_000, right["exit_day"])[mine]
    assert (earlier <= np.where(left["exit_day"] == NONE, 10_000, left["exit_day"])[mine]).all()


# --- what is measured -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visit", ["m3", "m12"])
def test_who_answers_at_one_visit_changes_no_outcome_and_no_other_visit(engine: EngineName, visit: str) -> None:
    more = {arm: {"response_prob": {visit: 0.95}} for arm in ("coach", "web", "usual")}
    before, after = simulated(busy(), engine), simulated(busy(arms=more), engine)
    assert differences(before.histories, after.histories) == []
    assert differences(before.outcomes, after.outcomes) == []
    v = before.world.visits.index(visit)
    others = [k for k in range(3) if k != v]
    assert (before.follow.observed_day == after.follow.observed_day)[others].all()
    answered, now = before.follow.observed_day[v], after.follow.observed_day[v]
    assert (now == answered)[answered != NONE].all(), "those who answered answer on the same day"
    assert (now != NONE).sum() > 1.05 * (answered != NONE).sum()


def test_reminders_are_only_counted_and_make_nobody_answer(engine: EngineName) -> None:
    before, after = simulated(busy(), engine), simulated(busy(visits={"m6": {"reminders": [3]}}), engine)
    assert differences(before.follow, after.follow) == ["n_reminders"]


def test_one_more_outcome_leaves_the_others_as_they_were(engine: EngineName) -> None:
    sleep = score(correlation={"mood": 0.3}, course={"m3": 0.0, "m6": 0.0, "m12": 0.0})
    before, after = simulated(busy(), engine), simulated(busy(outcomes={"sleep": sleep}), engine)
    assert differences(before.histories, after.histories) == []
    assert before.outcomes.potential.tolist() == after.outcomes.potential[:2].tolist()


def test_one_more_visit_leaves_the_outcomes_of_the_others_as_they_were(engine: EngineName) -> None:
    """Also if it comes in between, unless people change by their own persistent course."""
    before = design(visits={"m3": {"day": 91}, "m12": {"day": 365}}, outcomes={"pain": score(change_sd=0.0)})
    three = {"m3": {"day": 91}, "m6": {"day": 183}, "m12": {"day": 365}}
    after = design(visits=three, outcomes={"pain": score(change_sd=0.0)})
    one, other = simulated(before, engine), simulated(after, engine)
    assert differences(one.histories, other.histories) == []
    assert one.outcomes.potential.tolist() == other.outcomes.potential[:, :, [0, 2]].tolist()
    assert one.follow.observed_day.tolist() == other.follow.observed_day[[0, 2]].tolist()


def test_another_scale_of_error_touches_nobody_s_latent_course(engine: EngineName) -> None:
    before = simulated(busy(), engine)
    after = simulated(busy(outcomes={"mood": {"error_sd": 2.0}}), engine)
    changed = differences(treatment(before), treatment(after))
    assert changed == ["baseline"]
    assert before.outcomes.potential[0].tolist() == after.outcomes.potential[0].tolist()
    assert before.outcomes.potential[1].tolist() != after.outcomes.potential[1].tolist()
