"""Distances, and the functionals of transport, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

import thalweg as tw
from thalweg.measures import Gaussian, Grid, Particles, Quantiles, Sinkhorn, SlicedWasserstein, wasserstein

SHIFT = jnp.array([0.75, -1.0])


@pytest.fixture
def cloud(rng):
    weights = rng.random(12)
    return Particles(jnp.asarray(rng.standard_normal((12, 2))), jnp.asarray(weights / weights.sum()))


def moved(q, by):
    return Particles(q.positions + by[None], q.weights)


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_the_distance_to_a_gaussian_is_the_integral_of_quantiles(kind, rng):
    # By the midpoint rule over two million levels, which tells to 1e-5 of the square.
    levels = (np.arange(2_000_000) + 0.5) / 2e6
    if kind == "grid":
        edges = jnp.array([-2.0, -0.5, 0.4, 3.0])
        q, quantile = Grid.of(jnp.array([1.0, 2.0, 0.5]), edges), None
        ends = np.concatenate([[0.0], np.cumsum(np.asarray(q.masses))])
        quantile = np.interp(levels, ends, np.asarray(edges))
    else:
        x = np.sort(rng.standard_normal(7))
        q, quantile = Particles(jnp.asarray(x)), x[np.minimum((levels * 7).astype(int), 6)]
    expected = np.mean((quantile - 0.1 - 1.3 * ndtri(levels)) ** 2)
    np.testing.assert_allclose(wasserstein(q, Gaussian(0.1, 1.69)) ** 2, expected, rtol=2e-5)


def test_a_fine_grid_is_near_its_gaussian():
    # Of which the spread within a cell is all that is apart, of less than its width; also where levels round to one.
    q = Grid.of(lambda x: jnp.exp(-((x[0] - 1.0) ** 2) / 8.0), jnp.linspace(-15.0, 17.0, 401))
    assert 5e-5 < wasserstein(q, Gaussian(1.0, 4.0)) < 5e-4


@pytest.mark.parametrize("size", [1, 3])
def test_the_distance_between_gaussians_is_bures(size, rng):
    # Of covariances that commute, the distance of their roots.
    turn, _ = np.linalg.qr(rng.standard_normal((size, size)))
    a, b = rng.random(size) + 0.1, rng.random(size) + 0.1
    q, p = (Gaussian(jnp.full(size, m), jnp.asarray((turn * s**2) @ turn.T)) for m, s in ((0.0, a), (2.0, b)))
    np.testing.assert_allclose(wasserstein(q, p), np.sqrt(4.0 * size + np.sum((a - b) ** 2)), rtol=1e-12)
    geometry = tw.geometry.Wasserstein()
    # The tangent of the way has the length of the distance: of a change of covariance AS + SA, tr(ASA).
    way = geometry.log(q, p)
    strain = turn.T @ np.asarray(way.covariance) @ turn / (a[:, None] ** 2 + a[None, :] ** 2)
    length = way.mean @ way.mean + np.trace(strain @ np.diag(a**2) @ strain)
    np.testing.assert_allclose(length, geometry.squared_distance(q, p), rtol=1e-10)


@pytest.mark.parametrize(("way", "part"), [("exact", 1.0), ("sliced", 0.5), ("entropic", 1.0)])
def test_a_shift_is_as_far_as_it_goes(way, part, cloud):
    q = Particles(cloud.positions)
    np.testing.assert_allclose(wasserstein(q, moved(q, SHIFT), way), 1.25 * part**0.5, rtol=1e-8)


def test_the_error_covers_what_was_drawn():
    q = Gaussian(1.0, 4.0)
    drawn = Particles.of(q, 2000, 0)
    found = wasserstein(drawn, q, errors=True)
    assert 0.2 * found.error < found.value < 3.0 * found.error


@pytest.mark.parametrize(
    "functional",
    [lambda p: Sinkhorn(p, 0.5), lambda p: Sinkhorn(p, 0.02), SlicedWasserstein],
    ids=["sinkhorn", "small epsilon", "sliced"],
)
def test_the_derivative_is_that_of_differences(functional, cloud, rng):
    q = Particles(jnp.asarray(rng.standard_normal((9, 2))))
    f = functional(cloud)
    gradient = jax.jit(lambda q: f.gradient(q))(q)
    along, weights = rng.standard_normal((9, 2)), rng.standard_normal(9)
    weights = 0.01 * (weights - weights.mean())
    value, e = jax.jit(lambda q: f._known(q)), 1e-5
    ends = [value(Particles(q.positions + s * along, q.weights + s * weights)) for s in (e, -e)]
    expected = jnp.sum(gradient.positions * along) + gradient.weights @ weights
    np.testing.assert_allclose((ends[0] - ends[1]) / (2.0 * e), expected, atol=1e-6)


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_a_shift_under_half_the_sinkhorn_divergence(epsilon, cloud):
    # The issue's own tolerance: the gradient to 1e-6. A rigid motion whose rest decays as exp(-t).
    f, q = 0.5 * Sinkhorn(cloud, epsilon), moved(cloud, SHIFT)
    slope = f.gradient(q).positions / q.weights[:, None]
    np.testing.assert_allclose(slope, jnp.broadcast_to(SHIFT, slope.shape), atol=1e-6)
    method = tw.Method(tw.GradientFlow(f, geometry=tw.geometry.Wasserstein()), tw.RK4(), 0.1)
    end = tw.run(method, q, 5, record=None).final.position
    expected = cloud.positions + jnp.exp(-0.5) * SHIFT[None]
    np.testing.assert_allclose(end.positions, expected, atol=3e-6)


@pytest.mark.parametrize("make", [lambda q: Quantiles.of(q, 200), lambda q: Particles.of(q, 40_000, 0)])
@pytest.mark.parametrize("of", ["gaussian", "grid", "quantiles"])
def test_conversions_keep_the_moments(make, of):
    q = Gaussian(1.0, 4.0)
    if of == "grid":
        q = Grid.of(lambda x: jnp.exp(-((x[0] - 1.0) ** 2) / 8.0), jnp.linspace(-15.0, 17.0, 401))
    q = Quantiles.of(q, 500) if of == "quantiles" else q
    found = Gaussian.of(make(q))
    np.testing.assert_allclose(found.mean, [1.0], atol=0.05)
    np.testing.assert_allclose(found.covariance, [[4.0]], atol=0.13)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda q: wasserstein(q, Gaussian(0.0, 1.0)), "of one dimension"),
        (lambda q: wasserstein(q, Gaussian(jnp.zeros(2), 1.0)), "not known"),
        (lambda q: wasserstein(q, q), "equally weighted"),
        (lambda q: wasserstein(q, Gaussian(jnp.zeros(2), 1.0), "entropic"), "between points"),
        (lambda q: Quantiles.of(q, 5), "on the line"),
        (lambda q: Quantiles.of(Particles(jnp.zeros(4)), 5), "different quantiles"),
        (lambda q: Sinkhorn(q, 0.0), "epsilon"),
        (lambda q: SlicedWasserstein(Gaussian(0.0, 1.0)), "points"),
        (lambda q: tw.geometry.Wasserstein().log(q, q), "known of Gaussians"),
    ],
)
def test_what_does_not_go_says_why(call, words, cloud):
    with pytest.raises(tw.InputError, match=words):
        call(cloud)
