"""Many replicates: batches that do not matter, workers that do not matter, failures that are rows."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from designs import design
from golden.small_trial import small_trial
from helpers import same

from trialsim import block as block_module
from trialsim.block import Block, batches
from trialsim.design.parts import Design
from trialsim.errors import ResultsError
from trialsim.experiments import executors, runner, trialfiles
from trialsim.experiments.runner import Experiment, Failure, Task, run, run_batch
from trialsim.world.world import World

SMALL = small_trial(sample_size=40)
BLOCK = 16


def differences(one: Experiment, other: Experiment, *, but: tuple[str, ...] = ("seconds",)) -> list[str]:
    """Fields in which two experiments differ."""
    found = [f.name for f in fields(Experiment) if f.name not in ("estimates", *but)]
    found = [name for name in found if not same(getattr(one, name), getattr(other, name))]
    assert one.estimates is not None
    assert other.estimates is not None
    of_estimates = [f.name for f in fields(type(one.estimates))]
    return found + [
        name for name in of_estimates if not same(getattr(one.estimates, name), getattr(other.estimates, name))
    ]


@pytest.fixture
def batches_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest batches there are."""
    monkeypatch.setattr(block_module, "PARTICIPANTS_PER_BATCH", 1)


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "n"), [(0, 1), (0, 16), (0, 100), (5, 100), (31, 2), (16, 16), (1000, 333)])
@pytest.mark.parametrize("sample_size", [1, 90, 2331, 100_000])
def test_batches_are_all_replicates_once_and_whole_blocks(first: int, n: int, sample_size: int) -> None:
    cut = batches(small_trial(sample_size=sample_size), first, n)
    assert [replicate for start, size in cut for replicate in range(start, start + size)] == list(
        range(first, first + n)
    )
    assert all(start % BLOCK == 0 for start, _ in cut[1:])
    assert all(size > 0 for _, size in cut)


def test_a_batch_does_not_depend_on_how_many_follow() -> None:
    short, long = batches(SMALL, 0, 5_000), batches(SMALL, 0, 20_000)
    assert len(short) > 3
    assert long[: len(short) - 1] == short[:-1]


def test_results_do_not_depend_on_how_replicates_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(SMALL, seed=3, replicates=40)
    monkeypatch.setattr(block_module, "PARTICIPANTS_PER_BATCH", 1)
    told: list[tuple[int, int]] = []
    cut = run(SMALL, seed=3, replicates=40, progress=lambda done, of: told.append((done, of)))
    assert told == [(16, 40), (32, 40), (40, 40)]
    assert differences(whole, cut) == []


@pytest.mark.usefixtures("batches_of_one_block")
def test_replicates_are_the_same_alone_and_in_company() -> None:
    whole = run(SMALL, seed=3, replicates=40)
    some = run(SMALL, seed=3, first=13, replicates=8)
    assert some.replicates.tolist() == list(range(13, 21))
    assert some.digests == whole.digests[13:21]
    assert all(same(values, whole.measures[name][13:21]) for name, values in some.measures.items())
    assert some.estimates is not None
    assert whole.estimates is not None
    assert same(some.estimates.estimate, whole.estimates.estimate[13:21])
    assert same(some.estimates.truth, whole.estimates.truth[13:21])


def test_both_engines_give_the_same_experiment() -> None:
    process, vector = (run(SMALL, seed=3, replicates=5, engine=engine) for engine in ("process", "vector"))
    assert differences(process, vector, but=("seconds", "engine")) == []


def test_the_digest_sees_a_single_answer() -> None:
    from trialsim.block import simulate_block
    from trialsim.experiments.runner import digest_of

    block = simulate_block(World(SMALL), seed=1, first=0, n_replicates=2)
    before = [digest_of(block, column) for column in (0, 1)]
    block.follow.observed_day[1, 7, 1] += 1
    after = [digest_of(block, column) for column in (0, 1)]
    assert after[0] == before[0]
    assert after[1] != before[1]


# --- workers ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("batches_of_one_block")
def test_results_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    alone = run(SMALL, seed=3, replicates=90, keep=tmp_path / "one")
    told: list[int] = []
    shared = run(
        SMALL, seed=3, replicates=90, workers=2, keep=tmp_path / "two", progress=lambda done, of: told.append(done)
    )
    assert differences(alone, shared) == []
    assert sorted(told) == told
    assert (len(told), told[-1]) == (6, 90)
    one, two = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.parquet")}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert len(one) == 7 * 6
    assert one == two


def dies(*_: Any) -> None:
    """A worker that the system kills."""
    os._exit(9)


@pytest.mark.usefixtures("batches_of_one_block")
@pytest.mark.timeout(60)
def test_replicates_that_kill_their_workers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_work", dies)
    told = (
        r"^replicates (0 to 15|16 to 31): its worker process ended with exit code 9, 3 times \(perhaps out of memory\)"
        r"\. Try fewer --workers\.$"
    )
    with pytest.raises(ResultsError, match=told):
        run(SMALL, replicates=32, workers=2)


@pytest.mark.usefixtures("batches_of_one_block")
def test_more_workers_than_batches_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("processes were made for one batch")

    monkeypatch.setattr(executors, "Processes", refuse)
    assert len(run(SMALL, replicates=16, workers=8).replicates) == 16
    with pytest.raises(AssertionError, match="processes"):
        run(SMALL, replicates=17, workers=8)


# --- failures ---------------------------------------------------------------------------------------------------------

STAGES = {"simulation": "simulate_block", "measures": "measure", "analysis": "analyse_block", "tables": "write_trials"}


def failing_at(monkeypatch: pytest.MonkeyPatch, stage: str, replicates: set[int], error: BaseException) -> None:
    """Make one stage raise whenever one of these replicates is among those it works on."""
    real = getattr(runner, STAGES[stage])

    def stand_in(*args: Any, **how: Any) -> Any:
        block = next((a for a in args if isinstance(a, Block)), None)
        first, n = (how["first"], how["n_replicates"]) if block is None else (block.first, block.n_replicates)
        if replicates & set(range(first, first + n)):
            raise error
        return real(*args, **how)

    monkeypatch.setattr(runner, STAGES[stage], stand_in)


@pytest.mark.parametrize("stage", STAGES)
def test_a_replicate_that_raises_is_a_failure_and_the_others_are_untouched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str
) -> None:
    whole = run(SMALL, seed=3, replicates=12, keep=tmp_path / "whole")
    failing_at(monkeypatch, stage, {5}, ValueError("the sum is not right"))
    rest = run(SMALL, seed=3, replicates=12, keep=tmp_path / "rest")
    others = [k for k in range(12) if k != 5]
    assert rest.failures == [Failure(5, stage, "ValueError: the sum is not right")]
    assert rest.replicates.tolist() == others
    assert rest.digests == [whole.digests[k] for k in others]
    assert len(rest.seconds) == 11
    assert all(same(values, whole.measures[name][others]) for name, values in rest.measures.items())
    assert rest.estimates is not None
    assert whole.estimates is not None
    assert same(rest.estimates.estimate, whole.estimates.estimate[others])
    assert same(rest.estimates.replicate, whole.estimates.replicate[others])
    kept = {int(path.stem.split("-")[1]) for path in (tmp_path / "rest/participants").iterdir()}
    assert kept == set(others)


def test_a_trial_of_which_nothing_is_left_is_an_experiment_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    failing_at(monkeypatch, "analysis", {0, 1, 2}, ArithmeticError("all wrong"))
    experiment = run(SMALL, replicates=3)
    assert [failure.replicate for failure in experiment.failures] == [0, 1, 2]
    assert (experiment.replicates.tolist(), experiment.digests, experiment.measures) == ([], [], {})
    assert experiment.estimates is None


@pytest.mark.usefixtures("batches_of_one_block")
def test_failures_are_in_order_of_replicate(monkeypatch: pytest.MonkeyPatch) -> None:
    failing_at(monkeypatch, "measures", {33, 2, 17}, ValueError("no"))
    experiment = run(SMALL, replicates=40)
    assert [failure.replicate for failure in experiment.failures] == [2, 17, 33]
    assert np.all(np.diff(experiment.replicates) > 0)


@pytest.mark.parametrize("stage", STAGES)
def test_an_interruption_goes_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: str) -> None:
    failing_at(monkeypatch, stage, {5}, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(SMALL, replicates=12, keep=tmp_path)


def test_a_full_disk_is_not_a_replicates_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trialfiles, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        run(SMALL, replicates=12, keep=tmp_path)


@pytest.mark.usefixtures("batches_of_one_block")
def test_an_interruption_while_progress_is_shown_stops_the_workers() -> None:
    import multiprocessing

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(SMALL, replicates=2_000, workers=2, progress=stop)
    assert multiprocessing.active_children() == []


# --- what else is done with a block -----------------------------------------------------------------------------------


def test_a_block_is_handed_on_whole_or_replicate_by_replicate(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def also(block: Block) -> None:
        seen.append((block.first, block.n_replicates))

    world, task = World(SMALL), Task(3, "vector")
    assert run_batch(world, task, 0, 4, also).digests == run_batch(world, task, 0, 4).digests
    failing_at(monkeypatch, "analysis", {2}, ValueError("no"))
    assert [failure.replicate for failure in run_batch(world, task, 0, 4, also).failures] == [2]
    assert seen == [(0, 4), (0, 1), (1, 1), (3, 1)]


# --- small things -----------------------------------------------------------------------------------------------------


def test_a_design_without_analyses_has_estimates_without_labels() -> None:
    bare: Design = design(sample_size=20)
    experiment = run(bare, replicates=3)
    assert experiment.estimates is not None
    assert experiment.estimates.labels == ()
    assert experiment.estimates.estimate.shape == (3, 0)


def test_seconds_are_given_for_every_replicate() -> None:
    experiment = run(SMALL, replicates=20)
    assert experiment.seconds.shape == (20,)
    assert np.all(experiment.seconds > 0)


def test_a_batch_that_raises_only_in_company_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are whole then, but a fault of trialsim must not stay hidden behind them."""
    whole = run_batch(World(SMALL), Task(3, "vector"), 0, 3)

    def shy(block: Block) -> Any:
        if block.n_replicates > 1:
            raise ValueError("in company")
        return measured(block)

    measured = runner.measure
    monkeypatch.setattr(runner, "measure", shy)
    with pytest.warns(RuntimeWarning, match="replicates 0 to 2 raised in measures together but not alone"):
        alone = run_batch(World(SMALL), Task(3, "vector"), 0, 3)
    assert alone.digests == whole.digests
