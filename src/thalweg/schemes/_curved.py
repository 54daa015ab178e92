"""Steps along a manifold: what takes the place of sums of vectors there."""

from collections.abc import Sequence

from jaxtyping import ArrayLike

from .._tree import Vector, combine
from ..dynamics import AbstractDynamics, AbstractNoisy, Phase
from ..dynamics._noise import Terms
from ..geometry import AbstractDualFlat, AbstractEmbedded, AbstractGeometry, AbstractManifold, AbstractMetric
from ..geometry.base import named
from ._advice import even_noise
from ._state import State


def manifold(dynamics: AbstractDynamics) -> AbstractManifold | None:
    """The manifold of a law; None where its positions are those of flat space."""
    geometry = dynamics.geometry
    return geometry if isinstance(geometry, AbstractManifold) else None


def without_cubic(dynamics: AbstractDynamics) -> str:
    """The reason why states between two are not those of the cubic with their rates; or nothing."""
    geometry = dynamics.geometry
    if isinstance(dynamics, AbstractNoisy):
        return "noise makes no smooth path"
    if isinstance(geometry, AbstractManifold | AbstractDualFlat):
        return f"a cubic leaves {named(geometry)}"
    if geometry is None or isinstance(geometry, AbstractMetric):
        return ""
    return f"{named(geometry)} has no smooth rates"


def grounded(geometry: AbstractGeometry | None, y: Phase) -> Phase:
    """The phase at the nearest point of an embedded manifold, the velocity tangent there."""
    if not isinstance(geometry, AbstractEmbedded):
        return y
    position = geometry.project(y.position)
    velocity = None if y.velocity is None else geometry.tangent(position, y.velocity)
    return y._replace(position=position, velocity=velocity)


def added(geometry: AbstractGeometry | None, y: Phase, moves: Sequence[tuple[ArrayLike, Phase]]) -> Phase:
    """The phase after a sum of moves: in flat space, in the one around a manifold, or in dual coordinates."""
    if not isinstance(geometry, AbstractDualFlat):
        return grounded(geometry, combine((1, y), *moves))
    total = combine(*moves)
    moved = combine((1, y._replace(position=None)), (1, total._replace(position=None)))
    return moved._replace(position=geometry.shifted(y.position, total.position))


def wandered(
    geometry: AbstractGeometry | None, position: Vector, drift: Sequence[tuple[ArrayLike, Vector]], noise: Terms
) -> Vector:
    """The position after drifts with noise at the metric: along one geodesic, in dual coordinates, or added up."""
    if isinstance(geometry, AbstractManifold):
        return geometry.move(position, combine(*drift, *noise))
    if isinstance(geometry, AbstractDualFlat):
        lowered = [(weight, geometry.lowered(position, part)) for weight, part in noise]
        return geometry.shifted(position, combine(*drift, *lowered))
    return combine((1, position), *drift, *noise)


def uneven(geometry: AbstractGeometry) -> str | None:
    """The reason why a scheme that takes noise to be the same everywhere refuses a geometry; None where it is."""
    if even_noise(geometry):
        return None
    return f"is made for noise that is the same everywhere, which it is not in {named(geometry)}"


def carried(geometry: AbstractManifold, position: Vector, move: Vector, tangent: Vector) -> tuple[Vector, Vector]:
    """The point at the end of a move, and a tangent carried there in parallel."""
    end = geometry.move(position, move)
    return end, tangent_at(geometry, end, geometry.transport(position, move, tangent))


def tangent_at(geometry: AbstractManifold, position: Vector, carried: Vector) -> Vector:
    """A tangent carried to a point, without what rounding left normal to an embedded manifold: it would add up."""
    return geometry.tangent(position, carried) if isinstance(geometry, AbstractEmbedded) else carried


def brought_back(state: State, force: Vector) -> Vector:
    """A force at the look-ahead point as a tangent at the position, carried back along the way ahead."""
    geometry = state.geometry
    if geometry is None or state.lookahead_weight is None:
        return force
    way = combine((state.lookahead_weight, state.buffer))
    back = combine((-1, geometry.transport(state.position, way, way)))
    return tangent_at(geometry, state.position, geometry.transport(state.lookahead, back, force))
