"""The flow of participants as numbers: enrolment, allocation, treatment, follow-up, analysis (CONSORT 2025)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import MEANS
from trialsim.experiments.performance import mean_with_error
from trialsim.report.figures.analyses import primary
from trialsim.report.figures.words import arm_label, visit_label
from trialsim.report.layout import number, with_error
from trialsim.world.histories import Missing, Status

if TYPE_CHECKING:
    from trialsim.report.figures.kinds import Asked
    from trialsim.report.figures.material import Material
    from trialsim.report.figures.series import Series


@dataclass(frozen=True)
class Count:
    """A number of people: of one trial, or the mean over trials with its Monte Carlo error."""

    value: float
    mcse: float

    @property
    def text(self) -> str:
        """'n = 2,331', or '2,331.0 ± 0.2'."""
        if math.isnan(self.value):
            return "unknown"
        if math.isnan(self.mcse):
            return number(self.value, 0 if float(self.value).is_integer() else 1)
        if self.mcse == 0 and float(self.value).is_integer():
            return f"{number(self.value, 0)} ± 0"
        return with_error(self.value, self.mcse, 1 if abs(self.value) < 1000 else 0)


Named = list[tuple[str, Count]]


@dataclass(frozen=True)
class Passage:
    """A step of the funnel: who passes it, who does not and why, who is on the way when enrolment closes."""

    name: str
    passed: Count
    lost: Named
    all_lost: Count


@dataclass(frozen=True)
class ArmFlow:
    """One arm from allocation to analysis."""

    label: str
    n: Count
    clusters: Count | None
    treated: bool
    """Whether it has sessions."""
    started: Count
    unstarted: Count
    not_started: Named
    classes: Named
    visits: list[tuple[str, Count, Named]]
    """Visit, who answered, who did not and why."""
    analysed: list[tuple[str, Count, Count]]
    """Visit, who is in the analysis, who is not."""


@dataclass(frozen=True)
class Flow:
    """All of it."""

    contacted: Count
    steps: list[Passage]
    randomized: Count
    clusters: Count | None
    arms: list[ArmFlow]
    analysis: str
    """The analysis whose numbers stand at the end; empty where there is none."""
    n_replicates: int


def flow_of(material: Material, asked: Asked) -> Flow:
    """The flow of the replicate asked for, or the mean over those that were simulated again."""
    if asked.replicate is None:
        series, rows = material.series, np.arange(len(material.series))
    else:
        series, rows = material.again(asked.replicate), np.array([material.column_of(asked.replicate)])
    return _Flow(material, series, rows).whole()


class _Flow:
    """Reads the flow off the measures of some replicates and their series, which are in the same order."""

    def __init__(self, material: Material, series: Series, rows: NDArray[np.intp]) -> None:
        self.material, self.series, self.rows = material, series, rows

    def whole(self) -> Flow:
        m, world = self.material, self.material.world
        analysis = primary(m.design) if m.design.analyses and m.estimates is not None else ""
        return Flow(
            contacted=self._measure("funnel/contacted"),
            steps=[self._step(k) for k in range(len(world.steps))],
            randomized=self._measure("randomized/all"),
            clusters=self._measure("clusters/all") if "clusters/all" in m.measures else None,
            arms=[self._arm(a, analysis) for a in range(len(world.arms))],
            analysis=analysis,
            n_replicates=len(self.rows),
        )

    def _measure(self, path: str) -> Count:
        return self._count(self.material.measures[path][self.rows])

    def _count(self, values: NDArray[np.generic]) -> Count:
        return Count(*mean_with_error(np.asarray(values, dtype=float))[:2])

    def _step(self, place: int) -> Passage:
        world = self.material.world
        step = world.steps[place]
        paths = {reason: f"funnel/{step}/lost/{reason}" for reason in world.reasons[place]}
        on_way = f"funnel/{step}/in process"
        lost = [(reason.replace("_", " "), self._measure(path)) for reason, path in paths.items()]
        lost.append(("in process when enrolment closed", self._measure(on_way)))
        every = np.sum([self.material.measures[path][self.rows] for path in [*paths.values(), on_way]], axis=0)
        return Passage(step.replace("_", " "), self._measure(f"funnel/{step}/passed"), lost, self._count(every))

    def _arm(self, a: int, analysis: str) -> ArmFlow:
        m, name = self.material, self.material.world.arms[a]
        status, sessions = self.series.status[:, a], self.series.sessions[:, a]
        without = status[:, :, 0]
        reasons = {
            "declined": without[:, Status.DECLINED],
            "stopped waiting": without[:, Status.STOPPED_WAITING],
            "left the study": without[:, Status.LEFT_STUDY],
            "came to no session": without[:, Status.DISCONTINUED] + without[:, Status.COMPLETED],
        }
        return ArmFlow(
            label=arm_label(m.design, name),
            n=self._count(sessions.sum(axis=1)),
            clusters=self._measure(f"clusters/{name}") if f"clusters/{name}" in m.measures else None,
            treated=m.world.has_sessions(a),
            started=self._count(sessions[:, 1:].sum(axis=1)),
            unstarted=self._count(sessions[:, 0]),
            not_started=[(reason, self._count(n)) for reason, n in reasons.items()],
            classes=self._classes(sessions[:, : m.world.session_counts[a] + 1]),
            visits=[self._visit(a, v) for v in range(len(m.world.visits))],
            analysed=self._analysed(a, name, analysis),
        )

    def _classes(self, sessions: NDArray[np.int64]) -> Named:
        """Adherence: all sessions, at least half, fewer, none."""
        planned = sessions.shape[1] - 1
        if planned < 1:
            return []
        half = -(-planned // 2)
        edges = [(planned, planned), (half, planned - 1), (1, half - 1), (0, 0)]
        found: Named = []
        for low, high in edges:
            if low <= high:
                text = "none" if high == 0 else f"all {planned}" if low == planned else f"{low} to {high}"
                text = f"{low}" if 0 < low == high < planned else text
                found.append((text, self._count(sessions[:, low : high + 1].sum(axis=1))))
        return found

    def _visit(self, a: int, v: int) -> tuple[str, Count, Named]:
        counts = self.series.missing[:, a, v]
        reasons = {"no answer": Missing.NO_ANSWER, "withdrew": Missing.WITHDREW, "died": Missing.DIED}
        label = visit_label(self.material.design, self.material.world.visits[v])
        why = [(reason, self._count(counts[:, code])) for reason, code in reasons.items()]
        return label, self._count(counts[:, Missing.ANSWERED]), why

    def _analysed(self, a: int, name: str, analysis: str) -> list[tuple[str, Count, Count]]:
        estimates, n = self.material.estimates, self.series.sessions[:, a].sum(axis=1)
        found = []
        for place, label in enumerate(estimates.labels if estimates is not None and analysis else ()):
            if (label.analysis, label.contrast) == (analysis, name) and label.measure in MEANS:
                assert estimates is not None
                used = estimates.n_used[self.rows, place]
                visit = visit_label(self.material.design, label.visit) if label.visit else ""
                found.append((visit, self._count(used), self._count(n - used)))
        return found
