"""Linear mixed model with random intercepts of clusters (coaches, sites, providers), every visit apart.

    y_i = cell[arm i] + x_i'beta + u_cluster(i) + e_i,    u ~ N(0, s_u), e ~ N(0, s_e), by REML.

Where only some arms have clusters, as when coaches treat the participants of one arm, this is the partially nested
model (Roberts and Roberts 2005, doi:10.1191/1740774505cn076oa; Baldwin et al. 2011, doi:10.1037/a0022912; Candlish
et al. 2018, doi:10.1186/s12874-018-0559-x): who is treated alone has no random effect.

How it is fast. With random intercepts the covariance matrix V has, whatever the variances, the same few eigenspaces:
the directions within clusters and of those who stand alone, with variance s_e (two spaces, if the residual variance
differs between arms), and one direction for every cluster of n members, with variance s_e + n s_u. So sums of squares
and products, one matrix per eigenvalue, are all the data that are needed: clusters of the same size share a matrix,
and the likelihood, its derivatives and all that degrees of freedom need are weighted sums of these matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trialsim.analysis.fits import Bools, Data, FitError, Floats, Ints, Means
from trialsim.analysis.mixed_inference import (
    Derivatives,
    Inference,
    Method,
    Spectrum,
    Units,
    derivatives,
    infer,
)

MAX_ITERATIONS = 60
MAX_HALVINGS = 40
# Newton's decrement: twice the fall of the deviance still to come. The step after it leaves about its square.
SMALL_DECREMENT = 1e-14
# Least eigenvalue of a matrix whose diagonal is about 1.
SINGULAR = 1e-10
# A standard deviation below this part of the largest value is rounding, and the covariate or outcome a constant.
CONSTANT = 1e-10
# Intracluster correlations at which the search may begin: the likelihood of unbalanced data can have two peaks.
STARTS = np.array([0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.99, 0.999])


def mixed(
    data: Data,
    *,
    nested_arms: tuple[int, ...] | None = None,
    heteroscedastic: bool = False,
    df: Literal["satterthwaite", "kenward_roger", "between_within", "normal"] = "satterthwaite",
) -> Means:
    """Adjusted means of the mixed model, at the mean covariates of those observed at the visit, and u = 0.

    `nested_arms` are the arms whose members of a cluster share its effect; None: all arms. A cluster may span arms
    (site) or be nested in one (coach). `heteroscedastic`: the residual variance of the nested arms differs from that
    of the others. Variances are REML estimates, s_u >= 0. The covariance of the means is that of generalised least
    squares, adjusted by Kenward and Roger (1997, doi:10.2307/2533558) for "kenward_roger" alone.

    Degrees of freedom, of every mean and every difference of two means:
    "satterthwaite": from the observed information about the variances (Fai and Cornelius 1996,
    doi:10.1080/00949659608811740), as lmerTest (Kuznetsova et al. 2017, doi:10.18637/jss.v082.i13).
    "kenward_roger": from their expected information, as pbkrtest (Halekoh and Hojsgaard 2014,
    doi:10.18637/jss.v059.i09). Its F test of all arms also scales the statistic; only `global_df` is given here.
    "between_within": number of clusters minus number of arms with clusters, for a mean or difference that involves an
    arm with clusters. Arms that share most of their clusters count as one arm here, and the difference between them
    has N - p less that number, N observations and p arms and covariates. N - p where no arm has clusters; with
    `heteroscedastic` observations, arms and covariates of the arms that share the residual variance.
    "normal": infinite.

    At the boundary s_u = 0 the observed information is not that of a maximum, and "satterthwaite" takes the expected
    one instead, as if s_u were just above 0: its degrees of freedom are those of Kenward and Roger. lmerTest has the
    residual ones there, N - p, as if it were known that no cluster has an effect, so that a few clusters count as many
    participants. The between-within ones would be too few for a difference to an arm without clusters: in null
    simulations with 4 clusters the type I error at .05 is then .01, and .03 to .04 with the choice made here.

    A visit fails where an arm has no observations, covariates are collinear or the variances cannot be told apart.
    FitError if weights are given: what they would mean for a covariance that rests on the model is not clear.
    """
    if data.weights is not None:
        raise FitError("a mixed model takes no weights")
    if nested_arms is not None and not set(nested_arms) <= set(range(data.n_arms)):
        raise ValueError(f"nested_arms must be arms 0 ... {data.n_arms - 1} (given: {nested_arms})")
    nested = np.isin(np.arange(data.n_arms), range(data.n_arms) if nested_arms is None else nested_arms)
    n_arms, n_visits = data.n_arms, data.y.shape[1]
    mean, cov = np.full((n_arms, n_visits), np.nan), np.zeros((n_arms, n_visits, n_arms, n_visits))
    all_df, global_df = np.full((n_arms, n_arms, n_visits), np.nan), np.full(n_visits, np.nan)
    observed, reasons, used = data.observed, [""] * n_visits, np.zeros(len(data.y), dtype=np.bool_)
    for visit in range(n_visits):
        try:
            with np.errstate(all="ignore"):
                mean[:, visit], found = _fit_visit(data, visit, nested, heteroscedastic, df)
            cov[:, visit, :, visit], all_df[:, :, visit], global_df[visit] = found.cov, found.df, found.global_df
            used |= observed[:, visit]
        except FitError as fault:
            cov[:, visit], cov[:, :, :, visit], reasons[visit] = np.nan, np.nan, str(fault)
    return Means(
        link="identity",
        mean=mean,
        cov=cov.reshape(n_arms * n_visits, n_arms * n_visits),
        df=all_df,
        global_df=global_df,
        n_cell=np.stack([np.bincount(data.arm[seen], minlength=n_arms) for seen in observed.T], axis=1),
        n_used=int(used.sum()),
        reason=tuple(reasons),
    )


def _fit_visit(data: Data, visit: int, nested: Bools, heteroscedastic: bool, df: Method) -> tuple[Floats, Inference]:
    sample = _sample(data, visit)
    units = _units(sample, nested, heteroscedastic)
    spectrum = _spectrum(sample, units)
    try:
        variances, at = _reml(spectrum, _residual_variances(spectrum, units, visit), visit)
        found = infer(at, units, sample.to_means, boundary=bool(variances[0] == 0), method=df)
    except np.linalg.LinAlgError:
        raise FitError(f"no convergence at visit {visit}") from None
    means = sample.means + sample.unit * (sample.to_means @ at.coefficients)
    return means, _checked(found, sample.unit, means, visit)


def _checked(found: Inference, unit: float, means: Floats, visit: int) -> Inference:
    cov = unit * (unit * found.cov)
    own = np.diagonal(cov)
    if not (np.isfinite(cov).all() and np.isfinite(means).all() and (own > 0).all()):
        raise FitError(f"an observed outcome is too large or too small at visit {visit}")
    differences = own[:, None] + own - 2 * cov + np.diag(own)
    if not (differences > SINGULAR * own).all():
        raise FitError(f"zero variance of a difference at visit {visit}")
    if not ((found.df > 0).all() and found.global_df > 0):
        raise FitError(f"no degrees of freedom at visit {visit}")
    return Inference(cov, found.df, found.global_df)


# -------------------------------------------------------------------------------------- the data of a visit


@dataclass(frozen=True, eq=False)
class _Sample:
    """Those observed, in an orthonormal basis of the fixed effects: q - 1 columns, and what least squares leaves of y.

    With it all sums stay near 1, so that differences of them keep their digits.
    """

    columns: Floats  # (n, q): arm dummies and covariates, orthonormal, and residuals whose mean square is 1
    arm: Ints  # (n,)
    cluster: Ints  # (n,)
    n_arms: int
    unit: float  # residual standard deviation of ordinary least squares, in units of the outcome
    means: Floats  # (A,), adjusted means by least squares
    to_means: Floats  # (A, q - 1), from coefficients in the basis to adjusted means, in `unit`


def _sample(data: Data, visit: int) -> _Sample:
    rows = np.flatnonzero(~np.isnan(data.y[:, visit]))
    y, arm, x = data.y[rows, visit], data.arm[rows], data.covariates[rows]
    size = np.bincount(arm, minlength=data.n_arms)
    if not size.all():
        raise FitError(f"no observations in arm {int(np.argmin(size))} at visit {visit}")
    if not np.isfinite(y).all():
        raise FitError(f"an observed outcome is not finite at visit {visit}")
    dummies = (arm[:, None] == np.arange(data.n_arms)) / np.sqrt(size)
    basis, arm_x = _covariate_basis(x, dummies, size)
    n_left = len(rows) - data.n_arms - x.shape[1]
    if n_left < 1:
        raise FitError(f"too few observations at visit {visit}")
    largest = np.abs(y).max()
    shape = y / (largest or 1.0)
    arm_y = dummies.T @ shape / np.sqrt(size)
    around = shape - arm_y[arm]
    slope = basis.T @ around
    residual = around - basis @ slope
    spread = np.sqrt(residual @ residual / n_left)
    if not spread > CONSTANT:
        raise FitError(f"zero variance at visit {visit}")
    return _Sample(
        columns=np.column_stack([dummies, basis, residual / spread]),
        arm=arm,
        cluster=data.cluster[rows],
        n_arms=data.n_arms,
        unit=float(largest * spread),
        means=largest * (arm_y - arm_x @ slope),
        to_means=np.hstack([np.diag(1 / np.sqrt(size)), -arm_x]),
    )


def _covariate_basis(x: Floats, dummies: Floats, size: Ints) -> tuple[Floats, Floats]:
    """Orthonormal basis (n, C) of the covariates within arms, and the arms' mean covariates (A, C) in it."""
    if not np.isfinite(x).all():
        raise FitError("a covariate is not finite")
    largest = np.abs(x).max(axis=0)
    unit = x / np.where(largest > 0, largest, 1.0)
    unit -= unit.mean(axis=0)
    spread = np.sqrt((unit**2).sum(axis=0))
    if not (spread > CONSTANT * np.sqrt(len(x))).all():
        raise FitError("covariates are collinear")
    unit /= spread
    arm_x = dummies.T @ unit / np.sqrt(size)[:, None]
    within = unit - dummies @ (arm_x * np.sqrt(size)[:, None])
    gram = within.T @ within
    if x.shape[1] and np.linalg.eigvalsh(gram)[0] < SINGULAR:
        raise FitError("covariates are collinear")
    turn = np.linalg.inv(np.linalg.cholesky(gram)).T
    return within @ turn, arm_x @ turn


# ------------------------------------------------------------------------------ the eigenspaces of V, and sums


def _units(sample: _Sample, nested: Bools, heteroscedastic: bool) -> Units:
    in_nested = nested[sample.arm]
    member = np.flatnonzero((sample.cluster >= 0) & in_nested)
    _, code = np.unique(sample.cluster[member], return_inverse=True)
    first = in_nested if heteroscedastic else np.ones(len(in_nested), dtype=np.bool_)
    n_covariates = sample.columns.shape[1] - 1 - sample.n_arms
    return Units(sample.arm, sample.n_arms, member, code, first, n_covariates)


def _spectrum(sample: _Sample, units: Units) -> Spectrum:
    first, second = sample.columns[units.first], sample.columns[~units.first]
    sizes, n_clusters, between = _between_clusters(sample.columns[units.member], units.code)
    within = first.T @ first - between.sum(axis=0)
    n_within = len(first) - n_clusters.sum()
    gram, count = [within[None], between], [n_within, *n_clusters]
    share = np.array([(0.0, 1.0), *((size, 1.0) for size in sizes)])
    if len(second):
        gram, count = [*gram, (second.T @ second)[None]], [*count, len(second)]
        share = np.vstack([np.pad(share, ((0, 0), (0, 1))), [0.0, 0.0, 1.0]])
    return Spectrum(np.concatenate(gram), share, np.array(count, dtype=np.float64))


def _between_clusters(columns: Floats, code: Ints) -> tuple[Ints, Ints, Floats]:
    """Distinct sizes of clusters (S,), how many clusters have them, and squares of the clusters' means (S, q, q)."""
    size, q = np.bincount(code), columns.shape[1]
    sizes, place, n_clusters = np.unique(size, return_inverse=True, return_counts=True)
    between = np.zeros((len(sizes), q, q))
    if len(size):
        order = np.argsort(code, kind="stable")
        sums = np.add.reduceat(columns[order], np.cumsum(size) - size, axis=0)
        np.add.at(between, place, sums[:, :, None] * sums[:, None, :] / size[:, None, None])
    return sizes, n_clusters, between


def _residual_variances(spectrum: Spectrum, units: Units, visit: int) -> Floats:
    """Every residual variance from its eigenspace alone. Where that has none, the likelihood has no maximum."""
    if units.code.max(initial=-1) < 1:
        raise FitError(f"fewer than 2 clusters at visit {visit}")
    found = []
    for place in (0, -1)[: spectrum.share.shape[1] - 1]:
        gram = spectrum.gram[place]
        values, axes = np.linalg.eigh(gram[:-1, :-1])
        there = values > SINGULAR
        n_left = spectrum.count[place] - there.sum()
        if n_left < 1:
            raise FitError(f"too few observations within clusters at visit {visit}")
        along = axes[:, there].T @ gram[:-1, -1]
        left = (gram[-1, -1] - (along**2 / values[there]).sum()) / n_left
        if not left > SINGULAR:
            raise FitError(f"zero variance within clusters at visit {visit}")
        found.append(left)
    return np.array(found)


# ------------------------------------------------------------------------------------------------ the variances


def _reml(spectrum: Spectrum, residual: Floats, visit: int) -> tuple[Floats, Derivatives]:
    """REML estimates of (s_u, s_e ...), and the derivatives there. Newton's method with s_u kept >= 0."""
    variances = _start(spectrum, residual)
    at = derivatives(spectrum, variances)
    # Without the fixed effects the information about every variance would be this. Next to it the rest is rounding.
    at_most = (spectrum.share**2).T @ (spectrum.count / (spectrum.share @ variances) ** 2)
    if not ((np.diagonal(at.expected) > SINGULAR * at_most).all() and _positive_definite(at.expected)):
        raise FitError(f"the variance between clusters cannot be estimated at visit {visit}")
    for _ in range(MAX_ITERATIONS):
        free = (variances > 0) | (at.gradient < 0)
        step, convex = _step(at, free)
        if -(at.gradient @ step) < SMALL_DECREMENT:
            if convex:
                variances = _moved(variances, step)
                return variances, derivatives(spectrum, variances)
            break
        halved = _halved(spectrum, variances, at, step)
        if halved is None:
            break
        variances, at = halved
    raise FitError(f"no convergence at visit {visit}")


def _halved(spectrum: Spectrum, variances: Floats, at: Derivatives, step: Floats) -> tuple[Floats, Derivatives] | None:
    """Where the step leads, or a half of a half of it if need be."""
    for _ in range(MAX_HALVINGS):
        trial = _moved(variances, step)
        if (trial[1:] > 0).all():
            there = derivatives(spectrum, trial)
            if there.deviance <= at.deviance + 1e-10 * (1 + abs(at.deviance)):
                return trial, there
        step = step / 2
    return None


def _start(spectrum: Spectrum, residual: Floats) -> Floats:
    """The best of a few intracluster correlations, the scale of all variances being at its best for each."""
    ratio = STARTS / (1 - STARTS)
    trials = np.column_stack([ratio * residual[0], np.broadcast_to(residual, (len(ratio), len(residual)))])
    eigenvalues = trials @ spectrum.share.T
    q = spectrum.gram.shape[1]
    grams = ((1 / eigenvalues) @ spectrum.gram.reshape(-1, q * q)).reshape(-1, q, q)
    fixed, both = np.linalg.slogdet(grams[:, :-1, :-1])[1], np.linalg.slogdet(grams)[1]
    n_left = spectrum.count.sum() - (q - 1)
    best = np.argmin(n_left * (both - fixed) + np.log(eigenvalues) @ spectrum.count + fixed)
    return trials[best] * np.exp(both - fixed)[best] / n_left


def _step(at: Derivatives, free: Bools) -> tuple[Floats, bool]:
    """Newton's step of the free variances, or Fisher's where the deviance is not convex, and whether it is."""
    hessian = at.hessian[np.ix_(free, free)]
    convex = _positive_definite(hessian)
    if not convex:
        hessian = at.expected[np.ix_(free, free)]
    step = np.zeros(len(free))
    step[free] = -np.linalg.solve(hessian, at.gradient[free])
    return step, convex


def _moved(variances: Floats, step: Floats) -> Floats:
    moved = variances + step
    moved[0] = max(moved[0], 0.0)
    return moved


def _positive_definite(matrix: Floats) -> bool:
    squares = np.diagonal(matrix)
    if not (np.isfinite(matrix).all() and (squares > 0).all()):
        return False
    scale = 1 / np.sqrt(squares)
    return bool(np.linalg.eigvalsh(matrix * scale[:, None] * scale)[0] > SINGULAR)
