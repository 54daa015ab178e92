"""`measures.flow`: the five geometries against closed forms, what is chosen and what is refused, on disk and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

import thalweg as tw
from thalweg.geometry import FisherRao, KalmanWasserstein, Stein, Wasserstein, WassersteinFisherRao
from thalweg.measures import KL, Entropy, Gaussian, Grid, Internal, LinearKernel, Particles, Potential, Quantiles, flow

TARGET = Gaussian(jnp.array([1.0, -0.5]), jnp.array([[1.5, 0.4], [0.4, 0.6]]))
START = Gaussian(jnp.array([-1.0, 2.0]), jnp.array([[0.5, -0.1], [-0.1, 1.2]]))
TIME = 0.7
P, MU = np.linalg.inv(TARGET.covariance), np.asarray(TARGET.mean)
M, S = np.asarray(START.mean), np.asarray(START.covariance)


def ornstein_uhlenbeck():
    kept = scipy.linalg.expm(-P * TIME)
    still = np.asarray(TARGET.covariance)
    return MU + kept @ (M - MU), still + kept @ (S - still) @ kept.T


def natural():
    precision = P + np.exp(-TIME) * (np.linalg.inv(S) - P)
    covariance = np.linalg.inv(precision)
    return covariance @ (P @ MU + np.exp(-TIME) * (np.linalg.inv(S) @ M - P @ MU)), covariance


def kalman():
    # m' = -S P (m - mu) and S' = 2 S - 2 S P S.
    return integrated(lambda m, c: -c @ P @ (m - MU), lambda m, c: 2.0 * c - 2.0 * c @ P @ c)


def integrated(mean_rate, covariance_rate):
    """A reference for what has no closed form, by another integrator."""

    def rates(t, y):
        m, c = y[:2], y[2:].reshape(2, 2)
        return np.concatenate([mean_rate(m, c), covariance_rate(m, c).ravel()])

    found = scipy.integrate.solve_ivp(rates, (0.0, TIME), np.concatenate([M, S.ravel()]), rtol=1e-12, atol=1e-13)
    return found.y[:2, -1], found.y[2:, -1].reshape(2, 2)


def both():
    return integrated(
        lambda m, c: -(np.eye(2) + c) @ P @ (m - MU), lambda m, c: 2.0 * np.eye(2) - P @ c - c @ P + c - c @ P @ c
    )


def stein():
    # The velocity is minus E[(1 + x.y) (P (y - mu) - S^-1 (y - m))] over y.
    def turned(m, c):
        return np.outer(P @ (m - MU), m) + (P @ c - np.eye(2))

    return integrated(
        lambda m, c: -P @ (m - MU) - turned(m, c) @ m, lambda m, c: -turned(m, c) @ c - (turned(m, c) @ c).T
    )


CASES = {
    "Wasserstein": (Wasserstein(), ornstein_uhlenbeck),
    "Fisher-Rao": (FisherRao(), natural),
    "Wasserstein-Fisher-Rao": (WassersteinFisherRao(), both),
    "Kalman-Wasserstein": (KalmanWasserstein(), kalman),
    "Stein": (Stein(LinearKernel()), stein),
}


@pytest.mark.parametrize("name", CASES)
def test_a_gaussian_in_every_geometry_is_where_the_closed_form_is(name):
    geometry, exact = CASES[name]
    end = flow(KL(TARGET), START, TIME, geometry=geometry, record=None).final.position
    mean, covariance = exact()
    np.testing.assert_allclose(end.mean, mean, atol=1e-8)
    np.testing.assert_allclose(end.covariance, covariance, atol=1e-8)


def test_affine_coordinates_change_nothing_in_kalman_wasserstein_and_much_in_wasserstein():
    A, b = np.array([[3.0, 1.0], [0.0, 0.2]]), np.array([1.0, -2.0])

    def mapped(q):
        return Gaussian(A @ q.mean + b, A @ q.covariance @ A.T)

    apart = {}
    for geometry in (KalmanWasserstein(), Wasserstein()):
        here = flow(KL(TARGET), START, TIME, geometry=geometry, record=None).final.position
        there = flow(KL(mapped(TARGET)), mapped(START), TIME, geometry=geometry, record=None).final.position
        apart[type(geometry)] = float(jnp.max(jnp.abs(mapped(here).covariance - there.covariance)))
    assert apart[KalmanWasserstein] < 1e-10 < 0.1 < apart[Wasserstein]


def test_the_dissipation_is_the_fall_of_the_free_energy():
    run = flow(KL(TARGET), START, TIME)
    fall = -np.gradient(run.metrics["loss"], run.metrics["time"])
    np.testing.assert_allclose(run.metrics["gradient_norm"][1:-1] ** 2, fall[1:-1], rtol=1e-3)


def test_a_flow_on_disk_is_that_in_memory_and_comes_back_as_a_distribution(tmp_path):
    q = Grid.of(lambda x: jnp.exp(-((x[0] - 1.0) ** 2)), np.linspace(-3.0, 3.0, 13), periodic=True)
    kept = flow(KL(lambda x: jnp.cos(x[0])), q, 0.1, steps=20, out=tmp_path / "a")
    alone = flow(KL(lambda x: jnp.cos(x[0])), q, 0.1, steps=20)
    read = tw.Run.load(tmp_path / "a")
    assert isinstance(read.final.position, Grid) and read.final.position.mesh == q.mesh
    for run in (kept, read):
        np.testing.assert_array_equal(run.final.position.density, alone.final.position.density)
        np.testing.assert_array_equal(run.trace.position.density, alone.trace.position.density)
    other = Grid(q.density * 6.0 / 7.0, np.linspace(-3.5, 3.5, 13), periodic=True)
    with pytest.raises(tw.InputError, match=r"start\.measure"):
        flow(KL(lambda x: jnp.cos(x[0])), other, 0.1, steps=20, out=tmp_path / "a", resume=True)


def test_particles_with_noise_are_langevin_dynamics():
    start = Particles(np.random.default_rng(0).multivariate_normal(M, S, 4000))
    run = flow(KL(TARGET), start, TIME, steps=100, key=1)
    assert isinstance(run.method.dynamics, tw.OverdampedLangevin)
    mean, covariance = ornstein_uhlenbeck()
    error = np.abs(np.asarray(run.final.position.mean) - mean) / np.sqrt(np.diag(covariance) / 4000)
    assert error.max() < 5.0


def test_where_nothing_runs_the_reason_is_one_line():
    q = Particles([0.0, 1.0, 3.0])
    cases = [
        (Internal(2.0), q, Wasserstein(), "no density"),
        (KL(TARGET), START, Stein(lambda x, y: jnp.exp(x @ y)), "LinearKernel"),
        (Entropy(), Quantiles([0.0, 1.0, 3.0]), FisherRao(), "masses are all alike"),
        (Entropy(), Particles([0.0, 1.0], log_density=[0.0, 0.0]), Wasserstein(), "log_density"),
    ]
    for functional, start, geometry, word in cases:
        with pytest.raises(tw.InputError, match=word) as error:
            flow(functional, start, 1.0, geometry=geometry)
        assert "\n" not in str(error.value)
    with pytest.raises(tw.InputError, match="moves distributions"):
        tw.run(tw.Method(tw.GradientFlow(KL(TARGET), geometry=Wasserstein()), tw.Euler(), 0.1), jnp.ones(2), 1)
    with pytest.raises(tw.InputError, match="functionals of distributions"):
        tw.run(tw.Method(tw.GradientFlow(lambda q: jnp.sum(q.mean), geometry=Wasserstein()), tw.Euler(), 0.1), START, 1)
    with pytest.raises(tw.InputError, match="give a key"):
        flow(KL(lambda x: x[0] ** 2), q, 1.0)


@pytest.mark.slow
def test_the_table_is_computed_and_gives_a_scheme_or_a_reason():
    rows = tw.measures.table()
    assert len({(row.functional, row.start, row.geometry) for row in rows}) == len(rows) > 200
    for row in rows:
        assert (row.scheme is None) == bool(row.reason) and "\n" not in row.reason
    assert "EulerMaruyama()" in repr(rows)


def test_single_precision_stays_and_is_as_good_as_it_can_be():
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), START)
    end = flow(
        KL(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), TARGET)), narrow, TIME, record=None
    ).final.position
    assert end.mean.dtype == end.covariance.dtype == jnp.float32
    np.testing.assert_allclose(end.covariance, ornstein_uhlenbeck()[1], atol=1e-5)


def test_a_potential_alone_moves_every_point_by_itself():
    end = flow(Potential(lambda x: 0.5 * jnp.sum(x**2)), Particles([1.0, -3.0], [0.25, 0.75]), 1.0).final.position
    np.testing.assert_allclose(end.positions[:, 0], np.exp(-1.0) * np.array([1.0, -3.0]), rtol=1e-5)
