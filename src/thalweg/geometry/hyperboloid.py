"""Hyperbolic space as a sheet of the hyperboloid, and products of such sheets."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._tree import Vector
from ._arrays import area_sine, boost, dot, largest, summed
from ._leafwise import leafwise
from .base import AbstractDistance, AbstractEmbedded, AbstractNoise, far_apart, rounding, traced


class Hyperboloid(AbstractEmbedded, AbstractNoise, AbstractDistance):
    r"""Hyperbolic space of curvature -1: points $(x_0, s)$ with $x_0 = \sqrt{1 + |s|^2}$ along the last axis.

    Leading axes and leaves are spaces of their own. The metric is that of Minkowski's product,
    $\langle u, v\rangle = -u_0v_0 + u_1v_1 + \dots + u_nv_n$, which is positive on tangents.

    $$\mathtt{move}(x, v) = \cosh|v|\,x + \frac{\sinh|v|}{|v|}\,v,\qquad
      \mathtt{bend}(x, v) = |v|^2x,\qquad \mathtt{tangent}(x, u) = u + \langle x, u\rangle x$$

    $$\mathtt{velocity}(x, p) = Jp + (x\cdot p)\,x,\quad J = \operatorname{diag}(-1, 1, \dots, 1),\qquad
      \mathtt{transport}(x, v, u) = u + \langle v, u\rangle
      \Bigl(\frac{\cosh|v|-1}{|v|^2}\,v + \frac{\sinh|v|}{|v|}\,x\Bigr)$$

    All is computed in the frame in which x is at rest, so that lengths are sums of squares, and is smooth at $v = 0$.
    `project` keeps s. The numbers of a point are of the size of $x_0$, the $\cosh$ of its distance from
    $(1, 0, \dots, 0)$: at distances of more than about 8 in float32, 18 in float64, they tell no points apart.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> space = tw.geometry.Hyperboloid()
    >>> foot = jnp.array([1.0, 0.0, 0.0])
    >>> there = space.move(foot, jnp.array([0.0, 2.0, 0.0]))  # (cosh 2, sinh 2, 0)
    >>> there.round(4).tolist()
    [3.7622, 3.6269, 0.0]
    >>> round(float(space.squared_distance(foot, there)), 6)
    4.0

    Reference: Nickel and Kiela (2018), section 3.
    """

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return leafwise(lambda x, p: _lab(x, _rest(x, p.at[..., 0].multiply(-1.0))), position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return summed(lambda x, u, v: _frame(x, u) * _frame(x, v), position, u, v)

    def move(self, position: Vector, tangent: Vector) -> Vector:
        return leafwise(_moved, position, tangent)

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return leafwise(_transported, position, along, tangent)

    def project(self, position: Vector) -> Vector:
        return leafwise(lambda x: _lifted(x[..., 1:]), position)

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        return leafwise(lambda x, u: _lab(x, _rest(x, u)), position, vector)

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        def bent(x: Array, v: Array) -> Array:
            own = _frame(x, v)
            return dot(own, own) * x

        return leafwise(bent, position, velocity)

    def noise(self, position: Vector, normal: Vector) -> Vector:
        return leafwise(lambda x, n: _lab(x, n[..., 1:]), position, normal)

    def divergence(self, position: Vector) -> Vector:
        return leafwise(lambda x: (x.shape[-1] - 1.0) * x, position)

    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        def square(x: Array, y: Array) -> Array:
            q = _squared_half_sine(x, y)
            return 4.0 * q * area_sine(q) ** 2

        return summed(square, position, other)

    def log(self, position: Vector, other: Vector) -> Vector:
        def way(x: Array, y: Array) -> Array:
            q = _squared_half_sine(x, y)
            return _lab(x, area_sine(q) / jnp.sqrt(1.0 + q) * _rest(x, _difference(x, y)))

        return leafwise(way, position, other)

    def check(self, position: Vector) -> None:
        if any(leaf.ndim == 0 or leaf.shape[-1] < 2 for leaf in jax.tree.leaves(position)):
            raise InputError(
                "Hyperboloid needs vectors of two numbers at least, along the last axis of every array, but the start "
                "holds fewer"
            )
        if traced(position):
            return
        for leaf in jax.tree.leaves(position):
            x = np.asarray(leaf, dtype=float)
            above = np.sqrt(1.0 + np.sum(x[..., 1:] ** 2, axis=-1))
            if np.any(off := ~(np.abs(x[..., 0] - above) <= rounding(leaf, leaf.shape[-1]) * above)):
                raise InputError(
                    "Hyperboloid needs x0 = sqrt(1 + x1^2 + ...) along the last axis, but the start has "
                    f"{x[off][0][0]:g} for {above[off][0]:g}; start from its projection: "
                    "tw.geometry.Hyperboloid().project(x0)"
                )

    def check_tangent(self, position: Vector, vector: Vector) -> None:
        if traced((position, vector)):
            return
        # By the first number alone: the projection multiplies roundings by the square of the point.
        far = far_apart(vector, leafwise(lambda u, x: _level(x, u[..., 1:]), vector, position))
        if far is not None:
            raise InputError(
                f"the starting velocity must be tangent to Hyperboloid at the start, but {far:.3g} of it is not; "
                "give its tangent part: geometry.tangent(x0, velocity)"
            )


def _lifted(s: Array) -> Array:
    """The point above s; scaled, so that squares do not overflow."""
    scale = jnp.maximum(largest(s), 1.0)
    w = s / scale
    return jnp.concatenate([scale * jnp.sqrt(scale**-2 + dot(w, w)), s], axis=-1)


def _level(x: Array, u: Array) -> Array:
    """The tangent at x of which u are the numbers but the first."""
    return jnp.concatenate([dot(x[..., 1:], u) / x[..., :1], u], axis=-1)


def _rest(x: Array, u: Array) -> Array:
    """The part of a vector that is tangent at x, in the frame in which x is at rest."""
    time, s = x[..., :1], x[..., 1:]
    return u[..., 1:] + (dot(s, u[..., 1:]) / (1.0 + time) - u[..., :1]) * s


def _frame(x: Array, v: Array) -> Array:
    """A tangent in the frame in which x is at rest."""
    time, s = x[..., :1], x[..., 1:]
    return v[..., 1:] - dot(s, v[..., 1:]) / (time * (1.0 + time)) * s


def _lab(x: Array, w: Array) -> Array:
    """The tangent at x of which w is in the frame in which x is at rest."""
    along = dot(x[..., 1:], w)
    return jnp.concatenate([along, w + along / (1.0 + x[..., :1]) * x[..., 1:]], axis=-1)


def _spread(x: Array, time: Array, w: Array) -> Array:
    """The numbers but the first of a vector that is (time, w) in the frame in which x is at rest."""
    s = x[..., 1:]
    return w + (dot(s, w) / (1.0 + x[..., :1]) + time) * s


def _moved(x: Array, v: Array) -> Array:
    own = _frame(x, v)
    by = boost(dot(own, own))
    return _lifted(_spread(x, by.cosine, by.sine * own))


def _transported(x: Array, v: Array, u: Array) -> Array:
    own, carried = _frame(x, v), _frame(x, u)
    by, along = boost(dot(own, own)), dot(own, carried)
    end = _lifted(_spread(x, by.cosine, by.sine * own))
    return _level(end, _spread(x, by.sine * along, carried + by.versine * along * own))


def _difference(x: Array, y: Array) -> Array:
    """y - x, whose first number has all its digits where they are close."""
    apart, both = y[..., 1:] - x[..., 1:], y + x
    return jnp.concatenate([dot(apart, both[..., 1:]) / both[..., :1], apart], axis=-1)


def _squared_half_sine(x: Array, y: Array) -> Array:
    r"""$\sinh^2(d/2) = \langle y - x, y - x\rangle/4$ of the distance d, as a sum of squares."""
    apart, both = y[..., 1:] - x[..., 1:], y + x
    time, s = both[..., :1], both[..., 1:]
    # The difference is orthogonal to the sum, in whose own frame it has numbers in space alone.
    at_rest = jnp.sqrt(jnp.maximum(time**2 - dot(s, s), 4.0))
    own = apart - dot(s, apart) / (time * (time + at_rest)) * s
    return 0.25 * dot(own, own)
