"""Mass that attracts and repels itself, against steady states and moments that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._measures.kernels import squares
from thalweg.measures import Entropy, Gaussian, Grid, Interaction, Particles, Quantiles

# Attraction by a parabola and repulsion by a logarithm.
LINE = Interaction(lambda z: 0.5 * z[0] ** 2 - jnp.log(jnp.abs(z[0])))
PLANE = Interaction(lambda z: 0.5 * jnp.sum(z**2) - 0.5 * jnp.log(jnp.sum(z**2)))


def after(functional, q, scheme, time, steps):
    method = tw.Method(tw.GradientFlow(functional, geometry=tw.geometry.Wasserstein()), scheme, time / steps)
    run = tw.run(method, q, steps, progress=False)
    assert run.message == f"made {steps} steps"
    return run.final.position


def test_a_line_comes_to_the_semicircle():
    errors = []
    for cells in (50, 100):
        q = Grid.of(lambda x: jnp.exp(-((x[0] - 0.2) ** 2) / 0.6), jnp.linspace(-2.5, 2.5, cells + 1))
        end = after(LINE, q, tw.FiniteVolumes(), 6.0, 200)
        # The centre of mass stays, of what starts on the cells.
        away = q.points[:, 0] - q.mean[0]
        exact = jnp.sqrt(jnp.maximum(2.0 - away**2, 0.0)) / jnp.pi
        errors.append(float(jnp.sum(jnp.abs(end.density - exact) * end.volumes)))
    assert errors[0] <= 6e-3
    assert errors[1] <= errors[0] / 1.9


@pytest.mark.parametrize("scheme", [tw.MinimizingMovement(), tw.Heun()], ids=["JKO", "Heun"])
def test_points_come_to_the_semicircle(scheme):
    quantiles, points = Quantiles.of(Gaussian(0.2, 0.3), 80), Particles(np.random.default_rng(0).normal(size=80))
    for q in (quantiles, points) if scheme.order == 2 else (quantiles,):
        end = after(LINE, q, scheme, 6.0, 3000 if scheme.order == 2 else 60)
        values = np.sort(np.asarray(end.values if isinstance(end, Quantiles) else end.positions[:, 0]))
        # Equilibrium of N charges in a parabola: the zeros of Hermite's polynomial, whatever N.
        zeros = np.polynomial.hermite.hermgauss(80)[0] / np.sqrt(80)
        np.testing.assert_allclose(values - values.mean(), zeros, atol=1e-4)


@pytest.mark.slow
def test_a_plane_comes_to_the_disc():
    errors = []
    for cells in (24, 48):
        q = Grid.of(lambda x: jnp.exp(-jnp.sum((x - 0.1) ** 2) / 0.4), (jnp.linspace(-1.8, 1.8, cells + 1),) * 2)
        end = after(PLANE, q, tw.FiniteVolumes("second-order"), 5.0, 60)
        apart = jnp.sqrt(jnp.sum((end.points - end.mean[None, None]) ** 2, axis=-1))
        inside, outside = apart < 0.8, apart > 1.2
        assert float(jnp.sum(jnp.where(outside, end.masses, 0.0))) <= 2e-3
        errors.append(float(jnp.mean(jnp.abs(end.density * jnp.pi - 1.0), where=inside)))
        np.testing.assert_allclose(end.covariance, 0.25 * np.eye(2), atol=1e-3)
    assert errors[1] <= 0.02
    assert errors[1] <= errors[0] / 1.5


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_a_parabola_draws_together_until_the_noise_holds_it(temperature):
    functional = Interaction(lambda z: 0.5 * jnp.sum(z**2))
    if temperature:
        functional += temperature * Entropy()
    q = Gaussian(np.array([0.5, -1.0]), np.array([[1.0, 0.3], [0.3, 0.5]]))
    decay = np.exp(-2.0)
    exact = temperature * np.eye(2) + decay * (np.asarray(q.covariance) - temperature * np.eye(2))
    end = after(functional, q, tw.Tsit5(), 1.0, 20)
    np.testing.assert_allclose(end.covariance, exact, atol=1e-8)
    np.testing.assert_allclose(end.mean, q.mean, atol=1e-12)
    if temperature == 0.0:
        points = Particles.of(q, 50, jax.random.key(0))
        end = after(functional, points, tw.RK4(), 1.0, 20)
        np.testing.assert_allclose(end.covariance, decay * points.covariance, rtol=1e-6)


def keller_segel(part, cells=64, time=0.2, temperature=0.7):
    """The rate of the second moment of mass 1 at so much of the critical attraction, and the mass at the walls."""
    strength = 8.0 * np.pi * temperature * part
    functional = temperature * Entropy() + strength * Interaction(lambda z: jnp.log(jnp.sum(z**2)) / (4.0 * jnp.pi))
    q = Grid.of(lambda x: jnp.exp(-2.0 * jnp.sum(x**2)), (jnp.linspace(-5.0, 5.0, cells + 1),) * 2)
    end = after(functional, q, tw.FiniteVolumes(order=2), time, 8)
    inside = jnp.sum(end.masses[1:-1, 1:-1])
    assert abs(float(end.mass) - 1.0) <= 1e-13
    assert 1.0 - float(inside) <= 1e-8
    return float(jnp.trace(end.covariance) - jnp.trace(q.covariance)) / time / (4.0 * temperature)


def test_keller_segels_second_moment_grows_at_its_rate_up_to_the_critical_mass():
    # 4 M (T - chi M/8 pi), here in units of 4T with M = 1.
    for part in (0.0, 0.5):
        assert keller_segel(part) == pytest.approx(1.0 - part, rel=5e-3)
    below, above = keller_segel(0.95), keller_segel(1.05)
    assert below > 0.0 > above
    critical = 0.95 + 0.1 * below / (below - above)
    assert critical == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("count", [16, 20, 64])
def test_a_compiled_energy_leaves_out_what_a_point_has_with_itself(count):
    q = Quantiles.of(Gaussian(0.2, 0.3), count)
    x = np.asarray(q.values)
    apart = x[:, None] - x[None]
    with np.errstate(divide="ignore"):
        pairs = 0.5 * apart**2 - np.log(np.abs(apart))
    np.fill_diagonal(pairs, 0.0)

    # Scaled there and back, so that a compiler has roundings to tell apart.
    def energy(x, move, along):
        there = (x / np.sqrt(count) + along * move) * np.sqrt(count)
        return LINE._known(Particles(there[:, None], jnp.full(count, 1.0 / count)))

    found = jax.jit(energy)(q.values, jnp.ones(count), jnp.zeros(()))
    assert float(found) == pytest.approx(0.5 * pairs.mean(), rel=1e-12)


def test_particles_in_one_place_have_the_energy_that_is_there():
    together = Particles(np.array([0.0, 0.0, 1.0]))
    assert float(LINE.value(together)) == np.inf
    # Of a kink the value is a number, and the slope between two in one place none.
    found = Interaction(lambda z: jnp.sqrt(jnp.sum(z**2))).value_and_gradient(together)
    assert float(found[0]) == pytest.approx(2.0 / 9.0)
    np.testing.assert_allclose(found[1].positions[:, 0], np.array([-1.0, -1.0, 2.0]) / 9.0)


def test_squared_distances_far_from_the_origin_keep_their_digits(rng):
    x = rng.normal(size=(7, 5))
    exact = ((x[:, None] - x[None]) ** 2).sum(-1)
    np.testing.assert_allclose(squares(jnp.asarray(x + 1e6), jnp.asarray(x + 1e6)), exact, atol=1e-8)
