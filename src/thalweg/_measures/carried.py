"""The rate of a distribution whose mass a field carries."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import InputError
from .cubature import gaussian_mean
from .gaussian import Gaussian
from .grid import Grid, replaced
from .particles import Particles
from .quantiles import Quantiles
from .transport import carried, last


def at_points(drift: Callable, points: Array) -> Array:
    """A field (n, d) at points (n, d).

    Raises:
        InputError: it gives something else.
    """
    found = jax.vmap(lambda point: jnp.asarray(drift(point)))(points)
    if found.shape != points.shape:
        raise InputError(
            f"drift must give a velocity of shape {points.shape[1:]} at a point, but gives shape {found.shape[1:]}"
        )
    return found.astype(points.dtype)


def at_walls(drift: Callable, q: Grid, axis: int) -> Array:
    """The speed with which a field crosses the walls between the cells along an axis, that axis last."""
    points = jnp.asarray(q.mesh.walls(axis), q.density.dtype)
    speeds = at_points(drift, points.reshape(-1, q.dimension))[:, axis]
    return jnp.moveaxis(speeds.reshape(points.shape[:-1]), axis, -1)


def carrying(drift: Callable, q: Any, flux: str) -> Any:
    r"""$-\nabla\cdot(q\,b)$ of a field b: particles move with it, of a Gaussian the moments do.

    Arguments:
        drift: b, a function of a point (d,).
        q: a distribution.
        flux: that of a grid, as of `transport.carried`.
    """
    if isinstance(q, Particles):
        found = jax.tree.map(jnp.zeros_like, q)
        return eqx.tree_at(lambda p: p.positions, found, at_points(drift, q.positions))
    if isinstance(q, Quantiles):
        return eqx.tree_at(lambda p: p.values, q, at_points(drift, q.values[:, None])[:, 0])
    if isinstance(q, Gaussian):
        return _of_gaussian(drift, q)
    assert isinstance(q, Grid)
    total = jnp.zeros_like(q.density)
    for axis in range(q.dimension):
        total = total + carried(q, at_walls(drift, q, axis), axis, flux)
    return replaced(q, total)


def _of_gaussian(drift: Callable, q: Gaussian) -> Gaussian:
    def moments(point: Array) -> Array:
        velocity = at_points(drift, point[None])[0]
        return jnp.concatenate([velocity[None], jnp.outer(point - q.mean, velocity)])

    found = gaussian_mean(moments, q.mean, q.covariance)
    return eqx.tree_at(lambda p: (p.mean, p.covariance), q, (found[0], found[1:] + found[1:].T))


def falls(drift: Callable, q: Grid, axis: int) -> Array:
    """The differences of a potential at the walls with which a field would carry as much, that axis last."""
    speeds = at_walls(drift, q, axis)
    return -speeds * last(q.mesh.apart[axis], speeds)
