"""The benchmark of the live page runs and reports what it promises. It says nothing about how fast this machine is."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import benchmark_page


def test_every_section_is_measured_without_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_page, "CHROMIUM", ())  # a browser is for the tests in a browser
    benchmark_page.main(["--quick", "--workers", "1"])
    printed = capsys.readouterr().out
    for words in (
        "release at once",
        "after a drag",
        "at once:",
        "answers per second",
        "beside a slow one",
        "the slow one",
    ):
        assert words in printed
    assert printed.count(" 0 errors") == 6
    assert "in Chromium:          not measured" in printed
    assert re.search(r"\bnan\b", printed) is None or not sys.platform.startswith("linux")


def test_waits_are_told_by_their_middle_and_their_end() -> None:
    times = benchmark_page.Times([float(k) for k in range(1, 101)], ["503: busy"], seconds=4.0)
    assert times.shown() == "median 50 ms, 95% within 96 ms, range 1 to 100 ms, n = 100, 1 errors"
    assert times.rate == 25.0
    assert "nothing, 0 errors" in benchmark_page.Times().shown()
