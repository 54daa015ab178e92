"""The unit sphere, and products of unit spheres."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError
from .._tree import Vector
from ._arrays import CLOSE, NEAR, arcsines, dot, factorials, largest, series, summed
from ._leafwise import leafwise, pairwise
from .base import AbstractDistance, AbstractEmbedded, AbstractNoise, rounding, traced


class Sphere(AbstractEmbedded, AbstractNoise, AbstractDistance):
    r"""Unit vectors along the last axis of every leaf; leading axes and leaves are spheres of their own.

    $$\mathtt{move}(x, v) = \cos|v|\,x + \frac{\sin|v|}{|v|}\,v,\qquad
      \mathtt{bend}(x, v) = -|v|^2x,\qquad \mathtt{tangent}(x, u) = u - (x\cdot u)\,x$$

    $$\mathtt{transport}(x, v, u) = u - (v\cdot u)\Bigl(\frac{1-\cos|v|}{|v|^2}\,v + \frac{\sin|v|}{|v|}\,x\Bigr)$$

    The metric is that of the surrounding space, so that lengths are angles. All maps are smooth at $v = 0$, and end on
    the sphere to rounding. `log` of opposite points is NaN: no shortest way between them is the only one.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> sphere = tw.geometry.Sphere()
    >>> north, east = jnp.array([0.0, 0.0, 1.0]), jnp.array([1.0, 0.0, 0.0])
    >>> abs(sphere.move(north, 0.5 * jnp.pi * east)).round(6).tolist()
    [1.0, 0.0, 0.0]
    >>> round(float(sphere.squared_distance(north, east)), 6)  # the square of a right angle
    2.467401

    Reference: Absil, Mahony and Sepulchre (2008), chapters 3, 5 and 8.
    """

    def move(self, position: Vector, tangent: Vector) -> Vector:
        return leafwise(_moved, position, tangent)

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return leafwise(_transported, position, along, tangent)

    def glide(self, position: Vector, velocity: Vector, time: ArrayLike) -> tuple[Vector, Vector]:
        own = type(self)
        if own.move is not Sphere.move or own.transport is not Sphere.transport or own.tangent is not Sphere.tangent:
            return super().glide(position, velocity, time)
        return pairwise(lambda x, v: _glided(x, v, time), position, velocity)

    def project(self, position: Vector) -> Vector:
        return leafwise(_unit, position)

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        return leafwise(_tangent, position, vector)

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        return leafwise(lambda x, v: -dot(v, v) * x, position, velocity)

    def noise(self, position: Vector, normal: Vector) -> Vector:
        return self.tangent(position, normal)

    def divergence(self, position: Vector) -> Vector:
        return leafwise(lambda x: (1.0 - x.shape[-1]) * x, position)

    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        return summed(lambda x, y: _angle(x, y).squared, position, other)

    def log(self, position: Vector, other: Vector) -> Vector:
        # The difference first: its tangent part has all its digits where the points are close.
        return leafwise(lambda x, y: _angle(x, y).over_sine * _tangent(x, y - x), position, other)

    def check(self, position: Vector) -> None:
        if any(leaf.ndim == 0 for leaf in jax.tree.leaves(position)):
            raise InputError("Sphere needs vectors, along the last axis of every array, but the start holds a number")
        if traced(position):
            return
        for leaf in jax.tree.leaves(position):
            norms = np.linalg.norm(np.asarray(leaf, dtype=float), axis=-1)
            if np.any(off := ~(np.abs(norms - 1.0) <= rounding(leaf, leaf.shape[-1]))):
                raise InputError(
                    "Sphere needs unit vectors along the last axis, but the start has one of length "
                    f"{norms[off][0]:g}; start from its projection: tw.geometry.Sphere().project(x0)"
                )


def _unit(x: Array) -> Array:
    # Scaled first, so that squares neither overflow nor vanish.
    scaled = x / largest(x)
    return scaled / jnp.sqrt(dot(scaled, scaled))


def _tangent(x: Array, u: Array) -> Array:
    return u - dot(x, u) * x


class _Turn(NamedTuple):
    r"""A tangent $v = sw$ as a turn: $\cos|v|$, $\sin|v|/|w|$ and $(1 - \cos|v|)/|w|^2$, which multiply x and w."""

    w: Array
    cosine: Array
    sine: Array
    versine: Array


def _turn(v: Array) -> _Turn:
    # |v| of a long tangent is computed of w, whose largest entry is 1; a short one is its own w.
    s = jnp.maximum(largest(v), 1.0)
    w = v / s
    # Or XLA works the polynomials out anew for every entry of the vectors that they multiply.
    return _Turn(w, *jax.lax.optimization_barrier(_circular(dot(w, w), s)))


def _circular(q: Array, s: Array | float = 1.0) -> tuple[Array, Array, Array]:
    r"""$\cos(s\sqrt q)$, $\sin(s\sqrt q)/\sqrt q$ and $(1 - \cos(s\sqrt q))/q$, s being 1 where q is small."""
    near = (s <= 1.0) & (q < NEAR)
    # Each branch is differentiated too where the other is taken, so it gets numbers at which it is smooth.
    low, high = jnp.where(near, q, 0.0), jnp.where(near, 1.0, q)
    length = jnp.sqrt(high)
    angle = s * length
    return (
        jnp.where(near, series(low, factorials(0, -1.0)), jnp.cos(angle)),
        jnp.where(near, series(low, factorials(1, -1.0)), jnp.sin(angle) / length),
        jnp.where(near, series(low, factorials(2, -1.0)), 2.0 * jnp.sin(0.5 * angle) ** 2 / high),
    )


def _moved(x: Array, v: Array) -> Array:
    turn = _turn(v)
    end = turn.cosine * x + turn.sine * turn.w
    return end / jnp.sqrt(dot(end, end))


def _transported(x: Array, v: Array, u: Array) -> Array:
    turn = _turn(v)
    return u - dot(turn.w, u) * (turn.versine * turn.w + turn.sine * x)


def _glided(x: Array, v: Array, time: ArrayLike) -> tuple[Array, Array]:
    """A point and a velocity a time later: of unit length and tangent, told from inner products of where they were.

    To go over the entries once for those and once for the end takes half as long as a move and a transport.
    """
    time = jnp.asarray(time, v.dtype)
    xx, xv, vv = dot(x, x), dot(x, v), dot(v, v)
    cosine, sine, _ = _circular(time * time * vv)
    sine = time * sine
    turning = sine * vv
    square = cosine * cosine * xx + 2.0 * cosine * sine * xv + sine * sine * vv
    normal = cosine * (sine * vv - turning * xx) + (cosine * cosine - sine * turning) * xv
    length, lean = jnp.sqrt(square), normal / square
    numbers = (cosine / length, sine / length, turning + lean * cosine, cosine - lean * sine)
    # Or XLA works them out anew for every entry.
    one, other, back, on = jax.lax.optimization_barrier(numbers)
    return one * x + other * v, on * v - back * x


class _Angle(NamedTuple):
    r"""$\varphi^2$ of the angle between two unit vectors, and $\varphi/\sin\varphi$."""

    squared: Array
    over_sine: Array


def _angle(x: Array, y: Array) -> _Angle:
    apart, together = y - x, y + x
    # The squared sine and cosine of half the angle, each with all its digits.
    sine, cosine = 0.25 * dot(apart, apart), 0.25 * dot(together, together)
    close = sine < CLOSE
    low, high = jnp.where(close, sine, 0.0), jnp.where(close, 0.5, sine)
    ratio = series(low, arcsines(1.0))
    angle = 2.0 * jnp.arctan2(jnp.sqrt(high), jnp.sqrt(cosine))
    return _Angle(
        jnp.where(close, 4.0 * low * ratio**2, angle**2),
        jnp.where(close, ratio / jnp.sqrt(1.0 - low), 0.5 * angle / jnp.sqrt(high * cosine)),
    )
