"""Power of decisions and contrasts, with Monte Carlo intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trialsim.design.decisions import Hypothesis, hypotheses_of
from trialsim.design.parts import Design
from trialsim.experiments.performance import Performance
from trialsim.experiments.targets import Target
from trialsim.report.describe.phrases import confounded
from trialsim.report.figures.analyses import analysis_of, contrasts_of, failed_text, in_words, why_no_contrasts
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import percent_axis, published, published_key
from trialsim.report.figures.rows import Row, RowPlot
from trialsim.report.figures.words import (
    Z,
    about,
    arm_name,
    arms_in_full,
    of_trials,
    plus_minus,
    sentences,
    sources,
    visit_label,
)
from trialsim.report.layout import listed, with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

LEVELS = (80, 90)
"""Power that trials usually ask for [%]."""


@dataclass(frozen=True)
class Chance:
    """A probability with its Monte Carlo error [%]."""

    text: str
    value: float
    mcse: float
    arm: int | None = None
    target: Target | None = None


Parts = list[tuple[str, list[Chance]]]
"""Headings, and the chances below each."""


def _parts(material: Material, asked: Asked) -> Parts:
    decisions = [] if asked.analysis else _of_decisions(material)
    return [*decisions, *_of_contrasts(material, asked)]


def _of_decisions(material: Material) -> Parts:
    design = material.design
    rows, _ = material.decisions
    found: Parts = []
    for name, decision in design.decisions.items():
        mine = [row for row in rows if row.label.measure == name]
        if mine:
            label = decision.label or name.replace("_", " ")
            family = hypotheses_of(design, decision)
            several = len({hypothesis.analysis for hypothesis in family}) > 1
            single = [_hypothesis(design, one, row, several) for one, row in zip(family, mine, strict=False)]
            found.append((f"Decision: {label}", [*single, *map(_whole, _told(mine))]))
    return found


def _told(rows: list[Performance]) -> list[Performance]:
    """What is said of all hypotheses together, but for what says the same again: of one, any and all are it."""
    whole = [row for row in rows if row.statistic != "marginal power"]
    return whole if len(rows) - len(whole) > 1 else [row for row in whole if row.statistic == "success"]


_NAMES = {
    "disjunctive power": "any hypothesis",
    "conjunctive power": "all hypotheses",
    "success": "the trial succeeds",
}
_VERBS = {"beats": "beats", "non_inferior": "is not inferior to", "equivalent": "is equivalent to"}


def _whole(row: Performance) -> Chance:
    return Chance(_NAMES[row.statistic], 100 * row.value, 100 * row.mcse)


def _hypothesis(design: Design, one: Hypothesis, row: Performance, several: bool) -> Chance:
    """That a hypothesis is rejected in favour of its first arm; `several`: analyses in the decision."""
    first, second = map(arm_name, one.arms)
    text = f"{first} {_VERBS[one.kind]} {second}, {visit_label(design, one.visit)}"
    text += f", {one.analysis.replace('_', ' ')}" if several else ""
    return Chance(text, 100 * row.value, 100 * row.mcse, list(design.arms).index(one.arms[0]))


def _of_contrasts(material: Material, asked: Asked) -> Parts:
    if not material.design.analyses:
        return []
    analysis = analysis_of(material, asked)
    found: Parts = []
    for one in contrasts_of(material, analysis, asked.visit):
        power = one.performance.get("power")
        if power is None or math.isnan(power.value):
            continue
        heading = f"{_title(material, analysis)}, {visit_label(material.design, one.label.visit)}"
        if not found or found[-1][0] != heading:
            found.append((heading, []))
        found[-1][1].append(Chance(one.name, 100 * power.value, 100 * power.mcse, one.arm, one.target("power")))
    return found


def _title(material: Material, analysis: str) -> str:
    return f"Contrasts of {analysis.replace('_', ' ')}"


def _why_not(material: Material) -> str:
    why = why_no_contrasts(material)
    if why:
        return why
    if not material.many:
        return "one replicate has no power; at least two are needed"
    if not _parts(material, Asked()):
        return next(iter([*material.refused.values(), *material.decisions[1]]), "no contrast has a test")
    return ""


def _targets(parts: Parts) -> list[Target]:
    return [chance.target for _, chances in parts for chance in chances if chance.target is not None]


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    parts = _parts(material, asked)
    rows: list[Row] = []
    for heading, chances in parts:
        rows.append(Row(heading, heading=True))
        rows += [Row(chance.text, with_error(chance.value, chance.mcse, 1)) for chance in chances]
    names = arms_in_full(material.design)
    note = f"{names} Lines through the points: 95 % Monte Carlo interval over {of_trials(material.n_replicates)}."
    plot = RowPlot(
        look,
        rows,
        title=KIND.title,
        note=note,
        value_head="% ± MCSE",
        keys=published_key(look, _targets(parts)),
        share=0.4,
    )
    every = [None, *(chance for _, chances in parts for chance in [*chances, None])]
    for chance, y in zip(every, plot.y, strict=False):
        if chance is not None:
            _mark(plot, look, chance, y)
    for level in LEVELS:
        plot.ax.axvline(level, color=look.muted, linewidth=look.line * 0.5, linestyle=(0, (4, 2)), zorder=1)
    plot.ax.set_xlim(0, 100)
    percent_axis(plot.ax.xaxis)
    plot.ax.set_xlabel("Power")
    return plot.frame.figure


def _mark(plot: RowPlot, look: Look, chance: Chance, y: float) -> None:
    colour = look.ink if chance.arm is None else look.colour(chance.arm)
    marker = "o" if chance.arm is None else look.marker(chance.arm)
    ends = [max(0.0, chance.value - Z * chance.mcse), min(100.0, chance.value + Z * chance.mcse)]
    plot.ax.plot(ends, [y, y], color=colour, linewidth=look.line * 1.5, solid_capstyle="butt", zorder=3)
    plot.ax.plot([chance.value], [y], color=colour, marker=marker, linestyle="", zorder=4, clip_on=False)
    if chance.target is not None:
        scaled = chance.target.model_copy(
            update={name: 100 * getattr(chance.target, name) for name in ("published", "low", "high")}
        )
        published(plot.ax, look, y, scaled, colour, along="x")


def _say(material: Material, asked: Asked) -> str:
    parts = _parts(material, asked)
    analysis = analysis_of(material, asked)
    left_out = " ".join(
        [*material.decisions[1], *([material.refused[analysis]] if analysis in material.refused else [])]
    )
    return sentences(
        [
            "Share of simulated trials in which a hypothesis is rejected in favour of its first arm (decisions), or in "
            f"which two arms count as different (contrasts of {in_words(material, analysis)}).",
            arms_in_full(material.design),
            "Lines through the points are 95 % Monte Carlo intervals; dashed lines stand at 80 and 90 %.",
            confounded(material.design),
            failed_text(material, analysis),
            f"Not shown: {left_out}" if left_out else "",
            about(material),
            sources(_targets(parts)),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    found = []
    for heading, chances in _parts(material, asked):
        found.append(f"{heading}: {listed([f'{c.text} {plus_minus(c.value, c.mcse)} %' for c in chances])}.")
    return " ".join(["Dots on an axis from 0 to 100 %.", *found])


KIND = Kind(
    name="power",
    title="Power",
    shows="Power of the design's decisions and of the contrasts of an analysis, with Monte Carlo intervals.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("analysis", "visit"),
)
