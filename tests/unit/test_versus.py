"""Two designs on the same luck: paired differences by hand, their error below the unpaired one, refusals."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from designs import Data, coached, design, score, usual

from trialsim.design.parts import Design
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import decide
from trialsim.experiments.runner import Experiment, run
from trialsim.experiments.versus import Difference, compare_designs


def trial(effect: float = -0.6, *, arms: Data | None = None, **parts: Any) -> Design:
    """Coaching against usual care, with an analysis and a decision."""
    coach = coached(coaches=6, caseload=30, arm={"effects": {"pain": {"by_visit": {"m3": effect}}}})
    analysis = {"kind": "linear", "outcome": "pain", "covariates": ["baseline"], "multiplicity": "none"}
    given = {
        "name": "first",
        "sample_size": 80,
        "arms": {"coach": coach, "usual": usual(), **(arms or {})},
        "outcomes": {"pain": score(change_sd=1.2)},
        "analyses": {"change": analysis},
        "decisions": {"main": {"analysis": "change", "hypotheses": {"h": "coach beats usual"}}},
        **parts,
    }
    return design(**given)


@pytest.fixture(scope="module")
def first() -> Experiment:
    return run(trial(), replicates=96, seed=3)


@pytest.fixture(scope="module")
def second() -> Experiment:
    return run(trial(-0.8), replicates=96, seed=3)


def row_of(rows: list[Difference], what: str) -> Difference:
    (found,) = (row for row in rows if row.what == what)
    return found


POWER, SUCCESS = "power, mean difference (change)", "success (main)"


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_power_and_success_by_hand(first: Experiment, second: Experiment) -> None:
    rows = compare_designs(first, second)
    for what, (a, b) in {POWER: significant(first, second), SUCCESS: successes(first, second)}.items():
        row, n, p, q = row_of(rows, what), len(a), a.mean(), b.mean()
        gap = b - a
        assert 0 < p < q < 1
        assert row.first == pytest.approx((p, sqrt(p * (1 - p) / n)))
        assert row.second == pytest.approx((q, sqrt(q * (1 - q) / n)))
        assert row.difference == pytest.approx((q - p, sqrt(((gap - gap.mean()) ** 2).sum() / (n - 1) / n)))
        assert row.unpaired_mcse == pytest.approx(sqrt((p * (1 - p) + q * (1 - q)) / n))
        assert row.n_replicates == n == 96
    assert (row_of(rows, POWER).contrast, row_of(rows, POWER).visit) == ("coach - usual", "m3")


def significant(*experiments: Experiment) -> list[np.ndarray]:
    found = []
    for experiment in experiments:
        assert experiment.estimates is not None
        place = experiment.estimates.place(
            analysis="change", contrast="coach - usual", visit="m3", measure="mean difference"
        )
        found.append(experiment.estimates.significant[:, place])
    return found


def successes(*experiments: Experiment) -> list[np.ndarray]:
    return [decide(one.design, "main", one.estimates).success for one in experiments if one.estimates is not None]


def test_what_is_counted_of_the_trial(first: Experiment) -> None:
    """A design with fewer sessions needs fewer coach hours; enrolment is the same to the day."""
    coach = coached(sessions=4, coaches=6, caseload=30, arm={"effects": {"pain": {"by_visit": {"m3": -0.6}}}})
    shorter = run(trial(arms={"coach": coach}), replicates=96, seed=3)
    rows = compare_designs(first, shorter)
    hours = row_of(rows, "coach hours")
    names = [name for name in first.measures if name.startswith("coaches/") and name.endswith("/hours")]
    mine, its = (sum(one.measures[name] for name in names) for one in (first, shorter))
    gap = its - mine
    assert hours.difference == pytest.approx((gap.mean(), gap.std(ddof=1) / sqrt(96)))
    assert hours.difference[0] < -hours.difference[1] * 4.5
    assert row_of(rows, "months to enrol").difference == (0.0, 0.0)
    assert row_of(rows, "months to enrol").unpaired_mcse > 0


# --- the same luck ----------------------------------------------------------------------------------------------------


def test_pairing_pays_for_a_changed_effect(first: Experiment, second: Experiment) -> None:
    for what in (POWER, SUCCESS):
        row = row_of(compare_designs(first, second), what)
        assert 0 < row.difference[1] < 0.8 * row.unpaired_mcse


def test_pairing_does_not_pay_without_the_same_luck(first: Experiment) -> None:
    """The deliberately wrong world: other replicates of the same design, numbered as if they were the same."""
    other = replace(run(trial(-0.8), replicates=96, first=96, seed=3), replicates=first.replicates)
    row = row_of(compare_designs(first, other), POWER)
    assert row.difference[1] > 0.8 * row.unpaired_mcse


def test_identical_designs_do_not_differ(first: Experiment) -> None:
    """No replicate differs; a share's difference then has the error of one in n + 2 that would."""
    for row in compare_designs(first, first):
        share = row.what.startswith(("power", "success"))
        assert row.first == row.second
        assert row.difference == (0.0, pytest.approx(sqrt(1 / 98 / 96)) if share else 0.0)


def test_replicates_are_paired_by_number(first: Experiment) -> None:
    later = run(trial(), replicates=64, first=64, seed=3)
    rows = compare_designs(first, later)
    assert {row.n_replicates for row in rows} == {32}
    assert {row.difference[0] for row in rows} == {0.0}


def test_other_seeds_are_refused(first: Experiment) -> None:
    with pytest.raises(ResultsError, match="different seeds, so their replicates share no luck"):
        compare_designs(first, run(trial(), replicates=16, seed=4))


# --- what the designs do not share ------------------------------------------------------------------------------------


def test_failed_fits_are_left_out_of_their_rows_alone(first: Experiment, second: Experiment) -> None:
    assert first.estimates is not None
    significance = first.estimates.significant.copy()
    significance[:5] = np.nan
    holes = replace(first, estimates=replace(first.estimates, significant=significance))
    rows = compare_designs(holes, second)
    assert row_of(rows, POWER).n_replicates == 91
    assert row_of(rows, SUCCESS).n_replicates == 96
    a, b = significant(first, second)
    assert row_of(rows, POWER).difference[0] == pytest.approx((b - a)[5:].mean())


def test_only_what_both_designs_have_is_compared(first: Experiment) -> None:
    plain = run(trial(analyses={}, decisions={}), replicates=32, seed=3)
    expected = ["participants randomized", "months to enrol", "days to the last visit", "coach hours", "total cost"]
    rows = compare_designs(first, plain)
    assert {row.what for row in rows} <= set(expected)
    assert "coach hours" in {row.what for row in rows}
    analyses = {"change": {"kind": "t_test", "outcome": "pain", "multiplicity": "none"}}
    other = run(trial(analyses=analyses, decisions={}), replicates=32, seed=3)
    assert [row.what for row in compare_designs(first, other)][-1] == POWER
