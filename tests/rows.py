"""Rows of the table as parameters of a test."""

import functools

import pytest

import thalweg as tw


def quick(rows):
    """All rows; of those with a law and a scheme of the same classes one is quick, the others among the slow tests.

    Of all that solve for their steps, which take seconds to compile, one is.
    """
    kinds = {}
    for row in rows:
        kinds.setdefault(kind_of(row.name), row.name)
    return few(rows, *kinds.values())


@functools.cache
def kind_of(name):
    method = next(row.method for row in tw.table() if row.name == name)
    solving = method.gradients_vary and not method.scheme.controlled
    return "solving" if solving else (type(method.dynamics), type(method.scheme))


def stepping(rows):
    """The rows whose step a user sets: of the others there is no order to converge at and no limit of a step."""
    return [row for row in rows if not row.scheme.controlled]


def flat(rows):
    """The rows in flat space: of others a curvature tells no limit, and no adapter takes them."""
    return [row for row in rows if row.method.dynamics.geometry is None]


def limited(rows):
    """The rows of which a curvature tells a limit: those that go by signs or by singular values have none."""
    return [row for row in rows if getattr(row.dynamics, "form", "") != "sign" and not row.dynamics.without_probe]


def smooth(rows):
    """The rows that follow a smooth flow, without those that take the sign or another direction of a norm."""
    return [row for row in rows if not getattr(row.method.dynamics.geometry, "without_probe", "")]


def few(rows, *names):
    """All rows; those that are not named are among the slow tests, for what most rows have from a few classes."""
    assert set(names) <= {row.name for row in rows}
    return [pytest.param(row, id=row.name, marks=[] if row.name in names else pytest.mark.slow) for row in rows]
