"""What of a sweep is done, under way, and wanted still."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trialsim.experiments.precision import PILOT, needed_of, worst_variance
from trialsim.sweeps.store import Span, Store
from trialsim.sweeps.work import Counts, Done


class Board:
    """The state of a sweep's folder, by design point and block."""

    def __init__(self, store: Store) -> None:
        self.plan, self.n_points = store.plan, len(store.labels)
        self._per_file = [store.per_file(point) for point in range(self.n_points)]
        self._stop: dict[tuple[int, int], int] = {}
        self._counts: dict[int, dict[int, Counts]] = {}
        self._failed: dict[tuple[int, int], int] = {}
        for (point, block), facts in store.done().items():
            if store.is_whole(point, block, facts):
                self._note(point, block, int(facts["stop"]), facts["counts"], int(facts["failed"]))

    def note(self, done: Done) -> None:
        """A span is on disk now."""
        self._note(done.span.point, done.span.block, done.span.stop, done.counts, done.n_failed)

    def _note(self, point: int, block: int, stop: int, counts: Counts, n_failed: int) -> None:
        self._stop[point, block] = stop
        self._counts.setdefault(point, {})[block] = counts
        self._failed[point, block] = n_failed

    @property
    def n_failed(self) -> int:
        """Replicates on disk that failed."""
        return sum(self._failed.values())

    # --- how much -----------------------------------------------------------------------------------------------------

    def wanted(self, point: int) -> int:
        """Replicates wanted of a point, as far as that is known now.

        With a target, replicates are looked at when a milestone (whole files) is complete, and never in between: so
        that what is wanted depends on the replicates' numbers alone, not on when somebody looked.
        """
        most, target, size = self.plan.replicates, self.plan.target_mcse, self._per_file[point]
        if target is None:
            return most
        milestone = min(most, -(-PILOT // size) * size)
        while milestone < most and self._complete(point, milestone):
            need = -(-needed_of(self._sums(point, milestone), target) // size) * size
            if need <= milestone:
                break
            milestone = min(most, need)
        return milestone

    def _complete(self, point: int, n: int) -> bool:
        size = self._per_file[point]
        return all(self._stop.get((point, block), 0) >= min(n, (block + 1) * size) for block in range(-(-n // size)))

    def _sums(self, point: int, n: int) -> list[tuple[float, int]]:
        """How often each chance came true in replicates 0 ... n - 1 (or as many as there are), and of how many."""
        blocks = range(-(-n // self._per_file[point]))
        known = [counts for block in blocks if (counts := self._counts.get(point, {}).get(block))]
        if not known:
            return []
        return [(float(hits), int(n)) for hits, n in np.sum(np.array(known, dtype=np.int64), axis=0)]

    # --- what is left -------------------------------------------------------------------------------------------------

    def mine(self, point: int, block: int) -> bool:
        """Whether a block belongs to this folder's shard."""
        if self.plan.shard is None:
            return True
        shard, n_shards = self.plan.shard
        number = point if self.plan.target_mcse is not None else point + block
        return number % n_shards == shard - 1

    def missing(self) -> Iterator[Span]:
        """What is wanted and not done, point after point."""
        for point in range(self.n_points):
            yield from self.missing_of(point)

    def missing_of(self, point: int) -> Iterator[Span]:
        """The same of one point."""
        wanted, size = self.wanted(point), self._per_file[point]
        for block in range(-(-wanted // size)):
            start, stop = block * size, min(wanted, (block + 1) * size)
            first = max(start, self._stop.get((point, block), 0))
            if first < stop and self.mine(point, block):
                yield Span(point, block, first, stop, first - start)

    # --- numbers for people -------------------------------------------------------------------------------------------

    def totals(self) -> tuple[int, int]:
        """Replicates done, and wanted as far as is known, of this folder's share."""
        done = sum(stop - block * self._per_file[point] for (point, block), stop in self._stop.items())
        return done, done + sum(span.n for span in self.missing())

    def points_done(self) -> int:
        """Design points of which nothing is missing."""
        return sum(next(self.missing_of(point), None) is None for point in range(self.n_points))

    def mcse(self, point: int) -> float:
        """Largest Monte Carlo standard error of a chance of a point; NaN where nothing is known."""
        sums = self._sums(point, self._per_file[point] * (1 + max(self._counts.get(point, {0: []}))))
        known = max((n for _, n in sums), default=0)
        return float(np.sqrt(worst_variance(sums) / known)) if known else float("nan")

    def largest_mcse(self) -> tuple[float, int]:
        """Largest Monte Carlo standard error of all points that have begun, and that point (-1 where none has)."""
        begun = [(error, p) for p in self._counts if not np.isnan(error := self.mcse(p))]
        return max(begun, default=(float("nan"), -1))
