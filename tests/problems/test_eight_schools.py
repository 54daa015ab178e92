import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.stats import halfcauchy, norm

import thalweg as tw

EFFECTS = np.array([28, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15, 10, 16, 11, 9, 11, 10, 18])
# posteriordb, eight_schools-eight_schools_noncentered, summary statistic "mean", of theta[1..8], mu and tau, and its
# "mcse_mean".
PUBLISHED = np.array([6.1505, 4.9396, 3.9059, 4.7960, 3.6144, 4.0511, 6.3172, 4.8840, 4.4105, 3.6021])
PUBLISHED_ERRORS = np.array([0.0557, 0.0462, 0.0542, 0.0475, 0.0461, 0.0485, 0.0499, 0.0543, 0.0330, 0.0319])


@pytest.fixture(scope="module")
def slices():
    """At each log tau the Gaussian of (eta, mu), read off the potential alone: it is a quadratic in them."""
    f = tw.problems.eight_schools().objective

    def at(log_tau):
        def quadratic(z):
            return f.value({"eta": z[:8], "log_tau": log_tau, "mu": z[8]})

        zero = jnp.zeros(9)
        slope, bend = jax.grad(quadratic)(zero), jax.hessian(quadratic)(zero)
        covariance = jnp.linalg.inv(bend)
        mean = -covariance @ slope
        log_weight = -quadratic(zero) - 0.5 * slope @ mean + 0.5 * jnp.linalg.slogdet(2 * jnp.pi * covariance)[1]
        return log_weight, mean, covariance

    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(-40.0, 14.0, 61)
    width = np.diff(edges)[:, None]
    log_tau = (edges[:-1, None] + width * (nodes + 1) / 2).ravel()
    log_weight, mean, covariance = (np.asarray(part) for part in jax.jit(jax.vmap(at))(jnp.asarray(log_tau)))
    return log_tau, (width * weights / 2).ravel() * np.exp(log_weight), mean, covariance


def test_the_moments_against_slices_of_the_potential(slices):
    log_tau, weight, mean, covariance = slices
    problem = tw.problems.eight_schools()
    np.testing.assert_allclose(problem.log_normaliser, np.log(weight.sum()), rtol=1e-11)
    weight = weight / weight.sum()
    given = np.insert(mean, 8, log_tau, axis=1)
    expected = weight @ given
    spread = given - expected
    within = np.insert(np.insert(np.einsum("n,nij->ij", weight, covariance), 8, 0.0, axis=0), 8, 0.0, axis=1)
    found = np.asarray(ravel_pytree(problem.moments.mean)[0])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(
        problem.moments.covariance, within + np.einsum("n,ni,nj->ij", weight, spread, spread), rtol=1e-9, atol=1e-10
    )


def test_centred_it_is_the_same_law(slices, rng):
    """theta = mu + tau eta of the slices; and the potentials differ by the logarithm of the volume, 8 log tau."""
    log_tau, weight, mean, covariance = slices
    problem, other = tw.problems.eight_schools_centred(), tw.problems.eight_schools()
    weight = weight / weight.sum()
    tau = np.exp(log_tau)
    # (log tau, mu, theta), as the tree ravels, of (eta, mu).
    change = np.zeros((len(tau), 9, 9))
    change[:, 0, 8] = change[:, 1:, 8] = 1.0
    change[:, np.arange(1, 9), np.arange(8)] = tau[:, None]
    given = np.column_stack([log_tau, np.einsum("nij,nj->ni", change, mean)])
    expected = weight @ given
    within = np.zeros((10, 10))
    within[1:, 1:] = np.einsum("n,nij,njk,nlk->il", weight, change, covariance, change)
    spread = given - expected
    np.testing.assert_allclose(np.asarray(ravel_pytree(problem.moments.mean)[0]), expected, rtol=1e-10)
    np.testing.assert_allclose(
        problem.moments.covariance, within + np.einsum("n,ni,nj->ij", weight, spread, spread), rtol=1e-9, atol=1e-10
    )
    mu, one, eta = 5 * rng.normal(), rng.normal(), rng.normal(size=8)
    here = {"mu": jnp.asarray(mu), "log_tau": jnp.asarray(one), "eta": jnp.asarray(eta)}
    there = {"mu": here["mu"], "log_tau": here["log_tau"], "theta": jnp.asarray(mu + np.exp(one) * eta)}
    difference = float(problem.objective.value(there)) - float(other.objective.value(here))
    assert difference == pytest.approx(8.0 * one, rel=1e-12) and problem.log_normaliser == other.log_normaliser


def test_the_published_means(slices):
    """posteriordb's 10,000 reference draws, within three of their standard errors."""
    log_tau, weight, mean, _ = slices
    tau = np.exp(log_tau)
    theta = mean[:, 8:] + tau[:, None] * mean[:, :8]
    found = np.column_stack([theta, mean[:, 8], tau]).T @ weight / weight.sum()
    assert np.abs((found - PUBLISHED) / PUBLISHED_ERRORS).max() < 3
    np.testing.assert_allclose(found[[0, 9]], [6.21, 3.60], atol=0.005, err_msg="the docstring's")


def test_the_potential_is_the_model(rng):
    """Up to a constant, minus the logarithm of the densities as SciPy has them."""
    f = tw.problems.eight_schools().objective
    differences = []
    for _ in range(5):
        mu, log_tau, eta = 5 * rng.normal(), rng.normal(), rng.normal(size=8)
        tau = np.exp(log_tau)
        log_density = norm.logpdf(mu, 0, 5) + halfcauchy.logpdf(tau, 0, 5) + log_tau + norm.logpdf(eta).sum()
        log_density += norm.logpdf(EFFECTS, mu + tau * eta, ERRORS).sum()
        x = {"mu": jnp.asarray(mu), "log_tau": jnp.asarray(log_tau), "eta": jnp.asarray(eta)}
        differences.append(float(f.value(x)) + log_density)
    np.testing.assert_allclose(differences, differences[0], rtol=1e-13)
