"""Whatever the data, estimating equations and cluster methods neither crash nor warn, and give no number that is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from trialsim.analysis.few_clusters import cluster_means, cluster_robust
from trialsim.analysis.fits import Data, FitError, Means
from trialsim.analysis.gee import gee

Array = NDArray[Any]
LINKS = {
    "gaussian": ["identity", "log", "logit"],
    "binomial": ["logit", "log", "identity"],
    "poisson": ["log", "identity"],
}
CORRECTIONS = ["none", "df", "kauermann_carroll", "mancl_derouen", "fay_graubard"]


@st.composite
def outcomes(draw: st.DrawFn, family: str, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    kinds = ["random", "rare", "constant", "by arm", "same at all visits", "far from 0", "huge", "tiny", "infinite"]
    kind = draw(st.sampled_from(kinds))
    if kind == "constant":
        return np.full(shape, draw(st.sampled_from([0.0, 1.0, 1.1])))
    if kind == "by arm":
        return np.repeat(np.arange(shape[0])[:, None] % 2.0, shape[1], axis=1)
    y = rng.normal(size=shape) + rng.normal(size=(shape[0], 1))
    if family != "gaussian":
        y = (y > (2 if kind == "rare" else 0.2)).astype(float) * (
            1 if family == "binomial" else rng.integers(1, 4, shape)
        )
    if kind == "same at all visits":
        y[:] = y[:, :1]
    if kind == "infinite":
        y[0, 0] = np.inf
    scale = {"huge": 1e160, "tiny": 1e-160}.get(kind, 1.0) if family == "gaussian" else 1.0
    return scale * y + 1e6 * (kind == "far from 0" and family == "gaussian")


@st.composite
def a_covariate(draw: st.DrawFn, arm: Array, y: Array, before: list[Array], rng: np.random.Generator) -> Array:
    n = len(arm)
    choices = {
        "normal": rng.normal(size=n),
        "far from 0": 2000 + rng.normal(size=n),
        "binary": (rng.random(n) < 0.3).astype(float),
        "one participant": (np.arange(n) == 1).astype(float),
        "constant": np.full(n, 0.1),
        "zero": np.zeros(n),
        "arm": (arm == 0).astype(float),
        "outcome": np.nan_to_num(y[:, 0], posinf=3.0),
        "heavy tail": np.exp(4 * rng.normal(size=n)),
        "huge": 1e200 * rng.normal(size=n),
        "tiny": 1e-200 * rng.normal(size=n),
        "missing": np.full(n, np.nan),
        "again": before[0] * -3 + 1 if before else np.ones(n),
        "nearly again": before[0] + 1e-7 * rng.normal(size=n) if before else np.ones(n),
    }
    return choices[draw(st.sampled_from(list(choices)))]


@st.composite
def replicates(draw: st.DrawFn, family: str) -> Data:
    n, n_arms, n_visits = draw(st.sampled_from([1, 2, 5, 12, 40, 90])), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    arm = rng.integers(0, n_arms, n)
    if draw(st.integers(0, 7)) == 7:
        arm[:] = 0
    y = draw(outcomes(family, (n, n_visits), rng))
    y = np.where(rng.random((n, n_visits)) < draw(st.sampled_from([1.0, 1.0, 0.9, 0.7, 0.2, 0.0])), y, np.nan)
    covariates: list[Array] = []
    for _ in range(draw(st.integers(0, 3))):
        covariates.append(draw(a_covariate(arm, y, covariates, rng)))
    n_clusters = draw(st.sampled_from([0, 1, 2, 5, 12]))
    shared = rng.random(n) < draw(st.sampled_from([0.5, 1.0]))
    cluster = np.where(shared & (n_clusters > 0), rng.integers(0, max(n_clusters, 1), n) * 7, -1)
    if draw(st.booleans()):  # clusters belong to one arm
        cluster = np.where(cluster >= 0, cluster + 1000 * arm, -1)
    return Data(y, arm, np.stack(covariates, axis=1) if covariates else np.empty((n, 0)), cluster, n_arms)


def check(data: Data, means: Means) -> None:
    """Numbers that are finite where there is no reason, NaN where there is one."""
    n_arms, n_visits = means.mean.shape
    fitted = np.array([not reason for reason in means.reason])
    blocks = np.einsum("avbv->vab", means.cov.reshape(n_arms, n_visits, n_arms, n_visits))
    assert means.mean.shape == means.n_cell.shape == (data.n_arms, data.y.shape[1])
    assert np.isfinite(means.mean[:, fitted]).all()
    assert np.isfinite(blocks[fitted]).all()
    assert np.isnan(means.mean[:, ~fitted]).all()
    assert np.isnan(blocks[~fitted]).all()
    assert np.isnan(means.df[:, :, ~fitted]).all()
    assert np.isnan(means.global_df[~fitted]).all()
    assert (means.n_cell == [(data.observed[data.arm == a]).sum(axis=0) for a in range(n_arms)]).all()
    size = np.nan_to_num(np.abs(data.y), posinf=0).max(initial=0)
    for visit in np.flatnonzero(fitted):
        assert means.global_df[visit] >= 0.99
        for a in range(n_arms):
            for b in range(a, n_arms):
                c = np.eye(n_arms)[a] - np.eye(n_arms)[b] * (a != b)
                assert c @ blocks[visit] @ c > (1e-12 * size) ** 2 * (means.link == "identity")
                assert means.df[a, b, visit] >= 0.99 or (a == b and np.isnan(means.df[a, a, visit]))
                assert means.df[a, b, visit] == means.df[b, a, visit] or a == b


@st.composite
def settings_of_gee(draw: st.DrawFn) -> tuple[Data, dict[str, Any]]:
    family = draw(st.sampled_from(list(LINKS)))
    options = {
        "family": family,
        "link": draw(st.sampled_from([None, *LINKS[family]])),
        "working": draw(st.sampled_from(["independence", "exchangeable", "unstructured"])),
        "correction": draw(st.sampled_from(CORRECTIONS)),
    }
    data = draw(replicates(family))
    if options["working"] == "independence" and draw(st.booleans()):
        weights = 1 + np.arange(data.y.size).reshape(data.y.shape) % 3.0
        weights[0, 0] = draw(st.sampled_from([1.0, 1e-12, 0.0, np.nan, np.inf]))
        data = replace(data, weights=weights)
    return data, options


@settings(max_examples=8000)
@given(settings_of_gee())
def test_gee_gives_numbers_or_a_reason(case: tuple[Data, dict[str, Any]]) -> None:
    data, options = case
    try:
        means = gee(data, **options)
    except FitError:
        return
    assert means.reason == ("",) * data.y.shape[1]
    check(data, means)


@settings(max_examples=8000)
@given(replicates("gaussian"), st.sampled_from(["CR0", "CR1", "CR2", "equal", "size", "pooled"]))
def test_cluster_methods_give_numbers_or_reasons(data: Data, method: Any) -> None:
    if method.startswith("CR"):
        means = cluster_robust(data, correction=method)
    elif method == "pooled":
        means = cluster_means(data, pooled=True)
    else:
        means = cluster_means(data, weights=method)
    check(data, means)
    assert means.n_used <= data.observed.any(axis=1).sum()


@settings(max_examples=8000)
@given(replicates("gaussian"), st.sampled_from([2.0**-20, 2.0**30]), st.booleans())
def test_units_of_measurement_do_not_matter(data: Data, unit: float, robust: bool) -> None:
    def analysed(scale: float) -> Means | str:
        changed = replace(data, y=data.y * scale)
        try:
            if robust:
                return cluster_robust(changed)
            return gee(changed, family="gaussian", working="exchangeable", correction="mancl_derouen")
        except FitError as error:
            return str(error)

    assume(not np.nan_to_num(np.abs(data.y)).max(initial=0) > 1e100)
    one, other = analysed(1.0), analysed(unit)
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    assert one.reason == other.reason
    assert_allclose(one.mean * unit, other.mean, rtol=1e-6, atol=1e-6 * unit)
    assert_allclose(np.sqrt(np.diag(one.cov)) * unit, np.sqrt(np.diag(other.cov)), rtol=1e-6)
    assert_allclose(one.df, other.df, rtol=1e-5)
