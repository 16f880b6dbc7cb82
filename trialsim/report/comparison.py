"""What `trialsim compare` and `trialsim verify` print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trialsim.design.parts import Design
from trialsim.experiments.targets import Finding, Targets
from trialsim.experiments.verify import PARTS, Difference
from trialsim.report.layout import heading, number, paragraph, plural, table, with_error


def comparison_text(design: Design, targets: Targets, findings: Sequence[Finding]) -> str:
    """Every target: published value and range, simulated mean ± Monte Carlo standard error, inside or not."""
    held = [f for f in findings if f.target.held]
    shown = [f for f in findings if not f.target.held]
    outside = [f for f in held if not f.inside]
    parts = [
        heading(f"{design.title or design.name}: simulated against published"),
        table(
            ["target", "published", "range", "simulated", "inside", "kind", "source"],
            [finding_cells(f) for f in held],
            "lrrrlll",
        ),
        paragraph(targets.note),
    ]
    if shown:
        rows = [[*finding_cells(f)[:4], f.target.source] for f in shown]
        parts += [
            "Shown, not held (see the note above):",
            table(["target", "published", "95% CI", "simulated", "source"], rows, "lrrrl"),
        ]
    n = max(f.n_replicates for f in findings)
    fewest = min(f.n_replicates for f in findings)
    count = f"{fewest}" if n == fewest else f"{fewest} to {n}"
    verdict = f"{len(held) - len(outside)} of {plural(len(held), 'target')} inside their range ({count} replicates)."
    parts.append(verdict + " Simulated: mean ± Monte Carlo standard error.")
    return "\n\n".join(part for part in parts if part)


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
        | {"simulated": _finite(f.value), "mcse": _finite(f.mcse), "n_replicates": f.n_replicates, "inside": f.inside}
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
    lines = [f"replicate {d.replicate}, {d.part}: {d.detail}" for d in differences[:10]]
    return "\n\n".join(filter(None, [table(["", "equal", "of"], rows, "lrr"), "\n".join(lines), verdict]))
