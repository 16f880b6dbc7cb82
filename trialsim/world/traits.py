"""Traits of persons: covariates and latent levels, drawn for everybody, worked out for those of whom they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.outcomes import Outcome, Score
from trialsim.design.parts import BinaryCovariate, NormalCovariate
from trialsim.world import formulas
from trialsim.world.draws import Draws
from trialsim.world.formulas import Bools, Floats, Ints
from trialsim.world.streams import Stream
from trialsim.world.world import World


@dataclass(frozen=True)
class Rows:
    """How many rows each site has."""

    per_site: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.per_site)

    def spans(self) -> list[slice]:
        """Each site's rows."""
        ends = list(accumulate(self.per_site))
        return [slice(end - n, end) for n, end in zip(self.per_site, ends, strict=True)]


@dataclass(frozen=True)
class Traits:
    """The luck behind traits, one shape for all arrays; values are worked out when asked for.

    Many more people are screened than randomized. So only luck that screening looks at (`World.screened`) belongs to
    persons; the rest belongs to participants, and persons are without it.
    """

    world: World
    site: NDArray[np.int16]
    site_level: list[Floats | None]  # by outcome: (n_sites, R)
    cluster: NDArray[np.int16] | None  # as the other arrays
    cluster_level: dict[int, Floats]  # by outcome: (n_clusters, R)
    covariate_luck: dict[str, Floats | Bools | Ints]  # uniforms of normal ones; values of others, which are smaller
    stable_luck: dict[int, Floats]  # by outcome: independent normals
    entry_luck: dict[int, Floats]  # empty where no outcome has an `entry_sd`
    _covariates: dict[str, Floats] = field(default_factory=dict)
    _levels: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)

    def of_participants(self, draws: Draws, row: Ints) -> Traits:
        """Traits of chosen persons, (N, R) of row numbers, with those that only participants have."""
        flat = row.astype(np.intp) * row.shape[1] + np.arange(row.shape[1])
        traits = self._of(self.site[row], lambda values: values.ravel().take(flat))
        for name in self.world.design.covariates.keys() - self.covariate_luck.keys():
            uniform = draws.uniform(Stream.COVARIATE, len(row), name)
            traits.covariate_luck[name] = _covariate_luck(self.world, name, uniform)
        for k in set(range(len(self.world.outcomes))) - self.stable_luck.keys():
            name = self.world.outcomes[k]
            traits.stable_luck[k] = draws.normal(Stream.STABLE, len(row), name)
            if self.world.has_entry_states:
                traits.entry_luck[k] = draws.normal(Stream.ENTRY, len(row), name)
        return traits

    def part(self, span: slice) -> Traits:
        """Traits of rows that follow one another."""
        return self._of(self.site[span], lambda values: values[span])

    def _of(self, site: NDArray[np.int16], chosen: Callable[[NDArray[Any]], NDArray[Any]]) -> Traits:
        return Traits(
            world=self.world,
            site=site,
            site_level=self.site_level,
            cluster=None if self.cluster is None else chosen(self.cluster),
            cluster_level=self.cluster_level,
            covariate_luck={name: chosen(luck) for name, luck in self.covariate_luck.items()},
            stable_luck={k: chosen(luck) for k, luck in self.stable_luck.items()},
            entry_luck={k: chosen(luck) for k, luck in self.entry_luck.items()},
        )

    def covariate(self, name: str) -> Floats:
        """Values of a covariate."""
        if name not in self._covariates:
            self._covariates[name] = self._values(name)
        return self._covariates[name]

    def _values(self, name: str) -> Floats:
        covariate = self.world.design.covariates[name]
        luck: NDArray[Any] = self.covariate_luck[name]
        if isinstance(covariate, NormalCovariate):
            return formulas.truncated_normal(luck, covariate.mean, covariate.sd, covariate.low, covariate.high)
        return luck.astype(float)

    def shift(self, links: dict[str, float]) -> Floats | float:
        """Sum over covariates of coefficient x (value - mean among the people screened)."""
        means = self.world.covariate_means
        total: Floats | float = -sum(coef * means[name] for name, coef in links.items())
        for name, coef in links.items():
            part = coef * self.covariate(name)
            part += total
            total = part
        return total

    def levels(self, k: int) -> tuple[Floats, Floats]:
        """Latent stable level of outcome k, and the level at entry (with the passing state)."""
        if k not in self._levels:
            self._levels[k] = self._work_out(k)
        return self._levels[k]

    def _work_out(self, k: int) -> tuple[Floats, Floats]:
        outcome = self.world.design.outcomes[self.world.outcomes[k]]
        stable = joint_normal(self.world, self.stable_luck, k) * outcome.sd
        stable += latent_mean(outcome) + self.shift(outcome.covariates)
        site_level = self.site_level[k]
        if site_level is not None:
            replicate = np.arange(stable.shape[1])
            rows = self.site if self.site.ndim == 2 else self.site[:, None]
            stable += outcome.site_sd * site_level[rows, replicate]
        if self.cluster is not None and k in self.cluster_level:
            stable += outcome.cluster_sd * self.cluster_level[k][self.cluster, np.arange(stable.shape[1])]
        if not self.entry_luck:
            return stable, stable
        return stable, stable + outcome.entry_sd * joint_normal(self.world, self.entry_luck, k)


def latent_mean(outcome: Outcome) -> float:
    """Mean latent level among the people screened [points]; other kinds than scores have it at 0."""
    return outcome.mean if isinstance(outcome, Score) else 0.0


def draw_traits(
    world: World,
    draws: Draws,
    rows: Rows,
    site: NDArray[np.int16],
    cluster: NDArray[np.int16] | None,
    cluster_level: dict[int, Floats],
) -> Traits:
    """Luck of all persons, (P, R), as far as screening looks at it."""
    covariates, outcomes = world.screened

    def normals(stream: Stream) -> dict[int, Floats]:
        luck = {k: np.empty((rows.total, draws.n_replicates)) for k in outcomes}
        for k, of_outcome in luck.items():
            for name, span in zip(world.sites, rows.spans(), strict=True):
                draws.fill(of_outcome[span], stream, name, world.outcomes[k], normal=True)
        return luck

    def covariate(name: str) -> NDArray[Any]:
        uniforms = (
            draws.uniform(Stream.COVARIATE, n, s, name) for s, n in zip(world.sites, rows.per_site, strict=True)
        )
        return np.concatenate([_covariate_luck(world, name, uniform) for uniform in uniforms])

    return Traits(
        world=world,
        site=site,
        site_level=[_site_level(world, draws, name) for name in world.outcomes],
        cluster=cluster,
        cluster_level=cluster_level,
        covariate_luck={name: covariate(name) for name in covariates},
        stable_luck=normals(Stream.STABLE),
        entry_luck=normals(Stream.ENTRY) if world.has_entry_states else {},
    )


def _site_level(world: World, draws: Draws, outcome: str) -> Floats | None:
    if world.design.outcomes[outcome].site_sd == 0:
        return None
    return np.array([draws.normal(Stream.SITE_LEVEL, 1, site, outcome)[0] for site in world.sites])


def _covariate_luck(world: World, name: str, uniform: Floats) -> Floats | Bools | Ints:
    """Luck of a normal covariate; values of a binary or count one."""
    covariate = world.design.covariates[name]
    if isinstance(covariate, NormalCovariate):
        return uniform
    if isinstance(covariate, BinaryCovariate):
        return np.asarray(uniform < covariate.prob)
    return formulas.poisson_inverse(uniform, covariate.mean)


def joint_normal(world: World, parts: Sequence[Floats] | dict[int, Floats], k: int) -> Floats:
    """Independent standard normals of each outcome -> the k-th of normals with the outcomes' correlation."""
    row = world.correlation_factor[k]
    if not any(row[:k]):
        return parts[k]
    mixed = row[k] * parts[k]
    for j, weight in enumerate(row[:k]):
        if weight:
            mixed += weight * parts[j]
    return mixed


def own_normal(world: World, draws: Draws, stream: Stream, n: int, k: int) -> Floats:
    """Standard normals of participants for outcome k, with the outcomes' correlation, from one stream by outcome."""
    needed = [j for j, weight in enumerate(world.correlation_factor[k]) if weight]
    return joint_normal(world, {j: draws.normal(stream, n, world.outcomes[j]) for j in needed}, k)


def joint_normals(world: World, parts: Sequence[Floats]) -> list[Floats]:
    """The same for all outcomes."""
    return [joint_normal(world, parts, k) for k in range(len(parts))]
