"""The free page: power against participants, what such a trial costs and takes, how people fare, what is estimated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import COMPARISONS, RATIOS, Estimates, concatenate
from trialsim.design.delivery import Group, Individual
from trialsim.design.parts import Design
from trialsim.experiments.measures import Measures
from trialsim.experiments.performance import mean_with_error
from trialsim.report.describe.phrases import confounded
from trialsim.report.layout import listed, number, percent, with_error
from trialsim.teach import curve, panels
from trialsim.teach.knobs import Value, knobs_of, turned
from trialsim.teach.panels import Panel
from trialsim.teach.primary import Idle, Primary, idle_of, primary_of, with_decision
from trialsim.teach.questions import Answer, Question, Scene, View, design_of_json
from trialsim.world.formulas import MONTH_DAYS

NAME = "explore"
Floats = NDArray[np.float64]


def scene_of(design: Design) -> Scene:
    """The free page about a design."""
    own = with_decision(design)
    title = own.title or own.name
    return Scene(NAME, title, own.description, own, knobs_of(own), {NAME: VIEW})


# --- in a worker ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _on_screen(document: str, values: tuple[tuple[str, Value], ...]) -> Design:
    return turned(design_of_json(document), dict(values))


def design_on_screen(question: Question) -> Design:
    """The scene's design with the knobs turned."""
    return _on_screen(question.document, question.values)


@lru_cache(maxsize=8)
def _idle(document: str) -> Idle:
    return idle_of(design_of_json(document))


@lru_cache(maxsize=8)
def _sized(document: str, values: tuple[tuple[str, Value], ...]) -> curve.Sized:
    """What a knob does makes nothing needed that the design itself does not need."""
    return curve.sized(_on_screen(document, values), idle=_idle(document))


def part(question: Question, first: int, n: int) -> curve.Part:
    """Some replicates, with the measures that the page shows."""
    design = _sized(question.document, question.values)
    found = curve.part_of(design, seed=question.seed, first=first, n=n)
    return replace(found, measures=curve.only(found.measures, _shown_measures(design.design)))


def _shown_measures(design: Design) -> Iterator[str]:
    primary = primary_of(design)
    yield from ("randomized/all", "calendar/enrolment_months", "calendar/last_visit_day", "cost/total")
    for arm, stated in design.arms.items():
        yield from (f"randomized/{arm}", f"observed/{arm}/{primary.visit}", f"treatment/{arm}/started")
        room = "coaches" if isinstance(stated.delivery, Individual) else "groups"
        yield from (f"{room}/{arm}/mean_wait_days", f"{room}/{arm}/longest_wait_days")
        yield f"baseline/{primary.outcome}/{arm}/mean"
        yield from (f"outcome/{primary.outcome}/{arm}/{visit}/mean" for visit in design.visits)


# --- the answer -------------------------------------------------------------------------------------------------------


def answer(question: Question, parts: list[curve.Part]) -> Answer:
    """All panels of the free page."""
    design = _sized(question.document, question.values)
    primary, measures = primary_of(design.design), curve.joined_measures(parts)
    hits, below = curve.joined_hits(parts), list(_course_panel(design.design, primary, measures))
    if hits is None:
        numbers = _numbers_panel(design.design, (), measures)
        says = ["This design states no comparison of arms, so there is no power to show."]
        return Answer([numbers, *below], [*_warning(design.design), *says, *_shortfall(design.design, measures)])
    lines = curve.points(design, hits)
    numbers = _numbers_panel(design.design, list(_powers(design, primary, lines)), measures)
    estimates = concatenate([one.estimates for one in parts if one.estimates is not None])
    return Answer(
        [_power_panel(design, primary, lines, hits.shape[2]), numbers, *below,
         *_estimates_panel(design.design, primary, estimates)],
        [*_warning(design.design), *_said(design, primary, lines), *_shortfall(design.design, measures)],
        ("--skip-failed",) if _own(design, lines[0]).n_replicates < hits.shape[2] else (),
    )  # fmt: skip


def _warning(design: Design) -> Iterator[str]:
    """What must be known to read comparisons of cohorts."""
    if warning := confounded(design):
        yield warning


def _chance(design: Design) -> str:
    """What the share of significant trials is called: where nobody is randomized it is no power."""
    return "Share of trials with a significant difference" if confounded(design) else "Power"


def _own(design: curve.Sized, points: list[curve.Point]) -> curve.Point:
    """The point at the design's own size."""
    return points[design.sizes.index(design.design.sample_size)]


def line_labels(design: Design, primary: Primary) -> list[str]:
    """What each line of power is about, in words."""
    words = {"beats": "better than", "non_inferior": "not inferior to", "equivalent": "equivalent to"}
    labels = []
    for hypothesis in primary.hypotheses:
        first, second = (design.arms[arm].label or arm for arm in hypothesis.arms)
        labels.append(f"{first} {words[hypothesis.kind]} {second}")
    if len({hypothesis.visit for hypothesis in primary.hypotheses}) > 1:
        visits = [design.visits[one.visit].label or one.visit for one in primary.hypotheses]
        labels = [f"{label}, {visit}" for label, visit in zip(labels, visits, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({one.name})" for label, one in zip(labels, primary.hypotheses, strict=True)]
    return [*labels, "the trial succeeds"] if len(labels) > 1 else labels


def _keys(primary: Primary) -> list[str]:
    keys = [hypothesis.name for hypothesis in primary.hypotheses]
    return [*keys, "success"] if len(keys) > 1 else keys


def _power_panel(design: curve.Sized, primary: Primary, lines: list[list[curve.Point]], asked: int) -> Panel:
    labels, keys, n = line_labels(design.design, primary), _keys(primary), design.design.sample_size
    series = []
    for k, (key, label, points) in enumerate(zip(keys, labels, lines, strict=True)):
        x, y, low, high = zip(*((one.n, one.power, one.low, one.high) for one in points), strict=True)
        name = f"{label[:1].upper()}{label[1:]}"
        series.append(panels.Series(key, name, _colour(k, key), x, y, low, high, dashed=key == "success"))
    note = "Band: 95% Monte Carlo band, from how many simulated trials each point rests on."
    if not design.is_cut:
        note += " Points are few, as each is simulated by itself: in a longer trial groups would fill up otherwise."
    worst = min(lines[0], key=lambda one: one.n_replicates)
    if worst.n_replicates < asked:
        note += f" An analysis failed in {asked - worst.n_replicates} trials of {worst.n}: they are left out there."
    return panels.curve(
        f"{_chance(design.design)} by number of participants", x=panels.Axis("participants", 0, max(design.sizes)),
        y=panels.Axis(_chance(design.design).lower(), 0, 1, percent=True), series=series,
        lines=[panels.Mark(0.8, "80%", "y"), panels.Mark(n, f"{n:,} participants", "x")], note=note,
    )  # fmt: skip


def _colour(k: int, key: str) -> int:
    return 6 if key == "success" else k % 6


def _powers(design: curve.Sized, primary: Primary, lines: list[list[curve.Point]]) -> Iterator[panels.Figure]:
    for key, label, points in zip(_keys(primary), line_labels(design.design, primary), lines, strict=True):
        one = _own(design, points)
        tip = f"How many of 100 such trials would show this. 95% band {percent(one.low)} to {percent(one.high)}."
        text = with_error(100 * one.power, 100 * one.mcse, 1)
        what = "Significant" if confounded(design.design) else "Power"
        yield panels.Figure(f"power_{key}", f"{what}: {label}", text, one.power, one.mcse, "%", tip)


def _said(design: curve.Sized, primary: Primary, lines: list[list[curve.Point]]) -> Iterator[str]:
    own = [_own(design, points) for points in lines]
    said = [
        f"{label} {percent(one.power)} (95% band {percent(one.low)} to {percent(one.high)})"
        for label, one in zip(line_labels(design.design, primary), own, strict=True)
    ]
    yield f"{_chance(design.design)} with {design.design.sample_size:,} participants: {listed(said)}."


def _shortfall(design: Design, measures: Measures) -> Iterator[str]:
    mean = float(measures["randomized/all"].mean())
    if mean < design.sample_size - 0.5:
        yield (
            f"Enrolment ends after {design.max_enrolment_days:,} days; by then only {number(mean, 0)} of "
            f"{design.sample_size:,} participants are found on average."
        )


def _numbers_panel(design: Design, powers: Sequence[panels.Figure], measures: Measures) -> Panel:
    items = [*powers, *_figures(design, measures)]
    note = "± is the Monte Carlo standard error: how far luck in the simulation may have moved the number."
    return panels.numbers(f"With {design.sample_size:,} participants", items=items, note=note)


def _figures(design: Design, measures: Measures) -> Iterator[panels.Figure]:
    primary = primary_of(design)
    when = design.visits[primary.visit].label or primary.visit
    tip = "From the first day of the trial until the last participant is in it."
    yield _figure("enrolment", "Time to enrol everybody", measures["calendar/enrolment_months"], 1, "months", tip)
    tip = "From the first day of the trial to the last visit of the last participant."
    days = measures["calendar/last_visit_day"]
    yield _figure("duration", "Duration of the trial", days / MONTH_DAYS, 1, "months", tip)
    if any(value for name, value in design.costs if name != "currency"):
        tip = "Letters, screening, staff hours, assessments and sites, at the unit costs of the design."
        yield _figure("cost", "Cost", measures["cost/total"], 0, design.costs.currency, tip)
    yield from _waits(design, measures)
    tip = "Of 100 participants, how many answer at the visit that counts."
    yield _figure("answering", f"Answering at {when}", _answering(design, primary, measures), 1, "%", tip)
    for arm, stated in design.arms.items():
        if (started := measures.get(f"treatment/{arm}/started")) is not None:
            tip = "Of 100 participants of this arm, how many attend at least one session."
            yield _figure(f"started_{arm}", f"Starting: {stated.label or arm}", started, 1, "%", tip)


def _waits(design: Design, measures: Measures) -> Iterator[panels.Figure]:
    for arm, stated in design.arms.items():
        if not isinstance(stated.delivery, Individual | Group):
            continue
        room, what = ("coaches", "coach") if isinstance(stated.delivery, Individual) else ("groups", "group")
        label = stated.label or arm
        tip = f"Days from asking for a {what} to getting one, of those who got one."
        mean, longest = (measures[f"{room}/{arm}/{name}"] for name in ("mean_wait_days", "longest_wait_days"))
        yield _figure(f"wait_{arm}", f"Mean wait for a {what}: {label}", mean, 1, "days", tip)
        tip = f"The longest that anybody waited for a {what}, on average over simulated trials."
        yield _figure(f"longest_{arm}", f"Longest wait for a {what}: {label}", longest, 0, "days", tip)


def _figure(key: str, label: str, values: Floats, digits: int, unit: str, tip: str) -> panels.Figure:
    mean, mcse, _ = mean_with_error(values)
    return panels.Figure(key, label, with_error(mean, mcse, digits), mean, mcse, unit, tip)


def _answering(design: Design, primary: Primary, measures: Measures) -> Floats:
    """Percentage of all participants, (R,)."""
    total = np.zeros(len(measures["randomized/all"]))
    for arm in design.arms:
        total += np.nan_to_num(measures[f"observed/{arm}/{primary.visit}"]) * measures[f"randomized/{arm}"]
    n = measures["randomized/all"]
    return np.divide(total, n, out=np.full(len(n), math.nan), where=n > 0)


def _course_panel(design: Design, primary: Primary, measures: Measures) -> Iterator[Panel]:
    """The primary outcome over time by arm, as it would be recorded."""
    stated = design.outcomes[primary.outcome]
    if not stated.has_baseline:
        return
    months = [0.0, *(round(visit.day / MONTH_DAYS, 2) for visit in design.visits.values())]
    series: list[panels.Series] = []
    lows: list[float] = []
    highs: list[float] = []
    for k, (arm, own) in enumerate(design.arms.items()):
        names = [f"baseline/{primary.outcome}/{arm}/mean"]
        names += [f"outcome/{primary.outcome}/{arm}/{visit}/mean" for visit in design.visits]
        means = [mean_with_error(measures[name])[0] for name in names]
        limits = [_middle(measures[name]) for name in names]
        low, high = zip(*limits, strict=True)
        lows, highs = [*lows, *low], [*highs, *high]
        series.append(panels.Series(arm, own.label or arm, k % 8, months, means, low, high))
    label, start = stated.label or primary.outcome, "enrolment" if confounded(design) else "randomization"
    yield panels.curve(
        f"{label[:1].upper()}{label[1:]} over time", x=panels.Axis(f"months since {start}", 0, months[-1]),
        y=panels.Axis(label, *_room(lows, highs)), series=series,
        note="Mean of what is recorded, averaged over simulated trials. Band: the middle 95% of trials' means.",
    )  # fmt: skip


def _middle(values: Floats) -> tuple[float, float]:
    """Middle 95% of replicates."""
    used = values[~np.isnan(values)]
    if not len(used):
        return math.nan, math.nan
    low, high = np.quantile(used, [0.025, 0.975])
    return float(low), float(high)


def _room(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    """Ends of a scale on whole or half numbers, with all of it inside."""
    known = [x for x in (*lows, *highs) if not math.isnan(x)]
    if not known:
        return 0.0, 1.0
    step = 10.0 ** math.floor(math.log10(max(max(known) - min(known), 1e-6))) / 2
    return math.floor(min(known) / step) * step, math.ceil(max(known) / step) * step


def _estimates_panel(design: Design, primary: Primary, estimates: Estimates) -> Iterator[Panel]:
    """What each contrast's analysis finds, beside the true value among the participants."""
    groups, ratio, label = [], False, ""
    what = design.outcomes[primary.outcome].label or primary.outcome
    for k, hypothesis in enumerate(primary.hypotheses):
        place = _place(estimates, hypothesis.analysis, hypothesis.contrast, hypothesis.visit)
        if place is None:
            continue
        ratio, label = estimates.labels[place].measure in RATIOS, f"{estimates.labels[place].measure}, {what}"
        values, truth = estimates.estimate[:, place], estimates.truth[:, place]
        mean, mcse, _ = mean_with_error(values)
        low, high = _middle(values)
        true = mean_with_error(truth)[0]
        first, second = (design.arms[arm].label or arm for arm in hypothesis.arms)
        groups.append(
            panels.Estimated(
                hypothesis.name, f"{first} minus {second}" if not ratio else f"{first} over {second}", k % 6, mean,
                mcse, low, high, true, "" if math.isnan(true) else "true value", list(values[:100]),
            )
        )  # fmt: skip
    if not groups:
        return
    nothing = 1.0 if ratio else 0.0
    ends = [x for one in groups for x in (one.low, one.high, one.truth)] + [nothing]
    yield panels.estimates(
        "What the analysis finds", x=panels.Axis(label, *_room(ends, ends)), groups=groups, nothing=nothing,
        note="Mean of the estimates over simulated trials; line: the middle 95% of trials. The true value (mean "
        f"of the first {curve.WITH_TRUTH}) is known because the simulation knows how all would fare under every arm.",
    )  # fmt: skip


def _place(estimates: Estimates, analysis: str, contrast: str, visit: str) -> int | None:
    """Column of a contrast's first measure, its arms in this order or the other."""
    swapped = " - ".join(reversed(contrast.split(" - ")))
    for place, label in enumerate(estimates.labels):
        same = (label.analysis, label.visit) == (analysis, visit) and label.contrast in (contrast, swapped)
        if same and label.measure in COMPARISONS:
            return place
    return None


def command(question: Question, filename: str) -> str:
    """The command that prints the power on the screen."""
    design = design_on_screen(question)
    verb = "power" if design.decisions else "run"
    return f"trialsim {verb} {filename} --replicates {question.replicates} --seed {question.seed}"


VIEW = View("Power and what it takes", part, answer, design_on_screen, command)
