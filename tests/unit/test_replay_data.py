"""The data of the animation: its counts and columns are those of the tables, its last estimate that of the analysis."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import busy, coached, design, grouped, kinds, merged, online, usual
from helpers import differences, same

from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.report.replay.cut import first_visits, observed_by
from trialsim.report.replay.looks import headlines
from trialsim.report.replay.story import Story, story_of
from trialsim.report.replay_data import replay_data
from trialsim.trial import TrialData, analyse, simulate

LINEAR = {"kind": "linear", "outcome": "pain", "covariates": ["baseline"], "visits": ["m3"]}
IMPUTING = {"kind": "ancova", "outcome": "pain", "missing": {"kind": "imputation", "imputations": 5}}
ANALYSES: dict[str, dict[str, Any]] = {
    "linear": LINEAR,
    "mmrm": {"kind": "mmrm", "outcome": "pain"},
    "imputed": IMPUTING,
    "cox": {"kind": "cox", "outcome": "admission"},
    "rates": {"kind": "counts", "outcome": "visits", "endpoint": "events"},
    "composite": {"kind": "modified_poisson", "outcome": "pain", "estimand": "composite"},
    "compliers": {"kind": "complier", "outcome": "pain"},
    "protocol": {"kind": "linear", "outcome": "pain", "estimand": "per_protocol", "visits": ["m6"]},
}


def with_analysis(name: str) -> Design:
    return kinds(analyses={name: ANALYSES[name]})


def in_groups() -> Design:
    arm = {"start_prob": 0.9, "stop_prob": 0.1, "withdrawal_prob": 0.2}
    analyses = {"treated": {"kind": "linear", "outcome": "pain", "estimand": "while_on_treatment"}}
    arms = {"class": grouped(miss_prob=0.2, size=3, arm=arm), "usual": usual()}
    return design(arms=arms, sample_size=60, analyses=analyses)


def counted() -> Design:
    """How many sessions are attended, in two arms."""
    arms = {"coach": coached(arm={"stop_prob": 0.1}), "web": online(arm={"stop_prob": 0.2})}
    return design(arms=arms, analyses={"sessions": {"kind": "counts", "outcome": "pain", "endpoint": "sessions"}})


@cache
def trial_of(name: str) -> TrialData:
    made = {"busy": busy, "kinds": kinds, "groups": in_groups, "counted": counted}
    given = made[name]() if name in made else with_analysis(name) if name in ANALYSES else read_design(name)
    return simulate(given, seed=3, engine="vector")


@cache
def data_of(name: str, looks: int | None = 6) -> dict[str, Any]:
    return replay_data(trial_of(name), looks=looks)


def column(values: int | list[int], n: int) -> list[int]:
    return [values] * n if isinstance(values, int) else values


# --- the estimate as data come in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ANALYSES, "groups", "counted", "thorn"])
def test_the_last_look_is_exactly_the_final_analysis(name: str) -> None:
    found = data_of(name)["estimates"]
    rows = analyse(trial_of(name))
    assert found["contrasts"]
    for series in found["contrasts"]:
        mine = rows[
            np.logical_and.reduce([rows[key] == series[key] for key in ("analysis", "contrast", "visit", "measure")])
        ]
        final = mine.iloc[0]
        assert series["estimate"][-1] == (None if np.isnan(final["estimate"]) else final["estimate"])
        assert (series["low"][-1], series["high"][-1]) == (final["ci_low"], final["ci_high"])
        assert series["n_used"][-1] == final["n_used"]
        assert series["truth"] == (None if np.isnan(final["truth"]) else final["truth"])
        assert len(series["estimate"]) == len(found["days"]) == 6
        assert found["days"][-1] == data_of(name)["last_day"]


@pytest.mark.parametrize("name", ["kinds", "groups", "busy"])
def test_on_the_last_day_all_is_observed(name: str) -> None:
    story = story_of(trial_of(name))
    cut, whole = observed_by(story, story.last_day), story.observed
    assert differences(cut, whole) == []
    assert "value" in differences(observed_by(story, 60), whole)  # the comparison can fail


@pytest.mark.parametrize("name", ["kinds", "groups"])
@pytest.mark.parametrize("day", [45, 120, 260])
def test_nothing_of_later_days_is_seen(name: str, day: int) -> None:
    story = story_of(trial_of(name))
    cut, people = observed_by(story, day, counts_sessions=True), trial_of(name).participants
    n = len(people)
    here = people["randomized_day"].to_numpy() <= day
    assert (cut.arm[0, :n] >= 0).tolist() == here.tolist()
    assert (cut.coach[0, :n] >= 0).tolist() == (
        people["coach"].notna() & here & (people["offered_day"] <= day)
    ).tolist()
    assert_values(story, cut, day, here)
    sessions = trial_of(name).sessions
    attended = sessions[sessions["attended_day"] <= day].groupby("participant").size()
    assert cut.all_sessions[0, :n][here].tolist() == attended.reindex(people.index, fill_value=0)[here].tolist()
    since = day - people["randomized_day"].to_numpy()[here]
    for outcome, time in cut.event_time.items():
        happened = cut.event[outcome][0, :n][here]
        assert (time[0, :n][here] <= since + ~happened).all()  # nothing has happened by the end of the day


def assert_values(story: Story, cut: Any, day: int, here: Any) -> None:
    """Known is what was observed by the day, and nothing else, of those who are in the trial."""
    observations = story.trial.observations
    for name, values in cut.value.items():
        mine = observations[observations["outcome"] == name]
        seen = (mine["observed_day"] <= day).to_numpy().reshape(len(here), -1)
        assert (~np.isnan(values[0, : len(here)]))[here].tolist() == seen[here].tolist()


def test_who_is_still_in_treatment_has_not_stopped() -> None:
    story = story_of(trial_of("groups"))
    people, day = trial_of("groups").participants, 80
    ended = story.of("ended_day")
    going_on = (people["arm"] == "class").to_numpy() & (people["randomized_day"].to_numpy() <= day) & (ended > day)
    assert going_on.any()
    assert (observed_by(story, day).all_sessions[0][going_on] == 4).all()
    so_far = observed_by(story, day, counts_sessions=True).all_sessions[0][going_on]
    assert (so_far < 4).any()


def test_a_visit_that_nobody_has_reached_is_left_out_of_the_model() -> None:
    found = data_of("mmrm", 24)
    first_m12 = min(v for v in column(found["people"]["observed_day"][2], 150) if v >= 0)
    series = found["estimates"]["contrasts"][0]
    assert series["visit"] == "m3"
    before = [e for e, day in zip(series["estimate"], found["estimates"]["days"], strict=True) if day < first_m12]
    assert sum(e is not None for e in before) >= 3


def test_fewer_visits_are_the_first_ones() -> None:
    whole = observed_by(story_of(trial_of("groups")), 10_000)
    kinds_whole = observed_by(story_of(trial_of("kinds")), 10_000)
    two = first_visits(kinds_whole, 2)
    assert same(two.value["pain"], kinds_whole.value["pain"][:, :, :2])
    assert two.sessions.shape[2] == 2
    one = first_visits(whole, 1)
    assert one.missed is not None
    assert whole.missed is not None
    assert same(one.missed, whole.missed[:, :, [0, -1]])


def test_the_headlines_are_those_of_the_first_decision() -> None:
    found = headlines(read_design("resolve"))
    assert [(h.analysis, h.contrast, h.visit) for h in found] == [
        ("published_responders", "coach - usual", "m3"),
        ("published_responders", "online - usual", "m3"),
        ("published_responders", "coach - online", "m3"),
    ]
    assert [(h.analysis, h.visit) for h in headlines(read_design("cprp_series"))] == [("pain", "discharge")] * 2


@pytest.mark.parametrize(
    ("name", "scale", "nothing", "better"),
    [("linear", "linear", 0.0, "lower"), ("composite", "log", 1.0, "higher"), ("cox", "log", 1.0, None)],
)
def test_what_a_reader_must_know_of_a_contrast(name: str, scale: str, nothing: float, better: str | None) -> None:
    series = data_of(name)["estimates"]["contrasts"][0]
    assert (series["scale"], series["nothing"], series["better"]) == (scale, nothing, better)
    assert series["level"] == 0.95


def test_analyses_that_take_long_have_fewer_looks() -> None:
    assert len(replay_data(trial_of("imputed"))["estimates"]["days"]) == 16
    assert len(replay_data(trial_of("linear"))["estimates"]["days"]) == 48


@pytest.mark.parametrize(
    "changes", [{}, {"arms": {"usual": usual()}, "analyses": {"all": LINEAR}, "visits": {"m3": {"day": 91}}}]
)
def test_without_a_contrast_there_is_no_estimate(changes: dict[str, Any]) -> None:
    found = replay_data(simulate(design(**changes), engine="vector"))["estimates"]
    assert found["contrasts"] == []


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["busy", "ppact", "iprp"])
def test_the_way_in_adds_up_to_the_table_funnel(name: str) -> None:
    table = trial_of(name).table("funnel").to_pandas()
    totals = table.groupby(["step", "reason"], observed=True)["n"].sum()
    found = data_of(name)["funnel"]
    for count in found["daily"]:
        assert sum(count["n"]) == totals[count["step"], count["reason"]]
        assert min(count["n"]) >= 0
        assert len(count["n"]) == found["days"] == data_of(name)["closing_day"] + 1
    assert found["spread"] == (name != "iprp")


def test_contacts_are_spread_as_expected_over_the_days() -> None:
    """A site that doubles its rate has contacted a third of its people by half of the time."""
    sites = {"north": {"rate_per_month": 600.0}}
    changing = {"sites": sites, "rate_changes": [{"starts": 50, "factor": 2.0}]}
    funnel = {"reached": {"prob": 0.02}, "enrolled": {}}
    trial = simulate(
        design(recruitment=changing, funnel=funnel, sample_size=5_000, max_enrolment_days=100), engine="vector"
    )
    daily = replay_data(trial)["funnel"]["daily"][0]["n"]
    share = sum(daily[:50]) / sum(daily)
    assert abs(share - 1 / 3) < 4.5 * np.sqrt(2 / 9 / sum(daily)) + 0.02  # persons are random, the others as expected


def test_columns_are_those_of_the_table_participants() -> None:
    trial, people = trial_of("busy"), data_of("busy")["people"]
    table, n = trial.participants, len(trial.participants)
    assert [data_of("busy")["sites"][k] for k in column(people["site"], n)] == table["site"].tolist()
    assert [data_of("busy")["arms"][k]["name"] for k in column(people["arm"], n)] == table["arm"].tolist()
    for name in ("asked_day", "offered_day", "coach"):
        assert column(people[name], n) == table[name].fillna(-1).astype(int).tolist()
    assert column(people["step_day"][-1], n) == table["randomized_day"].tolist()
    assert column(people["step_day"][-2], n) == table["consent_day"].tolist()
    assert [sum(day >= 0 for day in days) for days in people["sessions"]] == table["n_sessions"].tolist()
    statuses = data_of("busy")["statuses"]
    assert [statuses[k] for k in column(people["status"], n)] == table["treatment"].tolist()


def test_answers_and_values_are_those_of_the_table_observations() -> None:
    trial, data = trial_of("kinds"), data_of("kinds")
    table, n = trial.observations, len(trial.participants)
    for k, outcome in enumerate(data["outcomes"]):
        for v, visit in enumerate(data["visits"]):
            mine = table[(table["outcome"] == outcome["name"]) & (table["visit"] == visit["name"])]
            steps = column(data["people"]["value"][k][v], n)
            values = [None if s < 0 else outcome["low"] + s / outcome["items"] for s in steps]
            assert values == [None if np.isnan(x) else pytest.approx(x) for x in mine["value"]]
            if outcome["source"] == "questionnaire":
                assert (
                    column(data["people"]["observed_day"][v], n) == mine["observed_day"].fillna(-1).astype(int).tolist()
                )


def test_the_lost_and_the_participants_are_all_who_were_looked_at() -> None:
    data = data_of("busy")
    persons = story_of(trial_of("busy")).trial.block.plan.cohort.persons
    n_contacted = int((persons.step_day[0, :, 0] <= data["closing_day"]).sum())
    assert data["lost"]["n"] + len(data["people"]["motivation"]) == n_contacted
    gone = [step for step in column(data["lost"]["step"], data["lost"]["n"]) if step >= 0]
    lost = trial_of("busy").events["kind"].eq("lost").sum()
    assert len(gone) == lost


def test_what_only_the_simulation_knows_is_the_table_truth() -> None:
    data, truth = data_of("busy"), trial_of("busy").table("truth").to_pandas()
    n = len(data["people"]["motivation"])
    for a, arm in enumerate(data["arms"]):
        mine = truth[(truth["arm"] == arm["name"]) & (truth["visit"] == "m6") & (truth["outcome"] == "pain")]
        steps = column(data["people"]["truth"]["value"][a][1], n)
        assert [s / 10 for s in steps] == mine["value"].tolist()
    assert data["people"]["motivation"] == pytest.approx(mine["motivation"].tolist(), abs=0.0051)


def test_places_of_coaches_and_teams() -> None:
    arms = data_of("busy")["arms"]
    assert arms[0]["places"] == [
        {"capacity": 3, "joins": 0, "leaves": -1},
        {"capacity": 4, "joins": 60, "leaves": -1},
        {"capacity": 2, "joins": 0, "leaves": 200},
    ]
    assert arms[2]["places"] == []
    assert data_of("groups")["arms"][0]["places"] == [{"capacity": 3, "joins": 0, "leaves": -1}] * 2


# --- as JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resolve", "kinds", "cprp"])
def test_the_data_are_json_and_small(name: str) -> None:
    text = json.dumps(data_of(name), allow_nan=False, separators=(",", ":"))
    assert len(text) < 1_500_000
    assert json.loads(text) == data_of(name)


def test_a_trial_without_participants_has_data_too() -> None:
    sites = {"sites": {"north": {"rate_per_month": 0.0}}}
    found = replay_data(simulate(design(recruitment=sites, analyses={"one": LINEAR}), engine="vector"))
    assert found["people"]["motivation"] == []
    assert found["estimates"]["contrasts"] == []
    json.dumps(found, allow_nan=False)


def test_a_coach_more_changes_only_treatment() -> None:
    """The nearly identical world: who comes and when is the same."""
    more = Design.model_validate(merged(busy().model_dump(mode="json"), arms={"coach": coached(coaches=9)}))
    one, other = data_of("busy"), replay_data(simulate(more, seed=3, engine="vector"), looks=2)
    assert one["funnel"] == other["funnel"]
    assert one["lost"] == other["lost"]
    assert one["people"]["arm"] == other["people"]["arm"]
    assert one["people"]["offered_day"] != other["people"]["offered_day"]
