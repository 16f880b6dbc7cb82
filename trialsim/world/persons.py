"""Persons: who is contacted when, passes which steps of the funnel, and with which traits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.parts import Criterion, Step
from trialsim.world import formulas
from trialsim.world.draws import Draws
from trialsim.world.formulas import NEVER, Bools, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.traits import Rows, Traits, draw_traits
from trialsim.world.world import World


@dataclass(frozen=True)
class Persons:
    """Everybody who passes the leading steps, site after site; P rows, R replicates.

    `step_day[0]` is the day of contact, `step_day[1 + k]` the day of step k (passed or not). `lost_step` is the step
    that the person does not pass (number of steps: passes all), `lost_reason` the reason's place among that step's.
    """

    site: NDArray[np.int16]  # (P,)
    number: Ints  # (P,) screening number within the site
    step_day: Ints  # (n_steps + 1, P, R)
    lost_step: NDArray[np.int8]  # (P, R)
    lost_reason: NDArray[np.int8]  # (P, R)
    traits: Traits  # (P, R)
    last_contact_day: Ints  # (n_sites, R) contact day of each site's last row


def make_persons(world: World, draws: Draws, rows: Rows) -> Persons:
    """Draw the persons of a block of replicates."""
    site = np.repeat(np.arange(len(world.sites), dtype=np.int16), rows.per_site)
    number = np.concatenate([np.arange(n, dtype=np.int32) for n in rows.per_site])
    traits = draw_traits(world, draws, rows, site)
    lost_step, lost_reason = _losses(world, draws, rows, traits)
    contact = contact_days(world, draws, rows)
    ends = np.cumsum(rows.per_site)
    return Persons(
        site=site,
        number=number,
        step_day=_step_days(world, draws, rows, contact),
        lost_step=lost_step,
        lost_reason=lost_reason,
        traits=traits,
        last_contact_day=contact[ends - 1],
    )


# --- time of contact --------------------------------------------------------------------------------------------------


def cumulative_contacts(world: World, draws: Draws, site: int) -> Floats:
    """Expected contacts of a site before each study day, given its luck; shape (days + 1, R or 1)."""
    design, name = world.design, world.sites[site]
    rate = world.rates[site][:, None]
    if design.recruitment.month_cv > 0:
        month = (np.arange(len(rate)) / formulas.MONTH_DAYS).astype(int)
        luck = draws.uniform(Stream.MONTH_RATE, int(month[-1]) + 1, name)
        rate = rate * formulas.gamma_multiplier(luck, design.recruitment.month_cv)[month]
    if design.recruitment.site_cv > 0:
        luck = draws.uniform(Stream.SITE_RATE, 1, name)
        rate = rate * formulas.gamma_multiplier(luck, design.recruitment.site_cv)
    return np.concatenate([np.zeros((1, rate.shape[1])), np.cumsum(rate, axis=0)])


def contact_days(world: World, draws: Draws, rows: Rows) -> Ints:
    """Day of contact of each person, shape (P, R); NEVER for those after the last day or beyond the site's pool.

    Contacts that pass the leading steps are a thinned Poisson process: exponential gaps in operational time, turned
    into days by the inverse of the site's cumulative rate.
    """
    parts = []
    for site, n_rows in enumerate(rows.per_site):
        gaps = -np.log1p(-draws.uniform(Stream.ARRIVAL, n_rows, world.sites[site]))
        time = np.cumsum(gaps / world.lead_prob, axis=0) if world.lead_prob > 0 else np.full(gaps.shape, np.inf)
        days = _inverse(cumulative_contacts(world, draws, site), time)
        if world.design.recruitment.sites[world.sites[site]].pool is not None:
            days[_beyond_pool(world, draws, site, time)] = NEVER
        parts.append(days)
    return np.concatenate(parts)


def _inverse(cumulative: Floats, time: Floats) -> Ints:
    """Day on which operational time `time` is reached, replicate by replicate."""
    days = np.empty(time.shape[::-1], dtype=np.int32)
    limits = np.ascontiguousarray(cumulative[1:].T)
    for replicate, own in enumerate(np.ascontiguousarray(time.T)):
        days[replicate] = np.searchsorted(limits[replicate % len(limits)], own, side="right")
    days[days >= len(cumulative) - 1] = NEVER
    return np.ascontiguousarray(days.T)


def letters_up_to(world: World, draws: Draws, site: int, time: Floats) -> NDArray[np.int64]:
    """People contacted up to and including each person who passes the leading steps, shape of `time`.

    Between two of them the contacts that came to nothing are Poisson with mean (1 - p) times the gap. A gap that
    exhausts the site's pool many times over is cut: its length no longer matters (at p = 0 it has no end).
    """
    most = 10 * (world.design.recruitment.sites[world.sites[site]].pool or 0) + 1_000
    luck = draws.uniform(Stream.LETTERS, len(time), world.sites[site])
    gaps = np.minimum(np.diff(time, axis=0, prepend=0.0), most)
    fruitless = formulas.poisson_inverse(luck, (1 - world.lead_prob) * gaps)
    return np.cumsum(1 + fruitless, axis=0, dtype=np.int64)


def _beyond_pool(world: World, draws: Draws, site: int, time: Floats) -> Bools:
    pool = world.design.recruitment.sites[world.sites[site]].pool
    return letters_up_to(world, draws, site, np.minimum(time, 1e12)) > (pool or 0)


# --- funnel -----------------------------------------------------------------------------------------------------------


def _losses(world: World, draws: Draws, rows: Rows, traits: Traits) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """First step that each person does not pass, and the reason's place in the step's list."""
    shape = (rows.total, draws.n_replicates)
    lost_step = np.full(shape, len(world.steps), dtype=np.int8)
    lost_reason = np.full(shape, -1, dtype=np.int8)
    # From the last step back to the first: what comes earlier has the last word.
    for index in reversed(range(world.n_lead, len(world.steps))):
        name = world.steps[index]
        step = world.design.funnel[name]
        if step.prob < 1:
            uniform = rows.draw(draws, world, Stream.FUNNEL_CHANCE, name)
            fails = uniform >= step.prob
            lost_step = np.where(fails, np.int8(index), lost_step)
            lost_reason = np.where(fails, _reason_places(step, uniform), lost_reason)
        for place, (reason, criterion) in reversed(list(enumerate(step.criteria.items()))):
            fails = _fails(world, draws, rows, f"{name}: {reason}", criterion, traits)
            lost_step = np.where(fails, np.int8(index), lost_step)
            lost_reason = np.where(fails, np.int8(place), lost_reason)
    return lost_step, lost_reason


def _fails(world: World, draws: Draws, rows: Rows, key: str, criterion: Criterion, traits: Traits) -> Bools:
    if criterion.measure is None:
        uniform = rows.draw(draws, world, Stream.CRITERION_CHANCE, key)
        return uniform < (criterion.excluded_prob or 0.0)
    _, measured = traits.levels(world.outcomes.index(criterion.measure))
    if criterion.error_sd > 0:
        error = rows.draw(draws, world, Stream.CRITERION_ERROR, key, normal=True)
        error *= criterion.error_sd
        measured = measured + error
    fails = np.zeros(measured.shape, dtype=bool)
    if criterion.at_least is not None:
        fails |= measured < criterion.at_least
    if criterion.at_most is not None:
        fails |= measured > criterion.at_most
    return fails


def _reason_places(step: Step, uniform: Floats) -> NDArray[np.int8]:
    """Reason for loss by chance, from the same uniform: its place above `prob` is uniform again."""
    weights = np.array(list(step.losses.values()) or [1.0])
    limits = step.prob + (1 - step.prob) * np.cumsum(weights / weights.sum())
    places = np.full(uniform.shape, len(step.criteria), dtype=np.int8)
    for limit in limits[:-1]:
        places += uniform >= limit
    return places


def _step_days(world: World, draws: Draws, rows: Rows, contact: Ints) -> Ints:
    days = np.empty((len(world.steps) + 1, *contact.shape), dtype=np.int32)
    days[0] = contact
    for index, name in enumerate(world.steps):
        delay = world.design.funnel[name].delay
        uniform = rows.draw(draws, world, Stream.FUNNEL_DELAY, name) if delay.mean_extra > 0 else None
        np.add(days[index], formulas.delay_days(delay.days, delay.mean_extra, uniform), out=days[index + 1])
    return np.minimum(days, NEVER, out=days)
