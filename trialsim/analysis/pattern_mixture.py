"""Single imputation of change by a pattern-mixture model, as the RESOLVE trial did before its analysis.

The model is linear, with independence as working correlation, for every observed change y_iv of participant i with
arm a, missing pattern p (the set O_p of visits at which they were observed) and covariates x_i:

    E[y_iv] = arm + visit + arm x visit + pattern + pattern x arm + x_i'beta = t[a, v] + s[a, p] + x_i'beta

(pattern mixture: Little 1993, doi:10.1080/01621459.1993.10594302). Missing changes of those with at least one
observation become the model's predictions. No noise is added and nothing is drawn: an analysis of the result takes
predictions for data, and its standard errors are too small.

Estimates need no matrix of observations x coefficients. Pattern and covariates are the same at all visits of a
participant, so t follows from sums per arm and pattern; and beta, given that every arm x pattern has its own level,
from covariates minus their mean among the n_ap participants of that arm and pattern, weighted by visits observed.
"""

from __future__ import annotations

import numpy as np

from trialsim.analysis.fits import Bools, FitError, Floats, Ints

_ROUNDING = 1e-10  # eigenvalue of a scaled matrix below which it is 0


def impute_change(change: Floats, arm: Ints, *, n_arms: int, covariates: Floats) -> Floats:
    """`change` (N, V), NaN where missing, with predictions for those with at least one observation, (N, V).

    Who has no observation keeps NaN. Observed values are kept. `covariates` (N, C) may be collinear, or determined by
    arm and pattern: predictions do not depend on how the effects are shared out.

    FitError where a prediction is needed and not estimable: no observations in the arm at the visit, or no chain of
    patterns between that visit and those at which the participant was observed. FitError for numbers that are not
    finite.
    """
    observed = ~np.isnan(change)
    if np.isinf(change).any():
        raise FitError("outcomes are not finite")
    if not np.isfinite(covariates).all():
        raise FitError("covariates are not finite")
    patterns, which = missing_patterns(observed)
    # Arm x pattern; those who were never observed are no data, and get no prediction.
    block, group = np.unique(arm * len(patterns) + which, return_inverse=True)
    seen, block_arm = patterns[block % len(patterns)], block // len(patterns)
    values = np.where(observed, change, 0.0)
    with np.errstate(all="ignore"):
        x, total = _around_blocks(covariates, group), _sums(values, group)
        size = np.bincount(group).astype(np.float64)
        n_seen = seen.sum(axis=1)
        level = np.full(total.shape, np.nan)
        for a in range(n_arms):
            those = (block_arm == a) & (n_seen > 0)
            if those.any():
                visit = _visit_effects(total[those], size[those], seen[those], a)
                own = total[those].sum(axis=1) / size[those] - seen[those] @ visit
                level[those] = visit + (own / n_seen[those])[:, None]
        by_covariates = x @ _coefficients(x, values.sum(axis=1), n_seen[group])
        out: Floats = np.where(observed, change, level[group] + by_covariates[:, None])
    if not np.isfinite(out[n_seen[group] > 0]).all():
        raise FitError("predictions are not finite")
    return out


def missing_patterns(observed: Bools) -> tuple[Bools, Ints]:
    """The different rows of `observed` (N, V), (P, V) in a fixed order, and which of them each row is, (N,)."""
    code = np.zeros(len(observed), dtype=np.int64)
    for start in range(0, observed.shape[1], 30):
        bits = observed[:, start : start + 30]
        code = np.unique(code * 2**30 + bits @ 2 ** np.arange(bits.shape[1]), return_inverse=True)[1]
    first = np.unique(code, return_index=True)[1]
    return observed[first], code


def _sums(values: Floats, group: Ints) -> Floats:
    """Of the rows of each group, (groups, K)."""
    return np.column_stack([np.bincount(group, weights=column) for column in values.T])


def _around_blocks(covariates: Floats, group: Ints) -> Floats:
    """Covariates minus their mean in the block, in units of their largest value; 0 where that is rounding."""
    largest = np.abs(covariates).max(axis=0, initial=0.0)
    x = covariates / np.where(largest > 0, largest, 1.0)
    if not x.shape[1]:
        return x
    x = x - (_sums(x, group) / np.bincount(group)[:, None])[group]
    spread = np.sqrt((x**2).mean(axis=0))
    return np.where(spread > _ROUNDING, x / np.maximum(spread, _ROUNDING), 0.0)


def _coefficients(x: Floats, total: Floats, weight: Ints) -> Floats:
    """Least squares coefficients of covariates around their blocks; of several equally good, the smallest."""
    values, vectors = np.linalg.eigh(x.T @ (x * weight[:, None]) / max(1, int(weight.sum())))
    real = values > _ROUNDING
    coordinates = vectors[:, real].T @ (x.T @ total) / max(1, int(weight.sum()))
    coef: Floats = vectors[:, real] @ (coordinates / values[real])
    return coef


def _visit_effects(total: Floats, size: Floats, seen: Bools, arm: int) -> Floats:
    """Effects of the V visits of an arm, up to a constant, when each of its blocks has a level of its own.

    `total` (blocks, V) are sums of change, `size` (blocks,) participants. Every visit is needed as soon as one block
    lacks a visit, unless blocks are whole.
    """
    n_seen = seen.sum(axis=1)
    if seen.all():
        return np.zeros(seen.shape[1])
    for visit in np.flatnonzero(~seen.any(axis=0))[:1]:
        raise FitError(f"no observations in arm {arm} at visit {visit}")
    share = size / n_seen
    products = np.diag(size @ seen) - seen.T @ (share[:, None] * seen)
    target = total.sum(axis=0) - seen.T @ (total.sum(axis=1) / n_seen)
    root = np.sqrt(size @ seen)
    values, vectors = np.linalg.eigh(products / (root[:, None] * root))
    if (values > _ROUNDING).sum() < len(values) - 1:
        raise FitError(f"visits of arm {arm} that no participant's observations connect")
    real = vectors[:, 1:]
    effects: Floats = real @ ((real.T @ (target / root)) / values[1:]) / root
    return effects
