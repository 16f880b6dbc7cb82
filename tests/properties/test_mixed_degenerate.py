"""Whatever the data, the mixed model neither raises nor warns (warnings are errors), and says a number or a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trialsim.analysis.fits import Data, Means
from trialsim.analysis.mixed import mixed

Array = NDArray[Any]
OFTEN = ["normal"] * 12


@st.composite
def outcomes(draw: st.DrawFn, shape: tuple[int, int], arm: Array, cluster: Array, rng: np.random.Generator) -> Array:
    normal = rng.normal(size=shape)
    choices = {
        "normal": normal,
        "constant": np.full(shape, 1.1),
        "zero": np.zeros(shape),
        "by arm": np.repeat(arm[:, None] * 1.1, shape[1], axis=1),
        "by cluster": np.repeat(np.cos(cluster)[:, None], shape[1], axis=1),
        "nearly by cluster": np.cos(cluster)[:, None] + 1e-8 * normal,
        "binary": (normal > 1) * 1.0,
        "huge": 1e160 * normal,
        "tiny": 1e-170 * normal,
        "heavy tail": np.exp(5 * normal),
        "far from 0": 1e9 + normal,
        "infinite": np.where(normal > 1.5, np.inf, normal),
    }
    return choices[draw(st.sampled_from([*choices, *OFTEN]))]


@st.composite
def a_covariate(draw: st.DrawFn, y: Array, arm: Array, cluster: Array, rng: np.random.Generator) -> Array:
    n = len(arm)
    choices = {
        "normal": rng.normal(size=n),
        "binary": (rng.random(n) < 0.3) * 1.0,
        "constant": np.full(n, 0.1),
        "arm": (arm == 0) * 1.0,
        "cluster": np.sin(cluster),
        "one": (np.arange(n) == 0) * 1.0,
        "outcome": np.nan_to_num(y[:, 0], posinf=0),
        "huge": 1e200 * rng.normal(size=n),
        "tiny": 1e-200 * rng.normal(size=n),
        "missing": np.full(n, np.nan),
        "nearly again": np.arange(n) % 5 + 1e-6 * rng.normal(size=n),
        "again": np.arange(n) % 5 * 1.0,
    }
    return choices[draw(st.sampled_from([*choices, *OFTEN]))]


def memberships(kind: str, arm: Array, n_clusters: int, rng: np.random.Generator) -> Array:
    n = len(arm)
    own = {
        "crossed": rng.integers(0, n_clusters, n),
        "nested": rng.integers(0, n_clusters, n) * 10 + arm,
        "one arm": np.where(arm == arm.max(), rng.integers(0, n_clusters, n), -1),
        "some alone": np.where(rng.random(n) < 0.5, rng.integers(0, n_clusters, n), -1),
        "singletons": np.arange(n),
        "pairs": np.arange(n) // 2,
        "nobody": np.full(n, -1),
        "one large": np.where(rng.random(n) < 0.9, 0, np.arange(n)),
        "arms": arm,
    }
    return own[kind]


KINDS = ["crossed", "nested", "one arm", "some alone", "singletons", "pairs", "nobody", "one large", "arms"]


@st.composite
def replicates(draw: st.DrawFn) -> tuple[Data, dict[str, Any]]:
    n = draw(st.one_of(st.integers(10, 120), st.integers(30, 120), st.integers(1, 12)))
    n_arms, n_visits = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    arm = rng.integers(0, n_arms, n)
    cluster = memberships(draw(st.sampled_from(KINDS)), arm, draw(st.sampled_from([1, 2, 3, 8])), rng)
    y = draw(outcomes((n, n_visits), arm, cluster, rng))
    covariates = [draw(a_covariate(y, arm, cluster, rng)) for _ in range(draw(st.integers(0, 3)))]
    y = np.where(rng.random(y.shape) < draw(st.sampled_from([1.0, 1.0, 0.9, 0.6, 0.2, 0.0])), y, np.nan)
    x = np.stack(covariates, axis=1) if covariates else np.empty((n, 0))
    nested = draw(st.sampled_from([None, (n_arms - 1,), (0,), ()]))
    method = draw(st.sampled_from(["satterthwaite", "kenward_roger", "between_within", "normal"]))
    options = {"nested_arms": nested, "heteroscedastic": draw(st.booleans()), "df": method}
    return Data(y, arm, x, cluster, n_arms), options


def check(data: Data, fit: Means) -> None:
    n_visits, n_arms = data.y.shape[1], data.n_arms
    blocks = fit.cov.reshape(n_arms, n_visits, n_arms, n_visits)
    for visit, reason in enumerate(fit.reason):
        own = blocks[:, visit, :, visit]
        numbers = [fit.mean[:, visit], own, fit.df[..., visit], fit.global_df[visit]]
        if reason:
            assert all(np.isnan(part).all() for part in numbers)
            continue
        assert np.isfinite(fit.mean[:, visit]).all()
        assert (fit.df[..., visit] > 0).all()
        assert fit.global_df[visit] > 0
        contrasts = np.vstack([np.eye(n_arms), np.eye(n_arms) - np.roll(np.eye(n_arms), 1, axis=0)])
        contrasts = contrasts[np.abs(contrasts).any(axis=1)]
        variance = np.diag(contrasts @ own @ contrasts.T)
        assert (variance > 1e-14 * np.abs(own).max()).all()
        np.testing.assert_array_equal(np.isnan(blocks[:, visit]).any(axis=(0, 1)), [bool(r) for r in fit.reason])
    seen = data.observed[:, [reason == "" for reason in fit.reason]]
    assert fit.n_used == seen.any(axis=1).sum()


@settings(max_examples=400, deadline=None)
@given(replicates())
def test_degenerate_data_have_a_reason(replicate: tuple[Data, dict[str, Any]]) -> None:
    data, options = replicate
    fit = mixed(data, **options)
    check(data, fit)
    again = mixed(data, **options)
    np.testing.assert_array_equal(fit.mean, again.mean)
    np.testing.assert_array_equal(fit.cov, again.cov)


@settings(max_examples=50, deadline=None)
@given(replicates())
def test_the_generator_makes_data_that_are_fitted_if_nothing_is_wrong(replicate: tuple[Data, dict[str, Any]]) -> None:
    """The checks above are not about failures only."""
    data, options = replicate
    rng = np.random.default_rng(1)
    n, n_visits = 60, data.y.shape[1]
    arm, cluster = np.arange(n) % data.n_arms, rng.integers(0, 5, n)
    plain = Data(rng.normal(size=(n, n_visits)), arm, rng.normal(size=(n, 2)), cluster, data.n_arms)
    nested = options["nested_arms"] if options["nested_arms"] != () else None
    fit = mixed(plain, **(options | {"nested_arms": nested}))
    assert fit.reason == ("",) * n_visits
    check(plain, fit)
