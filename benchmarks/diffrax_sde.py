"""Euler-Maruyama on overdamped Langevin dynamics beside diffrax: one chain, its last position.

The peer draws by its virtual Brownian tree (a path known anywhere) and by its unsafe path (a normal a step).
What they draw differs; that ours is right is tested.
"""

from collections.abc import Iterator

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np

import thalweg as tw
from benchmarks._harness import Result, compare
from thalweg._loops.chains import Plan, advance, start_chains

CASES = ((1, 20_000), (100, 4_000), (10_000, 200))
STEP, TEMPERATURE = 0.01, 1.0


def potential(x: jax.Array) -> jax.Array:
    return jnp.sum(0.25 * x**4)


def results() -> Iterator[Result]:
    for d, steps in CASES:
        ours = mine(d, steps)
        for name, bound in (("virtual Brownian tree", 0.05), ("unsafe path", 1.0)):
            yield compare(f"d = {d:,}, {steps:,} steps, {name}", ours, peer(d, steps, name), bound, 7, None)


def mine(d: int, steps: int):
    method = tw.sgld(potential, STEP, TEMPERATURE)
    plan = Plan.of(method, 1, d, steps, False)
    start, key = start_chains(method, jnp.zeros((1, d))), jax.random.key(0)
    reference = {"position": start.position}
    return lambda: advance(method, start, key, np.int64(0), np.int64(1), reference, plan, 1, False)[0].position


def peer(d: int, steps: int, path: str):
    end, shape = STEP * steps, jax.ShapeDtypeStruct((d,), float)
    gradient = jax.grad(potential)
    spread = lineax.DiagonalLinearOperator(jnp.full(d, jnp.sqrt(2.0 * TEMPERATURE)))

    @jax.jit
    def solve(key):
        if path == "unsafe path":
            noise = diffrax.UnsafeBrownianPath(shape, key)
        else:
            noise = diffrax.VirtualBrownianTree(0.0, end, STEP / 2, shape, key)
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, y, args: -gradient(y)),
            diffrax.ControlTerm(lambda t, y, args: spread, noise),
        )
        return diffrax.diffeqsolve(
            terms, diffrax.Euler(), 0.0, end, STEP, jnp.zeros(d), max_steps=steps + 8,
            saveat=diffrax.SaveAt(t1=True), adjoint=diffrax.DirectAdjoint() if path == "unsafe path"
            else diffrax.RecursiveCheckpointAdjoint(),
        ).ys  # fmt: skip

    return lambda: solve(jax.random.key(0))
