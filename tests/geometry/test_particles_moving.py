"""Particles in the geometries of distributions: closed forms of the divergence to a Gaussian, noise, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm, sqrtm

import thalweg as tw
from thalweg.schemes import Draws

M, G = tw.measures, tw.geometry
MU, SIGMA = np.array([0.5, -1.0]), np.array([[1.0, 0.3], [0.3, 0.5]])
M0, S0 = np.array([1.5, 0.0]), np.array([[1.6, -0.4], [-0.4, 0.9]])
TARGET, START = M.Gaussian(jnp.array(MU), jnp.array(SIGMA)), M.Gaussian(jnp.array(M0), jnp.array(S0))
F = M.KL(TARGET)
P, EYE = np.linalg.inv(SIGMA), np.eye(2)
KALMAN = G.KalmanWasserstein()


def flow(functional, geometry, scheme, step):
    return tw.Method(tw.GradientFlow(functional, geometry=geometry), scheme, step)


def end(method, q, steps, key=0):
    return tw.run(method, q, steps, key=key, record=None, progress=False).final.position


def drawn(count, seed, weights=None, carried=False):
    x = jax.random.multivariate_normal(jax.random.key(seed), START.mean, START.covariance, (count,))
    return M.Particles(x, weights, jax.vmap(START.log_density)(x) if carried else None)


def wasserstein(t):
    decay = expm(-P * t)
    return MU + decay @ (M0 - MU), SIGMA + decay @ (S0 - SIGMA) @ decay


def fisher_rao(t):
    inverse = P + np.exp(-t) * (np.linalg.inv(S0) - P)
    return np.linalg.solve(inverse, P @ MU + np.exp(-t) * (np.linalg.solve(S0, M0) - P @ MU)), np.linalg.inv(inverse)


def kalman(t):
    # y' = -S P y with S P = (1 + exp(-2t) K)^-1 has y = ((exp(2t) + K)^-1 (1 + K))^(1/2) y(0).
    k = SIGMA @ np.linalg.inv(S0) - EYE
    decay = sqrtm(np.linalg.solve(np.exp(2 * t) * EYE + k, EYE + k)).real
    return MU + decay @ (M0 - MU), np.linalg.inv(P + np.exp(-2 * t) * (np.linalg.inv(S0) - P))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("geometry", "closed"), [(G.Wasserstein(), wasserstein), (KALMAN, kalman), (G.FisherRao(), fisher_rao)]
)
def test_closed_forms_are_those_of_the_gaussian(geometry, closed):
    q = end(flow(F, geometry, tw.RK4(), 0.01), START, 50)
    mean, covariance = closed(0.5)
    np.testing.assert_allclose(q.mean, mean, atol=1e-8)
    np.testing.assert_allclose(q.covariance, covariance, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("geometry", "scheme", "step", "closed"),
    [
        (G.Wasserstein(), tw.EulerMaruyama(), 0.002, wasserstein),
        (KALMAN, tw.EulerMaruyama(), 0.002, kalman),
        (G.FisherRao(), tw.RK4(), 0.05, fisher_rao),
    ],
)
def test_a_hundred_thousand_particles_have_the_moments_of_the_flow(geometry, scheme, step, closed, seed):
    q = drawn(100_000, seed, carried=isinstance(geometry, G.FisherRao))
    q = end(flow(F, geometry, scheme, step), q, round(0.5 / step), key=seed)
    mean, covariance = closed(0.5)
    size = float(q.effective_size)
    variance = np.diag(covariance)
    of_mean = np.sqrt(variance / size)
    of_covariance = np.sqrt((np.outer(variance, variance) + covariance**2) / size)
    # Of several numbers at once chance takes one further than 4 errors in a run of some thousands.
    assert np.all(np.abs(q.mean - mean) < 4 * of_mean)
    assert np.all(np.abs(q.covariance - covariance) < 4 * of_covariance)


@pytest.mark.parametrize(
    ("scheme", "decay", "tolerance"), [(tw.RK4(), np.exp(-1.0), 1e-7), (tw.Euler(), 0.95**20, 1e-12)]
)
def test_fisher_rao_weighs_particles_by_the_density_that_they_carry(scheme, decay, tolerance, seed):
    weights = jax.random.dirichlet(jax.random.key(seed + 1), jnp.full(60, 2.0))
    start = drawn(60, seed, weights, carried=True)
    q = end(flow(F, G.FisherRao(), scheme, 0.05), start, 20)
    # log rho(t) = exp(-t) log rho(0) - (1 - exp(-t)) V + a constant, which makes the sum of the weights one.
    # Euler's method in the dual coordinates, which are log rho, has (1 - h)^n for exp(-t).
    potential = -np.asarray(jax.vmap(TARGET.log_density)(start.positions))
    expected = np.log(weights) - (1 - decay) * (np.asarray(start.log_density) + potential)
    expected -= np.log(np.sum(np.exp(expected)))
    np.testing.assert_allclose(np.log(q.weights), expected, atol=tolerance)
    # Whatever the step, weights and density have changed alike, and no mass is lost.
    np.testing.assert_allclose(np.log(q.weights / weights), q.log_density - start.log_density, atol=1e-12)
    assert abs(float(q.mass) - 1.0) < 60 * np.finfo(float).eps
    assert np.array_equal(q.positions, start.positions)


@pytest.mark.parametrize("equal", [True, False])
def test_svgd_with_moments_that_close_follows_their_equation(equal, seed):
    weights = None if equal else jax.random.dirichlet(jax.random.key(seed + 1), jnp.full(12, 2.0))
    start = drawn(12, seed, weights)

    def moments(t, y):
        del t
        m, s = y[:2], y[2:].reshape(2, 2)
        b = P @ (s + np.outer(m - MU, m)) - EYE
        return np.concatenate([-P @ (m - MU) - b @ m, (-b @ s - s @ b.T).ravel()])

    first = np.concatenate([start.mean, np.ravel(start.covariance)])
    expected = solve_ivp(moments, (0, 0.5), first, rtol=1e-12, atol=1e-13).y[:, -1]
    q = end(flow(F, G.Stein(M.LinearKernel()), tw.RK4(), 0.005), start, 100)
    np.testing.assert_allclose(np.concatenate([q.mean, np.ravel(q.covariance)]), expected, atol=1e-8)


@pytest.mark.parametrize("root", ["square", "ensemble"])
def test_noise_of_an_ensemble_has_its_covariance_and_the_drift_of_its_own_dependence(root, seed):
    geometry = G.KalmanWasserstein(noise_root=root)
    q = drawn(7, seed, jax.random.dirichlet(jax.random.key(seed + 1), jnp.full(7, 2.0)))
    shape = geometry.drawn(q).shape
    rows = jax.vmap(lambda e: geometry.noise(q, jnp.zeros(shape).at[3].set(e)).positions)(jnp.eye(shape[1]))
    np.testing.assert_allclose(rows[:, 3].T @ rows[:, 3], q.covariance, atol=1e-14)
    assert float(jnp.max(jnp.abs(jnp.delete(rows, 3, axis=1)))) == 0.0

    def covariance(x):
        return M.Particles(x, q.weights).covariance

    by_position = jax.jacfwd(covariance)(q.positions)
    np.testing.assert_allclose(geometry.divergence(q).positions, jnp.einsum("abib->ia", by_position), atol=1e-14)


@pytest.mark.parametrize(("geometry", "invariant"), [(KALMAN, True), (G.KalmanWasserstein(noise_root="ensemble"), True),
                                                 (G.Wasserstein(), False)])  # fmt: skip
def test_paths_of_the_same_normals_are_affine_images_in_kalman_wasserstein_alone(geometry, invariant, seed):
    turn, shift = jnp.array([[3.0, -0.8], [0.4, -0.02]]), jnp.array([5.0, -2.0])
    start = drawn(9, seed, jax.random.dirichlet(jax.random.key(seed + 1), jnp.full(9, 5.0)))
    image = M.Particles(start.positions @ turn.T + shift[None], start.weights)
    other = M.KL(M.Gaussian(turn @ TARGET.mean + shift, turn @ TARGET.covariance @ turn.T))
    here = end(flow(F, geometry, tw.EulerMaruyama(), 0.01), start, 100).positions @ turn.T + shift[None]
    there = end(flow(other, geometry, tw.EulerMaruyama(), 0.01), image, 100).positions
    apart = float(jnp.max(jnp.abs(here - there)) / jnp.max(jnp.abs(here)))
    assert apart < 1e-10 if invariant else apart > 1e-2


def test_solve_makes_the_noisy_steps_of_a_run():
    method, q = flow(F, G.KalmanWasserstein(noise_root="ensemble"), tw.EulerMaruyama(), 0.01), drawn(5, 0)
    np.testing.assert_allclose(
        tw.solve(method, q, 3, key=2).final.position.positions, end(method, q, 3, key=2).positions
    )
    silent = method.step(method.init(q), method.silent(q)).position
    np.testing.assert_allclose(
        silent.positions, method.step(method.init(q), Draws(noise=(jnp.zeros((5, 5)),))).position.positions
    )


GRID = M.Grid(jnp.full(10, 0.1), jnp.linspace(0.0, 10.0, 11))
LINE = M.KL(M.Gaussian(0.0, 1.0))
REFUSED = {
    "noise in Stein's": (F, G.Stein(M.GaussianKernel(1.0)), tw.EulerMaruyama(), "in Stein there is no noise"),
    "noise in Fisher-Rao": (F, G.FisherRao(), tw.EulerMaruyama(), "in FisherRao there is no noise"),
    "noise of no entropy": (M.Potential(TARGET.log_density), KALMAN, tw.EulerMaruyama(), "this one has none"),
    "negative": (-1.0 * F, G.Wasserstein(), tw.EulerMaruyama(), "the coefficient -1"),
    "no density": (F, G.FisherRao(), tw.RK4(), "no value on particles"),
    "a grid": (LINE, G.Wasserstein(), tw.EulerMaruyama(), "not a grid", GRID),
    "a Gaussian": (F, KALMAN, tw.EulerMaruyama(), "not a Gaussian", START),
    "carried": (F, G.Wasserstein(), tw.EulerMaruyama(), "would stay behind", drawn(9, 0, carried=True)),
    "too few": (F, KALMAN, tw.EulerMaruyama(), "no root of that size", drawn(2, 0)),
    "too many": (LINE, G.KalmanWasserstein(noise_root="ensemble"), tw.EulerMaruyama(), "20001^2 normals",
                 M.Particles(jnp.linspace(0.0, 1.0, 20_001))),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_is_refused_with_the_reason(case, tmp_path):
    functional, geometry, scheme, words, *start = REFUSED[case]
    with pytest.raises(tw.InputError, match=words.replace("^", r"\^")) as error:
        tw.run(
            flow(functional, geometry, scheme, 0.01), start[0] if start else drawn(9, 0), 5, key=0, out=tmp_path / "run"
        )
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_an_ensemble_that_cannot_leave_its_span_is_said_before_the_run():
    method = flow(F, G.KalmanWasserstein(noise_root="ensemble"), tw.EulerMaruyama(), 0.01)
    with pytest.warns(M.EnsembleWarning, match="2 particles in 2 dimensions span 1 of them"):
        q = end(method, drawn(2, 0), 20)
    first, line = drawn(2, 0).positions, q.positions - drawn(2, 0).positions[:1]
    way = first[1] - first[0]
    assert float(jnp.max(jnp.abs(line[:, 0] * way[1] - line[:, 1] * way[0]))) < 1e-12


@pytest.mark.slow
def test_particles_that_attract_one_another_have_the_variance_of_mckean_and_vlasov(seed):
    # Of W = k z^2/2 and the entropy: m' = 0 and S' = -2 k S + 2, which has no need of a potential.
    count, k = 2000, 1.5
    functional = M.Interaction(lambda z: 0.5 * k * jnp.sum(z**2)) + M.Entropy()
    start = M.Particles(2.0 + 0.5 * jax.random.normal(jax.random.key(seed), (count,)))
    q = end(flow(functional, G.Wasserstein(), tw.EulerMaruyama(), 0.005), start, 100, key=seed)
    variance = 1 / k + np.exp(-2 * k * 0.5) * (0.25 - 1 / k)
    # The mean of the particles is a random walk: of the start, and of the noise since.
    assert abs(float(q.mean[0]) - 2.0) < 4 * np.sqrt((0.25 + 2 * 0.5) / count)
    assert abs(float(q.covariance[0, 0]) - variance) < 4 * variance * np.sqrt(2 / count)
