"""Checks that need more than one part of a design. All problems are found, none stops the search."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from trialsim.design.allocation_checks import allocation, groups
from trialsim.design.analysis_checks import analyses, dials
from trialsim.design.naming import Path, Problem, complete, named, unknown
from trialsim.design.outcome_checks import effects, outcomes

if TYPE_CHECKING:
    from trialsim.design.parts import Criterion, Design


class CrossCheckError(ValueError):
    """Raised by the root model; `.problems` holds (path, rule, hint) of each problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {rule}" for path, rule, _ in problems))


def cross_check(design: Design) -> None:
    """Raise CrossCheckError with every inconsistency between the parts of a design."""
    checks = (
        _funnel, _calendar, _covariates, outcomes, _visits, _arms, effects, _coaches, groups, allocation, _adherence,
        _observation, dials, analyses, _decisions, _size,
    )  # fmt: skip
    problems = [problem for check in checks for problem in check(design)]
    if problems:
        raise CrossCheckError(problems)


def _funnel(design: Design) -> Iterator[Problem]:
    for name, step in design.funnel.items():
        path: Path = ("funnel", name)
        if step.losses and step.prob == 1:
            yield (*path, "losses"), "reasons are given but nobody is lost (prob is 1)", "Lower prob, or drop losses."
        for reason, criterion in step.criteria.items():
            yield from _criterion((*path, "criteria", reason), criterion, design)


def _criterion(path: Path, criterion: Criterion, design: Design) -> Iterator[Problem]:
    limits = (criterion.at_least, criterion.at_most)
    if (criterion.excluded_prob is None) == (criterion.measure is None):
        yield path, "give either excluded_prob or measure", ""
    if criterion.measure is None:
        if any(limit is not None for limit in limits) or criterion.error_sd:
            yield path, "at_least, at_most and error_sd need a measure", ""
        return
    scores = [name for name, outcome in design.outcomes.items() if outcome.kind == "score"]
    yield from named((*path, "measure"), criterion.measure, scores, "score")
    if limits == (None, None):
        yield path, "a measure needs at_least or at_most", ""
    if None not in limits and limits[0] > limits[1]:  # type: ignore[operator]
        yield path, "at_least is above at_most: nobody is eligible", ""


def _calendar(design: Design) -> Iterator[Problem]:
    recruitment = design.recruitment
    for name, site in recruitment.sites.items():
        if design.day_of(site.opens) < 0:
            yield ("recruitment", "sites", name, "opens"), "a site opens before start_date", ""
    if recruitment.season and recruitment.season.amplitude > 1:
        yield ("recruitment", "season", "amplitude"), "an amplitude above 1 would make rates negative", ""
    concerned = [("rate_changes", index, change.sites) for index, change in enumerate(recruitment.rate_changes)]
    concerned += [("pauses", index, pause.sites) for index, pause in enumerate(recruitment.pauses)]
    for field, index, sites in concerned:
        for site_name in sites:
            yield from named(("recruitment", field, index, "sites"), site_name, recruitment.sites, "site")
    for index, pause in enumerate(recruitment.pauses):
        if design.day_of(pause.ends) <= design.day_of(pause.starts):
            yield ("recruitment", "pauses", index, "ends"), "a pause must end after it starts", ""


def _covariates(design: Design) -> Iterator[Problem]:
    for name, covariate in design.covariates.items():
        if name in ("site", "baseline"):
            yield ("covariates", name), f"'{name}' is a name with a meaning of its own", "Choose another name."
        if covariate.kind != "normal":
            continue
        low, high = covariate.low, covariate.high
        if low is not None and high is not None and low >= high:
            yield ("covariates", name, "low"), "low must be below high", ""
        elif _far_outside(covariate.mean, covariate.sd, low, high):
            yield ("covariates", name), "the limits leave almost nobody (mean is over 6 SD outside)", ""


def _far_outside(mean: float, sd: float, low: float | None, high: float | None) -> bool:
    above = low is not None and low - mean > 6 * sd
    below = high is not None and mean - high > 6 * sd
    return above or below


def _visits(design: Design) -> Iterator[Problem]:
    for name, visit in design.visits.items():
        if visit.day + visit.opens < 1:
            yield ("visits", name, "opens"), "the window opens on or before the day of randomization", ""
        for index, reminder in enumerate(visit.reminders):
            if not visit.opens <= reminder <= visit.closes:
                yield ("visits", name, "reminders", index), "a reminder lies outside the visit's window", ""
        if any(b <= a for a, b in pairwise(visit.reminders)):
            yield ("visits", name, "reminders"), "reminders must be in increasing order", ""
    for (first, a), (second, b) in pairwise(design.visits.items()):
        if b.day <= a.day:
            yield ("visits", second, "day"), f"visits must be in order of time ('{second}' is not after '{first}')", ""
        elif b.day + b.opens <= a.day + a.closes:
            yield (
                ("visits", second),
                f"the window overlaps the window of '{first}'",
                (f"'{first}' closes on day {a.day + a.closes}, '{second}' opens on day {b.day + b.opens}."),
            )


def _arms(design: Design) -> Iterator[Problem]:
    for name, arm in design.arms.items():
        path: Path = ("arms", name)
        yield from complete((*path, "response_prob"), arm.response_prob, design.visits, "visit")
        if arm.delivery.kind == "none" and (arm.start_prob != 1 or arm.stop_prob != 0):
            yield path, "start_prob and stop_prob need a delivery with sessions", ""


def _coaches(design: Design) -> Iterator[Problem]:
    for name in design.arms:
        path: Path = ("arms", name, "delivery", "coaches")
        for index, coach in enumerate(design.coaches(name)):
            if design.day_of(coach.joins) < 0:
                yield (*path, index, "joins"), "a coach joins before start_date", ""
            if coach.leaves is not None and design.day_of(coach.leaves) <= design.day_of(coach.joins):
                yield (*path, index, "leaves"), "a coach must leave after joining", ""


def _adherence(design: Design) -> Iterator[Problem]:
    yield from unknown(("adherence", "covariates"), design.adherence.covariates, design.covariates, "covariate")


def _observation(design: Design) -> Iterator[Problem]:
    observation = design.observation
    yield from unknown(("observation", "covariates"), observation.covariates, design.covariates, "covariate")
    yield from unknown(("observation", "baseline"), observation.baseline, design.outcomes, "outcome")
    yield from unknown(("observation", "current_value"), observation.current_value, design.outcomes, "outcome")


def _decisions(design: Design) -> Iterator[Problem]:
    if design.decisions:
        from trialsim.design.decisions import decisions

        yield from decisions(design)


MOST_PEOPLE = 20_000_000


def _size(design: Design) -> Iterator[Problem]:
    factor = max([1.0, *(change.factor for change in design.recruitment.rate_changes)])
    factor *= 1 + (design.recruitment.season.amplitude if design.recruitment.season else 0.0)
    months = design.max_enrolment_days / 30.4375
    people = sum(site.rate_per_month for site in design.recruitment.sites.values()) * months * factor
    for step in design.funnel.values():
        if step.criteria:
            break
        people *= step.prob
    if people > MOST_PEOPLE:
        yield (
            ("recruitment", "sites"),
            f"about {people:.3g} people would be screened",
            (f"At most {MOST_PEOPLE} can be simulated; lower the rates, the first chances or max_enrolment_days."),
        )
