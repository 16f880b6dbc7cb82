"""Measures against a recount with pandas from the tables of the same trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from designs import THREE_VISITS, WIDE, busy, coached, design, grouped, kinds, online, recovery, score, usual
from golden.small_trial import small_trial
from helpers import run

from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.experiments.measures import Measures, measure
from trialsim.records import TABLES, table

N_REPLICATES = 4
COSTS = {
    "letter": 1.5,
    "screening": 20.0,
    "coach_hour": 60.0,
    "call": 7.0,
    "reminder": 2.0,
    "assessment": 30.0,
    "site_month": 900.0,
}
MONTH = 30.4375


@dataclass(frozen=True)
class Measured:
    """Some trials, their measures, and their tables replicate by replicate."""

    block: Block
    measures: Measures
    tables: list[dict[str, pd.DataFrame]]

    @property
    def design(self) -> Design:
        return self.block.world.design

    def check(self, name: str, recount: Callable[[dict[str, pd.DataFrame]], float]) -> None:
        """One measure against a recount from each replicate's tables; somewhere it must be something."""
        expected = np.array([float(recount(tables)) for tables in self.tables])
        assert np.nanmax(np.abs(expected)) > 0, name
        np.testing.assert_allclose(self.measures[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)


def measured(design: Design, n: int = N_REPLICATES) -> Measured:
    block = run(design, n=n, seed=4)
    tables = [
        {name: table(block, name, columns=[column]).to_pandas() for name in TABLES if name != "truth"}
        for column in range(n)
    ]
    return Measured(block, measure(block), tables)


@pytest.fixture(scope="module")
def trials() -> Measured:
    """Busy trials with prices."""
    arms = {name: {"cost_per_participant": cost} for name, cost in (("coach", 11.0), ("web", 23.0), ("usual", 3.0))}
    return measured(busy(costs=COSTS, arms=arms))


ARMS = ["coach", "web", "usual"]
TREATED = ["coach", "web"]
VISITS = ["m3", "m6", "m12"]


def only(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The rows in which every column named has the value wanted."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def people(tables: dict[str, pd.DataFrame], arm: str) -> pd.DataFrame:
    return only(tables["participants"], arm=arm)


def percent(flags: pd.Series) -> float:
    return 100 * float(flags.mean())


# --- enrolment --------------------------------------------------------------------------------------------------------


def test_calendar(trials: Measured) -> None:
    def last_visit(tables: dict[str, pd.DataFrame]) -> float:
        seen = only(tables["observations"], visit="m12", outcome="pain").set_index("participant")
        left = tables["participants"].set_index("participant")[["withdrawn_day", "died_day"]].min(axis=1)
        closes = seen["due_day"] + 60
        return float(seen["observed_day"].fillna(left.where(left <= closes)).fillna(closes).max())

    trials.check("calendar/first_in_day", lambda t: t["participants"]["randomized_day"].min())
    trials.check("calendar/last_in_day", lambda t: t["participants"]["randomized_day"].max())
    trials.check("calendar/closing_day", lambda t: only(t["events"], kind="enrolment closed")["day"].item())
    trials.check("calendar/enrolment_months", lambda t: (t["participants"]["randomized_day"].max() + 1) / MONTH)
    trials.check("calendar/last_visit_day", last_visit)


def test_an_enrolment_that_does_not_reach_its_size_closes_on_the_last_day() -> None:
    slow = measured(
        design(sample_size=60, max_enrolment_days=40, recruitment={"sites": {"one": {"rate_per_month": 5.0}}})
    )
    assert slow.measures["calendar/closing_day"].tolist() == [39.0] * N_REPLICATES
    assert np.all(slow.measures["randomized/all"] < 20)
    slow.check("randomized/all", lambda t: len(t["participants"]))


def test_randomized(trials: Measured) -> None:
    trials.check("randomized/all", lambda t: len(t["participants"]))
    for arm in ARMS:
        trials.check(f"randomized/{arm}", lambda t, arm=arm: len(people(t, arm)))


def test_funnel(trials: Measured) -> None:
    def people_at(step: str, reason: str) -> Callable[[dict[str, pd.DataFrame]], float]:
        return lambda t: only(t["funnel"], step=step, reason=reason)["n"].sum()

    trials.check("funnel/contacted", people_at("contacted", "passed"))
    for step, reasons in {
        "reached": ["wrong number", "no answer"],
        "eligible": ["too little pain", "other"],
        "consented": ["declined", "too busy"],
    }.items():
        trials.check(f"funnel/{step}/passed", people_at(step, "passed"))
        for reason in reasons:
            trials.check(f"funnel/{step}/lost/{reason}", people_at(step, reason))
    for step in ("reached", "consented"):
        trials.check(f"funnel/{step}/in process", people_at(step, "in process"))
    trials.check(
        "funnel/contacted_per_randomized", lambda t: people_at("contacted", "passed")(t) / len(t["participants"])
    )


def test_the_funnel_loses_nobody(trials: Measured) -> None:
    before = trials.measures["funnel/contacted"]
    for step in ("reached", "eligible", "consented"):
        lost = [values for name, values in trials.measures.items() if name.startswith(f"funnel/{step}/lost/")]
        left = trials.measures[f"funnel/{step}/passed"]
        assert np.array_equal(before, left + sum(lost) + trials.measures[f"funnel/{step}/in process"])
        before = left
    assert np.array_equal(before, trials.measures["randomized/all"])


def test_baseline(trials: Measured) -> None:
    for outcome in ("pain", "mood"):
        trials.check(f"baseline/{outcome}/mean", lambda t, o=outcome: t["participants"][f"baseline_{o}"].mean())
        trials.check(f"baseline/{outcome}/sd", lambda t, o=outcome: t["participants"][f"baseline_{o}"].std(ddof=1))
    trials.check("baseline/pain/at_least_6.5", lambda t: percent(t["participants"]["baseline_pain"] >= 6.5))
    for covariate in ("female", "age", "conditions"):
        trials.check(f"baseline/{covariate}/mean", lambda t, c=covariate: t["participants"][c].mean())


# --- treatment --------------------------------------------------------------------------------------------------------


def test_attendance(trials: Measured) -> None:
    for arm in TREATED:
        trials.check(f"treatment/{arm}/started", lambda t, arm=arm: percent(people(t, arm)["n_sessions"] >= 1))
        trials.check(f"treatment/{arm}/mean_sessions", lambda t, arm=arm: people(t, arm)["n_sessions"].mean())
        for k in range(1, 9):
            trials.check(
                f"treatment/{arm}/at_least_{k}", lambda t, arm=arm, k=k: percent(people(t, arm)["n_sessions"] >= k)
            )
    assert not [name for name in trials.measures if name.startswith("treatment/usual")]


def test_attendance_counts_the_sessions_of_the_table_of_sessions(trials: Measured) -> None:
    for arm in TREATED:
        trials.check(
            f"treatment/{arm}/mean_sessions",
            lambda t, arm=arm: only(t["sessions"], arm=arm)["attended_day"].count() / len(people(t, arm)),
        )


def test_how_treatment_went(trials: Measured) -> None:
    for arm in TREATED:
        for status in ("declined", "discontinued", "completed", "left study"):
            trials.check(
                f"treatment/{arm}/status/{status.replace(' ', '_')}",
                lambda t, arm=arm, status=status: (people(t, arm)["treatment"] == status).sum(),
            )
        trials.check(
            f"treatment/{arm}/completed", lambda t, arm=arm: percent(people(t, arm)["treatment"] == "completed")
        )
    trials.check(
        "treatment/coach/status/stopped_waiting", lambda t: (people(t, "coach")["treatment"] == "stopped waiting").sum()
    )


def test_leaving_the_study(trials: Measured) -> None:
    for arm in ARMS:
        trials.check(f"study/{arm}/withdrew", lambda t, arm=arm: people(t, arm)["withdrawn_day"].count())
        trials.check(f"study/{arm}/died", lambda t, arm=arm: people(t, arm)["died_day"].count())


def test_calls(trials: Measured) -> None:
    trials.check("treatment/web/called", lambda t: percent(people(t, "web")["n_calls"] > 0))
    trials.check("treatment/web/calls", lambda t: people(t, "web")["n_calls"].sum())
    trials.check("treatment/web/calls", lambda t: (t["events"]["kind"] == "called").sum())
    assert "treatment/coach/calls" not in trials.measures


# --- coaches ----------------------------------------------------------------------------------------------------------


def waits(tables: dict[str, pd.DataFrame]) -> pd.Series:
    frame = people(tables, "coach").dropna(subset="offered_day")
    return frame["offered_day"] - frame["asked_day"]


def test_waiting_for_a_coach(trials: Measured) -> None:
    trials.check("coaches/coach/mean_wait_days", lambda t: waits(t).mean())
    trials.check("coaches/coach/longest_wait_days", lambda t: waits(t).max())
    trials.check("coaches/coach/waited", lambda t: percent(waits(t) > 0))


def test_the_work_of_coaches(trials: Measured) -> None:
    def loads(tables: dict[str, pd.DataFrame]) -> pd.Series:
        return people(tables, "coach")["coach"].value_counts().reindex([0, 1, 2], fill_value=0)

    trials.check("coaches/coach/sessions", lambda t: only(t["sessions"], arm="coach")["attended_day"].count())
    trials.check("coaches/coach/hours", lambda t: only(t["sessions"], arm="coach")["attended_day"].count() * 50 / 60)
    trials.check("coaches/coach/median_load", lambda t: loads(t).median())
    trials.check("coaches/coach/smallest_load", lambda t: loads(t).min())
    trials.check("coaches/coach/largest_load", lambda t: loads(t).max())


def test_teams_of_groups_are_nobodys_coaches() -> None:
    """More teams than coaches, and teams where there are no coaches at all."""
    teams = grouped(size=2, facilitators=6, facilitators_per_group=1)
    mixed = measured(design(arms={"talk": coached(), "group": teams, "usual": usual()}))

    def loads(tables: dict[str, pd.DataFrame]) -> pd.Series:
        return people(tables, "talk")["coach"].value_counts().reindex([0, 1], fill_value=0)

    assert max(people(tables, "group")["coach"].max() for tables in mixed.tables) > 2
    mixed.check("coaches/talk/median_load", lambda t: loads(t).median())
    mixed.check("coaches/talk/largest_load", lambda t: loads(t).max())
    only_groups = measured(design(arms={"group": teams, "usual": usual()}))
    assert not [name for name in only_groups.measures if name.startswith("coaches/")]


def test_places_used_are_those_of_the_table_of_resources(trials: Measured) -> None:
    """Places: caseloads 3 and 4, and two sessions a week; from the first offer to the last release."""

    def used(tables: dict[str, pd.DataFrame]) -> float:
        in_use = tables["resources"].dropna(subset="coach").groupby("day")["in_use"].sum()
        first, last = in_use[in_use > 0].index.min(), in_use[in_use > 0].index.max()
        return 100 * float(in_use.sum()) / ((last - first + 1) * (3 + 4 + 2))

    trials.check("coaches/coach/places_used", used)


# --- observation and outcomes -----------------------------------------------------------------------------------------


def answers(tables: dict[str, pd.DataFrame], arm: str) -> pd.DataFrame:
    """Participants x visits: whether answered."""
    seen = only(tables["observations"], arm=arm, outcome="pain")
    return seen.assign(answered=seen["value"].notna()).pivot_table(
        index="participant", columns="visit", values="answered", observed=True, aggfunc="first"
    )


def test_answers(trials: Measured) -> None:
    for arm in ARMS:
        for visit in VISITS:
            trials.check(
                f"observed/{arm}/{visit}", lambda t, arm=arm, v=visit: percent(answers(t, arm)[v].astype(bool))
            )
        for n in range(4):
            trials.check(
                f"observed/{arm}/visits_{n}", lambda t, arm=arm, n=n: percent(answers(t, arm).sum(axis=1) == n)
            )


def changes(tables: dict[str, pd.DataFrame], outcome: str, arm: str, visit: str) -> pd.Series:
    seen = only(tables["observations"], arm=arm, outcome=outcome, visit=visit)
    baseline = tables["participants"].set_index("participant")[f"baseline_{outcome}"]
    return (seen.set_index("participant")["value"] - baseline).dropna()


@pytest.mark.parametrize("outcome", ["pain", "mood"])
@pytest.mark.parametrize("arm", ARMS)
def test_change_and_response(trials: Measured, outcome: str, arm: str) -> None:
    for visit in VISITS:
        path = f"outcome/{outcome}/{arm}/{visit}"

        def change(t: dict[str, pd.DataFrame], visit: str = visit) -> pd.Series:
            return changes(t, outcome, arm, visit)

        def responders(t: dict[str, pd.DataFrame], visit: str = visit) -> float:
            seen = only(t["observations"], arm=arm, outcome=outcome, visit=visit)
            return percent(seen["responder"].dropna().astype(bool))

        trials.check(f"{path}/n", lambda t, c=change: len(c(t)))
        trials.check(f"{path}/mean_change", lambda t, c=change: c(t).mean())
        trials.check(f"{path}/sd_change", lambda t, c=change: c(t).std(ddof=1))
        trials.check(f"{path}/lower_quartile_change", lambda t, c=change: np.quantile(c(t), 0.25, method="linear"))
        trials.check(f"{path}/median_change", lambda t, c=change: np.quantile(c(t), 0.5, method="linear"))
        trials.check(f"{path}/upper_quartile_change", lambda t, c=change: np.quantile(c(t), 0.75, method="linear"))
        trials.check(f"{path}/core_sd_change", lambda t, c=change: (c(t).quantile(0.75) - c(t).quantile(0.25)) / 1.349)
        trials.check(f"{path}/responders", responders)


@pytest.fixture(scope="module")
def every_kind() -> Measured:
    """Trials with outcomes of every kind, some from records."""
    return measured(kinds())


@pytest.mark.parametrize("outcome", ["pain", "works", "impression", "visits", "return", "admission", "opioids"])
def test_outcomes_of_every_kind(every_kind: Measured, outcome: str) -> None:
    def values(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
        seen = only(tables["observations"], arm="coach", outcome=outcome, visit="m12").set_index("participant")
        before = tables["participants"].set_index("participant")[f"baseline_{outcome}"].rename("before")
        return seen.join(before).dropna(subset="value")

    def check(measure: str, recount: Callable[[pd.DataFrame], float]) -> None:
        every_kind.check(f"outcome/{outcome}/coach/m12/{measure}", lambda t: recount(values(t)))

    check("n", len)
    check("mean", lambda f: f["value"].mean())
    check("sd", lambda f: f["value"].std())
    check("mean_change", lambda f: (f["value"] - f["before"]).mean())
    check("responders", lambda f: 100 * f["responder"].mean())
    if outcome == "opioids":
        check("users", lambda f: 100 * (f["value"] > 0).mean())
    if outcome in ("return", "admission"):
        assert f"baseline/{outcome}/mean" not in every_kind.measures
        return
    check("percent_change", lambda f: 100 * (f["value"] - f["before"]).mean() / f["before"].mean())
    check("correlation", lambda f: f["value"].corr(f["before"]))
    every_kind.check(
        f"baseline/{outcome}/coach/mean",
        lambda t: only(t["participants"], arm="coach")[f"baseline_{outcome}"].mean(),
    )


def test_change_on_a_scale_that_does_not_start_at_0() -> None:
    pain = score(low=-4.0, high=8.0, items=3, mean=3.0, course={"m3": -1.0}, recovery=recovery(0.3, "m3"))
    shifted = measured(
        design(sample_size=40, outcomes={"pain": pain}, arms={"web": online(sessions=2), "usual": usual()})
    )
    shifted.check("baseline/pain/mean", lambda t: t["participants"]["baseline_pain"].mean())
    shifted.check("baseline/pain/sd", lambda t: t["participants"]["baseline_pain"].std(ddof=1))
    shifted.check("outcome/pain/usual/m3/mean_change", lambda t: changes(t, "pain", "usual", "m3").mean())
    shifted.check("outcome/pain/usual/m3/sd_change", lambda t: changes(t, "pain", "usual", "m3").std())
    shifted.check("outcome/pain/usual/m3/median_change", lambda t: changes(t, "pain", "usual", "m3").median())


# --- cost -------------------------------------------------------------------------------------------------------------


def bill(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
    """The cost of one trial by hand."""
    funnel = tables["funnel"].groupby(["step", "reason"], observed=True)["n"].sum()
    coached = only(tables["sessions"], arm="coach")["attended_day"].count()
    visits = only(tables["observations"], outcome="pain")
    arms = tables["participants"]["arm"].value_counts()
    left = tables["participants"].set_index("participant")[["withdrawn_day", "died_day"]].min(axis=1)
    last = visits[visits["visit"] == "m12"].set_index("participant")
    closes = last["due_day"] + 60
    end = last["observed_day"].fillna(left.where(left <= closes)).fillna(closes).max()
    return {
        "letters": 1.5 * funnel["contacted", "passed"],
        "screening": 20 * funnel["reached", "passed"],
        "coaches": 60 * coached * 50 / 60,
        "calls": 7 * tables["participants"]["n_calls"].sum(),
        "reminders": 2 * visits["n_reminders"].sum(),
        "assessments": 30 * (visits["value"].count() + len(tables["participants"])),
        "materials": 11 * arms["coach"] + 23 * arms["web"] + 3 * arms["usual"],
        "sites": 900 * sum((end + 1 - opens) / MONTH for opens in (0, 40, 0)),
    }


def test_cost(trials: Measured) -> None:
    bills = [bill(tables) for tables in trials.tables]
    assert [name for name in trials.measures if name.startswith("cost/")] == [
        *(f"cost/{item}" for item in bills[0]),
        "cost/total",
    ]
    for item in bills[0]:
        trials.check(f"cost/{item}", lambda t, item=item: bill(t)[item])
    trials.check("cost/total", lambda t: sum(bill(t).values()))


def test_reminders_that_are_paid_for_are_those_sent(trials: Measured) -> None:
    trials.check("cost/reminders", lambda t: 2 * (t["events"]["kind"] == "reminded").sum())


def test_without_prices_nothing_costs_anything() -> None:
    free = measured(busy(), n=1)
    assert {name for name, values in free.measures.items() if name.startswith("cost/") and values.any()} == set()


# --- what does not exist ----------------------------------------------------------------------------------------------


def test_what_has_no_members_is_nan_and_not_0() -> None:
    empty = measured(small_trial(funnel={"consented": {"prob": 0.0}}, max_enrolment_days=60)).measures
    for name in (
        "calendar/first_in_day", "calendar/last_visit_day", "funnel/contacted_per_randomized", "baseline/pain/mean",
        "baseline/pain/sd", "baseline/age/mean", "treatment/coach/started", "treatment/coach/mean_sessions",
        "coaches/coach/mean_wait_days", "coaches/coach/places_used", "observed/usual/m3",
        "outcome/pain/web/m3/mean_change", "outcome/pain/web/m3/median_change", "outcome/pain/web/m3/responders",
    ):  # fmt: skip
        assert np.isnan(empty[name]).all(), name
    for name in (
        "randomized/all",
        "outcome/pain/web/m3/n",
        "study/coach/died",
        "coaches/coach/sessions",
        "cost/assessments",
    ):
        assert (empty[name] == 0).all(), name
    assert (empty["cost/letters"] > 0).all()


def test_a_replicate_s_measures_do_not_depend_on_its_company() -> None:
    """A scale so fine, and replicates so many, that an answer's code needs more than 32 bits."""
    fine = score(**{**WIDE, "sd": 100.0, "change_sd": 30.0})
    few = design(sample_size=6, visits=THREE_VISITS, outcomes={"pain": fine})
    many, some = measure(run(few, n=1024)), measure(run(few, first=512, n=16))
    assert list(many) == list(some)
    for name, values in some.items():
        assert np.array_equal(many[name][512:528], values, equal_nan=True), name


def test_every_measure_is_one_number_per_replicate(trials: Measured) -> None:
    assert {values.shape for values in trials.measures.values()} == {(N_REPLICATES,)}
    assert {values.dtype for values in trials.measures.values()} == {np.dtype(float)}
