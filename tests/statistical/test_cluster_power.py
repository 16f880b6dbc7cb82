"""Power of trials that randomize clusters, simulated from the design on, against closed forms and published values.

Rows C5, C7, C9, C11, C12 are clusterPower's, as in `tests/independent/test_closed_forms.py`. Clusters of equal size are
made by even recruitment; everybody answers, nothing is bounded or rounded. Every check fails in a world in which
clusters are a little more alike.
"""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
import pytest
from designs import WIDE, Data, design, merged, usual
from helpers import Array, agrees, same, se_of_mean, se_of_share
from scipy import optimize, stats

from trialsim.block import EngineName
from trialsim.design.parts import Design
from trialsim.experiments import closed_forms_cluster as cluster
from trialsim.experiments.runner import Experiment, run

ALL = 0.999999
"""Share answering; 1 is not allowed."""
REPLICATES = 2_000
N_CLUSTERS, SIZE = 16, 10
SD_CLUSTER, SD_PERSON = sqrt(0.5), sqrt(4.5)
"""Of C5: variance .5 between clusters, 5 in all."""


def trial(effects: dict[str, float], *, n_clusters: int, size: int, outcome: Data, main: Data) -> Design:
    """Arms with these effects on the value at the one visit; so many clusters an arm, all of one size, at one site."""
    name = "work" if outcome.get("kind") == "binary" else "pain"
    arms = {
        arm: usual(dose="assigned", response_prob={"m3": ALL}, effects={name: {"by_visit": {"m3": value}}})
        for arm, value in effects.items()
    }
    total = n_clusters * len(arms)
    return design(
        sample_size=total * size,
        recruitment={"sites": {"north": {"rate_per_month": float(30 * total * size)}}},
        outcomes={name: outcome},
        arms=arms,
        allocation={"kind": "clusters", "ratio": dict.fromkeys(arms, 1)},
        clusters={"per_site": total, "recruitment": "even"},
        analyses={"main": {"outcome": name, "cluster": "cluster", "multiplicity": "none", **main}},
    )


def pain(*, sd_cluster: float, sd_person: float) -> Data:
    return {**WIDE, "sd": sd_person, "cluster_sd": sd_cluster}


BY_CLUSTER: Data = {"kind": "cluster_means", "endpoint": "value", "pooled": True}
RANDOM: Data = {"kind": "mixed", "endpoint": "value"}


@cache
def c5(
    analysis: str, *, sd_cluster: float = SD_CLUSTER, n: int = REPLICATES, engine: EngineName = "vector"
) -> Experiment:
    main = {"means": BY_CLUSTER, "mixed": RANDOM}[analysis]
    outcome = pain(sd_cluster=sd_cluster, sd_person=SD_PERSON)
    design = trial({"a": 1.0, "b": 0.0}, n_clusters=N_CLUSTERS, size=SIZE, outcome=outcome, main=main)
    return run(design, replicates=n, engine=engine)


def column(experiment: Experiment, measure: str, contrast: str = "a - b", what: str = "estimate") -> Array:
    assert experiment.estimates is not None
    place = experiment.estimates.place(analysis="main", contrast=contrast, visit="m3", measure=measure)
    assert place is not None
    assert experiment.estimates.converged[:, place].mean() > 0.99
    return np.asarray(getattr(experiment.estimates, what)[:, place])


def p_values(experiment: Experiment, measure: str, contrast: str = "a - b") -> Array:
    return column(experiment, measure, contrast, "p_value")


def power(experiment: Experiment, measure: str, contrast: str = "a - b") -> float:
    """Share of replicates with a p-value below 5 %."""
    return float((p_values(experiment, measure, contrast) < 0.05).mean())


def test_sizes_are_nearly_equal() -> None:
    sizes = c5("means").measures
    assert (sizes["clusters/all"] == 2 * N_CLUSTERS).all()
    assert sizes["clusters/size_mean"] == pytest.approx(SIZE)
    assert (sizes["clusters/size_cv"] < 0.1).all()  # one more or less, which hardly moves the power


def test_c5_t_tests_of_cluster_means_have_the_power_of_the_noncentral_t() -> None:
    expected = 0.801766  # the wrong tail adds 1e-8
    assert agrees(power(c5("means"), "mean difference"), expected, se_of_share(expected, REPLICATES))
    wrong = c5("means", sd_cluster=sqrt(0.8))
    assert not agrees(power(wrong, "mean difference"), expected, se_of_share(expected, REPLICATES))


def test_c5_mixed_models_with_satterthwaite_are_the_same_test() -> None:
    """With equal clusters, unless the variance between clusters is estimated as 0: then there are more degrees of
    freedom, and a little more power."""
    expected = 0.801766
    assert agrees(power(c5("mixed"), "mean difference"), expected + 0.005, se_of_share(expected, REPLICATES))
    both = [p_values(c5(analysis), "mean difference") for analysis in ("means", "mixed")]
    assert np.isclose(*both, rtol=0.2, atol=1e-4).mean() > 0.9
    assert (
        not np.isclose(both[0], p_values(c5("means", sd_cluster=sqrt(0.8)), "mean difference"), rtol=0.2).mean() > 0.9
    )


def test_c5_in_the_process_engine() -> None:
    """A few replicates, exactly equal: so is the power."""
    a, b = (p_values(c5("means", n=3, engine=engine), "mean difference") for engine in ("vector", "process"))
    assert same(a, b)


def test_c7_few_large_clusters() -> None:
    """5 clusters an arm of 150 with total variance 1 and ICC .05: 4.99995 clusters have 80 %."""
    expected, n = 0.8, 1_000
    outcome = pain(sd_cluster=sqrt(0.05), sd_person=sqrt(0.95)) | {"items": 30, "low": -100.0, "high": 100.0}
    design = trial({"a": 0.4804988, "b": 0.0}, n_clusters=5, size=150, outcome=outcome, main=BY_CLUSTER)
    assert agrees(power(run(design, replicates=n), "mean difference"), expected, se_of_share(expected, n))
    alike = merged(design.model_dump(), outcomes={"pain": {"cluster_sd": sqrt(0.1)}})
    wrong = run(Design.model_validate(alike), replicates=n)
    assert not agrees(power(wrong, "mean difference"), expected, se_of_share(expected, n))


@pytest.mark.parametrize("size", [3, 5])
def test_c9_the_test_of_three_arms(size: int) -> None:
    """Means 74, 80, 86 (variance 36 between arms), 5 clusters an arm, variance 9 between and 64 within clusters."""
    expected = cluster.cluster_anova_power(36, 9, 64, 3, 5, size)
    arms = {"a": -6.0, "b": 0.0, "c": 6.0}

    def rejected(var_clusters: float) -> float:
        outcome = pain(sd_cluster=sqrt(var_clusters), sd_person=8.0)
        design = trial(arms, n_clusters=5, size=size, outcome=outcome, main=BY_CLUSTER)
        return power(run(design, replicates=REPLICATES), "test of all arms", contrast="all arms")

    assert agrees(rejected(9), expected, se_of_share(expected, REPLICATES))
    assert not agrees(rejected(18), expected, se_of_share(expected, REPLICATES))


# --- yes/no -----------------------------------------------------------------------------------------------------------


def correlation(prob: float, share: float) -> float:
    """Intraclass correlation of a yes/no outcome whose latent normal has this share of its variance between clusters."""
    limit = stats.norm.ppf(prob)
    both = stats.multivariate_normal([0, 0], [[1, share], [share, 1]]).cdf([limit, limit])
    return float((both - prob**2) / (prob * (1 - prob)))


def risks(control: float, treated: float, icc: float) -> tuple[Data, float]:
    """An outcome and an effect with these marginal risks, and a variance of cluster means as `icc` has it over both."""
    weight = control * (1 - control), treated * (1 - treated)

    def excess(share: float) -> float:
        own = correlation(control, share), correlation(treated, share)
        return float(np.average(own, weights=weight)) - icc

    share = optimize.brentq(excess, 1e-4, 0.9)
    latent_sd = 1 / sqrt(1 - share)  # persons have variance 1
    limit = stats.norm.ppf(control) * latent_sd
    outcome = {"kind": "binary", "prob": float(stats.norm.cdf(limit)), "sd": 0.8, "error_sd": 0.6}
    return outcome | {"cluster_sd": sqrt(share) * latent_sd}, float(stats.norm.ppf(treated) * latent_sd - limit)


@cache
def c11(analysis: str, icc: float, n_clusters: int, size: int) -> Experiment:
    outcome, effect = risks(0.1, 0.2, icc)
    main = {"means": {**BY_CLUSTER, "endpoint": "response"}, "linear": {"kind": "linear", "endpoint": "response"}}[
        analysis
    ]
    design = trial({"a": effect, "b": 0.0}, n_clusters=n_clusters, size=size, outcome=outcome, main=main)
    return run(design, replicates=REPLICATES)


def test_c11_risks_and_their_intraclass_correlation_are_those_asked_for() -> None:
    experiment = c11("means", 0.1, 38, 10)
    assert experiment.estimates is not None
    for arm, risk in (("a", 20.0), ("b", 10.0)):
        found = column(experiment, "adjusted percentage", arm)
        assert agrees(found.mean(), risk, se_of_mean(found))
    correlations = experiment.measures["clusters/work/m3/icc"]
    assert agrees(
        correlations.mean(), 0.1, se_of_mean(correlations) + 0.002 / 4.5
    )  # ANOVA is biased by order 1 / clusters
    assert not agrees(correlations.mean(), 0.12, se_of_mean(correlations) + 0.002 / 4.5)


def test_c11_power_of_risk_differences() -> None:
    """38.2667 clusters an arm of 10 have 80 %."""
    expected = cluster.cluster_risks_power(0.1, 0.2, 0.1, 38, 10)
    assert 0.79 < expected < 0.8
    assert agrees(power(c11("means", 0.1, 38, 10), "risk difference"), expected, se_of_share(expected, REPLICATES))
    wrong = c11("means", 0.2, 38, 10)
    assert not agrees(power(wrong, "risk difference"), expected, se_of_share(expected, REPLICATES))


def test_c12_variance_between_clusters_of_a_normal_outcome() -> None:
    outcome = pain(sd_cluster=sqrt(5.2631579), sd_person=10.0)
    design = trial({"a": 0.0, "b": 0.0}, n_clusters=16, size=20, outcome=outcome, main=BY_CLUSTER)
    found = run(design, replicates=400).measures["clusters/pain/m3/icc"]
    assert agrees(found.mean(), 0.05, se_of_mean(found) + 0.002 / 4.5)
    assert not agrees(found.mean(), 0.1, se_of_mean(found) + 0.002 / 4.5)
