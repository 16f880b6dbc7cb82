"""Superiority, non-inferiority and equivalence by hand; who is declared different under each rule of multiplicity."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from designs import THREE_VISITS, coached, design, online, score, usual
from helpers import Array, run
from scipy import stats

from trialsim.analysis import dunnett, multiplicity
from trialsim.analysis.estimates import RATIOS, Estimates
from trialsim.analysis.hypotheses import better_is_higher, declared, dunnett_p, margin_p
from trialsim.analysis.inference import Estimate, quantile
from trialsim.analysis.plan import analyse_block
from trialsim.design.outcomes import Binary, Outcome, Score
from trialsim.design.parts import Design

NAN = np.nan


def question(hypothesis: str, margin: float | None = None, **keys: Any) -> Any:
    """What `hypotheses` reads of an analysis."""
    given = {"alpha": 0.05, "multiplicity": "none"}
    return SimpleNamespace(hypothesis=hypothesis, margin=margin, **{**given, **keys})


def estimated(estimate: Any, error: Any, df: Any, *, ratio: bool = False, alpha: float = 0.05) -> Estimate:
    """An estimate with its interval; `estimate` is on the working scale."""
    value, error, df = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (estimate, error, df)))
    reach = quantile(alpha, df) * error
    low, high = value - reach, value + reach
    if ratio:
        return Estimate(np.exp(value), error, df, np.exp(low), np.exp(high), np.full_like(value, NAN))
    return Estimate(value, error, df, low, high, np.full_like(value, NAN))


# --- p values by hand -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("better", "sign"), [("higher", 1.0), ("lower", -1.0)])
def test_non_inferiority_of_a_difference(better: str, sign: float) -> None:
    """0.3 in the wrong direction, margin 1, standard error 0.4: 1.75 standard errors above the margin."""
    found = estimated(-0.3 * sign, 0.4, 20.0)
    p = margin_p(question("non_inferiority", 1.0), "mean difference", found, 1.0, higher=better == "higher")
    assert p == pytest.approx(stats.t.sf(1.75, 20))
    assert margin_p(question("non_inferiority", 0.3), "mean difference", found, 1.0, higher=better == "higher") == 0.5


@pytest.mark.parametrize(("better", "sign"), [("higher", 1.0), ("lower", -1.0)])
def test_non_inferiority_of_a_ratio(better: str, sign: float) -> None:
    found = estimated(-sign * np.log(1.1), 0.05, np.inf, ratio=True)
    p = margin_p(question("non_inferiority", 1.25), "risk ratio", found, 1.0, higher=better == "higher")
    assert p == pytest.approx(stats.norm.sf((np.log(1.25) - np.log(1.1)) / 0.05))


def test_margins_of_percentages_are_percentage_points() -> None:
    found = estimated(-0.03, 0.02, np.inf)
    p = margin_p(question("non_inferiority", 10.0), "risk difference", found, 100.0, higher=True)
    assert p == pytest.approx(stats.norm.sf((0.10 - 0.03) / 0.02))


def test_equivalence_is_two_one_sided_tests() -> None:
    found = estimated([0.3, -0.3, 0.0], 0.4, 20.0)
    p = margin_p(question("equivalence", 1.0), "mean difference", found, 1.0, higher=False)
    assert p == pytest.approx(stats.t.sf([0.7 / 0.4, 0.7 / 0.4, 1 / 0.4], 20))


def test_equivalence_of_a_ratio_has_the_margin_and_its_inverse() -> None:
    found = estimated(np.log([1.1, 1 / 1.1]), 0.05, np.inf, ratio=True)
    p = margin_p(question("equivalence", 1.25), "risk ratio", found, 1.0, higher=True)
    assert p == pytest.approx(stats.norm.sf((np.log(1.25) - np.log(1.1)) / 0.05 * np.ones(2)))


@pytest.mark.parametrize("hypothesis", ["non_inferiority", "equivalence"])
@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize(
    ("measure", "scale"), [("mean difference", 1.0), ("risk difference", 100.0), ("risk ratio", 1.0)]
)
def test_significant_if_and_only_if_the_interval_lies_within_the_margins(
    hypothesis: str, better: str, measure: str, scale: float
) -> None:
    alpha, ratio = 0.1, measure in RATIOS
    grid = np.array(list(product(np.linspace(-2, 2, 41), [0.1, 0.5, 1.1], [3.0, 40.0, np.inf])))
    found = estimated(*grid.T, ratio=ratio, alpha=alpha)
    margin = float(np.exp(1.0)) if ratio else scale
    analysis = question(hypothesis, margin, alpha=alpha)
    p = margin_p(analysis, measure, found, scale, higher=better == "higher")
    verdict = declared(analysis, p[:, None], p[:, None], p[:, None], p, [(0, 1)], np.ones((len(p), 2), dtype=np.int64))
    low, high = (np.log(x) if ratio else x for x in (found.ci_low, found.ci_high))
    not_worse, not_better = (low > -1, high < 1) if better == "higher" else (high < 1, low > -1)
    within = not_worse if hypothesis == "non_inferiority" else not_worse & not_better
    assert np.array_equal(verdict[:, 0], within)
    assert 20 < within.sum() < len(within) - 20


def test_which_direction_is_better_unless_it_is_said() -> None:
    falls, rises = (Score(mean=5, better=better) for better in ("lower", "higher"))

    def higher(kind: str, outcome: Outcome = falls, **keys: Any) -> bool:
        return better_is_higher(SimpleNamespace(kind=kind, **{"better": None, **keys}), outcome)

    for kind in ("linear", "t_test", "ancova", "mmrm", "mixed", "cluster_robust", "cluster_means"):
        assert not higher(kind)
        assert higher(kind, rises)
    for outcome in (falls, rises):  # what says in itself what is good
        for kind in ("modified_poisson", "logistic", "log_binomial", "proportions", "chi_squared", "log_rank", "cox"):
            assert higher(kind, outcome)
        assert not higher("rmst", outcome)
        assert higher("counts", outcome, endpoint="response_visits")
        assert not higher("counts", outcome, endpoint="events")
    for kind in ("gee", "complier", "user"):
        assert not higher(kind, endpoint="change")
        assert higher(kind, rises, endpoint="value")
        assert higher(kind, endpoint="response")
    assert not higher("linear", Binary(kind="binary", prob=0.5))
    assert higher("linear", better="higher")
    assert not higher("linear", rises, better="lower")
    assert not higher("cox", better="lower")


# --- through the plan -------------------------------------------------------------------------------------------------

ASKED: dict[str, dict[str, Any]] = {
    "points": {"kind": "ancova", "margin": 0.25},
    "points_up": {"kind": "ancova", "margin": 0.25, "better": "higher"},
    "ratio": {"kind": "modified_poisson", "margin": 1.4},
    "percent": {"kind": "modified_poisson", "margin": 15.0, "margin_measure": "risk difference"},
    "unadjusted": {"kind": "proportions", "margin": 15.0, "better": "lower"},
    "odds": {"kind": "logistic", "margin": 2.0, "margin_measure": "odds ratio"},
    "hazard": {"kind": "cox", "margin": 1.5},
    "days": {"kind": "rmst", "margin": 25.0},
    "rate": {"kind": "counts", "margin": 1.3},
}  # fmt: skip


@pytest.fixture(scope="module")
def margins() -> Estimates:
    """Many trials of two arms that hardly differ, each asked for non-inferiority and for equivalence."""
    analyses = {
        f"{name}_{short}": {
            "outcome": "pain", "multiplicity": "none", "hypothesis": hypothesis, "alpha": 0.2, "until_day": 300.0,
            **given,
        }
        for name, given in ASKED.items()
        for short, hypothesis in (("ni", "non_inferiority"), ("eq", "equivalence"))
    }  # fmt: skip
    for given in analyses.values():
        if given["kind"] != "rmst":
            del given["until_day"]
    effect = {"pain": {"by_visit": dict.fromkeys(THREE_VISITS, -0.2)}}
    trial = design(
        sample_size=160,
        visits=THREE_VISITS,
        outcomes={"pain": score(course=dict.fromkeys(THREE_VISITS, -1.5))},
        arms={"web": online(sessions=3, arm={"effects": effect}), "usual": usual()},
        analyses=analyses,
    )
    return analyse_block(run(trial, n=40, seed=2))


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("short", ["ni", "eq"])
def test_verdicts_of_the_plan_are_those_of_the_interval(name: str, short: str, margins: Estimates) -> None:
    given = ASKED[name]
    higher = given.get("better", "lower" if given["kind"] in ("ancova", "rmst") else "higher") == "higher"
    seen = 0
    mine = [k for k, x in enumerate(margins.labels) if x.analysis == f"{name}_{short}" and " - " in x.contrast]
    measures = list(dict.fromkeys(margins.labels[k].measure for k in mine))
    asked = given.get("margin_measure", measures[0])
    for place in mine:
        measure = margins.labels[place].measure
        verdict, p = margins.significant[:, place], margins.p_value[:, place]
        if measure != asked:
            assert np.isnan(verdict).all()  # a margin belongs to one measure
            assert np.isnan(p).all()
            continue
        sound = margins.converged[:, place]
        low, high = margins.ci_low[sound, place], margins.ci_high[sound, place]
        margin = given["margin"]
        if measure in RATIOS:
            low, high, margin = np.log(low), np.log(high), np.log(margin)
        sides = (low > -margin, high < margin)
        within = (sides[0] & sides[1]) if short == "eq" else sides[0] if higher else sides[1]
        assert np.array_equal(verdict[sound], within)
        assert np.array_equal(p[sound] < 0.1, within)
        seen += int(within.any() and not within.all())
    assert seen > 0


# --- multiplicity -----------------------------------------------------------------------------------------------------

RULES = {
    "bonferroni": multiplicity.bonferroni,
    "holm": multiplicity.holm,
    "hochberg": multiplicity.hochberg,
    "hommel": multiplicity.hommel,
}
PAIRS = [(0, 1), (0, 2), (1, 2)]
P = np.array([[0.01, 0.02, 0.04], [0.02, 0.03, 0.9], [0.017, 0.024, 0.03], [0.9, 0.01, 0.03], [0.01, NAN, 0.02]])
DIFFERENT = {  # at level 0.05, by hand; the last row is unknown where the family must be known
    "none": [[1, 1, 1], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, NAN, 1]],
    "bonferroni": [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0], None],
    "holm": [[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0], None],
    "hochberg": [[1, 1, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], None],
    "hommel": [[1, 1, 1], [1, 0, 0], [1, 1, 1], [0, 1, 0], None],
    "lsd": [[1, 1, 1], [0, 0, 0], [1, 1, 1], [NAN, NAN, NAN], [1, NAN, 1]],
}
GATE = np.array([0.01, 0.2, 0.049, NAN, 0.02])


def verdicts(rule: str, p: Array, *, hypothesis: str = "superiority", alpha: float = 0.05) -> Array:
    nothing = np.full_like(p, NAN)
    n = np.full((len(p), 3), 10)
    analysis = question(hypothesis, multiplicity=rule, alpha=alpha)
    return declared(analysis, p, nothing, nothing, GATE[: len(p)], PAIRS, n)


@pytest.mark.parametrize("rule", DIFFERENT)
def test_who_is_declared_different(rule: str) -> None:
    found = verdicts(rule, P)
    for row, expected in zip(found, DIFFERENT[rule], strict=True):
        if expected is not None:
            np.testing.assert_array_equal(row, expected)
    if rule in RULES:
        adjusted = RULES[rule](P)
        np.testing.assert_array_equal(found, np.where(np.isnan(adjusted), NAN, adjusted < 0.05))
        assert np.isnan(found[4, 1])


def test_tests_against_margins_are_one_sided() -> None:
    """They have half the level, in a family too."""
    p = np.array([[0.02, 0.03, 0.5], [0.008, 0.012, 0.02]])
    np.testing.assert_array_equal(verdicts("none", p, hypothesis="non_inferiority"), [[1, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(verdicts("bonferroni", p, hypothesis="equivalence"), [[0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(verdicts("holm", p, hypothesis="equivalence"), [[0, 0, 0], [1, 1, 1]])


# --- Dunnett ----------------------------------------------------------------------------------------------------------

TO_CONTROL = [(0, 2), (1, 2)]


def test_dunnett_is_that_of_the_multivariate_t() -> None:
    """Unequal arms; the correlation of the two comparisons is the product of the loadings."""
    n = np.array([[20, 35, 50], [40, 10, 15]])
    t, df = np.array([[2.1, -1.9], [0.4, 2.6]]), np.full((2, 2), [[102.0], [62.0]])
    single = dunnett_p(t, df, TO_CONTROL, n, step_down=False)
    for r in range(2):
        a, b, c = n[r]
        rho = np.sqrt(a * b / ((a + c) * (b + c)))
        joint = stats.multivariate_t(shape=[[1, rho], [rho, 1]], df=df[r, 0], seed=1)
        for k in range(2):
            reach = abs(t[r, k])
            box = joint.cdf([reach, reach], lower_limit=[-reach, -reach], maxpts=200_000)
            assert single[r, k] == pytest.approx(1 - box, abs=1e-4)
    stepped = dunnett_p(t, df, TO_CONTROL, n, step_down=True)
    best = np.abs(t).argmax(axis=1)
    other = 1 - best
    rows = np.arange(2)
    assert stepped[rows, best] == pytest.approx(single[rows, best])
    alone = 2 * stats.t.sf(np.abs(t[rows, other]), df[:, 0])
    assert stepped[rows, other] == pytest.approx(np.maximum(alone, stepped[rows, best]))


def test_dunnett_where_something_is_unknown() -> None:
    n = np.array([[20, 20, 20], [20, 20, 0]])
    t, df = np.array([[NAN, 2.5], [2.5, 2.5]]), np.full((2, 2), 50.0)
    found = dunnett_p(t, df, TO_CONTROL, n, step_down=False)
    assert np.isnan(found).all()


@pytest.fixture(scope="module")
def several_arms() -> Design:
    effect = {"pain": {"by_visit": {"m3": -0.6}}}
    arms = {"coach": coached(arm={"effects": effect}), "web": online(arm={"effects": effect}), "usual": usual()}
    shared = {
        "outcome": "pain",
        "kind": "t_test",
        "equal_variance": True,
        "contrasts": [["coach", "usual"], ["web", "usual"]],
    }
    rules = ("none", "lsd", "bonferroni", "holm", "hochberg", "hommel", "dunnett", "dunnett_step_down")
    return design(
        sample_size=150,
        arms=arms,
        allocation={"kind": "simple", "ratio": {"coach": 2, "web": 1, "usual": 1}},
        analyses={rule: {**shared, "multiplicity": rule} for rule in rules},
    )


def test_the_plan_carries_out_every_rule(several_arms: Design) -> None:
    block = run(several_arms, n=48)
    found = analyse_block(block)

    def columns(rule: str, what: str) -> Array:
        places = [k for k, x in enumerate(found.labels) if x.analysis == rule and " - " in x.contrast]
        return np.asarray(getattr(found, what)[:, places])

    p, t = columns("none", "p_value"), columns("none", "estimate") / columns("none", "std_error")
    seen = block.observed.observed[:, :, 0]
    n = np.stack([((block.observed.arm == a) & seen).sum(axis=1) for a in range(3)], axis=1)
    loading = np.sqrt(n[:, :2] / (n[:, :2] + n[:, 2:]))
    df = n.sum(axis=1) - 3.0
    adjusted = {rule: function(p) for rule, function in RULES.items()}
    adjusted["dunnett"] = dunnett.single_step(t, df, loading)
    adjusted["dunnett_step_down"] = dunnett.step_down(t, df, loading)
    shares = {}
    for rule, values in adjusted.items():
        assert np.array_equal(columns(rule, "p_value"), p)  # the pair's own test, whatever the rule
        assert np.array_equal(columns(rule, "significant"), values < 0.05)
        shares[rule] = columns(rule, "significant").mean()
    assert np.array_equal(columns("none", "significant"), p < 0.05)
    assert (
        shares["bonferroni"] <= shares["dunnett"] < shares["dunnett_step_down"] < columns("none", "significant").mean()
    )
    assert shares["bonferroni"] < shares["holm"] <= shares["hochberg"]


def test_dunnett_through_the_plan_is_scipys(several_arms: Design) -> None:
    """Adjusted p values of one trial; scipy's are integrated with random points, hence the width."""
    block = run(several_arms, n=1, seed=3)
    data, y = block.observed, block.observed.value["pain"][0, :, 0] - block.observed.baseline["pain"][0]
    samples = [y[(data.arm[0] == a) & data.observed[0, :, 0]] for a in range(3)]
    scipys = stats.dunnett(samples[0], samples[1], control=samples[2], rng=np.random.default_rng(1)).pvalue
    n = np.array([[len(sample) for sample in samples]])
    pooled = sum(((sample - sample.mean()) ** 2).sum() for sample in samples) / (n.sum() - 3)
    t = [(samples[a].mean() - samples[2].mean()) / np.sqrt(pooled * (1 / n[0, a] + 1 / n[0, 2])) for a in (0, 1)]
    mine = dunnett_p(np.array([t]), np.full((1, 2), n.sum() - 3.0), TO_CONTROL, n, step_down=False)
    assert mine[0] == pytest.approx(scipys, abs=1e-3)
