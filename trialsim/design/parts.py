"""The parts of a declared trial, as frozen pydantic models: what may be said, in which units, with which defaults.

The text under each field is its documentation (`trialsim schema` prints it). Checks that need more than one part
are in `checks.py`, analyses and decisions in `analyses.py`. Nothing here reads files or draws numbers.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from trialsim.design.allocation import Allocation, ClusterParts, Ratio
from trialsim.design.analyses import Analysis, Decision
from trialsim.design.checks import cross_check
from trialsim.design.delivery import Coach, Delivery, Group, Individual, NoDelivery
from trialsim.design.outcomes import Outcome, Season
from trialsim.design.values import (
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
    season: Season | None = None
    """Wave of all contact rates through the year, calendar month by calendar month: factors 1 + amplitude x cosine
    [amplitude as a share of the rate, at most 1]; none = no season."""


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


class Taper(Part):
    """What an arm's programme does to the use of a medicine."""

    prob: Prob
    """Share of users who are off the medicine by the end of the programme, if they attend all of it; in proportion to
    the dose of treatment otherwise."""
    days: Annotated[Whole, Field(le=2_000)]
    """From the first session to the day on which it is stopped [days]; those who stop treatment earlier taper in
    proportion all the same."""


class Contamination(Part):
    """Some participants of an arm get what another arm delivers."""

    arm: Name
    """The arm whose effects reach them."""
    prob: Prob
    """Share of participants reached."""
    dose: Prob = 1.0
    """Share of that arm's full effect that they have."""


class CoIntervention(Part):
    """Something else that some participants of an arm seek or are given."""

    prob: Prob
    """Share of participants who have it."""
    effects: dict[Name, Effect]
    """By outcome: what it does, compared with nothing."""


class Arm(Part):
    """One arm of the trial."""

    label: Text = ""
    """What people read instead of the name."""
    delivery: Delivery
    """How the arm is delivered; `kind` chooses one of the four."""
    start_prob: Prob = 1.0
    """Share who would start if treatment were there at once and nobody were called, at the screening means of
    `adherence.covariates`."""
    stop_prob: Prob = 0.0
    """Chance of stopping after the first session, on average over everybody randomized. A person's chance is the same
    after every session; where motivation matters fewer stop later, because the less motivated have gone."""
    dose: Literal["saturating", "components", "assigned"] = "saturating"
    """saturating: the effect grows with the sessions attended by the visit; components: with the components attended
    by then, each in proportion and by its weight; assigned: all have the full effect."""
    dose_scale: Positive = 3.0
    """k in (1 - exp(-sessions/k)) / (1 - exp(-all sessions/k)) [sessions]."""
    effects: dict[Name, Effect] = {}
    """By outcome; an outcome not named is not affected."""
    tapers: dict[Name, Taper] = {}
    """By outcome of kind `dose`: what the programme does to the use of the medicine."""
    contamination: Contamination | None = None
    """Effects of another arm that reach some participants of this one; none = nobody."""
    co_intervention: CoIntervention | None = None
    """Something else that some participants of this arm have; none = nobody."""
    response_prob: dict[Name, OpenProb]
    """Share answering at each visit, among those still in the study, were all scores and covariates in `observation` at
    their means among the people screened and no session attended (`attendance` is not centred)."""
    withdrawal_prob: Annotated[Prob, Field(lt=1)] = 0.0
    """Share withdrawing from the study by the last visit's due day, if nobody died."""
    cost_per_participant: NonNegative = 0.0
    """Materials and access for one participant [currency]."""
    cost_per_start: NonNegative = 0.0
    """Paid for one participant who attends at least one session, such as a bundled payment [currency]."""


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


class Change(Part):
    """A change of the protocol from a day on. (Pauses, new sites and faster contacts stand in `recruitment`.)"""

    starts: When
    """First day of the change: a date, or a study day."""
    label: Text = ""
    """What people read instead of the day."""
    ratio: Ratio | None = None
    """New ratio for those randomized from that day on; none = unchanged. For simple allocation and blocks."""
    block_sizes: tuple[Annotated[Count, Field(le=1_000)], ...] = ()
    """New block sizes, with a new ratio; empty = unchanged."""
    reminders: dict[Name, tuple[Annotated[int, Strict(), Field(ge=-20_000, le=20_000)], ...]] = {}
    """By visit: the reminders in place of the visit's own, for windows that open from that day on [days relative to the
    due day]."""
    answering: Number = 0.0
    """Shift of the inclination to answer for windows that open from that day on [probit units]."""


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
    clusters: ClusterParts | None = None
    """Clusters within sites, for trials that randomize them; none = persons are randomized."""
    changes: tuple[Change, ...] = ()
    """Changes of the protocol while the trial runs, in order of their days."""
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

    def _repr_html_(self) -> str:
        from trialsim.design.cards import design_card

        return design_card(self)

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

    def n_lists(self, arm: str) -> int:
        """Lists on which people of an arm wait for a place: one, or with groups `by_site` one for each site."""
        delivery = self.arms[arm].delivery
        return len(self.recruitment.sites) if isinstance(delivery, Group) and delivery.by_site else 1

    def coaches(self, arm: str) -> tuple[Coach, ...]:
        """The arm's coaches with caseload and opening hours filled in; of groups the teams that can lead one at once.

        Teams of the first site come first, then those of the second, and so on. Empty where nobody is coached.
        """
        delivery = self.arms[arm].delivery
        if isinstance(delivery, Group):
            return (Coach(caseload=delivery.size),) * (delivery.at_once * self.n_lists(arm))
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
