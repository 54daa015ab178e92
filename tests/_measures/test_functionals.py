"""Functionals: the same value and the same first variation on every representation, and the reasons where none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

import thalweg as tw
from thalweg.measures import (
    KL,
    MMD,
    EnergyKernel,
    Entropy,
    Gaussian,
    GaussianKernel,
    Grid,
    Interaction,
    Internal,
    LinearKernel,
    Particles,
    Potential,
    Quantiles,
)

MEAN, VARIANCE = 0.4, 1.3


def quartic(x):
    return 0.3 * x[0] ** 4 - x[0] ** 3 + 0.1 * jnp.sum(x)


def log_cosh(z):
    return jnp.sum(jnp.logaddexp(z, -z))


FUNCTIONALS = {
    "potential": Potential(quartic),
    "entropy": Entropy(),
    "power": Internal(2.5),
    "interaction": Interaction(log_cosh),
    "divergence": KL(Gaussian(-0.3, 0.7)),
    "sum": 0.5 * Potential(quartic) - 2.0 * Interaction(log_cosh) + Entropy(),
}
BELL = Gaussian(MEAN, VARIANCE)


def bell_on_grid(cells=600):
    return Grid.of(lambda x: jnp.exp(BELL.log_density(x)), np.linspace(-12.0, 13.0, cells + 1))


def bell_by_quantiles(count=4000):
    return Quantiles(MEAN + VARIANCE**0.5 * ndtri((np.arange(count) + 0.5) / count))


@pytest.mark.parametrize("name", FUNCTIONALS)
def test_a_value_is_the_same_on_a_gaussian_a_grid_and_quantiles(name):
    F = FUNCTIONALS[name]
    exact = float(F.value(BELL))
    assert float(F.value(bell_on_grid())) == pytest.approx(exact, abs=2e-6)
    # What the two outermost quantiles hold of the tails is of the order of log N / N.
    assert float(F.value(bell_by_quantiles())) == pytest.approx(exact, abs=2e-2)


@pytest.mark.parametrize("name", FUNCTIONALS)
def test_the_first_variation_is_what_a_grain_of_mass_costs(name):
    F, q = FUNCTIONALS[name], bell_on_grid(100)
    other = Grid.of(lambda x: jnp.exp(-0.5 * (x[0] - 1.0) ** 2), q.mesh.edges)
    phi = F.first_variation(q)

    def mixed(t):
        return F.value(Grid((1.0 - t) * q.density + t * other.density, q.mesh.edges))

    # To one side, where no density is negative.
    h = 1e-5
    measured = (4.0 * float(mixed(h)) - 3.0 * float(mixed(0.0)) - float(mixed(2.0 * h))) / (2.0 * h)
    assert measured == pytest.approx(float(jnp.sum(phi * (other.masses - q.masses))), rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("name", ["potential", "interaction"])
def test_particles_agree_with_the_sum_over_them(name, rng):
    points, weights = rng.normal(size=(7, 2)), rng.dirichlet(np.ones(7))
    q, F = Particles(points, weights), FUNCTIONALS[name]
    if name == "potential":
        phi = [quartic(x) for x in points]
        value = weights @ np.array(phi)
    else:
        phi = [sum(w * log_cosh(x - y) for w, y in zip(weights, points, strict=True)) for x in points]
        value = 0.5 * weights @ np.array(phi)
    assert float(F.value(q)) == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(F.first_variation(q), phi, rtol=1e-12)
    # At a point without mass as at one with.
    np.testing.assert_allclose(F.first_variation(q, at=points[:3]), phi[:3], rtol=1e-12)


def test_the_first_variation_on_a_gaussian_is_the_quadratic_function_of_its_derivatives():
    target = Gaussian(jnp.array([1.0, -1.0]), jnp.array([[2.0, 0.5], [0.5, 1.0]]))
    q = Gaussian(jnp.array([0.5, 0.0]), jnp.array([[1.0, -0.2], [-0.2, 0.5]]))
    points = jnp.array([[0.0, 0.0], [1.0, 2.0], [-3.0, 0.5]])
    exact = jax.vmap(lambda x: q.log_density(x) - target.log_density(x))(points)
    found = KL(target).first_variation(q, at=points)
    np.testing.assert_allclose(jnp.diff(found), jnp.diff(exact), rtol=1e-10)


def test_the_first_variation_on_quantiles_is_that_of_the_density_between_them():
    q = bell_by_quantiles(2000)
    phi, x = KL(Gaussian(0.0, 1.0)).first_variation(q), q.values[:, None]
    exact = jax.vmap(lambda x: BELL.log_density(x) + 0.5 * jnp.sum(x**2))(x)
    inside = slice(100, -100)
    apart = (phi - exact)[inside]
    assert float(jnp.std(apart)) < 2e-3


@pytest.mark.parametrize("kernel", [GaussianKernel(0.7), EnergyKernel(), LinearKernel(), lambda x, y: jnp.exp(x @ y)])
def test_a_discrepancy_is_the_sum_over_all_pairs(kernel, rng):
    x, y, w = rng.normal(size=(5, 2)), rng.normal(size=(4, 2)), rng.dirichlet(np.ones(5))

    def mean(a, b, u, v):
        return sum(
            p * q * float(kernel(jnp.asarray(s), jnp.asarray(t)))
            for s, p in zip(a, u, strict=True)
            for t, q in zip(b, v, strict=True)
        )

    even = np.full(4, 0.25)
    exact = mean(x, x, w, w) - 2.0 * mean(x, y, w, even) + mean(y, y, even, even)
    F = MMD(y, kernel)
    assert float(F.value(Particles(x, w))) == pytest.approx(exact, rel=1e-10, abs=1e-12)
    # The gradient by positions is that of the value, also where two points meet.
    slope = F.gradient(Particles(np.vstack([x[:4], x[:1]]), w))
    assert np.all(np.isfinite(np.asarray(slope.positions)))


def test_a_convolution_on_a_grid_is_the_sum_over_all_cells(rng):
    density = rng.uniform(size=(6, 5))
    even = Grid.of(density, (np.linspace(0.0, 3.0, 7), np.linspace(-1.0, 1.0, 6)))
    uneven = Grid.of(density, (np.array([0.0, 0.4, 1.0, 1.3, 2.0, 2.5, 3.0]), np.linspace(-1.0, 1.0, 6)))
    F = Interaction(lambda z: jnp.sqrt(1.0 + jnp.sum(z**2)))
    for q in (even, uneven):
        points, masses = np.asarray(q.points).reshape(-1, 2), np.asarray(q.masses).ravel()
        apart = points[:, None] - points[None]
        exact = np.sqrt(1.0 + (apart**2).sum(-1)) @ masses
        np.testing.assert_allclose(F.first_variation(q).ravel(), exact, rtol=1e-12)


def test_around_a_circle_the_shorter_way_counts():
    q = Grid.of(np.array([1.0, 0.0, 0.0, 0.0, 2.0, 0.0]), np.linspace(0.0, 6.0, 7), periodic=True)
    F = Interaction(lambda z: jnp.abs(z[0]))
    np.testing.assert_allclose(F.first_variation(q), np.array([4.0, 7.0, 6.0, 5.0, 2.0, 3.0]) / 3.0, atol=1e-12)


def test_a_cell_has_with_itself_the_mean_of_an_infinite_energy_over_it():
    q = Grid(np.array([1.0, 0.0, 0.0]), np.linspace(0.0, 3.0, 4))
    own = float(Interaction(lambda z: jnp.log(jnp.abs(z[0]))).first_variation(q)[0])
    # The mean of log|z| over (-1/2, 1/2), by the midpoint rule.
    assert own == pytest.approx(-1.0 - np.log(2.0), abs=0.025)


@pytest.mark.parametrize(
    ("functional", "q", "word"),
    [
        (Entropy(), Particles([0.0, 1.0]), "no density"),
        (KL(Gaussian(0.0, 1.0)), Particles([0.0, 1.0]), "no density"),
        (Internal(2.0), Particles([0.0, 1.0]), "no density"),
        (MMD([0.0], EnergyKernel()), Gaussian(0.0, 1.0), "no closed form"),
        (MMD([[0.0, 1.0]], EnergyKernel()), Particles([0.0, 1.0]), "2 coordinates"),
        (Potential(jnp.ones(5)), Particles([0.0, 1.0]), "known there alone"),
        (Potential(jnp.ones(5)), Grid(np.full(4, 0.25), np.arange(5.0)), "shape (4,)"),
    ],
)
def test_where_there_is_no_value_the_reason_is_said(functional, q, word):
    assert word in functional.without_value(q)
    with pytest.raises(tw.InputError, match=word.replace("(", r"\(").replace(")", r"\)")):
        functional.value(q)
    with pytest.raises(tw.InputError):
        functional.first_variation(q)


def test_an_entropy_of_particles_that_carry_their_density_is_its_mean(rng):
    points = rng.normal(size=20000)
    logs = -0.5 * points**2 - 0.5 * np.log(2.0 * np.pi)
    found = float(Entropy().value(Particles(points, log_density=logs)))
    assert found == pytest.approx(float(Entropy().value(Gaussian(0.0, 1.0))), abs=4.0 * logs.std() / 20000**0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid([0.5, -0.5, 1.0], [0.0, 1.0, 2.0, 3.0]), "must not be negative"),
        (lambda: Grid([0.5, 0.5, 0.5], [0.0, 1.0, 2.0, 3.0]), "must sum to one, but to 1.5"),
        (lambda: Grid([0.5, 0.5], [0.0, 1.0, 2.0, 3.0]), "a number for every cell"),
        (lambda: Grid([0.5, 0.5], [0.0, 2.0, 1.0]), "increase"),
        (lambda: Grid.of(lambda x: jnp.log(x[0]), np.linspace(-1.0, 1.0, 5)), "finite"),
        (lambda: Grid.of(np.zeros(4), np.linspace(-1.0, 1.0, 5)), "positive in the middle of a cell"),
        (lambda: Particles([0.0, 1.0], [0.5, 0.6]), "must sum to one, but to 1.1"),
        (lambda: Particles([0.0, 1.0], [1.0]), "for each of 2 particles"),
        (lambda: Particles([0.0, np.nan]), "finite"),
        (lambda: Quantiles([0.0, 2.0, 1.0]), "increase"),
        (lambda: Gaussian(0.0, -1.0), "positive definite"),
        (lambda: Gaussian([0.0, 1.0], [[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (lambda: Gaussian([0.0, 1.0], np.eye(3)), "shapes"),
        (lambda: Internal(1.0), "tw.measures.Entropy"),
        (lambda: Entropy(bandwidth=0.0), "greater than 0"),
        (lambda: GaussianKernel(-1.0), "greater than 0"),
        (lambda: KL(Particles([0.0, 1.0])), "must have a density"),
        (lambda: KL(Grid([0.0, 1.0], [0.0, 1.0, 2.0])), "positive in every cell"),
        (lambda: MMD(Gaussian(0.0, 1.0), EnergyKernel()), "must have points"),
        (lambda: Potential("hill"), "function of a point"),
        (lambda: MMD([0.0], 3.0), "function of"),
        (lambda: Potential(lambda x: x).value(Particles([0.0, 1.0])), "a number at a point"),
        (lambda: Potential(quartic).value(jnp.ones(3)), "of a distribution"),
        (lambda: Entropy() * np.inf, "finite"),
    ],
)
def test_wrong_input_is_one_line(make, message):
    with pytest.raises(tw.InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_potential_that_is_not_finite_on_the_grid_is_refused_before_anything_runs():
    flow = tw.GradientFlow(
        Potential(lambda x: jnp.where(x[0] > 0.7, jnp.inf, x[0] ** 2)) + Entropy(), geometry=tw.geometry.Wasserstein()
    )
    q = Grid.of(np.ones(5), np.linspace(-1.0, 1.0, 6))
    with pytest.raises(tw.InputError, match=r"not finite in 1 cells of the grid, such as at \[0.8\]"):
        tw.run(tw.Method(flow, tw.RK4(), 1e-3), q, 1)
