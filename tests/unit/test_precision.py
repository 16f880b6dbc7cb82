"""As many replicates as an error asks for: by hand, bit for bit those of a plain run, and no more than allowed."""

from __future__ import annotations

from dataclasses import fields
from math import nan
from typing import Any

import numpy as np
import pytest
from designs import coached, design, score, usual
from helpers import same

from trialsim.design.parts import Design
from trialsim.experiments import precision, runner
from trialsim.experiments.decisions import decide, power_rows
from trialsim.experiments.precision import PILOT, every_chance, needed, run_to_precision
from trialsim.experiments.runner import Experiment, run

TARGET = 0.02


def trial(effect: float = -0.9, **parts: Any) -> Design:
    """Twenty-four participants, two outcomes; one decision that needs both."""
    arm = {"effects": {name: {"by_visit": {"m3": effect}} for name in ("pain", "mood")}}
    plan = {"kind": "linear", "multiplicity": "none"}
    hypotheses = {"p": "coach beats usual in pain", "m": "coach beats usual in mood"}
    given = {
        "sample_size": 24,
        "arms": {"coach": coached(arm={**arm, "dose": "assigned"}), "usual": usual()},
        "outcomes": {"pain": score(), "mood": score()},
        "analyses": {name: {"outcome": name, **plan} for name in ("pain", "mood")},
        "decisions": {"both": {"analysis": "pain", "hypotheses": hypotheses, "success": "p and m"}},
        **parts,
    }
    return design(**given)


@pytest.fixture(scope="module")
def found() -> Experiment:
    return run_to_precision(trial(), target_mcse=TARGET)


# --- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chances", "target", "n"),
    [
        ([[1, 0, 1, 0]], 0.005, 10_000),
        ([[1, 0, 0, 0]], 0.01, 1875),  # 3/16 / 0.01^2
        ([[1, 0, 0, 0], [1, 1, 0, 1, 1]], 0.01, 1875),  # 4/25 is less
        ([[0] * 10], 0.01, 475),  # half a replicate away from 0 ...
        ([[1] * 10], 0.01, 475),  # ... and from 1
        ([[nan, 1, nan, 0, nan]], 0.01, 2500),
        ([[nan, nan]], 0.01, PILOT),
        ([], 0.01, PILOT),
        ([[1, 0]], 0.5, PILOT),  # never fewer than at the first look
    ],
)
def test_replicates_needed_by_hand(chances: list[list[float]], target: float, n: int) -> None:
    assert needed([np.array(hits, dtype=float) for hits in chances], target) == n


def test_every_test_and_every_chance_of_a_decision_counts(found: Experiment) -> None:
    chances = every_chance(found)
    assert len(chances) == 2 + 2 + 5  # comparison and test of all arms twice; two hypotheses, any, all, success
    worst = max(float(hits.mean() * (1 - hits.mean())) for hits in chances)
    assert worst / len(found.replicates) <= TARGET**2
    assert found.estimates is not None
    rows = power_rows(decide(found.design, "both", found.estimates))
    assert max(row.mcse for row in rows) <= TARGET


def test_a_decision_may_need_more_than_its_tests() -> None:
    """Both hypotheses are nearly certain each, both together are not as certain."""
    both = [np.array([1.0] * 9 + [0.0]), np.array([0.0] + [1.0] * 9)]
    assert needed([*both, both[0] * both[1]], 0.01) == 1600 > needed(both, 0.01) == 900


# --- the run ----------------------------------------------------------------------------------------------------------


def test_the_same_numbers_as_a_run_of_so_many(found: Experiment) -> None:
    n = len(found.replicates)
    assert n > PILOT
    plain = run(trial(), replicates=n)
    assert found.estimates is not None
    assert plain.estimates is not None
    for field in fields(found.estimates):
        assert same(getattr(found.estimates, field.name), getattr(plain.estimates, field.name)), field.name
    assert same(found.replicates, plain.replicates)
    assert same(found.measures, plain.measures)
    assert found.digests == plain.digests
    assert found.failures == []
    assert len(found.seconds) == n


def test_a_target_that_the_first_look_meets() -> None:
    assert len(run_to_precision(trial(), target_mcse=0.5).replicates) == PILOT


def test_a_second_look_may_ask_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 256 replicates are told to have less error than the next, so two more runs are needed."""
    asked: list[tuple[int, int]] = []

    def spy(design: Design, **how: Any) -> Experiment:
        asked.append((how.get("first", 0), how["replicates"]))
        return runner.run(design, **how)

    monkeypatch.setattr(precision, "run", spy)
    wanted = iter([300, 330, 330])
    monkeypatch.setattr(precision, "needed", lambda *_: next(wanted))
    found = run_to_precision(trial(), target_mcse=TARGET)
    assert asked == [(0, 256), (256, 44), (300, 30)]
    assert found.replicates.tolist() == list(range(330))


def test_no_more_than_allowed() -> None:
    assert len(run_to_precision(trial(), target_mcse=0.001, most=300).replicates) == 300
    assert len(run_to_precision(trial(), target_mcse=0.001, most=40).replicates) == 40


def test_only_what_is_asked_for_counts() -> None:
    def certain(experiment: Experiment) -> list[np.ndarray]:
        return [np.ones(len(experiment.replicates))]

    assert len(run_to_precision(trial(), target_mcse=TARGET, of=certain).replicates) == PILOT


@pytest.mark.parametrize("target", [0.0, -1.0])
def test_a_target_of_nothing_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        run_to_precision(trial(), target_mcse=target)


def test_a_design_without_analysis_has_the_first_look_alone() -> None:
    found = run_to_precision(trial(analyses={}, decisions={}), target_mcse=0.001)
    assert len(found.replicates) == PILOT


def test_progress_goes_up_to_all_that_is_needed() -> None:
    told: list[tuple[int, int]] = []
    found = run_to_precision(trial(), target_mcse=TARGET, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (len(found.replicates), len(found.replicates))
    done = [one for one, _ in told]
    assert done == sorted(done)


def test_failures_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicates 3 and 17 cannot be analysed: they are in neither estimates nor replicates, but in `failures`."""
    genuine = runner.analyse_block

    def analyse(block: Any) -> Any:
        if {3, 17} & set(range(block.first, block.first + block.n_replicates)):
            raise ArithmeticError("no")
        return genuine(block)

    monkeypatch.setattr(runner, "analyse_block", analyse)
    monkeypatch.setattr(precision, "PILOT", 10)
    found = run_to_precision(trial(), target_mcse=0.001, most=20)
    assert [(one.replicate, one.stage) for one in found.failures] == [(3, "analysis"), (17, "analysis")]
    assert found.replicates.tolist() == [k for k in range(20) if k not in (3, 17)]
    assert found.estimates is not None
    assert same(found.estimates.replicate, found.replicates)
    assert {len(values) for values in found.measures.values()} == {18}
