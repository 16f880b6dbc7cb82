"""From a latent level to a recorded value in grid steps, by kind of outcome."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from trialsim.design.outcomes import Binary, Dose, Events, Ordinal, Score
from trialsim.world import formulas
from trialsim.world.formulas import YEAR_DAYS, Floats

Steps = NDArray[np.int16]

AtOnce = Score | Binary | Ordinal | Events
"""Outcomes whose value at a visit follows from the level then, whatever was before."""


def in_steps(outcome: AtOnce, level: Floats, *, luck: Floats, mean: float = 1.0) -> Steps:
    """Values of a latent level, (N, R).

    luck: of a count, the standard normals at whose probability the Poisson quantile is taken; mean: its mean at a level
    of 0 (`baseline_mean`, `visit_mean`).
    """
    if isinstance(outcome, Score):
        return formulas.to_grid(level, outcome.low, outcome.high, outcome.items)
    if isinstance(outcome, Events):
        with np.errstate(over="ignore"):
            return formulas.poisson_of_normal(luck, mean * np.exp(level), outcome.most)
    return formulas.threshold_number(level, limits(outcome))


def limits(outcome: Binary | Ordinal) -> list[float]:
    """Latent levels above which each higher value begins, so that baseline has the shares that are given."""
    shares = [1 - outcome.prob] if isinstance(outcome, Binary) else list(accumulate(outcome.levels.values()))[:-1]
    sd = (outcome.sd**2 + outcome.entry_sd**2 + outcome.error_sd**2) ** 0.5
    return [sd * formulas.probit(share) for share in shares]


def baseline_mean(outcome: AtOnce) -> float:
    """Mean of a count in the year before baseline at a level of 0, so that the mean over persons is the rate given."""
    if not isinstance(outcome, Events):
        return 1.0
    return float(outcome.rate_per_year * np.exp(-(outcome.sd**2 + outcome.entry_sd**2) / 2))


def visit_mean(outcome: AtOnce, days: int) -> float:
    """The same of a count over so many days since the visit before: a course of 0 then leaves the mean rate alone."""
    if not isinstance(outcome, Events):
        return 1.0
    rate = outcome.rate_per_year * days / YEAR_DAYS
    return float(rate * np.exp(-(outcome.sd**2 + outcome.change_sd**2) / 2))


def dose(outcome: Dose, level: Floats) -> Steps:
    """Dose of who uses the medicine: a whole number, at least 1."""
    with np.errstate(over="ignore"):
        return np.clip(np.rint(outcome.median * np.exp(level)), 1, outcome.most).astype(np.int16)
