"""Many comparisons: the chance of at least one false claim, by procedure and by how much is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from trialsim.design.parts import Design
from trialsim.experiments.decisions import Decided, decide, false_rejections
from trialsim.experiments.nulls import Partition
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Given, Sample, changed, number_of, share, view, word_of

PROCEDURES = {
    "none": ("no correction", draw.RED),
    "lsd": ("LSD (first all arms together)", draw.ORANGE),
    "bonferroni": ("Bonferroni", draw.GREY),
    "holm": ("Holm", draw.BLUE),
    "hochberg": ("Hochberg", draw.SKY),
    "dunnett": ("Dunnett", draw.GREEN),
}
"""By procedure: what people read, colour."""
FAMILIES = {
    "usual": ("therapist beats usual", "web beats usual"),
    "all": ("therapist beats usual", "web beats usual", "therapist beats web"),
}
LOOKS = (
    ("pain at 3 months", ["pain at m3"]),
    ("pain at 3 and 6 months", ["pain at m3", "pain at m6"]),
    ("pain and interference, 3 and 6 months", ["pain at m3", "pain at m6", "interference at m3", "interference at m6"]),
)
LEVEL = 0.05


# --- designs ----------------------------------------------------------------------------------------------------------


def on_screen(question: Question) -> Design:
    """The design with its effects, and one decision for each procedure."""
    effects = {arm: number_of(question, arm) for arm in ("therapist", "web")}
    paths: dict[str, Any] = {"sample_size": int(number_of(question, "n"))}
    for arm, effect in effects.items():
        for outcome in ("pain", "interference"):
            paths[f"arms.{arm}.effects.{outcome}.by_visit"] = {"m3": effect, "m6": effect}
    return changed(question.design, paths)


def by_procedure(question: Question) -> Designs:
    """Pain at 3 months, tested in every way."""
    family = FAMILIES[word_of(question, "family")]
    names = [name for name in PROCEDURES if name != "dunnett" or len(family) == 2]
    trial = on_screen(question)
    pain = trial.model_dump()["analyses"]["pain"] | {"visits": ["m3"]}
    decisions = {name: _tested(family, name) for name in names}
    return {"trial": changed(trial, {"analyses": {"pain": pain}, "decisions": decisions})}


def _tested(family: tuple[str, ...], procedure: str) -> dict[str, Any]:
    return {
        "analysis": "pain",
        "visit": "m3",
        "hypotheses": {f"h{k}": words for k, words in enumerate(family)},
        "procedure": {"kind": procedure},
    }


def by_looks(question: Question) -> Designs:
    """More and more outcomes and visits, without correction and by Holm."""
    family, decisions = FAMILIES[word_of(question, "family")], {}
    for k, (_, looks) in enumerate(LOOKS):
        words = [f"{pair} at {look.split(' at ')[1]} in {look.split(' at ')[0]}" for look in looks for pair in family]
        for procedure in ("none", "holm"):
            hypotheses = {f"h{j}": said for j, said in enumerate(words)}
            decisions[f"{procedure}_{k}"] = {
                "analysis": "pain", "visit": "m3", "hypotheses": hypotheses, "procedure": {"kind": procedure},
            }  # fmt: skip
    return {"trial": changed(on_screen(question), {"decisions": decisions})}


# --- errors and power -------------------------------------------------------------------------------------------------


def alike(question: Question) -> Partition:
    """Which arms do not differ: those with the same effect."""
    classes: dict[float, list[str]] = {0.0: ["usual"]}
    for arm in ("therapist", "web"):
        classes.setdefault(number_of(question, arm), []).append(arm)
    return tuple(tuple(arms) for arms in classes.values())


def decided(question: Question, sample: Sample, design: Design) -> dict[str, Decided]:
    """Every decision of the design."""
    assert sample.estimates is not None
    return {name: decide(design, name, sample.estimates) for name in design.decisions}


def procedures(question: Question, samples: dict[str, Sample]) -> Answer:
    """Chance of a false claim where arms are alike, and of finding what works, by procedure."""
    sample = samples["trial"]
    made = decided(question, sample, by_procedure(question)["trial"])
    told = (
        [draw.OF_SHARES]
        if len(made) == len(PROCEDURES)
        else [draw.OF_SHARES, "Dunnett is for comparisons with one arm."]
    )
    note = f"{sample.n} trials. {' '.join(told)}"
    errors = errors_of(question, made)
    pictures, said = [], []
    if errors:
        marks = [panels.Mark(LEVEL, "5 %, as agreed", "y")]
        pictures.append(_picture("At least one false claim", errors, note, marks=marks))
        said.append(f"At least one false claim: {_ends(errors)}.")
    works = [arm for arm in ("web", "therapist") if number_of(question, arm) != 0]
    for arm in works:
        found = _power(made, f"{arm} - usual")
        label = {"therapist": "CBT with a therapist", "web": "online CBT"}[arm]
        pictures.append(_picture(f"Power: {label} beats usual care", found, note, full=True))
        said.append(f"Power for {label}: {_ends(found)}.")
    return Answer(pictures, said)


def errors_of(question: Question, made: dict[str, Decided]) -> dict[str, Given]:
    """By decision: chance that a true null hypothesis is rejected; none for those that have no such hypothesis."""
    parts = alike(question)
    hits = {name: false_rejections(one, parts) for name, one in made.items()}
    return {name: share(one) for name, one in hits.items() if one is not None}


def _power(made: dict[str, Decided], contrast: str) -> dict[str, Given]:
    places = {name: [h.contrast for h in one.hypotheses].index(contrast) for name, one in made.items()}
    return {name: share(made[name].favourable[:, place]) for name, place in places.items()}


def _picture(
    title: str, found: dict[str, Given], note: str, *, marks: list[panels.Mark] | None = None, full: bool = False
) -> panels.Panel:
    bars = [draw.bar(name, PROCEDURES[name][0], given, colour=PROCEDURES[name][1]) for name, given in found.items()]
    top = 1.0 if full else max(bar.high for bar in bars)
    return panels.bars(title, y=draw.upto("share of trials", top, step=0.05), bars=bars, lines=marks or [], note=note)


def _ends(found: dict[str, Given]) -> str:
    """The highest and the lowest."""
    high, low = max(found, key=lambda name: found[name][0]), min(found, key=lambda name: found[name][0])
    if found[high][0] == found[low][0]:
        return f"{draw.percent_pair(*found[high])} with all of them"
    told = {name: f"{PROCEDURES[name][0]} ({draw.percent_pair(*found[name])})" for name in (high, low)}
    return f"most with {told[high]}, least with {told[low]}"


# --- outcomes and visits ----------------------------------------------------------------------------------------------


def looks(question: Question, samples: dict[str, Sample]) -> Answer:
    """Chance of a false claim by the number of tests."""
    sample = samples["trial"]
    made = decided(question, sample, by_looks(question)["trial"])
    parts = alike(question)
    hits = {name: false_rejections(one, parts) for name, one in made.items()}
    if any(one is None for one in hits.values()):
        return Answer([], ["All arms differ, so no claim can be false: set two of them to the same effect."])
    tests = [len(made[f"none_{k}"].hypotheses) for k in range(len(LOOKS))]
    found = {name: [share(np.asarray(hits[f"{name}_{k}"])) for k in range(len(LOOKS))] for name in ("none", "holm")}
    lines = [
        draw.line(name, PROCEDURES[name][0], PROCEDURES[name][1], tests, found[name], share=True) for name in found
    ]
    apart = [(1 - (1 - LEVEL) ** k, 0.0) for k in tests]
    if len(parts) == 1:
        lines.append(draw.line("apart", "were all tests independent (formula)", draw.BLACK, tests, apart, dashed=True))
    picture = panels.curve(
        "At least one false claim, by the number of tests",
        x=panels.Axis("tests", 0, max(tests)),
        y=draw.upto("share of trials", max(y for line in lines for y in line.high)),
        series=lines,
        lines=[panels.Mark(LEVEL, "5 %, as agreed", "y")],
        note=f"{sample.n} trials; 95 % bands of simulation error. The formula has none.",
    )
    said = [
        f"{tests[k]} tests ({words}): {draw.percent_pair(*found['none'][k])} without correction, "
        f"{draw.percent_pair(*found['holm'][k])} by Holm."
        for k, (words, _) in enumerate(LOOKS)
    ]
    return Answer([picture], said)


COMMAND = "power {file} --nulls --replicates {replicates} --seed {seed}"
VIEWS = {
    "procedures": view("By procedure", by_procedure, procedures, told_by=COMMAND),
    "looks": view("By outcomes and visits", by_looks, looks, told_by=COMMAND),
}
