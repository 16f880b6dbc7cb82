"""Published and simulated: RESOLVE, what was fitted and what follows, and another world that fits as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np

from trialsim.design.library import library_dir
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.experiments.runner import Experiment, Task, run_batch
from trialsim.experiments.targets import OF_ANALYSES, Finding, Target, find, targets_of
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Sample, changed, number_of, paired, view, word_of, world_of

SCENARIO = "resolve"
PARTS = {
    "people": ("randomized/", "calendar/", "funnel/", "baseline/", "treatment/", "coaches/"),
    "answers": ("observed/",),
    "responders": ("outcome/severity/", "estimate/"),
    "later": ("outcome/severity/", "estimate/"),
    "change": ("outcome/severity/", "estimate/published_mean_change/"),
}
"""By the word chosen: what the measures begin with. Responders are told by visit, and apart from change."""
USUAL = "outcome/severity/usual/m3/mean_change"
SORTS = {"fitted": "Fitted: numbers of the design were chosen to meet these", "predicted": "Predicted: these follow"}
NOT_SHOWN = "Left out: the power that the trial was planned with, which is another simulation."


@lru_cache(maxsize=1)
def targets() -> tuple[Target, ...]:
    """The published values that a simulation of the trial itself is held against."""
    return tuple(target for target in targets_of(SCENARIO).targets if target.design is None)


def shown(target: Target, what: str) -> bool:
    """Whether a target is among those chosen."""
    measure = target.measure
    if not measure.startswith(PARTS[what]):
        return False
    if what in ("people", "answers"):
        return True
    is_change = "mean_change" in measure or measure.endswith("sd_change")
    if is_change or what == "change":
        return is_change and what == "change"
    return ("/m3/" in measure) == (what == "responders")


def at_first(target: Target) -> bool:
    """Whether a target is among those by which two worlds are compared: responders, change and ratios at 3 months."""
    first, *_, last = target.measure.split("/")
    ratio = target.measure.startswith("estimate/published_responders/") and last == "risk ratio"
    change = target.measure.startswith("estimate/published_mean_change/")
    responders = first == "outcome" and last == "responders"
    return "/m3/" in target.measure and target.held and (responders or change or ratio)


# --- simulating -------------------------------------------------------------------------------------------------------


def on_screen(question: Question) -> Design:
    """RESOLVE, the coach's effects on both outcomes times a factor."""
    factor = number_of(question, "coach")
    effects = question.design.arms["coach"].effects
    moved = {
        f"arms.coach.effects.{outcome}.by_visit": {visit: factor * x for visit, x in effect.by_visit.items()}
        for outcome, effect in effects.items()
    }
    return changed(question.design, moved)


def one(question: Question) -> Designs:
    """The trial."""
    return {"resolve": on_screen(question)}


def simulated(question: Question, name: str, design: Design, first: int, n: int) -> Sample:
    """Replicates with all that the targets are about; of worlds in which nothing happens the change alone."""
    wanted = {USUAL} | {target.measure for target in targets() if not target.measure.startswith(OF_ANALYSES)}
    batch = run_batch(world_of(design.model_dump_json()), Task(question.seed, "vector"), first, n)
    if batch.failures:
        raise RuntimeError(f"replicate {batch.failures[0].replicate} failed: {batch.failures[0].error}")
    return Sample(n, batch.estimates, {name: values for name, values in batch.measures.items() if name in wanted})


def findings(design: Design, sample: Sample, seed: int) -> list[Finding]:
    """Every target and its simulated mean."""
    replicates = np.arange(sample.n, dtype=np.int32)
    experiment = Experiment(
        design, seed, "vector", replicates, sample.values, sample.estimates, [], np.zeros(sample.n), []
    )
    return [find(experiment, target) for target in targets()]


# --- one world --------------------------------------------------------------------------------------------------------


def held(found: Sequence[Finding], sort: str) -> list[Finding]:
    """Targets of a sort that are held against their range."""
    return [one for one in found if one.target.held and one.target.kind == sort]


def inside(found: Sequence[Finding], sort: str) -> str:
    """'63 of 64'."""
    of = held(found, sort)
    return f"{sum(one.inside for one in of)} of {len(of)}"


def rows(found: Sequence[Finding], sort: str, wanted: Callable[[Target], bool]) -> list[panels.Compared]:
    """Rows of the panel: those of a sort that are wanted."""
    return [
        panels.Compared(
            one.target.label, one.target.published, one.value, one.mcse, sort, one.target.source,
            one.target.low, one.target.high, one.inside if one.target.held else None,
        )
        for one in found
        if one.target.kind == sort and wanted(one.target)
    ]  # fmt: skip


def compared(sort: str) -> Callable[[Question, dict[str, Sample]], Answer]:
    """The answer of a view that shows one sort of target."""

    def answer(question: Question, samples: dict[str, Sample]) -> Answer:
        found = findings(on_screen(question), samples["resolve"], question.seed)
        note = (
            f"{samples['resolve'].n} simulated trials; ± is simulation error. Bars: the range that the simulated mean "
            "has to lie in. Published values have their source."
        )
        chosen = rows(found, sort, partial(shown, what=word_of(question, "what")))
        pictures = [panels.published(SORTS[sort], rows=chosen, note=note)] if chosen else []
        none = [] if chosen else [f"None of these values is {sort}."]
        return Answer([*pictures, _counted({"": found})], [*none, *_said(found)])

    return answer


def _said(found: Sequence[Finding]) -> list[str]:
    outside = [one.target.label for one in found if one.target.held and not one.inside]
    told = f" Outside: {'; '.join(outside[:6])}{' ...' if len(outside) > 6 else ''}." if outside else ""
    said = f"Inside their range: {inside(found, 'fitted')} fitted and {inside(found, 'predicted')} predicted values."
    return [said + told, NOT_SHOWN]


def _counted(found: Mapping[str, Sequence[Finding]]) -> panels.Panel:
    """How many values lie inside their range, of each sort; by world where there are two."""
    items = []
    for world, findings_there in found.items():
        for sort in SORTS:
            share = np.mean([one.inside for one in held(findings_there, sort)])
            label = f"{sort} values inside their range{', ' if world else ''}{world}"
            items.append(
                panels.Figure(f"{world}{sort}", label, inside(findings_there, sort), float(share), float("nan"))
            )
    return panels.numbers(
        "How many are met", items=items, note="Counted at the simulated means; only values that are held."
    )


# --- two worlds -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def other() -> Design:
    """Another world with the same published values."""
    return read_design(library_dir() / "lessons" / "designs" / "resolve_other_world.yaml")


def nothing_happens(design: Design) -> Design:
    """No natural course and no recovery: what is left of change under usual care is regression to the mean."""
    course = dict.fromkeys(design.outcomes["severity"].course, 0.0)
    still = changed(design, {"outcomes.severity.course": course, "outcomes.severity.recovery": None})
    return still.model_copy(update={"analyses": {}, "decisions": {}})


def both(question: Question) -> Designs:
    """The library's world and the other, and each with nothing happening."""
    first = question.design
    return {
        "first": first,
        "second": other(),
        "first_still": nothing_happens(first),
        "second_still": nothing_happens(other()),
    }


WORLDS = {"first": "World A: some regression to the mean", "second": "World B: none"}


def two_worlds(question: Question, samples: dict[str, Sample]) -> Answer:
    """How well both fit, and what the change under usual care is made of in each."""
    designs = both(question)
    found = {name: findings(designs[name], samples[name], question.seed) for name in WORLDS}
    by_world = {label.partition(":")[0]: found[name] for name, label in WORLDS.items()}
    pictures = [_change_in_usual_care(samples), _counted(by_world)]
    note = f"{samples['first'].n} simulated trials; ± is simulation error."
    for name, label in WORLDS.items():
        mixed = [row for sort in SORTS for row in rows(found[name], sort, at_first)]
        pictures.append(panels.published(f"{label}. Outcome at 3 months", rows=mixed, note=note))
    said = [
        f"{label}: inside their range {inside(found[name], 'fitted')} fitted and {inside(found[name], 'predicted')} "
        "predicted values."
        for name, label in WORLDS.items()
    ]
    return Answer(pictures, [*said, NOT_SHOWN])


def _change_in_usual_care(samples: dict[str, Sample]) -> panels.Panel:
    bars = []
    for name, label in WORLDS.items():
        still, whole = samples[f"{name}_still"], samples[name]
        regression, course = still.mean(USUAL), paired(still.values[USUAL], whole.values[USUAL])
        bars += [
            draw.bar(f"{name}_rtm", "regression to the mean", regression, colour=draw.ORANGE, group=label, share=False),
            draw.bar(f"{name}_course", "natural course", course, colour=draw.BLUE, group=label, share=False),
        ]
    return panels.bars(
        "What change under usual care is made of, 3 months",
        y=draw.axis("points", [x for bar in bars for x in (bar.low, bar.high)], step=0.2),
        bars=bars,
        note="95 % bands of simulation error. No trial can see this split; a simulation can.",
    )


COMPARE = "compare {file} --targets resolve --replicates {replicates} --seed {seed}"
VIEWS = {
    "fitted": view("Fitted values", one, compared("fitted"), work=simulated, most=32, told_by=COMPARE),
    "predicted": view("Predicted values", one, compared("predicted"), work=simulated, most=32, told_by=COMPARE),
    "worlds": view("Two worlds", both, two_worlds, work=simulated, most=24, told_by=COMPARE),
}
