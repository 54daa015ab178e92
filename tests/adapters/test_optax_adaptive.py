"""Adam's family as transformations of optax, in the chains and wrappers that its users put around it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import muon

import thalweg as tw

PARAMS = {"w": jnp.array([[1.0, -0.5], [0.25, 2.0]]), "b": jnp.array([0.5, -1.5])}


def loss(params):
    return jnp.sum(jnp.cosh(params["w"] - 0.3)) + jnp.sum((params["b"] - 4.0) ** 2) + params["b"][0] * params["w"][0, 0]


def path(optimizer, steps=25):
    @jax.jit
    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), length=steps)[1]


def same(one, other, rtol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13), path(one), path(other))


def ours(make, **numbers):
    return tw.adapters.optax.transformation(make(None, **numbers))


def falling(step):
    return 0.1 / (1.0 + jnp.asarray(step, float))


PAIRS = {
    "adam": (lambda a: ours(tw.adam, learning_rate=a), optax.adam),
    "adamw": (lambda a: ours(tw.adamw, learning_rate=a, weight_decay=0.1), lambda a: optax.adamw(a, weight_decay=0.1)),
    "nadam": (lambda a: ours(tw.nadam, learning_rate=a), optax.nadam),
    "rmsprop": (lambda a: ours(tw.rmsprop, learning_rate=a), optax.rmsprop),
    "muon": (lambda a: ours(tw.muon, learning_rate=a, weight_decay=0.1), lambda a: muon(a, weight_decay=0.1)),
    "lion": (lambda a: ours(tw.lion, learning_rate=a, weight_decay=0.1), lambda a: optax.lion(a, weight_decay=0.1)),
}


@pytest.mark.parametrize("rate", [0.05, falling], ids=["a number", "a schedule"])
@pytest.mark.parametrize("name", PAIRS)
def test_the_updates_are_those_of_optax(name, rate):
    one, other = PAIRS[name]
    same(one(rate), other(rate))


@pytest.mark.parametrize("name", ["adam", "adamw", "lion", "muon"])
def test_an_injected_learning_rate_leaves_the_averages(name):
    one, other = PAIRS[name]
    same(optax.inject_hyperparams(lambda a: one(a))(falling), optax.inject_hyperparams(lambda a: other(a))(falling))


def test_clipping_stands_before_it_and_masks_and_groups_around_it():
    mask = {"w": True, "b": False}
    clipped = [optax.chain(optax.clip_by_global_norm(0.5), PAIRS["adamw"][i](0.05)) for i in (0, 1)]
    same(*clipped)
    labels = {"w": "slow", "b": "fast"}
    same(*(optax.partition({"slow": PAIRS["adamw"][i](0.01), "fast": PAIRS["adam"][i](0.1)}, labels) for i in (0, 1)))
    same(*(optax.partition({"slow": PAIRS["muon"][i](0.01), "fast": PAIRS["adam"][i](0.1)}, labels) for i in (0, 1)))
    # A decay of some parameters alone: the decayed and the others are groups, as in torch.
    mine = optax.partition({True: PAIRS["adamw"][0](0.05), False: PAIRS["adam"][0](0.05)}, mask)
    same(mine, optax.adamw(0.05, weight_decay=0.1, mask=mask))


def test_in_float32_and_below_the_updates_keep_their_dtype():
    with jax.enable_x64(False):
        optimizer = ours(tw.adamw, learning_rate=0.01)
        params = {"w": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(2, jnp.float32)}
        updates, state = optimizer.update(params, optimizer.init(params), params)
        assert [leaf.dtype for leaf in jax.tree.leaves(updates)] == [jnp.float32, jnp.bfloat16]
        assert {leaf.dtype for leaf in jax.tree.leaves(state.auxiliary)} == {jnp.dtype(jnp.float32)}


def test_what_takes_the_parameters_says_so():
    optimizer = ours(tw.adamw, learning_rate=0.01)
    with pytest.raises(tw.InputError, match=r"takes the parameters too; call update\(gradients, state, params\)"):
        optimizer.update(PARAMS, optimizer.init(PARAMS))
