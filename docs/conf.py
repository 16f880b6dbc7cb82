"""How the pages under docs/ become a site: sphinx-build -W -b html docs docs/_build/html"""

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from trialsim import __version__

project = "trialsim"
author = "The trialsim developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "mathml", "numbers_kept", "made_figures", "reachable"]
exclude_patterns = ["_build", "_ext", "_static"]
highlight_language = "text"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 6
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "trialsim"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Called by Sphinx: CSV has no colours."""
    app.add_lexer("csv", TextLexer)
