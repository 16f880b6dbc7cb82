"""What lessons tell a class is what simulation shows: the answer of every question, worked out anew.

Each check gives the number of the choice that the simulated trials support, or -1 where they support none. It has to be
the file's answer in the lesson's world, and another in a world that differs in what the question is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from helpers import Z
from scipy.stats import multivariate_normal, norm

from trialsim.experiments.decisions import Decided
from trialsim.experiments.performance import mean_with_error
from trialsim.teach.knobs import Value
from trialsim.teach.lessons import lessons
from trialsim.teach.questions import Question
from trialsim.teach.views import LESSONS
from trialsim.teach.views import multiplicity as many
from trialsim.teach.views import power_and_p as dance
from trialsim.teach.views import published_and_simulated as resolve
from trialsim.teach.views import regression_to_the_mean as rtm
from trialsim.teach.views import too_few_coaches as queue
from trialsim.teach.views.forty_percent_better import FALLS, POINTS, WORK
from trialsim.teach.views.samples import Given, Result, Sample, changed, sample

Values = Mapping[str, Value]
Check = Callable[..., int]
SEED = 11
NONE = -1
"""No choice is supported."""


# --- simulating and judging -------------------------------------------------------------------------------------------


def question(lesson: str, view: str, values: Values) -> Question:
    return lessons()[lesson].scene.question(view, values, seed=SEED)


def simulated(lesson: str, view: str, values: Values, n: int) -> dict[str, Sample]:
    """Replicates of every design that a view compares."""
    return _simulated(lesson, view, tuple(sorted(values.items())), n)


@cache
def _simulated(lesson: str, view: str, values: tuple[tuple[str, Value], ...], n: int) -> dict[str, Sample]:
    found: dict[str, Sample] = lessons()[lesson].scene.views[view].part(question(lesson, view, dict(values)), 0, n)
    assert next(iter(found.values())).n == n
    return found


def near(given: Given, value: float) -> bool:
    """Whether a number lies within Z Monte Carlo standard errors of a value."""
    return bool(abs(given[0] - value) <= Z * given[1])


def below(given: Given, value: float = 0.0) -> bool:
    """Whether a number is smaller than a value by more than Z Monte Carlo standard errors."""
    return bool(given[0] < value - Z * given[1])


def above(given: Given, value: float = 0.0) -> bool:
    return below((-given[0], given[1]), -value)


def chosen(*truths: bool) -> int:
    """The number of the only choice that holds; NONE where none or several do."""
    return truths.index(True) if sum(truths) == 1 else NONE


def nearest(given: Given, *values: float) -> int:
    """The number of the value that is nearest, if the Monte Carlo error leaves no doubt about it."""
    order = np.argsort(np.abs(np.array(values) - given[0]))
    middle = (values[order[0]] + values[order[1]]) / 2
    return int(order[0]) if below(given, middle) or above(given, middle) else NONE


def difference(first: np.ndarray, second: np.ndarray) -> Given:
    """Mean of second minus first over replicates on the same luck, and its error."""
    return mean_with_error(np.asarray(second, dtype=float) - np.asarray(first, dtype=float))[:2]


def se_gap(first: Result, second: Result) -> Given:
    """Mean difference of stated standard errors."""
    return difference(first.column("std_error"), second.column("std_error"))


def width(result: Result) -> Given:
    return mean_with_error(result.column("ci_high") - result.column("ci_low"))[:2]


# --- why randomize ----------------------------------------------------------------------------------------------------


def cohorts(values: Values, n: int = 160) -> dict[tuple[str, str], Result]:
    samples = simulated("why_randomize", "cohorts", values, n)
    return {(who, how): samples[who].result(how) for who in samples for how in ("plain", "adjusted")}


def pain_drives(values: Values) -> int:
    bias = cohorts(values)["chosen", "plain"]["bias"]
    return chosen(below(bias), near(bias, 0), above(bias))


def adjusted_for_pain(values: Values) -> int:
    bias = cohorts(values)["chosen", "adjusted"]["bias"]
    return chosen(not near(bias, 0), near(bias, 0))


def motivation_drives(values: Values) -> int:
    bias = cohorts(values)["chosen", "adjusted"]["bias"]
    return chosen(near(bias, 0), below(bias), above(bias))


def larger_study(values: Values) -> int:
    few, many_people = (cohorts({**values, "n": n}, 96)["chosen", "adjusted"] for n in (400, values["n"]))
    gap = (few["bias"][0] - many_people["bias"][0], float(np.hypot(few["bias"][1], many_people["bias"][1])))
    stays = near(gap, 0) and not near(few["bias"], 0)
    surer = below(se_gap(few, many_people)) and many_people["coverage"][0] < few["coverage"][0]
    return chosen(abs(many_people["bias"][0]) < abs(few["bias"][0]) and not stays, stays and surer)


def a_coin_decides(values: Values, *, who: str = "randomized") -> int:
    found = cohorts(values)
    coin, exact = found[who, "plain"], found[who, "adjusted"]
    fair = near(coin["bias"], 0) and near(coin["coverage"], 0.95)
    if not below(se_gap(coin, exact)):  # adjusting makes it more exact
        return NONE
    return chosen(False, fair, not fair)


# --- regression to the mean -------------------------------------------------------------------------------------------


def nothing_happens(values: Values) -> int:
    fall = simulated("regression_to_the_mean", "parts", values, 64)["whole"].mean(rtm.USUAL)
    return chosen(near(fall, 0), below(fall), above(fall))


def stricter(values: Values) -> int:
    samples = simulated("regression_to_the_mean", "thresholds", values, 48)
    low, middle, high = (samples[at].values[rtm.USUAL] for at in ("0", "4", "7"))
    rises = below(difference(low, middle)) and below(difference(middle, high))
    return chosen(False, rises, near(difference(low, high), 0))


def between_arms(values: Values, *, arm: str = "") -> int:
    """The true difference between arms by threshold; of one arm's change in its place, if it is named."""
    samples = simulated("regression_to_the_mean", "thresholds", values, 48)
    at = [samples[f"{threshold:g}"] for threshold in rtm.THRESHOLDS]
    if not all(near(one.result("change")["bias"], 0) for one in at):
        return NONE
    ends = [one.mean(arm)[0] if arm else one.result("change")["truth"][0] for one in (at[0], at[-1])]
    return chosen(ends[1] < ends[0] - 0.05, ends[1] > ends[0] + 0.05, abs(ends[1] - ends[0]) <= 0.05)


def share_of_fall(values: Values) -> int:
    samples = simulated("regression_to_the_mean", "parts", values, 64)
    whole, without = samples["whole"].values[rtm.ONLINE], samples["course"].values[rtm.ONLINE]
    return nearest(mean_with_error((whole - without) / whole.mean())[:2], 1, 1 / 3, 1 / 10)


def no_spells(values: Values) -> int:
    still, spells = (
        simulated("regression_to_the_mean", "parts", {**values, "passing": sd}, 64)["whole"].values[rtm.USUAL]
        for sd in (values["passing"], 1.2)
    )
    return nearest(mean_with_error(still / spells.mean())[:2], 1, 0.5, 0)


# --- power and p ------------------------------------------------------------------------------------------------------


def trials(values: Values, n: int = 400) -> Result:
    return simulated("power_and_p", "dance", values, n)["trial"].result("change")


def hundred_trials(values: Values) -> int:
    if not (near(trials(values)["coverage"], 0.95)):
        return NONE
    return nearest(trials(values)["power"], 0.95, 0.80, 0.40, 0.05)


def next_one(values: Values, *, repeats: int = 1) -> int:
    """How often p is below 0.05 where that of the trial before was between 0.01 and 0.05."""
    result = trials(values, 800)
    p = np.repeat(result.column("p_value"), repeats)
    after = (p[1:] < 0.05)[(p[:-1] > 0.01) & (p[:-1] < 0.05)]
    error = float(np.hypot(np.sqrt(after.mean() * (1 - after.mean()) / len(after)), result["power"][1]))
    again, power = (float(after.mean()), error), result["power"][0]
    return chosen(near(again, 0.97), near(again, 0.95) and not near(again, 0.97), near(again, power))


def under_the_null(values: Values) -> int:
    p = trials(values).column("p_value")
    share = np.histogram(p, bins=20, range=(0, 1))[0] / len(p)
    flat = bool(np.all(np.abs(share - 0.05) <= Z * np.sqrt(0.05 * 0.95 / len(p))))
    return chosen(share[-1] > 0.5, share[9] + share[10] > 0.5, flat)


def only_published(values: Values) -> int:
    result = trials(values, 800)
    if not (near(result["bias"], 0)):
        return NONE
    return nearest(dance.exaggeration(result), 1, 0.5, 2)


def four_times(values: Values, *, sizes: tuple[int, int] = (100, 400)) -> int:
    few, many_people = (width(trials({**values, "n": n})) for n in sizes)
    ratio = many_people[0] / few[0]
    return nearest((ratio, ratio * float(np.hypot(few[1] / few[0], many_people[1] / many_people[0]))), 0.25, 0.5, 1)


# --- who took it ------------------------------------------------------------------------------------------------------


def ways(values: Values, n: int = 120) -> dict[str, Result]:
    trial = simulated("itt_and_compliers", "ways", values, n)["trial"]
    names = ("intention_to_treat", "per_protocol", "as_treated", "complier")
    return {name: trial.result(name) for name in names}


def as_randomized(values: Values) -> int:
    result = ways(values)["intention_to_treat"]
    if not (near(result["bias"], 0)):
        return NONE
    mean, error = result["mean estimate"]
    return nearest((-mean, error), 1, 0.6, 0.4)


def who_attended(values: Values) -> int:
    bias = ways(values)["per_protocol"]["bias"]
    return chosen(near(bias, 0), below(bias), above(bias))


def what_they_took(values: Values) -> int:
    found = ways(values)
    gap = difference(found["per_protocol"].column("estimate"), found["as_treated"].column("estimate"))
    wrong = not near(found["as_treated"]["bias"], 0)
    return chosen(wrong and above(gap), wrong and below(gap), not wrong)


def price_of_the_coin(values: Values) -> int:
    found = ways(values)
    offered, attending = found["intention_to_treat"], found["complier"]
    if not (near(attending["bias"], 0)):
        return NONE
    wider = width(attending)[0] > 1.3 * width(offered)[0]
    alike = near(difference(offered.column("significant"), attending.column("significant")), 0)
    return chosen(not wider, wider and alike, not alike)


def without_motivation(values: Values) -> int:
    found = ways(values)
    right = all(near(found[name]["bias"], 0) for name in ("per_protocol", "as_treated"))
    itt = near(found["intention_to_treat"]["bias"], 0)
    return chosen(right and itt, not right and itt, not itt)


# --- missing data -----------------------------------------------------------------------------------------------------


def answered(values: Values, analysis: str, n: int = 128) -> Result:
    return simulated("missing_data", "methods", values, n)["trial"].result(analysis)


def lost_by_luck(values: Values) -> int:
    left, before = (answered(one, "complete_cases") for one in (values, {}))
    right, less = near(left["bias"], 0), above(se_gap(before, left))
    return chosen(not right, right and less, right and not less)


def last_answer_decides(values: Values) -> int:
    bias = answered(values, "complete_cases")["bias"]
    return chosen(below(bias), near(bias, 0), above(bias))


def imputed(values: Values, analysis: str) -> Result:
    return simulated("missing_data", "imputation", values, 24)["trial"].result(analysis)


def said_before(values: Values) -> int:
    mmrm, filled = (near(imputed(values, name)["bias"], 0) for name in ("mmrm", "imputed"))
    return chosen(mmrm and filled, not mmrm and not filled, filled and not mmrm)


def pain_now_decides(values: Values) -> int:
    biases = [imputed(values, name)["bias"] for name in ("complete_cases", "mmrm", "imputed")]
    right = [near(bias, 0) for bias in biases]
    return chosen(not right[0] and all(right[1:]), all(map(below, biases)), all(map(above, biases)))


def can_data_tell(values: Values) -> int:
    """With so many points added to what is imputed the truth is met; without knowing the truth nobody knows how many."""
    results = [one.result("imputed") for one in simulated("missing_data", "sensitivity", values, 24).values()]
    first, last = (result["mean estimate"] for result in results)
    truth = results[0]["truth"][0]
    crosses = below(first, truth) and above(last, truth)
    return chosen(False, near(first, truth), crosses)


# --- clusters and coaches ---------------------------------------------------------------------------------------------


@cache
def _errs(asked: Question, analysis: str, n: int) -> Given:
    """Share of p below 0.05, by one of the analyses alone: that is quicker."""
    design = lessons()[asked.scene].scene.views[asked.view].design(asked)
    alone = design.model_copy(update={"analyses": {analysis: design.analyses[analysis]}})
    return sample(alone, seed=SEED, first=0, n=n).result(analysis)["power"]


def errs(values: Values, analysis: str, view: str = "clinics", n: int = 400) -> Given:
    return _errs(question("clusters_and_coaches", view, values), analysis, n)


def forgetting(values: Values) -> int:
    if not near(errs(values, "means", n=800), 0.05):
        return NONE
    return nearest(errs(values, "people", n=800), 0.05, 0.15, 0.5)


def when_right(values: Values) -> int:
    """At the ICC on the slider, with many or few people in each clinic."""
    held = {k: near(errs({**values, "clinics": k}, "people"), 0.05) for k in (4, 12)}
    return chosen(held[4] and not held[12], all(held.values()), not any(held.values()))


def more_people(values: Values) -> int:
    """The effect is the same, so what has the smaller standard error has more power."""
    samples = simulated("clusters_and_coaches", "more", values, 120)
    now, people, clinics = (samples[name].result("means") for name in ("trial", "people", "clinics"))
    if not (below(se_gap(now, people)) and below(se_gap(now, clinics))):
        return NONE
    gap = se_gap(people, clinics)
    return chosen(above(gap), below(gap), near(gap, 0))


def few_clinics(values: Values) -> int:
    robust = errs(values, "robust")
    if not (near(errs(values, "means"), 0.05)):
        return NONE
    return chosen(near(robust, 0.05), above(robust, 0.05), below(robust, 0.05))


def few_coaches(values: Values) -> int:
    people = errs(values, "people", "coaches")
    return chosen(near(people, 0.05), above(people, 0.05), below(people, 0.05))


# --- too few coaches --------------------------------------------------------------------------------------------------


def coached(values: Values, n: int = 64) -> Sample:
    return simulated("too_few_coaches", "trial", values, n)["trial"]


def effect_at(values: Values, visit: str) -> float:
    return coached(values).result("change", visit=visit)["truth"][0]


def how_many(values: Values) -> int:
    """The first number of coaches with which the mean wait is below a week."""
    waits = [coached({**values, "coaches": k}).mean(queue.WAIT) for k in (1, 2, 3, 6)]
    enough = [below(wait, 7) for wait in waits]
    return enough.index(True) if all(enough) == enough[0] or True in enough else NONE


def one_coach(values: Values) -> int:
    share = effect_at(values, "m3") / effect_at({**values, "coaches": 6}, "m3")
    return chosen(share > 0.9, 0.4 < share < 0.6, share < 1 / 3)


def a_year_later(values: Values) -> int:
    near_by, far = (effect_at(values, visit) / effect_at({**values, "coaches": 6}, visit) for visit in ("m3", "m12"))
    if not (near_by < 0.9):  # otherwise nobody has waited
        return NONE
    return chosen(far < 0.97, 0.97 <= far <= 1.03, far > 1.03)


def doubled(values: Values) -> int:
    few, many_people = (
        coached({**values, "n": n}, 400).result("change", visit="m3").column("significant") for n in (240, 480)
    )
    gap = difference(few, many_people)
    return chosen(above(gap), near(gap, 0), below(gap))


# --- many comparisons -------------------------------------------------------------------------------------------------


def decided(values: Values, view: str = "procedures", n: int = 480) -> tuple[Question, dict[str, Decided]]:
    asked = question("multiplicity", view, values)
    design = lessons()["multiplicity"].scene.views[view].design(asked)
    return asked, many.decided(asked, simulated("multiplicity", view, values, n)["trial"], design)


def false_claims(values: Values, view: str = "procedures", n: int = 480) -> dict[str, Given]:
    asked, made = decided(values, view, n)
    return many.errors_of(asked, made)


def two_chances(values: Values) -> int:
    """One test errs in 5 %; either of two that share an arm in 9.05 % (tests with correlation 1/2)."""
    _, made = decided(values, n=600)
    first, either = made["none"].rejected[:, 0], made["none"].rejected.max(axis=1)
    if not near(mean_with_error(first)[:2], 0.05):
        return NONE
    more, found = above(difference(first, either)), false_claims(values, n=600)["none"]
    limit = norm.ppf(0.975)
    both = multivariate_normal(mean=[0, 0], cov=[[1, 0.5], [0.5, 1]])
    inside = both.cdf([limit, limit], lower_limit=[-limit, -limit])
    return chosen(not more, more and near(found, 1 - inside), near(found, 0.2))


def within_five(values: Values, *, instead: str = "") -> int:
    found = false_claims(values)
    held = {name: not above(found[instead or name], 0.05) for name in ("bonferroni", "holm", "hochberg", "lsd")}
    if not above(found["none"], 0.05):
        return NONE
    return chosen(held["bonferroni"] and sum(held.values()) == 1, all(held.values()), not any(held.values()))


def least_power(values: Values) -> int:
    _, made = decided(values)
    places = {name: [h.contrast for h in made[name].hypotheses].index("web - usual") for name in made}
    hits = {name: made[name].favourable[:, places[name]] for name in ("holm", "bonferroni", "hochberg")}
    lower = [above(difference(hits["bonferroni"], hits[name])) for name in ("holm", "hochberg")]
    if not (np.all(hits["holm"] >= hits["bonferroni"])):
        return NONE
    if not (np.all(hits["hochberg"] >= hits["holm"])):
        return NONE
    return chosen(False, all(lower), False)


def one_works(values: Values, *, procedure: str = "lsd") -> int:
    lsd = false_claims(values)[procedure]
    return chosen(not above(lsd, 0.05), above(lsd, 0.05) and not near(lsd, 0.10), above(lsd, 0.05) and near(lsd, 0.10))


def eight_tests(values: Values) -> int:
    return nearest(false_claims(values, "looks", 600)["none_2"], 0.05, 0.10, 0.25, 1)


# --- published and simulated ------------------------------------------------------------------------------------------


def met(values: Values, world: str = "resolve", view: str = "fitted", n: int = 10) -> dict[str, float]:
    """Share of the held values of each sort that lie inside their range."""
    asked = question("published_and_simulated", view, values)
    designs = resolve.both(asked) if view == "worlds" else resolve.one(asked)
    if world == "wrong":
        design = changed(resolve.other(), {"outcomes.severity.course": {"m3": 0.0, "m6": 0.0, "m12": 0.0}})
        seen = resolve.simulated(asked, world, design, 0, n)
    else:
        design, seen = designs[world], simulated("published_and_simulated", view, values, n)[world]
    found = resolve.findings(design, seen, SEED)
    return {sort: float(np.mean([one.inside for one in resolve.held(found, sort)])) for sort in resolve.SORTS}


def fitted_is_met(values: Values) -> int:
    """What it shows is a matter of words; that fitted values are met is what is checked."""
    return chosen(False, met(values)["fitted"] > 0.95, False)


def predicted_is_met(values: Values) -> int:
    share = met(values)["predicted"]
    return chosen(share > 0.85, 0.35 < share < 0.65, share < 0.15)


def wrong_effect(values: Values) -> int:
    share = 1 - met(values)["predicted"]
    return chosen(share < 0.1, 0.2 < share < 0.5, share > 0.8)


def another_world(values: Values, *, worlds: tuple[str, str] = ("first", "second")) -> int:
    both = all(share > 0.92 for world in worlds for share in met(values, world, "worlds", 10).values())
    samples = simulated("published_and_simulated", "worlds", values, 10)
    regress = [mean_with_error(samples[f"{world}_still"].values[resolve.USUAL])[:2] for world in ("first", "second")]
    if not (below(regress[0], -0.05) and above(regress[1], -0.05)):
        return NONE
    return chosen(not both, False, both)


# --- 40 % better ------------------------------------------------------------------------------------------------------


def forty(values: Values, view: str, n: int) -> dict[str, Sample]:
    return simulated("forty_percent_better", view, values, n)


def share_of_forty(values: Values) -> int:
    samples = forty(values, "waterfall", 32)
    names = list(samples)
    last, before = (samples[name].values[POINTS] for name in names[:-3:-1])
    whole = samples["whole"].values[POINTS]
    if names[-1] != "effect of the programme":
        return NONE
    return nearest(mean_with_error((before - last) / whole.mean())[:2], 1, 0.5, 1 / 6)


def refused(values: Values) -> int:
    return nearest(forty(values, "reported", 32)["series"].mean(FALLS["usual"]), 0, -5, -30)


def after_surgery(values: Values, *, truth: str = "truth/surgery") -> int:
    series = forty(values, "work", 32)["series"].values
    seen = difference(series[WORK["usual"]], series[WORK["surgery"]])
    true = difference(series["truth/usual"], series[truth])
    return chosen(below(true, -1), below(seen, -3) and near(true, 0), False)


def randomized(values: Values) -> int:
    result = forty(values, "randomized", 96)["trial"].result("pain")
    if not (near(result["bias"], 0)):
        return NONE
    return nearest((-result["mean estimate"][0], result["mean estimate"][1]), 2.8, 1.0, 0.5)


def another_way(values: Values) -> int:
    fall = forty(values, "waterfall", 32)["whole"].mean(FALLS["cprp"])
    return chosen(below(fall, -44), near(fall, -40) or -43 < fall[0] < -37, above(fall, -36))


# --- every question ---------------------------------------------------------------------------------------------------

CLAIMS: dict[tuple[str, int], tuple[Check, Values]] = {
    ("why_randomize", 1): (pain_drives, {"severity": 0.0}),
    ("why_randomize", 2): (adjusted_for_pain, {"motivation": 0.6}),
    ("why_randomize", 3): (motivation_drives, {"motivation": 0.0}),
    ("why_randomize", 4): (larger_study, {"motivation": 0.0}),
    ("why_randomize", 5): (a_coin_decides, {}),
    ("regression_to_the_mean", 1): (nothing_happens, {"threshold": 0.0}),
    ("regression_to_the_mean", 2): (stricter, {"passing": 0.0}),
    ("regression_to_the_mean", 3): (between_arms, {}),
    ("regression_to_the_mean", 4): (share_of_fall, {"threshold": 0.0, "course": 0.0}),
    ("regression_to_the_mean", 5): (no_spells, {"passing": 1.2}),
    ("power_and_p", 0): (hundred_trials, {"effect": 0.0}),
    ("power_and_p", 1): (next_one, {}),
    ("power_and_p", 2): (under_the_null, {"effect": -0.5}),
    ("power_and_p", 3): (only_published, {"n": 400}),
    ("power_and_p", 4): (four_times, {}),
    ("itt_and_compliers", 1): (as_randomized, {"start": 95}),
    ("itt_and_compliers", 2): (who_attended, {"motivation": 0.0}),
    ("itt_and_compliers", 3): (what_they_took, {"motivation": 0.0}),
    ("itt_and_compliers", 4): (price_of_the_coin, {"start": 95}),
    ("itt_and_compliers", 5): (without_motivation, {"motivation": -0.6}),
    ("missing_data", 1): (lost_by_luck, {"mnar": 1.5}),
    ("missing_data", 2): (last_answer_decides, {"mar": 0.0}),
    ("missing_data", 3): (said_before, {"mar": 0.0, "mnar": 1.5}),
    ("missing_data", 4): (pain_now_decides, {"mnar": 0.0, "mar": 1.5}),
    ("missing_data", 5): (can_data_tell, {"mnar": 0.0}),
    ("clusters_and_coaches", 1): (forgetting, {"icc": 0.0}),
    ("clusters_and_coaches", 2): (when_right, {"icc": 0.05}),
    ("clusters_and_coaches", 3): (more_people, {"icc": 0.0}),
    ("clusters_and_coaches", 4): (few_clinics, {"clinics": 40}),
    ("clusters_and_coaches", 5): (few_coaches, {"icc": 0.0}),
    ("too_few_coaches", 1): (how_many, {"rate": 10}),
    ("too_few_coaches", 2): (one_coach, {"coaches": 2}),
    ("too_few_coaches", 3): (a_year_later, {"coaches": 1}),
    ("too_few_coaches", 4): (doubled, {"coaches": 3}),
    ("multiplicity", 0): (two_chances, {"therapist": -0.5}),
    ("multiplicity", 1): (within_five, {}),
    ("multiplicity", 2): (least_power, {"web": 0.0}),
    ("multiplicity", 3): (one_works, {"therapist": 0.0}),
    ("multiplicity", 4): (eight_tests, {"therapist": -0.3}),
    ("published_and_simulated", 1): (fitted_is_met, {"coach": 0.0}),
    ("published_and_simulated", 2): (predicted_is_met, {"coach": 0.0}),
    ("published_and_simulated", 3): (wrong_effect, {"coach": 1.0}),
    ("published_and_simulated", 4): (another_world, {}),
    ("forty_percent_better", 1): (share_of_forty, {"effect": -2.1}),
    ("forty_percent_better", 2): (refused, {"passing": 0.0}),
    ("forty_percent_better", 3): (after_surgery, {}),
    ("forty_percent_better", 4): (randomized, {"effect": -1.2}),
    ("forty_percent_better", 5): (another_way, {"effect": -0.5}),
}
"""By lesson and step: how the answer is found, and what to change so that it is no longer the answer; nothing where no
knob can do it: `TAMPERED` shows that those checks can fail too."""

TAMPERED: dict[tuple[str, int], dict[str, Any]] = {
    ("why_randomize", 5): {"who": "chosen"},
    ("regression_to_the_mean", 3): {"arm": rtm.USUAL},
    ("power_and_p", 1): {"repeats": 2},
    ("power_and_p", 4): {"sizes": (100, 100)},
    ("multiplicity", 1): {"instead": "none"},
    ("multiplicity", 3): {"procedure": "none"},
    ("published_and_simulated", 4): {"worlds": ("first", "wrong")},
    ("forty_percent_better", 3): {"truth": WORK["surgery"]},
}
"""Data in place of those that a claim is about: those who chose in place of the randomized, one arm in place of the
difference, every trial twice, no more people, no correction (where nothing works at all), a world that was not fitted,
what is seen in place of the truth."""


def step_values(lesson: str, step: int) -> dict[str, Any]:
    return dict(lessons()[lesson].data()["steps"][step]["values"])


def answer_of(lesson: str, step: int) -> int:
    quiz = lessons()[lesson].file.steps[step].question
    assert quiz is not None
    return quiz.answer


def test_every_question_has_its_check_and_every_check_a_world_in_which_it_fails() -> None:
    asked = [(name, i) for name in LESSONS for i, step in enumerate(lessons()[name].file.steps) if step.question]
    assert sorted(CLAIMS) == sorted(asked)
    assert {key for key, (_, wrong) in CLAIMS.items() if not wrong} <= set(TAMPERED)


@pytest.mark.parametrize(("lesson", "step"), CLAIMS, ids=str)
def test_the_answer_of_the_file_is_what_simulation_shows(lesson: str, step: int) -> None:
    check, _ = CLAIMS[lesson, step]
    assert check(step_values(lesson, step)) == answer_of(lesson, step)


@pytest.mark.parametrize(("lesson", "step"), CLAIMS, ids=str)
def test_in_another_world_the_same_check_finds_something_else(lesson: str, step: int) -> None:
    check, wrong = CLAIMS[lesson, step]
    tampered = TAMPERED.get((lesson, step), {})
    assert check({**step_values(lesson, step), **wrong}, **tampered) != answer_of(lesson, step)
