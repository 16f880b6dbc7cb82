"""How the pages under docs/ become a site: sphinx-build -W -b html docs docs/_build/html"""

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from trialsim import __version__  # noqa: E402

project = "trialsim"
author = "The trialsim developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "mathml"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 6
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "trialsim"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
highlight_language = "text"


def setup(app):
    app.add_lexer("csv", TextLexer)
