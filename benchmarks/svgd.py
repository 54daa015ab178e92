"""Stein variational gradient descent beside BlackJAX's: one step of 2,000 particles, the same kernel and bandwidth.

Both take the steps of plain gradient descent in one compiled program, and their particles are checked to agree.
"""

from collections.abc import Iterator

import blackjax
import jax
import jax.numpy as jnp
import optax

import thalweg as tw
from benchmarks._harness import Result, compare

# (particles, dimension, steps)
CASES = ((2_000, 2, 1), (2_000, 10, 1))
STEP, BANDWIDTH = 0.1, 1.3


def potential(x: jax.Array) -> jax.Array:
    return jnp.sum(0.05 * x**4 + 0.5 * x**2)


def results() -> Iterator[Result]:
    for count, d, steps in CASES:
        start = 2.0 * jax.random.normal(jax.random.key(0), (count, d))
        case = f"{count:,} particles in {d} dimensions, {steps} step"
        yield compare(case, mine(start, steps), peer(start, steps), 0.5, 7, 1e-11)


def mine(start: jax.Array, steps: int):
    geometry = tw.geometry.Stein(tw.measures.GaussianKernel(BANDWIDTH))
    method = tw.Method(tw.GradientFlow(tw.measures.KL(potential), geometry=geometry), tw.Euler(), STEP)
    run = jax.jit(lambda x: tw.solve(method, tw.measures.Particles(x), steps).final.position.positions)
    return lambda: run(start)


def peer(start: jax.Array, steps: int):
    # Its length_scale is twice the square of our bandwidth; the median of the distances would be another kernel.
    algorithm = blackjax.svgd(
        jax.grad(lambda x: -potential(x)), optax.sgd(STEP), update_kernel_parameters=lambda state: state
    )

    @jax.jit
    def run(x: jax.Array):
        state = algorithm.init(x, {"length_scale": 2.0 * BANDWIDTH**2})
        return jax.lax.fori_loop(0, steps, lambda _, state: algorithm.step(state), state).particles

    return lambda: run(start)
