"""What a sweep is: its design points and what is to be run of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trialsim.design.parts import Design
from trialsim.design.yamltree import shown

Value = Any
"""A value of an axis, as read from the file: a number, text, true or false, a list or a mapping."""


@dataclass(frozen=True)
class DesignPoint:
    """One cell of a sweep. `values` holds what the axes set, by dotted path; under 'scenario' the pack's name."""

    number: int
    values: dict[str, Value]
    design: Design
    digest: str
    seed: int

    @property
    def label(self) -> str:
        """What distinguishes it: 'sample_size=300, scenario=realistic'."""
        return ", ".join(f"{path}={written(value)}" for path, value in self.values.items()) or self.design.name


def written(value: Value) -> str:
    """A value as it would stand in a file."""
    return value if isinstance(value, str) else shown(value)


@dataclass(frozen=True)
class Sweep:
    """Design points in their order, and how many replicates of each are run.

    With `target_mcse` as many as bring every Monte Carlo standard error of power of a point down to it, at most
    `replicates`; otherwise `replicates`. `tables` are the participant-level tables that are kept.
    """

    name: str
    points: tuple[DesignPoint, ...]
    replicates: int
    target_mcse: float | None
    seed: int
    common_random_numbers: bool
    tables: tuple[str, ...]
    text: str
    """The sweep file as YAML, defaults filled in."""
