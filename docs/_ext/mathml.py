"""Equations as MathML, which browsers draw by themselves: no script and no request to anybody."""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from latex import UnknownLatex, mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def _shown(node: nodes.Element, *, block: bool) -> str:
    try:
        return mathml(node.astext(), block=block)
    except UnknownLatex as error:
        logger.warning("LaTeX that cannot be shown as MathML: %s", error, location=node, type="mathml")
        return f"<code>{escape(node.astext())}</code>"


def inline(self: HTML5Translator, node: nodes.math) -> None:
    """An equation within a line."""
    self.body.append(_shown(node, block=False))
    raise nodes.SkipNode


def display(self: HTML5Translator, node: nodes.math_block) -> None:
    """An equation by itself; what is wider than the page scrolls, by keys too."""
    label = 'role="group" aria-label="equation" tabindex="0"'
    self.body.append(f'<div class="equation" {label}>{_shown(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
