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


@pytest.mark.parametrize("name", list(CASES))
def test_a_grid_of_400_cells_goes_where_the_gaussian_goes(name):
    geometry, F = CASES[name][0], KL(Gaussian(0.0, 1.0))
    start = Gaussian(-1.0, 0.6)
    q = Grid.of(lambda x: jnp.exp(start.log_density(x)), np.linspace(-6.0, 6.0, 401))
    exact, end = (flow(F, p, 1.0, geometry=geometry, record=None).final.position for p in (start, q))
    assert abs(float(end.mean[0] - exact.mean[0])) < 1e-4
    assert abs(float(end.covariance[0, 0] - exact.covariance[0, 0])) < 1e-4
    assert abs(float(end.mass) - 1.0) < 1e-13 and float(end.density.min()) >= 0.0


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


def test_mass_below_zero_is_said():
    q = Particles([0.0, 1.0, 3.0])
    law = tw.GradientFlow(Potential(lambda x: 5.0 * x[0] ** 2), geometry=WassersteinFisherRao())
    with pytest.warns(tw.measures.EnsembleWarning, match="1 particles have a negative mass"):
        run = tw.run(tw.Method(law, tw.Euler(), 0.05), q, 1)
    assert "tw.BirthDeath()" in run.message
    grid = Grid.of(np.array([0.0, 1.0, 8.0, 1.0, 0.0]), np.linspace(-1.0, 1.0, 6))
    with pytest.warns(tw.measures.EnsembleWarning, match="cells have a negative mass"):
        tw.run(
            tw.Method(tw.GradientFlow(Potential(lambda x: 30.0 * x[0]), geometry=Wasserstein()), tw.Euler(), 0.1),
            grid,
            1,
        )


def test_methods_on_one_vector_do_what_steps_on_the_distribution_do():
    def method(step):
        return tw.Method(tw.GradientFlow(KL(TARGET), geometry=Wasserstein()), tw.RK4(), step)

    sweep = tw.sweep(method, {"step": [0.05, 0.1]}, START, 5)
    alone = tw.solve(method(0.1), START, 5).final.position
    np.testing.assert_allclose(sweep.final.covariance[1, 0], alone.covariance, rtol=1e-13)
    assert abs(tw.analysis.convergence_order(method(0.1), START).order - 4.0) < 0.1
    implicit = tw.GradientFlow(KL(Gaussian(0.0, 1.0)), geometry=Wasserstein())
    q = Grid.of(np.ones(4), np.arange(5.0))
    with pytest.raises(tw.InputError, match=r"one vector, which tw\.sweep"):
        tw.sweep(lambda step: tw.Method(implicit, tw.FiniteVolumes(), step), {"step": [0.1]}, q, 2)


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
    functionals = {row.functional.split("(")[0] for row in rows}
    exported = {
        name for name in tw.measures.__all__
        if isinstance(value := getattr(tw.measures, name), type) and issubclass(value, tw.measures.AbstractFunctional)
    }  # fmt: skip
    assert functionals == {name for name in exported if not name.startswith("Abstract")} - {"Sum"}
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


def test_what_cannot_be_one_vector_or_has_no_value_is_refused_in_one_line():
    q = Particles([0.0, 1.0, 3.0])

    def noisy(step):
        return tw.Method(tw.GradientFlow(KL(lambda x: x[0] ** 2), geometry=Wasserstein()), tw.EulerMaruyama(), step)

    def smooth(step):
        return tw.Method(tw.GradientFlow(KL(lambda x: x[0] ** 2), geometry=Stein(LinearKernel())), tw.Euler(), step)

    calls = [
        (lambda: tw.sweep(noisy, {"step": [0.1]}, q, 2), "not as the one vector"),
        (lambda: tw.sample(noisy(0.1), q, 10, key=0), "not as the one vector"),
        (lambda: tw.sweep(smooth, {"step": [0.1]}, q, 2), "no density"),
        (lambda: tw.compare({"a": smooth(0.1)}, q, max_steps=2, limits=False), "no density"),
    ]
    for call, word in calls:
        with pytest.raises(tw.InputError, match=word) as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("functional", "start", "geometry", "scheme"),
    [
        (KL(TARGET), START, Wasserstein(), None),
        (KL(lambda x: x[0] ** 2), Grid.of(np.ones(6), np.arange(7.0) - 3.0), Wasserstein(), None),
        (KL(lambda x: x[0] ** 2), Grid.of(np.ones(6), np.arange(7.0) - 3.0), Wasserstein(), tw.ExactFokkerPlanck()),
        (KL(lambda x: x[0] ** 2), Quantiles([0.0, 1.0, 3.0]), Wasserstein(), None),
        (KL(lambda x: x[0] ** 2), Particles([0.0, 1.0, 3.0]), Wasserstein(), None),
        (KL(lambda x: x[0] ** 2, bandwidth=0.5), Particles([0.0, 1.0, 3.0]), WassersteinFisherRao(), None),
        (KL(lambda x: x[0] ** 2), Particles([0.0, 1.0, 3.0]), Stein(LinearKernel()), None),
    ],
)
def test_a_run_of_every_scheme_counts_its_gradients_and_prints(functional, start, geometry, scheme):
    run = flow(functional, start, 0.02, geometry=geometry, scheme=scheme, steps=2, key=0)
    per_step = run.method.gradients_per_step
    assert run.gradients >= 2 * per_step > 0 and f"{run.gradients} gradients" in repr(run)
