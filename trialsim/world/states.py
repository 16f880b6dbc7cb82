"""How values come of levels from visit to visit: at once, as an event that happens once, or as states of a dose."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from scipy import special

from trialsim.design.outcomes import Dose, Outcome, TimeToEvent
from trialsim.design.parts import Taper
from trialsim.world import formulas, values
from trialsim.world.draws import Draws
from trialsim.world.effects import ArmEffects
from trialsim.world.formulas import LONG, MONTH_DAYS, Bools, Floats, Ints
from trialsim.world.plans import Plan
from trialsim.world.streams import Stream
from trialsim.world.traits import own_normal
from trialsim.world.values import AtOnce, Steps
from trialsim.world.world import World


class Course(Protocol):
    """One outcome of everybody under one arm; asked for visit after visit."""

    def value(self, v: int, level: Floats, luck: Floats) -> Steps:
        """Value at visit v in grid steps, (N, R), from the level then and the luck of the error."""


@dataclass(frozen=True)
class Momentary:
    """Values that follow from the level of the moment."""

    outcome: AtOnce
    means: list[float]  # of a count, by visit

    def value(self, v: int, level: Floats, luck: Floats) -> Steps:
        """See Course."""
        return values.in_steps(self.outcome, level, luck=luck, mean=self.means[v])


@dataclass
class Once:
    """An event: a standard exponential is used up by a hazard that is constant from visit to visit."""

    outcome: TimeToEvent
    visit_days: list[int]  # 0 for randomization, then the visits' [days]
    left: Floats  # (N, R) what is left of the exponential
    day: Ints = field(init=False)  # (N, R) days from randomization to the event; LONG: not yet

    def __post_init__(self) -> None:
        self.day = np.full(self.left.shape, LONG, dtype=np.int32)

    def value(self, v: int, level: Floats, luck: Floats) -> Steps:
        """See Course."""
        starts, ends = self.visit_days[v : v + 2]
        with np.errstate(over="ignore"):
            per_day = list(self.outcome.hazard.values())[v] / MONTH_DAYS * np.exp(level)
        self.day = np.minimum(self.day, formulas.hazard_days(self.left, per_day, starts, ends))
        self.left = np.where(self.day < LONG, np.inf, self.left - per_day * (ends - starts))
        return (self.day < LONG).astype(np.int16)


@dataclass(frozen=True)
class DoseStates:
    """A dose: taken from the start by users, not from the day of stopping on, again from the day of resuming on."""

    outcome: Dose
    visit_days: list[int]
    uses: Bools  # (N, R)
    stops: Ints  # (N, R) days from randomization; LONG: never
    resumes: Ints  # (N, R)

    def value(self, v: int, level: Floats, luck: Floats) -> Steps:
        """See Course."""
        day = self.visit_days[v + 1]
        takes = self.uses & ((self.stops > day) | (self.resumes <= day))
        return values.dose(self.outcome, level) * takes


@dataclass(frozen=True)
class DoseLuck:
    """A participant's luck with one medicine, the same under every arm."""

    uses: Bools  # (N, R)
    stops: Ints  # (N, R) day of stopping by oneself; LONG: never
    until_resumed: Floats | None  # standard exponential
    taper: Floats | None  # uniform


Luck = Floats | DoseLuck | None
"""Of an event a standard exponential; of a dose its luck; of other outcomes nothing beyond the error."""


def state_luck(plan: Plan, draws: Draws, k: int) -> Luck:
    """What decides on events and states of outcome k, drawn once for all arms."""
    world, n = plan.world, len(plan.cohort.valid)
    outcome = world.design.outcomes[world.outcomes[k]]

    def exponential(stream: Stream) -> Floats:
        return formulas.exponential_of_normal(own_normal(world, draws, stream, n, k))

    if isinstance(outcome, TimeToEvent):
        return exponential(Stream.EVENT)
    if not isinstance(outcome, Dose):
        return None
    stops = np.full(plan.cohort.shape, LONG, dtype=np.int32)
    if outcome.stop_hazard:
        stops = formulas.cumulative_days(exponential(Stream.STOP_DOSE), *_hazard(world, outcome.stop_hazard))
    tapered = any(world.outcomes[k] in arm.tapers for arm in world.design.arms.values())
    return DoseLuck(
        uses=plan.cohort.covariates[outcome.users] > 0,
        stops=stops,
        until_resumed=exponential(Stream.RESUME_DOSE) if outcome.resume_hazard else None,
        taper=special.ndtr(own_normal(world, draws, Stream.TAPER, n, k)) if tapered else None,
    )


def course(world: World, k: int, luck: Luck, effects: ArmEffects, *, full_dose: bool = False) -> Course:
    """How outcome k goes under an arm; at full dose, as if everybody had attended all sessions."""
    outcome: Outcome = world.design.outcomes[world.outcomes[k]]
    days = [0, *(visit.day for visit in world.design.visits.values())]
    if isinstance(outcome, TimeToEvent):
        assert isinstance(luck, np.ndarray)
        return Once(outcome, days, luck)
    if not isinstance(outcome, Dose):
        between = [after - before for before, after in pairwise(days)]
        return Momentary(outcome, [values.visit_mean(outcome, length) for length in between])
    assert isinstance(luck, DoseLuck)
    stops = luck.stops
    taper = effects.arm.tapers.get(world.outcomes[k])
    if taper is not None and luck.taper is not None:
        stops = np.minimum(stops, _tapered_day(taper, luck.taper, effects, full_dose))
    return DoseStates(outcome, days, luck.uses, stops, _resumed_day(world, outcome, luck, stops))


def _tapered_day(taper: Taper, luck: Floats, effects: ArmEffects, full_dose: bool) -> Ints:
    """Days from randomization to the end of a taper that succeeds; LONG where none does.

    At full dose those who never had a session have them from randomization on.
    """
    first = effects.held.first_day
    if first is None:
        return np.full(luck.shape, LONG, dtype=np.int32)
    if full_dose:
        first = np.where(first < LONG, first, 0)
    succeeds = luck < taper.prob * (1.0 if full_dose else effects.share_in_the_end)
    return np.where(succeeds & (first < LONG), first + taper.days, LONG).astype(np.int32)


def _resumed_day(world: World, outcome: Dose, luck: DoseLuck, stops: Ints) -> Ints:
    """Days from randomization to taking the medicine up again; LONG where never."""
    if luck.until_resumed is None:
        return np.full(stops.shape, LONG, dtype=np.int32)
    times, sums = _hazard(world, outcome.resume_hazard)
    return formulas.cumulative_days(np.interp(stops, times, sums) + luck.until_resumed, times, sums)


def _hazard(world: World, by_visit: dict[str, float]) -> tuple[Floats, Floats]:
    """Days and cumulative hazard there."""
    visits = world.design.visits
    return formulas.hazard_sums([by_visit[name] for name in visits], [visit.day for visit in visits.values()])
