"""Power of the design points of a sweep against what they take, with those that no other beats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import add, sub
from typing import TYPE_CHECKING, Any

from trialsim.errors import TrialsimError
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import few_ticks
from trialsim.report.figures.studied import about_sweep, point_text, why_no_points
from trialsim.report.figures.style import line_height, text_width, wrapped
from trialsim.report.figures.words import Z, sentences
from trialsim.report.layout import listed, number, with_error
from trialsim.sweeps.best import Sense, on_front
from trialsim.sweeps.questions import Quantity, power_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look
    from trialsim.sweeps.questions import Measured

TAKES = {"cost": "Cost", "duration_months": "Months to the last visit"}
FRONT: dict[str, Sense] = {"power": "max", "duration_months": "min", "cost": "min"}
"""What the front is over, as `trialsim best` has it."""
MOST = 14
"""Points that are described below the figure, at most."""


@dataclass(frozen=True)
class _Dot:
    point: int
    power: Measured
    takes: Measured
    on_front: bool


def _dots(material: Material, asked: Asked) -> list[_Dot]:
    x = list(FRONT).index(_x(material, asked))
    points = zip(material.takes.items(), _fronted(material), strict=True)
    return [_Dot(point, found[0], found[x], on) for (point, found), on in points]


def _fronted(material: Material) -> list[bool]:
    """Whether each point is on the front over power, duration and cost."""
    aims: list[tuple[Sense, int]] = [(sense, place) for place, sense in enumerate(FRONT.values())]
    return on_front(list(material.takes.values()), aims).tolist()


def _x(material: Material, asked: Asked) -> str:
    if asked.x is not None:
        if asked.x not in TAKES:
            raise TrialsimError(f"figure 'pareto': x is one of {', '.join(TAKES)} (given: {asked.x}).")
        return asked.x
    costs = [found[list(FRONT).index("cost")].value for found in material.takes.values()]
    return "cost" if any(costs) else "duration_months"


def _why_not(material: Material) -> str:
    why = why_no_points(material)
    if why:
        return why
    if "estimates" not in material.sweep.tables or not material.design.analyses:
        return "nothing is analysed, so there is no power"
    return ""


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    dots = _dots(material, asked)
    front = _front(dots)
    told = [] if look.projected else _told(material, front, look)
    step = line_height(look.small)
    frame = Frame(look, title=KIND.title, note=_note(), keys=_keys(look), body=3.1 + step * (len(told) + 0.5))
    below = step * (len(told) + 0.5) if told else 0.0
    ax = frame.placed(0.75, below + 0.5, frame.wide - 0.95, frame.body - below - 0.6)
    for dot in dots:
        _mark(ax, look, dot)
    _limits(ax, dots)
    _labels(ax, look, front, (frame.wide - 0.95, frame.body - below - 0.6))
    x = _x(material, asked)
    unit = f" [{material.design.costs.currency}]" if x == "cost" else ""
    ax.set_xlabel(TAKES[x] + unit)
    ax.set_ylabel("Power [%]")
    few_ticks(ax.xaxis, 6)
    few_ticks(ax.yaxis, 6)
    ax.grid(visible=True, axis="both")
    top = frame.bottom + below
    for k, line in enumerate(told):
        frame.text(0.2, top - k * step, line, fontsize=look.small)
    return frame.figure


def _front(dots: list[_Dot]) -> list[_Dot]:
    """Those that no other beats, the strongest first."""
    return sorted((dot for dot in dots if dot.on_front), key=lambda dot: -dot.power.value)


def _mark(ax: Axes, look: Look, dot: _Dot) -> None:
    on = dot.on_front
    colour = look.colour(1) if on else look.muted
    x, y = dot.takes.value, 100 * dot.power.value
    thin: Any = {"color": colour, "linewidth": look.line * 0.5, "alpha": 0.8 if on else 0.25, "zorder": 2}
    ends = [max(0.0, y - 100 * Z * dot.power.mcse), min(100.0, y + 100 * Z * dot.power.mcse)]
    ax.plot([x, x], ends, **thin)
    if not math.isnan(dot.takes.mcse):
        ax.plot([x - Z * dot.takes.mcse, x + Z * dot.takes.mcse], [y, y], **thin)
    how: Any = {"marker": "o" if on else "s", "markersize": look.dot * (1.1 if on else 0.7), "linestyle": ""}
    ax.plot([x], [y], color=colour, markerfacecolor=colour if on else look.paper, zorder=4 if on else 3, **how)


def _limits(ax: Axes, dots: list[_Dot]) -> None:
    x = [dot.takes.value for dot in dots]
    y = [100 * dot.power.value for dot in dots]
    pad = 0.07 * (max(x) - min(x)) or 1.0
    ax.set_xlim(min(x) - pad, max(x) + pad)
    bars = [100 * Z * dot.power.mcse for dot in dots]
    low, high = (min(map(sub, y, bars)), max(map(add, y, bars)))
    room = 0.12 * (high - low) + 1
    ax.set_ylim(max(-3.0, low - room), min(104.0, high + room))


def _labels(ax: Axes, look: Look, front: list[_Dot], room: tuple[float, float]) -> None:
    """Numbers of the points on the front, where they cover neither each other nor dots."""
    (low_x, high_x), (low_y, high_y) = ax.get_xlim(), ax.get_ylim()
    to_x, to_y = room[0] / (high_x - low_x), room[1] / (high_y - low_y)
    tall = line_height(look.small) * 0.8
    dots = [((d.takes.value - low_x) * to_x, (100 * d.power.value - low_y) * to_y) for d in front]
    taken: list[tuple[float, float, float, float]] = []
    for dot, (x, y) in zip(front, dots, strict=True):
        text = str(dot.point)
        wide = text_width(text, look.small, bold=True)
        away = look.dot / 72
        places = [
            (x + side * (away + wide / 2), y + lift)
            for lift in (0.9 * tall, -0.9 * tall, 0.0, 1.8 * tall, -1.8 * tall, 2.7 * tall, -2.7 * tall)
            for side in (-1, 1)
        ]
        inside = [(a, b) for a, b in places if wide / 2 < a < room[0] - wide / 2 and tall / 2 < b < room[1] - tall / 2]
        boxes = [(a - wide / 2, b - tall / 2, a + wide / 2, b + tall / 2) for a, b in inside]
        free = [box for box in boxes if not _covers(box, taken, dots, 0.6 * look.dot / 72)]
        if not free:
            continue
        taken.append(free[0])
        at = ((free[0][0] + free[0][2]) / 2 / to_x + low_x, (free[0][1] + free[0][3]) / 2 / to_y + low_y)
        behind = {"facecolor": look.paper, "alpha": 0.75, "linewidth": 0, "pad": 0.8}
        how: Any = {"ha": "center", "va": "center", "fontsize": look.small, "fontweight": "bold", "zorder": 5}
        ax.text(*at, text, bbox=behind, **how)


def _covers(
    box: tuple[float, float, float, float],
    taken: list[tuple[float, float, float, float]],
    dots: list[tuple[float, float]],
    near: float,
) -> bool:
    left, low, right, high = box
    over = any(left < r and right > a and low < h and high > b for a, b, r, h in taken)
    return over or any(left - near < x < right + near and low - near < y < high + near for x, y in dots)


def _told(material: Material, front: list[_Dot], look: Look) -> list[str]:
    """What the points on the front are, in lines."""
    lines = []
    for dot in front[:MOST]:
        power = with_error(100 * dot.power.value, 100 * dot.power.mcse, 1)
        text = f"{dot.point}: {point_text(material, dot.point)}; power {power} %"
        lines += wrapped(text, look.width - 0.5, look.small)
    if len(front) > MOST:
        lines.append(f"and {len(front) - MOST} more (see trialsim best).")
    return lines


def _keys(look: Look) -> list[Key]:
    return [
        Key("on the Pareto front", look.colour(1), "o"),
        Key("other design points", look.muted, "s", face=look.paper),
    ]


def _note() -> str:
    return "Bars: 95 % Monte Carlo intervals. Numbers: design points. Front: over power, duration and cost."


def _say(material: Material, asked: Asked) -> str:
    words = power_in_words(material.sweep, Quantity("power", ""))
    front = _front(_dots(material, asked))
    aims = listed([name.replace("_", " ") for name in FRONT])
    told = [f"{d.point} ({point_text(material, d.point)})" for d in front[:MOST]]
    return sentences(
        [
            f"Power against {TAKES[_x(material, asked)].lower()} of every design point. Power: {words}.",
            f"Numbered points are on the Pareto front over {aims}, by their estimates: no other point is as good in "
            f"all of them and better in one. They are {listed(told)}.",
            "Bars are 95 % Monte Carlo intervals.",
            about_sweep(material),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    dots = _dots(material, asked)
    front = _front(dots)
    takes = TAKES[_x(material, asked)].lower()
    said = [
        f"point {d.point} ({point_text(material, d.point)}): power "
        f"{with_error(100 * d.power.value, 100 * d.power.mcse, 1)} %, {takes} {number(d.takes.value, 1)}"
        for d in front[:MOST]
    ]
    return f"{len(dots)} dots, {len(front)} of them on the Pareto front: {'; '.join(said)}."


KIND = Kind(
    name="pareto",
    title="Power against what it takes",
    shows="Power of every design point against cost or duration, with the Pareto front.",
    of="sweep",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("x",),
)
