"""Numbers of a design chosen so that simulated targets meet published ones.

Minimised is the sum of squared discrepancies, each the simulated mean's distance from the published value in tolerances
(half widths of the target's range, `Target.distance`). All tries have the same seed and replicates, so they share their
luck and differences between them are smooth. scipy's bounded trust-region least squares does the search, with central
differences of 2 to 4 % of each number's range, wide enough to see through outcomes' whole steps.

Uncertainty: a range is taken for a 95 % interval, so a published value has the standard error tolerance / 1.96. With J
the derivatives of the discrepancies in standard errors, published errors leave the numbers with the covariance
(J'J)^-1, and Monte Carlo errors of covariance S with P S P', P = (J'J)^-1 J' (Seber and Wild 2003, Nonlinear
Regression, chapter 2, doi:10.1002/0471725315). Published values are taken as independent, which those of one trial
seldom are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from trialsim.design.parts import Design
from trialsim.errors import TrialsimError
from trialsim.experiments.executors import Crew, local_crew
from trialsim.experiments.runner import Experiment, run_with
from trialsim.experiments.size import changed, number_at
from trialsim.experiments.targets import OF_ANALYSES, Finding, Target, Targets, find, values_of

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

STEP = 0.02
"""Step of the central differences. Numbers are searched on a scale from 1 to 2, so it is 2 to 4 % of the range."""
STOP_COST, STOP_STEP, STOP_SLOPE = 1e-4, 1e-3, 1e-3
PER_SE = 1.96
"""Standard errors in a tolerance."""
WEAK = 0.5
"""A number, or a direction, whose standard error is above this share of the range is weakly identified."""
FAINT = 1.0
"""Least square of a direction's strength: its standard error is at most the range, which is known before any target."""
CORRELATED = 0.9
EDGE = 0.005
"""So near to a limit, as a share of the range, a number counts as being at it."""
NAMED = 3
"""Targets named with a number at most: those that it moves most, and at least half as much as the first."""
NOTICED = 0.05
"""Tolerances that a number must move a target by, going through its range, to be said to move it."""

STOPS = {
    0: "the limit of tries was reached; more --most may fit better",
    1: f"no number changes the fit any more (slope below {STOP_SLOPE:g})",
    2: f"the fit gets no better (by less than {STOP_COST:g} of its sum of squares)",
    3: f"the numbers stay where they are (steps below {STOP_STEP:g} of their ranges)",
    4: f"the fit gets no better (by less than {STOP_COST:g} of its sum of squares) and the numbers stay",
}


@dataclass(frozen=True)
class Free:
    """A number to be fitted, between limits. It may stand at several paths."""

    paths: tuple[str, ...]
    low: float
    high: float

    @property
    def name(self) -> str:
        """The paths, as they were given."""
        return ",".join(self.paths)

    @property
    def range(self) -> float:
        """Length of the range."""
        return self.high - self.low

    def text(self, x: float) -> str:
        """A value as it is written: to at least 1/10,000 of the range, within the limits."""
        digits = max(0, 4 - math.floor(math.log10(self.range)))
        inside = min(max(round(x, digits), self.low), self.high)
        return f"{inside:.{digits + 6}f}".rstrip("0").rstrip(".")


def read_free(text: str) -> Free:
    """`a.b.c=low..high`, or `a.b.c,d.e.f=low..high` for one number at several places. TrialsimError for other text."""
    paths, equals, limits = text.partition("=")
    low_text, dots, high_text = limits.partition("..")
    names = tuple(path.strip() for path in paths.split(","))
    try:
        low, high = float(low_text), float(high_text)
    except ValueError:
        low = high = float("nan")
    if not (equals and dots and all(names) and math.isfinite(low) and math.isfinite(high)):
        raise TrialsimError(f"--free {text}: must have the form PATH=LOW..HIGH, e.g. arms.coach.start_prob=0.6..0.95.")
    if low >= high:
        raise TrialsimError(f"--free {text}: the lower limit must be below the upper one.")
    return Free(names, low, high)


@dataclass(frozen=True)
class Number:
    """A free number and what the fit says of it."""

    free: Free
    start: float
    value: float
    published_error: float
    """Standard error that the published values' own errors leave it with."""
    monte_carlo_error: float
    limit: Literal["", "lower", "upper"]
    """The limit it is at."""
    moves: tuple[str, ...]
    """Labels of the targets it moves most."""

    @property
    def error(self) -> float:
        """Standard error from both."""
        return math.hypot(self.published_error, self.monte_carlo_error)

    @property
    def weak(self) -> bool:
        """Whether the targets hardly say what it is."""
        return self.error > WEAK * self.free.range


@dataclass(frozen=True)
class Judged:
    """A target before and after the fit, and on fresh luck."""

    fitted: bool
    before: Finding
    after: Finding
    fresh: Finding


@dataclass(frozen=True)
class Calibration:
    """What was fitted to what, and how well."""

    design: Design
    fitted_design: Design
    numbers: tuple[Number, ...]
    targets: tuple[Judged, ...]
    left_out: tuple[str, ...]
    """Labels of targets that are only shown, or simulated with another scenario."""
    weak_directions: tuple[tuple[str, ...], ...]
    """Numbers that can change together by over half of their ranges while the targets hardly notice."""
    correlated: tuple[tuple[str, str, float], ...]
    replicates: int
    seed: int
    tries: int
    stop: str

    @property
    def fresh_seed(self) -> int:
        """Seed of the trials that were not fitted to."""
        return self.seed + 1


def calibrate(
    design: Design,
    targets: Targets,
    free: Sequence[Free],
    *,
    all_targets: bool = False,
    replicates: int = 100,
    seed: int = 1,
    workers: int = 1,
    most: int = 200,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the free numbers to the held targets of kind `fitted` (or to all held ones), in at most `most` tries.

    A try is `replicates` simulated trials. TrialsimError for numbers that cannot be searched, DesignError's kin where a
    limit is impossible, ResultsError for a target that is not simulated.
    """
    starts = check_free(design, free)
    _refuse_few(free, most)
    own = [t for t in targets.targets if t.held and t.design in (None, design.name)]
    wanted = [t for t in own if all_targets or t.kind == "fitted"]
    _refuse_targets(wanted)
    with local_crew(workers) as hands:
        before = run_with(hands, design, seed=seed, replicates=replicates)
        found_before = [find(before, target) for target in own]
        tries = _Tries(hands, design, free, wanted, seed, replicates, most, progress)
        u, stop = _search(tries, tries.scaled(starts))
        slopes = _slopes(tries, u)
        values = [float(one.text(x)) for one, x in zip(free, tries.values(u), strict=True)]
        best = _at(design, free, values)
        after = run_with(hands, best, seed=seed, replicates=replicates)
        fresh = run_with(hands, best, seed=seed + 1, replicates=replicates)
    spread = _Spread(slopes * PER_SE, _monte_carlo(after, wanted) * PER_SE**2)
    judged = [
        Judged(target in wanted, one, find(after, target), find(fresh, target))
        for target, one in zip(own, found_before, strict=True)
    ]
    return Calibration(
        design=design,
        fitted_design=best,
        numbers=tuple(
            _number(k, free[k], starts[k], values[k], spread, slopes[:, k], wanted) for k in range(len(free))
        ),
        targets=tuple(judged),
        left_out=tuple(target.label for target in targets.targets if target not in own),
        weak_directions=tuple(spread.weak_directions([one.name for one in free])),
        correlated=tuple(spread.correlated([one.name for one in free])),
        replicates=replicates,
        seed=seed,
        tries=len(tries.known),
        stop=stop,
    )


# --- what is refused before anything is simulated ---------------------------------------------------------------------


def _start(design: Design, free: Free) -> float:
    """The number's present value. TrialsimError where there is none that can be searched from."""
    found = {path: number_at(design, path) for path in free.paths}
    for path, value in found.items():
        if isinstance(value, int):
            raise TrialsimError(f"--free {path}: a whole number cannot be fitted, because it does not change smoothly.")
    if len(set(found.values())) > 1:
        said = ", ".join(f"{path} = {value:g}" for path, value in found.items())
        raise TrialsimError(f"--free {free.name}: one number has to start at one value ({said}). Use --set first.")
    start = float(found[free.paths[0]])
    if not free.low <= start <= free.high:
        raise TrialsimError(
            f"--free {free.name}: the search starts at the design's value, {start:g}, which is outside "
            f"{free.low:g}..{free.high:g}. Widen the range, or use --set."
        )
    return start


def check_free(design: Design, free: Sequence[Free]) -> list[float]:
    """The numbers' present values. TrialsimError where one cannot be searched, or not between its limits."""
    starts = [_start(design, one) for one in free]
    paths = [path for one in free for path in one.paths]
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise TrialsimError(f"--free {twice[0]}: given twice.")
    for limits in ([one.low for one in free], [one.high for one in free]):
        _at(design, free, limits)
    return starts


def _refuse_few(free: Sequence[Free], most: int) -> None:
    least = 4 * len(free) + 2
    if most < least:
        raise TrialsimError(f"--most {most}: two rounds of derivatives alone take {least} tries.")


def _refuse_targets(wanted: Sequence[Target]) -> None:
    if not wanted:
        raise TrialsimError("there is nothing to fit to: no held target of this scenario is of kind 'fitted'.")
    for target in wanted:
        if not target.width(target.published) > 0:
            raise TrialsimError(
                f"target '{target.label}': its range has no width, so it cannot be fitted to. Give it a tolerance "
                f"(low, high), or kind: predicted."
            )


def _at(design: Design, free: Sequence[Free], values: Sequence[float]) -> Design:
    return changed(design, {path: x for one, x in zip(free, values, strict=True) for path in one.paths})


# --- the search -------------------------------------------------------------------------------------------------------


class _Enough(Exception):
    """The limit of tries is reached."""


class _Tries:
    """Discrepancies of the targets at values of the free numbers; each set of values is simulated once."""

    def __init__(
        self,
        hands: Crew,
        design: Design,
        free: Sequence[Free],
        targets: Sequence[Target],
        seed: int,
        replicates: int,
        most: int,
        progress: Progress | None,
    ) -> None:
        self.hands, self.design, self.free, self.targets = hands, _only_needed(design, targets), free, targets
        self.seed, self.replicates, self.most, self.progress = seed, replicates, most, progress
        self.known: dict[tuple[float, ...], Floats] = {}
        self.reserve = 2 * len(free)  # for the derivatives where the search ends

    def scaled(self, values: Sequence[float]) -> Floats:
        """Values on the scale of the search, from 1 to 2: steps of scipy's differences are relative."""
        return np.array([1 + (x - one.low) / one.range for one, x in zip(self.free, values, strict=True)])

    def values(self, u: Floats) -> list[float]:
        """Values from the scale of the search."""
        return [min(one.low + (float(x) - 1) * one.range, one.high) for one, x in zip(self.free, u, strict=True)]

    def discrepancies(self, u: Floats) -> Floats:
        """Distances of all targets from the published values, in tolerances, (T,)."""
        key = tuple(np.round(u, 9).tolist())
        if key not in self.known:
            if len(self.known) >= self.most - self.reserve:
                raise _Enough
            self.known[key] = self._simulated(self.values(np.array(key)))
            if self.progress is not None:
                self.progress(len(self.known), self.most)
        return self.known[key]

    def best(self) -> Floats:
        """Where the sum of squares is smallest."""
        return np.array(min(self.known, key=lambda key: float(self.known[key] @ self.known[key])))

    def _simulated(self, values: Sequence[float]) -> Floats:
        where = ", ".join(f"{one.name} = {x:g}" for one, x in zip(self.free, values, strict=True))
        try:
            tried = _at(self.design, self.free, values)
            experiment = run_with(self.hands, tried, seed=self.seed, replicates=self.replicates)
            found = np.array([find(experiment, target).distance for target in self.targets])
        except TrialsimError as error:
            raise TrialsimError(f"with {where}: {error}") from error
        for target, distance in zip(self.targets, found, strict=True):
            if not np.isfinite(distance):
                raise TrialsimError(f"with {where}: target '{target.label}' has no value. Narrow the range.")
        return found


def _only_needed(design: Design, targets: Sequence[Target]) -> Design:
    """The design with only the analyses that the targets are about; they do not share luck."""
    needed = {t.measure.split("/")[1] for t in targets if t.measure.split("/")[0] in OF_ANALYSES and "/" in t.measure}
    data = design.model_dump(mode="json")
    data["analyses"] = {name: analysis for name, analysis in data["analyses"].items() if name in needed}
    return Design.model_validate({**data, "decisions": {}})


def _search(tries: _Tries, start: Floats) -> tuple[Floats, str]:
    """Where the fit is best, and why the search ended."""
    try:
        found = _least_squares(tries, start, ftol=STOP_COST, xtol=STOP_STEP, gtol=STOP_SLOPE)
    except _Enough:
        return tries.best(), STOPS[0]
    return found.x, STOPS[found.status]


def _slopes(tries: _Tries, u: Floats) -> Floats:
    """Change of each target, in tolerances, as each number goes through its range, (T, K)."""
    tries.reserve = -1  # the derivatives' own tries, and u itself again where it lies on an edge
    return np.asarray(_least_squares(tries, u, max_nfev=1).jac, dtype=float)


def _least_squares(tries: _Tries, u: Floats, **how: Any) -> Any:
    """scipy's bounded least squares, begun at u."""
    steps = np.full(len(u), STEP)
    return least_squares(tries.discrepancies, u, jac="3-point", bounds=(1, 2), method="trf", diff_step=steps, **how)


# --- uncertainty ------------------------------------------------------------------------------------------------------


def _monte_carlo(experiment: Experiment, targets: Sequence[Target]) -> Floats:
    """Covariance of the targets' discrepancies, in tolerances, from the replicates, (T, T)."""
    rows = []
    for target in targets:
        values = values_of(experiment, target)
        used = ~np.isnan(values)
        mean = values[used].mean()
        width = target.width(find(experiment, target).value)
        rows.append(np.where(used, values - mean, 0) / (used.sum() * width))
    shares = np.array(rows)
    n = shares.shape[1]
    return shares @ shares.T * n / (n - 1)


class _Spread:
    """What derivatives in standard errors (T, K) say of the numbers, each on the scale of its range."""

    def __init__(self, slopes: Floats, monte_carlo: Floats) -> None:
        squares, self.directions = np.linalg.eigh(slopes.T @ slopes)
        self.strength = np.sqrt(np.maximum(squares, FAINT))
        self.published = (self.directions / self.strength**2) @ self.directions.T
        to_numbers = self.published @ slopes.T
        self.monte_carlo = to_numbers @ monte_carlo @ to_numbers.T

    def errors(self, k: int) -> tuple[float, float]:
        """Standard errors of a number from published values and from Monte Carlo, as shares of its range."""
        return math.sqrt(self.published[k, k]), math.sqrt(max(self.monte_carlo[k, k], 0.0))

    def weak_directions(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """Numbers in the directions whose standard error is over half of a range."""
        found = []
        for strength, direction in zip(self.strength, self.directions.T, strict=True):
            if 1 / strength > WEAK:
                share = np.abs(direction)
                found.append(tuple(name for name, x in zip(names, share, strict=True) if x >= 0.5 * share.max()))
        return found

    def correlated(self, names: Sequence[str]) -> list[tuple[str, str, float]]:
        """Pairs of numbers whose errors are strongly correlated."""
        sd = np.sqrt(np.diag(self.published))
        correlation = self.published / np.outer(sd, sd)
        pairs = [(i, j) for i in range(len(names)) for j in range(i) if abs(correlation[i, j]) > CORRELATED]
        return [(names[j], names[i], float(correlation[i, j])) for i, j in pairs]


def _number(
    k: int, free: Free, start: float, value: float, spread: _Spread, slope: Floats, targets: Sequence[Target]
) -> Number:
    published, monte_carlo = (share * free.range for share in spread.errors(k))
    near_low, near_high = value - free.low < EDGE * free.range, free.high - value < EDGE * free.range
    size = np.abs(slope)
    order = np.argsort(-size, kind="stable")[:NAMED]
    return Number(
        free=free,
        start=start,
        value=value,
        published_error=published,
        monte_carlo_error=monte_carlo,
        limit="lower" if near_low else "upper" if near_high else "",
        moves=tuple(targets[i].label for i in order if size[i] >= max(0.5 * size.max(), NOTICED)),
    )
