"""Dunnett's test: K treatments against one control, with the exact joint distribution of the K statistics.

The correlation of comparisons i and j is a product of loadings, rho_ij = l_i l_j, so that given a common normal z
(the control's share) and s (the estimated standard deviation / the true one) the K statistics are independent:

    T_i = (sqrt(1 - l_i^2) x_i - l_i z) / s,    P(no T_i > c) = E[ prod_i Phi((c s + l_i z) / sqrt(1 - l_i^2)) ]

(Dunnett 1955, doi:10.1080/01621459.1955.10501294). With n participants per arm l_i^2 = n_i / (n_i + n_control).

Both integrals are sums over equally spaced points, of z and of log s. For such integrands, which are analytic and fade
away at both ends, the error falls faster than that of any Gauss rule of fixed order (Trefethen & Weideman 2014,
doi:10.1137/130932132); the spacing is chosen for an error near 1e-12. p-values are sums of tails, never 1 - (1 - tail).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainccinv, gammaincinv, ndtr, stdtrit

from trialsim.analysis.fits import Floats, Ints
from trialsim.analysis.multiplicity import whole_family

Sided = Literal[1, 2]

# exp(-DIGITS) is the aim of the quadrature, TAIL what is left out at each end.
DIGITS = 30.0
TAIL = 1e-14
REACH = 8.5  # of z: more than TAIL needs, for small p-values
LEAST_DF = 0.1
LARGEST_LOADING = 1.0 - 1e-6  # a control with so few participants that the points of z would be too many
PRODUCT = 1e-8

_AT_ONCE = 400_000  # points of the integrand held in memory


def loadings(n_control: ArrayLike, n_treatments: ArrayLike) -> Floats:
    """Loadings (..., K) from numbers of participants: `n_control` (...,), `n_treatments` (..., K), all above 0.

    For arms of unequal variance, or any independent estimates, use n / variance in place of n. ValueError otherwise.
    """
    control, treatments = np.asarray(n_control, dtype=np.float64), np.asarray(n_treatments, dtype=np.float64)
    if not (np.all(control > 0) and np.all(treatments > 0)):
        raise ValueError("every arm needs at least one participant")
    return np.sqrt(treatments / (treatments + control[..., None]))


def loadings_from_covariance(cov: ArrayLike, *, tolerance: float = PRODUCT) -> Floats:
    """Loadings (..., K) of contrasts with covariance `cov` (..., K, K), as those of K arms with one control.

    ValueError where the correlations are not products of loadings to within `tolerance`, which is for K >= 4 the rule
    when covariates are adjusted for (departures are then of the order of the chance imbalance of the covariates).
    A covariance with a NaN (a fit that failed) or a variance of 0 gives NaN.
    """
    cov = np.asarray(cov, dtype=np.float64)
    if cov.ndim < 2 or cov.shape[-1] != cov.shape[-2]:
        raise ValueError(f"a covariance is K x K, not of shape {cov.shape}")
    flat = cov.reshape(-1, *cov.shape[-2:])
    return np.array([_one_factor(one, tolerance) for one in flat]).reshape(cov.shape[:-1])


def _one_factor(cov: Floats, tolerance: float) -> Floats:
    variance = np.diag(cov)
    if not (np.isfinite(cov).all() and np.all(variance > 0)):
        return np.full(len(cov), np.nan)
    rho = cov / np.sqrt(np.outer(variance, variance))
    np.fill_diagonal(rho, 0.0)
    a, b = np.unravel_index(np.argmax(np.abs(rho)), rho.shape)
    if rho[a, b] == 0:
        return np.zeros(len(cov))
    own = _own_loading(rho, int(a), int(b))
    loading = rho[a] / own
    loading[a] = own
    made = np.outer(loading, loading)
    np.fill_diagonal(made, 0.0)
    if np.max(np.abs(made - rho)) > tolerance or np.max(np.abs(loading)) > LARGEST_LOADING:
        raise ValueError(
            "the correlations of these contrasts are not products of one loading each, as those of several arms with "
            f"one control are (largest departure {np.max(np.abs(made - rho)):.2g})"
        )
    return loading


def _own_loading(rho: Floats, a: int, b: int) -> float:
    """l_a from a triangle: l_a^2 = rho_ab rho_ac / rho_bc. A pair alone shares its correlation equally."""
    triangles = np.abs(rho[a] * rho[b])
    c = int(np.argmax(triangles))
    return math.sqrt(abs(rho[a, b] * (rho[a, c] / rho[b, c] if triangles[c] > 0 else 1.0)))


def critical_value(
    df: float, n_control: float, n_treatments: Sequence[float], *, alpha: float = 0.05, sided: Sided = 2
) -> float:
    """Critical value c of single-step Dunnett: P(some T_i > c) = alpha, or some |T_i| where two-sided.

    `df` may be infinite (known variance). ValueError for impossible df, alpha or numbers.
    """
    return critical_value_for(loadings(n_control, n_treatments), df, alpha=alpha, sided=sided)


def critical_value_for(loading: Floats, df: float = math.inf, *, alpha: float = 0.05, sided: Sided = 2) -> float:
    """As `critical_value`, for loadings (K,)."""
    _check(sided, alpha)
    loading = np.asarray(loading, dtype=np.float64)
    _check_loadings(loading)
    if not (df >= LEAST_DF and loading.ndim == 1 and loading.size):
        raise ValueError(f"df must be {LEAST_DF} or more and loadings one per treatment, not {df} and {loading}")
    ends = np.array([alpha, alpha / len(loading)]) / sided
    low, high = stdtrit(df, 1.0 - ends)
    middle = 0.5 * (low + high)
    while low < middle < high:
        tail = tail_probability(middle, df, loading, sided=sided)[()]
        low, high = (middle, high) if tail > alpha else (low, middle)
        middle = 0.5 * (low + high)
    return float(middle)


def single_step(t: Floats, df: ArrayLike, loading: Floats, *, sided: Sided = 2) -> Floats:
    """Adjusted p-values (R, K) of statistics `t` (R, K): P(max T > t_i), or P(max |T| > |t_i|) where two-sided.

    One-sided, large t speaks for the treatment. `df` is a number or (R,), perhaps infinite; `loading` (K,) or (R, K).
    A replicate with a NaN (a statistic, its df or a loading) is NaN as a whole; so are df below 0.1.
    """
    t, df, loading = _replicates(t, df, loading, sided)
    adjusted = [tail_probability(t[:, k], df, loading, sided=sided) for k in range(t.shape[1])]
    return whole_family(np.stack(adjusted, axis=1), t)


def step_down(t: Floats, df: ArrayLike, loading: Floats, *, sided: Sided = 2) -> Floats:
    """As `single_step`, step-down: each hypothesis in order of t against the maximum over those not yet rejected.

    The closed test of maxima (Dunnett & Tamhane 1991, doi:10.1002/sim.4780100614).
    """
    t, df, loading = _replicates(t, df, loading, sided)
    order = np.argsort(-t, axis=1, kind="stable")
    t_ordered, l_ordered = np.take_along_axis(t, order, axis=1), np.take_along_axis(loading, order, axis=1)
    steps = [tail_probability(t_ordered[:, k], df, l_ordered[:, k:], sided=sided) for k in range(t.shape[1])]
    adjusted = np.empty_like(t)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(np.stack(steps, axis=1), axis=1), axis=1)
    return whole_family(adjusted, t)


def power(
    effect: ArrayLike,
    loading: Floats,
    *,
    kind: Literal["any", "all", "marginal"] = "any",
    alpha: float = 0.05,
    sided: Sided = 2,
    critical: float | None = None,
) -> Floats:
    """Power of single-step Dunnett under the normal approximation; `effect` (..., K) in standard errors.

    "any": at least one hypothesis is rejected, "all": every one; both (...,). "marginal": each of them, (..., K).
    `critical` is Dunnett's value of the normal distribution unless given. A two-sided rejection counts in either
    direction.
    """
    effect, loading = np.asarray(effect, dtype=np.float64), np.asarray(loading, dtype=np.float64)
    if kind not in ("any", "all", "marginal"):
        raise ValueError(f"kind must be 'any', 'all' or 'marginal', not {kind!r}")
    _check(sided, alpha)
    _check_loadings(loading)
    if critical is None:
        critical = critical_value_for(loading, alpha=alpha, sided=sided)
    if kind == "marginal":
        return _beyond(critical - effect, sided, critical + effect)
    z, weight = _z_points(_n_z(loading), one_half=False)
    spread = np.sqrt(1.0 - loading**2)
    shift = effect[..., None, :] - loading * z[:, None]
    each = _beyond((critical - shift) / spread, sided, (critical + shift) / spread)
    given_z = np.prod(each, axis=-1) if kind == "all" else 1.0 - np.prod(1.0 - each, axis=-1)
    return np.sum(given_z * weight, axis=-1)


def least_favourable_power(
    effect: float, others: float, n_treatments: int, critical: float, *, ratio: float = 1.0
) -> float:
    """P(treatment 1 has the largest statistic and it exceeds `critical`), for known variance.

    `effect` is that of treatment 1 and `others` that of all other treatments, in standard errors of a comparison with
    control; `ratio` = n per treatment / n_control. Least favourable configuration of one-stage multi-arm designs
    (Dunnett 1984; Magirr, Jaki & Whitehead 2012, doi:10.1093/biomet/ass002).
    """
    loading = math.sqrt(ratio / (ratio + 1.0))
    spread = math.sqrt(1.0 - loading**2)
    x, weight = _z_points(_n_z(np.array([loading])), one_half=False)
    significant = ndtr((spread * x + effect - critical) / loading)
    largest = ndtr(x + (effect - others) / spread) ** (n_treatments - 1)
    return float(np.sum(weight * significant * largest))


def tail_probability(c: ArrayLike, df: ArrayLike, loading: ArrayLike, *, sided: Sided) -> Floats:
    """P(some T_i > c), or P(some |T_i| > c) where two-sided; `c` (...,), `df` (...,), `loading` (..., J).

    NaN for a NaN and for df below 0.1.
    """
    loading = np.asarray(loading, dtype=np.float64)
    c, df = np.asarray(c, dtype=np.float64), np.asarray(df, dtype=np.float64)
    shape = np.broadcast_shapes(c.shape, df.shape, loading.shape[:-1])
    flat_c, flat_df = np.broadcast_to(c, shape).ravel(), np.broadcast_to(df, shape).ravel()
    flat_l = np.broadcast_to(loading, (*shape, loading.shape[-1])).reshape(-1, loading.shape[-1])
    tail = np.full(len(flat_c), np.nan)
    known = ~np.isnan(flat_c) & (flat_df >= LEAST_DF) & ~np.isnan(flat_l).any(axis=1)
    sizes = np.zeros((len(tail), 2), dtype=np.int64)
    sizes[known] = np.stack([_n_s(flat_df[known]), _n_z(flat_l[known])], axis=1)
    for n_s, n_z in np.unique(sizes[known], axis=0):
        rows = np.flatnonzero(known & (sizes == (n_s, n_z)).all(axis=1))
        at_once = max(1, _AT_ONCE // (n_s * n_z))
        for some in (rows[i : i + at_once] for i in range(0, len(rows), at_once)):
            tail[some] = _tails(flat_c[some], flat_df[some], flat_l[some], sided, int(n_s), int(n_z))
    return tail.reshape(shape)


def _tails(c: Floats, df: Floats, loading: Floats, sided: Sided, n_s: int, n_z: int) -> Floats:
    """Of rows with the same numbers of points."""
    s, s_weight = _s_points(df, n_s)
    z, z_weight = _z_points(n_z, one_half=sided == 2)
    threshold = (c[:, None] * s)[:, :, None]
    some = np.zeros((len(c), n_s, len(z)))
    for j in range(loading.shape[1]):
        if j == 0 or np.any(loading[:, j] != loading[:, j - 1]):
            share, spread = (loading[:, j, None] * z)[:, None], np.sqrt(1.0 - loading[:, j] ** 2)[:, None, None]
            each = _beyond((threshold + share) / spread, sided, (threshold - share) / spread)
        some += each * (1.0 - some)
    weight = s_weight[:, :, None] * z_weight
    return np.minimum(np.sum((some * weight).reshape(len(c), -1), axis=1), 1.0)


def _beyond(above: Floats, sided: Sided, below: Floats) -> Floats:
    """P(x > above), and where two-sided + P(x > below)."""
    return ndtr(-above) + ndtr(-below) if sided == 2 else ndtr(-above)


def _n_z(loading: Floats) -> Ints:
    """Points of z on each side; loadings (..., J) near 1 make steps that need close points. Multiples of 4."""
    sharpness = 1.0 + np.sum(loading**2 / (1.0 - loading**2), axis=-1)
    step = np.sqrt(2.0 * math.pi**2 / (DIGITS * sharpness))
    return np.asarray(4 * np.ceil(REACH / step / 4), dtype=np.int64)


def _z_points(n: int | Ints, *, one_half: bool) -> tuple[Floats, Floats]:
    """Points and weights of a standard normal; `one_half` for integrands that are the same at -z."""
    step = REACH / int(n)
    z = step * np.arange(0 if one_half else -int(n), int(n) + 1, dtype=np.float64)
    density = np.exp(-0.5 * z**2)
    if one_half:
        density[1:] *= 2.0
    return z, density / np.sum(density)


def _n_s(df: Floats) -> Ints:
    """Points of log s, (M,): 1 for infinite df, else multiples of 4."""
    finite = np.where(np.isfinite(df), df, 1.0)
    low, high = _s_ends(finite)
    return np.where(np.isfinite(df), 4 * np.ceil(((high - low) / _s_step(finite) + 1) / 4), 1).astype(np.int64)


def _s_step(df: Floats) -> Floats:
    """Spacing h of log s. On the line i y the density is at most cos(2 y)^(-df / 2) times its largest real value, and
    the sum's error at most that times exp(-2 pi y / h); solved for the h that makes the least of it exp(-DIGITS)."""
    low, high = np.zeros_like(df), np.full_like(df, 0.5 * math.pi)  # of 2 y
    for _ in range(30):
        middle = 0.5 * (low + high)
        small = middle * np.tan(middle) + np.log(np.cos(middle)) < 2.0 * DIGITS / df
        low, high = np.where(small, middle, low), np.where(small, high, middle)
    return 2.0 * math.pi / (df * np.tan(low))


def _s_ends(df: Floats) -> tuple[Floats, Floats]:
    """Limits of log s outside which chi-squared / df has the probability TAIL."""
    low, high = gammaincinv(0.5 * df, TAIL), gammainccinv(0.5 * df, TAIL)
    return 0.5 * np.log(low / (0.5 * df)), 0.5 * np.log(high / (0.5 * df))


def _s_points(df: Floats, n: int) -> tuple[Floats, Floats]:
    """s (M, n) and its weights: s^2 is chi-squared / df, so log s has the density exp(df (u - exp(2u) / 2)) / const."""
    if n == 1:
        return np.ones((len(df), 1)), np.ones((len(df), 1))
    low, high = _s_ends(df)
    u = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, n)
    density = np.exp(df[:, None] * (u - 0.5 * np.expm1(2.0 * u)))
    return np.exp(u), density / np.sum(density, axis=1, keepdims=True)


def _replicates(t: Floats, df: ArrayLike, loading: Floats, sided: Sided) -> tuple[Floats, Floats, Floats]:
    """(R, K), (R,), (R, K); absolute values of t where two-sided."""
    _check(sided)
    t = np.asarray(t, dtype=np.float64)
    if t.ndim != 2 or t.shape[1] == 0:
        raise ValueError(f"statistics must be replicates x treatments, not of shape {t.shape}")
    df = np.broadcast_to(np.asarray(df, dtype=np.float64), t.shape[:1])
    loading = np.broadcast_to(np.asarray(loading, dtype=np.float64), t.shape)
    _check_loadings(loading)
    t = np.where(np.isnan(loading), np.nan, t)
    return (np.abs(t) if sided == 2 else t), df, loading


def _check(sided: int, alpha: float = 0.5) -> None:
    if sided not in (1, 2):
        raise ValueError(f"sided must be 1 or 2, not {sided!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")


def _check_loadings(loading: Floats) -> None:
    if np.any(np.abs(loading) > LARGEST_LOADING):
        raise ValueError(f"loadings lie between -1 and 1, not {np.nanmax(np.abs(loading))}")
