"""Is a step of Muon as fast as optax's, both in a bare compiled scan on the same matrices?"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from optax.contrib import muon

import thalweg as tw
from benchmarks._harness import Result, compare
from benchmarks.optax_sgd import scan_of_method, scan_of_optax

EARLY, REPEATS = 3, 7


def results() -> Iterator[Result]:
    for rows, columns, dtype, steps in (
        (64, 64, jnp.float64, 500), (256, 256, jnp.float64, 60), (1024, 256, jnp.float64, 20),
        (256, 256, jnp.float32, 100), (768, 768, jnp.float32, 6),
    ):  # fmt: skip
        aim, x0 = (jax.random.normal(jax.random.key(seed), (rows, columns), dtype) for seed in (0, 1))

        def fn(x: jax.Array, aim: jax.Array = aim) -> jax.Array:
            return 0.5 * jnp.sum((x - aim) ** 2)

        method, peer = tw.muon(fn, 1e-2), muon(1e-2)
        few, fews = scan_of_method(method, EARLY), scan_of_optax(fn, peer, EARLY)
        early = compare("Muon", lambda o=few, x=x0: o(x), lambda t=fews, x=x0: t(x), 9e9, 1, 1e-5)
        ours, theirs = scan_of_method(method, steps), scan_of_optax(fn, peer, steps)
        case = f"Muon, {rows} x {columns}, {jnp.dtype(dtype)}"
        timed = compare(case, lambda o=ours, x=x0: o(x), lambda t=theirs, x=x0: t(x), 1.05, REPEATS, None)
        yield dataclasses.replace(timed.per(steps), difference=early.difference)
