"""The generalized Langevin equation: its exact thermal flow, its law, and its limit without memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import mpmath
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import stationary_covariance
from thalweg.dynamics._linear import exact_flow, root

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
T, M = 0.6, 1.4
TIMES, FRICTIONS = (0.3, 2.0), (1.1, 0.7)


def law(friction=0.0, f=None):
    return tw.GeneralizedLangevin(f, friction, T, TIMES, FRICTIONS, M)


@eqx.filter_jit
def derivatives(law, h):
    def thermal(state, noise):
        velocity, memories = law.thermal(None, h, state[:1], tuple(state[1:, None]), tuple(noise[:, None]))
        return jnp.concatenate([velocity, *memories])

    n = law.normals
    return jax.jacfwd(thermal, (0, 1))(jnp.zeros(n), jnp.zeros(n))


def transition(law, h):
    """(F, C) of (velocity, memories) over a letter O, read off the code, which is linear."""
    flow, noise = (np.asarray(part) for part in derivatives(law, jnp.asarray(h)))
    return flow, noise @ noise.T


def by_definition(friction, h):
    """The same from the equations as they are written, by 50 digits; the covariance as P - F P F'."""
    with mpmath.workdps(50):
        n = len(TIMES) + 1
        drift, stationary = mpmath.zeros(n), mpmath.zeros(n)
        drift[0, 0], stationary[0, 0] = -mpmath.mpf(friction) / mpmath.mpf(M), mpmath.mpf(T) / mpmath.mpf(M)
        for k, (tau, c) in enumerate(zip(TIMES, FRICTIONS, strict=True), start=1):
            tau, c = mpmath.mpf(tau), mpmath.mpf(c)
            drift[0, k], drift[k, 0], drift[k, k] = 1 / mpmath.mpf(M), -c / tau, -1 / tau
            stationary[k, k] = mpmath.mpf(T) * c / tau
        flow = mpmath.expm(drift * mpmath.mpf(h))
        spread = stationary - flow * stationary * flow.T
        return tuple(np.array(matrix.tolist(), dtype=float) for matrix in (flow, spread))


@pytest.mark.parametrize("friction", [0.0, 0.8])
@pytest.mark.parametrize("h", [1e-7, 1e-3, 0.1, 1.0, 30.0, 1e5])
def test_the_thermal_part_is_exact(friction, h):
    flow, spread = transition(law(friction), h)
    exact_of_flow, exact_of_spread = by_definition(friction, h)
    np.testing.assert_allclose(flow, exact_of_flow, rtol=0, atol=2e-13)
    scale = np.sqrt(np.outer(np.diag(exact_of_spread), np.diag(exact_of_spread)))
    # A velocity without a noise of its own, over a short step, is known from the memories up to rounding.
    tolerance = 1e-12 if friction or h >= 1e-3 else 1e-2
    assert np.abs((spread - exact_of_spread) / scale).max() < tolerance


def test_its_digits_are_there_in_single_precision():
    with jax.enable_x64(False):
        flow, spread = exact_flow(jnp.array([[-1.0, -2.0], [2.0, -0.5]]), jnp.diag(jnp.array([2.0, 1.0])), 1e-4)
        triangle = root(spread)
    assert spread.dtype == jnp.float32
    assert float(spread[0, 0]) == pytest.approx(2e-4 * (1 - 1e-4), rel=1e-6)
    assert float(flow[0, 0]) == pytest.approx(-1e-4, rel=3e-4)
    assert float(triangle[1][1]) == pytest.approx(np.sqrt(1e-4), rel=1e-3)


@pytest.mark.parametrize("friction", [0.0, 0.8])
@pytest.mark.parametrize("h", [0.1, 1.1])
def test_baoab_samples_the_positions_of_a_gaussian_exactly(friction, h):
    """As without memory: an exact letter O keeps the Gaussian of the velocity, and the rest is the same."""
    method = tw.Method(law(friction), tw.Splitting("BAOAB"), h)
    np.testing.assert_allclose(stationary_covariance(method, HESSIAN), T * np.linalg.inv(HESSIAN), rtol=1e-10)
    velocities = T / M * (np.eye(2) - h**2 * HESSIAN / (4 * M))
    np.testing.assert_allclose(stationary_covariance(method, HESSIAN, of="velocity"), velocities, rtol=1e-10)


@pytest.mark.parametrize("word", ["OBABO", "ABOBA"])
def test_other_words_settle_to_the_law_with_order_two(word):
    exact = T * np.linalg.inv(HESSIAN), T / M * np.eye(2)
    errors = []
    for h in (0.2, 0.1):
        method = tw.Method(law(), tw.Splitting(word), h)
        found = [stationary_covariance(method, HESSIAN, of=of) for of in ("position", "velocity")]
        errors.append(max(np.abs(a - b).max() for a, b in zip(found, exact, strict=True)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


def test_without_memory_its_friction_is_the_sum():
    plain = tw.Method(tw.UnderdampedLangevin(None, 0.4 + 1.8, T, M), tw.Splitting("OBABO"), 0.7)
    expected = [stationary_covariance(plain, HESSIAN, of=of) for of in ("position", "velocity")]
    for tau, tolerance in ((1e-3, 1e-2), (1e-6, 1e-5)):
        forgetful = tw.GeneralizedLangevin(None, 0.4, T, (tau, 2 * tau), FRICTIONS, M)
        flow, spread = transition(forgetful, 0.5)
        assert flow[0, 0] == pytest.approx(np.exp(-2.2 * 0.5 / M), rel=tolerance)
        assert spread[0, 0] == pytest.approx(T / M * (1 - np.exp(-2 * 2.2 * 0.5 / M)), rel=tolerance)
        method = tw.Method(forgetful, tw.Splitting("OBABO"), 0.7)
        found = [stationary_covariance(method, HESSIAN, of=of) for of in ("position", "velocity")]
        np.testing.assert_allclose(found, expected, atol=tolerance)


def test_at_temperature_zero_it_only_damps():
    f = tw.problems.lopsided()
    cold = tw.GeneralizedLangevin(f.objective, 0.0, 0.0, TIMES, FRICTIONS)
    run = tw.run(tw.Method(cold, tw.Splitting("BAOAB"), 0.1), f.start, 2000, key=0)
    assert run.metrics["loss"][-1] - f.objective.minimum < 1e-8


def test_replicas_of_it_trade_places(key):
    exchange = tw.ReplicaExchange(tw.Splitting("BAOAB"), (1.0, 2.0), every=2)
    method = tw.Method(law(f=lambda x: 0.5 * jnp.sum(x**2)), exchange, 0.1)
    assert method.normals == 2 * 3
    run = tw.run(method, jnp.ones(2), 50, key=key)
    assert run.status == "finished" and np.asarray(exchange.exchanged(run.state)) > 0.2


REFUSED = {
    "lengths": (
        lambda: tw.GeneralizedLangevin(None, 0.0, 1.0, (1.0, 2.0), (1.0,)),
        "memory_frictions must be as many as memory_times, but are 1 for 2",
    ),
    "none": (lambda: tw.GeneralizedLangevin(None, 1.0, 1.0, (), ()), "one number a memory"),
    "a number": (lambda: tw.GeneralizedLangevin(None, 1.0, 1.0, 2.0, 1.0), "one number a memory"),
    "words": (lambda: tw.GeneralizedLangevin(None, 1.0, 1.0, ("a",), (1.0,)), "memory_times must be numbers"),
    "no time": (
        lambda: tw.GeneralizedLangevin(None, 1.0, 1.0, (1.0, 0.0), (1.0, 1.0)),
        "every one of memory_times must be greater than 0",
    ),
    "negative": (lambda: tw.GeneralizedLangevin(None, -1.0, 1.0, TIMES, FRICTIONS), "friction must be at least 0"),
    "Euler-Maruyama": (
        lambda: tw.Method(law(), tw.EulerMaruyama(), 0.1), 'no separate additive noise; use tw.Splitting("BAOAB")',
    ),
    "Runge-Kutta": (lambda: tw.Method(law(), tw.RK4(), 0.1), "has noise, which RungeKutta would leave out"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
