"""Graphical multiple testing: weights for the hypotheses, and arrows that hand them on after a rejection.

A graph has weights w_i, the share of alpha at which hypothesis i is tested, and transitions g_ij, the share of w_i
that goes to j once i is rejected (Bretz, Maurer, Brannath & Posch 2009, doi:10.1002/sim.3495). It is a short cut of a
closed test with weighted Bonferroni tests, so it keeps the familywise error rate whatever the correlation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trialsim.analysis.fits import Floats, Ints
from trialsim.analysis.multiplicity import ROUNDING, checked_p_values, whole_family


def graphical(p: Floats, weights: ArrayLike, transitions: ArrayLike) -> Floats:
    """Adjusted p-values (R, K) of raw ones `p` (R, K); reject where below alpha (algorithm 2 of Bretz et al. 2009).

    `weights` (K,) are at least 0 with a sum of at most 1, `transitions` (K, K) likewise in every row, with a diagonal
    of 0: ValueError otherwise, and for p-values outside 0 ... 1. A hypothesis that no weight can reach has 1. A
    replicate with a NaN is NaN as a whole.
    """
    p = checked_p_values(p)
    w, g = checked_graph(weights, transitions)
    if len(w) != p.shape[1]:
        raise ValueError(f"a graph of {len(w)} hypotheses for {p.shape[1]} p-values")
    rows, n = np.arange(len(p)), p.shape[1]
    share, arrows = np.tile(w, (len(p), 1)), np.tile(g, (len(p), 1, 1))
    left = np.ones(p.shape, dtype=bool)
    reached, adjusted = np.zeros(len(p)), np.ones(p.shape)
    for _ in range(n):
        ratio = _ratio(p, share)
        next_one = np.argmin(np.where(left, ratio, np.inf), axis=1)
        # Where all of those left have no weight, argmin may name one that is not left: it is done already.
        open_ones = left[rows, next_one]
        reached = np.where(open_ones, np.maximum(reached, np.minimum(ratio[rows, next_one], 1.0)), 1.0)
        adjusted[rows, next_one] = np.where(open_ones, reached, adjusted[rows, next_one])
        left[rows, next_one] = False
        share, arrows = _without(share, arrows, next_one)
    return whole_family(adjusted, p)


def rejected_sequence(p: ArrayLike, weights: ArrayLike, transitions: ArrayLike, alpha: float) -> tuple[int, ...]:
    """Hypotheses of one replicate, p (K,), in the order in which the procedure rejects them.

    At every step the smallest p / weight is taken, so other orders may be possible; the set is always the same.
    ValueError as `graphical`, and for a NaN.
    """
    one = np.asarray(p, dtype=np.float64)
    if np.isnan(one).any():
        raise ValueError("a p-value is missing: what is rejected is not known")
    adjusted = graphical(one[None], weights, transitions)[0]
    share, arrows = (a[None] for a in checked_graph(weights, transitions))
    order: list[int] = []
    todo = set(np.flatnonzero(adjusted < alpha).tolist())
    while todo:
        ratio = _ratio(one[None], share)[0]
        best = min(sorted(todo), key=lambda i: ratio[i])
        order.append(best)
        todo.remove(best)
        share, arrows = _without(share, arrows, np.array([best]))
    return tuple(order)


def checked_graph(weights: ArrayLike, transitions: ArrayLike) -> tuple[Floats, Floats]:
    """Weights (K,) and transitions (K, K) as arrays; ValueError that says what is wrong with them."""
    w, g = np.asarray(weights, dtype=np.float64), np.asarray(transitions, dtype=np.float64)
    if w.ndim != 1 or w.size == 0 or g.shape != (len(w), len(w)):
        raise ValueError(f"{w.size} weights need {w.size} x {w.size} transitions, not {' x '.join(map(str, g.shape))}")
    if not (np.isfinite(w).all() and np.isfinite(g).all()):
        raise ValueError("weights and transitions must be finite numbers")
    if np.any(w < 0) or np.sum(w) > 1 + ROUNDING:
        raise ValueError(f"weights must be at least 0 and add up to 1 or less, not {w.tolist()}")
    for i, row in enumerate(g):
        if np.any(row < 0) or np.sum(row) > 1 + ROUNDING:
            raise ValueError(
                f"transitions from hypothesis {i + 1} must be at least 0 and add up to 1 or less, not {row.tolist()}"
            )
        if row[i] != 0:
            raise ValueError(f"hypothesis {i + 1} has a transition to itself ({row[i]}); the diagonal must be 0")
    return w, g


def _ratio(p: Floats, share: Floats) -> Floats:
    """p / weight; infinite without weight, even for p = 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(share > 0, p / share, np.inf)


def _without(share: Floats, arrows: Floats, gone: Ints) -> tuple[Floats, Floats]:
    """The graphs (R, K) and (R, K, K) after hypothesis `gone` (R,) has handed on its weight and its arrows."""
    rows = np.arange(len(share))
    out, into = arrows[rows, gone], arrows[rows, :, gone]
    share = share + share[rows, gone, None] * out
    loop = into * out
    kept = np.where(loop < 1.0 - ROUNDING, 1.0 - loop, np.inf)
    arrows = (arrows + into[:, :, None] * out[:, None, :]) / kept[:, :, None]
    diagonal = np.arange(share.shape[1])
    arrows[:, diagonal, diagonal] = 0.0
    share[rows, gone] = 0.0
    arrows[rows, gone] = 0.0
    arrows[rows, :, gone] = 0.0
    return share, arrows
