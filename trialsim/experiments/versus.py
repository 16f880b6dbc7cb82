"""Two designs compared on the same luck: what differs between them, with the (smaller) error of the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import Label
from trialsim.design.analysis_checks import measures_of
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import decide
from trialsim.experiments.performance import mean_with_error, proportion_with_error, trial_values
from trialsim.experiments.runner import Experiment

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """One quantity under both designs, and the second minus the first over the replicates that both have."""

    what: str
    contrast: str
    visit: str
    first: tuple[float, float]  # value and Monte Carlo standard error, as below
    second: tuple[float, float]
    difference: tuple[float, float]
    unpaired_mcse: float  # of the difference, had the replicates not shared their luck
    n_replicates: int


def compare_designs(first: Experiment, second: Experiment) -> list[Difference]:
    """Paired differences in the trial's measures, in power, and in decisions that both designs have.

    Replicates are paired by number; both experiments must have the same seed (ResultsError otherwise). A replicate in
    which a fit failed under either design is left out of that row, which its number shows.
    """
    if first.seed != second.seed:
        raise ResultsError("the two experiments have different seeds, so their replicates share no luck.")
    _, one, other = np.intersect1d(first.replicates, second.replicates, return_indices=True)
    mine, its = trial_values(first.measures), trial_values(second.measures)
    rows = [_row(what, "", "", mine[what][one], its[what][other]) for what in mine if what in its]
    for name, a, b in _tests(first, second):
        rows.append(_row(f"power, {name.measure} ({name.analysis})", name.contrast, name.visit, a[one], b[other]))
    for what, a, b in _decisions(first, second):
        rows.append(_row(what, "", "", a[one], b[other]))
    return rows


def _tests(first: Experiment, second: Experiment) -> list[tuple[Label, Floats, Floats]]:
    a, b = first.estimates, second.estimates
    if a is None or b is None:
        return []
    return [
        (label, a.significant[:, place], b.significant[:, b.labels.index(label)])
        for place, label in enumerate(a.labels)
        if label in b.labels and label.measure == _tested(first, label)
    ]


def _tested(experiment: Experiment, label: Label) -> str:
    """The measure by which an analysis is judged."""
    analysis: Any = experiment.design.analyses[label.analysis]
    return str(analysis.margin_measure or measures_of(analysis)[0])


def _decisions(first: Experiment, second: Experiment) -> list[tuple[str, Floats, Floats]]:
    shared = [name for name in first.design.decisions if name in second.design.decisions]
    found = []
    for name in shared:
        if first.estimates is None or second.estimates is None:
            continue
        a, b = decide(first.design, name, first.estimates), decide(second.design, name, second.estimates)
        found.append((f"success ({name})", a.success, b.success))
    return found


def _row(what: str, contrast: str, visit: str, a: Floats, b: Floats) -> Difference:
    share = what.startswith(("power", "success"))
    summary = proportion_with_error if share else mean_with_error
    both = ~(np.isnan(a) | np.isnan(b))
    one, other = summary(a[both]), summary(b[both])
    difference = mean_with_error(b[both] - a[both])
    if share and difference[1] == 0:  # no replicate differed: the error of one in n + 2 that would
        n = difference[2]
        difference = (difference[0], float(np.sqrt(1 / (n + 2) / n)), n)
    return Difference(
        what=what,
        contrast=contrast,
        visit=visit,
        first=one[:2],
        second=other[:2],
        difference=difference[:2],
        unpaired_mcse=float(np.hypot(one[1], other[1])),
        n_replicates=difference[2],
    )
