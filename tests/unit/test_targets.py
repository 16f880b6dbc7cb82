"""Published values: the library's own files are sound, and a comparison says what it must."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from designs import design
from golden.small_trial import small_trial

from trialsim.design.library import library, library_dir
from trialsim.design.reader import read_design
from trialsim.errors import DesignError, ResultsError, TrialsimError
from trialsim.experiments import runner
from trialsim.experiments import targets as targets_module
from trialsim.experiments.runner import run
from trialsim.experiments.targets import Finding, Target, Targets, compare, targets_of
from trialsim.report.comparison import comparison_text

PUBLISHED = sorted(path.stem for path in (library_dir() / "targets").glob("*.yaml"))


def target(**keys: Any) -> Target:
    usual = {"measure": "randomized/all", "label": "all", "published": 90.0, "low": 89.0, "high": 91.0}
    return Target(**{**usual, "source": "seen: abstract", "kind": "fitted", **keys})


# --- the library's files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values_lie_in_their_own_ranges_and_say_where_they_are_from(name: str) -> None:
    targets = targets_of(name)
    assert targets.design == name
    assert name in library()
    for one in targets.targets:
        assert one.low <= one.published <= one.high, one.label
        assert any(word in one.source for word in ("seen", "seed", "data", "derived", "assumed", "recalled")), one.label
        assert one.held or targets.note, f"{one.label} is not held, and nothing says why"
    rows = [(one.measure, one.design, one.published) for one in targets.targets]
    assert len(set(rows)) == len(rows)
    labels = [one.label for one in targets.targets]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_value_is_simulated(name: str) -> None:
    """Two replicates suffice to know that all measures exist."""
    targets = targets_of(name)
    few = targets.model_copy(
        update={"targets": tuple(t.model_copy(update={"replicates": None}) for t in targets.targets)}
    )
    findings = compare(read_design(name), few, replicates=2)
    assert [finding.target.measure for finding in findings] == [one.measure for one in targets.targets]
    assert [finding.target.label for finding in findings if math.isnan(finding.value)] == []


def test_resolve_is_published() -> None:
    assert "resolve" in PUBLISHED
    assert len(targets_of("resolve").targets) > 50


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_scenario_without_targets_is_refused() -> None:
    with pytest.raises(TrialsimError, match=r"^there are no published targets for 'nobody'\. Targets: .*resolve"):
        targets_of("nobody")


def test_a_targets_file_tells_its_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "targets").mkdir()
    good = target().model_dump(exclude_none=True)
    bad = {**good, "kind": "guessed"}
    del bad["source"]
    (tmp_path / "targets/mine.yaml").write_text(json.dumps({"design": "mine", "targets": [good, bad]}))
    monkeypatch.setattr(targets_module, "library_dir", lambda: tmp_path)
    with pytest.raises(DesignError) as refused:
        targets_of("mine")
    assert {fault.path for fault in refused.value.faults} == {"targets.1.source", "targets.1.kind"}
    assert all(fault.where.startswith(f"{tmp_path}/targets/mine.yaml:1:") for fault in refused.value.faults)


# --- comparing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "inside"),
    [(89.0, True), (91.0, True), (90.3, True), (88.999, False), (91.001, False), (math.nan, False)],
)
def test_the_ends_of_a_range_are_inside(value: float, inside: bool) -> None:
    assert Finding(target(), value, 0.1, 10).inside is inside


@pytest.mark.parametrize(
    ("value", "distance"), [(90.0, 0), (91.0, 1), (92.0, 2), (88.0, -1), (84.0, -3), (math.nan, math.nan)]
)
def test_a_distance_is_in_half_widths_of_its_side(value: float, distance: float) -> None:
    one = target(low=88.0, high=91.0)
    assert Finding(one, value, 0.1, 10).distance == pytest.approx(distance, nan_ok=True)


def test_a_ratio_is_as_far_below_as_above_on_the_log_scale() -> None:
    one = target(measure="estimate/a/b - c/m3/risk ratio", published=2.0, low=1.0, high=4.0)
    assert [one.distance(x) for x in (0.5, 1.0, 2.0, 8.0)] == pytest.approx([-2, -1, 0, 2])
    assert target(measure="std_error/a/b - c/m3/risk ratio").distance(91.5) == 1.5


def test_a_side_without_width_takes_the_other_sides_and_none_has_no_distance() -> None:
    assert target(low=90.0).distance(88.0) == -2
    assert target(high=90.0).distance(92.0) == 2
    assert math.isnan(target(low=90.0, high=90.0).distance(92.0))


def test_findings_are_in_the_order_of_the_file_and_each_from_its_own_design(monkeypatch: pytest.MonkeyPatch) -> None:
    other = small_trial(sample_size=30)
    monkeypatch.setattr(targets_module, "read_design", lambda name: {"other": other}[name])
    wanted = Targets(
        design="small_trial",
        targets=(
            target(measure="randomized/all", design="other", replicates=7),
            target(measure="randomized/all"),
            target(measure="randomized/coach", design="other"),
            target(measure="randomized/coach"),
        ),
    )
    findings = compare(small_trial(), wanted, replicates=5, seed=3)
    assert [f.target for f in findings] == list(wanted.targets)
    assert [f.value for f in findings[:2]] == [30.0, 90.0]
    assert [f.n_replicates for f in findings] == [7, 5, 7, 5]
    assert findings[2].value == run(other, seed=3, replicates=7).measures["randomized/coach"].mean()


def test_a_failed_replicate_ends_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(block: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(runner, "measure", fails)
    with pytest.raises(ResultsError, match=r"^replicate 0 failed in measures: ValueError: no\. Nothing is compared\.$"):
        compare(small_trial(), Targets(design="small_trial", targets=(target(),)), replicates=3)


def test_a_design_without_analyses_has_no_estimates_to_compare() -> None:
    wanted = Targets(design="test", targets=(target(measure="power/main/a - b/m3/risk ratio"),))
    with pytest.raises(ResultsError, match="the design's analyses have no 'main/a - b/m3/risk ratio'"):
        compare(design(sample_size=20), wanted, replicates=2)


# --- as text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "low", "high", "shown"),
    [
        (778.0, 770.2, 785.8, "770.2 to 785.8"),
        (0.9, 0.89, 0.94, "0.890 to 0.940"),
        (5.9, 5.8, 6.0, "5.80 to 6.00"),
        (-0.8, -0.95, -0.65, "-0.95 to -0.65"),
        (62_125.0, 55_000.0, 70_000.0, "55,000 to 70,000"),
        (0.0, 0.0, 0.0, "0.0 to 0.0"),
    ],
)
def test_ranges_are_shown_with_the_digits_they_need(published: float, low: float, high: float, shown: str) -> None:
    one = target(published=published, low=low, high=high)
    text = comparison_text(small_trial(), Targets(design="x", targets=(one,)), [Finding(one, published, 0.01, 50)])
    assert f"  {shown}  " in text


def test_different_numbers_of_replicates_are_told() -> None:
    one, two = target(label="one"), target(label="two")
    found = [Finding(one, 90.0, 0.1, 50), Finding(two, 95.0, 0.1, 5_000)]
    text = comparison_text(small_trial(), Targets(design="x", targets=(one, two)), found)
    assert "Fitted: 1 of 2 inside their range (50 to 5000 replicates)." in text
