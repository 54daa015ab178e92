"""Rows of the table as parameters of a test."""

import pytest


def quick(rows):
    """All rows; of those with a law and a scheme of the same classes one is quick, the others among the slow tests.

    Of all that solve for their steps, which take seconds to compile, one is.
    """
    kinds = {}
    for row in rows:
        solving = row.method.gradients_vary and not row.scheme.controlled
        kinds.setdefault("solving" if solving else (type(row.method.dynamics), type(row.method.scheme)), row.name)
    return few(rows, *kinds.values())


def stepping(rows):
    """The rows whose step a user sets: of the others there is no order to converge at and no limit of a step."""
    return [row for row in rows if not row.scheme.controlled]


def few(rows, *names):
    """All rows; those that are not named are among the slow tests, for what most rows have from a few classes."""
    assert set(names) <= {row.name for row in rows}
    return [pytest.param(row, id=row.name, marks=[] if row.name in names else pytest.mark.slow) for row in rows]
