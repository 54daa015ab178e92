"""The verdicts that the documentation shows are those of the ledger."""

import json

import pytest

from docs.generate import ledger as pages
from tests.claims.test_verdicts import THEORY
from thalweg import claims
from thalweg.claims import ARTICLES, SENTENCES

REFRESH = "the documentation's verdicts are not the ledger's; write them anew: python -m tools.claims_ledger {}"


def test_the_record_has_every_claim_as_it_is_said():
    said = [(one.id, one.source, one.statement, list(one.sentences)) for one in claims.ledger()]
    held = [(row["id"], row["source"], row["statement"], row["sentences"]) for row in pages.claims()]
    assert held == said, REFRESH.format("stale")


def test_the_record_has_the_verdicts_of_theory():
    """Which the slow tests hold the experiments to."""
    others = [row["id"] for row in pages.claims() if row["verdict"] != THEORY[row["id"]]]
    assert others == [], REFRESH.format(" ".join(others))


@pytest.mark.parametrize("article", ARTICLES)
def test_a_page_has_an_anchor_for_every_sentence(article):
    page = pages.sentences(article)
    own = [name for name in SENTENCES if name[:3] == article]
    assert [name for name in own if f"(sentence-{name.replace('.', '-')})=" not in page] == []
    judged = {row["id"] for row in pages.claims() if any(name[:3] == article for name in row["sentences"])}
    assert judged and all(f"`{name}`" in page for name in judged)


def test_what_a_page_counts_are_verdicts_of_the_file(tmp_path, monkeypatch):
    """Also where the file has a verdict that nobody has heard of."""
    row = dict.fromkeys(("source", "expected", "measured", "correction"), "x*y [polyak1964]")
    row |= {"id": "one", "statement": "A `word`.", "verdict": "open", "sentences": ["001.2"], "made": "2026-01-02"}
    held = {"command": "a command", "with": "a version", "claims": [row, row | {"id": "two", "verdict": "odd"}]}
    monkeypatch.setattr(pages, "FILE", tmp_path / "ledger.json")
    pages.FILE.write_text(json.dumps(held))
    page = pages.sentences("001")
    assert "1 [open]{.verdict .open}, 1 [odd]{.verdict .odd}, 12 [no claim yet]{.verdict .no-claim-yet}" in page
    assert "2026-01-02" in page and "`a command`" in page
    assert r"- Expected: x\*y {cite:p}`polyak1964`" in page and r"A \`word\`." in page
    assert "| [Gradient flow](000.md) | 17 | 0 | 0 | 1 | 16 |" in pages.articles()
