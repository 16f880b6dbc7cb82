"""40 % better: what an uncontrolled benchmark hides. The programme's own series, and the randomized contrast."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.experiments.targets import Target, targets_of
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Floats, Given, Sample, changed, measured, number_of, paired, view

COHORTS = {
    "cprp": ("programme", draw.BLUE),
    "usual": ("usual care", draw.ORANGE),
    "surgery": ("spine surgery", draw.PINK),
}
"""By arm: what people read, colour. Nobody was randomized."""
FALLS = {arm: f"outcome/pain/{arm}/discharge/percent_change" for arm in COHORTS}
POINTS = "outcome/pain/cprp/discharge/mean_change"
ADMISSION = "baseline/pain/cprp/mean"
WORK = {arm: f"outcome/work/{arm}/m12/responders" for arm in COHORTS}
WHEN = ("after the programme", "under usual care", "after surgery")
NEVER = "Nobody was randomized to these cohorts, so no difference between them is an effect."
EFFECT = "arms.cprp.effects.pain.by_visit.discharge"
STEPS = (
    ("who completes and answers", {
        "observation.attendance": 0.0, "observation.current_value": {}, "observation.motivation_on_frailty": 0.0,
        "arms.cprp.response_prob.discharge": 0.9,
    }),
    ("regression to the mean", {"outcomes.pain.entry_sd": 0.0}),
    ("natural course", {"outcomes.pain.course.discharge": 0.0}),
    ("effect of the programme", {EFFECT: 0.0}),
)  # fmt: skip
"""What is taken away, one after another, and how."""


# --- designs ----------------------------------------------------------------------------------------------------------


def on_screen(question: Question) -> Design:
    """The series with its knobs turned."""
    passing = number_of(question, "passing")
    return changed(
        question.design,
        {
            EFFECT: number_of(question, "effect"),
            **_passing(question.design, passing),
            "analyses.pain.visits": ["discharge"],
        },
    )


def _passing(design: Design, passing: float) -> dict[str, Any]:
    """So much of what differs between people at entry passes; people are as unlike as before."""
    pain: Any = design.outcomes["pain"]
    lasting = max(pain.sd**2 + pain.entry_sd**2 - passing**2, 0.0) ** 0.5
    return {"outcomes.pain.entry_sd": passing, "outcomes.pain.sd": lasting}


def only_pain(design: Design) -> Design:
    """The same with pain alone, whose numbers do not depend on the other outcomes."""
    data = design.model_dump()
    data["outcomes"] = {"pain": data["outcomes"]["pain"]}
    for arm in data["arms"].values():
        arm["effects"] = {name: effect for name, effect in arm["effects"].items() if name == "pain"}
        arm["tapers"] = {}
    data["analyses"] = {name: one for name, one in data["analyses"].items() if one["outcome"] == "pain"}
    data["decisions"] = {}
    return Design.model_validate(data)


def one(question: Question) -> Designs:
    """The series."""
    return {"series": on_screen(question)}


def taken_away(question: Question) -> Designs:
    """The series; then without each of the steps, one after another."""
    world = only_pain(on_screen(question))
    worlds = {"whole": world}
    for name, changes in STEPS:
        more = _passing(world, 0.0) if name == "regression to the mean" else changes
        world = changed(world, {**more})
        worlds[name] = world
    return worlds


# --- as reported ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def benchmarks() -> dict[str, Target]:
    """What programmes say of themselves, by measure; those that are only recalled are not among them."""
    return {
        target.measure: target
        for target in targets_of("cprp").targets
        if target.benchmark and target.held and target.design == "cprp_series"
    }


def reported(question: Question, samples: dict[str, Sample]) -> Answer:
    """Change of pain as a report would have it, beside what programmes say of themselves."""
    series = samples["series"]
    said = (
        f"Of those counted: pain {draw.pair(*series.mean(FALLS['cprp']), 1)} % after the programme, "
        f"{draw.pair(*series.mean(FALLS['usual']), 1)} % under usual care."
    )
    return Answer([_cohorts("Pain, change from admission to discharge", "%", series, FALLS)], [said, NEVER])


def at_work(question: Question, samples: dict[str, Sample]) -> Answer:
    """Return to work as a report would have it, and what it would be were all of them treated alike."""
    series = samples["series"]
    told = [f"{draw.pair(*series.mean(WORK[arm]), 1)} % {when}" for arm, when in zip(COHORTS, WHEN, strict=True)]
    true = [f"{draw.pair(*series.mean(f'truth/{arm}'), 1)} %" for arm in COHORTS]
    said = f"Back at work: {', '.join(told)}. All of these people under each: {', '.join(true)}."
    return Answer([_cohorts("Back at work at 12 months", "%", series, WORK), _truth(series)], [said, NEVER])


def _cohorts(title: str, unit: str, series: Sample, measures: dict[str, str]) -> panels.Panel:
    bars = [
        draw.bar(arm, label, series.mean(measures[arm]), colour=colour, share=False)
        for arm, (label, colour) in COHORTS.items()
    ]
    known = {arm: benchmarks()[name] for arm, name in measures.items() if name in benchmarks()}
    beside = [
        panels.PublishedBar(arm, target.published, f"uncontrolled benchmark; {target.source}", target.low, target.high)
        for arm, target in known.items()
    ]
    ends = [x for bar in bars for x in (bar.low, bar.high)] + [x for one in beside for x in (one.low, one.high)]
    note = f"{series.n} simulated series. Whiskers: 95 % bands of simulation error. {NEVER}"
    return panels.bars(title, y=draw.axis(unit, ends, step=10), bars=bars, published=beside, note=note)


def _truth(series: Sample) -> panels.Panel:
    """All of these people under each treatment: what randomizing them would have found."""
    bars = [
        draw.bar(arm, label, series.mean(f"truth/{arm}"), colour=colour, share=False)
        for arm, (label, colour) in COHORTS.items()
    ]
    return panels.bars(
        "The same people, all of them under each treatment: back at work at 12 months",
        y=panels.Axis("%", 0.0, 60.0),
        bars=bars,
        note="Only a simulation knows this. 95 % bands of simulation error.",
    )


# --- what 40 % is made of ---------------------------------------------------------------------------------------------


def waterfall(question: Question, samples: dict[str, Sample]) -> Answer:
    """Parts of the change from admission to discharge among those of the programme who are counted."""
    names = list(samples)
    values = [samples[name].values[POINTS] for name in names]
    parts = [(name, paired(after, before)) for name, before, after in zip(names[1:], values, values[1:], strict=False)]
    rest, total = samples[names[-1]].mean(POINTS), samples["whole"].mean(POINTS)
    steps = [panels.Fall(name, *given) for name, given in parts]
    steps += [
        panels.Fall("who chooses the programme", *rest),
        panels.Fall("change as reported", *total, total=True),
    ]
    picture = panels.waterfall(
        "What the change after the programme is made of",
        y=draw.axis("points of pain", [0.0, total[0]]),
        steps=steps,
        note=f"{samples['whole'].n} series with and without each part, on the same luck. ± is simulation error.",
    )
    found = dict(parts)
    return Answer([picture], [_said(found, samples["whole"])])


def _said(found: dict[str, Given], whole: Sample) -> str:
    told = ", ".join(f"{name} {draw.pair(*given)}" for name, given in found.items())
    return (
        f"Reported: {draw.pair(*whole.mean(POINTS))} points or {draw.pair(*whole.mean(FALLS['cprp']), 1)} %. Of these: "
        f"{told} points."
    )


# --- randomized -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def trial() -> Design:
    """The hypothetical trial of the same programme, with pain alone."""
    return only_pain(read_design("cprp"))


def randomized(question: Question) -> Designs:
    """The same programme in a trial, against usual care."""
    analyses = {"visits": ["discharge"], "contrasts": [["cprp", "usual"]]}
    paths = {f"analyses.pain.{name}": value for name, value in analyses.items()}
    return {"trial": changed(trial(), {EFFECT: number_of(question, "effect"), **paths})}


def contrast(question: Question, samples: dict[str, Sample]) -> Answer:
    """What the hypothetical trial would find at discharge."""
    result = samples["trial"].result("pain")
    facts = [draw.fact("power", result["power"], share=True), draw.fact("bias", result["bias"])]
    group = draw.estimated(result, key="trial", label="programme minus usual care", colour=draw.GREEN, facts=facts)
    picture = panels.estimates(
        "Pain at discharge in a hypothetical randomized trial",
        x=draw.axis_of("difference in change, points", [group]),
        groups=[group],
        nothing=0.0,
        note=f"{samples['trial'].n} trials of 450 people. {draw.OF_ESTIMATES} No such trial was run.",
    )
    mean, truth = draw.pair(*result["mean estimate"]), draw.pair(*result["truth"])
    said = f"Randomized: {mean} points on average; the truth is {truth}."
    return Answer([picture], [said, *draw.failures([result])])


def counted(block: Block) -> dict[str, Floats]:
    """What reports count, and the share of all participants who would be back at work under each treatment."""
    k = block.world.outcomes.index("work")
    valid = block.plan.cohort.valid
    work = block.outcomes.potential[k, :, -1] * valid
    truth = {f"truth/{arm}": 100.0 * work[a].sum(axis=0) / valid.sum(axis=0) for a, arm in enumerate(block.world.arms)}
    return measured(*FALLS.values(), *WORK.values())(block) | truth


VIEWS = {
    "reported": view("As reported", one, reported, pick=counted, most=96),
    "work": view("Back at work", one, at_work, pick=counted, most=96),
    "waterfall": view("What 40 % is made of", taken_away, waterfall, pick=measured(POINTS, FALLS["cprp"]), most=96),
    "randomized": view("Randomized", randomized, contrast, most=200),
}
