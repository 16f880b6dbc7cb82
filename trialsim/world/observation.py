"""Who answers which questionnaire and when; and what a real trial's database would hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.outcomes import Outcome, TimeToEvent
from trialsim.world import formulas
from trialsim.world.choose import choose
from trialsim.world.draws import Draws
from trialsim.world.formulas import LONG, Bools, Floats, Ints
from trialsim.world.histories import NONE, FollowUp, Histories, Missing
from trialsim.world.outcomes import Outcomes, grid_points, is_responder
from trialsim.world.periods import answering_shift
from trialsim.world.plans import Plan
from trialsim.world.streams import Stream
from trialsim.world.values import Steps
from trialsim.world.world import World


@dataclass(frozen=True)
class Answers:
    """Days from a visit window's opening to the answer, (V, N, R); LONG where nobody would answer."""

    after_days: Ints


def make_answers(plan: Plan, draws: Draws, histories: Histories, outcomes: Outcomes) -> Answers:
    """Probit model: answers when sqrt(f) F + sqrt(1 - f) e <= Phi^-1(share) + shifts; F shared over visits."""
    world, n = plan.world, len(plan.cohort.valid)
    frailty = _frailty(plan, draws)
    steady = _steady_shift(plan)
    arm = np.maximum(histories.arm, 0).astype(np.intp)
    days = np.empty((len(world.visits), *plan.cohort.shape), dtype=np.int32)
    dials = _Dials(plan, draws, outcomes, arm)
    for v, (name, visit) in enumerate(world.design.visits.items()):
        shares = np.array([formulas.probit(a.response_prob[name]) for a in world.design.arms.values()])
        limit = shares.take(arm) + steady + _visit_shift(plan, outcomes, arm, v) + dials.shift(v)
        own = draws.normal(Stream.RESPONSE, n, name)
        answers = formulas.correlated(frailty, own, world.design.observation.frailty**0.5) <= limit
        answers = dials.kept(v, name, answers)
        days[v] = _answer_days(world, draws, n, name, visit.closes - visit.opens, answers)
    return Answers(days)


class _Dials:
    """Missing data by one number each: completely at random, at random, not at random."""

    def __init__(self, plan: Plan, draws: Draws, outcomes: Outcomes, arm: NDArray[np.intp]) -> None:
        world, self.dials = plan.world, plan.world.design.observation.dials
        self.draws, self.n = draws, len(plan.cohort.valid)
        name = self.dials.outcome or world.outcomes[0]
        self.outcome, k = world.design.outcomes[name], world.outcomes.index(name)
        self.values = outcomes.realised[k]
        self.last = plan.cohort.baseline[k].astype(np.int16)  # recorded last, in grid steps
        concerned = [not self.dials.arms or a in self.dials.arms for a in world.arms]
        self.concerned = np.array(concerned, dtype=float).take(arm)

    def shift(self, v: int) -> Floats | float:
        """Shift of the inclination to answer visit v [probit units]."""
        slopes = ((self.dials.mar, self.last), (self.dials.mnar, self.values[v]))
        shifts = [-slope * self.concerned * self._standardised(steps) for slope, steps in slopes if slope]
        return sum(shifts) if shifts else 0.0

    def _standardised(self, steps: Steps) -> Floats:
        points = formulas.from_grid(steps, self.outcome.low, self.outcome.items)
        mean, sd = self.outcome.typical
        return (points - mean) / max(sd, 1e-9)

    def kept(self, v: int, visit: str, answers: Bools) -> Bools:
        """Answers that are not lost at random; remembers the values they record."""
        if self.dials.mcar:
            answers = answers & (self.draws.uniform(Stream.LOST_ANSWER, self.n, visit) >= self.dials.mcar)
        if self.dials.mar:
            self.last = np.where(answers, self.values[v], self.last)
        return answers


def _frailty(plan: Plan, draws: Draws) -> Floats:
    """The person's part of not answering; its sign makes the motivated answer more."""
    own = draws.normal(Stream.FRAILTY, len(plan.cohort.valid))
    return formulas.correlated(-plan.cohort.motivation, own, plan.world.design.observation.motivation_on_frailty)


def _steady_shift(plan: Plan) -> Floats | float:
    """Shifts that do not change from visit to visit."""
    world, cohort = plan.world, plan.cohort
    shift = cohort.traits.shift(world.design.observation.covariates)
    for name, slope in world.design.observation.baseline.items():
        shift = shift + slope * _centred(world, name, cohort.baseline[world.outcomes.index(name)])
    return shift


def _visit_shift(plan: Plan, outcomes: Outcomes, arm: NDArray[np.intp], v: int) -> Floats | float:
    """Shifts by changes of the protocol, by sessions attended and by the current value."""
    world, observation = plan.world, plan.world.design.observation
    visit = world.design.visits[world.visits[v]]
    shift = answering_shift(world.design, visit.day + visit.opens, plan.cohort.randomized_day)
    if observation.attendance:
        counts = np.arange(world.max_sessions + 1)
        by_count = observation.attendance * counts / np.maximum(world.session_counts, 1)[:, None]  # (arms, sessions)
        shift = shift + by_count.take(arm * len(counts) + outcomes.realised_sessions[v])
    for name, slope in observation.current_value.items():
        k = world.outcomes.index(name)
        shift = shift + slope * _centred(world, name, outcomes.realised[k, v])
    return shift


def _centred(world: World, name: str, steps: Steps) -> Floats:
    outcome = world.design.outcomes[name]
    return formulas.from_grid(steps, outcome.low, outcome.items) - outcome.typical[0]


def _answer_days(world: World, draws: Draws, n: int, visit: str, width: int, answers: Bools) -> Ints:
    """Days after opening; an answer that would come after the window closes comes on its last day."""
    delay = world.design.observation.answer_days
    luck = draws.uniform(Stream.ANSWER_DELAY, n, visit) if delay.mean_extra > 0 else None
    days = np.minimum(formulas.delay_days(delay.days, delay.mean_extra, luck), width)
    return choose(answers, np.asarray(days, dtype=np.int32), LONG)


class ByName(Mapping[str, NDArray[Any]]):
    """Arrays by name; each is made when somebody first asks for it, for no analysis looks at all of them."""

    def __init__(self, makers: Mapping[str, Callable[[], NDArray[Any]]]) -> None:
        self._makers, self._made = makers, dict[str, NDArray[Any]]()

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True)
class ObservedData:
    """What a real trial's database would hold, and all that an analysis may see; R replicates first.

    Values are in points. `value` is NaN where not known; rows without a participant have arm -1.
    """

    arm: NDArray[np.int8]  # (R, N)
    site: NDArray[np.int16]  # (R, N)
    cluster: NDArray[np.int16]  # (R, N), -1 where persons are randomized
    coach: NDArray[np.int16]  # (R, N), -1 without one
    group: NDArray[np.int16]  # (R, N) delivery group within the arm, -1 without one
    covariates: Mapping[str, Floats]  # (R, N)
    baseline: Mapping[str, Floats]  # (R, N), by outcome
    value: Mapping[str, Floats]  # (R, N, V), by outcome
    responder: Mapping[str, Bools]  # (R, N, V), by outcome; meaningless where not known
    seen: Mapping[str, Bools]  # (R, N, V), by outcome: the value is known, from the questionnaire or from records
    event_time: Mapping[str, Ints]  # (R, N), by outcome of kind event: days from randomization to it, or known so far
    event: Mapping[str, Bools]  # (R, N), by outcome of kind event: known to have happened, at `event_time`
    observed: Bools  # (R, N, V) the questionnaire was answered
    sessions: NDArray[np.int8]  # (R, N, V) attended by the visit's due day
    all_sessions: NDArray[np.int8]  # (R, N) attended in the end
    missed: NDArray[np.int8] | None
    """(R, N, V + 1) sessions of groups missed by participants who go on, by each visit's due day and in the end; None:
    none."""

    def replicate(self, r: int) -> ObservedData:
        """One replicate alone, R = 1."""
        one = slice(r, r + 1)
        parts: dict[str, Any] = {
            name: ByName({k: partial(_part, given, k, one) for k in given})
            if isinstance(given, Mapping)
            else None
            if given is None
            else given[one]
            for name, given in vars(self).items()
        }
        return ObservedData(**parts)


def is_known(outcome: Outcome, histories: Histories, follow: FollowUp) -> Bools:
    """Whether an outcome's value is known at each visit, (V, N, R).

    The visit was answered; of outcomes in health records, the participant was in the study on the due day.
    """
    if outcome.source == "questionnaire":
        return np.asarray(follow.missing == Missing.ANSWERED)
    stays = (histories.exit_day == NONE) | (follow.due_day < histories.exit_day)
    return np.asarray(stays & (histories.arm != NONE))


def known_event(outcome: Outcome, day: Ints, histories: Histories, follow: FollowUp) -> tuple[Ints, Bools]:
    """Days to an event or to where knowledge of it ends, and whether it is the event, (N, R); day: of it, or LONG.

    Knowledge ends with the due day of the last visit answered; of outcomes in health records, with the last due day;
    and with leaving the study, by death as well. What would happen on the day of leaving does not happen any more.
    """
    due = follow.due_day - histories.randomized_day
    left = np.where(histories.exit_day == NONE, LONG, histories.exit_day - histories.randomized_day)
    asked = outcome.source == "questionnaire"
    until = (due * is_known(outcome, histories, follow)).max(axis=0) if asked else due[-1] * (histories.arm != NONE)
    happened = (day <= until) & (day < left)
    return np.where(happened, day, np.minimum(until, left)).astype(np.int32), happened


def observed_data(plan: Plan, histories: Histories, outcomes: Outcomes, follow: FollowUp) -> ObservedData:
    """Cut the simulated trial down to what was recorded."""
    world, cohort = plan.world, plan.cohort
    stated = world.design.outcomes
    none = np.full(cohort.shape[::-1], NONE, dtype=np.int16)

    # A table of the grid's values, and below them NaN, is quicker than arithmetic on every value.
    def baseline(k: int, outcome: Outcome) -> Floats:
        return grid_points(outcome).take(_replicates_first(cohort.baseline[k]))

    def value(k: int, outcome: Outcome) -> Floats:
        seen = choose(is_known(outcome, histories, follow), outcomes.realised[k], np.int16(-1))
        return np.append(grid_points(outcome), np.nan).take(_replicates_first(seen))

    def responder(k: int, outcome: Outcome) -> Bools:
        responds = is_responder(outcome, cohort.baseline[k], outcomes.realised[k])
        return _replicates_first(responds & is_known(outcome, histories, follow))

    def seen(k: int, outcome: Outcome) -> Bools:
        return _replicates_first(is_known(outcome, histories, follow))

    def time(part: int, k: int, outcome: Outcome) -> NDArray[Any]:
        day = outcomes.realised_event_day(k, histories)
        return _replicates_first(known_event(outcome, day, histories, follow)[part])

    def by_outcome(make: Callable[[int, Outcome], NDArray[Any]], *, events_only: bool = False) -> ByName:
        chosen = [name for name, one in stated.items() if isinstance(one, TimeToEvent) or not events_only]
        return ByName({name: partial(make, world.outcomes.index(name), stated[name]) for name in chosen})

    return ObservedData(
        arm=_replicates_first(histories.arm),
        site=_replicates_first(cohort.site),
        cluster=none if cohort.cluster is None else _replicates_first(cohort.cluster),
        coach=_replicates_first(histories.coach),
        group=_replicates_first(histories.group),
        covariates=ByName({name: partial(_replicates_first, values) for name, values in cohort.covariates.items()}),
        baseline=by_outcome(baseline),
        value=by_outcome(value),
        responder=by_outcome(responder),
        seen=by_outcome(seen),
        event_time=by_outcome(partial(time, 0), events_only=True),
        event=by_outcome(partial(time, 1), events_only=True),
        observed=_replicates_first(follow.missing == Missing.ANSWERED),
        sessions=_replicates_first(outcomes.realised_sessions),
        all_sessions=_replicates_first(histories.n_sessions),
        missed=None if outcomes.realised_missed is None else _replicates_first(outcomes.realised_missed),
    )


def _part(arrays: Mapping[str, NDArray[Any]], name: str, replicates: slice) -> NDArray[Any]:
    return arrays[name][replicates]


def _replicates_first(values: NDArray[Any]) -> NDArray[Any]:
    """(N, R) -> (R, N), or (V, N, R) -> (R, N, V)."""
    if values.ndim == 2:
        return np.ascontiguousarray(values.T)
    turned = np.empty(values.shape[::-1], dtype=values.dtype)
    for v, of_visit in enumerate(values):  # visit by visit: three times faster than all axes at once
        turned[:, :, v] = of_visit.T
    return turned
