"""What is drawn of sweeps: a statistic at every design point, averages over points, and the axes.

A statistic is a quantity as `trialsim best` reads it (`power[coach vs usual at 3 months]`, `cost`, `measure[...]`), or
one of the performance of analyses (bias, coverage ...), then of each contrast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import RATIOS, Estimates, Label
from trialsim.design.shape import close_to
from trialsim.errors import TrialsimError
from trialsim.report.columns import short_names
from trialsim.report.figures.analyses import primary, tested_measure
from trialsim.report.figures.words import contrast_label, visit_label
from trialsim.sweeps.questions import power_in_words, read_quantity, refuse_failed
from trialsim.sweeps.summary import known_of_analyses, scaled

if TYPE_CHECKING:
    from trialsim.report.figures.kinds import Asked
    from trialsim.report.figures.material import Material

Floats = NDArray[np.float64]

OF_ANALYSES = {
    "bias": "bias",
    "coverage": "coverage of intervals",
    "power": "power",
    "mean estimate": "mean estimate",
    "empirical SE": "empirical standard error",
    "model SE": "model standard error",
    "relative error of SE": "relative error of the standard error",
    "MSE": "mean squared error",
    "failed fits": "failed fits",
}
_CHANCES = ("coverage", "power", "failed fits", "relative error of SE")
_COUNTED = {
    "n": "participants",
    "cost": "cost",
    "duration_months": "months to the last visit",
    "enrolment_months": "months to enrol",
    "coach_hours": "coach hours",
}


@dataclass(frozen=True, eq=False)
class Found:
    """A statistic at one design point: value, Monte Carlo error, and where the error comes from, by replicate."""

    value: float
    mcse: float
    luck: Floats
    replicate: NDArray[np.int32]
    seed: str


@dataclass(frozen=True, eq=False)
class Statistic:
    """A statistic at every design point that has replicates."""

    name: str
    """Of the axis."""
    words: str
    """What exactly it is."""
    line: str
    """What tells it from others beside it; empty where there is only one."""
    percent: bool
    aim: float | None
    """A value to hold it against: 0 for bias, 95 for coverage."""
    at: dict[int, Found]


@dataclass(frozen=True)
class Mean:
    """Average over design points of equal weight."""

    value: float
    mcse: float
    n_points: int


def average(found: Sequence[Found]) -> Mean:
    """Of some design points; those with the same seed share their luck, replicate by replicate."""
    value = float(np.mean([one.value for one in found]))
    variance = 0.0
    for seed in dict.fromkeys(one.seed for one in found):
        mine = [one for one in found if one.seed == seed]
        size = 1 + max((int(one.replicate.max()) for one in mine if len(one.replicate)), default=0)
        total, certain = np.zeros(size), 0.0
        for one in mine:
            luck = scaled(one.luck, one.mcse) if len(one.luck) else None
            if luck is None:
                certain += 0.0 if math.isnan(one.mcse) else one.mcse
            else:
                total[one.replicate] += luck
        variance += float((total**2).sum()) + certain**2
    return Mean(value, math.sqrt(variance) / len(found), len(found))


# --- statistics -------------------------------------------------------------------------------------------------------


def statistics_of(material: Material, asked: Asked) -> list[Statistic]:
    """What was asked for: power of the first decision where nothing was, or duration without analyses."""
    key = (asked.statistic, asked.analysis, asked.visit, asked.contrast)
    found: list[Statistic] = material.kept(key, lambda: _statistics_of(material, asked))
    return found


def _statistics_of(material: Material, asked: Asked) -> list[Statistic]:
    text = (asked.statistic or _usual(material)).strip()
    of_contrasts = asked.analysis or asked.visit or asked.contrast
    if text in OF_ANALYSES and (text != "power" or of_contrasts):
        return _of_analyses(material, asked, text)
    if of_contrasts:
        raise TrialsimError(f"analysis, visit and contrast go with the statistics {', '.join(OF_ANALYSES)}.")
    return [_of_quantity(material, text)]


def _usual(material: Material) -> str:
    return "power" if "estimates" in material.sweep.tables and material.design.analyses else "duration_months"


def _points(material: Material) -> list[int]:
    results = material.sweep
    points = [p for p in range(results.n_points) if results.n_replicates(p) - results.n_failed(p)]
    if not material.skip_failed:
        refuse_failed(results, [p for p in range(results.n_points) if results.n_replicates(p)])
    return points


def _of_quantity(material: Material, text: str) -> Statistic:
    results = material.sweep
    try:
        quantity = read_quantity(text, results)
    except TrialsimError as error:
        close = close_to(text, OF_ANALYSES)
        raise TrialsimError(f"{error} Or: {', '.join(OF_ANALYSES)}." if close is None else f"{error}") from None
    power = quantity.kind == "power"
    factor = 100.0 if power else 1.0
    at = {}
    for point in _points(material):
        here = material.at(point)
        one = here.measured(quantity, skip_failed=material.skip_failed)
        replicate = here.replicate if len(one.luck) else np.empty(0, dtype=np.int32)
        at[point] = Found(factor * one.value, factor * one.mcse, one.luck, replicate, results.seeds[point])
    name = "Power [%]" if power else _capital(_COUNTED.get(quantity.of, quantity.of))
    if quantity.of == "cost":
        name = f"Cost [{material.design.costs.currency}]"
    words = f"Power: {power_in_words(results, quantity)}" if power else name
    return Statistic(name, words, "", power, None, at)


def _of_analyses(material: Material, asked: Asked, text: str) -> list[Statistic]:
    analysis = asked.analysis or primary(material.design)
    labels = _labels(material, analysis, asked)
    factor = 100.0 if text in _CHANCES else 1.0
    found: dict[Label, dict[int, Found]] = {label: {} for label in labels}
    for point in _points(material):
        here = material.at(point)
        for one in known_of_analyses(_only(here.estimates, labels), skip_failed=material.skip_failed):
            if one.row.statistic == text:
                value, mcse = factor * one.row.value, factor * one.row.mcse
                seed = material.sweep.seeds[point]
                found[one.row.label][point] = Found(value, mcse, one.luck, here.replicate, seed)
    kept = {label: at for label, at in found.items() if at}
    if not kept:
        raise TrialsimError(f"analysis '{analysis}' has no {text}.")
    return [_statistic(material, label, at, text, several=len(kept) > 1) for label, at in kept.items()]


def _only(estimates: Estimates, labels: Sequence[Label]) -> Estimates:
    """The columns of some labels."""
    places = [estimates.labels.index(label) for label in labels if label in estimates.labels]
    names = [f.name for f in fields(Estimates) if f.name not in ("labels", "replicate")]
    columns = {name: getattr(estimates, name)[:, places] for name in names}
    return replace(estimates, labels=tuple(estimates.labels[place] for place in places), **columns)


def _statistic(material: Material, label: Label, at: dict[int, Found], text: str, *, several: bool) -> Statistic:
    logs = " (of the logarithm)" if label.measure in RATIOS and text in _OF_LOGARITHM else ""
    percent = text in _CHANCES
    name = f"{_capital(OF_ANALYSES[text])}{logs}{' [%]' if percent else ''}"
    contrast = contrast_label(material.design, label.contrast)
    words = f"{name}: {label.measure}, {contrast} at {visit_label(material.design, label.visit)}, {label.analysis}"
    plan: Any = material.design.analyses[label.analysis]
    aims = {"bias": 0.0, "coverage": 100 * (1 - plan.alpha), "relative error of SE": 0.0}
    return Statistic(name, words, contrast if several else "", percent, aims.get(text), at)


_OF_LOGARITHM = ("bias", "empirical SE", "model SE", "MSE")


def _labels(material: Material, analysis: str, asked: Asked) -> list[Label]:
    """Contrasts by the tested measure at one visit: the one asked for, or the first."""
    points = _points(material)
    estimates = material.at(points[0]).estimates
    measure = tested_measure(material.design, analysis)
    mine = [one for one in estimates.labels if one.analysis == analysis and one.measure == measure]
    mine = [one for one in mine if " - " in one.contrast]
    visits = [visit for visit in material.design.visits if any(one.visit == visit for one in mine)] or [""]
    visit = asked.visit or visits[0]
    chosen = [one for one in mine if one.visit == visit and asked.contrast in (None, one.contrast)]
    if not chosen:
        known = ", ".join(dict.fromkeys(one.contrast for one in mine)) or "none"
        raise TrialsimError(f"analysis '{analysis}' has no such contrast at {visit}. Contrasts: {known}.")
    return chosen


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- axes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """An axis of the sweep: its values in order (numbers by size, others as they come)."""

    path: str
    name: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {str(value): place for place, value in enumerate(self.values)}

    def place(self, value: Any) -> int:
        """Number of a value."""
        return self._places[str(value)]

    def text(self, value: Any) -> str:
        """A value in words."""
        if value is None:
            return "as it is"
        return f"{value:.4g}" if isinstance(value, float) else str(value).replace("_", " ")


def axes_of(material: Material) -> list[Axis]:
    """Axes with at least two values, in the sweep's order."""
    results = material.sweep
    short = short_names(results.axes)
    found = []
    for path in results.axes:
        values = {str(row[path]): row[path] for row in results.axis_values}
        kinds = list(values.values())
        if len(kinds) < 2:
            continue
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in kinds)
        ordered = sorted(kinds) if numbers else kinds
        found.append(Axis(path, _name(path, short[path]), tuple(ordered)))
    return found


_GENERIC = ("prob", "sd", "mean", "factor", "days", "mean_extra", "size", "day", "amplitude", "drop")
"""Last parts of paths that say nothing without the part before."""


def _name(path: str, short: str) -> str:
    """What people read of an axis: 'coaches', 'consented prob'."""
    parts = path.split(".")
    if short == parts[-1] and short in _GENERIC and len(parts) > 1:
        short = f"{parts[-2]} {short}"
    return short.replace(".", " ").replace("_", " ")


def axis_called(material: Material, name: str) -> Axis:
    """By its path or its short name. TrialsimError where there is none."""
    axes = axes_of(material)
    for axis in axes:
        if name in (axis.path, axis.name, axis.name.replace(" ", "_"), axis.path.split(".")[-1]):
            return axis
    close = close_to(name, [axis.path for axis in axes])
    hint = f"Did you mean '{close}'?" if close else f"Axes: {', '.join(axis.path for axis in axes)}."
    raise TrialsimError(f"the sweep has no axis '{name}' with several values. {hint}")


def why_no_points(material: Material) -> str:
    """Why nothing can be drawn of a sweep; empty where something can."""
    results = material.sweep
    points = [p for p in range(results.n_points) if results.n_replicates(p) - results.n_failed(p)]
    if not points:
        return "no replicate is finished"
    if len(points) < 2:
        return "it has one design point with results"
    return ""


def about_sweep(material: Material) -> str:
    """Which replicates a figure of a sweep rests on."""
    results = material.sweep
    each = sorted({results.n_replicates(p) for p in range(results.n_points) if results.n_replicates(p)})
    n = f"{each[0]:,}" if len(each) == 1 else f"{each[0]:,} to {each[-1]:,}"
    luck = "Design points share their luck (common random numbers)." if results.shared_luck else ""
    without = sum(not results.n_replicates(p) for p in range(results.n_points))
    left = f" {without} without results are left out." if without else ""
    text = f"Simulated: sweep {results.name}, {results.n_points:,} design points, {n} replicates of each."
    return f"{text}{left} {luck}".strip()


def point_text(material: Material, point: int) -> str:
    """What the axes set at a design point, by their short names."""
    values = material.sweep.axis_values[point]
    return ", ".join(f"{axis.name} {axis.text(values[axis.path])}" for axis in axes_of(material))


def averaged_over(material: Material, used: Sequence[Axis]) -> str:
    """What is said of axes that are averaged over; empty where there are none."""
    others = [axis.name for axis in axes_of(material) if axis.path not in [one.path for one in used]]
    return f"Averaged with equal weight over {', '.join(others)}." if others else ""
