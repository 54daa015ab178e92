"""Rows of the table as parameters of a test."""

import pytest

# Explicit Runge-Kutta methods that differ from others by their numbers alone, which have tests of their own.
_ALIKE = ("bogacki_shampine", "dormand_prince")


def quick(rows):
    """All rows; of those that solve for their steps, or are alike, one is quick, the others are slow tests."""
    uneven = {row.name for row in rows if row.method.uneven} - {"proximal_point"}
    return few(rows, *(row.name for row in rows if row.name not in uneven and row.name not in _ALIKE))


def few(rows, *names):
    """All rows; those that are not named are among the slow tests, for what most rows have from a few classes."""
    assert set(names) <= {row.name for row in rows}
    return [pytest.param(row, id=row.name, marks=[] if row.name in names else pytest.mark.slow) for row in rows]
