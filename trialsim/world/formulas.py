"""Each formula once, on arrays. Continuous times become whole days here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

MONTH_DAYS = 30.4375
"""Days in a mean month (365.25 / 12)."""

YEAR_DAYS = 365.25
"""Days in a mean year."""

NEVER = 32_767
"""A day that never comes: above every study day, and the largest that 16 bits hold (days are sorted as such)."""

LARGEST_EXPONENTIAL = 53 * math.log(2)
"""A uniform less than 1 is at least 2^-53 less."""

LONG = 1_000_000
"""A length or offset that outlasts every trial [days]."""


def probit(prob: float) -> float:
    """Inverse of the standard normal distribution function; -inf at 0, +inf at 1."""
    return float(special.ndtri(prob))


def delay_days(days: int, mean_extra: float, uniform: Floats | None) -> Ints | int:
    """Delay in whole days: days + floor(-mean_extra log(1 - u)), an exponential extra rounded down [day]."""
    if uniform is None:
        return days
    extra = np.subtract(1.0, uniform)
    np.log(extra, out=extra)
    extra *= -mean_extra
    if mean_extra * LARGEST_EXPONENTIAL > NEVER:
        np.minimum(extra, NEVER, out=extra)
    whole = extra.astype(np.int32)
    whole += days
    return whole


def exponential(uniform: Floats) -> Floats:
    """Standard exponential by inverse CDF: -log(1 - u). 1 - u is exact, for u is a multiple of 2^-53."""
    out = np.subtract(1.0, uniform)
    np.log(out, out=out)
    return np.negative(out, out=out)


def delay_probabilities(days: int, mean_extra: float, size: int) -> Floats:
    """P(delay = 0), ..., P(delay = size - 1) of `delay_days`: a floored exponential is geometric, shifted by `days`."""
    probabilities = np.zeros(size)
    if days >= size:
        return probabilities
    if mean_extra == 0:
        probabilities[days] = 1.0
        return probabilities
    k = np.arange(size - days)
    probabilities[days:] = np.exp(-k / mean_extra) * -np.expm1(-1 / mean_extra)
    return probabilities


GRID = np.linspace(-9, 9, 2**14 + 1)
"""Standard normals at which quantile functions are tabulated; none is drawn beyond."""


def gamma_multiplier(normal: Floats, cv: float) -> Floats:
    """Gamma variate of mean 1 and coefficient of variation cv (shape 1/cv^2), by its quantile function.

    With Poisson arrivals it gives negative binomial counts: Anisimov and Fedorov 2007, doi:10.1002/sim.2956.
    """
    return np.exp(np.interp(normal, GRID, _log_gamma_quantiles(cv)))


@lru_cache(maxsize=32)
def _log_gamma_quantiles(cv: float) -> Floats:
    """Logarithms of gamma quantiles on the grid: nearly straight lines in between (the inverse itself is slow)."""
    shape, lower = cv**-2, GRID < 0
    quantiles = np.empty_like(GRID)  # each tail by its own probability, lest the upper one lose its digits
    quantiles[lower] = special.gammaincinv(shape, special.ndtr(GRID[lower]))
    quantiles[~lower] = special.gammainccinv(shape, special.ndtr(-GRID[~lower]))
    return np.log(np.maximum(quantiles / shape, np.finfo(float).tiny))


def truncated_normal(uniform: Floats, mean: float, sd: float, low: float | None, high: float | None) -> Floats:
    """Normal within [low, high] by inverse CDF: mean + sd Phi^-1(P(low) + u (P(high) - P(low)))."""
    if sd == 0:
        return np.full_like(uniform, mean)
    bottom = 0.0 if low is None else float(special.ndtr((low - mean) / sd))
    top = 1.0 if high is None else float(special.ndtr((high - mean) / sd))
    double = np.finfo(float)
    inside = np.clip(bottom + uniform * (top - bottom), double.tiny, 1 - double.epsneg)
    value = mean + sd * special.ndtri(inside)
    return np.clip(value, low, high) if low is not None or high is not None else value


def truncated_mean(mean: float, sd: float, low: float | None, high: float | None) -> float:
    """Mean of the truncated normal: mean + sd (phi(a) - phi(b)) / (Phi(b) - Phi(a))."""
    if sd == 0:
        return mean
    a = -np.inf if low is None else (low - mean) / sd
    b = np.inf if high is None else (high - mean) / sd
    density = np.exp(-np.square([a, b]) / 2) / np.sqrt(2 * np.pi)
    return float(mean + sd * (density[0] - density[1]) / (special.ndtr(b) - special.ndtr(a)))


def poisson_inverse(uniform: Floats, mean: ArrayLike) -> Ints:
    """Smallest k with P(Poisson(mean) <= k) > u, elementwise; shape of the broadcast arguments."""
    if isinstance(mean, float) and 0 < mean <= 500:
        return _poisson_of_one_mean(uniform, mean)
    u, m = np.broadcast_arrays(uniform, np.asarray(mean, dtype=float))
    z = special.ndtri(np.clip(u, 1e-300, 1 - 2**-53))
    k = np.maximum(np.floor(m + np.sqrt(m) * z + (z * z - 1) / 6), 0)  # near enough: Cornish and Fisher
    for step in (1, -1):  # up to the first that exceeds u, then down as long as the one before exceeds it too
        at = np.nonzero(_is_off(k, u, m, step))
        while len(at[0]):
            k[at] += step
            at = tuple(index[_is_off(k[at], u[at], m[at], step)] for index in at)
    return k.astype(np.int32)


def _is_off(k: Floats, u: Floats, m: Floats, step: int) -> Bools:
    if step > 0:
        return np.asarray(special.pdtr(k, m) <= u)
    return np.asarray((k > 0) & (special.pdtr(k - 1, m) > u))


def _poisson_of_one_mean(uniform: Floats, mean: float) -> Ints:
    """The same where all have one mean: look the uniforms up in its distribution function, many times faster."""
    limits = special.pdtr(np.arange(int(mean + 12 * mean**0.5 + 30)), mean)
    if mean > 30:
        return np.searchsorted(limits, uniform, side="right").astype(np.int32)
    k = np.zeros(uniform.shape, dtype=np.int16)  # few limits are counted faster than searched
    for limit in limits[limits <= uniform.max(initial=0.0)]:
        k += uniform >= limit
    return k.astype(np.int32)


def binomial_inverse(uniform: Floats, n: Ints, prob: Floats | float) -> Ints:
    """Smallest k with P(Binomial(n, prob) <= k) >= u, elementwise; 0 where n or prob is 0, n where prob is 1."""
    prob = np.broadcast_to(np.asarray(prob, dtype=float), n.shape)
    size, inner = np.maximum(n, 1).astype(float), np.clip(prob, 1e-300, 1 - 1e-15)
    inside = np.clip(uniform, 1e-15, 1 - 1e-15)
    k = np.ceil(special.bdtrik(inside, size, inner))
    k = np.where(inside <= np.exp(size * np.log1p(-inner)), 0.0, k)
    k = np.where(prob <= 0, 0.0, np.where(prob >= 1, size, k))
    return np.where(n == 0, 0, np.clip(k, 0, size)).astype(np.int32)


def binomial_of_few(uniform: Floats, n: NDArray[np.int8], prob: float, most: int) -> NDArray[np.int8]:
    """Smallest k with P(Binomial(n, prob) <= k) > u, elementwise, for n of at most `most`: looked up in tables."""
    # All distribution functions in one ascending list: that of n lies between n and n + 1 and has n entries below 1.
    limits = np.concatenate([k + special.bdtr(np.arange(k), k, prob) for k in range(1, most + 1)])
    size = n.astype(np.int32)
    below = np.searchsorted(limits, size + np.minimum(uniform, 1 - 1e-12), side="right")
    return np.asarray(below - size * (size - 1) // 2, dtype=np.int8)


def geometric_failures(uniform: Floats, prob: float, most: int) -> Ints:
    """Failures in a row, each with chance prob, before the first success, at most `most`.

    Inverse CDF: at least j failures where u >= 1 - prob^j. Counting limits is many times faster than logarithms.
    """
    failures = np.zeros(uniform.shape, dtype=np.int32)
    for j in range(1, most + 1):
        failures += uniform >= 1 - prob**j
    return failures


def geometric_rest(uniform: Floats, prob: float, failures: Ints) -> Floats:
    """Where a uniform lies among those that give the same number of failures in `geometric_failures`: uniform again.

    Means nothing where failures were cut at the most that count.
    """
    limits = 1 - prob ** np.arange(failures.max(initial=0) + 2)
    width = np.maximum(np.diff(limits), np.finfo(float).tiny)  # none where all fail
    return np.minimum((uniform - limits.take(failures)) / width.take(failures), 1 - 2**-53)


def correlated(first: Floats, second: Floats, correlation: float) -> Floats:
    """A standard normal with the given correlation with `first`: r z1 + sqrt(1 - r^2) z2."""
    if correlation == 0:
        return second
    mixed = np.sqrt(1 - correlation**2) * second
    mixed += correlation * first
    return np.asarray(mixed)


def conditional_prob(prob: float, person: Floats, correlation: float) -> Floats | float:
    """P(latent <= Phi^-1(prob) | person part) for a latent of correlation r with -person.

    Phi((Phi^-1(prob) + r person) / sqrt(1 - r^2)): averaging over a standard normal person gives prob again.
    """
    if correlation == 0 or prob in (0.0, 1.0):
        return prob
    return np.asarray(special.ndtr((probit(prob) + correlation * person) / np.sqrt(1 - correlation**2)))


def patience_days(margin: Floats, wait_effect: float, longest: int) -> Ints:
    """Longest wait that still leads to a start [day]; -1 where even no wait would not.

    margin: inclination to start above its threshold when there is no wait [probit units]; it falls by wait_effect
    per week, so the last day on which it is not negative is floor(7 margin / wait_effect).
    """
    days = np.full(margin.shape, float(longest))
    if wait_effect > 0:
        days = np.minimum(7.0 * margin / wait_effect, longest)
    return np.where(margin < 0, -1, np.floor(days)).astype(np.int32)


def event_days(uniform: Floats, prob: float, horizon: int) -> Ints:
    """Day (1, 2, ...) of an event with constant hazard and chance prob by the horizon [day]; LONG where later.

    1 + floor(T) with T exponential, P(T < horizon) = prob.
    """
    if prob == 0:
        return np.full(uniform.shape, LONG, dtype=np.int32)
    days = 1.0 + np.floor(np.log1p(-uniform) / np.log1p(-prob) * horizon)
    return np.where(days > horizon, LONG, days).astype(np.int32)


def exponential_of_normal(normal: Floats) -> Floats:
    """Standard exponential -log(Phi(-z)) of a standard normal z: the larger z, the larger."""
    return np.asarray(-special.log_ndtr(-normal))


def hazard_days(left: Floats, per_day: Floats, starts: int, ends: int) -> Ints:
    """Day on which a constant hazard from day `starts` on has used up what is left of a standard exponential [day].

    starts + 1 + floor(left / per_day), so that it comes by day d exactly if the time is less than d; LONG where the
    hazard ends before, on day `ends`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        days = left / per_day
    return np.where(days < ends - starts, starts + 1 + np.floor(np.minimum(days, LONG)), LONG).astype(np.int32)


def hazard_sums(per_month: Sequence[float], days: Sequence[int]) -> tuple[Floats, Floats]:
    """Days 0, d1, d2, ... and the cumulative hazard at each, of hazards [1/month] constant from each to the next."""
    times = np.array([0, *days], dtype=float)
    return times, np.append(0.0, np.cumsum(np.array(per_month) * np.diff(times) / MONTH_DAYS))


def cumulative_days(used: Floats, times: Floats, sums: Floats) -> Ints:
    """Day 1 + floor(T) with T the time at which the cumulative hazard is `used` [day]; LONG where it ends before."""
    days = 1 + np.floor(np.interp(used, sums, times))
    return np.where(used < sums[-1], days, LONG).astype(np.int32)


def poisson_of_normal(normal: Floats, mean: Floats, most: int) -> NDArray[np.int16]:
    """Quantile of a Poisson distribution at Phi(z), elementwise, at most `most`; z within (-7.5, 7.5)."""
    enough = 2.0 * most + 100  # a mean from which on the quantile is above `most`, whatever z is
    uniform = np.minimum(special.ndtr(normal), 1 - 2**-53)
    return np.minimum(poisson_inverse(uniform, np.minimum(mean, enough)), most).astype(np.int16)


def threshold_number(value: Floats, limits: Sequence[float]) -> NDArray[np.int16]:
    """How many of some limits each value exceeds."""
    number = np.zeros(value.shape, dtype=np.int16)
    for limit in limits:
        number += value > limit
    return number


def month_of_year(dates: NDArray[np.datetime64]) -> Floats:
    """Place of days within their years [month]: 1 on 1 January, 6.5 in the middle of the year, 13 a day after it."""
    year = dates.astype("datetime64[Y]")
    first, after = year.astype("datetime64[D]"), (year + 1).astype("datetime64[D]")
    return 1 + 12 * (dates - first).astype(float) / (after - first).astype(float)


def wave(month: Floats, amplitude: float, peak_month: float) -> Floats:
    """Cosine through the year of 12 months, highest at `peak_month`."""
    return np.asarray(amplitude * np.cos((month - peak_month) * (np.pi / 6)))


def saturating_dose(n_sessions: NDArray[np.integer], planned: int, scale: float) -> Floats:
    """Share of the full effect after s sessions: (1 - exp(-s/k)) / (1 - exp(-S/k))."""
    table = np.expm1(-np.arange(planned + 1) / scale) / np.expm1(-planned / scale)
    return np.asarray(table[n_sessions])


def to_grid(value: Floats, low: float, high: float, items: int) -> NDArray[np.int16]:
    """Nearest value on the instrument's grid, in steps of 1/items above `low`, kept within [low, high]."""
    steps = value - low
    steps *= items
    np.rint(steps, out=steps)
    np.clip(steps, 0, round((high - low) * items), out=steps)
    return steps.astype(np.int16)


def from_grid(steps: NDArray[np.int16], low: float, items: int) -> Floats:
    """Value of a number of grid steps [points]."""
    return low + steps / items


def count(mask: Bools) -> NDArray[np.int64]:
    """Number of True in each column of (rows, columns). A matrix product counts five times faster than a sum."""
    if len(mask) >= 2**24:  # more than single precision can count
        return np.asarray(mask.sum(axis=0))
    return (np.ones(len(mask), dtype=np.float32) @ mask.astype(np.float32)).astype(np.int64)
