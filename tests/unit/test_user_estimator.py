"""A user's own estimator: named on the command line, given observed data alone, and never able to break a run."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from golden.small_trial import small_trial, small_trial_data
from helpers import Array, run, same

from trialsim.analysis import user
from trialsim.analysis.estimates import Estimates
from trialsim.analysis.plan import analyse_block, estimate
from trialsim.block import Block
from trialsim.cli.main import cli
from trialsim.design.parts import Design
from trialsim.errors import TrialsimError
from trialsim.records import table

CONTRASTS = ("coach - web", "coach - usual", "web - usual")
VISITS = ("m3", "m12")
N_REPLICATES = 2


def planned(**keys: Any) -> Design:
    """The small trial with one analysis: `mine`, the user's; and Welch's test beside it."""
    mine = {"kind": "user", "outcome": "pain", "function": "estimators:anything", **keys}
    welch = {"kind": "t_test", "outcome": "pain", "multiplicity": "none"}
    return Design.model_validate(small_trial().model_dump() | {"analyses": {"mine": mine, "welch": welch}})


@pytest.fixture(scope="module")
def block() -> Block:
    return run(planned(), n=N_REPLICATES)


def estimates_by(function: Any, block: Block, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> Estimates:
    """What the plan makes of a function."""
    monkeypatch.setattr(user, "load", lambda name: function)
    numbers = np.arange(block.n_replicates, dtype=np.int32)
    return estimate(planned(**keys), "mine", block.observed, numbers, block.draws)


def welch_rows(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
    """Differences in mean change with their standard errors."""
    rows = []
    for contrast in info.contrasts:
        a, b = contrast.split(" - ")
        for visit in info.visits:
            change = data[f"{info.outcome}_{visit}"] - data[f"baseline_{info.outcome}"]
            x, y = (change[data["arm"] == arm].dropna() for arm in (a, b))
            error = np.sqrt(x.var() / len(x) + y.var() / len(y))
            rows.append(
                {"contrast": contrast, "visit": visit, "estimate": x.mean() - y.mean(), "std_error": error,
                 "n_used": len(x) + len(y)}
            )  # fmt: skip
    return rows


def column(found: Estimates, contrast: str, visit: str, what: str, analysis: str = "mine") -> Array:
    places = [(x.analysis, x.contrast, x.visit) for x in found.labels]
    return np.asarray(getattr(found, what)[:, places.index((analysis, contrast, visit))])


# --- a sound function -------------------------------------------------------------------------------------------------


def test_estimates_are_the_functions(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    found, plan = estimates_by(welch_rows, block, monkeypatch), analyse_block_of_welch(block)
    assert found.converged.all()
    for contrast in CONTRASTS:
        for visit in VISITS:
            for what in ("estimate", "std_error", "n_used"):
                np.testing.assert_allclose(
                    column(found, contrast, visit, what), column(plan, contrast, visit, what, "welch"), rtol=1e-12
                )
            z = column(found, contrast, visit, "estimate") / column(found, contrast, visit, "std_error")
            p = column(found, contrast, visit, "p_value")
            assert np.array_equal(p < 0.05, np.abs(z) > 1.959964)
            assert np.array_equal(column(found, contrast, visit, "significant"), p < 0.05)
            assert np.isinf(column(found, contrast, visit, "df")).all()


def analyse_block_of_welch(block: Block) -> Estimates:
    return estimate(planned(), "welch", block.observed, np.arange(N_REPLICATES, dtype=np.int32))


def test_what_is_given_beside_the_estimate_is_kept(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own limits, p value and degrees of freedom; None and NaN are not given."""

    def function(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
        own = {"estimate": -1, "std_error": 0.5, "contrast": "coach - web"}
        full = {"df": 7, "ci_low": -3.0, "ci_high": 0.2, "p_value": 0.3, "n_used": 11}
        nothing = {"df": None, "p_value": float("nan"), "ci_low": None, "n_used": float("nan")}
        return [{"visit": "m3", **own, **full}, {"visit": "m12", **own, **nothing}]

    found = estimates_by(function, block, monkeypatch)
    names = ("estimate", "std_error", "df", "ci_low", "ci_high", "p_value", "n_used", "significant")
    given, plain = ([column(found, "coach - web", v, name)[0] for name in names] for v in VISITS)
    assert given == [-1.0, 0.5, 7.0, -3.0, 0.2, 0.3, 11, 0.0]
    n = int((block.observed.arm[0] >= 0).sum())
    assert plain == pytest.approx([-1.0, 0.5, np.inf, -1.979982, -0.020018, 0.0455, n, 1.0], rel=1e-4)
    assert (column(found, "web - usual", "m3", "reason") == "the function gave nothing for it").all()


def test_differences_of_chances_are_shown_in_percentage_points(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    def function(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
        return [{"contrast": c, "visit": v, "estimate": 0.1, "std_error": 0.04} for c in CONTRASTS for v in VISITS]

    found = estimates_by(function, block, monkeypatch, endpoint="response")
    assert {label.measure for label in found.labels} == {"risk difference"}
    assert found.estimate == pytest.approx(np.full((N_REPLICATES, 6), 10.0))
    assert found.std_error == pytest.approx(np.full((N_REPLICATES, 6), 4.0))


# --- what it sees -----------------------------------------------------------------------------------------------------


def tables_given(block: Block, monkeypatch: pytest.MonkeyPatch) -> tuple[list[pd.DataFrame], list[user.Info]]:
    seen: list[tuple[pd.DataFrame, user.Info]] = []
    estimates_by(lambda data, info: seen.append((data.copy(), info)) or [], block, monkeypatch)
    return [data for data, _ in seen], [info for _, info in seen]


def test_the_table_is_what_was_observed(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    given, infos = tables_given(block, monkeypatch)
    assert len(given) == N_REPLICATES
    assert list(given[0]) == [
        "participant", "arm", "site", "coach", "female", "age", "baseline_pain",
        "pain_m3", "sessions_m3", "pain_m12", "sessions_m12",
    ]  # fmt: skip
    for r, data in enumerate(given):
        people = table(block, "participants", columns=[r]).to_pandas()
        seen = table(block, "observations", columns=[r]).to_pandas()
        for name in ("participant", "female", "age", "baseline_pain"):
            assert np.array_equal(data[name], people[name])
        for name in ("arm", "site"):
            assert list(data[name]) == list(people[name])
        assert np.array_equal(data["coach"], people["coach"].fillna(-1))
        for visit in VISITS:
            values = seen[seen["visit"] == visit].set_index("participant")["value"]
            assert np.array_equal(data[f"pain_{visit}"], values.to_numpy(), equal_nan=True)
    assert infos[0] == user.Info(
        analysis="mine", outcome="pain", covariates=(), arms=("coach", "web", "usual"), visits=VISITS,
        contrasts=CONTRASTS, alpha=0.05, outcome_kind="score", better="lower", responder_change=0.3,
    )  # fmt: skip


def test_nothing_latent_reaches_the_function(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is latent is made nonsense, unseen values too: the tables stay as they were."""
    luck, unseen = np.random.default_rng(1), ~block.observed.observed.transpose(2, 1, 0)
    outcomes, cohort = block.outcomes, block.plan.cohort
    scrambled = replace(
        block,
        outcomes=replace(
            outcomes,
            potential=luck.permuted(outcomes.potential, axis=3),
            realised=np.where(unseen[None], 0, outcomes.realised),
        ),
        plan=replace(block.plan, cohort=replace(cohort, motivation=luck.permuted(cohort.motivation, axis=0))),
    )
    before, after = (tables_given(b, monkeypatch)[0] for b in (block, scrambled))
    assert all(a.equals(b) for a, b in zip(before, after, strict=True))


def test_a_function_cannot_change_the_trial(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    def vandal(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
        rows = welch_rows(data, info)
        data.loc[:, "baseline_pain"] = 0.0
        data.drop(columns="arm", inplace=True)
        return rows

    before = {name: values.copy() for name, values in block.observed.baseline.items()}
    found = [estimates_by(vandal, block, monkeypatch).estimate for _ in range(2)]
    assert same(found[0], found[1])
    assert same(before, block.observed.baseline)


# --- functions that fail ----------------------------------------------------------------------------------------------


def raises(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
    raise ValueError("nothing to see in arm 7 at visit 12")


def ends(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
    sys.exit(3)


def half_way(data: pd.DataFrame, info: user.Info) -> Any:
    yield {"contrast": "coach - web", "visit": "m3", "estimate": 1.0, "std_error": 1.0}
    raise KeyError("age")


def recursion(data: pd.DataFrame, info: user.Info) -> Any:
    return recursion(data, info)


WHOLE_FAILURES: dict[str, tuple[Any, str]] = {
    "raises": (raises, "the function raised ValueError: nothing to see in arm 7 at visit 12"),
    "ends": (ends, "the function raised SystemExit: 3"),
    "half_way": (half_way, "the function raised KeyError: 'age'"),
    "recursion": (recursion, "the function raised RecursionError"),
    "none": (lambda data, info: None, "the function raised TypeError"),
    "number": (lambda data, info: 1.5, "the function raised TypeError"),
    "not_rows": (lambda data, info: [1, 2], "the function raised TypeError"),
    "records": (lambda data, info: np.zeros(2, dtype=[("contrast", "U9"), ("visit", "U9")]), "the function raised"),
    "no_visit": (lambda data, info: [{"contrast": "coach - web"}], "the function raised KeyError: 'visit'"),
    "no_arguments": (list, "the function raised TypeError"),
    "empty": (lambda data, info: [], "the function gave nothing for it"),
    "misspelt": (lambda data, info: [{"contrast": "coach-web", "visit": "m3"}], "the function gave nothing for it"),
}


@pytest.mark.parametrize("name", WHOLE_FAILURES)
def test_a_function_that_fails_becomes_a_reason(name: str, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    function, text = WHOLE_FAILURES[name]
    found = estimates_by(function, block, monkeypatch)
    assert not found.converged.any()
    assert all(reason.startswith(text) for reason in found.reason.ravel())
    for what in ("estimate", "std_error", "df", "ci_low", "ci_high", "p_value", "significant"):
        assert np.isnan(getattr(found, what)).all()


WRONG_NUMBERS: dict[str, tuple[dict[str, Any], str]] = {
    "no estimate": ({"estimate": None}, "no finite estimate"),
    "nan": ({"estimate": float("nan")}, "no finite estimate"),
    "infinite": ({"estimate": float("inf")}, "no finite estimate"),
    "no error": ({"std_error": None}, "no finite estimate with a standard error"),
    "zero error": ({"std_error": 0.0}, "no finite estimate with a standard error"),
    "negative error": ({"std_error": -1.0}, "no finite estimate with a standard error"),
    "infinite error": ({"std_error": float("inf")}, "no finite estimate with a standard error"),
    "text": ({"estimate": "large"}, "estimate is not a number but str"),
    "list": ({"std_error": [0.1]}, "std_error is not a number but list"),
    "arrays": ({"estimate": np.ones(2)}, "estimate is not a number but ndarray"),
    "complex": ({"estimate": 1 + 2j}, "estimate is not a number but complex"),
    "missing value": ({"estimate": pd.NA}, "estimate is not a number but NAType"),
    "df text": ({"df": "many"}, "df is not a number but str"),
    "df zero": ({"df": 0}, "df cannot be right: 0"),
    "df negative": ({"df": -3}, "df cannot be right: -3"),
    "p above 1": ({"p_value": 1.5}, "p_value cannot be right: 1.5"),
    "limits": ({"ci_low": 2.0, "ci_high": 1.0}, "ci_low cannot be right: 2"),
    "n negative": ({"n_used": -1}, "n_used cannot be right: -1"),
    "n infinite": ({"n_used": float("inf")}, "n_used cannot be right: inf"),
    "n text": ({"n_used": "all"}, "n_used is not a number but str"),
}


@pytest.mark.parametrize("name", WRONG_NUMBERS)
def test_a_row_that_cannot_be_right_has_a_reason(name: str, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's other rows are as they were."""
    wrong, text = WRONG_NUMBERS[name]

    def function(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
        rows = welch_rows(data, info)
        rows[0] |= wrong
        return rows

    found, sound = estimates_by(function, block, monkeypatch), estimates_by(welch_rows, block, monkeypatch)
    assert found.converged.tolist() == [[False, *[True] * 5]] * N_REPLICATES
    assert all(text in reason for reason in found.reason[:, 0])
    assert np.isnan(found.estimate[:, 0]).all()
    assert same(found.estimate[:, 1:], sound.estimate[:, 1:])
    assert (found.n_used[:, 0] >= 0).all()


def test_multiplicity_is_unknown_where_a_row_failed(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    def function(data: pd.DataFrame, info: user.Info) -> list[dict[str, Any]]:
        return [row for row in welch_rows(data, info) if (row["contrast"], row["visit"]) != ("coach - web", "m3")]

    found = estimates_by(function, block, monkeypatch, multiplicity="holm")
    assert not np.isin(column(found, "coach - web", "m3", "significant"), (0.0, 1.0)).any()
    assert np.isin(column(found, "coach - web", "m12", "significant"), (0.0, 1.0)).all()


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the design file of the small trial; modules imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(json.dumps(small_trial_data(sample_size=60)), encoding="utf-8")
    return tmp_path


MODULES = {
    "broken_syntax": "def f(:\n",
    "broken_import": "import no_such_module_at_all\n",
    "broken_code": "1 / 0\n",
    "ends_at_once": "import sys\nsys.exit(0)\n",
    "no_function": "x = 1\n",
    "not_callable": "f = 3\n",
}


@pytest.mark.parametrize("name", [*MODULES, "no_such_module"])
def test_what_cannot_be_loaded_is_said(name: str, here: Path) -> None:
    if name in MODULES:
        (here / f"{name}.py").write_text(MODULES[name], encoding="utf-8")
    with pytest.raises(TrialsimError, match=f"estimator '{name}:f'"):
        user.load(f"{name}:f")
    assert str(here) not in sys.path


def run_with(*args: str) -> Result:
    """`trialsim run` in this process; an exception that is not an exit is the test's failure."""
    return CliRunner().invoke(cli, ["run", "small.yaml", "--seed", "5", *args], catch_exceptions=False)


def results(here: Path) -> pd.DataFrame:
    return pd.read_parquet(here / "out" / "data" / "estimates.parquet")


OWN = '''"""Estimators of a user."""
import numpy as np


def difference(data, info):
    for contrast in info.contrasts:
        a, b = contrast.split(" - ")
        for visit in info.visits:
            change = data[f"{info.outcome}_{visit}"] - data[f"baseline_{info.outcome}"]
            x, y = (change[data["arm"] == arm].dropna() for arm in (a, b))
            error = np.sqrt(x.var() / len(x) + y.var() / len(y))
            yield {"contrast": contrast, "visit": visit, "estimate": x.mean() - y.mean(), "std_error": error}


def moody(data, info):
    """Fails in some trials."""
    if len(data[data["coach"] >= 0]) % 2:
        raise RuntimeError("not today")
    return difference(data, info)


def never(data, info):
    raise RuntimeError("never")
'''


def test_an_estimator_named_on_the_command_line(here: Path) -> None:
    (here / "own_estimators.py").write_text(OWN, encoding="utf-8")
    result = run_with("--replicates", "6", "--out", "out", "--estimator", "mine=own_estimators:difference")
    assert result.exit_code == 0, result.output
    assert "mine" in result.output
    rows = results(here)
    mine = rows[rows["analysis"] == "mine"]
    assert len(mine) == 6 * 6
    assert mine["converged"].all()
    assert np.isfinite(mine["truth"]).all()
    again = analyse_own(here)
    np.testing.assert_array_equal(mine["estimate"].to_numpy(), again)


def analyse_own(here: Path) -> Array:
    """The same trials analysed in Python."""
    given = {"mine": {"kind": "user", "outcome": "pain", "function": "own_estimators:difference"}}
    trial = Design.model_validate(small_trial_data(sample_size=60) | {"analyses": given})
    return analyse_block(run(trial, n=6, seed=5)).estimate.ravel()


@pytest.mark.parametrize("function", ["moody", "never"])
def test_a_run_goes_on_where_an_estimator_fails(function: str, here: Path) -> None:
    (here / "own_moods.py").write_text(OWN, encoding="utf-8")
    result = run_with("--replicates", "6", "--out", "out", "--estimator", f"mine=own_moods:{function}")
    assert "Traceback" not in result.output
    assert "RuntimeError" in result.output
    rows = results(here)
    failed = rows[(rows["analysis"] == "mine") & ~rows["converged"]]
    assert 0 < len(failed) < 36 if function == "moody" else len(failed) == 36
    assert failed["reason"].str.startswith("the function raised RuntimeError").all()
    assert failed["estimate"].isna().all()
    others = rows[rows["analysis"] != "mine"]
    assert np.isfinite(others["estimate"]).all()


@pytest.mark.parametrize("replicates", ["1", "4"])
def test_an_estimator_that_is_not_there_stops_the_run(replicates: str, here: Path) -> None:
    result = run_with("--replicates", replicates, "--out", "out", "--estimator", "mine=nowhere_at_all:f")
    assert result.exit_code == 2
    assert result.output.startswith("trialsim: estimator 'nowhere_at_all:f' cannot be loaded")
    assert "Traceback" not in result.output
    assert not (here / "out").exists()


@pytest.mark.parametrize("text", ["mine", "mine=", "=module:f", "mine=module", "mine=module:", "mine=a b:c"])
def test_an_estimator_that_is_not_well_named_is_refused(text: str, here: Path) -> None:
    result = run_with("--estimator", text)
    assert result.exit_code == 2
    assert not (here / "out").exists()
