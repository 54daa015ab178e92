"""Analyses of methods and matrices that are in float32: exact for the numbers that were meant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.rows import flat
from thalweg._methods.linearity import in_float64
from thalweg._methods.table import find_row


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: tw.gradient_descent(None, 0.1), 0.1 / (2.0 * (2.0 - 0.1 * 2.0))),
        (lambda: tw.momentum(None, 0.1, 0.9), 0.1 * 1.9 / (0.1 * 2.0 * (2.0 * 1.9 - 0.1 * 2.0))),
    ],
    ids=["descent", "momentum"],
)
def test_numbers_of_float32_are_those_that_were_meant(make, expected):
    with jax.enable_x64(False):
        method = make()
        assert method.step_size.dtype == jnp.float32
        found = tw.analysis.stationary_covariance(method, 2.0, 1.0)
        radius = tw.analysis.spectral_radius(method, 2.0)
    assert found == pytest.approx(expected, rel=1e-13)
    assert radius == pytest.approx(tw.analysis.spectral_radius(make(), 2.0), rel=1e-13)


def test_numbers_that_were_computed_stay():
    with jax.enable_x64(False):
        method = tw.gradient_descent(None, jnp.float32(1.0) / 3.0)
        found = tw.analysis.amplification(method, 1.0).item()
    assert found == pytest.approx(1.0 - float(np.float32(1.0) / np.float32(3.0)), rel=1e-15)


def test_a_hessian_is_symmetric_to_its_precision():
    square = jax.random.normal(jax.random.key(0), (30, 30), jnp.float32)
    hessian = np.array(square @ square.T + jnp.eye(30, dtype=jnp.float32))
    hessian[0, 1] += 3e-8 * np.abs(hessian).max() + np.spacing(hessian[0, 1])
    assert (hessian != hessian.T).any() and hessian.dtype == np.float32
    sgd = tw.gradient_descent(None, 1e-3)
    found = tw.analysis.stationary_covariance(sgd, hessian, 1.0)
    middle = 0.5 * (hessian.astype(float) + hessian.astype(float).T)
    np.testing.assert_array_equal(found, tw.analysis.stationary_covariance(sgd, middle, 1.0))
    with pytest.raises(tw.InputError, match=r"must be symmetric, but .* of its largest entry is not"):
        tw.analysis.stationary_covariance(sgd, hessian.astype(float), 1.0)
    with pytest.raises(tw.InputError, match="must be symmetric"):
        tw.analysis.stationary_covariance(sgd, hessian + np.triu(np.ones((30, 30), np.float32), 1), 1.0)


@pytest.mark.parametrize("name", [row.name for row in flat(tw.table())])
def test_a_row_in_float32_is_probed_as_it_was_meant(name):
    """Of the parts that the probe asks for, which may have constants that no user could give."""
    with jax.enable_x64(False):
        narrow = find_row(name).build(None).linearised()
        with jax.enable_x64(True):
            found = in_float64(narrow)
    whole = find_row(name).build(None).linearised()
    own = [(method.dynamics.constants, method.step_size) for method in (found, whole)]
    for one, other in zip(*map(jax.tree.leaves, own), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
