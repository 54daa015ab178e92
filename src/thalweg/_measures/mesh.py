"""A mesh of boxes: the edges of the cells of a grid, which do not move."""

import functools
import math
from typing import Any

import numpy as np

from .._errors import InputError, as_reals


class Mesh:
    """Edges along one to three axes; equal where all of its numbers are, so that a compiled program is found again.

    Arguments:
        edges: one increasing array (n + 1,) an axis.
        periodic: whether the two ends of an axis are one, an axis each.

    Attributes:
        shape: the number of cells along every axis.
    """

    def __init__(self, edges: tuple[np.ndarray, ...], periodic: tuple[bool, ...]) -> None:
        self.edges, self.periodic = edges, periodic
        self._known = (tuple(axis.tobytes() for axis in edges), periodic)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mesh) and self._known == other._known

    def __hash__(self) -> int:
        return hash(self._known)

    def __repr__(self) -> str:
        sides = (
            f"{len(axis) - 1} cells on [{axis[0]:g}, {axis[-1]:g}]{', periodic' if around else ''}"
            for axis, around in zip(self.edges, self.periodic, strict=True)
        )
        return " x ".join(sides)

    @property
    def dimension(self) -> int:
        """The number of axes."""
        return len(self.edges)

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(axis) - 1 for axis in self.edges)

    @property
    def cells(self) -> int:
        """The number of cells."""
        return math.prod(self.shape)

    @functools.cached_property
    def centres(self) -> tuple[np.ndarray, ...]:
        """The middles of the cells along every axis."""
        return tuple(0.5 * (axis[1:] + axis[:-1]) for axis in self.edges)

    @functools.cached_property
    def widths(self) -> tuple[np.ndarray, ...]:
        """The widths of the cells along every axis."""
        return tuple(np.diff(axis) for axis in self.edges)

    @functools.cached_property
    def volumes(self) -> np.ndarray:
        """The volumes of the cells, of the mesh's shape."""
        found = np.ones(())
        for widths in self.widths:
            found = found[..., None] * widths
        return found

    @functools.cached_property
    def points(self) -> np.ndarray:
        """The middles of the cells, of the mesh's shape with the coordinates last."""
        return np.stack(np.meshgrid(*self.centres, indexing="ij"), axis=-1)

    @functools.cached_property
    def apart(self) -> tuple[np.ndarray, ...]:
        """The distances between middles of neighbours along every axis: n - 1 of them, n where it is periodic."""
        found = []
        for widths, around in zip(self.widths, self.periodic, strict=True):
            beside = 0.5 * (widths[1:] + widths[:-1])
            found.append(np.append(beside, 0.5 * (widths[0] + widths[-1])) if around else beside)
        return tuple(found)

    def walls(self, axis: int) -> np.ndarray:
        """The middles of the walls between neighbours along an axis, with the coordinates last: as `apart` has them."""
        between = self.edges[axis][1:] if self.periodic[axis] else self.edges[axis][1:-1]
        places = [between if i == axis else centres for i, centres in enumerate(self.centres)]
        return np.stack(np.meshgrid(*places, indexing="ij"), axis=-1)

    @functools.cached_property
    def uniform(self) -> bool:
        """Tell whether the cells along an axis are all as wide."""
        return all(np.allclose(widths, widths[0], rtol=1e-9) for widths in self.widths)


def as_mesh(edges: Any, periodic: Any) -> Mesh:
    """A mesh of what a user writes.

    Raises:
        InputError: the edges do not increase, an axis has fewer than two cells, or there are more than three axes.
    """
    many = isinstance(edges, list | tuple) and len(edges) > 0 and all(np.ndim(axis) == 1 for axis in edges)
    axes = tuple(edges) if many else (edges,)
    if len(axes) > 3:
        raise InputError(
            f"a grid has one to three axes, but edges are given for {len(axes)}; take tw.measures.Particles"
        )
    found = []
    for axis in axes:
        numbers = as_reals("edges", axis)
        if numbers.ndim != 1 or numbers.size < 3:
            raise InputError(
                "edges must be those of two cells or more along an axis, such as jnp.linspace(-5, 5, 201), but have "
                f"shape {numbers.shape}"
            )
        if not (np.all(np.isfinite(numbers)) and np.all(np.diff(numbers) > 0)):
            raise InputError("edges must be finite and increase along every axis")
        found.append(numbers)
    around = tuple(periodic) if isinstance(periodic, list | tuple) else (periodic,) * len(axes)
    if len(around) != len(axes) or not all(isinstance(one, bool) for one in around):
        raise InputError(f"periodic must be True or False, or that for each of {len(axes)} axes, but is {periodic!r}")
    return Mesh(tuple(found), around)
