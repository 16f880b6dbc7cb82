"""Performance of every design point, or averaged over those that share values of some axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import RATIOS, Estimates, Label
from trialsim.design.decisions import hypotheses_of
from trialsim.design.shape import close_to
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import chances, decide, power_rows
from trialsim.experiments.performance import Performance, by_analysis, mean_with_error
from trialsim.sweeps.questions import COUNTED, AtPoint, refuse_failed
from trialsim.sweeps.reading import Results

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Key = tuple[Label, str]
"""What a number is about, and which statistic of it."""
TRIAL = "trial"
"""Stands for the analysis in labels of what is counted of the trial as a whole."""


@dataclass(frozen=True, eq=False)
class Known:
    """A statistic of one design point, and what its Monte Carlo error comes from, replicate by replicate (R,)."""

    row: Performance
    luck: Floats


@dataclass(frozen=True)
class Row:
    """Design points that share `values`, and the means of their statistics, each point with the same weight."""

    values: dict[str, Any]
    points: tuple[int, ...]
    n_replicates: int
    cells: dict[Key, Performance]


@dataclass(frozen=True)
class Summary:
    """A row per design point, or per combination of values of the axes `by`."""

    by: tuple[str, ...]
    rows: tuple[Row, ...]
    without: tuple[int, ...]
    """Design points of which no replicate is finished."""
    of_points: bool
    """Whether a row is one design point."""
    shared_luck: bool
    """Whether design points share their luck (common random numbers)."""

    def frame(self) -> pd.DataFrame:
        """A row per combination of values, label and statistic."""
        import pandas as pd

        return pd.DataFrame([record for row in self.rows for record in self._records(row)])

    def _records(self, row: Row) -> Iterator[dict[str, Any]]:
        place = {"design_point": row.points[0]} if self.of_points else {"n_points": len(row.points)}
        for (label, statistic), cell in row.cells.items():
            about = {name: getattr(label, name) for name in ("analysis", "contrast", "visit", "measure", "estimand")}
            said = {"statistic": statistic, "value": cell.value, "mcse": cell.mcse, "n_replicates": cell.n_replicates}
            yield place | row.values | about | said


def summarise(
    results: Results,
    *,
    by: Sequence[str] = (),
    skip_failed: bool = False,
    analyses: Sequence[str] = (),
    visits: Sequence[str] = (),
    statistics: Sequence[str] = (),
) -> Summary:
    """Performance of the analyses, chances of the decisions, and size, duration and cost of the trial.

    `by` are axes: design points that share their values are averaged with equal weight. The other lists, where they
    are not empty, choose what is summarised (what is counted of the trial goes by its words in `statistics`). Points
    without finished replicates are left out. ResultsError where replicates or fits failed, unless `skip_failed`, and
    for an axis, analysis, visit or statistic that there is not.
    """
    for axis in by:
        _refuse_unknown("axis", axis, results.axes)
    points = [point for point in range(results.n_points) if results.n_replicates(point)]
    if not points:
        raise ResultsError(f"{results.folder}: no replicate is finished yet.")
    if not skip_failed:
        refuse_failed(results, points)
    axes = tuple(dict.fromkeys(by)) or results.axes
    chosen = _Chosen(analyses, visits, statistics)
    rows: dict[Any, _Mean] = {}
    shared = {seed for seed in results.seeds if results.seeds.count(seed) > 1} if by else set()
    for point in points:
        values = {axis: results.axis_values[point][axis] for axis in axes}
        key = tuple(map(str, values.values())) if by else point
        here = AtPoint(results, point)
        seed = results.seeds[point] if results.seeds[point] in shared else None
        found = chosen.of(here, skip_failed, with_luck=seed is not None)
        rows.setdefault(key, _Mean(values)).add(here, found, seed)
    chosen.refuse_unseen()
    return Summary(
        by=axes,
        rows=tuple(row.row() for row in rows.values()),
        without=tuple(sorted(set(range(results.n_points)) - set(points))),
        of_points=not by,
        shared_luck=results.shared_luck,
    )


def _refuse_unknown(what: str, name: str, known: Iterable[str]) -> None:
    known = list(dict.fromkeys(known))
    if name in known:
        return
    close = close_to(name, known)
    hint = f"Did you mean '{close}'?" if close else f"There are: {', '.join(known)}." if known else "There is none."
    raise ResultsError(f"no {what} is called '{name}'. {hint}")


class _Chosen:
    """Statistics that are asked for."""

    def __init__(self, analyses: Sequence[str], visits: Sequence[str], statistics: Sequence[str]) -> None:
        self.asked = {"analysis": analyses, "visit": visits, "statistic": statistics}
        self.seen: dict[str, dict[str, None]] = {what: {} for what in self.asked}

    def of(self, here: AtPoint, skip_failed: bool, *, with_luck: bool) -> Iterator[Known]:
        """Those of a design point that are asked for."""
        for known in known_of(here, skip_failed=skip_failed, wanted=self._wants_analysis, with_luck=with_luck):
            wanted = [self._wants(what, name) for what, name in _names(known.row).items()]
            if all(wanted):
                yield known

    def _wants_analysis(self, name: str) -> bool:
        return self._wants("analysis", name)

    def _wants(self, what: str, name: str) -> bool:
        if name:
            self.seen[what][name] = None
        return not self.asked[what] or name in self.asked[what]

    def refuse_unseen(self) -> None:
        """ResultsError for a name that no statistic has."""
        for what, asked in self.asked.items():
            for name in asked:
                _refuse_unknown(what, name, self.seen[what])


def _names(row: Performance) -> dict[str, str]:
    of_trial = row.label.analysis == TRIAL
    return {
        "analysis": row.label.analysis,
        "visit": row.label.visit,
        "statistic": row.label.measure if of_trial else row.statistic,
    }


# --- one design point -------------------------------------------------------------------------------------------------


def known_of(
    here: AtPoint,
    *,
    skip_failed: bool = False,
    wanted: Callable[[str], bool] = lambda analysis: True,
    with_luck: bool = True,
) -> Iterator[Known]:
    """Statistics of a point: of its decisions, of the analyses that are `wanted` (see `performance`), of the trial.

    Luck is only needed where points that share it are averaged, and takes time: without it, analyses have none.
    """
    if "estimates" in here.results.tables:
        try:
            yield from _of_decisions(here, skip_failed, wanted)
            how = {"skip_failed": skip_failed, "with_luck": with_luck}
            yield from known_of_analyses(here.estimates, wanted=wanted, **how)
        except ResultsError as error:
            raise ResultsError(f"design point {here.point}: {error}") from error
    for name, what in COUNTED.items():
        values = here.counted(name)
        label = Label(TRIAL, "all arms", "", what, "")
        yield Known(Performance(label, "mean", *mean_with_error(values)), values)


def _of_decisions(here: AtPoint, skip_failed: bool, wanted: Callable[[str], bool]) -> Iterator[Known]:
    design = here.design
    for name, decision in design.decisions.items():
        about = ["decision", *(hypothesis.analysis for hypothesis in hypotheses_of(design, decision))]
        if True not in [wanted(analysis) for analysis in about]:
            continue
        decided = decide(design, name, here.estimates)
        known = ~np.isnan(decided.favourable).any(axis=1)
        rows = power_rows(decided, skip_failed=skip_failed)
        for row, (_, _, hits) in zip(rows, chances(decided), strict=True):
            yield Known(row, np.where(known, hits, np.nan))


def known_of_analyses(
    estimates: Estimates,
    *,
    skip_failed: bool = False,
    wanted: Callable[[str], bool] = lambda analysis: True,
    with_luck: bool = True,
) -> Iterator[Known]:
    """Statistics of the analyses that are `wanted`. ResultsError where fits failed, unless `skip_failed`."""
    places = {label: place for place, label in enumerate(estimates.labels)}
    for name, rows, why in by_analysis(estimates, skip_failed=skip_failed):
        if not wanted(name):
            continue
        if why:
            raise ResultsError(f"{name}: {why}")
        truth = {row.label: row.value for row in rows if row.statistic == "truth"}
        for row in rows:
            true = truth.get(row.label, float("nan"))
            luck = _luck(estimates, places[row.label], row.statistic, true) if with_luck else np.empty(0)
            yield Known(row, luck)


def _luck(estimates: Estimates, place: int, statistic: str, truth: float) -> Floats:
    """What a statistic's Monte Carlo error comes from: its value, or its derivative, in each replicate (R,).

    The size does not matter (see `scaled`), only the direction.
    """
    log = estimates.labels[place].measure in RATIOS
    on_scale = _log if log else np.asarray
    values, own = on_scale(estimates.estimate[:, place]), on_scale(estimates.truth[:, place])
    squared_errors = estimates.std_error[:, place] ** 2
    if statistic == "failed fits":
        return (~estimates.converged[:, place]).astype(float)
    if statistic == "power":
        return estimates.significant[:, place]
    if statistic in ("mean estimate", "truth", "bias"):
        return {"mean estimate": values, "truth": own, "bias": values - own}[statistic]
    if statistic == "coverage":
        low, high = estimates.ci_low[:, place], estimates.ci_high[:, place]
        return np.where(np.isnan(low), np.nan, (low <= truth) & (truth <= high))
    around = float(on_scale(np.array(truth))) if statistic == "MSE" else float(np.nanmean(values))
    squares = (values - around) ** 2
    if statistic == "model SE":
        return squared_errors
    if statistic == "relative error of SE":
        return squared_errors / np.nanmean(squared_errors) - squares / np.nanmean(squares)
    assert statistic in ("empirical SE", "MSE")
    return squares


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log(values), np.nan)


# --- averages over design points --------------------------------------------------------------------------------------


def scaled(luck: Floats, mcse: float) -> Floats | None:
    """Luck around its mean, so that the root of the sum of squares is the Monte Carlo error, (R,); 0 where NaN.

    Then the covariance of two statistics is the sum of products over replicates. None where luck shows no spread.
    """
    around = np.nan_to_num(luck - np.nanmean(luck)) if not np.isnan(luck).all() else np.zeros_like(luck)
    size = float(np.sqrt((around**2).sum()))
    return around * (mcse / size) if size > 0 and not np.isnan(mcse) else None


@dataclass
class _Cell:
    """Sums of one statistic over the design points of a row."""

    value: float = 0.0
    n_points: int = 0
    n_replicates: int = 0
    variance: float = 0.0
    """Of points with luck of their own."""
    luck: dict[str, Floats] = field(default_factory=dict)
    """Summed over points of a seed, by replicate."""
    certain: dict[str, float] = field(default_factory=dict)
    """Errors of points that show no spread (all or no replicates are hits): as if each were due to the same luck."""

    def add(self, known: Known, replicate: NDArray[np.int32], seed: str | None) -> None:
        """One more point; `seed` is None where no other point has its luck."""
        row = known.row
        self.value += row.value
        self.n_points += 1
        self.n_replicates += row.n_replicates
        if seed is None or np.isnan(row.mcse):
            self.variance += row.mcse**2
            return
        luck = scaled(known.luck, row.mcse)
        if luck is None:
            self.certain[seed] = self.certain.get(seed, 0.0) + row.mcse
        else:
            self.luck[seed] = _sum(self.luck.get(seed), luck, replicate)

    def row(self, key: Key) -> Performance:
        """The mean, with its error."""
        variance = self.variance + sum(float((luck**2).sum()) for luck in self.luck.values())
        variance += sum(error**2 for error in self.certain.values())
        return Performance(
            *key, self.value / self.n_points, float(np.sqrt(variance)) / self.n_points, self.n_replicates
        )


def _sum(so_far: Floats | None, luck: Floats, replicate: NDArray[np.int32]) -> Floats:
    """Luck added at its replicates' places."""
    size = max(0 if so_far is None else len(so_far), int(replicate.max()) + 1)
    total = np.zeros(size)
    if so_far is not None:
        total[: len(so_far)] = so_far
    total[replicate] += luck
    return total


class _Mean:
    """Collects the design points of a row."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.points: list[int] = []
        self.n_replicates = 0
        self.cells: dict[Key, _Cell] = {}

    def add(self, here: AtPoint, found: Iterable[Known], seed: str | None) -> None:
        """One more design point."""
        self.points.append(here.point)
        self.n_replicates += len(here.replicate)
        for known in found:
            key = (known.row.label, known.row.statistic)
            self.cells.setdefault(key, _Cell()).add(known, here.replicate, seed)

    def row(self) -> Row:
        """What was collected."""
        cells = {key: cell.row(key) for key, cell in self.cells.items()}
        return Row(self.values, tuple(self.points), self.n_replicates, cells)
