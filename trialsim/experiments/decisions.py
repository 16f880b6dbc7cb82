"""Decisions of a design on estimates: which hypotheses are rejected, whether the trial succeeds, with which chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis import graphical, hypotheses, multiplicity
from trialsim.analysis.estimates import GLOBAL_TEST, RATIOS, Estimates, Label
from trialsim.design.analyses import Decision
from trialsim.design.analysis_checks import measures_of
from trialsim.design.decision_words import Atom
from trialsim.design.decisions import Hypothesis, hypotheses_of, spoken_of, success_rule
from trialsim.design.parts import Design
from trialsim.errors import ResultsError
from trialsim.experiments.nulls import Partition
from trialsim.experiments.performance import Performance, proportion_with_error

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Decided:
    """A decision in R replicates over K hypotheses. 1, 0, or NaN where a fit it needs failed."""

    name: str
    hypotheses: tuple[Hypothesis, ...]
    adjusted_p: Floats  # (R, K), two-sided scale; NaN for LSD, which has none
    rejected: Floats  # (R, K)
    favourable: Floats  # (R, K) rejected in favour of the first arm
    success: Floats  # (R,)


def decide(design: Design, name: str, estimates: Estimates) -> Decided:
    """Carry out one decision on estimates of its design. ResultsError where an analysis it needs is not among them."""
    decision = design.decisions[name]
    family = hypotheses_of(design, decision)
    found = [_Evidence(design, estimates, hypothesis) for hypothesis in family]
    p = np.stack([one.p for one in found], axis=1)
    adjusted, rejected = _tested(design, decision, family, found, p)
    favour = np.stack([one.favour for one in found], axis=1)
    favourable = np.where(np.isnan(rejected), np.nan, (rejected == 1) & (favour > 0))
    against = np.where(np.isnan(rejected), np.nan, (rejected == 1) & (favour < 0))
    success = _success(design, decision, family, favourable, against)
    return Decided(name, tuple(family), adjusted, rejected, favourable, success)


class _Evidence:
    """What the estimates say about one hypothesis."""

    def __init__(self, design: Design, estimates: Estimates, hypothesis: Hypothesis) -> None:
        analysis: Any = design.analyses[hypothesis.analysis]
        measure = analysis.margin_measure or measures_of(analysis)[0]
        a, b = hypothesis.arms
        place = _place(estimates, hypothesis, f"{a} - {b}", measure)
        self.swapped = place is None
        if place is None:
            place = _place(estimates, hypothesis, f"{b} - {a}", measure)
        if place is None:
            raise ResultsError(f"decision: no contrast of {a} and {b} at {hypothesis.visit} in {hypothesis.analysis}.")
        one_sided = analysis.hypothesis != "superiority"
        p = estimates.p_value[:, place]
        self.p = np.minimum(1.0, 2 * p) if one_sided else p
        value, error = estimates.estimate[:, place], estimates.std_error[:, place]
        higher = hypotheses.better_is_higher(analysis, design.outcomes[analysis.outcome])
        favour = hypotheses.signed(measure, value, higher=higher)
        self.favour = np.where(np.isnan(favour), favour, np.inf) if one_sided else (-favour if self.swapped else favour)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.statistic = (np.log(value) if measure in RATIOS else value) / error
        self.df = estimates.df[:, place]
        gate = _place(estimates, hypothesis, "all arms", GLOBAL_TEST)
        self.global_p = estimates.p_value[:, gate] if gate is not None else np.full(len(p), np.nan)
        self.sizes = {arm: _size(estimates, hypothesis, arm) for arm in design.arms}


def _place(estimates: Estimates, hypothesis: Hypothesis, contrast: str, measure: str) -> int | None:
    return estimates.place(analysis=hypothesis.analysis, contrast=contrast, visit=hypothesis.visit, measure=measure)


def _size(estimates: Estimates, hypothesis: Hypothesis, arm: str) -> NDArray[np.int64]:
    """Observations of an arm in the hypothesis's analysis and visit; 1 where that is not told."""
    for place, label in enumerate(estimates.labels):
        if (label.analysis, label.contrast, label.visit) == (hypothesis.analysis, arm, hypothesis.visit):
            return estimates.n_used[:, place].astype(np.int64)
    return np.ones(estimates.n_replicates, dtype=np.int64)


# --- procedures -------------------------------------------------------------------------------------------------------


def _tested(
    design: Design, decision: Decision, family: list[Hypothesis], found: list[_Evidence], p: Floats
) -> tuple[Floats, Floats]:
    """Adjusted p-values and rejections (R, K)."""
    kind, alpha = decision.procedure.kind, decision.alpha
    if kind == "lsd":
        gate = np.stack([one.global_p for one in found], axis=1)
        return np.full_like(p, np.nan), multiplicity.fisher_lsd(p, gate, alpha)
    adjusted = _adjusted(design, decision, family, found, p)
    return adjusted, multiplicity.rejected(adjusted, alpha)


def _adjusted(
    design: Design, decision: Decision, family: list[Hypothesis], found: list[_Evidence], p: Floats
) -> Floats:
    given: Any = decision.procedure
    names = [hypothesis.name for hypothesis in family]
    if given.kind.startswith("dunnett"):
        arms = list(design.arms)
        pairs = [(arms.index(h.arms[0]), arms.index(h.arms[1])) for h in family]
        sizes = np.stack([found[0].sizes[arm] for arm in arms], axis=1)
        statistic = np.stack([one.statistic for one in found], axis=1)
        df = np.stack([one.df for one in found], axis=1)
        return hypotheses.dunnett_p(statistic, df, pairs, sizes, step_down=given.kind == "dunnett_step_down")
    simple = {
        "none": multiplicity.none,
        "bonferroni": multiplicity.bonferroni,
        "holm": multiplicity.holm,
        "hochberg": multiplicity.hochberg,
        "hommel": multiplicity.hommel,
        "fixed_sequence": multiplicity.fixed_sequence,
    }
    if given.kind in simple:
        return simple[given.kind](p)
    if given.kind.endswith("gatekeeping"):
        return _gatekeeping(given, names, p)
    weights = [given.weights.get(name, 0.0) for name in names]
    if given.kind == "graphical":
        moves = [[given.transitions.get(a, {}).get(b, 0.0) for b in names] for a in names]
        return graphical.graphical(p, np.array(weights), np.array(moves))
    weighted = {
        "weighted_bonferroni": multiplicity.bonferroni,
        "weighted_holm": multiplicity.holm,
        "fallback": multiplicity.fallback,
    }
    return weighted[given.kind](p, weights)


def _gatekeeping(given: Any, names: list[str], p: Floats) -> Floats:
    families = [[names.index(name) for name in part] for part in given.families]
    if given.kind == "serial_gatekeeping":
        return multiplicity.gatekeeping(p, families, kind="serial", procedure=given.procedure)
    default = 0.0 if given.procedure == "bonferroni" else 0.5
    gamma = list(given.truncation) or [*([default] * (len(families) - 1)), 0.0 if not default else 1.0]
    return multiplicity.gatekeeping(p, families, kind="parallel", procedure=given.procedure, gamma=gamma)


# --- success ----------------------------------------------------------------------------------------------------------


def _success(
    design: Design, decision: Decision, family: list[Hypothesis], favourable: Floats, against: Floats
) -> Floats:
    rule = success_rule(design, decision, family)
    if rule is None:
        return _any(favourable)
    truth: dict[Atom, Floats] = {}
    for atom in rule.atoms:
        meant = spoken_of(design, decision, family, atom)
        assert meant is not None  # the design's checks have seen to it
        place, swapped = meant
        truth[atom] = against[:, place] if swapped else favourable[:, place]
    return rule.evaluate(truth)


def _any(hits: Floats) -> Floats:
    """1 where any is 1, NaN where none is but one is unknown, else 0."""
    known = np.nan_to_num(hits).max(axis=1)
    return np.where((known == 0) & np.isnan(hits).any(axis=1), np.nan, known)


def _all(hits: Floats) -> Floats:
    known = np.where(np.isnan(hits), 1.0, hits).min(axis=1)
    return np.where((known == 1) & np.isnan(hits).any(axis=1), np.nan, known)


# --- chances ----------------------------------------------------------------------------------------------------------


def chances(decided: Decided) -> list[tuple[Label, str, Floats]]:
    """What a decision's chances are the means of: label, statistic, and 1, 0 or NaN in each replicate (R,)."""
    found = []
    for place, hypothesis in enumerate(decided.hypotheses):
        label = Label(hypothesis.analysis, hypothesis.contrast, hypothesis.visit, decided.name, "decision")
        found.append((label, "marginal power", decided.favourable[:, place]))
    whole = Label("decision", "all hypotheses", "", decided.name, "decision")
    found.append((whole, "disjunctive power", _any(decided.favourable)))
    found.append((whole, "conjunctive power", _all(decided.favourable)))
    found.append((whole, "success", decided.success))
    return found


def power_rows(decided: Decided, *, skip_failed: bool = False) -> list[Performance]:
    """Marginal power of each hypothesis, disjunctive and conjunctive power, and the chance of success.

    ResultsError where fits failed, unless `skip_failed`: then replicates in which any did are left out of every row.
    """
    known = _known(decided.name, decided.favourable, skip_failed)
    return [
        Performance(label, statistic, *proportion_with_error(hits[known]))
        for label, statistic, hits in chances(decided)
    ]


def _known(name: str, hits: Floats, skip_failed: bool) -> NDArray[np.bool_]:
    known = ~np.isnan(hits).any(axis=1)
    if not known.all() and not skip_failed:
        raise ResultsError(
            f"decision {name}: in {(~known).sum()} of {len(hits)} replicates a fit that it needs failed. They are not "
            "silently left out: summarise the others with --skip-failed (Python: skip_failed=True)."
        )
    return np.asarray(known)


def family_wise_error(
    decided: Decided, parts: Partition, *, skip_failed: bool = False
) -> tuple[float, float, int] | None:
    """Chance that a true null hypothesis is rejected, in either direction, where the arms of each class are equal.

    None where no hypothesis of superiority is about arms of one class. Non-inferiority is not false of equal arms.
    ResultsError where fits failed, unless `skip_failed`.
    """
    errors = false_rejections(decided, parts)
    if errors is None:
        return None
    return proportion_with_error(errors[_known(decided.name, errors[:, None], skip_failed)])


def false_rejections(decided: Decided, parts: Partition) -> Floats | None:
    """Whether a hypothesis is rejected that is true where the arms of each class are equal, (R,); NaN where a fit of
    any of those failed. None where there is no such hypothesis."""
    true = [
        place
        for place, h in enumerate(decided.hypotheses)
        if h.kind == "beats" and any(h.arms[0] in part and h.arms[1] in part for part in parts)
    ]
    return decided.rejected[:, true].max(axis=1) if true else None
