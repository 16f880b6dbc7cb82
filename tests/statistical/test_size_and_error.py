"""Size, assurance and family-wise error of a trial whose power is known in closed form: two or more arms of equal
size, one visit, normal changes, everybody answers. Each check is shown to fail in a world that is a little different."""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

import numpy as np
import pytest
from designs import Data, design, usual
from helpers import Z, agrees, se_of_share
from scipy import integrate, stats

from trialsim.design.parts import Design
from trialsim.experiments.closed_forms import ancova_factor, means_power, size_for
from trialsim.experiments.decisions import decide, family_wise_error, power_rows
from trialsim.experiments.nulls import null_designs
from trialsim.experiments.runner import run
from trialsim.experiments.search import Z95, Answer
from trialsim.experiments.size import assurance, find_size, read_prior

SD, ERROR_SD = 5.0, 5.0
CHANGE_SD = sqrt(2) * ERROR_SD
RHO = SD**2 / (SD**2 + ERROR_SD**2)
"""Correlation of baseline and follow-up."""
FINE: Data = {"low": -100.0, "high": 100.0, "items": 10, "mean": 0.0, "sd": SD, "error_sd": ERROR_SD}
"""Bounds 14 standard deviations away; the grid of 0.1 adds 0.003 % to the variance of a change."""
ALL = 0.999999
"""Share answering; 1 is not allowed."""
EFFECT = -4.0
PATH = "arms.a.effects.pain.by_visit.m3"


def plain(effects: dict[str, float], *, analysis: Data | None = None, **parts: Any) -> Design:
    """Arms with these effects, assigned whatever is attended; t test with the variance pooled over all arms."""
    arms = {
        name: usual(dose="assigned", response_prob={"m3": ALL}, effects={"pain": {"by_visit": {"m3": value}}})
        for name, value in effects.items()
    }
    ratio = dict.fromkeys(effects, 1)
    test = {"kind": "t_test", "outcome": "pain", "equal_variance": True, "multiplicity": "none"}
    given = {
        "sample_size": 60,
        "recruitment": {"sites": {"north": {"rate_per_month": 300.0}}},
        "outcomes": {"pain": FINE},
        "arms": arms,
        "allocation": {"kind": "blocks", "ratio": ratio, "block_sizes": [len(ratio)]},
        "analyses": {"change": test | (analysis or {})},
        **parts,
    }
    return design(**given)


# --- size -------------------------------------------------------------------------------------------------------------


def power_of(n: float, effect: float, sd: float = CHANGE_SD) -> float:
    """The noncentral t distribution, minus the far tail: a difference in the wrong direction is no success."""
    shift, df = abs(effect) / (sd * sqrt(4 / n)), n - 2
    return float(stats.nct.sf(stats.t.ppf(0.975, df), df, shift))


def near(answer: Answer, expected: float) -> bool:
    """Whether the expected size lies in the answer's interval, made Z standard errors wide."""
    low = answer.x_hat - Z / Z95 * (answer.x_hat - answer.ci_low)
    high = answer.x_hat + Z / Z95 * (answer.ci_high - answer.x_hat)
    return low <= expected <= high


@pytest.mark.parametrize(
    ("analysis", "sd"),
    [
        ({}, CHANGE_SD),
        ({"kind": "ancova", "covariates": ["baseline"]}, sqrt((SD**2 + ERROR_SD**2) * float(ancova_factor(RHO)))),
    ],
    ids=["t_test", "ancova"],
)
def test_the_size_is_that_of_the_closed_form(analysis: Data, sd: float) -> None:
    plan = {"kind": "ancova", "outcome": "pain", "multiplicity": "none", **analysis} if analysis else None
    parts = {"analyses": {"change": plan}} if plan else {}
    expected = size_for(lambda n: power_of(n, EFFECT, sd), 0.9, low=4.0)
    found = find_size(plain({"a": EFFECT, "b": 0.0}, **parts), power=0.9, mcse=0.008, seed=3)
    assert found.answer.stopped == "mcse reached"
    assert near(found.answer, expected)
    assert found.answer.ci_high - found.answer.ci_low < 0.2 * expected
    wrong = find_size(plain({"a": 1.25 * EFFECT, "b": 0.0}, **parts), power=0.9, mcse=0.008, seed=3)
    assert not near(wrong.answer, expected)


def test_the_far_tail_does_not_matter_here() -> None:
    """The library's closed form counts both tails."""
    n = size_for(lambda n: means_power(EFFECT, CHANGE_SD, n / 2, n / 2), 0.9, low=4.0)
    assert power_of(n, EFFECT) == pytest.approx(0.9, abs=1e-6)


def test_the_effect_that_can_be_found_with_a_given_size() -> None:
    """Power falls as the effect rises to 0; two-sided power of the closed form is inverted for the effect."""
    expected = -size_for(lambda size: power_of(100, size), 0.8, low=0.01)
    found = find_size(
        plain({"a": -1.0, "b": 0.0}, sample_size=100), power=0.8, path=PATH, low=-8.0, high=-0.5, mcse=0.01, seed=4
    )
    assert near(found.answer, expected)
    wrong = find_size(
        plain({"a": -1.0, "b": 0.0}, sample_size=150), power=0.8, path=PATH, low=-8.0, high=-0.5, mcse=0.01, seed=4
    )
    assert not near(wrong.answer, expected)


def test_dropout_asks_for_more_participants() -> None:
    """Four in five answer, so the size is a quarter larger, but for random numbers in the arms, which cost little."""
    answers = {"response_prob": {"m3": 0.8}, "dose": "assigned"}
    effect = {"pain": {"by_visit": {"m3": EFFECT}}}
    d = plain({"a": EFFECT, "b": 0.0}, arms={"a": usual(effects=effect, **answers), "b": usual(**answers)})

    def averaged(n: float) -> float:
        """Power averaged over how many answer in each arm of n / 2."""
        m = np.arange(round(n / 2) + 1)
        share = stats.binom.pmf(m, round(n / 2), 0.8)
        a, b = np.meshgrid(m[share > 1e-6], m[share > 1e-6])
        error, df = CHANGE_SD * np.sqrt(1 / a + 1 / b), a + b - 2
        power = stats.nct.sf(stats.t.ppf(0.975, df), df, abs(EFFECT) / error)
        return float((np.outer(share[share > 1e-6], share[share > 1e-6]) * power).sum())

    found = find_size(d, power=0.9, mcse=0.01, seed=5)
    complete = size_for(lambda n: power_of(n, EFFECT), 0.9, low=4.0)
    expected = min(n for n in range(2 * round(complete / 2), 300, 2) if averaged(n) >= 0.9)
    assert 1.2 < expected / complete < 1.3
    assert near(found.answer, expected)
    assert not near(found.answer, complete)


# --- assurance --------------------------------------------------------------------------------------------------------


def expected_power(n: float, mean: float, sd: float) -> float:
    """The closed form integrated over a normal prior of the effect; only effects below 0 are successes."""

    def density(effect: float) -> float:
        shift, df = -effect / (CHANGE_SD * sqrt(4 / n)), n - 2
        return float(stats.nct.sf(stats.t.ppf(0.975, df), df, shift) * stats.norm.pdf(effect, mean, sd))

    return float(integrate.quad(density, mean - 8 * sd, mean + 8 * sd)[0])


def test_assurance_is_the_closed_form_integrated_over_the_prior() -> None:
    found = assurance(plain({"a": EFFECT, "b": 0.0}, sample_size=130), [read_prior(f"{PATH}=normal(-4, 2)")], seed=6)
    expected = expected_power(130, -4.0, 2.0)
    nodes = abs(midpoints(130, -4.0, 2.0, len(found.nodes)) - expected)
    assert nodes < found.mcse / 4  # what the nodes leave is small beside the replicates' error
    assert agrees(found.value, expected, found.mcse)
    assert agrees(found.power, power_of(130, EFFECT), found.power_mcse)
    assert not agrees(found.value, power_of(130, EFFECT), found.mcse)  # power at the mean is not expected power
    assert not agrees(found.value, expected_power(130, -4.0, 3.5), found.mcse)  # another prior


def midpoints(n: float, mean: float, sd: float, nodes: int) -> float:
    effects = stats.norm(mean, sd).ppf((np.arange(nodes) + 0.5) / nodes)
    shift = -effects / (CHANGE_SD * sqrt(4 / n))
    return float(stats.nct.sf(stats.t.ppf(0.975, n - 2), n - 2, shift).mean())


# --- family-wise error ------------------------------------------------------------------------------------------------

N = 4000
ALPHA = 0.05
KINDS = ("none", "bonferroni", "holm", "hochberg", "hommel", "lsd", "fixed_sequence", "dunnett", "dunnett_step_down")
PAIRS = [["a", "b"], ["a", "c"], ["b", "c"]]
TO_CONTROL = [["a", "c"], ["b", "c"]]


def deciding(effects: dict[str, float], **parts: Any) -> Design:
    """All pairs under every procedure; against one arm for Dunnett's."""
    hypotheses = {f"{a}{b}": f"{a} beats {b}" for a, b in PAIRS if a in effects and b in effects}
    to_control = {f"{a}{b}": f"{a} beats {b}" for a, b in TO_CONTROL if a in effects}
    decisions = {}
    for kind in KINDS:
        family = to_control if kind.startswith("dunnett") and len(effects) > 2 else hypotheses
        decisions[kind] = {"analysis": "change", "hypotheses": family, "procedure": {"kind": kind}}
    return plain(effects, decisions=decisions, **parts)


@cache
def errors(effects: tuple[tuple[str, float], ...]) -> dict[tuple[Any, str], tuple[float, float, int]]:
    """Family-wise error by classes of equal arms and procedure."""
    found = {}
    for parts, null in null_designs(deciding(dict(effects))):
        estimates = run(null, replicates=N, seed=7).estimates
        assert estimates is not None
        for name in null.decisions:
            error = family_wise_error(decide(null, name, estimates), parts)
            if error is not None:
                found[parts, name] = error
    return found


MCSE = float(se_of_share(ALPHA, N))


def test_one_comparison_of_two_equal_arms_has_the_level_under_every_procedure() -> None:
    found = errors((("a", 0.0), ("b", 0.0)))
    assert len(found) == len(KINDS)
    assert {n for _, _, n in found.values()} == {N}
    assert all(agrees(value, ALPHA, MCSE) for value, _, _ in found.values())


THREE = (("a", EFFECT), ("b", EFFECT / 2), ("c", 0.0))
EQUAL = (("a", "b", "c"),)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_procedures_keep_the_level_with_three_arms_under_every_null(kind: str) -> None:
    found = {parts: value for (parts, name), (value, _, _) in errors(THREE).items() if name == kind}
    assert len(found) == (3 if kind.startswith("dunnett") else 4)  # a = b is no hypothesis of Dunnett's
    assert all(value <= ALPHA + Z * MCSE for value in found.values())
    if kind.startswith("dunnett"):  # exact
        assert agrees(found[EQUAL], ALPHA, MCSE)
    if kind == "lsd":  # the test of all arms is exact, and some pair nearly always goes with it
        assert found[EQUAL] > ALPHA / 2


@pytest.mark.slow
def test_without_a_procedure_the_level_is_not_kept() -> None:
    """The wrong world: three tests at full level. By Tukey's studentised range 0.122 for many participants."""
    value, mcse, _ = errors(THREE)[EQUAL, "none"]
    assert value > ALPHA + Z * MCSE
    limit = sqrt(2) * stats.t.ppf(1 - ALPHA / 2, 57)
    assert agrees(value, stats.studentized_range.sf(limit, 3, 57), mcse)


@pytest.mark.slow
def test_bonferroni_under_the_complete_null_by_the_studentised_range() -> None:
    value, mcse, _ = errors(THREE)[EQUAL, "bonferroni"]
    limit = sqrt(2) * stats.t.ppf(1 - ALPHA / 6, 57)
    assert agrees(value, stats.studentized_range.sf(limit, 3, 57), mcse)


@pytest.mark.slow
def test_fisher_does_not_protect_three_equal_arms_of_four() -> None:
    """The arm that differs opens the gate, and three tests at full level follow."""
    effects = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 3 * EFFECT}
    hypotheses = {f"{a}{b}": f"{a} beats {b}" for a, b in PAIRS}
    given = {kind: {"analysis": "change", "hypotheses": hypotheses, "procedure": {"kind": kind}} for kind in KINDS[:6]}
    d = plain(effects, sample_size=80, decisions=given)
    estimates = run(d, replicates=N, seed=8).estimates
    assert estimates is not None
    parts = (("a", "b", "c"), ("d",))
    found = {name: family_wise_error(decide(d, name, estimates), parts) for name in ("lsd", "holm")}
    assert found["lsd"] is not None
    assert found["holm"] is not None
    assert found["lsd"][0] > ALPHA + Z * MCSE
    assert found["holm"][0] <= ALPHA + Z * MCSE


# --- power of decisions -----------------------------------------------------------------------------------------------


def test_marginal_power_of_a_decision_is_the_closed_form() -> None:
    """One hypothesis of two arms, in favour of the first."""
    d = deciding({"a": EFFECT, "b": 0.0})
    estimates = run(d, replicates=2000, seed=9).estimates
    assert estimates is not None
    rows = {row.statistic: row for row in power_rows(decide(d, "none", estimates))}
    for statistic in ("marginal power", "disjunctive power", "conjunctive power", "success"):
        assert agrees(rows[statistic].value, power_of(60, EFFECT), rows[statistic].mcse)
        assert not agrees(rows[statistic].value, power_of(60, 1.2 * EFFECT), rows[statistic].mcse)
