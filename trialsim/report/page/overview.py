"""A design in short: what a reader must know before the results. The annex has it in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trialsim.design.parts import Arm, Design
from trialsim.report import analysis_words as words
from trialsim.report.catalogue import in_short
from trialsim.report.describe import allocation, assessment, enrolment
from trialsim.report.describe.phrases import confounded
from trialsim.report.describe.plan import procedure
from trialsim.report.layout import caption, listed, number, paragraph, percent, plural, table
from trialsim.report.pieces import Heading


def overview(design: Design) -> Iterator[str]:
    """Description, timeline, allocation, arms, outcomes, visits, analyses."""
    yield from (paragraph(text) for text in design.description.split("\n\n") if text.strip())
    yield paragraph(f"{in_short(design)[:1].upper()}{in_short(design)[1:]}.")
    warning = confounded(design)
    if not warning:
        yield from _without_headings(allocation.allocation(design))
    else:
        yield paragraph(warning)
    yield from _without_headings(enrolment.timeline(design))
    yield from (caption("Arms"), _arms(design))
    yield from (caption("Outcomes"), _outcomes(design))
    yield from (caption("Visits"), *_without_headings(assessment.visits(design))[-1:])
    yield from _analyses(design)


def _without_headings(pieces: list[str]) -> list[str]:
    return [piece for piece in pieces if not isinstance(piece, Heading)]


def _arms(design: Design) -> str:
    rows = [
        [name, arm.label, delivery(design, name), _start(arm), _effects(design, arm)]
        for name, arm in design.arms.items()
    ]
    head = ["arm", "meaning", "delivery", "would start", f"effect at full dose at {', '.join(design.visits)}"]
    return table(head, rows, "lllrl")


def _start(arm: Arm) -> str:
    return "-" if arm.delivery.kind == "none" else percent(arm.start_prob)


def delivery(design: Design, name: str) -> str:
    """'8 sessions one-to-one, 12 coaches'."""
    given: Any = design.arms[name].delivery
    if given.kind == "none":
        return "no sessions"
    if given.kind == "self_paced":
        return f"{plural(len(given.modules), 'web module')}, worked through alone"
    sessions = plural(len(given.modules), "session")
    if given.kind == "group":
        sites = " at each site" if given.by_site else ""
        return f"{sessions} in groups of {given.size}, {plural(given.facilitators, 'facilitator')}{sites}"
    return f"{sessions} one-to-one, {plural(len(design.coaches(name)), 'coach')}"


def _effects(design: Design, arm: Arm) -> str:
    """Of the outcomes that it changes, the largest first stated: 'severity -0.51, -0.68, -0.46'."""
    told = []
    for name, effect in arm.effects.items():
        values = [effect.by_visit.get(visit, 0.0) for visit in design.visits]
        if any(values):
            told.append(f"{name} {', '.join(number(value) for value in values)}")
    more = ["tapers a medicine"] if arm.tapers else []
    return "; ".join([*told, *more]) or "none"


def _outcomes(design: Design) -> str:
    kinds = {
        "score": "score", "binary": "yes or no", "ordinal": "ordered levels", "count": "number of events",
        "event": "time to an event", "dose": "dose of a medicine",
    }  # fmt: skip
    rows = [
        [name, outcome.label, kinds[outcome.kind], "health records" if outcome.source == "record" else "questionnaire"]
        for name, outcome in design.outcomes.items()
    ]
    return table(["outcome", "meaning", "kind", "seen in"], rows, "llll")


def _analyses(design: Design) -> Iterator[str]:
    if not design.analyses:
        yield paragraph("No analysis is planned.")
        return
    rows = [[name, in_brief(design, one), _compared(design, one)] for name, one in design.analyses.items()]
    yield from (caption("Analyses"), table(["analysis", "endpoint and model", "compared"], rows, "lll"))
    for name, decision in design.decisions.items():
        rule = decision.success or "any hypothesis is rejected in favour of its first arm"
        yield paragraph(
            f"Success ({decision.label or name}): {rule}; {procedure(decision)}, two-sided level"
            f" {percent(decision.alpha, None)}."
        )


def in_brief(design: Design, analysis: Any) -> str:
    """Endpoint, model and adjustment; variance, missing data and estimand stand in the annex."""
    told = [words.model(design, analysis), words.adjustment(analysis)]
    text = f"{words.endpoint(design, analysis, words.label(design, analysis))}: {'; '.join(one for one in told if one)}"
    return f"{text[:1].upper()}{text[1:]}."


def _compared(design: Design, analysis: Any) -> str:
    if len(design.arms) == 1:
        return "-"
    return listed([f"{a} with {b}" for a, b in analysis.contrasts]) or "every pair"
