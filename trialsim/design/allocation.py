"""How participants (or clusters of them) come to arms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from trialsim.design.values import Count, Name, NonNegative, Number, OpenProb, Part, Prob, Text

Ratio = Annotated[dict[Name, Annotated[int, Strict(), Field(ge=1, le=1_000)]], Field(min_length=1)]


class AtLeast(Part):
    """A stratum by a baseline score: below, or at least, a value."""

    outcome: Name
    """Outcome whose baseline value decides."""
    at_least: Number
    """Value from which on a participant is in the upper stratum [points]."""


Factors = tuple[Name | AtLeast, ...]


class ByRatio(Part):
    """What every way of allocation says."""

    ratio: Ratio
    """Parts of each arm."""


class Unstratified(ByRatio):
    """Allocation that knows no strata."""

    @property
    def strata(self) -> Factors:
        """Factors whose combinations are strata: none."""
        return ()


class SimpleAllocation(Unstratified):
    """Each participant by chance alone."""

    kind: Literal["simple"]
    """Says that each participant comes to an arm by chance alone."""


class BlockAllocation(ByRatio):
    """Permuted blocks, within strata if any."""

    kind: Literal["blocks"]
    """Says that arms come in permuted blocks."""
    block_sizes: tuple[Annotated[Count, Field(le=1_000)], ...] = ()
    """Block sizes, chosen at random with equal chance; multiples of the ratio's sum."""
    strata: Factors = ()
    """`site`, names of yes/no covariates, or {outcome, at_least}: one sequence of blocks for each combination."""


class Minimization(ByRatio):
    """Pocock and Simon 1975: the arm that makes the arms most alike over the factors gets the larger chance.

    Ratios other than 1:1 are made of as many equal parts, each treated like an arm, so that the chance of an arm is its
    part of the ratio for every participant (Kuznetsova and Tymofyeyev 2012)."""

    kind: Literal["minimization"]
    """Says that arms are chosen by minimization."""
    strata: Factors
    """`site`, names of yes/no covariates, or {outcome, at_least}: balanced one by one, each among those who share the
    participant's own level."""
    weights: tuple[Count, ...] = ()
    """Weight of each factor, a whole number; empty = all alike."""
    imbalance: Literal["range", "variance"] = "range"
    """What is added up over the factors; with a ratio of several parts variance balances better."""
    best_prob: Annotated[Prob, Field(gt=0)] = 0.8
    """Chance of the part of an arm that is best (ties share it); the other parts share the rest. 1: only ties are
    luck."""


class BiasedCoin(ByRatio):
    """Efron 1971: an arm that lags behind (within the stratum) gets the larger chance."""

    kind: Literal["biased_coin"]
    """Says that a biased coin favours the arms that lag behind."""
    coin_prob: OpenProb = 0.667
    """Chance of the parts of arms that lag most (they share it); the others share the rest; equal where none lags."""
    strata: Factors = ()
    """`site`, names of yes/no covariates, or {outcome, at_least}: a coin of its own for each combination."""


class Urn(ByRatio):
    """Wei 1978: a ball is drawn from an urn and put back with others of the other arms."""

    kind: Literal["urn"]
    """Says that arms are drawn from an urn that works towards balance."""
    balls: Annotated[Count, Field(le=1_000)] = 1
    """Balls to begin with, for each part of the ratio."""
    added: Annotated[Count, Field(le=1_000)] = 1
    """Balls added for each part of the ratio that was not drawn."""
    strata: Factors = ()
    """`site`, names of yes/no covariates, or {outcome, at_least}: an urn of its own for each combination."""


class ClusterAllocation(Unstratified):
    """Clusters are randomized before anybody is recruited; participants have their cluster's arm."""

    kind: Literal["clusters"]
    """Says that whole clusters are randomized (the design needs `clusters`)."""
    method: Literal["simple", "stratified", "matched", "constrained"] = "stratified"
    """simple: each cluster by chance alone; stratified: numbers as even as can be within each site; matched: clusters
    of a site are sorted by the factors of `balance` and cut into sets of the ratio's sum, which are randomized within
    (a pair for 1:1); constrained: of many random allocations with even numbers one of the best balanced is chosen."""
    balance: tuple[Name, ...] = ()
    """What matching or constraining looks at, the most important first: `size` (expected size), `site` (constrained
    only), names of outcomes with a cluster_sd (the clusters' mean level, as records would show it)."""
    candidates: Annotated[Count, Field(ge=10, le=10_000)] = 200
    """Random allocations that constraining looks at."""
    accepted_share: Annotated[Prob, Field(gt=0)] = 0.1
    """Share of these, the best balanced, from which one is drawn; the balance is the sum over factors of squared
    differences between arms' cluster means in units of the clusters' SD."""


class Tendency(Part):
    """What makes people choose: shifts of a standard normal tendency [probit units]."""

    covariates: dict[Name, Number] = {}
    """Shift per unit of a covariate around its mean; a large number lets a yes/no covariate decide alone."""
    baseline: dict[Name, Number] = {}
    """Shift per point of an outcome's baseline value around its typical value."""
    motivation: Number = 0.0
    """Shift per SD of latent motivation."""


class Cohorts(Unstratified):
    """Nobody randomizes: people come to arms by who they are. Comparisons of arms are confounded."""

    kind: Literal["cohorts"]
    """Says that arms are cohorts that were not randomized."""
    tendency: Tendency = Tendency()
    """What the choice depends on. With a tendency of average 0 the arms' shares would be as in `ratio`; the higher the
    tendency the later the arm in order of declaration."""


Allocation = Annotated[
    SimpleAllocation | BlockAllocation | Minimization | BiasedCoin | Urn | ClusterAllocation | Cohorts,
    Field(discriminator="kind"),
]


class Selection(Part):
    """Recruiting when the cluster's arm is known: who is asked, and agrees, may depend on it."""

    prob: Prob = 1.0
    """Share who are asked and agree, among people at the mean level of the first outcome."""
    severity: Number = 0.0
    """Shift of that per SD of the level at entry of the first outcome [probit units]; positive = people with higher
    values more."""


class ClusterParts(Part):
    """The clusters that are randomized: practices, providers, clinics."""

    per_site: Annotated[Count, Field(le=1_000)] | dict[Name, Annotated[Count, Field(le=1_000)]]
    """Clusters at each site: one number for all, or by site."""
    label: Text = ""
    """What people read instead of `clusters`."""
    size_cv: Annotated[NonNegative, Field(le=3)] = 0.0
    """Coefficient of variation between clusters of the expected number of participants (gamma)."""
    recruitment: Literal["even", "random"] = "random"
    """even: a site's people are spread over its clusters as evenly as the expected sizes allow, as where each recruits
    to a target; random: each person's cluster is chance alone."""
    opening_days: Annotated[int, Strict(), Field(ge=0, le=20_000)] = 0
    """Clusters of a site open one after another, evenly over this many days from the site's opening, in random order;
    people are contacted in open clusters only [days]; 0 = all at once."""
    selection: dict[Name, Selection] = {}
    """By arm: recruiting after randomization by people who know the arm; empty = nobody is selected by arm."""
