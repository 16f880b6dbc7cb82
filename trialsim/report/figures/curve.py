"""A statistic of a sweep against one axis, a line for each value of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import band, few_ticks
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
from trialsim.report.figures.words import Z, plus_minus, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

MOST_LINES = 8
BANDS = 3
"""With more lines than this, upright lines take the place of bands."""


@dataclass(frozen=True)
class _Curves:
    statistic: Statistic
    x: Axis
    by: Axis | None
    lines: dict[str, dict[Any, Mean]]
    """By value of the second axis, then of the first."""


def _curves(material: Material, asked: Asked) -> _Curves:
    statistic = statistics_of(material, asked)[0]
    x = axis_called(material, asked.x) if asked.x else _along(material)
    by = axis_called(material, asked.y) if asked.y else _beside(material, x)
    groups: dict[str, dict[Any, list[Any]]] = {}
    for point, found in statistic.at.items():
        values = material.sweep.axis_values[point]
        name = by.text(values[by.path]) if by else ""
        groups.setdefault(name, {}).setdefault(values[x.path], []).append(found)
    order = [by.text(value) for value in by.values] if by else [""]
    lines = {
        name: {value: average(groups[name][value]) for value in x.values if value in groups[name]}
        for name in order
        if name in groups
    }
    return _Curves(statistic, x, by, lines)


def _along(material: Material) -> Axis:
    """The axis of numbers with most values."""
    numeric = [axis for axis in axes_of(material) if axis.numeric]
    return max(numeric, key=lambda axis: len(axis.values))


def _beside(material: Material, x: Axis) -> Axis | None:
    """The other axis with most values that still can be told apart."""
    if _scattered(material, x):
        return None
    others = [axis for axis in axes_of(material) if axis.path != x.path and len(axis.values) <= MOST_LINES]
    return max(others, key=lambda axis: len(axis.values), default=None)


def _scattered(material: Material, x: Axis) -> bool:
    """Whether every design point has a value of its own, as in a space-filling design: then dots, no lines."""
    return len(x.values) == material.sweep.n_points and len(axes_of(material)) > 1


def _why_not(material: Material) -> str:
    why = why_no_points(material)
    if why:
        return why
    return "" if any(axis.numeric for axis in axes_of(material)) else "no axis of the sweep has numbers"


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    found = _curves(material, asked)
    keys = [
        Key(f"{found.by.name}: {name}" if k == 0 and found.by else name, look.colour(k), look.marker(k), look.dashes(k))
        for k, name in enumerate(found.lines)
    ]
    frame = Frame(look, title=KIND.title, note=_note(material, found), keys=keys if found.by else [])
    ax = frame.panel()
    dots = _scattered(material, found.x)
    gap = 0.006 * (found.x.values[-1] - found.x.values[0])
    for k, line in enumerate(found.lines.values()):
        x = list(line)
        value = [mean.value for mean in line.values()]
        dashes = "" if dots else look.dashes(k)
        how: Any = {"color": look.colour(k), "marker": look.marker(k), "linestyle": dashes, "zorder": 3}
        low, high = ([m.value + side * Z * m.mcse for m in line.values()] for side in (-1, 1))
        if found.statistic.percent:
            low, high = [max(0.0, v) for v in low], [min(100.0, v) for v in high]
        if dots or len(found.lines) > BANDS:
            x = [at + (k - (len(found.lines) - 1) / 2) * gap for at in x]
            ax.vlines(x, low, high, color=look.colour(k), linewidth=look.line * 0.6, zorder=2)
        else:
            band(ax, x, low, high, look.colour(k), alpha=0.18)
        ax.plot(x, value, **how)
    for aim in _aims(found.statistic):
        ax.axhline(aim, color=look.muted, linewidth=look.line * 0.5, linestyle=(0, (4, 2)), zorder=1)
    if found.statistic.name.startswith("Power"):
        ax.set_ylim(0, 102)
    few_ticks(ax.yaxis, 6)
    if len(found.x.values) <= 8:
        ax.set_xticks(list(found.x.values), [found.x.text(value) for value in found.x.values])
    else:
        few_ticks(ax.xaxis, 8)
    ax.set_xlabel(found.x.name[:1].upper() + found.x.name[1:])
    ax.set_ylabel(found.statistic.name)
    return frame.figure


def _aims(statistic: Statistic) -> tuple[float, ...]:
    if statistic.name.startswith("Power"):
        return (80.0, 90.0)
    return () if statistic.aim is None else (statistic.aim,)


def _note(material: Material, found: _Curves) -> str:
    used = [found.x, *([found.by] if found.by else [])]
    others = "" if _scattered(material, found.x) else averaged_over(material, used)
    return sentences([f"{_ranges(material, found)}: 95 % Monte Carlo interval.", others])


def _ranges(material: Material, found: _Curves) -> str:
    return "Upright lines" if len(found.lines) > BANDS or _scattered(material, found.x) else "Bands"


def _say(material: Material, asked: Asked) -> str:
    found = _curves(material, asked)
    used = [found.x, *([found.by] if found.by else [])]
    by = f", a line for each value of {found.by.name} ({found.by.path})" if found.by else ""
    return sentences(
        [
            f"{found.statistic.words}; against {found.x.name} ({found.x.path}){by}.",
            f"{_ranges(material, found)} are 95 % Monte Carlo intervals.",
            "A dot for each design point; all axes differ between them."
            if _scattered(material, found.x)
            else averaged_over(material, used),
            about_sweep(material),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    found = _curves(material, asked)
    digits = 1 if found.statistic.percent else 2
    parts = []
    for name, line in found.lines.items():
        said = ", ".join(f"{found.x.text(x)}: {plus_minus(m.value, m.mcse, digits)}" for x, m in line.items())
        parts.append(f"{name}: {said}" if name else said)
    return f"Lines of {found.statistic.name} by {found.x.name}. {'; '.join(parts)}."


KIND = Kind(
    name="curve",
    title="Along one axis",
    shows="A statistic of a sweep against one axis, a line for each value of another, with Monte Carlo bands.",
    of="sweep",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("statistic", "x", "y", "analysis", "visit", "contrast"),
)
