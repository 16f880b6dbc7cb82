"""Why randomize: the same people in cohorts that chose for themselves, and randomized."""

from __future__ import annotations

from typing import Any

from trialsim.design.parts import Design
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Result, Sample, changed, number_of, view

PLAIN, ADJUSTED = "plain", "adjusted"


def designs(question: Question) -> Designs:
    """The cohorts that chose, and the same people randomized."""
    severity, motivation = number_of(question, "severity"), number_of(question, "motivation")
    world = changed(
        question.design,
        {
            "sample_size": int(number_of(question, "n")),
            "arms.online.effects.pain.by_visit.m3": number_of(question, "effect"),
        },
    )
    return {"chosen": chosen(world, severity=severity, motivation=motivation), "randomized": world}


def chosen(world: Design, *, severity: float, motivation: float) -> Design:
    """Nobody randomizes: who is in more pain, and who is more motivated, chooses the programme more often.

    Per point of pain and per SD of motivation [probit units]. The programme comes first, so its tendency is negative.
    """
    tendency: dict[str, Any] = {"baseline": {"pain": 0.0 - severity}, "motivation": 0.0 - motivation}
    allocation = {"kind": "cohorts", "ratio": {"online": 1, "usual": 1}, "tendency": tendency}
    return changed(world, {"allocation": allocation})


def answer(question: Question, samples: dict[str, Sample]) -> Answer:
    """Four ways to estimate the same effect, each beside the truth."""
    results = {
        (where, how): samples[where].result(how) for where in ("chosen", "randomized") for how in (PLAIN, ADJUSTED)
    }
    words = {PLAIN: "plain difference", ADJUSTED: "adjusted for pain at the start"}
    people = {"chosen": "They choose", "randomized": "A coin decides"}
    colours = {
        ("chosen", PLAIN): draw.RED, ("chosen", ADJUSTED): draw.ORANGE,
        ("randomized", PLAIN): draw.BLUE, ("randomized", ADJUSTED): draw.SKY,
    }  # fmt: skip
    groups = [
        draw.estimated(result, key=f"{where}_{how}", label=f"{people[where]}: {words[how]}", colour=colours[where, how])
        for (where, how), result in results.items()
    ]
    picture = panels.estimates(
        "Difference in pain at 3 months, online CBT minus usual care",
        x=draw.axis_of("difference, points", groups),
        groups=groups,
        nothing=0.0,
        note=f"{draw.OF_ESTIMATES} Below 0: less pain with the programme.",
    )
    said = [_said(label, {how: results[who, how] for how in words}) for who, label in people.items()]
    return Answer([picture], [*said, *draw.failures(list(results.values()))])


def _said(who: str, found: dict[str, Result]) -> str:
    plain, adjusted = (draw.pair(*found[how]["bias"]) for how in (PLAIN, ADJUSTED))
    return f"{who}: the plain difference misses the truth by {plain} points on average, the adjusted one by {adjusted}."


VIEWS = {"cohorts": view("Choosing and randomizing, the same people", designs, answer)}
