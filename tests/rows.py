"""Rows of the table as parameters of a test."""

import pytest


def few(rows, *names):
    """All rows; those that are not named are among the slow tests, for what most rows have from a few classes."""
    assert set(names) <= {row.name for row in rows}
    return [pytest.param(row, id=row.name, marks=[] if row.name in names else pytest.mark.slow) for row in rows]
