"""The operator of a noisy step against closed forms, and against chains."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.claims import escape
from thalweg.claims._transfer import ODD, least_eigenvalue, residence_time, second_moment, transfer
from thalweg.claims.barrier import wells


@pytest.mark.parametrize("temperature", [0.1, 0.3])
def test_the_law_of_the_steps_is_that_of_the_flow_to_second_order(temperature):
    exact = tw.problems.double_well(1, temperature=temperature).moments.variance[0]
    law = tw.OverdampedLangevin(wells, temperature)
    errors = [second_moment(tw.Method(law, tw.StochasticHeun(), h)) - exact for h in (0.04, 0.02)]
    assert abs(np.log2(errors[0] / errors[1]) - 2.0) < 0.15
    assert abs(errors[1]) < 3e-4


def test_at_low_temperature_the_time_on_one_side_is_kramers():
    times = [escape.time_on_one_side(t, 0.0) / tw.analysis.kramers_time(wells, -1.0, 0.0, t) for t in (0.06, 0.05)]
    np.testing.assert_allclose(times, [1 + 1.5 * t for t in (0.06, 0.05)], rtol=0.03)


@pytest.mark.parametrize("modes", [12, 18])
def test_more_polynomials_change_nothing(modes):
    method = tw.Method(tw.ColouredLangevin(wells, 0.2, 0.1), tw.StochasticHeun(), 0.02)
    np.testing.assert_allclose(residence_time(method, 40, modes), 16.9368, rtol=1e-4)


def test_the_eigenvalue_nearest_to_zero():
    method = tw.Method(tw.OverdampedLangevin(wells, 0.2), tw.StochasticHeun(), 0.02)
    matrix = np.eye(20) - transfer(method, ODD)
    np.testing.assert_allclose(least_eigenvalue(matrix), np.min(np.linalg.eigvals(matrix).real), rtol=1e-9)


@eqx.filter_jit
def _mean(method, noise, steps):
    """The mean position of chains that start from -1, after each step; their noise starts from its own law."""

    def one(state, k):
        draws = jax.random.normal(jax.random.fold_in(key, k), (2, *noise.shape))
        state = jax.vmap(lambda s, a, b: method.step(s, tw.schemes.Draws(noise=(a, b))))(state, *draws)
        return state, jnp.mean(state.position)

    key = jax.random.key(3)
    start = jax.vmap(lambda z: eqx.tree_at(lambda s: s.auxiliary, method.init(-jnp.ones(1)), z))(noise)
    return jax.lax.scan(one, start, jnp.arange(steps))[1]


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.1, 0.4])
def test_chains_in_coloured_noise_change_sides_as_slowly(tau, key):
    temperature, h, chains = 0.2, 0.04, 40000
    method = tw.Method(tw.ColouredLangevin(wells, temperature, tau), tw.StochasticHeun(), h)
    noise = (temperature / tau) ** 0.5 * jax.random.normal(key, (chains, 1))
    means = np.asarray(_mean(method, noise, 400))
    early, late = means[125], means[375]
    time = 2.0 * 250 * h / np.log(early / late)
    # Three standard errors of the ratio of two means, of positions of about 1.
    spread = 3.0 * np.hypot(1.0 / early, 1.0 / late) / chains**0.5
    allowed = spread / np.log(early / late)
    assert allowed < 0.1
    np.testing.assert_allclose(time, escape.time_on_one_side(temperature, tau), rtol=allowed)
