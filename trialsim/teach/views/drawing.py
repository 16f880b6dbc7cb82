"""Results as panels: what several lessons draw in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trialsim.report.layout import number, percent, with_error
from trialsim.teach import panels
from trialsim.teach.views.samples import Given, Result, band, share_band

BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK, GREY = range(8)
"""The palette: what is estimated keeps its colour within a lesson."""
TRUTH = "truth (only a simulation knows it)"
OF_ESTIMATES = (
    "Dots: single trials. Thick mark: their mean, with a 95 % band of simulation error. Bar: the middle 95 % of trials."
)
OF_SHARES = "Whiskers: 95 % bands of simulation error, from the number of replicates."


def pair(value: float, mcse: float, digits: int = 2) -> str:
    """'0.52 ± 0.01'."""
    return with_error(value, mcse, digits)


def percent_pair(value: float, mcse: float) -> str:
    """'52.1 % ± 0.9', of a share."""
    return "-" if math.isnan(value) else f"{with_error(100 * value, 100 * mcse, 1)} %"


def fact(label: str, given: Given, *, share: bool = False, digits: int = 2) -> panels.Fact:
    """A number with its error, in words."""
    value, mcse = given
    return panels.Fact(label, value, mcse, percent_pair(value, mcse) if share else pair(value, mcse, digits))


def figure(
    key: str,
    label: str,
    given: Given,
    *,
    share: bool = False,
    digits: int = 2,
    unit: str = "",
    tip: str = "",
) -> panels.Figure:
    """A number that stands alone."""
    text = percent_pair(*given) if share else pair(*given, digits)
    return panels.Figure(key, label, text, given[0], given[1], "" if share else unit, tip)


def estimated(
    result: Result, *, key: str, label: str, colour: int, facts: Sequence[panels.Fact] = (), truth_label: str = TRUTH
) -> panels.Estimated:
    """A way of estimating, over its replicates: usually with bias and coverage as facts."""
    mean, mcse = result["mean estimate"]
    low, high = result.middle()
    sample = [float(x) for x in result.column("estimate")[: panels.MOST_ROWS]]
    told = facts or (
        fact("bias", result["bias"]),
        fact("intervals that hold the truth", result["coverage"], share=True),
    )
    return panels.Estimated(
        key, label, colour, mean, mcse, low, high, result["truth"][0], truth_label, sample, list(told)
    )


def bar(key: str, label: str, given: Given, *, colour: int = BLUE, group: str = "", share: bool = True) -> panels.Bar:
    """A bar with its band."""
    value, mcse = given
    low, high = share_band(value, mcse) if share else band(value, mcse)
    return panels.Bar(key, label, value, low, high, mcse, colour, group)


def line(
    key: str, label: str, colour: int, x: Sequence[float], given: Sequence[Given], *,
    share: bool = False, dashed: bool = False,
) -> panels.Series:  # fmt: skip
    """A line with its 95 % band of simulation error."""
    bands = [(share_band if share else band)(*one) for one in given]
    lows, highs = [low for low, _ in bands], [high for _, high in bands]
    return panels.Series(key, label, colour, list(x), [value for value, _ in given], lows, highs, dashed)


def axis(label: str, values: Sequence[float], *, step: float = 0.5, zero: bool = True) -> panels.Axis:
    """A scale that holds all values (and 0), its ends on whole steps."""
    known = [x for x in values if math.isfinite(x)] + ([0.0] if zero else [])
    low, high = min(known, default=0.0), max(known, default=1.0)
    low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    return panels.Axis(label, low, high if high > low else low + step)


def axis_of(label: str, groups: Sequence[panels.Estimated], *, step: float = 0.5) -> panels.Axis:
    """The scale of some ways of estimating."""
    ends = [x for one in groups for x in (one.low, one.high, one.truth, *one.sample)]
    return axis(label, ends, step=step)


def upto(label: str, highest: float, *, step: float = 0.1) -> panels.Axis:
    """A scale of shares from 0 to the next step above the highest, at most 100 %."""
    return panels.Axis(label, 0.0, min(1.0, max(step, step * math.ceil(highest / step - 1e-9))), percent=True)


def failures(results: Sequence[Result]) -> list[str]:
    """What is said where fits failed; nothing where none did."""
    failed, n = sum(one.failed for one in results), sum(len(one.good) for one in results)
    return [f"{failed} of {n} fits failed and are left out of these numbers."] if failed else []


def points(x: float, digits: int = 2) -> str:
    """'0.47 points'."""
    return f"{number(x, digits)} points"


def said_percent(share: float) -> str:
    """'93 %', of a share, without a digit behind the point."""
    return percent(share, 0).replace("%", " %")


def n_of(result: Result) -> int:
    """Replicates that count."""
    return int(np.count_nonzero(result.good))
