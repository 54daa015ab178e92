"""A geometry for every part of the parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._errors import InputError, check_arguments, check_choice
from .._tree import Vector
from .._typed import typed
from .base import (
    AbstractDistance,
    AbstractEmbedded,
    AbstractGeometry,
    AbstractManifold,
    AbstractMetric,
    AbstractNoise,
    named,
)
from .euclidean import Euclidean


@typed()
def Product(by_leaf: PyTree, labels: Any = None) -> AbstractGeometry:
    r"""A geometry for every part of the parameters, side by side.

    $$\langle u, v\rangle_\theta = \sum_i\langle u_i, v_i\rangle_{\theta_i}$$

    and every map is that of each part. It can do what all of its parts can: it is a manifold if each is one, has noise
    if each has, and distances if each has them. Parts that are flat cost nothing.

    Arguments:
        by_leaf: geometries in the form of the parameters, or of the top of their tree, where one geometry gets a whole
            branch; None is flat space. With `labels`: a dictionary of geometries by label.
        labels: None; or texts in the form of the parameters, or of the top of their tree; or a function that gives the
            label of an array by its path, such as `"layers.0.weight"` (`"x"` for parameters that are one array).

    Returns:
        the geometry.

    Raises:
        InputError: a part is no metric; labels without a dictionary; at a start, parameters of another form, or a label
            that is not in the dictionary.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> sphere, start = tw.geometry.Sphere(), {"w": jnp.array([0.6, 0.8]), "b": jnp.array([3.0])}
    >>> both = tw.geometry.Product({"w": sphere, "b": None})
    >>> [part.tolist() for part in both.velocity(start, {"w": jnp.array([1.0, 0.0]), "b": jnp.ones(1)}).values()]
    [[1.0], [0.64, -0.48]]
    >>> parts = {"turned": sphere, "flat": None}
    >>> same = tw.geometry.Product(parts, labels=lambda path: "turned" if path == "w" else "flat")
    >>> same.move(start, both.velocity(start, start))["b"].tolist()
    [6.0]

    Reference: Absil, Mahony and Sepulchre (2008), section 3.1.6.
    """
    if labels is not None and not (isinstance(by_leaf, dict) and all(isinstance(label, str) for label in by_leaf)):
        raise InputError(
            f"by_leaf must be a dictionary of geometries by label, since there are labels, but is {by_leaf!r}"
        )
    if callable(labels):
        check_arguments("labels", labels, "path")
    elif labels is not None:
        for label in jax.tree.leaves(labels):
            check_choice("label", label, by_leaf)
    by_leaf = jax.tree.map(_part, by_leaf, is_leaf=_is_part)
    parts = jax.tree.leaves(by_leaf, is_leaf=_is_part)
    if not parts:
        raise InputError("by_leaf must hold geometries, but holds none")
    able = tuple(kind for kind in _KINDS if all(isinstance(part, kind) for part in parts))
    return _class_of(able)(by_leaf, labels)


def _is_part(value: Any) -> bool:
    return value is None or isinstance(value, AbstractGeometry)


def _part(value: Any) -> AbstractGeometry:
    if value is None:
        return Euclidean()
    if isinstance(value, AbstractMetric):
        return value
    if isinstance(value, type) and issubclass(value, AbstractGeometry):
        raise InputError(f"by_leaf must hold instances: {value.__name__}(), not the class")
    what = f"{named(value)} has no inner product" if isinstance(value, AbstractGeometry) else f"holds {value!r}"
    raise InputError(f"by_leaf must hold metrics of tw.geometry, such as tw.geometry.Sphere(), but {what}")


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
            return jax.tree.map(fn, parts, position, *others, is_leaf=_is_part)
        except ValueError:
            here = jax.tree.structure(parts, is_leaf=_is_part)
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


class _Metrics(_Parts, AbstractMetric):
    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return self.each(lambda part, x, p: part.velocity(x, p), position, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return self.total(lambda part, x, u, v: part.inner(x, u, v), position, u, v)


class _Manifolds(_Metrics, AbstractManifold):
    def move(self, position: Vector, tangent: Vector) -> Vector:
        return self.each(lambda part, x, v: part.move(x, v), position, tangent)

    def transport(self, position: Vector, along: Vector, tangent: Vector) -> Vector:
        return self.each(lambda part, x, v, u: part.transport(x, v, u), position, along, tangent)

    def check(self, position: Vector) -> None:
        self.each(lambda part, x: part.check(x), position)

    def check_tangent(self, position: Vector, vector: Vector) -> None:
        self.each(lambda part, x, v: part.check_tangent(x, v), position, vector)


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


class _Distances(_Parts, AbstractDistance):
    def squared_distance(self, position: Vector, other: Vector) -> Float[Array, ""]:
        return self.total(lambda part, x, y: part.squared_distance(x, y), position, other)

    def log(self, position: Vector, other: Vector) -> Vector:
        return self.each(lambda part, x, y: part.log(x, y), position, other)


# The more able of one line first.
_KINDS: dict[type, type] = {
    AbstractEmbedded: _Embeddings,
    AbstractManifold: _Manifolds,
    AbstractMetric: _Metrics,
    AbstractNoise: _Noises,
    AbstractDistance: _Distances,
}


@functools.cache
def _class_of(able: tuple[type, ...]) -> Any:
    """The class of products whose parts all are of these."""
    bases = [_KINDS[kind] for kind in able]
    needed = tuple(base for base in bases if not any(other is not base and issubclass(other, base) for other in bases))
    metaclass: Any = type(AbstractGeometry)
    return metaclass("Product", needed, {"__module__": __name__, "__doc__": Product.__doc__})
