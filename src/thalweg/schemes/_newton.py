"""Newton's method with conjugate gradients, for the minimum that an implicit step is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._krylov import Operator, conjugate_gradients, rounding
from .._objectives.objective import Batch
from .._tree import Vector, combine, length, wide_dtype, wide_inner, zeros_like
from ..dynamics import AbstractDynamics, Evaluation
from ._solving import Elimination, preconditioning, slope

# Of the predicted decrease a step must make so much; the slope at its end may have turned to so much of its own.
_DECREASE, _TURNED = 1e-4, 0.8
_HALVINGS = 40
# The first products are not wasted on a linear model that the function may not follow.
_FORCING = 0.1


class Implicit(NamedTuple):
    """A move, what it has cost, and whether it is short of the tolerance."""

    move: Vector
    gradients: Int[Array, ""]
    products: Int[Array, ""]
    failed: Bool[Array, ""]


class _Iterate(NamedTuple):
    move: Vector
    energy: Float[Array, ""]
    residual: Vector
    size: Float[Array, ""]
    misfit: Float[Array, ""]
    largest: Float[Array, ""]
    gradients: Int[Array, ""]
    products: Int[Array, ""]
    iterations: Int[Array, ""]
    solved: Bool[Array, ""]
    stalled: Bool[Array, ""]


class _Trial(NamedTuple):
    along: Float[Array, ""]
    move: Vector
    energy: Float[Array, ""]
    residual: Vector
    accepted: Bool[Array, ""]
    count: Int[Array, ""]


def implicit_move(
    dynamics: AbstractDynamics, here: Vector, step: Elimination, tolerance: Float[Array, ""], iterations: int,
    products: int, preconditioner: Any, batch: Batch = None, evaluation: Evaluation | None = None,
    preconditioner_at: Callable[[Vector], Operator] | None = None,
) -> Implicit:  # fmt: skip
    r"""The move $\delta$ of an implicit step, $\sigma(\delta - d) + \nabla f(\theta + \delta) = 0$.

    `preconditioner_at` makes one of the move that an iteration begins with, where the curvature changes much.

    Its derivatives are those of the equation, not of the iterations.

    Reference: Nocedal and Wright (2006), algorithm 7.1, with the accuracy of each linear system as in Eisenstat and
    Walker (1996), choice 1, and the line search's acceptance near rounding as in Hager and Zhang (2005).
    """
    dtype, ulps = wide_dtype(here), rounding(here)
    precondition = preconditioning(preconditioner, step.shift, here)
    objective = dynamics._objective()
    # Taken at the point of the state itself, where a loss that is recorded shares it.
    if evaluation is None or evaluation.value is None:
        energy, gradient = objective.value_and_gradient(here, batch)
    else:
        energy, gradient = evaluation.value, evaluation.gradient

    def residual(move: Vector) -> Vector:
        force = slope(dynamics, batch)(combine((1, here), (1, move)))
        return combine((1, force), (step.shift, combine((1, move), (-1, step.ahead))))

    def total(move: Vector, energy: Array) -> Array:
        gap = combine((1, move), (-1, step.ahead))
        return energy.astype(dtype) + 0.5 * step.shift * wide_inner(gap, gap)

    def tried(move: Vector) -> tuple[Array, Vector]:
        energy, gradient = objective.value_and_gradient(combine((1, here), (1, move)), batch)
        return total(move, energy), combine((1, gradient), (step.shift, combine((1, move), (-1, step.ahead))))

    scale = step.shift * length(step.ahead) + length(gradient)

    def goal(move: Vector, largest: Array) -> Array:
        # A point is known to its last place only, and its gradient so much less as the curvature is large.
        place = ulps * length(combine((1, here), (1, move)))
        return jnp.maximum(tolerance * scale, place * (step.shift + largest))

    def searched(now: _Iterate, towards: Vector, rate: Array) -> _Trial:
        noise = ulps * jnp.abs(now.energy)

        def unfinished(trial: _Trial) -> Array:
            return ~trial.accepted & (trial.count < _HALVINGS)

        def halve(trial: _Trial) -> _Trial:
            along = jnp.where(trial.count == 0, 1.0, 0.5 * trial.along).astype(dtype)
            move = combine((1, now.move), (along, towards))
            energy, left = tried(move)
            lower = energy <= now.energy + _DECREASE * along * rate
            level = (energy <= now.energy + noise) & (wide_inner(left, towards) <= _TURNED * jnp.abs(rate))
            return _Trial(along, move, energy, left, (lower | level) & jnp.isfinite(length(left)), trial.count + 1)

        none = jnp.zeros((), bool)
        start = _Trial(jnp.ones((), dtype), now.move, now.energy, now.residual, none, jnp.zeros((), int))
        return jax.lax.while_loop(unfinished, halve, start)

    def iterate(now: _Iterate) -> _Iterate:
        left, curved = jax.linearize(residual, now.move)
        target = goal(now.move, now.largest)
        accuracy = jnp.maximum(jnp.minimum(_FORCING, now.misfit) * now.size, 0.3 * target)
        here_now = precondition if preconditioner_at is None else preconditioner_at(now.move)
        found = conjugate_gradients(curved, combine((-1.0, left)), accuracy, products, here_now)
        rate = wide_inner(left, found.x)
        trial = searched(now, found.x, rate)
        move, residual_ = (
            jax.tree.map(lambda new, old: jnp.where(trial.accepted, new, old), new, old)
            for new, old in ((trial.move, now.move), (trial.residual, now.residual))
        )
        size = length(residual_)
        largest = jnp.maximum(now.largest, found.largest - step.shift)
        solved = size <= goal(move, largest)
        # Where no more than rounding is left to go down, and the residual no longer falls, this is the minimum.
        level = jnp.abs(rate) <= 2.0 * ulps * jnp.abs(now.energy)
        stuck = ~trial.accepted | (level & (size > 0.5 * now.size))
        return _Iterate(
            move, jnp.where(trial.accepted, trial.energy, now.energy), residual_, size,
            jnp.abs(size - found.residual) / now.size, largest, now.gradients + 1 + trial.count,
            now.products + found.products, now.iterations + 1, solved | (stuck & level), stuck,
        )  # fmt: skip

    def unfinished(now: _Iterate) -> Array:
        return ~now.solved & ~now.stalled & (now.iterations < iterations)

    def newton(_: Any, move: Vector) -> tuple[Vector, tuple[Array, ...]]:
        left = combine((1, gradient), (-step.shift, step.ahead))
        none, size = jnp.zeros((), int), length(left)
        first = _Iterate(
            move, total(move, energy), left, size, jnp.ones((), dtype), jnp.zeros((), dtype), none + 1, none, none,
            size <= tolerance * scale, jnp.zeros((), bool),
        )  # fmt: skip
        end = jax.lax.while_loop(unfinished, iterate, first)
        return end.move, _as_numbers(end.gradients, end.products, ~end.solved)

    tangent = tangent_solver(here, products, precondition)
    move, (gradients, taken, failed) = jax.lax.custom_root(residual, zeros_like(here), newton, tangent, has_aux=True)
    return Implicit(move, gradients.astype(int), taken.astype(int), failed > 0)


def _as_numbers(*counts: Array) -> tuple[Array, ...]:
    """Counts as `jax.lax.custom_root` takes them, which wants derivatives of whatever it gives back."""
    return tuple(count.astype(jnp.float32) for count in counts)


def linear_move(
    dynamics: AbstractDynamics, here: Vector, step: Elimination, tolerance: Float[Array, ""], products: int,
    preconditioner: Any, batch: Batch = None,
) -> Implicit:  # fmt: skip
    r"""The move $(\sigma + B)\,\delta = \sigma d - \nabla f$, or where that is indefinite one downhill.

    B is the Hessian, of least squares the Gauss-Newton curvature.

    Its derivatives are those of the equation.
    """
    objective = dynamics._objective()
    gradient, curved = objective.linearised_gradient(here, batch)
    precondition = preconditioning(preconditioner, step.shift, here)

    def equation(move: Vector) -> Vector:
        # Only derivatives are taken of it; products are those of what has been linearised.
        slopes = objective.gradient_along(here, move, batch)
        return combine((1, slopes), (step.shift, combine((1, move), (-1, step.ahead))))

    def solve(_: Any, move: Vector) -> tuple[Vector, tuple[Array, ...]]:
        del move
        b = combine((step.shift, step.ahead), (-1, gradient))
        goal = tolerance * length(b)
        found = conjugate_gradients(lambda v: combine((1, curved(v)), (step.shift, v)), b, goal, products, precondition)
        return found.x, _as_numbers(found.products, ~(found.residual <= goal))

    move, (taken, failed) = jax.lax.custom_root(
        equation, zeros_like(here), solve, tangent_solver(here, products, precondition), has_aux=True
    )
    return Implicit(move, jnp.ones((), int), taken.astype(int), failed > 0)


def tangent_solver(like: Vector, products: int, precondition: Operator) -> Callable[[Operator, Vector], Vector]:
    """Solve for derivatives: as far as the precision goes, at any sign of the curvature."""

    def solve(operator: Operator, b: Vector) -> Vector:
        return conjugate_gradients(operator, b, rounding(like) * length(b), products, precondition, signs=True).x

    return lambda operator, b: jax.lax.custom_linear_solve(operator, b, solve, symmetric=True)
