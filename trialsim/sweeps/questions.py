"""Quantities and constraints in words, such as `power[coach vs usual at 3 months] >= 0.9`, and their values.

    constraint = quantity (">=" | "<=" | ">" | "<") number
    choice     = path of an axis "=" one of its values
    quantity   = "power" | "power[" question "]" | "duration_months" | "enrolment_months" | "cost" | "n"
               | "coach_hours" | "measure[" path "]" | path of an axis

A question is the name of a decision or words as in `trialsim size --for`. Nothing is evaluated as code.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import Estimates
from trialsim.design.decisions import hypotheses_of, success_rule
from trialsim.design.parts import Design
from trialsim.design.shape import close_to
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.decisions import decide
from trialsim.experiments.performance import mean_with_error, proportion_with_error
from trialsim.experiments.size import QUESTION, ask
from trialsim.sweeps.reading import Results
from trialsim.sweeps.sweep import written
from trialsim.world.formulas import MONTH_DAYS

Floats = NDArray[np.float64]
Kind = Literal["chance", "mean", "exact"]
Compare = Callable[[Any, Any], Any]

COUNTED = {
    "n": "participants randomized",
    "enrolment_months": "months to enrol",
    "duration_months": "months to the last visit",
    "coach_hours": "coach hours",
    "cost": "total cost",
}
"""What is counted of the trial as a whole, by name."""
SIGNS: dict[str, Compare] = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_CONSTRAINT = re.compile(r"\s*(?P<quantity>[^<>=\[\]]+(?:\[[^\]]*\])?)\s*(?P<sign>>=|<=|>|<)\s*(?P<limit>[^<>=]+)\s*")
_CHOICE = re.compile(r"\s*(?P<axis>[^<>=\[\]]*[^<>=\[\]\s])\s*==?\s*(?P<value>[^<>=\s](?:[^<>=]*[^<>=\s])?)\s*")
_BRACKETS = re.compile(r"\s*(?P<name>\w+)\s*\[(?P<inside>[^\]]*)\]\s*")


@dataclass(frozen=True)
class Quantity:
    """Something that every design point has a value of. `of` is the question, the measure's or the axis's path."""

    kind: Literal["power", "counted", "measure", "axis"]
    of: str

    @property
    def name(self) -> str:
        """As the grammar has it."""
        if self.kind == "power":
            return f"power[{self.of}]" if self.of else "power"
        return f"measure[{self.of}]" if self.kind == "measure" else self.of


@dataclass(frozen=True)
class Constraint:
    """A limit that a quantity must keep."""

    quantity: Quantity
    sign: str
    limit: float

    @property
    def text(self) -> str:
        """As the grammar has it."""
        return f"{self.quantity.name} {self.sign} {self.limit:g}"

    def holds(self, values: Any) -> Any:
        """Whether values keep it; those that are not known (NaN) do not."""
        return SIGNS[self.sign](values, self.limit)


@dataclass(frozen=True)
class Choice:
    """The design points at which an axis has a value: no others are looked at."""

    axis: str
    value: str

    @property
    def text(self) -> str:
        """As the grammar has it."""
        return f"{self.axis} = {self.value}"

    def holds(self, values: dict[str, Any]) -> bool:
        """Whether what the axes set is what was chosen."""
        return _in_words(values[self.axis]) == self.value


@dataclass(frozen=True, eq=False)
class Measured:
    """A quantity at one design point, and what its Monte Carlo error comes from.

    `luck` is (R,), by replicate: 1 and 0 for a chance, the values whose mean is meant, nothing for what is exact.
    """

    kind: Kind
    value: float
    mcse: float
    n: int
    luck: Floats

    @classmethod
    def chance(cls, hits: Floats) -> Measured:
        """Of 1, 0 or NaN in each replicate."""
        return cls("chance", *proportion_with_error(hits), hits)

    @classmethod
    def mean(cls, values: Floats) -> Measured:
        """Of values in each replicate."""
        return cls("mean", *mean_with_error(values), values)

    @classmethod
    def exact(cls, value: float) -> Measured:
        """Of something that does not depend on luck."""
        return cls("exact", value, 0.0, 0, np.empty(0))


# --- grammar ----------------------------------------------------------------------------------------------------------


def read_constraint(text: str, results: Results) -> Constraint:
    """A constraint from its words. TrialsimError where it cannot be read."""
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        raise TrialsimError(
            f"'{text}': a constraint is a quantity, one of >= <= > <, and a number: power >= 0.9. "
            "An axis can be held to one of its values: scenario = realistic."
        )
    quantity = read_quantity(found["quantity"], results)
    try:
        limit = float(found["limit"])
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise TrialsimError(f"'{text}': '{found['limit'].strip()}' is not a number.")
    if quantity.kind == "power" and not 0 <= limit <= 1:
        raise TrialsimError(f"'{text}': power is a number from 0 to 1.")
    return Constraint(quantity, found["sign"], limit)


def read_choice(text: str, results: Results) -> Choice | None:
    """A choice from its words, None where they are none. TrialsimError for an axis or a value that there is not."""
    found = _CHOICE.fullmatch(text)
    if found is None:
        return None
    axis, value = found["axis"].strip(), found["value"]
    if axis not in results.axes:
        known = f"Axes: {', '.join(results.axes)}." if results.axes else "There is none."
        raise TrialsimError(f"'{text}': = chooses by the value of an axis, and '{axis}' is none. {known}")
    values = list(dict.fromkeys(_in_words(values[axis]) for values in results.axis_values))
    if value not in values and (same := [one for one in values if _as_number(one) == _as_number(value)]):
        value = same[0]
    if value not in values:
        close = close_to(value, values)
        hint = f"Did you mean '{close}'?" if close else f"Its values: {', '.join(values[:10])}."
        raise TrialsimError(f"'{text}': no design point has this value. {hint}")
    return Choice(axis, value)


def _in_words(value: Any) -> str:
    return "null" if value is None else written(value)


def _as_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def read_quantity(text: str, results: Results) -> Quantity:
    """A quantity from its words. TrialsimError where there is none of that name."""
    name = text.strip()
    if inside := _BRACKETS.fullmatch(text):
        return _bracketed(text, inside["name"], inside["inside"].strip(), results)
    if name == "power":
        return _power("", results)
    if name in COUNTED:
        return Quantity("counted", name)
    if name in results.axes:
        return _axis(name, results)
    known = ["power", *COUNTED, *results.axes]
    close = close_to(name, known)
    hint = f"Did you mean '{close}'?" if close else f"Known: {', '.join(known)}, power[...], measure[...]."
    raise TrialsimError(f"no quantity is called '{name}'. {hint}")


def _bracketed(text: str, name: str, inside: str, results: Results) -> Quantity:
    if name == "power" and inside:
        return _power(inside, results)
    if name != "measure":
        hint = "Write power[coach vs usual at 3 months] or measure[treatment/coach/started]."
        raise TrialsimError(f"'{text.strip()}' is no quantity. {hint}")
    if inside not in results.measure_names:
        close = close_to(inside, results.measure_names)
        hint = f"Did you mean '{close}'?" if close else "Their names are in the table 'measures'."
        raise TrialsimError(f"there is no measure '{inside}'. {hint}")
    return Quantity("measure", inside)


def _power(question: str, results: Results) -> Quantity:
    ask(results.design(0), question or None)  # refuses what it cannot read
    return Quantity("power", question)


def _axis(name: str, results: Results) -> Quantity:
    values = [values[name] for values in results.axis_values]
    wrong = next((v for v in values if isinstance(v, bool) or not isinstance(v, int | float | None)), None)
    if wrong is not None:
        raise TrialsimError(f"'{name}' is not a number (it is '{wrong}', say), so it cannot be compared with one.")
    return Quantity("axis", name)


def power_in_words(results: Results, quantity: Quantity) -> str:
    """What a power is the power of, as it was understood at the first design point."""
    asked = ask(results.design(0), quantity.of or None)
    decision = asked.decisions[QUESTION]
    family = hypotheses_of(asked, decision)
    rule = success_rule(asked, decision, family)
    said = {h.name: f"{h.arms[0]} {_VERBS[h.kind]} {h.arms[1]} at {h.visit} in {h.analysis}" for h in family}
    if rule is None:
        return " or ".join(said.values())
    return f"{rule.words()}, where {'; '.join(f'{name}: {words}' for name, words in said.items())}"


_VERBS = {"beats": "beats", "non_inferior": "is not inferior to", "equivalent": "is equivalent to"}


# --- values -----------------------------------------------------------------------------------------------------------


class AtPoint:
    """The replicates of one design point that did not fail, and what quantities are there."""

    def __init__(self, results: Results, point: int) -> None:
        self.results, self.point = results, point

    @cached_property
    def rows(self) -> dict[str, NDArray[Any]]:
        """See `Results.replicates_of`."""
        return self.results.replicates_of(self.point)

    @cached_property
    def design(self) -> Design:
        """The point's design."""
        return self.results.design(self.point)

    @cached_property
    def estimates(self) -> Estimates:
        """See `Results.estimates_of`."""
        return self.results.estimates_of(self.point)

    @property
    def replicate(self) -> NDArray[np.int32]:
        """Numbers of the replicates, (R,)."""
        return self.rows["replicate"]

    def measured(self, quantity: Quantity, *, skip_failed: bool = False) -> Measured:
        """A quantity here. ResultsError where fits that it needs failed, unless `skip_failed`."""
        if quantity.kind == "axis":
            value = self.results.axis_values[self.point][quantity.of]
            return Measured.exact(math.nan if value is None else float(value))
        if quantity.kind == "power":
            return Measured.chance(self._power(quantity.of, skip_failed))
        if quantity.kind == "measure":
            return Measured.mean(self._measure(quantity.of))
        return Measured.mean(self.counted(quantity.of))

    def counted(self, name: str) -> Floats:
        """One of `COUNTED`, (R,)."""
        rows = self.rows
        if name == "coach_hours":
            return self._coach_hours()
        if name in ("n", "cost"):
            return np.asarray(rows["n_randomized" if name == "n" else name], dtype=float)
        return np.asarray(rows[name.replace("_months", "_days")] / MONTH_DAYS)

    def _coach_hours(self) -> Floats:
        found = self.results.measures_of(self.point)
        hours = [values for name, values in found.items() if name.startswith("coaches/") and name.endswith("/hours")]
        return np.sum(hours, axis=0) if hours else np.zeros(len(self.replicate))

    def _measure(self, path: str) -> Floats:
        found = self.results.measures_of(self.point, [path])
        return found.get(path, np.full(len(self.replicate), np.nan))

    def _power(self, question: str, skip_failed: bool) -> Floats:
        success = decide(ask(self.design, question or None), QUESTION, self.estimates).success
        failed = int(np.isnan(success).sum())
        if failed and not skip_failed:
            raise ResultsError(
                f"design point {self.point}: in {failed} of {len(success)} replicates a fit that the power needs "
                "failed. They are not silently left out: --skip-failed (Python: skip_failed=True) leaves them out."
            )
        return success


def refuse_failed(results: Results, points: list[int]) -> None:
    """ResultsError, with their number, where replicates failed altogether."""
    failed = {point: results.n_failed(point) for point in points if results.n_failed(point)}
    if failed:
        every = sum(results.n_replicates(point) for point in points)
        where = ", ".join(str(point) for point in list(failed)[:5]) + (", ..." if len(failed) > 5 else "")
        raise ResultsError(
            f"{sum(failed.values()):,} of {every:,} replicates failed (design points {where}; see 'stage' and 'error' "
            "in the table 'replicates'). They are not silently left out: summarise the others with "
            "--skip-failed (Python: skip_failed=True)."
        )
