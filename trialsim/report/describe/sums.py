"""What a design implies: sums over the participants of each simulated replicate, and ratios of such sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.block import Block, batches, simulate_block
from trialsim.design.outcomes import Outcome
from trialsim.records import funnel_counts
from trialsim.report.layout import with_error
from trialsim.world import formulas
from trialsim.world.formulas import Floats
from trialsim.world.histories import NONE, Status
from trialsim.world.outcomes import is_responder
from trialsim.world.world import World

Sums = dict[str, Floats]
"""Sums by name; the last axis is the replicate, axes before it are arms and visits."""


@dataclass(frozen=True)
class Implied:
    """A number that the design implies and its Monte Carlo standard error (NaN: unknown, or no number)."""

    value: float
    mcse: float

    def text(self, digits: int, factor: float = 1.0) -> str:
        """'26.9 ± 0.2', both times a factor (100 for percentages)."""
        return with_error(self.value * factor, self.mcse * factor, digits)


def ratio(total: Floats, count: Floats) -> Implied:
    """sum(total) / sum(count) over replicates, with the standard error of a ratio of means.

    error^2 = sum (total - value x count)^2 / (R (R - 1) mean(count)^2), R the number of replicates.
    """
    n = total.shape[-1]
    if not count.sum():
        return Implied(np.nan, np.nan)
    value = float(total.sum() / count.sum())
    if n < 2:
        return Implied(value, np.nan)
    residual = float(np.square(total - value * count).sum())
    return Implied(value, float(np.sqrt(residual / (n * (n - 1))) / count.mean()))


def mean(values: Floats) -> Implied:
    """Mean over replicates."""
    return ratio(values, np.ones_like(values))


def spread(total: Floats, squares: Floats, count: Floats) -> Implied:
    """Standard deviation over participants from sums and sums of squares; error by the delta method."""
    centre = ratio(total, count).value
    variance = ratio(squares - 2 * centre * total + centre**2 * count, count)
    if not variance.value > 1e-12:
        return Implied(np.nan if np.isnan(variance.value) else 0.0, 0.0)
    root = float(np.sqrt(variance.value))
    return Implied(root, variance.mcse / (2 * root))


def spread_between(values: Floats) -> Implied:
    """Standard deviation between replicates, with the error it has for normal values."""
    if len(values) < 2:
        return Implied(np.nan, np.nan)
    root = float(values.std(ddof=1))
    return Implied(root, root / float(np.sqrt(2 * (len(values) - 1))))


# --- sums of simulated replicates ---------------------------------------------------------------------------


def simulated_sums(world: World, n_replicates: int, seed: int) -> Sums:
    """All sums of replicates 0 ... n_replicates - 1."""
    parts = [_sums(block) for block in _blocks(world, n_replicates, seed)]
    names = list(dict.fromkeys(name for part in parts for name in part))
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in names}


def _blocks(world: World, n_replicates: int, seed: int) -> Iterator[Block]:
    for first, n in batches(world.design, 0, n_replicates):
        yield simulate_block(world, seed=seed, first=first, n_replicates=n)


def _sums(block: Block) -> Sums:
    return {**_enrolment(block), **_traits(block), **_treatment(block), **_answered(block), **_truths(block)}


def _enrolment(block: Block) -> Sums:
    """Participants, closing day and the funnel's counts ('funnel/step/reason')."""
    counts = {
        "n": block.histories.n_participants,
        "closing_day": block.histories.closing_day,
        **{f"funnel/{step}/{reason}": people for step, reason, people in funnel_counts(block)},
    }
    return {name: values.astype(float) for name, values in counts.items()}


def _traits(block: Block) -> Sums:
    """Baseline values and covariates of participants, and their squares."""
    cohort, sums = block.plan.cohort, Sums()
    traits = {f"covariate/{name}": values for name, values in cohort.covariates.items()}
    for k, (name, outcome) in enumerate(block.world.design.outcomes.items()):
        if not outcome.has_baseline:
            continue
        traits[f"baseline/{name}"] = formulas.from_grid(cohort.baseline[k], outcome.low, outcome.items)
    for name, values in traits.items():
        sums[name] = values.sum(axis=0, where=cohort.valid)
        sums[f"{name}/squares"] = np.square(values).sum(axis=0, where=cohort.valid)
    return sums


def _treatment(block: Block) -> Sums:
    """By arm: members, those who start and complete, sessions, days of waiting of those given a coach."""
    h = block.histories
    offered = h.offered_day != NONE
    values = {
        "members": np.ones_like(h.n_sessions),
        "starters": h.n_sessions > 0,
        "completers": h.status == Status.COMPLETED,
        "sessions": h.n_sessions,
        "offered": offered,
        "waited": np.where(offered, h.offered_day - h.asked_day, 0),
    }
    return {name: _by_arm(block, value) for name, value in values.items()}


def _by_arm(block: Block, values: NDArray[Any]) -> Floats:
    """Sums over the members of each arm, shape (A, R)."""
    arms = range(len(block.world.arms))
    return np.stack([values.sum(axis=0, where=block.histories.arm == arm, dtype=float) for arm in arms])


def _answered(block: Block) -> Sums:
    """Answers at each visit by arm, shape (V, A, R)."""
    return {"answered": np.stack([_by_arm(block, missing == 0) for missing in block.follow.missing])}


def _truths(block: Block) -> Sums:
    """Sums of potential values, changes, responders and users of all participants under each arm, shape (A, V, R)."""
    sums = Sums()
    for k, (name, outcome) in enumerate(block.world.design.outcomes.items()):
        for what, values in _potential(block, k, outcome).items():
            sums[f"{what}/{name}"] = values
    return sums


def _potential(block: Block, k: int, outcome: Outcome) -> Sums:
    """The sums of one outcome, by its number."""
    cohort, potential = block.plan.cohort, block.outcomes.potential[k]
    baseline = cohort.baseline[k]
    shape = (*potential.shape[:2], block.n_replicates)
    sums = {what: np.empty(shape) for what in ("value", "change", "responders", "users")}
    n = cohort.valid.sum(axis=0)
    for place in np.ndindex(shape[:2]):
        steps = potential[place].astype(np.int32)
        sums["value"][place] = n * outcome.low + steps.sum(axis=0, where=cohort.valid) / outcome.items
        sums["change"][place] = (steps - baseline).sum(axis=0, where=cohort.valid) / outcome.items
        responds = is_responder(outcome, baseline, potential[place])
        sums["responders"][place] = responds.sum(axis=0, where=cohort.valid)
        sums["users"][place] = (steps > 0).sum(axis=0, where=cohort.valid)
    return sums
