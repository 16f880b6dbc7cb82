"""The truth beside analyses of every kind of outcome: worked out by hand, met by the estimates, and used by decisions
and by the search for a size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from designs import Data, design, merged, online, score, usual
from helpers import Array, agrees, run, se_of_mean, se_of_share

from trialsim.analysis.estimates import RATIOS, Estimates
from trialsim.analysis.plan import analyse_block
from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.experiments.decisions import decide
from trialsim.experiments.size import find_size

VISITS: Data = {"w9": {"day": 63, "closes": 20}, "m6": {"day": 183}, "m12": {"day": 365}}
DAYS = [63, 183, 365]
MONTHLY: Data = {"w9": 0.06, "m6": 0.04, "m12": 0.03}
OUTCOMES: Data = {
    "pain": score(),
    "work": {"kind": "binary", "prob": 0.4},
    "sleep": {"kind": "ordinal", "levels": {"bad": 0.3, "fair": 0.4, "good": 0.3}, "responder_from": "fair"},
    "emergency": {"kind": "count", "rate_per_year": 1.5, "sd": 0.6, "source": "record"},
    "back": {"kind": "event", "hazard": MONTHLY, "sd": 0.5, "source": "record"},
    "opioid": {
        "kind": "dose", "users": "user", "median": 40.0, "sd": 0.5, "stop_hazard": MONTHLY, "resume_hazard": MONTHLY,
    },
}  # fmt: skip
EFFECT = {"work": 0.5, "sleep": 0.5, "emergency": -0.5, "back": 0.5, "opioid": -0.3}
ANALYSES: dict[str, Data] = {
    "work_value": {"kind": "linear", "outcome": "work", "endpoint": "value"},
    "work_change": {"kind": "t_test", "outcome": "work"},
    "work": {"kind": "logistic", "outcome": "work"},
    "sleep": {"kind": "modified_poisson", "outcome": "sleep"},
    "opioid_value": {"kind": "ancova", "outcome": "opioid", "endpoint": "value", "covariates": ["baseline"]},
    "opioid": {"kind": "gee", "outcome": "opioid", "endpoint": "response"},
    "emergency_value": {"kind": "mmrm", "outcome": "emergency", "endpoint": "value"},
    "rate": {"kind": "counts", "outcome": "emergency", "endpoint": "events"},
    "rate_w9": {"kind": "counts", "outcome": "emergency", "endpoint": "events", "visits": ["w9"]},
    "back": {"kind": "proportions", "outcome": "back"},
    "time": {"kind": "rmst", "outcome": "back"},
    "time_200": {"kind": "rmst", "outcome": "back", "until_day": 200.0},
    "cox": {"kind": "cox", "outcome": "back"},
}


def trial(factor: float = 1.0, **changes: Any) -> Design:
    """Two arms; the one moves every outcome but pain; answers are missing at random."""
    effects = {name: {"by_visit": dict.fromkeys(VISITS, factor * value)} for name, value in EFFECT.items()}
    tapers = {"opioid": {"prob": 0.5, "days": 14}} if factor > 0 else {}
    data = {
        "sample_size": 300,
        "recruitment": {"sites": {"north": {"rate_per_month": 900.0}}},
        "visits": VISITS,
        "covariates": {"user": {"kind": "binary", "prob": 0.5}},
        "outcomes": OUTCOMES,
        "arms": {"a": online(sessions=1, arm={"effects": effects, "tapers": tapers}), "b": usual()},
        "analyses": {name: {"multiplicity": "none", **one} for name, one in ANALYSES.items()},
    }
    return design(**merged(data, **changes))


@pytest.fixture(scope="module")
def block() -> Block:
    return run(trial(), n=160, seed=2)


@pytest.fixture(scope="module")
def found(block: Block) -> Estimates:
    return analyse_block(block)


def column(estimates: Estimates, analysis: str, contrast: str, visit: str, measure: str, what: str) -> Array:
    place = estimates.place(analysis=analysis, contrast=contrast, visit=visit, measure=measure)
    assert place is not None
    return np.asarray(getattr(estimates, what)[:, place])


# --- by hand ----------------------------------------------------------------------------------------------------------

ByHand = Callable[[Array, Array, Array | None], float]
"""The mean of an arm from values (V, N), baselines (N,) and days to an event (N,)."""
AT_M6 = 1
TRUTHS: dict[tuple[str, str, str], ByHand] = {
    ("work_value", "m6", "adjusted mean"): lambda value, *_: value[AT_M6].mean(),
    ("work_change", "m6", "adjusted mean change"): lambda value, base, _: (value[AT_M6] - base).mean(),
    ("work", "m6", "adjusted percentage"): lambda value, *_: 100 * (value[AT_M6] == 1).mean(),
    ("sleep", "m6", "adjusted percentage"): lambda value, *_: 100 * (value[AT_M6] >= 1).mean(),
    ("opioid_value", "m6", "adjusted mean"): lambda value, *_: value[AT_M6].mean(),
    ("opioid", "m6", "adjusted percentage"): lambda value, *_: 100 * (value[AT_M6] == 0).mean(),
    ("emergency_value", "m6", "adjusted mean"): lambda value, *_: value[AT_M6].mean(),
    ("rate", "m12", "adjusted mean count"): lambda value, *_: value.sum(axis=0).mean() / (365 / 365.25),
    ("rate_w9", "w9", "adjusted mean count"): lambda value, *_: value[0].mean() / (63 / 365.25),
    ("back", "m6", "adjusted percentage"): lambda value, *_: 100 * (value[AT_M6] == 1).mean(),
    ("time", "m12", "mean time"): lambda _, __, day: np.minimum(day, 365).mean(),
    ("time_200", "m12", "mean time"): lambda _, __, day: np.minimum(day, 200).mean(),
}


@pytest.mark.parametrize("label", list(TRUTHS), ids=[name for name, *_ in TRUTHS])
def test_the_truth_is_the_mean_of_the_potential_outcomes(
    label: tuple[str, str, str], block: Block, found: Estimates
) -> None:
    analysis, visit, measure = label
    k = list(OUTCOMES).index(ANALYSES[analysis]["outcome"])
    outcomes, baseline = block.outcomes, block.plan.cohort.baseline[k]
    days = outcomes.event_day.get(k)
    for r in range(3):
        for a, arm in enumerate(("a", "b")):
            day = None if days is None else days[a, :, r]
            expected = TRUTHS[label](outcomes.potential[k, a, :, :, r].astype(float), baseline[:, r].astype(float), day)
            assert column(found, analysis, arm, visit, measure, "truth")[r] == pytest.approx(expected)


def test_measures_of_binary_outcomes_follow_from_the_risks(found: Estimates) -> None:
    p, q = (column(found, "work", arm, "m12", "adjusted percentage", "truth") / 100 for arm in ("a", "b"))
    expected = {"risk difference": 100 * (p - q), "risk ratio": p / q, "odds ratio": p / (1 - p) / (q / (1 - q))}
    for measure, truth in expected.items():
        assert column(found, "work", "a - b", "m12", measure, "truth") == pytest.approx(truth)
    assert column(found, "work_value", "a - b", "m12", "mean difference", "truth") == pytest.approx(p - q)


def test_hazard_ratios_have_no_truth(found: Estimates) -> None:
    assert np.isnan(column(found, "cox", "a - b", "m12", "hazard ratio", "truth")).all()
    assert np.isfinite(column(found, "cox", "a - b", "m12", "hazard ratio", "estimate")).all()


# --- estimates --------------------------------------------------------------------------------------------------------

COMPARED = [
    ("work_value", "m6", "mean difference"), ("work_change", "m6", "mean difference"), ("work", "m6", "odds ratio"),
    ("sleep", "m6", "risk ratio"), ("opioid_value", "m6", "mean difference"), ("opioid", "m6", "risk difference"),
    ("emergency_value", "m6", "mean difference"), ("rate", "m12", "rate ratio"), ("rate_w9", "w9", "rate ratio"),
    ("back", "m12", "risk difference"), ("time", "m12", "mean time difference"),
    ("time_200", "m12", "mean time difference"),
]  # fmt: skip


@pytest.fixture(scope="module")
def other_world() -> Estimates:
    """The arm's effects are the other way round."""
    return analyse_block(run(trial(factor=-1.0), n=16, seed=2))


@pytest.mark.parametrize("label", COMPARED, ids=[name for name, *_ in COMPARED])
def test_estimates_meet_the_truth(label: tuple[str, str, str], found: Estimates, other_world: Estimates) -> None:
    """Means over replicates of estimate minus truth; ratios by their logarithms, whose bias is of order 1 / n."""
    analysis, visit, measure = label

    def numbers(estimates: Estimates, what: str) -> Array:
        values = column(estimates, analysis, "a - b", visit, measure, what)
        return np.log(values) if measure in RATIOS else values

    gap = numbers(found, "estimate") - numbers(found, "truth")
    assert agrees(gap.mean(), 0.0, se_of_mean(gap))
    assert not agrees(numbers(found, "estimate").mean(), numbers(other_world, "truth").mean(), se_of_mean(gap))


def test_withdrawal_leaves_records_of_the_time_before() -> None:
    """People withdraw at random: their events until then count, and rates stay what they are."""
    leaves = trial(arms={arm: {"withdrawal_prob": 0.3} for arm in ("a", "b")})
    block = run(leaves, n=64, seed=3)
    found = analyse_block(block)
    known = block.observed.seen["emergency"][block.observed.arm >= 0]
    assert known.mean(axis=0)[0] > known.mean(axis=0)[2] + 0.1
    for analysis, visit, measure in (("rate", "m12", "rate ratio"), ("time_200", "m12", "mean time difference")):
        gap, truth = (column(found, analysis, "a - b", visit, measure, what) for what in ("estimate", "truth"))
        gap = np.log(gap / truth) if measure in RATIOS else gap - truth
        assert agrees(gap.mean(), 0.0, se_of_mean(gap))


# --- decisions and size -----------------------------------------------------------------------------------------------


def deciding() -> Design:
    """Two hypotheses about two kinds of outcome, and a rule about both."""
    decision = {
        "analysis": "rate",
        "hypotheses": {"fewer": "a beats b", "sooner": "a beats b in cox", "early": "a beats b in rate_w9"},
        "procedure": {"kind": "none"},
        "success": "a beats b and a beats b in cox",
    }
    return trial(factor=0.6, decisions={"primary": decision})


def test_decisions_take_rates_and_times() -> None:
    """Fewer events and earlier ones favour the first arm; a rate belongs to the last visit that it looks at."""
    plan = deciding()
    estimates = analyse_block(run(plan, n=64, seed=4))
    decided = decide(plan, "primary", estimates)
    assert [h.visit for h in decided.hypotheses] == ["m12", "m12", "w9"]

    def wins(analysis: str, visit: str, measure: str, *, low: bool) -> Array:
        p, estimate = (column(estimates, analysis, "a - b", visit, measure, what) for what in ("p_value", "estimate"))
        return (p < 0.05) & ((estimate < 1) == low)

    expected = [
        wins("rate", "m12", "rate ratio", low=True),
        wins("cox", "m12", "hazard ratio", low=False),
        wins("rate_w9", "w9", "rate ratio", low=True),
    ]
    assert np.array_equal(decided.favourable, np.stack(expected, axis=1))
    assert np.array_equal(decided.success, expected[0] & expected[1])
    assert 0 < decided.success.mean() < expected[0].mean()


@pytest.mark.parametrize("question", ["a vs b in rate", "a vs b in time"])
def test_a_size_is_found_for_rates_and_times(question: str) -> None:
    found = find_size(deciding(), question=question, power=0.8, mcse=0.05, max_replicates=2000, seed=5)
    assert found.answer.stopped == "mcse reached"
    sized = deciding().model_copy(update={"sample_size": round(found.answer.x_hat)})
    name, measure = ("rate", "rate ratio") if "rate" in question else ("time", "mean time difference")
    p = column(analyse_block(run(sized, n=160, seed=6)), name, "a - b", "m12", measure, "p_value")
    assert agrees((p < 0.05).mean(), 0.8, np.hypot(0.05, se_of_share(0.8, 160)))
