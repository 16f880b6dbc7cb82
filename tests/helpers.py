"""What tests of simulated trials share: comparing blocks, and judging estimates by their standard error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trialsim.block import Block, EngineName, simulate_block
from trialsim.design.parts import Design
from trialsim.world.histories import NONE
from trialsim.world.world import World

Array = NDArray[Any]

Z = 4.5
"""Standard errors within which an estimate must lie; chance of a false alarm 7 in a million."""


def in_a_loop(body: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What a coroutine returns, run in a thread of its own: a browser's tests leave a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(body())).result()


# --- statistics -----------------------------------------------------------------------------------------------------


def agrees(estimate: ArrayLike, truth: ArrayLike, std_error: ArrayLike) -> bool:
    """Whether every estimate lies within Z standard errors of the truth; an error of 0 demands equality."""
    gap = np.abs(np.asarray(estimate, dtype=float) - np.asarray(truth, dtype=float))
    return bool(np.all(gap <= Z * np.asarray(std_error, dtype=float) + 1e-12))


def share(flags: Array) -> tuple[float, int]:
    """Share of true values and their number."""
    return float(np.mean(flags)), int(np.size(flags))


def se_of_share(prob: ArrayLike, n: ArrayLike) -> Array:
    """Standard error of a share of n independent cases with the given true chance."""
    p = np.asarray(prob, dtype=float)
    return np.sqrt(p * (1 - p) / np.asarray(n, dtype=float))


def se_of_mean(values: Array) -> float:
    """Standard error of a mean of independent values, from their own spread."""
    return float(np.std(values, ddof=1) / np.sqrt(np.size(values)))


def se_of_correlation(correlation: ArrayLike, n: int) -> Array:
    """Standard error of a correlation of n pairs of normal variables."""
    return (1 - np.square(np.asarray(correlation, dtype=float))) / np.sqrt(n)


def se_of_sd(sd: float, n: int) -> float:
    """Standard error of a standard deviation of n normal values."""
    return float(sd / np.sqrt(2 * n))


# --- simulating -----------------------------------------------------------------------------------------------------


def run(design: Design, *, n: int = 16, first: int = 0, seed: int = 1, engine: EngineName = "vector") -> Block:
    """Simulate n replicates of a design."""
    return simulate_block(World(design), seed=seed, first=first, n_replicates=n, engine=engine)


# --- comparing ------------------------------------------------------------------------------------------------------


def same(left: Any, right: Any) -> bool:
    """Exact equality of arrays: shape, type and values (NaN equals NaN); of anything else, plain equality."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        floats = left.dtype.kind == "f"
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=floats)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if left is None or right is None:
        return left is right
    return bool(left == right)


def differences(left: Any, right: Any) -> list[str]:
    """Names of the fields (of a dataclass) or keys (of a dictionary) in which two things differ."""
    if is_dataclass(left):
        names = [f.name for f in fields(left)]
        return [name for name in names if not same(getattr(left, name), getattr(right, name))]
    return [key for key in {**left, **right} if not (key in left and key in right and same(left[key], right[key]))]


def engine_differences(one: Block, other: Block) -> list[str]:
    """Everything in which two blocks of the same replicates differ, as they came from the engines."""
    parts = ("histories", "follow", "outcomes", "observed")
    found = [f"{part}.{name}" for part in parts for name in differences(getattr(one, part), getattr(other, part))]
    pairs = zip(one.fruitless, other.fruitless, strict=True)
    found += [f"fruitless.{name}" for mine, its in pairs for name in differences(mine, its)]
    logs = [(one.events(c), other.events(c)) for c in range(one.n_replicates)]
    return found + [f"events of replicate {c}" for c, (a, b) in enumerate(logs) if not same(a, b)]


def portrait(block: Block, column: int = 0) -> dict[str, Array]:
    """All of one replicate that means something: rows of participants only, persons by site and screening number.

    Two portraits are equal exactly if the trials are.
    """
    cohort = block.plan.cohort
    valid = cohort.valid[:, column]
    picture = _rows(block.histories, column, valid, skip=("person",))
    picture |= _rows(block.follow, column, valid)
    for name in ("randomized_day", "site", "stratum", "baseline", "motivation"):
        picture[f"cohort {name}"] = _rows_of(getattr(cohort, name), column, valid)
    picture["cohort stable"] = _rows_of(np.stack(cohort.stable), column, valid)
    if cohort.cluster is not None:
        picture["cohort cluster"] = _rows_of(cohort.cluster, column, valid)
    picture |= {f"covariate {k}": _rows_of(v, column, valid) for k, v in cohort.covariates.items()}
    picture["number"] = block.histories.number[valid, column]
    picture |= _rows(block.outcomes, column, valid, skip=("event_day",))
    picture["observed value"] = np.stack([v[column][valid] for v in block.observed.value.values()])
    picture |= {f"event day {k}": _rows_of(day, column, valid) for k, day in block.outcomes.event_day.items()}
    picture["events"] = block.events(column)
    early = [n for site in block.fruitless for n in (site.contacted, *site.passed, *(k for s in site.lost for k in s))]
    fruitless = [n[column] for n in early]
    return picture | {"fruitless": np.array(fruitless, dtype=np.int64)}


def _rows(part: Any, column: int, valid: Array, skip: tuple[str, ...] = ()) -> dict[str, Array]:
    given = {f.name: getattr(part, f.name) for f in fields(part) if f.name not in skip}
    return {name: _rows_of(values, column, valid) for name, values in given.items() if values is not None}


def _rows_of(values: Array, column: int, valid: Array) -> Array:
    mine = values[..., column]
    return mine[..., valid] if mine.ndim and mine.shape[-1] == len(valid) else mine


# --- reading histories ----------------------------------------------------------------------------------------------


def members(block: Block, arm: str) -> Array:
    """Who is in an arm, (N, R)."""
    return block.histories.arm == block.world.arms.index(arm)


def places_in_use(block: Block, column: int, arm: int, day: int) -> Array:
    """Participants who hold a place with each coach of an arm on a day."""
    h = block.histories
    mine = (h.arm[:, column] == arm) & (h.offered_day[:, column] != NONE)
    held = mine & (h.offered_day[:, column] <= day) & (h.released_day[:, column] >= day)
    staff = len(block.world.design.coaches(block.world.arms[arm]))
    return np.bincount(h.coach[held, column], minlength=staff)
