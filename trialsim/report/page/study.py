"""What ADEMP and STRESS-DES ask of a simulation study, whether it is of one design or of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trialsim.design.parts import Design
from trialsim.experiments.performance import Performance
from trialsim.world.world import World


@dataclass(frozen=True)
class Study:
    """A simulation study as its statements need it. Sequences of texts hold sentences or paragraphs."""

    design: Design
    """Of a sweep, that of the first design point."""
    world: World
    aims: tuple[str, ...]
    scenarios: tuple[str, ...]
    """How other mechanisms differ from the design; empty where there is only one."""
    truth: str
    """Where true values come from."""
    replicates: str
    """How many, of what, from which seed, how many failed."""
    n_replicates: int
    """The fewest of a mechanism."""
    performance: tuple[Performance, ...]
    """Of analyses and decisions, of all mechanisms."""
    engine: str
    versions: dict[str, str]
    written: str
    """When the results were written and how long that took; empty where that is not kept."""
    luck: str
    """Seed and common random numbers."""
    published: tuple[str, ...] = ()
    """What is known of published values."""
    counted: tuple[str, ...] = ()
    """People and durations, each with its error."""


def named(texts: Sequence[str]) -> tuple[str, ...]:
    """Texts that are not empty."""
    return tuple(text for text in texts if text)
