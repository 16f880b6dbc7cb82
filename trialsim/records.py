"""Simulated trials as Arrow tables, with the schemas of `tables.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trialsim.block import Block
from trialsim.tables import SCHEMA_VERSION, SCHEMAS, Column, Schema
from trialsim.world import formulas
from trialsim.world.histories import NONE, Kind, Missing, Status
from trialsim.world.observation import is_known, known_event
from trialsim.world.outcomes import is_responder
from trialsim.world.plans import DIED, WITHDREW
from trialsim.world.world import World

Array = NDArray[Any]
Ints = NDArray[np.int32]
Values = Any  # an array, (codes, names), or an Arrow array
Columns = dict[str, Values]

_TYPES = {"int8": pa.int8(), "int16": pa.int16(), "int32": pa.int32(), "float64": pa.float64(), "bool": pa.bool_()}


def table(block: Block, name: str, *, columns: Sequence[int] | None = None) -> pa.Table:
    """A table of some (default all) of a block's replicates. Raises KeyError for a name that is not simulated."""
    if name not in _MAKERS:
        raise KeyError(f"there is no table '{name}'. Tables: {', '.join(_MAKERS)}.")
    chosen = list(range(block.n_replicates)) if columns is None else list(columns)
    return to_arrow(SCHEMAS[name], _MAKERS[name](block, np.array(chosen, dtype=np.intp)))


def to_arrow(schema: Schema, columns: Columns) -> pa.Table:
    """Arrow table with the schema's types; -1 in a whole-number column that may be null becomes null.

    A column that the schema does not name is a float64, described by the schema's `others`.
    """
    known = {column.name: column for column in schema.columns}
    extra = {name: Column(name, "float64", schema.others) for name in columns}
    used = [known.get(name) or extra[name] for name in columns]
    arrays = [_array(column, columns[column.name]) for column in used]
    fields = [
        pa.field(column.name, array.type, metadata={"meaning": column.meaning, "unit": column.unit})
        for column, array in zip(used, arrays, strict=True)
    ]
    metadata = {"table": schema.name, "key": " ".join(schema.key), "schema_version": SCHEMA_VERSION}
    return pa.table(arrays, schema=pa.schema(fields, metadata=metadata))


def _array(column: Column, values: Values) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, tuple):
        codes, names = values
        index = codes.astype(np.int32, copy=False)  # one type, however many names: files of many designs go together
        known = pa.array(list(names), type=pa.string())
        # safe=False: codes are places in `names` by construction, and looking at each again takes as long as all else.
        return pa.DictionaryArray.from_arrays(arrow(index, index == NONE), known, safe=False)
    if column.type == "bool" and values.dtype == np.float64:
        return arrow(values > 0, np.isnan(values))
    values = np.asarray(values, dtype=_TYPES[column.type].to_pandas_dtype())
    if column.type == "float64":
        return arrow(values, np.isnan(values))
    return arrow(values, values == NONE if column.type != "bool" and "null" in column.meaning else None)


def arrow(values: Array, nothing: NDArray[np.bool_] | None = None) -> pa.Array:
    """Arrow array with nulls where `nothing`. Arrow's own way goes bit by bit, and takes thirty times as long."""
    kind = pa.from_numpy_dtype(values.dtype)
    data = np.packbits(values, bitorder="little") if kind == pa.bool_() else np.ascontiguousarray(values)
    valid = None if nothing is None or not nothing.any() else pa.py_buffer(np.packbits(~nothing, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(data)])


def coded(names: Sequence[str | None], *, repeat: int = 1) -> tuple[NDArray[np.int32], list[str]]:
    """Names as codes (-1 for None) and the list of names in order of appearance."""
    known = list(dict.fromkeys(name for name in names if name is not None))
    place: dict[str | None, int] = {name: code for code, name in enumerate(known)}
    codes = np.array([place.get(name, -1) for name in names], dtype=np.int32)
    return np.tile(codes, repeat), known


class _Flat:
    """Participants of some replicates as rows: replicate after replicate, in order of randomization."""

    def __init__(self, block: Block, columns: NDArray[np.intp]) -> None:
        self.block = block
        everyone = np.array_equal(columns, np.arange(block.n_replicates))
        self.columns: slice | NDArray[np.intp] = slice(None) if everyone else columns
        self.valid = block.plan.cohort.valid.T[self.columns]
        self.full = bool(self.valid.all())
        n, places = self.valid.sum(axis=1), np.arange(self.valid.shape[1], dtype=np.int32)
        self.replicate = np.repeat((block.first + columns).astype(np.int32), n)
        self.participant = np.tile(places, len(n)) if self.full else places[np.nonzero(self.valid)[1]]

    def take(self, values: Array) -> Array:
        """(..., N, R) -> (..., rows)."""
        chosen = values.swapaxes(-1, -2)[..., self.columns, :]
        return chosen.reshape(*chosen.shape[:-2], len(self)) if self.full else chosen[..., self.valid]

    def __len__(self) -> int:
        return len(self.replicate)


# --- one function per table -------------------------------------------------------------------------------------------


def _participants(block: Block, columns: NDArray[np.intp]) -> Columns:
    flat, h, world = _Flat(block, columns), block.histories, block.world
    persons = block.plan.cohort.persons
    row = flat.take(block.plan.cohort.person)
    replicate = flat.replicate - block.first
    first = h.attended_day.view(np.uint32).min(axis=0).view(np.int32)  # without a sign, NONE is later than every day
    ended, status = flat.take(h.ended_day), flat.take(h.status)
    exit_day, exit_kind = flat.take(h.exit_day), flat.take(h.exit_kind)
    before_last = persons.step_day[-2][row, replicate]
    frame: Columns = {
        "replicate": flat.replicate,
        "participant": flat.participant,
        "site": (flat.take(h.site), world.sites),
        "cluster": (_cluster(flat), world.cluster_names),
        "screening_number": flat.take(h.number),
        "stratum": flat.take(block.plan.cohort.stratum),
        "consent_day": before_last,
        "randomized_day": flat.take(h.randomized_day),
        "arm": (flat.take(h.arm), world.arms),
        "coach": flat.take(h.coach),
        "group": flat.take(h.group),
        "asked_day": flat.take(h.asked_day),
        "offered_day": flat.take(h.offered_day),
        "first_session_day": flat.take(first),
        "n_sessions": flat.take(h.n_sessions),
        "n_calls": flat.take(h.n_calls).astype(np.int16),
        "treatment": (status, [s.name.lower().replace("_", " ") for s in Status]),
        "discontinued_day": np.where(status == Status.DISCONTINUED, ended, NONE),
        "withdrawn_day": np.where(exit_kind == WITHDREW, exit_day, NONE),
        "died_day": np.where(exit_kind == DIED, exit_day, NONE),
    }
    for name, values in block.plan.cohort.covariates.items():
        frame[name] = flat.take(values)
    for k, (name, outcome) in enumerate(world.design.outcomes.items()):
        steps = flat.take(block.plan.cohort.baseline[k])
        frame[f"baseline_{name}"] = formulas.from_grid(steps, outcome.low, outcome.items)
    for k, name in enumerate(world.outcomes):
        if k in block.outcomes.event_day:
            day = block.outcomes.realised_event_day(k, h)
            time, happened = known_event(world.design.outcomes[name], day, h, block.follow)
            frame |= {f"time_{name}": flat.take(time), f"event_{name}": flat.take(happened)}
    return frame


def _cluster(flat: _Flat) -> Array:
    cluster = flat.block.plan.cohort.cluster
    return np.full(len(flat), NONE, dtype=np.int16) if cluster is None else flat.take(cluster)


def _clusters(block: Block, columns: NDArray[np.intp]) -> Columns:
    world, cohort, clusters = block.world, block.plan.cohort, block.plan.cohort.clusters
    n, times = len(world.cluster_names), len(columns)
    if clusters is None or cohort.cluster is None:
        return {c.name: ((np.empty(0), []) if c.type == "name" else np.empty(0)) for c in SCHEMAS["clusters"].columns}
    arm = np.full((n, block.n_replicates), NONE, dtype=np.int8) if clusters.arm is None else clusters.arm
    cell = np.where(cohort.valid, cohort.cluster * np.intp(block.n_replicates) + np.arange(block.n_replicates), -1)
    members = np.bincount(cell.ravel() + 1, minlength=n * block.n_replicates + 1)[1:].reshape(n, -1)
    return {
        "replicate": np.repeat((block.first + columns).astype(np.int32), n),
        "cluster": (np.tile(np.arange(n), times), world.cluster_names),
        "site": (np.tile(clusters.site, times), world.sites),
        "arm": (arm[:, columns].T.ravel(), world.arms),
        "expected_share": clusters.weight[:, columns].T.ravel(),
        "opens_day": clusters.opens[:, columns].T.ravel(),
        "n_participants": members[:, columns].T.ravel(),
    }


def _sessions(block: Block, columns: NDArray[np.intp]) -> Columns:
    flat, h, world = _Flat(block, columns), block.histories, block.world
    scheduled, attended = _by_person(flat.take(h.scheduled_day)), _by_person(flat.take(h.attended_day))
    due = np.flatnonzero(scheduled != NONE)
    row, session = np.divmod(due, world.max_sessions)
    arm = flat.take(h.arm)[row]
    modules = [getattr(a.delivery, "modules", ()) for a in world.design.arms.values()]
    names = list(dict.fromkeys(module for arm_modules in modules for module in arm_modules))
    code = np.full((len(modules), world.max_sessions), NONE, dtype=np.int32)
    for a, arm_modules in enumerate(modules):
        code[a, : len(arm_modules)] = [names.index(module) for module in arm_modules]
    return {
        "replicate": flat.replicate[row],
        "participant": flat.participant[row],
        "session": session.astype(np.int8),
        "arm": (arm, world.arms),
        "module": (code.ravel()[arm.astype(np.intp) * world.max_sessions + session], names),
        "coach": _leaders(flat, arm, row, session),
        "group": flat.take(h.group)[row],
        "scheduled_day": scheduled[due],
        "attended_day": attended[due],
    }


def _leaders(flat: _Flat, arm: Array, row: Array, session: Array) -> Array:
    """Who leads sessions, given as rows of participants (of these arms) and numbers: the own coach, or another."""
    block = flat.block
    coach = flat.take(block.histories.coach)[row]
    for a, course in enumerate(block.plan.courses):
        if course is None or course.led_by is None:
            continue
        mine = np.flatnonzero((arm == a) & (coach != NONE))
        after = flat.take(np.broadcast_to(course.led_by, course.day.shape))[session[mine], row[mine]]
        coach[mine] = course.leader(coach[mine], after)
    return coach


def _components(block: Block, columns: NDArray[np.intp]) -> Columns:
    flat, world = _Flat(block, columns), block.world
    arm, group = flat.take(block.histories.arm), flat.take(block.histories.group)
    names = world.components
    parts = [np.empty((4, 0), dtype=np.int32)]
    for a in range(len(world.arms)):
        mine = np.flatnonzero((arm == a) & (group != NONE))
        course = block.plan.courses[a]
        for name, part in ({} if course is None else course.components).items():
            code, planned = (np.full(len(mine), n) for n in (names.index(name), len(part.sessions)))
            attended = flat.take(part.attended_in(block.histories))[mine]
            parts.append(np.stack([mine, code, planned, attended]).astype(np.int32))
    rows = np.concatenate(parts, axis=1)
    row, code, planned, attended = rows[:, np.lexsort(rows[1::-1])]
    return {
        "replicate": flat.replicate[row],
        "participant": flat.participant[row],
        "component": (code, names),
        "arm": (arm[row], world.arms),
        "planned": planned,
        "attended": attended,
    }


def _observations(block: Block, columns: NDArray[np.intp]) -> Columns:
    flat, f, world = _Flat(block, columns), block.follow, block.world
    n_visits, n_outcomes = len(world.visits), len(world.outcomes)
    per_person = n_visits * n_outcomes

    def by_visit(values: Array) -> Array:
        return np.repeat(_by_person(flat.take(values)), n_outcomes)

    missing, day = _known(flat)
    value, responder = _values(flat, block.outcomes.realised[:, None])
    nothing = missing != Missing.ANSWERED
    return {
        "replicate": np.repeat(flat.replicate, per_person),
        "participant": np.repeat(flat.participant, per_person),
        "visit": (_cycle(n_visits, each=n_outcomes, times=len(flat)), world.visits),
        "outcome": (_cycle(n_outcomes, times=len(flat) * n_visits), world.outcomes),
        "arm": (np.repeat(flat.take(block.histories.arm), per_person), world.arms),
        "due_day": by_visit(f.due_day),
        "observed_day": day,
        "reason_missing": (missing - np.int8(1), ["no answer", "withdrew", "died"]),
        "n_reminders": by_visit(f.n_reminders),
        "value": arrow(value, nothing),
        "responder": arrow(responder, nothing),
    }


def _known(flat: _Flat) -> tuple[Array, Array]:
    """Why a value is missing (`Missing`) and the day of the answer or of the record; by participant, visit, outcome."""
    f, h, outcomes = flat.block.follow, flat.block.histories, flat.block.world.design.outcomes
    if all(outcome.source == "questionnaire" for outcome in outcomes.values()):
        missing, day = (np.repeat(_by_person(flat.take(one)), len(outcomes)) for one in (f.missing, f.observed_day))
        return missing, day
    missing, day = (np.stack([one] * len(outcomes), axis=1) for one in (f.missing, f.observed_day))
    for k, outcome in enumerate(outcomes.values()):
        if outcome.source == "record":
            known = is_known(outcome, h, f)
            left = np.where(h.exit_kind == DIED, np.int8(Missing.DIED), np.int8(Missing.WITHDREW))
            missing[:, k] = np.where(known, np.int8(Missing.ANSWERED), left)
            day[:, k] = np.where(known, f.due_day, NONE)
    return _by_person(flat.take(missing)), _by_person(flat.take(day))


def _by_person(values: Array) -> Array:
    """(..., rows) -> all values of the first row, of the second, and so on."""
    return np.ascontiguousarray(values.reshape(math.prod(values.shape[:-1]), -1).T).ravel()


def _values(flat: _Flat, steps: Array) -> tuple[Array, Array]:
    """Points and response of (K, A, V, N, R) grid steps, in order participant, arm, visit, outcome."""
    world, baseline = flat.block.world, flat.block.plan.cohort.baseline
    outcomes = list(world.design.outcomes.values())
    taken = flat.take(steps)  # (K, A, V, rows)
    both = np.empty((*taken.shape[1:3], len(outcomes), len(flat)), dtype=np.uint16)
    for k, outcome in enumerate(outcomes):
        # Steps and response in one number, so that only numbers of two bytes are turned round.
        np.left_shift(taken[k].view(np.uint16), 1, out=both[:, :, k])
        both[:, :, k] |= is_responder(outcome, flat.take(baseline[k]), taken[k])
    in_order = _by_person(both)
    # Divided row by row of a participant: a long inner loop is much quicker than one over outcomes.
    repeats = taken.shape[1] * taken.shape[2]
    points = (in_order >> 1).astype(float).reshape(len(flat), repeats * len(outcomes))
    points /= np.tile([float(o.items) for o in outcomes], repeats)
    if any(o.low for o in outcomes):
        points += np.tile([o.low for o in outcomes], repeats)
    return points.ravel(), (in_order & 1).astype(bool)


def _cycle(n: int, *, each: int = 1, times: int = 1) -> Array:
    """Codes 0 ... n - 1, each repeated, then all of them repeated."""
    return np.tile(np.repeat(np.arange(n, dtype=np.int8), each), times)


def _truth(block: Block, columns: NDArray[np.intp]) -> Columns:
    flat, world = _Flat(block, columns), block.world
    n_arms, n_visits, n_outcomes = len(world.arms), len(world.visits), len(world.outcomes)
    per_person = n_arms * n_visits * n_outcomes
    value, responder = _values(flat, block.outcomes.potential)
    level = _by_person(flat.take(block.plan.cohort.stable)).reshape(-1, n_outcomes)
    return {
        "replicate": np.repeat(flat.replicate, per_person),
        "participant": np.repeat(flat.participant, per_person),
        "arm": (_cycle(n_arms, each=n_visits * n_outcomes, times=len(flat)), world.arms),
        "visit": (_cycle(n_visits, each=n_outcomes, times=len(flat) * n_arms), world.visits),
        "outcome": (_cycle(n_outcomes, times=len(flat) * n_arms * n_visits), world.outcomes),
        "value": value,
        "responder": responder,
        "sessions": np.repeat(_by_person(flat.take(block.outcomes.sessions)), n_outcomes),
        "motivation": np.repeat(flat.take(block.plan.cohort.motivation), per_person),
        "latent_level": np.repeat(level, n_arms * n_visits, axis=0).ravel(),
    }


FunnelRows = list[tuple[str, str, Array]]


def funnel_counts(block: Block) -> FunnelRows:
    """Funnel of all sites together: (step, reason, people (R,)); reason 'passed', a loss, or 'in process'.

    The engine has counted the persons; those lost in leading steps, who never were persons, are added.
    """
    persons = iter(block.histories.funnel.astype(np.int64))
    early, n_lead = block.fruitless, block.world.n_lead
    contacted = next(persons) + sum(site.contacted for site in early)
    decided = []
    for index, reasons in enumerate(block.world.reasons):
        passed, *lost = islice(persons, 1 + len(reasons))
        if index < n_lead:
            passed = passed + sum(site.passed[index] for site in early)
            lost = [sum(site.lost[index][place] for site in early) for place in range(len(reasons))]
        decided.append((passed, lost))
    return _funnel_rows(block, contacted, decided)


def site_funnel(block: Block, site: int) -> FunnelRows:
    """Funnel of one site: contacted; then for each step passed, lost by reason, in process at closing; (R,) each."""
    world, persons, cohort = block.world, block.plan.cohort.persons, block.plan.cohort
    rows = slice(*np.searchsorted(persons.site, [site, site + 1]))
    by_closing = persons.step_day[:, rows] <= block.histories.closing_day
    lost_step, lost_reason = persons.lost_step[rows], persons.lost_reason[rows]
    early = block.fruitless[site]
    decided: list[tuple[Array, list[Array]]] = []
    for index, reasons in enumerate(world.reasons):
        passed: Array = formulas.count(by_closing[index + 1] & (lost_step > index))
        if index == len(world.steps) - 1:
            passed = formulas.count((cohort.site == site) & cohort.valid)
        if index < world.n_lead:
            decided.append((passed + early.passed[index], list(early.lost[index])))
        else:
            gone = by_closing[index + 1] & (lost_step == index)
            decided.append((passed, [formulas.count(gone & (lost_reason == place)) for place in range(len(reasons))]))
    return _funnel_rows(block, formulas.count(by_closing[0]) + early.contacted, decided)


def _funnel_rows(block: Block, contacted: Array, decided: list[tuple[Array, list[Array]]]) -> FunnelRows:
    """Rows from the contacted and, for each step, those who passed and those lost by reason."""
    rows, before = [("contacted", "passed", contacted)], contacted
    for step, reasons, (passed, lost) in zip(block.world.steps, block.world.reasons, decided, strict=True):
        rows.append((step, "passed", passed))
        rows += [(step, reason, n) for reason, n in zip(reasons, lost, strict=True)]
        rows.append((step, "in process", before - passed - sum(lost)))
        before = passed
    return rows


def _funnel(block: Block, columns: NDArray[np.intp]) -> Columns:
    rows = [(site, *row) for site in range(len(block.world.sites)) for row in site_funnel(block, site)]
    n = np.stack([count[columns] for *_, count in rows], axis=1)
    times = len(columns)
    step, steps = coded([step for _, step, _, _ in rows])
    reason, reasons = coded([reason for _, _, reason, _ in rows])
    return {
        "replicate": np.repeat((block.first + columns).astype(np.int32), len(rows)),
        "site": (np.tile(np.array([site for site, *_ in rows]), times), block.world.sites),
        "step": (np.tile(step, times), steps),
        "reason": (np.tile(reason, times), reasons),
        "n": n.ravel().astype(np.int32),
    }


def _events(block: Block, columns: NDArray[np.intp]) -> Columns:
    rows, counts = block.event_lists(columns)
    day, kind, site, person, participant, arm, detail = rows.T
    return {
        "replicate": np.repeat((block.first + columns).astype(np.int32), counts),
        "sequence": np.concatenate([np.arange(n, dtype=np.int32) for n in counts]),
        "day": day,
        "kind": (kind, [k.name.lower().replace("_", " ") for k in Kind]),
        "site": (site, block.world.sites),
        "screening_number": person,
        "participant": participant,
        "arm": (arm, block.world.arms),
        "detail": _details(block, kind, arm, detail),
    }


def _details(block: Block, kind: Array, arm: Array, detail: Array) -> tuple[Array, Sequence[str]]:
    """What `detail` means, as text: looked up once for each combination that occurs."""
    shape = (len(Kind), len(block.world.arms) + 1, int(detail.max(initial=0)) + 1)
    key = (kind * np.int32(shape[1]) + arm + np.int32(1)) * np.int32(shape[2]) + detail
    marks = np.zeros(math.prod(shape), dtype=bool)
    marks[key] = True
    occurs = np.flatnonzero(marks)
    combinations = zip(*np.unravel_index(occurs, shape), strict=True)
    codes, names = coded([_detail(block, Kind(k), int(a) - 1, int(d)) for k, a, d in combinations])
    code_of = np.full(len(marks), NONE, dtype=np.int32)
    code_of[occurs] = codes
    return code_of[key], names


def _detail(block: Block, kind: Kind, arm: int, detail: int) -> str | None:
    world = block.world
    if kind == Kind.LOST:
        step, reason = divmod(detail, 1000)
        return f"{world.steps[step]}: {world.reasons[step][reason]}"
    if kind == Kind.PASSED:
        return world.steps[detail]
    if kind in (Kind.SESSION, Kind.MISSED_APPOINTMENT):
        return str(getattr(world.design.arms[world.arms[arm]].delivery, "modules")[detail])  # noqa: B009
    if kind in (Kind.WINDOW_OPENED, Kind.ANSWERED, Kind.REMINDED, Kind.WINDOW_CLOSED):
        return world.visits[detail]
    if kind == Kind.COACH_ASSIGNED:
        return f"coach {detail}"
    if kind == Kind.GROUP_FORMED:
        return f"group {detail}"
    return f"after {detail} sessions" if kind == Kind.DISCONTINUED else None


def _resources(block: Block, columns: NDArray[np.intp]) -> Columns:
    world = block.world
    staff = {arm: len(world.design.coaches(name)) for arm, name in enumerate(world.arms) if world.waits(arm)}
    parts = [_one_resource(block, int(column), arm, n) for column in columns for arm, n in staff.items()]
    replicate, arm, coach, day, in_use, waiting = np.concatenate([np.empty((6, 0), dtype=np.int32), *parts], axis=1)
    return {
        "replicate": replicate,
        "arm": (arm, world.arms),
        "coach": coach,
        "day": day,
        "in_use": in_use,
        "waiting": waiting,
    }


def _one_resource(block: Block, column: int, arm: int, n_coaches: int) -> Ints:
    """Daily number of people waiting, then of places in use with each coach, from the first asking to the last release.

    One arm of one replicate; shape (6, rows), columns as in the table.
    """
    h = block.histories
    who = np.flatnonzero((h.arm[:, column] == arm) & (h.asked_day[:, column] != NONE))
    days = (h.asked_day, h.offered_day, h.released_day, h.ended_day)
    asked, offered, released, ended = (values[who, column] for values in days)
    coach, served = h.coach[who, column], offered != NONE
    if not len(who):
        return np.empty((6, 0), dtype=np.int32)
    first, last = int(asked.min()), int(max(released.max(), ended.max()))
    entered = np.concatenate([asked, offered[served]])
    left = np.concatenate([np.where(served, offered, ended), released[served] + 1])
    place = np.concatenate([np.zeros(len(who), dtype=np.intp), coach[served] + 1])  # 0: on the list
    present = _census(place, entered - first, left - first, (n_coaches + 1, last - first + 1))
    rows = np.full((6, *present.shape), NONE, dtype=np.int32)
    rows[0], rows[1] = block.first + column, arm
    rows[2], rows[3] = np.arange(-1, n_coaches)[:, None], np.arange(first, last + 1)
    rows[4, 1:], rows[5, 0] = present[1:], present[0]
    return rows.reshape(6, -1)


def _census(place: Array, entered: Array, left: Array, shape: tuple[int, int]) -> Array:
    """Number in each place at the end of each day, (places, days): entered on or before, not yet left."""
    n_places, size = shape[0], shape[1] + 2
    came = np.bincount(place * size + entered, minlength=n_places * size)
    went = np.bincount(place * size + left, minlength=n_places * size)
    return (came - went).reshape(n_places, size).cumsum(axis=1)[:, : shape[1]]


_MAKERS: dict[str, Callable[[Block, NDArray[np.intp]], Columns]] = {
    "funnel": _funnel,
    "participants": _participants,
    "clusters": _clusters,
    "sessions": _sessions,
    "components": _components,
    "observations": _observations,
    "events": _events,
    "resources": _resources,
    "truth": _truth,
}

TABLES = tuple(_MAKERS)
"""Names of the tables of a simulated trial."""


def tables_of(world: World) -> list[str]:
    """Names of the tables that a design's trials have something for."""
    has = {"clusters": bool(world.cluster_names), "components": bool(world.components)}
    return [name for name in TABLES if has.get(name, True)]
