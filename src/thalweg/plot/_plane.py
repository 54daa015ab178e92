"""The plane that paths are drawn on, and the loss over it."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._objectives.objective import AbstractObjective

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Points that the principal directions are found from; more change nothing one could see.
_ROWS = 256
# Losses evaluated at once.
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Plane:
    """A plane in parameter space.

    Attributes:
        origin: (d,), the point drawn at (0, 0).
        axes: (2, d), two orthonormal directions.
        shares: the part of the motion along each, None where the plane is the whole space.
    """

    origin: Any
    axes: Any
    shares: tuple[float, float] | None

    def project(self, positions: Any) -> "NDArray[np.float64]":
        """Positions (n, d) on the plane, (n, 2)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return (positions - self.origin) @ self.axes.T

    @property
    def labels(self) -> tuple[str, str]:
        """The axes in words."""
        if self.shares is None:
            return "parameter θ₁", "parameter θ₂"
        first, second = (f"{100 * share:.0f} % of the motion" for share in self.shares)
        return f"first principal direction ({first})", f"second principal direction ({second})"


def as_matrix(positions: PyTree) -> "NDArray[np.float64]":
    """A tree of arrays with a leading axis of n, as one matrix (n, d) in float64."""
    leaves = [np.asarray(leaf, dtype=float) for leaf in jax.tree.leaves(positions)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def fit_plane(origin: Any, start: Any, clouds: list[Any]) -> Plane:
    """The plane through `origin` along the two leading principal directions of the clouds (n, d) around it."""
    d = len(origin)
    if d == 2:
        return Plane(np.zeros(2), np.eye(2), None)
    each = max(_ROWS // len(clouds), 2)
    rows = np.concatenate([_spread(cloud, each) - origin for cloud in clouds])
    # Nothing is centred on its mean: the directions are those that lead away from the origin.
    energy, axes = _principal(rows)
    axes *= np.where(axes @ (start - origin) < 0, -1.0, 1.0)[:, None]
    total = max(float(np.sum(rows**2)), 1e-300)
    return Plane(origin, axes, (float(energy[0]) / total, float(energy[1]) / total))


def _spread(cloud: Any, most: int) -> Any:
    """At most so many points of a path, evenly along its length."""
    if len(cloud) <= most:
        return cloud
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(cloud, axis=0), axis=1))])
    return cloud[np.searchsorted(length, np.linspace(0.0, length[-1], most))]


def _principal(rows: Any) -> tuple[Any, Any]:
    """The two leading eigenvalues of rows^T rows and their directions (2, d)."""
    n, d = rows.shape
    if d <= n:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        return np.maximum(values[::-1][:2], 0.0), vectors[:, ::-1][:, :2].T.copy()
    values, vectors = np.linalg.eigh(rows @ rows.T)
    values, found = np.maximum(values[::-1][:2], 0.0), (vectors[:, ::-1][:, :2].T @ rows)
    # Where the motion is along a line, any direction across it will do.
    fallback = np.zeros((2, d))
    fallback[[0, 1], np.argsort(np.abs(rows).sum(axis=0))[:2]] = 1.0
    small = values <= 1e-14 * max(values[0], 1e-300)
    basis, _ = np.linalg.qr(np.where(small[:, None], fallback, found).T)
    return values, basis.T.copy()


def loss_on(objective: AbstractObjective, cut: Callable, plane: Plane, x: Any, y: Any, dtype: Any) -> Any:
    """The loss on the grid of x (m,) and y (n,), an array (n, m), by one compiled and vmapped call."""
    points = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)
    values = _values(
        objective, cut, jnp.asarray(plane.origin, dtype), jnp.asarray(plane.axes, dtype), jnp.asarray(points, dtype)
    )
    return np.asarray(values, dtype=float).reshape(len(y), len(x))


@eqx.filter_jit
def _values(objective: AbstractObjective, cut: Callable, origin: Array, axes: Array, points: Array) -> Array:
    return jax.lax.map(lambda point: objective.value(cut(origin + point @ axes)), points, batch_size=_BATCH)
