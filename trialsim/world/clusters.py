"""Clusters within sites: how large they are expected to be, when they open, their levels; who belongs to which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.world import formulas
from trialsim.world.cluster_allocation import cluster_arms
from trialsim.world.draws import Draws
from trialsim.world.formulas import Bools, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.world import World

Codes = NDArray[np.int16]
Points = NDArray[np.uint64]

FINE = 32
"""Bits of the points and limits by which people come to clusters: whole numbers, so that all columns round alike."""

GOLDEN = np.uint64(2_654_435_769)
"""2^32 / golden ratio: its multiples, of which 32 bits are kept, fill an interval more evenly than luck does."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of all sites, a site's together, sites in order; C clusters, R replicates."""

    site: Codes  # (C,)
    weight: Floats  # (C, R) expected share of the site's people once all are open
    opens: Ints  # (C, R) [study day]
    level: dict[int, Floats]  # (C, R) standard normals, by number of the outcomes with a `cluster_sd`
    arm: NDArray[np.int8] | None  # (C, R); none where clusters are not randomized


def make_clusters(world: World, draws: Draws) -> Clusters | None:
    """Draw the clusters of a block of replicates, and randomize them; none where the design has none."""
    if world.design.clusters is None:
        return None
    site = np.repeat(np.arange(len(world.sites), dtype=np.int16), world.cluster_counts)
    weight = _weights(world, draws)
    sds = {k: world.design.outcomes[name].cluster_sd for k, name in enumerate(world.outcomes)}
    level = {k: cluster_normals(world, draws, Stream.CLUSTER_LEVEL, world.outcomes[k]) for k, sd in sds.items() if sd}
    return Clusters(
        site=site,
        weight=weight,
        opens=_opening_days(world, draws),
        level=level,
        arm=cluster_arms(world, draws, site, weight, level),
    )


def cluster_normals(world: World, draws: Draws, stream: Stream, *names: str) -> Floats:
    """A standard normal of each cluster, (C, R). A site's clusters are rows: more of them leave the others alone."""
    sites = zip(world.sites, world.cluster_counts, strict=True)
    return np.concatenate([draws.normal(stream, n, site, *names) for site, n in sites])


def _weights(world: World, draws: Draws) -> Floats:
    """Expected share of each cluster in its site, (C, R): gamma variates of mean 1, divided by their sum."""
    cv = world.design.clusters.size_cv if world.design.clusters else 0.0
    weight = np.ones((sum(world.cluster_counts), draws.n_replicates))
    if cv > 0:
        weight = formulas.gamma_multiplier(cluster_normals(world, draws, Stream.CLUSTER_SIZE), cv)
    for span in world.cluster_spans:
        weight[span] /= np.add.accumulate(weight[span])[-1]  # in order: the same bits however many columns there are
    return weight


def _opening_days(world: World, draws: Draws) -> Ints:
    """Day on which each cluster opens, (C, R): the places of a random order, spread evenly."""
    days = np.empty((sum(world.cluster_counts), draws.n_replicates), dtype=np.int32)
    for site, span in enumerate(world.cluster_spans):
        grid = _opening_grid(world, site)
        rank = np.zeros((len(grid), draws.n_replicates), dtype=np.intp)
        if grid[-1] > grid[0]:
            luck = draws.uniform(Stream.CLUSTER_OPENING, len(grid), world.sites[site])
            rank = luck.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
        days[span] = grid[rank]
    return days


def _opening_grid(world: World, site: int) -> Ints:
    """Days on which the first, second ... cluster of a site opens: the first with the site, the last at the end."""
    assert world.design.clusters is not None
    n, name = world.cluster_counts[site], world.sites[site]
    offsets = np.arange(n) * world.design.clusters.opening_days // max(n - 1, 1)
    return (world.design.day_of(world.design.recruitment.sites[name].opens) + offsets).astype(np.int32)


# --- who belongs to which cluster -------------------------------------------------------------------------------------


def clusters_of_site(
    world: World, draws: Draws, clusters: Clusters, site: int, contact_day: Ints, goes_on: Bools | None
) -> Codes:
    """Cluster of each person of a site, (rows, R): one of those open on the day of contact, in proportion to weights.

    `goes_on` tells who is not lost by chance (needed where recruitment is even: people who are lost take no place).
    """
    span = world.cluster_spans[site]
    opening, limits = _limits(clusters, span)
    n_open = np.searchsorted(_opening_grid(world, site), contact_day, side="right")  # the same in every replicate
    replicate = np.arange(contact_day.shape[1])
    # A point below 2^32 times a limit of at most 2^32, and the higher half of the product: exact, and below the limit.
    target = (_points(world, draws, site, contact_day.shape, goes_on) * limits[n_open - 1, replicate]) >> np.uint64(
        FINE
    )
    # All replicates are looked up at once: each has its own stretch of whole numbers.
    stretch = replicate.astype(np.uint64) << np.uint64(FINE + 1)
    place = np.searchsorted((limits + stretch).T.ravel(), (target + stretch).ravel(), side="right")
    place = place.reshape(contact_day.shape) - len(limits) * replicate
    return (opening[np.minimum(place, n_open - 1), replicate] + span.start).astype(np.int16)


def _limits(clusters: Clusters, span: slice) -> tuple[NDArray[np.intp], Points]:
    """A site's clusters in order of opening, and the running sum of their weights in units of 2^-32; (n, R) each."""
    opening = clusters.opens[span].argsort(axis=0, kind="stable")
    summed = np.add.accumulate(np.take_along_axis(clusters.weight[span], opening, axis=0), axis=0)
    return opening, np.rint(np.minimum(summed, 1.0) * 2**FINE).astype(np.uint64)


def _points(world: World, draws: Draws, site: int, shape: tuple[int, int], goes_on: Bools | None) -> Points:
    """Where each person falls among the clusters, as a whole number below 2^32; (rows, R).

    Even: multiples of the golden ratio from a random start, which miss any share by about one person.
    """
    if goes_on is None:
        return (draws.uniform(Stream.CLUSTER, shape[0], world.sites[site]) * 2**FINE).astype(np.uint64)
    start = (draws.uniform(Stream.CLUSTER, 1, world.sites[site]) * 2**FINE).astype(np.uint64)
    number = np.cumsum(goes_on, axis=0, dtype=np.uint64)
    return (start + number * GOLDEN) & np.uint64(2**FINE - 1)
