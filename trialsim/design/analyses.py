"""Analyses and decisions of a declared trial: models, estimands, missing data, hypotheses, multiplicity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from trialsim.design.values import Count, Name, Number, Part, Positive, Text

Estimand = Literal["treatment_policy", "hypothetical", "per_protocol", "while_on_treatment", "composite"]
Weight = Annotated[float, Strict(), Field(ge=0, le=1)]
Imputations = Annotated[int, Strict(), Field(ge=2, le=1_000)]

# --- missing data -----------------------------------------------------------------------------------------------------


class Available(Part):
    """Everything that was observed is used; nothing is filled in."""

    kind: Literal["available"]
    """Says that each visit uses those who answered it."""


class CompleteCases(Part):
    """Only participants who answered every visit of the trial."""

    kind: Literal["complete_cases"]
    """Says that participants with a missing visit are left out."""


class ResponseWeights(Part):
    """Those who answered are weighted by the inverse of their chance of having answered, visit by visit."""

    kind: Literal["weights"]
    """Says that answers have inverse-probability weights."""
    covariates: tuple[Name, ...] = ("baseline",)
    """What the chance of answering is modelled by: `baseline`, `site`, and names of covariates; the arm always."""
    history: Annotated[bool, Strict()] = True
    """Whether the value answered last before the visit is in that model too."""
    by_arm: Annotated[bool, Strict()] = False
    """Whether every arm has a model of its own; needs many participants."""


class Imputation(Part):
    """Multiple imputation under missing at random, combined by Rubin's rules."""

    kind: Literal["imputation"]
    """Says that missing values are imputed several times."""
    model: Literal["joint_normal", "chained"] = "joint_normal"
    """joint_normal: multivariate normal over the visits; chained: a regression for each visit on all others."""
    imputations: Imputations = 20
    """Number of completed data sets."""
    by_arm: Annotated[bool, Strict()] = True
    """Whether every arm has a model of its own."""
    covariates: tuple[Name, ...] = ("baseline",)
    """What the models know beside arm and visits: `baseline`, `site`, and names of covariates."""
    delta: dict[Name, Number] = {}
    """By arm: added to every imputed value, as if the missing had that much more [points]."""


class ReferenceBased(Part):
    """Multiple imputation as if those who left treatment went on like a reference arm."""

    kind: Literal["reference"]
    """Says that values after stopping treatment are imputed from a reference arm."""
    reference: Name
    """The arm that those who stopped are taken to follow."""
    rule: Literal["jump", "copy_reference", "copy_increment"] = "jump"
    """jump: the reference's course from stopping on; copy_reference: all along; copy_increment: only its changes."""
    imputations: Imputations = 20
    """Number of completed data sets."""
    covariates: tuple[Name, ...] = ("baseline",)
    """What the models know beside arm and visits: `baseline`, `site`, and names of covariates."""
    delta: dict[Name, Number] = {}
    """By arm: added to every imputed value [points]."""


class PatternMixture(Part):
    """RESOLVE's two steps: one imputation by a pattern-mixture regression, then weights for no follow-up at all."""

    kind: Literal["pattern_mixture"]
    """Says that single imputation by missing pattern and non-response weights are used."""
    covariates: tuple[Name, ...] = ()
    """Further terms of the imputation model: `baseline`, `site`, and names of covariates."""
    response_covariates: tuple[Name, ...] = ("baseline",)
    """What the chance of any follow-up is modelled by, beside the arm."""


MissingData = Annotated[
    Available | CompleteCases | ResponseWeights | Imputation | ReferenceBased | PatternMixture,
    Field(discriminator="kind"),
]

# --- analyses ---------------------------------------------------------------------------------------------------------


class AnalysisPart(Part):
    """What every analysis says."""

    outcome: Name
    """The outcome analysed."""
    visits: tuple[Name, ...] = ()
    """Visits analysed; empty = all. Models of several visits at once use all visits and report these; counts add up
    over these alone."""
    contrasts: tuple[tuple[Name, Name], ...] = ()
    """Pairs of arms to compare, first with second; empty = every pair."""
    multiplicity: Literal["none", "lsd", "bonferroni", "holm", "hochberg", "hommel", "dunnett", "dunnett_step_down"] = (
        "lsd"
    )
    """How pairs are declared different at one visit. lsd: only when the test of all arms is significant too (Fisher);
    dunnett needs contrasts with one common second arm."""
    alpha: Annotated[float, Strict(), Field(gt=0, lt=0.5)] = 0.05
    """Two-sided level; intervals have confidence 1 - alpha."""
    hypothesis: Literal["superiority", "non_inferiority", "equivalence"] = "superiority"
    """What each pair is tested for. Non-inferiority and equivalence need a margin, are judged by the interval of
    confidence 1 - alpha (one-sided level alpha / 2), and have one-sided p values."""
    margin: Positive | None = None
    """Margin of non-inferiority or equivalence on the scale of `margin_measure`. Mean differences: the outcome's own
    unit (points of a score, levels, events, dose units, a proportion where values are yes and no); risk differences:
    percentage points; times: days; ratios: above 1, where it stands for itself and its inverse."""
    margin_measure: Text = ""
    """The measure that the margin belongs to, such as `mean difference` or `risk ratio`; empty = the first measure."""
    better: Literal["lower", "higher"] | None = None
    """Which direction favours the first arm; none = that of the outcome for changes and values (lower unless a score
    says otherwise), lower for numbers of events and times, else higher."""
    estimand: Estimand = "treatment_policy"
    """What happens after stopping treatment (ICH E9(R1)). treatment_policy: it does not matter; hypothetical: had
    everybody attended all sessions; per_protocol: among those who attend at least `adherent` sessions by the visit
    (principal stratum); while_on_treatment: the last value before stopping; composite: who stopped is no responder."""
    adherent: Count | None = None
    """Sessions by the visit that make somebody adherent; none = all sessions for per_protocol, one for complier."""
    missing: MissingData = Available(kind="available")
    """What is done about missing values."""


class Adjusted(AnalysisPart):
    """An analysis with covariates."""

    covariates: tuple[Name, ...] = ()
    """`baseline` (the outcome's), `site`, and names of covariates."""


Compared = Literal["change", "value", "response"]


class CellModel(Adjusted):
    """Regression with one coefficient for every arm and visit, working independence and robust variance."""

    cluster: Literal["person", "coach", "group", "site", "cluster"] = "person"
    """Robust variance clustered on persons, coaches, delivery groups, sites or randomized clusters (persons without a
    coach or group stand alone)."""


class ModifiedPoisson(CellModel):
    """Modified Poisson regression of response at all visits (Zou 2004)."""

    kind: Literal["modified_poisson"]
    """Says that the chance of being a responder is analysed with a log link."""


class Linear(CellModel):
    """Linear regression of the change from baseline (or the value, or response) at all visits."""

    kind: Literal["linear"]
    """Says that means are analysed by linear regression."""
    endpoint: Compared = "change"
    """What is compared. change: from baseline [points]; value: as it is, no baseline subtracted [points]; response: the
    chance of being a responder, by risk differences."""


class TTest(AnalysisPart):
    """Two-sample t test of the change from baseline (or the value, or response) at each visit."""

    kind: Literal["t_test"]
    """Says that means are compared without adjustment."""
    endpoint: Compared = "change"
    """What is compared. change: from baseline [points]; value: as it is, no baseline subtracted [points]; response: the
    chance of being a responder, by risk differences."""
    equal_variance: Annotated[bool, Strict()] = False
    """true: variance pooled over all arms; false: Welch's test."""


class Proportions(AnalysisPart):
    """Unadjusted comparison of the shares of responders at each visit."""

    kind: Literal["proportions"]
    """Says that shares of responders are compared without adjustment."""
    interval: Literal["wald", "newcombe"] = "wald"
    """Interval of the risk difference."""


class ChiSquared(AnalysisPart):
    """Pearson's chi-squared test of the shares of responders at each visit."""

    kind: Literal["chi_squared"]
    """Says that shares of responders are tested by chi-squared."""
    correction: Annotated[bool, Strict()] = False
    """Yates's continuity correction."""


class Ancova(Adjusted):
    """Analysis of covariance of the change from baseline (or the value, or response) at each visit."""

    kind: Literal["ancova"]
    """Says that means are compared by least squares at each visit."""
    endpoint: Compared = "change"
    """What is compared. change: from baseline [points]; value: as it is, no baseline subtracted [points]; response: the
    chance of being a responder, by risk differences."""
    variance: Literal["model", "hc0", "hc3"] = "model"
    """model: equal variances, t distribution; hc0, hc3: robust against unequal variances."""


class Logistic(Adjusted):
    """Logistic regression of response at each visit, standardised to the participants analysed."""

    kind: Literal["logistic"]
    """Says that response is analysed by logistic regression with standardisation."""
    variance: Literal["model", "robust"] = "model"
    """Variance of the coefficients."""


class LogBinomial(Adjusted):
    """Log-binomial regression of response at each visit."""

    kind: Literal["log_binomial"]
    """Says that response is analysed by binomial regression with a log link."""


class Gee(Adjusted):
    """Generalised estimating equations over all visits."""

    kind: Literal["gee"]
    """Says that visits are analysed together by estimating equations."""
    endpoint: Compared = "change"
    """change, value: linear; response: logistic."""
    working: Literal["independence", "exchangeable", "unstructured"] = "exchangeable"
    """Working correlation between the visits of a participant."""
    correction: Literal["none", "df", "kauermann_carroll", "mancl_derouen", "fay_graubard"] = "none"
    """Small-sample correction of the robust variance, with t distributions."""
    cluster: Literal["person", "coach", "group", "site", "cluster"] = "person"
    """Robust variance clustered on persons, coaches, delivery groups, sites or randomized clusters (persons without a
    coach or group stand alone)."""


class Mmrm(Adjusted):
    """Mixed model for repeated measures of the change (or the value): unstructured covariance, REML."""

    kind: Literal["mmrm"]
    """Says that all visits are analysed together with an unstructured covariance."""
    endpoint: Compared = "change"
    """What is compared. change: from baseline [points]; value: as it is, no baseline subtracted [points]; response: the
    chance of being a responder, by risk differences."""
    df: Literal["kenward_roger", "satterthwaite", "residual"] = "kenward_roger"
    """Degrees of freedom; kenward_roger adjusts the variance too."""
    covariates_by_visit: Annotated[bool, Strict()] = False
    """Whether covariates have a coefficient for each visit."""


class Mixed(Adjusted):
    """Linear mixed model of the change (or the value, or response) at each visit with random intercepts of clusters."""

    kind: Literal["mixed"]
    """Says that means are analysed with random intercepts."""
    endpoint: Compared = "change"
    """What is compared. change: from baseline [points]; value: as it is, no baseline subtracted [points]; response: the
    chance of being a responder, by risk differences."""
    cluster: Literal["coach", "group", "site", "cluster"] = "coach"
    """Whose intercepts are random: coaches, delivery groups, sites or randomized clusters; persons without a coach or
    group have none (partially nested)."""
    nested_arms: tuple[Name, ...] = ()
    """Arms in which they are; empty = all."""
    heteroscedastic: Annotated[bool, Strict()] = False
    """Whether persons with and without a cluster have residual variances of their own."""
    df: Literal["satterthwaite", "kenward_roger", "between_within", "normal"] = "satterthwaite"
    """Degrees of freedom."""


class ClusterRobust(Adjusted):
    """Least squares at each visit with a variance for few clusters (CR2) and Satterthwaite degrees of freedom."""

    kind: Literal["cluster_robust"]
    """Says that the variance is made for few clusters."""
    endpoint: Compared = "change"
    """What is compared. change: from baseline [points]; value: as it is, no baseline subtracted [points]; response: the
    chance of being a responder, by risk differences."""
    cluster: Literal["coach", "group", "site", "cluster"] = "coach"
    """The clusters: coaches, delivery groups, sites or randomized clusters; persons without a coach or group stand
    alone."""
    correction: Literal["CR0", "CR1", "CR2"] = "CR2"
    """Bias correction of the variance."""


class ClusterMeans(Adjusted):
    """t test of cluster means at each visit (after removing the covariates' part)."""

    kind: Literal["cluster_means"]
    """Says that clusters are summarised, then compared."""
    endpoint: Compared = "change"
    """What is compared. change: from baseline [points]; value: as it is, no baseline subtracted [points]; response: the
    chance of being a responder, by risk differences."""
    cluster: Literal["coach", "group", "site", "cluster"] = "coach"
    """The clusters: coaches, delivery groups, sites or randomized clusters; persons without a coach or group are
    clusters of one."""
    weights: Literal["equal", "size"] = "equal"
    """Weight of a cluster."""
    pooled: Annotated[bool, Strict()] = False
    """Whether arms share one variance between clusters."""


class LogRank(AnalysisPart):
    """Log-rank test of the time to the event, of outcomes of other kinds to the first visit with a response."""

    kind: Literal["log_rank"]
    """Says that times are compared by the log-rank test."""


class Cox(Adjusted):
    """Proportional hazards regression of the time to the event, of outcomes of other kinds to the first visit with a
    response. Hazard ratios have no true value: means of potential outcomes have none."""

    kind: Literal["cox"]
    """Says that times are compared by Cox regression."""
    ties: Literal["efron", "breslow"] = "efron"
    """Treatment of equal times (of which there are many where only visits tell)."""


class RestrictedMean(AnalysisPart):
    """Restricted mean time without the event, of outcomes of other kinds without a response."""

    kind: Literal["rmst"]
    """Says that mean times without the event are compared."""
    until_day: Positive | None = None
    """Time is counted up to this day after randomization; none = the day of the last visit [days]."""


class Counts(Adjusted):
    """Regression of a count: events, visits with a response among those known, or sessions attended."""

    kind: Literal["counts"]
    """Says that a count is analysed."""
    endpoint: Literal["events", "response_visits", "sessions"] = "response_visits"
    """events: of an outcome of kind count, over the visits at which it is known, per year of the time that these cover
    (each from the visit before); response_visits: per visit at which the outcome is known; sessions: per
    participant."""
    family: Literal["negative_binomial", "quasi_poisson"] = "negative_binomial"
    """How variance exceeds the mean."""


class Complier(Adjusted):
    """Complier average causal effect at each visit, the arm being the instrument for having attended."""

    kind: Literal["complier"]
    """Says that the effect among compliers is estimated."""
    endpoint: Compared = "change"
    """What is compared: mean change, mean value, or chance of being a responder."""
    method: Literal["two_stage", "ratio"] = "two_stage"
    """two_stage: two-stage least squares with robust variance; ratio: difference in outcome over difference in
    attendance, without covariates, by the delta method."""
    multiplicity: Literal["none", "bonferroni", "holm", "hochberg", "hommel"] = "none"
    """How pairs are declared different at one visit; there is no test of all arms."""


class UserFunction(Adjusted):
    """An estimator of the user's own."""

    kind: Literal["user"]
    """Says that a Python function makes the estimates."""
    function: Annotated[
        str,
        Strict(),
        Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", max_length=200, examples=["my_analyses:robust_mean"]),
    ]
    """`module:function`, importable; it gets the observed data of one trial and gives estimates (docs/analyses.md)."""
    endpoint: Compared = "change"
    """What the truth beside the estimates is the value of."""
    multiplicity: Literal["none", "bonferroni", "holm", "hochberg", "hommel"] = "none"
    """How pairs are declared different at one visit; there is no test of all arms."""


Analysis = Annotated[
    ModifiedPoisson
    | Linear
    | TTest
    | Proportions
    | ChiSquared
    | Ancova
    | Logistic
    | LogBinomial
    | Gee
    | Mmrm
    | Mixed
    | ClusterRobust
    | ClusterMeans
    | LogRank
    | Cox
    | RestrictedMean
    | Counts
    | Complier
    | UserFunction,
    Field(discriminator="kind"),
]

# --- decisions --------------------------------------------------------------------------------------------------------


class Simple(Part):
    """Procedures that need the p values alone."""

    kind: Literal["none", "bonferroni", "holm", "hochberg", "hommel", "dunnett", "dunnett_step_down", "lsd"]
    """The procedure; dunnett uses the arms' sizes, lsd the test of all arms at the same visit."""


class Weighted(Part):
    """Bonferroni or Holm with weights."""

    kind: Literal["weighted_bonferroni", "weighted_holm"]
    """The procedure."""
    weights: dict[Name, Weight]
    """By hypothesis: its part of alpha; at most 1 in all."""


class FixedSequence(Part):
    """Hypotheses one after the other at full alpha, until one is not rejected."""

    kind: Literal["fixed_sequence"]
    """Says that hypotheses are tested in their order."""


class Fallback(Part):
    """Hypotheses in their order, each with its part of alpha and what the ones before left (Wiens 2003)."""

    kind: Literal["fallback"]
    """Says that alpha falls through to later hypotheses."""
    weights: dict[Name, Weight]
    """By hypothesis: its part of alpha; at most 1 in all."""


class Gatekeeping(Part):
    """Families of hypotheses one after the other."""

    kind: Literal["serial_gatekeeping", "parallel_gatekeeping"]
    """serial: a family is tested when all of the one before are rejected; parallel: when any is."""
    families: Annotated[tuple[tuple[Name, ...], ...], Field(min_length=2)]
    """Names of hypotheses, family by family."""
    procedure: Literal["bonferroni", "holm", "hochberg", "hommel"] = "holm"
    """Within each family."""
    truncation: tuple[Weight, ...] = ()
    """By family, for parallel gatekeeping: 1 = the whole procedure, 0 = Bonferroni; the last is 1. Empty = 0.5 for all
    but the last."""


class Graphical(Part):
    """Alpha moves along a graph when a hypothesis is rejected (Bretz 2009)."""

    kind: Literal["graphical"]
    """Says that alpha is passed on along a graph."""
    weights: dict[Name, Weight]
    """By hypothesis: its part of alpha to begin with; at most 1 in all. Those not named have 0."""
    transitions: dict[Name, dict[Name, Weight]]
    """By hypothesis: which part of its alpha goes to which other once it is rejected; at most 1 in all."""


Procedure = Annotated[
    Simple | Weighted | FixedSequence | Fallback | Gatekeeping | Graphical, Field(discriminator="kind")
]


class Decision(Part):
    """Hypotheses, how error is controlled over them, and what would count as success."""

    label: Text = ""
    """What people read instead of the name."""
    analysis: Name
    """The analysis that hypotheses belong to unless they name another."""
    visit: Name | None = None
    """The visit that hypotheses belong to unless they name another; none = the first of the analysis."""
    hypotheses: dict[Name, Text] = {}
    """By name, in words: `coach beats usual at m3 in responders`, `online is not inferior to coach`. The visit and the
    analysis may be left out. Empty: every contrast of the analysis, named `coach_usual`."""
    procedure: Procedure = Simple(kind="none")
    """How the hypotheses are tested together."""
    alpha: Annotated[float, Strict(), Field(gt=0, lt=0.5)] = 0.05
    """Two-sided family-wise level."""
    success: Text = ""
    """In words: `coach beats usual and (online beats usual or coach beats online)`, or names of hypotheses. Empty: any
    hypothesis is rejected in favour of its first arm."""
