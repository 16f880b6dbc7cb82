"""Whatever the data, a fit neither raises nor warns (warnings are errors) and leaves its neighbours alone."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trialsim.analysis import inference
from trialsim.analysis.cells import CellFit, fit_cells
from trialsim.analysis.multiplicity import fisher_lsd

Array = NDArray[Any]
FLOATS = ("cell", "beta", "cov", "offset", "offset_gradient")


@st.composite
def outcomes(draw: st.DrawFn, family: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    kind = draw(st.sampled_from(["random", "rare", "constant", "by arm", "huge", "tiny"]))
    scale = {"huge": 1e160, "tiny": 1e-160}.get(kind, 1.0) if family == "gaussian" else 1.0
    if kind == "constant":
        return np.full(shape, draw(st.sampled_from([0.0, 1.0]))) * 1.1 ** (family == "gaussian")
    if kind == "by arm":
        return np.repeat(np.arange(shape[0])[:, None] % 2.0, shape[1], axis=1)
    if family == "poisson":
        return (rng.random(shape) < (0.05 if kind == "rare" else 0.5)).astype(float)
    return scale * rng.normal(size=shape)


@st.composite
def a_covariate(draw: st.DrawFn, arm: Array, y: Array, before: list[Array], rng: np.random.Generator) -> Array:
    n = len(arm)
    choices = {
        "normal": rng.normal(size=n),
        "far from 0": 2000 + rng.normal(size=n),
        "binary": (rng.random(n) < 0.3).astype(float),
        "constant": np.full(n, 0.1),
        "zero": np.zeros(n),
        "arm": (arm == 0).astype(float),
        "outcome": y[:, 0],
        "heavy tail": np.exp(4 * rng.normal(size=n)),
        "huge": 1e200 * rng.normal(size=n),
        "tiny": 1e-200 * rng.normal(size=n),
        "missing": np.full(n, np.nan),
        "again": before[0] * -3 + 1 if before else np.ones(n),
        "nearly again": before[0] + 1e-7 * rng.normal(size=n) if before else np.ones(n),
    }
    return choices[draw(st.sampled_from(list(choices)))]


@st.composite
def replicates(draw: st.DrawFn, family: str, sizes: tuple[int, int, int, int]) -> dict[str, Array]:
    n, n_arms, n_visits, n_covariates = sizes
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    arm = rng.choice([-1, *range(n_arms)], size=n, p=[0.1] + [0.9 / n_arms] * n_arms)
    if draw(st.integers(0, 7)) == 7:
        arm = np.where(arm == n_arms - 1, -1, arm)
    y = draw(outcomes(family, (n, n_visits), rng))
    observed = rng.random((n, n_visits)) < draw(st.sampled_from([1.0, 0.9, 0.7, 0.2, 0.0]))
    covariates: list[Array] = []
    for _ in range(n_covariates):
        covariates.append(draw(a_covariate(arm, y, covariates, rng)))
    n_clusters = draw(st.sampled_from([0, 1, 2, 5]))
    shared = rng.random(n) < draw(st.sampled_from([0.5, 1.0]))
    cluster = np.where(shared & (n_clusters > 0), rng.integers(0, max(n_clusters, 1), n) * 7, -1)
    return {
        "y": np.where(observed, y, np.nan),
        "observed": observed,
        "arm": arm,
        "covariates": np.stack(covariates, axis=1) if covariates else np.empty((n, 0)),
        "cluster": cluster,
    }


@st.composite
def blocks(draw: st.DrawFn) -> dict[str, Any]:
    family = draw(st.sampled_from(["poisson", "gaussian"]))
    n = draw(st.one_of(st.integers(9, 130), st.integers(1, 8)))
    sizes = (n, draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 3)))
    rows = [draw(replicates(family, sizes)) for _ in range(draw(st.integers(1, 4)))]
    stacked: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return stacked | {"n_arms": sizes[1], "family": family}


def check_failures(fit: CellFit) -> None:
    for k, reason in enumerate(fit.reason):
        assert fit.converged[k] == (reason == "")
        for name in FLOATS:
            values = getattr(fit, name)[k]
            assert np.isnan(values).all() if reason else np.isfinite(values).all()
        if not reason:
            assert (np.diagonal(fit.cov[k]) >= 0).all()
            np.testing.assert_array_equal(fit.cov[k], fit.cov[k].T)


def check_alone(fit: CellFit, block: dict[str, Any]) -> None:
    for k in range(len(fit.reason)):
        one = {name: v[k : k + 1] if isinstance(v, np.ndarray) else v for name, v in block.items()}
        alone = fit_cells(**one)
        assert alone.reason == fit.reason[k : k + 1]
        for field in fields(CellFit):
            if isinstance(getattr(fit, field.name), np.ndarray):
                np.testing.assert_array_equal(getattr(alone, field.name)[0], getattr(fit, field.name)[k])


def check_inference(fit: CellFit) -> None:
    last = fit.cell.shape[1] - 1
    difference = inference.difference(inference.of_cells(fit), last, 0)
    found = [inference.arm_means(inference.of_cells(fit)), difference, inference.number_needed_to_treat(difference)]
    if fit.family == "poisson":
        found.append(inference.ratio(inference.of_cells(fit), last, 0))
    test = inference.global_test(inference.of_cells(fit))
    for estimate in found:
        assert np.isnan(estimate.estimate[~fit.converged]).all()
        assert not np.isnan(estimate.estimate[fit.converged]).any()
        assert np.isnan(estimate.std_error[~fit.converged]).all()
        assert not (estimate.ci_low > estimate.ci_high).any()
        assert not (estimate.std_error < 0).any()
    for p_value in (test.p_value, difference.p_value):
        assert np.isnan(p_value[~fit.converged]).all()
        assert not ((p_value < 0) | (p_value > 1)).any()
    both = fisher_lsd(difference.p_value, test.p_value, 0.05)
    assert np.isnan(both[~fit.converged]).all()


@settings(max_examples=400, deadline=None)
@given(blocks())
def test_degenerate_data_fail_with_a_reason_and_alone(block: dict[str, Any]) -> None:
    fit = fit_cells(**block)
    check_failures(fit)
    check_alone(fit, block)
    check_inference(fit)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_generator_makes_fits_that_succeed_too(data: st.DataObject) -> None:
    """Not only failures: a plain replicate among degenerate ones is fitted."""
    block = data.draw(blocks().filter(lambda b: b["y"].shape[1] > 60))
    rng = np.random.default_rng(0)
    block["arm"][0] = np.arange(block["arm"].shape[1]) % block["n_arms"]
    block["observed"][0] = True
    block["y"][0] = rng.random(block["y"][0].shape) < 0.5
    block["covariates"][0] = rng.normal(size=block["covariates"][0].shape)
    block["cluster"][0] = -1
    assert fit_cells(**block).reason[0] == ""
