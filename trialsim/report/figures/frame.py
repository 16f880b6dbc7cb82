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
INDENT = 0.05
"""Of text above and below the panels, from the margin [inches]."""
_SYMBOL, _SPACE, _GAP = 2.4, 0.5, 1.5
"""Of a key: width of its symbol, from there to its text, and after it [times the size of the type]."""


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
    face: str = ""
    """Colour inside a marker or patch, where it differs from that of the edge."""
    upright: bool = False
    """Whether its line stands."""


@dataclass(frozen=True)
class _Placed:
    """A key with its text in lines, and where it stands: x from the left, line from the top."""

    key: Key
    lines: list[str]
    x: float
    row: int


class Frame:
    """A figure in the making. `body` is the height of its panels [inches]; a projector's picture is always as high,
    unless it must be `tall`: then that is the height of its panels."""

    def __init__(
        self,
        look: Look,
        *,
        title: str,
        note: str = "",
        keys: Sequence[Key] = (),
        body: float | None = None,
        tall: float | None = None,
    ) -> None:
        from matplotlib.figure import Figure

        self.look = look
        text = look.width - 2 * (MARGIN + INDENT)
        heads = wrapped(title, text, look.large, bold=True) if look.projected else []
        placed, n_rows = _placed(keys, look, text)
        feet = wrapped(note, text, look.small) if note else []
        small, large = line_height(look.small), line_height(look.large)
        above = len(heads) * large + (0.06 if heads else 0) + n_rows * small + (0.06 if n_rows else 0)
        below = len(feet) * small + (0.05 if feet else 0)
        usual = look.height - 2 * MARGIN - above - below
        self.body = tall if tall is not None else usual if body is None or look.projected else body
        self.tall = self.body + above + below + 2 * MARGIN
        self.figure: Figure = Figure(figsize=(look.width, self.tall))
        self.bottom = MARGIN + below
        top = self.tall - MARGIN
        for k, line in enumerate(heads):
            self.text(MARGIN + INDENT, top - k * large, line, fontsize=look.large, fontweight="bold")
        top -= len(heads) * large + (0.06 if heads else 0)
        for one in placed:
            self._key(one, top)
        for k, line in enumerate(feet):
            y = MARGIN + (len(feet) - k) * small - 0.15 * small
            self.text(MARGIN + INDENT, y, line, fontsize=look.small, color=look.muted)
        rect = (MARGIN / look.width, self.bottom / self.tall, 1 - 2 * MARGIN / look.width, self.body / self.tall)
        pad = 0.08 if look.projected else 0.05
        self.figure.set_layout_engine("constrained", rect=rect, h_pad=pad, w_pad=pad, hspace=0.03, wspace=0.03)

    @property
    def wide(self) -> float:
        """Width that panels have [inches]."""
        return self.look.width - 2 * MARGIN

    def axes(self, rows: int = 1, columns: int = 1, **how: Any) -> list[list[Axes]]:
        """Panels in rows and columns."""
        return self.figure.subplots(rows, columns, squeeze=False, **how).tolist()

    def panel(self) -> Axes:
        """The only panel."""
        return self.axes()[0][0]

    def placed(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """A panel whose frame stands there, counted from the lower left of the room for panels [inches]."""
        at = (MARGIN + left, self.bottom + bottom, width, height)
        over = (self.look.width, self.tall, self.look.width, self.tall)
        self.figure.set_layout_engine("none")
        return self.figure.add_axes(tuple(x / whole for x, whole in zip(at, over, strict=True)))  # type: ignore[arg-type]

    def text(self, x: float, y: float, text: str, **how: Any) -> None:
        """A line of text whose top left corner is at (x, y) of the figure [inches]."""
        how = {"ha": "left", "va": "top", **how}
        self.figure.text(x / self.look.width, y / self.tall, text, **how)

    def _key(self, one: _Placed, top: float) -> None:
        em, step = self.look.small / 72, line_height(self.look.small)
        y = top - one.row * step
        self._symbol(one.key, one.x, y - 0.55 * em, _SYMBOL * em)
        for k, line in enumerate(one.lines):
            self.text(one.x + (_SYMBOL + _SPACE) * em, y - k * step, line, fontsize=self.look.small)

    def _symbol(self, key: Key, x: float, y: float, width: float) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle

        w, h, em = self.look.width, self.tall, self.look.small / 72
        if key.patch:
            size = (width / w, 0.8 * em / h)
            how: Any = {"facecolor": key.face or key.colour, "edgecolor": key.colour if key.face else self.look.paper}
            edge = 1.0 if key.face else 0.0
            self._add(Rectangle((x / w, (y - 0.4 * em) / h), *size, alpha=key.alpha, hatch=key.hatch, lw=edge, **how))
        if key.line:
            half = 0.6 * em if key.upright else width / 2
            ends = ([x + width / 2] * 2, [y - half, y + half]) if key.upright else ([x, x + width], [y, y])
            at = [[place / w for place in ends[0]], [place / h for place in ends[1]]]
            self._add(Line2D(*at, color=key.colour, linestyle=key.line, alpha=key.alpha))
        if key.marker:
            face = key.face or key.colour
            at = [[(x + width / 2) / w], [y / h]]
            self._add(Line2D(*at, color=key.colour, marker=key.marker, linestyle="", markerfacecolor=face))

    def _add(self, artist: Any) -> None:
        artist.set_transform(self.figure.transFigure)
        self.figure.add_artist(artist)


def _placed(keys: Sequence[Key], look: Look, room: float) -> tuple[list[_Placed], int]:
    """Keys from left to right and on in the next line; a long text has several lines. And how many lines that takes."""
    em = look.small / 72
    longest = room / (2 if len(keys) > 1 else 1) - (_SYMBOL + _SPACE) * em
    found: list[_Placed] = []
    x, row, tallest = 0.0, 0, 0
    for key in keys:
        lines = wrapped(key.text, longest, look.small)
        width = max(text_width(line, look.small) for line in lines) + (_SYMBOL + _SPACE) * em
        if x and x + width > room:
            x, row, tallest = 0.0, row + tallest, 0
        found.append(_Placed(key, lines, MARGIN + INDENT + x, row))
        x, tallest = x + width + _GAP * em, max(tallest, len(lines))
    return found, row + tallest
