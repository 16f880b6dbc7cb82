"""An analysis carried out on replicates of some data as the analysis plan would, and what it rejects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import null_worlds as worlds
import numpy as np
from pydantic import TypeAdapter

from trialsim.analysis.cells import fit_cells
from trialsim.analysis.estimates import GLOBAL_TEST, NNT, Estimates
from trialsim.analysis.fits import Data, FitError, Floats
from trialsim.analysis.imputation import chained, joint_normal
from trialsim.analysis.inference import of_cells
from trialsim.analysis.models import (
    Fitted,
    Numbers,
    fit_compliers,
    fit_counts,
    fit_events,
    fit_means,
    fit_proportions,
)
from trialsim.analysis.pattern_mixture import impute_change
from trialsim.analysis.pooling import pooled
from trialsim.analysis.reference_based import reference_based
from trialsim.analysis.response_weights import inverse_probability_weights, response_weights
from trialsim.analysis.rows import rows_of
from trialsim.design.analyses import Analysis
from trialsim.design.analysis_checks import EVENTS, measures_of
from trialsim.design.outcomes import Score
from trialsim.world.draws import Luck

ALPHA = 0.05
PAIR = (0, 1)
_ANALYSIS: TypeAdapter[Any] = TypeAdapter(Analysis)
Procedure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Method:
    """An analysis as a design file would name it, or a procedure for the p-values of one."""

    kind: str
    options: dict[str, Any]
    pairs: tuple[tuple[int, int], ...] = (PAIR,)
    family: bool = False  # whether what counts is a rejection of any true hypothesis
    procedure: tuple[str, Procedure] | None = None
    most: dict[int, int] = field(default_factory=dict)  # largest number of replicates, by number of participants

    @property
    def title(self) -> str:
        """Kind and options, as in a design file."""
        if self.procedure:
            return self.procedure[0]
        shown = {key: value for key, value in self.options.items() if key not in ("better", "multiplicity")}
        if self.family:
            shown["multiplicity"] = self.options["multiplicity"]
        words = [f"{key}={_word(value)}" for key, value in shown.items()]
        return ", ".join([self.kind, *words])

    def analysis(self) -> Any:
        given = {"kind": self.kind, "outcome": "y", "multiplicity": "none", **self.options}
        return _ANALYSIS.validate_python(given)

    @property
    def nominal(self) -> float:
        """Margins are tested at half the two-sided level."""
        return ALPHA if self.options.get("hypothesis", "superiority") == "superiority" else ALPHA / 2


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{value[key]}" if key == "kind" else f"{key}={value[key]}" for key in value) + ")"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Study:
    """Data of one kind and the analyses that are right for it, or known not to be."""

    name: str
    world: worlds.World
    methods: tuple[Method, ...]
    n_arms: int = 3
    n_visits: int = 1


# --- carrying out -----------------------------------------------------------------------------------------------------


def rejections(study: Study, method: Method, replicates: Sequence[Any], luck: Sequence[Luck]) -> dict[str, Floats]:
    """For everything that is tested: 1 where rejected, 0 where not, NaN where the fit failed, (R,)."""
    analysis = method.analysis()
    nested = (0,) if analysis.kind == "mixed" and analysis.nested_arms else None
    numbers = Numbers(analysis, method.pairs, nested, getattr(analysis, "until_day", None))
    fitted = _fit(study, numbers, replicates, luck)
    design: Any = SimpleNamespace(
        arms={_arm(a): None for a in range(study.n_arms)},
        visits={f"{v}": None for v in range(study.n_visits)},
        outcomes={analysis.outcome: Score(mean=0.0)},
    )
    found = rows_of(design, "", numbers, fitted, np.arange(len(replicates), dtype=np.int32))
    if method.family:
        return {"any true hypothesis": _any_true(study, method, found)}
    return _last_visit(study, method, found)


def _arm(number: int) -> str:
    return f"arm{number}"


def _contrast(pair: tuple[int, int]) -> str:
    return f"{_arm(pair[0])} - {_arm(pair[1])}"


def _last_visit(study: Study, method: Method, found: Estimates) -> dict[str, Floats]:
    """The pair in each measure, and the test of all arms."""
    contrast, tested = _contrast(method.pairs[0]), {}
    for place, label in enumerate(found.labels):
        hits = np.where(found.converged[:, place], found.significant[:, place], np.nan)
        if label.visit != f"{study.n_visits - 1}" or label.measure == NNT:
            continue
        if label.contrast == contrast and not _is_other(method, label.measure):
            tested[label.measure] = hits
        if label.measure == GLOBAL_TEST and method.nominal == ALPHA and not np.isnan(hits).all():
            tested["all arms"] = hits
    return tested


def _is_other(method: Method, measure: str) -> bool:
    """Whether a margin is on another measure."""
    of_margin = method.options.get("margin_measure") or measures_of(method.analysis())[0]
    return method.nominal != ALPHA and measure != of_margin


def _any_true(study: Study, method: Method, found: Estimates) -> Floats:
    differs = study.world.differs  # type: ignore[attr-defined]
    about = {"analysis": "", "visit": "0", "measure": "mean difference"}
    places: Any = [found.place(contrast=_contrast(pair), **about) for pair in method.pairs]
    true = np.array([differs[a] == differs[b] for a, b in method.pairs])
    hits = found.significant[:, places]
    if method.procedure:
        hits = (method.procedure[1](found.p_value[:, places]) < ALPHA).astype(float)
    return np.where(np.isnan(hits).any(axis=1), np.nan, hits[:, true].any(axis=1))


def _fit(study: Study, numbers: Numbers, replicates: Sequence[Any], luck: Sequence[Luck]) -> Fitted:
    kind, shape = numbers.analysis.kind, {"n_arms": study.n_arms, "n_visits": study.n_visits}
    if kind in EVENTS:
        return fit_events(numbers, replicates, n_arms=study.n_arms)
    if kind == "counts":
        return fit_counts(numbers, replicates, n_arms=study.n_arms)
    if kind == "complier":
        return fit_compliers(numbers, replicates, measure=measures_of(numbers.analysis)[0], n_visits=study.n_visits)
    copies = [completed(one, numbers.analysis.missing, its) for one, its in zip(replicates, luck, strict=True)]
    flat, m = [one for several in copies for one in several], len(copies[0])
    means = _cells(numbers, flat) if kind in ("modified_poisson", "linear") else fit_means(numbers, flat, **shape)
    compared = []
    if kind in ("proportions", "chi_squared"):
        compared = fit_proportions(numbers, flat, n_visits=study.n_visits)
    return Fitted(pooled(means, m) if m > 1 else means, compared)


def _cells(numbers: Numbers, replicates: Sequence[Data | FitError]) -> Any:
    sound = next(one for one in replicates if isinstance(one, Data))
    # A replicate without data has nothing observed, and so fails.
    nothing = replace(sound, y=np.full_like(sound.y, np.nan), weights=None)
    every = [one if isinstance(one, Data) else nothing for one in replicates]
    y = np.stack([one.y for one in every])
    weights = None
    if sound.weights is not None:
        weights = np.stack([np.ones_like(one.y) if one.weights is None else one.weights for one in every])
    columns = (np.stack([getattr(one, name) for one in every]) for name in ("arm", "covariates", "cluster"))
    family = "poisson" if numbers.analysis.kind == "modified_poisson" else "gaussian"
    return of_cells(fit_cells(y, ~np.isnan(y), *columns, n_arms=sound.n_arms, family=family, weights=weights))


# --- missing data -----------------------------------------------------------------------------------------------------


def completed(data: Data, missing: Any, luck: Luck) -> list[Data | FitError]:
    """The copies of a replicate that are analysed; all fail if it cannot be done."""
    m = getattr(missing, "imputations", 1)
    try:
        return _completed(data, missing, luck, m)
    except FitError as fault:
        return [fault] * m


def _completed(data: Data, missing: Any, luck: Luck, m: int) -> list[Data | FitError]:
    n_visits, seen = data.y.shape[1], data.observed
    common: dict[str, Any] = {"n_arms": data.n_arms, "m": m, "luck": luck}
    if missing.kind == "available":
        return [data]
    if missing.kind == "complete_cases":
        return [replace(data, y=np.where(seen.all(axis=1, keepdims=True), data.y, np.nan))]
    if missing.kind == "weights":
        weights = inverse_probability_weights(
            seen, data.arm, data.covariates, data.y, n_arms=data.n_arms, history=missing.history
        )  # fmt: skip
        return [replace(data, weights=np.where(np.isnan(weights), 1.0, weights))]
    if missing.kind == "pattern_mixture":
        filled = impute_change(data.y, data.arm, n_arms=data.n_arms, covariates=data.covariates)
        own = response_weights(seen.any(axis=1), data.covariates, data.arm, n_arms=data.n_arms)
        weights = np.repeat(np.where(np.isnan(own), 1.0, own)[:, None], n_visits, axis=1)
        return [replace(data, y=filled, weights=weights)]
    if missing.kind == "reference":
        deviation = np.where(seen.all(axis=1), n_visits, seen.argmin(axis=1))
        reference = int(missing.reference.removeprefix("arm"))
        copies = reference_based(
            data.y, data.arm, data.covariates, reference=reference, method=missing.rule, deviation=deviation, **common
        )
    else:
        model = joint_normal if missing.model == "joint_normal" else chained
        copies = model(data.y, data.arm, data.covariates, by_arm=missing.by_arm, **common)
    return [replace(data, y=copy) for copy in copies]
