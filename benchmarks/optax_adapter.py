"""Does our optax transformation cost a training step more than optax.sgd?

A jitted step of a network of two hidden layers, called from Python as people do; one call is a step.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

import thalweg as tw
from benchmarks._harness import Result, compare

WIDTH, SAMPLES, STEPS, BOUND = 256, 64, 200, 1.0


def loss(params: list[jax.Array], x: jax.Array) -> jax.Array:
    for w in params[:-1]:
        x = jnp.tanh(x @ w)
    return jnp.mean((x @ params[-1]) ** 2)


def results() -> Iterator[Result]:
    keys = jax.random.split(jax.random.key(0), 4)
    params = [jax.random.normal(key, (WIDTH, WIDTH), jnp.float32) / WIDTH**0.5 for key in keys[:3]]
    data = jax.random.normal(keys[3], (SAMPLES, WIDTH), jnp.float32)
    for name, method, peer in (
        ("GD", tw.gradient_descent(None, 0.1), optax.sgd(0.1)),
        ("momentum", tw.momentum(None, 0.1, 0.9), optax.sgd(0.1, 0.9)),
        ("Nesterov", tw.nesterov(None, 0.1, 0.9), optax.sgd(0.1, 0.9, nesterov=True)),
    ):
        ours, theirs = _loop(tw.adapters.optax.transformation(method), params, data), _loop(peer, params, data)
        found = compare(f"{name}, {3 * WIDTH**2:,} float32 parameters", ours, theirs, BOUND, 15, 1e-4)
        yield found.per(STEPS)


def _loop(optimizer: Any, params: list[jax.Array], data: jax.Array):
    @jax.jit
    def step(params: list[jax.Array], state: Any) -> tuple[list[jax.Array], Any]:
        updates, state = optimizer.update(jax.grad(loss)(params, data), state, params)
        return optax.apply_updates(params, updates), state

    def loop() -> jax.Array:
        now, state = params, optimizer.init(params)
        for _ in range(STEPS):
            now, state = step(now, state)
        return now[0]

    return loop
