"""Scores of which more is better: who responds, and which arm a difference favours."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import Data, design, online, score, usual
from helpers import run

from trialsim.analysis.endpoints import response
from trialsim.analysis.plan import analyse_block
from trialsim.block import Block
from trialsim.design.outcomes import Score
from trialsim.experiments.decisions import decide
from trialsim.experiments.measures import measure
from trialsim.records import table
from trialsim.report.analysis_words import hypothesis
from trialsim.report.summary import _note as note
from trialsim.sweeps.adam import _criterion as criterion
from trialsim.world.outcomes import grid_points, is_responder

# --- the rule ---------------------------------------------------------------------------------------------------------


def responds(better: str, change: Fraction, before: Fraction, after: Fraction) -> bool:
    """The rule in exact arithmetic."""
    if before <= 0:
        return False
    return after >= before * (1 + change) if better == "higher" else after <= before * (1 - change)


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("change", ["0", "0.1", "0.3", "1"])
@pytest.mark.parametrize(("low", "high", "items"), [(0, 10, 7), (1, 5, 1), (-3, 4, 4), (-9, -2, 2)])
def test_a_response_is_a_move_of_the_required_part_for_the_better(
    better: Any, change: str, low: int, high: int, items: int
) -> None:
    outcome = Score(mean=0, low=low, high=high, items=items, better=better, responder_change=float(change))
    steps = np.arange((high - low) * items + 1, dtype=np.int16)
    exact = [low + Fraction(int(step), items) for step in steps]
    expected = [[responds(better, Fraction(change), before, after) for after in exact] for before in exact]
    assert is_responder(outcome, steps[:, None], steps).tolist() == expected
    value = grid_points(outcome)
    everyone = np.broadcast_to(value, (1, len(value), len(value)))
    assert response(outcome, value[None], everyone)[0].tolist() == expected


def test_the_finest_and_widest_grid_has_room_for_nobody() -> None:
    outcome = Score(mean=0, low=0, high=30_000, better="higher", responder_change=1.0)
    baseline = np.array([0, 1, 15_000, 15_001, 30_000], dtype=np.int16)
    assert is_responder(outcome, baseline, np.int16(30_000) + 0 * baseline).tolist() == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_what_is_missing_is_no_response() -> None:
    for better in ("lower", "higher"):
        outcome = Score(mean=0, better=better)
        missing = response(outcome, np.array([[5.0, np.nan]]), np.array([[[np.nan], [5.0]]]))
        assert not missing.any()


# --- a trial ----------------------------------------------------------------------------------------------------------


@cache
def trial(better: str) -> Block:
    """Two arms, of which one raises a score by more than a third; only the outcome says what is better."""
    walk = score(low=0, high=1000, items=1, mean=400, sd=60, error_sd=20, change_sd=40, better=better)
    rise = {"walk": {"by_visit": {"m3": 150.0}}}
    new_to_old: Data = {"outcome": "walk", "contrasts": [["new", "old"]], "multiplicity": "none"}
    made = design(
        sample_size=60,
        outcomes={"walk": walk},
        arms={"new": online(sessions=1, arm={"effects": rise}), "old": usual()},
        analyses={
            "distance": {"kind": "ancova", "alpha": 0.1, **new_to_old},
            "as_good": {"kind": "ancova", "hypothesis": "non_inferiority", "margin": 10.0, **new_to_old},
            "responders": {"kind": "log_binomial", **new_to_old},
        },
        decisions={
            "more": {"analysis": "distance", "hypotheses": {"it": "new beats old"}},
            "as_good": {"analysis": "as_good", "hypotheses": {"it": "new is not inferior to old"}},
        },
    )
    return run(made, n=8)


@pytest.mark.parametrize(("better", "expected"), [("higher", 1.0), ("lower", 0.0)])
def test_an_arm_wins_by_the_direction_of_its_outcome(better: str, expected: float) -> None:
    block = trial(better)
    estimates = analyse_block(block)
    for decision in ("more", "as_good"):
        assert decide(block.world.design, decision, estimates).success.tolist() == [expected] * 8


def test_tables_measures_and_truth_count_those_who_rise() -> None:
    block = trial("higher")
    seen = table(block, "observations").to_pandas().dropna(subset="value")
    people = table(block, "participants").to_pandas().set_index(["replicate", "participant"])
    whose = people.loc[list(zip(seen["replicate"], seen["participant"], strict=True))]
    rose = seen["value"].to_numpy() >= 1.3 * whose["baseline_walk"].to_numpy() - 1e-9
    assert seen["responder"].astype(bool).tolist() == rose.tolist()
    shares = 100 * seen.assign(rose=rose, arm=whose["arm"].to_numpy()).groupby(["arm", "replicate"])["rose"].mean()
    measures, estimates = measure(block), analyse_block(block)
    for arm in ("new", "old"):
        assert measures[f"outcome/walk/{arm}/m3/responders"] == pytest.approx(shares[arm].to_numpy())
    place = estimates.place(analysis="responders", contrast="new - old", visit="m3", measure="risk difference")
    assert place is not None
    everybody = table(block, "truth").to_pandas()
    truth = 100 * everybody.groupby(["replicate", "arm"], observed=True)["responder"].mean().unstack()
    assert estimates.truth[:, place] == pytest.approx((truth["new"] - truth["old"]).to_numpy())
    assert (estimates.truth[:, place] > 30).all()


@pytest.mark.parametrize(("better", "move", "side"), [("higher", "Rise", "above -10"), ("lower", "Fall", "below 10")])
def test_words_say_the_direction(better: str, move: str, side: str) -> None:
    made = trial(better).world.design
    outcome = made.outcomes["walk"]
    assert note(outcome) == f"Responders {move.lower()} by at least 30%."
    assert criterion(outcome) == f"{move} from baseline of at least 30 %"
    assert f"{side} points ({better} is better" in hypothesis(made, made.analyses["as_good"])
