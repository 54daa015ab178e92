"""Krylov subspaces of an operator that need not be symmetric, on vectors: Arnoldi's method and GMRES."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from .._krylov import Operator
from .._tree import length

# In full precision, also where a processor would round what it multiplies.
matmul = partial(jnp.matmul, precision="highest")
# Dimensions of a space before GMRES begins anew from what it has.
RESTART = 40


class Hessenberg(NamedTuple):
    r"""An orthonormal basis $v_1, v_2, \dots$ of a Krylov space and the operator in it, $AV_m = V_{m+1}H$.

    The first `count` columns of H are filled, the others are zero.
    """

    vectors: Float[Array, "m_and_1 n"]
    matrix: Float[Array, "m_and_1 m"]
    count: Int[Array, ""]

    @property
    def coupling(self) -> Float[Array, ""]:
        """The strength with which the operator leads out of the space, 0 where it does not."""
        return self.matrix[self.count, self.count - 1]


def arnoldi(
    operator: Operator, b: Float[Array, " n"], size: int, finished: Callable[[Hessenberg], Array]
) -> Hessenberg:
    """The Krylov space of b, grown until `finished` says so, it is invariant, or it has `size` dimensions.

    Every new vector is made orthogonal to all before it, twice.

    Reference: Saad (1992).
    """
    ulps = 4.0 * jnp.finfo(b.dtype).eps

    def grow(carry: tuple[Hessenberg, Array]) -> tuple[Hessenberg, Array]:
        basis, _ = carry
        i = basis.count
        rest = image = operator(basis.vectors[i])
        column = jnp.zeros(size + 1, b.dtype)
        for _ in range(2):
            along = matmul(basis.vectors, rest)
            rest, column = rest - matmul(along, basis.vectors), column + along
        norm = length(rest)
        # What rounding leaves of a vector that lies in the space is no new direction.
        norm = jnp.where(norm > ulps * length(image), norm, 0.0)
        following = jnp.where(norm > 0.0, rest / jnp.where(norm > 0.0, norm, 1.0), 0.0)
        column = column.at[i + 1].set(norm)
        grown = Hessenberg(basis.vectors.at[i + 1].set(following), basis.matrix.at[:, i].set(column), i + 1)
        return grown, (norm == 0.0) | finished(grown)

    def unfinished(carry: tuple[Hessenberg, Array]) -> Array:
        return (carry[0].count < size) & ~carry[1]

    norm = length(b)
    first = b / jnp.where(norm > 0.0, norm, 1.0)
    empty = Hessenberg(
        jnp.zeros((size + 1, b.size), b.dtype).at[0].set(first),
        jnp.zeros((size + 1, size), b.dtype),
        jnp.zeros((), int),
    )
    return jax.lax.while_loop(unfinished, grow, (empty, ~(norm > 0.0)))[0]


class Found(NamedTuple):
    """End of GMRES: the solution, the norm of what is left, and how many products were taken."""

    x: Float[Array, " n"]
    residual: Float[Array, ""]
    products: Int[Array, ""]


def gmres(operator: Operator, b: Float[Array, " n"], tolerance: ArrayLike, products: int) -> Found:
    r"""Solve $Ax = b$ from zero, for any A.

    JAX's own `jax.scipy.sparse.linalg.gmres` does not say how many products it took, nor whether they sufficed.

    Arguments:
        operator: v to Av.
        b: the right-hand side.
        tolerance: of the residual's norm, in units of b.
        products: at most so many, rounded up to a multiple of what a cycle takes.

    Reference: Saad and Schultz (1986).
    """
    size = min(RESTART, b.size, products)

    def reduced(basis: Hessenberg, norm: Array) -> tuple[Array, Array]:
        """The coefficients of least residual, and the residual in the basis."""
        filled = jnp.arange(size) < basis.count
        # Columns that are not filled stand for directions of their own, in which nothing is to be gone.
        matrix = jnp.where(filled[None, :], basis.matrix, jnp.eye(size + 1, size, -1, dtype=b.dtype))
        right = jnp.zeros(size + 1, b.dtype).at[0].set(norm)
        q, r = jnp.linalg.qr(matrix)
        # Of an operator that is singular on the space, the direction that it takes to nothing is left out.
        steep = jnp.abs(jnp.diag(r)) > jnp.finfo(b.dtype).tiny
        r = jnp.where(steep[:, None], r, jnp.eye(size, dtype=b.dtype))
        along = jax.scipy.linalg.solve_triangular(r, jnp.where(steep, matmul(q.T, right), 0.0))
        along = jnp.where(filled, along, 0.0)
        return along, right - matmul(matrix, along)

    def cycle(carry: tuple[Found, Array, Array]) -> tuple[Found, Array, Array]:
        found, left, _ = carry
        norm = found.residual

        def finished(basis: Hessenberg) -> Array:
            return length(reduced(basis, norm)[1]) <= tolerance

        basis = arnoldi(operator, left, size, finished)
        along, rest = reduced(basis, norm)
        left = matmul(rest, basis.vectors)
        residual = length(left)
        x = found.x + matmul(along, basis.vectors[:size])
        # A cycle that gains nothing is followed by none that does.
        return Found(x, residual, found.products + basis.count), left, ~(residual < 0.999 * norm)

    def unfinished(carry: tuple[Found, Array, Array]) -> Array:
        found, _, stuck = carry
        return (found.residual > tolerance) & (found.products < products) & ~stuck

    start = Found(jnp.zeros_like(b), length(b), jnp.zeros((), int))
    end = jax.lax.while_loop(unfinished, cycle, (start, b, jnp.zeros((), bool)))[0]
    # What is not finite is no solution of zero.
    return end._replace(x=jnp.where(jnp.isfinite(end.residual), end.x, jnp.nan))
