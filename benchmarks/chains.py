"""What do chains cost beside the normals that they draw?

Ours is the compiled chunk of `tw.sample` that keeps moments alone; the peer draws as many normals in blocks of the same
shape, and adds them up. In float32. That the chains are right is tested in tests/_loops/test_sample.py.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from benchmarks._harness import Result, compare
from thalweg._loops.chains import Plan, advance, start_chains

# (chains, dimension, steps, bound): many chains, and one long scalar one.
CASES = ((1_000, 1, 4_096, 1.25), (100_000, 1, 40, 1.25), (1_000, 100, 40, 1.25), (1, 1, 2**20, 1.5))


def quartic(x: jax.Array) -> jax.Array:
    return jnp.sum(0.25 * x**4)


def results() -> Iterator[Result]:
    law = tw.UnderdampedLangevin(quartic, friction=1.0, temperature=1.0)
    methods = {
        "Euler-Maruyama": tw.sgld(quartic, 0.05),
        "BAOAB": tw.Method(law, tw.Splitting("BAOAB"), 0.1),
    }
    for chains, d, steps, bound in CASES:
        for name, method in methods.items():
            ours, plan = moments(method, chains, d, steps)
            case = f"{name}, {chains:,} x {d}, {steps:,} steps"
            yield compare(case, ours, normals(plan, d, steps), bound, 9, None)


def moments(method: tw.Method, chains: int, d: int, steps: int) -> tuple[Callable, Plan]:
    """A chunk of chains from the origin in float32, and how it is cut."""
    plan = Plan.of(method, chains, d, 1, True)
    start = start_chains(method, jnp.zeros((chains, d), jnp.float32))
    rows, reference, key = steps // plan.cell + 2, {"position": start.position}, jax.random.key(0)
    return lambda: advance(method, start, key, np.int64(0), np.int64(steps), reference, plan, rows, False), plan


def normals(plan: Plan, d: int, steps: int) -> Callable:
    shape = (plan.block, plan.chains, d)

    def block(i: jax.Array, total: jax.Array) -> jax.Array:
        return total + jnp.sum(jax.random.normal(jax.random.fold_in(jax.random.key(0), i), shape, jnp.float32))

    count = -(-steps // plan.block)
    return jax.jit(lambda: jax.lax.fori_loop(0, count, block, jnp.zeros((), jnp.float32)))
