"""What figures are drawn from: the results of a design or of a sweep, and the very trials behind them.

Estimates and counts come from the results. Courses over time, which results do not keep, come from the same replicates
simulated again: replicate k is always the same trial, and digests prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import Estimates, Label
from trialsim.block import batches, simulate_block
from trialsim.design.decisions import hypotheses_of
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.decisions import decide, family_wise_error, power_rows
from trialsim.experiments.executors import Lost, local_crew
from trialsim.experiments.measures import Measures
from trialsim.experiments.nulls import Partition, equal_within, null_designs
from trialsim.experiments.performance import Performance, by_analysis
from trialsim.experiments.runner import Experiment, digest_of, run, world_of
from trialsim.experiments.superpopulation import truths_for
from trialsim.experiments.targets import Target, targets_of
from trialsim.report.figures.kinds import Of
from trialsim.report.figures.series import Series, joined, series_of
from trialsim.sweeps.folders import MANIFEST
from trialsim.sweeps.questions import AtPoint, Measured, Quantity, refuse_failed
from trialsim.sweeps.reading import Results, open_results
from trialsim.world.world import World

Progress = Callable[[int, int], None]

REPLICATES = 200
"""Of a design, where not said otherwise."""
AGAIN, PEOPLE_AGAIN = 100, 1_500_000
"""Replicates that are simulated again, at most, for what results do not keep; fewer of a trial with many people."""
MOST_ARMS = 5
"""From so many arms on not every partial null is tried, but all arms equal and each pair."""


def gather(
    source: str | Path,
    *,
    replicates: int | None = None,
    seed: int | None = None,
    workers: int = 1,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    point: int | None = None,
    skip_failed: bool = False,
) -> Material:
    """Material from a results folder (of a run, or of a sweep), or from a design (a scenario's name, or a file).

    Nothing is simulated before a figure needs it. `replicates` (default 200), `seed` (1) and `overrides` are for
    designs; `point` takes one design point of a sweep. TrialsimError for what is neither, and for what does not fit.
    """
    how: dict[str, Any] = {"workers": workers, "progress": progress, "skip_failed": skip_failed}
    if is_folder(source):
        _refuse(source, replicates=replicates, seed=seed, overrides=overrides or None)
        return _from_results(open_results(source), point, **how)
    if point is not None:
        raise TrialsimError(f"{source}: a design has no points: point is for the results of a sweep.")
    design = read_design(source, overrides=overrides)
    n, first = (REPLICATES if replicates is None else replicates), (1 if seed is None else seed)
    if n < 1 or first < 0:
        raise TrialsimError(f"at least one replicate and a seed from 0 on are needed (given: {n}, seed {first}).")
    return Material(design=design, seed=first, source=str(source), planned=n, **how)


def is_folder(source: str | Path) -> bool:
    """Whether a source is meant as a results folder."""
    return Path(source).is_dir() or (Path(source) / MANIFEST).exists()


def _refuse(source: str | Path, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            what = {"overrides": "a changed value (--set)"}.get(name, name)
            raise TrialsimError(f"{source}: {what} cannot be chosen: this is a results folder, which has its own.")


def _from_results(results: Results, point: int | None, **how: Any) -> Material:
    is_sweep = "plan" in results.manifest
    if point is None and is_sweep:
        return Material(
            design=results.design(0), seed=0, source=str(results.folder), results=results, of="sweep", **how
        )
    number = point or 0
    design = results.design(number)
    seed = int(results.seeds[number])
    return Material(design=design, seed=seed, source=str(results.folder), results=results, point=number, **how)


@dataclass(frozen=True, eq=False)
class Material:
    """Everything is found when it is first asked for, and kept."""

    design: Design
    """Of a sweep, that of the first design point."""
    seed: int
    source: str
    """Name, file or folder."""
    of: Of = "trial"
    results: Results | None = None
    point: int = 0
    planned: int = 0
    """Replicates to run, of a design."""
    workers: int = 1
    progress: Progress | None = None
    skip_failed: bool = False

    # --- replicates ---------------------------------------------------------------------------------------------------

    @cached_property
    def world(self) -> World:
        """The design as numbers."""
        return World(self.design)

    @property
    def name(self) -> str:
        """Of the design, or of the sweep."""
        return self.results.name if self.of == "sweep" and self.results is not None else self.design.name

    @cached_property
    def _experiment(self) -> Experiment:
        assert self.results is None
        found = run(self.design, seed=self.seed, replicates=self.planned, workers=self.workers, progress=self.progress)
        if found.failures and not self.skip_failed:
            failure = found.failures[0]
            raise ResultsError(f"replicate {failure.replicate} failed in {failure.stage}: {failure.error}.")
        return found

    @cached_property
    def replicates(self) -> NDArray[np.int32]:
        """Numbers of the replicates that did not fail, (R,)."""
        if self.results is None:
            return self._experiment.replicates
        rows = self.results.replicates_of(self.point)["replicate"]
        if not len(rows):
            raise ResultsError(f"{self.source}: no replicate is finished.")
        return rows

    @property
    def n_replicates(self) -> int:
        """R."""
        return len(self.replicates)

    @property
    def many(self) -> bool:
        """Whether there is more than one replicate."""
        return self.n_replicates > 1

    @cached_property
    def n_failed(self) -> int:
        """Replicates that failed."""
        return len(self._experiment.failures) if self.results is None else self.results.n_failed(self.point)

    @cached_property
    def measures(self) -> Measures:
        """What is counted of each replicate, (R,) by name."""
        return self._experiment.measures if self.results is None else self.results.measures_of(self.point)

    def column_of(self, replicate: int) -> int:
        """Place of a replicate."""
        return int(np.flatnonzero(self.replicates == replicate)[0])

    # --- analyses -----------------------------------------------------------------------------------------------------

    @cached_property
    def estimates(self) -> Estimates | None:
        """Of the analyses; None where there is none."""
        if not self.design.analyses:
            return None
        if self.results is None:
            return self._experiment.estimates
        return self.results.estimates_of(self.point)

    @cached_property
    def performance(self) -> list[Performance]:
        """Of many replicates, as `trialsim run` has it; empty for one. Analyses with failed fits are in `refused`."""
        estimates = self.estimates
        if estimates is None or not self.many:
            return []
        stored = self._stored_performance()
        if stored:
            return stored
        truths = truths_for(self._experiment) if self.results is None else None
        found = by_analysis(estimates, skip_failed=self.skip_failed, truths=truths)
        return [row for _, rows, _ in found for row in rows]

    def _stored_performance(self) -> list[Performance]:
        """What the run has written, true values from a large simulation included."""
        if self.results is None or self.skip_failed or "performance" not in self.results.tables:
            return []
        rows = self.results.arrow("performance", self.point).to_pylist()
        names = ("analysis", "contrast", "visit", "measure", "estimand")
        return [
            Performance(
                Label(*(row[name] for name in names)),
                row["statistic"],
                _number(row["value"]),
                _number(row["mcse"]),
                row["n_replicates"],
            )
            for row in rows
        ]

    @cached_property
    def refused(self) -> dict[str, str]:
        """Analyses of which some fits failed, and why they are not summarised."""
        if self.estimates is None:
            return {}
        found = by_analysis(self.estimates, skip_failed=self.skip_failed)
        return {name: why for name, _, why in found if why}

    @cached_property
    def decisions(self) -> tuple[list[Performance], list[str]]:
        """Chances of the decisions, and why there are none of some."""
        rows: list[Performance] = []
        refused: list[str] = []
        for name in self.design.decisions if self.estimates is not None else ():
            assert self.estimates is not None
            try:
                rows += power_rows(decide(self.design, name, self.estimates), skip_failed=self.skip_failed)
            except ResultsError as error:
                refused.append(str(error))
        return rows, refused

    # --- published ----------------------------------------------------------------------------------------------------

    @cached_property
    def targets(self) -> dict[str, Target]:
        """Published values of the same quantities, by measure; none where the design is not one of the library's."""
        try:
            published = targets_of(self.design.name)
        except TrialsimError:
            return {}
        return {one.measure: one for one in published.targets if one.held and one.design is None}

    # --- again --------------------------------------------------------------------------------------------------------

    @property
    def n_again(self) -> int:
        """How many replicates are simulated again, if there are so many."""
        return min(AGAIN, max(4, PEOPLE_AGAIN // self.design.sample_size))

    @cached_property
    def series(self) -> Series:
        """The first replicates simulated again. ResultsError where they are not the same trials."""
        wanted = self.replicates[: self.n_again]
        found = _again(self.design, self.seed, wanted, self.workers, self.progress)
        stored = self._digests()[: len(found)]
        for replicate, mine, theirs in zip(found.replicates, found.digests, stored, strict=True):
            if mine != theirs:
                raise ResultsError(
                    f"{self.source}: replicate {replicate} simulated again is not the one stored (another version of "
                    "trialsim wrote it, or its design was changed). Run it again to draw this figure."
                )
        return found

    def again(self, replicate: int) -> Series:
        """One replicate simulated again."""
        if replicate in self.replicates[: self.n_again] and "series" in self.__dict__:
            return self.series.alone(int(np.flatnonzero(self.series.replicates == replicate)[0]))
        return _again(self.design, self.seed, np.array([replicate], dtype=np.int32), 1, None)

    def _digests(self) -> list[str]:
        if self.results is None:
            return self._experiment.digests
        rows = self.results.arrow("replicates", self.point).select(["status", "digest"]).to_pylist()
        return [row["digest"] for row in rows if row["status"] == "ok"]

    @cached_property
    def nulls(self) -> list[tuple[Partition, str, tuple[float, float, int] | None]]:
        """Family-wise error of each decision under partial nulls, as `trialsim power --nulls` has it."""
        worlds = list(self.null_worlds())
        found = []
        for place, (parts, null) in enumerate(worlds):
            experiment = run(null, seed=self.seed, replicates=self.n_nulls, workers=self.workers)
            if experiment.failures and not self.skip_failed:
                failure = experiment.failures[0]
                raise ResultsError(f"replicate {failure.replicate} failed in {failure.stage}: {failure.error}.")
            assert experiment.estimates is not None
            for name in self.design.decisions:
                decided = decide(null, name, experiment.estimates)
                found.append((parts, name, family_wise_error(decided, parts, skip_failed=self.skip_failed)))
            if self.progress is not None:
                self.progress(place + 1, len(worlds))
        return found

    @property
    def n_nulls(self) -> int:
        """Replicates of each null world."""
        return max(2, min(self.n_replicates, 1000))

    def null_worlds(self) -> list[tuple[Partition, Design]]:
        """Every partial null; of many arms only all equal, and each pair. With the analyses that decisions need."""
        design = _for_decisions(self.design)
        arms = tuple(design.arms)
        if len(arms) < MOST_ARMS:
            return list(null_designs(design))
        parts: list[Partition] = [(arms,)]
        for i, first in enumerate(arms):
            for second in arms[i + 1 :]:
                others = tuple((arm,) for arm in arms if arm not in (first, second))
                parts.append(((first, second), *others))
        return [(one, equal_within(design, one)) for one in parts]

    # --- sweeps -------------------------------------------------------------------------------------------------------

    @property
    def sweep(self) -> Results:
        """The results of the sweep."""
        if self.of != "sweep" or self.results is None:
            raise TrialsimError(f"{self.source}: this needs the results of a sweep.")
        return self.results

    def at(self, point: int) -> AtPoint:
        """The replicates of a design point."""
        return self._at.setdefault(point, AtPoint(self.sweep, point))

    def kept(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was made before under this key, or is made now."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[Hashable, Any]:
        return {}

    @cached_property
    def _at(self) -> dict[int, AtPoint]:
        return {}

    @cached_property
    def takes(self) -> dict[int, tuple[Measured, ...]]:
        """Power (of the first decision), duration and cost of every design point that has replicates."""
        results = self.sweep
        wanted = (Quantity("power", ""), Quantity("counted", "duration_months"), Quantity("counted", "cost"))
        points = [p for p in range(results.n_points) if results.n_replicates(p)]
        if not self.skip_failed:
            refuse_failed(results, points)
        good = [p for p in points if results.n_replicates(p) - results.n_failed(p)]
        return {p: tuple(self.at(p).measured(one, skip_failed=self.skip_failed) for one in wanted) for p in good}


def _for_decisions(design: Design) -> Design:
    """The design without the analyses that no decision needs: they cost time."""
    families = [hypotheses_of(design, decision) for decision in design.decisions.values()]
    needed = {hypothesis.analysis for family in families for hypothesis in family}
    analyses = {name: plan for name, plan in design.analyses.items() if name in needed}
    return design.model_copy(update={"analyses": analyses})


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


# --- again ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    document: str
    seed: int
    first: int
    n_replicates: int


def _again(design: Design, seed: int, replicates: NDArray[np.int32], workers: int, progress: Progress | None) -> Series:
    """Series of these replicates."""
    document = design.model_dump_json()
    spans = np.split(replicates, np.flatnonzero(np.diff(replicates) != 1) + 1)
    pieces = [
        _Piece(document, seed, first, n) for span in spans for first, n in batches(design, int(span[0]), len(span))
    ]
    found: dict[int, Series] = {}
    with local_crew(min(workers, len(pieces))) as hands, closing(hands.results(_series_of, pieces)) as arriving:
        for piece, part in arriving:
            if isinstance(part, Lost):
                raise ResultsError(f"replicates from {piece.first} on: {part.reason}. Try fewer workers.")
            found[piece.first] = part
            if progress is not None:
                progress(sum(map(len, found.values())), len(replicates))
    return joined([found[first] for first in sorted(found)])


def _series_of(piece: _Piece) -> Series:
    block = simulate_block(
        world_of(piece.document), seed=piece.seed, first=piece.first, n_replicates=piece.n_replicates, engine="vector"
    )
    return series_of(block, [digest_of(block, column) for column in range(piece.n_replicates)])
