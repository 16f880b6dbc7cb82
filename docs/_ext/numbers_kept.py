"""A number and its error stay on one line: the spaces around ± do not break."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

SPACES = re.compile(r"(?<=\d) ± (?=\d)")
KEPT = "\u00a0±\u00a0"


class Kept(SphinxTransform):
    """Replaces the spaces in running text and tables; code stays as it is."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Called by Sphinx for each page."""
        for text in list(self.document.findall(nodes.Text)):
            if SPACES.search(text) and not isinstance(text.parent, nodes.literal | nodes.literal_block):
                text.parent.replace(text, nodes.Text(SPACES.sub(KEPT, text)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_transform(Kept)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
