"""Intention to treat, per protocol, as treated and complier effect, each against its own true value."""

from __future__ import annotations

from trialsim.design.parts import Design
from trialsim.experiments.performance import mean_with_error
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Result, Sample, changed, measured, number_of, view

OFFERED, ATTENDING = "true effect of being offered it", "true effect in those who attend if offered"
WAYS = {
    "intention_to_treat": ("intention to treat: everybody as randomized", draw.BLUE, OFFERED),
    "per_protocol": ("per protocol: who attended v all of usual care", draw.ORANGE, ATTENDING),
    "as_treated": ("as treated: who attended v who did not", draw.RED, ATTENDING),
    "complier": ("complier effect: by the coin that offered it", draw.GREEN, ATTENDING),
}
"""By analysis: what people read, colour, and what its true value is the effect of."""
STARTED = "treatment/online/started"


def on_screen(question: Question) -> Design:
    """The design with its knobs turned."""
    return changed(
        question.design,
        {
            "sample_size": int(number_of(question, "n")),
            "arms.online.start_prob": number_of(question, "start") / 100,
            "arms.online.effects.pain.by_visit.m3": number_of(question, "effect"),
            "outcomes.pain.motivation": number_of(question, "motivation"),
        },
    )


def designs(question: Question) -> Designs:
    """The trial."""
    return {"trial": on_screen(question)}


def answer(question: Question, samples: dict[str, Sample]) -> Answer:
    """Four analyses of the same trials."""
    sample = samples["trial"]
    results = {name: sample.result(name) for name in WAYS}
    groups = [
        draw.estimated(results[name], key=name, label=label, colour=colour, truth_label=truth)
        for name, (label, colour, truth) in WAYS.items()
    ]
    picture = panels.estimates(
        "Four ways to analyse the same trials: difference in change of pain",
        x=draw.axis_of("difference, points", groups),
        groups=groups,
        nothing=0.0,
        note=f"{draw.OF_ESTIMATES} Below 0: less pain with the programme. Each has its own true value.",
    )
    missed = ", ".join(f"{short(name)} {draw.pair(*result['bias'])}" for name, result in results.items())
    said = [
        f"{draw.pair(*sample.mean(STARTED), 1)} % of those who are offered the programme begin it.",
        f"By how much each misses its own true value on average: {missed} points.",
    ]
    return Answer([picture, _exactness(results)], [*said, *draw.failures(list(results.values()))])


def short(name: str) -> str:
    """What an analysis is called."""
    return WAYS[name][0].partition(":")[0]


def _exactness(results: dict[str, Result]) -> panels.Panel:
    """How wide intervals are, and how often each finds an effect."""
    items = []
    for name in ("intention_to_treat", "complier"):
        result = results[name]
        width = mean_with_error(result.column("ci_high") - result.column("ci_low"))[:2]
        items += [
            draw.figure(f"width_{name}", f"width of the interval, {short(name)}", width, unit="points"),
            draw.figure(f"power_{name}", f"p below 0.05, {short(name)}", result["power"], share=True),
        ]
    return panels.numbers("How exact", items=items, note="± is simulation error.")


VIEWS = {"ways": view("Four ways to analyse", designs, answer, pick=measured(STARTED))}
