"""The question that a design asks first: its decision, the contrasts, the visit and the outcome that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from trialsim.design.analysis_checks import pairs_of
from trialsim.design.decisions import Hypothesis, hypotheses_of
from trialsim.design.parts import Design

ADDED = "first_analysis"
"""Name of the decision that a design is given where it states none."""


@dataclass(frozen=True)
class Primary:
    """What power is about. Without a decision (None) there are no hypotheses, and power is not spoken of."""

    decision: str | None
    hypotheses: Sequence[Hypothesis]
    outcome: str
    visit: str


def primary_of(design: Design) -> Primary:
    """The first decision of a design, else what its first analysis looks at, else its first outcome and visit."""
    if design.decisions:
        name, decision = next(iter(design.decisions.items()))
        family = hypotheses_of(design, decision)
        analysis: Any = design.analyses[family[0].analysis]
        return Primary(name, family, analysis.outcome, family[0].visit)
    if design.analyses:
        analysis = next(iter(design.analyses.values()))
        return Primary(None, (), analysis.outcome, next(iter(analysis.visits or design.visits)))
    return Primary(None, (), next(iter(design.outcomes)), next(iter(design.visits)))


def with_decision(design: Design) -> Design:
    """The design; where it states no decision, with one on every contrast of its first analysis, if it has any.

    So there is a power to show, and `trialsim power` can tell the same of the file that the page gives.
    """
    if design.decisions or not design.analyses:
        return design
    name, analysis = next(iter(design.analyses.items()))
    given: Any = analysis
    if not pairs_of(design, analysis):
        return design
    lsd = getattr(given, "multiplicity", "none") == "lsd" and given.hypothesis == "superiority"
    data = design.model_dump()
    label = f"Any contrast of the analysis {name}"
    procedure = {"kind": "lsd" if lsd else "none"}
    data["decisions"] = {ADDED: {"label": label, "analysis": name, "procedure": procedure, "alpha": given.alpha}}
    return Design.model_validate(data)


@dataclass(frozen=True)
class Idle:
    """What a design has beside its first decision that nothing else refers to."""

    analyses: tuple[str, ...]
    outcomes: tuple[str, ...]
    covariates: tuple[str, ...]


def idle_of(design: Design) -> Idle:
    """What power and the course of the trial do not need.

    What stays has the same luck: streams have names, and of outcomes only those behind the last one that is needed go,
    so that no correlation changes.
    """
    primary = primary_of(design)
    needed = {hypothesis.analysis for hypothesis in primary.hypotheses}
    if primary.decision is not None:
        needed.add(design.decisions[primary.decision].analysis)
    idle = Idle(tuple(name for name in design.analyses if name not in needed), (), ())
    for name in reversed(design.outcomes):
        more = replace(idle, outcomes=(*idle.outcomes, name))
        if name == primary.outcome or _without(design, more) is None:
            break
        idle = more
    for name in design.covariates:
        more = replace(idle, covariates=(*idle.covariates, name))
        idle = idle if _without(design, more) is None else more
    return idle


def lean(design: Design, idle: Idle) -> Design:
    """The design with its first decision alone, and without what is idle."""
    return _without(design, idle) or design


def _without(design: Design, idle: Idle) -> Design | None:
    """The design without some parts; None where something else refers to one of them."""
    data, primary = design.model_dump(), primary_of(design)
    if primary.decision is not None:
        data["decisions"] = {primary.decision: data["decisions"][primary.decision]}
    for field in ("analyses", "outcomes", "covariates"):
        data[field] = {name: one for name, one in data[field].items() if name not in getattr(idle, field)}
    for arm in data["arms"].values():
        done = [arm["effects"], arm["tapers"], (arm["co_intervention"] or {}).get("effects", {})]
        for by_outcome in done:
            for name in idle.outcomes:
                by_outcome.pop(name, None)
    try:
        return Design.model_validate(data)
    except ValidationError:
        return None
