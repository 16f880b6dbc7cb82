"""The design as numbers: codes for names, contact intensities, the funnel's fixed part. No luck, no files."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trialsim.design.delivery import Group, NoDelivery
from trialsim.design.outcome_checks import cholesky, correlation_matrix
from trialsim.design.outcomes import Outcome
from trialsim.design.parts import BinaryCovariate, Covariate, Design, NormalCovariate
from trialsim.world.formulas import (
    MONTH_DAYS,
    YEAR_DAYS,
    delay_probabilities,
    month_of_year,
    truncated_mean,
    wave,
)
from trialsim.world.periods import Period, Reminding, allocation_periods, reminders

if TYPE_CHECKING:
    from trialsim.design.parts import Step


SELECTED = "selected by arm"
"""Reason of those who are not recruited by somebody who knows their cluster's arm."""


class World:
    """A design seen as arrays; made once per design and shared by all its replicates."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.sites = list(design.recruitment.sites)
        self.arms = list(design.arms)
        self.outcomes = list(design.outcomes)
        self.visits = list(design.visits)
        self.steps = list(design.funnel)
        self.last_day = design.max_enrolment_days - 1

    @cached_property
    def n_lead(self) -> int:
        """Leading funnel steps that do not look at the person (drawn as counts)."""
        last = len(self.steps) - self.selects_by_arm
        return next((index for index, step in enumerate(self.design.funnel.values()) if step.criteria), last)

    @cached_property
    def lead_prob(self) -> float:
        """Chance of passing all leading steps."""
        return math.prod(self.design.funnel[name].prob for name in self.steps[: self.n_lead])

    @cached_property
    def lead_delays(self) -> list[NDArray[np.float64]]:
        """P(at most d days from contact to a leading step), for each leading step and d = 0 ... max_enrolment_days."""
        size = self.design.max_enrolment_days + 1
        total = np.zeros(size)
        total[0] = 1.0
        limits = []
        for name in self.steps[: self.n_lead]:
            delay = self.design.funnel[name].delay
            total = np.convolve(total, delay_probabilities(delay.days, delay.mean_extra, size))[:size]
            limits.append(np.minimum(np.cumsum(total), 1.0))
        return limits

    @cached_property
    def reasons(self) -> list[list[str]]:
        """Reasons for loss at each step: criteria first, then the reasons for loss by chance."""
        reasons = [step_reasons(step) for step in self.design.funnel.values()]
        if self.selects_by_arm:
            reasons[-1].append(SELECTED)
        return reasons

    @cached_property
    def selects_by_arm(self) -> bool:
        """Whether people are recruited by somebody who knows the arm of their cluster."""
        return self.design.clusters is not None and bool(self.design.clusters.selection)

    @cached_property
    def chance_prob(self) -> float:
        """Chance of not being lost by chance in the steps that look at the person."""
        steps = [self.design.funnel[name] for name in self.steps[self.n_lead :]]
        excluded = [c.excluded_prob or 0.0 for step in steps for c in step.criteria.values() if c.measure is None]
        return math.prod(step.prob for step in steps) * math.prod(1 - prob for prob in excluded)

    @cached_property
    def cluster_counts(self) -> list[int]:
        """Clusters at each site; empty where the design has none."""
        clusters = self.design.clusters
        if clusters is None:
            return []
        return [clusters.per_site if isinstance(clusters.per_site, int) else clusters.per_site[s] for s in self.sites]

    @cached_property
    def cluster_spans(self) -> list[slice]:
        """Each site's clusters."""
        ends = accumulate(self.cluster_counts)
        return [slice(end - n, end) for n, end in zip(self.cluster_counts, ends, strict=True)]

    @cached_property
    def cluster_names(self) -> list[str]:
        """Names of the clusters, by site from 1."""
        numbered = zip(self.sites, self.cluster_counts, strict=False)
        return [f"{site}-{number}" for site, n in numbered for number in range(1, n + 1)]

    @cached_property
    def session_counts(self) -> list[int]:
        """Planned sessions of each arm."""
        return [self.design.n_sessions(arm) for arm in self.arms]

    @cached_property
    def max_sessions(self) -> int:
        """Most planned sessions of any arm (at least 1, so that arrays are never empty)."""
        return max(1, *self.session_counts)

    @cached_property
    def asks_full_dose(self) -> bool:
        """Whether an analysis is about what would be had everybody attended all sessions."""
        return any(analysis.estimand == "hypothetical" for analysis in self.design.analyses.values())

    @cached_property
    def horizon(self) -> int:
        """Days from randomization to the last visit's due day, over which exits are stated [days]."""
        return max(visit.day for visit in self.design.visits.values())

    @cached_property
    def covariate_means(self) -> dict[str, float]:
        """Mean of each covariate among the people screened."""
        return {name: _covariate_mean(covariate) for name, covariate in self.design.covariates.items()}

    @cached_property
    def screened(self) -> tuple[list[str], list[int]]:
        """Covariates and outcomes (by number) whose luck decides on eligibility, of itself or through correlations."""
        criteria = [criterion for step in self.design.funnel.values() for criterion in step.criteria.values()]
        looked_at = {c.measure for c in criteria} | set(self.outcomes[: self.selects_by_arm])
        measured = [k for k, name in enumerate(self.outcomes) if name in looked_at]
        linked = {name for k in measured for name in self.design.outcomes[self.outcomes[k]].covariates}
        needed = {
            j for k in measured for j, weight in enumerate(self.correlation_factor[k][: k + 1]) if weight or j == k
        }
        return [name for name in self.design.covariates if name in linked], sorted(needed)

    @cached_property
    def has_entry_states(self) -> bool:
        """Whether any outcome has a passing state at entry."""
        return any(outcome.entry_sd for outcome in self.design.outcomes.values())

    @cached_property
    def calendar_shifts(self) -> list[NDArray[np.float64] | None]:
        """What drift and season add to each outcome's level, by study day; None where there are none."""
        dates = np.datetime64(self.design.start_date, "D") + np.arange(self.last_day + self.horizon + 1)
        return [_calendar_shift(outcome, dates) for outcome in self.design.outcomes.values()]

    @cached_property
    def correlation_factor(self) -> list[list[float]]:
        """Lower Cholesky factor of the correlations between outcomes."""
        factor = cholesky(correlation_matrix(self.design))
        assert factor is not None  # checked with the design
        return factor

    @cached_property
    def rates(self) -> NDArray[np.float64]:
        """Expected contacts on each study day, shape (n_sites, max_enrolment_days) [people/day]."""
        days = np.arange(self.design.max_enrolment_days, dtype=float)
        return np.array([self._site_rate(name, days) for name in self.sites])

    @cached_property
    def segments(self) -> NDArray[np.int64]:
        """First days of the spells in which no site's rate changes and no month begins; last, the day after all."""
        days = np.arange(self.design.max_enrolment_days)
        starts = np.diff((days / MONTH_DAYS).astype(int), prepend=-1) > 0
        starts[1:] |= (np.diff(self.rates, axis=1) != 0).any(axis=0)
        return np.append(np.flatnonzero(starts), len(days))

    def _site_rate(self, name: str, days: NDArray[np.float64]) -> NDArray[np.float64]:
        design, site = self.design, self.design.recruitment.sites[name]
        opened = days - design.day_of(site.opens)
        rate = np.where(opened >= 0, site.rate_per_month / MONTH_DAYS, 0.0)
        if site.ramp_months > 0:
            rate *= np.clip((opened + 0.5) / (site.ramp_months * MONTH_DAYS), 0, 1)
        if design.recruitment.season:
            rate *= self._season
        for change in design.recruitment.rate_changes:
            if not change.sites or name in change.sites:
                rate[days >= design.day_of(change.starts)] *= change.factor
        for pause in design.recruitment.pauses:
            if not pause.sites or name in pause.sites:
                rate[(days >= design.day_of(pause.starts)) & (days < design.day_of(pause.ends))] = 0.0
        return rate

    @cached_property
    def _season(self) -> NDArray[np.float64]:
        """Factor of contact rates on each study day, constant within calendar months, (max_enrolment_days,)."""
        design, season = self.design, self.design.recruitment.season
        assert season is not None
        months = [design.date_of(day).month for day in range(design.max_enrolment_days)]
        angle = 2 * np.pi / 12 * (np.array(months) + 0.5 - season.peak_month)
        return 1 + season.amplitude * np.cos(angle)

    @cached_property
    def strata(self) -> list[str]:
        """Names of the allocation strata in order of their codes: levels of the factors, the last varying fastest.

        A period after a change of ratio has strata of its own, behind those before it.
        """
        names = [period.label for period in self.periods]
        for factor in self.design.allocation.strata:
            if factor == "site":
                levels = [f"site={site}" for site in self.sites]
            elif isinstance(factor, str):
                levels = [f"{factor}=no", f"{factor}=yes"]
            else:
                levels = [f"{factor.outcome}<{factor.at_least:g}", f"{factor.outcome}>={factor.at_least:g}"]
            names = [f"{name}, {level}" if name else level for name in names for level in levels]
        return names

    @cached_property
    def strata_by_site(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Of each stratum of a period the site (0 where not a factor) and its number among that site's strata."""
        factors = self.design.allocation.strata
        after = 2 ** len(factors[factors.index("site") + 1 :]) if "site" in factors else 1
        n_sites = len(self.sites) if "site" in factors else 1
        code = np.arange(math.prod(self.n_levels))
        site = code // after % n_sites
        return site, code // (after * n_sites) * after + code % after

    @cached_property
    def periods(self) -> list[Period]:
        """Times with one ratio, in order; nearly always only one."""
        return allocation_periods(self.design)

    @cached_property
    def reminders(self) -> list[list[Reminding]]:
        """Of each visit the reminders, and from when to when they hold; nearly always only one entry."""
        return [reminders(self.design, visit) for visit in self.visits]

    @cached_property
    def n_levels(self) -> list[int]:
        """Levels of each factor of allocation, in order; nothing where there are none."""
        return [len(self.sites) if factor == "site" else 2 for factor in self.design.allocation.strata]

    def coached(self, arm: int) -> bool:
        """Whether the arm is delivered one-to-one by coaches."""
        return self.design.arms[self.arms[arm]].delivery.kind == "individual"

    def grouped(self, arm: int) -> bool:
        """Whether the arm is delivered in groups."""
        return self.design.arms[self.arms[arm]].delivery.kind == "group"

    @cached_property
    def components(self) -> list[str]:
        """Components of all arms in groups."""
        deliveries = [arm.delivery for arm in self.design.arms.values()]
        return list(
            dict.fromkeys(name for given in deliveries if isinstance(given, Group) for name in given.components)
        )

    def waits(self, arm: int) -> bool:
        """Whether participants of the arm wait for a place: with a coach, or in a group."""
        return self.coached(arm) or self.grouped(arm)

    def has_sessions(self, arm: int) -> bool:
        """Whether the arm's delivery has sessions at all."""
        return not isinstance(self.design.arms[self.arms[arm]].delivery, NoDelivery)


def step_reasons(step: Step) -> list[str]:
    """Names of the reasons why people do not pass a step."""
    by_chance = (list(step.losses) or ["not passed"]) if step.prob < 1 else []
    return [*step.criteria, *by_chance]


def _calendar_shift(outcome: Outcome, dates: NDArray[np.datetime64]) -> NDArray[np.float64] | None:
    if not outcome.drift_per_year and outcome.season is None:
        return None
    shift = outcome.drift_per_year * np.arange(len(dates)) / YEAR_DAYS
    if outcome.season is not None:
        shift += wave(month_of_year(dates), outcome.season.amplitude, outcome.season.peak_month)
    return np.asarray(shift, dtype=float)


def _covariate_mean(covariate: Covariate) -> float:
    if isinstance(covariate, BinaryCovariate):
        return covariate.prob
    if isinstance(covariate, NormalCovariate):
        return truncated_mean(covariate.mean, covariate.sd, covariate.low, covariate.high)
    return covariate.mean
