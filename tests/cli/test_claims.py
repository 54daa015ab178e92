"""thalweg claims."""

import re

import pytest

import thalweg as tw

IDS = ("exponential-decay", "gd-is-euler")


def test_json_is_the_contract(thalweg):
    ids = [claim.id for claim in tw.claims.ledger()][:2]
    outcome = thalweg("claims", *ids, "--json")
    # On a slow machine it says where it is.
    assert all(line.startswith("claims") for line in outcome.err.splitlines())
    assert [row["id"] for row in outcome.rows] == ids
    for row in outcome.rows:
        assert tuple(row) == ("id", "source", "statement", "expected", "measured", "verdict", "correction", "seen")
        assert row["verdict"] in ("holds", "holds with a condition", "does not hold", "open")
        assert all(isinstance(value, str) for value in row.values())


def test_a_table_of_verdicts(thalweg):
    outcome = thalweg("claims", "exponential-decay")
    assert outcome.err == ""
    assert "exponential-decay" in outcome.out
    assert "holds" in outcome.out


def test_the_list_makes_no_experiment(thalweg, monkeypatch):
    monkeypatch.setattr(tw.claims.Claim, "check", lambda claim: pytest.fail("an experiment was made"))
    rows = thalweg("claims", "--list", "--json").rows
    assert [row["id"] for row in rows] == [claim.id for claim in tw.claims.ledger()]
    assert all(set(row) == {"id", "source", "statement"} and all(row.values()) for row in rows)
    text = thalweg("claims", "--list", "exponential-decay").out
    assert "exponential-decay" in text and "article: gradient flow" in text and "descent-identity" not in text


def verdict_of(claim, verdict, seen=""):
    return tw.claims.Verdict(claim.id, claim.source, claim.statement, 1.0, 1.0, verdict, "", seen)


def test_what_was_seen_of_an_open_claim_is_printed(thalweg, monkeypatch):
    monkeypatch.setattr(tw.claims.Claim, "check", lambda claim: verdict_of(claim, "open", "It was 1.1 ± 0.2."))
    text = thalweg("claims", "exponential-decay").out
    assert "verdict    open" in text and "seen       It was 1.1 ± 0.2." in text and "correction" not in text
    assert thalweg("claims", "exponential-decay", "--json").rows[0]["seen"] == "It was 1.1 ± 0.2."


def test_a_claim_whose_extra_is_missing_is_one_line_and_the_rest_goes_on(thalweg, monkeypatch):
    check = tw.claims.Claim.check

    def without_data(claim):
        missing = claim.id == "exponential-decay"
        return verdict_of(claim, "not checked", "the digits need an extra") if missing else check(claim)

    monkeypatch.setattr(tw.claims.Claim, "check", without_data)
    text = thalweg("claims", "exponential-decay", "descent-identity").out
    assert text.startswith("exponential-decay: not checked, the digits need an extra\n\ndescent-identity\n")
    assert "verdict    holds" in text
    rows = thalweg("claims", "exponential-decay", "descent-identity", "--json").rows
    assert [row["verdict"] for row in rows] == ["not checked", "holds"]
    # Nothing that was asked for could be done.
    outcome = thalweg("claims", "exponential-decay", status=2)
    assert outcome.err == "error: none of these claims was checked: the digits need an extra\n"


def test_coverage_counts_the_sentences(thalweg, monkeypatch):
    monkeypatch.setattr(tw.claims.Claim, "check", lambda claim: pytest.fail("an experiment was made"))
    rows = thalweg("claims", "--coverage", "--json").rows
    assert rows == tw.claims.coverage() and len(rows) == len(tw.claims.SENTENCES)
    text = thalweg("claims", "--coverage").out
    held, excused = (sum(bool(row[name]) for row in rows) for name in ("claims", "reason"))
    assert re.search(rf"in all\s+{len(rows)}\s+{held}\s+{excused}\b", text)
    assert all(row["id"] in text for row in rows if not row["claims"])
    assert "leave out the claims" in thalweg("claims", "003.9", "--coverage", status=2).err


def test_a_sentence_is_as_good_as_a_name(thalweg):
    (row,) = thalweg("claims", "000.1", "--json").rows
    assert row["id"] == "exponential-decay" and "000.1" in row["source"]
    assert "claim 'decay' is unknown" in thalweg("claims", "decay", status=2).err


@pytest.mark.parametrize("json", [False, True])
def test_what_was_found_before_an_interrupt_is_printed(json, thalweg, monkeypatch, capsys):
    """The first verdict is out when the second experiment begins."""
    seen, check = [], tw.claims.Claim.check

    def stopped(claim):
        if claim.id == "exponential-decay":
            return check(claim)
        seen.append(capsys.readouterr().out)
        raise KeyboardInterrupt

    monkeypatch.setattr(tw.claims.Claim, "check", stopped)
    outcome = thalweg("claims", "exponential-decay", "descent-identity", *(["--json"] if json else []), status=130)
    assert outcome.err == "interrupted: 1 of 2 claims were checked\n"
    if json:
        assert [row["id"] for row in outcome.rows] == ["exponential-decay"]
    else:
        assert "verdict    holds" in seen[0]
