"""Missing data: three dials, and what complete cases, MMRM and multiple imputation make of them."""

from __future__ import annotations

import numpy as np

from trialsim.design.parts import Design
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Result, Sample, changed, measured, number_of, view, word_of

WAYS = {
    "complete_cases": ("complete cases", draw.ORANGE),
    "mmrm": ("MMRM", draw.BLUE),
    "imputed": ("multiple imputation", draw.GREEN),
}
"""By analysis: what people read, colour."""
DELTAS = (0.0, 3.0)
"""What is added to imputed values; the estimate is a straight line between."""
ANSWERED = tuple(f"observed/{arm}/m6" for arm in ("online", "usual"))


def on_screen(question: Question) -> Design:
    """The design with its dials turned."""
    arms = ["online"] if word_of(question, "where") == "online" else []
    dials = {name: number_of(question, name) for name in ("mar", "mnar")} | {"mcar": number_of(question, "mcar") / 100}
    return changed(question.design, {"observation.dials": {**dials, "arms": arms}})


def with_analyses(design: Design, *names: str) -> Design:
    """The design with some of its analyses only."""
    return design.model_copy(update={"analyses": {name: design.analyses[name] for name in names}})


def quick(question: Question) -> Designs:
    """The trial, without imputation."""
    return {"trial": with_analyses(on_screen(question), "complete_cases", "mmrm")}


def thorough(question: Question) -> Designs:
    """The trial with imputation."""
    return {"trial": on_screen(question)}


def methods(question: Question, samples: dict[str, Sample]) -> Answer:
    """Ways to deal with missing answers, each against the truth."""
    sample = samples["trial"]
    assert sample.estimates is not None
    done = {label.analysis for label in sample.estimates.labels}
    results = {name: sample.result(name) for name in WAYS if name in done}
    groups = [
        draw.estimated(result, key=name, label=WAYS[name][0], colour=WAYS[name][1]) for name, result in results.items()
    ]
    picture = panels.estimates(
        "Difference in change of pain at 6 months",
        x=draw.axis_of("difference, points", groups),
        groups=groups,
        nothing=0.0,
        note=f"{sample.n} trials. {draw.OF_ESTIMATES} Below 0: less pain with the programme.",
    )
    said = [_said(results)]
    return Answer([picture, _answered(sample)], [*said, *draw.failures(list(results.values()))])


def _said(results: dict[str, Result]) -> str:
    told = ", ".join(f"{WAYS[name][0]} {draw.pair(*result['bias'])}" for name, result in results.items())
    return f"By how much they miss the truth on average: {told} points."


def _answered(sample: Sample) -> panels.Panel:
    items = [
        draw.figure(name, f"answered at 6 months, {label}", sample.mean(name), digits=1, unit="%")
        for name, label in zip(ANSWERED, ("online CBT", "usual care"), strict=True)
    ]
    return panels.numbers("Who answers", items=items, note="± is simulation error.")


# --- what if the missing are worse than they look ---------------------------------------------------------------------


def shifted(question: Question) -> Designs:
    """The trial, imputed as if those in the programme who do not answer had so many points more than predicted."""
    design = with_analyses(on_screen(question), "imputed")
    return {f"{delta:g}": changed(design, {"analyses.imputed.missing.delta": {"online": delta}}) for delta in DELTAS}


def sensitivity(question: Question, samples: dict[str, Sample]) -> Answer:
    """The estimate by how much worse the missing are taken to be."""
    results = [one.result("imputed") for one in samples.values()]
    truth = results[0]["truth"][0]
    series = draw.line("delta", "multiple imputation", draw.GREEN, DELTAS, [one["mean estimate"] for one in results])
    picture = panels.curve(
        "What if the missing are worse than they seem?",
        x=panels.Axis("points added to every imputed value with the programme", 0.0, max(DELTAS)),
        y=draw.axis("mean difference, points", [*series.low, *series.high, truth]),
        series=[series],
        lines=[panels.Mark(truth, draw.TRUTH, "y"), panels.Mark(0.0, "no difference", "y")],
        note=f"{next(iter(samples.values())).n} trials at each value, 5 imputations; 95 % bands of simulation error.",
    )
    right = float(np.interp(truth, series.y, DELTAS, left=np.nan, right=np.nan))
    met = f" The truth is met at about {right:.1f} points, which no data of the trial could tell."
    first, last = (draw.pair(*one["mean estimate"]) for one in results)
    said = f"From {first} with nothing added to {last} with {DELTAS[-1]:g} points."
    return Answer([picture], [said + met if np.isfinite(right) else said, *draw.failures(results)])


PICK = measured(*ANSWERED)
VIEWS = {
    "methods": view("Complete cases and MMRM", quick, methods, pick=PICK),
    "imputation": view("With multiple imputation (5 imputations, 80 trials)", thorough, methods, pick=PICK, most=80),
    "sensitivity": view("What if the missing are worse?", shifted, sensitivity, pick=PICK, most=48),
}
