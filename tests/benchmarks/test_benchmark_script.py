"""The benchmark runs and reports what it promises. It says nothing about how fast this machine is."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from trialsim.design.library import library as scenarios
from trialsim.design.reader import read_design
from trialsim.sweeps.file import read_sweep
from trialsim.world.draws import Draws
from trialsim.world.streams import Stream

ROOT = Path(__file__).resolve().parents[2]
# ruff: noqa: E402
sys.path.insert(0, str(ROOT / "scripts"))

import benchmark
import benchmark_analyses
import benchmark_curve
import benchmark_library
import benchmark_peers
import benchmark_sweep
import benchmark_whole
from benchmark_common import MMRM, Effort, Spread, bytes_of, interleaved, resolve, run_here, stored, sweep_of

PROMISED = {
    "whole": ("RESOLVE, N = 36", "and MMRM", "benchmark sweep, point 0", "aim"),
    "peers": ("SimPy", "statsmodels at the last visit", "three visits", "trialsim, the simple trial", "process engine"),
    "where": ("drawing", "measures", "analysis and truth", "Parquet", "floor: drawing", "floor: writing"),
    "engines": ("vector: data", "bare SimPy loop", "bare draws", "with full tables", "with analysis"),
    "analyses": ("modified Poisson", "MMRM", "simulation"),
    "sweep": (
        "efficiency of two workers",
        "ceiling",
        "outside simulation",
        "memory of a worker",
        "bytes per replicate",
    ),
    "curve": ("resume", "status", "summarise", "performance()", "1 x 16"),
    "library": ("simulate", "measure", "analyse", "per participant, resolve = 1", *scenarios()),
}


@pytest.mark.parametrize("section", benchmark.SECTIONS)
def test_every_section_runs_and_prints_what_it_promises(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--quick", "--section", section])
    printed = capsys.readouterr().out
    for words in PROMISED[section]:
        assert words in printed
    assert re.search(r"\bnan\b", printed) is None or not sys.platform.startswith("linux")


def test_the_script_itself_imports_nothing_heavy_because_every_worker_process_imports_it() -> None:
    heavy = "assert not {'numpy', 'pandas', 'pyarrow', 'statsmodels'} & set(sys.modules)"
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import benchmark; {heavy}"
    assert benchmark_curve.command(code).seconds > 0


# --- spread and stages ------------------------------------------------------------------------------------------------


def test_work_is_interleaved_and_spread_is_shown_with_its_range() -> None:
    order: list[str] = []

    def one(name: str, value: float) -> float:
        order.append(name)
        return value

    found = interleaved({"a": lambda r: one("a", r + 1.0), "b": lambda r: one("b", 10.0)}, rounds=3)
    assert order == ["a", "b"] * 3
    assert found["a"].shown(".1f", 2) == "4.0 (2.0 to 6.0)"
    assert Spread((5.0,)).shown() == "5"


def test_time_belongs_to_the_innermost_stage_alone() -> None:
    stages = benchmark_whole.Stages()

    def busy(seconds: float) -> None:
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass

    inner = stages.timed(lambda: busy(0.05), "inner")

    def around() -> None:
        busy(0.02)
        inner()

    stages.timed(around, "outer")()
    assert stages.seconds["inner"] >= 0.05
    assert 0.02 <= stages.seconds["outer"] < 0.05


def test_numbers_drawn_are_counted_once_and_by_kind() -> None:
    stages, draws, place = benchmark_whole.Stages(), Draws(1, 3, 20), np.empty((5, 20))
    with stages.watching():
        draws.uniform(Stream.START, 7)
        draws.normal(Stream.CHANGE, 11, "pain", "m3")
        draws.fill(place, Stream.ENTRY, "pain", normal=True)  # asks for normals in its turn
        draws.fill(place, Stream.ARRIVAL)
    assert stages.drawn["uniform"] == 20 * (7 + 5)
    assert stages.drawn["normal"] == 20 * (11 + 5)
    assert Draws.uniform.__qualname__ == "Draws.uniform"  # nothing is watched any more


@pytest.mark.parametrize("engine", ["vector", "process"])
def test_every_stage_of_a_replicate_has_a_time_and_together_they_are_the_whole(engine: str) -> None:
    design = resolve(36)
    if engine == "vector":
        found = benchmark_whole.where_vector(design, replicates=4, rounds=2)
    else:
        found = benchmark_whole.where_process(design, replicates=2, rounds=2)
    files = ("tables", "Parquet", "writing") if engine == "vector" else ()
    stages = {stage for _, _, stage in benchmark_whole.STAGES if stage not in ("tables", "Parquet", "writing")}
    assert all(found.stages.seconds[stage] > 0 for stage in {*stages, *files, "drawing"})
    assert found.total == pytest.approx(sum(found.rounds.values) / 2)
    assert found.stages.drawn["normal"] / found.replicates > 36 * 3 * 2  # at least errors at three visits, two outcomes
    assert (found.n_bytes > 1_000) == (engine == "vector")


# --- cases and peers --------------------------------------------------------------------------------------------------


def test_cases_are_the_trials_that_the_aims_were_set_for() -> None:
    cases = benchmark_whole.cases(Effort(1))
    first = cases["RESOLVE, N = 2331"]
    assert list(first.design.analyses) == ["responders"]
    assert first.design.analyses["responders"].kind == "modified_poisson"
    assert first.design.funnel == read_design("resolve").funnel
    assert list(cases["RESOLVE, N = 2331, and MMRM"].design.analyses) == ["responders", "mmrm"]
    assert [case.aim for case in cases.values()] == [250, 100, 1500, 1500, 1500, 1500]
    assert [case.replicates for case in cases.values()][-1] == read_sweep("benchmark").replicates
    small = [case.design for name, case in cases.items() if "2331" not in name]
    assert all(design.sample_size == 300 and len(design.arms) == 3 for design in small)


def test_mmrm_is_what_a_user_gets_who_says_no_more_than_its_name() -> None:
    analysis = resolve(36, more={"mmrm": MMRM}).analyses["mmrm"]
    assert analysis.df == "kenward_roger"


def test_a_sweep_of_one_design_point_is_run_and_written_as_sweeps_are() -> None:
    with stored(sweep_of(resolve(36), replicates=16, seed=1)) as store:
        run_here(store)
        n_bytes, n_files = bytes_of(store.folder)
        assert store.done()[0, 0]["stop"] == 16
    assert n_files == 3
    assert n_bytes > 5_000
    assert not store.folder.exists()


def test_peers_simulate_a_trial_with_the_effect_that_they_were_given() -> None:
    rows = [row for seed in range(20) for row in benchmark_peers.simpy_trial(300, seed)]
    assert len(rows) / 20 == pytest.approx(0.8 * 3 * 300, abs=4.5 * (900 * 0.16 / 20) ** 0.5)
    of_arm = [np.array([value for _, arm, _, _, value in rows if arm == a]) for a in range(3)]
    assert of_arm[2].mean() - of_arm[1].mean() == pytest.approx(0.6, abs=0.2)
    (poisson, _), (change, error) = benchmark_peers.arrays_one_visit(2331, 1)
    assert poisson[1] > poisson[2]
    assert change[1] - change[2] == pytest.approx(-0.6, abs=4.5 * float(np.hypot(error[1], error[2])))
    assert len(benchmark_peers.arrays_three_visits(300, 1)) == 4


def test_the_simple_trial_has_neither_funnel_losses_nor_delivery() -> None:
    design = benchmark_peers.simple_design(300)
    assert [step.prob for step in design.funnel.values()] == [1.0]
    assert {arm.delivery.kind for arm in design.arms.values()} == {"none"}
    assert [analysis.kind for analysis in design.analyses.values()] == ["modified_poisson", "linear"]


# --- sweeps and commands ----------------------------------------------------------------------------------------------


def test_a_sweep_with_workers_says_how_much_was_done_by_whom() -> None:
    sweep = benchmark_sweep.part_of(read_sweep("benchmark"), slice(3, 5), 8)
    assert [point.number for point in sweep.points] == [0, 1]
    found = benchmark_sweep.together(sweep, 1)
    assert (found.n, found.n_files) == (16, 6)
    assert found.outside() < found.outside(with_start=True) < 100
    assert not sys.platform.startswith("linux") or found.worker_mb > 20


def test_a_command_that_fails_is_not_a_measurement() -> None:
    with pytest.raises(RuntimeError, match="exit code 3"):
        benchmark_curve.command("import sys; sys.exit(3)")


# --- analyses ---------------------------------------------------------------------------------------------------------


def test_analyses_are_timed_beside_statsmodels_and_find_what_it_finds(capsys: pytest.CaptureFixture[str]) -> None:
    found = benchmark_analyses.compare(150, rounds=1)
    kinds = " ".join(found)
    assert all(kind in kinds for kind in ("ANCOVA", "modified Poisson", "GEE", "logistic", "MMRM", "mixed"))
    for ours, theirs, apart, rival in found.values():
        assert ours > 0 < theirs
        assert rival.note or rival.same_model
        assert apart < (1e-5 if rival.same_model else 0.1)
    benchmark_analyses.report_comparison(150, found)
    assert capsys.readouterr().out.count("ms") == 2 * len(found)


def test_the_share_of_every_analysis_in_the_time_of_a_replicate(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = benchmark_analyses.shares(60, replicates=2)
    assert list(seconds) == ["simulation", *benchmark_analyses.PLAN]
    benchmark_analyses.report_shares(60, seconds)
    printed = re.findall(r"([\d.]+)%", capsys.readouterr().out)
    assert sum(map(float, printed)) == pytest.approx(100, abs=0.05 * len(seconds))


# --- the library ------------------------------------------------------------------------------------------------------


def test_what_a_scenario_costs_is_told_per_participant_of_resolve(capsys: pytest.CaptureFixture[str]) -> None:
    designs = {"resolve": resolve(40), "small": resolve(20)}
    benchmark_library.report(designs, [[0.002, 0.001, 0.005], [0.002, 0.001, 0.001]])
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["resolve"] == ["40", "2.00", "1.00", "5.00", "8.00", "1.00"]
    assert rows["small"] == ["20", "2.00", "1.00", "1.00", "4.00", "1.00"]


def test_every_stage_of_a_scenario_takes_time() -> None:
    ((simulating, measuring, analysing),) = benchmark_library.stage_seconds([resolve(36)], Effort(2, quick=True))
    assert min(simulating, measuring, analysing) > 0
