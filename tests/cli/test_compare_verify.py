"""`trialsim compare` holds a simulation against published values, `trialsim verify` one engine against the other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden.small_trial import small_trial
from outside import Terminal, cells, titles, write_design

from trialsim.block import simulate_block
from trialsim.design import library as library_module
from trialsim.experiments import targets as targets_module
from trialsim.experiments import verify as verify_module
from trialsim.experiments.runner import run

REPLICATES = 12

Target = dict[str, Any]


def target(measure: str, published: float, half: float, **keys: Any) -> Target:
    """A target with a range of this half width around the published value."""
    limits = {"published": published, "low": published - half, "high": published + half}
    return {"measure": measure, "label": measure, **limits, "source": "seen: table 1", "kind": "fitted", **keys}


@pytest.fixture
def library(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of its own: the small trial, and what the tests put beside it."""
    folder = here / "library"
    (folder / "targets").mkdir(parents=True)
    write_design(folder / "small_trial.yaml")
    monkeypatch.setattr(targets_module, "library_dir", lambda: folder)
    return folder


@pytest.fixture(scope="module")
def simulated() -> dict[str, float]:
    """Means that the comparisons must find."""
    measures = run(small_trial(), replicates=REPLICATES).measures
    return {name: float(np.nanmean(values)) for name, values in measures.items()}


def put(library: Path, *targets: Target, note: str = "") -> Path:
    """Publish these values of the small trial."""
    file = library / "targets/small_trial.yaml"
    file.write_text(json.dumps({"design": "small_trial", "note": note, "targets": targets}))
    return library / "small_trial.yaml"


# --- compare ----------------------------------------------------------------------------------------------------------


def test_a_simulation_inside_its_ranges(terminal: Terminal, library: Path, simulated: dict[str, float]) -> None:
    started = round(simulated["treatment/coach/started"], 1)
    design = put(
        library,
        target("treatment/coach/started", started, 3.0),
        target("randomized/all", 90, 1, kind="predicted"),
        note="Held.",
    )
    result = terminal("compare", design, "--replicates", REPLICATES)
    assert (result.exit_code, result.stderr) == (0, "")
    assert titles(result.stdout) == [
        "A small trial of three arms: simulated against published",
        "Fitted: numbers of the design were chosen to meet these",
        "Predicted: not used to choose numbers",
    ]
    row = cells(result.stdout, "treatment/coach/started")
    assert row[:2] == [f"{started:.1f}", f"{started - 3:.1f} to {started + 3:.1f}"]
    assert row[2].startswith(f"{simulated['treatment/coach/started']:.1f} ± ")
    assert row[3:] == ["yes", "fitted", "seen: table 1"]
    assert cells(result.stdout, "randomized/all") == [
        "90.0",
        "89.0 to 91.0",
        "90.0 ± 0",
        "yes",
        "predicted",
        "seen: table 1",
    ]
    assert result.stdout.endswith(
        "\n\nHeld.\n\nFitted: 1 of 1, predicted: 1 of 1 inside their range (12 replicates). Simulated: mean ±\n"
        "Monte Carlo standard error.\n"
    )


def test_a_simulation_outside_a_range_is_exit_code_1(terminal: Terminal, library: Path) -> None:
    design = put(library, target("randomized/all", 90, 1), target("randomized/coach", 50, 5))
    result = terminal("compare", design, "--replicates", REPLICATES)
    assert (result.exit_code, result.stderr) == (1, "")
    assert cells(result.stdout, "randomized/all")[3] == "yes"
    assert cells(result.stdout, "randomized/coach")[3] == "NO"
    assert "\n\nFitted: 1 of 2 inside their range (12 replicates)." in result.stdout


def test_a_value_that_is_only_shown_is_not_held(terminal: Terminal, library: Path) -> None:
    design = put(library, target("randomized/all", 90, 1), target("randomized/coach", 50, 5, held=False))
    result = terminal("compare", design, "--replicates", REPLICATES)
    assert result.exit_code == 0
    held, shown = result.stdout.split("Shown, not held")
    assert "published  " not in shown
    assert "95% CI" not in shown
    assert "randomized/coach" not in held
    assert cells(shown, "randomized/coach")[:2] == ["50.0", "45.0 to 55.0"]
    assert "Fitted: 1 of 1 inside their range" in result.stdout


def test_estimates_and_power_are_held_too(terminal: Terminal, library: Path) -> None:
    estimates = run(small_trial(), replicates=REPLICATES).estimates
    assert estimates is not None
    place = estimates.place(analysis="change", contrast="coach - usual", visit="m3", measure="mean difference")
    mean, power = estimates.estimate[:, place].mean(), estimates.significant[:, place].mean()
    design = put(
        library,
        target("estimate/change/coach - usual/m3/mean difference", mean, 0.01),
        target("power/change/coach - usual/m3/mean difference", power, 0.01),
    )
    told = json.loads(terminal("compare", design, "--replicates", REPLICATES, "--json").stdout)
    assert [entry["simulated"] for entry in told] == pytest.approx([mean, power])
    assert [entry["inside"] for entry in told] == [True, True]


def test_a_ratio_is_averaged_on_the_log_scale(terminal: Terminal, library: Path) -> None:
    estimates = run(small_trial(), replicates=REPLICATES).estimates
    assert estimates is not None
    place = estimates.place(analysis="responders", contrast="coach - usual", visit="m3", measure="risk ratio")
    logs = np.log(estimates.estimate[:, place])
    design = put(library, target("estimate/responders/coach - usual/m3/risk ratio", 2.0, 1.9))
    (told,) = json.loads(terminal("compare", design, "--replicates", REPLICATES, "--json").stdout)
    mean = float(np.exp(logs.mean()))
    assert told["simulated"] == pytest.approx(mean)
    assert told["mcse"] == pytest.approx(mean * logs.std(ddof=1) / np.sqrt(REPLICATES))


def test_a_target_can_ask_for_more_replicates(terminal: Terminal, library: Path) -> None:
    design = put(library, target("randomized/all", 90, 1, replicates=20))
    (told,) = json.loads(terminal("compare", design, "--replicates", 5, "--json").stdout)
    assert told["n_replicates"] == 20


def test_json_tells_target_and_finding(terminal: Terminal, library: Path, simulated: dict[str, float]) -> None:
    design = put(library, target("randomized/coach", 30, 5, note="as planned"))
    result = terminal("compare", design, "--replicates", REPLICATES, "--json")
    (told,) = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told["simulated"] == pytest.approx(simulated["randomized/coach"])
    assert (told["published"], told["low"], told["high"], told["inside"]) == (30, 25, 35, True)
    assert (told["kind"], told["source"], told["note"]) == ("fitted", "seen: table 1", "as planned")


def test_what_never_happens_is_no_number_in_json(terminal: Terminal, library: Path) -> None:
    design = put(library, target("coaches/coach/mean_wait_days", 3, 1))
    nobody = ("--set", "funnel.reached.prob=0")
    result = terminal("compare", design, "--replicates", 2, *nobody, "--json")
    assert json.loads(result.stdout, parse_constant=pytest.fail)[0]["simulated"] is None
    assert result.exit_code == 1
    assert cells(terminal("compare", design, "--replicates", 2, *nobody).stdout, "coaches/coach/mean_wait_days")[
        2:4
    ] == ["-", "NO"]


def test_a_scenario_without_targets(terminal: Terminal, small: Path, library: Path) -> None:
    result = terminal("compare", small)
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr
        == "trialsim: there are no published targets for 'small_trial'. Targets: none; or name a file by --targets.\n"
    )
    (library / "targets/other.yaml").write_text("")
    assert terminal("compare", small).stderr.endswith("Targets: other; or name a file by --targets.\n")


def test_a_design_is_held_against_targets_of_ones_own(terminal: Terminal, library: Path) -> None:
    design = put(library, target("randomized/coach", 30, 5))
    own = library / "targets/small_trial.yaml"
    elsewhere = own.rename(design.parent / "own.yaml")
    result = terminal("compare", design, "--targets", elsewhere, "--replicates", 2)
    assert result.exit_code == 0
    assert cells(result.stdout, "randomized/coach")[-1] != ""
    assert terminal("compare", "--all", "--targets", elsewhere).exit_code == 2


@pytest.mark.parametrize(
    ("measure", "told"),
    [
        ("randomized/nobody", "target 'it': the simulation has no measure 'randomized/nobody'."),
        (
            "power/change/coach - web/m3/mean difference",
            "the design's analyses have no 'change/coach - web/m3/mean difference'.",
        ),
        ("estimate/change", "target 'it': the design's analyses have no 'change'."),
    ],
)
def test_a_target_that_is_not_simulated(terminal: Terminal, library: Path, measure: str, told: str) -> None:
    result = terminal("compare", put(library, target(measure, 1, 1) | {"label": "it"}), "--replicates", 2)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("trialsim: target 'it': ")
    assert result.stderr.endswith(f"{told}\n")


def test_a_target_over_failed_fits_is_refused(terminal: Terminal, library: Path) -> None:
    design = put(library, target("power/responders/coach - usual/m3/risk ratio", 0.5, 0.5) | {"label": "power"})
    result = terminal("compare", design, "--replicates", 20, "--set", "sample_size=24")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "fits failed, so its mean would be over selected replicates." in result.stderr


def test_mistakes_in_a_targets_file_are_told_with_their_place(terminal: Terminal, library: Path) -> None:
    design = put(library, target("randomized/all", 90, 1, knid="fitted"))
    result = terminal("compare", design)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "targets.0.knid: unknown key. " in result.stderr
    put(library)
    assert "targets: must" in terminal("compare", design).stderr


def test_a_benchmark_stands_apart_and_a_miss_is_told_with_its_distance_and_note(
    terminal: Terminal, library: Path
) -> None:
    note = "No arm was randomized there."
    design = put(library, target("randomized/all", 90, 1), target("randomized/coach", 50, 5, benchmark=True, note=note))
    result = terminal("compare", design, "--replicates", REPLICATES)
    assert result.exit_code == 1
    fitted, benchmarks = result.stdout.split("Uncontrolled benchmarks: not effects of randomization\n")
    assert "randomized/coach" not in fitted
    assert cells(benchmarks, "randomized/coach")[3] == "NO"
    assert "Outside their range:\n\n- randomized/coach: 4.0 tolerances below 50.0. " + note in benchmarks
    assert "Fitted: 1 of 1, benchmarks: 0 of 1 inside their range" in result.stdout


def test_the_standard_error_of_an_estimate_is_held_too(terminal: Terminal, library: Path) -> None:
    estimates = run(small_trial(), replicates=REPLICATES).estimates
    assert estimates is not None
    place = estimates.place(analysis="responders", contrast="coach - usual", visit="m3", measure="risk ratio")
    mean = estimates.std_error[:, place].mean()
    design = put(library, target("std_error/responders/coach - usual/m3/risk ratio", mean, 0.001))
    (told,) = json.loads(terminal("compare", design, "--replicates", REPLICATES, "--json").stdout)
    assert told["simulated"] == pytest.approx(mean)
    assert told["distance"] == pytest.approx(0, abs=1e-6)


# --- the whole library ------------------------------------------------------------------------------------------------


@pytest.fixture
def two_scenarios(library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of two scenarios; what is published of the first is up to the test."""
    write_design(library / "other.yaml", name="other")
    monkeypatch.setattr(library_module, "library_dir", lambda: library)
    return library


def test_one_table_over_the_library(terminal: Terminal, two_scenarios: Path) -> None:
    put(
        two_scenarios,
        target("randomized/all", 90, 1),
        target("randomized/usual", 25, 2.5),
        target("randomized/coach", 50, 5),
        target("randomized/web", 30, 9, kind="predicted"),
        target("randomized/web", 30, 9, kind="predicted", benchmark=True, label="seen elsewhere"),
    )
    usual = run(small_trial(), replicates=REPLICATES).measures["randomized/usual"].mean()
    inside = abs(usual - 25) <= 2.5
    result = terminal("compare", "--all", "--replicates", REPLICATES)
    assert (result.exit_code, result.stderr) == (0, "")
    assert cells(result.stdout, "other") == ["-", "-", "-", "no targets", "-"]
    met, predicted, benchmarks, miss, n = cells(result.stdout, "small_trial")
    assert (met, predicted, benchmarks, n) == (f"{1 + inside} of 3", "1 of 1", "1 of 1", str(REPLICATES))
    assert miss == "randomized/coach (-4.0)"
    told = json.loads(terminal("compare", "--all", "--replicates", REPLICATES, "--json").stdout)
    assert [row["scenario"] for row in told] == ["other", "small_trial"]
    assert told[1]["worst_miss"]["distance"] == pytest.approx(-4, abs=0.2)
    assert told[1]["inside"]["predicted"] == {"met": 1, "held": 1}


def test_a_scenario_that_is_refused_does_not_end_the_table(terminal: Terminal, two_scenarios: Path) -> None:
    put(two_scenarios, target("randomized/nobody", 90, 1))
    result = terminal("compare", "--all", "--replicates", 2)
    assert result.exit_code == 1
    assert cells(result.stdout, "other") == ["-", "-", "-", "no targets", "-"]
    assert "- small_trial: target 'randomized/nobody': the simulation has no measure" in result.stdout


def test_the_engines_agree_on_the_library(terminal: Terminal, two_scenarios: Path) -> None:
    result = terminal("verify", "--all")
    assert (result.exit_code, result.stderr) == (0, "")
    assert cells(result.stdout, "small_trial") == cells(result.stdout, "other") == ["1", "1"]
    assert result.stdout.endswith("\nThe engines agree exactly in 2 of 2 scenarios.\n")


def test_a_difference_in_one_scenario_is_exit_code_1(
    terminal: Terminal, two_scenarios: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulate(world: Any, **how: Any) -> Any:
        block = simulate_block(world, **how)
        if how["engine"] == "process" or world.design.name != "other":
            return block
        return replace(block, histories=replace(block.histories, randomized_day=block.histories.randomized_day + 1))

    monkeypatch.setattr(verify_module, "simulate_block", simulate)
    result = terminal("verify", "--all", "--replicates", 2)
    assert result.exit_code == 1
    assert (cells(result.stdout, "other"), cells(result.stdout, "small_trial")) == (["0", "2"], ["2", "2"])
    assert "other, replicate 0, participants: randomized_day[0, 0]: process " in result.stdout


@pytest.mark.parametrize("command", ["compare", "verify"])
@pytest.mark.parametrize("words", [(), ("resolve", "--all"), ("--all", "--set", "sample_size=30")])
def test_either_a_design_or_all(terminal: Terminal, command: str, words: tuple[str, ...]) -> None:
    result = terminal(command, *words)
    assert (result.exit_code, result.stdout) == (2, "")


# --- verify -----------------------------------------------------------------------------------------------------------


def test_the_engines_agree_in_every_part(terminal: Terminal, small: Path) -> None:
    result = terminal("verify", small, "--replicates", 3, "--seed", 7)
    assert (result.exit_code, result.stderr) == (0, "")
    for part in ("participants", "sessions", "observations", "events"):
        assert cells(result.stdout, part) == ["3", "3"]
    assert result.stdout.endswith("\nThe engines agree exactly in 3 of 3 replicates.\n")


@pytest.mark.parametrize(
    ("part", "holder", "field", "place"),
    [
        ("participants", "histories", "arm", (11, 0)),
        ("participants", "histories", "funnel", (2, 0)),
        ("participants", "histories", "ended_day", (5, 0)),
        ("sessions", "histories", "attended_day", (2, 7, 0)),
        ("observations", "follow", "observed_day", (1, 4, 0)),
        ("observations", "outcomes", "realised", (0, 1, 9, 0)),
    ],
)
def test_a_difference_between_the_engines_is_exit_code_1_with_its_place(
    terminal: Terminal,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    holder: str,
    field: str,
    place: tuple[int, ...],
) -> None:
    def simulate(world: Any, **how: Any) -> Any:
        block = simulate_block(world, **how)
        if (how["engine"], how["first"]) != ("vector", 1):
            return block
        values = getattr(getattr(block, holder), field).copy()
        values[place] += 1
        return replace(block, **{holder: replace(getattr(block, holder), **{field: values})})

    monkeypatch.setattr(verify_module, "simulate_block", simulate)
    result = terminal("verify", small, "--replicates", 3)
    assert (result.exit_code, result.stderr) == (1, "")
    assert cells(result.stdout, part) == ["2", "3"]
    name = "value" if field == "realised" else field
    (line,) = [
        line
        for line in result.stdout.splitlines()
        if line.startswith(f"replicate 1, {part}: {name}{list(place)}: process ")
    ]
    process, vector = (int(word) for word in line.split("process ")[1].split(" (")[0].split(", vector "))
    assert vector == process + 1
    assert "(differing values: 1)" in line
    assert "\nThe engines agree exactly in 2 of 3 replicates.\n" in result.stdout


def test_two_values_that_are_exchanged_are_found(
    terminal: Terminal, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost and nothing added: only every single value shows it."""

    def simulate(world: Any, **how: Any) -> Any:
        block = simulate_block(world, **how)
        if how["engine"] == "process":
            return block
        days = block.histories.randomized_day.copy()
        days[[0, -1]] = days[[-1, 0]]
        return replace(block, histories=replace(block.histories, randomized_day=days))

    monkeypatch.setattr(verify_module, "simulate_block", simulate)
    result = terminal("verify", small, "--replicates", 1)
    assert result.exit_code == 1
    assert "replicate 0, participants: randomized_day[0, 0]: process " in result.stdout
    assert "(differing values: 2)" in result.stdout


def test_a_difference_in_the_event_list_is_found(
    terminal: Terminal, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trialsim.engines import events

    real = events.derive_events
    monkeypatch.setattr("trialsim.block.derive_events", lambda *args: (real(*args)[0][1:], real(*args)[1] - 1))
    result = terminal("verify", small, "--replicates", 1)
    assert result.exit_code == 1
    assert cells(result.stdout, "events") == ["0", "1"]
    assert cells(result.stdout, "participants") == ["1", "1"]
    assert "replicate 0, events: event: process has int32 (" in result.stdout
