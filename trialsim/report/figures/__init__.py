"""Figures of a trial, of many replicates, of a sweep.

material = gather("resolve", replicates=200)
figure = draw(material, "enrolment")
save(figure, "enrolment.pdf")
print(caption(material, "enrolment"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trialsim.design.shape import close_to
from trialsim.errors import TrialsimError
from trialsim.report.figures.kinds import OPTIONS, Kind
from trialsim.report.figures.material import Material, gather
from trialsim.report.figures.output import CSS, FORMATS, save, svg
from trialsim.report.figures.style import SIZES, Look, Size, need_matplotlib, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MODULES = (
    "consort", "enrolment", "calendar", "staff", "waiting", "attendance", "trajectories", "responders", "missing",
    "forest", "power", "errors", "nested_loop", "heat", "curve", "pareto",
)  # fmt: skip

KINDS: dict[str, Kind] = {}
for _name in _MODULES:
    _kind: Kind = import_module(f"{__name__}.{_name}").KIND
    KINDS[_kind.name] = _kind

__all__ = [
    "CSS", "FORMATS", "KINDS", "OPTIONS", "SIZES", "Kind", "Material", "alt", "caption", "draw", "gather",
    "kind_called", "kinds_of", "save", "svg",
]  # fmt: skip


def kinds_of(material: Material) -> list[str]:
    """Names of the kinds that the material has, in the order of `KINDS`."""
    return [name for name, kind in KINDS.items() if kind.available(material) is True]


def draw(material: Material, kind: str, *, size: Size = "page", dark: bool = False, **options: Any) -> Figure:
    """A figure. `options` are those that the kind knows (`KINDS[kind].options`).

    TrialsimError for a kind or an option that there is not, for what the material cannot give, and without matplotlib.
    """
    need_matplotlib()
    if size not in SIZES:
        raise TrialsimError(f"size '{size}': sizes are {', '.join(SIZES)}.")
    chosen = _kind_of(material, kind)
    asked = chosen.asked(material, options)
    look = Look(size=size, dark=dark)
    with settings(look):
        figure = chosen.paint(material, look, asked)
        setattr(figure, "trialsim_look", look)  # noqa: B010 - of matplotlib's class, which does not know it
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")  # so that what is written does not depend on how often it was drawn
            for axes in figure.axes:  # the solver's last bits depend on where things lie in memory
                left, bottom, width, height = (round(float(x), 6) for x in axes.get_position().bounds)
                axes.set_position((left, bottom, width, height))
    return figure


def caption(material: Material, kind: str, **options: Any) -> str:
    """What a figure shows, what its bands are, how many replicates it rests on, where published values come from."""
    chosen = _kind_of(material, kind)
    return chosen.say(material, chosen.asked(material, options))


def alt(material: Material, kind: str, **options: Any) -> str:
    """A figure in words with its main numbers, for those who do not see it."""
    chosen = _kind_of(material, kind)
    return chosen.tell(material, chosen.asked(material, options))


def kind_called(kind: str) -> Kind:
    """A kind by its name. TrialsimError where there is none."""
    if kind not in KINDS:
        close = close_to(kind, KINDS)
        hint = f"Did you mean '{close}'?" if close else f"Kinds: {', '.join(KINDS)}."
        raise TrialsimError(f"no figure is called '{kind}'. {hint}")
    return KINDS[kind]


def _kind_of(material: Material, kind: str) -> Kind:
    found = kind_called(kind)
    why = found.missing(material)
    if why:
        raise TrialsimError(f"figure '{kind}' cannot be drawn from {material.source}: {why}.")
    return found
