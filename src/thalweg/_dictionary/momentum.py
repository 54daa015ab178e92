"""The dictionary between (learning rate, momentum) and (step, friction)."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import ArrayLike

from .._tree import on_device


def _of_numbers(fn: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    @functools.wraps(fn)
    def call(*values: Any) -> tuple[Any, ...]:
        # Python numbers stay in double precision, whatever JAX is set to.
        if all(isinstance(value, float) for value in values):
            return fn(*values)
        if any(isinstance(value, Tracer) for value in values):
            return fn(*(jnp.asarray(value, float) for value in values))
        # By NumPy, since JAX compiles a program for each operation.
        dtype = jax.dtypes.canonicalize_dtype(float)
        with np.errstate(all="ignore"):
            return tuple(on_device(one, dtype) for one in fn(*(np.asarray(value, dtype) for value in values)))

    return call


@_of_numbers
def momentum_from_friction(friction: ArrayLike, interval: ArrayLike, mass: ArrayLike = 1.0) -> tuple[Any, Any]:
    r"""Friction by the midpoint rule over one kick of the velocity.

    $$\beta = \frac{1 - \lambda\Delta/2m}{1 + \lambda\Delta/2m},\qquad
      \text{kick} = \frac{\Delta/m}{1 + \lambda\Delta/2m}$$

    so that $\eta^+ = \beta\eta + \text{kick}\cdot\text{force}$; with $v = h\eta$ and $\Delta = h$ the
    learning rate is $\alpha = h\cdot\text{kick}$.

    Arguments:
        friction: $\lambda$.
        interval: $\Delta$, the time between the two half steps.
        mass: m.

    Returns:
        $(\beta, \text{kick})$, Python numbers where all arguments are.
    """
    half = 0.5 * friction * interval / mass
    return (1.0 - half) / (1.0 + half), interval / mass / (1.0 + half)


@_of_numbers
def physical_constants(learning_rate: ArrayLike, momentum: ArrayLike) -> tuple[Any, Any]:
    r"""The inverse: step and friction (at mass 1) of a learning rate and momentum.

    $$h = \sqrt{2\alpha/(1+\beta)},\qquad \lambda h = 2(1-\beta)/(1+\beta)$$

    >>> step, friction = physical_constants(0.1, 0.9)
    >>> beta, kick = momentum_from_friction(friction, step)
    >>> round(float(beta), 6), round(float(step * kick), 6)
    (0.9, 0.1)
    """
    square = 2.0 * learning_rate / (1.0 + momentum)
    step = _root(square)
    return step, 2.0 * (1.0 - momentum) / ((1.0 + momentum) * step)


def _root(square: Any) -> Any:
    if type(square) is float:
        return math.sqrt(square)
    return jnp.sqrt(square) if isinstance(square, Tracer) else np.sqrt(square)


# At constant friction, where the learning rate is the scale of a torch step: the new momentum and scale, and how the
# heat of a step grows. Nothing is divided by a difference of the new momentum from 1, which would have lost digits.


def momentum_changed(momentum: float, scale: float, new: float) -> tuple[float, float, float]:
    """Momentum, scale and heat at another momentum."""
    square, half = (1.0 - momentum) ** 2 / (1.0 + momentum), (1.0 - momentum) / (1.0 + momentum)
    return new, scale * (1.0 - new) ** 2 / (1.0 + new) / square, (1.0 - new) / (1.0 + new) / half


def step_changed(momentum: float, scale: float, ratio: float) -> tuple[float, float, float]:
    """Momentum, scale and heat where the step in time becomes `ratio` times as large."""
    half = (1.0 - momentum) / (1.0 + momentum)  # of friction times step
    new = (1.0 - ratio * half) / (1.0 + ratio * half)
    return new, scale * ratio**2 * (1.0 + new) / (1.0 + momentum), ratio


def scale_changed(momentum: float, scale: float, ratio: float, square_root: bool) -> tuple[float, float, float]:
    """Momentum, scale and heat where the scale becomes `ratio` times as large, exactly or by the square root rule."""
    if square_root:
        return 1.0 - (1.0 - momentum) * math.sqrt(ratio), scale * ratio, math.sqrt(ratio)
    c = ratio * (1.0 - momentum) ** 2 / (1.0 + momentum)
    # The root of the quadratic for the new momentum, in a form that does not cancel.
    new = 1.0 - 4.0 * c / (c + math.sqrt(c * c + 8.0 * c))
    return new, scale * ratio, math.sqrt(ratio * (1.0 + momentum) / (1.0 + new))
