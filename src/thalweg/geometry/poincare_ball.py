"""Hyperbolic space as the unit ball, and products of such balls."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._tree import Vector
from ._arrays import area_sine, dot, largest, summed, tangens
from ._leafwise import leafwise
from .base import AbstractDistance, AbstractEmbedded, AbstractNoise, traced


class PoincareBall(AbstractEmbedded, AbstractNoise, AbstractDistance):
    r"""Hyperbolic space of curvature -1: vectors shorter than 1 along the last axis, lengths times $\lambda$.

    $$\langle u, v\rangle_x = \lambda^2\,u\cdot v,\qquad \lambda = \frac2{1-|x|^2},\qquad
      \mathtt{move}(x, v) = x\oplus w,\quad w = \tanh\Bigl(\frac{\lambda|v|}2\Bigr)\frac v{|v|}$$

    $$x\oplus w = \frac{(1 + 2x\cdot w + |w|^2)\,x + (1-|x|^2)\,w}{1 + 2x\cdot w + |x|^2|w|^2},\qquad
      \mathtt{bend}(x, v) = \lambda\bigl(|v|^2x - 2(x\cdot v)\,v\bigr)$$

    `velocity` is $p/\lambda^2$, and `transport` the rotation $\operatorname{gyr}[x, w]$ times the ratio of both
    $\lambda$. Leading axes and leaves are balls of their own. All maps are smooth at $v = 0$. Every vector is a
    tangent. A point that a step takes out of the ball is NaN, so that a run ends there and says so; so is one so near
    the rim that no number is left, at distances from the centre of more than about 16 in float32, 36 in float64.
    `Hyperboloid` is the same space.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> ball = tw.geometry.PoincareBall()
    >>> there = ball.move(jnp.zeros(2), jnp.array([0.5, 0.0]))  # of length 1 in the metric of the centre
    >>> there.round(6).tolist(), round(float(ball.squared_distance(jnp.zeros(2), there)), 6)  # tanh(1/2), 1
    ([0.462117, 0.0], 1.0)

    Reference: Ganea, Becigneul and Hofmann (2018), section 2.
    """

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return leafwise(lambda x, p: (0.5 * _depth(x)) ** 2 * p, position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return summed(lambda x, u, v: (2.0 / _depth(x) * u) * (2.0 / _depth(x) * v), position, u, v)

    def move(self, position: Vector, tangent: Vector) -> Vector:
        return leafwise(_moved, position, tangent)

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return leafwise(_transported, position, along, tangent)

    def project(self, position: Vector) -> Vector:
        return leafwise(_inside, position)

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        del position
        return vector

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        return leafwise(lambda x, v: 2.0 / _depth(x) * (dot(v, v) * x - 2.0 * dot(x, v) * v), position, velocity)

    def noise(self, position: Vector, normal: Vector) -> Vector:
        return leafwise(lambda x, n: 0.5 * _depth(x) * n, position, normal)

    def divergence(self, position: Vector) -> Vector:
        # Of the volume of the metric; that of the coordinates would have -2 for n - 2.
        return leafwise(lambda x: 0.5 * (x.shape[-1] - 2.0) * _depth(x) * x, position)

    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        def square(x: Array, y: Array) -> Array:
            q = _squared_half_sine(x, y)
            return 4.0 * q * area_sine(q) ** 2

        return summed(square, position, other)

    def log(self, position: Vector, other: Vector) -> Vector:
        def way(x: Array, y: Array) -> Array:
            apart, q = y - x, _squared_half_sine(x, y)
            # The Moebius difference of y and x, written so that it has all its digits where they are close.
            above = _depth(x) * apart - dot(apart, apart) * x
            below = _depth(x) * _depth(y) + dot(apart, apart)
            return _depth(x) * area_sine(q) * jnp.sqrt(1.0 + q) * above / below

        return leafwise(way, position, other)

    def check(self, position: Vector) -> None:
        if any(leaf.ndim == 0 for leaf in jax.tree.leaves(position)):
            raise InputError(
                "PoincareBall needs vectors, along the last axis of every array, but the start holds a number"
            )
        if traced(position):
            return
        for leaf in jax.tree.leaves(position):
            lengths = np.linalg.norm(np.asarray(leaf, dtype=float), axis=-1)
            if np.any(off := ~(lengths < 1.0)):
                raise InputError(
                    "PoincareBall needs vectors shorter than 1 along the last axis, but the start has one of length "
                    f"{lengths[off][0]:g}; divide it by more than that"
                )


def _depth(x: Array) -> Array:
    return 1.0 - dot(x, x)


def _inside(x: Array) -> Array:
    return jnp.where(_depth(x) > 0.0, x, jnp.nan)


def _way(x: Array, v: Array) -> Array:
    """The w of which the end of the geodesic is the Moebius sum with x."""
    half = v / _depth(x)
    # Longer ones end beyond the last number before the rim, and their squares would overflow.
    half = half / jnp.maximum(largest(half) / 64.0, 1.0)
    return tangens(dot(half, half)) * half


def _moved(x: Array, v: Array) -> Array:
    w = _way(x, v)
    both, square = 2.0 * dot(x, w), dot(w, w)
    return _inside(((1.0 + both + square) * x + _depth(x) * w) / (1.0 + both + dot(x, x) * square))


def _transported(x: Array, v: Array, u: Array) -> Array:
    w = _way(x, v)
    xx, ww, xw, xu, wu = dot(x, x), dot(w, w), dot(x, w), dot(x, u), dot(w, u)
    along_x, along_w = wu - xu * ww + 2.0 * xw * wu, -wu * xx - xu
    turned = u + 2.0 * (along_x * x + along_w * w) / (1.0 + 2.0 * xw + xx * ww)
    return _depth(_moved(x, v)) / _depth(x) * turned


def _squared_half_sine(x: Array, y: Array) -> Array:
    r"""$\sinh^2(d/2)$ of the distance d."""
    return dot(y - x, y - x) / (_depth(x) * _depth(y))
