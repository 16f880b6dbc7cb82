"""True values of estimands, from the potential outcomes of a block's participants. Analyses never see them.

ICH E9(R1) strategies, for arm a, visit v and a participant's own luck: treatment policy takes the value under arm a,
whatever is attended; hypothetical the value had all sessions been attended; while on treatment the value at the last
visit before stopping (the baseline if there is none); composite counts who stopped as no responder; per protocol and
complier effects are means among those who would attend enough under every arm of the contrast that has sessions.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis import endpoints
from trialsim.analysis.estimates import (
    MEAN_DIFFERENCE,
    MEANS,
    NNT,
    ODDS_RATIO,
    RATE_RATIO,
    RISK_DIFFERENCE,
    RISK_RATIO,
    TIME_DIFFERENCE,
    TIME_RATIO,
    Label,
)
from trialsim.block import Block
from trialsim.design.analysis_checks import endpoint_of
from trialsim.world.formulas import count
from trialsim.world.outcomes import is_responder

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_DIFFERENCES = (RISK_DIFFERENCE, MEAN_DIFFERENCE, TIME_DIFFERENCE)
_RATIOS = (RISK_RATIO, RATE_RATIO, TIME_RATIO)


class Truth:
    """True values for one analysis of a block; arms' means are worked out once each."""

    def __init__(self, block: Block, analysis: Any) -> None:
        self.block, self.analysis, self.design = block, analysis, block.world.design
        self.endpoint = endpoint_of(analysis)
        self.k = block.world.outcomes.index(analysis.outcome)
        self.outcome = self.design.outcomes[analysis.outcome]
        self.valid: Bools = block.plan.cohort.valid
        self._means: dict[tuple[int, int, tuple[int, ...]], Floats] = {}

    def arms_of(self, label: Label) -> tuple[int, ...]:
        """Numbers of the arms that a label is about; none for tests of all arms."""
        arms = self.block.world.arms
        return tuple(arms.index(arm) for arm in label.contrast.split(" - ") if arm in arms)

    def means(self, label: Label) -> list[Floats]:
        """True mean of each arm of a label in each replicate, (R,): percentages, points, days, counts or rates."""
        arms = self.arms_of(label)
        visits = self.block.world.visits
        v = visits.index(label.visit) if label.visit in visits else len(visits) - 1
        stratum = arms if self._principal else ()
        return [self._mean(arm, v, stratum) for arm in arms]

    @property
    def _principal(self) -> bool:
        return self.analysis.estimand == "per_protocol" or self.analysis.kind == "complier"

    def _mean(self, arm: int, v: int, stratum: tuple[int, ...]) -> Floats:
        key = (arm, v, stratum)
        if key not in self._means:
            members = self.valid if not stratum else self.valid & self._would_attend(stratum, v)
            total = self._total(arm, v, members)
            n = members.sum(axis=0)
            self._means[key] = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
        return self._means[key]

    def _would_attend(self, arms: tuple[int, ...], v: int) -> Bools:
        member = np.ones_like(self.valid)
        for arm in arms:
            planned = self.block.world.session_counts[arm]
            if planned:
                needed = min(endpoints.needed_sessions(self.analysis, planned), planned)
                member &= self.block.outcomes.sessions[arm, v] >= needed
        return member

    def _total(self, arm: int, v: int, members: Bools) -> Floats:
        """Sum of the endpoint over members (N, R) under an arm, (R,), in the label's unit.

        Whole numbers are added up, so that the order does not matter.
        """
        if self.endpoint == "change":
            steps = np.where(members, self._steps(arm, v), 0), np.where(members, self._baseline, 0)
            return np.asarray((_whole_sum(steps[0]) - _whole_sum(steps[1])) / self.outcome.items)
        if self.endpoint == "value":
            steps_there = _whole_sum(np.where(members, self._steps(arm, v), 0))
            return np.asarray(steps_there / self.outcome.items + self.outcome.low * count(members))
        if self.endpoint == "response":
            return np.asarray(100.0 * count(members & self._responds(arm, v)))
        if self.endpoint == "sessions":
            return _whole_sum(np.where(members, self.block.outcomes.all_sessions[arm], 0))
        if self.endpoint == "first_response":
            return self._time_without(arm, members)
        places = endpoints.places_of(self.design, self.analysis)
        if self.endpoint == "events":
            events = sum(_whole_sum(np.where(members, self._steps(arm, u), 0)) for u in places)
            return np.asarray(events / endpoints.years_covered(self.design, places).sum())
        return np.asarray(sum(count(members & self._responds(arm, u)) for u in places) / len(places))

    def _time_without(self, arm: int, members: Bools) -> Floats:
        """Sum of the days without the event (without a response), up to the last day that counts, (R,)."""
        days = np.array([float(visit.day) for visit in self.design.visits.values()])
        until = getattr(self.analysis, "until_day", None) or days[-1]
        if self.outcome.kind == "event":
            first: Any = self.block.outcomes.event_day[self.k][arm]
        else:
            responds = np.stack([self._responds(arm, u) for u in range(len(days))])
            first = np.where(responds.any(axis=0), days[responds.argmax(axis=0)], np.inf)
        return _in_order(np.where(members, np.minimum(first, until), 0.0))

    @cached_property
    def _baseline(self) -> NDArray[np.int16]:
        return self.block.plan.cohort.baseline[self.k].astype(np.int16)

    def _stopped(self, arm: int, v: int) -> Bools:
        outcomes, planned = self.block.outcomes, self.block.world.session_counts[arm]
        by_visit, in_the_end = outcomes.sessions[arm, v], outcomes.all_sessions[arm]
        if outcomes.missed is None:
            return endpoints.has_stopped(planned, by_visit, in_the_end)
        return endpoints.has_stopped(planned, by_visit + outcomes.missed[arm, v], in_the_end + outcomes.missed[arm, -1])

    def _steps(self, arm: int, v: int) -> NDArray[np.int16]:
        """Value under an arm in grid steps, as the estimand sees it."""
        outcomes = self.block.outcomes
        if self.analysis.estimand == "hypothetical":
            assert outcomes.full_dose is not None  # World.asks_full_dose
            return outcomes.full_dose[self.k, arm, v]
        if self.analysis.estimand != "while_on_treatment":
            return outcomes.potential[self.k, arm, v]
        steps = self._baseline
        for u in range(v + 1):
            steps = np.where(self._stopped(arm, u), steps, outcomes.potential[self.k, arm, u])
        return steps

    def _responds(self, arm: int, v: int) -> Bools:
        responds = is_responder(self.outcome, self._baseline, self._steps(arm, v))
        return responds & ~self._stopped(arm, v) if self.analysis.estimand == "composite" else responds


def _whole_sum(values: NDArray[Any]) -> Floats:
    """Sum of whole numbers over the first axis: exact in floating point, and there a product is fast."""
    return np.asarray(np.ones(len(values)) @ values.astype(np.float64))


def _in_order(values: Floats) -> Floats:
    """Sum over the first axis, one after the other: the same bits however many columns there are."""
    return np.add.accumulate(values, axis=0)[-1] if len(values) else np.zeros(values.shape[1:])


def value_of(measure: str, means: list[Floats]) -> Floats:
    """The value of a measure from the true means of its arms; NaN where there is none, as for hazard ratios."""
    nothing = np.full(means[0].shape if means else (1,), np.nan)
    if measure in MEANS and len(means) == 1:
        return means[0]
    if len(means) != 2:
        return nothing
    first, second = means
    if measure in _DIFFERENCES:
        return first - second
    if measure in _RATIOS:
        return np.divide(first, second, out=nothing, where=second > 0)
    if measure == NNT:
        gap = (first - second) / 100
        return np.divide(1.0, gap, out=nothing, where=gap != 0)
    if measure == ODDS_RATIO:
        other = (100 - first) * second
        return np.divide(first * (100 - second), other, out=nothing, where=other > 0)
    return nothing
