"""The share of persons who pass all steps is kept between designs that agree in what decides it, and only those."""

from __future__ import annotations

from typing import Any

import pytest

from tests.designs import busy
from trialsim.design.parts import Design
from trialsim.world import cohort
from trialsim.world.world import World

PLAN = {"main": {"kind": "modified_poisson", "outcome": "pain", "estimand": "treatment_policy"}}

ELSEWHERE: dict[str, dict[str, Any]] = {
    "name": {"name": "another"},
    "title": {"title": "Another"},
    "description": {"description": "Another"},
    "source": {"source": "Another"},
    "start_date": {"start_date": "2031-05-06"},
    "sample_size": {"sample_size": 90},
    "max_enrolment_days": {"max_enrolment_days": 300},
    "recruitment": {
        "recruitment": {
            "sites": {"north": {"rate_per_month": 5.0, "pool": 40}, "south": {"pool": None, "opens": 3}},
            "rate_changes": [],
            "pauses": [],
            "site_cv": 0.0,
            "month_cv": 0.6,
        }
    },
    "visits": {"visits": {"m3": {"day": 95}}},
    "arms": {"arms": {"coach": {"start_prob": 0.5, "stop_prob": 0.2}}},
    "allocation": {"allocation": {"block_sizes": [4], "strata": ["site"]}},
    "adherence": {"adherence": {"motivation_on_start": 0.0}},
    "observation": {"observation": {"frailty": 0.1}},
    "analyses": {"analyses": PLAN},
    "decisions": {"analyses": PLAN, "decisions": {"primary": {"analysis": "main"}}},
    "costs": {"costs": {"letter": 3.0}},
    "changes": {"changes": [{"starts": 40, "answering": -0.2}]},
}

DECISIVE: dict[str, dict[str, Any]] = {
    "chance": {"funnel": {"consented": {"prob": 0.5}}},
    "criterion": {"funnel": {"eligible": {"criteria": {"too little pain": {"at_least": 5.0}}}}},
    "error": {"funnel": {"eligible": {"criteria": {"too little pain": {"error_sd": 2.5}}}}},
    "covariate": {"covariates": {"female": {"prob": 0.2}}},
    "level": {"outcomes": {"pain": {"mean": 4.0}}},
    "spread between sites": {"outcomes": {"pain": {"site_sd": 1.5}}},
    "site": {"recruitment": {"sites": {"east": {"rate_per_month": 30.0}}}},
    "clusters": {"clusters": {"per_site": 5}, "outcomes": {"pain": {"cluster_sd": 1.5}}},
}


def test_every_part_of_a_design_is_looked_at() -> None:
    assert ELSEWHERE.keys() | {"funnel", "covariates", "outcomes", "clusters"} == Design.model_fields.keys()


def fresh(world: World) -> float:
    cohort._pilot.cache_clear()
    return cohort.acceptance(world)


@pytest.mark.parametrize("part", ELSEWHERE)
def test_what_does_not_decide_shares_the_pilot_and_would_have_given_the_same(part: str) -> None:
    design, other = busy(), busy(**ELSEWHERE[part])
    assert getattr(other, part) != getattr(design, part)
    kept = fresh(World(design))
    assert cohort.acceptance(World(other)) == kept
    assert cohort._pilot.cache_info().misses == 1
    assert fresh(World(other)) == kept


@pytest.mark.parametrize("change", DECISIVE.values(), ids=list(DECISIVE))
def test_what_decides_has_a_pilot_of_its_own(change: dict[str, Any]) -> None:
    kept = fresh(World(busy()))
    after = cohort.acceptance(World(busy(**change)))
    assert after != kept
    assert after == fresh(World(busy(**change)))
