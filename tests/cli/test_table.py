"""thalweg table."""

import json

import pytest

import thalweg as tw
from thalweg._methods.table import find_row


@pytest.mark.parametrize("many", [6, pytest.param(None, marks=pytest.mark.slow)], ids=["the first", "all"])
def test_json_is_the_contract(thalweg, monkeypatch, many):
    rows = tw.table()[:many]
    monkeypatch.setattr(tw, "table", lambda: rows)
    outcome = thalweg("table", "--json")
    assert outcome.err == ""
    assert [row["name"] for row in outcome.rows] == [row.name for row in rows]
    keys = ("name", "aliases", "dynamics", "scheme", "order", "gradients_per_step", "stability", "reference")
    for row in outcome.rows:
        assert tuple(row) == keys
        assert isinstance(row["aliases"], list)
        assert isinstance(row["order"], int)
        assert isinstance(row["gradients_per_step"], int)


def test_a_table_of_every_method(thalweg, monkeypatch):
    # Stability limits take a second a row; the other test has them all.
    rows = tw.table()[:2]
    monkeypatch.setattr(tw, "table", lambda: rows)
    outcome = thalweg("table")
    assert outcome.err == ""
    for row in rows:
        assert row.name in outcome.out
    assert "gradients" in outcome.out and "stability" in outcome.out


@pytest.mark.slow
def test_processes_work_out_what_one_does(shell):
    rows = json.loads(shell("THALWEG table --json").stdout)
    assert [row["name"] for row in rows] == [row.name for row in tw.table()]
    for row in rows[::9]:
        assert row == find_row(row["name"]).as_dict()
