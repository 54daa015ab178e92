"""Sums over all pairs of points, block by block, so that memory does not grow as their square."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .kernels import AbstractKernel, AbstractRadial, squares

# Numbers of a block of a matrix: 32 MiB of float64.
_BLOCK = 1 << 22


def by_rows(fn: Callable[..., Any], x: Any, columns: int) -> Any:
    """`fn` of so many leading rows of a tree of arrays at a time, its results put together again.

    Arguments:
        fn: of rows, (n, ...) in every leaf, to trees of (n, ...).
        x: the tree.
        columns: entries that a row makes on its way; what is made is made anew for a derivative.
    """
    count = jax.tree.leaves(x)[0].shape[0]
    size = max(1, min(count, _BLOCK // max(columns, 1)))
    if size == count:
        return fn(x)
    blocks = math.ceil(count / size)
    size = math.ceil(count / blocks)
    short = blocks * size - count

    def cut(leaf: Array) -> Array:
        # Rows that fill the last block repeat the last one, so that no function meets what it is not made for.
        filled = jnp.concatenate([leaf, jnp.repeat(leaf[-1:], short, axis=0)]) if short else leaf
        return filled.reshape(blocks, size, *leaf.shape[1:])

    found = jax.lax.map(jax.checkpoint(fn), jax.tree.map(cut, x))
    return jax.tree.map(lambda leaf: leaf.reshape(blocks * size, *leaf.shape[2:])[:count], found)


def kernel_means(kernel: AbstractKernel, x: Array, y: Array, masses: Array) -> Float[Array, "n ..."]:
    r"""$\sum_j b_j\,k(x_i, y_j)$ for every i.

    Arguments:
        x: points (n, d).
        y: points (m, d) with `masses` b (m,), or vectors of them (m, c).
    """
    return by_rows(lambda rows: kernel.matrix(rows, y) @ masses, x, y.shape[0])


def kernel_density(kernel: Any, positions: Array, weights: Array) -> Float[Array, " N"]:
    """The density of particles smoothed by a Gaussian kernel, at the particles."""
    scale = (2.0 * jnp.pi) ** (-0.5 * positions.shape[1]) / kernel.bandwidth.astype(positions.dtype) ** positions.shape[
        1
    ]
    return scale * kernel_means(kernel, positions, positions, weights)


def pushed(kernel: AbstractKernel, positions: Array, pushes: Array, weights: Array, heat: Any) -> Float[Array, "N d"]:
    r"""$\sum_j k(x_i, x_j)\,p_j - T\sum_j w_j\,\nabla_{x_j}k(x_i, x_j)$ for every i, the kernel taken once a pair."""
    if not isinstance(kernel, AbstractRadial):
        return kernel_means(kernel, positions, positions, pushes) - heat * kernel_rises(kernel, positions, weights)
    # What the rises are multiplied with: the sum of the kernel's slopes, and of them with the points.
    points = jnp.concatenate([positions, jnp.ones_like(weights)[:, None]], axis=1) * weights[:, None]

    def radial(rows: Array) -> Array:
        value, slope = kernel.with_slope(squares(rows, positions))
        drawn = jnp.matmul(2.0 * slope, points, precision="highest")
        return jnp.matmul(value, pushes, precision="highest") - heat * (drawn[:, :-1] - drawn[:, -1:] * rows)

    return by_rows(radial, positions, positions.shape[0])


def kernel_rises(kernel: AbstractKernel, positions: Array, weights: Array) -> Float[Array, "N d"]:
    r"""$\sum_j w_j\,\nabla_{x_j}k(x_i, x_j)$ for every i."""
    if isinstance(kernel, AbstractRadial):

        def radial(rows: Array) -> Array:
            pull = 2.0 * kernel.with_slope(squares(rows, positions))[1] * weights[None]
            return jnp.matmul(pull, positions, precision="highest") - jnp.sum(pull, axis=1, keepdims=True) * rows

        return by_rows(radial, positions, positions.shape[0])

    def any_kernel(rows: Array) -> Array:
        # The derivative by the second point of every pair: pushed forward along each axis.
        def along(direction: Array) -> Array:
            moved = jnp.broadcast_to(direction, positions.shape)
            return jax.jvp(lambda y: kernel.matrix(rows, y), (positions,), (moved,))[1] @ weights

        return jax.vmap(along, out_axes=1)(jnp.eye(positions.shape[1], dtype=positions.dtype))

    return by_rows(any_kernel, positions, positions.size)
