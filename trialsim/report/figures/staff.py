"""Staff over time: how full each coach or team is, and places in use against capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import band, date_axis, few_ticks, quantiles, weekly
from trialsim.report.figures.style import SHADES, wrapped
from trialsim.report.figures.waiting import why_no_waiting
from trialsim.report.figures.words import about, arm_label, of_trials, plus_minus, sentences
from trialsim.report.layout import number, plural
from trialsim.world.places import coach_calendar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.series import Staff
    from trialsim.report.figures.style import Look

Floats = NDArray[np.float64]
STEPS = 90
"""Stretches of time that a row is cut into."""
MOST_ROWS = 40
"""Coaches that have a row of their own; of more, neighbours share one."""


def capacity(material: Material, arm: int, n_days: int) -> tuple[Floats, Floats]:
    """Places of each coach or team, (C,), and open places on each day, (D,)."""
    name = material.world.arms[arm]
    days = np.arange(n_days)
    if isinstance(material.design.arms[name].delivery, Group):
        places = np.array([float(coach.caseload or 0) for coach in material.design.coaches(name)])
        return places, np.full(n_days, places.sum())
    own, joins, leaves = coach_calendar(material.world, arm)
    places = np.array(own, dtype=float)
    open_ = (days >= np.array(joins)[:, None]) & (days < np.array(leaves)[:, None])
    return places, np.asarray(places @ open_)


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    staff = material.series.staff
    last = max(_last_day(one) for one in staff.values())
    rows = max(min(one.by_coach.shape[0], MOST_ROWS) for one in staff.values())
    heat = float(np.clip(0.16 * rows, 0.9, 3.0))
    frame = Frame(look, title=KIND.title, note=_note(material), keys=_keys(material, look), body=heat + 2.3)
    grid: Any = frame.figure.add_gridspec(2, len(staff), height_ratios=[heat, 1.3])
    width = frame.wide / len(staff) - 0.7
    for column, (name, one) in enumerate(staff.items()):
        arm = material.world.arms.index(name)
        above, below = (frame.figure.add_subplot(grid[row, column]) for row in (0, 1))
        _heat(above, look, material, one, arm, last)
        title = wrapped(arm_label(material.design, name), width, look.base, bold=True)
        above.set_title("\n".join(title))
        _places(below, look, material, one, arm, last)
        for ax in (above, below):
            date_axis(ax, material.design, 0, last, look=look, width=width)
        above.tick_params(labelbottom=False)
        if column == 0:
            below.set_ylabel("Places in use")
    return frame.figure


def _last_day(one: Staff) -> int:
    days = np.flatnonzero(one.in_use.any(axis=0))
    return int(days[-1]) + 7 if len(days) else max(one.in_use.shape[1] - 1, 30)


def _heat(ax: Axes, look: Look, material: Material, one: Staff, arm: int, last: int) -> None:
    """A row for each coach or team: the share of places taken, the same shade as one bar."""
    places, _ = capacity(material, arm, 1)
    used = one.by_coach / len(material.series)
    if len(places) < len(used):
        places = np.concatenate([places, np.full(len(used) - len(places), places.mean() if len(places) else 1.0)])
    used, places, per_row = _pooled(used, places)
    edges = np.unique(np.linspace(0, min(last + 1, used.shape[1]), STEPS + 1).round().astype(int))
    for row, (mine, n) in enumerate(zip(used, places, strict=True)):
        share = np.add.reduceat(mine[: edges[-1]], edges[:-1]) / np.diff(edges) / max(n, 1)
        level = np.clip((share * SHADES).round(), 0, SHADES).astype(int)
        cuts = np.flatnonzero(np.diff(level, prepend=-1))
        ends = [*cuts[1:], len(level)]
        bars = [(edges[a], edges[b] - edges[a]) for a, b in zip(cuts, ends, strict=True)]
        colours = [look.shade(level[a] / SHADES) for a in cuts]
        ax.broken_barh(bars, (row - 0.42, 0.84), facecolors=colours, linewidth=0)
    ax.set_ylim(len(used) - 0.5, -0.5)
    ax.grid(visible=False)
    _name_rows(ax, look, material, arm, places, per_row)


def _pooled(used: Floats, places: Floats) -> tuple[Floats, Floats, int]:
    """Neighbours together where there are too many rows."""
    per_row = -(-len(used) // MOST_ROWS)
    if per_row == 1:
        return used, places, 1
    starts = np.arange(0, len(used), per_row)
    return np.add.reduceat(used, starts), np.add.reduceat(places, starts), per_row


def _name_rows(ax: Axes, look: Look, material: Material, arm: int, places: Floats, per_row: int) -> None:
    grouped = material.world.grouped(arm)
    step = 1 if len(places) <= (12 if not look.projected else 8) else -(-len(places) // 8)
    ticks = list(range(0, len(places), step))
    word = "team" if grouped else "coach"
    texts = [f"{word} {k * per_row + 1}" for k in ticks]
    if per_row == 1 and len(set(places.tolist())) > 1:
        texts = [f"{text} ({number(places[k])})" for text, k in zip(texts, ticks, strict=True)]
    ax.set_yticks(ticks, texts)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _places(ax: Axes, look: Look, material: Material, one: Staff, arm: int, last: int) -> None:
    days, values = weekly(one.in_use[:, : last + 1])
    colour = look.colour(arm)
    if len(values) > 1:
        low, quarter, three, high = quantiles(values, 0.025, 0.25, 0.75, 0.975)
        band(ax, days, low, high, colour, alpha=0.16)
        band(ax, days, quarter, three, colour, alpha=0.28)
    ax.plot(days, values.mean(axis=0), color=colour, zorder=3)
    _, places = capacity(material, arm, last + 1)
    ax.step(np.arange(last + 1), places, where="post", color=look.ink, linewidth=look.line * 0.7, linestyle=(0, (4, 2)))
    ax.set_ylim(0, max(places.max(), values.max()) * 1.1)
    few_ticks(ax.yaxis, 4, whole=True)


def _keys(material: Material, look: Look) -> list[Key]:
    shades = [Key(text, look.shade(share), patch=True) for text, share in _SHADES]
    return [*shades, Key("places open (capacity)", look.ink, line=(0, (4, 2)))]


_SHADES = (("no place taken", 0.0), ("half", 0.5), ("all places taken", 1.0))


def _note(material: Material) -> str:
    n = len(material.series)
    named = "In brackets: places, where they differ. " if _differ(material) else ""
    if n == 1:
        return f"{named}One trial."
    return f"{named}Shades and lines: mean of {of_trials(n)}. Bands: 50 and 95 % of trials."


def _differ(material: Material) -> bool:
    arms = [material.world.arms.index(name) for name in material.series.staff]
    return any(len(set(capacity(material, arm, 1)[0].tolist())) > 1 for arm in arms)


def _facts(material: Material) -> list[str]:
    found = []
    for name, one in material.series.staff.items():
        arm = material.world.arms.index(name)
        places, _ = capacity(material, arm, 1)
        word = "team" if material.world.grouped(arm) else "coach"
        most = one.in_use.max(axis=1).astype(float)
        error = float(most.std(ddof=1) / np.sqrt(len(most))) if len(most) > 1 else float("nan")
        said = f"{arm_label(material.design, name)}: {plural(len(places), word)} with {number(places.sum())} places"
        found.append(f"{said}; at most {plus_minus(float(most.mean()), error)} in use at once.")
    return found


def _say(material: Material, asked: Asked) -> str:
    n = len(material.series)
    return sentences(
        [
            "Above: a row for each coach (or team that leads a group), darker where more of the places are taken. "
            "Below: places in use, weekly means, against the places open (dashed).",
            "Shades and lines are means, bands hold 50 % and 95 % of trials." if n > 1 else "",
            *_facts(material),
            about(material, n),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    return sentences(["Caseload by coach over time, and places in use against capacity.", *_facts(material)])


KIND = Kind(
    name="staff",
    title="Staff and their caseload",
    shows="How full each coach or team is over time, and places in use against capacity.",
    of="trial",
    why_not=why_no_waiting,
    paint=_paint,
    say=_say,
    tell=_tell,
)
