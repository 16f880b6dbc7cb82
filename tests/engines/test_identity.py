"""Every design of the library through both engines, every replicate in other company: exactly the same trials."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from designs import busy, coached, design, kinds, online, usual
from helpers import differences, engine_differences, portrait, run

from trialsim.block import Block, EngineName, batches, simulate_block
from trialsim.design.parts import Design
from trialsim.design.reader import library, read_design
from trialsim.engines.events import derive_events
from trialsim.records import table
from trialsim.world.streams import BLOCK
from trialsim.world.world import World

LIBRARY = sorted(library())
NAMES = [*LIBRARY, "busy", "full dose", "kinds"]
TABLES = ("funnel", "participants", "sessions", "components", "observations", "events", "resources", "truth")


@cache
def named(name: str) -> Design:
    """The busy trial, also with an analysis for which potential outcomes at full dose are made; all kinds of outcome;
    or a scenario."""
    if name == "full dose":
        return busy(analyses={"main": {"kind": "linear", "outcome": "pain", "estimand": "hypothetical"}})
    if name == "kinds":
        return kinds(analyses={"main": {"kind": "linear", "outcome": "pain", "estimand": "hypothetical"}})
    return busy() if name == "busy" else read_design(name)


@cache
def blocks(name: str, engine: EngineName, first: int = 0, n: int = 2) -> Block:
    return simulate_block(World(named(name)), seed=20240101, first=first, n_replicates=n, engine=engine)


def test_the_library_is_not_empty() -> None:
    assert "resolve" in LIBRARY


@pytest.mark.parametrize("name", NAMES)
def test_both_engines_give_exactly_the_same_trials(name: str) -> None:
    assert engine_differences(blocks(name, "process"), blocks(name, "vector")) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_protocol_engine_s_own_log_is_the_list_derived_from_its_histories(name: str) -> None:
    block = blocks(name, "process")
    assert block.logs is not None
    every = np.arange(block.n_replicates)
    derived, lengths = derive_events(block.plan, block.histories, block.follow, every)
    assert lengths.tolist() == [len(log) for log in block.logs]
    assert derived.dtype == block.logs[0].dtype
    assert np.array_equal(derived, np.concatenate(block.logs))


def test_events_do_not_depend_on_the_replicates_they_are_derived_with(monkeypatch: pytest.MonkeyPatch) -> None:
    block = run(busy(), n=5, engine="vector")
    alone = [block.events(column) for column in range(5)]
    chosen = np.array([3, 0, 4])
    rows, lengths = block.event_lists(chosen)
    assert lengths.tolist() == [len(alone[column]) for column in chosen]
    assert np.array_equal(rows, np.concatenate([alone[column] for column in chosen]))
    monkeypatch.setattr("trialsim.engines.events.ALL_BITS", 0)  # so little room that each replicate goes by itself
    assert np.array_equal(block.event_lists(chosen)[0], rows)


@pytest.mark.parametrize("name", NAMES)
def test_both_engines_give_equal_tables(name: str) -> None:
    unequal = [t for t in TABLES if not table(blocks(name, "process"), t).equals(table(blocks(name, "vector"), t))]
    assert unequal == []


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_made_of_trials_in_which_nobody_is_randomized(name: str) -> None:
    deserted = {"sites": {"north": {"rate_per_month": 0.0}}}
    rows = table(run(design(recruitment=deserted), n=2), name).to_pandas()
    assert len(rows) == {"funnel": 2 * 3, "events": 2}.get(name, 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_replicate_alone_equals_the_same_replicate_in_company(name: str) -> None:
    company = blocks(name, "vector", n=BLOCK)
    for k in (0, 5, BLOCK - 1):
        assert differences(portrait(blocks(name, "vector", first=k, n=1)), portrait(company, k)) == []


@pytest.mark.parametrize("name", NAMES)
def test_replicates_across_two_blocks_equal_their_pieces(name: str) -> None:
    whole = blocks(name, "vector", first=5, n=20)
    for first, n in ((5, 3), (8, 12), (20, 5)):
        piece = blocks(name, "vector", first=first, n=n)
        for column in {0, n // 2, n - 1}:
            assert differences(portrait(piece, column), portrait(whole, first - 5 + column)) == []


def test_a_protocol_replicate_does_not_depend_on_its_company_either() -> None:
    whole = blocks("busy", "process", first=14, n=4)
    for column in range(4):
        assert differences(portrait(blocks("busy", "process", first=14 + column, n=1)), portrait(whole, column)) == []


def test_replicates_stay_the_same_where_company_needs_more_people_to_be_drawn() -> None:
    """Months differ so much that some replicates need many more than the expected number of persons."""
    sites = {name: {"rate_per_month": 20.0} for name in ("north", "south", "west")}
    wild = design(recruitment={"sites": sites, "month_cv": 2.0}, max_enrolment_days=60, sample_size=300)
    company = run(wild, n=BLOCK)
    alone = [run(wild, first=k, n=1) for k in range(BLOCK)]
    n_persons = {len(block.plan.cohort.persons.site) for block in [company, *alone]}
    assert len(n_persons) > 1, "the case that this test is about does not occur"
    assert [differences(portrait(block), portrait(company, k)) for k, block in enumerate(alone)] == [[]] * BLOCK


@pytest.mark.parametrize(("first", "n"), [(0, 1), (0, 200), (5, 20), (250, 33), (31, 1)])
def test_batches_hold_every_replicate_once_and_break_only_between_blocks(first: int, n: int) -> None:
    cuts = batches(named("resolve"), first, n)
    assert [k for low, size in cuts for k in range(low, low + size)] == list(range(first, first + n))
    assert all(low % BLOCK == 0 for low, _ in cuts[1:])


def test_batches_do_not_move_when_replicates_are_added() -> None:
    small, large = batches(named("resolve"), 0, 70), batches(named("resolve"), 0, 1_000)
    assert small[:-1] == large[: len(small) - 1]


def test_a_seed_or_replicate_of_its_own_gives_a_trial_of_its_own() -> None:
    trial = portrait(run(named("busy"), n=1))
    assert differences(trial, portrait(run(named("busy"), n=1, seed=2))) != []
    assert differences(trial, portrait(run(named("busy"), n=1, first=1))) != []


# --- cases that once differed ---------------------------------------------------------------------------------------


def assert_equal(trial: Design) -> None:
    assert engine_differences(run(trial, n=2, engine="process"), run(trial, n=2)) == []


def test_engines_agree_where_nobody_is_ever_called() -> None:
    assert_equal(design(arms={"usual": usual()}))


def test_engines_agree_where_a_call_brings_somebody_forward() -> None:
    """The next module would have been due in 30 days; the call comes after 3."""
    stalls = {"stop_prob": 0.5, "start_prob": 0.5}
    web = online(pace={"days": 30}, call_after_days=3, max_calls=1, call_success_prob=1.0, arm=stalls)
    trial = design(arms={"web": web, "usual": usual()})
    assert_equal(trial)
    h = run(trial).histories
    assert (h.scheduled_day <= h.attended_day)[h.attended_day >= 0].all()


def test_engines_agree_where_somebody_leaves_between_a_module_s_due_day_and_the_call_for_it() -> None:
    stalls = {"stop_prob": 0.5, "withdrawal_prob": 0.8}
    assert_equal(design(arms={"web": online(max_calls=1, call_success_prob=1.0, arm=stalls), "usual": usual()}))


def test_engines_agree_on_coaches_who_join_a_lifetime_later() -> None:
    coach = coached(max_wait_days=20_000, coaches=[{"joins": "2115-01-01"}])
    late = {"sites": {"north": {"rate_per_month": 30.0, "opens": 19_000}}}
    trial = design(sample_size=10, max_enrolment_days=20_000, recruitment=late, arms={"coach": coach, "usual": usual()})
    assert_equal(trial)
    assert run(trial).histories.n_sessions.any()


def test_engines_agree_on_two_coached_arms_with_staff_of_different_number() -> None:
    """Whoever is in arm b would, in arm a, have had one of a's coaches: there is no second one."""
    staff = [{"caseload": 1}, {"caseload": 9}]
    arms = {"a": coached(coaches=1), "b": coached(coaches=staff)}
    assert_equal(design(arms=arms, outcomes={"pain": {"mean": 5.0, "sd": 1.0, "coach_sd": 1.0}}))


def test_engines_agree_on_coaches_with_more_places_than_a_byte_can_count() -> None:
    staff = [{"caseload": 100}, {"caseload": 300}, {"caseload": 1}]
    assert_equal(design(arms={"coach": coached(coaches=staff, sessions_per_week=500), "usual": usual()}))


@pytest.mark.parametrize("prob", [0.0, 1e-9])
def test_a_pool_may_be_exhausted_without_anybody_willing(prob: float) -> None:
    site = {"rate_per_month": 30.0, "pool": 10}
    trial = design(funnel={"willing": {"prob": prob}}, recruitment={"sites": {"north": site}})
    assert_equal(trial)
    assert [n.tolist() for n in run(trial, n=3).fruitless[0].lost[0]] == [[10, 10, 10]]
