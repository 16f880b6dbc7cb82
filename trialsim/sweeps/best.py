"""Which design points satisfy constraints, which is the best of them, and how sure that is.

How sure: draws of what may be true given the Monte Carlo error, from the distributions that the results leave under
vague priors. A chance with k hits in n replicates is Beta(k + 1/2, n - k + 1/2) (Jeffreys' prior); a mean is Student's
t around its estimate with n - 1 degrees of freedom. They are joined by a normal copula whose correlations are those of
the estimates, from replicate to replicate: between quantities of a design point, and between points of one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, stdtrit

from trialsim.errors import ResultsError, TrialsimError
from trialsim.sweeps.questions import (
    AtPoint,
    Choice,
    Constraint,
    Measured,
    Quantity,
    power_in_words,
    read_choice,
    read_constraint,
    read_quantity,
    refuse_failed,
)
from trialsim.sweeps.reading import Results
from trialsim.sweeps.summary import scaled
from trialsim.world.streams import Stream, generator

Floats = NDArray[np.float64]
Sense = Literal["min", "max"]

DRAWS = 4000
"""Draws of what may be true: a probability of one half is known to 0.008."""
FOLD = 4096
"""Replicates this many apart share a place in the covariance, so that memory does not grow with their number."""
_GRID = np.linspace(-5.0, 5.0, 201)
"""Normal scores at which quantiles are worked out; between them lines are drawn."""
_FRONT: dict[str, Sense] = {"duration_months": "min", "cost": "min"}


@dataclass(frozen=True)
class Judged:
    """A design point: its quantities, and the probabilities that its true values keep the constraints."""

    point: int
    values: dict[str, Any]
    """What the axes set."""
    found: tuple[Measured, ...]
    holds: tuple[float, ...]
    """For each constraint."""
    all_hold: float
    admissible: bool
    """Whether its estimates keep all constraints."""
    on_front: bool
    """Whether no other point is as good in power, duration and cost and better in one of them."""


@dataclass(frozen=True)
class Best:
    """What was asked and found. `chosen` is the best admissible point, None where there is none to choose."""

    choices: tuple[Choice, ...]
    """Which design points were looked at."""
    constraints: tuple[Constraint, ...]
    objective: tuple[Sense, Quantity] | None
    quantities: tuple[Quantity, ...]
    """Of each point in `found`, in this order."""
    front: tuple[tuple[Sense, Quantity], ...]
    powers: dict[str, str]
    """What each power is the power of, in words."""
    points: tuple[Judged, ...]
    without: tuple[int, ...]
    """Design points of which no replicate is finished."""
    chosen: Judged | None
    chance_best: float
    """Probability that the chosen point keeps all constraints and no other that does is better."""
    shared_luck: bool

    @property
    def admissible(self) -> tuple[Judged, ...]:
        """Points whose estimates keep all constraints."""
        return tuple(point for point in self.points if point.admissible)


def best(
    results: Results,
    *,
    where: Sequence[str] = (),
    minimise: str | None = None,
    maximise: str | None = None,
    skip_failed: bool = False,
) -> Best:
    """Design points that satisfy `where` (see `trialsim.sweeps.questions`), and the best by one quantity.

    TrialsimError for words that cannot be read; ResultsError where replicates or fits failed, unless `skip_failed`.
    """
    read = [read_choice(text, results) or read_constraint(text, results) for text in where]
    choices = tuple(one for one in read if isinstance(one, Choice))
    constraints = tuple(one for one in read if isinstance(one, Constraint))
    objective = _objective(results, minimise, maximise)
    asked = [one.quantity for one in constraints] + ([objective[1]] if objective else [])
    front = _front_of(results, asked)
    quantities = tuple(dict.fromkeys([*asked, *(quantity for _, quantity in front)]))
    among = _among(results, choices)
    points = [point for point in among if results.n_replicates(point) - results.n_failed(point)]
    if not skip_failed:
        refuse_failed(results, [point for point in among if results.n_replicates(point)])
    if not points:
        raise ResultsError(f"{results.folder}: no replicate is finished yet.")
    at = [AtPoint(results, point) for point in points]
    found = [tuple(here.measured(quantity, skip_failed=skip_failed) for quantity in quantities) for here in at]
    fronted = on_front(found, [(sense, quantities.index(quantity)) for sense, quantity in front])
    draws = posterior(found, [here.replicate for here in at], [results.seeds[point] for point in points])
    verdict = judge(found, draws, quantities, constraints, objective, preferred=fronted)
    judged = tuple(
        Judged(
            point=point,
            values=results.axis_values[point],
            found=found[place],
            holds=tuple(verdict.holds[:, place].tolist()),
            all_hold=float(verdict.all_hold[place]),
            admissible=bool(verdict.admissible[place]),
            on_front=bool(fronted[place]),
        )
        for place, point in enumerate(points)
    )
    return Best(
        choices=choices,
        constraints=constraints,
        objective=objective,
        quantities=quantities,
        front=front,
        powers={q.name: power_in_words(results, q) for q in quantities if q.kind == "power"},
        points=judged,
        without=tuple(sorted(set(among) - set(points))),
        chosen=None if verdict.chosen is None else judged[verdict.chosen],
        chance_best=verdict.chance_best,
        shared_luck=results.shared_luck,
    )


def _among(results: Results, choices: Sequence[Choice]) -> list[int]:
    """The design points that were chosen: all where nothing was."""
    found = [
        point for point, values in enumerate(results.axis_values) if all(choice.holds(values) for choice in choices)
    ]
    if not found:
        raise TrialsimError(f"no design point has {' and '.join(choice.text for choice in choices)}.")
    return found


def _objective(results: Results, minimise: str | None, maximise: str | None) -> tuple[Sense, Quantity] | None:
    if minimise and maximise:
        raise TrialsimError("one quantity can be best: give --min or --max, not both.")
    if minimise:
        return "min", read_quantity(minimise, results)
    return ("max", read_quantity(maximise, results)) if maximise else None


def _front_of(results: Results, asked: Sequence[Quantity]) -> tuple[tuple[Sense, Quantity], ...]:
    """Power (the one that is asked about, where one is), duration and cost."""
    power = next((quantity for quantity in asked if quantity.kind == "power"), None)
    if power is None and "estimates" in results.tables:
        power = Quantity("power", "")
    front: list[tuple[Sense, Quantity]] = [(sense, Quantity("counted", name)) for name, sense in _FRONT.items()]
    return (("max", power), *front) if power else tuple(front)


# --- what may be true -------------------------------------------------------------------------------------------------


def posterior(
    found: Sequence[Sequence[Measured]],
    replicates: Sequence[NDArray[np.int32]],
    seeds: Sequence[str],
    *,
    n_draws: int = DRAWS,
    seed: int = 1,
) -> NDArray[np.float32]:
    """Draws of the true values of P points' Q quantities, shape (P, Q, `n_draws`); NaN where there is no estimate.

    `replicates` are the numbers of each point's replicates; points of one seed share the luck of a replicate.
    """
    n_points, n_quantities = len(found), len(found[0])
    draws = np.empty((n_points, n_quantities, n_draws), dtype=np.float32)
    for name in dict.fromkeys(seeds):
        mine = [place for place, other in enumerate(seeds) if other == name]
        width = min(FOLD, 1 + max(int(replicates[place].max()) for place in mine))
        luck = np.stack([_folded(one, replicates[place] % width, width) for place in mine for one in found[place]])
        scores = _scores(luck, n_draws, seed, name)
        for place, of_point in zip(mine, scores.reshape(len(mine), n_quantities, n_draws), strict=True):
            for q, one in enumerate(found[place]):
                draws[place, q] = _true_values(one, of_point[q])
    return draws


def _folded(one: Measured, place: NDArray[np.int32], width: int) -> NDArray[np.float32]:
    """Direction of a quantity's error over the replicates' places, of length 1; 0 where it shows none."""
    luck = scaled(one.luck, 1.0) if one.kind != "exact" else None
    if luck is None:
        return np.zeros(width, dtype=np.float32)
    folded = np.bincount(place, weights=luck, minlength=width)
    size = np.sqrt((folded**2).sum())
    return (folded / size if size > 0 else folded).astype(np.float32)


def _scores(luck: NDArray[np.float32], n_draws: int, seed: int, name: str) -> NDArray[np.float32]:
    """Standard normal draws with the correlations of the rows of `luck`; a row of zeros has one for itself alone."""
    draw = generator(seed, Stream.POSTERIOR, 0, (name,)).standard_normal
    root = np.asarray(np.linalg.qr(luck.T, mode="r")).T if len(luck) < luck.shape[1] else luck
    scores = root @ draw((root.shape[1], n_draws), dtype=np.float32)
    alone = ~luck.any(axis=1)
    scores[alone] = draw((int(alone.sum()), n_draws), dtype=np.float32)
    return np.asarray(scores)


def _true_values(one: Measured, scores: NDArray[np.float32]) -> Floats:
    """What may be true of a quantity, from standard normal scores."""
    if one.kind == "exact" or np.isnan(one.value) or (one.kind == "mean" and one.mcse == 0):
        return np.full(len(scores), one.value)
    if one.kind == "mean" and one.n < 2:
        raise ResultsError("a mean of one replicate has no known error: at least two replicates are needed.")
    if one.kind == "chance":
        hits = one.value * one.n
        quantiles = betaincinv(hits + 0.5, one.n - hits + 0.5, ndtr(_GRID))
    else:
        quantiles = one.value + one.mcse * stdtrit(one.n - 1, ndtr(_GRID))
    return np.interp(scores, _GRID, quantiles)


# --- judging ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Verdict:
    """Of P points: the probability that each of C constraints holds (C, P), that all do, and what the estimates say."""

    holds: Floats
    all_hold: Floats
    admissible: NDArray[np.bool_]
    chosen: int | None
    chance_best: float


def judge(
    found: Sequence[Sequence[Measured]],
    draws: NDArray[np.float32],
    quantities: Sequence[Quantity],
    constraints: Sequence[Constraint],
    objective: tuple[Sense, Quantity] | None,
    *,
    preferred: NDArray[np.bool_],
) -> Verdict:
    """Probabilities that constraints hold, and the point that is the best of those whose estimates keep them.

    `draws` have the shape (P, Q, S); P points, Q `quantities`. Of equally good points a `preferred` one is chosen.
    """
    n_points, n_draws = draws.shape[0], draws.shape[2]
    values = np.array([[one.value for one in of_point] for of_point in found])
    true = np.ones((n_points, n_draws), dtype=bool)
    admissible = np.ones(n_points, dtype=bool)
    holds = np.empty((len(constraints), n_points))
    for place, constraint in enumerate(constraints):
        q = quantities.index(constraint.quantity)
        kept = constraint.holds(draws[:, q])
        holds[place] = kept.mean(axis=1)
        true &= kept
        admissible &= constraint.holds(values[:, q])
    chosen, chance = None, float("nan")
    if objective is not None:
        sign, q = (1.0 if objective[0] == "min" else -1.0), quantities.index(objective[1])
        worth = np.where(admissible & ~np.isnan(values[:, q]), sign * values[:, q], np.inf)
        if np.isfinite(worth).any():
            chosen = int(np.lexsort((-true.mean(axis=1), ~preferred, worth))[0])
            may_be = np.where(true & ~np.isnan(draws[:, q]), sign * draws[:, q], np.inf)
            chance = float((true[chosen] & (may_be[chosen] <= may_be.min(axis=0))).mean())
    return Verdict(holds, true.mean(axis=1), admissible, chosen, chance)


def on_front(found: Sequence[Sequence[Measured]], aims: Sequence[tuple[Sense, int]]) -> NDArray[np.bool_]:
    """Points that no other beats, by their estimates: (P,). `aims` are senses and places of quantities.

    A point that has no value in one of them is not on the front.
    """
    signs = np.array([1.0 if sense == "min" else -1.0 for sense, _ in aims])
    worth = signs * np.array([[of_point[q].value for _, q in aims] for of_point in found]).reshape(len(found), -1)
    known = ~np.isnan(worth).any(axis=1)
    as_good = [(worth[known] <= mine).all(axis=1) & (worth[known] < mine).any(axis=1) for mine in worth]
    return known & ~np.array([beaten.any() for beaten in as_good], dtype=bool)
