"""Is a step of Adam, AdamW, RMSprop and Lion as fast as optax's, both in a bare compiled scan?"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax

import thalweg as tw
from benchmarks._harness import Result, compare
from benchmarks.optax_sgd import scan_of_method, scan_of_optax

EARLY, REPEATS = 20, 7


def results() -> Iterator[Result]:
    for d, steps in ((100, 200_000), (10_000, 10_000), (1_000_000, 60)):
        spectrum, x0 = jnp.logspace(-2, 0, d), jnp.ones(d)

        def fn(x: jax.Array, spectrum: jax.Array = spectrum) -> jax.Array:
            return 0.5 * jnp.sum(spectrum * x * x)

        for name, method, peer in (
            ("Adam", tw.adam(fn, 1e-3), optax.adam(1e-3)),
            ("AdamW", tw.adamw(fn, 1e-3, weight_decay=0.01), optax.adamw(1e-3, weight_decay=0.01)),
            ("RMSprop", tw.rmsprop(fn, 1e-3), optax.rmsprop(1e-3)),
            ("Lion", tw.lion(fn, 1e-3), optax.lion(1e-3, weight_decay=0.0)),
        ):
            few, fews = scan_of_method(method, EARLY), scan_of_optax(fn, peer, EARLY)
            early = compare(name, lambda o=few: o(x0), lambda t=fews: t(x0), 9e9, 1, 1e-5)
            ours, theirs = scan_of_method(method, steps), scan_of_optax(fn, peer, steps)
            timed = compare(f"{name}, d = {d}", lambda o=ours: o(x0), lambda t=theirs: t(x0), 1.05, REPEATS, None)
            yield dataclasses.replace(timed.per(steps), difference=early.difference)
