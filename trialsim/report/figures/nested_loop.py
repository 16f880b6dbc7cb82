"""Nested-loop plot of a sweep: every design point in the order of nested loops over the axes, which stand below.

Rücker and Schwarzer 2014, doi:10.1186/1471-2288-14-129.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trialsim.errors import TrialsimError
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import few_ticks
from trialsim.report.figures.studied import (
    Axis,
    Statistic,
    about_sweep,
    axes_of,
    point_text,
    statistics_of,
    why_no_points,
)
from trialsim.report.figures.style import line_height, wrapped
from trialsim.report.figures.words import Z, plus_minus, sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

MOST_AXES, MOST_VALUES, MOST_LINES = 8, 12, 6


def _order(material: Material) -> list[int]:
    """Design points in the order of the loops, the first axis outermost."""
    axes = axes_of(material)
    values = material.sweep.axis_values

    def key(point: int) -> tuple[int, ...]:
        return tuple(axis.place(values[point][axis.path]) for axis in axes)

    return sorted(range(material.sweep.n_points), key=key)


def _why_not(material: Material) -> str:
    why = why_no_points(material)
    if why:
        return why
    axes = axes_of(material)
    if not axes:
        return "no axis of the sweep has several values"
    if len(axes) > MOST_AXES or any(len(axis.values) > MOST_VALUES for axis in axes):
        return f"its loops need a grid of at most {MOST_AXES} axes with at most {MOST_VALUES} values each"
    if material.sweep.n_points != math.prod(len(axis.values) for axis in axes):
        return "its loops need a full grid, with a design point for every combination of the axes' values"
    return ""


def _statistics(material: Material, asked: Asked) -> list[Statistic]:
    found = statistics_of(material, asked)
    if len(found) > MOST_LINES:
        raise TrialsimError(f"figure 'nested_loop': {len(found)} lines are too many; choose a contrast.")
    return found


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    statistics, axes = _statistics(material, asked), axes_of(material)
    keys = [Key(one.line, look.colour(k), line=look.dashes(k)) for k, one in enumerate(statistics) if one.line]
    lane = 0.36 if not look.projected else 0.56
    below = lane * len(axes)
    frame = Frame(look, title=KIND.title, note=_note(), keys=keys, body=2.6 + below)
    below = min(below, frame.body * 0.5)
    grid: Any = frame.figure.add_gridspec(2, 1, height_ratios=[frame.body - below - 0.2, below], hspace=0.02)
    above = frame.figure.add_subplot(grid[0, 0])
    loops = frame.figure.add_subplot(grid[1, 0], sharex=above)
    order = _order(material)
    for k, one in enumerate(statistics):
        _steps(above, look, one, order, k, alpha=0.22 if len(statistics) == 1 else 0.12)
    for aim in _aims(statistics[0]):
        above.axhline(aim, color=look.muted, linewidth=look.line * 0.5, linestyle=(0, (4, 2)), zorder=1)
    above.set_xlim(0, len(order))
    if statistics[0].name.startswith("Power"):
        above.set_ylim(0, 102)
    few_ticks(above.yaxis, 6)
    above.set_ylabel(statistics[0].name)
    above.tick_params(labelbottom=False, bottom=False)
    above.grid(visible=True, axis="y")
    _loops(loops, look, material, axes, order, below / len(axes))
    return frame.figure


def _steps(ax: Axes, look: Look, one: Statistic, order: list[int], number: int, *, alpha: float) -> None:
    """A step for each design point, with its Monte Carlo interval as a band."""
    edges = np.arange(len(order) + 1)
    value, error = (
        np.array([getattr(one.at[point], name) if point in one.at else math.nan for point in order])
        for name in ("value", "mcse")
    )
    error = np.nan_to_num(error)
    low, high = value - Z * error, value + Z * error
    if one.percent:
        low, high = np.maximum(low, 0), np.minimum(high, 100)
    colour = look.colour(number)
    step: Any = {"step": "post", "alpha": alpha, "linewidth": 0, "zorder": 1.5}
    ax.fill_between(edges, np.append(low, low[-1]), np.append(high, high[-1]), color=colour, **step)
    how: Any = {"where": "post", "color": colour, "linestyle": look.dashes(number), "zorder": 3}
    ax.step(edges, np.append(value, value[-1]), **how)


def _loops(ax: Axes, look: Look, material: Material, axes: list[Axis], order: list[int], lane: float) -> None:
    """A lane for each axis: its value as a step from low to high, its name and values above."""
    values = material.sweep.axis_values
    points = look.small * (0.95 if not look.projected else 0.85)
    text_part = min(0.75, (line_height(points) + 0.02) / lane)
    edges = np.arange(len(order) + 1)
    for k, axis in enumerate(axes):
        base = len(axes) - 1 - k
        place = np.array([axis.place(values[point][axis.path]) for point in order])
        tall = (1 - text_part) * 0.75
        height = base + 0.16 * (1 - text_part) + tall * place / max(1, len(axis.values) - 1)
        ax.step(edges, np.append(height, height[-1]), where="post", color=look.ink, linewidth=look.line * 0.7)
        told = f"{axis.name}: {', '.join(axis.text(value) for value in axis.values)}"
        line = wrapped(told, look.width - 1.2, points)
        text = line[0] if len(line) == 1 else f"{line[0]} …"
        ax.text(0, base + 1 - text_part * 0.5, text, fontsize=points, ha="left", va="center", color=look.muted)
    ax.set_ylim(0, len(axes))
    ax.set_yticks([])
    ax.set_xticks([])
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _aims(statistic: Statistic) -> tuple[float, ...]:
    if statistic.name.startswith("Power"):
        return (80.0, 90.0)
    return () if statistic.aim is None else (statistic.aim,)


def _note() -> str:
    return "Above: a step for each design point; bands: 95 % Monte Carlo interval. Below: the axes' values there."


def _say(material: Material, asked: Asked) -> str:
    statistics = _statistics(material, asked)
    axes = "; ".join(f"{axis.name} ({axis.path})" for axis in axes_of(material))
    return sentences(
        [
            f"Nested-loop plot (Rücker and Schwarzer 2014). {'; '.join(one.words for one in statistics)}.",
            f"Design points stand side by side in the order of loops over the axes, the first outermost: {axes}. The "
            "lines below show each axis's value at the design point above.",
            "Bands are 95 % Monte Carlo intervals.",
            about_sweep(material),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    parts = []
    for one in _statistics(material, asked):
        best = max(one.at, key=lambda point: one.at[point].value)
        worst = min(one.at, key=lambda point: one.at[point].value)
        digits = 1 if one.percent else 2
        said = [
            f"{word} {plus_minus(one.at[point].value, one.at[point].mcse, digits)} ({point_text(material, point)})"
            for word, point in (("highest", best), ("lowest", worst))
        ]
        parts.append(f"{one.line or one.name}: {', '.join(said)}")
    return f"A step line over {material.sweep.n_points} design points. {'; '.join(parts)}."


KIND = Kind(
    name="nested_loop",
    title="Nested-loop plot",
    shows="A statistic at every design point of a grid, in the order of nested loops over the axes.",
    of="sweep",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("statistic", "analysis", "visit", "contrast"),
)
