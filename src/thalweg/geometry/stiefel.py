"""Matrices with orthonormal columns, and products of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError, check_choice
from .._module import Module
from .._tree import Vector
from ._arrays import skew, summed, symmetric, turned
from ._leafwise import leafwise
from ._matrices import exponential, solve_sylvester
from ._polar import polar_factor
from .base import AbstractEmbedded, AbstractNoise, rounding, traced

METRICS = ("canonical", "euclidean")


class Stiefel(AbstractEmbedded, AbstractNoise):
    r"""Matrices of n rows and $p \le n$ orthonormal columns in the last two axes, $X^\top X = 1$.

    A tangent is $V = XA + B$ with $A = X^\top V$ skew and $X^\top B = 0$. Leading axes and leaves are manifolds of
    their own. Of one column it is the sphere, of n columns rotations, in either metric.

    $$\text{euclidean: }\langle U, V\rangle = \operatorname{tr}U^\top V,\quad
      \mathtt{velocity}(X, P) = P - X\operatorname{sym}(X^\top P),\quad \mathtt{bend}(X, V) = -XV^\top V$$

    $$\text{canonical: }\langle U, V\rangle = \operatorname{tr}U^\top(1 - \tfrac12XX^\top)V,\quad
      \mathtt{velocity}(X, P) = P - XP^\top X,\quad \mathtt{bend}(X, V) = VA - XB^\top B$$

    $$\mathtt{move}(X, V) = e^\Omega Xe^{-\kappa A},\qquad \Omega = FX^\top - XF^\top,\qquad
      F = V,\ \kappa = 1\ \text{(euclidean)},\qquad F = V - \tfrac12XA,\ \kappa = 0\ \text{(canonical)}$$

    are the geodesics, by an exponential of 2p by 2p numbers. `transport` turns a tangent as $e^\Omega$ and
    $e^{-\kappa A}$ turn the point, and in the frame that is carried along so by rotations of the tangent space:
    isometric, and equal to the parallel transport to second order. `project` is the polar factor. Distances have no
    closed form, and there are none.

    Arguments:
        metric: "canonical", that of a quotient of rotations, or "euclidean", that of the surrounding space.

    Raises:
        InputError: the metric is neither.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> frames = tw.geometry.Stiefel()
    >>> x = jnp.eye(3, 2)
    >>> turn = jnp.array([[0.0, -0.5], [0.5, 0.0], [0.0, 0.0]])  # in the plane of both columns
    >>> (frames.move(x, jnp.pi * turn).round(5) + 0.0).tolist()
    [[0.0, -1.0], [1.0, 0.0], [0.0, 0.0]]
    >>> float(frames.inner(x, turn, turn)), float(tw.geometry.Stiefel("euclidean").inner(x, turn, turn))
    (0.25, 0.5)

    Reference: Edelman, Arias and Smith (1998), sections 2.2 to 2.4.
    """

    metric: str = eqx.field(default="canonical", static=True)

    def __check_init__(self) -> None:
        check_choice("metric", self.metric, METRICS)

    @property
    def _canonical(self) -> bool:
        return self.metric == "canonical"

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        of = (lambda x, p: p - x @ (turned(p) @ x)) if self._canonical else _tangent
        return leafwise(of, position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        less = 0.5 if self._canonical else 0.0

        def product(x: Array, u: Array, v: Array) -> Array:
            # By columns of p numbers, of which the second product has as many as it has rows.
            return jnp.sum(u * v, axis=-2) - less * jnp.sum((turned(x) @ u) * (turned(x) @ v), axis=-2)

        return summed(product, position, u, v)

    def move(self, position: Vector, tangent: Vector) -> Vector:
        def moved(x: Array, v: Array) -> Array:
            generator = _generator(x, v, self._canonical)
            p = x.shape[-1]
            end = generator.spanning @ exponential(generator.small)[..., p:]
            return _orthonormal(end if self._canonical else end @ exponential(-skew(turned(x) @ v)))

        return leafwise(moved, position, tangent)

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return leafwise(lambda x, v, u: _transported(x, v, u, self._canonical), position, along, tangent)

    def project(self, position: Vector) -> Vector:
        return leafwise(polar_factor, position)

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        return leafwise(_tangent, position, vector)

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        def bent(x: Array, v: Array) -> Array:
            if not self._canonical:
                return -x @ (turned(v) @ v)
            a, b = _parts(x, v)
            return v @ a - x @ (turned(b) @ b)

        return leafwise(bent, position, velocity)

    def noise(self, position: Vector, normal: Vector) -> Vector:
        def drawn(x: Array, n: Array) -> Array:
            a, b = _parts(x, n)
            return x @ (2.0**0.5 * a if self._canonical else a) + b

        return leafwise(drawn, position, normal)

    def divergence(self, position: Vector) -> Vector:
        def drift(x: Array) -> Array:
            n, p = x.shape[-2:]
            return -(n - 1.0 if self._canonical else 0.5 * (p - 1.0) + n - p) * x

        return leafwise(drift, position)

    def check(self, position: Vector) -> None:
        for leaf in jax.tree.leaves(position):
            if leaf.ndim < 2:
                raise InputError(
                    "Stiefel needs matrices in the last two axes of every array, but the start holds an array of shape "
                    f"{leaf.shape}; of vectors take tw.geometry.Sphere()"
                )
            if leaf.shape[-2] < leaf.shape[-1]:
                raise InputError(
                    "Stiefel needs matrices of as many rows as columns at least, but the start has "
                    f"{leaf.shape[-2]} rows and {leaf.shape[-1]} columns; transpose it"
                )
        if traced(position):
            return
        for leaf in jax.tree.leaves(position):
            x = np.asarray(leaf, dtype=float)
            gram = np.swapaxes(x, -1, -2) @ x - np.eye(x.shape[-1])
            off = np.max(np.abs(gram), axis=(-2, -1), initial=0.0)
            # The products of columns that are unit vectors and orthogonal to rounding.
            if np.any(wrong := ~(off <= 2.0 * rounding(leaf, leaf.shape[-2]))):
                raise InputError(
                    "Stiefel needs orthonormal columns, but the start has X'X off the identity by "
                    f"{off[wrong][0]:.3g}; start from its projection: tw.geometry.Stiefel().project(x0)"
                )


class _Generator(Module):
    r"""$\Omega = BC^\top$ of two matrices of 2p columns, $B$ `spanning`, and the small $C^\top B$."""

    spanning: Array
    other: Array
    small: Array


def _parts(x: Array, v: Array) -> tuple[Array, Array]:
    """The skew A and the B of a tangent; of any other matrix, those of its tangent part."""
    inner = turned(x) @ v
    return skew(inner), v - x @ inner


def _tangent(x: Array, u: Array) -> Array:
    return u - x @ symmetric(turned(x) @ u)


def _generator(x: Array, v: Array, canonical: bool) -> _Generator:
    f = v - 0.5 * x @ skew(turned(x) @ v) if canonical else v
    # Scaled, so that the blocks of the small matrix are of one size.
    scale = jnp.maximum(jnp.max(jnp.abs(jax.lax.stop_gradient(f)), axis=(-2, -1), keepdims=True), 1.0)
    f = f / scale
    spanning, other = jnp.concatenate([f, x], axis=-1), scale * jnp.concatenate([x, -f], axis=-1)
    return _Generator(spanning, other, turned(other) @ spanning)


def _orthonormal(x: Array) -> Array:
    """Without what rounding left, by two steps of Newton and Schulz: also of what is rounded to eight bits."""
    for _ in range(2):
        x = 1.5 * x - 0.5 * x @ (turned(x) @ x)
    return x


def _transported(x: Array, v: Array, u: Array, canonical: bool) -> Array:
    r"""A tangent carried in the frame that moves as $e^\Omega\cdot e^{-\kappa A}$, in which its rates are constant.

    $$a' = -\alpha[A, a] + \tfrac12(B^\top b - b^\top B),\qquad b' = \beta bA - \gamma Ba,\qquad
      \alpha, \beta, \gamma = \tfrac12, \tfrac12, \tfrac12\ \text{(canonical)},\ \tfrac32, 1, 1\ \text{(euclidean)}$$

    The first terms turn exactly, for half of the time before and after; the second by the midpoint rule.
    """
    gamma = 0.5 if canonical else 1.0
    way, across = _parts(x, v)
    a, b = _parts(x, u)
    quarter = exponential(0.25 * way)
    half = quarter @ quarter
    turn, after = (quarter, quarter) if canonical else (half @ quarter, half)
    a, b = turned(turn) @ a @ turn, b @ after
    square = turned(across) @ across
    one = jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), square.shape)
    middle = solve_sylvester(0.5 * one + 0.125 * gamma * square, a + 0.5 * skew(turned(across) @ b))
    a, b = 2.0 * middle - a, b - gamma * across @ middle
    a, b = turned(turn) @ a @ turn, b @ after
    carried = _turned_by(_generator(x, v, canonical), x @ a + b)
    return carried if canonical else carried @ turned(half @ half)


def _turned_by(generator: _Generator, z: Array) -> Array:
    r"""$e^\Omega z = z + B\,\varphi(C^\top B)\,C^\top z$, $\varphi(M) = (e^M - 1)/M$ by a block of the exponential."""
    right = turned(generator.other) @ z
    size = generator.small.shape[-1]
    rows = jnp.concatenate([generator.small, right], axis=-1)
    block = jnp.concatenate(
        [rows, jnp.zeros_like(rows, shape=(*rows.shape[:-2], z.shape[-1], rows.shape[-1]))], axis=-2
    )
    return z + generator.spanning @ exponential(block)[..., :size, size:]
