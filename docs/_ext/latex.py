"""LaTeX as MathML, or a refusal."""

from __future__ import annotations

import re
from xml.etree.ElementTree import fromstring

from latex2mathml.converter import convert

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
