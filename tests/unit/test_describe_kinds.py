"""`trialsim describe`: kinds of outcome, groups, clusters, ways of allocation and changes, in the right words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from designs import Data, coached, design, score, usual

from trialsim.design.parts import Design
from trialsim.report.describe import _stated, allocation, arms, enrolment, outcomes, spread
from trialsim.report.describe.implied import _COLUMNS, _SAID
from trialsim.report.summary import _ROWS
from trialsim.world.world import World

VISITS = {"m3": {"day": 91}, "m6": {"day": 183}}
EQUAL = {"coach": 1, "usual": 1}


def flat(blocks: list[str]) -> str:
    return " ".join(" ".join(blocks).split())


def said(**parts: Any) -> str:
    """Everything that is said of a design with these parts, but for what it implies."""
    return flat([block for section in _stated(World(design(**parts))) for block in section])


# --- outcomes -------------------------------------------------------------------------------------------------------

BINARY = {"kind": "binary", "prob": 0.25}
ORDINAL = {"kind": "ordinal", "levels": {"bad": 0.5, "fair": 0.3, "good": 0.2}, "responder_from": "fair"}
COUNT = {"kind": "count", "rate_per_year": 2.5, "sd": 0.6}
EVENT = {"kind": "event", "hazard": {"m3": 0.05, "m6": 0.03}, "sd": 0.5}
DOSE = {"kind": "dose", "users": "opioids", "median": 40.0, "sd": 0.5}


@pytest.mark.parametrize(
    ("outcome", "sentences"),
    [
        (BINARY, ["Yes or no: 25% of the people screened have yes at baseline.", "A responder has yes."]),
        (BINARY, ["the stable level has SD 0.8 between persons. Each assessment has a measurement error of SD 0.6."]),
        (ORDINAL, ["One of 3 ordered levels", "bad 50%, fair 30% and good 20%", "A responder is at 'fair' or a higher"]),
        (COUNT, ["2.5 a year on average", "more than 100 are recorded as that", "A responder has none."]),
        (COUNT | {"source": "record"}, ["read from health records on the visit's due day, of everybody"]),
        (EVENT, ["who have not had it 5% a month up to m3 and 3% a month up to m6 have it."]),
        (EVENT | {"hazard": {"m3": 0.04, "m6": 0.04}}, ["who have not had it 4% a month have it.", "has had it by"]),
        (DOSE, ["Those with opioids use it at baseline, with a median dose of 40;", "Nobody stops or resumes"]),
        (DOSE | {"stop_hazard": {"m3": 0.1, "m6": 0.1}}, ["10% a month of the users stop by themselves."]),
        (DOSE | {"resume_hazard": {"m3": 0.1, "m6": 0.2}}, ["10% a month up to m3 and 20% a month up to m6 of those"]),
        (BINARY | {"drift_per_year": -0.1}, ["every calendar year everybody, at baseline too, is 0.1 points lower."]),
        (BINARY | {"season": {"amplitude": 0.3, "peak_month": 6.5}}, ["by 0.3 points either way through the year, highest at the middle of June."]),
        (score(season={"amplitude": 1.0}), ["by 1 point either way through the year, highest at the start of January."]),
        (score(better="higher"), ["Higher values are better.", "value is at least 30% above the value at baseline"]),
        (score(better="higher", responder_change=0), ["A responder's value is no lower than at baseline."]),
        (score(season={"amplitude": 1.0, "peak_month": 12.9}), ["highest at the end of December."]),
    ],
)  # fmt: skip
def test_an_outcome_of_any_kind_is_said(outcome: Data, sentences: list[str]) -> None:
    covariates = {"opioids": {"kind": "binary", "prob": 0.3}}
    kept: Data = {"course": {}} if outcome.get("kind") else {}
    text = flat(outcomes.outcomes(design(visits=VISITS, covariates=covariates, outcomes={"it": {**outcome, **kept}})))
    assert [sentence for sentence in sentences if sentence not in text] == []


def test_a_course_that_is_not_given_keeps_to_the_stable_level() -> None:
    text = flat(outcomes.outcomes(design(outcomes={"it": {**BINARY, "course": {}}})))
    assert "the level at follow-up keeps to the stable level." in text


def test_every_kind_of_outcome_has_words_for_what_it_implies_and_for_summaries() -> None:
    kinds = {"score", "binary", "ordinal", "count", "event", "dose"}
    assert set(_COLUMNS) == set(_SAID) == set(_ROWS) == kinds


# --- what is shared -------------------------------------------------------------------------------------------------


def one_outcome(**keys: Any) -> Design:
    plain = {"mean": 5.0, "sd": 3.0, "error_sd": 0.0, "change_sd": 0.0, **keys}
    return design(
        outcomes={"pain": plain}, clusters={"per_site": 4}, covariates={"old": {"kind": "binary", "prob": 0.5}}
    )


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"site_sd": 1.0}, "Sites differ in level with SD 1 (ICC about 0.100 at baseline)."),
        ({"cluster_sd": 1.0}, "Randomized clusters differ in level with SD 1 (ICC about 0.100 at baseline)."),
        ({"cluster_sd": 1.0, "cluster_change_sd": 1.0}, "differs with SD 1 (ICC about 0.182 at the last visit, with the level)."),
        ({"cluster_change_sd": 1.0}, "clusters differ in change since baseline with SD 1 (ICC about 0.100)."),
        ({"coach_sd": 1.0}, "level at follow-up with SD 1 (ICC about 0.100)."),
        ({"group_sd": 1.0, "change_sd": 2.0}, "Delivery groups differ in their members' level at follow-up with SD 1 (ICC about 0.071)."),
        ({"group_sd": 1.0, "covariates": {"old": 4.0}}, "with SD 1 (ICC about 0.071)."),
        ({"coach_sd": 1.0, "entry_sd": 9.0}, "with SD 1 (ICC about 0.100)."),
    ],
)  # fmt: skip
def test_intraclass_correlations_by_hand(keys: Data, sentence: str) -> None:
    assert sentence in flat(outcomes.outcomes(one_outcome(**keys)))


def test_recovery_widens_the_spread_at_the_last_visit() -> None:
    recovers = one_outcome(change_sd=1.0, recovery={"prob": {"m3": 0.5}, "drop": 4.0, "sd": 2.0})
    own = 0.5 * 1.0 + 0.5 * 4.0 + 0.25 * 16.0
    assert spread.at_last_visit(recovers, recovers.outcomes["pain"]) == pytest.approx(9.0 + own)


# --- arms -----------------------------------------------------------------------------------------------------------

GROUP = {"kind": "group", "modules": ["one", "two"], "size": 8, "facilitators": 3}


def of_group(*, arm: Data | None = None, **keys: Any) -> str:
    parts = {"groups": {"delivery": {**GROUP, **keys}, **(arm or {})}, "usual": usual()}
    return flat(arms.arms(World(design(arms=parts))))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "In groups that begin together: 2 sessions (one; two) of 90 minutes, every week."),
        ({}, "A group is made up when 8 participants wait, or when the first of them has waited 28 days."),
        ({"min_size": 5}, "has waited 28 days, if they are 5 or more by then."),
        ({"start_after_days": None}, "A group is made up when 8 participants wait, not before."),
        (
            {"intake_days": 7},
            "Groups are made up every 7 days from study day 0, of all who wait, with 8 participants at most.",
        ),
        ({"intake_days": 7, "min_size": 3}, "with 8 participants at most, if at least 3 wait."),
        ({"days_per_week": 5}, "of 90 minutes, on 5 days in a row every week."),
        ({"weeks_apart": 4}, "of 90 minutes, every 4 weeks."),
        ({"miss_prob": 0.1}, "A session is missed with a chance of 10% and not made up for."),
        ({}, "No session is missed by those who have not stopped."),
        ({}, "3 facilitators, one to a group: 3 groups at most run at once. A group keeps its team."),
        ({"facilitators_per_group": 2}, "3 facilitators, 2 to a group: 1 group at most runs at once."),
        ({"rooms": 2}, "one to a group, and 2 rooms: 2 groups at most run at once."),
        ({"staffing": "rotating"}, "With every session the teams move on to the next group (crossed)."),
        ({"by_site": True}, "wait for a group of their site, first come, first served, 365 days at most."),
        ({"by_site": True}, "At each site 3 facilitators, one to a group: 3 groups at most run at once. A group keeps"),
        ({"by_site": True, "staffing": "rotating"}, "the teams move on to the next group of the site (crossed)."),
        ({"referral_days": 0, "lead_days": 14}, "ask for a place on the day of randomization and wait, first come"),
        ({"components": {"yoga": {"sessions": [2], "attend_prob": 0.6}}}, "yoga 2 60%"),
    ],
)
def test_delivery_in_groups_is_said(keys: Data, sentence: str) -> None:
    assert sentence in of_group(**keys)


def test_weights_of_components_are_said_where_they_make_the_dose() -> None:
    components = {"yoga": {"attend_prob": 0.6, "weight": 2.0}}
    effects = {"pain": {"by_visit": {"m3": -1.0}}}
    weighed = of_group(components=components, arm={"dose": "components", "effects": effects})
    assert "weight in the dose" in weighed
    assert "yoga all 2 60% 2" in weighed
    assert "At full dose it changes pain by -1 points at m3. The effect grows with the components attended" in weighed
    assert "weight in the dose" not in of_group(components=components)


def test_starting_where_people_wait_for_a_group() -> None:
    assert "80% would start if a group were there at once." in of_group(arm={"start_prob": 0.8})


def test_cover_contamination_co_intervention_tapers_and_factors_are_said() -> None:
    outcome_parts = {"er": {**COUNT, "course": {}}, "opioid": {**DOSE, "course": {}}, "pain": score()}
    coach = {
        "effects": {"er": {"by_visit": {"m3": -0.22314}}, "pain": {"by_visit": {"m3": -1.0}}},
        "tapers": {"opioid": {"prob": 0.8, "days": 21}},
        "cost_per_start": 500.0,
    }
    other = {
        "contamination": {"arm": "coach", "prob": 0.1, "dose": 0.5},
        "co_intervention": {"prob": 0.2, "effects": {"pain": {"by_visit": {"m3": -0.5}, "sd": 0.3}}},
    }
    text = said(
        outcomes=outcome_parts,
        covariates={"opioids": {"kind": "binary", "prob": 0.3}},
        arms={"coach": coached(cover_prob=0.15, arm=coach), "usual": usual(**other)},
    )
    for sentence in (
        "With a chance of 15% another of the coaches, chosen by chance, holds a session.",
        "it changes er by -0.22314 points at m3 (x 0.80 at m3) and pain by -1 points at m3.",
        "It tapers opioid: 80% of the users who attend all of it are off it 21 days after the first session,",
        "Contamination: 10% of its participants have 50% of the full effect of coach too.",
        "20% of its participants have something else besides, which changes pain by -0.5 points at m3 (SD between",
        "participant in coach who starts 500",
    ):
        assert sentence in text


# --- allocation, clusters, changes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({"kind": "minimization", "strata": ["site", "old"]},
         "by minimization (Pocock and Simon): each participant goes with a chance of 80% to the arm that leaves the arms most "
         "alike in the range of their numbers among those of the participant's own level, added up over site (1); old (no, yes);"),
        ({"kind": "minimization", "strata": ["site", "old"], "weights": [3, 1], "imbalance": "variance"},
         "alike in the variance of their numbers among those of the participant's own level, added up over site (1), weight 3; "
         "old (no, yes), weight 1;"),
        ({"kind": "minimization", "strata": ["site"], "best_prob": 1.0}, "each participant goes for certain to the arm"),
        ({"kind": "minimization", "strata": ["site"], "ratio": {"coach": 2, "usual": 1}},
         "in the ratio 2:1, by minimization"),
        ({"kind": "minimization", "strata": ["site"], "ratio": {"coach": 2, "usual": 1}},
         "the ratio being made of 3 equal parts that count like arms"),
        ({"kind": "biased_coin", "coin_prob": 0.7}, "where an arm lags behind it has a chance of 70%"),
        ({"kind": "biased_coin", "strata": ["old"]}, "within 2 strata: old (no, yes)."),
        ({"kind": "urn", "balls": 2, "added": 1}, "begins with 2 balls for each part of the ratio and to which each draw adds 1 ball"),
        ({"kind": "urn"}, "not stratified."),
    ],
)  # fmt: skip
def test_ways_of_allocation_are_said(plan: Data, sentence: str) -> None:
    old = {"old": {"kind": "binary", "prob": 0.5}}
    assert sentence in flat(allocation.allocation(design(covariates=old, allocation={"ratio": EQUAL, **plan})))


def randomized_clusters(*, plan: Data | None = None, outcome: Data | None = None, **clusters: Any) -> Design:
    return design(
        recruitment={"sites": {"north": {"rate_per_month": 30.0}, "south": {"rate_per_month": 30.0}}},
        outcomes={"pain": score(cluster_sd=0.3, **(outcome or {}))},
        clusters={"per_site": 10, "label": "practices", **clusters},
        allocation={"kind": "clusters", "ratio": EQUAL, **(plan or {})},
    )


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({}, "Practices are randomized to coach and usual in the ratio 1:1, in numbers as even as can be within each site;"),
        ({"method": "simple"}, "in the ratio 1:1, each by chance alone; this is done before anybody is recruited"),
        ({"method": "matched", "balance": ["size", "pain"]},
         "within sets of 2 that are alike: at each site they are sorted by size, then pain;"),
        ({"method": "constrained", "balance": ["size", "site"], "candidates": 500},
         "constrained: of 500 random allocations with even numbers one of the 10% best balanced on size and site is drawn;"),
    ],
)  # fmt: skip
def test_randomizing_clusters_is_said(plan: Data, sentence: str) -> None:
    assert sentence in flat(allocation.allocation(randomized_clusters(plan=plan)))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "There are 20 practices, 10 at each of the 2 sites. Their expected sizes are equal, and which of a site's"),
        ({"per_site": {"north": 1, "south": 12}}, "There are 13 practices: 1 at north and 12 at south."),
        ({"label": "", "size_cv": 0.5}, "20 clusters, 10 at each of the 2 sites. Their expected sizes differ with a coefficient of variation of 0.5"),
        ({"recruitment": "even"}, "people are spread over a site's clusters as evenly as these allow."),
        ({"opening_days": 90}, "They open one after another, in random order, over 90 days from the site's opening;"),
        ({}, "All open with their site."),
        ({"selection": {"coach": {"prob": 0.5, "severity": 1.0}}},
         "50% of people at the mean level of pain are asked and agree, 84.1% of those one SD above it and 15.9% of those one SD"),
        ({"selection": {"coach": {"prob": 0.9}}}, "clusters of coach know the arm: 90% of people are asked and agree, whoever they are."),
    ],
)  # fmt: skip
def test_clusters_are_said(keys: Data, sentence: str) -> None:
    assert sentence in flat(allocation.clusters(randomized_clusters(**keys)))


COHORTS = {
    "kind": "cohorts",
    "ratio": {"coach": 1, "usual": 2},
    "tendency": {"baseline": {"pain": 0.2}, "motivation": -0.5},
}


def test_cohorts_are_nowhere_called_randomized() -> None:
    text = said(allocation=COHORTS, analyses={"main": {"kind": "linear", "outcome": "pain"}})
    assert "NOT randomized: coach and usual in the ratio 1:2 on average" in text
    assert "moved by pain at baseline (+0.2 probit units per point) and motivation (-0.5 probit units per SD)" in text
    assert text.count("Comparisons between the arms are confounded") == 2
    rest = text.replace("NOT randomized", "").replace("Nobody is randomized", "").replace("what randomizing would", "")
    assert re.findall(r"\w*andomi[sz]\w*", rest) == []
    assert "passing the last is being enrolled" in text
    assert re.search("andomized", said().replace("are randomized", ""))  # of a trial that does randomize


def test_participants_of_randomized_clusters_enrol() -> None:
    text = flat([*enrolment.timeline(randomized_clusters()), *enrolment.funnel(randomized_clusters())])
    assert "andomiz" not in text
    assert "Enrolment closes with the enrolment of 60 participants" in text


def test_changes_of_the_protocol_are_said() -> None:
    changes = [
        {"starts": "2024-06-01", "label": "two to one", "ratio": {"coach": 2, "usual": 1}},
        {"starts": 300, "reminders": {"m3": [0, 7]}, "answering": 0.5},
    ]
    text = flat(allocation.changes(design(changes=changes)))
    assert (
        "- From 1 June 2024 (day 152) on (two to one): those randomized from then on go to coach and usual in the ratio 2:1."
        in text
    )
    assert (
        "reminders of m3 on day 91, 98; the inclination to answer shifts by +0.5 probit units, in usual at m3 from 80% to 91.0%."
        in text
    )
    assert allocation.changes(design()) == []


def test_the_season_of_recruitment_is_said() -> None:
    recruitment = {"sites": {"north": {"rate_per_month": 30.0}}, "season": {"amplitude": 0.2, "peak_month": 3}}
    text = flat(enrolment.recruitment(design(recruitment=recruitment)))
    assert (
        "All rates rise and fall by 20% either way through the year, highest at the start of March. Rates are known"
        in text
    )


def test_dials_of_missing_data_are_said_and_classified() -> None:
    text = said(observation={"dials": {"mcar": 0.05, "mnar": 0.5, "arms": ["usual"]}})
    assert "On top of that, 5% of the answers are lost, whoever gives them; in usual of 80% who answer" in text
    assert "63.4% where pain at that visit is one SD higher left." in text
    assert "depends on the value itself: missing not at random." in text
