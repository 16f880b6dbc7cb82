"""Decisions and their chances as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from trialsim.design.analyses import Decision
from trialsim.design.parts import Design
from trialsim.experiments.performance import Performance
from trialsim.report.describe.plan import procedure
from trialsim.report.layout import heading, paragraph, percent, table, with_error


def decision_sections(design: Design, rows: Sequence[Performance]) -> list[str]:
    """For each decision of the design that has rows: its rule, and the chances of hypotheses and of success."""
    parts = []
    for name, decision in design.decisions.items():
        mine = [row for row in rows if row.label.measure == name and row.label.estimand == "decision"]
        if not mine:
            continue
        body = [
            [_what(design, row), row.statistic, with_error(row.value, row.mcse, 3), f"{row.n_replicates:,}"]
            for row in mine
        ]
        parts += [heading(f"Decision: {decision.label or name}", "-"), paragraph(_rule(decision))]
        parts.append(table(["hypothesis", "", "chance", "replicates"], body, "llrr"))
    return parts


def _what(design: Design, row: Performance) -> str:
    if row.label.visit:
        visit = design.visits[row.label.visit].label or row.label.visit
        return f"{row.label.contrast} at {visit} ({row.label.analysis})"
    return "the trial" if row.statistic == "success" else row.label.contrast


def _rule(decision: Decision) -> str:
    success = decision.success or "any hypothesis is rejected in favour of its first arm"
    return f"Procedure: {procedure(decision)}; two-sided level {percent(decision.alpha, None)}. Success: {success}."
