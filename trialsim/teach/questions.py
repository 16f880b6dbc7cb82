"""What is asked of the live page and what it answers: scenes, views, questions, and work that comes in pieces.

A view's work is cut into pieces of replicates, so that no question keeps a worker from the others for long. How it is
cut changes no number: a replicate is the same in any company, and parts come back in order of replicate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from trialsim.design.parts import Design
from trialsim.teach.knobs import Knob, Value
from trialsim.teach.panels import Panel

MOST_REPLICATES = 1000
"""Replicates that one question may be about."""


@dataclass(frozen=True)
class Question:
    """What is on the screen of one browser, checked. It can be sent to a worker, and equal ones have equal answers."""

    scene: str
    view: str
    values: tuple[tuple[str, Value], ...]
    """Every knob of the scene with its value."""
    seed: int
    replicates: int
    document: str = field(repr=False)
    """The scene's own design as JSON."""

    @property
    def design(self) -> Design:
        """The scene's own design, before any knob is turned."""
        return design_of_json(self.document)

    @property
    def value(self) -> dict[str, Value]:
        """The knobs by name."""
        return dict(self.values)


@lru_cache(maxsize=64)
def design_of_json(document: str) -> Design:
    """A design of its JSON, made once."""
    return Design.model_validate_json(document)


@dataclass(frozen=True)
class Answer:
    """What is drawn and said. `replicates` is how many it rests on, which may be fewer than were asked for."""

    panels: Sequence[Panel]
    says: Sequence[str] = ()
    """Sentences for all to read, screen readers too: the answer in words, and what it leaves out."""
    options: Sequence[str] = ()
    """What the view's command needs besides for these numbers, such as `--skip-failed`."""


@dataclass(frozen=True)
class View:
    """One computation.

    part
        (question, first, n) -> what replicates first ... first + n - 1 say, picklable; called in a worker, in pieces of
        about 50 ms of work. Numbers must not depend on how replicates are cut: put parts together, then compute.
    answer
        (question, parts) -> the answer of all parts, in order of replicate, from 0 without gaps; quick (a few ms).
        There may be fewer replicates than the question has: count those that are there.
    design
        The design on the screen, which the page offers for download.
    command
        (question, name of the downloaded file) -> the command whose numbers are those on the screen;
        `question.replicates` is then the number that the answer rests on.
    most
        Replicates that it makes at most, of however many are asked for.
    """

    title: str
    part: Callable[[Question, int, int], Any]
    answer: Callable[[Question, list[Any]], Answer]
    design: Callable[[Question], Design]
    command: Callable[[Question, str], str]
    most: int = MOST_REPLICATES


@dataclass(frozen=True)
class Scene:
    """What can be seen and moved: the free page, or a lesson's own."""

    name: str
    title: str
    description: str
    design: Design
    knobs: tuple[Knob, ...]
    views: Mapping[str, View]
    seed: int = 1

    def data(self) -> dict[str, Any]:
        """As the page reads it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "knobs": [knob.data() for knob in self.knobs],
            "views": [{"name": name, "title": view.title} for name, view in self.views.items()],
            "seed": self.seed,
        }

    def question(
        self, view: str, values: Mapping[str, Value] | None = None, *, seed: int | None = None, replicates: int = 500
    ) -> Question:
        """A question in Python: knobs that are not named have their own values. Nothing is checked."""
        known = {knob.name: knob.value for knob in self.knobs} | dict(values or {})
        document = self.design.model_dump_json()
        return Question(
            self.name, view, tuple(known.items()), self.seed if seed is None else seed, replicates, document
        )


def answered(view: View, question: Question, *, at_once: int = 64) -> Answer:
    """The answer worked out here and now, in pieces of `at_once` replicates; for tests and notebooks."""
    total = min(question.replicates, view.most)
    parts = [view.part(question, first, min(at_once, total - first)) for first in range(0, total, at_once)]
    return view.answer(question, parts)
