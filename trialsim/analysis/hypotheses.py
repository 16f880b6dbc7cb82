"""Tests of pairs of arms: superiority, non-inferiority, equivalence; and who counts as different at one visit."""

from __future__ import annotations

from typing import Any

import numpy as np

from trialsim.analysis import dunnett, multiplicity
from trialsim.analysis.estimates import RATIOS
from trialsim.analysis.fits import Floats, Ints
from trialsim.analysis.inference import Estimate, lower_tail
from trialsim.design.analysis_checks import endpoint_of
from trialsim.design.outcomes import Outcome, Score


def better_is_higher(analysis: Any, outcome: Outcome) -> bool:
    """Whether a positive difference (a ratio above 1) of this outcome favours the first arm."""
    if analysis.better is not None:
        return bool(analysis.better == "higher")
    if endpoint_of(analysis) in ("change", "value"):
        return isinstance(outcome, Score) and outcome.better_is_higher
    return not (endpoint_of(analysis) == "events" or analysis.kind == "rmst")


def signed(measure: str, estimate: Floats, *, higher: bool) -> Floats:
    """The estimate on its working scale (logarithm of ratios), positive where it favours the first arm."""
    with np.errstate(divide="ignore", invalid="ignore"):
        working = np.log(estimate) if measure in RATIOS else estimate
    return working if higher else -working


def margin_p(analysis: Any, measure: str, found: Estimate, scale: float, *, higher: bool) -> Floats:
    """One-sided p-value of non-inferiority, or the larger of the two of equivalence (Schuirmann 1987,
    doi:10.1007/BF01068419).

    `scale` is what differences are multiplied by before people see them (100 for percentages); `higher` as
    `better_is_higher` has it.
    """
    margin = np.log(analysis.margin) if measure in RATIOS else analysis.margin / scale
    favour = signed(measure, found.estimate, higher=higher)
    not_worse = lower_tail(-(favour + margin) / found.std_error, found.df)
    if analysis.hypothesis == "non_inferiority":
        return not_worse
    return np.maximum(not_worse, lower_tail((favour - margin) / found.std_error, found.df))


def declared(
    analysis: Any, p: Floats, statistic: Floats, df: Floats, global_p: Floats, pairs: list[tuple[int, int]], n: Ints
) -> Floats:
    """Who is declared different, (R, P): 1, 0, or NaN where that cannot be known, from p-values (R, P) at one visit.

    `statistic` is estimate / std_error, `n` (R, A) are the arms' observations; both are for Dunnett's test only.
    """
    level = analysis.alpha if analysis.hypothesis == "superiority" else analysis.alpha / 2
    rule = analysis.multiplicity
    if rule == "lsd" and n.shape[1] > 2:  # with two arms the pair is the family
        return multiplicity.fisher_lsd(p, global_p, level)
    if rule in ("none", "lsd"):
        return multiplicity.rejected(p, level)
    if rule.startswith("dunnett"):
        adjusted = dunnett_p(statistic, df, pairs, n, step_down=rule == "dunnett_step_down")
        return multiplicity.rejected(adjusted, level)
    procedure = {
        "bonferroni": multiplicity.bonferroni,
        "holm": multiplicity.holm,
        "hochberg": multiplicity.hochberg,
        "hommel": multiplicity.hommel,
    }[rule]
    return multiplicity.rejected(procedure(p), level)


def dunnett_p(statistic: Floats, df: Floats, pairs: list[tuple[int, int]], n: Ints, *, step_down: bool) -> Floats:
    """Dunnett-adjusted two-sided p-values (R, K) of comparisons with one control, by the arms' sizes (R, A).

    The correlations are those of independent means; with covariates they depart by the order of chance imbalance. A
    replicate with a statistic that is NaN is NaN.
    """
    arms, control = [a for a, _ in pairs], pairs[0][1]
    treated, compared_with = n[:, arms].astype(float), n[:, [control]].astype(float)
    with np.errstate(invalid="ignore"):
        loading = np.sqrt(treated / (treated + compared_with))
    function = dunnett.step_down if step_down else dunnett.single_step
    return function(np.where(loading < 1, statistic, np.nan), df.min(axis=1), np.where(loading < 1, loading, np.nan))
