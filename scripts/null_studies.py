"""Every built-in analysis, the data it is tried on, and what is known about its type I error beforehand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import null_worlds as worlds
import numpy as np
from null_methods import Method, Procedure, Study

from trialsim.analysis import multiplicity
from trialsim.analysis.graphical import graphical

_COPIES = 10
# Largest numbers of replicates, by number of participants, where many imputations would take too long.
IMPUTED = {60: 5_000, 300: 4_000, 2331: 1_000}

# --- what is tried ----------------------------------------------------------------------------------------------------


def one(kind: str, most: dict[int, int] | None = None, **options: Any) -> Method:
    return Method(kind, options, most=most or {})


def margin(kind: str, **options: Any) -> tuple[Method, ...]:
    """On the margin, both ways. The true value favours arm 1 by as much as the margin allows."""
    return tuple(Method(kind, options | {"hypothesis": name}) for name in ("non_inferiority", "equivalence"))


CORRECTIONS = ("none", "df", "kauermann_carroll", "mancl_derouen", "fay_graubard")
WORKINGS = ("independence", "exchangeable", "unstructured")
_DF = ("satterthwaite", "kenward_roger", "between_within", "normal")


def _imputed(**options: Any) -> dict[str, Any]:
    return {"imputations": _COPIES, "covariates": ("x",), **options}


def _one_visit() -> list[Study]:
    return [
        Study("normal", worlds.normal, (
            one("t_test", equal_variance=True),
            one("t_test", equal_variance=False),
            *(one("ancova", variance=v) for v in ("model", "hc0", "hc3")),
            one("linear"),
        )),
        Study("unequal variance", worlds.unequal_variance, (
            one("t_test", equal_variance=False),
            one("t_test", equal_variance=True),
            *(one("ancova", variance=v) for v in ("model", "hc0", "hc3")),
        )),
        Study("binary", worlds.binary, (
            one("proportions"),
            *(one("chi_squared", correction=c) for c in (False, True)),
            *(one("logistic", variance=v) for v in ("model", "robust")),
        )),
        Study("log-linear risk", worlds.log_linear_risk, (one("log_binomial"), one("modified_poisson"))),
        Study("negative binomial", worlds.negative_binomial_counts, (
            one("counts", family="negative_binomial"), one("counts", family="quasi_poisson"))),
        Study("overdispersed", worlds.overdispersed_counts, (one("counts", family="quasi_poisson"),)),
        Study("compliers", worlds.compliers, tuple(
            Method("complier", {"method": m}, pairs=((0, 2),)) for m in ("two_stage", "ratio"))),
        Study("times", worlds.times, (
            one("log_rank"), one("cox", ties="efron"), one("cox", ties="breslow"), one("rmst", until_day=180.0))),
        Study("times at visits", worlds.times_at_visits, (
            one("log_rank"), one("cox", ties="efron"), one("cox", ties="breslow"), one("rmst", until_day=182.0))),
    ]  # fmt: skip


def _three_visits() -> list[Study]:
    binary = {"endpoint": "response", "working": "exchangeable"}
    imputation = {"kind": "imputation"}
    reference = {"kind": "reference", "reference": "arm1"}
    return [
        Study("repeated", worlds.repeated, (
            *(one("gee", working=w, correction=c) for w in WORKINGS for c in CORRECTIONS),
            one("linear"),
            one("linear", missing={"kind": "complete_cases"}),
        ), n_visits=3),
        Study("repeated, with non-response", worlds.non_response, (
            one("linear", missing={"kind": "pattern_mixture"}),
            one("linear"),
        ), n_visits=3),
        Study("repeated binary", worlds.repeated_binary, (
            *(one("gee", **binary, correction=c) for c in CORRECTIONS),
            one("modified_poisson"),
        ), n_visits=3),
        Study("dropout", worlds.dropout, (
            *(one("mmrm", df=df) for df in ("kenward_roger", "satterthwaite", "residual")),
            one("mmrm", df="kenward_roger", covariates_by_visit=True),
            one("linear", missing={"kind": "weights", "history": True}),
        ), n_visits=3),
        Study("dropout, imputed", worlds.dropout, (
            *(one("ancova", IMPUTED, missing=_imputed(**imputation, model=model))
              for model in ("joint_normal", "chained")),
            *(one("ancova", IMPUTED, missing=_imputed(**reference, rule=rule))
              for rule in ("jump", "copy_reference", "copy_increment")),
        ), n_visits=3),
    ]  # fmt: skip


def _clusters() -> list[Study]:
    robust = tuple(one("cluster_robust", correction=c) for c in ("CR2", "CR1", "CR0"))
    person = {"cluster": "coach"}
    return [
        Study("12 coaches", worlds.coaches, (
            *(one("mixed", nested_arms=("arm0",), heteroscedastic=True, df=df) for df in _DF),
            one("mixed", nested_arms=("arm0",), heteroscedastic=False, df="satterthwaite"),
            *robust,
            one("cluster_means", weights="equal"), one("cluster_means", weights="size"),
            one("linear", **person),
        )),
        Study("12 coaches, repeated", worlds.coaches_repeated, (
            *(one("gee", working="exchangeable", correction=c, **person) for c in CORRECTIONS),
            one("linear", **person),
        ), n_visits=3),
        Study("12 coaches, repeated binary", worlds.coaches_binary, (
            *(one("gee", endpoint="response", working="exchangeable", correction=c, **person)
              for c in ("none", "mancl_derouen", "fay_graubard")),
            one("modified_poisson", **person),
        ), n_visits=3),
        Study("12 sites", worlds.sites, (
            *(one("mixed", cluster="site", df=df) for df in _DF), *robust, one("linear", cluster="site"))),
        Study("24 randomized clusters", worlds.randomized_clusters, (
            *(one("mixed", df=df) for df in _DF),
            *robust,
            *(one("cluster_means", weights=w, pooled=p) for w in ("equal", "size") for p in (False, True)),
            one("linear", **person),
        )),
    ]  # fmt: skip


def _margins() -> list[Study]:
    ratio = worlds.RATIO_MARGIN
    return [
        Study("mean on the margin", worlds.normal_margin, (
            *margin("ancova", margin=worlds.MEAN_MARGIN), *margin("t_test", margin=worlds.MEAN_MARGIN))),
        Study("risks on the margin", worlds.binary_margin, (
            *margin("proportions", margin=15.0),
            *margin("proportions", margin=ratio, margin_measure="risk ratio"),
            *margin("modified_poisson", margin=ratio),
            *margin("log_binomial", margin=ratio),
            *margin("logistic", margin=worlds.odds_margin(), margin_measure="odds ratio"),
        )),
        Study("hazards on the margin", worlds.times_margin, (
            *margin("cox", margin=ratio), *margin("log_rank", margin=ratio),
            *margin("rmst", margin=worlds.time_margin(), until_day=worlds.RESTRICTED_TO),
        )),
        Study("rates on the margin", worlds.counts_margin, margin("counts", margin=ratio)),
    ]  # fmt: skip


# --- families of hypotheses -------------------------------------------------------------------------------------------

_GRAPH = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
PROCEDURES: tuple[tuple[str, Procedure], ...] = (
    ("fixed sequence", multiplicity.fixed_sequence),
    ("fallback", multiplicity.fallback),
    ("serial gatekeeping", lambda p: multiplicity.gatekeeping(p, [[0], [1, 2]], kind="serial", procedure="holm")),
    ("parallel gatekeeping", lambda p: multiplicity.gatekeeping(
        p, [[0, 1], [2]], kind="parallel", procedure=["holm", "holm"], gamma=[0.5, 1.0])),
    ("graphical", lambda p: graphical(p, np.array([0.5, 0.25, 0.25]), _GRAPH)),
)  # fmt: skip


def _family(differs: tuple[int, ...]) -> Study:
    """Arms of which those with 1 differ plainly; the last is the control."""
    k = len(differs)
    every = tuple((a, b) for a in range(k) for b in range(a + 1, k))
    control = tuple((a, k - 1) for a in range(k - 1))
    t = {"equal_variance": True}
    methods = [Method("t_test", t | {"multiplicity": "lsd"}, every, True)]
    if k == 4:
        rules = ("bonferroni", "holm", "hochberg", "hommel", "dunnett", "dunnett_step_down")
        methods += [Method("t_test", t | {"multiplicity": rule}, control, True) for rule in rules]
        methods += [Method("t_test", t, control, True, procedure) for procedure in PROCEDURES]
    truth = "all equal" if not any(differs) else f"{sum(differs)} of {k - 1} differ from control"
    return Study(f"{k} arms, {truth}", worlds.Arms(differs), tuple(methods), n_arms=k)


def studies() -> list[Study]:
    """All of it, in the order of the table."""
    families = [(0, 0, 0), (1, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0)]
    return [*_one_visit(), *_three_visits(), *_clusters(), *_margins(), *(_family(differs) for differs in families)]


# --- what is known beforehand -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """Why the rate of some analyses is not the nominal one, up to a number of participants."""

    direction: str  # "liberal" or "conservative"
    data: str  # regular expressions, to be found in what they are about
    title: str
    tested: str
    most_n: float
    why: str

    def tells(self, data: str, title: str, tested: str, n: int, direction: str) -> bool:
        """Whether it explains this row."""
        about = zip((self.data, self.title, self.tested), (data, title, tested), strict=True)
        return self.direction == direction and n <= self.most_n and all(re.search(a, b) for a, b in about)


ANY_N = float("inf")
CLUSTERED = "12 coaches|12 sites|24 randomized"
LOGARITHM = "ratio|all arms"
KNOWN: tuple[Known, ...] = (
    Known("liberal", "unequal variance", "equal_variance=True|variance=model", "", ANY_N,
        "Equal variances are assumed and are not so, on purpose: the smallest arm varies most (Welch 1947, "
        "doi:10.1093/biomet/34.1-2.28)."),
    Known("conservative", "12 coaches", "heteroscedastic=False", "", ANY_N,
        "One residual variance is assumed for coached and others, and is not so, on purpose."),
    Known("liberal", "unequal variance", "hc3", "", 60,
        "HC3 in an arm of 10 (Long & Ervin 2000, doi:10.1080/00031305.2000.10474549)."),
    Known("liberal", CLUSTERED, "CR0|^linear, cluster|^modified_poisson, cluster|correction=none, cluster", "", ANY_N,
        "The plain sandwich with few clusters and the normal distribution is too small, however many participants "
        "there are (Mancl & DeRouen 2001, doi:10.1111/j.0006-341X.2001.00126.x)."),
    Known("liberal", CLUSTERED, "correction=df", "", ANY_N,
        "The factor G / (G - p) counts those who stand alone among the G units, so it hardly corrects for 12 coaches "
        "(Mancl & DeRouen 2001, doi:10.1111/j.0006-341X.2001.00126.x)."),
    Known("liberal", CLUSTERED, "CR1", "", ANY_N,
        "CR1 multiplies the sandwich by G / (G - 1), where G counts those who stand alone, too: bias is left "
        "(Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004)."),
    Known("liberal", "12 sites", "CR2", "all arms", ANY_N,
        "The test of three arms rests on a 2 x 2 covariance from 12 clusters; its degrees of freedom come from "
        "those of its components, which is less cautious than the HTZ test of Pustejovsky & Tipton (2018, "
        "doi:10.1080/07350015.2016.1247004)."),
    Known("liberal", "", "df=normal", "", ANY_N,
        "The normal distribution with few clusters."),
    Known("conservative", "12 coaches", "df=between_within", "", ANY_N,
        "Clusters less arms are too few degrees of freedom for a difference to participants without "
        "clusters, and for the test of all arms."),
    Known("conservative", CLUSTERED, "^mixed", "", 60,
        "Clusters of two or three: the variance between clusters is seldom told from 0 and cannot be estimated "
        "below it, so that its estimate, and the standard error, are too large on average (Leyrat et al. 2018, "
        "doi:10.1093/ije/dyx169)."),
    Known("liberal", "^dropout", "weights", "", 300,
        "The plain sandwich, a few large weights, and 11 members of arm 0 left at the last visit (Robins, Rotnitzky"
        " & Zhao 1995, doi:10.1080/01621459.1995.10476493, is for large samples)."),
    Known("liberal", "", "pattern_mixture", "", ANY_N,
        "A single imputation takes predictions for data: its standard errors are too small (Little & Rubin 2019, "
        "doi:10.1002/9781119482260)."),
    Known("conservative", "imputed", "reference=", "", ANY_N,
        "Rubin's variance is larger than the estimate's own, which borrows from the reference arm (Bartlett 2021, "
        "arXiv:2104.14016)."),
    Known("conservative", "imputed", "imputation", "", 60,
        "Each arm is imputed apart, from about 11 observations at the last visit, with slopes and a variance of its"
        " own that the analysis does not have: more noise than it knows of (Meng 1994, doi:10.1214/ss/1177010269)."),
    Known("conservative", "on the margin", "equivalence", "", ANY_N,
        "Both margins have to be excluded: with few participants the other one seldom is (Schuirmann 1987, "
        "doi:10.1007/BF01068419)."),
    Known("liberal", "on the margin", "log_binomial", "", 60,
        "Fits that end at a fitted risk of 1 fail, here one in six; those that are left are a selection."),
    Known("liberal", "^negative binomial|^rates", "negative_binomial|^counts, margin", "", 60,
        "The dispersion is estimated by maximum likelihood, too small on average, and taken as known (Saha & Paul "
        "2005, doi:10.1111/j.0006-341X.2005.030833.x)."),
    Known("liberal", "^negative binomial", "quasi_poisson", "", ANY_N,
        "The variance is not proportional to the mean, on purpose."),
    Known("liberal", "^times", "rmst", "", 60,
        "Greenwood's variance and the normal distribution with 20 participants in each arm (Horiguchi & Uno 2020, "
        "doi:10.1002/sim.8565)."),
    Known("conservative", "times at visits", "breslow", "", ANY_N,
        "Breslow's likelihood where nearly all times are tied: estimates are drawn to 0 and standard errors too "
        "large (Hertz-Picciotto & Rockhill 1997, doi:10.2307/2533573). Efron's is the default."),
    Known("conservative", "binary", "chi_squared, correction=True", "", ANY_N,
        "Yates's correction is meant to be conservative (Haviland 1990, doi:10.1002/sim.4780090403)."),
    Known("liberal", "^repeated$", "fay_graubard|kauermann_carroll", "all arms", 60,
        "The F test has G - p = 49 denominator degrees of freedom, though an arm's mean at a visit rests on 17 "
        "participants."),
    Known("conservative", "", "correction=df", "mean difference|all arms", 60,
        "G / (G - p) counts the coefficients of all visits, though each visit's means rest on their own few."),
    Known("conservative", "", "mancl_derouen", "", 300,
        "Mancl and DeRouen's correction takes off too much where units are few or unequal (Lu et al. 2007, "
        "doi:10.1111/j.1541-0420.2007.00764.x; Li & Redden 2015, doi:10.1002/sim.6344)."),
    Known("liberal", "binary|log-linear", "", "risk difference", 60,
        "Wald's test of a risk difference with 20 participants in each arm (Fagerland, Lydersen & Laake 2015, "
        "doi:10.1177/0962280211415469)."),
    Known("conservative", "binary|log-linear", "", LOGARITHM, 60,
        "Wald's test of the logarithm of a ratio, or of log odds, with 20 participants in each arm: the standard "
        "error grows with the estimate (Hauck & Donner 1977, doi:10.1080/01621459.1977.10479969)."),
    Known("liberal", "^normal|^unequal|^repeated", "^linear|hc0|correction=none$", "", 300,
        "The plain sandwich and the normal distribution (or White's HC0) with few participants in each arm (Mancl &"
        " DeRouen 2001, doi:10.1111/j.0006-341X.2001.00126.x; Long & Ervin 2000, "
        "doi:10.1080/00031305.2000.10474549)."),
    Known("liberal", "4 arms, [12] of 3", "lsd", "", ANY_N,
        "Fisher's protection holds for three arms only: with four, an arm that differs opens the gate for three "
        "true hypotheses (Hayter 1986, doi:10.2307/2289074)."),
    Known("conservative", "4 arms", "multiplicity=(bonferroni|dunnett$)", "", ANY_N,
        "Single-step procedures allow for all hypotheses, also for those that are false."),
)  # fmt: skip
