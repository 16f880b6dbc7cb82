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
        out = np.empty((rows, self.n_replicates))
        self.fill(out, stream, *names)
        return out

    def normal(self, stream: Stream, rows: int, *names: str | int) -> Floats:
        """Standard normals, shape (rows, n_replicates)."""
        out = np.empty((rows, self.n_replicates))
        self.fill(out, stream, *names, normal=True)
        return out

    def fill(self, out: Floats, stream: Stream, *names: str | int, normal: bool = False) -> None:
        """Fill rows of an existing array, (rows, n_replicates), with the same numbers: saves making and copying one."""
        self._fill(out, stream, names, _normals if normal else _uniforms)

    def luck(self, stream: Stream, column: int, *names: str | int) -> Luck:
        """Numbers one after the other for one replicate, where how many are needed is known only on the way."""
        return Luck(generator(self.seed, stream, self.first + column, names))

    def _fill(self, out: Floats, stream: Stream, names: tuple[str | int, ...], draw: _Draw) -> None:
        end = self.first + self.n_replicates
        blocks = range(self.first // BLOCK, -(-end // BLOCK))
        sources = [generator(self.seed, stream, block, names) for block in blocks]
        is_whole = len(blocks) * BLOCK == self.n_replicates and out.flags.c_contiguous
        whole = out if is_whole else np.empty((len(out), len(blocks) * BLOCK))
        draw(sources, whole.reshape(len(out), len(blocks), BLOCK).transpose(1, 0, 2))
        if not is_whole:
            start = self.first - blocks[0] * BLOCK
            out[:] = whole[:, start : start + self.n_replicates]


_Draw = Callable[[list[np.random.Generator], Floats], None]
"""Fills (blocks, rows, BLOCK) from a generator for each block, row after row."""


def _uniforms(sources: list[np.random.Generator], out: Floats) -> None:
    if len(sources) == 1:
        sources[0].random(out=out[0])
        return
    part = np.empty(out.shape[1:])  # stays near the processor until it is copied to its place
    for source, place in zip(sources, out, strict=True):
        source.random(out=part)
        place[:] = part


N_DIRECTIONS = 2**14
_ANGLES = (np.arange(N_DIRECTIONS) + 0.5) * (2 * np.pi / N_DIRECTIONS)
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)


def _normals(sources: list[np.random.Generator], out: Floats) -> None:
    """Two normals from one uniform: its first 14 bits are a direction, the other 39 a radius; sine and cosine of it.

    Box and Muller 1958, doi:10.1214/aoms/1177706645; several times as fast as rejection, whose branches no processor
    can guess. The mean over the directions is a trapezoidal rule: the distribution function is exact to double
    precision beyond 0.01 from zero, and off by 0.00002 at most nearer by.
    """
    radius = np.empty((*out.shape[:2], BLOCK // 2))
    for source, part in zip(sources, radius, strict=True):
        source.random(out=part)
    radius *= N_DIRECTIONS
    part = np.floor(radius)
    radius -= part
    direction = part.astype(np.intp)
    np.subtract(1.0, radius, out=radius)  # exact, and never 0
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    _COS.take(direction, out=part, mode="clip")
    np.multiply(radius, part, out=out[..., : BLOCK // 2])
    _SIN.take(direction, out=part, mode="clip")
    np.multiply(radius, part, out=out[..., BLOCK // 2 :])
