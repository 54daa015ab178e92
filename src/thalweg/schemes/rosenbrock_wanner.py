"""Rosenbrock-Wanner methods: one step that reads a tableau, linearly implicit in all of a law's phase."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import InputError, check_count, check_number
from .._krylov import rounding
from .._objectives.objective import Batch
from .._tree import Vector, combine, length, scalar
from ..dynamics import AbstractDynamics, Evaluation, Phase
from ._arnoldi import matmul
from ._base import phase
from ._estimating import AbstractEstimating, Attempt
from ._general import flat_field, wide_vector
from ._linear_systems import DENSE, Solved, systems
from ._solving import Effort, precise
from ._state import Clock, Draws, Report, State
from .rosenbrock_tableau import RODAS5P, RosenbrockTableau, square

# Of the error that a step may make a system may leave so much: stages are added up with coefficients of tens.
_SHARE = 1e-3


class RosenbrockWanner(AbstractEstimating):
    r"""A Rosenbrock-Wanner method: linearly implicit, for stiff laws, of fixed step or in `tw.Adaptive`.

    Every stage is one linear system with the same matrix $1/\gamma h - J$, of the Jacobian at the start of the step, so
    that nothing is iterated to be nonlinearly implicit. The law is any without noise, its Jacobian need not be
    symmetric, and all of its phase is moved.

    Up to `dense` numbers J is taken column by column and the matrix eliminated once a step. Above, every system is
    solved by GMRES from products with J to a tolerance, in `tw.Adaptive` to a thousandth of what that allows the error
    of a step. What is not solved is counted among `failures`, and in `tw.Adaptive` it is a rejected step.

    Arguments:
        tableau: a `RosenbrockTableau`.
        tolerance: of a system's residual at fixed step, relative to its right-hand side, from 0; below what the
            precision allows it is that.
        products: with J for a system of a stage, at most.
        dense: numbers in the phase up to which the matrix is eliminated.

    Raises:
        InputError: a number is out of its range, or with the law, where it has noise.

    >>> import jax, thalweg as tw, jax.numpy as jnp
    >>> slow = tw.Field(lambda t, x, rate: -rate * (x - jnp.cos(t)), 1e6)
    >>> method = tw.Method(slow, tw.Rodas5P(), 0.1)
    >>> end = jax.lax.fori_loop(0, 10, lambda _, state: method.step(state), method.init(jnp.array([1.0])))
    >>> bool(abs(end.position[0] - jnp.cos(1.0)) < 1e-6)
    True

    Reference: Hairer and Wanner (1996), section IV.7.
    """

    tableau: RosenbrockTableau = eqx.field(static=True)
    tolerance: Float[Array, ""] = eqx.field(default=1e-8, converter=scalar)
    products: int = eqx.field(default=1000, static=True)
    dense: int = eqx.field(default=DENSE, static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.tableau, RosenbrockTableau):
            raise InputError(f"tableau must be a tw.RosenbrockTableau, but is {self.tableau!r}")
        check_number("tolerance", self.tolerance, at_least=0.0)
        check_number("tolerance", self.tolerance, below=1.0)
        check_count("products", self.products)
        check_count("dense", self.dense, at_least=0)

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def name(self) -> str:
        """The tableau's name."""
        return self.tableau.name

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        del dynamics
        return True

    def check_estimate(self) -> None:
        if self.tableau.embedded is None:
            raise InputError(
                f"tableau {self.tableau.name!r} has no embedded weights to see its error by; use tw.Rodas5P()"
            )

    def report(self, state: State) -> Report:
        # A product with the Jacobian counts 2, and a Jacobian is one of each column.
        return Report(gradients=state.memory.gradients + 2 * state.memory.products)

    def hessian_products(self, state: State) -> Int[Array, "..."]:
        """Products with the Jacobian since the start, on gradient flow with the Hessian; of `run.state`, say."""
        return state.memory.products

    def failures(self, state: State) -> Int[Array, "..."]:
        """Steps since the start with a system that was not solved to the tolerance; of `run.state`, say."""
        return state.memory.failures

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        none = jnp.zeros((), int)
        state = super().init(dynamics, position, step_size, velocity, clock)
        return dataclasses.replace(state, memory=Effort(none, none, none))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h = jnp.asarray(step_size)
        found = self.attempt(dynamics, state.clock, phase(state), h, memory=state.memory, batch=draws.batch)
        clock = None if state.clock is None else state.clock.tick(h)
        end = found.end
        return State(end.position, end.velocity, clock=clock, memory=found.memory, auxiliary=end.auxiliary)

    def attempt(
        self, dynamics: AbstractDynamics, clock: Clock | None, y: Phase, h: Array, slope: Phase | None = None,
        memory: Any = None, allowed: Callable[[], Phase] | None = None, batch: Batch = None,
        evaluation: Evaluation | None = None,
    ) -> Attempt:  # fmt: skip
        # The Jacobian takes the evaluation with it.
        del slope, evaluation
        tableau, field = self.tableau, flat_field(dynamics, y, batch)
        here, start = field.here, None if clock is None else clock.time
        first, product = field.at(start, here)
        # Numbers of the step in the precision of the phase, so that float32 stays it.
        span, h = h, h.astype(here.dtype)
        scale = None if allowed is None else wide_vector(allowed()).astype(here.dtype)
        system = systems(product, h * tableau.gamma, here, self.products, self.dense, scale)
        evaluations, products, failed = len(tableau.m), jnp.asarray(system.products), jnp.zeros((), bool)
        # A law that is the same at all times has no such term, though a clock may be carried.
        drift = None
        changes = not dynamics.autonomous or dynamics.objective_changes
        if start is not None and changes:
            _, drift = jax.jvp(lambda t: field(t, here), (start,), (jnp.ones_like(start),))
            products = products + 1

        def stage(i: Any, slope: Array, back: Array) -> Solved:
            right = h * slope + back
            if drift is not None:
                right = right + (slopes[i].astype(h.dtype) * h * h) * drift
            right = tableau.gamma * right
            return system.solve(right, self._residual(right, scale, y))

        def slope_at(i: Any, here: Array) -> Array:
            return field(None if clock is None else clock.after(times[i] * span), here)

        times, slopes = jnp.asarray(tableau.times), jnp.asarray(tableau.slopes)
        found = stage(0, first, jnp.zeros_like(here))
        products, failed = products + found.products, failed | found.failed
        stages = [found.x]
        if system.direct:
            for i, (a, c) in list(enumerate(zip(tableau.a, tableau.c, strict=True)))[1:]:
                found = stage(i, slope_at(i, _summed(here, a, stages)), _summed(jnp.zeros_like(here), c, stages))
                failed = failed | found.failed
                stages.append(found.x)
        else:
            # In a loop, so that what solves a system is compiled twice and not once a stage.
            count = len(tableau.m)
            a, c = (jnp.asarray(square(rows), h.dtype) for rows in (tableau.a, tableau.c))

            def following(carry: tuple, i: Array) -> tuple[tuple, None]:
                stages, products, failed = carry
                found = stage(i, slope_at(i, here + matmul(a[i], stages)), matmul(c[i], stages))
                return (stages.at[i].set(found.x), products + found.products, failed | found.failed), None

            start = jnp.zeros((count, here.size), here.dtype).at[0].set(found.x)
            (rest, products, failed), _ = jax.lax.scan(following, (start, products, failed), jnp.arange(1, count))
            stages = list(rest)
        end = combine((1, y), (1, field.wide(_summed(jnp.zeros_like(here), tableau.m, stages))))
        embedded = tableau.m if tableau.embedded is None else tableau.embedded
        off = _summed(jnp.zeros_like(here), [m - e for m, e in zip(tableau.m, embedded, strict=True)], stages)
        memory = memory.plus(evaluations, products, failed)
        return Attempt(end, field.wide(off), memory=memory, failed=failed)

    def _residual(self, right: Array, scale: Array | None, y: Phase) -> Array:
        """The residual's norm that a system may leave."""
        if scale is None:
            return precise(self.tolerance, y).astype(right.dtype) * length(right)
        size = length(right / scale)
        return jnp.maximum(_SHARE * jnp.sqrt(1.0 * right.size), rounding(y) * size).astype(right.dtype)

    @property
    def takes_learning_rate(self) -> bool:
        return True


def _summed(first: Array, coefficients: Any, stages: list[Array]) -> Array:
    for coefficient, stage in zip(coefficients, stages, strict=False):
        if coefficient != 0.0:
            first = first + coefficient * stage
    return first


def Rodas5P(tolerance: ArrayLike = 1e-8, products: int = 1000, dense: int = DENSE) -> RosenbrockWanner:
    """Steinebach's method for stiff laws, order 5 with eight stages, L-stable and stiffly accurate (2023).

    Arguments: as in `tw.RosenbrockWanner`.
    """
    return RosenbrockWanner(RODAS5P, tolerance, products, dense)
