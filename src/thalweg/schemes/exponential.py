"""The exponential Euler method: the linear part of the motion by its exponential, in a Krylov space."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from .._errors import InputError
from .._krylov import Basis, Operator, lanczos
from .._tree import Vector, combine, length, scalar, wide_dtype
from ..dynamics import AbstractDamped, AbstractDynamics, GradientFlow
from ..dynamics._base import at_time
from ._base import AbstractScheme, phase
from ._general import changed, exponential_change, flat_field
from ._modes import oscillator, phi
from ._solving import AbstractSolving, check_solver, is_eliminated, precise, slope, time_after
from ._state import Draws, State

# Of a curvature to factors: the first is that of the position.
Factors = Callable[[Array], tuple[Array, ...]]


class ExponentialEuler(AbstractSolving):
    r"""The motion of the law linearised where the step begins, exactly: of order 2, and without a limit of the step.

    $$y^+ = y + h\,\varphi_1(hJ)\,F(y),\qquad \varphi_1(z) = \frac{e^z - 1}z$$

    with J the law's Jacobian at y; on gradient flow
    $\theta^+ = \theta - bh\,\varphi_1(-bh\nabla^2 f)\nabla f(\theta)$. Coefficients that depend on time are those in
    the middle of the step. The function of the Hessian is taken in its Krylov space of the gradient, by Lanczos'
    method. On a second-order law J is not symmetric, but every mode of the Hessian is an oscillator by itself, whose
    motion is known: two Krylov spaces, of the gradient and of the velocity, are what the step is taken from. On a law
    that is not that of a gradient J is that of the whole phase: up to 256 numbers its function is taken whole, of more
    in a Krylov space of F(y), by Arnoldi's method.

    A space is grown until the residual of the linear motion in it is below the tolerance, or it is full; a step from a
    full one that is not is counted among `failures`. Where the curvature is negative the motion grows, as it should.

    Arguments:
        krylov: dimensions of a space, at most; each takes a product with the Hessian, and the memory of one gradient.
        tolerance: of the residual times the step, relative to the move, from 0; below what the precision of the
            parameters allows it is that.

    Raises:
        InputError: as in `tw.ImplicitEuler`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2))
    >>> method = tw.Method(flow, tw.ExponentialEuler(), 3.0)
    >>> x = method.step(method.init(jnp.array([1.0]))).position[0]
    >>> bool(abs(x - jnp.exp(-3.0)) < 1e-12)
    True

    Reference: Hochbruck and Ostermann (2010); for the Krylov space, Saad (1992).
    """

    krylov: int = eqx.field(default=30, static=True)
    tolerance: Float[Array, ""] = eqx.field(default=1e-8, converter=scalar)
    dense: bool = eqx.field(default=False, static=True, kw_only=True, repr=False)
    order: ClassVar[int] = 2

    def __check_init__(self) -> None:
        check_solver(self.tolerance, krylov=self.krylov)
        if not isinstance(self.dense, bool):
            raise InputError(f"dense must be True or False, but is {self.dense!r}")

    def without_derivative(self, dynamics: AbstractDynamics) -> str:
        # That of eigenvectors in a space which is not full is NaN, and a space does not see what leads out of it.
        if self.dense or not is_eliminated(dynamics):
            return ""
        return "its Krylov space of the gradient has none; take tw.ImplicitMidpoint()"

    def without_reverse(self) -> str:
        return "" if self.dense else "it grows its spaces until they are large enough; take tw.ImplicitMidpoint()"

    def linearised(self) -> AbstractScheme:
        """The same by the eigenvectors of the Hessian, since a Krylov space is not linear in what it is made from."""
        return dataclasses.replace(self, dense=True)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h, here, dtype = jnp.asarray(step_size), state.position, wide_dtype(state.position)
        time = time_after(state, 0.5 * h)
        if not is_eliminated(dynamics):
            field, tolerance = flat_field(dynamics, phase(state), draws.batch), precise(self.tolerance, here)
            return changed(state, exponential_change(field, time, h, tolerance, self.krylov), h)
        gradient, curved = jax.linearize(slope(dynamics, draws.batch), here)
        clock = None if state.clock is None else state.clock.tick(h)
        if isinstance(dynamics, GradientFlow):
            duration = (h * at_time(dynamics.rate, time)).astype(dtype)
            [move], products, failed = self._spread(
                curved, gradient, lambda z: (duration * phi(-duration * z),), duration
            )
            memory = state.memory.plus(1, products, failed)
            return dataclasses.replace(state, position=combine((1, here), (-1, move)), clock=clock, memory=memory)
        assert isinstance(dynamics, AbstractDamped)
        mass, damping = dynamics.mass.astype(dtype), jnp.asarray(dynamics.friction_at(time)) / dynamics.mass

        def motion(curvature: Array) -> tuple[Array, Array, Array]:
            return oscillator(curvature / mass, damping, h)

        squared = (h * h).astype(dtype) / mass
        (pushed, kicked), taken, short = self._spread(curved, gradient, lambda z: motion(z)[1::-1], squared)
        (drifted, kept), products, failed = self._spread(curved, state.velocity, lambda z: motion(z)[::2], squared)
        return dataclasses.replace(
            state,
            position=combine((1, here), (1, drifted), (-1.0 / mass, pushed)),
            buffer=combine((1, kept), (-1.0 / mass, kicked)),
            clock=clock,
            memory=state.memory.plus(1, products + taken, failed | short),
        )

    def _spread(
        self, operator: Operator, b: Vector, factors: Factors, scale: Array
    ) -> tuple[list[Vector], Int[Array, ""], Bool[Array, ""]]:
        """Functions of the operator on b, the products taken, and whether the first is short of the tolerance."""
        if self.dense:
            eye = jnp.eye(b.size, dtype=b.dtype)
            # On a quadratic, for which this is, the Hessian does not depend on the point.
            values, modes = jnp.linalg.eigh(jax.lax.stop_gradient(jax.vmap(operator)(eye)))
            return (
                [modes @ (factor * (modes.T @ b)) for factor in factors(values)],
                jnp.zeros((), int),
                jnp.zeros((), bool),
            )

        def coefficients(basis: Basis) -> list[Array]:
            values, modes = jnp.linalg.eigh(basis.matrix)
            return [modes @ (factor * modes[0]) for factor in factors(values)]

        def finished(basis: Basis) -> Array:
            first = coefficients(basis)[0]
            left = scale * basis.coupling * jnp.abs(first[basis.count - 1])
            return left <= precise(self.tolerance, b) * jnp.sqrt(jnp.sum(first * first))

        basis, norm = lanczos(operator, b, self.krylov, finished), length(b)
        found = [basis.combined(norm * row) for row in coefficients(basis)]
        return found, basis.count, ~finished(basis)
