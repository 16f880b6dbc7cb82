"""The restricted likelihood of a mixed model for repeated measures: its maximum, and inference from there.

REML is maximised by Newton's method with the observed information, or Fisher scoring where that is not positive
definite, over theta, in which Sigma = sum of theta_r S_r is linear (Jennrich & Schluchter 1986,
doi:10.2307/2530695). Observed information = 2 x average information - expected information (Gilmour, Thompson &
Cullis 1995, doi:10.2307/2533274), so neither needs sums over participants.

Notation of Kenward & Roger (1997, doi:10.2307/2533558): phi = (X'WX)^-1 with W = Sigma^-1; P_r is the derivative
of X'WX with respect to theta_r; Q_rs = X'W S_r W S_s W X. Second derivatives of Sigma vanish.

Sizes: N participants, A arms, V visits, K regressors (arms and covariates), p coefficients, R covariance
parameters, G patterns of observed visits.

Every replicate climbs by itself; what is computed at each step is computed for all of them at once, by products of
stacked matrices in which nothing is added up over replicates. So a replicate has the same bits alone and in company.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from trialsim.analysis.fits import Bools, FitError, Floats

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
    """Sums over the participants of each of the G patterns of observed visits; `y` are residuals of least squares.

    `stacked` ones have an axis for B replicates in front of `n`, `zz`, `zy` and `yy`; their `n_pairs`, `beta0` and
    `scale` are those of one of them.
    """

    seen: Floats  # (G, V), 0 or 1
    n: Floats  # (G,), participants
    zz: Floats  # (G, K, K)
    zy: Floats  # (G, K, V)
    yy: Floats  # (G, V, V)
    n_pairs: Floats  # (V, V), participants with both visits
    beta0: Floats  # (p,), least squares estimate, in units of `scale`
    scale: float  # of the outcome
    n_arms: int
    to_full: Floats
    basis: Floats

    def gram(self, middle: Floats) -> Floats:
        """Sum over participants of X_i' M X_i for symmetric M (..., G, V, V) of their pattern: (..., p, p)."""
        *replicates, n_patterns, n_regressors, _ = self.zz.shape
        n_visits, leading = self.seen.shape[1], middle.shape[:-3]
        shared = self.to_full.shape[1] < n_regressors * n_visits
        parts = [middle.reshape(*leading, n_patterns, n_visits**2)]
        if shared:  # of a covariate's products with itself and others only sums over visits are asked for
            rows = middle.sum(axis=-1)
            parts += [rows, rows.sum(axis=-1, keepdims=True)]
        zz = self.zz.reshape(*replicates, *[1] * (len(leading) - len(replicates)), n_patterns, n_regressors**2)
        sums = np.concatenate(parts, axis=-1).swapaxes(-1, -2) @ zz
        sums = sums.reshape(*leading, -1, n_regressors, n_regressors)
        by_visit = sums[..., : n_visits**2, :, :].reshape(*leading, n_visits, n_visits, n_regressors, n_regressors)
        by_visit = np.moveaxis(by_visit, (-2, -1), (-4, -2))  # (..., K, V, K, V)
        if not shared:
            return np.ascontiguousarray(by_visit).reshape(*leading, *self.to_full.shape[1:] * 2)
        a, gram = self.n_arms, np.empty((*leading, *self.to_full.shape[1:] * 2))
        n_cells = a * n_visits
        gram[..., :n_cells, :n_cells] = by_visit[..., :a, :, :a, :].reshape(*leading, n_cells, n_cells)
        across = sums[..., n_visits**2 : -1, :a, a:].swapaxes(-3, -2).reshape(*leading, n_cells, -1)
        gram[..., :n_cells, n_cells:], gram[..., n_cells:, :n_cells] = across, across.swapaxes(-1, -2)
        gram[..., n_cells:, n_cells:] = sums[..., -1, a:, a:]
        return gram

    def spread(self, phi: Floats) -> Floats:
        """Sum over the participants of each pattern of X_i phi X_i': (..., G, V, V)."""
        *replicates, n_patterns, n_regressors, _ = self.zz.shape
        n_visits = self.seen.shape[1]
        full = (self.to_full @ phi @ self.to_full.T).reshape(-1, n_regressors, n_visits, n_regressors, n_visits)
        full = full.transpose(0, 1, 3, 2, 4).reshape(*replicates, n_regressors**2, n_visits**2)
        spread: Floats = self.zz.reshape(*replicates, n_patterns, -1) @ full
        return spread.reshape(*replicates, n_patterns, n_visits, n_visits)

    def by_visit(self, beta: Floats) -> Floats:
        """Coefficients of all regressors at all visits, (..., K, V)."""
        return (self.to_full @ beta[..., None]).reshape(*beta.shape[:-1], -1, self.seen.shape[1])


# Few enough for products of all parameters to stay near the processor.
NUMBERS_AT_ONCE = 10_000
STACKED = ("n", "zz", "zy", "yy")


def stacked(many: Sequence[Sums]) -> Sums:
    """B sums of the same patterns and the same model as one."""
    arrays = {field.name: getattr(many[0], field.name) for field in fields(Sums)}
    return Sums(**arrays | {name: np.stack([getattr(one, name) for one in many]) for name in STACKED})


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
    identified: bool  # `expected` is positive definite beyond rounding
    curved: bool  # `observed` is
    step: Floats  # (R,), Newton's where the likelihood curves downwards, and that of Fisher scoring elsewhere


Climb = Generator[Floats, "Reml | None", Reml]
"""Asks for the likelihood at some theta, is sent what there is, and returns the maximum."""


def maxima(many: Sequence[Sums]) -> list[Reml | FitError]:
    """The maximum for each of several replicates, or why there is none."""
    found: list[Reml | FitError] = [FitError("not fitted")] * len(many)
    alike: dict[tuple[object, ...], list[int]] = {}
    for place, one in enumerate(many):
        key = (one.seen.tobytes(), one.seen.shape, one.to_full.tobytes(), one.basis.shape)
        alike.setdefault(key, []).append(place)
    for places in alike.values():
        seen = many[places[0]].seen
        at_once = max(1, NUMBERS_AT_ONCE // (len(seen) * seen.shape[1] ** 4))
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            _together([many[place] for place in some], some, found)
    return found


def _together(many: list[Sums], places: list[int], found: list[Reml | FitError]) -> None:
    """Climb with replicates that have the same patterns; put results in their places."""
    climbs = [_maximum(one) for one in many]
    asked = {b: next(climb) for b, climb in enumerate(climbs)}
    part, whole = list(asked), stacked(many)
    while asked:
        if part != list(asked):
            part, whole = list(asked), stacked([many[b] for b in asked])
        for b, at in zip(part, _reml_at(whole, np.stack(list(asked.values()))), strict=True):
            try:
                asked[b] = climbs[b].send(at)
            except StopIteration as end:
                found[places[b]] = end.value
                del asked[b]
            except FitError as fault:
                found[places[b]] = fault
                del asked[b]


def _maximum(sums: Sums) -> Climb:
    """The maximum reached from products of residuals, or else the one reached from independent visits.

    With few participants the likelihood may grow without bound towards a singular Sigma and have a maximum too.
    """
    start = _start(sums)
    try:
        return (yield from _climb(sums, start))
    except FitError:
        same_visit = np.eye(sums.seen.shape[1]) * sums.basis
        try:
            return (yield from _climb(sums, np.where(same_visit.any(axis=(1, 2)), start, 0.0)))
        except FitError:
            pass
        raise


def _climb(sums: Sums, theta: Floats) -> Climb:
    at = yield theta
    if at is None:
        raise FitError(SINGULAR_SIGMA)
    slack = float(sums.n_pairs.trace())
    for _ in range(MAX_ITERATIONS):
        if not at.identified:
            raise FitError(SINGULAR_SIGMA if at.least < NEARLY_SINGULAR else NOT_IDENTIFIED)
        distance = float(at.score @ at.step)
        better = yield from _better(at, 1e-13 * (slack + abs(at.deviance)))
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
    if not at.curved:
        raise FitError("no maximum of the likelihood")
    return at


def _better(at: Reml, slack: float) -> Generator[Floats, Reml | None, Reml | None]:
    """The step, halved until the likelihood is not worse; None if that leads nowhere."""
    for halvings in range(40):
        trial = yield at.theta + at.step * 0.5**halvings
        if trial is not None and trial.least > FALL * at.least and trial.deviance <= at.deviance + slack:
            return trial
    return None


def _start(sums: Sums) -> Floats:
    """theta (R,) from products of residuals of least squares, drawn towards independence until positive definite."""
    n_obs = sums.n_pairs.trace()
    sigma = sums.yy.sum(axis=0) / np.maximum(sums.n_pairs, 1.0) * n_obs / (n_obs - len(sums.beta0))
    pattern = sums.basis.reshape(len(sums.basis), -1)
    sigma = (sigma.reshape(-1) @ pattern.T / (pattern**2).sum(axis=1) @ pattern).reshape(sigma.shape)
    least = float(_least_correlation(sigma[None])[0])
    pull = (0.01 - least) / (1 - least) if least < 0.01 else 0.0
    sigma = (1 - pull) * sigma + pull * np.diag(sigma.diagonal())
    return sigma.reshape(-1) @ pattern.T / (pattern**2).sum(axis=1)


def _least_correlation(sigma: Floats) -> Floats:
    """Least eigenvalue of each correlation matrix (B, V, V); negative where a variance is."""
    variance = np.diagonal(sigma, axis1=1, axis2=2)
    sound: Bools = np.logical_and(np.isfinite(sigma).all(axis=(1, 2)), (variance > 0).all(axis=1))
    least = _least_eigenvalue(sigma, variance, sound)
    return np.where(sound, least, -1.0)


def _positive(info: Floats) -> Bools:
    """Which matrices of information (B, R, R) are positive definite beyond rounding."""
    unit = np.diagonal(info, axis1=1, axis2=2)
    sound: Bools = np.logical_and(np.isfinite(info).all(axis=(1, 2)), (unit > 0).all(axis=1))
    return np.asarray(sound & (_least_eigenvalue(info, unit, sound) > UNIDENTIFIED))


def _least_eigenvalue(matrices: Floats, diagonal: Floats, sound: Bools) -> Floats:
    """Of each sound matrix, scaled to a unit diagonal."""
    scaled = matrices / np.sqrt(diagonal[:, :, None] * diagonal[:, None])
    return np.asarray(np.linalg.eigvalsh(np.where(sound[:, None, None], scaled, np.eye(matrices.shape[1])))[:, 0])


def _reml_at(sums: Sums, theta: Floats) -> list[Reml | None]:
    """The likelihood of B replicates, each at its theta (B, R). None where Sigma is not positive definite beyond
    rounding.

    With F = sum of X phi X' and E = sum of residual products, by pattern, the score is
    -1/2 tr S_r [n W - W (F + E) W]; a trace tr(S_r W S_s M) is vec(S_r)' (M (x) W) vec(S_s).
    """
    n_visits = sums.seen.shape[1]
    basis = sums.basis.reshape(len(sums.basis), -1)
    sigma = (theta[:, None] @ basis).reshape(-1, n_visits, n_visits)
    least = _least_correlation(sigma)
    good = least >= FALL * SINGULAR
    both = sums.seen[:, :, None] * sums.seen[:, None]
    block = np.where((both > 0) & good[:, None, None, None], sigma[:, None], np.eye(n_visits))
    weight = np.linalg.inv(block) * both
    info = sums.gram(weight)
    try:
        phi = np.linalg.inv(info)
    except np.linalg.LinAlgError:
        return _one_by_one(sums, theta)
    phi = (phi + phi.swapaxes(1, 2)) / 2
    beta = (phi @ (sums.to_full.T @ (sums.zy @ weight).sum(axis=1).reshape(len(theta), -1, 1)))[..., 0]
    linear = sums.by_visit(beta)[:, None]
    z_residual = sums.zy - sums.zz @ linear
    cross = linear.swapaxes(2, 3) @ sums.zy
    error = sums.yy - cross - cross.swapaxes(2, 3) + linear.swapaxes(2, 3) @ sums.zz @ linear
    deviance = (sums.n * np.linalg.slogdet(block)[1]).sum(axis=1) + np.linalg.slogdet(info)[1]
    deviance += (weight * error).sum(axis=(2, 3)).sum(axis=1)
    of_mean, of_error = weight @ sums.spread(phi) @ weight, weight @ error @ weight
    slope = -sums.gram(_both_sides(weight, sums.basis))
    expected = _expected(sums, weight, of_mean, phi[:, None] @ slope)
    observed = _twice_average(sums, weight, of_error, z_residual, phi) - expected
    of_sigma = (sums.n[:, :, None, None] * weight - of_mean - of_error).sum(axis=1)
    score = -(basis @ of_sigma.reshape(len(theta), -1, 1))[..., 0] / 2
    good &= np.isfinite(deviance)
    identified, curved = _positive(expected), _positive(observed)
    usable = np.where(curved[:, None, None], observed, expected)
    usable = np.where((identified | curved)[:, None, None], usable, np.eye(len(basis)))
    step = np.linalg.solve(usable, score[..., None])[..., 0]
    return [
        Reml(
            theta=theta[b],
            sigma=sigma[b],
            least=float(least[b]),
            deviance=float(deviance[b]),
            beta=beta[b],
            phi=phi[b],
            weight=weight[b],
            slope=slope[b],
            score=score[b],
            expected=expected[b],
            observed=observed[b],
            identified=bool(identified[b]),
            curved=bool(curved[b]),
            step=step[b],
        )
        if good[b]
        else None
        for b in range(len(theta))
    ]


def _one_by_one(sums: Sums, theta: Floats) -> list[Reml | None]:
    """Where the information of one replicate has no inverse, the others must not suffer."""
    if len(theta) == 1:
        return [None]
    arrays = {field.name: getattr(sums, field.name) for field in fields(Sums)}
    found: list[Reml | None] = []
    for b in range(len(theta)):
        found += _reml_at(Sums(**arrays | {name: arrays[name][b : b + 1] for name in STACKED}), theta[b : b + 1])
    return found


def _expected(sums: Sums, weight: Floats, of_mean: Floats, phi_slope: Floats) -> Floats:
    """Half of [sum of tr(W S_r W S_s) - 2 tr(phi Q_rs) + tr(phi P_r phi P_s)], (B, R, R)."""
    n_replicates, n_parameters = phi_slope.shape[:2]
    basis = sums.basis.reshape(n_parameters, -1)
    traces = basis @ _kronecker_sum(sums.n[:, :, None, None] * weight - 2 * of_mean, weight) @ basis.T
    flat, turned = (each.reshape(n_replicates, n_parameters, -1) for each in (phi_slope, phi_slope.swapaxes(2, 3)))
    squared = flat @ turned.swapaxes(1, 2)
    return (traces + traces.swapaxes(1, 2) + squared + squared.swapaxes(1, 2)) / 4


def _twice_average(sums: Sums, weight: Floats, of_error: Floats, z_residual: Floats, phi: Floats) -> Floats:
    """y'P S_r P S_s P y, with P = W - W X phi X'W, by W and X'W S_r W (residuals), (B, R, R)."""
    n_parameters = len(sums.basis)
    basis = sums.basis.reshape(n_parameters, -1)
    n_replicates, n_patterns, n_regressors, n_visits = z_residual.shape
    left = (z_residual @ weight).reshape(n_replicates, n_patterns, -1).swapaxes(1, 2)
    halves = left @ weight.reshape(n_replicates, n_patterns, -1)  # of (K, V) and (V, V), over the patterns
    halves = halves.reshape(n_replicates, n_regressors, n_visits, n_visits, n_visits).transpose(0, 2, 3, 1, 4)
    mixed = basis @ halves.reshape(n_replicates, n_visits**2, -1) @ sums.to_full
    average = basis @ _kronecker_sum(of_error, weight) @ basis.T - mixed @ phi @ mixed.swapaxes(1, 2)
    return (average + average.swapaxes(1, 2)) / 2


def _both_sides(weight: Floats, basis: Floats) -> Floats:
    """W S_r W for every pattern, (B, R, G, V, V), by one product of W (x) W with all S_r."""
    n_replicates, n_patterns, n_visits, _ = weight.shape
    square = weight[:, :, :, None, :, None] * weight[:, :, None, :, None, :]
    square = square.reshape(n_replicates, n_patterns, n_visits**2, n_visits**2)
    found = square @ basis.reshape(len(basis), -1).T
    return found.transpose(0, 3, 1, 2).reshape(n_replicates, len(basis), *weight.shape[1:])


def _kronecker_sum(first: Floats, second: Floats) -> Floats:
    """Sum over patterns of first (x) second, (B, V * V, V * V)."""
    n_replicates, n_patterns, n_visits, _ = first.shape
    outer = first.reshape(n_replicates, n_patterns, -1).swapaxes(1, 2) @ second.reshape(n_replicates, n_patterns, -1)
    outer = outer.reshape(n_replicates, *(n_visits,) * 4).transpose(0, 1, 3, 2, 4)
    return outer.reshape(n_replicates, n_visits**2, n_visits**2)


# -------------------------------------------------------------------- covariance and degrees of freedom


def adjusted_cov(sums: Sums, at: Reml, cov_theta: Floats) -> Floats:
    """Kenward and Roger's covariance phi + 2 phi [sum of w_rs (Q_rs - P_r phi P_s)] phi, (p, p).

    w is `cov_theta`, the inverse of the expected information.
    """
    phi, weight, slope = at.phi, at.weight, at.slope
    n_visits = weight.shape[1]
    flat = sums.basis.reshape(len(sums.basis), -1)
    # Sum of w_rs S_r (x) S_s, turned so that W between S_r and S_s can be put in by one product.
    between = (flat.T @ cov_theta @ flat).reshape((n_visits,) * 4).transpose(1, 2, 0, 3).reshape(n_visits**2, -1)
    inner = (weight.reshape(len(weight), -1) @ between).reshape(weight.shape)
    second = sums.gram(weight @ inner @ weight)
    squared = (slope @ phi @ np.tensordot(cov_theta, slope, axes=1)).sum(axis=0)
    cov = phi + 2 * phi @ (second - squared) @ phi
    return (cov + cov.T) / 2


def contrast_df(phi: Floats, phi_slope: Floats, cov_theta: Floats, n_arms: int, n_visits: int) -> Floats:
    """Degrees of freedom of differences between arms [a, b, v] and of means [a, a, v], (A, A, V).

    2 c^2 / (d' cov_theta d), with c the variance of the contrast and d its derivatives with respect to theta: by
    Satterthwaite (1946, doi:10.2307/3002019), and what Kenward and Roger's method comes to for one contrast (with
    c not adjusted, and the inverse of the expected information). `phi_slope` (R, A * V, A * V) are the derivatives of
    the covariance of the cells.
    """
    variance = _contrasts(_cells(phi, n_arms, n_visits))
    slope = _contrasts(_cells(phi_slope, n_arms, n_visits))
    return 2 * variance**2 / _quadratic(slope, cov_theta)


def global_df(phi: Floats, phi_slope: Floats, cov_theta: Floats, n_arms: int, n_visits: int) -> Floats:
    """Denominator degrees of freedom (V,) of the F test that all arms are equal at a visit.

    Differences to arm 0 are turned into independent ones by the eigenvectors of their covariance; with nu_m the
    degrees of freedom of each and E = sum of nu_m / (nu_m - 2) it is 2 E / (E - q), or 2 if a nu_m is not above 2
    (Fai & Cornelius 1996, doi:10.1080/00949659608811740, as in lmerTest). NaN for one arm.
    """
    if n_arms == 1:
        return np.full(n_visits, np.nan)
    to_first = np.eye(n_arms)[1:] - np.eye(n_arms)[0]
    by_visit = np.einsum("avbv->vab", _cells(phi, n_arms, n_visits))
    slope = np.einsum("ravbv->rvab", _cells(phi_slope, n_arms, n_visits))
    values, axes = np.linalg.eigh(to_first @ by_visit @ to_first.T)
    turned = axes.swapaxes(1, 2) @ to_first
    along = np.einsum("vma,rvab,vmb->rvm", turned, slope, turned, optimize=False)
    nu = 2 * values**2 / _quadratic(along, cov_theta)
    excess = (2 / (nu - 2)).sum(axis=1)
    return np.where((nu > 2).all(axis=1), 2 * (n_arms - 1 + excess) / excess, 2.0)


def phi_slope(at: Reml, n_cells: int) -> Floats:
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
