"""Whatever the times, nothing raises but `FitError`, nothing warns (warnings are errors), and a number is a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trialsim.analysis.fits import Comparison, FitError, TimesToEvent
from trialsim.analysis.survival import cox, kaplan_meier, log_rank, rmst

Array = NDArray[Any]
OFTEN = ["normal"] * 8


@st.composite
def a_time(draw: st.DrawFn, arm: Array, rng: np.random.Generator) -> Array:
    normal = rng.exponential(size=len(arm)) * 100 + 1e-9
    choices = {
        "normal": np.ceil(normal),
        "without ties": normal,
        "all at once": np.full(len(arm), 30.0),
        "two times": np.where(normal > 50, 7.0, 3.0),
        "by arm": arm * 10.0 + 1,
        "arms apart": np.ceil(normal) + 1e6 * arm,
        "huge": normal * 1e300,
        "tiny": normal * 1e-200 + 5e-324,
    }
    return choices[draw(st.sampled_from([*choices, *OFTEN]))]


@st.composite
def an_event(draw: st.DrawFn, time: Array, arm: Array, rng: np.random.Generator) -> Array:
    some = rng.random(len(arm)) < 0.6
    choices = {
        "normal": some,
        "rare": rng.random(len(arm)) < 0.05,
        "all": np.ones(len(arm), dtype=np.bool_),
        "none": np.zeros(len(arm), dtype=np.bool_),
        "not in arm 0": some & (arm != 0),
        "only in arm 0": some & (arm == 0),
        "the first": time == time.min(initial=np.inf),
        "the last": time == time.max(initial=0),
    }
    return choices[draw(st.sampled_from([*choices, *OFTEN]))]


@st.composite
def a_covariate(draw: st.DrawFn, time: Array, event: Array, arm: Array, rng: np.random.Generator) -> Array:
    n = len(arm)
    choices = {
        "normal": rng.normal(size=n),
        "binary": (rng.random(n) < 0.3) * 1.0,
        "constant": np.full(n, 0.1),
        "arm": (arm == 0) * 1.0,
        "event": event * 1.0,
        "time": time,
        "one": (np.arange(n) == 0) * 1.0,
        "heavy tail": np.exp(5 * rng.normal(size=n)),
        "huge": 1e200 * rng.normal(size=n),
        "tiny": 1e-200 * rng.normal(size=n),
        "missing": np.full(n, np.nan),
        "far from 0": 1e6 + rng.normal(size=n),
    }
    return choices[draw(st.sampled_from([*choices, *OFTEN]))]


@st.composite
def replicates(draw: st.DrawFn) -> TimesToEvent:
    n = draw(st.one_of(st.integers(20, 100), st.integers(0, 12)))
    n_arms = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    arm = rng.integers(0, n_arms, n)
    time = draw(a_time(arm, rng))
    event = draw(an_event(time, arm, rng))
    covariates = [draw(a_covariate(time, event, arm, rng)) for _ in range(draw(st.integers(0, 3)))]
    return TimesToEvent(time, event, arm, np.stack(covariates, axis=1) if covariates else np.empty((n, 0)), n_arms)


def check(found: Comparison) -> None:
    assert found.reason is not None
    assert found.global_p is not None
    fitted = found.reason == ""
    for values in (found.estimate, found.std_error, found.p_value):
        np.testing.assert_array_equal(np.isfinite(values), fitted)
    assert (found.std_error[fitted] > 0).all()
    assert (found.std_error[fitted] < 1e4).all()
    assert ((found.p_value[fitted] >= 0) & (found.p_value[fitted] <= 1)).all()
    assert np.isnan(found.global_p) | ((found.global_p >= 0) & (found.global_p <= 1))


@settings(max_examples=400, deadline=None)
@given(replicates(), st.sampled_from([None, 0.5, 20.0, 100.0, 1e6]))
def test_degenerate_data_have_a_reason(data: TimesToEvent, tau: float | None) -> None:
    pairs = tuple((a, b) for a in range(data.n_arms) for b in range(a))
    check(log_rank(data, pairs))
    check(cox(data, pairs, ties="efron"))
    check(cox(data, pairs, ties="breslow"))
    means = rmst(data, tau=tau)
    failed = bool(means.reason[0])
    assert (np.isnan(means.mean) == failed).all()
    assert (np.isnan(means.cov) == failed).all()
    assert failed or ((means.mean >= 0).all() and (np.diag(means.cov) > 0).all())
    steps, survival = kaplan_meier(data.time, data.event)
    assert (np.diff(steps) > 0).all()
    assert (np.diff(survival) < 0).all()
    assert survival[-1] >= 0


@settings(max_examples=30, deadline=None)
@given(replicates(), st.sampled_from([0.0, -3.0, np.nan, np.inf]))
def test_impossible_times_are_refused(data: TimesToEvent, bad: float) -> None:
    times = TimesToEvent(np.append(data.time, bad), np.append(data.event, True), np.append(data.arm, 0),
                         np.vstack([data.covariates, np.zeros(data.covariates.shape[1])]), data.n_arms)  # fmt: skip
    for call in (lambda: log_rank(times, ()), lambda: cox(times, ()), lambda: rmst(times)):
        with pytest.raises(FitError, match="time"):
            call()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_plain_data_are_fitted(seed: int) -> None:
    """The checks above are not about failures only."""
    rng = np.random.default_rng(seed)
    arm = np.arange(90) % 3
    data = TimesToEvent(np.ceil(rng.exponential(100, 90)), rng.random(90) < 0.7, arm, rng.normal(size=(90, 2)), 3)
    for found in (log_rank(data, ((1, 0), (2, 1))), cox(data, ((1, 0), (2, 1)))):
        check(found)
        assert (found.reason == "").all()
        assert found.global_p is not None
        assert np.isfinite(found.global_p).all()
    assert rmst(data).reason == ("",)
