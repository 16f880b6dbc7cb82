"""How an arm is delivered: not at all, web modules alone, or one-to-one sessions with coaches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from trialsim.design.values import Count, Delay, Part, Positive, Prob, When, Whole


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


Delivery = Annotated[NoDelivery | SelfPaced | Individual, Field(discriminator="kind")]
