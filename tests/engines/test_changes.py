"""Changes of the protocol at a date: what they change, from when on, and what they leave as it was; in both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import THREE_VISITS, Data, design, usual
from helpers import agrees, engine_differences, run, se_of_share
from pydantic import ValidationError

from trialsim.block import Block, EngineName
from trialsim.world.histories import NONE

ENGINES: tuple[EngineName, ...] = ("vector", "process")
BLOCKS: Data = {"kind": "blocks", "ratio": {"a": 1, "b": 1}, "block_sizes": [2, 4], "strata": ["female"]}
SIMPLE: Data = {"kind": "simple", "ratio": {"a": 1, "b": 1}}
DAY = 50


def trial(*changes: Data, allocation: Data = BLOCKS, n: int = 4, engine: EngineName = "vector", **parts: Any) -> Block:
    """About 50 of 120 participants are randomized before day 50."""
    return run(
        design(
            sample_size=120,
            arms={"a": usual(), "b": usual()},
            covariates={"female": {"kind": "binary", "prob": 0.5}},
            visits=THREE_VISITS,
            allocation=allocation,
            changes=list(changes),
            **parts,
        ),
        n=n,
        engine=engine,
    )


def ratio(starts: Any = DAY, **parts: int) -> Data:
    sizes = [sum(parts.values())]
    return {"starts": starts, "ratio": parts, "block_sizes": sizes}


@pytest.mark.parametrize("engine", ENGINES)
def test_lists_of_a_new_ratio_begin_on_the_day_and_the_old_ones_stay_as_they_were(engine: EngineName) -> None:
    before, after = trial(engine=engine), trial(ratio(a=3, b=1), engine=engine)
    arm, day = after.histories.arm, after.histories.randomized_day
    assert (day == before.histories.randomized_day).all()
    assert (arm == before.histories.arm)[day < DAY].all()
    stratum = after.plan.cohort.stratum
    assert ((stratum >= 2) == (day >= DAY)).all()
    for column in range(4):
        for code in (2, 3):
            mine = arm[stratum[:, column] == code, column]
            whole = mine[: len(mine) // 4 * 4].reshape(-1, 4)
            assert len(whole) > 2
            assert ((whole == 0).sum(axis=1) == 3).all(), "blocks of 4 in the ratio 3:1, a first one to begin with"


def test_a_change_on_the_very_day_and_by_date_is_the_same_and_a_later_one_leaves_the_one_before_alone() -> None:
    one, dated = trial(ratio(a=3, b=1)), trial(ratio("2024-02-20", a=3, b=1))
    assert (one.histories.arm == dated.histories.arm).all()
    two = trial(ratio(a=3, b=1), ratio(starts=80, a=1, b=3))
    day = two.histories.randomized_day
    assert (one.histories.arm == two.histories.arm)[day < 80].all()
    assert set(np.unique(two.plan.cohort.stratum)) == set(range(6))


def test_block_sizes_that_are_not_told_are_those_in_force() -> None:
    unsaid = {"ratio": {"a": 1, "b": 1}}
    block = trial({"starts": 50, **unsaid}, {"starts": 60, **unsaid, "block_sizes": [8]}, {"starts": 80, **unsaid}, n=1)
    assert [period.block_sizes for period in block.world.periods] == [(2, 4), (2, 4), (8,), (8,)]


def test_sizes_in_force_must_fit_a_new_ratio() -> None:
    """The first sizes, 2 and 4, would fit 1:1 again; the 3 in force does not."""
    with pytest.raises(ValidationError, match="block size 3 does not fit the ratio"):
        trial(ratio(a=2, b=1), {"starts": 80, "ratio": {"a": 1, "b": 1}})


@pytest.mark.parametrize("allocation", [BLOCKS, SIMPLE], ids=["blocks", "simple"])
def test_a_new_ratio_holds_from_its_day_on(allocation: Data) -> None:
    change = ratio(a=3, b=1) | ({} if allocation is BLOCKS else {"block_sizes": []})
    block = trial(change, allocation=allocation, n=160)
    arm, late = block.histories.arm, block.histories.randomized_day >= DAY
    for group, share in ((late, 3 / 4), (~late, 1 / 2)):
        assert agrees((arm[group] == 0).mean(), share, se_of_share(share, group.sum()))
        assert not agrees((arm[group] == 0).mean(), 5 / 8, se_of_share(share, group.sum()))


def test_the_names_of_strata_say_which_ratio() -> None:
    named = {**ratio(a=3, b=1), "label": "more coaches"}
    assert trial(named, n=1).world.strata == [
        "female=no",
        "female=yes",
        "more coaches, female=no",
        "more coaches, female=yes",
    ]
    assert trial(ratio(a=3, b=1), n=1).world.strata[2:] == ["from day 50, female=no", "from day 50, female=yes"]


@pytest.mark.parametrize("engine", ENGINES)
def test_reminders_change_for_windows_that_open_from_the_day_on(engine: EngineName) -> None:
    """Nobody answers, so all reminders are sent: 3 at m3 (windows open 84 days after randomization), later 1, then 0."""
    first = {"starts": 100, "reminders": {"m3": [10]}, "answering": -9.0}
    second = {"starts": 160, "reminders": {"m3": []}}
    silent = {"starts": 0, "answering": -9.0}
    block = trial(silent, first, second, engine=engine)
    opens = block.histories.randomized_day + 91 - 7
    expected = np.where(opens < 100, 3, np.where(opens < 160, 1, 0))
    assert (block.follow.n_reminders[0] == expected).all()
    assert {1, 3, 0} <= set(np.unique(expected))
    assert (block.follow.n_reminders[1] == 3).all(), "other visits keep theirs"


def test_answering_shifts_add_up_for_windows_that_open_from_their_days_on() -> None:
    """Response probability 0.8: with shifts of -1 and -1.5 probits on top of each other 0.44, then 0.05."""
    shifts = [{"starts": 100, "answering": -1.0}, {"starts": 160, "answering": -1.5}]
    plain, block = trial(n=320), trial(*shifts, n=320)
    opens = block.histories.randomized_day + 91 - 7
    answered = block.follow.observed_day[0] != NONE
    for here, share in ((opens < 100, 0.8), ((opens >= 100) & (opens < 160), 0.43675), (opens >= 160, 0.04879)):
        assert agrees(answered[here].mean(), share, se_of_share(share, here.sum()))
    unchanged = opens < 100
    assert (block.follow.observed_day[0] == plain.follow.observed_day[0])[unchanged].all()
    assert not agrees(answered[~unchanged].mean(), 0.8, se_of_share(0.8, (~unchanged).sum()))


def test_both_engines_agree_on_a_trial_that_changes_while_sites_pause_and_open() -> None:
    sites = {"north": {"rate_per_month": 30.0}, "south": {"rate_per_month": 30.0, "opens": 40}}
    changes = [ratio(a=2, b=1), {"starts": 130, "reminders": {"m3": [0, 3]}, "answering": 0.5}]
    parts = {"recruitment": {"sites": sites, "pauses": [{"starts": 20, "ends": 45}]}}
    one, other = (trial(*changes, engine=engine, **parts) for engine in ENGINES)
    assert engine_differences(one, other) == []
    day = one.histories.randomized_day
    assert not ((day >= 20) & (day < 45) & (one.histories.site == 0)).any()
