"""MathJax beside the pages, so that formulas are read with the network off."""

import importlib.util
from pathlib import Path

from sphinx.util.fileutil import copy_asset

# One program and its fonts; the rest of the package, 20 MB of it, is for other inputs and for speech.
PARTS = ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions")


def copy(app, exception) -> None:
    """Copy what the pages load of the package to the static files of a build."""
    if exception is not None or app.builder.format != "html":
        return
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    source = Path(spec.origin).parent / "static" / "mathjax"
    for part in PARTS:
        there = Path(app.outdir) / "_static" / "mathjax" / part
        copy_asset(source / part, there if (source / part).is_dir() else there.parent)
