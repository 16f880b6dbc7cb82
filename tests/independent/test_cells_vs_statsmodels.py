"""The fast fit against statsmodels: GEE, GLM with clustered errors, Wald tests, delta method from scratch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.stats import norm

from trialsim.analysis import inference
from trialsim.analysis.cells import CellFit, fit_cells

Array = NDArray[Any]
FAMILIES: tuple[Literal["poisson", "gaussian"], ...] = ("poisson", "gaussian")


@dataclass
class Case:
    """A block of trials, and statsmodels' view of each of its replicates."""

    family: Literal["poisson", "gaussian"]
    n_arms: int
    y: Array
    observed: Array
    arm: Array
    covariates: Array
    cluster: Array

    def fit(self, *, cluster: Array | None = None) -> CellFit:
        cluster = self.cluster if cluster is None else cluster
        arrays = (self.y, self.observed, self.arm, self.covariates, cluster)
        return fit_cells(*arrays, n_arms=self.n_arms, family=self.family)

    def rows(self, replicate: int) -> tuple[Array, Array, Array, Array]:
        """Outcome, design matrix, cluster label and person of every observation, one row each."""
        person, visit = np.nonzero(self.observed[replicate] & (self.arm[replicate] >= 0)[:, None])
        cell = self.arm[replicate, person] * self.y.shape[2] + visit
        dummies = np.eye(self.n_arms * self.y.shape[2])[cell]
        own = self.cluster[replicate, person] < 0
        label = np.where(own, 1_000_000 + person, self.cluster[replicate, person])
        design = np.hstack([dummies, self.covariates[replicate, person]])
        return self.y[replicate, person, visit], design, label, person

    def gee(self, replicate: int) -> Any:
        y, design, label, _ = self.rows(replicate)
        family = sm.families.Poisson() if self.family == "poisson" else sm.families.Gaussian()
        model = sm.GEE(y, design, groups=label, family=family, cov_struct=sm.cov_struct.Independence())
        return model.fit(ctol=1e-11, maxiter=200, cov_type="robust")

    def glm(self, replicate: int) -> Any:
        y, design, label, _ = self.rows(replicate)
        family = sm.families.Poisson() if self.family == "poisson" else sm.families.Gaussian()
        groups = {"groups": np.unique(label, return_inverse=True)[1], "use_correction": False}
        return sm.GLM(y, design, family=family).fit(tol=1e-14, cov_type="cluster", cov_kwds=groups)


def make(
    family: Literal["poisson", "gaussian"],
    *,
    n: int = 240,
    n_arms: int = 3,
    n_visits: int = 3,
    n_covariates: int = 5,
    clusters: Literal["none", "coaches", "sites"] = "coaches",
    padded: bool = False,
    seed: int = 1,
) -> Case:
    """Three replicates with effects, person and cluster variation, and visits missed by the same persons."""
    rng = np.random.default_rng(seed)
    shape = (3, n)
    arm = rng.choice(n_arms, shape, p=np.arange(1, n_arms + 1) / sum(range(1, n_arms + 1)))
    covariates = rng.normal(size=(*shape, n_covariates))
    covariates[..., 1::2] = covariates[..., 1::2] > 0.3
    covariates[..., :1] = 60 + 14 * covariates[..., :1]
    cluster = np.full(shape, -1) if clusters == "none" else rng.integers(0, 12, shape)
    if clusters == "coaches":
        cluster = np.where(arm == n_arms - 1, cluster, -1)
    luck = rng.normal(size=(*shape, 1)) + np.where(cluster >= 0, rng.normal(size=12)[cluster], 0)[..., None]
    linear = 0.3 * arm[..., None] + 0.2 * np.arange(n_visits) + 0.5 * luck
    if n_covariates:
        linear = linear + 0.02 * (covariates[..., :1] - 60)
    y = linear + rng.normal(size=(*shape, n_visits))
    if family == "poisson":
        y = (y > 0.8).astype(float)
    observed = rng.normal(size=(*shape, n_visits)) + luck < 1.2
    if padded:
        arm[rng.random(shape) < 0.2] = -1
        covariates[arm < 0] = 1e6
    y[~observed] = np.nan
    return Case(family, n_arms, y, observed, arm, covariates, cluster)


CASES: dict[str, dict[str, Any]] = {
    "three arms, three visits, coaches": {},
    "two arms, one visit": {"n_arms": 2, "n_visits": 1, "n_covariates": 2, "clusters": "none"},
    "one arm": {"n_arms": 1, "n_visits": 2, "n_covariates": 1, "clusters": "none"},
    "no covariates": {"n_covariates": 0, "n_visits": 2},
    "one arm, one visit, no covariates": {"n_arms": 1, "n_visits": 1, "n_covariates": 0, "clusters": "none"},
    "padding rows": {"padded": True},
    "sites that hold every arm": {"clusters": "sites"},
    "one piece and a bit": {"n": 70, "n_arms": 2, "n_visits": 2, "n_covariates": 2},
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, family: Literal["poisson", "gaussian"]) -> Case:
    return make(family, **CASES[request.param])


def close(found: Any, expected: Any, *, digits: int = 7) -> None:
    np.testing.assert_allclose(found, expected, rtol=10.0**-digits, atol=10.0 ** -(digits + 3))


def coefficients(fit: CellFit, replicate: int) -> Array:
    return np.concatenate([fit.cell[replicate].ravel(), fit.beta[replicate]])


def test_coefficients_and_robust_errors_are_those_of_gee(case: Case) -> None:
    fit = case.fit()
    assert fit.converged.all(), fit.reason
    for replicate in range(len(case.y)):
        gee = case.gee(replicate)
        close(coefficients(fit, replicate), gee.params)
        close(np.sqrt(np.diag(fit.cov[replicate])), gee.bse)
        close(fit.cov[replicate], gee.cov_params())


def test_the_covariance_is_that_of_a_glm_with_clustered_errors(case: Case) -> None:
    fit = case.fit()
    for replicate in range(len(case.y)):
        glm = case.glm(replicate)
        close(coefficients(fit, replicate), glm.params)
        close(fit.cov[replicate], glm.cov_params())


def test_counts_are_those_of_the_rows(case: Case) -> None:
    fit = case.fit()
    for replicate in range(len(case.y)):
        _, design, label, person = case.rows(replicate)
        assert fit.n_used[replicate] == len(np.unique(person))
        assert fit.n_clusters[replicate] == len(np.unique(label))
        n_cells = fit.n_cell[replicate].size
        np.testing.assert_array_equal(fit.n_cell[replicate].ravel(), design[:, :n_cells].sum(axis=0))


@pytest.mark.parametrize("clusters", ["coaches", "sites"])
def test_wrong_world_a_fit_that_ignores_the_clusters_is_noticed(family: Any, clusters: Any) -> None:
    case = make(family, clusters=clusters)
    blind = case.fit(cluster=np.full_like(case.cluster, -1))
    gee = case.gee(0)
    close(coefficients(blind, 0), gee.params)
    with pytest.raises(AssertionError):
        close(np.sqrt(np.diag(blind.cov[0])), gee.bse, digits=2)


def test_wrong_world_a_model_based_variance_is_noticed(family: Any) -> None:
    case = make(family, clusters="none")
    gee = case.gee(0)
    with pytest.raises(AssertionError):
        close(np.sqrt(np.diag(case.fit().cov[0])), np.sqrt(np.diag(gee.cov_naive)), digits=2)


# ------------------------------------------------------------------------------ what is said about the arms


def predicted_mean(case: Case, replicate: int, arm: int, visit: int) -> Callable[[Array], float]:
    """Mean prediction over the analysed participants, all set to one arm, as function of parameters."""
    person = np.unique(case.rows(replicate)[3])
    cells = np.zeros((len(person), case.n_arms * case.y.shape[2]))
    cells[:, arm * case.y.shape[2] + visit] = 1
    design = np.hstack([cells, case.covariates[replicate, person]])

    def mean(parameters: Array) -> float:
        linear = design @ parameters
        return float(np.mean(np.exp(linear) if case.family == "poisson" else linear))

    return mean


def delta_method(function: Callable[[Array], float], gee: Any) -> tuple[float, float]:
    """Value and standard error, the gradient by central differences."""
    at, step = np.asarray(gee.params), 1e-5
    shifts = step * np.maximum(np.abs(at), 1e-2) * np.eye(len(at))
    slopes = [(function(at + h) - function(at - h)) / (2 * h.sum()) for h in shifts]
    gradient = np.asarray(slopes)
    return function(at), float(np.sqrt(gradient @ gee.cov_params() @ gradient))


def test_standardised_means_by_the_delta_method(case: Case) -> None:
    means = inference.arm_means(inference.of_cells(case.fit()), alpha=0.1)
    gee, z = case.gee(1), norm.ppf(0.95)
    for arm, visit in np.ndindex(case.n_arms, case.y.shape[2]):
        value, error = delta_method(predicted_mean(case, 1, arm, visit), gee)
        close(means.estimate[1, arm, visit], value)
        close(means.std_error[1, arm, visit], error, digits=6)
        limits = (means.ci_low[1, arm, visit], means.ci_high[1, arm, visit])
        if case.family == "poisson":
            close(limits, value * np.exp(np.array([-z, z]) * error / value), digits=6)
        else:
            close(limits, value + np.array([-z, z]) * error, digits=6)


def test_differences_by_the_delta_method(case: Case) -> None:
    if case.n_arms == 1:
        return
    found = inference.difference(inference.of_cells(case.fit()), 1, 0)
    gee = case.gee(2)
    for visit in range(case.y.shape[2]):
        treated, control = (predicted_mean(case, 2, arm, visit) for arm in (1, 0))
        value, error = delta_method(lambda p, a=treated, b=control: a(p) - b(p), gee)
        close(found.estimate[2, visit], value)
        close(found.std_error[2, visit], error, digits=6)
        close(found.ci_low[2, visit], value - norm.ppf(0.975) * error, digits=6)
        close(found.p_value[2, visit], 2 * norm.sf(abs(value / error)), digits=5)


def test_risk_ratios_are_those_of_gee() -> None:
    case = make("poisson")
    found, gee = inference.ratio(inference.of_cells(case.fit()), 2, 0), case.gee(0)
    n_visits = case.y.shape[2]
    for visit in range(n_visits):
        contrast = np.zeros(len(gee.params))
        contrast[2 * n_visits + visit], contrast[visit] = 1, -1
        test = gee.t_test(contrast)
        close(found.estimate[0, visit], np.exp(test.effect[0]))
        close(found.std_error[0, visit], test.sd[0, 0])
        close([found.ci_low[0, visit], found.ci_high[0, visit]], np.exp(test.conf_int()[0]))
        close(found.p_value[0, visit], test.pvalue, digits=6)


@pytest.mark.parametrize("n_arms", [2, 3, 4])
def test_the_global_test_is_statsmodels_wald_test(family: Any, n_arms: int) -> None:
    case = make(family, n_arms=n_arms, n=400)
    found, gee, n_visits = inference.global_test(inference.of_cells(case.fit())), case.gee(0), case.y.shape[2]
    for visit in range(n_visits):
        contrast = np.zeros((n_arms - 1, len(gee.params)))
        contrast[:, visit] = -1
        contrast[np.arange(n_arms - 1), np.arange(1, n_arms) * n_visits + visit] = 1
        test = gee.wald_test(contrast, scalar=True)
        close(found.statistic[0, visit], test.statistic, digits=6)
        close(found.p_value[0, visit], test.pvalue, digits=5)
        assert found.df == n_arms - 1
