"""Every stream of luck has a fixed number. Numbers are never reused, so that old luck stays what it was."""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

BLOCK = 16
"""Replicates that share one generator per stream. Part of the results: changing it changes every number."""


class Stream(IntEnum):
    """What is decided by luck. Rows are persons (by site), participants, or what the comment says."""

    SITE_RATE = 1  # one row per site
    MONTH_RATE = 2  # rows: months, by site
    ARRIVAL = 3  # persons
    FUNNEL_DELAY = 4  # persons, by step
    FUNNEL_CHANCE = 5  # persons
    CRITERION_ERROR = 7  # persons, by criterion
    COVARIATE = 8  # persons, by covariate
    STABLE = 9  # persons, by outcome
    ENTRY = 10  # persons, by outcome
    LETTERS = 11  # persons, of sites with a finite pool
    LETTERS_REST = 12  # one row per site
    LETTERS_SPLIT = 13  # rows: steps and reasons, by site
    SITE_LEVEL = 14  # one row per site and outcome
    COACH_LEVEL = 15  # rows: coaches, by arm and outcome
    ALLOCATION = 16  # rows: blocks x strata of a site x (size, order), by site and, after the first, period
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
    LETTERS_DECIDED = 36  # rows: steps that somebody may be waiting for, by site
    LOST_ANSWER = 37  # participants, by visit
    IMPUTATION = 38  # rows: whatever an analysis asks for, by analysis and number of the call
    PRIOR = 39  # one row: an effect drawn from its prior
    SWEEP_DESIGN = 40  # points of a Latin hypercube or Sobol sequence, by number of the axis
    POSTERIOR = 41  # rows: draws of what may be true of a sweep's results, by their common seed
    CLUSTER = 42  # persons; one row per site where recruitment is even
    CLUSTER_SIZE = 43  # rows: clusters, by site
    CLUSTER_OPENING = 44  # rows: clusters, by site
    CLUSTER_LEVEL = 45  # rows: clusters, by site and outcome
    CLUSTER_CHANGE = 46  # rows: clusters, by site and outcome
    CLUSTER_ALLOCATION = 47  # rows: clusters, by site; constrained: one number after another, of each replicate
    SELECTION = 48  # persons
    COHORT_CHOICE = 49  # participants
    MISSED_SESSION = 50  # participants, by session of a group
    COMPONENT = 51  # participants, by component
    COVER = 52  # participants, by session
    GROUP_LEVEL = 53  # rows: delivery groups, by arm and outcome
    CONTAMINATION = 54  # participants from here on
    CO_INTERVENTION = 55
    EVENT = 56  # by outcome
    STOP_DOSE = 58  # by outcome
    RESUME_DOSE = 59  # by outcome
    TAPER = 60  # by outcome


class _Hash(ISeedSequence):
    """The words a bit generator starts from: a hash of its key, which needs no further mixing."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint64) -> NDArray[np.uint64]:
        """The first `n_words` words of 64 bits; SFC64 asks for three."""
        return np.frombuffer(hashlib.blake2b(self._key, digest_size=8 * n_words).digest(), dtype="<u8")


def generator(seed: int, stream: Stream, block: int, names: tuple[str | int, ...]) -> np.random.Generator:
    """The generator of one stream, one block of replicates and, where there are several, one named row of it.

    The key is the text of the tuple (seed, stream, block, names ...), so no two keys are alike: strings stand in
    quotes, whole numbers of any size do not. `ascii` writes it the same on every machine and Python.
    """
    # Why this is sound: 192 bits of BLAKE2b differ for different keys (chance of a clash 2^-192 for each pair). SFC64
    # starts there with its counter at 1 and steps by a permutation of its states that adds 1 to the counter. So two
    # sequences could share a state only at the same step, hence from the same start: for 2^64 numbers none overlap.
    key = ascii((int(seed), int(stream), block, *names)).encode()
    return np.random.Generator(np.random.SFC64(_Hash(key)))  # type: ignore[arg-type]  # NumPy's stub is too narrow
