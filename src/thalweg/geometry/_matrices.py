"""Functions of symmetric matrices, smooth also where eigenvalues are equal."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arrays import turned

# Coefficients of Taylor's series of a matrix of norm 1/2, by rows of four: the next term is 2^-16/16!, of no digit.
_COEFFICIENTS = (1.0 / np.cumprod([1.0, *range(1, 16)])).reshape(4, 4)
_MOST_SQUARINGS = 12


def exponential(m: Float[Array, "*k p p"]) -> Float[Array, "*k p p"]:
    """The exponential of matrices, NaN of a norm above 2048.

    By Taylor's series and squarings. That of SciPy and JAX chooses among rational functions, each with an elimination,
    so that a step takes three times as long to compile.
    """
    size = jnp.max(jnp.sum(jnp.abs(jax.lax.stop_gradient(m)), axis=-2), initial=0.0)
    count = jnp.maximum(jnp.ceil(jnp.log2(2.0 * size)), 0.0)
    m = m * jnp.exp2(-count).astype(m.dtype)
    one = jnp.broadcast_to(jnp.eye(m.shape[-1], dtype=m.dtype), m.shape)
    square = m @ m
    powers = (one, m, square, square @ m)
    fourth = square @ square
    rows = [sum(float(c) * power for c, power in zip(row, powers, strict=True)) for row in _COEFFICIENTS]
    total: Any = rows[-1]
    for row in rows[-2::-1]:
        total = row + fourth @ total

    def squared(total: Array, k: Array) -> tuple[Array, None]:
        return jax.lax.cond(k < count, lambda e: e @ e, lambda e: e, total), None

    total, _ = jax.lax.scan(squared, total, jnp.arange(_MOST_SQUARINGS, dtype=m.dtype))
    return jnp.where(count <= _MOST_SQUARINGS, total, jnp.nan)


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
