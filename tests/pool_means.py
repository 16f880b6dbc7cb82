"""Pooling of one replicate's fits, contrast by contrast: a second implementation to hold `analysis/pooling.py` against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trialsim.analysis.fits import Floats, Means
from trialsim.analysis.rubin import barnard_rubin


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
