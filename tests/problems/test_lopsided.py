import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))
value = eqx.filter_jit(lambda f, x: f.value(x))

PROBLEM = tw.problems.lopsided()
F = PROBLEM.objective


def point_of(logits):
    """The x at which the four terms have these logits, up to a common shift."""
    A, b = F.args["A"], F.args["b"]
    return jnp.linalg.solve(jnp.hstack([A, jnp.ones((4, 1))]), jnp.asarray(logits) - b)[:3]


def curvatures(x):
    return np.linalg.eigvalsh(hessian(F, x))


def test_curvature_stays_between_its_bounds(rng):
    for x in 4.0 * rng.normal(size=(200, 3)):
        low, *_, high = curvatures(jnp.asarray(x))
        assert F.strong_convexity - 1e-12 <= low and high <= F.smoothness + 1e-12


def test_both_bounds_are_approached():
    """Tight: where a pair of terms prevails, or one, the extreme curvatures equal the bounds."""
    pairs = [point_of([60.0 * (i in pair) for i in range(4)]) for pair in itertools.combinations(range(4), 2)]
    np.testing.assert_allclose(max(curvatures(x)[-1] for x in pairs), F.smoothness, rtol=1e-12)
    np.testing.assert_allclose(curvatures(point_of([60.0, 0.0, 0.0, 0.0]))[0], F.strong_convexity, rtol=1e-12)


def test_value_by_hand():
    """At the origin: the log-sum-exp of the offsets alone."""
    np.testing.assert_allclose(F.value(jnp.zeros(3)), np.log(np.exp([0.4, -0.2, 0.1, 0.6]).sum()), rtol=1e-15)


def test_nothing_about_it_is_symmetric():
    second = hessian(F, F.minimiser)
    third = eqx.filter_jit(lambda f, x: jax.jacfwd(jax.hessian(f.value))(x))(F, F.minimiser)
    assert jnp.min(jnp.abs(second)) > 0.1, "no axis is an eigenvector"
    assert jnp.min(jnp.abs(third)) > 0.02, "no direction is without a third derivative"
    assert np.diff(curvatures(F.minimiser)).min() > 0.3, "no two curvatures agree"
    for u in jnp.eye(3):
        assert abs(value(F, F.minimiser + u) - value(F, F.minimiser - u)) > 0.02
    for order in itertools.permutations(range(3)):
        if order != (0, 1, 2):
            assert abs(value(F, PROBLEM.start[jnp.array(order)]) - value(F, PROBLEM.start)) > 0.1


def test_solving_finds_the_stated_minimum():
    unknown = tw.problems.Problem(
        "again",
        tw.Objective(F.fn, F.args, strong_convexity=F.strong_convexity),
        PROBLEM.start,
        "lopsided with its minimum forgotten",
        "boyd2004",
    )
    found = unknown.solved().objective
    np.testing.assert_allclose(found.minimum, F.minimum, rtol=1e-15)
    np.testing.assert_allclose(found.minimiser, F.minimiser, atol=1e-9 / F.strong_convexity)


@pytest.mark.parametrize("name", ["minimum", "minimiser", "smoothness", "strong_convexity"])
def test_all_facts_are_there(name):
    assert getattr(F, name) is not None
