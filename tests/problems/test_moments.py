"""What holds for every target: its moments fit the potential, and its draws fit both."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import thalweg as tw
from tests.chance import scores

p = tw.problems
TARGETS = [name for name in p.names() if p.get(name).moments is not None]


def rows(tree):
    """Draws stacked along the first axis, each raveled."""
    return np.asarray(jax.vmap(lambda leaf: ravel_pytree(leaf)[0])(tree))


def test_the_targets():
    assert set(TARGETS) == {
        *("double-well", "gaussian", "gaussian-1e4", "banana", "funnel", "gaussian-mixture", "eight-schools"),
        "eight-schools-centred",
        "logistic-posterior",
    }


@pytest.mark.parametrize("name", TARGETS)
def test_the_trees_have_the_shape_of_the_start(name):
    problem = p.get(name)
    moments = problem.moments
    shape = jax.tree.map(jnp.shape, problem.start)
    assert jax.tree.map(np.shape, moments.mean) == shape == jax.tree.map(np.shape, moments.variance)
    flat = rows(jax.tree.map(lambda leaf: leaf[None], moments.variance))[0]
    np.testing.assert_array_equal(flat, np.diag(moments.covariance))
    np.testing.assert_allclose(moments.covariance, moments.covariance.T, rtol=1e-12, atol=1e-14 * flat.max())
    assert np.linalg.eigvalsh(moments.covariance).min() > 0
    assert moments.how and "\n" not in moments.how and moments.temperature == 1.0
    assert np.isfinite(problem.log_normaliser)


@pytest.mark.parametrize("name", TARGETS)
def test_a_reference_run_has_standard_errors_and_nothing_else_has(name):
    moments = p.get(name).moments
    errors = (moments.mean_error, moments.variance_error)
    if moments.source == "reference run":
        for error in errors:
            assert jax.tree.map(np.shape, error) == jax.tree.map(np.shape, moments.mean)
            assert all(np.all(leaf > 0) for leaf in jax.tree.leaves(error))
    else:
        assert errors == (None, None)


@pytest.mark.parametrize("name", TARGETS)
def test_moments_are_float64_whatever_jax_is_set_to(name):
    wide = p.get(name)
    with jax.enable_x64(False):
        narrow = p.get(name)
    assert narrow.log_normaliser == wide.log_normaliser
    for field in ("mean", "variance", "covariance"):
        here, there = (jax.tree.leaves(getattr(problem.moments, field)) for problem in (narrow, wide))
        for a, b in zip(here, there, strict=True):
            assert a.dtype == np.float64
            np.testing.assert_array_equal(a, b)


def test_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.banana().moments.temperature = 2.0


# Two dimensions and the box that holds all but 1e-12 of the law, of which nothing is symmetric but the double well.
PLANE = {
    "gaussian": (p.gaussian([0.7, 3.0], seed=1, mean=[0.5, -1.0]), (-11, 11), (-12, 11)),
    "banana": (p.banana(0.2, 1.5), (-12, 12), (-9, 37)),
    "funnel": (p.funnel(2, 0.5), (-4.5, 4.5), (-36, 36)),
    "mixture": (p.get("gaussian-mixture"), (-12, 11), (-11, 11)),
    "double well": (p.double_well(2, 0.3), (-3.5, 3.5), (-5, 5)),
}


@pytest.mark.parametrize("name", PLANE)
def test_moments_against_a_tensor_quadrature_of_the_potential(name):
    """The trapezium rule on smooth functions that vanish at the ends converges faster than any power."""
    problem, *box = PLANE[name]
    x, y = (np.linspace(*ends, 1201) for ends in box)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    value = np.asarray(eqx.filter_jit(lambda f, x: jax.vmap(f.value)(x))(problem.objective, jnp.asarray(points)))
    weight = np.exp(-value / problem.moments.temperature)
    total, mean = weight.sum(), weight @ points / weight.sum()
    centred = points - mean
    covariance = (centred * weight[:, None]).T @ centred / total
    cell = (x[1] - x[0]) * (y[1] - y[0])
    np.testing.assert_allclose(problem.log_normaliser, np.log(total * cell), atol=1e-10)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(problem.moments.mean / scale, mean / scale, atol=1e-9)
    np.testing.assert_allclose(
        problem.moments.covariance / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=1e-9
    )


# Of the funnel's default the fourth moments are 2e8, and no number of draws here shows its variance.
DRAWN = {
    "gaussian": p.gaussian(mean=np.arange(10)),
    "gaussian-1e4": p.get("gaussian-1e4"),
    "banana": p.banana(-0.3, 1.2, 4),
    "funnel": p.funnel(4, 0.7),
    "mixture": p.get("gaussian-mixture"),
    "mixture of five in space": p.gaussian_mixture(np.eye(5, 3) * [3.0, 4.0, 5.0], covariances=0.5 * np.eye(3)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "gaussian-1e4" else []) for name in DRAWN]
)
def test_exact_draws_have_the_moments_and_the_law(name, key, chance):
    """The law is Stein's identity, E[(x_i - m_i) dL/dx_j] = 1 if i = j else 0, and E[dL/dx] = 0."""
    problem = DRAWN[name]
    moments = problem.moments
    draws = problem.sampler(key, 100_000)
    gradient = rows(eqx.filter_jit(lambda f, x: jax.vmap(f.gradient)(x))(problem.objective, draws))
    x = rows(draws) - moments.mean
    assert np.all(np.isfinite(gradient))
    i, j = np.triu_indices(x.shape[1])
    for samples, expected in (
        (x, 0.0),
        (x[:, i] * x[:, j], moments.covariance[i, j]),
        (gradient, 0.0),
        (x[:, :, None] * gradient[:, None, :], np.eye(x.shape[1])),
    ):
        z = scores(samples, expected)
        assert np.abs(z).max() < chance.z(z.size, checks=4)


def test_draws_of_the_named_ones_are_of_their_shape_and_of_their_key(key):
    drawn = {name for name in TARGETS if p.get(name).sampler is not None}
    assert drawn == {"gaussian", "gaussian-1e4", "banana", "funnel", "gaussian-mixture"}
    for name in sorted(drawn):
        problem = p.get(name)
        draws = problem.sampler(key, 3)
        assert jax.tree.map(jnp.shape, draws) == jax.tree.map(lambda leaf: (3, *leaf.shape), problem.start)
        assert jnp.all(draws == problem.sampler(key, 3)) and jnp.any(draws != problem.sampler(jax.random.key(0), 3))


def test_a_gaussian_like_no_axis():
    """Rotated, every pair of coordinates is correlated; the spectrum is what was asked for."""
    covariance = p.get("gaussian-1e4").moments.covariance
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), np.geomspace(1, 1e4, 10), rtol=1e-10)
    assert np.abs(covariance).min() > 1.0
    flat = p.gaussian([1.0, 4.0], rotated=False, mean=[1, 2])
    np.testing.assert_array_equal(flat.moments.covariance, np.diag([1.0, 0.25]))
    assert (flat.objective.smoothness, flat.objective.strong_convexity) == (4.0, 1.0)


def test_a_single_covariance_is_everybodys():
    c = np.array([[2.0, 0.5], [0.5, 1.0]])
    means = [[0, 1], [4, 2]]
    one, two = p.gaussian_mixture(means, covariances=c), p.gaussian_mixture(means, [2, 2], np.stack([c, c]))
    x = jnp.array([0.3, -0.8])
    assert one.objective.value(x) == two.objective.value(x)
    np.testing.assert_array_equal(one.moments.covariance, two.moments.covariance)


def test_the_published_banana():
    """b = -0.03 and s = 10: Haario, Saksman and Tamminen's x2 + 0.03 x1^2 - 3 is standard normal."""
    f = p.banana(-0.03, 10).objective
    x = jnp.array([7.0, -2.0])
    np.testing.assert_allclose(f.value(x), 0.5 * 0.7**2 + 0.5 * (-2 + 0.03 * 49 - 3) ** 2, rtol=1e-14)
