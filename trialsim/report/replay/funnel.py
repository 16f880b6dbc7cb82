"""The way to randomization, day by day: how many have been contacted, have passed each step, or were lost and why."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.report.replay.story import Story

Counts = NDArray[np.int64]


def funnel_data(story: Story) -> dict[str, Any]:
    """Of all sites together the steps with their reasons, and for each count its increase on every day to the closing.

    At the closing the sums are exactly the table `funnel`. What is simulated person by person is exact on every day;
    those lost before anybody looks at them are a number at the closing, which is spread as expected over the days
    before (`spread` says whether there are such).
    """
    counts = {("contacted", "passed"): _contacted(story)}
    for index, step in enumerate(story.world.steps):
        counts[step, "passed"] = _passed(story, index)
        for place, reason in enumerate(story.world.reasons[index]):
            counts[step, reason] = _lost(story, index, place)
    steps = [
        {"name": step, "reasons": reasons} for step, reasons in zip(story.world.steps, story.world.reasons, strict=True)
    ]
    daily = [{"step": s, "reason": r, "n": np.diff(n, prepend=0).tolist()} for (s, r), n in counts.items()]
    return {"steps": steps, "days": story.closing_day + 1, "daily": daily, "spread": story.world.lead_prob < 1}


def _by_day(story: Story, days: NDArray[np.int32]) -> Counts:
    """Running numbers of those days, up to the closing."""
    n_days = story.closing_day + 1
    days = days[(days >= 0) & (days < n_days)]
    return np.bincount(days, minlength=n_days).cumsum()


def _contacted(story: Story) -> Counts:
    persons = story.trial.block.plan.cohort.persons
    early = [int(site.contacted[0]) for site in story.trial.block.fruitless]
    return _by_day(story, persons.step_day[0, :, 0]) + _spread(story, early, 0)


def _passed(story: Story, index: int) -> Counts:
    persons = story.trial.block.plan.cohort.persons
    if index == len(story.world.steps) - 1:
        return _by_day(story, story.of("randomized_day"))
    exact = _by_day(story, persons.step_day[index + 1, :, 0][persons.lost_step[:, 0] > index])
    if index >= story.world.n_lead:
        return exact
    return exact + _spread(story, [int(site.passed[index][0]) for site in story.trial.block.fruitless], index + 1)


def _lost(story: Story, index: int, place: int) -> Counts:
    if index < story.world.n_lead:
        return _spread(story, [int(site.lost[index][place][0]) for site in story.trial.block.fruitless], index + 1)
    persons = story.trial.block.plan.cohort.persons
    gone = (persons.lost_step[:, 0] == index) & (persons.lost_reason[:, 0] == place)
    return _by_day(story, persons.step_day[index + 1, :, 0][gone])


def _spread(story: Story, totals: list[int], decided: int) -> Counts:
    """Each site's total at the closing, spread over the days in proportion to what was expected by each.

    Given their number, the points of a Poisson process lie as its intensity says. `decided`: 0 for contacts, 1 + k for
    what is settled at leading step k.
    """
    total = np.zeros(story.closing_day + 1, dtype=np.int64)
    for site, n in enumerate(totals):
        expected = _expected(story, site, decided)
        if n:
            share = expected / expected[-1] if expected[-1] > 0 else np.ones(len(expected))
            total += np.floor(n * share + 0.5).astype(np.int64)
    return total


def _expected(story: Story, site: int, decided: int) -> NDArray[np.float64]:
    """Contacts of a site expected by each day to the closing, or those settled at a leading step by then."""
    world, persons = story.world, story.trial.block.plan.cohort.persons
    n_days = story.closing_day + 1
    rate = np.repeat(persons.rate[site, 0], np.diff(world.segments))[:n_days]
    if decided:
        rate = np.convolve(rate, np.diff(world.lead_delays[decided - 1], prepend=0.0))[:n_days]
    expected = rate.cumsum()
    pool = world.design.recruitment.sites[world.sites[site]].pool
    return expected if pool is None else np.minimum(expected, pool)
