"""thalweg claims."""

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
