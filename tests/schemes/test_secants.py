"""The memory of secants: steps of the shifted matrix are those of the BFGS updates, one after another."""

import jax.numpy as jnp
import numpy as np
import pytest

from thalweg.schemes._arithmetic import Host, Traced
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


def remembered(xp, known, count, unit=1.0):
    array = np.asarray if xp is Host else jnp.asarray
    memory = Secants.empty(xp, count, array(unit * SLOPE))
    for s, y in known:
        memory = memory.push(xp, array(s), array(unit * y), xp is Host or jnp.asarray(True), array(unit * SLOPE))
    return memory


def stepped(xp, memory, base, shift, unit=1.0):
    found = memory.solve(xp, base, shift)
    return found, np.asarray(memory.vector(xp, found, unit * SLOPE))


@pytest.mark.parametrize("xp", [Host, pytest.param(Traced, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shift", [0.0, 0.3, 50.0])
@pytest.mark.parametrize("given", [1, 3, 5, 8])
def test_a_step_solves_with_the_bfgs_matrix_of_the_last_pairs(xp, given, shift):
    known = pairs(given)
    found, step = stepped(xp, remembered(xp, known, 5), 1.7, shift)
    expected = -np.linalg.solve(updated(known[-5:], 1.7, shift), SLOPE)
    np.testing.assert_allclose(step, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.length, np.linalg.norm(expected), rtol=1e-10)
    np.testing.assert_allclose(found.size * found.descent * np.linalg.norm(SLOPE), expected @ SLOPE, rtol=1e-9)


@pytest.mark.parametrize("power", [-900, -60, 900])
def test_another_unit_of_f_changes_no_digit(power):
    known, unit = pairs(7), 2.0**power
    _, step = stepped(Host, remembered(Host, known, 5), 1.7, 0.3)
    _, other = stepped(Host, remembered(Host, known, 5, unit), 1.7 * unit, 0.3 * unit, unit)
    assert (step == other).all()


def test_a_pair_that_is_not_kept_changes_the_slope_alone():
    memory, other = remembered(Host, pairs(3), 5), RNG.normal(size=DIMENSION)
    after = memory.push(Host, other, 2 * other, False, other)
    assert (after.rows == memory.rows).all() and (after.gram == memory.gram).all() and after.oldest == memory.oldest
    # From the oldest to the newest; two places are empty.
    np.testing.assert_allclose(after.along[2:5], after.rows[:3] @ other / np.linalg.norm(other), rtol=1e-14)
    assert (after.along[:2] == 0).all()


def test_what_is_cleared_is_the_base_alone():
    _, step = stepped(Host, remembered(Host, pairs(7), 5).cleared(Host, True), 2.0, 0.5)
    np.testing.assert_allclose(step, -SLOPE / 2.5, rtol=1e-15)
