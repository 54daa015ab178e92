"""The stochastic Heun method: order 2 for the law, with noise whose strength changes too, and Heun's without noise."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import stationary_covariance
from thalweg.schemes import Draws

F = tw.problems.lopsided()
HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])


@pytest.mark.parametrize("of", ["position", "velocity"])
def test_an_underdamped_law_is_sampled_to_second_order(of):
    law = tw.UnderdampedLangevin(None, friction=0.7, temperature=0.6, mass=2.0)
    exact = 0.6 * np.linalg.inv(HESSIAN) if of == "position" else 0.3 * np.eye(2)
    errors = [
        np.abs(stationary_covariance(tw.Method(law, tw.StochasticHeun(), h), HESSIAN, of=of) - exact).max()
        for h in (0.02, 0.01)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


def test_both_gradients_see_the_same_noise():
    """On a bowl of curvature l: x+ = (1 - z + z^2/2) x + (1 - z/2) s R, z = h l and s^2 = 2 T h."""
    h, curvature, temperature, x, normal = 0.3, 1.7, 0.4, 1.2, -0.8
    law = tw.OverdampedLangevin(lambda x: 0.5 * curvature * jnp.sum(x**2), temperature)
    method = tw.Method(law, tw.StochasticHeun(), h)
    after = method.step(method.init(jnp.array([x])), Draws(noise=(jnp.array([normal]),))).position[0]
    z, s = h * curvature, np.sqrt(2 * temperature * h)
    assert after == pytest.approx((1 - z + z**2 / 2) * x + (1 - z / 2) * s * normal, rel=1e-14)


@pytest.mark.slow
def test_an_annealed_variance_is_followed_to_second_order():
    """v' = -2 v + 2 T(t), exact by quadrature, against the recursion that the step makes of it."""

    def temperature(t):
        return 1.0 / (1.0 + t)

    def variance(steps):
        h, v = 2.0 / steps, 0.0
        law = tw.OverdampedLangevin(lambda x: 0.5 * jnp.sum(x**2), temperature)
        method = tw.Method(law, tw.StochasticHeun(), h)
        state = method.init(jnp.array([1.0]))
        for _ in range(steps):
            # The step is linear: its factor and its noise are read off at unit arguments.
            here = state.at(jnp.array([1.0]), None)
            factor = float(method.step(here, Draws(noise=(jnp.array([0.0]),))).position[0])
            spread = float(method.step(here, Draws(noise=(jnp.array([1.0]),))).position[0]) - factor
            v = factor**2 * v + spread**2
            state = method.step(here, Draws(noise=(jnp.array([0.0]),)))
        return v

    nodes, weights = np.polynomial.legendre.leggauss(40)
    exact = np.sum(weights * np.exp(-2 * (1 - nodes)) * 2 / (2 + nodes))
    errors = [abs(variance(steps) - exact) for steps in (20, 40)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("second", [False, True])
def test_at_temperature_zero_it_is_heuns_method(second):
    law = tw.UnderdampedLangevin(F.objective, 0.7, 0.0, 1.3) if second else tw.OverdampedLangevin(F.objective, 0.0)
    plain = tw.HeavyBall(F.objective, 0.7, 1.3) if second else tw.GradientFlow(F.objective)
    cold, heun = tw.Method(law, tw.StochasticHeun(), 0.1), tw.Method(plain, tw.Heun(), 0.1)
    ends = [tw.run(method, F.start, 20, key=0).final for method in (cold, heun)]
    np.testing.assert_allclose(ends[0].position, ends[1].position, rtol=1e-13)
    if second:
        np.testing.assert_allclose(ends[0].velocity, ends[1].velocity, rtol=1e-13)
