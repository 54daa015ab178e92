"""The geometry of a law: what may stand for one, and the gradient in it."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError
from .._measures.functional import AbstractFunctional
from .._tree import Vector, length
from ..geometry import (
    AbstractDensityGeometry,
    AbstractDirection,
    AbstractDualFlat,
    AbstractEmbedded,
    AbstractGeometry,
    AbstractManifold,
    AbstractMetric,
    AbstractNoise,
    Euclidean,
)
from ..geometry.base import named, traced


def as_geometry(value: Any) -> Any:
    """A geometry as it is, None for flat space; what is none its law refuses by name."""
    # Nothing is computed in flat space, so that its programs are those of a law without a geometry.
    return None if isinstance(value, Euclidean) else value


def check_geometry(value: Any, needed: type[AbstractGeometry] = AbstractDirection, law: str = "HeavyBall") -> None:
    """Refuse what gives a slope no velocity, and what does where a manifold is needed, by the name of the law."""
    if isinstance(value, type) and issubclass(value, AbstractGeometry):
        raise InputError(f"geometry must be an instance: {value.__name__}(), not the class")
    if value is None or isinstance(value, needed):
        return
    if isinstance(value, AbstractDirection):
        first = "tw.OverdampedLangevin" if law == "UnderdampedLangevin" else "tw.GradientFlow"
        instead = (
            f"take it in {first}"
            if not isinstance(value, AbstractMetric) or isinstance(value, AbstractDualFlat)
            else f"take it in {first}, or write it as a tw.geometry.AbstractManifold"
        )
        raise InputError(
            f"tw.{law} needs a manifold, with its straight lines and its parallel transport, but "
            f"{no_manifold(value)}; {instead}"
        )
    raise InputError(f"geometry must be one of tw.geometry, such as tw.geometry.Sphere(), but is {value!r}")


def check_noise(geometry: AbstractGeometry | None, law: str) -> None:
    """Refuse a geometry for a law with noise, where the noise of its metric is not known."""
    if geometry is None:
        return
    if not isinstance(geometry, AbstractNoise) or not isinstance(geometry, AbstractMetric | AbstractDensityGeometry):
        reason = (
            "is of no inner product, so that no noise belongs to it"
            if not isinstance(geometry, AbstractMetric | AbstractDensityGeometry)
            else "does not know the root and the divergence of its metric"
        )
        raise InputError(
            f"tw.{law} needs the noise of a metric, but {named(geometry)} {reason}; take a tw.geometry.Metric, a "
            "mirror map or a manifold, or write it as a tw.geometry.AbstractNoise"
        )
    if geometry.without_noise:
        raise InputError(f"tw.{law}: {geometry.without_noise}")


def no_manifold(geometry: AbstractGeometry) -> str:
    """The reason why nothing with a mass moves in a geometry that is no manifold."""
    name = named(geometry)
    if isinstance(geometry, AbstractDualFlat):
        return f"{name} has the straight lines of its dual coordinates, which are not the geodesics of its metric"
    if isinstance(geometry, AbstractMetric):
        return f"{name} is a metric alone, whose Christoffel terms are not known"
    return f"{name} is of no inner product, so that no velocity has an energy in it"


def as_tangent(geometry: AbstractGeometry | None, position: Vector, slope: Vector) -> Vector:
    r"""The tangent that $\nabla f$ stands for; the slope itself in flat space.

    Raises:
        InputError: the metric raises, or gives another tree or other shapes than the slope has.
    """
    if not isinstance(geometry, AbstractDirection):
        return slope
    found = _mapped(geometry, "velocity", position, slope)
    return jax.tree.map(lambda leaf, own: jnp.asarray(leaf).astype(own.dtype), found, slope)


def climbed(geometry: AbstractGeometry | None, objective: Any, position: Vector, slope: Vector) -> Vector:
    r"""The velocity with which a law climbs its objective: the tangent that $\nabla f$ stands for.

    Of a distribution that of the whole functional, also of terms that have no value on it.

    Raises:
        InputError: as of `as_tangent`; or the geometry is of distributions, and the objective is not.
    """
    if not isinstance(geometry, AbstractDensityGeometry):
        return as_tangent(geometry, position, slope)
    functional = objective
    if not isinstance(functional, AbstractFunctional):
        raise InputError(
            f"{named(geometry)} goes down functionals of distributions, such as tw.measures.KL(target), but the "
            f"objective is {functional!r}"
        )
    return geometry.descent(functional, position, slope)


def noise_at(geometry: AbstractGeometry | None, position: Vector, normals: tuple[Vector, ...]) -> tuple[Vector, ...]:
    """Normals at the metric, tangent at a position; themselves in flat space."""
    if not isinstance(geometry, AbstractNoise):
        return normals
    return tuple(_mapped(geometry, "noise", position, normal, like=position) for normal in normals)


def spread_at(geometry: AbstractGeometry | None, position: Vector) -> Vector | None:
    """The drift that noise at the metric has of itself at temperature 1; None where there is none."""
    if not isinstance(geometry, AbstractNoise) or (isinstance(geometry, AbstractDirection) and geometry.linear):
        return None
    return _mapped(geometry, "divergence", position)


def norm(geometry: AbstractGeometry | None, position: Vector, tangent: Vector) -> Float[Array, ""]:
    """The length of a tangent in the metric at a point."""
    square = geometry.inner(position, tangent, tangent) if isinstance(geometry, AbstractMetric) else None
    return length(tangent) if square is None else jnp.sqrt(square)


def slope_norm(geometry: AbstractGeometry | None, position: Vector, slope: Vector) -> Float[Array, ""]:
    """The dual norm of a slope: in a metric the length of the tangent that it stands for."""
    return geometry.slope_norm(position, slope) if isinstance(geometry, AbstractDirection) else length(slope)


def check_on(geometry: AbstractGeometry | None, position: Vector, velocity: Vector | None = None) -> None:
    """Refuse a start that does not fit a geometry, and maps of it that do not fit the start; what is traced passes."""
    if geometry is None or traced(position):
        return
    if isinstance(geometry, AbstractDirection):
        _asked(geometry, "check", position)
    if isinstance(geometry, AbstractManifold) and velocity is not None and not traced(velocity):
        _asked(geometry, "check_tangent", position, velocity)
    for kind, maps in _MAPS.items():
        for name, count in maps.items() if isinstance(geometry, kind) else ():
            jax.eval_shape(lambda x, name=name, count=count: _mapped(geometry, name, *(x,) * count), position)


# The maps that steps are made of, all of whose arguments and results are of the shape of the position, and how many.
_MAPS: dict[type, dict[str, int]] = {
    AbstractDirection: {"velocity": 2},
    AbstractDualFlat: {"to_dual": 1, "from_dual": 1, "lowered": 2, "shifted": 2},
    AbstractManifold: {"move": 2, "transport": 3},
    AbstractEmbedded: {"project": 1, "tangent": 2, "bend": 2},
}


def _asked(geometry: AbstractGeometry, name: str, *arguments: Vector) -> Any:
    try:
        return getattr(geometry, name)(*arguments)
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{named(geometry)}.{name} raised {type(error).__name__} at arrays of {_shapes(arguments[0])}: {first}"
        ) from error


def _mapped(geometry: AbstractGeometry, name: str, *arguments: Vector, like: Vector | None = None) -> Any:
    """The value of a map, refused where it is not of the shape of its last argument, or of what it is to be like."""
    found, what = _asked(geometry, name, *arguments), f"{named(geometry)}.{name}"
    own = arguments[-1] if like is None else like
    here, there = jax.tree.structure(own), jax.tree.structure(found)
    if here != there:
        raise InputError(f"{what} must give a tree as it is given, {_tree(here)}, but gives {_tree(there)}")
    pairs = list(zip(jax.tree.leaves(own), jax.tree.leaves(found), strict=True))
    if any(jnp.shape(a) != jnp.shape(b) for a, b in pairs):
        raise InputError(f"{what} must give shapes as it is given, {_shapes(own)}, but gives {_shapes(found)}")
    for a, b in pairs:
        # What a metric gives is cast; a point that changes its precision would fail far from here.
        kind, words = (jnp.floating, "floating-point numbers") if name == "velocity" else (a.dtype, a.dtype)
        if not jnp.issubdtype(jnp.result_type(b), kind):
            raise InputError(f"{what} must give {words}, but gives {jnp.result_type(b)}")
    return found


def _shapes(tree: Vector) -> str:
    return ", ".join(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(tree))


def _tree(structure: Any) -> str:
    return str(structure).removeprefix("PyTreeDef")
