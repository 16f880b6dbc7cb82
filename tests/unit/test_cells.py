"""The fast fit by hand: known answers, what it refuses and how it says so, the same bits in any company."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trialsim.analysis import inference
from trialsim.analysis.cells import CellFit, fit_cells
from trialsim.analysis.inference import Estimate

Array = NDArray[Any]
NAN = float("nan")
ROOT = Path(__file__).parents[2]


def two_by_two(events: tuple[int, int], n: tuple[int, int], **more: Any) -> CellFit:
    """One replicate of two arms and one visit: `events` of `n` in each arm."""
    y = np.concatenate([np.arange(size) < some for some, size in zip(events, n, strict=True)])
    arm = np.repeat([0, 1], n)
    arrays: dict[str, Any] = {"covariates": np.empty((1, len(y), 0)), "cluster": np.full((1, len(y)), -1)}
    arrays |= more
    return fit_cells(
        y[None, :, None].astype(float),
        np.ones((1, len(y), 1), dtype=bool),
        arm[None],
        arrays["covariates"],
        arrays["cluster"],
        n_arms=2,
        family="poisson",
    )


def block(
    n_replicates: int = 16, n: int = 150, *, family: Any = "poisson", n_covariates: int = 3, seed: int = 7
) -> dict[str, Any]:
    """Arguments of fit_cells: three arms, three visits, coaches in one arm, one padding row in nine."""
    rng = np.random.default_rng(seed)
    shape = (n_replicates, n)
    arm = rng.integers(0, 3, shape)
    covariates = rng.normal(50, 10, (*shape, n_covariates))
    cluster = np.where(arm == 1, rng.integers(0, 5, shape), -1)
    luck = rng.normal(size=(*shape, 1)) + 0.3 * arm[..., None] + 0.02 * covariates.sum(axis=2, keepdims=True)
    y = luck + rng.normal(size=(*shape, 3))
    if family == "poisson":
        y = (y > np.median(y)).astype(float)
    observed = rng.random((*shape, 3)) < 0.8
    arm = np.where(rng.random(shape) < 1 / 9, -1, arm)
    return {
        "y": np.where(observed, y, NAN),
        "observed": observed,
        "arm": arm,
        "covariates": covariates,
        "cluster": cluster,
        "n_arms": 3,
        "family": family,
    }


def part(arguments: dict[str, Any], rows: Any) -> dict[str, Any]:
    return {k: v[rows] if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def same_bits(one: CellFit, other: CellFit, rows: Any = slice(None)) -> None:
    """Whether `one` is exactly the given rows of `other`."""
    for field in fields(CellFit):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(b, np.ndarray):
            np.testing.assert_array_equal(a, b[rows], err_msg=field.name)
            assert a.dtype == b.dtype
    assert one.reason == tuple(np.array(other.reason, dtype=object)[rows])


# -------------------------------------------------------------------------------------------- known answers


def test_without_covariates_a_cell_is_the_log_of_its_share() -> None:
    fit = two_by_two((30, 20), (100, 80))
    np.testing.assert_allclose(fit.cell[0, :, 0], np.log([0.3, 0.25]), rtol=1e-14)
    np.testing.assert_allclose(fit.cov[0], np.diag([0.7 / 30, 0.75 / 20]), rtol=1e-13, atol=1e-18)
    assert (fit.n_used[0], fit.n_clusters[0], fit.n_cell[0].tolist()) == (180, 180, [[100], [80]])


def test_risk_ratio_difference_and_number_needed_of_a_two_by_two_table() -> None:
    fit = two_by_two((20, 40), (100, 100))
    ratio, difference = (
        inference.ratio(inference.of_cells(fit), 1, 0),
        inference.difference(inference.of_cells(fit), 1, 0),
    )
    error = np.sqrt(1 / 40 - 1 / 100 + 1 / 20 - 1 / 100)
    z = 1.959963984540054
    np.testing.assert_allclose(ratio.estimate, 2)
    np.testing.assert_allclose(ratio.std_error, error)
    np.testing.assert_allclose([ratio.ci_low, ratio.ci_high], 2 * np.exp([[[-z * error]], [[z * error]]]))
    np.testing.assert_allclose(difference.estimate, 0.2)
    np.testing.assert_allclose(difference.std_error, np.sqrt(0.2 * 0.8 / 100 + 0.4 * 0.6 / 100))
    np.testing.assert_allclose(inference.number_needed_to_treat(difference).estimate, 5)


def test_two_arms_global_and_pair_test_agree() -> None:
    fit = two_by_two((20, 40), (100, 100))
    pair, whole = inference.ratio(inference.of_cells(fit), 1, 0), inference.global_test(inference.of_cells(fit))
    np.testing.assert_allclose(whole.p_value, pair.p_value, rtol=1e-12)
    np.testing.assert_allclose(whole.statistic, (np.log(2) / pair.std_error) ** 2)
    assert whole.df == 1


def test_gaussian_cells_are_least_squares() -> None:
    arguments = block(2, 200, family="gaussian")
    fit = fit_cells(**arguments)
    person, visit = np.nonzero(arguments["observed"][1] & (arguments["arm"][1] >= 0)[:, None])
    dummies = np.eye(9)[arguments["arm"][1, person] * 3 + visit]
    design = np.hstack([dummies, arguments["covariates"][1, person]])
    expected = np.linalg.lstsq(design, arguments["y"][1, person, visit], rcond=None)[0]
    np.testing.assert_allclose(np.r_[fit.cell[1].ravel(), fit.beta[1]], expected, rtol=1e-9)


def test_poisson_solves_its_equations() -> None:
    arguments = block(3, 200)
    fit = fit_cells(**arguments)
    linear = np.einsum("rnc,rc->rn", arguments["covariates"], fit.beta)
    cell = np.take_along_axis(fit.cell, np.maximum(arguments["arm"], 0)[..., None], axis=1)
    used = arguments["observed"] & (arguments["arm"] >= 0)[..., None]
    residual = np.where(used, np.nan_to_num(arguments["y"]) - np.exp(cell + linear[..., None]), 0)
    equations = np.einsum("rnt,rnc->rc", residual, arguments["covariates"])
    np.testing.assert_allclose(equations, 0, atol=1e-7)


def test_counts_are_fitted_too() -> None:
    arguments = block(1, 200)
    arguments["y"] = arguments["y"] * 3
    fit = fit_cells(**arguments)
    once = fit_cells(**block(1, 200))
    np.testing.assert_allclose(fit.cell, once.cell + np.log(3), rtol=1e-10)


def test_the_origin_and_unit_of_a_covariate_do_not_matter() -> None:
    arguments = block(2, 200)
    one = fit_cells(**arguments)
    arguments["covariates"] = 2000 + 365 * arguments["covariates"]
    two = fit_cells(**arguments)
    np.testing.assert_allclose(two.beta * 365, one.beta, rtol=1e-9)
    for a, b in ((0, 1), (2, 1)):
        np.testing.assert_allclose(
            inference.difference(inference.of_cells(two), a, b).std_error,
            inference.difference(inference.of_cells(one), a, b).std_error,
            rtol=1e-8,
        )
    np.testing.assert_allclose(
        inference.arm_means(inference.of_cells(two)).estimate,
        inference.arm_means(inference.of_cells(one)).estimate,
        rtol=1e-9,
    )


def test_a_step_too_long_is_halved() -> None:
    """Ten of a thousand carry a factor that makes a rare event certain: the first step goes to exp(49)."""
    exposed = np.tile(np.arange(500) < 5, 2)
    event = exposed | np.tile(np.arange(500) % 99 == 98, 2)
    fit = fit_cells(
        event[None, :, None].astype(float),
        np.ones((1, 1000, 1), dtype=bool),
        np.repeat([[0, 1]], 500, axis=1),
        exposed[None, :, None].astype(float),
        np.full((1, 1000), -1),
        n_arms=2,
        family="poisson",
    )
    assert fit.reason == ("",)
    np.testing.assert_allclose(np.exp(fit.beta[0]), 1 / (5 / 495), rtol=1e-12)


# --------------------------------------------------------------------------------- the same bits in company


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
@pytest.mark.parametrize(("n_replicates", "n"), [(16, 150), (16, 2331), (3, 20)])
def test_a_replicate_alone_gives_the_bits_it_gives_in_a_block(family: Any, n_replicates: int, n: int) -> None:
    arguments = block(n_replicates, n, family=family, n_covariates=8 if n > 1000 else 3)
    together = fit_cells(**arguments)
    for k in range(n_replicates):
        same_bits(fit_cells(**part(arguments, slice(k, k + 1))), together, slice(k, k + 1))


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
@pytest.mark.parametrize(("n_arms", "n_visits", "n_covariates"), [(3, 3, 3), (1, 1, 0), (1, 1, 1), (2, 1, 0)])
def test_padding_rows_change_no_bit(family: Any, n_arms: int, n_visits: int, n_covariates: int) -> None:
    arguments = block(4, 700, family=family) | {"n_arms": n_arms}
    arguments["arm"] = np.minimum(arguments["arm"], n_arms - 1)
    arguments["covariates"] = arguments["covariates"][:, :, :n_covariates]
    arguments |= {name: arguments[name][:, :, :n_visits] for name in ("y", "observed")}
    place = np.sort(np.random.default_rng(1).choice(1500, 700, replace=False))
    padded: dict[str, Any] = {"n_arms": n_arms, "family": family}
    for name, filler in (("y", NAN), ("observed", True), ("arm", -1), ("covariates", 1e300), ("cluster", 3)):
        values = arguments[name]
        padded[name] = np.full((4, 1500, *values.shape[2:]), filler, dtype=values.dtype)
        padded[name][:, place] = values
    same_bits(fit_cells(**padded), fit_cells(**arguments))


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
@pytest.mark.parametrize(("n_arms", "n_visits", "n_covariates"), [(3, 3, 3), (1, 1, 0), (1, 1, 1), (2, 1, 0)])
def test_a_small_trial_beside_a_large_one(family: Any, n_arms: int, n_visits: int, n_covariates: int) -> None:
    arguments = block(4, 1500, family=family) | {"n_arms": n_arms}
    arguments["arm"] = np.maximum(np.minimum(arguments["arm"], n_arms - 1), 0)
    arguments["covariates"] = arguments["covariates"][:, :, :n_covariates]
    arguments |= {name: arguments[name][:, :, :n_visits] for name in ("y", "observed")}
    sizes = (100, 470, 1500, 870)
    for k, size in enumerate(sizes):
        arguments["arm"][k, size:] = -1
    together = fit_cells(**arguments)
    for k, size in enumerate(sizes):
        same_bits(fit_cells(**part(arguments, np.s_[k : k + 1, :size])), together, slice(k, k + 1))


def test_the_number_of_blas_threads_changes_no_bit() -> None:
    code = (
        "import sys; sys.path[:0] = ['tests/unit', '.']\n"
        "import hashlib, test_cells as t\n"
        "families = 'poisson', 'gaussian'\n"
        "fits = [t.fit_cells(**t.block(4, 2331, n_covariates=8, family=f)) for f in families]\n"
        "print(hashlib.sha256(b''.join(f.cov.tobytes() + f.cell.tobytes() for f in fits)).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2", "4"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(run.stdout.strip())
    assert len(digests) == 1


@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_failures_and_slow_neighbours_change_no_bit(family: Any) -> None:
    arguments = block(8, 150, family=family)
    healthy = fit_cells(**arguments)
    arguments["y"][2] = 0
    arguments["covariates"][3] = 1
    arguments["observed"][4] = False
    arguments["covariates"][5] = 1e300 * (arguments["covariates"][5] - 50)
    arguments["covariates"][6, :, 0] = np.nanmax(arguments["y"][6], axis=1, initial=0) > 0.5
    fit = fit_cells(**arguments)
    assert not fit.converged[[2, 3, 4, 5]].any()
    for k in (0, 1, 7):
        same_bits(fit_cells(**part(arguments, slice(k, k + 1))), healthy, slice(k, k + 1))
        same_bits(fit_cells(**part(arguments, slice(k, k + 1))), fit, slice(k, k + 1))


def test_the_arguments_are_left_as_they_were() -> None:
    arguments = block(2, 70)
    for value in arguments.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    fit_cells(**arguments)


# ------------------------------------------------------------------------------------------ what it refuses


def change_nothing(a: dict[str, Any]) -> None:
    pass


def drop_arm(a: dict[str, Any]) -> None:
    a["arm"][0] = np.where(a["arm"][0] == 2, -1, a["arm"][0])


def drop_visit(a: dict[str, Any]) -> None:
    a["observed"][0, a["arm"][0] == 1, 2] = False


def no_events(a: dict[str, Any]) -> None:
    a["y"][0, a["arm"][0] == 1, 0] = 0


def no_events_ever(a: dict[str, Any]) -> None:
    a["y"][0, a["arm"][0] == 2] = 0


def outcome_infinite(a: dict[str, Any]) -> None:
    a["observed"][0, 0, 0], a["arm"][0, 0], a["y"][0, 0, 0] = True, 0, np.inf


def covariate_missing(a: dict[str, Any]) -> None:
    a["observed"][0, 0, 0], a["arm"][0, 0], a["covariates"][0, 0, 1] = True, 0, NAN


def covariate_huge(a: dict[str, Any]) -> None:
    a["covariates"][0, :, 1] *= 1e200


def constant_covariate(a: dict[str, Any]) -> None:
    a["covariates"][0, :, 1] = 0.1


def same_covariate_twice(a: dict[str, Any]) -> None:
    a["covariates"][0, :, 1] = 3 - 2 * a["covariates"][0, :, 0]


def covariate_is_the_arm(a: dict[str, Any]) -> None:
    a["covariates"][0, :, 1] = a["arm"][0] == 1


def one_cluster(a: dict[str, Any]) -> None:
    a["cluster"][0] = 4


def one_coach(a: dict[str, Any]) -> None:
    a["cluster"][0] = np.where(a["cluster"][0] >= 0, 0, -1)


def constant_outcome(a: dict[str, Any]) -> None:
    a["y"][0, a["arm"][0] == 0] = 1
    a["covariates"] = a["covariates"][:, :, :0]


def separated(a: dict[str, Any]) -> None:
    a["covariates"][0, :, 1] = np.nan_to_num(a["y"][0]).max(axis=1)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (change_nothing, ""),
        (drop_arm, "no observations in arm 2"),
        (drop_visit, "no observations in arm 1 at visit 2"),
        (no_events, "no events in arm 1 at visit 0"),
        (no_events_ever, "no events in arm 2"),
        (outcome_infinite, "an observed outcome is not finite"),
        (covariate_missing, "a covariate is not finite"),
        (covariate_huge, "a covariate is too large"),
        (constant_covariate, "covariates are collinear"),
        (same_covariate_twice, "covariates are collinear"),
        (covariate_is_the_arm, "covariates are collinear"),
        (one_cluster, "fewer than 2 clusters"),
        (one_coach, "zero variance in arm 1"),
        (constant_outcome, "zero variance in arm 0"),
        (separated, "did not converge in 25 iterations"),
    ],
)
def test_a_replicate_that_cannot_be_fitted_says_why(damage: Any, reason: str) -> None:
    arguments = block(3, 150)
    damage(arguments)
    fit = fit_cells(**arguments)
    assert fit.reason == (reason, "", "")
    assert fit.converged.tolist() == [text == "" for text in fit.reason]
    for name in ("cell", "beta", "cov", "offset", "offset_gradient"):
        values = getattr(fit, name)[0]
        assert np.isnan(values).all() if reason else np.isfinite(values).all()
    assert np.isfinite(fit.cov[1]).all()


def test_a_constant_outcome_with_covariates_has_no_variance() -> None:
    arguments = block(2, 150, family="gaussian")
    arguments["y"][0] = 7.3
    assert fit_cells(**arguments).reason == ("zero variance in arm 0", "")


def test_nobody_observed_and_nobody_there() -> None:
    arguments = block(2, 5)
    arguments["observed"][0] = False
    arguments["arm"][1] = -1
    fit = fit_cells(**arguments)
    assert fit.reason == ("no observations in arm 0", "no observations in arm 0")
    assert fit.n_used.tolist() == fit.n_clusters.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "binomial"}, "family must be 'poisson' or 'gaussian'"),
        ({"n_arms": 2}, "arm must be"),
        ({"n_arms": 0}, "arm must be"),
        ({"y": np.full((2, 5, 3), -1.0), "observed": np.ones((2, 5, 3), dtype=bool)}, "not negative"),
        ({"y": np.zeros((2, 5, 2))}, "same shape"),
        ({"y": np.zeros((2, 0, 3)), "observed": np.zeros((2, 0, 3), dtype=bool)}, "same shape"),
        ({"cluster": np.zeros((2, 4), dtype=int)}, "arm and cluster must be"),
        ({"covariates": np.zeros((2, 5))}, "arm and cluster must be"),
    ],
)
def test_arrays_that_contradict_each_other_are_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_cells(**(block(2, 5) | change))


def test_an_empty_block_is_an_empty_fit() -> None:
    fit = fit_cells(**part(block(2, 70), slice(0, 0)))
    assert fit.cov.shape == (0, 12, 12)
    assert fit.reason == ()
    assert inference.global_test(inference.of_cells(fit)).p_value.shape == (0, 3)


# ------------------------------------------------------------------------------------ what is made of a fit


def limits(low: float, high: float) -> Estimate:
    middle = np.array([(low + high) / 2])
    return Estimate(middle, np.array([0.1]), np.array([np.inf]), np.array([low]), np.array([high]), np.array([0.5]))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, (1 / 0.15, 5, 10)),
        (-0.2, -0.1, (-1 / 0.15, -10, -5)),
        (-0.1, 0.2, (20, 5, np.inf)),
        (-0.2, 0.1, (-20, 10, np.inf)),
        (-0.1, 0.1, (np.inf, 10, np.inf)),
        (0.0, 0.2, (10, 5, np.inf)),
        (NAN, NAN, (NAN, NAN, NAN)),
    ],
)
def test_number_needed_to_treat(low: float, high: float, expected: tuple[float, float, float]) -> None:
    found = inference.number_needed_to_treat(limits(low, high))
    np.testing.assert_allclose([found.estimate[0], found.ci_low[0], found.ci_high[0]], expected)
    assert np.isnan(found.std_error[0])


def test_a_failed_replicate_is_nan_in_every_result() -> None:
    arguments = block(2, 150)
    no_events(arguments)
    fit = fit_cells(**arguments)
    difference = inference.difference(inference.of_cells(fit), 1, 0)
    found = [inference.arm_means(inference.of_cells(fit)), inference.ratio(inference.of_cells(fit), 2, 1), difference]
    found.append(inference.number_needed_to_treat(difference))
    for estimate in found:
        for field in fields(Estimate):
            assert np.isnan(getattr(estimate, field.name)[0]).all()
        assert np.isfinite(estimate.estimate[1]).all()
    assert np.isnan(inference.global_test(inference.of_cells(fit)).p_value[0]).all()


def test_one_arm_has_no_global_test() -> None:
    arguments = block(2, 150) | {"n_arms": 1}
    arguments["arm"] = np.minimum(arguments["arm"], 0)
    fit = fit_cells(**arguments)
    test = inference.global_test(inference.of_cells(fit))
    assert fit.converged.all()
    assert test.df == 0
    assert np.isnan(test.statistic).all()
    assert np.isnan(test.p_value).all()


def test_a_contrast_in_which_every_cluster_has_its_share_of_both_arms_has_no_error() -> None:
    """Three clusters, each with the same outcomes in both arms: the difference does not vary between them."""
    y = np.tile([0.0, 1, 1, 0, 0, 1, 1, 1, 0], 2)[None, :, None]
    cluster = np.tile(np.repeat([0, 1, 2], 3), 2)[None]
    cluster[0, [2, 11]] = 1
    arm = np.repeat([0, 1], 9)[None]
    fit = fit_cells(y, np.ones_like(y, dtype=bool), arm, np.empty((1, 18, 0)), cluster, n_arms=2, family="gaussian")
    difference = inference.difference(inference.of_cells(fit), 1, 0)
    assert fit.converged.all()
    assert difference.estimate[0, 0] == 0
    assert np.isnan([difference.std_error[0, 0], difference.p_value[0, 0]]).all()
    assert np.isnan(inference.global_test(inference.of_cells(fit)).p_value[0, 0])


def test_a_ratio_of_means_below_zero_is_none_and_alpha_is_checked() -> None:
    fit = fit_cells(**(block(1, 150, family="gaussian") | {"y": -np.ones((1, 150, 3)) + block(1, 150)["y"] / 4}))
    assert np.isnan(inference.ratio(inference.of_cells(fit), 1, 0).estimate).all()
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        inference.difference(inference.of_cells(fit), 1, 0, alpha=5)
