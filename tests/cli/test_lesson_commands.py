"""The command that a lesson gives beside its design prints the numbers that were on the screen."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from outside import Terminal

from trialsim.design.reader import resolved_yaml
from trialsim.teach.lessons import lessons
from trialsim.teach.questions import Question
from trialsim.teach.views.multiplicity import decided, errors_of
from trialsim.teach.views.samples import Sample

N, SEED = 32, 7


def on_screen(lesson: str, view: str, **values: Any) -> tuple[Question, Sample]:
    """A question, and what its first design's replicates say."""
    scene = lessons()[lesson].scene
    question = scene.question(view, values, seed=SEED, replicates=N)
    return question, next(iter(scene.views[view].part(question, 0, N).values()))


def printed(terminal: Terminal, here: Path, question: Question) -> Any:
    """What the command says about the downloaded design, as JSON."""
    view = lessons()[question.scene].scene.views[question.view]
    (here / "mine.yaml").write_text(resolved_yaml(view.design(question)), "utf-8")
    program, *arguments = shlex.split(view.command(question, "mine.yaml"))
    assert program == "trialsim"
    result = terminal(*arguments, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("lesson", "view", "analysis", "values"),
    [
        ("why_randomize", "cohorts", "plain", {"severity": 0.4, "n": 100}),
        ("power_and_p", "dance", "change", {"n": 100}),
        ("itt_and_compliers", "ways", "as_treated", {"n": 100}),
    ],
)
def test_run_prints_what_was_on_the_screen(
    terminal: Terminal, here: Path, lesson: str, view: str, analysis: str, values: dict[str, Any]
) -> None:
    question, sample = on_screen(lesson, view, **values)
    result = sample.result(analysis)
    told = {
        row["statistic"]: (row["value"], row["mcse"])
        for row in printed(terminal, here, question)["performance"]
        if (row["analysis"], row["contrast"], row["measure"]) == (analysis, result.label.contrast, result.label.measure)
    }
    for statistic in ("power", "mean estimate", "empirical SE", "model SE"):
        assert told[statistic] == result[statistic], statistic


def test_power_prints_the_errors_and_powers_that_were_on_the_screen(terminal: Terminal, here: Path) -> None:
    question, sample = on_screen("multiplicity", "procedures", therapist=-0.6, web=0.0)
    made = decided(question, sample, lessons()["multiplicity"].scene.views["procedures"].design(question))
    told = printed(terminal, here, question)
    alike = [row for row in told["nulls"] if [set(arms) for arms in row["equal"]] == [{"web", "usual"}]]
    errors = {row["decision"]: row["error"] for row in alike}
    assert errors == {name: value for name, (value, _) in errors_of(question, made).items()}
    powers = {row["decision"]: row["value"] for row in told["power"] if row["contrast"] == "therapist - usual"}
    assert powers == {name: one.favourable[:, 0].mean() for name, one in made.items()}
