"""Imputation under assumptions about what follows when treatment is given up, and shifts of what was imputed.

`reference_based` takes the outcomes after a participant's deviation as like those of a reference arm (Carpenter, Roger
& Kenward 2013, doi:10.1080/10543406.2013.834911). `delta_adjusted` and `tipping_point` shift imputed values until a
conclusion changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trialsim.analysis.fits import Bools, FitError, Floats, Ints
from trialsim.analysis.imputation import (
    STEPS,
    Luck,
    Regressions,
    Standardised,
    completed,
    conditional,
    draw_regressions,
    filled,
    numerical,
    standardised,
)
from trialsim.analysis.pattern_mixture import missing_patterns

Method = Literal["jump", "copy_reference", "copy_increment"]


def reference_based(
    y: Floats,
    arm: Ints,
    covariates: Floats,
    *,
    n_arms: int,
    reference: int,
    method: Method,
    deviation: Ints,
    m: int,
    luck: Luck,
    common_covariance: bool = True,
    steps: int = STEPS,
) -> Floats:
    """m completed copies (m, N, V) of `y` (N, V), by reference-based multiple imputation.

    `deviation` (N,) is the first visit after a participant's deviation, V for those who never deviated. Means given
    covariates (N, C) and covariance are drawn as in `imputation.joint_normal`, from observations before deviation only.
    With `common_covariance` arms share the covariance and the covariates' slopes, otherwise each has its own.

    Before deviation, and for those who never deviated, missing values are imputed at random (own arm). After it,
    they are drawn given the values before, and those observed after, which are kept. Their mean is

    - "jump": the reference arm's after deviation, their own arm's before (jump to reference);
    - "copy_reference": the reference arm's at all visits;
    - "copy_increment": their own arm's at the last visit before deviation plus the reference arm's increments since
      then. With no visit before deviation increments run from baseline, whose mean randomisation makes equal in all
      arms (it is a covariate): this is then the same as "jump";

    and the regression on values before deviation is the reference arm's, for all three (which is what the covariance
    of Carpenter, Roger & Kenward comes to). In the reference arm the three are imputation at random.

    FitError: as `joint_normal`, about observations before deviation.
    """
    if method not in ("jump", "copy_reference", "copy_increment"):
        raise ValueError(f"method must be 'jump', 'copy_reference' or 'copy_increment' (given: {method!r})")
    noise = luck.normal(m, *y.shape)
    if not np.isnan(y).any():
        return np.repeat(y[None], m, axis=0)
    after = np.arange(y.shape[1]) >= deviation[:, None]
    with numerical():
        model = standardised(np.where(after, np.nan, y), arm, covariates, n_arms=n_arms, by_arm=not common_covariance)
        draws = draw_regressions(model, m=m, luck=luck, steps=steps)
        state = np.where(np.isnan(model.z), filled(model, draws, noise), model.z)
        kept = after & ~np.isnan(y)
        state[:, kept] = ((y - model.centre) / model.scale)[kept]
        _impute_after(state, after & np.isnan(y), model, draws, noise, arm, deviation, reference, method)
        return completed(y, model, state)


def _impute_after(
    state: Floats,
    wanted: Bools,
    model: Standardised,
    draws: Regressions,
    noise: Floats,
    arm: Ints,
    deviation: Ints,
    reference: int,
    method: Method,
) -> None:
    """Replace what is `wanted` (N, V) of `state` (m, N, V), where all else is known."""
    patterns, which = missing_patterns(wanted)
    places = np.ravel_multi_index((which, arm, deviation), (len(patterns), arm.max() + 1, wanted.shape[1] + 1))
    block = np.unique(places, return_inverse=True)[1]
    ref_group = reference if model.n_groups > 1 else 0
    for number in range(block.max(initial=-1) + 1):
        rows = np.flatnonzero(block == number)
        missing, given = np.flatnonzero(patterns[which[rows[0]]]), np.flatnonzero(~patterns[which[rows[0]]])
        if not missing.size:
            continue
        own = model.x[rows] @ draws.coef[:, model.group[rows[0]]]
        ref = _in_arm(model, rows, arm[rows[0]], reference) @ draws.coef[:, ref_group]
        mean = _mean(own, ref, int(deviation[rows[0]]), model.scale, method)
        weights, root = conditional(draws.cov[:, ref_group], given, missing)
        around = (state[:, rows] - mean)[..., given]
        drawn = mean[..., missing] + around @ weights
        drawn += noise[:, rows[:, None], missing] @ root.swapaxes(-1, -2)
        state[:, rows[:, None], missing] = drawn


def _in_arm(model: Standardised, rows: Ints, own: int, reference: int) -> Floats:
    """Regressors of some participants as if they were in the reference arm."""
    x = model.x[rows]
    if model.n_groups == 1:
        x[:, own], x[:, reference] = 0.0, 1.0
    return x


def _mean(own: Floats, ref: Floats, deviation: int, scale: Floats, method: Method) -> Floats:
    """Means (m, n, V), in standard deviations of each visit, of participants with the same deviation."""
    if method == "copy_reference":
        return ref
    mean = np.concatenate([own[..., :deviation], ref[..., deviation:]], axis=-1)
    if method == "copy_increment" and deviation:
        last = deviation - 1
        mean[..., deviation:] += (own - ref)[..., last, None] * (scale[last] / scale[deviation:])
    return mean


def delta_adjusted(copies: Floats, y: Floats, arm: Ints, delta: Floats) -> Floats:
    """`copies` (m, N, V) of `y` (N, V) with `delta`, (A,) or (A, V), added to the imputed values of each arm."""
    by_visit = np.broadcast_to(delta if delta.ndim == 2 else delta[:, None], (len(delta), y.shape[1]))
    return copies + np.where(np.isnan(y), by_visit[arm], 0.0)


@dataclass(frozen=True)
class TippingPoint:
    """The delta nearest 0 at which significance is lost; `delta` is NaN if there is none.

    `outcome` says why: "tips", "never significant" (not at delta 0) or "stays significant" (as far as `furthest`).
    `estimate` and `p_value` are those at `delta`, or at the last delta tried.
    """

    outcome: Literal["tips", "never significant", "stays significant"]
    delta: float
    furthest: float  # delta furthest from 0 that was tried
    estimate: float
    p_value: float


def tipping_point(
    effect_at: Callable[[float], tuple[float, float]],
    *,
    furthest: float,
    alpha: float = 0.05,
    steps: int = 10,
    tolerance: float | None = None,
) -> TippingPoint:
    """Search from delta 0 to `furthest` (of either sign) in equal `steps`, then by halving the step that tips.

    `effect_at(delta)` gives estimate and two-sided p-value. Significance is lost where p >= `alpha` or the estimate has
    changed sign. `tolerance` [units of delta] is the length at which halving ends, and the result its end that has lost
    significance; None: `furthest` / 1000. Between grid points the effect is taken to be monotone in delta.

    FitError where an estimate or p-value is not a number; ValueError if `furthest` is 0 or not finite.
    """
    if furthest == 0 or not math.isfinite(furthest) or steps < 1:
        raise ValueError("furthest must be finite and not 0, and steps at least 1")
    estimate, p_value = _effect(effect_at, 0.0)
    if p_value >= alpha:
        return TippingPoint("never significant", math.nan, 0.0, estimate, p_value)
    sign, kept = math.copysign(1.0, estimate), 0.0

    def lost(effect: tuple[float, float]) -> bool:
        return effect[1] >= alpha or effect[0] * sign <= 0

    for step in range(1, steps + 1):
        delta = furthest * step / steps
        effect = _effect(effect_at, delta)
        if lost(effect):
            break
        kept = delta
    else:
        return TippingPoint("stays significant", math.nan, furthest, *effect)
    reached = delta
    close = abs(furthest) / 1000 if tolerance is None else tolerance
    while abs(delta - kept) > close and kept != (middle := (delta + kept) / 2) != delta:
        found = _effect(effect_at, middle)
        if lost(found):
            delta, effect = middle, found
        else:
            kept = middle
    return TippingPoint("tips", delta, reached, *effect)


def _effect(effect_at: Callable[[float], tuple[float, float]], delta: float) -> tuple[float, float]:
    estimate, p_value = effect_at(delta)
    if math.isnan(estimate) or math.isnan(p_value):
        raise FitError(f"no estimate or p-value at delta {delta:g}")
    return estimate, p_value
