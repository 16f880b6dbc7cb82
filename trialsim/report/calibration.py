"""What `trialsim calibrate` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trialsim.experiments.calibration import (
    CORRELATED,
    PER_SE,
    WEAK,
    Calibration,
    Judged,
    Number,
)
from trialsim.experiments.targets import Finding
from trialsim.report.comparison import SECTIONS, finding_cells, miss_text, section_of
from trialsim.report.layout import bullet, heading, listed, number, paragraph, plural, signed, table

_EXPLAINED = (
    "±: standard error. A target's range is taken for a 95 % interval, so its tolerance is "
    f"{PER_SE:g} standard errors of the published value; published values are taken as independent. The Monte Carlo "
    "part is what the simulations' own error adds. At a limit the error means little."
)
_DISTANCES = (
    "Distances are in tolerances: the half width of the range on that side; from -1 to 1 is inside. "
    "Ratios are measured on the log scale. Fresh: other luck than what was fitted to."
)


def calibration_text(found: Calibration) -> str:
    """The free numbers, how well they are identified, every target, and how the search ended."""
    title = found.design.title or found.design.name
    parts = [heading(f"{title}: calibrated"), _numbers_table(found.numbers), paragraph(_EXPLAINED), *_warnings(found)]
    for section, words in SECTIONS:
        rows = [_target_cells(one) for one in found.targets if section_of(one.after.target) == section]
        if rows:
            head = ["target", "published", "range", "before", "after", "fresh", *_DISTANCE_HEADS, "fitted to"]
            parts += [heading(words, "-"), table(head, rows, "lrrrrrrrrl")]
    parts.append(paragraph(_DISTANCES))
    if found.left_out:
        n = plural(len(found.left_out), "more target")
        parts.append(paragraph(f"{n}: only shown by `trialsim compare`, or simulated with another scenario."))
    missed = [bullet(miss_text(one.fresh)) for one in found.targets if not one.fresh.inside]
    parts += ["Outside their range on fresh luck:", "\n".join(missed)] if missed else []
    parts += [paragraph(f"{_counts(found)} {_search(found)}")]
    return "\n\n".join(parts)


_DISTANCE_HEADS = ("distance before", "after", "fresh")


def _numbers_table(numbers: Sequence[Number]) -> str:
    head = ["free number", "start", "fitted", "±", "of it Monte Carlo", "range", "moves most"]
    return table(head, [_number_cells(one) for one in numbers], "lrrrrll")


def _number_cells(one: Number) -> list[str]:
    free = one.free
    digits = max(0, 3 - math.floor(math.log10(free.range)))
    notes = [f"at its {one.limit} limit"] if one.limit else []
    notes += ["weakly identified"] if one.weak else []
    span = f"{number(free.low)} to {number(free.high)}"
    return [
        free.name,
        number(one.start),
        free.text(one.value),
        f"{'≥ ' if one.weak else ''}{number(one.error, digits)}",
        number(one.monte_carlo_error, digits),
        f"{span} ({listed(notes)})" if notes else span,
        "; ".join(one.moves) or "no target",
    ]


def _warnings(found: Calibration) -> list[str]:
    """What the targets leave open."""
    lines = [
        f"{one.free.name}: its standard error is over {WEAK:.0%} of its range, so these targets hardly say what it is."
        for one in found.numbers
        if one.weak
    ]
    lines += [
        f"{listed(names)} can change together by over {WEAK:.0%} of their ranges while the targets hardly notice."
        for names in found.weak_directions
        if len(names) > 1
    ]
    lines += [
        f"{a} and {b}: their errors have correlation {number(r, 2)} (beyond {CORRELATED:g}); fix one, or add a target "
        "that tells them apart."
        for a, b, r in found.correlated
    ]
    return ["Weakly identified:", "\n".join(map(bullet, lines))] if lines else []


def _target_cells(one: Judged) -> list[str]:
    label, published, span, before, *_ = finding_cells(one.before)
    after, fresh = (finding_cells(finding)[3] for finding in (one.after, one.fresh))
    distances = [signed(finding.distance, 2) for finding in (one.before, one.after, one.fresh)]
    return [label, published, span, before, after, fresh, *distances, "yes" if one.fitted else "no"]


def _counts(found: Calibration) -> str:
    """How many targets are inside their range before, after and on fresh luck."""
    said = []
    for name, fitted in (("Fitted to", True), ("Others", False)):
        mine = [one for one in found.targets if one.fitted == fitted]
        if mine:
            inside = [sum(getattr(one, when).inside for one in mine) for when in ("before", "after", "fresh")]
            said.append(
                f"{name}: {plural(len(mine), 'target')}, inside their range {inside[0]} before, {inside[1]} after, "
                f"{inside[2]} on fresh luck (seed {found.fresh_seed})."
            )
    return " ".join(said)


def _search(found: Calibration) -> str:
    before, after, fresh = (squares(found.targets, when) for when in ("before", "after", "fresh"))
    return (
        f"Sum of squared distances of those fitted to: {number(before, 2)} before, {number(after, 2)} after, "
        f"{number(fresh, 2)} on fresh luck. {plural(found.tries, 'try', 'tries')} of "
        f"{plural(found.replicates, 'replicate')}, seed {found.seed}; ended because {found.stop}."
    )


def squares(targets: Sequence[Judged], when: str) -> float:
    """Sum of squared distances of the targets fitted to."""
    findings: list[Finding] = [getattr(one, when) for one in targets if one.fitted]
    return sum(finding.distance**2 for finding in findings)


def calibration_json(found: Calibration) -> dict[str, Any]:
    """The same as data."""
    return {
        "design": found.design.name,
        "replicates": found.replicates,
        "seed": found.seed,
        "fresh_seed": found.fresh_seed,
        "tries": found.tries,
        "ended_because": found.stop,
        "sum_of_squares": {when: squares(found.targets, when) for when in ("before", "after", "fresh")},
        "numbers": [
            {
                "paths": list(one.free.paths),
                "low": one.free.low,
                "high": one.free.high,
                "start": one.start,
                "fitted": one.value,
                "std_error": one.error,
                "published_error": one.published_error,
                "monte_carlo_error": one.monte_carlo_error,
                "at_limit": one.limit or None,
                "weakly_identified": one.weak,
                "moves": list(one.moves),
            }
            for one in found.numbers
        ],
        "weak_directions": [list(names) for names in found.weak_directions],
        "correlated": [{"numbers": [a, b], "correlation": r} for a, b, r in found.correlated],
        "targets": [
            one.after.target.model_dump()
            | {"fitted_to": one.fitted}
            | {when: _finding(getattr(one, when)) for when in ("before", "after", "fresh")}
            for one in found.targets
        ],
        "left_out": list(found.left_out),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {"simulated": one.value, "mcse": one.mcse, "distance": one.distance, "inside": one.inside}
