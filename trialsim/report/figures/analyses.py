"""Which analysis a figure is about, its contrasts, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from trialsim.analysis.estimates import RATIOS, Label
from trialsim.design.analysis_checks import measures_of
from trialsim.design.parts import Design
from trialsim.experiments.performance import Performance
from trialsim.experiments.targets import Target
from trialsim.report.figures.words import contrast_label, outcome_label
from trialsim.report.layout import plural

if TYPE_CHECKING:
    from trialsim.report.figures.kinds import Asked
    from trialsim.report.figures.material import Material


def primary(design: Design) -> str:
    """The analysis of the first decision, or the first analysis."""
    if design.decisions:
        return next(iter(design.decisions.values())).analysis
    return next(iter(design.analyses))


def tested_measure(design: Design, analysis: str) -> str:
    """The measure by which an analysis compares arms."""
    plan: Any = design.analyses[analysis]
    return str(plan.margin_measure or measures_of(plan)[0])


@dataclass(frozen=True)
class Compared:
    """One contrast of one analysis at one visit."""

    material: Material
    label: Label
    place: int

    @property
    def name(self) -> str:
        """Of the arms, as people read them."""
        return contrast_label(self.material.design, self.label.contrast)

    @property
    def arm(self) -> int:
        """Number of the first arm."""
        first = self.label.contrast.split(" - ")[0]
        return self.material.world.arms.index(first) if first in self.material.world.arms else 0

    @property
    def ratio(self) -> bool:
        """Whether it is a ratio."""
        return self.label.measure in RATIOS

    @cached_property
    def performance(self) -> dict[str, Performance]:
        """Over replicates, by statistic."""
        return {row.statistic: row for row in self.material.performance if row.label == self.label}

    def target(self, what: str) -> Target | None:
        """The published value of `estimate` or `power`."""
        label = self.label
        return self.material.targets.get(f"{what}/{label.analysis}/{label.contrast}/{label.visit}/{label.measure}")


def contrasts_of(material: Material, analysis: str, visit: str | None = None) -> list[Compared]:
    """Contrasts of an analysis in order of visits, by the measure that it tests."""
    estimates = material.estimates
    if estimates is None:
        return []
    measure = tested_measure(material.design, analysis)
    found = [
        Compared(material, label, place)
        for place, label in enumerate(estimates.labels)
        if label.analysis == analysis and label.measure == measure and " - " in label.contrast
    ]
    order = list(material.design.visits)
    wanted = [one for one in found if visit is None or one.label.visit == visit]
    return sorted(wanted, key=lambda one: order.index(one.label.visit) if one.label.visit in order else len(order))


def analysis_of(material: Material, asked: Asked) -> str:
    """What was asked for, or the primary one."""
    return asked.analysis or primary(material.design)


def in_words(material: Material, analysis: str) -> str:
    """'published_responders (modified poisson of BPI-SF pain severity)'."""
    plan: Any = material.design.analyses[analysis]
    about = outcome_label(material.design, plan.outcome)
    return f"analysis {analysis} ({plan.kind.replace('_', ' ')} of {about})"


def failed_text(material: Material, analysis: str) -> str:
    """How many replicates are left out because a fit of the analysis failed; empty where none did."""
    estimates = material.estimates
    if estimates is None:
        return ""
    mine = [place for place, label in enumerate(estimates.labels) if label.analysis == analysis]
    n = int((~estimates.converged[:, mine]).any(axis=1).sum())
    if not n:
        return ""
    return f"In {n:,} of {plural(material.n_replicates, 'replicate')} a fit of {analysis} failed; they are left out."


def why_no_contrasts(material: Material) -> str:
    """Why no contrast can be drawn; empty where some can."""
    if not material.design.analyses:
        return "the design has no analyses"
    if len(material.design.arms) < 2:
        return "the design has one arm, so nothing is compared"
    if not any(contrasts_of(material, name) for name in material.design.analyses):
        return "no analysis compares two arms"
    return ""


def quantile(material: Material, place: int, prob: float, *, of: str = "estimate") -> float:
    """Over replicates, of a column of the estimates."""
    values = getattr(material.estimates, of)[:, place]
    known = values[~np.isnan(values)]
    return float(np.quantile(known, prob)) if len(known) else float("nan")
