"""Common parts of the laws with damping along the curvature."""

import jax.numpy as jnp
from jaxtyping import ArrayLike

from .._objectives.objective import AbstractObjective, Batch
from .._tree import Vector, combine


def damped_by_curvature(
    objective: AbstractObjective,
    position: Vector,
    velocity: Vector,
    weight: ArrayLike,
    friction: ArrayLike,
    strength: ArrayLike,
    batch: Batch = None,
) -> Vector:
    r"""$-w\nabla f(\theta) - \lambda\eta - \beta\nabla^2f(\theta)\,\eta$, gradient and product in one pass."""
    gradient, curved = objective.gradient_and_curvature(position, velocity, batch)
    return combine(*zip(map(jnp.negative, (weight, friction, strength)), (gradient, velocity, curved), strict=True))
