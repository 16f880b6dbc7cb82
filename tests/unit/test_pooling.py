"""Pooling whole blocks of imputed analyses against Rubin's rules applied contrast by contrast."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import Array, same
from pool_means import pool_means

from trialsim.analysis.fits import Link, Means
from trialsim.analysis.inference import ArmMeans, difference, global_test, ratio
from trialsim.analysis.pooling import pooled
from trialsim.analysis.rubin import pool

N_REPLICATES, N_COPIES, N_ARMS, N_VISITS = 5, 7, 3, 2
PAIRS = ((0, 1), (0, 2), (1, 2))


def copies(*, link: Link = "identity", seed: int = 1, df: float = 40.0) -> ArmMeans:
    """Analyses of completed data sets: means that differ from copy to copy, covariances that do too."""
    luck = np.random.default_rng(seed)
    n = N_REPLICATES * N_COPIES
    root = luck.normal(0, 0.3, (n, N_VISITS, N_ARMS, N_ARMS))
    return ArmMeans(
        link=link,
        mean=luck.normal(-1, 0.4, (n, N_ARMS, N_VISITS)),
        cov=root @ root.swapaxes(-1, -2) + 0.05 * np.eye(N_ARMS),
        df=np.broadcast_to(df * luck.uniform(0.8, 1.2, (n, 1, 1, N_VISITS)), (n, N_ARMS, N_ARMS, N_VISITS)),
        global_df=np.full((n, N_VISITS), df),
        n_cell=np.full((n, N_ARMS, N_VISITS), 25),
        reason=np.full((n, N_VISITS), "", dtype=object),
    )


def of(found: Array, r: int) -> Array:
    """The copies of one replicate."""
    return found[r * N_COPIES : (r + 1) * N_COPIES]


def part(means: ArmMeans, rows: slice) -> ArmMeans:
    values = {k: v[rows] if isinstance(v, np.ndarray) else v for k, v in vars(means).items()}
    return ArmMeans(**values)


@pytest.mark.parametrize("df", [np.inf, 40.0])
def test_every_difference_is_pooled_by_rubins_rules(df: float) -> None:
    means = copies(df=df)
    found = pooled(means, N_COPIES)
    for a, b in PAIRS:
        mine, single = difference(found, a, b), difference(means, a, b)
        for r in range(N_REPLICATES):
            by_hand = pool(of(single.estimate, r), of(single.std_error, r) ** 2, of(single.df, r).mean(axis=0))
            for name in ("estimate", "std_error", "df"):
                np.testing.assert_allclose(getattr(mine, name)[r], getattr(by_hand, name), rtol=1e-10)
            assert (mine.df[r] < df).all()
            assert (mine.std_error[r] > of(single.std_error, r).min(axis=0)).all()


def test_ratios_are_pooled_as_logarithms() -> None:
    means = copies(link="log")
    found, single = ratio(pooled(means, N_COPIES), 0, 2), ratio(means, 0, 2)
    for r in range(N_REPLICATES):
        by_hand = pool(np.log(of(single.estimate, r)), of(single.std_error, r) ** 2, of(single.df, r).mean(axis=0))
        np.testing.assert_allclose(np.log(found.estimate[r]), by_hand.estimate, rtol=1e-10)
        np.testing.assert_allclose(found.std_error[r], by_hand.std_error, rtol=1e-10)


def test_by_hand() -> None:
    """Two copies, 1 and 2 with variance 0.5: u = 0.5, b = 0.5, t = 0.5 + 1.5 x 0.5 = 1.25, nu = 1 / 0.6^2."""
    means = ArmMeans(
        link="identity",
        mean=np.array([[[1.0], [0.0]], [[2.0], [0.0]]]),
        cov=np.full((2, 1, 2, 2), 0.25) * np.eye(2),
        df=np.full((2, 2, 2, 1), np.inf),
        global_df=np.full((2, 1), np.inf),
        n_cell=np.array([[[10], [9]], [[10], [8]]]),
        reason=np.full((2, 1), "", dtype=object),
    )
    found = pooled(means, 2)
    contrast = difference(found, 0, 1)
    assert contrast.estimate[0, 0] == 1.5
    assert contrast.std_error[0, 0] == pytest.approx(np.sqrt(1.25))
    assert contrast.df[0, 0] == pytest.approx(1 / 0.6**2)
    assert found.n_cell[0, :, 0].tolist() == [10, 8]
    test = global_test(found)
    assert (test.statistic[0, 0], found.global_df[0, 0]) == pytest.approx((1.5**2 / 1.25, 1 / 0.6**2))


def test_means_and_the_test_of_all_arms_are_those_of_single_replicates() -> None:
    """`pool_means` pools one replicate's fits; here is a whole block of them."""
    means = copies()
    found = pooled(means, N_COPIES)
    for r in range(N_REPLICATES):
        alone = pool_means([as_means(means, r * N_COPIES + k) for k in range(N_COPIES)])
        cov = alone.cov.reshape(N_ARMS, N_VISITS, N_ARMS, N_VISITS)
        np.testing.assert_allclose(found.mean[r], alone.mean, rtol=1e-12)
        for v in range(N_VISITS):
            np.testing.assert_allclose(found.cov[r, v], cov[:, v, :, v], rtol=1e-10)
        np.testing.assert_allclose(found.df[r], alone.df, rtol=1e-10)
        np.testing.assert_allclose(found.global_df[r], alone.global_df, rtol=1e-10)


def as_means(means: ArmMeans, row: int) -> Means:
    cov = np.zeros((N_ARMS, N_VISITS, N_ARMS, N_VISITS))
    for v in range(N_VISITS):
        cov[:, v, :, v] = means.cov[row, v]
    size = N_ARMS * N_VISITS
    reason = tuple(means.reason[row])
    return Means(
        means.link, means.mean[row], cov.reshape(size, size), means.df[row], means.global_df[row],
        means.n_cell[row], 75, reason,
    )  # fmt: skip


def test_the_test_of_all_arms_never_has_more_degrees_of_freedom_than_complete_data() -> None:
    few = copies()
    few.global_df[:] = 1.5
    assert (pooled(few, N_COPIES).global_df == 1.5).all()


def test_equal_copies_have_the_error_of_one() -> None:
    """Nothing was missing: the variance within is all there is."""
    one = part(copies(df=np.inf), slice(0, 1))
    found = pooled(part(one, np.zeros(N_COPIES, dtype=int)), N_COPIES)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.cov, one.cov, rtol=1e-12)
    assert (found.df > 1e20).all()  # infinite but for rounding


def test_a_visit_that_failed_in_one_copy_has_failed() -> None:
    means = copies()
    failed = N_COPIES + 2  # copy 2 of replicate 1
    means.reason[failed, 1] = "no convergence"
    means.mean[failed, :, 1], means.cov[failed, 1] = np.nan, np.nan
    means.reason[2 * N_COPIES : 3 * N_COPIES, 0] = "no observations in arm 0"  # in every copy: they have it in common
    found = pooled(means, N_COPIES)
    assert found.reason[1].tolist() == ["", "in imputation 3: no convergence"]
    assert found.reason[2].tolist() == ["no observations in arm 0", ""]
    assert set(found.reason[[0, 3, 4]].ravel()) == {""}
    assert np.isnan(found.mean[1, :, 1]).all()
    assert np.isfinite(found.mean[1, :, 0]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (3, 4)])
def test_a_replicate_alone_has_the_same_bits(shape: tuple[int, int]) -> None:
    """Sums over the copies must not depend on how many replicates are pooled at once."""
    n_arms, n_visits = shape
    luck, n, m = np.random.default_rng(2), 6, 23
    root = luck.normal(0, 0.3, (n * m, n_visits, n_arms, n_arms))
    means = ArmMeans(
        "identity", luck.normal(0, 1, (n * m, n_arms, n_visits)), root @ root.swapaxes(-1, -2),
        luck.uniform(10, 20, (n * m, n_arms, n_arms, n_visits)), luck.uniform(10, 20, (n * m, n_visits)),
        np.full((n * m, n_arms, n_visits), 9), np.full((n * m, n_visits), "", dtype=object),
    )  # fmt: skip
    together = pooled(means, m)
    for r in range(n):
        alone = pooled(part(means, slice(r * m, (r + 1) * m)), m)
        for name in ("mean", "cov", "df", "global_df", "n_cell"):
            assert same(getattr(alone, name), getattr(together, name)[r : r + 1]), name
