"""What does drawing a mini-batch without replacement cost in a compiled loop, beside jax.random.choice?

The two draw other samples; that ours are as likely is tested in tests/_objectives/test_objective.py.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

import thalweg as tw
from benchmarks._harness import Result, compare

CASES = ((1_797, 64, 300), (1_797, 900, 300), (1_000_000, 64, 3))


def results() -> Iterator[Result]:
    for count, batch, steps in CASES:
        f = tw.FiniteSum(lambda x, s: x * s, jnp.zeros(count), batch, replace=False)
        key = jax.random.key(0)

        def sorting(key: jax.Array, step: jax.Array, count: int = count, batch: int = batch) -> jax.Array:
            return jax.random.choice(jax.random.fold_in(key, step), count, (batch,), replace=False)

        ours, peer = _loop(f.draw, steps), _loop(sorting, steps)
        case = f"{steps} times {batch} of {count:,}"
        yield compare(case, lambda ours=ours: ours(key), lambda peer=peer: peer(key), 0.2, 7, None)


def _loop(draw: Callable, steps: int) -> Callable:
    return jax.jit(lambda key: jax.lax.fori_loop(0, steps, lambda i, total: total + draw(key, i).sum(), 0))
