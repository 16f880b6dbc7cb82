"""Plots of rows: a label, marks along one axis, and numbers at the right. Rows are as high as their labels need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trialsim.report.figures.frame import MARGIN, Frame, Key
from trialsim.report.figures.style import Look, line_height, text_width, wrapped
from trialsim.report.layout import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXIS = 3.0
"""Height of numbers and label of the axis below [lines]."""
_SMALLEST = 9.0
"""Type on a projector's picture is not smaller [points]."""


@dataclass(frozen=True)
class Row:
    """A row: its label, and what stands at the right. Or a heading above the rows that follow."""

    label: str
    value: str = ""
    heading: bool = False
    lines: int = 1
    """Lines of marks that it needs at least."""


class RowPlot:
    """`ax` has the rows' middles at `y`, by place; headings have places too, but no marks."""

    def __init__(
        self,
        look: Look,
        rows: Sequence[Row],
        *,
        title: str,
        value_head: str = "",
        note: str = "",
        keys: Sequence[Key] = (),
        share: float = 0.34,
    ) -> None:
        self.look, self.rows = look, list(rows)
        self._head, self._share = value_head, share
        points = look.base if look.projected else look.small
        self.frame = Frame(look, title=title, note=note, keys=keys, body=self._measure(points))
        while look.projected and self._measure(points) > self.frame.body and points > _SMALLEST:
            points -= 0.5
        while look.projected and self._measure(points) > self.frame.body and len(self.rows) > 1:
            self._drop()
        if len(self.rows) < len(rows):
            self.frame = Frame(look, title=title, note=f"{note} {_left(rows, self.rows)}", keys=keys)
            while self._measure(points) > self.frame.body and len(self.rows) > 1:
                self._drop()
        self.points = points
        self.ax = self._axes(self._measure(points))

    def _drop(self) -> None:
        """Leave out the last heading with its rows; where there is only one, the last row."""
        heads = [place for place, row in enumerate(self.rows) if row.heading and place]
        del self.rows[heads[-1] if heads else -1 :]

    def _measure(self, points: float) -> float:
        """Widths of labels and of numbers, heights of rows; and the height that all of it needs [inches]."""
        step, pad = line_height(points), 0.4 * line_height(points)
        wide = self.look.width * self._share
        self._labels = [
            wrapped(row.label, self.look.width - 0.3 if row.heading else wide, points, bold=row.heading)
            for row in self.rows
        ]
        texts = [line for row, lines in zip(self.rows, self._labels, strict=True) if not row.heading for line in lines]
        self._left = max([text_width(text, points) for text in texts], default=0.5) + 0.14
        values = [*(row.value for row in self.rows), self._head]
        self._right = max(text_width(text, points) for text in values) + (0.2 if any(values) else 0.1)
        self._heights = [
            max(len(lines), row.lines) * step + (0.5 * pad if row.heading else pad)
            for row, lines in zip(self.rows, self._labels, strict=True)
        ]
        return sum(self._heights) + (_AXIS + bool(self._head)) * step

    def _axes(self, need: float) -> Axes:
        step = line_height(self.points)
        head = step if self._head else 0.0
        axis = _AXIS * step
        spare = max(0.0, self.frame.body - need)
        if self.look.projected and spare:  # a slide has room: rows stand further apart
            extra = min(spare / max(1, len(self.rows)), 1.6 * step)
            self._heights = [height + extra for height in self._heights]
        tall = sum(self._heights)
        top = self.frame.body - head
        width = self.frame.wide - self._left - self._right
        ax = self.frame.placed(self._left, max(top - tall, axis), width, min(tall, top - axis))
        ax.set_ylim(tall, 0)
        ax.set_yticks([])
        ax.grid(visible=True, axis="x")
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="x", labelsize=self.points)
        ax.xaxis.label.set_fontsize(self.points)
        self.y: list[float] = []
        edge = 0.0
        for height in self._heights:
            self.y.append(edge + height / 2)
            edge += height
        scale = min(1.0, (top - axis) / tall)
        self._write(scale)
        return ax

    def _write(self, scale: float) -> None:
        """Labels at the left, numbers at the right; y runs down from the panel's top."""
        step = line_height(self.points)
        top = self.frame.bottom + self.frame.body
        if self._head:
            right = self.look.width - MARGIN - 0.04
            self.frame.text(right, top, self._head, fontsize=self.points, ha="right", color=self.look.muted)
            top -= step
        for row, lines, y in zip(self.rows, self._labels, self.y, strict=True):
            middle = top - y * scale
            for k, line in enumerate(lines):
                at = middle + (len(lines) / 2 - k) * step - 0.15 * step
                how: Any = {"fontweight": "bold" if row.heading else "normal"}
                if row.heading:  # no line of the panel runs through it
                    how["bbox"] = {"facecolor": self.look.paper, "linewidth": 0, "pad": 0.5}
                self.frame.text(MARGIN + 0.02, at, line, fontsize=self.points, **how)
            if row.value:
                right = self.look.width - MARGIN - 0.04
                self.frame.text(right, middle + 0.35 * step, row.value, fontsize=self.points, ha="right")

    @property
    def thick(self) -> float:
        """Height of the lowest row."""
        return min(height for row, height in zip(self.rows, self._heights, strict=True) if not row.heading)

    @property
    def wide(self) -> float:
        """Width of the panel [inches]."""
        return self.frame.wide - self._left - self._right


def _left(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    """What is said of rows that a projector's picture has no room for."""
    n = sum(not row.heading for row in rows) - sum(not row.heading for row in shown)
    return f"No room for {plural(n, 'more row')}: see the page's size."
