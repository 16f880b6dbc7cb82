"""Outcomes, visits and who answers, in words."""

from __future__ import annotations

import math

from trialsim.design.outcomes import Outcome, Recovery
from trialsim.design.parts import Design, Visit
from trialsim.report.describe.phrases import (
    at_visits,
    chance,
    given,
    in_order,
    mean_delay,
    moved,
    moved_by_covariates,
    named,
    points_at_visits,
    share,
    shifted,
    takes,
)
from trialsim.report.layout import days_as_months, heading, listed, number, paragraph, table
from trialsim.world.world import World


def outcomes(design: Design) -> list[str]:
    """Instrument, latent level, course and response of each outcome."""
    intro = "Every value is a latent level plus a measurement error, on the grid of its instrument."
    blocks = [heading("Outcomes"), paragraph(intro)]
    for name, outcome in design.outcomes.items():
        texts = [_instrument(outcome), _level(outcome), _course(design, outcome), _responder(outcome)]
        blocks.append(f"{named(name, outcome.label)}\n" + "\n".join(paragraph(text, indent=2) for text in texts))
    return [*blocks, *_correlations(design)]


def _instrument(outcome: Outcome) -> str:
    if outcome.items == 1:
        return f"A score from {number(outcome.low)} to {number(outcome.high)} in steps of 1."
    items = f"the mean of {outcome.items} whole-number items, so in steps of 1/{outcome.items}"
    return f"A score from {number(outcome.low)} to {number(outcome.high)}: {items}."


def _level(outcome: Outcome) -> str:
    linked = " (before what covariates add)" if any(outcome.covariates.values()) else ""
    text = (
        f"Among the people screened the stable level has mean {number(outcome.mean)} and, between persons,"
        f" SD {number(outcome.sd)}{linked}."
    )
    if outcome.entry_sd:
        text += f" A passing state of SD {number(outcome.entry_sd)} adds to it at screening and baseline only."
    if outcome.error_sd:
        text += f" Each assessment has a measurement error of SD {number(outcome.error_sd)}."
    if outcome.site_sd:
        text += f" Sites differ in level with SD {number(outcome.site_sd)}."
    if outcome.coach_sd:
        text += f" Coaches differ in their participants' level at follow-up with SD {number(outcome.coach_sd)}."
    return text


def _course(design: Design, outcome: Outcome) -> str:
    """The natural course, which holds in every arm before its effect."""
    course = in_order(design, outcome.course)
    moves = f"differs from the stable level by {points_at_visits(course)}"
    where = moves if any(course.values()) else "keeps to the stable level"
    text = f"Before any effect of an arm, the level at follow-up {where}"
    text += f", with a person's own change of SD {number(outcome.change_sd)}." if outcome.change_sd else "."
    if outcome.recovery:
        text += " " + _recovery(design, outcome, outcome.recovery)
    if (outcome.change_sd or outcome.recovery) and len(design.visits) > 1:
        also = " (and whether somebody recovers, on the probit scale)" if outcome.recovery else ""
        text += f" A person's change{also} correlates {number(outcome.persistence)} from one visit to the next."
    if outcome.motivation:
        text += f" Somebody one SD more motivated than average is {shifted(outcome.motivation)} at follow-up."
    return text


def _recovery(design: Design, outcome: Outcome, recovery: Recovery) -> str:
    prob = in_order(design, recovery.prob)
    mean = {visit: outcome.course[visit] - recovery.drop * prob[visit] for visit in prob}
    own = f" in place of {number(outcome.change_sd)}" if outcome.change_sd else ""
    falls = f"they are {shifted(-recovery.drop)} on top of that"
    makes = f"a mean change from the stable level of {points_at_visits(mean, 2)}"
    said = f"In every arm {at_visits(prob, share)} recover: {falls}, with SD {number(recovery.sd)}{own}."
    return f"{said} That makes {makes}."


def _responder(outcome: Outcome) -> str:
    if not outcome.responder_fall:
        return "A responder's value is no higher than at baseline."
    text = f"A responder's value is at least {share(outcome.responder_fall)} below the value at baseline"
    return f"{text}; nobody with a baseline of 0 or less is one." if outcome.low <= 0 else f"{text}."


def _correlations(design: Design) -> list[str]:
    pairs = [
        f"{name} and {other} {number(value)}"
        for name, outcome in design.outcomes.items()
        for other, value in outcome.correlation.items()
    ]
    if pairs:
        text = (
            f"Correlations between outcomes: {listed(pairs)}. They hold for each part: stable level, passing"
            " state, own change, recovery, measurement error and individual effect."
        )
        return [paragraph(text)]
    if len(design.outcomes) > 1:
        return [paragraph("The outcomes are independent of each other, but for covariates, motivation and sessions.")]
    return []


# --- visits -------------------------------------------------------------------------------------------------


def visits(design: Design) -> list[str]:
    """When questionnaires are due, open and reminded of."""
    header = ["visit", "due on day", "in months", "window", "reminders on day"]
    rows = [[name, number(v.day), _months(v), _window(v), _reminders(v)] for name, v in design.visits.items()]
    if any(visit.label for visit in design.visits.values()):
        header.append("meaning")
        rows = [[*row, visit.label] for row, visit in zip(rows, design.visits.values(), strict=True)]
    intro = "All days count from randomization. A reminder goes only to those in the study who have not answered."
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
    texts = [_moves(world, *example), _mechanism(design), _answer_time(design), _deaths(world)]
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


def _mechanism(design: Design) -> str:
    observation = design.observation
    if any(observation.current_value.values()):
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
