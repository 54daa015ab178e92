"""Splittings of the equation of Klein and Kramers, against moments and densities that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.measures import Gaussian, Grid, Particles, Quantiles

STIFFNESS, FRICTION, TEMPERATURE, MASS = 1.3, 0.8, 0.7, 1.5
LINEAR = tw.KleinKramers(lambda x: 0.5 * STIFFNESS * jnp.sum(x**2), FRICTION, TEMPERATURE, MASS)
START = Gaussian(np.array([1.0, -0.5]), np.array([[0.3, 0.1], [0.1, 0.2]]))
TIME = 2.0


def moments(time):
    matrix = np.array([[0.0, 1.0], [-STIFFNESS / MASS, -FRICTION / MASS]])
    heat = np.diag([0.0, 2.0 * FRICTION * TEMPERATURE / MASS**2])
    at_rest, decay = scipy.linalg.solve_continuous_lyapunov(matrix, -heat), scipy.linalg.expm(time * matrix)
    return decay @ START.mean, at_rest + decay @ (np.asarray(START.covariance) - at_rest) @ decay.T


def density(positions=120, velocities=100):
    edges = (jnp.linspace(-6.0, 6.0, positions + 1), jnp.linspace(-5.0, 5.0, velocities + 1))
    return Grid.of(lambda x: jnp.exp(START.log_density(x)), edges)


def after(law, scheme, q, time, steps):
    return tw.run(tw.Method(law, scheme, time / steps), q, steps, progress=False)


def off(q, exact):
    mean, covariance = exact
    return max(float(np.abs(q.mean - mean).max()), float(np.abs(q.covariance - covariance).max()))


def test_a_gaussian_has_the_moments_of_the_linear_equation():
    assert off(after(LINEAR, tw.Tsit5(), START, TIME, 50).final.position, moments(TIME)) <= 1e-9


@pytest.mark.parametrize("word", ["BAOAB", "OBABO", "BAO"])
def test_a_grid_goes_where_the_gaussian_goes_by_the_same_word(word):
    scheme, errors = tw.Splitting(word), []
    for steps in (10, 20):
        run = after(LINEAR, scheme, density(), TIME, steps)
        end, gaussian = run.final.position, after(LINEAR, scheme, START, TIME, steps).final.position
        # Up to what the grid has not of the tails.
        assert off(end, (gaussian.mean, gaussian.covariance)) <= 1e-9
        assert abs(float(end.mass) - 1.0) <= 1e-13
        assert float(end.density.min()) >= -1e-12
        assert run.gradients == steps
        errors.append(off(end, moments(TIME)))
    assert errors[0] / errors[1] == pytest.approx(2.0**scheme.order, rel=0.1)


def test_moments_on_a_grid_to_four_digits():
    end = after(LINEAR, tw.Splitting("BAOAB"), density(60, 50), TIME, 80).final.position
    assert off(end, moments(TIME)) <= 1e-4


@pytest.mark.parametrize("word", ["BAOAB", "OBABO"])
def test_at_rest_it_has_the_law_of_the_particles_chain_at_a_long_step(word):
    scheme = tw.Splitting(word)
    chain = tw.Method(tw.UnderdampedLangevin(None, FRICTION, TEMPERATURE, MASS), scheme, 0.9)
    end = tw.run(tw.Method(LINEAR, scheme, 0.9), density(60, 50), 60, progress=False).final.position
    expected = float(tw.analysis.stationary_covariance(chain, STIFFNESS))
    assert float(end.covariance[0, 0]) == pytest.approx(expected, rel=1e-6)


def test_several_positions_have_a_gaussian_of_as_many_velocities():
    pair = tw.KleinKramers(lambda x: 0.5 * STIFFNESS * jnp.sum(x**2), FRICTION, TEMPERATURE, MASS)
    order = np.array([0, 2, 1, 3])  # of two particles alike: positions first, then velocities
    mean = np.concatenate([START.mean, START.mean])[order]
    spread = np.asarray(scipy.linalg.block_diag(START.covariance, START.covariance))[np.ix_(order, order)]
    end = after(pair, tw.Splitting("BAOAB"), Gaussian(mean, spread), TIME, 10).final.position
    single = after(LINEAR, tw.Splitting("BAOAB"), START, TIME, 10).final.position
    np.testing.assert_allclose(end.mean[::2], single.mean, atol=1e-12)
    np.testing.assert_allclose(end.covariance[::2, ::2], single.covariance, atol=1e-12)
    np.testing.assert_allclose(end.covariance[::2, 1::2], 0.0, atol=1e-12)


def test_two_wells_fill_by_gibbs_and_the_free_energy_falls():
    law = tw.KleinKramers(lambda x: 2.0 * (x[0] ** 2 - 1.0) ** 2 + 0.3 * x[0], 1.5)
    edges = (jnp.linspace(-2.6, 2.6, 97), jnp.linspace(-7.5, 7.5, 97))
    q = Grid.of(lambda x: jnp.exp(-6.0 * (x[0] + 1.0) ** 2 - 0.5 * x[1] ** 2), edges)
    run = tw.run(tw.Method(law, tw.Splitting("BAOAB"), 0.1), q, 800, record=tw.Record(("loss",)), progress=False)
    assert run.message == "made 800 steps"
    assert np.all(np.diff(run.metrics["loss"]) <= 0.0)
    x = q.mesh.centres[0]
    weights = np.exp(-(2.0 * (x**2 - 1.0) ** 2 + 0.3 * x))
    found = np.asarray(run.final.position.masses).sum(axis=1)
    assert np.abs(found - weights / weights.sum()).sum() <= 5e-3
    assert found[x > 0].sum() == pytest.approx(weights[x > 0].sum() / weights.sum(), abs=2e-3)


def test_walls_reflect_and_the_ends_of_a_ring_are_one():
    # Hardly any friction: what is thrown from the middle comes back from the walls, as its images say.
    law = tw.KleinKramers(lambda x: 0.0 * x[0], 1e-12)
    velocities = jnp.linspace(-3.0, 3.0, 129)
    spread, speed, time = 0.2, 1.0, 2.3
    thrown = Gaussian(np.array([0.2, speed]), np.diag([spread**2, 0.3**2]))
    for periodic in (False, True):
        q = Grid.of(
            lambda x: jnp.exp(thrown.log_density(x)), (jnp.linspace(-1.5, 1.5, 129), velocities), (periodic, False)
        )
        end = after(law, tw.Splitting("BAOAB"), q, time, 7).final.position
        width = np.hypot(spread, 0.3 * time)
        x = q.mesh.centres[0]

        def around(centre, x=x, width=width):
            return np.exp(-0.5 * ((x - centre) / width) ** 2) / (width * np.sqrt(2.0 * np.pi))

        centre, images = 0.2 + speed * time, range(-6, 7)
        exact = sum(around(centre + 3.0 * k) for k in images)
        if not periodic:
            exact = sum(around(centre + 6.0 * k) + around(3.0 - centre + 6.0 * k) for k in images)
        np.testing.assert_allclose(end.marginal(0).density, exact, atol=1e-6)


def test_in_single_precision():
    with jax.enable_x64(False):
        law = tw.KleinKramers(lambda x: 0.5 * STIFFNESS * jnp.sum(x**2), FRICTION, TEMPERATURE, MASS)
        edges = (np.linspace(-6.0, 6.0, 61), np.linspace(-5.0, 5.0, 51))
        q = Grid.of(lambda x: jnp.exp(-2.0 * jnp.sum(x**2)), edges)
        run = tw.run(tw.Method(law, tw.Splitting("BAOAB"), 0.1), q, 250, progress=False)
        assert run.final.position.density.dtype == jnp.float32
        assert float(run.final.position.covariance[0, 0]) == pytest.approx(TEMPERATURE / STIFFNESS, rel=1e-3)
        assert run.message == "made 250 steps"


def test_a_grid_that_is_too_small_or_too_coarse_is_said():
    step = tw.Method(LINEAR, tw.Splitting("BAOAB"), 0.1)
    short = Grid.of(lambda x: jnp.exp(START.log_density(x)), (jnp.linspace(-6.0, 6.0, 61), jnp.linspace(-1.5, 1.5, 31)))
    assert "ends of the axis of the velocities" in tw.run(step, short, 10, progress=False).message
    narrow = Grid.of(lambda x: jnp.exp(-800.0 * jnp.sum(x**2)), (jnp.linspace(-6.0, 6.0, 61),) * 2)
    with pytest.warns(tw.measures.EnsembleWarning, match="they do not resolve the density"):
        assert "do not resolve" in tw.run(step, narrow, 3, progress=False).message


def line(periodic=False):
    return Grid.of(lambda x: jnp.exp(-(x[0] ** 2)), jnp.linspace(-4.0, 4.0, 41), periodic)


def plane(velocities, periodic=False):
    return Grid.of(lambda x: jnp.exp(-jnp.sum(x**2)), (jnp.linspace(-4.0, 4.0, 41), velocities), periodic)


REFUSED = {
    "one axis": (line, "has two axes, but this one has 1"),
    "a line": (lambda: Gaussian(0.0, 1.0), "as many velocities as positions, but has 1 coordinates"),
    "particles": (lambda: Particles(np.zeros((3, 2))), "particles of it are those of tw.UnderdampedLangevin"),
    "quantiles": (lambda: Quantiles(np.arange(3.0)), "KleinKramers moves tw.measures.Grid and Gaussian, and not quant"),
    "stretched": (lambda: plane(jnp.array([-4.0, -1.0, 1.0, 4.0])), "needs cells all as wide along an axis"),
    "lopsided": (lambda: plane(jnp.linspace(-4.0, 5.0, 41)), "must be even about 0"),
    "around": (lambda: plane(jnp.linspace(-4.0, 4.0, 41), True), "axis of the velocities is periodic"),
}


@pytest.mark.parametrize(("start", "message"), REFUSED.values(), ids=REFUSED)
def test_a_start_that_is_no_density_of_positions_and_velocities_is_refused(start, message):
    with pytest.raises(tw.InputError, match=message):
        tw.run(tw.Method(LINEAR, tw.Splitting("BAOAB"), 0.1), start(), 1)


def test_other_schemes_and_numbers_are_refused():
    for scheme in (tw.FiniteVolumes(), tw.ExactFokkerPlanck(), tw.MinimizingMovement(), tw.EulerMaruyama()):
        with pytest.raises(tw.InputError):
            tw.Method(LINEAR, scheme, 0.1)
    with pytest.raises(tw.InputError, match=r'is moved by tw.Splitting\("BAOAB"\)'):
        tw.run(tw.Method(LINEAR, tw.RK4(), 0.1), density(20, 20), 1)
    with pytest.raises(tw.InputError, match="no thermostat for the letter D"):
        tw.Method(LINEAR, tw.Splitting("BADODAB"), 0.1)
    with pytest.raises(tw.InputError, match="friction must be"):
        tw.KleinKramers(lambda x: x[0], 0.0)
    with pytest.raises(tw.InputError, match="whose slope is the force"):
        tw.KleinKramers(np.ones(3))


def test_gradients_of_laws_that_no_flat_space_has_are_counted():
    assert after(LINEAR, tw.RK4(), START, TIME, 5).gradients == 20
    turned = tw.NonreversibleFlow(tw.measures.KL(Gaussian(np.zeros(2), 1.0)), lambda x: -x)
    assert after(turned, tw.RK4(), START, TIME, 5).gradients == 20
