"""Courses of outcomes by arm: observed, true, and published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.experiments.performance import mean_with_error
from trialsim.experiments.targets import Target
from trialsim.report.describe.phrases import confounded
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import band, few_ticks, panel_title, published, published_key, quantiles
from trialsim.report.figures.quantities import (
    Quantity,
    baseline_of,
    course_of,
    left_out,
    outcomes_shown,
    targets_at,
    truth_of,
    values_at,
)
from trialsim.report.figures.style import text_width, wrapped
from trialsim.report.figures.words import (
    about,
    arm_label,
    arm_name,
    of_trials,
    outcome_label,
    plus_minus,
    sentences,
    sources,
    visit_label,
)
from trialsim.world.formulas import MONTH_DAYS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Course:
    """One arm of one outcome: values at the baseline (where there is one) and the visits, replicate by replicate."""

    number: int
    arm: str
    values: Floats  # (R, points)
    truth: Floats | None  # (V,)
    targets: dict[int, Target]  # by number of the point


@dataclass(frozen=True)
class _Panel:
    outcome: str
    quantity: Quantity
    points: list[str]
    days: list[int]
    courses: list[_Course]


def _panels(material: Material, asked: Asked) -> list[_Panel]:
    return [_panel(material, name) for name in outcomes_shown(material, asked)]


def _panel(material: Material, outcome: str) -> _Panel:
    quantity = course_of(material, outcome)
    visits = material.world.visits
    targets = targets_at(material, outcome, quantity)
    courses = []
    for number, arm in enumerate(material.world.arms):
        start = baseline_of(material, outcome, arm, quantity)
        columns = [values_at(material, outcome, arm, visit, quantity) for visit in visits]
        values = np.stack(columns if start is None else [start, *columns], axis=1)
        first = 0 if start is None else 1
        mine = {visits.index(visit) + first: target for (name, visit), target in targets.items() if name == arm}
        courses.append(_Course(number, arm, values, truth_of(material, outcome, arm, quantity), mine))
    begins = courses[0].values.shape[1] > len(visits)
    names = [*(["baseline"] if begins else []), *(visit_label(material.design, visit) for visit in visits)]
    days = [*([0] if begins else []), *(material.design.visits[visit].day for visit in visits)]
    return _Panel(outcome, quantity, names, days, courses)


def _targets(panels: list[_Panel]) -> list[Target]:
    return [target for panel in panels for course in panel.courses for target in course.targets.values()]


def _why_not(material: Material) -> str:
    return "" if np.nansum(material.measures["randomized/all"]) else "nobody is enrolled"


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    panels = _panels(material, asked)
    keys = _keys(material, look, panels)
    columns = 1 if len(panels) == 1 else 2
    rows = math.ceil(len(panels) / columns)
    frame = Frame(look, title=KIND.title, note=_note(material), keys=keys, body=2.9 if rows == 1 else 2.35 * rows)
    axes = [ax for row in frame.axes(rows, columns) for ax in row]
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    width = frame.wide / columns - 0.5
    for ax, panel in zip(axes, panels, strict=False):
        _draw(ax, look, material, panel, width)
    return frame.figure


def _draw(ax: Axes, look: Look, material: Material, panel: _Panel, width: float) -> None:
    x, labels = _places(panel, look, width)
    gap = (x[-1] - x[0] if len(x) > 1 else 1.0) * 0.014 * (1.3 if look.projected else 1)
    n = len(panel.courses)
    for course in panel.courses:
        shift = (course.number - (n - 1) / 2) * gap
        _course(ax, look, np.array(x) + shift, course, bands=n <= 3, gap=gap)
    ax.set_xticks(x, labels)
    ax.set_xlim(x[0] - gap * (n + 2), x[-1] + gap * (n + 4))
    few_ticks(ax.yaxis, 5)
    what = f"{panel.quantity.what}, %" if panel.quantity.percent else panel.quantity.what
    panel_title(ax, look, outcome_label(material.design, panel.outcome), what, width)
    if panel.quantity.measure.endswith("change"):
        ax.axhline(0, color=look.muted, linewidth=look.line * 0.5, zorder=1)


def _places(panel: _Panel, look: Look, width: float) -> tuple[list[float], list[str]]:
    """Where visits stand: in proportion to time if their names have room, else side by side."""
    span = max(panel.days[-1] - panel.days[0], 1)
    step = width * 0.94 / max(1, len(panel.points) - 1)
    names = [wrapped(name, max(0.4, step - 0.06), look.small) for name in panel.points]
    half = [max(text_width(line, look.small) for line in lines) / 2 + 0.05 for lines in names]
    at = [(day - panel.days[0]) / span * width * 0.94 for day in panel.days]
    fits = all(at[k + 1] - at[k] >= half[k] + half[k + 1] for k in range(len(at) - 1))
    places = [day / MONTH_DAYS for day in panel.days] if fits else [float(k) for k in range(len(panel.days))]
    return places, ["\n".join(lines) for lines in names]


def _course(ax: Axes, look: Look, x: Floats, course: _Course, *, bands: bool, gap: float) -> None:
    colour = look.colour(course.number)
    with np.errstate(invalid="ignore"):
        mean = np.array([mean_with_error(column)[0] for column in course.values.T])
    if len(course.values) > 1:
        low, high = quantiles(course.values, 0.025, 0.975)
        if bands:
            band(ax, x, low, high, colour, alpha=0.14)
        ax.vlines(x, low, high, color=colour, linewidth=look.line * 0.6, zorder=2)
    ax.plot(x, mean, color=colour, marker=look.marker(course.number), zorder=3)
    if course.truth is not None:
        at = x[-len(course.truth) :]
        dashes: Any = (0, (2.2, 1.4))
        ax.plot(at, course.truth, color=colour, linestyle=dashes, linewidth=look.line * 0.9, zorder=2.6)
    for point, target in course.targets.items():
        published(ax, look, float(x[point] + 1.6 * gap), target, colour)


def _keys(material: Material, look: Look, panels: list[_Panel]) -> list[Key]:
    arms = [
        Key(arm_label(material.design, arm), look.colour(k), look.marker(k), "-")
        for k, arm in enumerate(material.world.arms)
    ]
    true = [Key("true mean", look.muted, line=(0, (2.2, 1.4)))]
    return [*arms, *true, *published_key(look, _targets(panels))]


def _note(material: Material) -> str:
    true = "Dashed: mean of everybody's potential outcomes under the arm."
    if confounded(material.design):
        true = "Dashed: mean of all in the arm, answered or not. Nobody is randomized."
    if not material.many:
        return f"Observed means of one trial. {true}"
    return f"Observed: mean of {of_trials(material.n_replicates)}; bands hold 95 % of them. {true}"


def _say(material: Material, asked: Asked) -> str:
    panels = _panels(material, asked)
    what = "; ".join(f"{outcome_label(material.design, p.outcome)} ({p.quantity.what})" for p in panels)
    spread = "Points are means over trials; bands and upright lines hold 95 % of trials." if material.many else ""
    whose = "of all in the arm" if confounded(material.design) else "of everybody's potential outcomes under the arm"
    true = (
        f"Dashed lines are true means: those {whose}, answered or not"
        f"{f', over {len(material.series)} of the trials' if len(material.series) < material.n_replicates else ''}."
    )
    return sentences(
        [
            f"Course of {what}, by arm, among those of whom it is known.",
            spread,
            true,
            confounded(material.design),
            left_out(material, [panel.outcome for panel in panels]),
            about(material),
            sources(_targets(panels)),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    parts = []
    for panel in _panels(material, asked):
        ends = []
        for course in panel.courses:
            value, error, _ = mean_with_error(course.values[:, -1])
            ends.append(f"{arm_name(course.arm)} {plus_minus(value, error, 2)}")
        what = f"{outcome_label(material.design, panel.outcome)}, {panel.quantity.what} at {panel.points[-1]}"
        parts.append(f"{what}: {', '.join(ends)}.")
    return " ".join(["Lines over visits, one for each arm.", *parts])


KIND = Kind(
    name="trajectories",
    title="Outcomes over time",
    shows="Means of outcomes by visit and arm: observed with bands, true, and published.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("outcome",),
)
