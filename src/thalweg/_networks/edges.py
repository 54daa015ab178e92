"""Largest steps of a scheme at which what a law damps does not grow, from a step of it on one mode."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError
from .._methods.method import Method
from .._programs import compiled_quickly
from ..dynamics import DampedField, Field
from ..schemes import AbstractScheme, Clock

# Beyond rounding of the eigenvalues of matrices of some hundreds.
_BEYOND = 1e-9
_SMALL, _LARGE, _POINTS = 1e-4, 300.0, 400
# A part of the largest eigenvalue below which a decay is rounding.
_NOTHING = 1e-12


def largest_step(scheme: AbstractScheme, values: np.ndarray, mass: float | None = None) -> float:
    r"""The largest step at which no mode that the law damps grows; infinite where it damps none.

    Arguments:
        scheme: an explicit one.
        values: z of the modes, of $\dot x = zx$ or of $m\ddot x + \dot x = zx$.
        mass: m of the law of second order.
    """
    rates = values[None] if mass is None else _rates(mass * values) / mass
    damped = values[(np.real(rates) < -_NOTHING * np.abs(rates).max(initial=0.0)).all(axis=0)]
    if not damped.size:
        return float("inf")
    if mass is None:
        return float(np.min(first_beyond(scheme, damped) / np.abs(damped)))
    return mass * float(np.min(first_beyond_damped(scheme, mass * damped)))


def first_beyond(scheme: AbstractScheme, values: np.ndarray) -> np.ndarray:
    """The least r at which a step of length r grows on x' = z x, for every z in the directions of some numbers."""
    along = values / np.abs(values)
    low, high = np.full(along.shape, _SMALL), np.full(along.shape, _LARGE)
    return _edges(lambda r: _moduli(scheme, along.real * r, along.imag * r), low, high, scheme)


def first_beyond_damped(scheme: AbstractScheme, values: np.ndarray) -> np.ndarray:
    """The least step that grows on x'' + x' = z x, for every z of some numbers.

    No explicit scheme damps beyond some hundred times the geometric mean of the two times of a mode.
    """
    low, high = _SMALL / np.abs(_rates(values)).max(axis=0), _LARGE / np.sqrt(np.abs(values))
    return _edges(lambda step: _damped_moduli(scheme, np.real(values), np.imag(values), step), low, high, scheme)


def _rates(values: np.ndarray) -> np.ndarray:
    """Both roots s of s² + s = z."""
    # Of the root that NumPy gives, whose real part is not negative, the sum loses no digits; the product is -z.
    fast = -0.5 * (1.0 + np.sqrt(1.0 + 4.0 * values.astype(complex)))
    return np.stack([fast, -values / fast])


def _edges(modulus: Callable[..., Any], low: np.ndarray, high: np.ndarray, scheme: AbstractScheme) -> np.ndarray:
    """The first number between two at which a modulus is more than 1, each by itself."""

    def beyond(at: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return ~(np.asarray(modulus(at)) <= 1.0 + _BEYOND)

    grid = np.concatenate([0.0 * low[None], np.geomspace(low, high, _POINTS)])
    out = np.concatenate([np.zeros((1, low.size), bool), beyond(grid[1:])])
    if not out.any(axis=0).all():
        raise InputError(f"{scheme!r} damps whatever the law damps at every step")
    first, each = out.argmax(axis=0), np.arange(low.size)
    low, high = grid[first - 1, each], grid[first, each]
    for _ in range(40):
        middle = 0.5 * (low + high)
        outside = beyond(middle)
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    return low


@compiled_quickly
def _moduli(scheme: AbstractScheme, real: Any, imaginary: Any) -> Array:
    """Moduli of the stability function of a scheme, from a step of it on a plane that turns and shrinks."""

    def modulus(a: Array, b: Array) -> Array:
        method = Method(Field(_turned, (a, b)), scheme, 1.0)
        after = method.step(method.init(jnp.array([1.0, 0.0]))).position
        return jnp.hypot(after[0], after[1])

    return jnp.vectorize(modulus)(jnp.asarray(real), jnp.asarray(imaginary))


@compiled_quickly
def _damped_moduli(scheme: AbstractScheme, real: Any, imaginary: Any, steps: Any) -> Array:
    """The larger modulus of the two factors of a step on a damped plane, whose map is complex and linear."""

    def modulus(a: Array, b: Array, step: Array) -> Array:
        law = DampedField(_turned, (a, b))
        method = Method(law, scheme, step)
        clock = Clock(jnp.zeros(()), jnp.zeros(()), jnp.zeros((), int), step)

        def column(x: Array, velocity: Array) -> list[Array]:
            after: Any = method.step(scheme.init(law, x, step, velocity, clock).at(x, velocity))
            return [part[0] + 1j * part[1] for part in (after.position, after.velocity)]

        one, none = jnp.array([1.0, 0.0]), jnp.zeros(2)
        (of_x, to_v), (to_x, of_v) = column(one, none), column(none, one)
        trace, determinant = of_x + of_v, of_x * of_v - to_v * to_x
        root = jnp.sqrt(trace**2 - 4.0 * determinant)
        return 0.5 * jnp.maximum(jnp.abs(trace + root), jnp.abs(trace - root))

    return jnp.vectorize(modulus)(*map(jnp.asarray, jnp.broadcast_arrays(real, imaginary, steps)))


def _turned(time: Any, x: Array, own: tuple[Array, Array]) -> Array:
    del time
    a, b = own
    return jnp.stack([a * x[0] - b * x[1], b * x[0] + a * x[1]])
