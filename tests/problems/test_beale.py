import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))

F = tw.problems.beale().objective


def test_values_by_hand():
    assert F.value(jnp.array([0.0, 7.0])) == 1.5**2 + 2.25**2 + 2.625**2
    assert F.value(jnp.array([1.0, 0.0])) == 0.5**2 + 1.25**2 + 1.625**2


def test_the_minimiser_is_isolated_and_the_corner_a_saddle():
    assert np.linalg.eigvalsh(hessian(F, F.minimiser))[0] > 0.1
    corner = jnp.array([0.0, 1.0])
    assert jnp.all(F.gradient(corner) == 0.0)
    low, high = np.linalg.eigvalsh(hessian(F, corner))
    assert low < -1.0 and high > 1.0
