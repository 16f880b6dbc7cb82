"""True values from a large simulation for the truth alone: no analysis, only potential outcomes."""

from __future__ import annotations

import numpy as np

from trialsim.analysis.estimates import MEANS, RATIOS, Estimates, Label
from trialsim.analysis.truth import Truth, value_of
from trialsim.block import batches, simulate_block
from trialsim.design.parts import Design
from trialsim.experiments.performance import Truths
from trialsim.experiments.runner import Experiment
from trialsim.world.streams import BLOCK
from trialsim.world.world import World

ENOUGH = 200_000
"""Participants on which a true value rests at least."""
FIRST = 1_000_000_000
"""Number of the first replicate simulated for the truth: far from those that are analysed."""


def truths_for(experiment: Experiment) -> Truths | None:
    """True values for an experiment whose own replicates hold too few participants; None where they are enough."""
    estimates = experiment.estimates
    if estimates is None or not estimates.labels:
        return None
    if experiment.measures["randomized/all"].sum() >= ENOUGH:
        return None
    return superpopulation(experiment.design, estimates, seed=experiment.seed)


def superpopulation(design: Design, estimates: Estimates, *, seed: int = 1, n_participants: int = ENOUGH) -> Truths:
    """True value of every label of `estimates`, from replicates of the design with at least so many participants.

    Arms' means are averaged over replicates, then compared; the Monte Carlo error is that of the logarithm for ratios.
    """
    world = World(design)
    blocks = -(-n_participants // (design.sample_size * BLOCK))
    n_replicates = BLOCK * max(1, blocks)
    means: dict[Label, list[np.ndarray]] = {label: [] for label in estimates.labels}
    n = 0
    for first, size in batches(design, FIRST - FIRST % 1024, n_replicates):
        block = simulate_block(world, seed=seed, first=first, n_replicates=size, engine="vector")
        n += int(block.histories.n_participants.sum())
        found = {name: Truth(block, analysis) for name, analysis in design.analyses.items()}
        for label in estimates.labels:
            means[label].append(np.array(found[label.analysis].means(label)))
    return Truths({label: _value(label, parts) for label, parts in means.items()}, n)


def _value(label: Label, parts: list[np.ndarray]) -> tuple[float, float]:
    """Value of the arms' mean potential outcomes and its jackknife error over replicates (of differences: SD / sqrt R).

    A ratio of one replicate may not exist where nobody responds; those of all replicates but one do.
    """
    arms = np.concatenate(parts, axis=1) if parts and parts[0].size else np.empty((0, 1))
    if not len(arms) or (label.measure not in MEANS and len(arms) < 2):
        return float("nan"), float("nan")
    known = ~np.isnan(arms)
    n, total = known.sum(axis=1, keepdims=True), np.nansum(arms, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(value_of(label.measure, list(total / n))[0])
        others = value_of(label.measure, list((total - np.nan_to_num(arms)) / (n - known)))
        others = np.log(others) if label.measure in RATIOS else others
    return value, float(np.sqrt(others.var() * (len(others) - 1)))
