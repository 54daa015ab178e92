"""Particles smoothed by a kernel: the bias of their densities, and its order in the bandwidth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

M = tw.measures
WIDTHS = (0.4, 0.2)


def normal():
    """Weighted particles of a standard normal, evenly far apart: sums over them are integrals to rounding."""
    x = jnp.linspace(-8.0, 8.0, 801)
    return M.Particles(x, jax.nn.softmax(-0.5 * x**2))


@pytest.mark.parametrize(
    ("functional", "exact", "smoothed", "order"),
    [
        # E log of the density of N(0, 1 + s^2) over N(0, 1): the terms of second order cancel.
        (
            M.Entropy,
            -0.5 * (1 + np.log(2 * np.pi)),
            lambda s: -0.5 * np.log(2 * np.pi * (1 + s**2)) - 0.5 / (1 + s**2),
            4,
        ),
        # The density of N(0, 2 + s^2) at 0.
        (
            lambda bandwidth: M.Internal(2.0, bandwidth),
            (4 * np.pi) ** -0.5,
            lambda s: (2 * np.pi * (2 + s**2)) ** -0.5,
            2,
        ),
    ],
)
def test_bias_is_that_of_the_smoothed_density_and_of_its_order(functional, exact, smoothed, order):
    q = normal()
    bias = [float(functional(bandwidth=s).value(q) - exact) for s in WIDTHS]
    np.testing.assert_allclose(bias, [smoothed(s) - exact for s in WIDTHS], rtol=1e-6)
    assert abs(np.log2(bias[0] / bias[1]) - order) < 0.35


@pytest.mark.slow
def test_blob_settles_to_its_own_stationary_law():
    # Of Gaussians d/dS of E log N(0, S + s^2) + S/2 is 0 where (S + s^2)^2 = S + 2 s^2, so that S = 1 - s^4 + ...
    found = []
    for s in WIDTHS:
        flow = tw.GradientFlow(M.KL(M.Gaussian(0.0, 1.0), bandwidth=s), geometry=tw.geometry.Wasserstein())
        start = M.Particles(1.3 * jax.scipy.stats.norm.ppf((jnp.arange(400) + 0.5) / 400))
        end = tw.run(tw.Method(flow, tw.RK4(), 0.05), start, 400, record=None, progress=False).final.position
        found.append(float(end.covariance[0, 0]))
    expected = [0.5 * (1 + np.sqrt(1 + 4 * s**2)) - s**2 for s in WIDTHS]
    np.testing.assert_allclose(found, expected, atol=3e-3)
