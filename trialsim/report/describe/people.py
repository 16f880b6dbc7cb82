"""Participants in words: covariates and motivation."""

from __future__ import annotations

import math

from trialsim.design.parts import BinaryCovariate, CountCovariate, Covariate, Design, NormalCovariate
from trialsim.report.describe.phrases import points
from trialsim.report.layout import heading, listed, number, paragraph, percent, table
from trialsim.world.world import World


def participants(world: World) -> list[str]:
    """Covariates, what they move, and latent motivation."""
    design = world.design
    blocks = [heading("Participants")]
    if design.covariates:
        blocks += [paragraph(_covariates_intro(design)), _covariates_table(world)]
        blocks += [paragraph(text) for text in _links(design)]
    else:
        blocks.append(paragraph("No covariates are simulated."))
    motivation = _motivation(design)
    return [*blocks, paragraph(motivation)] if motivation else blocks


def _covariates_intro(design: Design) -> str:
    together = "These are" if len(design.covariates) > 1 else "This is"
    apart = ", independent of each other" if len(design.covariates) > 1 else ""
    return f"{together} drawn for the people screened{apart}; selection by the funnel comes after."


def _covariates_table(world: World) -> str:
    covariates, means = world.design.covariates, world.covariate_means
    rows = [[name, _distribution(covariate, means[name])] for name, covariate in covariates.items()]
    header = ["covariate", "among the people screened"]
    if not any(covariate.label for covariate in covariates.values()):
        return table(header, rows, "ll")
    labelled = [[*row, covariate.label] for row, covariate in zip(rows, covariates.values(), strict=True)]
    return table([*header, "meaning"], labelled, "lll")


def _distribution(covariate: Covariate, mean: float) -> str:
    if isinstance(covariate, BinaryCovariate):
        return f"yes/no, {percent(covariate.prob, None)} yes"
    if isinstance(covariate, CountCovariate):
        return f"Poisson count, mean {number(covariate.mean)}"
    normal = f"normal, mean {number(covariate.mean)}, SD {number(covariate.sd)}"
    limits = _limits(covariate)
    moves = abs(mean - covariate.mean) > 0.02 * covariate.sd
    then = f" (mean then {number(mean, 2)})" if moves else ""
    return f"{normal}, cut {limits}{then}" if limits else normal


def _limits(covariate: NormalCovariate) -> str:
    low, high = covariate.low, covariate.high
    if low is not None and high is not None:
        return f"to {number(low)} - {number(high)}"
    if low is not None:
        return f"below {number(low)}"
    return f"above {number(high)}" if high is not None else ""


def _links(design: Design) -> list[str]:
    """One sentence for each outcome whose latent level covariates move."""
    sentences = []
    for outcome_name, outcome in design.outcomes.items():
        moves = [_link(design, name, slope) for name, slope in outcome.covariates.items() if slope]
        if moves:
            sentences.append(f"The stable level of {outcome_name} is {listed(moves)}.")
    return sentences


def _link(design: Design, name: str, slope: float) -> str:
    direction = "higher" if slope > 0 else "lower"
    if isinstance(design.covariates[name], BinaryCovariate):
        return f"{points(abs(slope))} {direction} with {name} than without"
    return f"{points(abs(slope))} {direction} per unit of {name}"


def _motivation(design: Design) -> str:
    moved = _moved_by_motivation(design)
    if not moved:
        return ""
    return (
        "Everybody has a latent motivation, standard normal and independent of all the above, that no"
        f" analysis sees. It moves {listed(moved)}."
    )


def _moved_by_motivation(design: Design) -> list[str]:
    adherence, observation = design.adherence, design.observation
    sessions = any(design.n_sessions(arm) for arm in design.arms)
    correlations = {
        "start treatment": adherence.motivation_on_start if sessions else 0.0,
        "go on with it": adherence.motivation_on_stop if sessions else 0.0,
        "answer questionnaires": observation.motivation_on_frailty * math.sqrt(observation.frailty),
    }
    strengths = {act: f"(correlation {number(round(r, 2))})" for act, r in correlations.items() if r}
    moved = [f"the inclination to {act} {strength}" for act, strength in strengths.items()]
    outcomes = [name for name, outcome in design.outcomes.items() if outcome.motivation]
    return [*moved, *(f"the level of {name} at follow-up" for name in outcomes)]
