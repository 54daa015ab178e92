"""The documents: their Python runs, and every citation has its entry."""

import ast
import re
import unicodedata
from pathlib import Path

import pytest

import thalweg as tw

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CITED = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text("utf-8"), flags=re.MULTILINE))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_the_documents_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for code in re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE):
        exec(compile(code, str(path), "exec"), names)


@pytest.mark.parametrize("row", tw.table(), ids=lambda row: row.name)
def test_every_row_cites_an_entry(row):
    assert row.reference in CITED


def test_every_tableau_cites_an_entry():
    tableaus = [row.scheme.tableau for row in tw.table() if isinstance(row.scheme, tw.RungeKutta)]
    assert {tableau.reference for tableau in tableaus} <= CITED


def citations(text):
    """`surname1999` for every "Surname and Others (1999)" of a docstring's `Reference:` paragraph."""
    for paragraph in re.findall(r"Reference: (.*?)(?:\n\s*\n|\Z)", text, flags=re.DOTALL):
        for part in re.split(r";\s*|\.\s+(?=[A-Z])", paragraph):
            for surname, year in re.findall(r"([^\W\d_]+)[^()]*\((\d{4})\)", part):
                yield unicodedata.normalize("NFD", surname).encode("ascii", "ignore").decode().lower() + year


def test_the_reader_of_citations_finds_them():
    text = "Reference: Nesterov (1983); Candès\n    and Su (2016), equation 3. Polyak (1964).\n\n    Not Other (1999)."
    assert list(citations(text)) == ["nesterov1983", "candes2016", "polyak1964"]


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_every_docstring_cites_an_entry(path):
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    assert {key for text in docstrings for key in citations(text)} <= CITED
