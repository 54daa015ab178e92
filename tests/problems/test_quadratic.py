import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

hessian = eqx.filter_jit(lambda f, x: jax.hessian(f.value)(x))


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("spectrum", [[3.0], [0.0, 2.0], [5.0, 0.1, 1.0, 1.0], np.array([1, 7])])
def test_the_hessian_has_the_spectrum(spectrum, rotated):
    problem = tw.problems.quadratic(spectrum, rotated=rotated, seed=3)
    f = problem.objective
    found = np.linalg.eigvalsh(hessian(f, problem.start))
    np.testing.assert_allclose(found, np.sort(spectrum), atol=1e-14 * max(spectrum))
    assert (f.strong_convexity, f.smoothness) == (min(spectrum), max(spectrum))


@pytest.mark.parametrize(
    ("name", "dimension", "kappa"),
    [("quadratic", 10, 1e2), ("quadratic-2d", 2, 20.0), ("quadratic-1e4", 10, 1e4), ("quadratic-1e6", 10, 1e6)],
)
def test_named_ones(name, dimension, kappa):
    problem = tw.problems.get(name)
    found = np.linalg.eigvalsh(hessian(problem.objective, problem.start))
    np.testing.assert_allclose(np.log(found), np.linspace(-np.log(kappa), 0, dimension), atol=1e-15 * kappa + 1e-13)
    np.testing.assert_allclose(problem.objective.smoothness / problem.objective.strong_convexity, kappa, rtol=1e-14)


def test_rotated_means_not_diagonal_and_the_seed_counts():
    default = hessian(tw.problems.quadratic().objective, jnp.ones(10))
    assert jnp.min(jnp.abs(default)) > 1e-4
    other = hessian(tw.problems.quadratic(seed=1).objective, jnp.ones(10))
    assert jnp.max(jnp.abs(default - other)) > 0.1
    flat = hessian(tw.problems.quadratic(rotated=False).objective, jnp.ones(10))
    assert jnp.all(flat == jnp.diag(jnp.diag(flat)))


@pytest.mark.parametrize("rotated", [True, False])
def test_the_start_has_the_same_share_of_every_eigenvector(rotated):
    problem = tw.problems.quadratic(rotated=rotated)
    _, vectors = np.linalg.eigh(hessian(problem.objective, problem.start))
    np.testing.assert_allclose(np.abs(vectors.T @ problem.start), 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        problem.objective.value(problem.start), 0.5 * np.geomspace(0.01, 1, 10).sum(), rtol=1e-14
    )
