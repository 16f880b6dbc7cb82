"""Every field of a design does something: change it in a suitable trial, and something that is measured changes."""

from __future__ import annotations

import inspect
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from designs import OPIOIDS, Data, coached, every_kind, grouped, merged, online, plain_data, recovery, score, usual
from helpers import portrait, run, same

from trialsim.design import allocation, delivery, outcomes, parts
from trialsim.design.parts import Design
from trialsim.design.values import Part
from trialsim.experiments.measures import measure

VISITS: Data = {
    "v1": {"day": 60, "opens": -7, "closes": 21, "reminders": [0, 10]},
    "v2": {"day": 180, "closes": 30, "reminders": [7]},
}
SEASON: Data = {"amplitude": 0.8, "peak_month": 2.0}


def each(value: float) -> dict[str, float]:
    return dict.fromkeys(VISITS, value)


def stops(**more: Any) -> Data:
    return {"start_prob": 0.8, "stop_prob": 0.1, "effects": {"pain": {"by_visit": each(-2.0), "sd": 0.5}}, **more}


def arms() -> Data:
    staff = [{"caseload": 3, "sessions_per_week": 5, "joins": 10, "leaves": 150}, {}]
    components = {"talk": {"attend_prob": 0.6}, "walk": {"sessions": [2, 3], "weight": 2.0}}
    groups = {"facilitators": 4, "rooms": 2, "min_size": 2, "start_after_days": 10, "miss_prob": 0.2}
    calls = {"max_calls": 2, "call_success_prob": 0.5, "reachable_prob": 0.8, "access_days": 60}
    pace = {"days": 4, "mean_extra": 3.0}
    contamination = {"arm": "group", "prob": 0.4, "dose": 0.6}
    elsewhere = {"prob": 0.4, "effects": {"pain": {"by_visit": each(-1.0)}}}
    return {
        "group": grouped(
            components=components, max_wait_days=60, **groups, arm=stops(dose="components", tapers={"opioids": TAPER})
        ),
        "team": coached(sessions=5, coaches=staff, caseload=2, max_wait_days=40, arm=stops(withdrawal_prob=0.2)),
        "pair": coached(sessions=5, caseload=5, sessions_per_week=4, no_show_prob=0.3, cover_prob=0.2, arm=stops()),
        "web": online(sessions=4, first={"days": 2}, pace=pace, call_after_days=5, **calls, arm=stops()),
        "usual": usual(contamination=contamination, co_intervention=elsewhere),
    }


TAPER: Data = {"prob": 0.7, "days": 14}
CLUSTERS: Data = {"per_site": 4, "size_cv": 0.4, "selection": {"web": {"prob": 0.6, "severity": 0.5}}}
STRATA = ["site", "female", {"outcome": "pain", "at_least": 6.0}]
PRICES = ("letter", "screening", "coach_hour", "call", "reminder", "assessment", "site_month")
ALLOCATIONS: dict[str, Data] = {
    "simple": {},
    "blocks": {"block_sizes": [5, 10], "strata": STRATA},
    "minimization": {"strata": STRATA, "weights": [1, 2, 3]},
    "biased_coin": {"strata": STRATA},
    "urn": {"strata": STRATA},
    "clusters": {"method": "constrained", "balance": ["pain", "size"]},
    "cohorts": {"tendency": {"covariates": {"female": 0.5}, "baseline": {"pain": 0.2}, "motivation": 0.3}},
}


@cache
def trial(kind: str) -> Data:
    """A trial in which everything happens, with one kind of allocation."""
    names = list(arms())
    more = every_kind(*VISITS)
    more["pain"] = score(
        entry_sd=0.6, site_sd=0.4, cluster_sd=0.4 * (kind == "clusters"), group_sd=0.3, coach_sd=0.3, motivation=-0.3,
        covariates={"female": 0.5}, recovery=recovery(0.3, *VISITS), season=SEASON, drift_per_year=-0.5,
    )  # fmt: skip
    more["mood"] = score(correlation={"pain": 0.5})
    sites = {
        "north": {"rate_per_month": 60.0, "ramp_months": 1.0},
        "south": {"rate_per_month": 45.0, "opens": 10, "pool": 200},
    }
    return plain_data(
        sample_size=150,
        recruitment={
            "sites": sites, "season": SEASON, "site_cv": 0.3, "month_cv": 0.3,
            "rate_changes": [{"starts": 30, "factor": 1.5, "sites": ["north"]}],
            "pauses": [{"starts": 40, "ends": 50, "sites": ["south"]}],
        },
        funnel={
            "screened": {"prob": 0.8, "losses": {"moved": 1.0}, "delay": {"days": 1, "mean_extra": 3.0}},
            "eligible": {"criteria": CRITERIA},
        },
        covariates=OPIOIDS | {
            "female": {"kind": "binary", "prob": 0.6},
            "age": {"kind": "normal", "mean": 50.0, "sd": 9.0, "low": 30.0, "high": 70.0},
            "conditions": {"kind": "count", "mean": 2.0},
        },
        outcomes=more,
        visits=VISITS,
        arms=arms(),
        allocation={"kind": kind, "ratio": dict.fromkeys(names, 1), **ALLOCATIONS[kind]},
        clusters=CLUSTERS if kind == "clusters" else None,
        changes=[change(ratio=dict.fromkeys(names, 2), block_sizes=[10])] if kind == "blocks" else [],
        adherence={
            "motivation_on_start": 0.4, "motivation_on_stop": 0.4, "wait_effect": 0.1, "covariates": {"age": 0.02},
        },
        observation={
            "frailty": 0.5, "motivation_on_frailty": 0.4, "covariates": {"age": 0.02}, "baseline": {"pain": 0.1},
            "attendance": 0.5, "current_value": {"pain": 0.1}, "death_prob": 0.1,
            "dials": {"mcar": 0.1, "mar": 0.2, "mnar": 0.2, "outcome": "pain", "arms": ["web"]},
        },
        costs=dict.fromkeys(PRICES, 1.0),
    )  # fmt: skip


CRITERIA: Data = {
    "mild": {"measure": "pain", "error_sd": 0.5, "at_least": 4.0, "at_most": 9.0},
    "other": {"excluded_prob": 0.1},
}


def change(**more: Any) -> Data:
    return {"starts": 45, "answering": 1.0, "reminders": {"v1": [3]}, **more}


def recruiting(part: str, **more: Any) -> tuple[str, Any]:
    old = {"rate_changes": {"starts": 30, "factor": 1.5, "sites": ["north"]}}
    old["pauses"] = {"starts": 40, "ends": 50, "sites": ["south"]}
    return f"recruitment.{part}", [{**old[part], **more}]


def staff(**more: Any) -> tuple[str, Any]:
    return "arms.team.delivery.coaches", [
        {"caseload": 3, "sessions_per_week": 5, "joins": 10, "leaves": 150, **more},
        {},
    ]


NAMES = list(arms())
Change = tuple[str, Any]
"""Path and new value, in the trial with the class's kind of allocation (simple where it has none)."""

GROUP, PAIR, WEB, PAIN = "arms.group.delivery", "arms.pair.delivery", "arms.web.delivery", "outcomes.pain"
CHANGES: dict[str, Change] = {
    "Recovery.prob": (f"{PAIN}.recovery.prob", each(0.6)), "Recovery.drop": (f"{PAIN}.recovery.drop", 3.0),
    "Recovery.sd": (f"{PAIN}.recovery.sd", 2.0),
    "Season.amplitude": (f"{PAIN}.season.amplitude", 0.2), "Season.peak_month": (f"{PAIN}.season.peak_month", 8.0),
    "Latent.source": (f"{PAIN}.source", "record"), "Latent.sd": (f"{PAIN}.sd", 2.0),
    "Latent.entry_sd": (f"{PAIN}.entry_sd", 0.1), "Latent.error_sd": (f"{PAIN}.error_sd", 1.0),
    "Latent.course": (f"{PAIN}.course", each(-1.0)), "Latent.change_sd": (f"{PAIN}.change_sd", 1.5),
    "Latent.persistence": (f"{PAIN}.persistence", 0.1), "Latent.motivation": (f"{PAIN}.motivation", 0.5),
    "Latent.site_sd": (f"{PAIN}.site_sd", 1.0), "Latent.cluster_sd": (f"{PAIN}.cluster_sd", 1.0),
    "Latent.cluster_change_sd": (f"{PAIN}.cluster_change_sd", 1.0), "Latent.coach_sd": (f"{PAIN}.coach_sd", 1.0),
    "Latent.group_sd": (f"{PAIN}.group_sd", 1.0), "Latent.drift_per_year": (f"{PAIN}.drift_per_year", 2.0),
    "Latent.season": (f"{PAIN}.season", None), "Latent.covariates": (f"{PAIN}.covariates.female", 2.0),
    "Latent.correlation": ("outcomes.works.correlation.pain", 0.4), "Latent.recovery": (f"{PAIN}.recovery", None),
    "Score.low": (f"{PAIN}.low", 4.0), "Score.high": (f"{PAIN}.high", 7.0), "Score.items": (f"{PAIN}.items", 2),
    "Score.mean": (f"{PAIN}.mean", 5.0), "Score.responder_change": (f"{PAIN}.responder_change", 0.5),
    "Score.better": (f"{PAIN}.better", "higher"),
    "Binary.sd": ("outcomes.works.sd", 2.0), "Binary.error_sd": ("outcomes.works.error_sd", 2.0),
    "Binary.prob": ("outcomes.works.prob", 0.7),
    "Ordinal.sd": ("outcomes.impression.sd", 2.0), "Ordinal.error_sd": ("outcomes.impression.error_sd", 2.0),
    "Ordinal.levels": ("outcomes.impression.levels.worse", 0.4),
    "Ordinal.responder_from": ("outcomes.impression.responder_from", "same"),
    "Events.rate_per_year": ("outcomes.visits.rate_per_year", 5.0), "Events.most": ("outcomes.visits.most", 2),
    "TimeToEvent.hazard": ("outcomes.return.hazard.v2", 0.3),
    "Dose.users": ("outcomes.opioids.users", "female"), "Dose.median": ("outcomes.opioids.median", 60.0),
    "Dose.stop_hazard": ("outcomes.opioids.stop_hazard.v1", 0.3),
    "Dose.resume_hazard": ("outcomes.opioids.resume_hazard.v2", 0.5), "Dose.most": ("outcomes.opioids.most", 40),
    "AtLeast.outcome": ("allocation.strata", [{"outcome": "visits", "at_least": 6.0}]),
    "AtLeast.at_least": ("allocation.strata", [{"outcome": "pain", "at_least": 7.0}]),
    "ByRatio.ratio": ("allocation.ratio.web", 4),
    "BlockAllocation.block_sizes": ("allocation.block_sizes", [15]), "BlockAllocation.strata": ("allocation.strata", []),
    "Minimization.strata": ("allocation.strata", [STRATA[1], STRATA[0], STRATA[2]]),
    "Minimization.weights": ("allocation.weights", [9, 1, 1]),
    "Minimization.imbalance": ("allocation.imbalance", "variance"),
    "Minimization.best_prob": ("allocation.best_prob", 0.3),
    "BiasedCoin.coin_prob": ("allocation.coin_prob", 0.9), "BiasedCoin.strata": ("allocation.strata", []),
    "Urn.balls": ("allocation.balls", 50), "Urn.added": ("allocation.added", 50), "Urn.strata": ("allocation.strata", []),
    "ClusterAllocation.method": ("allocation.method", "matched"),
    "ClusterAllocation.balance": ("allocation.balance", ["site"]),
    "ClusterAllocation.candidates": ("allocation.candidates", 20),
    "ClusterAllocation.accepted_share": ("allocation.accepted_share", 0.9),
    "Tendency.covariates": ("allocation.tendency.covariates.female", -2.0),
    "Tendency.baseline": ("allocation.tendency.baseline.pain", -1.0),
    "Tendency.motivation": ("allocation.tendency.motivation", -2.0), "Cohorts.tendency": ("allocation.tendency", None),
    "Selection.prob": ("clusters.selection.web.prob", 0.1), "Selection.severity": ("clusters.selection.web.severity", 3.0),
    "ClusterParts.per_site": ("clusters.per_site", 6), "ClusterParts.size_cv": ("clusters.size_cv", 1.5),
    "ClusterParts.recruitment": ("clusters.recruitment", "even"),
    "ClusterParts.opening_days": ("clusters.opening_days", 100),
    "ClusterParts.selection": ("clusters.selection.group", {"prob": 0.2}),
    "SelfPaced.modules": (f"{WEB}.modules", ["one", "two"]), "SelfPaced.first": (f"{WEB}.first.days", 20),
    "SelfPaced.pace": (f"{WEB}.pace.days", 20), "SelfPaced.access_days": (f"{WEB}.access_days", 10),
    "SelfPaced.call_after_days": (f"{WEB}.call_after_days", 15), "SelfPaced.max_calls": (f"{WEB}.max_calls", 1),
    "SelfPaced.reachable_prob": (f"{WEB}.reachable_prob", 0.1),
    "SelfPaced.call_success_prob": (f"{WEB}.call_success_prob", 1.0),
    "Coach.caseload": staff(caseload=1), "Coach.sessions_per_week": staff(sessions_per_week=1),
    "Coach.joins": staff(joins=60), "Coach.leaves": staff(leaves=20),
    "Individual.modules": (f"{PAIR}.modules", ["one", "two"]), "Individual.coaches": (f"{PAIR}.coaches", 3),
    "Individual.caseload": (f"{PAIR}.caseload", 1), "Individual.sessions_per_week": (f"{PAIR}.sessions_per_week", 1),
    "Individual.interval_days": (f"{PAIR}.interval_days", 14), "Individual.referral_days": (f"{PAIR}.referral_days", 9),
    "Individual.lead_days": (f"{PAIR}.lead_days", 30), "Individual.no_show_prob": (f"{PAIR}.no_show_prob", 0.0),
    "Individual.max_reschedules": (f"{PAIR}.max_reschedules", 0), "Individual.max_wait_days": (f"{PAIR}.max_wait_days", 2),
    "Individual.session_minutes": (f"{PAIR}.session_minutes", 10.0), "Individual.cover_prob": (f"{PAIR}.cover_prob", 0.9),
    "Component.sessions": (f"{GROUP}.components.walk.sessions", [1, 2, 4]),
    "Component.attend_prob": (f"{GROUP}.components.talk.attend_prob", 0.1),
    "Component.weight": (f"{GROUP}.components.walk.weight", 0.1),
    "Group.modules": (f"{GROUP}.modules", ["one", "two", "three"]), "Group.size": (f"{GROUP}.size", 3),
    "Group.min_size": (f"{GROUP}.min_size", 4), "Group.start_after_days": (f"{GROUP}.start_after_days", 2),
    "Group.intake_days": (f"{GROUP}.intake_days", 28), "Group.facilitators": (f"{GROUP}.facilitators", 1),
    "Group.facilitators_per_group": (f"{GROUP}.facilitators_per_group", 2), "Group.rooms": (f"{GROUP}.rooms", 1),
    "Group.staffing": (f"{GROUP}.staffing", "rotating"), "Group.days_per_week": (f"{GROUP}.days_per_week", 2),
    "Group.by_site": (f"{GROUP}.by_site", True), "Group.weeks_apart": (f"{GROUP}.weeks_apart", 3),
    "Group.referral_days": (f"{GROUP}.referral_days", 9),
    "Group.lead_days": (f"{GROUP}.lead_days", 1), "Group.miss_prob": (f"{GROUP}.miss_prob", 0.6),
    "Group.max_wait_days": (f"{GROUP}.max_wait_days", 5), "Group.session_minutes": (f"{GROUP}.session_minutes", 10.0),
    "Group.components": (f"{GROUP}.components.rest", {"attend_prob": 0.0}),
    "Site.rate_per_month": ("recruitment.sites.north.rate_per_month", 90.0), "Site.opens": ("recruitment.sites.north.opens", 20),
    "Site.ramp_months": ("recruitment.sites.north.ramp_months", 0.0), "Site.pool": ("recruitment.sites.south.pool", 20),
    "RateChange.starts": recruiting("rate_changes", starts=5), "RateChange.factor": recruiting("rate_changes", factor=3.0),
    "RateChange.sites": recruiting("rate_changes", sites=["south"]),
    "Pause.starts": recruiting("pauses", starts=20), "Pause.ends": recruiting("pauses", ends=60),
    "Pause.sites": recruiting("pauses", sites=["north"]),
    "Recruitment.sites": ("recruitment.sites.west", {"rate_per_month": 50.0}),
    "Recruitment.rate_changes": ("recruitment.rate_changes", []), "Recruitment.pauses": ("recruitment.pauses", []),
    "Recruitment.site_cv": ("recruitment.site_cv", 1.0), "Recruitment.month_cv": ("recruitment.month_cv", 1.0),
    "Recruitment.season": ("recruitment.season", None),
    "Criterion.excluded_prob": ("funnel.eligible.criteria.other.excluded_prob", 0.5),
    "Criterion.measure": ("funnel.eligible.criteria.mild.measure", "mood"),
    "Criterion.error_sd": ("funnel.eligible.criteria.mild.error_sd", 3.0),
    "Criterion.at_least": ("funnel.eligible.criteria.mild.at_least", 6.0),
    "Criterion.at_most": ("funnel.eligible.criteria.mild.at_most", 6.0),
    "Step.prob": ("funnel.screened.prob", 0.5), "Step.criteria": ("funnel.eligible.criteria.more", {"excluded_prob": 0.5}),
    "Step.losses": ("funnel.screened.losses.ill", 1.0), "Step.delay": ("funnel.screened.delay.days", 9),
    "BinaryCovariate.prob": ("covariates.female.prob", 0.1),
    "NormalCovariate.mean": ("covariates.age.mean", 60.0), "NormalCovariate.sd": ("covariates.age.sd", 3.0),
    "NormalCovariate.low": ("covariates.age.low", 45.0), "NormalCovariate.high": ("covariates.age.high", 55.0),
    "CountCovariate.mean": ("covariates.conditions.mean", 5.0),
    "Visit.day": ("visits.v1.day", 90), "Visit.opens": ("visits.v1.opens", 0), "Visit.closes": ("visits.v1.closes", 40),
    "Visit.reminders": ("visits.v1.reminders", []),
    "Effect.by_visit": ("arms.group.effects.pain.by_visit", each(1.0)), "Effect.sd": ("arms.group.effects.pain.sd", 2.0),
    "Taper.prob": ("arms.group.tapers.opioids.prob", 0.1), "Taper.days": ("arms.group.tapers.opioids.days", 100),
    "Contamination.arm": ("arms.usual.contamination", {"arm": "pair", "prob": 0.4}),
    "Contamination.prob": ("arms.usual.contamination.prob", 0.9),
    "Contamination.dose": ("arms.usual.contamination.dose", 0.1),
    "CoIntervention.prob": ("arms.usual.co_intervention.prob", 0.9),
    "CoIntervention.effects": ("arms.usual.co_intervention.effects.works", {"by_visit": each(2.0)}),
    "Arm.delivery": ("arms.usual", online(sessions=2)), "Arm.start_prob": ("arms.group.start_prob", 0.3),
    "Arm.stop_prob": ("arms.group.stop_prob", 0.5), "Arm.dose": ("arms.group.dose", "assigned"),
    "Arm.dose_scale": ("arms.pair.dose_scale", 20.0), "Arm.effects": ("arms.usual.effects", {"works": {"by_visit": each(2.0)}}),
    "Arm.tapers": ("arms.web.tapers", {"opioids": TAPER}), "Arm.contamination": ("arms.usual.contamination", None),
    "Arm.co_intervention": ("arms.usual.co_intervention", None), "Arm.response_prob": ("arms.usual.response_prob.v1", 0.2),
    "Arm.withdrawal_prob": ("arms.usual.withdrawal_prob", 0.5),
    "Arm.cost_per_participant": ("arms.usual.cost_per_participant", 1.0), "Arm.cost_per_start": ("arms.web.cost_per_start", 1.0),
    "Adherence.motivation_on_start": ("adherence.motivation_on_start", 0.9),
    "Adherence.motivation_on_stop": ("adherence.motivation_on_stop", 0.9),
    "Adherence.wait_effect": ("adherence.wait_effect", 2.0), "Adherence.covariates": ("adherence.covariates.age", 0.2),
    "Dials.mcar": ("observation.dials.mcar", 0.8), "Dials.mar": ("observation.dials.mar", 2.0),
    "Dials.mnar": ("observation.dials.mnar", 2.0), "Dials.outcome": ("observation.dials.outcome", "visits"),
    "Dials.arms": ("observation.dials.arms", []),
    "Observation.frailty": ("observation.frailty", 0.0),
    "Observation.motivation_on_frailty": ("observation.motivation_on_frailty", 0.9),
    "Observation.covariates": ("observation.covariates.age", 0.2), "Observation.baseline": ("observation.baseline.pain", 1.0),
    "Observation.attendance": ("observation.attendance", 3.0),
    "Observation.current_value": ("observation.current_value.pain", 1.0),
    "Observation.answer_days": ("observation.answer_days.days", 5), "Observation.dials": ("observation.dials", {"mcar": 0.9}),
    "Observation.death_prob": ("observation.death_prob", 0.6),
    "Change.starts": ("changes", [change(starts=150)]), "Change.answering": ("changes", [change(answering=-1.0)]),
    "Change.ratio": ("changes", [change(ratio=dict.fromkeys(NAMES, 1) | {"web": 6}, block_sizes=[10])]),
    "Change.block_sizes": ("changes", [change(ratio=dict.fromkeys(NAMES, 2), block_sizes=[30])]),
    "Change.reminders": ("changes", [change(reminders={"v1": [0, 3, 6]})]),
    **{f"Costs.{price}": (f"costs.{price}", 2.0) for price in PRICES},
    "Design.start_date": ("start_date", "2024-07-01"), "Design.sample_size": ("sample_size", 120),
    "Design.max_enrolment_days": ("max_enrolment_days", 30),
}  # fmt: skip
IN_BLOCKS = ("Change.ratio", "Change.block_sizes", "AtLeast.outcome", "AtLeast.at_least")
WITH_CLUSTERS = ("Latent.cluster_sd", "Latent.cluster_change_sd", "Selection.", "ClusterParts.", "ClusterAllocation.")
KINDS = {"BlockAllocation": "blocks", "Minimization": "minimization", "BiasedCoin": "biased_coin", "Urn": "urn"}
WORDS = {"label", "title", "description", "source", "name", "currency", "kind"}
"""Fields that are words, or say which kind a part is of."""
WHOLE = {"recruitment", "funnel", "covariates", "outcomes", "visits", "arms", "allocation", "clusters", "changes"}
WHOLE |= {"adherence", "observation", "analyses", "decisions", "costs"}
"""Fields of the design that are parts of their own; analyses and decisions have tests of theirs."""


def kind_of(field: str) -> str:
    if field.startswith(WITH_CLUSTERS):
        return "clusters"
    if field.startswith(("Tendency", "Cohorts")):
        return "cohorts"
    return "blocks" if field in IN_BLOCKS else KINDS.get(field.split(".")[0], "simple")


def changed(data: Data, field: str) -> Data:
    """The trial with one field changed, and what must change with it for the design to be valid."""
    path, value = CHANGES[field]
    if field.startswith("Change.") and field not in IN_BLOCKS:
        data = merged(data, changes=[change()])
    *outer, last = path.split(".")
    nested: Any = {last: value}
    for key in reversed(outer):
        nested = {key: nested}
    new = merged(data, **nested)
    if field == "Cohorts.tendency":
        new["allocation"] = {key: content for key, content in new["allocation"].items() if key != "tendency"}
    elif field == "Ordinal.levels":
        new["outcomes"]["impression"]["levels"]["same"] = 0.3
    elif field == "Arm.delivery":
        new["arms"]["usual"]["response_prob"] = each(0.8)
    elif field in ("Contamination.arm", "Observation.dials"):
        where = new["arms"]["usual"] if field == "Contamination.arm" else new["observation"]
        where[last] = value
    return new


def picture(data: Data) -> dict[str, Any]:
    """Everything of a replicate, and what is measured of it."""
    block = run(Design.model_validate(data), n=1)
    return portrait(block) | measure(block)


@cache
def as_it_was(kind: str) -> dict[str, Any]:
    return picture(trial(kind))


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_field_changes_something(field: str) -> None:
    kind = kind_of(field)
    before = as_it_was(kind)
    if field.startswith("Change.") and field not in IN_BLOCKS:
        before = picture(merged(trial(kind), changes=[change()]))
    after = picture(changed(trial(kind), field))
    assert any(name not in after or not same(value, np.asarray(after[name])) for name, value in before.items())


def test_what_changes_nothing_is_seen_to_change_nothing() -> None:
    assert picture(merged(trial("simple"), title="Another")).keys() == as_it_was("simple").keys()
    again = picture(merged(trial("simple"), title="Another"))
    assert all(same(value, again[name]) for name, value in as_it_was("simple").items())


@pytest.mark.parametrize("module", [outcomes, allocation, delivery, parts], ids=lambda module: module.__name__)
def test_every_field_is_in_the_list(module: ModuleType) -> None:
    """A new field needs a line in CHANGES."""
    found = {
        f"{name}.{field}"
        for name, part in vars(module).items()
        if inspect.isclass(part) and issubclass(part, Part) and part.__module__ == module.__name__
        for field in set(part.__annotations__) & set(part.model_fields)
        if field not in WORDS and not (name == "Design" and field in WHOLE)
    }
    found |= {"Latent.source"} if module is outcomes else set()
    assert found - set(CHANGES) == set()
