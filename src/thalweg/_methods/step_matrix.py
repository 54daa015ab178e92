"""The matrix of a step on a quadratic, or of one about a point: its derivative by all that the law moves."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._programs import compiled_barely, on_grid, written_out
from ..schemes import Clock
from .evaluated import Evaluated
from .linearity import Bowl
from .method import Method


def _on_curvature(method: Method, hessian: Array, step: Array, time: Array, kept: bool) -> "tuple[_Moved, Array]":
    d = hessian.shape[0]
    probed = Method(method.dynamics, method.scheme, step).with_objective(Bowl(hessian))
    zero = jnp.zeros(d, float)
    return _moved(probed, step, time, zero, zero if method.dynamics.order == 2 else None, kept)


def jacobian(probed: Method, step: Array, time: Array, x: Array, velocity: Array | None, kept: bool = False) -> Array:
    moved, start = _moved(probed, step, time, x, velocity, kept)
    return jax.jacfwd(written_out(moved, start))(start)


# A step of all that the law moves, as one vector.
_Moved = Callable[[Array], Array]


def _moved(
    probed: Method, step: Array, time: Array, x: Array, velocity: Array | None, kept: bool
) -> tuple[_Moved, Array]:
    """A step of all that the law moves, and a state; with what is `kept` of the steps before."""
    method, second = probed, velocity is not None
    clock = None if probed.autonomous else Clock(time, jnp.zeros(()), jnp.zeros((), int), step)
    rest = method.scheme.init(probed.dynamics, x, step, velocity, clock)
    numbers, others = eqx.partition(rest.memory, eqx.is_inexact_array)
    start, cut = ravel_pytree((x, velocity, rest.auxiliary, numbers if kept else None))

    def map_(phase: Array) -> Array:
        position, velocity, auxiliary, numbers = cut(phase)
        if kept:
            memory = eqx.combine(numbers, others)
        else:
            # What a scheme remembers belongs to where it is; its noise is left out.
            memory = method.scheme.init(probed.dynamics, position, step, velocity, clock).memory
        before = dataclasses.replace(rest.at(position, velocity), memory=memory, auxiliary=auxiliary)
        after = probed.step(before, probed.silent(x))
        left = eqx.filter(after.memory, eqx.is_inexact_array) if kept else None
        return ravel_pytree((after.position, after.velocity if second else None, after.auxiliary, left))[0]

    return map_, start


def step_matrix(method: Method, hessian: Array, step: Array, time: Array, kept: bool = False) -> Array:
    moved, start = _on_curvature(method, hessian, step, time, kept)
    return jax.jacfwd(written_out(moved, start))(start)


@compiled_barely
def _of_hessians(method: Method, hessians: Array, steps: Array, time: Array, kept: bool) -> Float[Array, "k s n n"]:
    return on_grid(lambda hessian, step: step_matrix(method, hessian, step, time, kept), hessians, steps)


def matrices(method: Method, hessians: Array, steps: Array, time: Array, kept: bool = False) -> np.ndarray:
    if hessians.shape[-1] > 1:
        return np.asarray(_of_hessians(method, hessians, steps, time, kept))
    return by_columns(COLUMN.of(method, time, kept), hessians, steps)


def by_columns(column: Any, one: Array | np.ndarray, other: Array | np.ndarray) -> np.ndarray:
    """Matrices at all pairs of two arrays, of which each column is worked out by itself."""
    first, second = np.asarray(one), np.asarray(other)
    (n,) = column.shape(first[:1], second[:1], np.arange(1))
    k, s = len(first), len(second)
    columns = np.tile(np.arange(n), k * s)
    found = column(np.repeat(first, s * n, axis=0), np.tile(np.repeat(second, n), k), columns)
    return np.asarray(found).reshape(k, s, n, n).swapaxes(-1, -2)


def _derivative_along(moved: _Moved, start: Array, i: Array) -> Array:
    along = (jnp.arange(start.size) == i).astype(start.dtype)
    return jax.jvp(moved, (start,), (along,))[1]


def _column_of(method: Method, time: Array, kept: bool, hessian: Array, step: Array, i: Array) -> Array:
    return _derivative_along(*_on_curvature(method, hessian, step, time, kept), i)


def _column_of_rate(method: Method, kept: bool, curvature: Array, rate: Array, i: Array) -> Array:
    moved = method.with_learning_rate(rate)
    time, step = moved.dynamics.late_time, jnp.asarray(moved.step_size)
    return _derivative_along(*_on_curvature(moved, curvature[None, None], step, time, kept), i)


COLUMN, COLUMN_AT_RATE = Evaluated(_column_of, rows=3), Evaluated(_column_of_rate, rows=3)
