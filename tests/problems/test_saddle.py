import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))


@pytest.mark.parametrize(("d", "instability"), [(2, 1.0), (3, 0.25), (6, 4.0)])
def test_a_strict_saddle_and_two_minima(d, instability):
    f = tw.problems.saddle(d, instability=instability).objective
    origin = jnp.zeros(d)
    assert jnp.all(f.gradient(origin) == 0.0) and f.value(origin) == 0.0
    np.testing.assert_array_equal(hessian(f, origin), np.diag([1.0] * (d - 1) + [-instability]))
    for x in (f.minimiser, -f.minimiser):
        np.testing.assert_allclose(f.value(x), -(instability**2) / 4, rtol=1e-14)
        np.testing.assert_allclose(f.gradient(x), 0.0, atol=1e-14)
        np.testing.assert_allclose(hessian(f, x), np.diag([1.0] * (d - 1) + [2 * instability]), atol=1e-13)


def flow(problem, time, steps=20_000):
    """Gradient flow from the start, by many small steps."""
    h = time / steps
    return jax.lax.fori_loop(0, steps, lambda _, x: x - h * problem.objective.gradient(x), problem.start)


@pytest.mark.parametrize("offset", [1e-3, -1e-6])
def test_the_flow_leaves_when_it_should(offset):
    """x_d solves a logistic equation, and is at the half of its final square when the docstring says."""
    problem = tw.problems.saddle(instability=0.5, offset=offset)
    leaving = np.log(np.sqrt(0.5) / abs(offset)) / 0.5
    np.testing.assert_allclose(flow(problem, leaving)[-1], np.sign(offset) * np.sqrt(0.25), rtol=0.01)
    np.testing.assert_allclose(flow(problem, 2 * leaving + 10), problem.objective.minimiser, atol=1e-4)


def test_from_the_stable_manifold_the_flow_ends_in_the_saddle():
    end = flow(tw.problems.saddle(3, offset=0), time=30.0)
    assert end[-1] == 0.0
    np.testing.assert_allclose(end, 0.0, atol=1e-12)
