"""Published values to hold a simulation against, and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, Strict

from trialsim.analysis.estimates import Estimates
from trialsim.design.library import library_dir
from trialsim.design.parts import Design
from trialsim.design.reader import read_as, read_design
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.measures import Measures
from trialsim.experiments.performance import mean_with_error, proportion_with_error
from trialsim.experiments.runner import Experiment, run

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Text = Annotated[str, Strict()]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Target(_Part):
    """One published value and the range that the simulated mean has to lie in."""

    measure: Text
    """What is simulated: a measure's path, `estimate/ANALYSIS/CONTRAST/VISIT/MEASURE`, or `power/...`."""
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
    note: Text = ""
    design: Text | None = None
    """Another library scenario to simulate for this target."""
    replicates: Annotated[int, Strict(), Field(ge=1)] | None = None
    """At least this many replicates for this target."""


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


def targets_of(name: str) -> Targets:
    """The library's targets for a scenario. Raises TrialsimError if there are none, DesignError if they are faulty."""
    path = library_dir() / "targets" / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in (library_dir() / "targets").glob("*.yaml"))
        raise TrialsimError(f"there are no published targets for '{name}'. Targets: {', '.join(known) or 'none'}.")
    return read_as(Targets, path)


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
        found |= {target: _find(experiment, target) for target in group}
    return [found[target] for target in targets.targets]


def _find(experiment: Experiment, target: Target) -> Finding:
    if experiment.failures:
        first = experiment.failures[0]
        raise ResultsError(f"replicate {first.replicate} failed in {first.stage}: {first.error}. Nothing is compared.")
    kind, _, rest = target.measure.partition("/")
    if kind in ("estimate", "power"):
        values = _of_analysis(experiment.estimates, kind, rest, target)
        log = kind == "estimate" and rest.endswith("ratio")
        summary = (
            proportion_with_error(values) if kind == "power" else mean_with_error(np.log(values) if log else values)
        )
        value, error, n = summary
        return (
            Finding(target, float(np.exp(value)), error * float(np.exp(value)), n) if log else Finding(target, *summary)
        )
    return Finding(target, *mean_with_error(_of_measures(experiment.measures, target)))


def _of_measures(measures: Measures, target: Target) -> NDArray[np.float64]:
    if target.measure not in measures:
        raise ResultsError(f"target '{target.label}': the simulation has no measure '{target.measure}'.")
    return measures[target.measure]


def _of_analysis(estimates: Estimates | None, kind: str, path: str, target: Target) -> NDArray[np.float64]:
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
    return estimates.significant[:, place] if kind == "power" else estimates.estimate[:, place]
