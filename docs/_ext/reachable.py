"""What the theme leaves to do for keyboards and screen readers: code and tables that scroll, headings of the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

CHANGES = (
    ("<pre>", '<pre tabindex="0">'),
    ('<div class="table-wrapper ', '<div tabindex="0" class="table-wrapper '),
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Change the pages once they are written."""
    if error is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            if "_downloads" not in path.parts:
                _change(path)


def _change(path: Path) -> None:
    old = new = path.read_text("utf-8")
    for before, after in CHANGES:
        new = new.replace(before, after)
    if new != old:
        path.write_text(new, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
