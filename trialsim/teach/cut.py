"""The trial that would have stopped earlier: a block cut after its first n participants.

A longer trial keeps its first participants, so a block of the larger trial holds that of every smaller one, to the
last bit. Not so where what happens to participants depends on when enrolment closes: groups are made up of whoever
waits once nobody else is expected (`can_be_cut`).

Equal is all that happens and is recorded. What somebody would have had from coaches of an arm that is not theirs may
differ a little: the list of the larger trial is asked for it. Only true values look at that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.design.delivery import Group
from trialsim.design.parts import Design
from trialsim.engines import vector
from trialsim.world.cohort import Cohort
from trialsim.world.histories import FollowUp, Histories
from trialsim.world.observation import ByName, ObservedData
from trialsim.world.outcomes import Outcomes
from trialsim.world.plans import Plan
from trialsim.world.world import World


def can_be_cut(design: Design) -> bool:
    """Whether the first n participants fare as they would in a trial of n."""
    return not any(isinstance(arm.delivery, Group) for arm in design.arms.values())


def cut_data(data: ObservedData, n: int) -> ObservedData:
    """What would have been recorded of the first n participants."""
    parts: dict[str, Any] = {}
    for name, given in vars(data).items():
        if isinstance(given, Mapping):
            parts[name] = ByName({key: partial(_named, given, key, n) for key in given})
        else:
            parts[name] = None if given is None else np.ascontiguousarray(given[:, :n])
    return ObservedData(**parts)


def _named(arrays: Mapping[str, NDArray[Any]], name: str, n: int) -> NDArray[Any]:
    return np.ascontiguousarray(arrays[name][:, :n])


def cut_block(block: Block, world: World) -> Block:
    """The block of a trial that differs in its sample size alone, which is smaller; what measures look at is in it.

    Courses, assignment and the days of sessions stay those of the larger trial: nothing that is counted needs them.
    """
    n = world.design.sample_size
    cohort = _cohort(block.plan.cohort, n)
    plan = Plan(
        world, cohort, block.plan.assignment, block.plan.courses,
        _rows(block.plan.exit_after, n), _rows(block.plan.exit_kind, n),
    )  # fmt: skip
    histories = _histories(block.histories, plan, n)
    follow = FollowUp(**{name: _rows(values, n) for name, values in vars(block.follow).items()})
    return Block(world, block.draws, plan, histories, _outcomes(block.outcomes, n), follow, block.engine, None)


def _rows(values: NDArray[Any], n: int) -> NDArray[Any]:
    """The first n rows of arrays (..., N, R)."""
    return np.ascontiguousarray(values[..., :n, :])


def _cohort(cohort: Cohort, n: int) -> Cohort:
    names = ("person", "valid", "randomized_day", "site", "stratum", "stable", "baseline", "motivation")
    cut: dict[str, Any] = {name: _rows(getattr(cohort, name), n) for name in names}
    cut["covariates"] = {name: _rows(values, n) for name, values in cohort.covariates.items()}
    cut["cluster"] = None if cohort.cluster is None else _rows(cohort.cluster, n)
    return replace(cohort, **cut)


def _histories(histories: Histories, plan: Plan, n: int) -> Histories:
    """Enrolment closes with participant n, if there are so many."""
    names = (
        "site", "randomized_day", "arm", "coach", "group", "asked_day", "offered_day", "released_day", "n_sessions",
        "status", "ended_day", "exit_day", "exit_kind",
    )  # fmt: skip
    cut: dict[str, Any] = {name: _rows(getattr(histories, name), n) for name in names}
    enrolled = plan.cohort.valid.sum(axis=0, dtype=np.int32)
    closing = np.where(enrolled == n, cut["randomized_day"][-1], plan.world.last_day).astype(np.int32)
    later = ("number", "n_calls", "call_day", "scheduled_day", "attended_day")
    cut |= {name: partial(_later, histories, name, n) for name in later}
    cut["funnel"] = partial(vector.funnel, plan, enrolled, closing)
    return Histories(n_participants=enrolled, closing_day=closing, **cut)


def _later(histories: Histories, name: str, n: int) -> NDArray[Any]:
    return _rows(getattr(histories, name), n)


def _outcomes(outcomes: Outcomes, n: int) -> Outcomes:
    cut: dict[str, Any] = {
        name: None if values is None else _rows(values, n)
        for name, values in vars(outcomes).items()
        if name != "event_day"
    }
    return Outcomes(**cut, event_day={k: _rows(days, n) for k, days in outcomes.event_day.items()})
