"""Performance of design points and of groups of them: against performance of each, and averages by brute force."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from designs import Data
from helpers import Array
from sweep_folders import MAIN, point_of, sizes_and_rates, small_design, sweep_of, write_sweep

from trialsim.analysis.estimates import MEAN_DIFFERENCE, Label
from trialsim.errors import ResultsError
from trialsim.experiments import runner
from trialsim.experiments.decisions import decide, power_rows
from trialsim.experiments.performance import mean_with_error
from trialsim.experiments.runner import Experiment, run
from trialsim.report.columns import short_names
from trialsim.report.layout import WIDTH
from trialsim.report.sweep_tables import summary_csv, summary_json, summary_text
from trialsim.sweeps.questions import AtPoint
from trialsim.sweeps.reading import Results, open_results
from trialsim.sweeps.summary import Summary, known_of, scaled, summarise
from trialsim.sweeps.sweep import DesignPoint

REPLICATES = 24
CONTRAST = Label("main", "coach - usual", "m3", MEAN_DIFFERENCE, "treatment policy")
RESPONDERS: Data = {"kind": "modified_poisson", "outcome": "pain"}


def made(folder: Path, points: list[DesignPoint], *, replicates: int = REPLICATES) -> Results:
    write_sweep(folder, sweep_of(points, replicates=replicates))
    return open_results(folder)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Four design points on the same luck."""
    return made(tmp_path_factory.mktemp("shared") / "s", sizes_and_rates())


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Four design points with luck of their own."""
    return made(tmp_path_factory.mktemp("apart") / "s", sizes_and_rates(crn=False))


def experiments(*, crn: bool = True) -> list[Experiment]:
    return [run(point.design, seed=point.seed, replicates=REPLICATES) for point in sizes_and_rates(crn=crn)]


def column(experiment: Experiment, name: str) -> Array:
    """A field of the estimates of the contrast, (R,)."""
    estimates = experiment.estimates
    assert estimates is not None
    return np.asarray(getattr(estimates, name)[:, estimates.labels.index(CONTRAST)])


def months(experiment: Experiment) -> Array:
    return np.asarray((experiment.measures["calendar/last_visit_day"] + 1) / 30.4375)


def cell(found: Summary, row: int, statistic: str, label: Label = CONTRAST) -> Any:
    return found.rows[row].cells[label, statistic]


def of_trial(what: str) -> Label:
    return Label("trial", "all arms", "", what, "")


# --- one design point -------------------------------------------------------------------------------------------------


def test_what_is_counted_of_the_trial(shared: Results) -> None:
    found = summarise(shared)
    for row, experiment in zip(found.rows, experiments(), strict=True):
        m = experiment.measures
        wanted = {
            "participants randomized": m["randomized/all"],
            "months to enrol": m["calendar/enrolment_months"],
            "months to the last visit": months(experiment),
            "coach hours": m["coaches/coach/hours"],
            "total cost": m["cost/total"],
        }
        for what, values in wanted.items():
            got = row.cells[of_trial(what), "mean"]
            assert (got.value, got.mcse, got.n_replicates) == pytest.approx(mean_with_error(values), rel=1e-12)


def test_decisions_are_among_it(tmp_path: Path) -> None:
    design = small_design(decisions={"wins": {"analysis": "main"}})
    found = summarise(made(tmp_path / "s", [point_of(0, design, {})]))
    estimates = run(design, replicates=REPLICATES).estimates
    assert estimates is not None
    for row in power_rows(decide(design, "wins", estimates)):
        assert found.rows[0].cells[row.label, row.statistic] == row


def test_luck_shows_the_error_of_every_statistic(shared: Results) -> None:
    """Every statistic has one value of luck per replicate, and it leads to the error that is reported."""
    here = AtPoint(shared, 0)
    for known in known_of(here):
        assert known.luck.shape == (REPLICATES,)
        size = scaled(known.luck, known.row.mcse)
        if size is not None:
            assert np.sqrt((size**2).sum()) == pytest.approx(known.row.mcse)


# --- averages over design points --------------------------------------------------------------------------------------


def test_shared_luck_is_averaged_replicate_by_replicate(shared: Results) -> None:
    found = summarise(shared, by=["sample_size"])
    assert [row.values for row in found.rows] == [{"sample_size": 40}, {"sample_size": 80}]
    assert [row.points for row in found.rows] == [(0, 1), (2, 3)]
    every = experiments()
    for row, pair in enumerate((every[:2], every[2:])):
        bias = np.mean([column(one, "estimate") - column(one, "truth") for one in pair], axis=0)
        assert cell(found, row, "bias").value == pytest.approx(bias.mean())
        assert cell(found, row, "bias").mcse == pytest.approx(bias.std(ddof=1) / np.sqrt(REPLICATES))
        duration = np.mean([months(one) for one in pair], axis=0)
        wanted = mean_with_error(duration)[:2]
        got = cell(found, row, "mean", of_trial("months to the last visit"))
        assert (got.value, got.mcse) == pytest.approx(wanted)
        hits = np.mean([column(one, "significant") for one in pair], axis=0)
        assert cell(found, row, "power").value == pytest.approx(hits.mean())
        assert cell(found, row, "power").mcse == pytest.approx(hits.std() / np.sqrt(REPLICATES))


def test_all_points_together_on_the_other_axis(shared: Results) -> None:
    found = summarise(shared, by=["recruitment.sites.north.rate_per_month"])
    every = experiments()
    bias = np.mean([column(every[k], "estimate") - column(every[k], "truth") for k in (0, 2)], axis=0)
    assert cell(found, 0, "bias").mcse == pytest.approx(bias.std(ddof=1) / np.sqrt(REPLICATES))
    assert cell(found, 0, "bias").n_replicates == 2 * REPLICATES


def test_luck_of_their_own_is_averaged_as_independent(apart: Results) -> None:
    found = summarise(apart, by=["sample_size"])
    every = summarise(apart)
    for statistic in ("bias", "power", "coverage", "empirical SE", "model SE", "MSE"):
        pair = [cell(every, k, statistic) for k in (0, 1)]
        got = cell(found, 0, statistic)
        assert got.value == pytest.approx(np.mean([one.value for one in pair]))
        assert got.mcse == pytest.approx(np.hypot(pair[0].mcse, pair[1].mcse) / 2)


def test_the_two_kinds_of_error_differ(shared: Results) -> None:
    """Points that differ only in recruitment have the same estimates on shared luck: nothing is gained by the second."""
    every, found = summarise(shared), summarise(shared, by=["sample_size"])
    assert cell(found, 0, "bias").mcse == pytest.approx(cell(every, 0, "bias").mcse)


def test_points_without_spread_count_as_one(shared: Results) -> None:
    """No fit failed anywhere: the error of that share is not made smaller by points on the same luck."""
    found, every = summarise(shared, by=["sample_size"]), summarise(shared)
    assert cell(found, 0, "failed fits").mcse == pytest.approx(cell(every, 0, "failed fits").mcse)
    assert cell(found, 0, "failed fits").mcse > 0


def test_a_frame_has_a_row_for_each_combination_and_statistic(shared: Results) -> None:
    frame = summarise(shared, by=["sample_size"]).frame()
    assert set(frame["n_points"]) == {2}
    assert not frame.duplicated(["sample_size", "analysis", "contrast", "visit", "measure", "statistic"]).any()


# --- choosing and refusing --------------------------------------------------------------------------------------------


def test_what_is_asked_for(shared: Results) -> None:
    frame = summarise(shared, analyses=["main"], visits=["m3"], statistics=["bias"]).frame()
    assert set(frame["statistic"]) == {"bias"}
    frame = summarise(shared, statistics=["total cost"]).frame()
    assert frame["measure"].tolist() == ["total cost"] * 4


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"by": ["sample"]}, "no axis is called 'sample'. Did you mean 'sample_size'?"),
        ({"analyses": ["mian"]}, "no analysis is called 'mian'. Did you mean 'main'?"),
        ({"visits": ["m6"]}, "no visit is called 'm6'. There are: m3."),
        ({"statistics": ["powr"]}, "no statistic is called 'powr'. Did you mean 'power'?"),
    ],
)
def test_names_that_there_are_not(shared: Results, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ResultsError) as refused:
        summarise(shared, **asked)
    assert str(refused.value) == said


def test_failed_fits_are_refused_unless_left_out(tmp_path: Path) -> None:
    design = small_design(sample_size=20, analyses={"main": MAIN, "responders": RESPONDERS})
    results = made(tmp_path / "s", [point_of(0, design, {})])
    with pytest.raises(ResultsError, match=r"design point 0: responders: \d+ of 24 replicates have a fit that failed"):
        summarise(results)
    estimates = run(design, replicates=REPLICATES).estimates
    assert estimates is not None
    found = summarise(results, skip_failed=True)
    label = next(label for label in estimates.labels if label.measure == "risk ratio")
    good = estimates.converged[:, estimates.labels.index(label)].sum()
    assert 0 < good < REPLICATES
    assert cell(found, 0, "power", label).n_replicates == good
    assert cell(found, 0, "power").n_replicates == REPLICATES
    assert cell(summarise(results, analyses=["main"]), 0, "power").n_replicates == REPLICATES


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Results:
    """The second design point's replicate 3 fails."""
    analyse = runner.analyse_block

    def broken(block: Any) -> Any:
        if block.world.design.sample_size == 80 and block.first <= 3 < block.first + block.n_replicates:
            raise ZeroDivisionError("no")
        return analyse(block)

    monkeypatch.setattr(runner, "analyse_block", broken)
    points = [point_of(k, small_design(sample_size=size), {"sample_size": size}) for k, size in enumerate((40, 80))]
    return made(tmp_path / "s", points)


def test_failed_replicates_are_refused_unless_left_out(failing: Results) -> None:
    with pytest.raises(ResultsError, match=r"^1 of 48 replicates failed \(design points 1; .*--skip-failed"):
        summarise(failing)
    found = summarise(failing, skip_failed=True)
    assert [cell(found, row, "bias").n_replicates for row in (0, 1)] == [24, 23]
    assert "failed replicates: 1" in repr(failing)


def test_points_with_replicates_missing_are_averaged_by_number(failing: Results, tmp_path: Path) -> None:
    """Luck belongs to the replicate's number, not to its place among those that are left."""
    both = summarise(failing, skip_failed=True)
    few, every = experiments()[0], run(small_design(sample_size=80), replicates=REPLICATES)
    a = column(few, "estimate") - column(few, "truth")
    b = column(every, "estimate") - column(every, "truth")
    assert every.replicates.tolist() == [r for r in range(REPLICATES) if r != 3]
    assert cell(both, 1, "bias").value == pytest.approx(b.mean())
    first, second = scaled(a, cell(both, 0, "bias").mcse), scaled(b, cell(both, 1, "bias").mcse)
    assert first is not None
    assert second is not None
    wanted = np.sqrt(((first + np.insert(second, 3, 0.0)) ** 2).sum()) / 2
    points = [point_of(k, small_design(sample_size=s), {"sample_size": s, "x": 1}) for k, s in enumerate((40, 80))]
    results = made(tmp_path / "again", points)
    assert cell(summarise(results, by=["x"], skip_failed=True), 0, "bias").mcse == pytest.approx(wanted)


# --- text and data ----------------------------------------------------------------------------------------------------


def test_the_table_fits_a_terminal(shared: Results) -> None:
    for asked in ({}, {"by": ["sample_size"]}, {"statistics": ["power", "bias", "coverage"]}, {"analyses": ["main"]}):
        text = summary_text(shared, **asked)
        assert max(map(len, text.splitlines())) <= WIDTH
    assert len(summary_text(shared).splitlines()) > 10


def test_the_table_in_words(shared: Results) -> None:
    lines = summary_text(shared, by=["sample_size"]).splitlines()
    assert lines[0] == "Sweep small"
    assert "points  sample_size  replicates          power         months" in "\n".join(lines)
    assert sum(line.strip().startswith("2           ") for line in lines) == 2
    assert "points share their luck" in " ".join(lines)
    assert "coach - usual at m3 (main, mean difference)" in " ".join(lines)


def test_scales_that_are_not_the_printed_one_are_named(tmp_path: Path, shared: Results) -> None:
    said = "For risk ratios, bias and standard errors are those of the logarithm."
    design = small_design(sample_size=200, analyses={"responders": RESPONDERS})
    ratios = made(tmp_path / "s", [point_of(0, design, {})], replicates=8)
    assert said in " ".join(summary_text(ratios, statistics=["bias"]).split())
    assert said not in " ".join(summary_text(ratios, statistics=["coverage"]).split())
    assert "logarithm" not in summary_text(shared, statistics=["bias"])


def test_every_point_has_its_row(shared: Results) -> None:
    frame = summarise(shared).frame()
    for point, power in frame[(frame["statistic"] == "power")].groupby("design_point")["value"].first().items():
        line = next(line for line in summary_text(shared).splitlines() if line.split()[:1] == [str(point)])
        assert f"{power:.3f} ±" in line


def test_an_axis_with_one_value_needs_no_column(tmp_path: Path) -> None:
    points = [point_of(k, small_design(sample_size=n), {"sample_size": n, "same": 7}) for k, n in enumerate((40, 50))]
    results = made(tmp_path / "s", points, replicates=4)
    assert "same" not in summary_text(results)
    assert "same" in summary_text(results, by=["same"])


def test_success_of_decisions_comes_first(tmp_path: Path) -> None:
    design = small_design(decisions={"wins": {"analysis": "main"}})
    text = summary_text(made(tmp_path / "s", [point_of(0, design, {})]))
    assert "success a" in text
    assert "a: decision wins." in text


def test_data_and_comma_separated_values(shared: Results) -> None:
    found = json.loads(json.dumps(summary_json(shared, by=["sample_size"])))
    assert [row["values"] for row in found["rows"]] == [{"sample_size": 40}, {"sample_size": 80}]
    frame = pd.read_csv(io.StringIO(summary_csv(shared, by=["sample_size"])))
    assert len(frame) == sum(len(row["statistics"]) for row in found["rows"])
    assert frame["value"].tolist() == pytest.approx([s["value"] for row in found["rows"] for s in row["statistics"]])


def test_short_names_tell_paths_apart() -> None:
    assert short_names(["a.b.size", "a.c.size", "sample_size", "x.rate"]) == {
        "a.b.size": "b.size",
        "a.c.size": "c.size",
        "sample_size": "sample_size",
        "x.rate": "rate",
    }
