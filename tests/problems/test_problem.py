import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw


def problem_of(objective, start):
    return tw.problems.Problem("mine", objective, start, "a problem of mine", "nobody2026")


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tw.problems.beale().start = jnp.zeros(2)


def test_solved_keeps_what_is_known():
    problem = tw.problems.rosenbrock()
    assert problem.solved() is problem


@pytest.mark.parametrize("batch_size", [None, 2])
def test_solved_takes_the_full_sum(batch_size):
    data = jnp.array([[1.0, 0.0], [2.0, 5.0], [6.0, 1.0]])
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), data, batch_size, strong_convexity=1.0)
    found = problem_of(f, jnp.zeros(2)).solved().objective
    np.testing.assert_allclose(found.minimiser, [3.0, 2.0], atol=1e-9)
    np.testing.assert_allclose(found.minimum, 0.5 * (14 + 14) / 3, rtol=1e-15)
    assert (found.batch_size, found.strong_convexity) == (batch_size, 1.0)


def test_solved_reaches_the_tolerance_where_a_rough_search_stalls():
    """Conditioned at 1e8, and asked for more than the 1e-7 at which L-BFGS-B hands over."""
    curvature = jnp.array([1e-4, 1.0, 1e4])
    f = tw.Objective(lambda x, a: jnp.sum(a * (jnp.cosh(x - 1.0) - 1.0)), curvature, strong_convexity=1e-4)
    found = problem_of(f, jnp.zeros(3)).solved(tolerance=1e-11).objective
    np.testing.assert_allclose(found.minimiser, 1.0, atol=1e-7)


def test_an_unreachable_tolerance_is_refused():
    with pytest.raises(tw.InputError, match=r"^tolerance must be within float64's reach \(.* here\), but is 1e-300$"):
        tw.problems.logistic_breast_cancer().solved(tolerance=1e-300)


def test_a_merely_convex_one_is_refused():
    flat = tw.problems.quadratic([0.0, 1.0])
    forgotten = dataclasses.replace(flat.objective, minimum=None, minimiser=None)
    with pytest.raises(tw.InputError, match="quadratic is not known to be strongly convex"):
        dataclasses.replace(flat, objective=forgotten).solved()
