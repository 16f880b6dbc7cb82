"""Power against participants: what is simulated, how parts go together, what the free page makes of it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from designs import coached, grouped, online, plain_data, score, usual
from scipy.stats import binomtest

from trialsim.design.library import library_dir
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.experiments.decisions import decide, power_rows
from trialsim.experiments.runner import run
from trialsim.teach import curve, explore
from trialsim.teach.knobs import turned
from trialsim.teach.panels import Panel
from trialsim.teach.questions import Answer, answered
from trialsim.teach.state import encoded

CLASSROOM = library_dir() / "lessons" / "designs" / "classroom.yaml"


def trial(**changes: Any) -> Design:
    """Three arms with a queue, strata, another outcome and another analysis; small and quick."""
    pain = {"pain": {"by_visit": {"m3": -1.5, "m6": -1.0}, "sd": 0.5}}
    given = {
        "sample_size": 60,
        "visits": {"m3": {"label": "3 months", "day": 91}, "m6": {"day": 183}},
        "outcomes": {"pain": score(label="pain <b>now</b>", coach_sd=0.3), "mood": score(correlation={"pain": 0.4})},
        "covariates": {"female": {"kind": "binary", "prob": 0.5}, "age": {"kind": "normal", "mean": 50.0, "sd": 9.0}},
        "arms": {
            "coach": coached(caseload=2, arm={"label": "Coaching", "start_prob": 0.9, "effects": pain}),
            "web": online(arm={"effects": pain}),
            "usual": usual(),
        },
        "allocation": {
            "kind": "blocks",
            "ratio": {"coach": 1, "web": 1, "usual": 1},
            "block_sizes": [3, 6],
            "strata": ["site", "female"],
        },
        "analyses": {
            "change": {"kind": "linear", "outcome": "pain", "covariates": ["baseline", "female"], "visits": ["m3"]},
            "mood": {"kind": "linear", "outcome": "mood"},
        },
        "decisions": {"main": {"analysis": "change", "procedure": {"kind": "holm"}}},
        "costs": {"coach_hour": 80.0},
        **changes,
    }
    return Design.model_validate(plain_data(**given))


def asked(design: Design, replicates: int = 32, **values: Any) -> Answer:
    scene = explore.scene_of(design)
    return answered(explore.VIEW, scene.question("explore", values, replicates=replicates), at_once=20)


def panel(answer: Answer, kind: str, place: int = 0) -> Panel:
    return [one for one in answer.panels if one["kind"] == kind][place]


def powers_by_command(design: Design, replicates: int, seed: int = 1) -> list[tuple[float, float]]:
    """Power and its error of each hypothesis, and of success, as `trialsim power` has them."""
    experiment = run(design, seed=seed, replicates=replicates)
    assert experiment.estimates is not None
    decided = decide(design, next(iter(design.decisions)), experiment.estimates)
    rows = power_rows(decided, skip_failed=True)
    wanted = ("marginal power", "success") if len(decided.hypotheses) > 1 else ("marginal power",)
    return [(row.value, row.mcse) for row in rows if row.statistic in wanted]


# --- points -----------------------------------------------------------------------------------------------------------


def test_every_point_is_the_power_of_a_trial_of_that_size_to_the_last_digit() -> None:
    design = trial()
    own = curve.sized(design)
    assert own.is_cut
    assert own.sizes == (12, 24, 36, 48, 60, 75)
    assert list(own.design.outcomes) == ["pain"]
    hits = curve.part_of(own, seed=3, first=0, n=24).hits
    assert hits is not None
    for k, n in enumerate(own.sizes):
        alone = design.model_copy(update={"sample_size": n})
        by_page = [(line[k].power, line[k].mcse) for line in curve.points(own, hits)]
        assert by_page == powers_by_command(alone, 24, seed=3), n


@pytest.mark.parametrize("changes", [{"arms": {"group": grouped(), "usual": usual()}, "allocation": None}])
def test_what_cannot_be_cut_is_simulated_size_by_size(changes: dict[str, Any]) -> None:
    ratio = {"kind": "simple", "ratio": dict.fromkeys(changes["arms"], 1)}
    design = trial(**changes | {"allocation": ratio})
    own = curve.sized(design)
    assert not own.is_cut
    assert len(own.sizes) == 4
    hits = curve.part_of(own, seed=1, first=0, n=16).hits
    assert hits is not None
    for k, n in enumerate(own.sizes):
        alone = design.model_copy(update={"sample_size": n})
        by_page = [(line[k].power, line[k].mcse) for line in curve.points(own, hits)]
        assert by_page == powers_by_command(alone, 16), n
    assert "each is simulated by itself" in panel(asked(design, 8), "curve")["note"]


def test_analyses_that_take_their_time_have_fewer_points() -> None:
    slow = trial(analyses={"change": {"kind": "mmrm", "outcome": "pain"}})
    assert len(curve.sized(slow).sizes) == 5
    filled = {"kind": "linear", "outcome": "pain", "missing": {"kind": "imputation"}}
    assert len(curve.sized(trial(analyses={"change": filled})).sizes) == 5
    assert curve.sized(trial(decisions={}, analyses={})).sizes == (60,)
    assert curve.sized(trial(sample_size=5)).sizes == (5, 12)


def test_how_replicates_are_cut_into_parts_changes_nothing() -> None:
    question = explore.scene_of(trial()).question("explore", {"effect_coach": 0.7}, replicates=40)
    whole = answered(explore.VIEW, question, at_once=40)
    pieces = answered(explore.VIEW, question, at_once=7)
    assert encoded(whole.panels) == encoded(pieces.panels)
    assert whole.says == pieces.says


def test_the_first_replicates_are_the_same_so_that_a_curve_moves_smoothly() -> None:
    """Common random numbers: a slightly larger effect turns few replicates, and nearly all in one direction."""
    own, more = (curve.sized(turned(trial(), {"effect_web": x})) for x in (1.0, 1.1))
    mine, its = (curve.part_of(one, seed=1, first=0, n=64).hits for one in (own, more))
    assert mine is not None
    assert its is not None
    place = list(curve.primary_of(own.design).hypotheses)
    line = [one.arms for one in place].index(("web", "usual"))
    change = np.nan_to_num((its - mine)[:, line])  # a fit of very few people may fail
    assert (change > 0).sum() > 3 * (change < 0).sum()
    assert 0 < np.abs(change).mean() < 0.1


@pytest.mark.parametrize(("hits", "n"), [(0, 40), (40, 40), (1, 3), (188, 500), (250, 500)])
def test_the_band_is_that_of_other_software(hits: int, n: int) -> None:
    low, high = curve.band(hits / n, n)
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert math.isnan(curve.band(0.5, 0)[0])


def test_replicates_in_which_a_fit_failed_are_left_out_and_told() -> None:
    """With 12 participants a stratum of a site that opens late has nobody, so adjusting for it fails now and then."""
    sites = {"north": {"rate_per_month": 60.0}, "south": {"rate_per_month": 60.0, "opens": 12}}
    plan = {"change": {"kind": "linear", "outcome": "pain", "covariates": ["site"], "visits": ["m3"]}}
    design = trial(recruitment={"sites": sites}, analyses=plan, sample_size=30)
    answer = asked(design, 48)
    hits = curve.part_of(curve.sized(design), seed=1, first=0, n=48).hits
    assert hits is not None
    assert np.isnan(hits[0]).any()
    assert "are left out there" in panel(answer, "curve")["note"]
    shown = [item["value"] for item in panel(answer, "numbers")["items"] if item["key"].startswith("power_")]
    assert shown == [power for power, _ in powers_by_command(design, 48)]
    assert bool(answer.options) == bool(np.isnan(hits[curve.sized(design).sizes.index(30)]).any())


# --- the free page ----------------------------------------------------------------------------------------------------


def test_the_numbers_on_the_page_are_those_of_the_commands() -> None:
    design = turned(trial(), {"n": 50, "effect_web": 0.5})
    answer = asked(trial(), 32, n=50, effect_web=0.5)
    items = {item["key"]: item for item in panel(answer, "numbers")["items"]}
    by_command = powers_by_command(design, 32)
    shown = [(item["value"], item["mcse"]) for key, item in items.items() if key.startswith("power_")]
    assert shown == by_command
    measures = run(design, replicates=32).measures
    assert items["cost"]["value"] == pytest.approx(measures["cost/total"].mean(), rel=1e-12)
    assert items["wait_coach"]["value"] == pytest.approx(
        np.nanmean(measures["coaches/coach/mean_wait_days"]), rel=1e-12
    )
    assert items["enrolment"]["value"] == pytest.approx(measures["calendar/enrolment_months"].mean(), rel=1e-12)
    n = [measures[f"randomized/{arm}"] for arm in design.arms]
    answers = sum(np.array(n) * [measures[f"observed/{arm}/m3"] for arm in design.arms])
    assert items["answering"]["value"] == pytest.approx((answers / sum(n)).mean(), rel=1e-12)
    assert all(item["mcse"] is not None and item["tip"] for item in items.values())


def test_every_panel_says_what_its_band_is_and_has_a_table_and_is_json() -> None:
    answer = asked(trial())
    assert [one["kind"] for one in answer.panels] == ["curve", "numbers", "curve", "estimates"]
    for one in answer.panels:
        assert one["note"]
        assert all(len(row) == len(one["table"]["head"]) for row in one["table"]["rows"])
        assert all(isinstance(cell, str) for row in one["table"]["rows"] for cell in row)
    assert json.loads(encoded(answer.panels)) == list(answer.panels)
    power = panel(answer, "curve")
    assert power["series"][0]["label"] == "Coaching better than web"
    assert power["series"][-1]["key"] == "success"
    for series in power["series"]:
        assert all(low <= y <= high for low, y, high in zip(series["low"], series["y"], series["high"], strict=True))
    assert answer.says[0].startswith("Power with 60 participants: Coaching better than web ")
    course = panel(answer, "curve", 1)
    assert course["title"] == "Pain <b>now</b> over time"
    assert [series["x"][0] for series in course["series"]] == [0.0] * 3


def test_the_truth_stands_beside_what_the_analysis_finds() -> None:
    groups = {one["key"]: one for one in panel(asked(trial(), 128), "estimates")["groups"]}
    web = groups["web_usual"]
    assert abs(web["mean"] - web["truth"]) < 4.5 * web["mcse"]
    assert web["low"] < web["truth"] < web["high"]
    assert abs(web["mean"]) > 4.5 * web["mcse"]  # a truth of 0 would be seen


def test_true_values_are_those_of_the_first_replicates_however_they_are_cut() -> None:
    own = curve.sized(trial(sample_size=30))
    whole = curve.part_of(own, seed=1, first=112, n=32).estimates
    late = curve.part_of(own, seed=1, first=128, n=16).estimates
    assert whole is not None
    assert late is not None
    compared = [place for place, label in enumerate(whole.labels) if label.measure == "mean difference"]
    assert not np.isnan(whole.truth[:16, compared]).any()
    assert np.isnan(whole.truth[16:]).all()
    assert np.isnan(late.truth).all()
    assert np.array_equal(whole.estimate[16:], late.estimate, equal_nan=True)


def test_a_trial_that_is_not_filled_says_so() -> None:
    says = asked(trial(max_enrolment_days=20), 16).says
    assert any("Enrolment ends after 20 days" in one for one in says)
    assert not any("Enrolment ends" in one for one in asked(trial(max_enrolment_days=2_000), 16).says)


def test_a_design_that_compares_nothing_has_numbers_and_no_power() -> None:
    design = trial(decisions={}, analyses={}, costs={})
    answer = asked(design, 16)
    assert [one["kind"] for one in answer.panels] == ["numbers", "curve"]
    assert "no power to show" in answer.says[0]
    assert "cost" not in [item["key"] for item in panel(answer, "numbers")["items"]]
    question = explore.scene_of(design).question("explore", replicates=16)
    assert explore.VIEW.command(question, "x.yaml") == "trialsim run x.yaml --replicates 16 --seed 1"


def test_one_hypothesis_has_one_line_and_visits_are_named_where_there_are_several() -> None:
    one = trial(decisions={"main": {"analysis": "change", "hypotheses": {"c": "coach beats usual"}}})
    assert [series["key"] for series in panel(asked(one, 8), "curve")["series"]] == ["c"]
    plan = {"change": {"kind": "linear", "outcome": "pain"}}
    words = {"early": "coach beats usual at m3", "late": "coach beats usual at m6"}
    two = trial(analyses=plan, decisions={"main": {"analysis": "change", "hypotheses": words}})
    labels = [series["label"] for series in panel(asked(two, 8), "curve")["series"]]
    assert labels == ["Coaching better than usual, 3 months", "Coaching better than usual, m6", "The trial succeeds"]


def test_cohorts_that_nobody_randomized_have_no_power_and_a_warning() -> None:
    design = trial(allocation={"kind": "cohorts", "ratio": dict.fromkeys(trial().arms, 1)})
    answer = asked(design, 8)
    assert answer.says[0].startswith("Nobody is randomized")
    words = json.dumps([answer.panels, answer.says])
    assert "Share of trials with a significant difference" in words
    assert "Power" not in words
    assert "since enrolment" in words


def test_the_classroom_is_a_design_of_three_arms_with_one_quick_question() -> None:
    design = read_design(CLASSROOM)
    assert (design.sample_size, len(design.arms)) == (300, 3)
    assert curve.sized(design).is_cut
    assert {analysis.kind for analysis in design.analyses.values()} == {"linear"}
    scene = explore.scene_of(design)
    assert {"n", "recruitment", "dropout", "mechanism", "coaches_therapist", "icc_coaches"} <= {
        k.name for k in scene.knobs
    }
    data = scene.data()
    assert data["views"] == [{"name": "explore", "title": explore.VIEW.title}]
    assert json.loads(encoded(data)) == data
