"""Power in closed form, for checking simulations against and for telling a search where to start.

Every function takes the sizes it is asked about, which need not be whole numbers, and returns power; `size_for` turns
any of them round. Trials by cluster are in `closed_forms_cluster`, repeated measurements in
`closed_forms_longitudinal`. Effects are treated minus control; `alpha` is two-sided unless `sides` is 1, which tests
for an effect above 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Sides = Literal[1, 2]

# --- tests, given the effect in standard errors -----------------------------------------------------------------------


def t_power(shift: float, df: float, *, alpha: float = 0.05, sides: Sides = 2) -> float:
    """Power of a t test whose statistic is noncentral t with `df` degrees of freedom (inf: normal) around `shift`.

    A two-sided test counts both tails. Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2,
    chapter 31.
    """
    _demand(df > 0 and 0 < alpha < 1, "degrees of freedom must be above 0 and alpha between 0 and 1")
    _demand(math.isfinite(shift), "the effect in standard errors must be finite")
    if math.isinf(df):
        return z_power(shift, alpha=alpha, sides=sides)
    limit = float(special.stdtrit(df, 1 - alpha / sides))
    above = 1 - _noncentral_t(limit, df, shift)
    return above if sides == 1 else above + _noncentral_t(-limit, df, shift)


def z_power(shift: float, *, alpha: float = 0.05, sides: Sides = 2) -> float:
    """Power of a test whose statistic is normal with variance 1 around `shift`."""
    _demand(0 < alpha < 1, "alpha must be between 0 and 1")
    limit = float(special.ndtri(1 - alpha / sides))
    above = float(special.ndtr(shift - limit))
    return above if sides == 1 else above + float(special.ndtr(-shift - limit))


def f_power(noncentrality: float, df_between: float, df_within: float, *, alpha: float = 0.05) -> float:
    """Power of an F test; `noncentrality` is the sum of squared effects divided by their error variance."""
    _demand(noncentrality >= 0 and df_between > 0 and df_within > 0, "an F test needs degrees of freedom above 0")
    limit = float(special.fdtri(df_between, df_within, 1 - alpha))
    return 1 - float(special.ncfdtr(df_between, df_within, noncentrality, limit))


def _noncentral_t(t: float, df: float, shift: float) -> float:
    """P(T <= t). SciPy gives NaN for some lower tails below 1e-30, where an approximation is as good as 0 is.

    That one is 26.7.10 of Abramowitz and Stegun (1964), Handbook of Mathematical Functions.
    """
    if shift < 0:
        return 1 - _noncentral_t(-t, df, -shift)
    below = float(special.nctdtr(df, shift, t))
    if math.isnan(below):
        return float(special.ndtr((t * (1 - 0.25 / df) - shift) / math.sqrt(1 + t**2 / (2 * df))))
    return below


def _demand(fine: bool, rule: str) -> None:
    if not fine:
        raise ValueError(rule)


# --- size from power --------------------------------------------------------------------------------------------------


def size_for(power_at: Callable[[float], float], target: float, *, low: float, high: float = 1e7) -> float:
    """Smallest size at which `power_at(size)`, increasing, reaches `target`; not rounded up.

    Returns `low` if that is enough. ValueError if even `high` is too little.
    """
    _demand(0 < target < 1 and low < high, "the target must be between 0 and 1, and low below high")
    if power_at(low) >= target:
        return low
    under, over = low, max(2 * low, low + 1)
    while over < high and power_at(over) < target:
        under, over = over, 2 * over
    over = min(over, high)
    reached = power_at(over)
    _demand(reached >= target, f"power {target:g} is not reached: it is {reached:.4g} at {over:g}")
    from scipy.optimize import brentq  # slow to import, and most runs do without

    return float(brentq(lambda size: power_at(size) - target, under, over, xtol=1e-12, rtol=1e-13))


def normal_size(variance: float, difference: float, power: float, *, alpha: float = 0.05, sides: Sides = 2) -> float:
    """Participants per arm by the normal approximation, (z + z)^2 variance / difference^2.

    `variance` is that of the difference between arms of one participant each (2 sd^2 for two independent means);
    the far tail of a two-sided test is not counted, as in the textbooks.
    """
    z = special.ndtri(1 - alpha / sides) + special.ndtri(power)
    return float(variance * (z / difference) ** 2)


# --- individually randomized, two arms --------------------------------------------------------------------------------


def means_power(
    difference: float, sd: float, n_control: float, n_treated: float, *, alpha: float = 0.05, sides: Sides = 2
) -> float:
    """Power of the t test of two independent means with a common standard deviation.

    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 2, by the exact noncentral t.
    """
    error = sd * math.sqrt(1 / n_control + 1 / n_treated)
    return t_power(difference / error, n_control + n_treated - 2, alpha=alpha, sides=sides)


def means_z_power(
    difference: float, sd: float, n_control: float, n_treated: float, *, alpha: float = 0.05, sides: Sides = 2
) -> float:
    """Power of the normal test of two independent means with a known standard deviation."""
    return z_power(difference / (sd * math.sqrt(1 / n_control + 1 / n_treated)), alpha=alpha, sides=sides)


def means_size(
    difference: float, sd: float, power: float, *, ratio: float = 1.0, alpha: float = 0.05, sides: Sides = 2
) -> float:
    """Control participants (not rounded) for the t test; the treated arm is `ratio` times as large."""
    size = abs(difference) if sides == 2 else difference
    _demand(size > 0 and ratio > 0, "the difference must not be 0, and the ratio must be above 0")
    return size_for(lambda n: means_power(size, sd, n, ratio * n, alpha=alpha, sides=sides), power, low=3 / (1 + ratio))


def ancova_factor(correlation: ArrayLike) -> Floats:
    """Variance of a difference adjusted for a covariate, relative to the unadjusted one: 1 - correlation^2.

    Borm, Fransen and Lemmens (2007), doi:10.1016/j.jclinepi.2007.02.006.
    """
    return np.asarray(1 - np.square(np.asarray(correlation, dtype=float)))


def anova_power(cohen_f: float, n_total: float, n_arms: int, *, alpha: float = 0.05) -> float:
    """Power of one-way analysis of variance with arms of equal size.

    `cohen_f` is the standard deviation of the arms' means (divisor: number of arms) over that within arms;
    Cohen (1988), chapter 8. For unequal arms use `f_power`.
    """
    return f_power(n_total * cohen_f**2, n_arms - 1, n_total - n_arms, alpha=alpha)


# --- two risks --------------------------------------------------------------------------------------------------------


def risks_power(
    control: float,
    treated: float,
    n_control: float,
    n_treated: float,
    *,
    pooled: bool = False,
    alpha: float = 0.05,
    sides: Sides = 2,
) -> float:
    """Power of the normal test of a risk difference, without continuity correction.

    `pooled` True: the standard error of the test pools the arms (chi-squared test), Fleiss, Tytun and Ury (1980),
    doi:10.2307/2529990, without their correction. False: each arm has its own (Wald test).
    """
    _demand(0 < control < 1 and 0 < treated < 1, "risks must be between 0 and 1")
    error = math.sqrt(control * (1 - control) / n_control + treated * (1 - treated) / n_treated)
    all_in = (control * n_control + treated * n_treated) / (n_control + n_treated)
    assumed = math.sqrt(all_in * (1 - all_in) * (1 / n_control + 1 / n_treated)) if pooled else error
    limit = float(special.ndtri(1 - alpha / sides)) * assumed
    above = float(special.ndtr((treated - control - limit) / error))
    return above if sides == 1 else above + float(special.ndtr((control - treated - limit) / error))


def risk_ratio_power(
    control: float, treated: float, n_control: float, n_treated: float, *, alpha: float = 0.05, sides: Sides = 2
) -> float:
    """Power of the Wald test of a log risk ratio, whose variance is (1 - p) / (n p) per arm.

    That is the large-sample test of modified Poisson regression on the arm alone; Zou (2004),
    doi:10.1093/aje/kwh090.
    """
    _demand(0 < control < 1 and 0 < treated < 1, "risks must be between 0 and 1")
    variance = (1 - control) / (control * n_control) + (1 - treated) / (treated * n_treated)
    return z_power(math.log(treated / control) / math.sqrt(variance), alpha=alpha, sides=sides)


def risk_ratio_size(control: float, treated: float, power: float, *, alpha: float = 0.05) -> float:
    """Participants per arm (not rounded) for the two-sided Wald test of a log risk ratio."""
    low = 1 / min(control, treated)
    return size_for(lambda n: risk_ratio_power(control, treated, n, n, alpha=alpha), power, low=low)


# --- around them ------------------------------------------------------------------------------------------------------


def retention_inflation(n: float, retention: float) -> float:
    """Participants to randomize so that `n` are expected to be observed."""
    _demand(0 < retention <= 1, "retention must be above 0 and at most 1")
    return n / retention


def share_error(prob: ArrayLike, n: ArrayLike) -> Floats:
    """Monte Carlo standard error of a share of `n` replicates: sqrt(p (1 - p) / n).

    Morris, White and Crowther (2019), doi:10.1002/sim.8086, table 6.
    """
    p = np.asarray(prob, dtype=float)
    return np.asarray(np.sqrt(p * (1 - p) / np.asarray(n, dtype=float)))


def site_count(shape: float, rate: float, time: float) -> tuple[float, float]:
    """Mean and variance of the number recruited by a site in `time`, its own rate being gamma(shape, rate).

    The count is negative binomial: mean shape time / rate, variance mean (1 + time / rate). Anisimov and Fedorov
    (2007), doi:10.1002/sim.2956.
    """
    mean = shape * time / rate
    return mean, mean * (1 + time / rate)


def erlang_c(arrivals: float, services: float, servers: int) -> tuple[float, float]:
    """Chance of having to wait and mean wait in the queue M/M/servers, in units of 1 / `arrivals`.

    Erlang's C formula from his B by the usual recursion, B_k = a B / (k + a B) with a = arrivals / services.
    Gross and others (2008), Fundamentals of Queueing Theory, section 2.3. ValueError if the queue grows for ever.
    """
    load = arrivals / services
    _demand(load < servers, "arrivals must be fewer than what all servers can do")
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    waits = blocked / (1 - load / servers * (1 - blocked))
    return waits, waits / (servers * services - arrivals)
