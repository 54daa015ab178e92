"""Arithmetic of the last axes of arrays, and functions of a squared length that are smooth at zero."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._tree import Vector
from ._leafwise import wide

# Squared lengths below it by series, of so many terms: exact to rounding in float64, and smooth at zero.
NEAR, _TERMS = 0.1, 8
# The same for the squared sine of half an angle, and for the inverse functions, whose series converge more slowly.
CLOSE = 0.01


def summed(fn: Callable, *trees: Vector) -> Float[Array, ""]:
    """The sum over all leaves of what a function of arrays, float32 at least, makes of them."""
    parts = jax.tree.map(lambda *leaves: jnp.sum(fn(*map(wide, leaves))), *trees)
    return jnp.asarray(sum(jax.tree.leaves(parts)))


def dot(x: Array, y: Array) -> Array:
    """Inner products along the last axis, which is kept."""
    return jnp.sum(x * y, axis=-1, keepdims=True)


def largest(x: Array) -> Array:
    """The largest number along the last axis, a constant to derivatives."""
    return jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=-1, keepdims=True)


def turned(x: Array) -> Array:
    """The transpose of matrices."""
    return jnp.swapaxes(x, -1, -2)


def symmetric(x: Array) -> Array:
    """The symmetric part of matrices."""
    return 0.5 * (x + turned(x))


def skew(x: Array) -> Array:
    """The skew part of matrices."""
    return 0.5 * (x - turned(x))


def series(x: Array, coefficients: list[float]) -> Array:
    """A polynomial, the constant first."""
    total = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def factorials(first: int, sign: float) -> list[float]:
    r"""$\text{sign}^k/(2k + \text{first})!$."""
    found = np.cumprod(np.concatenate([[1.0], np.arange(1.0, 2 * _TERMS + 3)]))
    return [float(sign**k / found[2 * k + first]) for k in range(_TERMS)]


def arcsines(sign: float) -> list[float]:
    r"""Coefficients in powers of $z^2$ of $\arcsin(z)/z$, with sign -1 of $\operatorname{arsinh}(z)/z$."""
    found = [1.0]
    for k in range(1, _TERMS):
        found.append(sign * found[-1] * (2 * k - 1) ** 2 / (2 * k * (2 * k + 1)))
    return found


def sides(q: Array, seam: float) -> tuple[Array, Array, Array]:
    """Tell where q is below a seam, and q for the branch below and above it.

    Each branch is differentiated too where the other is taken, so it gets numbers at which it is smooth.
    """
    below = q < seam
    return below, jnp.where(below, q, 0.0), jnp.where(below, 1.0, q)


class Boost(NamedTuple):
    r"""$\cosh\sqrt q$, $\sinh\sqrt q/\sqrt q$ and $(\cosh\sqrt q - 1)/q$."""

    cosine: Array
    sine: Array
    versine: Array


def boost(q: Array) -> Boost:
    """The hyperbolic functions of the root of q."""
    below, low, high = sides(q, NEAR)
    s = jnp.sqrt(high)
    return Boost(
        jnp.where(below, series(low, factorials(0, 1.0)), jnp.cosh(s)),
        jnp.where(below, series(low, factorials(1, 1.0)), jnp.sinh(s) / s),
        jnp.where(below, series(low, factorials(2, 1.0)), 2.0 * jnp.sinh(0.5 * s) ** 2 / high),
    )


def tangens(q: Array) -> Array:
    r"""$\tanh\sqrt q/\sqrt q$."""
    below, low, high = sides(q, NEAR)
    s = jnp.sqrt(high)
    return jnp.where(below, series(low, factorials(1, 1.0)) / series(low, factorials(0, 1.0)), jnp.tanh(s) / s)


def area_sine(q: Array) -> Array:
    r"""$\operatorname{arsinh}\sqrt q/\sqrt q$."""
    below, low, high = sides(q, CLOSE)
    s = jnp.sqrt(high)
    return jnp.where(below, series(low, arcsines(-1.0)), jnp.arcsinh(s) / s)
