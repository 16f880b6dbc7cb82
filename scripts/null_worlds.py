"""Data in which a null hypothesis is true and an analysis's own assumptions hold: one replicate at a time, by NumPy.

Each function takes the number of participants and a generator. Arms are 0, 1, 2 ... and of equal size unless said
otherwise. `x` (normal) and `female` are covariates. None of this knows a design, a coach's waiting list or a letter:
it is what type I error is defined by, made independently of the simulated trial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trialsim.analysis.fits import Bools, Data, Floats, Ints, TimesToEvent

Generator = np.random.Generator
World = Callable[[int, Generator], Any]

ALONE = -1
N_COACHES = 12
N_SITES = 12
CLUSTERS_PER_ARM = 8
ICC = 0.05
VISIT_DAYS = np.array([91.0, 182.0, 365.0])
# Residuals at three visits: standard deviations and correlations.
VISIT_SD = np.array([1.0, 1.1, 1.2])
VISIT_CORRELATION = np.array([[1.0, 0.6, 0.5], [0.6, 1.0, 0.65], [0.5, 0.65, 1.0]])
VISIT_ROOT = np.linalg.cholesky(VISIT_CORRELATION)


def equal_arms(n: int, n_arms: int = 3) -> Ints:
    return np.arange(n) % n_arms


def person_covariates(n: int, rng: Generator) -> Floats:
    """(n, 2): `x` and `female`."""
    return np.column_stack([rng.standard_normal(n), rng.random(n) < 0.5])


def one_visit(y: Floats, arm: Ints, covariates: Floats, cluster: Ints | None = None, n_arms: int = 3) -> Data:
    """A replicate with one visit; without clusters everybody stands alone."""
    alone = np.full(len(arm), ALONE)
    return Data(y.astype(float)[:, None], arm, covariates, alone if cluster is None else cluster, n_arms)


def expit(linear: Floats) -> Floats:
    return 1 / (1 + np.exp(-linear))


# --- one visit --------------------------------------------------------------------------------------------------------


def normal(n: int, rng: Generator) -> Data:
    """Normal residuals of equal variance around a line in the covariates."""
    covariates = person_covariates(n, rng)
    return one_visit(covariates @ [0.6, 0.3] + rng.standard_normal(n), equal_arms(n), covariates)


def unequal_variance(n: int, rng: Generator) -> Data:
    """Arms of 1/6, 1/2 and 1/3 of the participants; residual standard deviation 2 in the first, 1 in the others."""
    arm, covariates = np.array([0, 1, 1, 1, 2, 2])[np.arange(n) % 6], person_covariates(n, rng)
    residual = np.array([2.0, 1.0, 1.0])[arm] * rng.standard_normal(n)
    return one_visit(covariates @ [0.6, 0.3] + residual, arm, covariates)


def binary(n: int, rng: Generator) -> Data:
    """A response in three of ten, logistic in the covariates."""
    covariates = person_covariates(n, rng)
    risk = expit(covariates @ [0.5, 0.3] - 1.05)
    return one_visit(rng.random(n) < risk, equal_arms(n), covariates)


def log_linear_risk(n: int, rng: Generator) -> Data:
    """A response whose chance, 0.25 to 0.46, is log-linear in two bounded covariates."""
    covariates = np.column_stack([rng.random(n), rng.random(n) < 0.5])
    risk = 0.25 * np.exp(covariates @ [0.3, 0.3])
    return one_visit(rng.random(n) < risk, equal_arms(n), covariates)


def negative_binomial_counts(n: int, rng: Generator) -> tuple[Data, Floats]:
    """Counts of mean 1.5 per unit of exposure and variance mean + 0.5 mean^2, and the exposures (n, 1)."""
    covariates, exposure = person_covariates(n, rng), rng.uniform(0.5, 2.0, n)
    mean = exposure * np.exp(covariates @ [0.2, 0.1] + np.log(1.5))
    return one_visit(rng.poisson(mean * rng.gamma(2.0, 0.5, n)), equal_arms(n), covariates), exposure[:, None]


def overdispersed_counts(n: int, rng: Generator) -> tuple[Data, Floats]:
    """As before, with a variance that is twice the mean."""
    covariates, exposure = person_covariates(n, rng), rng.uniform(0.5, 2.0, n)
    mean = exposure * np.exp(covariates @ [0.2, 0.1] + np.log(1.5))
    return one_visit(rng.poisson(rng.gamma(mean)), equal_arms(n), covariates), exposure[:, None]


def compliers(n: int, rng: Generator) -> tuple[Data, Floats]:
    """Attendance (n, 1) of 70 % in arm 0, 50 % in arm 1 and nobody in arm 2; who would attend differs anyway."""
    arm, covariates, would = equal_arms(n), person_covariates(n, rng), rng.random(n)
    y = covariates @ [0.4, 0.2] + 0.5 * (would < 0.7) + rng.standard_normal(n)
    return one_visit(y, arm, covariates), (would < np.array([0.7, 0.5, 0.0])[arm]).astype(float)[:, None]


# --- three visits -----------------------------------------------------------------------------------------------------


def _residuals(n: int, rng: Generator) -> Floats:
    """(n, 3), of variance 1."""
    return rng.standard_normal((n, 3)) @ VISIT_ROOT.T


def _three_visits(y: Floats, seen: Bools, covariates: Floats, cluster: Ints | None = None) -> Data:
    alone = np.full(len(y), ALONE)
    values = np.where(seen, y, np.nan)
    return Data(values, equal_arms(len(y)), covariates, alone if cluster is None else cluster, 3)


def repeated(n: int, rng: Generator) -> Data:
    """Normal outcomes at three visits, each missed by 15 % completely at random."""
    covariates = person_covariates(n, rng)
    y = (covariates @ [0.5, 0.3])[:, None] + VISIT_SD * _residuals(n, rng)
    return _three_visits(y, rng.random((n, 3)) > 0.15, covariates)


def non_response(n: int, rng: Generator) -> Data:
    """As before; moreover 15 % never answer, more often where the covariate is low."""
    data = repeated(n, rng)
    never = rng.random(n) < expit(-1.9 - 0.7 * data.covariates[:, 0])
    return replace(data, y=np.where(never[:, None], np.nan, data.y))


def repeated_binary(n: int, rng: Generator) -> Data:
    """A response at three visits (31 %), correlated within persons, each missed by 15 % completely at random."""
    covariates = person_covariates(n, rng)
    latent = (covariates @ [0.4, 0.2])[:, None] + _residuals(n, rng)
    return _three_visits((latent > 0.65).astype(float), rng.random((n, 3)) > 0.15, covariates)


def dropout(n: int, rng: Generator) -> Data:
    """Normal outcomes at three visits; people leave for good, the more the higher their last value (at random).

    Everybody answers the first visit. Leaving is about twice as frequent in arm 0 as in the others.
    """
    covariates, arm = person_covariates(n, rng), equal_arms(n)
    y = (covariates @ [0.5, 0.3])[:, None] + VISIT_SD * _residuals(n, rng)
    seen = np.ones((n, 3), dtype=bool)
    for visit in (1, 2):
        leaves = rng.random(n) < expit(np.array([-1.2, -2.2, -2.2])[arm] + 0.8 * y[:, visit - 1])
        seen[:, visit] = seen[:, visit - 1] & ~leaves
    return _three_visits(y, seen, covariates)


# --- clusters ---------------------------------------------------------------------------------------------------------


def _coach_of(arm: Ints, rng: Generator) -> Ints:
    """One of 12 coaches at random for each member of arm 0, nobody for the others."""
    return np.where(arm == 0, rng.integers(N_COACHES, size=len(arm)), ALONE)


def _effect_of(coach: Ints, rng: Generator) -> Floats:
    """Of variance ICC; 0 for those who stand alone."""
    return np.where(coach == ALONE, 0.0, np.sqrt(ICC) * rng.standard_normal(N_COACHES)[coach])


def coaches(n: int, rng: Generator) -> Data:
    """12 coaches in arm 0 (ICC 0.05 there), whose members also have a larger residual variance than the others."""
    arm, covariates = equal_arms(n), person_covariates(n, rng)
    coach = _coach_of(arm, rng)
    residual = np.where(arm == 0, np.sqrt(1 - ICC), 0.8) * rng.standard_normal(n)
    return one_visit(covariates @ [0.5, 0.3] + _effect_of(coach, rng) + residual, arm, covariates, coach)


def clusters_ignored(n: int, rng: Generator, icc: float = 0.1) -> Data:
    """12 clusters in each arm, of intracluster correlation 0.1, about which the data say nothing: a wrong world."""
    arm = equal_arms(n)
    shared = rng.standard_normal((3, N_COACHES))[arm, rng.integers(N_COACHES, size=n)]
    y = np.sqrt(icc) * shared + np.sqrt(1 - icc) * rng.standard_normal(n)
    return one_visit(y, arm, person_covariates(n, rng))


def coaches_repeated(n: int, rng: Generator) -> Data:
    """12 coaches in arm 0, normal outcomes at three visits."""
    covariates, coach = person_covariates(n, rng), _coach_of(equal_arms(n), rng)
    apart = np.sqrt(np.where(coach == ALONE, 1.0, 1 - ICC))[:, None] * _residuals(n, rng)
    y = (covariates @ [0.5, 0.3] + _effect_of(coach, rng))[:, None] + apart
    return _three_visits(y, rng.random((n, 3)) > 0.15, covariates, coach)


def coaches_binary(n: int, rng: Generator) -> Data:
    """12 coaches in arm 0 (ICC 0.05 on the latent scale), a response at three visits, equally frequent in all arms."""
    covariates, coach = person_covariates(n, rng), _coach_of(equal_arms(n), rng)
    apart = np.sqrt(np.where(coach == ALONE, 1.0, 1 - ICC))[:, None] * _residuals(n, rng)
    latent = (covariates @ [0.4, 0.2] + _effect_of(coach, rng))[:, None] + apart
    return _three_visits((latent > 0.65).astype(float), rng.random((n, 3)) > 0.15, covariates, coach)


def sites(n: int, rng: Generator) -> Data:
    """12 sites at random, each with members of all arms (ICC 0.05)."""
    covariates, site = person_covariates(n, rng), rng.integers(N_SITES, size=n)
    shared = np.sqrt(ICC) * rng.standard_normal(N_SITES)[site]
    y = covariates @ [0.5, 0.3] + shared + np.sqrt(1 - ICC) * rng.standard_normal(n)
    return one_visit(y, equal_arms(n), covariates, site)


def randomized_clusters(n: int, rng: Generator) -> Data:
    """8 clusters in each arm, of nearly equal size (ICC 0.05)."""
    cluster = np.arange(n) % (3 * CLUSTERS_PER_ARM)
    covariates = person_covariates(n, rng)
    shared = np.sqrt(ICC) * rng.standard_normal(3 * CLUSTERS_PER_ARM)[cluster]
    y = covariates @ [0.5, 0.3] + shared + np.sqrt(1 - ICC) * rng.standard_normal(n)
    return one_visit(y, cluster % 3, covariates, cluster)


# --- times to an event ------------------------------------------------------------------------------------------------


def _times(n: int, rng: Generator, hazards: Floats, effect: float) -> TimesToEvent:
    """Whole days; censoring evenly between days 180 and 365."""
    arm, x = equal_arms(n), rng.standard_normal((n, 1))
    time = rng.exponential(1 / (hazards[arm] * np.exp(effect * x[:, 0])))
    end = rng.uniform(180, 365, n)
    return TimesToEvent(np.ceil(np.minimum(time, end)), time <= end, arm, x, 3)


def times(n: int, rng: Generator) -> TimesToEvent:
    """Proportional hazards in a covariate, mean about 300 days, whole days."""
    return _times(n, rng, np.full(3, 1 / 300), 0.4)


def times_at_visits(n: int, rng: Generator) -> TimesToEvent:
    """The same, noticed at the next of three visits (days 91, 182, 365): many ties. A tenth leaves after each visit."""
    arm, x = equal_arms(n), rng.standard_normal((n, 1))
    time = rng.exponential(300 / np.exp(0.4 * x[:, 0]))
    seen = 1 + (rng.random((n, 2)) > 0.1).cumprod(axis=1).sum(axis=1)
    noticed = np.searchsorted(VISIT_DAYS, time)
    event = noticed < seen
    return TimesToEvent(VISIT_DAYS[np.where(event, noticed, seen - 1)], event, arm, x, 3)


# --- on the margin ----------------------------------------------------------------------------------------------------

MEAN_MARGIN = 0.5
RISKS = np.array([0.3, 0.45, 0.45])
RATIO_MARGIN = 1.5
HAZARDS = np.array([1 / 450, 1 / 300, 1 / 300])
RESTRICTED_TO = 180.0


def odds_margin() -> float:
    odds = RISKS / (1 - RISKS)
    return float(odds[1] / odds[0])


def time_margin() -> float:
    """Difference in restricted mean time [days] between the hazards of arms 0 and 1."""
    mean = -np.expm1(-HAZARDS * RESTRICTED_TO) / HAZARDS
    return float(mean[0] - mean[1])


def normal_margin(n: int, rng: Generator) -> Data:
    """Change, of which less is better, is 0.5 higher in arm 0."""
    arm, covariates = equal_arms(n), person_covariates(n, rng)
    return one_visit(covariates @ [0.6, 0.3] + MEAN_MARGIN * (arm == 0) + rng.standard_normal(n), arm, covariates)


def binary_margin(n: int, rng: Generator) -> Data:
    """30 % respond in arm 0 and 45 % in the others; covariates have nothing to do with it."""
    arm = equal_arms(n)
    return one_visit(rng.random(n) < RISKS[arm], arm, person_covariates(n, rng))


def times_margin(n: int, rng: Generator) -> TimesToEvent:
    """A hazard that is two thirds of the others' in arm 0; the covariate has nothing to do with it."""
    return _times(n, rng, HAZARDS, 0.0)


def counts_margin(n: int, rng: Generator) -> tuple[Data, Floats]:
    """Negative binomial counts, of which arm 0 has two thirds of the others' rate; equal exposures."""
    arm, covariates = equal_arms(n), person_covariates(n, rng)
    mean = 3 * np.exp(covariates @ [0.2, 0.1]) / np.where(arm == 0, RATIO_MARGIN, 1.0)
    return one_visit(rng.poisson(mean * rng.gamma(2.0, 0.5, n)), arm, covariates), np.ones((n, 1))


# --- several hypotheses -----------------------------------------------------------------------------------------------

PLAIN = 30.0
"""A difference between arms that nobody misses, in standard errors of a difference."""


@dataclass(frozen=True)
class Arms:
    """Normal outcomes in as many arms as there are numbers; an arm with 1 differs plainly from those with 0."""

    differs: tuple[int, ...]

    def __call__(self, n: int, rng: Generator) -> Data:
        n_arms = len(self.differs)
        arm = equal_arms(n, n_arms)
        effect = PLAIN * np.sqrt(2 * n_arms / n) * np.array(self.differs)
        return one_visit(effect[arm] + rng.standard_normal(n), arm, np.empty((n, 0)), n_arms=n_arms)
