"""The analysis plan of a design, carried out on what was observed; the truth is put beside it afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis import inference
from trialsim.analysis.cells import CellFit, fit_cells
from trialsim.analysis.estimates import (
    GLOBAL_TEST,
    MEAN_CHANGE,
    MEAN_DIFFERENCE,
    NNT,
    PERCENTAGE,
    RISK_DIFFERENCE,
    RISK_RATIO,
    Estimates,
    Label,
    concatenate_labels,
)
from trialsim.block import Block
from trialsim.design.parts import Analysis, Design
from trialsim.world import formulas
from trialsim.world.observation import ObservedData
from trialsim.world.outcomes import is_responder

Floats = NDArray[np.float64]
Values = dict[str, NDArray[Any]]


def analyse_block(block: Block) -> Estimates:
    """All analyses of the plan on every replicate of a block, with the truth from the potential outcomes beside."""
    design = block.world.design
    replicate = np.arange(block.first, block.first + block.n_replicates, dtype=np.int32)
    parts = []
    for name, analysis in design.analyses.items():
        estimates = estimate(design, name, block.observed, replicate)
        parts.append(replace(estimates, truth=_truth(block, analysis, estimates)))
    return concatenate_labels(parts, replicate)


# --- the estimates: observed data only --------------------------------------------------------------------------------


def estimate(design: Design, name: str, data: ObservedData, replicate: NDArray[np.int32]) -> Estimates:
    """One analysis of the plan on observed data of R replicates. `truth` is left NaN."""
    analysis = design.analyses[name]
    binary = analysis.kind == "modified_poisson"
    y = data.responder[analysis.outcome].astype(float) if binary else _change(data, analysis.outcome)
    fit = fit_cells(
        y,
        data.observed,
        data.arm,
        covariate_matrix(design, analysis, data),
        _clusters(design, analysis, data),
        n_arms=len(design.arms),
        family="poisson" if binary else "gaussian",
    )
    return _Rows(design, name, fit).estimates(replicate)


def _change(data: ObservedData, outcome: str) -> Floats:
    return data.value[outcome] - data.baseline[outcome][:, :, None]


def covariate_matrix(design: Design, analysis: Analysis, data: ObservedData) -> Floats:
    """Covariates of an analysis, (R, N, C): the baseline value, indicators of all sites but the first, and others."""
    columns: list[Floats] = []
    for name in analysis.covariates:
        if name == "baseline":
            columns.append(data.baseline[analysis.outcome])
        elif name == "site":
            columns += [(data.site == site).astype(float) for site in range(1, len(design.recruitment.sites))]
        else:
            columns.append(data.covariates[name])
    return np.stack(columns, axis=-1) if columns else np.empty((*data.arm.shape, 0))


def _clusters(design: Design, analysis: Analysis, data: ObservedData) -> NDArray[np.int64]:
    """-1 for participants who stand alone; coaches are numbered through all arms."""
    if analysis.cluster == "person":
        return np.full(data.arm.shape, -1, dtype=np.int64)
    staff = [len(design.coaches(arm)) for arm in design.arms]
    offset = np.concatenate([[0], np.cumsum(staff)[:-1]]).astype(np.int64)
    return np.where(data.coach >= 0, offset[np.maximum(data.arm, 0)] + data.coach, -1)


@dataclass
class _Rows:
    """Collects the columns of one analysis."""

    design: Design
    name: str
    fit: CellFit

    def estimates(self, replicate: NDArray[np.int32]) -> Estimates:
        """All labels of the analysis, visit by visit: arms, the test of all arms, pairs of arms."""
        analysis, arms = self.design.analyses[self.name], list(self.design.arms)
        self.alpha = analysis.alpha
        self.binary = analysis.kind == "modified_poisson"
        self.labels: list[Label] = []
        self.found: list[Values] = []
        self.means = inference.cell_means(self.fit, alpha=self.alpha)
        self.test = inference.global_test(self.fit)
        self.pairs: dict[tuple[str, int, int], inference.Estimate] = {}
        pairs = list(analysis.contrasts) or [(a, b) for i, a in enumerate(arms) for b in arms[i + 1 :]]
        for v, visit in enumerate(self.design.visits):
            self._arms(arms, v, visit)
            gate = self._global(v, visit) if len(arms) > 1 else None
            for a, b in pairs:
                self._pair(arms.index(a), arms.index(b), f"{a} - {b}", v, visit, gate)
        return self._stacked(replicate)

    def _add(self, contrast: str, visit: str, measure: str, estimand: str, values: Values) -> None:
        self.labels.append(Label(self.name, contrast, visit, measure, estimand))
        self.found.append(values)

    def _arms(self, arms: list[str], v: int, visit: str) -> None:
        scale = 100.0 if self.binary else 1.0
        measure = PERCENTAGE if self.binary else MEAN_CHANGE
        for a, arm in enumerate(arms):
            values = _pick(self.means, (slice(None), a, v), scale)
            values["p_value"] = np.full(len(values["estimate"]), np.nan)
            values["n_used"] = self.fit.n_cell[:, a, v]
            self._add(arm, visit, measure, "treatment policy", values)

    def _global(self, v: int, visit: str) -> Floats:
        p = self.test.p_value[:, v]
        nothing = np.full(len(p), np.nan)
        values = {"estimate": self.test.statistic[:, v], "std_error": nothing, "ci_low": nothing, "ci_high": nothing}
        values |= {"p_value": p, "n_used": self.fit.n_cell[:, :, v].sum(axis=1)}
        values["significant"] = np.where(np.isnan(p), np.nan, p < self.alpha)
        self._add("all arms", visit, GLOBAL_TEST, "treatment policy", values)
        return p

    def _pair(self, a: int, b: int, contrast: str, v: int, visit: str, gate: Floats | None) -> None:
        difference = self._once(inference.difference, a, b)
        n = self.fit.n_cell[:, a, v] + self.fit.n_cell[:, b, v]
        if self.binary:
            ratio = self._once(inference.ratio, a, b)
            self._contrast(contrast, visit, RISK_RATIO, _pick(ratio, (slice(None), v)), n, gate)
            self._contrast(contrast, visit, RISK_DIFFERENCE, _pick(difference, (slice(None), v), 100.0), n, gate)
            needed = inference.number_needed_to_treat(difference)
            values = _pick(needed, (slice(None), v)) | {"n_used": n}
            values["p_value"] = np.full(len(n), np.nan)
            self._add(contrast, visit, NNT, "treatment policy", values)
        else:
            self._contrast(contrast, visit, MEAN_DIFFERENCE, _pick(difference, (slice(None), v)), n, gate)

    def _once(self, contrast: Callable[..., inference.Estimate], a: int, b: int) -> inference.Estimate:
        """A contrast of two arms at all visits, computed for the first visit that asks."""
        key = (contrast.__name__, a, b)
        if key not in self.pairs:
            self.pairs[key] = contrast(self.fit, a, b, alpha=self.alpha)
        return self.pairs[key]

    def _contrast(
        self,
        contrast: str,
        visit: str,
        measure: str,
        values: Values,
        n: NDArray[np.int64],
        gate: Floats | None,
    ) -> None:
        p = values["p_value"]
        gated = gate is not None and self.design.analyses[self.name].multiplicity == "lsd"
        if gated and gate is not None:
            significant = inference.lsd(gate, p, alpha=self.alpha)
        else:
            significant = np.where(np.isnan(p), np.nan, p < self.alpha)
        self._add(contrast, visit, measure, "treatment policy", values | {"n_used": n, "significant": significant})

    def _stacked(self, replicate: NDArray[np.int32]) -> Estimates:
        shape = (len(replicate), len(self.labels))

        def stack(name: str) -> Floats:
            nothing = np.full(len(replicate), np.nan)
            return np.stack([f.get(name, nothing) for f in self.found], axis=1).astype(float)

        reasons = np.array([_with_names(self.design, reason) for reason in self.fit.reason], dtype=object)
        return Estimates(
            labels=tuple(self.labels),
            replicate=replicate,
            estimate=stack("estimate"),
            std_error=stack("std_error"),
            ci_low=stack("ci_low"),
            ci_high=stack("ci_high"),
            p_value=stack("p_value"),
            significant=stack("significant"),
            truth=np.full(shape, np.nan),
            n_used=stack("n_used").astype(np.int32),
            converged=np.broadcast_to(self.fit.converged[:, None], shape).copy(),
            reason=np.broadcast_to(reasons[:, None], shape).copy(),
        )


def _with_names(design: Design, reason: str) -> str:
    """A fit's reason for failing, with names for the numbers of arms and visits."""
    arms, visits = list(design.arms), list(design.visits)
    reason = re.sub(r"\barm (\d+)", lambda match: f"arm {arms[int(match[1])]}", reason)
    return re.sub(r"\bvisit (\d+)", lambda match: f"visit {visits[int(match[1])]}", reason)


def _pick(found: inference.Estimate, place: Any, scale: float = 1.0) -> Values:
    """One cell or contrast of an inference result, for all replicates."""
    names = ("estimate", "std_error", "ci_low", "ci_high")
    values = {name: scale * getattr(found, name)[place] for name in names}
    return values | {"p_value": found.p_value[place]}


# --- the truth: potential outcomes only -------------------------------------------------------------------------------


def _truth(block: Block, analysis: Analysis, estimates: Estimates) -> Floats:
    """True value of each label among each replicate's participants, (R, L); NaN where there is none."""
    arms = _potential_means(block, analysis)
    visits = block.world.visits
    truth = np.full(estimates.estimate.shape, np.nan)
    for place, label in enumerate(estimates.labels):
        values = [arms[block.world.arms.index(arm), visits.index(label.visit)]
                  for arm in label.contrast.split(" - ") if arm in block.world.arms]  # fmt: skip
        truth[:, place] = _true_value(label.measure, values, block.n_replicates)
    return truth


def _true_value(measure: str, arms: list[Floats], n_replicates: int) -> Floats:
    if measure in (PERCENTAGE, MEAN_CHANGE):
        return arms[0]
    nothing = np.full(n_replicates, np.nan)
    if measure == RISK_RATIO:
        return np.divide(arms[0], arms[1], out=nothing, where=arms[1] > 0)
    if measure in (RISK_DIFFERENCE, MEAN_DIFFERENCE):
        return arms[0] - arms[1]
    if measure == NNT:
        gap = (arms[0] - arms[1]) / 100
        return np.divide(1.0, gap, out=nothing, where=gap != 0)
    return nothing


def _potential_means(block: Block, analysis: Analysis) -> Floats:
    """Mean potential endpoint under each arm at each visit, over all participants: (A, V, R); percentages or points."""
    k = block.world.outcomes.index(analysis.outcome)
    outcome = block.world.design.outcomes[analysis.outcome]
    baseline, potential = block.plan.cohort.baseline[k], block.outcomes.potential[k]
    valid = block.plan.cohort.valid
    n = valid.sum(axis=0)
    if analysis.kind == "modified_poisson":
        endpoint = 100.0 * (is_responder(outcome, baseline, potential) & valid).sum(axis=2)
    else:
        change = np.where(valid, potential.astype(np.int32) - baseline, 0)
        endpoint = formulas.from_grid(change.sum(axis=2), 0.0, outcome.items)
    return np.divide(endpoint, n, out=np.full(endpoint.shape, np.nan), where=n > 0)
