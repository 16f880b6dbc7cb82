"""Luck: the same row and replicate however much is asked for, and another for every key."""

from __future__ import annotations

import numpy as np
import pytest
from designs import design
from scipy import stats

from trialsim.world.draws import _COS, _SIN, Draws
from trialsim.world.formulas import gamma_multiplier
from trialsim.world.persons import contact_rates
from trialsim.world.streams import BLOCK, Stream, generator
from trialsim.world.world import World

KINDS = ["uniform", "normal"]
N_REPLICATES = 3 * BLOCK


def drawn(kind: str, draws: Draws, rows: int) -> np.ndarray:
    """Rows of one named stream, (rows, R)."""
    return getattr(draws, kind)(Stream.CHANGE, rows, "pain", "m3")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("first", "n"), [(0, 1), (5, 3), (BLOCK, BLOCK), (BLOCK - 1, 2), (3, 2 * BLOCK)])
def test_a_replicate_s_rows_do_not_depend_on_what_else_is_drawn(kind: str, first: int, n: int) -> None:
    everything = drawn(kind, Draws(seed=1, first=0, n_replicates=N_REPLICATES), 50)
    part = drawn(kind, Draws(seed=1, first=first, n_replicates=n), 20)
    assert part.shape == (20, n)
    assert (part == everything[:20, first : first + n]).all()


@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize(("first", "n"), [(0, BLOCK), (2, 5), (0, 2 * BLOCK)])
def test_filling_an_array_draws_the_same_numbers(first: int, n: int, normal: bool) -> None:
    draws, whole = Draws(seed=1, first=first, n_replicates=n), np.zeros((9, n))
    draws.fill(whole[2:7], Stream.STABLE, "north", normal=normal)
    expected = (draws.normal if normal else draws.uniform)(Stream.STABLE, 5, "north")
    assert (whole[2:7] == expected).all()
    assert (whole[[0, 1, 7, 8]] == 0).all()


def test_no_row_at_all_may_be_asked_for() -> None:
    assert Draws(seed=1, first=3, n_replicates=40).uniform(Stream.CHANGE, 0).shape == (0, 40)


KEYS = [
    (1, Stream.CHANGE, 0, ("a",)),
    (2, Stream.CHANGE, 0, ("a",)),
    (2**200, Stream.CHANGE, 0, ("a",)),
    (2**200 + 1, Stream.CHANGE, 0, ("a",)),
    (1, Stream.ERROR, 0, ("a",)),
    (1, Stream.CHANGE, 1, ("a",)),
    (1, Stream.CHANGE, 0, ()),
    (1, Stream.CHANGE, 0, ("b",)),
    (1, Stream.CHANGE, 0, ("a", "b")),
    (1, Stream.CHANGE, 0, ("ab",)),
    (1, Stream.CHANGE, 0, ("a', 'b",)),
    (1, Stream.CHANGE, 0, (3,)),
    (1, Stream.CHANGE, 0, ("3",)),
    (1, Stream.CHANGE, 0, ("\u00e9",)),
    (1, Stream.CHANGE, 0, ("\\xe9",)),
]


def test_every_key_has_luck_of_its_own_and_always_the_same() -> None:
    firsts = [generator(*key).random() for key in KEYS]
    assert len(set(firsts)) == len(KEYS)
    assert firsts == [generator(*key).random() for key in KEYS]


def test_neighbouring_streams_are_uniform_and_uncorrelated() -> None:
    """First numbers of 4,000 neighbouring keys; 0.0001 is the chance to fail of each check."""
    sources = [generator(1, Stream.CHANGE, block, ("pain",)) for block in range(4_000)]
    luck = np.array([source.random(3) for source in sources])
    assert stats.kstest(luck.ravel(), "uniform").pvalue > 1e-4
    pairs = [(luck[1:, 0], luck[:-1, 0]), (luck[:, 0], luck[:, 1]), (luck[1:, 0], luck[:-1, 1])]
    assert all(stats.pearsonr(*pair).pvalue > 1e-4 for pair in pairs)


def test_normals_are_normal_wherever_one_looks() -> None:
    """The distribution function of what is made from 2^14 directions and a radius, exactly; then 160,000 of them."""
    cosine = _COS[_COS > 0]
    for x, limit in [(1e-4, 3e-5), (1e-3, 3e-5), (0.01, 1e-12), (0.5, 1e-12), (2.0, 1e-12), (7.0, 1e-15)]:
        tail = np.exp(-((x / cosine) ** 2) / 2).sum() / len(_COS)
        assert abs(tail - stats.norm.sf(x)) < limit
    assert np.allclose(np.sort(_COS), np.sort(_SIN), atol=1e-12)
    luck = Draws(seed=1, first=0, n_replicates=160).normal(Stream.CHANGE, 1_000)
    assert stats.kstest(luck.ravel(), "norm").pvalue > 1e-4


def test_the_two_normals_of_a_pair_are_independent() -> None:
    luck = Draws(seed=2, first=0, n_replicates=BLOCK).normal(Stream.CHANGE, 20_000)
    one, other = luck[:, : BLOCK // 2].ravel(), luck[:, BLOCK // 2 :].ravel()
    for power in (1, 2):
        assert stats.pearsonr(one**power, other**power).pvalue > 1e-4
    assert stats.kstest(np.arctan2(one, other) / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("cv", [0.1, 0.9, 3.0])
def test_contact_rates_vary_by_month_as_a_gamma_distribution_of_mean_one(cv: float) -> None:
    world = World(design(recruitment={"sites": {"north": {"rate_per_month": 30.4375}}, "month_cv": cv}))
    rate = contact_rates(world, Draws(seed=1, first=0, n_replicates=320))[0].ravel()
    assert stats.kstest(rate, stats.gamma(cv**-2, scale=cv**2).cdf).pvalue > 1e-4


@pytest.mark.parametrize("cv", [0.05, 0.1, 0.5, 1.0, 3.0])
def test_a_gamma_multiplier_is_the_quantile_of_its_normal(cv: float) -> None:
    normal = np.linspace(-7.35, 7.35, 1999)
    exact = stats.gamma(cv**-2, scale=cv**2).ppf(stats.norm.cdf(normal[normal < 0]))
    upper = stats.gamma(cv**-2, scale=cv**2).isf(stats.norm.sf(normal[normal >= 0]))
    np.testing.assert_allclose(gamma_multiplier(normal, cv), np.concatenate([exact, upper]), rtol=2e-6)
