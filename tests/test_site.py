"""The pages of the documentation, read without Sphinx: each is in a toctree, and what it points to is there."""

import re
from pathlib import Path

import pytest

from docs.generate import MARKER, MARKERS, api

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]


def name(path):
    return path.relative_to(ROOT).as_posix()


def listed(page):
    """The pages in the toctrees of a page."""
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line and not line.startswith(":"):
                yield page.parent / f"{line}.md"


def test_every_page_is_in_one_toctree():
    found = [page for parent in PAGES for page in listed(parent)]
    assert sorted(found) == sorted(set(PAGES) - {DOCS / "index.md"})


def targets(page):
    """What a page links to, shows or includes, as paths."""
    text = page.read_text("utf-8")
    yield from re.findall(r"^```\{(?:literal)?include\} (\S+)", text, flags=re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^()\s]+)\)", prose):
        if not re.match(r"\w+://|#", target):
            yield target.split("#")[0]


@pytest.mark.parametrize("page", [*READMES, *PAGES], ids=name)
def test_every_link_leads_to_a_file(page):
    assert [target for target in targets(page) if not (page.parent / target).exists()] == []


def test_the_reader_of_links_finds_them():
    found = set(targets(DOCS / "explanation" / "rate_drop.md"))
    assert {"../images/rate_drop.png", "../../examples/rate_drop.py"} <= found


@pytest.mark.parametrize("page", [*READMES, *PAGES], ids=name)
def test_every_picture_names_the_command_that_draws_it(page):
    text = page.read_text("utf-8")
    for picture, under in re.findall(
        r"^!\[[^\]]*\]\(([^)\s]+)\)\n\n(.*?)(?:\n\n|\Z)", text, flags=re.DOTALL | re.MULTILINE
    ):
        made = re.search(r"`python (?:docs/images/(\w+)\.py|-m docs\.images\.(\w+))", " ".join(under.split()))
        assert made, f"{picture}: name under it the command that draws it"
        script = (DOCS / "images" / f"{made[1] or made[2]}.py").read_text("utf-8")
        assert Path(picture).stem in script, f"{script} draws no {picture}"
    shown = re.findall(r"^!\[", text, flags=re.MULTILINE)
    assert len(shown) == len(re.findall(r"^!\[[^\]]*\]\([^)\s]+\)\n\n", text, flags=re.MULTILINE))


def test_every_picture_is_shown():
    shown = {(page.parent / target).resolve() for page in [*READMES, *PAGES] for target in targets(page)}
    assert {path for path in (DOCS / "images").glob("*.png") if path.resolve() not in shown} == set()


def test_every_marker_is_known():
    marked = [
        found for page in PAGES for found in re.findall(r"^<!-- (.*) -->$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert {words.split()[0] for words in marked} == set(MARKERS)
    assert all(MARKER.match(f"<!-- {words} -->") for words in marked)


def test_every_public_name_is_on_one_page_of_the_reference():
    assert api.unplaced() == [], "list these homes on one page of docs/reference/api"
