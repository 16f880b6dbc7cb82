"""How many replicates: as many as bring every Monte Carlo standard error of power down to a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import COMPARISONS, GLOBAL_TEST, Estimates, concatenate
from trialsim.design.parts import Design
from trialsim.experiments.decisions import chances, decide
from trialsim.experiments.runner import Experiment, run

PILOT = 256
"""Replicates before the first look at the error."""
Progress = Callable[[int, int], None]
Hits = NDArray[np.float64]
"""1, 0, or NaN where that is not known, (R,): the mean is a chance."""


def chances_of(design: Design, estimates: Estimates | None) -> list[Hits]:
    """What counts as power: every test of the analyses, every hypothesis and success of the decisions."""
    if estimates is None:
        return []
    tests = [i for i, label in enumerate(estimates.labels) if label.measure in (*COMPARISONS, GLOBAL_TEST)]
    decided = [hits for name in design.decisions for _, _, hits in chances(decide(design, name, estimates))]
    return [*(estimates.significant[:, place] for place in tests), *decided]


def every_chance(experiment: Experiment) -> list[Hits]:
    """The same of an experiment."""
    return chances_of(experiment.design, experiment.estimates)


def run_to_precision(
    design: Design,
    *,
    target_mcse: float,
    of: Callable[[Experiment], Iterable[Hits]] = every_chance,
    seed: int = 1,
    most: int = 1_000_000,
    workers: int = 1,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Replicates 0, 1, 2 ... until the largest Monte Carlo standard error of power is at most `target_mcse`.

    `of` gives the chances meant. At most `most` replicates. Replicate k is the one that `run` simulates, so a later
    `run` of as many gives the same numbers. ValueError for a target that is not above 0.
    """
    if target_mcse <= 0:
        raise ValueError("target_mcse must be above 0")
    n = min(PILOT, most)
    whole = run(design, seed=seed, replicates=n, workers=workers, keep=keep, progress=progress)
    while n < most and (wanted := min(most, needed(of(whole), target_mcse))) > n:
        more = run(design, seed=seed, replicates=wanted - n, first=n, workers=workers, keep=keep,
                   progress=_shifted(progress, n, wanted))  # fmt: skip
        whole, n = joined(whole, more), wanted
    return whole


def needed(chances: Iterable[Hits], target_mcse: float) -> int:
    """Replicates for the chance that is nearest to one half; PILOT where there is none."""
    known = [hits[~np.isnan(hits)] for hits in chances]
    return needed_of([(float(hits.sum()), len(hits)) for hits in known], target_mcse)


def needed_of(counts: Iterable[tuple[float, int]], target_mcse: float) -> int:
    """The same from how often each chance came true, and in how many replicates."""
    return max(PILOT, int(np.ceil(worst_variance(counts) / target_mcse**2 - 1e-9)))


def worst_variance(counts: Iterable[tuple[float, int]]) -> float:
    """Largest p (1 - p) of the chances.

    A chance is taken half a replicate away from 0 and 1, so that the first few replicates cannot promise certainty.
    """
    shares = [min(max(hits / n, 0.5 / n), 1 - 0.5 / n) for hits, n in counts if n]
    return max((p * (1 - p) for p in shares), default=0.0)


def joined(first: Experiment, second: Experiment) -> Experiment:
    """Two experiments of one design and seed, one after the other."""
    parts = [part for part in (first, second) if len(part.replicates)]
    estimates = [part.estimates for part in parts if part.estimates is not None]
    names = parts[0].measures if parts else first.measures
    both: dict[str, Any] = {
        "replicates": np.concatenate([first.replicates, second.replicates]),
        "measures": {name: np.concatenate([part.measures[name] for part in parts]) for name in names},
        "estimates": concatenate(estimates) if estimates else None,
        "digests": first.digests + second.digests,
        "seconds": np.concatenate([first.seconds, second.seconds]),
        "failures": first.failures + second.failures,
    }
    return replace(first, **both)


def _shifted(progress: Progress | None, n: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(n + done, total)
