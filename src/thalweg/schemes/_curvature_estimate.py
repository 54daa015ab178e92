"""The curvature that a scheme finds for itself as it goes, and what that costs in gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._objectives.objective import AbstractObjective, Batch
from .._tree import Vector, combine, inner

# Hessian-vector products at the start, and at every refreshment from the direction found before.
FIRST, AGAIN = 20, 4
EVERY = 5
# A power iteration comes from below, and the curvature may grow until the next one.
SAFETY = 1.1


class CurvatureEstimate(eqx.Module):
    """The largest curvature with its direction, None where the objective states it; gradients and steps so far."""

    gradients: Int[Array, ""]
    steps: Int[Array, ""]
    curvature: Float[Array, ""] | None = None
    direction: Vector | None = None


def begin(objective: AbstractObjective, position: Vector, estimated: bool) -> CurvatureEstimate:
    """The curvature at the start, from a random direction that is always the same."""
    none = jnp.zeros((), int)
    if not estimated:
        return CurvatureEstimate(none, none)
    leaves, structure = jax.tree.flatten(position)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    drawn = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    curvature, direction = _power(objective, position, jax.tree.unflatten(structure, drawn), FIRST, None)
    return CurvatureEstimate(none + 2 * FIRST, none, curvature, direction)


def refreshed(
    estimate: CurvatureEstimate, objective: AbstractObjective, position: Vector, batch: Batch
) -> CurvatureEstimate:
    """The curvature here, where it has grown old; a Hessian-vector product counts as 2 gradients."""
    if estimate.direction is None:
        return estimate
    old = (estimate.curvature, estimate.direction)
    due = (estimate.steps > 0) & (estimate.steps % EVERY == 0)
    curvature, direction = jax.lax.cond(
        due, lambda: _power(objective, position, estimate.direction, AGAIN, batch), lambda: old
    )
    gradients = estimate.gradients + jnp.where(due, 2 * AGAIN, 0)
    return CurvatureEstimate(gradients, estimate.steps, curvature, direction)


def _power(
    objective: AbstractObjective, position: Vector, start: Vector, products: int, batch: Batch
) -> tuple[Float[Array, ""], Vector]:
    r"""$\|Hv\|$ for the last unit vector v, at least its Rayleigh quotient, and the next one."""

    def normalised(v: Vector) -> tuple[Array, Vector]:
        norm = jnp.sqrt(inner(v, v))
        return norm, combine((1.0 / jnp.where(norm > 0, norm, 1.0), v))

    def multiply(_: Array, carry: tuple[Array, Vector]) -> tuple[Array, Vector]:
        norm, v = normalised(objective.hessian_vector_product(position, carry[1], batch))
        # Where nothing curves, the direction is kept for where something does.
        return norm.astype(float), jax.tree.map(lambda new, old: jnp.where(norm > 0, new, old), v, carry[1])

    return jax.lax.fori_loop(0, products, multiply, (jnp.zeros((), float), normalised(start)[1]))
