import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw


@pytest.mark.parametrize(("steepness", "slope"), [(100.0, 0.1), (7, 2)])
def test_the_floor(steepness, slope):
    """On the floor the value is slope a^2/2, the gradient is (slope a, 0) and the Hessian K n n' + slope e e'."""
    f = tw.problems.canyon(steepness, slope).objective
    for a in (-4.0, -1.0, 0.3, 2.5):
        x = jnp.array([a, jnp.sin(a)])
        np.testing.assert_allclose(f.value(x), 0.5 * slope * a * a, rtol=1e-14)
        np.testing.assert_allclose(f.gradient(x), [slope * a, 0.0], atol=1e-14)
        n = np.array([-np.cos(a), 1.0])
        expected = steepness * np.outer(n, n) + np.diag([slope, 0.0])
        np.testing.assert_allclose(jax.hessian(f.value)(x), expected, atol=1e-12)


def test_narrow_and_not_convex():
    f = tw.problems.canyon().objective
    low, high = np.linalg.eigvalsh(jax.hessian(f.value)(f.minimiser))
    np.testing.assert_allclose(low * high, 100.0 * 0.1, rtol=1e-12)
    assert high / low > 1000
    assert np.linalg.eigvalsh(jax.hessian(f.value)(jnp.array([jnp.pi / 2, 0.0])))[0] < -50


def test_newton_from_everywhere_finds_only_the_origin(rng):
    """Stationary points other than the origin would be found by least squares on the gradient from some start."""
    from scipy.optimize import root

    f = tw.problems.canyon().objective
    slope, bend = jax.jit(f.gradient), jax.jit(jax.hessian(f.value))
    found = [
        root(lambda x: np.asarray(slope(x)), x, jac=lambda x: np.asarray(bend(x))) for x in rng.normal(size=(40, 2)) * 4
    ]
    solved = [done.x for done in found if done.success]
    assert len(solved) >= 10
    np.testing.assert_allclose(solved, 0.0, atol=1e-6)
