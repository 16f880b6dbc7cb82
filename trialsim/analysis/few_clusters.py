"""Comparisons of arms in which participants share few clusters (coaches, sites, providers), one visit at a time.

Participants who stand alone are clusters of one. A visit that cannot be analysed has a reason; the others are not
affected. Reference: Hayes & Moulton, Cluster Randomised Trials (2nd ed. 2017, doi:10.4324/9781315370286), and the
papers named below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trialsim.analysis import gee_variance
from trialsim.analysis.fits import Bools, Data, FitError, Floats, Ints, Means
from trialsim.analysis.gee import COLLINEAR, standardised_covariates
from trialsim.analysis.gee_variance import Rows, Units, arranged, is_constant

Correction = Literal["CR0", "CR1", "CR2"]
Weights = Literal["equal", "size"]


@dataclass(frozen=True, eq=False)
class _Visit:
    """The n participants observed at one visit, in the order of `units`."""

    number: int
    y: Floats  # (n,)
    arm: Ints  # (n,)
    x: Floats  # (n, C), centred, in standard deviations
    units: Units
    n_arms: int


@dataclass(frozen=True, eq=False)
class _Answer:
    """What is known of A means at one visit."""

    mean: Floats  # (A,)
    cov: Floats  # (A, A)
    df: Floats  # (A, A)
    global_df: float


def cluster_robust(data: Data, *, correction: Correction = "CR2") -> Means:
    """Least squares on arms and covariates at each visit, with a variance that is robust to clusters.

    "CR2" (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004) has no bias if
    observations are independent and have equal variances, whatever the number of clusters; where they are not, its
    degrees of freedom are those of equal variances, a little too many for coached participants against others. Every
    mean and every difference has its own, by Satterthwaite's method, as `clubSandwich::linear_contrast` gives them; the
    F test of all arms combines those of its components (Fai & Cornelius 1996, doi:10.1080/00949659608811740), which is
    not the HTZ test of clubSandwich unless there are two arms.

    "CR0" is the plain sandwich with the normal distribution (`sandwich::vcovCL(type = "HC0", cadjust = FALSE)`), and
    anti-conservative for few clusters. "CR1" multiplies it by G / (G - 1) for G clusters, those of one counted
    (clubSandwich's CR1; vcovCL's HC0 with its default cadjust), with Satterthwaite degrees of freedom.

    The means are those at the mean covariates of the participants observed at the visit. A mean whose variance "CR2"
    cannot estimate while differences are fine (as where every site has its own covariate) has NaN degrees of freedom.
    ValueError for weights.
    """
    return _by_visit(data, lambda visit: _robust(visit, correction))


def cluster_means(data: Data, *, weights: Weights = "equal", pooled: bool = False) -> Means:
    """Means of the cluster means of each arm, compared by t tests, for clusters that belong to one arm each.

    With covariates, outcomes are first regressed on them (not on the arm) and replaced by residual + overall mean: the
    two-stage method of Hayes & Moulton (2017, chapter 10). Degrees of freedom are not reduced for covariates of
    participants; a covariate that is constant within clusters costs one that is not accounted for.

    `weights` "size": every cluster counts as often as it has participants, and its deviation from the arm's mean
    likewise: variance = G / (G - 1) x sum of (n_g (mean_g - mean))**2 / (sum of n_g)**2, the linearised variance of a
    ratio (as `survey::svymean`), which needs no assumption on how the variance of a cluster mean depends on n_g.

    `pooled` False: the arms' own variances, with the degrees of freedom of Welch (1947, doi:10.1093/biomet/34.1-2.28)
    for differences, G_a - 1 for means. True: one variance of all arms, with sum of G_a - A degrees of freedom (A = 2:
    Student's t test; not for participants alone against clusters, whose means vary less). The F test of all arms is
    then that of the analysis of variance if weights are equal.
    ValueError for weights of observations (`data.weights`).
    """
    return _by_visit(data, lambda visit: _summaries(visit, weights, pooled))


def _by_visit(data: Data, analyse: Callable[[_Visit], _Answer]) -> Means:
    if data.weights is not None:
        raise ValueError("weights of observations are not supported")
    n_arms, n_visits = data.n_arms, data.y.shape[1]
    mean = np.full((n_arms, n_visits), np.nan)
    cov = np.zeros((n_arms, n_visits, n_arms, n_visits))
    df, global_df = np.full((n_arms, n_arms, n_visits), np.nan), np.full(n_visits, np.nan)
    n_cell, reason = np.empty((n_arms, n_visits), dtype=np.int64), [""] * n_visits
    for v, seen in enumerate(data.observed.T):
        n_cell[:, v] = np.bincount(data.arm[seen], minlength=n_arms)
        try:
            with np.errstate(all="ignore"):
                answer = analyse(_visit(data, v, seen))
            mean[:, v], cov[:, v, :, v], df[..., v] = answer.mean, answer.cov, answer.df
            global_df[v] = answer.global_df
        except FitError as error:
            cov[:, v, :, v], reason[v] = np.nan, str(error)
    fitted = np.array([not text for text in reason])
    n_used = int(data.observed[:, fitted].any(axis=1).sum())
    size = n_arms * n_visits
    return Means("identity", mean, cov.reshape(size, size), df, global_df, n_cell, n_used, tuple(reason))


def _visit(data: Data, number: int, seen: Bools) -> _Visit:
    rows = np.flatnonzero(seen)
    order, units = arranged(data.cluster[rows])
    rows = rows[order]
    y, arm = data.y[rows, number], data.arm[rows]
    in_arm = arm[:, None] == np.arange(data.n_arms)
    _refuse(in_arm.sum(axis=0) == 0, "no observations", number)
    if not np.isfinite(np.square(y).sum()):
        raise FitError("an observed outcome is not finite or too large")
    _refuse((units.total(in_arm.astype(np.float64)) > 0).sum(axis=0) < 2, "fewer than 2 clusters", number)
    x = standardised_covariates(data.covariates[rows].T).T
    return _Visit(number, y, arm, x, units, data.n_arms)


def _refuse(arms: Bools, text: str, visit: int) -> None:
    for arm in np.flatnonzero(arms):
        raise FitError(f"{text} in arm {arm} at visit {visit}")


def _least_squares(design: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Coefficients (p,), residuals (n,), and X'X (p, p)."""
    squares = design.T @ design
    scale = 1 / np.sqrt(np.diagonal(squares))
    if np.linalg.eigvalsh(squares * scale * scale[:, None])[0] < COLLINEAR:
        raise FitError("covariates are collinear")
    found = np.asarray(np.linalg.solve(squares, design.T @ y), dtype=np.float64)
    return found, y - design @ found, squares


# ------------------------------------------------------------------------------------------- least squares


def _robust(visit: _Visit, correction: Correction) -> _Answer:
    in_arm = (visit.arm[:, None] == np.arange(visit.n_arms)).astype(np.float64)
    design = np.hstack([in_arm, visit.x])
    if len(design) <= design.shape[1]:
        raise FitError(f"{len(design)} observations are too few for {design.shape[1]} parameters")
    found, residual, squares = _least_squares(design, visit.y)
    nothing = is_constant(np.square(residual) @ in_arm, np.square(visit.y) @ in_arm)
    _refuse(nothing, "zero variance", visit.number)
    rows = Rows.whitened(design[:, None], residual[:, None], squares, visit.units)
    fit = gee_variance.sandwich(rows, "kauermann_carroll" if correction == "CR2" else "none")
    gradient = rows.coordinates(np.eye(visit.n_arms, design.shape[1]))
    lost = fit.refuse(gradient[:, None], first_visit=visit.number)[:, 0]
    cov = fit.cov(gradient)
    if correction == "CR0":
        return _Answer(found[: visit.n_arms], cov, np.full(cov.shape, np.inf), np.inf)
    if correction == "CR1":
        cov = cov * visit.units.count / (visit.units.count - 1)
    df, global_df = gee_variance.degrees_of_freedom(fit, gradient, visit.number)
    np.fill_diagonal(df, np.where(lost, np.nan, np.diagonal(df)))
    return _Answer(found[: visit.n_arms], cov, df, global_df)


# -------------------------------------------------------------------------------------- cluster-level summaries


def _summaries(visit: _Visit, weights: Weights, pooled: bool) -> _Answer:
    size, mean, arm = _cluster_table(visit)
    g = _sums(arm, np.ones_like(size), visit.n_arms)
    weight = size if weights == "size" else np.ones_like(size)
    weight = weight * (g / _sums(arm, weight, visit.n_arms))[arm]
    means = _sums(arm, weight * mean, visit.n_arms) / g
    squares = _sums(arm, np.square(weight * (mean - means[arm])), visit.n_arms)
    nothing = is_constant(squares, _sums(arm, np.square(weight * mean), visit.n_arms))
    _refuse(nothing & (nothing.all() or not pooled), "zero variance", visit.number)
    if pooled:
        df = float(g.sum() - visit.n_arms)
        return _Answer(means, np.diag(squares.sum() / df / g), np.full((visit.n_arms, visit.n_arms), df), df)
    variance = squares / (g - 1) / g
    return _Answer(means, np.diag(variance), *_welch(variance, g - 1))


def _sums(arm: Ints, values: Floats, n_arms: int) -> Floats:
    return np.asarray(np.bincount(arm, weights=values, minlength=n_arms), dtype=np.float64)


def _cluster_table(visit: _Visit) -> tuple[Floats, Floats, Ints]:
    """Size, mean and arm of every cluster, (G,) each."""
    units, y = visit.units, visit.y
    if visit.x.shape[1]:
        design = np.hstack([np.ones((len(y), 1)), visit.x])
        if len(design) <= design.shape[1]:
            raise FitError(f"{len(design)} observations are too few for {design.shape[1]} parameters")
        found, residual, _ = _least_squares(design, y)
        y = found[0] + residual
    size = units.total(np.ones_like(y))
    arm = visit.arm[np.concatenate([np.arange(units.n_lone), units.starts])]
    if (units.spread(arm) != visit.arm).any():
        raise FitError("a cluster has participants in more than one arm")
    return size, units.total(y) / size, arm


def _welch(variance: Floats, df: Floats) -> tuple[Floats, float]:
    """Degrees of freedom of all pairs and means (A, A), and of the F test, for independent arms."""
    pairs = np.square(variance[:, None] + variance) / (np.square(variance) / df + (np.square(variance) / df)[:, None])
    np.fill_diagonal(pairs, df)
    if len(df) < 2:
        return pairs, np.inf
    apart = np.eye(len(df))[1:] - np.eye(len(df))[0]
    directions = np.linalg.eigh((apart * variance) @ apart.T)[1].T @ apart
    parts = np.square(directions) * variance
    return pairs, gee_variance.f_test_df(np.square(parts.sum(axis=1)) / (np.square(parts) / df).sum(axis=1))
