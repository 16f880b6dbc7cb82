"""Text of power, error rates, sizes and assurance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from trialsim.design.parts import Design
from trialsim.experiments.nulls import Partition
from trialsim.experiments.performance import Performance
from trialsim.experiments.size import Assurance, Sizing
from trialsim.experiments.versus import Difference
from trialsim.report.decision_text import decision_sections
from trialsim.report.layout import heading, number, paragraph, percent, table, with_error

NullRow = tuple[Partition, str, tuple[float, float, int] | None]
"""Classes of equal arms, name of a decision, its family-wise error with Monte Carlo error and replicates."""


def power_text(design: Design, rows: Sequence[Performance], n_replicates: int) -> str:
    """Decisions of a design and their chances."""
    about = f"{n_replicates:,} replicates. Values are ± Monte Carlo standard error."
    parts = [heading(design.title or design.name, "="), about, *decision_sections(design, rows)]
    return "\n\n".join(parts) + "\n"


def nulls_text(rows: Sequence[NullRow], alphas: dict[str, float]) -> str:
    """Family-wise error under every partial null."""
    body = []
    for parts, name, error in rows:
        equal = ", ".join(" = ".join(part) for part in parts if len(part) > 1)
        if error is None:
            body.append([equal, name, "no hypothesis about them", ""])
            continue
        value, mcse, _ = error
        over = (value - alphas[name]) / mcse
        body.append([equal, name, with_error(value, mcse, 4), "above the level" if over > 3 else ""])
    text = (
        "Chance that any true null hypothesis is rejected, in either direction, in worlds in which the arms named are"
        " equal and everything else is as designed. 'Above the level' is said from 3 Monte Carlo standard errors on."
    )
    head = heading("Family-wise error under every partial null", "-")
    return "\n\n".join([head, paragraph(text), table(["equal arms", "decision", "error", ""], body, "llrl")]) + "\n"


def power_json(rows: Sequence[Performance]) -> list[dict[str, Any]]:
    """Chances of decisions as data."""
    return [
        {
            "decision": row.label.measure,
            "analysis": row.label.analysis,
            "contrast": row.label.contrast,
            "visit": row.label.visit,
            "statistic": row.statistic,
            "value": row.value,
            "mcse": row.mcse,
            "n_replicates": row.n_replicates,
        }
        for row in rows
    ]


def nulls_json(rows: Sequence[NullRow]) -> list[dict[str, Any]]:
    """Family-wise error as data; without numbers where no hypothesis is about the equal arms."""
    found = []
    for parts, name, error in rows:
        numbers = dict(zip(("error", "mcse", "n_replicates"), error, strict=True)) if error else {}
        found.append({"equal": [list(part) for part in parts if len(part) > 1], "decision": name, **numbers})
    return found


def versus_json(rows: Sequence[Difference]) -> list[dict[str, Any]]:
    """Paired differences as data."""
    return [asdict(row) for row in rows]


def versus_text(first: Design, second: Design, rows: Sequence[Difference]) -> str:
    """Two designs side by side with their paired difference."""
    body = []
    for row in rows:
        digits = 3 if row.what.startswith(("power", "success")) else 1
        cells = [with_error(*pair, digits) for pair in (row.first, row.second, row.difference)]
        gain = row.unpaired_mcse / row.difference[1] if row.difference[1] > 0 else math.inf
        what = " ".join(part for part in (row.what, row.contrast, f"at {row.visit}" if row.visit else "") if part)
        body.append([what, *cells, "-" if not math.isfinite(gain) else number(gain**2, 1), f"{row.n_replicates:,}"])
    text = (
        "Both designs were simulated with the same luck, so their difference is known better than either. 'Gain' is how"
        " many times as many independent replicates would have been needed for it."
    )
    head = ["", first.name, second.name if second.name != first.name else "changed", "difference", "gain", "replicates"]
    return "\n\n".join([heading("Paired comparison", "-"), paragraph(text), table(head, body, "lrrrrr")]) + "\n"


# --- size -------------------------------------------------------------------------------------------------------------


def sizing_text(sizing: Sizing, *, seconds: float) -> str:
    """The answer to a question of size, in words, with the points that it rests on."""
    answer, design = sizing.answer, sizing.design
    parts = [heading(f"{_title(sizing.path)} for {percent(sizing.target, None)} power", "=")]
    parts.append(paragraph(f"Design: {design.title or design.name}. Question: {sizing.question}."))
    ended = _ENDED.get(answer.stopped, answer.stopped)
    found = _answer(sizing) if answer.found else f"Not found: {ended}."
    parts.append(paragraph(found + _closed_early(sizing)))
    points = answer.points
    body = [
        [_value(x), f"{n:,}", with_error(p, error, 3)]
        for x, n, p, error in zip(points.x, points.n_replicates, points.power, points.mcse, strict=True)
    ]
    parts.append(table([sizing.path, "replicates", "power"], body, "rrr"))
    why = f" The search ended: {ended}." if answer.found else ""
    parts.append(paragraph(f"{answer.n_replicates:,} replicates, {seconds:.0f} s.{why}"))
    return "\n\n".join(parts) + "\n"


_ENDED = {
    "mcse reached": "power at the answer has the standard error asked for",
    "budget used": "no replicates were left before power at the answer had the standard error asked for"
    " (raise --max-replicates or --mcse)",
}


def _title(path: str) -> str:
    return "Sample size" if path == "sample_size" else path


def _answer(sizing: Sizing) -> str:
    answer, design = sizing.answer, sizing.design
    interval = f"95 % confidence interval {_value(answer.ci_low)} to {_value(answer.ci_high)}"
    said = f"fitted power there {with_error(*answer.power_at, 3)}"
    if math.isnan(answer.x_hat):  # all of the range is above the target
        interval, said = "a limit of the search: all of its range is enough", said.removeprefix("fitted ")
    if sizing.path != "sample_size":
        return f"{sizing.path} = {_value(answer.x)} ({interval}); {said}."
    if design.allocation.kind == "cohorts" or any(change.ratio for change in design.changes):
        return f"{_value(answer.x)} participants in all ({interval}); {said}."  # the ratio does not tell arms' sizes
    ratio = design.allocation.ratio
    sizes = {arm: math.ceil(answer.x * part / sum(ratio.values())) for arm, part in ratio.items()}
    arms = ", ".join(f"{arm} {n:,}" for arm, n in sizes.items())
    rounded = " (rounded up)" if sum(sizes.values()) > answer.x else ""
    return f"{_value(answer.x)} participants in all ({interval}): {arms}{rounded}; {said}."


def _closed_early(sizing: Sizing) -> str:
    """A warning where more participants were asked for than could be enrolled."""
    if sizing.path != "sample_size" or not sizing.randomized < sizing.closest - 0.5:
        return ""
    return (
        f" But of {_value(sizing.closest)} participants only {sizing.randomized:,.0f} are randomized on average before"
        f" enrolment closes after {sizing.design.max_enrolment_days:,} days: raise max_enrolment_days or the contact"
        " rates."
    )


def _value(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 10 or float(x).is_integer() else f"{x:.4g}"


def sizing_json(sizing: Sizing) -> dict[str, Any]:
    """The answer with the data of its picture."""
    answer = sizing.answer
    points = {
        name: getattr(answer.points, name).tolist() for name in ("x", "n_replicates", "successes", "power", "mcse")
    }
    curve = {name: getattr(answer.curve, name).tolist() for name in ("x", "fitted", "low", "high")}
    return {
        "design": sizing.design.name,
        "question": sizing.question,
        "path": sizing.path,
        "target_power": sizing.target,
        "answer": answer.x,
        "estimate": answer.x_hat,
        "ci": [answer.ci_low, answer.ci_high],
        "power": answer.power_at.value,
        "power_mcse": answer.power_at.mcse,
        "mean_randomized": sizing.randomized,
        "n_replicates": answer.n_replicates,
        "stopped": answer.stopped,
        "points": points,
        "curve": curve,
    }


def assurance_text(found: Assurance) -> str:
    """Expected power in words."""
    priors = "; ".join(f"{p.path} ~ {p.kind}({', '.join(f'{x:g}' for x in p.numbers)})" for p in found.priors)
    low, middle, high = np.quantile(found.node_power, [0.05, 0.5, 0.95])
    text = (
        f"Assurance (expected power) {with_error(found.value, found.mcse, 3)}; power at the design's own values"
        f" {with_error(found.power, found.power_mcse, 3)}. At half of the prior's values power is below"
        f" {number(middle, 2)}, at one in twenty below {number(low, 2)}, at one in twenty above {number(high, 2)} (each"
        " from few replicates, so that they spread a little too widely)."
    )
    head = heading(f"Assurance: {found.design.title or found.design.name}", "=")
    note = f"{len(found.nodes)} values of the prior, {found.n_replicates:,} replicates. Question: {found.question}."
    return "\n\n".join([head, paragraph(f"Prior: {priors}."), paragraph(text), paragraph(note)]) + "\n"


def assurance_json(found: Assurance) -> dict[str, Any]:
    """Expected power as data, node by node."""
    return {
        "design": found.design.name,
        "question": found.question,
        "priors": [{"path": p.path, "kind": p.kind, "numbers": list(p.numbers)} for p in found.priors],
        "assurance": found.value,
        "mcse": found.mcse,
        "power": found.power,
        "power_mcse": found.power_mcse,
        "n_replicates": found.n_replicates,
        "nodes": [
            {"values": v.tolist(), "power": float(p)} for v, p in zip(found.nodes, found.node_power, strict=True)
        ],
    }
