"""Every scene of the page by name, and what workers do: a piece of a view, the replay of one trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from trialsim.design.parts import Design
from trialsim.teach import explore
from trialsim.teach.questions import Question, View
from trialsim.teach.views import views_of


def view_of(question: Question) -> View:
    """The view that a question is about. It is looked up by name: views do not travel to workers."""
    if question.scene == explore.NAME:
        return explore.VIEW
    return views_of(question.scene)[question.view]


@dataclass(frozen=True)
class Piece:
    """Some replicates of a question, as they are sent to a worker."""

    question: Question
    first: int
    n: int


@dataclass(frozen=True)
class Done:
    """What a worker sends back, and how much of a processor's time that took [s]: other programs do not count."""

    part: Any
    seconds: float


def work(piece: Piece) -> Done:
    """In a worker: a piece of a view."""
    started = time.process_time()
    part = view_of(piece.question).part(piece.question, piece.first, piece.n)
    return Done(part, time.process_time() - started)


def replay(piece: Piece) -> Done:
    """In a worker: replicate `first` of the design on the screen as data for the animation."""
    from trialsim.report.replay_data import replay_data
    from trialsim.trial import simulate

    started = time.process_time()
    design: Design = view_of(piece.question).design(piece.question)
    data = replay_data(simulate(design, seed=piece.question.seed, replicate=piece.first, engine="vector"))
    return Done(data, time.process_time() - started)
