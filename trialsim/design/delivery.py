"""How an arm is delivered: not at all, web modules alone, one-to-one sessions with coaches, or sessions in groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from trialsim.design.values import Count, Delay, NonNegative, Part, Positive, Prob, Text, When, Whole


class NoDelivery(Part):
    """Nothing is delivered beyond the usual care that everybody has (plus, perhaps, printed matter)."""

    kind: Literal["none"]
    """Says that there are no sessions."""


Modules = Annotated[
    tuple[Annotated[str, Strict(), Field(min_length=1, max_length=80)], ...], Field(min_length=1, max_length=60)
]


class SelfPaced(Part):
    """Web modules that participants work through alone, with calls by staff to those who stall."""

    kind: Literal["self_paced"]
    """Says that participants work through web modules alone."""
    modules: Modules
    """The modules' names, in order; each is a session."""
    first: Delay = Delay(days=1)
    """Time from randomization to the first module, of those who start by themselves."""
    pace: Delay = Delay(days=7)
    """Time from one module to the next, of those who go on by themselves."""
    access_days: Annotated[Count, Field(le=20_000)] = 365
    """Modules are open this long after randomization [days]."""
    call_after_days: Count = 14
    """Staff call after this many days without a module [days], and again after as many more."""
    max_calls: Annotated[Whole, Field(le=20)] = 0
    """Calls at most each time somebody stalls; 0 = no calls."""
    reachable_prob: Prob = 1.0
    """Share of participants who can be reached by telephone at all; to the others no calls are made or counted."""
    call_success_prob: Prob = 0.0
    """Chance that one call brings somebody who has stalled to the next module the day after."""


class Coach(Part):
    """One member of staff, where they differ from the pool's defaults."""

    caseload: Count | None = None
    """This coach's caseload; none = the delivery's [participants]."""
    sessions_per_week: Count | None = None
    """This coach's opening hours; none = the delivery's [sessions/week]."""
    joins: When = 0
    """Takes participants from this day on: a date, or a study day."""
    leaves: When | None = None
    """Takes no new participants from this day on, and finishes with those in treatment; none = stays."""


class Individual(Part):
    """One-to-one sessions with a coach; when all are full, participants wait, first come, first served."""

    kind: Literal["individual"]
    """Says that participants have one-to-one sessions with a coach."""
    modules: Modules
    """The sessions' names, in order."""
    coaches: (
        Annotated[int, Strict(), Field(ge=1, le=1_000)]
        | Annotated[tuple[Coach, ...], Field(min_length=1, max_length=1_000)]
    )
    """A number of equal coaches, or a list of coaches."""
    caseload: Annotated[Count, Field(le=10_000)] = 15
    """Participants in treatment with one coach at the same time, at most [participants]."""
    sessions_per_week: Annotated[Count, Field(le=10_000)] = 20
    """Opening hours of one coach [sessions/week]; everyone in treatment holds one place, and a coach has as many as the
    smaller of caseload and sessions_per_week x interval_days / 7 (rounded down, at least 1)."""
    interval_days: Annotated[Count, Field(le=365)] = 7
    """From one appointment to the next [days]."""
    referral_days: Annotated[Whole, Field(le=365)] = 2
    """From randomization to asking for a coach [days]."""
    lead_days: Annotated[Whole, Field(le=365)] = 5
    """From the day a coach has a place to the first appointment [days]."""
    no_show_prob: Annotated[Prob, Field(lt=1)] = 0.0
    """Chance of missing one appointment; the session is then rescheduled one interval later."""
    max_reschedules: Annotated[Whole, Field(le=20)] = 2
    """A session missed more often than this ends the treatment."""
    max_wait_days: Annotated[Whole, Field(le=20_000)] = 365
    """Nobody waits for a coach longer than this from asking [days]."""
    session_minutes: Positive = 50.0
    """Length of a session [minutes]; used for staff hours and cost."""
    cover_prob: Annotated[Prob, Field(lt=1)] = 0.0
    """Chance that a session is held by another of the arm's coaches, chosen by chance, in place of the own one."""


class Component(Part):
    """One component of a programme in groups: at which sessions it takes place, and who attends it."""

    sessions: tuple[Count, ...] = ()
    """Numbers of the sessions, from 1, at which it takes place; empty = at every one."""
    attend_prob: Prob = 1.0
    """Chance of attending it, of those who attend the session."""
    weight: NonNegative = 1.0
    """Its part of the dose where the arm's `dose` is `components`."""


class Group(Part):
    """Sessions in groups: weekly groups, shared medical appointments, daily programmes with intakes. Those who want to
    start wait, first come, first served, until enough wait, or the first has waited long enough, or an intake comes;
    then they begin together and no one joins later. A missed session is missed, not made up for."""

    kind: Literal["group"]
    """Says that participants have their sessions in groups that begin together."""
    modules: Modules
    """The sessions' (or days') names, in order."""
    size: Annotated[Count, Field(le=1_000)]
    """Places in a group: it begins when so many wait [participants]."""
    min_size: Annotated[Count, Field(le=1_000)] = 1
    """A group does not begin with fewer [participants], until enrolment has closed and nobody else is expected: then it
    begins with whoever waits."""
    start_after_days: Annotated[Whole, Field(le=20_000)] | None = 28
    """A group of at least `min_size` begins when its first member has waited so long [days]; none = full groups only.
    With intakes: groups begin at the intake with whoever waits, so this has no meaning there."""
    intake_days: Annotated[Count, Field(le=365)] | None = None
    """Groups begin only on every so many days from study day 0 (7 = weekly intakes), with as many as there are places;
    none = on any day."""
    facilitators: Annotated[Count, Field(le=1_000)]
    """Staff who lead groups; each leads one group at a time [facilitators]."""
    facilitators_per_group: Annotated[Count, Field(le=100)] = 1
    """Staff that a group needs [facilitators]."""
    rooms: Annotated[Count, Field(le=1_000)] | None = None
    """Rooms; each holds one group at a time [rooms]; none = enough. So at most the smaller of rooms and facilitators /
    facilitators_per_group (rounded down) groups run at once."""
    by_site: Annotated[bool, Strict()] = False
    """true: every site has a list, groups, facilitators and rooms of its own, as many as said here at each; false: one
    list for all sites."""
    staffing: Literal["fixed", "rotating"] = "fixed"
    """fixed: a group keeps its team; rotating: with every session the teams move on to the next group (crossed)."""
    days_per_week: Annotated[Count, Field(le=7)] = 1
    """Sessions on so many days in a row of each week (5 = Monday to Friday if the first is a Monday)."""
    weeks_apart: Annotated[Count, Field(le=52)] = 1
    """Weeks from one week with sessions to the next."""
    referral_days: Annotated[Whole, Field(le=365)] = 2
    """From randomization to asking for a place [days]."""
    lead_days: Annotated[Whole, Field(le=365)] = 7
    """From the day a group is made up to its first session [days]."""
    miss_prob: Annotated[Prob, Field(lt=1)] = 0.0
    """Chance of missing one session, of those who have not stopped."""
    max_wait_days: Annotated[Whole, Field(le=20_000)] = 365
    """Nobody waits for a group longer than this from asking [days]."""
    session_minutes: Positive = 90.0
    """Length of a session [minutes]; used for staff hours and cost."""
    components: dict[Text, Component] = {}
    """Components of a programme, by name; empty = sessions have no parts."""

    @property
    def at_once(self) -> int:
        """Groups that can run at the same time; with `by_site`, at one site."""
        by_staff = self.facilitators // self.facilitators_per_group
        return by_staff if self.rooms is None else min(by_staff, self.rooms)

    def session_day(self, session: int) -> int:
        """Days from the first session to session number `session`, from 0 [days]."""
        week, day = divmod(session, self.days_per_week)
        return 7 * self.weeks_apart * week + day

    @property
    def team_days(self) -> int:
        """From the day a group is made up to the first day on which its team can lead another [days]."""
        return self.lead_days + self.session_day(len(self.modules) - 1) + 1


Delivery = Annotated[NoDelivery | SelfPaced | Individual | Group, Field(discriminator="kind")]
