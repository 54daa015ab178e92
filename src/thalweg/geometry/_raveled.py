"""A geometry on raveled parameters: cut into their tree for every map."""

import functools
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float

from .._tree import Unravel, Vector, ravel
from .base import (
    AbstractDirection,
    AbstractDualFlat,
    AbstractEmbedded,
    AbstractGeometry,
    AbstractManifold,
    AbstractMetric,
    AbstractNoise,
)


def raveled(geometry: AbstractGeometry, cut: Unravel) -> "Raveled":
    """The geometry on raveled vectors, of the same capabilities as far as a step asks for them.

    Arguments:
        geometry: one that is not elementwise.
        cut: makes the tree of a raveled vector.
    """
    kinds: tuple[tuple[type, Any], ...] = (
        (AbstractEmbedded, _Embedded),
        (AbstractManifold, _Manifold),
        (AbstractDualFlat, _DualFlat),
        (AbstractMetric, _Metric),
        (AbstractDirection, _Direction),
    )
    kind = next((ours for abstract, ours in kinds if isinstance(geometry, abstract)), Raveled)
    return (_noisy(kind) if isinstance(geometry, AbstractNoise) else kind)(geometry, cut)


@functools.cache
def _noisy(kind: Any) -> Any:
    """A kind with its noise."""
    metaclass: Any = type(AbstractGeometry)
    return metaclass(f"{kind.__name__}Noise", (kind, _Noise), {"__module__": __name__, "__doc__": kind.__doc__})


class Raveled(AbstractGeometry):
    """The common part of geometries on raveled vectors."""

    own: Any
    cut: Unravel = eqx.field(static=True)
    elementwise: ClassVar[bool] = True


class _Noise(Raveled, AbstractNoise):
    def noise(self, position: Vector, normal: Vector) -> Vector:
        return ravel(self.own.noise(self.cut(position), self.cut(normal)))

    def divergence(self, position: Vector) -> Vector:
        return ravel(self.own.divergence(self.cut(position)))

    @property
    def without_noise(self) -> str:
        return self.own.without_noise


class _Direction(Raveled, AbstractDirection):
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return ravel(self.own.velocity(self.cut(position), self.cut(covector)))

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        return self.own.slope_norm(self.cut(position), self.cut(covector))

    @property
    def linear(self) -> bool:
        return self.own.linear

    @property
    def without_probe(self) -> str:
        return self.own.without_probe

    def check(self, position: Vector) -> None:
        self.own.check(self.cut(position))


class _Metric(_Direction, AbstractMetric):
    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return self.own.inner(self.cut(position), self.cut(u), self.cut(v))


class _DualFlat(_Metric, AbstractDualFlat):
    def to_dual(self, position: Vector) -> Vector:
        return ravel(self.own.to_dual(self.cut(position)))

    def from_dual(self, dual: Vector) -> Vector:
        return ravel(self.own.from_dual(self.cut(dual)))

    def lowered(self, position: Vector, tangent: Vector) -> Vector:
        return ravel(self.own.lowered(self.cut(position), self.cut(tangent)))

    def shifted(self, position: Vector, step: Vector) -> Vector:
        return ravel(self.own.shifted(self.cut(position), self.cut(step)))


class _Manifold(_Metric, AbstractManifold):
    def move(self, position: Vector, tangent: Vector) -> Vector:
        return ravel(self.own.move(self.cut(position), self.cut(tangent)))

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return ravel(self.own.transport(self.cut(position), self.cut(along), self.cut(tangent)))

    def glide(self, position: Vector, velocity: Vector, time: ArrayLike) -> tuple[Vector, Vector]:
        end, there = self.own.glide(self.cut(position), self.cut(velocity), time)
        return ravel(end), ravel(there)

    def check_tangent(self, position: Vector, vector: Vector) -> None:
        self.own.check_tangent(self.cut(position), self.cut(vector))

    def dimension(self, position: Vector) -> int:
        return self.own.dimension(self.cut(position))


class _Embedded(_Manifold, AbstractEmbedded):
    def project(self, position: Vector) -> Vector:
        return ravel(self.own.project(self.cut(position)))

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        return ravel(self.own.tangent(self.cut(position), self.cut(vector)))

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        return ravel(self.own.bend(self.cut(position), self.cut(velocity)))
