"""Marks that figures share: bands, published values, axes of dates, numbers on axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.parts import Design
from trialsim.experiments.targets import Target
from trialsim.report.figures.frame import Key
from trialsim.report.figures.style import Look, line_height, text_width, wrapped
from trialsim.report.layout import MONTHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


def published_key(look: Look, targets: Sequence[Target]) -> list[Key]:
    """Keys of the published values that are shown."""
    keys = []
    if any(not target.benchmark for target in targets):
        keys.append(Key("published", look.ink, marker="D", face=look.muted))
    if any(target.benchmark for target in targets):
        keys.append(Key("published, without a randomized control", look.ink, marker="D", face=look.paper))
    return keys


def published(ax: Axes, look: Look, x: float, target: Target, colour: str, *, along: str = "y") -> None:
    """A published value with the range in which the simulated mean counts as agreeing with it."""
    ends = [target.low, target.high]
    place: tuple[Any, Any] = ([x, x], ends) if along == "y" else (ends, [x, x])
    ax.plot(*place, color=look.muted, linewidth=look.line * 0.55, linestyle="-", zorder=3.5)
    at = ([x], [target.published]) if along == "y" else ([target.published], [x])
    face = look.paper if target.benchmark else colour
    how: Any = {"markerfacecolor": face, "markeredgewidth": look.line * 0.6, "markersize": look.dot * 0.9}
    ax.plot(*at, marker="D", color=look.ink, linestyle="", zorder=5, **how)


def panel_title(ax: Axes, look: Look, title: str, what: str, width: float) -> None:
    """The title of one of several panels, and below it what its vertical axis is."""
    lines = wrapped(title[:1].upper() + title[1:], width, look.base, bold=True)
    below = wrapped(what, width, look.small)
    room = len(below) * line_height(look.small) * 72
    ax.set_title("\n".join(lines), pad=room + 5)
    how: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
    for k, line in enumerate(below):
        lift = (len(below) - k - 1) * line_height(look.small) * 72 + 4
        ax.annotate(line, (0, 1), xytext=(0, lift), fontsize=look.small, color=look.muted, **how)


def halo(ax: Axes, look: Look, x: Any, y: Any, colour: str, width: float, **how: Any) -> None:
    """A line that is seen on any ground."""
    how = {"solid_capstyle": "butt", "zorder": 3, **how}
    ax.plot(x, y, color=look.paper, linewidth=width + 1.6, **how)
    ax.plot(x, y, color=colour, linewidth=width, **how)


def band(ax: Axes, x: Any, low: Any, high: Any, colour: str, *, alpha: float = 0.2, **how: Any) -> None:
    """A band from low to high."""
    ax.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0, zorder=1.5, **how)


def quantiles(values: Floats, *probs: float) -> list[Floats]:
    """Over the first axis; NaN values do not count, and where there are none the result is NaN."""
    with np.errstate(all="ignore"):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # all NaN
            return [np.nanquantile(values, prob, axis=0) for prob in probs]


def weekly(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Days in the middle of weeks, and means over these weeks of values by day, (R, days) -> (R, weeks)."""
    starts = np.arange(0, values.shape[-1], 7)
    length = np.diff(np.append(starts, values.shape[-1]))
    return starts + (length - 1) / 2, np.add.reduceat(values.astype(float), starts, axis=-1) / length


# --- dates ------------------------------------------------------------------------------------------------------------


def date_axis(ax: Axes, design: Design, first: int, last: int, *, look: Look, width: float) -> None:
    """Ticks of an axis of study days at the beginnings of months, the year below where it is new."""
    months = _month_starts(design, first, last)
    room = max(2, int(width / (text_width("2026", look.small) * 1.6)))
    step = next((step for step in (1, 2, 3, 6, 12, 24, 60) if len(months) / step <= room), 120)
    chosen = [(day, year, month) for day, year, month in months if (year * 12 + month - 1) % step == 0]
    labels, before = [], None
    for _, year, month in chosen:
        name = MONTHS[month - 1][:3]
        labels.append(f"{year}" if step >= 12 else f"{name}\n{year}" if year != before else name)
        before = year
    ax.set_xticks([day for day, _, _ in chosen], labels)
    ax.set_xlim(first, last)


def _month_starts(design: Design, first: int, last: int) -> list[tuple[int, int, int]]:
    begin, end = design.date_of(first), design.date_of(last)
    count = (end.year - begin.year) * 12 + end.month - begin.month
    found = []
    for k in range(count + 1):
        year, month = divmod(begin.year * 12 + begin.month - 1 + k, 12)
        day = design.day_of(begin.replace(year=year, month=month + 1, day=1))
        if first <= day <= last:
            found.append((day, year, month + 1))
    return found


# --- numbers ----------------------------------------------------------------------------------------------------------


def percent_axis(axis: Any) -> None:
    """0 to 100 in steps of 20, with the sign at the numbers."""
    axis.set_ticks(range(0, 101, 20), [f"{k}%" for k in range(0, 101, 20)])


def thousands(axis: Any) -> None:
    """12,000 instead of 12000."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}".replace("-", "−")))


def few_ticks(axis: Any, most: int, *, whole: bool = False) -> None:
    """At most so many ticks, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, integer=whole, steps=[1, 2, 2.5, 5, 10]))
    thousands(axis)


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis of ratios from low to high."""
    wanted = [0.05, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10, 20]
    inside = [x for x in wanted if low <= x <= high]
    while len(inside) > 7:
        inside = [x for k, x in enumerate(inside) if (k - inside.index(1)) % 2 == 0] if 1 in inside else inside[::2]
    return inside or [low, high]


def spread_out(places: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Places moved apart as little as needed so that neighbours are at least `gap` from each other, within limits."""
    order = sorted(range(len(places)), key=lambda k: places[k])
    moved = [float(places[k]) for k in order]
    for _ in range(200):
        worst = 0.0
        for k in range(len(moved) - 1):
            short = gap - (moved[k + 1] - moved[k])
            if short > 1e-9:
                moved[k] -= short / 2
                moved[k + 1] += short / 2
                worst = max(worst, short)
        moved = [min(max(place, low), high) for place in moved]
        if worst < 1e-6 * gap:
            break
    found = [0.0] * len(places)
    for k, place in zip(order, moved, strict=True):
        found[k] = place
    return found
