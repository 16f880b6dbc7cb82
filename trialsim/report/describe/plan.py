"""Analyses, decisions and costs in words."""

from __future__ import annotations

from typing import Any

from trialsim.design.analysis_checks import pairs_of
from trialsim.design.parts import Design
from trialsim.report import analysis_words as words
from trialsim.report.layout import heading, listed, number, paragraph, percent, table


def analyses(design: Design) -> list[str]:
    """Estimand, model and rules of each analysis."""
    if not design.analyses:
        return [heading("Analyses"), paragraph("No analysis is planned.")]
    blocks = [heading("Analyses")]
    for name, analysis in design.analyses.items():
        texts = [_endpoint(design, analysis), words.estimand(analysis), _model(design, analysis)]
        texts += [_contrasts(design, analysis), _level(design, analysis), words.hypothesis(analysis)]
        blocks.append(f"{name}\n" + "\n".join(paragraph(text, indent=2) for text in texts if text))
    return blocks


def _endpoint(design: Design, analysis: Any) -> str:
    visits = f" at {listed(list(analysis.visits))}" if analysis.visits else ""
    return f"Compared: {words.endpoint(design, analysis)}{visits}."


def _model(design: Design, analysis: Any) -> str:
    given = (words.adjustment(analysis), words.variance(analysis))
    details = "".join(f"; {text}" for text in given if text)
    return f"Model: {words.model(design, analysis)}{details}. Missing data: {words.missing(analysis)}."


def _contrasts(design: Design, analysis: Any) -> str:
    if analysis.contrasts:
        return f"Contrasts: {listed([f'{first} with {second}' for first, second in analysis.contrasts])}."
    if len(design.arms) == 1:
        return "There is one arm, so nothing to compare."
    if analysis.kind == "complier":
        return f"Contrasts: {listed([f'{a} with {b}' for a, b in pairs_of(design, analysis)])}."
    return "Contrasts: every pair of arms."


def _level(design: Design, analysis: Any) -> str:
    alpha, rule = analysis.alpha, words.multiplicity(design, analysis)
    level = f"Two-sided level {percent(alpha, None)}, {percent(1 - alpha, None)} confidence intervals"
    return f"{level}; {rule}." if rule else f"{level}."


def decisions(design: Design) -> list[str]:
    """Hypotheses, procedure and rule of each decision."""
    if not design.decisions:
        return []
    blocks = [heading("Decisions")]
    for name, decision in design.decisions.items():
        given = [f"{key}: {text}" for key, text in decision.hypotheses.items()]
        hypotheses = listed(given) if given else f"every contrast of {decision.analysis}"
        where = f" at {decision.visit}" if decision.visit else ""
        procedure = decision.procedure.kind.replace("_", " ")
        success = decision.success or "any hypothesis is rejected in favour of its first arm"
        texts = [
            f"Hypotheses{where}: {hypotheses}.",
            f"Procedure: {'each at full level' if procedure == 'none' else procedure}, family-wise two-sided level"
            f" {percent(decision.alpha, None)}.",
            f"Success: {success}.",
        ]
        blocks.append(f"{decision.label or name}\n" + "\n".join(paragraph(text, indent=2) for text in texts))
    return blocks


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
    rows = [[unit, number(price)] for unit, price in units.items() if price]
    if not rows:
        return [heading("Costs"), paragraph("No costs are stated.")]
    return [heading("Costs"), table(["for each", prices.currency], rows, "lr")]
