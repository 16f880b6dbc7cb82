"""The benchmark runs and reports what it promises. It says nothing about how fast this machine is."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from trialsim.design.reader import read_design

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_both_engines_are_timed_in_one_run_with_their_floors_and_ratios(
    benchmark_script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    design = read_design("resolve", overrides=["sample_size=12", "arms.coach.delivery.coaches=1"])
    found = benchmark_script.measure(design, rounds=1)
    assert found["events"] > 12
    assert all(value > 0 for value in found.values())
    benchmark_script.report("small", found)
    printed = capsys.readouterr().out
    for line in ("vector: data", "process: data", "bare SimPy loop", "bare draws", "with full tables", "with analysis"):
        assert line in printed


def test_analyses_are_timed_beside_statsmodels_and_find_what_it_finds(
    benchmark_script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    found = benchmark_script.compare(150, rounds=1)
    kinds = " ".join(found)
    assert all(kind in kinds for kind in ("ANCOVA", "modified Poisson", "GEE", "logistic", "MMRM", "mixed"))
    for ours, theirs, apart, rival in found.values():
        assert ours > 0 < theirs
        assert rival.note or rival.same_model
        assert apart < (1e-5 if rival.same_model else 0.1)
    benchmark_script.report_comparison(150, found)
    assert capsys.readouterr().out.count("ms") == 2 * len(found)


def test_the_share_of_every_analysis_in_the_time_of_a_replicate(
    benchmark_script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = benchmark_script.shares(60, replicates=2)
    assert list(seconds) == ["simulation", *benchmark_script.PLAN]
    benchmark_script.report_shares(60, seconds)
    printed = re.findall(r"([\d.]+)%", capsys.readouterr().out)
    assert sum(map(float, printed)) == pytest.approx(100, abs=0.05 * len(seconds))
