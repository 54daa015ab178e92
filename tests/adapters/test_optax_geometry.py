"""Laws in a geometry as optax transformations: the path of the method itself, from points of the geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thalweg as tw

SPHERE = tw.geometry.Sphere()
MATRIX = jnp.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]])
START = SPHERE.project(jnp.ones(3))


def f(x):
    return 0.5 * x @ MATRIX @ x


def flow(geometry, scheme):
    return tw.Method(tw.GradientFlow(f, geometry=geometry), scheme, 0.1)


CASES = {
    "momentum on a sphere": (tw.riemannian_momentum(f, 0.1, 0.9, SPHERE), START),
    "descent on a sphere": (flow(SPHERE, tw.Euler()), START),
    "stages on a sphere": (flow(SPHERE, tw.Heun()), START),
    "a norm": (flow(tw.geometry.Norm("l1"), tw.Euler()), START),
    "a metric": (flow(tw.geometry.Metric(MATRIX), tw.Euler()), START),
    "a mirror map": (tw.mirror_descent(f, 0.1, "simplex"), jnp.array([0.2, 0.3, 0.5])),
}


@pytest.mark.parametrize("case", CASES)
def test_the_path_is_that_of_the_method(case):
    method, x = CASES[case]
    optimizer = tw.adapters.optax.transformation(method)

    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(jax.grad(f)(x), state, x, value_fn=f)
        return (optax.apply_updates(x, updates), state), None

    (end, _), _ = jax.lax.scan(step, (x, optimizer.init(x)), length=12)
    np.testing.assert_allclose(end, tw.run(method, x, 12, record=None).final.position, atol=1e-14)


def test_what_would_leave_a_geometry_is_refused():
    optimizer = tw.adapters.optax.transformation(CASES["descent on a sphere"][0])
    with pytest.raises(tw.InputError, match="start from its projection"):
        optimizer.init(jnp.ones(3))
    with pytest.raises(tw.InputError, match=r"call update\(gradients, state, params\)"):
        optimizer.update(START, optimizer.init(START))
    ahead = tw.Method(tw.HeavyBall(f, 1.0, geometry=SPHERE), tw.Lookahead(), 0.1)
    with pytest.raises(tw.InputError, match=r"ahead of the position, .* Sphere; use tw\.Leapfrog"):
        tw.adapters.optax.transformation(ahead)
