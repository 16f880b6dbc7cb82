"""Luck, drawn first and by person: rows are persons, columns are replicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.world.streams import BLOCK, Stream, generator

Floats = NDArray[np.float64]


class Luck:
    """One replicate's own numbers, in the order in which they are asked for."""

    def __init__(self, source: np.random.Generator) -> None:
        self._source = source

    def normal(self, *shape: int) -> Floats:
        """Standard normals."""
        return self._source.standard_normal(shape)

    def uniform(self, *shape: int) -> Floats:
        """Uniforms on [0, 1)."""
        return self._source.random(shape)


@dataclass(frozen=True)
class Draws:
    """The luck of replicates first, first + 1, ... first + n_replicates - 1 under one seed.

    Row i of a stream is the same however many rows or replicates are asked for: generators belong to blocks of
    `BLOCK` replicates and fill participants first, replicates of the block second.
    """

    seed: int
    first: int
    n_replicates: int

    def uniform(self, stream: Stream, rows: int, *names: str | int) -> Floats:
        """Uniforms on [0, 1), shape (rows, n_replicates)."""
        return self._draw(stream, rows, names, lambda source, out: source.random(out=out))

    def normal(self, stream: Stream, rows: int, *names: str | int) -> Floats:
        """Standard normals, shape (rows, n_replicates)."""
        return self._draw(stream, rows, names, lambda source, out: source.standard_normal(out=out))

    def gamma(self, stream: Stream, rows: int, *names: str | int, shape: float) -> Floats:
        """Gamma variates of scale 1, shape (rows, n_replicates)."""
        return self._draw(stream, rows, names, lambda source, out: source.standard_gamma(shape, out=out))

    def fill(self, out: Floats, stream: Stream, *names: str | int, normal: bool = False) -> None:
        """Fill rows of an existing array, (rows, n_replicates), with the same numbers: saves making and copying one."""
        if self.n_replicates == BLOCK and self.first % BLOCK == 0 and out.flags.c_contiguous:
            source = generator(self.seed, stream, self.first // BLOCK, names)
            (source.standard_normal if normal else source.random)(out=out)
        else:
            out[:] = (self.normal if normal else self.uniform)(stream, len(out), *names)

    def luck(self, stream: Stream, column: int, *names: str | int) -> Luck:
        """Numbers one after the other for one replicate, where how many are needed is known only on the way."""
        return Luck(generator(self.seed, stream, self.first + column, names))

    def _draw(
        self,
        stream: Stream,
        rows: int,
        names: tuple[str | int, ...],
        draw: Callable[[np.random.Generator, Floats], object],
    ) -> Floats:
        end = self.first + self.n_replicates
        blocks = range(self.first // BLOCK, -(-end // BLOCK))
        luck = np.empty((len(blocks), rows, BLOCK))
        for block, part in zip(blocks, luck, strict=True):
            draw(generator(self.seed, stream, block, names), part)
        start = self.first - blocks[0] * BLOCK
        side_by_side = luck.transpose(1, 0, 2).reshape(rows, len(blocks) * BLOCK)
        return side_by_side[:, start : start + self.n_replicates]
