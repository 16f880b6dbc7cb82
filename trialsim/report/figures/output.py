"""Figures as files and as SVG to put on a page: the same figure gives the same bytes."""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trialsim.errors import TrialsimError
from trialsim.report.figures.style import FONTS, Look, settings, tokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
_STACK = ", ".join(f"'{name}'" if " " in name else name for name in FONTS)
_COLOUR = re.compile(r"(?<=: )#[0-9a-fA-F]{6}\b")
_FILL = re.compile(r' fill="(#[0-9a-fA-F]{6})"')
_PATH, _LONG = re.compile(r' d="[^"]*"'), re.compile(r"(\d\.\d\d)\d+")
_IDS = re.compile(r'(\bid="|href="#|url\(#)')


def _variables(dark: bool) -> str:
    return " ".join(f"--figure-{name}: {colour};" for name, colour in tokens(dark).items())


CSS = "\n".join(
    [
        ".trialsim-figure { max-width: 100%; height: auto; }",
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(True)} }} }}",
        f"@media print {{ :root {{ {_variables(False)} }} }}",
    ]
)
"""Style for pages with figures by `svg`: their colours are variables, so that one figure serves light and dark."""


def svg(figure: Figure, *, prefix: str, title: str = "") -> str:
    """A figure as an SVG element to put into a page; `title` is its text alternative.

    Every id begins with the prefix, so that several can stand on one page. Colours are CSS variables (see `CSS`) that
    fall back to the figure's own; the background is left to the page.
    """
    look = look_of(figure)
    text = _svg_text(figure, look, transparent=True)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = _IDS.sub(lambda found: f"{found[1]}{prefix}-", text)
    text = _PATH.sub(lambda found: _LONG.sub(r"\1", found[0]), text)
    text = _FILL.sub(r' style="fill: \1"', text)  # of hatched patches: an attribute takes no variable
    names = {colour: name for name, colour in tokens(look.dark).items()}
    text = _COLOUR.sub(lambda found: _variable(found[0], names), text).replace(f" font-family: {_STACK};", "")
    said = f' role="img" aria-label="{html.escape(title)}"' if title else ' role="img"'
    style = f' class="trialsim-figure" style="font-family: {_STACK}"'
    return text.replace("<svg ", f"<svg{style}{said} ", 1).strip()


def _variable(colour: str, names: dict[str, str]) -> str:
    name = names.get(colour.lower())
    return colour if name is None else f"var(--figure-{name}, {colour})"


def save(figure: Figure, path: str | Path) -> None:
    """Write a PNG, SVG or PDF file (by the name's ending), whole or not at all. TrialsimError where that cannot be."""
    place = Path(path)
    kind = place.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise TrialsimError(f"{place}: a figure is written as {', '.join(FORMATS)}, which the name's ending says.")
    if place.is_dir():
        raise TrialsimError(f"{place}: this is a folder. Give a file name.")
    data = _bytes(figure, kind)
    draft = place.with_name(f".{place.name}.{os.getpid()}.draft")
    try:
        draft.write_bytes(data)
        os.replace(draft, place)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise TrialsimError(f"{place}: cannot be written ({(error.strerror or str(error)).lower()}).") from error


def look_of(figure: Figure) -> Look:
    """The look that a figure was drawn with."""
    look: Look = getattr(figure, "trialsim_look", Look())
    return look


def _bytes(figure: Figure, kind: str) -> bytes:
    look = look_of(figure)
    if kind == "svg":
        return _svg_text(figure, look, transparent=False).encode()
    metadata: dict[str, Any] = {"Software": None} if kind == "png" else {"CreationDate": None, "Producer": None}
    return _written(figure, look, kind, metadata, transparent=False)


def _svg_text(figure: Figure, look: Look, *, transparent: bool) -> str:
    metadata = {"Date": None, "Creator": None}
    text = _written(figure, look, "svg", metadata, transparent=transparent).decode()
    return text.replace(f"font-family: '{FONTS[0]}'", f"font-family: {_STACK}")


def _written(figure: Figure, look: Look, kind: str, metadata: dict[str, Any], *, transparent: bool) -> bytes:
    buffer = io.BytesIO()
    with settings(look):
        figure.savefig(buffer, format=kind, metadata=metadata, transparent=transparent)
    return buffer.getvalue()
