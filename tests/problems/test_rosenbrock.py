import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))
value_and_gradient = eqx.filter_jit(lambda f, x: f.value_and_gradient(x))


@pytest.mark.parametrize("d", [2, 3, 7])
def test_equals_scipy(d, rng):
    f = tw.problems.rosenbrock(d).objective
    for x in rng.normal(size=(20, d)):
        value, gradient = value_and_gradient(f, jnp.asarray(x))
        np.testing.assert_allclose(value, rosen(x), rtol=1e-13)
        np.testing.assert_allclose(gradient, rosen_der(x), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(hessian(f, jnp.asarray(x)), rosen_hess(x), rtol=1e-11, atol=1e-11)


def test_start():
    assert tw.problems.rosenbrock(5).start.tolist() == [-1.2, 1.0, -1.2, 1.0, -1.2]
    problem = tw.problems.rosenbrock()
    np.testing.assert_allclose(problem.objective.value(problem.start), 24.2, rtol=1e-14)


@pytest.mark.parametrize(("d", "height"), [(4, 3.7014), (5, 3.9308)])
def test_another_minimum_from_four_dimensions_on(d, height):
    """Near (-1, 1, ..., 1), at the heights known for it."""
    f = tw.problems.rosenbrock(d).objective
    x = jnp.ones(d).at[0].set(-1.0)
    for _ in range(30):
        x = x - jnp.linalg.solve(hessian(f, x), value_and_gradient(f, x)[1])
    assert jnp.linalg.norm(f.gradient(x)) < 1e-9 and np.linalg.eigvalsh(hessian(f, x))[0] > 0
    assert abs(x[0] + 1) < 0.3
    np.testing.assert_allclose(f.value(x), height, atol=1e-3)
