"""Estimating equations against geepack, clubSandwich, statsmodels, and a second implementation with dense matrices.

R 4.2.2, geepack 1.3.9, clubSandwich 0.5.8. `trial.csv` holds what `trial()` makes, one row per observation.

    d <- read.csv("trial.csv"); one <- d[!duplicated(d$id), ]
    d$x1 <- d$x1 - mean(one$x1); d$x2 <- d$x2 - mean(one$x2)   # and the same in `one`
    d$cell <- factor(d$arm * 3 + d$visit); d$wave <- as.integer(d$visit + 1)
    d$b <- as.numeric(d$y > 5.3); d$count <- floor(pmax(d$y - 2, 0)); d$w <- 1 + (d$id %% 4) / 2 + d$visit / 4
    tight <- geese.control(epsilon = 1e-12, maxit = 500)
    m <- geeglm(y ~ 0 + cell + x1 + x2, id = id, waves = wave, data = d, family = gaussian, corstr = "exchangeable",
                control = tight)                               # b: binomial, count: poisson; weights = w
    # unstructured (geepack 1.3.9 crashes if given waves with gaps):
    #   corstr = "userdefined", zcor = genZcor(as.integer(table(d$id)), d$wave, 4)
    # gaussian: coef(m)[1:9] and sqrt(diag(vcov(m)))[1:9]. Others: standardised by hand, for cell j
    #   h <- plogis(coef(m)[j] + cbind(one$x1, one$x2) %*% coef(m)[10:11]); qlogis(mean(h)), delta method with vcov(m)
    # "modified poisson": b with family = poisson
    f <- lm(y ~ 0 + cell + x1 + x2, data = d)
    cl <- ifelse(d$coach >= 0, paste0("c", d$coach), paste0("p", d$id))
    linear_contrast(f, vcovCR(f, cl, type = "CR2"), L, test = "Satterthwaite")   # 9 means, then pairs of arms by visit
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from statsmodels.genmod.cov_struct import Exchangeable, Independence, Unstructured
from statsmodels.tools.sm_exceptions import DomainWarning

from trialsim.analysis.fits import Data, FitError, Means
from trialsim.analysis.gee import Correction, Family, Working, gee

Array = NDArray[Any]
PAIRS = [(0, 1), (0, 2), (1, 2)]
N = 48


def uniforms(n: int) -> Array:
    """Numbers of a linear congruential generator, the same on every machine."""
    out, state = np.empty(n), 20240611
    for i in range(n):
        state = (1103515245 * state + 12345) % 2**31
        out[i] = state / 2**31
    return out


def trial() -> tuple[Data, Array]:
    """47 of 48 participants observed, in 7 patterns of visits, and the coach of those in arm 1."""
    u = uniforms(N * 40).reshape(N, 40)
    noise = u[:, :36].reshape(N, 3, 12).sum(axis=2) - 6
    noise[:, 2] += 0.5 * noise[:, 1]
    arm = np.arange(N) % 3
    x = np.column_stack([np.round(u[:, 36], 2), u[:, 37] < 0.4])
    coach = np.where(arm == 1, (np.arange(N) // 3) % 5, -1)
    coached = np.array([0.6, -0.5, 0.1, -0.7, 0.4, 0.0])[coach]
    own = 5 + 0.5 * arm + x @ [1.0, -0.8] + coached + 4 * (u[:, 38] - 0.5)
    y = np.round(own[:, None] - np.array([0, 0.3, 0.6]) + noise, 3)
    y[u[:, [39, 0, 13]] < 0.2] = np.nan
    y[7] = np.nan
    return Data(y, arm, x, np.full(N, -1), 3), coach


def outcome(kind: str, y: Array) -> Array:
    if kind == "gaussian":
        return y
    made = (y > 5.3) * 1.0 if kind in ("binomial", "modified poisson") else np.floor(np.maximum(y - 2, 0))
    return np.where(np.isnan(y), np.nan, made)


def errors(means: Means) -> Array:
    return np.sqrt(np.diag(means.cov))


# fmt: off
GEEPACK: dict[tuple[str, str], tuple[list[float], list[float]]] = {
    ("gaussian", "independence"): (
        [4.989854822, 4.659060522, 4.494393293, 5.675099717, 5.543602637, 5.224297827, 6.067699487, 5.866038883, 5.076769935],
        [0.3672552816, 0.3459907504, 0.3610038919, 0.4422244584, 0.5532528665, 0.4221590802, 0.3470623733, 0.4416004406, 0.3969349650],
    ),
    ("gaussian", "exchangeable"): (
        [4.986671270, 4.637371296, 4.543482587, 5.630116328, 5.574847979, 5.060146194, 6.181783873, 5.822246347, 5.078837742],
        [0.3664303806, 0.3282307970, 0.3522063058, 0.4542385886, 0.5180816369, 0.4301540406, 0.3534166049, 0.4367859494, 0.3774814385],
    ),
    ("gaussian", "unstructured"): (
        [4.983780948, 4.592872236, 4.533289883, 5.647600086, 5.552584646, 4.990221890, 6.153606928, 5.818251454, 5.051095808],
        [0.3665488383, 0.3299459113, 0.3421477423, 0.4482830092, 0.5006323337, 0.4350476269, 0.3443683195, 0.4467988964, 0.3784709802],
    ),
    ("binomial", "independence"): (
        [-0.6472515578, -0.8129718805, -0.7990465508, 0.6231639962, 0.6269231720, -0.4750083142, 0.8312163111, 0.5575259252, -0.2171867819],
        [0.5292050777, 0.5664525492, 0.4985160857, 0.6343079881, 0.5595608590, 0.5835960768, 0.4997522088, 0.6226411534, 0.5021226850],
    ),
    ("binomial", "exchangeable"): (
        [-0.6128156267, -0.8233586779, -0.7607489641, 0.5601694221, 0.6065903804, -0.5369920170, 0.8539816351, 0.5506486694, -0.1821856107],
        [0.5238392715, 0.5534188298, 0.4851055531, 0.6303245585, 0.5554713018, 0.5890804279, 0.5053775775, 0.6136998587, 0.4912261473],
    ),
    ("binomial", "unstructured"): (
        [-0.6405425563, -0.8828668069, -0.8074850540, 0.6009263668, 0.5377558164, -0.5974214305, 0.8256992613, 0.5840854238, -0.1213353513],
        [0.5250899878, 0.5467868159, 0.4820979318, 0.6342778132, 0.5550219963, 0.6027531276, 0.4902845409, 0.6114040090, 0.4822782387],
    ),
    ("poisson", "independence"): (
        [0.9680406859, 0.8056688677, 0.7475220486, 1.1506926420, 1.1208955609, 0.9533586085, 1.3065103718, 1.2334047942, 0.9320067479],
        [0.1284320644, 0.1705712512, 0.1661896547, 0.1305477140, 0.1890850183, 0.1553277900, 0.1027153719, 0.1422257346, 0.1579129753],
    ),
    ("poisson", "exchangeable"): (
        [0.9751504436, 0.8032341128, 0.7781482393, 1.1280107785, 1.1150333728, 0.8960325131, 1.3514089523, 1.2325548874, 0.9224092217],
        [0.1256653480, 0.1645117851, 0.1549953960, 0.1355834480, 0.1780292555, 0.1658975938, 0.1034050519, 0.1409949477, 0.1579439532],
    ),
    ("poisson", "unstructured"): (
        [0.9762814745, 0.7941801447, 0.7777437819, 1.1292384687, 1.1039090074, 0.8762147458, 1.3359957556, 1.2337896231, 0.9165379832],
        [0.12619486961, 0.16841393225, 0.15157547142, 0.13460832724, 0.17595446592, 0.17077322352, 0.09965313227, 0.14344467883, 0.16053337703],
    ),
    ("gaussian", "weighted"): (
        [4.888671939, 4.613836631, 4.425704960, 5.578472573, 5.759576929, 5.189661274, 6.048987527, 5.850217558, 4.923712820],
        [0.3522789768, 0.3510238397, 0.3732232526, 0.5229065601, 0.5500174494, 0.3884686448, 0.3654443390, 0.3951499790, 0.4115168280],
    ),
    ("binomial", "weighted"): (
        [-0.7684337400, -0.7619794935, -0.8455111517, 0.5563945440, 0.8262814086, -0.4863211955, 0.7053988634, 0.6255828545, -0.2873662310],
        [0.5149552071, 0.5436304719, 0.5120922790, 0.7296188299, 0.5671655315, 0.5903844727, 0.4920125052, 0.6336092993, 0.5246112783],
    ),
    ("modified poisson", "exchangeable"): (
        [-1.0002442057, -1.1325924060, -1.0973913072, -0.4339330184, -0.4175693128, -0.9879953044, -0.3031436242, -0.4467479040, -0.8370523255],
        [0.3140746916, 0.3688248552, 0.3204133199, 0.2343392847, 0.1963473262, 0.3688250111, 0.1831380995, 0.2589299794, 0.3061577580],
    ),
}

CLUBSANDWICH = np.array(
    [
        [4.9898548223, 4.6590605222, 4.4943932934, 5.6750997166, 5.5436026373, 5.2242978266, 6.0676994870, 5.8660388832, 5.0767699346, -0.6852448943, -0.8845421151, -0.7299045332, -1.0778446648, -1.2069783610, -0.5823766412, -0.3925997704, -0.3224362459, 0.1475278920],
        [0.3849187015, 0.3672897961, 0.3803393384, 0.4389626504, 0.6506886301, 0.5356641747, 0.3641922680, 0.4683072098, 0.4178823586, 0.5713036227, 0.7495449758, 0.6950388955, 0.5218057572, 0.5999185918, 0.5690654325, 0.5848032057, 0.7928295664, 0.6398831523],
        [14.443077105, 10.351672814, 13.455931614, 2.972312430, 2.968460145, 3.837562506, 12.491403159, 11.224485945, 12.509192388, 8.073019162, 9.260439549, 11.464733015, 25.194671072, 21.122670314, 25.481017525, 8.696669326, 8.877420452, 11.486827614],
    ]
)
# fmt: on

# R's results were printed with 10 digits; geepack stops when a step is below 1e-12.
DIGITS = 3e-9


@pytest.mark.parametrize(("kind", "working"), GEEPACK)
def test_as_geepack(kind: str, working: str) -> None:
    data, _ = trial()
    family: Any = kind.split()[-1]
    data = replace(data, y=outcome(kind, data.y))
    if working == "weighted":
        weights = 1 + (np.arange(N) % 4)[:, None] / 2 + np.arange(3) / 4
        data, working = replace(data, weights=weights), "independence"
        means = gee(data, family=family, working="independence")
        expected = GEEPACK[kind, "weighted"]
    else:
        means = gee(data, family=family, working=working)  # type: ignore[arg-type]
        expected = GEEPACK[kind, working]
    assert_allclose(means.mean.ravel(), expected[0], rtol=DIGITS)
    assert_allclose(errors(means), expected[1], rtol=DIGITS)
    assert means.n_used == 47
    assert means.n_cell.sum() == 113
    assert np.isinf(means.df).all()
    assert means.link == {"gaussian": "identity", "binomial": "logit", "poisson": "log"}[family]


def test_shared_clusters_as_clubsandwich() -> None:
    """With independence, Kauermann & Carroll's correction is CR2, and so are the degrees of freedom."""
    data, coach = trial()
    means = gee(replace(data, cluster=coach), family="gaussian", working="independence", correction="kauermann_carroll")
    c = np.zeros((9, 9))
    for row, (a, b) in enumerate(PAIRS):
        for visit in range(3):
            c[row * 3 + visit, [a * 3 + visit, b * 3 + visit]] = 1, -1
    c = np.vstack([np.eye(9), c])
    df = np.concatenate([means.df[[0, 1, 2], [0, 1, 2]].ravel(), *[means.df[a, b] for a, b in PAIRS]])
    found = [c @ means.mean.ravel(), np.sqrt(np.diag(c @ means.cov @ c.T)), df]
    assert_allclose(found, CLUBSANDWICH, rtol=DIGITS)


# ------------------------------------------------------------------------------------------------- statsmodels


class GeepackUnstructured(Unstructured):
    """With one scale for all visits; statsmodels divides by each visit's own."""

    def update(self, params: Array) -> None:
        cov, count = np.zeros((2, *self.dep_params.shape))
        for y, (mu, _), time in zip(self.model.endog_li, self.model.cached_means, self.model.time_li, strict=True):
            resid, at = (y - mu) / np.sqrt(self.model.family.variance(mu)), np.ix_(time[:, 0], time[:, 0])
            cov[at] += np.outer(resid, resid)
            count[at] += 1
        self.dep_params = cov / count / (np.trace(cov) / np.trace(count))
        np.fill_diagonal(self.dep_params, 1.0)


STRUCTURES = {"independence": Independence, "exchangeable": Exchangeable, "unstructured": GeepackUnstructured}
FAMILIES = {"gaussian": sm.families.Gaussian, "binomial": sm.families.Binomial, "poisson": sm.families.Poisson}


def random_trial(family: str, *, n: int = 130, n_visits: int = 4, coaches: int = 0) -> Data:
    rng = np.random.default_rng(99)
    arm = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2)) * [1, 20] + [0, 300]
    y = rng.normal(size=(n, n_visits)) + rng.normal(size=(n, 1)) + 0.5 * x[:, :1] + arm[:, None]
    cluster = np.where((arm == 1) & (rng.random(n) < 0.8), rng.integers(0, max(coaches, 1), n) * 3, -1)
    if not coaches:
        cluster[:] = -1
    if family != "gaussian":
        y = (y > 0.4) * 1.0 if family == "binomial" else np.floor(np.exp(y / 2))
    y[rng.random((n, n_visits)) < 0.25] = np.nan
    return Data(y, arm, x, cluster, 2)


def long(data: Data) -> tuple[Array, Array, Array, Array]:
    """Outcomes, design (cells, covariates centred over participants with an observation), participant and visit."""
    used = data.observed.any(axis=1)
    row, visit = np.nonzero(data.observed)
    n_visits = data.y.shape[1]
    cells = (data.arm[row] * n_visits + visit)[:, None] == np.arange(data.n_arms * n_visits)
    x = data.covariates - data.covariates[used].mean(axis=0)
    return data.y[row, visit], np.hstack([cells, x[row]]), row, visit


def statsmodels_fit(data: Data, family: str, working: str, groups: Array, **options: Any) -> Any:
    y, design, _, visit = long(data)
    order = np.argsort(groups, kind="stable")
    model = sm.GEE(
        y[order],
        design[order],
        groups=groups[order],
        time=visit[order],
        family=FAMILIES[family](),
        cov_struct=STRUCTURES[working](),
    )
    return model.fit(maxiter=200, ctol=1e-11, ddof_scale=0, **options)


def standardised(data: Data, params: Array, family: str) -> Array:
    """Means on the scale of the link when everybody with an observation is in an arm, at a visit."""
    used = data.observed.any(axis=1)
    x = data.covariates[used] - data.covariates[used].mean(axis=0)
    n_cells = data.n_arms * data.y.shape[1]
    predictor = params[:n_cells] + (x @ params[n_cells:])[:, None]
    if family == "gaussian":
        return predictor.mean(axis=0)
    if family == "poisson":
        return np.log(np.exp(predictor).mean(axis=0))
    risk = (1 / (1 + np.exp(-predictor))).mean(axis=0)
    return np.log(risk / (1 - risk))


def gradient(data: Data, params: Array, family: str) -> Array:
    """By Richardson's extrapolation of central differences."""
    scale = 1e-3 / np.r_[np.ones(len(params) - 2), data.covariates.std(axis=0)]

    def slope(step: float) -> Array:
        moves = np.diag(scale) * step
        ends = [(standardised(data, params + m, family), standardised(data, params - m, family)) for m in moves]
        return np.column_stack([(up - down) / (2 * step * s) for (up, down), s in zip(ends, scale, strict=True)])

    return (4 * slope(1) - slope(2)) / 3


@pytest.mark.parametrize("working", list(STRUCTURES))
@pytest.mark.parametrize("family", list(FAMILIES))
def test_as_statsmodels(family: Family, working: Working) -> None:
    data = random_trial(family)
    fit = statsmodels_fit(data, family, working, long(data)[2], cov_type="bias_reduced")
    slope = gradient(data, fit.params, family)
    for correction, cov in (("none", fit.cov_robust), ("mancl_derouen", fit.cov_robust_bc)):
        means = gee(data, family=family, working=working, correction=correction)  # type: ignore[arg-type]
        assert_allclose(means.mean.ravel(), standardised(data, fit.params, family), rtol=1e-8)
        assert_allclose(means.cov, slope @ cov @ slope.T, rtol=1e-6, atol=1e-9 * cov[:8, :8].max())
    scaled = gee(data, family=family, working=working, correction="df")
    g, p = means.n_used, len(fit.params)
    assert_allclose(scaled.cov, slope @ fit.cov_robust @ slope.T * g / (g - p), rtol=1e-6, atol=1e-9)
    assert (scaled.df == g - p).all()
    assert (means.global_df == g - p).all()


@pytest.mark.parametrize("family", list(FAMILIES))
def test_shared_clusters_as_statsmodels(family: Family) -> None:
    """With independence it does not matter that statsmodels' working correlation is that of the whole cluster."""
    data = random_trial(family, coaches=6)
    row = long(data)[2]
    groups = np.where(data.cluster < 0, 1000 + np.arange(len(data.arm)), data.cluster)[row]
    fit = statsmodels_fit(data, family, "independence", groups, cov_type="bias_reduced")
    slope = gradient(data, fit.params, family)
    for correction, cov in (("none", fit.cov_robust), ("mancl_derouen", fit.cov_robust_bc)):
        means = gee(data, family=family, working="independence", correction=correction)  # type: ignore[arg-type]
        assert_allclose(means.cov, slope @ cov @ slope.T, rtol=1e-6, atol=1e-9 * cov[:8, :8].max())


@pytest.mark.parametrize("link", ["log", "identity"])
def test_other_links_as_statsmodels(link: Literal["log", "identity"]) -> None:
    """Risk ratios and differences of a binary outcome, by their own links, without covariates."""
    data = random_trial("binomial")
    data = replace(data, covariates=np.empty((130, 0)))
    y, design, row, visit = long(data)
    family = sm.families.Binomial(sm.families.links.Log() if link == "log" else sm.families.links.Identity())
    start = np.linalg.lstsq(design, y, rcond=None)[0]
    start = np.log(start) if link == "log" else start
    with pytest.warns(DomainWarning):
        model = sm.GEE(y, design, groups=row, time=visit, family=family, cov_struct=Exchangeable())
    fit = model.fit(start_params=start, maxiter=200, ctol=1e-11, ddof_scale=0)
    means = gee(data, family="binomial", link=link, working="exchangeable")
    assert_allclose(means.mean.ravel(), fit.params, rtol=1e-8)
    assert_allclose(means.cov, fit.cov_robust, rtol=1e-6, atol=1e-10)


# --------------------------------------------------------------------------------------------- dense matrices


class Dense:
    """Gaussian equations with exchangeable working correlation, participant by participant, from the papers."""

    def __init__(self, data: Data) -> None:
        self.y, self.x, self.row, _ = long(data)
        codes = np.where(data.cluster < 0, 1000 + np.arange(len(data.arm)), data.cluster)[self.row]
        self.units = [np.flatnonzero(codes == code) for code in np.unique(codes)]
        same = self.row[:, None] == self.row
        pairs = same & ~np.eye(len(self.row), dtype=bool)
        alpha = 0.0
        for _ in range(60):
            self.v = np.where(same, alpha, 0.0)
            np.fill_diagonal(self.v, 1.0)
            self.w = np.linalg.inv(self.v)
            self.bread = np.linalg.inv(self.x.T @ self.w @ self.x)
            self.beta = self.bread @ self.x.T @ self.w @ self.y
            self.residual = self.y - self.x @ self.beta
            products = np.outer(self.residual, self.residual)
            alpha = products[pairs].mean() / np.diag(products).mean()
        self.hat = self.x @ self.bread @ self.x.T @ self.w

    def transfer(self, unit: Array, correction: str) -> Array:
        """The matrix by which a unit's residuals become its corrected score."""
        x, w = self.x[unit], self.w[np.ix_(unit, unit)]
        rest = np.eye(len(unit)) - self.hat[np.ix_(unit, unit)]
        if correction == "mancl_derouen":
            return x.T @ w @ np.linalg.inv(rest)
        if correction == "kauermann_carroll":
            values, axes = np.linalg.eig(rest)
            return (x.T @ w @ axes @ np.diag(values**-0.5) @ np.linalg.inv(axes)).real
        leverage = np.diag(x.T @ w @ x @ self.bread)
        return np.diag((1 - np.minimum(leverage, 0.75)) ** -0.5) @ x.T @ w

    def variance(self, c: Array, correction: str) -> tuple[float, float]:
        """Of c'beta, and Satterthwaite's degrees of freedom under the working covariance."""
        weights = np.zeros((len(self.y), len(self.units)))
        for column, unit in enumerate(self.units):
            weights[unit, column] = c @ self.bread @ self.transfer(unit, correction)
        rest = np.eye(len(self.y)) - self.hat
        omega = weights.T @ rest @ self.v @ rest.T @ weights
        df = np.trace(omega) ** 2 / np.trace(omega @ omega)
        return float(np.square(weights.T @ self.residual).sum()), float(df)


CORRECTIONS: list[Correction] = ["kauermann_carroll", "mancl_derouen", "fay_graubard"]


@pytest.mark.parametrize("coaches", [0, 5])
def test_corrections_as_dense_matrices(coaches: int) -> None:
    data = random_trial("gaussian", n=50, n_visits=3, coaches=coaches)
    dense = Dense(data)
    for correction in CORRECTIONS:
        means = gee(data, family="gaussian", working="exchangeable", correction=correction)
        assert_allclose(means.mean.ravel(), dense.beta[:6], rtol=1e-9, atol=1e-9)
        for visit in range(3):
            c = np.zeros(8)
            c[[visit, 3 + visit]] = 1, -1
            variance, df = dense.variance(c, correction)
            assert_allclose(c[:6] @ means.cov @ c[:6], variance, rtol=1e-7)
            assert_allclose(means.df[0, 1, visit], df if coaches else means.n_used - 8, rtol=1e-7)
            assert_allclose(means.global_df[visit], means.df[0, 1, visit], rtol=1e-9)
            variance, df = dense.variance(np.eye(8)[visit], correction)
            assert_allclose(means.cov[visit, visit], variance, rtol=1e-7)
            assert_allclose(means.df[0, 0, visit], df if coaches else means.n_used - 8, rtol=1e-7)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_degrees_of_freedom_follow_the_coaches(family: Family) -> None:
    """Arm 1 has 12 coaches, arms 0 and 2 have none: a comparison with arm 1 has about 11 degrees of freedom."""
    rng = np.random.default_rng(3)
    n = 600
    arm = np.arange(n) % 3
    y = rng.normal(size=(n, 3)) + rng.normal(size=(n, 1))
    y = y if family == "gaussian" else (y > 0) * 1.0
    data = Data(y, arm, rng.normal(size=(n, 2)), np.where(arm == 1, np.arange(n) // 3 % 12, -1), 3)
    for correction in CORRECTIONS:
        means = gee(data, family=family, working="exchangeable", correction=correction)
        assert ((means.df[1, 1] > 9) & (means.df[1, 1] < 12)).all()
        assert (means.df[0, 2] > 300).all()
        assert (means.df[0, 1] > means.df[1, 1]).all()
        assert ((means.global_df > means.df[1, 1]) & (means.global_df < means.df[0, 2])).all()
        assert_allclose(means.df, means.df.swapaxes(0, 1))
    assert np.isinf(gee(data, family=family, working="exchangeable").df).all()


# -------------------------------------------------------------------------------------------------- refusals


def test_every_participant_and_cluster_counts_once_whatever_the_order() -> None:
    data = random_trial("binomial", coaches=6)
    order = np.random.default_rng(1).permutation(len(data.arm))
    moved = Data(data.y[order], data.arm[order], data.covariates[order], 7 * data.cluster[order] // 7, 2)
    for correction in CORRECTIONS:
        one = gee(data, family="binomial", working="unstructured", correction=correction)
        other = gee(moved, family="binomial", working="unstructured", correction=correction)
        assert_allclose(one.cov, other.cov, rtol=1e-9, atol=1e-14)
        assert_allclose(one.df, other.df, rtol=1e-9)
        again = gee(data, family="binomial", working="unstructured", correction=correction)
        assert (one.cov == again.cov).all()


REFUSED: dict[str, tuple[Family, Working, str]] = {
    "no one at a visit": ("gaussian", "exchangeable", "no observations in arm 1 at visit 2"),
    "no one in an arm": ("gaussian", "exchangeable", "no observations in arm 1"),
    "no events": ("binomial", "exchangeable", "no events in arm 0 at visit 1"),
    "only events": ("binomial", "exchangeable", "no one without the event in arm 0 at visit 1"),
    "constant": ("gaussian", "exchangeable", "zero variance in arm 1 at visit 0"),
    "twice": ("gaussian", "independence", "covariates are collinear"),
    "arm": ("gaussian", "independence", "covariates are collinear"),
    "same at all visits": ("gaussian", "exchangeable", "the working correlation is not positive definite"),
    "no pairs": ("gaussian", "unstructured", "nobody was observed both at visit 0 and at visit 1"),
    "one coach": ("gaussian", "exchangeable", "fewer than 2 clusters in arm 1 at visit 0"),
    "infinite": ("gaussian", "exchangeable", "an observed outcome is not finite or too large"),
    "separation": ("binomial", "exchangeable", "no convergence"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_refusals(case: str) -> None:
    family, working, reason = REFUSED[case]
    data = random_trial(family, n_visits=3)
    y, x, cluster, arm = data.y.copy(), data.covariates.copy(), data.cluster.copy(), data.arm
    changes: dict[str, Any] = {
        "no one at a visit": lambda: y.__setitem__((arm == 1, 2), np.nan),
        "no one in an arm": lambda: y.__setitem__(arm == 1, np.nan),
        "no events": lambda: y.__setitem__((arm == 0, 1), 0.0),
        "only events": lambda: y.__setitem__((arm == 0, 1), 1.0),
        "constant": lambda: y.__setitem__((arm == 1, 0), 1.1),
        "twice": lambda: x.__setitem__((slice(None), 1), 3 * x[:, 0] - 2),
        "arm": lambda: x.__setitem__((slice(None), 1), arm),
        "same at all visits": lambda: y.__setitem__(slice(None), y[:, :1]),
        "no pairs": lambda: y.__setitem__((np.arange(len(y)), np.arange(len(y)) // 2 % 2), np.nan),
        "one coach": lambda: cluster.__setitem__(arm == 1, 4),
        "infinite": lambda: y.__setitem__((5, 0), np.inf),
        "separation": lambda: x.__setitem__((slice(None), 1), np.where(np.nansum(y, axis=1) > 0, 1, 0)),
    }
    changes[case]()
    with pytest.raises(FitError) as caught:
        gee(replace(data, y=y, covariates=x, cluster=cluster), family=family, working=working)
    assert str(caught.value) == reason


def test_too_few_clusters_for_the_parameters() -> None:
    rng = np.random.default_rng(2)
    data = Data(rng.normal(size=(8, 3)), np.arange(8) % 2, rng.normal(size=(8, 2)), np.full(8, -1), 2)
    for correction in ("df", *CORRECTIONS):
        with pytest.raises(FitError, match="8 clusters are too few for 8 parameters"):
            gee(data, family="gaussian", working="independence", correction=correction)  # type: ignore[arg-type]


def test_weights_need_independence() -> None:
    data = random_trial("gaussian")
    with pytest.raises(ValueError, match="weights"):
        gee(replace(data, weights=np.ones_like(data.y)), family="gaussian", working="exchangeable")
    plain, weighted = (
        gee(replace(data, weights=w), family="gaussian", working="independence", correction="kauermann_carroll")
        for w in (None, np.full_like(data.y, 3.0))
    )
    assert_allclose(plain.cov, weighted.cov, rtol=1e-9, atol=1e-14)
