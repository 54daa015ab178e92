"""thalweg claims."""

import pytest

import thalweg as tw

IDS = ("exponential-decay", "gd-is-euler")


def test_json_is_the_contract(thalweg):
    ids = [claim.id for claim in tw.claims.ledger()][:2]
    outcome = thalweg("claims", *ids, "--json")
    assert outcome.err == ""
    assert [row["id"] for row in outcome.rows] == ids
    for row in outcome.rows:
        assert tuple(row) == ("id", "source", "statement", "expected", "measured", "verdict", "correction")
        assert row["verdict"] in ("holds", "holds with a correction", "does not hold")
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
