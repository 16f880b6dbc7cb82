"""What the estimated variances of a mixed model cost: derivatives, degrees of freedom, adjusted covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trialsim.analysis.fits import Bools, Floats, Ints

Method = Literal["satterthwaite", "kenward_roger", "between_within", "normal"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Data as seen by the K eigenspaces of V. The eigenvalue of space k is share[k] @ variances."""

    gram: Floats  # (K, q, q), squares and products of q - 1 columns of fixed effects and, last, the outcome
    share: Floats  # (K, T), T variances: between clusters, residual, perhaps residual of the arms not nested
    count: Floats  # (K,), dimensions


@dataclass(frozen=True, eq=False)
class Units:
    """Who belongs to which cluster."""

    arm: Ints  # (n,)
    n_arms: int
    member: Ints  # rows of those with a cluster effect
    code: Ints  # their clusters, 0 ... without gaps
    first: Bools  # (n,), with the first residual variance
    n_covariates: int


@dataclass(frozen=True, eq=False)
class Derivatives:
    """REML deviance (-2 log likelihood, up to a constant) at some variances, and what it is made of."""

    deviance: float
    gradient: Floats  # (T,)
    hessian: Floats  # (T, T), observed
    expected: Floats  # (T, T), expectation of the Hessian
    coefficients: Floats  # (q - 1,)
    cov: Floats  # (q - 1, q - 1), Phi = (X'V^-1 X)^-1
    first: Floats  # (T, q - 1, q - 1), derivatives P_i of X'V^-1 X
    second: Floats  # (T, T, q - 1, q - 1), halves Q_ij of its second derivatives


@dataclass(frozen=True, eq=False)
class Inference:
    """Covariance of the means (A, A), degrees of freedom (A, A), and those of the test of all arms."""

    cov: Floats
    df: Floats
    global_df: float


def derivatives(spectrum: Spectrum, variances: Floats) -> Derivatives:
    """With w = 1 / eigenvalue all are sums over eigenspaces of gram, times w, -share w^2 and share share' w^3."""
    share, count, q = spectrum.share, spectrum.count, spectrum.gram.shape[1]
    n_var = share.shape[1]
    eigenvalues = share @ variances
    w = 1 / eigenvalues
    powers = np.vstack([w[None], -share.T * w**2, (share.T[:, None] * share.T).reshape(-1, len(w)) * w**3])
    sums = (powers @ spectrum.gram.reshape(-1, q * q)).reshape(-1, q, q)
    info, first, second = sums[0], sums[1 : 1 + n_var], sums[1 + n_var :].reshape(n_var, n_var, q, q)
    cov = np.linalg.inv(info[:-1, :-1])
    coefficients = cov @ info[:-1, -1]
    to_residual = np.append(-coefficients, 1.0)
    scores = first @ to_residual
    turned = cov @ first[:, :-1, :-1]
    curved = np.einsum("ab,ijba->ij", cov, second[:, :, :-1, :-1])
    crossed = np.einsum("iab,jba->ij", turned, turned)
    traces = (share.T * (count * w**2)) @ share
    bent = to_residual @ (second @ to_residual)[..., None]
    return Derivatives(
        deviance=float(count @ np.log(eigenvalues) + np.linalg.slogdet(info[:-1, :-1])[1] + to_residual @ info[:, -1]),
        gradient=share.T @ (count * w) + np.trace(turned, axis1=1, axis2=2) + scores @ to_residual,
        hessian=2 * curved - crossed - traces + 2 * bent[..., 0] - 2 * scores[:, :-1] @ cov @ scores[:, :-1].T,
        expected=traces - 2 * curved + crossed,
        coefficients=coefficients,
        cov=(cov + cov.T) / 2,
        first=first[:, :-1, :-1],
        second=second[:, :, :-1, :-1],
    )


def infer(at: Derivatives, units: Units, to_means: Floats, *, boundary: bool, method: Method) -> Inference:
    """`to_means` (A, q - 1) times coefficients are the means; `boundary`: the variance between clusters is 0."""
    own = np.eye(units.n_arms, dtype=np.bool_)
    contrasts = np.where(own[..., None], to_means, to_means[:, None] - to_means)
    information = at.expected if boundary or method == "kenward_roger" else at.hessian
    if method == "normal":
        df, global_df = np.full(own.shape, np.inf), np.inf
    elif method == "between_within":
        df = between_within(units)
        global_df = _fewest(df)
    elif method == "kenward_roger":
        df = _satterthwaite(at, contrasts, information)
        global_df = _kenward_roger_f(at, contrasts[1:, 0])
        # With next to no clusters their approximation may have no solution.
        global_df = global_df if global_df > 0 else _fewest(df)
    elif method == "satterthwaite":
        df = _satterthwaite(at, contrasts, information)
        global_df = _satterthwaite_f(at, contrasts[1:, 0], information)
    else:
        raise ValueError(f"unknown degrees of freedom: {method!r}")
    cov = _adjusted(at) if method == "kenward_roger" else at.cov
    return Inference(to_means @ cov @ to_means.T, df, global_df)


def _fewest(df: Floats) -> float:
    """Of all differences between arms."""
    return float(df[~np.eye(len(df), dtype=np.bool_)].min(initial=np.inf))


# ------------------------------------------------------------------------------------ degrees of freedom


def _satterthwaite(at: Derivatives, contrasts: Floats, information: Floats) -> Floats:
    """2 v^2 / var(v) of contrasts (..., q - 1) with variance v, and var(v) by the delta method.

    Twice the inverse of `information`, second derivatives of the deviance, is the covariance of the variances. For
    one contrast Kenward and Roger's degrees of freedom are the same, with expected information.
    """
    along = contrasts @ at.cov
    variance = (along * contrasts).sum(axis=-1)
    gradient = np.stack([((along @ first) * along).sum(axis=-1) for first in at.first], axis=-1)
    spread = gradient @ np.linalg.inv(information)
    return variance**2 / (spread * gradient).sum(axis=-1)


def _satterthwaite_f(at: Derivatives, contrasts: Floats, information: Floats) -> float:
    """Denominator of the F test that contrasts (A - 1, q - 1) are 0, from those of its independent parts (lmerTest)."""
    if not len(contrasts):
        return np.inf
    _, axes = np.linalg.eigh(contrasts @ at.cov @ contrasts.T)
    df = _satterthwaite(at, axes.T @ contrasts, information)
    if np.ptp(df) < 1e-8:
        return float(df.mean())
    if not (df > 2).all():
        return 2.0
    expected = (df / (df - 2)).sum()
    return float(2 * expected / (expected - len(df)))


def _adjusted(at: Derivatives) -> Floats:
    """Kenward and Roger's covariance of the coefficients; V is linear in the variances."""
    weights = 2 * np.linalg.inv(at.expected)
    inner = at.second - at.first[:, None] @ at.cov @ at.first
    adjusted: Floats = at.cov + 2 * at.cov @ np.einsum("ij,ijab->ab", weights, inner) @ at.cov
    return (adjusted + adjusted.T) / 2


def _kenward_roger_f(at: Derivatives, contrasts: Floats) -> float:
    """Their denominator for the test that contrasts (A - 1, q - 1) are 0, with the names of the article."""
    n = len(contrasts)
    if not n:
        return np.inf
    weights = 2 * np.linalg.inv(at.expected)
    along = contrasts @ at.cov
    parts = np.linalg.solve(along @ contrasts.T, along @ at.first @ along.T)
    traces = np.trace(parts, axis1=1, axis2=2)
    a1 = float(traces @ weights @ traces)
    a2 = float((weights * np.einsum("iab,jba->ij", parts, parts)).sum())
    b = (a1 + 6 * a2) / (2 * n)
    g = ((n + 1) * a1 - (n + 4) * a2) / ((n + 2) * a2)
    c1, c2, c3 = np.array([g, n - g, n + 2 - g]) / (3 * n + 2 * (1 - g))
    rho = (1 - a2 / n) ** 2 * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b)) / n
    return float(4 + (n + 2) / (n * rho - 1))


# ---------------------------------------------------------------------------------------- between and within


def between_within(units: Units) -> Floats:
    """Degrees of freedom (A, A) by counting, as told in `mixed.mixed`. At least 1."""
    n_clusters = int(units.code.max(initial=-1)) + 1
    present = np.zeros((units.n_arms, n_clusters), dtype=np.bool_)
    present[units.arm[units.member], units.code] = True
    clustered: Bools = np.asarray(present.any(axis=1))
    linked = _linked(present)
    between = n_clusters - len(np.unique(linked[clustered], axis=0))
    n_all, n_arms = len(units.arm), units.n_arms
    residual = _residual_df(units)
    df = np.minimum(residual[:, None], residual)
    df[clustered | clustered[:, None]] = between
    apart = linked & ~np.eye(n_arms, dtype=np.bool_)
    df[apart] = n_all - n_arms - units.n_covariates - between
    return np.maximum(df, 1.0)


def _linked(present: Bools) -> Bools:
    """Which arms (A, A) share most of their clusters, directly or through other arms."""
    both = present.astype(np.float64) @ present.T
    own = np.diagonal(both)
    linked: Bools = (both > 0) & (2 * both >= own[:, None] + own - both)
    for _ in range(len(present)):
        linked = (linked.astype(np.float64) @ linked) > 0
    return linked


def _residual_df(units: Units) -> Floats:
    """(A,): observations less arms and covariates, of all who share the arm's residual variance."""
    n_first = np.bincount(units.arm[units.first], minlength=units.n_arms)
    n_rest = np.bincount(units.arm[~units.first], minlength=units.n_arms)
    first, rest = n_first > 0, n_rest > 0
    of_first = n_first.sum() - first.sum() - units.n_covariates
    of_rest = n_rest.sum() - rest.sum() - units.n_covariates
    return np.where(first, of_first, of_rest).astype(np.float64)
