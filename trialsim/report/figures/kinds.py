"""What a kind of figure is, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from trialsim.design.shape import close_to
from trialsim.errors import TrialsimError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

Of = Literal["trial", "sweep"]


@dataclass(frozen=True)
class Asked:
    """What is asked of a figure beyond its kind; a kind names in `options` which of these it knows."""

    outcome: str | None = None
    visit: str | None = None
    analysis: str | None = None
    contrast: str | None = None
    statistic: str | None = None
    x: str | None = None
    y: str | None = None
    replicate: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of figure."""

    name: str
    title: str
    shows: str
    """In a sentence."""
    of: Of
    why_not: Callable[[Material], str]
    """Why the material has no such figure; empty where it has."""
    paint: Callable[[Material, Look, Asked], Figure]
    say: Callable[[Material, Asked], str]
    """The caption."""
    tell: Callable[[Material, Asked], str]
    """The text alternative."""
    options: tuple[str, ...] = ()
    """Which fields of `Asked` it knows."""

    def available(self, material: Material) -> bool | str:
        """Whether the material has such a figure, or why not."""
        return self.missing(material) or True

    def missing(self, material: Material) -> str:
        """Why the material has no such figure; empty where it has."""
        if self.of != material.of:
            needs = "the results of a sweep" if self.of == "sweep" else "one design (of a sweep, choose a point)"
            return f"it needs {needs}"
        return self.why_not(material).rstrip(".")

    def asked(self, material: Material, options: dict[str, Any]) -> Asked:
        """What was asked, checked. TrialsimError for what the kind or the design does not know."""
        given = {name: value for name, value in options.items() if value is not None}
        for name in given:
            if name not in self.options:
                known = f"It knows {', '.join(self.options)}." if self.options else "It has no options."
                raise TrialsimError(f"figure '{self.name}': '{name}' does not concern it. {known}")
        asked = Asked(**given)
        _refuse_unknown(self.name, material, asked)
        return asked


def _refuse_unknown(kind: str, material: Material, asked: Asked) -> None:
    design = material.design
    for name, known in (("outcome", design.outcomes), ("visit", design.visits), ("analysis", design.analyses)):
        value = getattr(asked, name)
        if value is not None and value not in known:
            close = close_to(value, known)
            hint = f"Did you mean '{close}'?" if close else f"There are: {', '.join(known) or 'none'}."
            raise TrialsimError(f"figure '{kind}': there is no {name} '{value}'. {hint}")
    if asked.replicate is not None and asked.replicate not in material.replicates:
        first, last = int(material.replicates[0]), int(material.replicates[-1])
        raise TrialsimError(f"figure '{kind}': replicate {asked.replicate} is not among {first} to {last}.")


OPTIONS = tuple(field.name for field in fields(Asked))
