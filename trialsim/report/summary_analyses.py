"""Analyses as people read them: estimates of one replicate, performance of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from trialsim.analysis.estimates import (
    COMPARISONS,
    GLOBAL_TEST,
    MEANS,
    NNT,
    PERCENTAGE,
    RATIOS,
    RISK_DIFFERENCE,
    Estimates,
    Label,
)
from trialsim.experiments.performance import Performance, Truths, by_analysis
from trialsim.experiments.runner import Experiment
from trialsim.report import analysis_words as words
from trialsim.report.layout import heading, number, p_text, paragraph, table, with_error
from trialsim.world.world import World


class AnalysisText:
    """Sections about the analyses of an experiment."""

    def __init__(self, experiment: Experiment, *, skip_failed: bool, truths: Truths | None) -> None:
        self.experiment, self.design = experiment, experiment.design
        self.world = World(experiment.design)
        self.skip_failed, self.truths = skip_failed, truths
        self.many = len(experiment.replicates) > 1

    def visit(self, name: str) -> str:
        """A visit's label."""
        return self.design.visits[name].label or name

    def pieces(self) -> list[str]:
        """All analyses, in pieces; empty where there is none."""
        estimates = self.experiment.estimates
        if estimates is None or not estimates.labels:
            return []
        if self.many:
            return self.performances(by_analysis(estimates, skip_failed=self.skip_failed, truths=self.truths))
        return [piece for name in self.design.analyses for piece in self._one(estimates, name) if piece]

    def performances(self, found: Iterable[tuple[str, Sequence[Performance], str]]) -> list[str]:
        """The same of many replicates: analyses by name, their performance, and why there is none (`by_analysis`)."""
        return [piece for name, rows, refusal in found for piece in self._many(name, rows, refusal) if piece]

    def _title(self, name: str) -> list[str]:
        text = words.about(self.design, self.design.analyses[name])
        return [heading(f"Analysis: {name}", "-"), paragraph(text)]

    # --- one replicate ---

    def _one(self, estimates: Estimates, name: str) -> list[str]:
        """One replicate: the arms' adjusted values, then the comparisons, visit by visit."""
        mine = [_Result(estimates, place) for place, label in enumerate(estimates.labels) if label.analysis == name]
        reasons = list(dict.fromkeys(result.reason for result in mine if not result.converged))
        if mine and not any(result.converged for result in mine):
            return [*self._title(name), f"The fit failed: {'; '.join(reasons)}. There are no estimates."]
        found = {(result.label.visit, result.label.contrast, result.label.measure): result for result in mine}
        visits = list(dict.fromkeys(visit for visit, _, _ in found))
        failed = "".join(f"Failed: {reason}.\n" for reason in reasons).rstrip()
        return [*self._title(name), self._arm_table(found, visits), self._pair_table(name, found, visits), failed]

    def _arm_table(self, found: Found, visits: list[str]) -> str:
        measure = next((measure for _, _, measure in found if measure in MEANS), None)
        tests = {visit: found.get((visit, "all arms", GLOBAL_TEST)) for visit in visits}
        if measure is None and not any(tests.values()):
            return ""
        rows = []
        for visit in visits:
            cells = [found[visit, arm, measure].with_interval() for arm in self.world.arms] if measure else []
            test = tests[visit]
            rows.append([self.visit(visit), *cells, *([test.p()] if test else [])])
        head = ["visit", *(self.world.arms if measure else []), "arms differ, p"][: len(rows[0])]
        return table(head, rows, "l" + "r" * (len(head) - 1))

    def _pair_table(self, name: str, found: Found, visits: list[str]) -> str:
        """Comparisons: each measure with its interval, p of the one tested, verdict, number needed to treat."""
        pairs = list(dict.fromkeys(contrast for _, contrast, measure in found if measure in COMPARISONS))
        if not pairs:
            return ""
        analysis = self.design.analyses[name]
        measures = list(dict.fromkeys(measure for _, _, measure in found if measure in COMPARISONS))
        tested = analysis.margin_measure or measures[0]
        level = f"{round(100 * (1 - analysis.alpha), 6):g}% CI"
        rows = []
        for visit in visits:
            for pair in pairs:
                test, needed = found[visit, pair, tested], found.get((visit, pair, NNT))
                cells = [found[visit, pair, measure].with_interval() for measure in measures]
                verdict = test.verdict(analysis.hypothesis)
                rows.append([self.visit(visit), pair, *cells, test.p(), verdict, needed.needed() if needed else ""])
        head = ["visit", "comparison", *(f"{m}, {level}" for m in measures), "p", "", "needed to treat"]
        if all(not row[-1] for row in rows):
            head, rows = head[:-1], [row[:-1] for row in rows]
        return table(head, rows, "ll" + "r" * (len(measures) + 1) + "l" + "r" * (len(head) - len(measures) - 4))

    # --- many replicates ---

    def _many(self, name: str, rows: Sequence[Performance], refusal: str) -> list[str]:
        if refusal:
            return [*self._title(name), paragraph(refusal)]
        notes = "Truth: average of the potential outcomes, as the estimand has them."
        ratios = list(dict.fromkeys(row.label.measure for row in rows if row.label.measure in RATIOS))
        if ratios:
            notes = f"For {ratios[0]}s, bias and standard errors are those of the logarithm. {notes}"
        return [*self._title(name), self._means_table(rows), self._comparison_table(rows), paragraph(notes)]

    def _means_table(self, rows: Sequence[Performance]) -> str:
        body = []
        for label, found in _by_label(rows, MEANS):
            digits = 1 if label.measure == PERCENTAGE else 2
            cells = [_cell(found, s, digits) for s in ("mean estimate", "truth", "bias")]
            body.append([self.visit(label.visit), label.contrast, label.measure, *cells])
        return table(["visit", "arm", "measure", "mean estimate", "truth", "bias"], body, "lllrrr") if body else ""

    def _comparison_table(self, rows: Sequence[Performance]) -> str:
        statistics = ("mean estimate", "truth", "bias", "empirical SE", "model SE", "coverage", "power", "failed fits")
        body = []
        for label, found in _by_label(rows, (*COMPARISONS, GLOBAL_TEST)):
            digits = 2 if label.measure == "risk difference" else 3
            cells = [_cell(found, s, 3 if s in ("coverage", "power") else digits) for s in statistics[:-1]]
            failed = found["failed fits"]
            share = with_error(100 * failed.value, 100 * failed.mcse, 1)
            body.append([self.visit(label.visit), label.contrast, label.measure, *cells, share])
        head = ["visit", "contrast", "measure", *statistics[:-1], "failed, %"]
        return table(head, body, "lll" + "r" * len(statistics)) if body else ""


def _by_label(rows: Sequence[Performance], measures: Sequence[str]) -> list[tuple[Label, dict[str, Performance]]]:
    grouped: dict[Label, dict[str, Performance]] = {}
    for row in rows:
        if row.label.measure in measures:
            grouped.setdefault(row.label, {})[row.statistic] = row
    return list(grouped.items())


def _cell(found: dict[str, Performance], statistic: str, digits: int) -> str:
    row = found.get(statistic)
    return "" if row is None else with_error(row.value, row.mcse, digits)


_VERDICTS = {
    "superiority": ("different", "not shown to differ"),
    "non_inferiority": ("not inferior", "not shown to be non-inferior"),
    "equivalence": ("equivalent", "not shown to be equivalent"),
}


class _Result:
    """One label of one replicate, as text."""

    def __init__(self, estimates: Estimates, place: int) -> None:
        self.label = estimates.labels[place]
        self.converged = bool(estimates.converged[0, place])
        self.reason = str(estimates.reason[0, place])
        names = ("estimate", "ci_low", "ci_high", "p_value", "significant")
        self.value, self.low, self.high, self.p_value, self.significant = (
            float(getattr(estimates, name)[0, place]) for name in names
        )

    def with_interval(self) -> str:
        """'1.27 (1.04 to 1.54)'; 'failed' where the fit did."""
        if not self.converged:
            return "failed"
        digits = 1 if self.label.measure in (PERCENTAGE, RISK_DIFFERENCE) else 2
        return f"{number(self.value, digits)} ({number(self.low, digits)} to {number(self.high, digits)})"

    def p(self) -> str:
        """The p value, if there is one."""
        return "" if np.isnan(self.p_value) else p_text(self.p_value)

    def verdict(self, hypothesis: str) -> str:
        """Whether the arms count as different, the first as not inferior, or both as equivalent."""
        yes, no = _VERDICTS[hypothesis]
        return {1.0: yes, 0.0: no}.get(self.significant, "")

    def needed(self) -> str:
        """Number needed to treat with its interval, where the risk difference is clear of 0."""
        if not np.isfinite(self.high) or self.value <= 0:
            return "-"
        return f"{number(self.value, 0)} ({number(self.low, 0)} to {number(self.high, 0)})"


Found = dict[tuple[str, str, str], _Result]
"""Results of one replicate by visit, contrast and measure."""
