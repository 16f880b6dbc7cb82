"""What `trialsim run` prints: one trial, or the mean of many with Monte Carlo errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from trialsim.analysis.estimates import Label
from trialsim.design.delivery import Group
from trialsim.design.outcomes import Ordinal, Outcome, Score
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import decide, power_rows
from trialsim.experiments.performance import Performance, Truths, by_analysis, mean_with_error, of_trial
from trialsim.experiments.runner import Experiment
from trialsim.report.decision_text import decision_sections
from trialsim.report.describe.phrases import confounded, entered
from trialsim.report.layout import date_text, heading, number, paragraph, plural, table, with_error
from trialsim.report.summary_analyses import AnalysisText
from trialsim.world.world import World

NOTE = "Values are means over replicates ± Monte Carlo standard error."

_ROWS = {
    "score": (("mean change", "mean_change", 2), ("SD of change", "sd_change", 2), ("responders, %", "responders", 1)),
    "binary": (("yes, %", "responders", 1),),
    "ordinal": (("mean level", "mean", 2), ("responders, %", "responders", 1)),
    "count": (("mean number", "mean", 2), ("none, %", "responders", 1)),
    "event": (("had it, %", "responders", 1),),
    "dose": (("mean dose", "mean", 1), ("users, %", "users", 1)),
}
"""By kind of outcome: what is said of it at each visit, its measure, digits."""
_GROUPS = (
    ("groups", "n_groups", 0), ("participants per group, mean", "mean_size", 1), ("smallest", "smallest", 1),
    ("largest", "largest", 1), ("wait for a group, mean days", "mean_wait_days", 1),
    ("longest wait, days", "longest_wait_days", 1), ("hours of sessions", "hours", 0),
)  # fmt: skip


class Summary:
    """Text sections about an experiment; the same for one replicate and for many."""

    def __init__(self, experiment: Experiment, *, skip_failed: bool = False, truths: Truths | None = None) -> None:
        self.experiment, self.design = experiment, experiment.design
        self.world = World(experiment.design)
        self.skip_failed = skip_failed
        self.analysis_text = AnalysisText(experiment, skip_failed=skip_failed, truths=truths)
        self.many = len(experiment.replicates) > 1

    def text(self) -> str:
        """All sections."""
        return "\n\n".join(self.pieces()) + "\n"

    def pieces(self) -> list[str]:
        """All sections, in pieces."""
        sections = [self.title(), self.failures()]
        if len(self.experiment.replicates):
            parts = (
                self.calendar,
                self.funnel,
                self.arms,
                self.attendance,
                self.staff,
                self.groups,
                self.clusters,
                self.outcomes,
                self.analysis_text.pieces,
                self.decisions,
                self.cost,
            )
            sections += [part() for part in parts]
        return [piece for section in sections for piece in section]

    def decisions(self) -> list[str]:
        """Chances of the design's decisions, over many replicates."""
        rows, refused = decision_rows(self.experiment, skip_failed=self.skip_failed)
        return [*decision_sections(self.design, rows), *(paragraph(text) for text in refused)]

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

    def section(self, title: str, *parts: str) -> list[str]:
        return [heading(title, "-"), *(part for part in parts if part)]

    # --- sections ---

    def title(self) -> list[str]:
        e = self.experiment
        first = int(e.replicates[0]) if len(e.replicates) else 0
        what = f"replicates {first} to {int(e.replicates[-1])}" if self.many else f"replicate {first}"
        about = f"Simulated {what}, seed {e.seed}, {e.engine} engine."
        return [heading(self.design.title or self.design.name), about + (f" {NOTE}" if self.many else "")]

    def failures(self) -> list[str]:
        failures = self.experiment.failures
        if not failures:
            return []
        rows = [[str(f.replicate), f.stage, f.error] for f in failures[:10]]
        be = "is" if len(failures) == 1 else "are"
        text = f"{plural(len(failures), 'replicate')} failed and {be} not in the summary."
        return self.section("Failed replicates", text, table(["replicate", "stage", "error"], rows))

    def calendar(self) -> list[str]:
        rows = [
            ["Enrolment opens", date_text(self.design.start_date)],
            ["First participant", self.date("calendar/first_in_day")],
            ["Last participant", self.date("calendar/last_in_day")],
            ["Enrolment closes", self.date("calendar/closing_day")],
            ["Months of enrolment", self.cell("calendar/enrolment_months", 1)],
            ["Last visit", self.date("calendar/last_visit_day")],
        ]
        return self.section("Calendar", table(["", "when"], rows, "ll"))

    def funnel(self) -> list[str]:
        rows = [["contacted", self.count("funnel/contacted"), "", ""]]
        for step, reasons in zip(self.world.steps, self.world.reasons, strict=True):
            rows.append([step, self.count(f"funnel/{step}/passed"), "", ""])
            rows += [["", "", reason, self.count(f"funnel/{step}/lost/{reason}")] for reason in reasons]
            rows.append(["", "", "in process at closing", self.count(f"funnel/{step}/in process")])
        rows.append([entered(self.design), self.count("randomized/all"), "", ""])
        head = ["step", "passed", "not passed", "people"]
        each = self.cell("funnel/contacted_per_randomized")
        target = f"Target {self.design.sample_size:,}. {each} people contacted for each participant."
        return self.section(self._flow("Enrolment"), table(head, rows, "lrlr"), target)

    def arms(self) -> list[str]:
        names = self.world.arms
        rows = [[entered(self.design), *(self.count(f"randomized/{arm}") for arm in names)]]
        for status in ("declined", "stopped_waiting", "discontinued", "completed", "left_study"):
            cells = [self.count(f"treatment/{arm}/status/{status}") for arm in names]
            rows.append([f"treatment: {status.replace('_', ' ')}", *cells])
        rows.append(["withdrew from the study", *(self.count(f"study/{arm}/withdrew") for arm in names)])
        rows.append(["died", *(self.count(f"study/{arm}/died") for arm in names)])
        for visit in self.world.visits:
            rows.append([f"answered {self.visit(visit)}, %", *(self.cell(f"observed/{arm}/{visit}") for arm in names)])
        rows = [row for row in rows if any(row[1:])]
        warning = paragraph(confounded(self.design))
        return self.section(
            self._flow("Arms"), self._legend(), warning, table(["", *names], rows, "l" + "r" * len(names))
        )

    def _flow(self, title: str) -> str:
        """CONSORT is about trials that randomize."""
        return title if confounded(self.design) else f"{title} (CONSORT)"

    def _legend(self) -> str:
        labels = [f"{name}: {arm.label}." for name, arm in self.design.arms.items() if arm.label]
        return paragraph(" ".join(labels)) if labels else ""

    def visit(self, name: str) -> str:
        """A visit's label."""
        return self.design.visits[name].label or name

    def attendance(self) -> list[str]:
        treated = [arm for a, arm in enumerate(self.world.arms) if self.world.has_sessions(a)]
        if not treated:
            return []
        most = max(self.design.n_sessions(arm) for arm in treated)
        rows = [[f"{plural(k, 'session')} or more, %", *(self.cell(f"treatment/{arm}/at_least_{k}") for arm in treated)]
                for k in range(1, most + 1)]  # fmt: skip
        rows.append(["sessions per participant", *(self.cell(f"treatment/{arm}/mean_sessions", 2) for arm in treated)])
        rows.append(["called at least once, %", *(self.cell(f"treatment/{arm}/called") for arm in treated)])
        rows = [row for row in rows if any(row[1:])]
        return self.section("Attendance", table(["", *treated], rows, "l" + "r" * len(treated)))

    def staff(self) -> list[str]:
        """Coaches: sessions, use of their places, loads, waiting."""
        coached = [arm for a, arm in enumerate(self.world.arms) if self.world.coached(a)]
        if not coached:
            return []
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

    def groups(self) -> list[str]:
        """Delivery groups: number, size, waiting, components."""
        arms = {name: arm.delivery for name, arm in self.design.arms.items() if isinstance(arm.delivery, Group)}
        rows = [[text, *(self.cell(f"groups/{arm}/{name}", digits) for arm in arms)] for text, name, digits in _GROUPS]
        components = dict.fromkeys(name for delivery in arms.values() for name in delivery.components)
        rows += [[f"attended {name}, %", *(self.cell(f"components/{arm}/{name}/attended") for arm in arms)]
                 for name in components]  # fmt: skip
        rows = [row for row in rows if any(row[1:])]
        return self.section("Groups", table(["", *arms], rows, "l" + "r" * len(arms))) if rows else []

    def clusters(self) -> list[str]:
        """Randomized clusters: number, size, intraclass correlations."""
        rows = [["clusters", self.count("clusters/all")]]
        rows += [[f"  {arm}", self.count(f"clusters/{arm}")] for arm in self.world.arms]
        rows += [["participants per cluster, mean", self.cell("clusters/size_mean", 1)]]
        rows += [["  coefficient of variation", self.cell("clusters/size_cv", 2)]]
        for name in self.world.outcomes:
            rows.append([f"ICC of {name} at baseline", self.cell(f"clusters/{name}/baseline_icc", 3)])
            for visit in self.world.visits:
                rows.append([f"  {self.visit(visit)}, given arm", self.cell(f"clusters/{name}/{visit}/icc", 3)])
                rows.append(["  given baseline too", self.cell(f"clusters/{name}/{visit}/adjusted_icc", 3)])
        rows = [row for row in rows if row[1]]
        return self.section("Clusters", table(["", "value"], rows, "lr")) if rows else []

    def outcomes(self) -> list[str]:
        parts = [piece for name in self.world.outcomes for piece in self._outcome(name)]
        return self.section("Outcomes, as observed", *parts)

    def _outcome(self, name: str) -> list[str]:
        outcome, arms = self.design.outcomes[name], self.world.arms
        rows = []
        known = "observed" if outcome.source == "questionnaire" else "known"
        for visit in self.world.visits:
            path = f"outcome/{name}/{{}}/{visit}"
            rows.append([f"{self.visit(visit)}: {known}", *(self.count(f"{path.format(a)}/n") for a in arms)])
            for text, measure, digits in _ROWS[outcome.kind]:
                rows.append([f"  {text}", *(self.cell(f"{path.format(a)}/{measure}", digits) for a in arms)])
        base = f"Baseline mean {self.cell(f'baseline/{name}/mean', 2)}, SD {self.cell(f'baseline/{name}/sd', 2)}."
        about = f"{base if outcome.has_baseline else ''} {_note(outcome)}"
        text = paragraph(f"{outcome.label or name}. {about}")
        return [text, table(["", *arms], rows, "l" + "r" * len(arms))]

    def cost(self) -> list[str]:
        names = [name for name in self.experiment.measures if name.startswith("cost/")]
        if not any(np.nansum(self.experiment.measures[name]) for name in names):
            return []
        rows = [[name.removeprefix("cost/"), self.cell(name, 0)] for name in names]
        return self.section(f"Cost ({self.design.costs.currency})", table(["", "amount"], rows, "lr"))


def _note(outcome: Outcome) -> str:
    """What must be known to read an outcome's rows."""
    if isinstance(outcome, Score):
        move = "rise" if outcome.better_is_higher else "fall"
        text = f"Responders {move} by at least {number(100 * outcome.responder_change)}%."
    elif isinstance(outcome, Ordinal):
        text = f"Levels count from 0; responders are at '{outcome.responder_from}' or higher."
    else:
        text = _NOTES[outcome.kind]
    return f"{text} From health records." if outcome.source == "record" else text


_NOTES = {
    "binary": "Values are 1 for yes, 0 for no.",
    "count": "Numbers since the visit before, at baseline in the year before.",
    "event": "Those who have had it by the visit, of those of whom it is known.",
    "dose": "Means are over everybody, users or not.",
}


def summary_text(experiment: Experiment, *, skip_failed: bool = False, truths: Truths | None = None) -> str:
    """The whole summary of an experiment as plain text."""
    return Summary(experiment, skip_failed=skip_failed, truths=truths).text()


def performance_rows(
    experiment: Experiment, *, skip_failed: bool = False, truths: Truths | None = None
) -> list[Performance]:
    """Performance of many replicates; empty for one, and without the analyses that failed fits forbid."""
    estimates = experiment.estimates
    if estimates is None or len(experiment.replicates) < 2:
        return []
    rows = [row for _, found, _ in by_analysis(estimates, skip_failed=skip_failed, truths=truths) for row in found]
    rows += decision_rows(experiment, skip_failed=skip_failed)[0]
    return rows + of_trial(experiment.measures)


def decision_rows(experiment: Experiment, *, skip_failed: bool = False) -> tuple[list[Performance], list[str]]:
    """Chances of the design's decisions, and why there are none of some (a fit that they need failed)."""
    rows: list[Performance] = []
    refused: list[str] = []
    if experiment.estimates is None or len(experiment.replicates) < 2:
        return rows, refused
    for name in experiment.design.decisions:
        try:
            decided = decide(experiment.design, name, experiment.estimates)
            rows += power_rows(decided, skip_failed=skip_failed)
        except ResultsError as error:
            refused.append(str(error))
    return rows, refused


def summary_json(experiment: Experiment, *, skip_failed: bool = False, truths: Truths | None = None) -> dict[str, Any]:
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
    analyses = (
        _performance_json(experiment, skip_failed, truths) if many else {"estimates": _estimates_json(experiment)}
    )
    return about | analyses


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _performance_json(experiment: Experiment, skip_failed: bool, truths: Truths | None) -> dict[str, Any]:
    found = []
    if experiment.estimates:
        found = list(by_analysis(experiment.estimates, skip_failed=skip_failed, truths=truths))
    rows = [
        _label_json(row.label)
        | {
            "statistic": row.statistic,
            "value": _finite(row.value),
            "mcse": _finite(row.mcse),
            "n_replicates": row.n_replicates,
        }
        for row in performance_rows(experiment, skip_failed=skip_failed, truths=truths)
    ]
    refused = {name: why for name, _, why in found if why}
    _, undecided = decision_rows(experiment, skip_failed=skip_failed)
    return {"performance": rows, "refused": refused | {why.partition(":")[0]: why for why in undecided}}


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
