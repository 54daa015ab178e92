"""Charts of curved surfaces that a page can show: the sphere as seen from outside, and the Poincaré disc."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._methods.method import Method
from .._objectives.objective import AbstractObjective
from .._tree import unraveler
from ..geometry import AbstractDistance, AbstractManifold, Hyperboloid, PoincareBall, Sphere
from ._plane import as_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Points along a step, which is a geodesic.
_ALONG = 9
# The edge of the disc is infinitely far away.
_EDGE = 0.995


@dataclasses.dataclass(frozen=True)
class Chart:
    """A surface in the plane.

    Attributes:
        geometry: the manifold.
        labels: the axes in words.
        flatten: points (n, d) of the surface to (n, 2).
        lift: (n, 2) to points of the surface, NaN where there is none.
        hidden: tells of points (n, d) which are behind the surface; None where all are seen.
    """

    geometry: AbstractManifold
    labels: tuple[str, str]
    flatten: Callable[[Any], Any]
    lift: Callable[[Any], Any]
    hidden: Callable[[Any], Any] | None = None

    def project(self, positions: Any) -> "NDArray[np.float64]":
        """Points of the surface on the page, (n, 2)."""
        return self.flatten(np.asarray(positions, float))

    def along(self, positions: Any) -> "NDArray[np.float64]":
        """The geodesics between points (n, d), as ((n - 1) k + 1, d)."""
        if len(positions) < 2 or not isinstance(self.geometry, AbstractDistance):
            return positions
        found = np.asarray(_geodesics(self.geometry, jnp.asarray(positions)))
        return np.concatenate([positions[:1], found.reshape(-1, positions.shape[1])])


@eqx.filter_jit
def _geodesics(geometry: Any, points: Any) -> Any:
    parts = jnp.arange(1, _ALONG + 1) / _ALONG

    def between(one: Any, other: Any) -> Any:
        way = geometry.log(one, other)
        return jax.vmap(lambda part: geometry.move(one, part * way))(parts)

    return jax.vmap(between)(points[:-1], points[1:])


def chart_of(methods: Iterable[Method], x0: PyTree, clouds: list[Any]) -> Chart | None:
    """The chart of the one surface that all methods move on, where there is one for it."""
    geometries = [method.dynamics.geometry for method in methods]
    leaves, first = jax.tree.leaves(x0), geometries[0]
    if len(leaves) != 1 or any(type(one) is not type(first) for one in geometries):
        return None
    shape = jnp.shape(leaves[0])
    if isinstance(first, Sphere) and shape == (3,):
        return _globe(first, clouds)
    if isinstance(first, PoincareBall) and shape == (2,):
        return Chart(first, ("Poincaré disc, x₁", "x₂"), lambda x: x, _inside)
    if isinstance(first, Hyperboloid) and shape == (3,):
        return Chart(first, ("Poincaré disc of the hyperboloid, x₁", "x₂"), _to_disc, _from_disc)
    return None


def _globe(sphere: Sphere, clouds: list[Any]) -> Chart:
    """The sphere from far away, over the middle of the paths, its third axis upwards."""
    middle = np.mean([np.mean(cloud, axis=0) for cloud in clouds], axis=0)
    length = float(np.linalg.norm(middle))
    view = middle / length if length > 1e-3 else np.array([1.0, 0.0, 0.0])
    north = np.array([0.0, 0.0, 1.0]) if abs(view[2]) < 0.99 else np.array([0.0, 1.0, 0.0])
    up = north - (north @ view) * view
    up /= np.linalg.norm(up)
    axes = np.stack([np.cross(up, view), up])

    def lift(points: Any) -> Any:
        square = 1.0 - np.sum(points**2, axis=1)
        depth = np.sqrt(np.where(square >= 0.0, square, np.nan))
        return points @ axes + depth[:, None] * view

    seen = ", ".join(f"{value:.2g}" for value in view)
    labels = (f"sphere, seen from ({seen})", "third axis upwards" if abs(view[2]) < 0.99 else "second axis upwards")
    return Chart(sphere, labels, lambda x: x @ axes.T, lift, lambda x: x @ view < 0.0)


def _inside(points: Any) -> Any:
    return np.where(np.sum(points**2, axis=1, keepdims=True) < _EDGE**2, points, np.nan)


def _to_disc(points: Any) -> Any:
    return points[:, 1:] / (1.0 + points[:, :1])


def _from_disc(points: Any) -> Any:
    square = np.sum(points**2, axis=1, keepdims=True)
    gap = np.where(square < _EDGE**2, 1.0 - square, np.nan)
    return np.concatenate([(1.0 + square) / gap, 2.0 * points / gap], axis=1)


def loss_over(objective: AbstractObjective, x0: PyTree, chart: Chart, x: Any, y: Any) -> Any:
    """The loss on the part of the grid of x (m,) and y (n,) that shows the surface, an array (n, m), NaN elsewhere."""
    points = chart.lift(np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1))
    seen = np.isfinite(points).all(axis=1)
    kind = jnp.asarray(as_matrix(jax.tree.map(lambda leaf: leaf[None], x0))).dtype
    found = np.full(len(points), np.nan)
    found[seen] = np.asarray(_values(objective, unraveler(x0), jnp.asarray(points[seen], kind)), float)
    return found.reshape(len(y), len(x))


@eqx.filter_jit
def _values(objective: AbstractObjective, cut: Callable, points: Any) -> Any:
    return jax.vmap(lambda point: objective.value(cut(point)))(points)
