"""The documents: their Python runs, and every citation has its entry."""

import ast
import re
import unicodedata
from pathlib import Path

import pytest

import thalweg as tw

ROOT = Path(__file__).parents[1]
PAGES = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
DOCUMENTS = [ROOT / "README.md", ROOT / "README.zh.md", *sorted(PAGES)]
CITED = set(re.findall(r"^@\w+\{([\w-]+),", (ROOT / "docs" / "references.bib").read_text("utf-8"), flags=re.MULTILINE))
_FIRST = ("README.md", "docs/index.md", "docs/howto/minimize.md")


@pytest.mark.parametrize(
    "path",
    # What a newcomer reads first is tried in every run, the other pages among the slow tests.
    [
        pytest.param(path, id=name, marks=[] if name in _FIRST else pytest.mark.slow)
        for path in DOCUMENTS
        for name in [path.relative_to(ROOT).as_posix()]
        if "```python\n" in path.read_text("utf-8")
    ],
)
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


SURNAME = r"[^\W\d_a-z][\w-]+"
CITATION = re.compile(rf"({SURNAME})(?:,\s+{SURNAME})*(?:\s+and\s+{SURNAME}|\s+et\s+al\.)?\s+\((\d{{4}})\)")


def citations(text):
    """`surname1999` for every "Surname, Second and Third (1999)" in a text."""
    for surname, year in CITATION.findall(text):
        yield unicodedata.normalize("NFD", surname).encode("ascii", "ignore").decode().lower() + year


def test_the_reader_of_citations_finds_them():
    text = "Nesterov (1983); for L, Böhning (1992); Su, Boyd and\n    Candès (2016); Polyak et al. (1964) in 9 (2010)"
    assert list(citations(text)) == ["nesterov1983", "bohning1992", "su2016", "polyak1964"]


def test_every_citation_in_the_sources_has_an_entry():
    files = sorted((ROOT / "src").rglob("*.py"))
    texts = {str(file): file.read_text("utf-8") for file in files}
    keys = {(name, key) for name, text in texts.items() for key in citations(text)}
    keys |= {(name, key) for name, text in texts.items() for key in re.findall(r'\breference="(\w+)"', text)}
    assert {(name, key) for name, key in keys if key not in CITED} == set()


def test_no_file_of_the_package_has_over_400_lines():
    lines = {str(file): len(file.read_text("utf-8").splitlines()) for file in (ROOT / "src").rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > 400} == {}


CLAUSE = re.compile(r"(What|Whether|How|Where|Which|Who|Why|When|That|If) ")


def test_a_docstring_begins_with_a_noun_phrase_or_a_verb():
    found = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((file.name, ast.get_docstring(node) or ""))
    assert len(found) > 1500
    assert [(name, text.splitlines()[0]) for name, text in found if CLAUSE.match(text)] == []
