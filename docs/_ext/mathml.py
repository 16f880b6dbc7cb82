"""Equations as MathML, which browsers draw by themselves: no script and no request to anybody."""

from __future__ import annotations

import re
from html import escape
from typing import Any
from xml.etree.ElementTree import fromstring

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


HOLDS = {"mfrac": 2, "mover": 2, "msqrt": 1, "msub": 2, "msubsup": 3, "msup": 2, "munder": 2, "munderover": 3}
"""How many parts an element must have."""
BAR = '<mo stretchy="true" accent="true">&#x0203E;</mo>'
"""A line above that grows with what is below it."""


class UnknownLatex(ValueError):
    """LaTeX that is not understood."""


def mathml(latex: str, *, block: bool) -> str:
    """LaTeX as a <math> element; UnknownLatex rather than an equation with a hole in it."""
    try:
        made = str(convert(latex, display="block" if block else "inline"))
        whole = all(len(part) == HOLDS.get(part.tag.rpartition("}")[2], len(part)) for part in fromstring(made).iter())
    except Exception as error:
        raise UnknownLatex(f"{latex} ({type(error).__name__})") from error
    if "\\" in made or not whole:
        raise UnknownLatex(latex)
    upright = re.sub(r"<mi>(&#x003[9A][0-9A-F];)</mi>", r'<mi mathvariant="normal">\1</mi>', made)
    return upright.replace('<mo accent="true">&#x02015;</mo>', BAR)


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
