"""Unadjusted comparisons of arms, every visit apart: t tests, proportions, chi-squared tests.

Covariates and clusters are ignored, and analysis weights raise ValueError. A visit (or a pair of arms at a visit)
that cannot be analysed has a reason: an arm without observations, values that are not finite (or, for proportions,
neither 0 nor 1), no variance, and what each function adds to that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri

from trialsim.analysis.fits import Bools, Comparison, Data, FitError, Floats, Means, Pairs, Texts, no_reasons
from trialsim.analysis.regressions_visits import (
    ROUNDING,
    SMALLEST_SQUARE,
    VisitFit,
    arm_faults,
    joined,
    outcome_faults,
)


def t_test(data: Data, *, equal_variance: bool) -> Means:
    """Means of the arms in units of the outcome, link identity, for t tests and one-way analysis of variance.

    `equal_variance`: one variance, pooled over all A arms, with N - A degrees of freedom; for two arms the textbook
    t test, and the global test is the F test of the analysis of variance. Otherwise every arm has its own variance:
    Welch's t test (1947, doi:10.1093/biomet/34.1-2.28) with the degrees of freedom of Satterthwaite (1946,
    doi:10.2307/3002019), n_a - 1 for a mean; an arm with a single observation or a constant outcome is a reason.

    The global test then is Welch's (1951, doi:10.1093/biomet/38.3-4.330): Wald / (A - 1) is about (1 + c) F(A - 1, f).
    `global_df` is the g for which F(A - 1, g) has the same mean. For two arms c is 0 and g = f, exactly Welch's; for
    more arms the p-value is not that of `oneway.test` in R, but within 0.01 of it where it matters (below 0.1, and
    from 6 observations per arm on), where that of a chi-squared test would be 0.05 too small.
    """
    _refuse_weights(data)
    with np.errstate(all="ignore"):
        return joined(data, "identity", [_t_test_at(data, visit, equal_variance) for visit in range(data.y.shape[1])])


def arm_proportions(data: Data) -> Means:
    """Proportions with the event (0 to 1), link identity, with variances p (1 - p) / n and the normal distribution.

    A visit with an arm where nobody or everybody has the event has a reason: there is no variance.
    """
    _refuse_weights(data)
    with np.errstate(all="ignore"):
        return joined(data, "identity", [_proportions_at(data, visit) for visit in range(data.y.shape[1])])


def proportions(data: Data, pairs: Pairs, *, alpha: float = 0.05) -> list[Comparison]:
    """Risk difference (-1 to 1), log risk ratio and log odds ratio of y in {0, 1}, with Wald's standard errors.

    Variances: sum of p (1 - p) / n; of 1 / events - 1 / n (Katz et al. 1978, doi:10.2307/2530610); of 1 / events +
    1 / others (Woolf 1955, doi:10.1111/j.1469-1809.1955.tb01348.x). p-values are those of estimate / std_error. Limits
    of the risk difference, for 1 - `alpha`, are Newcombe's (1998, method 10, without continuity correction,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I), which need not agree with the p-value.

    No logarithm of a ratio where nobody or everybody in an arm has the event; no risk difference where that is so in
    both arms.
    """
    counted = _Counted(data)
    with np.errstate(all="ignore"):
        a, b = counted.sides(pairs)
        risk, variance = counted.risk, counted.variance
        apart = counted.wald("risk difference", pairs, risk[a] - risk[b], variance[a] + variance[b], False)
        low, high = _newcombe(counted, pairs, alpha)
        unknown = np.isnan(apart.estimate)
        low[unknown], high[unknown] = np.nan, np.nan
        difference = replace(apart, ci_low=low, ci_high=high)
        log_risk, of_risk = np.log(risk), 1 / counted.events - 1 / counted.n
        log_odds, of_odds = np.log(risk / (1 - risk)), 1 / counted.events + 1 / (counted.n - counted.events)
        return [
            difference,
            counted.wald("risk ratio", pairs, log_risk[a] - log_risk[b], of_risk[a] + of_risk[b], True),
            counted.wald("odds ratio", pairs, log_odds[a] - log_odds[b], of_odds[a] + of_odds[b], True),
        ]


def chi_squared(data: Data, pairs: Pairs, *, correction: bool = False) -> Comparison:
    """Pearson's chi-squared test (1900, doi:10.1080/14786440009463897) of every pair, and of all arms together.

    Estimates are risk differences (-1 to 1) with standard errors from each arm's own proportion (NaN where nobody or
    everybody has the event in both arms of a pair); p-values are the test's. `correction` is Yates's (1934,
    doi:10.2307/2983604) for two arms, never larger than |observed - expected| (as `chisq.test` in R). The test of all
    arms has A - 1 degrees of freedom and is NaN where an arm has no observations or all outcomes are equal.
    """
    counted = _Counted(data)
    n_arms, n_visits = counted.n.shape
    with np.errstate(all="ignore"):
        a, b = counted.sides(pairs)
        statistic = np.array([_pearson(counted, [first, second], correction) for first, second in pairs])
        statistic = statistic.reshape(len(pairs), n_visits)
        overall = _pearson(counted, list(range(n_arms)), correction)
        reason = counted.reasons(pairs, False)
        _mark(reason, np.isnan(statistic), "all outcomes are equal")
        good, error = reason == "", np.sqrt(counted.variance[a] + counted.variance[b])
        return Comparison(
            measure="risk difference",
            pairs=pairs,
            estimate=np.where(good, counted.risk[a] - counted.risk[b], np.nan),
            std_error=np.where(good & (error > 0), error, np.nan),
            df=np.where(good, np.inf, np.nan),
            p_value=np.where(good, chdtrc(1, statistic), np.nan),
            n_used=counted.n[a] + counted.n[b],
            reason=reason,
            global_statistic=overall,
            global_p=np.asarray(chdtrc(n_arms - 1, overall)) if n_arms > 1 else np.full(n_visits, np.nan),
        )


def _refuse_weights(data: Data) -> None:
    if data.weights is not None:
        raise ValueError("unadjusted comparisons cannot be weighted")


# ------------------------------------------------------------------------------------------------------ t tests


def _t_test_at(data: Data, visit: int, equal_variance: bool) -> VisitFit | str:
    try:
        n, mean, squares = _moments(data, visit, 1 if equal_variance else 2)
        return _pooled(n, mean, squares, visit) if equal_variance else _welch(n, mean, squares, visit)
    except FitError as error:
        return str(error)


def _moments(data: Data, visit: int, needed: int) -> tuple[Floats, Floats, Floats]:
    """Observations, means and sums of squares around them, (A,); squares that are rounding are 0."""
    seen = ~np.isnan(data.y[:, visit])
    y, arm = data.y[seen, visit], data.arm[seen]
    outcome_faults(y, visit)
    n = np.bincount(arm, minlength=data.n_arms).astype(np.float64)
    arm_faults(n, visit, needed)
    mean = np.bincount(arm, y, data.n_arms) / n
    residual = y - mean[arm]
    squares = np.bincount(arm, residual**2, data.n_arms)
    rounding = ROUNDING * np.bincount(arm, y**2, data.n_arms) + SMALLEST_SQUARE
    return n, mean, np.where(squares <= rounding, 0.0, squares)


def _pooled(n: Floats, mean: Floats, squares: Floats, visit: int) -> VisitFit:
    df = float(n.sum()) - len(n)
    if not squares.sum() > 0:  # without a degree of freedom, too
        raise FitError(f"zero variance at visit {visit}")
    return VisitFit(mean, np.diag(squares.sum() / df / n), df, df)


def _welch(n: Floats, mean: Floats, squares: Floats, visit: int) -> VisitFit:
    if not squares.min() > 0:
        raise FitError(f"zero variance in arm {squares.argmin()} at visit {visit}")
    own, spare = squares / (n - 1) / n, n - 1
    df = (own[:, None] + own) ** 2 / (own[:, None] ** 2 / spare[:, None] + own**2 / spare)
    np.fill_diagonal(df, spare)
    return VisitFit(mean, np.diag(own), df, _welch_global_df(own, spare))


def _welch_global_df(own: Floats, spare: Floats) -> float:
    """2 f (1 + c) / (2 + f c): equal means, g / (g - 2) = (1 + c) f / (f - 2)."""
    n_arms = len(own)
    if n_arms == 1:
        return np.inf
    share = 1 / own / (1 / own).sum()
    lack = float(((1 - share) ** 2 / spare).sum())
    f, c = (n_arms**2 - 1) / (3 * lack), 2 * (n_arms - 2) / (n_arms**2 - 1) * lack
    return 2 * f * (1 + c) / (2 + f * c)


# -------------------------------------------------------------------------------------------------- proportions


class _Counted:
    """Events and observations of every arm and visit, (A, V), and faults of visits, (V,)."""

    def __init__(self, data: Data) -> None:
        _refuse_weights(data)
        visits = range(data.y.shape[1])
        self.faults = [_binary_fault(data.y[:, visit], visit) for visit in visits]
        event, seen = data.y == 1, data.observed
        self.n = np.stack([np.bincount(data.arm[seen[:, v]], minlength=data.n_arms) for v in visits], axis=1)
        self.events = np.stack([np.bincount(data.arm[event[:, v]], minlength=data.n_arms) for v in visits], axis=1)
        with np.errstate(all="ignore"):
            self.risk: Floats = self.events / self.n
            self.variance: Floats = self.risk * (1 - self.risk) / self.n

    def sides(self, pairs: Pairs) -> tuple[list[int], list[int]]:
        return [a for a, _ in pairs], [b for _, b in pairs]

    def reasons(self, pairs: Pairs, ratio: bool) -> Texts:
        """(P, V); a `ratio` needs events and others in both arms."""
        reason = no_reasons(len(pairs), self.n.shape[1])
        for visit, fault in enumerate(self.faults):
            reason[:, visit] = fault
        for side in self.sides(pairs):
            self._mark_arms(reason, side, self.n == 0, "no observations")
            if ratio:
                self._mark_arms(reason, side, self.events == 0, "no events")
                self._mark_arms(reason, side, self.events == self.n, "only events")
        return reason

    def _mark_arms(self, reason: Texts, side: list[int], where: Bools, text: str) -> None:
        for place, visit in np.argwhere(where[side]):
            reason[place, visit] = reason[place, visit] or f"{text} in arm {side[place]} at visit {visit}"

    def wald(self, measure: str, pairs: Pairs, estimate: Floats, variance: Floats, ratio: bool) -> Comparison:
        """A measure (P, V) tested by estimate / standard error; pairs without variance or events have reasons."""
        reason = self.reasons(pairs, ratio)
        _mark(reason, ~(variance > 0), "zero variance")
        good = reason == ""
        error = np.sqrt(np.where(good, variance, np.nan))
        estimate = np.where(good, estimate, np.nan)
        a, b = self.sides(pairs)
        return Comparison(
            measure=measure,
            pairs=pairs,
            estimate=estimate,
            std_error=error,
            df=np.where(good, np.inf, np.nan),
            p_value=2 * ndtr(-np.abs(estimate / error)),
            n_used=self.n[a] + self.n[b],
            reason=reason,
        )


def _binary_fault(y: Floats, visit: int) -> str:
    sound = (y == 0) | (y == 1) | np.isnan(y)
    return "" if sound.all() else f"an outcome is neither 0 nor 1 at visit {visit}"


def _mark(reason: Texts, where: Bools, text: str) -> None:
    for place, visit in np.argwhere(where & (reason == "")):
        reason[place, visit] = f"{text} at visit {visit}"


def _proportions_at(data: Data, visit: int) -> VisitFit | str:
    y = data.y[:, visit]
    fault = _binary_fault(y, visit)
    if fault:
        return fault
    try:
        outcome_faults(y[~np.isnan(y)], visit)
        n = np.bincount(data.arm[~np.isnan(y)], minlength=data.n_arms)
        arm_faults(n, visit)
    except FitError as error:
        return str(error)
    risk = np.bincount(data.arm[y == 1], minlength=data.n_arms) / n
    return VisitFit(risk, np.diag(risk * (1 - risk) / n))


def _wilson(risk: Floats, n: Floats, z: float) -> tuple[Floats, Floats]:
    """Wilson's limits of a proportion (1927, doi:10.1080/01621459.1927.10502953)."""
    half = z * np.sqrt(z**2 + 4 * n * risk * (1 - risk))
    return (2 * n * risk + z**2 - half) / (2 * (n + z**2)), (2 * n * risk + z**2 + half) / (2 * (n + z**2))


def _newcombe(counted: _Counted, pairs: Pairs, alpha: float) -> tuple[Floats, Floats]:
    a, b = counted.sides(pairs)
    low, high = _wilson(counted.risk, counted.n.astype(np.float64), float(-ndtri(alpha / 2)))
    risk = counted.risk
    apart = risk[a] - risk[b]
    below = np.hypot(risk[a] - low[a], high[b] - risk[b])
    above = np.hypot(high[a] - risk[a], risk[b] - low[b])
    return apart - below, apart + above


def _pearson(counted: _Counted, arms: list[int], correction: bool) -> Floats:
    """The statistic of some arms, (V,); NaN where an arm has no observations or all outcomes are equal."""
    n, events = counted.n[arms].astype(np.float64), counted.events[arms]
    overall = events.sum(axis=0) / n.sum(axis=0)
    gap = np.abs(events - n * overall)
    if correction and len(arms) == 2:
        gap = gap - np.minimum(0.5, gap.min(axis=0))
    statistic = (gap**2 / n).sum(axis=0) / (overall * (1 - overall))
    fault = np.array([bool(fault) for fault in counted.faults])
    return np.where((n > 0).all(axis=0) & (overall > 0) & (overall < 1) & ~fault, statistic, np.nan)
