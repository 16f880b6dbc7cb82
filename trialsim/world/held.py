"""What everybody would be given under every arm: sessions by each visit, with which coach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Individual
from trialsim.world.choose import choose
from trialsim.world.formulas import LONG, Floats, Ints
from trialsim.world.histories import NONE, Histories
from trialsim.world.places import may_wait, would_be_offered
from trialsim.world.plans import Course, Plan


@dataclass(frozen=True)
class Held:
    """Treatment of every participant, were they in one arm; V visits, N participants, R replicates."""

    by_visit: NDArray[np.int8]  # (V, N, R) sessions attended by each visit's due day
    in_the_end: NDArray[np.int8]  # (N, R)
    coach: NDArray[np.int16] | None = None  # (N, R) -1: none; None: nobody is coached
    group: NDArray[np.int16] | None = None  # (N, R) delivery group within the arm; None: no groups
    first_day: Ints | None = None  # (N, R) days from randomization to the first session; LONG: never; None: no sessions
    component_share: Floats | None = None  # (V, N, R) share of the dose, where it is made of components

    def staff_level(self, levels: Floats) -> Floats | None:
        """What those who lead their sessions add, (N, R), from the levels of the arm's coaches, (coaches, R).

        The mean over the sessions attended, 0 for who has none; None where nobody is coached.
        """
        if self.coach is None:
            return None
        at = self.coach * np.intp(levels.shape[1]) + np.arange(levels.shape[1])  # in (coaches + 1, R), flat
        nobody = np.zeros((1, levels.shape[1]))
        return np.concatenate([levels, nobody]).take(at, mode="wrap")  # a coach of -1 is the last row


def what_is_held(plan: Plan, histories: Histories, arm: int) -> Held:
    """Treatment of everybody, were they in this arm."""
    world, cohort = plan.world, plan.cohort
    course, visits = plan.courses[arm], world.design.visits.values()
    if course is None:
        return Held(np.zeros((len(visits), *cohort.shape), dtype=np.int8), np.zeros(cohort.shape, dtype=np.int8))
    exit_day = cohort.randomized_day + plan.exit_after[arm]
    start, coach = cohort.randomized_day, None
    if world.coached(arm):
        start, coach = _potential_start(plan, histories, arm, course, exit_day)
    # Sessions from the exit day on do not take place, nor do any of those who never start (LONG).
    last = np.minimum(exit_day, LONG) - 1 - start
    due = cohort.randomized_day - start
    by_visit = np.stack([course.sessions_by(np.minimum(due + visit.day, last)) for visit in visits])
    in_the_end = course.sessions_by(last)
    return Held(by_visit, in_the_end, coach, first_day=choose(in_the_end > 0, course.day[0] - due, LONG))


def _potential_start(
    plan: Plan, histories: Histories, arm: int, course: Course, exit_day: Ints
) -> tuple[Ints, NDArray[np.int16]]:
    """First appointment (LONG if none) and coach of everybody, were they on the list of this arm.

    Members have what they had; the others what the list had in store for them. In a replicate where places are always
    free nobody waits, and the coach is the last one who was given somebody.
    """
    delivery = plan.world.design.arms[plan.world.arms[arm]].delivery
    assert isinstance(delivery, Individual)
    asks = plan.cohort.randomized_day + delivery.referral_days
    offer, coach = _at_once(arm, histories, asks)
    waits = may_wait(plan.world, arm, histories, asks)
    if waits.any():
        would_be, by_whom = would_be_offered(plan.world, arm, histories, asks, replicates=waits)
        offer, coach = np.where(waits, would_be, offer), np.where(waits, by_whom, coach)
    gets_one = offer <= np.minimum(asks + course.patience, exit_day - 1)
    return choose(gets_one, offer + delivery.lead_days, LONG), choose(gets_one, coach, np.int16(NONE))


def _at_once(arm: int, histories: Histories, asks: Ints) -> tuple[Ints, NDArray[np.int16]]:
    """Offers where there is always a place."""
    member, row = histories.arm == arm, np.arange(len(asks))[:, None]
    served = member & (histories.offered_day != NONE)
    # The largest so far of row and coach in one number is the last one served; before the first: the first coach.
    bits = int(histories.coach.max(initial=0)).bit_length()
    last_served = np.maximum.accumulate(served * ((row << bits) + histories.coach), axis=0)
    coach = (last_served & ((1 << bits) - 1)).astype(np.int16)
    return choose(member & ~served, LONG, asks), coach
