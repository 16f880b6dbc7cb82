"""Every kind of analysis and every way with missing data, through the plan, against its kernel fed from the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from designs import busy
from helpers import Array, differences, run
from pool_means import pool_means
from trials import Trial

from trialsim.analysis import few_clusters, gee, mixed, mmrm, regressions, survival, two_sample
from trialsim.analysis.cells import fit_cells
from trialsim.analysis.complier import complier_effect
from trialsim.analysis.estimates import RATIOS, Estimates, Label
from trialsim.analysis.fits import Comparison, Data, Means, TimesToEvent
from trialsim.analysis.imputation import chained, joint_normal
from trialsim.analysis.inference import of_cells as means_of_cells
from trialsim.analysis.inference import p_value, quantile
from trialsim.analysis.pattern_mixture import impute_change
from trialsim.analysis.plan import analyse_block, estimate
from trialsim.analysis.reference_based import reference_based
from trialsim.analysis.response_weights import inverse_probability_weights, response_weights
from trialsim.block import Block
from trialsim.design.analyses import Analysis
from trialsim.design.parts import Design
from trialsim.world.streams import Stream

COLUMN = 1
"""The replicate that is analysed a second time."""
COVARIATES = ("baseline", "site", "female", "age")
PAIRS = ((0, 1), (0, 2), (1, 2))
N_COPIES = 4

Fit = Means | list[Comparison]
ByHand = Callable[[Trial], Fit]


def of(
    t: Trial, endpoint: str = "change", *, cluster: str = "person", covariates: tuple[str, ...] = COVARIATES
) -> Data:
    """The data of a model from the tables."""
    x = t.covariates("pain", covariates)
    return Data(y=t.y("pain", endpoint), arm=t.arm, covariates=x, cluster=t.cluster(cluster), n_arms=3)


def cells(data: Data, family: str) -> Means:
    """The cell model of one replicate as `Means`."""
    fit = fit_cells(
        data.y[None], data.observed[None], data.arm[None], data.covariates[None], data.cluster[None], n_arms=3,
        family=family, weights=None if data.weights is None else data.weights[None],  # type: ignore[arg-type]
    )  # fmt: skip
    found = means_of_cells(fit)
    n_visits = data.y.shape[1]
    cov = np.zeros((3, n_visits, 3, n_visits))
    cov[:, np.arange(n_visits), :, np.arange(n_visits)] = found.cov[0]
    size = 3 * n_visits
    return Means(
        found.link, found.mean[0], cov.reshape(size, size), found.df[0], found.global_df[0], found.n_cell[0],
        int(data.observed.any(axis=1).sum()), tuple(found.reason[0]),
    )  # fmt: skip


def events(t: Trial, covariates: tuple[str, ...] = ()) -> TimesToEvent:
    time, event, ever = t.first_response("pain")
    return TimesToEvent(time, event, t.arm[ever], t.covariates("pain", covariates)[ever], 3)


def response_counts(t: Trial) -> tuple[Data, Array]:
    answers = t.by_visit("pain", "responder")
    exposure = (~np.isnan(answers)).sum(axis=1).astype(float)
    y = np.where(exposure > 0, np.nansum(answers, axis=1), np.nan)
    return Data(y[:, None], t.arm, t.covariates("pain", ("baseline",)), t.cluster("person"), 3), exposure[:, None]


def attended_at_least(t: Trial, least: int) -> Array:
    return ((t.planned[:, None] > 0) & (t.attended >= least)).astype(float)


def against_usual(t: Trial, endpoint: str, least: int, *, two_stage: bool) -> list[Comparison]:
    data = of(t, endpoint, covariates=("baseline", "female") if two_stage else ())
    measure = "mean difference" if endpoint == "change" else "risk difference"
    attended = attended_at_least(t, least)
    return [complier_effect(data, attended, ((0, 2), (1, 2)), measure=measure, two_stage=two_stage)]


KINDS: dict[str, tuple[dict[str, Any], ByHand]] = {
    "poisson": ({"kind": "modified_poisson"}, lambda t: cells(of(t, "response"), "poisson")),
    "poisson_coach": (
        {"kind": "modified_poisson", "cluster": "coach"},
        lambda t: cells(of(t, "response", cluster="coach"), "poisson"),
    ),
    "linear": ({"kind": "linear", "cluster": "site"}, lambda t: cells(of(t, cluster="site"), "gaussian")),
    "welch": ({"kind": "t_test"}, lambda t: two_sample.t_test(of(t), equal_variance=False)),
    "student": ({"kind": "t_test", "equal_variance": True}, lambda t: two_sample.t_test(of(t), equal_variance=True)),
    "proportions": ({"kind": "proportions"}, lambda t: two_sample.proportions(of(t, "response"), PAIRS)),
    "newcombe": (
        {"kind": "proportions", "interval": "newcombe", "alpha": 0.1},
        lambda t: two_sample.proportions(of(t, "response"), PAIRS, alpha=0.1),
    ),
    "chi": (
        {"kind": "chi_squared", "correction": True},
        lambda t: [two_sample.chi_squared(of(t, "response"), PAIRS, correction=True)],
    ),
    "ancova": ({"kind": "ancova"}, lambda t: regressions.ancova(of(t), variance="model")),
    "ancova_hc3": ({"kind": "ancova", "variance": "hc3"}, lambda t: regressions.ancova(of(t), variance="hc3")),
    "logistic": ({"kind": "logistic"}, lambda t: regressions.logistic(of(t, "response"), variance="model")),
    "logistic_robust": (
        {"kind": "logistic", "variance": "robust", "covariates": ("baseline",)},
        lambda t: regressions.logistic(of(t, "response", covariates=("baseline",)), variance="robust"),
    ),
    "log_binomial": (
        {"kind": "log_binomial", "covariates": ("female",)},
        lambda t: regressions.log_binomial(of(t, "response", covariates=("female",))),
    ),
    "gee": (
        {"kind": "gee", "working": "unstructured", "correction": "kauermann_carroll"},
        lambda t: gee.gee(of(t), family="gaussian", working="unstructured", correction="kauermann_carroll"),
    ),
    "gee_response": (
        {"kind": "gee", "endpoint": "response", "covariates": ("baseline",), "cluster": "coach"},
        lambda t: gee.gee(
            of(t, "response", covariates=("baseline",), cluster="coach"), family="binomial", working="exchangeable"
        ),
    ),
    "mmrm": ({"kind": "mmrm"}, lambda t: mmrm.mmrm(of(t), df="kenward_roger")),
    "mmrm_by_visit": (
        {"kind": "mmrm", "df": "satterthwaite", "covariates_by_visit": True},
        lambda t: mmrm.mmrm(of(t), df="satterthwaite", covariates_by_visit=True),
    ),
    "mixed": ({"kind": "mixed"}, lambda t: mixed.mixed(of(t, cluster="coach"), df="satterthwaite")),
    "mixed_nested": (
        {"kind": "mixed", "nested_arms": ("coach",), "heteroscedastic": True, "df": "kenward_roger"},
        lambda t: mixed.mixed(
            of(t, cluster="coach"), nested_arms=(0,), heteroscedastic=True, df="kenward_roger"
        ),
    ),
    "cr2": ({"kind": "cluster_robust"}, lambda t: few_clusters.cluster_robust(of(t, cluster="coach"))),
    "cr1": (
        {"kind": "cluster_robust", "cluster": "site", "correction": "CR1", "covariates": ("baseline",)},
        lambda t: few_clusters.cluster_robust(of(t, cluster="site", covariates=("baseline",)), correction="CR1"),
    ),
    "cluster_means": (
        {"kind": "cluster_means", "weights": "size", "covariates": ("baseline",)},
        lambda t: few_clusters.cluster_means(of(t, cluster="coach", covariates=("baseline",)), weights="size"),
    ),
    "log_rank": ({"kind": "log_rank"}, lambda t: [survival.log_rank(events(t), PAIRS)]),
    "cox": (
        {"kind": "cox", "covariates": ("baseline", "female"), "ties": "breslow"},
        lambda t: [survival.cox(events(t, ("baseline", "female")), PAIRS, ties="breslow")],
    ),
    "rmst": ({"kind": "rmst", "until_day": 200.0}, lambda t: survival.rmst(events(t), tau=200.0)),
    "counts": (
        {"kind": "counts", "covariates": ("baseline",)},
        lambda t: regressions.counts(*response_counts(t), family="negative_binomial"),
    ),
    "quasi": (
        {"kind": "counts", "covariates": ("baseline",), "family": "quasi_poisson"},
        lambda t: regressions.counts(*response_counts(t), family="quasi_poisson"),
    ),
    "complier": (
        {"kind": "complier", "covariates": ("baseline", "female")},
        lambda t: against_usual(t, "change", 1, two_stage=True),
    ),
    "complier_ratio": (
        {"kind": "complier", "method": "ratio", "endpoint": "response", "adherent": 5},
        lambda t: against_usual(t, "response", 5, two_stage=False),
    ),
}  # fmt: skip


# --- ways with missing data -------------------------------------------------------------------------------------------


def imputed(t: Trial, name: str, model: Any, **options: Any) -> list[Array]:
    """Completed values by an imputation kernel with the luck of this analysis and replicate."""
    luck = t.block.draws.luck(Stream.IMPUTATION, t.column, name)
    x = t.covariates("pain", ("baseline", "female"))
    return list(model(t.value("pain"), t.arm, x, n_arms=3, m=N_COPIES, luck=luck, **options))


def pooled(t: Trial, copies: list[Array], kernel: Callable[[Data], Means], endpoint: str = "change") -> Means:
    """A kernel on every completed copy, pooled by the rules of `rubin`."""
    fits = []
    for value in copies:
        y = value - t.baseline("pain")[:, None]
        if endpoint == "response":
            fall = t.design.outcomes["pain"].responder_change
            y = (value <= t.baseline("pain")[:, None] * (1 - fall) + 1e-9).astype(float)
        x = t.covariates("pain", ("baseline",))
        fits.append(kernel(Data(y, t.arm, x, t.cluster("person"), 3)))
    return pool_means(fits)


def weighted(t: Trial, *, history: bool) -> Data:
    data, x = of(t, covariates=("baseline",)), t.covariates("pain", ("baseline", "age"))
    weights = inverse_probability_weights(data.observed, t.arm, x, t.value("pain"), n_arms=3, history=history)
    return Data(data.y, t.arm, data.covariates, data.cluster, 3, np.where(data.observed, weights, 1.0))


def as_published(t: Trial) -> Means:
    """RESOLVE's two steps for the mean change."""
    data = of(t, covariates=("baseline",))
    filled = impute_change(data.y, t.arm, n_arms=3, covariates=t.covariates("pain", ("female",)))
    weights = response_weights(data.observed.any(axis=1), t.covariates("pain", ("baseline", "age")), t.arm)
    repeated = np.repeat(np.where(np.isnan(weights), 1.0, weights)[:, None], 3, axis=1)
    return cells(Data(filled, t.arm, data.covariates, data.cluster, 3, repeated), "gaussian")


def deviations(t: Trial) -> Array:
    """The first visit after stopping, 3 for who never stopped."""
    return np.array([next((v for v in range(3) if row[v]), 3) for row in t.stopped])


def shifted(t: Trial, copies: list[Array], arm: str, delta: float) -> list[Array]:
    move = np.isnan(t.value("pain")) & (t.arm == t.arms.index(arm))[:, None]
    return [copy + delta * move for copy in copies]


def ancova(data: Data) -> Means:
    return regressions.ancova(data, variance="model")


X = ("baseline",)
IMPUTE = {"imputations": N_COPIES, "covariates": ("baseline", "female")}
WAYS: dict[str, tuple[dict[str, Any], ByHand]] = {
    "complete_cases": (
        {"kind": "ancova", "covariates": X, "missing": {"kind": "complete_cases"}},
        lambda t: ancova(whole(of(t, covariates=X))),
    ),
    "weights": (
        {"kind": "linear", "covariates": X, "missing": {"kind": "weights", "covariates": ("baseline", "age")}},
        lambda t: cells(weighted(t, history=True), "gaussian"),
    ),
    "weights_plain": (
        {
            "kind": "linear", "covariates": X,
            "missing": {"kind": "weights", "covariates": ("baseline", "age"), "history": False},
        },
        lambda t: cells(weighted(t, history=False), "gaussian"),
    ),
    "weights_by_visit": (
        {
            "kind": "ancova", "covariates": X, "variance": "hc0",
            "missing": {"kind": "weights", "covariates": ("baseline", "age")},
        },
        lambda t: regressions.ancova(weighted(t, history=True), variance="hc0"),
    ),
    "pattern": (
        {
            "kind": "linear", "covariates": X,
            "missing": {
                "kind": "pattern_mixture", "covariates": ("female",), "response_covariates": ("baseline", "age"),
            },
        },
        as_published,
    ),
    "joint": (
        {"kind": "ancova", "covariates": X, "missing": {"kind": "imputation", **IMPUTE}},
        lambda t: pooled(t, imputed(t, "joint", joint_normal, by_arm=True), ancova),
    ),
    "joint_cells": (
        {"kind": "linear", "covariates": X, "missing": {"kind": "imputation", **IMPUTE}},
        lambda t: pooled(t, imputed(t, "joint_cells", joint_normal, by_arm=True), lambda d: cells(d, "gaussian")),
    ),
    "chained": (
        {
            "kind": "logistic", "covariates": X,
            "missing": {"kind": "imputation", "model": "chained", "by_arm": False, **IMPUTE},
        },
        lambda t: pooled(
            t, imputed(t, "chained", chained, by_arm=False), lambda d: regressions.logistic(d, variance="model"),
            "response",
        ),
    ),
    "delta": (
        {"kind": "ancova", "covariates": X, "missing": {"kind": "imputation", "delta": {"web": 0.7}, **IMPUTE}},
        lambda t: pooled(t, shifted(t, imputed(t, "delta", joint_normal, by_arm=True), "web", 0.7), ancova),
    ),
    "jump": (
        {"kind": "ancova", "covariates": X, "missing": {"kind": "reference", "reference": "usual", **IMPUTE}},
        lambda t: pooled(
            t, imputed(t, "jump", reference_based, reference=2, method="jump", deviation=deviations(t)), ancova
        ),
    ),
    "increments": (
        {
            "kind": "mmrm", "covariates": X,
            "missing": {"kind": "reference", "reference": "web", "rule": "copy_increment", **IMPUTE},
        },
        lambda t: pooled(
            t,
            imputed(t, "increments", reference_based, reference=1, method="copy_increment", deviation=deviations(t)),
            lambda d: mmrm.mmrm(d, df="kenward_roger"),
        ),
    ),
}  # fmt: skip


def whole(data: Data) -> Data:
    """Only participants with all values."""
    y = np.where(data.observed.all(axis=1, keepdims=True), data.y, np.nan)
    return Data(y, data.arm, data.covariates, data.cluster, data.n_arms)


EVERYTHING = KINDS | WAYS


# --- the trial --------------------------------------------------------------------------------------------------------


def planned(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """The analysis as a design says it; covariates are the usual ones unless given, or none where there are none."""
    bare = ("t_test", "proportions", "chi_squared", "log_rank", "rmst")
    default: dict[str, Any] = {} if kind in bare or given.get("method") == "ratio" else {"covariates": COVARIATES}
    multiplicity = {} if kind == "complier" else {"multiplicity": "none"}
    return {"outcome": "pain", **default, **multiplicity, **given}


@pytest.fixture(scope="module")
def trial_design() -> Design:
    plan = {name: planned(given["kind"], given) for name, (given, _) in EVERYTHING.items()}
    return busy(
        sample_size=240,
        outcomes={"pain": {"course": {"m3": -1.0, "m6": -1.5, "m12": -1.5}}},
        observation={"death_prob": 0.02},
        analyses=plan,
    )


@pytest.fixture(scope="module")
def block(trial_design: Design) -> Block:
    return run(trial_design, n=3, seed=3)


@pytest.fixture(scope="module")
def found(block: Block) -> dict[str, Estimates]:
    numbers = np.arange(block.n_replicates, dtype=np.int32)
    design = block.world.design
    return {name: estimate(design, name, block.observed, numbers, block.draws) for name in design.analyses}


@pytest.fixture(scope="module")
def trial(block: Block) -> Trial:
    return Trial(block, COLUMN)


# --- the check --------------------------------------------------------------------------------------------------------


def inverse_link(link: str, x: Any) -> Any:
    return {"identity": lambda x: x, "log": np.exp, "logit": lambda x: 1 / (1 + np.exp(-x))}[link](x)


def on_scale(measure: str, p: float, q: float) -> float:
    """A measure of two means on its working scale."""
    if measure == "odds ratio":
        return float(np.log(p / (1 - p)) - np.log(q / (1 - q)))
    if measure in RATIOS:
        return float(np.log(p / q))
    return float(p - q)


def of_means(fit: Means, label: Label, arms: list[str], v: int) -> tuple[float, float, float]:
    """Estimate on the working scale, standard error by a numerical delta method, degrees of freedom."""
    n_arms, n_visits = fit.mean.shape
    pair = [arms.index(arm) for arm in label.contrast.split(" - ")]
    cov = fit.cov.reshape(n_arms, n_visits, n_arms, n_visits)[:, v, :, v][np.ix_(pair, pair)]
    at, h = fit.mean[pair, v], 1e-6

    def value(x: Array) -> float:
        means = inverse_link(fit.link, x)
        return float(means[0]) if len(pair) == 1 else on_scale(label.measure, *means)

    slope = np.array([(value(at + h * e) - value(at - h * e)) / (2 * h) for e in np.eye(len(pair))])
    return value(at), float(np.sqrt(slope @ cov @ slope)), float(fit.df[pair[0], pair[-1], v])


def of_comparison(one: Comparison, label: Label, arms: list[str], v: int) -> tuple[float, float, float, float]:
    a, b = (arms.index(arm) for arm in label.contrast.split(" - "))
    p = one.pairs.index((a, b))
    return one.estimate[p, v], one.std_error[p, v], one.df[p, v], one.p_value[p, v]


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_plan_gives_the_kernel_what_the_tables_say(name: str, found: dict[str, Estimates], trial: Trial) -> None:
    estimates, analysis = found[name], trial.design.analyses[name]
    assert not set(estimates.reason[COLUMN]) - {""}
    fit = EVERYTHING[name][1](trial)
    checked = 0
    for place, label in enumerate(estimates.labels):
        if label.measure in ("test of all arms", "number needed to treat"):
            continue
        v = 0 if one_visit(analysis) else trial.visits.index(label.visit)
        if isinstance(fit, Means):
            value, error, df = of_means(fit, label, trial.arms, v)
            p = float(p_value(np.array(value), np.array(error), np.array(df)))
        elif " - " in label.contrast:
            one = next(one for one in fit if one.measure == label.measure)
            value, error, df, p = of_comparison(one, label, trial.arms, v)
        else:
            continue
        checked += 1
        scale = 100.0 if label.measure in ("risk difference", "adjusted percentage") else 1.0
        shown = np.exp(value) if label.measure in RATIOS else scale * value
        assert estimates.estimate[COLUMN, place] == pytest.approx(shown, rel=1e-6)
        error_shown = error if label.measure in RATIOS else scale * error
        assert estimates.std_error[COLUMN, place] == pytest.approx(error_shown, rel=1e-5)
        assert estimates.df[COLUMN, place] == pytest.approx(df, rel=1e-6)
        if " - " in label.contrast:
            assert estimates.p_value[COLUMN, place] == pytest.approx(p, rel=1e-4)
            assert_limits(estimates, place, label, shown, error_shown, df, analysis)
    n_visits = 1 if one_visit(analysis) else 3
    assert checked >= n_visits * (2 if analysis.kind == "complier" else 3)


def one_visit(analysis: Analysis) -> bool:
    return analysis.kind in ("log_rank", "cox", "rmst", "counts")


def assert_limits(
    estimates: Estimates, place: int, label: Label, shown: float, error: float, df: float, analysis: Any
) -> None:
    limits = estimates.ci_low[COLUMN, place], estimates.ci_high[COLUMN, place]
    if getattr(analysis, "interval", "wald") == "newcombe" and label.measure == "risk difference":
        assert limits[0] < shown < limits[1]
        return
    reach = float(quantile(analysis.alpha, np.array(df))) * error
    ends = shown * np.exp([-reach, reach]) if label.measure in RATIOS else shown + np.array([-reach, reach])
    assert limits == pytest.approx(tuple(ends), rel=1e-5)


def test_newcombe_limits_are_the_kernels(found: dict[str, Estimates], trial: Trial) -> None:
    one = two_sample.proportions(of(trial, "response"), PAIRS, alpha=0.1)[0]
    mine = found["newcombe"]
    for p, (a, b) in enumerate(PAIRS):
        for v, visit in enumerate(trial.visits):
            contrast = f"{trial.arms[a]} - {trial.arms[b]}"
            place = mine.place(analysis="newcombe", contrast=contrast, visit=visit, measure="risk difference")
            limits = mine.ci_low[COLUMN, place], mine.ci_high[COLUMN, place]
            assert limits == pytest.approx((100 * one.ci_low[p, v], 100 * one.ci_high[p, v]))


def test_analyses_of_one_trial_differ(found: dict[str, Estimates]) -> None:
    """Options reach their kernels: no two analyses of the plan have the same standard errors."""
    errors = {}
    for name, estimates in found.items():
        pairs = [k for k, label in enumerate(estimates.labels) if " - " in label.contrast]
        # The first measure of the first pair at the first visit, and its interval
        place = pairs[0]
        columns = (estimates.estimate, estimates.std_error, estimates.ci_low, estimates.p_value)
        errors[name] = tuple(float(column[COLUMN, place]) for column in columns)
    assert len(set(errors.values())) == len(errors)


# --- alone and in company ---------------------------------------------------------------------------------------------


def test_a_replicate_has_the_same_bits_alone_and_in_a_block(trial_design: Design) -> None:
    """Whatever the kind and the way with missing data; 18 replicates, so that a second block of draws is begun."""
    some = {name: trial_design.analyses[name] for name in EVERYTHING}
    design = Design.model_validate(trial_design.model_dump() | {"analyses": some, "sample_size": 120})
    together = analyse_block(run(design, n=4, first=14))
    for k in (0, 3):
        alone = analyse_block(run(design, n=1, first=14 + k))
        mine = {name: getattr(together, name)[k : k + 1] for name in vars(together) if name != "labels"}
        its = {name: getattr(alone, name) for name in vars(alone) if name != "labels"}
        assert differences(mine, its) == []
        assert alone.labels == together.labels
