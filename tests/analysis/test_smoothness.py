"""Smoothness constants of norms against all vertices, permutations and the steps whose limits they are."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import smoothness_constant
from thalweg.geometry import Norm

RNG = np.random.default_rng(4)
FACTOR = RNG.standard_normal((6, 6))
HESSIAN = FACTOR @ FACTOR.T / 6
MATRICES = {"a": jnp.zeros((2, 2)), "b": jnp.zeros((1, 2))}


def test_of_few_variables_it_is_the_best_vertex():
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=6)))
    found = smoothness_constant(HESSIAN, "linf")
    assert found.exact
    np.testing.assert_allclose(found.upper, np.einsum("ki,ij,kj->k", corners, HESSIAN, corners).max(), rtol=1e-14)
    assert smoothness_constant(HESSIAN, "l1") == (HESSIAN.diagonal().max(),) * 2
    np.testing.assert_allclose(smoothness_constant(HESSIAN, "l2"), np.linalg.eigvalsh(HESSIAN)[-1], rtol=1e-14)


def test_of_a_diagonal_it_is_exact_in_every_norm():
    diagonal = np.array([3.0, -1.0, 2.0, 2.5, 0.5, 4.0])
    square = np.diag(diagonal)
    assert smoothness_constant(square, "linf") == (12.0, 12.0)
    assert smoothness_constant(square, "l1") == (4.0, 4.0)
    assert smoothness_constant(square, Norm("l2", per_leaf=True), MATRICES) == (7.0, 7.0)
    assert smoothness_constant(square, Norm("l1", per_leaf=True), MATRICES) == (7.0, 7.0)
    # [[3, -1], [2, 2.5]]: the diagonal, 5.5, or the other, 2 and nothing; [[0.5, 4]]: the larger.
    assert smoothness_constant(square, "spectral", MATRICES) == (9.5, 9.5)


@pytest.mark.parametrize(
    "norm", [Norm("linf"), Norm("l1"), Norm("l1", per_leaf=True), Norm("l2", per_leaf=True), Norm("spectral")], ids=str
)
@pytest.mark.parametrize("shift", [0.0, -0.4], ids=["convex", "indefinite"])
def test_no_direction_exceeds_the_bracket(norm, shift):
    square = HESSIAN + shift * np.eye(6)
    found = smoothness_constant(square, norm, MATRICES)
    assert 0 < found.lower <= found.upper < 1.25 * found.lower
    slopes = {"a": jnp.asarray(RNG.standard_normal((200, 2, 2))), "b": jnp.asarray(RNG.standard_normal((200, 1, 2)))}
    found_at = jax.jit(jax.vmap(norm.unit_direction))(slopes)
    flat = np.concatenate([np.reshape(found_at[name], (200, -1)) for name in ("a", "b")], axis=1)
    best = np.einsum("ki,ij,kj->k", flat, square, flat).max()
    assert 0.8 * found.lower < best <= found.upper * (1 + 1e-12)


def test_many_variables_are_bracketed():
    factor = RNG.standard_normal((40, 40))
    found = smoothness_constant(factor @ factor.T, "linf")
    assert not found.exact
    # The bound by a diagonal is within pi/2 of a positive semidefinite Hessian's.
    assert found.lower < found.upper < np.pi / 2 * found.lower


@pytest.mark.parametrize("unit", [False, True], ids=["sharp", "unit"])
def test_it_is_the_limit_of_a_step(unit):
    """A step of less than 2/L lowers f from anywhere; from where the slope is along the worst direction no longer one
    does."""
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=6)))
    worst = corners[np.argmax(np.einsum("ki,ij,kj->k", corners, HESSIAN, corners))]
    limit = 2.0 / smoothness_constant(HESSIAN, "linf").upper
    f = tw.Objective(lambda x: 0.5 * x @ jnp.asarray(HESSIAN) @ x)
    flow = tw.GradientFlow(f, geometry=Norm("linf", unit=unit))

    def change(x, part):
        slope = HESSIAN @ x
        step = part * limit * (np.abs(slope).sum() if unit else 1.0)
        after = tw.run(tw.Method(flow, tw.Euler(), step), jnp.asarray(x), 1).final.position
        return float(f.value(after) - f.value(jnp.asarray(x)))

    assert all(change(RNG.standard_normal(6), 0.999) < 0 for _ in range(20))
    x = np.linalg.solve(HESSIAN, worst)
    assert change(x, 0.999) < 0 < change(x, 1.001)


def test_it_says_so_where_the_probe_refuses():
    with pytest.raises(tw.InputError, match="smoothness_constant"):
        tw.analysis.largest_stable_learning_rate(tw.sign_descent(None, 0.1), 1.0)


REFUSED = {
    "hessian must be symmetric": lambda: smoothness_constant([[1.0, 2.0], [0.0, 1.0]], "linf"),
    "kind 'l3' is unknown": lambda: smoothness_constant(1.0, "l3"),
    "is of matrices": lambda: smoothness_constant(np.eye(2), "spectral"),
    "of the 3 parameters": lambda: smoothness_constant(np.eye(2), "linf", jnp.zeros(3)),
    "norm must be": lambda: smoothness_constant(np.eye(2), tw.geometry.Sphere()),
}


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)


def test_in_float32_as_well():
    plain = smoothness_constant(HESSIAN.astype(np.float32), "linf", jnp.zeros(6, jnp.float32))
    np.testing.assert_allclose(plain, smoothness_constant(HESSIAN, "linf"), rtol=1e-6)
