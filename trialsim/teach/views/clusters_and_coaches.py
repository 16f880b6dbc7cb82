"""Clusters and coaches: what the ordinary analysis makes of people who are alike."""

from __future__ import annotations

from functools import lru_cache

from trialsim.design.library import library_dir
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.report.layout import number
from trialsim.teach import alike, panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Given, Result, Sample, changed, number_of, view

ICCS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
LEVEL = 0.05
CLINICS = {
    "people": ("ordinary (forgets the clinics)", draw.RED),
    "robust": ("robust errors by clinic", draw.ORANGE),
    "means": ("t test of clinic means", draw.BLUE),
}
COACHES = {
    "people": ("ordinary (forgets the coaches)", draw.RED),
    "robust": ("robust errors by coach", draw.ORANGE),
    "few_clusters": ("made for few coaches (CR2)", draw.BLUE),
}
"""By analysis: what people read, colour."""
Ways = dict[str, tuple[str, int]]


# --- designs ----------------------------------------------------------------------------------------------------------


def clinics(
    question: Question, *, icc: float | None = None, n: int | None = None, number_of_clinics: int | None = None
) -> Design:
    """Clinics randomized, with the knobs turned, or as said instead."""
    design = changed(
        question.design,
        {
            "sample_size": n or int(number_of(question, "n")),
            "clusters.per_site": number_of_clinics or int(number_of(question, "clinics")),
            "arms.online.effects.pain.by_visit.m3": number_of(question, "effect"),
        },
    )
    return _alike(design, "clusters", number_of(question, "icc") if icc is None else icc)


def coached(question: Question) -> Design:
    """People randomized, those of one arm with a few coaches, with the knobs turned."""
    design = changed(
        _coached(),
        {
            "sample_size": int(number_of(question, "n")),
            "arms.coach.delivery.coaches": int(number_of(question, "coaches")),
            "arms.coach.effects.pain.by_visit.m3": number_of(question, "effect"),
        },
    )
    return _alike(design, "coaches", number_of(question, "icc"))


@lru_cache(maxsize=1)
def _coached() -> Design:
    return read_design(library_dir() / "lessons" / "designs" / "coached.yaml")


def _alike(design: Design, sort: str, icc: float) -> Design:
    changes = alike.at_icc(design, sort, icc)
    paths = {f"outcomes.{outcome}.{name}": sd for outcome, sds in changes.items() for name, sd in sds.items()}
    return changed(design, paths)


def _only(design: Design, *names: str) -> Design:
    return design.model_copy(update={"analyses": {name: design.analyses[name] for name in names}})


# --- errors of one trial ----------------------------------------------------------------------------------------------


def of_clinics(question: Question) -> Designs:
    """Clinics randomized."""
    return {"trial": clinics(question)}


def of_coaches(question: Question) -> Designs:
    """People randomized, coaches in one arm."""
    return {"trial": coached(question)}


def clinic_errors(question: Question, samples: dict[str, Sample]) -> Answer:
    """False positives (or power) by analysis where clinics are randomized, and the design effect."""
    m = number_of(question, "n") / number_of(question, "clinics")
    inflation = 1 + (m - 1) * number_of(question, "icc")
    told = (
        f"{number(m, 0)} people in a clinic: a design effect of about 1 + ({number(m, 0)} − 1) × ICC = {inflation:.2f}."
    )
    return _errors(question, samples["trial"], CLINICS, told)


def coach_errors(question: Question, samples: dict[str, Sample]) -> Answer:
    """The same where people are randomized and coaches work in one arm."""
    each = number_of(question, "n") / 2 / number_of(question, "coaches")
    return _errors(question, samples["trial"], COACHES, f"Each coach sees about {number(each, 0)} people.")


def _errors(question: Question, sample: Sample, ways: Ways, told: str) -> Answer:
    results = {name: sample.result(name) for name in ways}
    works = number_of(question, "effect") != 0
    bars = [draw.bar(name, label, results[name]["power"], colour=colour) for name, (label, colour) in ways.items()]
    what = "power" if works else "false positives"
    picture = panels.bars(
        f"{what.capitalize()}: how often p is below 0.05",
        y=draw.upto("share of trials", max(one.high for one in bars)),
        bars=bars,
        lines=[] if works else [panels.Mark(LEVEL, "5 %, as agreed", "y")],
        note=f"{sample.n} trials. {draw.OF_SHARES}",
    )
    shares = ", ".join(f"{label} {draw.percent_pair(*results[name]['power'])}" for name, (label, _) in ways.items())
    said = [f"{what.capitalize()}: {shares}.", told]
    return Answer([picture, _widths(results, ways)], [*said, *draw.failures(list(results.values()))])


def _widths(results: dict[str, Result], ways: Ways) -> panels.Panel:
    """The error that each analysis states, beside the true one."""
    first = next(iter(results.values()))
    items = [draw.figure("true", "true standard error: how estimates spread", first["empirical SE"], unit="points")]
    for name, (label, _) in ways.items():
        items.append(draw.figure(name, f"stated, {label}", results[name]["model SE"], unit="points"))
    effect = inflation(first)
    items.append(draw.figure("inflation", "design effect found (ratio of variances)", effect, tip=RATIO))
    return panels.numbers("Standard errors", items=items, note="± is simulation error.")


RATIO = "The variance of estimates over that which the ordinary analysis states."


def inflation(result: Result) -> Given:
    """Variance of the estimates over the mean variance that the ordinary analysis states, and its error."""
    (true, true_error), (stated, stated_error) = result["empirical SE"], result["model SE"]
    ratio = (true / stated) ** 2 if stated > 0 else float("nan")
    relative = 2 * ((true_error / true) ** 2 + (stated_error / stated) ** 2) ** 0.5 if stated > 0 else float("nan")
    return ratio, ratio * relative


# --- by ICC -----------------------------------------------------------------------------------------------------------


def by_icc(question: Question) -> Designs:
    """The trial on the screen, and others of all ICCs."""
    trials = {"trial": clinics(question)} | {f"{icc:g}": clinics(question, icc=icc) for icc in ICCS}
    return {name: _only(design, "people", "means") for name, design in trials.items()}


def icc_curve(question: Question, samples: dict[str, Sample]) -> Answer:
    """False positives of the ordinary analysis and of the right one, by ICC."""
    at = [samples[f"{icc:g}"] for icc in ICCS]
    lines = [
        draw.line(name, CLINICS[name][0], CLINICS[name][1], ICCS, [one.result(name)["power"] for one in at], share=True)
        for name in ("people", "means")
    ]
    works = number_of(question, "effect") != 0
    here = panels.Mark(number_of(question, "icc"), "the slider", "x")
    picture = panels.curve(
        "How often p is below 0.05, by ICC",
        x=panels.Axis("ICC of clinics", 0.0, max(ICCS)),
        y=draw.upto("share of trials", max(x for line in lines for x in line.high)),
        series=lines,
        lines=[here] if works else [here, panels.Mark(LEVEL, "5 %, as agreed", "y")],
        note=f"{samples['trial'].n} trials at each ICC; 95 % bands of simulation error.",
    )
    first, last = (draw.percent_pair(*one.result("people")["power"]) for one in (at[0], at[-1]))
    results = [one.result(name) for one in at for name in ("people", "means")]
    return Answer([picture], [f"The ordinary analysis goes from {first} to {last}.", *draw.failures(results)])


# --- more people or more clinics --------------------------------------------------------------------------------------


def more(question: Question) -> Designs:
    """The trial; with twice the people in the same clinics; with the same people in twice the clinics."""
    n, k = int(number_of(question, "n")), int(number_of(question, "clinics"))
    trials = {
        "trial": clinics(question),
        "people": clinics(question, n=2 * n),
        "clinics": clinics(question, number_of_clinics=2 * k),
    }
    return {name: _only(design, "means") for name, design in trials.items()}


def power_of_more(question: Question, samples: dict[str, Sample]) -> Answer:
    """Power of the t test of clinic means."""
    n, k = int(number_of(question, "n")), int(number_of(question, "clinics"))
    words = {
        "trial": f"{n} people in {k} clinics",
        "people": f"{2 * n} people in {k} clinics",
        "clinics": f"{n} people in {2 * k} clinics",
    }
    results = {name: samples[name].result("means") for name in words}
    colours = {"trial": draw.GREY, "people": draw.ORANGE, "clinics": draw.BLUE}
    picture = panels.bars(
        "How often p is below 0.05, by the t test of clinic means",
        y=panels.Axis("share of trials", 0.0, 1.0, percent=True),
        bars=[draw.bar(name, words[name], results[name]["power"], colour=colours[name]) for name in words],
        note=f"{samples['trial'].n} trials of each. {draw.OF_SHARES}",
    )
    said = "; ".join(f"{words[name]}: {draw.percent_pair(*results[name]['power'])}" for name in words)
    return Answer([picture], [f"{said}.", *draw.failures(list(results.values()))])


VIEWS = {
    "clinics": view("Clinics are randomized", of_clinics, clinic_errors),
    "by_icc": view("By ICC", by_icc, icc_curve, most=250),
    "more": view("More people, or more clinics?", more, power_of_more, most=400),
    "coaches": view("People are randomized, few coaches in one arm", of_coaches, coach_errors),
}
