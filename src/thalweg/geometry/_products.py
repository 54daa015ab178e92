"""The parts of the parameters, each in its geometry, as one geometry of all that they can do."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError, check_choice
from .._tree import Vector, combine, zeros_like
from .base import (
    AbstractDirection,
    AbstractDistance,
    AbstractDualFlat,
    AbstractEmbedded,
    AbstractGeometry,
    AbstractManifold,
    AbstractMetric,
    AbstractNoise,
)
from .norm import Norm

_DOC = "Geometries side by side."


def is_part(value: Any) -> bool:
    """Tell whether a value stands for a part: a geometry, or None for flat space."""
    return value is None or isinstance(value, AbstractGeometry)


class _Parts(AbstractGeometry):
    """The common part of products."""

    by_leaf: PyTree
    labels: Any = None

    def each(self, fn: Callable, position: Vector, *others: Vector) -> Any:
        """A function of every part, and of the branches of trees that it has.

        Raises:
            InputError: the trees are of another form, or a label is not known.
        """
        parts = self._parts(position)
        try:
            return jax.tree.map(fn, parts, position, *others, is_leaf=is_part)
        except ValueError:
            here = jax.tree.structure(parts, is_leaf=is_part)
            if _fits(here, position):
                raise
            raise InputError(
                f"Product is of the form {_form(here)}, where * is a geometry, but the parameters are of the form "
                f"{_form(jax.tree.structure(position))}"
            ) from None

    def _parts(self, position: Vector) -> Any:
        if self.labels is None:
            return self.by_leaf
        if not callable(self.labels):
            return jax.tree.map(lambda label: self.by_leaf[label], self.labels)

        def chosen(path: Any, _: Any) -> Any:
            label = self.labels(jax.tree_util.keystr(path, simple=True, separator=".") or "x")
            check_choice("label", label, self.by_leaf)
            return self.by_leaf[label]

        return jax.tree_util.tree_map_with_path(chosen, position)

    def total(self, fn: Callable, position: Vector, *others: Vector) -> Float[Array, ""]:
        """The sum of a number of every part."""
        return jnp.asarray(sum(jax.tree.leaves(self.each(fn, position, *others))))


def _fits(structure: Any, position: Vector) -> bool:
    try:
        structure.flatten_up_to(position)
    except ValueError:
        return False
    return True


def _form(structure: Any) -> str:
    return str(structure).removeprefix("PyTreeDef")


class FlatMirror(AbstractDualFlat, AbstractNoise):
    r"""Flat space as the mirror map of $\tfrac12\|x\|^2$, to stand beside others."""

    elementwise: ClassVar[bool] = True

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        del position
        return covector

    def lowered(self, position: Vector, tangent: Vector) -> Vector:
        del position
        return tangent

    def to_dual(self, position: Vector) -> Vector:
        return position

    def from_dual(self, dual: Vector) -> Vector:
        return dual

    def noise(self, position: Vector, normal: Vector) -> Vector:
        del position
        return normal

    def divergence(self, position: Vector) -> Vector:
        return zeros_like(position)


class _Directions(_Parts, AbstractDirection):
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        def own(part: Any, x: Vector, p: Vector) -> Vector:
            return part.unit_direction(p) if _sharp(part) else part.velocity(x, p)

        def scaled(part: Any, v: Vector) -> Vector:
            return combine((rise, v)) if _sharp(part) else v

        found = self.each(own, position, covector)
        rise = self.total(lambda part, x, p: part.slope_norm(x, p) if _sharp(part) else 0.0, position, covector)
        return self.each(lambda part, x, v: scaled(part, v), position, found)

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        return self.total(lambda part, x, p: part.slope_norm(x, p), position, covector)

    @property
    def without_probe(self) -> str:
        parts = jax.tree.leaves(self.by_leaf, is_leaf=is_part)
        reasons = [part.without_probe for part in parts if part.without_probe]
        # Of norms in one product the sharp maps are multiplied by one sum, which is linear in no slope.
        return next(iter(reasons), "take each part alone") if not isinstance(self, AbstractMetric) else ""

    def check(self, position: Vector) -> None:
        self.each(lambda part, x: part.check(x), position)


def _sharp(part: Any) -> bool:
    return isinstance(part, Norm) and not part.unit


class _Metrics(_Directions, AbstractMetric):
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return self.each(lambda part, x, p: part.velocity(x, p), position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return self.total(lambda part, x, u, v: part.inner(x, u, v), position, u, v)

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        return jnp.sqrt(self.total(lambda part, x, p: part.slope_norm(x, p) ** 2, position, covector))


class _DualFlats(_Metrics, AbstractDualFlat):
    def to_dual(self, position: Vector) -> Vector:
        return self.each(lambda part, x: part.to_dual(x), position)

    def from_dual(self, dual: Vector) -> Vector:
        return self.each(lambda part, y: part.from_dual(y), dual)

    def lowered(self, position: Vector, tangent: Vector) -> Vector:
        return self.each(lambda part, x, u: part.lowered(x, u), position, tangent)

    def shifted(self, position: Vector, step: Vector) -> Vector:
        return self.each(lambda part, x, s: part.shifted(x, s), position, step)


class _Manifolds(_Metrics, AbstractManifold):
    def move(self, position: Vector, tangent: Vector) -> Vector:
        return self.each(lambda part, x, v: part.move(x, v), position, tangent)

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return self.each(lambda part, x, v, u: part.transport(x, v, u), position, along, tangent)

    def glide(self, position: Vector, velocity: Vector, time: ArrayLike) -> tuple[Vector, Vector]:
        end, there = (
            self.each(lambda part, x, v, which=which: part.glide(x, v, time)[which], position, velocity)
            for which in (0, 1)
        )
        return end, there

    def check(self, position: Vector) -> None:
        _Directions.check(self, position)

    def check_tangent(self, position: Vector, vector: Vector) -> None:
        self.each(lambda part, x, v: part.check_tangent(x, v), position, vector)

    def dimension(self, position: Vector) -> int:
        return sum(jax.tree.leaves(self.each(lambda part, x: part.dimension(x), position)))


class _Embeddings(_Manifolds, AbstractEmbedded):
    def project(self, position: Vector) -> Vector:
        return self.each(lambda part, x: part.project(x), position)

    def tangent(self, position: Vector, vector: Vector) -> Vector:
        return self.each(lambda part, x, v: part.tangent(x, v), position, vector)

    def bend(self, position: Vector, velocity: Vector) -> Vector:
        return self.each(lambda part, x, v: part.bend(x, v), position, velocity)


class _Noises(_Parts, AbstractNoise):
    def noise(self, position: Vector, normal: Vector) -> Vector:
        return self.each(lambda part, x, n: part.noise(x, n), position, normal)

    def divergence(self, position: Vector) -> Vector:
        return self.each(lambda part, x: part.divergence(x), position)

    @property
    def without_noise(self) -> str:
        parts = jax.tree.leaves(self.by_leaf, is_leaf=is_part)
        return next((part.without_noise for part in parts if part.without_noise), "")


class _Distances(_Parts, AbstractDistance):
    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        return self.total(lambda part, x, y: part.squared_distance(x, y), position, other)

    def log(self, position: Vector, other: Vector) -> Vector:
        return self.each(lambda part, x, y: part.log(x, y), position, other)


# The more able of one line first.
KINDS: dict[type, type] = {
    AbstractEmbedded: _Embeddings,
    AbstractManifold: _Manifolds,
    AbstractDualFlat: _DualFlats,
    AbstractMetric: _Metrics,
    AbstractDirection: _Directions,
    AbstractNoise: _Noises,
    AbstractDistance: _Distances,
}


@functools.cache
def class_of(able: tuple[type, ...]) -> Any:
    """The class of products whose parts all are of these."""
    bases = [KINDS[kind] for kind in able]
    needed = tuple(base for base in bases if not any(other is not base and issubclass(other, base) for other in bases))
    metaclass: Any = type(AbstractGeometry)
    return metaclass("Product", needed, {"__module__": "thalweg.geometry.product", "__doc__": _DOC})
