"""Knobs of any design: at their own value nothing changes; what each says it does, it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from designs import coached, every_kind, grouped, online, plain_data, score, usual
from helpers import run

from trialsim.design.library import library
from trialsim.design.parts import Design
from trialsim.design.reader import digest, read_design
from trialsim.teach import alike
from trialsim.teach.knobs import Choice, Knob, KnobError, Value, knob_of, knobs_of, turned
from trialsim.teach.primary import ADDED, idle_of, lean, primary_of, with_decision
from trialsim.world.histories import NONE

GROUPS = {"Trial", "Effects", "Attendance", "Missing data", "Staff", "Clusters"}


def ends(knob: Knob) -> list[Value]:
    """Values at which a knob is tried, other than its own."""
    known: list[Value] = [one.value for one in knob.choices] if knob.choices else [knob.low, knob.high]
    return [value for value in known if value != knob.value]


def reaches_by_steps(knob: Knob) -> bool:
    """Whether a slider comes to its own value and its ends in whole steps."""
    if isinstance(knob.value, str):
        return True
    steps = [(x - knob.low) / knob.step for x in (knob.value, knob.high)]
    return knob.low <= knob.value <= knob.high and all(abs(x - round(x)) < 1e-6 for x in steps)


@pytest.mark.parametrize("name", library())
def test_every_knob_of_every_scenario(name: str) -> None:
    design = read_design(name)
    knobs = knobs_of(design)
    assert turned(design, {knob.name: knob.value for knob in knobs}) is design
    assert {"n", "recruitment", "dropout", "mechanism"} <= {knob.name for knob in knobs}
    for knob in knobs:
        assert knob.group in GROUPS
        assert knob.label
        assert knob.tip.endswith(".")
        assert knob.checked(knob.value) == knob.value
        assert ends(knob)
        assert reaches_by_steps(knob)
        for value in ends(knob):
            changed = turned(design, {knob.name: knob.checked(value)})
            assert digest(changed) != digest(design), (knob.name, value)
    everything = {knob.name: ends(knob)[-1] for knob in knobs}
    assert digest(turned(design, everything)) != digest(design)


def small(**changes: Any) -> Design:
    arms = {
        "coach": coached(arm={"label": "Coaching", "effects": {"pain": {"by_visit": {"m3": -1.0}, "sd": 0.5}}}),
        "web": online(arm={"start_prob": 0.713, "effects": {"pain": {"by_visit": {"m3": -0.5}}}}),
        "usual": usual(),
    }
    given = {
        "sample_size": 60,
        "arms": arms,
        "outcomes": {"pain": score(coach_sd=0.4), "mood": score(coach_sd=0.2)},
        "analyses": {"change": {"kind": "linear", "outcome": "pain"}},
        "decisions": {"main": {"analysis": "change"}},
        **changes,
    }
    return Design.model_validate(plain_data(**given))


def test_each_knob_changes_what_it_names_and_nothing_else() -> None:
    design = small()
    cases: dict[str, tuple[Value, list[str]]] = {
        "n": (90, ["sample_size"]),
        "recruitment": (2.0, ["recruitment"]),
        "effect_coach": (0.5, ["arms"]),
        "start_web": (50.0, ["arms"]),
        "dropout": (40.0, ["arms"]),
        "mechanism": ("mnar", ["observation"]),
        "coaches_coach": (1, ["arms"]),
        "icc_coaches": (0.1, ["outcomes"]),
    }
    assert set(cases) | {"effect_web", "start_coach"} == {knob.name for knob in knobs_of(design)}
    for name, (value, parts) in cases.items():
        changed = turned(design, {name: value})
        differ = [part for part in Design.model_fields if getattr(design, part) != getattr(changed, part)]
        assert differ == parts, name
    half = turned(design, {"effect_coach": 0.5}).arms
    assert half["coach"].effects["pain"].by_visit == {"m3": -0.5}
    assert half["coach"].effects["pain"].sd == 0.25
    assert half["web"] == design.arms["web"]
    assert turned(design, {"start_web": 50.0}).arms["web"].start_prob == 0.5
    sites = turned(design, {"recruitment": 2.0}).recruitment.sites
    assert all(site.rate_per_month == 2 * design.recruitment.sites[name].rate_per_month for name, site in sites.items())
    assert knob_of(design, "start_web").value == 71.3
    assert knob_of(design, "effect_web", high=4.0).high == 4.0


def test_the_share_that_does_not_answer_is_met_on_average_over_arms_and_visits_move_along() -> None:
    visits = {"m3": {"day": 91}, "m6": {"day": 183}}
    arms = {
        "a": usual(response_prob={"m3": 0.9, "m6": 0.8}),
        "b": usual(response_prob={"m3": 0.7, "m6": 0.6}),
    }
    analyses = {"change": {"kind": "linear", "outcome": "pain", "visits": ["m6"]}}
    design = small(arms=arms, visits=visits, analyses=analyses, decisions={})
    assert knob_of(design, "dropout").value == 30
    changed = turned(design, {"dropout": 50.0})
    shares = [arm.response_prob for arm in changed.arms.values()]
    assert sum(one["m6"] for one in shares) / 2 == pytest.approx(0.5, abs=1e-6)
    assert all(0 < one["m6"] < one["m3"] < 1 for one in shares)
    assert shares[0]["m6"] > shares[1]["m6"]


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_mechanisms_let_those_answer_less_who_do_badly_and_luck_nobody(better: str) -> None:
    """MNAR: the answers that are there look better than all; MCAR: they do not. The check fails the other way round."""
    design = small(outcomes={"pain": score(better=better, change_sd=2.0, sd=2.0)}, sample_size=200)
    gaps = {}
    for mechanism in ("mcar", "mnar"):
        block = run(turned(design, {"mechanism": mechanism, "dropout": 40.0}), n=16)
        value, seen = block.outcomes.realised[0, 0], block.observed.seen["pain"][:, :, 0].T
        member = block.histories.arm != NONE
        gaps[mechanism] = (value[member & seen].mean() - value[member].mean()) / value[member].std()
    sign = 1 if better == "higher" else -1
    error = 1 / np.sqrt(200 * 16 * 0.6)
    assert abs(gaps["mcar"]) < 4.5 * error < sign * gaps["mnar"]


def test_a_design_in_which_luck_alone_decides_on_answers_says_so() -> None:
    observation = {"attendance": 0.5}
    assert knob_of(small(), "mechanism").value == "mcar"
    assert [one.value for one in knob_of(small(), "mechanism").choices] == ["mcar", "mar", "mnar"]
    assert knob_of(small(observation=observation), "mechanism").value == "design"
    assert turned(small(observation=observation), {"mechanism": "mcar"}) == small()
    mar = turned(small(), {"mechanism": "mar"}).observation.dials
    assert (mar.mar, mar.mnar, mar.outcome) == (0.8, 0.0, "pain")


def test_a_list_of_coaches_is_cut_or_goes_on_like_its_last() -> None:
    design = small(arms={"coach": coached(coaches=[{"caseload": 3}, {"caseload": 5, "joins": 7}]), "usual": usual()})
    fewer, more = (turned(design, {"coaches_coach": n}).coaches("coach") for n in (1, 4))
    assert [coach.caseload for coach in fewer] == [3]
    assert [(coach.caseload, coach.joins) for coach in more] == [(3, 0), (5, 7), (5, 7), (5, 7)]


# --- ICC --------------------------------------------------------------------------------------------------------------


def icc_among(design: Design, *, n: int = 160) -> tuple[float, float]:
    """ICC of the primary outcome among people of the first arm by its one-way analysis of variance, and its error."""
    block, estimates = run(design, n=n), []
    for r in range(block.n_replicates):
        mine = block.histories.arm[:, r] == 0
        value, coach = block.outcomes.realised[0, 0, mine, r] / 10, block.histories.coach[mine, r]
        teams = [value[coach == c] for c in np.unique(coach[coach != NONE])]
        teams = [team for team in teams if len(team) > 1]
        sizes = np.array([len(team) for team in teams])
        within = sum(((team - team.mean()) ** 2).sum() for team in teams) / (sizes - 1).sum()
        grand = np.concatenate(teams).mean()
        between = sum(len(team) * (team.mean() - grand) ** 2 for team in teams) / (len(teams) - 1)
        per_team = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(teams) - 1)
        estimates.append([(between - within) / per_team, within])
    between, within = np.mean(estimates, axis=0)
    spread = np.std(np.array(estimates)[:, 0], ddof=1) / (between + within) / np.sqrt(len(estimates))
    return float(between / (between + within)), float(spread)


@pytest.mark.parametrize("icc", [0.0, 0.2])
def test_an_icc_that_is_asked_for_is_the_icc_of_what_is_simulated(icc: float) -> None:
    """Everybody has a coach at once and keeps them, so nothing dilutes the likeness."""
    arms = {
        "coach": coached(coaches=6, caseload=1_000, sessions_per_week=10_000, arm={"start_prob": 1.0}, sessions=2),
        "usual": usual(),
    }
    criteria = {"eligible": {"criteria": {"pain": {"measure": "pain", "at_least": 6.0}}}}
    outcomes = {"pain": score(coach_sd=0.3, change_sd=1.0)}
    design = small(arms=arms, outcomes=outcomes, sample_size=120, funnel=criteria)
    found, error = icc_among(turned(design, {"icc_coaches": icc}))
    assert abs(found - icc) < 4.5 * error
    assert abs(found - icc - 0.1) > 4.5 * error  # an ICC that is 0.1 off would be seen


def test_other_outcomes_keep_their_proportion_and_0_makes_nobody_alike() -> None:
    design = small()
    changed = turned(design, {"icc_coaches": 0.15}).outcomes
    ratio = changed["pain"].coach_sd / changed["mood"].coach_sd
    assert ratio == pytest.approx(2.0)
    assert all(outcome.coach_sd == 0 for outcome in turned(design, {"icc_coaches": 0.0}).outcomes.values())
    alone = small(outcomes={"pain": score(), "mood": score(coach_sd=0.2)})
    assert turned(alone, {"icc_coaches": 0.1}).outcomes["mood"].coach_sd == 0.2
    assert turned(alone, {"icc_coaches": 0.1}).outcomes["pain"].coach_sd > 0


def test_clusters_and_groups_have_an_icc_of_their_own() -> None:
    parts = {
        "arms": {"groups": grouped(), "usual": usual()},
        "allocation": {"kind": "clusters", "ratio": {"groups": 1, "usual": 1}},
        "clusters": {"per_site": 4},
        "outcomes": {"pain": score(cluster_sd=0.3, cluster_change_sd=0.4, group_sd=0.2)},
    }
    design = small(**parts)
    found = alike.sorts(design)
    assert list(found) == ["clusters", "coaches", "groups"]
    assert found["clusters"].between == pytest.approx(0.25)
    changed = turned(design, {"icc_clusters": 0.2}).outcomes["pain"]
    assert changed.cluster_change_sd / changed.cluster_sd == pytest.approx(4 / 3)
    again = alike.sorts(turned(design, {"icc_clusters": 0.2}))["clusters"]
    assert again.icc == pytest.approx(0.2, abs=0.001)


def test_yes_or_no_outcomes_have_the_icc_of_their_latent_scale_and_counts_none() -> None:
    kinds = every_kind("m3")
    answers = {"works": kinds["works"] | {"correlation": {}}}
    covariates = {"female": {"kind": "binary", "prob": 0.5}}
    plan = {"change": {"kind": "logistic", "outcome": "works"}}
    design = small(outcomes=answers, analyses=plan, arms={"coach": coached(), "usual": usual()}, covariates=covariates)
    own = alike.sorts(design)["coaches"]
    stated = design.outcomes["works"]
    assert own.within == pytest.approx(stated.sd**2 + stated.error_sd**2 + stated.change_sd**2 + stated.motivation**2)
    count = {"visits_made": {"kind": "count", "rate_per_year": 3.0, "coach_sd": 0.2}}
    plan = {"change": {"kind": "counts", "outcome": "visits_made"}}
    assert alike.sorts(small(outcomes=count, analyses=plan, arms={"coach": coached(), "usual": usual()})) == {}


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("n", 60.5, "must be a whole number"),
        ("n", "60", "must be a number"),
        ("n", True, "must be a number"),
        ("n", None, "must be a number"),
        ("n", 10**9, "must be from 10 to 180"),
        ("effect_coach", float("nan"), "must be a number"),
        ("effect_coach", -0.1, "must be from 0 to 2"),
        ("mechanism", "magic", "must be one of: mcar, mar, mnar"),
        ("mechanism", 1, "must be one of"),
        ("mechanism", ["mar"], "must be one of"),
    ],
)
def test_a_value_that_a_knob_cannot_have_is_refused_in_words(name: str, value: object, said: str) -> None:
    with pytest.raises(KnobError, match=said) as refused:
        knob_of(small(), name).checked(value)
    assert refused.value.where == name


def test_whole_numbers_stay_whole_and_others_become_decimal() -> None:
    assert knob_of(small(), "n").checked(90.0) == 90
    assert isinstance(knob_of(small(), "n").checked(90.0), int)
    assert isinstance(knob_of(small(), "effect_coach").checked(1), float)
    choice = Knob("k", "K", "T.", "a", "Trial", choices=(Choice("a", "A"), Choice("b", "B")))
    assert choice.data()["choices"] == [{"value": "a", "label": "A"}, {"value": "b", "label": "B"}]
    assert "low" not in choice.data()


def test_knobs_that_do_not_go_together_are_refused_in_words() -> None:
    arms = {"groups": grouped(facilitators=4, facilitators_per_group=2), "usual": usual()}
    design = small(arms=arms)
    with pytest.raises(KnobError, match="do not go together"):
        turned(design, {"facilitators_groups": 1})


# --- the primary question ---------------------------------------------------------------------------------------------


def test_a_design_without_a_decision_is_given_one_on_its_first_analysis() -> None:
    lsd = small(
        decisions={}, analyses={"change": {"kind": "linear", "outcome": "pain", "multiplicity": "lsd", "alpha": 0.1}}
    )
    decided = with_decision(lsd)
    assert decided.decisions[ADDED].procedure.kind == "lsd"
    assert decided.decisions[ADDED].alpha == 0.1
    assert [one.contrast for one in primary_of(decided).hypotheses] == ["coach - web", "coach - usual", "web - usual"]
    assert with_decision(small()) == small()
    nothing = small(decisions={}, analyses={})
    assert with_decision(nothing) is nothing
    assert primary_of(nothing).decision is None
    assert primary_of(nothing).outcome == "pain"


def test_what_the_primary_question_does_not_need_is_idle_and_what_it_needs_stays() -> None:
    outcomes = {"mood": score(), "pain": score(correlation={"mood": 0.3}), "sleep": score(covariates={"age": 0.1})}
    covariates = {"age": {"kind": "normal", "mean": 50.0, "sd": 9.0}, "female": {"kind": "binary", "prob": 0.5}}
    analyses = {
        "change": {"kind": "linear", "outcome": "pain", "covariates": ["female"]},
        "sleep": {"kind": "linear", "outcome": "sleep"},
    }
    design = small(outcomes=outcomes, covariates=covariates, analyses=analyses)
    idle = idle_of(design)
    assert (idle.analyses, idle.outcomes, idle.covariates) == (("sleep",), ("sleep",), ("age",))
    own = lean(design, idle)
    assert list(own.outcomes) == ["mood", "pain"]
    strata = {"strata": [{"outcome": "sleep", "at_least": 5.0}], "ratio": dict.fromkeys(design.arms, 1)}
    by_sleep = {"kind": "biased_coin", **strata}
    assert idle_of(small(outcomes=outcomes, covariates=covariates, allocation=by_sleep)).outcomes == ()
