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
    MEAN_VALUE,
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
from trialsim.design.analysis_checks import endpoint_of, has_one_result, measures_of, visits_of
from trialsim.design.parts import Design

_NUMBERS = ("estimate", "std_error", "df", "ci_low", "ci_high", "p_value")
_OF_ARMS = {"change": MEAN_CHANGE, "value": MEAN_VALUE, "response": PERCENTAGE, "first_response": MEAN_TIME}
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
        self.labels: list[tuple[str, str]] = []  # contrast and measure, the same at every visit
        self.columns: list[dict[str, NDArray[Any]]] = []
        self.n = len(replicate)

    def estimates(self) -> Estimates:
        """Every label, visit by visit: arms, the test of all arms, pairs."""
        names = visits_of(self.design, self.analysis)
        places = [list(self.design.visits).index(visit) for visit in names]
        if has_one_result(self.analysis):
            places, names = [0], names[-1:]
        self.of_pairs = {measure: self._of_pairs(measure) for measure in self._measures()}
        statistic, p = self._global_test()
        self._arms()
        if len(self.arms) > 1 and statistic is not None and p is not None:
            self._add_global(statistic, p)
        self._pairs(p)
        return self._stacked(places, names)

    def _add(self, contrast: str, measure: str, values: dict[str, NDArray[Any]]) -> None:
        """`values` are (R, V)."""
        self.labels.append((contrast, measure))
        self.columns.append(values)

    # --- arms and the test of all ---

    def _arms(self) -> None:
        means = self.fitted.means
        if means is None:
            return
        of_arms = inference.arm_means(means, alpha=self.analysis.alpha)
        measure = MEAN_COUNT if self.analysis.kind == "counts" else _OF_ARMS[endpoint_of(self.analysis)]
        for a, arm in enumerate(self.arms):
            values = _picked(of_arms, (slice(None), a), measure)
            self._add(arm, measure, values | {"n_used": means.n_cell[:, a], "reason": means.reason})

    def _global_test(self) -> tuple[Floats | None, Floats | None]:
        """Statistic and p-value (R, V) of the test that all arms are equal, where the analysis has one."""
        if self.analysis.kind in ("complier", "user"):
            return None, None
        if self.fitted.compared:
            return self.fitted.compared[0].global_statistic, self.fitted.compared[0].global_p
        assert self.fitted.means is not None
        test = inference.global_test(self.fitted.means)
        return test.statistic, test.p_value

    def _add_global(self, statistic: Floats, p: Floats) -> None:
        values: dict[str, NDArray[Any]] = {"estimate": statistic, "p_value": p}
        values["significant"] = np.where(np.isnan(p), np.nan, p < self.analysis.alpha)
        means, compared = self.fitted.means, self.fitted.compared
        values["n_used"] = means.n_cell.sum(axis=1) if means else compared[0].n_used.max(axis=1)
        values["reason"] = means.reason if means else _first_reason(compared[0].reason)
        self._add("all arms", GLOBAL_TEST, values)

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

    def _pairs(self, global_p: Floats | None) -> None:
        if not self.numbers.pairs:  # a trial of one arm
            return
        verdicts = {measure: self._verdicts(measure, global_p) for measure in self.of_pairs}
        for p, (a, b) in enumerate(self.numbers.pairs):
            contrast = f"{self.arms[a]} - {self.arms[b]}"
            counts = self._used(p, a, b)
            for measure, found in self.of_pairs.items():
                values = _picked(found[p], slice(None), measure) | counts[measure]
                values["p_value"], values["significant"] = (part[..., p] for part in verdicts[measure])
                self._add(contrast, measure, values)
            if RISK_DIFFERENCE in self.of_pairs and self.fitted.means is not None:
                needed = inference.number_needed_to_treat(self.of_pairs[RISK_DIFFERENCE][p])
                values = _picked(needed, slice(None), NNT) | counts[RISK_DIFFERENCE]
                self._add(contrast, NNT, values | {"p_value": np.full_like(needed.estimate, np.nan)})

    def _used(self, p: int, a: int, b: int) -> dict[str, dict[str, NDArray[Any]]]:
        """Number used and reason (R, V) of a pair, by measure."""
        found: dict[str, dict[str, NDArray[Any]]] = {}
        for measure in self.of_pairs:
            compared = next((one for one in self.fitted.compared if one.measure == measure), None)
            if compared is not None:
                found[measure] = {"n_used": compared.n_used[:, p], "reason": compared.reason[:, p]}
            elif self.fitted.means is not None:
                means = self.fitted.means
                found[measure] = {"n_used": means.n_cell[:, a] + means.n_cell[:, b], "reason": means.reason}
        return found

    def _verdicts(self, measure: str, global_p: Floats | None) -> tuple[Floats, Floats]:
        """p-values and who is declared different, (R, V, P) each. Every visit is a family of its own."""
        found = self.of_pairs[measure]
        shape = (*found[0].estimate.shape, len(found))
        one = Estimate(
            **{
                name: np.stack([getattr(each, name) for each in found], axis=-1).reshape(-1, len(found))
                for name in _NUMBERS
            }
        )
        if self.analysis.hypothesis != "superiority":
            if measure != (self.analysis.margin_measure or next(iter(self.of_pairs))):
                return np.full(shape, np.nan), np.full(shape, np.nan)
            scale = 100.0 if measure in _PERCENT else 1.0
            higher = hypotheses.better_is_higher(self.analysis, self.design.outcomes[self.analysis.outcome])
            p = hypotheses.margin_p(self.analysis, measure, one, scale, higher=higher)
        else:
            p = one.p_value
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = (np.log(one.estimate) if measure in RATIOS else one.estimate) / one.std_error
        overall = np.full(len(p), np.nan) if global_p is None else global_p.reshape(-1)
        declared = hypotheses.declared(
            self.analysis, p, statistic, one.df, overall, list(self.numbers.pairs), self._sizes(len(p))
        )
        return p.reshape(shape), declared.reshape(shape)

    def _sizes(self, n: int) -> Ints:
        """Observations by arm (R * V, A); where only pairs are known 1, so that Dunnett's test takes equal arms."""
        means = self.fitted.means
        if means is None:
            return np.ones((n, len(self.arms)), dtype=np.int64)
        return np.moveaxis(means.n_cell, 1, 2).reshape(n, len(self.arms))

    def _stacked(self, places: list[int], visits: list[str]) -> Estimates:
        n_each = len(self.labels)
        shape = (self.n, len(places) * n_each)

        def stack(name: str, table: NDArray[Any]) -> NDArray[Any]:
            for label, found in enumerate(self.columns):
                if name in found:
                    table[:, :, label] = found[name][:, places]
            return table.reshape(shape)

        def room() -> Floats:
            return np.full((self.n, len(places), n_each), np.nan)

        numbers = {name: stack(name, room()) for name in (*_NUMBERS, "significant")}
        reason = stack("reason", no_reasons(self.n, len(places), n_each))
        reason[(reason == "") & _empty(numbers)] = NO_VARIANCE
        converged = reason == ""
        for values in numbers.values():
            values[~converged] = np.nan
        return Estimates(
            labels=tuple(Label(self.name, c, visit, m, self.estimand) for visit in visits for c, m in self.labels),
            replicate=self.replicate,
            **numbers,
            truth=np.full(shape, np.nan),
            truth_first=np.full(shape, np.nan),
            truth_second=np.full(shape, np.nan),
            n_used=stack("n_used", room()).astype(np.int32),
            converged=converged,
            reason=reason,
        )


def _empty(numbers: dict[str, Floats]) -> Bools:
    """Where there is no estimate, or nothing but an estimate: no error, no limit, no test."""
    unknown = {name: np.isnan(values) for name, values in numbers.items()}
    return unknown["estimate"] | (unknown["std_error"] & unknown["ci_low"] & unknown["p_value"])


def _first_reason(reasons: Texts) -> Texts:
    """The first reason at each visit, (R, P, V) -> (R, V)."""
    found = reasons[:, 0].copy()
    for later in np.moveaxis(reasons, 1, 0)[1:]:
        found[found == ""] = later[found == ""]
    return np.asarray(found)


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
