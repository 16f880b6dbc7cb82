"""How much of the spread of an outcome's latent level lies between sites, clusters, coaches and delivery groups."""

from __future__ import annotations

from trialsim.design.outcomes import Outcome
from trialsim.design.parts import BinaryCovariate, CountCovariate, Covariate, Design
from trialsim.report.layout import number


def icc(sds: tuple[float, ...], total: float) -> str:
    """Intraclass correlation '0.013': the share of a total variance that parts with these SDs have."""
    return number(sum(sd**2 for sd in sds) / total, 3)


def at_baseline(design: Design, outcome: Outcome) -> float:
    """Variance between the people screened of the latent level with its error at baseline [points^2]."""
    sds = (outcome.sd, outcome.entry_sd, outcome.error_sd, outcome.site_sd, outcome.cluster_sd)
    return sum(sd**2 for sd in sds) + _by_covariates(design, outcome)


def at_last_visit(design: Design, outcome: Outcome) -> float:
    """The same at the last visit, within an arm that is delivered by staff in groups and has no effect [points^2]."""
    sds = (
        outcome.sd, outcome.error_sd, outcome.motivation, outcome.site_sd, outcome.cluster_sd,
        outcome.cluster_change_sd, outcome.coach_sd, outcome.group_sd,
    )  # fmt: skip
    return sum(sd**2 for sd in sds) + _by_covariates(design, outcome) + _of_change(design, outcome)


def _of_change(design: Design, outcome: Outcome) -> float:
    """Variance of a person's own change at the last visit: a mixture of those who recover and those who do not."""
    recovery, own = outcome.recovery, outcome.change_sd**2
    if recovery is None:
        return own
    p = recovery.prob[list(design.visits)[-1]]
    return (1 - p) * own + p * recovery.sd**2 + p * (1 - p) * recovery.drop**2


def _by_covariates(design: Design, outcome: Outcome) -> float:
    return sum(slope**2 * _variance(design.covariates[name]) for name, slope in outcome.covariates.items())


def _variance(covariate: Covariate) -> float:
    """Variance of a covariate among the people screened, limits of a normal one not counted."""
    if isinstance(covariate, BinaryCovariate):
        return covariate.prob * (1 - covariate.prob)
    return covariate.mean if isinstance(covariate, CountCovariate) else covariate.sd**2
