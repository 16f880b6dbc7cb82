"""How alike people of one cluster, coach or group are: from standard deviations to an ICC and back.

The intraclass correlation is B / (B + W): B is the variance between clusters (coaches, groups), W that between people
of one. Of scores W is the variance of values at the primary visit within arms, from a pilot simulation in which
clusters do not differ: screening, the ends of the scale and its grid are in it. Of yes/no and ordered outcomes it is
that of the latent scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trialsim.block import simulate_block
from trialsim.design.delivery import Group, Individual
from trialsim.design.outcomes import Binary, Ordinal, Score
from trialsim.design.parts import BinaryCovariate, Covariate, Design, NormalCovariate
from trialsim.teach.primary import primary_of
from trialsim.world.histories import NONE
from trialsim.world.outcomes import grid_points
from trialsim.world.world import World

DIGITS = 3
"""Digits of an ICC as people read it."""
_FIELDS = {"clusters": ("cluster_sd", "cluster_change_sd"), "coaches": ("coach_sd",), "groups": ("group_sd",)}
_PILOT_PARTICIPANTS, _PILOT_REPLICATES = 400, 16


@dataclass(frozen=True)
class Alike:
    """One sort of likeness in a design: of which outcome, between (SDs), within (variance), and the ICC rounded."""

    outcome: str
    between: float
    within: float

    @property
    def icc(self) -> float:
        """B / (B + W), rounded to three digits."""
        return round(self.between / (self.between + self.within), DIGITS)


def sorts(design: Design) -> dict[str, Alike]:
    """The sorts of likeness that a design has, with those of its primary outcome; none for counts, events and doses."""
    outcome = primary_of(design).outcome
    stated = design.outcomes[outcome]
    kinds = {
        "clusters": design.clusters is not None,
        "coaches": any(isinstance(arm.delivery, Individual | Group) for arm in design.arms.values()),
        "groups": any(isinstance(arm.delivery, Group) for arm in design.arms.values()),
    }
    if not isinstance(stated, Score | Binary | Ordinal):
        return {}
    within = _within(design.model_dump_json(), outcome)
    found = {}
    for sort in [sort for sort, has in kinds.items() if has]:
        between = sum(getattr(stated, name) ** 2 for name in _FIELDS[sort])
        if within + between > 0:
            found[sort] = Alike(outcome, between, within)
    return found


def at_icc(design: Design, sort: str, icc: float) -> dict[str, dict[str, float]]:
    """By outcome the standard deviations that make the primary outcome's ICC so; other outcomes keep their proportion.

    Where people are not alike as designed only the primary outcome changes.
    """
    own = sorts(design)[sort]
    wanted = icc / (1 - icc) * own.within
    names = _FIELDS[sort]
    if own.between == 0:
        return {own.outcome: {names[0]: math.sqrt(wanted)}}
    factor = math.sqrt(wanted / own.between)
    return {
        outcome: {name: factor * getattr(stated, name) for name in names}
        for outcome, stated in design.outcomes.items()
        if any(getattr(stated, name) for name in names)
    }


@lru_cache(maxsize=64)
def _within(document: str, outcome: str) -> float:
    """Variance between people who share cluster, coach and group, of an outcome at the primary visit."""
    design = Design.model_validate_json(document)
    stated = design.outcomes[outcome]
    if not isinstance(stated, Score):
        own = stated.sd**2 + stated.change_sd**2 + stated.error_sd**2 + stated.motivation**2
        return own + sum(slope**2 * _variance(design.covariates[name]) for name, slope in stated.covariates.items())
    return _pilot_variance(design, outcome)


def _variance(covariate: Covariate) -> float:
    """Variance of a covariate; of a normal one before its limits."""
    if isinstance(covariate, BinaryCovariate):
        return covariate.prob * (1 - covariate.prob)
    return covariate.sd**2 if isinstance(covariate, NormalCovariate) else covariate.mean


def _pilot_variance(design: Design, outcome: str) -> float:
    """Of values recorded or not, pooled over arms and replicates of a small simulation without any likeness."""
    alone = design.outcomes[outcome].model_copy(update={name: 0.0 for names in _FIELDS.values() for name in names})
    small = design.model_copy(
        update={
            "sample_size": min(design.sample_size, _PILOT_PARTICIPANTS),
            "outcomes": {**design.outcomes, outcome: alone},
        }
    )
    block = simulate_block(World(small), seed=0, first=0, n_replicates=_PILOT_REPLICATES)
    k, v = block.world.outcomes.index(outcome), block.world.visits.index(primary_of(design).visit)
    values = grid_points(alone).take(block.outcomes.realised[k, v])
    arm, squares, freedom = block.histories.arm, 0.0, 0
    for r in range(block.n_replicates):
        for a in np.unique(arm[:, r][arm[:, r] != NONE]):
            own = values[arm[:, r] == a, r]
            squares += float(((own - own.mean()) ** 2).sum())
            freedom += len(own) - 1
    return squares / max(freedom, 1)
