"""Multiple imputation of missing outcomes: m draws from their predictive distribution given what was observed.

`joint_normal` takes the outcomes of the V visits as multivariate normal given arm and covariates, `chained` as one
linear regression per visit given the other visits, arm and covariates. Both are proper (Rubin 1987,
doi:10.1002/9780470316696): each copy has its own draw of the parameters. Imputations are not confined to the outcome's
scale: clipping or rounding a draw biases its mean and variance (Horton, Lipsitz & Parzen 2003,
doi:10.1198/0003130032314). They assume that data are missing at random.

Luck comes from outside: `Luck` gives standard normals and uniforms in arrays whose shapes, and the order in which they
are asked for, depend on N, V, C, A, m and the options only, never on data. Number [k, i, v] of the array asked for
first is the noise of participant i at visit v in copy k.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import gammaincinv

from trialsim.analysis.fits import Bools, FitError, Floats, Ints
from trialsim.analysis.pattern_mixture import missing_patterns

# EM forgets its start as slowly as a chain does. It must get to _EM_CHANGE in 4 times the steps that a chain may take:
# at worst it keeps 0.955 of the distance at each, and after 50 steps a chain lacks 0.955^100 = 1 % of the variance.
STEPS = 50
SWEEPS = 10
_EM_CHANGE = 1e-4  # in standard deviations; the estimate is only where the chains start
_CONSTANT = 1e-10  # a standard deviation below this part of the mean is rounding
_COLLINEAR = 1e-10  # least eigenvalue of a matrix of products scaled to a unit diagonal
_NO_VARIANCE = 1e-12  # residual part of a sum of squares below which it is rounding
_TINY = 1e-16


class Luck(Protocol):
    """Independent random numbers."""

    def normal(self, *shape: int) -> Floats:
        """Standard normal."""

    def uniform(self, *shape: int) -> Floats:
        """Uniform between 0 and 1."""


def joint_normal(
    y: Floats,
    arm: Ints,
    covariates: Floats,
    *,
    n_arms: int,
    m: int,
    by_arm: bool,
    luck: Luck,
    steps: int = STEPS,
) -> Floats:
    """m completed copies (m, N, V) of `y` (N, V), by multivariate normal regression.

    The means are linear in arm and `covariates` (N, C), with coefficients of their own for every visit, and the
    covariance of the visits is unstructured. `by_arm` fits every arm apart: other slopes, other covariance. The
    parameters are drawn from their posterior distribution under Jeffreys' prior, |cov|^-((V + 1) / 2) and flat for
    coefficients (Schafer 1997, doi:10.1201/9780367803025, ch. 5-6): given n participants without missing values and p
    regressors, cov is inverse Wishart with n - p degrees of freedom.

    If missingness is monotone the posterior is known exactly. Otherwise each copy ends a chain of its own: monotone
    data augmentation (Schafer, section 6.5), which imputes only what lies before a participant's last observation,
    from the maximum likelihood estimate on, in as many steps as EM took to find it (at least 10, at most `steps`).

    FitError: outcomes or covariates that are not finite, a visit without observations in an arm, too few participants
    (at a visit, or at two visits both), collinear covariates, no residual variance, or so much missing before last
    observations that EM does not converge.
    """
    noise = luck.normal(m, *y.shape)
    if not np.isnan(y).any():
        return np.repeat(y[None], m, axis=0)
    with numerical():
        model = standardised(y, arm, covariates, n_arms=n_arms, by_arm=by_arm)
        return completed(y, model, filled(model, draw_regressions(model, m=m, luck=luck, steps=steps), noise))


def chained(
    y: Floats,
    arm: Ints,
    covariates: Floats,
    *,
    n_arms: int,
    m: int,
    by_arm: bool,
    luck: Luck,
    sweeps: int = SWEEPS,
) -> Floats:
    """m completed copies (m, N, V) of `y` (N, V), by chained equations.

    Visit after visit, `sweeps` times, outcomes are regressed on the other visits as completed so far, arm and
    `covariates` (N, C), using those observed at the visit; variance and coefficients are drawn from their posterior
    distribution, and the missing outcomes given them (van Buuren & Groothuis-Oudshoorn 2011, doi:10.18637/jss.v045.i03,
    method "norm", without its ridge). The variance is its residual sum of squares / chi-squared with n - p - V + 1
    degrees of freedom. The start is a regression on arm and covariates, with noise. `by_arm` imputes every arm apart.

    FitError: as `joint_normal`.
    """
    noise = luck.normal(m, *y.shape)
    if not np.isnan(y).any():
        return np.repeat(y[None], m, axis=0)
    with numerical():
        model = standardised(y, arm, covariates, n_arms=n_arms, by_arm=by_arm)
        state = _start(model, noise)
        visits = [_visit(model, group, visit) for group in range(model.n_groups) for visit in range(y.shape[1])]
        for _ in range(sweeps):
            noise = luck.normal(m, *y.shape)
            normals = luck.normal(len(visits), m, model.size)
            uniforms = luck.uniform(len(visits), m)
            for one, z, u in zip(visits, normals, uniforms, strict=True):
                one.update(state, model.x, noise, z, u)
        return completed(y, model, state)


# ------------------------------------------------------------------------------------------------ the data


@dataclass(frozen=True, eq=False)
class Standardised:
    """A replicate in standard deviations, with its regressors. A group is fitted on its own: an arm, or everybody."""

    z: Floats  # (N, V), NaN where missing
    x: Floats  # (N, p): arms, or 1, and covariates
    group: Ints  # (N,)
    n_groups: int
    centre: Floats  # (V,): y = centre + scale * z
    scale: Floats  # (V,)

    @property
    def size(self) -> int:
        """Regressors and visits."""
        return self.x.shape[1] + self.z.shape[1]

    def members(self, group: int) -> Ints:
        return np.flatnonzero(self.group == group)

    def named(self, group: int) -> str:
        return f" in arm {group}" if self.n_groups > 1 else ""


def standardised(y: Floats, arm: Ints, covariates: Floats, *, n_arms: int, by_arm: bool) -> Standardised:
    """Check and standardise a replicate; FitError as in `joint_normal`."""
    observed = ~np.isnan(y)
    if np.isinf(y).any():
        raise FitError("outcomes are not finite")
    if not np.isfinite(covariates).all():
        raise FitError("covariates are not finite")
    arms = arm[:, None] == np.arange(n_arms)
    for a, v in np.argwhere(arms.T.astype(np.int64) @ observed == 0)[:1]:
        raise FitError(f"no observations in arm {a} at visit {v}")
    spread = [_spread(column[seen]) for column, seen in zip(y.T, observed.T, strict=True)]
    centre, scale = np.array(spread).T
    for v in np.flatnonzero(scale == 0)[:1]:
        raise FitError(f"zero variance at visit {v}")
    shift, unit = np.array([_spread(column) for column in covariates.T]).reshape(-1, 2).T
    if (unit == 0).any():
        raise FitError("covariates are collinear")
    ones = np.ones((len(y), 1)) if by_arm else arms.astype(np.float64)
    x = np.hstack([ones, (covariates - shift) / unit])
    group = arm if by_arm else np.zeros_like(arm)
    model = Standardised((y - centre) / scale, x, group, n_arms if by_arm else 1, centre, scale)
    _check_information(model, observed)
    return model


def _spread(column: Floats) -> tuple[float, float]:
    """Mean and standard deviation; a deviation of 0 for a constant."""
    size = float(np.abs(column).max(initial=0.0)) or 1.0
    part = column / size
    mean, deviation = float(part.mean()), float(part.std())
    return mean * size, deviation * size if deviation > _CONSTANT * abs(mean) else 0.0


def _check_information(model: Standardised, observed: Bools) -> None:
    """Enough participants at every visit, and at every two visits, for a regression on the regressors."""
    for group in range(model.n_groups):
        own, where = model.members(group), model.named(group)
        x, seen = model.x[own], observed[own]
        both = seen.T.astype(np.int64) @ seen
        least = x.shape[1] + 2 - np.eye(len(both), dtype=np.int64)
        for first, second in np.argwhere(both < least)[:1]:
            visits = f"visit {first}" if first == second else f"both visit {first} and visit {second}"
            raise FitError(f"too few observations{where} at {visits}")
        for visit, those in enumerate(seen.T):
            unit = x[those] / (np.linalg.norm(x[those], axis=0) + _TINY)
            if np.linalg.eigvalsh(unit.T @ unit)[0] < _COLLINEAR:
                raise FitError(f"covariates are collinear{where} at visit {visit}")


@contextmanager
def numerical() -> Iterator[None]:
    """Rounding and overflow become a FitError: the first as a matrix without inverse, the other at the end."""
    try:
        with np.errstate(all="ignore"):
            yield
    except np.linalg.LinAlgError:
        raise FitError("outcomes of the visits are collinear") from None


def completed(y: Floats, model: Standardised, state: Floats) -> Floats:
    """`y` (N, V) with its missing values from `state` (m, N, V), which is standardised: (m, N, V)."""
    copies = np.where(np.isnan(y), model.centre + model.scale * state, y)
    if not np.isfinite(copies).all():
        raise FitError("imputed values are not finite")
    return copies


# ------------------------------------------------------------------------------- the multivariate normal


@dataclass(frozen=True, eq=False)
class Regressions:
    """m draws of the multivariate regression of each of G groups, in standard deviations."""

    coef: Floats  # (m, G, p, V)
    cov: Floats  # (m, G, V, V)


def conditional(cov: Floats, given: Ints, missing: Ints) -> tuple[Floats, Floats]:
    """Of normal variables with `cov` (..., V, V): weights (..., given, missing) and root of the residual covariance."""
    across = cov[..., given[:, None], missing]
    weights = np.asarray(np.linalg.solve(cov[..., given[:, None], given], across))
    rest = cov[..., missing[:, None], missing] - across.swapaxes(-1, -2) @ weights
    return weights, np.asarray(np.linalg.cholesky(rest))


def filled(model: Standardised, draws: Regressions, noise: Floats) -> Floats:
    """Missing values drawn given the observed ones of the participant, (m, N, V), 0 where observed."""
    out = np.zeros_like(noise)
    patterns, which = missing_patterns(~np.isnan(model.z))
    for group in range(model.n_groups):
        coef, cov = draws.coef[:, group], draws.cov[:, group]
        for number, seen in enumerate(patterns):
            rows = np.flatnonzero((which == number) & (model.group == group))
            given, missing = np.flatnonzero(seen), np.flatnonzero(~seen)
            if not rows.size or not missing.size:
                continue
            weights, root = conditional(cov, given, missing)
            level = coef[..., missing] - coef[..., given] @ weights
            values = model.x[rows] @ level + model.z[rows[:, None], given] @ weights
            out[:, rows[:, None], missing] = values + noise[:, rows[:, None], missing] @ root.swapaxes(-1, -2)
    return out


def draw_regressions(model: Standardised, *, m: int, luck: Luck, steps: int = STEPS) -> Regressions:
    """Draws from the posterior distribution described in `joint_normal`; FitError as there."""
    n_visits, n_regressors = model.z.shape[1], model.x.shape[1]
    normals = luck.normal(steps, m, model.n_groups, n_visits, model.size)
    uniforms = luck.uniform(steps, m, model.n_groups, n_visits)
    gaps = _Gaps.of(model)
    gap_luck = gaps.luck(luck, steps, m)
    known, n = _known_products(model)
    # Degrees of freedom of visit v given the visits before it: those of the last visit are n - p.
    df = n - n_regressors - np.arange(n_visits)[::-1]
    for group, visit in np.argwhere(df < np.maximum(1, 2 * np.arange(n_visits) + 2 - n_visits))[:1]:
        raise FitError(f"too few observations{model.named(group)} at visit {visit}")
    if not gaps.rows.size:
        return _regressions(known[None], np.sqrt(chi_squared(df, uniforms[-1])), normals[-1], n_regressors)
    at, taken = _maximum_likelihood(model, gaps, known, n, 4 * steps)
    for step in range(max(0, steps - max(10, taken)), steps):
        products = known + gaps.products(at, *gaps.by_block(*(part[step] for part in gap_luck)))
        at = _regressions(products, np.sqrt(chi_squared(df, uniforms[step])), normals[step], n_regressors)
    return at


def chi_squared(df: Floats | Ints | int, uniforms: Floats) -> Floats:
    """Chi-squared numbers from uniforms."""
    return np.asarray(2 * gammaincinv(df / 2, np.clip(uniforms, _TINY, 1 - _TINY)), dtype=np.float64)


def _known_products(model: Standardised) -> tuple[Floats, Ints]:
    """Sums of squares and products of those without gaps, (G, V, p + V, p + V), and counts of all, (G, V).

    At visit v stand those last observed at v or later.
    """
    seen = ~np.isnan(model.z)
    n_visits = seen.shape[1]
    last = np.where(seen.any(axis=1), n_visits - 1 - np.argmax(seen[:, ::-1], axis=1), -1)
    whole = seen.sum(axis=1) == last + 1
    rows = np.hstack([model.x, np.where(seen, model.z, 0.0)])
    products = np.zeros((model.n_groups, n_visits, model.size, model.size))
    n = np.zeros((model.n_groups, n_visits), dtype=np.int64)
    for group in range(model.n_groups):
        for visit in range(n_visits):
            here = (model.group == group) & (last == visit)
            some = rows[here & whole]
            products[group, visit], n[group, visit] = some.T @ some, here.sum()
    return products[:, ::-1].cumsum(axis=1)[:, ::-1], n[:, ::-1].cumsum(axis=1)[:, ::-1]


def _regressions(products: Floats, chi: Floats, normals: Floats, n_regressors: int) -> Regressions:
    """Draw the regression of every visit on the regressors and the visits before it, and put them together.

    `products` (..., G, V, p + V, p + V), `chi` (..., G, V) and `normals` (..., G, V, p + V).
    """
    n_visits = chi.shape[-1]
    coef = np.zeros((*chi.shape[:-1], n_regressors, n_visits))
    on_earlier = np.zeros((*chi.shape, n_visits))
    deviation = np.zeros_like(chi)
    for visit in range(n_visits):
        k = n_regressors + visit
        found, deviation[..., visit] = _regression(
            products[..., visit, : k + 1, : k + 1], chi[..., visit], normals[..., visit, :k], visit
        )
        coef[..., visit], on_earlier[..., visit, :visit] = found[..., :n_regressors], found[..., n_regressors:]
    through = np.linalg.inv(np.eye(n_visits) - on_earlier)
    root = through * deviation[..., None, :]
    return Regressions(coef @ through.swapaxes(-1, -2), root @ root.swapaxes(-1, -2))


def _regression(products: Floats, chi: Floats, normals: Floats, visit: int) -> tuple[Floats, Floats]:
    """Coefficients (..., k) and residual deviation (...) of the last of k + 1 variables on the others."""
    root = np.linalg.cholesky(products)
    rest = root[..., -1, -1]
    if np.any(rest**2 <= _NO_VARIANCE * products[..., -1, -1]):
        raise FitError(f"no residual variance at visit {visit}")
    deviation = rest / chi
    target = root[..., -1, :-1] + deviation[..., None] * normals
    upper = root[..., :-1, :-1].swapaxes(-1, -2)
    return np.asarray(np.linalg.solve(upper, target[..., None]))[..., 0], deviation


def _maximum_likelihood(model: Standardised, gaps: _Gaps, known: Floats, n: Ints, most: int) -> tuple[Regressions, int]:
    """The estimate, and the steps of EM: steps of the chain without luck, with sums of squares / n as variances."""
    n_visits, n_regressors = model.z.shape[1], model.x.shape[1]
    no_normals, no_noise = np.zeros((1, *n.shape, model.size)), np.zeros((1, *gaps.rows.shape[:3], n_visits))
    expected = gaps.n[None, :, :, None, None] * np.eye(n_visits)
    at = Regressions(no_normals[..., :n_regressors].swapaxes(-1, -2), np.eye(n_visits) + no_normals[..., :n_visits])
    for step in range(1, most + 1):
        products = known + gaps.products(at, no_noise, expected)
        new = _regressions(products, np.sqrt(n)[None], no_normals, n_regressors)
        change = max(np.abs(new.coef - at.coef).max(), np.abs(new.cov - at.cov).max())
        at = new
        if change < _EM_CHANGE:
            return at, step
    raise FitError("too much is missing before last observations: no convergence")


@dataclass(frozen=True, eq=False)
class _Gaps:
    """Participants with missing values before their last observation: P patterns of them in each group.

    Their completed sums of squares and products are all that a step needs, so they are not completed one by one. The
    rows of a large block are rotated: into p + V rows (the triangular factor of the block), which are completed like
    participants, and rows of which nothing was observed but zeros, whose products are Wishart. That is exact.
    """

    rows: Floats  # (G, P, R, p + V), regressors and outcomes, 0 where missing
    n: Ints  # (G, P), participants
    place: Ints  # (G, P, R), of a row's noise, -1 for an empty row
    rest: Ints  # (G, P), rows left over by rotation
    seen: Floats  # (P, V), 1 where observed
    gap: Floats  # (P, V), 1 where missing before the last observation
    most: tuple[int, int]  # rows and rotated blocks that a replicate of this size could have

    @classmethod
    def of(cls, model: Standardised) -> _Gaps:
        patterns, which = missing_patterns(~np.isnan(model.z))
        later = patterns[:, ::-1].cumsum(axis=1)[:, ::-1] > 0
        used = np.flatnonzero((later & ~patterns).any(axis=1))
        seen = patterns[used].astype(np.float64)
        data = np.hstack([model.x, np.nan_to_num(model.z)])
        blocks = [[data[(which == p) & (model.group == g)] for p in used] for g in range(model.n_groups)]
        n = np.array([[len(block) for block in row] for row in blocks], dtype=np.int64)
        large = n >= model.size + model.z.shape[1]
        rows, place = _padded(blocks, large, model.size)
        return cls(rows, n, place, np.where(large, n - model.size, 0), seen, later[used] - seen, _most(model))

    def luck(self, luck: Luck, steps: int, m: int) -> tuple[Floats, Floats, Floats]:
        """For every step: noise of all rows, and normals and uniforms for the Wishart matrices of rotated blocks."""
        (n_rows, n_rotated), n_visits = self.most, self.gap.shape[1]
        normals = luck.normal(steps, m, n_rows, n_visits)
        below = luck.normal(steps, m, n_rotated, n_visits, n_visits)
        return normals, below, luck.uniform(steps, m, n_rotated, n_visits)

    def by_block(self, normals: Floats, below: Floats, uniforms: Floats) -> tuple[Floats, Floats]:
        """Noise of the rows of each block, (m, G, P, R, V), and Wishart matrices for the rest, (m, G, P, V, V).

        Bartlett's decomposition: roots of chi-squared numbers on the diagonal, normals below it.
        """
        group, pattern = np.nonzero(self.rest)
        gap = self.gap[pattern]
        df = np.where(gap > 0, self.rest[group, pattern][:, None] - gap.cumsum(axis=1) + 1, 1.0)
        factor = np.tril(below[:, : len(group)], -1)
        diagonal = np.arange(gap.shape[1])
        factor[..., diagonal, diagonal] = np.sqrt(chi_squared(df, uniforms[:, : len(group)]))
        factor *= gap[:, :, None] * gap[:, None]
        rest = np.zeros((len(normals), *self.rest.shape, *factor.shape[2:]))
        rest[:, group, pattern] = factor @ factor.swapaxes(-1, -2)
        return np.where((self.place >= 0)[..., None], normals[:, np.maximum(self.place, 0)], 0.0), rest

    def products(self, at: Regressions, noise: Floats, rest: Floats) -> Floats:
        """Completed sums of squares and products at every visit, (m, G, V, p + V, p + V)."""
        weights, root = self._conditional(at.cov[:, :, None])
        n_regressors = at.coef.shape[2]
        coef = at.coef[:, :, None]
        level = coef * self.gap[:, None] - coef @ weights
        x, y = self.rows[..., :n_regressors], self.rows[..., n_regressors:]
        complete = y + x @ level + y @ weights + noise @ root.swapaxes(-1, -2)
        whole = np.concatenate([np.broadcast_to(x, (*complete.shape[:-1], n_regressors)), complete], axis=-1)
        products = whole.swapaxes(-1, -2) @ whole
        products[..., n_regressors:, n_regressors:] += root @ rest @ root.swapaxes(-1, -2)
        until = ((self.seen + self.gap) > 0).astype(np.float64)
        return np.tensordot(products, until, axes=(2, 0)).transpose(0, 1, 4, 2, 3)

    def _conditional(self, cov: Floats) -> tuple[Floats, Floats]:
        """Weights of observed visits for gaps, and root of the gaps' covariance, (..., P, V, V), 0 elsewhere."""
        seen, gap, own = self.seen, self.gap, np.eye(self.gap.shape[1])
        across = cov * (seen[:, :, None] * gap[:, None])
        known = cov * (seen[:, :, None] * seen[:, None]) + own * (1 - seen[:, None])
        weights = np.asarray(np.linalg.solve(known, across))
        rest = cov * (gap[:, :, None] * gap[:, None]) - across.swapaxes(-1, -2) @ weights
        return weights, np.linalg.cholesky(rest + own * (1 - gap[:, None])) * gap[:, :, None]


def _padded(blocks: list[list[Floats]], large: Bools, size: int) -> tuple[Floats, Ints]:
    """Rows of blocks, large ones rotated, as one array (G, P, R, size), and the number of each row, (G, P, R)."""
    kept = [np.linalg.qr(blocks[g][p], mode="r") if big else blocks[g][p] for (g, p), big in np.ndenumerate(large)]
    most, start = max((len(block) for block in kept), default=0), 0
    rows, place = np.zeros((len(kept), most, size)), np.full((len(kept), most), -1)
    for number, block in enumerate(kept):
        rows[number, : len(block)], place[number, : len(block)] = block, np.arange(start, start + len(block))
        start += len(block)
    return rows.reshape(*large.shape, most, size), place.reshape(*large.shape, most)


def _most(model: Standardised) -> tuple[int, int]:
    n_participants, n_visits = model.z.shape
    blocks, large = model.n_groups * (2**n_visits - 1 - n_visits), model.size + n_visits
    return min(n_participants, blocks * large), min(n_participants // large, blocks)


# ---------------------------------------------------------------------------------------- chained equations


@dataclass(frozen=True, eq=False)
class _Visit:
    """The regression of one visit in one group. Only some of its rows change from copy to copy."""

    visit: int
    df: int
    missing: Ints  # rows to impute
    changing: Ints  # rows observed here and missing at some other visit
    fixed: Floats  # (p + V, p + V), products of the rows observed everywhere
    order: Ints  # of regressors and visits, this visit last

    def update(self, state: Floats, x: Floats, noise: Floats, normals: Floats, uniforms: Floats) -> None:
        """Draw parameters and impute, in `state` (m, N, V)."""
        if not self.missing.size:
            return
        products = self._products(state[:, self.changing], x[self.changing])
        chi = np.sqrt(chi_squared(self.df, uniforms))
        coef, deviation = _regression(products, chi, normals[:, :-1], self.visit)
        p = x.shape[1]
        others = np.delete(state[:, self.missing], self.visit, axis=2)
        values = coef[:, :p] @ x[self.missing].T + (others @ coef[:, p:, None])[..., 0]
        state[:, self.missing, self.visit] = values + deviation[:, None] * noise[:, self.missing, self.visit]

    def _products(self, y: Floats, x: Floats) -> Floats:
        p = x.shape[1]
        products = np.repeat(self.fixed[None], len(y), axis=0)
        across = x.T @ y
        products[:, :p, :p] += x.T @ x
        products[:, :p, p:] += across
        products[:, p:, :p] += across.swapaxes(1, 2)
        products[:, p:, p:] += y.swapaxes(1, 2) @ y
        return products[:, self.order[:, None], self.order]


def _visit(model: Standardised, group: int, visit: int) -> _Visit:
    own, n_regressors = model.members(group), model.x.shape[1]
    seen = ~np.isnan(model.z[own])
    here, everywhere = seen[:, visit], seen.all(axis=1)
    df = int(here.sum()) - model.size + 1
    if df < 1 and not here.all():
        raise FitError(f"too few observations{model.named(group)} at visit {visit}")
    rows = np.hstack([model.x[own[everywhere]], model.z[own[everywhere]]])
    order = np.arange(model.size)
    order = np.append(np.delete(order, n_regressors + visit), n_regressors + visit)
    return _Visit(visit, df, own[~here], own[here & ~everywhere], rows.T @ rows, order)


def _start(model: Standardised, noise: Floats) -> Floats:
    """(m, N, V): observed values, and elsewhere the regression on arm and covariates with noise."""
    state = np.repeat(model.z[None], len(noise), axis=0)
    for group in range(model.n_groups):
        own = model.members(group)
        for visit, z in enumerate(model.z[own].T):
            here, x = ~np.isnan(z), model.x[own]
            rows = np.column_stack([x, z])[here]
            chi = np.sqrt(np.array([len(rows) - x.shape[1]]))
            coef, deviation = _regression((rows.T @ rows)[None], chi, np.zeros((1, x.shape[1])), visit)
            fitted, gone = x[~here] @ coef[0], own[~here]
            state[:, gone, visit] = fitted + deviation * noise[:, gone, visit]
    return state
