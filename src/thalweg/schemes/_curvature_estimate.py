"""The curvature, or a field's spectral radius, that a scheme finds as it goes, and what that costs in gradients."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._krylov import Operator
from .._module import Module
from .._objectives.objective import Batch
from .._tree import Vector, combine, inner, ravel, unraveler
from ..dynamics import AbstractDynamics, GradientFlow, Phase
from ._base import derivative

# Products at the start, and at every refreshment from the direction found before.
FIRST, AGAIN = 20, 4
EVERY = 5
# A power iteration comes from below, and the curvature may grow until the next one.
SAFETY = 1.1


class CurvatureEstimate(Module):
    """The largest curvature with its direction, None where the objective states it; gradients and steps so far.

    Of a law that is not gradient flow the curvature is the spectral radius of its Jacobian.
    """

    gradients: Int[Array, ""]
    steps: Int[Array, ""]
    curvature: Float[Array, ""] | None = None
    direction: Vector | None = None


def begin(dynamics: AbstractDynamics, time: Any, y: Phase, estimated: bool) -> CurvatureEstimate:
    """The curvature at the start, from a random direction that is always the same."""
    none = jnp.zeros((), int)
    if not estimated:
        return CurvatureEstimate(none, none)
    point, operator = _bending(dynamics, time, y, None)
    # Drawn as one vector, so that it is the same on a tree and on the vector that a run makes of it.
    vector, cut = ravel(point), unraveler(point)
    (key,) = jax.random.split(jax.random.key(0), 1)
    curvature, direction = _power(operator, cut(jax.random.normal(key, vector.shape, vector.dtype)), FIRST)
    return CurvatureEstimate(none + 2 * FIRST, none, curvature, direction)


def refreshed(
    estimate: CurvatureEstimate, dynamics: AbstractDynamics, time: Any, y: Phase, batch: Batch
) -> CurvatureEstimate:
    """The curvature here, where it has grown old; a product counts as 2 gradients."""
    if estimate.direction is None:
        return estimate
    old = (estimate.curvature, estimate.direction)
    due = (estimate.steps > 0) & (estimate.steps % EVERY == 0)
    _, operator = _bending(dynamics, time, y, batch)
    curvature, direction = jax.lax.cond(due, lambda: _power(operator, estimate.direction, AGAIN), lambda: old)
    gradients = estimate.gradients + jnp.where(due, 2 * AGAIN, 0)
    return CurvatureEstimate(gradients, estimate.steps, curvature, direction)


def _bending(dynamics: AbstractDynamics, time: Any, y: Phase, batch: Batch) -> tuple[Vector, Operator]:
    """A tree like a direction, and the operator: the Hessian on gradient flow, the Jacobian of the phase elsewhere."""
    if isinstance(dynamics, GradientFlow):
        objective = dynamics._objective(time)
        return y.position, lambda v: objective.hessian_vector_product(y.position, v, batch)
    return y, lambda v: jax.jvp(lambda at: derivative(dynamics, time, at, batch), (y,), (v,))[1]


def _power(operator: Operator, start: Vector, products: int) -> tuple[Float[Array, ""], Vector]:
    r"""$\|Av\|$ for the last unit vector v, of a symmetric A at least its Rayleigh quotient, and the next one."""

    def normalised(v: Vector) -> tuple[Array, Vector]:
        norm = jnp.sqrt(inner(v, v))
        return norm, combine((1.0 / jnp.where(norm > 0, norm, 1.0), v))

    def multiply(_: Array, carry: tuple[Array, Vector]) -> tuple[Array, Vector]:
        norm, v = normalised(operator(carry[1]))
        # Where nothing curves, the direction is kept for where something does.
        return norm.astype(float), jax.tree.map(lambda new, old: jnp.where(norm > 0, new, old), v, carry[1])

    return jax.lax.fori_loop(0, products, multiply, (jnp.zeros((), float), normalised(start)[1]))
