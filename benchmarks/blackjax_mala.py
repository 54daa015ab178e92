"""Metropolis-adjusted Langevin beside BlackJAX's: the same chains, steps and acceptance.

Each moves many chains in one compiled program and sums up what they pass. The acceptance of both is checked to agree.
"""

from collections.abc import Iterator

import blackjax
import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from benchmarks._harness import Result, compare
from thalweg._loops.chains import Plan, advance, start_chains

# (chains, dimension, steps)
CASES = ((1, 10, 20_000), (100, 10, 1_000), (1_000, 100, 50))
STEP = 0.3


def potential(x: jax.Array) -> jax.Array:
    return jnp.sum(0.25 * x**4 + 0.5 * x**2)


def results() -> Iterator[Result]:
    for chains, d, steps in CASES:
        step = STEP * d ** (-1 / 3)
        ours, theirs = mine(chains, d, steps, step), peer(chains, d, steps, step)
        a, b = ours()[1], theirs()[1]
        if abs(a - b) > 0.02:
            raise AssertionError(f"acceptance {a:.3f} of ours, {b:.3f} of the peer")
        case = f"{chains:,} x {d}, {steps:,} steps, accepted {a:.2f} / {b:.2f}"
        yield compare(case, lambda ours=ours: ours()[0], lambda theirs=theirs: theirs()[0], 0.8, 7, None)


def mine(chains: int, d: int, steps: int, step: float):
    method = tw.mala(potential, step)
    plan = Plan.of(method, chains, d, 1, True)
    start = start_chains(method, jnp.zeros((chains, d)))
    rows, reference, key = steps // plan.cell + 2, {"position": start.position}, jax.random.key(0)

    def run():
        states, kept = advance(method, start, key, np.int64(0), np.int64(steps), reference, plan, rows, False)
        return kept, float(jnp.mean(method.scheme.acceptance(states)))

    return run


def peer(chains: int, d: int, steps: int, step: float):
    algorithm = blackjax.mala(lambda x: -potential(x), step)

    @jax.jit
    def chain(start, keys):
        def one(carry, key):
            state, first, second, accepted = carry
            state, info = algorithm.step(key, state)
            x = state.position
            return (state, first + x, second + x * x, accepted + info.is_accepted), None

        carry = (algorithm.init(start), jnp.zeros(d), jnp.zeros(d), 0)
        return jax.lax.scan(one, carry, keys)[0]

    split = jax.jit(
        lambda: jax.vmap(lambda key: jax.random.split(key, steps))(jax.random.split(jax.random.key(0), chains))
    )
    many = jax.jit(jax.vmap(chain))

    def run():
        # Keys are a part of the work: ours are made in the loop.
        _, first, second, accepted = many(jnp.zeros((chains, d)), split())
        return (first, second), float(jnp.mean(accepted) / steps)

    return run
