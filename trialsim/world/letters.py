"""Contacts that came to nothing: counted, not simulated one by one (thinning a Poisson process is exact)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialsim.world import formulas
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats, Ints
from trialsim.world.persons import Persons, cumulative_contacts, letters_up_to
from trialsim.world.streams import Stream
from trialsim.world.world import World


@dataclass(frozen=True)
class Fruitless:
    """People contacted at one site until enrolment closed who are, or will be, lost in a leading step; (R,) counts."""

    contacted: Ints
    passed: list[Ints]  # by leading step: those who had passed it by closing
    lost: list[list[Ints]]  # by leading step and reason: those who had been lost by closing


def fruitless_contacts(world: World, draws: Draws, persons: Persons, closing_day: Ints) -> list[Fruitless]:
    """The people lost in leading steps, site by site. Losing somebody takes the step's delay, as passing does."""
    return [_at_site(world, draws, persons, site, closing_day) for site in range(len(world.sites))]


def _at_site(world: World, draws: Draws, persons: Persons, site: int, closing_day: Ints) -> Fruitless:
    contacted = _lost(world, draws, persons, site, closing_day)
    decided = _decided(world, draws, site, closing_day)
    passed = [np.zeros_like(contacted) for _ in range(world.n_lead)]
    lost: list[list[Ints]] = []
    for step, destined in enumerate(_split(world, draws, site, contacted)):
        lost.append([])
        for place, people in enumerate(destined):
            for before in range(step + 1):
                name = world.steps[step]
                luck = draws.uniform(Stream.LETTERS_DECIDED, 1, world.sites[site], name, place, world.steps[before])[0]
                people = formulas.binomial_inverse(luck, people, decided[before])
                if before < step:
                    passed[before] = passed[before] + people
            lost[-1].append(people)
    return Fruitless(contacted, passed, lost)


def _decided(world: World, draws: Draws, site: int, closing_day: Ints) -> list[Floats]:
    """Chance that a contact's leading step is decided by closing, given that the step before is; (R,) each.

    A contact's day has the density of the site's rate up to closing; the delays' distribution is added to it.
    """
    rate = np.diff(cumulative_contacts(world, draws, site), axis=0)
    shares = []
    for cdf in world.lead_delays:
        done = np.zeros(len(closing_day))
        for replicate, last in enumerate(closing_day.tolist()):
            own = rate[: last + 1, replicate % rate.shape[1]]
            total = own.sum()
            done[replicate] = own @ cdf[last::-1][: len(own)] / total if total > 0 else 0.0
        shares.append(done)
    before = [np.ones(len(closing_day)), *shares][: len(shares)]
    return [
        np.divide(now, earlier, out=np.zeros_like(now), where=earlier > 0)
        for now, earlier in zip(shares, before, strict=True)
    ]


def _lost(world: World, draws: Draws, persons: Persons, site: int, closing_day: Ints) -> Ints:
    """Number contacted at one site who do not pass all leading steps, (R,): Poisson, or what the pool leaves."""
    replicates = np.arange(len(closing_day))
    cumulative = cumulative_contacts(world, draws, site)
    column = replicates if cumulative.shape[1] > 1 else 0 * replicates
    sent = cumulative[np.minimum(closing_day + 1, len(cumulative) - 1), column]
    luck = draws.uniform(Stream.LETTERS_REST, 1, world.sites[site])[0]
    pool = world.design.recruitment.sites[world.sites[site]].pool
    if pool is None:
        return formulas.poisson_inverse(luck, (1 - world.lead_prob) * sent)
    return _lost_with_pool(world, draws, persons, site, closing_day, sent, luck, pool)


def _lost_with_pool(
    world: World, draws: Draws, persons: Persons, site: int, closing_day: Ints, sent: Floats, luck: Floats, pool: int
) -> Ints:
    """Contacts up to the last person by closing, plus a Poisson number since, at most the pool; less the persons.

    All of the pool if one more person would have been contacted by closing, had the pool not been exhausted.
    """
    rows = persons.site == site
    contacted = persons.step_day[0][rows] <= closing_day
    n = contacted.sum(axis=0)
    gaps = -np.log1p(-draws.uniform(Stream.ARRIVAL, int(rows.sum()), world.sites[site]))
    time = np.minimum(np.cumsum(gaps / max(world.lead_prob, 1e-300), axis=0), 1e12)
    letters = letters_up_to(world, draws, site, time)
    last = np.maximum(n - 1, 0)
    at = np.arange(len(n))
    up_to = np.where(n > 0, letters[last, at], 0)
    since = np.where(n > 0, sent - time[last, at], sent)
    rest = formulas.poisson_inverse(luck, (1 - world.lead_prob) * np.maximum(since, 0))
    exhausted = (time < sent).sum(axis=0) > n
    return (np.where(exhausted, pool, np.minimum(up_to + rest, pool)) - n).astype(np.int32)


def _split(world: World, draws: Draws, site: int, lost: Ints) -> list[list[Ints]]:
    """Divide the lost among leading steps and reasons: multinomial by successive binomials."""
    weights = _weights(world)
    left, remaining = lost, sum(sum(step) for step in weights)
    counts: list[list[Ints]] = []
    for step, shares in zip(world.steps, weights, strict=False):
        counts.append([])
        for place, share in enumerate(shares):
            luck = draws.uniform(Stream.LETTERS_SPLIT, 1, world.sites[site], step, place)[0]
            prob = min(1.0, share / remaining) if remaining > 1e-12 else 0.0
            taken = formulas.binomial_inverse(luck, left, prob)
            left, remaining = left - taken, remaining - share
            counts[-1].append(taken)
    return counts


def _weights(world: World) -> list[list[float]]:
    """Chance of a contact of being lost at each leading step for each reason."""
    reached, weights = 1.0, []
    for index in range(world.n_lead):
        step = world.design.funnel[world.steps[index]]
        reasons = np.array(list(step.losses.values()) or [1.0])
        shares = reached * (1 - step.prob) * reasons / reasons.sum()
        weights.append(shares.tolist() if step.prob < 1 else [])
        reached *= step.prob
    return weights
