"""Analyses and costs in words."""

from __future__ import annotations

from trialsim.design.parts import Analysis, Design
from trialsim.report.layout import heading, listed, number, paragraph, percent, table

_MODELS = {
    "modified_poisson": "modified Poisson regression (log link) of being a responder on {outcome}",
    "linear": "linear regression of the change of {outcome} from baseline",
}
_MEASURES = {
    "modified_poisson": "the ratio of the chances of being a responder on {outcome}",
    "linear": "the difference in mean change of {outcome} from baseline",
}


def analyses(design: Design) -> list[str]:
    """Estimand, model and rules of each analysis."""
    if not design.analyses:
        return [heading("Analyses"), paragraph("No analysis is planned.")]
    blocks = [heading("Analyses")]
    for name, analysis in design.analyses.items():
        what = [_estimand(analysis), _model(analysis)]
        texts = [*what, _contrasts(design, analysis), _level(design, analysis)]
        blocks.append(f"{name}\n" + "\n".join(paragraph(text, indent=2) for text in texts))
    return blocks


def _estimand(analysis: Analysis) -> str:
    measure = _MEASURES[analysis.kind].format(outcome=analysis.outcome)
    return (
        f"Estimand (treatment policy): {measure}, at each visit, had everybody randomized been assigned to"
        " the one arm rather than the other, whether they start and stop treatment or not, as if alive and in"
        " the study."
    )


def _model(analysis: Analysis) -> str:
    model = _MODELS[analysis.kind].format(outcome=analysis.outcome)
    names = {"baseline": f"baseline {analysis.outcome}"}
    covariates = listed([names.get(name, name) for name in analysis.covariates])
    adjusted = f", adjusted for {covariates}" if covariates else ", without covariates"
    cluster = "participants"
    if analysis.cluster == "coach":
        cluster = "coaches (a participant without a coach stands alone)"
    return (
        f"Model: {model} on arm, visit and arm x visit{adjusted}, with the values that were observed; working"
        f" correlation independent, robust variance clustered on {cluster}."
    )


def _contrasts(design: Design, analysis: Analysis) -> str:
    if analysis.contrasts:
        return f"Compared: {listed([f'{first} with {second}' for first, second in analysis.contrasts])}."
    if len(design.arms) == 1:
        return "There is one arm, so nothing to compare."
    return "Compared: every pair of arms."


def _level(design: Design, analysis: Analysis) -> str:
    alpha = analysis.alpha
    level = f"Two-sided level {percent(alpha, None)}, {percent(1 - alpha, None)} confidence intervals"
    if analysis.multiplicity == "none":
        return f"{level}; no adjustment for multiple comparisons."
    if len(design.arms) < 3:
        return f"{level}."
    return f"{level}; a pair counts as different only when the test of all arms is significant too (Fisher)."


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
