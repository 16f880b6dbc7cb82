"""Desks of the reference engine: the lists of those who wait, and who gives them a coach or a place in a group."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import simpy

from trialsim.design.delivery import Group
from trialsim.engines.process_clock import Clock, Phase, Wait
from trialsim.world.places import coach_calendar
from trialsim.world.world import World


class Desk:
    """The list of those of one arm who wait for a place, first come, first served."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.expected: set[int] = set()
        """Members of the arm who have not asked yet, nor declined or left."""
        self.waiting: deque[tuple[int, int, simpy.Event]] = deque()
        """Participant, day of asking, and the event that happens when they are given a place."""

    @property
    def is_done(self) -> bool:
        """Whether nobody waits or will ask, of those randomized so far."""
        return not (self.expected or self.waiting)

    def join(self, participant: int) -> simpy.Event:
        """Put somebody at the end of the list; the event happens when they are given a place."""
        offer = self.clock.env.event()
        self.expected.discard(participant)
        self.waiting.append((participant, self.clock.day, offer))
        return offer

    def strike(self, participant: int) -> None:
        """Take somebody off the list, or expect them no more."""
        self.expected.discard(participant)
        self.waiting = deque(entry for entry in self.waiting if entry[0] != participant)

    def assign(self, *, enrolment_closed: bool) -> None:
        """Give today's places."""
        raise NotImplementedError

    def release(self, place: Any) -> None:
        """A place comes free for the next day."""


class CoachDesk(Desk):
    """The coaches of one arm; a place is a coach's number and a request for one of their places."""

    def __init__(self, clock: Clock, world: World, arm: int) -> None:
        super().__init__(clock)
        places, self.joins, self.leaves = coach_calendar(world, arm)
        self.staff = [simpy.Resource(clock.env, capacity=n) for n in places]

    def assign(self, *, enrolment_closed: bool) -> None:
        """First come, first served, each to the coach with most free places today."""
        while self.waiting:
            free = [self._free(coach) for coach in range(len(self.staff))]
            coach = max(range(len(free)), key=lambda c: (free[c], -c))
            if free[coach] == 0:
                return
            *_, offer = self.waiting.popleft()
            offer.succeed((coach, self.staff[coach].request()))

    def release(self, place: Any) -> None:
        """The coach has one more free place."""
        coach, request = place
        self.staff[coach].release(request)

    def _free(self, coach: int) -> int:
        open_today = self.joins[coach] <= self.clock.day < self.leaves[coach]
        return int(self.staff[coach].capacity) - self.staff[coach].count if open_today else 0


class GroupDesk(Desk):
    """The teams of one list, who lead one group each at a time; a place is the team's and the group's number.

    An arm has one such desk, or one at each site; `numbers` are those of its groups, `first_team` that of the first
    team here.
    """

    def __init__(self, clock: Clock, delivery: Group, numbers: Iterator[int], first_team: int) -> None:
        super().__init__(clock)
        self.delivery, self.numbers, self.first_team = delivery, numbers, first_team
        self.teams = [simpy.Resource(clock.env, capacity=1) for _ in range(delivery.at_once)]

    def assign(self, *, enrolment_closed: bool) -> None:
        """Make up groups, as long as a team is free and enough people wait, or the first has waited long enough."""
        need = 1 if enrolment_closed and not self.expected else self.delivery.min_size
        while len(self.waiting) >= max(need, 1) and self._is_time():
            team = next((t for t, resource in enumerate(self.teams) if resource.count == 0), None)
            if team is None:
                return
            self._make_up(team)

    def _is_time(self) -> bool:
        today, delivery = self.clock.day, self.delivery
        if delivery.intake_days is not None:
            return today % delivery.intake_days == 0
        if len(self.waiting) >= delivery.size:
            return True
        _, asked, _ = self.waiting[0]
        return delivery.start_after_days is not None and today - asked >= delivery.start_after_days

    def _make_up(self, team: int) -> None:
        """The first in line, as many as there are places, begin together."""
        group = next(self.numbers)
        for _ in range(min(self.delivery.size, len(self.waiting))):
            *_, offer = self.waiting.popleft()
            offer.succeed((self.first_team + team, group))
        self.clock.env.process(self._lead(team, self.teams[team].request()))

    def _lead(self, team: int, request: Any) -> Wait:
        """The team leads the group until its last planned session, whoever is left by then."""
        first = self.clock.day + self.delivery.lead_days
        yield self.clock.until(first + self.delivery.session_day(len(self.delivery.modules) - 1), Phase.RELEASE)
        self.teams[team].release(request)
