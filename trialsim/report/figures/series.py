"""What figures need of participants, as sums and counts of a block of replicates: R of them.

A arms, V visits, K outcomes, D days, S sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.world.histories import NONE, Missing, Status
from trialsim.world.outcomes import is_responder
from trialsim.world.world import World

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_SITES = 12
"""Sites that have a panel of their own; of more, the last takes all that are left."""


@dataclass(frozen=True)
class Staff:
    """One arm whose participants wait for a coach or a group."""

    in_use: Ints  # (R, D) places taken at the end of each day
    by_coach: Ints  # (C, D) the same of each coach or team, summed over replicates
    waiting: Ints  # (R, D)
    waits: Ints  # (R, W) how many were given a place after so many days
    gave_up: Ints  # (R,) left the list without one


@dataclass(frozen=True)
class Series:
    """Of R replicates."""

    replicates: NDArray[np.int32]
    enrolled: Ints  # (R, sites, D) randomized on each day
    closing: Ints  # (R,) last day of enrolment
    status: Ints  # (R, A, Status, 2) how treatment went, of those without and with a session
    sessions: Ints  # (R, A, S + 1) attended so many
    missing: Ints  # (R, A, V, Missing) how each visit went
    patterns: Ints  # (rows, 4): replicate, arm, visits answered as bits (the first is 1), participants
    truth: Floats  # (R, K, A, V) mean potential outcome of everybody, in cohorts of the arm's own people [points]
    responders: Floats  # (R, K, A, V) share of potential responses
    staff: dict[str, Staff]
    digests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.replicates)

    def alone(self, row: int) -> Series:
        """One replicate of these, without staff (whose sums are over all)."""
        one = slice(row, row + 1)
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        mine = {name: value[one] for name, value in parts.items() if name not in ("patterns", "staff")}
        patterns = self.patterns[self.patterns[:, 0] == self.replicates[row]]
        return Series(**mine, patterns=patterns, staff={})


def series_of(block: Block, digests: Sequence[str]) -> Series:
    """A block's."""
    members = _Members(block)
    return Series(
        replicates=np.arange(block.first, block.first + block.n_replicates, dtype=np.int32),
        enrolled=_enrolled(block),
        closing=block.histories.closing_day.astype(np.int64),
        status=_status(block, members),
        sessions=members.count(block.histories.n_sessions, block.world.max_sessions + 1),
        missing=np.stack([members.count(seen, len(Missing)) for seen in block.follow.missing], axis=2),
        patterns=_patterns(block),
        truth=_means(block, responders=False),
        responders=_means(block, responders=True),
        staff={name: _staff(block, arm) for arm, name in enumerate(block.world.arms) if block.world.waits(arm)},
        digests=tuple(digests),
    )


def joined(parts: Sequence[Series]) -> Series:
    """Series of blocks, one after the other; days are filled up with nothing."""
    names = ("replicates", "closing", "status", "sessions", "missing", "patterns", "truth", "responders")
    whole: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    staff = {arm: _joined_staff([part.staff[arm] for part in parts]) for arm in parts[0].staff}
    digests = tuple(digest for part in parts for digest in part.digests)
    return Series(enrolled=_stacked([part.enrolled for part in parts]), staff=staff, digests=digests, **whole)


def _joined_staff(parts: Sequence[Staff]) -> Staff:
    days = max(part.by_coach.shape[-1] for part in parts)
    return Staff(
        in_use=_stacked([part.in_use for part in parts]),
        by_coach=np.sum([_padded(part.by_coach, days) for part in parts], axis=0),
        waiting=_stacked([part.waiting for part in parts]),
        waits=_stacked([part.waits for part in parts]),
        gave_up=np.concatenate([part.gave_up for part in parts]),
    )


def _stacked(parts: Sequence[Ints]) -> Ints:
    length = max(part.shape[-1] for part in parts)
    return np.concatenate([_padded(part, length) for part in parts])


def _padded(values: Ints, length: int) -> Ints:
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, length - values.shape[-1])])


class _Members:
    """Counts of participants by replicate and arm."""

    def __init__(self, block: Block) -> None:
        self.shape = (block.n_replicates, len(block.world.arms))
        column = np.arange(block.n_replicates, dtype=np.int64)
        self.valid = block.histories.arm != NONE
        self.cell = (column * self.shape[1] + block.histories.arm)[self.valid]

    def count(self, code: NDArray[Any], n_codes: int) -> Ints:
        """Of codes (N, R), shape (R, A, n_codes)."""
        size = self.shape[0] * self.shape[1] * n_codes
        counts = np.bincount(self.cell * n_codes + code[self.valid], minlength=size)
        return counts.reshape(*self.shape, n_codes)


def site_groups(world: World) -> list[list[int]]:
    """Sites by panel, in their order: each its own; of many, those that contact most, and all others together."""
    n = len(world.sites)
    if n <= MOST_SITES:
        return [[site] for site in range(n)]
    by_size = np.argsort(-world.rates.sum(axis=1), kind="stable")
    own = sorted(by_size[: MOST_SITES - 1].tolist())
    return [*([site] for site in own), sorted(by_size[MOST_SITES - 1 :].tolist())]


def _enrolled(block: Block) -> Ints:
    groups = site_groups(block.world)
    group_of = np.empty(len(block.world.sites), dtype=np.int64)
    for number, sites in enumerate(groups):
        group_of[sites] = number
    h, valid = block.histories, block.histories.arm != NONE
    days = int(h.closing_day.max(initial=0)) + 1
    column = np.broadcast_to(np.arange(block.n_replicates), h.arm.shape)[valid]
    cell = (column * len(groups) + group_of[h.site[valid]]) * days + h.randomized_day[valid]
    counts = np.bincount(cell, minlength=block.n_replicates * len(groups) * days)
    return counts.reshape(block.n_replicates, len(groups), days)


def _status(block: Block, members: _Members) -> Ints:
    h = block.histories
    counts = members.count(h.status.astype(np.int64) * 2 + (h.n_sessions > 0), 2 * len(Status))
    return counts.reshape(*members.shape, len(Status), 2)


def _patterns(block: Block) -> Ints:
    """Which visits were answered, as bits, counted by replicate and arm."""
    answered = block.follow.missing == Missing.ANSWERED  # (V, N, R)
    bits = np.int64(1) << np.arange(len(answered), dtype=np.int64)
    code = np.tensordot(bits, answered, axes=1)
    valid = block.histories.arm != NONE
    column = np.broadcast_to(np.arange(block.n_replicates) + block.first, valid.shape)
    rows = np.stack([column[valid], block.histories.arm[valid], code[valid]], axis=1)
    found, counts = np.unique(rows, axis=0, return_counts=True)
    return np.column_stack([found, counts]).astype(np.int64).reshape(-1, 4)


def _means(block: Block, *, responders: bool) -> Floats:
    """Of all participants under every arm, (R, K, A, V); of cohorts of an arm's own, who are other people."""
    cohort, arm = block.plan.cohort, block.histories.arm
    own = block.world.design.allocation.kind == "cohorts"
    found = np.empty((block.n_replicates, *block.outcomes.potential.shape[:3]))
    for k, outcome in enumerate(block.world.design.outcomes.values()):
        for a, v in np.ndindex(*found.shape[2:]):
            members = arm == a if own else cohort.valid
            n = members.sum(axis=0)
            steps = block.outcomes.potential[k, a, v]
            if responders:
                total, factor = (is_responder(outcome, cohort.baseline[k], steps) & members).sum(axis=0), 1
            else:
                total, factor = (steps * members).sum(axis=0, dtype=np.int64), outcome.items
            mean = np.divide(total, n * factor, out=np.full(len(n), np.nan), where=n > 0)
            found[:, k, a, v] = mean if responders else outcome.low + mean
    return found


def _staff(block: Block, arm: int) -> Staff:
    h = block.histories
    who = (h.arm == arm) & (h.asked_day != NONE)
    column = np.broadcast_to(np.arange(block.n_replicates), who.shape)[who]
    asked, offered, released, ended = (days[who] for days in (h.asked_day, h.offered_day, h.released_day, h.ended_day))
    served, coach = offered != NONE, h.coach[who]
    last = int(max(released.max(initial=0), ended.max(initial=0), asked.max(initial=0)))
    off_list = np.where(served, offered, ended)
    n_coaches = max(len(block.world.design.coaches(block.world.arms[arm])), int(coach.max(initial=NONE)) + 1)
    days = last + 1
    waits = (offered - asked)[served]
    size = int(waits.max(initial=0)) + 1
    by_wait = np.bincount(column[served] * size + waits, minlength=block.n_replicates * size)
    places = (offered[served], released[served] + 1)
    return Staff(
        in_use=_census(column[served], *places, (block.n_replicates, days)),
        by_coach=_census(coach[served], *places, (n_coaches, days)),
        waiting=_census(column, asked, off_list, (block.n_replicates, days)),
        waits=by_wait.reshape(block.n_replicates, size),
        gave_up=np.bincount(column[~served], minlength=block.n_replicates),
    )


def _census(row: NDArray[Any], entered: NDArray[Any], left: NDArray[Any], shape: tuple[int, int]) -> Ints:
    """Number in each row at the end of each day: entered on or before, not yet left."""
    size = shape[1] + 1
    came = np.bincount(row.astype(np.int64) * size + entered, minlength=shape[0] * size)
    went = np.bincount(row.astype(np.int64) * size + left, minlength=shape[0] * size)
    return (came - went).reshape(shape[0], size).cumsum(axis=1)[:, : shape[1]]
