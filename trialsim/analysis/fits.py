"""What a statistical model is given and what it gives back: one replicate at a time.

A model is a function of `Data` (or of `TimesToEvent`) and a few options. Models that estimate a mean for every arm
and visit return `Means`; whatever is asked about arms follows from them in `inference.py`. Models that only compare
arms (chi-squared, log-rank, Cox ...) return `Comparison`s.

A model that cannot be fitted says why: `FitError` where nothing can be said, a `reason` where only some visits fail.
It never returns a number that is not an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Texts = NDArray[np.object_]
Link = Literal["identity", "log", "logit"]
Pairs = tuple[tuple[int, int], ...]


class FitError(Exception):
    """A model that cannot be fitted to these data. The message is the reason, such as `no events in arm 1`.

    Arms and visits are named by number (`arm 1`, `visit 0`); the analysis plan puts names in their place.
    """


@dataclass(frozen=True, eq=False)
class Data:
    """One replicate: N participants, V visits, C covariates. Every participant has an arm and all covariates."""

    y: Floats  # (N, V), NaN where not observed
    arm: Ints  # (N,), 0 ... n_arms - 1
    covariates: Floats  # (N, C)
    cluster: Ints  # (N,), -1 for a participant who stands alone, k >= 0 for members of shared cluster k
    n_arms: int
    weights: Floats | None = None  # (N, V), positive where observed; None = all 1

    @property
    def observed(self) -> Bools:
        """(N, V)."""
        return ~np.isnan(self.y)


@dataclass(frozen=True, eq=False)
class TimesToEvent:
    """One replicate: N participants with a time [days] and whether it ends with the event (or with censoring)."""

    time: Floats  # (N,), above 0
    event: Bools  # (N,)
    arm: Ints  # (N,)
    covariates: Floats  # (N, C)
    n_arms: int


@dataclass(frozen=True, eq=False)
class Means:
    """Adjusted means of A arms at V visits on the scale of `link`, with their covariance.

    Rows and columns of `cov` are arm by arm (place a * V + v); it is 0 between visits that are analysed apart. `df` of
    a difference between arms a and b at visit v stands at [a, b, v], that of a mean at [a, a, v]; infinite where the
    normal distribution is used. A visit that could not be fitted has a `reason`, and NaN.
    """

    link: Link
    mean: Floats  # (A, V)
    cov: Floats  # (A * V, A * V)
    df: Floats  # (A, A, V)
    global_df: Floats  # (V,), denominator of the F test that all arms are equal; infinite = chi-squared
    n_cell: Ints  # (A, V), observations used
    n_used: int  # participants with at least one observation used
    reason: tuple[str, ...]  # V of them, "" where fitted


@dataclass(frozen=True, eq=False)
class Comparison:
    """One measure for P pairs of arms at V visits, and perhaps a test of all arms.

    Ratios (of odds, hazards, rates, times) are logarithms here. `p_value` is two-sided, of the null value 0, and is
    the test's own where it is not estimate / std_error.
    """

    measure: str
    pairs: Pairs  # P of them; (a, b) compares a with b
    estimate: Floats  # (P, V), as all below
    std_error: Floats
    df: Floats
    p_value: Floats
    ci_low: Floats | None = None  # None: estimate -+ t quantile x std_error
    ci_high: Floats | None = None
    n_used: Ints | None = None  # participants of the two arms
    reason: Texts | None = None  # "" where fitted; None: all fitted
    global_statistic: Floats | None = None  # (V,)
    global_p: Floats | None = None  # (V,)


def no_reasons(*shape: int) -> Texts:
    """An array of empty reasons."""
    return np.full(shape, "", dtype=object)


def infinite_df(n_arms: int, n_visits: int) -> dict[str, Any]:
    """`df` and `global_df` of `Means` where the normal distribution is used."""
    return {"df": np.full((n_arms, n_arms, n_visits), np.inf), "global_df": np.full(n_visits, np.inf)}
