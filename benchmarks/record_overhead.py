"""What does a run that records every loss, shows progress and checkpoints cost over a bare scan?

The bare scan makes the same steps from a gradient that gives its loss too, and keeps the losses.
"""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp

import thalweg as tw
from benchmarks._harness import Result, compare

# So small that the answers compared are no zeros.
RATE = 1e-6


def results() -> Iterator[Result]:
    for d, steps in ((10_000, 200_000), (100_000, 16_000), (1_000_000, 4_000)):
        spectrum = jnp.logspace(-2, 0, d)
        x0 = jnp.ones(d)
        fn = tw.Objective(lambda x, s: 0.5 * jnp.sum(s * x * x), spectrum)
        method = tw.momentum(fn, RATE, 0.9)

        @jax.jit
        def bare(x: jax.Array, fn: tw.Objective = fn) -> tuple[jax.Array, jax.Array]:
            def step(carry: tuple, _: None) -> tuple:
                x, m = carry
                loss, gradient = fn.value_and_gradient(x)
                m = gradient + 0.9 * m
                return (x - RATE * m, m), loss

            (x, _), losses = jax.lax.scan(step, (x, jnp.zeros_like(x)), None, length=steps)
            return x, losses

        def recorded(method: tw.Method = method, x0: jax.Array = x0, steps: int = steps) -> jax.Array:
            folder = Path(tempfile.mkdtemp())
            with contextlib.redirect_stderr(io.StringIO()):
                run = tw.run(method, x0, steps, out=folder / "run", progress=True)
            shutil.rmtree(folder)
            return run.final.position

        yield compare(f"momentum, d = {d}, {steps} steps", recorded, lambda b=bare, x=x0: b(x)[0], 1.05, 7, 1e-10)
