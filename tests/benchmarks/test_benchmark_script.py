"""The benchmark runs and reports what it promises. It says nothing about how fast this machine is."""

from __future__ import annotations

import importlib.util
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
