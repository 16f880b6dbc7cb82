"""Exports: every number in full, names and labels that fit, losses told, all files or none; ADSL and ADQS."""

from __future__ import annotations

import builtins
import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyreadstat
import pytest
from golden.small_trial import small_trial
from pandas.testing import assert_frame_equal
from statsmodels.regression.linear_model import OLS
from sweep_folders import point_of, small_design, sweep_of, write_sweep

from trialsim.block import simulate_block
from trialsim.errors import ResultsError
from trialsim.experiments import store
from trialsim.experiments.runner import run
from trialsim.records import table
from trialsim.sweeps.adam import adam_tables
from trialsim.sweeps.export import export
from trialsim.sweeps.xpt import label_of, refuse_too_large, short_names, write_xpt
from trialsim.world.world import World

SMALL = small_trial(
    sample_size=60,
    analyses={"unadjusted": {"kind": "linear", "outcome": "pain", "contrasts": [["coach", "usual"]]}},
    observation={"death_prob": 0.1},
)
EXACT: dict[str, Any] = {} if int(pd.__version__.split(".")[0]) > 2 else {"float_precision": "round_trip"}
"""For read_csv: later versions of pandas read numbers exactly of themselves."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `trialsim run` with one replicate."""
    place = tmp_path_factory.mktemp("results") / "one"
    place.mkdir()
    experiment = run(SMALL, seed=2, replicates=1, engine="vector", keep=place / "data")
    store.write_experiment(place, experiment, [])
    store.write_manifest(place, SMALL, store.run_key(SMALL, 2, 0, 1, "vector"), "trialsim run", 1.0)
    return place


def arrow(folder: Path, name: str) -> pa.Table:
    """A table as it stands in the results."""
    return pa.concat_tables([pq.ParquetFile(path).read() for path in sorted((folder / "data").rglob("*.parquet")) if name in (path.stem, path.parent.name)])  # fmt: skip


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers as floating point, all else as objects with None."""

    def column(values: pd.Series[Any]) -> Any:
        if values.isna().all():
            return values.astype(object).where(values.notna(), None)
        if pd.api.types.is_numeric_dtype(values):
            return values.astype(float)
        if set(values.dropna()) <= {True, False}:
            return values.map({True: 1.0, False: 0.0}).astype(float)
        return values.astype(object).where(values.notna(), None)

    return frame.apply(column)


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_csv_holds_every_number_of_every_table(folder: Path, tmp_path: Path) -> None:
    written = export(folder, form="csv", out=tmp_path / "csv")
    names = {path.stem for path in written} - {"names", "design_points"}
    assert {"estimates", "replicates", "measures", "participants", "observations", "events", "truth"} <= names
    for name in names:
        kept = arrow(folder, name).to_pandas()
        read = pd.read_csv(
            tmp_path / "csv" / f"{name}.csv", **EXACT, keep_default_na=False, na_values=[""],
            dtype={"digest": str},
        )  # fmt: skip
        assert_frame_equal(plain(read), plain(kept), check_exact=True)


def test_names_say_what_columns_are(folder: Path, tmp_path: Path) -> None:
    export(folder, form="csv", out=tmp_path / "csv", tables=["participants"])
    names = pd.read_csv(tmp_path / "csv" / "names.csv", keep_default_na=False).set_index("column")
    assert names.loc["randomized_day", "meaning"] == "day of randomization"
    assert names.loc["randomized_day", "unit"] == "study day"
    assert names.loc["baseline_pain", "meaning"].startswith("covariate, or baseline_<outcome>")
    assert list(names.index) == arrow(folder, "participants").column_names


@pytest.mark.parametrize("form", ["csv", "xpt"])
def test_design_points_are_exported_as_they_stand(form: Any, tmp_path: Path) -> None:
    points = [point_of(k, small_design(), {"scenario": name, "on": k == 0}) for k, name in enumerate(("good", "bad"))]
    write_sweep(tmp_path / "s", sweep_of(points), done=[])
    export(tmp_path / "s", form=form, out=tmp_path / "out", tables=["design_points"])
    names = pd.read_csv(tmp_path / "out" / "names.csv").set_index("column")
    assert names.loc[["label", "seed"], "meaning"].tolist() == ["what distinguishes it from the others", "seed of its replicates"]  # fmt: skip
    file = tmp_path / "out" / f"design_points.{form}"
    found = pd.read_csv(file) if form == "csv" else pyreadstat.read_xport(str(file))[0]
    found.columns = [name.lower() for name in found.columns]
    assert found["label"].tolist() == ["scenario=good, on=true", "scenario=bad, on=false"]
    assert found["scenario"].tolist() == ["good", "bad"]
    assert found["on"].tolist() == [1, 0]


def test_only_the_tables_that_are_named(folder: Path, tmp_path: Path) -> None:
    written = export(folder, form="csv", out=tmp_path / "csv", tables=["funnel", "estimates"])
    assert [path.name for path in written] == ["funnel.csv", "estimates.csv", "names.csv"]
    assert sorted(written) == sorted((tmp_path / "csv").iterdir())


def test_the_same_export_twice_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, second = (export(folder, form="csv", out=tmp_path / name, adam=True) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


# --- refusals ---------------------------------------------------------------------------------------------------------


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(ResultsError) as refused:
        export(folder, **{"form": "csv", **options})
    return str(refused.value)


def test_an_unknown_table_is_refused_with_what_there_is(folder: Path, tmp_path: Path) -> None:
    text = refusal(folder, out=tmp_path / "csv", tables=["estimate"])
    assert text.startswith(f"{folder}: there is no table 'estimate'. Tables: design_points, estimates, ")
    assert text.endswith("Did you mean 'estimates'?")


def test_a_place_that_holds_something_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert refusal(folder, out=tmp_path) == f"{tmp_path}: there is something else already. Choose another --out."
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_export_among_the_results_is_refused(folder: Path) -> None:
    assert "lies among the files of the results" in refusal(folder, out=folder / "data" / "csv")
    assert "lies among the files of the results" in refusal(folder, out=folder)


def test_a_damaged_file_stops_the_export_and_nothing_appears(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for path in (p for p in folder.rglob("*") if p.is_file()):
        target = copy / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    damaged = copy / "data" / "estimates.parquet"
    data = bytearray(damaged.read_bytes())
    data[50:400] = bytes(350)  # the footer is whole, a column is not
    damaged.write_bytes(data)
    with pytest.raises(ResultsError, match="damaged"):
        export(copy, form="csv", out=tmp_path / "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_xpt_without_the_library_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pyreadstat":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "Install trialsim[xpt]" in refusal(folder, form="xpt", out=tmp_path / "xpt")


def test_a_table_too_large_for_memory_is_refused() -> None:
    refuse_too_large("estimates", n_rows=1_000_000, n_columns=20)
    with pytest.raises(ResultsError, match="Use --format csv"):
        refuse_too_large("estimates", n_rows=1_000_001, n_columns=20)


# --- SAS transport files ----------------------------------------------------------------------------------------------


def test_short_names_fit_and_differ() -> None:
    names = [
        "design_point", "replicate", "std_error", "ci_low", "screening_number", "arms.coach.stop_prob",
        "arms.coach.stop_probs", "arms.coach.stop_problem", "1st", "größe", "arm", "ARM", "_", "site",
    ]  # fmt: skip
    short = short_names(names)
    assert list(short) == names
    assert len(set(short.values())) == len(names)
    assert all(re.fullmatch("[A-Z_][A-Z0-9_]{0,7}", name) for name in short.values())
    assert [short[name] for name in ("design_point", "std_error", "ci_low", "arm")] == [
        "DSGNPNT",
        "STDERROR",
        "CI_LOW",
        "ARM",
    ]
    assert short == short_names(names)


def test_hundreds_of_equal_stems_are_numbered() -> None:
    names = [f"very.long.path.number.{a}{b}" for a in "aeiou" for b in LETTERS]
    assert len(set(short_names(names).values())) == len(names)


def test_a_name_that_fits_keeps_it_whatever_stands_before() -> None:
    assert short_names(["d.s.g.n.p.n.t", "DSGNPNT"]) == {"d.s.g.n.p.n.t": "DSGNPNT2"[:7] + "2", "DSGNPNT": "DSGNPNT"}


@pytest.mark.parametrize(
    ("meaning", "label"),
    [
        ("design point", "design point"),
        ("day of randomization; null if it did not happen at all", "day of randomization"),
        ("a mean of an arm, a difference or ratio of two arms", "a mean of an arm, a difference or ratio"),
        ("é" * 41, "é" * 20),
    ],
)
def test_labels_are_beginnings_in_whole_words(meaning: str, label: str) -> None:
    assert label_of(meaning) == label
    assert len(label.encode()) <= 40


def test_xpt_holds_what_csv_holds(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    export(folder, form="xpt", out=tmp_path / "xpt", tell=told.append)
    names = pd.read_csv(tmp_path / "xpt" / "names.csv", keep_default_na=False)
    for name in ("estimates", "participants", "observations", "replicates", "measures"):
        kept = plain(arrow(folder, name).to_pandas()).replace([np.inf, -np.inf], np.nan)
        read, head = pyreadstat.read_xport(tmp_path / "xpt" / f"{name}.xpt")
        mine = names[names["table"] == name]
        assert head.column_names == mine["name"].tolist()
        assert head.column_labels == mine["label"].tolist()
        assert mine["column"].tolist() == list(kept.columns)
        wholes = [field.name for field in arrow(folder, name).schema if pa.types.is_integer(field.type)]
        kept = kept.astype({x: float for x in wholes if kept[x].isna().all()})
        texts = {x: kept[x].fillna("") for x in kept if kept[x].dtype == object}
        expected = kept.assign(**texts).set_axis(mine["name"].tolist(), axis=1)
        assert_frame_equal(read.astype(expected.dtypes), expected, check_exact=True)
    n_infinite = int(np.isinf(arrow(folder, "estimates")["df"].to_numpy()).sum())
    assert n_infinite > 0
    assert f"estimates.df: infinite, now missing, in {n_infinite} rows" in told


def test_what_the_format_cannot_hold_is_told(tmp_path: Path) -> None:
    values = pa.table(
        {
            "number": pa.array([1.5, np.inf, -np.inf, 1e80, 1e-90, None]),
            "text": ["a" * 201, "é" * 101, "b" * 200, "", None, "c"],
            "flag": [True, False, None, True, True, True],
            "nothing": pa.nulls(6, pa.string()),
            "day": pa.array([dt.date(1960, 1, 1), dt.date(2024, 2, 29), dt.date(1950, 5, 5), None, None, None]),
            "no_day": pa.nulls(6, pa.date32()),
        }
    )
    lost = write_xpt(tmp_path / "some_values.xpt", values, title="Some values")
    read, head = pyreadstat.read_xport(tmp_path / "some_values.xpt", disable_datetime_conversion=True)
    assert head.table_name == "SMVLS"
    assert lost["number"] == "infinite, now missing, in 2 rows; beyond 1e+75, now missing, in 1 row; nearer to 0 than 5.4e-79, now 0, in 1 row"  # fmt: skip
    assert lost["text"] == "cut to 200 bytes in 2 rows; letters outside ASCII, in UTF-8: tell SAS the encoding"
    assert [lost[name] for name in ("flag", "nothing", "day", "no_day")] == [""] * 4
    np.testing.assert_array_equal(read["NUMBER"], [1.5, np.nan, np.nan, np.nan, 0.0, np.nan])
    assert read["TEXT"].tolist() == ["a" * 200, "é" * 100, "b" * 200, "", "", "c"]
    np.testing.assert_array_equal(read["FLAG"], [1, 0, np.nan, 1, 1, 1])
    assert read["NOTHING"].tolist() == [""] * 6
    np.testing.assert_array_equal(read["DAY"], [0, 23435, -3528, np.nan, np.nan, np.nan])
    assert head.original_variable_types["NO_DAY"] == "DATE9"


def test_a_silent_caller_is_warned(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="infinite, now missing"):
        export(folder, form="xpt", out=tmp_path / "xpt", tables=["estimates"])


# --- ADSL and ADQS ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adam(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Both, as a SAS user reads them."""
    out = tmp_path_factory.mktemp("adam") / "xpt"
    written = export(folder, form="xpt", out=out, adam=True)
    assert [path.name for path in written] == ["adsl.xpt", "adqs.xpt", "names.csv"]
    return {path.stem: pyreadstat.read_xport(path)[0] for path in written[:2]}


@pytest.fixture(scope="module")
def people(folder: Path) -> pd.DataFrame:
    return arrow(folder, "participants").to_pandas()


@pytest.fixture(scope="module")
def answers(folder: Path) -> pd.DataFrame:
    return arrow(folder, "observations").to_pandas()


def dates(days: pd.Series[Any]) -> list[dt.date | None]:
    return [None if pd.isna(day) else SMALL.date_of(int(day)) for day in days]


def same_dates(found: pd.Series[Any], days: pd.Series[Any]) -> bool:
    return [None if pd.isna(x) else x for x in found] == dates(days)


def test_adsl_has_a_row_per_participant(adam: dict[str, pd.DataFrame], people: pd.DataFrame) -> None:
    adsl = adam["adsl"]
    assert adsl["USUBJID"].tolist() == [f"small_trial-{k:05d}" for k in people["participant"]]
    assert set(adsl["STUDYID"]) == {"small_trial"}
    assert adsl["SITEID"].tolist() == people["site"].tolist()
    assert adsl["TRT01P"].tolist() == [SMALL.arms[arm].label for arm in people["arm"]]
    assert adsl["TRT01PN"].tolist() == [list(SMALL.arms).index(arm) + 1 for arm in people["arm"]]
    assert adsl["AGE"].tolist() == people["age"].tolist()
    assert adsl["SEX"].tolist() == ["F" if x else "M" for x in people["female"]]
    assert adsl["PAINBL"].tolist() == people["baseline_pain"].tolist()
    assert adsl["STRATAR"].tolist() == [
        f"site={site}, female={'yes' if female else 'no'}"
        for site, female in zip(people["site"], people["female"], strict=True)
    ]


def test_dates_follow_from_the_start_date(adam: dict[str, pd.DataFrame], people: pd.DataFrame) -> None:
    adsl = adam["adsl"]
    for name, day in {"RANDDT": "randomized_day", "TRTSDT": "first_session_day", "RFICDT": "consent_day", "DTHDT": "died_day"}.items():  # fmt: skip
        assert same_dates(adsl[name], people[day]), name
    assert people["died_day"].notna().any()


def test_how_treatment_and_study_ended(
    adam: dict[str, pd.DataFrame], people: pd.DataFrame, answers: pd.DataFrame
) -> None:
    adsl, left = adam["adsl"], people["died_day"].fillna(people["withdrawn_day"])
    assert 0 < left.notna().sum() < len(people)
    assert adsl["EOSSTT"].tolist() == np.where(left.notna(), "DISCONTINUED", "COMPLETED").tolist()
    assert adsl["DCSREAS"].tolist() == np.where(people["died_day"].notna(), "DEATH", np.where(people["withdrawn_day"].notna(), "WITHDRAWAL BY SUBJECT", "")).tolist()  # fmt: skip
    last = answers.groupby("participant")[["due_day", "observed_day"]].max().max(axis=1)
    assert same_dates(adsl["EOSDT"], left.fillna(last))
    started, completed = people["first_session_day"].notna(), people["treatment"] == "completed"
    assert adsl["EOTSTT"].tolist() == np.where(completed, "COMPLETED", np.where(started, "DISCONTINUED", "")).tolist()


def test_adqs_has_a_row_per_participant_and_visit_with_the_baseline(
    adam: dict[str, pd.DataFrame], people: pd.DataFrame, answers: pd.DataFrame
) -> None:
    adqs = adam["adqs"]
    assert len(adqs) == len(people) * 3
    assert adqs["AVISIT"].tolist() == ["Baseline", "3 months", "12 months"] * len(people)
    first = adqs[adqs["ABLFL"] == "Y"]
    assert first["AVISITN"].eq(0).all()
    assert first["AVAL"].tolist() == first["BASE"].tolist() == people["baseline_pain"].tolist()
    assert first["CHG"].isna().all()
    assert first["ADY"].eq(1).all()
    later = adqs[adqs["ABLFL"] == ""].reset_index(drop=True)
    np.testing.assert_array_equal(later["AVAL"], answers["value"])
    np.testing.assert_array_equal(later["CHG"], later["AVAL"] - later["BASE"])
    assert same_dates(later["ADT"], answers["observed_day"])
    since = answers["observed_day"] - np.repeat(people["randomized_day"].to_numpy(), 2)
    np.testing.assert_array_equal(later["ADY"], since + 1)
    assert later["CRIT1FL"].tolist() == answers["responder"].map({True: "Y", False: "N"}).fillna("").tolist()
    assert set(adqs["CRIT1"]) == {"Fall from baseline of at least 30 %"}
    missing = answers["value"].isna()
    assert 0 < missing.sum() < len(answers)
    assert later["QSSTAT"].tolist() == np.where(missing, "NOT DONE", "").tolist()
    assert later["QSREASND"].tolist() == answers["reason_missing"].astype(object).fillna("").str.upper().tolist()
    assert set(adqs["DTYPE"]) == {""}


def test_adqs_gives_the_same_difference_as_the_trial(adam: dict[str, pd.DataFrame], folder: Path) -> None:
    estimates = arrow(folder, "estimates").to_pandas()
    ours = estimates[(estimates["analysis"] == "unadjusted") & (estimates["measure"] == "mean difference")]
    for visit, label in (("m3", "3 months"), ("m12", "12 months")):
        rows = adam["adqs"][(adam["adqs"]["AVISIT"] == label) & (adam["adqs"]["ANL01FL"] == "Y")]
        arms = np.stack([rows["TRTPN"] == k for k in (1, 2, 3)], axis=1).astype(float)
        fit = OLS(rows["CHG"].to_numpy(), arms).fit()
        means = rows.groupby("TRTPN")["CHG"].mean()
        expected = ours.loc[ours["visit"] == visit, "estimate"].item()
        np.testing.assert_allclose(fit.params[0] - fit.params[2], expected, rtol=1e-10)
        np.testing.assert_allclose(means[1] - means[3], expected, rtol=1e-10)


def test_names_and_labels_fit_the_format(adam: dict[str, pd.DataFrame], folder: Path, tmp_path: Path) -> None:
    export(folder, form="xpt", out=tmp_path / "xpt", adam=True)
    names = pd.read_csv(tmp_path / "xpt" / "names.csv", keep_default_na=False)
    assert (names["column"] == names["name"]).all()
    assert names["meaning"].str.len().max() <= 40
    assert set(names["lost"]) == {""}
    for name, frame in adam.items():
        assert names.loc[names["table"] == name, "name"].tolist() == list(frame.columns)


def test_two_outcomes_and_awkward_covariates() -> None:
    data = json.loads(SMALL.model_dump_json())
    pain = data["outcomes"]["pain"] | {"label": ""}
    data["outcomes"] = {"pain_severity": pain, "pain_severe_interference": pain, "mood": pain}
    data["covariates"] |= {"nsess": {"kind": "count", "mean": 2.0}, "woman": {"kind": "binary", "prob": 0.5}}
    data["analyses"], data["allocation"]["strata"], data["funnel"]["eligible"]["criteria"] = {}, [], {}
    for arm in data["arms"].values():
        arm["effects"] = {}
    design = type(SMALL).model_validate_json(json.dumps(data))
    block = simulate_block(World(design), seed=1, first=0, n_replicates=1, engine="vector")
    adsl, adqs = (t.to_pandas() for t in adam_tables(table(block, "participants"), table(block, "observations"), design).values())  # fmt: skip
    assert {"SEX", "NSESS", "NSESS2", "WOMAN", "MOODBL"} <= set(adsl.columns)
    assert adsl["STRATAR"].isna().all()
    assert sum(name.endswith("BL") for name in adsl.columns) == 3
    assert adqs["PARAMCD"].nunique() == 3
    assert adqs["PARAMCD"].str.len().max() <= 8
    assert adqs.groupby("USUBJID").size().eq(9).all()
    assert adqs.sort_values(["USUBJID", "PARAMN", "AVISITN"]).index.tolist() == list(adqs.index)
    kept, people = table(block, "observations").to_pandas(), table(block, "participants").to_pandas()
    baselines = adsl[[name for name in adsl.columns if name.endswith("BL")]]
    np.testing.assert_array_equal(baselines, people[[f"baseline_{name}" for name in design.outcomes]])
    for k, name in enumerate(design.outcomes, start=1):
        mine = adqs[(adqs["PARAMN"] == k) & (adqs["AVISITN"] > 0)]
        np.testing.assert_array_equal(mine["AVAL"], kept.loc[kept["outcome"] == name, "value"])
        assert set(mine["PARAM"]) == {name}


def test_a_replicate_or_a_point_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    text = refusal(folder, out=tmp_path / "a", adam=True, replicate=3)
    assert text == f"{folder}: there is no replicate 3 of design point 0 in participants."
    assert "there is no design point 2" in refusal(folder, out=tmp_path / "a", adam=True, point=2)


@pytest.fixture
def without_participants(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "many"
    place.mkdir()
    store.write_experiment(place, run(SMALL, replicates=2), [])
    store.write_manifest(place, SMALL, store.run_key(SMALL, 1, 0, 2, "vector"), "trialsim run", 1.0)
    return place


def test_adam_without_participants_says_how_to_keep_them(without_participants: Path, tmp_path: Path) -> None:
    text = refusal(without_participants, out=tmp_path / "a", adam=True)
    assert "participants and observations were not kept" in text
    assert "`keep: participants`" in text
