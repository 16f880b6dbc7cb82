"""What every trial must do, whichever engine runs it: capacity, order, spacing, exits, windows, blocks, the funnel."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from designs import busy, coached, design, online, usual
from helpers import members, places_in_use, run
from numpy.typing import NDArray

from trialsim.block import Block, EngineName
from trialsim.records import table
from trialsim.world.histories import EVENT_COLUMNS, NONE, Kind, Missing, Status

N_REPLICATES = 3
DAY, KIND, PARTICIPANT, DETAIL = (EVENT_COLUMNS.index(name) for name in ("day", "kind", "participant", "detail"))
COACH, WEB, USUAL = 0, 1, 2  # codes of busy's arms


@cache
def simulated(engine: EngineName) -> Block:
    return run(busy(), n=N_REPLICATES, engine=engine)


@pytest.fixture(scope="module")
def trial(engine: EngineName) -> Block:
    """Three replicates of the busy design."""
    return simulated(engine)


def events_of(block: Block, kind: Kind, column: int) -> NDArray[np.int32]:
    rows = block.events(column)
    return rows[rows[:, KIND] == kind]


def each_replicate(block: Block) -> range:
    return range(block.n_replicates)


# --- enrolment ------------------------------------------------------------------------------------------------------


def test_enrolment_stops_exactly_at_the_sample_size(trial: Block) -> None:
    h = trial.histories
    assert h.n_participants.tolist() == [150] * N_REPLICATES
    assert h.closing_day.tolist() == h.randomized_day[-1].tolist()


def test_enrolment_stops_after_its_last_day_however_few_have_come(engine: EngineName) -> None:
    block = run(design(max_enrolment_days=40, sample_size=100), n=8, engine=engine)
    h = block.histories
    assert h.closing_day.tolist() == [39] * 8
    assert ((h.n_participants > 10) & (h.n_participants < 100)).all()
    assert h.randomized_day.max() <= 39
    assert ((h.randomized_day == NONE) == (np.arange(100)[:, None] >= h.n_participants)).all()


def test_nothing_happens_in_the_funnel_after_enrolment_has_closed(trial: Block) -> None:
    for column in each_replicate(trial):
        rows = trial.events(column)
        recruiting = np.isin(rows[:, KIND], [Kind.PASSED, Kind.LOST, Kind.RANDOMIZED])
        assert rows[recruiting, DAY].max() == trial.histories.closing_day[column]


def test_participants_are_numbered_in_order_of_randomization(trial: Block) -> None:
    assert (np.diff(trial.histories.randomized_day, axis=0) >= 0).all()


def contacts(block: Block, site: str, column: int) -> NDArray[np.int32]:
    """Days on which a site contacts people who pass the first step."""
    persons = block.plan.cohort.persons
    days = persons.step_day[0][persons.site == block.world.sites.index(site), column]
    return days[days <= block.world.last_day]


def test_nobody_is_contacted_before_a_site_opens_or_in_a_pause(trial: Block) -> None:
    for column in each_replicate(trial):
        assert contacts(trial, "south", column).min() >= 40
        for site in ("north", "south", "west"):
            days = contacts(trial, site, column)
            assert not ((days >= 50) & (days < 64)).any()
        west, north = contacts(trial, "west", column), contacts(trial, "north", column)
        assert not ((west >= 80) & (west < 120)).any()
        assert ((north >= 80) & (north < 120)).any(), "the second pause is the west's alone"


def test_the_calendar_of_a_site_is_kept_to_the_day(engine: EngineName) -> None:
    """Thousands of contacts a day: opens on day 3, pauses from day 5 until day 8, closes for good on day 11."""
    recruitment = {
        "sites": {"north": {"rate_per_month": 30_000.0, "opens": 3}},
        "pauses": [{"starts": 5, "ends": 8}],
        "rate_changes": [{"starts": 11, "factor": 0.0}],
    }
    funnel = {"seen": {"criteria": {"other": {"excluded_prob": 0.99}}}}
    block = run(design(recruitment=recruitment, funnel=funnel, max_enrolment_days=20), n=1, engine=engine)
    days = np.unique(block.events(0)[:, DAY][np.isin(block.events(0)[:, KIND], [Kind.LOST, Kind.RANDOMIZED])])
    assert [day for day in range(20) if day in days] == [3, 4, 8, 9, 10]


def test_a_site_s_pool_is_never_exceeded_and_is_used_up_if_there_is_time(engine: EngineName) -> None:
    sites = {"small": {"rate_per_month": 60.0, "pool": 25}, "large": {"rate_per_month": 60.0, "pool": 10_000}}
    funnel = {"reached": {"prob": 0.5}, "seen": {"criteria": {"no": {"excluded_prob": 0.3}}}}
    block = run(
        design(recruitment={"sites": sites}, funnel=funnel, sample_size=400, max_enrolment_days=300), engine=engine
    )
    rows = table(block, "funnel").to_pandas()
    contacted = rows[rows["step"] == "contacted"].pivot(index="replicate", columns="site", values="n")
    assert (contacted["small"] == 25).all()
    assert contacted["large"].between(400, 800).all()


def test_the_funnel_balances_at_every_step_of_every_site(trial: Block) -> None:
    rows = table(trial, "funnel").to_pandas()
    assert (rows["n"] >= 0).all()
    assert len(rows.groupby(["replicate", "site"], observed=True)) == 3 * N_REPLICATES
    for _, entries in rows.groupby(["replicate", "site"], observed=True):
        n_in = entries.groupby("step", sort=False, observed=True)["n"].sum()
        passed = entries[entries["reason"] == "passed"].set_index("step")["n"]
        assert list(n_in.index) == ["contacted", "reached", "eligible", "consented"]
        assert [n_in[after] - passed[before] for before, after in pairwise(n_in.index)] == [0, 0, 0]


def test_the_funnel_ends_with_the_participants_and_counts_whom_the_log_names(trial: Block) -> None:
    rows = table(trial, "funnel").to_pandas()
    for column in each_replicate(trial):
        mine = rows[rows["replicate"] == column].groupby(["step", "reason"], observed=True)["n"].sum()
        assert mine["consented", "passed"] == trial.histories.n_participants[column]
        lost = np.bincount(events_of(trial, Kind.LOST, column)[:, DETAIL], minlength=3_000)
        counted = [mine["eligible", r] for r in ("too little pain", "other")]
        counted += [mine["consented", r] for r in ("declined", "too busy")]
        assert counted == lost[[1_000, 1_001, 2_000, 2_001]].tolist()


def test_days_of_a_participant_come_in_order(trial: Block) -> None:
    rows = table(trial, "participants").to_pandas()
    order = ["consent_day", "randomized_day", "asked_day", "offered_day", "first_session_day"]
    for before, after in pairwise(order):
        both = rows.dropna(subset=["asked_day", "offered_day", after])
        assert len(both) > 50
        assert (both[before] <= both[after]).all()
    asked = rows.dropna(subset=["asked_day"])
    assert (asked["asked_day"] == asked["randomized_day"] + 2).all()


# --- allocation -----------------------------------------------------------------------------------------------------


def test_within_a_stratum_arms_never_stray_further_than_one_block_allows(trial: Block) -> None:
    """b p (1 - p) is the largest distance from the ratio inside one block of b with share p."""
    shares = np.array([0.5, 0.25, 0.25])
    n_strata = 0
    for column in each_replicate(trial):
        stratum = trial.plan.cohort.stratum[:, column]
        for code in np.unique(stratum):
            given = np.eye(3)[trial.histories.arm[stratum == code, column]].cumsum(axis=0)
            expected = np.arange(1, len(given) + 1)[:, None] * shares
            assert (np.abs(given - expected) <= 8 * shares * (1 - shares)).all()
            n_strata += 1
    assert n_strata > 20


def test_every_complete_block_is_in_ratio(engine: EngineName) -> None:
    allocation = {"kind": "blocks", "ratio": {"a": 2, "b": 1}, "block_sizes": [6], "strata": ["female"]}
    people = {"female": {"kind": "binary", "prob": 0.4}}
    block = run(
        design(arms={"a": usual(), "b": usual()}, covariates=people, allocation=allocation, sample_size=90),
        n=4,
        engine=engine,
    )
    for column in range(4):
        for code in (0, 1):
            arms = block.histories.arm[block.plan.cohort.stratum[:, column] == code, column]
            full = arms[: len(arms) // 6 * 6].reshape(-1, 6)
            assert len(full) > 3
            assert (full.sum(axis=1) == 2).all()
            assert len({tuple(row) for row in full}) > 1, "the order within blocks varies"


# --- coaches --------------------------------------------------------------------------------------------------------


def test_no_coach_ever_has_more_participants_than_places(trial: Block) -> None:
    """Places: caseload 3; caseload 4; two sessions a week, which is fewer than the caseload."""
    most = np.zeros(3, dtype=int)
    for column in each_replicate(trial):
        for day in range(trial.histories.released_day[:, column].max() + 1):
            most = np.maximum(most, places_in_use(trial, column, COACH, day))
    assert most.tolist() == [3, 4, 2], "every coach is full on some day, and never more than full"


def test_nobody_waits_while_a_coach_has_a_free_place(trial: Block) -> None:
    places = np.array([3, 4, 2])
    busy_days = 0
    for column in each_replicate(trial):
        h = trial.histories
        asked, left = h.asked_day[:, column], np.where(h.offered_day >= 0, h.offered_day, h.ended_day)[:, column]
        on_list = asked != NONE
        for day in range(asked.max() + 60):
            if (on_list & (asked <= day) & (left > day)).any():
                here = [True, day >= 60, day < 200]
                assert (places_in_use(trial, column, COACH, day) >= places)[here].all()
                busy_days += 1
    assert busy_days > 100


def test_first_come_first_served(trial: Block) -> None:
    """Whoever asked earlier has been offered a coach, or has left the list, when a later one is offered one."""
    n_passed_over = 0
    for column in each_replicate(trial):
        h = trial.histories
        line = np.flatnonzero(h.asked_day[:, column] != NONE)
        offered, ended = h.offered_day[line, column], h.ended_day[line, column]
        for place, day in enumerate(offered):
            if day == NONE:
                continue
            earlier, gone = offered[:place], ended[:place]
            assert np.where(earlier != NONE, earlier <= day, gone <= day).all()
            n_passed_over += int((earlier == NONE).sum())
    assert n_passed_over > 0, "some leave the list before their turn"


def test_coaches_take_nobody_before_they_join_or_after_they_leave_but_finish_what_they_began(trial: Block) -> None:
    h = trial.histories
    assert h.offered_day[h.coach == 1].min() >= 60
    last_coach = h.coach == 2
    assert h.offered_day[last_coach].max() < 200
    assert h.attended_day[:, last_coach].max() >= 200


def test_a_new_participant_goes_to_the_coach_with_most_free_places(engine: EngineName) -> None:
    staff = [{"caseload": 2}, {"caseload": 4}, {"caseload": 3}]
    sites = {"fast": {"rate_per_month": 3000.0}}
    arms = {"coach": coached(coaches=staff)}
    block = run(design(arms=arms, sample_size=9, recruitment={"sites": sites}), n=5, engine=engine)
    assert (block.histories.released_day.min(axis=0) > block.histories.offered_day.max(axis=0)).all()
    assert block.histories.coach.T.tolist() == [[1, 1, 2, 0, 1, 2, 0, 1, 2]] * 5


def test_nobody_waits_longer_than_the_longest_wait(trial: Block) -> None:
    h = trial.histories
    offered, quit_ = h.offered_day != NONE, h.status == Status.STOPPED_WAITING
    assert (h.offered_day - h.asked_day)[offered].max() <= 60
    assert (h.ended_day - h.asked_day)[quit_].max() <= 61
    assert quit_.sum() > 10


def test_the_table_of_resources_counts_places_and_people_waiting(trial: Block) -> None:
    rows = table(trial, "resources").to_pandas()
    h = trial.histories
    for (replicate, day), entries in rows.groupby(["replicate", "day"]):
        in_use = entries[entries["coach"].notna()].sort_values("coach")["in_use"]
        assert in_use.tolist() == places_in_use(trial, replicate, COACH, day).tolist()
        asked, left = h.asked_day[:, replicate], np.where(h.offered_day >= 0, h.offered_day, h.ended_day)[:, replicate]
        waiting = ((asked != NONE) & (asked <= day) & (left > day)).sum()
        assert entries[entries["coach"].isna()]["waiting"].tolist() == [waiting]


# --- sessions -------------------------------------------------------------------------------------------------------


def test_appointments_are_one_interval_apart_and_missed_ones_move_by_one(trial: Block) -> None:
    h = trial.histories
    scheduled, attended = (days[:, members(trial, "coach")] for days in (h.scheduled_day, h.attended_day))
    offered = h.offered_day[members(trial, "coach")]
    first = scheduled[0] != NONE
    assert (scheduled[0] == offered + 5)[first].all()
    for k in range(7):
        goes_on = scheduled[k + 1] != NONE
        assert (scheduled[k + 1] == attended[k] + 7)[goes_on].all()
    held = attended != NONE
    moved = (attended - scheduled)[held]
    assert set(moved.tolist()) == {0, 7, 14}


def test_sessions_take_place_between_offer_and_release_of_the_coach(trial: Block) -> None:
    h = trial.histories
    for attended in h.attended_day:
        held = (attended != NONE) & members(trial, "coach")
        assert (attended > h.offered_day)[held].all()
        assert (attended <= h.released_day)[held].all()
    served = h.offered_day != NONE
    assert ((h.released_day != NONE) == served).all()
    assert (h.released_day == h.ended_day)[served].all()


def test_sessions_are_attended_in_order_and_without_gaps(trial: Block) -> None:
    attended = trial.histories.attended_day
    held = attended != NONE
    assert (held[:-1] >= held[1:]).all(), "nobody skips a session"
    assert (attended[1:] >= attended[:-1])[held[1:]].all()
    assert (held.sum(axis=0) == trial.histories.n_sessions).all()


def test_how_treatment_ended_fits_what_was_attended(trial: Block) -> None:
    h = trial.histories
    planned = np.array(trial.world.session_counts)[np.maximum(h.arm, 0)]
    completed = h.status == Status.COMPLETED
    assert (h.n_sessions == planned)[completed].all()
    assert ((h.status == Status.NO_TREATMENT) == (h.arm == USUAL)).all()
    for status in (Status.DECLINED, Status.STOPPED_WAITING):
        assert not h.n_sessions[h.status == status].any()
    stopped = h.status == Status.DISCONTINUED
    assert (h.n_sessions < planned)[stopped].all()
    assert (h.ended_day == h.exit_day)[h.status == Status.LEFT_STUDY].all()
    assert set(np.unique(h.status)) == {int(s) for s in Status}, "every way occurs"


def test_missing_more_appointments_than_allowed_ends_treatment(engine: EngineName) -> None:
    arms = {"coach": coached(sessions=4, no_show_prob=0.6, max_reschedules=2, coaches=50)}
    block = run(design(arms=arms, sample_size=100), n=2, engine=engine)
    for column in range(2):
        missed = events_of(block, Kind.MISSED_APPOINTMENT, column)
        per_session = np.zeros((100, 4), dtype=int)
        np.add.at(per_session, (missed[:, PARTICIPANT], missed[:, DETAIL]), 1)
        stopped = block.histories.status[:, column] == Status.DISCONTINUED
        assert stopped.sum() > 20
        assert (per_session.max(axis=1) == 3).tolist() == stopped.tolist()
        assert per_session.max() == 3


def test_web_modules_are_opened_while_access_lasts_and_calls_come_on_time(engine: EngineName) -> None:
    web = online(
        sessions=5, access_days=60, max_calls=2, call_after_days=14, call_success_prob=0.5, arm={"stop_prob": 0.4}
    )
    block = run(design(arms={"web": web}, sample_size=100), n=4, engine=engine)
    h = block.histories
    since = np.where(h.attended_day != NONE, h.attended_day - h.randomized_day, NONE)
    called = np.where(h.call_day != NONE, h.call_day - h.randomized_day, NONE)
    assert 50 < since.max() < 60
    assert 50 < called.max() < 60
    stopped = h.status == Status.DISCONTINUED
    found_after = (h.ended_day - h.randomized_day)[stopped]
    given_up = since.max(axis=0)[stopped] + 14 * 3
    assert (found_after == np.minimum(given_up, 60)).all(), "after two calls in vain, or when access closes"
    assert (given_up > 60).any()
    for k in range(1, 5):
        back_day = since[k - 1] + 14 * np.arange(1, 3)[:, None, None]
        for attempt in range(2):
            made = called[2 * k + attempt] != NONE
            assert (called[2 * k + attempt] == back_day[attempt])[made].all()
        brought_back = (called[2 * k] != NONE) & (since[k] != NONE)
        last_call = called[2 * k : 2 * k + 2].max(axis=0)
        assert (since[k] == last_call + 1)[brought_back].all()
        assert brought_back.sum() > 10


def test_an_arm_without_sessions_has_none_and_waits_for_nobody(trial: Block) -> None:
    h = trial.histories
    mine = members(trial, "usual")
    assert (h.attended_day[:, mine] == NONE).all()
    for days in (h.asked_day, h.offered_day, h.released_day, h.ended_day, h.coach):
        assert (days[mine] == NONE).all()


# --- leaving the study, questionnaires ------------------------------------------------------------------------------


def test_nothing_happens_to_anybody_who_has_left_the_study(trial: Block) -> None:
    """No session, call, appointment, reminder or answer on the day of leaving or later."""
    n_left = 0
    for column in each_replicate(trial):
        exit_day = trial.histories.exit_day[:, column]
        rows = trial.events(column)
        personal = rows[rows[:, PARTICIPANT] != NONE]
        leaving = np.isin(personal[:, KIND], [Kind.WITHDREW, Kind.DIED])
        left_on = exit_day[personal[:, PARTICIPANT]]
        assert (personal[:, DAY] == left_on)[leaving].all()
        assert ((left_on == NONE) | (personal[:, DAY] < left_on))[~leaving].all()
        assert leaving.sum() == (exit_day != NONE).sum()
        n_left += int(leaving.sum())
    assert n_left > 30


def test_death_counts_where_somebody_would_withdraw_and_die_on_the_same_day(engine: EngineName) -> None:
    """Both are all but certain on the day after randomization."""
    arms = {"only": usual(withdrawal_prob=1 - 1e-9)}
    visits = {"v": {"day": 1, "closes": 0}}
    block = run(design(arms=arms, visits=visits, observation={"death_prob": 1 - 1e-9}), n=2, engine=engine)
    assert (block.histories.exit_day == block.histories.randomized_day + 1).all()
    assert (block.histories.exit_kind == 2).all()
    assert (block.follow.missing == Missing.DIED).all()


def test_answers_come_within_the_window_and_at_most_once(trial: Block) -> None:
    visits = list(trial.world.design.visits.values())
    for v, visit in enumerate(visits):
        late = trial.follow.observed_day[v] - trial.follow.due_day[v]
        answered = trial.follow.observed_day[v] != NONE
        assert answered.sum() > 100
        assert (late[answered] >= visit.opens).all()
        assert (late[answered] <= visit.closes).all()
        assert (trial.follow.due_day[v] == trial.histories.randomized_day + visit.day).all()
        for column in each_replicate(trial):
            rows = events_of(trial, Kind.ANSWERED, column)
            who = rows[rows[:, DETAIL] == v, PARTICIPANT]
            assert sorted(who) == np.flatnonzero(answered[:, column]).tolist()


def test_reminders_go_out_on_their_days_and_stop_with_the_answer(trial: Block) -> None:
    visits = list(trial.world.design.visits.values())
    for column in each_replicate(trial):
        reminded = events_of(trial, Kind.REMINDED, column)
        for v, visit in enumerate(visits):
            mine = reminded[reminded[:, DETAIL] == v]
            who = mine[:, PARTICIPANT]
            due, observed = trial.follow.due_day[v, who, column], trial.follow.observed_day[v, who, column]
            assert set((mine[:, DAY] - due).tolist()) == set(visit.reminders)
            assert ((observed == NONE) | (mine[:, DAY] < observed)).all()
            sent = np.bincount(who, minlength=len(trial.histories.arm))
            assert sent.tolist() == trial.follow.n_reminders[v, :, column].tolist()


def test_silent_people_in_the_study_get_every_reminder(trial: Block) -> None:
    visits = list(trial.world.design.visits.values())
    silent = trial.follow.missing == Missing.NO_ANSWER
    for v, visit in enumerate(visits):
        assert (trial.follow.n_reminders[v][silent[v]] == len(visit.reminders)).all()
    assert silent.sum() > 50


def test_why_an_answer_is_missing_fits_when_and_how_people_left(trial: Block) -> None:
    h, f = trial.histories, trial.follow
    visits = list(trial.world.design.visits.values())
    for v, visit in enumerate(visits):
        closes = f.due_day[v] + visit.closes
        gone = (h.exit_day != NONE) & (h.exit_day <= closes) & (f.observed_day[v] == NONE)
        assert ((f.missing[v] == Missing.WITHDREW) == (gone & (h.exit_kind == 1))).all()
        assert ((f.missing[v] == Missing.DIED) == (gone & (h.exit_kind == 2))).all()
        assert ((f.missing[v] == Missing.ANSWERED) == (f.observed_day[v] != NONE)).all()
    assert set(np.unique(f.missing)) == {0, 1, 2, 3}


def test_exactly_what_was_answered_is_observed(trial: Block) -> None:
    data = trial.observed
    answered = (trial.follow.missing == Missing.ANSWERED).transpose(2, 1, 0)
    assert (data.observed == answered).all()
    for name, value in data.value.items():
        assert (np.isnan(value) == ~answered).all()
        assert not data.responder[name][~answered].any()


# --- truth ----------------------------------------------------------------------------------------------------------


def test_what_happens_under_the_arm_given_is_the_potential_outcome_of_that_arm(trial: Block) -> None:
    arm = trial.histories.arm.astype(np.intp)
    mine = np.take_along_axis(trial.outcomes.potential, arm[None, None, None], axis=1)[:, 0]
    assert (mine == trial.outcomes.realised).all()


def test_sessions_by_a_visit_are_those_attended_by_its_due_day(trial: Block) -> None:
    due = trial.follow.due_day[:, None]
    attended = trial.histories.attended_day[None]
    by_visit = ((attended != NONE) & (attended <= due)).sum(axis=1)
    assert (by_visit == trial.outcomes.realised_sessions).all()
    assert by_visit.max() == 8


def test_values_stay_on_the_instrument_s_grid(trial: Block) -> None:
    values: Any = table(trial, "truth").to_pandas()["value"]
    assert values.between(0, 10).all()
    assert np.allclose(values * 10, np.rint(values * 10))
    assert values.min() == 0
