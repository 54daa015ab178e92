"""Adam in noise: its diffusion limit, and its stationary covariance with the squares held."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import stationary_covariance

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
NOISE = np.array([[1.0, 0.4], [0.4, 4.0]])
RATE, BETA1, BETA2 = 0.02, 0.9, 0.9995


def adam_at(part):
    """Adam at a part of its rate, of the same memory times."""
    return tw.adam(None, part * RATE, BETA1**part, BETA2**part, epsilon=0.1)


def ran(method, chains=3000, steps=2500):
    """The covariance of many chains in gradient noise, and the mean squares that they have come to."""
    root = jnp.asarray(np.linalg.cholesky(NOISE))
    method = method.with_objective(tw.Objective(lambda x: 0.5 * x @ jnp.asarray(HESSIAN) @ x))

    @jax.jit
    def chain(key):
        def step(state, key):
            xi = root @ jax.random.normal(key, (2,))
            here = method.with_objective(tw.Objective(lambda x: 0.5 * x @ jnp.asarray(HESSIAN) @ x + xi @ x))
            return here.step(state), None

        return jax.lax.scan(step, method.init(jnp.zeros(2)), jax.random.split(key, steps))[0]

    end = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(0), chains))
    filled = np.asarray(end.auxiliary["filled"])[:, 1:]
    return np.cov(np.asarray(end.position).T), (np.asarray(end.auxiliary["square"]) / filled).mean(axis=0)


def test_the_covariance_is_that_of_the_squares_held():
    method = adam_at(1.0)
    measured, squares = ran(method)
    exact = stationary_covariance(method, HESSIAN, NOISE, second_moment=squares)
    # Of 3,000 chains a covariance has an error of 3 %.
    np.testing.assert_allclose(measured, exact, atol=0.08 * exact.max())
    # The squares are of the noise and of the slopes about the minimum.
    np.testing.assert_allclose(squares, np.diagonal(NOISE + HESSIAN @ exact @ HESSIAN), rtol=0.02)


@pytest.mark.parametrize("noise", [0.5, NOISE], ids=["number", "matrix"])
@pytest.mark.parametrize("make", ["adam", "rmsprop", "nadam"])
def test_small_steps_of_one_flow_tend_to_the_limit(make, noise):
    def at(part):
        if make == "rmsprop":
            return tw.rmsprop(None, part * RATE, 0.99**part, epsilon=0.1)
        return getattr(tw, make)(None, part * RATE, BETA1**part, BETA2**part, epsilon=0.1)

    squares = np.diagonal(noise) if np.ndim(noise) else noise
    errors = []
    for part in (1e-2, 1e-3):
        limit = at(part).diffusion_limit(noise).stationary_covariance(HESSIAN)
        found = stationary_covariance(at(part), HESSIAN, noise, second_moment=squares)
        errors.append(np.abs(found / limit - 1.0).max())
    assert errors[1] < 0.11 * errors[0] < 1e-4


def test_the_temperature_goes_as_the_root_of_the_noise():
    for batch in (1, 16):
        np.testing.assert_allclose(
            tw.adam(None, 0.1, epsilon=0.0).temperature(4.0 / batch), 0.1 / batch**0.5, rtol=1e-6
        )
    assert tw.rmsprop(None, 0.1, epsilon=0.0).diffusion_limit(4.0).order == 1


def test_a_limit_in_other_parameters_is_that_of_one_law():
    """Of entries that do not meet, each is the limit of its own noise: position, velocity, drift, at any time."""
    method = tw.adam(None, 0.1, 0.9, 0.999, 0.1)
    both = method.diffusion_limit(np.diag([1.0, 4.0]))
    one, other = (method.diffusion_limit(c) for c in (1.0, 4.0))
    square = np.diag([2.0, 0.5])
    for of in ("position", "velocity"):
        each = [limit.covariance(h, 3.0, of=of) for limit, h in ((one, 2.0), (other, 0.5))]
        np.testing.assert_allclose(both.covariance(square, 3.0, of=of), np.diag(each), atol=1e-14)
    np.testing.assert_allclose(
        both.covariance(square, [1e3], np.eye(2))[0], both.stationary_covariance(square), rtol=1e-9
    )
    np.testing.assert_allclose(both.covariance(square, 0.0, np.eye(4), of="phase"), np.eye(4), rtol=1e-14)
    drift = both.drift(square)
    for i, (limit, h) in enumerate(((one, 2.0), (other, 0.5))):
        np.testing.assert_allclose(drift[i::2, i::2], limit.drift(h), rtol=1e-14)
    assert both.diffusion[0, 0] == pytest.approx(one.diffusion)
    assert "P = [" in str(both)
    with pytest.raises(tw.InputError, match="one mass"):
        _ = both.law
    assert one.law.temperature == pytest.approx(one.temperature)


REFUSED = {
    "hold its squares": lambda: stationary_covariance(tw.adam(None, 0.1), 1.0, 1.0),
    "keeps none": lambda: stationary_covariance(tw.momentum(None, 0.1, 0.9), 1.0, 1.0, second_moment=1.0),
    "keep squares": lambda: stationary_covariance(
        tw.mala(lambda x: 0.5 * jnp.sum(x**2), 0.1, 1.0), 1.0, second_moment=1.0
    ),
    "at least 0": lambda: stationary_covariance(tw.adam(None, 0.1), 1.0, 1.0, second_moment=-1.0),
    "shape": lambda: stationary_covariance(tw.adam(None, 0.1), np.eye(2), 1.0, second_moment=[1.0, 2.0, 3.0]),
    "above 0": lambda: stationary_covariance(tw.adam(None, 0.1, epsilon=0.0), 1.0, 1.0, second_moment=0.0),
    "mean of a sign": lambda: tw.lion(None, 0.1).diffusion_limit(1.0),
    "without a decay": lambda: tw.adamw(None, 0.1).diffusion_limit(1.0),
    "no noise": lambda: tw.adam(None, 0.1).diffusion_limit(np.diag([1.0, 0.0])),
    "needs constant": lambda: tw.adam(None, lambda k: 0.1).diffusion_limit(1.0),
}


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)


def test_a_coupled_decay_is_a_part_of_the_curvature():
    flow = {"first": 0.2, "second": 20.0, "epsilon": 0.1}
    method = tw.Method(tw.AdamFlow(None, decay=0.3, coupled=True, **flow), tw.LieTrotter(), RATE)
    plain = tw.Method(tw.AdamFlow(None, **flow), tw.LieTrotter(), RATE)
    found = stationary_covariance(method, HESSIAN, NOISE, second_moment=2.0)
    np.testing.assert_allclose(
        found, stationary_covariance(plain, HESSIAN + 0.3 * np.eye(2), NOISE, second_moment=2.0), rtol=1e-12
    )
