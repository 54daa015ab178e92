"""Is a derivative through our fixed-step Runge-Kutta faster than one through diffrax's, at the same numbers?

A neural ODE of d numbers with a cheap field, so that the loop is measured and not the network. Ours is `tw.solve` with
the `gradient` that its documentation says is fastest: "direct" where all states fit into the cache, "checkpoint" where
they do not. The peer is the best of its checkpointed and its direct adjoint, each with constant steps and on a grid.
Value and gradient are those with respect to the start and to the parameters of the field.
"""

from collections.abc import Callable, Iterator

import diffrax
import jax
import jax.numpy as jnp

import thalweg as tw
from benchmarks._harness import Result, compare
from benchmarks.diffrax_fixed_step import RK4

STEP = 0.05


def results() -> Iterator[Result]:
    for d, steps, gradient, bound in ((100, 1_000, "direct", 0.5), (10_000, 100, "checkpoint", 0.8)):
        x0, weights = jnp.linspace(0.5, 2.0, d), jnp.linspace(0.5, 1.5, d)
        for name, scheme, solver in (("RK4", tw.RK4(), RK4()), ("Tsit5", tw.Tsit5(), diffrax.Tsit5())):
            ours = _derivative(_ours(scheme, steps, gradient))
            best = None
            for peer in _peers(solver, steps):
                theirs = _derivative(peer)
                found = compare(
                    f"{name}, d = {d}, {steps} steps", lambda f=ours: f(x0, weights), lambda f=theirs: f(x0, weights),
                    bound, 7, 1e-10,
                )  # fmt: skip
                best = found if best is None or found.peer < best.peer else best
            assert best is not None
            yield best


def field(t: object, x: jax.Array, weights: jax.Array) -> jax.Array:
    return -weights * jnp.tanh(x)


def _derivative(end: Callable) -> Callable:
    def cost(x0: jax.Array, weights: jax.Array) -> jax.Array:
        return jnp.sum(end(x0, weights) ** 2)

    @jax.jit
    def both(x0: jax.Array, weights: jax.Array) -> jax.Array:
        value, slopes = jax.value_and_grad(cost, (0, 1))(x0, weights)
        return jnp.concatenate([value[None], *slopes])

    return both


def _ours(scheme: tw.RungeKutta, steps: int, gradient: str) -> Callable:
    def end(x0: jax.Array, weights: jax.Array) -> jax.Array:
        method = tw.Method(tw.Field(field, weights), scheme, STEP)
        return tw.solve(method, x0, steps, gradient=gradient).final.position  # pyright: ignore

    return end


def _peers(solver: diffrax.AbstractSolver, steps: int) -> Iterator[Callable]:
    grid = STEP * jnp.arange(steps + 1)
    for adjoint in (diffrax.RecursiveCheckpointAdjoint(), diffrax.DirectAdjoint()):
        for controller, first in ((diffrax.ConstantStepSize(), STEP), (diffrax.StepTo(ts=grid), None)):

            def end(x0: jax.Array, weights: jax.Array, adjoint=adjoint, controller=controller, first=first):
                solution = diffrax.diffeqsolve(
                    diffrax.ODETerm(field), solver, 0.0, grid[-1], first, x0, args=weights, adjoint=adjoint,
                    saveat=diffrax.SaveAt(t1=True), stepsize_controller=controller, max_steps=steps + 1, throw=False,
                )  # fmt: skip
                assert solution.ys is not None
                return solution.ys[0]

            yield end
