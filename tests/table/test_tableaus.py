"""The order conditions of every tableau, tree by tree, in float64."""

import itertools
import math

import numpy as np
import pytest

import thalweg as tw
from thalweg.schemes import ButcherTableau
from thalweg.schemes.runge_kutta import EULER, HEUN, MIDPOINT, RALSTON, RK4_TABLEAU, TSIT5_TABLEAU

TABLEAUS = {tableau.name: tableau for tableau in (EULER, HEUN, MIDPOINT, RALSTON, RK4_TABLEAU, TSIT5_TABLEAU)}


def trees(order):
    """Rooted trees with `order` nodes, each a sorted tuple of its branches."""
    if order == 1:
        return [()]
    found = set()
    for sizes in partitions(order - 1):
        for branches in itertools.product(*(trees(size) for size in sizes)):
            found.add(tuple(sorted(branches)))
    return sorted(found)


def partitions(total, largest=None):
    largest = total if largest is None else largest
    if total == 0:
        yield ()
    for first in range(min(total, largest), 0, -1):
        for rest in partitions(total - first, first):
            yield (first, *rest)


def size(tree):
    return 1 + sum(size(branch) for branch in tree)


def density(tree):
    """gamma: the product of the sizes of all the subtrees."""
    return size(tree) * math.prod(density(branch) for branch in tree)


def weights(a, tree):
    """g_i(tree): the product over the branches of sum_j a_ij g_j(branch)."""
    return math.prod((a @ weights(a, branch) for branch in tree), start=np.ones(len(a)))


def residuals(tableau, order):
    s = len(tableau.b)
    a = np.array([[*row, *[0.0] * (s - len(row))] for row in tableau.a])
    b = np.array(tableau.b)
    return [float(b @ weights(a, tree)) - 1.0 / density(tree) for tree in trees(order)]


def test_there_are_as_many_trees_as_there_should_be():
    assert [len(trees(order)) for order in range(1, 7)] == [1, 1, 2, 4, 9, 20]


def test_every_tableau_of_the_table_is_here():
    used = {row.scheme.tableau.name for row in tw.table() if isinstance(row.scheme, tw.RungeKutta)}
    assert used == set(TABLEAUS)


@pytest.mark.parametrize("tableau", TABLEAUS.values(), ids=TABLEAUS)
def test_the_conditions_hold_up_to_the_order_and_not_beyond(tableau):
    for order in range(1, tableau.order + 1):
        np.testing.assert_allclose(residuals(tableau, order), 0.0, atol=2e-14, err_msg=f"order {order}")
    assert max(map(abs, residuals(tableau, tableau.order + 1))) > 1e-4


def test_the_row_sums_are_the_published_times_of_tsitouras():
    published = (0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0)
    np.testing.assert_allclose(TSIT5_TABLEAU.c, published, rtol=0, atol=2e-15)


def test_ralston_has_the_least_error_of_its_family():
    def error(c):
        tableau = ButcherTableau("order 2", ((), (c,)), (1 - 1 / (2 * c), 1 / (2 * c)), 2)
        return sum(abs(r) for r in residuals(tableau, 3))

    # Ralston's bound adds the sizes of the two third-order coefficients, weighted by L and M alike.
    assert all(error(2 / 3) < error(c) for c in (0.5, 0.6, 0.65, 0.68, 0.75, 1.0))
    assert RALSTON.c == (0.0, 2 / 3)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (((),), (0.9,), "the weights b must sum to 1, but sum to 0.9"),
        (((), (0.5, 0.5)), (0.5, 0.5), "row i must have i entries"),
        (((),), (0.5, 0.5), "a must have one row a stage"),
    ],
)
def test_a_tableau_that_does_not_fit_together_is_refused(a, b, message):
    with pytest.raises(tw.InputError, match=message):
        ButcherTableau("mine", a, b, 1)


def test_a_tableau_of_ones_own_runs():
    ssp3 = ButcherTableau("SSP3", ((), (1.0,), (0.25, 0.25)), (1 / 6, 1 / 6, 2 / 3), 3)
    method = tw.Method(tw.GradientFlow(None), tw.RungeKutta(ssp3), 0.1)
    assert max(map(abs, residuals(ssp3, 3))) < 1e-15
    assert method.gradients_per_step == 3
    assert tw.analysis.convergence_order(method).order == pytest.approx(3.0, abs=0.1)
