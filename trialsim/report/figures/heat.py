"""A statistic of a sweep over two axes, with its Monte Carlo error in each cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trialsim.errors import TrialsimError
from trialsim.report.columns import digits_of
from trialsim.report.figures.frame import Frame
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.studied import (
    Axis,
    Mean,
    Statistic,
    about_sweep,
    average,
    averaged_over,
    axes_of,
    axis_called,
    statistics_of,
    why_no_points,
)
from trialsim.report.figures.style import line_height, text_width
from trialsim.report.figures.words import plus_minus, sentences
from trialsim.report.layout import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

MOST = 24
"""Values of an axis, at most."""
FILLED = 0.5
"""Share of a grid's cells that must have a design point, unless the axes are asked for."""


@dataclass(frozen=True)
class _Grid:
    statistic: Statistic
    x: Axis
    y: Axis
    cells: dict[tuple[int, int], Mean]
    """By number of the value of x and of y."""


def _grid(material: Material, asked: Asked) -> _Grid:
    statistic = statistics_of(material, asked)[0]
    x, y = _axes(material, asked)
    groups: dict[tuple[int, int], list[Any]] = {}
    for point, found in statistic.at.items():
        values = material.sweep.axis_values[point]
        groups.setdefault((x.place(values[x.path]), y.place(values[y.path])), []).append(found)
    return _Grid(statistic, x, y, {place: average(found) for place, found in groups.items()})


def _axes(material: Material, asked: Asked) -> tuple[Axis, Axis]:
    """Those asked for; else the two with most values that make a grid."""
    x, y = (axis_called(material, name) if name else None for name in (asked.x, asked.y))
    for axis in (x, y):
        if axis is not None and len(axis.values) > MOST:
            raise TrialsimError(f"figure 'heat': axis '{axis.path}' has more than {MOST} values.")
    if x is not None and y is not None:
        if x.path == y.path:
            raise TrialsimError(f"figure 'heat': x and y are the same axis, '{x.path}'.")
        return x, y
    pairs = [pair for pair in _pairs(material) if x in (None, pair[0]) and y in (None, pair[1])]
    if not pairs:
        known = ", ".join(axis.path for axis in axes_of(material))
        raise TrialsimError(f"figure 'heat': no other axis makes a grid with this one. Give --x and --y of: {known}.")
    return pairs[0]


def _pairs(material: Material) -> list[tuple[Axis, Axis]]:
    """Pairs of axes of whose cells at least half have a design point; numbers first, then many values."""
    axes = sorted(axes_of(material), key=lambda axis: (not axis.numeric, -len(axis.values)))
    usable = [axis for axis in axes if len(axis.values) <= MOST]
    return [(x, y) for x in usable for y in usable if x.path != y.path and _filled(material, x, y) >= FILLED]


def _filled(material: Material, x: Axis, y: Axis) -> float:
    cells = {(str(row[x.path]), str(row[y.path])) for row in material.sweep.axis_values}
    return len(cells) / (len(x.values) * len(y.values))


def _why_not(material: Material) -> str:
    return why_no_points(material) or (
        "" if _pairs(material) else f"it needs two axes with 2 to {MOST} values that make a grid"
    )


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    grid = _grid(material, asked)
    tall = float(np.clip(0.42 * len(grid.y.values) + 0.7, 1.6, 7.5))
    title = f"{KIND.title}: {grid.statistic.name}"
    frame = Frame(look, title=title, note=_note(material, grid, look), body=tall)
    ax = frame.panel()
    _cells(ax, look, grid, frame.wide * 0.85 / len(grid.x.values), (frame.body - 0.7) / len(grid.y.values))
    ax.set_xlim(-0.5, len(grid.x.values) - 0.5)
    ax.set_ylim(-0.5, len(grid.y.values) - 0.5)
    ax.set_xticks(range(len(grid.x.values)), _names(grid.x, look, frame.wide * 0.85 / len(grid.x.values)))
    ax.set_yticks(range(len(grid.y.values)), [grid.y.text(value) for value in grid.y.values])
    ax.set_xlabel(grid.x.name[:1].upper() + grid.x.name[1:])
    ax.set_ylabel(grid.y.name[:1].upper() + grid.y.name[1:])
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return frame.figure


def _names(axis: Axis, look: Look, room: float) -> list[str]:
    """Names of values; every second, third ... where there is no room for all."""
    texts = [axis.text(value) for value in axis.values]
    widest = max(text_width(text, look.small) for text in texts) + 0.06
    step = max(1, math.ceil(widest / room))
    return [text if k % step == 0 else "" for k, text in enumerate(texts)]


def _cells(ax: Axes, look: Look, grid: _Grid, wide: float, tall: float) -> None:
    from matplotlib.patches import Rectangle

    values = [mean.value for mean in grid.cells.values() if not math.isnan(mean.value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    digits = _digits(grid)
    for (x, y), mean in grid.cells.items():
        share = 0.0 if high == low or math.isnan(mean.value) else (mean.value - low) / (high - low)
        share = 0.08 + 0.92 * share
        box: Any = {"facecolor": look.shade(share), "edgecolor": look.paper, "linewidth": look.line}
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **box))
        _write(ax, look, mean, (x, y), look.on_shade(share), digits, (wide, tall))


def _digits(grid: _Grid) -> int:
    return min(3, digits_of([(mean.value, mean.mcse) for mean in grid.cells.values()]))


def _write(
    ax: Axes, look: Look, mean: Mean, at: tuple[int, int], ink: str, digits: int, room: tuple[float, float]
) -> None:
    """Value and error, as far as there is room."""
    value, error = number(mean.value, digits), "" if math.isnan(mean.mcse) else f"± {_error(mean.mcse, digits)}"
    points = look.small
    widest = max(text_width(value, points), text_width(error, points))
    if widest > room[0] - 0.04:
        points *= max(0.55, (room[0] - 0.04) / widest)
    two = 2 * line_height(points) <= room[1] and max(text_width(value, points), text_width(error, points)) <= room[0]
    how: Any = {"ha": "center", "color": ink, "fontsize": points}
    if two and error:
        ax.text(*at, value, va="bottom", fontweight="bold", **how)
        ax.annotate(error, at, xytext=(0, -1), textcoords="offset points", va="top", **how)
    elif text_width(value, points) <= room[0] and line_height(points) <= room[1]:
        ax.text(*at, value, va="center", **how)


def _error(mcse: float, digits: int) -> str:
    if mcse <= 0:
        return "0"
    return number(mcse, max(digits, min(4, -math.floor(math.log10(mcse)))))


def _note(material: Material, grid: _Grid, look: Look) -> str:
    what = "" if look.projected else f"{grid.statistic.name}."
    parts = [what, "In the cells: value ± Monte Carlo standard error.", averaged_over(material, [grid.x, grid.y])]
    return sentences(parts)


def _say(material: Material, asked: Asked) -> str:
    grid = _grid(material, asked)
    return sentences(
        [
            f"{grid.statistic.words}; by {grid.x.name} ({grid.x.path}) and {grid.y.name} ({grid.y.path}).",
            "Cells hold the value and its Monte Carlo standard error; darker is higher.",
            averaged_over(material, [grid.x, grid.y]),
            about_sweep(material),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    grid = _grid(material, asked)
    best = max(grid.cells, key=lambda place: grid.cells[place].value)
    worst = min(grid.cells, key=lambda place: grid.cells[place].value)
    said = [f"{word} {_cell(grid, place)}" for word, place in (("Highest", best), ("Lowest", worst))]
    return f"A grid of {len(grid.cells)} cells, {grid.statistic.name}. {'. '.join(said)}."


def _cell(grid: _Grid, place: tuple[int, int]) -> str:
    mean = grid.cells[place]
    where = (
        f"{grid.x.name} {grid.x.text(grid.x.values[place[0]])}, {grid.y.name} {grid.y.text(grid.y.values[place[1]])}"
    )
    return f"{plus_minus(mean.value, mean.mcse, _digits(grid))} at {where}"


KIND = Kind(
    name="heat",
    title="Heat map",
    shows="A statistic of a sweep over two axes, with its Monte Carlo error in each cell.",
    of="sweep",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("statistic", "x", "y", "analysis", "visit", "contrast"),
)
