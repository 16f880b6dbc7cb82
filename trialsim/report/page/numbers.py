"""Numbers of many replicates with their Monte Carlo errors, as a report says them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trialsim.design.parts import Design
from trialsim.experiments.performance import mean_with_error
from trialsim.report.layout import date_text, number, with_error

Floats = NDArray[np.float64]


def digits_for(mcse: float, most: int = 4) -> int:
    """Digits after the point that leave an error two digits that mean something; 1 where it is not known."""
    if not mcse > 0:
        return 1
    return min(most, max(0, 1 - math.floor(math.log10(mcse))))


def mean_text(values: Floats, digits: int | None = None, factor: float = 1.0) -> str:
    """'25.3 ± 0.1': mean over replicates ± Monte Carlo standard error; the value alone for one replicate."""
    mean, error, n = mean_with_error(values * factor)
    if n == 0:
        return "-"
    if n == 1:
        return number(mean, digits if digits is not None else (0 if float(mean).is_integer() else 1))
    return with_error(mean, error, digits_for(error) if digits is None else digits)


def quantile_with_error(values: Floats, prob: float) -> tuple[float, float]:
    """A quantile over replicates and its Monte Carlo standard error.

    The error is half the distance between the quantiles one binomial standard error, sqrt(p (1 - p) / R), to either
    side; NaN for fewer than 20 replicates, whose tails are not known.
    """
    used = values[~np.isnan(values)]
    if len(used) < 20:
        return float("nan"), float("nan")
    step = math.sqrt(prob * (1 - prob) / len(used))
    low, middle, high = np.quantile(used, np.clip([prob - step, prob, prob + step], 0, 1))
    return float(middle), float(high - low) / 2


def quantile_text(values: Floats, prob: float, digits: int | None = None) -> str:
    """'24.4 ± 0.2', or '-' with too few replicates."""
    value, error = quantile_with_error(values, prob)
    return with_error(value, error, digits_for(error) if digits is None else digits)


def date_of_mean(design: Design, days: Floats) -> str:
    """'12 February 2023 ± 3 days': the date of the mean day."""
    mean, error, n = mean_with_error(days)
    if n == 0:
        return "-"
    text = date_text(design.date_of(round(mean)))
    return f"{text} ± {_days(error)}" if n > 1 else text


def date_of_quantile(design: Design, days: Floats, prob: float) -> str:
    """The same of a quantile."""
    value, error = quantile_with_error(days, prob)
    return "-" if math.isnan(value) else f"{date_text(design.date_of(round(value)))} ± {_days(error)}"


def _days(error: float) -> str:
    text = with_error(0.0, error, 0 if error >= 9.5 else 1).partition(" ± ")[2]
    return f"{text} day" if text == "1" else f"{text} days"
