"""Decisions and their chances as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trialsim.design.parts import Design
from trialsim.experiments.performance import Performance
from trialsim.report.layout import heading, paragraph, percent, table, with_error


def decision_sections(design: Design, rows: Sequence[Performance]) -> list[str]:
    """For each decision of the design that has rows: its rule, and the chances of hypotheses and of success."""
    parts = []
    for name, decision in design.decisions.items():
        mine = [row for row in rows if row.label.measure == name and row.label.estimand == "decision"]
        if not mine:
            continue
        body = [[_what(design, row), row.statistic, with_error(row.value, row.mcse, 3)] for row in mine]
        parts += [heading(f"Decision: {decision.label or name}", "-"), paragraph(_rule(decision))]
        parts.append(table(["hypothesis", "", "chance"], body, "llr"))
    return parts


def _what(design: Design, row: Performance) -> str:
    if row.label.visit:
        visit = design.visits[row.label.visit].label or row.label.visit
        return f"{row.label.contrast} at {visit} ({row.label.analysis})"
    return "the trial" if row.statistic == "success" else row.label.contrast


_PROCEDURES = {"none": "each at full level", "lsd": "each only when the test of all arms is significant too (Fisher)"}


def _rule(decision: Any) -> str:
    kind = decision.procedure.kind
    how = _PROCEDURES.get(kind, f"tested by {kind.replace('_', ' ')}")
    success = decision.success or "any hypothesis is rejected in favour of its first arm"
    return f"Hypotheses {how}, two-sided level {percent(decision.alpha, None)}. Success: {success}."
