"""Krylov subspaces of a symmetric operator that is known by its products: conjugate gradients and Lanczos."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from ._tree import Vector, combine, length, wide_dtype, wide_inner, zeros_like

Operator = Callable[[Vector], Vector]


def rounding(x: Vector) -> float:
    """A few units in the last place of all leaves as one vector, in which a run has them."""
    return 4.0 * float(jnp.finfo(jnp.result_type(*jax.tree.leaves(x))).eps)


def _unit(x: Vector, norm: Float[Array, ""]) -> Vector:
    """x over its norm, zero where that is zero or too small to be divided by."""
    held = norm > jnp.finfo(norm.dtype).tiny
    return combine((jnp.where(held, 1.0 / jnp.where(held, norm, 1.0), 0.0), x))


class Solution(NamedTuple):
    """End of conjugate gradients.

    `residual` is the norm of what is left, `products` how many were taken, `curved` whether a direction of curvature
    0 or less was met, `largest` the largest Rayleigh quotient seen.
    """

    x: Vector
    residual: Float[Array, ""]
    products: Int[Array, ""]
    curved: Bool[Array, ""]
    largest: Float[Array, ""]


class _Search(NamedTuple):
    x: Vector
    left: Vector
    direction: Vector
    power: Float[Array, ""]
    residual: Float[Array, ""]
    products: Int[Array, ""]
    curved: Bool[Array, ""]
    largest: Float[Array, ""]


def conjugate_gradients(
    operator: Operator, b: Vector, tolerance: ArrayLike, products: int, precondition: Operator, signs: bool = False
) -> Solution:
    r"""Solve $Ax = b$ from zero, for a symmetric A.

    Where a direction of negative curvature is met, x stays what it is; as the first direction it is gone along, as far
    as a curvature of the other sign would have it. Either way $\langle x, b\rangle > 0$: x goes down where -b is a
    gradient. JAX's own `jax.scipy.sparse.linalg.cg` gives back neither its iterations nor such a direction.

    Arguments:
        operator: v to Av.
        b: the right-hand side.
        tolerance: of the residual's norm, in units of b.
        products: at most so many.
        precondition: v to an approximation of $A^{-1}v$, itself symmetric and positive definite.
        signs: go on through negative curvature, where A is invertible but not positive definite.

    Reference: Hestenes and Stiefel (1952); for the stop, Nocedal and Wright (2006), algorithm 7.1.
    """
    dtype, norm = wide_dtype(b), length(b)
    # Of a right-hand side of length 1, so that no square of a small one is lost.
    b, goal = _unit(b, norm), tolerance / jnp.where(norm > 0.0, norm, 1.0)

    def unfinished(s: _Search) -> Array:
        return (s.residual > goal) & (s.products < products) & ~s.curved

    def step(s: _Search) -> _Search:
        image = operator(s.direction)
        curvature = wide_inner(s.direction, image)
        usable = (curvature != 0.0) if signs else (curvature > 0.0)
        size = jnp.abs(curvature)
        along = s.power / jnp.where(usable, curvature, jnp.where(size > 0.0, size, 1.0))
        along = jnp.where(usable | (s.products == 0), along, 0.0)
        left = combine((1, s.left), (-along, image))
        reduced = precondition(left)
        power = wide_inner(left, reduced)
        direction = combine((1, reduced), (power / jnp.where(s.power != 0.0, s.power, 1.0), s.direction))
        quotient = curvature / wide_inner(s.direction, s.direction)
        return _Search(
            combine((1, s.x), (along, s.direction)), left, direction, power, length(left), s.products + 1, ~usable,
            jnp.maximum(s.largest, quotient),
        )  # fmt: skip

    first = precondition(b)
    start = _Search(
        zeros_like(b), b, first, wide_inner(b, first), length(b), jnp.zeros((), int), jnp.zeros((), bool),
        jnp.zeros((), dtype),
    )  # fmt: skip
    end = jax.lax.while_loop(unfinished, step, start)
    return Solution(combine((norm, end.x)), norm * end.residual, end.products, end.curved, end.largest)


class Basis(NamedTuple):
    r"""An orthonormal basis $v_1, v_2, \dots$ of a Krylov space and the operator in it, $\alpha$ and $\beta$.

    The first `count` vectors are filled, the others are zero; the leaves of `vectors` have an axis for them.
    """

    vectors: Vector
    diagonal: Float[Array, " m"]
    beside: Float[Array, " m"]
    count: Int[Array, ""]

    @property
    def matrix(self) -> Float[Array, "m m"]:
        """The operator in this basis, a tridiagonal matrix."""
        filled = jnp.arange(self.diagonal.size)
        beside = jnp.where(filled + 1 < self.count, self.beside, 0.0)[:-1]
        diagonal = jnp.where(filled < self.count, self.diagonal, 0.0)
        return jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1)

    @property
    def coupling(self) -> Float[Array, ""]:
        r"""$\beta$ behind the last vector: how strongly the operator leads out of the space, 0 where it does not."""
        return self.beside[self.count - 1]

    def combined(self, coefficients: Float[Array, " m"]) -> Vector:
        r"""$\sum_i c_i v_i$."""
        return jax.tree.map(lambda leaf: jnp.tensordot(coefficients.astype(leaf.dtype), leaf, axes=1), self.vectors)


def lanczos(operator: Operator, b: Vector, size: int, finished: Callable[[Basis], Array]) -> Basis:
    """The Krylov space of b, grown until `finished` says so, it is invariant, or it has `size` dimensions.

    Every new vector is made orthogonal to all before it, twice: without that, rounding brings old ones back.

    Reference: Saad (1992).
    """
    dtype, ulps = wide_dtype(b), rounding(b)

    def projections(basis: Vector, x: Vector) -> Array:
        found = jax.tree.map(
            lambda rows, leaf: jnp.tensordot(rows.astype(dtype), leaf.astype(dtype), axes=leaf.ndim), basis, x
        )
        return jnp.sum(jnp.stack(jax.tree.leaves(found)), axis=0)

    def grow(carry: tuple[Basis, Array]) -> tuple[Basis, Array]:
        basis, _ = carry
        i = basis.count
        newest = jax.tree.map(lambda leaf: leaf[i], basis.vectors)
        image = operator(newest)
        size_of = length(image)
        diagonal = basis.diagonal.at[i].set(wide_inner(newest, image))
        rest = image
        for _ in range(2):
            rest = combine((1, rest), (-1, basis.combined(projections(basis.vectors, rest))))
        norm = length(rest)
        # What rounding leaves of a vector that lies in the space is no new direction.
        norm = jnp.where(norm > ulps * size_of, norm, 0.0)
        following = _unit(rest, norm)
        vectors = jax.tree.map(lambda rows, leaf: rows.at[i + 1].set(leaf, mode="drop"), basis.vectors, following)
        grown = Basis(vectors, diagonal, basis.beside.at[i].set(norm), i + 1)
        return grown, (norm == 0.0) | finished(grown)

    def unfinished(carry: tuple[Basis, Array]) -> Array:
        return (carry[0].count < size) & ~carry[1]

    norm = length(b)
    first = _unit(b, norm)
    vectors = jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype).at[0].set(leaf), first)
    none = jnp.zeros(size, dtype)
    empty = Basis(vectors, none, none, jnp.zeros((), int))
    return jax.lax.while_loop(unfinished, grow, (empty, norm == 0.0))[0]
