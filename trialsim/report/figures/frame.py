"""The frame that figures share: a title for projectors, keys, panels, and a note that says what lines and bands are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trialsim.report.figures.style import Look, line_height, text_width, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.08
"""Left free around everything [inches]."""
_SYMBOL, _GAP = 2.4, 1.4
"""Of a key: width of its symbol and of the gap after its text [times the size of the type]."""


@dataclass(frozen=True)
class Key:
    """An entry of the keys: what a colour, marker, line or patch stands for."""

    text: str
    colour: str
    marker: str = ""
    line: Any = ""
    """A line's pattern, empty for none."""
    patch: bool = False
    alpha: float = 1.0
    hatch: str = ""
    hollow: bool = False


class Frame:
    """A figure in the making."""

    def __init__(
        self, look: Look, *, title: str, note: str = "", keys: Sequence[Key] = (), height: float | None = None
    ) -> None:
        from matplotlib.figure import Figure

        self.look = look
        tall = look.height if look.projected or height is None else height
        self.figure: Figure = Figure(figsize=(look.width, tall))
        self.tall = tall
        self._top = tall - MARGIN
        self._bottom = MARGIN
        if look.projected:
            self._title(title)
        if keys:
            self._keys(keys)
        if note:
            self._note(note)
        room = self._top - self._bottom
        rect = (MARGIN / look.width, self._bottom / tall, 1 - 2 * MARGIN / look.width, room / tall)
        pad = 0.05 if not look.projected else 0.08
        self.figure.set_layout_engine("constrained", rect=rect, h_pad=pad, w_pad=pad, hspace=0.03, wspace=0.03)

    @property
    def room(self) -> tuple[float, float]:
        """Width and height that panels have [inches]."""
        return self.look.width - 2 * MARGIN, self._top - self._bottom

    def axes(self, rows: int = 1, columns: int = 1, **how: Any) -> list[list[Axes]]:
        """Panels in rows and columns."""
        return self.figure.subplots(rows, columns, squeeze=False, **how).tolist()

    def panel(self) -> Axes:
        """The only panel."""
        return self.axes()[0][0]

    # --- what stands above and below ----------------------------------------------------------------------------------

    def _text(self, x: float, y: float, text: str, **how: Any) -> None:
        """Text whose top left corner is at (x, y) [inches]."""
        how = {"ha": "left", "va": "top", **how}
        self.figure.text(x / self.look.width, y / self.tall, text, **how)

    def _title(self, title: str) -> None:
        points = self.look.large
        for line in wrapped(title, self.look.width - 2 * MARGIN - 0.1, points, bold=True):
            self._text(MARGIN + 0.05, self._top, line, fontsize=points, fontweight="bold")
            self._top -= line_height(points)
        self._top -= 0.08

    def _note(self, note: str) -> None:
        points = self.look.small
        lines = wrapped(note, self.look.width - 2 * MARGIN - 0.1, points)
        self._bottom += line_height(points) * len(lines)
        for k, line in enumerate(lines):
            self._text(
                MARGIN + 0.05, self._bottom - k * line_height(points), line, fontsize=points, color=self.look.muted
            )
        self._bottom += 0.06

    def _keys(self, keys: Sequence[Key]) -> None:
        """From left to right and on, each with its symbol; a long text has several lines."""
        points = self.look.small
        em = points / 72
        room = self.look.width - 2 * MARGIN - 0.1
        longest = room / 2 - _SYMBOL * em if len(keys) > 1 else room - _SYMBOL * em
        texts = [wrapped(key.text, longest, points) for key in keys]
        widths = [max(text_width(line, points) for line in lines) + (_SYMBOL + 0.4) * em for lines in texts]
        x, tallest = 0.0, 0
        for key, lines, width in zip(keys, texts, widths, strict=True):
            if x and x + width > room:
                self._top -= tallest * line_height(points)
                x, tallest = 0.0, 0
            self._key(key, lines, MARGIN + 0.05 + x)
            x += width + _GAP * em
            tallest = max(tallest, len(lines))
        self._top -= tallest * line_height(points) + 0.06

    def _key(self, key: Key, lines: list[str], x: float) -> None:
        em = self.look.small / 72
        middle = self._top - 0.62 * em
        self._symbol(key, x, middle, _SYMBOL * em)
        for k, line in enumerate(lines):
            self._text(
                x + (_SYMBOL + 0.4) * em, self._top - k * line_height(self.look.small), line, fontsize=self.look.small
            )

    def _symbol(self, key: Key, x: float, y: float, width: float) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle

        w, h, em = self.look.width, self.tall, self.look.small / 72
        if key.patch:
            box = Rectangle(
                (x / w, (y - 0.4 * em) / h), width / w, 0.8 * em / h, transform=self.figure.transFigure,
                facecolor="none" if key.hollow else key.colour, alpha=key.alpha, hatch=key.hatch,
                edgecolor=key.colour if key.hollow else (self.look.paper if key.hatch else "none"),
                linewidth=1.0 if key.hollow else 0,
            )  # fmt: skip
            self.figure.add_artist(box)
        if key.line:
            self.figure.add_artist(
                Line2D([x / w, (x + width) / w], [y / h, y / h], color=key.colour, linestyle=key.line, alpha=key.alpha)
            )
        if key.marker:
            self.figure.add_artist(
                Line2D(
                    [(x + width / 2) / w],
                    [y / h],
                    color=key.colour,
                    marker=key.marker,
                    linestyle="",
                    markerfacecolor=self.look.paper if key.hollow else key.colour,
                    markersize=self.look.dot,
                )  # fmt: skip
            )
