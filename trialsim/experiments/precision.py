"""How many replicates: as many as bring every Monte Carlo standard error of power down to a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trialsim.analysis.estimates import COMPARISONS, GLOBAL_TEST, Estimates, concatenate
from trialsim.design.parts import Design
from trialsim.experiments.runner import Experiment, run

PILOT = 256
"""Replicates before the first look at the error."""
Progress = Callable[[int, int], None]


def run_to_precision(
    design: Design,
    *,
    target_mcse: float,
    seed: int = 1,
    most: int = 1_000_000,
    workers: int = 1,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Replicates 0, 1, 2 ... until the largest Monte Carlo standard error of power is at most `target_mcse`.

    At most `most` replicates. Replicate k is the one that `run` simulates, so a later `run` of as many gives the same
    numbers. ValueError for a target that is not above 0.
    """
    if target_mcse <= 0:
        raise ValueError("target_mcse must be above 0")
    n = min(PILOT, most)
    whole = run(design, seed=seed, replicates=n, workers=workers, keep=keep, progress=progress)
    while n < most and (wanted := min(most, needed(whole.estimates, target_mcse))) > n:
        more = run(design, seed=seed, replicates=wanted - n, first=n, workers=workers, keep=keep,
                   progress=_shifted(progress, n, wanted))  # fmt: skip
        whole, n = joined(whole, more), wanted
    return whole


def needed(estimates: Estimates | None, target_mcse: float) -> int:
    """Replicates for the label whose power is nearest to one half; PILOT where there is no test.

    Power is taken half a replicate away from 0 and 1, so that the first few replicates cannot promise certainty.
    """
    if estimates is None:
        return PILOT
    tested = [i for i, label in enumerate(estimates.labels) if label.measure in (*COMPARISONS, GLOBAL_TEST)]
    worst = 0.0
    for place in tested:
        hits = estimates.significant[:, place]
        hits = hits[~np.isnan(hits)]
        if len(hits):
            power = min(max(float(hits.mean()), 0.5 / len(hits)), 1 - 0.5 / len(hits))
            worst = max(worst, power * (1 - power))
    return max(PILOT, int(np.ceil(worst / target_mcse**2)))


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
