"""The cohort: who would be randomized, in which order, with which traits; before any trial logic."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trialsim.design.outcomes import Dose, TimeToEvent
from trialsim.world import formulas, values
from trialsim.world.clusters import Clusters, make_clusters
from trialsim.world.draws import Draws
from trialsim.world.formulas import NEVER, Bools, Floats, Ints
from trialsim.world.periods import period_of
from trialsim.world.persons import Persons, make_persons
from trialsim.world.streams import Stream
from trialsim.world.traits import Rows, Traits, joint_normals
from trialsim.world.world import World


@dataclass(frozen=True)
class Cohort:
    """Participants-to-be in order of randomization; N rows (the sample size), R replicates.

    Row i of a replicate that has fewer than i + 1 is not `valid`; its other values mean nothing.
    """

    persons: Persons
    person: Ints  # (N, R) row in persons
    valid: Bools  # (N, R)
    randomized_day: Ints  # (N, R); NEVER where not valid
    site: NDArray[np.int16]  # (N, R)
    stratum: NDArray[np.int16]  # (N, R)
    traits: Traits  # (N, R)
    covariates: dict[str, Floats]  # (N, R) each
    stable: Floats  # (n_outcomes, N, R)
    baseline: NDArray[np.int16]  # (n_outcomes, N, R) in grid steps
    motivation: Floats  # (N, R)
    cluster: NDArray[np.int16] | None = None  # (N, R); None where the design has no clusters
    clusters: Clusters | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(N, R)."""
        return self.valid.shape


def make_cohort(world: World, draws: Draws) -> Cohort:
    """Draw enough persons of every site that enrolment surely ends as it would with all of them."""
    rows, clusters = expected_rows(world), make_clusters(world, draws)
    while True:
        persons = make_persons(world, draws, rows, clusters)
        person, day = _in_order(world, persons)
        short = _short_sites(world, persons, day)
        if not short.any():
            return _cohort(world, draws, persons, person, day, clusters)
        rows = Rows(tuple(int(n * 1.2) + 16 if more else n for n, more in zip(rows.per_site, short, strict=True)))


def expected_rows(world: World) -> Rows:
    """Rows that are probably enough; only speed depends on it."""
    design = world.design
    accepted = acceptance(world) * world.lead_prob
    cumulative = np.cumsum(world.rates, axis=1)
    wanted = design.sample_size + design.sample_size**0.5 + 3
    reached = np.flatnonzero(cumulative.sum(axis=0) * accepted >= wanted)
    delays = sum(step.delay.days + step.delay.mean_extra for step in design.funnel.values())
    horizon = min(int(reached[0] + delays) if len(reached) else world.last_day, world.last_day)
    mean = cumulative[:, horizon] * world.lead_prob
    cv = design.recruitment.site_cv + 0.3 * design.recruitment.month_cv
    # Drawing everybody again for the sake of one site costs more than some persons too many: hence 3.7 SD.
    return Rows(tuple(int(m * (1 + cv) + 3.7 * m**0.5) + 8 for m in mean))


def acceptance(world: World) -> float:
    """Share of persons who pass all steps, from a pilot draw of its own (it only sizes arrays)."""
    decisive = {"funnel", "covariates", "outcomes", "clusters"} | ({"allocation"} if world.selects_by_arm else set())
    parts = world.design.model_dump_json(include=decisive)
    return _pilot(_Screening(parts, tuple(world.sites), world))


@dataclass(frozen=True)
class _Screening:
    """What decides who passes; worlds in which that is the same share a pilot draw, as most points of a sweep do."""

    parts: str  # JSON
    sites: tuple[str, ...]
    world: World = field(compare=False)


@lru_cache(maxsize=64)
def _pilot(screening: _Screening) -> float:
    world = screening.world
    rows = Rows(tuple([max(1, 1_000 // len(world.sites))] * len(world.sites)))
    draws = Draws(seed=0, first=0, n_replicates=16)
    pilot = make_persons(world, draws, rows, make_clusters(world, draws))
    return max(float((pilot.lost_step == len(world.steps)).mean()), 1e-4)


def _in_order(world: World, persons: Persons) -> tuple[Ints, Ints]:
    """Rows of persons in order of (day, screening order), and their days; shape (N, R), day NEVER past the last."""
    last_step_day, n_replicates = persons.step_day[-1], persons.lost_step.shape[1]
    enters = (persons.lost_step == len(world.steps)) & (last_step_day <= world.last_day)
    person = np.zeros((n_replicates, world.design.sample_size), dtype=np.int32)
    day = np.full(person.shape, NEVER, dtype=np.int32)
    for replicate, own in enumerate(np.ascontiguousarray(enters.T)):
        rows = np.flatnonzero(own)
        days = last_step_day[rows, replicate]
        # Stable sorts of 16-bit numbers are radix sorts: linear in the number of persons.
        order = np.argsort(days.astype(np.int16), kind="stable")[: person.shape[1]]
        person[replicate, : len(order)] = rows[order]
        day[replicate, : len(order)] = days[order]
    return np.ascontiguousarray(person.T), np.ascontiguousarray(day.T)


def _short_sites(world: World, persons: Persons, day: Ints) -> Bools:
    """Sites whose last row comes before enrolment closes in some replicate: more rows could matter there."""
    closing = np.minimum(day[-1], world.last_day)
    return np.asarray((persons.last_contact_day <= closing).any(axis=1))


def _cohort(world: World, draws: Draws, persons: Persons, person: Ints, day: Ints, clusters: Clusters | None) -> Cohort:
    traits = persons.traits.of_participants(draws, person)
    levels = [traits.levels(k) for k in range(len(world.outcomes))]
    covariates = {name: traits.covariate(name) for name in world.design.covariates}
    baseline = _baseline(world, draws, [entry for _, entry in levels], day, covariates)
    return Cohort(
        persons=persons,
        person=person,
        valid=day < NEVER,
        randomized_day=day,
        site=traits.site,
        stratum=_stratum(world, day, traits.site, covariates, baseline),
        traits=traits,
        covariates=covariates,
        stable=np.stack([stable for stable, _ in levels]),
        baseline=baseline,
        motivation=draws.normal(Stream.MOTIVATION, len(person)),
        cluster=traits.cluster,
        clusters=clusters,
    )


def _baseline(
    world: World, draws: Draws, entry: list[Floats], day: Ints, covariates: dict[str, Floats]
) -> NDArray[np.int16]:
    """Values at baseline in grid steps; of an event, which has not happened yet, 0."""
    n = len(entry[0])
    errors = joint_normals(world, [draws.normal(Stream.BASELINE_ERROR, n, name) for name in world.outcomes])
    baseline = np.zeros((len(entry), *entry[0].shape), dtype=np.int16)
    for k, outcome in enumerate(world.design.outcomes.values()):
        level = entry[k] + outcome.error_sd * errors[k]
        if (shift := world.calendar_shifts[k]) is not None:
            level += shift.take(day, mode="clip")  # rows without a participant have no day
        if isinstance(outcome, Dose):
            baseline[k] = values.dose(outcome, level) * (covariates[outcome.users] > 0)
        elif not isinstance(outcome, TimeToEvent):
            mean = values.baseline_mean(outcome)
            baseline[k] = values.in_steps(outcome, level, luck=errors[k], mean=mean)
    return baseline


def _stratum(
    world: World, day: Ints, site: NDArray[np.int16], covariates: dict[str, Floats], baseline: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Stratum code: mixed-radix number of the period and the factors in their order."""
    code = period_of(world.periods, day).astype(np.int16)
    for factor in world.design.allocation.strata:
        if factor == "site":
            code = code * len(world.sites) + site
        elif isinstance(factor, str):
            code = code * 2 + covariates[factor].astype(np.int16)
        else:
            k = world.outcomes.index(factor.outcome)
            outcome = world.design.outcomes[factor.outcome]
            value = formulas.from_grid(baseline[k], outcome.low, outcome.items)
            code = code * 2 + (value >= factor.at_least - 1e-9)
    return code.astype(np.int16)
