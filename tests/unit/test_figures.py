"""Figures: that they are drawn, legible, true to the trials behind them, and the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from designs import Data, busy, coached, design, grouped, kinds, score, usual
from matplotlib.figure import Figure
from sweep_folders import point_of, sizes_and_rates, small_design, sweep_of, write_sweep

from trialsim.design.parts import Design
from trialsim.design.reader import resolved_yaml
from trialsim.errors import TrialsimError
from trialsim.experiments.decisions import decide, family_wise_error
from trialsim.experiments.nulls import null_designs
from trialsim.experiments.runner import run
from trialsim.report.figures import KINDS, Material, alt, caption, draw, gather, kinds_of, save, svg
from trialsim.report.figures.boxes import cut_off, overlapping, text_boxes
from trialsim.report.figures.flow import flow_of
from trialsim.report.figures.kinds import Asked
from trialsim.report.figures.quantities import Quantity, truth_of
from trialsim.report.figures.series import Series
from trialsim.report.figures.studied import average, axes_of, statistics_of
from trialsim.report.figures.style import Look, Size, tokens
from trialsim.sweeps.best import best
from trialsim.sweeps.summary import summarise
from trialsim.trial import TrialData, simulate

SEED = 3
OF_TRIALS = [name for name, kind in KINDS.items() if kind.of == "trial"]
OF_SWEEPS = [name for name, kind in KINDS.items() if kind.of == "sweep"]
ANALYSES: Data = {"main": {"kind": "linear", "outcome": "pain"}}
DECISIONS: Data = {"primary": {"analysis": "main", "procedure": {"kind": "holm"}}}
LONG = "A programme with a name that is much too long for any box, told by {} to everybody who will listen"


def many_arms() -> Design:
    """Six arms with long names, coached, in groups, alone; long names of outcome, visits, steps and reasons as well."""
    names = [
        "by_coach",
        "in_groups",
        "in_other_groups",
        "by_other_coach",
        "by_nobody",
        "with_a_very_long_name_in_files",
    ]
    delivered = [coached(), grouped(), grouped(size=3), coached(sessions=2), usual(), usual()]
    arms = {
        name: {**arm, "label": LONG.format(name), "withdrawal_prob": 0.1}
        for name, arm in zip(names, delivered, strict=True)
    }
    visits = {f"v{k}": {"day": 30 * k, "closes": 20, "label": f"assessment number {k} of five"} for k in range(1, 6)}
    return design(
        sample_size=90,
        arms=arms,
        visits=visits,
        outcomes={"pain": score(label="pain on a scale with a name that fills a line and more than a line of a panel")},
        recruitment={"sites": {f"a_site_with_quite_a_long_name_{k}": {"rate_per_month": 9.0} for k in range(14)}},
        funnel={
            "asked for an interview on the telephone": {
                "prob": 0.7,
                "losses": {"did not want to be disturbed again after the first letter": 2.0, "cannot be reached": 1.0},
            },
            "enrolled": {"criteria": {"excluded for a reason": {"excluded_prob": 0.2}}},
        },
        analyses=ANALYSES,
        decisions=DECISIONS,
    )


def planned(trial: Design) -> Design:
    """With an analysis and a decision."""
    return Design.model_validate(trial.model_dump(mode="json") | {"analyses": ANALYSES, "decisions": DECISIONS})


def written(folder: Path, trial: Design) -> str:
    """A design as a file."""
    path = folder / f"{trial.name}.yaml"
    path.write_text(resolved_yaml(trial), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Eight replicates of a trial in which much goes on."""
    return gather(written(tmp_path_factory.mktemp("busy"), planned(busy())), replicates=8, seed=SEED)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """One replicate of the same."""
    return gather(written(tmp_path_factory.mktemp("one"), planned(busy())), replicates=1, seed=SEED)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Three replicates of a trial with six arms and long names."""
    return gather(written(tmp_path_factory.mktemp("crowd"), many_arms()), replicates=3, seed=SEED)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A sweep of two axes whose design points share their luck."""
    folder = tmp_path_factory.mktemp("sweep") / "s"
    write_sweep(folder, sweep_of(sizes_and_rates(), replicates=24))
    return gather(folder)


@pytest.fixture(scope="module")
def trial() -> TrialData:
    """The first replicate of the trial in which much goes on, as its tables have it."""
    return simulate(planned(busy()), seed=SEED, engine="process")


# --- drawn and legible ------------------------------------------------------------------------------------------------


def legible(figure: Figure) -> bool:
    """Whether no two texts cover each other, and none leaves the figure."""
    boxes = text_boxes(figure)
    assert overlapping(boxes) == []
    assert cut_off(boxes, figure) == []
    return True


@pytest.mark.parametrize("kind", OF_TRIALS)
def test_a_trial_s_figures_are_legible_and_told_in_words(eight: Material, kind: str) -> None:
    assert KINDS[kind].available(eight) is True
    assert legible(draw(eight, kind))
    assert f"seed {SEED}" in caption(eight, kind)
    assert len(alt(eight, kind)) > 40


@pytest.mark.parametrize("kind", ["staff", "attendance", "trajectories", "responders", "missing", "forest"])
def test_six_arms_with_long_names_are_legible(crowded: Material, kind: str) -> None:
    size: Size = "page" if kind in ("missing", "staff") else "projector"
    assert legible(draw(crowded, kind, size=size, dark=size == "projector"))


@pytest.mark.parametrize("size", ["page", "projector"])
def test_many_arms_go_through_a_flow_diagram(crowded: Material, size: Size) -> None:
    figure = draw(crowded, "consort", size=size)
    assert legible(figure)
    assert legible(draw(crowded, "enrolment", size=size))


def test_outcomes_of_every_kind_have_their_figures(tmp_path: Path) -> None:
    material = gather(written(tmp_path, kinds()), replicates=4)
    assert legible(draw(material, "trajectories"))
    assert legible(draw(material, "responders"))
    for outcome in ("return", "admission", "opioids"):
        assert isinstance(draw(material, "trajectories", outcome=outcome), Figure)
    assert "Not shown: return; admission; opioids" in caption(material, "responders")


def test_one_replicate_has_all_figures_but_those_of_chances(single: Material) -> None:
    assert kinds_of(single) == [name for name in OF_TRIALS if name not in ("power", "errors")]
    assert all(legible(draw(single, kind)) for kind in ("consort", "forest", "responders", "calendar"))


def test_one_arm_alone_has_a_flow_diagram(tmp_path: Path) -> None:
    alone = design(arms={"coach": coached()}, allocation={"kind": "simple", "ratio": {"coach": 1}})
    material = gather(written(tmp_path, alone), replicates=2)
    assert legible(draw(material, "consort"))
    assert KINDS["forest"].available(material) == "the design has no analyses"


@pytest.mark.parametrize("kind", OF_SWEEPS)
def test_figures_of_a_sweep_are_legible_and_told_in_words(swept: Material, kind: str) -> None:
    assert kinds_of(swept) == OF_SWEEPS
    assert legible(draw(swept, kind))
    assert legible(draw(swept, kind, size="projector"))
    assert "24 replicates of each" in caption(swept, kind)
    assert "MCSE" in alt(swept, kind) or "±" in alt(swept, kind)


def test_the_check_sees_texts_that_cover_each_other_or_leave(eight: Material) -> None:
    figure = draw(eight, "attendance")
    figure.text(0.3, 0.5, "one text")
    figure.text(0.31, 0.5, "another")
    figure.text(0.98, 0.9, "too far right")
    boxes = text_boxes(figure)
    assert overlapping(boxes) == [("one text", "another")]
    assert cut_off(boxes, figure) == ["too far right"]


def test_a_trial_nobody_joins_has_the_figures_that_there_can_be(tmp_path: Path) -> None:
    empty = design(recruitment={"sites": {"north": {"rate_per_month": 0.0}}}, analyses=ANALYSES)
    material = gather(written(tmp_path, empty), replicates=2)
    for kind in OF_TRIALS:
        found = KINDS[kind].available(material)
        if found is True:
            assert isinstance(draw(material, kind), Figure), kind
            assert caption(material, kind)
            assert alt(material, kind)
    assert KINDS["enrolment"].available(material) == "nobody is enrolled"


def test_arms_are_told_apart_without_colour() -> None:
    look = Look()
    assert len({look.marker(k) for k in range(6)}) == 6
    assert len({str(look.dashes(k)) for k in range(6)}) == 6
    assert len({look.hatch(k) for k in range(6)}) == 6


# --- true to the trials -----------------------------------------------------------------------------------------------


def test_the_flow_of_one_trial_is_what_was_measured(single: Material, trial: TrialData) -> None:
    flow, measures = flow_of(single, Asked()), single.measures
    people, seen = trial.participants, trial.observations
    assert flow.contacted.value == measures["funnel/contacted"][0]
    before = flow.contacted.value
    for step in flow.steps:
        assert before - step.passed.value == step.all_lost.value == sum(count.value for _, count in step.lost)
        before = step.passed.value
    assert before == flow.randomized.value == len(people)
    for arm, name in zip(flow.arms, single.world.arms, strict=True):
        mine = people[people["arm"] == name]
        assert arm.n.value == len(mine) == measures[f"randomized/{name}"][0]
        assert arm.started.value == (mine["n_sessions"] > 0).sum()
        assert arm.unstarted.value == (mine["n_sessions"] == 0).sum()
        if arm.treated:
            assert sum(count.value for _, count in arm.not_started) == arm.unstarted.value
            assert sum(count.value for _, count in arm.classes) == len(mine)
        for (_, answered, why), visit in zip(arm.visits, single.world.visits, strict=True):
            here = seen[(seen["arm"] == name) & (seen["visit"] == visit) & (seen["outcome"] == "pain")]
            assert answered.value == here["reason_missing"].isna().sum()
            for reason, count in why:
                assert count.value == (here["reason_missing"] == reason).sum()
        assert [unused.value + used.value for _, used, unused in arm.analysed] == [len(mine)] * 3


def test_the_mean_flow_has_the_errors_of_the_summary(eight: Material) -> None:
    flow = flow_of(eight, Asked())
    contacted = eight.measures["funnel/contacted"]
    assert flow.contacted.value == contacted.mean()
    assert flow.contacted.mcse == pytest.approx(contacted.std(ddof=1) / np.sqrt(8))
    answered = eight.measures["observed/coach/m6"] / 100 * eight.measures["randomized/coach"]
    assert flow.arms[0].visits[1][1].value == pytest.approx(answered.mean())
    one = flow_of(eight, Asked(replicate=5))
    assert one.contacted.value == contacted[5]
    assert one.arms[0].visits[1][1].value == pytest.approx(answered[5])


def test_courses_over_time_are_those_of_the_tables(eight: Material, trial: TrialData) -> None:
    series, people = eight.series, trial.participants
    resources = trial.table("resources").to_pandas()
    by_day = series.enrolled[0].sum(axis=0)
    assert by_day.nonzero()[0].tolist() == sorted(set(people["randomized_day"]))
    assert series.enrolled[0].sum(axis=1).tolist() == [(people["site"] == site).sum() for site in eight.world.sites]
    staff = series.staff["coach"]
    waiting = resources[resources["coach"].isna()].set_index("day")["waiting"]
    in_use = resources[resources["coach"].notna()].groupby("day")["in_use"].sum()
    assert all(staff.waiting[0, day] == n for day, n in waiting.items())
    assert all(staff.in_use[0, day] == n for day, n in in_use.items())
    assert staff.waiting[0].sum() == waiting.sum() > 0
    served = people[people["offered_day"].notna()]
    waits = (served["offered_day"] - served["asked_day"]).value_counts()
    assert all(staff.waits[0, int(days)] == n for days, n in waits.items())


def test_the_true_mean_is_that_of_the_potential_outcomes(single: Material, trial: TrialData) -> None:
    truth = trial.table("truth").to_pandas()
    mean = truth[(truth["arm"] == "web") & (truth["outcome"] == "pain")].groupby("visit", observed=True)["value"].mean()
    found = truth_of(single, "pain", "web", Quantity("", "mean"))
    assert found is not None
    assert found.tolist() == pytest.approx([mean[visit] for visit in single.world.visits])


def test_patterns_count_everybody_once(eight: Material) -> None:
    series: Series = eight.series
    replicate, arm, _, n = series.patterns.T
    for k, name in enumerate(eight.world.arms):
        totals = [n[(replicate == r) & (arm == k)].sum() for r in range(8)]
        assert totals == eight.measures[f"randomized/{name}"].tolist()


def test_type_one_error_is_that_of_power_nulls(tmp_path: Path) -> None:
    small = small_design(
        analyses={**ANALYSES, "spare": {"kind": "linear", "outcome": "pain"}}, decisions={"d": {"analysis": "main"}}
    )
    material = gather(written(tmp_path, small), replicates=20, seed=SEED)
    expected = []
    for parts, null in null_designs(small):
        experiment = run(null, seed=SEED, replicates=20)
        assert experiment.estimates is not None
        expected.append((parts, "d", family_wise_error(decide(null, "d", experiment.estimates), parts)))
    assert material.nulls == expected


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of five replicates on disk."""
    from trialsim.experiments import store

    small = small_design(decisions={"d": {"analysis": "main"}})
    experiment = run(small, seed=SEED, replicates=5)
    key = store.run_key(small, SEED, 0, 5, "vector")
    with store.new_folder(tmp_path / "run", key) as place:
        store.write_experiment(place, experiment, [])
        store.write_manifest(place, small, key, "trialsim run", 0.1)
    return tmp_path / "run"


def test_a_folder_and_its_design_give_the_same_figures(folder: Path, tmp_path: Path) -> None:
    stored, fresh = gather(folder), gather(str(folder / "design.yaml"), replicates=5, seed=SEED)
    for kind in ("consort", "power", "attendance"):
        paths = [tmp_path / f"{name}.svg" for name in ("stored", "fresh")]
        for material, path in zip((stored, fresh), paths, strict=True):
            save(draw(material, kind), path)
        assert paths[0].read_bytes() == paths[1].read_bytes(), kind


def test_trials_that_are_not_those_stored_are_refused(folder: Path) -> None:
    file = folder / "data" / "replicates.parquet"
    rows = pq.read_table(file)
    other = pa.array(["0" * 16] * len(rows), type=rows["digest"].type)
    changed = rows.set_column(rows.column_names.index("digest"), "digest", other)
    pq.write_table(changed.replace_schema_metadata(rows.schema.metadata), file)
    with pytest.raises(TrialsimError, match="replicate 0 simulated again is not the one stored"):
        draw(gather(folder), "consort")
    assert isinstance(draw(gather(folder), "attendance"), Figure)  # needs nothing simulated again


# --- sweeps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crn", [True, False])
def test_averages_over_points_have_the_summary_s_errors(tmp_path: Path, crn: bool) -> None:
    write_sweep(tmp_path / "s", sweep_of(sizes_and_rates(crn=crn), replicates=24))
    material = gather(tmp_path / "s")
    statistic = statistics_of(material, Asked(statistic="cost"))[0]
    summary = summarise(material.sweep, by=["sample_size"])
    for row in summary.rows:
        expected = next(cell for (label, _), cell in row.cells.items() if label.measure == "total cost")
        found = average([statistic.at[point] for point in row.points])
        assert (found.value, found.mcse) == pytest.approx((expected.value, expected.mcse))


def test_statistics_of_analyses_are_the_summary_s(swept: Material) -> None:
    frame = swept.sweep.performance()
    for name in ("bias", "coverage", "power"):
        rows = frame[(frame["statistic"] == name) & (frame["measure"] == "mean difference")]
        found = statistics_of(swept, Asked(statistic=name, analysis="main"))[0].at
        factor = 1 if name == "bias" else 100
        assert [one.value for one in found.values()] == pytest.approx((factor * rows["value"]).tolist())
        assert [one.mcse for one in found.values()] == pytest.approx((factor * rows["mcse"]).tolist())


def test_the_front_is_that_of_best(swept: Material) -> None:
    found = best(swept.sweep)
    front = [one.point for one in found.points if one.on_front]
    told = alt(swept, "pareto")
    assert sorted(map(int, re.findall(r"point (\d+)", told))) == front


def test_axes_that_do_not_vary_are_no_axes(tmp_path: Path) -> None:
    points = [
        point_of(k, small_design(sample_size=n), {"sample_size": n, "scenario": "x"}) for k, n in enumerate((40, 60))
    ]
    write_sweep(tmp_path / "s", sweep_of(points, replicates=16))
    material = gather(tmp_path / "s")
    assert [axis.path for axis in axes_of(material)] == ["sample_size"]
    assert KINDS["heat"].available(material) == "it needs two axes with 2 to 24 values that make a grid"
    assert isinstance(draw(material, "nested_loop"), Figure)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda m: draw(m, "nested_loop"),
            "figure 'nested_loop' cannot be drawn from .*: it needs the results of a sweep",
        ),
        (lambda m: draw(m, "forst"), "no figure is called 'forst'. Did you mean 'forest'"),
        (lambda m: draw(m, "responders", outcome="moood"), "there is no outcome 'moood'. Did you mean 'mood'"),
        (lambda m: draw(m, "attendance", visit="m3"), "figure 'attendance': 'visit' does not concern it"),
        (lambda m: draw(m, "consort", replicate=99), "replicate 99 is not among 0 to 7"),
        (lambda m: draw(m, "consort", size="wall"), "size 'wall': sizes are page, projector"),
        (lambda m: save(draw(m, "attendance"), "figure.bmp"), "a figure is written as png, svg, pdf"),
    ],
)
def test_what_cannot_be_drawn_is_said(eight: Material, ask: Callable[[Material], Any], message: str) -> None:
    with pytest.raises(TrialsimError, match=message):
        ask(eight)


def test_what_cannot_be_drawn_of_a_sweep_is_said(swept: Material) -> None:
    with pytest.raises(TrialsimError, match="it needs one design"):
        draw(swept, "consort")
    with pytest.raises(TrialsimError, match="no quantity is called 'pwer'"):
        draw(swept, "heat", statistic="pwer")
    with pytest.raises(TrialsimError, match="has no axis 'sample_sze'"):
        draw(swept, "curve", x="sample_sze")


def test_a_folder_has_replicates_and_seed_of_its_own(folder: Path) -> None:
    with pytest.raises(TrialsimError, match="seed cannot be chosen: this is a results folder"):
        gather(folder, seed=1)


def test_without_matplotlib_the_extra_is_named(eight: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TrialsimError, match=r"pip install 'trialsim\[plot\]'"):
        draw(eight, "attendance")


# --- bytes ------------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from trialsim.report.figures import draw, gather, save
material = gather(sys.argv[1])
for ending in ("png", "svg", "pdf"):
    save(draw(material, "responders"), f"{sys.argv[2]}/responders.{ending}")
save(draw(material, "consort"), f"{sys.argv[2]}/consort.svg")
"""


def test_two_processes_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    started = []
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        surroundings = os.environ | {"PYTHONHASHSEED": str(k), "TZ": ["UTC", "Asia/Tokyo"][k], "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / str(k))]
        started.append(subprocess.Popen(command, env=surroundings))
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    sums = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((tmp_path / str(k)).iterdir())}
        for k in range(2)
    ]
    assert len(sums[0]) == 4
    assert sums[0] == sums[1]


def test_an_inline_figure_stands_beside_others(eight: Material) -> None:
    texts = [svg(draw(eight, kind), prefix=kind, title='A "title" <b>') for kind in ("attendance", "responders")]
    ids: list[str] = []
    for text, prefix in zip(texts, ("attendance", "responders"), strict=True):
        root = ElementTree.fromstring(text)
        assert root.get("aria-label") == 'A "title" <b>'
        mine = [element.get("id") for element in root.iter() if element.get("id")]
        ids += [one for one in mine if one]
        assert all(str(one).startswith(f"{prefix}-") for one in mine)
        used = set(re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", text))
        assert {one or other for one, other in used} <= set(mine)
        assert "var(--figure-ink" in text
        assert not re.findall(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://', text)
    assert len(ids) == len(set(ids))


def test_settings_of_the_user_change_nothing(eight: Material, tmp_path: Path) -> None:
    import matplotlib

    save(draw(eight, "attendance"), tmp_path / "plain.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": False, "lines.linewidth": 9}):
        save(draw(eight, "attendance"), tmp_path / "own.png")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "own.png").read_bytes()


def test_a_colour_says_which_it_is() -> None:
    for dark in (False, True):
        assert len(set(tokens(dark).values())) == len(tokens(dark))
    assert tokens(False).keys() == tokens(True).keys()
