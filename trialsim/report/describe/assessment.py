"""Visits and who answers, in words."""

from __future__ import annotations

import math

from trialsim.design.parts import Design, Visit
from trialsim.report.describe.phrases import (
    chance,
    entry,
    given,
    mean_delay,
    moved,
    moved_by_covariates,
    share,
    takes,
)
from trialsim.report.layout import days_as_months, heading, listed, number, paragraph, table
from trialsim.world.world import World

# --- visits -------------------------------------------------------------------------------------------------


def visits(design: Design) -> list[str]:
    """When questionnaires are due, open and reminded of."""
    header = ["visit", "due on day", "in months", "window", "reminders on day"]
    rows = [[name, number(v.day), _months(v), _window(v), _reminders(v)] for name, v in design.visits.items()]
    if any(visit.label for visit in design.visits.values()):
        header.append("meaning")
        rows = [[*row, visit.label] for row, visit in zip(rows, design.visits.values(), strict=True)]
    intro = f"All days count from {entry(design)}. A reminder goes only to those in the study who have not answered."
    return [heading("Visits"), paragraph(intro), table(header, rows, "lrrlll"[: len(header)])]


def _months(visit: Visit) -> str:
    return days_as_months(visit.day).split()[0]


def _window(visit: Visit) -> str:
    return f"days {visit.day + visit.opens:,} to {visit.day + visit.closes:,}"


def _reminders(visit: Visit) -> str:
    return ", ".join(f"{visit.day + reminder:,}" for reminder in visit.reminders) or "none"


# --- answering ----------------------------------------------------------------------------------------------


def answers(world: World) -> list[str]:
    """Who answers which questionnaire."""
    design = world.design
    rows = [[name, *(share(arm.response_prob[visit]) for visit in design.visits)] for name, arm in design.arms.items()]
    example = _example(design)
    texts = [
        _moves(world, *example), _dials(design, example[2]), mechanism(design), _answer_time(design), _deaths(world),
    ]  # fmt: skip
    return [
        heading("Who answers"),
        paragraph(_shares_intro(design)),
        table(["arm", *design.visits], rows, "l" + "r" * len(design.visits)),
        *(paragraph(text) for text in texts if text),
    ]


def _shares_intro(design: Design) -> str:
    observation = design.observation
    whose = []
    if observation.covariates or observation.baseline or observation.current_value:
        whose.append("everything that moves it is at its mean among the people screened")
    if observation.attendance:
        whose.append("no session has been attended")
    condition = f", when {listed(whose)}" if whose else ""
    return f"Share who answer of those still in the study{condition}:"


def _example(design: Design) -> tuple[str, str, float]:
    """Arm, visit and share that the examples speak of: the last of each."""
    arm, visit = list(design.arms)[-1], list(design.visits)[-1]
    return arm, visit, design.arms[arm].response_prob[visit]


def _moves(world: World, arm: str, visit: str, prob: float) -> str:
    phrases = [*_by_person(world.design, prob), *_by_values(world, prob)]
    if not phrases:
        return "Visits are answered independently of each other and of everything else."
    example = f"by the example of {arm} at {visit} ({share(prob)})"
    return f"What moves it, on the probit scale, {example}: {'; '.join(phrases)}."


def _by_person(design: Design, prob: float) -> list[str]:
    """Frailty, and motivation in it."""
    frailty, motivation = design.observation.frailty, design.observation.motivation_on_frailty
    if not frailty:
        return []
    root = math.sqrt(frailty)
    phrases = [f"{share(frailty)} of the variance belongs to the person ({_one_sd(prob, root)})"]
    if motivation:
        phrases.append(f"motivation ({_one_sd(prob, root * motivation, 'motivated')})")
    return phrases


def _one_sd(prob: float, correlation: float, what: str = "inclined") -> str:
    more, less = (given(prob, sign, correlation) for sign in (1, -1))
    return f"{chance(more)} of those one SD more {what} and {chance(less)} of those one SD less {what}"


def _by_values(world: World, prob: float) -> list[str]:
    """Covariates, baseline and current values, attendance."""
    observation = world.design.observation
    phrases = []
    by_covariates = moved_by_covariates(world, observation.covariates, prob)
    if by_covariates:
        phrases.append(f"covariates ({by_covariates})")
    for values, what in ((observation.baseline, "at baseline"), (observation.current_value, "at that visit")):
        for name, slope in values.items():
            if slope:
                phrases.append(f"{name} {what} ({chance(moved(prob, slope))} when it is one point higher)")
    if observation.attendance and any(world.session_counts):
        phrases.append(f"attendance ({chance(moved(prob, observation.attendance))} with all sessions attended)")
    return phrases


def _dials(design: Design, prob: float) -> str:
    """The three simple mechanisms that are added to the others."""
    dials = design.observation.dials
    name = dials.outcome or next(iter(design.outcomes))
    arms = f"in {listed(list(dials.arms))} " if dials.arms else ""
    moves = [
        f"{chance(moved(prob, -slope))} where {name} {what} is one SD higher"
        for slope, what in ((dials.mar, "as recorded last"), (dials.mnar, "at that visit"))
        if slope
    ]
    texts = [f"{share(dials.mcar)} of the answers are lost, whoever gives them"] if dials.mcar else []
    texts += [f"{arms}of {share(prob)} who answer there are {listed(moves)} left"] if moves else []
    return f"On top of that, {'; '.join(texts)}." if texts else ""


def mechanism(design: Design) -> str:
    """Whether values are missing at random, and why, in a sentence."""
    observation = design.observation
    if any(observation.current_value.values()) or observation.dials.mnar:
        return "Whether a value is missing depends on the value itself: missing not at random."
    shared = observation.frailty and observation.motivation_on_frailty
    if shared and any(outcome.motivation for outcome in design.outcomes.values()):
        return (
            "Latent motivation moves both answering and outcomes, so even given all that is recorded, whether"
            " a value is missing depends on it: missing not at random."
        )
    return (
        "Given what is recorded (arm, covariates, baseline, sessions attended, who answers at other visits),"
        " whether a value is missing does not depend on it: missing at random."
    )


def _answer_time(design: Design) -> str:
    delay = design.observation.answer_days
    if not mean_delay(delay):
        return "Whoever answers does so on the day the window opens."
    return f"Whoever answers does so {takes(delay)} after the window opens, on its last day at the latest."


def _deaths(world: World) -> str:
    prob = world.design.observation.death_prob
    if not prob:
        return "Nobody dies."
    return f"{share(prob)} die by day {world.horizon}, at a constant rate, whatever their arm."
