"""Estimates of one analysis as labelled columns: arms, the test of all arms, pairs of arms, visit by visit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis import hypotheses, inference
from trialsim.analysis.estimates import (
    GLOBAL_TEST,
    MEAN_CHANGE,
    MEAN_COUNT,
    MEAN_TIME,
    NNT,
    ODDS_RATIO,
    PERCENTAGE,
    RATE_RATIO,
    RATIOS,
    RISK_DIFFERENCE,
    RISK_RATIO,
    TIME_RATIO,
    Estimates,
    Label,
)
from trialsim.analysis.fits import Bools, Floats, Ints, Texts, no_reasons
from trialsim.analysis.inference import Estimate
from trialsim.analysis.models import Compared, Fitted, Numbers
from trialsim.design.analysis_checks import EVENTS, endpoint_of, measures_of
from trialsim.design.parts import Design

_NUMBERS = ("estimate", "std_error", "df", "ci_low", "ci_high", "p_value")
_OF_ARMS = {"change": MEAN_CHANGE, "response": PERCENTAGE, "first_response": MEAN_TIME}
_PERCENT = (PERCENTAGE, RISK_DIFFERENCE)
NO_VARIANCE = "nothing varies, or too few clusters do"
"""Reason of an estimate without an error: a covariance that is 0 or singular."""


def rows_of(design: Design, name: str, numbers: Numbers, fitted: Fitted, replicate: NDArray[np.int32]) -> Estimates:
    """All labels of an analysis."""
    return _Rows(design, name, numbers, fitted, replicate).estimates()


class _Rows:
    """Collects the columns of one analysis."""

    def __init__(
        self, design: Design, name: str, numbers: Numbers, fitted: Fitted, replicate: NDArray[np.int32]
    ) -> None:
        self.design, self.name, self.numbers, self.fitted, self.replicate = design, name, numbers, fitted, replicate
        self.analysis = numbers.analysis
        self.arms = list(design.arms)
        self.estimand = "complier" if self.analysis.kind == "complier" else self.analysis.estimand.replace("_", " ")
        self.labels: list[Label] = []
        self.columns: list[dict[str, NDArray[Any]]] = []
        self.n = len(replicate)

    def estimates(self) -> Estimates:
        """Every label, visit by visit: arms, the test of all arms, pairs."""
        visits = list(self.design.visits)
        together = self.analysis.kind in EVENTS or self.analysis.kind == "counts"
        places = [(0, visits[-1])] if together else list(enumerate(visits))
        self.of_pairs = {measure: self._of_pairs(measure) for measure in self._measures()}
        if self.fitted.means is not None:
            self.of_arms = inference.arm_means(self.fitted.means, alpha=self.analysis.alpha)
        statistic, p = self._global_test()
        for v, visit in places:
            if not together and self.analysis.visits and visit not in self.analysis.visits:
                continue
            self._arms(v, visit)
            if len(self.arms) > 1 and statistic is not None and p is not None:
                self._add_global(v, visit, statistic[:, v], p[:, v])
            self._pairs(v, visit, p[:, v] if p is not None else np.full(self.n, np.nan))
        return self._stacked()

    def _add(self, contrast: str, visit: str, measure: str, values: dict[str, NDArray[Any]]) -> None:
        self.labels.append(Label(self.name, contrast, visit, measure, self.estimand))
        self.columns.append(values)

    # --- arms and the test of all ---

    def _arms(self, v: int, visit: str) -> None:
        means = self.fitted.means
        if means is None:
            return
        measure = MEAN_COUNT if self.analysis.kind == "counts" else _OF_ARMS[endpoint_of(self.analysis)]
        for a, arm in enumerate(self.arms):
            values = _picked(self.of_arms, (slice(None), a, v), measure)
            self._add(arm, visit, measure, values | {"n_used": means.n_cell[:, a, v], "reason": means.reason[:, v]})

    def _global_test(self) -> tuple[Floats | None, Floats | None]:
        """Statistic and p-value (R, V) of the test that all arms are equal, where the analysis has one."""
        if self.analysis.kind in ("complier", "user"):
            return None, None
        if self.fitted.compared:
            return self.fitted.compared[0].global_statistic, self.fitted.compared[0].global_p
        assert self.fitted.means is not None
        test = inference.global_test(self.fitted.means)
        return test.statistic, test.p_value

    def _add_global(self, v: int, visit: str, statistic: Floats, p: Floats) -> None:
        values: dict[str, NDArray[Any]] = {"estimate": statistic, "p_value": p}
        values["significant"] = np.where(np.isnan(p), np.nan, p < self.analysis.alpha)
        means, compared = self.fitted.means, self.fitted.compared
        values["n_used"] = means.n_cell[:, :, v].sum(axis=1) if means else compared[0].n_used[:, :, v].max(axis=1)
        values["reason"] = means.reason[:, v] if means else _first_reason(compared[0].reason[:, :, v])
        self._add("all arms", visit, GLOBAL_TEST, values)

    # --- pairs ---

    def _measures(self) -> tuple[str, ...]:
        """Measures of pairs in the order in which they are shown."""
        if self.fitted.compared:
            return tuple(one.measure for one in self.fitted.compared)
        return measures_of(self.analysis)

    def _of_pairs(self, measure: str) -> list[Estimate]:
        """One measure of every pair at all visits, each (R, V)."""
        alpha = self.analysis.alpha
        compared = next((one for one in self.fitted.compared if one.measure == measure), None)
        if compared is not None:
            return [_of_compared(compared, p, alpha) for p in range(len(self.numbers.pairs))]
        assert self.fitted.means is not None
        function = {RISK_RATIO: inference.ratio, RATE_RATIO: inference.ratio, TIME_RATIO: inference.ratio}.get(
            measure, inference.odds_ratio if measure == ODDS_RATIO else inference.difference
        )
        return [function(self.fitted.means, a, b, alpha=alpha) for a, b in self.numbers.pairs]

    def _pairs(self, v: int, visit: str, global_p: Floats) -> None:
        if not self.numbers.pairs:  # a trial of one arm
            return
        verdicts = {measure: self._verdicts(measure, v, global_p) for measure in self.of_pairs}
        for p, (a, b) in enumerate(self.numbers.pairs):
            contrast = f"{self.arms[a]} - {self.arms[b]}"
            counts = self._used(p, a, b, v)
            for measure, found in self.of_pairs.items():
                values = _picked(found[p], (slice(None), v), measure) | counts[measure]
                values["p_value"], values["significant"] = (part[:, p] for part in verdicts[measure])
                self._add(contrast, visit, measure, values)
            if RISK_DIFFERENCE in self.of_pairs and self.fitted.means is not None:
                needed = inference.number_needed_to_treat(self.of_pairs[RISK_DIFFERENCE][p])
                values = _picked(needed, (slice(None), v), NNT) | counts[RISK_DIFFERENCE]
                self._add(contrast, visit, NNT, values | {"p_value": np.full(self.n, np.nan)})

    def _used(self, p: int, a: int, b: int, v: int) -> dict[str, dict[str, NDArray[Any]]]:
        """Number used and reason of a pair, by measure."""
        found: dict[str, dict[str, NDArray[Any]]] = {}
        for measure in self.of_pairs:
            compared = next((one for one in self.fitted.compared if one.measure == measure), None)
            if compared is not None:
                found[measure] = {"n_used": compared.n_used[:, p, v], "reason": compared.reason[:, p, v]}
            elif self.fitted.means is not None:
                means = self.fitted.means
                n = means.n_cell[:, a, v] + means.n_cell[:, b, v]
                found[measure] = {"n_used": n, "reason": means.reason[:, v]}
        return found

    def _verdicts(self, measure: str, v: int, global_p: Floats) -> tuple[Floats, Floats]:
        """p-values and who is declared different, (R, P) each."""
        found = self.of_pairs[measure]
        columns = {key: np.stack([getattr(one, key)[:, v] for one in found], axis=1) for key in _NUMBERS}
        one = Estimate(**columns)
        if self.analysis.hypothesis != "superiority":
            if measure != (self.analysis.margin_measure or next(iter(self.of_pairs))):
                return np.full_like(one.estimate, np.nan), np.full_like(one.estimate, np.nan)
            scale = 100.0 if measure in _PERCENT else 1.0
            p = hypotheses.margin_p(self.analysis, measure, one, scale)
        else:
            p = one.p_value
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = (np.log(one.estimate) if measure in RATIOS else one.estimate) / one.std_error
        pairs = list(self.numbers.pairs)
        sizes = self._sizes(v)
        return p, hypotheses.declared(self.analysis, p, statistic, one.df, global_p, pairs, sizes)

    def _sizes(self, v: int) -> Ints:
        """Observations of each arm (R, A); where only pairs are known 1, so that Dunnett's test takes equal arms."""
        means = self.fitted.means
        return means.n_cell[:, :, v] if means is not None else np.ones((self.n, len(self.arms)), dtype=np.int64)

    def _stacked(self) -> Estimates:
        nothing = np.full(self.n, np.nan)

        def stack(name: str) -> Floats:
            columns = [found.get(name, nothing) for found in self.columns]
            return np.stack(columns, axis=1).astype(float) if columns else np.empty((self.n, 0))

        shape = (self.n, len(self.labels))
        numbers = {name: stack(name) for name in (*_NUMBERS, "significant")}
        given = [found["reason"] for found in self.columns]
        reason = np.stack(given, axis=1).astype(object) if given else no_reasons(*shape)
        reason[(reason == "") & _empty(numbers)] = NO_VARIANCE
        converged = reason == ""
        return Estimates(
            labels=tuple(self.labels),
            replicate=self.replicate,
            **{name: np.where(converged, values, np.nan) for name, values in numbers.items()},
            truth=np.full(shape, np.nan),
            truth_first=np.full(shape, np.nan),
            truth_second=np.full(shape, np.nan),
            n_used=stack("n_used").astype(np.int32),
            converged=converged,
            reason=reason,
        )


def _empty(numbers: dict[str, Floats]) -> Bools:
    """Where there is no estimate, or nothing but an estimate: no error, no limit, no test."""
    unknown = {name: np.isnan(values) for name, values in numbers.items()}
    return unknown["estimate"] | (unknown["std_error"] & unknown["ci_low"] & unknown["p_value"])


def _first_reason(reasons: Texts) -> Texts:
    """The first reason of each row, (R, P) -> (R,)."""
    found = [next((text for text in row if text), "") for row in reasons]
    return np.array(found, dtype=object)


def _picked(found: Estimate, place: Any, measure: str) -> dict[str, NDArray[Any]]:
    """One cell or contrast of an inference result, for all replicates, in the unit that people see."""
    scale = 100.0 if measure in _PERCENT else 1.0
    values = {name: scale * getattr(found, name)[place] for name in ("estimate", "std_error", "ci_low", "ci_high")}
    return values | {"df": found.df[place], "p_value": found.p_value[place]}


def _of_compared(compared: Compared, p: int, alpha: float) -> Estimate:
    """A comparison of one pair (R, V), ratios no longer as logarithms, with its own interval where it has one."""
    estimate, error, df = (getattr(compared, name)[:, p] for name in ("estimate", "std_error", "df"))
    reach = inference.quantile(alpha, df) * error
    low, high = compared.ci_low[:, p], compared.ci_high[:, p]
    low, high = np.where(np.isnan(low), estimate - reach, low), np.where(np.isnan(high), estimate + reach, high)
    if compared.measure in RATIOS:
        with np.errstate(over="ignore"):
            estimate, low, high = np.exp(estimate), np.exp(low), np.exp(high)
    return Estimate(estimate, error, df, low, high, compared.p_value[:, p])
