"""Rubin's rules: one answer from the analyses of m completed copies of a replicate.

With estimates q_k and their variances u_k, k = 1 ... m (Rubin 1987, doi:10.1002/9780470316696),

    q = mean q_k,   u = mean u_k,   b = variance of q_k (divisor m - 1),   t = u + (1 + 1/m) b,

and the t distribution of Barnard and Rubin (1999, doi:10.1093/biomet/86.4.948), whose degrees of freedom never exceed
those of complete data, nu_com:

    lambda = (1 + 1/m) b / t,   nu_m = (m - 1) / lambda^2,   nu_obs = nu_com (nu_com + 1) / (nu_com + 3) (1 - lambda),
    df = nu_m nu_obs / (nu_m + nu_obs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trialsim.analysis.fits import Floats, Means


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


def pool_means(fits: Sequence[Means]) -> Means:
    """Pool the `Means` of m copies, on the scale of their link.

    `cov` is the matrix W + (1 + 1/m) B. Each mean and each difference between two arms has Barnard and Rubin's df,
    from its own variances within and between copies and the complete-data df averaged over the copies. `global_df` is
    the smallest df of a difference at that visit, or the fits' own (averaged) where that is smaller: a bound on the
    safe side of the df of Li, Raghunathan and Rubin (1991, doi:10.1080/01621459.1991.10475152), which would need a
    statistic of its own.

    A visit that failed in some copy fails: "in imputation 3: ..." (numbered from 1). The counts are those of the
    copies (the smallest, should they differ). ValueError for fewer than 2 fits or fits of different shape or link.
    """
    first = fits[0] if fits else None
    if first is None or len(fits) < 2:
        raise ValueError("pooling needs at least 2 fits")
    if any(fit.mean.shape != first.mean.shape or fit.link != first.link for fit in fits):
        raise ValueError("fits to be pooled must have the same arms, visits and link")
    m, reason = len(fits), _reasons(fits)
    failed = np.array([text != "" for text in reason])
    means = np.array([np.where(failed, np.nan, fit.mean) for fit in fits])
    within = np.mean([_without(fit.cov, failed, len(fit.mean)) for fit in fits], axis=0)
    around = (means - means.mean(axis=0)).reshape(m, -1)
    between = around.T @ around / (m - 1)
    df_complete = np.where(failed, np.nan, np.mean([fit.df for fit in fits], axis=0))
    df = _pairwise_df(m, within, between, df_complete)
    return Means(
        link=first.link,
        mean=means.mean(axis=0),
        cov=within + (1 + 1 / m) * between,
        df=df,
        global_df=_global_df(df, np.where(failed, np.nan, np.mean([fit.global_df for fit in fits], axis=0))),
        n_cell=np.min([fit.n_cell for fit in fits], axis=0),
        n_used=min(fit.n_used for fit in fits),
        reason=reason,
    )


def _reasons(fits: Sequence[Means]) -> tuple[str, ...]:
    """The first copy's reason for every visit."""
    found = [""] * len(fits[0].reason)
    for number, fit in enumerate(fits, start=1):
        for visit, text in enumerate(fit.reason):
            found[visit] = found[visit] or (text and f"in imputation {number}: {text}")
    return tuple(found)


def _without(cov: Floats, failed: np.ndarray, n_arms: int) -> Floats:
    gone = np.tile(failed, n_arms)
    return np.where(gone[:, None] | gone, np.nan, cov)


def _pairwise_df(m: int, within: Floats, between: Floats, df_complete: Floats) -> Floats:
    """(A, A, V); the variance of a mean stands at [a, a, v], that of a difference at [a, b, v]."""
    inside, across = (_variances(cov, df_complete.shape) for cov in (within, between))
    with np.errstate(all="ignore"):
        return barnard_rubin(m, (1 + 1 / m) * across / inside, df_complete)


def _variances(cov: Floats, shape: tuple[int, ...]) -> Floats:
    n_arms, _, n_visits = shape
    by_visit = cov.reshape(n_arms, n_visits, n_arms, n_visits).diagonal(axis1=1, axis2=3)
    own = by_visit.diagonal().T
    difference = own[:, None] + own - 2 * by_visit
    return np.where(np.eye(n_arms, dtype=bool)[..., None], by_visit, difference)


def _global_df(df: Floats, df_complete: Floats) -> Floats:
    pairs = np.triu_indices(len(df), 1)
    smallest: Floats = np.minimum(df[pairs].min(axis=0, initial=np.inf), df_complete)
    return smallest
