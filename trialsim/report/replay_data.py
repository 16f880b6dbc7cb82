"""One simulated trial as data for the animation of the live page, made for JSON.

`replay_data(trial)` returns a dictionary. Days are study days (day 0 is `start_date`), -1 stands for what did not
happen or is not there. Arms, sites, visits, outcomes, steps and participants have the numbers of their lists, from 0,
as in the tables. A column of whole numbers that are all the same is given as that one number. N participants in order
of randomization, V visits, K outcomes, A arms.

    format          1
    design          name, title
    seed, replicate
    enrolled        'randomized', or 'enrolled' where persons are not
    warning         what must be known to read comparisons of cohorts; empty for trials that randomize
    start_date      ISO date of day 0
    first_day, last_day, closing_day, sample_size
    milestones      [{day, name, text}]
    sites           [name]
    arms            [{name, label, colour: number in the palette, kind: none | self_paced | individual | group,
                    modules: [name], places: [{capacity, joins, leaves}], by_site}]; `places` are coaches, or the teams
                    that lead one group at a time; `leaves` -1: stays
    clusters        [{name, site, arm, opens}]
    visits          [{name, label, questionnaire: words for it, day, opens, closes}]; day from randomization
    outcomes        [{name, label, kind, source, low, items, levels, has_baseline}]; a value is low + steps / items
    covariates      [{name, label, kind}]
    statuses        names of the codes of `status`; exits: names of `exit_kind`; reasons: names of `missing`
    people          columns of participants: site, number, cluster (or null), randomized_day, arm, coach, group,
                    asked_day, offered_day, released_day, n_sessions, status, ended_day, exit_day, exit_kind;
                    step_day: contact, then each step, (steps + 1, N); observed_day, missing, n_reminders, recorded
                    (whether records were read): (V, N) each; sessions: per participant the days from randomization of
                    each session that was due, -1 where it was not attended; calls: {participant: [days from
                    randomization]}; missed: {participant: [[days from randomization, session]]}; covariates: {name:
                    [N]}; baseline: (K, N) and value: (K, V, N) in steps, -1 where not observed
                    motivation [N] and truth {outcome, value: (A, V, N) in steps, sessions: (A, N)}: known only in a
                    simulation
    lost            columns of persons who were looked at and not randomized: n, site, contact_day, day, step, reason
    funnel          {steps: [{name, reasons}], days, daily: [{step, reason, n: [increase on each day to the closing]}],
                    spread: whether some counts are spread over the days (see `funnel_data`)}; the first is step
                    'contacted'; reason 'passed' or a reason of loss. Sums are those of the table `funnel`
    estimates       {days, note, contrasts: [{analysis, kind, contrast, arms: [first, second], visit, measure, level,
                    scale: linear | log, nothing: value of no effect or null, better: lower | higher | null, truth,
                    estimate, low, high, n_used: by day}]}; null where there is none yet. The last day's are exactly
                    those of `trialsim.analyse`
"""

from __future__ import annotations

from typing import Any

from trialsim.design.delivery import Group, Individual
from trialsim.design.outcomes import Ordinal
from trialsim.report.describe.phrases import confounded, entered
from trialsim.report.replay.funnel import funnel_data
from trialsim.report.replay.looks import estimates_data, headlines
from trialsim.report.replay.people import lost_data, people_data
from trialsim.report.replay.story import Story, story_of
from trialsim.report.replay.totals import Census
from trialsim.report.replay.words import questionnaire
from trialsim.trial import TrialData
from trialsim.world.formulas import LONG
from trialsim.world.histories import NONE, Status
from trialsim.world.places import coach_calendar

FORMAT = 1
COLOURS = 8
"""Colours of the palette."""


def replay_data(trial: TrialData, *, looks: int | None = None) -> dict[str, Any]:
    """One trial for the animation; `looks` days on which the estimate is worked out (default: by the kind of analysis).

    The format is described at the top of this module.
    """
    story = story_of(trial)
    design = story.design
    return {
        "format": FORMAT,
        "design": {"name": design.name, "title": design.title or design.name},
        "seed": story.trial.block.draws.seed,
        "replicate": story.trial.replicate,
        "enrolled": entered(design),
        "warning": confounded(design),
        "start_date": design.start_date.isoformat(),
        "first_day": story.first_day,
        "last_day": story.last_day,
        "closing_day": story.closing_day,
        "sample_size": design.sample_size,
        "milestones": [vars(milestone) for milestone in Census(story).milestones()],
        "sites": story.world.sites,
        "arms": [_arm(story, number) for number in range(len(story.world.arms))],
        "clusters": _clusters(story),
        "visits": [
            {
                "name": name,
                "label": visit.label or name,
                "questionnaire": questionnaire(visit.label or name),
                **visit.model_dump(include={"day", "opens", "closes"}),
            }
            for name, visit in design.visits.items()
        ],
        "outcomes": [_outcome(story, name) for name in story.world.outcomes],
        "covariates": [
            {"name": name, "label": covariate.label or name, "kind": covariate.kind}
            for name, covariate in design.covariates.items()
        ],
        "statuses": [status.name.lower().replace("_", " ") for status in Status],
        "exits": ["stays", "withdrew", "died"],
        "reasons": ["answered", "no answer", "withdrew", "died"],
        "people": people_data(story, _main_outcome(story)),
        "lost": lost_data(story),
        "funnel": funnel_data(story),
        "estimates": estimates_data(story, looks=looks),
    }


def _arm(story: Story, number: int) -> dict[str, Any]:
    name = story.world.arms[number]
    delivery = story.delivery(number)
    return {
        "name": name,
        "label": story.design.arms[name].label or name,
        "colour": number % COLOURS,
        "kind": delivery.kind,
        "modules": list(getattr(delivery, "modules", ())),
        "places": _places(story, number, delivery),
        "by_site": isinstance(delivery, Group) and delivery.by_site,
    }


def _places(story: Story, number: int, delivery: Any) -> list[dict[str, int]]:
    """Coaches, or teams that lead one group at a time."""
    if isinstance(delivery, Individual):
        calendar = zip(*coach_calendar(story.world, number), strict=True)
        return [
            {"capacity": n, "joins": joins, "leaves": NONE if leaves == LONG else leaves}
            for n, joins, leaves in calendar
        ]
    if isinstance(delivery, Group):
        teams = len(story.design.coaches(story.world.arms[number]))
        return [{"capacity": delivery.size, "joins": 0, "leaves": NONE}] * teams
    return []


def _clusters(story: Story) -> list[dict[str, Any]]:
    clusters = story.trial.block.plan.cohort.clusters
    if clusters is None:
        return []
    return [
        {
            "name": name,
            "site": int(clusters.site[k]),
            "arm": NONE if clusters.arm is None else int(clusters.arm[k, 0]),
            "opens": int(clusters.opens[k, 0]),
        }
        for k, name in enumerate(story.world.cluster_names)
    ]


def _outcome(story: Story, name: str) -> dict[str, Any]:
    outcome = story.design.outcomes[name]
    return {
        "name": name,
        "label": outcome.label or name,
        "kind": outcome.kind,
        "source": outcome.source,
        "low": outcome.low,
        "items": outcome.items,
        "levels": list(outcome.levels) if isinstance(outcome, Ordinal) else [],
        "has_baseline": outcome.has_baseline,
    }


def _main_outcome(story: Story) -> int:
    """Number of the outcome of the first headline; without one, the first."""
    for headline in headlines(story.design):
        return story.world.outcomes.index(story.design.analyses[headline.analysis].outcome)
    return 0
