"""Checks that need more than one part of a design. All problems are found, none stops the search."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from trialsim.design.analysis_checks import analyses, dials
from trialsim.design.naming import Path, Problem, complete, named, unknown

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
        _funnel, _calendar, _covariates, _outcomes, _visits, _arms, _coaches, _allocation, _adherence, _observation,
        dials, analyses, _decisions, _size,
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
    yield from named((*path, "measure"), criterion.measure, design.outcomes, "outcome")
    if limits == (None, None):
        yield path, "a measure needs at_least or at_most", ""
    if None not in limits and limits[0] > limits[1]:  # type: ignore[operator]
        yield path, "at_least is above at_most: nobody is eligible", ""


def _calendar(design: Design) -> Iterator[Problem]:
    recruitment = design.recruitment
    for name, site in recruitment.sites.items():
        if design.day_of(site.opens) < 0:
            yield ("recruitment", "sites", name, "opens"), "a site opens before start_date", ""
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


def _outcomes(design: Design) -> Iterator[Problem]:
    earlier: list[str] = []
    for name, outcome in design.outcomes.items():
        path: Path = ("outcomes", name)
        if outcome.low >= outcome.high:
            yield (*path, "low"), "low must be below high", ""
        elif (outcome.high - outcome.low) * outcome.items > 30_000:
            yield (*path, "items"), "the instrument's grid has more than 30000 steps", ""
        if not math.isclose(outcome.low * outcome.items, round(outcome.low * outcome.items), abs_tol=1e-9):
            yield (*path, "low"), "low must lie on the grid of 1/items", ""
        yield from complete((*path, "course"), outcome.course, design.visits, "visit")
        if outcome.recovery:
            yield from complete((*path, "recovery", "prob"), outcome.recovery.prob, design.visits, "visit")
        yield from unknown((*path, "covariates"), outcome.covariates, design.covariates, "covariate")
        yield from unknown((*path, "correlation"), outcome.correlation, earlier, "outcome declared earlier")
        earlier.append(name)
    if not _positive_definite(design):
        yield (
            ("outcomes",),
            "the correlations between outcomes contradict each other",
            "They must form a correlation matrix.",
        )


def correlation_matrix(design: Design) -> list[list[float]]:
    """Correlations between outcomes, in order of declaration; 0 where not given."""
    names = list(design.outcomes)
    matrix = [[float(i == j) for j in range(len(names))] for i in range(len(names))]
    for i, name in enumerate(names):
        for other, value in design.outcomes[name].correlation.items():
            if other in names:
                j = names.index(other)
                matrix[i][j] = matrix[j][i] = value
    return matrix


def cholesky(matrix: list[list[float]]) -> list[list[float]] | None:
    """Lower Cholesky factor by the textbook recursion, or None if the matrix is not positive definite."""
    n = len(matrix)
    factor = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(factor[i][k] * factor[j][k] for k in range(j))
            if i == j and rest <= 1e-12:
                return None
            factor[i][j] = math.sqrt(rest) if i == j else rest / factor[j][j]
    return factor


def _positive_definite(design: Design) -> bool:
    return cholesky(correlation_matrix(design)) is not None


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
        yield from unknown((*path, "effects"), arm.effects, design.outcomes, "outcome")
        for outcome, effect in arm.effects.items():
            yield from complete((*path, "effects", outcome, "by_visit"), effect.by_visit, design.visits, "visit")
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


def _allocation(design: Design) -> Iterator[Problem]:
    allocation = design.allocation
    yield from complete(("allocation", "ratio"), allocation.ratio, design.arms, "arm")
    total = sum(allocation.ratio.values())
    if allocation.kind == "blocks":
        if not allocation.block_sizes:
            yield (
                ("allocation", "block_sizes"),
                "permuted blocks need block_sizes",
                f"For example [{total}, {2 * total}].",
            )
        for index, size in enumerate(allocation.block_sizes):
            if size % total:
                yield (
                    ("allocation", "block_sizes", index),
                    f"block size {size} does not fit the ratio",
                    (f"Use multiples of {total}, the sum of the ratio's parts."),
                )
    elif allocation.block_sizes or allocation.strata:
        yield ("allocation", "kind"), "simple allocation has neither block_sizes nor strata", "Use kind: blocks."
    yield from _strata(design)


def _strata(design: Design) -> Iterator[Problem]:
    binary = [name for name, covariate in design.covariates.items() if covariate.kind == "binary"]
    for index, factor in enumerate(design.allocation.strata):
        path: Path = ("allocation", "strata", index)
        if isinstance(factor, str):
            yield from named(path, factor, ["site", *binary], "site or yes/no covariate")
        else:
            yield from named((*path, "outcome"), factor.outcome, design.outcomes, "outcome")
    levels = [len(design.recruitment.sites) if factor == "site" else 2 for factor in design.allocation.strata]
    if math.prod(levels) > MOST_STRATA:
        yield ("allocation", "strata"), f"{math.prod(levels)} strata are more than {MOST_STRATA}", "Use fewer factors."
    if len(set(map(repr, design.allocation.strata))) < len(design.allocation.strata):
        yield ("allocation", "strata"), "a stratification factor is named twice", ""


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
MOST_STRATA = 32_000  # stratum codes have 16 bits


def _size(design: Design) -> Iterator[Problem]:
    factor = max([1.0, *(change.factor for change in design.recruitment.rate_changes)])
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
