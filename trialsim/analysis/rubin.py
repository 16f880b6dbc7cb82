"""Rubin's rules: one answer from the analyses of m completed copies of a replicate.

With estimates q_k and their variances u_k, k = 1 ... m (Rubin 1987, doi:10.1002/9780470316696),

    q = mean q_k,   u = mean u_k,   b = variance of q_k (divisor m - 1),   t = u + (1 + 1/m) b,

and the t distribution of Barnard and Rubin (1999, doi:10.1093/biomet/86.4.948), whose degrees of freedom never exceed
those of complete data, nu_com:

    lambda = (1 + 1/m) b / t,   nu_m = (m - 1) / lambda^2,   nu_obs = nu_com (nu_com + 1) / (nu_com + 3) (1 - lambda),
    df = nu_m nu_obs / (nu_m + nu_obs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trialsim.analysis.fits import Floats


@dataclass(frozen=True, eq=False)
class Pooled:
    """K pooled estimates. All NaN where an estimate or a variance is not finite, or a variance is not positive."""

    estimate: Floats  # (K,), as all below
    std_error: Floats
    df: Floats
    fraction_missing: Floats  # share of the information lost: (r + 2 / (df + 3)) / (r + 1)
    relative_increase: Floats  # r, of the variance due to missing data: (1 + 1/m) b / u


def pool(estimates: Floats, variances: Floats, df_complete: ArrayLike = np.inf) -> Pooled:
    """Pool `estimates` (m, K) with `variances` (m, K); `df_complete` is (K,) or one number, perhaps infinite.

    Where all m estimates are equal nothing is missing: the df are nu_obs with lambda = 0, which is below `df_complete`
    (infinite if that is). ValueError for fewer than 2 copies or shapes that differ.
    """
    estimates, variances = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if estimates.ndim != 2 or estimates.shape != variances.shape or len(estimates) < 2:
        raise ValueError("estimates and variances must have the same shape (m, K), with m at least 2")
    with np.errstate(all="ignore"):
        sound = (np.isfinite(estimates) & np.isfinite(variances) & (variances > 0)).all(axis=0)
        mean = np.where(sound, estimates.mean(axis=0), np.nan)
        within = np.where(sound, variances.mean(axis=0), np.nan)
        between = estimates.var(axis=0, ddof=1)
        increase = (1 + 1 / len(estimates)) * between / within
        df = barnard_rubin(len(estimates), increase, np.asarray(df_complete, dtype=np.float64))
        fraction = (increase + 2 / (df + 3)) / (increase + 1)
        return Pooled(mean, np.sqrt(within * (1 + increase)), df, fraction, increase)


def barnard_rubin(m: int, relative_increase: Floats, df_complete: Floats) -> Floats:
    """Degrees of freedom of a pooled estimate whose variance missing data increased by `relative_increase` >= 0."""
    with np.errstate(all="ignore"):
        share = relative_increase / (1 + relative_increase)
        from_copies = (m - 1) / share**2
        infinite = np.isinf(df_complete)
        complete = np.where(infinite, 1.0, df_complete)
        from_data = np.where(infinite, np.inf, complete * (complete + 1) / (complete + 3) * (1 - share))
        df: Floats = 1 / (1 / from_copies + 1 / from_data)
    return df
