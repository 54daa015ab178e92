import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))

F = tw.problems.himmelblau().objective


@pytest.mark.parametrize("x", [(3.0, 2.0), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127)])
def test_four_minima(x):
    """The rounded points of the docstring, each within its rounding of a minimum of height 0."""
    bend = hessian(F, jnp.array(x))
    assert np.linalg.eigvalsh(bend)[0] > 10.0
    to_go = jnp.linalg.solve(bend, F.gradient(jnp.array(x)))
    assert jnp.max(jnp.abs(to_go)) < 6e-7
    np.testing.assert_allclose(F.value(jnp.array(x) - to_go), 0.0, atol=1e-20)


def test_value_by_hand():
    assert F.value(jnp.array([1.0, -1.0])) == (1 - 1 - 11) ** 2 + (1 + 1 - 7) ** 2
