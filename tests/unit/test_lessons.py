"""Lessons as files and as the page has them: they read, their views compute, their words are explained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import engine_differences, run
from test_scenarios import unmarked

from trialsim.analysis.user import Info
from trialsim.design.library import library, library_dir
from trialsim.design.reader import digest, read_design
from trialsim.errors import DesignError, TrialsimError
from trialsim.teach.as_treated import as_treated
from trialsim.teach.lessons import MARK, Lesson, lesson, lessons, read_lesson, terms, texts
from trialsim.teach.questions import Answer, Question, answered
from trialsim.teach.views import LESSONS, views_of

FOLDER = library_dir() / "lessons"
DESIGNS = sorted(path.stem for path in (FOLDER / "designs").glob("*.yaml") if path.stem != "classroom")
SCREENS = [
    (name, i) for name in LESSONS for i, step in enumerate(lessons()[name].file.steps) if step.view is not None
]  # fmt: skip
"""Every step with a view."""


def asked(name: str, step: int, *, replicates: int) -> Answer:
    """The answer that a step shows when it opens."""
    one = lessons()[name]
    data = one.data()["steps"][step]
    return _answer(one.scene.question(data["view"], data["values"], replicates=replicates))


@cache
def _answer(question: Question) -> Answer:
    return answered(views_of(question.scene)[question.view], question)


# --- the files --------------------------------------------------------------------------------------------------------


def test_each_lesson_has_its_file_and_its_module() -> None:
    assert set(library("lessons")) == {*LESSONS, "terms"}
    assert list(lessons()) == list(LESSONS)
    assert {one.file.name for one in lessons().values()} == set(LESSONS)


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_what_the_page_expects(name: str) -> None:
    data = lesson(name).data()
    assert set(data) == {"name", "title", "minutes", "what", "scene", "steps", "instructor"}
    assert set(data["scene"]) == {"name", "title", "description", "knobs", "views", "seed"}
    for step in data["steps"]:
        assert set(step) == {"kind", "title", "text", "view", "values", "knobs", "question"}
        assert step["view"] is None or step["view"] in {view["name"] for view in data["scene"]["views"]}
        assert (step["question"] is not None) == (step["kind"] == "question")
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert 5 <= data["minutes"] <= 15


@pytest.mark.parametrize("name", LESSONS)
def test_a_class_predicts_before_it_sees_and_can_move_something(name: str) -> None:
    steps = lesson(name).file.steps
    assert sum(step.kind == "question" for step in steps) >= 4
    assert steps[-1].kind == "explore"
    assert {knob for step in steps for knob in step.knobs} == set(lesson(name).file.knobs)
    assert {step.view for step in steps} - {None} == set(views_of(name))


@pytest.mark.parametrize("name", LESSONS)
def test_an_instructor_is_told_what_to_say_what_goes_wrong_what_to_try_and_what_is_assumed(name: str) -> None:
    first_words = [paragraph.split(":")[0] for paragraph in lesson(name).file.instructor]
    assert first_words[:4] == ["Say", "Typical wrong answers", "Try", "Discuss"]
    assert first_words[-1] in ("Assumed", "Sources")


@pytest.mark.parametrize("name", LESSONS)
def test_what_is_invented_is_called_so(name: str) -> None:
    description = lesson(name).file.description
    sourced = {"published_and_simulated": "JAMA 2025", "forty_percent_better": "assumed"}
    assert sourced.get(name, "invented") in description


def test_a_lesson_that_there_is_not() -> None:
    with pytest.raises(TrialsimError, match=r"^there is no lesson 'multiplicty'\. Did you mean 'multiplicity'\?$"):
        lesson("multiplicty")


# --- the designs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_says_where_its_numbers_come_from_and_both_engines_run_it(name: str) -> None:
    path = FOLDER / "designs" / f"{name}.yaml"
    assert unmarked(path.read_text("utf-8")) == []
    design = read_design(path, overrides=["sample_size=40"])
    assert design.name == name
    assert design.title
    process, vector = (run(design, n=1, engine=engine) for engine in ("process", "vector"))
    assert engine_differences(process, vector) == []


def test_the_lessons_use_the_designs() -> None:
    used = {one.file.design for one in lessons().values()}
    assert set(DESIGNS) == used | {"invented", "coached", "resolve_other_world"}


def test_an_as_treated_analysis_compares_by_what_was_attended() -> None:
    table = pd.DataFrame(
        {
            "arm": ["a", "a", "a", "b", "b", "b"],
            "baseline_pain": [6.0, 6.0, 6.0, 6.0, 6.0, 6.0],
            "pain_m3": [4.0, 3.0, 6.0, 5.0, np.nan, 7.0],
            "sessions_m3": [2, 1, 0, 0, 0, 0],
        }
    )
    info = Info("x", "pain", (), ("a", "b"), ("m3",), ("a - b",), 0.05, "score", "lower", 0.3)
    (row,) = as_treated(table, info)
    assert row["estimate"] == pytest.approx(-2.5 - 0.0)
    assert row["std_error"] == pytest.approx((0.5 / 2 + 1.0 / 3) ** 0.5)
    assert row["n_used"] == 5


# --- the views --------------------------------------------------------------------------------------------------------

PARTS = {
    "curve": {"x", "y", "lines", "series"},
    "intervals": {"x", "truth", "nothing", "rows", "counts"},
    "estimates": {"x", "groups", "nothing"},
    "bars": {"y", "bars", "lines", "published"},
    "numbers": {"items"},
    "published": {"rows"},
    "waterfall": {"y", "steps"},
}
COMMON = {"kind", "title", "note", "table"}


def drawn(panel: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a panel consists of."""
    for name in ("series", "rows", "groups", "bars", "items", "steps"):
        yield from panel.get(name, ())


def check_panel(panel: dict[str, Any]) -> None:
    assert set(panel) == COMMON | PARTS[panel["kind"]]
    assert panel["title"]
    assert re.search(r"simulation error|formula", panel["note"]) or panel["kind"] in ("intervals", "numbers"), panel
    rows = [len(row) for row in panel["table"]["rows"]]
    assert set(rows) == {len(panel["table"]["head"])}
    parts = list(drawn(panel))
    assert parts
    for part in parts:
        assert 0 <= part.get("colour", 0) <= 7
        if panel["kind"] == "curve":
            assert len(part["x"]) == len(part["y"]) == len(part["low"]) == len(part["high"]) > 0
        if panel["kind"] == "estimates":
            assert len(part["sample"]) <= 100
            assert part["low"] <= part["mean"] <= part["high"]
            assert part["truth_label"]
    if panel["kind"] == "intervals":
        assert len(panel["rows"]) <= 100


@pytest.mark.parametrize(("name", "step"), SCREENS, ids=str)
def test_every_step_shows_finite_numbers_in_panels_that_the_page_can_draw(name: str, step: int) -> None:
    answer = asked(name, step, replicates=4)
    assert answer.panels
    json.dumps(answer.panels, allow_nan=False)
    for panel in answer.panels:
        check_panel(panel)
    assert answer.says
    assert not [said for said in answer.says if "nan" in said.lower()]


@pytest.mark.parametrize("name", LESSONS)
def test_a_view_says_the_same_however_its_work_is_cut_and_works_with_one_replicate(name: str) -> None:
    scene = lessons()[name].scene
    view_name, n = {"published_and_simulated": "fitted", "missing_data": "methods"}.get(name, list(scene.views)[-1]), 5
    view, question = scene.views[view_name], scene.question(view_name, replicates=n)
    whole = view.answer(question, [view.part(question, 0, n)])
    pieces = view.answer(question, [view.part(question, 0, n - 2), view.part(question, n - 2, 2)])
    assert pieces.panels == whole.panels
    assert pieces.says == whole.says
    alone = view.answer(question, [view.part(question, 0, 1)])
    json.dumps(alone.panels, allow_nan=False)


@pytest.mark.parametrize("name", LESSONS)
def test_every_view_gives_its_design_and_the_command(name: str) -> None:
    scene = lessons()[name].scene
    for view_name, view in scene.views.items():
        question = scene.question(view_name, replicates=500)
        assert view.design(question).analyses or view_name == "nothing"
        command = view.command(question, "my_trial.yaml")
        assert re.fullmatch(
            r"trialsim (run|power|compare) my_trial\.yaml (--nulls |--targets resolve )?--replicates \d+ --seed 1",
            command,
        )
        assert int(command.split("--replicates ")[1].split()[0]) <= 500


def test_a_view_with_fewer_replicates_leaves_the_rest_undone() -> None:
    scene = lessons()["forty_percent_better"].scene
    view, question = scene.views["randomized"], scene.question("randomized")
    assert view.part(question, 200, 16) == {}
    assert view.part(question, 192, 16)["trial"].n == 8


# --- words ------------------------------------------------------------------------------------------------------------

JARGON = (
    "power", "ICC", "confidence interval", "p value", "replicate", "estimand", "bias", "standard error", "confounding",
    "regression to the mean", "intention to treat", "per protocol", "as treated", "complier effect", "MCAR", "MAR",
    "MNAR", "complete cases", "MMRM", "multiple imputation", "design effect", "robust error", "significant",
    "false positive", "false claim", "family-wise error", "Bonferroni", "Holm", "Hochberg", "LSD", "Dunnett", "fitted",
    "predicted", "calibration", "benchmark", "control group", "natural course", "threshold", "randomized", "randomizes",
    "CBT", "usual care", "true effect", "estimate", "arm", "caseload", "adjusted", "cohort", "variance", "imputed",
    "sensitivity analysis", "independent", "published", "type M error", "SD", "baseline", "responder", "coverage",
)  # fmt: skip
"""Words that nobody has to know."""


def read_aloud(one: Lesson) -> str:
    """What a class reads on the way, in order."""
    return "\n".join(text for (part, *_), text in texts(one.file) if part == "steps")


def unexplained(text: str) -> list[str]:
    """Words of JARGON that first occur outside a mark."""
    marked = [range(*match.span()) for match in MARK.finditer(text)]
    found = []
    for word in JARGON:
        flags = 0 if word.isupper() else re.IGNORECASE
        first = re.search(rf"(?<![A-Za-z-]){re.escape(word)}s?(?![A-Za-z])", text, flags)
        if first and not any(first.start() in span for span in marked):
            found.append(word)
    return found


@pytest.mark.parametrize("name", LESSONS)
def test_no_jargon_without_an_explanation_where_it_first_occurs(name: str) -> None:
    assert unexplained(read_aloud(lesson(name))) == []


def test_a_word_that_is_not_explained_is_found() -> None:
    assert unexplained("The power is low. [[power]]") == ["power"]
    assert unexplained("[[Power|power]] is low, and power is bought.") == []
    assert unexplained("An armchair, a biased view and an SDK.") == []


def test_every_marked_word_has_a_meaning_of_one_plain_sentence() -> None:
    for one in lessons().values():
        for _, text in texts(one.file):
            assert all((match[2] or match[1]) in terms() for match in MARK.finditer(text))
    for term, meaning in terms().items():
        assert re.fullmatch(r"[^.?!]*(\.\d[^.?!]*)*\.", meaning), term
        assert "[[" not in meaning


def test_the_glossary_explains_what_is_said_beside_pictures() -> None:
    """The page finds these words by itself."""
    assert {"simulation error", "truth", "power", "bias", "ICC", "replicate", "p value"} <= set(terms())
    lower = [term.lower() for term in terms()]
    assert len(lower) == len(set(lower))


@pytest.mark.parametrize("name", LESSONS)
def test_texts_are_plain(name: str) -> None:
    """No HTML, no emphasis marks, and nothing marked where the page shows plain words."""
    file = lesson(name).file
    everything = [text for _, text in texts(file)] + [step.title for step in file.steps] + [file.title]
    assert not [
        text for text in everything if re.search(r"<\w|&\w+;|\*\w|`", text) and "adherence.wait_effect" not in text
    ]
    plain = [file.what, file.description, file.title, *(step.title for step in file.steps)]
    plain += [text for knob in file.knobs.values() for text in (knob.label, knob.tip)]
    assert not [text for text in plain if "[[" in text]


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path) -> Any:
    """Read a lesson's file with some texts replaced; the faults that are told."""

    def read(name: str, *changes: tuple[str, str]) -> list[str]:
        text = (FOLDER / f"{name}.yaml").read_text("utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, "utf-8")
        with pytest.raises(DesignError) as error:
            read_lesson(path)
        return [f"{fault.path}: {fault.rule} {fault.hint}".strip() for fault in error.value.faults]

    return read


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("view: dance", "view: dans", "steps.0.view: 'dans' is not a view of the lesson Did you mean 'dance'?"),
        ("knobs: [n, effect]", "knobs: [n, efect]", "steps.0.knobs: 'efect' is not a knob of the lesson Did you mean 'effect'?"),
        ("{n: 100, effect: -0.5}", "{n: 110, effect: -0.5}", "steps.0.values.n: 110 is not a whole number of steps of 50 above 50"),
        ("{n: 100, effect: -0.5}", "{n: 100, effect: 2}", "steps.0.values.effect: Effect of the programme must be from -1 to 0"),
        ("{n: 100, effect: -0.5}", "{m: 100}", "steps.0.values.m: is not a knob of the lesson There are: n, effect."),
        ("answer: 2", "answer: 4", "steps.0.question.answer: there are 4 choices, from 0"),
        ("[[p value]]", "[[p walue]]", "steps.0.question.text: 'p walue' is not in the glossary Did you mean 'p value'?"),
        ("[[p value]]", "[[p value]", "steps.0.question.text: has brackets that mark no word Write [[word]] or [[words shown|word]]."),
        ("kind: explore", "kind: question", "steps.5.question: goes with kind question, and only with it"),
        ("high: 600", "high: 50", "knobs.n.high: must be above low"),
        ("value: 100", "value: 120", "knobs.n.value: 120 is not a whole number of steps of 50 above 50"),
        ("minutes: 15", "minutes: 50", "minutes: must be at most 15"),
        ("name: power_and_p", "name: power_and_q", "name: no module of views has this name Did you mean 'power_and_p'?"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(broken: Any, old: str, new: str, told: str) -> None:
    assert told in broken("power_and_p", (old, new))


def test_all_faults_are_told_at_once(broken: Any) -> None:
    told = broken(
        "missing_data",
        ("value: online\n", "value: onlin\n"),
        ("view: methods", "view: method"),
        ("[[MMRM]]", "[[MMRN]]"),
    )
    assert [text.split(":")[0] for text in told] == ["knobs.where.value", "steps.1.view", "steps.1.question.why"]


def test_steps_that_cannot_be_walked(broken: Any) -> None:
    text = ("    view: ways\n    values: {start: 40}\n", "")
    assert broken("itt_and_compliers", text) == [
        "steps.6: a step of kind explore needs a view",
        "steps.6: a step without a view has nothing to move",
    ]


# --- the page of the documentation ------------------------------------------------------------------------------------


def test_the_overview_for_instructors_is_about_the_lessons_as_they_are() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "lessons.md").read_text("utf-8")
    stale = "stale: run python scripts/lessons_page.py"
    for one in lessons().values():
        assert f"## {one.file.title}\n" in page, stale
        assert f"`{digest(one.scene.design)}`" in page, stale
        for step in one.file.steps:
            if step.question is not None:
                assert MARK.sub(r"\1", step.question.choices[step.question.answer]) in page, stale
