"""Sphinx: what the pages hold that is made from the package goes in the place of its marker when they are read."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import thalweg as tw
from docs.generate import filled, mathjax

project = "thalweg"
author = "the thalweg authors"
release = version = tw.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["_build"]
default_role = "code"
nitpicky = False
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
bibtex_reference_style = "author_year"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
mathjax_path = "mathjax/tex-chtml.js"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["thalweg.css"]
html_title = "thalweg"
html_show_copyright = False


def fill(app, docname, source) -> None:
    """Put what is generated in the place of its marker."""
    del app, docname
    source[0] = filled(source[0])


def mathematics(app, what, name, obj, options, lines) -> None:
    """Docstrings write $x$ and $$x$$, which autodoc reads as reStructuredText."""
    del app, what, name, obj, options
    text = "\n".join(lines)
    text = re.sub(r"^[ ]*\$\$(.+?)\$\$", _displayed, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(?<![$\\`])\$([^$\n]+?)\$(?!\$)", r":math:`\1`\\ ", text)
    lines[:] = text.split("\n")


def _displayed(match: re.Match) -> str:
    formula = "\n".join("   " + line.strip() for line in match.group(1).strip().split("\n"))
    return f"\n.. math::\n\n{formula}\n"


def setup(app):
    """Connect the three."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", mathematics, priority=400)
    app.connect("build-finished", mathjax.copy)
