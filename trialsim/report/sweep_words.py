"""A sweep's plan, progress, state and end, in words."""

from __future__ import annotations

import math
from dataclasses import asdict
from shlex import quote
from typing import Any

from trialsim.report.layout import table
from trialsim.sweeps.drive import Ending, News
from trialsim.sweeps.forecast import Forecast
from trialsim.sweeps.status import Status
from trialsim.sweeps.store import Plan
from trialsim.sweeps.sweep import Sweep, written

MOST_SHOWN = 40
"""Design points that --dry-run prints before it cuts the list."""


def duration(seconds: float) -> str:
    """'less than 1 s', '40 s', '12 min', '3.4 h', '2.1 days'."""
    if math.isnan(seconds):
        return "unknown time"
    if seconds < 1:
        return "less than 1 s"
    for limit, unit, size in ((90, "s", 1), (90 * 60, "min", 60), (48 * 3600, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.{1 if unit == 'h' else 0}f} {unit}"
    return f"{seconds / 86400:.1f} days"


def amount(n_bytes: float) -> str:
    """'12 kB', '3.4 MB', '1.2 GB'."""
    for limit, unit, size in ((1e6, "kB", 1e3), (1e9, "MB", 1e6), (1e12, "GB", 1e9)):
        if n_bytes < limit:
            return f"{n_bytes / size:.{0 if unit == 'kB' else 1}f} {unit}"
    return f"{n_bytes / 1e12:.1f} TB"


def plan_words(plan: Plan) -> str:
    """How many replicates are wanted of a point."""
    if plan.target_mcse is None:
        return f"{plan.replicates:,} replicates of each"
    return (
        f"replicates of each until every power has a Monte Carlo error of {plan.target_mcse:g} "
        f"(at most {plan.replicates:,})"
    )


def dry_run_text(sweep: Sweep, found: Forecast, *, workers: int) -> str:
    """The design points, and what running them would cost."""
    paths = list(dict.fromkeys(path for point in sweep.points for path in point.values))
    shown = sweep.points[:MOST_SHOWN]
    rows = [[str(p.number), *(_cell(p.values.get(path)) for path in paths), p.digest] for p in shown]
    n = len(sweep.points)
    lines = [
        f"{sweep.name}: {n:,} design points, {plan_words(Plan(sweep.replicates, sweep.target_mcse))}.",
        _luck(sweep),
        "",
        table(["point", *paths, "design"], rows, "r" + "l" * (len(paths) + 1)),
    ]
    if n > len(shown):
        lines.append(f"... and {n - len(shown):,} more")
    most = "at most " if sweep.target_mcse is not None else ""
    tried = ", ".join(str(number) for number in found.tried)
    several = f" ({duration(found.seconds / workers)} on {workers})" if workers > 1 else ""
    return "\n".join(
        [
            *lines,
            "",
            f"Expected: {most}{found.replicates:,} replicates, {duration(found.seconds)} on one free core{several},"
            f" {amount(found.n_bytes)} in {found.n_files:,} files.",
            f"Measured just now on a few replicates of design points {tried}; other work on the machine adds to it.",
            "Nothing was run or written.",
        ]
    )


def _luck(sweep: Sweep) -> str:
    kept = f" Participant-level tables are kept: {', '.join(sweep.tables)}." if sweep.tables else ""
    if sweep.common_random_numbers:
        return (
            f"Seed {sweep.seed} for every point: they share their luck, so differences between them are sharper.{kept}"
        )
    return f"Every point has a seed of its own, made from seed {sweep.seed} and its design.{kept}"


def _cell(value: Any) -> str:
    return "" if value is None else written(value)


def news_line(news: News) -> str:
    """One line of progress."""
    error = (
        "" if math.isnan(news.largest_mcse) else f", largest MCSE {news.largest_mcse:.4f} (point {news.worst_point})"
    )
    failed = f", {news.n_failed} failed" if news.n_failed else ""
    return (
        f"{news.points_done:,} of {news.n_points:,} design points, {news.done:,} of {news.wanted:,} replicates, "
        f"{news.per_second:,.0f} per second, {duration(news.seconds_left)} left{error}{failed}"
    )


def ending_text(status: Status, ending: Ending, *, seconds: float) -> str:
    """What was done, what is not right, and what to do next."""
    rate = f", {ending.n_new / seconds:,.0f} per second" if ending.n_new and seconds > 0 else ""
    lines = [
        f"{status.name}: {status.n_points:,} design points, {status.done:,} replicates "
        f"({ending.n_new:,} new in {duration(seconds)}{rate}), {amount(status.n_bytes)} in {status.n_files:,} files.",
        *_least_certain(status),
        *_troubles(status),
        f"Results: {status.folder}",
    ]
    if status.plan.shard:
        return "\n".join([*lines, f"This is shard {_shard(status.plan)}. Put all together with: trialsim merge"])
    return "\n".join([*lines, f"Read them with: trialsim summarise {quote(str(status.folder))}"])


def status_text(status: Status) -> str:
    """The state of a sweep's folder."""
    share = f" (shard {_shard(status.plan)})" if status.plan.shard else ""
    complete = status.done >= status.wanted
    state = "running" if status.running else "complete" if complete else "not running"
    lines = [
        f"{status.name}{share}: {state}. {status.n_points:,} design points, {plan_words(status.plan)}.",
        f"{status.points_done:,} design points and {status.done:,} of {status.wanted:,} replicates are done "
        f"({100 * status.done / max(1, status.wanted):.1f} %); {amount(status.n_bytes)} in {status.n_files:,} files.",
        *_least_certain(status),
        *_troubles(status),
    ]
    if not complete and not status.running:
        lines.append(f"Go on with: trialsim resume {quote(str(status.folder))}")
    return "\n".join(lines)


def status_json(status: Status) -> dict[str, Any]:
    """The same for programs; nothing known is null."""
    found = asdict(status) | {"plan": status.plan.as_json()}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in found.items()}


def _shard(plan: Plan) -> str:
    assert plan.shard is not None
    return f"{plan.shard[0]} of {plan.shard[1]}"


def _least_certain(status: Status) -> list[str]:
    if math.isnan(status.largest_mcse):
        return []
    return [f"Largest Monte Carlo error of a power: {status.largest_mcse:.4f} (design point {status.worst_point})."]


def _troubles(status: Status) -> list[str]:
    lines = []
    if status.n_failed:
        lines.append(f"{status.n_failed:,} replicates FAILED: see `stage` and `error` in the table replicates.")
    lines += [
        f"SET ASIDE: design point {row['design_point']}, replicates {row['first']} to {row['stop'] - 1}: "
        f"{row['reason']}"
        for row in status.set_aside
    ]
    return lines
