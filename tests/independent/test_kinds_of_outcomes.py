"""Analyses of every kind of outcome through the plan, on data made by hand, against statsmodels and lifelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from designs import Data, design, score, usual
from helpers import Array
from scipy import stats
from statsmodels.discrete.discrete_model import NegativeBinomial

from trialsim.analysis.estimates import Estimates
from trialsim.analysis.plan import estimate
from trialsim.design.parts import Design
from trialsim.world.observation import ObservedData

VISITS: Data = {"w9": {"day": 63, "closes": 20}, "w21": {"day": 147}, "m12": {"day": 365}}
DAYS = np.array([63, 147, 365])
YEARS = np.diff([0, 63, 147, 365]) / 365.25
ARMS = ("group", "usual")
N, R = 90, 2
HAZARD = dict.fromkeys(VISITS, 0.05)
SIX: Data = {
    "pain": score(),
    "work": {"kind": "binary", "prob": 0.4},
    "sleep": {"kind": "ordinal", "levels": {"bad": 0.3, "fair": 0.4, "good": 0.3}, "responder_from": "fair"},
    "emergency": {"kind": "count", "rate_per_year": 1.5, "source": "record"},
    "back": {"kind": "event", "hazard": HAZARD, "source": "record"},
    "opioid": {"kind": "dose", "users": "user", "median": 40.0},
}


def planned(**analyses: Data) -> Design:
    """Two arms, one in groups, clusters of people, an outcome of every kind."""
    plan = {name: {"multiplicity": "none", **one} for name, one in analyses.items()}
    delivery = {"kind": "group", "modules": ["a", "b"], "size": 6, "facilitators": 1}
    return design(
        visits=VISITS,
        outcomes=SIX,
        covariates={"user": {"kind": "binary", "prob": 0.5}, "age": {"kind": "normal", "mean": 50.0, "sd": 10.0}},
        arms={"group": {"delivery": delivery}, "usual": usual()},
        allocation={"kind": "clusters", "ratio": dict.fromkeys(ARMS, 1)},
        clusters={"per_site": 12},
        analyses=plan,
    )


def observed() -> ObservedData:
    """R trials of N participants: 12 clusters, of which the first six are treated, in groups of five."""
    luck = np.random.default_rng(20)
    cluster = np.tile(np.arange(N) % 12, (R, 1)).astype(np.int16)
    arm = (cluster >= 6).astype(np.int8)
    group = np.where(arm == 0, (np.cumsum(arm == 0, axis=1) - 1) // 5, -1).astype(np.int16)
    known = luck.random((R, N, 3)) < 0.8
    lift = np.where(arm == 0, 1.5, 1.0)[:, :, None] * (1 + 0.1 * (cluster % 3))[:, :, None]
    whole: dict[str, Array] = {
        "pain": luck.integers(0, 61, (R, N, 3)) / 10 + 0.8 * (cluster % 5)[:, :, None],
        "work": (luck.random((R, N, 3)) < 0.35 * lift).astype(float),
        "sleep": luck.integers(0, 3, (R, N, 3)).astype(float),
        "emergency": luck.negative_binomial(1.2, 1 / (1 + lift * 2 * YEARS)).astype(float),
        "back": np.zeros((R, N, 3)),
        "opioid": np.where(luck.random((R, N, 3)) < 0.3, 0, luck.integers(1, 200, (R, N, 3))).astype(float),
    }
    i = np.arange(N)
    event_time = np.stack([5 + (i * 37) % 61 * (9 - 2 * (arm[0] == 0)), 2 + (i * 31) % 53 * 9])
    whole["back"] = (event_time[:, :, None] <= DAYS).astype(float)
    seen = dict.fromkeys(SIX, known) | {"emergency": np.ones_like(known), "back": np.ones_like(known)}
    seen["emergency"][0, :9, 2] = False  # left the study
    none = np.zeros((R, N), dtype=np.int8)
    return ObservedData(
        arm=arm,
        site=none.astype(np.int16),
        coach=none.astype(np.int16) - np.int16(1),
        cluster=cluster,
        group=group,
        covariates={"user": luck.integers(0, 2, (R, N)).astype(float), "age": luck.normal(50, 10, (R, N))},
        baseline={name: np.round(luck.random((R, N)) * 2) for name in SIX},
        value={name: np.where(seen[name], values, np.nan) for name, values in whole.items()},
        responder={},
        seen=seen,
        event_time={"back": event_time},
        event={"back": np.stack([(i * 7) % 5 != 0, i % 3 != 0])},
        observed=known,
        sessions=np.zeros((R, N, 3), dtype=np.int8),
        all_sessions=none,
        missed=None,
    )


DATA = observed()


def found(**analysis: Any) -> Estimates:
    return estimate(planned(main=analysis), "main", DATA, np.arange(R, dtype=np.int32))


def at(
    estimates: Estimates, measure: str, what: str = "estimate", *, contrast: str = "group - usual", visit: str = "m12"
) -> Array:
    place = estimates.place(analysis="main", contrast=contrast, visit=visit, measure=measure)
    assert place is not None, estimates.labels
    return np.asarray(getattr(estimates, what)[:, place])


def rows(r: int, outcome: str, visits: tuple[int, ...] = (0, 1, 2)) -> pd.DataFrame:
    """One row per participant and visit with a value."""
    parts = [
        pd.DataFrame(
            {
                "person": np.arange(N), "treated": (DATA.arm[r] == 0).astype(float), "visit": v,
                "cluster": DATA.cluster[r], "group": DATA.group[r], "age": DATA.covariates["age"][r],
                "baseline": DATA.baseline[outcome][r], "y": DATA.value[outcome][r, :, v], "years": YEARS[v],
            }
        )
        for v in visits
    ]  # fmt: skip
    return pd.concat(parts).dropna(subset="y")


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visits", [("w9",), ("w9", "w21", "m12")])
def test_rates_of_events_are_those_of_a_negative_binomial_regression(visits: tuple[str, ...]) -> None:
    estimates = found(kind="counts", outcome="emergency", endpoint="events", visits=visits, covariates=("age",))
    assert {label.visit for label in estimates.labels} == {visits[-1]}
    places = tuple(list(VISITS).index(visit) for visit in visits)
    for r in range(R):
        people = rows(r, "emergency", places).groupby("person").agg(
            {"y": "sum", "years": "sum", "treated": "first", "age": "first"}
        )  # fmt: skip
        x = sm.add_constant(people[["treated", "age"]].assign(age=lambda one: (one["age"] - 50) / 10))
        model = NegativeBinomial(people["y"], x, exposure=people["years"])
        fit = model.fit(disp=0, start_params=[0.5, 0.0, 0.0, 0.5], gtol=1e-8, maxiter=500)
        ratio = at(estimates, "rate ratio", visit=visits[-1])[r]
        assert np.log(ratio) == pytest.approx(fit.params["treated"], abs=1e-5)
        rate = at(estimates, "adjusted mean count", contrast="usual", visit=visits[-1])[r]
        predicted = np.exp(fit.params["const"] + fit.params["age"] * x["age"]).mean()
        assert rate == pytest.approx(predicted, rel=1e-5)


def test_years_are_those_of_the_visits_known_in_records_not_of_those_answered() -> None:
    """Without covariates and dispersion the rate is events over years: a person who left has fewer years."""
    estimates = found(kind="counts", outcome="emergency", endpoint="events", family="quasi_poisson")
    for r in range(R):
        mine = rows(r, "emergency")
        totals = mine.groupby("treated")[["y", "years"]].sum()
        for arm, treated in (("group", 1.0), ("usual", 0.0)):
            expected = totals.loc[treated, "y"] / totals.loc[treated, "years"]
            assert at(estimates, "adjusted mean count", contrast=arm)[r] == pytest.approx(expected)
        x, people = sm.add_constant(mine.groupby("person")["treated"].first()), mine.groupby("person").sum()
        model = sm.GLM(people["y"], x, family=sm.families.Poisson(), exposure=people["years"])
        fit = model.fit(scale="X2")
        assert at(estimates, "rate ratio", "std_error")[r] == pytest.approx(fit.bse["treated"])
    assert not DATA.observed.all()


def test_complete_cases_of_counts_are_those_known_at_every_visit() -> None:
    keys = {"kind": "counts", "outcome": "emergency", "endpoint": "events", "missing": {"kind": "complete_cases"}}
    assert at(found(**keys), "rate ratio", "n_used").tolist() == [N - 9, N]
    assert at(found(**keys, visits=["w9"]), "rate ratio", "n_used", visit="w9").tolist() == [N, N]


# --- values and responses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["work", "sleep", "emergency", "opioid"])
@pytest.mark.parametrize("endpoint", ["value", "change"])
def test_means_of_values_are_those_of_least_squares(outcome: str, endpoint: str) -> None:
    estimates = found(kind="ancova", outcome=outcome, endpoint=endpoint, covariates=["baseline", "age"])
    arm_mean = "adjusted mean" if endpoint == "value" else "adjusted mean change"
    for r in range(R):
        for v, visit in enumerate(VISITS):
            mine = rows(r, outcome, (v,))
            y = mine["y"] - (mine["baseline"] if endpoint == "change" else 0)
            x = sm.add_constant(mine[["treated", "baseline", "age"]])
            fit = sm.OLS(y, x).fit()
            assert at(estimates, "mean difference", visit=visit)[r] == pytest.approx(fit.params["treated"])
            assert at(estimates, "mean difference", "std_error", visit=visit)[r] == pytest.approx(fit.bse["treated"])
            control = (x.assign(treated=0.0) @ fit.params).mean()
            assert at(estimates, arm_mean, contrast="usual", visit=visit)[r] == pytest.approx(control)


RESPONSES: dict[str, Any] = {
    "work": lambda value: value == 1,
    "sleep": lambda value: value >= 1,
    "emergency": lambda value: value == 0,
    "back": lambda value: value == 1,
    "opioid": lambda value: value == 0,
}


@pytest.mark.parametrize("outcome", list(RESPONSES))
def test_risks_of_every_kind_are_shares(outcome: str) -> None:
    """Without covariates every model has the arms' shares, and standard errors that follow from them."""
    estimates = {
        kind: found(kind=kind, outcome=outcome, **keys)
        for kind, keys in {
            "logistic": {}, "modified_poisson": {}, "proportions": {}, "linear": {"endpoint": "response"},
            "t_test": {"endpoint": "response"}, "gee": {"endpoint": "response", "working": "independence"},
        }.items()
    }  # fmt: skip
    for r in range(R):
        for v, visit in enumerate(VISITS):
            mine = rows(r, outcome, (v,))
            y = RESPONSES[outcome](mine["y"]).astype(float)
            a, b = y[mine["treated"] == 1], y[mine["treated"] == 0]
            p, q = a.mean(), b.mean()
            for kind, one in estimates.items():
                assert at(one, "risk difference", visit=visit)[r] == pytest.approx(100 * (p - q)), kind
                assert at(one, "adjusted percentage", contrast="group", visit=visit)[r] == pytest.approx(100 * p)
            for kind in ("logistic", "proportions", "gee"):
                odds = p / (1 - p) / (q / (1 - q))
                assert at(estimates[kind], "odds ratio", visit=visit)[r] == pytest.approx(odds)
                assert at(estimates[kind], "risk ratio", visit=visit)[r] == pytest.approx(p / q)
            wald = 100 * np.sqrt(p * (1 - p) / len(a) + q * (1 - q) / len(b))
            for kind in ("logistic", "modified_poisson", "linear", "gee"):
                assert at(estimates[kind], "risk difference", "std_error", visit=visit)[r] == pytest.approx(wald)
            welch = stats.ttest_ind(a, b, equal_var=False)
            assert at(estimates["t_test"], "risk difference", "p_value", visit=visit)[r] == pytest.approx(welch.pvalue)


# --- clusters and groups ----------------------------------------------------------------------------------------------


def test_randomized_clusters_have_random_intercepts() -> None:
    keys = {"kind": "mixed", "outcome": "pain", "endpoint": "value", "cluster": "cluster", "covariates": ["age"]}
    estimates = found(**keys)
    for r in range(R):
        for v, visit in enumerate(VISITS):
            mine = rows(r, "pain", (v,))
            x = sm.add_constant(mine[["treated", "age"]])
            fit = sm.MixedLM(mine["y"], x, groups=mine["cluster"]).fit(reml=True, method="bfgs", gtol=1e-9)
            assert at(estimates, "mean difference", visit=visit)[r] == pytest.approx(fit.fe_params["treated"], abs=2e-5)
            assert at(estimates, "mean difference", "std_error", visit=visit)[r] == pytest.approx(
                fit.bse_fe["treated"], rel=1e-3
            )


@pytest.mark.parametrize("cluster", ["cluster", "group"])
def test_sandwiches_are_summed_over_clusters_and_groups(cluster: str) -> None:
    """Working independence over all visits; who is in no group stands alone."""
    estimates = found(kind="linear", outcome="opioid", endpoint="value", cluster=cluster)
    for r in range(R):
        mine = rows(r, "opioid")
        alone = mine["group"] < 0
        names = mine["cluster"] if cluster == "cluster" else np.where(alone, 1000 + mine["person"], mine["group"])
        cells = pd.get_dummies(mine["treated"].astype(str) + mine["visit"].astype(str)).astype(float)
        order = np.argsort(names, kind="stable")
        fit = sm.GEE(mine["y"].to_numpy()[order], cells.to_numpy()[order], np.asarray(names)[order]).fit()
        cov, places = np.asarray(fit.cov_params()), list(cells.columns)
        for v, visit in enumerate(VISITS):
            a, b = places.index(f"1.0{v}"), places.index(f"0.0{v}")
            error = np.sqrt(cov[a, a] + cov[b, b] - 2 * cov[a, b])
            assert at(estimates, "mean difference", "std_error", visit=visit)[r] == pytest.approx(error)


def test_means_of_clusters_are_compared_by_t_tests() -> None:
    estimates = found(kind="cluster_means", outcome="work", endpoint="response", cluster="cluster", pooled=True)
    for r in range(R):
        for v, visit in enumerate(VISITS):
            means = rows(r, "work", (v,)).groupby("cluster")[["y", "treated"]].mean()
            a, b = (means["y"][means["treated"] == treated] for treated in (1, 0))
            test = stats.ttest_ind(a, b)
            assert at(estimates, "risk difference", visit=visit)[r] == pytest.approx(100 * (a.mean() - b.mean()))
            assert at(estimates, "risk difference", "p_value", visit=visit)[r] == pytest.approx(test.pvalue)
            assert at(estimates, "risk difference", "df", visit=visit)[r] == 10


# --- times to an event ------------------------------------------------------------------------------------------------

# lifelines 0.30.3 with time, event (DATA.event_time, DATA.event), t (treated), age, for r = 0, 1:
#   logrank_test(time[t == 1], time[t == 0], event[t == 1], event[t == 0]).p_value
#   CoxPHFitter().fit(DataFrame({"time", "event", "t", "age"}), "time", "event", fit_options={"precision": 1e-12})
#     .params_["t"], .standard_errors_["t"]
#   restricted_mean_survival_time(KaplanMeierFitter().fit(time[t == a], event[t == a]), t=300), a = 1, 0
LIFELINES: dict[str, list[Any]] = {
    "log_rank": [0.0041414636851972424, 0.7633625756600506],
    "cox": [0.7458754464745757, 0.07747229486164241],
    "cox_error": [0.2668454369612589, 0.2630102522124394],
    "rmst": [[223.73192183855838, 215.85192704902275], [241.15727085851665, 248.83015422077918]],
}


def test_times_to_an_event_are_those_of_lifelines() -> None:
    log_rank, cox = found(kind="log_rank", outcome="back"), found(kind="cox", outcome="back", covariates=["age"])
    rmst = found(kind="rmst", outcome="back", until_day=300.0)
    assert at(log_rank, "hazard ratio", "p_value") == pytest.approx(LIFELINES["log_rank"])
    assert np.log(at(cox, "hazard ratio")) == pytest.approx(LIFELINES["cox"], rel=1e-6)
    assert at(cox, "hazard ratio", "std_error") == pytest.approx(LIFELINES["cox_error"], rel=1e-6)
    for arm, means in zip(ARMS, LIFELINES["rmst"], strict=True):
        assert at(rmst, "mean time", contrast=arm) == pytest.approx(means)


def test_who_left_no_trace_is_not_in_a_time_to_an_event() -> None:
    """A questionnaire's event of somebody who never answered: knowledge ends on day 0."""
    nobody = np.zeros((R, N), dtype=bool)
    nobody[:, :7] = True
    time, event = np.where(nobody, 0, DATA.event_time["back"]), DATA.event["back"] & ~nobody
    fields = {name: getattr(DATA, name) for name in DATA.__dataclass_fields__}
    data = ObservedData(**fields | {"event_time": {"back": time}, "event": {"back": event}})
    plan = planned(main={"kind": "log_rank", "outcome": "back"})
    estimates = estimate(plan, "main", data, np.arange(R, dtype=np.int32))
    assert at(estimates, "hazard ratio", "n_used").tolist() == [N - 7, N - 7]
