"""Coloured noise: exact over a step of any length, white in the limit, with its stationary law."""

import jax.numpy as jnp
import jaxtyping
import mpmath
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import amplification, largest_stable_step, stationary_covariance

T, TAU = 0.7, 0.3


def weights(law, h):
    """How the noise's integral and end depend on its beginning and on two normals: (2, 3), read off the code."""
    zero, one = jnp.zeros(1), jnp.ones(1)
    columns = []
    for at in range(3):
        start, first, second = (one if at == i else zero for i in range(3))
        terms, end = law.increment(None, jnp.asarray(h), start, (first, second))
        columns.append([float(sum(c * v[0] for c, v in terms)), float(end[0])])
    return np.array(columns).T


def exact(h, T, tau):
    """Drift and covariance of (integral, end) by 60 digits."""
    with mpmath.workdps(60):
        h, T, tau = (mpmath.mpf(v) for v in (h, T, tau))
        decay = mpmath.exp(-h / tau)
        first = 2 * T * (h - 2 * tau * (1 - decay) + tau / 2 * (1 - decay**2))
        return [float(v) for v in (tau * (1 - decay), decay, first, T * (1 - decay) ** 2, T / tau * (1 - decay**2))]


@pytest.mark.parametrize("ratio", [1e-12, 1e-8, 1e-4, 1e-2, 0.3, 1.0, 1.999, 2.0, 2.001, 3.0, 30.0, 1e4, 1e10])
def test_the_noise_over_a_step_is_exact(ratio):
    law = tw.ColouredLangevin(None, T, TAU)
    found = weights(law, ratio * TAU)
    spread = found[:, 1:] @ found[:, 1:].T
    expected = exact(ratio * TAU, T, TAU)
    got = [found[0, 0], found[1, 0], spread[0, 0], spread[0, 1], spread[1, 1]]
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-300)
    # Over a short step the integral is nearly known from the end; what is left is positive, and has its digits too.
    left = found[0, 2] ** 2
    with mpmath.workdps(60):
        b = mpmath.mpf(ratio * TAU) / mpmath.mpf(TAU) / 2
        np.testing.assert_allclose(left, float(4 * mpmath.mpf(T) * mpmath.mpf(TAU) * (b - mpmath.tanh(b))), rtol=3e-14)


@pytest.mark.parametrize("parts", [2, 7])
def test_two_steps_are_one_of_their_sum(parts):
    law = tw.ColouredLangevin(None, T, TAU)

    def transition(h):
        w = weights(law, h)
        return np.array([[1.0, w[0, 0]], [0.0, w[1, 0]]]), w[:, 1:] @ w[:, 1:].T

    whole, spread = transition(0.5)
    moved, covariance = np.eye(2), np.zeros((2, 2))
    for _ in range(parts):
        part, noise = transition(0.5 / parts)
        moved, covariance = part @ moved, part @ covariance @ part.T + noise
    np.testing.assert_allclose(moved, whole, rtol=1e-13)
    np.testing.assert_allclose(covariance, spread, rtol=1e-13)


@pytest.mark.parametrize(("scheme", "order"), [(tw.EulerMaruyama(), 1), (tw.StochasticHeun(), 2)])
@pytest.mark.parametrize("tau", [0.05, 1.0, 4.0])
def test_the_stationary_variance_is_that_of_the_law(scheme, order, tau):
    curvature = 1.7
    law = tw.ColouredLangevin(None, T, tau)
    continuous = T / (curvature * (1 + curvature * tau))
    errors = [stationary_covariance(tw.Method(law, scheme, h), curvature) - continuous for h in (0.004, 0.002)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("scheme", [tw.EulerMaruyama(), tw.StochasticHeun()])
def test_without_memory_the_noise_is_white(scheme):
    hessian = np.array([[1.6, 0.5], [0.5, 0.7]])
    white = stationary_covariance(tw.Method(tw.OverdampedLangevin(None, T), scheme, 0.4), hessian)
    errors = [
        np.abs(stationary_covariance(tw.Method(tw.ColouredLangevin(None, T, tau), scheme, 0.4), hessian) - white).max()
        for tau in (1e-4, 1e-8)
    ]
    assert errors[0] < 1e-3 and errors[1] < 1e-7


def test_the_matrix_of_a_step_has_the_noise_in_it():
    method = tw.Method(tw.ColouredLangevin(None, T, TAU), tw.EulerMaruyama(), 0.2)
    decay = np.exp(-0.2 / TAU)
    np.testing.assert_allclose(amplification(method, 2.0), [[0.6, TAU * (1 - decay)], [0.0, decay]], rtol=1e-14)
    assert largest_stable_step(method, 2.0) == pytest.approx(1.0, rel=1e-9)


REFUSED = {
    "negative": (lambda: tw.ColouredLangevin(None, -1.0, 1.0), "temperature must be at least 0"),
    "no time": (lambda: tw.ColouredLangevin(None, 1.0, 0.0), "correlation_time must be greater than 0"),
    "half noise": (
        lambda: tw.Method(tw.ColouredLangevin(None, 1.0, 1.0), tw.LeimkuhlerMatthews(), 0.1),
        "ColouredLangevin has no separate white noise; use tw.StochasticHeun()",
    ),
    "left out": (
        lambda: tw.Method(tw.ColouredLangevin(None, 1.0, 1.0), tw.RK4(), 0.1), "has noise, which RungeKutta would",
    ),
    "exchange": (
        lambda: tw.Method(tw.ColouredLangevin(None, 1.0, 1.0), tw.ReplicaExchange(), 0.1),
        "the law exp(-f/T) has it, to which ColouredLangevin does not settle",
    ),
    "accepted": (
        lambda: tw.Method(tw.ColouredLangevin(None, 1.0, 1.0), tw.MetropolisAdjustedLangevin(), 0.1),
        "has no separate white noise",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
