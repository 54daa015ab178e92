"""A geometry on raveled parameters: cut into their tree for every map."""

from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from .._tree import Unravel, Vector, ravel
from .base import AbstractEmbedded, AbstractGeometry, AbstractManifold, AbstractMetric


def raveled(geometry: AbstractGeometry, cut: Unravel) -> "Raveled":
    """The geometry on raveled vectors, of the same capabilities as far as a step asks for them.

    Arguments:
        geometry: one that is not elementwise.
        cut: makes the tree of a raveled vector.
    """
    kinds: tuple[tuple[type, Any], ...] = (
        (AbstractEmbedded, _Embedded),
        (AbstractManifold, _Manifold),
        (AbstractMetric, _Metric),
    )
    kind = next((ours for abstract, ours in kinds if isinstance(geometry, abstract)), Raveled)
    return kind(geometry, cut)


class Raveled(AbstractGeometry):
    """The common part of geometries on raveled vectors."""

    own: Any
    cut: Unravel = eqx.field(static=True)
    elementwise: ClassVar[bool] = True


class _Metric(Raveled, AbstractMetric):
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return ravel(self.own.velocity(self.cut(position), self.cut(covector)))

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return self.own.inner(self.cut(position), self.cut(u), self.cut(v))


class _Manifold(_Metric, AbstractManifold):
    def move(self, position: Vector, tangent: Vector) -> Vector:
        return ravel(self.own.move(self.cut(position), self.cut(tangent)))

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return ravel(self.own.transport(self.cut(position), self.cut(along), self.cut(tangent)))

    def check(self, position: Vector) -> None:
        self.own.check(self.cut(position))

    def check_tangent(self, position: Vector, vector: Vector) -> None:
        self.own.check_tangent(self.cut(position), self.cut(vector))


class _Embedded(_Manifold, AbstractEmbedded):
    def project(self, position: Vector) -> Vector:
        return ravel(self.own.project(self.cut(position)))

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        return ravel(self.own.tangent(self.cut(position), self.cut(vector)))

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        return ravel(self.own.bend(self.cut(position), self.cut(velocity)))
