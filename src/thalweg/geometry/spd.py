"""Symmetric positive definite matrices, and products of them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from .._errors import InputError
from .._tree import Vector
from ._arrays import summed, symmetric, turned
from ._leafwise import leafwise
from ._matrices import exponential, logarithm
from .base import AbstractDistance, AbstractEmbedded, AbstractNoise, rounding, traced


class SPD(AbstractEmbedded, AbstractNoise, AbstractDistance):
    r"""Symmetric positive definite matrices in the last two axes, with the affine-invariant metric.

    $$\langle U, V\rangle_P = \operatorname{tr}(P^{-1}UP^{-1}V),\qquad
      \mathtt{velocity}(P, F) = P\,\tfrac12(F + F^\top)\,P,\qquad \mathtt{bend}(P, V) = VP^{-1}V$$

    $$\mathtt{move}(P, V) = Le^SL^\top = MM^\top,\qquad \mathtt{transport}(P, V, U) = ML^{-1}UL^{-\top}M^\top,\qquad
      P = LL^\top,\ S = L^{-1}VL^{-\top},\ M = Le^{S/2}$$

    It is the same for $P$ as for $APA^\top$, and no geodesic reaches a matrix that is singular. Leading axes and
    leaves are matrices of their own. `move` is the exponential map, `transport` is parallel. A matrix that a stage of
    a Runge-Kutta method makes indefinite is NaN, so that a run ends there and says so.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> space = tw.geometry.SPD()
    >>> one = jnp.eye(2)
    >>> space.move(one, jnp.log(4.0) * one).round(5).tolist()
    [[4.0, 0.0], [0.0, 4.0]]
    >>> round(float(space.squared_distance(one, 4.0 * one)), 4)  # 2 log(4)^2
    3.8436

    Reference: Pennec, Fillard and Ayache (2006), section 3; Bhatia (2007), chapter 6.
    """

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return leafwise(lambda p, f: symmetric(p @ symmetric(f) @ p), position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        def product(p: Array, u: Array, v: Array) -> Array:
            root = jnp.linalg.cholesky(p)
            return _whitened(root, u) * _whitened(root, v)

        return summed(product, position, u, v)

    def move(self, position: Vector, tangent: Vector) -> Vector:
        def moved(p: Array, v: Array) -> Array:
            _, end = _roots(p, v)
            return symmetric(end @ turned(end))

        return leafwise(moved, position, tangent)

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        def carried(p: Array, v: Array, u: Array) -> Array:
            root, end = _roots(p, v)
            return symmetric(end @ _whitened(root, u) @ turned(end))

        return leafwise(carried, position, along, tangent)

    def project(self, position: Vector) -> Vector:
        def inside(p: Array) -> Array:
            p = symmetric(p)
            # NaN of a matrix that is not positive definite, on whose other side the metric would look like one.
            root = jax.lax.stop_gradient(jnp.linalg.cholesky(p))
            return jnp.where(jnp.all(jnp.isfinite(root), axis=(-2, -1), keepdims=True), p, jnp.nan)

        return leafwise(inside, position)

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        del position
        return leafwise(symmetric, vector)

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        def bent(p: Array, v: Array) -> Array:
            half = solve_triangular(jnp.linalg.cholesky(p), v, lower=True)
            return turned(half) @ half

        return leafwise(bent, position, velocity)

    def noise(self, position: Vector, normal: Vector) -> Vector:
        def drawn(p: Array, n: Array) -> Array:
            root = jnp.linalg.cholesky(p)
            return symmetric(root @ symmetric(n) @ turned(root))

        return leafwise(drawn, position, normal)

    def divergence(self, position: Vector) -> Vector:
        # Of the volume of the metric, det(P)^(-(n+1)/2) that of the coordinates, of which it would be (n + 1) P.
        return leafwise(lambda p: 0.5 * (p.shape[-1] + 1.0) * p, position)

    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        def square(p: Array, q: Array) -> Array:
            return logarithm(symmetric(_whitened(jnp.linalg.cholesky(p), q))) ** 2

        return summed(square, position, other)

    def log(self, position: Vector, other: Vector) -> Vector:
        def way(p: Array, q: Array) -> Array:
            root = jnp.linalg.cholesky(p)
            return symmetric(root @ logarithm(symmetric(_whitened(root, q))) @ turned(root))

        return leafwise(way, position, other)

    def check(self, position: Vector) -> None:
        for leaf in jax.tree.leaves(position):
            if leaf.ndim < 2 or leaf.shape[-1] != leaf.shape[-2]:
                raise InputError(
                    "SPD needs square matrices in the last two axes of every array, but the start holds an array of "
                    f"shape {leaf.shape}"
                )
        if traced(position):
            return
        for leaf in jax.tree.leaves(position):
            p = np.asarray(leaf, dtype=float)
            size = np.linalg.norm(p, axis=(-2, -1))
            tilted = np.linalg.norm(p - np.swapaxes(p, -1, -2), axis=(-2, -1))
            if np.any(off := ~(tilted <= rounding(leaf, leaf.shape[-1]) * size)):
                raise InputError(
                    f"SPD needs symmetric matrices, but the start has one of which {tilted[off][0] / size[off][0]:.3g} "
                    "is skew; start from its symmetric part: 0.5 * (x0 + x0.T)"
                )
            least = np.linalg.eigvalsh(p)[..., 0]
            if np.any(off := ~(least > 0.0)):
                raise InputError(
                    "SPD needs positive definite matrices, but the start has one of the eigenvalue "
                    f"{least[off][0]:.3g}; add more than that, times the identity, to it"
                )


def _whitened(root: Array, u: Array) -> Array:
    r"""$L^{-1}UL^{-\top}$ of a symmetric U."""
    return solve_triangular(root, turned(solve_triangular(root, u, lower=True)), lower=True)


def _roots(p: Array, v: Array) -> tuple[Array, Array]:
    r"""L and M: roots of both ends of a geodesic, $LL^\top$ and $MM^\top$."""
    root = jnp.linalg.cholesky(p)
    return root, root @ exponential(0.5 * symmetric(_whitened(root, v)))
