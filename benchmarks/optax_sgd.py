"""Is a step of ours as fast as a step of optax.sgd, both in a bare compiled scan?"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax

import thalweg as tw
from benchmarks._harness import Result, compare


def results() -> Iterator[Result]:
    for d, steps in ((2, 2_000_000), (100, 500_000), (10_000, 50_000), (1_000_000, 300)):
        spectrum = jnp.logspace(-2, 0, d)
        x0 = jnp.ones(d)

        def fn(x: jax.Array, spectrum: jax.Array = spectrum) -> jax.Array:
            return 0.5 * jnp.sum(spectrum * x * x)

        for name, method, peer in (
            ("GD", tw.gradient_descent(fn, 0.1), optax.sgd(0.1)),
            ("momentum", tw.momentum(fn, 0.1, 0.9), optax.sgd(0.1, momentum=0.9)),
            ("Nesterov", tw.nesterov(fn, 0.1, 0.9), optax.sgd(0.1, momentum=0.9, nesterov=True)),
        ):
            ours, theirs = scan_of_method(method, steps), scan_of_optax(fn, peer, steps)
            # Long after convergence both are zero; the answer is compared early.
            early = compare(
                name,
                lambda m=method: scan_of_method(m, 20)(x0),
                lambda p=peer, f=fn: scan_of_optax(f, p, 20)(x0),
                9e9,
                1,
            )
            timed = compare(f"{name}, d = {d}", lambda o=ours: o(x0), lambda t=theirs: t(x0), 1.05, 11, None)
            yield dataclasses.replace(timed.per(steps), difference=early.difference)


def scan_of_method(method: tw.Method, steps: int):
    @jax.jit
    def loop(x: jax.Array) -> jax.Array:
        state, _ = jax.lax.scan(lambda s, _: (method.step(s), None), method.init(x), None, length=steps)
        return state.lookahead

    return loop


def scan_of_optax(fn, optimizer: optax.GradientTransformation, steps: int):
    @jax.jit
    def loop(x: jax.Array) -> jax.Array:
        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(jax.grad(fn)(x), state, x)
            return (optax.apply_updates(x, updates), state), None

        return jax.lax.scan(step, (x, optimizer.init(x)), None, length=steps)[0][0]

    return loop
