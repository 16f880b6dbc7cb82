"""Outcomes in words: how values come about, their level, their course, who responds."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trialsim.design.outcomes import Binary, Dose, Events, Ordinal, Outcome, Recovery, Score, TimeToEvent
from trialsim.design.parts import Design
from trialsim.report.describe import spread
from trialsim.report.describe.phrases import (
    at_visits,
    in_order,
    named,
    points,
    points_at_visits,
    share,
    shifted,
    wave,
)
from trialsim.report.layout import heading, listed, number, paragraph, part


def outcomes(design: Design) -> list[str]:
    """Instrument, latent level, course and response of each outcome."""
    intro = "Every value is a latent level plus a measurement error, on the grid of its instrument."
    if not all(isinstance(outcome, Score) for outcome in design.outcomes.values()):
        intro = (
            "Every outcome has a latent level that moves in points of its own. A score is that level plus a"
            " measurement error, on the grid of its instrument; of the others it is said how values come of it."
        )
    blocks = [heading("Outcomes"), paragraph(intro)]
    for name, outcome in design.outcomes.items():
        texts = [
            f"{_instrument(design, outcome)}{_source(outcome)}",
            f"{_level(outcome)}{_levels_shared(design, outcome)}",
            f"{_course(design, outcome)}{_calendar(outcome)}",
            _responder(outcome),
        ]
        blocks.append(part(named(name, outcome.label), [paragraph(text, indent=2) for text in texts]))
    return [*blocks, *_correlations(design)]


# --- what it is ---------------------------------------------------------------------------------------------


def _instrument(design: Design, outcome: Outcome) -> str:
    if isinstance(outcome, Score):
        return _score(outcome)
    if isinstance(outcome, Binary):
        return (
            f"Yes or no: {share(outcome.prob)} of the people screened have yes at baseline. It is yes where the latent"
            " level, a normal, lies above a limit; its points are on that probit scale."
        )
    if isinstance(outcome, Ordinal):
        levels = listed([f"{level} {share(prob)}" for level, prob in outcome.levels.items()])
        return (
            f"One of {len(outcome.levels)} ordered levels, with these shares at baseline of the people screened:"
            f" {levels}. The latent level, a normal, lies between the limits of one of them; its points are on that"
            " probit scale."
        )
    return _on_log_scale(design, outcome)


def _score(outcome: Score) -> str:
    better = " Higher values are better." if outcome.better_is_higher else ""
    if outcome.items == 1:
        return f"A score from {number(outcome.low)} to {number(outcome.high)} in steps of 1.{better}"
    items = f"the mean of {outcome.items} whole-number items, so in steps of 1/{outcome.items}"
    return f"A score from {number(outcome.low)} to {number(outcome.high)}: {items}.{better}"


def _on_log_scale(design: Design, outcome: Events | TimeToEvent | Dose) -> str:
    """Kinds whose points are logarithms."""
    if isinstance(outcome, Events):
        return (
            "The number of events since the visit before, at baseline in the year before: a Poisson count given a"
            f" person's own rate, {number(outcome.rate_per_year)} a year on average among the people screened; more"
            f" than {number(outcome.most)} are recorded as that. Its points are logarithms of the mean."
        )
    if isinstance(outcome, TimeToEvent):
        hazard = _by_month(design, outcome.hazard)
        return (
            "The time to an event that happens once at most. Of persons at the mean of everything who have not had it"
            f" {hazard} have it. Its points are logarithms of this hazard."
        )
    return _dose(design, outcome)


def _dose(design: Design, outcome: Dose) -> str:
    moves = [
        f"{_by_month(design, hazards)} {what}"
        for hazards, what in (
            (outcome.stop_hazard, "of the users stop by themselves"),
            (outcome.resume_hazard, "of those who have stopped take it up again"),
        )
        if any(hazards.values())
    ]
    states = f"{listed(moves)}." if moves else "Nobody stops or resumes by themselves."
    return (
        f"The daily dose of a medicine. Those with {outcome.users} use it at baseline, with a median dose of"
        f" {number(outcome.median)}; doses above {number(outcome.most)} are recorded as that. {states}"
        " Its points are logarithms of the dose."
    )


def _by_month(design: Design, hazards: Mapping[str, float]) -> str:
    """'2% a month', '5% a month up to w10 and 3% a month up to m6'."""
    by_visit = {visit: f"{share(hazard)} a month" for visit, hazard in in_order(design, hazards).items()}
    if len(set(by_visit.values())) == 1:
        return next(iter(by_visit.values()))
    return listed([f"{text} up to {visit}" for visit, text in by_visit.items()])


def _source(outcome: Outcome) -> str:
    if outcome.source == "questionnaire":
        return ""
    return (
        " It is read from health records on the visit's due day, of everybody who is in the study then, whether they"
        " answer or not."
    )


# --- level and course ---------------------------------------------------------------------------------------


def _level(outcome: Outcome) -> str:
    linked = " (before what covariates add)" if any(outcome.covariates.values()) else ""
    sd = f"SD {number(outcome.sd)}"
    mean_and_sd = f"mean {number(outcome.mean)} and, between persons, {sd}" if isinstance(outcome, Score) else ""
    text = f"Among the people screened the stable level has {mean_and_sd or f'{sd} between persons'}{linked}."
    if outcome.entry_sd:
        text += f" A passing state of SD {number(outcome.entry_sd)} adds to it at screening and baseline only."
    if outcome.error_sd:
        text += f" Each assessment has a measurement error of SD {number(outcome.error_sd)}."
    return text


def _levels_shared(design: Design, outcome: Outcome) -> str:
    """SDs between sites, clusters, coaches and groups, with the intraclass correlations of the latent level."""
    before, after = spread.at_baseline(design, outcome), spread.at_last_visit(design, outcome)
    site, cluster, change = outcome.site_sd, outcome.cluster_sd, outcome.cluster_change_sd
    coach, group = outcome.coach_sd, outcome.group_sd
    parts = [
        ("Sites differ in level", site, (site,), before, " at baseline"),
        ("Randomized clusters differ in level", cluster, (cluster,), before, " at baseline"),
        ("Their change since baseline differs", change, (cluster, change), after, " at the last visit, with the level"),
        ("Coaches differ in their participants' level at follow-up", coach, (coach,), after, ""),
        ("Delivery groups differ in their members' level at follow-up", group, (group,), after, ""),
    ]
    if not cluster:
        parts[2] = ("Randomized clusters differ in change since baseline", change, (change,), after, "")
    return "".join(
        f" {text} with SD {number(sd)} (ICC about {spread.icc(sds, total)}{where})."
        for text, sd, sds, total, where in parts
        if sd
    )


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
    prob, course = in_order(design, recovery.prob), in_order(design, outcome.course)
    mean = {visit: course[visit] - recovery.drop * prob[visit] for visit in prob}
    own = f" in place of {number(outcome.change_sd)}" if outcome.change_sd else ""
    falls = f"they are {shifted(-recovery.drop)} on top of that"
    makes = f"a mean change from the stable level of {points_at_visits(mean, 2)}"
    said = f"In every arm {at_visits(prob, share)} recover: {falls}, with SD {number(recovery.sd)}{own}."
    return f"{said} That makes {makes}."


def _calendar(outcome: Outcome) -> str:
    """Drift over the years and season, which move everybody."""
    text = ""
    if outcome.drift_per_year:
        text += f" With every calendar year everybody, at baseline too, is {shifted(outcome.drift_per_year)}."
    if outcome.season:
        text += f" Everybody's level rises and falls {wave(outcome.season, points(outcome.season.amplitude))}."
    return text


def _responder(outcome: Outcome) -> str:
    if isinstance(outcome, Ordinal):
        return f"A responder is at '{outcome.responder_from}' or a higher level."
    if not isinstance(outcome, Score):
        return _RESPONDERS[outcome.kind]
    worse, better = ("lower", "above") if outcome.better_is_higher else ("higher", "below")
    if not outcome.responder_change:
        return f"A responder's value is no {worse} than at baseline."
    text = f"A responder's value is at least {share(outcome.responder_change)} {better} the value at baseline"
    return f"{text}; nobody with a baseline of 0 or less is one." if outcome.low <= 0 else f"{text}."


_RESPONDERS = {
    "binary": "A responder has yes.",
    "count": "A responder has none.",
    "event": "A responder has had it by the visit.",
    "dose": "A responder's dose is 0.",
}


def times(outcome: Outcome, shift: float) -> str:
    """What a shift does to a mean, hazard or dose: 'x 0.80'; empty for outcomes whose points are no logarithms."""
    return f"x {number(math.exp(shift), 2)}" if isinstance(outcome, Events | TimeToEvent | Dose) else ""


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
