"""The sandwich variance of estimating equations, its corrections for few clusters, and degrees of freedom.

n participants, k rows each (visits), p parameters, and G independent units: participants who stand alone and shared
clusters. Row j of participant i has a design vector q_ij (p,) and a residual e_ij, both multiplied by a square root of
the inverse working covariance and written in coordinates where the information, the sum of q q' over all rows, is the
identity. The estimate's error is then the sum over units of their scores, sum of q e, and

    a unit's corrected score = K'e,    K = (I - Q Q')^power Q    (Q, K: all rows of the unit x p)

with power -1/2 (Kauermann & Carroll 2001, doi:10.1198/016214501753382309; the same as CR2 of Bell & McCaffrey 2002 in
least squares), -1 (Mancl & DeRouen 2001, doi:10.1111/j.0006-341X.2001.00126.x) or 0. For shared clusters, with more
rows than parameters, K = Q (I - Q'Q)^power. The correction of Fay & Graubard (2001,
doi:10.1111/j.0006-341X.2001.01198.x) has K = Q times a diagonal matrix in the parameters' own coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.linalg import solve_triangular

from trialsim.analysis.fits import Bools, FitError, Floats, Ints

Correction = Literal["none", "kauermann_carroll", "mancl_derouen", "fay_graubard"]

POWERS = {"none": 0.0, "kauermann_carroll": -0.5, "mancl_derouen": -1.0}
# Largest diagonal of a unit's hat matrix that is corrected for (Fay & Graubard 2001, who recommend it).
BOUND = 0.75
# A direction in which a unit decides alone has a leverage of 1 and no residual; nearer to 1 than this, the degrees of
# freedom lose their digits.
LEVERAGE_ONE = 1e-6
# Part of a model-based variance that may lie in such directions: 1 / N**2 of a mean does where a covariate is special
# to one participant; about half of a contrast does where one of its arms depends on one cluster.
LOST = 0.01
# A variance that is this part of the sum of its terms' sizes is rounding.
CANCELLED = 1e-12
# Residual sums of squares that are this part of the outcome's are rounding, and below that they lose digits.
NO_VARIANCE = 1e-22
SMALLEST_SQUARE = 1e-290


def is_constant(residual_squares: Floats, squares: Floats) -> Bools:
    """Whether a residual sum of squares is nothing but rounding, next to the outcome's sum of squares."""
    return residual_squares <= NO_VARIANCE * squares + SMALLEST_SQUARE


@dataclass(frozen=True, eq=False)
class Units:
    """n participants in an order that has those who stand alone first, then shared clusters one after the other."""

    n: int
    n_lone: int
    starts: Ints  # (S,), place of the first member of every shared cluster

    @property
    def count(self) -> int:
        return self.n_lone + len(self.starts)

    def total(self, table: Floats) -> Floats:
        """Sums by unit: (n, ...) -> (G, ...)."""
        if not len(self.starts):
            return table
        return np.concatenate([table[: self.n_lone], np.add.reduceat(table, self.starts, axis=0)])

    def spread(self, table: Floats) -> Floats:
        """Every participant has their unit's row: (G, ...) -> (n, ...)."""
        sizes = np.diff(self.starts, append=self.n)
        return table if not len(self.starts) else np.repeat(table, [*[1] * self.n_lone, *sizes], axis=0)

    def shared(self) -> list[slice]:
        return [slice(start, stop) for start, stop in pairwise([*self.starts, self.n])]


def arranged(cluster: Ints) -> tuple[Ints, Units]:
    """An order (n,) of participants in which `Units` holds, from codes (n,) as `Data.cluster` has them."""
    order = np.argsort(np.maximum(cluster, -1), kind="stable")
    n_lone = int((cluster < 0).sum())
    shared = cluster[order][n_lone:]
    return order, Units(len(cluster), n_lone, n_lone + np.flatnonzero(np.diff(shared, prepend=-1)))


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows q and residuals e as above, and the Cholesky factor that leads back to the parameters' coordinates."""

    q: Floats  # (n, k, p)
    residual: Floats  # (n, k)
    lower: Floats  # (p, p): information = lower @ lower.T
    units: Units

    @classmethod
    def whitened(cls, q: Floats, residual: Floats, information: Floats, units: Units) -> Rows:
        """From rows in the parameters' own coordinates. LinAlgError where the information is singular."""
        lower = np.asarray(np.linalg.cholesky(information), dtype=np.float64)
        inverse = solve_triangular(lower, np.eye(len(lower)), lower=True)
        return cls((q.reshape(-1, len(lower)) @ inverse.T).reshape(q.shape), residual, lower, units)

    def coordinates(self, gradient: Floats) -> Floats:
        """Gradients (..., p) with respect to the parameters, in the coordinates of q."""
        flat = solve_triangular(self.lower, gradient.reshape(-1, len(self.lower)).T, lower=True)
        return flat.T.reshape(gradient.shape)


@dataclass(frozen=True, eq=False)
class Sandwich:
    """Rows with their K, the corrected scores of the units, and what was lost by directions of leverage 1."""

    rows: Rows
    k: Floats  # (n, k, p)
    scores: Floats  # (G, p)
    sizes: Floats  # (G, p), of the terms that the scores are sums of
    lost: Floats  # (p, p), part of the information in such directions

    def cov(self, gradient: Floats) -> Floats:
        """Covariance of M quantities with gradients (M, p), in the coordinates of q."""
        parts = self.scores @ gradient.T
        return parts.T @ parts

    def refuse(self, gradient: Floats, *, first_visit: int) -> Bools:
        """FitError where a mean or a difference of arms has no variance, or where that of a difference is lost.

        `gradient` (A, V, p) is that of the means, in the coordinates of q. Returned is where (A, V) the variance of a
        mean is lost: such a mean still has differences, as when every cluster has its own covariate.
        """
        one, other = np.triu_indices(len(gradient))
        pairs = (one != other)[:, None]
        contrasts = gradient[one] - np.where(pairs[..., None], gradient[other], 0.0)
        variance = np.square(contrasts @ self.scores.T).sum(axis=2)
        size = np.square(np.abs(contrasts) @ self.sizes.T).sum(axis=2)
        lost = (contrasts @ self.lost * contrasts).sum(axis=2) > LOST * np.square(contrasts).sum(axis=2)
        for fault, ending in ((~(variance > CANCELLED * size), "is zero"), (lost & pairs, "rests on one cluster")):
            for pair, visit in np.argwhere(fault):
                a, b = one[pair], other[pair]
                arms = f"in arm {a}" if a == b else f"between arm {a} and arm {b}"
                raise FitError(f"the variance {arms} at visit {first_visit + visit} {ending}")
        return lost[one == other]

    def degrees(self, gradient: Floats) -> float:
        """Satterthwaite degrees of freedom of the variance of one quantity, gradient (p,) in coordinates of q.

        2 (mean)**2 / variance of the variance estimate when the working covariance is true (Bell & McCaffrey 2002;
        Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004; for the link functions of estimating equations,
        Fay & Graubard 2001). The units' scores then have covariance D - B B' with diagonal D, here d and b. NaN if the
        estimate is expected to be less than a hundredth of the variance: a unit has all the leverage.
        """
        units, g = self.rows.units, self.k @ gradient
        d = units.total(np.square(g).sum(axis=1))
        b = units.total((self.rows.q.transpose(0, 2, 1) @ g[..., None])[..., 0])
        squares = np.square(b).sum(axis=1)
        trace = d.sum() - squares.sum()
        df = float(trace**2 / (np.square(d).sum() - 2 * d @ squares + np.square(b.T @ b).sum()))
        return df if trace > LOST * (gradient @ gradient) and df > 0.999 else np.nan


def sandwich(rows: Rows, correction: Correction) -> Sandwich:
    """Corrected scores of all units. Nothing is corrected in directions where a unit has leverage 1 (see `LOST`)."""
    lost = np.zeros_like(rows.lower)
    if correction == "none":
        k = rows.q
    elif correction == "fay_graubard":
        k = _diagonally(rows)
    else:
        k = np.empty_like(rows.q)
        lost += _lone(rows, POWERS[correction], k)
        lost += _shared(rows, POWERS[correction], k)
    terms = k * rows.residual[..., None]
    scores, sizes = (rows.units.total(each.sum(axis=1)) for each in (terms, np.abs(terms)))
    return Sandwich(rows, k, scores, sizes, lost)


def _diagonally(rows: Rows) -> Floats:
    p = len(rows.lower)
    own = rows.q @ rows.lower.T
    leverage = rows.units.total((own * (rows.q @ solve_triangular(rows.lower, np.eye(p), lower=True))).sum(axis=1))
    factor = 1 / np.sqrt(1 - np.minimum(leverage, BOUND))
    return (own * rows.units.spread(factor)[:, None]) @ solve_triangular(rows.lower, np.eye(p), lower=True).T


def _lone(rows: Rows, power: float, k: Floats) -> Floats:
    """Fill `k` for participants who stand alone; the lost part of the information."""
    q = rows.q[: rows.units.n_lone]
    hat = q @ q.transpose(0, 2, 1)
    values, axes = (hat[..., 0], np.ones_like(hat)) if q.shape[1] == 1 else np.linalg.eigh(hat)
    factor, gone = _powers(values, power)
    k[: rows.units.n_lone] = (axes * factor[:, None]) @ (axes.transpose(0, 2, 1) @ q)
    row, place = np.nonzero(gone)
    along = (axes[row, :, place][:, None] @ q[row])[:, 0]
    return along.T @ along


def _shared(rows: Rows, power: float, k: Floats) -> Floats:
    """As `_lone`, for shared clusters."""
    lost = np.zeros_like(rows.lower)
    for members in rows.units.shared():
        q = rows.q[members].reshape(-1, len(lost))
        values, axes = np.linalg.eigh(q.T @ q)
        factor, gone = _powers(values, power)
        k[members] = (q @ (axes * factor) @ axes.T).reshape(k[members].shape)
        lost += axes[:, gone] @ axes[:, gone].T
    return lost


def _powers(leverage: Floats, power: float) -> tuple[Floats, Bools]:
    gone = leverage > 1 - LEVERAGE_ONE
    return np.where(gone, 0.0, np.where(gone, 1.0, 1 - leverage) ** power), gone


# ------------------------------------------------------------------------------------- degrees of freedom


def degrees_of_freedom(fit: Sandwich, gradient: Floats, visit: int) -> tuple[Floats, float]:
    """`df` (A, A) and `global_df` of A means at one visit, gradients (A, p) in the coordinates of q.

    FitError for a difference that has none.
    """
    n_arms = len(gradient)
    df = np.empty((n_arms, n_arms))
    for a in range(n_arms):
        df[a, a] = fit.degrees(gradient[a])
        for b in range(a):
            df[a, b] = df[b, a] = fit.degrees(gradient[a] - gradient[b])
            if np.isnan(df[a, b]):
                raise FitError(f"the variance between arm {b} and arm {a} at visit {visit} rests on one cluster")
    apart = gradient[1:] - gradient[:1]
    axes = np.linalg.eigh(fit.cov(apart))[1] if n_arms > 1 else np.empty((0, 0))
    return df, f_test_df([fit.degrees(direction) for direction in axes.T @ apart])


def f_test_df(df: Iterable[float]) -> float:
    """Denominator of an F test that adds up squared t statistics with these degrees of freedom.

    Fai & Cornelius (1996, doi:10.1080/00949659608811740), with 2 where one of them is 2 or less, as lmerTest does.
    """
    each = np.array(list(df))
    if len(each) < 2 or np.ptp(each) < 1e-8:
        return float(each.mean()) if len(each) else np.inf
    if each.min() <= 2:
        return 2.0
    inverse = (each / (each - 2)).sum()
    return float(2 * inverse / (inverse - len(each)))
