"""Distributions on the line by their quantile functions, and Wasserstein's distance between them."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from .gaussian import Gaussian
from .grid import Grid
from .particles import Particles
from .quantiles import Quantiles


class Line(NamedTuple):
    """A quantile function that is linear between levels (n + 1,) from 0 to 1: from `left` (n,) there to `right`."""

    levels: Float[Array, " m"]
    left: Float[Array, " n"]
    right: Float[Array, " n"]


def of_atoms(points: Array, masses: Array) -> Line:
    """The quantile function of masses (n,) at points (n,), in any order."""
    order = jnp.argsort(points)
    return Line(_levels(masses[order]), points[order], points[order])


def _levels(masses: Array) -> Array:
    zero, one = jnp.zeros(1, masses.dtype), jnp.ones(1, masses.dtype)
    # The last is one exactly, and none before it more.
    return jnp.concatenate([zero, jnp.minimum(jnp.cumsum(masses)[:-1], one), one])


def on_line(q: Any) -> Line:
    """The quantile function of a grid (its mass even in every cell), particles or quantiles on the line."""
    if isinstance(q, Grid):
        edges = jnp.asarray(q.mesh.edges[0], q.density.dtype)
        return Line(_levels(q.masses), edges[:-1], edges[1:])
    if isinstance(q, Quantiles):
        return of_atoms(q.values, jnp.full(q.values.shape, 1.0 / q.values.size, q.values.dtype))
    assert isinstance(q, Particles)
    return of_atoms(q.positions[:, 0], q.weights)


def at_levels(line: Line, levels: Array) -> Array:
    """A quantile function at levels."""
    i = jnp.clip(jnp.searchsorted(line.levels, levels, side="right") - 1, 0, line.left.size - 1)
    low, high = line.levels[i], line.levels[i + 1]
    share = jnp.where(high > low, (levels - low) / jnp.where(high > low, high - low, 1.0), 0.5)
    return line.left[i] + share * (line.right[i] - line.left[i])


def squared_lines(q: Line, p: Line) -> Float[Array, ""]:
    r"""$\int_0^1 (Q_q - Q_p)^2\,du$, exactly."""
    levels = jnp.sort(jnp.concatenate([q.levels, p.levels[1:-1]]))
    middles, widths = 0.5 * (levels[1:] + levels[:-1]), jnp.diff(levels)
    # Of a linear function: the square in the middle, and a twelfth of that of its rise.
    (a, rise), (b, other) = (_piece(line, middles) for line in (q, p))
    return jnp.sum(widths * ((a - b) ** 2 + ((rise - other) * widths) ** 2 / 12.0))


def _piece(line: Line, levels: Array) -> tuple[Array, Array]:
    """The value at levels, and the slope there."""
    i = jnp.clip(jnp.searchsorted(line.levels, levels, side="right") - 1, 0, line.left.size - 1)
    width = line.levels[i + 1] - line.levels[i]
    slope = jnp.where(width > 0.0, (line.right[i] - line.left[i]) / jnp.where(width > 0.0, width, 1.0), 0.0)
    return line.left[i] + slope * (levels - line.levels[i]), slope


def squared_to_gaussian(q: Line, mean: Array, deviation: Array) -> Float[Array, ""]:
    r"""$\int_0^1 (Q - m - s\,\Phi^{-1}(u))^2\,du$, exactly."""
    # The upper half is looked at upside down, where levels near one have all their digits as levels near zero.
    up = q.levels[1:] + q.levels[:-1] > 1.0
    low = jnp.where(up, 1.0 - q.levels[1:], q.levels[:-1])
    high = jnp.where(up, 1.0 - q.levels[:-1], q.levels[1:])
    left, right = jnp.where(up, -q.right, q.left), jnp.where(up, -q.left, q.right)
    (first, second, third), (start, begun, rising) = _integrals(high), _integrals(low)
    width, middle = high - low, 0.5 * (low + high)
    inverse = jnp.where(width > 0.0, 1.0 / jnp.where(width > 0.0, width, 1.0), 0.0)
    # The integrals of z, z^2 and (u - middle) z over every piece.
    first, second, third = first - start, second - begun, third - rising
    tilted = third - middle * first
    centre, rise = 0.5 * (left + right) - jnp.where(up, -mean, mean), (right - left) * inverse
    # Of c + r (u - middle) - s z, where all is taken apart from its mean over the piece, so that little cancels.
    s, share = deviation, first * inverse
    each = width * (centre - s * share) ** 2 + (right - left) ** 2 * width / 12.0
    return jnp.sum(each + s**2 * (second - share * first) - 2.0 * s * rise * tilted)


def _integrals(u: Array) -> tuple[Array, Array, Array]:
    r"""The integrals of z, $z^2$ and uz of $z = \Phi^{-1}(u)$ from 0 to u."""
    z = ndtri(u)
    known = jnp.isfinite(z)
    density, z = jnp.where(known, norm.pdf(z), 0.0), jnp.where(known, z, jnp.where(u > 0.5, 40.0, -40.0))
    return -density, u - z * density, ndtr(2.0**0.5 * z) / (2.0 * jnp.pi**0.5) - u * density


def squared_on_line(q: Any, p: Any) -> Float[Array, ""]:
    """The squared distance between two distributions on the line.

    Two that are quantiles of one number are compared level by level, and quantiles with what has a quantile at each
    of their levels (a Gaussian, a grid) as well; all else exactly, quantiles as equal masses.
    """
    if isinstance(p, Quantiles) and not isinstance(q, Quantiles):
        q, p = p, q
    if isinstance(q, Quantiles):
        if isinstance(p, Quantiles) and p.values.size == q.values.size:
            return jnp.mean((q.values - p.values) ** 2)
        if isinstance(p, Gaussian | Grid):
            return jnp.mean((q.values - quantiles_at(p, q.levels)) ** 2)
    if isinstance(p, Gaussian) and isinstance(q, Gaussian):
        apart = jnp.sqrt(q.covariance[0, 0]) - jnp.sqrt(p.covariance[0, 0])
        return (q.mean[0] - p.mean[0]) ** 2 + apart**2
    if isinstance(q, Gaussian):
        q, p = p, q
    if isinstance(p, Gaussian):
        return squared_to_gaussian(on_line(q), p.mean[0], jnp.sqrt(p.covariance[0, 0]))
    return squared_lines(on_line(q), on_line(p))


def quantiles_at(q: Any, levels: Array) -> Array:
    """The quantiles of a distribution on the line at levels."""
    if isinstance(q, Gaussian):
        return q.mean[0] + jnp.sqrt(q.covariance[0, 0]) * ndtri(levels)
    return at_levels(on_line(q), levels)
