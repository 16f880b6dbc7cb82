"""What is measured of each simulated trial: one number per replicate and measure, named by a path like
`treatment/coach/started`. Summaries, comparisons with published values and sweeps all read these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.design.delivery import Individual, SelfPaced
from trialsim.records import funnel_counts
from trialsim.world import formulas
from trialsim.world.formulas import MONTH_DAYS
from trialsim.world.histories import NONE, Missing, Status
from trialsim.world.world import World

Floats = NDArray[np.float64]
Measures = dict[str, Floats]
Named = Iterator[tuple[str, NDArray[Any]]]


def measure(block: Block) -> Measures:
    """All measures of a block's replicates, each of shape (R,); NaN where a trial has nothing to measure."""
    parts = (_enrolment, _baseline, _treatment, _coaching, _observation, _outcomes)
    measures = {name: np.asarray(values, dtype=float) for part in parts for name, values in part(block)}
    measures |= dict(_cost(block, measures))
    return measures


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Floats:
    """Percentage of `whole` that is also `part`, by replicate (last axis)."""
    return _ratio(100.0 * (part & whole).sum(axis=0), whole.sum(axis=0))


def _ratio(top: NDArray[np.generic], bottom: NDArray[np.generic]) -> Floats:
    out = np.full(np.broadcast(top, bottom).shape, np.nan)
    return np.divide(top, bottom, out=out, where=np.asarray(bottom) > 0)


# --- enrolment --------------------------------------------------------------------------------------------------------


def _enrolment(block: Block) -> Named:
    h, world = block.histories, block.world
    valid = block.plan.cohort.valid
    some = h.n_participants > 0
    first = np.where(some, h.randomized_day[0], np.nan)
    last = np.where(some, np.where(valid, h.randomized_day, NONE).max(axis=0), np.nan)
    yield "calendar/first_in_day", first
    yield "calendar/last_in_day", last
    yield "calendar/closing_day", h.closing_day
    yield "calendar/last_visit_day", np.where(some, last_visit_day(block), np.nan)
    yield "calendar/enrolment_months", (h.closing_day + 1) / MONTH_DAYS
    yield "randomized/all", h.n_participants
    for arm, name in enumerate(world.arms):
        yield f"randomized/{name}", (h.arm == arm).sum(axis=0)
    yield from _funnel(block)


def last_visit_day(block: Block) -> NDArray[np.int32]:
    """Day on which the last questionnaire is answered or given up, by replicate."""
    visit = list(block.world.design.visits.values())[-1]
    h, f = block.histories, block.follow
    closes = f.due_day[-1] + visit.closes
    left = (h.exit_day != NONE) & (h.exit_day <= closes)
    day = np.where(f.observed_day[-1] != NONE, f.observed_day[-1], np.where(left, h.exit_day, closes))
    return np.where(block.plan.cohort.valid, day, 0).max(axis=0)


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


def _baseline(block: Block) -> Named:
    valid, cohort = block.plan.cohort.valid, block.plan.cohort
    n = valid.sum(axis=0)
    for k, (name, outcome) in enumerate(block.world.design.outcomes.items()):
        steps = np.where(valid, cohort.baseline[k], 0).astype(np.int64)
        total, squares = steps.sum(axis=0), (steps**2).sum(axis=0)
        yield f"baseline/{name}/mean", outcome.low + _ratio(total, n * outcome.items)
        yield f"baseline/{name}/sd", _sd(n, total, squares) / outcome.items
        for factor in block.world.design.allocation.strata:
            if not isinstance(factor, str) and factor.outcome == name:
                value = formulas.from_grid(cohort.baseline[k], outcome.low, outcome.items)
                yield f"baseline/{name}/at_least_{factor.at_least:g}", _share(value >= factor.at_least - 1e-9, valid)
    for name, values in cohort.covariates.items():
        yield f"baseline/{name}/mean", _ratio(_in_order(np.where(valid, values, 0.0)), n)


def _in_order(values: Floats) -> Floats:
    """Sum over the first axis, one after the other: the same bits however many columns there are."""
    return np.add.accumulate(values, axis=0)[-1] if len(values) else np.zeros(values.shape[1:])


def _sd(n: NDArray[np.int64], total: NDArray[np.int64], squares: NDArray[np.int64]) -> Floats:
    """Standard deviation from whole-number sums (exact, so the same bits in whatever order they were made)."""
    return np.sqrt(np.maximum(_ratio(squares - total * _ratio(total, n), n - 1), 0))


# --- treatment --------------------------------------------------------------------------------------------------------


def _treatment(block: Block) -> Named:
    h = block.histories
    for arm, name in enumerate(block.world.arms):
        member = h.arm == arm
        for kind, code in (("withdrew", 1), ("died", 2)):
            yield f"study/{name}/{kind}", (member & (h.exit_kind == code)).sum(axis=0)
        if not block.world.has_sessions(arm):
            continue
        yield f"treatment/{name}/started", _share(h.n_sessions >= 1, member)
        for k in range(1, block.world.session_counts[arm] + 1):
            yield f"treatment/{name}/at_least_{k}", _share(h.n_sessions >= k, member)
        yield f"treatment/{name}/mean_sessions", _ratio((h.n_sessions * member).sum(axis=0), member.sum(axis=0))
        for status in list(Status)[1:]:
            label = status.name.lower()
            yield f"treatment/{name}/status/{label}", (member & (h.status == status)).sum(axis=0)
        delivery = block.world.design.arms[name].delivery
        if isinstance(delivery, SelfPaced) and delivery.max_calls:
            calls = (h.call_day != NONE).sum(axis=0)
            yield f"treatment/{name}/called", _share(calls > 0, member)
            yield f"treatment/{name}/calls", (calls * member).sum(axis=0)


def _coaching(block: Block) -> Named:
    h = block.histories
    for arm, name in enumerate(block.world.arms):
        if not block.world.coached(arm):
            continue
        member = h.arm == arm
        served = member & (h.offered_day != NONE)
        wait = np.where(served, h.offered_day - h.asked_day, 0)
        yield f"coaches/{name}/mean_wait_days", _ratio(wait.sum(axis=0), served.sum(axis=0))
        yield f"coaches/{name}/longest_wait_days", np.where(served.any(axis=0), wait.max(axis=0), np.nan)
        yield f"coaches/{name}/waited", _share(wait > 0, served)
        sessions = (h.n_sessions * member).sum(axis=0)
        delivery = block.world.design.arms[name].delivery
        assert isinstance(delivery, Individual)
        yield f"coaches/{name}/sessions", sessions
        yield f"coaches/{name}/hours", sessions * delivery.session_minutes / 60
        loads = _loads(block, arm)
        yield f"coaches/{name}/median_load", np.median(loads, axis=0)
        yield f"coaches/{name}/smallest_load", loads.min(axis=0)
        yield f"coaches/{name}/largest_load", loads.max(axis=0)
        yield f"coaches/{name}/places_used", _use(block, arm)


def _loads(block: Block, arm: int) -> NDArray[np.int64]:
    """Participants whom each coach ever had, shape (coaches, R)."""
    n_coaches, n_replicates = len(block.world.design.coaches(block.world.arms[arm])), block.n_replicates
    mine = (block.histories.arm == arm) & (block.histories.coach >= 0)
    flat = (block.histories.coach.astype(np.int64) * n_replicates + np.arange(n_replicates))[mine]
    return np.bincount(flat, minlength=n_coaches * n_replicates).reshape(n_coaches, n_replicates)


def _use(block: Block, arm: int) -> Floats:
    """Percentage of coach places taken, from the first offer to the last release (coaches' own dates ignored)."""
    from trialsim.world.places import coach_calendar

    h = block.histories
    served = (h.arm == arm) & (h.offered_day != NONE)
    first = np.where(served, h.offered_day, formulas.LONG).min(axis=0)
    last = np.where(served, h.released_day, NONE).max(axis=0)
    taken = np.where(served, h.released_day - h.offered_day + 1, 0).sum(axis=0)
    places = sum(coach_calendar(block.world, arm)[0])
    return _ratio(100.0 * taken, np.where(served.any(axis=0), (last - first + 1) * places, 0))


# --- observation and outcomes -----------------------------------------------------------------------------------------


def _observation(block: Block) -> Named:
    observed = block.follow.missing == Missing.ANSWERED
    for arm, name in enumerate(block.world.arms):
        member = block.histories.arm == arm
        for v, visit in enumerate(block.world.visits):
            yield f"observed/{name}/{visit}", _share(observed[v], member)
        n_answered = observed.sum(axis=0)
        for n in range(len(block.world.visits) + 1):
            yield f"observed/{name}/visits_{n}", _share(n_answered == n, member)


def _outcomes(block: Block) -> Named:
    """Change from baseline and response among those observed, by arm and visit."""
    world, observed = block.world, block.follow.missing == Missing.ANSWERED
    for k, (name, outcome) in enumerate(world.design.outcomes.items()):
        change = block.outcomes.realised[k].astype(np.int64) - block.plan.cohort.baseline[k]
        width = round((outcome.high - outcome.low) * outcome.items)
        responder = block.observed.responder[name].transpose(2, 1, 0)
        counts = _histogram(block, change + width, observed, 2 * width + 1)
        responses = _histogram(block, responder.astype(np.int64), observed, 2)
        steps = np.arange(2 * width + 1) - width
        for arm, arm_name in enumerate(world.arms):
            for v, visit in enumerate(world.visits):
                path = f"outcome/{name}/{arm_name}/{visit}"
                yield from _change(path, counts[:, arm, v], steps, outcome.items)
                n = responses[:, arm, v].sum(axis=1)
                yield f"{path}/responders", 100 * _ratio(responses[:, arm, v, 1], n)


def _histogram(block: Block, code: NDArray[np.int64], observed: NDArray[np.bool_], width: int) -> NDArray[np.int64]:
    """Counts of codes by replicate, arm and visit, shape (R, A, V, width)."""
    n_arms, n_visits, n = len(block.world.arms), len(block.world.visits), block.n_replicates
    arm = np.maximum(block.histories.arm, 0).astype(np.int64)
    flat = ((np.arange(n) * n_arms + arm) * n_visits + np.arange(n_visits)[:, None, None]) * width + code
    counts = np.bincount(flat[observed], minlength=n * n_arms * n_visits * width)
    return counts.reshape(n, n_arms, n_visits, width)


def _change(path: str, counts: NDArray[np.int64], steps: NDArray[np.int64], items: int) -> Named:
    """Mean, SD and quartiles of change from its histogram, shape (R, width), over grid steps of 1/items."""
    n, total = counts.sum(axis=1), counts @ steps
    points = steps / items
    yield f"{path}/n", n
    yield f"{path}/mean_change", _ratio(total, n * items)
    yield f"{path}/sd_change", _sd(n, total, counts @ steps**2) / items
    low, middle, high = (_quantile(counts, n, points, p) for p in (0.25, 0.5, 0.75))
    yield f"{path}/lower_quartile_change", low
    yield f"{path}/median_change", middle
    yield f"{path}/upper_quartile_change", high
    yield f"{path}/core_sd_change", (high - low) / 1.349


def _quantile(counts: NDArray[np.int64], n: NDArray[np.int64], points: Floats, prob: float) -> Floats:
    """Quantile with linear interpolation between order statistics (type 7 of Hyndman and Fan)."""
    position = np.maximum(n - 1, 0) * prob
    below = np.floor(position)
    cumulative = counts.cumsum(axis=1)
    first = points[(cumulative > below[:, None]).argmax(axis=1)]
    second = points[(cumulative > np.minimum(below + 1, n - 1)[:, None]).argmax(axis=1)]
    value = first + (position - below) * (second - first)
    return np.where(n > 0, value, np.nan)


# --- cost -------------------------------------------------------------------------------------------------------------


def _cost(block: Block, done: Measures) -> Named:
    """Cost by item and in total, from counts and unit costs."""
    items = dict(_cost_items(block, done))
    for name, values in items.items():
        yield f"cost/{name}", values
    yield "cost/total", sum(items.values(), np.zeros(block.n_replicates))


def _cost_items(block: Block, done: Measures) -> Named:
    world, costs, h = block.world, block.world.design.costs, block.histories
    valid = block.plan.cohort.valid
    screened = done[f"funnel/{world.steps[world.n_lead - 1]}/passed"] if world.n_lead else done["funnel/contacted"]
    yield "letters", costs.letter * done["funnel/contacted"]
    yield "screening", costs.screening * screened
    yield "coaches", costs.coach_hour * _total(block, done, "coaches/{}/hours")
    yield "calls", costs.call * _total(block, done, "treatment/{}/calls")
    yield "reminders", costs.reminder * block.follow.n_reminders.sum(axis=(0, 1))
    answered = ((block.follow.missing == Missing.ANSWERED) & valid).sum(axis=(0, 1))
    yield "assessments", costs.assessment * (answered + h.n_participants)
    each = [(f"randomized/{name}", arm.cost_per_participant) for name, arm in world.design.arms.items()]
    yield "materials", sum((cost * done[name] for name, cost in each), np.zeros(block.n_replicates))
    yield "sites", costs.site_month * _site_months(world, np.nan_to_num(done["calendar/last_visit_day"]))


def _total(block: Block, done: Measures, pattern: str) -> Floats:
    names = [pattern.format(arm) for arm in block.world.arms]
    return sum((done[name] for name in names if name in done), np.zeros(block.n_replicates))


def _site_months(world: World, last_day: Floats) -> Floats:
    """Months from each site's opening to the last visit, summed over sites."""
    opens = [world.design.day_of(site.opens) for site in world.design.recruitment.sites.values()]
    return sum((np.maximum(last_day + 1 - day, 0) / MONTH_DAYS for day in opens), np.zeros(len(last_day)))
