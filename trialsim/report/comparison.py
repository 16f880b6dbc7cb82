"""What `trialsim compare` and `trialsim verify` print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trialsim.design.parts import Design
from trialsim.experiments.targets import Finding, Held, Target, Targets
from trialsim.experiments.verify import PARTS, Difference
from trialsim.report.layout import bullet, bullets, caption, heading, number, paragraph, plural, table, with_error

SECTIONS = (
    ("fitted", "Fitted: numbers of the design were chosen to meet these"),
    ("predicted", "Predicted: not used to choose numbers"),
    ("benchmarks", "Uncontrolled benchmarks: not effects of randomization"),
)
"""The kinds of target, each with the heading of its table. A benchmark is one whether it was fitted or not."""


def section_of(target: Target) -> str:
    """Which of SECTIONS a target belongs to."""
    return "benchmarks" if target.benchmark else target.kind


def comparison_text(design: Design, targets: Targets, findings: Sequence[Finding]) -> str:
    """Every target: published value and range, simulated mean ± Monte Carlo standard error, inside or not."""
    return "\n\n".join(comparison_pieces(design, targets, findings))


def comparison_pieces(design: Design, targets: Targets, findings: Sequence[Finding]) -> list[str]:
    """The same in pieces."""
    held = [f for f in findings if f.target.held]
    shown = [f for f in findings if not f.target.held]
    parts = [heading(f"{design.title or design.name}: simulated against published")]
    for section, title in SECTIONS:
        rows = [finding_cells(f) for f in held if section_of(f.target) == section]
        if rows:
            head = ["target", "published", "range", "simulated", "inside", "kind", "source"]
            parts += [heading(title, "-"), table(head, rows, "lrrrlll")]
    parts.append(paragraph(targets.note))
    if shown:
        rows = [[*finding_cells(f)[:4], f.target.source] for f in shown]
        parts += [
            caption("Shown, not held (see the note above, and the source for whether the value is a published one):"),
            table(["target", "value", "range", "simulated", "source"], rows, "lrrrl"),
        ]
    missed = [miss_text(f) for f in held if not f.inside]
    parts += ["Outside their range:", bullets(missed)] if missed else []
    verdict = f"{counts_text(held)} inside their range ({_replicates(findings)} replicates)."
    parts.append(paragraph(f"{verdict} Simulated: mean ± Monte Carlo standard error."))
    return [part for part in parts if part]


def _replicates(findings: Sequence[Finding]) -> str:
    fewest, most = min(f.n_replicates for f in findings), max(f.n_replicates for f in findings)
    return f"{fewest}" if most == fewest else f"{fewest} to {most}"


def counts(held: Sequence[Finding]) -> dict[str, tuple[int, int]]:
    """By section: how many targets are inside their range, of how many. Sections without targets are left out."""
    found = {}
    for section, _ in SECTIONS:
        mine = [f for f in held if section_of(f.target) == section]
        if mine:
            found[section] = (sum(f.inside for f in mine), len(mine))
    return found


def counts_text(held: Sequence[Finding]) -> str:
    """'Fitted: 12 of 12, predicted: 8 of 9'."""
    text = ", ".join(f"{section}: {n} of {of}" for section, (n, of) in counts(held).items())
    return text[:1].upper() + text[1:]


def miss_text(finding: Finding) -> str:
    """How far a simulated mean is from the published value, and what the target's note says of it."""
    target, digits = finding.target, _digits(finding)
    far = abs(finding.distance)
    if math.isfinite(far):
        side = "below" if finding.distance < 0 else "above"
        where = f"{number(far, 1)} tolerances {side} {number(target.published, digits)}"
    else:
        where = "has no value" if math.isnan(finding.value) else "outside a range without width"
    return f"{target.label}: {where}.{' ' if target.note else ''}{target.note}"


def worst(held: Sequence[Finding]) -> Finding | None:
    """The miss that is furthest from its published value, in tolerances; one without a value is worse than all."""
    missed = [f for f in held if not f.inside]
    return max(missed, key=lambda f: abs(f.distance) if math.isfinite(f.distance) else math.inf, default=None)


def library_text(rows: Sequence[Held]) -> str:
    """A row for each scenario: targets met of those held, and the worst miss."""
    head = ["scenario", "fitted", "predicted", "benchmarks", "worst miss", "replicates"]
    parts = [
        heading("The library against what was published"),
        table(head, [library_row(row) for row in rows], "lrrrlr"),
        paragraph(
            "Targets inside their range, of those held. Benchmarks are published without a randomized control. A miss "
            "is told in tolerances: the distance from the published value in half widths of its range on that side."
        ),
        "\n".join(bullet(f"{row.name}: {row.why}") for row in rows if row.why),
    ]
    return "\n\n".join(part for part in parts if part)


def library_row(row: Held) -> list[str]:
    """Name, targets met by section, the worst miss, replicates; said in words where nothing was compared."""
    if row.why:
        return [row.name, "-", "-", "-", "not compared: see below", "-"]
    if not row.findings:
        return [row.name, "-", "-", "-", "no targets", "-"]
    held = [f for f in row.findings if f.target.held]
    met = counts(held)
    cells = [f"{met[section][0]} of {met[section][1]}" if section in met else "-" for section, _ in SECTIONS]
    miss = worst(held)
    said = "none" if miss is None else f"{miss.target.label} ({number(miss.distance, 1)})"
    return [row.name, *cells, said, _replicates(row.findings)]


def library_json(rows: Sequence[Held]) -> list[dict[str, Any]]:
    """The same as data, every target included."""
    found: list[dict[str, Any]] = []
    for row in rows:
        held = [f for f in row.findings if f.target.held]
        miss = worst(held)
        found.append(
            {
                "scenario": row.name,
                "inside": {section: {"met": n, "held": of} for section, (n, of) in counts(held).items()},
                "worst_miss": miss and {"label": miss.target.label, "distance": _finite(miss.distance)},
                "refused": row.why or None,
                "targets": comparison_json(row.findings),
            }
        )
    return found


def finding_cells(finding: Finding) -> list[str]:
    """A finding as text: label, published value, range, simulated ± error, inside, kind, source."""
    target, digits = finding.target, _digits(finding)
    return [
        target.label,
        number(target.published, digits),
        f"{number(target.low, digits)} to {number(target.high, digits)}",
        with_error(finding.value, finding.mcse, digits),
        "yes" if finding.inside else "NO",
        target.kind,
        target.source,
    ]


def _digits(finding: Finding) -> int:
    """As many decimals as the narrower side of the range needs."""
    target = finding.target
    width = min(
        x for x in (target.high - target.published, target.published - target.low, abs(target.published) or 1) if x > 0
    )
    return max(0, min(3, 1 - math.floor(math.log10(width) + 1e-9)))


def comparison_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The same as data."""
    return [
        f.target.model_dump()
        | {"simulated": _finite(f.value), "mcse": _finite(f.mcse), "n_replicates": f.n_replicates}
        | {"inside": f.inside, "distance": _finite(f.distance)}
        for f in findings
    ]


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def verification_text(replicates: int, differences: Sequence[Difference]) -> str:
    """In how many replicates the engines agree, part by part, and the first differences."""
    rows = []
    for part in PARTS:
        bad = {d.replicate for d in differences if d.part == part}
        rows.append([part, str(replicates - len(bad)), str(replicates)])
    bad = {d.replicate for d in differences}
    verdict = f"The engines agree exactly in {replicates - len(bad)} of {plural(replicates, 'replicate')}."
    lines = "\n".join(_difference_text(d) for d in differences[:10])
    return "\n\n".join(filter(None, [table(["", "equal", "of"], rows, "lrr"), lines, verdict]))


def _difference_text(difference: Difference) -> str:
    return f"replicate {difference.replicate}, {difference.part}: {difference.detail}"


def library_verification_text(replicates: int, differences: Mapping[str, Sequence[Difference]]) -> str:
    """For each scenario in how many replicates the engines agree, and its first differences."""
    equal = {name: replicates - len({d.replicate for d in found}) for name, found in differences.items()}
    rows = [[name, str(n), str(replicates)] for name, n in equal.items()]
    lines = [f"{name}, {_difference_text(d)}" for name, found in differences.items() for d in found[:4]]
    agree = sum(n == replicates for n in equal.values())
    verdict = f"The engines agree exactly in {agree} of {plural(len(rows), 'scenario')}."
    return "\n\n".join(filter(None, [table(["scenario", "equal", "of"], rows, "lrr"), "\n".join(lines), verdict]))
