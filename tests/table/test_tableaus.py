"""The order conditions of every tableau, tree by tree, in float64."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import RK23, RK45

import thalweg as tw
from thalweg.schemes import ButcherTableau
from thalweg.schemes.runge_kutta import (
    BOGACKI_SHAMPINE,
    DORMAND_PRINCE,
    EULER,
    HEUN,
    MIDPOINT,
    RALSTON,
    RK4_TABLEAU,
    TSIT5_TABLEAU,
)

EMBEDDED = (HEUN, BOGACKI_SHAMPINE, DORMAND_PRINCE, TSIT5_TABLEAU)
TABLEAUS = {tableau.name: tableau for tableau in (EULER, MIDPOINT, RALSTON, RK4_TABLEAU, *EMBEDDED)}


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


def second(tableau):
    """The embedded solution as a tableau of its own, the slope at the end of the step a stage of it."""
    rows = tableau.a if not tableau.first_same_as_last else (*tableau.a, tableau.b)
    return ButcherTableau(f"{tableau.name}, embedded", rows, tableau.embedded, tableau.order - 1)


def test_there_are_as_many_trees_as_there_should_be():
    assert [len(trees(order)) for order in range(1, 7)] == [1, 1, 2, 4, 9, 20]


def test_every_tableau_of_the_table_is_here():
    used = {row.scheme.tableau.name for row in tw.table() if isinstance(row.scheme, tw.RungeKutta)}
    assert used == set(TABLEAUS)


@pytest.mark.parametrize(
    "tableau", [*TABLEAUS.values(), *map(second, EMBEDDED)], ids=[*TABLEAUS, *(f"{t.name}-embedded" for t in EMBEDDED)]
)
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


@pytest.mark.parametrize(("tableau", "peer"), [(BOGACKI_SHAMPINE, RK23), (DORMAND_PRINCE, RK45)])
def test_the_pairs_are_those_of_scipy(tableau, peer):
    for row, theirs in zip(tableau.a, peer.A, strict=True):
        np.testing.assert_allclose(row, theirs[: len(row)], rtol=1e-15)
    np.testing.assert_allclose(tableau.b, peer.B, rtol=1e-15)
    np.testing.assert_allclose(np.subtract((*tableau.b, 0.0), tableau.embedded), -peer.E, rtol=0, atol=1e-16)


@pytest.mark.parametrize(
    ("embedded", "message"),
    [((0.5, 0.25, 0.25, 0.0), "must have 2 weights, as b has, or one more"), ((0.5, 0.4), "embedded weights must sum")],
)
def test_embedded_weights_that_do_not_fit_are_refused(embedded, message):
    with pytest.raises(tw.InputError, match=message):
        ButcherTableau("mine", HEUN.a, HEUN.b, 2, embedded=embedded)


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
