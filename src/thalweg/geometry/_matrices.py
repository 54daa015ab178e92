"""Functions of symmetric matrices, smooth also where eigenvalues are equal."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arrays import turned

exponential = jax.scipy.linalg.expm


def solve_sylvester(h: Float[Array, "*k p p"], right: Float[Array, "*k p p"]) -> Float[Array, "*k p p"]:
    """The a of $Ha + aH$ = right, of a positive definite H."""

    def solve(_: Any, right: Array) -> Array:
        values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(h))
        inner = turned(vectors) @ right @ vectors
        return vectors @ (inner / (values[..., :, None] + values[..., None, :])) @ turned(vectors)

    # Derivatives are those of the equation: those of an eigenvector are infinite where two eigenvalues are equal.
    return jax.lax.custom_linear_solve(lambda a: h @ a + a @ h, right, solve, symmetric=True)


@jax.custom_jvp
def logarithm(s: Float[Array, "*k p p"]) -> Float[Array, "*k p p"]:
    """The symmetric logarithm of a symmetric positive definite matrix; NaN of any other."""
    values, vectors = jnp.linalg.eigh(s)
    return (vectors * jnp.log(values)[..., None, :]) @ turned(vectors)


@logarithm.defjvp
def _logarithm_jvp(primals: Any, tangents: Any) -> Any:
    (s,), (moved,) = primals, tangents
    found = logarithm(s)

    def solve(_: Any, right: Array) -> Array:
        values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(s))
        a, b = values[..., :, None], values[..., None, :]
        # log(a/b)/(a - b), of which neither difference cancels.
        r = (a - b) / b
        flat = jnp.abs(r) < 1e-30
        quotient = jnp.where(flat, 1.0, jnp.log1p(r) / jnp.where(flat, 1.0, r)) / b
        return vectors @ (quotient * (turned(vectors) @ right @ vectors)) @ turned(vectors)

    # The inverse of the exponential's derivative, so that the next derivative is right, and finite, too.
    return found, jax.lax.custom_linear_solve(
        lambda way: jax.jvp(exponential, (found,), (way,))[1], moved, solve, symmetric=True
    )
