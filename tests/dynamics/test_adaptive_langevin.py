"""Adaptive Langevin dynamics: its law, its friction's law, and gradients of unknown noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import mpmath
import numpy as np
import pytest
import scipy.special

import thalweg as tw
from tests.chance import scores
from thalweg._objectives.objective import AbstractObjective
from thalweg.analysis import largest_stable_step, stationary_covariance
from thalweg.dynamics.adaptive_langevin import _mean_decay

# The mean of x^2 under exp(-x^4/4).
QUARTIC = 2 * scipy.special.gamma(0.75) / scipy.special.gamma(0.25)


class Noisy(AbstractObjective):
    """A potential whose gradient has noise of a standard deviation that the method does not know."""

    power: int = eqx.field(static=True)
    deviation: float = eqx.field(static=True)
    d: int = eqx.field(static=True)

    @property
    def stochastic(self):
        return self.deviation > 0

    def value(self, x, batch=None):
        value = jnp.sum(x**self.power) / self.power
        return value if batch is None else value + jnp.vdot(batch, x)

    def draw(self, key, step=None):
        key = key if step is None else jax.random.fold_in(key, step)
        return self.deviation * jax.random.normal(key, (self.d,))


@eqx.filter_jit
def means(method, key, chains, burn, steps, what):
    """For each of many chains the mean over its steps of what is asked for."""
    d = method.objective.d

    def step(i, carry):
        state, total = carry
        state = jax.vmap(method.step)(state, method.draw(key, state.position, i, chains))
        now = what(state)
        return state, jax.tree.map(lambda a, b: a + jnp.where(i >= burn, b, 0.0) / (steps - burn), total, now)

    state = jax.vmap(method.init)(0.3 * jnp.ones((chains, d)))
    zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(what, state))
    return jax.lax.fori_loop(0, steps, step, (state, zero))[1]


def seen(state):
    xi = state.auxiliary
    return {
        "x2": jnp.mean(state.position**2, axis=1), "v2": jnp.mean(state.velocity**2, axis=1), "xi": xi, "xi2": xi**2
    }  # fmt: skip


def within(values, expected, deviations, slack):
    """The mean over independent chains is as expected, but for so many standard errors and a bias of the step."""
    values = np.asarray(values)
    # The score of the nearest mean that the bias allows.
    nearest = np.clip(values.mean(), (1 - slack) * expected, (1 + slack) * expected)
    return abs(scores(values, nearest)) < deviations


def test_its_law_and_that_of_its_friction(key, chance):
    """A mass that is not 1 tells m T/Q from T/Q."""
    T, A, Q, m, d = 0.8, 1.3, 5.0, 2.5, 3
    law = tw.AdaptiveLangevin(Noisy(4, 0.0, d), T, A, Q, m)
    found = means(tw.Method(law, tw.Splitting("BADODAB"), 0.05), key, 1000, 600, 4000, seen)
    z = chance.z(4)
    assert within(found["x2"], QUARTIC * np.sqrt(T), z, slack=2e-3)
    assert within(found["v2"], T / m, z, slack=2e-3)
    assert within(found["xi"], A, z, slack=2e-3)
    spread = np.asarray(found["xi2"]) - A**2
    assert within(spread, m * T / Q, z, slack=5e-3)
    assert not within(spread, T / Q, z, slack=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("power", "variance"), [(2, 1.0), (4, QUARTIC)])
def test_gradients_of_unknown_noise_heat_only_a_friction_that_is_fixed(power, variance, key, chance):
    sigma, h, d = 5.0, 0.05, 10
    f = Noisy(power, sigma, d)
    adaptive = tw.Method(tw.AdaptiveLangevin(f, 1.0, 1.0, thermal_mass=10.0), tw.Splitting("BADODAB"), h)
    found = means(adaptive, key, 200, 800, 3500, seen)
    assert within(found["x2"], variance, chance.z(checks=2), slack=0.01)
    # The friction has risen by what balances the noise of the gradients.
    assert within(found["xi"], 1.0 + h * sigma**2 / 2, chance.z(checks=2), slack=0.02)
    fixed = tw.Method(tw.UnderdampedLangevin(f, 1.0, 1.0), tw.Splitting("BAOAB"), h)
    hot = means(fixed, key, 200, 800, 3500, lambda state: {"x2": jnp.mean(state.position**2, axis=1)})
    assert np.mean(hot["x2"]) > 1.2 * variance


@pytest.mark.parametrize("z", [-30.0, -1.0, -1e-8, -1e-20, 0.0, 1e-300, 1e-17, 1e-9, 0.5, 40.0])
def test_the_noise_of_a_friction_of_any_sign(z):
    with mpmath.workdps(40):
        exact = 1.0 if z == 0 else float(-mpmath.expm1(-mpmath.mpf(z)) / mpmath.mpf(z))
    assert float(_mean_decay(jnp.asarray(z))) == pytest.approx(exact, rel=1e-15)
    assert np.isfinite(jax.grad(_mean_decay)(z))


def test_the_thermal_part_is_that_of_a_fixed_friction():
    law = tw.AdaptiveLangevin(None, 0.7, 1.2, mass=1.5)
    fixed = tw.UnderdampedLangevin(None, 1.2, 0.7, 1.5)
    velocity, normal = jnp.array([0.3, -1.0]), (jnp.array([0.4, 0.9]),)
    found, kept = law.thermal(None, 0.3, velocity, jnp.asarray(1.2), normal)
    np.testing.assert_allclose(found, fixed.thermal(None, 0.3, velocity, None, normal)[0], rtol=1e-14)
    assert kept == 1.2
    after = law.thermostat(None, 0.3, velocity, jnp.asarray(1.2))
    assert after == pytest.approx(1.2 + 0.3 * (1.5 * 1.09 - 2 * 0.7), rel=1e-14)


def test_its_limit_is_that_of_baoab():
    method = tw.Method(tw.AdaptiveLangevin(None, 1.0), tw.Splitting("BADODAB"), 0.1)
    assert largest_stable_step(method, 4.0) == pytest.approx(1.0, rel=1e-9)
    assert method.gradients_per_step == 1


LAW = tw.AdaptiveLangevin(None, 1.0)
REFUSED = {
    "no D": (
        lambda: tw.Method(LAW, tw.Splitting("BAOAB"), 0.1),
        "AdaptiveLangevin needs the letter D for its thermostat, but the word is 'BAOAB'; use",
    ),
    "D of none": (
        lambda: tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), tw.Splitting("BADODAB"), 0.1),
        "UnderdampedLangevin has no thermostat for the letter D, but the word is 'BADODAB'",
    ),
    "D alone": (lambda: tw.Splitting("BADAB"), "lacks O"),
    "Euler-Maruyama": (lambda: tw.Method(LAW, tw.EulerMaruyama(), 0.1), 'use tw.Splitting("BADODAB")'),
    "exchange": (
        lambda: tw.Method(LAW, tw.ReplicaExchange(tw.Splitting("BADODAB")), 0.1), "AdaptiveLangevin does not settle",
    ),
    "no equation": (
        lambda: stationary_covariance(tw.Method(LAW, tw.Splitting("BADODAB"), 0.1), 1.0),
        "AdaptiveLangevin is linear on no function",
    ),
    "cold": (lambda: tw.AdaptiveLangevin(None, 0.0), "temperature must be greater than 0"),
    "massless": (lambda: tw.AdaptiveLangevin(None, 1.0, thermal_mass=0.0), "thermal_mass must be greater than 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
