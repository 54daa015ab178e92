r"""States between two steps, by the cubic that has the values and the rates of both."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._errors import InputError
from .._measures.base import AbstractMeasure
from .._methods.method import Method
from .._module import Module
from .._tree import Vector, combine
from ..dynamics import Phase
from ..schemes import Clock, State
from ..schemes._base import derivative
from .saving import Chosen, at_steps

# Roundings of the time of a step, beside the times that a user works out in another way.
_ROUNDINGS = 16.0


class Brackets(Module):
    """The steps within which times lie, and the times at their two ends.

    `every`: all states of the motion are kept for them, for both ends of each would be no fewer.
    """

    times: Float[Array, " rows"]
    step: Int[Array, " rows"]
    start: Float[Array, " rows"]
    end: Float[Array, " rows"]
    outside: Bool[Array, ""]
    every: bool = eqx.field(static=True)


def check_between(method: Method, x0: Vector, count: int) -> None:
    """Refuse a method whose states between two steps are not what a cubic makes of them."""
    instead = "keep states at steps, at=, or make steps that end at the times, tw.Method(..., times=)"
    reason = method.scheme.without_interpolation(method.dynamics)
    if method.scheme.adaptive:
        reason = "its steps are as long as where it is allows"
    if method.stochastic:
        reason = "what it draws makes no smooth path"
    elif isinstance(x0, AbstractMeasure):
        reason = "distributions are not interpolated"
    elif method.objective is not None and method.objective.carried is not None:
        reason = "the objective changes at every step with the state that it carries"
    if reason:
        raise InputError(
            f"times between two steps of {type(method.scheme).__name__} are not interpolated: {reason}; {instead}"
        )
    if count == 0:
        raise InputError("times must lie within the steps, of which there are 0; make 1 or more")


def brackets(method: Method, begun: State, times: Float[Array, " rows"], count: int) -> Brackets:
    """The steps of a method within which times lie; refuse times before the first and after the last."""
    grid = state_times(method, begun, count)
    first, last = grid[0], grid[-1]
    slack = _ROUNDINGS * jnp.finfo(grid.dtype).eps * jnp.maximum(jnp.abs(first), jnp.abs(last))
    low, high = jnp.minimum(first, last) - slack, jnp.maximum(first, last) + slack
    outside = ~jnp.all((times >= low) & (times <= high))
    if not isinstance(outside, Tracer) and bool(outside):
        raise InputError(
            f"times must lie within the steps, from {float(first):g} to {float(last):g}, but are "
            f"{np.asarray(times).tolist()}"
        )
    sign = jnp.where(last < first, -1.0, 1.0)
    at = jnp.clip(jnp.searchsorted(sign * grid, sign * times, side="right") - 1, 0, count - 1)
    return Brackets(times, at, grid[at], grid[at + 1], outside, 2 * times.size > count)


def state_times(method: Method, begun: State, count: int) -> Float[Array, " states"]:
    """The times of all states of a method whose step sizes do not depend on where it is."""
    if method.grid is not None:
        return method.grid.times[: count + 1]
    start, size = method.start_time, method.step_size
    if not callable(size):
        return start + size * jnp.arange(count + 1)

    def tick(clock: Clock, _: None) -> tuple[Clock, Array]:
        return clock.tick(method.step_size_at(clock)), clock.time

    assert begun.clock is not None
    clock, before = jax.lax.scan(tick, begun.clock, None, length=count)
    return jnp.append(before, clock.time)


def ends_of(found: Brackets, count: int) -> Chosen | None:
    """The steps whose states are to be kept, both ends of every bracket; None where all are."""
    return None if found.every else at_steps(_ends(found), count)


def between(method: Method, found: Brackets, rows: Phase, save: Callable[[State], PyTree] | None) -> PyTree:
    r"""Rows of the states at some times, from the rows that `ends_of` has asked for.

    $$y(t_k + sh) \approx (1 + 2s)(1 - s)^2 y_k + s^2(3 - 2s)\,y_{k+1} + hs(1 - s)^2 \dot y_k
        - hs^2(1 - s)\,\dot y_{k+1}$$

    which is off by no more than $\frac{h^4}{384}\max|y^{(4)}|$ where both ends are right.

    Reference: Hairer, Nørsett and Wanner (1993), section II.6.
    """

    def one(time: Array, step: Array, start: Array, end: Array, before: Phase, after: Phase) -> PyTree:
        h = end - start
        s = (time - start) / h
        law = method.dynamics.during(start, h)
        rates = [derivative(law, at, y, None) for at, y in ((start, before), (end, after))]
        y = combine(
            ((1.0 + 2.0 * s) * (1.0 - s) ** 2, before), (s**2 * (3.0 - 2.0 * s), after),
            (h * s * (1.0 - s) ** 2, rates[0]), (-h * s**2 * (1.0 - s), rates[1]),
        )  # fmt: skip
        clock = Clock(time, jnp.zeros_like(time), step, h)
        state = State(y.position, y.velocity, clock=clock, auxiliary=y.auxiliary)
        return state.position if save is None else save(state)

    left, right = found.step, found.step + 1
    if not found.every:
        ends = _ends(found)
        left, right = (jnp.searchsorted(ends, one) for one in (left, right))
    before, after = (jax.tree.map(lambda leaf, at=at: leaf[at], rows) for at in (left, right))
    kept = jax.vmap(one)(found.times, found.step, found.start, found.end, before, after)
    if not isinstance(found.outside, Tracer):
        return kept
    return eqx.error_if(kept, found.outside, "times must lie within the steps, from the first to the last")


def _ends(found: Brackets) -> Int[Array, " ends"]:
    return jnp.sort(jnp.concatenate([found.step, found.step + 1]))
