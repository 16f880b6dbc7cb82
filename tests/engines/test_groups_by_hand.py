"""Delivery groups worked out by hand: everyone asks on schedule, and a group takes as long as it takes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from designs import coached, design, grouped, usual
from helpers import run

from trialsim.block import Block, EngineName
from trialsim.design.delivery import Group
from trialsim.design.parts import Design
from trialsim.engines.vector_groups import Rules, make_up
from trialsim.experiments.measures import measure
from trialsim.records import table
from trialsim.world.formulas import LONG
from trialsim.world.groups import would_join
from trialsim.world.held import what_is_held
from trialsim.world.histories import NONE, Histories, Kind, Status

AT_ONCE = 30_000.0
"""People per month: the first comes on the opening day for certain, for all practical purposes."""

NO = NONE


def on_schedule(days: list[int], delivery: dict[str, Any], *, sessions: int = 3, **parts: Any) -> Design:
    """One person a site, on its opening day; one arm; three weekly sessions: a team is busy for 15 days."""
    plan = {"size": 3, "facilitators": 5, "referral_days": 0, "lead_days": 0, **delivery}
    return design(
        sample_size=len(days),
        recruitment={
            "sites": {f"site{k}": {"rate_per_month": AT_ONCE, "opens": day, "pool": 1} for k, day in enumerate(days)}
        },
        arms={"group": grouped(sessions=sessions, **plan, arm=parts.pop("arm", {}))},
        **parts,
    )


def alone(trial: Design, engine: EngineName) -> Histories:
    return run(trial, n=1, engine=engine).histories


@pytest.mark.parametrize(
    ("days", "delivery", "made_up", "teams"),
    [
        # As soon as three wait; the second group needs a second team, the first being busy until day 16.
        ([0, 1, 2, 10, 11, 12], {}, [2, 2, 2, 12, 12, 12], [0, 0, 0, 1, 1, 1]),
        ([0, 1, 2, 17, 17, 17], {}, [2, 2, 2, 17, 17, 17], [0] * 6),
        ([0, 1, 2, 16, 16, 16], {}, [2, 2, 2, 16, 16, 16], [0, 0, 0, 1, 1, 1]),
        # Or when the first has waited five days; also at the end, when nobody else is expected.
        ([0, 1, 20, 21], {"start_after_days": 5}, [5, 5, 25, 25], [0, 0, 0, 0]),
        ([0, 0, 3], {"start_after_days": 0}, [0, 0, 3], [0, 0, 1]),
        # But not with fewer than two, unless nobody else is expected.
        ([0, 9, 30], {"start_after_days": 5, "min_size": 2}, [9, 9, 35], [0, 0, 0]),
        ([0, 30], {"start_after_days": 5, "min_size": 3}, [30, 30], [0, 0]),
        # Full groups only: the third waits in vain.
        ([0, 5, 9], {"start_after_days": None, "size": 2}, [5, 5, NO], [0, 0, NO]),
        # Places: one team, or as many as facilitators or rooms allow; the days before the first session count.
        ([0] * 7, {"facilitators": 1}, [0, 0, 0, 15, 15, 15, 30], [0] * 7),
        ([0] * 6, {"facilitators": 5, "facilitators_per_group": 2, "size": 2}, [0] * 4 + [15] * 2, [0, 0, 1, 1, 0, 0]),
        ([0] * 6, {"rooms": 1}, [0, 0, 0, 15, 15, 15], [0] * 6),
        ([0] * 6, {"rooms": 1, "lead_days": 4}, [0, 0, 0, 19, 19, 19], [0] * 6),
        ([0] * 6, {"rooms": 1, "weeks_apart": 2}, [0, 0, 0, 29, 29, 29], [0] * 6),
        ([0] * 6, {"rooms": 1, "days_per_week": 3}, [0, 0, 0, 3, 3, 3], [0] * 6),
        # The line is longer than a group: who has waited longest goes first, and many groups may begin on one day.
        ([0, 1, 2, 3, 4, 5], {"rooms": 1, "size": 2}, [1, 1, 16, 16, 31, 31], [0] * 6),
        # Weekly intakes begin with whoever waits, several groups if need be.
        ([1, 2, 3, 4, 8], {"intake_days": 7}, [7, 7, 7, 7, 14], [0, 0, 0, 1, 2]),
        ([1, 2, 3, 4, 8], {"intake_days": 7, "min_size": 2}, [7, 7, 7, 14, 14], [0, 0, 0, 1, 1]),
        ([0, 7, 8], {"intake_days": 7}, [0, 7, 14], [0, 1, 2]),
        ([1] * 7, {"intake_days": 7, "rooms": 1}, [7, 7, 7, 28, 28, 28, 49], [0] * 7),
        # Asking nine days after randomization.
        ([0, 1, 2], {"referral_days": 9}, [11, 11, 11], [0, 0, 0]),
    ],
)
def test_groups_are_those_of_the_calculation_by_hand(
    engine: EngineName, days: list[int], delivery: dict[str, Any], made_up: list[int], teams: list[int]
) -> None:
    h = alone(on_schedule(days, delivery), engine)
    assert h.offered_day[:, 0].tolist() == made_up
    assert h.coach[:, 0].tolist() == teams
    order = {day_and_team: g for g, day_and_team in enumerate(sorted({*zip(made_up, teams, strict=True)} - {(NO, NO)}))}
    assert h.group[:, 0].tolist() == [order.get(pair, NO) for pair in zip(made_up, teams, strict=True)]


def by_site(**delivery: Any) -> Design:
    """Two sites on whose opening days, 0 and 1, three people come to each, two to a group; one team each."""
    plan: dict[str, Any] = {
        "size": 2,
        "facilitators": 1,
        "referral_days": 0,
        "lead_days": 0,
        "by_site": True,
        **delivery,
    }
    site = {"rate_per_month": AT_ONCE, "pool": 3}
    return design(
        sample_size=6,
        recruitment={"sites": {"north": {**site, "opens": 0}, "south": {**site, "opens": 1}}},
        arms={"group": grouped(sessions=3, **plan)},
    )


@pytest.mark.parametrize(
    ("delivery", "made_up", "teams", "groups"),
    [
        # The third of each site waits until the team of the site is free, 15 days after the first group was made up.
        ({"start_after_days": 5}, [0, 0, 15, 1, 1, 16], [0, 0, 0, 1, 1, 1], [0, 0, 2, 1, 1, 3]),
        # With one list and two teams, the third of the north and the first of the south begin together.
        ({"by_site": False, "facilitators": 2}, [0, 0, 1, 1, 15, 15], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 2, 2]),
        # On one day, the first site's groups have the first numbers; two teams a site.
        ({"intake_days": 7, "facilitators": 2}, [0, 0, 0, 7, 7, 7], [0, 0, 1, 2, 2, 3], [0, 0, 1, 2, 2, 3]),
        ({"intake_days": 7, "lead_days": 1, "rooms": 1}, [0, 0, 21, 7, 7, 28], [0, 0, 0, 1, 1, 1], [0, 0, 2, 1, 1, 3]),
        # Everybody asks nine days later, so at the intake of day 14.
        (
            {"intake_days": 7, "referral_days": 9, "size": 3, "facilitators": 5, "rooms": 2},
            [14] * 6, [0] * 3 + [2] * 3, [0] * 3 + [1] * 3,
        ),
        # Two are needed, but from day 0 on (of the south: 1) nobody else is expected at the site.
        ({"start_after_days": 20, "min_size": 2}, [0, 0, 20, 1, 1, 21], [0, 0, 0, 1, 1, 1], [0, 0, 2, 1, 1, 3]),
    ],
)  # fmt: skip
def test_sites_have_lists_and_teams_of_their_own(
    engine: EngineName, delivery: dict[str, Any], made_up: list[int], teams: list[int], groups: list[int]
) -> None:
    h = alone(by_site(**delivery), engine)
    assert h.site[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert h.offered_day[:, 0].tolist() == made_up
    assert h.coach[:, 0].tolist() == teams
    assert h.group[:, 0].tolist() == groups


def test_whoever_gives_up_leaves_the_line_on_the_day_after_the_longest_wait(engine: EngineName) -> None:
    """The longest wait is ten days: a third on day 10 makes a group with the first, one on day 11 does not."""
    full = {"start_after_days": None, "max_wait_days": 10}
    assert alone(on_schedule([0, 5, 10], full), engine).offered_day[:, 0].tolist() == [10, 10, 10]
    h = alone(on_schedule([0, 5, 11, 12], full), engine)
    assert h.offered_day[:, 0].tolist() == [NO, 12, 12, 12]
    assert h.status[:, 0].tolist() == [Status.STOPPED_WAITING, *[Status.COMPLETED] * 3]
    assert h.ended_day[:, 0].tolist() == [11, 26, 26, 26]


def test_the_second_in_line_becomes_the_first_when_the_first_gives_up(engine: EngineName) -> None:
    """A group of two begins when its first has waited 8 days, but nobody waits longer than 8 themselves."""
    rules = {"start_after_days": 8, "min_size": 2, "max_wait_days": 8}
    h = alone(on_schedule([0, 9, 10, 40, 41], rules), engine)
    assert h.offered_day[:, 0].tolist() == [NO, 17, 17, 48, 48]


@pytest.mark.parametrize(
    ("delivery", "sessions", "days"),
    [
        ({"lead_days": 4}, 3, [4, 11, 18]),
        ({"weeks_apart": 2}, 3, [0, 14, 28]),
        ({"days_per_week": 5}, 11, [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 14]),
        ({"days_per_week": 2, "weeks_apart": 4}, 4, [0, 1, 28, 29]),
    ],
)
def test_sessions_are_on_the_days_of_the_calculation_by_hand(
    engine: EngineName, delivery: dict[str, Any], sessions: int, days: list[int]
) -> None:
    h = alone(on_schedule([5, 5, 5], delivery, sessions=sessions), engine)
    assert h.attended_day[:, :, 0].T.tolist() == [[5 + day for day in days]] * 3
    assert (h.released_day == 5 + days[-1]).all()


# --- what holds in every trial ----------------------------------------------------------------------------------------

LIVELY_GROUP: dict[str, Any] = {
    "sessions": 6, "size": 5, "min_size": 2, "miss_prob": 0.25, "staffing": "rotating", "facilitators": 3,
    "session_minutes": 30.0,
    "arm": {"stop_prob": 0.15, "start_prob": 0.9, "withdrawal_prob": 0.3, "cost_per_start": 7.0},
}  # fmt: skip
LIVELY: dict[str, Any] = {
    "arms": {"group": grouped(**LIVELY_GROUP), "usual": usual()},
    "sample_size": 120,
    "costs": {"coach_hour": 10.0},
    "visits": {"v": {"day": 120}},
}


@pytest.fixture(scope="module")
def lively(engine: EngineName) -> Block:
    return run(design(**LIVELY), n=16, engine=engine)


def test_a_session_is_attended_or_missed_until_one_stops_leaves_or_is_done(lively: Block) -> None:
    h = lively.histories
    scheduled, attended = h.scheduled_day, h.attended_day
    assert np.array_equal((attended != NONE).sum(axis=0), h.n_sessions)
    assert (attended[attended != NONE] == scheduled[attended != NONE]).all()
    n_due = (scheduled != NONE).sum(axis=0)
    assert (n_due[h.status == Status.COMPLETED] == 6).all()
    stopped = h.status == Status.DISCONTINUED
    assert (n_due[stopped] >= 1).all()
    assert (n_due[stopped] < 6).all()
    assert (scheduled.max(axis=0)[stopped] == h.ended_day[stopped]).all()
    left = (h.status == Status.LEFT_STUDY) & (h.group != NONE)
    assert (scheduled.max(axis=0)[left] < h.exit_day[left]).all()
    assert left.any()
    missed = (scheduled != NONE) & (attended == NONE)
    share, n = missed.sum() / n_due.sum(), n_due.sum()
    assert abs(share - 0.25) <= 4.5 * np.sqrt(0.25 * 0.75 / n)
    assert abs(share - 0.30) > 4.5 * np.sqrt(0.30 * 0.70 / n)


def test_a_team_leads_one_group_at_a_time(lively: Block) -> None:
    h = lively.histories
    for column in range(16):
        made = {(int(g), int(d), int(t)) for g, d, t in zip(h.group[:, column], h.offered_day[:, column], h.coach[:, column], strict=True) if g != NONE}  # fmt: skip
        assert sorted(g for g, *_ in made) == list(range(len(made)))
        assert [d for _, d, _ in sorted(made)] == sorted(d for _, d, _ in made)
        for team in range(3):
            starts = sorted(day for _, day, t in made if t == team)
            assert all(b - a >= 7 + 35 + 1 for a, b in pairwise(starts))


def test_members_of_a_group_are_told_so_once(lively: Block) -> None:
    events = lively.events(3)
    formed = events[events[:, 1] == Kind.GROUP_FORMED]
    h = lively.histories
    who = np.flatnonzero(h.group[:, 3] != NONE)
    assert sorted(formed[:, 4].tolist()) == who.tolist()
    assert all(h.group[i, 3] == g and h.offered_day[i, 3] == day for day, _, _, _, i, _, g in formed)
    assert not (events[:, 1] == Kind.COACH_ASSIGNED).any()


def test_measures_and_costs_are_a_recount(lively: Block) -> None:
    h, found = lively.histories, measure(lively)
    for column in range(16):
        groups = [np.flatnonzero(h.group[:, column] == g) for g in range(h.group[:, column].max() + 1)]
        sizes = [len(g) for g in groups]
        told = {
            name: found[f"groups/group/{name}"][column] for name in ("n_groups", "mean_size", "smallest", "largest")
        }
        assert told == {"n_groups": len(sizes), "mean_size": pytest.approx(np.mean(sizes)), "smallest": min(sizes), "largest": max(sizes)}  # fmt: skip
        n_held = sum((h.scheduled_day[:, members, column] != NONE).any(axis=1).sum() for members in groups)
        assert found["groups/group/hours"][column] == n_held * 0.5
        assert found["cost/coaches"][column] == pytest.approx(n_held * 0.5 * 10.0)
        assert found["cost/starts"][column] == 7.0 * (h.n_sessions[:, column] > 0).sum()


# --- those who were not there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delivery",
    [
        {"start_after_days": None},
        {"start_after_days": 10, "min_size": 3},
        {"start_after_days": 0, "min_size": 2, "max_wait_days": 3},
        {"rooms": 1, "max_wait_days": 60},
        {"rooms": 1, "intake_days": 7, "min_size": 2},
        {"intake_days": 28, "size": 2},
        {"size": 1},
        {"by_site": True, "start_after_days": 20},
        {"by_site": True, "size": 3, "rooms": 1, "max_wait_days": 60},
    ],
    ids=str,
)
def test_others_have_the_place_that_they_would_have_had_in_line(delivery: dict[str, Any]) -> None:
    """Whoever is put in line and taken off again: groups are made up anew for each, with nobody else changed."""
    arms = {
        "group": grouped(**{"size": 4, "facilitators": 2, **delivery}, arm={"withdrawal_prob": 0.2}),
        "usual": usual(),
    }
    sites = {name: {"rate_per_month": 20.0} for name in ("north", "south")}
    block = run(design(arms=arms, recruitment={"sites": sites}), n=8)
    h, stated = block.histories, block.world.design.arms["group"].delivery
    assert isinstance(stated, Group)
    asks = block.plan.cohort.randomized_day + np.int32(stated.referral_days)
    offer, team, group = would_join(0, stated, h, asks)
    lists = h.site if stated.by_site else 0 * h.site
    waits = []
    for column in range(8):
        line = h.asked_day[:, column] != NONE
        served = h.offered_day[:, column] != NONE
        deadline = np.where(line & ~served, h.ended_day[:, column] - 1, LONG)
        exits = np.where(h.exit_day[:, column] == NONE, LONG, h.exit_day[:, column])
        told = np.where(h.arm[:, column] == 0, np.minimum(asks[:, column], exits), 0)
        of_list = [told[lists[:, column] == own].max() for own in range(int(lists.max()) + 1)]
        all_asked = np.maximum(h.closing_day[column], [of_list])
        for i in np.flatnonzero(h.arm[:, column] == 1):
            who = np.flatnonzero(line | (np.arange(len(line)) == i))
            ask = asks[who, column]
            day, _, number = make_up(Rules.of(stated), lists[who, column], ask, deadline[who], all_asked)
            at = who.tolist().index(i)
            assert offer[i, column] == day[at]
            # Among several lists numbers go by day, so that an earlier group may change them.
            assert day[at] == LONG or stated.by_site or group[i, column] == number[at]
            assert team[i, column] // stated.at_once == lists[i, column]
            waits.append(day[at] - asks[i, column])
    assert len(waits) > 200
    assert "size" in delivery or max(waits) > 2


@pytest.fixture(scope="module")
def at_sites(engine: EngineName) -> Block:
    arms = {"group": grouped(**LIVELY_GROUP, by_site=True), "usual": usual()}
    sites = {name: {"rate_per_month": 20.0} for name in ("north", "south", "west")}
    return run(design(**{**LIVELY, "arms": arms, "recruitment": {"sites": sites}}), n=16, engine=engine)


def test_teams_rotate_within_their_site(at_sites: Block) -> None:
    h, held = at_sites.histories, what_is_held(at_sites.plan, at_sites.histories, 0)
    levels = np.random.default_rng(1).normal(size=(9, 16))
    level = held.staff_level(levels)
    assert level is not None
    told = table(at_sites, "sessions").to_pandas()
    told = told[told["attended_day"].notna()]
    for i, column in zip(*np.nonzero(h.n_sessions > 0), strict=True):
        sessions = np.flatnonzero(h.attended_day[:, i, column] != NONE)
        leaders = 3 * h.site[i, column] + (h.coach[i, column] - 3 * h.site[i, column] + sessions) % 3
        assert level[i, column] == pytest.approx(levels[leaders, column].mean(), abs=1e-12)
        if column < 2:
            mine = told[(told["replicate"] == column) & (told["participant"] == i)]
            assert mine["coach"].tolist() == leaders.tolist()


def test_teams_of_all_sites_are_counted(at_sites: Block) -> None:
    assert len(at_sites.world.design.coaches("group")) == 9
    held = table(at_sites, "resources", columns=[0]).to_pandas().dropna(subset="in_use")
    assert held["coach"].nunique() == 9
    assert held["in_use"].max() <= 5
    assert held.groupby("coach")["in_use"].max().gt(0).sum() > 3


def test_what_is_held_under_the_arm_given_is_what_happened(lively: Block) -> None:
    h, held = lively.histories, what_is_held(lively.plan, lively.histories, 0)
    mine = h.arm == 0
    assert held.group is not None
    assert held.coach is not None
    assert held.first_day is not None
    assert np.array_equal(held.group[mine], h.group[mine])
    assert np.array_equal(held.coach[mine], h.coach[mine])
    assert np.array_equal(held.in_the_end[mine], h.n_sessions[mine])
    days = np.where(h.attended_day == NONE, 2_000_000, h.attended_day).min(axis=0)
    some = mine & (h.n_sessions > 0)
    assert np.array_equal(held.first_day[some], (days - h.randomized_day)[some])
    assert (held.first_day[mine & (h.n_sessions == 0)] > 100_000).all()


def test_teams_that_rotate_add_the_mean_of_their_levels(lively: Block) -> None:
    h, held = lively.histories, what_is_held(lively.plan, lively.histories, 0)
    levels = np.random.default_rng(1).normal(size=(3, 16))
    level = held.staff_level(levels)
    assert level is not None
    for i, column in zip(*np.nonzero(h.group != NONE), strict=True):
        sessions = np.flatnonzero(h.attended_day[:, i, column] != NONE)
        leaders = (h.coach[i, column] + sessions) % 3
        expected = levels[leaders, column].mean() if len(sessions) else 0.0
        assert level[i, column] == pytest.approx(expected, abs=1e-12)


def test_the_share_of_the_dose_is_the_weighted_mean_over_components() -> None:
    parts = {"talk": {"attend_prob": 0.6}, "walk": {"sessions": [2, 3], "weight": 3.0}, "tea": {"weight": 0.0}}
    arm = {"stop_prob": 0.2, "dose": "components"}
    group = grouped(sessions=4, miss_prob=0.3, components=parts, arm=arm)
    block = run(design(arms={"group": group, "usual": usual()}, visits={"v1": {"day": 45}, "v2": {"day": 120}}), n=16)
    h, share = block.histories, what_is_held(block.plan, block.histories, 0).component_share
    course = block.plan.courses[0]
    assert share is not None
    assert course is not None
    mine = h.arm == 0
    for v, due in enumerate(block.follow.due_day):
        held = (h.attended_day != NONE) & (h.attended_day <= due)
        talks = course.components["talk"].attended(held.sum(axis=0, dtype=np.int8))
        expected = (1.0 * talks / 4 + 3.0 * held[1:3].sum(axis=0) / 2) / 4
        assert np.allclose(share[v][mine], expected[mine], atol=1e-12)
    assert len(np.unique(share[0][mine])) > 5
    assert (share[1] > share[0]).any()


def test_sessions_are_held_by_whoever_covers() -> None:
    coach = {"kind": "individual", "modules": ["a", "b", "c", "d"], "coaches": 3, "cover_prob": 0.4}
    block = run(design(arms={"coach": {"delivery": coach, "stop_prob": 0.2}, "usual": usual()}), n=4)
    h, course, levels = block.histories, block.plan.courses[0], np.random.default_rng(2).normal(size=(3, 4))
    level = what_is_held(block.plan, h, 0).staff_level(levels)
    assert course is not None
    assert course.led_by is not None
    assert level is not None
    rows = table(block, "sessions").to_pandas().set_index(["replicate", "participant", "session"])["coach"]
    for i, column in zip(*np.nonzero(h.coach != NONE), strict=True):
        sessions = np.flatnonzero(h.attended_day[:, i, column] != NONE)
        leaders = (h.coach[i, column] + course.led_by[sessions, i, column]) % 3
        assert rows.loc[(column, i)].reindex(sessions).tolist() == leaders.tolist()
        expected = levels[leaders, column].mean() if len(sessions) else 0.0
        assert level[i, column] == pytest.approx(expected, abs=1e-12)
    assert (rows.groupby(level=[0, 1]).nunique() > 1).any()


# --- tables and measures ----------------------------------------------------------------------------------------------


def test_the_first_session_is_the_first_attended(lively: Block) -> None:
    people, sessions = (table(lively, name).to_pandas() for name in ("participants", "sessions"))
    held = sessions.dropna(subset="attended_day").groupby(["replicate", "participant"])
    told = people.set_index(["replicate", "participant"])["first_session_day"].dropna()
    assert told.to_dict() == held["attended_day"].min().to_dict()
    assert (held["session"].min() > 0).any()  # who missed the group's first


def test_teams_are_not_counted_among_coaches() -> None:
    """More teams lead groups than there are coaches; loads are of the coaches alone, and nothing is out of place."""
    groups = grouped(size=2, facilitators=20, start_after_days=0)
    block = run(design(arms={"coach": coached(), "group": groups}), n=4)
    found, h = measure(block), block.histories
    assert h.coach.max() > 3
    for column in range(4):
        loads = np.bincount(h.coach[(h.arm == 0)[:, column] & (h.coach[:, column] != NONE), column], minlength=2)
        assert found["coaches/coach/smallest_load"][column] == loads.min()
        assert found["coaches/coach/largest_load"][column] == loads.max()
    measure(run(design(arms={"usual": usual(), "group": groups}), n=4))
