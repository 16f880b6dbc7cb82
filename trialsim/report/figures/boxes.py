"""Where a figure's texts stand, to find those that cover each other or leave the figure. Used by tests and by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trialsim.report.figures.output import look_of
from trialsim.report.figures.style import settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TextBox:
    """A line of text that is drawn, and the upright rectangle around it [pixels of a 100 dpi picture]."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    def covers(self, other: TextBox, *, slack: float) -> bool:
        """Whether both have more than `slack` pixels in common in width and height."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        tall = min(self.top, other.top) - max(self.bottom, other.bottom)
        return wide > slack and tall > slack


def text_boxes(figure: Figure) -> list[TextBox]:
    """Every line of text that is really drawn (names of ticks that are out of sight are not)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    found: list[TextBox] = []
    with settings(look_of(figure)):
        renderer = canvas.get_renderer()

        def note(gc: Any, x: float, y: float, s: str, prop: Any, angle: float, *args: Any, **how: Any) -> None:
            if s.strip():
                wide, tall, below = renderer.get_text_width_height_descent(s, prop, ismath=False)
                found.append(_box(s, x, renderer.height - y, wide, tall, below, angle))

        renderer.draw_text = note
        figure.draw(renderer)
    return found


def _box(text: str, x: float, y: float, wide: float, tall: float, below: float, angle: float) -> TextBox:
    """Around text whose baseline begins at (x, y)."""
    turn = math.radians(angle)
    corners = [(0.0, -below), (wide, -below), (0.0, tall - below), (wide, tall - below)]
    across = [x + a * math.cos(turn) - b * math.sin(turn) for a, b in corners]
    up = [y + a * math.sin(turn) + b * math.cos(turn) for a, b in corners]
    return TextBox(text, min(across), min(up), max(across), max(up))


def overlapping(boxes: Sequence[TextBox], *, slack: float = 1.5) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other by more than `slack` pixels."""
    return [
        (one.text, other.text)
        for k, one in enumerate(boxes)
        for other in boxes[k + 1 :]
        if one.covers(other, slack=slack)
    ]


def cut_off(boxes: Sequence[TextBox], figure: Figure, *, slack: float = 0.5) -> list[str]:
    """Texts that leave the figure."""
    wide, tall = figure.get_size_inches() * figure.dpi
    return [
        box.text
        for box in boxes
        if box.left < -slack or box.bottom < -slack or box.right > wide + slack or box.top > tall + slack
    ]
