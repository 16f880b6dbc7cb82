"""Adjusted p-values: one family of K hypotheses in each of R replicates.

Every function takes raw p-values (R, K) and returns adjusted p-values (R, K), the smallest familywise error rate at
which the procedure rejects the hypothesis. As everywhere in trialsim, significant means below alpha (`rejected`).

A NaN is a test that could not be done, and nobody may read it as "not significant". A replicate with a NaN anywhere
in the family gets NaN for the whole family, except for hypotheses whose decision provably does not use it: all others
for `none`, `bonferroni` and `fisher_lsd`, earlier ones for `fixed_sequence` and `fallback`, earlier families for
`gatekeeping`.

All raise ValueError for p-values outside 0 ... 1 or of another shape than (R, K).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

import numpy as np

from trialsim.analysis.fits import Floats, Ints

Procedure = Literal["bonferroni", "holm", "hochberg", "hommel"]

ROUNDING = 1e-9  # by which weights may exceed 1
_TINY = np.finfo(np.float64).tiny

_Gate = tuple[Floats, float]  # p-value (R,) of the parts in the families so far, and what they leave of alpha


def none(p: Floats) -> Floats:
    """No adjustment."""
    return checked_p_values(p).copy()


def bonferroni(p: Floats, weights: Sequence[float] | None = None) -> Floats:
    """p / weight, at most 1; without weights p * K. `weights` (K,) are at least 0, with a sum of at most 1."""
    p = checked_p_values(p)
    return np.minimum(_per_weight(p, _weights(weights, p.shape[1])), 1.0)


def holm(p: Floats, weights: Sequence[float] | None = None) -> Floats:
    """Step-down Bonferroni, weighted or not (Holm 1979, Scand J Statist 6:65-70). Weights as for `bonferroni`.

    Hypotheses are taken in order of p / weight, and what the rejected ones had goes to the others in proportion to
    their weights.
    """
    p = checked_p_values(p)
    weight = np.broadcast_to(_weights(weights, p.shape[1]), p.shape)
    order = np.argsort(_per_weight(p, weight), axis=1, kind="stable")
    weight = np.take_along_axis(weight, order, axis=1)
    left = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    share = weight * left[:, :1] / np.maximum(left, _TINY)
    stepwise = np.maximum.accumulate(_per_weight(np.take_along_axis(p, order, axis=1), share), axis=1)
    return whole_family(_put_back(np.minimum(stepwise, 1.0), order), p)


def hochberg(p: Floats) -> Floats:
    """Step-up Bonferroni (Hochberg 1988, doi:10.1093/biomet/75.4.800). Needs tests that are positively dependent."""
    p = checked_p_values(p)
    order = np.argsort(p, axis=1, kind="stable")
    steps = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1)
    stepwise = np.minimum.accumulate(steps[:, ::-1], axis=1)[:, ::-1]
    return whole_family(_put_back(np.minimum(stepwise, 1.0), order), p)


def hommel(p: Floats) -> Floats:
    """Closed test with Simes' test of every intersection (Hommel 1988, doi:10.1093/biomet/75.2.383).

    Needs positive dependence, as `hochberg`. The adjusted p-value is the largest over the intersections that hold the
    hypothesis.
    """
    p = checked_p_values(p)
    parts = _least_significant(p, "hommel", 1.0)
    return whole_family(np.minimum(np.max(parts, axis=0), 1.0), p)


def fixed_sequence(p: Floats) -> Floats:
    """Hypotheses in the order of the columns, each at full alpha, until one is not rejected (Maurer et al. 1995)."""
    return np.maximum.accumulate(checked_p_values(p), axis=1)


def fallback(p: Floats, weights: Sequence[float] | None = None) -> Floats:
    """The fallback procedure (Wiens & Dmitrienko 2005, doi:10.1080/10543400500265660), exhausting alpha by closure.

    Order is that of the columns; `weights` as for `bonferroni`, default equal. In an intersection a hypothesis has its
    own weight and those of the absent ones just before it. Later hypotheses only make an intersection more
    significant, so the adjusted p-value of b is the largest, over the hypothesis a before b in the intersection, of
    min(adjusted p of a, p_b / (weights from a, excluded, to b)).
    """
    p = checked_p_values(p)
    n = p.shape[1]
    upto = np.concatenate([[0.0], np.cumsum(_weights(weights, n))])
    adjusted = np.full((len(p), n + 1), np.inf)
    for b in range(1, n + 1):
        paths = [np.minimum(adjusted[:, a], _per_weight(p[:, b - 1], upto[b] - upto[a])) for a in range(b)]
        adjusted[:, b] = np.max(paths, axis=0)
    return np.minimum(adjusted[:, 1:], 1.0)


def fisher_lsd(p: Floats, global_p: Floats, alpha: float) -> Floats:
    """Rejections (1, 0 or NaN): each p (R, K) below alpha, but only where the global test (R,) or (R, K) is too.

    Keeps the familywise error rate only where K hypotheses stand for three arms (Hayter 1986, doi:10.2307/2289074).
    NaN where either p-value is: a failed fit is neither significant nor not.
    """
    p, gate = checked_p_values(p), np.asarray(global_p, dtype=np.float64)
    gate = checked_p_values(gate[:, None] if gate.ndim == 1 else gate)
    if len(gate) != len(p):
        raise ValueError(f"{len(gate)} global p-values for {len(p)} replicates")
    return rejected(np.maximum(p, gate), alpha)  # NaN if either is


def rejected(adjusted: Floats, alpha: float) -> Floats:
    """1 where adjusted < alpha, 0 elsewhere, NaN where unknown."""
    adjusted = np.asarray(adjusted, dtype=np.float64)
    return np.where(np.isnan(adjusted), np.nan, (adjusted < alpha).astype(np.float64))


def gatekeeping(
    p: Floats,
    families: Sequence[Sequence[int]],
    *,
    kind: Literal["serial", "parallel"],
    procedure: Procedure | Sequence[Procedure],
    gamma: Sequence[float] | None = None,
) -> Floats:
    """Families of hypotheses in order of importance. Each hypothesis (column) is in one family.

    "serial": a family is tested, by its procedure at full alpha, once all hypotheses of all families before it are
    rejected. "parallel": one rejection opens the gate to the next family; truncated procedures are used, with one
    truncation `gamma` per family from 0 (Bonferroni; the only choice for "bonferroni") to 1 (the full procedure, which
    as a gatekeeper passes something on only when all are rejected; the usual choice for the last family).
    Dmitrienko, Tamhane & Wiens 2008, doi:10.1002/bimj.200710464; general form: Dmitrienko & Tamhane 2011,
    doi:10.1002/sim.4008.

    ValueError if the families are not a partition of the columns, or for a `gamma` that does not fit.
    """
    p = checked_p_values(p)
    _check_families(families, p.shape[1])
    chosen = _one_each(procedure, len(families))
    if kind == "serial":
        if gamma is not None:
            raise ValueError("gamma belongs to parallel gatekeeping")
        return _serial(p, families, chosen)
    if kind != "parallel":
        raise ValueError(f"kind must be 'serial' or 'parallel', not {kind!r}")
    return _parallel(p, families, chosen, _checked_gamma(gamma, chosen))


def _serial(p: Floats, families: Sequence[Sequence[int]], procedures: Sequence[Procedure]) -> Floats:
    adjusted = np.empty_like(p)
    gate = np.zeros((len(p), 1))
    for family, name in zip(families, procedures, strict=True):
        here = np.maximum(_ADJUST[name](p[:, list(family)]), gate)
        gate = np.max(here, axis=1, keepdims=True)
        adjusted[:, list(family)] = here
    return adjusted


def _parallel(
    p: Floats, families: Sequence[Sequence[int]], procedures: Sequence[Procedure], gammas: Sequence[float]
) -> Floats:
    """By closure. An intersection has the p-value min over families of p(its part in the family) / alpha left.

    What is left of alpha depends only on how many hypotheses are in the earlier parts. Given these numbers the least
    significant parts are those of the largest p-values, and parts in later families only add significance; so a
    hypothesis' adjusted p-value is the largest over the numbers of hypotheses from its own and the earlier families.
    """
    adjusted = np.empty_like(p)
    gates: list[_Gate] = [(np.full(len(p), np.inf), 1.0)]
    for family, name, gamma in zip(families, procedures, gammas, strict=True):
        here = p[:, list(family)]
        parts = _least_significant(here, name, gamma)
        both = product(gates, parts)
        values = [np.minimum(before[:, None], _per_weight(part, left)) for (before, left), part in both]
        adjusted[:, list(family)] = whole_family(np.max(values, axis=0), here)
        gates = _next_gates(gates, [np.max(part, axis=1) for part in parts], gamma)
    return np.minimum(adjusted, 1.0)


def _next_gates(gates: list[_Gate], parts: list[Floats], gamma: float) -> list[_Gate]:
    """Every gate, with 0 ... n hypotheses of the next family. `parts` (R,) are p-values of the n largest parts."""
    # No hypothesis: not significant, but unknown where the family is.
    nothing = np.where(np.isnan(parts[-1]), np.nan, np.inf)
    return [
        (np.minimum(before, _per_weight(part, left)), left * (1.0 - _error_fraction(m, len(parts), gamma)))
        for (before, left), (m, part) in product(gates, enumerate([nothing, *parts]))
    ]


def _error_fraction(m: int, n: int, gamma: float) -> float:
    """Share of alpha that a truncated procedure uses for m of its n hypotheses; exactly 1 for all of them."""
    if m == 0:
        return 0.0
    return 1.0 if m == n else gamma + (1.0 - gamma) * m / n


def _least_significant(p: Floats, name: Procedure, gamma: float) -> list[Floats]:
    """For m = 1 ... K, p-values (R, K) of the least significant intersection of m hypotheses that holds hypothesis i.

    That is i with the m - 1 largest of the others. Where i is not among the m largest it takes the place of the
    smallest of them.
    """
    n = p.shape[1]
    ordered = np.sort(p, axis=1)
    # NaN sorts to the end and would be left out of no intersection; make that plain for m = 1 too.
    ordered[np.isnan(ordered[:, -1])] = np.nan
    parts = []
    for m in range(1, n + 1):
        divisors = _divisors(name, gamma, m, n)
        rest = np.min(ordered[:, n - m + 1 :] / divisors[1:], axis=1, initial=np.inf)
        parts.append(np.minimum(np.minimum(p, ordered[:, n - m, None]) / divisors[0], rest[:, None]))
    return parts


def _divisors(name: Procedure, gamma: float, m: int, n: int) -> Floats:
    """p-value of an intersection of m of n hypotheses = min over its ordered p-values of p / divisor; divisors (m,).

    Dmitrienko, Tamhane & Wiens 2008: gamma times the procedure's own plus (1 - gamma) times Bonferroni's.
    """
    rank = np.arange(1, m + 1)
    own = {"bonferroni": 1 / n, "holm": 1 / m, "hochberg": 1 / (m - rank + 1), "hommel": rank / m}[name]
    return gamma * np.broadcast_to(np.asarray(own, dtype=np.float64), (m,)) + (1.0 - gamma) / n


def _per_weight(p: Floats, weight: Floats | float) -> Floats:
    """p / weight; without weight nothing is ever rejected, not even p = 0. NaN stays."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(np.isnan(p), np.nan, np.where(np.asarray(weight) > 0, p / weight, np.inf))


def _put_back(ordered: Floats, order: Ints) -> Floats:
    there = np.empty_like(ordered)
    np.put_along_axis(there, order, ordered, axis=1)
    return there


def whole_family(adjusted: Floats, p: Floats) -> Floats:
    """NaN for every replicate with a NaN in its family."""
    return np.where(np.isnan(p).any(axis=1, keepdims=True), np.nan, adjusted)


def checked_p_values(p: Floats) -> Floats:
    """(R, K), or ValueError."""
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] == 0:
        raise ValueError(f"p-values must be replicates x hypotheses, not of shape {p.shape}")
    if not np.all((p >= 0) & (p <= 1) | np.isnan(p)):
        raise ValueError("p-values must lie between 0 and 1 (NaN where a test could not be done)")
    return p


def _weights(weights: Sequence[float] | None, n: int) -> Floats:
    if weights is None:
        return np.full(n, 1.0 / n)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (n,):
        raise ValueError(f"{n} hypotheses need {n} weights, not {given.size}")
    if not (np.all(given >= 0) and math.fsum(given) <= 1 + ROUNDING):
        raise ValueError(f"weights must be at least 0 and add up to 1 or less, not {given.tolist()}")
    return given


def _check_families(families: Sequence[Sequence[int]], n: int) -> None:
    members = [i for family in families for i in family]
    if sorted(members) != list(range(n)) or not all(len(family) for family in families):
        raise ValueError(f"families must hold each of the {n} hypotheses once and none be empty: {families}")


def _one_each(procedure: Procedure | Sequence[Procedure], n: int) -> list[Procedure]:
    names = [procedure] * n if isinstance(procedure, str) else list(procedure)
    if len(names) != n:
        raise ValueError(f"{n} families need one procedure or {n}, not {len(names)}")
    if unknown := [name for name in names if name not in _ADJUST]:
        raise ValueError(f"gatekeeping knows {', '.join(_ADJUST)}, not {unknown[0]!r}")
    return names


def _checked_gamma(gamma: Sequence[float] | None, names: list[Procedure]) -> list[float]:
    if gamma is None or len(gamma) != len(names):
        raise ValueError(f"parallel gatekeeping needs one gamma per family ({len(names)})")
    for value, name in zip(gamma, names, strict=True):
        if not 0 <= value <= 1:
            raise ValueError(f"gamma must lie between 0 and 1, not {value}")
        if name == "bonferroni" and value != 0:
            raise ValueError(f"a family with the Bonferroni procedure has gamma 0, not {value}")
    return [float(value) for value in gamma]


_ADJUST: dict[str, Callable[[Floats], Floats]] = {
    "bonferroni": bonferroni, "holm": holm, "hochberg": hochberg, "hommel": hommel,
}  # fmt: skip
