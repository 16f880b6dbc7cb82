"""The parts of a declared trial, as frozen pydantic models: what may be said, in which units, with which defaults.

The text under each field is its documentation (`trialsim schema` prints it). Checks that need more than one part
are in `checks.py`, analyses and decisions in `analyses.py`. Nothing here reads files or draws numbers.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from trialsim.design.analyses import Analysis, Decision
from trialsim.design.checks import cross_check
from trialsim.design.delivery import Coach, Delivery, Individual, NoDelivery
from trialsim.design.values import (
    Correlation,
    Count,
    Date,
    Delay,
    Name,
    NonNegative,
    Number,
    OpenProb,
    Part,
    Positive,
    Prob,
    Text,
    When,
    Whole,
)

# --- recruitment ----------------------------------------------------------------------------------------------------


class Site(Part):
    """A place that contacts people."""

    rate_per_month: NonNegative
    """People contacted per month [people/month of 30.4375 days] when fully open."""
    opens: When = 0
    """Opening day: a date, or a study day."""
    ramp_months: NonNegative = 0.0
    """The rate grows linearly from 0 to its full value over this time from the opening day [months]."""
    pool: Count | None = None
    """How many people can be contacted at all; none = no limit."""


class RateChange(Part):
    """From a day on, contact rates are multiplied by a factor."""

    starts: When
    """First day of the change: a date, or a study day."""
    factor: NonNegative
    """Multiplier of the rate from that day on (further changes multiply again)."""
    sites: tuple[Name, ...] = ()
    """The sites concerned; empty = all."""


class Pause(Part):
    """Nobody is contacted between two days."""

    starts: When
    """First day without contacts."""
    ends: When
    """First day with contacts again."""
    sites: tuple[Name, ...] = ()
    """The sites concerned; empty = all."""


class Recruitment(Part):
    """Sites and how fast they contact people."""

    sites: Annotated[dict[Name, Site], Field(min_length=1, max_length=500)]
    """The sites, by name."""
    rate_changes: tuple[RateChange, ...] = ()
    """Changes of contact rates from a day on."""
    pauses: tuple[Pause, ...] = ()
    """Times without contacts."""
    site_cv: Annotated[NonNegative, Field(le=3)] = 0.0
    """Coefficient of variation between replicates of each site's rate (gamma: Poisson-gamma recruitment)."""
    month_cv: Annotated[NonNegative, Field(le=3)] = 0.0
    """Coefficient of variation from month to month of each site's rate (gamma)."""


class Criterion(Part):
    """One reason to be ineligible: a chance, or a rule on a noisy measure taken at screening."""

    excluded_prob: Prob | None = None
    """Chance of exclusion, the same for everybody."""
    measure: Name | None = None
    """Outcome measured at screening: its level at entry (stable level and passing state) plus error."""
    error_sd: NonNegative = 0.0
    """Standard deviation of this measure's error, separate from the outcome's own `error_sd` [outcome points]."""
    at_least: Number | None = None
    """Eligible when the measured value is at least this [outcome points]."""
    at_most: Number | None = None
    """Eligible when the measured value is at most this [outcome points]."""


class Step(Part):
    """One step of the funnel: whom it loses, why, and how long it takes."""

    prob: Prob = 1.0
    """Chance of passing this step, given the steps before and the criteria."""
    criteria: dict[str, Criterion] = {}
    """Eligibility criteria, checked in this order; the name is the reason that is counted."""
    losses: dict[str, Positive] = {}
    """Reasons for not passing by chance, with weights (shares or published counts)."""
    delay: Delay = Delay()
    """Time from the step before to this one."""


# --- people ---------------------------------------------------------------------------------------------------------


class BinaryCovariate(Part):
    """A yes/no characteristic."""

    kind: Literal["binary"]
    """Says that the covariate is a yes/no characteristic."""
    label: Text = ""
    """What people read instead of the name."""
    prob: Prob
    """Share with the characteristic among the people screened."""


class NormalCovariate(Part):
    """A continuous characteristic, normal within limits."""

    kind: Literal["normal"]
    """Says that the covariate is continuous."""
    label: Text = ""
    """What people read instead of the name."""
    mean: Number
    """Mean before the limits are applied."""
    sd: NonNegative
    """Standard deviation before the limits are applied."""
    low: Number | None = None
    """Lower limit (truncated, not piled up)."""
    high: Number | None = None
    """Upper limit (truncated, not piled up)."""


class CountCovariate(Part):
    """A count, Poisson (for example of chronic conditions)."""

    kind: Literal["count"]
    """Says that the covariate is a count."""
    label: Text = ""
    """What people read instead of the name."""
    mean: Annotated[NonNegative, Field(le=100)]
    """Mean among the people screened."""


Covariate = Annotated[BinaryCovariate | NormalCovariate | CountCovariate, Field(discriminator="kind")]


class Recovery(Part):
    """The second component of the residual: some participants improve markedly, whatever their arm."""

    prob: dict[Name, Prob]
    """Share in the second component, by visit."""
    drop: Number
    """Fall of the outcome in the second component, on top of `course` [outcome points]."""
    sd: NonNegative
    """SD of a person's own change within the second component, in place of `change_sd` [outcome points]."""


class Outcome(Part):
    """A bounded score, the mean of several items, measured with error around a latent course."""

    label: Text = ""
    """What people read instead of the name."""
    low: Annotated[Number, Field(ge=-1e6, le=1e6)] = 0.0
    """Lowest value of the instrument [points]."""
    high: Annotated[Number, Field(ge=-1e6, le=1e6)] = 10.0
    """Highest value of the instrument [points]."""
    items: Annotated[Count, Field(le=1_000)] = 1
    """Number of averaged whole-number items: values lie on a grid of 1/items."""
    mean: Number
    """Mean latent level among the people screened [points]."""
    sd: NonNegative
    """Between-person standard deviation of the stable latent level, covariate links not included [points]."""
    entry_sd: NonNegative = 0.0
    """SD of a passing state shared by screening and baseline and gone by the first visit [points]."""
    error_sd: NonNegative = 0.0
    """SD of measurement error at baseline and at each visit [points]."""
    course: dict[Name, Number]
    """Natural change from the stable level at each visit, added for everybody [points]; who recovers falls by `drop`
    as well."""
    change_sd: NonNegative = 0.0
    """SD of a person's own change from the stable level at a visit, of those who do not recover [points]."""
    persistence: Annotated[Prob, Field(lt=1)] = 0.7
    """Correlation of a person's change (and of recovery) between one visit and the next."""
    recovery: Recovery | None = None
    """Second component of the residual; none = nobody recovers markedly."""
    motivation: Number = 0.0
    """Change at every visit, in every arm, per SD of latent motivation [points]."""
    site_sd: NonNegative = 0.0
    """SD between sites of the level [points]."""
    coach_sd: NonNegative = 0.0
    """SD between coaches of the level at follow-up of the participants they are given [points]."""
    covariates: dict[Name, Number] = {}
    """Points of latent level per unit of each covariate, around the covariate's mean."""
    correlation: dict[Name, Correlation] = {}
    """Correlation with an outcome declared earlier, of every part that belongs to the person: stable level, passing
    state, change, recovery, individual effect, and measurement errors (Gaussian copula)."""
    responder_fall: Prob = 0.3
    """A responder's value is lower than at baseline by at least this fraction of the baseline value."""


class Visit(Part):
    """A scheduled assessment after randomization."""

    label: Text = ""
    """What people read instead of the name."""
    day: Annotated[Count, Field(le=20_000)]
    """Due this many days after randomization [days]."""
    opens: Annotated[int, Strict(), Field(le=0, ge=-20_000)] = 0
    """Questionnaire may be answered from this day relative to the due day (0 or negative) [days]."""
    closes: Annotated[Whole, Field(le=20_000)] = 30
    """Questionnaire may be answered until this day relative to the due day [days]."""
    reminders: tuple[Annotated[int, Strict(), Field(ge=-20_000, le=20_000)], ...] = ()
    """Days relative to the due day on which a reminder goes to those who have not answered [days]."""


# --- arms -----------------------------------------------------------------------------------------------------------


class Effect(Part):
    """What the arm does to one outcome, at full dose, compared with nothing."""

    by_visit: dict[Name, Number]
    """Mean effect at each visit at full dose [points; negative = lower]."""
    sd: NonNegative = 0.0
    """SD between participants of the effect at full dose [points]."""


class Arm(Part):
    """One arm of the trial."""

    label: Text = ""
    """What people read instead of the name."""
    delivery: Delivery
    """How the arm is delivered; `kind` chooses one of the three."""
    start_prob: Prob = 1.0
    """Share who would start if treatment were there at once and nobody were called, at the screening means of
    `adherence.covariates`."""
    stop_prob: Prob = 0.0
    """Chance of stopping after the first session, on average over everybody randomized. A person's chance is the same
    after every session; where motivation matters fewer stop later, because the less motivated have gone."""
    dose: Literal["saturating", "assigned"] = "saturating"
    """saturating: the effect grows with the sessions attended by the visit; assigned: all have the full effect."""
    dose_scale: Positive = 3.0
    """k in (1 - exp(-sessions/k)) / (1 - exp(-all sessions/k)) [sessions]."""
    effects: dict[Name, Effect] = {}
    """By outcome; an outcome not named is not affected."""
    response_prob: dict[Name, OpenProb]
    """Share answering at each visit, among those still in the study, were all scores and covariates in `observation` at
    their means among the people screened and no session attended (`attendance` is not centred)."""
    withdrawal_prob: Annotated[Prob, Field(lt=1)] = 0.0
    """Share withdrawing from the study by the last visit's due day, if nobody died."""
    cost_per_participant: NonNegative = 0.0
    """Materials and access for one participant [currency]."""


class AtLeast(Part):
    """A stratum by a baseline score: below, or at least, a value."""

    outcome: Name
    """Outcome whose baseline value decides."""
    at_least: Number
    """Value from which on a participant is in the upper stratum [points]."""


class Allocation(Part):
    """How participants come to arms."""

    kind: Literal["simple", "blocks"]
    """simple: each by chance alone; blocks: permuted blocks, within strata if any."""
    ratio: Annotated[dict[Name, Annotated[int, Strict(), Field(ge=1, le=1_000)]], Field(min_length=1)]
    """Parts of each arm."""
    block_sizes: tuple[Annotated[Count, Field(le=1_000)], ...] = ()
    """Block sizes, chosen at random with equal chance; multiples of the ratio's sum."""
    strata: tuple[Name | AtLeast, ...] = ()
    """`site`, names of yes/no covariates, or {outcome, at_least}: one sequence of blocks for each combination."""


class Adherence(Part):
    """What moves starting and stopping, beside the arm. Probit scale."""

    motivation_on_start: Annotated[Prob, Field(lt=1)] = 0.0
    """Correlation of latent motivation with the inclination to start."""
    motivation_on_stop: Annotated[Prob, Field(lt=1)] = 0.0
    """Correlation of latent motivation with the inclination to go on, at each session."""
    wait_effect: NonNegative = 0.0
    """Fall of the inclination to start per week of waiting for a coach [probit units/week]."""
    covariates: dict[Name, Number] = {}
    """Shift of the inclination to start per unit of a covariate around its mean [probit units]."""


class Dials(Part):
    """Missing data by one number each, so that a class sees what an analysis of the observed data makes of it."""

    mcar: Annotated[Prob, Field(lt=1)] = 0.0
    """Missing completely at random: this share of the answers is lost, whoever gives them."""
    mar: Number = 0.0
    """Missing at random: fall of the inclination to answer per SD by which the value recorded last (the baseline, to
    begin with) lies above the outcome's `mean` [probit units]."""
    mnar: Number = 0.0
    """Missing not at random: the same fall by the value at the visit itself, which nobody sees if it is missing
    [probit units]."""
    outcome: Name | None = None
    """The outcome whose values count; none = the first."""
    arms: tuple[Name, ...] = ()
    """Arms in which `mar` and `mnar` work; empty = all."""


class Observation(Part):
    """What moves answering questionnaires, beside arm and visit. Probit scale."""

    frailty: Annotated[Prob, Field(lt=1)] = 0.0
    """Share of the variance of the inclination to answer that belongs to the person (0 = visits independent)."""
    motivation_on_frailty: Annotated[Prob, Field(lt=1)] = 0.0
    """Correlation of latent motivation with that person part."""
    covariates: dict[Name, Number] = {}
    """Shift per unit of a covariate around its mean among the people screened [probit units]."""
    baseline: dict[Name, Number] = {}
    """Shift per point of an outcome's baseline value around the outcome's `mean` [probit units]."""
    attendance: Number = 0.0
    """Shift from no session to all sessions attended by the visit's due day, in proportion between [probit units]."""
    current_value: dict[Name, Number] = {}
    """Shift per point of an outcome's value at that visit around the outcome's `mean` [probit units]: missing not at
    random."""
    answer_days: Delay = Delay(days=0, mean_extra=10.0)
    """From the window's opening to the answer, of those who answer; a later answer comes on the window's last day."""
    dials: Dials = Dials()
    """Three simple mechanisms of missing data on top of the others, one number each."""
    death_prob: Annotated[Prob, Field(lt=1)] = 0.0
    """Share dying by the last visit's due day, if nobody withdrew; the same in every arm."""


# --- analysis and cost ----------------------------------------------------------------------------------------------


class Costs(Part):
    """Cost per unit; what is not given costs nothing."""

    currency: Annotated[str, Strict(), Field(max_length=8)] = "USD"
    """Name of the currency."""
    letter: NonNegative = 0.0
    """Per person contacted [currency]."""
    screening: NonNegative = 0.0
    """Per person screened: who passes the steps before the first one with criteria [currency]."""
    coach_hour: NonNegative = 0.0
    """Per hour of session held [currency]."""
    call: NonNegative = 0.0
    """Per call to somebody who has stalled [currency]."""
    reminder: NonNegative = 0.0
    """Per reminder of a questionnaire [currency]."""
    assessment: NonNegative = 0.0
    """Per participant at baseline and per visit answered [currency]."""
    site_month: NonNegative = 0.0
    """Per site and month from its opening to the last visit [currency]."""


class Design(Part):
    """A pragmatic trial, fully stated."""

    name: Annotated[str, Strict(), Field(pattern=r"^[a-z][a-z0-9_\-]*$", max_length=60)]
    """Short name; folders and targets are found by it."""
    title: Text = ""
    """One line that says what the trial is."""
    description: Text = ""
    """A paragraph that says what the trial is."""
    source: Text = ""
    """Where the numbers come from."""
    start_date: Date
    """Date of study day 0."""
    sample_size: Annotated[Count, Field(le=200_000)]
    """Participants to randomize; enrolment closes with the last."""
    max_enrolment_days: Annotated[Count, Field(le=20_000)]
    """Enrolment closes at the end of the day before this study day at the latest [days]."""
    recruitment: Recruitment
    """Sites and how fast they contact people."""
    funnel: Annotated[dict[str, Step], Field(min_length=1, max_length=30)]
    """Steps from contact to randomization, in order; passing the last one is being randomized."""
    covariates: dict[Name, Covariate] = {}
    """Characteristics of people, independent of each other."""
    outcomes: Annotated[dict[Name, Outcome], Field(min_length=1, max_length=20)]
    """What is measured at baseline and at every visit."""
    visits: Annotated[dict[Name, Visit], Field(min_length=1, max_length=30)]
    """Assessments after randomization, in order of time; their windows may not overlap."""
    arms: Annotated[dict[Name, Arm], Field(min_length=1, max_length=10)]
    """The arms."""
    allocation: Allocation
    """How participants come to arms."""
    adherence: Adherence = Adherence()
    """What moves starting and stopping, beside the arm."""
    observation: Observation = Observation()
    """What moves answering questionnaires, beside arm and visit; exits by death."""
    analyses: dict[Name, Analysis] = {}
    """The analysis plan."""
    decisions: dict[Name, Decision] = {}
    """What would count as success, and how error is controlled over several hypotheses."""
    costs: Costs = Costs()
    """Cost per unit."""

    @model_validator(mode="after")
    def _consistent(self) -> Design:
        cross_check(self)
        return self

    def day_of(self, when: int | dt.date) -> int:
        """Study day of a date (or of a day, which is returned as it is) [day]."""
        return when if isinstance(when, int) else (when - self.start_date).days

    def date_of(self, day: int) -> dt.date:
        """Calendar date of a study day."""
        return self.start_date + dt.timedelta(days=int(day))

    def n_sessions(self, arm: str) -> int:
        """Number of sessions that an arm's delivery plans (0 for none)."""
        delivery = self.arms[arm].delivery
        return 0 if isinstance(delivery, NoDelivery) else len(delivery.modules)

    def coaches(self, arm: str) -> tuple[Coach, ...]:
        """The arm's coaches with caseload and opening hours filled in; empty where nobody is coached."""
        delivery = self.arms[arm].delivery
        if not isinstance(delivery, Individual):
            return ()
        staff = (Coach(),) * delivery.coaches if isinstance(delivery.coaches, int) else delivery.coaches
        return tuple(
            coach.model_copy(
                update={
                    "caseload": coach.caseload or delivery.caseload,
                    "sessions_per_week": coach.sessions_per_week or delivery.sessions_per_week,
                }
            )
            for coach in staff
        )
