"""Is our fixed-step Runge-Kutta faster than diffrax's, at the same numbers?

The peer is the best of four configurations of diffrax at each size: constant step size or a prescribed
grid of times, checkpointed or direct (bounded scan) loop.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from benchmarks._harness import Result, compare


class RK4(diffrax.AbstractERK):
    """The classical method as diffrax would have it; diffrax ships none."""

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        c=np.array([0.5, 0.5, 1.0]),
        b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        b_error=np.array([1 / 6 - 1, 1 / 3, 1 / 3, 1 / 6]),
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
    )
    interpolation_cls: ClassVar[Callable] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms: object) -> int:
        return 4


def results() -> Iterator[Result]:
    for d, steps in ((100, 20_000), (10_000, 1_000), (100_000, 100), (1_000_000, 10)):
        spectrum = jnp.logspace(-2, 0, d)
        x0 = jnp.ones(d)
        h = 0.1

        def fn(x: jax.Array, spectrum: jax.Array = spectrum) -> jax.Array:
            return 0.5 * jnp.sum(spectrum * x * x)

        for name, scheme, solver in (("RK4", tw.RK4(), RK4()), ("Tsit5", tw.Tsit5(), diffrax.Tsit5())):
            method = tw.Method(tw.GradientFlow(fn), scheme, h)
            ours = _ours(method, steps)
            best = None
            for theirs in _configurations(fn, solver, h, steps):
                found = compare(f"{name}, d = {d}", lambda o=ours: o(x0), lambda t=theirs: t(x0), 0.15, 7, 1e-12)
                best = found if best is None or found.ratio > best.ratio else best
            assert best is not None
            yield best.per(steps)


def _ours(method: tw.Method, steps: int):
    @jax.jit
    def loop(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda s, _: (method.step(s), None), method.init(x), None, length=steps)[0].position

    return loop


def _configurations(fn, solver: diffrax.AbstractSolver, h: float, steps: int) -> Iterator[Callable]:
    term = diffrax.ODETerm(lambda t, y, args: -jax.grad(fn)(y))
    grid = h * jnp.arange(steps + 1)
    for adjoint in (diffrax.RecursiveCheckpointAdjoint(), diffrax.DirectAdjoint()):
        for controller, dt0 in ((diffrax.ConstantStepSize(), h), (diffrax.StepTo(ts=grid), None)):

            @jax.jit
            def solve(x: jax.Array, adjoint=adjoint, controller=controller, dt0=dt0) -> jax.Array:
                solution = diffrax.diffeqsolve(
                    term, solver, 0.0, grid[-1], dt0, x, saveat=diffrax.SaveAt(t1=True), adjoint=adjoint,
                    stepsize_controller=controller, max_steps=steps + 1, throw=False,
                )  # fmt: skip
                assert solution.ys is not None
                return solution.ys[0]

            yield solve
