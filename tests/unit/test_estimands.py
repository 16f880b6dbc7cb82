"""What each estimand looks at and what it is the truth of, against slow loops over the tables of single trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from designs import busy, design, grouped, merged, online, plain_data, score, usual
from helpers import Array, run, same
from trials import Trial

from trialsim.analysis import endpoints
from trialsim.analysis.estimates import Estimates
from trialsim.analysis.plan import analyse_block
from trialsim.analysis.truth import Truth, value_of
from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.records import table
from trialsim.world.histories import Status

COLUMN = 1
ESTIMANDS = ("treatment_policy", "hypothetical", "per_protocol", "while_on_treatment", "composite")
FIVE_SESSIONS = 5


def plan() -> dict[str, Any]:
    """An analysis of response for each estimand, and of change where there is one."""
    shared: dict[str, Any] = {"outcome": "pain", "multiplicity": "none"}
    found: dict[str, Any] = {}
    for estimand in ESTIMANDS:
        found[f"{estimand}_response"] = {**shared, "kind": "logistic", "estimand": estimand}
        if estimand != "composite":
            found[f"{estimand}_change"] = {**shared, "kind": "t_test", "estimand": estimand}
    found["enough_sessions"] = found["per_protocol_change"] | {"adherent": FIVE_SESSIONS}
    found["attended"] = {"outcome": "pain", "kind": "complier"}
    found["attended_five"] = {**found["attended"], "adherent": FIVE_SESSIONS, "endpoint": "response"}
    return found


@pytest.fixture(scope="module")
def block() -> Block:
    return run(busy(analyses=plan(), sample_size=120), n=2, seed=5)


@pytest.fixture(scope="module")
def estimates(block: Block) -> Estimates:
    return analyse_block(block)


@pytest.fixture(scope="module")
def trial(block: Block) -> Trial:
    return Trial(block, COLUMN)


# --- what is observed -------------------------------------------------------------------------------------------------


def cut_by_hand(t: Trial, analysis: Any) -> tuple[Array, Array]:
    """Values (N, V), and who is known to be no responder."""
    value, settled = t.value("pain"), np.zeros_like(t.stopped)
    seen = value.copy()
    for i, stopped in enumerate(t.stopped):
        for v in range(len(t.visits)):
            needed = analysis.adherent or t.planned[i]
            if analysis.estimand == "hypothetical" and stopped[v]:
                seen[i, v] = np.nan
            if analysis.estimand == "per_protocol" and t.attended[i, v] < min(needed, t.planned[i]):
                seen[i, v] = np.nan
            if analysis.estimand == "while_on_treatment" and stopped[v]:
                before = [u for u in range(v) if not stopped[u]]
                seen[i, v] = value[i, before[-1]] if before else t.baseline("pain")[i]
            settled[i, v] = analysis.estimand == "composite" and stopped[v]
    return seen, settled


@pytest.mark.parametrize("name", [name for name in plan() if not name.startswith("attended")])
def test_the_cut_is_that_of_the_tables(name: str, block: Block, trial: Trial) -> None:
    analysis = trial.design.analyses[name]
    found = endpoints.cut(trial.design, analysis, block.observed)
    value, settled = cut_by_hand(trial, analysis)
    assert np.array_equal(found.value[COLUMN], value, equal_nan=True)
    assert np.array_equal(found.settled[COLUMN], settled)
    assert np.array_equal(found.stopped[COLUMN], trial.stopped)


def test_the_trial_has_something_to_cut(trial: Trial) -> None:
    """Otherwise the checks above say nothing: some stop before the first visit, some between visits, some never."""
    with_sessions = trial.planned > 0
    first = np.array([next((v for v in range(3) if row[v]), 3) for row in trial.stopped])
    assert all((first[with_sessions] == v).sum() >= 3 for v in (0, 1, 3))
    assert not trial.stopped[~with_sessions].any()
    on_the_way = ~trial.stopped & (trial.attended < trial.planned[:, None])
    assert on_the_way.any()


def test_a_value_missing_before_stopping_is_missing_while_on_treatment() -> None:
    """Not replaced by an earlier one, which belongs to another time."""
    nothing = np.nan
    value = np.array([[[5.0, 4.0, 3.0], [5.0, nothing, 3.0], [nothing, 4.0, 3.0], [5.0, 4.0, nothing]]])
    stopped = np.array([[[False, False, True], [False, False, True], [True, True, True], [False, False, False]]])
    found = endpoints.last_before(value, np.full((1, 4), 7.0), stopped)
    expected = [[5.0, 4.0, 4.0], [5.0, nothing, nothing], [7.0, 7.0, 7.0], [5.0, 4.0, nothing]]
    assert np.array_equal(found[0], expected, equal_nan=True)


@pytest.mark.parametrize("estimand", ["treatment_policy", "hypothetical", "composite"])
def test_complete_cases_are_those_known_at_every_visit(estimand: str, block: Block, trial: Trial) -> None:
    whole = {"missing": {"kind": "complete_cases"}}
    analyses = {"whole": plan()[f"{estimand}_response"] | whole}
    with_whole = Design.model_validate(trial.design.model_dump() | {"analyses": analyses})
    found = endpoints.cut(with_whole, with_whole.analyses["whole"], block.observed)
    value, settled = cut_by_hand(trial, with_whole.analyses["whole"])
    kept = np.array(
        [all(s or not np.isnan(x) for x, s in zip(*row, strict=True)) for row in zip(value, settled, strict=True)]
    )
    assert 0 < kept.sum() < len(kept)
    assert np.array_equal(found.value[COLUMN], np.where(kept[:, None], value, np.nan), equal_nan=True)
    assert np.array_equal(found.settled[COLUMN], settled & kept[:, None])


def test_responses_from_values_are_those_of_the_table(block: Block, trial: Trial) -> None:
    data, outcome = block.observed, trial.design.outcomes["pain"]
    found = endpoints.endpoint_values(outcome, "response", data.baseline["pain"], data.value["pain"])
    assert np.array_equal(found[COLUMN], trial.by_visit("pain", "responder"), equal_nan=True)
    assert 0.02 < np.nanmean(found) < 0.98


def test_first_responses_are_those_of_the_table(block: Block, trial: Trial) -> None:
    time, event = endpoints.times(trial.design, "pain", block.observed)
    by_hand, happened, ever = trial.first_response("pain")
    assert np.array_equal(time[COLUMN] > 0, ever)
    assert np.array_equal(time[COLUMN][ever], by_hand)
    assert np.array_equal(event[COLUMN][ever], happened)


# --- groups, where one may miss a session and go on -------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_groups() -> Block:
    group = grouped(sessions=6, miss_prob=0.3, arm={"stop_prob": 0.1, "start_prob": 0.9, "withdrawal_prob": 0.2})
    arms = {"group": group, "usual": usual()}
    visits = {"v1": {"day": 40, "closes": 7}, "v2": {"day": 65, "closes": 7}, "v3": {"day": 120}}
    analyses = {"whole": {"kind": "logistic", "outcome": "pain", "estimand": "composite"}}
    return run(design(arms=arms, visits=visits, analyses=analyses, sample_size=120), n=4)


def test_who_misses_a_session_of_a_group_and_goes_on_has_not_stopped(in_groups: Block) -> None:
    """Stopped: treatment was not completed, and its last session, attended or missed, is not after the visit."""
    h, design_, due = in_groups.histories, in_groups.world.design, in_groups.follow.due_day
    last = h.scheduled_day.max(axis=0)
    expected = (h.arm == 0) & (h.status != Status.COMPLETED) & (last <= due)  # (V, N, R)
    found = endpoints.stopped_by(design_, in_groups.observed).transpose(2, 1, 0)
    assert np.array_equal(found, expected)
    by_sessions_attended = (h.arm == 0) & (h.n_sessions < 6) & (in_groups.outcomes.realised_sessions == h.n_sessions)
    wrong = by_sessions_attended != expected
    assert (wrong & (h.status == Status.COMPLETED)).sum() > 50
    assert (wrong & (h.status != Status.COMPLETED)).any()  # they missed the sessions just before stopping


def test_the_truth_takes_the_same_for_stopping(in_groups: Block) -> None:
    truth, h = Truth(in_groups, in_groups.world.design.analyses["whole"]), in_groups.histories
    observed = endpoints.stopped_by(in_groups.world.design, in_groups.observed).transpose(2, 1, 0)
    for v in range(3):
        for arm in range(2):
            mine = h.arm == arm
            assert np.array_equal(truth._stopped(arm, v)[mine], observed[v][mine])
    assert not truth._stopped(1, 2).any()
    assert 0.1 < truth._stopped(0, 2)[in_groups.plan.cohort.valid].mean() < 0.9


def test_where_nobody_misses_a_session_nothing_is_known_beyond_sessions_attended(block: Block) -> None:
    assert block.outcomes.missed is None
    assert block.observed.missed is None
    never = run(design(arms={"group": grouped(arm={"stop_prob": 0.2})}, sample_size=40), n=2)
    assert never.outcomes.missed is not None
    assert not never.outcomes.missed.any()


# --- the truth --------------------------------------------------------------------------------------------------------


class Potential:
    """Potential values, responses and sessions of one trial, from its table of the truth: (A, N, V)."""

    def __init__(self, trial: Trial) -> None:
        truth = table(trial.block, "truth", columns=[COLUMN]).to_pandas()
        truth = truth[truth["outcome"] == "pain"].astype({"arm": str, "visit": str})
        self.trial = trial
        self.value, self.responder, self.sessions = (self._cube(truth, c) for c in ("value", "responder", "sessions"))
        n = len(trial.people)
        self.in_the_end = trial.block.outcomes.all_sessions[:, :n, COLUMN]  # the table has sessions by visit only
        self.planned = [trial.design.n_sessions(arm) for arm in trial.arms]

    def _cube(self, truth: pd.DataFrame, column: str) -> Array:
        wide = truth.pivot(index="participant", columns=["arm", "visit"], values=column).astype(float)
        return np.stack([wide[arm][self.trial.visits].to_numpy() for arm in self.trial.arms])

    def stopped(self, arm: int, i: int, v: int) -> bool:
        end = self.in_the_end[arm, i]
        return bool(end < self.planned[arm] and self.sessions[arm, i, v] == end)

    def would_attend(self, arm: int, i: int, v: int, needed: int | None) -> bool:
        return bool(self.sessions[arm, i, v] >= min(needed or self.planned[arm], self.planned[arm]))


def mean_by_hand(p: Potential, analysis: Any, arms: tuple[int, ...], arm: int, v: int) -> float:
    """True mean of an arm, in points or percent, among everybody or the principal stratum of `arms`."""
    outcome, baselines = p.trial.design.outcomes["pain"], p.trial.baseline("pain")
    response = analysis.kind == "logistic" or getattr(analysis, "endpoint", "") == "response"
    needed = 1 if analysis.kind == "complier" and not analysis.adherent else analysis.adherent
    found = []
    for i, baseline in enumerate(baselines):
        principal = analysis.estimand == "per_protocol" or analysis.kind == "complier"
        if principal and not all(p.would_attend(a, i, v, needed) for a in arms):
            continue
        value = p.value[arm, i, v]
        if analysis.estimand == "while_on_treatment" and p.stopped(arm, i, v):
            before = [u for u in range(v) if not p.stopped(arm, i, u)]
            value = p.value[arm, i, before[-1]] if before else baseline
        responds = value <= baseline * (1 - outcome.responder_change) + 1e-9 and baseline > 0
        if analysis.estimand == "composite" and p.stopped(arm, i, v):
            responds = False
        found.append(100.0 * responds if response else value - baseline)
    return float(np.mean(found)) if found else np.nan


@pytest.mark.parametrize("name", [name for name in plan() if not name.startswith("hypothetical")])
def test_the_truth_is_that_of_the_table_of_the_truth(name: str, estimates: Estimates, trial: Trial) -> None:
    potential, analysis = Potential(trial), trial.design.analyses[name]
    checked = 0
    for place, label in enumerate(estimates.labels):
        if label.analysis != name or label.contrast == "all arms":
            continue
        v = trial.visits.index(label.visit)
        arms = tuple(trial.arms.index(arm) for arm in label.contrast.split(" - "))
        means = [mean_by_hand(potential, analysis, arms, arm, v) for arm in arms]
        columns = (estimates.truth_first, estimates.truth_second)
        assert [column[COLUMN, place] for column, _ in zip(columns, arms, strict=False)] == pytest.approx(means)
        expected = measured(label.measure, means)
        assert estimates.truth[COLUMN, place] == pytest.approx(expected, nan_ok=True)
        checked += 1
    assert checked >= 6


def measured(measure: str, means: list[float]) -> float:
    """The value of a measure, from percentages where they are."""
    if len(means) == 1:
        return means[0]
    p, q = means
    return {
        "mean difference": lambda: p - q,
        "risk difference": lambda: p - q,
        "risk ratio": lambda: p / q if q else np.nan,
        "number needed to treat": lambda: 100 / (p - q) if p != q else np.nan,
        "odds ratio": lambda: (p / (100 - p)) / (q / (100 - q)) if q and p < 100 else np.nan,
    }[measure]()


def test_values_of_measures_where_there_is_none() -> None:
    zero, half = np.array([0.0]), np.array([50.0])
    assert np.isnan(value_of("risk ratio", [half, zero]))
    assert np.isnan(value_of("odds ratio", [np.array([100.0]), half]))
    assert np.isnan(value_of("number needed to treat", [half, half]))
    assert np.isnan(value_of("hazard ratio", [half, half]))
    assert value_of("odds ratio", [np.array([75.0]), half]) == 3.0


def test_hypothetical_truth_is_that_of_the_world_in_which_nobody_stops() -> None:
    """The same people with the same luck; only starting and stopping are changed. All sessions lie before the visit."""

    def world(start: float, stop: float) -> Design:
        return two_arms(arms={"web": {"start_prob": start, "stop_prob": stop}})

    real, ideal = analyse_block(run(world(0.7, 0.3), n=3)), analyse_block(run(world(1.0, 0.0), n=3))
    truths = {
        name: found.truth[:, [k for k, label in enumerate(found.labels) if label.analysis == analysis]]
        for name, found, analysis in (
            ("hypothetical", real, "hypothetical_change"),
            ("nobody stops", ideal, "treatment_policy_change"),
            ("some stop", real, "treatment_policy_change"),
        )
    }
    assert same(truths["hypothetical"], truths["nobody stops"])
    assert not np.allclose(truths["hypothetical"], truths["some stop"], equal_nan=True, atol=0.05)


# --- worlds in which stopping is certain or impossible ----------------------------------------------------------------


def two_arms(**changes: Any) -> Design:
    """A web arm with four daily modules and usual care, one visit, everybody answers."""
    analyses = {name: given for name, given in plan().items() if name != "attended_five"}
    analyses["enough_sessions"] = analyses["per_protocol_change"] | {"adherent": 2}
    data = plain_data(
        sample_size=60,
        outcomes={"pain": score(course={"m3": -1.0})},
        arms={
            "web": online(
                sessions=4,
                pace={"days": 1},
                arm={"effects": {"pain": {"by_visit": {"m3": -1.5}}}, "response_prob": {"m3": 0.999999}},
            ),
            "usual": usual(response_prob={"m3": 0.999999}),
        },
        analyses=analyses,
    )
    return Design.model_validate(merged(data, **changes))


def column(found: Estimates, analysis: str, contrast: str, what: str) -> Array:
    """The first measure of a contrast or an arm."""
    place = next(k for k, x in enumerate(found.labels) if (x.analysis, x.contrast) == (analysis, contrast))
    return np.asarray(getattr(found, what)[:, place])


def test_where_nobody_stops_all_estimands_are_one() -> None:
    found = analyse_block(run(two_arms(), n=4))
    for endpoint in ("response", "change"):
        for what in ("estimate", "std_error", "truth"):
            for contrast in ("web", "usual", "web - usual"):
                policy = column(found, f"treatment_policy_{endpoint}", contrast, what)
                assert np.isfinite(policy).all()
                for estimand in ESTIMANDS[1:] if endpoint == "response" else ESTIMANDS[1:4]:
                    assert same(column(found, f"{estimand}_{endpoint}", contrast, what), policy)
    for what in ("estimate", "truth"):  # everybody complies, nobody else attends
        complier, policy = (
            column(found, name, "web - usual", what) for name in ("attended", "treatment_policy_change")
        )
        assert complier == pytest.approx(policy)


def test_where_all_stop_after_one_session() -> None:
    found = analyse_block(run(two_arms(arms={"web": {"stop_prob": 1.0}}), n=4))
    for name in ("hypothetical_change", "per_protocol_change", "enough_sessions"):
        assert (column(found, name, "web - usual", "reason") == "no observations in arm web at visit m3").all()
        assert np.isnan(column(found, name, "web - usual", "estimate")).all()
    assert np.isnan(column(found, "per_protocol_change", "web", "truth")).all()  # nobody is in the stratum
    assert np.isfinite(column(found, "hypothetical_change", "web", "truth")).all()  # but they could have gone on
    assert not column(found, "while_on_treatment_change", "web", "truth").any()  # no visit before stopping: no change
    assert not column(found, "composite_response", "web", "truth").any()
    complier, policy = (column(found, name, "web - usual", "truth") for name in ("attended", "treatment_policy_change"))
    assert same(complier, policy)  # one session is enough to comply


def test_where_nobody_starts_there_are_no_compliers() -> None:
    found = analyse_block(run(two_arms(arms={"web": {"start_prob": 0.0}}), n=2))
    assert all("attendance does not differ" in text for text in column(found, "attended", "web - usual", "reason"))
    assert np.isnan(column(found, "attended", "web - usual", "truth")).all()


def test_the_truth_of_times_and_counts() -> None:
    """First responses and shares of visits with a response, from the table of the truth."""
    analyses = {
        "time": {"kind": "rmst", "outcome": "pain", "until_day": 300.0},
        "visits": {"kind": "counts", "outcome": "pain"},
    }
    block = run(busy(analyses=analyses, sample_size=80), n=2)
    trial, found = Trial(block, COLUMN), analyse_block(block)
    responder = Potential(trial).responder
    days = [visit.day for visit in trial.design.visits.values()]
    for a, arm in enumerate(trial.arms):
        times = [next((d for d, hit in zip(days, row, strict=True) if hit), np.inf) for row in responder[a]]
        assert column(found, "time", arm, "truth")[COLUMN] == pytest.approx(np.minimum(times, 300.0).mean())
        assert column(found, "visits", arm, "truth")[COLUMN] == pytest.approx(responder[a].mean())


def test_the_truth_of_sessions() -> None:
    arms = {"web": online(sessions=4, arm={"stop_prob": 0.2}), "group": online(sessions=3, arm={"start_prob": 0.6})}
    analyses = {"sessions": {"kind": "counts", "outcome": "pain", "endpoint": "sessions"}}
    block = run(design(arms=arms, analyses=analyses), n=2)
    found, trial = analyse_block(block), Trial(block, COLUMN)
    for a, arm in enumerate(arms):
        n = len(trial.people)
        potential = block.outcomes.all_sessions[a, :n, COLUMN]
        mine = trial.arm == a
        assert np.array_equal(potential[mine], trial.people["n_sessions"][mine])
        assert column(found, "sessions", arm, "truth")[COLUMN] == pytest.approx(potential.mean())
        observed = trial.people["n_sessions"][mine].mean()
        assert column(found, "sessions", arm, "estimate")[COLUMN] == pytest.approx(observed)
