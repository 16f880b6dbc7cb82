"""Checks of allocation, clusters, groups and protocol changes against the rest of a design."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from trialsim.design.naming import Path, Problem, complete, named, unknown

if TYPE_CHECKING:
    from trialsim.design.parts import Design

MOST_STRATA = 32_000  # stratum codes have 16 bits
MOST_TEAMS = 32_000  # numbers of teams have 16 bits
MOST_PARTS = 60  # of a ratio, where each is treated like an arm
SEQUENTIAL = ("minimization", "biased_coin", "urn")
"""Kinds whose next arm depends on those given before."""


def allocation(design: Design) -> Iterator[Problem]:
    """Problems of how participants come to arms."""
    plan = design.allocation
    yield from complete(("allocation", "ratio"), plan.ratio, design.arms, "arm")
    if plan.kind == "blocks":
        yield from _blocks(("allocation",), plan.ratio, plan.block_sizes)
    if plan.kind in SEQUENTIAL and sum(plan.ratio.values()) > MOST_PARTS:
        rule = f"the ratio has {sum(plan.ratio.values())} parts; {plan.kind} takes at most {MOST_PARTS}"
        yield ("allocation", "ratio"), rule, "Use a rounder ratio, or kind: blocks."
    if plan.kind == "minimization":
        if not plan.strata:
            yield ("allocation", "strata"), "minimization needs factors to balance", "For example [site]."
        if plan.weights and len(plan.weights) != len(plan.strata):
            yield ("allocation", "weights"), f"{len(plan.weights)} weights for {len(plan.strata)} factors", ""
    yield from _strata(design)
    yield from _cohorts(design, plan)
    yield from _clusters(design, plan)
    yield from _changes(design, plan)


def _blocks(path: Path, ratio: dict[str, int], sizes: tuple[int, ...]) -> Iterator[Problem]:
    total = sum(ratio.values())
    if not sizes:
        yield (*path, "block_sizes"), "permuted blocks need block_sizes", f"For example [{total}, {2 * total}]."
    for index, size in enumerate(sizes):
        if size % total:
            hint = f"Use multiples of {total}, the sum of the ratio's parts."
            yield (*path, "block_sizes", index), f"block size {size} does not fit the ratio", hint


def _strata(design: Design) -> Iterator[Problem]:
    binary = [name for name, covariate in design.covariates.items() if covariate.kind == "binary"]
    measured = [name for name, outcome in design.outcomes.items() if outcome.has_baseline]
    for index, factor in enumerate(design.allocation.strata):
        path: Path = ("allocation", "strata", index)
        if isinstance(factor, str):
            yield from named(path, factor, ["site", *binary], "site or yes/no covariate")
        else:
            yield from named((*path, "outcome"), factor.outcome, measured, "outcome with a baseline value")
    levels = [len(design.recruitment.sites) if factor == "site" else 2 for factor in design.allocation.strata]
    if math.prod(levels) * (1 + sum(change.ratio is not None for change in design.changes)) > MOST_STRATA:
        yield ("allocation", "strata"), f"{math.prod(levels)} strata are more than {MOST_STRATA}", "Use fewer factors."
    if len(set(map(repr, design.allocation.strata))) < len(design.allocation.strata):
        yield ("allocation", "strata"), "a stratification factor is named twice", ""


def _cohorts(design: Design, plan: Any) -> Iterator[Problem]:
    if plan.kind != "cohorts":
        return
    measured = [name for name, outcome in design.outcomes.items() if outcome.has_baseline]
    path: Path = ("allocation", "tendency")
    yield from unknown((*path, "covariates"), plan.tendency.covariates, design.covariates, "covariate")
    yield from unknown((*path, "baseline"), plan.tendency.baseline, measured, "outcome with a baseline value")


def _clusters(design: Design, plan: Any) -> Iterator[Problem]:
    clusters = design.clusters
    if plan.kind == "clusters" and clusters is None:
        yield ("allocation", "kind"), "there are no clusters to randomize", "Add `clusters: {per_site: ...}`."
    if clusters is None:
        for name, outcome in design.outcomes.items():
            if outcome.cluster_sd or outcome.cluster_change_sd:
                yield ("outcomes", name), "cluster_sd and cluster_change_sd need `clusters`", ""
        return
    if not isinstance(clusters.per_site, int):
        yield from complete(("clusters", "per_site"), clusters.per_site, design.recruitment.sites, "site")
    yield from unknown(("clusters", "selection"), clusters.selection, design.arms, "arm")
    if clusters.selection and plan.kind != "clusters":
        yield ("clusters", "selection"), "selection by arm needs clusters that are randomized", ""
    name, first = next(iter(design.outcomes.items()))
    if any(s.severity for s in clusters.selection.values()) and not first.sd + first.entry_sd:
        yield ("clusters", "selection"), f"severity is counted in SDs of '{name}', whose sd and entry_sd are 0", ""
    if plan.kind == "clusters":
        yield from _balance(design, plan)


def _balance(design: Design, plan: Any) -> Iterator[Problem]:
    path: Path = ("allocation", "balance")
    levels = [name for name, outcome in design.outcomes.items() if outcome.cluster_sd]
    sites = ["site"] if plan.method == "constrained" else []
    for index, factor in enumerate(plan.balance):
        yield from named((*path, index), factor, ["size", *sites, *levels], "size or outcome with a cluster_sd")
    if plan.method in ("matched", "constrained") and not plan.balance:
        yield path, f"clusters cannot be {plan.method} without factors", "For example [size]."
    if plan.method in ("simple", "stratified") and plan.balance:
        yield path, f"method {plan.method} has no factors", "Use method: constrained."


def _changes(design: Design, plan: Any) -> Iterator[Problem]:
    sizes = plan.block_sizes if plan.kind == "blocks" else ()
    for index, change in enumerate(design.changes):
        path: Path = ("changes", index)
        if change.ratio is not None:
            yield from complete((*path, "ratio"), change.ratio, design.arms, "arm")
            if plan.kind not in ("simple", "blocks"):
                yield (*path, "ratio"), f"the ratio cannot change with {plan.kind}", "Use kind: simple or blocks."
            if plan.kind == "blocks":
                sizes = change.block_sizes or sizes
                yield from _blocks(path, change.ratio, sizes)
        elif change.block_sizes:
            yield (*path, "block_sizes"), "new block sizes need a new ratio", ""
        yield from _reminders(design, path, change)
    for index, (a, b) in enumerate(pairwise(design.changes)):
        if design.day_of(b.starts) <= design.day_of(a.starts):
            yield ("changes", index + 1, "starts"), "changes must be in order of their days", ""


def _reminders(design: Design, path: Path, change: Any) -> Iterator[Problem]:
    yield from unknown((*path, "reminders"), change.reminders, design.visits, "visit")
    for name, days in change.reminders.items():
        visit = design.visits.get(name)
        if visit and any(not visit.opens <= day <= visit.closes for day in days):
            yield (*path, "reminders", name), "a reminder lies outside the visit's window", ""
        if any(b <= a for a, b in pairwise(days)):
            yield (*path, "reminders", name), "reminders must be in increasing order", ""


def groups(design: Design) -> Iterator[Problem]:
    """Problems of delivery in groups."""
    for name, arm in design.arms.items():
        if arm.delivery.kind != "group":
            if arm.dose == "components":
                yield ("arms", name, "dose"), "only delivery in groups has components", ""
            continue
        path: Path = ("arms", name, "delivery")
        yield from _group(path, arm.delivery)
        if arm.delivery.at_once * design.n_lists(name) > MOST_TEAMS:
            yield (*path, "by_site"), f"that makes more than {MOST_TEAMS:,} teams in all", "Use fewer facilitators."
        if arm.dose == "components" and not sum(part.weight for part in arm.delivery.components.values()):
            yield ("arms", name, "dose"), "no component has a weight", "Name components, or use dose: saturating."


def _group(path: Path, delivery: Any) -> Iterator[Problem]:
    if delivery.min_size > delivery.size:
        yield (*path, "min_size"), "min_size is above size", ""
    if delivery.at_once < 1:
        yield (*path, "facilitators"), "too few facilitators (or rooms) for one group", ""
    for component, part in delivery.components.items():
        at: Path = (*path, "components", component, "sessions")
        if any(session > len(delivery.modules) for session in part.sessions):
            yield at, f"there are only {len(delivery.modules)} sessions", ""
        if len(set(part.sessions)) < len(part.sessions):
            yield at, "a session is named twice", ""
