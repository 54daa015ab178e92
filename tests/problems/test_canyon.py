import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))


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
        np.testing.assert_allclose(hessian(f, x), expected, atol=1e-12)


def test_narrow_and_not_convex():
    f = tw.problems.canyon().objective
    low, high = np.linalg.eigvalsh(hessian(f, f.minimiser))
    np.testing.assert_allclose(low * high, 100.0 * 0.1, rtol=1e-12)
    assert high / low > 1000
    assert np.linalg.eigvalsh(hessian(f, jnp.array([jnp.pi / 2, 0.0])))[0] < -50


def test_only_the_origin_is_stationary(rng):
    """Along the floor's direction (1, cos a) the slope is slope a wherever one stands: zero at a = 0 alone."""
    f = tw.problems.canyon(slope=0.3).objective
    points = jnp.asarray(4.0 * rng.normal(size=(50, 2)))
    gradients = jax.vmap(f.gradient)(points)
    along = gradients[:, 0] + jnp.cos(points[:, 0]) * gradients[:, 1]
    np.testing.assert_allclose(along, 0.3 * points[:, 0], atol=1e-11)
    across = jax.vmap(f.gradient)(points.at[:, 0].set(0.0))[:, 1]
    np.testing.assert_allclose(across, 100.0 * points[:, 1], rtol=1e-14)
