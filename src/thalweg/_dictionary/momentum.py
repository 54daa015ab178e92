"""The dictionary between (learning rate, momentum) and (step, friction)."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import ArrayLike


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
    friction, interval, mass = _alike(friction, interval, mass)
    half = 0.5 * friction * interval / mass
    return (1.0 - half) / (1.0 + half), interval / mass / (1.0 + half)


def physical_constants(learning_rate: ArrayLike, momentum: ArrayLike) -> tuple[Any, Any]:
    r"""The inverse: step and friction (at mass 1) of a learning rate and momentum.

    $$h = \sqrt{2\alpha/(1+\beta)},\qquad \lambda h = 2(1-\beta)/(1+\beta)$$

    >>> step, friction = physical_constants(0.1, 0.9)
    >>> beta, kick = momentum_from_friction(friction, step)
    >>> round(float(beta), 6), round(float(step * kick), 6)
    (0.9, 0.1)
    """
    learning_rate, momentum = _alike(learning_rate, momentum)
    square = 2.0 * learning_rate / (1.0 + momentum)
    step = math.sqrt(square) if isinstance(square, float) else jnp.sqrt(square)
    return step, 2.0 * (1.0 - momentum) / ((1.0 + momentum) * step)


def _alike(*values: ArrayLike) -> tuple[Any, ...]:
    # Python numbers stay in double precision, whatever JAX is set to.
    return values if all(isinstance(value, float) for value in values) else tuple(jnp.asarray(v, float) for v in values)
