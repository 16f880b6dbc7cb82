"""A small trial in which all there is to print happens; its run summaries are golden, and other tests run it too."""

from __future__ import annotations

from typing import Any

from designs import coached, merged, online, plain_data, recovery, score, usual

from trialsim.design.parts import Design

Data = dict[str, Any]

VISITS: Data = {
    "m3": {"label": "3 months", "day": 91, "opens": -7, "closes": 45, "reminders": [0, 14, 28]},
    "m12": {"label": "12 months", "day": 365, "opens": -7, "closes": 60, "reminders": [0, 14]},
}


def small_trial(**changes: Any) -> Design:
    """The design; `changes` are merged into it at every depth."""
    return Design.model_validate(small_trial_data(**changes))


def small_trial_data(**changes: Any) -> Data:
    """The same as data: what a design file says."""
    return merged(_data(), **changes)


def _data() -> Data:
    return plain_data(
        name="small_trial",
        title="A small trial of three arms",
        start_date="2024-02-05",
        sample_size=90,
        max_enrolment_days=500,
        recruitment={
            "sites": {"north": {"rate_per_month": 60.0}, "south": {"rate_per_month": 40.0, "opens": 30}},
            "month_cv": 0.2,
        },
        funnel={
            "reached": {
                "prob": 0.7,
                "losses": {"wrong number": 3.0, "no answer": 1.0},
                "delay": {"days": 2, "mean_extra": 4.0},
            },
            "eligible": {"criteria": {"too little pain": {"measure": "pain", "error_sd": 0.8, "at_least": 4.0}}},
            "consented": {"prob": 0.8, "losses": {"declined": 1.0}, "delay": {"days": 1, "mean_extra": 5.0}},
        },
        covariates={
            "female": {"kind": "binary", "prob": 0.6},
            "age": {"kind": "normal", "mean": 55.0, "sd": 14.0, "low": 18.0, "high": 95.0},
        },
        outcomes={
            "pain": score(
                label="average pain",
                entry_sd=0.6,
                covariates={"female": 0.3},
                motivation=-0.2,
                coach_sd=0.2,
                recovery=recovery(0.4, "m3", "m12"),
            ),
        },
        visits=VISITS,
        arms={
            "coach": coached(
                sessions=4,
                coaches=[{"caseload": 2}, {"caseload": 3}],
                no_show_prob=0.1,
                max_wait_days=90,
                arm={
                    "label": "Coaching",
                    "start_prob": 0.9,
                    "stop_prob": 0.05,
                    "withdrawal_prob": 0.08,
                    "effects": {"pain": {"by_visit": {"m3": -1.5, "m12": -1.2}, "sd": 0.5}},
                    "cost_per_participant": 10.0,
                },
            ),
            "web": online(
                sessions=4,
                pace={"days": 5, "mean_extra": 4.0},
                max_calls=2,
                call_success_prob=0.2,
                arm={
                    "label": "Web modules",
                    "start_prob": 0.7,
                    "stop_prob": 0.1,
                    "effects": {"pain": {"by_visit": {"m3": -0.8, "m12": -0.8}}},
                    "cost_per_participant": 20.0,
                },
            ),
            "usual": usual(label="Usual care", withdrawal_prob=0.04),
        },
        allocation={
            "kind": "blocks",
            "ratio": {"coach": 1, "web": 1, "usual": 1},
            "block_sizes": [3, 6],
            "strata": ["site", "female"],
        },
        adherence={"motivation_on_start": 0.4, "motivation_on_stop": 0.4},
        observation={"frailty": 0.6, "motivation_on_frailty": 0.3, "attendance": 0.3, "death_prob": 0.02},
        analyses={
            "responders": {
                "kind": "modified_poisson",
                "outcome": "pain",
                "covariates": ["baseline", "site"],
                "cluster": "coach",
            },
            "change": {
                "kind": "linear",
                "outcome": "pain",
                "covariates": ["baseline", "female"],
                "contrasts": [["coach", "usual"], ["web", "usual"]],
            },
        },
        costs={
            "letter": 1.2,
            "screening": 25.0,
            "coach_hour": 60.0,
            "call": 8.0,
            "reminder": 2.0,
            "assessment": 25.0,
            "site_month": 1000.0,
        },
    )
