"""Traits of persons: covariates and latent levels, drawn for everybody, worked out for those of whom they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def draw(self, draws: Draws, world: World, stream: Stream, name: str, *, normal: bool = False) -> Floats:
        """One stream of all sites' persons, shape (P, R)."""
        luck = np.empty((self.total, draws.n_replicates))
        for site, span in zip(world.sites, self.spans(), strict=True):
            draws.fill(luck[span], stream, site, name, normal=normal)
        return luck


@dataclass(frozen=True)
class Traits:
    """The luck behind traits, one shape for all arrays; values are worked out when asked for.

    Many more people are screened than randomized, and most traits matter only of the latter: `take` them first.
    """

    world: World
    site: NDArray[np.int16]
    site_level: list[Floats | None]  # by outcome: (n_sites, R)
    covariate_luck: dict[
        str, Floats | Bools | Ints
    ]  # uniforms of normal ones; values of the others, which need less memory
    stable_luck: list[Floats]  # by outcome: independent normals
    entry_luck: list[Floats] | None
    _covariates: dict[str, Floats] = field(default_factory=dict)
    _levels: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)

    def take(self, row: Ints) -> Traits:
        """Traits of chosen rows, (N, R) of row numbers."""
        n_replicates = row.shape[1]
        flat = row.astype(np.intp) * n_replicates + np.arange(n_replicates)

        return self._of(self.site[row], lambda values: values.ravel().take(flat))

    def part(self, span: slice) -> Traits:
        """Traits of rows that follow one another."""
        return self._of(self.site[span], lambda values: values[span])

    def _of(self, site: NDArray[np.int16], chosen: Callable[[NDArray[Any]], NDArray[Any]]) -> Traits:
        return Traits(
            world=self.world,
            site=site,
            site_level=self.site_level,
            covariate_luck={name: chosen(luck) for name, luck in self.covariate_luck.items()},
            stable_luck=[chosen(luck) for luck in self.stable_luck],
            entry_luck=None if self.entry_luck is None else [chosen(luck) for luck in self.entry_luck],
        )

    def covariate(self, name: str) -> Floats:
        """Values of a covariate."""
        if name not in self._covariates:
            self._covariates[name] = self._values(name).astype(float)
        return self._covariates[name]

    def _values(self, name: str) -> NDArray[Any]:
        covariate = self.world.design.covariates[name]
        luck: NDArray[Any] = self.covariate_luck[name]
        if isinstance(covariate, NormalCovariate):
            return formulas.truncated_normal(luck, covariate.mean, covariate.sd, covariate.low, covariate.high)
        return luck

    def shift(self, links: dict[str, float]) -> Floats | float:
        """Sum over covariates of coefficient x (value - mean among the people screened)."""
        means = self.world.covariate_means
        start = -sum(coef * means[name] for name, coef in links.items())
        return sum((coef * self._values(name) for name, coef in links.items()), start)

    def levels(self, k: int) -> tuple[Floats, Floats]:
        """Latent stable level of outcome k, and the level at entry (with the passing state)."""
        if k not in self._levels:
            self._levels[k] = self._work_out(k)
        return self._levels[k]

    def _work_out(self, k: int) -> tuple[Floats, Floats]:
        outcome = self.world.design.outcomes[self.world.outcomes[k]]
        stable = joint_normal(self.world, self.stable_luck, k) * outcome.sd
        stable += outcome.mean + self.shift(outcome.covariates)
        site_level = self.site_level[k]
        if site_level is not None:
            replicate = np.arange(stable.shape[1])
            rows = self.site if self.site.ndim == 2 else self.site[:, None]
            stable += outcome.site_sd * site_level[rows, replicate]
        if self.entry_luck is None:
            return stable, stable
        return stable, stable + outcome.entry_sd * joint_normal(self.world, self.entry_luck, k)


def draw_traits(world: World, draws: Draws, rows: Rows, site: NDArray[np.int16]) -> Traits:
    """Luck of all persons, (P, R)."""
    names, outcomes = world.outcomes, world.design.outcomes.values()

    def normals(stream: Stream) -> list[Floats]:
        return [rows.draw(draws, world, stream, name, normal=True) for name in names]

    return Traits(
        world=world,
        site=site,
        site_level=[_site_level(world, draws, name) for name in names],
        covariate_luck={name: _covariate(world, draws, rows, name) for name in world.design.covariates},
        stable_luck=normals(Stream.STABLE),
        entry_luck=normals(Stream.ENTRY) if any(outcome.entry_sd for outcome in outcomes) else None,
    )


def _site_level(world: World, draws: Draws, outcome: str) -> Floats | None:
    if world.design.outcomes[outcome].site_sd == 0:
        return None
    return np.array([draws.normal(Stream.SITE_LEVEL, 1, site, outcome)[0] for site in world.sites])


def _covariate(world: World, draws: Draws, rows: Rows, name: str) -> Floats | Bools | Ints:
    """Luck of a normal covariate; values of a binary or count one."""
    covariate = world.design.covariates[name]
    if isinstance(covariate, NormalCovariate):
        return rows.draw(draws, world, Stream.COVARIATE, name)
    values = np.empty((rows.total, draws.n_replicates), dtype=bool if covariate.kind == "binary" else np.int32)
    for site, span in zip(world.sites, rows.spans(), strict=True):
        uniform = draws.uniform(Stream.COVARIATE, span.stop - span.start, site, name)
        if isinstance(covariate, BinaryCovariate):
            values[span] = uniform < covariate.prob
        else:
            values[span] = formulas.poisson_inverse(uniform, covariate.mean)
    return values


def joint_normal(world: World, parts: Sequence[Floats], k: int) -> Floats:
    """Independent standard normals of each outcome -> the k-th of normals with the outcomes' correlation."""
    row = world.correlation_factor[k]
    if not any(row[:k]):
        return parts[k]
    mixed = row[k] * parts[k]
    for weight, part in zip(row[:k], parts, strict=False):
        if weight:
            mixed += weight * part
    return mixed


def joint_normals(world: World, parts: Sequence[Floats]) -> list[Floats]:
    """The same for all outcomes."""
    return [joint_normal(world, parts, k) for k in range(len(parts))]
