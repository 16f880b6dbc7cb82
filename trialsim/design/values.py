"""Kinds of value that a design file may hold, and the base of its parts."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Prob = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
OpenProb = Annotated[float, Strict(), Field(gt=0, lt=1, allow_inf_nan=False)]
Correlation = Annotated[float, Strict(), Field(gt=-1, lt=1, allow_inf_nan=False)]
Whole = Annotated[int, Strict(), Field(ge=0)]
Count = Annotated[int, Strict(), Field(ge=1)]
Days = Annotated[int, Strict(), Field(ge=0, le=20_000)]
Name = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]
Text = Annotated[str, Strict(), Field(max_length=2_000)]


def _only_dates(value: Any) -> Any:
    day = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    text = isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) is not None
    if not (day or text):
        raise ValueError("must be a date (YYYY-MM-DD)")
    return value


Date = Annotated[dt.date, BeforeValidator(_only_dates)]
When = Days | Date


class Part(BaseModel):
    """Base of every part: frozen, unknown keys refused, the text under a field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Delay(Part):
    """A waiting time in whole days: `days` plus an exponentially distributed extra, rounded down."""

    days: Annotated[Days, Field(le=2_000)] = 0
    """Shortest delay [days]."""
    mean_extra: Annotated[NonNegative, Field(le=2_000)] = 0.0
    """Mean of the exponential extra [days]."""
