"""What a sweep file may say, as frozen pydantic models. The text under each field is its documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Strict, model_serializer, model_validator

from trialsim.design.checks import CrossCheckError
from trialsim.design.naming import Path, Problem
from trialsim.design.scalars import LARGEST_INT
from trialsim.design.values import Count, Name, Number, Part, Positive, Text
from trialsim.sweeps.sweep import Value

MAX_POINTS = 100_000
MOST_REPLICATES = 100_000
"""Of a point, where only a target is given."""
LARGEST_REPLICATES = 10_000_000
TABLES = ("funnel", "participants", "sessions", "observations", "resources", "truth")
"""The participant-level tables of `keep: participants`; events, clusters, components are kept where they are named."""

Table = Literal[
    "funnel", "participants", "sessions", "observations", "resources", "truth", "events", "clusters", "components"
]
Dotted = Annotated[str, Strict(), Field(min_length=1, max_length=200)]
File = Annotated[str, Strict(), Field(min_length=1, max_length=1_000)]
Values = Annotated[tuple[Value, ...], Field(min_length=1, max_length=MAX_POINTS)]
Lists = Annotated[dict[Dotted, Values], Field(min_length=1)]


class Range(Part):
    """Where the values of one path lie."""

    low: Number
    """Lowest value."""
    high: Number
    """Highest value."""
    whole: Annotated[bool, Strict()] | None = None
    """Whole numbers only; none = where `low` and `high` are whole and the design takes nothing else."""
    log: Annotated[bool, Strict()] = False
    """Spread evenly on the logarithmic scale."""


class Space(Part):
    """Points spread over a box."""

    points: Annotated[Count, Field(le=MAX_POINTS)]
    """How many points; for `sobol` a power of 2."""
    ranges: Annotated[dict[Dotted, Range], Field(min_length=1, max_length=100)]
    """The range of each dotted path."""


class Axis(Part):
    """Exactly one of these keys. Axes are crossed in their order; the last one changes fastest."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    grid: Lists | None = None
    """Lists of values by dotted path; every combination is a point."""
    zip: Lists | None = None
    """Lists of values by dotted path, equally long; they move together."""
    lhs: Space | None = None
    """A Latin hypercube: each path takes `points` values, one from each equal part of its range, combined by luck."""
    sobol: Space | None = None
    """A scrambled Sobol sequence, which fills the box more evenly still."""
    list: Annotated[tuple[dict[Dotted, Value], ...], Field(min_length=1, max_length=MAX_POINTS)] | None = None
    """Points written out, each with values by dotted path; `{}` is the base as it is."""
    table: File | None = None
    """A CSV file, relative to the sweep file: headers are dotted paths, each row is a point; an empty cell leaves the
    value as it is."""
    scenarios: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Names of packs under the sweep's `scenarios`, or `all`."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The keys that are given."""
        return tuple(name for name in Axis.model_fields if getattr(self, name) is not None)

    @model_serializer(mode="wrap")
    def _only_what_is_given(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}


class SweepFile(Part):
    """Many designs, each simulated many times."""

    name: Annotated[str, Strict(), Field(pattern=r"^[a-z][a-z0-9_\-]*$", max_length=60)]
    """Short name."""
    title: Text = ""
    """One line that says what the sweep is for."""
    description: Text = ""
    """A paragraph that says what the sweep is for."""
    base: File
    """The design that all points start from: a library scenario, or a design file relative to the sweep file."""
    set: dict[Dotted, Value] = {}
    """Values that all points have in place of the base's, by dotted path."""
    scenarios: dict[Name, dict[Dotted, Value]] = {}
    """Packs of values that belong together (optimistic, realistic, pessimistic), by name; a pack may be empty."""
    axes: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=30)]
    """What is varied."""
    replicates: Annotated[Count, Field(le=LARGEST_REPLICATES)] | None = None
    """Replicates of each point; with `target_mcse` the most for one point (none = 100,000)."""
    target_mcse: Annotated[Positive, Field(lt=0.5)] | None = None
    """Replicates are added to a point until every Monte Carlo standard error of its power is at most this."""
    seed: Annotated[int, Strict(), Field(ge=0, le=LARGEST_INT)] = 1
    """The sweep's luck."""
    keep: Literal["estimates", "participants"] | tuple[Table, ...] = "estimates"
    """estimates: nothing about single participants; participants: all participant-level tables but events; or a list of
    participant-level tables."""
    common_random_numbers: Annotated[bool, Strict()] = True
    """true: all points have the sweep's seed, so most luck cancels in differences between them; false: each has a seed
    of its own, made of the sweep's seed and the point's design."""

    @model_validator(mode="after")
    def _consistent(self) -> SweepFile:
        problems = [problem for check in (_replicates, _axes) for problem in check(self)]
        if problems:
            raise CrossCheckError(problems)
        return self

    @property
    def most_replicates(self) -> int:
        """Replicates of each point; with `target_mcse` the most for one."""
        return self.replicates or MOST_REPLICATES

    @property
    def tables(self) -> tuple[str, ...]:
        """The participant-level tables that are kept."""
        if isinstance(self.keep, tuple):
            return tuple(dict.fromkeys(self.keep))
        return TABLES if self.keep == "participants" else ()


def _replicates(file: SweepFile) -> Iterator[Problem]:
    if file.replicates is None and file.target_mcse is None:
        yield (), "give replicates or target_mcse", "For example replicates: 200."


def _axes(file: SweepFile) -> Iterator[Problem]:
    for index, axis in enumerate(file.axes):
        path: Path = ("axes", index)
        if len(axis.kinds) != 1:
            given = " and ".join(axis.kinds) or "none"
            hint = f"Given: {given}. Start a new item (-) for each axis: axes are crossed."
            yield path, f"an axis has exactly one of {', '.join(Axis.model_fields)}", hint
        if axis.scenarios and not file.scenarios:
            yield (*path, "scenarios"), "the sweep has no scenarios", "Name packs of values under its key 'scenarios'."
        if axis.zip:
            yield from _lengths((*path, "zip"), axis.zip)
        for kind, space in (("lhs", axis.lhs), ("sobol", axis.sobol)):
            for name, bounds in space.ranges.items() if space else ():
                yield from _range((*path, kind, "ranges", name), bounds)
        if axis.sobol and axis.sobol.points.bit_count() != 1:
            low = 2 ** (axis.sobol.points.bit_length() - 1)
            yield (*path, "sobol", "points"), "must be a power of 2", f"The next ones are {low} and {2 * low}."


def _lengths(path: Path, lists: dict[str, tuple[Value, ...]]) -> Iterator[Problem]:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        yield path, "lists that move together must be equally long", f"{told}."


def _range(path: Path, bounds: Range) -> Iterator[Problem]:
    if bounds.low >= bounds.high:
        yield (*path, "low"), "low must be below high", ""
    if bounds.log and bounds.low <= 0:
        yield (*path, "low"), "a logarithmic range must lie above 0", ""
    for name in ("low", "high"):
        if bounds.whole and not float(getattr(bounds, name)).is_integer():
            yield (*path, name), "must be a whole number, as the values are", ""
