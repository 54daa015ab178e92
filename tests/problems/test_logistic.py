import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.datasets import load_breast_cancer, load_digits

import thalweg as tw


@pytest.fixture(scope="module", params=["breast-cancer", "digits"])
def solved(request):
    return tw.problems.get(request.param).solved()


def largest_curvature(f, x):
    """The largest eigenvalue of the Hessian, by Lanczos."""
    flat, unravel = ravel_pytree(x)
    product = jax.jit(lambda v: ravel_pytree(f.hessian_vector_product(x, unravel(v)))[0])
    shape = (flat.size, flat.size)
    operator = LinearOperator(shape, lambda v: np.asarray(product(jnp.asarray(v.ravel()))), dtype=float)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(0).normal(size=flat.size)
    return eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0]


def raw(load):
    """Features standardised sample by sample, as a textbook would."""
    features, labels = load(return_X_y=True)
    spread = features.std(axis=0)
    spread[spread == 0] = 1.0
    return (features - features.mean(axis=0)) / spread, labels


def test_breast_cancer_is_the_textbook_loss(rng):
    f = tw.problems.logistic_breast_cancer(0.02).objective
    features, labels = raw(load_breast_cancer)
    w, b = 0.1 * rng.normal(size=30), 0.7
    chance = 1 / (1 + np.exp(-(features @ w + b)))
    loss = -np.mean(labels * np.log(chance) + (1 - labels) * np.log(1 - chance)) + 0.01 * (w @ w + b * b)
    x = {"weights": jnp.asarray(w), "bias": jnp.asarray(b)}
    np.testing.assert_allclose(f.value(x), loss, rtol=1e-12)
    gradient = f.gradient(x)
    np.testing.assert_allclose(gradient["weights"], features.T @ (chance - labels) / 569 + 0.02 * w, atol=1e-13)
    np.testing.assert_allclose(gradient["bias"], np.mean(chance - labels) + 0.02 * b, atol=1e-13)


def test_digits_is_the_textbook_loss(rng):
    f = tw.problems.logistic_digits(0.02).objective
    features, labels = raw(load_digits)
    w, b = 0.1 * rng.normal(size=(64, 10)), rng.normal(size=10)
    chance = np.exp(features @ w + b)
    chance /= chance.sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(chance[np.arange(1797), labels])) + 0.01 * ((w**2).sum() + b @ b)
    x = {"weights": jnp.asarray(w), "bias": jnp.asarray(b)}
    np.testing.assert_allclose(f.value(x), loss, rtol=1e-12)
    gradient, error = f.gradient(x), (chance - np.eye(10)[labels]) / 1797
    np.testing.assert_allclose(gradient["weights"], features.T @ error + 0.02 * w, atol=1e-13)
    np.testing.assert_allclose(gradient["bias"], error.sum(axis=0) + 0.02 * b, atol=1e-13)


@pytest.mark.parametrize("regularisation", [1e-3, 2])
def test_breast_cancer_smoothness_is_the_curvature_at_zero(regularisation):
    problem = tw.problems.logistic_breast_cancer(regularisation)
    f = problem.objective
    np.testing.assert_allclose(largest_curvature(f, problem.start), f.smoothness, rtol=1e-12)


def test_breast_cancer_strong_convexity_is_the_curvature_far_away():
    """Where every sample is decided only the regularisation bends."""
    problem = tw.problems.logistic_breast_cancer(1e-3)
    f, far = problem.objective, problem.start | {"bias": jnp.array(800.0)}
    _, unravel = ravel_pytree(far)
    columns = jax.vmap(lambda v: ravel_pytree(f.hessian_vector_product(far, unravel(v)))[0])(jnp.eye(31))
    np.testing.assert_array_equal(columns, 1e-3 * np.eye(31))
    assert f.strong_convexity == 1e-3


@pytest.mark.parametrize("regularisation", [1e-3, 2])
def test_digits_smoothness_is_the_supremum_and_five_times_the_curvature_at_the_start(regularisation):
    """Two equal, large biases reach it to 1e-12."""
    problem = tw.problems.logistic_digits(regularisation)
    f = problem.objective
    even = problem.start | {"bias": problem.start["bias"].at[:2].set(60.0)}
    np.testing.assert_allclose(largest_curvature(f, even), f.smoothness, rtol=1e-12)
    data = f.smoothness - regularisation
    np.testing.assert_allclose(largest_curvature(f, problem.start), data / 5 + regularisation, rtol=1e-12)


def test_digits_strong_convexity_is_the_curvature_along_equal_shifts(rng):
    problem = tw.problems.logistic_digits(1e-3)
    x = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape), problem.start)
    shift = jax.tree.map(lambda leaf: jnp.broadcast_to(rng.normal(size=(*leaf.shape[:-1], 1)), leaf.shape), x)
    product = problem.objective.hessian_vector_product(x, shift)
    for bent, along in zip(jax.tree.leaves(product), jax.tree.leaves(shift), strict=True):
        np.testing.assert_allclose(bent, problem.objective.strong_convexity * along, atol=1e-13)


def test_solved_is_the_minimum(solved, rng):
    """To 1e-9 in the gradient; from there no point is lower, and strong convexity says by how much it is higher."""
    f = solved.objective
    assert jnp.linalg.norm(ravel_pytree(f.gradient(f.minimiser))[0]) < 1e-9
    np.testing.assert_allclose(f.value(f.minimiser), f.minimum, rtol=1e-15)
    for size in (1e-4, 1e-2, 1.0):
        move = jax.tree.map(lambda leaf, size=size: size * rng.normal(size=leaf.shape), f.minimiser)
        far = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(move))
        height = f.value(jax.tree.map(jnp.add, f.minimiser, move)) - f.minimum
        assert 0.5 * f.strong_convexity * far - 1e-15 <= height <= 0.5 * f.smoothness * far + 1e-15
    assert largest_curvature(f, f.minimiser) < 0.2 * f.smoothness


def test_solved_separates_the_classes(solved):
    """The minimum is one of a useful classifier, not of scrambled labels."""
    x, data = solved.objective.minimiser, solved.objective.args
    if solved.name == "digits":
        guess = jnp.argmax(x["weights"].T @ data["features"] + x["bias"][:, None], axis=0)
        right = guess == load_digits(return_X_y=True)[1]
    else:
        right = ((x["weights"] @ data["features"] + x["bias"]) > 0) == (load_breast_cancer(return_X_y=True)[1] == 1)
    assert jnp.mean(right) > 0.98


def test_solving_without_x64_is_still_in_float64():
    reference = tw.problems.logistic_breast_cancer().solved()
    with jax.enable_x64(False):
        solved = tw.problems.logistic_breast_cancer().solved()
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(solved.objective.minimiser))
        assert jnp.asarray(1.0).dtype == jnp.float32, "the caller's precision is back"
    np.testing.assert_allclose(solved.objective.minimum, reference.objective.minimum, rtol=1e-6)
    np.testing.assert_allclose(
        solved.objective.minimiser["weights"], reference.objective.minimiser["weights"], rtol=1e-3
    )
