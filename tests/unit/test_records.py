"""The tables of simulated trials: types, keys, nulls, documentation, and that they agree with one another."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from designs import THREE_VISITS, busy, grouped, kinds
from golden.small_trial import small_trial
from helpers import run

from trialsim.block import Block, EngineName
from trialsim.records import TABLES, coded, funnel_counts, table, to_arrow
from trialsim.tables import SCHEMAS, Column, Schema
from trialsim.world.histories import Kind

TYPES = {
    "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "float64": pa.float64(), "bool": pa.bool_(),
    "string": pa.string(),
}  # fmt: skip
ORDER_OF_THE_DAY = [kind.name.lower().replace("_", " ") for kind in Kind]
ENDS = {"declined", "discontinued", "completed", "withdrew", "died"}

PARTS = {"talk": {}, "walk": {"sessions": [2, 3], "attend_prob": 0.6}}
GROUP = grouped(
    miss_prob=0.2,
    staffing="rotating",
    components=PARTS,
    arm={"stop_prob": 0.1, "withdrawal_prob": 0.1, "response_prob": dict.fromkeys(THREE_VISITS, 0.8)},
)
WITH_GROUPS = {"sample_size": 200, "arms": {"group": GROUP}, "allocation": {"ratio": {"group": 1}, "block_sizes": [5]}}

Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def block(engine: EngineName) -> Block:
    """Three busy trials of either engine."""
    return run(busy(), n=3, first=5, engine=engine)


@pytest.fixture(scope="module")
def with_groups(engine: EngineName) -> Block:
    """The same with an arm in groups."""
    return run(busy(**WITH_GROUPS), n=3, first=5, engine=engine)


@pytest.fixture(scope="module")
def tables(with_groups: Block) -> dict[str, pa.Table]:
    return {name: table(with_groups, name) for name in TABLES}


@pytest.fixture(scope="module")
def frames(block: Block) -> Frames:
    """The tables of one of the busy trials, in pandas."""
    whole = {name: table(block, name).to_pandas() for name in TABLES}
    return {name: frame[frame["replicate"] == 6].reset_index(drop=True) for name, frame in whole.items()}


@pytest.mark.parametrize("name", TABLES)
def test_replicates_come_in_the_order_asked_for(block: Block, name: str) -> None:
    turned = table(block, name, columns=[2, 1, 0]).to_pandas()
    alone = pd.concat([table(block, name, columns=[column]).to_pandas() for column in (2, 1, 0)])
    assert turned.astype(object).equals(alone.reset_index(drop=True).astype(object))


# --- schemas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_types_and_texts_of_its_schema(tables: dict[str, pa.Table], name: str) -> None:
    arrow, schema = tables[name], SCHEMAS[name]
    extra = ["female", "age", "conditions", "baseline_pain", "baseline_mood"] if name == "participants" else []
    assert arrow.schema.names == [column.name for column in schema.columns] + extra
    for column in [
        *schema.columns,
        *(Column(e, "float64", schema.others) for e in extra),
    ]:
        field = arrow.schema.field(column.name)
        assert field.metadata == {b"meaning": column.meaning.encode(), b"unit": column.unit.encode()}
        if column.type == "name":
            assert pa.types.is_dictionary(field.type)
        else:
            assert field.type == TYPES[column.type]
    assert arrow.schema.metadata == {
        b"table": name.encode(),
        b"key": " ".join(schema.key).encode(),
        b"schema_version": b"3",
    }


@pytest.mark.parametrize("name", TABLES)
def test_keys_are_unique_and_come_first(tables: dict[str, pa.Table], name: str) -> None:
    key = list(SCHEMAS[name].key)
    frame = tables[name].select(key).to_pandas()
    assert not frame.duplicated().any()
    assert key[0] == "replicate"
    assert set(frame["replicate"]) == ({5, 6, 7} if name != "clusters" else set())  # busy designs have none


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_column_is_documented(schema: Schema) -> None:
    names = [column.name for column in schema.columns]
    assert len(set(names)) == len(names)
    assert set(schema.key) <= set(names)
    for column in schema.columns:
        assert len(column.meaning) >= 3, column.name
        assert column.type in {*TYPES, "name"}
        if column.name.endswith("_day") or column.name == "day":
            assert column.unit == "study day"
        if column.name.endswith("_days"):
            assert column.unit == "days"


@pytest.mark.parametrize("name", TABLES)
def test_nulls_stand_only_where_the_schema_says_so(tables: dict[str, pa.Table], name: str) -> None:
    """Whole numbers and names: no -1 is left, and a null is announced by the column's meaning."""
    for column in SCHEMAS[name].columns:
        values = tables[name][column.name].combine_chunks()
        announced = "null" in column.meaning or (name == "events" and column.name == "detail")
        if values.null_count:
            assert announced, column.name
        if column.type.startswith("int") and len(values):
            assert pa.compute.min(values).as_py() >= 0, column.name
        if column.type == "name":
            assert "" not in values.dictionary.to_pylist()


def test_nulls_do_occur(tables: dict[str, pa.Table]) -> None:
    """Otherwise the check above could not fail."""
    for name, columns in {
        "participants": [
            "coach",
            "asked_day",
            "offered_day",
            "first_session_day",
            "discontinued_day",
            "withdrawn_day",
            "died_day",
        ],
        "sessions": ["coach", "attended_day"],
        "observations": ["observed_day", "value", "responder", "reason_missing"],
        "events": ["site", "screening_number", "participant", "arm", "detail"],
        "resources": ["coach", "in_use", "waiting"],
    }.items():
        for column in columns:
            values = tables[name][column]
            assert 0 < values.null_count < len(values), (name, column)


def test_names_are_those_of_the_design(tables: dict[str, pa.Table]) -> None:
    names = {
        ("participants", "site"): ["north", "south", "west"],
        ("participants", "arm"): ["coach", "web", "usual", "group"],
        ("participants", "treatment"): [
            "no treatment",
            "declined",
            "stopped waiting",
            "discontinued",
            "completed",
            "left study",
        ],
        ("observations", "visit"): ["m3", "m6", "m12"],
        ("observations", "outcome"): ["pain", "mood"],
        ("observations", "reason_missing"): ["no answer", "withdrew", "died"],
        ("events", "kind"): ORDER_OF_THE_DAY,
        ("sessions", "module"): [f"session {k}" for k in range(1, 9)],
        ("funnel", "step"): ["contacted", "reached", "eligible", "consented"],
    }
    for (name, column), expected in names.items():
        assert tables[name][column].combine_chunks().dictionary.to_pylist() == expected


def test_a_table_that_does_not_exist(block: Block) -> None:
    with pytest.raises(KeyError, match=r"there is no table 'patients'\. Tables: funnel, participants, "):
        table(block, "patients")


@pytest.mark.parametrize("name", TABLES)
def test_some_of_a_blocks_replicates(with_groups: Block, tables: dict[str, pa.Table], name: str) -> None:
    chosen = table(with_groups, name, columns=[2, 0]).to_pandas()
    whole = tables[name].to_pandas()
    expected = pd.concat([whole[whole["replicate"] == 7], whole[whole["replicate"] == 5]], ignore_index=True)
    pd.testing.assert_frame_equal(chosen, expected, check_categorical=False)


def test_a_block_without_participants_has_empty_tables() -> None:
    empty = run(small_trial(funnel={"consented": {"prob": 0.0}}, max_enrolment_days=60), n=2)
    for name in TABLES:
        arrow = table(empty, name)
        assert arrow.schema.names[: len(SCHEMAS[name].columns)] == [column.name for column in SCHEMAS[name].columns]
        assert (arrow.num_rows > 0) == (name in ("funnel", "events"))


@pytest.mark.parametrize("kind", ["simple", "stratified"])
def test_clusters_have_a_table_of_their_own(kind: str) -> None:
    arms = {"coach": 1, "web": 1, "usual": 1}
    allocation = {"kind": "clusters", "ratio": arms} if kind == "stratified" else {"kind": "simple", "ratio": arms}
    plan = {**busy().model_dump(mode="json"), "allocation": allocation}
    clusters = {"per_site": 5, "size_cv": 0.5, "opening_days": 40}
    block = run(type(busy()).model_validate({**plan, "clusters": clusters}), n=3, first=5)
    people, rows = (table(block, name, columns=[2, 0]).to_pandas() for name in ("participants", "clusters"))
    assert rows["replicate"].unique().tolist() == [7, 5]
    np.testing.assert_allclose(rows.groupby(["replicate", "site"], observed=True)["expected_share"].sum(), 1)
    n = people.groupby(["replicate", "cluster"], observed=False).size()
    for row in rows.itertuples():
        assert n[row.replicate, row.cluster] == row.n_participants
    assert rows["n_participants"].sum() == len(people)
    assert (people["cluster"].astype(str).str.rsplit("-", n=1).str[0] == people["site"].astype(str)).all()
    merged = people.merge(rows, on=["replicate", "cluster"])
    assert (merged["randomized_day"] >= merged["opens_day"]).all()
    if kind == "simple":
        assert rows["arm"].isna().all()
    else:
        assert (merged["arm_x"].astype(str) == merged["arm_y"].astype(str)).all()


# --- Arrow columns ----------------------------------------------------------------------------------------------------


def arrow_of(column: Column, values: object) -> pa.ChunkedArray:
    return to_arrow(Schema("test", (column.name,), (column,)), {column.name: values})[column.name]  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (Column("coach", "int16", "coach; null without one"), np.array([0, -1, 3]), [0, None, 3]),
        (Column("change", "int16", "change in steps"), np.array([0, -1, 3]), [0, -1, 3]),
        (Column("value", "float64", "value; null if missing"), np.array([-1.0, 2.5]), [-1.0, 2.5]),
        (Column("significant", "bool", "whether"), np.array([1.0, 0.0, np.nan]), [True, False, None]),
        (Column("converged", "bool", "whether"), np.array([True, False]), [True, False]),
        (Column("arm", "name", "arm"), (np.array([1, -1, 0]), ["coach", "usual"]), ["usual", None, "coach"]),
        (Column("detail", "name", "text"), (np.array([199, 0]), [f"n{k}" for k in range(200)]), ["n199", "n0"]),
    ],
    ids=[
        "a number that may be null",
        "a number that may not",
        "a value",
        "yes, no or neither",
        "a flag",
        "names",
        "many names",
    ],
)
def test_minus_one_is_null_where_a_column_may_be_null(column: Column, values: object, expected: list[object]) -> None:
    assert arrow_of(column, values).to_pylist() == expected


def test_codes_of_names() -> None:
    codes, names = coded(["b", None, "a", "b"], repeat=2)
    assert codes.tolist() == [0, -1, 1, 0] * 2
    assert names == ["b", "a"]


# --- participants, sessions, observations -----------------------------------------------------------------------------


def test_days_of_a_participant_are_in_order(frames: Frames) -> None:
    people = frames["participants"]
    for earlier, later in (
        ("consent_day", "randomized_day"), ("randomized_day", "asked_day"), ("asked_day", "offered_day"),
        ("offered_day", "first_session_day"), ("randomized_day", "discontinued_day"), ("randomized_day", "withdrawn_day"),
    ):  # fmt: skip
        both = people[[earlier, later]].dropna()
        assert len(both) > 3
        assert (both[earlier] <= both[later]).all(), (earlier, later)
    assert people["participant"].tolist() == list(range(len(people)))
    assert people["randomized_day"].is_monotonic_increasing
    assert not people[["site", "screening_number"]].duplicated().any()
    assert (people["discontinued_day"].notna() == (people["treatment"] == "discontinued")).all()
    assert (people["arm"] == "usual").equals(people["treatment"] == "no treatment")
    assert people[["withdrawn_day", "died_day"]].notna().all(axis=1).sum() == 0


def test_sessions_are_those_of_participants(frames: Frames) -> None:
    sessions, people = frames["sessions"], frames["participants"].set_index("participant")
    held = sessions.dropna(subset="attended_day").groupby("participant")
    assert held.size().reindex(people.index, fill_value=0).equals(people["n_sessions"].astype("int64"))
    pd.testing.assert_series_equal(
        held["attended_day"].min().reindex(people.index),
        people["first_session_day"],
        check_names=False,
        check_dtype=False,
    )
    assert (sessions["module"].astype(str) == "session " + (sessions["session"] + 1).astype(str)).all()
    assert (sessions["attended_day"].dropna() >= sessions.loc[sessions["attended_day"].notna(), "scheduled_day"]).all()
    of_people = people.loc[sessions["participant"]]
    assert (sessions["arm"].astype(str).to_numpy() == of_people["arm"].astype(str).to_numpy()).all()
    assert (sessions["coach"].fillna(-1).to_numpy() == of_people["coach"].fillna(-1).to_numpy()).all()


def test_observations_are_answered_or_missing_for_a_reason(frames: Frames) -> None:
    seen, people = frames["observations"], frames["participants"].set_index("participant")
    assert len(seen) == len(people) * 3 * 2
    answered = seen["value"].notna()
    for column in ("observed_day", "responder"):
        assert seen[column].notna().equals(answered)
    assert seen["reason_missing"].isna().equals(answered)
    due = people["randomized_day"].loc[seen["participant"]].to_numpy() + seen["visit"].map(
        {"m3": 91, "m6": 183, "m12": 365}
    ).astype(int)
    assert (seen["due_day"] == due).all()
    late = (seen["observed_day"] - seen["due_day"]).dropna()
    assert late.between(-7, 60).all()
    for reason, column in (("withdrew", "withdrawn_day"), ("died", "died_day")):
        gone = seen[seen["reason_missing"] == reason]
        assert len(gone) > 0
        assert people.loc[gone["participant"], column].notna().all()


def test_a_responder_has_fallen_by_three_tenths(frames: Frames) -> None:
    seen, people = frames["observations"].dropna(subset="value"), frames["participants"].set_index("participant")
    for outcome in ("pain", "mood"):
        mine = seen[seen["outcome"] == outcome]
        baseline = people[f"baseline_{outcome}"].loc[mine["participant"]].to_numpy()
        assert mine["responder"].astype(bool).tolist() == (mine["value"].to_numpy() <= 0.7 * baseline + 1e-9).tolist()
        assert 0 < mine["responder"].astype(bool).sum() < len(mine)


def test_what_was_observed_is_the_truth_under_the_arm_given(frames: Frames) -> None:
    keys = ["participant", "arm", "visit", "outcome"]
    text = {"arm": str, "visit": str, "outcome": str}
    seen = frames["observations"].dropna(subset="value").astype(text)
    both = seen.merge(frames["truth"].astype(text), on=keys, suffixes=("", "_true"))
    assert len(both) == len(seen)
    assert both["value"].equals(both["value_true"])
    assert (both["responder"].astype(bool) == both["responder_true"]).all()


def test_the_truth_has_everybody_under_every_arm(frames: Frames) -> None:
    truth = frames["truth"]
    assert len(truth) == len(frames["participants"]) * 3 * 3 * 2
    assert truth.notna().all().all()
    assert (truth[truth["arm"] == "usual"]["sessions"] == 0).all()
    assert truth.groupby("participant")["motivation"].nunique().max() == 1
    assert truth.groupby(["participant", "outcome"], observed=True)["latent_level"].nunique().max() == 1


# --- funnel -----------------------------------------------------------------------------------------------------------


def test_the_funnel_loses_nobody(frames: Frames, block: Block) -> None:
    funnel = frames["funnel"]
    people = frames["participants"]["site"].astype(str).value_counts()
    for site, rows in funnel.astype({"site": str, "step": str, "reason": str}).groupby("site"):
        passed = rows[rows["reason"] == "passed"].set_index("step")["n"]
        before = passed["contacted"]
        for step in ("reached", "eligible", "consented"):
            assert rows.loc[rows["step"] == step, "n"].sum() == before
            before = passed[step]
        assert before == people[site]
    whole = funnel.groupby(["step", "reason"], observed=True)["n"].sum()
    assert {(step, reason): int(n[1]) for step, reason, n in funnel_counts(block)} == whole.to_dict()


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_are_in_the_order_of_the_day(frames: Frames) -> None:
    events = frames["events"]
    assert events["sequence"].tolist() == list(range(len(events)))
    rank = events["kind"].map({kind: k for k, kind in enumerate(ORDER_OF_THE_DAY)}).astype(int)
    keys = list(zip(events["day"], rank, events["site"].cat.codes, events["screening_number"].fillna(-1), strict=True))
    assert keys == sorted(keys)
    assert events["day"].nunique() > 100


def test_every_kind_of_event_happens_in_some_trial(tables: dict[str, pa.Table]) -> None:
    assert set(tables["events"]["kind"].to_pylist()) == set(ORDER_OF_THE_DAY)


def test_events_are_those_of_the_other_tables(frames: Frames) -> None:
    n = Counter(frames["events"]["kind"])
    people, sessions, seen = frames["participants"], frames["sessions"], frames["observations"]
    answers = seen[seen["outcome"] == "pain"]
    funnel = frames["funnel"].groupby(["step", "reason"], observed=True)["n"].sum()
    assert n["randomized"] == len(people)
    assert n["enrolment closed"] == 1
    assert n["session"] == sessions["attended_day"].count()
    assert n["answered"] == answers["value"].count()
    assert n["reminded"] == answers["n_reminders"].sum()
    assert n["asked for treatment"] == people["asked_day"].count()
    assert n["coach assigned"] == people["offered_day"].count()
    assert n["called"] == people["n_calls"].sum()
    assert n["withdrew"] == people["withdrawn_day"].count()
    assert n["died"] == people["died_day"].count()
    for how in ("declined", "stopped waiting", "discontinued", "completed"):
        assert n[how] == (people["treatment"] == how).sum()
    for kind in ("window opened", "window closed"):
        assert 0 < n[kind] <= len(answers)
    assert n["passed"] == funnel["reached", "passed"] + funnel["eligible", "passed"]
    late_losses = [
        funnel[step, reason]
        for step, reason in funnel.index
        if step != "reached" and reason not in ("passed", "in process")
    ]
    assert n["lost"] == sum(late_losses)


def test_events_say_their_detail_in_words(frames: Frames) -> None:
    events = frames["events"].astype({"kind": str, "detail": object})
    details = {kind: set(rows["detail"].dropna()) for kind, rows in events.groupby("kind")}
    assert details["passed"] == {"reached", "eligible"}
    assert details["lost"] <= {
        "eligible: too little pain", "eligible: other", "consented: declined", "consented: too busy",
    }  # fmt: skip
    assert details["session"] <= {f"session {k}" for k in range(1, 9)}
    assert details["answered"] <= {"m3", "m6", "m12"}
    assert details["coach assigned"] <= {"coach 0", "coach 1", "coach 2"}
    assert details["randomized"] == details["completed"] == details["died"] == set()
    stopped = events[events["kind"] == "discontinued"].set_index("participant")["detail"]
    sessions = frames["participants"].set_index("participant")["n_sessions"]
    assert all(text == f"after {sessions[participant]} sessions" for participant, text in stopped.items())


# --- resources --------------------------------------------------------------------------------------------------------


def test_resources_are_a_recount_of_who_has_a_coach(frames: Frames) -> None:
    """A place is held from the day a coach is given to the day treatment ends, that day included."""
    events, people, resources = frames["events"], frames["participants"], frames["resources"]
    ends = events[events["kind"].isin(ENDS)].groupby("participant")["day"].min()
    served = people.dropna(subset="offered_day").set_index("participant")
    until = ends.reindex(served.index)
    in_use = resources.dropna(subset="coach")
    assert len(in_use) > 300
    for row in in_use.itertuples():
        held = (served["coach"] == row.coach) & (served["offered_day"] <= row.day) & (until >= row.day)
        assert row.in_use == held.sum()
    assert in_use["in_use"].max() == 4


def test_the_waiting_row_is_a_recount_of_who_asked_and_has_no_coach(frames: Frames) -> None:
    events, people, resources = frames["events"], frames["participants"].set_index("participant"), frames["resources"]
    asked = people.dropna(subset="asked_day")
    left = (
        events[events["kind"].isin({"coach assigned", "stopped waiting", "withdrew", "died"})]
        .groupby("participant")["day"]
        .min()
    )
    left = left.reindex(asked.index)
    waiting = resources[resources["coach"].isna()].set_index("day")["waiting"]
    recount = {day: int(((asked["asked_day"] <= day) & (left > day)).sum()) for day in waiting.index}
    assert waiting.to_dict() == recount
    assert max(recount.values()) > 3


def test_resources_cover_every_day_from_the_first_request_to_the_last_release(frames: Frames) -> None:
    resources, people = frames["resources"], frames["participants"]
    days = sorted(resources["day"].unique())
    assert days == list(range(int(people["asked_day"].min()), days[-1] + 1))
    assert resources.groupby("day").size().unique().tolist() == [1 + 3]
    last = resources[resources["day"] == days[-1]]
    assert last["in_use"].sum() + last["waiting"].sum() > 0


# --- groups -----------------------------------------------------------------------------------------------------------


def test_sessions_of_a_group_are_led_by_the_teams_in_turn(with_groups: Block) -> None:
    sessions = table(with_groups, "sessions").to_pandas()
    own = table(with_groups, "participants").to_pandas()[["replicate", "participant", "coach"]]
    mine = sessions[sessions["arm"] == "group"].merge(own, on=["replicate", "participant"], suffixes=("", "_own"))
    assert (mine["coach"] == (mine["coach_own"] + mine["session"]) % 2).all()
    assert set(mine["coach"]) == {0, 1}
    per_meeting = mine.groupby(["replicate", "group", "session"])[["coach", "scheduled_day"]].nunique()
    assert (per_meeting == 1).all(axis=None)


def test_components_are_attended_at_sessions_attended(with_groups: Block) -> None:
    parts, sessions = (table(with_groups, name).to_pandas() for name in ("components", "sessions"))
    held = sessions[(sessions["arm"] == "group") & sessions["attended_day"].notna()]
    keys = ["replicate", "participant"]
    for name, numbers, prob in (("talk", range(4), 1.0), ("walk", (1, 2), 0.6)):
        mine = parts[parts["component"] == name].set_index(keys)
        times = held[held["session"].isin(numbers)].groupby(keys).size().reindex(mine.index, fill_value=0)
        assert (mine["planned"] == len(numbers)).all()
        assert (mine["attended"] <= times).all()
        assert ((mine["attended"] == times).all()) == (prob == 1.0)
    everyone = table(with_groups, "participants").to_pandas()
    assert len(parts) == 2 * everyone["group"].notna().sum()


def test_observations_from_records_say_when_and_why_not() -> None:
    """Recounted from the study days of leaving; questionnaires stay as they were answered."""
    block = run(kinds(arms={"coach": {"withdrawal_prob": 0.9}}), n=2)
    people = table(block, "participants").to_pandas().set_index(["replicate", "participant"])
    rows = (
        table(block, "observations")
        .to_pandas()
        .set_index(["replicate", "participant"])
        .join(people[["withdrawn_day", "died_day"]])
    )
    left = rows[["withdrawn_day", "died_day"]].min(axis=1).fillna(10_000)
    known = left > rows["due_day"]
    reason = pd.Series(np.where(rows["died_day"].notna(), "died", "withdrew"), index=rows.index)
    records = rows["outcome"].isin(["visits", "admission", "opioids"])
    assert (rows["value"].notna() == known)[records].all()
    assert (rows["observed_day"] == rows["due_day"])[records & known].all()
    assert rows["observed_day"][records & ~known].isna().all()
    assert (rows["reason_missing"].astype(str) == reason)[records & ~known].all()
    assert rows["reason_missing"][records & known].isna().all()
    assert (rows["value"].notna() == rows["observed_day"].notna()).all()
    assert set(rows["reason_missing"].dropna()) == {"no answer", "withdrew", "died"}


def test_participants_have_their_times_to_events() -> None:
    block = run(kinds(), n=2)
    people = table(block, "participants").to_pandas()
    for name in ("return", "admission"):
        flat = (block.observed.event_time[name], block.observed.event[name])
        for column, values in zip((f"time_{name}", f"event_{name}"), flat, strict=True):
            assert np.array_equal(people[column], values.ravel()), column
        assert 0.1 < people[f"event_{name}"].mean() < 0.9
