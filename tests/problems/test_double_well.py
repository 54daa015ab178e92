import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))


@pytest.mark.parametrize("d", [1, 2, 5])
def test_two_wells_and_a_barrier(d):
    problem = tw.problems.double_well(d)
    f = problem.objective
    for x in (f.minimiser, -f.minimiser):
        assert f.value(x) == 0.0 and jnp.all(f.gradient(x) == 0.0)
        np.testing.assert_array_equal(hessian(f, x), np.diag([2.0] + [1.0] * (d - 1)))
    top = jnp.zeros(d)
    assert f.value(top) == 0.25 and jnp.all(f.gradient(top) == 0.0)
    np.testing.assert_array_equal(hessian(f, top), np.diag([-1.0] + [1.0] * (d - 1)))
    assert f.value(problem.start) == 25 / 64 + (d - 1) / 8


def walk(friction, steps=10_000, h=0.005):
    """The positions of a heavy ball let go at rest."""
    problem = tw.problems.double_well()

    def step(state, _):
        x, v = state
        v = (v - h * problem.objective.gradient(x)) / (1 + h * friction)
        return (x + h * v, v), x

    return jax.lax.scan(step, (problem.start, jnp.zeros(2)), None, length=steps)[1]


def test_a_ball_with_little_friction_crosses_and_the_flow_does_not():
    assert jnp.max(walk(friction=0.05)[:, 0]) > 0.5
    creeping = walk(friction=20.0)
    assert jnp.max(creeping[:, 0]) < 0.0
    np.testing.assert_allclose(creeping[-1], tw.problems.double_well().objective.minimiser, atol=0.05)


@pytest.mark.parametrize("temperature", [1e-3, 0.05, 1, 30.0])
def test_moments_in_closed_form(temperature):
    """By Bessel functions: the integral of exp(-a x^4 + b x^2) and its derivative by b."""
    T, z = temperature, 1 / (8 * temperature)
    both = ive(-0.25, z) + ive(0.25, z)
    slope = 0.5 * (ive(-1.25, z) + ive(0.75, z) + ive(-0.75, z) + ive(1.25, z))
    problem = tw.problems.double_well(3, T)
    log_normaliser = np.log(np.pi / 2 * both) + np.log(2 * np.pi * T)
    np.testing.assert_allclose(problem.log_normaliser, log_normaliser, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(problem.moments.variance, [T + 0.5 * (1 + slope / both), T, T], rtol=1e-12)
    assert problem.moments.temperature == T
    assert np.all(problem.moments.mean == 0.0)
