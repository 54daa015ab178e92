"""Is a step of momentum on a sphere at most 1.5 times as long as one in flat space, both in a bare compiled scan?

On half of x'Ax by a dense matrix, whose product is most of a step; and by a diagonal, of which a flat step is a single
pass over the memory, while the projection and the geodesic take four inner products, one entry after another. Where
the memory sets the pace the bound cannot be had there: a flat step reads the diagonal, x and v and writes x and v, five
arrays; on the sphere nothing can be written before the inner products of these are known, so that three are read twice.
"""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

import thalweg as tw
from benchmarks._harness import Result, compare
from benchmarks.optax_sgd import scan_of_method

BOUND, REPEATS = 1.5, 9


def results() -> Iterator[Result]:
    for d, steps in ((100, 100_000), (1000, 2000), (3000, 300)):
        a = jax.random.normal(jax.random.key(0), (d, d))
        matrix = a @ a.T / (4 * d)
        yield timed(f"dense matrix, d = {d}", lambda x, matrix=matrix: 0.5 * x @ matrix @ x, d, steps)
    for d, steps in ((10_000, 20_000), (1_000_000, 100)):
        diagonal = jnp.logspace(-2, 0, d)
        yield timed(f"diagonal, d = {d}", lambda x, diagonal=diagonal: 0.5 * jnp.sum(diagonal * x * x), d, steps)


def timed(case: str, fn: Callable, d: int, steps: int) -> Result:
    x0 = jnp.full(d, d**-0.5)
    sphere = tw.riemannian_momentum(fn, 0.1, 0.9, tw.geometry.Sphere())
    ours, flat = scan_of_method(sphere, steps), scan_of_method(tw.momentum(fn, 0.1, 0.9), steps)
    found = compare(case, lambda: ours(x0), lambda: flat(x0), BOUND, REPEATS, None)
    # The motions are two: what is checked is that ours ends on the sphere.
    off = abs(float(jnp.linalg.norm(ours(x0))) - 1.0)
    return dataclasses.replace(found.per(steps), difference=off)
