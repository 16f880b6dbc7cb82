"""Every command has help, is in the README, and does the small things right: list, new, check, schema, describe."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import click
import jsonschema
import pytest
from outside import Terminal, cells, files_of, titles, write_design
from ruamel.yaml import YAML

import trialsim
from trialsim.cli.main import cli
from trialsim.design.analyses import Analysis, Imputation
from trialsim.design.library import library
from trialsim.design.reader import digest, read_design
from trialsim.design.shape import tags_of

README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS = sorted(cli.commands)


# --- help -------------------------------------------------------------------------------------------------------------


def test_the_commands_are_these() -> None:
    of_designs = [
        "assurance",
        "calibrate",
        "check",
        "compare",
        "describe",
        "list",
        "new",
        "power",
        "run",
        "schema",
        "size",
        "verify",
    ]
    of_sweeps = ["best", "export", "grow", "merge", "resume", "slurm", "status", "summarise", "sweep"]
    to_show = ["plot", "replay", "report", "teach"]
    assert sorted([*of_designs, *of_sweeps, *to_show]) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_all_its_options_have_help(terminal: Terminal, name: str) -> None:
    command = cli.commands[name]
    result = terminal(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: cli {name} ")
    assert command.help
    assert command.help.split("\n")[0].rstrip(".") in " ".join(result.stdout.split())
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"`trialsim {name}\b", README.read_text("utf-8"))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_names_each(terminal: Terminal, name: str) -> None:
    assert re.search(rf"(?m)^  {name} +\S", terminal("--help").stdout)


def test_the_readme_shows_no_command_or_option_that_does_not_exist() -> None:
    lines = re.findall(r"`trialsim ([^`]+)`", README.read_text("utf-8"))
    assert len(lines) >= len(COMMANDS)
    for line in lines:
        name, *words = line.split()
        known = {option for p in cli.commands[name].params if isinstance(p, click.Option) for option in p.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_the_version(terminal: Terminal) -> None:
    assert terminal("--version").stdout == f"trialsim, version {trialsim.__version__}\n"


# --- list, check, describe --------------------------------------------------------------------------------------------


def test_list_names_every_scenario_with_its_arms_and_size(terminal: Terminal) -> None:
    result = terminal("list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 2 + len(library())
    for name in library():
        design = read_design(name)
        words, what = cells(result.stdout, name)
        assert f"{len(design.arms)} arm" in words
        assert words.endswith(f" {design.sample_size:,} participants")
        assert what.startswith(str(design.title))
    assert "resolve" in library()


def test_check_says_that_a_design_can_be_run(terminal: Terminal, small: Path) -> None:
    result = terminal("check", small)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{small}: a design that can be run (small_trial, digest {digest(read_design(small))}).\n"
    changed = terminal("check", small, "--set", "sample_size=91")
    assert changed.exit_code == 0
    assert changed.stdout != result.stdout


SET = [
    (("analyses.change.kind=ancova",), ("change", "kind", "ancova")),
    (("analyses.change.kind=mmrm", "analyses.change.df=satterthwaite"), ("change", "df", "satterthwaite")),
    (("analyses.change.estimand=hypothetical",), ("change", "estimand", "hypothetical")),
    (("analyses.responders.cluster=site",), ("responders", "cluster", "site")),
    (("analyses={main: {kind: cox, outcome: pain}}",), ("main", "ties", "efron")),
]


@pytest.mark.parametrize(("overrides", "expected"), SET, ids=[" ".join(overrides) for overrides, _ in SET])
def test_set_reaches_into_an_analysis(small: Path, overrides: tuple[str, ...], expected: tuple[str, str, str]) -> None:
    name, key, value = expected
    assert getattr(read_design(small, overrides=overrides).analyses[name], key) == value


def test_set_reaches_into_what_is_done_about_missing_data(small: Path) -> None:
    """The kind first; then a key of that kind, where the file says nothing."""
    imputed = ("analyses.change.missing.kind=imputation", "analyses.change.missing.imputations=5")
    analysis = read_design(small, overrides=imputed).analyses["change"]
    assert analysis.missing == Imputation(kind="imputation", imputations=5)


def test_set_cannot_leave_a_key_that_the_new_kind_does_not_have(terminal: Terminal, small: Path) -> None:
    result = terminal("check", small, "--set", "analyses.responders.kind=logistic")
    assert result.exit_code == 2
    assert "analyses.responders.cluster: unknown key" in result.stderr
    assert result.stderr.startswith("trialsim: 1 mistake in the design:")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("analyses.change.kind=ancovva", "Did you mean 'ancova'?"),
        ("analyses.change.clster=coach", "no 'analyses.change.clster'. Did you mean 'analyses.change.cluster'?"),
        (
            "analyses.change.missing.kind=imputing",
            "must be one of 'available', 'complete_cases', 'weights', 'imputation',",
        ),
        ("analyses.change.missing.imputations=5", "no 'analyses.change.missing.imputations'. Keys there: kind."),
    ],
)
def test_a_misspelt_setting_of_an_analysis_is_told(terminal: Terminal, small: Path, override: str, told: str) -> None:
    result = terminal("check", small, "--set", override)
    assert result.exit_code == 2
    assert result.stderr.startswith("trialsim: 1 mistake in the design:")
    assert told in " ".join(result.stderr.split())


def test_describe_says_the_design(terminal: Terminal, small: Path) -> None:
    result = terminal("describe", small, "--replicates", 4)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("A small trial of three arms\n")
    assert "Timeline" in titles(result.stdout)
    assert "randomization of 90 participants" in " ".join(result.stdout.split())
    assert "±" in result.stdout


# --- new --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("like", sorted(library()))
def test_new_writes_a_commented_copy_that_can_be_run(terminal: Terminal, here: Path, like: str) -> None:
    result = terminal("new", "my trial.yaml", "--like", like)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "my trial.yaml: written. Change it, then: trialsim check 'my trial.yaml'\n"
    text = (here / "my trial.yaml").read_text("utf-8")
    comments = re.findall(r"(?m)#.*$", library()[like].read_text("utf-8"))
    assert len(comments) > 5
    assert all(comment in text for comment in comments)
    checked = terminal("check", "my trial.yaml")
    assert checked.exit_code == 0
    mine, original = read_design("my trial.yaml"), read_design(like)
    assert mine.name == "my_trial"
    assert mine.model_copy(update={"name": original.name}) == original


def test_new_without_a_scenario_is_a_short_trial_that_can_be_run(terminal: Terminal, here: Path) -> None:
    assert terminal("new", "mine.yaml").exit_code == 0
    text = (here / "mine.yaml").read_text("utf-8")
    assert len(text.splitlines()) < 60
    assert text.startswith("# A trial to start from. All numbers in lines marked CHANGE are invented")
    assert terminal("check", "mine.yaml").stdout.startswith("mine.yaml: a design that can be run (mine, digest ")
    assert terminal("run", "mine.yaml", "--out", "results").exit_code == 0
    assert terminal("verify", "mine.yaml", "--replicates", 2).exit_code == 0


def test_every_number_of_the_starting_design_is_marked(terminal: Terminal, here: Path) -> None:
    terminal("new", "mine.yaml")
    unmarked, marked_above = [], [False] * 20
    for line in (here / "mine.yaml").read_text("utf-8").splitlines()[4:]:
        depth = (len(line) - len(line.lstrip())) // 2
        marked_above[depth:] = ["CHANGE" in line] * (20 - depth)
        if re.search(r"\d", re.sub(r"#.*|\b[a-z]+_?\d\b", "", line)) and not any(marked_above[: depth + 1]):
            unmarked.append(line)
    assert unmarked == []


def test_new_does_not_overwrite(terminal: Terminal, here: Path) -> None:
    (here / "mine.yaml").write_text("precious")
    result = terminal("new", "mine.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "trialsim: 'mine.yaml' exists already and is left as it is. Choose another name.\n"
    assert files_of(here) == {"mine.yaml": b"precious"}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("mine.txt",), "'mine.txt' must end in .yaml."),
        (("nowhere/mine.yaml",), "cannot write 'nowhere/mine.yaml': No such file or directory."),
        (("mine.yaml", "--like", "resolv"), "no scenario 'resolv' in the library. Did you mean 'resolve'?"),
    ],
)
def test_new_refuses_in_one_message(terminal: Terminal, here: Path, args: tuple[str, ...], told: str) -> None:
    result = terminal("new", *args)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"trialsim: {told}\n")
    assert files_of(here) == {}


# --- schema -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema(terminal: Terminal) -> dict[str, object]:
    """What `trialsim schema` prints."""
    result = terminal("schema")
    assert (result.exit_code, result.stderr) == (0, "")
    return dict(json.loads(result.stdout))


def as_an_editor_reads(path: Path) -> object:
    """A design file's data as an editor hands them to a validator: dates are text."""
    return json.loads(json.dumps(YAML(typ="safe").load(path), default=str))


def test_the_schema_is_a_draft_2020_12_schema(schema: dict[str, object]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", sorted(library()))
def test_the_library_is_valid_under_the_schema(schema: dict[str, object], name: str) -> None:
    jsonschema.Draft202012Validator(schema).validate(as_an_editor_reads(library()[name]))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"arms": {"web": {"start_prob": 1.2}}}, ["arms", "web", "start_prob"]),
        ({"smaple_size": 90}, []),
        ({"arms": {"coach": {"delivery": {"kind": "nothing"}}}}, ["arms", "coach", "delivery"]),
    ],
)
def test_the_schema_finds_mistakes(
    schema: dict[str, object], tmp_path: Path, changes: dict[str, object], where: list[str]
) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(as_an_editor_reads(write_design(tmp_path / "good.yaml")))
    errors = list(validator.iter_errors(as_an_editor_reads(write_design(tmp_path / "bad.yaml", **changes))))
    assert [list(error.absolute_path) for error in errors] == [where]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"arms": {"web": None, "coach": {"effects": None, "delivery": {"coaches": 4}}}},
        {"allocation": {"ratio": {"coach": 2}}, "outcomes": {"pain": {"course": {"m3": None}}}},
        {"analyses": {"main": {"alpha": 0.01}, "other": None}, "changes": None, "clusters": None},
    ],
)
def test_a_file_that_extends_another_says_only_what_differs(
    schema: dict[str, object], changes: dict[str, object]
) -> None:
    jsonschema.Draft202012Validator(schema).validate({"extends": "resolve", **changes})


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"arms": {"web": {"start_prob": 1.2}}}, ["arms", "web", "start_prob"]),
        ({"smaple_size": 90}, []),
        ({"arms": {"coach": {"delivery": {"kind": "individual", "access_days": 3}}}}, ["arms", "coach", "delivery"]),
        ({"changes": [{"starts": None}]}, ["changes", 0, "starts"]),
    ],
)
def test_the_schema_finds_mistakes_in_what_differs(
    schema: dict[str, object], changes: dict[str, object], where: list[str]
) -> None:
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors({"extends": "resolve", **changes}))
    assert [list(jsonschema.exceptions.best_match([error]).absolute_path) for error in errors] == [where]


KINDS = [kind for part in get_args(get_args(Analysis)[0]) for kind in tags_of(part)]


def smallest(kind: str) -> dict[str, object]:
    """An analysis with nothing but the keys that it needs."""
    return {"kind": kind, "outcome": "pain"} | ({"function": "mine:own"} if kind == "user" else {})


def test_the_schema_knows_every_kind_of_analysis(schema: dict[str, object], tmp_path: Path) -> None:
    analyses = {kind: smallest(kind) for kind in KINDS}
    design = write_design(tmp_path / "kinds.yaml", analyses=analyses)
    jsonschema.Draft202012Validator(schema).validate(as_an_editor_reads(design))
    assert len(KINDS) == 19
    assert set(read_design(design).analyses) == {"responders", "change", *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_refuses_a_key_of_another_kind(schema: dict[str, object], tmp_path: Path, kind: str) -> None:
    analysis = {**smallest(kind), "heteroscedastic" if kind != "mixed" else "until_day": True}
    design = write_design(tmp_path / "wrong.yaml", analyses={"main": analysis})
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(as_an_editor_reads(design)))
    assert [list(error.absolute_path) for error in errors] == [["analyses", "main"]]


def test_every_key_of_a_design_file_is_explained(schema: dict[str, object]) -> None:
    parts = schema["$defs"]
    assert isinstance(parts, dict)
    keys = {
        f"{part}.{key}": about
        for part, content in parts.items()
        for key, about in content.get("properties", {}).items()
    }
    assert len(keys) > 100
    assert [key for key, about in keys.items() if not about.get("description") and "$ref" not in about] == []
