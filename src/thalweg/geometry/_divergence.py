"""The divergence of an inverse metric in its coordinates, by automatic differentiation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import InputError
from .._tree import Vector, ravel, size, unraveler

# Derivatives of a metric are taken one parameter at a time: more are refused.
_MOST = 300


def divergence(velocity: Callable[[Vector, Vector], Vector], position: Vector) -> Vector:
    r"""$\sum_j\partial_jG^{-1}_{ij}(\theta)$ of $\mathtt{velocity}(\theta, p) = G^{-1}(\theta)\,p$.

    Raises:
        InputError: there are more than 300 parameters.
    """
    cut, flat, count = unraveler(position), ravel(position), size(position)
    if count > _MOST:
        raise InputError(
            f"the divergence of a metric takes a derivative in each of {count} parameters, of {_MOST} at most; "
            "give a number as a function of the position, or a metric that is constant"
        )

    def of(direction: Array) -> Array:
        return jax.jvp(lambda x: ravel(velocity(cut(x), cut(direction))), (flat,), (direction,))[1]

    return cut(jnp.sum(jax.lax.map(of, jnp.eye(count, dtype=flat.dtype)), axis=0))
