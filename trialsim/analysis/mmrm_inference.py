"""The restricted likelihood of a mixed model for repeated measures: its maximum, and inference from there.

REML is maximised by Newton's method with the observed information, or Fisher scoring where that is not positive
definite, over theta, in which Sigma = sum of theta_r S_r is linear (Jennrich & Schluchter 1986,
doi:10.2307/2530695). Observed information = 2 x average information - expected information (Gilmour, Thompson &
Cullis 1995, doi:10.2307/2533274), so neither needs sums over participants.

Notation of Kenward & Roger (1997, doi:10.2307/2533558): phi = (X'WX)^-1 with W = Sigma^-1; P_r is the derivative
of X'WX with respect to theta_r; Q_rs = X'W S_r W S_s W X. Second derivatives of Sigma vanish.

Sizes: N participants, A arms, V visits, K regressors (arms and covariates), p coefficients, R covariance
parameters, G patterns of observed visits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trialsim.analysis.fits import FitError, Floats

MAX_ITERATIONS = 100
# Score x step, a squared distance to the maximum in standard errors. Newton's method squares it with its last step.
CONVERGED = 1e-10
# The same where rounding forbids a better likelihood.
STALLED = 1e-8
# Least eigenvalue of the correlation matrix of the visits, how far it may fall in one step, and where a likelihood
# that loses its curvature does so for its sake.
SINGULAR = 1e-8
FALL = 0.1
NEARLY_SINGULAR = 1e-3
# Least eigenvalue of the information on theta, scaled to a unit diagonal.
UNIDENTIFIED = 1e-12
SINGULAR_SIGMA = "residual covariance is singular"
NOT_IDENTIFIED = "the data do not identify the covariance of the visits"


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the participants of each of the G patterns of observed visits; `y` are residuals of least squares."""

    seen: Floats  # (G, V), 0 or 1
    n: Floats  # (G,), participants
    zz: Floats  # (G, K, K)
    zy: Floats  # (G, K, V)
    yy: Floats  # (G, V, V)
    n_pairs: Floats  # (V, V), participants with both visits
    beta0: Floats  # (p,), least squares estimate, in units of `scale`
    scale: float  # of the outcome
    to_full: Floats
    basis: Floats

    def gram(self, middle: Floats) -> Floats:
        """Sum over participants of X_i' M X_i for M (..., G, V, V) of their pattern: (..., p, p)."""
        n_patterns, n_regressors, _ = self.zz.shape
        n_visits = self.seen.shape[1]
        many = middle.reshape(-1, n_patterns, n_visits**2)
        full = many.swapaxes(1, 2) @ self.zz.reshape(n_patterns, -1)
        full = full.reshape(-1, n_visits, n_visits, n_regressors, n_regressors).transpose(0, 3, 1, 4, 2)
        full = full.reshape(-1, n_regressors * n_visits, n_regressors * n_visits)
        gram: Floats = self.to_full.T @ (full @ self.to_full)
        return gram.reshape(*middle.shape[:-3], *gram.shape[1:])

    def spread(self, phi: Floats) -> Floats:
        """Sum over the participants of each pattern of X_i phi X_i': (G, V, V)."""
        n_patterns, n_regressors, _ = self.zz.shape
        n_visits = self.seen.shape[1]
        full = (self.to_full @ phi @ self.to_full.T).reshape(n_regressors, n_visits, n_regressors, n_visits)
        spread: Floats = self.zz.reshape(n_patterns, -1) @ full.transpose(0, 2, 1, 3).reshape(-1, n_visits**2)
        return spread.reshape(n_patterns, n_visits, n_visits)

    def by_visit(self, beta: Floats) -> Floats:
        """Coefficients of all regressors at all visits, (K, V)."""
        return (self.to_full @ beta).reshape(-1, self.seen.shape[1])


@dataclass(frozen=True, eq=False)
class Reml:
    """The restricted likelihood at some theta; deviance is -2 log likelihood without (n - p) log 2 pi."""

    theta: Floats  # (R,)
    sigma: Floats  # (V, V)
    least: float  # eigenvalue of Sigma as a correlation matrix
    deviance: float
    beta: Floats  # (p,)
    phi: Floats  # (p, p)
    weight: Floats  # (G, V, V), W of the visits observed, 0 at others
    slope: Floats  # (R, p, p), P_r
    score: Floats  # (R,), of the log likelihood
    expected: Floats  # (R, R), information on theta
    observed: Floats  # (R, R)


def maximum(sums: Sums) -> Reml:
    """The maximum reached from products of residuals, or else the one reached from independent visits.

    With few participants the likelihood may grow without bound towards a singular Sigma and have a maximum too.
    """
    start = _start(sums)
    try:
        return _climb(sums, start)
    except FitError:
        same_visit = np.eye(sums.seen.shape[1]) * sums.basis
        try:
            return _climb(sums, np.where(same_visit.any(axis=(1, 2)), start, 0.0))
        except FitError:
            pass
        raise


def _climb(sums: Sums, theta: Floats) -> Reml:
    at = _reml_at(sums, theta)
    if at is None:
        raise FitError(SINGULAR_SIGMA)
    for _ in range(MAX_ITERATIONS):
        step = _step(at)
        distance = float(at.score @ step)
        better = _better(sums, at, step)
        if better is None and distance > STALLED:
            raise FitError("no convergence")
        at = better or at
        if at.least < SINGULAR:
            raise FitError(SINGULAR_SIGMA)
        if better is None or distance < CONVERGED:
            break
    else:
        slow = f"did not converge in {MAX_ITERATIONS} iterations"
        raise FitError(SINGULAR_SIGMA if at.least < NEARLY_SINGULAR else slow)
    if not _is_positive(at.observed):
        raise FitError("no maximum of the likelihood")
    return at


def _step(at: Reml) -> Floats:
    """Newton's step where the likelihood curves downwards, and that of Fisher scoring elsewhere."""
    if not _is_positive(at.expected):
        raise FitError(SINGULAR_SIGMA if at.least < NEARLY_SINGULAR else NOT_IDENTIFIED)
    info = at.observed if _is_positive(at.observed) else at.expected
    return np.asarray(np.linalg.solve(info, at.score))


def _is_positive(info: Floats) -> bool:
    """Whether the information is positive definite beyond rounding."""
    unit = info.diagonal()
    if not (np.isfinite(info).all() and (unit > 0).all()):
        return False
    return bool(np.linalg.eigvalsh(info / np.sqrt(np.outer(unit, unit)))[0] > UNIDENTIFIED)


def _better(sums: Sums, at: Reml, step: Floats) -> Reml | None:
    """The step, halved until the likelihood is not worse; None if that leads nowhere."""
    slack = 1e-13 * (sums.n_pairs.trace() + abs(at.deviance))
    for halvings in range(40):
        trial = _reml_at(sums, at.theta + step * 0.5**halvings)
        if trial is not None and trial.least > FALL * at.least and trial.deviance <= at.deviance + slack:
            return trial
    return None


def _start(sums: Sums) -> Floats:
    """theta (R,) from products of residuals of least squares, drawn towards independence until positive definite."""
    n_obs = sums.n_pairs.trace()
    sigma = sums.yy.sum(axis=0) / np.maximum(sums.n_pairs, 1.0) * n_obs / (n_obs - len(sums.beta0))
    pattern = sums.basis.reshape(len(sums.basis), -1)
    sigma = (sigma.reshape(-1) @ pattern.T / (pattern**2).sum(axis=1) @ pattern).reshape(sigma.shape)
    least = _least_correlation(sigma)
    pull = (0.01 - least) / (1 - least) if least < 0.01 else 0.0
    sigma = (1 - pull) * sigma + pull * np.diag(sigma.diagonal())
    return sigma.reshape(-1) @ pattern.T / (pattern**2).sum(axis=1)


def _least_correlation(sigma: Floats) -> float:
    """Least eigenvalue of the correlation matrix; negative where a variance is."""
    variance = sigma.diagonal()
    if not (np.isfinite(sigma).all() and (variance > 0).all()):
        return -1.0
    return float(np.linalg.eigvalsh(sigma / np.sqrt(np.outer(variance, variance)))[0])


def _reml_at(sums: Sums, theta: Floats) -> Reml | None:
    """None where Sigma is not positive definite beyond rounding.

    With F = sum of X phi X' and E = sum of residual products, by pattern, the score is
    -1/2 tr S_r [n W - W (F + E) W]; a trace tr(S_r W S_s M) is vec(S_r)' (M (x) W) vec(S_s).
    """
    sigma = np.tensordot(theta, sums.basis, axes=1)
    least = _least_correlation(sigma)
    if least < FALL * SINGULAR:
        return None
    both = sums.seen[:, :, None] * sums.seen[:, None]
    block = np.where(both > 0, sigma, np.eye(len(sigma)))
    weight = np.linalg.inv(block) * both
    info = sums.gram(weight)
    try:
        phi = np.linalg.inv(info)
    except np.linalg.LinAlgError:
        return None
    phi = (phi + phi.T) / 2
    beta = phi @ sums.to_full.T @ (sums.zy @ weight).sum(axis=0).reshape(-1)
    linear = sums.by_visit(beta)
    cross = linear.T @ sums.zy
    error = sums.yy - cross - cross.swapaxes(1, 2) + linear.T @ sums.zz @ linear
    deviance = sums.n @ np.linalg.slogdet(block)[1] + np.linalg.slogdet(info)[1] + (weight * error).sum()
    if not math.isfinite(deviance):
        return None
    of_mean, of_error = weight @ sums.spread(phi) @ weight, weight @ error @ weight
    slope = -sums.gram(weight @ sums.basis[:, None] @ weight)
    expected = _expected(sums, weight, of_mean, phi @ slope)
    twice_average = _twice_average(sums, weight, of_error, sums.zy - sums.zz @ linear, phi)
    return Reml(
        theta=theta,
        sigma=sigma,
        least=least,
        deviance=float(deviance),
        beta=beta,
        phi=phi,
        weight=weight,
        slope=slope,
        score=-np.tensordot(sums.basis, (sums.n[:, None, None] * weight - of_mean - of_error).sum(axis=0)) / 2,
        expected=expected,
        observed=twice_average - expected,
    )


def _expected(sums: Sums, weight: Floats, of_mean: Floats, phi_slope: Floats) -> Floats:
    """Half of [sum of tr(W S_r W S_s) - 2 tr(phi Q_rs) + tr(phi P_r phi P_s)]."""
    n_parameters = len(sums.basis)
    basis = sums.basis.reshape(n_parameters, -1)
    traces = basis @ _kronecker_sum(sums.n[:, None, None] * weight - 2 * of_mean, weight) @ basis.T
    squared = phi_slope.reshape(n_parameters, -1) @ phi_slope.swapaxes(1, 2).reshape(n_parameters, -1).T
    return (traces + traces.T + squared + squared.T) / 4


def _twice_average(sums: Sums, weight: Floats, of_error: Floats, z_residual: Floats, phi: Floats) -> Floats:
    """y'P S_r P S_s P y, with P = W - W X phi X'W, by W and X'W S_r W (residuals)."""
    n_parameters = len(sums.basis)
    basis = sums.basis.reshape(n_parameters, -1)
    half = (z_residual @ weight) @ sums.basis[:, None] @ weight
    mixed = half.sum(axis=1).reshape(n_parameters, -1) @ sums.to_full
    average = basis @ _kronecker_sum(of_error, weight) @ basis.T - mixed @ phi @ mixed.T
    return (average + average.T) / 2


def _kronecker_sum(first: Floats, second: Floats) -> Floats:
    """Sum over patterns of first (x) second, (V * V, V * V)."""
    n_patterns, n_visits, _ = first.shape
    outer = first.reshape(n_patterns, -1).T @ second.reshape(n_patterns, -1)
    return outer.reshape((n_visits,) * 4).transpose(0, 2, 1, 3).reshape(n_visits**2, n_visits**2)


# -------------------------------------------------------------------- covariance and degrees of freedom


def adjusted_cov(sums: Sums, at: Reml) -> Floats:
    """Kenward and Roger's covariance phi + 2 phi [sum of w_rs (Q_rs - P_r phi P_s)] phi, (p, p).

    w is the inverse of the expected information.
    """
    phi, weight, slope, cov_theta = at.phi, at.weight, at.slope, np.linalg.inv(at.expected)
    n_visits = weight.shape[1]
    flat = sums.basis.reshape(len(sums.basis), -1)
    # Sum of w_rs S_r (x) S_s, turned so that W between S_r and S_s can be put in by one product.
    between = (flat.T @ cov_theta @ flat).reshape((n_visits,) * 4).transpose(1, 2, 0, 3).reshape(n_visits**2, -1)
    inner = (weight.reshape(len(weight), -1) @ between).reshape(weight.shape)
    second = sums.gram(weight @ inner @ weight)
    squared = (slope @ phi @ np.tensordot(cov_theta, slope, axes=1)).sum(axis=0)
    cov = phi + 2 * phi @ (second - squared) @ phi
    return (cov + cov.T) / 2


def contrast_df(at: Reml, cov_theta: Floats, n_arms: int, n_visits: int) -> Floats:
    """Degrees of freedom of differences between arms [a, b, v] and of means [a, a, v], (A, A, V).

    2 c^2 / (d' cov_theta d), with c the variance of the contrast and d its derivatives with respect to theta: by
    Satterthwaite (1946, doi:10.2307/3002019), and what Kenward and Roger's method comes to for one contrast (with
    c not adjusted, and the inverse of the expected information).
    """
    variance = _contrasts(_cells(at.phi, n_arms, n_visits))
    slope = _contrasts(_cells(_phi_slope(at, n_arms * n_visits), n_arms, n_visits))
    return 2 * variance**2 / _quadratic(slope, cov_theta)


def global_df(at: Reml, cov_theta: Floats, n_arms: int, n_visits: int) -> Floats:
    """Denominator degrees of freedom (V,) of the F test that all arms are equal at a visit.

    Differences to arm 0 are turned into independent ones by the eigenvectors of their covariance; with nu_m the
    degrees of freedom of each and E = sum of nu_m / (nu_m - 2) it is 2 E / (E - q), or 2 if a nu_m is not above 2
    (Fai & Cornelius 1996, doi:10.1080/00949659608811740, as in lmerTest). NaN for one arm.
    """
    if n_arms == 1:
        return np.full(n_visits, np.nan)
    to_first = np.eye(n_arms)[1:] - np.eye(n_arms)[0]
    by_visit = np.einsum("avbv->vab", _cells(at.phi, n_arms, n_visits))
    slope = np.einsum("ravbv->rvab", _cells(_phi_slope(at, n_arms * n_visits), n_arms, n_visits))
    values, axes = np.linalg.eigh(to_first @ by_visit @ to_first.T)
    turned = axes.swapaxes(1, 2) @ to_first
    along = np.einsum("vma,rvab,vmb->rvm", turned, slope, turned, optimize=False)
    nu = 2 * values**2 / _quadratic(along, cov_theta)
    excess = (2 / (nu - 2)).sum(axis=1)
    return np.where((nu > 2).all(axis=1), 2 * (n_arms - 1 + excess) / excess, 2.0)


def _phi_slope(at: Reml, n_cells: int) -> Floats:
    """Derivatives of the covariance of the cells, -phi P_r phi, (R, A * V, A * V)."""
    cells = at.phi[:n_cells]
    return -(cells @ at.slope @ cells.T)


def _cells(cov: Floats, n_arms: int, n_visits: int) -> Floats:
    n_cells = n_arms * n_visits
    return cov[..., :n_cells, :n_cells].reshape(*cov.shape[:-2], n_arms, n_visits, n_arms, n_visits)


def _contrasts(cells: Floats) -> Floats:
    """Variances (..., A, A, V): of a difference at [a, b], of a mean at [a, a]."""
    joint = np.einsum("...avbv->...abv", cells)
    own = np.einsum("...aav->...av", joint)
    variance: Floats = own[..., :, None, :] + own[..., None, :, :] - 2 * joint
    arms = np.arange(own.shape[-2])
    variance[..., arms, arms, :] = own
    return variance


def _quadratic(slope: Floats, cov_theta: Floats) -> Floats:
    """d' cov d over the first axis."""
    flat = slope.reshape(len(slope), -1)
    return np.asarray((flat * (cov_theta @ flat)).sum(axis=0).reshape(slope.shape[1:]))
