"""A block cut after its first n participants is the block of a trial of n, to the last bit; with groups it is not."""

from __future__ import annotations

import copy
import warnings
from functools import lru_cache
from random import Random

import numpy as np
import pytest
from designs import grouped, plain_data, usual
from helpers import differences, run
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines_meet import awkward

from trialsim.analysis.plan import estimate
from trialsim.block import Block, simulate_block
from trialsim.design.library import library
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.experiments.measures import measure
from trialsim.teach.cut import can_be_cut, cut_block, cut_data
from trialsim.world.world import World

CUT = [name for name in library() if can_be_cut(read_design(name))]


def of_size(design: Design, n: int) -> Design:
    return design.model_copy(update={"sample_size": n})


def cut_to(block: Block, n: int) -> Block:
    world = copy.copy(block.world)
    world.design = of_size(block.world.design, n)
    return cut_block(block, world)


def everything_unequal(alone: Block, cut: Block) -> list[str]:
    """All that was recorded, happened or is counted, in which two blocks differ; what might have been is not looked at."""
    found = [f"{part}.{x}" for part in ("histories", "follow", "observed") for x in differences(getattr(alone, part), getattr(cut, part))]  # fmt: skip
    found += differences({"realised": alone.outcomes.realised}, {"realised": cut.outcomes.realised})
    return found + differences(measure(alone), measure(cut))


@pytest.mark.parametrize("chapter", range(2))
def test_a_cut_is_the_smaller_trial_on_random_awkward_designs(chapter: int) -> None:
    kinds = set()
    for page in range(25):
        chooser = Random(1_000 * chapter + page)
        design = awkward(chooser.choice)
        if not can_be_cut(design) or design.sample_size == 1:
            continue
        n = chooser.randrange(1, design.sample_size)
        kinds.add(design.allocation.kind)
        kinds |= {arm.delivery.kind for arm in design.arms.values()}
        longer, alone = (run(one, seed=page, first=5, n=4) for one in (design, of_size(design, n)))
        assert everything_unequal(alone, cut_to(longer, n)) == [], (
            page,
            n,
            design.model_dump_json(exclude_defaults=True),
        )
        data = cut_data(longer.observed, n)
        assert differences(alone.observed, data) == []
    assert {"blocks", "individual", "self_paced"} <= kinds
    assert kinds & {"minimization", "biased_coin", "urn"}
    assert kinds & {"clusters", "cohorts", "simple"}


@settings(max_examples=6)
@given(st.integers(0, 2**32), st.data())
def test_a_cut_is_the_smaller_trial_on_designs_made_by_hypothesis(seed: int, data: st.DataObject) -> None:
    design = awkward(lambda options: data.draw(st.sampled_from(options)))
    if can_be_cut(design) and design.sample_size > 1:
        n = data.draw(st.integers(1, design.sample_size - 1))
        longer, alone = (run(one, seed=seed, first=0, n=2) for one in (design, of_size(design, n)))
        assert everything_unequal(alone, cut_to(longer, n)) == []


@lru_cache
def library_block(name: str) -> Block:
    return simulate_block(World(of_size(read_design(name), 90)), seed=2, first=0, n_replicates=3)


@pytest.mark.parametrize("name", CUT)
def test_estimates_of_the_librarys_plans_are_the_same_from_a_cut(name: str) -> None:
    longer, n = library_block(name), 66
    alone = simulate_block(World(of_size(longer.world.design, n)), seed=2, first=0, n_replicates=3)
    replicate, small = np.arange(3, dtype=np.int32), alone.world.design
    data = cut_data(longer.observed, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few participants are hard to fit
        for analysis in small.analyses:
            mine = estimate(small, analysis, alone.observed, replicate, alone.draws)
            its = estimate(small, analysis, data, replicate, longer.draws)
            assert differences(mine, its) == [], analysis
    assert everything_unequal(alone, cut_to(longer, n)) == []


def test_the_comparison_sees_a_replicate_of_another_number_and_one_participant_more() -> None:
    design = read_design("cbt_generic")
    first, second = (run(of_size(design, 30), n=2, first=first) for first in (0, 2))
    assert everything_unequal(first, second)
    assert differences(first.observed, cut_data(run(of_size(design, 40), n=2).observed, 31))


def test_groups_fill_up_otherwise_in_a_longer_trial_so_they_are_not_cut() -> None:
    arms = {"groups": grouped(min_size=4, start_after_days=None, arm={"start_prob": 1.0}), "usual": usual()}
    small = Design.model_validate(plain_data(sample_size=20, arms=arms))
    assert not can_be_cut(small)
    longer, alone = run(of_size(small, 40), n=8), run(small, n=8)
    assert differences(alone.observed, cut_data(longer.observed, 20))
