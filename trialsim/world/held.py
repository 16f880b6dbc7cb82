"""What everybody would be given under every arm: sessions by each visit, with which coach, in which group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group, Individual
from trialsim.world.choose import choose
from trialsim.world.courses import Course
from trialsim.world.formulas import LONG, Floats, Ints
from trialsim.world.groups import would_join
from trialsim.world.histories import NONE, Histories
from trialsim.world.places import may_wait, would_be_offered
from trialsim.world.plans import Plan

Codes = NDArray[np.int8]
Numbers = NDArray[np.int16]


@dataclass(frozen=True)
class Stay:
    """When everybody would be in treatment, were they in one arm; days of their course."""

    course: Course
    begins: Ints  # (N, R) days from randomization to the start of the course
    last: Ints  # (N, R) last day of being in the study; before the first session of those who never start
    by_visit: list[Ints]  # the same by each visit's due day


@dataclass(frozen=True)
class Held:
    """Treatment of every participant, were they in one arm; V visits, N participants, R replicates."""

    by_visit: Codes  # (V, N, R) sessions attended by each visit's due day
    in_the_end: Codes  # (N, R)
    coach: Numbers | None = None  # (N, R) of groups the team; -1: none; None: nobody is coached
    group: Numbers | None = None  # (N, R) delivery group within the arm; -1: none; None: no groups
    stay: Stay | None = None  # None: no sessions

    @cached_property
    def first_day(self) -> Ints | None:
        """Days from randomization to the first session attended, (N, R); LONG: never; None: no sessions."""
        if self.stay is None:
            return None
        # The earliest session is the first that counts: whoever has left before it has attended none.
        return choose(self.in_the_end > 0, self.stay.begins + self.stay.course.attended.min(axis=0), np.int32(LONG))

    @property
    def missed(self) -> Codes | None:
        """Sessions missed in groups before stopping, by each visit's due day and in the end, (V + 1, N, R).

        None where every session is attended until one stops.
        """
        if self.stay is None or self.stay.course.attends is None:
            return None
        reached = [self.stay.course.reached_by(last) for last in (*self.stay.by_visit, self.stay.last)]
        return np.stack(reached) - np.concatenate([self.by_visit, self.in_the_end[None]])

    @cached_property
    def component_share(self) -> Floats | None:
        """Share of the dose by each visit where it is made of components, (V, N, R); None where none has a weight.

        The mean over components of the share of each that was attended, by their weights.
        """
        if self.stay is None:
            return None
        course, by_visit = self.stay.course, self.stay.by_visit
        total = sum(part.weight for part in course.components.values())
        if total == 0:
            return None
        share = np.zeros(self.by_visit.shape)
        for part in course.components.values():
            for v, last in enumerate(by_visit):
                times = part.attended(course.attended_of(part.sessions, last))
                share[v] += times * (part.weight / (total * len(part.sessions)))
        return share

    def staff_level(self, levels: Floats) -> Floats | None:
        """What those who lead their sessions add, (N, R), from the levels of the arm's coaches, (coaches, R).

        The mean over the sessions attended, 0 for who has none; None where nobody is coached.
        """
        if self.coach is None:
            return None
        if self.stay is None or self.stay.course.led_by is None:
            nobody = np.zeros((1, levels.shape[1]))
            return _of_coach(np.concatenate([levels, nobody]), self.coach)  # a coach of -1 is the last row
        course, total = self.stay.course, np.zeros(self.coach.shape)
        for day, after in zip(course.attended, self.stay.course.led_by, strict=True):
            total += _of_coach(levels, course.leader(self.coach, after)) * (day <= self.stay.last)
        return np.divide(total, self.in_the_end, out=total, where=self.in_the_end > 0)


def _of_coach(levels: Floats, coach: Numbers) -> Floats:
    """Levels (coaches, R) of everybody's coach, (N, R)."""
    return levels.take(coach * np.intp(levels.shape[1]) + np.arange(levels.shape[1]), mode="wrap")


def what_is_held(plan: Plan, histories: Histories, arm: int) -> Held:
    """Treatment of everybody, were they in this arm."""
    world, cohort = plan.world, plan.cohort
    course, visits = plan.courses[arm], world.design.visits.values()
    if course is None:
        return Held(np.zeros((len(visits), *cohort.shape), dtype=np.int8), np.zeros(cohort.shape, dtype=np.int8))
    exit_day = cohort.randomized_day + plan.exit_after[arm]
    start, coach, group = cohort.randomized_day, None, None
    if world.waits(arm):
        start, coach, group = _potential_start(plan, histories, arm, course, exit_day)
    # Sessions from the exit day on do not take place, nor do any of those who never start (LONG).
    last = np.minimum(exit_day, LONG) - 1 - start
    due = cohort.randomized_day - start
    lasts = [np.minimum(due + visit.day, last) for visit in visits]
    by_visit = np.stack([course.sessions_by(by) for by in lasts])
    return Held(by_visit, course.sessions_by(last), coach, group, Stay(course, -due, last, lasts))


def _potential_start(
    plan: Plan, histories: Histories, arm: int, course: Course, exit_day: Ints
) -> tuple[Ints, Numbers, Numbers | None]:
    """First appointment (LONG if none), coach and group of everybody, were they on the list of this arm.

    Members have what they had; the others what the list had in store for them. Of coaches: in a replicate where places
    are always free nobody waits, and the coach is the last one who was given somebody.
    """
    delivery = plan.world.design.arms[plan.world.arms[arm]].delivery
    assert isinstance(delivery, Individual | Group)
    asks = plan.cohort.randomized_day + delivery.referral_days
    if isinstance(delivery, Group):
        offer, coach, group = would_join(arm, delivery, histories, asks)
    else:
        (offer, coach), group = _with_coaches(plan, histories, arm, asks), None
    gets_one = offer <= np.minimum(asks + course.patience, exit_day - 1)
    start, nobody = choose(gets_one, offer + delivery.lead_days, LONG), np.int16(NONE)
    return start, choose(gets_one, coach, nobody), None if group is None else choose(gets_one, group, nobody)


def _with_coaches(plan: Plan, histories: Histories, arm: int, asks: Ints) -> tuple[Ints, Numbers]:
    """Day of offer and coach of everybody, had they asked for one."""
    offer, coach = _at_once(arm, histories, asks)
    waits = may_wait(plan.world, arm, histories, asks)
    if waits.any():
        would_be, by_whom = would_be_offered(plan.world, arm, histories, asks, replicates=waits)
        offer, coach = np.where(waits, would_be, offer), np.where(waits, by_whom, coach)
    return offer, coach


def _at_once(arm: int, histories: Histories, asks: Ints) -> tuple[Ints, NDArray[np.int16]]:
    """Offers where there is always a place."""
    member, row = histories.arm == arm, np.arange(len(asks))[:, None]
    served = member & (histories.offered_day != NONE)
    # The largest so far of row and coach in one number is the last one served; before the first: the first coach.
    bits = int(histories.coach.max(initial=0)).bit_length()
    last_served = np.maximum.accumulate(served * ((row << bits) + histories.coach), axis=0)
    coach = (last_served & ((1 << bits) - 1)).astype(np.int16)
    return choose(member & ~served, LONG, asks), coach
