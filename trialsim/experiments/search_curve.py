"""The curve of a search: probit regression of success on u, fitted to the points near where it crosses the target.

    P(success at u) = Phi(alpha + slope (u - origin))

maximises sum of k_i (s_i log Phi(eta_i) + (n_i - s_i) log Phi(-eta_i)) with kernel weights k_i (local likelihood:
Loader 1999, doi:10.1007/b98858). With A = sum k n w x x', B = sum k^2 n w x x' and w = phi^2 / (Phi (1 - Phi)) the
variance is A^-1 B A^-1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

# Kernel's standard deviation, in probits.
WIDTH = 1.0
# Score statistic of a quadratic term, among points within SPAN probits of the crossing, from which a line does not do.
MISFIT, SPAN = 2.5, 2.0
SINGULAR = 1e-12
# Step of the iteration, in probits.
LONGEST = 5.0


@dataclass(frozen=True, eq=False)
class Fit:
    """A line, or where `curved` a parabola, in v = u - origin on the probit scale; rises at the crossing if slope > 0.

    The origin of a parabola is its crossing of the target. `gain` is the likelihood-ratio statistic of a line against
    no slope, all points counting the same.
    """

    origin: float
    beta: Floats  # (2,) or (3,), coefficients of 1, v, v^2
    cov: Floats  # of beta
    gain: float = math.nan
    gap: tuple[float, float] | None = None  # if every replicate below failed and every one above succeeded
    doubtful: bool = False  # a line that does not fit where a parabola does not clearly rise: near a plateau

    @property
    def curved(self) -> bool:
        return len(self.beta) == 3

    @property
    def slope(self) -> float:
        return float(self.beta[1])

    def eta(self, u: Floats | float) -> tuple[Floats, Floats]:
        """Probit of power and its standard error."""
        powers = np.vander(np.atleast_1d(np.asarray(u, dtype=float)) - self.origin, len(self.beta), increasing=True)
        variance = np.einsum("ij,jk,ik->i", powers, self.cov, powers)
        shape = np.shape(u)
        return (powers @ self.beta).reshape(shape), np.sqrt(np.maximum(variance, 0.0)).reshape(shape)

    def power(self, u: float) -> tuple[float, float]:
        """Power and its standard error (delta method)."""
        eta, error = (float(value) for value in self.eta(u))
        return float(special.ndtr(eta)), math.exp(-0.5 * eta**2) / math.sqrt(2 * math.pi) * error

    def crossing(self, eta: float) -> float:
        return self.origin + (eta - float(self.beta[0])) / self.slope

    def interval(self, eta: float, z: float) -> tuple[float, float]:
        """All u whose probit, by the tangent, lies within z standard errors of `eta`; infinite if it hardly rises.

        Fieller (1954), doi:10.1111/j.2517-6161.1954.tb00159.x.
        """
        above = float(self.beta[0]) - eta
        square = self.slope**2 - z**2 * float(self.cov[1, 1])
        half = self.slope * above - z**2 * float(self.cov[0, 1])
        constant = above**2 - z**2 * float(self.cov[0, 0])
        if square <= 0:
            return -math.inf, math.inf
        root = math.sqrt(max(half**2 - square * constant, 0.0))
        ends = self.origin + (-half - root) / square, self.origin + (-half + root) / square
        return ends if self.gap is None else (min(ends[0], self.gap[0]), max(ends[1], self.gap[1]))


def fit(u: Floats, successes: Floats, n: Floats, eta: float) -> Fit:
    """The curve around its crossing of `eta`, from two or more different `u`; all arrays (P,).

    Where the points are separated, so that no finite curve is the likeliest, only those where power jumps are used,
    with half a success and half a failure added to each. A line that does not rise is returned as it is.
    """
    gap = None
    if _separated(u, successes, n):
        gap = _gap(u, successes, n)
        near = slice(None) if gap is None else (u >= gap[0]) & (u <= gap[1])
        u, successes, n = u[near], successes[near] + 0.5, n[near] + 1.0
    data = (u, successes, n)
    wide = _polynomial(*data, np.ones(len(u)), degree=1, origin=float(n @ u / n.sum()))
    wide = replace(wide, gain=_gain(wide, *data), gap=gap)
    if wide.slope <= 0 or len(u) < 3 or gap is not None:
        return wide
    found = _around(wide, *data, eta, degree=1)
    if _misfit(wide, *data, found.crossing(eta)):
        bent = _around(found, *data, eta, degree=2)
        found = replace(bent, doubtful=bent is found)
    return replace(found, gain=wide.gain)


def _separated(u: Floats, successes: Floats, n: Floats) -> bool:
    """No overlap of successes and failures along u, in one direction or the other (Silvapulle 1981)."""
    hit, miss = u[successes > 0], u[successes < n]
    if not len(hit) or not len(miss):
        return True
    return not (miss.max() > hit.min() and hit.max() > miss.min())


def _gap(u: Floats, successes: Floats, n: Floats) -> tuple[float, float] | None:
    """Last point where all failed and first where all succeeded, in this order."""
    below, above = u[successes == 0], u[successes == n]
    if not len(below) or not len(above) or below.max() >= above.min():
        return None
    return float(below.max()), float(above.min())


def _around(first: Fit, u: Floats, successes: Floats, n: Floats, eta: float, *, degree: int) -> Fit:
    """Fit with weights that fall with the distance from the fit's own crossing; `first` if none rises there."""
    found, width = first, WIDTH / first.slope
    for _ in range(10):
        centre = found.crossing(eta)
        distance = (u - centre) / width
        kernel = np.exp(-0.5 * (distance**2 - np.min(distance**2)))
        new = _polynomial(u, successes, n, kernel, degree=degree, origin=centre, start=found)
        if not new.slope > math.sqrt(max(float(new.cov[1, 1]), 0.0)):
            return first
        found = new
        if abs(new.crossing(eta) - centre) < 1e-3 * width:
            break
    return found


def _polynomial(
    u: Floats,
    successes: Floats,
    n: Floats,
    kernel: Floats,
    *,
    degree: int,
    origin: float,
    start: Fit | None = None,
    iterations: int = 50,
) -> Fit:
    """Fisher scoring, halving steps that do not help (the log likelihood is concave)."""
    weight = kernel * n
    scale = math.sqrt(float(weight @ (u - origin) ** 2 / weight.sum())) or 1.0
    x = np.vander((u - origin) / scale, degree + 1, increasing=True)
    beta = np.zeros(degree + 1)
    if start is None:
        beta[0] = special.ndtri((kernel @ successes + 0.5) / (weight.sum() + 1))
    else:
        beta[:2] = float(start.eta(origin)[0]), start.slope * scale
    best = _log_likelihood(x @ beta, successes, n, kernel)
    for _ in range(iterations):
        score, information, doubled = _derivatives(x @ beta, x, successes, n, kernel)
        step = _solved(information, score)
        if np.abs(step).max() < 1e-7:
            break
        step = step * min(1.0, LONGEST / float(np.abs(step).max()))
        while (new := _log_likelihood(x @ (beta + step), successes, n, kernel)) < best and np.abs(step).max() > 1e-9:
            step = step / 2
        beta, best = beta + step, max(new, best)
    unscale = scale ** -np.arange(degree + 1.0)
    cov = _solved(information, _solved(information, doubled).T) * np.outer(unscale, unscale)
    return Fit(origin=origin, beta=beta * unscale, cov=cov)


def _solved(information: Floats, right: Floats) -> Floats:
    """By least squares where rounding leaves only one point in sight."""
    if np.linalg.det(information) > SINGULAR * np.prod(np.diag(information)):
        return np.asarray(np.linalg.solve(information, right))
    return np.asarray(np.linalg.lstsq(information, right, rcond=SINGULAR)[0])


def _log_likelihood(eta: Floats, successes: Floats, n: Floats, kernel: Floats) -> float:
    return float(kernel @ (successes * special.log_ndtr(eta) + (n - successes) * special.log_ndtr(-eta)))


def _derivatives(eta: Floats, x: Floats, successes: Floats, n: Floats, kernel: Floats) -> tuple[Floats, Floats, Floats]:
    """Score, expected information, and the same with squared kernel weights."""
    eta = np.clip(eta, -30, 30)
    # phi / (Phi (1 - Phi)), from logarithms because Phi and 1 - Phi may be tiny.
    ratio = np.exp(-0.5 * eta**2 - 0.5 * math.log(2 * math.pi) - special.log_ndtr(eta) - special.log_ndtr(-eta))
    density = np.exp(-0.5 * eta**2) / math.sqrt(2 * math.pi)
    residual = ratio * (successes - n * special.ndtr(eta))
    weighted = x.T * (kernel * n * ratio * density)
    return x.T @ (kernel * residual), weighted @ x, (weighted * kernel) @ x


def _gain(wide: Fit, u: Floats, successes: Floats, n: Floats) -> float:
    every = np.ones(len(u))
    flat = np.full(len(u), float(special.ndtri(successes.sum() / n.sum())))
    fitted = _log_likelihood(wide.eta(u)[0], successes, n, every)
    return 2 * (fitted - _log_likelihood(flat, successes, n, every))


def _misfit(wide: Fit, u: Floats, successes: Floats, n: Floats, centre: float) -> bool:
    """Score test of a quadratic term, given the line, among the points around the crossing."""
    near = np.abs(u - centre) * wide.slope <= SPAN
    if near.sum() < 3:
        return False
    u, successes, n = u[near], successes[near], n[near]
    if _separated(u, successes, n):
        return False
    every = np.ones(len(u))
    line = _polynomial(u, successes, n, every, degree=1, origin=centre)
    x = np.vander((u - centre) * wide.slope, 3, increasing=True)
    score, information, _ = _derivatives(line.eta(u)[0], x, successes, n, every)
    cross = information[:2, 2]
    variance = information[2, 2] - cross @ _solved(information[:2, :2], cross)
    return bool(variance > 1e-9 * information[2, 2] and score[2] ** 2 > MISFIT**2 * variance)
