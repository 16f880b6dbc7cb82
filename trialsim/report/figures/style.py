"""How figures look: sizes, colours that colour-blind people tell apart, markers and lines, light and dark.

Two sizes. A page is 170 mm wide with type of 8 to 9 points, as journals print; a projector's picture is 16:9 with
larger type and thicker lines relative to its width.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from trialsim.errors import TrialsimError

Size = Literal["page", "projector"]
SIZES: tuple[Size, ...] = ("page", "projector")

FONTS = ("DejaVu Sans", "Verdana", "Segoe UI", "Helvetica", "Arial", "sans-serif")
"""The first ships with matplotlib and is what text is measured by; the others have much the same widths."""

TIE = "\u00a0"
"""A space at which no line ends."""

INK: dict[bool, dict[str, str]] = {
    False: {"ink": "#1a1d21", "muted": "#565d66", "grid": "#dde1e6", "paper": "#ffffff", "fill": "#f3f5f7"},
    True: {"ink": "#eceff3", "muted": "#aeb6c1", "grid": "#3a414b", "paper": "#14171b", "fill": "#20252c"},
}
"""Text, lesser text, lines behind, background and boxes; by whether the background is dark."""

_ARMS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "", "#8c939c")
_ARMS_DARK = ("#3d9fdc", "#f07d2b", "#1fc295", "#de93bb", "#f0b429", "#7cc7f2", "", "#99a1ab")
"""Okabe and Ito's palette; on a dark background the same hues, lighter. The empty one is the ink."""
SHADES = 8
"""Shades from nothing to all, not counting nothing."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[Any, ...] = (
    "-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.6, 1.2, 1.6)), (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)), (0, (9, 2)),
    (0, (2.4, 2.4)), (0, (8, 1.6, 3, 1.6)),
)  # fmt: skip
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "+++", "oo")


@dataclass(frozen=True)
class Look:
    """A size and a background. Lengths are in inches, type and lines in points."""

    size: Size = "page"
    dark: bool = False

    @property
    def projected(self) -> bool:
        """Whether it is for a wall."""
        return self.size == "projector"

    @property
    def width(self) -> float:
        """Of the figure [inches]: 170 mm, or a slide's."""
        return 10.0 if self.projected else 6.69

    @property
    def height(self) -> float:
        """Of a usual figure [inches]; a projector's is always this."""
        return 5.625 if self.projected else 3.9

    @property
    def dpi(self) -> int:
        """Of PNG files: 300 for print, 1920 x 1080 for a wall."""
        return 192 if self.projected else 300

    @property
    def base(self) -> float:
        """Size of text [points]."""
        return 14.0 if self.projected else 8.5

    @property
    def small(self) -> float:
        """Size of lesser text [points]."""
        return 12.0 if self.projected else 8.0

    @property
    def large(self) -> float:
        """Size of titles [points]."""
        return 18.0 if self.projected else 9.5

    @property
    def line(self) -> float:
        """Width of lines [points]."""
        return 2.6 if self.projected else 1.4

    @property
    def dot(self) -> float:
        """Size of markers [points]."""
        return 8.0 if self.projected else 4.6

    @property
    def ink(self) -> str:
        """Colour of text."""
        return INK[self.dark]["ink"]

    @property
    def muted(self) -> str:
        """Colour of lesser text."""
        return INK[self.dark]["muted"]

    @property
    def grid(self) -> str:
        """Colour of lines behind what is shown."""
        return INK[self.dark]["grid"]

    @property
    def paper(self) -> str:
        """Colour of the background."""
        return INK[self.dark]["paper"]

    @property
    def fill(self) -> str:
        """Colour of boxes."""
        return INK[self.dark]["fill"]

    def colour(self, number: int) -> str:
        """Of an arm (or whatever is told apart) by its number; an arm keeps its colour across figures."""
        palette = _ARMS_DARK if self.dark else _ARMS
        return palette[number % len(palette)] or self.ink

    def shade(self, share: float) -> str:
        """From nothing (0) to all (1): the fill of boxes, darker and darker (on a dark background, lighter)."""
        return _shades(self.dark)[_level(share)]

    def on_shade(self, share: float) -> str:
        """Colour of text on that shade."""
        return _on_shades(self.dark)[_level(share)]

    def marker(self, number: int) -> str:
        """What tells it apart without colour: a marker ..."""
        return MARKERS[number % len(MARKERS)]

    def dashes(self, number: int) -> Any:
        """... a line's pattern ..."""
        return LINES[number % len(LINES)]

    def hatch(self, number: int) -> str:
        """... or a bar's."""
        return HATCHES[number % len(HATCHES)]


def _level(share: float) -> int:
    return round(min(max(share, 0.0), 1.0) * SHADES)


def _rgb(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


@lru_cache(maxsize=2)
def _shades(dark: bool) -> list[str]:
    empty, full = _rgb(INK[dark]["fill"]), _rgb((_ARMS_DARK if dark else _ARMS)[0])
    parts = [k / SHADES for k in range(SHADES + 1)]
    mixed = [[round(a + (b - a) * part) for a, b in zip(empty, full, strict=True)] for part in parts]
    mixed[0][2] -= 1  # no shade is the colour of something else, see `tokens`
    mixed[-1][2] -= 1
    return ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in mixed]


@lru_cache(maxsize=2)
def _on_shades(dark: bool) -> list[str]:
    """Black or white, whichever is the more readable; every one a little different, see `tokens`."""
    found = []
    for k, shade in enumerate(_shades(dark)):
        red, green, blue = _rgb(shade)
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 128
        found.append(f"#1014{0x18 + k:02x}" if bright else f"#fbfc{0xF6 + k:02x}")
    return found


def tokens(dark: bool) -> dict[str, str]:
    """Every colour that has a name, by name: no two are the same, so that a colour says which it is."""
    arms = _ARMS_DARK if dark else _ARMS
    named = {f"arm-{k}": colour for k, colour in enumerate(arms) if colour}
    shades = {f"shade-{k}": colour for k, colour in enumerate(_shades(dark))}
    on = {f"on-shade-{k}": colour for k, colour in enumerate(_on_shades(dark))}
    return INK[dark] | {name: colour.lower() for name, colour in named.items()} | shades | on


@contextmanager
def settings(look: Look) -> Iterator[None]:
    """matplotlib with these settings and no others, whatever the user's own are; put back afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        parameters: Any = _parameters(look)
        matplotlib.rcParams.update(parameters)
        yield


@lru_cache(maxsize=4)
def _parameters(look: Look) -> dict[str, Any]:
    from matplotlib import rcParamsDefault

    ours = ("backend", "interactive", "toolbar", "timezone", "datapath", "webagg", "tk.", "keymap", "savefig.directory")
    plain: dict[str, Any] = {name: value for name, value in rcParamsDefault.items() if not name.startswith(ours)}
    thin = 1.1 if look.projected else 0.7
    return plain | {
        "font.family": list(FONTS[:1]),
        "font.size": look.base,
        "axes.titlesize": look.base,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": look.base,
        "xtick.labelsize": look.small,
        "ytick.labelsize": look.small,
        "legend.fontsize": look.small,
        "text.color": look.ink,
        "axes.labelcolor": look.ink,
        "axes.titlecolor": look.ink,
        "xtick.labelcolor": look.ink,
        "ytick.labelcolor": look.ink,
        "xtick.color": look.muted,
        "ytick.color": look.muted,
        "axes.edgecolor": look.muted,
        "axes.facecolor": "none",
        "figure.facecolor": look.paper,
        "grid.color": look.grid,
        "grid.linewidth": thin,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": thin,
        "xtick.major.width": thin,
        "ytick.major.width": thin,
        "lines.linewidth": look.line,
        "lines.markersize": look.dot,
        "patch.linewidth": thin,
        "hatch.linewidth": 0.9 if look.projected else 0.5,
        "legend.frameon": False,
        "text.parse_math": False,  # a label may hold $
        "axes.unicode_minus": True,
        "axes.formatter.useoffset": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "trialsim",
        "pdf.fonttype": 42,
        "savefig.dpi": look.dpi,
        "figure.dpi": 100,
    }


def need_matplotlib() -> None:
    """TrialsimError where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise TrialsimError("figures need the extra: pip install 'trialsim[plot]'") from None


# --- text -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _font(bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties(family=FONTS[0], weight="bold" if bold else "normal")))


def text_width(text: str, points: float, *, bold: bool = False) -> float:
    """Width of a line of text [inches]."""
    return _width_in_ems(text, bold) * points / 72


@lru_cache(maxsize=20_000)
def _width_in_ems(text: str, bold: bool) -> float:
    font = _font(bold)
    font.set_size(100.0, 72.0)
    font.set_text(text, 0.0)
    return 1.02 * float(font.get_width_height()[0]) / 64 / 100  # drawn letters stand a little further apart


def wrapped(text: str, width: float, points: float, *, bold: bool = False) -> list[str]:
    """Text broken into lines of at most `width` inches; a longer word is broken, as is what is `tied`."""
    lines: list[str] = []
    for word in filter(None, text.split(" ")):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, points, bold=bold) <= width:
            lines[-1] = joined
        else:
            lines += _broken(word, width, points, bold)
    return lines or [""]


def _broken(word: str, width: float, points: float, bold: bool) -> list[str]:
    if text_width(word, points, bold=bold) <= width:
        return [word]
    if TIE in word:
        return wrapped(word.replace(TIE, " "), width, points, bold=bold)
    letters = max(3, int(len(word) * width / text_width(word, points, bold=bold)))
    return textwrap.wrap(word, letters, break_long_words=True)


def shortened(text: str, width: float, points: float, *, lines: int = 1, bold: bool = False) -> list[str]:
    """The same in at most so many lines; what has no room is left out, and dots stand for it."""
    found = wrapped(text, width, points, bold=bold)
    if len(found) <= lines:
        return found
    last = found[lines - 1]
    while last and text_width(f"{last}…", points, bold=bold) > width:
        last = last[:-1]
    return [*found[: lines - 1], f"{last.rstrip()}…"]


def tied(text: str) -> str:
    """Text that stays on one line: its spaces do not break."""
    return text.replace(" ", TIE)


def line_height(points: float) -> float:
    """From one line of text to the next [inches]."""
    return points * 1.25 / 72
