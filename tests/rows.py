"""Rows of the table as parameters of a test."""

import pytest


def quick(rows):
    """All rows; of those that solve for their steps one is quick, the others are among the slow tests."""
    return few(rows, *(row.name for row in rows if not row.method.uneven or row.name == "proximal_point"))


def few(rows, *names):
    """All rows; those that are not named are among the slow tests, for what most rows have from a few classes."""
    assert set(names) <= {row.name for row in rows}
    return [pytest.param(row, id=row.name, marks=[] if row.name in names else pytest.mark.slow) for row in rows]
