"""Persons: who is contacted when, passes which steps of the funnel, and with which traits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from trialsim.design.allocation import Selection
from trialsim.design.parts import Criterion
from trialsim.world import formulas
from trialsim.world.clusters import Clusters, clusters_of_site
from trialsim.world.draws import Draws
from trialsim.world.formulas import NEVER, Bools, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.traits import Rows, Traits, draw_traits, latent_mean
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
    rate: Floats  # (n_sites, R or 1, n_segments), see `contact_rates`
    cluster: NDArray[np.int16] | None  # (P, R); none where the design has no clusters


def make_persons(world: World, draws: Draws, rows: Rows, clusters: Clusters | None) -> Persons:
    """Draw the persons of a block of replicates; most of it site by site, which keeps arrays near the processor."""
    site = np.repeat(np.arange(len(world.sites), dtype=np.int16), rows.per_site)
    rate = contact_rates(world, draws)
    shape = (rows.total, draws.n_replicates)
    step_day = np.empty((len(world.steps) + 1, *shape), dtype=np.int32)
    lost_step, lost_reason = np.empty(shape, dtype=np.int8), np.empty(shape, dtype=np.int8)
    for index, span in enumerate(rows.spans()):
        step_day[0, span] = _contact_days(world, draws, index, rate[index], span.stop - span.start)
        _add_delays(world, draws, index, step_day[:, span])
    cluster = None if clusters is None else _clusters(world, draws, clusters, rows, step_day[0])
    traits = draw_traits(world, draws, rows, site, cluster, {} if clusters is None else clusters.level)
    for index, span in enumerate(rows.spans()):
        lost_step[span], lost_reason[span] = _losses(world, draws, index, traits.part(span), clusters)
    return Persons(
        site=site,
        number=np.concatenate([np.arange(n, dtype=np.int32) for n in rows.per_site]),
        step_day=step_day,
        lost_step=lost_step,
        lost_reason=lost_reason,
        traits=traits,
        last_contact_day=step_day[0, np.cumsum(rows.per_site) - 1],
        rate=rate,
        cluster=cluster,
    )


def _clusters(world: World, draws: Draws, clusters: Clusters, rows: Rows, contact_day: Ints) -> NDArray[np.int16]:
    """Cluster of each person, (P, R)."""
    even = world.design.clusters is not None and world.design.clusters.recruitment == "even"
    cluster = np.empty(contact_day.shape, dtype=np.int16)
    for index, span in enumerate(rows.spans()):
        goes_on = None
        if even:
            n = span.stop - span.start
            goes_on = draws.uniform(Stream.FUNNEL_CHANCE, n, world.sites[index]) < world.chance_prob
        cluster[span] = clusters_of_site(world, draws, clusters, index, contact_day[span], goes_on)
    return cluster


# --- time of contact --------------------------------------------------------------------------------------------------


def contact_rates(world: World, draws: Draws) -> Floats:
    """Contacts expected per day at each site, given its luck, in each segment; (n_sites, R or 1, n_segments)."""
    recruitment, starts = world.design.recruitment, world.segments[:-1]
    rate = world.rates[:, None, starts]
    if recruitment.month_cv > 0:
        month = (starts / formulas.MONTH_DAYS).astype(int)
        luck = _multipliers(world, draws, Stream.MONTH_RATE, int(month[-1]) + 1, recruitment.month_cv)
        rate = luck[:, :, month] * rate
    if recruitment.site_cv > 0:
        rate = _multipliers(world, draws, Stream.SITE_RATE, 1, recruitment.site_cv) * rate
    return rate


def _multipliers(world: World, draws: Draws, stream: Stream, rows: int, cv: float) -> Floats:
    """Gamma variates of mean 1 and coefficient of variation cv, by site; (n_sites, R, rows)."""
    return np.stack([formulas.gamma_multiplier(draws.normal(stream, rows, site).T, cv) for site in world.sites])


def operational_time(world: World, draws: Draws, site: int, n_rows: int) -> Floats:
    """Contacts expected of a site, given its luck, before each of its persons is contacted; shape (n_rows, R).

    Contacts that pass the leading steps are a thinned Poisson process: exponential gaps of mean 1 / lead_prob.
    """
    gaps = formulas.exponential(draws.uniform(Stream.ARRIVAL, n_rows, world.sites[site]))
    if world.lead_prob == 0:
        return np.full(gaps.shape, np.inf)
    gaps /= world.lead_prob
    return np.cumsum(gaps, axis=0, out=gaps)


def _contact_days(world: World, draws: Draws, site: int, rate: Floats, n_rows: int) -> Ints:
    """Day of contact of a site's persons, shape (n_rows, R); NEVER after the last day or beyond the site's pool."""
    time = operational_time(world, draws, site, n_rows)
    days = _inverse(world, rate, time)
    if world.design.recruitment.sites[world.sites[site]].pool is not None:
        days[_beyond_pool(world, draws, site, time)] = NEVER
    return days


def _inverse(world: World, rate: Floats, time: Floats) -> Ints:
    """Day on which operational time `time` is reached, replicate by replicate.

    Within a segment the rate is constant, so straight lines between segments are exact. Times are in order, of which
    interpolation makes use: it is several times as fast as a search among days.
    """
    edges = world.segments.astype(float)
    expected = np.zeros((len(rate), len(edges)))
    np.cumsum(rate * np.diff(edges), axis=1, out=expected[:, 1:])
    days = np.empty(time.shape[::-1])
    for replicate, own in enumerate(np.ascontiguousarray(time.T)):
        days[replicate] = np.interp(own, expected[replicate % len(expected)], edges, right=NEVER)
    return days.T.astype(np.int32, order="C")


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


def _losses(
    world: World, draws: Draws, site: int, traits: Traits, clusters: Clusters | None
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """First step that each person of a site does not pass, and the reason's place in the step's list; (rows, R)."""
    places = [(step, place) for step, reasons in enumerate(world.reasons) for place in range(len(reasons))]
    # Reasons are ranked, the first highest, so that of several a person keeps the largest number; 0 passes all.
    kind = np.int8 if len(places) < 2**7 else np.int16
    ranks = {place: kind(len(places) - order) for order, place in enumerate(places)}
    lost = np.zeros((len(traits.site), draws.n_replicates), dtype=kind)
    failures = _failures(world, draws, site, traits)
    if clusters is not None and world.selects_by_arm:
        failures = chain(failures, [(places[-1], _not_selected(world, draws, site, traits, clusters))])
    for place, fails in failures:
        np.maximum(lost, fails.view(np.int8) * ranks[place], out=lost)
    steps, reasons = np.array([*places, (len(world.steps), -1)], dtype=np.int8).T[:, ::-1]
    return steps.take(lost), reasons.take(lost)


def _failures(world: World, draws: Draws, site: int, traits: Traits) -> Iterator[tuple[tuple[int, int], Bools]]:
    """Each (step, reason's place), and who would fail there, (rows, R); of reasons that hold, the first counts.

    One uniform decides on all losses by chance, as only the first matters: whose luck is at least the chance of
    passing a step and all before it is lost there, if not before.
    """
    luck = draws.uniform(Stream.FUNNEL_CHANCE, len(traits.site), world.sites[site])
    passing = 1.0
    for index in range(world.n_lead, len(world.steps)):
        step = world.design.funnel[world.steps[index]]
        for place, (reason, criterion) in enumerate(step.criteria.items()):
            if criterion.measure is None:
                passing *= 1 - (criterion.excluded_prob or 0.0)
                yield (index, place), luck >= passing
            else:
                key = f"{world.steps[index]}: {reason}"
                yield (index, place), _fails(world, draws, site, key, criterion, criterion.measure, traits)
        if step.prob < 1:
            weights = np.array(list(step.losses.values()) or [1.0])
            limits = passing * (1 - (1 - step.prob) * np.cumsum(weights / weights.sum()))
            limits[-1] = passing = passing * step.prob
            for place, limit in enumerate(limits, len(step.criteria)):
                yield (index, place), luck >= limit


def _fails(
    world: World, draws: Draws, site: int, key: str, criterion: Criterion, outcome: str, traits: Traits
) -> Bools:
    _, measured = traits.levels(world.outcomes.index(outcome))
    if criterion.error_sd > 0:
        error = draws.normal(Stream.CRITERION_ERROR, len(traits.site), world.sites[site], key)
        error *= criterion.error_sd
        error += measured
        measured = error
    low = -np.inf if criterion.at_least is None else criterion.at_least
    high = np.inf if criterion.at_most is None else criterion.at_most
    return np.asarray((measured < low) | (measured > high))


def _not_selected(world: World, draws: Draws, site: int, traits: Traits, clusters: Clusters) -> Bools:
    """Who is not asked, or does not agree, because of the arm of their cluster; (rows, R).

    Recruited with chance Phi(Phi^-1(prob) + severity x z), z the level at entry of the first outcome in SDs."""
    assert world.design.clusters is not None
    assert clusters.arm is not None
    outcome = world.design.outcomes[world.outcomes[0]]
    selection = [world.design.clusters.selection.get(arm, Selection()) for arm in world.arms]
    arm = clusters.arm[traits.cluster, np.arange(draws.n_replicates)]
    inclination = np.array([formulas.probit(s.prob) for s in selection])[arm]
    severity = np.array([s.severity for s in selection])
    if severity.any():
        _, entry = traits.levels(0)
        inclination += severity[arm] * ((entry - latent_mean(outcome)) / math.hypot(outcome.sd, outcome.entry_sd))
    return draws.normal(Stream.SELECTION, len(arm), world.sites[site]) >= inclination


def _add_delays(world: World, draws: Draws, site: int, days: Ints) -> None:
    """Fill in the days of steps from the day of contact (the first of `days`, (n_steps + 1, rows, R)) on."""
    for index, name in enumerate(world.steps):
        delay = world.design.funnel[name].delay
        luck = draws.uniform(Stream.FUNNEL_DELAY, days.shape[1], world.sites[site], name) if delay.mean_extra else None
        np.add(days[index], formulas.delay_days(delay.days, delay.mean_extra, luck), out=days[index + 1])
    np.minimum(days, NEVER, out=days)
