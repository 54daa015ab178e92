"""Common parts of schemes that solve for their step: the velocity eliminated, what a step has cost, what failed."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import InputError, check_count, check_number, is_real
from .._krylov import Operator, rounding
from .._module import Module
from .._objectives.objective import Batch
from .._tree import Vector, combine, ravel, size, unraveler, wide_dtype, zeros_like
from ..dynamics import AbstractDamped, AbstractDynamics, GradientFlow
from ..dynamics._base import Time, at_time
from ._base import AbstractScheme
from ._curved import without_cubic
from ._state import Clock, Report, State


class Effort(Module):
    """Gradients and products with the Hessian since the start, and the steps that were not solved.

    Of a law that is not that of a gradient: evaluations of the right-hand side, and products with its Jacobian.
    """

    gradients: Int[Array, "..."]
    products: Int[Array, "..."]
    failures: Int[Array, "..."]

    def plus(self, gradients: ArrayLike, products: ArrayLike, failed: ArrayLike) -> "Effort":
        return Effort(self.gradients + gradients, self.products + products, self.failures + failed)


def is_gradient(dynamics: AbstractDynamics) -> bool:
    """Tell whether the force of a damped law is that of its objective, at the position."""
    parts = ("evaluate", "force", "force_of")
    own = all(getattr(type(dynamics), name, None) is getattr(AbstractDamped, name) for name in parts)
    return isinstance(dynamics, AbstractDamped) and own


def is_eliminated(dynamics: AbstractDynamics) -> bool:
    """Tell whether a step is solved for the position alone, with the Hessian and a multiple of the identity."""
    # The minimum that a step is is one of a function that stays the same while it is made.
    changing = dynamics.objective_changes
    return (isinstance(dynamics, GradientFlow) or is_gradient(dynamics)) and not changing


class AbstractSolving(AbstractScheme):
    """A scheme that solves for its step, to a tolerance, as far as it gets.

    Where the force is that of the objective, the matrix of what is solved is the Hessian plus a number times the
    identity, and symmetric. Of any other law, `tw.Field` for one, it is that of the whole phase, from products with
    the Jacobian of the right-hand side.
    """

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if not is_eliminated(dynamics) and getattr(self, "preconditioner", None) is not None:
            raise InputError(
                f"a preconditioner stands for a Hessian and a multiple of the identity, to which "
                f"{type(dynamics).__name__} does not lead; leave it out"
            )

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        return not is_eliminated(dynamics)

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        check_fits(getattr(self, "preconditioner", None), position)
        state = super().init(dynamics, position, step_size, velocity, clock)
        none = jnp.zeros((), int)
        return dataclasses.replace(state, memory=Effort(none, none, none))

    def report(self, state: State) -> Report:
        # A product with the Hessian, or with the Jacobian of a field, counts 2.
        return Report(gradients=state.memory.gradients + 2 * state.memory.products)

    def without_interpolation(self, dynamics: AbstractDynamics) -> str:
        return without_cubic(dynamics)

    def hessian_products(self, state: State) -> Int[Array, "..."]:
        """Products with the Hessian, or the Jacobian, since the start; of `run.state`, say."""
        return state.memory.products

    def failures(self, state: State) -> Int[Array, "..."]:
        """Steps since the start that ended short of the tolerance, at what had been reached; of `run.state`, say."""
        return state.memory.failures

    @property
    def takes_learning_rate(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True)
class Elimination:
    r"""An implicit step as a minimum: of $f(\theta + \delta) + \tfrac\sigma2|\delta - d|^2$ over the move $\delta$.

    `shift` is $\sigma$, `ahead` is d: where the step would go if there were no force.
    """

    shift: Float[Array, ""]
    ahead: Vector


def eliminated(dynamics: AbstractDynamics, state: State, time: Time, step_size: ArrayLike) -> Elimination:
    r"""The implicit Euler step with the coefficients of a time, its velocity $\delta/h$ eliminated.

    $$\sigma = \frac1{bh},\; d = 0\quad\text{(gradient flow)},\qquad
      \sigma = \frac m{h^2} + \frac\lambda h,\; d = \frac{hm}{m + \lambda h}\,\eta\quad\text{(second order)}$$
    """
    h, dtype = jnp.asarray(step_size), wide_dtype(state.position)
    if isinstance(dynamics, GradientFlow):
        shift = 1.0 / (h * at_time(dynamics.rate, time))
        return Elimination(shift.astype(dtype), zeros_like(state.position))
    assert isinstance(dynamics, AbstractDamped)
    slowed = dynamics.mass + h * jnp.asarray(dynamics.friction_at(time))
    return Elimination((slowed / h / h).astype(dtype), combine((h * dynamics.mass / slowed, state.velocity)))


def time_after(state: State, duration: ArrayLike) -> Time:
    """The time a while after that of the state, where it is carried."""
    return None if state.clock is None else state.clock.after(duration)


def precise(tolerance: Float[Array, ""], x: Vector) -> Float[Array, ""]:
    """A relative tolerance that the precision of x allows: a few units in the last place at least."""
    return jnp.maximum(tolerance, rounding(x)).astype(wide_dtype(x))


def slope(dynamics: AbstractDynamics, batch: Batch) -> Operator:
    """The gradient on one mini-batch."""
    return lambda x: dynamics._objective().gradient(x, batch)


def as_preconditioner(value: Any) -> Any:
    """A function as it is, a tree of curvatures as one vector; what is neither is refused by name."""
    if value is None or callable(value):
        return value
    leaves = jax.tree.leaves(value)
    if not leaves or not all(is_real(leaf) for leaf in leaves):
        return value
    return ravel(jax.tree.map(lambda leaf: jnp.asarray(leaf, float), value))


def check_solver(tolerance: Any, preconditioner: Any = None, **counts: Any) -> None:
    """Refuse what no solver can work with."""
    check_number("tolerance", tolerance, at_least=0.0)
    check_number("tolerance", tolerance, below=1.0)
    for name, count in counts.items():
        check_count(name, count)
    if preconditioner is None or callable(preconditioner) or isinstance(preconditioner, Tracer):
        return
    if not isinstance(preconditioner, jax.Array):
        raise InputError(
            f"preconditioner must be a function or an array of curvatures, one a parameter, but is {preconditioner!r}"
        )
    curvatures = np.asarray(preconditioner)
    if not (np.all(np.isfinite(curvatures)) and np.all(curvatures >= 0.0)):
        raise InputError("preconditioner must hold curvatures, finite and at least 0; take their absolute values")


def check_fits(preconditioner: Any, position: Vector) -> None:
    """Refuse curvatures that are not one a parameter."""
    if isinstance(preconditioner, jax.Array) and preconditioner.size != size(position):
        raise InputError(
            f"preconditioner must hold a curvature for each of the {size(position)} parameters, "
            f"but holds {preconditioner.size}"
        )


def preconditioning(preconditioner: Any, shift: Float[Array, ""], like: Vector) -> Operator:
    r"""$v \mapsto M^{-1}v$: with curvatures D by $M = \sigma + D$."""
    if preconditioner is None:
        return lambda v: v
    if callable(preconditioner):
        return preconditioner
    curvatures = unraveler(like)(preconditioner)
    return lambda v: jax.tree.map(
        lambda leaf, curvature: (leaf / (shift + curvature.astype(shift.dtype))).astype(leaf.dtype), v, curvatures
    )
