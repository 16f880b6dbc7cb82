"""Replicates of the designs that a view compares: what they leave behind, and numbers with their errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import COMPARISONS, Estimates, Label, concatenate
from trialsim.analysis.plan import analyse_block
from trialsim.block import Block, batches, simulate_block
from trialsim.design.parts import Design
from trialsim.experiments.measures import measure
from trialsim.experiments.performance import mean_with_error, performance, proportion_with_error
from trialsim.teach.questions import Answer, Question, View
from trialsim.world.world import World

Floats = NDArray[np.float64]
Pick = Callable[[Block], dict[str, Floats]]
Designs = dict[str, Design]
Given = tuple[float, float]
"""A number and its Monte Carlo standard error."""
MINUS = re.compile(r"(?<![\w.)])-(?=\d)")
"""The sign of a number, as people read it."""
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Sample:
    """Replicates of one design: how many, estimates of its analyses, and other numbers by name, (R,) each."""

    n: int
    estimates: Estimates | None
    values: dict[str, Floats]

    @property
    def has_failures(self) -> bool:
        """Whether a fit failed."""
        return self.estimates is not None and not self.estimates.converged.all()

    def mean(self, name: str) -> Given:
        """Mean over replicates of a number, and its Monte Carlo standard error."""
        return mean_with_error(self.values[name])[:2]

    def result(self, analysis: str, *, contrast: str = "", visit: str = "") -> Result:
        """A comparison of an analysis: the first, or the first of a contrast or a visit."""
        assert self.estimates is not None
        for place, label in enumerate(self.estimates.labels):
            said = (label.analysis == analysis, contrast in ("", label.contrast), visit in ("", label.visit))
            if all(said) and label.measure in COMPARISONS:
                return Result(only(self.estimates, place))
        raise KeyError(f"no comparison by '{analysis}' {contrast} {visit}")


class Result:
    """One comparison over replicates. Fits that failed count in `failed` and nowhere else."""

    def __init__(self, estimates: Estimates) -> None:
        self.estimates = estimates
        self.good: NDArray[np.bool_] = estimates.converged[:, 0]

    @property
    def label(self) -> Label:
        """What it is about."""
        return self.estimates.labels[0]

    @property
    def failed(self) -> int:
        """Fits that failed."""
        return int((~self.good).sum())

    def column(self, name: str) -> Floats:
        """A column of the estimates, (R,), of fits that did not fail."""
        values: Floats = getattr(self.estimates, name)[self.good, 0]
        return values

    @cached_property
    def _performance(self) -> dict[str, Given]:
        rows = performance(self.estimates, skip_failed=True)
        return {row.statistic: (row.value, row.mcse) for row in rows}

    def __getitem__(self, statistic: str) -> Given:
        """A statistic ("power", "bias", "coverage" ...) and its Monte Carlo standard error; NaN where there is none."""
        return self._performance.get(statistic, (float("nan"), float("nan")))

    def middle(self) -> tuple[float, float]:
        """Limits of the middle 95 % of the estimates."""
        values = self.column("estimate")
        low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (np.nan, np.nan)
        return float(low), float(high)


def only(estimates: Estimates, place: int) -> Estimates:
    """One column of estimates."""
    names = [field.name for field in fields(Estimates) if field.name not in ("labels", "replicate")]
    columns: dict[str, Any] = {name: getattr(estimates, name)[:, place : place + 1] for name in names}
    return replace(estimates, labels=(estimates.labels[place],), **columns)


# --- simulating -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def world_of(document: str) -> World:
    """The world of a design given as JSON, kept for the next piece of work."""
    return World(Design.model_validate_json(document))


def sample(design: Design, *, seed: int, first: int, n: int, pick: Pick | None = None) -> Sample:
    """Replicates first ... first + n - 1 of a design, by the vector engine."""
    world = world_of(design.model_dump_json())
    estimates, values = [], []
    for low, size in batches(design, first, n):
        block = simulate_block(world, seed=seed, first=low, n_replicates=size)
        if design.analyses:
            estimates.append(analyse_block(block))
        values.append(pick(block) if pick else {})
    return Sample(n, concatenate(estimates) if estimates else None, _joined(values))


def _joined(parts: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def together(samples: Iterable[Sample]) -> Sample:
    """Samples of one design, one after the other."""
    parts = list(samples)
    estimates = [part.estimates for part in parts if part.estimates is not None]
    n, values = sum(part.n for part in parts), [part.values for part in parts]
    return Sample(n, concatenate(estimates) if estimates else None, _joined(values))


def changed(design: Design, changes: Mapping[str, Any]) -> Design:
    """The design with values put in at dotted paths, checked like any design."""
    data = design.model_dump()
    for path, value in changes.items():
        *above, last = path.split(".")
        part = data
        for key in above:
            part = part[key]
        part[last] = value
    return Design.model_validate(data)


def measured(*names: str) -> Pick:
    """Measures by name, as `trialsim run` counts them."""

    def pick(block: Block) -> dict[str, Floats]:
        found = measure(block)
        return {name: found[name] for name in names}

    return pick


# --- views ------------------------------------------------------------------------------------------------------------


def view(
    title: str,
    designs: Callable[[Question], Designs],
    answer: Callable[[Question, dict[str, Sample]], Answer],
    *,
    pick: Pick | None = None,
    most: int = 1000,
    work: Callable[[Question, str, Design, int, int], Sample] | None = None,
    told_by: str = "run {file} --replicates {replicates} --seed {seed}",
) -> View:
    """A view that simulates some designs, all on the same luck; the first is the one on the screen.

    `most` replicates are simulated at most. `work(question, name, design, first, n)` takes the place of `sample`.
    `told_by` is the command that has the same numbers.
    """

    @lru_cache(maxsize=16)
    def of(question: Question) -> Designs:
        return designs(question)

    def simulated(question: Question, name: str, design: Design, first: int, n: int) -> Sample:
        return sample(design, seed=question.seed, first=first, n=n, pick=pick)

    def part(question: Question, first: int, n: int) -> dict[str, Sample]:
        n = min(n, most - first)
        make = work or simulated
        return {name: make(question, name, one, first, n) for name, one in of(question).items()} if n > 0 else {}

    def joined(question: Question, parts: list[Any]) -> Answer:
        parts = [one for one in parts if one]
        samples = {name: together(one[name] for one in parts) for name in parts[0]}
        found = answer(question, samples)
        found = replace(found, says=[MINUS.sub("−", said) for said in found.says])
        failed = not told_by.startswith("compare") and next(iter(samples.values())).has_failures
        return replace(found, options=("--skip-failed",)) if failed else found

    def design(question: Question) -> Design:
        return next(iter(of(question).values()))

    def command(question: Question, file: str) -> str:
        words = told_by.format(file=file, replicates=min(question.replicates, most), seed=question.seed)
        return f"trialsim {words}"

    return View(title, part, joined, design, command, most)


# --- questions ---


def number_of(question: Question, name: str) -> float:
    """Where a slider stands."""
    return float(question.value[name])


def word_of(question: Question, name: str) -> str:
    """Which word is chosen."""
    return str(question.value[name])


# --- numbers ----------------------------------------------------------------------------------------------------------


def band(value: float, mcse: float) -> tuple[float, float]:
    """95 % Monte Carlo limits."""
    return value - Z95 * mcse, value + Z95 * mcse


def share_band(value: float, mcse: float) -> tuple[float, float]:
    """The same of a share, within 0 and 1."""
    low, high = band(value, mcse)
    return max(low, 0.0), min(high, 1.0)


def paired(first: Floats, second: Floats) -> Given:
    """Mean difference second - first over replicates that share their luck, and its Monte Carlo standard error."""
    n = min(len(first), len(second))
    return mean_with_error(second[:n] - first[:n])[:2]


def share(hits: NDArray[Any]) -> Given:
    """Share of replicates and its Monte Carlo standard error."""
    return proportion_with_error(np.asarray(hits, dtype=float))[:2]
