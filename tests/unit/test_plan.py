"""The analysis plan: estimates from what was observed alone, the truth from potential outcomes beside them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from designs import THREE_VISITS, coached, design, online, usual
from golden.small_trial import small_trial
from helpers import run, same
from scipy.stats import norm

from trialsim.analysis.estimates import (
    GLOBAL_TEST,
    MEAN_CHANGE,
    MEAN_DIFFERENCE,
    NNT,
    PERCENTAGE,
    RISK_DIFFERENCE,
    RISK_RATIO,
    Estimates,
)
from trialsim.analysis.plan import analyse_block, estimate
from trialsim.block import Block
from trialsim.design.analyses import Analysis
from trialsim.design.parts import Design
from trialsim.design.shape import tags_of
from trialsim.records import table
from trialsim.trial import TrialData, analyse
from trialsim.world.observation import ObservedData

ARMS, VISITS, PAIRS = ["coach", "web", "usual"], ["m3", "m12"], ["coach - web", "coach - usual", "web - usual"]
COLUMN = 2
"""The replicate that is analysed a second time."""


def plan(**analyses: dict[str, Any]) -> Design:
    """The small trial with three sites, 180 participants and these analyses of pain."""
    whole = {name: {"outcome": "pain", **analysis} for name, analysis in analyses.items()}
    sites = {"west": {"rate_per_month": 50.0}}
    trial = small_trial(sample_size=180, recruitment={"sites": sites})
    return Design.model_validate(trial.model_dump() | {"analyses": whole})


@pytest.fixture(scope="module")
def block() -> Block:
    """Four trials with both kinds of analysis, clustered on coaches and on persons."""
    covariates = ["baseline", "site", "female", "age"]
    return run(
        plan(
            ratio_by_coach={"kind": "modified_poisson", "covariates": covariates, "cluster": "coach"},
            ratio_by_person={"kind": "modified_poisson", "covariates": covariates, "alpha": 0.1},
            change_by_coach={"kind": "linear", "covariates": covariates, "cluster": "coach", "alpha": 0.1},
            bare={"kind": "linear"},
        ),
        n=4,
        seed=3,
    )


@pytest.fixture(scope="module")
def estimates(block: Block) -> Estimates:
    found = analyse_block(block)
    assert found.converged.all()
    return found


class Values:
    """One label of one replicate."""

    def __init__(self, estimates: Estimates, analysis: str, contrast: str, visit: str, measure: str) -> None:
        place = estimates.place(analysis=analysis, contrast=contrast, visit=visit, measure=measure)
        assert place is not None
        for f in fields(Estimates):
            if f.name not in ("labels", "replicate"):
                setattr(self, f.name, getattr(estimates, f.name)[COLUMN, place])

    estimate: float
    std_error: float
    df: float
    ci_low: float
    ci_high: float
    p_value: float
    significant: float
    truth: float
    truth_first: float
    truth_second: float
    n_used: int

    def interval(self) -> tuple[float, float, float]:
        return self.estimate, self.ci_low, self.ci_high


# --- a second analysis, from the tables, with statsmodels -------------------------------------------------------------


@dataclass
class ByHand:
    """The plan's model fitted by statsmodels to the tables of one replicate."""

    block: Block
    poisson: bool
    by_coach: bool

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row per answered questionnaire."""
        seen = table(self.block, "observations", columns=[COLUMN]).to_pandas()
        people = table(self.block, "participants", columns=[COLUMN]).to_pandas()
        rows = (
            seen[seen["outcome"] == "pain"].dropna(subset="value").merge(people.drop(columns="arm"), on="participant")
        )
        rows["y"] = rows["responder"].astype(float) if self.poisson else rows["value"] - rows["baseline_pain"]
        alone = rows["coach"].isna() | (not self.by_coach)
        rows["cluster"] = np.where(alone, "p" + rows["participant"].astype(str), "c" + rows["coach"].astype(str))
        return rows

    def matrix(self, rows: pd.DataFrame, arms: Any = None, visits: Any = None) -> np.ndarray:
        """Cells arm by visit, baseline, sites but the first, female, age."""
        arms, visits = rows["arm"] if arms is None else arms, rows["visit"] if visits is None else visits
        columns = [((arms == arm) & (visits == visit)) * np.ones(len(rows)) for arm in ARMS for visit in VISITS]
        columns += [rows["baseline_pain"], rows["site"] == "south", rows["site"] == "west", rows["female"], rows["age"]]
        return np.column_stack(columns).astype(float)

    @cached_property
    def fit(self) -> Any:
        family = sm.families.Poisson() if self.poisson else sm.families.Gaussian()
        groups = pd.factorize(self.rows["cluster"])[0]
        order = np.argsort(groups, kind="stable")
        matrix = self.matrix(self.rows)[order]
        model = sm.GEE(self.rows["y"].to_numpy()[order], matrix, groups=groups[order], family=family)
        return model.fit(ctol=1e-12, maxiter=300)

    def adjusted(self, arm: str, visit: str, parameters: np.ndarray) -> float:
        """Mean prediction over everybody who ever answered, were all in this arm."""
        everybody = self.rows.drop_duplicates("participant")
        linear = self.matrix(everybody, arm, visit) @ parameters
        return float(np.mean(100 * np.exp(linear) if self.poisson else linear))

    def with_error(self, function: Any) -> tuple[float, float]:
        """A function of the parameters, and its standard error by the delta method (central differences)."""
        at = np.asarray(self.fit.params)
        steps = 1e-5 * np.maximum(np.abs(at), 1e-2) * np.eye(len(at))
        slope = np.array([(function(at + h) - function(at - h)) / (2 * h.sum()) for h in steps])
        return function(at), float(np.sqrt(slope @ self.fit.cov_params() @ slope))


ANALYSES = {
    "ratio_by_coach": (True, True, 0.05),
    "ratio_by_person": (True, False, 0.1),
    "change_by_coach": (False, True, 0.1),
}


@pytest.fixture(scope="module", params=ANALYSES)
def analysis(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def by_hand(block: Block, analysis: str) -> ByHand:
    poisson, by_coach, _ = ANALYSES[analysis]
    return ByHand(block, poisson, by_coach)


def test_adjusted_arms_are_those_of_statsmodels(estimates: Estimates, by_hand: ByHand, analysis: str) -> None:
    z = norm.ppf(1 - ANALYSES[analysis][2] / 2)
    for arm in ARMS:
        for visit in VISITS:
            mine = Values(estimates, analysis, arm, visit, PERCENTAGE if by_hand.poisson else MEAN_CHANGE)
            value, error = by_hand.with_error(lambda p, a=arm, v=visit: by_hand.adjusted(a, v, p))
            assert (mine.estimate, mine.std_error) == pytest.approx((value, error), rel=1e-6)
            assert mine.df == np.inf
            if by_hand.poisson:
                limits = value * np.exp(np.array([-z, z]) * error / value)
            else:
                limits = value + np.array([-z, z]) * error
            assert (mine.ci_low, mine.ci_high) == pytest.approx(tuple(limits), rel=1e-5)


def test_comparisons_are_those_of_statsmodels(estimates: Estimates, by_hand: ByHand, analysis: str) -> None:
    z = norm.ppf(1 - ANALYSES[analysis][2] / 2)
    for pair in PAIRS:
        a, b = pair.split(" - ")
        for v, visit in enumerate(VISITS):
            measure = RISK_DIFFERENCE if by_hand.poisson else MEAN_DIFFERENCE
            mine = Values(estimates, analysis, pair, visit, measure)
            value, error = by_hand.with_error(
                lambda p, a=a, b=b, v=visit: by_hand.adjusted(a, v, p) - by_hand.adjusted(b, v, p)
            )
            assert (mine.estimate, mine.std_error) == pytest.approx((value, error), rel=1e-5)
            assert (mine.ci_low, mine.ci_high) == pytest.approx((value - z * error, value + z * error), rel=1e-5)
            assert mine.p_value == pytest.approx(2 * norm.sf(abs(value / error)), rel=1e-4)
            if not by_hand.poisson:
                continue
            ratio = Values(estimates, analysis, pair, visit, RISK_RATIO)
            test = by_hand.fit.t_test(
                np.eye(len(by_hand.fit.params))[2 * ARMS.index(a) + v]
                - np.eye(len(by_hand.fit.params))[2 * ARMS.index(b) + v]
            )
            log_ratio, error = float(test.effect[0]), float(test.sd[0, 0])
            assert (ratio.estimate, ratio.std_error) == pytest.approx((np.exp(log_ratio), error), rel=1e-6)
            assert ratio.ci_high == pytest.approx(np.exp(log_ratio + z * error), rel=1e-6)
            assert ratio.p_value == pytest.approx(float(test.pvalue), rel=1e-5)
            needed = Values(estimates, analysis, pair, visit, NNT)
            assert needed.estimate == pytest.approx(100 / value, rel=1e-5)


def test_the_test_of_all_arms_is_that_of_statsmodels(estimates: Estimates, by_hand: ByHand, analysis: str) -> None:
    for v, visit in enumerate(VISITS):
        contrast = np.zeros((2, len(by_hand.fit.params)))
        contrast[0, [v, 2 + v]] = 1, -1
        contrast[1, [v, 4 + v]] = 1, -1
        test = by_hand.fit.wald_test(contrast, scalar=True)
        mine = Values(estimates, analysis, "all arms", visit, GLOBAL_TEST)
        assert (mine.estimate, mine.p_value) == pytest.approx((float(test.statistic), float(test.pvalue)), rel=1e-5)


def test_clusters_of_coaches_matter(estimates: Estimates) -> None:
    """Otherwise the comparisons above could not tell whether they are used."""
    by_coach, by_person = (
        Values(estimates, f"ratio_by_{unit}", "coach", "m3", PERCENTAGE) for unit in ("coach", "person")
    )
    assert by_coach.estimate == pytest.approx(by_person.estimate)
    assert abs(by_coach.std_error / by_person.std_error - 1) > 0.02


def test_without_covariates_means_are_the_raw_ones(block: Block, estimates: Estimates) -> None:
    rows = ByHand(block, poisson=False, by_coach=False).rows
    means = rows.groupby(["arm", "visit"], observed=True)["y"].mean()
    for arm in ARMS:
        for visit in VISITS:
            assert Values(estimates, "bare", arm, visit, MEAN_CHANGE).estimate == pytest.approx(means[arm, visit])


def test_n_used_are_the_answers(block: Block, estimates: Estimates, analysis: str) -> None:
    n = ByHand(block, poisson=False, by_coach=False).rows.groupby(["arm", "visit"], observed=True).size()
    binary = ANALYSES[analysis][0]
    for visit in VISITS:
        for arm in ARMS:
            assert (
                Values(estimates, analysis, arm, visit, PERCENTAGE if binary else MEAN_CHANGE).n_used == n[arm, visit]
            )
        assert Values(estimates, analysis, "all arms", visit, GLOBAL_TEST).n_used == sum(n[arm, visit] for arm in ARMS)
        for pair in PAIRS:
            a, b = pair.split(" - ")
            for measure in (RISK_RATIO, RISK_DIFFERENCE, NNT) if binary else (MEAN_DIFFERENCE,):
                assert Values(estimates, analysis, pair, visit, measure).n_used == n[a, visit] + n[b, visit]


# --- what analyses may see --------------------------------------------------------------------------------------------


def scrambled(block: Block) -> Block:
    """The same trials as recorded, everything latent made nonsense."""
    luck = np.random.default_rng(1)
    cohort, outcomes = block.plan.cohort, block.outcomes
    nonsense = {
        name: None if values is None else luck.integers(0, 100, values.shape).astype(values.dtype)
        for name in ("potential", "sessions", "all_sessions", "missed", "full_dose")
        for values in [getattr(outcomes, name)]
    }
    stable = [luck.permuted(s, axis=0) for s in cohort.stable]
    cohort = replace(cohort, motivation=luck.permuted(cohort.motivation, axis=0), stable=stable)
    return replace(block, outcomes=replace(outcomes, **nonsense), plan=replace(block.plan, cohort=cohort))


WITHOUT_TRUTH = ("log_rank", "cox")
"""Analyses whose estimands potential outcomes do not give: hazard ratios."""


def check_that_only_the_truth_changes(block: Block, estimates: Estimates) -> None:
    again = analyse_block(scrambled(block))
    unchanged = [f.name for f in fields(Estimates) if not f.name.startswith("truth")]
    assert [name for name in unchanged if not same(getattr(again, name), getattr(estimates, name))] == []
    with_truth = ~np.isnan(estimates.truth)
    if estimates.labels[0].analysis in WITHOUT_TRUTH:
        assert not with_truth.any()
    else:
        assert np.mean(again.truth[with_truth] != estimates.truth[with_truth]) > 0.9


def test_estimates_come_from_what_was_observed_alone(block: Block, estimates: Estimates) -> None:
    """Everything latent is made nonsense: each estimate stays as it was to the last bit, and the truth does not."""
    check_that_only_the_truth_changes(block, estimates)


COVARIATES = {"covariates": ["baseline", "female"]}
EVERY_KIND: dict[str, dict[str, Any]] = {
    "modified_poisson": {"missing": {"kind": "weights"}},
    "linear": {"missing": {"kind": "pattern_mixture"}, **COVARIATES},
    "t_test": {"estimand": "hypothetical"},
    "proportions": {"estimand": "composite"},
    "chi_squared": {"estimand": "per_protocol", "adherent": 2},
    "ancova": {"missing": {"kind": "imputation", "imputations": 2}, **COVARIATES},
    "logistic": {**COVARIATES},
    "log_binomial": {},
    "gee": {"estimand": "while_on_treatment"},
    "mmrm": {"missing": {"kind": "reference", "reference": "usual", "imputations": 2}},
    "mixed": {**COVARIATES},
    "cluster_robust": {},
    "cluster_means": {"missing": {"kind": "complete_cases"}},
    "log_rank": {},
    "cox": {**COVARIATES},
    "rmst": {},
    "counts": {**COVARIATES},
    "complier": {**COVARIATES},
    "user": {"function": "own_estimator:mean_differences"},
}
OWN = """
def mean_differences(data, info):
    for contrast in info.contrasts:
        groups = [data[data["arm"] == arm] for arm in contrast.split(" - ")]
        for visit in info.visits:
            a, b = ((g[f"{info.outcome}_{visit}"] - g[f"baseline_{info.outcome}"]).dropna() for g in groups)
            error = (a.var() / len(a) + b.var() / len(b)) ** 0.5
            yield {"contrast": contrast, "visit": visit, "estimate": a.mean() - b.mean(), "std_error": error}
"""


@pytest.fixture
def own_estimator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An importable module with an estimator of the user's."""
    (tmp_path / "own_estimator.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_kinds_below_are_all_there_are() -> None:
    assert set(EVERY_KIND) == {kind for part in get_args(get_args(Analysis)[0]) for kind in tags_of(part)}


@pytest.mark.usefixtures("own_estimator")
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_no_kind_of_analysis_sees_what_was_not_observed(kind: str) -> None:
    """As above, for every kind, with all estimands and ways with missing data among them."""
    trials = run(plan(**{kind: {"kind": kind, "multiplicity": "none", **EVERY_KIND[kind]}}), n=2, seed=4)
    found = analyse_block(trials)
    assert found.converged.all(), set(found.reason[~found.converged])
    check_that_only_the_truth_changes(trials, found)


def test_a_change_of_one_answer_changes_the_estimates(block: Block, estimates: Estimates) -> None:
    """The check above could not fail if the estimates came from nothing."""
    realised = block.outcomes.realised.copy()
    row = int(np.flatnonzero(block.observed.observed[COLUMN, :, 0])[0])
    realised[0, 0, row, COLUMN] += 5
    again = analyse_block(replace(block, outcomes=replace(block.outcomes, realised=realised)))
    changed = (again.estimate != estimates.estimate).any(axis=1)
    assert changed.tolist() == [column == COLUMN for column in range(4)]


def test_values_that_were_not_observed_do_not_matter(block: Block, estimates: Estimates) -> None:
    unseen = ~block.observed.observed.transpose(2, 1, 0)
    assert unseen.any()
    realised = np.where(unseen[None], 0, block.outcomes.realised)
    again = analyse_block(replace(block, outcomes=replace(block.outcomes, realised=realised)))
    assert same(again.estimate, estimates.estimate)


def test_observed_data_hold_nothing_latent() -> None:
    assert {f.name for f in fields(ObservedData)} == {
        "arm", "site", "cluster", "coach", "group", "covariates", "baseline", "value", "responder", "seen",
        "event_time", "event", "observed", "sessions", "all_sessions", "missed",
    }  # fmt: skip


def test_sessions_observed_are_those_of_the_tables(block: Block) -> None:
    data = block.observed
    people = table(block, "participants", columns=[COLUMN]).to_pandas()
    held = table(block, "sessions", columns=[COLUMN]).to_pandas().dropna(subset="attended_day")
    randomized = held["participant"].map(people.set_index("participant")["randomized_day"])
    assert data.all_sessions[COLUMN].tolist() == people["n_sessions"].tolist()
    for v, visit in enumerate(block.world.design.visits.values()):
        by_then = held[held["attended_day"] - randomized <= visit.day].groupby("participant").size()
        expected = people["participant"].map(by_then).fillna(0).astype(int)
        assert data.sessions[COLUMN, :, v].tolist() == expected.tolist()
    assert (data.sessions[COLUMN, :, 0] < data.all_sessions[COLUMN]).any()


# --- the truth --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truths(block: Block) -> pd.DataFrame:
    """Mean potential response and change by arm and visit, from the table of the truth."""
    truth = table(block, "truth", columns=[COLUMN]).to_pandas()
    people = table(block, "participants", columns=[COLUMN]).to_pandas().set_index("participant")
    truth["change"] = truth["value"] - truth["participant"].map(people["baseline_pain"])
    truth["percent"] = 100.0 * truth["responder"]
    return truth.groupby(["arm", "visit"], observed=True)[["percent", "change"]].mean()


def test_the_truth_beside_an_estimate_is_that_of_the_table(estimates: Estimates, truths: pd.DataFrame) -> None:
    for visit in VISITS:
        for arm in ARMS:
            for analysis, measure, name in (("ratio_by_coach", PERCENTAGE, "percent"), ("bare", MEAN_CHANGE, "change")):
                truth = Values(estimates, analysis, arm, visit, measure).truth
                assert truth == pytest.approx(truths.loc[(arm, visit), name])
        for pair in PAIRS:
            a, b = (truths.loc[(arm, visit)] for arm in pair.split(" - "))
            expected = {
                ("ratio_by_coach", RISK_RATIO): a["percent"] / b["percent"],
                ("ratio_by_coach", RISK_DIFFERENCE): a["percent"] - b["percent"],
                ("ratio_by_coach", NNT): 100 / (a["percent"] - b["percent"]),
                ("change_by_coach", MEAN_DIFFERENCE): a["change"] - b["change"],
            }
            for (analysis, measure), value in expected.items():
                mine = Values(estimates, analysis, pair, visit, measure)
                assert mine.truth == pytest.approx(value)
                name = "change" if measure == MEAN_DIFFERENCE else "percent"
                assert (mine.truth_first, mine.truth_second) == pytest.approx((a[name], b[name]))
        assert np.isnan(Values(estimates, "bare", "all arms", visit, GLOBAL_TEST).truth)


# --- labels, contrasts, the gate --------------------------------------------------------------------------------------


def contrasts(estimates: Estimates, analysis: str) -> list[str]:
    names = [label.contrast for label in estimates.labels if label.analysis == analysis]
    return list(dict.fromkeys(name for name in names if " - " in name))


def test_every_pair_is_compared_unless_the_plan_says_which() -> None:
    chosen = plan(all={"kind": "linear"}, some={"kind": "linear", "contrasts": [["usual", "coach"], ["web", "usual"]]})
    found = analyse_block(run(chosen, n=1))
    assert contrasts(found, "all") == [f"{a} - {b}" for a, b in combinations(ARMS, 2)]
    assert contrasts(found, "some") == ["usual - coach", "web - usual"]
    places = {
        (analysis, pair): found.place(analysis=analysis, contrast=pair, visit="m3", measure=MEAN_DIFFERENCE)
        for analysis, pair in (("all", "coach - usual"), ("some", "usual - coach"))
    }
    there, back = (found.estimate[0, place] for place in places.values())
    assert there == pytest.approx(-back)


def test_labels_are_unique_and_every_visit_has_them(estimates: Estimates) -> None:
    assert len(set(estimates.labels)) == len(estimates.labels)
    by_visit = [{replace(label, visit="") for label in estimates.labels if label.visit == visit} for visit in VISITS]
    assert by_visit[0] == by_visit[1]
    assert {label.estimand for label in estimates.labels} == {"treatment policy"}


def test_a_pair_counts_as_different_only_behind_the_gate() -> None:
    """Fisher's rule: the pair's test and the test of all arms. In some trials only the pair's is significant."""
    shared = {"kind": "linear", "covariates": ["baseline"]}
    found = analyse_block(
        run(
            plan(gated={**shared, "multiplicity": "lsd"}, free={**shared, "multiplicity": "none"}),
            n=48,
        )
    )

    def column(analysis: str, contrast: str, measure: str, name: str) -> np.ndarray:
        place = found.place(analysis=analysis, contrast=contrast, visit="m12", measure=measure)
        return np.asarray(getattr(found, name)[:, place])

    gate = column("gated", "all arms", GLOBAL_TEST, "p_value") < 0.05
    assert np.array_equal(column("gated", "all arms", GLOBAL_TEST, "significant"), gate)
    shut = 0
    for pair in PAIRS:
        alone = column("gated", pair, MEAN_DIFFERENCE, "p_value") < 0.05
        assert np.array_equal(column("gated", pair, MEAN_DIFFERENCE, "significant"), alone & gate)
        assert np.array_equal(column("free", pair, MEAN_DIFFERENCE, "significant"), alone)
        shut += int((alone & ~gate).sum())
    assert shut > 0
    assert 0 < gate.sum() < 48


def test_the_level_is_that_of_the_analysis() -> None:
    levels = {
        f"at_{int(100 * alpha)}": {"kind": "linear", "alpha": alpha, "multiplicity": "none"} for alpha in (0.01, 0.2)
    }
    found = analyse_block(run(plan(**levels), n=32))
    for name, alpha in (("at_1", 0.01), ("at_20", 0.2)):
        place = found.place(analysis=name, contrast="web - usual", visit="m3", measure=MEAN_DIFFERENCE)
        assert np.array_equal(found.significant[:, place], found.p_value[:, place] < alpha)
        outside = (found.ci_low[:, place] > 0) | (found.ci_high[:, place] < 0)
        assert np.array_equal(outside, found.p_value[:, place] < alpha)
        assert 0 < found.significant[:, place].sum() < 32


# --- fits that fail ---------------------------------------------------------------------------------------------------


def test_a_fit_without_events_fails_and_says_so(block: Block) -> None:
    """In one of four replicates nobody in the first arm responds."""
    data = block.observed
    value, first = data.value["pain"].copy(), data.arm[1] == 0
    value[1, first] = np.where(data.observed[1, first], data.baseline["pain"][1, first, None], np.nan)
    numbers = np.arange(4, dtype=np.int32)
    found = estimate(block.world.design, "ratio_by_coach", replace(data, value={"pain": value}), numbers)
    before = estimate(block.world.design, "ratio_by_coach", data, numbers)
    assert found.converged.all(axis=1).tolist() == [True, False, True, True]
    assert not found.converged[1].any()
    assert set(found.reason[1]) != {""}
    assert all("no events in arm coach" in reason for reason in found.reason[1])
    assert set(found.reason[[0, 2, 3]].ravel()) == {""}
    for name in ("estimate", "std_error", "ci_low", "ci_high", "p_value", "significant"):
        assert np.isnan(getattr(found, name)[1]).all()
        assert same(getattr(found, name)[[0, 2, 3]], getattr(before, name)[[0, 2, 3]])
    assert same(found.n_used, before.n_used)


def test_a_trial_that_nobody_enters_has_failed_fits() -> None:
    empty = run(small_trial(funnel={"consented": {"prob": 0.0}}, max_enrolment_days=60), n=2)
    found = analyse_block(empty)
    assert not found.converged.any()
    assert np.isnan(found.estimate).all()
    assert np.isnan(found.truth).all()
    assert (found.n_used == 0).all()


# --- shapes of trials -------------------------------------------------------------------------------------------------


def test_a_trial_of_one_arm_has_means_and_no_comparisons() -> None:
    alone = design(
        sample_size=40,
        arms={"web": online(sessions=3)},
        analyses={
            "change": {"kind": "linear", "outcome": "pain"},
            "responders": {"kind": "modified_poisson", "outcome": "pain", "covariates": ["baseline"]},
        },
        outcomes={"pain": {"items": 10, "mean": 6.0, "sd": 1.5, "course": {"m3": -2.0}, "change_sd": 1.0}},
    )
    found = analyse_block(run(alone, n=3))
    assert [(label.contrast, label.measure) for label in found.labels] == [("web", MEAN_CHANGE), ("web", PERCENTAGE)]
    assert found.converged.all()
    assert np.isfinite(found.estimate).all()
    assert np.isnan(found.significant).all()


@pytest.mark.usefixtures("own_estimator")
@pytest.mark.parametrize("kind", [kind for kind in EVERY_KIND if kind != "complier"])
def test_no_kind_needs_a_second_arm(kind: str) -> None:
    """Only an effect among compliers does, and its check says so. Nothing is compared, and nothing breaks."""
    keys = {key: value for key, value in EVERY_KIND[kind].items() if key == "function"}
    arm = {"coach": coached(sessions=3)}
    main = {"kind": kind, "outcome": "pain", "multiplicity": "none", **keys}
    alone = design(sample_size=80, arms=arm, visits=THREE_VISITS, analyses={"main": main})
    found = analyse_block(run(alone, n=2, seed=3))
    assert [label.contrast for label in found.labels if label.contrast != "coach"] == []
    means = kind not in ("log_rank", "cox", "user")
    assert bool(found.labels) is means
    assert np.isfinite(found.estimate).all()


@pytest.mark.parametrize("rule", ["lsd", "holm", "hommel", "dunnett", "dunnett_step_down"])
def test_multiplicity_without_comparisons_is_nothing(rule: str) -> None:
    main = {"kind": "ancova", "outcome": "pain", "multiplicity": rule}
    found = analyse_block(run(design(sample_size=20, arms={"web": online(sessions=3)}, analyses={"main": main}), n=2))
    assert [(label.contrast, label.measure) for label in found.labels] == [("web", MEAN_CHANGE)]


def test_a_plan_without_analyses_gives_nothing() -> None:
    found = analyse_block(run(design(sample_size=20, arms={"web": online(sessions=2), "usual": usual()}), n=2))
    assert (found.labels, found.estimate.shape, found.n_replicates) == ((), (2, 0), 2)


def test_analyse_gives_the_rows_of_one_trial(block: Block, estimates: Estimates) -> None:
    frame = analyse(TrialData(block, COLUMN))
    assert frame["replicate"].unique().tolist() == [COLUMN]
    assert frame["contrast"].tolist() == [label.contrast for label in estimates.labels]
    np.testing.assert_array_equal(frame["estimate"], estimates.estimate[COLUMN])
    np.testing.assert_array_equal(frame["truth"], estimates.truth[COLUMN])
    assert frame["reason"].isna().all()
