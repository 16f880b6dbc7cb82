"""Adjusted p-values against Mediana, R's p.adjust, graphicalMCP and gMCP, and against closed tests by brute force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trialsim.analysis import multiplicity as mt
from trialsim.analysis.graphical import graphical, rejected_sequence

Array = NDArray[Any]

# R 4.2.2, Mediana 1.0.8 (Debian r-cran-mediana); printed by the calls in the comments.
VIGNETTE = (0.012, 0.009, 0.023)
P5 = (0.0121, 0.0342, 0.0078, 0.2107, 0.0461)
P7 = (0.011, 0.013, 0.029, 0.031, 0.004, 0.9, 0.045)
WEIGHTS = (0.3, 0.1, 0.2, 0.25, 0.15)

# id, procedure, p, adjusted p
KNOWN: list[tuple[str, Callable[[Array], Array], Sequence[float], Sequence[float]]] = [
    # Oracle M4, Mediana vignette adjusted-pvalues.html: AdjustPvalues(c(.012, .009, .023), "BonferroniAdj") ...
    ("vignette bonferroni", mt.bonferroni, VIGNETTE, (0.036, 0.027, 0.069)),
    ("vignette holm", mt.holm, VIGNETTE, (0.027, 0.027, 0.027)),
    ("vignette hochberg", mt.hochberg, VIGNETTE, (0.023, 0.023, 0.023)),
    ("vignette hommel", mt.hommel, VIGNETTE, (0.023, 0.018, 0.023)),
    ("vignette fixed sequence", mt.fixed_sequence, VIGNETTE, (0.012, 0.012, 0.023)),
    ("vignette fallback", mt.fallback, VIGNETTE, (0.036, 0.027, 0.0345)),
    # p.adjust(p, "holm") ..., stats 4.2.2
    ("bonferroni", mt.bonferroni, P5, (0.0605, 0.1710, 0.0390, 1.0, 0.2305)),
    ("holm", mt.holm, P5, (0.0484, 0.1026, 0.0390, 0.2107, 0.1026)),
    ("hochberg", mt.hochberg, P5, (0.0484, 0.0922, 0.0390, 0.2107, 0.0922)),
    ("hommel", mt.hommel, P5, (0.04840, 0.06915, 0.03120, 0.21070, 0.09220)),
    ("hommel of 7", mt.hommel, P7, (0.031 / 0.6, 0.052, 0.0675, 0.0675, 0.028, 0.9, 0.09)),  # printed 0.05166666667
    ("hochberg of 7", mt.hochberg, P7, (0.065, 0.065, 0.090, 0.090, 0.028, 0.900, 0.090)),
    # AdjustPvalues(p, "HolmAdj", par = parameters(weight = c(.3, .1, .2, .25, .15)))
    ("weighted holm", lambda p: mt.holm(p, WEIGHTS), P5, (0.039, 0.1536666667, 0.039, 0.2107, 0.1536666667)),
    # AdjustPvalues(p, "FallbackAdj", par = parameters(weight = ...))
    ("fallback", lambda p: mt.fallback(p, WEIGHTS), P5, (0.04033333333, 0.0855, 0.039, 0.24788235294, 0.24788235294)),
    (
        "fallback without some weights",
        lambda p: mt.fallback(p, (0.5, 0, 0, 0.25, 0.25)),
        P5,
        (0.0242, 0.0684, 0.0684, 0.2809333333, 0.1844),
    ),
]


@pytest.mark.parametrize(("adjust", "p", "expected"), [k[1:] for k in KNOWN], ids=[k[0] for k in KNOWN])
def test_as_in_r(adjust: Callable[[Array], Array], p: Sequence[float], expected: Sequence[float]) -> None:
    two = np.array([p, np.flip(p)])  # the second replicate must not matter
    np.testing.assert_allclose(adjust(two)[0], expected, rtol=0, atol=5e-11)


# AdjustPvalues(p, "ParallelGatekeepingAdj", par = parameters(family = families(family1 = c(1, 2, 3), ...),
#   proc = families(family1 = "HolmAdj", ...), gamma = families(family1 = .8, family2 = .5, family3 = 1)))
GATE_P = (0.0102, 0.0281, 0.0204, 0.0083, 0.0151, 0.0061, 0.0127)
GATE_FAMILIES = ((0, 1, 2), (3, 4), (5, 6))
TRUNCATED = (0.0306, 0.0843, 0.0612, 0.0498, 0.0612, 0.0612, 0.0612)
GATES: list[tuple[Any, tuple[float, ...], tuple[float, ...]]] = [
    ("holm", (0.8, 0.5, 1), (0.0306, *[0.04371428571] * 6)),
    ("hochberg", (0.8, 0.5, 1), (0.0306, *[0.03242307692] * 6)),
    ("hommel", (0.8, 0.5, 1), (0.0306, *[0.03242307692] * 6)),
    ("holm", (0, 0.25, 0.9), TRUNCATED),
    ("hochberg", (0, 0.25, 0.9), TRUNCATED),
    ("hommel", (0, 0.25, 0.9), TRUNCATED),
    (("bonferroni", "hommel", "hochberg"), (0, 0.6, 1), (0.0306, 0.0843, 0.0612, 0.0498, *[0.056625] * 3)),
    (("holm", "hochberg", "holm"), (1, 1, 1), (0.0306, *[0.0408] * 6)),
]


@pytest.mark.parametrize(("procedure", "gamma", "expected"), GATES)
def test_parallel_gatekeeping_as_in_mediana(procedure: Any, gamma: Any, expected: Any) -> None:
    found = mt.gatekeeping(np.array([GATE_P]), GATE_FAMILIES, kind="parallel", procedure=procedure, gamma=gamma)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=5e-11)


def test_parallel_gatekeeping_of_the_vignette() -> None:
    """Oracle M8."""
    p = np.array([[0.0082, 0.0174, 0.0042, 0.0180]])
    found = mt.gatekeeping(p, [[0, 1], [2, 3]], kind="parallel", procedure="holm", gamma=[0.5, 1])
    np.testing.assert_allclose(found[0], (0.0164, 0.0232, 0.0232, 0.0232), rtol=0, atol=1e-12)


# --- graphs -----------------------------------------------------------------------------------------------------------

HALVES = (0.5, 0.5, 0, 0)
PRIMARY_SECONDARY = ((0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 0, 0), (1, 0, 0, 0))
SUCCESSIVE = ((0, 0.5, 0.5, 0), (0.5, 0, 0, 0.5), (0, 1, 0, 0), (1, 0, 0, 0))
FOUR = (0.018, 0.01, 0.105, 0.006)


def test_parallel_gatekeeping_graph_of_bretz_2011() -> None:
    """graphicalMCP 0.2, print.graph_report: graph_test_shortcut(g, c(.018, .01, .105, .006), .025), Adj.p to 3 places.

    The graph is Figure 1 of Bretz et al. 2011, doi:10.1002/bimj.201000239.
    """
    np.testing.assert_allclose(
        graphical(np.array([FOUR]), HALVES, PRIMARY_SECONDARY)[0], (0.020, 0.020, 0.105, 0.020), rtol=0, atol=1e-12
    )


def test_order_of_rejections_of_bretz_2011() -> None:
    """graphicalMCP, graph_rejection_orderings: Figure 4 of Bretz et al. 2011 rejects H2, H1, H4 at .025."""
    assert rejected_sequence(FOUR, HALVES, SUCCESSIVE, 0.025) == (1, 0, 3)
    assert rejected_sequence(FOUR, HALVES, SUCCESSIVE, 0.021) == (1,)
    assert rejected_sequence(FOUR, HALVES, SUCCESSIVE, 0.019) == ()


def test_gmcp() -> None:
    """gMCP's own unit tests (kornl/gMCP): test.adjPValues, and test.gMCPBretzEtAl at alpha .05."""
    holm = graphical(np.array([(0.02, 0.055, 0.012)]), [1 / 3] * 3, (1 - np.eye(3)) / 2)
    np.testing.assert_allclose(holm[0], (0.04, 0.055, 0.036), rtol=0, atol=1e-12)
    moves = np.zeros((6, 6))
    for a, b, share in [(0, 1, 1 / 2), (0, 3, 1 / 2), (1, 0, 1 / 3), (1, 2, 1 / 3), (1, 4, 1 / 3), (2, 1, 1 / 2),
                        (2, 5, 1 / 2), (3, 1, 1), (4, 0, 1 / 2), (4, 2, 1 / 2), (5, 1, 1)]:  # fmt: skip
        moves[a, b] = share
    adjusted = graphical(np.array([(0.1, 0.008, 0.005, 0.15, 0.04, 0.006)]), (*[1 / 3] * 3, 0, 0, 0), moves)
    assert (adjusted[0] < 0.05).tolist() == [False, True, True, False, False, True]


def random_p(n: int, seed: int = 7) -> Array:
    """Some small, some large, some equal, some 0 and 1."""
    rng = np.random.default_rng(seed)
    p = rng.random((300, n)) ** rng.choice([1, 4], size=(300, 1))
    p[:60] = np.round(p[:60], 1)
    return p


def test_holm_as_a_graph() -> None:
    w = np.array(WEIGHTS)
    moves = w / (1 - w)[:, None] * (1 - np.eye(5))
    np.testing.assert_allclose(graphical(random_p(5), w, moves), mt.holm(random_p(5), WEIGHTS), rtol=1e-12)
    equal = (1 - np.eye(5)) / 4
    np.testing.assert_allclose(graphical(random_p(5), [0.2] * 5, equal), mt.holm(random_p(5)), rtol=1e-12)


def test_holm_that_spends_part_of_alpha_as_a_graph() -> None:
    """Weights add up to 0.7, one of them is 0."""
    w = np.array([0.3, 0.2, 0, 0.2])
    moves = w / (0.7 - w)[:, None] * (1 - np.eye(4))
    np.testing.assert_allclose(graphical(random_p(4), w, moves), mt.holm(random_p(4), w.tolist()), rtol=1e-12)


def test_fixed_sequence_as_a_graph() -> None:
    found = graphical(random_p(5), [1, 0, 0, 0, 0], np.eye(5, k=1))
    np.testing.assert_allclose(found, mt.fixed_sequence(random_p(5)), rtol=1e-12)


@pytest.mark.parametrize("weights", [WEIGHTS, (0.2,) * 5, (0.5, 0, 0, 0.25, 0.25), (0.1, 0.2, 0, 0, 0.3)])
def test_fallback_as_a_graph(weights: Sequence[float]) -> None:
    found = graphical(random_p(5), weights, np.eye(5, k=1))
    np.testing.assert_allclose(found, mt.fallback(random_p(5), weights), rtol=1e-12)


# --- by the definition of a closed test -------------------------------------------------------------------------------


def closed_test(p: Array, local: Callable[[Sequence[int], Array], float]) -> Array:
    """Adjusted p of one replicate: the largest local p over all intersections that hold the hypothesis."""
    n = len(p)
    sets = [some for size in range(1, n + 1) for some in combinations(range(n), size)]
    tests = {some: min(1.0, local(some, p)) for some in sets}
    return np.array([max(value for some, value in tests.items() if i in some) for i in range(n)])


def simes(some: Sequence[int], p: Array) -> float:
    return float(min(v * len(some) / (i + 1) for i, v in enumerate(sorted(p[list(some)]))))


def test_hommel_is_the_closed_simes_test() -> None:
    p = random_p(5)[:120]
    np.testing.assert_allclose(mt.hommel(p), [closed_test(row, simes) for row in p], rtol=1e-12)


def truncated(name: str, values: list[float], gamma: float, n: int) -> float:
    """Local tests of Dmitrienko, Tamhane & Wiens 2008 for m = len(values) of a family of n."""
    m, least = len(values), 1 / n * (1 - gamma)
    own = {"holm": lambda i: 1 / m, "hochberg": lambda i: 1 / (m - i), "hommel": lambda i: (i + 1) / m}[name]
    return min(v / (gamma * own(i) + least) for i, v in enumerate(sorted(values)))


def gate_local(families: Sequence[Sequence[int]], names: Sequence[str], gammas: Sequence[float]) -> Any:
    def local(some: Sequence[int], p: Array) -> float:
        left, found = 1.0, 1.0
        for family, name, gamma in zip(families, names, gammas, strict=True):
            part = [float(p[i]) for i in family if i in some]
            if part and left > 1e-12:
                found = min(found, truncated(name, part, gamma, len(family)) / left)
            if part:
                left *= 1 - (gamma + (1 - gamma) * len(part) / len(family))
        return found

    return local


@pytest.mark.parametrize("gammas", [(0.5, 0.3, 1), (0, 0.9, 0.5), (1, 0.5, 1), (1, 1, 1)])
@pytest.mark.parametrize("names", [("holm",) * 3, ("hochberg", "hommel", "holm")])
def test_parallel_gatekeeping_is_its_closed_test(names: Any, gammas: Any) -> None:
    families, p = [[4, 1], [0, 3, 5], [2]], random_p(6)[50:90]
    found = mt.gatekeeping(p, families, kind="parallel", procedure=names, gamma=gammas)
    local = gate_local(families, names, gammas)
    np.testing.assert_allclose(found, [closed_test(row, local) for row in p], rtol=1e-12)


def stage_by_stage(p: Array, families: Sequence[Sequence[int]], gammas: Sequence[float], alpha: float) -> list[bool]:
    """Truncated Holm in each family in turn, at the alpha that the families before have left over."""
    rejected = [False] * len(p)
    for family, gamma in zip(families, gammas, strict=True):
        n = len(family)
        for step, i in enumerate(sorted(family, key=lambda i: p[i])):
            if p[i] >= alpha * (gamma / (n - step) + (1 - gamma) / n):
                break
            rejected[i] = True
        kept = n - sum(rejected[i] for i in family)
        alpha *= 0 if kept == n else 1 - (gamma + (1 - gamma) * kept / n) * (kept > 0)
    return rejected


@pytest.mark.parametrize("gammas", [(0.5, 0.3, 1), (0, 0.9, 1), (0.7, 1, 1)])
def test_parallel_gatekeeping_is_its_stagewise_procedure(gammas: Any) -> None:
    families, p = [[4, 1], [0, 3, 5], [2]], random_p(6) / 3
    adjusted = mt.gatekeeping(p, families, kind="parallel", procedure="holm", gamma=gammas)
    for alpha in (0.0237, 0.0513, 0.151):
        expected = [stage_by_stage(row, families, gammas, alpha) for row in p]
        assert ((adjusted < alpha) == expected).all()
        assert 0.02 < np.mean(expected) < 0.98


@pytest.mark.parametrize("name", ["bonferroni", "holm", "hochberg", "hommel"])
def test_serial_gatekeeping_waits_for_all(name: Any) -> None:
    p, families = random_p(5) / 4, [[3, 0], [1, 4], [2]]
    adjusted = mt.gatekeeping(p, families, kind="serial", procedure=name)
    adjust = getattr(mt, name)
    for alpha in (0.031, 0.11):
        open_gate = np.ones(len(p), dtype=bool)
        for family in families:
            expected = (adjust(p[:, family]) < alpha) & open_gate[:, None]
            assert ((adjusted[:, family] < alpha) == expected).all()
            open_gate = expected.all(axis=1)


def weights_of(some: Sequence[int], weights: Sequence[float], moves: Array) -> dict[int, float]:
    """Weights of an intersection: the other hypotheses leave the graph one by one, by the rules of Bretz 2009."""
    w, g, there = list(weights), moves.copy(), list(range(len(weights)))
    for j in [i for i in there if i not in some][::-1]:
        there.remove(j)
        w = [w[i] + w[j] * g[j, i] for i in range(len(w))]
        new = np.zeros_like(g)
        for a in there:
            for b in there:
                loop = g[a, j] * g[j, a]
                if a != b and loop < 1 - 1e-9:
                    new[a, b] = (g[a, b] + g[a, j] * g[j, b]) / (1 - loop)
        g = new
    return {i: w[i] for i in there}


@pytest.mark.parametrize("seed", range(6))
def test_a_graph_is_its_closed_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 4
    weights = rng.dirichlet(np.ones(n)) * rng.choice([1, 0.8]) * rng.integers(0, 2, n)
    moves = rng.dirichlet(np.full(n, 0.4), size=n) * (1 - np.eye(n))

    def local(some: Sequence[int], p: Array) -> float:
        shares = weights_of(some, weights.tolist(), moves)
        return min(p[i] / shares[i] if shares[i] > 0 else 1.0 for i in some)

    p = random_p(n, seed)[40:80]
    np.testing.assert_allclose(graphical(p, weights, moves), [closed_test(row, local) for row in p], rtol=1e-10)
