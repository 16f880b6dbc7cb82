"""Analyses, decisions and costs in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trialsim.design.analyses import Decision
from trialsim.design.analysis_checks import pairs_of
from trialsim.design.decisions import Hypothesis, hypotheses_of
from trialsim.design.parts import Design
from trialsim.report import analysis_words as words
from trialsim.report.describe.phrases import confounded
from trialsim.report.layout import heading, listed, number, paragraph, part, percent, table


def analyses(design: Design) -> list[str]:
    """Estimand, model and rules of each analysis."""
    if not design.analyses:
        return [heading("Analyses"), paragraph("No analysis is planned.")]
    blocks = [heading("Analyses")]
    warning = confounded(design)
    if warning:
        blocks.append(paragraph(f"{warning} Estimates are set beside what randomizing would have found."))
    for name, analysis in design.analyses.items():
        outcome = str(analysis.outcome)
        texts = [f"{words.estimand(design, analysis, outcome)} {words.cut(analysis)}", _model(design, analysis)]
        texts += [_contrasts(design, analysis), f"{_level(design, analysis)} {words.hypothesis(design, analysis)}"]
        blocks.append(part(name, [paragraph(text, indent=2) for text in texts]))
    return blocks


def _model(design: Design, analysis: Any) -> str:
    given = (words.model(design, analysis), words.adjustment(analysis), words.variance(analysis))
    return f"Model: {'; '.join(text for text in given if text)}. Missing data: {words.missing(design, analysis)}."


def _contrasts(design: Design, analysis: Any) -> str:
    if len(design.arms) == 1:
        return "There is one arm, so nothing is compared."
    if not analysis.contrasts and analysis.kind != "complier":
        return "Compared: every pair of arms."
    return f"Compared: {listed([f'{first} with {second}' for first, second in pairs_of(design, analysis)])}."


def _level(design: Design, analysis: Any) -> str:
    alpha, rule = analysis.alpha, words.multiplicity(design, analysis)
    two_sided = f"Two-sided level {percent(alpha, None)}, " if analysis.hypothesis == "superiority" else ""
    level = f"{two_sided}{percent(1 - alpha, None)} confidence intervals"
    return f"{level}; {rule}." if rule else f"{level}."


# --- decisions --------------------------------------------------------------------------------------------------------


def decisions(design: Design) -> list[str]:
    """Hypotheses, procedure and rule of each decision."""
    if not design.decisions:
        return []
    blocks = [heading("Decisions")]
    for name, decision in design.decisions.items():
        family = hypotheses_of(design, decision)
        success = decision.success or "any hypothesis is rejected in favour of its first arm"
        texts = [
            f"Hypotheses: {'; '.join(f'{h.name}, that {claim(h)}' for h in family)}.",
            f"Procedure: {procedure(decision)}. {_level_of(decision, family)}",
            f"Success: {success}.",
        ]
        blocks.append(part(decision.label or name, [paragraph(text, indent=2) for text in texts]))
    return blocks


_SAID = {"beats": "beats", "non_inferior": "is not inferior to", "equivalent": "is equivalent to"}


def claim(h: Hypothesis) -> str:
    """'coach beats usual at m3 in responders'."""
    return f"{h.arms[0]} {_SAID[h.kind]} {h.arms[1]} at {h.visit} in {h.analysis}"


def _level_of(decision: Decision, family: list[Hypothesis]) -> str:
    level = percent(decision.alpha, None)
    together = "" if decision.procedure.kind in ("none", "lsd") else " for all together"
    text = f"Two-sided level {level}{together}"
    if any(h.kind != "beats" for h in family):
        text += f"; tests of non-inferiority and equivalence are one-sided, so {percent(decision.alpha / 2, None)}"
    return f"{text}."


def procedure(decision: Decision) -> str:
    """How a decision's hypotheses are tested together, with every number that it has."""
    given: Any = decision.procedure
    if given.kind in _PROCEDURES:
        return _PROCEDURES[given.kind]
    if given.kind.endswith("gatekeeping"):
        return _gatekeeping(given)
    weighted = f"{_WEIGHTED[given.kind]} ({_parts(given.weights)})"
    if given.kind != "graphical":
        return weighted
    moves = [f"of {name}, {_moves(to)}" for name, to in given.transitions.items() if to]
    return f"{weighted}; what a rejected hypothesis had goes on: {'; '.join(moves) or 'nowhere'}"


_PROCEDURES = {
    "none": "each hypothesis at the full level",
    "lsd": "each hypothesis at the full level, but only when the test of all arms is significant too (Fisher)",
    "bonferroni": "Bonferroni's correction",
    "holm": "Holm's procedure",
    "hochberg": "Hochberg's procedure",
    "hommel": "Hommel's procedure",
    "dunnett": "Dunnett's test",
    "dunnett_step_down": "Dunnett's step-down test",
    "fixed_sequence": "fixed sequence, in the order above until one is not rejected",
}
_WEIGHTED = {
    "weighted_bonferroni": "Bonferroni's correction with parts of the level",
    "weighted_holm": "Holm's procedure with parts of the level",
    "fallback": "fallback procedure in the order above with parts of the level",
    "graphical": "graphical procedure with parts of the level to begin with",
}


def _parts(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number(weight)}" for name, weight in weights.items())


def _moves(to: Mapping[str, float]) -> str:
    return ", ".join(f"{number(part)} to {name}" for name, part in to.items())


def _gatekeeping(given: Any) -> str:
    families = ", then ".join(f"({', '.join(part)})" for part in given.families)
    within = _PROCEDURES[given.procedure]
    if given.kind == "serial_gatekeeping":
        return f"serial gatekeeping, {families}, a family once all before are rejected; {within} within each"
    truncation = f", truncation {', '.join(map(number, given.truncation))}" if given.truncation else ""
    return f"parallel gatekeeping, {families}, a family once any of the one before is rejected; {within}{truncation}"


# --- costs ------------------------------------------------------------------------------------------------------------


def costs(design: Design) -> list[str]:
    """Unit costs that are not 0."""
    prices = design.costs
    units = {
        "person contacted": prices.letter,
        "person screened": prices.screening,
        "hour of session held": prices.coach_hour,
        "call to somebody who has stalled": prices.call,
        "reminder": prices.reminder,
        "questionnaire answered, baseline included": prices.assessment,
        "site and month, from opening to the last visit": prices.site_month,
    }
    units |= {f"participant in {name}": arm.cost_per_participant for name, arm in design.arms.items()}
    units |= {f"participant in {name} who starts": arm.cost_per_start for name, arm in design.arms.items()}
    rows = [[unit, number(price)] for unit, price in units.items() if price]
    if not rows:
        return [heading("Costs"), paragraph("No costs are stated.")]
    return [heading("Costs"), table(["for each", prices.currency], rows, "lr")]
