"""Family-wise type I error of decisions in worlds in which some arms are equal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trialsim.design.decisions import hypotheses_of
from trialsim.experiments.nulls import Partition
from trialsim.report.figures.analyses import why_no_contrasts
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import few_ticks
from trialsim.report.figures.material import MOST_ARMS
from trialsim.report.figures.rows import Row, RowPlot
from trialsim.report.figures.words import Z, arm_name, arms_in_full, of_trials, plus_minus, sentences
from trialsim.report.layout import with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look


def equal_arms(parts: Partition) -> str:
    """'coach = usual, a = b' of classes of equal arms."""
    return ", ".join(" = ".join(arm_name(arm) for arm in part) for part in parts if len(part) > 1)


def _why_not(material: Material) -> str:
    why = why_no_contrasts(material)
    if why:
        return why
    design = material.design
    if not design.decisions:
        return "the design states no decision"
    kinds = {h.kind for decision in design.decisions.values() for h in hypotheses_of(design, decision)}
    if "beats" not in kinds:
        return "no decision has a hypothesis of superiority, so nothing is false of equal arms"
    return "" if material.many else "one replicate has no error rates; at least two are needed"


def _rates(material: Material) -> list[tuple[str, str, float, float]]:
    """Decision, equal arms, error and its Monte Carlo error [%], decision by decision."""
    found = [
        (name, equal_arms(parts), 100 * error[0], 100 * error[1])
        for parts, name, error in material.nulls
        if error is not None
    ]
    order = list(material.design.decisions)
    return sorted(found, key=lambda one: order.index(one[0]))


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    rates = _rates(material)
    rows: list[Row] = []
    marks: list[tuple[float, float] | None] = []
    before = ""
    for name, equal, value, error in rates:
        if name != before:
            label = material.design.decisions[name].label or name.replace("_", " ")
            rows.append(Row(f"{label}, if equal:", heading=True))
            marks.append(None)
            before = name
        rows.append(Row(equal, with_error(value, error, 1)))
        marks.append((value, error))
    plot = RowPlot(look, rows, title=KIND.title, note=_note(material), value_head="% ± MCSE", share=0.42)
    for mark, y in zip(marks, plot.y, strict=False):
        if mark is not None:
            value, error = mark
            ends = [max(0.0, value - Z * error), value + Z * error]
            plot.ax.plot(ends, [y, y], color=look.colour(0), linewidth=look.line * 1.5, solid_capstyle="butt")
            plot.ax.plot([value], [y], color=look.colour(0), marker="o", linestyle="", zorder=3, clip_on=False)
    for alpha in {100 * decision.alpha for decision in material.design.decisions.values()}:
        plot.ax.axvline(alpha, color=look.muted, linewidth=look.line * 0.6, linestyle=(0, (4, 2)), zorder=1)
    highest = max([value + Z * error for _, _, value, error in rates], default=5.0)
    plot.ax.set_xlim(0, max(1.1 * highest, 150 * max(d.alpha for d in material.design.decisions.values())))
    few_ticks(plot.ax.xaxis, 6)
    plot.ax.set_xlabel("Family-wise type I error [%]")
    return plot.frame.figure


def _note(material: Material) -> str:
    names = arms_in_full(material.design)
    lines = f"Lines: 95 % Monte Carlo interval, {of_trials(material.n_nulls)} of each world; dashed: the level."
    return f"{names} {lines}".strip()


def _say(material: Material, asked: Asked) -> str:
    all_arms = len(material.design.arms)
    some = "all arms equal, and each pair of arms" if all_arms >= MOST_ARMS else "every partial null"
    return sentences(
        [
            "Share of simulated trials in which a decision rejects any hypothesis that is true, in either direction, "
            f"in worlds in which the arms named are equal and everything else is as designed ({some}).",
            "Lines through the points are 95 % Monte Carlo intervals; the dashed line is the decision's level.",
            arms_in_full(material.design),
            f"Simulated: design {material.design.name}, {material.n_nulls:,} replicates of each world, "
            f"seed {material.seed}.",
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    said = [
        f"{name}, {equal}: {plus_minus(value, error)} %"
        for name, equal, value, error in _rates(material)
        if not math.isnan(value)
    ]
    return f"Dots beside the level. {'; '.join(said)}."


KIND = Kind(
    name="errors",
    title="Type I error",
    shows="Family-wise error of decisions under partial null hypotheses, with Monte Carlo intervals.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
)
