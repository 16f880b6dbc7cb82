"""Estimates from several imputations put together, for a whole block (Rubin 1987, doi:10.1002/9780470316696)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.fits import Floats, Texts, no_reasons
from trialsim.analysis.inference import ArmMeans
from trialsim.analysis.rubin import barnard_rubin


def pooled(means: ArmMeans, m: int) -> ArmMeans:
    """Arms' means of R x m completed data sets, the copies of a replicate one after the other, as those of R.

    Means are pooled on the scale of the link. The degrees of freedom of each mean and difference are those of Barnard
    and Rubin (1999, doi:10.1093/biomet/86.4.948); the test of all arms has the smallest of the differences' and of the
    complete data's own. A visit that failed in one copy has failed.
    """
    n = len(means.mean) // m

    def copies(values: NDArray[Any]) -> Any:
        return values.reshape(n, m, *values.shape[1:])

    mean, within = copies(means.mean), copies(means.cov).mean(axis=1)
    centre = mean.mean(axis=1)
    apart = np.moveaxis(mean - centre[:, None], 3, 2)  # (R, m, V, A)
    between = np.einsum("rmva,rmvb->rvab", apart, apart) / (m - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        increase = (1 + 1 / m) * _variances(between) / _variances(within)
    df = barnard_rubin(m, increase, copies(means.df).mean(axis=1))
    pairs = np.triu_indices(df.shape[1], 1)
    complete = copies(means.global_df).mean(axis=1)
    return ArmMeans(
        link=means.link,
        mean=centre,
        cov=within + (1 + 1 / m) * between,
        df=df,
        global_df=np.minimum(df[:, *pairs].min(axis=1, initial=np.inf), complete),
        n_cell=copies(means.n_cell).min(axis=1),
        reason=_reasons(copies(means.reason)),
    )


def _variances(cov: Floats) -> Floats:
    """Variances of the differences between arms [a, b] and of means [a, a], (R, V, A, A) -> (R, A, A, V)."""
    own = np.diagonal(cov, axis1=2, axis2=3)
    found = own[..., :, None] + own[..., None, :] - 2 * cov
    places = np.arange(cov.shape[2])
    found[..., places, places] = own
    return np.moveaxis(found, 1, 3)


def _reasons(reasons: Texts) -> Texts:
    """(R, m, V) -> (R, V): the first copy that failed and why; no copy is named where all failed alike."""
    found = no_reasons(reasons.shape[0], reasons.shape[2])
    for r, k, v in np.argwhere(reasons != ""):
        text, alike = reasons[r, k, v], (reasons[r, :, v] == reasons[r, k, v]).all()
        found[r, v] = found[r, v] or (text if alike else f"in imputation {k + 1}: {text}")
    return found
