"""Every stream of luck has a fixed number. Numbers are never reused, so that old luck stays what it was."""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np

BLOCK = 16
"""Replicates that share one generator per stream. Part of the results: changing it changes every number."""


class Stream(IntEnum):
    """What is decided by luck. Rows are persons (by site), participants, or what the comment says."""

    SITE_RATE = 1  # one row per site
    MONTH_RATE = 2  # rows: months, by site
    ARRIVAL = 3  # persons
    FUNNEL_DELAY = 4  # persons, by step
    FUNNEL_CHANCE = 5  # persons, by step
    CRITERION_CHANCE = 6  # persons, by criterion
    CRITERION_ERROR = 7  # persons, by criterion
    COVARIATE = 8  # persons, by covariate
    STABLE = 9  # persons, by outcome
    ENTRY = 10  # persons, by outcome
    LETTERS = 11  # persons, of sites with a finite pool
    LETTERS_REST = 12  # one row per site
    LETTERS_SPLIT = 13  # one row per site, step and reason
    SITE_LEVEL = 14  # one row per site and outcome
    COACH_LEVEL = 15  # rows: coaches, by arm and outcome
    ALLOCATION_SIZE = 16  # rows: blocks, by stratum's name
    ALLOCATION_ORDER = 17  # rows: blocks x places, by stratum's name
    ALLOCATION_SIMPLE = 18  # participants
    MOTIVATION = 19  # participants from here on
    BASELINE_ERROR = 20
    CHANGE = 21
    RECOVERY = 22
    ERROR = 23
    HETEROGENEITY = 24
    START = 25
    STOP = 26
    NO_SHOW = 27
    PACE = 28
    CALL = 29
    FRAILTY = 30
    RESPONSE = 31
    ANSWER_DELAY = 32
    WITHDRAWAL = 33
    DEATH = 34
    REACHABLE = 35
    LETTERS_DECIDED = 36  # one row per site, step, reason and step before
    LOST_ANSWER = 37  # participants, by visit
    IMPUTATION = 38  # rows: whatever an analysis asks for, by analysis and number of the call
    PRIOR = 39  # one row: an effect drawn from its prior
    SWEEP_DESIGN = 40  # points of a Latin hypercube or Sobol sequence, by number of the axis
    POSTERIOR = 41  # rows: draws of what may be true of a sweep's results, by their common seed


def key_of(name: str | int) -> int:
    """A whole number for a name, the same on every machine; whole numbers stand for themselves."""
    if isinstance(name, int):
        return name
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def generator(seed: int, stream: Stream, block: int, names: tuple[str | int, ...]) -> np.random.Generator:
    """The generator of one stream, one block of replicates and, where there are several, one named row of it.

    The key lists the stream, the block, then each name as two 32-bit words, so no two keys are alike.
    """
    words = [part for name in names for part in divmod(key_of(name), 2**32)]
    sequence = np.random.SeedSequence(seed, spawn_key=(int(stream), block, *words))
    return np.random.Generator(np.random.PCG64(sequence))
