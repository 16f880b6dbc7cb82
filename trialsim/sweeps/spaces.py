"""Points spread over a box: Latin hypercubes and Sobol sequences, and uniforms made into values that read well."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trialsim.design.parts import Design
from trialsim.design.shape import descend, kinds_at
from trialsim.design.yamltree import Node
from trialsim.sweeps.parts import Range
from trialsim.world.streams import Stream, generator

Floats = NDArray[np.float64]


def latin(points: int, paths: int, *, seed: int, axis: int) -> Floats:
    """A Latin hypercube on [0, 1), (points, paths): one value in each of `points` equal parts of every column.

    McKay, Beckman, Conover 1979, doi 10.1080/00401706.1979.10489755.
    """
    from scipy.stats import qmc  # slow to import, and most sweeps do without

    return np.asarray(qmc.LatinHypercube(paths, seed=_own_seed(seed, axis)).random(points))


def sobol(points: int, paths: int, *, seed: int, axis: int) -> Floats:
    """A Sobol sequence on [0, 1), (points, paths), scrambled (Owen 1998, doi 10.1006/jcom.1998.0487); points: 2^k."""
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(paths, seed=_own_seed(seed, axis)).random(points))


def _own_seed(seed: int, axis: int) -> int:
    """SciPy makes generators of its own, which ours cannot be split into."""
    return int(generator(seed, Stream.SWEEP_DESIGN, 0, (axis,)).integers(2**62))


def values_of(uniforms: Floats, bounds: Range, *, path: str, base: Node) -> list[float] | list[int]:
    """Values within the range for uniforms on [0, 1); whole ones where the design takes nothing else."""
    is_whole = bounds.low.is_integer() and bounds.high.is_integer() and _takes_only_whole(path, base)
    whole = is_whole if bounds.whole is None else bounds.whole
    # Each whole number owns an equal part of the range, from half below it to half above.
    low, high = (bounds.low - 0.5, bounds.high + 0.5) if whole else (bounds.low, bounds.high)
    if bounds.log:
        raw = np.exp(math.log(low) + uniforms * (math.log(high) - math.log(low)))
    else:
        raw = low + uniforms * (high - low)
    if whole:
        return [int(value) for value in np.clip(np.rint(raw), bounds.low, bounds.high)]
    digits = _digits(bounds, len(raw))
    return [min(max(float(f"{value:.{digits}g}"), bounds.low), bounds.high) for value in raw]


def _digits(bounds: Range, n: int) -> int:
    """Significant digits: 6, and as many more as keep n values apart, also in a narrow range far from 0."""
    narrow = math.log10(max(abs(bounds.low), abs(bounds.high)) / (bounds.high - bounds.low))
    return min(15, 6 + max(0, math.floor(narrow)) + max(0, math.ceil(math.log10(n / 100))))


def _takes_only_whole(path: str, base: Node) -> bool:
    parts = tuple(int(part) if part.isdecimal() else part for part in path.split("."))
    # Not the kinds at the path itself: a list of coaches in the base does not say what else may stand there.
    kinds = descend(kinds_at(Design, base, parts[:-1]), parts[-1])
    return int in kinds and float not in kinds
