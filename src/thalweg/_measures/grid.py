"""A density on a grid of boxes."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, check_arguments
from .._typed import typed
from .base import AbstractMeasure, as_floats, check_finite, check_probabilities, known, of_points
from .mesh import Mesh, as_mesh


class Grid(AbstractMeasure):
    r"""A density on the cells of a grid in one to three dimensions.

    $$\int g\,d\rho = \sum_i g(x_i)\,\rho_i\,|\text{cell}_i|,\qquad \sum_i \rho_i\,|\text{cell}_i| = 1$$

    with $x_i$ the middles of the cells: the midpoint rule, of second order in their width. Nothing leaves the grid: an
    axis ends at walls, or its two ends are one.

    Arguments:
        density: $\rho_i$, an array with an axis for each of the grid's, in units of one over a volume.
        edges: those of the cells, an increasing array (n + 1,), or a tuple of one an axis; they need not be even.
        periodic: whether the two ends of an axis are one, or a tuple of that for every axis.

    Raises:
        InputError: the edges do not increase, the density is negative, or its sum over the volumes is not one.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> q = tw.measures.Grid.of(lambda x: jnp.exp(-0.5 * x[0]**2), jnp.linspace(-8, 8, 161))
    >>> round(float(q.mass), 6), round(float(q.covariance[0, 0]), 2)
    (1.0, 1.0)
    """

    words: ClassVar[str] = "a grid"
    density: Float[Array, "..."]
    mesh: Mesh = eqx.field(static=True)

    def __init__(self, density: Any, edges: Any, periodic: bool | tuple[bool, ...] = False) -> None:
        self.mesh = as_mesh(edges, periodic)
        self.density = as_floats("density", density)
        if self.density.shape != self.mesh.shape:
            raise InputError(
                f"density must have a number for every cell, shape {self.mesh.shape}, but has shape "
                f"{self.density.shape}"
            )
        check_probabilities(
            "density times volume", self.density * self.volumes, "Grid.of(density, edges) divides by the sum"
        )

    @classmethod
    @typed("density")
    def of(cls, density: Any, edges: Any, periodic: bool | tuple[bool, ...] = False) -> "Grid":
        """A density that need not be normalised, an array or a function of a point, taken in the middles of the cells.

        Arguments:
            density: an array of the grid's shape, or a function of a point (d,).
            edges, periodic: as of `Grid`.

        Raises:
            InputError: the density is negative or not finite somewhere, or zero everywhere.
        """
        mesh = as_mesh(edges, periodic)
        if callable(density):
            check_arguments("density", density, "point")
            fn: Any = density
            values = at_centres(fn, mesh)
        else:
            values = as_floats("density", density)
        check_finite("density", values)
        total = (
            jnp.sum(values * jnp.asarray(mesh.volumes, values.dtype)) if values.shape == mesh.shape else jnp.ones(())
        )
        if known(total) and not float(total) > 0.0:
            raise InputError(
                f"density must be positive in the middle of a cell, but its integral is {float(total):g}; of one that "
                "is narrower than a cell take more cells, or an array of what is in them"
            )
        return cls(values / total, mesh.edges, mesh.periodic)

    @property
    def volumes(self) -> Float[Array, "..."]:
        """The volumes of the cells."""
        return jnp.asarray(self.mesh.volumes, self.density.dtype)

    @property
    def points(self) -> Float[Array, "... d"]:
        """The middles of the cells, coordinates last."""
        return jnp.asarray(self.mesh.points, self.density.dtype)

    @property
    def masses(self) -> Float[Array, "..."]:
        """The probabilities of the cells."""
        return self.density * self.volumes

    @property
    def dimension(self) -> int:
        return self.mesh.dimension

    @property
    def mass(self) -> Float[Array, ""]:
        return jnp.sum(self.masses)

    @property
    def mean(self) -> Float[Array, " d"]:
        return self._moments[0]

    @property
    def covariance(self) -> Float[Array, "d d"]:
        return self._moments[1]

    def marginal(self, axis: int) -> "Grid":
        """The density of one coordinate.

        Arguments:
            axis: which one, from 0.
        """
        if not 0 <= axis < self.dimension:
            raise InputError(f"axis must be from 0 to {self.dimension - 1}, but is {axis}")
        widths = jnp.asarray(self.mesh.widths[axis], self.density.dtype)
        return replaced(self, self._along(axis) / widths, Mesh((self.mesh.edges[axis],), (self.mesh.periodic[axis],)))

    def _along(self, axis: int) -> Array:
        return jnp.sum(self.masses, axis=tuple(i for i in range(self.dimension) if i != axis))

    @property
    def _moments(self) -> tuple[Array, Array]:
        return of_points(self.points.reshape(-1, self.dimension), self.masses.ravel())


def at_centres(fn: Callable[[Array], ArrayLike], mesh: Mesh, dtype: Any = None) -> Array:
    """Values of a function of a point (d,) in the middles of the cells, of the mesh's shape."""
    points = jnp.asarray(mesh.points.reshape(mesh.cells, mesh.dimension), dtype or float)
    values = jax.vmap(lambda point: jnp.asarray(fn(point)))(points)
    if values.ndim != 1:
        raise InputError(f"a function of a point must give a number, but gives shape {values.shape[1:]}")
    return values.reshape(mesh.shape)


def replaced(grid: Grid, density: Array, mesh: Mesh | None = None) -> Grid:
    """Another density on the same mesh, not checked."""
    found = object.__new__(Grid)
    object.__setattr__(found, "density", density)
    object.__setattr__(found, "mesh", grid.mesh if mesh is None else mesh)
    return found
