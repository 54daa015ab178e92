"""The kinetic temperature that a step makes: the words' closed form, and the linear probe."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops.kinetic import of_word, predicted_temperatures

CURVATURES = np.array([0.05, 0.3, 1.0, 3.0])


def method(word, step=0.9, **constants):
    constants = dict(friction=1.2, temperature=0.6, mass=2.0) | constants
    return tw.Method(tw.UnderdampedLangevin(None, **constants), tw.Splitting(word), step)


@pytest.mark.parametrize("word", ["BAOAB", "ABOBA", "OBABO", "BAO", "ABABO"])
def test_a_word_against_the_linear_probe(word):
    found = of_word(method(word), CURVATURES)
    probed = [2.0 * tw.analysis.stationary_covariance(method(word), k, of="velocity") for k in CURVATURES]
    np.testing.assert_allclose(found, probed, rtol=1e-10)


def test_baoab_by_hand():
    """T (1 - h^2 k / 4m), which is T where nothing curves, and no number beyond the limit h = 2 sqrt(m/k)."""
    k = np.array([0.0, 0.5, 2.0, 9.8, 9.9])
    expected = 0.6 * (1.0 - 0.81 * k / 8.0)
    np.testing.assert_allclose(of_word(method("BAOAB"), k), np.where(k < 9.87, expected, np.nan), rtol=1e-9)


def test_bounds():
    """A Gaussian has its own number, of which nothing else is known lies between none and the largest curvature."""
    hessian = np.diag([0.5, 2.0, 3.0])
    expected = 0.6 * (1.0 - 0.81 * np.array([0.5, 2.0, 3.0]) / 8.0)
    low, high = predicted_temperatures(method("BAOAB"), 3.0)
    assert (low, high) == pytest.approx((expected[2], 0.6), rel=1e-9)
    low, high = predicted_temperatures(method("BAOAB"), 3.0, 0.6 * np.linalg.inv(hessian))
    assert (low, high) == pytest.approx((expected[2], expected.mean()), rel=1e-9)
    assert predicted_temperatures(method("BAOAB"), 30.0) is None
    assert predicted_temperatures(tw.sgld(None, 0.1), 1.0) is None
    assert predicted_temperatures(method("BAOAB", temperature=lambda t: 1.0 + 0.0 * t), 1.0) is None


def test_another_scheme_by_the_probe():
    heun = tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), tw.StochasticHeun(), 0.5)
    low, high = predicted_temperatures(heun, 2.0)
    at = tw.analysis.stationary_covariance(heun, 2.0, of="velocity")
    # Its own error makes the velocities colder than the law's where nothing curves, and less so where it does.
    assert low < 0.91 < at <= high == pytest.approx(at)


@pytest.mark.parametrize(
    ("geometry", "start"),
    [(tw.geometry.Sphere(), jnp.eye(4)[0]), pytest.param(tw.geometry.Stiefel(), jnp.eye(4, 2), marks=pytest.mark.slow)],
    ids=["3 of 4", "5 of 8"],
)
def test_velocities_on_a_manifold_have_as_many_degrees_as_it_has_dimensions(geometry, start):
    """Twice the kinetic energy of each is the temperature."""
    law = tw.UnderdampedLangevin(lambda x: x.ravel()[0], 1.0, 0.6, 1.3, geometry=geometry)
    method = tw.Method(law, tw.Splitting("BAOAB"), 0.3)
    tree = tw.sample(method, start, draws=1000, chains=8, warmup=50, key=0, progress=False, diagnostics=False)
    assert tree.attrs["warnings"] == "[]"
    assert tree.attrs["kinetic_temperature"] == pytest.approx(0.6, rel=0.05)
    found = tree["sample_stats"]["kinetic_temperature"].mean().item()
    assert found == pytest.approx(tree.attrs["kinetic_temperature"], rel=1e-12)
    assert predicted_temperatures(method, 1.0) is None
