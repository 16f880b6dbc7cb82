"""Power in closed form of trials that randomize clusters, or that treat one arm in clusters.

Clusters are counted per arm; `size` is the mean number of participants in one. The intraclass correlation is
between-cluster variance / total variance.
"""

from __future__ import annotations

import math

from trialsim.experiments.closed_forms import Sides, f_power, t_power


def design_effect(size: float, icc: float, *, size_cv: float = 0.0) -> float:
    """Variance of an arm's mean relative to independent participants, 1 + ((cv^2 + 1) size - 1) icc.

    For an analysis in which every participant counts the same, clusters' sizes having coefficient of variation
    `size_cv`; Eldridge, Ashby and Kerry (2006), doi:10.1093/ije/dyl129. With `size_cv` 0, Donner, Birkett and Buck
    (1981), doi:10.1093/oxfordjournals.aje.a113261.
    """
    return 1 + ((size_cv**2 + 1) * size - 1) * icc


def design_effect_weighted(size: float, icc: float, *, size_cv: float = 0.0) -> float:
    """The same for an analysis that weights clusters by their information (mixed model, GEE exchangeable).

    Second-order approximation of Van Breukelen, Candel and Berger (2007), doi:10.1002/sim.2740.
    """
    equal = design_effect(size, icc)
    share = size * icc / equal
    return equal / (1 - size_cv**2 * share * (1 - share))


def cluster_means_power(
    difference: float,
    sd: float,
    icc: float,
    n_clusters: float,
    size: float,
    *,
    effect: float | None = None,
    alpha: float = 0.05,
    sides: Sides = 2,
) -> float:
    """Power of the t test of two arms with `n_clusters` each, on 2 (n_clusters - 1) degrees of freedom.

    `sd` is the total standard deviation of a participant; `effect` the design effect (that of equal clusters unless
    given). Donner and Klar (2000), Design and Analysis of Cluster Randomization Trials in Health Research, chapter 5.
    """
    effect = design_effect(size, icc) if effect is None else effect
    error = sd * math.sqrt(2 * effect / (n_clusters * size))
    return t_power(difference / error, 2 * (n_clusters - 1), alpha=alpha, sides=sides)


def cluster_risks_power(
    control: float,
    treated: float,
    icc: float,
    n_clusters: float,
    size: float,
    *,
    effect: float | None = None,
    normal: bool = False,
    alpha: float = 0.05,
    sides: Sides = 2,
) -> float:
    """The same for a risk difference, each arm with its own binomial variance; `normal` gives the normal test."""
    effect = design_effect(size, icc) if effect is None else effect
    variance = (control * (1 - control) + treated * (1 - treated)) * effect / (n_clusters * size)
    df = math.inf if normal else 2 * (n_clusters - 1)
    return t_power((treated - control) / math.sqrt(variance), df, alpha=alpha, sides=sides)


def cluster_anova_power(
    var_arms: float,
    var_clusters: float,
    var_within: float,
    n_arms: int,
    n_clusters: float,
    size: float,
    *,
    alpha: float = 0.05,
) -> float:
    """Power of the F test of all arms against the variation of clusters within arms.

    `var_arms` is the variance of the arms' true means with divisor n_arms - 1. The noncentrality is
    size n_clusters (n_arms - 1) var_arms / (var_within + size var_clusters); Murray (1998), Design and Analysis of
    Group-Randomized Trials, chapter 9. (clusterPower's `cpa.ma.normal` tests at alpha / 2, with 1 + this /
    (n_arms - 1) as noncentrality, which is another number: in its own example 20.8 participants a cluster, not 3.2.)
    """
    spread = size * n_clusters * (n_arms - 1) * var_arms / (var_within + size * var_clusters)
    return f_power(spread, n_arms - 1, n_arms * (n_clusters - 1), alpha=alpha)


def partially_nested_power(
    difference: float,
    n_clusters: float,
    size: float,
    n_control: float,
    *,
    var_clusters: float,
    var_treated: float,
    var_control: float,
    df: float = math.inf,
    alpha: float = 0.05,
    sides: Sides = 2,
) -> float:
    """Power where only the treated arm is in clusters (therapists, groups) and controls are on their own.

    `var_treated` is the variance within clusters. `df` is inf for the normal test of Moerbeek and Wong (2008),
    doi:10.1002/sim.3115; with few clusters n_clusters - 1 is the careful choice.
    """
    variance = (size * var_clusters + var_treated) / (n_clusters * size) + var_control / n_control
    return t_power(difference / math.sqrt(variance), df, alpha=alpha, sides=sides)


def logit_cluster_variance(icc: float) -> float:
    """Variance of a normal cluster effect on the log odds for an intraclass correlation on the latent scale.

    icc / (1 - icc) pi^2 / 3; Eldridge, Ukoumunne and Carlin (2009), doi:10.1111/j.1751-5823.2009.00092.x.
    """
    return normal_cluster_variance(icc, math.pi**2 / 3)


def normal_cluster_variance(icc: float, var_within: float) -> float:
    """Variance between clusters that gives the intraclass correlation: icc / (1 - icc) var_within."""
    return icc / (1 - icc) * var_within
