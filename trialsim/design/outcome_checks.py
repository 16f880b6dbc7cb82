"""Checks of outcomes, and of what arms do to them, against the rest of a design."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trialsim.design.naming import Path, Problem, complete, named, unknown

if TYPE_CHECKING:
    from trialsim.design.parts import Design


def outcomes(design: Design) -> Iterator[Problem]:
    """Problems of the outcomes themselves."""
    earlier: list[str] = []
    for name, outcome in design.outcomes.items():
        path: Path = ("outcomes", name)
        yield from _by_visit(design, path, outcome)
        yield from _OF_KIND.get(outcome.kind, _nothing)(design, path, outcome)
        yield from unknown((*path, "covariates"), outcome.covariates, design.covariates, "covariate")
        yield from unknown((*path, "correlation"), outcome.correlation, earlier, "outcome declared earlier")
        if not outcome.has_baseline and (outcome.entry_sd or outcome.error_sd or outcome.recovery):
            yield path, f"an outcome of kind {outcome.kind} has no entry_sd, error_sd or recovery", ""
        if outcome.kind in ("count", "dose") and outcome.error_sd:
            yield (*path, "error_sd"), f"an outcome of kind {outcome.kind} has no error_sd", "Use change_sd."
        earlier.append(name)
    if not _positive_definite(design):
        hint = "They must form a correlation matrix."
        yield ("outcomes",), "the correlations between outcomes contradict each other", hint


def _by_visit(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    if outcome.course or outcome.kind == "score":
        yield from complete((*path, "course"), outcome.course, design.visits, "visit")
    if outcome.recovery:
        yield from complete((*path, "recovery", "prob"), outcome.recovery.prob, design.visits, "visit")


def _nothing(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    yield from ()


def _score(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    if outcome.low >= outcome.high:
        yield (*path, "low"), "low must be below high", ""
    elif (outcome.high - outcome.low) * outcome.items > 30_000:
        yield (*path, "items"), "the instrument's grid has more than 30000 steps", ""
    if not math.isclose(outcome.low * outcome.items, round(outcome.low * outcome.items), abs_tol=1e-9):
        yield (*path, "low"), "low must lie on the grid of 1/items", ""


def _ordinal(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    yield from named((*path, "responder_from"), outcome.responder_from, outcome.levels, "level")
    total = sum(outcome.levels.values())
    if abs(total - 1) > 1e-6:
        yield (*path, "levels"), f"the levels' shares add up to {total:g}, not 1", ""


def _latent(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    if outcome.sd + outcome.entry_sd + outcome.error_sd == 0:
        yield (*path, "sd"), "sd, entry_sd and error_sd cannot all be 0 here", ""


def _ordered(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    yield from _ordinal(design, path, outcome)
    yield from _latent(design, path, outcome)


def _event(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    yield from complete((*path, "hazard"), outcome.hazard, design.visits, "visit")


def _dose(design: Design, path: Path, outcome: Any) -> Iterator[Problem]:
    binary = [name for name, covariate in design.covariates.items() if covariate.kind == "binary"]
    yield from named((*path, "users"), outcome.users, binary, "yes/no covariate")
    for key in ("stop_hazard", "resume_hazard"):
        if getattr(outcome, key):
            yield from complete((*path, key), getattr(outcome, key), design.visits, "visit")


_OF_KIND = {"score": _score, "binary": _latent, "ordinal": _ordered, "event": _event, "dose": _dose}


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


def effects(design: Design) -> Iterator[Problem]:
    """Problems of what arms do to outcomes."""
    doses = [name for name, outcome in design.outcomes.items() if outcome.kind == "dose"]
    for name, arm in design.arms.items():
        path: Path = ("arms", name)
        yield from _effects(design, (*path, "effects"), arm.effects)
        yield from unknown((*path, "tapers"), arm.tapers, doses, "outcome of kind dose")
        if arm.tapers and arm.delivery.kind == "none":
            yield (*path, "tapers"), "a taper needs a delivery with sessions", ""
        if arm.contamination is not None:
            others = [other for other in design.arms if other != name]
            yield from named((*path, "contamination", "arm"), arm.contamination.arm, others, "other arm")
        if arm.co_intervention is not None:
            yield from _effects(design, (*path, "co_intervention", "effects"), arm.co_intervention.effects)


def _effects(design: Design, path: Path, given: dict[str, Any]) -> Iterator[Problem]:
    yield from unknown(path, given, design.outcomes, "outcome")
    for outcome, effect in given.items():
        yield from complete((*path, outcome, "by_visit"), effect.by_visit, design.visits, "visit")
