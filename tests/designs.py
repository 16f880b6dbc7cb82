"""Small designs for tests: dictionaries with everything unimportant filled in, checked like any design file."""

from __future__ import annotations

from typing import Any

from trialsim.design.parts import Design

Data = dict[str, Any]

THREE_VISITS: Data = {
    "m3": {"day": 91, "opens": -7, "closes": 45, "reminders": [0, 14, 28]},
    "m6": {"day": 183, "opens": -7, "closes": 45, "reminders": [0, 14, 28]},
    "m12": {"day": 365, "opens": -7, "closes": 60, "reminders": [0, 14, 28, 42]},
}
ONE_VISIT: Data = {"m3": {"day": 91}}
WIDE: Data = {"low": -1000.0, "high": 1000.0, "items": 15, "mean": 0.0}
"""A scale so wide and fine that neither bounds nor rounding matter."""


def modules(n: int) -> list[str]:
    """Names of n sessions."""
    return [f"session {k}" for k in range(1, n + 1)]


def usual(**keys: Any) -> Data:
    """An arm without sessions."""
    return {"delivery": {"kind": "none"}, **keys}


def coached(*, sessions: int = 8, arm: Data | None = None, **delivery: Any) -> Data:
    """An arm with one-to-one sessions; keywords belong to its delivery, `arm` to the arm."""
    plan = {"kind": "individual", "modules": modules(sessions), "coaches": 2, **delivery}
    return {"delivery": plan, **(arm or {})}


def grouped(*, sessions: int = 4, arm: Data | None = None, **delivery: Any) -> Data:
    """An arm with sessions in groups; keywords belong to its delivery, `arm` to the arm."""
    plan = {"kind": "group", "modules": modules(sessions), "size": 4, "facilitators": 2, **delivery}
    return {"delivery": plan, **(arm or {})}


def online(*, sessions: int = 8, arm: Data | None = None, **delivery: Any) -> Data:
    """An arm with web modules; keywords belong to its delivery, `arm` to the arm."""
    return {"delivery": {"kind": "self_paced", "modules": modules(sessions), **delivery}, **(arm or {})}


def score(**keys: Any) -> Data:
    """An outcome on 0 to 10."""
    return {"items": 10, "mean": 6.0, "sd": 1.5, "error_sd": 0.5, "change_sd": 0.8, **keys}


def every_kind(*visits: str) -> Data:
    """Outcomes of every kind, two of them from health records; `uses_opioids` must be a yes/no covariate."""
    hazard = dict.fromkeys(visits, 0.1)
    return {
        "pain": score(group_sd=0.3, drift_per_year=-0.2, season={"amplitude": 0.3, "peak_month": 1.5}),
        "works": {"kind": "binary", "prob": 0.4, "correlation": {"pain": -0.4}, "coach_sd": 0.3, "motivation": 0.2},
        "impression": {
            "kind": "ordinal",
            "levels": {"worse": 0.2, "same": 0.5, "better": 0.3},
            "responder_from": "better",
            "correlation": {"works": 0.3},
        },
        "visits": {"kind": "count", "rate_per_year": 3.0, "sd": 0.6, "change_sd": 0.3, "source": "record"},
        "return": {"kind": "event", "hazard": hazard, "sd": 0.5, "correlation": {"works": 0.5}},
        "admission": {"kind": "event", "hazard": hazard, "source": "record", "drift_per_year": 0.5},
        "opioids": {
            "kind": "dose",
            "users": "uses_opioids",
            "median": 40.0,
            "sd": 0.5,
            "change_sd": 0.2,
            "stop_hazard": dict.fromkeys(visits, 0.02),
            "resume_hazard": dict.fromkeys(visits, 0.05),
            "source": "record",
        },
    }


OPIOIDS: Data = {"uses_opioids": {"kind": "binary", "prob": 0.5}}


def kinds(**changes: Any) -> Design:
    """A trial with outcomes of every kind, a taper, contamination and co-intervention; `changes` are merged into it."""
    effects = {
        "works": {"by_visit": {"m3": 0.4, "m6": 0.5, "m12": 0.5}},
        "visits": {"by_visit": {"m3": -0.3, "m6": -0.3, "m12": -0.3}, "sd": 0.2},
        "return": {"by_visit": {"m3": 0.2, "m6": 0.5, "m12": 0.5}},
        "opioids": {"by_visit": {"m3": -0.2, "m6": -0.3, "m12": -0.3}},
    }
    other = {"prob": 0.3, "effects": {"pain": {"by_visit": {"m3": -0.5, "m6": -0.5, "m12": -0.5}, "sd": 0.3}}}
    arm = {"effects": effects, "tapers": {"opioids": {"prob": 0.6, "days": 21}}, "stop_prob": 0.05, "start_prob": 0.9}
    data = plain_data(
        sample_size=150,
        covariates=OPIOIDS,
        outcomes=every_kind("m3", "m6", "m12"),
        visits=THREE_VISITS,
        arms={
            "coach": coached(arm={**arm, "withdrawal_prob": 0.2}),
            "usual": usual(contamination={"arm": "coach", "prob": 0.2, "dose": 0.5}, co_intervention=other),
        },
        observation={"death_prob": 0.1, "current_value": {"works": 0.2}, "dials": {"mar": 0.1, "outcome": "opioids"}},
    )
    return Design.model_validate(merged(data, **changes))


def plain_data(**parts: Any) -> Data:
    """A whole design as data: one site, one step, two arms; `parts` replace the design's own, key by key.

    Missing courses are flat, missing response probabilities 0.8, a missing allocation simple with equal ratio.
    """
    data: Data = {
        "name": "test",
        "start_date": "2024-01-01",
        "sample_size": 60,
        "max_enrolment_days": 600,
        "recruitment": {"sites": {"north": {"rate_per_month": 30.0}}},
        "funnel": {"enrolled": {}},
        "outcomes": {"pain": score()},
        "visits": ONE_VISIT,
        "arms": {"coach": coached(), "usual": usual()},
        **parts,
    }
    visits = list(data["visits"])
    data["outcomes"] = {
        name: {"course": dict.fromkeys(visits, 0.0), **outcome} for name, outcome in data["outcomes"].items()
    }
    data["arms"] = {name: {"response_prob": dict.fromkeys(visits, 0.8), **arm} for name, arm in data["arms"].items()}
    data.setdefault("allocation", {"kind": "simple", "ratio": dict.fromkeys(data["arms"], 1)})
    return data


def design(**parts: Any) -> Design:
    """The same as a checked Design."""
    return Design.model_validate(plain_data(**parts))


def merged(base: Data, **changes: Any) -> Data:
    """A copy of `base` with changes, key by key at every depth (a dictionary is merged, all else replaced)."""
    new = dict(base)
    for key, value in changes.items():
        old = new.get(key)
        new[key] = merged(old, **value) if isinstance(old, dict) and isinstance(value, dict) else value
    return new


def busy(**changes: Any) -> Design:
    """A trial in which much goes on: three arms, three sites, waiting, no-shows, calls, exits, reminders.

    `changes` are merged into it at every depth.
    """
    return Design.model_validate(merged(busy_data(), **changes))


def busy_data() -> Data:
    """The data of `busy`."""
    stops = {"start_prob": 0.85, "stop_prob": 0.05, "withdrawal_prob": 0.1}
    coach_effect = {"pain": {"by_visit": {"m3": -1.0, "m6": -1.2, "m12": -1.0}, "sd": 0.8}}
    return plain_data(
        sample_size=150,
        max_enrolment_days=500,
        recruitment={
            "sites": {
                "north": {"rate_per_month": 45.0, "ramp_months": 1.0},
                "south": {"rate_per_month": 30.0, "opens": 40, "pool": 300},
                "west": {"rate_per_month": 60.0},
            },
            "rate_changes": [{"starts": 100, "factor": 1.3, "sites": ["north"]}],
            "pauses": [{"starts": 50, "ends": 64}, {"starts": 80, "ends": 120, "sites": ["west"]}],
            "site_cv": 0.3,
            "month_cv": 0.2,
        },
        funnel={
            "reached": {
                "prob": 0.6,
                "losses": {"wrong number": 3.0, "no answer": 1.0},
                "delay": {"days": 1, "mean_extra": 3.0},
            },
            "eligible": {
                "criteria": {
                    "too little pain": {"measure": "pain", "error_sd": 0.8, "at_least": 4.0},
                    "other": {"excluded_prob": 0.1},
                }
            },
            "consented": {
                "prob": 0.8,
                "losses": {"declined": 2.0, "too busy": 1.0},
                "delay": {"days": 2, "mean_extra": 5.0},
            },
        },
        covariates={
            "female": {"kind": "binary", "prob": 0.7},
            "age": {"kind": "normal", "mean": 55.0, "sd": 14.0, "low": 18.0, "high": 95.0},
            "conditions": {"kind": "count", "mean": 2.0},
        },
        outcomes={
            "pain": score(entry_sd=0.6, covariates={"female": 0.3, "conditions": 0.2}, motivation=-0.2, site_sd=0.2),
            "mood": score(correlation={"pain": 0.5}, coach_sd=0.3, recovery=recovery(0.3, "m3", "m6", "m12")),
        },
        visits=THREE_VISITS,
        arms={
            "coach": coached(
                coaches=[{"caseload": 3}, {"joins": 60, "caseload": 4}, {"leaves": 200, "sessions_per_week": 2}],
                no_show_prob=0.15,
                max_wait_days=60,
                arm={**stops, "effects": coach_effect},
            ),
            "web": online(
                pace={"days": 5, "mean_extra": 4.0},
                max_calls=2,
                call_success_prob=0.3,
                arm={**stops, "start_prob": 0.6, "stop_prob": 0.1},
            ),
            "usual": usual(withdrawal_prob=0.05),
        },
        allocation={
            "kind": "blocks",
            "ratio": {"coach": 2, "web": 1, "usual": 1},
            "block_sizes": [4, 8],
            "strata": ["site", "female", {"outcome": "pain", "at_least": 6.5}],
        },
        adherence={
            "motivation_on_start": 0.4,
            "motivation_on_stop": 0.4,
            "wait_effect": 0.1,
            "covariates": {"age": 0.01},
        },
        observation={
            "frailty": 0.6,
            "motivation_on_frailty": 0.3,
            "attendance": 0.3,
            "covariates": {"age": 0.01},
            "baseline": {"pain": -0.1},
            "current_value": {"mood": -0.1},
            "death_prob": 0.05,
        },
    )


def recovery(prob: float, *visits: str) -> Data:
    """A marked improvement of a share of the participants at every visit."""
    return {"prob": dict.fromkeys(visits, prob), "drop": 2.0, "sd": 1.0}
