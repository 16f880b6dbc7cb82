"""Figures of `trialsim.report.figures` as parts of a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trialsim.errors import ResultsError
from trialsim.report.page.parts import Picture
from trialsim.report.pieces import Piece

if TYPE_CHECKING:
    from trialsim.report.figures.material import Material


class Pictures:
    """Draws figures one after the other; each has ids of its own."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._drawn = 0

    def __call__(self, *kinds: str, **options: Any) -> Iterator[Picture | str]:
        """A figure of each kind, or a line that says why there is none."""
        for kind in kinds:
            yield self._one(kind, options)

    def _one(self, kind: str, options: dict[str, Any]) -> Picture | str:
        from trialsim.report import figures

        made = figures.KINDS[kind]
        why_not = made.missing(self.material)
        if why_not:
            return Piece(f"There is no figure '{made.title}' here: {why_not}.")
        try:
            figure = figures.draw(self.material, kind, **options)
        except ResultsError as error:  # a fit or a replicate failed, or other trials are stored than are simulated now
            return Piece(f"There is no figure '{made.title}' here: {error}")
        self._drawn += 1
        alt = figures.alt(self.material, kind, **options)
        return Picture(
            name=f"figure-{self._drawn}",
            svg=figures.svg(figure, prefix=f"f{self._drawn}", title=alt),
            caption=figures.caption(self.material, kind, **options),
            alt=alt,
        )
