"""Assurance: the power to expect when the effect itself is uncertain.

E over the prior of power(effect). O'Hagan, Stevens and Campbell (2005), doi:10.1002/pst.175. Either every replicate
is given an effect of its own (`prior_draws`, `assurance`), which is unbiased with the binomial error of one replicate
per effect; or power is known at a few effects and weighted (`expected_power`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from trialsim.experiments.performance import proportion_with_error

Floats = NDArray[np.float64]

GOLDEN = (math.sqrt(5) - 1) / 2


class Assurance(NamedTuple):
    """Expected power, its Monte Carlo standard error, replicates counted, and replicates without a result."""

    value: float
    mcse: float
    n_replicates: int
    n_failed: int


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Distribution of the effect. Normal: mean, sd. Uniform: low, high. Truncated normal: all four."""

    kind: Literal["normal", "uniform", "truncated_normal"]
    mean: float = math.nan
    sd: float = math.nan
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if self.kind != "uniform" and not (math.isfinite(self.mean) and 0 < self.sd < math.inf):
            raise ValueError(f"a {self.kind} prior needs a mean and an sd above 0")
        if self.kind == "uniform" and not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError("a uniform prior needs low and high")
        if not self.low < self.high:
            raise ValueError("low must be below high")

    def quantile(self, probs: ArrayLike) -> Floats:
        """Inverse distribution function of probabilities between 0 and 1, same shape."""
        u = np.asarray(probs, dtype=float)
        if self.kind == "uniform":
            return np.asarray(self.low + u * (self.high - self.low))
        if self.kind == "normal":
            return np.asarray(self.mean + self.sd * special.ndtri(u))
        return self._truncated(u)

    def _truncated(self, u: Floats) -> Floats:
        """In the lower tail, where probabilities keep their digits."""
        low, high = (self.low - self.mean) / self.sd, (self.high - self.mean) / self.sd
        mirror = low > 0
        if mirror:
            low, high, u = -high, -low, 1 - u
        below, above = special.ndtr(low), special.ndtr(high)
        z = special.ndtri(below + u * (above - below))
        return np.clip(self.mean + self.sd * (-z if mirror else z), self.low, self.high)


def even_uniforms(n: int, *, first: int = 0, shift: float = 0.5) -> Floats:
    """(n,) numbers spread over (0, 1) more evenly than random ones: shift + k x golden ratio, modulo 1.

    Number k is the same however many are asked for, so a run can be continued. `shift`, a uniform random number, makes
    their mean unbiased. Kronecker's sequence; Kuipers and Niederreiter (1974), Uniform Distribution of Sequences.
    """
    tiny = 2.0**-53
    return np.clip((shift + np.arange(first, first + n) * GOLDEN) % 1.0, tiny, 1 - tiny)


def prior_draws(prior: Prior, n: int, *, first: int = 0, shift: float = 0.5) -> Floats:
    """Effects (n,) of replicates first ... first + n - 1, spread evenly over the prior."""
    return prior.quantile(even_uniforms(n, first=first, shift=shift))


def assurance(simulate_many: Callable[[Floats], Floats], draws: Floats) -> Assurance:
    """Share of successes when replicate k has the effect draws[k].

    `simulate_many` takes all effects (B,) and returns 1, 0 or, where a replicate failed, NaN (B,). The error is that
    of independent draws; with even ones it is a little too large.
    """
    hits = np.asarray(simulate_many(draws), dtype=float)
    failed = np.isnan(hits)
    if hits.shape != draws.shape or not np.isin(hits[~failed], (0.0, 1.0)).all():
        raise ValueError("simulate_many must return 0, 1 or NaN for every draw")
    value, mcse, n = proportion_with_error(hits)
    return Assurance(value, mcse, n, int(failed.sum()))


def expected_power(powers: ArrayLike, mcses: ArrayLike, weights: ArrayLike) -> tuple[float, float]:
    """Mean of independent powers (K,) with prior `weights` (K,), which are made to sum to 1, and its standard error."""
    w = np.asarray(weights, dtype=float)
    if w.min() < 0 or not w.sum() > 0:
        raise ValueError("weights must not be negative, nor all 0")
    w = w / w.sum()
    value = float(w @ np.asarray(powers, dtype=float))
    return value, float(np.sqrt(np.square(w) @ np.square(np.asarray(mcses, dtype=float))))
