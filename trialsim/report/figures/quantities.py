"""What figures show of outcomes of each kind: a value at each visit, or a percentage of participants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import MEAN_CHANGE, PERCENTAGE
from trialsim.design.outcomes import Outcome
from trialsim.experiments.targets import Target
from trialsim.report.describe.phrases import confounded
from trialsim.report.figures.words import outcome_label

if TYPE_CHECKING:
    from trialsim.report.figures.kinds import Asked
    from trialsim.report.figures.material import Material

Floats = NDArray[np.float64]

MOST = 4
"""Outcomes that have a panel where none was asked for."""


@dataclass(frozen=True)
class Quantity:
    """Something of an outcome at each visit."""

    what: str
    """Of the axis: 'mean change', 'had it'."""
    measure: str
    """Last part of the path of its measures."""
    percent: bool = False
    """Whether it is a percentage of participants."""
    from_baseline: bool = False
    """Whether the course begins at the baseline."""
    analysis: str = ""
    """The analysis whose estimates it is, where it is adjusted."""


_COURSE = {
    "score": Quantity("mean score", "mean", from_baseline=True),
    "binary": Quantity("yes", "responders", percent=True, from_baseline=True),
    "ordinal": Quantity("mean level", "mean", from_baseline=True),
    "count": Quantity("mean number since the visit before", "mean"),
    "event": Quantity("had it by then", "responders", percent=True, from_baseline=True),
    "dose": Quantity("mean dose", "mean", from_baseline=True),
}
_CHANGE = Quantity("mean change from baseline", "mean_change", from_baseline=True)
_PERCENT_CHANGE = Quantity("change of the mean from baseline", "percent_change", percent=True, from_baseline=True)
_ADJUSTED_CHANGE = Quantity("adjusted mean change from baseline", MEAN_CHANGE, from_baseline=True)
_ADJUSTED_RESPONSE = Quantity("responders, adjusted", PERCENTAGE, percent=True)
_RESPONSE = {
    "score": Quantity("responders", "responders", percent=True),
    "binary": Quantity("yes", "responders", percent=True),
    "ordinal": Quantity("responders", "responders", percent=True),
    "count": Quantity("none", "responders", percent=True),
    "event": Quantity("had it by then", "responders", percent=True),
    "dose": Quantity("users", "users", percent=True),
}


def outcomes_shown(material: Material, asked: Asked, wanted: Callable[[Outcome], bool] = lambda _: True) -> list[str]:
    """The outcome that was asked for, or the first ones that are wanted."""
    if asked.outcome is not None:
        return [asked.outcome]
    names = [name for name, outcome in material.design.outcomes.items() if wanted(outcome)]
    return names[:MOST]


def left_out(material: Material, shown: list[str]) -> str:
    """What is said of outcomes that have no panel."""
    others = [outcome_label(material.design, name) for name in material.design.outcomes if name not in shown]
    if not others or len(shown) < MOST:
        return ""
    return f"Not shown: {'; '.join(others)}."


def course_of(material: Material, outcome: str) -> Quantity:
    """What is followed over time: of a score what most published values are about, the score itself or its change."""
    kind = material.design.outcomes[outcome].kind
    if kind != "score":
        return _COURSE[kind]
    choices = (_COURSE["score"], _CHANGE, *_adjusted(material, outcome, _ADJUSTED_CHANGE), _PERCENT_CHANGE)
    return max(choices, key=lambda one: len(targets_at(material, outcome, one)))


def _adjusted(material: Material, outcome: str, quantity: Quantity) -> list[Quantity]:
    """The same by each analysis of the outcome."""
    analyses = material.design.analyses.items()
    return [replace(quantity, analysis=name) for name, plan in analyses if plan.outcome == outcome]


def response_of(material: Material, outcome: str) -> Quantity:
    """Which percentage of participants is told of an outcome: what was seen, or what published values are about."""
    seen = _RESPONSE[material.design.outcomes[outcome].kind]
    choices = (seen, *_adjusted(material, outcome, _ADJUSTED_RESPONSE))
    return max(choices, key=lambda one: len(targets_at(material, outcome, one)))


def targets_at(material: Material, outcome: str, quantity: Quantity) -> dict[tuple[str, str], Target]:
    """Published values by arm and visit."""
    found = {}
    for arm in material.world.arms:
        for visit in material.world.visits:
            path = f"estimate/{quantity.analysis}" if quantity.analysis else f"outcome/{outcome}"
            target = material.targets.get(f"{path}/{arm}/{visit}/{quantity.measure}")
            if target is not None:
                found[arm, visit] = target
    return found


def values_at(material: Material, outcome: str, arm: str, visit: str, quantity: Quantity) -> Floats:
    """What was observed or estimated, replicate by replicate (R,)."""
    if quantity.analysis:
        return _estimates_at(material, arm, visit, quantity)
    return material.measures[f"outcome/{outcome}/{arm}/{visit}/{quantity.measure}"]


def _estimates_at(material: Material, arm: str, visit: str, quantity: Quantity) -> Floats:
    estimates = material.estimates
    assert estimates is not None  # it has published values, so it is analysed
    place = estimates.place(analysis=quantity.analysis, contrast=arm, visit=visit, measure=quantity.measure)
    return np.full(material.n_replicates, np.nan) if place is None else estimates.estimate[:, place]


def baseline_of(material: Material, outcome: str, arm: str, quantity: Quantity) -> Floats | None:
    """Where the course begins, (R,); None where it does not begin at the baseline."""
    if not quantity.from_baseline:
        return None
    stated = material.design.outcomes[outcome]
    path = f"baseline/{outcome}/{arm}/mean"
    if quantity.measure in ("mean_change", "percent_change", MEAN_CHANGE) or not stated.has_baseline:
        return np.zeros(material.n_replicates)
    if path not in material.measures:
        return None
    return material.measures[path] * (100 if stated.kind == "binary" else 1)


def truth_of(material: Material, outcome: str, arm: str, quantity: Quantity) -> Floats | None:
    """Mean potential outcome under an arm at each visit, (V,), over the replicates; None: none."""
    if quantity.measure in ("percent_change", "users"):
        return None
    k, a = material.world.outcomes.index(outcome), material.world.arms.index(arm)
    if quantity.measure in ("responders", PERCENTAGE):
        return np.asarray(100 * np.nanmean(material.series.responders[:, k, a], axis=0))
    mean = np.nanmean(material.series.truth[:, k, a], axis=0)
    if quantity.measure in ("mean_change", MEAN_CHANGE):
        mean = mean - _baseline_mean(material, outcome, arm)
    return np.asarray(mean)


def _baseline_mean(material: Material, outcome: str, arm: str) -> float:
    """Mean baseline of those whose potential outcomes are averaged, over the replicates of the series."""
    path = f"baseline/{outcome}/{arm}/mean" if confounded(material.design) else f"baseline/{outcome}/mean"
    return float(np.nanmean(material.measures[path][: len(material.series)]))
