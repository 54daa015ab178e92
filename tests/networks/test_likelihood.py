"""The likelihood of data under a flow, against densities that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.networks.mixtures import mixture

POINTS = jnp.array([[-1.1], [0.4], [1.9], [3.0]])


def method(noising, data, steps=400, scheme=None):
    times = tw.networks.time_grid(noising, steps, "log_snr", end=float(noising.time_at(jnp.log(100.0))))
    return tw.Method(tw.ProbabilityFlow(noising, data.denoiser(noising)), scheme or tw.Tsit5(), times=times)


@pytest.mark.parametrize("make", [tw.networks.VarianceExploding, tw.networks.VariancePreserving])
def test_with_the_exact_end_law_the_density_is_the_mixtures(make):
    noising = make()
    flow = method(noising, mixture())
    first, last = flow.grid.times[0], flow.grid.times[-1]

    def found(x):
        return tw.networks.log_likelihood(flow, x, end_law=lambda x: mixture().log_density(noising, first, x))

    result = jax.jit(jax.vmap(found))(POINTS)
    np.testing.assert_allclose(result.value, mixture().log_density(noising, last, POINTS), atol=1e-8)
    # The density of N(0, sigma^2) at the same ends, for that of the mixture as it is noised.
    plain = jax.jit(jax.vmap(lambda x: tw.networks.log_likelihood(flow, x).value))(POINTS)
    np.testing.assert_allclose(result.prior_bias, plain - result.value, atol=1e-9)
    assert float(jnp.max(jnp.abs(result.prior_bias))) > 1e-6


def test_in_several_dimensions_and_by_random_signs():
    spread = jnp.array([[0.5, 0.2, 0.0], [0.2, 0.3, 0.1], [0.0, 0.1, 0.8]])
    data = tw.networks.GaussianMixture(jnp.array([1.0, 0.0, -0.5]), spread)
    noising = tw.networks.VarianceExploding()
    flow, x = method(noising, data, 80, tw.RK4()), jnp.array([0.3, 0.1, 0.5])
    exact = tw.networks.log_likelihood(flow, x)

    @jax.jit
    @jax.vmap
    def signed(key):
        return tw.networks.log_likelihood(flow, x, divergence="hutchinson", key=key, probes=4).value

    # The mean over signs is right, and no one of them is.
    signs = np.asarray(signed(jax.random.split(jax.random.key(0), 64)))
    assert float(np.mean(signs)) == pytest.approx(float(exact.value), abs=4.0 * float(np.std(signs)) / 8.0)
    assert np.std(signs) > 1e-3
    np.testing.assert_allclose(tw.solve(flow, exact.end).final.position, x, atol=1e-3)


def test_a_gradient_goes_through_it():
    """Of the mean of a Gaussian, by which the log density has the slope (x - m) / (s + sigma^2)."""
    noising = tw.networks.VarianceExploding()

    def value(mean):
        data = tw.networks.GaussianMixture(mean, 0.25)
        times = tw.networks.time_grid(noising, 60, "log_snr", end=0.1)
        flow = tw.Method(tw.ProbabilityFlow(noising, data.denoiser(noising)), tw.RK4(), times=times)
        end = lambda x: data.log_density(noising, 80.0, x)  # noqa: E731
        return tw.networks.log_likelihood(flow, jnp.array([1.5]), end_law=end).value

    found = jax.jit(jax.grad(value))(jnp.array([1.0]))
    np.testing.assert_allclose(found, [0.5 / 0.26], rtol=1e-4)


def test_wrong_input_is_one_line():
    noising = tw.networks.VarianceExploding()
    flow = method(noising, mixture(), 5)
    with pytest.raises(tw.InputError, match="give a key"):
        tw.networks.log_likelihood(flow, POINTS[0], divergence="hutchinson")
    with pytest.raises(tw.InputError, match="divergence 'trace' is unknown"):
        tw.networks.log_likelihood(flow, POINTS[0], divergence="trace")
    with pytest.raises(tw.InputError, match="moves no divergence"):
        tw.networks.log_likelihood(method(noising, mixture(), 5, tw.DDIM()), POINTS[0])
    with pytest.raises(tw.InputError, match="a likelihood is that of a flow"):
        tw.networks.log_likelihood(tw.gradient_descent(jnp.sum, 0.1), POINTS[0])
    with pytest.raises(tw.InputError, match="give the method its times"):
        tw.networks.log_likelihood(tw.Method(flow.dynamics, tw.RK4(), 0.1), POINTS[0])
    with pytest.raises(tw.InputError, match="end_law must be a function of x"):
        tw.networks.log_likelihood(flow, POINTS[0], end_law=lambda: 0.0)
