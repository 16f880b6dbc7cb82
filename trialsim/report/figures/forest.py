"""Forest plot of contrasts: estimates with their intervals, and the true values that only a simulation knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trialsim.experiments.targets import Target
from trialsim.report.describe.phrases import confounded
from trialsim.report.figures.analyses import (
    Compared,
    analysis_of,
    contrasts_of,
    failed_text,
    in_words,
    quantile,
    tested_measure,
    why_no_contrasts,
)
from trialsim.report.figures.frame import Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import few_ticks, log_ticks, published, published_key
from trialsim.report.figures.rows import Row, RowPlot
from trialsim.report.figures.words import about, arms_in_full, of_trials, sentences, sources, visit_label
from trialsim.report.layout import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look


@dataclass(frozen=True)
class _Line:
    """One contrast: estimate, interval, and of many replicates the range of 95 % of the estimates; true value."""

    about: Compared
    value: float
    mcse: float
    low: float
    high: float
    spread: tuple[float, float] | None
    truth: float
    target: Target | None
    reason: str = ""


def _lines(material: Material, asked: Asked) -> list[_Line]:
    found = contrasts_of(material, analysis_of(material, asked), asked.visit)
    one = asked.replicate is not None or not material.many
    return [_of_one(material, c, asked.replicate) if one else _of_many(material, c) for c in found]


def _of_one(material: Material, one: Compared, replicate: int | None) -> _Line:
    e: Any = material.estimates
    row = 0 if replicate is None else material.column_of(replicate)
    value, low, high, truth = (
        float(getattr(e, name)[row, one.place]) for name in ("estimate", "ci_low", "ci_high", "truth")
    )
    return _Line(one, value, math.nan, low, high, None, truth, one.target("estimate"), str(e.reason[row, one.place]))


def _of_many(material: Material, one: Compared) -> _Line:
    rows = one.performance
    mean, truth = rows.get("mean estimate"), rows.get("truth")
    if mean is None:
        why = material.refused.get(one.label.analysis, "no estimate")
        return _Line(one, math.nan, math.nan, math.nan, math.nan, None, math.nan, None, why)
    limits = [_mean_limit(material, one, name) for name in ("ci_low", "ci_high")]
    spread = (quantile(material, one.place, 0.025), quantile(material, one.place, 0.975))
    true = truth.value if truth is not None else math.nan
    return _Line(one, mean.value, mean.mcse, limits[0], limits[1], spread, true, one.target("estimate"))


def _mean_limit(material: Material, one: Compared, name: str) -> float:
    values = getattr(material.estimates, name)[:, one.place]
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan
    if one.ratio:
        return float(np.exp(np.log(values[values > 0]).mean())) if (values > 0).any() else math.nan
    return float(values.mean())


def _why_not(material: Material) -> str:
    why = why_no_contrasts(material)
    if why:
        return why
    every = [line for name in material.design.analyses for line in _lines(material, Asked(analysis=name))]
    if all(math.isnan(line.value) for line in every):
        return next((line.reason for line in every if line.reason), "no fit gave an estimate")
    return ""


def _single(material: Material, asked: Asked) -> bool:
    return asked.replicate is not None or not material.many


def _digits(lines: list[_Line]) -> int:
    if any(line.about.ratio for line in lines):
        return 2
    size = max([abs(line.high - line.low) for line in lines if not math.isnan(line.high - line.low)], default=1.0)
    return 1 if size >= 3 else 2


def _value_text(line: _Line, digits: int) -> str:
    if math.isnan(line.value):
        return "no estimate"
    low, high = line.spread or (line.low, line.high)
    interval = "" if math.isnan(low) else f" ({number(low, digits)} to {number(high, digits)})"
    true = "" if math.isnan(line.truth) else f"; {number(line.truth, digits)}"
    return f"{number(line.value, digits)}{interval}{true}".replace("-", "−")


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    lines = _lines(material, asked)
    digits, single = _digits(lines), _single(material, asked)
    rows: list[Row] = []
    marks: list[_Line | None] = []
    for line in lines:
        heading = visit_label(material.design, line.about.label.visit)
        if not rows or heading != [row.label for row in rows if row.heading][-1]:
            rows.append(Row(heading, heading=True))
            marks.append(None)
        rows.append(Row(line.about.name, _value_text(line, digits), lines=1 if single else 2))
        marks.append(line)
    head = "estimate (95 % CI); truth" if single else "mean (95 % of trials); truth"
    plot = RowPlot(
        look, rows, title=KIND.title, value_head=head, note=_note(material, single), keys=_keys(look, lines, single)
    )
    for mark, y in zip(marks, plot.y, strict=False):
        if mark is not None and not math.isnan(mark.value):
            _mark(plot, look, mark, y)
    _axis(plot, look, material, lines)
    return plot.frame.figure


def _keys(look: Look, lines: list[_Line], single: bool) -> list[Key]:
    keys = [Key("estimate and 95 % confidence interval", look.muted, "o", "-")]
    if not single:
        keys = [
            Key("mean of the estimates, and 95 % of them", look.muted, "o", "-"),
            Key("mean confidence limits", look.muted, line=(0, (1.2, 1.2))),
        ]
    if any(not math.isnan(line.truth) for line in lines):
        keys.append(Key("true value", look.ink, line="-", upright=True))
    return [*keys, *published_key(look, [line.target for line in lines if line.target])]


def _note(material: Material, single: bool) -> str:
    names = arms_in_full(material.design)
    if single:
        return f"{names} True value: of this trial's own participants, from their potential outcomes under every arm."
    return f"{names} {of_trials(material.n_replicates).capitalize()}."


def _mark(plot: RowPlot, look: Look, line: _Line, y: float) -> None:
    ax, colour = plot.ax, look.colour(line.about.arm)
    lift = 0.16 * (plot.y[1] - plot.y[0]) if len(plot.y) > 1 else 0.02
    if line.spread is None:
        ax.plot([line.low, line.high], [y, y], color=colour, zorder=2.5)
    else:
        ax.plot(line.spread, [y, y], color=colour, zorder=2.5)
        at = [y + lift, y + lift]
        ax.plot([line.low, line.high], at, color=look.muted, linewidth=look.line * 0.8, linestyle=(0, (1.2, 1.2)))
    ax.plot([line.value], [y], color=colour, marker=look.marker(line.about.arm), linestyle="", zorder=3)
    if not math.isnan(line.truth):
        ends = [y - 1.9 * lift, y + 1.9 * lift]
        ax.plot([line.truth] * 2, ends, color=look.ink, linewidth=look.line, zorder=4, solid_capstyle="butt")
    if line.target is not None:
        published(ax, look, y - 1.7 * lift, line.target, colour, along="x")


def _axis(plot: RowPlot, look: Look, material: Material, lines: list[_Line]) -> None:
    ratio = lines[0].about.ratio
    ends = [x for line in lines for x in (line.low, line.high, *(line.spread or ()), line.truth, line.value)]
    ends += [x for line in lines if line.target for x in (line.target.low, line.target.high)]
    ends = [x for x in ends if math.isfinite(x) and (x > 0 or not ratio)] + [1.0 if ratio else 0.0]
    low, high = min(ends), max(ends)
    if ratio:
        low, high = low / (high / low) ** 0.05, high * (high / low) ** 0.05
        plot.ax.set_xscale("log")
        ticks = log_ticks(low, high)
        plot.ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        plot.ax.set_xticks([], minor=True)
    else:
        pad = 0.05 * (high - low) or 1.0
        low, high = low - pad, high + pad
        few_ticks(plot.ax.xaxis, 6)
    plot.ax.set_xlim(low, high)
    plot.ax.axvline(1.0 if ratio else 0.0, color=look.muted, linewidth=look.line * 0.6, zorder=1)
    measure = lines[0].about.label.measure
    plot.ax.set_xlabel(measure[:1].upper() + measure[1:] + (" (logarithmic scale)" if ratio else ""))
    _margin(plot, look, material, lines[0])


def _margin(plot: RowPlot, look: Look, material: Material, line: _Line) -> None:
    """A margin of non-inferiority or equivalence, where the analysis has one."""
    analysis: Any = material.design.analyses[line.about.label.analysis]
    if analysis.margin is None or analysis.hypothesis == "superiority":
        return
    sides = (analysis.margin, 1 / analysis.margin) if line.about.ratio else (analysis.margin, -analysis.margin)
    for side in sides:
        plot.ax.axvline(side, color=look.muted, linewidth=look.line * 0.6, linestyle=(0, (4, 2)), zorder=1)


def _say(material: Material, asked: Asked) -> str:
    lines, analysis = _lines(material, asked), analysis_of(material, asked)
    measure = tested_measure(material.design, analysis)
    plan: Any = material.design.analyses[analysis]
    level = f"{100 * (1 - plan.alpha):g}"
    what = f"{measure[:1].upper()}{measure[1:]}s between arms by visit: {in_words(material, analysis)}."
    if _single(material, asked):
        number_ = int(material.replicates[0]) if asked.replicate is None else asked.replicate
        how = f"Estimates of replicate {number_} with {level} % confidence intervals."
        true = "The upright line is the true value among the trial's own participants, from their potential outcomes."
    else:
        how = (
            "Points are means of the estimates, lines hold 95 % of the estimates (2.5 to 97.5 % of trials), dotted"
            f" lines run between the mean limits of {level} % confidence intervals."
        )
        true = "The upright line is the true value, from potential outcomes."
    margin = "Dashed lines are the margins." if plan.margin is not None and plan.hypothesis != "superiority" else ""
    published = sources([line.target for line in lines if line.target])
    warning = sentences([confounded(material.design), failed_text(material, analysis)])
    return sentences([what, arms_in_full(material.design), how, true, margin, warning, about(material), published])


def _tell(material: Material, asked: Asked) -> str:
    lines = _lines(material, asked)
    digits = _digits(lines)
    parts = []
    for line in lines:
        at = visit_label(material.design, line.about.label.visit)
        error = "" if math.isnan(line.mcse) else f", MCSE {number(line.mcse, 4)}"
        parts.append(f"{line.about.name}, {at}: {_value_text(line, digits).replace(';', ', truth')}{error}")
    inside = "95 % of trials" if not _single(material, asked) else "confidence interval"
    return f"Forest plot, {lines[0].about.label.measure}; in brackets: {inside}. {'; '.join(parts)}."


KIND = Kind(
    name="forest",
    title="Contrasts between arms",
    shows="Estimates of the contrasts of an analysis with their intervals, and the true values.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("analysis", "visit", "replicate"),
)
