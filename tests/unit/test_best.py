"""Constraints in words, what may be true, the Pareto front and the best design, against calculations by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import agrees
from numpy.typing import NDArray
from scipy import stats
from sweep_folders import point_of, sizes_and_rates, small_design, sweep_of, write_sweep

from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments import runner
from trialsim.experiments.runner import run
from trialsim.report import sweep_tables
from trialsim.report.layout import WIDTH
from trialsim.report.sweep_tables import best_json, best_text
from trialsim.sweeps.best import FOLD, best, judge, on_front, posterior
from trialsim.sweeps.questions import (
    AtPoint,
    Constraint,
    Measured,
    Quantity,
    read_choice,
    read_constraint,
    read_quantity,
)
from trialsim.sweeps.reading import Results, open_results

Floats = NDArray[np.float64]
REPLICATES = 24
RATE = "recruitment.sites.north.rate_per_month"
DRAWS = 20_000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("sweep") / "s"
    write_sweep(folder, sweep_of(sizes_and_rates(), replicates=REPLICATES))
    return open_results(folder)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("power >= 0.9", Constraint(Quantity("power", ""), ">=", 0.9)),
        ("power>=.9", Constraint(Quantity("power", ""), ">=", 0.9)),
        (" duration_months < 3e1 ", Constraint(Quantity("counted", "duration_months"), "<", 30.0)),
        ("sample_size <= 60", Constraint(Quantity("axis", "sample_size"), "<=", 60.0)),
        (f"{RATE} > -5", Constraint(Quantity("axis", RATE), ">", -5.0)),
        ("power[coach vs usual at 3 months] >= 0.8", Constraint(Quantity("power", "coach vs usual at 3 months"), ">=", 0.8)),
        ("measure[treatment/coach/mean_sessions] > 4", Constraint(Quantity("measure", "treatment/coach/mean_sessions"), ">", 4.0)),
    ],
)  # fmt: skip
def test_constraints_are_read(results: Results, text: str, wanted: Constraint) -> None:
    assert read_constraint(text, results) == wanted
    assert read_constraint(wanted.text, results) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("powr >= 0.9", "no quantity is called 'powr'. Did you mean 'power'?"),
        ("xyz > 1", f"no quantity is called 'xyz'. Known: power, n, enrolment_months, duration_months, coach_hours, cost, "
                    f"sample_size, {RATE}, power[...], measure[...]."),
        ("power", "'power': a constraint is a quantity, one of >= <= > <, and a number: power >= 0.9."),
        ("power = 0.9", "'power = 0.9': a constraint is a quantity, one of >= <= > <, and a number: power >= 0.9."),
        ("0.8 < power < 0.9", "'0.8 < power < 0.9': a constraint is a quantity, one of >= <= > <, and a number: power >= 0.9."),
        ("power >= high", "'power >= high': 'high' is not a number."),
        ("cost < nan", "'cost < nan': 'nan' is not a number."),
        ("power >= 90", "'power >= 90': power is a number from 0 to 1."),
        ("measure[treatment/coach/start] > 1", "there is no measure 'treatment/coach/start'. "
                                               "Did you mean 'treatment/coach/started'?"),
        ("bias[x] > 1", "'bias[x]' is no quantity. "
                        "Write power[coach vs usual at 3 months] or measure[treatment/coach/started]."),
        ("__import__('os') > 1", "no quantity is called '__import__('os')'. "),
    ],
)  # fmt: skip
def test_constraints_that_cannot_be_read(results: Results, text: str, said: str) -> None:
    with pytest.raises(TrialsimError) as refused:
        read_constraint(text, results)
    assert str(refused.value).startswith(said)


def test_a_question_that_cannot_be_read(results: Results) -> None:
    with pytest.raises(TrialsimError, match="the question cannot be read: no arm is called 'web'"):
        read_quantity("power[web vs usual]", results)


def test_an_axis_of_words_cannot_be_compared(tmp_path: Path) -> None:
    points = [point_of(k, small_design(), {"scenario": name}) for k, name in enumerate(("good", "bad"))]
    write_sweep(tmp_path / "s", sweep_of(points), done=[])
    with pytest.raises(TrialsimError, match="'scenario' is not a number"):
        read_constraint("scenario > 1", open_results(tmp_path / "s"))


@pytest.fixture
def scenarios(tmp_path: Path) -> Results:
    """Two sizes under two scenarios, of which 'bad' is the cheaper one; no replicate is run."""
    points = []
    for size in (40, 80):
        for name, switched in (("good", True), ("bad", False)):
            values = {"sample_size": size, "scenario": name, "arms.coach.delivery.on": switched}
            points.append(point_of(len(points), small_design(sample_size=size), values))
    write_sweep(tmp_path / "s", sweep_of(points), done=[])
    return open_results(tmp_path / "s")


@pytest.mark.parametrize(
    ("text", "wanted", "points"),
    [
        ("scenario = bad", "scenario = bad", [1, 3]),
        ("scenario==good", "scenario = good", [0, 2]),
        (" sample_size = 80.0 ", "sample_size = 80", [2, 3]),
        ("arms.coach.delivery.on = true", "arms.coach.delivery.on = true", [0, 2]),
    ],
)
def test_an_axis_is_held_to_a_value(scenarios: Results, text: str, wanted: str, points: list[int]) -> None:
    choice = read_choice(text, scenarios)
    assert choice is not None
    assert choice.text == wanted
    assert [point for point, values in enumerate(scenarios.axis_values) if choice.holds(values)] == points


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scenario = worse", "'scenario = worse': no design point has this value. Its values: good, bad."),
        ("scenario = goood", "'scenario = goood': no design point has this value. Did you mean 'good'?"),
        ("power = 0.9", "'power = 0.9': = chooses by the value of an axis, and 'power' is none. Axes: sample_size, "),
    ],
)
def test_choices_that_there_are_not(scenarios: Results, text: str, said: str) -> None:
    with pytest.raises(TrialsimError) as refused:
        best(scenarios, where=[text])
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("text", ["power >= 0.9", "power => 0.9", "0 <= power", "= good", "scenario =", "=", ""])
def test_what_is_no_choice(scenarios: Results, text: str) -> None:
    assert read_choice(text, scenarios) is None


# --- values -----------------------------------------------------------------------------------------------------------


def test_quantities_are_those_of_the_replicates(results: Results) -> None:
    point = sizes_and_rates()[3]
    made = run(point.design, seed=1, replicates=REPLICATES)
    estimates = made.estimates
    assert estimates is not None
    place = next(k for k, label in enumerate(estimates.labels) if label.measure == "mean difference")
    won = (estimates.significant[:, place] == 1) & (estimates.estimate[:, place] < 0)
    wanted = {
        "power": won.astype(float),
        "power[coach beats usual at 3 months in main]": won.astype(float),
        "n": made.measures["randomized/all"],
        "enrolment_months": made.measures["calendar/enrolment_months"],
        "duration_months": (made.measures["calendar/last_visit_day"] + 1) / 30.4375,
        "cost": made.measures["cost/total"],
        "coach_hours": made.measures["coaches/coach/hours"],
        "measure[treatment/coach/started]": made.measures["treatment/coach/started"],
    }
    for name, values in wanted.items():
        found = AtPoint(results, 3).measured(read_quantity(name, results))
        np.testing.assert_allclose(found.luck, values, rtol=1e-12)
        assert found.value == pytest.approx(values.mean())
    exact = AtPoint(results, 3).measured(read_quantity(RATE, results))
    assert (exact.value, exact.mcse) == (60.0, 0.0)


# --- what may be true -------------------------------------------------------------------------------------------------


def hits(k: int, n: int) -> Measured:
    return Measured.chance(np.repeat([1.0, 0.0], [k, n - k]))


def drawn(points: list[list[Measured]], seeds: list[str], n: int) -> Floats:
    numbers = [np.arange(n, dtype=np.int32)] * len(points)
    return posterior(points, numbers, seeds, n_draws=DRAWS).astype(float)


@pytest.mark.parametrize(("k", "n"), [(37, 40), (0, 40), (40, 40), (1, 2)])
def test_a_chance_has_its_beta_distribution(k: int, n: int) -> None:
    draws = drawn([[hits(k, n)]], ["1"], n)[0, 0]
    expected = stats.beta(k + 0.5, n - k + 0.5)
    assert agrees(draws.mean(), expected.mean(), expected.std() / np.sqrt(DRAWS))
    for p in (0.05, 0.5, 0.95):
        assert agrees((draws <= expected.ppf(p)).mean(), p, np.sqrt(p * (1 - p) / DRAWS))


def test_a_mean_has_its_t_distribution() -> None:
    values = np.array([1.0, 4.0, 2.0, 8.0, 5.0])
    draws = drawn([[Measured.mean(values)]], ["1"], 5)[0, 0]
    expected = stats.t(4, values.mean(), values.std(ddof=1) / np.sqrt(5))
    for p in (0.01, 0.05, 0.5, 0.95, 0.99):
        assert agrees((draws <= expected.ppf(p)).mean(), p, np.sqrt(p * (1 - p) / DRAWS))


def test_what_is_known_exactly_does_not_vary() -> None:
    constant = Measured.mean(np.full(10, 7.0))
    draws = drawn([[Measured.exact(300.0), constant, Measured.mean(np.full(10, np.nan))]], ["1"], 10)[0]
    assert np.all(draws[0] == 300.0)
    assert np.all(draws[1] == 7.0)
    assert np.isnan(draws[2]).all()


def correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("n", [60, FOLD + 900])
def test_shared_luck_is_drawn_together(n: int) -> None:
    """The correlation of draws is that of the values over replicates, between points and within."""
    luck = np.random.default_rng(5).standard_normal((3, n))
    values = [luck[0], 0.8 * luck[0] + 0.6 * luck[1], luck[2]]
    points = [
        [Measured.mean(values[0]), Measured.mean(values[1])],
        [Measured.mean(values[2]), Measured.mean(values[1])],
    ]
    together, apart = drawn(points, ["1", "1"], n), drawn(points, ["1", "2"], n)
    for (p, q), (i, j) in (((0, 0), (0, 1)), ((0, 0), (1, 1)), ((0, 1), (1, 1)), ((0, 0), (1, 0))):
        mine = [[0, 1], [2, 1]]
        wanted = correlation(values[mine[p][q]], values[mine[i][j]])
        slack = 1 / np.sqrt(DRAWS) + (1 / np.sqrt(FOLD) if n > FOLD else 0.0)
        assert agrees(correlation(together[p, q], together[i, j]), wanted, slack)
        assert agrees(correlation(apart[p, q], apart[i, j]), wanted if p == i else 0.0, slack)


def test_replicates_are_matched_by_number() -> None:
    values = np.random.default_rng(6).standard_normal(80)
    early, late = np.arange(50, dtype=np.int32), np.arange(30, 80, dtype=np.int32)
    points = [[Measured.mean(values[early])], [Measured.mean(values[late])]]
    draws = posterior(points, [early, late], ["1", "1"], n_draws=DRAWS).astype(float)
    assert agrees(correlation(draws[0, 0], draws[1, 0]), 20 / 50, 0.2 / 4.5 + 1 / np.sqrt(DRAWS))


def test_draws_are_the_same_every_time() -> None:
    points = [[hits(3, 10)], [hits(5, 10)]]
    np.testing.assert_array_equal(drawn(points, ["1", "1"], 10), drawn(points, ["1", "1"], 10))


def test_one_replicate_is_refused() -> None:
    with pytest.raises(ResultsError, match="at least two replicates"):
        drawn([[Measured.mean(np.array([3.0]))]], ["1"], 1)


# --- judging ----------------------------------------------------------------------------------------------------------

POWER, COST = Quantity("power", ""), Quantity("counted", "cost")


def exactly(*values: float) -> tuple[Measured, ...]:
    return tuple(Measured.exact(value) for value in values)


def test_probabilities_are_shares_of_draws() -> None:
    """Three points, four draws of (power, cost): every probability can be counted."""
    found = [exactly(0.9, 10.0), exactly(0.95, 20.0), exactly(0.7, 5.0)]
    draws = np.array(
        [
            [[0.91, 0.79, 0.85, 0.81], [10, 10, 30, 10]],
            [[0.95, 0.95, 0.95, 0.95], [20, 20, 20, 20]],
            [[0.70, 0.70, 0.82, 0.70], [5, 5, 5, 5]],
        ],
        dtype=np.float32,
    )
    limits = [Constraint(POWER, ">=", 0.8), Constraint(COST, "<", 25.0)]
    plain = np.zeros(3, dtype=bool)
    found_min = judge(found, draws, [POWER, COST], limits, ("min", COST), preferred=plain)
    np.testing.assert_array_equal(found_min.holds, [[0.75, 1.0, 0.25], [0.75, 1.0, 1.0]])
    np.testing.assert_array_equal(found_min.all_hold, [0.5, 1.0, 0.25])
    assert found_min.admissible.tolist() == [True, True, False]
    assert (found_min.chosen, found_min.chance_best) == (0, 0.5)  # draws 0 and 3; 1 and 2 break a constraint
    found_max = judge(found, draws, [POWER, COST], limits, ("max", POWER), preferred=plain)
    assert (found_max.chosen, found_max.chance_best) == (1, 1.0)
    none = judge(found, draws, [POWER, COST], [Constraint(POWER, ">", 0.99)], ("min", COST), preferred=plain)
    assert none.chosen is None


def test_of_equals_a_preferred_one_is_chosen() -> None:
    found = [exactly(10.0), exactly(10.0), exactly(11.0)]
    draws = np.array([[[10.0]], [[10.0]], [[11.0]]], dtype=np.float32)
    for k in (0, 1):
        verdict = judge(found, draws, [COST], [], ("min", COST), preferred=np.arange(3) == k)
        assert (verdict.chosen, verdict.chance_best) == (k, 1.0)


def test_the_front_by_hand() -> None:
    nan = float("nan")
    points = [(0.9, 10.0), (0.8, 5.0), (0.8, 6.0), (0.95, 20.0), (0.95, 20.0), (0.7, 30.0), (nan, 1.0)]
    front = on_front([exactly(*point) for point in points], [("max", 0), ("min", 1)])
    assert front.tolist() == [True, True, False, True, True, False, False]


# --- the whole --------------------------------------------------------------------------------------------------------


def test_the_cheapest_that_satisfies_all(results: Results) -> None:
    found = best(results, where=["sample_size >= 60", f"{RATE} <= 50"], minimise="cost")
    assert [one.point for one in found.admissible] == [2]
    assert found.chosen is not None
    assert (found.chosen.point, found.chosen.all_hold, found.chance_best) == (2, 1.0, 1.0)
    assert [(sense, quantity.name) for sense, quantity in found.front] == [
        ("max", "power"),
        ("min", "duration_months"),
        ("min", "cost"),
    ]
    # twice the recruitment is as good and as dear, and sooner done
    assert [one.on_front for one in found.points] == [False, True, False, True]
    assert found.shared_luck


def test_the_front_is_over_the_power_that_is_asked_about(results: Results) -> None:
    found = best(results, where=["power[usual vs coach] >= 0.1"], maximise="power")
    assert found.front[0][1].name == "power[usual vs coach]"
    assert not found.admissible
    assert set(found.powers) == {"power", "power[usual vs coach]"}
    assert found.powers["power[usual vs coach]"] == "usual beats coach at m3 in main"


def test_both_aims_at_once_are_refused(results: Results) -> None:
    with pytest.raises(TrialsimError, match="not both"):
        best(results, minimise="cost", maximise="power")


def test_fits_that_failed_are_refused_unless_left_out(tmp_path: Path) -> None:
    design = small_design(sample_size=12, analyses={"responders": {"kind": "modified_poisson", "outcome": "pain"}})
    write_sweep(tmp_path / "s", sweep_of([point_of(0, design, {})], replicates=40))
    found = open_results(tmp_path / "s")
    with pytest.raises(
        ResultsError, match=r"design point 0: in \d+ of 40 replicates a fit that the power needs failed"
    ):
        best(found, where=["power > 0.1"])
    power = best(found, where=["power > 0.1"], skip_failed=True).points[0].found[0]
    assert 0 < power.n < 40


def test_points_without_results_are_left_out(tmp_path: Path) -> None:
    write_sweep(tmp_path / "s", sweep_of(sizes_and_rates()), done=[(0, 0), (3, 0)])
    found = best(open_results(tmp_path / "s"), minimise="cost")
    assert [one.point for one in found.points] == [0, 3]
    assert found.without == (1, 2)
    assert "2 more design points without finished replicates" in best_text(open_results(tmp_path / "s"))


def test_only_points_that_are_chosen_are_looked_at(results: Results, tmp_path: Path) -> None:
    found = best(results, where=["sample_size = 80", "power > 0.01"], minimise="cost")
    assert [one.point for one in found.points] == [2, 3]
    assert found.without == ()
    alone = tmp_path / "alone"
    write_sweep(alone, sweep_of(sizes_and_rates(), replicates=REPLICATES), done=[(2, 0), (3, 0)])
    same = best(open_results(alone), where=["power > 0.01"], minimise="cost")
    assert [one.all_hold for one in found.points] == [one.all_hold for one in same.points]
    assert [one.on_front for one in found.points] == [one.on_front for one in same.points] == [False, True]
    words = " ".join(best_text(results, where=["sample_size = 80", "power > 0.01"]).split())
    assert "2 of 2 designs with sample_size = 80 satisfy power > 0.01." in words
    with pytest.raises(TrialsimError, match="no design point has sample_size = 80 and sample_size = 40"):
        best(results, where=["sample_size = 80", "sample_size = 40"])


def test_a_point_of_which_every_replicate_failed_is_not_silently_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse = runner.analyse_block

    def broken(block: Any) -> Any:
        if block.world.design.sample_size == 80:
            raise ZeroDivisionError("no")
        return analyse(block)

    monkeypatch.setattr(runner, "analyse_block", broken)
    points = [point_of(k, small_design(sample_size=size), {"sample_size": size}) for k, size in enumerate((40, 80))]
    write_sweep(tmp_path / "s", sweep_of(points, replicates=REPLICATES))
    with pytest.raises(ResultsError, match=r"^24 of 48 replicates failed \(design points 1; "):
        best(open_results(tmp_path / "s"), minimise="cost")
    assert best(open_results(tmp_path / "s"), minimise="cost", skip_failed=True).without == (1,)


# --- text and data ----------------------------------------------------------------------------------------------------


def test_the_answer_in_words(results: Results) -> None:
    text = best_text(results, where=["sample_size >= 60", "power > 0.1"], minimise="cost")
    words = " ".join(text.split())
    assert "2 of 4 designs satisfy sample_size >= 60 and power > 0.1." in words
    assert "Cheapest: point 3 (sample_size=80" in words
    assert "Probability that it truly satisfies all: > 0.99; that it is the best that does:" in words
    assert "power: coach beats usual at m3 in main." in words
    assert "luck in common (common random numbers)" in words
    assert max(map(len, text.splitlines())) <= WIDTH
    rows = [line.split() for line in text.splitlines() if line.split()[1:2] in (["yes"], ["no"])]
    assert [(row[0], row[1]) for row in rows] == [("3", "yes"), ("2", "yes"), ("1", "no")]


def test_what_the_axes_set_has_a_table_of_its_own_where_there_is_no_room(results: Results) -> None:
    asked = ["power > 0.01", "power[usual vs coach] < 0.9", "coach_hours > 0"]
    lines = best_text(results, where=asked, minimise="cost").splitlines()
    assert max(map(len, lines)) <= WIDTH
    start = next(
        place for place, line in enumerate(lines) if line.split() == ["point", "sample_size", "rate_per_month"]
    )
    rows = [line.split() for line in lines[start + 2 : start + 6]]
    assert sorted(rows) == [["0", "40", "30"], ["1", "40", "60"], ["2", "80", "30"], ["3", "80", "60"]]
    assert f"rate_per_month: {RATE}." in " ".join(lines)


def test_a_long_table_is_cut(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_tables, "MOST", 2)
    text = best_text(results, where=["power > 0.01"], minimise="cost")
    assert [line.split()[0] for line in text.splitlines() if line.split()[1:2] == ["yes"]] == ["1", "0"]
    assert "2 more designs: see --json." in text


def test_the_nearest_where_none_satisfies_all(results: Results) -> None:
    text = best_text(results, where=["power >= 0.999"], minimise="cost")
    assert "None of 4 designs satisfies power >= 0.999." in text
    assert "Cheapest" not in text
    rows = [line.split()[0] for line in text.splitlines() if line.split()[1:2] == ["no"]]
    assert rows == ["2", "3", "0", "1"]


def test_without_constraints_there_is_the_front(results: Results) -> None:
    text = best_text(results)
    assert "4 designs, no constraint." in text
    assert [line.split()[0] for line in text.splitlines() if line.strip()[:2] in ("1 ", "3 ")] == ["1", "3"]


def test_the_answer_as_data(results: Results) -> None:
    asked: dict[str, Any] = {"where": ["power >= 0.2", "duration_months <= 6"], "minimise": "cost"}
    found = json.loads(json.dumps(best_json(results, **asked)))
    made = best(results, **asked)
    assert found["constraints"] == asked["where"]
    assert found["best"] == (made.chosen.point if made.chosen else None)
    assert [one["probability_all_hold"] for one in found["points"]] == [one.all_hold for one in made.points]
    assert found["points"][0]["quantities"]["power"]["value"] == made.points[0].found[0].value
    assert list(found["points"][0]["probability_holds"]) == asked["where"]
