"""Flows of distributions that a field carries besides, against the moments of Ornstein and Uhlenbeck."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.measures import KL, Entropy, Gaussian, Grid, Particles, Potential, Quantiles

TEMPERATURE, TIME = 0.3, 0.8
# Drifts of a linear equation dx = -A x dt + noise, in one to three dimensions: full, symmetric or not.
MATRICES = {
    "1": np.array([[1.3]]),
    "2 symmetric": np.array([[1.2, 0.5], [0.5, 0.8]]),
    "2": np.array([[1.2, 1.0], [-0.4, 0.6]]),
    "3 symmetric": np.array([[1.2, 0.3, -0.2], [0.3, 0.9, 0.25], [-0.2, 0.25, 1.0]]),
    "3": np.array([[1.2, 0.8, -0.2], [-0.4, 0.9, 0.5], [0.3, -0.6, 1.0]]),
}


def start(size):
    spread = 0.25 * np.eye(size) + 0.06 * (np.ones((size, size)) - np.eye(size))
    return Gaussian(np.array([0.8, -0.5, 0.3])[:size], spread)


def moments(matrix, q):
    """Mean and covariance after TIME: the linear equation solved, its covariance by Lyapunov's equation."""
    size = len(matrix)
    decay = scipy.linalg.expm(-TIME * matrix)
    at_rest = scipy.linalg.solve_continuous_lyapunov(matrix, 2.0 * TEMPERATURE * np.eye(size))
    return decay @ q.mean, at_rest + decay @ (np.asarray(q.covariance) - at_rest) @ decay.T


def law(matrix):
    """The symmetric part as a potential, the other as a drift, where there is one."""
    even, odd = 0.5 * (matrix + matrix.T), 0.5 * (matrix - matrix.T)
    functional = Potential(lambda x: 0.5 * x @ jnp.asarray(even, x.dtype) @ x) + TEMPERATURE * Entropy()
    if not odd.any():
        return tw.GradientFlow(functional, geometry=tw.geometry.Wasserstein())
    return tw.NonreversibleFlow(functional, lambda x: -jnp.asarray(odd, x.dtype) @ x)


def off(end, exact):
    return max(float(np.abs(end.mean - exact[0]).max()), float(np.abs(end.covariance - exact[1]).max()))


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_gaussians_have_the_moments_of_the_linear_equation(matrix):
    q = start(len(matrix))
    end = tw.run(tw.Method(law(matrix), tw.Tsit5(), TIME / 40), q, 40, progress=False).final.position
    assert off(end, moments(matrix, q)) <= 1e-8


CASES = [
    pytest.param("1", 40, tw.FiniteVolumes("second-order", order=2), 40, marks=pytest.mark.slow),
    ("1", 40, tw.ExactFokkerPlanck(), 1),
    pytest.param("2 symmetric", 24, tw.FiniteVolumes("second-order", order=2), 40, marks=pytest.mark.slow),
    ("2", 24, tw.FiniteVolumes("second-order", order=2), 40),
    pytest.param("2", 40, tw.FiniteVolumes(order=2), 80, marks=pytest.mark.slow),
    ("2", 24, tw.ExactFokkerPlanck(), 1),
    pytest.param("3 symmetric", 20, tw.FiniteVolumes("second-order", order=2), 40, marks=pytest.mark.slow),
    pytest.param("3", 20, tw.FiniteVolumes("second-order", order=2), 40, marks=pytest.mark.slow),
    pytest.param("3", 20, tw.ExactFokkerPlanck(), 1, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "cells", "scheme", "steps"), CASES)
def test_a_grid_has_them_in_second_order_of_its_cells(name, cells, scheme, steps):
    matrix = MATRICES[name]
    size, flow = len(matrix), law(matrix)
    q, errors = start(size), []
    for count in (cells, 2 * cells):
        edges = (jnp.linspace(-4.0, 4.0, count + 1),) * size
        density = Grid.of(lambda x: jnp.exp(q.log_density(x)), edges)
        end = tw.run(tw.Method(flow, scheme, TIME / steps), density, steps, progress=False).final.position
        assert abs(float(end.mass) - 1.0) <= 1e-13
        assert float(end.density.min()) >= 0.0
        errors.append(off(end, moments(matrix, q)))
    assert errors[1] <= 0.25 * (4.0 / cells) ** 2
    assert errors[0] / errors[1] >= 3.2


def test_particles_with_noise_have_them_within_their_errors():
    matrix, count = MATRICES["2"], 20_000
    q = start(2)
    found = []
    for steps in (20, 40):
        particles = Particles.of(q, count, jax.random.key(steps))
        method = tw.Method(law(matrix), tw.EulerMaruyama(), TIME / steps)
        found.append(tw.run(method, particles, steps, key=steps + 1, progress=False).final.position)
    mean, covariance = moments(matrix, q)
    # Extrapolated to no step, of which the error of the particles is sqrt(5) times that of one.
    error = np.sqrt(5.0 * np.diag(covariance) / count)
    assert np.all(np.abs(2.0 * found[1].mean - found[0].mean - mean) <= 4.0 * error)
    spread = np.sqrt(5.0 * (np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / count)
    assert np.all(np.abs(2.0 * found[1].covariance - found[0].covariance - covariance) <= 4.0 * spread)


@pytest.mark.slow
def test_a_field_that_keeps_the_gibbs_state_keeps_the_sampled_one_in_second_order():
    functional = KL(Gaussian(jnp.zeros(2), jnp.array([[1.0, 0.4], [0.4, 0.6]])))
    inverse = jnp.linalg.inv(jnp.array([[1.0, 0.4], [0.4, 0.6]]))
    errors = []
    for cells in (24, 48):
        edges = (jnp.linspace(-5.0, 5.0, cells + 1),) * 2
        gibbs = Grid.of(lambda x: jnp.exp(-0.5 * x @ inverse @ x), edges)
        turned = tw.measures.flow(
            functional,
            gibbs,
            1.0,
            steps=40,
            drift=lambda x: jnp.array([[0.0, 1.0], [-1.0, 0.0]]) @ inverse @ x,
            progress=False,
        )
        errors.append(float(jnp.sum(jnp.abs(turned.final.position.density - gibbs.density) * gibbs.volumes)))
    assert errors[1] <= 0.05
    assert errors[0] / errors[1] >= 3.2


def test_mass_goes_around_a_ring_at_the_speed_of_the_drift():
    speed, time = 2.0, 1.3
    q = Grid.of(lambda x: 1.0 + 0.5 * jnp.cos(x[0]), jnp.linspace(0.0, 2.0 * jnp.pi, 101), periodic=True)
    for scheme, steps in ((tw.ExactFokkerPlanck(), 1), (tw.FiniteVolumes("second-order", order=2), 100), (None, 400)):
        law = tw.NonreversibleFlow(TEMPERATURE * Entropy(), lambda x: jnp.full(1, speed))
        made = tw.Method(law, tw.RK4() if scheme is None else scheme, time / steps)
        end = tw.run(made, q, steps, progress=False).final.position
        x = q.points[:, 0]
        exact = (1.0 + 0.5 * np.exp(-TEMPERATURE * time) * jnp.cos(x - speed * time)) / (2.0 * np.pi)
        assert float(jnp.abs(end.density - exact).max()) <= 2e-3
        assert abs(float(end.mass) - 1.0) <= 1e-13


@pytest.mark.parametrize("q", [Quantiles(np.linspace(0.0, 1.0, 9)), Particles(np.linspace(0.0, 1.0, 9))])
def test_without_an_energy_points_follow_the_field(q):
    end = tw.measures.flow(Potential(lambda x: 0.0 * x[0]), q, 1.0, steps=50, drift=lambda x: -(x**2), progress=False)
    moved = end.final.position
    places = moved.values if isinstance(moved, Quantiles) else moved.positions[:, 0]
    before = np.linspace(0.0, 1.0, 9)
    np.testing.assert_allclose(places, before / (1.0 + before), atol=1e-3)


def test_what_a_drift_needs_is_said():
    functional = KL(lambda x: 0.5 * x[0] ** 2)
    with pytest.raises(tw.InputError, match="drift must be a function"):
        tw.NonreversibleFlow(functional, 2.0)
    with pytest.raises(tw.InputError, match=r"carries mass in tw.geometry.Wasserstein\(\), but the geometry is"):
        tw.NonreversibleFlow(functional, lambda x: -x, geometry=tw.geometry.FisherRao())
    q = Grid.of(lambda x: jnp.exp(-(x[0] ** 2)), jnp.linspace(-4.0, 4.0, 41))
    for bad in (lambda x: 1.0, lambda x: jnp.ones(2)):
        for begun in (q, Gaussian(0.0, 1.0), Particles(np.zeros(3)), Quantiles(np.arange(3.0))):
            with pytest.raises(tw.InputError, match="drift must give a velocity of shape"):
                tw.measures.flow(functional, begun, 1.0, drift=bad, key=0)
    with pytest.raises(tw.InputError, match="MinimizingMovement makes the steps of"):
        tw.Method(tw.NonreversibleFlow(functional, lambda x: -x), tw.MinimizingMovement(), 0.1)
    with pytest.raises(tw.InputError, match="drift must be finite all over the start"):
        tw.measures.flow(functional, q, 1.0, drift=lambda x: 1.0 / (x - x), progress=False)
