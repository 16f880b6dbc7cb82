"""`trialsim run`: what is printed, what is kept, and that both are the same however they were made."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from designs import design, online
from helpers import agrees, se_of_mean
from outside import Shell, Terminal, cells, data, everything_in, files_of, measures_of, place_of, section, titles

import trialsim
from trialsim.design.reader import digest, read_design, resolved_yaml
from trialsim.tables import SCHEMAS

SECTIONS = [
    "A small trial of three arms",
    "Calendar",
    "Enrolment (CONSORT)",
    "Arms (CONSORT)",
    "Attendance",
    "Staff",
    "Outcomes, as observed",
    "Analysis: responders",
    "Analysis: change",
    "Cost (USD)",
]
OF_PARTICIPANTS = ["events", "funnel", "observations", "participants", "resources", "sessions", "truth"]
ARMS = ["coach", "web", "usual"]
TYPES = {
    "int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "float64": pa.float64(), "bool": pa.bool_(),
    "string": pa.string(),
}  # fmt: skip

Run = tuple[Path, str]


def rows(text: str) -> list[list[str]]:
    """The cells of every line; cells are two spaces apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


# --- one trial: what is printed ---------------------------------------------------------------------------------------


def test_one_trial_prints_every_section(one_trial: Run) -> None:
    folder, text = one_trial
    assert titles(text) == SECTIONS
    assert "\nSimulated replicate 0, seed 5, process engine.\n" in text
    assert text.endswith(f"\nResults: {folder}\n")
    assert "±" not in text


def test_the_summary_is_kept_as_it_was_printed(one_trial: Run, forty_trials: Run) -> None:
    for folder, text in (one_trial, forty_trials):
        assert (folder / "summary.txt").read_text("utf-8") + f"\nResults: {folder}\n" == text


def test_the_calendar_printed_is_that_of_the_participants(one_trial: Run) -> None:
    folder, text = one_trial
    randomized = data(folder, "participants")["randomized_day"]
    calendar, start = section(text, "Calendar"), pd.Timestamp("2024-02-05")
    for name, day in {"First participant": randomized.min(), "Last participant": randomized.max()}.items():
        date = start + pd.Timedelta(days=int(day))
        assert cells(calendar, name) == [f"{date.day} {date.month_name()} {date.year}"]
    assert cells(calendar, "Enrolment opens") == ["5 February 2024"]
    assert cells(calendar, "Enrolment closes") == cells(calendar, "Last participant")
    assert cells(calendar, "Months of enrolment") == [f"{(randomized.max() + 1) / 30.4375:.1f}"]


def test_the_consort_counts_printed_are_those_of_the_funnel(one_trial: Run) -> None:
    folder, text = one_trial
    funnel = data(folder, "funnel").groupby(["step", "reason"], observed=True, sort=False)["n"].sum()
    names = {"in process": "in process at closing"}
    expected = [
        [step if reason == "passed" else names.get(reason, reason), str(n)] for (step, reason), n in funnel.items()
    ]
    printed = rows(section(text, "Enrolment (CONSORT)"))
    assert printed[2 : 2 + len(expected)] == expected
    assert printed[2 + len(expected) :] == [
        ["randomized", "90"],
        [],
        [f"Target 90. {funnel['contacted', 'passed'] / 90:.1f} people contacted for each participant."],
    ]


def test_arms_and_attendance_printed_are_those_of_the_participants(one_trial: Run) -> None:
    folder, text = one_trial
    people = data(folder, "participants")
    arms, attendance = section(text, "Arms (CONSORT)"), section(text, "Attendance")
    by_arm = people.groupby("arm", observed=True)
    assert cells(arms, "randomized") == [str(by_arm.size()[arm]) for arm in ARMS]
    for how in ("declined", "stopped waiting", "discontinued", "completed", "left study"):
        n = (people["treatment"] == how).groupby(people["arm"], observed=True).sum()
        assert cells(arms, f"treatment: {how}") == [str(n[arm]) for arm in ARMS[:2]]
    assert cells(arms, "withdrew from the study") == [str(by_arm["withdrawn_day"].count()[arm]) for arm in ARMS]
    assert cells(arms, "died") == [str(by_arm["died_day"].count()[arm]) for arm in ARMS]
    seen = data(folder, "observations").groupby(["visit", "arm"], observed=True)["value"]
    for visit, label in {"m3": "3 months", "m12": "12 months"}.items():
        shares = [seen.count()[visit, arm] / seen.size()[visit, arm] for arm in ARMS]
        assert cells(arms, f"answered {label}, %") == [f"{100 * share:.1f}" for share in shares]
    for k in (1, 2, 3, 4):
        share = 100 * (people["n_sessions"] >= k).groupby(people["arm"], observed=True).mean()
        name = f"{k} session or more, %" if k == 1 else f"{k} sessions or more, %"
        assert cells(attendance, name) == [f"{share[arm]:.1f}" for arm in ARMS[:2]]


def test_staff_printed_are_those_of_the_sessions(one_trial: Run) -> None:
    folder, text = one_trial
    staff, sessions, people = section(text, "Staff"), data(folder, "sessions"), data(folder, "participants")
    held = int((sessions["arm"].eq("coach") & sessions["attended_day"].notna()).sum())
    loads = people["coach"].value_counts()
    wait = (people["offered_day"] - people["asked_day"]).dropna()
    assert held > 50
    assert cells(staff, "coaches") == ["2"]
    assert cells(staff, "sessions held") == [str(held)]
    assert cells(staff, "hours of sessions") == [f"{held * 50 / 60:.0f}"]
    assert cells(staff, "largest") == [f"{loads.max():.1f}"]
    assert cells(staff, "smallest") == [f"{loads.min():.1f}"]
    assert cells(staff, "wait for a coach, mean days") == [f"{wait.mean():.1f}"]
    assert cells(staff, "longest wait, days") == [f"{wait.max():.1f}"]


def test_outcomes_printed_are_those_of_the_observations(one_trial: Run) -> None:
    folder, text = one_trial
    seen, people = data(folder, "observations").dropna(subset="value"), data(folder, "participants")
    change = seen["value"] - seen["participant"].map(people.set_index("participant")["baseline_pain"])
    groups = [seen["visit"], seen["arm"]]
    mean, sd, n = (getattr(change.groupby(groups, observed=True), what)() for what in ("mean", "std", "count"))
    responders = 100 * seen["responder"].astype(float).groupby(groups, observed=True).mean()
    outcomes = section(text, "Outcomes, as observed")
    for k, (visit, label) in enumerate({"m3": "3 months", "m12": "12 months"}.items()):
        assert cells(outcomes, f"{label}: observed") == [str(n[visit, arm]) for arm in ARMS]
        assert cells(outcomes, "mean change", nth=k) == [f"{mean[visit, arm]:.2f}" for arm in ARMS]
        assert cells(outcomes, "SD of change", nth=k) == [f"{sd[visit, arm]:.2f}" for arm in ARMS]
        assert cells(outcomes, "responders, %", nth=k) == [f"{responders[visit, arm]:.1f}" for arm in ARMS]


def test_the_analysis_printed_is_that_of_the_estimates(one_trial: Run) -> None:
    folder, text = one_trial
    found = data(folder, "estimates").set_index(["analysis", "contrast", "visit", "measure"])
    printed = section(text, "Analysis: responders")
    ratio = found.loc["responders", "coach - usual", "m3", "risk ratio"]
    cell = f"{ratio['estimate']:.2f} ({ratio['ci_low']:.2f} to {ratio['ci_high']:.2f})"
    line = next(row for row in rows(printed) if row[:2] == ["3 months", "coach - usual"])
    assert line[2] == cell
    assert line[4] == ("<0.001" if ratio["p_value"] < 0.001 else f"{ratio['p_value']:.3f}")
    assert line[5] == ("different" if ratio["significant"] else "not shown to differ")
    assert "robust variance clustered on coaches (a participant" in " ".join(printed.split())
    assert [
        row[1] for row in rows(section(text, "Analysis: change")) if row[:1] == ["3 months"] and "- usual" in row[1]
    ] == [
        "coach - usual",
        "web - usual",
    ]


def test_the_cost_printed_adds_up(one_trial: Run) -> None:
    cost = section(one_trial[1], "Cost (USD)")
    items = ["letters", "screening", "coaches", "calls", "reminders", "assessments", "materials", "sites"]
    amounts = [int(cells(cost, item)[0].replace(",", "")) for item in items]
    total = int(cells(cost, "total")[0].replace(",", ""))
    assert total > 10_000
    assert abs(sum(amounts) - total) <= len(items) / 2


# --- one trial: what is kept ------------------------------------------------------------------------------------------


def test_one_trial_keeps_all_its_tables(one_trial: Run) -> None:
    folder, _ = one_trial
    assert sorted(files_of(folder)) == sorted(
        ["design.yaml", "manifest.json", "summary.txt"]
        + [f"data/{name}/from-0000000.parquet" for name in OF_PARTICIPANTS]
        + [f"data/{name}.parquet" for name in ("estimates", "measures", "replicates")]
    )


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name not in ("performance", "clusters", "components")])
def test_tables_of_one_trial_have_their_schema(one_trial: Run, name: str) -> None:
    table = pq.read_table(place_of(one_trial[0], name))
    extra = {"participants": ["female", "age", "baseline_pain"]}
    check_schema(table, name, extra.get(name, []))


def test_the_table_of_performance_has_its_schema(forty_trials: Run) -> None:
    check_schema(pq.read_table(place_of(forty_trials[0], "performance")), "performance", [])


def check_schema(table: pa.Table, name: str, extra: list[str]) -> None:
    schema = SCHEMAS[name]
    assert table.num_rows > 0
    assert table.schema.names == [column.name for column in schema.columns] + extra
    assert table.schema.metadata[b"table"] == name.encode()
    assert table.schema.metadata[b"key"] == " ".join(schema.key).encode()
    assert table.schema.metadata[b"schema_version"] == b"3"
    for column in schema.columns:
        field = table.schema.field(column.name)
        assert field.metadata[b"meaning"] == column.meaning.encode()
        assert field.metadata[b"unit"] == column.unit.encode()
        if column.type == "name":
            assert pa.types.is_dictionary(field.type)
            assert field.type.value_type == pa.string()
        else:
            assert field.type == TYPES[column.type]
    assert all(table.schema.field(column).type == pa.float64() for column in extra)
    assert not table.select(list(schema.key)).to_pandas().duplicated().any()


def test_the_design_kept_reads_back_to_the_same_design(one_trial: Run, small: Path) -> None:
    folder, _ = one_trial
    kept, given = read_design(folder / "design.yaml"), read_design(small)
    assert kept == given
    assert json.loads((folder / "manifest.json").read_text())["key"]["design"] == digest(kept) == digest(given)


def test_a_real_process_prints_and_keeps_the_same_and_says_how(
    shell: Shell, one_trial: Run, small: Path, here: Path
) -> None:
    done = shell("run", small, "--seed", 5, "--out", "kept it", "--set", "sample_size=90")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:-1] == one_trial[1].splitlines()[:-1]
    assert files_that_differ(one_trial[0], here / "kept it") == []
    manifest = json.loads((here / "kept it/manifest.json").read_text())
    assert manifest["command"] == f"trialsim run {small} --seed 5 --out 'kept it' --set sample_size=90"
    assert manifest["key"] == {
        "design": digest(read_design(small)),
        "seed": "5",
        "first": 0,
        "replicates": 1,
        "engine": "process",
        "model": trialsim.__version__,
        "block": 16,
    }
    versions = {"trialsim": trialsim.__version__, "schema": "3", "python": platform.python_version()}
    assert manifest["versions"] == versions | {"numpy": np.__version__, "pyarrow": pa.__version__}
    assert 0 < manifest["seconds"] < 60
    files = {name: hashlib.sha256(content).hexdigest() for name, content in files_of(here / "kept it").items()}
    assert manifest["files"] == {name: sha for name, sha in files.items() if name != "manifest.json"}


def test_the_default_folder_is_named_after_design_day_and_run(terminal: Terminal, small: Path, here: Path) -> None:
    result = terminal("run", small, "--set", "sample_size=20")
    assert result.exit_code == 0
    (folder,) = list((here / "results").iterdir())
    name, date, run = folder.name.split("-", 1)[0], folder.name[12:22], folder.name[23:]
    assert name == "small_trial"
    assert pd.Timestamp(date) <= pd.Timestamp.now()
    assert len(run) == 12
    assert result.stdout.endswith(f"\nResults: results/{folder.name}\n")


# --- the same again, another engine, other workers, other numbers -----------------------------------------------------


def files_that_differ(one: Path, other: Path) -> list[str]:
    """Files of two runs whose bytes differ, but for the manifest (it has the time)."""
    first, second = files_of(one), files_of(other)
    assert list(first) == list(second)
    return [name for name in first if name != "manifest.json" and first[name] != second[name]]


def test_the_same_again_gives_the_same_bytes(one_trial: Run, terminal: Terminal, small: Path, here: Path) -> None:
    terminal("run", small, "--seed", 5, "--out", "again")
    assert files_that_differ(one_trial[0], here / "again") == []


def test_another_seed_gives_another_trial(one_trial: Run, terminal: Terminal, small: Path, here: Path) -> None:
    terminal("run", small, "--seed", 6, "--out", "other")
    assert {"data/participants/from-0000000.parquet", "summary.txt"} <= set(
        files_that_differ(one_trial[0], here / "other")
    )


def test_a_run_takes_the_place_of_the_same_run(terminal: Terminal, small: Path, here: Path) -> None:
    for _ in range(2):
        result = terminal("run", small, "--set", "sample_size=20", "--out", "kept")
        assert result.exit_code == 0
    assert everything_in(here)[:2] == ["kept", "kept/data"]
    assert [name for name in everything_in(here) if name.startswith(".")] == []


def test_both_engines_give_equal_tables(one_trial: Run, terminal: Terminal, small: Path, here: Path) -> None:
    result = terminal("run", small, "--seed", 5, "--engine", "vector", "--out", "vector")
    assert "\nSimulated replicate 0, seed 5, vector engine.\n" in result.stdout
    assert files_that_differ(one_trial[0], here / "vector") == ["summary.txt"]


def test_two_workers_give_the_same_bytes_as_one(shell: Shell, small: Path, here: Path) -> None:
    for workers in (1, 2):
        done = shell("run", small, "--replicates", 500, "--workers", workers, "--out", f"by-{workers}")
        assert (done.returncode, done.stderr) == (0, "")
    assert files_that_differ(here / "by-1", here / "by-2") == []
    assert len(data(here / "by-2", "replicates")) == 500


def test_a_replicate_is_the_same_alone_and_among_others(
    forty_trials: Run, terminal: Terminal, small: Path, here: Path
) -> None:
    result = terminal("run", small, "--seed", 5, "--first", 23, "--out", "alone")
    assert "\nSimulated replicate 23, seed 5, process engine.\n" in result.stdout
    alone, among = data(here / "alone", "replicates"), data(forty_trials[0], "replicates")
    assert alone["replicate"].tolist() == [23]
    assert alone["digest"].tolist() == among["digest"][among["replicate"] == 23].tolist()
    assert among["digest"].nunique() == 40
    measured, before = measures_of(here / "alone"), measures_of(forty_trials[0])
    pd.testing.assert_frame_equal(measured, before[before["replicate"] == 23].reset_index(drop=True))


def test_replicates_from_a_later_number_on(forty_trials: Run, terminal: Terminal, small: Path, here: Path) -> None:
    result = terminal("run", small, "--seed", 5, "--first", 10, "--replicates", 30, "--out", "later")
    assert "Simulated replicates 10 to 39, seed 5" in result.stdout
    later, all_of_them = data(here / "later", "estimates"), data(forty_trials[0], "estimates")
    rest = all_of_them[all_of_them["replicate"] >= 10].reset_index(drop=True)
    pd.testing.assert_frame_equal(later, rest, check_categorical=False)


# --- many trials ------------------------------------------------------------------------------------------------------


def test_many_trials_print_every_section_with_errors(forty_trials: Run) -> None:
    folder, text = forty_trials
    assert titles(text) == SECTIONS
    assert (
        "\nSimulated replicates 0 to 39, seed 5, vector engine. Values are means over replicates ± Monte Carlo" in text
    )
    measures = measures_of(folder)
    arms = section(text, "Arms (CONSORT)")
    for arm, cell in zip(ARMS, cells(arms, "answered 3 months, %"), strict=True):
        values = measures[f"observed/{arm}/m3"]
        assert cell == f"{values.mean():.1f} ± {values.std() / np.sqrt(40):.1f}"
    months = measures["calendar/enrolment_months"]
    error = f"{months.std() / np.sqrt(40):.1g}"
    assert cells(section(text, "Calendar"), "Months of enrolment") == [f"{months.mean():.1f} ± {error}"]


def test_power_bias_and_coverage_are_those_of_the_estimates(forty_trials: Run) -> None:
    folder, text = forty_trials
    found = data(folder, "estimates")
    mine = found[(found["analysis"] == "change") & (found["contrast"] == "coach - usual") & (found["visit"] == "m3")]
    kept = data(folder, "performance")
    kept = kept[(kept["analysis"] == "change") & (kept["contrast"] == "coach - usual") & (kept["visit"] == "m3")]
    kept = kept.set_index("statistic")
    truth, own = kept.loc["truth", "value"], mine["truth"]
    assert agrees(truth, own.mean(), np.hypot(se_of_mean(own), kept.loc["truth", "mcse"]))
    assert 0 < kept.loc["truth", "mcse"] < se_of_mean(own) / 3  # rests on 200,000 participants, not on 3,600
    expected = {
        "power": mine["significant"].astype(float).mean(),
        "bias": mine["estimate"].mean() - truth,
        "coverage": ((mine["ci_low"] <= truth) & (truth <= mine["ci_high"])).mean(),
        "mean estimate": mine["estimate"].mean(),
        "truth": truth,
        "empirical SE": mine["estimate"].std(),
        "model SE": np.sqrt((mine["std_error"] ** 2).mean()),
        "MSE": ((mine["estimate"] - truth) ** 2).mean(),
    }
    assert {name: kept.loc[name, "value"] for name in expected} == pytest.approx(expected)
    line = next(
        row
        for row in rows(section(text, "Analysis: change"))
        if row[:3] == ["3 months", "coach - usual", "mean difference"]
    )
    assert [cell.split(" ± ")[0] for cell in line[3:]] == [
        *(
            f"{expected[name]:.3f}"
            for name in ("mean estimate", "truth", "bias", "empirical SE", "model SE", "coverage", "power")
        ),
        "0.0",
    ]


def test_many_trials_keep_no_participants_unless_asked(
    forty_trials: Run, terminal: Terminal, small: Path, here: Path
) -> None:
    names = ["estimates", "measures", "performance", "replicates"]
    assert sorted(p.name for p in (forty_trials[0] / "data").iterdir()) == [f"{name}.parquet" for name in names]
    terminal("run", small, "--seed", 5, "--replicates", 3, "--keep-participants", "--out", "kept")
    assert sorted(p.name for p in (here / "kept/data").iterdir() if p.is_dir()) == OF_PARTICIPANTS
    people = data(here / "kept", "participants")
    assert people.groupby("replicate").size().to_dict() == {0: 90, 1: 90, 2: 90}
    measured = measures_of(here / "kept").set_index("replicate")
    share = 100 * (people[people["arm"] == "web"].groupby("replicate")["n_sessions"].agg(lambda n: (n >= 1).mean()))
    assert share.to_dict() == pytest.approx(measured["treatment/web/started"].to_dict())


def test_participants_of_many_are_those_of_one(one_trial: Run, terminal: Terminal, small: Path, here: Path) -> None:
    terminal("run", small, "--seed", 5, "--replicates", 3, "--keep-participants", "--out", "kept")
    for name in OF_PARTICIPANTS:
        many, one = data(here / "kept", name), data(one_trial[0], name)
        first = many[many["replicate"] == 0].reset_index(drop=True)
        pd.testing.assert_frame_equal(first, one, check_categorical=False, check_dtype=False)


# --- JSON -------------------------------------------------------------------------------------------------------------


def strictly(text: str) -> Any:
    """JSON as other programs read it, without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_of_one_trial_has_the_numbers_of_its_tables(
    one_trial: Run, terminal: Terminal, small: Path, here: Path
) -> None:
    result = terminal("run", small, "--seed", 5, "--json", "--out", "kept")
    told = strictly(result.stdout)
    assert result.stderr == ""
    assert (told["design"], told["seed"], told["engine"], told["replicates"]) == ("small_trial", 5, "process", 1)
    assert told["failures"] == []
    assert told["results"] == "kept"
    measures = measures_of(one_trial[0]).drop(columns="replicate").iloc[0]
    assert {name: entry["value"] for name, entry in told["measures"].items()} == pytest.approx(
        {name: None if np.isnan(value) else value for name, value in measures.items()}
    )
    estimates = data(one_trial[0], "estimates")
    assert [row["contrast"] for row in told["estimates"]] == estimates["contrast"].tolist()
    for name in ("estimate", "std_error", "ci_low", "ci_high", "p_value", "truth", "n_used"):
        values = [row[name] for row in told["estimates"]]
        assert values == [None if not np.isfinite(x) else x for x in estimates[name]]


def test_json_of_many_trials_has_the_numbers_of_its_tables(
    forty_trials: Run, terminal: Terminal, small: Path, here: Path
) -> None:
    told = strictly(terminal("run", small, "--seed", 5, "--replicates", 40, "--json", "--out", "kept").stdout)
    kept = data(forty_trials[0], "performance")
    assert told["refused"] == {}
    assert [row["statistic"] for row in told["performance"]] == kept["statistic"].tolist()
    assert [row["value"] for row in told["performance"]] == kept["value"].tolist()
    assert [row["mcse"] for row in told["performance"]] == kept["mcse"].tolist()
    measures = measures_of(forty_trials[0])
    of_trial = {row["measure"]: row for row in told["performance"] if row["analysis"] == "trial"}
    assert of_trial["total cost"]["value"] == pytest.approx(measures["cost/total"].mean())
    assert of_trial["coach hours"]["mcse"] == pytest.approx(measures["coaches/coach/hours"].std() / np.sqrt(40))
    started = measures["treatment/coach/started"]
    assert told["measures"]["treatment/coach/started"] == pytest.approx(
        {"value": started.mean(), "mcse": started.std() / np.sqrt(40), "n_replicates": 40}
    )


# --- what can go wrong in a fit, and in a trial -----------------------------------------------------------------------


def test_a_failed_fit_is_told_and_does_not_hide_the_other_analysis(terminal: Terminal, small: Path, here: Path) -> None:
    few = ("--set", "sample_size=24", "--replicates", 20)
    result = terminal("run", small, *few, "--out", "refused")
    failed = data(here / "refused", "estimates").groupby(["analysis", "replicate"], observed=True)["converged"].min()
    n_failed = (~failed["responders"]).sum()
    assert 0 < n_failed < 20
    assert failed["change"].all()
    told = section(result.stdout, "Analysis: responders")
    assert f"{n_failed} of 20 replicates have a fit that failed" in told
    assert "--skip-failed" in told
    assert "power" not in told
    assert "power" in section(result.stdout, "Analysis: change")
    assert set(data(here / "refused", "performance")["analysis"]) == {"change", "trial"}
    refused = strictly(terminal("run", small, *few, "--json", "--out", "refused").stdout)
    assert list(refused["refused"]) == ["responders"]
    assert {row["analysis"] for row in refused["performance"]} == {"change", "trial"}


def test_a_decision_that_failed_fits_leave_open_is_told_and_not_counted(
    terminal: Terminal, small: Path, here: Path
) -> None:
    decided = ("--set", "sample_size=24", "--set", "decisions={primary: {analysis: responders}}", "--replicates", 20)
    told = strictly(terminal("run", small, *decided, "--json", "--out", "refused").stdout)
    assert set(told["refused"]) == {"responders", "decision primary"}
    assert "of 20 replicates a fit that it needs failed" in told["refused"]["decision primary"]
    assert {row["estimand"] for row in told["performance"]} == {"treatment policy", ""}
    kept = strictly(terminal("run", small, *decided, "--json", "--skip-failed", "--out", "kept").stdout)
    assert kept["refused"] == {}
    chances = [row["statistic"] for row in kept["performance"] if row["estimand"] == "decision"]
    assert chances == ["marginal power"] * 3 + ["disjunctive power", "conjunctive power", "success"]
    assert len(data(here / "kept", "performance")) == len(kept["performance"])


def test_with_skip_failed_the_others_are_summarised_and_the_failed_counted(
    terminal: Terminal, small: Path, here: Path
) -> None:
    result = terminal("run", small, "--set", "sample_size=24", "--replicates", 20, "--skip-failed", "--out", "kept")
    found = data(here / "kept", "estimates")
    mine = found[(found["contrast"] == "coach - usual") & (found["visit"] == "m3") & (found["measure"] == "risk ratio")]
    printed = rows(section(result.stdout, "Analysis: responders"))
    line = next(row for row in printed if row[:3] == ["3 months", "coach - usual", "risk ratio"])
    share = (~mine["converged"]).mean()
    assert 0 < share < 1
    assert line[-1] == f"{100 * share:.1f} ± {100 * (share * (1 - share) / 20) ** 0.5:.1f}"
    kept = data(here / "kept", "performance")
    kept = kept[kept["analysis"] == "responders"].set_index(["contrast", "visit", "measure", "statistic"])
    power = kept.loc["coach - usual", "m3", "risk ratio", "power"]
    assert power["n_replicates"] == mine["converged"].sum()
    assert power["value"] == mine["significant"].dropna().astype(float).mean()


def test_a_trial_that_nobody_enters_is_a_result(terminal: Terminal, small: Path, here: Path) -> None:
    nobody = ("--set", "funnel.reached.prob=0")
    result = terminal("run", small, *nobody, "--out", "one")
    assert result.exit_code == 0
    assert cells(section(result.stdout, "Calendar"), "First participant") == ["-"]
    assert cells(section(result.stdout, "Enrolment (CONSORT)"), "randomized") == ["0"]
    assert "The fit failed" in section(result.stdout, "Analysis: responders")
    assert data(here / "one", "participants").empty
    assert data(here / "one", "replicates")["duration_days"].isna().all()
    assert strictly(terminal("run", small, *nobody, "--json", "--out", "one").stdout)["measures"]["randomized/all"] == {
        "value": 0
    }
    assert terminal("run", small, *nobody, "--replicates", 20, "--out", "many").exit_code == 0


def test_a_trial_of_one_arm_compares_nothing(terminal: Terminal, here: Path) -> None:
    alone = design(
        sample_size=20, arms={"web": online(sessions=2)}, analyses={"change": {"kind": "linear", "outcome": "pain"}}
    )
    (here / "alone.yaml").write_text(resolved_yaml(alone))
    for replicates in (1, 20):
        text = terminal("run", "alone.yaml", "--replicates", replicates, "--out", f"by-{replicates}").stdout
        analysis = section(text, "Analysis: change")
        assert cells(analysis, "m3" if replicates == 1 else "visit")[0] != ""
        for word in ("arms differ", "comparison", "different", "Fisher", "power"):
            assert word not in analysis
        assert "Staff" not in titles(text)
        assert "Cost (USD)" not in titles(text)


def test_a_test_that_needs_two_arms_has_nothing_to_say_of_one(terminal: Terminal, here: Path) -> None:
    analyses = {name: {"kind": kind, "outcome": "pain"} for name, kind in (("first", "log_rank"), ("change", "linear"))}
    alone = design(sample_size=20, arms={"web": online(sessions=2)}, analyses=analyses)
    (here / "alone.yaml").write_text(resolved_yaml(alone))
    for replicates in (1, 20):
        text = terminal("run", "alone.yaml", "--replicates", replicates, "--out", f"by-{replicates}").stdout
        assert "failed" not in text
        assert "Analysis: change" in titles(text)
        assert ("Analysis: first" in titles(text)) is (replicates == 1)


def test_set_changes_one_value(one_trial: Run, terminal: Terminal, small: Path, here: Path) -> None:
    result = terminal(
        "run", small, "--seed", 5, "--set", "sample_size=33", "--set", "arms.web.label=Apps", "--out", "kept"
    )
    assert cells(section(result.stdout, "Enrolment (CONSORT)"), "randomized") == ["33"]
    assert "web: Apps." in result.stdout
    kept = read_design(here / "kept/design.yaml")
    assert (kept.sample_size, kept.arms["web"].label) == (33, "Apps")
    first, all_of_them = data(here / "kept", "participants"), data(one_trial[0], "participants")
    assert first["arm"].tolist() == all_of_them["arm"].tolist()[:33]


def test_a_failed_replicate_is_a_row_and_exit_code_1(
    terminal: Terminal, small: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trialsim.experiments import runner

    real = runner.measure

    def measure(block: Any) -> Any:
        if block.first <= 4 < block.first + block.n_replicates:
            raise ZeroDivisionError("coach without hours")
        return real(block)

    monkeypatch.setattr(runner, "measure", measure)
    result = terminal("run", small, "--seed", 5, "--replicates", 12, "--out", "kept")
    assert result.exit_code == 1
    failed = section(result.stdout, "Failed replicates")
    assert failed.startswith("1 replicate failed and is not in the summary.")
    assert rows(failed)[-1] == ["4", "measures", "ZeroDivisionError: coach without hours"]
    kept = data(here / "kept", "replicates").set_index("replicate")
    assert kept.index.tolist() == list(range(12))
    assert kept["status"].tolist() == ["ok"] * 4 + ["failed"] + ["ok"] * 7
    assert kept.loc[4, ["stage", "error"]].tolist() == ["measures", "ZeroDivisionError: coach without hours"]
    assert kept.loc[4, ["n_randomized", "digest"]].isna().all()
    assert kept["error"].notna().sum() == 1
    told = json.loads(terminal("run", small, "--seed", 5, "--replicates", 12, "--json", "--out", "kept").stdout)
    assert told["failures"] == [
        {"replicate": 4, "stage": "measures", "error": "ZeroDivisionError: coach without hours"}
    ]
    assert told["replicates"] == 11
