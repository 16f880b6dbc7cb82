"""Regression to the mean: what a threshold at entry does to change, in each arm and between them."""

from __future__ import annotations

from trialsim.design.parts import Design
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Given, Sample, changed, measured, number_of, paired, view

THRESHOLDS = (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
CRITERION = "funnel.eligible.criteria.too little pain.at_least"
COURSE, EFFECT = "outcomes.pain.course.m3", "arms.online.effects.pain.by_visit.m3"
USUAL, ONLINE = (f"outcome/pain/{arm}/m3/mean_change" for arm in ("usual", "online"))
NOTE = "95 % bands of simulation error. Below 0: less pain than at the start."


def on_screen(question: Question) -> Design:
    """The design with its knobs turned."""
    return changed(
        question.design,
        {
            CRITERION: number_of(question, "threshold"),
            "outcomes.pain.entry_sd": number_of(question, "passing"),
            COURSE: number_of(question, "course"),
            EFFECT: number_of(question, "effect"),
        },
    )


# --- what a change is made of -----------------------------------------------------------------------------------------


def taken_away(question: Question) -> Designs:
    """The trial; then without the programme's effect; then without the natural course too: nothing happens at all."""
    whole = on_screen(question)
    course = changed(whole, {EFFECT: 0.0})
    return {"whole": whole, "course": course, "nothing": changed(course, {COURSE: 0.0})}


def parts(question: Question, samples: dict[str, Sample]) -> Answer:
    """Change in both arms, their difference, and what the change in the programme's arm is made of."""
    whole, result = samples["whole"], samples["whole"].result("change")
    truth = result["truth"][0]
    arms = [
        draw.bar("usual", "usual care", whole.mean(USUAL), colour=draw.ORANGE, share=False),
        draw.bar("online", "online CBT", whole.mean(ONLINE), colour=draw.BLUE, share=False),
        draw.bar("difference", "difference between arms", result["mean estimate"], colour=draw.GREEN, share=False),
    ]
    ends = [x for one in arms for x in (one.low, one.high)] + [truth]
    title = "Change in pain from the start to 3 months"
    marks = [panels.Mark(truth, "true effect", "y")]
    changes = panels.bars(title, y=draw.axis("change, points", ends), bars=arms, lines=marks, note=NOTE)
    return Answer([changes, _fall(samples)], [_said(samples), *draw.failures([result])])


def _steps(samples: dict[str, Sample], arm: str) -> tuple[Given, Given, Given]:
    """Regression to the mean, natural course and effect in one arm, each with its error."""
    whole, course, nothing = (samples[name].values[arm] for name in ("whole", "course", "nothing"))
    return samples["nothing"].mean(arm), paired(nothing, course), paired(course, whole)


def _fall(samples: dict[str, Sample]) -> panels.Panel:
    selection, course, effect = _steps(samples, ONLINE)
    total = samples["whole"].mean(ONLINE)
    steps = [
        panels.Fall("regression to the mean", *selection),
        panels.Fall("natural course", *course),
        panels.Fall("effect of the programme", *effect),
        panels.Fall("change seen with the programme", *total, total=True),
    ]
    ends = [selection[0], selection[0] + course[0], total[0]]
    return panels.waterfall(
        "What the change with the programme is made of",
        y=draw.axis("change, points", ends),
        steps=steps,
        note="Each part: the same trials with and without it, on the same luck. ± is simulation error.",
    )


def _said(samples: dict[str, Sample]) -> str:
    selection, course, _ = _steps(samples, USUAL)
    whole, result = samples["whole"], samples["whole"].result("change")
    return (
        f"Usual care changes by {draw.pair(*whole.mean(USUAL))} points: {draw.pair(*selection)} is regression to the "
        f"mean and {draw.pair(*course)} natural course. The difference between arms is "
        f"{draw.pair(*result['mean estimate'])}, the true effect {draw.pair(*result['truth'])}."
    )


# --- the threshold ----------------------------------------------------------------------------------------------------


def thresholds(question: Question) -> Designs:
    """The trial, and the same with other thresholds."""
    whole = on_screen(question)
    return {"whole": whole} | {f"{at:g}": changed(whole, {CRITERION: at}) for at in THRESHOLDS}


def curve(question: Question, samples: dict[str, Sample]) -> Answer:
    """Change in both arms and their difference, by threshold."""
    at = {threshold: samples[f"{threshold:g}"] for threshold in THRESHOLDS}
    results = [one.result("change") for one in at.values()]
    lines = [
        draw.line("usual", "usual care: change", draw.ORANGE, THRESHOLDS, [one.mean(USUAL) for one in at.values()]),
        draw.line("online", "online CBT: change", draw.BLUE, THRESHOLDS, [one.mean(ONLINE) for one in at.values()]),
        draw.line(
            "difference", "difference between arms", draw.GREEN, THRESHOLDS, [one["mean estimate"] for one in results],
            dashed=True,
        ),
    ]  # fmt: skip
    ends = [x for one in lines for x in (*one.low, *one.high)]
    here = number_of(question, "threshold")
    picture = panels.curve(
        "Change in pain, by the threshold at entry",
        x=panels.Axis("pain at least, to come in", 0.0, 7.0),
        y=draw.axis("change, points", ends),
        series=lines,
        lines=[panels.Mark(here, "the slider", "x")],
        note=f"{samples['whole'].n} trials at each threshold. {NOTE}",
    )
    first, last = at[THRESHOLDS[0]], at[THRESHOLDS[-1]]
    said = (
        f"From no threshold to {THRESHOLDS[-1]:g} the change under usual care goes from "
        f"{draw.pair(*first.mean(USUAL))} to {draw.pair(*last.mean(USUAL))}; the difference between arms from "
        f"{draw.pair(*results[0]['mean estimate'])} to {draw.pair(*results[-1]['mean estimate'])}."
    )
    return Answer([picture], [said, *draw.failures(results)])


PICK = measured(USUAL, ONLINE)
VIEWS = {
    "parts": view("What a change is made of", taken_away, parts, pick=PICK, most=400),
    "thresholds": view("What the threshold does", thresholds, curve, pick=PICK, most=100),
}
