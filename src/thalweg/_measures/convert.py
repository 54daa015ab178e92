"""One representation of a distribution made into another."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import InputError, as_key, check_count
from .._tree import normal
from .base import AbstractMeasure, known
from .bures import root
from .gaussian import Gaussian
from .grid import Grid
from .line import at_levels, of_atoms, quantiles_at
from .mesh import Mesh
from .particles import Particles
from .quantiles import Quantiles


def quantiles(q: AbstractMeasure, count: int) -> Quantiles:
    """So many quantiles of a distribution on the line."""
    count = check_count("count", count, at_least=3)
    if q.dimension != 1:
        raise InputError(
            f"quantiles are of a distribution on the line, but {q.words} here has {q.dimension} coordinates"
        )
    dtype = q.mean.dtype
    levels = Quantiles(jnp.arange(count, dtype=dtype)).levels
    if isinstance(q, Quantiles):
        # Linear between theirs, and beyond them.
        own, values = q.levels, q.values
        i = jnp.clip(jnp.searchsorted(own, levels) - 1, 0, own.size - 2)
        slope = (values[i + 1] - values[i]) / (own[i + 1] - own[i])
        return Quantiles(values[i] + slope * (levels - own[i]))
    if not isinstance(q, Particles):
        return Quantiles(quantiles_at(q, levels))
    values = at_levels(of_atoms(q.positions[:, 0], q.weights), levels)
    if known(values) and not bool(jnp.all(jnp.diff(values) > 0)):
        raise InputError(
            f"{q.weights.size} particles do not have {count} different quantiles: they are as many steps; ask for "
            "fewer, or of particles that coincide take none"
        )
    return Quantiles(values)


def gaussian(q: AbstractMeasure) -> Gaussian:
    """The Gaussian with the mean and the covariance of a distribution."""
    return Gaussian(q.mean, q.covariance)


def particles(q: AbstractMeasure, count: int, key: Any) -> Particles:
    """So many particles of equal weight, drawn independently."""
    count, key = check_count("count", count), as_key(key)
    dtype = q.mean.dtype
    if isinstance(q, Gaussian):
        drawn = normal(key, (count, q.dimension), dtype)
        positions = q.mean[None] + jnp.matmul(drawn, root(q.covariance), precision="highest")
        return Particles(positions)
    if isinstance(q, Quantiles):
        levels = jax.random.uniform(key, (count,), dtype)
        own = q.levels
        i = jnp.clip(jnp.searchsorted(own, levels) - 1, 0, own.size - 2)
        slope = (q.values[i + 1] - q.values[i]) / (own[i + 1] - own[i])
        return Particles(q.values[i] + slope * (levels - own[i]))
    first, second = jax.random.split(key)
    if isinstance(q, Particles):
        return Particles(q.positions[jax.random.choice(first, q.weights.size, (count,), p=q.weights)])
    assert isinstance(q, Grid)
    cells = jax.random.choice(first, q.mesh.cells, (count,), p=q.masses.ravel())
    low, wide = (jnp.asarray(array, dtype) for array in _boxes(q.mesh))
    inside = jax.random.uniform(second, (count, q.dimension), dtype)
    return Particles(low[cells] + inside * wide[cells])


def _boxes(mesh: Mesh) -> tuple[Array, Array]:
    """The lowest corner and the widths of every cell, arrays (cells, d)."""
    low = jnp.meshgrid(*(axis[:-1] for axis in mesh.edges), indexing="ij")
    wide = jnp.meshgrid(*mesh.widths, indexing="ij")
    low, wide = (jnp.stack([axis.ravel() for axis in axes], axis=1) for axes in (low, wide))
    return low, wide
