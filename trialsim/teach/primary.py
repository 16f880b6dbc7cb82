"""The question that a design asks first: its decision, the contrasts, the visit and the outcome that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def only_primary(design: Design) -> Design:
    """The design with its first decision and the analyses that it needs, so that no others are worked out."""
    primary = primary_of(design)
    if primary.decision is None:
        return design
    decision = design.decisions[primary.decision]
    needed = {decision.analysis, *(hypothesis.analysis for hypothesis in primary.hypotheses)}
    analyses = {name: one for name, one in design.analyses.items() if name in needed}
    return design.model_copy(update={"analyses": analyses, "decisions": {primary.decision: decision}})
