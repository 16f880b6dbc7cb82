"""Contacts that came to nothing: counted, not simulated one by one (thinning a Poisson process is exact)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialsim.world import formulas
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats, Ints
from trialsim.world.persons import Persons, letters_up_to, operational_time
from trialsim.world.streams import Stream
from trialsim.world.world import World


@dataclass(frozen=True)
class Fruitless:
    """People contacted at one site until enrolment closed who are, or will be, lost in a leading step; (R,) counts."""

    contacted: Ints
    passed: list[Ints]  # by leading step: those who had passed it by closing
    lost: list[list[Ints]]  # by leading step and reason: those who had been lost by closing


def fruitless_contacts(world: World, draws: Draws, persons: Persons, closing_day: Ints) -> list[Fruitless]:
    """The people lost in leading steps, site by site. Losing somebody takes the step's delay, as passing does.

    Each way of coming to nothing (lost at a step for a reason, or lost later but still waiting for a step at closing)
    thins the site's Poisson process of contacts, so without a pool the numbers are independent and Poisson.
    """
    luck = np.stack([_luck(world, draws, site) for site in world.sites], axis=1)
    decided = _decided(world, persons, closing_day)
    means = _means(world, decided)
    people = formulas.poisson_inverse(luck, means)
    for site, name in enumerate(world.sites):
        pool = world.design.recruitment.sites[name].pool
        if pool is not None:
            total = _lost_with_pool(world, draws, persons, site, closing_day, decided[0][site], pool)
            people[:, site] = _split(total, means[:, site], luck[:, site])
    return [_fruitless(world, people[:, site]) for site in range(len(world.sites))]


def _luck(world: World, draws: Draws, site: str) -> Floats:
    """A uniform for each way of coming to nothing, (n_ways, R): lost, by step and reason; then waiting, by step."""
    n_reasons = sum(len(reasons) for reasons in world.reasons[: world.n_lead])
    lost = draws.uniform(Stream.LETTERS_SPLIT, n_reasons, site)
    return np.concatenate([lost, draws.uniform(Stream.LETTERS_DECIDED, world.n_lead, site)])


def _means(world: World, decided: list[Floats]) -> Floats:
    """Expected number of each way at closing, (n_ways, n_sites, R)."""
    lost, waiting, left = [], [], 1 - world.lead_prob
    for step, weights in enumerate(_weights(world)):
        waiting.append(max(left, 0.0) * np.maximum(decided[step] - decided[step + 1], 0.0))
        lost += [weight * decided[step + 1] for weight in weights]
        left -= sum(weights)
    return np.stack([*lost, *waiting]) if waiting else np.zeros((0, *decided[0].shape))


def _decided(world: World, persons: Persons, closing_day: Ints) -> list[Floats]:
    """Contacts expected by closing; then, for each leading step, those for whom it is decided; (n_sites, R) each.

    The sum over segments of the rate in it times the sum over its days of P(delay up to the step <= days to closing).
    """
    n_days = world.segments[-1]
    until = np.clip(closing_day[:, None] + 1 - world.segments, 0, n_days)
    parts = []
    for cdf in [np.ones(n_days), *world.lead_delays]:
        summed = np.append(0.0, np.cumsum(cdf[:n_days]))
        parts.append(np.vecdot(persons.rate, -np.diff(summed[until], axis=1)))
    return parts


def _fruitless(world: World, people: Ints) -> Fruitless:
    """Sort the numbers of all ways, (n_ways, R), by step."""
    ways = iter(people)
    lost = [[next(ways) for _ in reasons] for reasons in world.reasons[: world.n_lead]]
    waiting = list(ways)
    passed, further = [], np.zeros(people.shape[1], dtype=np.int32)
    for step in reversed(range(world.n_lead)):
        passed.append(further)
        further = sum(lost[step], further + waiting[step])
    return Fruitless(contacted=further, passed=passed[::-1], lost=lost)


def _lost_with_pool(
    world: World, draws: Draws, persons: Persons, site: int, closing_day: Ints, sent: Floats, pool: int
) -> Ints:
    """Number contacted at a site with a finite pool who do not pass all leading steps, (R,).

    Contacts up to the last person by closing, plus a Poisson number since, at most the pool; less the persons. All of
    the pool if one more person would have been contacted by closing, had it not been exhausted. `sent`: contacts
    expected by closing without a pool, (R,).
    """
    rows = persons.site == site
    n = formulas.count(persons.step_day[0][rows] <= closing_day)
    at = np.arange(len(n))
    time = np.minimum(operational_time(world, draws, site, int(rows.sum())), 1e12)
    letters = letters_up_to(world, draws, site, time)
    last = np.maximum(n - 1, 0)
    up_to = np.where(n > 0, letters[last, at], 0)
    since = np.where(n > 0, sent - time[last, at], sent)
    luck = draws.uniform(Stream.LETTERS_REST, 1, world.sites[site])[0]
    rest = formulas.poisson_inverse(luck, (1 - world.lead_prob) * np.maximum(since, 0))
    exhausted = (time < sent).sum(axis=0) > n
    return (np.where(exhausted, pool, np.minimum(up_to + rest, pool)) - n).astype(np.int32)


def _split(total: Ints, means: Floats, luck: Floats) -> Ints:
    """Divide people among ways in proportion to their means, (n_ways, R): multinomial by successive binomials."""
    people = np.zeros(means.shape, dtype=np.int32)
    remaining = np.cumsum(means[::-1], axis=0)[::-1]
    for way, mean in enumerate(means):
        prob = np.divide(mean, remaining[way], out=np.zeros_like(mean), where=remaining[way] > 0)
        people[way] = formulas.binomial_inverse(luck[way], total, prob)
        total = total - people[way]
    return people


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
