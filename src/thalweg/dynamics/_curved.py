"""The geometry of a law: what may stand for one, and the gradient in it."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._tree import Vector, inner
from ..geometry import AbstractGeometry, AbstractManifold, AbstractMetric, Euclidean
from ..geometry.base import named, traced


def as_geometry(value: Any) -> Any:
    """A geometry as it is, None for flat space; what is none its law refuses by name."""
    # Nothing is computed in flat space, so that its programs are those of a law without a geometry.
    return None if isinstance(value, Euclidean) else value


def check_geometry(value: Any, needed: type[AbstractGeometry] = AbstractMetric) -> None:
    """Refuse what is no metric, and a metric where a manifold is needed."""
    if isinstance(value, type) and issubclass(value, AbstractGeometry):
        raise InputError(f"geometry must be an instance: {value.__name__}(), not the class")
    if value is None or isinstance(value, needed):
        return
    if isinstance(value, AbstractMetric):
        raise InputError(
            f"tw.HeavyBall needs a manifold, with its straight lines and its parallel transport, but {named(value)} is "
            "a metric alone, whose Christoffel terms are not known; take it in tw.GradientFlow, or write it as a "
            "tw.geometry.AbstractManifold"
        )
    raise InputError(f"geometry must be one of tw.geometry, such as tw.geometry.Sphere(), but is {value!r}")


def as_tangent(geometry: AbstractGeometry | None, position: Vector, slope: Vector) -> Vector:
    r"""The tangent that $\nabla f$ stands for; the slope itself in flat space.

    Raises:
        InputError: the metric raises, or gives another tree or other shapes than the slope has.
    """
    if not isinstance(geometry, AbstractMetric):
        return slope
    name = f"{named(geometry)}.velocity"
    try:
        found = geometry.velocity(position, slope)
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(f"{name} raised {type(error).__name__} at a slope of {_shapes(slope)}: {first}") from error
    here, there = jax.tree.structure(slope), jax.tree.structure(found)
    if here != there:
        raise InputError(f"{name} must give a tree like the slope, {_tree(here)}, but gives {_tree(there)}")
    if any(jnp.shape(a) != jnp.shape(b) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(found), strict=True)):
        raise InputError(f"{name} must give the shapes of the slope, {_shapes(slope)}, but gives {_shapes(found)}")
    if any(not jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in jax.tree.leaves(found)):
        raise InputError(f"{name} must give floating-point numbers")
    return jax.tree.map(lambda leaf, own: jnp.asarray(leaf).astype(own.dtype), found, slope)


def norm(geometry: AbstractGeometry | None, position: Vector, tangent: Vector) -> Float[Array, ""]:
    """The length of a tangent in the metric at a point."""
    square = geometry.inner(position, tangent, tangent) if isinstance(geometry, AbstractMetric) else None
    return jnp.sqrt(inner(tangent, tangent) if square is None else square)


def check_on(geometry: AbstractGeometry | None, position: Vector, velocity: Vector | None = None) -> None:
    """Refuse a start that does not fit a geometry: its point, its velocity, or its shapes."""
    if isinstance(geometry, AbstractManifold) and not traced((position, velocity)):
        geometry.check(position)
        if velocity is not None:
            geometry.check_tangent(position, velocity)
    if isinstance(geometry, AbstractMetric):
        jax.eval_shape(lambda x: as_tangent(geometry, x, x), position)


def _shapes(tree: Vector) -> str:
    return ", ".join(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(tree))


def _tree(structure: Any) -> str:
    return str(structure).removeprefix("PyTreeDef")
