"""What is said of analyses of outcomes other than scores, and of clusters and groups."""

from __future__ import annotations

import re

import pytest
from designs import Data, design, score, usual

from trialsim.design.parts import Design
from trialsim.report import analysis_words as words

MONTHLY: Data = {"m3": 0.05}
SAID: list[tuple[Data, list[str]]] = [
    ({"kind": "linear", "outcome": "work", "endpoint": "response"},
     ["Response on work: linear regression"]),
    ({"kind": "mixed", "outcome": "pain", "endpoint": "value", "cluster": "cluster"},
     ["Pain: linear mixed model (REML) at each visit with random intercepts of randomized clusters; without"]),
    ({"kind": "mixed", "outcome": "pain", "cluster": "group", "nested_arms": ["group"]},
     ["random intercepts of delivery groups (a participant without a group has none) in arm group only"]),
    ({"kind": "cluster_means", "outcome": "pain", "cluster": "cluster"}, ["of the means of randomized clusters, all"]),
    ({"kind": "gee", "outcome": "pain", "endpoint": "value", "cluster": "cluster"},
     ["over all visits (linear)", "robust variance clustered on randomized clusters, normal distribution"]),
    ({"kind": "counts", "outcome": "emergency", "endpoint": "events", "visits": ["m3"]},
     ["Number of emergency visits per year known: negative binomial",
      "Missing data: participants are followed in records for as long as they are in the study."]),
    ({"kind": "cox", "outcome": "back"},
     ["Time to return to work: proportional", "in the study, death and withdrawal censor"]),
    ({"kind": "rmst", "outcome": "opioid"},
     ["Time to the first visit with a response on opioid", "followed up to the last visit answered"]),
]  # fmt: skip
ESTIMANDS = [
    ({"kind": "counts", "outcome": "emergency", "endpoint": "events", "visits": ["m3"]},
     "over m3 the ratio of the mean numbers of emergency visits per year, had every participant"),
    ({"kind": "cox", "outcome": "back"}, "(treatment policy): the hazard ratio of return to work, had every participant"),
    ({"kind": "rmst", "outcome": "back"}, "difference and the ratio of the mean times without return to work, had"),
    ({"kind": "t_test", "outcome": "pain", "endpoint": "value"}, "at each visit the difference in mean pain, had"),
    ({"kind": "t_test", "outcome": "work", "endpoint": "response"}, "the risk difference of being a responder on work"),
]  # fmt: skip


UNITS = [
    ("pain", " 0.5 points ("), ("work", " 0.5 as a proportion ("), ("emergency", " 0.5 events ("),
    ("opioid", " 0.5 dose units ("), ("sleep", " 0.5 levels ("),
]  # fmt: skip


def planned(analysis: Data) -> Design:
    delivery = {"kind": "group", "modules": ["a"], "size": 6, "facilitators": 1}
    return design(
        covariates={"user": {"kind": "binary", "prob": 0.5}},
        outcomes={
            "pain": score(),
            "work": {"kind": "binary", "prob": 0.4},
            "emergency": {
                "kind": "count", "rate_per_year": 1.5, "source": "record", "label": "emergency visits",
            },
            "back": {"kind": "event", "hazard": MONTHLY, "source": "record", "label": "return to work"},
            "opioid": {"kind": "dose", "users": "user", "median": 40.0},
            "sleep": {"kind": "ordinal", "levels": {"bad": 0.5, "good": 0.5}, "responder_from": "good"},
        },
        arms={"group": {"delivery": delivery}, "usual": usual()},
        allocation={"kind": "clusters", "ratio": {"group": 1, "usual": 1}},
        clusters={"per_site": 8},
        analyses={"main": {"multiplicity": "none", **analysis}},
    )  # fmt: skip


@pytest.mark.parametrize(("analysis", "parts"), SAID, ids=[str(analysis) for analysis, _ in SAID])
def test_an_analysis_is_said_in_words(analysis: Data, parts: list[str]) -> None:
    plan = planned(analysis)
    text = words.about(plan, plan.analyses["main"])
    assert [part for part in parts if part not in text] == [], text
    assert not re.search(r"\b(None|nan|inf)\b|_| \.|\(\)|,,|;;|;\.| ,", text)


@pytest.mark.parametrize(("analysis", "part"), ESTIMANDS, ids=[str(analysis) for analysis, _ in ESTIMANDS])
def test_an_estimand_is_said_in_words(analysis: Data, part: str) -> None:
    plan = planned(analysis)
    main = plan.analyses["main"]
    assert part in words.estimand(plan, main, words.label(plan, main))


@pytest.mark.parametrize(("outcome", "part"), UNITS, ids=[outcome for outcome, _ in UNITS])
def test_a_margin_is_in_the_unit_of_what_is_compared(outcome: str, part: str) -> None:
    main = {"kind": "t_test", "outcome": outcome, "endpoint": "value", "hypothesis": "non_inferiority", "margin": 0.5}
    plan = planned(main)
    assert part in words.hypothesis(plan, plan.analyses["main"])


def test_a_margin_of_a_time_is_in_days() -> None:
    plan = planned({"kind": "rmst", "outcome": "back", "hypothesis": "equivalence", "margin": 9.0})
    assert "is between -9 and 9 days (" in words.hypothesis(plan, plan.analyses["main"])
