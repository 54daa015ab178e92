"""Kernel Stein discrepancy and bandwidths, against brute force and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._measures import pairs

M = tw.measures
KERNELS = {
    "Gaussian": M.GaussianKernel(0.9),
    "inverse multiquadric": M.InverseMultiquadric(1.3, 0.4),
    "linear": M.LinearKernel(),
    "own": lambda x, y: jnp.exp(x @ y - 0.5 * x @ x - 0.5 * y @ y) * (1.0 + x[0] * y[0]),
}


def potential(x):
    return 0.25 * jnp.sum(x**4) + 0.3 * x[0] * x[1]


def brute(q, kernel):
    """The kernel of the discrepancy of all pairs, by loops and automatic differentiation."""

    def score(x):
        return -jax.grad(potential)(x)

    def pair(x, y):
        mixed = jax.jacobian(jax.grad(kernel, 0), 1)(x, y)
        ends = score(x) @ jax.grad(kernel, 1)(x, y) + score(y) @ jax.grad(kernel, 0)(x, y)
        return score(x) @ score(y) * kernel(x, y) + ends + jnp.trace(mixed)

    return jax.jit(jax.vmap(jax.vmap(pair, (None, 0)), (0, None)))(q.positions, q.positions)


@pytest.mark.parametrize("case", KERNELS)
def test_discrepancy_is_the_sum_over_pairs(case, seed, monkeypatch):
    weights = jax.random.dirichlet(jax.random.key(seed), jnp.full(7, 2.0))
    q = M.Particles(jax.random.normal(jax.random.key(seed + 1), (7, 2)), weights)
    # Three rows a block, the last one filled up.
    monkeypatch.setattr(pairs, "_BLOCK", 45)
    matrix = np.asarray(brute(q, KERNELS[case]))
    both = weights[:, None] * weights[None] * matrix
    off = both * (1 - np.eye(7))
    found = M.kernel_stein_discrepancy(q, potential, KERNELS[case])
    np.testing.assert_allclose(found, both.sum(), rtol=1e-11)
    unbiased = M.kernel_stein_discrepancy(q, potential, KERNELS[case], "U")
    np.testing.assert_allclose(unbiased, off.sum() / (1 - np.sum(weights**2)), rtol=1e-11)


def test_discrepancy_is_the_square_of_the_speed_in_steins_geometry(seed):
    q = M.Particles(jax.random.normal(jax.random.key(seed), (6, 2)))
    kernel = M.GaussianKernel(1.2)
    flow = tw.GradientFlow(M.KL(potential), geometry=tw.geometry.Stein(kernel))
    velocity = tw.Method(flow, tw.Euler(), 1.0).step(tw.Method(flow, tw.Euler(), 1.0).init(q)).position.positions
    velocity = velocity - q.positions
    # The norm of v in the kernel's space is <v, -grad V> and the mean of its divergence.
    forces = -jax.vmap(jax.grad(potential))(q.positions)

    def at(x):
        own = jax.vmap(lambda y: kernel(x, y))(q.positions)
        rises = jax.vmap(lambda y: jax.grad(kernel, 1)(x, y))(q.positions)
        return jnp.mean(own[:, None] * forces + rises, axis=0)

    divergence = jax.vmap(lambda x: jnp.trace(jax.jacobian(at)(x)))(q.positions)
    np.testing.assert_allclose(jax.vmap(at)(q.positions), velocity, atol=1e-12)
    speed = jnp.mean(jnp.sum(velocity * forces, axis=1) + divergence)
    np.testing.assert_allclose(M.kernel_stein_discrepancy(q, potential, kernel), speed, rtol=1e-11)


def test_median_bandwidth_is_that_of_all_pairs(rng):
    x = rng.normal(size=(40, 3))
    apart = [np.linalg.norm(a - b) for i, a in enumerate(x) for b in x[:i]]
    found = M.median_bandwidth(M.Particles(jnp.array(x)))
    np.testing.assert_allclose(found, np.median(np.square(apart)) ** 0.5 / np.sqrt(2 * np.log(40)), rtol=1e-12)


ONES, ksd = M.Particles(jnp.ones((2, 2))), M.kernel_stein_discrepancy
REFUSED = {
    "a Gaussian": (lambda: ksd(M.Gaussian(0.0, 1.0), potential, M.LinearKernel()), "of a Gaussian"),
    "no kernel": (lambda: ksd(ONES, potential, 3.0), "kernel"),
    "not smooth": (lambda: ksd(ONES, potential, M.EnergyKernel()), "has none"),
    "one": (lambda: ksd(M.Particles(jnp.ones((1, 2))), potential, M.LinearKernel(), "U"), "two"),
    "statistic": (lambda: ksd(ONES, potential, M.LinearKernel(), "W"), "W"),
    "same": (lambda: M.median_bandwidth(ONES), "coincide"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_discrepancy_is_refused(case):
    call, words = REFUSED[case]
    with pytest.raises(tw.InputError, match=words):
        call()
