"""The stability limit found by running: where a small push away from a minimum starts to grow."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._methods.method import Method
from .._methods.probe import stable_limit
from .._objectives.objective import as_position
from .._tree import Vector, combine, inner, ravel, unraveler

_STEPS = 120
_POINTS = 8
_DECADES = 1.0
_ROUNDS = 4


def with_knob(method: Method, knob: str, value: Any) -> Method:
    """The method at another learning rate or step size."""
    return method.with_learning_rate(value) if knob == "learning_rate" else method.with_step_size(value)


def measured_limit(method: Method, minimiser: Vector, direction: Vector, curvature: float) -> float | None:
    """The largest stable learning rate (or step size) of the real iteration on the real objective.

    Two trajectories start a small push apart along `direction`, the steepest one at `minimiser`;
    the limit is where their distance turns from shrinking to growing.

    Arguments:
        method: a method whose step size is a number.
        minimiser: a pytree near a minimum, where the limit is meant.
        direction: a unit pytree like it.
        curvature: the curvature along it, which only centres the range searched (a factor 100 wide).

    Returns:
        the limit in the units of the knob, None if it lies outside the range searched.
    """
    if callable(method.step_size) or method.objective is None:
        return None
    method = method.linearised().with_objective(method.objective.whole())
    minimiser = as_position(minimiser)
    flat = method.flattened(unraveler(minimiser))
    x, v = ravel(minimiser), ravel(direction)
    knob, centre = stable_limit(method, curvature)
    if not np.isfinite(centre) or centre == 0:
        return None
    low, high = centre * 10.0**-_DECADES, centre * 10.0**_DECADES
    below = above = 0.0
    for _ in range(_ROUNDS):
        values = np.geomspace(low, high, _POINTS)
        rates = np.asarray(_growth(flat, knob, jnp.asarray(values, float), x, v, jnp.asarray(curvature**-0.5)), float)
        grows = ~(rates < 0)
        if not grows.any() or grows[0]:
            return None
        first = int(np.argmax(grows))
        low, high, below, above = values[first - 1], values[first], rates[first - 1], rates[first]
    return float(_crossing(low, high, below, above))


def _crossing(low: float, high: float, below: float, above: float) -> float:
    if not np.isfinite(above - below) or above - below <= 0:
        return float(np.sqrt(low * high))
    return low + (high - low) * (-below) / (above - below)


@eqx.filter_jit
def _growth(method: Method, knob: str, values: Array, x: Vector, direction: Vector, timescale: Array) -> Array:
    """Logarithmic growth of the distance from the first quarter of the steps to the last, by knob value."""
    size = jnp.sqrt(inner(x, x)) + 1.0
    eps = jnp.asarray(jnp.finfo(x.dtype).eps, x.dtype)
    push = jnp.cbrt(eps) * 0.01 * size

    def distance(a: Any, b: Any) -> Array:
        # Position and velocity together, so that an oscillation does not pass through zero.
        gap = combine((1, a.position), (-1, b.position))
        total = inner(gap, gap)
        if a.velocity is not None:
            gap = combine((timescale, a.velocity), (-timescale, b.velocity))
            total = total + inner(gap, gap)
        return 0.5 * jnp.log(total)

    def rate(value: Array) -> Array:
        moved = with_knob(method, knob, value)
        pair = (moved.init(x), moved.init(combine((1, x), (push, direction))))

        def step(pair: Any, _: None) -> tuple[Any, Array]:
            pair = (moved.step(pair[0], moved.silent(x)), moved.step(pair[1], moved.silent(x)))
            return pair, distance(*pair)

        _, logs = jax.lax.scan(step, pair, None, length=_STEPS)
        quarter = _STEPS // 4
        grown = jnp.max(logs[-quarter:]) - jnp.max(logs[quarter : 2 * quarter])
        # Only a small distance follows the linear law: one that has escaped is unstable whatever it does
        # next (both trajectories may settle elsewhere), one that has sunk into rounding is stable.
        grown = jnp.where(logs[-1] < jnp.log(1e3 * eps * size), -jnp.inf, grown)
        return jnp.where(jnp.max(logs) > jnp.log(1e3 * push), jnp.inf, grown)

    return jax.vmap(rate)(values)
