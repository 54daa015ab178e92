r"""Linear systems $(1 - hJ)x = b$ whose matrix need not be symmetric: small ones by elimination, others by GMRES."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from .._krylov import Operator
from .._tree import length
from ._arnoldi import gmres

# Systems of up to so many numbers are solved by elimination: their Jacobian is taken column by column.
DENSE = 256


class Solved(NamedTuple):
    """A solution, the products taken for it, and whether it is short of the tolerance."""

    x: Float[Array, " n"]
    products: Int[Array, ""]
    failed: Bool[Array, ""]


class Systems(NamedTuple):
    r"""Systems of one matrix $1 - hJ$: how to solve one, and the products that were taken to set them up.

    `direct` tells whether they are eliminated. `spread(v)` is $\sqrt{\sum_{ij}J_{ij}^2v_j^2}$, times the last digit
    what rounding v leaves in Jv; of what is not eliminated an estimate, without bias in its square, from a product.
    """

    solve: Callable[[Float[Array, " n"], ArrayLike], Solved]
    products: int
    direct: bool
    spread: Callable[[Float[Array, " n"]], Float[Array, ""]]


def systems(
    product: Operator, h: ArrayLike, like: Float[Array, " n"], products: int, dense: int = DENSE, scale: Any = None
) -> Systems:
    r"""Systems $(1 - hJ)x = b$.

    Arguments:
        product: v to Jv.
        h: the number before J.
        like: a vector of the length and dtype of x.
        products: with J for a system that is not eliminated, at most.
        dense: numbers of which a system is eliminated, at most.
        scale: a vector by whose entries the residual is measured; None for ones. Elimination takes no notice of it.

    Returns:
        `Systems`, whose `solve(b, tolerance)` solves to a norm of the residual, which elimination leaves unread.
    """
    n, h = like.size, jnp.asarray(h).astype(like.dtype)
    if n <= dense:
        eye = jnp.eye(n, dtype=like.dtype)
        jacobian = jax.vmap(product, out_axes=1)(eye)
        factors = jax.scipy.linalg.lu_factor(eye - h * jacobian)

        def eliminated(b: Array, tolerance: ArrayLike) -> Solved:
            del tolerance
            x = jax.scipy.linalg.lu_solve(factors, b)
            return Solved(x, jnp.zeros((), int), ~jnp.all(jnp.isfinite(x)))

        return Systems(eliminated, n, True, lambda v: length(jacobian * v[None, :]))

    scale = jnp.ones_like(like) if scale is None else scale

    def matrix(v: Array) -> Array:
        return v - h * product(v * scale) / scale

    def iterated(b: Array, tolerance: ArrayLike) -> Solved:
        b = b / scale

        def solve(_: Any, x: Array) -> tuple[Array, tuple[Array, Array]]:
            del x
            found = gmres(matrix, b, tolerance, products)
            # As `jax.lax.custom_root` takes them, which wants derivatives of whatever it gives back.
            short = ~(found.residual <= tolerance)
            return found.x, (found.products.astype(jnp.float32), short.astype(jnp.float32))

        x, (taken, short) = jax.lax.custom_root(
            lambda x: matrix(x) - b, jnp.zeros_like(b), solve, tangents(products), has_aux=True
        )
        return Solved(x * scale, taken.astype(int), short > 0)

    signs = jax.random.rademacher(jax.random.key(0), (n,), like.dtype)
    return Systems(iterated, 0, False, lambda v: length(product(signs * v)))


def tangents(products: int) -> Callable[[Operator, Array], Array]:
    """Solve for derivatives, as far as the precision goes, forwards and backwards."""

    def solve(operator: Operator, b: Array) -> Array:
        if b.size <= DENSE:
            matrix = jax.vmap(operator, out_axes=1)(jnp.eye(b.size, dtype=b.dtype))
            return jnp.linalg.solve(matrix, b)
        return gmres(operator, b, 4.0 * jnp.finfo(b.dtype).eps * length(b), products).x

    return lambda operator, b: jax.lax.custom_linear_solve(operator, b, solve, transpose_solve=solve)
