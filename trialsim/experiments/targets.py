"""Published values to hold a simulation against, and the comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, Strict

from trialsim.analysis.estimates import Estimates
from trialsim.design.library import is_file_name, library, library_dir, locate
from trialsim.design.parts import Design
from trialsim.design.reader import read_as, read_design
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.performance import mean_with_error, proportion_with_error
from trialsim.experiments.runner import Experiment, run

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Text = Annotated[str, Strict()]
Floats = NDArray[np.float64]

OF_ANALYSES = ("estimate", "std_error", "power")
"""First parts of measures that come from the design's analyses."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Target(_Part):
    """One published value and the range that the simulated mean has to lie in."""

    measure: Text
    """What is simulated: a measure's path, or `estimate/ANALYSIS/CONTRAST/VISIT/MEASURE`, or `std_error/...` (mean of
    standard errors; of the logarithm for ratios) or `power/...` of the same."""
    label: Text
    published: Number
    low: Number
    """Lowest simulated mean that counts as inside."""
    high: Number
    """Highest simulated mean that counts as inside."""
    source: Text
    """seen, seed, derived or assumed, and where."""
    kind: Literal["fitted", "predicted"]
    """fitted: numbers of the design were chosen to meet it; predicted: it follows from the others."""
    held: Annotated[bool, Strict()] = True
    """no: shown for information; what is simulated is not the same quantity (the note says why)."""
    benchmark: Annotated[bool, Strict()] = False
    """yes: published without a randomized control, so never shown among what follows from randomization."""
    note: Text = ""
    design: Text | None = None
    """Another library scenario to simulate for this target."""
    replicates: Annotated[int, Strict(), Field(ge=1)] | None = None
    """At least this many replicates for this target."""

    @property
    def is_ratio(self) -> bool:
        """Whether it is averaged, and its distance taken, on the log scale."""
        return self.measure.startswith("estimate/") and self.measure.endswith("ratio")

    def distance(self, value: float) -> float:
        """How far a value lies from the published one, in half widths of the range on that side; negative is below.

        An end of the range is at 1 or -1; NaN where the range has no width.
        """
        width = self.width(value)
        return (self._on_scale(value) - self._on_scale(self.published)) / width if width > 0 else float("nan")

    def width(self, value: float) -> float:
        """Half width of the range on the side of a value; where that side has none, of the other."""
        low, published, high = (self._on_scale(x) for x in (self.low, self.published, self.high))
        below, above = published - low, high - published
        return (above or below) if value > self.published else (below or above)

    def _on_scale(self, x: float) -> float:
        if not self.is_ratio or self.low <= 0:
            return x
        return math.log(x) if x > 0 else float("-inf" if x == 0 else "nan")


class Targets(_Part):
    """A file of targets."""

    design: Text
    note: Text = ""
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Finding:
    """A target and its simulated value with Monte Carlo standard error."""

    target: Target
    value: float
    mcse: float
    n_replicates: int

    @property
    def inside(self) -> bool:
        """Whether the simulated mean lies in the target's range."""
        return self.target.low <= self.value <= self.target.high

    @property
    def distance(self) -> float:
        """The simulated mean's distance from the published value, in tolerances (see `Target.distance`)."""
        return self.target.distance(self.value)


def targets_of(source: str) -> Targets:
    """The library's targets for a scenario, or those of a file (a path ending in .yaml).

    Raises TrialsimError if there are none, DesignError if they are faulty.
    """
    path = locate(source) if is_file_name(source) else _in_library(source)
    if not path.is_file():
        known = sorted(p.stem for p in (library_dir() / "targets").glob("*.yaml"))
        there_are = f"Targets: {', '.join(known) or 'none'}; or name a file by --targets."
        raise TrialsimError(f"there are no published targets for '{source}'. {there_are}")
    return read_as(Targets, path)


def _in_library(name: str) -> Path:
    return library_dir() / "targets" / f"{name}.yaml"


def compare(
    design: Design,
    targets: Targets,
    *,
    replicates: int,
    seed: int = 1,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Simulate and hold every target against its published value.

    Raises ResultsError for a target whose measure the simulation does not have, or if a replicate failed.
    """
    groups: dict[str | None, list[Target]] = {}
    for target in targets.targets:
        groups.setdefault(target.design, []).append(target)
    found: dict[Target, Finding] = {}
    for name, group in groups.items():
        needed = max([replicates, *(t.replicates or 0 for t in group)])
        simulated = read_design(name) if name else design
        experiment = run(simulated, seed=seed, replicates=needed, workers=workers, progress=progress)
        found |= {target: find(experiment, target) for target in group}
    return [found[target] for target in targets.targets]


@dataclass(frozen=True, slots=True)
class Held:
    """A scenario of the library and its findings; none where nothing is published for it, or it was refused (`why`)."""

    name: str
    findings: tuple[Finding, ...] = ()
    why: str = ""


def compare_library(*, replicates: int, seed: int = 1, workers: int = 1) -> Iterator[Held]:
    """Every scenario of the library held against its targets. What is refused of one does not end the others."""
    for name in library():
        if not _in_library(name).is_file():
            yield Held(name)
            continue
        try:
            found = compare(read_design(name), targets_of(name), replicates=replicates, seed=seed, workers=workers)
        except TrialsimError as error:
            yield Held(name, why=str(error))
        else:
            yield Held(name, tuple(found))


def find(experiment: Experiment, target: Target) -> Finding:
    """A target's simulated mean. ResultsError where there is none: no such measure, or something failed."""
    values = values_of(experiment, target)
    if target.measure.startswith("power/"):
        return Finding(target, *proportion_with_error(values))
    mean, error, n = mean_with_error(values)
    if target.is_ratio:
        return Finding(target, math.exp(mean), error * math.exp(mean), n)
    return Finding(target, mean, error, n)


def values_of(experiment: Experiment, target: Target) -> Floats:
    """What a target is the mean of, (R,); logarithms for ratios. ResultsError as for `find`."""
    if experiment.failures:
        first = experiment.failures[0]
        raise ResultsError(f"replicate {first.replicate} failed in {first.stage}: {first.error}. Nothing is compared.")
    kind, _, rest = target.measure.partition("/")
    if kind in OF_ANALYSES:
        values = _of_analysis(experiment.estimates, kind, rest, target)
        return np.log(values) if target.is_ratio else values
    if target.measure not in experiment.measures:
        raise ResultsError(f"target '{target.label}': the simulation has no measure '{target.measure}'.")
    return experiment.measures[target.measure]


def _of_analysis(estimates: Estimates | None, kind: str, path: str, target: Target) -> Floats:
    parts = path.split("/")
    place = None
    if estimates is not None and len(parts) == 4:
        analysis, contrast, visit, measure = parts
        place = estimates.place(analysis=analysis, contrast=contrast, visit=visit, measure=measure)
    if place is None or estimates is None:
        raise ResultsError(f"target '{target.label}': the design's analyses have no '{path}'.")
    failed = int((~estimates.converged[:, place]).sum())
    if failed:
        raise ResultsError(
            f"target '{target.label}': {failed} fits failed, so its mean would be over selected replicates."
        )
    columns = {"estimate": estimates.estimate, "std_error": estimates.std_error, "power": estimates.significant}
    return columns[kind][:, place]
