"""A method in the shape of a BlackJAX algorithm."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from tests.chance import scores
from tests.rows import few
from thalweg.adapters.blackjax import potential, sampling_algorithm

VARIANCES = np.array([1.0, 0.25])


def logdensity(x):
    return -0.5 * jnp.sum(x["a"] ** 2 / VARIANCES) - 0.5 * jnp.sum((x["b"] - 1.0) ** 2)


ROWS = [row for row in tw.table() if row.method.normals]


@pytest.mark.parametrize("row", few(ROWS, "sgld", "mala", "baoab"))
def test_scanned_it_makes_the_steps_of_the_method(row, key):
    method = row.build(potential(logdensity))
    algorithm = sampling_algorithm(method)
    start = {"a": jnp.ones(2), "b": jnp.zeros(())}
    keys = jax.random.split(key, 5)
    last, seen = jax.lax.scan(lambda s, k: algorithm.step(k, s), algorithm.init(start, key), keys)
    state = method.init(start)
    for k in keys:
        state = method.step(state, method.draw(k, state.position))
    for ours, other in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-12)
    np.testing.assert_allclose(seen.energy[-1], -logdensity(state.position), rtol=1e-12)


def test_whether_a_step_was_accepted(key):
    algorithm = sampling_algorithm(tw.mala(potential(logdensity), 0.5))
    start = {"a": jnp.ones(2), "b": jnp.zeros(())}

    def step(state, k):
        after, info = algorithm.step(k, state)
        return after, (after.position["a"][0] != state.position["a"][0], info.is_accepted)

    _, (moved, accepted) = jax.lax.scan(step, algorithm.init(start), jax.random.split(key, 200))
    assert (moved == accepted).all() and 20 < accepted.sum() < 200


def test_the_law_is_that_of_the_density(key, chance):
    algorithm = sampling_algorithm(tw.mala(potential(logdensity), 0.3))

    def chain(k):
        state = algorithm.init({"a": jnp.zeros(2), "b": jnp.zeros(())})
        state, _ = jax.lax.scan(lambda s, k: (algorithm.step(k, s)[0], None), state, jax.random.split(k, 100))
        return state.position

    drawn = jax.vmap(chain)(jax.random.split(key, 5000))
    assert np.abs(scores(drawn["a"] ** 2, VARIANCES)).max() < chance.z(2, checks=2)
    assert abs(scores(drawn["b"], 1.0)) < chance.z(checks=2)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (logdensity, "method must be a tw.Method"),
        (tw.mala(None, 0.1), "this method was built without an objective"),
        (tw.momentum(logdensity, 0.1, 0.9), "this method draws nothing"),
        (tw.sgld(tw.FiniteSum(lambda x, s: x * s, np.ones(4), 2, replace=False, epochs=True), 0.1), "knows not which"),
    ],
)
def test_wrong_input_is_one_line(method, words, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=words):
        sampling_algorithm(method)
    with pytest.raises(tw.InputError, match="logdensity_fn must be a function"):
        potential(3.0)
