"""Outcomes of a declared trial: scores, yes/no, ordered levels, counts, times to an event, and doses.

All have one latent course (`Latent`): a person's stable level, a passing state at entry, change from visit to visit,
error, links to covariates, levels of sites, clusters, coaches and groups, drift and season. The kinds differ in the
scale of that course and in how a value comes of it. All parts that belong to a person are joined over outcomes by one
Gaussian copula (`correlation`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from trialsim.design.values import Correlation, Count, Name, NonNegative, Number, OpenProb, Part, Positive, Prob, Text

Limit = Annotated[Number, Field(ge=-1e6, le=1e6)]


class Recovery(Part):
    """The second component of the residual: some participants improve markedly, whatever their arm."""

    prob: dict[Name, Prob]
    """Share in the second component, by visit."""
    drop: Number
    """Fall of the outcome in the second component, on top of `course` [outcome points]."""
    sd: NonNegative
    """SD of a person's own change within the second component, in place of `change_sd` [outcome points]."""


class Season(Part):
    """A wave through the year."""

    amplitude: NonNegative
    """Half the difference between the highest and the lowest point [as what it is about]."""
    peak_month: Annotated[Number, Field(ge=1, lt=13)] = 1.0
    """Month of the highest point: 1 = start of January, 6.5 = middle of June."""


class Latent(Part):
    """What outcomes of every kind say. Points are the outcome's own: points of a score; SD of the latent scale (probit
    units) for yes/no and ordered outcomes; logarithms of the mean for counts, of the hazard for events, of the dose for
    doses."""

    label: Text = ""
    """What people read instead of the name."""
    source: Literal["questionnaire", "record"] = "questionnaire"
    """questionnaire: known when the visit is answered; record: read from health records at the visit's due day for
    everybody who is in the study then, answered or not."""
    sd: NonNegative = 0.0
    """Between-person standard deviation of the stable latent level, covariate links not included [points]."""
    entry_sd: NonNegative = 0.0
    """SD of a passing state shared by screening and baseline and gone by the first visit [points]."""
    error_sd: NonNegative = 0.0
    """SD of measurement error at baseline and at each visit [points]."""
    course: dict[Name, Number] = {}
    """Natural change from the stable level at each visit, added for everybody [points]; empty = none. Who recovers
    falls by `drop` as well."""
    change_sd: NonNegative = 0.0
    """SD of a person's own change from the stable level at a visit, of those who do not recover [points]."""
    persistence: Annotated[Prob, Field(lt=1)] = 0.7
    """Correlation of a person's change (and of recovery) between one visit and the next."""
    motivation: Number = 0.0
    """Change at every visit, in every arm, per SD of latent motivation [points]."""
    site_sd: NonNegative = 0.0
    """SD between sites of the level, at baseline and at every visit [points]."""
    cluster_sd: NonNegative = 0.0
    """SD between randomized clusters of the level, at baseline and at every visit [points]."""
    cluster_change_sd: NonNegative = 0.0
    """SD between randomized clusters of the change since baseline, the same at every visit [points]."""
    coach_sd: NonNegative = 0.0
    """SD between coaches (facilitators of groups) of the level at follow-up of the participants they have seen
    [points]. Who is seen by several has their mean, weighted by sessions."""
    group_sd: NonNegative = 0.0
    """SD between delivery groups of the level at follow-up of their members who have attended [points]."""
    drift_per_year: Number = 0.0
    """Change of everybody's level per calendar year since the trial's start, at baseline and visits [points]."""
    season: Season | None = None
    """Wave of everybody's level through the year, at baseline and visits [points]; none = no season."""
    covariates: dict[Name, Number] = {}
    """Points of latent level per unit of each covariate, around the covariate's mean."""
    correlation: dict[Name, Correlation] = {}
    """Correlation with an outcome declared earlier, of every part that belongs to the person: stable level, passing
    state, change, recovery, individual effect, and errors (Gaussian copula)."""

    recovery: Recovery | None = None
    """Second component of the residual; none = nobody recovers markedly."""

    has_baseline: ClassVar[bool] = True
    """Whether the outcome has a value at baseline that can be stratified, screened or adjusted by."""
    is_score: ClassVar[bool] = False


class Score(Latent):
    """A bounded score, the mean of several items, measured with error around a latent course."""

    kind: Literal["score"] = "score"
    """Says that the outcome is a bounded score; may be left out."""
    low: Limit = 0.0
    """Lowest value of the instrument [points]."""
    high: Limit = 10.0
    """Highest value of the instrument [points]."""
    items: Annotated[Count, Field(le=1_000)] = 1
    """Number of averaged whole-number items: values lie on a grid of 1/items."""
    mean: Number
    """Mean latent level among the people screened [points]."""
    better: Literal["lower", "higher"] = "lower"
    """Which values are the better ones: what a responder and a verdict in favour of an arm go by."""
    responder_change: Prob = 0.3
    """A responder's value is better than at baseline by at least this fraction of the baseline value."""

    is_score: ClassVar[bool] = True

    @property
    def better_is_higher(self) -> bool:
        """Whether higher values are the better ones."""
        return self.better == "higher"

    @property
    def typical(self) -> tuple[float, float]:
        """Mean and SD of values about which shifts are centred and standardised."""
        return self.mean, self.sd


class Binary(Latent):
    """A yes/no outcome: yes where a latent normal exceeds a limit (probit model). A responder has yes."""

    kind: Literal["binary"]
    """Says that the outcome is yes or no."""
    prob: OpenProb
    """Share with yes at baseline among the people screened, covariates and levels of sites and clusters at their
    means."""
    sd: NonNegative = 0.8
    """Between-person standard deviation of the stable latent level, covariate links not included [points]."""
    error_sd: NonNegative = 0.6
    """SD of what differs from one moment to the next by chance, at baseline and at each visit [points]."""

    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    items: ClassVar[int] = 1

    @property
    def typical(self) -> tuple[float, float]:
        """Mean and SD of values about which shifts are centred and standardised."""
        return self.prob, (self.prob * (1 - self.prob)) ** 0.5


class Ordinal(Latent):
    """An outcome of ordered levels: where a latent normal lies among limits. Values are the levels' numbers, from 0."""

    kind: Literal["ordinal"]
    """Says that the outcome has ordered levels."""
    levels: Annotated[dict[str, OpenProb], Field(min_length=2, max_length=20)]
    """Levels from the lowest to the highest, each with its share at baseline among the people screened, covariates and
    levels of sites and clusters at their means; shares add up to 1."""
    responder_from: Text
    """A responder is at this level or a higher one."""
    sd: NonNegative = 0.8
    """Between-person standard deviation of the stable latent level, covariate links not included [points]."""
    error_sd: NonNegative = 0.6
    """SD of what differs from one moment to the next by chance, at baseline and at each visit [points]."""

    low: ClassVar[float] = 0.0
    items: ClassVar[int] = 1

    @property
    def high(self) -> float:
        """Number of the highest level."""
        return float(len(self.levels) - 1)

    @property
    def typical(self) -> tuple[float, float]:
        """Mean and SD of values about which shifts are centred and standardised."""
        mean = sum(k * share for k, share in enumerate(self.levels.values()))
        return mean, sum((k - mean) ** 2 * share for k, share in enumerate(self.levels.values())) ** 0.5


class Events(Latent):
    """A number of events since the visit before (at baseline: in the year before), Poisson given a person's own rate:
    a Poisson lognormal count. A responder has none."""

    kind: Literal["count"]
    """Says that the outcome is a number of events."""
    rate_per_year: Positive
    """Mean number in the year before baseline among the people screened, covariates at their means [events/year]."""
    most: Annotated[Count, Field(le=10_000)] = 100
    """Numbers above this are recorded as this."""

    low: ClassVar[float] = 0.0
    items: ClassVar[int] = 1

    @property
    def high(self) -> float:
        """Largest number recorded."""
        return float(self.most)

    @property
    def typical(self) -> tuple[float, float]:
        """Mean and SD of values about which shifts are centred and standardised."""
        return self.rate_per_year, self.rate_per_year**0.5


class TimeToEvent(Latent):
    """The time from randomization to an event that happens once at most, with a piecewise constant hazard; death and
    withdrawal come before it or not. Its value at a visit is 1 once it has happened. A responder has had it."""

    kind: Literal["event"]
    """Says that the outcome is the time to an event."""
    hazard: dict[Name, NonNegative]
    """Chance per month of the event for a person at the mean of everything, by visit: from the visit before (from
    randomization) to this one [1/month of 30.4375 days]."""

    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    items: ClassVar[int] = 1
    has_baseline: ClassVar[bool] = False

    @property
    def typical(self) -> tuple[float, float]:
        """Mean and SD of values about which shifts are centred and standardised."""
        return 0.0, 1.0


class Dose(Latent):
    """Daily dose of a medicine: who uses it, how much, whether it is stopped (tapered by an arm, or by oneself) and
    taken up again. A state process: using, stopped, resumed. A responder's dose is 0."""

    kind: Literal["dose"]
    """Says that the outcome is the dose of a medicine that may be stopped and resumed."""
    users: Name
    """The yes/no covariate that says who uses it at baseline."""
    median: Positive
    """Median dose of users at baseline [dose units, such as mg of morphine equivalents a day]."""
    stop_hazard: dict[Name, NonNegative] = {}
    """Chance per month that a user stops by themselves, by visit: from the visit before to this one [1/month]; empty =
    nobody does."""
    resume_hazard: dict[Name, NonNegative] = {}
    """Chance per month that somebody who has stopped takes it up again, by visit: from the visit before to this one
    [1/month]; empty = nobody does."""
    most: Annotated[Count, Field(le=30_000)] = 2_000
    """Doses above this are recorded as this."""

    low: ClassVar[float] = 0.0
    items: ClassVar[int] = 1

    @property
    def high(self) -> float:
        """Largest dose recorded."""
        return float(self.most)

    @property
    def typical(self) -> tuple[float, float]:
        """Mean and SD of values about which shifts are centred and standardised."""
        return self.median, self.median


def _kind(content: Any) -> str:
    return str(content.get("kind", "score") if isinstance(content, dict) else getattr(content, "kind", "score"))


Outcome = Annotated[
    Annotated[Score, Tag("score")]
    | Annotated[Binary, Tag("binary")]
    | Annotated[Ordinal, Tag("ordinal")]
    | Annotated[Events, Tag("count")]
    | Annotated[TimeToEvent, Tag("event")]
    | Annotated[Dose, Tag("dose")],
    Discriminator(_kind),
]
