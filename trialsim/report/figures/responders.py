"""Responders by arm and visit, with Monte Carlo errors and published values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trialsim.design.outcomes import Ordinal, Score
from trialsim.experiments.performance import mean_with_error
from trialsim.experiments.targets import Target
from trialsim.report.describe.phrases import confounded
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import halo, panel_title, percent_axis, published, published_key
from trialsim.report.figures.quantities import Quantity, left_out, outcomes_shown, response_of, targets_at, values_at
from trialsim.report.figures.style import wrapped
from trialsim.report.figures.words import (
    Z,
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
from trialsim.report.layout import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look


@dataclass(frozen=True)
class _Bar:
    arm: int
    visit: int
    value: float
    mcse: float
    low: float
    high: float
    """95 % of trials."""
    target: Target | None


def _bars(material: Material, outcome: str) -> list[_Bar]:
    quantity = response_of(material, outcome)
    targets = targets_at(material, outcome, quantity)
    found = []
    for a, arm in enumerate(material.world.arms):
        for v, visit in enumerate(material.world.visits):
            values = values_at(material, outcome, arm, visit, quantity)
            mean, error, n = mean_with_error(values)
            known = values[~np.isnan(values)]
            low, high = np.quantile(known, [0.025, 0.975]) if n > 1 else (math.nan, math.nan)
            found.append(_Bar(a, v, mean, error, float(low), float(high), targets.get((arm, visit))))
    return found


def _why_not(material: Material) -> str:
    return "" if np.nansum(material.measures["randomized/all"]) else "nobody is enrolled"


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    shown = outcomes_shown(material, asked)
    bars = {name: _bars(material, name) for name in shown}
    targets = [bar.target for of_one in bars.values() for bar in of_one if bar.target is not None]
    columns = 1 if len(shown) == 1 else 2
    rows = math.ceil(len(shown) / columns)
    keys = [_key(material, look, k, arm) for k, arm in enumerate(material.world.arms)]
    frame = Frame(
        look,
        title=KIND.title,
        note=_note(material),
        keys=[*keys, *published_key(look, targets)],
        body=2.9 if rows == 1 else 2.35 * rows,
    )
    axes = [ax for row in frame.axes(rows, columns) for ax in row]
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    width = frame.wide / columns - 0.5
    for ax, name in zip(axes, shown, strict=False):
        _draw(ax, look, material, name, bars[name], width)
    return frame.figure


def _key(material: Material, look: Look, number_: int, arm: str) -> Key:
    return Key(arm_label(material.design, arm), look.colour(number_), patch=True, hatch=look.hatch(number_))


def _draw(ax: Axes, look: Look, material: Material, outcome: str, bars: list[_Bar], width: float) -> None:
    n = len(material.world.arms)
    thick = 0.8 / n
    for bar in bars:
        x = bar.visit + (bar.arm - (n - 1) / 2) * thick
        colour = look.colour(bar.arm)
        how: Any = {"hatch": look.hatch(bar.arm), "edgecolor": look.paper, "linewidth": 0.0}
        ax.bar(x, bar.value, width=thick * 0.94, color=colour, zorder=2, **how)
        if material.many:
            at = x - (0.16 * thick if bar.target else 0)
            halo(ax, look, [at, at], [bar.low, bar.high], look.ink, look.line * 0.5)
            ends = [bar.value - Z * bar.mcse, bar.value + Z * bar.mcse]
            halo(ax, look, [at, at], ends, look.ink, look.line * 2, zorder=3.2)
        if bar.target is not None:
            published(ax, look, x + 0.2 * thick, bar.target, colour)
    names = [
        "\n".join(wrapped(visit_label(material.design, visit), width / len(material.world.visits) - 0.06, look.small))
        for visit in material.world.visits
    ]
    ax.set_xticks(range(len(names)), names)
    ax.tick_params(axis="x", length=0)
    highest = max([bar.value for bar in bars if not math.isnan(bar.value)], default=0)
    highest = max([highest, *(bar.high for bar in bars if not math.isnan(bar.high))])
    highest = max([highest, *(bar.target.high for bar in bars if bar.target)])
    percent_axis(ax.yaxis)
    ax.set_ylim(0, 100 if highest > 55 else 60 if highest > 35 else 40)
    panel_title(ax, look, outcome_label(material.design, outcome), _what(response_of(material, outcome)), width)


def _what(quantity: Quantity) -> str:
    return quantity.what if quantity.analysis else f"{quantity.what}, of those known"


def _note(material: Material) -> str:
    if not material.many:
        return "Of those of whom it is known, in one trial."
    return (
        f"Bars: mean of {of_trials(material.n_replicates)}. Thick lines: 95 % Monte Carlo interval of the mean; "
        "thin lines: 95 % of trials."
    )


def _rule(material: Material, outcome: str, quantity: Quantity) -> str:
    stated = material.design.outcomes[outcome]
    name = outcome_label(material.design, outcome)
    if isinstance(stated, Score):
        move = "rise" if stated.better_is_higher else "fall"
        return f"{name}: responders {move} by at least {number(100 * stated.responder_change)} %."
    if isinstance(stated, Ordinal):
        return f"{name}: responders are at '{stated.responder_from}' or higher."
    return f"{name}: {quantity.what}."


def _say(material: Material, asked: Asked) -> str:
    shown = outcomes_shown(material, asked)
    rules = " ".join(_rule(material, name, response_of(material, name)) for name in shown)
    targets = [bar.target for name in shown for bar in _bars(material, name) if bar.target is not None]
    spread = "Thick lines are 95 % Monte Carlo intervals of the means, thin lines hold 95 % of trials."
    return sentences(
        [
            f"Share of participants by arm and visit, of those of whom it is known. {rules}",
            spread if material.many else "",
            confounded(material.design),
            left_out(material, shown),
            about(material),
            sources(targets),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    parts = []
    visits = [visit_label(material.design, visit) for visit in material.world.visits]
    for name in outcomes_shown(material, asked):
        bars = _bars(material, name)
        by_visit = []
        for v, visit in enumerate(visits):
            mine = [bar for bar in bars if bar.visit == v]
            said = ", ".join(
                f"{arm_name(material.world.arms[bar.arm])} {plus_minus(bar.value, bar.mcse)} %" for bar in mine
            )
            by_visit.append(f"{visit}: {said}")
        parts.append(f"{outcome_label(material.design, name)}: {'; '.join(by_visit)}.")
    return " ".join(["Bars by visit and arm.", *parts])


KIND = Kind(
    name="responders",
    title="Responders",
    shows="Percentage of responders (of other outcomes: yes, had it, users) by arm and visit, published beside.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("outcome",),
)
