"""The replay tells each event once, its numbers are those of the tables, and its sentences say what happened."""

from __future__ import annotations

import itertools
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import busy, coached, design, grouped, kinds, usual

from trialsim.block import EngineName, simulate_block
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.report.replay import days as days_module
from trialsim.report.replay.log import replay
from trialsim.report.replay.selection import Asked
from trialsim.report.replay.story import ReplayError, story_of
from trialsim.report.replay.totals import Census
from trialsim.report.replay.words import Words, ordinal, questionnaire
from trialsim.trial import TrialData, simulate
from trialsim.world.histories import Kind
from trialsim.world.world import World

LIBRARY = ("cbt_generic", "cprp", "ppact", "iprp_routine")
"""Coaches, web modules and usual care; groups and records; clusters; cohorts that were not randomized."""


def of_name(name: str) -> Design:
    made = {"busy": busy, "kinds": kinds, "groups": in_groups}
    return made[name]() if name in made else read_design(name)


def in_groups() -> Design:
    arm = {"start_prob": 0.9, "stop_prob": 0.1, "withdrawal_prob": 0.2}
    return design(arms={"class": grouped(miss_prob=0.2, size=3, arm=arm), "usual": usual()}, sample_size=40)


@cache
def trial_of(name: str, engine: EngineName = "vector") -> TrialData:
    return simulate(of_name(name), seed=3, engine=engine)


@cache
def rows_of(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = replay(trial_of(name)).data()["rows"]
    return rows


# --- every event once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*LIBRARY, "busy", "kinds", "groups"])
def test_every_event_of_the_log_is_told_once(name: str) -> None:
    rows = [row for row in rows_of(name) if row["sequence"] is not None]
    told = sorted(rows, key=lambda row: row["sequence"])
    events = trial_of(name).events
    assert [row["sequence"] for row in told] == events["sequence"].tolist()
    for column in ("day", "kind"):
        assert [row[column] for row in told] == events[column].tolist()
    for column in ("participant", "arm", "site", "screening_number"):
        assert [row[column] for row in told] == [
            None if value != value else value for value in events[column].astype(object)
        ]


def test_rows_beside_the_log_are_contacts_openings_records_and_known_events() -> None:
    beside = {row["kind"] for name in ("kinds", "ppact") for row in rows_of(name) if row["sequence"] is None}
    assert beside == {"contacted", "cluster opened", "record read", "outcome event"}


def test_the_text_names_everybody_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(days_module, "NAMED", 10_000)
    trial = trial_of("busy")
    items = joined_items(replay(trial).text())
    n = len(trial.participants)
    randomized = [line for line in items if " randomized" in line]
    together = [
        number
        for line in randomized
        for bracket in re.findall(r"\d+ to \w+ \(([^)]*)\)", line)
        for number in re.findall(r"\d+", bracket)
    ]
    alone = [number for line in randomized for number in re.findall(r"^participant (\d+) is randomized", line)]
    assert sorted(map(int, [*together, *alone])) == list(range(n))
    closed = [line for line in items if "which closes" in line]
    named = [
        n
        for line in closed
        for n in re.findall(r"\d+", line.split(": ", 1)[1] if line[0].isdigit() else line.split(" (")[0])
    ]
    assert len(named) == int((trial.events["kind"] == "window closed").sum())


def joined_items(text: str) -> list[str]:
    """Items of the days, each as one line."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith("  - "):
            found.append(line[4:])
        elif line.startswith("    ") and found:
            found[-1] += f" {line.strip()}"
    return found


def test_text_and_rows_are_the_same_for_both_engines(engine: EngineName) -> None:
    assert replay(trial_of("busy", engine)).data()["rows"] == rows_of("busy")


def test_a_trial_out_of_a_block_is_told_like_the_same_trial_alone() -> None:
    block = simulate_block(World(busy()), seed=3, first=0, n_replicates=4)
    assert replay(TrialData(block, 2)).text() == replay(simulate(busy(), seed=3, replicate=2, engine="vector")).text()


# --- one participant --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["busy", "kinds", "groups", "ppact"])
def test_a_participants_visits_sessions_and_potential_values_are_those_of_the_tables(name: str) -> None:
    trial = trial_of(name)
    observations, sessions, truth = trial.observations, trial.sessions, trial.table("truth").to_pandas()
    for i in (0, 7, 23):
        told = replay(trial, Asked(participant=i)).data()
        assert_visits(told["visits"], observations[observations["participant"] == i])
        mine = sessions[sessions["participant"] == i]
        for column in ("session", "scheduled_day", "attended_day", "coach"):
            assert [one[column] for one in told["sessions"]] == nones(mine[column])
        assert [one["module"] for one in told["sessions"]] == mine["module"].tolist()
        hidden = told["only_the_simulation_knows"]
        for row in truth[truth["participant"] == i].itertuples():
            assert hidden["potential"][row.arm][row.outcome][row.visit] == pytest.approx(row.value)
            assert hidden["motivation"] == row.motivation


def assert_visits(told: list[dict[str, Any]], mine: Any) -> None:
    for visit in told:
        rows = mine[mine["visit"] == visit["visit"]]
        assert {visit["due_day"]} == set(rows["due_day"])
        assert {len(visit["reminder_days"])} == set(rows["n_reminders"])
        assert visit["values"] == dict(zip(rows["outcome"], nones(rows["value"]), strict=True))
        reasons = set(nones(rows["reason_missing"].astype(object)))
        assert visit["reason_missing"] in reasons
        if visit["observed_day"] is not None:
            assert visit["observed_day"] in set(rows["observed_day"])


def nones(values: Any) -> list[Any]:
    return [None if value != value else value for value in values]


def test_a_participants_rows_are_all_events_of_their_own() -> None:
    trial = trial_of("busy")
    events = trial.events
    for i in (3, 40):
        told = replay(trial, Asked(participant=i)).data()
        person = trial.participants.iloc[i]
        same_person = (events["site"] == person["site"]) & (events["screening_number"] == person["screening_number"])
        mine = events[same_person]
        assert (
            sorted(row["sequence"] for row in told["rows"] if row["sequence"] is not None) == mine["sequence"].tolist()
        )


def test_who_a_participant_is() -> None:
    trial = trial_of("busy")
    who = replay(trial, Asked(participant=11)).data()["who"]
    person = trial.participants.iloc[11]
    assert (who["site"], who["arm"], who["randomized_day"]) == (person["site"], person["arm"], person["randomized_day"])
    assert who["covariates"] == {name: person[name] for name in ("female", "age", "conditions")}
    assert who["baseline"] == {name: person[f"baseline_{name}"] for name in ("pain", "mood")}
    assert who["stratum"] == World(busy()).strata[person["stratum"]]


def test_what_only_the_simulation_knows_stands_apart() -> None:
    text = replay(trial_of("busy"), Asked(participant=5)).text()
    before, after = text.split("What only the simulation knows")
    assert "motivation" not in before
    assert "no analysis sees it" in after.replace("\n", " ")
    assert "Latent motivation" in after


# --- waiting ----------------------------------------------------------------------------------------------------------


def waiting_design() -> Design:
    one_place = coached(coaches=1, caseload=1, sessions=2, max_wait_days=365, arm={"start_prob": 1.0})
    return design(arms={"coach": one_place, "usual": usual()}, sample_size=12)


def test_the_place_in_line_is_counted_from_the_days_of_asking() -> None:
    trial = simulate(waiting_design(), seed=2, engine="vector")
    story, people = story_of(trial), trial.participants
    seen = []
    for i, day in itertools.product(people.index[people["arm"] == "coach"], range(0, 60, 4)):
        waits = people[(people["arm"] == "coach") & (people["asked_day"] <= day) & (day < people["offered_day"])]
        order = waits.sort_values(["asked_day", "participant"])["participant"].tolist()
        assert story.in_line(i, day) == ((order.index(i) + 1 if i in order else 0), len(order))
        seen.append(len(order))
    assert max(seen) >= 3


def test_moving_up_in_line_is_told() -> None:
    trial = simulate(waiting_design(), seed=2, engine="vector")
    people = trial.participants
    last = int(people[people["arm"] == "coach"].index[-1])
    told = replay(trial, Asked(participant=last)).data()["rows"]
    texts = [row["text"] for row in told]
    asked = next(text for text in texts if text.startswith("asks for a coach and is"))
    start = int(re.findall(r"(\d+)(?:st|nd|rd|th) of", asked)[0])
    moves = [int(re.findall(r"(\d+)(?:st|nd|rd|th) of", text)[0]) for text in texts if text.startswith("moves up")]
    assert moves == list(range(start - 1, 0, -1))


@pytest.mark.parametrize("name", ["busy", "groups", "cbt_generic"])
def test_totals_are_those_of_the_tables(name: str) -> None:
    trial = trial_of(name)
    people, observations = trial.participants, trial.observations
    resources = trial.table("resources").to_pandas()
    first = observations[observations["outcome"] == observations["outcome"].iloc[0]]
    census = Census(story_of(trial))
    for day in (40, 90, 150, 240, 400):
        totals, now = census.totals(day), resources[resources["day"] == day]
        assert totals.randomized == int((people["randomized_day"] <= day).sum())
        for arm, n in totals.waiting.items():
            assert n == now[now["arm"] == arm]["waiting"].sum()
            assert totals.in_treatment[arm] == now[now["arm"] == arm]["in_use"].sum()
        for visit, n in totals.answered.items():
            assert n == int((first[first["visit"] == visit]["observed_day"] <= day).sum())
        assert totals.withdrew == int((people["withdrawn_day"] <= day).sum())
        assert totals.died == int((people["died_day"] <= day).sum())


def test_milestones_are_days_of_the_tables() -> None:
    trial = trial_of("busy")
    found = {one.name: one.day for one in Census(story_of(trial)).milestones()}
    days, events = trial.participants["randomized_day"], trial.events
    assert found["first in"] == days.iloc[0]
    assert found["last in"] == days.iloc[-1]
    assert found["half in"] == days.iloc[74]
    assert found["enrolment closes"] == int(events[events["kind"] == "enrolment closed"]["day"].iloc[0])
    assert found["last visit"] <= found["last day"]


# --- sentences --------------------------------------------------------------------------------------------------------


def sentences(trial: TrialData | str, kind: str) -> list[str]:
    rows = rows_of(trial) if isinstance(trial, str) else replay(trial).data()["rows"]
    return [row["text"] for row in rows if row["kind"] == kind]


def test_sentences_can_be_read_aloud() -> None:
    trial = "busy"
    assert re.fullmatch(
        r"participant \d+ \(coach\) attends session \d of 8, session \d, with coach \d",
        next(s for s in sentences(trial, "session") if "(coach)" in s),
    )
    assert re.fullmatch(
        r"participant \d+ \(web\) does module \d of 8, session \d",
        next(s for s in sentences(trial, "session") if "(web)" in s),
    )
    answer = sentences(trial, "answered")[0]
    assert re.fullmatch(
        r"participant \d+ \(\w+\) answers the m\d+ questionnaire on day \d+ of its \d+: pain [\d.]+ \(was [\d.]+\) and mood [\d.]+ \(was [\d.]+\)",
        answer,
    )
    assert re.fullmatch(
        r"participant \d+ is randomized to \w+ \(person \d+ of \w+\)", sentences(trial, "randomized")[0]
    )
    assert any("lost at the step 'eligible': too little pain" in s for s in sentences(trial, "lost"))


def test_a_session_missed_too_often_is_given_as_the_reason() -> None:
    arm = coached(no_show_prob=0.6, max_reschedules=1, arm={"start_prob": 1.0, "stop_prob": 0.0})
    trial = simulate(design(arms={"coach": arm, "usual": usual()}), engine="vector")
    stopped = sentences(trial, "discontinued")
    assert stopped
    assert all(re.search(r"\(session \d was missed 2 times\) and stays in the study", text) for text in stopped)
    of_own_accord = coached(no_show_prob=0.0, arm={"start_prob": 1.0, "stop_prob": 0.4})
    stopped = sentences(
        simulate(design(arms={"coach": of_own_accord, "usual": usual()}), engine="vector"), "discontinued"
    )
    assert stopped
    assert not any("missed" in text for text in stopped)


def test_leaving_the_study_says_what_ends_with_it() -> None:
    arm = coached(coaches=1, caseload=2, sessions=20, arm={"start_prob": 1.0, "withdrawal_prob": 0.7})
    trial = simulate(design(arms={"coach": arm, "usual": usual()}, sample_size=80), engine="vector")
    left = sentences(trial, "withdrew")
    assert any(text.endswith("withdraws from the study while waiting for a coach") for text in left)
    assert any(re.search(r"which ends treatment after \d+ of 20 sessions$", text) for text in left)


def test_values_of_every_kind_of_outcome_are_said_as_people_say_them() -> None:
    answers = " ".join(sentences("kinds", "answered"))
    records = " ".join(sentences("kinds", "record read"))
    for words in ("works yes (was ", "works no (was ", "impression better (was ", "return has not happened"):
        assert words in answers
    assert "visits 0 (in the year before baseline" in records
    assert "admission has happened" in records
    assert re.search(r"opioids \d+ \(was \d+\)", records)
    assert any("has the event 'admission'" in text for text in sentences("kinds", "outcome event"))


def test_cohorts_are_not_said_to_be_randomized() -> None:
    text = replay(trial_of("iprp_routine")).text()
    assert "Nobody is randomized" in text
    assert "enrolled, not randomized, in taper" in text
    assert not re.search(r"\d+ is randomized|people are randomized", text)


def test_clusters_open_and_participants_belong_to_them() -> None:
    trial = trial_of("ppact")
    opened = sentences("ppact", "cluster opened")
    clusters = trial.table("clusters").to_pandas()
    assert len(opened) <= len(clusters)
    name, arm = clusters.iloc[0]["cluster"], clusters.iloc[0]["arm"]
    assert f"cluster {name} opens, whose arm is {arm}" in opened
    assert (
        f"enrolled in cluster {trial.participants.iloc[4]['cluster']}, which belongs to"
        in sentences("ppact", "randomized")[4]
    )


def test_a_group_is_told_as_a_group() -> None:
    items = joined_items(replay(trial_of("groups")).text())
    assert any(
        re.match(r"class: group \d+ is made up of 3 participants \([\d, and]+\); first session on ", item)
        for item in items
    )


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("3 months", "the 3-month questionnaire"),
        ("1 year", "the 1-year questionnaire"),
        ("discharge", "the discharge questionnaire"),
        ("after treatment", "the questionnaire 'after treatment'"),
    ],
)
def test_the_name_of_a_questionnaire(label: str, words: str) -> None:
    assert questionnaire(label) == words


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112, 1001)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "112th",
        "1,001st",
    ]


# --- what is told -----------------------------------------------------------------------------------------------------


def test_days_without_anything_are_counted() -> None:
    text = replay(trial_of("busy"), Asked(kinds=("died",))).text()
    days = [int(day) for day in re.findall(r"day (\d+)   \(|day (\d+)$", text, re.M) for day in day if day]
    quiet = [int(n) for n in re.findall(r"\((\d+) quiet days?\)", text)]
    expected = np.diff([-1, *days]) - 1
    assert quiet == [n for n in expected.tolist() if n]


def test_days_kinds_site_and_arm_can_be_chosen() -> None:
    trial = trial_of("busy")
    events = trial.events
    rows = replay(trial, Asked(first="30", last="60", kinds=("session", "missed-appointment"), arm="coach")).data()[
        "rows"
    ]
    chosen = events[
        events["day"].between(30, 60)
        & events["kind"].isin(["session", "missed appointment"])
        & (events["arm"] == "coach")
    ]
    assert [row["sequence"] for row in rows] == chosen["sequence"].tolist()
    assert rows
    rows = replay(trial, Asked(site="south", kinds=("lost",))).data()["rows"]
    assert (
        sorted(row["sequence"] for row in rows)
        == events[(events["site"] == "south") & (events["kind"] == "lost")]["sequence"].tolist()
    )


def test_a_date_is_a_day() -> None:
    trial = trial_of("busy")
    by_date = replay(trial, Asked(first="2024-02-01", last="2024-02-29")).data()
    by_day = replay(trial, Asked(first="31", last="59")).data()
    assert by_date["rows"] == by_day["rows"]
    assert {row["date"][:7] for row in by_date["rows"]} == {"2024-02"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(participant=150), "no participant 150: replicate 0 of test with seed 3 has participants 0 to 149"),
        (Asked(first="2019-12-31"), "--from 2019-12-31 is outside the trial, which goes from 1 January 2024 (day 0) to "),
        (Asked(last="99999"), "--to 99999 is outside the trial"),
        (Asked(last="1e9"), "--to must be a date (YYYY-MM-DD) or a study day (given: 1e9)"),
        (Asked(first="2024-02-30"), "--from must be a date (YYYY-MM-DD) or a study day (given: 2024-02-30)"),
        (Asked(first="60", last="50"), "--from (1 March 2024 (day 60)) comes after --to (20 February 2024 (day 50))"),
        (Asked(site="nort"), "there is no site 'nort'. Did you mean 'north'? Sites: north, south, west"),
        (Asked(arm="chair"), "there is no arm 'chair'. "),
        (Asked(kinds=("sesion",)), "there is no kind 'sesion'. Did you mean 'session'?"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_with_what_there_is(asked: Asked, words: str) -> None:
    with pytest.raises(ReplayError) as refused:
        replay(trial_of("busy"), asked)
    assert words in str(refused.value)


def test_a_trial_without_participants_is_told_too() -> None:
    trial = simulate(design(recruitment={"sites": {"north": {"rate_per_month": 0.0}}}), engine="vector")
    assert "enrolment closes" in replay(trial).text()
    with pytest.raises(ReplayError, match="has no participants"):
        replay(trial, Asked(participant=0))


def test_every_kind_of_event_has_its_words() -> None:
    says = Words(story_of(trial_of("busy"))).says
    assert {kind.name.lower().replace("_", " ") for kind in Kind} <= set(says)
