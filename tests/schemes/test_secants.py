"""The memory of secants: steps of the shifted matrix are those of the BFGS updates, one after another."""

import jax.numpy as jnp
import numpy as np
import pytest

from thalweg.schemes._secants import Secants

RNG = np.random.default_rng(3)
DIMENSION, SLOPE = 7, RNG.normal(size=7)
HESSIAN = (lambda q: q @ np.diag(np.geomspace(0.1, 30.0, 7)) @ q.T)(np.linalg.qr(RNG.normal(size=(7, 7)))[0])


def pairs(count):
    steps = RNG.normal(size=(count, DIMENSION))
    return [(s, HESSIAN @ s) for s in steps]


def updated(known, base, shift):
    """BFGS on (base + shift) I with the pairs (s, y + shift s), dense."""
    matrix = (base + shift) * np.eye(DIMENSION)
    for s, y in known:
        y = y + shift * s
        ms = matrix @ s
        matrix = matrix - np.outer(ms, ms) / (s @ ms) + np.outer(y, y) / (s @ y)
    return matrix


def remembered(known, count):
    memory = Secants.empty(count, jnp.asarray(SLOPE))
    for s, y in known:
        memory = memory.push(jnp.asarray(s), jnp.asarray(y), jnp.asarray(True), jnp.asarray(SLOPE))
    return memory


@pytest.mark.parametrize("shift", [0.0, 0.3, 50.0])
@pytest.mark.parametrize("given", [0, 1, 3, 5, 8])
def test_a_step_solves_with_the_bfgs_matrix_of_the_last_pairs(given, shift):
    count, base = 5, jnp.asarray(1.7)
    known = pairs(given)
    memory = remembered(known, count)
    found = memory.solve(base, jnp.asarray(shift))
    step = memory.vector(found, jnp.asarray(SLOPE))
    expected = -np.linalg.solve(updated(known[-count:], 1.7, shift), SLOPE)
    np.testing.assert_allclose(step, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.square, expected @ expected, rtol=1e-9)
    np.testing.assert_allclose(found.descent, expected @ SLOPE, rtol=1e-9)


def test_a_pair_that_is_not_kept_changes_the_slope_alone():
    memory, other = remembered(pairs(3), 5), jnp.asarray(RNG.normal(size=DIMENSION))
    after = memory.push(other, 2 * other, jnp.asarray(False), other)
    assert (after.s == memory.s).all() and (after.ss == memory.ss).all() and after.oldest == memory.oldest
    np.testing.assert_allclose(after.sg, memory.s @ other, rtol=1e-14)


def test_what_is_cleared_is_the_base_alone():
    memory = remembered(pairs(7), 5).cleared(jnp.asarray(True))
    step = memory.vector(memory.solve(jnp.asarray(2.0), jnp.asarray(0.5)), jnp.asarray(SLOPE))
    np.testing.assert_allclose(step, -SLOPE / 2.5, rtol=1e-15)
