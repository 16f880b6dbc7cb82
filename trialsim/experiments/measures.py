"""What is measured of each simulated trial: one number per replicate and measure, named by a path like
`treatment/coach/started`. Summaries, comparisons with published values and sweeps all read these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.design.delivery import Group, Individual, SelfPaced
from trialsim.design.outcomes import Outcome
from trialsim.experiments.cluster_measures import cluster_measures
from trialsim.records import funnel_counts
from trialsim.world import formulas
from trialsim.world.formulas import MONTH_DAYS
from trialsim.world.groups import sessions_held
from trialsim.world.histories import NONE, Missing, Status
from trialsim.world.observation import is_known
from trialsim.world.outcomes import is_responder
from trialsim.world.places import coach_calendar
from trialsim.world.plans import DIED, WITHDREW
from trialsim.world.world import World

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]
Measures = dict[str, Floats]
Named = Iterator[tuple[str, NDArray[Any]]]


def measure(block: Block) -> Measures:
    """All measures of a block's replicates, each of shape (R,); NaN where a trial has nothing to measure."""
    members = Members(block)
    parts = (_enrolment, _baseline, _treatment, _coaching, _groups, _components, _observation, _outcomes)
    measures = {name: np.asarray(values, dtype=float) for part in parts for name, values in part(block, members)}
    measures |= {name: np.asarray(values, dtype=float) for name, values in cluster_measures(block)}
    measures |= dict(_cost(block, members, measures))
    return measures


class Members:
    """A block's participants counted by arm and replicate: each `bincount` serves all arms and measures at once."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.n_arms, self.n_replicates = len(block.world.arms), block.n_replicates
        # Row 0 takes the rows without a participant: their arm is -1.
        column = np.arange(self.n_replicates, dtype=np.int32)
        self._cell = (block.histories.arm + np.int32(1)) * np.int32(self.n_replicates) + column
        self.n_participants = int(block.histories.n_participants.sum())
        self.observed = block.follow.missing == Missing.ANSWERED  # (V, N, R)

    def only(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (N, R) of participants, 0 in the rows without one (usually there is none)."""
        valid = self.block.plan.cohort.valid
        return values if self.n_participants == valid.size else values * valid

    def counts(self, code: NDArray[np.integer[Any]], n_codes: int) -> Wholes:
        """Participants with each code (N, R) from 0 to n_codes - 1, shape (A, R, n_codes)."""
        cells = (self.n_arms + 1) * self.n_replicates
        counts = np.bincount((self._cell * n_codes + code).ravel(), minlength=cells * n_codes)
        return counts.reshape(-1, self.n_replicates, n_codes)[1:]

    def total(self, values: Floats) -> Floats:
        """Sum of whole numbers (N, R) of participants, (A, R)."""
        cells = (self.n_arms + 1) * self.n_replicates
        sums = np.bincount(self._cell.ravel(), weights=values.ravel(), minlength=cells)
        return np.asarray(sums.reshape(-1, self.n_replicates)[1:], dtype=float)

    @cached_property
    def n(self) -> Wholes:
        """Participants, (A, R)."""
        return self.attended.sum(axis=2)

    @cached_property
    def attended(self) -> Wholes:
        """Participants who attended 0, 1, ... sessions, (A, R, most sessions + 1)."""
        return self.counts(self.block.histories.n_sessions, self.block.world.max_sessions + 1)

    @cached_property
    def sessions(self) -> Wholes:
        """Sessions attended, (A, R)."""
        return _total(self.attended)

    @cached_property
    def answers(self) -> Cells:
        """The questionnaires answered."""
        return self.cells(self.observed)

    @property
    def n_observed(self) -> Wholes:
        """Answers, (V, A + 1, R); nobody is in the first row."""
        return self.answers.n

    def known(self, outcome: Outcome) -> Cells:
        """The known values of an outcome."""
        if outcome.source == "questionnaire":
            return self.answers
        return self.cells(is_known(outcome, self.block.histories, self.block.follow))

    def cells(self, known: NDArray[np.bool_]) -> Cells:
        """What is known at each visit, (V, N, R), by visit, arm and replicate."""
        n_visits, per_visit = len(known), (self.n_arms + 1) * self.n_replicates
        size = n_visits * per_visit
        visit = np.arange(0, size, per_visit, dtype=np.int32)[:, None, None]
        place = self._cell + visit + np.int32(size) * ~known
        n = np.bincount(place.ravel(), minlength=size)[:size].reshape(n_visits, self.n_arms + 1, self.n_replicates)
        return Cells(place, n)


@dataclass(frozen=True)
class Cells:
    """Values known, counted by visit, arm and replicate."""

    place: NDArray[np.int32]  # (V, N, R) cell of each among those of `n`, laid flat; past all cells where not known
    n: Wholes  # (V, A + 1, R); nobody is in the first row


def _total(counts: Wholes) -> Wholes:
    """Sum of codes from their counts (..., n_codes)."""
    return counts @ np.arange(counts.shape[-1])


def _percent(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    return _ratio(100.0 * part, whole)


def _ratio(top: NDArray[np.generic], bottom: NDArray[np.generic]) -> Floats:
    out = np.full(np.broadcast(top, bottom).shape, np.nan)
    return np.divide(top, bottom, out=out, where=np.asarray(bottom) > 0)


def _sum(values: NDArray[Any]) -> Floats:
    """Sum of whole numbers over all axes but the last. A matrix product is quick, and exact in whatever order."""
    flat = np.asarray(values.reshape(-1, values.shape[-1]), dtype=float)
    return np.ones(len(flat)) @ flat


# --- enrolment --------------------------------------------------------------------------------------------------------


def _enrolment(block: Block, members: Members) -> Named:
    h = block.histories
    some = h.n_participants > 0
    last = h.randomized_day[h.n_participants - 1, np.arange(block.n_replicates)]
    yield "calendar/first_in_day", np.where(some, h.randomized_day[0], np.nan)
    yield "calendar/last_in_day", np.where(some, last, np.nan)
    yield "calendar/closing_day", h.closing_day
    yield "calendar/last_visit_day", np.where(some, last_visit_day(block), np.nan)
    yield "calendar/enrolment_months", (h.closing_day + 1) / MONTH_DAYS
    yield "randomized/all", h.n_participants
    for name, n in zip(block.world.arms, members.n, strict=True):
        yield f"randomized/{name}", n
    yield from _funnel(block)


def last_visit_day(block: Block) -> NDArray[np.int64]:
    """Day on which the last questionnaire is answered or given up, by replicate."""
    visit = list(block.world.design.visits.values())[-1]
    closes = block.follow.due_day[-1] + visit.closes
    # Answers come before the window closes and before leaving; read without a sign, NONE is later than every day.
    ends = [days.view(np.uint32) for days in (closes, block.histories.exit_day, block.follow.observed_day[-1])]
    return (np.minimum(np.minimum(ends[0], ends[1]), ends[2]) * block.plan.cohort.valid).max(axis=0).astype(np.int64)


def _funnel(block: Block) -> Named:
    """Numbers through the funnel until enrolment closes, all sites together."""
    for step, reason, people in funnel_counts(block):
        if step == "contacted":
            yield "funnel/contacted", people
            yield "funnel/contacted_per_randomized", _ratio(people, block.histories.n_participants)
        elif reason in ("passed", "in process"):
            yield f"funnel/{step}/{reason}", people
        else:
            yield f"funnel/{step}/lost/{reason}", people


def _baseline(block: Block, members: Members) -> Named:
    cohort, n = block.plan.cohort, block.histories.n_participants.astype(np.int64)
    for k, (name, outcome) in enumerate(block.world.design.outcomes.items()):
        if not outcome.has_baseline:
            continue
        steps = members.only(cohort.baseline[k]).astype(float)
        by_arm, squares = members.total(steps), _sum(steps * steps)
        total = by_arm.sum(axis=0)
        yield f"baseline/{name}/mean", outcome.low + _ratio(total, n * outcome.items)
        yield f"baseline/{name}/sd", _sd(n, total, squares) / outcome.items
        means = outcome.low + _ratio(by_arm, members.n * outcome.items)
        for arm, mean in zip(block.world.arms, means, strict=True):
            yield f"baseline/{name}/{arm}/mean", mean
        for factor in block.world.design.allocation.strata:
            if not isinstance(factor, str) and factor.outcome == name:
                value = formulas.from_grid(cohort.baseline[k], outcome.low, outcome.items)
                above = formulas.count((value >= factor.at_least - 1e-9) & cohort.valid)
                yield f"baseline/{name}/at_least_{factor.at_least:g}", _percent(above, n)
    for name, values in cohort.covariates.items():
        whole = block.world.design.covariates[name].kind != "normal"
        yield f"baseline/{name}/mean", _ratio((_sum if whole else _in_order)(members.only(values)), n)


def _in_order(values: Floats) -> Floats:
    """Sum over the first axis, one after the other: the same bits however many columns there are."""
    return np.add.accumulate(values, axis=0)[-1] if len(values) else np.zeros(values.shape[1:])


def _sd(n: Wholes, total: NDArray[Any], squares: NDArray[Any]) -> Floats:
    """Standard deviation from whole-number sums (exact, so the same bits in whatever order they were made)."""
    return np.sqrt(np.maximum(_ratio(squares - total * _ratio(total, n), n - 1), 0))


# --- treatment --------------------------------------------------------------------------------------------------------


def _treatment(block: Block, members: Members) -> Named:
    h, world = block.histories, block.world
    left = members.counts(h.exit_kind, 3)
    statuses = members.counts(h.status, len(Status))
    at_least = _percent(members.attended[..., ::-1].cumsum(axis=2)[..., ::-1], members.n[..., None])
    mean_sessions = _ratio(members.sessions, members.n)
    called = members.counts(h.n_calls, int(h.n_calls.max(initial=0)) + 1)
    for arm, name in enumerate(world.arms):
        yield f"study/{name}/withdrew", left[arm, :, WITHDREW]
        yield f"study/{name}/died", left[arm, :, DIED]
        if not world.has_sessions(arm):
            continue
        yield f"treatment/{name}/started", at_least[arm, :, 1]
        for k in range(1, world.session_counts[arm] + 1):
            yield f"treatment/{name}/at_least_{k}", at_least[arm, :, k]
        yield f"treatment/{name}/mean_sessions", mean_sessions[arm]
        yield f"treatment/{name}/completed", _percent(statuses[arm, :, Status.COMPLETED], members.n[arm])
        for status in list(Status)[1:]:
            yield f"treatment/{name}/status/{status.name.lower()}", statuses[arm, :, status]
        delivery = world.design.arms[name].delivery
        if isinstance(delivery, SelfPaced) and delivery.max_calls:
            yield f"treatment/{name}/called", _percent(called[arm, :, 1:].sum(axis=1), members.n[arm])
            yield f"treatment/{name}/calls", _total(called[arm])


def _coaching(block: Block, members: Members) -> Named:
    h, world = block.histories, block.world
    places = {arm: coach_calendar(world, arm)[0] for arm in range(len(world.arms)) if world.coached(arm)}
    if not places:
        return
    # In groups the code is the team's: there may be more teams than coaches.
    most = max(int(h.coach.max(initial=NONE)) + 1, *map(len, places.values()))
    with_coach = members.counts(h.coach + 1, most + 1)
    for arm, of_coach in places.items():
        name = world.arms[arm]
        delivery = world.design.arms[name].delivery
        assert isinstance(delivery, Individual)
        served = (h.arm == arm) & (h.offered_day != NONE)
        yield from _waits(f"coaches/{name}", block, served)
        yield f"coaches/{name}/sessions", members.sessions[arm]
        yield f"coaches/{name}/hours", members.sessions[arm] * delivery.session_minutes / 60
        n = len(of_coach)
        loads = np.sort(with_coach[arm, :, 1 : n + 1], axis=1)
        yield f"coaches/{name}/median_load", (loads[:, (n - 1) // 2] + loads[:, n // 2]) / 2
        yield f"coaches/{name}/smallest_load", loads[:, 0]
        yield f"coaches/{name}/largest_load", loads[:, -1]
        yield f"coaches/{name}/places_used", _use(block, served, sum(of_coach))


def _waits(path: str, block: Block, served: NDArray[np.bool_]) -> Named:
    """Waits of those who were given a place, (N, R)."""
    h = block.histories
    wait, n_served = (h.offered_day - h.asked_day) * served, formulas.count(served)
    yield f"{path}/mean_wait_days", _ratio(_sum(wait), n_served)
    yield f"{path}/longest_wait_days", np.where(n_served > 0, wait.max(axis=0), np.nan)
    yield f"{path}/waited", _percent(formulas.count(wait > 0), n_served)


def _groups(block: Block, members: Members) -> Named:
    h, world = block.histories, block.world
    for arm, name in enumerate(world.arms):
        delivery = world.design.arms[name].delivery
        if not isinstance(delivery, Group):
            continue
        size = members.counts(h.group + 1, int(h.group.max(initial=NONE)) + 2)[arm, :, 1:]  # (R, groups)
        n_groups = (size > 0).sum(axis=1)
        yield f"groups/{name}/n_groups", n_groups
        yield f"groups/{name}/mean_size", _ratio(size.sum(axis=1), n_groups)
        smallest = np.where(size > 0, size, len(h.arm) + 1).min(axis=1, initial=len(h.arm) + 1)
        yield f"groups/{name}/smallest", np.where(n_groups > 0, smallest, np.nan)
        yield f"groups/{name}/largest", np.where(n_groups > 0, size.max(axis=1, initial=0), np.nan)
        yield from _waits(f"groups/{name}", block, (h.arm == arm) & (h.group != NONE))
        held = sessions_held(arm, h, delivery)
        yield f"groups/{name}/sessions", held
        yield f"groups/{name}/hours", held * delivery.session_minutes / 60


def _components(block: Block, members: Members) -> Named:
    """Percentage of component sessions attended, of those planned for everybody who attended a session."""
    h, world = block.histories, block.world
    for arm, name in enumerate(world.arms):
        started = (h.arm == arm) & (h.n_sessions > 0)
        course, n_started = block.plan.courses[arm], formulas.count(started)
        for part in course.components.values() if course is not None else ():
            attended = _sum(part.attended_in(h) * started)
            yield f"components/{name}/{part.name}/attended", _percent(attended, len(part.sessions) * n_started)


def _use(block: Block, served: NDArray[np.bool_], places: int) -> Floats:
    """Percentage of coach places taken, from the first offer to the last release (coaches' own dates ignored)."""
    h = block.histories
    first = (h.offered_day + np.int32(formulas.LONG) * ~served).min(axis=0)
    last = (h.released_day * served).max(axis=0)
    taken = _sum((h.released_day - h.offered_day + 1) * served)
    return _ratio(100.0 * taken, np.where(first < formulas.LONG, (last - first + 1) * places, 0))


# --- observation and outcomes -----------------------------------------------------------------------------------------


def _observation(block: Block, members: Members) -> Named:
    visits = block.world.visits
    observed = _percent(members.n_observed[:, 1:], members.n)
    n_answered = members.counts(members.observed.sum(axis=0, dtype=np.int16), len(visits) + 1)
    times = _percent(n_answered, members.n[..., None])
    for arm, name in enumerate(block.world.arms):
        for v, visit in enumerate(visits):
            yield f"observed/{name}/{visit}", observed[v, arm]
        for n in range(len(visits) + 1):
            yield f"observed/{name}/visits_{n}", times[arm, :, n]


def _outcomes(block: Block, members: Members) -> Named:
    """Values, change from baseline and response among those of whom they are known, by arm and visit."""
    for k, (name, outcome) in enumerate(block.world.design.outcomes.items()):
        cells = members.known(outcome)
        known = _Known(cells, outcome, block.plan.cohort.baseline[k], block.outcomes.realised[k])
        described = list(_described(known, outcome))
        for arm, arm_name in enumerate(block.world.arms):
            for v, visit in enumerate(block.world.visits):
                for measure, values in described:
                    yield f"outcome/{name}/{arm_name}/{visit}/{measure}", values[v, arm + 1]


class _Known:
    """One outcome of all of whom it is known, in order of visit, arm, replicate and change from baseline.

    Sorting whole numbers that hold all of that is a matter of microseconds; then a cell is a stretch, and a quantile is
    a look-up. All are in grid steps.
    """

    def __init__(self, cells: Cells, outcome: Outcome, baseline: NDArray[np.int16], value: NDArray[np.int16]) -> None:
        width = round((outcome.high - outcome.low) * outcome.items)
        low_bits, bits = width.bit_length(), (2 * width).bit_length()
        wide = 2 * cells.n.size >> max(30 - bits - low_bits, 0)
        kind: type[np.integer[Any]] = np.int64 if wide else np.int32
        code: NDArray[np.integer[Any]] = np.empty(cells.place.size + 1, dtype=kind)
        code[-1] = np.iinfo(kind).max  # past all cells: what ends the last of them
        each = code[:-1].reshape(cells.place.shape)
        np.left_shift(cells.place, bits, out=each, dtype=kind)
        each += (value - (baseline - np.int16(width))).view(np.uint16)  # up to 60,000
        each <<= 1
        each += is_responder(outcome, baseline, value)
        each <<= low_bits
        each += baseline
        code.sort()
        self.n = cells.n
        self._edges = np.append(0, np.cumsum(self.n))
        self.first = self._edges[:-1].reshape(self.n.shape)
        code = code[: self.n.sum() + 1]
        self._scratch = np.empty_like(code)  # making an array takes longer than filling one that is there
        self.baseline = code & ((1 << low_bits) - 1)
        code >>= low_bits
        self.n_responders = self.sum(np.bitwise_and(code, 1, out=self._scratch))
        code >>= 1
        code &= (1 << bits) - 1
        code -= width
        self.change = code

    def sum(self, values: NDArray[np.integer[Any]], *, times: NDArray[np.integer[Any]] | None = None) -> Wholes:
        """Sum of whole numbers, or of products of them, by cell."""
        if times is not None:
            values = np.multiply(values, times, out=self._scratch)
        sums = np.add.reduceat(values, self._edges, dtype=np.int64)[:-1]
        return np.asarray(sums.reshape(self.n.shape) * (self.n > 0), dtype=np.int64)

    def at(self, rank: Wholes) -> NDArray[np.integer[Any]]:
        """Change of the given rank (from 0) in each cell; anything in an empty one."""
        return self.change[self.first + rank]


def _described(known: _Known, outcome: Outcome) -> Named:
    """Distribution of values and changes, on a grid of steps of 1/items, and response; shape (V, A + 1, R) each."""
    n, items = known.n, outcome.items
    before, change = known.sum(known.baseline), known.sum(known.change)
    before_squares, change_squares = (known.sum(one, times=one) for one in (known.baseline, known.change))
    products = known.sum(known.baseline, times=known.change)
    after, after_squares = before + change, before_squares + 2 * products + change_squares
    yield "n", n
    yield "mean", outcome.low + _ratio(after, n * items)
    yield "sd", _sd(n, after, after_squares) / items
    yield "mean_change", _ratio(change, n * items)
    yield "sd_change", _sd(n, change, change_squares) / items
    yield "percent_change", _ratio(100.0 * change, before + outcome.low * items * n)
    together = before_squares + products - before * _ratio(after, n)
    spreads = _sd(n, before, before_squares) * _sd(n, after, after_squares)
    yield "correlation", _ratio(_ratio(together, n - 1), spreads)
    low, middle, high = (_quantile(known, items, prob) for prob in (0.25, 0.5, 0.75))
    yield "lower_quartile_change", low
    yield "median_change", middle
    yield "upper_quartile_change", high
    yield "core_sd_change", (high - low) / 1.349
    yield "responders", 100 * _ratio(known.n_responders, n)
    if outcome.kind == "dose":
        yield "users", 100 * _ratio(known.sum((known.baseline + known.change > 0).astype(np.int8)), n)


def _quantile(known: _Known, items: int, prob: float) -> Floats:
    """Quantile with linear interpolation between order statistics (type 7 of Hyndman and Fan)."""
    last = np.maximum(known.n - 1, 0)
    position = last * prob
    below = np.floor(position).astype(np.int64)
    first, second = (known.at(rank) / items for rank in (below, np.minimum(below + 1, last)))
    value = first + (position - below) * (second - first)
    return np.where(known.n > 0, value, np.nan)


# --- cost -------------------------------------------------------------------------------------------------------------


def _cost(block: Block, members: Members, done: Measures) -> Named:
    """Cost by item and in total, from counts and unit costs."""
    items = dict(_cost_items(block, members, done))
    for name, values in items.items():
        yield f"cost/{name}", values
    yield "cost/total", sum(items.values(), np.zeros(block.n_replicates))


def _cost_items(block: Block, members: Members, done: Measures) -> Named:
    world, costs, h = block.world, block.world.design.costs, block.histories
    screened = done[f"funnel/{world.steps[world.n_lead - 1]}/passed"] if world.n_lead else done["funnel/contacted"]
    yield "letters", costs.letter * done["funnel/contacted"]
    yield "screening", costs.screening * screened
    yield "coaches", costs.coach_hour * (_over_arms(block, done, "coaches/{}/hours") + _facilitator_hours(world, done))
    yield "calls", costs.call * _over_arms(block, done, "treatment/{}/calls")
    yield "reminders", costs.reminder * _sum(block.follow.n_reminders)
    answered = members.n_observed.sum(axis=(0, 1))
    yield "assessments", costs.assessment * (answered + h.n_participants)
    each = [(f"randomized/{name}", arm.cost_per_participant) for name, arm in world.design.arms.items()]
    yield "materials", sum((cost * done[name] for name, cost in each), np.zeros(block.n_replicates))
    if any(arm.cost_per_start for arm in world.design.arms.values()):
        yield "starts", _start_costs(block, members)
    yield "sites", costs.site_month * _site_months(world, np.nan_to_num(done["calendar/last_visit_day"]))


def _facilitator_hours(world: World, done: Measures) -> Floats | float:
    """Hours of all who lead groups."""
    deliveries = {name: arm.delivery for name, arm in world.design.arms.items()}
    groups = {name: given for name, given in deliveries.items() if isinstance(given, Group)}
    return sum((done[f"groups/{name}/hours"] * given.facilitators_per_group for name, given in groups.items()), 0.0)


def _start_costs(block: Block, members: Members) -> Floats:
    """What is paid for those who attend at least one session."""
    each = [arm.cost_per_start for arm in block.world.design.arms.values()]
    return np.asarray(np.array(each) @ (members.n - members.attended[..., 0]))


def _over_arms(block: Block, done: Measures, pattern: str) -> Floats:
    names = [pattern.format(arm) for arm in block.world.arms]
    return sum((done[name] for name in names if name in done), np.zeros(block.n_replicates))


def _site_months(world: World, last_day: Floats) -> Floats:
    """Months from each site's opening to the last visit, summed over sites."""
    opens = [world.design.day_of(site.opens) for site in world.design.recruitment.sites.values()]
    return sum((np.maximum(last_day + 1 - day, 0) / MONTH_DAYS for day in opens), np.zeros(len(last_day)))
