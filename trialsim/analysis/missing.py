"""What is done about missing values before a model sees them: completed copies of the values, weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.endpoints import Cut, covariate_matrix
from trialsim.analysis.fits import Bools, FitError, Floats, Texts, no_reasons
from trialsim.analysis.imputation import chained, joint_normal
from trialsim.analysis.pattern_mixture import impute_change
from trialsim.analysis.reference_based import delta_adjusted, reference_based
from trialsim.analysis.response_weights import inverse_probability_weights, response_weights
from trialsim.design.parts import Design
from trialsim.world.draws import Draws, Luck
from trialsim.world.observation import ObservedData
from trialsim.world.streams import Stream


@dataclass(frozen=True, eq=False)
class Completed:
    """Values of R replicates in m copies; a replicate for which it could not be done has a reason."""

    value: Floats  # (R, m, N, V) points, NaN where still missing
    weights: Floats | None  # (R, N, V)
    reason: Texts  # (R,)


def complete(design: Design, name: str, data: ObservedData, seen: Cut, draws: Draws | None) -> Completed:
    """Carry out an analysis's way with missing values. `draws` are needed for imputation only (ValueError)."""
    analysis: Any = design.analyses[name]
    method, n = analysis.missing, len(data.arm)
    if method.kind in ("available", "complete_cases"):
        return Completed(seen.value[:, None], None, no_reasons(n))
    copies = method.imputations if method.kind in ("imputation", "reference") else 1
    value = np.full((n, copies, *seen.value.shape[1:]), np.nan)
    weights = np.ones_like(seen.value) if method.kind in ("weights", "pattern_mixture") else None
    reason = no_reasons(n)
    for r in range(n):
        one = _Replicate(design, analysis, data, seen, r)
        try:
            if weights is not None:
                value[r, 0][one.rows], weights[r][one.rows] = one.weighted()
            else:
                if draws is None:
                    raise ValueError(f"analysis {name}: imputation needs draws")
                value[r][:, one.rows] = one.imputed(draws.luck(Stream.IMPUTATION, r, name))
        except FitError as fault:
            reason[r] = str(fault)
    return Completed(value, weights, reason)


class _Replicate:
    """One replicate's participants."""

    def __init__(self, design: Design, analysis: Any, data: ObservedData, seen: Cut, r: int) -> None:
        self.design, self.analysis, self.method = design, analysis, analysis.missing
        self.rows: Bools = data.arm[r] >= 0
        self.arm: NDArray[np.int64] = data.arm[r][self.rows].astype(np.int64)
        self.value, self._seen = seen.value[r][self.rows], seen
        self.known = ~np.isnan(self.value) | seen.settled[r][self.rows]
        self.baseline = data.baseline[analysis.outcome][r][self.rows]
        self.n_arms = len(design.arms)
        self._data, self._r = data, r

    def covariates(self, names: tuple[str, ...]) -> Floats:
        whole = covariate_matrix(self.design, self.analysis.outcome, names, self._data.replicate(self._r))
        return whole[0][self.rows]

    def weighted(self) -> tuple[Floats, Floats]:
        """Values and weights (N, V)."""
        if self.method.kind == "weights":
            # An endpoint known without a value (a composite's) has no history; the baseline stands for it.
            history = np.where(self.known & np.isnan(self.value), self.baseline[:, None], self.value)
            weights = inverse_probability_weights(
                self.known, self.arm, self.covariates(self.method.covariates), history,
                n_arms=self.n_arms, history=self.method.history,
                by_arm=self.method.by_arm,
            )  # fmt: skip
            return self.value, np.where(np.isnan(weights), 1.0, weights)
        change = self.value - self.baseline[:, None]
        responded = self.known.any(axis=1)
        filled = impute_change(
            change, self.arm, n_arms=self.n_arms, covariates=self.covariates(self.method.covariates)
        )  # fmt: skip
        covariates = self.covariates(self.method.response_covariates)
        weights = response_weights(responded, covariates, self.arm)
        return filled + self.baseline[:, None], np.where(np.isnan(weights), 1.0, weights)[:, None]

    def imputed(self, luck: Luck) -> Floats:
        """Completed copies of the values (m, N, V)."""
        covariates, method = self.covariates(self.method.covariates), self.method
        common = {"n_arms": self.n_arms, "m": method.imputations, "luck": luck}
        if method.kind == "reference":
            stopped = self._seen.stopped[self._r][self.rows]
            deviation = np.where(stopped.any(axis=1), stopped.argmax(axis=1), self.value.shape[1])
            reference = list(self.design.arms).index(method.reference)
            copies = reference_based(
                self.value, self.arm, covariates, reference=reference, method=method.rule,
                deviation=deviation, **common,
            )  # fmt: skip
        else:
            model = joint_normal if method.model == "joint_normal" else chained
            copies = model(self.value, self.arm, covariates, by_arm=method.by_arm, **common)
        delta = np.array([method.delta.get(arm, 0.0) for arm in self.design.arms])
        return delta_adjusted(copies, self.value, self.arm, delta) if delta.any() else copies
