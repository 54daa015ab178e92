"""A geometry for every part of the parameters."""

from typing import Any

import jax
from jaxtyping import PyTree

from .._errors import InputError, check_arguments, check_choice
from .._typed import typed
from ._products import KINDS, FlatMirror, class_of, is_part
from .base import (
    AbstractDirection,
    AbstractDualFlat,
    AbstractGeometry,
    AbstractManifold,
    named,
)
from .euclidean import Euclidean


@typed()
def Product(by_leaf: PyTree, labels: Any = None) -> AbstractGeometry:
    r"""A geometry for every part of the parameters, side by side.

    $$\langle u, v\rangle_\theta = \sum_i\langle u_i, v_i\rangle_{\theta_i}$$

    and every map is that of each part. It can do what all of its parts can: it is a manifold if each is one, has noise
    if each has and its steps are of one form, and distances if each has them. Parts that are flat cost nothing. Mirror
    maps side by side, or beside what is flat, are one mirror map, of the sum of their potentials.

    With a `Norm` among its parts there is no inner product: a velocity for every slope is left, and

    $$\|v\| = \max_i\|v_i\|_i,\qquad \|p\|_* = \sum_i\|p_i\|_{i,*}$$

    in which the unit direction of all is that of each part side by side. Norms by their sharp map are one norm, whose
    dual norm, the sum of theirs, multiplies the unit directions of them all: `Norm(kind, per_leaf=True)` is the product
    of one kind for every array.

    Arguments:
        by_leaf: geometries in the form of the parameters, or of the top of their tree, where one geometry gets a whole
            branch; None is flat space. With `labels`: a dictionary of geometries by label.
        labels: None; or texts in the form of the parameters, or of the top of their tree; or a function that gives the
            label of an array by its path, such as `"layers.0.weight"` (`"x"` for parameters that are one array).

    Returns:
        the geometry.

    Raises:
        InputError: a part is no geometry, or a mirror map or a norm stands beside a part where steps are of another
            form; labels without a dictionary; at a start, parameters of another form, or a label that is not in the
            dictionary.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> sphere, start = tw.geometry.Sphere(), {"w": jnp.array([0.6, 0.8]), "b": jnp.array([3.0])}
    >>> both = tw.geometry.Product({"w": sphere, "b": None})
    >>> [part.tolist() for part in both.velocity(start, {"w": jnp.array([1.0, 0.0]), "b": jnp.ones(1)}).values()]
    [[1.0], [0.64, -0.48]]
    >>> parts = {"turned": sphere, "flat": None}
    >>> same = tw.geometry.Product(parts, labels=lambda path: "turned" if path == "w" else "flat")
    >>> same.move(start, both.velocity(start, start))["b"].tolist()
    [6.0]

    >>> matrices, others = tw.geometry.Norm("spectral", unit=True), tw.geometry.Norm("linf", unit=True)
    >>> muon = tw.geometry.Product({"matrix": matrices, "vector": others}, labels={"w": "matrix", "b": "vector"})
    >>> slope = {"w": 3.0 * jnp.eye(2), "b": jnp.array([-0.5])}
    >>> muon.velocity(slope, slope)["b"].tolist(), round(float(muon.slope_norm(slope, slope)), 6)
    ([-1.0], 6.5)

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
    by_leaf = jax.tree.map(_part, by_leaf, is_leaf=is_part)
    parts = jax.tree.leaves(by_leaf, is_leaf=is_part)
    if not parts:
        raise InputError("by_leaf must hold geometries, but holds none")
    by_leaf, parts = _of_one_form(by_leaf, parts)
    able = tuple(kind for kind in KINDS if all(isinstance(part, kind) for part in parts))
    return class_of(able)(by_leaf, labels)


def _curved(part: Any) -> bool:
    return isinstance(part, AbstractManifold) and not isinstance(part, Euclidean)


def _of_one_form(by_leaf: Any, parts: list[Any]) -> tuple[Any, list[Any]]:
    """The parts, the flat ones as mirror maps beside others; refused where a step would be right in some alone."""
    mirrors = [part for part in parts if isinstance(part, AbstractDualFlat)]
    straight = [part for part in parts if not isinstance(part, AbstractManifold | AbstractDualFlat)]
    curved = [part for part in parts if _curved(part)]
    others = [part for part in parts if not isinstance(part, AbstractDualFlat | Euclidean)]
    if mirrors and others:
        raise InputError(
            f"steps in {named(mirrors[0])} add dual coordinates, and those in {named(others[0])} do not; take products "
            "of mirror maps and flat space, or of metrics, norms and flat space"
        )
    if straight and curved:
        raise InputError(
            f"steps in {named(straight[0])} add vectors of flat space, and would leave {named(curved[0])}; take "
            "products of norms, metrics and flat space, or of manifolds and flat space"
        )
    if not mirrors:
        return by_leaf, parts
    by_leaf = jax.tree.map(lambda p: FlatMirror() if isinstance(p, Euclidean) else p, by_leaf, is_leaf=is_part)
    return by_leaf, jax.tree.leaves(by_leaf, is_leaf=is_part)


def _part(value: Any) -> AbstractGeometry:
    if value is None:
        return Euclidean()
    if isinstance(value, AbstractDirection):
        return value
    if isinstance(value, type) and issubclass(value, AbstractGeometry):
        raise InputError(f"by_leaf must hold instances: {value.__name__}(), not the class")
    what = f"{named(value)} gives a slope no velocity" if isinstance(value, AbstractGeometry) else f"holds {value!r}"
    raise InputError(f"by_leaf must hold geometries of tw.geometry, such as tw.geometry.Sphere(), but {what}")
