"""Estimates of many replicates: a labelled column per analysis, contrast, visit and measure, a row per replicate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.design.cards import card, grid, plain, with_error
from trialsim.records import coded

Floats = NDArray[np.float64]

PERCENTAGE, MEAN_CHANGE, MEAN_VALUE = "adjusted percentage", "adjusted mean change", "adjusted mean"
RISK_RATIO, RISK_DIFFERENCE = "risk ratio", "risk difference"
MEAN_DIFFERENCE, NNT, GLOBAL_TEST = "mean difference", "number needed to treat", "test of all arms"
ODDS_RATIO, HAZARD_RATIO = "odds ratio", "hazard ratio"
MEAN_COUNT, RATE_RATIO = "adjusted mean count", "rate ratio"
MEAN_TIME, TIME_DIFFERENCE, TIME_RATIO = "mean time", "mean time difference", "mean time ratio"

MEANS = (PERCENTAGE, MEAN_CHANGE, MEAN_VALUE, MEAN_COUNT, MEAN_TIME)
"""Measures of one arm."""
RATIOS = (RISK_RATIO, ODDS_RATIO, HAZARD_RATIO, RATE_RATIO, TIME_RATIO)
"""Measures whose standard error, bias and intervals are those of the logarithm."""
COMPARISONS = (*RATIOS, RISK_DIFFERENCE, MEAN_DIFFERENCE, TIME_DIFFERENCE)
"""Measures that compare two arms and have a test of their own."""
MOST_SHOWN = 100
"""Labels that a notebook shows."""


@dataclass(frozen=True, slots=True)
class Label:
    """What one column of estimates is about. `contrast` is 'a - b', an arm, or 'all arms'."""

    analysis: str
    contrast: str
    visit: str
    measure: str
    estimand: str


@dataclass(frozen=True)
class Estimates:
    """M replicates, L labels. A fit that failed has NaN, `converged` False and a reason.

    `significant` is 1, 0, or NaN where the fit failed or there is no test. `truth` is the value among the replicate's
    participants, from their potential outcomes (NaN where there is none); `truth_first` and `truth_second` are the
    means of the arms that it is made of. For ratios `std_error` is that of the logarithm. `df` is infinite where the
    normal distribution is used.
    """

    labels: tuple[Label, ...]
    replicate: NDArray[np.int32]  # (M,)
    estimate: Floats  # (M, L), as all below
    std_error: Floats
    df: Floats
    ci_low: Floats
    ci_high: Floats
    p_value: Floats
    significant: Floats
    truth: Floats
    truth_first: Floats
    truth_second: Floats
    n_used: NDArray[np.int32]
    converged: NDArray[np.bool_]
    reason: NDArray[np.object_]

    @property
    def n_replicates(self) -> int:
        """M."""
        return len(self.replicate)

    def place(self, *, analysis: str, contrast: str, visit: str, measure: str) -> int | None:
        """Column of a label, or None."""
        wanted = (analysis, contrast, visit, measure)
        names = [(a.analysis, a.contrast, a.visit, a.measure) for a in self.labels]
        return names.index(wanted) if wanted in names else None

    def _repr_html_(self) -> str:
        names = ["analysis", "contrast", "visit", "measure"]
        shown = self.labels[:MOST_SHOWN]
        about = [[getattr(label, name) for name in names] for label in shown]
        if self.n_replicates == 1:
            head, found = [*names, "estimate", "interval", "p", "truth"], [self._one(k) for k in range(len(about))]
        else:
            head, found = [*names, "mean estimate", "truth", "failed fits"], [self._many(k) for k in range(len(about))]
        rows = [[*label, *cells] for label, cells in zip(about, found, strict=True)]
        above = f"{self.n_replicates:,} replicate{'s' if self.n_replicates > 1 else ''}"
        error = f" {len(self.labels) - len(shown)} more labels are not shown." if len(self.labels) > len(shown) else ""
        error += " Means are ± Monte Carlo standard error." if self.n_replicates > 1 else ""
        return card(
            above, "Estimates", [grid(f"The truth is that of the replicates' own participants.{error}", head, rows)]
        )

    def _one(self, place: int) -> list[str]:
        names = ("estimate", "ci_low", "ci_high", "p_value", "truth")
        value, low, high, p, truth = (float(getattr(self, name)[0, place]) for name in names)
        if not self.converged[0, place]:
            return [f"failed: {self.reason[0, place]}", "-", "-", "-"]
        interval = "-" if np.isnan(low) else f"{plain(low)} to {plain(high)}"
        return [plain(value), interval, "<0.001" if p < 0.001 else plain(round(p, 3)), plain(truth)]

    def _many(self, place: int) -> list[str]:
        failed = int((~self.converged[:, place]).sum())
        return [_mean(self.estimate[:, place]), _mean(self.truth[:, place]), f"{failed:,} of {self.n_replicates:,}"]

    def columns(self, *, design_point: int = 0) -> dict[str, Any]:
        """Columns of the `estimates` table; names as (codes, names), replicate after replicate."""
        m, n = self.estimate.shape
        frame: dict[str, Any] = {
            "design_point": np.full(m * n, design_point, dtype=np.int32),
            "replicate": np.repeat(self.replicate, n),
        }
        for name in ("analysis", "contrast", "visit", "measure", "estimand"):
            frame[name] = coded([getattr(label, name) for label in self.labels], repeat=m)
        for name in (
            "estimate",
            "std_error",
            "df",
            "ci_low",
            "ci_high",
            "p_value",
            "significant",
            "n_used",
            "converged",
        ):
            frame[name] = getattr(self, name).ravel()
        frame["reason"] = _coded_reasons(self.reason.ravel())
        for name in ("truth", "truth_first", "truth_second"):
            frame[name] = getattr(self, name).ravel()
        return frame


def _mean(values: Floats) -> str:
    """Mean over replicates with its Monte Carlo standard error."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "-"
    error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
    return with_error(float(known.mean()), error)


def _coded_reasons(reason: NDArray[np.object_]) -> tuple[NDArray[np.int32], list[str]]:
    """Codes and names; -1 for no reason. Nearly all fits have none, and only the others are looked at one by one."""
    codes = np.full(reason.size, -1, dtype=np.int32)
    failed = np.flatnonzero(reason.astype(bool))
    codes[failed], names = coded(reason[failed].tolist())
    return codes, names


def concatenate(parts: Sequence[Estimates]) -> Estimates:
    """Estimates of several blocks, one after the other. The labels must be the same."""
    first = parts[0]
    if any(part.labels != first.labels for part in parts):
        raise ValueError("estimates with different labels cannot be put together")
    names = [f.name for f in fields(Estimates) if f.name != "labels"]
    return Estimates(first.labels, **{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def concatenate_labels(parts: Sequence[Estimates], replicate: NDArray[np.int32]) -> Estimates:
    """Estimates of several analyses of the same replicates, side by side; no parts: no labels."""
    names = [f.name for f in fields(Estimates) if f.name not in ("labels", "replicate")]
    labels = tuple(label for part in parts for label in part.labels)
    types: dict[str, Any] = {"n_used": np.int32, "converged": np.bool_, "reason": object}
    empty = (len(replicate), 0)
    columns = {
        name: np.concatenate(
            [np.empty(empty, dtype=types.get(name, float)), *(getattr(p, name) for p in parts)], axis=1
        )
        for name in names
    }
    return Estimates(
        labels, replicate, **{name: values.astype(types.get(name, float)) for name, values in columns.items()}
    )
