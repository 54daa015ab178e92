"""Transport on a grid: fluxes through the walls between cells."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from .grid import Grid

FLUXES = ("second-order", "upwind")


def upward(q: Grid, first_variation: Array, flux: str) -> Array:
    r"""$-\nabla\cdot(\rho\nabla\phi)$ in the cells, of $\phi$ in the cells."""
    total = jnp.zeros_like(q.density)
    for axis in range(q.dimension):
        total = total - carried(q, -slope(q, first_variation, axis), axis, flux)
    return total


def slope(q: Grid, values: Array, axis: int) -> Array:
    """The derivative along an axis at the walls between cells, that axis last: n - 1 walls, n where it is periodic."""
    lines = jnp.moveaxis(values, axis, -1)
    return differences(lines, q.mesh.periodic[axis]) / last(q.mesh.apart[axis], lines)


def last(vector: Any, like: Array) -> Array:
    """A vector along the last axis of an array, with as many axes."""
    return jnp.asarray(vector, like.dtype).reshape((1,) * (like.ndim - 1) + (-1,))


def differences(lines: Array, around: bool) -> Array:
    """Those of neighbours along the last axis, the first less the last behind them where its ends are one."""
    following = jnp.roll(lines, -1, axis=-1) if around else lines[..., 1:]
    return following - (lines if around else lines[..., :-1])


def carried(q: Grid, speed: Array, axis: int, flux: str) -> Array:
    """The rate of the density that is carried along an axis with given speeds at its walls, that axis last in them."""
    lines = jnp.moveaxis(q.density, axis, -1)
    widths = last(q.mesh.widths[axis], lines)
    around = q.mesh.periodic[axis]
    left, right = at_walls(lines, widths, around, flux)
    return jnp.moveaxis(spread(jnp.where(speed > 0.0, speed * left, speed * right), widths, around), -1, axis)


def spread(through: Array, widths: Array, around: bool) -> Array:
    """The rate of the density of fluxes through the walls: what comes in less what goes out, nothing through ends."""
    if around:
        return (jnp.roll(through, 1, axis=-1) - through) / widths
    none = jnp.zeros_like(through[..., :1])
    whole = jnp.concatenate([none, through, none], axis=-1)
    return -jnp.diff(whole, axis=-1) / widths


def at_walls(lines: Array, widths: Array, around: bool, flux: str) -> tuple[Array, Array]:
    """The density on the two sides of every wall."""
    half = 0.5 * widths * limited(lines, widths, around) if flux == "second-order" else jnp.zeros_like(lines)
    left, right = lines + half, lines - half
    if around:
        return left, jnp.roll(right, -1, axis=-1)
    return left[..., :-1], right[..., 1:]


def limited(lines: Array, widths: Array, around: bool) -> Any:
    """The slope in every cell by the generalised minmod limiter, with which no side of a wall is negative.

    Reference: Kurganov and Tadmor (2000), with theta = 2.
    """
    before = jnp.roll(lines, 1, axis=-1) if around else jnp.concatenate([lines[..., :1], lines[..., :-1]], axis=-1)
    after = jnp.roll(lines, -1, axis=-1) if around else jnp.concatenate([lines[..., 1:], lines[..., -1:]], axis=-1)
    wide_before = jnp.roll(widths, 1, axis=-1) if around else jnp.concatenate([widths[..., :1], widths[..., :-1]], -1)
    wide_after = jnp.roll(widths, -1, axis=-1) if around else jnp.concatenate([widths[..., 1:], widths[..., -1:]], -1)
    # Of uneven cells the one-sided slopes reach the walls of the neighbour, so that what is left there is not negative.
    down = 2.0 * (lines - before) / jnp.maximum(widths, 0.5 * (widths + wide_before))
    up = 2.0 * (after - lines) / jnp.maximum(widths, 0.5 * (widths + wide_after))
    middle = (after - before) / (widths + 0.5 * (wide_before + wide_after))
    same = (down * up > 0.0) & (down * middle > 0.0)
    least = jnp.minimum(jnp.minimum(jnp.abs(down), jnp.abs(up)), jnp.abs(middle))
    return jnp.where(same, jnp.sign(middle) * least, 0.0)
