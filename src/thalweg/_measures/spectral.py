"""Fourier's interpolation along an axis of a uniform grid: shifts by any part of a cell, and Gaussian kernels."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array


def shifted(lines: Array, cells: Array) -> Array:
    """Periodic lines along the last axis, each shifted by so many cells; exact where they are resolved.

    Arguments:
        lines: (k, n).
        cells: (k,), of each line.
    """
    n = lines.shape[-1]
    waves = jnp.arange(n // 2 + 1) * (2.0 * jnp.pi / n)
    turned = jnp.exp(-1j * (jnp.outer(cells, waves.astype(lines.dtype))))
    if n % 2 == 0:
        # The wave of two cells has no phase of its own; real, it keeps the lines so.
        turned = turned.at[..., -1].set(turned[..., -1].real)
    return jnp.fft.irfft(jnp.fft.rfft(lines, axis=-1) * turned, n=n, axis=-1).astype(lines.dtype)


def reflected(density: Array, cells: Array) -> Array:
    """Lines of positions between walls that reflect, each shifted by so many cells.

    The way goes around a line of twice the length whose other half holds the opposite velocities backwards.

    Arguments:
        density: (positions, velocities), velocities even about 0.
        cells: (velocities,), how far each goes.
    """
    n = density.shape[0]
    around = jnp.concatenate([density, density[::-1, ::-1]], axis=0)
    return shifted(around.T, cells).T[:n]


def contraction(values: Array, factor: Any, variance: Any) -> Array:
    r"""The matrix that takes a density to that of $c v + \sigma\xi$ with a standard normal $\xi$.

    In waves k of the axis $\hat\rho^+(k) = \hat\rho(ck)\,e^{-\sigma^2k^2/2}$, so that it is exact for densities that
    are resolved and end before the axis does, of any width of the normal.

    Arguments:
        values: the middles of the cells (n,), evenly apart.
        factor: c, from 0 to 1.
        variance: $\sigma^2$.
    """
    n = values.size
    length = n * (values[-1] - values[0]) / (n - 1)
    waves = jnp.arange(n // 2 + 1).astype(values.dtype) * (2.0 * jnp.pi / length)
    # Every wave but the first and, of an even number of cells, the last stands for two.
    twice = jnp.where((jnp.arange(n // 2 + 1) == 0) | ((n % 2 == 0) & (jnp.arange(n // 2 + 1) == n // 2)), 1.0, 2.0)
    kept = (twice * jnp.exp(-0.5 * variance * waves**2) / n).astype(values.dtype)
    there, here = jnp.outer(values, waves), factor * jnp.outer(values, waves)
    return (jnp.cos(there) * kept[None]) @ jnp.cos(here).T + (jnp.sin(there) * kept[None]) @ jnp.sin(here).T
