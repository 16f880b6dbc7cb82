"""Phrases that several sections of a description need."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from trialsim.design.outcomes import Season
from trialsim.design.parts import BinaryCovariate, Design, NormalCovariate
from trialsim.design.values import Delay
from trialsim.report.layout import MONTHS, date_text, listed, number, percent, plural, signed
from trialsim.world.formulas import conditional_prob, probit
from trialsim.world.world import World


def named(name: str, label: str) -> str:
    """The name that files and tables use, with its label if it has one."""
    return f"{name}: {label.strip()}" if label.strip() else name


def share(prob: float) -> str:
    """A chance as it was stated: 12.278%, 85%."""
    return percent(prob, None)


def chance(prob: float) -> str:
    """A computed chance, never rounded to certainty: '84.9%', 'over 99.9%'."""
    if 0.9995 <= prob < 1:
        return "over 99.9%"
    return "under 0.1%" if 0 < prob < 0.0005 else percent(prob)


def points(value: float) -> str:
    """'1 point', '0.5 points'."""
    return f"{number(value)} {'point' if abs(value) == 1 else 'points'}"


def shifted(value: float) -> str:
    """'0.4 points higher', '0.4 points lower', 'unchanged'."""
    if value == 0:
        return "unchanged"
    return f"{points(abs(value))} {'higher' if value > 0 else 'lower'}"


def when(design: Design, moment: int | dt.date) -> str:
    """'9 August 2021 (day 217)'."""
    day = design.day_of(moment)
    return f"{date_text(design.date_of(day))} (day {day:,})"


def at_visits(values: Mapping[str, float], text: Callable[[float], str]) -> str:
    """'30% at m3 and 32% at m6'; one value for all is said once."""
    if len(values) > 1 and len(set(values.values())) == 1:
        return f"{text(next(iter(values.values())))} at every visit"
    return listed([f"{text(value)} at {visit}" for visit, value in values.items()])


def points_at_visits(values: Mapping[str, float], digits: int | None = None) -> str:
    """'-0.5 points at m3 and -0.6 at m6': the unit is said once."""
    texts = [signed(value, digits) for value in values.values()]
    if len(texts) > 1 and len(set(texts)) == 1:
        return f"{texts[0]} points at every visit"
    first, *others = [f"{text}{{}} at {visit}" for text, visit in zip(texts, values, strict=True)]
    return listed([first.format(" points"), *(other.format("") for other in others)])


def in_order(design: Design, values: Mapping[str, float]) -> dict[str, float]:
    """Values by visit in the order of the visits; 0 where none is given."""
    return {visit: values.get(visit, 0.0) for visit in design.visits}


def is_randomized(design: Design) -> bool:
    """Whether participants themselves are randomized, rather than their clusters or nobody."""
    return design.allocation.kind not in ("clusters", "cohorts")


def entry(design: Design) -> str:
    """What days count from."""
    return "randomization" if is_randomized(design) else "enrolment"


def entered(design: Design) -> str:
    """What participants are once they are in the trial."""
    return "randomized" if is_randomized(design) else "enrolled"


_CONFOUNDED = (
    "Nobody is randomized: people come to their arms by who they are. Comparisons between the arms are confounded, for"
    " they mix what treatment does with what makes people different."
)


def confounded(design: Design) -> str:
    """The warning that belongs to cohorts; empty for a trial that randomizes."""
    return _CONFOUNDED if design.allocation.kind == "cohorts" else ""


def wave(season: Season, height: str) -> str:
    """'by 0.3 points either way through the year, highest at the start of January'."""
    month, part = divmod(season.peak_month, 1)
    at = ("start", "middle", "end")[int(part >= 0.25) + int(part >= 0.75)]
    return f"by {height} either way through the year, highest at the {at} of {MONTHS[int(month) - 1]}"


def takes(delay: Delay) -> str:
    """How long something takes: '0 days', '7 days', '20.5 days (mean; 7 at least)'."""
    if delay.mean_extra == 0:
        return plural(delay.days, "day")
    return f"{number(mean_delay(delay), 1)} days (mean; {delay.days} at least)"


def mean_delay(delay: Delay) -> float:
    """Mean of a delay: days + E floor(X), X exponential with mean m: days + 1 / (exp(1/m) - 1) [days]."""
    if delay.mean_extra == 0:
        return float(delay.days)
    return delay.days + math.exp(-1 / delay.mean_extra) / -math.expm1(-1 / delay.mean_extra)


def moved(prob: float, shift: float) -> float:
    """A chance after a shift on the probit scale."""
    return float(special.ndtr(probit(prob) + shift))


def given(prob: float, person: float, correlation: float) -> float:
    """A chance for somebody whose correlated trait lies `person` SDs above the mean."""
    return float(conditional_prob(prob, np.array(person), correlation))


def moved_by_covariates(world: World, links: Mapping[str, float], prob: float) -> str:
    """What a chance becomes with each covariate, others at their means: '88% with female and 84% without'."""
    phrases = [_moved_by(world, name, slope, prob) for name, slope in links.items() if slope]
    return listed(phrases)


def _moved_by(world: World, name: str, slope: float, prob: float) -> str:
    covariate, mean = world.design.covariates[name], world.covariate_means[name]
    if isinstance(covariate, BinaryCovariate):
        with_it, without = moved(prob, slope * (1 - mean)), moved(prob, -slope * mean)
        return f"{chance(with_it)} with {name} and {chance(without)} without"
    if isinstance(covariate, NormalCovariate) and covariate.sd:
        step = f"when {name} is one SD ({number(covariate.sd)}) above its mean"
        return f"{chance(moved(prob, slope * covariate.sd))} {step}"
    return f"{chance(moved(prob, slope))} when {name} is 1 above its mean"
