"""A distribution in run.toml: all of it that is no moving number, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import AbstractMeasure
from .gaussian import Gaussian
from .grid import Grid
from .mesh import Mesh
from .particles import Particles
from .quantiles import Quantiles

_KINDS: dict[str, type[AbstractMeasure]] = {kind.__name__: kind for kind in (Grid, Particles, Quantiles, Gaussian)}


def described(q: AbstractMeasure) -> dict[str, Any]:
    """The kind of a distribution and, of a grid, its edges."""
    found: dict[str, Any] = {"kind": type(q).__name__}
    if isinstance(q, Grid):
        found |= {"edges": [axis.tolist() for axis in q.mesh.edges], "periodic": list(q.mesh.periodic)}
    return found


def rebuilt(about: Mapping[str, Any], arrays: Any) -> Any:
    """The distribution of its arrays by name; the arrays themselves for a kind of a user's own."""
    kind = _KINDS.get(about["kind"])
    if kind is None or not isinstance(arrays, Mapping):
        return arrays
    found = object.__new__(kind)
    for name, array in {"log_density": None, **arrays}.items():
        if name in kind.__dataclass_fields__:  # pyright: ignore[reportAttributeAccessIssue]
            object.__setattr__(found, name, array)
    if kind is Grid:
        edges = tuple(np.asarray(axis, dtype=float) for axis in about["edges"])
        object.__setattr__(found, "mesh", Mesh(edges, tuple(about["periodic"])))
    return found
