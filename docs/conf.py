"""Sphinx: the methods table and the API page are made from the package when their pages are read."""

import importlib
import inspect
import re

import thalweg as tw
from thalweg._lazy import homes

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
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
bibtex_reference_style = "author_year"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
html_theme = "alabaster"
html_theme_options = {
    "description": "Optimizers, samplers and flows as discretised dynamical systems",
    "page_width": "1100px",
    "fixed_sidebar": True,
}
html_title = "thalweg"
html_show_copyright = False


def methods_table() -> str:
    """Every row of the table, in Markdown."""
    heads = ("method", "law of motion", "scheme", "order", "gradients", "stable where (curvature 1)", "reference")
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for one in tw.table():
        row = one.as_dict()
        names = ", ".join(f"`{name}`" for name in (row["name"], *row["aliases"]))
        stability = row["stability"].replace("<", "&lt;")
        cells = (names, row["dynamics"], row["scheme"], row["order"], one.gradients, stability)
        lines.append("| " + " | ".join(map(str, cells)) + f" | {{cite:t}}`{row['reference']}` |")
    return "\n".join(lines)


def checks_table() -> str:
    """Every check of an optimizer, in Markdown."""
    from thalweg.testing._contract import CHECKS

    lines = ["| check | what should hold | how closely | in |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {c.name} | {c.statement} | {c.how} | {', '.join(c.frameworks)} |" for c in CHECKS])


def method_checks_table() -> str:
    """Every check of a method, in Markdown."""
    from thalweg.testing._method_contract import METHOD_CHECKS

    lines = ["| check | what should hold | how closely |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {c.name} | {c.statement} | {c.how} |" for c in METHOD_CHECKS])


def targets_table() -> str:
    """Every problem with moments, in Markdown."""
    lines = ["| target | what it is | parameters | moments | exact draws | reference |", "|" + " --- |" * 6]
    for problem in map(tw.problems.get, tw.problems.names()):
        if problem.moments is not None:
            draws = "yes" if problem.sampler else "no"
            cells = (f"`{problem.name}`", problem.description, problem.dimension, problem.moments.source, draws)
            lines.append("| " + " | ".join(map(str, cells)) + f" | {{cite:t}}`{problem.reference}` |")
    return "\n".join(lines)


def public_names() -> str:
    """An autodoc directive for every public name, under the first line of its home's docstring."""
    lines = []
    by_home = {}
    for name, home in homes("thalweg").items():
        by_home.setdefault(home, []).append(name)
    modules = by_home.pop("thalweg")
    for home, names in by_home.items():
        lines += _section(importlib.import_module(home), "thalweg", names)
    for name in modules:
        module = importlib.import_module(f"thalweg.{name}")
        own = [
            word
            for word, value in _contents(module)
            if not word.startswith("_")
            and (inspect.isfunction(value) or inspect.isclass(value))
            and value.__module__.startswith("thalweg.")
        ]
        listed = [word for word in own if word not in tw.__all__]
        if listed:
            lines += _section(module, f"thalweg.{name}", listed)
    return "\n".join(lines)


def _contents(module) -> list:
    """What a module holds by name; some load their names on first use and list them."""
    names = getattr(module, "__all__", None) or list(vars(module))
    return [(name, getattr(module, name)) for name in names]


def _section(module, prefix, names) -> list[str]:
    title = inspect.getdoc(module).splitlines()[0].split(". ")[0].rstrip(".")
    title = title if prefix == "thalweg" else f"`{prefix}`: {title}"
    lines = ["", f"## {title}", "", "```{eval-rst}"]
    for name in names:
        value = getattr(tw if prefix == "thalweg" else module, name)
        kind, members = ("class", "   :members:") if inspect.isclass(value) else ("function", "")
        lines += [f".. auto{kind}:: {prefix}.{name}", members, ""]
    return [*lines, "```"]


def fill(app, docname, source) -> None:
    """Put what is generated in the place of its marker."""
    del app
    if docname == "methods":
        source[0] = source[0].replace("<!-- methods -->", methods_table())
    if docname == "targets":
        source[0] = source[0].replace("<!-- targets -->", targets_table())
    if docname == "verify":
        source[0] = source[0].replace("<!-- checks -->", checks_table())
    if docname == "own_methods":
        source[0] = source[0].replace("<!-- checks -->", method_checks_table())
    if docname == "api":
        source[0] = source[0].replace("<!-- names -->", public_names())


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
    """Connect the two."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", mathematics, priority=400)
