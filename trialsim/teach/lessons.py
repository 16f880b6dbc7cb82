"""Lessons of the live page: read from `configs/lessons/`, checked, every fault told at once.

A lesson is a short path of steps. Its numbers are never in its text: they come from the view that a step shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from trialsim.design.checks import CrossCheckError
from trialsim.design.library import library_dir
from trialsim.design.naming import Problem
from trialsim.design.reader import read_as, read_design
from trialsim.design.shape import close_to
from trialsim.design.values import Name, Number, Part, Positive
from trialsim.errors import TrialsimError
from trialsim.teach.knobs import Choice, Knob, KnobError
from trialsim.teach.questions import Scene
from trialsim.teach.views import LESSONS, views_of

SHELF = "lessons"
MARK = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]")
"""A word that has a meaning in the glossary: `[[term]]`, or `[[words shown|term]]`."""

Line = Annotated[str, Strict(), Field(min_length=1, max_length=300)]
Paragraph = Annotated[str, Strict(), Field(min_length=1, max_length=900)]
Group = Literal["Trial", "Effects", "Attendance", "Missing data", "Staff", "Clusters"]

# --- what a file says -------------------------------------------------------------------------------------------------


class KnobPart(Part):
    """What knobs of both kinds say."""

    label: Line
    """What people read beside the slider."""
    tip: Line
    """One sentence in plain words."""
    group: Group
    """The heading it stands under."""


class NumberKnob(KnobPart):
    """A number that can be moved."""

    kind: Literal["number"]
    """Says that it is a slider."""
    value: Number
    """Where it stands to begin with."""
    low: Number
    """Its lowest value."""
    high: Number
    """Its highest value."""
    step: Positive
    """From one value to the next."""
    unit: Annotated[str, Strict(), Field(max_length=20)] = ""
    """What is counted."""


class ChoiceKnob(KnobPart):
    """One of several words."""

    kind: Literal["choice"]
    """Says that one of several is chosen."""
    value: Name
    """Which one to begin with."""
    choices: Annotated[dict[Name, Line], Field(min_length=2, max_length=8)]
    """The words shown, by name."""


AnyKnob = Annotated[NumberKnob | ChoiceKnob, Field(discriminator="kind")]


class Quiz(Part):
    """What a class is asked before it sees the answer."""

    text: Paragraph
    """The question."""
    choices: Annotated[tuple[Line, ...], Field(min_length=2, max_length=5)]
    """Possible answers."""
    answer: Annotated[int, Strict(), Field(ge=0)]
    """Number of the right one, from 0."""
    why: Paragraph
    """Shown with the answer."""


class Step(Part):
    """One screen of a lesson."""

    kind: Literal["read", "question", "explore"]
    """read: text, perhaps with a picture; question: the picture comes after the choice; explore: knobs to move."""
    title: Line
    """Its heading."""
    text: Annotated[tuple[Paragraph, ...], Field(min_length=1, max_length=4)]
    """Its paragraphs."""
    view: Name | None = None
    """The computation shown; none = text alone."""
    values: dict[Name, Number | Name] = {}
    """Where knobs stand when the step opens; the others have their own value."""
    knobs: tuple[Name, ...] = ()
    """Those that can be moved here."""
    question: Quiz | None = None
    """For kind question."""


class LessonFile(Part):
    """A lesson as its file states it."""

    name: Name
    """The file's name, and that of the module with its views."""
    title: Line
    """What people choose it by."""
    minutes: Annotated[int, Strict(), Field(ge=5, le=15)]
    """How long it takes in class [minutes]."""
    what: Line
    """What it shows, in one sentence."""
    design: Name
    """Its design: a file of `lessons/designs/`."""
    description: Paragraph
    """What is simulated, and that it is invented (or whose numbers it has)."""
    knobs: Annotated[dict[Name, AnyKnob], Field(max_length=8)]
    """What can be moved, in order of the page."""
    steps: Annotated[tuple[Step, ...], Field(min_length=4, max_length=7)]
    """The path."""
    instructor: Annotated[tuple[Paragraph, ...], Field(min_length=3, max_length=8)]
    """What to say, typical wrong answers, what to try, something to discuss, what is assumed."""

    @model_validator(mode="after")
    def _consistent(self) -> LessonFile:
        checks = (_named_views, _knobs, _steps, _marks)
        problems = [problem for check in checks for problem in check(self)]
        if problems:
            raise CrossCheckError(problems)
        return self

    def knob(self, name: str) -> Knob:
        """A knob as the page has it. Whole numbers where its steps are whole."""
        part = self.knobs[name]
        if isinstance(part, ChoiceKnob):
            choices = tuple(Choice(value, label) for value, label in part.choices.items())
            return Knob(name, part.label, part.tip, part.value, part.group, choices=choices)
        value, low, high, step = (_whole(x) for x in (part.value, part.low, part.high, part.step))
        return Knob(name, part.label, part.tip, value, part.group, low, high, step, part.unit)


class TermsFile(Part):
    """The glossary."""

    terms: Annotated[dict[Line, Line], Field(min_length=1)]
    """Each word's meaning, in one plain sentence."""


def _whole(x: float) -> float | int:
    return int(x) if float(x).is_integer() else float(x)


# --- checks between parts ---------------------------------------------------------------------------------------------


def _named_views(lesson: LessonFile) -> Iterator[Problem]:
    if lesson.name not in LESSONS:
        yield ("name",), "no module of views has this name", _meant(lesson.name, LESSONS)
        return
    known = views_of(lesson.name)
    for i, step in enumerate(lesson.steps):
        if step.view is not None and step.view not in known:
            yield ("steps", i, "view"), f"'{step.view}' is not a view of the lesson", _meant(step.view, known)


def _knobs(lesson: LessonFile) -> Iterator[Problem]:
    for name, part in lesson.knobs.items():
        path = ("knobs", name, "value")
        if isinstance(part, ChoiceKnob):
            if part.value not in part.choices:
                yield path, f"'{part.value}' is not one of its choices", _meant(part.value, part.choices)
        elif not part.low < part.high:
            yield ("knobs", name, "high"), "must be above low", ""
        else:
            yield from _standing(lesson, name, part.value, path)


def _standing(lesson: LessonFile, name: str, value: float | str, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Whether a knob can stand there: within its limits, on one of its steps."""
    knob = lesson.knob(name)
    try:
        knob.checked(_whole(value) if isinstance(value, float | int) else value)
    except KnobError as error:
        yield path, str(error).rstrip("."), ""
        return
    if not knob.choices and isinstance(value, float | int):
        steps = (value - knob.low) / knob.step
        if abs(steps - round(steps)) > 1e-6:
            yield path, f"{value:g} is not a whole number of steps of {knob.step:g} above {knob.low:g}", ""


def _steps(lesson: LessonFile) -> Iterator[Problem]:
    for i, step in enumerate(lesson.steps):
        path = ("steps", i)
        yield from _kind(step, path)
        for name in step.knobs:
            if name not in lesson.knobs:
                yield (*path, "knobs"), f"'{name}' is not a knob of the lesson", _meant(name, lesson.knobs)
        for name, value in step.values.items():
            if name in lesson.knobs:
                yield from _standing(lesson, name, value, (*path, "values", name))
            else:
                yield (*path, "values", name), "is not a knob of the lesson", _meant(name, lesson.knobs)
        if step.question is not None and step.question.answer >= len(step.question.choices):
            yield (*path, "question", "answer"), f"there are {len(step.question.choices)} choices, from 0", ""


def _kind(step: Step, path: tuple[str | int, ...]) -> Iterator[Problem]:
    if (step.kind == "question") != (step.question is not None):
        yield (*path, "question"), "goes with kind question, and only with it", ""
    if step.kind != "read" and step.view is None:
        yield path, f"a step of kind {step.kind} needs a view", ""
    if step.kind == "explore" and not step.knobs:
        yield path, "a step to explore needs knobs", ""
    if step.view is None and (step.knobs or step.values):
        yield path, "a step without a view has nothing to move", ""


def _marks(lesson: LessonFile) -> Iterator[Problem]:
    known = terms()
    for path, text in texts(lesson):
        for match in MARK.finditer(text):
            term = match[2] or match[1]
            if term not in known:
                yield path, f"'{term}' is not in the glossary", _meant(term, known)
        if "[[" in MARK.sub("", text) or "]]" in MARK.sub("", text):
            yield path, "has brackets that mark no word", "Write [[word]] or [[words shown|word]]."


def texts(lesson: LessonFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text that a class or its instructor reads, and where it stands; in the order of reading."""
    yield ("what",), lesson.what
    yield ("description",), lesson.description
    for i, step in enumerate(lesson.steps):
        for j, paragraph in enumerate(step.text):
            yield ("steps", i, "text", j), paragraph
        if step.question is not None:
            yield ("steps", i, "question", "text"), step.question.text
            for j, choice in enumerate(step.question.choices):
                yield ("steps", i, "question", "choices", j), choice
            yield ("steps", i, "question", "why"), step.question.why
    for i, paragraph in enumerate(lesson.instructor):
        yield ("instructor", i), paragraph


def _meant(name: str, known: Any) -> str:
    close = close_to(name, list(known))
    return f"Did you mean '{close}'?" if close else f"There are: {', '.join(known)}."


# --- lessons as the page has them -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """A lesson, ready to be shown: what its file says, and its scene."""

    file: LessonFile
    scene: Scene

    @property
    def name(self) -> str:
        """Its short name."""
        return self.file.name

    def summary(self) -> dict[str, Any]:
        """What the list of lessons says of it."""
        return {name: getattr(self.file, name) for name in ("name", "title", "minutes", "what")}

    def data(self) -> dict[str, Any]:
        """As the page reads it."""
        steps = [_step_data(self.file, step) for step in self.file.steps]
        return {**self.summary(), "scene": self.scene.data(), "steps": steps, "instructor": list(self.file.instructor)}


def _step_data(lesson: LessonFile, step: Step) -> dict[str, Any]:
    values = {name: lesson.knob(name).checked(_standing_at(value)) for name, value in step.values.items()}
    quiz = step.question
    question = None if quiz is None else {**quiz.model_dump(), "choices": list(quiz.choices)}
    lists = {"text": list(step.text), "knobs": list(step.knobs), "values": values}
    return {"kind": step.kind, "title": step.title, "view": step.view, **lists, "question": question}


def _standing_at(value: float | str) -> float | str:
    return value if isinstance(value, str) else _whole(value)


@lru_cache(maxsize=1)
def lessons() -> Mapping[str, Lesson]:
    """All lessons by name, in the order of a course. DesignError with every fault of the first file that has any."""
    return {name: read_lesson(_folder() / f"{name}.yaml") for name in LESSONS}


def lesson(name: str) -> Lesson:
    """One lesson. TrialsimError where there is none of that name."""
    if name not in LESSONS:
        raise TrialsimError(f"there is no lesson '{name}'. {_meant(name, LESSONS)}")
    return lessons()[name]


def read_lesson(path: Path) -> Lesson:
    """The lesson of a file, with its design. DesignError with every fault found, TrialsimError if there is no file."""
    file = read_as(LessonFile, path)
    scene = Scene(
        name=file.name,
        title=file.title,
        description=file.description,
        design=read_design(_folder() / "designs" / f"{file.design}.yaml"),
        knobs=tuple(file.knob(name) for name in file.knobs),
        views=views_of(file.name),
    )
    return Lesson(file, scene)


@lru_cache(maxsize=1)
def terms() -> Mapping[str, str]:
    """The glossary: each word that lessons mark, and its meaning in one plain sentence."""
    return read_as(TermsFile, _folder() / "terms.yaml").terms


def _folder() -> Path:
    return library_dir() / SHELF
