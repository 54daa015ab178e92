"""Flat space, the geometry of every law that is given none."""

from typing import ClassVar

from jaxtyping import Array, Float

from .._tree import Vector, combine, wide_inner, zeros_like
from .base import AbstractDistance, AbstractEmbedded, AbstractNoise


class Euclidean(AbstractEmbedded, AbstractNoise, AbstractDistance):
    r"""Flat space: a slope is a velocity as it is, and straight lines are $\theta + tv$.

    A law that is given it is the law that is given no geometry.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flat = tw.geometry.Euclidean()
    >>> flat.move(jnp.array([1.0, 2.0]), jnp.array([0.5, -1.0])).tolist()
    [1.5, 1.0]
    >>> tw.GradientFlow(None, geometry=flat).geometry is None
    True
    """

    elementwise: ClassVar[bool] = True

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        del position
        return covector

    def move(self, position: Vector, tangent: Vector) -> Vector:
        return combine((1, position), (1, tangent))

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        del position, along
        return tangent

    def project(self, position: Vector) -> Vector:
        return position

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        del position
        return vector

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        del position
        return zeros_like(velocity)

    def noise(self, position: Vector, normal: Vector) -> Vector:
        del position
        return normal

    def divergence(self, position: Vector) -> Vector:
        return zeros_like(position)

    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        apart = combine((1, other), (-1, position))
        return wide_inner(apart, apart)

    def log(self, position: Vector, other: Vector) -> Vector:
        return combine((1, other), (-1, position))
