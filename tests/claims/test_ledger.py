"""The ledger itself: how a verdict follows from a measurement, what is printed, what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import thalweg as tw
from thalweg import claims
from thalweg.claims import Claim, Correction, Outcome
from thalweg.claims._experiment import undecided
from thalweg.problems import _data

ROOT = Path(__file__).parents[2]
KEYS = ["id", "source", "statement", "expected", "measured", "verdict", "correction", "seen"]


def judged(holds, correction=None, seen=""):
    return Claim("an-id", "a source", "A statement.", lambda: Outcome(1.0, "one", holds, correction, seen)).check()


def test_a_statement_that_agrees_holds_and_is_not_corrected():
    verdict = judged(True, Correction("Not so.", holds=True))
    assert (verdict.verdict, verdict.correction) == ("holds", "")


def test_a_correction_that_amends_and_agrees_saves_the_statement():
    verdict = judged(False, Correction("Only if.", holds=True))
    assert (verdict.verdict, verdict.correction) == ("holds with a condition", "Only if.")


def test_a_correction_that_contradicts_is_printed_and_saves_nothing():
    verdict = judged(False, Correction("The other way.", holds=True, amends=False))
    assert (verdict.verdict, verdict.correction) == ("does not hold", "The other way.")


@pytest.mark.parametrize("correction", [None, Correction("Only if.", holds=False), Correction("No.", False, False)])
def test_a_correction_that_was_not_measured_is_not_told(correction):
    verdict = judged(False, correction)
    assert (verdict.verdict, verdict.correction) == ("does not hold", "")


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("correction", [None, Correction("Only if.", holds=True), Correction("No.", True, False)])
def test_what_does_not_decide_leaves_the_statement_open(holds, correction):
    verdict = judged(holds, correction, "It was 1.1 ± 0.2.")
    assert (verdict.verdict, verdict.correction, verdict.seen) == ("open", "", "It was 1.1 ± 0.2.")
    assert judged(holds, correction).seen == ""


def test_a_threshold_within_two_errors_does_not_decide():
    assert undecided(1.1, 0.06, 1.0) and undecided(0.9, 0.06, 1.0)
    assert not undecided(1.1, 0.04, 1.0) and not undecided(1.1, 0.0, 1.1)
    assert undecided(1.1, 0.04, 1.0, errors=3.0)


def test_a_claim_whose_extra_is_missing_is_not_checked(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    # Another test of this process may have loaded the data.
    data = Claim("of-data", "a source", "A statement.", lambda: _data.load("digits") and pytest.fail("it loaded"))
    verdict = data.check()
    assert (verdict.verdict, verdict.expected, verdict.measured, verdict.correction) == ("not checked", "", "", "")
    assert verdict.seen.startswith("the digits data come with scikit-learn, which is not installed; pip install")


def test_a_wrong_input_within_an_experiment_is_an_error():
    with pytest.raises(tw.InputError, match="problem 'digit' is unknown"):
        Claim("an-id", "a source", "A statement.", lambda: tw.problems.get("digit")).check()


def test_a_verdict_as_a_dictionary():
    row = judged(True).as_dict()
    assert list(row) == KEYS
    assert json.loads(json.dumps(row)) == row


def test_ids_are_unique_and_can_be_typed():
    ids = [claim.id for claim in claims.ledger()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in ids)


@pytest.mark.parametrize("claim", claims.ledger(), ids=lambda claim: claim.id)
def test_a_claim_says_who_says_what(claim):
    assert claim.source and claim.experiment.__doc__
    assert claim.statement[0].isupper() and claim.statement.endswith(".")
    with pytest.raises(AttributeError):
        claim.id = "another"


def test_sentences_are_data_in_groups():
    assert len(claims.SENTENCES) == 163
    for name, sentence in claims.SENTENCES.items():
        assert sentence.id == name and sentence.article in claims.ARTICLES
        assert sentence.group in ("core", "geometry", "distributions", "networks", "later")
        assert sentence.text.endswith(".") and len(sentence.text.split()) > 2


def test_every_claim_on_an_article_is_on_sentences_of_it():
    for claim in claims.ledger():
        assert set(claim.sentences) <= set(claims.SENTENCES)
        for name in claim.sentences:
            assert name in claim.source and claims.ARTICLES[name[:3]] in claim.source


def test_no_sentence_on_momentum_is_without_a_claim():
    rows = [row for row in claims.coverage() if row["id"].startswith("003.")]
    assert len(rows) == 74 and [row["id"] for row in rows if not (row["claims"] or row["reason"])] == []


@pytest.mark.parametrize("group", ["geometry", "distributions", "networks"])
def test_no_sentence_of_these_groups_is_without_a_claim(group):
    rows = [row for row in claims.coverage() if row["group"] == group]
    assert rows and [row["id"] for row in rows if not (row["claims"] or row["reason"])] == []


def test_a_sentence_has_claims_or_a_reason_for_none():
    assert [row["id"] for row in claims.coverage() if row["claims"] and row["reason"]] == []
    with pytest.raises(tw.InputError, match=r"003\.44 has no experiment; it says what is common"):
        claims.find("003.44")


def test_a_claim_is_found_by_its_sentence_and_its_article():
    assert [claim.id for claim in claims.find("003.37")] == ["nesterov-damps-fast-modes"]
    of_article = claims.find("001")
    assert {"gradient-descent-is-euler", "rk4-follows-flow"} <= {claim.id for claim in of_article}
    assert all(any(name.startswith("001.") for name in claim.sentences) for claim in of_article)
    # Asked for twice, it is checked once.
    assert len(claims.find("003.37", "nesterov-damps-fast-modes", "003.37")) == 1
    for name, message in {
        "003.999": "sentence '003.999' is unknown", "005": "sentence '005' is unknown",
        "003.75": "003.75 has no experiment",
        "nesterov-damps-fast-mode": "claim 'nesterov-damps-fast-mode' is unknown; did you mean",
    }.items():  # fmt: skip
        with pytest.raises(tw.InputError, match=message):
            claims.find(name)


def cited():
    """The keys of every source, and of every correction as it stands in the files."""
    for claim in claims.ledger():
        yield from re.findall(r"\b[a-z]+\d{4}\b", claim.source)
    for path in (ROOT / "src" / "thalweg" / "claims").glob("*.py"):
        for keys in re.findall(r"\[((?:[a-z]+\d{4}(?:, )?)+)\]", path.read_text("utf-8")):
            yield from keys.split(", ")


def test_every_citation_has_its_entry():
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text("utf-8"), re.MULTILINE))
    found = set(cited())
    assert {"su2016", "lessard2016", "hairer1996"} <= found
    assert found <= known


def test_check_keeps_the_order_asked_for():
    asked = ["viscous-is-nesterov", "exponential-decay"]
    assert [verdict.id for verdict in claims.check(*asked)] == asked


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("exponential-decoy", "did you mean 'exponential-decay'?"),
        ("nesterov_order", "did you mean 'nesterov-order'?"),
        ("zzz", "choose one of: adam-"),
        ("", "choose one of: adam-"),
    ],
)
def test_an_unknown_claim_is_refused_before_any_experiment(name, hint, monkeypatch):
    monkeypatch.setattr(Claim, "check", lambda self: pytest.fail("an experiment was made"))
    with pytest.raises(tw.InputError, match=re.escape(hint)) as caught:
        claims.check("exponential-decay", name)
    assert "\n" not in str(caught.value)


def fresh(code):
    """What a new Python, without the settings of the tests, prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_importing_claims_loads_no_jax():
    assert fresh("import sys, thalweg.claims; print('jax' in sys.modules, 'numpy' in sys.modules)") == "False False\n"


@pytest.mark.slow
def test_experiments_are_made_in_float64_where_nobody_asked_for_it():
    code = (
        "from thalweg import claims; import jax.numpy as jnp;"
        "verdicts = claims.check('gradient-descent-is-euler', 'viscous-is-nesterov');"
        "print([verdict.verdict for verdict in verdicts], jnp.ones(1).dtype)"
    )
    assert fresh(code) == "['holds', 'holds'] float32\n"
