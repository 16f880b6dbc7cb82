"""What `trialsim run` prints: one trial, or the mean of many with Monte Carlo errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trialsim.analysis.estimates import (
    COMPARISONS,
    GLOBAL_TEST,
    MEAN_CHANGE,
    NNT,
    PERCENTAGE,
    RISK_DIFFERENCE,
    RISK_RATIO,
    Estimates,
    Label,
)
from trialsim.design.parts import Design
from trialsim.experiments.performance import Performance, by_analysis, mean_with_error
from trialsim.experiments.runner import Experiment
from trialsim.report.layout import date_text, heading, number, paragraph, plural, table, with_error
from trialsim.world.world import World

NOTE = "Values are means over replicates ± Monte Carlo standard error."


class Summary:
    """Text sections about an experiment; the same for one replicate and for many."""

    def __init__(self, experiment: Experiment, *, skip_failed: bool = False) -> None:
        self.experiment, self.design = experiment, experiment.design
        self.world = World(experiment.design)
        self.skip_failed = skip_failed
        self.many = len(experiment.replicates) > 1

    def text(self) -> str:
        """All sections."""
        sections = [self.title(), self.failures()]
        if len(self.experiment.replicates):
            parts = (
                self.calendar,
                self.funnel,
                self.arms,
                self.attendance,
                self.staff,
                self.outcomes,
                self.analyses,
                self.cost,
            )
            sections += [part() for part in parts]
        return "\n\n".join(section for section in sections if section) + "\n"

    # --- cells ---

    def cell(self, name: str, digits: int = 1, suffix: str = "") -> str:
        """One measure: its value, or its mean ± Monte Carlo standard error; '-' where there is none."""
        values = self.experiment.measures.get(name)
        if values is None:
            return ""
        mean, error, n = mean_with_error(values)
        if n == 0:
            return "-"
        if self.many:
            return with_error(mean, error, digits) + suffix
        whole = float(mean).is_integer() and digits == 0
        return number(mean, 0 if whole else digits) + suffix

    def count(self, name: str) -> str:
        """A number of people or things."""
        return self.cell(name, 1 if self.many else 0)

    def date(self, name: str) -> str:
        """A study day as a date (of the mean day, with its error in days)."""
        mean, error, n = mean_with_error(self.experiment.measures[name])
        if n == 0:
            return "-"
        text = date_text(self.design.date_of(round(mean)))
        return f"{text} ± {number(error, 1)} days" if self.many else text

    def section(self, title: str, *parts: str) -> str:
        return "\n\n".join([heading(title, "-"), *(part for part in parts if part)])

    # --- sections ---

    def title(self) -> str:
        e = self.experiment
        first = int(e.replicates[0]) if len(e.replicates) else 0
        what = f"replicates {first} to {int(e.replicates[-1])}" if self.many else f"replicate {first}"
        about = f"Simulated {what}, seed {e.seed}, {e.engine} engine."
        return "\n\n".join([heading(self.design.title or self.design.name), about + (f" {NOTE}" if self.many else "")])

    def failures(self) -> str:
        failures = self.experiment.failures
        if not failures:
            return ""
        rows = [[str(f.replicate), f.stage, f.error] for f in failures[:10]]
        be = "is" if len(failures) == 1 else "are"
        text = f"{plural(len(failures), 'replicate')} failed and {be} not in the summary."
        return self.section("Failed replicates", text, table(["replicate", "stage", "error"], rows))

    def calendar(self) -> str:
        rows = [
            ["Enrolment opens", date_text(self.design.start_date)],
            ["First participant", self.date("calendar/first_in_day")],
            ["Last participant", self.date("calendar/last_in_day")],
            ["Enrolment closes", self.date("calendar/closing_day")],
            ["Months of enrolment", self.cell("calendar/enrolment_months", 1)],
            ["Last visit", self.date("calendar/last_visit_day")],
        ]
        return self.section("Calendar", table(["", "when"], rows, "ll"))

    def funnel(self) -> str:
        rows = [["contacted", self.count("funnel/contacted"), "", ""]]
        for step, reasons in zip(self.world.steps, self.world.reasons, strict=True):
            rows.append([step, self.count(f"funnel/{step}/passed"), "", ""])
            rows += [["", "", reason, self.count(f"funnel/{step}/lost/{reason}")] for reason in reasons]
            rows.append(["", "", "in process at closing", self.count(f"funnel/{step}/in process")])
        rows.append(["randomized", self.count("randomized/all"), "", ""])
        head = ["step", "passed", "not passed", "people"]
        each = self.cell("funnel/contacted_per_randomized")
        target = f"Target {self.design.sample_size:,}. {each} people contacted for each participant."
        return self.section("Enrolment (CONSORT)", table(head, rows, "lrlr"), target)

    def arms(self) -> str:
        names = self.world.arms
        rows = [["randomized", *(self.count(f"randomized/{arm}") for arm in names)]]
        for status in ("declined", "stopped_waiting", "discontinued", "completed", "left_study"):
            cells = [self.count(f"treatment/{arm}/status/{status}") for arm in names]
            rows.append([f"treatment: {status.replace('_', ' ')}", *cells])
        rows.append(["withdrew from the study", *(self.count(f"study/{arm}/withdrew") for arm in names)])
        rows.append(["died", *(self.count(f"study/{arm}/died") for arm in names)])
        for visit in self.world.visits:
            rows.append([f"answered {self.visit(visit)}, %", *(self.cell(f"observed/{arm}/{visit}") for arm in names)])
        rows = [row for row in rows if any(row[1:])]
        return self.section("Arms (CONSORT)", self._legend(), table(["", *names], rows, "l" + "r" * len(names)))

    def _legend(self) -> str:
        labels = [f"{name}: {arm.label}." for name, arm in self.design.arms.items() if arm.label]
        return paragraph(" ".join(labels)) if labels else ""

    def visit(self, name: str) -> str:
        """A visit's label."""
        return self.design.visits[name].label or name

    def attendance(self) -> str:
        treated = [arm for a, arm in enumerate(self.world.arms) if self.world.has_sessions(a)]
        if not treated:
            return ""
        most = max(self.design.n_sessions(arm) for arm in treated)
        rows = [[f"{plural(k, 'session')} or more, %", *(self.cell(f"treatment/{arm}/at_least_{k}") for arm in treated)]
                for k in range(1, most + 1)]  # fmt: skip
        rows.append(["sessions per participant", *(self.cell(f"treatment/{arm}/mean_sessions", 2) for arm in treated)])
        rows.append(["called at least once, %", *(self.cell(f"treatment/{arm}/called") for arm in treated)])
        rows = [row for row in rows if any(row[1:])]
        return self.section("Attendance", table(["", *treated], rows, "l" + "r" * len(treated)))

    def staff(self) -> str:
        """Coaches: sessions, use of their places, loads, waiting."""
        coached = [arm for a, arm in enumerate(self.world.arms) if self.world.coached(a)]
        if not coached:
            return ""
        items = [
            ("sessions held", "sessions", 0), ("hours of sessions", "hours", 0), ("places taken, %", "places_used", 1),
            ("participants per coach, median", "median_load", 1), ("smallest", "smallest_load", 1),
            ("largest", "largest_load", 1), ("had to wait for a coach, %", "waited", 1),
            ("wait for a coach, mean days", "mean_wait_days", 1), ("longest wait, days", "longest_wait_days", 1),
        ]  # fmt: skip
        rows = [
            [text, *(self.cell(f"coaches/{arm}/{name}", digits) for arm in coached)] for text, name, digits in items
        ]
        staff = [["coaches", *(str(len(self.design.coaches(arm))) for arm in coached)]]
        return self.section("Staff", table(["", *coached], staff + rows, "l" + "r" * len(coached)))

    def outcomes(self) -> str:
        parts = [self._outcome(name) for name in self.world.outcomes]
        return self.section("Outcomes, as observed", *parts)

    def _outcome(self, name: str) -> str:
        outcome, arms = self.design.outcomes[name], self.world.arms
        rows = []
        for visit in self.world.visits:
            path = f"outcome/{name}/{{}}/{visit}"
            rows.append([f"{self.visit(visit)}: observed", *(self.count(f"{path.format(a)}/n") for a in arms)])
            rows.append(["  mean change", *(self.cell(f"{path.format(a)}/mean_change", 2) for a in arms)])
            rows.append(["  SD of change", *(self.cell(f"{path.format(a)}/sd_change", 2) for a in arms)])
            rows.append(["  responders, %", *(self.cell(f"{path.format(a)}/responders") for a in arms)])
        base = f"Baseline mean {self.cell(f'baseline/{name}/mean', 2)}, SD {self.cell(f'baseline/{name}/sd', 2)}."
        fall = f"Responders fall by at least {number(100 * outcome.responder_fall)}%."
        text = paragraph(f"{outcome.label or name}. {base} {fall}")
        return f"{text}\n\n{table(['', *arms], rows, 'l' + 'r' * len(arms))}"

    def cost(self) -> str:
        names = [name for name in self.experiment.measures if name.startswith("cost/")]
        if not any(np.nansum(self.experiment.measures[name]) for name in names):
            return ""
        rows = [[name.removeprefix("cost/"), self.cell(name, 0)] for name in names]
        return self.section(f"Cost ({self.design.costs.currency})", table(["", "amount"], rows, "lr"))

    # --- analysis ---

    def analyses(self) -> str:
        estimates = self.experiment.estimates
        if estimates is None or not estimates.labels:
            return ""
        if self.many:
            found = by_analysis(estimates, skip_failed=self.skip_failed)
            return "\n\n".join(self._many(name, rows, refusal) for name, rows, refusal in found)
        return "\n\n".join(self._one(estimates, name) for name in self.design.analyses)

    def _title(self, name: str) -> str:
        analysis = self.design.analyses[name]
        label = self.design.outcomes[analysis.outcome].label or analysis.outcome
        kinds = {
            "modified_poisson": f"modified Poisson regression of response on {label}: adjusted percentages",
            "linear": f"linear regression of change of {label}: adjusted means",
        }
        adjusted = f", adjusted for {', '.join(analysis.covariates)}" if analysis.covariates else ""
        gated = analysis.multiplicity == "lsd" and len(self.world.arms) > 1
        rule = " Pairs count as different only when the test of all arms is significant too (Fisher)." if gated else ""
        kind = kinds[analysis.kind]
        text = f"{kind[0].upper()}{kind[1:]}{adjusted}; robust variance by {analysis.cluster}; observed data.{rule}"
        return f"{heading(f'Analysis: {name}', '-')}\n\n{paragraph(text)}"

    def _one(self, estimates: Estimates, name: str) -> str:
        """One replicate: the arms' adjusted values, then the comparisons, visit by visit."""
        mine = {(label.visit, label.contrast, label.measure): _Result(estimates, place)
                for place, label in enumerate(estimates.labels) if label.analysis == name}  # fmt: skip
        failed = next((result for result in mine.values() if not result.converged), None)
        if failed is not None:
            return f"{self._title(name)}\n\nThe fit failed: {failed.reason}. There are no estimates."
        arms, head = self._arm_rows(mine), ["visit", *self.world.arms, "arms differ, p"]
        head = head[: len(arms[0])]  # one arm: nothing to test
        pairs = list(dict.fromkeys(contrast for _, contrast, measure in mine if measure in COMPARISONS))
        level = f"{self._level(name):g}% CI"
        parts = [
            self._title(name),
            table(head, arms, "l" + "r" * (len(head) - 1)),
        ]
        if pairs:
            parts.append(self._pair_table(mine, pairs, level))
        return "\n\n".join(parts)

    def _arm_rows(self, mine: dict[tuple[str, str, str], _Result]) -> list[list[str]]:
        rows = []
        for visit in self.world.visits:
            cells = [mine.get((visit, arm, PERCENTAGE)) or mine[visit, arm, MEAN_CHANGE] for arm in self.world.arms]
            test = mine.get((visit, "all arms", GLOBAL_TEST))
            rows.append([self.visit(visit), *(cell.with_interval() for cell in cells), *([test.p()] if test else [])])
        return rows

    def _pair_table(self, mine: dict[tuple[str, str, str], _Result], pairs: list[str], level: str) -> str:
        """Comparisons: each measure with its interval, p of the first, verdict, number needed to treat."""
        measures = [m for m in COMPARISONS if any(key[2] == m for key in mine)]
        rows = []
        for visit in self.world.visits:
            for pair in pairs:
                found = [mine[visit, pair, measure] for measure in measures]
                needed = mine.get((visit, pair, NNT))
                cells = [result.with_interval() for result in found]
                rows.append(
                    [
                        self.visit(visit),
                        pair,
                        *cells,
                        found[0].p(),
                        found[0].verdict(),
                        needed.needed() if needed else "",
                    ]
                )
        head = ["visit", "comparison", *(f"{m}, {level}" for m in measures), "p", "", "needed to treat"]
        if all(not row[-1] for row in rows):
            head, rows = head[:-1], [row[:-1] for row in rows]
        return table(head, rows, "ll" + "r" * (len(measures) + 1) + "l" + "r" * (len(head) - len(measures) - 4))

    def _level(self, name: str) -> float:
        return round(100 * (1 - self.design.analyses[name].alpha), 6)

    def _many(self, name: str, rows: Sequence[Performance], refusal: str) -> str:
        if refusal:
            return f"{self._title(name)}\n\n{paragraph(refusal)}"
        notes = "Truth: average of the potential outcomes."
        if any(row.label.measure == RISK_RATIO for row in rows):
            notes = f"For risk ratios, bias and standard errors are those of the logarithm. {notes}"
        parts = (self._title(name), self._arm_table(rows), self._comparison_table(rows), paragraph(notes))
        return "\n\n".join(part for part in parts if part)

    def _arm_table(self, rows: Sequence[Performance]) -> str:
        body = []
        for label, found in _by_label(rows, (PERCENTAGE, MEAN_CHANGE)):
            digits = 1 if label.measure == PERCENTAGE else 2
            cells = [_cell(found, s, digits) for s in ("mean estimate", "truth", "bias")]
            body.append([self.visit(label.visit), label.contrast, label.measure, *cells])
        return table(["visit", "arm", "measure", "mean estimate", "truth", "bias"], body, "lllrrr") if body else ""

    def _comparison_table(self, rows: Sequence[Performance]) -> str:
        statistics = ("mean estimate", "truth", "bias", "empirical SE", "model SE", "coverage", "power", "failed fits")
        body = []
        for label, found in _by_label(rows, (*COMPARISONS, GLOBAL_TEST)):
            digits = 2 if label.measure == "risk difference" else 3
            shown = [s for s in statistics if s != "failed fits"]
            cells = [_cell(found, s, 3 if s in ("coverage", "power") else digits) for s in shown]
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
        """'1.27 (1.04 to 1.54)'."""
        digits = 1 if self.label.measure in (PERCENTAGE, RISK_DIFFERENCE) else 2
        return f"{number(self.value, digits)} ({number(self.low, digits)} to {number(self.high, digits)})"

    def p(self) -> str:
        """The p value, if there is one."""
        return "" if np.isnan(self.p_value) else p_text(self.p_value)

    def verdict(self) -> str:
        """Whether the arms count as different."""
        return {1.0: "different", 0.0: "not shown to differ"}.get(self.significant, "")

    def needed(self) -> str:
        """Number needed to treat with its interval, where the risk difference is clear of 0."""
        if not np.isfinite(self.high) or self.value <= 0:
            return "-"
        return f"{number(self.value, 0)} ({number(self.low, 0)} to {number(self.high, 0)})"


def p_text(p: float) -> str:
    """A p value as journals print it."""
    return "<0.001" if p < 0.001 else number(p, 3)


def summary_text(experiment: Experiment, *, skip_failed: bool = False) -> str:
    """The whole summary of an experiment as plain text."""
    return Summary(experiment, skip_failed=skip_failed).text()


def one_line(design: Design) -> str:
    """A design in one line, for lists."""
    return f"{design.title or design.name} ({len(design.arms)} arms, {design.sample_size:,} participants)"


def performance_rows(experiment: Experiment, *, skip_failed: bool = False) -> list[Performance]:
    """Performance of many replicates; empty for one, and without the analyses that failed fits forbid."""
    estimates = experiment.estimates
    if estimates is None or len(experiment.replicates) < 2:
        return []
    return [row for _, rows, _ in by_analysis(estimates, skip_failed=skip_failed) for row in rows]


def summary_json(experiment: Experiment, *, skip_failed: bool = False) -> dict[str, Any]:
    """The summary as data: every measure, and estimates (one replicate) or performance (many).

    `refused` says of which analyses there is no performance because fits failed.
    """
    many = len(experiment.replicates) > 1
    measures = {}
    for name, values in experiment.measures.items():
        mean, error, n = mean_with_error(values)
        measures[name] = {"value": _finite(mean)} | ({"mcse": _finite(error), "n_replicates": n} if many else {})
    about = {
        "design": experiment.design.name,
        "seed": experiment.seed,
        "engine": experiment.engine,
        "replicates": len(experiment.replicates),
        "failures": [vars(failure) for failure in experiment.failures],
        "measures": measures,
    }
    analyses = _performance_json(experiment, skip_failed) if many else {"estimates": _estimates_json(experiment)}
    return about | analyses


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _performance_json(experiment: Experiment, skip_failed: bool) -> dict[str, Any]:
    found = list(by_analysis(experiment.estimates, skip_failed=skip_failed)) if experiment.estimates else []
    rows = [
        _label_json(row.label)
        | {
            "statistic": row.statistic,
            "value": _finite(row.value),
            "mcse": _finite(row.mcse),
            "n_replicates": row.n_replicates,
        }
        for _, analysis, _ in found
        for row in analysis
    ]
    return {"performance": rows, "refused": {name: why for name, _, why in found if why}}


def _estimates_json(experiment: Experiment) -> list[dict[str, Any]]:
    e = experiment.estimates
    if e is None:
        return []
    names = ("estimate", "std_error", "ci_low", "ci_high", "p_value", "significant", "truth")
    return [
        _label_json(label)
        | {name: _finite(float(getattr(e, name)[0, place])) for name in names}
        | {
            "converged": bool(e.converged[0, place]),
            "reason": str(e.reason[0, place]),
            "n_used": int(e.n_used[0, place]),
        }
        for place, label in enumerate(e.labels)
    ]


def _label_json(label: Label) -> dict[str, Any]:
    return {name: getattr(label, name) for name in ("analysis", "contrast", "visit", "measure", "estimand")}
